"""Whether a backup is as PostgreSQL sent it, before anything is replaced by it."""

from host.domain import manifest
from ops.archive.catalogue import Backup, Catalogue
from ops.errors import NOTHING_CHANGED, OperatorError
from ops.reach import barman, remote_python
from ops.reach.ssh import Machine, Site
from ops.screen import moment, size

# A minute and a half at the 48 MB/s of the default Barman machine's disk (Standard_D2s_v3).
CONTENTS_BYTES = 4 * 2**30
# As long takes one of its cores for what comes out of a packed one.
CONTENTS_UNPACKED_BYTES = 4 * CONTENTS_BYTES
TIMEOUT_S = 900


def check(site: Site, held: Catalogue, backup: Backup) -> str:
    """How far it is known to be sound. Raises OperatorError when it is damaged.

    What the Barman machine verified of itself counts (`ops verify`). A backup it has not come to
    yet is compared with its manifest here: sizes in any case, contents where that is soon done.
    """
    seen = held.verifications.get(backup.backup_id)
    if seen is not None:
        return f"verified {moment(seen.at)}" if seen.ok else f"accepted although: {seen.error}"
    outputs = site.outputs
    folder = f"{outputs.barman.data_directory}/{outputs.backup.server_name}"
    contents = (backup.stored_size or 0) <= CONTENTS_BYTES
    contents &= (backup.restored_size or 0) <= CONTENTS_UNPACKED_BYTES
    judge = _packed if backup.packed else _plain
    wrong = judge(site.barman, folder, backup, contents=contents)
    if wrong:
        raise OperatorError(
            f"Backup {backup.backup_id} is damaged: {manifest.first(wrong)}.",
            NOTHING_CHANGED,
            next_command=f"python -m ops verify {backup.backup_id}   (marks it; then the same "
            "again takes an older one)",
        )
    if contents:
        return "every file is as PostgreSQL sent it"
    there = "archive" if backup.packed else "file"
    return (
        f"every {there} is there with its size; contents not read yet ({size(backup.stored_size)}; "
        f"python -m ops verify {backup.backup_id} reads them)"
    )


def _packed(machine: Machine, folder: str, backup: Backup, *, contents: bool) -> list[str]:
    return remote_python.call(
        machine,
        "ops.onmachine.packed_backup",
        [folder, backup.backup_id, contents],
        user=barman.USER,
        timeout_s=TIMEOUT_S,
    )


def _plain(machine: Machine, folder: str, backup: Backup, *, contents: bool) -> list[str]:
    done = machine.run(
        [
            f"/usr/lib/postgresql/{(backup.version or 0) // 10000}/bin/pg_verifybackup",
            *("--no-parse-wal", "--quiet"),
            *(() if contents else ("--skip-checksums",)),
            f"{folder}/base/{backup.backup_id}/data",
        ],
        user=barman.USER,
        timeout_s=TIMEOUT_S,
        accept=None,
    )
    return [] if done.ok else done.said.splitlines() or ["no reason given"]

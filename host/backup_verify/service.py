"""Reads base backups and the WAL that follows them, and remembers whether they are as they were.

A backup that is not what PostgreSQL sent, or whose own WAL is not, becomes FAILED in Barman's
catalogue: so neither Barman's redundancy and retention nor the runbooks ever count it, and the
older sound ones stay. Found sound later, it is DONE again.
"""

import argparse
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from host.domain import backup_info, histories, manifest, paths, wal_records
from host.domain.compression import uncompressed
from host.domain.wal import SEGMENT, name_of, number_of, timeline_of

from . import packed_files

STATE = Path(paths.VERIFICATION_STATE)
HISTORY = Path(paths.VERIFICATION_HISTORY)
RUNBOOK = Path(paths.CURRENT_RUNBOOK)
# Each backup is read again after this time: disks forget.
AGAIN_AFTER = timedelta(days=3)
# None is read again on a day on which so much was read. New ones are, whatever that takes: at the
# 48 MB/s of the default machine's disk (Standard_D2s_v3) one of 1 TB takes 5.8 hours.
DAILY_BUDGET = timedelta(hours=8)
POLL_S = 1.0
LSN = re.compile(r"\b[0-9A-F]+/([0-9A-F]+)\b")


class Store:
    """Barman's directory of one server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def backups(self) -> dict[str, dict[str, str]]:
        """The fields of every backup.info, by backup id, oldest first."""
        return backup_info.read(self.folder)

    def mark(self, backup: str, status: str, error: str | None) -> None:
        """Write status and error into the backup's entry in the catalogue, each file in one
        step."""
        for path in backup_info.files(self.folder).get(backup, ()):
            values = {"status": status, "error": str(error)}
            _replace(path, backup_info.replaced(path.read_text(), values))

    def archived(self, timeline: str) -> list[str]:
        """The segments of a timeline that are in the archive, in order."""
        found = (path.name for path in self.folder.glob(f"wals/{timeline}*/*"))
        return sorted(name for name in found if SEGMENT.fullmatch(name))

    def segment(self, name: str, into: Path) -> str | None:
        """Unpack one archived segment. What is wrong with it, or None."""
        path = self.folder / "wals" / name[:16] / name
        try:
            data = uncompressed(path.read_bytes())
            if data is None:
                data = self._through_barman(name)
        except (OSError, ValueError) as error:
            return str(error)
        into.write_bytes(data)
        return None

    def _through_barman(self, name: str) -> bytes:
        """Other compressions are Barman's own business. Raises ValueError."""
        done = subprocess.run(
            ["barman", "get-wal", self.folder.name, name], capture_output=True, check=False
        )
        if done.returncode:
            raise ValueError(done.stderr.decode(errors="replace").strip()[-200:])
        return done.stdout


def verify(store: Store, backup: str) -> dict[str, object]:
    """Read one backup and its WAL; mark it in the catalogue; the line for the history."""
    began, known = time.monotonic(), store.backups()
    fields = known[backup]
    wrong = _files(store, backup, fields)
    names = _stretch(store, backup, known)
    with tempfile.TemporaryDirectory(dir=store.folder, prefix=".verify-") as scratch:
        bad = {name: why for name in names if (why := _wal(store, name, Path(scratch), fields))}
    own = [name for name in bad if fields["begin_wal"] <= name <= fields["end_wal"]]
    if not wrong and own:
        wrong = f"WAL {own[0]}: {bad[own[0]]}"
    later = next((f"WAL {name} after it: {why}" for name, why in bad.items()), None)
    if backup in store.backups():
        if wrong:
            store.mark(backup, "FAILED", backup_info.UNVERIFIED + wrong)
        elif fields["status"] == "FAILED":
            store.mark(backup, "DONE", None)
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "backup_id": backup,
        "ok": not (wrong or bad),
        "seconds": round(time.monotonic() - began, 1),
        "error": wrong or later,
        "bad_wal": sorted(bad),
    }


def _files(store: Store, backup: str, fields: dict[str, str]) -> str | None:
    """What is wrong with the backup's files, by the manifest that PostgreSQL sent with them."""
    data = store.folder / "base" / backup / "data"
    if backup_info.packed(fields):
        wrong = packed_files.wrong(data, fields, _Pause())
        return manifest.first(wrong) if wrong else None
    tool = f"{_programs(fields)}/pg_verifybackup"
    # Its WAL is not beside it but in the archive, and is read there.
    code, complaint = _in_the_background([tool, "--no-parse-wal", "--quiet", str(data)])
    if code == 0:
        return None
    said = manifest.first(complaint.strip().splitlines() or [f"exit code {code}"])
    return said.removeprefix("pg_verifybackup: ").removeprefix("error: ")


class _Pause:
    """Called all the time by what reads for hours: it stands still while a runbook is at work."""

    def __init__(self) -> None:
        self._looked = 0.0

    def __call__(self) -> None:
        if time.monotonic() - self._looked < POLL_S:
            return
        while RUNBOOK.exists():
            time.sleep(POLL_S)
        self._looked = time.monotonic()


def _in_the_background(argv: list[str]) -> tuple[int, str]:
    """Run a program that reads for hours, and stands still while a runbook is at work: its exit
    code and its complaint."""
    with tempfile.TemporaryFile("w+", errors="replace") as said:
        process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=said)
        try:
            while process.poll() is None:
                process.send_signal(signal.SIGSTOP if RUNBOOK.exists() else signal.SIGCONT)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(POLL_S)
        finally:
            process.kill()
            process.wait()
        said.seek(0)
        return process.returncode, said.read()


def _stretch(store: Store, backup: str, known: dict[str, dict[str, str]]) -> list[str]:
    """The segments that belong to this backup: from its beginning to the next one's, or to the
    newest there is. A name may be missing in the archive."""
    first, last = known[backup]["begin_wal"], known[backup]["end_wal"]
    timeline = first[:8]
    later = [
        fields["begin_wal"]
        for name, fields in known.items()
        if name > backup and fields["status"] == "DONE" and fields["begin_wal"][:8] == timeline
    ]
    size = backup_info.segment_size(known[backup])
    begin, end = number_of(first, size), number_of(last, size) + 1
    if later:
        end = max(end, number_of(min(later), size))
    else:
        end = max([end, *(number_of(name, size) + 1 for name in store.archived(timeline))])
    return [name_of(timeline_of(first), number, size) for number in range(begin, end)]


def _wal(store: Store, name: str, scratch: Path, fields: dict[str, str]) -> str | None:
    """What is wrong with one archived segment, or None."""
    if not (store.folder / "wals" / name[:16] / name).exists():
        return "it is missing"
    plain = scratch / name
    try:
        wrong = store.segment(name, plain)
        if wrong:
            return wrong
        if plain.stat().st_size != backup_info.segment_size(fields):
            return f"it has {plain.stat().st_size} bytes"
        # Follows every record and its checksum.
        done = subprocess.run(
            [f"{_programs(fields)}/pg_waldump", "--quiet", plain],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            return None
        content = plain.read_bytes()
        # pg_waldump has nothing to begin with where no record does.
        continued = wal_records.continued(content)
        if continued == len(content) or _ends(store, name, content, done.stderr, continued):
            return None
        return done.stderr.strip().replace("\n", "; ")[:300]
    finally:
        plain.unlink(missing_ok=True)


def _ends(store: Store, name: str, content: bytes, complaint: str, continued: int) -> bool:
    """Whether a timeline that was left by a recovery ends here: the runbook archives its last
    segment as far as it was received, and nothing but zeros follows the last record."""
    timelines = {path.name[:8] for path in store.folder.glob("wals/" + "[0-9A-F]" * 16)}
    if name[:8] == max(timelines) or name != store.archived(name[:8])[-1]:
        return False
    reached = [int(low, 16) % len(content) for low in LSN.findall(complaint)]
    return bool(reached) and max(continued, *reached) >= len(content.rstrip(b"\0"))


def _programs(fields: dict[str, str]) -> str:
    return f"/usr/lib/postgresql/{int(fields['version']) // 10000}/bin"


def due(known: dict[str, dict[str, str]], history: list[dict], now: datetime) -> list[str]:
    """The complete backups to read now, in this order: those never read, newest first; then those
    not read for a long time, the longest first, while the day's budget lasts."""
    read = {entry["backup_id"]: datetime.fromisoformat(entry["at"]) for entry in history}
    complete = [name for name, fields in reversed(known.items()) if fields["status"] == "DONE"]
    new = [name for name in complete if name not in read]
    old = [name for name in complete if name in read and now - read[name] > AGAIN_AFTER]
    spent = sum(
        entry["seconds"]
        for entry in history
        if now - datetime.fromisoformat(entry["at"]) < timedelta(days=1)
    )
    if spent >= DAILY_BUDGET.total_seconds():
        return new
    return new + sorted(old, key=lambda name: read[name])


def _replace(path: Path, text: str) -> None:
    new = path.with_name(f".{path.name}.new")
    with new.open("w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    new.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description="Verify Barman's backups; as the user barman.")
    parser.add_argument("folder", type=Path, help="Barman's directory of one server")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--due", action="store_true", help="those not read yet, or not lately")
    what.add_argument("--backup", help="this one")
    what.add_argument("--accept", help="let this one be restored, corrupt or not")
    arguments = parser.parse_args()
    store = Store(arguments.folder)
    for name in filter(None, (arguments.backup, arguments.accept)):
        known = store.backups()
        ours = known.get(name, {}).get("error", "").startswith(backup_info.UNVERIFIED)
        if name not in known or not (known[name]["status"] == "DONE" or ours):
            sys.exit(f"{name} is no complete backup")
    if arguments.accept:
        # At once, whatever is being read.
        store.mark(arguments.accept, "DONE", None)
        return
    with (STATE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if arguments.backup:
            _verify_and_tell(store, arguments.backup)
        # Planned anew after each: a backup may have ended meanwhile.
        while arguments.due and (names := _due_now(store)):
            _verify_and_tell(store, names[0])


def _due_now(store: Store) -> list[str]:
    return due(store.backups(), histories.read(HISTORY), datetime.now(UTC))


def _verify_and_tell(store: Store, backup: str) -> None:
    entry = verify(store, backup)
    histories.append(HISTORY, entry)
    print(json.dumps(entry), flush=True)

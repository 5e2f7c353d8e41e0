"""Whether a server would start with the settings that a restart brings, tried on a new cluster."""

import fcntl
import json
import shutil
from contextlib import suppress
from pathlib import Path

from host.domain.paths import CLONES
from host.restored_copy import confinement
from host.restored_copy.copy import SUPERUSER, Copy
from host.restored_copy.files import AUTO_CONF
from host.restored_copy.rehearse import start_and_stop, without_recovery
from host.restored_copy.server import Failed, Server

# In capitals: no clone has such a name.
NAME = "TRIAL"
LOCK = "/run/trial.lock"
SLOTS = "pg_replslot"


def main(version: str, config_file: str, data: str) -> None:
    """Try the settings of the server with this configuration file and data directory; print as
    JSON {failed: why, or null}."""
    try:
        trial(version, config_file, data)
        failed = None
    except Failed as error:
        failed = str(error)
    print(json.dumps({"failed": failed}))


def trial(version: str, config_file: str, data: str) -> None:
    """Raises Failed, in PostgreSQL's words, where it would not start. Leaves nothing."""
    copy = Copy(f"{CLONES}/{NAME}", SUPERUSER, version, f"runbook-{NAME}")
    with Path(LOCK).open("w") as lock:
        # Of somebody else's trial, this one would make a failure.
        fcntl.flock(lock, fcntl.LOCK_EX)
        _try(copy, config_file, Path(data))


def _try(copy: Copy, config_file: str, data: Path) -> None:
    server, auto_conf = Server(copy), data / AUTO_CONF
    server.stop()
    shutil.rmtree(copy.folder, ignore_errors=True)
    for folder in (Path(CLONES), Path(copy.folder), Path(copy.data)):
        folder.mkdir(mode=0o755 if folder == Path(CLONES) else 0o700, exist_ok=True)
        shutil.chown(folder, copy.user, copy.user)
    try:
        initdb = [f"{copy.binaries}/initdb", "--no-sync", "--auth=peer", "-D", copy.data]
        made = server.command(initdb)
        if made.returncode:
            raise Failed(f"initdb: {made.stderr.strip()}")
        for name, text in confinement.files(copy, {}).items():
            Path(copy.folder, name).write_text(text)
        _adopt_slots(data, copy)
        settings = without_recovery(auto_conf.read_text()) if auto_conf.exists() else ""
        wrong = start_and_stop(server, confinement.rehearsal(copy, config_file), settings)
        if wrong:
            raise Failed(wrong)
    finally:
        shutil.rmtree(copy.folder, ignore_errors=True)


def _adopt_slots(data: Path, copy: Copy) -> None:
    """Give the new cluster the server's replication slots: with a logical one PostgreSQL starts
    only at wal_level = logical, and with more of them than max_replication_slots not at all."""
    for state in Path(data, SLOTS).glob("*/state"):
        slot = Path(copy.data, SLOTS, state.parent.name)
        # One may be dropped at this moment.
        with suppress(FileNotFoundError):
            content = state.read_bytes()
            slot.mkdir(mode=0o700)
            (slot / "state").write_bytes(content)
            for path in (slot, slot / "state"):
                shutil.chown(path, copy.user, copy.user)

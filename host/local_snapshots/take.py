"""A snapshot taken: the data directory and its tablespaces cloned between PostgreSQL's backup start
and backup stop."""

import errno
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from host.domain import reflink, sessions
from host.domain.disk import sync_file_system
from host.domain.packed import LINKS
from host.domain.paths import PORT, RECOVERY_MARKER, SNAPSHOTS, SOCKETS
from host.domain.wal import parse_lsn

from .snapshot import BACKUP_LABEL, DATA, TABLESPACES, Snapshot
from .space import Disk

# What pg_basebackup leaves out (src/backend/backup/basebackup.c): another server's, or made anew.
_EMPTY = frozenset(
    {
        *("pg_wal", "pg_replslot", "pg_dynshmem", "pg_notify", "pg_serial", "pg_snapshots"),
        *("pg_stat_tmp", "pg_subtrans", LINKS),
    }
)
_LEFT_OUT = frozenset(
    {
        *("postmaster.pid", "postmaster.opts", "backup_manifest", BACKUP_LABEL),
        *("tablespace_map", "pg_internal.init", "postgresql.auto.conf.tmp"),
    }
)
_TEMPORARY = "pgsql_tmp"
_VERSION = re.compile(r"PG_\d+_\d+")
_FACTS = """
SELECT json_build_object('in_recovery', pg_is_in_recovery(),
  'version', current_setting('server_version_num')::int,
  'data_directory', current_setting('data_directory'),
  'system_id', (SELECT system_identifier::text FROM pg_control_system()),
  'tablespaces', (SELECT coalesce(json_object_agg(oid, pg_tablespace_location(oid)), '{}')
    FROM pg_tablespace WHERE pg_tablespace_location(oid) <> ''))
"""
_START = "SELECT to_json(pg_backup_start('%s', fast => true))"
_STOP = "SELECT to_json(s) FROM pg_backup_stop(wait_for_archive => false) AS s"
_TIMELINE = re.compile(r"^START TIMELINE: (\d+)$", re.MULTILINE)


class Refused(Exception):
    """No snapshot can be taken, with the reason for the operator; none was."""


class Unanswered(Exception):
    """PostgreSQL refused, or is not there, in psql's words."""


def take(*, scheduled: bool) -> Snapshot:
    """Take one; it is on the disk when this returns. For one at a time. Raises Refused."""
    if Path(RECOVERY_MARKER).exists():
        raise Refused("a recovery is under way on this machine")
    disk = Disk.now()
    if disk.short:
        raise Refused(f"{disk}: snapshots leave a fifth of the disk free")
    began = time.time()
    name = time.strftime("snapshot-%Y%m%dT%H%M%SZ", time.gmtime(began))
    folder = Path(SNAPSHOTS, name)
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        raise Refused(f"there is a snapshot {name} already") from None
    try:
        with _session() as ask:
            snapshot = _taken(ask, folder, began, scheduled=scheduled)
        snapshot.keep()
    except (OSError, subprocess.SubprocessError, Unanswered) as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise Refused(_why(error)) from None
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return snapshot


def _why(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno in (errno.EXDEV, errno.EOPNOTSUPP):
        return (
            f"{error.filename or 'a file'} cannot be cloned to {SNAPSHOTS}: a tablespace on "
            "another disk, or a file system without reflinks"
        )
    return str(error)


def _taken(ask: Callable[[str], Any], folder: Path, began: float, *, scheduled: bool) -> Snapshot:
    begin = ask(_START % folder.name)
    # Only now: a tablespace that is made before the backup starts is in no WAL that is replayed.
    facts = ask(_FACTS)
    if facts["in_recovery"]:
        raise Unanswered("the server only replays")
    cloned = [reflink.clone(Path(facts["data_directory"]), folder / DATA, _wanted, in_use=True)]
    (folder / TABLESPACES).mkdir(mode=0o700)
    cloned += _tablespaces(folder, facts["tablespaces"])
    stopped = ask(_STOP)
    label: str = stopped["labelfile"]
    (folder / DATA / BACKUP_LABEL).write_text(label)
    _sync(folder)
    timeline = _TIMELINE.search(label)
    return Snapshot(
        id=folder.name,
        scheduled=scheduled,
        begin_time=began,
        end_time=time.time(),
        begin_lsn=parse_lsn(begin),
        end_lsn=parse_lsn(stopped["lsn"]),
        timeline=int(timeline[1]) if timeline else 0,
        system_id=facts["system_id"],
        version=facts["version"],
        data_directory=facts["data_directory"],
        tablespaces=facts["tablespaces"],
        files=sum(each.files for each in cloned) + 1,
        bytes=sum(each.bytes for each in cloned) + len(label.encode()),
    )


def _tablespaces(folder: Path, locations: Mapping[str, str]) -> Iterator[reflink.Cloned]:
    for oid, location in locations.items():
        target = folder / TABLESPACES / oid
        target.mkdir(mode=0o700)
        for versioned in _versioned(Path(location)):
            yield reflink.clone(versioned, target / versioned.name, _wanted, in_use=True)


def _versioned(location: Path) -> list[Path]:
    """PostgreSQL's own folder there; none once the tablespace has been dropped."""
    try:
        return [each for each in location.iterdir() if _VERSION.fullmatch(each.name)]
    except FileNotFoundError:
        return []


def _wanted(path: str) -> bool:
    """Whether a path below a data directory, or a tablespace's, belongs to a snapshot."""
    name = path.rpartition("/")[2]
    return path not in _EMPTY and name not in _LEFT_OUT and not name.startswith(_TEMPORARY)


class Ask:
    """One session, in which a backup that was started lives."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def __call__(self, sql: str) -> Any:
        """The one value that `sql` gives, from JSON. Raises Unanswered."""
        asking, answers = self._process.stdin, self._process.stdout
        if asking is None or answers is None:
            raise AssertionError("pipes were asked for")
        # Why it has ended, where it has, it has said.
        with suppress(BrokenPipeError):
            asking.write(f"{sql.strip()};\n".encode())
        said = answers.readline()
        if not said:
            raise Unanswered(self._complaint())
        return json.loads(said)

    def _complaint(self) -> str:
        self._process.wait(10)
        said = self._process.stderr.read().decode() if self._process.stderr else ""
        return said.strip() or f"psql ended with {self._process.returncode}"


@contextmanager
def _session() -> Iterator[Ask]:
    settings = f"{sessions.OPTIONS} -c synchronous_commit=local"
    environment = {**os.environ, "PGOPTIONS": settings, "PGAPPNAME": "local-snapshots"}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [
            *("psql", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1"),
            *("-h", SOCKETS, "-p", str(PORT), "-d", "postgres"),
        ],
        env=environment,
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        bufsize=0,
    ) as process:
        # Its end is that of the session, and of a backup that was not stopped.
        yield Ask(process)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        sync_file_system(descriptor)
    finally:
        os.close(descriptor)

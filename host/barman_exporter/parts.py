"""The parts that are looked at, each at its own pace: from files and answers to metrics."""

import json
import pwd
import ssl
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg2

from host.domain.paths import CURRENT_RUNBOOK
from host.domain.processes import receivers
from host.domain.wal import missing

from . import metrics
from .catalogue import Backup, Wals, backups
from .histories import at, entries, newest, unsound
from .server import Server, certificate_end
from .wal import Lag, received

NOT_KNOWN = float("nan")
CHECK_TIMEOUT_S = 120
OUTCOMES = ("passed", "failed", "declined")
STATUSES = ("DONE", "FAILED", "STARTED", "EMPTY", "WAITING_FOR_WALS", "SYNCING")


@dataclass(frozen=True)
class Places:
    """`base` is barman_home/SERVER; `drills` and `verifications` are files of histories."""

    server: str
    base: Path
    drills: Path
    verifications: Path


class Stream:
    """Whether WAL arrives: the server's own word against the bytes on Barman's disk."""

    def __init__(self, places: Places, server: Server) -> None:
        self._directory = places.base / "streaming"
        self._server = server
        self._lag = Lag()
        self._user = pwd.getpwnam("barman").pw_uid

    def look(self) -> None:
        metrics.RECEIVERS.set(receivers(self._user))
        try:
            flushed = self._server.flushed()
        except psycopg2.Error:
            metrics.SERVER_UP.set(0)
            for gauge in (metrics.SERVER_LSN, metrics.LAG_BYTES, metrics.LAG_SECONDS):
                gauge.set(NOT_KNOWN)
            return
        metrics.SERVER_UP.set(1)
        # All of it archived and nothing new received: that is not this file's business to tell.
        disk = received(self._directory, self._server.segment_size) or 0
        metrics.DISK_LSN.set(disk)
        if not flushed:
            # In recovery it writes no WAL of its own.
            for gauge in (metrics.SERVER_LSN, metrics.LAG_BYTES, metrics.LAG_SECONDS):
                gauge.set(NOT_KNOWN)
            return
        metrics.SERVER_LSN.set(flushed)
        metrics.LAG_BYTES.set(max(0, flushed - disk))
        metrics.LAG_SECONDS.set(self._lag.seconds(time.monotonic(), flushed, disk))


class Catalogue:
    """Backups and archived WAL."""

    def __init__(self, places: Places) -> None:
        self._base = places.base
        self._wals = Wals(places.base / "wals")

    def look(self) -> None:
        found = backups(self._base)
        statuses = Counter(backup.status for backup in found)
        for status in STATUSES:
            metrics.BACKUPS.labels(status).set(statuses[status])
        done = [backup for backup in found if backup.status == "DONE"]
        metrics.ATTEMPT_OK.set(bool(found) and found[-1].status != "FAILED")
        last = done[-1] if done else None
        metrics.BACKUP_AT.set((last and last.ended) or 0)
        metrics.BACKUP_BYTES.set(last.size if last else NOT_KNOWN)
        metrics.RESTORED_BYTES.set(last.restored if last else NOT_KNOWN)
        metrics.BACKUP_SECONDS.set(_duration(last))
        metrics.WINDOW_START.set((done[0].ended or 0) if done else 0)
        archive = self._wals.look()
        metrics.ARCHIVED_AT.set(archive.newest_at)
        metrics.CATALOGUE_BYTES.labels("backups").set(sum(backup.size for backup in found))
        metrics.CATALOGUE_BYTES.labels("wal").set(archive.bytes)
        for since, backup in (("window", done[:1]), ("last_backup", done[-1:])):
            begin = backup[0].begin_wal if backup else None
            absent = missing(archive.segments, begin, backup[0].segment_size) if begin else 0
            metrics.MISSING.labels(since).set(absent)
        metrics.CRON_AT.set(cron_started(self._base.parent))
        identity = self._base / "identity.json"
        metrics.SINCE.set(identity.stat().st_mtime if identity.exists() else NOT_KNOWN)


def cron_started(home: Path) -> float:
    """When cron started `barman cron` last, by the lock that it takes then (files/barman-guarded).
    A run that has paused it knows when to resume it."""
    if Path(CURRENT_RUNBOOK).exists():
        return time.time()
    lock = home / ".cron-cron.lock"
    return lock.stat().st_mtime if lock.exists() else 0


def _duration(backup: Backup | None) -> float:
    if backup is None or backup.began is None or backup.ended is None:
        return NOT_KNOWN
    return backup.ended - backup.began


class Checks:
    """Barman's own word, line by line. Costs a second of CPU, so it is asked rarely."""

    def __init__(self, places: Places) -> None:
        self._server = places.server

    def look(self) -> None:
        done = subprocess.run(
            ["/usr/bin/barman", "-f", "json", "check", self._server],
            capture_output=True,
            text=True,
            check=False,
            timeout=CHECK_TIMEOUT_S,
        )
        lines = json.loads(done.stdout)[self._server]
        metrics.CHECK_OK.clear()
        for name, line in lines.items():
            if isinstance(line, dict):
                metrics.CHECK_OK.labels(name).set(line.get("status") == "OK")


class Certificate:
    """The certificate that PostgreSQL shows to Barman."""

    def __init__(self, dsn: Callable[[], str]) -> None:
        self._dsn = dsn

    def look(self) -> None:
        try:
            end = certificate_end(self._dsn())
        except ssl.SSLError:
            metrics.CERTIFICATE_OK.set(0)
            return
        except OSError:
            # A server that is not there shows none: that is said elsewhere.
            metrics.CERTIFICATE_OK.set(NOT_KNOWN)
            metrics.CERTIFICATE_END.set(NOT_KNOWN)
            return
        metrics.CERTIFICATE_OK.set(1)
        metrics.CERTIFICATE_END.set(NOT_KNOWN if end is None else end)


class Histories:
    """What restore drills and verifications of backups came to."""

    def __init__(self, places: Places) -> None:
        self._places = places

    def look(self) -> None:
        drills = entries(self._places.drills)
        for outcome in OUTCOMES:
            metrics.DRILL_AT.labels(outcome).set(at(newest(drills, outcome=outcome)))
            metrics.DRILL_LAST.labels(outcome).set(
                bool(drills) and drills[-1].get("outcome") == outcome
            )
        passed = newest(drills, outcome="passed") or {}
        metrics.DRILL_RTO.set(_number(passed.get("rto_s")))
        metrics.DRILL_RPO.set(_number(passed.get("rpo_s")))
        verifications = entries(self._places.verifications)
        for result, ok in (("ok", True), ("failed", False)):
            metrics.VERIFIED_AT.labels(result).set(at(newest(verifications, ok=ok)))
        metrics.VERIFICATION_OK.set(not unsound(backups(self._places.base), verifications))


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else NOT_KNOWN

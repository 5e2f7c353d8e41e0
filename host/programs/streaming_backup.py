"""Joins Barman to PostgreSQL: slot, receiver, first archived WAL, first full backup, then cron.

Runs on the Barman machine. Every step looks first and acts only if it must, so running it on a
healthy pair changes nothing and running it after an interruption goes on where that one ended.
"""

import json
import re
from collections.abc import Callable
from typing import Any

from host.domain import sessions
from host.domain.paths import BARMAN_BACKUP_CONF
from host.domain.processes import APPLICATION_NAME, RECEIVER
from host.programs.converge import ConvergeError, Host, conclude

# What cannot be true before there is a first backup.
NEEDS_BACKUP = frozenset(
    {"minimum_redundancy_requirements", "backup_maximum_age", "wal_maximum_age"}
)
# Red until somebody deletes the backup that failed, whatever good ones came after it.
PAST = "failed_backups"
DURABILITY_TIMEOUT_S = 90
BACKUP_TIMEOUT_S = 7 * 24 * 3600


def main(desired: dict[str, Any]) -> int:
    host = Host()
    return conclude(
        host, "streaming_backup", desired, lambda: StreamingBackup(host, desired).converge()
    )


class StreamingBackup:
    """The backup of one server, as its Barman sees it."""

    def __init__(self, host: Host, desired: dict[str, Any]) -> None:
        self.host = host
        self.server: str = desired["server"]
        self.slot: str = desired["slot"]
        self.cron = desired["cron"]
        self.durability: str = desired["durability"]

    def converge(self) -> dict[str, Any]:
        """Everything running and proven. Raises ConvergeError naming the checks that fail."""
        self.host.wait("Barman to connect to PostgreSQL", self._connects)
        self._create_slot()
        self._start_receiver()
        if self._failed() - NEEDS_BACKUP:
            self._archive_segment(
                "the first WAL segment", lambda: not self._failed() - NEEDS_BACKUP
            )
        self._require(NEEDS_BACKUP)
        self._first_backup()
        self._require(frozenset())
        self._install_cron()
        self._prove_durability()
        return {"backup": self._backups("DONE")[0]}

    def _install_cron(self) -> None:
        """cron ignores a whole file in which one line is wrong, and says so in its log alone: it is
        asked beforehand."""
        self.host.run("crontab", "-n", "-", stdin=without_users(self.cron["content"]))
        if self.host.files([self.cron]):
            self.host.note("installed cron")
        self.host.run_unit("cron", restart=False)

    def _connects(self) -> bool:
        failed = self._failed()
        return not failed & {"postgresql", "postgresql_streaming", "systemid_coherence"}

    def _create_slot(self) -> None:
        if "replication_slot" in self._failed() and not self._slot_exists():
            self._barman("receive-wal", "--create-slot", self.server)
            self.host.note(f"created replication slot {self.slot}")

    def _slot_exists(self) -> bool:
        slot = self._status().get("replication_slot")
        return slot not in (None, "None", "")

    def _start_receiver(self) -> None:
        self._restart_outdated_receiver()
        if "receive_wal_running" in self._failed():
            # cron is what keeps the receiver running; its first run need not wait for the minute.
            self._barman("cron")
            self.host.wait(
                "the WAL receiver to run", lambda: "receive_wal_running" not in self._failed()
            )
            self.host.note("started the WAL receiver")

    def _restart_outdated_receiver(self) -> None:
        """A receiver from before this version of the program confirms WAL too late."""
        running = self.host.run("pgrep", "-u", "barman", "-a", "-f", RECEIVER, accept=(0, 1)).stdout
        if "pg_receivewal" in running and "--synchronous" not in running:
            self._barman("receive-wal", "--stop", self.server)
            self.host.wait(
                "the WAL receiver to end",
                lambda: not self.host.run("pgrep", "-f", RECEIVER, accept=(0, 1)).stdout,
            )

    def _prove_durability(self) -> None:
        """The guard on PostgreSQL's machine makes commits wait once it has seen this receiver
        confirm WAL, so nothing has to be undone here if it does not."""
        wanted = "async" if self.durability == "async" else "sync"
        try:
            self.host.wait(
                f"sync_state {wanted}", lambda: self._sync_state() == wanted, DURABILITY_TIMEOUT_S
            )
        except ConvergeError:
            raise ConvergeError(
                f"durability {self.durability} was not reached: the receiver's sync_state is "
                f"{self._sync_state() or 'unknown (not connected)'}. Commits do not wait for "
                "Barman; everything else is done. The guard keeps trying, and logs why on "
                "PostgreSQL's machine: journalctl -u durability-guard. Then run pulumi up again"
            ) from None

    def _sync_state(self) -> str:
        return self._psql(
            "SELECT sync_state FROM pg_stat_replication "  # noqa: S608 - a constant
            f"WHERE application_name = '{APPLICATION_NAME}'"
        )

    def _psql(self, statement: str) -> str:
        """What PostgreSQL answers, asked as Barman connects to it."""
        return self.host.run(
            *("psql", "-X", "-A", "-q", "-t", "-d", self._status()["conninfo"]),
            user="barman",
            environment={"PGOPTIONS": sessions.OPTIONS},
            stdin=statement,
        ).stdout.strip()

    def _archive_segment(self, what: str, arrived: Callable[[], bool]) -> None:
        """End the current segment and archive until `arrived`.

        The receiver closes a segment when it sees the next one begin, and after a switch an idle
        database writes nothing for up to 15 s (the background writer's own snapshot): one small
        record ends the wait.
        """
        self._barman("switch-wal", "--force", self.server)
        self._psql("SELECT pg_create_restore_point('barman joined')")
        self.host.wait(f"{what} to be archived", lambda: self._archive_and(arrived))
        self.host.note(f"archived {what}")

    def _archive_and(self, arrived: Callable[[], bool]) -> bool:
        # Exit code 1: cron's own archiver is at work at this moment, which is as good.
        self.host.run("barman", "archive-wal", self.server, user="barman", accept=(0, 1))
        return arrived()

    def _first_backup(self) -> None:
        if self._backups("DONE"):
            return
        if not self._backups("WAITING_FOR_WALS"):
            print("taking the first full backup", flush=True)
            words = ("-c", BARMAN_BACKUP_CONF, "backup", "--immediate-checkpoint")
            self._barman(*words, self.server, timeout_s=BACKUP_TIMEOUT_S)
            self.host.note("took the first full backup")
        # The backup's last segment stays partial until one after it begins, on an idle database
        # for ever: `backup --wait` would wait as long.
        self._archive_segment("the backup's WAL", self._backup_is_complete)

    def _backup_is_complete(self) -> bool:
        """Barman looks at waiting backups once a minute by itself."""
        for backup in self._backups("WAITING_FOR_WALS"):
            self._barman("check-backup", self.server, backup)
        return bool(self._backups("DONE"))

    def _require(self, excepted: frozenset[str]) -> None:
        failed = self._failed() - excepted
        if failed:
            details = self.host.run("barman", "check", self.server, user="barman", accept=(0, 1))
            raise ConvergeError(
                f"barman check {self.server} reports: {', '.join(sorted(failed))}. "
                f"Roles, slot and files stay as they are; fix it and run pulumi up again.\n"
                f"{details.stdout.strip()}"
            )

    def _failed(self) -> set[str]:
        """Names of the lines of `barman check` that are not OK, of what is so now."""
        checks = self._json("check", self.server, accept=(0, 1))[self.server]
        return {
            name
            for name, result in checks.items()
            if isinstance(result, dict) and result.get("status") != "OK" and name != PAST
        }

    def _status(self) -> dict[str, Any]:
        return self._json("show-servers", self.server)[self.server]

    def _backups(self, status: str) -> list[str]:
        """Ids of the backups in this state, the newest first."""
        backups = self._json("list-backups", self.server)[self.server]
        return [backup["backup_id"] for backup in backups if backup["status"] == status]

    def _json(self, *words: str, accept: tuple[int, ...] = (0,)) -> dict[str, Any]:
        done = self.host.run("barman", "-f", "json", *words, user="barman", accept=accept)
        return json.loads(done.stdout)

    def _barman(self, *words: str, timeout_s: float = 600) -> None:
        self.host.run("barman", *words, user="barman", timeout_s=timeout_s)


def without_users(system_crontab: str) -> str:
    """A file of /etc/cron.d as crontab(1) reads it: a user's own has no column for the user."""
    return re.sub(r"^((?:[\d*]\S*\s+)(?:\S+\s+){4})\S+\s+", r"\1", system_crontab, flags=re.M)

"""The service: looks every second, acts by the rules, remembers, and tells systemd it is alive."""

import json
import os
import signal
import socket
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from host.domain import paths

from . import metrics
from .decision import (
    UNSEEN,
    WORTH_TELLING_S,
    Action,
    Exposure,
    Level,
    Policy,
    Server,
    State,
    exposed,
    failed_to_enable,
    step,
)
from .history import History, boot_id
from .server import Postgres, Seen

CONFIGURATION = Path("/etc/durability-guard.json")
HISTORY = Path(paths.DURABILITY_HISTORY)
# On a file system in memory: it outlives this process, not this boot, as its clock readings do.
STATUS = Path("/run/durability-guard/status.json")
# Read by the node exporter.
METRICS = Path("/run/durability-guard/durability-guard.prom")
PERIOD_S = 1.0
# While Barman is on its way back every look is a proof.
HURRY_S = 0.3
# Somebody else's setting, by ALTER SYSTEM, stays whatever is reloaded.
RELOADS, RELOAD_AGAIN_S = 3, 2.0


class Guard:
    """One guard of one server."""

    def __init__(self, policy: Policy, postgres: Postgres, history: History, boot: str) -> None:
        self.policy = policy
        self.postgres = postgres
        self.history = history
        self.boot = boot
        self.state = _remembered(postgres.enabled(), policy, boot, history.exposed)
        self._complaint = ""
        self._reloads = 0
        self._reloaded_at = 0.0
        self._proving = False
        self._blind = False
        self._written = 0

    def run(self) -> None:
        """For ever."""
        notify("READY=1")
        while True:
            seen = self.cycle()
            notify(f"WATCHDOG=1\nSTATUS={self._sentence(seen)}")
            self._proving = self._may_enable and not self.state.enabled and seen.look.receiver
            time.sleep(HURRY_S if self._proving else PERIOD_S)

    def cycle(self) -> Seen:
        """One look, and what follows from it."""
        seen = self.postgres.look(probe=self._proving)
        self._written = seen.look.written or self._written
        before = self.state
        after, action = step(self.policy, before, seen.look)
        if action is Action.DISABLE:
            # Recorded first: what is acknowledged without Barman is inside an interval whatever
            # happens between these lines.
            if self.history.exposed != after.exposure:
                self._expose(after.exposure, seen, waited=before.waiting_s(seen.look.now))
            if not self.postgres.disable():
                self._complain(
                    "PostgreSQL did not disable synchronous replication; look for errors in its log"
                )
                after = before
        elif action is Action.ENABLE and not self.postgres.enable():
            self._complain(
                "PostgreSQL did not enable synchronous replication; look for errors in its log"
            )
            after = failed_to_enable(before, seen.look.now)
        self.state = after
        self._tell_whether_blind(seen)
        if action is Action.KEEP:
            self._remember(seen)
            self._keep_in_step(seen)
        self._write_status(seen)
        return seen

    def _keep_in_step(self, seen: Seen) -> None:
        """PostgreSQL does as the file says, whatever became of a reload: of a guard that was killed
        before it, or one that the checkpointer, by which sessions know, has not noticed."""
        look = seen.look
        if look.server not in (Server.UP, *UNSEEN) or look.runbook:
            return
        waiting = look.held if look.server in UNSEEN else seen.waiting_commits > 0
        held = not self.state.enabled and not look.waits and waiting
        if look.waits == self.state.enabled and not held:
            self._reloads = 0
        elif self._reloads < RELOADS and look.now >= self._reloaded_at + RELOAD_AGAIN_S:
            self._reloads, self._reloaded_at = self._reloads + 1, look.now
            self.postgres.reload()
        if held:
            self.postgres.cancel_waits()

    @property
    def _may_enable(self) -> bool:
        return self.policy.level is not Level.ASYNC

    def _remember(self, seen: Seen) -> None:
        """Bring the history up to what is."""
        look = seen.look
        reason = exposed(self.state, look)
        if reason is not None and self.history.exposed != reason:
            self._expose(reason, seen)
        elif reason is None and self.history.exposed is not None and self.state.settled:
            record = self._append("protected", seen)
            say(5, f"commits wait for Barman again, after {record.get('seconds', '?')} s")
        waited = self.state.waiting_s(look.now)
        if waited >= WORTH_TELLING_S and not self.history.waiting:
            self._append("waiting", seen)
            say(4, f"Barman has confirmed nothing for {waited:.0f} s: commits wait")
        elif waited < WORTH_TELLING_S and self.history.waiting:
            self._append("answered", seen)

    def _tell_whether_blind(self, seen: Seen) -> None:
        blind = seen.look.server in UNSEEN
        if blind and not self._blind:
            say(3, f"cannot ask PostgreSQL, goes by what its processes show: {seen.problem}")
        elif self._blind and not blind:
            say(5, "can ask PostgreSQL again, or it has stopped")
        self._blind = blind

    def _expose(self, reason: Exposure, seen: Seen, waited: float = 0.0) -> None:
        self._append("exposed", seen, reason=reason, level=self.policy.level, waited=round(waited))
        alarm = reason in (Exposure.FALLBACK, Exposure.OVERRIDDEN)
        say(
            3 if alarm else 5,
            f"commits do not wait for Barman from now on ({reason})"
            + (f", after waiting {waited:.0f} s: RPO IS NOT 0" if alarm else ""),
        )

    def _append(self, event: str, seen: Seen, **details: Any) -> dict[str, Any]:
        try:
            return self.history.append(event, seen.look.now, self._written, **details)
        except OSError as error:
            # A full disk must not keep commits waiting; the journal has it.
            say(3, f"cannot write the history: {error}; lost entry: {event} {details}")
            return {}

    def _complain(self, text: str) -> None:
        if text != self._complaint:
            say(3, text)
        self._complaint = text

    def _sentence(self, seen: Seen) -> str:
        if self.history.exposed:
            return f"commits do not wait for Barman ({self.history.exposed})"
        if self._blind:
            return f"cannot ask PostgreSQL: {seen.problem}"
        if self.history.waiting:
            return f"commits wait for Barman, which does not answer; {seen.waiting_commits} waiting"
        return "every commit is on Barman's disk before it is acknowledged"

    def _write_status(self, seen: Seen) -> None:
        status = {
            "boot": self.boot,
            "level": self.policy.level,
            "fallback_after_s": self.policy.fallback_after_s,
            "exposed": self.history.exposed,
            "waiting_s": round(self.state.waiting_s(seen.look.now), 1),
            "waiting_commits": seen.waiting_commits,
            "problem": seen.problem,
            "look": asdict(seen.look),
            "state": asdict(self.state),
        }
        figures = metrics.text(
            self.history.exposed, status["waiting_s"], seen.waiting_commits, blind=self._blind
        )
        try:
            for path, text in ((STATUS, json.dumps(status)), (METRICS, figures)):
                new = path.with_suffix(".new")
                new.write_text(text)
                new.replace(path)
        except OSError as error:
            self._complain(f"cannot write the status: {error}")


def _remembered(enabled: bool, policy: Policy, boot: str, exposed: str | None) -> State:
    """The state as the last process left it in this boot; the file on disk has the last word.

    `exposed` is the history's last word: an interval goes on over a reboot for the same reason.
    """
    lasting = exposed is not None and exposed != Exposure.CHOSEN
    fresh = State(enabled=enabled, exposure=Exposure(exposed) if lasting else Exposure.NOT_YET)
    try:
        status = json.loads(STATUS.read_text())
        known = State(**status["state"] | {"exposure": Exposure(status["state"]["exposure"])})
    except (OSError, ValueError, TypeError, KeyError):
        return fresh
    same = status["boot"] == boot and status["level"] == policy.level and known.enabled == enabled
    return known if same else fresh


def say(priority: int, text: str) -> None:
    """A line for the journal, with syslog's priority."""
    print(f"<{priority}>{text}", file=sys.stderr, flush=True)


def notify(message: str) -> None:
    """Tell systemd."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.connect(address.replace("@", "\0", 1) if address[0] == "@" else address)
        channel.send(message.encode())


def main() -> None:
    """Run as a service; the configuration is read once, a new one needs a restart."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    configuration = json.loads(CONFIGURATION.read_text())
    boot = boot_id()
    Guard(
        Policy(Level(configuration["level"]), float(configuration["fallback_after_s"])),
        Postgres(
            configuration["socket"],
            Path(configuration["file"]),
            Path(configuration["recovery_marker"]),
        ),
        History(HISTORY, boot),
        boot,
    ).run()

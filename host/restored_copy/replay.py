"""WAL replayed into a copy until it is a server of its own, and how far that was."""

import json
import re
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from host.domain import server_log
from host.domain.control_data import minimums
from host.domain.wal import HISTORY, show_lsn, switchpoints
from host.restored_copy import progress
from host.restored_copy.copy import Copy
from host.restored_copy.feed import FeedProcess
from host.restored_copy.files import locations
from host.restored_copy.reserve import require_reserve
from host.restored_copy.server import Failed, Refused, Server
from host.restored_copy.store import Store

POLL_S = 0.25
# PostgreSQL's complaint where WAL makes a tablespace (commands/tablespace.c): there is no such
# directory in the copy's view of the machine, or only another server's, which it cannot write.
NO_DIRECTORY = re.compile(
    r'(?:FATAL|ERROR): +(?:could not set permissions on )?directory "(.+?)"(?: does not exist|:)'
)
STATE = """
SELECT json_build_object('in_recovery', pg_is_in_recovery(),
  'last_commit', extract(epoch FROM pg_last_xact_replay_timestamp()))
"""
TIMELINE = """
SELECT ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int
"""


def main(
    document: dict[str, Any], store: dict[str, Any], properties: dict[str, str], reserve: int
) -> None:
    """Replay, while more than `reserve` bytes are free, and print what came of it as JSON: what
    `replay` returns, or {failed: why}."""
    copy = Copy(**document)
    try:
        found = replay(
            copy,
            Store(**store),
            properties,
            lambda: require_reserve(copy, reserve),
            reserve=reserve,
        )
    except Failed as failed:
        found = {"failed": str(failed)}
    print(json.dumps(found))


def replay(
    copy: Copy,
    store: Store,
    properties: Mapping[str, str],
    watch: Callable[[], None],
    *,
    reserve: int,
) -> dict[str, Any]:
    """Start the copy and return once it accepts connections, promoted: {timeline, reached,
    last_commit}. `reached` is the position at which it left the timeline it replayed, `last_commit`
    is in seconds since 1970; each is None where it is not known.

    `watch` is called all the time; what it raises ends the copy. WAL that is fetched ahead leaves
    `reserve` bytes of the disk free. Raises Failed, which leaves no server running.
    """
    server = Server(copy)
    feed = FeedProcess(copy, store, reserve)
    try:
        last_commit = Replay(server, feed, properties, watch).through()
        return arrival(server, last_commit)
    except BaseException:
        server.stop()
        raise
    finally:
        feed.stop()


class Replay:
    """One replay, started again where WAL asks for what could not be known before."""

    def __init__(
        self,
        server: Server,
        feed: FeedProcess,
        properties: Mapping[str, str],
        watch: Callable[[], None],
    ) -> None:
        self.server, self.feed, self.properties, self.watch = server, feed, properties, watch
        self.locations = locations(Path(server.copy.data))
        self.damaged = ""
        # What a server that was running already was given is not known.
        self.asked_for: dict[str, str] = {}

    def through(self) -> float | None:
        """Until it accepts connections; the last commit that was replayed."""
        if not self.server.running():
            self._start()
        while True:
            self.watch()
            self._listen()
            with suppress(Refused):
                state = json.loads(self.server.query(STATE))
                if not state["in_recovery"]:
                    return state["last_commit"]
            if not self.server.running():
                self._again()
            time.sleep(POLL_S)

    def _start(self) -> None:
        copy = self.server.copy
        for location in self.locations:
            # Its user's, as is what stands around it.
            folder = copy.tablespace(location)
            subprocess.run(self.server.as_user(["mkdir", "-p", "-m", "0700", folder]), check=True)
        control = self.server.control()
        self.asked_for = minimums(control)
        self.server.start(control, self.locations, self.properties)

    def _again(self) -> None:
        """Start it again with what it lacked. Raises Failed when that was not it."""
        self._listen()
        logged = self.server.logged()
        reason = server_log.reason(logged)
        missing = NO_DIRECTORY.search(reason)
        if missing and missing[1] not in self.locations:
            self.locations.append(missing[1])
            progress.note(self.server.copy, f"the WAL makes a tablespace at {missing[1]}")
        elif minimums(self.server.control()) != self.asked_for:
            progress.note(self.server.copy, "the WAL asks for higher settings than the backup had")
        else:
            raise Failed(self._explain(reason))
        self._start()

    def _listen(self) -> None:
        """Take what the feed tells."""
        for what, name in self.feed.told():
            if what == "asked":
                progress.at(self.server.copy, name)
            elif what == "outage":
                progress.note(
                    self.server.copy, "WAL cannot be fetched from Barman; trying again and again"
                )
            else:
                self.damaged = name

    def _explain(self, reason: str) -> str:
        if self.damaged:
            return (
                f"Barman has the WAL file {self.damaged} and cannot read it: it is damaged. Replay "
                "stopped before it; what was committed later is in that file and the ones after "
                "it. Either put a sound copy in its place on Barman's machine (the old data "
                "directory's pg_wal may still have one), or recover to a moment before it."
            )
        if "recovery ended before configured recovery target was reached" in reason:
            return f"The WAL ends before the target: {reason}"
        return f"PostgreSQL stopped while replaying: {reason}"


def arrival(server: Server, last_commit: float | None) -> dict[str, Any]:
    """Where a copy that was promoted has left the timeline it replayed."""
    timeline = int(server.query(TIMELINE))
    history = Path(server.copy.data, "pg_wal", f"{timeline:08X}{HISTORY}")
    left = switchpoints(history.read_text()) if history.exists() else []
    reached = show_lsn(left[-1].lsn) if left else None
    return {"timeline": timeline, "reached": reached, "last_commit": last_commit}

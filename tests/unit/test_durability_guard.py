"""The durability guard's rules, for every order of events that a second can bring."""

import json
import socket
import struct
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host.durability_guard.decision import (
    PATIENCE_S,
    PROOFS,
    Action,
    Exposure,
    Level,
    Look,
    Policy,
    Server,
    State,
    exposed,
    step,
)
from host.durability_guard.history import History, lsn, read
from host.durability_guard.wire import Connection, WireError

FALLBACK = Policy(Level.FALLBACK, 30.0)
SYNC = Policy(Level.SYNC, 30.0)
HEALTHY = Look(0.0, Server.UP, waits=True, receiver=True, synchronous=True)


class Simulation:
    """A server and a Barman as simple as they can be, with the rules between them."""

    def __init__(self, policy: Policy, state: State | None = None) -> None:
        self.policy = policy
        self.state = state or State()
        self.now = 0.0
        self.written = 1000
        self.confirmed = 1000
        self.waits = self.state.armed
        self.released_at: list[float] = []
        self.armed_at: list[float] = []

    def second(self, *, barman: bool, server: Server = Server.UP, runbook: bool = False) -> Look:
        """One second passes in which commits are made, and Barman is there or not."""
        self.now += 1.0
        if server is Server.UP:
            self.written += 100
            if barman:
                self.confirmed = self.written
        look = Look(
            now=self.now,
            server=server,
            runbook=runbook,
            waits=self.waits and server is Server.UP,
            receiver=barman and server is Server.UP,
            synchronous=barman and self.waits,
            written=self.written,
            confirmed=self.confirmed,
        )
        self.state, action = step(self.policy, self.state, look)
        if action is Action.ARM:
            self.waits = True
            self.armed_at.append(self.now)
        elif action is Action.RELEASE:
            self.waits = False
            self.released_at.append(self.now)
        return look


seconds = st.lists(
    st.tuples(st.booleans(), st.sampled_from(list(Server)), st.booleans()), max_size=200
)


@given(seconds)
def test_sync_never_lets_a_commit_go_while_the_server_runs(
    events: list[tuple[bool, Server, bool]],
) -> None:
    world = Simulation(SYNC, State(armed=True))
    for barman, server, runbook in events:
        armed_before, released = world.waits, len(world.released_at)
        settled = world.state.settled
        world.second(barman=barman, server=server, runbook=runbook)
        if len(world.released_at) > released and settled and armed_before:
            assert runbook
            assert server in (Server.DOWN, Server.IN_RECOVERY)


@given(seconds, st.integers(min_value=5, max_value=60))
def test_fallback_ends_every_wait_in_time(
    events: list[tuple[bool, Server, bool]], limit: int
) -> None:
    world = Simulation(Policy(Level.FALLBACK, float(limit)), State(armed=True))
    for barman, server, runbook in events:
        world.second(barman=barman, server=server, runbook=runbook)
    # Whatever came before: from now on Barman is away and somebody commits every second.
    for _ in range(limit + 2):
        world.second(barman=False)
    assert not world.waits


@given(seconds)
def test_it_comes_back_from_everything(events: list[tuple[bool, Server, bool]]) -> None:
    world = Simulation(FALLBACK)
    for barman, server, runbook in events:
        world.second(barman=barman, server=server, runbook=runbook)
    for _ in range(60):
        world.second(barman=True)
    assert world.waits
    assert world.state.settled


@given(seconds)
def test_what_the_state_says_is_what_the_server_does(
    events: list[tuple[bool, Server, bool]],
) -> None:
    world = Simulation(FALLBACK)
    for barman, server, runbook in events:
        look = world.second(barman=barman, server=server, runbook=runbook)
        assert world.state.armed == world.waits
        if not world.waits:
            assert exposed(world.state, replace(look, waits=False)) is not None


@given(seconds)
def test_async_waits_for_nobody(events: list[tuple[bool, Server, bool]]) -> None:
    world = Simulation(Policy(Level.ASYNC, 30.0), State(armed=True))
    for barman, server, runbook in events:
        world.second(barman=barman, server=server, runbook=runbook)
        assert not world.waits


def test_a_commit_is_released_within_the_set_time_and_two_looks() -> None:
    world = Simulation(FALLBACK, State(armed=True))
    world.second(barman=True)
    began = world.now
    while world.waits:
        world.second(barman=False)
    assert 30 <= world.now - began <= 32
    assert world.state.exposure is Exposure.FALLBACK


def test_a_dead_connection_that_still_looks_alive_counts_as_away() -> None:
    state = State(armed=True)
    look = replace(HEALTHY, written=2000, confirmed=1000)
    for now in range(29):
        state, action = step(FALLBACK, state, replace(look, now=float(now)))
        assert action is Action.KEEP
    _, action = step(FALLBACK, state, replace(look, now=30.0))
    assert action is Action.RELEASE


def test_a_slow_barman_that_goes_on_confirming_is_not_away() -> None:
    state = State(armed=True)
    for second in range(600):
        # Five seconds behind, for ever.
        look = replace(
            HEALTHY, now=float(second), written=second * 100, confirmed=max(0, second - 5) * 100
        )
        state, action = step(FALLBACK, state, look)
        assert action is Action.KEEP


def test_a_receiver_that_confirms_only_whole_segments_is_never_trusted() -> None:
    state = State()
    for second in range(300):
        look = Look(float(second), Server.UP, receiver=True, written=1000 + second, confirmed=1000)
        state, action = step(FALLBACK, state, look)
        assert action is Action.KEEP


def test_a_switch_that_is_not_confirmed_is_taken_back_at_any_level() -> None:
    for policy in (SYNC, FALLBACK):
        state = State(armed=True, settled=False)
        look = replace(HEALTHY, synchronous=False, written=100, confirmed=50)
        state, action = step(policy, state, look)
        assert action is Action.KEEP
        state, action = step(policy, state, replace(look, now=PATIENCE_S))
        assert action is Action.RELEASE
        assert state.not_before > PATIENCE_S


def test_arming_takes_three_proofs() -> None:
    world = Simulation(FALLBACK)
    while not world.waits:
        world.second(barman=True)
    assert world.now == PROOFS + 1


def test_a_runbook_is_left_alone_while_the_server_runs() -> None:
    world = Simulation(FALLBACK, State(armed=True))
    for _ in range(100):
        world.second(barman=False, runbook=True)
    assert world.waits
    world.second(barman=False, runbook=True, server=Server.DOWN)
    assert not world.waits
    for _ in range(100):
        world.second(barman=True, runbook=True)
    assert not world.waits


def test_history_pairs_by_the_clock_that_never_jumps(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    kept = History(path, "boot-1")
    kept.append("exposed", 100.0, 0x1_0000_0028, reason="fallback")
    again = History(path, "boot-1")
    assert again.exposed == "fallback"
    assert again.append("protected", 112.5, 0x1_0000_0100)["seconds"] == 12.5
    assert History(path, "boot-1").exposed is None
    assert [event["event"] for event in read(path)] == ["exposed", "protected"]
    assert read(path)[0]["lsn"] == "1/28" == lsn(0x1_0000_0028)


def test_history_of_another_boot_has_no_duration(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    History(path, "boot-1").append("exposed", 5000.0, 0, reason="fallback")
    assert "seconds" not in History(path, "boot-2").append("protected", 10.0, 0)


@given(st.integers(min_value=1, max_value=200))
@settings(max_examples=50)
def test_a_line_cut_off_by_a_crash_costs_only_itself(cut: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "history.jsonl"
        kept = History(path, "b")
        kept.append("exposed", 1.0, 0, reason="fallback")
        whole = path.stat().st_size
        kept.append("protected", 2.0, 0)
        with path.open("r+b") as stream:
            stream.truncate(max(whole, path.stat().st_size - cut))
        History(path, "b").append("waiting", 3.0, 0)
        events = [event["event"] for event in read(path)]
        assert events[0] == "exposed"
        assert events[-1] == "waiting"


def test_history_in_memory_goes_on_when_the_disk_does_not(tmp_path: Path) -> None:
    kept = History(tmp_path / "missing" / "history.jsonl", "b")
    with pytest.raises(OSError):
        kept.append("exposed", 1.0, 0, reason="fallback")
    assert kept.exposed == "fallback"


def message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


READY = message(b"R", struct.pack("!I", 0)) + message(b"Z", b"I")


def answering(path: Path, *answers: bytes) -> None:
    """A server that says `answers`, one per message it gets, then hangs up."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen()

    def serve() -> None:
        peer, _ = listening.accept()
        with listening, peer:
            for answer in answers:
                peer.recv(65536)
                peer.sendall(answer)

    threading.Thread(target=serve, daemon=True).start()


def test_the_wire_reads_rows_and_nulls(tmp_path: Path) -> None:
    row = struct.pack("!HI", 2, 2) + b"42" + struct.pack("!i", -1)
    answering(tmp_path / "s", READY, message(b"D", row) + message(b"Z", b"I"))
    with Connection(str(tmp_path / "s"), "postgres", "", 2.0) as session:
        assert session.query("SELECT 42, NULL") == [["42", None]]


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ((message(b"E", b"SFATAL\0C57P03\0Mstarting up\0\0"),), WireError),
        ((message(b"R", struct.pack("!I", 10)),), WireError),
        ((b"",), OSError),
        ((READY, message(b"E", b"SERROR\0C42601\0Mbad\0\0") + message(b"Z", b"I")), WireError),
        ((READY, b"D\0\0"), OSError),
    ],
)
def test_the_wire_says_when_it_is_refused(
    tmp_path: Path, answers: tuple[bytes, ...], expected: type[Exception]
) -> None:
    answering(tmp_path / "s", *answers)
    with (
        pytest.raises(expected),
        Connection(str(tmp_path / "s"), "postgres", "", 2.0) as session,
    ):
        session.query("SELECT 1")


def test_the_wire_gives_up_on_a_mute_server(tmp_path: Path) -> None:
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "s"))
    listening.listen()
    with listening, pytest.raises(TimeoutError):
        Connection(str(tmp_path / "s"), "postgres", "", 0.1)


def test_what_the_machine_is_told_is_json() -> None:
    from host import render

    told = json.loads(render.durability_guard_json("sync", 30, "/etc/postgresql/17/main"))
    assert told["level"] in set(Level)
    assert told["file"] == "/etc/postgresql/17/main/conf.d/durability.conf"

"""The durability guard's rules, for every order of events that a second can bring."""

import json
import os
import socket
import struct
import threading
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host.domain.histories import read
from host.domain.wal import show_lsn
from host.durability_guard import processes, service
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
from host.durability_guard.history import History
from host.durability_guard.server import Postgres, Seen
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
        self.waits = self.state.enabled
        self.disabled_at: list[float] = []
        self.enabled_at: list[float] = []

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
        if action is Action.ENABLE:
            self.waits = True
            self.enabled_at.append(self.now)
        elif action is Action.DISABLE:
            self.waits = False
            self.disabled_at.append(self.now)
        return look


seconds = st.lists(
    st.tuples(st.booleans(), st.sampled_from(list(Server)), st.booleans()), max_size=200
)


@given(seconds)
def test_sync_never_lets_a_commit_go_while_the_server_runs(
    events: list[tuple[bool, Server, bool]],
) -> None:
    world = Simulation(SYNC, State(enabled=True))
    for barman, server, runbook in events:
        enabled_before, released = world.waits, len(world.disabled_at)
        settled = world.state.settled
        world.second(barman=barman, server=server, runbook=runbook)
        if len(world.disabled_at) > released and settled and enabled_before:
            assert runbook
            assert server in (Server.DOWN, Server.IN_RECOVERY)


@given(seconds, st.integers(min_value=5, max_value=60))
def test_fallback_ends_every_wait_in_time(
    events: list[tuple[bool, Server, bool]], limit: int
) -> None:
    world = Simulation(Policy(Level.FALLBACK, float(limit)), State(enabled=True))
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
        assert world.state.enabled == world.waits
        if not world.waits:
            assert exposed(world.state, replace(look, waits=False)) is not None


@given(seconds)
def test_async_waits_for_nobody(events: list[tuple[bool, Server, bool]]) -> None:
    world = Simulation(Policy(Level.ASYNC, 30.0), State(enabled=True))
    for barman, server, runbook in events:
        world.second(barman=barman, server=server, runbook=runbook)
        assert not world.waits


def test_a_commit_is_let_go_within_the_set_time_and_two_looks() -> None:
    world = Simulation(FALLBACK, State(enabled=True))
    world.second(barman=True)
    began = world.now
    while world.waits:
        world.second(barman=False)
    assert 30 <= world.now - began <= 32
    assert world.state.exposure is Exposure.FALLBACK


def test_a_dead_connection_that_still_looks_alive_counts_as_away() -> None:
    state = State(enabled=True)
    look = replace(HEALTHY, written=2000, confirmed=1000)
    for now in range(29):
        state, action = step(FALLBACK, state, replace(look, now=float(now)))
        assert action is Action.KEEP
    _, action = step(FALLBACK, state, replace(look, now=30.0))
    assert action is Action.DISABLE


def test_a_slow_barman_that_goes_on_confirming_is_not_away() -> None:
    state = State(enabled=True)
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
        state = State(enabled=True, settled=False)
        look = replace(HEALTHY, synchronous=False, written=100, confirmed=50)
        state, action = step(policy, state, look)
        assert action is Action.KEEP
        state, action = step(policy, state, replace(look, now=PATIENCE_S))
        assert action is Action.DISABLE
        assert state.not_before > PATIENCE_S


def test_arming_takes_three_proofs() -> None:
    world = Simulation(FALLBACK)
    while not world.waits:
        world.second(barman=True)
    assert world.now == PROOFS + 1


def test_a_runbook_is_left_alone_while_the_server_runs() -> None:
    world = Simulation(FALLBACK, State(enabled=True))
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
    assert read(path)[0]["lsn"] == "1/28" == show_lsn(0x1_0000_0028)


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


def test_the_machine_s_configuration_is_json() -> None:
    from host import render

    configuration = json.loads(
        render.durability_guard_json("sync", 30, "/etc/postgresql/17/main", "digest")
    )
    assert configuration["level"] in set(Level)
    assert configuration["file"] == "/etc/postgresql/17/main/conf.d/durability.conf"


class FakePostgres:
    """Stands in for the server: it does what it is asked, or not."""

    def __init__(self, file: Path, *, takes: bool = True) -> None:
        self.real = Postgres("/nonexistent", file, file.with_name("marker"))
        self.file, self.takes, self.seen = file, takes, HEALTHY
        self.order: list[str] = []
        # Whether it has read the file, and how many commits wait whatever it says.
        self.hears, self.waiting = True, 0
        self.loaded = self.enabled()

    def look(self, *, probe: bool) -> Seen:
        if self.hears:
            self.loaded = self.enabled()
        return Seen(replace(self.seen, waits=self.loaded), self.waiting)

    def reload(self) -> None:
        self.order.append("reload")
        self.hears = True

    def cancel_waits(self) -> None:
        self.order.append("cancel")
        self.waiting = 0

    def enabled(self) -> bool:
        return self.real.enabled()

    def enable(self) -> bool:
        self.order.append("enable")
        if self.takes:
            self.file.write_text("synchronous_standby_names = 'barman_receive_wal'\n")
        return self.takes

    def disable(self) -> bool:
        self.order.append("disable")
        if self.takes:
            self.file.write_text("")
        return self.takes


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(service, "STATUS", tmp_path / "status.json")
    monkeypatch.setattr(service, "METRICS", tmp_path / "durability-guard.prom")
    return tmp_path


def guard(folder: Path, policy: Policy = FALLBACK, *, takes: bool = True, boot: str = "b"):
    postgres = FakePostgres(folder / "durability.conf", takes=takes)
    history = History(folder / "history.jsonl", boot)
    return service.Guard(policy, cast(Postgres, postgres), history, boot), postgres


def recorded(folder: Path) -> list[tuple[str, str | None]]:
    return [(e["event"], e.get("reason")) for e in read(folder / "history.jsonl")]


def until_enabled(made: service.Guard, postgres: FakePostgres, begin: float = 0.0) -> float:
    for second in range(20):
        now = begin + second
        postgres.seen = replace(
            HEALTHY, now=now, written=1000 + second, confirmed=1000 + second, synchronous=True
        )
        made.cycle()
    return begin + 20


def test_the_interval_is_on_disk_before_commits_are_let_go(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, postgres = guard(machine)
    now = until_enabled(made, postgres)
    append = made.history.append
    monkeypatch.setattr(
        made.history,
        "append",
        lambda event, *rest, **more: (
            postgres.order.append(event),
            append(event, *rest, **more),
        )[1],
    )
    postgres.order.clear()
    for second in range(32):
        postgres.seen = Look(now + second, Server.UP, written=5000)
        made.cycle()
    assert postgres.order == ["waiting", "exposed", "disable"]
    assert not postgres.enabled()


def test_a_killed_guard_goes_on_counting(machine: Path) -> None:
    made, postgres = guard(machine)
    now = until_enabled(made, postgres)
    for second in range(25):
        postgres.seen = Look(now + second, Server.UP, written=5000)
        made.cycle()
    again, postgres = guard(machine)
    postgres.seen = Look(now + 30, Server.UP, written=5000)
    again.cycle()
    assert postgres.order == ["disable"]


def test_a_reboot_in_a_fallback_continues_the_interval(machine: Path) -> None:
    made, postgres = guard(machine)
    now = until_enabled(made, postgres)
    for second in range(40):
        postgres.seen = Look(now + second, Server.UP, written=5000)
        made.cycle()
    assert recorded(machine)[-1] == ("exposed", "fallback")
    again, postgres = guard(machine, boot="another")
    postgres.seen = Look(1.0, Server.DOWN)
    again.cycle()
    assert recorded(machine)[-1] == ("exposed", "fallback")
    until_enabled(again, postgres, 2.0)
    assert recorded(machine)[-1] == ("protected", None)


def test_a_server_that_does_not_take_the_name_is_left_as_it_was(machine: Path) -> None:
    made, postgres = guard(machine, takes=False)
    until_enabled(made, postgres)
    assert not made.state.enabled
    assert postgres.order == ["enable"]
    assert recorded(machine) == [("exposed", "not armed yet")]


def test_disabling_that_fails_is_tried_until_it_works(machine: Path) -> None:
    made, postgres = guard(machine)
    now = until_enabled(made, postgres)
    postgres.takes = False
    postgres.order.clear()
    for second in range(40):
        postgres.seen = Look(now + second, Server.UP, written=5000)
        made.cycle()
    assert len(postgres.order) > 5
    assert recorded(machine).count(("exposed", "fallback")) == 1
    postgres.takes = True
    made.cycle()
    assert not postgres.enabled()


def test_a_full_disk_keeps_no_commit_waiting(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, postgres = guard(machine)
    now = until_enabled(made, postgres)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(made.history, "append", full)
    for second in range(40):
        postgres.seen = Look(now + second, Server.UP, written=5000)
        made.cycle()
    assert not postgres.enabled()


def test_disabling_empties_the_file_of_a_stopped_server(tmp_path: Path) -> None:
    file = tmp_path / "durability.conf"
    file.write_text("synchronous_standby_names = 'barman_receive_wal'\n")
    postgres = Postgres("/nonexistent/socket", file, tmp_path / "marker")
    assert postgres.enabled()
    assert postgres.disable()
    assert file.read_text() == ""
    assert not postgres.enabled()
    assert not postgres.enable()
    assert file.read_text() == ""


@pytest.mark.parametrize("file", ["", "synchronous_standby_names = 'barman_receive_wal'\n"])
def test_what_a_guard_killed_before_the_reload_wrote_is_brought_into_force(
    machine: Path, file: str
) -> None:
    (machine / "durability.conf").write_text(file)
    made, postgres = guard(machine)
    postgres.hears, postgres.loaded = False, not file
    postgres.seen = replace(HEALTHY, now=10.0, receiver=bool(file), synchronous=bool(file))
    made.cycle()
    assert postgres.order == ["reload"]
    made.cycle()
    assert postgres.loaded == bool(file)
    assert postgres.order == ["reload"]


def test_commits_that_wait_for_nobody_are_let_go(machine: Path) -> None:
    """Sessions know from the checkpointer whether they have to wait, and it may hang."""
    made, postgres = guard(machine)
    now = until_enabled(made, postgres)
    postgres.order.clear()
    for second in range(31):
        postgres.waiting = 3
        postgres.seen = Look(now + second, Server.UP, written=5000)
        made.cycle()
    assert postgres.order == ["disable"]
    for second in range(31, 50):
        postgres.seen = Look(now + second, Server.UP, written=5000)
        made.cycle()
    assert postgres.order.count("cancel") == 1
    assert 1 <= postgres.order.count("reload") <= service.RELOADS


def test_a_setting_of_somebody_else_s_is_not_reloaded_for_ever(machine: Path) -> None:
    made, postgres = guard(machine)
    now = until_enabled(made, postgres)
    postgres.order.clear()

    def stubborn() -> None:
        postgres.order.append("reload")

    postgres.reload, postgres.hears, postgres.loaded = stubborn, False, False
    for second in range(60):
        postgres.seen = replace(HEALTHY, now=now + second)
        made.cycle()
    assert postgres.order == ["reload"] * service.RELOADS
    assert recorded(machine)[-1] == ("exposed", "overridden")


@pytest.mark.parametrize("server", [Server.MUTE, Server.BLIND])
def test_a_guard_that_cannot_ask_ends_waits_by_what_processes_show(server: Server) -> None:
    state = State(enabled=True)
    sent = Look(0.0, server, waits=True, receiver=True)
    for now in range(100):
        state, action = step(FALLBACK, state, replace(sent, now=float(now)))
        assert action is Action.KEEP
    # Commits that come and go are none that hangs, and one that hangs is one whoever is connected.
    for trouble in (replace(sent, receiver=False), replace(sent, held=True)):
        after, action = step(FALLBACK, state, replace(trouble, now=100.0))
        assert action is Action.KEEP
        _, action = step(FALLBACK, after, replace(trouble, now=130.0))
        assert action is Action.DISABLE
        _, action = step(SYNC, after, replace(trouble, now=1000.0))
        assert action is Action.KEEP


def test_a_wait_that_began_before_the_guard_lost_its_sight_counts_whole() -> None:
    look = replace(HEALTHY, receiver=False)
    state, _ = step(FALLBACK, State(enabled=True), look)
    _, action = step(FALLBACK, state, Look(30.0, Server.BLIND, waits=True))
    assert action is Action.DISABLE


def test_waits_that_an_empty_setting_leaves_are_ended_by_a_guard_that_cannot_ask(
    machine: Path,
) -> None:
    made, postgres = guard(machine)
    now = until_enabled(made, postgres)
    postgres.order.clear()
    for second in range(40):
        postgres.waiting = 3
        postgres.seen = Look(now + second, Server.BLIND, held=True)
        made.cycle()
    assert postgres.order[0] == "disable"
    assert "cancel" in postgres.order
    figures = (machine / "durability-guard.prom").read_text()
    assert "durability_guard_blind 1" in figures


def process(proc: Path, pid: int, parent: int, title: str) -> None:
    (proc / str(pid)).mkdir(parents=True)
    (proc / str(pid) / "stat").write_text(f"{pid} (post) gres) S {parent} 1 1")
    (proc / str(pid) / "cmdline").write_text(title + "\0" * 20)


def test_what_titles_of_processes_show(tmp_path: Path) -> None:
    process(tmp_path, 10, 1, "postgres: 17/main: walsender streaming_barman b streaming 0/1")
    process(tmp_path, 11, 5, "postgres: 17/main: app app 10.0.0.4(50) COMMIT waiting for 0/70A0")
    process(tmp_path, 12, 5, "postgres: 17/main: app app 10.0.0.4(51) UPDATE waiting")
    process(tmp_path, 13, 5, "postgres: 17/main: walsender streaming_barman b sending backup")
    (tmp_path / "self").mkdir()
    shown = processes.look(5, tmp_path)
    assert shown == processes.Shown(False, frozenset({processes.Wait(11, "0/70A0")}))
    process(tmp_path, 14, 5, "postgres: walsender streaming_barman 10.0.0.5(4) streaming 0/70A0")
    assert processes.look(5, tmp_path).receiver


@pytest.mark.parametrize(
    ("code", "alive", "server"),
    [
        ("53300", True, Server.BLIND),
        ("28000", True, Server.BLIND),
        ("57P03", True, Server.DOWN),
        ("53300", False, Server.DOWN),
    ],
)
def test_a_server_that_refuses_the_guard_is_not_one_that_is_down(
    tmp_path: Path, code: str, alive: bool, server: Server
) -> None:
    answering(tmp_path / "s", message(b"E", f"SFATAL\0C{code}\0Mno\0\0".encode()))
    (tmp_path / "s.lock").write_text(f"{os.getpid() if alive else 2**22}\n")
    postgres = Postgres(str(tmp_path / "s"), tmp_path / "file", tmp_path / "marker")
    seen = postgres.look(probe=False)
    assert seen.look.server is server
    assert code in seen.problem


def test_a_session_that_was_ended_is_not_the_end_of_the_server(tmp_path: Path) -> None:
    """Somebody ends idle sessions: taken for a server that is down, it begins to count anew."""
    row = b"".join(
        struct.pack("!i", 1) + value for value in (b"f", b"f", b"7", b"t", b"f", b"7", b"0")
    )
    found = message(b"D", struct.pack("!H", 7) + row) + message(b"Z", b"I")
    answering(tmp_path / "s", READY, b"")
    postgres = Postgres(str(tmp_path / "s"), tmp_path / "file", tmp_path / "marker")
    postgres.reload()
    (tmp_path / "s").unlink()
    answering(tmp_path / "s", READY, found)
    assert postgres.look(probe=False).look.server is Server.UP

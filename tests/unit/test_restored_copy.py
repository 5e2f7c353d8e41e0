"""A restored copy: its names, its limits, its files, its check and its place."""

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.domain.quoting import conf_value
from host.restored_copy import check, confinement, files, place, progress, rehearse, replay
from host.restored_copy.check import Relation
from host.restored_copy.copy import Copy, folder_of, location_of
from host.restored_copy.place import Cluster, Occupied
from host.restored_copy.server import Failed, Refused, Server, handles

COPY = Copy("/data/clones/x", "postgres", "17", "runbook-x", port=5433)
SEGMENT = "000000010000000000000007"
CONTROL = "max_connections setting:              300\nmax_prepared_xacts setting:           5\n"


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1))
def test_a_location_is_one_name_and_comes_back(location: str) -> None:
    name = folder_of(location)
    assert "/" not in name
    assert location_of(name) == location


def test_what_holds_is_on_the_command_line() -> None:
    options = confinement.options(COPY, CONTROL, slots=12)
    for name, value in {
        "listen_addresses": "",
        "archive_mode": "off",
        "hot_standby": "off",
        "max_logical_replication_workers": "0",
        "shared_preload_libraries": "",
        "shared_buffers": "128MB",
        "max_connections": "300",
        "max_prepared_transactions": "5",
        "max_replication_slots": "12",
        "event_triggers": "off",
        "unix_socket_directories": "/data/clones/x",
    }.items():
        assert options[name] == value
    older = Copy("/x", "postgres", "16", "x")
    assert "event_triggers" not in confinement.options(older, CONTROL, slots=0)


def test_a_tablespaces_place_is_the_copys_own() -> None:
    properties = confinement.properties(COPY, ["/data/my space"], 257)
    own = "/data/clones/x/tablespaces/_2fdata_2fmy_20space"
    assert properties["BindPaths"] == f'/data/clones/x "{own}":"/data/my space"'
    assert (properties["PrivateNetwork"], properties["ProtectSystem"]) == ("yes", "strict")
    assert properties["PrivatePIDs"] == "yes"
    assert "PrivatePIDs" not in confinement.properties(COPY, [], 255)


def test_the_target_is_quoted() -> None:
    name = r"a\b'c"
    text = confinement.files(COPY, {"recovery_target_name": name})["postgresql.conf"]
    assert f"recovery_target_name = {conf_value(name)}\n" in text
    assert "recovery_target_action = 'promote'\n" in text


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    """A copy as it was restored, with a tablespace that was at /srv/fast."""
    found = Copy(str(tmp_path / "copy"), "postgres", "17", "u")
    data = Path(found.data)
    (data / "pg_tblspc").mkdir(parents=True)
    (data / "PG_VERSION").write_text("17\n")
    (data / "pg_tblspc/16400").symlink_to(found.tablespace("/srv/fast"))
    (data / files.AUTO_CONF).write_text("archive_command = 'wal-g wal-push %p'\n")
    return found


def test_what_was_restored_becomes_a_data_directory(copy: Copy) -> None:
    data = Path(copy.data)
    for _ in range(2):
        files.prepare(copy, {"recovery_target_timeline": "3"}, "pass\n", fresh=True)
        assert (data / files.AUTO_CONF).read_text() == ""
        assert Path(copy.kept_auto_conf).read_text() == "archive_command = 'wal-g wal-push %p'\n"
        assert (data / "pg_tblspc/16400").readlink() == Path("/srv/fast")
        assert (data / "recovery.signal").exists()
    (data / "recovery.signal").unlink()
    files.prepare(copy, {"recovery_target_timeline": "4"}, "pass\n", fresh=False)
    assert not (data / "recovery.signal").exists()
    assert "recovery_target_timeline = '4'" in Path(copy.folder, "postgresql.conf").read_text()


class Beginning:
    """A server and a feed in one, as a replay sees them: a list of what each start ends with, the
    last of which is that it accepts connections."""

    def __init__(self, copy: Copy, ends: list[str], controls: list[str] | None = None) -> None:
        self.copy, self.ends = copy, ends
        self.controls = controls or [CONTROL]
        self.starts: list[list[str]] = []
        self.tells: list[tuple[str, str]] = []

    def running(self) -> bool:
        return bool(self.starts) and self._last() == ""

    def _last(self) -> str:
        return self.ends[len(self.starts) - 1]

    def control(self) -> str:
        return self.controls.pop(0) if len(self.controls) > 1 else self.controls[0]

    def start(self, control: str, locations: list[str], properties: dict[str, str]) -> None:
        self.starts.append(list(locations))

    def as_user(self, argv: list[str]) -> list[str]:
        return argv

    def query(self, sql: str) -> str:
        if not self.running():
            raise Refused("the database system is starting up")
        return json.dumps({"in_recovery": False, "last_commit": 7.0})

    def logged(self) -> str:
        return self._last()

    def told(self) -> list[tuple[str, str]]:
        told, self.tells = self.tells, []
        return told


@pytest.fixture
def noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Copy], list[str]]:
    monkeypatch.setattr(progress, "FOLDER", tmp_path / "run")
    monkeypatch.setattr(replay, "POLL_S", 0.0)
    return lambda copy: progress.read(copy).get("notes", [])


def through(both: Beginning) -> float | None:
    return replay.Replay(cast(Any, both), cast(Any, both), {}, lambda: None).through()


def test_tablespaces_that_wal_makes_get_their_place(
    copy: Copy, noted: Callable[[Copy], list[str]]
) -> None:
    files.prepare(copy, {}, "", fresh=True)
    ends = [
        'FATAL:  directory "/data/later" does not exist\nHINT:  Create this directory',
        'FATAL:  could not set permissions on directory "/srv/other": Read-only file system',
        "",
    ]
    both = Beginning(copy, ends)
    assert through(both) == 7.0
    assert both.starts[-1] == ["/srv/fast", "/data/later", "/srv/other"]
    assert Path(copy.tablespace("/data/later")).is_dir()
    assert noted(copy) == [
        "the WAL makes a tablespace at /data/later",
        "the WAL makes a tablespace at /srv/other",
    ]
    # The same again is another fault.
    with pytest.raises(Failed, match='directory "/data/later"'):
        through(Beginning(copy, [ends[0], ends[0]]))


def test_settings_that_wal_raises_are_given(copy: Copy, noted: Callable[[Copy], list[str]]) -> None:
    more = CONTROL.replace("5", "9")
    both = Beginning(copy, ["FATAL:  maximum number of prepared transactions reached", ""])
    both.controls = [CONTROL, more, more]
    assert through(both) == 7.0
    assert noted(copy) == ["the WAL asks for higher settings than the backup had"]


def test_why_replay_ended_is_told(copy: Copy, noted: Callable[[Copy], list[str]]) -> None:
    short = "FATAL:  recovery ended before configured recovery target was reached"
    with pytest.raises(Failed, match="The WAL ends before the target"):
        through(Beginning(copy, [short]))
    damaged = Beginning(copy, ["FATAL:  could not restore file"])
    damaged.tells = [("damaged", SEGMENT)]
    with pytest.raises(Failed, match=f"{SEGMENT} and cannot read it"):
        through(damaged)
    assert noted(copy) == []


def relation(name: str, size: int, *, system: bool = False) -> Relation:
    return Relation("app", "public", name, size, system)


def test_what_is_read_is_the_smallest_and_postgresqls_own() -> None:
    large, small, own = relation("large", 90), relation("small", 10), relation("c", 50, system=True)
    assert check.fitting([large, small, own], 70) == ([own, small], [large])
    assert check.fitting([large, small, own], 150) == ([own, small, large], [])


def test_damaged_relations_are_named_once() -> None:
    words = (
        'heap table "app.public.t", block 0, offset 1, attribute 2:\n    wrong\n'
        'heap table "app.public.t", block 1, offset 1:\n    wrong\n'
        'btree index "app.public.t_pkey":\n    ERROR:  item order invariant violated\n'
    )
    assert check.damaged(words) == ["app.public.t", "app.public.t_pkey"]


def test_a_name_with_a_quote_is_one_pattern() -> None:
    assert Relation("app", 'a"b', "T.x", 0, False).pattern == '"app"."a""b"."T.x"'


def test_a_command_line_is_never_too_long() -> None:
    everything = [relation(f"t{n}", 1) for n in range(8000)]
    ((options, size),) = check.selections(["app", 'a"b'], everything, [])
    assert (options, size) == (['--database="app"', '--database="a""b"'], 8000)
    pieces = check.selections(["app"], everything, [relation("large", 2**31)])
    assert len(pieces) > 1
    assert all(sum(len(word) + 1 for word in options) < 100_000 for options, _ in pieces)
    chosen = [word for options, _ in pieces for word in options if word.startswith("--relation")]
    assert chosen == [f"--relation={each.pattern}" for each in everything]
    assert check.selections([], [], []) == []


def test_what_was_made_for_the_check_goes_again_whatever_could_be_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cleaned: list[str] = []
    facts = {"databases": ["broken", "app"], "invalid": [], "prepared": [], "closed": ["closed"]}
    facts |= {"checksums": "on", "system_id": "7"}
    needs = {"libraries": ["$libdir/pg_trgm"], "locales": ["C.UTF-8"]}
    answers = {check._FACTS: json.dumps(facts), check._NEEDS: json.dumps(needs)}

    class Answers:
        def query(self, sql: str, database: str = "postgres") -> str:
            if sql.startswith(check._SET_UP) and database == "broken":
                raise Refused("ERROR: no amcheck here\nHINT: none")
            if "DROP SCHEMA" in sql:
                cleaned.append(database)
            return answers.get(sql, "[]")

    monkeypatch.setattr(check, "_read", lambda *_: ("", "pg_amcheck: error: no such thing"))
    found = check.check(cast(Server, Answers()), limit=None, compare_heap=False, watch=lambda: None)
    assert found.unchecked == {
        "closed": "it allows no connections",
        "broken": "ERROR: no amcheck here",
        "app": "pg_amcheck: error: no such thing",
    }
    assert cleaned == ["broken", "app"]
    assert (found.libraries, found.locales) == (["$libdir/pg_trgm"], ["C.UTF-8"])


def test_what_only_a_recovery_reads_is_left_behind() -> None:
    text = "work_mem = '8MB'\n restore_command = 'x'\nprimary_conninfo = ''\nrecovery_target = ''\n"
    assert rehearse.without_recovery(text) == "work_mem = '8MB'\n"


class Machine:
    """A server in place with two tablespaces, and a copy of it with one of them and a new one."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.data = root / "main"
        self.places = {name: root / "places" / name for name in ("both", "old", "new")}
        self.aside = Cluster(root / "main.before", root / "main.before.tablespaces")
        self.copy = Cluster(root / "copy/data", root / "copy/tablespaces")
        self._cluster(self.data, "old", {name: self.places[name] for name in ("both", "old")})
        links = {name: self.places[name] for name in ("both", "new")}
        self._cluster(self.copy.data, "copy", links, self.copy.tablespaces)

    def _cluster(
        self, data: Path, text: str, links: dict[str, Path], elsewhere: Path | None = None
    ) -> None:
        (data / "pg_tblspc").mkdir(parents=True)
        (data / "PG_VERSION").write_text(text)
        for name, location in links.items():
            (data / "pg_tblspc" / name).symlink_to(location)
            folder = (elsewhere / folder_of(str(location)) if elsewhere else location) / "PG_17_1"
            folder.mkdir(parents=True)
            (folder / "file").write_text(text)

    def contents(self) -> dict[str, str]:
        """What is read at each place, and where a cluster is kept."""
        return {
            str(path.relative_to(self.root)): path.read_text()
            for path in sorted(self.root.rglob("*"))
            if path.is_file() and not path.is_symlink()
        }

    def forward(self) -> None:
        place.set_aside(self.data, self.aside, [self.places["both"], self.places["new"]])
        place.put_in_place(self.data, self.copy)

    def backward(self) -> None:
        place.take_back(self.data, self.copy)
        place.put_in_place(self.data, self.aside)


def test_a_copy_takes_the_place_of_the_server_and_goes_back(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    before = machine.contents()
    machine.forward()
    after = machine.contents()
    assert after["main/PG_VERSION"] == "copy"
    assert after["places/both/PG_17_1/file"] == after["places/new/PG_17_1/file"] == "copy"
    assert "places/old/PG_17_1/file" not in after
    assert after["main.before/PG_VERSION"] == "old"
    # Whoever starts the old one by hand finds its own tablespaces, not the copy's.
    for name in ("both", "old"):
        link = machine.aside.data / "pg_tblspc" / name
        assert (link / "PG_17_1/file").read_text() == "old"
    machine.backward()
    assert machine.contents() == before
    assert (machine.data / "pg_tblspc/both").readlink() == machine.places["both"]


class PowerCut(Exception):
    """What a test does to a program that moves files."""


@pytest.mark.parametrize("moves", range(8))
def test_a_power_cut_between_two_moves_loses_nothing(
    tmp_path: Path, moves: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(tmp_path)
    before = machine.contents()
    rename = Path.rename
    left = [moves]

    def rename_or_die(source: Path, target: Path) -> Path:
        if left[0] == 0:
            raise PowerCut
        left[0] -= 1
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", rename_or_die)
    in_place = False
    try:
        place.set_aside(machine.data, machine.aside, list(machine.places.values()))
        in_place = True
        place.put_in_place(machine.data, machine.copy)
    except PowerCut:
        pass
    left[0] = 100
    cut_at = machine.contents()
    assert sorted(cut_at.values()) == sorted(before.values())
    if in_place:
        place.put_in_place(machine.data, machine.copy)
        assert machine.contents()["main/PG_VERSION"] == "copy"
        place.take_back(machine.data, machine.copy)
    place.put_in_place(machine.data, machine.aside)
    assert machine.contents() == before


def test_what_a_lost_server_has_left_is_not_in_the_way(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    subprocess.run(["rm", "-r", machine.data], check=True)
    machine.forward()
    after = machine.contents()
    assert after["places/both/PG_17_1/file"] == "copy"
    kept = folder_of(str(machine.places["both"]))
    assert after[f"main.before.tablespaces/{kept}/PG_17_1/file"] == "old"


def test_a_tablespace_is_never_put_over_another(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    with pytest.raises(Occupied, match="is there already"):
        place.put_in_place(machine.data, machine.copy)


def test_what_is_discarded_is_gone_with_its_tablespaces(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    place.discard(machine.data)
    assert list(machine.data.iterdir()) == []
    assert not [name for name, text in machine.contents().items() if text == "old"]
    assert list(machine.places["old"].iterdir()) == []


NO_ROOM = "no room for prepared transactions"
ADDED = "ADDED max_prepared_transactions = 5, which prepared transactions in the data need"


@pytest.mark.parametrize(
    ("settings", "others", "said", "left"),
    [
        # b gives what a prepared transaction in the data needs: without it nothing starts.
        (["# as found", "a", "b", "c"], [], None, ["# as found", "a", "b", "c"]),
        (["a", "c"], [], ADDED, ["a", "c", "max_prepared_transactions = 5"]),
        (["a", "b", "x"], [], "LEFT OUT of what was set by ALTER SYSTEM: x (no x)", ["a", "b"]),
        (
            ["x", "a", "y"],
            [],
            f"LEFT OUT of what was set by ALTER SYSTEM: x (no x); y (no y); {ADDED}",
            ["a", "max_prepared_transactions = 5"],
        ),
        (
            ["x", "a"],
            ["b", "d"],
            "LEFT OUT what was set by ALTER SYSTEM since the backup (no x)",
            ["b", "d"],
        ),
    ],
)
def test_a_server_is_given_the_settings_with_which_it_starts(
    copy: Copy,
    monkeypatch: pytest.MonkeyPatch,
    settings: list[str],
    others: list[str],
    said: str | None,
    left: list[str],
) -> None:
    given: list[str] = []

    def start(server: Server, options: dict[str, str], text: str) -> str | None:
        given[:] = text.splitlines()
        wrong = next((line for line in given if line in ("x", "y")), None)
        if wrong:
            return f"no {wrong}"
        enough = "b" in given or "max_prepared_transactions = 5" in given
        return None if enough or "max_prepared_transactions" in options else NO_ROOM

    monkeypatch.setattr(rehearse, "start_and_stop", start)
    monkeypatch.setattr(Server, "control", lambda server: CONTROL)
    texts = ["".join(f"{line}\n" for line in lines) for lines in (settings, others) if lines]
    assert rehearse.rehearse(copy, "/etc/x.conf", *texts) == said
    assert given == left


def test_a_server_that_starts_with_nothing_is_not_put_in_place(
    copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rehearse, "start_and_stop", lambda *_: "no memory")
    monkeypatch.setattr(Server, "control", lambda server: CONTROL)
    with pytest.raises(Failed, match="no memory"):
        rehearse.rehearse(copy, "/etc/x.conf", "a\n")


def test_a_handler_is_seen_in_proc() -> None:
    """By the process itself."""
    signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        status = Path("/proc/self/status").read_text()
    finally:
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    assert handles(status, signal.SIGUSR1)
    assert not handles(status, signal.SIGUSR2)

"""The field's facts: each written once, right at its edges, and sent or installed whole."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.bundle import PYTHON, bundle
from host.domain import backup_info, histories, paths, processes, wal
from host.domain.quoting import conf_value, pgpass_field, sql_literal
from tests.unit.stack_double import ROOT

SIZES = st.sampled_from([2**20, 2**24, 2**30])


def conf_lexer(text: str) -> str:
    """A quoted value as PostgreSQL's guc-file.l reads it (GUC_scanstr)."""
    assert text[0] == text[-1] == "'"
    return re.sub(r"\\(.)|''", lambda found: found[1] or "'", text[1:-1], flags=re.DOTALL)


@given(st.text(st.characters(exclude_characters="\n\0")))
def test_postgresql_reads_back_what_was_quoted(value: str) -> None:
    assert conf_lexer(conf_value(value)) == value


def test_a_value_of_two_lines_is_refused() -> None:
    with pytest.raises(ValueError, match="one line"):
        conf_value("a\nb")


def test_quoting_is_the_readers_own() -> None:
    assert sql_literal(r"it's \n") == r"'it''s \n'"
    assert pgpass_field(r"a:b\c") == r"a\:b\\c"


@given(st.integers(1, 2**32 - 1), st.integers(0, 2**63), SIZES)
def test_a_segments_name_says_its_timeline_and_number(timeline: int, lsn: int, size: int) -> None:
    number = lsn // size
    name = wal.name_of(timeline, number, size)
    assert wal.SEGMENT.fullmatch(name)
    assert (wal.timeline_of(name), wal.number_of(name, size)) == (timeline, number)
    assert wal.start_of(name, size) <= lsn < wal.start_of(name, size) + size
    assert wal.not_after(timeline, lsn) <= name <= wal.LAST_NAME
    assert wal.parse_lsn(wal.show_lsn(lsn)) == lsn


def test_a_timelines_switchpoints() -> None:
    text = "1\t0/8069300\tno recovery target\n\n# a comment\n2\t0/E019ED8\tbefore 2026\n"
    assert wal.switchpoints(text) == [(1, 0x8069300), (2, 0xE019ED8)]
    assert wal.switchpoints("") == []


@given(st.lists(st.dictionaries(st.text(), st.text() | st.integers())), st.data())
def test_a_history_that_a_crash_cut_off_keeps_every_whole_line(entries, data) -> None:
    text = "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries)
    cut = data.draw(st.integers(0, len(text)))
    whole = text[:cut].count("\n")
    kept = histories.parse(text[:cut])
    assert kept[:whole] == entries[:whole]
    # The line that was cut off counts only if nothing but its end was.
    assert kept[whole:] in ([], [entries[whole]] if whole < len(entries) else [])


def test_an_entry_after_a_torn_line_is_read(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    assert histories.read(path) == []
    histories.append(path, {"n": 1})
    path.write_text(path.read_text() + '{"n": 2, "at"')
    histories.append(path, {"n": 3})
    assert histories.read(path) == [{"n": 1}, {"n": 3}]
    assert histories.read(path, last_bytes=12) == [{"n": 3}]


def test_backups_whose_files_are_half_there(tmp_path: Path) -> None:
    for name in ("base/20260101T000000", "base/20260102T000000", "meta"):
        (tmp_path / name).mkdir(parents=True)
    # A power cut left it empty; the other is in meta/ alone, its values not yet written.
    (tmp_path / "base/20260101T000000/backup.info").touch()
    (tmp_path / "meta/20260102T000000-backup.info").write_text("status=STARTED\nend_wal=None\n")
    assert backup_info.read(tmp_path) == {
        "20260101T000000": {"status": "EMPTY"},
        "20260102T000000": {"status": "STARTED"},
    }


def test_what_is_marked_in_a_backup_info_leaves_the_rest(tmp_path: Path) -> None:
    text = "status=DONE\nerror=None\npgdata=/data=x\n"
    assert backup_info.replaced(text, {"status": "FAILED", "error": "bad"}) == (
        "status=FAILED\nerror=bad\npgdata=/data=x\n"
    )


@pytest.mark.parametrize(
    ("command", "found"),
    [
        ("/usr/bin/python3 /usr/bin/barman receive-wal pg", True),
        ("/usr/bin/python3 /usr/bin/barman -q receive-wal pg", True),
        ("/usr/bin/python3 /usr/bin/barman -c /etc/barman.conf -q receive-wal pg", True),
        ("/usr/local/lib/barman/pg_receivewal --slot=barman", True),
        ("/usr/bin/python3 /usr/bin/barman -q cron", False),
        ("/bin/sh /usr/local/bin/barman-receiver-watch 10.20.0.4", False),
    ],
)
def test_the_receiver_is_known_by_its_command_line(command: str, found: bool) -> None:
    assert bool(re.search(processes.RECEIVER, command)) is found


@pytest.mark.parametrize("owner", [0, 1])
def test_a_receiver_is_a_process_of_its_user(tmp_path: Path, owner: int) -> None:
    for pid, command in (("7", "/usr/bin/pg_receivewal\0--slot=x"), ("8", ""), ("self", "x")):
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "cmdline").write_text(command)
    user = tmp_path.stat().st_uid
    assert processes.receivers(user + owner, tmp_path) == 1 - owner


@pytest.mark.parametrize(
    "name",
    [
        f"{folder.replace('/', '.')}.{path.stem}"
        for folder in ("ops/onmachine", "host/programs")
        for path in sorted((ROOT / folder).glob("*.py"))
        if path.stem not in ("__init__", "converge")
    ],
)
def test_what_is_sent_imports_nothing_that_is_not_there(name: str) -> None:
    """Loaded in an interpreter that has the standard library and nothing of ours."""
    sent = json.loads(bundle(name))
    sent["modules"].append(["only_loaded", f"import {name}\ndef main(): return 0"])
    sent["entry"] = "only_loaded"
    done = subprocess.run(
        PYTHON, input=json.dumps(sent), text=True, capture_output=True, check=False, cwd="/"
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("fact", "pattern"),
    [
        ("the recovery marker's path", "recovery-in-" + "progress\\b"),
        ("segment arithmetic", r"int\(\w+\[8:16\], 16\)|2\s*\*\*\s*32 // "),
        ("an LSN's notation", r"int\(\w+, 16\) << 32"),
        ("where backup.info is", r"\*/backup\.info|\*-backup\.info"),
        ("the receiver's application_name", "barman_receive_wal"),
        ("what begins a failed verification's error", '"verification: "'),
        ("gzip's first bytes", r"x1f\\x8b"),
        ("the receiver's command line", r"pg_receivewal\|"),
    ],
)
def test_a_fact_is_written_in_one_place(fact: str, pattern: str) -> None:
    rooms = ("host", "ops", "settings", "components", "cloud_init")
    found = [
        str(path.relative_to(ROOT))
        for room in rooms
        for path in sorted((ROOT / room).rglob("*"))
        if path.is_file() and path.suffix != ".pyc" and re.search(pattern, path.read_text())
    ]
    assert len(found) == 1, f"{fact}: {found}"
    assert found[0].startswith("host/domain/")


def test_the_marker_is_beside_the_clusters_data() -> None:
    assert paths.RECOVERY_MARKER.startswith("/data/postgresql/")

"""Replay that must not end early: a machine out of reach is not the end of the WAL."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from ops.archive.catalogue import Catalogue
from ops.errors import OperatorError
from ops.recover import access, replay, restore

# PostgreSQL's RestoreArchivedFile: more than this is an error, less is "no such file".
LAST_THAT_ENDS_REPLAY = 125
SEGMENT = 2**24


@pytest.mark.parametrize(
    ("fetched", "code"), [(0, 0), (1, 1), (2, 255), (3, 255), (4, 254), (5, 255), (127, 255)]
)
def test_only_a_missing_file_ends_the_replay(tmp_path: Path, fetched: int, code: int) -> None:
    stand_in = tmp_path / "barman-wal-restore"
    stand_in.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/said\nexit {fetched}\n')
    stand_in.chmod(0o755)
    command = restore.fetch_wal("10.0.0.5", "pg", "--partial")
    command = command.replace("%f", "0" * 24).replace("%p", "pg_wal/RECOVERYXLOG")
    done = subprocess.run(
        ["sh", "-c", command], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, check=False
    )
    assert done.returncode == code
    assert (done.returncode > LAST_THAT_ENDS_REPLAY) == (fetched > 1)
    said = (tmp_path / "said").read_text()
    assert said == f"--partial --user barman 10.0.0.5 pg {'0' * 24} pg_wal/RECOVERYXLOG\n"


def test_the_reason_is_not_one_of_our_own_looks() -> None:
    logged = (
        "LOG:  starting archive recovery\n"
        'FATAL:  could not restore file "00000002.history" from archive: child process exited '
        "with exit code 255\n"
        "FATAL:  the database system is starting up\n"
    )
    assert replay.out_of_reach_then(logged)
    assert 'could not restore file "00000002.history"' in replay.explain(logged)
    assert "it logged nothing" in replay.explain("")
    assert "the last words" in replay.explain("LOG:  the last words\n")
    short = "FATAL:  recovery ended before configured recovery target was reached\n"
    assert replay.explain(short).startswith("The WAL ends before the target")
    assert not replay.out_of_reach_then(short)
    assert not replay.out_of_reach_then("")


def test_damaged_wal_is_named_and_not_waited_for() -> None:
    logged = (
        'FATAL:  could not restore file "000000010000000000000007" from archive: child process '
        "exited with exit code 254\n"
    )
    assert not replay.out_of_reach_then(logged)
    assert "000000010000000000000007 and cannot read it" in replay.explain(logged)


def test_an_outage_is_told_once_and_ends_with_the_next_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr(replay.time, "monotonic", lambda: now[0])
    outage = replay.Outage(60)
    assert not outage.too_long()
    assert outage.begins() and not outage.begins()
    now[0] = 61
    assert outage.too_long()
    outage.over()
    assert not outage.too_long() and outage.begins()


def test_replay_that_ends_before_the_last_commit_is_an_error() -> None:
    promised = {"lsn": 0x3000100, "xid": 7, "time": "2026-05-01T12:00:00Z"}
    replay.require_promised(promised, "0/3000100")
    replay.require_promised(None, "0/1")
    with pytest.raises(OperatorError, match="0/3000100") as early:
        replay.require_promised(promised, "0/30000FF")
    assert "--target-lsn 0/30000FF" in str(early.value.next_command)
    assert "not opened to clients" in early.value.state


def test_the_command_line_has_what_no_file_may_change() -> None:
    text = access.render({"listen_addresses": "", "max_connections": "300"})
    options = "-o --listen_addresses= -o --max_connections=300"
    assert text.splitlines()[-1] == f"pg_ctl_options = '{options}'"
    with pytest.raises(ValueError, match="space"):
        access.render({"log_line_prefix": "%m "})


def test_the_last_commit_is_that_of_the_run_which_is_replayed() -> None:
    """A run before a gap ends earlier: a time after its end would be taken for the latest state."""

    def run(timeline: int, first: int, last: int, at: int) -> dict[str, Any]:
        names = (f"{timeline:08X}{0:08X}{number:08X}" for number in (first, last))
        commit = {"lsn": last * SEGMENT + 1, "xid": 1, "time": f"2026-05-01T{at:02}:00:00Z"}
        return dict(zip(("first", "last"), names, strict=True)) | {
            "timeline": timeline,
            "partial": False,
            "last_commit": commit,
        }

    runs = [run(2, 1, 5, 1), run(2, 8, 12, 2), run(2, 20, 30, 3), run(1, 1, 40, 4)]
    held = Catalogue.model_validate(
        {"segment_size": SEGMENT, "backups": [], "runs": runs, "switchpoints": []}
    )

    def hour(begin: int) -> int | None:
        found = restore.last_reachable(held, 2, begin * SEGMENT)
        return found.time.hour if found else None

    # From the first run, from the second, from an ancestor's WAL between them, from beyond.
    assert [hour(3), hour(9), hour(6), hour(31)] == [1, 2, 2, None]

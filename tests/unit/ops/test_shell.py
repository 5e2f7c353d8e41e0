"""The shell scripts that are run on the machines, each run here; and that there are no others."""

import ast
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from ops.reach import shell
from ops.reach.ssh import CommandFailed, Machine, Result

ROOT = Path(__file__).resolve().parents[3]
SCRIPTS = sorted(path.stem for path in (ROOT / "ops/reach/scripts").iterdir())
# Files that may name a shell with -c: the one place that sends the scripts, and the one by which a
# bench does on the lab's machines what somebody would type there.
DOORS = {"ops/reach/shell.py", "bench/peers/machines.py"}


class Here:
    """This computer in place of a machine, with programs of `path` before its own."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def run(
        self,
        argv: list[str],
        *,
        user: str = "root",
        stdin: str | bytes = b"",
        timeout_s: float = 10,
        accept: Any = (0,),
    ) -> Result:
        data = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run(
            argv,
            input=data,
            env={"PATH": f"{self.path}:{os.environ['PATH']}", "HOME": str(self.path)},
            capture_output=True,
            check=False,
            timeout=timeout_s,
        )
        said = Result(" ".join(argv), done.returncode, done.stdout.decode(), done.stderr.decode())
        if accept is not None and said.returncode not in accept:
            raise CommandFailed("here", said)
        return said

    def program(self, name: str, text: str) -> None:
        """Put a program of this name on PATH, before the real one."""
        (self.path / name).write_text(f"#!/bin/sh\n{text}\n")
        (self.path / name).chmod(0o755)


@pytest.fixture
def here(tmp_path: Path) -> Here:
    (tmp_path / "bin").mkdir()
    return Here(tmp_path / "bin")


def run(here: Here, name: str, *arguments: object, **options: Any) -> Result:
    return shell.run(cast(Machine, here), name, *map(str, arguments), **options)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_with_a_mode_or_keeps_the_one_it_had(here: Here, tmp_path: Path) -> None:
    path = tmp_path / "a file"
    shell.write_file(cast(Machine, here), str(path), "one\n", mode="0640")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("one\n", 0o640)
    shell.write_file(cast(Machine, here), str(path), "two")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("two", 0o640)
    with pytest.raises(CommandFailed):
        shell.write_file(cast(Machine, here), str(tmp_path / "no" / "folder"), "", mode="0644")


def test_a_file_is_moved_once(here: Here, tmp_path: Path) -> None:
    there, away = tmp_path / "cron", tmp_path / "paused"
    there.write_text("* * * * *")
    for _ in range(2):
        run(here, "move-if-there", there, away)
        assert (there.exists(), away.read_text()) == (False, "* * * * *")


def test_past_journals_are_a_line_each(here: Here, tmp_path: Path) -> None:
    folder = tmp_path / "runbooks"
    assert run(here, "past-journals", folder).stdout == ""
    for name, text in (("1", '{\n "a": 1\n}'), ("2", '{\n "b": 2\n}\n'), ("under way", None)):
        (folder / name).mkdir(parents=True)
        if text:
            (folder / name / "journal.json").write_text(text)
    assert run(here, "past-journals", folder).stdout == '{ "a": 1}\n{ "b": 2}\n'


def test_a_journal_is_the_operators_alone_and_its_folder_can_be_passed(
    here: Here, tmp_path: Path
) -> None:
    folder = tmp_path / "runbooks"
    run(here, "save-journal", folder, folder / "1", folder / "current.json", 2, stdin="{}")
    assert (folder / "current.json").read_text() == "{}"
    modes = [path.stat().st_mode & 0o777 for path in (folder, folder / "1")]
    assert modes == [0o711, 0o700]
    assert (folder / "current.json").stat().st_mode & 0o777 == 0o600
    assert names(folder) == ["1", "current.json"]


def test_output_that_went_through_a_file_and_the_exit_code(here: Here) -> None:
    # What is left running keeps the output open: a pipe would only end with it.
    command = "echo said; echo wrong >&2; sleep 60 & echo $!; exit 3"
    done = run(here, "through-file", "sh", "-c", command, accept=(3,), timeout_s=20)
    said, wrong, child = done.stdout.splitlines()
    subprocess.run(["kill", child], check=True)
    assert (said, wrong, done.stderr) == ("said", "wrong", "")


def test_work_leaves_its_output_and_then_its_exit_code(here: Here, tmp_path: Path) -> None:
    log = tmp_path / "work.log"
    run(here, "run-logged", log, "sh", "-c", 'echo "$1"; echo wrong >&2; exit 3', "-", "two words")
    assert log.read_text() == "two words\nwrong\n"
    assert (tmp_path / "work.log.status").read_text() == "3\n"
    assert names(tmp_path) == ["bin", "work.log", "work.log.status"]


def test_a_program_gets_its_input_from_a_file(here: Here, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("what was sent")
    assert run(here, "with-input", str(tmp_path / "in"), "cat", "-").stdout == "what was sent"


def test_a_cluster_is_moved_with_its_tablespaces_however_often(here: Here, tmp_path: Path) -> None:
    old, away, data, tablespaces = (tmp_path / name for name in ("old", "old.ts", "data", "ts"))
    (old / "base").mkdir(parents=True)
    (away / "fast").mkdir(parents=True)
    words = ("move-cluster", str(old), str(away), str(data), str(tablespaces))
    # A power cut came between the two.
    away.rename(tablespaces)
    for _ in range(2):
        run(here, *words)
        assert (data / "base").is_dir() and (tablespaces / "fast").is_dir()
        assert not old.exists() and not away.exists()
    # One without tablespaces.
    run(here, "move-cluster", str(data), str(tmp_path / "none"), str(old), str(away))
    assert (old / "base").is_dir() and not away.exists()


@pytest.mark.parametrize("code", [0, 2])
def test_a_login_has_its_password_in_a_file_that_is_gone_afterwards(
    here: Here, tmp_path: Path, code: int
) -> None:
    secret = tmp_path / "secret"
    here.program("mktemp", f'[ "$*" = "-p /run/postgresql" ] && : >{secret} && echo {secret}')
    here.program("psql", f'echo "$*"; cat "$PGPASSFILE"; exit {code}')
    done = run(
        here, "log-in", "10.20.0.4", "6432", "app", "db", stdin="*:*:*:*:hunter2\n", accept=(code,)
    )
    words, line = done.stdout.splitlines()
    assert words == "-X -w -A -t -q -h 10.20.0.4 -p 6432 -U app -d db -c SELECT 1"
    assert line == "*:*:*:*:hunter2"
    assert "hunter2" not in done.command
    assert not secret.exists()


@pytest.mark.parametrize("code", [0, 2])
def test_another_server_is_asked_with_a_password_that_is_only_in_a_file(
    here: Here, tmp_path: Path, code: int
) -> None:
    secret = tmp_path / "secret"
    here.program("mktemp", f'[ "$*" = "-p /run/postgresql" ] && : >{secret} && echo {secret}')
    here.program("psql", f'echo "$@"; cat "$PGPASSFILE" -; exit {code}')
    line, sql = "*:*:*:*:hunter2 \\\\ \n", "SELECT 1;\nSELECT 2;\n"
    done = run(here, "ask-elsewhere", "host=db user='me'", stdin=line + sql, accept=(code,))
    words, *rest = done.stdout.splitlines()
    assert words == "-X -w -A -t -q -v ON_ERROR_STOP=1 -d host=db user='me'"
    assert "\n".join(rest) + "\n" == line + sql
    assert "hunter2" not in done.command
    assert not secret.exists()


OLD, NEW = "00000001", "00000002"


def test_the_tail_of_another_timeline_is_taken_and_given_back(here: Here, tmp_path: Path) -> None:
    streaming, tail = tmp_path / "streaming", tmp_path / "run" / "tail"
    streaming.mkdir()
    # With nothing taken there is nothing to give back.
    run(here, "give-tail", tail, streaming)
    run(here, "take-tail", streaming, tail, NEW)
    assert names(tail) == []
    for name in (f"{OLD}.history", f"{NEW}.history"):
        (streaming / name).touch()
    for name in (f"{OLD}A", f"{OLD}B.partial", f"{OLD}C.partial", f"{NEW}B.partial"):
        (streaming / name).write_text(name.removesuffix("C.partial"))
    (streaming / f"{OLD}C.partial").write_text("")
    run(here, "take-tail", streaming, tail, NEW)
    assert names(tail) == [f"{OLD}A", f"{OLD}B.partial", f"{OLD}C.partial"]
    assert names(streaming) == [f"{OLD}.history", f"{NEW}.history", f"{NEW}B.partial"]
    run(here, "give-tail", tail, streaming)
    # One without a byte is none.
    assert names(tail) == [f"{OLD}C.partial"]
    assert [name for name in names(streaming) if name.startswith(OLD)] == [
        f"{OLD}.history",
        f"{OLD}A",
        f"{OLD}B",
    ]


def test_a_segment_is_fetched_whole_or_not_at_all(here: Here, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"\0wal")
    here.program("ssh", f'echo "$*" >{tmp_path}/said; shift 2; "$@"')
    run(here, "fetch-segment", "10.0.0.4", source, target)
    assert target.read_bytes() == b"\0wal"
    assert (tmp_path / "said").read_text() == f"-q postgres@10.0.0.4 cat {source}\n"
    target.unlink()
    here.program("ssh", "echo half; exit 255")
    assert run(here, "fetch-segment", "10.0.0.4", source, target, accept=(1,)).returncode == 1
    assert names(tmp_path) == ["bin", "said", "source"]


def test_the_newest_segment_is_the_last_of_the_last_folder(here: Here, tmp_path: Path) -> None:
    for name in ("0000000100000000/00000001000000000000000B", "0000000100000001/0", "xlog.db"):
        (tmp_path / "wals" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "wals" / name).touch()
    (tmp_path / "wals/0000000100000001/1").touch()
    said = run(here, "newest-segment", tmp_path / "wals").stdout
    assert said.endswith("/0000000100000001/1\n")


def test_a_text_is_found_in_wal_or_not(here: Here) -> None:
    here.program("barman", '[ "$*" = "get-wal pg 0001" ] && printf "a\\0-mark\\0b"')
    assert run(here, "find-in-wal", "pg", "0001", "-mark", accept=(0, 1)).ok
    assert run(here, "find-in-wal", "pg", "0001", "other", accept=(0, 1)).returncode == 1
    assert run(here, "find-in-wal", "pg", "0002", "-mark", accept=(0, 1)).returncode == 1


def test_one_holds_the_lock_until_its_beats_stop(here: Here, tmp_path: Path) -> None:
    folder = tmp_path / "runbooks"
    command = shell.argv("hold-lock", str(folder), "1", "ann at 10:00")
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as first:
        assert first.stdout and first.stdin
        assert first.stdout.readline() == "locked\n"
        second = run(here, "hold-lock", folder, "1", "bob")
        assert second.stdout == "held by ann at 10:00\n"
        # Without a beat it ends by itself, although the connection is open.
        assert first.wait(timeout=10) is not None
    third = run(here, "hold-lock", folder, "1", "bob")
    assert third.stdout == "locked\n"
    assert (folder / "holder").read_text() == "bob\n"


def test_a_script_that_fails_is_named_and_not_repeated(here: Here) -> None:
    here.program("ssh", "echo refused >&2; exit 255")
    with pytest.raises(CommandFailed) as caught:
        run(here, "fetch-segment", "10.0.0.4", "/from", "/no such folder/to")
    assert str(caught.value).startswith(
        "fetch-segment.sh 10.0.0.4 /from '/no such folder/to' on here failed with exit code 1: "
    )


@pytest.mark.parametrize("name", SCRIPTS)
def test_each_script_says_what_it_is_for_and_leaves_that_at_home(name: str) -> None:
    first, second, *_ = (ROOT / f"ops/reach/scripts/{name}.sh").read_text().splitlines()
    assert first in ("#!/bin/sh", "#!/bin/bash")
    assert second.startswith("# ")
    # pgrep -f looks for words such as "barman cron" in whole command lines.
    program, option, text, called = shell.argv(name)
    assert (program, option, called) == (first.rpartition("/")[2], "-c", name)
    assert "# " not in text


def test_each_script_is_used_and_tried_here() -> None:
    used = "".join(path.read_text() for path in (ROOT / "ops").rglob("*.py"))
    tried = "".join(path.read_text() for path in Path(__file__).parent.glob("*.py"))
    for name in SCRIPTS:
        assert f'"{name}"' in used, name
        # That one has a function of its own, which is tried above.
        assert f'"{name}"' in tried or name == "write-file", name


@pytest.mark.parametrize("name", ["run-logged", "with-input"])
def test_what_systemd_runs_has_nothing_that_a_unit_file_expands(name: str) -> None:
    text = shell.argv(name)[2]
    assert not set("\n%{") & set(text)


def shells(source: str) -> Iterator[str]:
    """The places in a source where a shell is given its program as a string."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if node.value in ("sh", "bash", "/bin/sh", "/bin/bash") or "sh -c" in node.value:
                yield f"line {node.lineno}: {node.value[:60]}"
        elif isinstance(node, ast.keyword) and node.arg == "shell":
            yield f"line {node.value.lineno}: shell="


def test_no_shell_script_is_kept_in_a_string_of_the_runbooks() -> None:
    found = [
        f"{path.relative_to(ROOT)}, {place}"
        for room in ("ops", "engine", "host", "components", "bench")
        for path in sorted((ROOT / room).rglob("*.py"))
        if str(path.relative_to(ROOT)) not in DOORS
        for place in shells(path.read_text())
    ]
    assert not found


@pytest.mark.parametrize(
    "line",
    [
        'machine.run(["sh", "-c", "a; b"])',
        'machine.run([*("bash", "-c", SCRIPT), "x"])',
        'machine.run(f"sudo sh -c {x}")',
        "subprocess.run(x, shell=True)",
    ],
)
def test_a_shell_script_in_a_string_is_found(line: str) -> None:
    assert list(shells(line))

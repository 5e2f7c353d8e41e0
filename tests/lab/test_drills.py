"""Restore drills on the real stack: one that passes, and each way not to."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from tests.support.fickle_index import ALL_OF_IT, CHANGED_COLLATION
from tests.support.stack import Stack

pytestmark = pytest.mark.recovery

SCRATCH = "/data/restore-drill"
HISTORY = "/var/lib/restore-drill/history.jsonl"
CONFIGURATION = "/etc/restore-drill.json"
QUERY = "SELECT count(*) > 0 FROM pg_class"


def records(stack: Stack) -> list[dict[str, Any]]:
    output = stack.on("barman-lab", f"cat {HISTORY}", check=False)
    return [json.loads(line) for line in output.splitlines()]


def left(stack: Stack) -> str:
    """What is on the disk, and what runs, of a drill."""
    return stack.on(
        "barman-lab",
        f"ls -A {SCRATCH}; ls /var/lib/restore-drill/current.json 2>/dev/null; "
        "pgrep -u barman -a postgres",
        check=False,
    )


def timelines(stack: Stack) -> str:
    return stack.on("barman-lab", "find /data/barman/pg -name '*.history'")


def soon(what: str, holds: Callable[[], bool], timeout_s: float = 180) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.3)


def state(stack: Stack) -> str:
    """What systemd says of the drill."""
    return stack.on("barman-lab", "systemctl is-active restore-drill", check=False)


def begin(stack: Stack) -> None:
    """Start a drill, and go on once it works on its scratch directory."""
    # One that is about to end would be taken for the one that is to start.
    soon("the drill before to end", lambda: state(stack) in ("inactive", "failed"))
    before = len(records(stack))
    stack.on("barman-lab", "systemctl reset-failed restore-drill; true")
    stack.on("barman-lab", "systemctl start --no-block restore-drill")

    def restores() -> bool:
        assert len(records(stack)) == before, records(stack)[-1]
        return "PG_VERSION" in stack.on("barman-lab", f"ls {SCRATCH}/data", check=False)

    soon("the drill to restore", restores)


def broken_off(stack: Stack, before: int) -> dict[str, Any]:
    """The record of the drill at work once it has ended; nothing of it is left. There were
    `before` records."""
    soon("its record", lambda: len(records(stack)) > before)
    soon("its traces to be gone", lambda: left(stack) == "")
    return records(stack)[-1]


@pytest.fixture(scope="module", autouse=True)
def history(stack: Stack) -> Iterator[None]:
    """Failed drills would go on ringing after these tests."""
    saved = "/root/drills.jsonl"
    stack.on("barman-lab", f"cp -p {HISTORY} {saved} 2>/dev/null || touch {saved}")
    yield
    stack.on("barman-lab", f"cat {saved} >{HISTORY}; systemctl reset-failed restore-drill; true")


def test_a_drill_passes_beside_the_running_server(stack: Stack) -> None:
    stack.on(
        "barman-lab",
        f"cp -p {CONFIGURATION} /root/drill.json && "
        f'sed -i \'s/"queries": {{}}/"queries": {{"app": "{QUERY}"}}/\' {CONFIGURATION}',
    )
    histories = timelines(stack)
    started = stack.sql("SELECT pg_postmaster_start_time()")
    try:
        stack.ops("drill", "--now")
    finally:
        stack.on("barman-lab", f"mv /root/drill.json {CONFIGURATION}")
    drill = json.loads(stack.ops("drills", "--json").stdout)["drills"][-1]
    assert (drill["outcome"], drill["reason"]) == ("passed", None)
    assert [check["name"] for check in drill["checks"]] == ["marker", "pg_amcheck", "query in app"]
    assert all(check["ok"] for check in drill["checks"])
    assert drill["restored_bytes"] > 20 * 2**20
    assert "$libdir/pg_trgm" in drill["libraries"]
    assert drill["rto_s"] > 0
    assert drill["rpo_s"] is not None
    assert left(stack) == ""
    assert stack.sql("SELECT pg_postmaster_start_time()") == started
    # The copy was promoted: had it reached the archive, another timeline would be there.
    assert timelines(stack) == histories


def test_a_drill_on_a_corrupted_backup_fails_loudly(stack: Stack, unverified: None) -> None:
    newest = json.loads(stack.barman("-f", "json", "list-backups", "pg"))["pg"][0]["backup_id"]
    with stack.damaged(f"/data/barman/pg/base/{newest}/data/base.tar.zst"):
        done = stack.ops("drill", "--now", check=False)
    assert done.returncode == 2
    assert "docs/runbooks/drill-failed.md" in done.stdout
    last = records(stack)[-1]
    assert last["outcome"] == "failed"
    assert f"backup {newest} is damaged" in last["reason"]
    assert "restore drill failed" in stack.on(
        "barman-lab", "journalctl -u restore-drill -p err --no-pager -o cat"
    )
    assert stack.on("barman-lab", "systemctl is-failed restore-drill", check=False) == "failed"
    assert left(stack) == ""
    status = stack.ops("status", check=False)
    assert "the last restore drill failed" in status.stdout
    assert status.returncode == 1


@contextmanager
def unreadable_file(stack: Stack) -> Iterator[None]:
    """A file of the newest backup that Barman cannot read: it is not restored."""
    file = f"/data/barman/pg/base/{next(iter(stack.backups()))}/data/base.tar.zst"
    stack.on("barman-lab", f"chown root {file} && chmod 0 {file}")
    try:
        yield
    finally:
        stack.on("barman-lab", f"chown barman {file} && chmod 0600 {file}")


@contextmanager
def damaged_wal(stack: Stack) -> Iterator[None]:
    """WAL that every replay of the newest backup needs."""
    newest = next(iter(stack.backups()))
    shown = json.loads(stack.barman("-f", "json", "show-backup", "pg", newest))["pg"]
    segment = shown["base_backup_information"]["end_wal"]
    with stack.damaged(f"/data/barman/pg/wals/{segment[:16]}/{segment}"):
        yield


@contextmanager
def damaged_index(stack: Stack) -> Iterator[None]:
    """In the newest backup, too."""
    stack.sql(CHANGED_COLLATION, "app")
    try:
        stack.new_backup()
        yield
    finally:
        stack.sql(ALL_OF_IT, "app")
    # What comes after starts from data that is whole again.
    stack.new_backup()


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        pytest.param(unreadable_file, "Permission denied", id="restore"),
        pytest.param(damaged_wal, "and cannot read it", id="replay"),
        pytest.param(damaged_index, "fickle_i", id="check"),
    ],
)
def test_what_fails_a_recovery_fails_a_drill(
    stack: Stack,
    unverified: None,
    broken: Callable[[Stack], AbstractContextManager[None]],
    reason: str,
) -> None:
    """Both bring a copy back, by the same stages."""
    with broken(stack):
        for words in (["drill", "--now"], ["recover", "--yes"]):
            done = stack.ops(*words, check=False)
            assert done.returncode == 2, done.stdout
            assert reason in " ".join((done.stdout + done.stderr).split())


def test_a_drill_with_too_little_space_declines(stack: Stack) -> None:
    filler = "/data/filler"
    stack.on(
        "barman-lab",
        "free=$(df -B1 --output=avail /data | tail -1); "
        f"fallocate -l $((free - 5 * 1024 * 1024 * 1024)) {filler}",
    )
    try:
        done = stack.ops("drill", "--now", check=False)
    finally:
        stack.on("barman-lab", f"rm -f {filler}")
    assert done.returncode == 1
    assert "too little space" in done.stdout
    assert records(stack)[-1]["outcome"] == "declined"
    assert stack.on("barman-lab", "systemctl is-failed restore-drill", check=False) != "failed"
    assert left(stack) == ""


def test_a_backup_that_begins_ends_the_drill(stack: Stack) -> None:
    before = len(records(stack))
    begin(stack)
    # Barman's own lock, held as long as a large backup would.
    stack.on(
        "barman-lab",
        "systemd-run --quiet --collect --unit=long-backup --uid=barman "
        "flock /data/barman/.pg-backup.lock sleep 600",
    )
    try:
        last = broken_off(stack, before)
    finally:
        stack.on("barman-lab", "systemctl stop long-backup")
    assert last["outcome"] == "declined"
    assert "a backup is being taken" in last["reason"]


def test_a_killed_drill_leaves_nothing_behind(stack: Stack) -> None:
    before = len(records(stack))
    begin(stack)
    assert left(stack) != ""
    stack.on("barman-lab", "systemctl kill --kill-whom=main --signal=KILL restore-drill")
    last = broken_off(stack, before)
    assert last["outcome"] == "failed"
    assert "killed" in last["reason"]


def test_a_drill_in_a_power_cut_leaves_nothing_behind(stack: Stack) -> None:
    before = len(records(stack))
    begin(stack)
    stack.lab_command("kill", "barman-lab")
    stack.lab_command("power-on", "barman-lab")
    assert "rebooted" in broken_off(stack, before)["reason"]
    # Degraded, for the drill failed; unprotected no more.
    soon("protection", lambda: stack.ops("status", check=False).returncode == 1, 240)


START_AND_STOP = """
import sys, time
sys.path.insert(0, "/usr/local/lib")
from host.restored_copy.copy import Copy
from host.restored_copy.server import Server
copy = Copy(folder="/data/stopped", user="barman", version=sys.argv[1], unit="stopped-at-once")
server = Server(copy)
made = server.command([f"{copy.binaries}/initdb", "--no-sync", "-D", copy.data])
assert made.returncode == 0, made.stderr
for milliseconds in range(0, 40, 5):
    server.launch([], {"unix_socket_directories": copy.folder}, {})
    time.sleep(milliseconds / 1000)
    server.stop()
"""


def test_a_copy_that_has_just_been_started_can_be_stopped(stack: Stack) -> None:
    """What breaks a drill off may come at any moment of it."""
    stack.on("barman-lab", "install -d -o barman -g barman /data/stopped")
    try:
        version = stack.cluster.split("/")[0]
        program = f"timeout 60 python3 - {version} <<'END'\n{START_AND_STOP}\nEND"
        stack.on("barman-lab", program)
    finally:
        left = "systemctl kill --signal=KILL stopped-at-once; rm -r /data/stopped"
        stack.on("barman-lab", left, check=False)

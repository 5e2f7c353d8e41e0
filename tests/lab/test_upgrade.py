"""A stack that an earlier version made is taken over by this one as it is, while it is in use."""

import json
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from ops.errors import OperatorError
from ops.model import Verdict
from ops.reach.outputs import StackOutputs
from ops.reach.ssh import connect
from ops.watch import status
from tests.support.checkout import CHECKOUT, copy_checkout, prepare
from tests.support.ledger import Ledger
from tests.support.ledger import moment as shown
from tests.support.site import Site, with_client
from tests.support.stack import Stack

pytestmark = [pytest.mark.provider, pytest.mark.deep]

# The version before this one: what operators' stacks were made by.
PREVIOUS = "a06ba8448f32dc07abb60e439f9112b2be23213b"
# What is never replaced, and the output that is another one after a replacement: the resource's
# own id is made of names and stays the same.
KEPT = {
    "azure-native:compute:VirtualMachine": "vmId",
    "azure-native:compute:Disk": "uniqueId",
}
MACHINES = ("postgres-lab", "barman-lab")
# Measured on the lab: not one look found it unprotected, the longest pause was 0.2 s. A restart of
# PostgreSQL takes some seconds; without a reason for one, an upgrade makes none.
RESTART_S = 15.0


@dataclass
class Watch:
    """One look at the stack's status after the other: when each began and ended, and why the pair
    was not protected, "" if it was."""

    looks: list[tuple[float, float, str]] = field(default_factory=list)

    def unprotected_s(self) -> float:
        """The longest time that the pair may have been unprotected: from the last look that found
        it protected to the end of the next that did."""
        longest, since = 0.0, self.looks[0][0]
        lapsed = False
        for began, ended, why in self.looks:
            if why:
                lapsed = True
                continue
            if lapsed:
                longest = max(longest, ended - since)
            since, lapsed = began, False
        return max(longest, self.looks[-1][1] - since) if lapsed else longest


@dataclass(frozen=True)
class Upgrade:
    """An upgrade that is over: what it said it would do, what was the same before and after, the
    newest backup from before, a moment before it, and all commits acknowledged meanwhile."""

    site: Site
    plan: dict[str, Any]
    before: dict[str, str]
    after: dict[str, str]
    backup: str
    moment: float
    ledger: Ledger
    watch: Watch


@pytest.fixture(scope="module")
def upgrade(tmp_path_factory: pytest.TempPathFactory, image: str) -> Iterator[Upgrade]:
    """A stack made by `PREVIOUS` and taken over by this checkout while a client writes."""
    root = tmp_path_factory.mktemp("checkout")
    settings = {"image": image}
    stack = Stack(previous_checkout(root, **settings))
    try:
        stack.lab_command("up")
        outputs = StackOutputs.model_validate(stack.outputs)
        before = identities(stack)
        with with_client(stack) as site:
            site.new_ledger()
            with connect(outputs) as machines:
                newest = status.collect(machines).last_done_backup
            assert newest is not None
            with watching(outputs) as watch, site.writing(1) as ledger:
                ledger.wait_for_more(100)
                moment = time.time()
                check_out_over(root, **settings)
                plan = preview(stack)
                stack.lab_command("up")
                ledger.wait_for_more(100)
            stack.read_outputs_again()
            after = identities(stack)
            yield Upgrade(site, plan, before, after, newest.id, moment, ledger, watch)
    finally:
        stack.lab_command("down", "--yes-delete-data", check=False)


def previous_checkout(to: Path, **settings: str) -> Path:
    """The files of `PREVIOUS` in the directory `to`; its lab has these settings of the program.
    The virtual environment is this checkout's. Fails where the clone lacks that commit."""
    there = ["git", "cat-file", "-e", f"{PREVIOUS}^{{commit}}"]
    if subprocess.run(there, cwd=CHECKOUT, capture_output=True, check=False).returncode:
        pytest.fail(
            f"this clone lacks the commit {PREVIOUS}, the version that stacks are upgraded from; "
            "type: git fetch --unshallow"
        )
    archive = subprocess.run(
        ["git", "archive", PREVIOUS], cwd=CHECKOUT, capture_output=True, check=True
    )
    subprocess.run(["tar", "-x", "-C", str(to)], input=archive.stdout, check=True)
    return prepare(to, **settings)


def check_out_over(root: Path, **settings: str) -> None:
    """This checkout's files in place of those in `root`, whose lab stays."""
    for path in root.iterdir():
        if path.name == ".lab":
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    copy_checkout(root, **settings)


def identities(stack: Stack) -> dict[str, str]:
    """What is another one after a replacement: of each machine and disk as Azure numbers them, of
    each boot, system disk and file system, and of the cluster."""
    state = json.loads(stack.pulumi("stack", "export").stdout)
    found = {
        resource["id"].rpartition("/")[2]: resource["outputs"][KEPT[resource["type"]]]
        for resource in state["deployment"]["resources"]
        if resource["type"] in KEPT
    }
    for name in MACHINES:
        found[f"{name}: boot"] = stack.on(name, "cat /proc/sys/kernel/random/boot_id")
        found[f"{name}: system disk"] = stack.on(name, "cat /etc/machine-id")
        found[f"{name}: file system"] = stack.on(name, "findmnt --noheadings --output UUID /data")
    found["cluster"] = stack.sql("SELECT system_identifier FROM pg_control_system()")
    return found


def replaced(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """What of `before` is gone, or another one."""
    return sorted(name for name, identity in before.items() if after.get(name) != identity)


def preview(stack: Stack, *options: str, check: bool = True) -> dict[str, Any]:
    """What an update would do."""
    done = stack.pulumi("preview", "--json", "--non-interactive", *options, check=check)
    return json.loads(done.stdout)


def losses(plan: Mapping[str, Any]) -> list[str]:
    """The machines and disks that a plan replaces or deletes, by their logical names."""
    return sorted(
        step["urn"].rpartition("::")[2]
        for step in plan["steps"]
        if step["op"] not in ("same", "create", "update")
        and step["urn"].split("::")[2].rpartition("$")[2] in KEPT
    )


@contextmanager
def watching(outputs: StackOutputs) -> Iterator[Watch]:
    """Somebody who looks at the stack's status all the time, each time with a new connection."""
    watch, enough = Watch(), threading.Event()

    def look() -> None:
        while not enough.is_set():
            began = time.monotonic()
            try:
                with connect(outputs) as site:
                    found = status.collect(site)
                why = "; ".join(reason.text for reason in found.reasons)
                protected = found.verdict is not Verdict.UNPROTECTED
            except OperatorError as error:
                protected, why = False, error.happened
            watch.looks.append((began, time.monotonic(), "" if protected else why))
            enough.wait(1)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield watch
    finally:
        enough.set()
        thread.join()


def test_no_machine_and_no_disk_is_another_one(upgrade: Upgrade) -> None:
    assert losses(upgrade.plan) == []
    assert len(upgrade.before) == 4 + 3 * len(MACHINES) + 1
    assert replaced(upgrade.before, upgrade.after) == []


def test_nothing_is_left_to_do(upgrade: Upgrade) -> None:
    upgrade.site.stack.pulumi("preview", "--expect-no-changes", "--non-interactive")


def test_the_pair_is_protected_but_for_a_restart(upgrade: Upgrade) -> None:
    assert len(upgrade.watch.looks) >= 10
    print(f"unprotected for at most {upgrade.watch.unprotected_s():.1f} s")
    assert upgrade.watch.unprotected_s() <= RESTART_S, upgrade.watch.looks
    upgrade.site.stack.until_content()


def test_commits_pause_for_a_restart_at_most_and_none_is_lost(upgrade: Upgrade) -> None:
    acknowledged = sorted(commit.acknowledged for commit in upgrade.ledger.commits)
    pauses = [later - earlier for earlier, later in pairwise(acknowledged)]
    print(f"{len(acknowledged)} commits, the longest pause {max(pauses):.1f} s")
    assert max(pauses) <= RESTART_S
    assert upgrade.site.lost(upgrade.ledger) == set()


def test_a_backup_from_before_is_restorable(upgrade: Upgrade) -> None:
    site = upgrade.site
    moment = shown(upgrade.moment)
    site.stack.ops("clone", "--backup-id", upgrade.backup, "--target-time", moment)
    ask = "psql -X -A -t -h /data/clones/clone -p 5433 -d app -c 'SELECT id FROM ledger'"
    said = site.on_postgres(f"cd /; runuser -u postgres -- {ask}")
    site.stack.ops("clone", "--drop")
    found = {int(line) for line in said.split()}
    assert {c.id for c in upgrade.ledger.commits if c.after < upgrade.moment} <= found
    assert not found & {c.id for c in upgrade.ledger.commits if c.before > upgrade.moment}


def test_a_plain_backup_from_before_and_a_packed_one_stand_side_by_side(upgrade: Upgrade) -> None:
    stack = upgrade.site.stack
    packed = stack.new_backup()
    for backup in (upgrade.backup, packed):
        stack.ops("verify", backup)
    found = stack.backups()
    assert found[upgrade.backup]["restorable"] and found[packed]["restorable"]
    plain = found[upgrade.backup]
    assert plain["size_bytes"] == plain["restored_bytes"]
    assert found[packed]["size_bytes"] < found[packed]["restored_bytes"] / 2
    stack.until_content()


def test_what_is_replaced_would_be_seen(upgrade: Upgrade) -> None:
    """The judges of this file themselves: on plans that replace, and on a machine that was off."""
    stack = upgrade.site.stack
    state = json.loads(stack.pulumi("stack", "export").stdout)
    for resource in state["deployment"]["resources"]:
        if resource["type"] in KEPT:
            # A disk is protected, so that such a plan ends in an error, too.
            plan = preview(stack, "--replace", resource["urn"], check=False)
            assert losses(plan) == [resource["urn"].rpartition("::")[2]]
    stack.lab_command("power-off", "barman-lab")
    stack.lab_command("power-on", "barman-lab")
    upgrade.site.stack.until_content()
    assert replaced(upgrade.after, identities(stack)) == ["barman-lab: boot"]
    assert replaced(upgrade.after, {}) == sorted(upgrade.after)

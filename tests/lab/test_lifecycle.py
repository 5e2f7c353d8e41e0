"""A lab that is killed while it comes up, goes on, and leaves nothing behind when it goes."""

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from engine.environment import Workspace
from engine.project import forget_state
from lab import teardown
from lab.azure.arm_id import SUBSCRIPTION
from lab.machines import disks, machine
from lab.names import Lab
from tests.support.checkout import copy_checkout
from tests.support.site import with_client
from tests.support.stack import Stack

pytestmark = pytest.mark.provider


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory, image: str) -> Iterator[Stack]:
    """A lab whose first `up` was killed, its engine too, when both machines had been started."""
    stack = Stack(copy_checkout(tmp_path_factory.mktemp("checkout"), image=image))
    first = subprocess.Popen(
        [".venv/bin/python", "-m", "lab", "up"],
        cwd=stack.root,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        try:
            deadline = time.monotonic() + 900
            while not both_run(stack.lab):
                assert first.poll() is None, "up ended before both machines ran"
                assert time.monotonic() < deadline
                time.sleep(0.2)
        finally:
            first.kill()
            stack.kill_engines()
            first.wait()
        yield stack
    finally:
        stack.lab_command("down", "--yes-delete-data", check=False)


def both_run(lab: Lab) -> bool:
    names = machine.names(lab)
    return len(names) == 2 and all(machine.is_running(lab, name) for name in names)


def traces(stack: Stack) -> dict[str, str]:
    """Everything of this lab that the host can see, by where it was looked for."""
    short, directory = stack.lab.short, str(stack.lab.directory)
    looks = {
        "network namespaces": ["ip", "netns", "list"],
        "links": ["ip", "-o", "link"],
        "routes": ["ip", "route"],
        "nftables": ["nft", "list", "ruleset"],
        "mounts": ["cat", "/proc/mounts"],
        "loop devices": ["losetup", "--list", "--noheadings", "--output", "NAME,BACK-FILE"],
        "processes": ["ps", "-eo", "args"],
    }
    found = {}
    for place, argv in looks.items():
        text = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
        lines = [line for line in text.splitlines() if short in line or directory in line]
        if lines:
            found[place] = "\n".join(lines)
    return found


def test_up_goes_on_after_it_was_killed(interrupted: Stack) -> None:
    interrupted.lab_command("up")
    assert "FAILED" not in interrupted.barman("check", "pg")
    interrupted.pulumi("preview", "--expect-no-changes", "--non-interactive")


def test_down_asks_before_it_deletes_a_data_disk(interrupted: Stack) -> None:
    refused = interrupted.lab_command("down", check=False)
    assert refused.returncode == 5
    assert interrupted.sql("SELECT 1") == "1"


@pytest.mark.parametrize("option", ["--diff", "--skip-preview"])
def test_a_destroy_by_accident_deletes_nothing_and_says_what_to_type(
    interrupted: Stack, option: str
) -> None:
    """Without its preview, a destroy deletes until it meets the first protected resource."""
    before = resources(interrupted)
    refused = interrupted.pulumi("destroy", "--yes", option, "--non-interactive", check=False)
    assert refused.returncode != 0
    assert "use-python-m-ops-teardown" in refused.stdout + refused.stderr
    assert interrupted.sql("SELECT 1") == "1"
    assert resources(interrupted) == before


def test_a_change_that_would_replace_the_disks_is_refused(interrupted: Stack) -> None:
    before = resources(interrupted)
    interrupted.pulumi("config", "set", "azure-native:location", "northeurope")
    try:
        refused = interrupted.up(check=False)
    finally:
        interrupted.pulumi("config", "set", "azure-native:location", "westeurope")
    assert refused.returncode != 0
    assert "protection" in refused.stdout + refused.stderr
    assert resources(interrupted) == before
    assert interrupted.sql("SELECT 1") == "1"


def data_disk_gib(stack: Stack, name: str) -> float:
    """The size of the file system at /data."""
    return int(stack.on(name, "df -B1 --output=size /data | tail -1")) / 2**30


def test_both_disks_grow_under_write_load(interrupted: Stack) -> None:
    stack = interrupted
    sizes = {"postgres-lab": 1300, "barman-lab": 320}
    boots = {name: stack.on(name, "uptime -s") for name in sizes}
    assert all(data_disk_gib(stack, name) < 0.9 * gib for name, gib in sizes.items())
    stack.pulumi("config", "set", "postgres-barman:postgresDiskGb", "1300")
    stack.pulumi("config", "set", "postgres-barman:barmanDiskGb", "320")
    plan = json.loads(stack.pulumi("preview", "--json", "--non-interactive").stdout)
    assert {step["op"] for step in plan["steps"]} == {"same", "update"}
    with with_client(stack) as site:
        site.new_ledger()
        snapshot = stack.ops("snapshot").stdout.partition(":")[0]
        with site.writing() as ledger:
            stack.up()
            for name, gib in sizes.items():
                assert 0.98 * gib < data_disk_gib(stack, name) <= gib
            ledger.wait_for_more(20, 60)
        assert ledger.failures == []
        assert site.lost(ledger) == set()
    assert {name: stack.on(name, "uptime -s") for name in sizes} == boots
    said = " ".join(stack.ops("recover", "--dry-run").stdout.split())
    assert f"from local {snapshot}" in said
    stack.ops("snapshots", "--drop", snapshot)


def test_a_smaller_disk_is_refused_at_preview(interrupted: Stack) -> None:
    interrupted.pulumi("config", "set", "postgres-barman:barmanDiskGb", "319")
    try:
        refused = interrupted.pulumi("preview", "--non-interactive", check=False)
        assert refused.returncode != 0
        output = refused.stdout + refused.stderr
        assert "barmanDiskGb = 319: the disk has 320 GiB, and a disk cannot shrink" in output
        assert "pulumi config set barmanDiskGb 320" in output
    finally:
        interrupted.pulumi("config", "set", "postgres-barman:barmanDiskGb", "320")


@pytest.mark.parametrize(
    "words", [["preview"], ["up", "--yes", "--skip-preview"]], ids=["preview", "up"]
)
def test_another_network_is_refused_before_anything_is_touched(
    interrupted: Stack, words: list[str]
) -> None:
    before = inputs(interrupted)
    interrupted.pulumi("config", "set", "postgres-barman:vnetCidr", "10.40.0.0/16")
    try:
        refused = interrupted.pulumi(*words, "--non-interactive", check=False)
    finally:
        interrupted.pulumi("config", "set", "postgres-barman:vnetCidr", "10.20.0.0/16")
    assert refused.returncode != 0
    output = refused.stdout + refused.stderr
    assert "vnetCidr = 10.40.0.0/16: the machines have addresses of 10.20.0.0/16" in output
    assert "pulumi config set vnetCidr 10.20.0.0/16" in output
    assert inputs(interrupted) == before
    interrupted.pulumi("preview", "--expect-no-changes", "--non-interactive")


def inputs(stack: Stack) -> dict[str, object]:
    """What everything in the stack's state was asked to be, by URN; in clear, for a secret is
    encrypted again each time."""
    state = json.loads(stack.pulumi("stack", "export", "--show-secrets").stdout)
    return {item["urn"]: item.get("inputs") for item in state["deployment"]["resources"]}


def resources(stack: Stack) -> list[str]:
    """The URN of everything in the stack's state."""
    state = json.loads(stack.pulumi("stack", "export").stdout)
    return sorted(item["urn"] for item in state["deployment"]["resources"])


def test_a_new_system_disk_finds_the_cluster_on_the_data_disk(interrupted: Stack) -> None:
    """What a replaced VM has: the data disk of the old one, and an /etc that knows no cluster."""
    identity = "SELECT system_identifier FROM pg_control_system()"
    before = interrupted.sql(identity)
    version = interrupted.cluster.split("/")[0]
    interrupted.on(
        "postgres-lab",
        f"systemctl stop postgresql@{version}-main && rm -r /etc/postgresql/{version}/main",
    )
    configure_anew(interrupted, "postgres")
    assert interrupted.sql(identity) == before
    interrupted.until_content()


def test_barman_takes_over_a_disk_on_which_another_number_owns_everything(
    interrupted: Stack,
) -> None:
    """What a replaced VM may have, whose packages were installed in another order."""
    strangers = "find /data/barman ! -user barman -o ! -group barman"
    backups = interrupted.barman("list-backups", "pg")
    interrupted.on("barman-lab", "systemctl stop barman-receiver-watch && pkill pg_receivewal")
    interrupted.on("barman-lab", "chown -R 4242:4242 /data/barman")
    assert interrupted.on("barman-lab", f"{strangers} | wc -l") != "0"
    configure_anew(interrupted, "barman")
    assert interrupted.on("barman-lab", strangers) == ""
    assert interrupted.barman("list-backups", "pg") == backups
    interrupted.until_content()


def configure_anew(stack: Stack, role: str) -> None:
    """Run the machine's program, and what depends on it, as on a new machine."""
    (urn,) = (urn for urn in resources(stack) if urn.endswith(f"::{role}-configure"))
    words = ("--yes", "--skip-preview", "--non-interactive")
    stack.pulumi("up", *words, "--target", urn, "--replace", urn, "--target-dependents")


@pytest.mark.deep
def test_a_machine_that_is_off_is_named_within_two_minutes(interrupted: Stack) -> None:
    interrupted.lab_command("power-off", "postgres-lab")
    interrupted.set("fallbackAfterSeconds", "31")
    began = time.monotonic()
    try:
        refused = interrupted.up(check=False)
        took = time.monotonic() - began
    finally:
        interrupted.lab_command("power-on", "postgres-lab")
    assert refused.returncode != 0
    assert "postgres-lab was not reached over SSH" in refused.stdout + refused.stderr
    # The engine's own start and end besides.
    assert took < 140
    interrupted.up()
    interrupted.until_content()


def test_a_disk_that_was_enlarged_elsewhere_keeps_its_size(interrupted: Stack) -> None:
    disks.grow(interrupted.lab.directory / "disks" / "barman-lab-data.img", 330)
    interrupted.pulumi("refresh", "--yes", "--skip-preview", "--non-interactive")
    refused = interrupted.pulumi("preview", "--non-interactive", check=False)
    assert refused.returncode != 0
    assert "pulumi config set barmanDiskGb 330" in refused.stdout + refused.stderr
    interrupted.set("barmanDiskGb", "330")
    interrupted.up()
    assert data_disk_gib(interrupted, "barman-lab") > 0.98 * 330


def test_a_stack_with_another_name_is_refused_and_gets_its_own_back(interrupted: Stack) -> None:
    before = resources(interrupted)
    interrupted.pulumi("stack", "rename", "other")
    try:
        refused = interrupted.pulumi(
            "preview", "--stack", "other", "--non-interactive", check=False
        )
    finally:
        interrupted.pulumi("stack", "rename", "lab", "--stack", "other")
    assert refused.returncode != 0
    assert "unable to replace resource" in refused.stdout + refused.stderr
    assert resources(interrupted) == before
    interrupted.pulumi("preview", "--expect-no-changes", "--non-interactive")


@pytest.mark.deep
def test_a_lost_state(interrupted: Stack) -> None:
    """Found again in its copy; then lost for good, its machines deleted as the page has it."""
    stack, workspace = interrupted, Workspace(interrupted.root / ".lab")
    stack.sql("CREATE TABLE kept AS SELECT 4711 AS number", "app")
    identity = "SELECT system_identifier FROM pg_control_system()"
    cluster, backups = stack.sql(identity), set(stack.backups())
    boots = {name: stack.on(name, "uptime -s") for name in machine.names(stack.lab)}
    stack.read_outputs_again()
    old = stack.outputs
    stack.pulumi("stack", "export", "--file", "state.json")
    forget_state(workspace, "lab")

    def lose_again() -> None:
        assert {name: stack.on(name, "uptime -s") for name in boots} == boots
        assert stack.outputs == old
        forget_state(workspace, "lab")
        for name in boots:
            machine.power_off(stack.lab, name)
            machine.delete(stack.lab, name)
        # A new machine may number its users otherwise.
        for disk in teardown.data_disks(stack.lab):
            disown(disk)

    subscription = {
        "00000000-0000-0000-0000-000000000000": SUBSCRIPTION,
        "--create dev": "--create lab",
    }
    (*_, said) = stack.follow("state-is-lost", subscription, after={4: lose_again})
    assert "PROTECTED" in said
    assert stack.sql(identity) == cluster
    assert stack.sql("SELECT number FROM kept", "app") == "4711"
    assert backups <= set(stack.backups())
    assert stack.outputs["caCertificate"] != old["caCertificate"]
    assert stack.outputs["barman"]["sshAddress"] == old["barman"]["sshAddress"]
    stack.pulumi("preview", "--expect-no-changes", "--non-interactive")
    stack.until_content()


def disown(disk: Path) -> None:
    """Give every file of users on a data disk to a user that no machine knows."""
    device = disks.attach(disk)
    with TemporaryDirectory() as place:
        subprocess.run(["mount", device, place], check=True)
        try:
            argv = ["find", place, "-uid", "+99", "-exec", "chown", "--no-dereference", "4999:4999"]
            subprocess.run([*argv, "{}", "+"], check=True)
        finally:
            subprocess.run(["umount", place], check=True)
    disks.detach(disk)


def test_without_the_exact_words_nothing_is_torn_down(interrupted: Stack) -> None:
    refused = interrupted.ops("teardown", "--words", "yes, delete lab", check=False)
    assert refused.returncode == 2
    assert "the words are: delete lab and all its data" in refused.stderr
    assert "every backup (1)" in refused.stdout
    assert interrupted.sql("SELECT 1") == "1"


def test_the_exact_words_tear_down_what_down_then_clears_away(interrupted: Stack) -> None:
    seen = traces(interrupted)
    # The same look while the lab is up sees it in every one of these places.
    assert {"network namespaces", "links", "nftables", "mounts", "loop devices"} <= set(seen)
    interrupted.ops("teardown", "--words", "delete lab and all its data")
    assert machine.names(interrupted.lab) == []
    assert teardown.data_disks(interrupted.lab) == []
    assert "loop devices" not in traces(interrupted)
    interrupted.lab_command("down", "--yes-delete-data")
    assert traces(interrupted) == {}
    assert not list(interrupted.lab.directory.glob("*/*"))

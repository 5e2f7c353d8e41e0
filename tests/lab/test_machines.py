"""A lab machine's life: first boot, reboot, power off, power cut, deletion, on a real one."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cloud_init.first_boot import TELL_AGENT
from lab.machines import cgroup, disks, image, machine
from lab.machines.machine import DataDisk, Interface, MachineSpec
from lab.names import Lab
from lab.net import fabric
from lab.net.topology import Nic, SecurityRule, Subnet, Topology, VirtualNetwork
from lab.shell import LabError

pytestmark = [
    pytest.mark.provider,
    pytest.mark.skipif(
        os.geteuid() != 0 or not shutil.which("systemd-nspawn"), reason="needs root and nspawn"
    ),
]

NAME = "trial"
ADDRESS, MAC = "10.67.0.4", "02:00:00:00:67:04"
DISK = "/dev/disk/azure/data/by-lun/0"
# The way the program treats the disk, and then cloud-init itself.
FIRST_BOOT = f"""
blkid {DISK} || mkfs.ext4 -q {DISK}
mkdir -p /data
echo "UUID=$(blkid -o value -s UUID {DISK}) /data ext4 defaults,nofail 0 2" >> /etc/fstab
systemctl daemon-reload
systemctl start data.mount
rm -rf /var/lib/cloud/seed/nocloud
find /var/lib/cloud /run/cloud-init -name '*user-data*' -o -name '*cloud-config.txt' | xargs rm -f
touch /etc/cloud/cloud-init.disabled
"""


@dataclass(frozen=True)
class Trial:
    lab: Lab
    public: str
    host_key: str
    identity: Path
    spec: MachineSpec

    def run(self, command: str) -> str:
        return machine.execute(self.lab, NAME, ["sh", "-ec", command]).stdout.strip()

    def ssh(self, command: str) -> str:
        known = self.identity.with_name("known_hosts")
        known.write_text(f"{self.public} {self.host_key}\n")
        options = [f"UserKnownHostsFile={known}", "StrictHostKeyChecking=yes", "BatchMode=yes"]
        named = [part for option in options for part in ("-o", option)]
        argv = ["ssh", "-F", "none", "-i", str(self.identity), *named, f"keeper@{self.public}"]
        return subprocess.run(
            [*argv, command], check=True, text=True, capture_output=True
        ).stdout.strip()

    def answers(self, seconds: float) -> float:
        """Seconds until sshd greets; fails after `seconds`."""
        began = time.monotonic()
        while time.monotonic() < began + seconds:
            try:
                with socket.create_connection((self.public, 22), 1) as connection:
                    if connection.recv(4) == b"SSH-":
                        return time.monotonic() - began
            except OSError:
                time.sleep(0.05)
        raise AssertionError(machine.console_log(self.lab, NAME).read_text()[-3000:])

    def settled(self) -> str:
        return machine.execute(
            self.lab, NAME, ["systemctl", "is-system-running", "--wait"], check=False
        ).stdout.strip()


def key(path: Path) -> tuple[str, str]:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path], check=True
    )
    return path.read_text(), path.with_suffix(".pub").read_text().strip()


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    root = tmp_path_factory.mktemp("root")
    image.ensure()
    lab = Lab.of(root, "machines")
    public = fabric.internet(lab).first_public
    allow_ssh = SecurityRule(
        "ssh", 100, "Inbound", "Allow", "Tcp", ("Internet",), ("*",), ("*",), ("22",)
    )
    subnet = Subnet("trial", "v", "10.67.0.0/24", (allow_ssh,), None, False)
    topology = Topology(
        (VirtualNetwork("v", ("10.67.0.0/16",)),),
        (subnet,),
        (Nic("trial", subnet.key, ADDRESS, MAC, public),),
    )
    host_private, host_public = key(root / "host")
    _, admin = key(root / "admin")
    first_boot = {
        "bootcmd": [TELL_AGENT],
        "ssh_keys": {"ed25519_private": host_private, "ed25519_public": host_public},
        "runcmd": [["sh", "-ec", FIRST_BOOT]],
    }
    disk = lab.directory / "disks" / "data.img"
    disks.create(disk, 1100)
    spec = MachineSpec(
        name=NAME,
        image_release="trixie",
        instance_id="one",
        hostname="trial-host",
        admin_user="keeper",
        admin_keys=(admin,),
        custom_data=f"#cloud-config\n{json.dumps(first_boot)}".encode(),
        nics=(Interface(subnet.key, f"{ADDRESS}/24", subnet.gateway, MAC),),
        disks=(DataDisk(0, disk),),
        nameservers=(fabric.RESOLVER,),
    )
    group = cgroup.path(lab, NAME)
    try:
        fabric.apply(lab, topology)
        machine.provision(lab, spec)
        yield Trial(lab, public, host_public, root / "admin", spec)
    finally:
        machine.delete(lab, NAME)
        assert disks.attached(disk) is None
        disks.delete(disk)
        fabric.remove(lab)
    assert machine.names(lab) == []
    assert not group.exists()
    assert str(root) not in Path("/proc/mounts").read_text()
    assert lab.short not in "".join(path.name for path in Path("/run/netns").iterdir())


def test_first_boot(trial: Trial) -> None:
    machine.start(trial.lab, NAME)
    machine.await_provisioned(trial.lab, NAME)
    trial.answers(20)
    machine.execute(trial.lab, NAME, ["cloud-init", "status", "--wait"])
    assert trial.settled() == "running"
    assert trial.ssh("sudo -n id -u; hostname") == "0\ntrial-host"
    assert trial.run("ls /etc/ssh/ssh_host_*_key") == "/etc/ssh/ssh_host_ed25519_key"
    assert trial.run("passwd -S keeper | cut -d' ' -f2") == "L"
    assert trial.run("findmnt -no FSTYPE /data") == "ext4"
    assert trial.run("ls /sys/class/net") == "eth0\nlo"
    assert "Welcome to Debian" in machine.console_log(trial.lab, NAME).read_text()


def test_starting_or_provisioning_twice_changes_nothing(trial: Trial) -> None:
    before = trial.run("cat /proc/sys/kernel/random/boot_id; pidof systemd-journald")
    machine.provision(trial.lab, trial.spec)
    machine.start(trial.lab, NAME)
    assert trial.run("cat /proc/sys/kernel/random/boot_id; pidof systemd-journald") == before


def test_reboot_from_inside(trial: Trial) -> None:
    """By now cloud-init is disabled, and its copies of the customData are gone."""
    identity = trial.run("cat /etc/machine-id; echo kept > /data/kept")
    before = trial.run("systemctl show --property=UserspaceTimestampMonotonic")
    machine.execute(trial.lab, NAME, ["systemctl", "reboot"], check=False)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        asked = ["systemctl", "show", "--property=UserspaceTimestampMonotonic"]
        try:
            said = machine.execute(trial.lab, NAME, asked, check=False).stdout.strip()
        except machine.LabError:  # no init at this moment
            said = before
        if said not in ("", before):
            break
        time.sleep(0.1)
    trial.answers(20)
    assert trial.settled() == "running"
    assert trial.run("cat /etc/machine-id; cat /data/kept") == f"{identity}\nkept"
    assert trial.ssh("ip -br address show dev eth0").split()[2] == f"{ADDRESS}/24"


def test_power_off_and_on_with_another_loop_device(trial: Trial) -> None:
    disk = trial.spec.disks[0].path
    old = disks.attached(disk)
    machine.power_off(trial.lab, NAME)
    assert not machine.is_running(trial.lab, NAME)
    assert disks.attached(disk) is None
    # Somebody else takes the device meanwhile.
    other = disk.with_name("other.img")
    disks.create(other, 1)
    taken = disks.attach(other)
    try:
        machine.start(trial.lab, NAME)
        assert (disks.attached(disk) == old) == (taken != old)
        assert trial.answers(20) < 6
        assert trial.settled() == "running"
        assert trial.run("findmnt -no FSTYPE /data; cat /data/kept") == "ext4\nkept"
    finally:
        disks.delete(other)


def test_a_power_cut_loses_what_was_not_synced(trial: Trial) -> None:
    trial.run("echo durable > /data/synced; sync -f /data; echo lost > /data/unsynced")
    machine.kill(trial.lab, NAME)
    assert not machine.is_running(trial.lab, NAME)
    with pytest.raises(OSError, match=r"timed out|unreachable|No route"):
        socket.create_connection((trial.public, 22), 1)
    machine.start(trial.lab, NAME)
    trial.answers(20)
    assert trial.settled() == "running"
    assert trial.run("cat /data/synced") == "durable"
    assert trial.run("cat /data/unsynced 2>/dev/null || true") == ""


def test_a_frozen_machine_is_on_and_silent(trial: Trial) -> None:
    machine.freeze(trial.lab, NAME)
    assert machine.is_running(trial.lab, NAME)
    with socket.create_connection((trial.public, 22), 2) as connection:
        connection.settimeout(0.5)
        with pytest.raises(TimeoutError):
            connection.recv(4)
        machine.thaw(trial.lab, NAME)
        connection.settimeout(10)
        assert connection.recv(4) == b"SSH-"


def test_disk_grows_under_a_running_machine(trial: Trial) -> None:
    disks.grow(trial.spec.disks[0].path, 1101)
    assert trial.run(f"blockdev --getsize64 {DISK}") == str(1101 * disks.GIB)


def test_made_again_it_finds_its_disk(trial: Trial) -> None:
    machine.delete(trial.lab, NAME)
    again = MachineSpec(**{**vars(trial.spec), "instance_id": "two"})
    machine.provision(trial.lab, again)
    machine.start(trial.lab, NAME)
    trial.answers(20)
    machine.execute(trial.lab, NAME, ["cloud-init", "status", "--wait"])
    assert trial.run("cat /data/kept") == "kept"


def test_a_machine_whose_agent_does_not_find_its_host_key_fails(trial: Trial) -> None:
    machine.delete(trial.lab, NAME)
    data = trial.spec.custom_data.replace(b"bootcmd", b"x-bootcmd")
    untold = {**vars(trial.spec), "instance_id": "three", "custom_data": data}
    machine.provision(trial.lab, MachineSpec(**untold))
    machine.start(trial.lab, NAME)
    with pytest.raises(LabError, match=r"ssh host key was not found at .*ssh_host_rsa_key\.pub"):
        machine.await_provisioned(trial.lab, NAME)

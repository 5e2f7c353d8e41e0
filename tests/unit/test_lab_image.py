"""The image that the lab's machines are started from."""

import os
import subprocess
from pathlib import Path

import pytest

from cloud_init.first_boot import TELL_AGENT
from lab.machines.image import overlay
from lab.machines.provisioning import agent_report

ROOTFS = Path(__file__).resolve().parents[2] / "lab" / "machines" / "rootfs"


def test_a_checkout_that_its_group_may_write_makes_no_such_machine(tmp_path: Path) -> None:
    source, root = tmp_path / "rootfs", tmp_path / "machine"
    (source / "etc" / "apt").mkdir(parents=True)
    (root / "etc").mkdir(parents=True)
    (source / "etc" / "apt" / "lab").write_text("x")
    (source / "etc" / "run").write_text("y")
    for path in (source / "etc", source / "etc" / "apt", source / "etc" / "run"):
        path.chmod(0o775)
    (source / "etc" / "apt" / "lab").chmod(0o664)
    overlay(source, root)
    modes = {p.name: p.lstat().st_mode & 0o777 for p in root.rglob("*")}
    assert modes == {"etc": 0o755, "apt": 0o755, "lab": 0o644, "run": 0o755}


class Agent:
    """The image's stand-in for Azure's agent on a machine that is a directory; no sleep."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("etc/ssh", "var/lib/waagent", "bin"):
            (root / name).mkdir(parents=True)
        self.write("etc/waagent.conf", (ROOTFS / "etc/waagent.conf").read_text())
        (root / "bin" / "sleep").symlink_to("/bin/true")

    def write(self, name: str, text: str = "x") -> None:
        (self.root / name).write_text(text)

    def typed(self, *argv: str) -> None:
        """One of the machine's programs, run on its files."""
        place = f"{self.root}/etc/"
        subprocess.run([word.replace("/etc/", place) for word in argv], check=True)

    def start(self) -> str:
        """What it reports."""
        program = (ROOTFS / "usr/sbin/waagent").read_text()
        for place in ("/etc/", "/var/"):
            program = program.replace(place, f"{self.root}{place}")
        asked = (self.root / "etc/waagent.conf").read_text()
        self.write("etc/waagent.conf", asked.replace("=/etc/", f"={self.root}/etc/"))
        path = f"{self.root}/bin:{os.environ['PATH']}"
        subprocess.run(["sh", "-c", program, "waagent"], env={"PATH": path}, check=False)
        return agent_report(self.root).replace(str(self.root), "")

    @property
    def provisioned(self) -> bool:
        return (self.root / "var/lib/waagent/provisioned").exists()


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    """On a machine as cloud-init leaves it: with the one host key that the program gives it."""
    agent = Agent(tmp_path)
    agent.write("var/lib/waagent/ovf-env.xml")
    agent.write("etc/ssh/ssh_host_ed25519_key.pub")
    return agent


def test_azures_agent_finds_the_host_key_once_it_is_told_which(agent: Agent) -> None:
    agent.typed(*TELL_AGENT)
    agent.typed(*TELL_AGENT)
    assert agent.start() == "Ready"
    assert agent.provisioned


def test_azures_agent_looks_for_another_key_unless_told(agent: Agent) -> None:
    said = "ssh host key was not found at /etc/ssh/ssh_host_rsa_key.pub after 30s"
    assert agent.start() == f"ProvisioningFailed: Giving up, {said}"
    assert not agent.provisioned
    # What every image's sshd has by default.
    agent.write("etc/ssh/ssh_host_rsa_key.pub")
    assert agent.start() == "Ready"


def test_azures_agent_wants_what_cloud_init_was_given_until_it_has_finished(agent: Agent) -> None:
    agent.typed(*TELL_AGENT)
    environment = agent.root / "var/lib/waagent/ovf-env.xml"
    environment.unlink()
    assert "ovf-env.xml was not copied to /var/lib/waagent/ovf-env.xml" in agent.start()
    environment.touch()
    assert agent.start() == "Ready"
    environment.unlink()
    assert agent.start() == "Ready"

"""The lab's virtual machines: real Debian, booted on an overlay of the image by systemd-nspawn.

A machine is a directory below the lab's `machines/`; it is there from `provision` to `delete`,
whatever happens to the processes in between.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from lab.machines import cgroup, disks, image, powercut, provisioning
from lab.machines.spec import DataDisk, Hardware, Interface, MachineSpec
from lab.names import Lab, digest
from lab.net import nic
from lab.shell import LabError, run

__all__ = ["DataDisk", "Interface", "MachineSpec"]

_BOOT = Path(__file__).with_name("boot.sh")
_POWER_OFF = signal.SIGRTMIN + 4  # systemd's signal for an orderly power-off
_INIT_SECONDS = 20
_AGENT_SECONDS = 300


def provision(lab: Lab, spec: MachineSpec) -> None:
    """Make the machine, off. Again with the same instance id: new interfaces and disks from its
    next start on, everything else as it was. Raises LabError if the name is another machine's."""
    directory = _directory(lab, spec.name)
    root = image.ensure(spec.image_release)
    known = directory / "hardware.json"
    if known.exists():
        old = Hardware.read(known)
        if old.instance_id != spec.instance_id:
            raise LabError(f"machine {spec.name} exists already: nothing was changed")
        lower = old.lower
    else:
        # Left by a crash before it was complete.
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(mode=0o700, parents=True)
        for name in ("work", "root"):
            (directory / name).mkdir()
        provisioning.write(spec, root, directory / "upper")
        lower = tuple(map(str, [*image.layers(spec.image_release), root]))
    hardware = Hardware(
        spec.instance_id, spec.image_release, spec.hostname, spec.nics, spec.disks, lower
    )
    hardware.write(known)


def start(lab: Lab, name: str) -> None:
    """Switch the machine on, and return once its init runs. Nothing happens if it is on.

    The network (`fabric.apply`) must have the machine's subnets. Raises LabError, with the end of
    the console, if the machine does not start.
    """
    group = cgroup.path(lab, name)
    if cgroup.populated(group):
        return
    hardware = _hardware(lab, name)
    cgroup.remove(group)
    lower = _lower(hardware, name)
    nic.plug(lab, name, hardware.nics)
    argv = [
        "unshare",
        "--mount",
        "--propagation",
        "private",
        str(_BOOT),
        lab.namespace_of(name),
        lower,
        *_nspawn(name, hardware),
    ]
    directory, console = _directory(lab, name), console_log(lab, name)
    if cgroup.systemd():
        options = ["Delegate=yes", "KillMode=mixed", "TasksMax=infinity"]
        options += [f"StandardOutput=append:{console}", f"StandardError=append:{console}"]
        service = [f"--property={option}" for option in options]
        named = [f"--unit={cgroup.unit(lab, name)}", "--slice=system.slice"]
        detached = ["systemd-run", "--quiet", "--collect", *named, *service]
        run([*detached, f"--working-directory={directory}", "--", *argv])
    else:
        group.mkdir(parents=True)
        join = 'echo $$ > "$0/cgroup.procs" && exec "$@"'
        detached = ["setsid", "--fork", "sh", "-ec", join, str(group), *argv]
        with console.open("ab") as log:
            channels = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
            subprocess.run(detached, **channels, cwd=directory, check=True)
    _wait_for_init(lab, name)


def await_provisioned(lab: Lab, name: str) -> None:
    """Wait until the agent of a new machine reports it as ready. Raises LabError with its reason if
    it reports a failure, TimeoutError if nothing is to be expected any more."""
    upper, deadline = _directory(lab, name) / "upper", time.monotonic() + _AGENT_SECONDS
    while (report := provisioning.agent_report(upper)) != "Ready":
        if report:
            raise LabError(report)
        if time.monotonic() > deadline or not is_running(lab, name):
            raise TimeoutError(f"machine {name} has not finished its first boot")
        time.sleep(0.1)


def power_off(lab: Lab, name: str, timeout: float = 60) -> None:
    """Shut the machine down in order, or by a power cut after `timeout` seconds."""
    group = cgroup.path(lab, name)
    if cgroup.populated(group):
        cgroup.freeze(group, frozen=False)
        leader = cgroup.leader(group)
        if leader is not None:
            os.kill(leader, _POWER_OFF)
            if not cgroup.wait_empty(group, timeout):
                kill(lab, name)
                return
        else:
            cgroup.kill(group)
    _switched_off(lab, name)


def kill(lab: Lab, name: str) -> None:
    """Cut the power: what was not yet written to a data disk is lost, as on a real machine."""
    group = cgroup.path(lab, name)
    if cgroup.populated(group):
        cgroup.freeze(group, frozen=True)
        nic.unplug(lab, name)
        leader = cgroup.leader(group)
        if leader is not None:
            attached = [disks.attached(disk.path) for disk in _hardware(lab, name).disks]
            powercut.drop_unwritten(leader, [device for device in attached if device])
        cgroup.kill(group)
    _switched_off(lab, name)


def freeze(lab: Lab, name: str) -> None:
    """Stop the machine where it stands: it keeps its connections but answers nobody."""
    cgroup.freeze(_running(lab, name), frozen=True)


def thaw(lab: Lab, name: str) -> None:
    """Let a frozen machine go on."""
    cgroup.freeze(_running(lab, name), frozen=False)


def delete(lab: Lab, name: str) -> None:
    """Cut the machine's power and remove all of it but its data disks. Idempotent."""
    group = cgroup.path(lab, name)
    if (_directory(lab, name) / "hardware.json").exists():
        kill(lab, name)
    elif cgroup.populated(group):
        cgroup.kill(group)
        cgroup.remove(group)
    nic.remove(lab, name)
    if _directory(lab, name).exists():
        shutil.rmtree(_directory(lab, name))


def is_running(lab: Lab, name: str) -> bool:
    """Whether the machine is on (a frozen one is)."""
    return cgroup.populated(cgroup.path(lab, name))


def console_log(lab: Lab, name: str) -> Path:
    """Everything the machine has written to its console, over all its starts."""
    return _directory(lab, name) / "console.log"


def names(lab: Lab) -> list[str]:
    """The lab's machines, on or off, by name."""
    return sorted(path.name for path in (lab.directory / "machines").glob("*") if path.is_dir())


def execute(
    lab: Lab,
    name: str,
    argv: Sequence[str],
    *,
    stdin: str = "",
    check: bool = True,
    timeout: float | None = 120,
) -> subprocess.CompletedProcess[str]:
    """Run a program as root inside the machine, past its network: for tests and for looking."""
    return run(_inside(lab, name, argv), stdin=stdin, check=check, timeout=timeout)


def enter(lab: Lab, name: str, argv: Sequence[str]) -> int:
    """Run a program as root inside the machine on this terminal; returns its exit code."""
    return subprocess.run(_inside(lab, name, argv), check=False).returncode


def _inside(lab: Lab, name: str, argv: Sequence[str]) -> list[str]:
    group = _running(lab, name)
    leader = cgroup.leader(group)
    if leader is None:
        raise LabError(f"machine {name} has no init yet")
    inner = group / "execute"
    inner.mkdir(exist_ok=True)
    join = 'echo $$ > "$0/cgroup.procs" && exec "$@"'
    spaces = ["--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd"]
    environment = ["env", "-i", "LANG=C.UTF-8", "HOME=/root"]
    environment.append(f"TERM={os.environ.get('TERM', 'dumb')}")
    environment.append("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    entering = ["nsenter", f"--target={leader}", *spaces, "--", *environment, *argv]
    return ["sh", "-ec", join, str(inner), *entering]


def _directory(lab: Lab, name: str) -> Path:
    return lab.directory / "machines" / name


def _hardware(lab: Lab, name: str) -> Hardware:
    try:
        return Hardware.read(_directory(lab, name) / "hardware.json")
    except FileNotFoundError:
        raise LabError(f"there is no machine {name} in stack {lab.stack}") from None


def _running(lab: Lab, name: str) -> Path:
    group = cgroup.path(lab, name)
    if not cgroup.populated(group):
        raise LabError(f"machine {name} is not running")
    return group


def _lower(hardware: Hardware, name: str) -> str:
    root = hardware.lower[-1]
    if not Path(root).is_dir():
        raise LabError(f"the image of machine {name} ({root}) is gone: make the machine again")
    # A layer of packages may have been superseded and removed; it is a cache and nothing more.
    layers = [layer for layer in hardware.lower[:-1] if Path(layer).is_dir()]
    return ":".join([*layers, root])


def _nspawn(name: str, hardware: Hardware) -> list[str]:
    argv = ["--quiet", "--keep-unit", "--register=no", "--settings=no", "--boot"]
    argv += ["--directory=root", f"--machine={name}", f"--hostname={hardware.hostname}"]
    # The machine's identity must not change over its restarts.
    argv.append(f"--uuid={digest(hardware.instance_id, length=32)}")
    # Only with a terminal does systemd tell on the console what it does.
    argv += ["--console=read-only", "--setenv=TERM=dumb"]
    argv += ["--resolv-conf=off", "--timezone=off", "--link-journal=no"]
    argv.append("--capability=CAP_NET_ADMIN")
    # nspawn forbids it unless asked; a virtual machine has a whole kernel.
    landlock = ("create_ruleset", "add_rule", "restrict_self")
    argv.append(f"--system-call-filter={' '.join(f'landlock_{call}' for call in landlock)}")
    for disk in hardware.disks:
        device = disks.attach(disk.path)
        # Also under its own name: mount finds a UUID by going through the kernel's list of names.
        argv += [f"--bind={device}", f"--bind={device}:/dev/disk/azure/data/by-lun/{disk.lun}"]
    return argv


def _switched_off(lab: Lab, name: str) -> None:
    nic.unplug(lab, name)
    for disk in _hardware(lab, name).disks:
        if disk.path.exists():
            disks.detach(disk.path)
    cgroup.remove(cgroup.path(lab, name))


def _wait_for_init(lab: Lab, name: str) -> None:
    group, deadline = cgroup.path(lab, name), time.monotonic() + _INIT_SECONDS
    while cgroup.leader(group) is None:
        # systemd-run returns before the group has its first process.
        gone = not cgroup.populated(group) and time.monotonic() > deadline - _INIT_SECONDS + 1
        if gone or time.monotonic() > deadline:
            log = console_log(lab, name)
            said = log.read_text(errors="replace")[-2000:] if log.exists() else ""
            raise LabError(f"machine {name} did not start. The end of {log}:\n{said}")
        time.sleep(0.02)

"""Units of a move on the PostgreSQL machine, which are there after a reboot, too."""

from typing import Any

from host.bundle import LOADER, bundle
from ops.onmachine.migration.sessions import FOLDER
from ops.reach import shell
from ops.reach.ssh import Machine

_TEXT = """\
# Written by `python -m ops migrate`, and removed by it when the move is over.
[Unit]
Description={description}
After=network-online.target

[Service]
ExecStart=/usr/bin/python3 -I {folder}/{name}.py
StandardInput=file:{folder}/{name}.json
Restart=always
RestartSec={restart_s}
ProtectHome=yes
PrivateTmp=yes

[Install]
WantedBy=multi-user.target
"""


def start(
    machine: Machine, name: str, description: str, restart_s: int, module: str, *arguments: Any
) -> None:
    """Have main of `module` run with `arguments` from now on; started again `restart_s` seconds
    after it has ended."""
    text = _TEXT.format(name=name, description=description, folder=FOLDER, restart_s=restart_s)
    shell.write_file(machine, f"{FOLDER}/{name}.py", LOADER, mode="600")
    shell.write_file(machine, f"{FOLDER}/{name}.json", bundle(module, *arguments), mode="600")
    shell.write_file(machine, _path(name), text)
    machine.run(["systemctl", "daemon-reload"])
    machine.run(["systemctl", "enable", "--quiet", name])
    machine.run(["systemctl", "restart", name])


def stop(machine: Machine, name: str) -> None:
    """No longer; does nothing where it is not there."""
    machine.run(["systemctl", "disable", "--quiet", "--now", name], accept=None)
    machine.run(["rm", "-f", _path(name)])
    machine.run(["systemctl", "daemon-reload"])


def _path(name: str) -> str:
    return f"/etc/systemd/system/{name}.service"

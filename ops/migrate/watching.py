"""The unit that watches a source which is followed: it is there after a reboot, too."""

from host.bundle import LOADER, bundle
from host.monitoring.services import TEXTFILES
from ops.onmachine.migration.job import Job
from ops.onmachine.migration.sessions import FOLDER
from ops.reach import shell
from ops.reach.ssh import Machine

UNIT = "migration-watch"
_MODULE = "ops.onmachine.migration.watch"
_PATH = f"/etc/systemd/system/{UNIT}.service"
_PROGRAM, _LOADER = f"{FOLDER}/watch.json", f"{FOLDER}/watch.py"
_TEXT = f"""\
# Written by `python -m ops migrate follow`, removed by cutover and abort.
[Unit]
Description=Watches the source of a move
After=network-online.target

[Service]
ExecStart=/usr/bin/python3 -I {_LOADER}
StandardInput=file:{_PROGRAM}
Restart=always
RestartSec=30
ProtectHome=yes
PrivateTmp=yes

[Install]
WantedBy=multi-user.target
"""


def start(machine: Machine, jobs: list[Job]) -> None:
    """Watch the source of these jobs from now on."""
    documents = [job.document() for job in jobs]
    shell.write_file(machine, _LOADER, LOADER, mode="600")
    shell.write_file(machine, _PROGRAM, bundle(_MODULE, documents, TEXTFILES), mode="600")
    shell.write_file(machine, _PATH, _TEXT)
    machine.run(["systemctl", "daemon-reload"])
    machine.run(["systemctl", "enable", "--quiet", UNIT])
    machine.run(["systemctl", "restart", UNIT])


def stop(machine: Machine) -> None:
    """Watch it no more; does nothing where nobody does."""
    machine.run(["systemctl", "disable", "--quiet", "--now", UNIT], accept=None)
    machine.run(["rm", "-f", _PATH, f"{TEXTFILES}/migration.prom"])
    machine.run(["systemctl", "daemon-reload"])

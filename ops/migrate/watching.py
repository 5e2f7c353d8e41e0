"""The unit that watches a source which is followed."""

from host.monitoring.services import TEXTFILES
from ops.migrate import units
from ops.onmachine.migration.job import Job
from ops.reach.ssh import Machine

UNIT = "migration-watch"
_MODULE = "ops.onmachine.migration.watch"
_RESTART_S = 30


def start(machine: Machine, jobs: list[Job]) -> None:
    """Watch the source of these jobs from now on."""
    documents = [job.document() for job in jobs]
    units.start(
        machine, UNIT, "Watches the source of a move", _RESTART_S, _MODULE, documents, TEXTFILES
    )


def stop(machine: Machine) -> None:
    """Watch it no more; does nothing where nobody does."""
    units.stop(machine, UNIT)
    machine.run(["rm", "-f", f"{TEXTFILES}/migration.prom"])

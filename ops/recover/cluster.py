"""The cluster on its own machine: stopped and proven so, its directory set aside, started."""

import time
from pathlib import PurePosixPath

from host.domain.paths import RECOVERY_MARKER
from ops.errors import OperatorError
from ops.reach import remote_python, shell
from ops.reach.outputs import StackOutputs
from ops.runbook.steps import Run

STOP_TIMEOUT_S = 180
PROOF_TIMEOUT_S = 15.0


class Cluster:
    """Names of a cluster of Debian's packaging, from its data directory …/VERSION/NAME."""

    def __init__(self, outputs: StackOutputs) -> None:
        self.data = outputs.postgres.data_directory
        path = PurePosixPath(self.data)
        self.version, self.name = path.parent.name, path.name
        self.unit = f"postgresql@{self.version}-{self.name}"
        self.config = f"/etc/postgresql/{self.version}/{self.name}"
        self.log = f"/var/log/postgresql/postgresql-{self.version}-{self.name}.log"

    @property
    def override(self) -> str:
        """The configuration file that exists during a recovery only."""
        return f"{self.config}/conf.d/zz-recovery.conf"


def cluster(run: Run) -> Cluster:
    return Cluster(run.site.outputs)


def stop(run: Run) -> str:
    """Stop PostgreSQL, keep it from coming back with a reboot, and prove that it is stopped."""
    names, machine = cluster(run), run.site.postgres
    machine.run(["mkdir", "-p", str(PurePosixPath(RECOVERY_MARKER).parent)])
    shell.write_file(machine, RECOVERY_MARKER, f"{run.journal.describe()}\n")
    set_start(run, "disabled")
    stop_unit(run)
    prove_stopped(run)
    return f"{names.unit} is stopped; no process uses {names.data}"


def stop_unit(run: Run) -> None:
    """Ask systemd to stop the cluster; whether it did is for prove_stopped to say."""
    run.site.postgres.run(
        ["systemctl", "stop", cluster(run).unit], timeout_s=STOP_TIMEOUT_S, accept=None
    )


def undo_stop(run: Run) -> None:
    """Start PostgreSQL again, if there is a data directory to start it on."""
    names, machine = cluster(run), run.site.postgres
    set_start(run, "auto")
    machine.run(["rm", "-f", names.override, RECOVERY_MARKER])
    if machine.run(["test", "-e", f"{names.data}/PG_VERSION"], accept=(0, 1)).ok:
        started = machine.run(["systemctl", "start", names.unit], timeout_s=600, accept=None)
        run.say("PostgreSQL runs again" if started.ok else f"not started: {started.said}")
    else:
        run.say(f"{names.data} holds no cluster, as before; PostgreSQL is not started")


def set_start(run: Run, mode: str) -> None:
    """Debian's start.conf: `auto`, or `disabled` so that not even a reboot starts the cluster."""
    names = cluster(run)
    run.site.postgres.run(["mkdir", "-p", names.config])
    shell.write_file(run.site.postgres, f"{names.config}/start.conf", mode)


def users(run: Run) -> list[str]:
    """Processes that use the data directory."""
    answer = remote_python.call(run.site.postgres, "stopped", [cluster(run).data])
    return answer["users"]


def prove_stopped(run: Run) -> None:
    """Raises OperatorError unless no process at all uses the data directory."""
    deadline = time.monotonic() + PROOF_TIMEOUT_S
    while found := users(run):
        if time.monotonic() > deadline:
            raise OperatorError(
                f"PostgreSQL does not stop. Still using {cluster(run).data}: "
                f"{'; '.join(found[:5])}. Restoring under a running server destroys it.",
                "PostgreSQL was asked to stop; this step has not moved or removed any file.",
                next_command=f"sudo systemctl status {cluster(run).unit}   (on its machine)",
            )
        time.sleep(0.5)


def set_aside(run: Run) -> str:
    """Move the old data directory out of the way, or remove it where that was asked for."""
    prove_stopped(run)
    names, machine = cluster(run), run.site.postgres
    aside = f"{names.data}.before-{run.journal.id}"
    kept = machine.run(["test", "-e", aside], accept=(0, 1)).ok
    present = machine.run(["test", "-e", f"{names.data}/PG_VERSION"], accept=(0, 1)).ok
    if present and not kept:
        if run.journal.options.get("discard_old_data"):
            machine.run(["find", names.data, "-mindepth", "1", "-delete"], timeout_s=3600)
        else:
            machine.run(["mv", names.data, aside])
            kept = True
    machine.run(["install", "-d", "-o", "postgres", "-g", "postgres", "-m", "0700", names.data])
    if not kept:
        return "there was no old data directory to keep"
    run.remember(aside=aside)
    return f"the old data directory is {aside}"


def undo_set_aside(run: Run) -> None:
    """Put the old data directory back."""
    if run.journal.options.get("discard_old_data"):
        raise OperatorError(
            "The old data directory was discarded, as asked; there is nothing to go back to.",
            "The restored data directory was not touched by this step.",
            f"python -m ops {run.journal.kind} --resume",
        )
    names, machine = cluster(run), run.site.postgres
    aside = f"{names.data}.before-{run.journal.id}"
    # Without it nothing was moved, perhaps because the server would not stop: it is to stay.
    if machine.run(["test", "-e", aside], accept=(0, 1)).ok:
        prove_stopped(run)
        machine.run(["rm", "-rf", names.data], timeout_s=3600)
        machine.run(["mv", aside, names.data])


def boot(run: Run) -> str:
    """A mark that is another one after the machine was rebooted."""
    files = ["/proc/sys/kernel/random/boot_id", "/proc/1/stat"]
    boot_id, *process = run.site.postgres.run(["cat", *files]).stdout.split()
    # proc(5): the 22nd field is when it was started.
    return f"{boot_id}/{process[21]}"

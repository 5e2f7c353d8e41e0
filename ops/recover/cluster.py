"""The cluster on its own machine: stopped and proven so, its files moved, started."""

import time
from pathlib import PurePosixPath

from host.domain.paths import RECOVERY_MARKER
from ops.errors import OperatorError
from ops.reach import pooler, remote_python, shell
from ops.reach.outputs import StackOutputs
from ops.runbook.steps import Run

STOP_TIMEOUT_S = 180
# Between file systems a tablespace is copied.
PLACE_TIMEOUT_S = 6 * 3600
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
    def binaries(self) -> str:
        """Where the version's own programs are."""
        return f"/usr/lib/postgresql/{self.version}/bin"

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
    paused = pooler.pause(run.site)
    stop_unit(run)
    prove_stopped(run)
    return f"{names.unit} is stopped; no process uses {names.data}{paused}"


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
    pooler.resume(run.site)


def set_start(run: Run, mode: str) -> None:
    """Debian's start.conf: `auto`, or `disabled` so that not even a reboot starts the cluster."""
    names = cluster(run)
    run.site.postgres.run(["mkdir", "-p", names.config])
    shell.write_file(run.site.postgres, f"{names.config}/start.conf", mode)


def prove_stopped(run: Run, data: str | None = None) -> None:
    """Raises OperatorError unless no process at all uses the data directory, the server's own
    unless another one is named."""
    data = data or cluster(run).data
    deadline = time.monotonic() + PROOF_TIMEOUT_S
    while found := users(run, data):
        if time.monotonic() > deadline:
            raise OperatorError(
                f"PostgreSQL does not stop. Still using {data}: "
                f"{'; '.join(found[:5])}. Restoring under a running server destroys it.",
                "PostgreSQL was asked to stop; this step has not moved or removed any file.",
                next_command=f"sudo systemctl status {cluster(run).unit}   (on its machine)",
            )
        time.sleep(0.5)


def users(run: Run, data: str) -> list[str]:
    """Processes that use a data directory."""
    return remote_python.call(run.site.postgres, "ops.onmachine.stopped", [data])["users"]


def place(run: Run, action: str, elsewhere: str, tablespaces: str, successor: str = "") -> None:
    """An action of host/restored_copy/place.py on the data directory, and the cluster whose data is
    at `elsewhere` and whose tablespaces are at `tablespaces`; `successor` is the data directory of
    the one that comes into its place. Raises OperatorError."""
    words = [action, cluster(run).data, elsewhere, tablespaces, successor]
    found = remote_python.call(
        run.site.postgres, "host.restored_copy.place", words, timeout_s=PLACE_TIMEOUT_S
    )
    if found["occupied"]:
        raise OperatorError(
            f"A tablespace cannot be put in place: {found['occupied']}.",
            "What was moved before it stays where it is until this step is undone.",
        )


def discard(run: Run) -> None:
    """Remove the old server's files, where that was asked for."""
    if run.journal.options.get("discard_old_data"):
        prove_stopped(run)
        place(run, "discard", "", "")


def require_kept(run: Run) -> None:
    """Raises OperatorError where the old data was discarded: nothing can be put back."""
    if not run.journal.options.get("discard_old_data"):
        return
    there = ["test", "-e", f"{cluster(run).data}/PG_VERSION"]
    if not run.site.postgres.run(there, accept=(0, 1)).ok:
        raise OperatorError(
            "The old data directory was discarded, as asked; there is nothing to go back to.",
            "The restored data was not touched by this step.",
            f"python -m ops {run.journal.kind} --resume",
        )

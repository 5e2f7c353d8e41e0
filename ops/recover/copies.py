"""The restored copy beside the running server (host/restored_copy), from the operator's side."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console

from host.domain.paths import CLONES
from host.domain.wal import SEGMENT, start_of
from host.render import library_sources
from host.restored_copy import progress
from host.restored_copy.backup import Backup
from host.restored_copy.copy import Copy
from host.restored_copy.store import Store
from ops.archive import verification
from ops.archive.plan import Plan
from ops.errors import OperatorError
from ops.reach import longrun, postgres, remote_python
from ops.reach.outputs import StackOutputs
from ops.reach.ssh import Machine, Site
from ops.recover.cluster import Cluster
from ops.runbook.progress import watched

# It may have much to write when it is stopped.
REHEARSAL_TIMEOUT_S = 3600
_ROOM = "host.restored_copy"
NOT_OPENED = "The restored data was not opened to clients."


def create_folder(machine: Machine, copy: Copy) -> None:
    """An empty folder for the copy."""
    remove(machine, copy)
    make_folder(machine, copy.folder, copy.data, copy.tablespaces)


def make_folder(machine: Machine, *paths: str) -> None:
    """Folders that are PostgreSQL's own, below the one for copies."""
    owned = ("install", "-d", "-o", postgres.USER, "-g", postgres.USER)
    machine.run([*owned, "-m", "0755", CLONES])
    machine.run([*owned, "-m", "0700", *paths])


def remove(machine: Machine, copy: Copy) -> None:
    """Stop the copy and remove all of it."""
    stop(machine, copy)
    machine.run(["rm", "-rf", copy.folder, str(progress.folder_of(copy))], timeout_s=3600)


def stop(machine: Machine, copy: Copy) -> None:
    """Stop the copy, and what works on it first."""
    longrun.stop(machine, _worker(copy))
    longrun.stop(machine, _reserve_watch(copy))
    machine.run(["systemctl", "stop", copy.unit], timeout_s=700, accept=None)


def restoring(machine: Machine, copy: Copy) -> bool:
    """Whether a restore into the copy's folder is under way, or has ended and nobody was there to
    see it. A reboot ends it."""
    unit = _worker(copy)
    log = f"{progress.folder_of(copy)}/{unit}.log"
    return longrun.state_of(machine, unit, log) in ("active", "activating", "0")


def restore(
    site: Site, copy: Copy, plan: Plan, console: Console, *, reserve: int = 0
) -> dict[str, Any]:
    """Have the copy's folder, which exists, filled from the plan's backup, while more than
    `reserve` bytes are free; a restore under way is adopted, one that was cut off goes on. {bytes:
    how much there is}. Raises OperatorError."""

    def done(seen: Mapping[str, Any]) -> int | None:
        return seen.get("restored")

    if plan.local:
        return _clone(site.postgres, copy, plan, console)
    verified = verification.read(site.barman).get(plan.backup_id)
    # A plan has only those damaged ones that were accepted.
    accepted = verified is not None and verified.files_damaged
    source = backup(site.outputs, plan.backup_id)
    arguments = (copy.document(), source.document(), reserve, accepted)
    module = f"{_ROOM}.materialise"
    found = _work(site.postgres, copy, module, arguments, console, plan.backup_size, done)
    if "failed" in found:
        raise OperatorError(
            found["failed"],
            f"What was being restored is not complete. {NOT_OPENED}",
            "python -m ops backups",
        )
    return found


def _clone(machine: Machine, copy: Copy, plan: Plan, console: Console) -> dict[str, Any]:
    """The same from the plan's local snapshot."""
    arguments, module = (copy.document(), plan.backup_id), "ops.onmachine.from_snapshot"
    found = _work(machine, copy, module, arguments, console, 0, lambda _: None)
    if "failed" in found:
        raise OperatorError(
            f"{found['failed']}.",
            f"What was being restored is not complete. {NOT_OPENED}",
            _with_barmans(plan),
        )
    return found


def _with_barmans(plan: Plan) -> str:
    return f"the same with --backup-id {plan.barman_backup_id}   (which Barman has)"


@contextmanager
def doubting_the_snapshot(plan: Plan) -> Iterator[None]:
    """What fails here may be the fault of the plan's local snapshot, if it has one: Barman's backup
    is then named too."""
    try:
        yield
    except OperatorError as error:
        if not plan.local:
            raise
        following = [error.next_command, _with_barmans(plan)]
        raise OperatorError(
            error.happened, error.state, "; or ".join(each for each in following if each)
        ) from error


def prepare(machine: Machine, copy: Copy, target: Mapping[str, str], *, fresh: bool) -> None:
    """Make it ready to replay to `target`, settings in PostgreSQL's words."""
    client = library_sources("restored_copy")["wal_client.py"]
    remote_python.call(
        machine,
        "host.restored_copy.files",
        [copy.document(), dict(target), client, fresh],
        user=postgres.USER,
    )


def backup(outputs: StackOutputs, name: str) -> Backup:
    """A backup of Barman's by its id, as PostgreSQL's machine reaches it."""
    return Backup(outputs.backup.server_name, name, outputs.barman.private_address)


def store(outputs: StackOutputs, segment_size: int, *, histories_only: bool = False) -> Store:
    """Barman's WAL, as PostgreSQL's machine reaches it."""
    server, address = outputs.backup.server_name, outputs.barman.private_address
    return Store(server, segment_size, address, histories_only)


def replay(
    machine: Machine,
    copy: Copy,
    wal: Store,
    console: Console,
    *,
    between: tuple[int, int],
    reserve: int = 0,
    properties: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Replay, as host/restored_copy/replay.py does; `between` are the positions at which it begins
    and ends. A replay under way is adopted. Raises OperatorError."""
    begin, end = between

    def done(seen: Mapping[str, Any]) -> int | None:
        name = seen.get("wal", "")
        if not SEGMENT.fullmatch(name):
            return None
        return max(0, min(start_of(name, wal.segment_size), end) - begin)

    arguments = (copy.document(), wal.document(), dict(properties or {}), reserve)
    module = f"{_ROOM}.replay"
    found = _work(machine, copy, module, arguments, console, max(end - begin, 0), done)
    if "failed" in found:
        raise OperatorError(found["failed"], NOT_OPENED, "python -m ops window")
    return found


def check(
    machine: Machine, copy: Copy, console: Console, *, everything: bool, size: int
) -> dict[str, Any]:
    """Check it, as host/restored_copy/check.py does: its finding. `size` is about how many bytes
    there are to read. Raises OperatorError."""

    def done(seen: Mapping[str, Any]) -> int | None:
        return seen.get("checked")

    arguments = (copy.document(), everything)
    return _work(machine, copy, f"{_ROOM}.check", arguments, console, size, done)


def watch_reserve(machine: Machine, copy: Copy, reserve: int) -> None:
    """Have the copy, which is open, stopped once less than `reserve` bytes are free beside it."""
    remote_python.start_as_unit(
        machine,
        _reserve_watch(copy),
        str(progress.folder_of(copy)),
        "host.restored_copy.reserve",
        (copy.document(), reserve),
    )


def rehearse(machine: Machine, copy: Copy, names: Cluster, auto_conf: Sequence[str]) -> str | None:
    """Start the copy with the server's configuration and the first file of `auto_conf` that there
    is, as host/restored_copy/rehearse.py does; what was changed of that file, None if nothing.
    Raises OperatorError where it does not start."""
    config_file = f"{names.config}/postgresql.conf"
    found = remote_python.call(
        machine,
        "host.restored_copy.rehearse",
        [copy.document(), config_file, list(auto_conf)],
        timeout_s=REHEARSAL_TIMEOUT_S,
    )
    if "failed" in found:
        raise OperatorError(
            found["failed"],
            NOT_OPENED,
            f"mend that in {names.config} (on its machine), then the same again",
        )
    return found["remark"]


def _work(
    machine: Machine,
    copy: Copy,
    module: str,
    arguments: tuple[Any, ...],
    console: Console,
    total: int,
    done: Callable[[Mapping[str, Any]], int | None],
) -> dict[str, Any]:
    """Run a module (a dotted name) on the copy; says on the way what it notes."""

    def state_now() -> dict[str, Any]:
        said = machine.run(["cat", str(progress.file_of(copy))], accept=(0, 1)).stdout
        return json.loads(said or "{}")

    told = len(state_now().get("notes", []))

    def seen() -> int | None:
        nonlocal told
        state = state_now()
        for note in state.get("notes", [])[told:]:
            console.print(f"      {note}", style="dim", markup=False, highlight=False)
            told += 1
        return done(state)

    with watched(console, total, seen) as tick:
        found = remote_python.call_as_unit(
            machine,
            _worker(copy),
            str(progress.folder_of(copy)),
            module,
            arguments,
            tick,
        )
        seen()
    return found


def _worker(copy: Copy) -> str:
    return f"{copy.unit}-worker"


def _reserve_watch(copy: Copy) -> str:
    return f"{copy.unit}-reserve"

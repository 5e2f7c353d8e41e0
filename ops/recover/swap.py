"""The checked copy put in place of the old server, and opened to clients."""

from host.domain import server_log
from host.restored_copy.confinement import WAL_KEPT
from host.restored_copy.files import AUTO_CONF
from ops.errors import OperatorError
from ops.reach import pooler, postgres, shell
from ops.recover import copies
from ops.recover.cluster import cluster, place, prove_stopped, set_start
from ops.recover.restore import copy_of
from ops.runbook.steps import Run, Step

# Barman's receiver is away during a recovery: a commit that waits for it would wait for ever, and
# no slot keeps the WAL that Barman lacks yet.
WITHOUT_BARMAN = f"synchronous_standby_names = ''\nwal_keep_size = {WAL_KEPT}\n"


def rehearse(run: Run) -> str:
    """Start the copy once with the configuration that it will have. What was set by ALTER SYSTEM is
    no part of the data: it is taken from the old server where that is there to tell, and otherwise
    from the backup."""
    names, copy = cluster(run), copy_of(run)
    copies.stop(run.site.postgres, copy)
    # A machine that was rebuilt has another server's.
    other = run.journal.kind == "undo" or run.journal.options.get("rebuild")
    newer = [] if other else [f"{names.data}/{AUTO_CONF}"]
    remark = copies.rehearse(run.site.postgres, copy, names, [*newer, copy.kept_auto_conf])
    return f"it starts; {remark}" if remark else "it starts"


def swap(run: Run) -> str:
    """Set the old server aside and move the copy to its place."""
    machine, copy, data = run.site.postgres, copy_of(run), cluster(run).data
    prove_stopped(run, copy.data)
    prove_stopped(run, data)
    if not run.journal.facts.get("in_place"):
        aside = _aside(run)
        place(run, "set-aside", aside, tablespaces_of(aside), copy.data)
        kept = machine.run(["test", "-e", f"{aside}/PG_VERSION"], accept=(0, 1)).ok
        run.remember(aside=aside if kept else None, in_place=True)
    place(run, "put-in-place", copy.data, copy.tablespaces)
    old = run.journal.facts["aside"]
    if old:
        return f"the old data directory is {old}"
    left = tablespaces_of(_aside(run))
    if machine.run(["test", "-e", left], accept=(0, 1)).ok:
        return (
            f"there was no old data directory to keep; files of its tablespaces are in {left}, "
            "and nothing needs them"
        )
    return "there was no old data directory to keep"


def undo_swap(run: Run) -> None:
    """The copy back into its folder, the old server back in its place."""
    copy = copy_of(run)
    prove_stopped(run, cluster(run).data)
    if run.journal.facts.get("in_place"):
        place(run, "take-back", copy.data, copy.tablespaces)
        run.remember(in_place=False)
    place(run, "put-in-place", _aside(run), tablespaces_of(_aside(run)))


def let_clients_in(run: Run) -> str:
    """Start it with the server's own configuration; only commits do not wait for Barman yet."""
    names, machine = cluster(run), run.site.postgres
    shell.write_file(machine, names.override, WITHOUT_BARMAN, mode="0644")
    set_start(run, "auto")
    machine.run(["systemctl", "restart", names.unit], timeout_s=3600, accept=None)
    status, _, _ = postgres.state(machine, run.site.outputs.backup.slot)
    if not status.accepting:
        logged = machine.run(["tail", "-n", "40", names.log], accept=None).stdout
        raise OperatorError(
            f"PostgreSQL does not start: {server_log.reason(logged)}",
            "The restored data is checked and in place; nobody was let in yet.",
            next_command=f"mend that in {names.config} (on its machine)",
        )
    pooler.resume(run.site)
    copies.remove(machine, copy_of(run))
    return "accepts clients"


def _aside(run: Run) -> str:
    """Where the data directory of the old server is kept."""
    return f"{cluster(run).data}.before-{run.journal.id}"


def tablespaces_of(data: str) -> str:
    """Where the tablespaces of the server with a data directory that is not in place are kept."""
    return f"{data}.tablespaces"


REHEARSAL = Step("rehearse", "Start it with the server's own settings", rehearse)
STEPS = (
    Step("swap", "Put it in place of the old server", swap, undo_swap),
    # Commits are acknowledged from here on: no way back.
    Step("open", "Let clients in", let_clients_in, final=True),
)

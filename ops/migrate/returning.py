"""The way back after a cutover: kept up, gone by `back`, given up by `end`."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from host.domain.quoting import identifier
from ops.errors import NOTHING_CHANGED, OperatorError
from ops.migrate import copying, moves, units
from ops.migrate.model import WayBack
from ops.migrate.move import Move
from ops.migrate.moves import DRAIN_S, READY_BYTES, STATUS
from ops.migrate.refusals import some
from ops.onmachine.migration.sessions import BACK, BACK_UNIT
from ops.reach import longrun, remote_python
from ops.reach.ssh import Site
from ops.runbook.steps import Run, Step
from ops.screen import size

_MODULE = "ops.onmachine.migration.way_back"
_SWITCH = "migration-switch-back"
_RESTART_S = 5
_TIMEOUT_S = 3600
LOGICAL = "pulumi config set --path postgresParameters.wal_level logical && pulumi up"


def require_possible(site: Site, move: Move) -> None:
    """Raises OperatorError where a cutover could not keep a way back."""
    found = _call(site, move, "possible")
    if "failed" in found:
        raise OperatorError(f"{found['failed']}.", NOTHING_CHANGED, STATUS)
    for each in found["databases"]:
        if each["wal_level"] != "logical":
            raise OperatorError(
                f"A way back needs wal_level = logical on this server, which has "
                f"{each['wal_level']}. The change restarts PostgreSQL.",
                NOTHING_CHANGED,
                f"{LOGICAL}, then the same again",
            )
        if each["free_slots"] < len(found["databases"]):
            raise OperatorError(
                f"{each['free_slots']} replication slots are left on this server, and each "
                f"database needs one: {len(found['databases'])}.",
                NOTHING_CHANGED,
                "pulumi config set --path postgresParameters.max_replication_slots 20 && pulumi up",
            )
        if each["open"]:
            raise OperatorError(
                "A way back begins when every transaction that writes on this server has ended, in "
                f"whatever database, and these are open: {some(each['open'])}.",
                NOTHING_CHANGED,
                "ROLLBACK PREPARED … or pg_terminate_backend(…) on this server; or wait",
            )
        if each["keyless"]:
            raise OperatorError(
                f"{each['database']}: tables here have no key any more by which their changes "
                f"could go back: {some(each['keyless'])}.",
                NOTHING_CHANGED,
                f"ALTER TABLE {each['keyless'][0]} REPLICA IDENTITY FULL;   (on this server)",
            )
        if each["refused"]:
            raise OperatorError(
                f"{move.user} may not switch off triggers and foreign keys for its own session at "
                f"{move.host}, and what they do would be done twice there: {each['refused']}",
                NOTHING_CHANGED,
                "GRANT SET ON PARAMETER session_replication_role TO "
                f"{identifier(move.user)};   (at the source, from PostgreSQL 15 on)",
            )


def look(site: Site, move: Move) -> list[WayBack]:
    """Every database, as this server sees it. Raises OperatorError."""
    found = _call(site, move, "look")
    return [WayBack.model_validate(each) for each in found["databases"]]


def _call(site: Site, move: Move, action: str) -> dict[str, Any]:
    return remote_python.call(
        site.postgres, _MODULE, [action, copying.documents(site, move)], timeout_s=_TIMEOUT_S
    )


def unready(each: WayBack) -> str | None:
    """Why writes could not go back now."""
    if each.slot == "gone" or each.wal_status == "lost":
        return "its slot here is gone, and what was written since with it: there is no way back"
    if each.error:
        return each.error
    if not each.active:
        return f"{BACK_UNIT} is not running"
    if each.lag_bytes is None or each.lag_bytes > READY_BYTES:
        return f"the source is {size(each.lag_bytes or 0)} behind"
    return None


def require_ready(site: Site, move: Move) -> list[WayBack]:
    """How far behind the source is. Raises OperatorError where there is no way back, or it could
    not be gone now."""
    require_kept(move)
    found = look(site, move)
    for each in found:
        if why := unready(each):
            raise OperatorError(f"{each.database}: {why}.", NOTHING_CHANGED, STATUS)
    return found


def require_kept(move: Move) -> None:
    """Raises OperatorError where there is no way back."""
    if not move.reverse:
        raise OperatorError(
            "There is no way back: nothing was cut over with --reverse.", NOTHING_CHANGED, STATUS
        )


def refuse(move: Move) -> None:
    """Raises OperatorError after a cutover that has kept a way back: writes are here."""
    if move.reverse:
        raise OperatorError(
            f"The move from {move.host} is cut over, and applications write here.",
            NOTHING_CHANGED,
            "python -m ops migrate back   (or, to stay: python -m ops migrate end)",
        )


def keep(run: Run) -> str:
    """From now on what is written here goes to the source as well."""
    machine, move = run.site.postgres, moves.under_way(run.site.postgres)
    moves.save(machine, move.model_copy(update={"reverse": True}))
    units.start(
        machine,
        BACK_UNIT,
        "Takes what is written here back to the source of a move",
        _RESTART_S,
        "ops.onmachine.migration.back",
        copying.documents(run.site, move),
    )
    return "what is written here goes to the source: until `migrate back`, or `migrate end`"


KEEP = Step("way-back", "Keep a way back", keep, final=True)


def back_steps(move: Move) -> list[Step]:
    """From this server to the source again."""
    return [
        Step("switch", "Close this server, drain it, compare it with the source", switch, stay),
        Step("open", "Open the source", open_source, final=True),
        Step("leave", "Remove the way back", _removing("remove"), final=True),
        copying.FINISH,
    ]


def end_steps(move: Move) -> list[Step]:
    """This server for good."""
    leave = Step("leave", "Remove the way back", _removing("forget"), keeps=True)
    return [leave, copying.FINISH]


def switch(run: Run) -> str:
    """The moment itself, as one program on the machine: it needs nobody to go on."""
    machine, move = run.site.postgres, moves.under_way(run.site.postgres)
    found = remote_python.call_as_unit(
        machine,
        _SWITCH,
        copying.RUN,
        "ops.onmachine.migration.switch_back",
        ["switch", copying.documents(run.site, move), DRAIN_S],
        lambda _: None,
    )
    if "failed" in found:
        raise OperatorError(found["failed"], "This server was opened again.", STATUS)
    if rest := found["not_compared"]:
        run.say(f"too large to be compared while writes have stopped: {some(rest)}")
    return (
        f"writes have stopped for {found['closed_s']} s; {found['sequences']} sequences advanced, "
        f"{found['compared']} changed tables are the same"
    )


def stay(run: Run) -> None:
    """This server open as before."""
    machine, move = run.site.postgres, moves.under_way(run.site.postgres)
    longrun.stop(machine, _SWITCH)
    machine.run(["rm", "-rf", copying.RUN])
    found = remote_python.call(
        machine,
        "ops.onmachine.migration.switch_back",
        ["stay", copying.documents(run.site, move), DRAIN_S],
        timeout_s=_TIMEOUT_S,
    )
    if "failed" in found:
        raise OperatorError(
            f"This server was not opened again: {found['failed']}.",
            "Nothing was undone.",
            "python -m ops migrate back --resume",
        )


def open_source(run: Run) -> str:
    """Clients may go there."""
    move = moves.under_way(run.site.postgres)
    found = remote_python.call(
        run.site.postgres,
        "ops.onmachine.migration.source",
        ["open", copying.documents(run.site, move)],
        timeout_s=_TIMEOUT_S,
    )
    if "failed" in found:
        raise OperatorError(
            f"The source could not be opened: {found['failed']}.",
            "Everything is there, and both servers are closed.",
        )
    for each in connections(move):
        run.say(f"clients may connect: {each}")
    return "as it was before the cutover"


def connections(move: Move) -> list[str]:
    """The source in the applications' configuration, without passwords."""
    return [
        f"postgresql://{quote(each.owner, safe='')}@{move.host}:{move.port}/"
        f"{quote(each.name, safe='')}?sslmode={move.sslmode}"
        for each in move.databases
    ]


def _removing(action: str) -> Callable[[Run], str]:
    def do(run: Run) -> str:
        move = moves.under_way(run.site.postgres)
        units.stop(run.site.postgres, BACK_UNIT)
        found = _call(run.site, move, action)
        if "failed" in found:
            raise OperatorError(
                f"It could not be removed: {found['failed']}.",
                "The slot of it may still be here, and retain WAL.",
            )
        for each in found["left_there"]:
            run.say(f"could not be asked to DROP SCHEMA {BACK} CASCADE at the source: {each}")
        return "nothing of ours is there"

    return do

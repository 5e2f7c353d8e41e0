"""The plan of a move for people."""

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ops.migrate import returning
from ops.migrate.model import (
    Database,
    Finding,
    Following,
    MigrationPlan,
    MoveStatus,
    WayBack,
)
from ops.screen import size, span

_SHOWN = 20
# The source reports at least every ten seconds (wal_receiver_status_interval).
_SILENT_S = 60


def show(plan: MigrationPlan, console: Console) -> None:
    """All that matters; --json has every name."""
    source = plan.source
    tls = source.tls or "without TLS"
    _line(
        console,
        f"From PostgreSQL {source.version} at {source.host}:{source.port} ({source.service}, "
        f"{tls}) as {source.user}, to PostgreSQL {plan.version} on {plan.server}, which has asked.",
    )
    _databases(plan, console)
    _roles(plan, console)
    _settings(plan, console)
    _left(plan, console)
    for room in plan.room:
        _line(
            console,
            f"Room at /data of {room.machine}: needs {size(room.needed_bytes)}, has "
            f"{size(room.free_bytes)} free.",
        )
    _measured(plan, console)
    _findings("To reckon with:", plan.warnings, console, "yellow")
    _findings("Before changes can be followed:", plan.for_following, console, "yellow")
    _findings("Not possible as things are:", plan.refusals, console, "red")
    _line(console, "")
    _line(
        console,
        "It can be copied. Nothing was changed, there or here."
        if plan.possible
        else "It cannot be copied before what is listed last is settled; then the same command "
        "again. Nothing was changed, there or here.",
        "green" if plan.possible else "red",
    )


def _line(console: Console, text: str, style: str = "") -> None:
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def _databases(plan: MigrationPlan, console: Console) -> None:
    table = Table("database", "owner", "size", "tables", "order", "extensions", "what it has")
    for each in plan.databases:
        order = f"{each.locale}, changes" if each.order_changes else each.locale
        names = (
            f"{extension.name} {extension.version}{'' if extension.here else ' (lacking)'}"
            for extension in each.extensions
            if not extension.left_behind
        )
        cells = (each.name, each.owner, size(each.size_bytes), str(each.tables), order)
        table.add_row(*map(Text, (*cells, ", ".join(names), ", ".join(_has(each)))))
    console.print(table)


def _has(database: Database) -> Iterable[str]:
    """What a copy has to deal with, and how many of each."""
    counted = {
        "partitioned tables": database.partitioned,
        "tables without a key": database.without_key,
        "unlogged tables": database.unlogged,
        "generated columns": database.generated_columns,
        "identity columns": database.identity_columns,
        "materialized views": database.materialized_views,
        "tables with row security": database.row_security,
        "triggers": database.triggers,
        "event triggers": database.event_triggers,
        "publications": database.publications,
        "subscriptions": database.subscriptions,
        "collations": database.collations,
    }
    numbers = {"sequences": database.sequences, "views": database.views}
    numbers |= {what: len(names) for what, names in counted.items()}
    numbers["large objects"] = database.large_objects
    return [f"{what} {number}" for what, number in numbers.items() if number]


def _roles(plan: MigrationPlan, console: Console) -> None:
    table = Table("role", "logs in", "what does not come along")
    for role in plan.roles[:_SHOWN]:
        lost = "; ".join(role.lost)
        if role.exists_here:
            lost = f"{lost}; is here, and stays as it is" if lost else "is here, and stays as it is"
        table.add_row(Text(role.name), "yes" if role.login else "no", Text(lost))
    console.print(table)
    if len(plan.roles) > _SHOWN:
        _line(console, f"… and {len(plan.roles) - _SHOWN} more roles: --json")


def _settings(plan: MigrationPlan, console: Console) -> None:
    if not plan.settings:
        return
    table = Table("setting that differs", "there", "here")
    for each in plan.settings:
        here = "unknown" if each.here is None else each.here
        table.add_row(*map(Text, (each.name, each.source, here)))
    console.print(table)


def _left(plan: MigrationPlan, console: Console) -> None:
    names = [f"{each.kind} {each.name}" for each in plan.left_behind]
    if names:
        _line(console, f"The service's own, left behind: {', '.join(names)}.")
    if plan.slots:
        _line(console, f"Slots that stay there: {', '.join(each.name for each in plan.slots)}.")


def _measured(plan: MigrationPlan, console: Console) -> None:
    if plan.measured is None:
        return
    found = plan.measured
    _line(
        console,
        f"Rows come at {size(found.bytes_per_s)}/s. With the applications stopped, writes stop for "
        f"about {span(found.copy_s)}, and for the comparison after that. Followed, they stop for "
        f"seconds at the cutover, and {span(found.cutover_s)} for tables that cannot be followed.",
    )


def _findings(title: str, found: list[Finding], console: Console, style: str) -> None:
    if not found:
        return
    _line(console, f"\n{title}")
    for each in found[:_SHOWN]:
        where = f"{each.database}: " if each.database else ""
        _line(console, f"  - {where}{each.text}", style)
        if each.next_command:
            _line(console, f"      {each.next_command}")
    if len(found) > _SHOWN:
        _line(console, f"  … and {len(found) - _SHOWN} more: --json")


def show_status(status: MoveStatus, console: Console) -> None:
    """How far the move is, and what is in its way."""
    if status.back:
        _line(console, f"Cut over from {status.source}, with a way back as {status.user}.")
    else:
        _line(console, f"Moving in from {status.source} as {status.user}.")
    if status.run:
        _line(console, f"A run is under way: {status.run}.", "yellow")
    for each in status.databases:
        _line(console, f"  {each.database}: {_behind(each)}", "red" if _trouble(each) else "green")
    if status.databases and not any(map(_trouble, status.databases)):
        _line(console, "Next: python -m ops migrate cutover   (or: python -m ops migrate abort)")
    _show_back(status, console)


def _show_back(status: MoveStatus, console: Console) -> None:
    for each in status.back:
        trouble = returning.unready(each)
        _line(console, f"  {each.database}: {_back(each, trouble)}", "red" if trouble else "green")
        if each.left:
            _line(console, f"    not going back: {', '.join(each.left)}", "yellow")
        if each.changed:
            changed = ", ".join(each.changed)
            _line(console, f"    DDL here, which does not go back: {changed}", "yellow")
    if status.back:
        _line(
            console,
            "Next: python -m ops migrate end   (or to the source: python -m ops migrate back)",
        )


def _back(each: WayBack, trouble: str | None) -> str:
    """How far the source is behind."""
    said = [trouble or f"the source is {size(each.lag_bytes or 0)} behind"]
    if each.retained_bytes is not None:
        said.append(f"this server retains {size(each.retained_bytes)} of WAL for it")
    if each.safe_wal_bytes is not None:
        said.append(f"the slot is lost after {size(each.safe_wal_bytes)} more")
    return "; ".join(said)


def _trouble(each: Following) -> bool:
    followed = each.enabled and each.running and each.active
    return bool(each.error or each.changed or not followed or each.wal_status == "lost")


def _behind(each: Following) -> str:
    if each.error:
        return each.error
    if each.slot == "gone" or each.wal_status == "lost":
        return "its slot at the source is gone; python -m ops migrate abort, then begin anew"
    lag, retained = size(each.lag_bytes or 0), size(each.retained_bytes or 0)
    said = [f"{lag} behind, the source retains {retained} of WAL"]
    if each.safe_wal_bytes is not None:
        said.append(f"the slot is lost after {size(each.safe_wal_bytes)} more")
    if not (each.enabled and each.running and each.active):
        said.append("not followed at the moment")
    if each.failures:
        said.append(f"applying has failed {each.failures} times: see the server's log")
    if each.heard_s is not None and each.heard_s > _SILENT_S:
        said.append(f"last heard of {span(each.heard_s)} ago")
    if each.changed:
        said.append(f"DDL at the source, which is not followed: {', '.join(each.changed[:5])}")
    return "; ".join(said)

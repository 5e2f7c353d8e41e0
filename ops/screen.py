"""One screen for people: what `status` knows, with rich."""

from datetime import UTC, datetime, timedelta

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ops.model import MachineStatus, PoolerStatus, Status, Verdict

COLOUR = {Verdict.PROTECTED: "green", Verdict.DEGRADED: "yellow", Verdict.UNPROTECTED: "red"}


def size(count: float | None) -> str:
    """Bytes for people: 1.5 GiB."""
    if count is None:
        return "-"
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.2f} TiB"


def span(seconds: float | None) -> str:
    """A duration in its two largest units: 3 h 5 min."""
    if seconds is None:
        return "-"
    whole = int(seconds)
    if whole < 120:
        return f"{whole} s"
    days, rest = divmod(whole, 86400)
    hours, rest = divmod(rest, 3600)
    minutes = rest // 60
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def moment(when: datetime | None) -> str:
    """A time in UTC, to the second. PostgreSQL and Barman give theirs in their own zone."""
    return "-" if when is None else f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def show_status(status: Status, console: Console) -> None:
    """Print the whole screen."""
    colour = COLOUR[status.verdict]
    parts: list[RenderableType] = [Text(status.verdict.value.upper(), style=f"bold {colour}")]
    for reason in status.reasons:
        parts.append(Text(f"  {reason.text}", style=COLOUR[reason.verdict]))
        if reason.next_command:
            parts.append(Text(f"    next: {reason.next_command}", style="bold"))
    parts += [Text(), _facts(status)]
    failed = [check for check in status.checks if not check.ok]
    if status.checks and not failed:
        parts.append(Text(f"\nbarman check: all {len(status.checks)} lines OK", style="green"))
    console.print(
        Panel(Group(*parts), title=f"server {status.server}", border_style=colour, expand=False)
    )


def facts() -> Table:
    """An empty table of facts: what each is of, and the fact."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    return table


def _facts(status: Status) -> Table:
    table = facts()
    table.add_row("machines", _machine(status.postgres_machine))
    table.add_row("", _machine(status.barman_machine))
    table.add_row("postgresql", _postgres(status))
    if status.hazards and status.hazards.overruled:
        names = ", ".join(status.hazards.overruled)
        table.add_row("", f"{names}: by ALTER SYSTEM, not as the stack has it")
    if status.pooler is not None:
        table.add_row("pooler", _pooler(status.pooler))
    table.add_row("receiver", _receiver(status))
    table.add_row("slot", _slot(status))
    table.add_row("last backup", _last_backup(status))
    table.add_row("restorable", _window(status))
    table.add_row("alerts", _alerts(status))
    loss = status.possible_loss_bytes
    table.add_row("loss right now", "unknown" if loss is None else f"at most {size(loss)} of WAL")
    return table


def _machine(machine: MachineStatus) -> str:
    if not machine.reachable:
        return f"{machine.name}: unreachable"
    disk = machine.disk
    space = f"/data {size(disk.used_bytes)} of {size(disk.total_bytes)} used" if disk else ""
    return f"{machine.name}: up {span(machine.uptime_s)}, {space}, {machine.os}"


def _postgres(status: Status) -> str:
    server = status.postgres
    if server is None:
        return "unknown"
    if not server.accepting:
        return "does not accept connections"
    role = "in recovery" if server.in_recovery else "accepting writes"
    return (
        f"{server.version}, {role}, timeline {server.timeline}, {server.connections} connections, "
        f"since {moment(server.started_at)}"
    )


def _pooler(pooler: PoolerStatus) -> str:
    if not pooler.answers:
        return "does not answer"
    return f"{'paused' if pooler.paused else 'running'}, {pooler.waiting} clients wait"


def _receiver(status: Status) -> str:
    receiver = status.receiver
    if receiver is None:
        return "not connected" if status.postgres else "unknown"
    return f"{receiver.state}, {receiver.sync_state}, {size(receiver.write_lag_bytes)} behind"


def _slot(status: Status) -> str:
    slot = status.slot
    if slot is None:
        return "missing" if status.postgres else "unknown"
    active = "active" if slot.active else "inactive"
    return f"{slot.name}: {active}, {slot.wal_status}, keeps {size(slot.retained_bytes)} of WAL"


def _last_backup(status: Status) -> str:
    last = status.last_backup
    if last is None:
        return "none" if status.barman_machine.reachable else "unknown"
    age = status.at - last.ended_at if last.ended_at else timedelta()
    return (
        f"{last.id} {last.status}, {size(last.size_bytes)} stored, {span(age.total_seconds())} ago"
    )


def _alerts(status: Status) -> str:
    if status.alerts is None:
        return "unknown: Alertmanager does not answer"
    if not status.alerts:
        return "none fires"
    return f"{', '.join(sorted(set(status.alerts)))}: python -m ops alerts"


def _window(status: Status) -> str:
    if status.restorable_from is None:
        return "nothing"
    return f"from {moment(status.restorable_from)} on, {status.backups} complete backups"

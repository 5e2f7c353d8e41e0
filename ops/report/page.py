"""From a report to HTML: one self-contained page that loads nothing. Pure."""

import base64
import hashlib
from datetime import datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ops.model import Disk, Status, Verdict
from ops.report import charts, timeline
from ops.report.model import Report
from ops.screen import moment, size, span
from ops.watch.capacity import SOON
from ops.watch.certificates import SOON_DAYS

TEMPLATES = Path(__file__).with_name("templates")

# A quarter of weekly drills; every one stands in the table.
SHOWN_DRILLS = 13

MEANING = {
    Verdict.PROTECTED: "What is committed can be brought back.",
    Verdict.DEGRADED: "It works, but something needs attention.",
    Verdict.UNPROTECTED: "What is written now could be lost, or a machine cannot be asked.",
}


def render(report: Report, *, refresh_s: int | None = None, problem: str | None = None) -> str:
    """The page.

    `refresh_s`: the browser reloads it so often, where it is served. `problem`: why what it says
    could not be asked again since.
    """
    environment = _environment()
    script = environment.get_template("age.js").render()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("report.html.j2").render(
        report=report,
        status=report.status,
        meaning=MEANING[report.status.verdict],
        could_be_lost=could_be_lost(report.status),
        last_commit=last_commit(report),
        alarm=alarm(report),
        soon_days=SOON_DAYS,
        soon_full=SOON,
        picture=_picture(report),
        growth=_growth(report),
        recovery_times=_recovery_times(report),
        refresh_s=refresh_s,
        problem=problem,
        # Nothing is loaded and nothing runs but the one script of ours.
        policy=f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'",
    )


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "size": size,
        "span": span,
        "moment": moment,
        "percent_used": percent_used,
        "place": place,
    }
    made.globals["since"] = since
    return made


def since(when: datetime, at: datetime) -> str:
    """How long before `at` something was, for people."""
    return f"{span(max((at - when).total_seconds(), 0))} ago"


def percent_used(disk: Disk) -> int:
    """How full a disk is."""
    return round(100 * disk.used_bytes / disk.total_bytes) if disk.total_bytes else 0


def place(percent: float) -> str:
    """A place or a width in an SVG picture."""
    return f"{percent:.2f}%"


def caught_up(status: Status) -> bool | None:
    """Whether Barman has all WAL of the server; None when the server cannot say."""
    if status.postgres is None or not status.postgres.accepting:
        return None
    receiver = status.receiver
    return receiver is not None and receiver.state == "streaming"


def alarm(report: Report) -> str | None:
    """Why the watchers' silence or words need a look, as a sentence; None when all is quiet."""
    found = report.alerts.value
    if found is None:
        return "Whether alerts fire is not known."
    if not found.heartbeat:
        return "The watchers' heartbeat is missing."
    firing = sum(not alert.silenced for alert in found.alerts)
    if not firing:
        return None
    return "1 alert fires." if firing == 1 else f"{firing} alerts fire."


def could_be_lost(status: Status) -> int | None:
    """Bytes of WAL at most that only PostgreSQL's machine has; None when it cannot say.

    Without a receiver that is what the slot keeps: it keeps everything Barman has not confirmed.
    """
    if status.possible_loss_bytes is None and status.slot is not None:
        return status.slot.retained_bytes
    return status.possible_loss_bytes


def last_commit(report: Report) -> datetime | None:
    """The newest commit in Barman's WAL."""
    stretches = report.window.value.intervals if report.window.value else []
    return max((stretch.ends for stretch in stretches if stretch.current), default=None)


def _picture(report: Report) -> timeline.Picture | None:
    if report.window.value is None:
        return None
    return timeline.picture(
        report.window.value,
        report.backups.value.backups if report.backups.value else [],
        report.durability.value.exposures if report.durability.value else [],
        caught_up(report.status),
    )


def _growth(report: Report) -> charts.Chart | None:
    if report.backups.value is None:
        return None
    values = [
        charts.Value(
            amount=float(entry.restored_bytes),
            text=f"backup {entry.id}, {size(entry.restored_bytes)}",
            label=f"{entry.ended_at.day} {entry.ended_at:%b}",
            shown=size(entry.restored_bytes),
        )
        for entry in reversed(report.backups.value.backups)
        if entry.status == "DONE" and entry.restored_bytes and entry.ended_at
    ]
    return charts.chart(values)


def _recovery_times(report: Report) -> charts.Chart | None:
    if report.drills.value is None:
        return None
    # A drill that was declined says nothing about how long a recovery takes.
    held = [drill for drill in report.drills.value.drills if drill.outcome != "declined"]
    return charts.chart(
        [
            charts.Value(
                amount=drill.rto_s if drill.outcome == "passed" else None,
                text=f"drill of {moment(drill.at)}, {drill.outcome}, RTO {span(drill.rto_s)}",
                label=f"{drill.at.day} {drill.at:%b}",
                shown=span(drill.rto_s) if drill.outcome == "passed" else drill.outcome,
            )
            for drill in held[-SHOWN_DRILLS:]
        ]
    )

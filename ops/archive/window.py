"""`ops window` and `ops backups` on screen: what can be restored, as tables and a small picture."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict
from rich.console import Console
from rich.table import Table

from ops.archive.catalogue import Backup, Catalogue
from ops.archive.windows import Interval, intervals, reach
from ops.screen import moment, size

PICTURE_WIDTH = 60


class BackupEntry(BaseModel):
    """One base backup, and whether it can be restored."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    status: str
    timeline: int | None
    ended_at: datetime | None
    size_bytes: int | None
    """What it takes on Barman's disk."""
    restored_bytes: int | None
    """What its files take once they are restored."""
    restorable: bool
    """Complete, with all WAL from its beginning to the end of its own timeline's run."""
    verified: bool | None
    """Whether its newest verification found it sound; null if it was never verified."""
    verified_at: datetime | None
    error: str | None


class BackupList(BaseModel):
    """Barman's backups, newest first."""

    backups: list[BackupEntry]


class Window(BaseModel):
    """Every stretch of time from which any moment can be restored, by timeline."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    at: datetime
    newest_timeline: int
    intervals: list[Interval]


def window(catalogue: Catalogue, now: datetime) -> Window:
    """What can be restored, of Barman's store."""
    return Window(at=now, newest_timeline=catalogue.newest_timeline, intervals=intervals(catalogue))


def backup_list(catalogue: Catalogue) -> BackupList:
    """Barman's backups, newest first."""
    return BackupList(backups=[_entry(catalogue, backup) for backup in reversed(catalogue.backups)])


def _entry(catalogue: Catalogue, backup: Backup) -> BackupEntry:
    own = backup.timeline
    seen = catalogue.verifications.get(backup.backup_id)
    return BackupEntry(
        id=backup.backup_id,
        status=backup.status,
        timeline=own,
        ended_at=backup.end_time,
        size_bytes=backup.stored_size,
        restored_bytes=backup.restored_size,
        restorable=own is not None and reach(catalogue, backup, own) is not None,
        verified=seen.ok if seen else None,
        verified_at=seen.at if seen else None,
        error=backup.error or (seen.error if seen else None),
    )


def show_backups(found: BackupList, console: Console) -> None:
    """Print the table."""
    # Of 80 columns.
    table = _table(
        *("backup", "status", "TL", "ended (UTC)", "size", "stored", "verified", "usable"), gap=1
    )
    for backup in found.backups:
        table.add_row(
            backup.id,
            backup.status,
            str(backup.timeline or "-"),
            f"{backup.ended_at:%m-%d %H:%M}" if backup.ended_at else "-",
            size(backup.restored_bytes),
            size(backup.size_bytes),
            _verified(backup),
            "yes" if backup.restorable else "no",
        )
    console.print(table)
    for backup in found.backups:
        if backup.error:
            console.print(f"{backup.id}: {backup.error}", markup=False, highlight=False)


def _verified(backup: BackupEntry) -> str:
    if backup.verified is None:
        return "not yet"
    return f"{'yes' if backup.verified else 'NO'}, {backup.verified_at:%m-%d}"


def show_window(found: Window, console: Console) -> None:
    """Print the table, then the picture."""
    if not found.intervals:
        console.print("Nothing can be restored.\nNext: python -m ops backup --wait")
        return
    table = _table("TL", "from (UTC)", "to, last commit", "backups", "")
    for stretch in found.intervals:
        remarks = [
            "being written" if stretch.current else "ended",
            *(["last segment not full"] if stretch.includes_partial else []),
            *(["gap before it"] if stretch.after_gap else []),
        ]
        table.add_row(
            str(stretch.timeline),
            _short(stretch.starts),
            _short(stretch.ends),
            str(len(stretch.backups)),
            ", ".join(remarks),
        )
    console.print(table)
    console.print()
    for line in picture(found):
        console.print(line, markup=False, highlight=False)


def _table(*names: str, gap: int = 2) -> Table:
    table = Table(box=None, padding=(0, gap, 0, 0))
    for name in names:
        table.add_column(name, no_wrap=bool(name))
    return table


def _short(when: datetime | None) -> str:
    return moment(when).removesuffix(" UTC")


def picture(found: Window) -> list[str]:
    """One line a timeline: `=` can be restored, `|` where a stretch begins, `>` still growing."""
    begin = min(stretch.starts for stretch in found.intervals)
    end = max(found.at, *(stretch.ends for stretch in found.intervals))
    whole = max((end - begin).total_seconds(), 1.0)

    def column(when: datetime) -> int:
        share = (when - begin).total_seconds() / whole
        return min(PICTURE_WIDTH - 1, round(share * (PICTURE_WIDTH - 1)))

    lines = []
    for timeline in sorted({stretch.timeline for stretch in found.intervals}):
        cells = [" "] * PICTURE_WIDTH
        for stretch in found.intervals:
            if stretch.timeline == timeline:
                first, last = column(stretch.starts), column(stretch.ends)
                cells[first : last + 1] = "=" * (last + 1 - first)
                cells[first] = "|"
                if stretch.current:
                    cells[last] = ">"
        lines.append(f"timeline {timeline:3} {''.join(cells)}")
    ends = f"{begin:%m-%d %H:%M}", f"{end:%m-%d %H:%M}"
    lines.append(" " * 13 + ends[0] + ends[1].rjust(PICTURE_WIDTH - len(ends[0])))
    return lines

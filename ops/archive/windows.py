"""Which moments can be brought back: unbroken stretches of backups and WAL. Pure."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from ops.archive.catalogue import Backup, Catalogue, Run


class Interval(BaseModel):
    """A stretch of one timeline every moment of which can be restored."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    timeline: int
    backups: list[str]
    """Backups it can be restored from, oldest first."""
    starts: datetime
    """End of the first of them."""
    ends: datetime
    """Time of the last commit in the WAL that is there."""
    start_lsn: int
    end_lsn: int
    current: bool
    """Whether the server is still writing to it."""
    includes_partial: bool
    """Whether its last segment is still being received."""
    after_gap: bool
    """Whether WAL is missing before it."""


def intervals(catalogue: Catalogue) -> list[Interval]:
    """Every interval, by timeline and time."""
    timelines = sorted({run.timeline for run in catalogue.runs})
    return [found for timeline in timelines for found in _of_timeline(catalogue, timeline)]


def _of_timeline(catalogue: Catalogue, timeline: int) -> list[Interval]:
    by_run: dict[str, list[Backup]] = {}
    for backup in catalogue.backups:
        run = reach(catalogue, backup, timeline)
        if run is not None:
            by_run.setdefault(run.last, []).append(backup)
    found = []
    newest = max(
        (run for run in catalogue.runs if run.timeline == timeline),
        key=lambda run: catalogue.position(run.last),
    )
    for run in catalogue.runs:
        backups = by_run.get(run.last) if run.timeline == timeline else None
        if not backups:
            continue
        first = backups[0]
        if first.end_time is None or first.end_xlog is None:
            continue
        commit = run.last_commit
        # Without a commit since the backup nothing happened that could be brought back.
        ends = (
            max(commit.time, backups[-1].end_time or first.end_time) if commit else first.end_time
        )
        end_lsn = (catalogue.position(run.last) + 1) * catalogue.segment_size
        if run.partial:
            end_lsn = commit.lsn if commit else first.end_xlog
        found.append(
            Interval(
                timeline=timeline,
                backups=[backup.backup_id for backup in backups],
                starts=first.end_time,
                ends=ends,
                start_lsn=first.end_xlog,
                end_lsn=max(end_lsn, first.end_xlog),
                current=run is newest and timeline == catalogue.newest_timeline,
                includes_partial=run.partial,
                after_gap=len(found) > 0,
            )
        )
    return found


def reach(catalogue: Catalogue, backup: Backup, timeline: int) -> Run | None:
    """The run of `timeline` that replay from `backup` arrives in, or None if WAL is missing."""
    if not backup.usable or backup.begin_xlog is None or backup.end_xlog is None:
        return None
    chain = catalogue.lineage(timeline)
    at = next((i for i, (ancestor, _) in enumerate(chain) if ancestor == backup.timeline), None)
    if at is None:
        return None
    left = chain[at][1]
    if left is not None and backup.end_xlog > left:
        return None
    position = backup.begin_xlog // catalogue.segment_size
    for index in range(at, len(chain)):
        ancestor, left = chain[index]
        run = _run_at(catalogue, ancestor, position)
        if run is None:
            return None
        if left is None:
            return run
        position = left // catalogue.segment_size
        # The switchpoint's segment is read from the younger timeline; up to it the older serves.
        if catalogue.position(run.last) < position - 1:
            return None
    return None


def _run_at(catalogue: Catalogue, timeline: int, position: int) -> Run | None:
    for run in catalogue.runs:
        first, last = catalogue.position(run.first), catalogue.position(run.last)
        if run.timeline == timeline and first <= position <= last:
            return run
    return None

"""Which backup and which timeline lead to a target, or why none does. Pure."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from host.domain.wal import DEFAULT_SEGMENT_SIZE, parse_lsn, show_lsn
from ops.archive.catalogue import Backup, Catalogue
from ops.archive.targets import Kind, Target
from ops.archive.windows import Interval, intervals, reach
from ops.errors import NOTHING_CHANGED, OperatorError
from ops.screen import moment

WINDOW = "python -m ops window"


class Located(BaseModel):
    """Where in WAL a transaction or a restore point was found: where its record ends and, of a
    restore point, where that begins."""

    timeline: int
    lsn: int
    time: datetime
    begin: int | None = None


class Abandoned(BaseModel):
    """What a recovery leads away from, because it follows an older timeline past the point where
    later ones left it."""

    timelines: tuple[int, ...]
    """The newest, and those on the way to it."""
    parent: int | None
    """The timeline that the first of them left, where Barman knows that."""
    left: datetime | None
    """The last commit that both have."""


class Plan(BaseModel):
    """A recovery that can work, as far as Barman's catalogue tells."""

    model_config = ConfigDict(frozen=True)

    target: Target
    backup_id: str
    backup_size: int
    """Bytes that it takes once it is restored."""
    barman_backup_id: str | None = None
    """Set where the base is a local snapshot: the backup that leads there too."""
    timeline: int
    system_id: str
    last_commit: datetime
    """The last commit that Barman holds on the newest timeline."""
    replay_from: int = 0
    """Where in WAL the backup ends."""
    replay_to: int = 0
    """Where replay ends at the latest."""
    restore_point: str | None = None
    """Where the record of the restore point meant begins: there may be several of its name, and
    PostgreSQL by itself stops at the first that it meets."""
    segment_size: int = DEFAULT_SEGMENT_SIZE
    ends_early: datetime | None = None
    """Set when not even the latest state is the last commit: WAL after this moment is missing."""
    abandons: Abandoned | None = None
    notes: tuple[str, ...] = ()

    @property
    def local(self) -> bool:
        """Whether the base is a local snapshot, which takes no room and no time."""
        return self.barman_backup_id is not None

    @property
    def room(self) -> int:
        """Bytes of the disk that the base takes."""
        return 0 if self.local else self.backup_size

    @property
    def base(self) -> str:
        """What replay begins with, in words."""
        return f"local {self.backup_id}" if self.local else f"backup {self.backup_id}"


def choose(
    catalogue: Catalogue,
    target: Target,
    now: datetime,
    *,
    backup_id: str | None = None,
    timeline: int | None = None,
    located: Located | None = None,
    distrust: str | None = None,
) -> Plan:
    """The plan for `target`. Raises OperatorError with what would be possible instead.

    `located` is where a target of kind XID or NAME was found. `distrust` is why a local snapshot is
    taken only where it is named.
    """
    if timeline is not None and timeline not in {run.timeline for run in catalogue.runs}:
        known = sorted({run.timeline for run in catalogue.runs})
        raise OperatorError(
            f"Barman holds nothing of timeline {timeline}, only of {known}.", NOTHING_CHANGED
        )
    forced = _named_backup(catalogue, backup_id)
    stretches = intervals(catalogue)
    if not stretches:
        raise OperatorError(
            "Barman has no complete backup with the WAL that follows it: nothing can be restored.",
            NOTHING_CHANGED,
            next_command="python -m ops backups",
        )
    newest = catalogue.newest_timeline
    incrementals = [b.backup_id for b in catalogue.backups if b.parent_backup_id is not None]
    notes: tuple[str, ...] = ()
    ends_early = None
    if target.kind is Kind.IMMEDIATE:
        of_barman = _newest([b for b in catalogue.backups if b.usable])
        backup = forced or of_barman
        where = backup.timeline or newest
        end_lsn = backup.end_xlog or 0
    else:
        where = timeline or _timeline(catalogue, stretches, target, now, located)
        stretch, notes = _stretch(catalogue, stretches, target, where, now, located)
        of_barman = _last_before(catalogue, stretch, target, located)
        backup = forced
        if backup is None:
            fitting = [s for s in catalogue.snapshots if not _too_early(s, target, located)]
            backup, passed_over = _or_snapshot(catalogue, of_barman, fitting, where, distrust)
            notes += passed_over
        if reach(catalogue, backup, where) is None:
            raise OperatorError(
                f"No WAL without gaps leads from backup {backup.backup_id} to timeline {where}.",
                NOTHING_CHANGED,
                next_command=WINDOW,
            )
        _not_too_early(backup, target, located)
        end_lsn = _end(stretch, target, located)
        if target.kind is Kind.LATEST and _goes_on(catalogue, stretch):
            ends_early = stretch.ends
            notes += (
                "WAL in the archive is missing or damaged there, and no later backup begins after "
                "it; while the server runs, take one: python -m ops backup --wait",
            )
    return Plan(
        target=target,
        backup_id=backup.backup_id,
        backup_size=backup.restored_size or 0,
        barman_backup_id=of_barman.backup_id if backup.local else None,
        timeline=where,
        system_id=backup.systemid or "",
        last_commit=max(s.ends for s in stretches if s.timeline == _last_restorable(stretches)),
        replay_from=backup.end_xlog or 0,
        replay_to=end_lsn,
        restore_point=_begins(located),
        segment_size=catalogue.segment_size,
        ends_early=ends_early,
        abandons=_abandoned(catalogue, where, target, end_lsn),
        notes=notes + _restore_point(located) + _left_out(incrementals),
    )


def _left_out(incrementals: list[str]) -> tuple[str, ...]:
    if not incrementals:
        return ()
    names = ", ".join(incrementals)
    return (f"incremental backups are left out, a full one and WAL lead there too: {names}",)


def _end(stretch: Interval, target: Target, located: Located | None) -> int:
    """Where replay stops; for a time, where it stops at the latest."""
    if located is not None:
        return located.lsn
    return parse_lsn(target.value) if target.kind is Kind.LSN else stretch.end_lsn


def _begins(located: Located | None) -> str | None:
    return None if located is None or located.begin is None else show_lsn(located.begin)


def _restore_point(located: Located | None) -> tuple[str, ...]:
    if located is None or located.begin is None:
        return ()
    return (f"the restore point is of {moment(located.time)}, the newest of that name",)


def _goes_on(catalogue: Catalogue, stretch: Interval) -> bool:
    """Whether there is WAL of the stretch's timeline after it, behind a gap."""
    return any(
        run.timeline == stretch.timeline
        and catalogue.position(run.first) * catalogue.segment_size >= stretch.end_lsn
        for run in catalogue.runs
    )


def _abandoned(
    catalogue: Catalogue, timeline: int, target: Target, end_lsn: int
) -> Abandoned | None:
    """What of the newest timeline a recovery on `timeline`, up to `end_lsn`, has not. None where
    the target is on both, so that all that is lost comes after it."""
    newest = dict(catalogue.lineage(catalogue.newest_timeline))
    own = dict(catalogue.lineage(timeline))
    later = tuple(each for each in newest if each not in own)
    if not later:
        return None
    parent = max((each for each in newest if each in own), default=None)
    # Either may have left the one that both come from before the other did.
    turns = [at for at in (newest.get(parent), own.get(parent)) if at] if parent else []
    turn = min(turns, default=None)
    at = next((s for s in catalogue.switchpoints if (s.parent, s.lsn) == (parent, turn)), None)
    commit = at.last_commit.time if at and at.last_commit else None
    match target.kind:
        case Kind.LATEST:
            on_both = False
        case Kind.TIME:
            on_both = commit is None or target.time <= commit
        case _:
            on_both = turn is None or end_lsn <= turn
    if on_both:
        return None
    return Abandoned(timelines=later, parent=parent, left=commit)


def _last_restorable(stretches: list[Interval]) -> int:
    return max(stretch.timeline for stretch in stretches)


def _named_backup(catalogue: Catalogue, backup_id: str | None) -> Backup | None:
    if backup_id is None:
        return None
    backup = catalogue.backup(backup_id)
    if backup is None:
        known = ", ".join(b.backup_id for b in (*catalogue.backups, *catalogue.snapshots)) or "none"
        raise OperatorError(
            f"There is no backup {backup_id}; there are: {known}.",
            NOTHING_CHANGED,
            next_command="python -m ops backups, or python -m ops snapshots",
        )
    if backup.parent_backup_id is not None:
        raise OperatorError(
            f"Backup {backup_id} is an incremental on {backup.parent_backup_id}; runbooks restore "
            "full ones and replay from there.",
            NOTHING_CHANGED,
            next_command="the same without --backup-id",
        )
    if not backup.usable and backup.local:
        raise OperatorError(
            f"Local {backup_id} is damaged: {backup.error}.",
            NOTHING_CHANGED,
            next_command="python -m ops snapshots",
        )
    if not backup.usable:
        why = f": {backup.error}" if backup.error else ""
        if backup.corrupt:
            raise OperatorError(
                f"Backup {backup_id} is damaged ({backup.error}).",
                NOTHING_CHANGED,
                next_command=f"python -m ops verify {backup_id} --accept   (then the same again)",
            )
        raise OperatorError(
            f"Backup {backup_id} is {backup.status}{why}; only a DONE one can be restored.",
            NOTHING_CHANGED,
            next_command="python -m ops backups",
        )
    return backup


def _newest(backups: list[Backup]) -> Backup:
    return max(backups, key=_age)


def _age(backup: Backup) -> tuple[int, int]:
    return backup.timeline or 0, backup.end_xlog or 0


def _timeline(
    catalogue: Catalogue,
    stretches: list[Interval],
    target: Target,
    now: datetime,
    located: Located | None,
) -> int:
    """The timeline meant when none was named; refuses when the target is on two."""
    newest = _last_restorable(stretches)
    if located is not None:
        return newest if _shared(catalogue, newest, located) else located.timeline
    if target.kind is Kind.LATEST:
        return newest
    holding = [s.timeline for s in stretches if _holds(s, target)]
    if target.kind is Kind.TIME:
        abandoned = [
            left.parent
            for left in catalogue.switchpoints
            if left.last_commit and left.last_commit.time < target.time and left.parent in holding
        ]
        if abandoned and newest not in abandoned:
            old = max(abandoned)
            raise OperatorError(
                f"{target.value} lies on timeline {old} after the point where timeline {newest} "
                "left it. It could mean\n"
                f"  --timeline {old}   the database as it was then, before that recovery, or\n"
                f"  --timeline {newest}   what that recovery brought back.",
                NOTHING_CHANGED,
                next_command=f"the same with --timeline {old}",
            )
    return newest if newest in holding or not holding else max(holding)


def _shared(catalogue: Catalogue, timeline: int, located: Located) -> bool:
    """Whether what was found is part of `timeline`'s history."""
    return any(
        ancestor == located.timeline and (left is None or located.lsn <= left)
        for ancestor, left in catalogue.lineage(timeline)
    )


def _holds(stretch: Interval, target: Target) -> bool:
    if target.kind is Kind.TIME:
        return stretch.starts <= target.time <= stretch.ends
    return stretch.start_lsn <= parse_lsn(target.value) <= stretch.end_lsn


def _stretch(
    catalogue: Catalogue,
    stretches: list[Interval],
    target: Target,
    timeline: int,
    now: datetime,
    located: Located | None,
) -> tuple[Interval, tuple[str, ...]]:
    """Where the target is, and what the operator should know about it."""
    own = [s for s in stretches if s.timeline == timeline]
    if not own:
        raise OperatorError(
            f"Nothing of timeline {timeline} can be restored.", NOTHING_CHANGED, next_command=WINDOW
        )
    if target.kind is Kind.LATEST:
        return own[-1], ()
    if located is not None:
        found = [s for s in own if s.start_lsn <= located.lsn <= s.end_lsn]
        if found:
            return found[-1], ()
        raise OperatorError(
            f"{target.describe().capitalize()} at {show_lsn(located.lsn)} lies outside what can "
            f"be restored of timeline {timeline}.",
            NOTHING_CHANGED,
            next_command=WINDOW,
        )
    holding = [s for s in own if _holds(s, target)]
    if holding:
        return holding[-1], ()
    return own[-1], (_outside(own, target, now, goes_on=_goes_on(catalogue, own[-1])),)


def _outside(own: list[Interval], target: Target, now: datetime, *, goes_on: bool) -> str:
    """A note on a target outside every interval that means the same as the latest state: a time
    after the last commit but not in the future, unless WAL `goes_on` after a gap. Raises
    OperatorError for every other target."""
    earliest, latest = own[0], own[-1]
    if target.kind is Kind.LSN:
        raise OperatorError(
            f"{target.value} is outside the WAL that can be replayed: "
            f"{show_lsn(earliest.start_lsn)} to {show_lsn(latest.end_lsn)}.",
            NOTHING_CHANGED,
            next_command=WINDOW,
        )
    when = target.time
    if when > now:
        raise OperatorError(
            f"{target.value} is in the future: it is {moment(now)} now.",
            NOTHING_CHANGED,
            next_command="python -m ops recover   (without a target: the last commit)",
        )
    if when < earliest.starts:
        raise OperatorError(
            f"{target.value} is before the end of the first complete backup, "
            f"{moment(earliest.starts)}: nothing older can be restored.",
            NOTHING_CHANGED,
            next_command=WINDOW,
        )
    if when > latest.ends:
        if goes_on:
            raise OperatorError(
                f"{target.value} lies after a gap in the WAL: WAL without gaps ends at "
                f"{moment(latest.ends)}, and no backup begins after the gap.",
                NOTHING_CHANGED,
                next_command=WINDOW,
            )
        return (
            f"nothing that Barman holds was committed after {moment(latest.ends)}, so unless more "
            "arrives before the server stops, this is the latest state"
        )
    before = [s for s in own if s.ends < when][-1]
    after = next(s for s in own if s.starts > when)
    raise OperatorError(
        f"{target.value} lies in a gap in the WAL, between {moment(before.ends)} and "
        f"{moment(after.starts)}.",
        NOTHING_CHANGED,
        next_command=WINDOW,
    )


def _last_before(
    catalogue: Catalogue, stretch: Interval, target: Target, located: Located | None
) -> Backup:
    """The newest backup of the stretch that ended before the target: the least to replay."""
    backups = [catalogue.backup(name) for name in stretch.backups]
    fitting = [backup for backup in backups if backup and not _too_early(backup, target, located)]
    return _newest(fitting or [b for b in backups if b])


def _too_early(backup: Backup, target: Target, located: Located | None) -> bool:
    if backup.end_time is None or backup.end_xlog is None:
        return True
    if located is not None:
        return located.lsn < backup.end_xlog
    if target.kind is Kind.TIME:
        return target.time < backup.end_time
    return target.kind is Kind.LSN and parse_lsn(target.value) < backup.end_xlog


def _not_too_early(backup: Backup, target: Target, located: Located | None) -> None:
    if _too_early(backup, target, located):
        raise OperatorError(
            f"{target.describe().capitalize()} is before backup {backup.backup_id} ended "
            f"({moment(backup.end_time)}); a recovery only goes forward from there.",
            NOTHING_CHANGED,
            next_command="python -m ops recover … without --backup-id",
        )


def _or_snapshot(
    catalogue: Catalogue,
    of_barman: Backup,
    snapshots: list[Backup],
    timeline: int,
    distrust: str | None,
) -> tuple[Backup, tuple[str, ...]]:
    """The newest of the local `snapshots` that leads to `timeline` with less to replay than
    Barman's backup does, else that one; and which were passed over, with the reason."""
    notes: tuple[str, ...] = ()
    for each in sorted(snapshots, key=_age, reverse=True):
        if each.systemid != of_barman.systemid or _age(each) <= _age(of_barman):
            continue
        if not each.usable:
            notes += (f"local {each.backup_id} is damaged and passed over: {each.error}",)
        elif reach(catalogue, each, timeline) is None:
            continue
        elif distrust is None:
            return each, notes
        else:
            notes += (
                f"local {each.backup_id} is passed over, {distrust}; --backup-id takes it all the "
                "same",
            )
            break
    return of_barman, notes

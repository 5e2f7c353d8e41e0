"""A move decided, begun and ended."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from rich.console import Console

from host.domain.quoting import sql_literal
from ops.errors import NOTHING_CHANGED, OperatorError
from ops.migrate import (
    ask,
    credentials,
    following,
    move,
    moves,
    plan,
    returning,
    roles,
    show,
)
from ops.migrate.address import Address
from ops.migrate.facts import DEFAULT, Facts
from ops.migrate.move import Move
from ops.migrate.procedure import ABORT, BACK, COPY, CUTOVER, END, FOLLOW, procedure
from ops.onmachine.migration.sessions import NAME
from ops.reach.ssh import Site
from ops.runbook import journal, runs
from ops.runbook.journal import Journal
from ops.runbook.steps import Run
from ops.screen import size

_AS_BEFORE = "Everything is as it was before the move."


def decide(
    site: Site,
    address: Address,
    password: str,
    chosen: Sequence[str],
    console: Console,
    *,
    follow: bool,
) -> Move:
    """Look at both servers, say what will be moved, and refuse what cannot be. Raises
    OperatorError."""
    runs.refuse_if_busy(site)
    moves.require_none(site.postgres)
    found = plan.gather(site, address, password)
    judged = plan.judged(found, datetime.now(UTC))
    show.show(judged, console)
    needed = [each for each in judged.for_following if each.required]
    if not judged.possible or (follow and needed):
        raise OperatorError(
            "The move is not possible as things are.",
            NOTHING_CHANGED,
            "what stands above, then the same command again",
        )
    there = [each["name"] for each in found.databases]
    unknown = sorted(set(chosen) - set(there))
    if unknown:
        raise OperatorError(
            f"The source has no database {unknown[0]}; it has {', '.join(there)}.", NOTHING_CHANGED
        )
    if follow:
        _refuse_another_move(found)
    names = list(chosen) or there
    if DEFAULT in names:
        raise OperatorError(
            "The database postgres is the server's own here.",
            NOTHING_CHANGED,
            "at the source, move what is in postgres into a database of its own; or --database …",
        )
    asking = ask.asker(site.postgres, address, password)
    return move.of(found, asking(roles.QUESTION, address.database), names, follow=follow)


def _refuse_another_move(found: Facts) -> None:
    """Slots are named by their database: this move would take that of another one away. Raises
    OperatorError."""
    others = [each["name"] for each in found.server["slots"] if each["name"].startswith(NAME)]
    if others:
        raise OperatorError(
            f"The source has a slot of another move, {others[0]}: another stack follows it, or one "
            "that is gone did.",
            NOTHING_CHANGED,
            "there: python -m ops migrate abort; where that stack is gone, at the source: "
            f"SELECT pg_drop_replication_slot({sql_literal(others[0])});",
        )


def begin(site: Site, kind: str, wanted: Move, password: str, console: Console) -> Run:
    """Begin the run of this kind, and see it through."""
    credentials.put(site.postgres, password)
    moves.save(site.postgres, wanted)
    return _begun(site, kind, wanted, console)


def cut_over(site: Site, console: Console, *, reverse: bool) -> Run:
    """Begin the cutover of what is followed, with a way back or without, and see it through. Raises
    OperatorError."""
    wanted = moves.under_way(site.postgres).model_copy(update={"reverse": reverse})
    return _begun(site, CUTOVER, wanted, console)


def _begun(site: Site, kind: str, wanted: Move, console: Console) -> Run:
    new = Journal.begin(kind, move=json.loads(wanted.model_dump_json()))
    return runs.begin(site, new, console, procedure)


def show_cutover(site: Site, console: Console, *, reverse: bool) -> None:
    """What a cutover will do, and how long writes will stop. Raises OperatorError where it would
    not succeed, or could not keep the way back that is asked for."""
    runs.refuse_if_busy(site)
    wanted = moves.under_way(site.postgres)
    returning.refuse(wanted)
    if reverse:
        returning.require_possible(site, wanted)
    behind = sum(each.lag_bytes or 0 for each in following.require_ready(site, wanted))
    later = [name for each in wanted.databases for name in each.later]
    lines = [
        f"Writes stop at {wanted.host} in {', '.join(each.name for each in wanted.databases)}: "
        "nobody but this move may connect there any more, and sessions end.",
        f"Then what is {size(behind)} behind comes over"
        + (f", and {', '.join(later)} as a whole" if later else "")
        + f"; sequences are advanced. After {moves.DRAIN_S} s without success the source is "
        "opened again.",
        "The source keeps its data and stays closed. Clients connect to this server from then on.",
    ]
    if reverse:
        lines.append(
            "What is written here then goes to the source as well, until migrate back or migrate "
            "end: this server retains WAL for it"
            + (f". Not what is written to {', '.join(later)}." if later else ".")
        )
    _print(lines, console)


def _print(lines: Iterable[str], console: Console) -> None:
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def show_back(site: Site, console: Console) -> None:
    """What going back will do, and what it leaves here. Raises OperatorError where it would not
    succeed."""
    runs.refuse_if_busy(site)
    wanted = moves.under_way(site.postgres)
    found = returning.require_ready(site, wanted)
    behind = sum(each.lag_bytes or 0 for each in found)
    lines = [
        f"Writes stop here in {', '.join(each.name for each in wanted.databases)}: nobody may "
        "connect any more, and sessions end.",
        f"Then what {wanted.host} is {size(behind)} behind goes there, sequences are advanced, and "
        f"it is opened as it was before the cutover. After {moves.DRAIN_S} s without success "
        "this server is opened again.",
        "The databases here stay, closed. Clients connect to the source from then on.",
    ]
    for each in found:
        if each.left:
            lines.append(
                f"{each.database}: what was written here since the cutover does NOT go back of "
                f"{', '.join(each.left)}."
            )
        if each.changed:
            lines.append(
                f"{each.database}: definitions have changed here, and do NOT go back: "
                f"{', '.join(each.changed)}."
            )
    _print(lines, console)


def go_back(site: Site, console: Console) -> Run:
    """Begin to go back to the source, and see it through. Raises OperatorError."""
    return _begun(site, BACK, moves.under_way(site.postgres), console)


def require_way_back(site: Site) -> None:
    """Raises OperatorError where there is none to give up."""
    returning.require_kept(moves.under_way(site.postgres))


def end(site: Site, console: Console) -> Run:
    """Give up the way back, or go on with that. Raises OperatorError."""
    current = journal.load(site.barman)
    if current is not None and current.kind == END:
        return runs.resume(site, END, console, procedure)
    return _begun(site, END, moves.under_way(site.postgres), console)


def abort_question(site: Site) -> str:
    """What an operator is asked first. Raises OperatorError once clients may be here."""
    current = journal.load(site.barman)
    if current is not None and current.kind == BACK:
        return "Stay on this server, and keep the way back?"
    if current is None:
        returning.refuse(moves.under_way(site.postgres))
    return "Remove what was copied, and leave the source?"


def abort(site: Site, console: Console) -> str:
    """Take the move back, however far it is; or, where that is under way, the going back to the
    source. Returns how things are then. Raises OperatorError once clients may be here."""
    current = journal.load(site.barman)
    if current is not None and current.kind == BACK:
        runs.abort(site, BACK, console, procedure)
        return "Applications go on here, and there still is a way back."
    if current is not None and current.kind == ABORT:
        runs.resume(site, ABORT, console, procedure)
        return _AS_BEFORE
    if current is not None and current.kind == CUTOVER:
        runs.abort(site, CUTOVER, console, procedure)
    elif current is not None and current.kind in (COPY, FOLLOW):
        runs.give_up(site, current.kind, console, procedure)
    wanted = moves.under_way(site.postgres)
    returning.refuse(wanted)
    _begun(site, ABORT, wanted, console)
    return _AS_BEFORE


def show_passwords(run: Run) -> None:
    """Whoever logs in and cannot yet."""
    wanted = Move.model_validate(run.journal.options["move"])
    for name in wanted.without_password:
        run.console.print(
            f"{name} logs in and has no password here. Next: sudo -u postgres psql -c "
            f"'\\password \"{name}\"'   (on {run.site.postgres.name})",
            markup=False,
            highlight=False,
        )

"""A move decided, begun and ended."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console

from ops.errors import NOTHING_CHANGED, OperatorError
from ops.migrate import ask, copying, credentials, move, moves, plan, roles, show
from ops.migrate.address import Address
from ops.migrate.facts import DEFAULT
from ops.migrate.move import Move
from ops.migrate.procedure import procedure
from ops.reach.ssh import Site
from ops.runbook import runs
from ops.runbook.journal import Journal
from ops.runbook.steps import Run


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
    if not judged.possible or (follow and judged.for_following):
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
    names = list(chosen) or there
    if DEFAULT in names:
        raise OperatorError(
            "The database postgres is the server's own here.",
            NOTHING_CHANGED,
            "at the source, move what is in postgres into a database of its own; or --database …",
        )
    asking = ask.asker(site.postgres, address, password)
    return move.of(found, asking(roles.QUESTION, address.database), names, follow=follow)


def begin(site: Site, kind: str, wanted: Move, password: str, console: Console) -> Run:
    """Begin the run of this kind, and see it through."""
    credentials.put(site.postgres, password)
    moves.save(site.postgres, wanted)
    new = Journal.begin(kind, move=json.loads(wanted.model_dump_json()))
    return runs.begin(site, new, console, procedure)


def ended(run: Run) -> Run:
    """The copy is over: what it needed goes, and what is left for the operator is said."""
    wanted = Move.model_validate(run.journal.options["move"])
    copying.finish(run)
    for name in wanted.without_password:
        run.console.print(
            f"{name} logs in and has no password here. Next: sudo -u postgres psql -c "
            f"'\\password \"{name}\"'   (on {run.site.postgres.name})",
            markup=False,
            highlight=False,
        )
    return run

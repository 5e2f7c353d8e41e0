"""Ask everything at once. What does not answer becomes a sentence on the page, not its end."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from ops.archive import catalogue, window
from ops.archive.catalogue import Catalogue
from ops.errors import OperatorError
from ops.reach.ssh import CommandFailed, ConnectionLost, Site
from ops.report.model import Part, Report, Value
from ops.watch import alerts, capacity, certificates, drills, durability, statements, status

# sshd allows ten sessions on a connection (MaxSessions). Status takes up to five on Barman's, and
# capacity two; one refused would look like a lost machine.
AT_ONCE = 3


def collect(site: Site) -> Report:
    """The page's facts. Never raises for a machine, or a part of it, that does not answer."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        seen = pool.submit(status.collect, site)
        store = pool.submit(_part, lambda: _store(site))
        commits = pool.submit(_part, lambda: durability.read(site))
        firing = pool.submit(_part, lambda: alerts.read(site))
        drilled = pool.submit(_part, lambda: drills.read(site))
        shown = pool.submit(_part, lambda: certificates.read(site))
        costly = pool.submit(_part, lambda: statements.read(site))
        room = pool.submit(_part, lambda: capacity.read(site))
    held = store.result()
    return Report(
        status=seen.result(),
        backups=_of(held, window.backup_list),
        window=_of(held, lambda found: window.window(found, datetime.now(UTC))),
        durability=commits.result(),
        alerts=firing.result(),
        drills=drilled.result(),
        certificate=shown.result(),
        capacity=room.result(),
        statements=costly.result(),
    )


def _store(site: Site) -> Catalogue:
    outputs = site.outputs
    return catalogue.read(site.barman, outputs.barman.data_directory, outputs.backup.server_name)


def _part(ask: Callable[[], Value]) -> Part[Value]:
    try:
        return Part(ask())
    except OperatorError as error:
        return Part(problem=error.happened)
    except (CommandFailed, ConnectionLost) as error:
        return Part(problem=str(error))
    except (ValueError, LookupError, TypeError) as error:
        # An answer in a form that this version does not know.
        return Part(problem=f"the answer was not understood: {error}")


def _of(held: Part[Catalogue], view: Callable[[Catalogue], Value]) -> Part[Value]:
    return Part(problem=held.problem) if held.value is None else Part(view(held.value))

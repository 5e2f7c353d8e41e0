"""How long a move will take, from a minute of what it will do."""

from ops.migrate import complaints, credentials, move, roles
from ops.migrate.ask import asker
from ops.migrate.complaints import ONLY_READ
from ops.migrate.copying import job_of
from ops.migrate.facts import Facts
from ops.migrate.model import Measured
from ops.reach import remote_python
from ops.reach.ssh import Site

SECONDS = 60.0
_MODULE = "ops.onmachine.migration.measure"


def measure(site: Site, found: Facts, password: str) -> Measured | None:
    """Read from the largest database for up to a minute; None where there is nothing in it. Raises
    OperatorError."""
    largest = max(found.databases, key=lambda each: each["size_bytes"], default=None)
    if largest is None:
        return None
    ask = asker(site.postgres, found.address, password)
    answer = ask(roles.QUESTION, found.address.database)
    whole = move.of(found, answer, [each["name"] for each in found.databases], follow=True)
    (chosen,) = (each for each in whole.databases if each.name == largest["name"])
    with credentials.lent(site.postgres, "migration-measure", password) as path:
        document = job_of(site, whole, chosen).document()
        document["source"] += f" passfile='{path}'"
        said = remote_python.call(
            site.postgres, _MODULE, [document, SECONDS], timeout_s=SECONDS + 600
        )
    if "failed" in said:
        why, machine = said["failed"], site.postgres.name
        raise complaints.ended(why, whole.address, chosen.name, machine, ONLY_READ)
    return reckoned(found, said["bytes"] / max(said["seconds"], 0.1))


def reckoned(found: Facts, rate: float) -> Measured | None:
    """What follows from `rate` bytes a second."""
    if rate <= 0:
        return None
    later = sum(content["later_bytes"] for content in found.contents.values())
    total = sum(each["size_bytes"] for each in found.databases)
    return Measured(bytes_per_s=rate, copy_s=total / rate, cutover_s=later / rate)

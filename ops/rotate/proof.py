"""What must be true after a rotation: the new secret opens, the old one does not."""

import time
from collections.abc import Callable

from ops.errors import OperatorError
from ops.model import Status, Verdict
from ops.reach import postgres
from ops.reach.barman import USER as BARMAN
from ops.reach.outputs import StackOutputs
from ops.reach.ssh import Machine, Site, admits
from ops.rotate.plan import Kind
from ops.screen import moment
from ops.watch import certificates, owners, status

# Barman's receiver is looked after once a minute.
PROTECTED_TIMEOUT_S = 180
LOGIN_TIMEOUT_S = 30
# In PostgreSQL's words, and in the pooler's.
_REFUSED = ("password authentication failed", "SASL authentication failed")


def prove(kind: Kind, site: Site, before: StackOutputs) -> list[str]:
    """What was found out, a sentence each. `before`: the outputs from before the rotation.

    Raises OperatorError when something is not as it must be.
    """
    proofs: dict[Kind, Callable[[], list[str]]] = {
        Kind.PASSWORD: lambda: _passwords(site, before),
        Kind.SSH: lambda: _keys(site, before),
        Kind.TLS: lambda: _certificate(site),
    }
    return proofs[kind]()


def protected(site: Site) -> Status:
    """The state of the pair once it is protected, or after some minutes of waiting."""
    deadline = time.monotonic() + PROTECTED_TIMEOUT_S
    while (found := status.collect(site)).verdict is not Verdict.PROTECTED:
        if time.monotonic() > deadline:
            break
        time.sleep(2)
    return found


def _passwords(site: Site, before: StackOutputs) -> list[str]:
    said = []
    for name, database in site.outputs.databases.items():
        former = before.databases.get(name, database)
        ways = {"": (database.uri, former.uri)}
        if database.pooler_uri and former.pooler_uri:
            ways[" through the pooler"] = (database.pooler_uri, former.pooler_uri)
        for way, (new, old) in ways.items():
            whom = f"{database.owner}{way}"
            found = _password(site, whom, new.get_secret_value(), old.get_secret_value())
            said.append(f"{whom}: {found}")
    return said


def _password(site: Site, whom: str, new: str, old: str) -> str:
    if not _logs_in(site.postgres, new):
        if found := owners.shut_out(site):
            raise OperatorError(
                f"PostgreSQL refuses the new password: {owners.sentence(found)}.",
                "The update is finished and the new passwords are set.",
                owners.remedy(found),
            )
        raise _not("PostgreSQL refuses the new password", whom)
    if old == new:
        return "the new password works"
    if _logs_in(site.postgres, old):
        raise _not("PostgreSQL still takes the old password", whom)
    return "the new password works, the old one is refused"


def _logs_in(machine: Machine, uri: str) -> bool:
    done = postgres.log_in(machine, uri, LOGIN_TIMEOUT_S)
    if not done.ok and not any(words in done.stderr for words in _REFUSED):
        raise OperatorError(
            f"PostgreSQL could not be asked: {done.said}",
            "The new password is set.",
            "python -m ops status",
        )
    return done.ok


def _keys(site: Site, before: StackOutputs) -> list[str]:
    for machine in (site.postgres, site.barman):
        machine.run(["true"])
    said = ["the operator's new key opens both machines"]
    old = before.ssh_private_key.get_secret_value()
    if old != site.outputs.ssh_private_key.get_secret_value():
        for name in admits(site, old):
            raise _not("the operator's old key still opens", name)
        said.append("the operator's old key is refused by both")
    for machine, user, there in (
        (site.barman, BARMAN, f"{postgres.USER}@{site.outputs.postgres.private_address}"),
        (site.postgres, postgres.USER, f"{BARMAN}@{site.outputs.barman.private_address}"),
    ):
        # Whatever the key may do there: it is asked only whether it is let in.
        asked = machine.run(
            ["ssh", "-n", "-v", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", there, "true"],
            user=user,
            accept=None,
        )
        if "Authenticated to" not in asked.stderr:
            raise _not(f"the new key of {user} on {machine.name} is refused by", there)
        said.append(f"{user} on {machine.name} is let in as {there}")
    return said


def _certificate(site: Site) -> list[str]:
    # That PostgreSQL shows it, the update itself made sure of.
    return [f"PostgreSQL's certificate is valid until {moment(certificates.read(site).ends)}"]


def _not(what: str, whom: str) -> OperatorError:
    return OperatorError(
        f"{what}: {whom}",
        "The update is finished and the new secrets are set; only this check failed.",
        "pulumi refresh, then pulumi up",
    )

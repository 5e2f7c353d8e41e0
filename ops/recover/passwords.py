"""The stack's passwords in a restored server, and the pooler's login: roles went back in time with
the data."""

import json
import secrets
from urllib.parse import unquote, urlsplit

from host.domain import pooler
from host.domain.quoting import identifier, pgpass_fields, sql_literal
from host.domain.scram import scram_verifier, verifies
from ops.reach import barman, postgres
from ops.reach.outputs import StackOutputs
from ops.recover.restore import copy_of
from ops.runbook.steps import Run

STORED = "SELECT coalesce(json_object_agg(rolname, coalesce(rolpassword, '')), '{}') FROM pg_authid"


def restore(run: Run) -> str:
    """Give every database owner and both of Barman's roles the password that the stack has now; and
    the pooler, where there is one, what it logs in by and looks passwords up with."""
    machine, copy = run.site.postgres, copy_of(run)
    if run.site.outputs.pooler is not None:
        postgres.query(machine, pooler.RESTORE, database=pooler.DATABASE, copy=copy)
    wanted = owners(run.site.outputs) | _barmans(run)
    stored = json.loads(postgres.query(machine, STORED, copy=copy))
    changed = changes(wanted, stored)
    if not changed:
        return "the roles have the stack's passwords"
    postgres.query(machine, ";\n".join(changed.values()), copy=copy)
    return f"the stack's passwords were given to {', '.join(changed)}"


def changes(wanted: dict[str, str], stored: dict[str, str]) -> dict[str, str]:
    """The statement for each role of `wanted` (name -> password) whose verifier in `stored` is of
    another password. A role that the data does not have is left to `pulumi up`."""
    return {
        role: f"ALTER ROLE {identifier(role)} PASSWORD "
        f"{sql_literal(scram_verifier(password, secrets.token_bytes(16)))}"
        for role, password in wanted.items()
        if role in stored and not verifies(password, stored[role])
    }


def owners(outputs: StackOutputs) -> dict[str, str]:
    """Role and password of each database's owner, out of the connection strings."""
    found = {}
    for database in outputs.databases.values():
        uri = urlsplit(database.uri.get_secret_value())
        found[database.owner] = unquote(uri.password or "")
    return {role: password for role, password in found.items() if password}


def _barmans(run: Run) -> dict[str, str]:
    """Role and password of Barman's logins, out of the password file on its machine."""
    said = run.site.barman.run(["cat", f"{barman.HOME}/.pgpass"], user=barman.USER).stdout
    lines = [pgpass_fields(line) for line in said.splitlines() if line]
    return {fields[3]: fields[4] for fields in lines}

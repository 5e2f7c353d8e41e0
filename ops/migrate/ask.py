"""The source, asked from the stack's PostgreSQL machine: it is the one that will copy, so what is
in its way is met here."""

import json
from collections.abc import Callable
from typing import Any

from host.domain.quoting import pgpass_field
from ops.migrate.address import Address
from ops.migrate.complaints import explain
from ops.reach import postgres, shell
from ops.reach.ssh import CommandFailed, Machine

TIMEOUT_S = 300
# Names come out with their schemas, and what is set for the role does not end the session. Not as
# options of the connection: the source would report them as its own settings. All are as old as 11.
_SESSION = """\
SET search_path = pg_catalog;
SET statement_timeout = 0;
SET lock_timeout = '5s';
SET idle_in_transaction_session_timeout = 0;
"""
Ask = Callable[[str, str], Any]


def asker(machine: Machine, address: Address, password: str) -> Ask:
    """What asks one statement, whose answer is one JSON value, in a database of the source. It
    raises OperatorError."""
    line = f"*:*:*:*:{pgpass_field(password)}\n"

    def ask(sql: str, database: str) -> Any:
        try:
            said = shell.run(
                machine,
                "ask-elsewhere",
                address.conninfo(database),
                user=postgres.USER,
                stdin=line + _SESSION + sql,
                timeout_s=TIMEOUT_S,
            )
        except CommandFailed as failed:
            raise explain(failed.result.said, address, database, machine.name) from None
        return json.loads(said.stdout)

    return ask

"""Whether the owners of the stack's databases may log in: the outputs' connection strings are
theirs."""

import json
from collections.abc import Mapping

from host.domain.quoting import identifier, sql_literal
from ops.reach import postgres
from ops.reach.outputs import StackOutputs
from ops.reach.ssh import Site

_NO_ROLE = "there is no such role"
_ASK = f"""
SELECT coalesce(json_object_agg(name, why), '{{}}') FROM (
  SELECT name, CASE
    WHEN r.oid IS NULL THEN '{_NO_ROLE}'
    WHEN NOT r.rolcanlogin THEN 'it is NOLOGIN'
    WHEN r.rolvaliduntil <= now() THEN 'its password ended at '
      || to_char(r.rolvaliduntil AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"')
    WHEN r.rolconnlimit = 0 THEN 'its connection limit is 0'
  END AS why
  FROM unnest(ARRAY[%s]::text[]) AS name LEFT JOIN pg_catalog.pg_roles r ON r.rolname = name
) AS asked WHERE why IS NOT NULL
"""  # noqa: S608 - a constant


def shut_out(site: Site) -> dict[str, str]:
    """The owners who may not log in, each with the reason. Raises CommandFailed."""
    return json.loads(postgres.query(site.postgres, question(site.outputs), timeout_s=20))


def question(outputs: StackOutputs) -> str:
    """The SQL that asks for them: one JSON object."""
    owners = sorted({database.owner for database in outputs.databases.values()})
    return _ASK % ", ".join(map(sql_literal, owners))


def sentence(found: Mapping[str, str]) -> str:
    """Who may not log in, and why."""
    said = "; ".join(f"{owner}: {why}" for owner, why in found.items())
    return f"the owner of a database may not log in ({said})"


def remedy(found: Mapping[str, str]) -> str:
    """What lets them in again."""
    names = "; ".join(
        f"ALTER ROLE {identifier(owner)} LOGIN VALID UNTIL 'infinity' CONNECTION LIMIT -1"
        for owner, why in found.items()
        if why != _NO_ROLE
    )
    return f"{names}   (as a superuser)" if names else "pulumi up; or python -m ops apply"

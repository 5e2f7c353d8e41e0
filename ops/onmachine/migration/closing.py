"""A database closed to everybody but us, and opened again as it was: at the source when writes
leave it, here when they go back."""

import json
import os
import time
from pathlib import Path
from typing import Any

from host.domain.disk import sync_directory
from host.domain.quoting import identifier, sql_literal
from ops.onmachine.migration.sessions import WRITE, Failed, Server

# How often sessions are ended again that come back before nobody may connect any more.
_ENDINGS = 20


def close(door: Server, database: str, kept: Path) -> None:
    """Nobody but us connects, and whoever does reads only: who could is written down in `kept`
    first. Asked by the `door`, another database of the same server, for who may connect to this
    one changes. Raises Failed."""
    found = door.value(_OPEN.format(sql_literal(database)))
    if not kept.exists():
        _require_open(found, database)
        _keep(kept, json.dumps(found))
    name, me = identifier(database), identifier(found["me"])
    others = ", ".join(_grantee(each) for each in found["connect"] if each != found["me"])
    door.ask(
        f"{WRITE}BEGIN;\n"
        f"ALTER DATABASE {name} SET default_transaction_read_only = on;\n"
        + (f"REVOKE CONNECT ON DATABASE {name} FROM {others};\n" if others else "")
        + f"GRANT CONNECT ON DATABASE {name} TO {me};\nCOMMIT;"
    )
    _end_sessions(door, database)


_OPEN = """
SELECT json_build_object('me', current_user, 'owner', pg_get_userbyid(datdba),
  'set', (SELECT coalesce(json_agg(value), '[]') FROM pg_db_role_setting, unnest(setconfig) AS value
    WHERE setdatabase = d.oid AND setrole = 0),
  'connect', (SELECT coalesce(json_agg(
      CASE grantee WHEN 0 THEN NULL ELSE pg_get_userbyid(grantee) END), '[]') FROM (
    SELECT DISTINCT grantee FROM aclexplode(coalesce(datacl, acldefault('d', datdba)))
    WHERE privilege_type = 'CONNECT') g))
FROM pg_database d WHERE datname = {0}
"""


def _keep(path: Path, text: str) -> None:
    """On the disk before the database is closed: nothing else says who may connect again."""
    new = path.with_name(f"{path.name}.new")
    with new.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.rename(path)
    sync_directory(path.parent)


def _require_open(found: dict[str, Any], database: str) -> None:
    """Raises Failed where a database is closed and nobody has written down how it was before."""
    if found["connect"] == [found["me"]] and "default_transaction_read_only=on" in found["set"]:
        name = identifier(database)
        raise Failed(
            f"{database} is closed, and who may connect to it otherwise is not known here. As its "
            f"owner: ALTER DATABASE {name} RESET default_transaction_read_only; "
            f"GRANT CONNECT ON DATABASE {name} TO PUBLIC; or to whom it was granted"
        )


def _grantee(name: str | None) -> str:
    return "PUBLIC" if name is None else identifier(name)


def _end_sessions(door: Server, database: str) -> None:
    """End every session of others in the database. Raises Failed where one stays."""
    # Of a session of a role that this one may not look into, its type is hidden, not its role.
    others = (
        f"FROM pg_stat_activity WHERE datname = {sql_literal(database)} "
        "AND pid <> pg_backend_pid() AND application_name <> 'ops migrate' "
        "AND (backend_type = 'client backend' OR backend_type IS NULL AND usesysid IS NOT NULL)"
    )
    left = ""
    for _ in range(_ENDINGS):
        left = door.ask(f"SELECT count(pg_terminate_backend(pid)) {others}")
        if left == "0":
            return
        time.sleep(0.05)
    raise Failed(f"{left} sessions in {database} do not end")


def reopen(door: Server, database: str, kept: Path) -> None:
    """As it was before close, where that has been. Raises Failed."""
    if not kept.exists():
        _require_open(door.value(_OPEN.format(sql_literal(database))), database)
        return
    before: dict[str, Any] = json.loads(kept.read_text())
    name, me = identifier(database), before["me"]
    read_only = [
        value.partition("=")[2]
        for value in before["set"]
        if value.startswith("default_transaction_read_only=")
    ]
    setting = (
        f"SET default_transaction_read_only = {read_only[0]}"
        if read_only
        else "RESET default_transaction_read_only"
    )
    again = [f"ALTER DATABASE {name} {setting};"]
    again += [f"GRANT CONNECT ON DATABASE {name} TO {_grantee(w)};" for w in before["connect"]]
    if me not in before["connect"]:
        again.append(f"REVOKE CONNECT ON DATABASE {name} FROM {identifier(me)};")
    door.ask("\n".join([f"{WRITE}BEGIN;", *again, "COMMIT;"]))
    kept.unlink()

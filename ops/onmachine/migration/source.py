# ruff: noqa: S608 - names and values are quoted by host/domain/quoting
"""What a move changes at its source, and takes back: a publication, a slot, and in the end who may
write there."""

import json
import time
from pathlib import Path
from typing import Any

from host.domain.quoting import identifier, sql_literal
from ops.onmachine.migration import subscription
from ops.onmachine.migration.job import Job
from ops.onmachine.migration.sessions import NAME, Failed

_WRITE = "SET default_transaction_read_only = off;\n"
# How often sessions are ended again that come back before nobody may connect any more.
_ENDINGS = 20


def main(action: str, documents: list[dict[str, Any]]) -> None:
    """What becomes of the source of these jobs (Job's documents): `reopen` its databases, `leave`
    them as they were, or `detach`, which leaves them closed."""
    try:
        for job in (Job(**each) for each in documents):
            if action == "detach":
                subscription.unsubscribe(job.here)
            else:
                reopen(job)
            if action != "reopen":
                leave(job)
        print(json.dumps({}))
    except Failed as failed:
        print(json.dumps({"failed": str(failed)}))


def publish(job: Job) -> None:
    """A publication of the tables whose changes are followed. Raises Failed."""
    listed = f" FOR TABLE ONLY {', ONLY '.join(job.publish)}" if job.publish else ""
    job.there.ask(f"{_WRITE}DROP PUBLICATION IF EXISTS {NAME};\nCREATE PUBLICATION {NAME}{listed};")


def leave(job: Job) -> None:
    """No publication and no slot of ours. Raises Failed."""
    drop_slot(job)
    job.there.ask(f"{_WRITE}DROP PUBLICATION IF EXISTS {NAME};")


def drop_slot(job: Job) -> None:
    """Remove the slot, whoever still reads from it. Raises Failed."""
    name, source = sql_literal(job.slot), job.door
    for attempt in range(_ENDINGS):
        source.ask(
            "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots "
            f"WHERE slot_name = {name} AND active"
        )
        try:
            source.ask(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots "
                f"WHERE slot_name = {name}"
            )
            return
        except Failed as failed:
            if attempt == _ENDINGS - 1 or "is active" not in str(failed):
                raise
            time.sleep(0.25)


def _before(job: Job) -> Path:
    """Who may connect to the database as long as nobody may."""
    return job.folder / "open"


def close(job: Job) -> None:
    """Nobody but us connects, and whoever does reads only: who could is written down first. Asked
    through another database, for who may connect to this one changes. Raises Failed."""
    found = job.door.value(_OPEN.format(sql_literal(job.database)))
    kept = _before(job)
    if not kept.exists():
        kept.write_text(json.dumps(found))
    name, me = identifier(job.database), identifier(found["me"])
    others = ", ".join(_grantee(each) for each in found["connect"] if each != found["me"])
    job.door.ask(
        f"{_WRITE}BEGIN;\n"
        f"ALTER DATABASE {name} SET default_transaction_read_only = on;\n"
        + (f"REVOKE CONNECT ON DATABASE {name} FROM {others};\n" if others else "")
        + f"GRANT CONNECT ON DATABASE {name} TO {me};\nCOMMIT;"
    )
    end_sessions(job)


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


def _grantee(name: str | None) -> str:
    return "PUBLIC" if name is None else identifier(name)


def end_sessions(job: Job) -> None:
    """End every session of others in the database. Raises Failed where one stays."""
    others = (
        f"FROM pg_stat_activity WHERE datname = {sql_literal(job.database)} "
        "AND pid <> pg_backend_pid() "
        "AND backend_type = 'client backend' AND application_name <> 'ops migrate'"
    )
    left = ""
    for _ in range(_ENDINGS):
        left = job.door.ask(f"SELECT count(pg_terminate_backend(pid)) {others}")
        if left == "0":
            return
        time.sleep(0.05)
    raise Failed(f"{left} sessions at the source do not end")


def reopen(job: Job) -> None:
    """As it was before close, where that has been. Raises Failed."""
    kept = _before(job)
    if not kept.exists():
        return
    before: dict[str, Any] = json.loads(kept.read_text())
    name, me = identifier(job.database), before["me"]
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
    job.door.ask("\n".join([f"{_WRITE}BEGIN;", *again, "COMMIT;"]))
    kept.unlink()

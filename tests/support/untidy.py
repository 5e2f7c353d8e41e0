"""A server as real ones are: odd names, half-dropped databases, tablespaces, settings of all kinds.

`make_untidy` leaves the stack so for all that follows; `untidier` adds what would be in the way of
other tests' own queries, for a while.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.site import Site
from tests.support.stack import POSTGRES, Stack

ODD = "shop=eu ☃"
PLACE = "/data/fast disk"
SETTINGS = {
    "max_prepared_transactions": "5",
    "timezone": "Europe/Vienna",
    # Another tool's archive beside Barman's.
    "archive_mode": "on",
    "archive_command": "/bin/true",
}
SERVER = """
CREATE DATABASE "shop=eu ☃";
CREATE DATABASE half_dropped;
CREATE DATABASE closed;
ALTER DATABASE closed ALLOW_CONNECTIONS false;
ALTER DATABASE "shop=eu ☃" SET statement_timeout = '1ms';
ALTER DATABASE "shop=eu ☃" SET default_transaction_read_only = on;
ALTER DATABASE "shop=eu ☃" SET role = 'pg_monitor';
UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'half_dropped';
CREATE TABLESPACE "fast disk" LOCATION '/data/fast disk';
"""
# What is set for that database would be in the way of whoever works in it.
AT_WILL = """
SET statement_timeout = 0;
SET default_transaction_read_only = off;
SET role = none;
SET event_triggers = off;
"""
IN_IT = """
DO $$ BEGIN
  FOR i IN 1..100 LOOP EXECUTE format('CREATE TABLE "T %s" (id int)', i); END LOOP;
END $$;
CREATE TABLE there TABLESPACE "fast disk" AS SELECT generate_series(1, 1000) AS id;
CREATE UNLOGGED TABLE lost_on_recovery AS SELECT generate_series(1, 100) AS id;
CREATE TABLE parted (id int) PARTITION BY RANGE (id);
CREATE TABLE part PARTITION OF parted FOR VALUES FROM (0) TO (1000);
SELECT lo_from_bytea(0, 'large');
SELECT pg_logical_emit_message(false, 'longer than two segments of WAL', repeat('x', 40000000));
CREATE SUBSCRIPTION elsewhere CONNECTION 'host=127.0.0.1 port=1 dbname=x' PUBLICATION p
  WITH (connect = false);
ALTER SUBSCRIPTION elsewhere ENABLE;
CREATE FUNCTION objects() RETURNS event_trigger LANGUAGE plpgsql AS
  $$ BEGIN RAISE 'no DDL here'; END $$;
CREATE EVENT TRIGGER objects ON ddl_command_start EXECUTE FUNCTION objects();
"""
PREPARED = "'unfinished business'"
PREPARE = f"BEGIN; INSERT INTO part VALUES (1); PREPARE TRANSACTION {PREPARED};"  # noqa: S608 - constants
MORE_SETTINGS = {
    "logging_collector": "on",
    "log_destination": "csvlog",
    "listen_addresses": "*",
}
MORE = """
ALTER DATABASE postgres SET statement_timeout = '1s';
SELECT pg_create_physical_replication_slot('somebody_elses', true);
"""
FROM_101_TO_2000 = """
DO $$ BEGIN
  FOR i IN 101..2000 LOOP EXECUTE format('%s', i); END LOOP;
END $$;
"""
MORE_IN_IT = FROM_101_TO_2000 % 'CREATE TABLE "T %s" (id int)'
LESS_IN_IT = FROM_101_TO_2000 % 'DROP TABLE "T %s"'
LESS = """
ALTER DATABASE postgres RESET statement_timeout;
"""
# A recovery does not bring it back.
SLOT_GONE = """
SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
WHERE slot_name = 'somebody_elses'
"""


def run(stack: Stack, sql: str, database: str = "postgres") -> str:
    """All of `sql`, a statement at a time; what psql says."""
    return stack.on(
        POSTGRES,
        # From its first statement on: one of a millisecond could end the session's own SET.
        f"set -e; cd /; PGDATABASE='{database}' PGOPTIONS='-c statement_timeout=0' "
        "runuser -u postgres --whitelist-environment=PGDATABASE,PGOPTIONS -- "
        f"psql -X -A -t -q -v ON_ERROR_STOP=1 <<'END'\n{sql}\nEND",
    )


def in_odd(stack: Stack, sql: str) -> str:
    """The same in the database with the odd name, whatever is set for it."""
    return run(stack, AT_WILL + sql, ODD)


def make_untidy(stack: Stack) -> None:
    """From now on the server is as real ones are, and protected as before."""
    _set(stack, SETTINGS)
    stack.on(POSTGRES, f"install -d -o postgres -g postgres -m 0700 '{PLACE}'")
    run(stack, SERVER)
    in_odd(stack, IN_IT + PREPARE)
    stack.until_content()


@contextmanager
def untidier(site: Site) -> Iterator[None]:
    """More of it, and less again afterwards."""
    stack = site.stack
    try:
        _set(stack, MORE_SETTINGS)
        run(stack, MORE)
        in_odd(stack, MORE_IN_IT)
        stack.until_content()
        yield
    finally:
        in_odd(stack, LESS_IN_IT)
        run(stack, LESS)
        run(stack, SLOT_GONE)
        run(stack, "".join(f"ALTER SYSTEM RESET {name};\n" for name in MORE_SETTINGS))
        stack.on(POSTGRES, f"systemctl restart {stack.unit}")


def _set(stack: Stack, settings: dict[str, str]) -> None:
    run(stack, "".join(f"ALTER SYSTEM SET {n} = '{v}';\n" for n, v in settings.items()))
    stack.on(POSTGRES, f"systemctl restart {stack.unit}")

"""A server as real ones are: odd names, half-dropped databases, settings of all kinds."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.site import UNIT, Site

ODD = "shop=eu ☃"
SETTINGS = {
    "max_prepared_transactions": "5",
    "logging_collector": "on",
    "log_destination": "csvlog",
    "timezone": "Europe/Vienna",
    "listen_addresses": "*",
}
SERVER = """
CREATE DATABASE "shop=eu ☃";
CREATE DATABASE half_dropped;
CREATE DATABASE closed;
ALTER DATABASE closed ALLOW_CONNECTIONS false;
ALTER DATABASE postgres SET statement_timeout = '1s';
ALTER DATABASE "shop=eu ☃" SET statement_timeout = '1ms';
ALTER DATABASE "shop=eu ☃" SET default_transaction_read_only = on;
UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'half_dropped';
SELECT pg_create_physical_replication_slot('somebody_elses', true);
"""
IN_IT = """
SET statement_timeout = 0;
SET default_transaction_read_only = off;
DO $$ BEGIN
  FOR i IN 1..2000 LOOP EXECUTE format('CREATE TABLE "T %s" (id int)', i); END LOOP;
END $$;
CREATE UNLOGGED TABLE lost_on_recovery AS SELECT generate_series(1, 100) AS id;
CREATE TABLE parted (id int) PARTITION BY RANGE (id);
CREATE TABLE part PARTITION OF parted FOR VALUES FROM (0) TO (1000);
SELECT lo_from_bytea(0, 'large');
CREATE SUBSCRIPTION elsewhere CONNECTION 'host=127.0.0.1 port=1 dbname=x' PUBLICATION p
  WITH (connect = false);
ALTER SUBSCRIPTION elsewhere ENABLE;
CREATE FUNCTION objects() RETURNS event_trigger LANGUAGE plpgsql AS
  $$ BEGIN RAISE 'no DDL here'; END $$;
CREATE EVENT TRIGGER objects ON ddl_command_start EXECUTE FUNCTION objects();
BEGIN;
INSERT INTO part VALUES (1);
PREPARE TRANSACTION 'unfinished business';
"""
TIDY_IN_IT = """
SET statement_timeout = 0;
SET default_transaction_read_only = off;
ROLLBACK PREPARED 'unfinished business';
DROP EVENT TRIGGER objects;
ALTER SUBSCRIPTION elsewhere DISABLE;
ALTER SUBSCRIPTION elsewhere SET (slot_name = NONE);
DROP SUBSCRIPTION elsewhere;
"""
TIDY = """
ALTER DATABASE postgres RESET statement_timeout;
DROP DATABASE "shop=eu ☃" WITH (FORCE);
DROP DATABASE half_dropped;
DROP DATABASE closed;
"""
# A recovery does not bring it back.
SLOT_GONE = """
SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
WHERE slot_name = 'somebody_elses'
"""


def run(site: Site, sql: str, database: str = "postgres") -> None:
    """All of `sql`, a statement at a time."""
    site.on_postgres(
        f"cd /; PGDATABASE='{database}' runuser -u postgres --whitelist-environment=PGDATABASE -- "
        f"psql -X -q -v ON_ERROR_STOP=1 >/dev/null <<'END'\n{sql}\nEND"
    )


@contextmanager
def untidy(site: Site) -> Iterator[None]:
    """The server in that state, and tidy again afterwards."""
    try:
        run(site, "".join(f"ALTER SYSTEM SET {n} = '{v}';\n" for n, v in SETTINGS.items()))
        site.on_postgres(f"systemctl restart {UNIT}")
        run(site, SERVER)
        run(site, IN_IT, ODD)
        yield
    finally:
        run(site, TIDY_IN_IT, ODD)
        run(site, TIDY)
        run(site, SLOT_GONE)
        run(site, "".join(f"ALTER SYSTEM RESET {name};\n" for name in SETTINGS))
        site.on_postgres(f"systemctl restart {UNIT}")

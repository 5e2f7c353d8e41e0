"""PgBouncer before PostgreSQL, as whoever installs, pauses or asks it knows it."""

from host.domain import sessions
from host.domain.quoting import sql_literal

# Its service, its system user, and the role that this user logs in to PostgreSQL as: by its name
# alone, for peer.
UNIT = "pgbouncer"
PACKAGE = "pgbouncer"
USER = "pgbouncer"
ROLE = "pgbouncer"
PORT = 6432
SOCKETS = "/run/pgbouncer"
# Not where the distribution's own configuration is: its package asks about files that differ.
FOLDER = "/etc/pooler"
# By which systemd-sysusers makes its user.
ACCOUNT = "/etc/sysusers.d/pgbouncer.conf"
UNIT_FILE = f"/etc/systemd/system/{UNIT}.service"
# In this database it looks up who logs in.
DATABASE = "postgres"
SCHEMA = "pooler"
LOOKUP = "pooler.credentials"
QUERY = "SELECT usename, passwd FROM pooler.credentials($1)"
# Its own console, which lets its own system user in by the socket.
_CONSOLE = (
    *("psql", "-X", "-A", "-q", "-w", "-P", "footer=off"),
    *("-h", SOCKETS, "-p", str(PORT), "-U", USER, "-d", "pgbouncer"),
)
# A pause waits for transactions to end. Those that take longer are cut when PostgreSQL stops; new
# ones wait from its first moment on, whether it is waited for or not.
PATIENCE_S = 10
# What timeout(1) ends with where it does, and psql where nothing was to be done, or nobody answers.
TIMED_OUT, REFUSED, SILENT = 124, 1, 2

# Who may log in through it, and the verifier of the password; nobody with more rights than those of
# an application, and nobody whose password has ended.
_BODY = """
  SELECT rolname::text, rolpassword FROM pg_catalog.pg_authid
  WHERE rolname = login AND rolcanlogin AND NOT rolsuper AND NOT rolreplication
    AND rolpassword LIKE 'SCRAM-SHA-256$%' AND coalesce(rolvaliduntil > now(), true)
"""
# Whether the function is there as below, for the pooler's role alone. Both are SQL; the role is
# there before.
HELD = f"""EXISTS (SELECT FROM pg_proc WHERE oid = to_regprocedure('{LOOKUP}(text)')
  AND prosrc = {sql_literal(_BODY)} AND prosecdef
  AND proowner = 10 AND proconfig = ARRAY['search_path=pg_catalog, pg_temp']
  AND has_function_privilege('{ROLE}', oid, 'EXECUTE')
  AND NOT has_function_privilege('public', oid, 'EXECUTE')
  AND has_schema_privilege('{ROLE}', pronamespace, 'USAGE'))"""
INSTALL = f"""BEGIN;
CREATE SCHEMA IF NOT EXISTS {SCHEMA};
DROP FUNCTION IF EXISTS {LOOKUP}(text);
CREATE FUNCTION {LOOKUP}(login text, OUT usename text, OUT passwd text) RETURNS SETOF record
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS {sql_literal(_BODY)};
REVOKE ALL ON FUNCTION {LOOKUP}(text) FROM PUBLIC;
REVOKE ALL ON SCHEMA {SCHEMA} FROM PUBLIC;
GRANT USAGE ON SCHEMA {SCHEMA} TO {ROLE};
GRANT EXECUTE ON FUNCTION {LOOKUP}(text) TO {ROLE};
COMMIT;
"""
_SETTINGS = "\n".join(
    f"ALTER ROLE {ROLE} SET {name} = '{value}';" for name, value in sessions.SETTINGS.items()
)
# The role and the function, for data from before there was a pooler, or from when it was another.
RESTORE = f"""
DO $do$ BEGIN
  IF to_regrole('{ROLE}') IS NULL THEN CREATE ROLE {ROLE}; END IF;
END $do$;
ALTER ROLE {ROLE} LOGIN NOSUPERUSER NOCREATEROLE NOCREATEDB NOREPLICATION NOBYPASSRLS;
{_SETTINGS}
{INSTALL}"""
REMOVE = f"""
DROP FUNCTION IF EXISTS {LOOKUP}(text);
DROP SCHEMA IF EXISTS {SCHEMA};
DO $do$ BEGIN
  IF to_regrole('{ROLE}') IS NOT NULL THEN ALTER ROLE {ROLE} NOLOGIN; END IF;
END $do$;
"""


def console(command: str) -> list[str]:
    """What has the pooler do `command`, or print the rows that it answers, in its system user's
    name and in no more than PATIENCE_S. A pause that takes longer goes on."""
    return ["timeout", str(PATIENCE_S), *_CONSOLE, "-c", command]


def paused(state: str) -> bool:
    """Whether it is, from what it says to SHOW STATE."""
    return "paused|yes" in state.splitlines()

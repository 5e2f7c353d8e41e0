"""Brings the PostgreSQL machine to its desired state: cluster, configuration, roles, databases.

Never initialises a cluster twice, never drops anything of yours, and touches nothing while a
recovery is under way.
"""

import csv
import io
import json
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from host.domain import server_log, sessions
from host.domain.file_settings import OVERRULED
from host.domain.paths import PORT, RECOVERY_MARKER
from host.domain.pooler import REMOVE, ROLE
from host.domain.quoting import identifier
from host.domain.scram import scram_verifier, verifies
from host.programs import certificate, pooler
from host.programs.change import bring_into_force, harden, serve_own
from host.programs.converge import ConvergeError, Host, conclude
from host.restored_copy import trial
from host.restored_copy.server import Failed

CLUSTER = "main"
GUARD = "durability-guard"
# Written once a cluster exists: an empty data directory beside it means lost data, not a new disk.
INITIALISED = ".cluster-initialised"

ROLES = """
SELECT rolname, rolcanlogin, rolreplication, coalesce(rolpassword, ''),
  coalesce(array_to_json(setconfig), '[]')
FROM pg_authid LEFT JOIN pg_db_role_setting ON setrole = pg_authid.oid AND setdatabase = 0
"""
# What ALTER SYSTEM has set waits until somebody restarts PostgreSQL for it. The mark stays on a
# parameter that was set and taken out again before a restart (guc-file.c, PostgreSQL 13 to 18).
PENDING = """
SELECT name FROM pg_settings s WHERE pending_restart
AND (source = 'configuration file' OR EXISTS (
  SELECT FROM pg_file_settings WHERE lower(name) = s.name))
AND NOT EXISTS (SELECT FROM pg_file_settings
  WHERE lower(name) = s.name AND sourcefile LIKE '%/postgresql.auto.conf')
"""

Row = list[str]


def main(desired: dict[str, Any]) -> int:
    host = Host()
    return conclude(host, "postgres", desired, lambda: Postgres(host, desired).converge())


class Postgres:
    """One cluster of Debian's packaging on this machine."""

    def __init__(self, host: Host, desired: dict[str, Any]) -> None:
        self.host = host
        self.desired = desired
        self.version: str = desired["version"]
        self.unit = f"postgresql@{self.version}-{CLUSTER}"
        self.config = Path(f"/etc/postgresql/{self.version}/{CLUSTER}")
        self.data = Path(desired["data_directory"])

    def converge(self) -> dict[str, Any]:
        """Bring everything to the desired state; returns facts for the stack's outputs."""
        self.host.require_mount(self.desired["mount_point"])
        if Path(RECOVERY_MARKER).exists():
            raise ConvergeError(
                "a recovery is in progress on this machine; nothing was changed. Finish it with: "
                "python -m ops recover --resume (or --abort), then run pulumi up again"
            )
        self.host.utc()
        harden(self.host, self.desired["hardening"])
        self.host.packages(self.desired["packages"])
        for directory in self.desired["directories"]:
            self.host.directory(directory["path"], directory["owner"], directory["mode"])
        self.host.files(self.desired["library"])
        # The gate first: the key that it is for does nothing without it.
        self.host.files([self.desired["ssh_gate"], *self.desired["ssh_files"]])
        self._cluster()
        self._configure()
        self._roles()
        self._databases()
        self._pooler()
        serve_own(self.host, self.desired["heartbeat"])
        serve_own(self.host, self.desired["snapshots"])
        # Last: it takes a new level up at once, and everything above must not wait for Barman.
        serve_own(self.host, self.desired["guard"])
        return {"version": self._query("SHOW server_version")[0][0].split()[0]}

    def _cluster(self) -> None:
        parent = self.data.parent.parent
        self.host.directory(str(parent), "postgres", 0o755)
        marker = parent / INITIALISED
        has_data = (self.data / "PG_VERSION").exists()
        if not has_data and marker.exists():
            raise ConvergeError(
                f"{self.data} held a cluster once and is gone; a new, empty one would hide that. "
                "Nothing was changed. Bring the data back with: python -m ops recover"
            )
        if not (self.config / "postgresql.conf").exists():
            if has_data:
                # A disk that outlived its machine: the new machine may number postgres otherwise.
                for space in (self.data / "pg_tblspc").iterdir():
                    self.host.run("chown", "-R", "postgres:", str(space.resolve()))
                self._lend_configuration()
            options = [] if has_data else ["--", *self.desired["initdb_options"]]
            self.host.run("pg_createcluster", self.version, CLUSTER, "-d", str(self.data), *options)
            self.host.note(f"{'adopted' if has_data else 'initialised'} the cluster at {self.data}")
            # One that runs goes on writing into the folder that was there before (its unit's
            # ReadWritePaths). 5: there is none yet.
            self.host.run("systemctl", "try-restart", GUARD, accept=(0, 5))
        if not marker.exists():
            marker.touch()

    def _lend_configuration(self) -> None:
        """pg_createcluster moves a data directory's own configuration to /etc, and refuses one
        that has none. Debian's clusters have none: theirs was in /etc, on the lost system disk."""
        for name in ("postgresql.conf", "pg_hba.conf", "pg_ident.conf"):
            sample = Path(f"/usr/share/postgresql/{self.version}/{name}.sample")
            if not (self.data / name).exists():
                self.host.file(str(self.data / name), sample.read_text(), "postgres", 0o600)

    def _configure(self) -> None:
        files = [*self.desired["units"], *self.desired["files"]]
        bring_into_force(
            self.host, f"{self.unit}.service", files, self._load, check=self._reading_all()
        )

    def _load(self, stale: bool) -> None:
        """PostgreSQL runs, with its files as they are."""
        host = self.host
        host.read_unit(self.unit)
        host.run("systemctl", "enable", "--quiet", self.unit)
        if not host.active(self.unit):
            self._start("start")
            host.note(f"started {self.unit}")
        elif stale:
            host.run("systemctl", "reload", self.unit)
            host.note(f"reloaded {self.unit}")
            # The reload is a signal: give the postmaster a moment to mark what needs a restart.
            host.run("sleep", "1")
        host.wait("PostgreSQL to accept connections", self._accepts)
        pending = [row[0] for row in self._query(PENDING)]
        if pending:
            self._rehearse(pending)
            with pooler.paused(host):
                self._start("restart")
                host.wait("PostgreSQL to accept connections", self._accepts)
            host.note(f"restarted {self.unit} for {', '.join(sorted(pending))}")
        self._await_certificate()
        errors = self._query(
            "SELECT line_number, error FROM pg_hba_file_rules WHERE error IS NOT NULL"
        )
        if errors:
            raise ConvergeError(f"pg_hba.conf: {errors}")
        for name, value in self._query(OVERRULED):
            print(
                f"note: ALTER SYSTEM has set {name} to {value}, which overrules the stack's "
                f"postgresql.conf. To have the stack's: ALTER SYSTEM RESET {name}",
                file=sys.stderr,
            )

    def _start(self, how: str) -> None:
        """`start` or `restart`. Raises ConvergeError with PostgreSQL's own words."""
        try:
            self.host.run("systemctl", how, self.unit)
        except ConvergeError:
            log = f"/var/log/postgresql/postgresql-{self.version}-{CLUSTER}.log"
            said = self.host.run("tail", "-n", "40", log, accept=(0, 1)).stdout
            raise ConvergeError(f"PostgreSQL does not start: {server_log.reason(said)}") from None

    def _rehearse(self, pending: list[str]) -> None:
        """Try the settings that a restart would bring, before the running server is stopped for
        them. Raises ConvergeError."""
        try:
            trial.trial(self.version, f"{self.config}/postgresql.conf", str(self.data))
        except Failed as failed:
            raise ConvergeError(
                f"PostgreSQL was not restarted for {', '.join(sorted(pending))}: with its settings "
                f"it would not start. It says: {failed}"
            ) from None

    def _await_certificate(self) -> None:
        """PostgreSQL keeps the certificate it has when it dislikes a new one, and only logs it."""
        path = self.desired["server_file"]
        wanted = certificate.in_pem(Path(path).read_text())
        try:
            self.host.wait(
                "PostgreSQL to show its certificate",
                lambda: certificate.shown("127.0.0.1", PORT) == wanted,
                30,
            )
        except ConvergeError:
            raise ConvergeError(
                f"PostgreSQL does not use the certificate in {path}; it keeps the one it "
                f"had. Why: journalctl -u {self.unit}, and /var/log/postgresql. Then run pulumi "
                "up again"
            ) from None

    def _reading_all(self) -> list[str]:
        """The command by which PostgreSQL itself reads the files before the running server does."""
        binary = f"/usr/lib/postgresql/{self.version}/bin/postgres"
        configuration = f"config_file={self.config}/postgresql.conf"
        # Any parameter would do: reading one makes it parse and check all.
        words = ["-D", str(self.data), "-c", configuration, "-C", "wal_level"]
        return ["runuser", "-u", "postgres", "--", binary, *words]

    def _roles(self) -> None:
        known = {
            row[0]: Role(row[1] == "t", row[2] == "t", row[3], frozenset(json.loads(row[4])))
            for row in self._query(ROLES)
        }
        for role in self.desired["roles"]:
            for statement in role_statements(role, known.get(role["name"])):
                self._execute(statement, note=f"role {role['name']}")
        missing = [
            grant
            for grant in self.desired["grants"]
            if self._query(f"SELECT {grant['held']}")[0][0] != "t"
        ]
        for grant in missing:
            self._execute(grant["statement"], note=grant["note"] or grant["statement"])

    def _databases(self) -> None:
        owners = {
            row[0]: row[1]
            for row in self._query(
                "SELECT datname, pg_get_userbyid(datdba) FROM pg_database WHERE NOT datistemplate"
            )
        }
        for database in self.desired["databases"]:
            name, owner = database["name"], database["owner"]
            if name not in owners:
                self._execute(f"CREATE DATABASE {identifier(name)} OWNER {identifier(owner)}")
                self._execute(
                    f"REVOKE CONNECT, TEMPORARY ON DATABASE {identifier(name)} FROM PUBLIC"
                )
                self.host.note(f"created database {name}")
            elif owners[name] != owner:
                self._execute(f"ALTER DATABASE {identifier(name)} OWNER TO {identifier(owner)}")
                self.host.note(f"changed owner of database {name} to {owner}")
            present = {row[0] for row in self._query("SELECT extname FROM pg_extension", name)}
            for extension in database["extensions"]:
                if extension not in present:
                    self._execute(f"CREATE EXTENSION {identifier(extension)}", name)
                    self.host.note(f"created extension {extension} in {name}")

    def _pooler(self) -> None:
        if self.desired["pooler"]:
            pooler.converge(self.host, self.desired["pooler"])
        elif pooler.present(self.host):
            self._execute(REMOVE, note=f"took the login of role {ROLE} away")
            pooler.remove(self.host)

    def _accepts(self) -> bool:
        done = self.host.run("pg_isready", "-q", user="postgres", accept=(0, 1, 2))
        return done.returncode == 0

    def _psql(self, sql: str, database: str) -> str:
        return self.host.run(
            *("psql", "-X", "-q", "-t", "--csv", "-v", "ON_ERROR_STOP=1"),
            user="postgres",
            # Not with -d, which takes a name with = in it for a connection string.
            environment={"PGOPTIONS": sessions.OPTIONS, "PGDATABASE": database},
            # Nothing here needs Barman, which may be away.
            stdin=f"SET synchronous_commit = local;\n{sql}",
        ).stdout

    def _query(self, sql: str, database: str = "postgres") -> list[Row]:
        return list(csv.reader(io.StringIO(self._psql(sql, database))))

    def _execute(self, sql: str, database: str = "postgres", note: str | None = None) -> None:
        self._psql(sql, database)
        if note:
            self.host.note(note)


@dataclass(frozen=True)
class Role:
    """A role as pg_authid has it; `verifier` is empty without a password. `settings` are its own,
    as name=value."""

    login: bool
    replication: bool
    verifier: str
    settings: frozenset[str] = frozenset()


def role_statements(wanted: dict[str, Any], present: Role | None) -> list[str]:
    """The SQL that turns `present` into `wanted` ({name, password, replication, settings}): often
    none.

    Without a password the role can log in as its peer on this machine only.

    The password never appears in it, only its SCRAM verifier, so no log can show it.
    """
    name = identifier(wanted["name"])
    statements = []
    if present is None:
        statements.append(f"CREATE ROLE {name}")
    if present is None or not present.login or present.replication != wanted["replication"]:
        replication = "REPLICATION" if wanted["replication"] else "NOREPLICATION"
        statements.append(f"ALTER ROLE {name} LOGIN {replication} NOSUPERUSER NOCREATEROLE")
    password = wanted["password"]
    if password and (present is None or not verifies(password, present.verifier)):
        verifier = scram_verifier(password, secrets.token_bytes(16))
        statements.append(f"ALTER ROLE {name} PASSWORD '{verifier}'")
    known = present.settings if present else frozenset()
    statements += [
        f"ALTER ROLE {name} SET {setting} = '{value}'"
        for setting, value in wanted["settings"].items()
        if f"{setting}={value}" not in known
    ]
    return statements

"""Who moves a database in: the commands typed, the source as it was before, and its application."""

import json
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import managed_data
from tests.support.ledger import Ledger
from tests.support.managed_service import ADMIN, ManagedService
from tests.support.site import Site
from tests.support.stack import POSTGRES, Stack
from tests.support.waiting import eventually

OWNERS_PASSWORD = "the application's"
_LITERAL = OWNERS_PASSWORD.replace("'", "''")
_PASSWORD = f"ALTER ROLE \"{managed_data.OWNER}\" PASSWORD '{_LITERAL}'"
UNIT = "migration-copy"
_PROGRESS = f"/data/migration/{managed_data.SHOP.encode().hex()}/progress.json"


class Host:
    """This host as a client: it reaches the source as anybody on the Internet does."""

    def start(self, argv: Sequence[str]) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )


@dataclass(frozen=True)
class Mover:
    """The operator of a stack, and the server that is left."""

    stack: Stack
    managed: ManagedService
    passfile: Path

    def type(self, command: str, *words: str, code: int = 0) -> "subprocess.CompletedProcess[str]":
        """One of `ops migrate`'s commands."""
        done = self.stack.ops("migrate", command, *words, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def source(self, *words: str) -> tuple[str, ...]:
        """Where from, for the commands that take it."""
        return (self.managed.conninfo(), "--passfile", str(self.passfile), *words)

    def follow(self, page: str) -> list[str]:
        """Every command of a page."""
        return self.stack.follow(
            page,
            {
                "old.postgres.database.azure.com": self.managed.address,
                "old.pgpass": str(self.passfile),
            },
        )

    def begin(self, command: str, *words: str) -> "subprocess.Popen[str]":
        """`copy` or `follow` under way."""
        return self.stack.start_ops("migrate", command, *self.source("--yes", *words))

    def failed(self, command: str, *words: str) -> str:
        """What it says on one line when it fails, which has a next command in it."""
        done = self.type(command, *words, code=2)
        said = " ".join((done.stdout + done.stderr).split())
        assert "Next:" in said
        return said

    def status(self) -> dict[str, dict[str, Any]]:
        """Each database that is followed."""
        found = json.loads(self.type("status", "--json").stdout)["databases"]
        return {each["database"]: each for each in found}

    def way_back(self) -> dict[str, dict[str, Any]]:
        """Each database that has one, after a cutover."""
        found = json.loads(self.type("status", "--json").stdout)["back"]
        return {each["database"]: each for each in found}

    def until_stage(self, stage: str) -> None:
        """Until the copy of the database with everything in it is at this stage."""
        eventually(
            f"the copy to reach {stage}",
            lambda: stage in self.stack.on(POSTGRES, f"cat {_PROGRESS} 2>/dev/null; true"),
            120,
        )

    def kill_at(self, stage: str) -> None:
        """At this stage, however short it is, the unit that copies the database with everything in
        it will be killed, with everything that it has started."""
        wait = f"until grep -q '{stage}' {_PROGRESS} 2>/dev/null; do sleep 0.02; done"
        kill = f"systemctl kill --signal KILL {UNIT}"
        self.stack.on(POSTGRES, f'systemd-run --quiet --collect sh -c "{wait}; {kill}"')

    def identical(self) -> None:
        """`ops migrate compare` finds nothing."""
        self.type("compare", *self.source())

    def compare(self) -> dict[str, Any]:
        """What `ops migrate compare` finds, whatever that is."""
        done = self.stack.ops("migrate", "compare", *self.source("--json"), check=False)
        return json.loads(done.stdout)

    def remove_here(self) -> None:
        """What has been moved in goes again, for the next test."""
        for name in (managed_data.SHOP, managed_data.ORDERS):
            self.stack.sql(f'DROP DATABASE "{name}" WITH (FORCE)')
        for role in (managed_data.OWNER, managed_data.READER, ADMIN, "report@example.org"):
            self.stack.sql(f'DROP ROLE "{role}"')

    def reopen(self) -> None:
        """The source, as whoever goes back to it would."""
        for name in (managed_data.SHOP, managed_data.ORDERS):
            self.managed.sql(
                f'ALTER DATABASE "{name}" RESET default_transaction_read_only;'
                f'GRANT CONNECT ON DATABASE "{name}" TO PUBLIC, "{managed_data.OWNER}";'
                f'REVOKE CONNECT ON DATABASE "{name}" FROM {ADMIN}'
            )

    def everything(self) -> str:
        """What a move that is taken back must leave as it was: here, and at the source."""
        here = self.stack.sql(_HERE)
        files = self.stack.on(POSTGRES, "ls -A /data /run/migration 2>/dev/null; true")
        there = [self.managed.sql(_THERE)]
        there += [
            self.managed.sql("SELECT pubname FROM pg_publication ORDER BY 1", name)
            for name in (managed_data.SHOP, managed_data.ORDERS)
        ]
        return "\n".join([here, files, *there])

    def writing(self) -> Ledger:
        """The application at the source."""
        return Ledger(Host(), self.uri(f"{self.managed.address}:5432", "require"))

    def uri(self, where: str, sslmode: str) -> str:
        user, password = (
            "".join(f"%{byte:02x}" for byte in text.encode())
            for text in (managed_data.OWNER, OWNERS_PASSWORD)
        )
        return f"postgresql://{user}:{password}@{where}/{managed_data.SHOP}?sslmode={sslmode}"

    def writing_here(self, site: Site) -> Ledger:
        """The application at its new server."""
        rest = self.stack.outputs["databases"]["app"]["uri"].partition("@")[2]
        where, _, options = rest.partition("/")
        authority = options.partition("sslrootcert=")[2]
        return Ledger(site.client, self.uri(where, f"verify-full&sslrootcert={authority}"))

    def give_password_there(self) -> None:
        """To the application's role at the source, where a test does not know it."""
        self.managed.sql(_PASSWORD)

    def give_password_here(self) -> None:
        """To the application's role here, as the operator does at the end of a move."""
        self.stack.sql(_PASSWORD)


def said(process: "subprocess.Popen[str]", until: Callable[[str], bool], timeout_s: float) -> str:
    """A program's output up to a line that is waited for."""
    assert process.stdout is not None
    seen, deadline = "", time.monotonic() + timeout_s
    for line in process.stdout:
        seen += line
        if until(line):
            return seen
        assert time.monotonic() < deadline, seen
    raise AssertionError(f"it has ended: {seen}")


# Grants as they are in effect: what was never granted can be written down or not.
_SHARED = """
SELECT rolname, rolcanlogin, rolreplication FROM pg_roles ORDER BY 1;
SELECT datname, pg_get_userbyid(datdba), datconnlimit, (
    SELECT string_agg(concat_ws(' ', grantee::regrole, privilege_type, is_grantable), ',' ORDER BY
      grantee, privilege_type) FROM aclexplode(coalesce(datacl, acldefault('d', datdba))))
  FROM pg_database ORDER BY 1;
SELECT setdatabase, setrole, setconfig FROM pg_db_role_setting ORDER BY 1, 2;
"""
_SLOTS = "SELECT slot_name FROM pg_replication_slots WHERE slot_type = 'logical';"
_HERE = _SHARED + "SELECT subname FROM pg_subscription;" + _SLOTS  # noqa: S608 - constants
_THERE = _SHARED + _SLOTS

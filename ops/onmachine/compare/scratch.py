"""A throwaway server of this machine's version, which reads the source's definitions and says how
they look once they were read here.

PostgreSQL does not write a definition as it was given, and writes it otherwise in each version: a
CHECK by IN, the columns of a view. What two servers say of the same thing can only be compared when
both have it from the same reader. Nothing of it touches the server that is compared.
"""

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from host.domain.quoting import conninfo_value, identifier
from ops.onmachine.compare.session import Place, Refused

# systemd-tmpfiles empties it in time, should this machine lose power in between.
FOLDER = "/var/tmp"  # noqa: S108 - the folder in it is made unguessable, and the account's alone
_SUPERUSER = "postgres"
_OPTIONS = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "max_connections": "10",
    # pg_dump locks all tables at once.
    "max_locks_per_transaction": "20000",
    "autovacuum": "off",
    "max_wal_senders": "0",
    "wal_level": "minimal",
    "check_function_bodies": "off",
}
_STARTS_S, _POLL_S = 60, 0.1


@contextmanager
def server(place: Place, roles: Iterable[str]) -> Iterator[Place]:
    """It runs by `place`'s programs and account, and has `roles`. Raises Refused."""
    made = Path(tempfile.mkdtemp(prefix="compare-", dir=FOLDER))
    shutil.chown(made, place.account)
    process = None
    try:
        data = str(made / "data")
        place.run(
            *("initdb", "-D", data, "-U", _SUPERUSER, "-E", "UTF8", "--locale=C", "--auth=trust"),
            *("--no-sync", "--no-instructions"),
        )
        options = [f"--{name}={value}" for name, value in _OPTIONS.items()]
        with (made / "log").open("wb") as log:
            process = subprocess.Popen(
                place.argv("postgres", "-D", data, f"--unix_socket_directories={made}", *options),
                env=place.environment(),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        conninfo = f"host={conninfo_value(str(made))} port=5432 user={_SUPERUSER}"
        there = replace(place, conninfo=conninfo)
        _wait(there, process, made / "log")
        wanted = {role for role in roles if not role.startswith("pg_")} - {_SUPERUSER}
        _sql(there, "; ".join(f"CREATE ROLE {identifier(role)}" for role in sorted(wanted)))
        yield there
    finally:
        if process is not None:
            # Immediate shutdown: nothing of it is kept.
            process.send_signal(signal.SIGQUIT)
            process.wait()
        shutil.rmtree(made, ignore_errors=True)


def _sql(place: Place, sql: str) -> None:
    place.run("psql", "-X", "-q", "-d", place.database("postgres"), "-c", sql)


def _wait(place: Place, process: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + _STARTS_S
    while True:
        try:
            _sql(place, "SELECT")
            return
        except Refused:
            if process.poll() is not None or time.monotonic() > until:
                said = log.read_text()[-500:]
                raise Refused(f"a throwaway server did not start: {said}") from None
            time.sleep(_POLL_S)


def read(place: Place, database: str, archive: str) -> None:
    """Make `database` in the throwaway server of what is in `archive`, as much of it as can be."""
    _sql(place, f"CREATE DATABASE {identifier(database)} TEMPLATE template0")
    try:
        place.run("pg_restore", "-d", place.database(database), archive)
    except Refused:
        # What could not be made there stays as the source says it.
        return

"""The source's password on the PostgreSQL machine, for as long as a move goes on."""

from collections.abc import Iterator
from contextlib import contextmanager

from host.domain.quoting import pgpass_field, pgpass_fields
from ops.onmachine.migration.sessions import FOLDER, PASSFILE
from ops.reach import postgres, shell
from ops.reach.ssh import Machine


def put(machine: Machine, password: str) -> None:
    """Write it where only the postgres user can read it, in libpq's form."""
    machine.run(["install", "-d", "-m", "0700", "-o", postgres.USER, "-g", postgres.USER, FOLDER])
    write(machine, PASSFILE, password)


def write(machine: Machine, path: str, password: str) -> None:
    """A password file that nobody but the postgres user can read, at any moment."""
    machine.run(["install", "-m", "600", "/dev/null", path], user=postgres.USER)
    line = f"*:*:*:*:{pgpass_field(password)}\n"
    shell.write_file(machine, path, line, user=postgres.USER)


@contextmanager
def lent(machine: Machine, name: str, password: str) -> Iterator[str]:
    """The path of a password file for the length of a `with`, for what is no move. `name` is
    nobody else's; a reboot removes the file as well."""
    path = f"/run/postgresql/{name}.pgpass"
    write(machine, path, password)
    try:
        yield path
    finally:
        machine.run(["rm", "-f", path])


def get(machine: Machine) -> str:
    """What put has written, for a run that goes on without being told again."""
    line = machine.run(["cat", PASSFILE]).stdout.removesuffix("\n")
    return pgpass_fields(line)[-1]


def remove(machine: Machine) -> None:
    """Remove it, and what a move has left beside it."""
    machine.run(["rm", "-rf", FOLDER])

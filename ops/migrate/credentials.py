"""The source's password on the PostgreSQL machine, for as long as a move goes on."""

from host.domain.quoting import pgpass_field
from ops.onmachine.migration.sessions import FOLDER, PASSFILE
from ops.reach import postgres, shell
from ops.reach.ssh import Machine


def put(machine: Machine, password: str) -> None:
    """Write it where only the postgres user can read it, in libpq's form."""
    machine.run(["install", "-d", "-m", "0700", "-o", postgres.USER, "-g", postgres.USER, FOLDER])
    line = f"*:*:*:*:{pgpass_field(password)}\n"
    shell.write_file(machine, PASSFILE, line, mode="600", user=postgres.USER)


def remove(machine: Machine) -> None:
    """Remove it, and what a move has left beside it."""
    machine.run(["rm", "-rf", FOLDER])

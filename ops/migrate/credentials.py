"""The source's password on the PostgreSQL machine, for as long as a move goes on."""

from host.domain.quoting import pgpass_field, pgpass_fields
from ops.onmachine.migration.sessions import FOLDER, PASSFILE
from ops.reach import postgres, shell
from ops.reach.ssh import Machine


def put(machine: Machine, password: str) -> None:
    """Write it where only the postgres user can read it, in libpq's form."""
    machine.run(["install", "-d", "-m", "0700", "-o", postgres.USER, "-g", postgres.USER, FOLDER])
    line = f"*:*:*:*:{pgpass_field(password)}\n"
    shell.write_file(machine, PASSFILE, line, mode="600", user=postgres.USER)


def get(machine: Machine) -> str:
    """What put has written, for a run that goes on without being told again."""
    line = machine.run(["cat", PASSFILE]).stdout.removesuffix("\n")
    return pgpass_fields(line)[-1]


def remove(machine: Machine) -> None:
    """Remove it, and what a move has left beside it."""
    machine.run(["rm", "-rf", FOLDER])

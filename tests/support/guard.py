"""A guard that PostgreSQL does not let in."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.stack import POSTGRES, Stack

# Its session, and every other one of the superuser on that machine.
SESSIONS = r"postgres: .* postgres postgres \[local\]"


@contextmanager
def shut_out(stack: Stack) -> Iterator[None]:
    """Nobody comes in as the superuser over the socket, and those who are in are put out."""
    hba = f"{stack.configuration}/pg_hba.conf"
    reload = f"kill -HUP $(head -n 1 {stack.outputs['postgres']['dataDirectory']}/postmaster.pid)"
    stack.on(
        POSTGRES,
        f"cp -p {hba} /root/hba && sed -i '1i local all postgres reject' {hba} && {reload} && "
        f"sleep 1; pkill -u postgres -f '{SESSIONS}'",
    )
    try:
        yield
    finally:
        stack.on(POSTGRES, f"cp -p /root/hba {hba} && {reload}")

"""Barman's WAL receiver: its names on PostgreSQL's side, and whether it runs."""

from collections.abc import Iterator
from pathlib import Path

# Its application_name, by which synchronous_standby_names knows it (barman/server.py).
APPLICATION_NAME = "barman_receive_wal"
ROLE = "streaming_barman"
# For pgrep -f: what cron starts, with or without options, and the program that it starts.
BARMAN = r"barman( -[a-z]+( /etc/barman(-backup)?.conf)?)*"
RECEIVER = rf"pg_receivewal|{BARMAN} receive-wal"


def entries(proc: Path) -> Iterator[Path]:
    """The folder of each process; one that has ended meanwhile is not there any more."""
    return (entry for entry in proc.iterdir() if entry.name.isdigit())


def receivers(user: int, proc: Path = Path("/proc")) -> int:
    """How many processes of pg_receivewal the user of this id has; zombies do not count."""
    found = 0
    for entry in entries(proc):
        try:
            program = (entry / "cmdline").read_text(errors="replace").split("\0")[0]
            found += Path(program).name == "pg_receivewal" and entry.stat().st_uid == user
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found

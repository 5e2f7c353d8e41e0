"""What the pooler is worth to an application of many clients: transactions per second by port 6432
beside port 5432, for clients that keep their connection and for clients that make one for each
transaction.

All of them log in as an application does, with TLS and SCRAM, on the PostgreSQL machine itself.
Works on a stack of its own that it stands up and removes.
"""

from pathlib import Path
from statistics import median

from bench.durability import PGBENCH, rate, spread
from bench.restore import POSTGRES, lab, on, passfile, psql

CLIENTS, ROUNDS, SECONDS, SCALE = 500, 3, 15, 20
PORTS = {"direct": 5432, "pooler": 6432}
# What the clients do with their connection.
HABITS = {"kept": (), "one for each transaction": ("--connect",)}
TITLE = f"Transactions per second of {CLIENTS} clients, median and range of {ROUNDS} rounds"
COLUMNS = ("connection", "direct", "pooler", "of direct")
# As many direct connections as clients.
SETTINGS = """
  postgres-barman:pooler: true
  postgres-barman:postgresParameters:
    max_connections: "600"
"""
_HBA = "/etc/postgresql/17/main/pg_hba.conf"
_OWN = "10.20.0.4"
_ROLE, _PASSFILE = "bench", "/var/lib/postgresql/bench.pgpass"
_MAKE = f"""
CREATE ROLE {_ROLE} LOGIN PASSWORD '{_ROLE}';
GRANT CONNECT ON DATABASE app TO {_ROLE};
GRANT ALL ON SCHEMA public TO {_ROLE};
"""


def measure(checkout: Path) -> list[tuple[str, ...]]:
    """The rows of the table. Raises CalledProcessError."""
    settings = checkout / "Pulumi.lab.yaml"
    settings.write_text(settings.read_text().rstrip("\n") + SETTINGS)
    found: dict[tuple[str, str], list[float]] = {}
    try:
        lab(checkout, "up")
        psql(checkout, _MAKE)
        let_in(checkout)
        passfile(checkout, _PASSFILE, f"*:*:*:{_ROLE}:{_ROLE}")
        pgbench(checkout, 5432, "--initialize", "--quiet", f"--scale={SCALE}")
        for _ in range(ROUNDS):
            for habit, options in HABITS.items():
                for way, port in PORTS.items():
                    seen = transactions_per_second(checkout, port, *options)
                    found.setdefault((habit, way), []).append(seen)
    finally:
        lab(checkout, "down", "--yes-delete-data")
    return [row(habit, found[habit, "direct"], found[habit, "pooler"]) for habit in HABITS]


def let_in(checkout: Path) -> None:
    """Have PostgreSQL take the machine itself for a client; PgBouncer does."""
    line = f"hostssl app {_ROLE} {_OWN}/32 scram-sha-256"
    on(checkout, POSTGRES, "sed", "--in-place", f"1i {line}", _HBA)
    on(checkout, POSTGRES, "systemctl", "reload", "postgresql@17-main")


def row(habit: str, direct: list[float], pooled: list[float]) -> tuple[str, ...]:
    """A line of the table; the ratio is taken within a round."""
    ratios = [there / here for here, there in zip(direct, pooled, strict=True)]
    return (habit, spread(direct, 0), spread(pooled, 0), f"{median(ratios):.2f}")


def transactions_per_second(checkout: Path, port: int, *options: str) -> float:
    said = pgbench(
        checkout,
        port,
        *("--builtin=simple-update", "--no-vacuum", f"--time={SECONDS}"),
        *(f"--client={CLIENTS}", "--jobs=2", *options),
    )
    return rate(said)


def pgbench(checkout: Path, port: int, *options: str) -> str:
    client = ["runuser", "-u", "postgres", "--", "env", f"PGPASSFILE={_PASSFILE}"]
    where = f"host={_OWN} port={port} user={_ROLE} dbname=app sslmode=require"
    return on(checkout, POSTGRES, *client, PGBENCH, *options, where)

"""PgBouncer on PostgreSQL's machine. Pure."""

from dataclasses import dataclass

from host import render
from host.desired.files import Desired, Directory, File
from host.domain import pooler
from host.domain.pooler import FOLDER

SERVER_FILE = f"{FOLDER}/server.pem"


@dataclass(frozen=True)
class PoolerFacts:
    """`pool_size` is how many of the server's connections it takes for each database, at most."""

    pool_size: int


@dataclass(frozen=True)
class Pooler(Desired):
    """For host/programs/pooler.py. `account` is the file by which systemd-sysusers makes its
    system user; `files` are read again by a reload, `unit` by a restart."""

    packages: tuple[str, ...]
    address: str
    account: File
    directory: Directory
    unit: File
    files: tuple[File, ...]
    server_file: str


def desired(
    facts: PoolerFacts,
    *,
    version: str,
    address: str,
    networks: tuple[str, ...],
    rejected: tuple[str, ...],
    stats_user: str,
    server_file: str,
) -> Pooler:
    """The pooler of the cluster of this version, at `address`, for clients in `networks` and the
    machine itself. `rejected` are roles that it lets in from nowhere; `stats_user` reads its
    figures by the socket. `server_file` (secret) is the PEM that PostgreSQL itself shows."""
    ini = f"{FOLDER}/pgbouncer.ini"
    hba, users = f"{FOLDER}/hba.conf", f"{FOLDER}/users.txt"
    return Pooler(
        packages=(pooler.PACKAGE,),
        address=address,
        account=File(
            pooler.ACCOUNT,
            f'# Written by pulumi up.\nu {pooler.USER} - "Connection pooler"\n',
        ),
        directory=Directory(FOLDER),
        unit=File(pooler.UNIT_FILE, render.pgbouncer_unit(version, ini)),
        files=(
            _private(
                ini,
                render.pgbouncer_ini(
                    address=address,
                    pool_size=facts.pool_size,
                    hba_file=hba,
                    users_file=users,
                    server_file=SERVER_FILE,
                    stats_user=stats_user,
                ),
            ),
            _private(hba, render.pgbouncer_hba((*networks, f"{address}/32"), rejected, stats_user)),
            # Known by name alone, so that its figures can be read while PostgreSQL is away.
            _private(users, f'"{stats_user}" ""\n'),
            _private(SERVER_FILE, server_file),
        ),
        server_file=SERVER_FILE,
    )


def _private(path: str, content: str) -> File:
    return File(path, content, owner=pooler.USER, mode=0o600)

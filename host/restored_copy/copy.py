"""Names and places of one restored copy. Pure."""

import re
from dataclasses import asdict, dataclass
from typing import Any

SUPERUSER = "postgres"
_PLAIN = re.compile(r"[^A-Za-z0-9.-]")
_ESCAPED = re.compile(r"(?:_[0-9a-f]{2})+")


@dataclass(frozen=True)
class Copy:
    """A server in `folder`, run by `user` as the systemd unit `unit` from the binaries of
    PostgreSQL's major `version`; `shared_buffers` in PostgreSQL's notation."""

    folder: str
    user: str
    version: str
    unit: str
    port: int = 5432
    shared_buffers: str = "128MB"

    @property
    def data(self) -> str:
        return f"{self.folder}/data"

    @property
    def tablespaces(self) -> str:
        """Where each of its tablespaces has a directory (folder_of)."""
        return f"{self.folder}/tablespaces"

    @property
    def wal(self) -> str:
        """Where WAL is put for it, a file at a time."""
        return f"{self.folder}/wal"

    @property
    def feed(self) -> str:
        """The socket at which it asks for WAL."""
        return f"{self.folder}/feed"

    @property
    def client(self) -> str:
        """Its restore_command (wal_client.py)."""
        return f"{self.folder}/wal-client"

    @property
    def kept_auto_conf(self) -> str:
        """The postgresql.auto.conf that was backed up; the copy itself runs with an empty one."""
        return f"{self.folder}/postgresql.auto.conf"

    @property
    def binaries(self) -> str:
        return f"/usr/lib/postgresql/{self.version}/bin"

    def tablespace(self, location: str) -> str:
        """The directory that it takes for the tablespace at `location`."""
        return f"{self.tablespaces}/{folder_of(location)}"

    def document(self) -> dict[str, Any]:
        """Ready for JSON; Copy(**document) is the copy again."""
        return asdict(self)


def folder_of(location: str) -> str:
    """A tablespace's absolute path as one name of a directory."""
    return _PLAIN.sub(lambda found: "".join(f"_{byte:02x}" for byte in found[0].encode()), location)


def location_of(folder: str) -> str:
    """The other way round."""
    return _ESCAPED.sub(lambda found: bytes.fromhex(found[0].replace("_", "")).decode(), folder)

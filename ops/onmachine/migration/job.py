"""What is copied of one database, and how."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ops.onmachine.migration import sessions
from ops.onmachine.migration.sessions import Server


@dataclass(frozen=True)
class Job:
    """What to copy. `source` is a connection string of the database, `entrance` of another one at
    the source; `create` is the statement that creates it here, `replace` whether an empty one of
    this name is there; `schemas` and `extensions` are left out.

    With `slot` changes are followed from the copy's own snapshot on; the rows of `later` (names as
    SQL writes them) come at the cutover. While Barman's slot `backup_slot` retains more than
    `wal_bytes`, nothing new is loaded.
    """

    database: str
    source: str
    entrance: str
    version: int
    create: str
    schemas: Sequence[str]
    extensions: Sequence[str]
    jobs: int
    binaries: str
    backup_slot: str
    wal_bytes: int
    replace: bool = False
    slot: str = ""
    publish: Sequence[str] = ()
    later: Sequence[str] = ()

    @property
    def folder(self) -> Path:
        """For the files of this copy."""
        return sessions.folder(self.database)

    def document(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)

    @property
    def there(self) -> Server:
        """The database at the source."""
        return Server(self.source)

    @property
    def door(self) -> Server:
        """The source by a database that one is always let into."""
        return Server(self.entrance)

    @property
    def here(self) -> Server:
        """The database here."""
        return sessions.here(self.database)

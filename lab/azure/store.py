"""What exists in one lab's Azure: one JSON file per resource, under one lock.

The files are the truth about what Azure would answer; whether a machine or a disk is really there
is asked of the machine and disk modules.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from lab.azure.arm_id import ArmId, parse


@dataclass(frozen=True)
class Resource:
    """One resource. `inputs` hold no secret; `facts` are what Azure itself made up for it.

    `maker` names the process that is making the machine or disk behind it, and is empty
    afterwards: where that process is gone, a deployment was cut off.
    """

    id: ArmId
    urn: str
    location: str
    inputs: dict[str, Any]
    facts: dict[str, Any] = field(default_factory=dict)
    maker: str = ""

    def with_facts(self, **facts: Any) -> "Resource":
        return replace(self, facts={**self.facts, **facts})


class Store:
    """The resources of one lab, in `directory`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other thread and process out. Not to be nested."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(self._directory / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def get(self, identity: ArmId) -> Resource | None:
        """The resource with this id, or None."""
        try:
            return _read(self._directory / identity.file_name)
        except FileNotFoundError:
            return None

    def all(self, type_: str | None = None) -> list[Resource]:
        """Every resource, or those of one type, in the order of their ids."""
        found = (_read(path) for path in sorted(self._directory.glob("*.json")))
        return [r for r in found if type_ is None or r.id.type.lower() == type_.lower()]

    def put(self, resource: Resource) -> None:
        """Write or overwrite, so that a crash leaves either the old file or the new one."""
        path = self._directory / resource.id.file_name
        partial = path.with_suffix(".partial")
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as out:
            json.dump({**asdict(resource), "id": str(resource.id)}, out, indent=1)
            out.flush()
            os.fsync(out.fileno())
        partial.replace(path)

    def drop(self, identity: ArmId) -> None:
        """Forget the resource, if it is there."""
        (self._directory / identity.file_name).unlink(missing_ok=True)


def _read(path: Path) -> Resource:
    data = json.loads(path.read_text())
    return Resource(**{**data, "id": parse(data["id"])})

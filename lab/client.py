"""A third machine for tests: a network namespace of its own, joined to the lab's network."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from lab.names import Lab


@dataclass(frozen=True)
class Client:
    lab: Lab
    name: str

    def run(self, argv: Sequence[str], *, check: bool = True, timeout: float | None = 120) -> subprocess.CompletedProcess[str]: raise NotImplementedError
    def detach(self) -> None: raise NotImplementedError


def attach(lab: Lab, name: str, address: str, subnet: str | None = None, *, internet: bool = False) -> Client: raise NotImplementedError

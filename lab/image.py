"""The machines' image: built once by debootstrap, and the packages machines have since fetched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lab.names import Lab


def ensure(release: str = "trixie", echo: Callable[[str], None] = print) -> Path: raise NotImplementedError
def layers(release: str) -> list[Path]: raise NotImplementedError
def harvest(lab: Lab, machine: str) -> int: raise NotImplementedError

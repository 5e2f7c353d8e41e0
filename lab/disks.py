"""Managed disks: sparse files, attached as loop devices. Nothing here formats anything."""

from __future__ import annotations

from pathlib import Path


def create(path: Path, size_gib: int) -> None: raise NotImplementedError
def grow(path: Path, size_gib: int) -> None: raise NotImplementedError
def attach(path: Path) -> Path: raise NotImplementedError
def attached(path: Path) -> Path | None: raise NotImplementedError
def detach(path: Path) -> None: raise NotImplementedError
def delete(path: Path) -> None: raise NotImplementedError

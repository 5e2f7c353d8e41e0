"""A client of the database, as an application is one."""

import ctypes
import os
from dataclasses import dataclass
from typing import Any

import psycopg

from lab.net.client import Client


@dataclass(frozen=True)
class Application:
    """A client of the database from a network of its own."""

    client: Client
    uri: str

    def connect(self) -> "psycopg.Connection[Any]":
        """A connection through the lab's network. The socket is made in the client's namespace."""
        here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(f"/run/netns/{self.client.namespace}", os.O_RDONLY)
        try:
            _enter(there)
            return psycopg.connect(self.uri, connect_timeout=10, autocommit=True)
        finally:
            _enter(here)
            os.close(here)
            os.close(there)


def _enter(descriptor: int) -> None:
    clone_newnet = 0x40000000
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, clone_newnet):
        raise OSError(ctypes.get_errno(), "setns")

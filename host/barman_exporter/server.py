"""The PostgreSQL server as Barman reaches it: where its WAL ends, and its certificate."""

import configparser
import socket
import ssl
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extensions import parse_dsn

TIMEOUT_S = 10
# A machine that vanished answers nothing: the kernel is to give up, too.
_PATIENCE = {
    "connect_timeout": TIMEOUT_S,
    "tcp_user_timeout": TIMEOUT_S * 1000,
    "keepalives_idle": TIMEOUT_S,
    "application_name": "barman_exporter",
    "options": f"-c statement_timeout={TIMEOUT_S}s",
}
_SSL_REQUEST = struct.pack("!II", 8, 80877103)


def conninfo(configuration: Path, server: str) -> str:
    """How Barman itself connects."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(configuration)
    return parser[server]["conninfo"]


class Server:
    """One lasting session; opened again after a failure."""

    def __init__(self, dsn: Callable[[], str]) -> None:
        self._dsn = dsn
        self._session: Any = None
        self.segment_size = 2**24

    def flushed(self) -> int:
        """Where WAL on the server's own disk ends, in bytes. Raises psycopg2.Error."""
        try:
            if self._session is None:
                self._session = psycopg2.connect(self._dsn(), **_PATIENCE)
                self._session.autocommit = True
                size = self._ask("SELECT setting FROM pg_settings WHERE name = 'wal_segment_size'")
                self.segment_size = int(size)
            return int(
                self._ask(
                    "SELECT CASE WHEN pg_is_in_recovery() THEN 0 "
                    "ELSE pg_current_wal_flush_lsn() - '0/0'::pg_lsn END"
                )
            )
        except psycopg2.Error:
            if self._session is not None:
                self._session.close()
                self._session = None
            raise

    def _ask(self, query: str) -> str:
        with self._session.cursor() as cursor:
            cursor.execute(query)
            return str(cursor.fetchone()[0])


def certificate_end(dsn: str) -> float | None:
    """When the server's certificate ends, in seconds since 1970; None if Barman asks for none.

    Raises OSError (ssl.SSLError among them) when the handshake or its verification fails.
    """
    options = parse_dsn(dsn)
    if options.get("sslmode", "prefer") not in ("verify-ca", "verify-full"):
        return None
    context = ssl.create_default_context(cafile=options.get("sslrootcert"))
    context.check_hostname = options["sslmode"] == "verify-full"
    host, port = options["host"], int(options.get("port", 5432))
    with socket.create_connection((host, port), timeout=TIMEOUT_S) as plain:
        plain.sendall(_SSL_REQUEST)
        if plain.recv(1) != b"S":
            raise ssl.SSLError("the server does not offer TLS")
        with context.wrap_socket(plain, server_hostname=host) as secured:
            certificate = secured.getpeercert() or {}
    return ssl.cert_time_to_seconds(str(certificate["notAfter"]))

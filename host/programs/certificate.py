"""The certificate that a server on this machine shows, against the one that it is to show."""

import socket
import ssl
import struct

# What a client sends first to begin TLS: length and code (PostgreSQL's frontend protocol).
SSL_REQUEST = struct.pack(">II", 8, 80877103)


def in_pem(pem: str) -> bytes:
    """The one certificate in `pem`, which may hold a key as well, as DER."""
    return ssl.PEM_cert_to_DER_cert(pem[pem.index(ssl.PEM_HEADER) :])


def shown(address: str, port: int) -> bytes | None:
    """What is shown to a client of PostgreSQL's protocol that asks for TLS, as DER; None where it
    gets none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with socket.create_connection((address, port), timeout=5) as wire:
            wire.sendall(SSL_REQUEST)
            if wire.recv(1) != b"S":
                return None
            with context.wrap_socket(wire) as encrypted:
                return encrypted.getpeercert(binary_form=True)
    except OSError:
        return None

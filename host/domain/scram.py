"""What PostgreSQL stores of a password, so that statements and logs hold no password."""

import base64
import hashlib
import hmac

ITERATIONS = 4096  # PostgreSQL's own default, scram_iterations


def scram_verifier(password: str, salt: bytes, iterations: int = ITERATIONS) -> str:
    """What PostgreSQL stores for an ASCII `password` (RFC 5803, pg_authid.rolpassword)."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    stored_key = hashlib.sha256(client_key).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    return f"SCRAM-SHA-256${iterations}:{_base64(salt)}${_base64(stored_key)}:{_base64(server_key)}"


def verifies(password: str, verifier: str) -> bool:
    """Whether `verifier`, as stored by PostgreSQL, belongs to `password`."""
    method, _, rest = verifier.partition("$")
    if method != "SCRAM-SHA-256":
        return False
    iterations, _, salt = rest.partition("$")[0].partition(":")
    expected = scram_verifier(password, base64.b64decode(salt), int(iterations))
    return hmac.compare_digest(expected, verifier)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()

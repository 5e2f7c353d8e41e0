"""What our own sessions set, whatever is set for the server, a database or a role."""

SETTINGS = {
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "default_transaction_read_only": "off",
}
# libpq's PGOPTIONS, and the field of that name in the protocol.
OPTIONS = " ".join(f"-c {name}={value}" for name, value in {**SETTINGS, "role": "none"}.items())

"""The password at the source: from a file, or asked for; never an argument, never a variable."""

import sys
from collections.abc import Callable
from getpass import getpass
from pathlib import Path

from host.domain.quoting import pgpass_fields
from ops.errors import NOTHING_CHANGED, OperatorError
from ops.migrate.address import Address

_FIELDS = 5


def read(
    address: Address,
    *,
    passfile: Path | None,
    password_file: Path | None,
    prompt: Callable[[str], str] = getpass,
) -> str:
    """From a password file in libpq's form, a file that holds nothing else, or by a question.
    Raises OperatorError."""
    if passfile is not None:
        return _of_passfile(address, passfile)
    if password_file is not None:
        return _usable(_text(password_file).removesuffix("\n"), str(password_file))
    if not sys.stdin.isatty():
        raise OperatorError(
            "There is no terminal to ask for the password on.",
            NOTHING_CHANGED,
            "python -m ops migrate plan … --passfile FILE   (or --password-file FILE)",
        )
    return _usable(prompt(f"Password of {address.user} at {address}: "), "the answer")


def _of_passfile(address: Address, path: Path) -> str:
    """The first line that is for this server and user, as libpq looks for it."""
    wanted = (address.host, str(address.port), address.database, address.user)
    for line in _text(path).splitlines():
        fields = pgpass_fields(line)
        if line.startswith("#") or len(fields) != _FIELDS:
            continue
        if all(field in ("*", value) for field, value in zip(fields, wanted, strict=False)):
            return _usable(fields[-1], str(path))
    raise OperatorError(
        f"{path} has no line for {address.user} at {address}, database {address.database}.",
        NOTHING_CHANGED,
        f"add {address.host}:{address.port}:*:{address.user}:PASSWORD to it, then the same again",
    )


def _text(path: Path) -> str:
    try:
        found = path.read_text()
        mode = path.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(f"{path} cannot be read: {error}", NOTHING_CHANGED) from None
    if path.is_file() and mode & 0o077:
        raise OperatorError(
            f"{path} can be read by others on this machine.", NOTHING_CHANGED, f"chmod 600 {path}"
        )
    return found


def _usable(password: str, where: str) -> str:
    if not password or "\n" in password or "\0" in password:
        raise OperatorError(
            f"There is no password in {where}, or more than one line.", NOTHING_CHANGED
        )
    return password

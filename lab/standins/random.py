"""Stand-in for the `random` plugin: RandomPassword and RandomBytes.

A change of any input, `keepers` among them, makes a new value: nothing is updated in place.
"""

import base64
import secrets
import string
from importlib.metadata import version
from typing import Any

from lab.rpc.diff import Diff, compare
from lab.rpc.provider import Call, Failure
from lab.rpc.server import serve
from lab.rpc.values import UNKNOWN, Secret, has_unknown, plain
from lab.standins.strict import Inputs, StandIn, Values

_SPECIAL = "!@#$%&*()-_=+[]{}<>:?"
_DEFAULTS = {
    "lower": True,
    "upper": True,
    "numeric": True,
    "special": True,
    "minLower": 0,
    "minUpper": 0,
    "minNumeric": 0,
    "minSpecial": 0,
}


class PasswordInputs(Inputs):
    length: int
    lower: bool | None = None
    upper: bool | None = None
    numeric: bool | None = None
    special: bool | None = None
    minLower: int | None = None
    minUpper: int | None = None
    minNumeric: int | None = None
    minSpecial: int | None = None
    overrideSpecial: str | None = None
    keepers: dict[str, str] | None = None


class BytesInputs(Inputs):
    length: int
    keepers: dict[str, str] | None = None


class _Fixed:
    """What both types share: made once, then kept until an input changes."""

    names: tuple[str, ...]
    defaults: dict[str, Any]

    def diff(self, state: Values, news: Values) -> Diff:
        olds = {name: state[name] for name in self.names if name in state}
        return compare({**self.defaults, **olds}, {**self.defaults, **news}, lambda path: True)

    def update(self, call: Call, state: Values, news: Values) -> Values:
        raise AssertionError("every change replaces")

    def delete(self, call: Call, state: Values) -> None:
        """There is nothing but the state."""


class Password(_Fixed):
    model = PasswordInputs
    names = tuple(PasswordInputs.model_fields)
    defaults = _DEFAULTS

    def settle(self, inputs: Values) -> tuple[Values, list[Failure]]:
        bare = plain(inputs)
        if has_unknown(bare):
            return inputs, []
        wanted = {**_DEFAULTS, **bare}
        least = sum(wanted[f"min{name}"] for name in ("Lower", "Upper", "Numeric", "Special"))
        if wanted["length"] < max(1, least):
            return inputs, [Failure("length", f"the length must be at least {max(1, least)}")]
        if not any(wanted[name] for name in ("lower", "upper", "numeric", "special")):
            return inputs, [Failure("special", "no kind of character is left to choose from")]
        return inputs, []

    def create(self, call: Call, inputs: Values) -> tuple[str, Values]:
        known = {**_DEFAULTS, **inputs, "number": inputs.get("numeric", True)}
        if call.preview:
            return "", {**known, "result": Secret(UNKNOWN), "bcryptHash": Secret(UNKNOWN)}
        import bcrypt

        result = password({**_DEFAULTS, **plain(inputs)})
        # The hash cannot take more than 72 bytes; the official plugin cuts there too.
        digest = bcrypt.hashpw(result.encode()[:72], bcrypt.gensalt(10)).decode()
        return "none", {**known, "result": Secret(result), "bcryptHash": Secret(digest)}


class Bytes(_Fixed):
    model = BytesInputs
    names = tuple(BytesInputs.model_fields)
    defaults = {}  # noqa: RUF012 - never changed

    def settle(self, inputs: Values) -> tuple[Values, list[Failure]]:
        length = plain(inputs)["length"]
        if isinstance(length, int) and length < 1:
            return inputs, [Failure("length", "the length must be at least 1")]
        return inputs, []

    def create(self, call: Call, inputs: Values) -> tuple[str, Values]:
        if call.preview:
            return "", {**inputs, "base64": Secret(UNKNOWN), "hex": Secret(UNKNOWN)}
        data = secrets.token_bytes(plain(inputs)["length"])
        text = base64.b64encode(data).decode()
        # The official plugin uses the value as the resource's id, which the engine neither
        # encrypts nor hides. What would be a leak there must show up as one here.
        return text, {**inputs, "base64": Secret(text), "hex": Secret(data.hex())}


def password(wanted: Values) -> str:
    """A password as `wanted` (inputs with all defaults), each kind in its minimal number."""
    kinds = {
        "Lower": string.ascii_lowercase,
        "Upper": string.ascii_uppercase,
        "Numeric": string.digits,
        "Special": wanted.get("overrideSpecial") or _SPECIAL,
    }
    every = "".join(chars for name, chars in kinds.items() if wanted[name.lower()])
    chosen = [
        secrets.choice(chars) for name, chars in kinds.items() for _ in range(wanted[f"min{name}"])
    ]
    chosen += [secrets.choice(every) for _ in range(wanted["length"] - len(chosen))]
    secrets.SystemRandom().shuffle(chosen)
    return "".join(chosen)


if __name__ == "__main__":
    serve(
        StandIn(
            {
                "random:index/randomPassword:RandomPassword": Password(),
                "random:index/randomBytes:RandomBytes": Bytes(),
            }
        ),
        version("pulumi-random"),
    )

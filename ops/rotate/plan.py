"""New secrets for old: which marks an update has to see, and in which order. Pure.

A mark is a moment in the stack's setting `rotations`; `pulumi up` makes the secret that belongs to
it. What the output `rotations` does not have yet has not reached both machines.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from ops.errors import NOTHING_CHANGED, OperatorError

# Sorts as text, and YAML does not take it for a date.
_MOMENT = "%Y%m%dT%H%M%SZ"


class Kind(StrEnum):
    """What can be rotated."""

    PASSWORD = "password"  # noqa: S105 - a kind of secret
    SSH = "ssh"
    TLS = "tls"


# The machines let the operator's next key in beside the current one before it becomes the current
# one: whoever connects is let in at every moment.
_STAGES: Mapping[Kind, tuple[str, ...]] = {
    Kind.PASSWORD: ("password",),
    Kind.SSH: ("sshNext", "ssh"),
    Kind.TLS: ("tls",),
}
CHANGES: Mapping[Kind, tuple[str, ...]] = {
    Kind.PASSWORD: (
        "every database owner and both of Barman's roles get a new password",
        "open sessions go on; new ones need the new connection string, so every client needs it",
        "PostgreSQL and Barman's receiver go on without a restart",
    ),
    Kind.SSH: (
        "the operator and both machines get new keys; host keys stay",
        "whoever keeps a copy of sshPrivateKey needs the new one",
        "it takes two updates: the first lets the new key in, the second shuts the old one out",
    ),
    Kind.TLS: (
        "PostgreSQL gets a new key and a certificate for 397 days, by the same authority",
        "a reload, no restart: open sessions go on, clients need nothing new",
    ),
}
AFTERWARDS: Mapping[Kind, str] = {
    Kind.PASSWORD: "New connection strings: pulumi stack output databases --show-secrets",
    Kind.SSH: "The operator's new key: pulumi stack output sshPrivateKey --show-secrets",
    Kind.TLS: "Clients verify it by the same caCertificate as before.",
}


@dataclass(frozen=True)
class Rotation:
    """The `settings` that still have to be seen by an update each, in this order, all with the
    value `mark`. `resumed`: an earlier run began it."""

    kind: Kind
    mark: str
    settings: tuple[str, ...]
    resumed: bool


def plan(
    kind: Kind, configured: Mapping[str, str], reached: Mapping[str, str], now: datetime
) -> Rotation:
    """The unfinished rotation of `kind`, or else a new one. `configured` are the marks in the
    setting `rotations`, `reached` those in the output. Raises OperatorError when the clock is
    behind the last mark."""
    stages = _STAGES[kind]
    newest = max(configured.get(stage, "") for stage in stages)
    open_stages = tuple(
        stage
        for stage in stages
        if configured.get(stage, "") != newest or reached.get(stage, "") != newest
    )
    if newest and open_stages:
        return Rotation(kind, newest, open_stages, resumed=True)
    mark = now.astimezone(UTC).strftime(_MOMENT)
    if mark <= newest:
        raise OperatorError(
            f"This machine's clock says {mark}, but the last rotation was at {newest}.",
            NOTHING_CHANGED,
            next_command=f"timedatectl   (then python -m ops rotate {kind})",
        )
    return Rotation(kind, mark, stages, resumed=False)

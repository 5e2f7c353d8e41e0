"""Running a program of host/ on a machine, with its desired state on standard input."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_command import remote

from components.identities import Identity
from host.desired.files import Desired
from host.desired.names import OPERATOR
from host.payload import RUN, payload

SSH_PORT = 22
# The plugin waits at most 3 s between two tries: enough for a slow VM's first boot.
DIAL_ERROR_LIMIT = 200
PER_DIAL_TIMEOUT_S = 15


@dataclass(frozen=True)
class Endpoint:
    """Where a machine's sshd answers, with the one host key it may have."""

    address: pulumi.Input[str]
    host_key: pulumi.Input[str]


def connection(
    target: Endpoint, operator: Identity, jump: Endpoint | None = None
) -> remote.ConnectionArgs:
    """The operator's SSH connection to `target`, through `jump` if given."""
    proxy = (
        None if jump is None else remote.ProxyConnectionArgs(**_login(jump, operator))  # type: ignore[arg-type]
    )
    return remote.ConnectionArgs(**_login(target, operator), proxy=proxy)  # type: ignore[arg-type]


def _login(endpoint: Endpoint, operator: Identity) -> dict[str, Any]:
    return {
        "host": endpoint.address,
        "port": SSH_PORT,
        "user": OPERATOR,
        "private_key": operator.private,
        "host_key": endpoint.host_key,
        "dial_error_limit": DIAL_ERROR_LIMIT,
        "per_dial_timeout": PER_DIAL_TIMEOUT_S,
    }


def run_program(
    name: str,
    *,
    program: str,
    desired: pulumi.Input[Desired],
    over: remote.ConnectionArgs,
    machines: Sequence[pulumi.Input[str]],
    opts: pulumi.ResourceOptions,
) -> remote.Command:
    """Run `program` on create and whenever its source or `desired` changes.

    `machines` are VM ids: a replaced machine is configured from the start.
    """
    stdin = pulumi.Output.from_input(desired).apply(
        lambda state: payload(program, state.document())
    )
    return remote.Command(
        name,
        connection=over,
        create=RUN,
        update=RUN,
        stdin=pulumi.Output.secret(stdin),
        triggers=list(machines),
        # sshd would refuse the variables: they would need AcceptEnv.
        add_previous_output_in_env=False,
        opts=opts,
    )


def fact(command: remote.Command, name: str) -> pulumi.Output[str]:
    """One of the facts that a program found out on its machine; unknown in a preview."""
    return command.stdout.apply(lambda text: facts(text)[name])


def in_force(command: remote.Command) -> pulumi.Output[str]:
    """A digest of what the program brought about when it ran last; empty where it ran as a version
    that said none."""
    return command.stdout.apply(lambda text: facts(text).get("inForce", ""))


def facts(stdout: str) -> dict[str, str]:
    """What a program says at its end. Before it there may be what a login shell prints, such as a
    banner in .bashrc, and what the program said on its way."""
    return json.loads(stdout.strip().splitlines()[-1])["facts"]

"""Running a program of host/ on a machine, with its desired state on standard input."""

import asyncio
import json
import re
import time
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
# One try: how many there are is decided here, by what is waited for. The plugin counts tries, each
# of which may take no time or all of its own.
DIAL_ERROR_LIMIT = 0
PER_DIAL_TIMEOUT_S = 10
# The plugin's words for a connection that did not come about, and for a command that failed, which
# its output follows (pulumi-command, provider/pkg/provider/remote).
_UNREACHED = re.compile(r"after \d+ failed attempts: (.*)", re.DOTALL)
_RAN = 'running "'


@dataclass(frozen=True)
class Endpoint:
    """Where a machine's sshd answers, with the one host key it may have."""

    address: pulumi.Input[str]
    host_key: pulumi.Input[str]


@dataclass(frozen=True)
class Way:
    """The operator's way to the machine of this name."""

    machine: str
    connection: remote.ConnectionArgs


@dataclass(frozen=True)
class Patience:
    """How long a machine may be out of reach, and how long not to try again, in seconds. The engine
    lets a command be tried 100 times (pulumi/pkg, resource/deploy/retries.go)."""

    limit_s: float
    pause_s: float


FIRST_BOOT = Patience(1200, 15)
# Enough for the restart that a new VM size brings. A try takes at most 15 s more.
UP_BEFORE = Patience(80, 5)


def way(machine: str, target: Endpoint, operator: Identity, jump: Endpoint | None = None) -> Way:
    """The operator's SSH connection to `target`, through `jump` if given."""
    proxy = (
        None if jump is None else remote.ProxyConnectionArgs(**_login(jump, operator))  # type: ignore[arg-type]
    )
    return Way(machine, remote.ConnectionArgs(**_login(target, operator), proxy=proxy))  # type: ignore[arg-type]


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
    over: Way,
    machines: Sequence[pulumi.Input[str]],
    opts: pulumi.ResourceOptions,
    first_boot: bool = False,
) -> remote.Command:
    """Run `program` on create and whenever its source or `desired` changes.

    `machines` are VM ids: a replaced machine is configured from the start. With `first_boot` the
    program is the first one to run there, and on create the machine may still be booting.
    """
    stdin = pulumi.Output.from_input(desired).apply(
        lambda state: payload(program, state.document())
    )
    return remote.Command(
        name,
        connection=over.connection,
        create=RUN,
        update=RUN,
        stdin=pulumi.Output.secret(stdin),
        triggers=list(machines),
        # sshd would refuse the variables: they would need AcceptEnv.
        add_previous_output_in_env=False,
        opts=pulumi.ResourceOptions.merge(
            opts,
            pulumi.ResourceOptions(
                hooks=pulumi.ResourceHookBinding(
                    on_error=[_until_reached(name, over.machine, first_boot)]
                )
            ),
        ),
    )


def _until_reached(name: str, machine: str, first_boot: bool) -> pulumi.ErrorHook:
    """Has a command tried again until its machine is reached or patience ends."""
    failed_at: list[float] = []

    async def again(failure: pulumi.ErrorHookArgs) -> bool:
        reason = unreached(failure.errors[0])
        if reason is None:
            return False
        booting = first_boot and failure.failed_operation == "create"
        patience = FIRST_BOOT if booting else UP_BEFORE
        failed_at.append(time.monotonic())
        if failed_at[-1] - failed_at[0] >= patience.limit_s:
            raise ConnectionError(
                f"{machine} was not reached over SSH for {patience.limit_s:.0f} s: {reason}. "
                "This program was not run there. Type: python -m ops status, and see "
                "docs/runbooks/a-machine-does-not-answer.md; then: pulumi up"
            )
        await asyncio.sleep(patience.pause_s)
        return True

    return pulumi.ErrorHook(f"{name}-reached", again)


def unreached(error: str) -> str | None:
    """Why a command could not be begun; None where it was."""
    found = _UNREACHED.search(error.partition(_RAN)[0])
    return found[1].strip() if found else None


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

"""Pulumi for one stack, as the runbooks speak to it: its complaints say what to type next."""

import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from engine import binary
from engine.environment import Workspace, environment
from engine.errors import NoEngineError
from engine.pulumi import Pulumi
from ops.errors import NOTHING_CHANGED, OperatorError

PROJECT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 120
# Outputs are read at the start of a runbook, and again after it has changed something.
ONLY_READ = "Reading the outputs changed nothing."


def of(stack: str | None, base: Mapping[str, str] | None = None) -> Pulumi:
    """Pulumi for `stack`, or for the selected one; in a lab's environment where `stack` is one.
    `base`: the environment to start from, if it is not this process's own."""
    base = os.environ if base is None else base
    return Pulumi(PROJECT, lab_environment(stack, base) or dict(base), stack)


def answer(
    ask: Callable[[], subprocess.CompletedProcess[str]], stack: str | None, state: str
) -> str:
    """What pulumi prints. Raises OperatorError where it fails, with `state`: what was and was not
    changed then."""
    try:
        done = ask()
    except NoEngineError:
        raise OperatorError(
            "pulumi is not on PATH.",
            state,
            next_command="make shell   (for a lab), or install Pulumi and log in to your backend",
        ) from None
    except subprocess.TimeoutExpired as late:
        raise OperatorError(
            f"pulumi did not answer within {late.timeout:.0f} s.",
            state,
            next_command="pulumi stack output   (to see what it waits for)",
        ) from None
    if done.returncode != 0:
        raise explain(done.stderr, stack, state)
    return done.stdout


def outputs(stack: str | None, base: Mapping[str, str] | None = None) -> str:
    """The outputs of `stack`, or of the selected one, as JSON with secrets in clear. Raises
    OperatorError."""
    pulumi = of(stack, base)
    return answer(lambda: pulumi.outputs(TIMEOUT_S), stack, ONLY_READ)


def name(stack: str | None) -> str:
    """The name of `stack`, or of the selected one. Raises OperatorError."""
    if stack:
        return stack
    pulumi = of(None)
    return answer(lambda: pulumi.ask("stack", "--show-name"), None, NOTHING_CHANGED).strip()


def lab_environment(stack: str | None, base: Mapping[str, str]) -> dict[str, str] | None:
    """The environment of this checkout's lab, if `stack` is one and no backend is chosen yet."""
    name = stack or "lab"
    directory = PROJECT / ".lab"
    if base.get("PULUMI_BACKEND_URL") or not (directory / "stacks" / name).is_dir():
        return None
    programs = binary.available(PROJECT)
    if programs is None:
        return None
    return environment(Workspace(directory), programs, name, base)


def explain(stderr: str, stack: str | None, state: str) -> OperatorError:
    """What pulumi's complaint means for the operator. `state`: what was and was not changed."""
    text = stderr.strip()
    lower = text.lower()
    if "incorrect passphrase" in lower:
        return OperatorError(
            "The passphrase does not open this stack's secrets.",
            state,
            next_command="export PULUMI_CONFIG_PASSPHRASE_FILE=…   (or make shell, for a lab)",
        )
    if "passphrase must be set" in lower:
        return OperatorError(
            "The stack's secrets are encrypted with a passphrase and none was given.",
            state,
            next_command="export PULUMI_CONFIG_PASSPHRASE_FILE=…   (or make shell, for a lab)",
        )
    if "no stack named" in lower or "stack not found" in lower:
        return OperatorError(
            f"There is no stack named {stack or '(the selected one)'} in this backend.",
            state,
            next_command="pulumi stack ls   (make shell first, for a lab)",
        )
    if "no stack selected" in lower or "must supply" in lower:
        return OperatorError(
            "No stack is selected.",
            state,
            next_command="pulumi stack select NAME   (or add --stack NAME; make shell, for a lab)",
        )
    if "login" in lower or "access token" in lower:
        return OperatorError(
            "pulumi is not logged in to a backend.",
            state,
            next_command="pulumi login   (or make shell, for a lab)",
        )
    return OperatorError(
        f"pulumi gave no answer: {text}",
        state,
        next_command=f"pulumi stack output{f' --stack {stack}' if stack else ''}",
    )

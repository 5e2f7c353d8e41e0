"""The stack's outputs as typed values: the only thing the runbooks know of the program."""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic.alias_generators import to_camel

from engine import binary
from engine.environment import Workspace, environment
from ops.errors import OperatorError

PROJECT = Path(__file__).resolve().parents[2]
PULUMI_TIMEOUT_S = 120
# Outputs are read at the start of a runbook, and again after it has changed something.
ONLY_READ = "Reading the outputs changed nothing."


def _one_key(value: str) -> str:
    if len(value.split()) < 2 or not value.startswith(("ssh-", "ecdsa-")):
        raise ValueError("not a public key such as 'ssh-ed25519 AAAA…'")
    return value


class _Output(BaseModel):
    # Outputs may grow; a runbook older than the stack still works.
    model_config = ConfigDict(
        alias_generator=to_camel, validate_by_name=True, validate_by_alias=True, frozen=True
    )


class MachineOutputs(_Output):
    """One machine. `ssh_address` is the private one where it is reached through the other."""

    name: str
    private_address: str
    ssh_address: str
    ssh_port: int
    ssh_user: str
    host_key: Annotated[str, AfterValidator(_one_key)]
    vm_size: str
    data_disk_gb: int
    data_directory: str
    version: str


class BackupOutputs(_Output):
    server_name: str
    slot: str
    schedule: str
    retention: str
    durability: str
    copies_kept: int
    interval_hours: float


class DatabaseOutputs(_Output):
    owner: str
    uri: SecretStr


class StackOutputs(_Output):
    """Everything the runbooks read of a stack."""

    postgres: MachineOutputs
    barman: MachineOutputs
    backup: BackupOutputs
    databases: dict[str, DatabaseOutputs]
    ssh_private_key: SecretStr
    rotations: dict[str, str] = Field(default_factory=dict)

    @property
    def through_jump_host(self) -> bool:
        """Whether PostgreSQL's machine is reached through the Barman machine."""
        return self.barman.ssh_address != self.barman.private_address


def read(stack: str | None = None, base: Mapping[str, str] | None = None) -> StackOutputs:
    """The outputs of `stack`, or of the selected one. Raises OperatorError."""
    base = os.environ if base is None else base
    command = ["pulumi", "stack", "output", "--json", "--show-secrets", "--non-interactive"]
    if stack:
        command += ["--stack", stack]
    environ = lab_environment(stack, base) or dict(base)
    try:
        done = subprocess.run(
            command,
            cwd=PROJECT,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=PULUMI_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
        )
    except FileNotFoundError:
        raise OperatorError(
            "pulumi is not on PATH, so the stack's outputs cannot be read.",
            ONLY_READ,
            next_command="make shell   (for a lab), or install Pulumi and log in to your backend",
        ) from None
    except subprocess.TimeoutExpired:
        raise OperatorError(
            f"pulumi did not answer within {PULUMI_TIMEOUT_S} s.",
            ONLY_READ,
            next_command="pulumi stack output   (to see what it waits for)",
        ) from None
    if done.returncode != 0:
        raise explain(done.stderr, stack)
    return parse(done.stdout, stack)


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


def parse(text: str, stack: str | None = None) -> StackOutputs:
    """Outputs from the JSON that pulumi prints. Raises OperatorError."""
    option = f" --stack {stack}" if stack else ""
    raw = json.loads(text)
    if not raw:
        raise OperatorError(
            "The stack has no outputs: it was never brought up, or it was destroyed.",
            ONLY_READ,
            next_command=f"pulumi up{option}   (make up, for a lab)",
        )
    try:
        return StackOutputs.model_validate(raw)
    except ValidationError as error:
        # Locations and messages only: the values may be secrets.
        wrong = "; ".join(
            f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}"
            for item in error.errors(include_input=False, include_context=False)
        )
        raise OperatorError(
            f"The stack's outputs are not those of this version of the program: {wrong}.",
            ONLY_READ,
            next_command=f"pulumi up{option}   (make up, for a lab)",
        ) from None


def explain(stderr: str, stack: str | None) -> OperatorError:
    """What pulumi's complaint means for the operator."""
    text = stderr.strip()
    lower = text.lower()
    if "incorrect passphrase" in lower:
        return OperatorError(
            "The passphrase does not open this stack's secrets.",
            ONLY_READ,
            next_command="export PULUMI_CONFIG_PASSPHRASE_FILE=…   (or make shell, for a lab)",
        )
    if "passphrase must be set" in lower:
        return OperatorError(
            "The stack's secrets are encrypted with a passphrase and none was given.",
            ONLY_READ,
            next_command="export PULUMI_CONFIG_PASSPHRASE_FILE=…   (or make shell, for a lab)",
        )
    if "no stack named" in lower or "stack not found" in lower:
        return OperatorError(
            f"There is no stack named {stack or '(the selected one)'} in this backend.",
            ONLY_READ,
            next_command="pulumi stack ls   (make shell first, for a lab)",
        )
    if "no stack selected" in lower or "must supply" in lower:
        return OperatorError(
            "No stack is selected.",
            ONLY_READ,
            next_command="pulumi stack select NAME   (or add --stack NAME; make shell, for a lab)",
        )
    if "login" in lower or "access token" in lower:
        return OperatorError(
            "pulumi is not logged in to a backend.",
            ONLY_READ,
            next_command="pulumi login   (or make shell, for a lab)",
        )
    return OperatorError(
        f"pulumi could not read the stack's outputs: {text}",
        ONLY_READ,
        next_command=f"pulumi stack output{f' --stack {stack}' if stack else ''}",
    )

"""The stack's outputs as typed values: the only thing the runbooks know of the program."""

import json
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic.alias_generators import to_camel

from ops.errors import OperatorError
from ops.reach import engine


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
    fallback_after_seconds: float | None = None
    """None in a stack of before."""
    copies_kept: int
    interval_hours: float


class PoolerOutputs(_Output):
    port: int


class DatabaseOutputs(_Output):
    owner: str
    uri: SecretStr
    pooler_uri: SecretStr | None = None
    """Through the pooler; None in a stack without one."""


class StackOutputs(_Output):
    """Everything the runbooks read of a stack."""

    postgres: MachineOutputs
    barman: MachineOutputs
    backup: BackupOutputs
    pooler: PoolerOutputs | None = None
    """None in a stack without one."""
    databases: dict[str, DatabaseOutputs]
    ssh_private_key: SecretStr
    rotations: dict[str, str] = Field(default_factory=dict)
    in_force: dict[str, dict[str, str]] = Field(default_factory=dict)
    """Machine -> program -> digest of what it brought about. A stack of before has none."""

    @property
    def through_jump_host(self) -> bool:
        """Whether PostgreSQL's machine is reached through the Barman machine."""
        return self.barman.ssh_address != self.barman.private_address


def read(stack: str | None = None, base: Mapping[str, str] | None = None) -> StackOutputs:
    """The outputs of `stack`, or of the selected one. Raises OperatorError."""
    return parse(engine.outputs(stack, base), stack)


def parse(text: str, stack: str | None = None) -> StackOutputs:
    """Outputs from the JSON that pulumi prints. Raises OperatorError."""
    option = f" --stack {stack}" if stack else ""
    raw = json.loads(text)
    if not raw:
        raise OperatorError(
            "The stack has no outputs: it was never brought up, or it was destroyed.",
            engine.ONLY_READ,
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
            engine.ONLY_READ,
            next_command=f"pulumi up{option}   (make up, for a lab)",
        ) from None

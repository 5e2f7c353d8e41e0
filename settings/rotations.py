"""Which secrets were recreated, and when: the setting `rotations`.

A mark is a moment. The secret that belongs to it is made by the update that first sees the mark.
Pure.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

# As certificates.MOMENT writes it; nothing: never rotated.
Mark = Annotated[str, Field(pattern=r"^([0-9]{8}T[0-9]{6}Z)?$")]


class Rotations(BaseModel):
    """The newest rotation of each kind. `sshNext` is that of the operator's next key, which the
    machines let in beside the current one until `ssh` has the same mark."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    password: Mark = ""
    ssh: Mark = ""
    sshNext: Mark = ""
    tls: Mark = ""

    @model_validator(mode="after")
    def _in_order(self) -> "Rotations":
        if self.sshNext < self.ssh:
            raise ValueError(
                f"ssh {self.ssh} without the same sshNext: the machines never heard of that key. "
                "Rotate with: python -m ops rotate ssh"
            )
        return self

    @property
    def next_operator(self) -> str | None:
        """The mark of a key that is on its way in; None if there is none."""
        return self.sshNext if self.sshNext != self.ssh else None

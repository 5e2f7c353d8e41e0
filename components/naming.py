"""What the stack's resources are called in Azure, and the tags they bear."""

from dataclasses import dataclass
from typing import Literal

Role = Literal["postgres", "barman"]


@dataclass(frozen=True)
class Naming:
    """`project` and `stack` are Pulumi's."""

    project: str
    stack: str

    @property
    def prefix(self) -> str:
        """Begins the name of whatever belongs to no machine."""
        return f"{self.project}-{self.stack}"

    @property
    def authority(self) -> str:
        """The certificate authority's name."""
        return f"{self.project} {self.stack}"

    @property
    def tags(self) -> dict[str, str]:
        """Of whatever belongs to no machine."""
        return {"project": self.project, "stack": self.stack}

    def host(self, role: Role) -> str:
        """The name of the machine of this role, in Azure and in its own eyes."""
        return f"{role}-{self.stack}"

    def machine_tags(self, role: Role) -> dict[str, str]:
        """Of whatever belongs to the machine of this role."""
        return {**self.tags, "role": role}

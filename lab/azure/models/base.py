"""Strictness common to all property models: nothing unknown, nothing converted."""

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints

Name = Annotated[str, StringConstraints(min_length=1, max_length=80, pattern=r"^[\w.()-]+$")]
Text = Annotated[str, StringConstraints(min_length=1)]
Zone = Literal["1", "2", "3"]


class Strict(BaseModel):
    """A set of properties. `sdk` names the SDK's input type that must know every one of them."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    sdk: ClassVar[str]


class Resource(Strict):
    """Properties that every tracked resource has."""

    sdk: ClassVar[str] = ""

    resourceGroupName: Name
    location: Text | None = None
    tags: dict[str, str] | None = None

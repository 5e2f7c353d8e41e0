"""Properties of management locks."""

from typing import Annotated, ClassVar, Literal

from pydantic import StringConstraints

from lab.azure.models.base import Name, Strict, Text


class ManagementLockByScope(Strict):
    sdk: ClassVar[str] = "authorization.ManagementLockByScopeArgs"

    scope: Text
    lockName: Name
    level: Literal["CanNotDelete"]
    notes: Annotated[str, StringConstraints(max_length=512)] | None = None

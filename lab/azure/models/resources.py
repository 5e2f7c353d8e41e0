"""Properties of resource groups."""

from typing import ClassVar

from lab.azure.models.base import Name, Strict, Text


class ResourceGroup(Strict):
    sdk: ClassVar[str] = "resources.ResourceGroupArgs"

    resourceGroupName: Name
    location: Text
    tags: dict[str, str] | None = None

"""ARM resource ids: the one address that everything in Azure has."""

from dataclasses import dataclass

from lab.azure.errors import AzureError

# Every lab is the same subscription; the digits spell "lab".
SUBSCRIPTION = "00000000-0000-4000-8000-0000006c6162"


@dataclass(frozen=True)
class ArmId:
    """`type` is as in `Microsoft.Network/virtualNetworks/subnets`; `names` has one per level.

    A resource group has the type "" and no names. An extension, such as a lock, lies on the
    resource `scope`.
    """

    group: str
    type: str
    names: tuple[str, ...]
    scope: "ArmId | None" = None

    def __str__(self) -> str:
        group = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{self.group}"
        text = str(self.scope) if self.scope else group
        if not self.type:
            return text
        namespace, *levels = self.type.split("/")
        pairs = "/".join(f"{t}/{n}" for t, n in zip(levels, self.names, strict=True))
        return f"{text}/providers/{namespace}/{pairs}"

    @property
    def name(self) -> str:
        return self.names[-1] if self.names else self.group

    @property
    def full_type(self) -> str:
        """The type as Azure reports it."""
        return self.type or "Microsoft.Resources/resourceGroups"

    @property
    def key(self) -> str:
        """Ids compare without regard to case."""
        return str(self).lower()

    @property
    def parent(self) -> "ArmId":
        """The resource, or the group, that this one lies in."""
        if len(self.names) < 2:
            return ArmId(self.group, "", ())
        return ArmId(self.group, self.type.rsplit("/", 1)[0], self.names[:-1])

    @property
    def file_name(self) -> str:
        """A file name of its own for every id."""
        kind = self.full_type.rsplit("/", 1)[-1]
        on = (self.scope.full_type.rsplit("/", 1)[-1], *self.scope.names) if self.scope else ()
        return "~".join((kind, self.group, *on, *self.names)).lower() + ".json"


def parse(text: str) -> ArmId:
    """Read an id. Raises AzureError LinkedInvalidPropertyId for anything else."""
    found = _read(text)
    if found is None:
        raise AzureError(
            "LinkedInvalidPropertyId",
            f"Property id '{text}' is invalid. Expect fully qualified resource Id that start with "
            "'/subscriptions/{subscriptionId}' or '/providers/{resourceProviderNamespace}/'.",
        )
    return found


def _read(text: str) -> ArmId | None:
    on, separator, below = text.rpartition("/providers/")
    if not separator:
        return _group(text)
    under, (namespace, *pairs) = _read(on), below.split("/")
    if under is None or not pairs or len(pairs) % 2 or not all((namespace, *pairs)):
        return None
    type_, names = "/".join((namespace, *pairs[::2])), tuple(pairs[1::2])
    return ArmId(under.group, type_, names, under if under.type else None)


def _group(text: str) -> ArmId | None:
    parts = text.split("/")
    well_formed = len(parts) == 5 and not parts[0] and all(parts[1:])
    if well_formed and (parts[1].lower(), parts[3].lower()) == ("subscriptions", "resourcegroups"):
        return ArmId(parts[4], "", ())
    return None

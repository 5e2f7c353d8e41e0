"""Errors in Azure's own form: a code to look up and a message."""

from lab.rpc.provider import ProviderError


class AzureError(ProviderError):
    """A request that Azure Resource Manager would refuse."""

    def __init__(self, code: str, message: str, target: str | None = None) -> None:
        self.code = code
        self.message = message
        self.target = target
        where = f' Target="{target}"' if target else ""
        super().__init__(f'Code="{code}" Message="{message}"{where}')


def not_in_lab(what: str) -> AzureError:
    """Something that Azure can do and the lab cannot."""
    return AzureError("NotSupportedByLab", f"The lab cannot do this, though Azure can: {what}.")


def property_change(name: str) -> AzureError:
    return AzureError(
        "PropertyChangeNotAllowed", f"Changing property '{name}' is not allowed.", target=name
    )

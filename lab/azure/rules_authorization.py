"""What Azure refuses about management locks without looking further."""

from collections.abc import Iterator
from typing import Any

from lab.azure.arm_id import parse
from lab.azure.errors import AzureError
from lab.azure.validate import known
from lab.rpc.provider import Failure


def management_lock(p: dict[str, Any]) -> Iterator[Failure]:
    scope = known(p, "scope")
    if scope is None:
        return
    try:
        parse(scope)
    except AzureError as error:
        yield Failure("scope", str(error))

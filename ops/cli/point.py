"""The point to bring back, as options: listed here once for every command that takes them."""

from collections.abc import Callable
from functools import wraps
from inspect import Parameter, signature
from typing import Annotated, Any

import typer

from ops.archive import targets
from ops.archive.targets import Point


def _point(
    target_time: Annotated[
        str | None, typer.Option("--target-time", help="a moment, with its time zone")
    ] = None,
    target_xid: Annotated[str | None, typer.Option("--target-xid", help="a transaction id")] = None,
    target_lsn: Annotated[
        str | None, typer.Option("--target-lsn", help="a position in WAL, 0/3000028")
    ] = None,
    target_name: Annotated[
        str | None, typer.Option("--target-name", help="a restore point")
    ] = None,
    immediate: Annotated[
        bool, typer.Option("--immediate", help="the end of the backup itself")
    ] = False,
    exclusive: Annotated[
        bool, typer.Option("--exclusive", help="stop just before the target")
    ] = False,
    backup_id: Annotated[
        str | None, typer.Option("--backup-id", help="restore this backup")
    ] = None,
    timeline: Annotated[int | None, typer.Option("--timeline", help="follow this timeline")] = None,
) -> Point:
    target = targets.parse(
        time=target_time,
        xid=target_xid,
        lsn=target_lsn,
        name=target_name,
        immediate=immediate,
        exclusive=exclusive,
    )
    return Point(target, backup_id, timeline)


def takes_point(command: Callable[..., None]) -> Callable[..., None]:
    """`command` with the options above in place of its parameter `point`.

    typer reads a command's signature, so the options are put there.
    """
    options = signature(_point).parameters

    @wraps(command)
    def typed(**given: Any) -> None:
        point = _point(**{name: given.pop(name) for name in options})
        command(point=point, **given)

    own = signature(command)
    named = [*(p for name, p in own.parameters.items() if name != "point"), *options.values()]
    listed = [parameter.replace(kind=Parameter.KEYWORD_ONLY) for parameter in named]
    typed.__signature__ = own.replace(parameters=listed)  # pyright: ignore[reportAttributeAccessIssue]
    typed.__annotations__ = {parameter.name: parameter.annotation for parameter in listed}
    return typed

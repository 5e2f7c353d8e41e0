"""The options that several commands have."""

from typing import Annotated

import typer

Stack = Annotated[str | None, typer.Option("--stack", help="stack to work on; else the selected")]
Json = Annotated[bool, typer.Option("--json", help="the same as JSON (docs/ops-json.md)")]
Yes = Annotated[bool, typer.Option("--yes", help="do not ask")]
Resume = Annotated[bool, typer.Option("--resume", help="continue an interrupted run")]
Abort = Annotated[bool, typer.Option("--abort", help="undo an interrupted run")]

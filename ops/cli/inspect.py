"""Commands that look, and those that add a backup or a name: nothing here stops anything."""

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console

from host.domain.quoting import sql_literal
from ops.archive import backup as backups_
from ops.archive import catalogue, targets, verification, window
from ops.archive import snapshots as snapshots_
from ops.archive.catalogue import Catalogue
from ops.archive.verification import Verification
from ops.cli.common import answer, console, site_of
from ops.cli.options import Json, Stack
from ops.errors import NOTHING_CHANGED, OperatorError
from ops.reach import postgres
from ops.reach.ssh import Site
from ops.screen import span
from ops.watch import alerts as alerts_
from ops.watch import durability as durability_
from ops.watch import statements

app = typer.Typer()


@app.command()
def durability(stack: Stack = None, as_json: Json = False) -> None:
    """Do commits wait for Barman, and when did they not."""
    with site_of(stack) as site:
        found = durability_.read(site)
    answer(found, as_json, durability_.show)


@app.command()
def alerts(stack: Stack = None, as_json: Json = False) -> None:
    """What fires now, since when, which page to open. Exit code 0, 1 (warnings) or 2."""
    with site_of(stack) as site:
        found = alerts_.read(site)
    answer(found, as_json, alerts_.show)
    raise typer.Exit(found.exit_code)


@app.command()
def top(stack: Stack = None, as_json: Json = False) -> None:
    """The ten statements that PostgreSQL spends most of its time on."""
    with site_of(stack) as site:
        found = statements.read(site)
    answer(found, as_json, statements.show)


@app.command()
def backups(stack: Stack = None, as_json: Json = False) -> None:
    """Barman's backups, and which of them can be restored."""
    with site_of(stack) as site:
        found = window.backup_list(_store(site))
    answer(found, as_json, window.show_backups)


def _store(site: Site) -> Catalogue:
    """What Barman holds."""
    home, server = site.outputs.barman.data_directory, site.outputs.backup.server_name
    return catalogue.read(site.barman, home, server)


@app.command()
def verify(
    backup: Annotated[str | None, typer.Argument(help="its id; else the newest")] = None,
    stack: Stack = None,
    accept: Annotated[
        bool, typer.Option("--accept", help="allow a damaged one to be restored")
    ] = False,
    as_json: Json = False,
) -> None:
    """Read a backup and its WAL again: is it as PostgreSQL sent it? Exit code 0 or 1."""
    with site_of(stack) as site:
        if accept:
            if backup is None:
                raise OperatorError(
                    "Accept which backup?",
                    NOTHING_CHANGED,
                    next_command="python -m ops verify BACKUP --accept",
                )
            verification.accept(site, backup)
            console.print(
                f"Backup {backup} counts as complete until it is verified again.\n"
                f"Next: python -m ops recover --backup-id {backup}"
            )
            return
        found = verification.verify(site, backup)
    answer(found, as_json, _show_verification)
    raise typer.Exit(0 if found.ok else 1)


def _show_verification(found: Verification, console: Console) -> None:
    if found.ok:
        console.print(f"Backup {found.backup_id} is sound ({span(found.seconds)}).")
        return
    console.print(
        f"Backup {found.backup_id} is NOT sound: {found.error}\n"
        "Next: python -m ops backup --wait   (docs/runbooks/backup-is-damaged.md)",
        style="red",
        markup=False,
        highlight=False,
    )


@app.command("window")
def show_window(stack: Stack = None, as_json: Json = False) -> None:
    """What can be restored: the stretches of time, by timeline."""
    with site_of(stack) as site:
        found = window.window(_store(site), datetime.now(UTC))
    answer(found, as_json, window.show_window)


@app.command()
def backup(
    stack: Stack = None,
    wait: Annotated[bool, typer.Option("--wait", help="until it is DONE")] = False,
) -> None:
    """Take a full backup now."""
    with site_of(stack) as site:
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        if wait:
            taken = backups_.take(site, name, adopt=False, tick=lambda _: None)
            console.print(backups_.describe(taken))
        else:
            backups_.start(site.barman, site.outputs.backup.server_name, name)
            console.print("The backup runs on the Barman machine. Next: python -m ops backups")


@app.command()
def snapshot(stack: Stack = None) -> None:
    """Clone the data directory on its own disk, for recoveries that begin in seconds. No backup."""
    with site_of(stack) as site:
        console.print(f"{snapshots_.take(site.postgres)}", highlight=False)


@app.command()
def snapshots(
    stack: Stack = None,
    drop: Annotated[str | None, typer.Option("--drop", help="remove this one")] = None,
    as_json: Json = False,
) -> None:
    """The local snapshots, and which of them a recovery can begin with."""
    with site_of(stack) as site:
        if drop is not None:
            snapshots_.drop(site.postgres, drop)
            console.print(f"{drop} is gone.")
            return
        update = {"snapshots": snapshots_.read(site.postgres)}
        found = snapshots_.listed(_store(site).model_copy(update=update))
    answer(found, as_json, snapshots_.show)


@app.command()
def restore_point(name: str, stack: Stack = None) -> None:
    """Name this moment, to recover to with --target-name."""
    wanted = targets.parse(name=name).value
    with site_of(stack) as site:
        state, _, _ = postgres.state(site.postgres, site.outputs.backup.slot)
        postgres.require_running(state)
        sql = f"SELECT pg_create_restore_point({sql_literal(wanted)})"
        console.print(f"{wanted} is at {postgres.query(site.postgres, sql)}")

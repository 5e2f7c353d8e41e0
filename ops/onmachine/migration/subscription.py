# ruff: noqa: S608 - names and values are quoted by host/domain/quoting
"""The subscription by which changes of the source are followed."""

from host.domain.quoting import sql_literal
from ops.onmachine.migration import sessions
from ops.onmachine.migration.job import Job
from ops.onmachine.migration.sessions import NAME, PASSFILE, Server


def main(database: str) -> None:
    unsubscribe(sessions.here(database))


def subscribe(job: Job) -> None:
    """Follow from where the job's slot begins. The password is in its file, not in the catalogue,
    which every backup has. Raises sessions.Failed."""
    unsubscribe(job.here)
    conninfo = f"{job.source} passfile='{PASSFILE}'"
    job.here.ask(
        f"CREATE SUBSCRIPTION {NAME} CONNECTION {sql_literal(conninfo)} PUBLICATION {NAME} "
        f"WITH (create_slot = false, slot_name = {sql_literal(job.slot)}, "
        "copy_data = false, streaming = on)"
    )
    (job.folder / "timeline").write_text(job.here.ask(_TIMELINE))


# A server that was recovered is on another timeline, and may lack what it had confirmed to the
# source: that would never be sent again.
_TIMELINE = "SELECT timeline_id FROM pg_control_checkpoint()"


def recovered(job: Job) -> bool:
    """Whether this server was recovered since it began to follow. Raises sessions.Failed."""
    return job.here.ask(_TIMELINE) != kept_timeline(job)


def kept_timeline(job: Job) -> str:
    """The server's timeline when it began to follow."""
    return (job.folder / "timeline").read_text()


def unsubscribe(here: Server) -> None:
    """Remove the subscription, if it is there. Its slot at the source stays: whoever made it
    removes it."""
    found = here.ask(
        f"SELECT count(*) FROM pg_subscription WHERE subname = '{NAME}' AND subdbid = "
        "(SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    if found != "0":
        here.ask(f"ALTER SUBSCRIPTION {NAME} DISABLE")
        here.ask(f"ALTER SUBSCRIPTION {NAME} SET (slot_name = NONE)")
        here.ask(f"DROP SUBSCRIPTION {NAME}")

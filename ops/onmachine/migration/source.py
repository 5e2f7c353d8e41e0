"""What a move changes at its source, and takes back: a publication, a slot, and in the end who may
write there."""

from pathlib import Path
from typing import Any

from ops.onmachine.migration import closing, followed, sessions, slot, subscription, way_back
from ops.onmachine.migration.job import Job
from ops.onmachine.migration.sessions import NAME, WRITE


def main(action: str, documents: list[dict[str, Any]]) -> None:
    """What becomes of the source of these jobs (Job's documents): `reopen` its databases, `leave`
    them as they were, `detach`, which leaves them closed, or `open` them when writes are back."""
    sessions.report(lambda: _act(action, [Job(**each) for each in documents]))


def _act(action: str, jobs: list[Job]) -> dict[str, Any]:
    for job in jobs:
        if action == "detach":
            subscription.unsubscribe(job.here)
        else:
            reopen(job)
        if action in ("reopen", "leave"):
            # Of a cutover that was to keep one.
            way_back.remove(job)
        if action in ("detach", "leave"):
            leave(job)
    return {}


def publish(job: Job) -> None:
    """A publication of the tables whose changes are followed. Raises Failed."""
    create = f"CREATE PUBLICATION {NAME}{sessions.for_tables(followed.publish(job))};"
    job.there.ask(f"{WRITE}DROP PUBLICATION IF EXISTS {NAME};\n{create}")


def leave(job: Job) -> None:
    """No publication and no slot of ours. Raises Failed."""
    slot.drop(job.door, job.slot)
    job.there.ask(f"{WRITE}DROP PUBLICATION IF EXISTS {NAME};")


def _before(job: Job) -> Path:
    """Who may connect to the database as long as nobody may."""
    return job.folder / "open"


def close(job: Job) -> None:
    """Nobody but us connects, and whoever does reads only. Raises Failed."""
    closing.close(job.door, job.database, _before(job))


def reopen(job: Job) -> None:
    """As it was before close, where that has been. Raises Failed."""
    closing.reopen(job.door, job.database, _before(job))

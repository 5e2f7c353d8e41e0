"""What a move changes at its source, and takes back: a publication, a slot, and in the end who may
write there."""

import json
from pathlib import Path
from typing import Any

from ops.onmachine.migration import closing, slot, subscription, way_back
from ops.onmachine.migration.job import Job
from ops.onmachine.migration.sessions import NAME, WRITE, Failed


def main(action: str, documents: list[dict[str, Any]]) -> None:
    """What becomes of the source of these jobs (Job's documents): `reopen` its databases, `leave`
    them as they were, `detach`, which leaves them closed, or `open` them when writes are back."""
    try:
        for job in (Job(**each) for each in documents):
            if action == "detach":
                subscription.unsubscribe(job.here)
            else:
                reopen(job)
            if action in ("reopen", "leave"):
                # Of a cutover that was to keep one.
                way_back.remove(job)
            if action in ("detach", "leave"):
                leave(job)
        print(json.dumps({}))
    except Failed as failed:
        print(json.dumps({"failed": str(failed)}))


def publish(job: Job) -> None:
    """A publication of the tables whose changes are followed. Raises Failed."""
    listed = f" FOR TABLE ONLY {', ONLY '.join(job.publish)}" if job.publish else ""
    job.there.ask(f"{WRITE}DROP PUBLICATION IF EXISTS {NAME};\nCREATE PUBLICATION {NAME}{listed};")


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

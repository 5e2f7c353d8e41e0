"""What `rotate --json` says: the rotation, and what was found to be true after it."""

from pydantic import BaseModel, ConfigDict

from ops.model import Verdict
from ops.rotate.plan import CHANGES, Kind, Rotation


class RotationReport(BaseModel):
    """Secrets of one kind, recreated or, with --dry-run, about to be."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    kind: Kind
    mark: str
    """The rotation's moment, as the setting `rotations` has it."""
    resumed: bool
    """Whether an earlier run began it."""
    changes: list[str]
    """What it changes, and for whom; a sentence each."""
    done: bool
    """False with --dry-run: nothing was changed."""
    proofs: list[str]
    """What was tried afterwards and is so; empty with --dry-run."""
    verdict: Verdict | None
    """The pair's state afterwards, as in `ops status`; null with --dry-run."""


def planned(rotation: Rotation) -> RotationReport:
    """The report of a rotation before it begins."""
    return RotationReport(
        kind=rotation.kind,
        mark=rotation.mark,
        resumed=rotation.resumed,
        changes=list(CHANGES[rotation.kind]),
        done=False,
        proofs=[],
        verdict=None,
    )


def finished(rotation: Rotation, proofs: list[str], verdict: Verdict) -> RotationReport:
    """The report of a rotation that reached both machines."""
    return planned(rotation).model_copy(update={"done": True, "proofs": proofs, "verdict": verdict})

"""What may become of the availability zone of resources that exist, judged before anything is
touched.

The program knows only the desired zone; the engine hands both to a hook, in a preview too.
"""

from collections.abc import Sequence

import pulumi


def refusal(old: Sequence[str], new: Sequence[str]) -> str | None:
    """Why what is in the zones `old` (none: Azure chose) cannot be in `new`, in the operator's
    words; None if nothing moves."""
    if list(old) == list(new):
        return None
    where = f"in zone {', '.join(old)}" if old else "in no zone"
    back = f"pulumi config set zone {old[0]}" if old else "pulumi config rm zone"
    return (
        f"zone: this stack was made {where}, and Azure moves neither machines nor disks nor "
        f"addresses. Nothing was changed. Type: {back}   (another zone is another stack)"
    )


def hook(name: str) -> pulumi.ResourceHook:
    """Refuses another zone for whatever has one."""

    def judge(change: pulumi.ResourceHookArgs) -> None:
        old, new = change.old_inputs or {}, change.new_inputs or {}
        if reason := refusal(old.get("zones") or [], new.get("zones") or []):
            raise ValueError(reason)

    return pulumi.ResourceHook(name, judge, pulumi.ResourceHookOptions(on_dry_run=True))

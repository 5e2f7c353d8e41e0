"""What Azure allows of a changed disk size, judged before anything is touched.

The program knows only the desired size; the engine hands both sizes to a hook, in a preview too.
"""

import pulumi

# Azure extends a disk online, but not across this size: the VM must be deallocated for that
# (docs/azure-assumptions.md).
ONLINE_LIMIT_GIB = 4095


def refusal(old_gib: int, new_gib: int, setting: str) -> str | None:
    """Why the disk cannot become `new_gib` large, in the operator's words; None if it can."""
    if new_gib >= old_gib:
        return None
    return (
        f"{setting} = {new_gib}: the disk has {old_gib} GiB, and a disk cannot shrink. "
        f"Nothing was changed. Type: pulumi config set {setting} {old_gib}"
    )


def warning(old_gib: int, new_gib: int, setting: str, vm: str) -> str | None:
    """What has to be done by hand, None if nothing: `vm` is the machine's name."""
    if not old_gib <= ONLINE_LIMIT_GIB < new_gib:
        return None
    return (
        f"{setting}: Azure does not grow a disk beyond {ONLINE_LIMIT_GIB} GiB while its VM runs. "
        f"The machine stops for some minutes. Type, with RESOURCE_GROUP filled in: "
        f"az vm deallocate -g RESOURCE_GROUP -n {vm} && "
        f"az disk update -g RESOURCE_GROUP -n {vm}-data --size-gb {new_gib} && "
        f"az vm start -g RESOURCE_GROUP -n {vm}   then: pulumi up"
    )


def hook(name: str, vm: str, setting: str) -> pulumi.ResourceHook:
    """Refuses a smaller size of a Disk and says when a larger one needs a stop."""

    def judge(change: pulumi.ResourceHookArgs) -> None:
        old = int((change.old_inputs or {})["diskSizeGB"])
        new = int((change.new_inputs or {})["diskSizeGB"])
        if reason := refusal(old, new, setting):
            raise ValueError(reason)
        if advice := warning(old, new, setting, vm):
            pulumi.log.warn(advice)

    return pulumi.ResourceHook(name, judge, pulumi.ResourceHookOptions(on_dry_run=True))

"""What Azure allows of a changed disk size, judged before anything is touched.

The program knows only the desired size; the engine hands both sizes to a hook, in a preview too.
"""

import pulumi

from components.vm_change import Vm

# Azure extends a disk online, but not across this size: the VM must be deallocated for that
# (docs/azure-assumptions.md).
ONLINE_LIMIT_GIB = 4095


def refusal(old_gib: int, new_gib: int, setting: str, vm: Vm) -> str | None:
    """Why the data disk of `vm` cannot become `new_gib` large, in the operator's words; None if it
    can."""
    if new_gib < old_gib:
        return (
            f"{setting} = {new_gib}: the disk has {old_gib} GiB, and a disk cannot shrink. "
            f"Nothing was changed. Type: pulumi config set {setting} {old_gib}"
        )
    if not old_gib <= ONLINE_LIMIT_GIB < new_gib:
        return None
    by_hand = vm.deallocated(f"az disk update {vm.named}-data --size-gb {new_gib}")
    return (
        f"{setting} = {new_gib}: Azure does not grow a disk beyond {ONLINE_LIMIT_GIB} GiB while "
        f"its VM runs; the machine stops for some minutes. Nothing was changed. Type: {by_hand}"
    )


def hook(name: str, vm_name: str, setting: str) -> pulumi.ResourceHook:
    """Refuses a size that the Disk of a running VM cannot have."""

    def judge(change: pulumi.ResourceHookArgs) -> None:
        old, new = change.old_inputs or {}, change.new_inputs or {}
        # Of what exists: in a preview the new one may be unknown.
        vm = Vm(old["resourceGroupName"], vm_name)
        if reason := refusal(int(old["diskSizeGB"]), int(new["diskSizeGB"]), setting, vm):
            raise ValueError(reason)

    return pulumi.ResourceHook(name, judge, pulumi.ResourceHookOptions(on_dry_run=True))

"""What Azure allows of a changed VM, judged before anything is touched.

The program knows only the desired VM; the engine hands both to a hook, in a preview too.
"""

from dataclasses import dataclass
from typing import Any

import pulumi

from settings.vm_sizes import VM_SIZES


@dataclass(frozen=True)
class Vm:
    """An existing VM, and where to find it."""

    resource_group: str
    name: str

    @property
    def named(self) -> str:
        """The options by which az finds it."""
        return f"-g {self.resource_group} -n {self.name}"

    def deallocated(self, *commands: str) -> str:
        """What to type for `commands` to run while the VM is deallocated, and for Pulumi to know
        of it afterwards."""
        steps = [f"az vm deallocate {self.named}", *commands, f"az vm start {self.named}"]
        return f"{' && '.join(steps)}   then: pulumi refresh && pulumi up"


def resize_refusal(old: str, new: str, setting: str) -> str | None:
    """Why a VM of size `old` cannot become one of size `new`, in the operator's words; None if it
    can."""
    before, after = VM_SIZES[old], VM_SIZES[new]
    if before.temporary_disk == after.temporary_disk:
        return None
    instead = f", or {before.successor}" if before.successor else ""
    return (
        f"{setting} = {new}: Azure does not resize a machine with a temporary disk to a size "
        f"without one, nor the other way round, and only one of {old} and {new} has one. The "
        f"machine was not changed. Type: pulumi config set {setting} {old}{instead}"
    )


def resize_warning(new: str, setting: str, vm: Vm) -> str:
    """What a resize does, and what to type where Azure does not do it by itself."""
    by_hand = vm.deallocated(
        # The page of each v5 size says that it is required.
        f"az network nic update {vm.named}-nic --accelerated-networking true",
        f"az vm resize {vm.named} --size {new}",
    )
    return (
        f"{setting}: {vm.name} restarts for {new}. For a size that az vm list-vm-resize-options "
        f"{vm.named} -o table does not list it must be deallocated, for some minutes; then type, "
        f"instead of pulumi up: {by_hand}"
    )


def encryption_refusal(encrypted: bool, vm: Vm) -> str:
    """Why encryption at host cannot become `encrypted` here, and how it can."""
    value = str(encrypted).lower()
    by_hand = vm.deallocated(
        f"az vm update {vm.named} --set securityProfile.encryptionAtHost={value}"
    )
    return (
        f"encryptionAtHost = {value}: Azure changes it only while {vm.name} is deallocated, for "
        f"some minutes. The machine was not changed. Type: {by_hand}"
    )


def hook(name: str, size_setting: str) -> pulumi.ResourceHook:
    """Refuses what Azure would refuse of a VirtualMachine that runs, and says what a new size
    does."""

    def judge(change: pulumi.ResourceHookArgs) -> None:
        old, new = change.old_inputs or {}, change.new_inputs or {}
        # Of what exists: in a preview the new ones may be unknown.
        vm = Vm(old["resourceGroupName"], old["vmName"])
        if _encrypted(old) != _encrypted(new):
            raise ValueError(encryption_refusal(_encrypted(new), vm))
        before, after = (inputs["hardwareProfile"]["vmSize"] for inputs in (old, new))
        if before == after:
            return
        if reason := resize_refusal(before, after, size_setting):
            raise ValueError(reason)
        pulumi.log.warn(resize_warning(after, size_setting, vm))

    return pulumi.ResourceHook(name, judge, pulumi.ResourceHookOptions(on_dry_run=True))


def _encrypted(inputs: Any) -> bool:
    return bool((inputs.get("securityProfile") or {}).get("encryptionAtHost"))

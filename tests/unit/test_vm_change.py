"""What is said of a changed VM before anything is touched."""

from typing import Any

import pulumi
import pytest

from components import vm_change
from components.vm_change import Vm, resize_refusal, resize_warning

VM = Vm("group", "postgres-dev")


@pytest.mark.parametrize(
    ("old", "new", "refused"),
    [
        ("Standard_DS3_v2", "Standard_DS4_v2", False),
        ("Standard_DS3_v2", "Standard_D4ds_v5", False),
        ("Standard_D2s_v5", "Standard_D4s_v5", False),
        ("Standard_DS3_v2", "Standard_D4s_v5", True),
        ("Standard_D4s_v5", "Standard_D4ds_v5", True),
    ],
)
def test_a_size_with_a_temporary_disk_and_one_without_do_not_replace_each_other(
    old: str, new: str, refused: bool
) -> None:
    message = resize_refusal(old, new, "postgresVmSize")
    assert (message is not None) is refused
    if message:
        assert f"pulumi config set postgresVmSize {old}" in message


def test_the_size_that_can_be_had_instead_is_named() -> None:
    message = resize_refusal("Standard_DS3_v2", "Standard_D4s_v5", "postgresVmSize")
    assert message and message.endswith("Standard_DS3_v2, or Standard_D4ds_v5")


def test_a_resize_is_told_with_the_commands_that_do_it_on_other_hardware() -> None:
    message = resize_warning("Standard_D4ds_v5", "postgresVmSize", VM)
    assert "az vm list-vm-resize-options -g group -n postgres-dev" in message
    assert (
        "az vm deallocate -g group -n postgres-dev && "
        "az network nic update -g group -n postgres-dev-nic --accelerated-networking true && "
        "az vm resize -g group -n postgres-dev --size Standard_D4ds_v5 && "
        "az vm start -g group -n postgres-dev   then: pulumi refresh && pulumi up"
    ) in message


def inputs(size: str = "Standard_DS3_v2", **more: Any) -> dict[str, Any]:
    where = {"resourceGroupName": "group", "vmName": "postgres-dev"}
    return {**where, "hardwareProfile": {"vmSize": size}, **more}


def judge(old: dict[str, Any], new: dict[str, Any]) -> None:
    hook = vm_change.hook("a-name", "postgresVmSize")
    hook.callback(
        pulumi.ResourceHookArgs("urn", "id", "name", "type", new_inputs=new, old_inputs=old)
    )


@pytest.mark.parametrize("wanted", ["true", "false"])
def test_encryption_at_host_changes_only_with_the_machine_off(wanted: str) -> None:
    states = [inputs(), inputs(securityProfile={"encryptionAtHost": True})]
    old, new = states if wanted == "true" else states[::-1]
    with pytest.raises(ValueError, match="az vm deallocate") as refusal:
        judge(old, new)
    assert f"--set securityProfile.encryptionAtHost={wanted} &&" in str(refusal.value)
    # Where the resource group changes too, its name is unknown in a preview.
    judge(new, {**new, "resourceGroupName": None})


def test_a_resize_that_azure_does_not_do_is_refused() -> None:
    with pytest.raises(ValueError, match="temporary disk"):
        judge(inputs(), inputs("Standard_D4s_v5"))


def test_a_resize_that_azure_does_is_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", said.append)
    judge(inputs(), inputs())
    judge(inputs(), inputs("Standard_DS4_v2"))
    (warning,) = said
    assert "postgres-dev restarts for Standard_DS4_v2" in warning

"""What is said of a changed disk size before anything is touched."""

import pytest

from components.disk_size import refusal
from components.vm_change import Vm

VM = Vm("group", "barman-dev")


def test_a_smaller_disk_is_refused_with_the_command_that_takes_it_back() -> None:
    message = refusal(1100, 1000, "postgresDiskGb", VM)
    assert message is not None
    assert "1100 GiB" in message and "cannot shrink" in message
    assert message.endswith("pulumi config set postgresDiskGb 1100")


@pytest.mark.parametrize(("old", "new"), [(1100, 1100), (1100, 1101), (4096, 32767)])
def test_the_same_size_and_a_larger_one_are_not(old: int, new: int) -> None:
    assert refusal(old, new, "postgresDiskGb", VM) is None


@pytest.mark.parametrize(
    ("old", "new", "refused"),
    [(1100, 4095, False), (1100, 4096, True), (4095, 4096, True), (4096, 8192, False)],
)
def test_four_tebibytes_are_passed_with_the_machine_off(old: int, new: int, refused: bool) -> None:
    message = refusal(old, new, "barmanDiskGb", VM)
    assert (message is not None) is refused
    if message:
        assert (
            "az vm deallocate -g group -n barman-dev && "
            f"az disk update -g group -n barman-dev-data --size-gb {new} && "
            "az vm start -g group -n barman-dev   then: pulumi refresh && pulumi up"
        ) in message

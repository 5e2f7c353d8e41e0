"""What is said of a changed disk size before anything is touched."""

import pytest

from components.disk_size import refusal, warning


def test_a_smaller_disk_is_refused_with_the_command_that_takes_it_back() -> None:
    message = refusal(1100, 1000, "postgresDiskGb")
    assert message is not None
    assert "1100 GiB" in message and "cannot shrink" in message
    assert message.endswith("pulumi config set postgresDiskGb 1100")


@pytest.mark.parametrize("new", [1100, 1101, 32767])
def test_the_same_size_and_a_larger_one_are_not(new: int) -> None:
    assert refusal(1100, new, "postgresDiskGb") is None


@pytest.mark.parametrize(
    ("old", "new", "warned"),
    [(1100, 4095, False), (1100, 4096, True), (4095, 4096, True), (4096, 8192, False)],
)
def test_four_tebibytes_are_passed_with_the_machine_off(old: int, new: int, warned: bool) -> None:
    message = warning(old, new, "barmanDiskGb", "barman-dev")
    assert (message is not None) is warned
    if message:
        assert "az vm deallocate" in message and f"--size-gb {new}" in message

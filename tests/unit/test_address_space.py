"""What is said of another vnetCidr before anything is touched."""

from ipaddress import IPv4Network

import pytest

from components.address_space import refusal

OLD = IPv4Network("10.20.0.0/16")


@pytest.mark.parametrize("new", ["10.40.0.0/16", "10.0.0.0/8", "10.20.0.0/24"])
def test_other_addresses_are_refused_with_the_command_that_takes_them_back(new: str) -> None:
    message = refusal(OLD, IPv4Network(new))
    assert message is not None
    assert f"vnetCidr = {new}" in message and "were not changed" in message
    assert "pulumi config set vnetCidr 10.20.0.0/16" in message


@pytest.mark.parametrize("new", ["10.20.0.0/16", "10.20.0.0/15", "10.20.0.0/20"])
def test_a_network_that_leaves_every_machine_where_it_is_is_not(new: str) -> None:
    assert refusal(OLD, IPv4Network(new)) is None

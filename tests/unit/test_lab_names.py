"""Names of a lab: stable, its own, and short enough for the kernel."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.names import INTERFACE_NAME_MAX, Lab, bridge, digest, port

names = st.text(st.characters(codec="ascii", categories=["Ll", "Nd"]), min_size=1, max_size=60)


def test_a_lab_lies_below_its_root_and_names_itself_after_the_place() -> None:
    lab = Lab.of(Path("/checkout/.lab"), "dev")
    assert lab.directory == Path("/checkout/.lab/stacks/dev")
    assert lab.short == "lab7b53ca"
    assert lab.uplink == "lab7b53ca-up"
    assert lab.namespace_of("postgres") == "lab7b53ca-postgres"


@pytest.mark.parametrize("stack", ["", "..", "../other", ".hidden", "a/b"])
def test_a_stack_name_cannot_leave_the_root(stack: str) -> None:
    with pytest.raises(ValueError, match="stack"):
        Lab.of(Path("/checkout/.lab"), stack)


@given(names, names)
def test_two_stacks_never_share_a_name(one: str, other: str) -> None:
    root = Path("/checkout/.lab")
    assert (Lab.of(root, one).short == Lab.of(root, other).short) == (one == other)


@given(names, names, st.integers(0, 7))
def test_interface_names_fit_the_kernel(network: str, machine: str, index: int) -> None:
    lab = Lab.of(Path("/") / machine, network)
    for name in (lab.uplink, bridge(f"{network}/{machine}"), port(machine, index)):
        assert len(name) <= INTERFACE_NAME_MAX
        assert name.replace("-", "").isalnum()


def test_digest_keeps_its_parts_apart() -> None:
    assert digest("a", "bc") != digest("ab", "c")
    assert len(digest("a", length=10)) == 10

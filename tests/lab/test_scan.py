"""Who reaches what, seen as a port scanner sees it: from every kind of place, on real packets."""

import json
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import pytest

from lab.machines import machine
from lab.net import client
from tests.support.stack import Stack

pytestmark = pytest.mark.network

POSTGRES, BARMAN = "10.20.0.4", "10.20.1.4"
VNET = "postgres-barman-lab-vnet"
# Place -> (address of the scanner, the subnet it sits in, whether it is on the Internet).
PLACES = {
    "an application in clientCidrs": ("10.30.0.12/24", None, False),
    "a peered network that nobody named": ("10.77.0.9/24", None, False),
    "another machine of the virtual network": ("10.20.7.9/24", None, False),
    "a neighbour of PostgreSQL": ("10.20.0.9/24", f"{VNET}/postgres", False),
    "a neighbour of Barman": ("10.20.1.9/24", f"{VNET}/barman", False),
    "the Internet": ("203.0.113.9/32", None, True),
    "adminCidrs": ("198.19.0.9/32", None, True),
}
# The whole truth: what is not here must be shut. "public" is the Barman machine's public address.
OPEN: dict[str, set[tuple[str, int]]] = {
    "an application in clientCidrs": {(POSTGRES, 5432)},
    "adminCidrs": {("public", 22)},
    # SSH for restores and as jump host, SQL for backups, the exporters for Prometheus.
    "Barman": {(POSTGRES, 22), (POSTGRES, 5432), (POSTGRES, 9100), (POSTGRES, 9187)},
    "PostgreSQL": {(BARMAN, 22)},
}
# Besides every port that something listens on: what scanners try first.
WELL_KNOWN = (
    *(21, 23, 25, 53, 80, 110, 111, 135, 139, 143, 389, 443, 445, 465, 514, 587, 631, 636, 873),
    *(993, 995, 1433, 1521, 2049, 2375, 2376, 3000, 3306, 3389, 4369, 5000, 5433, 5601, 5672, 5900),
    *(5985, 6379, 6443, 8000, 8008, 8080, 8086, 8443, 8888, 9000, 9090, 9093, 9200, 10250, 11211),
)

# One connection attempt to every target at once: a dropped packet is only known by waiting for it.
SCAN = """
    import asyncio, json, sys

    async def reaches(host, port):
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), 3)
        except (OSError, asyncio.TimeoutError):
            return False
        writer.close()
        return True

    async def main():
        targets = json.load(sys.stdin)
        answers = await asyncio.gather(*(reaches(*target) for target in targets))
        print(json.dumps([target for target, open in zip(targets, answers) if open]))

    asyncio.run(main())
"""


@pytest.fixture(scope="module")
def targets(stack: Stack) -> list[tuple[str, int]]:
    """(host, port) of everything worth a try."""
    listening = {
        int(address.rpartition(":")[2])
        for name in ("postgres-lab", "barman-lab")
        for address in stack.on(name, "ss -Htln | awk '{print $4}'").split()
    }
    # Else the scan would look past what is there.
    assert {22, 5432, 9100, 9187} <= listening
    hosts = (POSTGRES, BARMAN, stack.outputs["barman"]["sshAddress"])
    return [(host, port) for host in hosts for port in sorted(listening | set(WELL_KNOWN))]


def named(stack: Stack, found: str) -> set[tuple[str, int]]:
    public = stack.outputs["barman"]["sshAddress"]
    return {("public" if host == public else host, port) for host, port in json.loads(found)}


@pytest.fixture(scope="module")
def found(stack: Stack, targets: list[tuple[str, int]]) -> dict[str, set[tuple[str, int]]]:
    """What a scanner finds open, by the place where it stands; all scan at the same time."""
    scanners = {}
    try:
        for number, (place, (address, subnet, internet)) in enumerate(PLACES.items()):
            scanner = client.attach(
                stack.lab, f"scanner{number}", address, subnet, internet=internet
            )
            scanners[place] = scanner
        program = [sys.executable, "-c", textwrap.dedent(SCAN)]
        with ThreadPoolExecutor(len(scanners)) as pool:
            scans = {
                place: pool.submit(scanner.run, program, stdin=json.dumps(targets))
                for place, scanner in scanners.items()
            }
            return {place: named(stack, scan.result().stdout) for place, scan in scans.items()}
    finally:
        for scanner in scanners.values():
            scanner.detach()


@pytest.mark.parametrize("place", PLACES)
def test_a_scan_from_outside_finds_only_what_is_meant(
    found: dict[str, set[tuple[str, int]]], place: str
) -> None:
    assert found[place] == OPEN.get(place, set())


@pytest.mark.parametrize(
    ("place", "name", "own"),
    [("Barman", "barman-lab", BARMAN), ("PostgreSQL", "postgres-lab", POSTGRES)],
)
def test_a_scan_from_one_machine_finds_only_what_is_meant_on_the_other(
    stack: Stack, targets: list[tuple[str, int]], place: str, name: str, own: str
) -> None:
    others = [(host, port) for host, port in targets if host in {POSTGRES, BARMAN} - {own}]
    program = ["python3", "-c", textwrap.dedent(SCAN)]
    found = machine.execute(stack.lab, name, program, stdin=json.dumps(others)).stdout
    assert named(stack, found) == OPEN[place]

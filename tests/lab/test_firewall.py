"""The kernel's firewall and Azure's reading of the rules agree, on real packets."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest

from lab.names import Lab
from lab.net import client, fabric
from lab.net.client import Client
from lab.net.firewall import allows
from lab.net.topology import Access, Direction, Nic, SecurityRule, Subnet, Topology, VirtualNetwork

pytestmark = [
    pytest.mark.network,
    pytest.mark.skipif(
        os.geteuid() != 0 or not shutil.which("nft"), reason="needs root and nftables"
    ),
]

ANY = ("*",)
PORTS = (22, 5432, 8080)
VNET = "10.66.0.0/16"
DATABASE, BACKUP = "v/database", "v/backup"
ADDRESSES = {
    "database": "10.66.0.4",
    "neighbour": "10.66.0.5",
    "backup": "10.66.1.4",
    "peer": "10.77.0.9",
    "stranger": "203.0.113.9",
    "admin": "203.0.113.7",
}
SUBNETS = {"database": DATABASE, "neighbour": DATABASE, "backup": BACKUP}


def rule(
    name: str,
    priority: int,
    access: Access,
    sources: tuple[str, ...],
    ports: tuple[str, ...],
    direction: Direction = "Inbound",
    destinations: tuple[str, ...] = ANY,
) -> SecurityRule:
    return SecurityRule(name, priority, direction, access, "Tcp", sources, ANY, destinations, ports)


DATABASE_RULES = (
    rule("ssh-from-backup", 100, "Allow", ("10.66.1.0/24",), ("22",)),
    rule("postgres", 110, "Allow", ("10.66.1.0/24", "10.77.0.0/24"), ("5432",)),
    rule("no-vnet", 4000, "Deny", ("VirtualNetwork",), ANY),
    rule("no-web-to-backup", 200, "Deny", ANY, ("8000-9000",), "Outbound", ("10.66.1.4",)),
)
BACKUP_RULES = (
    rule("ssh-from-admin", 100, "Allow", ("203.0.113.7/32",), ("22",)),
    rule("no-ssh-from-neighbour", 105, "Deny", ("10.66.0.5",), ("22",)),
    rule("web-from-internet", 300, "Allow", ("Internet",), ("8080",)),
)
RULES = {"database": DATABASE_RULES, "neighbour": DATABASE_RULES, "backup": BACKUP_RULES}

LISTEN = """
    import socket, sys, time
    listeners = []
    for port in map(int, sys.argv[1:]):
        listener = socket.create_server(("0.0.0.0", port), backlog=64)
        listeners.append(listener)
    print("listening", flush=True)
    time.sleep(120)
"""

# All targets at once: a dropped packet is only known by waiting for it.
CONNECT = """
    import asyncio, json, sys

    async def reaches(host, port):
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), 0.7)
        except (OSError, asyncio.TimeoutError):
            return False
        writer.close()
        return True

    async def main():
        targets = json.loads(sys.argv[1])
        print(json.dumps(await asyncio.gather(*(reaches(*target) for target in targets))))

    asyncio.run(main())
"""


@dataclass(frozen=True)
class Network:
    lab: Lab
    topology: Topology
    public: str
    clients: dict[str, Client]

    def reach(self, source: str, targets: list[tuple[str, int]]) -> list[bool]:
        program = [sys.executable, "-c", textwrap.dedent(CONNECT), json.dumps(targets)]
        return json.loads(self.clients[source].run(program).stdout)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    lab = Lab.of(tmp_path_factory.mktemp("root"), "firewall")
    public = fabric.internet(lab).first_public
    topology = Topology(
        networks=(VirtualNetwork("v", (VNET,)),),
        subnets=(
            Subnet("database", "v", "10.66.0.0/24", DATABASE_RULES, None, False),
            Subnet("backup", "v", "10.66.1.0/24", BACKUP_RULES, public, False),
        ),
        nics=(Nic("backup", BACKUP, ADDRESSES["backup"], "02:00:00:00:00:01", public),),
    )
    servers = []
    try:
        fabric.apply(lab, topology)
        clients = {
            name: client.attach(lab, name, f"{address}/24", SUBNETS[name])
            if name in SUBNETS
            else client.attach(lab, name, f"{address}/32", internet=name != "peer")
            for name, address in ADDRESSES.items()
        }
        program = [sys.executable, "-c", textwrap.dedent(LISTEN), *map(str, PORTS)]
        servers = [clients[name].start(program) for name in ("database", "neighbour", "backup")]
        outside = clients["stranger"].start(program)
        servers.append(outside)
        for server in servers:
            assert server.stdout is not None
            assert server.stdout.readline() == "listening\n"
        yield Network(lab, topology, public, clients)
    finally:
        for server in servers:
            server.kill()
            server.communicate()
        fabric.remove(lab)
    assert not Path("/run/netns", lab.short).exists()
    assert not list(Path("/run/netns").glob(f"{lab.short}-*"))
    assert not Path("/sys/class/net", lab.uplink).exists()


def expected(source: str, target: str, port: int) -> bool:
    """What Azure would say: outbound rules of the source, then inbound rules of the target."""
    prefixes = (VNET, f"{ADDRESSES['peer']}/32")
    pair = ADDRESSES[source], ADDRESSES[target]
    out = source not in RULES or allows(RULES[source], "Outbound", "Tcp", *pair, port, prefixes)
    return out and allows(RULES[target], "Inbound", "Tcp", *pair, port, prefixes)


@pytest.mark.parametrize("source", ["database", "neighbour", "backup", "peer"])
def test_inside_and_peered(network: Network, source: str) -> None:
    cases = [(t, p) for t, p in product(RULES, PORTS) if t != source]
    reached = network.reach(source, [(ADDRESSES[target], port) for target, port in cases])
    wanted = [expected(source, target, port) for target, port in cases]
    assert dict(zip(cases, reached, strict=True)) == dict(zip(cases, wanted, strict=True))


@pytest.mark.parametrize("source", ["admin", "stranger"])
def test_from_the_internet(network: Network, source: str) -> None:
    reached = network.reach(source, [(network.public, port) for port in PORTS])
    assert reached == [expected(source, "backup", port) for port in PORTS]
    private = [(ADDRESSES[target], port) for target, port in product(RULES, PORTS)]
    assert not any(network.reach(source, private)), "private addresses are not on the Internet"


def test_way_out(network: Network) -> None:
    """Only the subnet with a NAT gateway gets out, and it does so under the gateway's address."""
    stranger = [(ADDRESSES["stranger"], 22)]
    assert network.reach("backup", stranger) == [True]
    assert network.reach("database", stranger) == [False]
    assert network.reach("peer", stranger) == [False]


def test_changes_keep_connections(network: Network) -> None:
    """A connection made before `apply` goes on after it, even if it would no longer be allowed."""
    program = """
        import socket, sys
        with socket.create_connection((sys.argv[1], 5432), 2) as connection:
            print("connected", flush=True)
            sys.stdin.readline()
            connection.sendall(b"still here")
            connection.settimeout(0.5)
            try:
                connection.recv(1)
            except TimeoutError:
                pass
            with open("/proc/net/tcp") as table:
                # remote port 5432, ESTABLISHED, nothing waiting to be acknowledged
                print(any(":1538 01 00000000:" in line for line in table))
    """
    held = network.clients["backup"].start(
        [sys.executable, "-c", textwrap.dedent(program), ADDRESSES["database"]]
    )
    assert held.stdout is not None
    assert held.stdout.readline() == "connected\n"
    closed = Topology(
        network.topology.networks,
        tuple(
            Subnet(s.name, s.vnet, s.prefix, (rule("no", 100, "Deny", ANY, ANY),), None, False)
            for s in network.topology.subnets
        ),
    )
    try:
        fabric.apply(network.lab, closed)
        assert network.reach("backup", [(ADDRESSES["database"], 5432)]) == [False]
        said, _ = held.communicate("go on\n", timeout=10)
        assert said == "True\n"
    finally:
        held.kill()
        fabric.apply(network.lab, network.topology)

"""The least network rules for two machines: who may open a connection to whom. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from host.domain import pooler as pgbouncer
from host.monitoring.services import PORTS
from settings.addresses import AddressPlan
from settings.alerting import Receiver

POSTGRES_PORT = "5432"
SSH_PORT = "22"
NODE_EXPORTER_PORT = str(PORTS["node"])
POSTGRES_EXPORTER_PORT = str(PORTS["postgres"])
POOLER_PORT = str(pgbouncer.PORT)
POOLER_EXPORTER_PORT = str(PORTS["pgbouncer"])
# Azure's built-in AllowVnetInBound (65000) would let the whole virtual network in; an own rule
# of the lowest precedence shuts it out.
DENY_PRIORITY = 4096
# The host below every VM: Azure's resolver, and where the VM agent reports. The tag VirtualNetwork
# includes it (docs/azure-assumptions.md).
PLATFORM = "168.63.129.16/32"
PLATFORM_PRIORITY = 4095
# The first of those who take alerts; the rules for the pair stay below.
RECEIVERS_PRIORITY = 1000


@dataclass(frozen=True)
class Rule:
    """One rule of a network security group; addresses are CIDRs, service tags or "*"."""

    name: str
    priority: int
    direction: Literal["Inbound", "Outbound"]
    access: Literal["Allow", "Deny"]
    protocol: Literal["Tcp", "*"]
    sources: tuple[str, ...]
    destination: str
    port: str
    description: str


def postgres_rules(
    plan: AddressPlan, clients: Sequence[str], admins: Sequence[str], *, pooler: bool
) -> tuple[Rule, ...]:
    """`admins` are networks that reach this machine's SSH directly: none behind a jump host.
    `pooler`: whether there is one."""
    postgres, barman = f"{plan.postgres_address}/32", f"{plan.barman_address}/32"
    pooled, watching = (clients, [barman]) if pooler else ((), ())
    return (
        *_allow_in("AllowClients", 100, clients, postgres, POSTGRES_PORT, "Applications"),
        *_allow_in("AllowBarman", 110, [barman], postgres, POSTGRES_PORT, "Streaming and backup"),
        *_allow_in("AllowBarmanSsh", 120, [barman], postgres, SSH_PORT, "Recovery, jump host"),
        *_allow_in("AllowAdminSsh", 130, admins, postgres, SSH_PORT, "Operators"),
        *_allow_in("AllowNodeMetrics", 140, [barman], postgres, NODE_EXPORTER_PORT, "Prometheus"),
        *_allow_in("AllowDbMetrics", 150, [barman], postgres, POSTGRES_EXPORTER_PORT, "Prometheus"),
        *_allow_in("AllowPooler", 160, pooled, postgres, POOLER_PORT, "Applications, by PgBouncer"),
        *_allow_in(
            "AllowPoolerMetrics", 170, watching, postgres, POOLER_EXPORTER_PORT, "Prometheus"
        ),
        _deny_in(),
        _allow_out("ToBarmanSsh", 100, postgres, barman, SSH_PORT, "Fetching WAL in recovery"),
        _to_platform(postgres),
        _deny_out(),
    )


def barman_rules(
    plan: AddressPlan, admins: Sequence[str], receivers: Sequence[Receiver], *, pooler: bool
) -> tuple[Rule, ...]:
    """`admins` are the networks that operators come from, `receivers` those who take alerts inside
    the virtual network or one joined to it. `pooler`: whether PostgreSQL's machine has one."""
    postgres, barman = f"{plan.postgres_address}/32", f"{plan.barman_address}/32"
    return (
        *_allow_in("AllowAdminSsh", 100, admins, barman, SSH_PORT, "Operators"),
        *_allow_in("AllowPostgresSsh", 110, [postgres], barman, SSH_PORT, "Fetching WAL"),
        _deny_in(),
        _allow_out("ToPostgres", 100, barman, postgres, POSTGRES_PORT, "Streaming and backup"),
        _allow_out("ToPostgresSsh", 110, barman, postgres, SSH_PORT, "Recovery, jump host"),
        _allow_out("ToNodeMetrics", 120, barman, postgres, NODE_EXPORTER_PORT, "Prometheus"),
        _allow_out("ToDbMetrics", 130, barman, postgres, POSTGRES_EXPORTER_PORT, "Prometheus"),
        *(
            [
                _allow_out(
                    "ToPoolerMetrics", 140, barman, postgres, POOLER_EXPORTER_PORT, "Prometheus"
                )
            ]
            if pooler
            else []
        ),
        *(
            _allow_out(
                f"To{one.name}", priority, barman, f"{one.address}/32", str(one.port), "Alerts"
            )
            for priority, one in enumerate(receivers, RECEIVERS_PRIORITY)
        ),
        _to_platform(barman),
        _deny_out(),
    )


def _allow_in(
    name: str, priority: int, sources: Sequence[str], destination: str, port: str, why: str
) -> tuple[Rule, ...]:
    """No rule at all when there is nobody to allow: Azure refuses one without a source."""
    if not sources:
        return ()
    return (
        Rule(name, priority, "Inbound", "Allow", "Tcp", tuple(sources), destination, port, why),
    )


def _allow_out(
    name: str, priority: int, source: str, destination: str, port: str, why: str
) -> Rule:
    return Rule(name, priority, "Outbound", "Allow", "Tcp", (source,), destination, port, why)


def _to_platform(source: str) -> Rule:
    return Rule(
        *("ToAzurePlatform", PLATFORM_PRIORITY, "Outbound", "Allow", "*", (source,)),
        *(PLATFORM, "*", "DNS and the VM agent"),
    )


def _deny_in() -> Rule:
    return Rule(
        "DenyAllElse", DENY_PRIORITY, "Inbound", "Deny", "*", ("*",), "*", "*", "Nothing else"
    )


def _deny_out() -> Rule:
    return Rule(
        *("DenyVnetElse", DENY_PRIORITY, "Outbound", "Deny", "*", ("*",)),
        *("VirtualNetwork", "*", "Nothing else inside; packages come from outside"),
    )

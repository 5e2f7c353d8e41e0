"""The host's side of a lab's network: one veth, one route, one NAT table, and IP forwarding, which
is switched off again by the last lab if the first one had to switch it on."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.names import Lab
from lab.shell import LabError, run

_NAMESPACES = Path("/run/netns")
_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
# Forgotten by a reboot, as are the settings it keeps track of.
_SHARED = Path("/run/postgres-barman-labs")
_RESOLVERS = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))


def connect(lab: Lab, uplink: str, prefix: str, host_address: str) -> None:
    """Make the lab's namespace and its veth pair to this host (`uplink` inside). Idempotent."""
    if not (_NAMESPACES / lab.short).exists():
        run(["ip", "netns", "add", lab.short])
    _require_bridge_filter()
    run(["sh", "-ec", _INSIDE], namespace=lab.short)
    if not _exists(lab.uplink):
        run(["ip", "link", "add", lab.uplink, "type", "veth", "peer", uplink, "netns", lab.short])
    fabric_address = host_address.rpartition(".")[0] + ".2"
    # Addresses nobody has would otherwise travel between host and lab until they expire.
    inside = (
        f"link set lo up\n"
        f"address replace {fabric_address} peer {host_address} dev {uplink}\n"
        f"link set {uplink} up\n"
        f"route replace default via {host_address} dev {uplink}\n"
        f"route replace blackhole {prefix}\n"
    )
    outside = (
        f"address replace {host_address} peer {fabric_address} dev {lab.uplink}\n"
        f"link set {lab.uplink} up\n"
        f"route replace {prefix} via {fabric_address} dev {lab.uplink}\n"
    )
    run(["ip", "-n", lab.short, "-batch", "-"], stdin=inside)
    run(["ip", "-batch", "-"], stdin=outside)
    run(["nft", "-f", "-"], stdin=_nat(lab, prefix))
    _pass_other_firewalls(lab, insert=True)
    with _shared() as users:
        if not any(users.iterdir()):
            (users.parent / "ip_forward").write_text(_FORWARD.read_text())
        (users / lab.short).touch()
        _FORWARD.write_text("1")


def disconnect(lab: Lab) -> None:
    """Undo `connect`, together with every namespace named after the lab. Idempotent."""
    for namespace in [*_NAMESPACES.glob(f"{lab.short}-*"), _NAMESPACES / lab.short]:
        if namespace.exists():
            run(["ip", "netns", "delete", namespace.name])
    # The kernel removes it with the namespace of its other end, but at its own time.
    run(["ip", "link", "delete", lab.uplink], check=False)
    run(["nft", "delete", "table", "ip", lab.short], check=False)
    _pass_other_firewalls(lab, insert=False)
    with _shared() as users:
        if (users / lab.short).exists():
            (users / lab.short).unlink()
            if not any(users.iterdir()):
                _FORWARD.write_text((users.parent / "ip_forward").read_text())


def addresses() -> set[str]:
    """Every IPv4 address of this host."""
    links = json.loads(run(["ip", "-4", "-json", "address"]).stdout)
    return {address["local"] for link in links for address in link.get("addr_info", [])}


def resolver() -> str | None:
    """A nameserver of this host that can be reached from outside its loopback; None if none can."""
    for file in _RESOLVERS:
        lines = file.read_text().splitlines() if file.exists() else []
        for words in map(str.split, lines):
            named = words[1] if words[:1] == ["nameserver"] and len(words) > 1 else ""
            if "." in named and ":" not in named and not named.startswith("127."):
                return named
    return None


# Traffic within a subnet must pass the firewall too; nothing here speaks IPv6.
_INSIDE = """
echo 1 > /proc/sys/net/bridge/bridge-nf-call-iptables
echo 1 > /proc/sys/net/bridge/bridge-nf-call-ip6tables
echo 1 > /proc/sys/net/ipv4/ip_forward
echo 0 > /proc/sys/net/ipv4/conf/all/rp_filter
echo 0 > /proc/sys/net/ipv4/conf/default/rp_filter
echo 0 > /proc/sys/net/ipv4/conf/all/send_redirects
echo 0 > /proc/sys/net/ipv4/conf/default/send_redirects
if [ -e /proc/sys/net/ipv6/conf/default/disable_ipv6 ]; then
    echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6
fi
"""


def _nat(lab: Lab, prefix: str) -> str:
    return f"""table ip {lab.short}
delete table ip {lab.short}
table ip {lab.short} {{
\tchain postrouting {{
\t\ttype nat hook postrouting priority srcnat;
\t\tip saddr {prefix} oifname != "{lab.uplink}" masquerade
\t}}
}}
"""


def _pass_other_firewalls(lab: Lab, insert: bool) -> None:
    """Docker and others let nothing be forwarded by default: except this lab, while it is up."""
    if not shutil.which("iptables"):
        return
    rules = run(["iptables", "-S", "FORWARD"], check=False).stdout.splitlines()
    for direction in ("-i", "-o"):
        rule = ["FORWARD", direction, lab.uplink, "-j", "ACCEPT"]
        present = " ".join(["-A", *rule]) in rules
        if insert and not present and "-P FORWARD DROP" in rules:
            run(["iptables", "-I", *rule])
        if present and not insert:
            run(["iptables", "-D", *rule])


def _require_bridge_filter() -> None:
    if not Path("/proc/sys/net/bridge").exists():
        run(["modprobe", "br_netfilter"], check=False)
    if not Path("/proc/sys/net/bridge").exists():
        raise LabError(
            "this kernel has no br_netfilter, without which security groups would not hold inside "
            "a subnet. Run: modprobe br_netfilter"
        )


def _exists(link: str) -> bool:
    return Path("/sys/class/net", link).exists()


@contextmanager
def _shared() -> Iterator[Path]:
    """The directory with one file per lab that is up on this host, locked."""
    users = _SHARED / "up"
    users.mkdir(parents=True, exist_ok=True)
    with (_SHARED / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield users

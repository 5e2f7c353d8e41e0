"""Whether alerts would reach somebody: the settings of their delivery. Pure."""

from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address
from urllib.parse import urlsplit

ADDRESS_OR_NONE = r"^([^@\s,<>]+@[^@\s,<>]+)?$"
HOST_OR_NONE = r"^[A-Za-z0-9.-]*$"
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Receiver:
    """One that takes alerts at a private address; `name` is what it is for, in CamelCase."""

    name: str
    address: IPv4Address
    port: int


def check_url(url: str) -> str:
    """The URL, or "" for none. Raises ValueError, which never quotes it: it may hold a key."""
    if not url:
        return url
    try:
        parts = urlsplit(url)
        scheme, host, _ = parts.scheme, parts.hostname, parts.port
    except ValueError:
        scheme, host = "", None
    if not host or scheme not in ("http", "https") or not url.isprintable() or " " in url:
        raise ValueError("not a URL such as https://example.org/path")
    if scheme == "http" and not _is_private(host):
        raise ValueError("http:// would send it in clear over the Internet; use https://")
    return url


def private_receivers(smtp: tuple[str, int], webhook: str, dead_man: str) -> list[Receiver]:
    """Those that are named by a private address: network rules must let alerts through to them.

    `smtp` is the mail server's host and port; any host, and the valid URLs, may be "". Names are
    left out, because only the machine's resolver knows what they stand for.
    """
    found = [("MailRelay", *smtp)]
    for name, url in (("AlertWebhook", webhook), ("DeadMan", dead_man)):
        parts = urlsplit(url)
        found.append((name, parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)))
    return [
        Receiver(name, address, port)
        for name, host, port in found
        if (address := _private_address(host))
    ]


def _private_address(host: str) -> IPv4Address | None:
    """What lies in a virtual network or one joined to it; the machine itself needs no rule."""
    try:
        address = IPv4Address(host)
    except ValueError:
        return None
    return address if address.is_private and not address.is_loopback else None


def _is_private(host: str) -> bool:
    try:
        return ip_address(host).is_private
    except ValueError:
        return False


def check_mail(email: str, host: str, sender: str, user: str, password: str) -> None:
    """Raises ValueError, naming the key to set, when mail could not be sent as configured."""
    if email and not host:
        raise ValueError(
            "alertEmail: set, but smtpHost is not; name the mail server that takes the alerts"
        )
    if email and not sender:
        raise ValueError("alertEmail: set, but smtpFrom is not; name the sender of the alerts")
    if not email and (host or sender or user):
        raise ValueError(
            "smtpHost, smtpFrom or smtpUser: set, but alertEmail is not; who is notified?"
        )
    if bool(user) != bool(password):
        raise ValueError(
            "smtpUser and smtpPassword: one is set without the other; "
            "pulumi config set --secret smtpPassword"
        )


def undelivered(email: str, webhook: str, dead_man: str) -> list[str]:
    """What nobody would hear of, a sentence each."""
    if not (email or webhook or dead_man):
        return [
            "Nobody will be notified when backups fail or a machine stops: set alertEmail (with "
            "smtpHost and smtpFrom) or alertWebhook, and deadManUrl (docs/monitoring.md)."
        ]
    warnings = []
    if not (email or webhook):
        warnings.append("Alerts fire and nobody gets them: set alertEmail or alertWebhook.")
    if not dead_man:
        warnings.append(
            "deadManUrl is not set: nobody will be notified when monitoring itself, or the Barman "
            "machine with it, is dead."
        )
    return warnings

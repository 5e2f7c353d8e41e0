"""The operating system images on offer, and the PostgreSQL each of them brings."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Image:
    """A marketplace image; `postgres_version` is the major version its distribution ships."""

    publisher: str
    offer: str
    sku: str
    postgres_version: str


IMAGES: dict[str, Image] = {
    "debian-13": Image("Debian", "debian-13", "13-gen2", postgres_version="17"),
    # Not for data you want to keep: what comes next, to test against before it comes.
    "debian-testing": Image("Debian", "debian-14-daily", "14-gen2", postgres_version="18"),
}

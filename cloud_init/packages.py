"""Which packages of the distribution each role needs from its first boot on."""

# logrotate and openssh-client are merely recommended by what needs them, and recommended packages
# stay out.
COMMON = (
    *("azure-vm-utils", "chrony", "cron", "logrotate", "openssh-client"),
    *("rsync", "unattended-upgrades"),
)


def postgres(version: str) -> tuple[str, ...]:
    """`barman-cli` brings barman-wal-restore, which fetches the last, partial segment."""
    return (f"postgresql-{version}", "barman-cli")


def barman(version: str) -> tuple[str, ...]:
    """The client's pg_receivewal and pg_basebackup must not be older than the server.

    The two Python modules are what Barman compresses WAL with when asked for zstd or lz4.
    """
    return (
        "barman",
        "barman-cli",
        f"postgresql-client-{version}",
        "python3-lz4",
        "python3-zstandard",
    )

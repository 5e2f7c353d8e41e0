"""Which packages of the distribution each role needs."""

# logrotate and openssh-client are merely recommended by what needs them, and recommended packages
# stay out.
_COMMON = (
    "apparmor",
    "azure-vm-utils",
    "chrony",
    "cron",
    "logrotate",
    "openssh-client",
    "rsync",
    "unattended-upgrades",
    "xfsprogs",
    # Base backups are packed with it.
    "zstd",
)


def postgres(version: str) -> tuple[str, ...]:
    """`barman-cli` brings barman-wal-restore, which fetches the last, partial segment."""
    return (*_COMMON, f"postgresql-{version}", "barman-cli")


def barman(version: str) -> tuple[str, ...]:
    """The client's pg_receivewal and pg_basebackup must not be older than the server.

    The server's programs verify backups and start them for drills; no cluster is made of them. The
    two Python modules are what Barman compresses WAL with when asked for zstd or lz4.
    """
    return (
        *_COMMON,
        "barman",
        "barman-cli",
        f"postgresql-{version}",
        f"postgresql-client-{version}",
        "python3-lz4",
        "python3-zstandard",
    )

"""PostgreSQL's parameters: derived from the machine, and which of them an operator may override.

Everything the backup depends on is owned by the program. Pure.
"""

from collections.abc import Mapping

from settings.vm_sizes import VmSize

Parameter = str | int | float | bool

_GIB_IN_MB = 1024
# Loaded with whatever the operator has loaded.
LIBRARIES = ("pg_stat_statements",)
_LOADED = "shared_preload_libraries"
# superuser_reserved_connections.
_SUPERUSERS = 3

# Overriding one of these would silently end streaming, recovery or access control.
OWNED = frozenset(
    {
        "archive_command",
        "archive_library",
        "archive_mode",
        "config_file",
        "data_directory",
        "fsync",
        "full_page_writes",
        "hba_file",
        "ident_file",
        "include",
        "include_dir",
        "include_if_exists",
        "listen_addresses",
        "max_replication_slots",
        "max_wal_senders",
        "password_encryption",
        "port",
        "recovery_target_timeline",
        "restore_command",
        "ssl",
        "ssl_cert_file",
        "ssl_key_file",
        "ssl_min_protocol_version",
        "synchronous_standby_names",
        "unix_socket_directories",
    }
)
# Of what backups depend on, the values that they can do with.
CHOICES: dict[str, tuple[Parameter, ...]] = {"wal_level": ("replica", "logical")}


def check_overrides(overrides: Mapping[str, Parameter]) -> None:
    """Raises ValueError for a parameter the program owns or a name or value that is none."""
    for name, value in overrides.items():
        if name.lower() in OWNED:
            raise ValueError(
                f"postgresParameters.{name}: backups depend on it, so the program sets it itself"
            )
        if name in CHOICES and value not in CHOICES[name]:
            raise ValueError(
                f"postgresParameters.{name}: backups depend on it; one of "
                f"{', '.join(map(str, CHOICES[name]))}"
            )
        if not name.replace("_", "").replace(".", "").isalnum() or name != name.lower():
            raise ValueError(f"postgresParameters.{name}: not the name of a parameter")
        if isinstance(value, str) and not value.isprintable():
            raise ValueError(f"postgresParameters.{name}: has characters that cannot be printed")


def derive(size: VmSize, disk_gib: int) -> dict[str, Parameter]:
    """postgresql.conf for a machine of `size` that runs nothing but PostgreSQL, data on `disk_gib`.

    Memory: a quarter for shared_buffers and three quarters assumed cached, the rule of
    PostgreSQL's own documentation; work_mem so that all connections sorting twice stay within a
    quarter. WAL: checkpoints spread over 15 minutes and up to 2 % of the disk. Slot: Barman may
    be away until a fifth of the disk is filled with WAL; then the slot is invalidated and the
    database lives (the default has no limit and fills the disk). TCP: an idle client whose machine
    is gone is noticed within a minute, not after two hours. Connections: Barman takes up to four,
    the exporters and a runbook some more; those of the superuser are beside them. Statistics of
    statements leave out utility statements, for one of those can hold a password.
    """
    memory_mb = size.memory_gib * _GIB_IN_MB
    disk_mb = disk_gib * _GIB_IN_MB
    max_connections = 50 * size.vcpus
    return {
        "max_connections": max_connections,
        "reserved_connections": 8,
        "shared_buffers": f"{memory_mb // 4}MB",
        "effective_cache_size": f"{memory_mb * 3 // 4}MB",
        "maintenance_work_mem": f"{min(memory_mb // 16, 2048)}MB",
        "work_mem": f"{max(4, memory_mb // 4 // (max_connections * 2))}MB",
        "max_worker_processes": max(8, size.vcpus),
        "max_parallel_workers": size.vcpus,
        "max_parallel_workers_per_gather": max(1, size.vcpus // 2),
        "random_page_cost": 1.1,
        "effective_io_concurrency": 200,
        "checkpoint_timeout": "15min",
        "min_wal_size": f"{min(1024, max(80, disk_mb // 100))}MB",
        "max_wal_size": f"{min(16384, max(256, disk_mb // 50))}MB",
        "wal_compression": "lz4",
        "wal_level": "replica",
        "max_wal_senders": 10,
        "max_replication_slots": 10,
        "max_slot_wal_keep_size": f"{disk_mb // 5}MB",
        "tcp_keepalives_idle": 30,
        "tcp_keepalives_interval": 10,
        "tcp_keepalives_count": 3,
        "password_encryption": "scram-sha-256",
        "log_checkpoints": True,
        "log_connections": True,
        "log_disconnections": True,
        "log_lock_waits": True,
        "log_autovacuum_min_duration": "10s",
        "track_commit_timestamp": True,
        "pg_stat_statements.track_utility": False,
        "timezone": "Etc/UTC",
        "log_timezone": "Etc/UTC",
    }


def chosen(overrides: Mapping[str, Parameter]) -> dict[str, Parameter]:
    """The operator's parameters; their libraries come after the program's."""
    theirs = str(overrides.get(_LOADED, "")).split(",")
    names = dict.fromkeys(name.strip() for name in (*LIBRARIES, *theirs))
    return {**overrides, _LOADED: ",".join(name for name in names if name)}


def pool_size(parameters: Mapping[str, Parameter], databases: int) -> int:
    """How many connections the pooler takes for each of so many databases: in all of them half of
    those that applications can have, so that as many are left to whoever comes without it. Raises
    ValueError where that is none."""
    names = ("max_connections", "reserved_connections")
    try:
        connections, reserved = (int(parameters[name]) for name in names)
    except ValueError:
        raise ValueError(f"postgresParameters: {' and '.join(names)} are whole numbers") from None
    size = (connections - reserved - _SUPERUSERS) // 2 // databases
    if size < 1:
        raise ValueError(
            f"pooler: {connections} connections (max_connections) are too few to share half of "
            f"them between {databases} databases; set postgresParameters.max_connections to "
            f"{2 * databases + reserved + _SUPERUSERS} or more"
        )
    return size


def encryption(server_file: str) -> dict[str, Parameter]:
    """TLS on network connections, by the key and the certificate that are both in `server_file`."""
    return {
        "ssl": True,
        "ssl_cert_file": server_file,
        "ssl_key_file": server_file,
        "ssl_min_protocol_version": "TLSv1.2",
    }

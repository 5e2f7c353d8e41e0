"""What a copy can reach, and the settings under which it replays. Pure."""

from collections.abc import Iterable, Mapping

from host.domain.control_data import minimums
from host.domain.quoting import conf_value
from host.restored_copy.copy import SUPERUSER, Copy

# The first version of PostgreSQL that has the setting event_triggers.
EVENT_TRIGGERS_SINCE = 17
# The first version of systemd that has the property PrivatePIDs.
PRIVATE_PIDS_SINCE = 257
# Properties of the unit of a copy that everything else on the machine comes before.
BESIDE = {"CPUWeight": "1", "IOWeight": "1"}
# Sixteen segments of the default size.
WAL_KEPT = "256MB"
# By which a copy reaches nobody, waits for nobody, and logs where and in the language in which that
# is read.
ALONE = {
    "listen_addresses": "",
    "external_pid_file": "",
    "archive_library": "",
    "synchronous_standby_names": "",
    "max_logical_replication_workers": "0",
    "autovacuum": "off",
    # What Barman lacks of the timeline that begins must not be removed before Barman has it.
    "wal_keep_size": WAL_KEPT,
    "logging_collector": "off",
    "log_destination": "stderr",
    "lc_messages": "C",
}
# What must hold besides, whatever the files of the copy say. No connection while it replays
# (hot_standby): so it insists on no setting that its primary had, and nobody reads the past.
REPLAYING = {
    "unix_socket_permissions": "0700",
    "hot_standby": "off",
    "archive_mode": "off",
    "archive_cleanup_command": "",
    "recovery_end_command": "",
    "primary_conninfo": "",
    "shared_preload_libraries": "",
    "session_preload_libraries": "",
    "local_preload_libraries": "",
    "jit": "off",
    "ssl": "off",
    # Or one that has logical slots, as an old data directory may, does not start.
    "wal_level": "logical",
}


def properties(copy: Copy, locations: Iterable[str], systemd: int) -> dict[str, str]:
    """Properties of the copy's unit (systemd.exec(5)) for that version of systemd. Of the data disk
    it sees its own folder, and at the `locations` of tablespaces its own directories; nothing else
    can be written, and there is no network, no process but its own, nor the socket of another
    server, whose user it has."""
    own_processes = {"PrivatePIDs": "yes"} if systemd >= PRIVATE_PIDS_SINCE else {}
    binds = [copy.folder, *(f'"{copy.tablespace(each)}":"{each}"' for each in locations)]
    return {
        **own_processes,
        "ProtectSystem": "strict",
        "TemporaryFileSystem": "/data:ro",
        "BindPaths": " ".join(binds),
        "PrivateNetwork": "yes",
        "InaccessiblePaths": "-/run/postgresql",
        "PrivateTmp": "yes",
        "NoNewPrivileges": "yes",
        "KillSignal": "SIGINT",
        "TimeoutStopSec": "600",
        # What it logs is the only reason there is when it ends.
        "LogRateLimitIntervalSec": "0",
    }


def options(copy: Copy, control: str, slots: int) -> dict[str, str]:
    """PostgreSQL's command line, which no file can override. `control` is pg_controldata's output,
    `slots` the number of replication slots in the data directory."""
    found = {
        **ALONE,
        **REPLAYING,
        **minimums(control),
        **_entrance(copy),
        "config_file": f"{copy.folder}/postgresql.conf",
        "shared_buffers": copy.shared_buffers,
        "max_replication_slots": str(max(10, slots)),
    }
    if int(copy.version) >= EVENT_TRIGGERS_SINCE:
        # One that objects to DDL would keep the checks from bringing what they need.
        found["event_triggers"] = "off"
    return found


def rehearsal(copy: Copy, config_file: str) -> dict[str, str]:
    """The command line for a start with the settings of `config_file`, another server's: all of
    them count but those by which it would reach, or be reached by, somebody."""
    return {
        **ALONE,
        **_entrance(copy),
        "config_file": config_file,
        "data_directory": copy.data,
        "archive_command": "",
        # No worker of an extension either, with its scheduled jobs.
        "max_worker_processes": "0",
        # Those that the running server has are not free for a second one.
        "huge_pages": "off",
    }


def _entrance(copy: Copy) -> dict[str, str]:
    """Where its own user, and nobody else, is let in."""
    return {
        "hba_file": f"{copy.folder}/pg_hba.conf",
        "ident_file": f"{copy.folder}/pg_ident.conf",
        "unix_socket_directories": copy.folder,
        "port": str(copy.port),
    }


def files(copy: Copy, target: Mapping[str, str]) -> dict[str, str]:
    """The copy's configuration files by name; `target` are the settings that say how far it
    replays, in PostgreSQL's words."""
    # No site packages: to look for them takes longer than the whole program.
    client = f"/usr/bin/python3 -I -S {copy.client}"
    settings = {
        "restore_command": f"exec {client} {copy.feed} {copy.wal} %f %p",
        "recovery_target_action": "promote",
        **target,
    }
    return {
        "postgresql.conf": "".join(f"{n} = {conf_value(v)}\n" for n, v in settings.items()),
        "pg_hba.conf": f"local all {SUPERUSER} peer map=copy\n",
        "pg_ident.conf": f"copy {copy.user} {SUPERUSER}\n",
    }

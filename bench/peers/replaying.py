"""How long replay takes for a segment, by PostgreSQL's own log; and a restored directory brought
up to a restore point with somebody else's restore_command."""

import re
import time

from bench.peers.machines import BINARIES, FOLDER, POSTGRES, Failed, Machines

# With the time in front that journalctl puts there.
_RESTORED = re.compile(
    r'^(\d+\.\d+) .*restored log file "([0-9A-F]{24})" from archive', re.MULTILINE
)
_FIRST = re.compile(r"^(\d+\.\d+) ", re.MULTILINE)
_CONFIGURATION = "/etc/postgresql/17/main/postgresql.conf"
_PORT, _UNIT = 5498, "bench-replay"
_TIMEOUT_S = 900


def seconds_per_segment(journal: str, first: str) -> float | None:
    """From the segment `first` or the next one that came to the last, for each after it; None if
    fewer than two of them came. What was before `first` differs from backup to backup."""
    came = [float(at) for at, name in _RESTORED.findall(journal) if name >= first]
    return (came[-1] - came[0]) / (len(came) - 1) if len(came) > 1 else None


def began(journal: str) -> float | None:
    """When the first line was logged, in seconds since 1970; None of an empty journal."""
    found = _FIRST.search(journal)
    return float(found[1]) if found else None


def replay(
    machines: Machines, directory: str, restore_command: str, target: str, first: str
) -> float:
    """Seconds per segment from `first` on, of a replay from the backup in `directory` to the
    restore point `target`; the server is gone afterwards. Raises Failed where it does not get
    there."""
    since = time.time()
    settings = {
        "config_file": _CONFIGURATION,
        "data_directory": directory,
        "external_pid_file": "",
        "port": str(_PORT),
        "listen_addresses": "",
        "unix_socket_directories": FOLDER,
        "shared_buffers": "128MB",
        "huge_pages": "off",
        "ssl": "off",
        "archive_mode": "off",
        "synchronous_standby_names": "",
        "logging_collector": "off",
        "log_destination": "stderr",
        "restore_command": restore_command,
        "recovery_target": "",
        "recovery_target_name": target,
        "recovery_target_action": "promote",
    }
    words = " ".join(f"-c '{name}={value}'" for name, value in settings.items())
    ask = f"psql -XAtq -h {FOLDER} -p {_PORT} -d postgres -c 'SELECT pg_is_in_recovery()'"
    machines.as_own_user(POSTGRES, f"touch {directory}/recovery.signal; chmod 700 {directory}")
    machines.run(
        POSTGRES,
        f"systemctl reset-failed {_UNIT} 2>/dev/null || true\n"
        f"systemd-run --quiet --unit={_UNIT} --uid=postgres --property=KillSignal=SIGINT "
        f"{BINARIES}/postgres -D {directory} {words}",
    )
    try:
        while machines.as_own_user(POSTGRES, f"{ask} 2>/dev/null || true").strip() != "f":
            active = machines.run(POSTGRES, f"systemctl is-active {_UNIT} || true").strip()
            if active != "active" or time.time() > since + _TIMEOUT_S:
                raise Failed(machines.journal(_UNIT, since)[-1500:])
            time.sleep(0.2)
    finally:
        machines.run(POSTGRES, f"systemctl stop {_UNIT}")
    found = seconds_per_segment(machines.journal(_UNIT, since), first)
    if found is None:
        raise Failed(f"no two segments came on the way to {target}")
    return found

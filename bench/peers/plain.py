"""What one would do by hand: pg_basebackup, rsync, tar through ssh; cp as the yardstick of the
disk. Each is done when its bytes are on the disk."""

from bench.peers.machines import BARMAN, BINARIES, FOLDER, POSTGRES, SSH, USERS, Machines

_BASEBACKUP, _RSYNC, _CP = f"{FOLDER}/basebackup", f"{FOLDER}/rsync", f"{FOLDER}/cp"
_RESTORED = {name: f"{FOLDER}/restored-{name}" for name in ("rsync", "tar", "cp")}
RESTORED_BY_RSYNC = _RESTORED["rsync"]
WAL = f"{FOLDER}/wal"
# The way in that Barman has: its own user's password file, its own settings.
_CONNECTION = "sed -n 's/^streaming_conninfo *= *//p' /etc/barman.d/pg.conf"


def basebackup(machines: Machines) -> int:
    """pg_basebackup into plain files on Barman's machine, without WAL, as Barman's user."""
    machines.as_own_user(
        BARMAN,
        f"rm -rf {_BASEBACKUP}\n{BINARIES}/pg_basebackup --checkpoint=fast --wal-method=none "
        f'--no-password -D {_BASEBACKUP} -d "$({_CONNECTION})" 2>&1',
    )
    return _stored(machines, BARMAN, _BASEBACKUP)


def rsync(machines: Machines) -> int:
    """rsync of the running cluster between pg_backup_start and pg_backup_stop."""
    target = f"{USERS[BARMAN]}@{machines.addresses[BARMAN]}:{_RSYNC}"
    machines.run(BARMAN, f"rm -rf {_RSYNC}")
    # A file that PostgreSQL has removed meanwhile (24) is in the WAL.
    copy = (
        f"rsync -a --exclude=postmaster.* --exclude=pg_wal/* --exclude=pg_replslot/* "
        f"-e {SSH} {machines.data_directory}/ {target} </dev/null || test $? = 24"
    )
    begin, end = "SELECT pg_backup_start('bench', true);", "SELECT lsn FROM pg_backup_stop(false);"
    machines.sql("\n".join((begin, f"\\! {copy} || touch {FOLDER}/rsync-failed", end)))
    machines.run(POSTGRES, f"! rm {FOLDER}/rsync-failed 2>/dev/null")
    return _synced(machines, BARMAN, _RSYNC)


def cp(machines: Machines) -> int:
    """cp of the databases' files on PostgreSQL's machine, sharing no blocks."""
    machines.as_own_user(POSTGRES, f"rm -rf {_CP}")
    # Files of a running server may vanish under it; nothing else may go wrong.
    source, said = f"{machines.data_directory}/base", f"{FOLDER}/cp-said"
    copy = f"cp -a --reflink=never {source} {_CP} 2>{said}"
    machines.as_own_user(POSTGRES, f"{copy} || ! grep -v 'No such file or directory' {said}")
    return _synced(machines, POSTGRES, _CP)


def restore_rsync(machines: Machines) -> None:
    """pg_basebackup's files by rsync onto PostgreSQL's machine, to RESTORED_BY_RSYNC."""
    folder = _empty(machines, "rsync")
    source = f"{USERS[BARMAN]}@{machines.addresses[BARMAN]}:{_BASEBACKUP}/"
    machines.as_own_user(POSTGRES, f"rsync -a -e {SSH} {source} {folder}")
    _synced(machines, POSTGRES, folder)


def restore_tar(machines: Machines) -> None:
    """The same by tar, compressed on the way."""
    folder = _empty(machines, "tar")
    there = f"{USERS[BARMAN]}@{machines.addresses[BARMAN]}"
    pack = f"'tar -C {_BASEBACKUP} -cf - . | zstd -q -1 -T0'"
    machines.as_own_user(POSTGRES, f"{SSH} {there} {pack} | zstd -q -d | tar -C {folder} -xf -")
    _synced(machines, POSTGRES, folder)


def restore_cp(machines: Machines) -> None:
    """What `cp` has copied, by cp once more."""
    folder = _empty(machines, "cp")
    machines.as_own_user(POSTGRES, f"cp -a --reflink=never {_CP}/. {folder}")
    _synced(machines, POSTGRES, folder)


def _empty(machines: Machines, name: str) -> str:
    folder = _RESTORED[name]
    machines.as_own_user(POSTGRES, f"rm -rf {folder} && mkdir -m 700 {folder}")
    return folder


def take_wal(machines: Machines, first: str) -> None:
    """Copy PostgreSQL's segments from `first` to the last whole one to WAL, on its machine."""
    machines.as_own_user(
        POSTGRES,
        f"rm -rf {WAL} && mkdir {WAL}\n"
        f"last=$(psql -XAtq -d postgres -c 'SELECT pg_walfile_name(pg_current_wal_lsn())')\n"
        f"cd {machines.data_directory}/pg_wal\n"
        "for file in [0-9A-F]*; do\n"
        "  if [[ $file =~ ^[0-9A-F]{24}$ && ! $file < " + first + " && $file < $last ]]; then\n"
        f"    cp --reflink=never $file {WAL}/\n  fi\ndone",
    )


def get_command() -> str:
    """The restore_command that takes it from there."""
    return f'cp {WAL}/%f "%p"'


def _synced(machines: Machines, name: str, folder: str) -> int:
    machines.run(name, f"sync --file-system {folder}")
    return _stored(machines, name, folder)


def _stored(machines: Machines, name: str, folder: str) -> int:
    return int(machines.run(name, f"du -s --block-size=1 {folder}").split()[0])


def forget(machines: Machines) -> None:
    """Remove what a round has left on both machines."""
    there = " ".join((_CP, WAL, *_RESTORED.values(), f"{FOLDER}/pgbackrest-*"))
    machines.run(POSTGRES, f"rm -rf {there}")
    machines.run(BARMAN, f"rm -rf {_BASEBACKUP} {_RSYNC}")

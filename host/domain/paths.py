"""Where things are on the machines, for those who look there from more than one program."""

# Where either machine's data disk is mounted.
MOUNT_POINT = "/data"
BARMAN_HOME = f"{MOUNT_POINT}/barman"
# PostgreSQL's own, of Debian's packaging.
SOCKETS = "/run/postgresql"
# The server's, which its sockets are named by.
PORT = 5432
# Left by a recovery runbook for as long as it owns the data directory of PostgreSQL's machine.
RECOVERY_MARKER = "/data/postgresql/recovery-in-progress"
# Copies of the server beside it, on PostgreSQL's machine, each in a folder of its own: clones, by
# their names, and what a recovery brings back, by the run's.
CLONES = "/data/clones"
# Clones of the data directory on its own disk (host/local_snapshots), and the program that makes
# them.
SNAPSHOTS = "/data/snapshots"
LOCAL_SNAPSHOTS = "/usr/local/sbin/local-snapshots"
# The runbooks' journals, on Barman's machine, and the one of the run under way.
RUNBOOKS = "/data/runbooks"
CURRENT_RUNBOOK = f"{RUNBOOKS}/current.json"
# Barman's get-wal, with exit codes that PostgreSQL can act on (files/barman-get-wal).
BARMAN_GET_WAL = "/usr/local/bin/barman-get-wal"
# The same for one file after another (files/barman-send-wal).
BARMAN_SEND_WAL = "/usr/local/bin/barman-send-wal"
# Barman's configuration for taking backups, which differs in that they are packed.
BARMAN_BACKUP_CONF = "/etc/barman-backup.conf"
# A backup, for a restore (files/barman-send-backup).
BARMAN_SEND_BACKUP = "/usr/local/bin/barman-send-backup"
BARMAN_CRON = "/etc/cron.d/barman"
# Histories, one JSON object a line (histories.py).
DURABILITY_HISTORY = "/var/lib/durability-guard/history.jsonl"
DRILL_STATE = "/var/lib/restore-drill"
DRILL_HISTORY = f"{DRILL_STATE}/history.jsonl"
VERIFICATION_STATE = "/var/lib/backup-verify"
VERIFICATION_HISTORY = f"{VERIFICATION_STATE}/history.jsonl"
# On both machines, of host/programs.
CONVERGE_STATE = "/var/lib/converge"
CONVERGED_PROGRAMS = f"{CONVERGE_STATE}/programs.json"

"""Every metric, by name. Times are seconds since 1970; 0 means never, NaN not known."""

from prometheus_client import REGISTRY, Gauge
from prometheus_client.gc_collector import GC_COLLECTOR
from prometheus_client.platform_collector import PLATFORM_COLLECTOR

# They say nothing that anybody here asks.
REGISTRY.unregister(GC_COLLECTOR)
REGISTRY.unregister(PLATFORM_COLLECTOR)


def _gauge(name: str, meaning: str, *labels: str) -> Gauge:
    made = Gauge(name, meaning, labels)
    if not labels:
        # Until it is looked at, it is not known.
        made.set(float("nan"))
    return made


COLLECTED_AT = _gauge(
    "barman_exporter_collected_timestamp_seconds", "Last time this part was looked at", "part"
)
PATIENCE = _gauge("barman_exporter_patience_seconds", "How old it may become", "part")

CHECK_OK = _gauge("barman_check_ok", "A line of barman check: 1 is OK", "check")

SERVER_UP = _gauge("barman_server_up", "Whether PostgreSQL answers Barman's own role")
SERVER_LSN = _gauge("barman_wal_server_lsn_bytes", "Where WAL on PostgreSQL's disk ends")
DISK_LSN = _gauge("barman_wal_received_lsn_bytes", "Where WAL in Barman's files ends")
LAG_BYTES = _gauge("barman_wal_lag_bytes", "WAL that PostgreSQL has flushed and Barman has not")
LAG_SECONDS = _gauge("barman_wal_lag_seconds", "Age of the oldest flushed WAL Barman has not")
RECEIVERS = _gauge("barman_receiver_processes", "Running processes of pg_receivewal")

BACKUPS = _gauge("barman_backups", "Backups in the catalogue", "status")
BACKUP_AT = _gauge("barman_last_backup_timestamp_seconds", "End of the newest complete backup")
BACKUP_BYTES = _gauge("barman_last_backup_size_bytes", "What it takes on Barman's disk")
RESTORED_BYTES = _gauge("barman_last_backup_restored_bytes", "What its files take once restored")
BACKUP_SECONDS = _gauge("barman_last_backup_duration_seconds", "How long it took")
BACKUP_MAXIMUM_AGE = _gauge(
    "barman_backup_maximum_age_seconds", "The oldest that it may be, by the schedule"
)
ATTEMPT_OK = _gauge("barman_last_attempt_ok", "0 if the newest attempt of a backup failed")
WINDOW_START = _gauge(
    "barman_window_start_timestamp_seconds", "The earliest moment that can be brought back"
)
SINCE = _gauge("barman_server_since_timestamp_seconds", "When Barman first saw this server")
CRON_AT = _gauge("barman_cron_timestamp_seconds", "Last time that cron started barman cron")
ARCHIVED_AT = _gauge("barman_wal_last_archived_timestamp_seconds", "Newest archived WAL")
CATALOGUE_BYTES = _gauge("barman_catalogue_bytes", "Space that backups and WAL take", "kind")
MISSING = _gauge(
    "barman_wal_missing_segments", "Absent archived segments, in the window and after", "since"
)

CERTIFICATE_END = _gauge(
    "barman_certificate_expiry_timestamp_seconds", "End of PostgreSQL's certificate"
)
CERTIFICATE_OK = _gauge("barman_certificate_ok", "Whether its certificate could be verified")

DRILL_AT = _gauge("restore_drill_last_timestamp_seconds", "Last drill of this outcome", "outcome")
DRILL_LAST = _gauge("restore_drill_last_outcome", "1 for the outcome of the last drill", "outcome")
DRILL_RTO = _gauge("restore_drill_rto_seconds", "Of the last drill that passed")
DRILL_RPO = _gauge("restore_drill_rpo_seconds", "Of the last drill that passed")

VERIFIED_AT = _gauge(
    "backup_verification_last_timestamp_seconds", "Last verification with this result", "result"
)
VERIFICATION_OK = _gauge(
    "backup_verification_last_ok", "0 while a backup is there that did not pass it"
)

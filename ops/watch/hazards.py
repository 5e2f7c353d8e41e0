"""What stops applications, or would stop or fill the server soon, though all goes well now."""

import json
from collections.abc import Iterator

from host.domain.file_settings import OVERRULED
from ops.model import Hazards, Reason
from ops.reach import postgres
from ops.reach.ssh import Site
from ops.watch import owners, startable
from ops.watch.reasons import degraded

# Half of what the server has before it takes no more commands (2^31, less a reserve).
AGE = 1_000_000_000
# A deployment or a dump takes hours; what is older was forgotten, and keeps VACUUM from its work.
FORGOTTEN_S = 24 * 3600
# So the slots of a move begin that keep a way back (ops/onmachine/migration/sessions.py).
_WAY_BACK = "ops_migrate_back"
# A way back keeps up within seconds; what it lets lie would be missing at the source.
BEHIND_BYTES = 256 << 20
_ASK = """
SELECT json_build_object(
  'overruled', (SELECT coalesce(json_agg(DISTINCT name), '[]') FROM (%(overruled)s) overruled),
  'failing_archiver', (SELECT last_failed_wal FROM pg_stat_archiver
    WHERE current_setting('archive_mode') <> 'off'
    AND last_failed_time > coalesce(last_archived_time, '-infinity')),
  'retaining_slots', (SELECT coalesce(json_agg(slot_name), '[]') FROM pg_replication_slots
    WHERE slot_name <> '%(slot)s' AND (wal_status IN ('extended', 'unreserved')
      OR slot_name LIKE '%(back)s' AND (wal_status = 'lost' OR %(behind)s < pg_wal_lsn_diff(
        CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
        confirmed_flush_lsn)))),
  'oldest_prepared_s', (SELECT extract(epoch FROM now() - min(prepared)) FROM pg_prepared_xacts),
  'oldest_transaction_s', (SELECT extract(epoch FROM now() - min(xact_start))
    FROM pg_stat_activity WHERE backend_type = 'client backend' AND backend_xmin IS NOT NULL),
  'shut_out_owners', (%(owners)s),
  'xid_age', (SELECT max(greatest(age(datfrozenxid), mxid_age(datminmxid))) FROM pg_database))
"""


def read(site: Site) -> Hazards:
    """Ask the server, which accepts connections. Raises CommandFailed."""
    names = {"slot": site.outputs.backup.slot, "overruled": OVERRULED}
    asked = {"back": f"{_WAY_BACK}%", "behind": BEHIND_BYTES}
    sql = _ASK % {**names, **asked, "owners": owners.question(site.outputs)}
    said = postgres.query(site.postgres, sql, timeout_s=20)
    found = Hazards.model_validate(json.loads(said))
    found.cannot_restart = startable.obstacle(site)
    return found


def judge(found: Hazards) -> Iterator[Reason]:
    """A reason each."""
    if found.cannot_restart:
        yield degraded(
            f"PostgreSQL could not be started again with its present settings: "
            f"{found.cannot_restart}",
            startable.REMEDY,
        )
    if found.shut_out_owners:
        yield degraded(owners.sentence(found.shut_out_owners), owners.remedy(found.shut_out_owners))
    if found.failing_archiver:
        yield degraded(
            f"archive_command fails (for {found.failing_archiver}): WAL piles up until the disk is "
            "full",
            "mend it, or ALTER SYSTEM RESET archive_command; why it fails is in PostgreSQL's log",
        )
    for name in found.retaining_slots:
        if name.startswith(_WAY_BACK):
            yield degraded(
                f"the way back to a source has fallen behind, and its replication slot {name} "
                "keeps WAL on PostgreSQL's disk; or it is lost",
                "python -m ops migrate status   (python -m ops migrate end gives it up)",
            )
            continue
        yield degraded(
            f"replication slot {name}, which is not Barman's, keeps WAL on PostgreSQL's disk",
            f"start what reads it, or SELECT pg_drop_replication_slot('{name}')",
        )
    for what, age, look in (
        ("a prepared transaction", found.oldest_prepared_s, "pg_prepared_xacts"),
        ("a transaction", found.oldest_transaction_s, "pg_stat_activity"),
    ):
        if age is not None and age > FORGOTTEN_S:
            yield degraded(
                f"{what} is open for {age / 3600:.0f} h, and keeps VACUUM from removing anything "
                "since",
                f"look at {look}, then end it",
            )
    if found.xid_age is not None and found.xid_age > AGE:
        yield degraded(
            f"the oldest transaction id is {found.xid_age:,} old; at 2.1 billion PostgreSQL stops",
            "VACUUM (FREEZE) the oldest database (pg_database.datfrozenxid); what holds it back is "
            "in pg_stat_activity, pg_prepared_xacts and pg_replication_slots",
        )

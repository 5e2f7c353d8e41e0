"""Streaming backup after a recovery: slot, receiver, archive, a full backup, and the proof.

A recovered server is on a new timeline that left the old one before WAL which Barman already
holds, and its slot is gone; docs/why-streaming-breaks.md tells the whole story.
"""

import re
import time
import uuid

from host.domain.paths import RECOVERY_MARKER
from host.domain.quoting import sql_literal
from host.domain.wal import name_of, not_after, parse_lsn, switchpoints
from ops.archive import backup, catalogue
from ops.errors import OperatorError
from ops.reach import barman, postgres, shell
from ops.reach.ssh import CommandFailed
from ops.recover.cluster import cluster
from ops.recover.receiver import pause_cron, resume_cron, stop_receiver, streaming, undo_pause
from ops.runbook.progress import watched
from ops.runbook.steps import Run, Step

STREAM_TIMEOUT_S = 90.0
PROOF_STATE = "The full backup stays; the proof wrote a row to runbook.marker."
_SEGMENT = re.compile(r"[0-9A-F]{24}$")


def steps() -> list[Step]:
    """From a server that accepts writes to one that is protected. No way back: Barman follows
    the new timeline from the first of them on."""
    return [
        Step("slot", "Recreate the replication slot", make_slot, final=True),
        Step("receiver", "Start the receiver on the new timeline", start_receiver, final=True),
        Step("archive", "Archive the last WAL of both timelines", archive_ends, final=True),
        Step(
            "commits",
            "Wait for synchronous replication, where it is configured",
            settle,
            final=True,
        ),
        Step("switch", "Switch a WAL segment and see it archived", switch, final=True),
        Step("cron", "Resume cron", cron, final=True),
        Step("backup", "Take a full backup", full_backup, final=True),
        Step("proof", "Prove that new WAL reaches Barman", prove, final=True),
    ]


def alone() -> list[Step]:
    """The same without a recovery before it."""
    pause = Step("pause", "Pause Barman's cron", pause_cron, undo_pause)
    return [pause, *steps()]


def make_slot(run: Run) -> str:
    """A slot that begins after the switchpoint: before it, this history is another one's."""
    machine, slot = run.site.postgres, run.site.outputs.backup.slot
    server = run.site.outputs.backup.server_name
    status, _, present = postgres.state(machine, slot)
    postgres.require_running(status)
    if present is not None and present.wal_status != "lost":
        run.remember(new_slot=run.journal.facts.get("new_slot", False))
        return f"slot {slot} is there"
    stop_receiver(run)
    if present is not None:
        postgres.query(machine, f"SELECT pg_drop_replication_slot({sql_literal(slot)})")
    postgres.query(machine, "SELECT pg_switch_wal()")
    # The checkpoint that follows may recycle the switchpoint's segment; no receiver can ask for it.
    home, since = run.site.outputs.barman.data_directory, not_after(status.timeline or 1)
    held = catalogue.read(run.site.barman, home, server, since)
    fetched = [name for name in _segments_from_switchpoint(run, held) if _fetch(run, name)]
    # The slot begins at the last checkpoint: now that one is in a segment after the switchpoint's.
    postgres.query(machine, "CHECKPOINT", timeout_s=3600)
    # As `barman receive-wal --create-slot` does it.
    create = f"SELECT pg_create_physical_replication_slot({sql_literal(slot)}, true)"
    postgres.query(machine, create)
    run.remember(new_slot=True)
    return f"slot {slot} created" + (f", fetched {', '.join(fetched)}" if fetched else "")


def start_receiver(run: Run) -> str:
    """Reset the receiver if it stands on another timeline, start it, wait until it streams."""
    machine, server = run.site.barman, run.site.outputs.backup.server_name
    status, receiver, _ = postgres.state(run.site.postgres, run.site.outputs.backup.slot)
    if receiver is None or receiver.state != "streaming":
        stop_receiver(run)
        timeline = f"{status.timeline:08X}"
        # What was being received of the old timeline ends it: kept, and archived when the new
        # receiver runs. `receive-wal --reset` would delete it.
        shell.run(machine, "take-tail", streaming(run), _tail(run), timeline, timeout_s=600)
        if run.journal.facts.get("new_slot"):
            barman.tell(machine, "receive-wal", "--reset", server)
        barman.tell(machine, "cron")
    receiver = _wait_streaming(run)
    return f"{receiver.state} from timeline {status.timeline}"


def _tail(run: Run) -> str:
    return f"{run.journal.folder}/tail"


def _wait_streaming(run: Run, synchronous: bool = False):
    deadline = time.monotonic() + STREAM_TIMEOUT_S
    receiver = None
    while time.monotonic() < deadline:
        _, receiver, _ = postgres.state(run.site.postgres, run.site.outputs.backup.slot)
        if (
            receiver is not None
            and receiver.state == "streaming"
            and (not synchronous or receiver.sync_state in ("sync", "quorum"))
        ):
            return receiver
        time.sleep(0.5)
    log = run.site.barman.run(["tail", "-n", "8", "/var/log/barman/barman.log"], accept=None).stdout
    state = f"{receiver.state}, {receiver.sync_state}" if receiver else "not connected"
    raise OperatorError(
        f"The receiver is {state}. Barman's log ends with:\n{log.strip()}",
        "The slot is there and the receiver was started; both stay.",
    )


def archive_ends(run: Run) -> str:
    """Put the end of the old timeline, which no receiver will finish, into Barman's archive."""
    machine, server = run.site.barman, run.site.outputs.backup.server_name
    shell.run(machine, "give-tail", _tail(run), streaming(run), timeout_s=600)
    barman.tell(machine, "archive-wal", server, timeout_s=600)
    return "archived"


def _segments_from_switchpoint(run: Run, held: catalogue.Catalogue) -> list[str]:
    """Complete segments of the server's timeline, from the switchpoint on, that Barman lacks."""
    machine, data = run.site.postgres, cluster(run).data
    status, _, _ = postgres.state(machine, run.site.outputs.backup.slot)
    timeline = status.timeline or 1
    if timeline == 1 or status.lsn is None:
        return []
    history = machine.run(["cat", f"{data}/pg_wal/{timeline:08X}.history"], accept=(0, 1)).stdout
    left = switchpoints(history)
    if not left:
        return []
    switch = left[-1].lsn // held.segment_size
    now = parse_lsn(status.lsn) // held.segment_size
    runs = [r for r in held.runs if r.timeline == timeline]
    have = {
        number for r in runs for number in range(held.position(r.first), held.position(r.last) + 1)
    }
    return [
        name_of(timeline, number, held.segment_size)
        for number in range(switch, min(now, min(have, default=now)))
        if number not in have
    ]


def _fetch(run: Run, name: str) -> bool:
    """Copy one closed segment out of PostgreSQL's own WAL directory, if it is still there."""
    outputs = run.site.outputs
    source = f"{outputs.postgres.data_directory}/pg_wal/{name}"
    if not run.site.postgres.run(["test", "-e", source], accept=(0, 1)).ok:
        run.say(f"{name} is gone: there is a gap between the switchpoint and the new backup")
        return False
    shell.run(
        run.site.barman,
        "fetch-segment",
        outputs.postgres.private_address,
        source,
        f"{streaming(run)}/{name}",
        user=barman.USER,
        timeout_s=300,
    )
    return True


def settle(run: Run) -> str:
    """Remove the recovery's configuration; where commits wait for Barman, prove that they do."""
    names, machine = cluster(run), run.site.postgres
    machine.run(["rm", "-f", names.override])
    machine.run(["systemctl", "reload", names.unit])
    machine.run(["rm", "-f", RECOVERY_MARKER])
    if run.site.outputs.backup.durability == "async":
        return "commits do not wait for Barman (as configured)"
    # The guard on PostgreSQL's machine was out of the way while the marker was there.
    return f"commits wait for Barman: {_wait_streaming(run, synchronous=True).sync_state}"


def switch(run: Run) -> str:
    return f"{backup.archive_now(run.site)} is archived"


def cron(run: Run) -> str:
    resume_cron(run)
    return "cron runs"


def full_backup(run: Run) -> str:
    """A new full backup: the timeline's own, so that no restore crosses the switchpoint."""
    adopt = bool(run.journal.facts.get("backing_up"))
    run.remember(backing_up=True)
    machine = run.site.postgres
    total = int(postgres.query(machine, "SELECT sum(pg_database_size(oid)) FROM pg_database"))

    def sent() -> int | None:
        # What has come to Barman's disk is compressed.
        asked = "SELECT backup_streamed FROM pg_stat_progress_basebackup"
        try:
            said = postgres.query(machine, asked).split()
        except CommandFailed:
            return None
        return min(int(said[0]), total) if said else None

    with watched(run.console, total, sent) as tick:
        taken = backup.take(run.site, run.journal.id, adopt=adopt, tick=tick)
    return backup.describe(taken)


def prove(run: Run) -> str:
    """Write a row, find it in WAL that Barman has archived, and have `barman check` all OK."""
    machine, server = run.site.barman, run.site.outputs.backup.server_name
    mark = f"{run.journal.id}-{uuid.uuid4()}"
    segment = postgres.query(
        run.site.postgres, _MARK % {"mark": sql_literal(mark)}, waits_for_barman=True
    )
    segment = segment.split("\n")[-1]
    if not _SEGMENT.match(segment):
        raise OperatorError(
            f"PostgreSQL answered {segment!r} instead of a segment's name.", PROOF_STATE
        )
    backup.archive_now(run.site)
    found = shell.run(
        machine, "find-in-wal", server, segment, mark, user=barman.USER, accept=(0, 1)
    )
    if not found.ok:
        raise OperatorError(
            f"The row written just now is not in Barman's {segment}: WAL does not arrive whole.",
            PROOF_STATE,
        )
    failed = [
        f"{line.name} ({line.hint})" if line.hint else line.name
        for line in barman.checks(barman.ask(machine, "check", server), server)
        # The full backup just taken is good, whatever became of others before it.
        if not line.ok and line.name != barman.FAILED_BACKUPS
    ]
    if failed:
        raise OperatorError(f"barman check is not clean: {', '.join(failed)}.", PROOF_STATE)
    return f"the row written just now is in {segment} on Barman; barman check is clean"


# The message carries the row's text into WAL as it is; the row itself may be compressed there. Its
# own position says in which segment: by the time of the commit, which waits for Barman, others may
# have filled that.
_MARK = """
CREATE SCHEMA IF NOT EXISTS runbook;
CREATE TABLE IF NOT EXISTS runbook.marker (mark text PRIMARY KEY, written_at timestamptz);
BEGIN;
INSERT INTO runbook.marker VALUES (%(mark)s, clock_timestamp());
SELECT pg_walfile_name(pg_logical_emit_message(true, 'runbook', %(mark)s) - 1);
COMMIT;
"""

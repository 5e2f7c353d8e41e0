"""What was read again on the Barman machine, as the runbooks understand it."""

import json
from datetime import timedelta

import pytest

from ops.archive import plan, verification, window
from ops.archive.catalogue import Catalogue
from ops.archive.targets import Target
from ops.errors import OperatorError
from ops.model import BackupStatus, Verdict
from ops.watch.verdict import judge
from tests.unit.ops.test_plan import NOW, STORE
from tests.unit.ops.test_status import AT, healthy, verdict

NAME = "20261123T074549"


def line(backup: str, ok: bool, **more: object) -> str:
    entry = {"at": AT.isoformat(), "backup_id": backup, "ok": ok, "seconds": 1.0, "error": None}
    return json.dumps(entry | more)


def test_the_last_word_counts_and_a_torn_line_does_not() -> None:
    history = "\n".join([line("a", True), line("b", True), line("a", False), '{"at": "20'])
    found = verification.newest(history)
    assert {name: entry.ok for name, entry in found.items()} == {"a": False, "b": True}


def test_damaged_segments_of_all_backups_are_told_once() -> None:
    history = "\n".join([line("a", False, bad_wal=["2", "1"]), line("b", False, bad_wal=["2"])])
    assert verification.bad_wal(verification.newest(history).values()) == ["1", "2"]


def damaged() -> Catalogue:
    backups = tuple(
        b.model_copy(update={"status": "FAILED", "error": "verification: bad"})
        if b.backup_id == NAME
        else b
        for b in STORE.backups
    )
    return STORE.model_copy(
        update={"backups": backups, "verifications": verification.newest(line(NAME, False))}
    )


def test_a_damaged_backup_is_never_chosen_and_refused_by_name() -> None:
    assert plan.choose(STORE, Target(), NOW).backup_id == NAME
    assert plan.choose(damaged(), Target(), NOW).backup_id != NAME
    with pytest.raises(OperatorError) as refused:
        plan.choose(damaged(), Target(), NOW, backup_id=NAME)
    assert refused.value.next_command is not None
    assert f"verify {NAME} --accept" in refused.value.next_command


def test_backups_say_whether_they_were_verified() -> None:
    entries = {entry.id: entry for entry in window.backup_list(damaged()).backups}
    assert (entries[NAME].verified, entries[NAME].restorable) == (False, False)
    assert next(entry for name, entry in entries.items() if name != NAME).verified is None


def test_damage_counts_until_it_is_gone_a_hole_behind_a_backup_until_there_is_a_newer_one() -> None:
    def backup(name: str, status: str, verified: bool | None) -> BackupStatus:
        return BackupStatus(id=name, status=status, type="full", verified=verified)

    holed, damaged = backup("a", "DONE", False), backup("b", "FAILED", False)
    cut_off = backup("c", "FAILED", None)
    assert verification.unsound([cut_off, damaged, holed]) == [damaged, holed]
    assert verification.unsound([backup("d", "DONE", None), cut_off, damaged, holed]) == [damaged]
    assert verification.unsound([backup("d", "DONE", True), holed]) == []
    assert verification.unsound([]) == []


def test_a_failed_verification_degrades_and_names_the_backup() -> None:
    status = healthy()
    bad = BackupStatus(
        id="20260430T040000", status="FAILED", type="full", verified=False, verification_error="x"
    )
    status.unsound_backups = [bad]
    assert verdict(status) is Verdict.DEGRADED
    assert "20260430T040000" in judge(status)[0].text


def test_a_backup_that_nobody_has_read_for_a_day_degrades() -> None:
    status = healthy()
    assert verdict(status) is Verdict.PROTECTED
    status.at += timedelta(hours=25)
    assert verdict(status) is Verdict.DEGRADED
    assert status.last_done_backup is not None
    status.last_done_backup.verified = True
    assert verdict(status) is Verdict.PROTECTED

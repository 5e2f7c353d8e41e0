"""What `ops drill` makes of the drills that the Barman machine recorded."""

import json

from ops.watch.drills import DrillList, describe, failure, parse

PASSED = {
    "at": "2026-11-22T12:00:00.000+00:00",
    "backup_id": "20261122T040000",
    "outcome": "passed",
    "reason": None,
    "target_time": "2026-11-22T09:10:11.000+00:00",
    "rto_s": 812.4,
    "rpo_s": 4.2,
    "restored_bytes": 21 * 2**30,
    "checks": [{"name": "pg_amcheck", "ok": True, "detail": "sound", "seconds": 3.0}],
}
DECLINED = PASSED | {
    "outcome": "declined",
    "reason": "too little space",
    "target_time": None,
    "rto_s": None,
    "rpo_s": None,
    "restored_bytes": None,
    "checks": [],
}


def test_a_torn_line_is_skipped() -> None:
    text = f'{json.dumps(PASSED)}\n{{"at": "2026\n{json.dumps(DECLINED)}\n'
    assert [drill.outcome for drill in parse(text)] == ["passed", "declined"]


def test_a_drill_in_words() -> None:
    (passed,) = parse(json.dumps(PASSED))
    text = describe(passed)
    assert "13 min" in text and "21.0 GiB" in text and "ok  pg_amcheck" in text
    assert "Next:" not in text


def test_a_drill_that_did_not_pass_says_why_and_what_next() -> None:
    (declined,) = parse(json.dumps(DECLINED))
    text = describe(declined)
    assert "declined" in text and "too little space" in text
    assert "docs/runbooks/drill-failed.md" in text


def test_a_declined_drill_takes_nothing_back() -> None:
    failed = PASSED | {"outcome": "failed", "reason": "pg_amcheck: damaged"}
    history = "\n".join(json.dumps(each) for each in (PASSED, failed, DECLINED))
    assert failure(parse(history)) == "pg_amcheck: damaged"
    assert failure(parse(f"{history}\n{json.dumps(PASSED)}")) is None
    assert failure([]) is None


def test_no_timer_is_no_date() -> None:
    assert DrillList(next_at=None, running=False, drills=[]).model_dump()["next_at"] is None

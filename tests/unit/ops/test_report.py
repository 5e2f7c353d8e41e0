"""The page: what it says in good and bad states, that it loads nothing, that its HTML is sound."""

import re
import threading
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from itertools import pairwise
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ops.__main__ import command_line
from ops.cli import report as report_command
from ops.errors import OperatorError
from ops.reach.outputs import StackOutputs
from ops.reach.ssh import Site
from ops.report import serve
from ops.report.collect import collect
from ops.report.model import Part, Report
from ops.report.page import render
from ops.watch import certificates
from ops.watch.alerts import Alerts
from ops.watch.drills import DrillList
from tests.unit.ops import report_states
from tests.unit.ops.report_states import AT, STATES
from tests.unit.ops.test_outputs import stack

VERDICTS = {
    "healthy": "PROTECTED",
    "fallback": "UNPROTECTED",
    "no-backup-for-two-days": "DEGRADED",
    "postgres-gone": "UNPROTECTED",
    "barman-gone": "UNPROTECTED",
}
SECTIONS = {
    "reasons",
    "now",
    "window",
    "wal",
    "backups",
    "capacity",
    "drills",
    "durability",
    "alerts",
    "machines",
    "certificate",
    "checks",
}


def page(report: Report) -> ElementTree.Element:
    """The page as a tree; it is written so that XML reads it too, and a tag left open is seen."""
    return ElementTree.fromstring(render(report))  # noqa: S314  (what we wrote ourselves)


def text(element: ElementTree.Element) -> str:
    joined = " ".join(" ".join(element.itertext()).split())
    return re.sub(r" ([,.;:])", r"\1", joined)


def section(report: Report, name: str) -> str:
    found = page(report).find(f".//section[@aria-labelledby='{name}']")
    assert found is not None
    return text(found)


@pytest.mark.parametrize("state", STATES)
def test_every_part_stays_and_the_verdict_comes_first(state: str) -> None:
    root = page(STATES[state]())
    assert text(root.find(".//h1")) == VERDICTS[state]  # type: ignore[arg-type]
    named = {item.get("aria-labelledby") for item in root.findall(".//section")}
    assert named >= SECTIONS
    title = root.find(".//title")
    assert title is not None and (title.text or "").startswith(VERDICTS[state])


@pytest.mark.parametrize("state", STATES)
def test_every_reason_stands_there_with_its_next_command(state: str) -> None:
    report = STATES[state]()
    shown = section(report, "reasons")
    for reason in report.status.reasons:
        assert reason.text in shown
        assert (reason.next_command or "") in shown
    assert bool(report.status.reasons) != ("Nothing needs attention" in shown)


@pytest.mark.parametrize("state", STATES)
def test_it_loads_nothing(state: str) -> None:
    report = STATES[state]()
    root = page(report)
    for element in root.iter():
        assert element.tag not in ("link", "img", "iframe", "object", "embed", "form", "base")
        assert "src" not in element.attrib
        assert not any(name.startswith("on") for name in element.attrib)
        assert element.get("href", "#").startswith("#")
    style = root.findtext(".//style") or ""
    assert "url(" not in style and "@import" not in style
    assert not re.search(r"https?:", render(report))


@pytest.mark.parametrize("state", STATES)
def test_it_can_be_read_aloud(state: str) -> None:
    root = page(STATES[state]())
    assert root.get("lang") == "en"
    identifiers = [item.get("id") for item in root.iter() if item.get("id")]
    assert len(identifiers) == len(set(identifiers))
    for element in root.iter():
        for name in (element.get("aria-labelledby") or "").split():
            assert name in identifiers
    levels = [int(item.tag[1]) for item in root.iter() if re.fullmatch(r"h[1-6]", item.tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    for table in root.iter("table"):
        assert text(table.find("caption")) != ""  # type: ignore[arg-type]
        assert all(cell.get("scope") for cell in table.iter("th"))
    for picture in root.findall(".//figure/svg"):
        assert picture.get("role") == "img"
        assert picture.findtext("title") and picture.findtext("desc")
    for picture in root.findall(".//svg[@class='shape']"):
        assert picture.get("aria-hidden") == "true"


def test_the_pictures_say_the_same_in_words() -> None:
    root = page(report_states.no_backup_for_two_days())
    described = [item.text or "" for item in root.findall(".//figure/svg/desc")]
    assert "Timeline 1: restorable from 2026-05-02 04:11:01 UTC" in described[0]
    assert "backup 20260509T040001, FAILED, unusable" in described[0]
    assert "fallback, from 2026-05-07 22:30:12 UTC for 5 min" in described[0]
    assert "backup 20260507T040001, 21.0 GiB" in described[1]


def test_healthy_says_what_would_be_lost_and_how_far_back() -> None:
    shown = section(report_states.healthy(), "now")
    assert "1.8 KiB" in shown
    assert "wait for Barman" in shown
    assert "7 d 3 h back from 2026-05-02 04:11:01 UTC on" in shown


def test_in_a_fallback_at_most_what_the_slot_keeps_would_be_lost() -> None:
    report = report_states.fallback()
    shown = section(report, "now")
    assert "640.0 MiB" in shown
    assert "go on alone" in shown
    assert "lasts, 16 min so far" in section(report, "durability")


def test_without_backups_for_two_days_the_last_good_one_is_named() -> None:
    report = report_states.no_backup_for_two_days()
    assert "Last good backup 2 d 3 h ago 20260507T040001" in section(report, "now")
    assert "pg_basebackup terminated" in section(report, "backups")


def test_what_fires_stands_there_with_the_page_to_open() -> None:
    shown = section(report_states.fallback(), "alerts")
    assert "critical WalNotArriving: Barman has received no WAL for 60 s." in shown
    assert "Open docs/runbooks/backups-do-not-arrive.md" in shown
    quiet = section(report_states.healthy(), "alerts")
    assert "None, and the heartbeat is there." in quiet


def test_every_drill_stands_there_and_the_picture_leaves_out_the_declined() -> None:
    report = report_states.healthy()
    shown = section(report, "drills")
    assert "2026-05-07 07:30:12 UTC passed 7 min 2 s 20260507T040001 17.0 GiB" in shown
    assert "declined" in shown and "a backup was being taken" in shown
    assert "The next one is due 2026-05-14 07:30:12 UTC." in shown
    drills = page(report).findtext(".//svg[@aria-labelledby='drill-title drill-desc']/desc") or ""
    assert drills.count("drill of") == 5
    assert "failed, RTO 7 min" in drills and "declined" not in drills
    assert "Last restore drill passed 2 d 0 h ago, up again after 7 min" in section(report, "now")


def test_a_disk_that_fills_up_soon_is_named_with_what_to_change() -> None:
    shown = section(report_states.healthy(), "capacity")
    assert "postgres-prod 886.0 GiB free of 1.07 TiB; not full in three years" in shown
    assert "full 2026-05-31 07:30:12 UTC if it goes on like this" in shown
    assert "Set barmanDiskGb to 612 or more" in shown


def test_no_drill_yet_says_never_and_what_to_type() -> None:
    report = report_states.healthy()
    never = Part(DrillList(next_at=None, running=False, drills=[]))
    assert "Last restore drill never" in section(replace(report, drills=never), "now")
    shown = section(replace(report, drills=never), "drills")
    assert "python -m ops drill --now" in shown
    assert "No timer is set" in shown


def test_protected_while_an_alert_fires_is_not_called_all_well() -> None:
    report = report_states.healthy()
    warning = Alerts(at=AT, heartbeat=True, alerts=[report_states.alert("DiskFullSoon")])
    for alerts in (Part(warning), Part[Alerts](problem="Alertmanager does not answer")):
        shown = section(replace(report, alerts=alerts), "reasons")
        assert "Protected, but look at the alerts" in shown
        assert "Nothing needs attention" not in shown
    warning.alerts[0].silenced = True
    assert "Nothing needs attention" in section(replace(report, alerts=Part(warning)), "reasons")


def test_no_alert_without_a_heartbeat_is_no_good_news() -> None:
    report = report_states.healthy()
    silent = Alerts(at=AT, alerts=[], heartbeat=False)
    shown = section(replace(report, alerts=Part(silent)), "alerts")
    assert "silence means nothing" in shown


@pytest.mark.parametrize(
    ("left", "said"),
    [(300, "300 days more, until"), (5, "only 5 days more"), (-2, "no longer, it ended")],
)
def test_a_certificate_near_its_end_says_so_with_the_page_to_open(left: int, said: str) -> None:
    report = report_states.healthy()
    assert report.certificate.value is not None
    near = report.certificate.value.model_copy(update={"ends": AT + timedelta(days=left, hours=1)})
    shown = section(replace(report, certificate=Part(near)), "certificate")
    assert said in shown
    assert ("docs/runbooks/certificate-ends.md" in shown) == (left < 14)


def test_what_openssl_says_of_a_certificate_is_understood() -> None:
    found = certificates.parse(
        "subject=CN=postgres-lab\nissuer=CN=postgres-barman lab\n"
        "notBefore=2026-11-23 11:00:57Z\nnotAfter=2027-12-26 11:00:57Z\n"
    )
    assert (found.subject, found.issuer) == ("CN=postgres-lab", "CN=postgres-barman lab")
    assert found.ends == datetime(2027, 12, 26, 11, 0, 57, tzinfo=UTC)
    with pytest.raises(KeyError):
        certificates.parse("unable to load certificate")


def test_a_gone_server_leaves_what_barman_knows() -> None:
    report = report_states.postgres_gone()
    assert "after 2026-05-09 07:30:09 UTC, the last commit Barman has" in section(report, "now")
    for part in ("wal", "durability", "machines", "certificate", "capacity"):
        assert "Could not be asked. " in section(report, part)
        assert "10.20.0.4:22 did not answer" in section(report, part)
    assert "20260509T040001" in section(report, "backups")


def test_a_gone_barman_machine_leaves_every_part_with_its_reason() -> None:
    report = report_states.barman_gone()
    for part in (
        "window",
        "wal",
        "backups",
        "durability",
        "alerts",
        "machines",
        "certificate",
        "checks",
    ):
        assert "Could not be asked. " in section(report, part)
    assert "unknown" in section(report, "now")


def test_what_machines_say_is_text_and_never_markup() -> None:
    report = report_states.healthy()
    evil = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&"
    report.status.checks[0].ok, report.status.checks[0].hint = False, evil
    parts = [field.name for field in fields(Report) if field.name != "status"]
    broken = replace(report, **{part: Part(problem=evil) for part in parts})
    root = page(broken)
    assert len(list(root.iter("script"))) == 1
    assert not list(root.iter("img"))
    assert evil in section(broken, "backups")


def test_the_policy_lets_this_script_run_and_no_other() -> None:
    html = render(report_states.healthy())
    policy = page(report_states.healthy()).find(".//meta[@http-equiv='Content-Security-Policy']")
    assert policy is not None
    assert "default-src 'none'" in policy.get("content", "")
    assert "script-src 'sha256-" in policy.get("content", "")
    assert html.count("<script>") == 1


def test_a_machine_that_nobody_reaches_still_gives_a_page() -> None:
    outputs = StackOutputs.model_validate(stack())
    names = (outputs.postgres.name, outputs.barman.name)
    site = Site(outputs, lambda: None, lambda: None, dict.fromkeys(names, "no route to host"))
    report = collect(site)
    html = render(report)
    assert "UNPROTECTED" in html
    assert "no route to host" in section(report, "backups")
    secrets = [outputs.ssh_private_key, *(known.uri for known in outputs.databases.values())]
    for secret in secrets:
        assert secret.get_secret_value() not in html


@contextmanager
def serving(latest: serve.Latest) -> Iterator[serve.Server]:
    with serve.Server(latest, 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def ask(server: serve.Server, method: str, path: str, host: str) -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    try:
        connection.request(method, path, headers={"Host": host})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_it_is_served_to_this_machine_and_read_only() -> None:
    with serving(serve.Latest(report_states.healthy)) as server:
        status, html = ask(server, "GET", "/", "localhost:9000")
        assert (status, "PROTECTED" in html) == (200, True)
        assert 'http-equiv="refresh" content="60"' in html
        assert ask(server, "HEAD", "/", "127.0.0.1") == (200, "")
        assert ask(server, "GET", "/other", "localhost")[0] == 404
        assert ask(server, "POST", "/", "localhost")[0] == 501
        assert ask(server, "GET", "/", "attacker.example")[0] == 421
        assert server.server_address[0] == "127.0.0.1"


def test_a_refresh_that_fails_is_told_on_the_page_until_one_succeeds() -> None:
    answers: list[Report | Exception] = [
        report_states.healthy(),
        OperatorError(
            "The host key of barman-prod is not the one in the stack's outputs.",
            "Nothing was changed.",
        ),
        report_states.healthy(),
    ]

    def next_answer() -> Report:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    latest = serve.Latest(next_answer)
    latest.refresh()
    shown = latest.page(AT + timedelta(seconds=70))
    assert "It could not be asked again since" in shown
    assert "The host key of barman-prod" in shown
    latest.refresh()
    assert "It could not be asked again" not in latest.page(AT + timedelta(seconds=130))


def test_a_page_that_is_too_old_says_so() -> None:
    latest = serve.Latest(report_states.healthy)
    assert "could not be asked again" not in latest.page(AT + timedelta(seconds=100))
    assert "take too long to answer" in latest.page(AT + timedelta(seconds=200))


def test_a_port_in_use_is_refused_with_another_one() -> None:
    latest = serve.Latest(report_states.healthy)
    with serving(latest) as server, pytest.raises(OperatorError) as refused:
        serve.serve(report_states.healthy, server.server_port, print)
    assert str(server.server_port + 1) in (refused.value.next_command or "")


def test_serving_to_a_file_and_a_missing_directory_are_refused_before_anything_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("the stack was asked")

    monkeypatch.setattr(report_command, "site_of", never)
    monkeypatch.setattr(report_command.outputs, "read", never)
    for words in (["--serve", "--output", "x"], ["--output", str(tmp_path / "no" / "page.html")]):
        assert isinstance(
            CliRunner().invoke(command_line(["report"]), ["report", *words]).exception,
            OperatorError,
        )


def test_made_says_when() -> None:
    made = page(report_states.healthy()).find(".//time[@id='made']")
    assert made is not None
    assert datetime.fromisoformat(made.get("datetime", "")).astimezone(UTC) == AT

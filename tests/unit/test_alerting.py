"""What every alert says, and the settings of delivery."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from host.monitoring import configuration
from host.monitoring.configuration import Delivery, Smtp
from settings.alerting import check_url, private_receivers
from settings.model import SettingsError
from tests.unit.stack_double import ROOT, run
from tests.unit.test_settings import settings

RULES = yaml.safe_load(configuration.alert_rules())["groups"]
ALERTS = {rule["alert"]: rule for group in RULES for rule in group["rules"]}


@pytest.mark.parametrize("name", ALERTS)
def test_every_alert_says_how_urgent_it_is_and_which_page_to_open(name: str) -> None:
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in (
        ("none",) if name == "Heartbeat" else ("warning", "critical")
    )
    assert rule["annotations"]["summary"].endswith(".")
    page = (ROOT / rule["annotations"]["runbook"]).read_text()
    # A title, then the command to type.
    assert re.match(r"# .+\n\n```\n\S", page)


def test_every_alert_is_in_the_table_of_the_documentation() -> None:
    page = (ROOT / "docs" / "monitoring.md").read_text().partition("## Alerts")[2]
    listed = {
        name
        for row in page.splitlines()
        if row.startswith("| `")
        for name in re.findall(r"`(\w+)`", row.split("|")[1])
    }
    # Raised by the Barman exporter, for when no rule is evaluated any more.
    assert listed == {*ALERTS, "PrometheusSilent"}


def test_prometheus_and_alertmanager_themselves_accept_their_files(tmp_path: Path) -> None:
    (tmp_path / "alerts.yml").write_text(configuration.alert_rules())
    prometheus = tmp_path / "prometheus.yml"
    text = configuration.prometheus_yml("10.20.0.4", pooler=True)
    prometheus.write_text(text.replace("/etc/monitoring", str(tmp_path)))
    subprocess.run(["promtool", "check", "config", prometheus], check=True, capture_output=True)
    smtp = Smtp("mail.example.org", 587, "a@example.org", "alerts", "'{{ \" #")
    for delivery in (
        Delivery(),
        Delivery(email="b@example.org", smtp=smtp),
        Delivery(webhook="https://example.org/a", dead_man="https://example.org/b"),
    ):
        file = tmp_path / "alertmanager.yml"
        file.write_text(configuration.alertmanager_yml(delivery))
        subprocess.run(["amtool", "check-config", file], check=True, capture_output=True)


def test_a_login_goes_over_tls_only() -> None:
    def mail(smtp: Smtp) -> dict[str, Any]:
        text = configuration.alertmanager_yml(Delivery(email="b@example.org", smtp=smtp))
        return yaml.safe_load(text)["receivers"][0]["email_configs"][0]

    login = mail(Smtp("mail.example.org", 587, "a@example.org", "alerts", "hidden"))
    assert (login["require_tls"], login["auth_password"]) == (True, "hidden")
    relay = mail(Smtp("10.1.1.1", 25, "a@example.org", "", ""))
    assert not relay["require_tls"]
    assert "auth_password" not in relay


MAIL = {"alertEmail": "b@example.org", "smtpHost": "mail.example.org", "smtpFrom": "a@example.org"}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"alertEmail": "nobody"}, ["alertEmail", "nobody"]),
        ({"alertEmail": "b@example.org"}, ["alertEmail", "smtpHost is not"]),
        (MAIL | {"smtpFrom": ""}, ["smtpFrom is not"]),
        ({"smtpHost": "mail.example.org"}, ["who is notified?"]),
        (MAIL | {"smtpHost": "mail example"}, ["smtpHost"]),
        (MAIL | {"smtpPort": 0}, ["smtpPort = 0"]),
        (MAIL | {"smtpUser": "alerts"}, ["smtpUser and smtpPassword", "--secret smtpPassword"]),
        ({"alertWebhook": "example.org/hook"}, ["alertWebhook", "https://example.org/path"]),
        ({"deadManUrl": "ftp://example.org"}, ["deadManUrl", "https://example.org/path"]),
        ({"deadManUrl": "http://example.org/ping"}, ["deadManUrl", "in clear"]),
        ({"deadManUrl": "https://example.org:65536"}, ["deadManUrl", "https://example.org/path"]),
    ],
)
def test_delivery_that_cannot_work_is_refused(changed: dict[str, Any], expected: list[str]) -> None:
    with pytest.raises(SettingsError) as refusal:
        settings(**changed)
    for words in expected:
        assert words in str(refusal.value)


def test_a_refusal_never_shows_what_may_be_a_key() -> None:
    with pytest.raises(SettingsError) as refusal:
        settings(alertWebhook="gopher://hidden", smtpPassword="hidden")
    assert "hidden" not in str(refusal.value)


def test_plain_http_is_for_private_addresses() -> None:
    assert check_url("http://10.1.1.1:8080/hook") == "http://10.1.1.1:8080/hook"


@pytest.mark.parametrize("host", ["", "mail.example.org", "20.30.40.50", "127.0.0.1", "10.1"])
def test_only_a_private_address_counts_as_a_private_receiver(host: str) -> None:
    assert private_receivers((host, 25), f"https://{host}/hook" if host else "", "") == []


def test_a_key_that_stands_in_clear_is_refused() -> None:
    with pytest.raises(Exception, match="config set --secret alertWebhook"):
        run("dev", alertWebhook="https://example.org/hook?key=k")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, ["Nobody will be notified"]),
        (MAIL, ["deadManUrl is not set"]),
        ({"deadManUrl": "https://example.org"}, ["nobody gets them"]),
        (MAIL | {"deadManUrl": "https://example.org"}, []),
    ],
)
def test_silence_is_announced(changed: dict[str, Any], words: list[str]) -> None:
    warnings = settings(**changed).silence_warnings()
    assert len(warnings) == len(words)
    for word, warning in zip(words, warnings, strict=True):
        assert word in warning

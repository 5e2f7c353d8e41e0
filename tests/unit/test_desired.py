"""What each machine consists of, whole, against its golden page.

After a wanted change: GOLDEN=write pytest tests/unit/test_desired.py, and read the diff. Files that
are copied from host/ as they are stand in a page by their name there.
"""

import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from cloud_init import packages
from cloud_init.first_boot import PREPARE
from host.desired import barman, machine, postgres
from host.desired.barman import BarmanCredentials, BarmanFacts
from host.desired.files import Desired, domain_digest
from host.desired.pooler import PoolerFacts
from host.desired.postgres import Database, PostgresCredentials, PostgresFacts
from host.monitoring.configuration import Delivery, Smtp
from settings.parameters import chosen, derive, encryption
from settings.vm_sizes import VM_SIZES
from tests.unit.stack_double import ROOT

DIGEST = "<digest of host/domain>"
GOLDEN = Path(__file__).parent / "golden" / "machines"

POSTGRES = PostgresFacts(
    version="17",
    packages=packages.postgres("17"),
    address="10.20.0.4",
    barman_address="10.20.1.4",
    client_cidrs=("10.30.0.0/16", "10.31.0.0/24"),
    parameters={
        **derive(VM_SIZES["Standard_DS3_v2"], 1100),
        **chosen({}),
        **encryption(postgres.server_file("17")),
    },
    databases=(
        Database("app", owner="app", extensions=("pg_trgm",)),
        Database("reports", owner="app", extensions=()),
    ),
    durability="sync-with-fallback",
    fallback_after_s=30,
    snapshot_every_s=6 * 3600,
    snapshots_kept=4,
)
WITH_POOLER = replace(POSTGRES, pooler=PoolerFacts(pool_size=94))
POSTGRES_CREDENTIALS = PostgresCredentials(
    private_key="<private key of PostgreSQL's machine>\n",
    barman_host_key="<host key of Barman's machine>",
    barman_key="<public key of Barman's machine>",
    passwords={
        "barman": "<password of barman>",
        "streaming_barman": "<password of streaming_barman>",
        "app": "<password of app>",
    },
    server_file="<key and certificate of the server>\n",
)
BARMAN = BarmanFacts(
    version="17",
    packages=packages.barman("17"),
    postgres_address="10.20.0.4",
    compression="gzip",
    retention="RECOVERY WINDOW OF 7 DAYS",
    backup_schedule="0 4 * * *",
    backup_interval=timedelta(days=1),
    drill_schedule="0 12 * * 0",
    drill_calendar="Sun *-*-* 12:0:00 UTC",
    drill_queries={"app": "SELECT count(*) > 0 FROM orders"},
    durability="sync-with-fallback",
    delivery=Delivery(
        email="dba@example.org",
        smtp=Smtp(
            host="mail.example.org",
            port=587,
            sender="alerts@example.org",
            user="alerts",
            password="<password of the mail server>",
        ),
        webhook="https://chat.example.org/hook?key=k",
        dead_man="https://dead.example.org/ping",
    ),
)
BARMAN_CREDENTIALS = BarmanCredentials(
    private_key="<private key of Barman's machine>\n",
    postgres_host_key="<host key of PostgreSQL's machine>",
    postgres_key="<public key of PostgreSQL's machine>",
    passwords={
        "barman": "<password of barman>",
        "streaming_barman": "<password of streaming_barman>",
    },
    authority="<certificate of the authority>\n",
)
OPERATORS = machine.operators(["<public key of the operator>"])


def pooler_of(configuration: postgres.Configuration) -> Desired:
    """The part of a machine's state that is its pooler."""
    assert configuration.pooler
    return configuration.pooler


# By page, then by the program of host/programs that is given each part, in this order.
PAGES: dict[str, dict[str, Desired]] = {
    "postgres.yaml": {
        "first_boot": machine.FirstBoot(packages.postgres("17"), PREPARE),
        "operators": OPERATORS,
        "data_disk": machine.data_disk(1100),
        "postgres": postgres.configuration(POSTGRES, POSTGRES_CREDENTIALS),
        "monitoring": postgres.monitoring(POSTGRES),
    },
    # What a pooler adds.
    "pooler.yaml": {
        "postgres": pooler_of(postgres.configuration(WITH_POOLER, POSTGRES_CREDENTIALS)),
        "monitoring": postgres.monitoring(WITH_POOLER),
    },
    "barman.yaml": {
        "first_boot": machine.FirstBoot(packages.barman("17"), PREPARE),
        "operators": OPERATORS,
        "data_disk": machine.data_disk(250),
        "barman": barman.configuration(BARMAN, BARMAN_CREDENTIALS),
        "streaming_backup": barman.streaming_backup(BARMAN),
        "monitoring": barman.monitoring(BARMAN),
    },
}


class _Mode(int):
    """An access mode, written in octal."""


class _Page(yaml.SafeDumper):
    """Texts of several lines line by line, access modes as chmod takes them."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _mode(dumper: yaml.SafeDumper, mode: _Mode) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:int", f"0{mode:o}")


_Page.add_representer(str, _text)
_Page.add_representer(_Mode, _mode)


def copied_from() -> dict[str, str]:
    """Text -> the file of host/ that has it."""
    sources = [
        path
        for path in (ROOT / "host").rglob("*")
        if path.is_file() and path.suffix in (".py", ".sql", ".conf", ".yml", "")
    ]
    return {path.read_text(): str(path.relative_to(ROOT)) for path in sorted(sources)}


def legible(value: Any, sources: dict[str, str]) -> Any:
    """A document for reading: what is copied from host/ by name."""
    if isinstance(value, dict):
        found = {key: legible(item, sources) for key, item in value.items()}
        if "mode" in found:
            found["mode"] = _Mode(found["mode"])
        if (source := sources.get(value.get("content", ""))) is not None:
            del found["content"]
            found["copy_of"] = source
        elif "content" in found:
            # So that the page stays as it is when a module there changes.
            found["content"] = found["content"].replace(domain_digest(), DIGEST)
        return found
    if isinstance(value, list | tuple):
        return [legible(item, sources) for item in value]
    return value


def page(name: str) -> str:
    sources = copied_from()
    document = {program: legible(part.document(), sources) for program, part in PAGES[name].items()}
    return yaml.dump(document, Dumper=_Page, sort_keys=False, width=1000)


@pytest.mark.parametrize("name", PAGES)
def test_a_machine_consists_of_what_its_page_says(name: str) -> None:
    text = page(name)
    if os.environ.get("GOLDEN") == "write":
        (GOLDEN / name).write_text(text)
    assert text == (GOLDEN / name).read_text()


def test_a_pooler_adds_its_login_and_its_function_to_postgresql_and_nothing_else() -> None:
    without, having = (
        postgres.configuration(facts, POSTGRES_CREDENTIALS).document()
        for facts in (POSTGRES, WITH_POOLER)
    )
    assert {key for key in without if without[key] != having[key]} == {
        "files",
        "roles",
        "grants",
        "pooler",
    }
    (role,) = [each for each in having["roles"] if each not in without["roles"]]
    assert (role["name"], role["password"], role["replication"]) == ("pgbouncer", "", False)
    (grant,) = [each for each in having["grants"] if each not in without["grants"]]
    assert grant["note"] == "created function pooler.credentials"
    hba = [file["content"] for file in having["files"] if file["path"].endswith("pg_hba.conf")]
    assert "local   postgres     pgbouncer " in hba[0]
    assert hba[0].index("pgbouncer") < hba[0].index("local   all          all")


def test_every_golden_page_has_its_machine() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == set(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_nothing_secret_shows_when_a_machine_is_printed(name: str) -> None:
    printed = repr((PAGES[name], POSTGRES_CREDENTIALS, BARMAN_CREDENTIALS, BARMAN))
    for secret in ("<password of", "<private key", "<key and certificate", "hook?key"):
        assert secret not in printed


@pytest.mark.parametrize("name", PAGES)
def test_no_run_writes_a_file_twice(name: str) -> None:
    for part in PAGES[name].values():
        paths = list(files(part.document()))
        assert len(paths) == len(set(paths))


def files(value: Any) -> list[str]:
    """The paths of all files in a document."""
    if isinstance(value, dict):
        own = [value["path"]] if "content" in value else []
        return own + [path for item in value.values() for path in files(item)]
    if isinstance(value, list | tuple):
        return [path for item in value for path in files(item)]
    return []

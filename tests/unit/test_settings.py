"""What the configuration accepts, and what it says when it does not."""

import json
from dataclasses import replace
from datetime import timedelta
from ipaddress import IPv4Network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settings.addresses import plan_addresses
from settings.capacity import Demand, copies_kept, largest_database
from settings.forecast import drill_warnings, tier
from settings.model import Settings, SettingsError, parse
from settings.parameters import chosen
from settings.retention import RecoveryWindow
from settings.schedule import longest_interval
from settings.vm_sizes import VM_SIZES
from tests.unit.stack_double import PROJECT, configuration


def settings(**changed: Any) -> Settings:
    raw = configuration("dev", **changed)
    prefix = f"{PROJECT}:"
    own = {key.removeprefix(prefix): text for key, text in raw.items() if key.startswith(prefix)}
    return parse({**own, "location": raw["azure-native:location"]})


@pytest.mark.parametrize("stack", ["dev", "lab"])
def test_the_stacks_of_this_repository_are_valid(stack: str) -> None:
    raw = configuration(stack)
    prefix = f"{PROJECT}:"
    own = {key.removeprefix(prefix): text for key, text in raw.items() if key.startswith(prefix)}
    parse({**own, "location": raw["azure-native:location"]})


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"postgresVmSze": "Standard_DS3_v2"}, ["postgresVmSze", "did you mean postgresVmSize?"]),
        ({"postgresVmSize": "Standard_DS3v2"}, ["Standard_DS3v2", "did you mean Standard_DS3_v2"]),
        ({"zone": "4"}, ["zone", "4", "1, 2 and 3"]),
        ({"image": "debian-12"}, ["image", "debian-12", "did you mean debian-13"]),
        ({"adminCidrs": ["0.0.0.0/0"]}, ["adminCidrs.0", "open to the world"]),
        ({"clientCidrs": ["0.0.0.0/0"]}, ["clientCidrs.0", "open to the world"]),
        ({"clientCidrs": ["10.30.0.1/16"]}, ["clientCidrs.0", "10.30.0.1/16", "host bits"]),
        ({"clientCidrs": ["10.20.0.0/24"]}, ["clientCidrs", "overlaps the postgres subnet"]),
        ({"adminCidrs": ["10.20.1.0/25"]}, ["adminCidrs", "overlaps the barman subnet"]),
        (
            {"clientCidrs": ["10.30.0.0/16", "10.30.1.0/24"]},
            ["clientCidrs: 10.30.0.0/16 and 10.30.1.0/24 overlap", "keep the larger"],
        ),
        ({"rotations": {"password": "yesterday"}}, ["rotations.password", "yesterday"]),
        ({"rotations": {"ssh": "20261124T120000Z"}}, ["never heard of that key", "ops rotate ssh"]),
        ({"rotations": {"tsl": "20261124T120000Z"}}, ["rotations.tsl"]),
        ({"adminCidrs": []}, ["adminCidrs: empty", "pulumi config set"]),
        ({"vnetCidr": "10.20.0.0/29"}, ["too small", "/28"]),
        ({"vnetCidr": "8.8.0.0/16"}, ["vnetCidr", "private range"]),
        (
            {"expectedDatabaseGb": 30},
            ["barmanDiskGb = 250", "expectedDatabaseGb = 30", "288", "7 days"],
        ),
        (
            {"expectedDatabaseGb": 600, "barmanDiskGb": 20000},
            ["postgresDiskGb = 1100", "at least 1200"],
        ),
        ({"retention": "RECOVERY WINDOW OF 60 DAYS"}, ["barmanDiskGb = 250", "shorten retention"]),
        ({"expectedDailyWalGb": 20}, ["barmanDiskGb = 250", "9 full backups and their WAL"]),
        ({"expectedDailyWalGb": 20, "compression": "none"}, ["barmanDiskGb = 250", "360"]),
        (
            {
                "expectedDatabaseGb": 10,
                "backupSchedule": "*/2 * * * *",
                "barmanDiskGb": 32767,
                "postgresDiskGb": 1100,
                "retention": "RECOVERY WINDOW OF 1 DAY",
            },
            ["backupSchedule", "48 MB/s, Standard_D2s_v3", "2 min", "back up less often"],
        ),
        ({"retention": "REDUNDANCY 3"}, ["retention", "REDUNDANCY 3", "RECOVERY WINDOW OF 7 DAYS"]),
        ({"backupSchedule": "0 25 * * *"}, ["backupSchedule", "0 25 * * *", "'0 4 * * *'"]),
        ({"backupSchedule": "0 4 31 2 *"}, ["backupSchedule", "0 4 31 2 *"]),
        # Debian's cron ignores the whole file for each of these.
        ({"backupSchedule": "0 4 L * *"}, ["backupSchedule", "'L' is no day of the month"]),
        ({"backupSchedule": "0 4 * * 5#2"}, ["'5#2' is no day of the week"]),
        ({"backupSchedule": "0 4 * * 1L"}, ["'1L' is no day of the week"]),
        ({"backupSchedule": "0 4 ? * *"}, ["'?' is no day of the month"]),
        ({"backupSchedule": "@daily"}, ["five fields"]),
        ({"backupSchedule": "0 4 * * mon-fri"}, ["'mon-fri' is no day of the week"]),
        ({"backupSchedule": "0 4 * * 8"}, ["'8' is no day of the week (0 to 7)"]),
        ({"backupSchedule": "0 8-4 * * *"}, ["'8-4' is no hour"]),
        ({"backupSchedule": "0 4/2 * * *"}, ["'4/2' is no hour"]),
        ({"backupSchedule": "0  4 * * *"}, ["five fields"]),
        ({"backupSchedule": "*/0 4 * * *"}, ["'*/0' is no minute"]),
        ({"backupSchedule": "0 4,16 1-15/2 * sun"}, []),
        ({"backupSchedule": "0 4 * * 0,7"}, []),
        ({"backupSchedule": "0 0 4 * * *"}, ["backupSchedule", "five fields"]),
        ({"databases": []}, ["databases"]),
        (
            {"databases": [{"name": 'app"; DROP TABLE x; --', "owner": "app"}]},
            ["databases.0.name", "DROP TABLE"],
        ),
        ({"databases": [{"name": "App", "owner": "app"}]}, ["databases.0.name", "App"]),
        ({"databases": [{"name": "app", "owner": "postgres"}]}, ["postgres", "reserved"]),
        ({"databases": [{"name": "template1", "owner": "a"}]}, ["template1"]),
        ({"databases": [{"name": "a", "owner": "a"}] * 2}, ["named twice"]),
        (
            {"databases": [{"name": "a", "owner": "a", "extension": ["pg_trgm"]}]},
            ["databases.0.extension"],
        ),
        ({"postgresDiskGb": "1100"}, []),
        ({"postgresDiskGb": 11.5}, ["postgresDiskGb = 11.5"]),
        ({"postgresParameters": {"wal_level": "minimal"}}, ["wal_level", "backups depend on it"]),
        ({"postgresParameters": {"wal_level": "logical"}}, []),
        ({"postgresParameters": {"a b": 1}}, ["not the name of a parameter"]),
        ({"postgresParameters": {"work_mem": "1MB\nfsync=off"}}, ["work_mem"]),
        ({"pooler": "yes"}, ["pooler"]),
        ({"pooler": True}, []),
        (
            {"pooler": True, "databases": [{"name": "a", "owner": "pgbouncer"}]},
            ["the name pgbouncer is PgBouncer's own"],
        ),
        ({"databases": [{"name": "pgbouncer", "owner": "a"}]}, []),
        (
            {"pooler": True, "postgresParameters": {"max_connections": 12}},
            ["pooler: 12 connections", "max_connections to 13 or more"],
        ),
        ({"pooler": True, "postgresParameters": {"max_connections": 13}}, []),
        ({"pooler": True, "postgresParameters": {"max_connections": "many"}}, ["whole numbers"]),
        ({"durability": "synchronous"}, ["durability", "synchronous", "sync-with-fallback"]),
        ({"fallbackAfterSeconds": 4}, ["fallbackAfterSeconds = 4"]),
        (
            {"durability": "sync", "postgresParameters": {"synchronous_commit": "off"}},
            ["postgresParameters.synchronous_commit", "per transaction"],
        ),
        (
            {"durability": "async", "postgresParameters": {"synchronous_commit": "off"}},
            [],
        ),
        ({"compression": "rar"}, ["compression", "rar", "gzip"]),
        ({"diskSku": "Ultra"}, ["diskSku", "Ultra"]),
        ({"diskLocks": "yes"}, ["diskLocks", "yes"]),
        ({"encryptionAtHost": "yes"}, ["encryptionAtHost", "yes"]),
    ],
)
def test_bad_configuration_is_refused_with_key_value_and_remedy(
    changed: dict[str, Any], expected: list[str]
) -> None:
    if not expected:
        settings(**changed)
        return
    with pytest.raises(SettingsError) as refusal:
        settings(**changed)
    for words in expected:
        assert words in str(refusal.value)


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(SettingsError) as refusal:
        settings(postgresVmSze="x", image="y", diskSku="z")
    assert str(refusal.value).count("\n") == 3


def test_a_missing_key_is_named() -> None:
    with pytest.raises(SettingsError, match="retention: not set"):
        settings(retention=None)


def test_defaults_live_in_the_project_file_alone() -> None:
    assert {name for name, field in Settings.model_fields.items() if not field.is_required()} == (
        set()
    )


@given(st.integers(min_value=8, max_value=28), st.integers(min_value=0, max_value=2**32 - 1))
def test_address_layout(prefix: int, base: int) -> None:
    vnet = IPv4Network((base, prefix), strict=False)
    plan = plan_addresses(vnet)
    assert plan.postgres_subnet.subnet_of(vnet)
    assert plan.barman_subnet.subnet_of(vnet)
    assert not plan.postgres_subnet.overlaps(plan.barman_subnet)
    for subnet, address in (
        (plan.postgres_subnet, plan.postgres_address),
        (plan.barman_subnet, plan.barman_address),
    ):
        reserved = [*list(subnet)[:4], subnet.broadcast_address]
        assert address in subnet
        assert address not in reserved


@given(st.integers(min_value=29, max_value=32))
def test_a_network_too_small_for_two_subnets_is_refused(prefix: int) -> None:
    with pytest.raises(ValueError, match="too small"):
        plan_addresses(IPv4Network(("10.0.0.0", prefix)))


@given(
    st.dictionaries(
        st.text(max_size=20),
        st.one_of(st.text(max_size=20), st.integers(), st.lists(st.text(max_size=5))),
        max_size=4,
    )
)
def test_nonsense_is_refused_and_never_crashes(config: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        parse(
            {
                key: value if isinstance(value, str) else json.dumps(value)
                for key, value in config.items()
            }
        )


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("RECOVERY WINDOW OF 7 DAYS", 7),
        ("recovery window of 1 day", 1),
        ("RECOVERY WINDOW OF 2 WEEKS", 14),
        ("RECOVERY WINDOW OF 1 MONTH", 31),
    ],
)
def test_recovery_window(text: str, days: int) -> None:
    assert RecoveryWindow.parse(text).length == timedelta(days=days)


@pytest.mark.parametrize(
    ("expression", "longest"),
    [
        ("0 4 * * *", timedelta(days=1)),
        ("0 4 * * 0", timedelta(days=7)),
        ("0 */6 * * *", timedelta(hours=6)),
        ("0 4 1 * *", timedelta(days=31)),
    ],
)
def test_longest_interval(expression: str, longest: timedelta) -> None:
    assert longest_interval(expression) == longest


def test_a_week_of_nightly_backups_is_nine_copies() -> None:
    assert copies_kept(RecoveryWindow.parse("RECOVERY WINDOW OF 7 DAYS"), timedelta(days=1)) == 9


def test_the_dev_stack_is_told_what_its_sizes_mean() -> None:
    first, second, third = settings().forecast()
    # 1100 GiB at the Barman machine's 48 MB/s.
    assert "1100 GiB, 6.8 h" in first
    assert "48 MB/s at most, Standard_D2s_v3" in first
    assert "will hold up to 198 GiB" in second
    assert "9 full backups" in second and "18 GiB of WAL" in second
    assert "25 GiB or more with RECOVERY WINDOW OF 7 DAYS" in second
    assert "P40 (up to 2048 GiB cost the same) and P15 (up to 256 GiB cost the same)" in third


def test_sizes_that_a_new_subscription_cannot_deploy_are_told_with_those_that_it_can() -> None:
    (sentence,) = settings().availability_warnings()
    assert "az vm list-skus -l westeurope" in sentence
    assert "az vm list-usage -l westeurope" in sentence
    postgres, barman = sentence.partition("type: ")[2].split(" && ")
    changed = dict(each.removeprefix("pulumi config set ").split() for each in (postgres, barman))
    assert settings(**changed).availability_warnings() == []
    (sentence,) = settings(postgresVmSize="Standard_E4s_v5").availability_warnings()
    assert "postgresVmSize" not in sentence and "barmanVmSize Standard_D2s_v3" in sentence


def test_what_replaces_a_retiring_size_is_known_lasts_and_is_no_smaller() -> None:
    for size in VM_SIZES.values():
        if size.retires:
            other = VM_SIZES[size.successor or ""]
            assert other.retires is None
            # Azure resizes to nothing else.
            assert other.temporary_disk == size.temporary_disk
            assert (other.vcpus, other.memory_gib) >= (size.vcpus, size.memory_gib)


# Nightly backups of 20 GiB and 4 GiB of WAL a day, kept for a week: the defaults.
DEMAND = Demand(20, 4, "gzip", RecoveryWindow.parse("RECOVERY WINDOW OF 7 DAYS"), timedelta(days=1))


@given(st.integers(min_value=1, max_value=60), st.integers(min_value=0, max_value=2))
def test_what_the_forecast_says_fits_is_accepted_and_no_more(days: int, wal: int) -> None:
    window = RecoveryWindow.parse(f"RECOVERY WINDOW OF {days} DAYS")
    asked = replace(DEMAND, window=window, daily_wal_gib=wal)
    most = largest_database(250, asked)
    assert replace(asked, database_gib=most).full_after(250) is None
    assert replace(asked, database_gib=most + 1).full_after(250) is not None


def test_a_disk_that_is_too_small_lasts_for_some_backups() -> None:
    # Nightly 30 GiB and 2 GiB of WAL: 7 of them are 224 GiB, 8 are 256.
    assert replace(DEMAND, database_gib=30).full_after(250) == timedelta(days=7)
    assert replace(DEMAND, database_gib=30).full_after(288) is None
    assert replace(DEMAND, database_gib=300).full_after(250) == timedelta(0)


def test_a_disk_that_is_just_large_enough_is_warned_of() -> None:
    assert settings().demand == DEMAND
    assert settings().capacity_warnings() == []
    crowded, drills = settings(expectedDatabaseGb=24).capacity_warnings()
    assert "94 % full" in crowded and "276 keeps below" in crowded
    assert "no room for restore drills" in drills and "273" in drills


def test_a_drill_that_no_backup_would_let_end_is_warned_of() -> None:
    pair = settings().pair
    # 1300 GiB read, written and read again at 48 MB/s are more than a day.
    (warning,) = drill_warnings(replace(DEMAND, database_gib=1300), pair)
    assert "24.2 h" in warning and "48 MB/s" in warning
    assert drill_warnings(replace(DEMAND, database_gib=1200), pair) == []


def test_the_slowest_part_limits_a_restore() -> None:
    pair = settings().pair
    assert pair.bottleneck == (48, "Standard_D2s_v3")
    large = VM_SIZES["Standard_D8s_v5"]
    larger = replace(pair, barman=large, postgres=large)
    assert larger.bottleneck == (125, "a P15 disk")
    assert replace(larger, barman_disk_gib=2000).bottleneck == (250, "a P40 disk")


@pytest.mark.parametrize(
    ("gib", "sku", "billed"),
    [(250, "Premium_LRS", "P15"), (256, "Premium_LRS", "P15"), (257, "StandardSSD_LRS", "E20")],
)
def test_disk_tiers(gib: int, sku: str, billed: str) -> None:
    assert tier(gib, sku).name == billed


def test_the_pooler_leaves_half_of_the_connections_to_others() -> None:
    assert settings(pooler=True).pool_size == 94
    assert settings(pooler=True, postgresParameters={"max_connections": 500}).pool_size == 244
    three = [{"name": name, "owner": "app"} for name in ("a", "b", "c")]
    assert settings(pooler=True, databases=three).pool_size == 31


@pytest.mark.parametrize(
    ("given", "loaded"),
    [
        ({}, "pg_stat_statements"),
        ({"shared_preload_libraries": "pg_cron"}, "pg_stat_statements,pg_cron"),
        (
            {"shared_preload_libraries": "auto_explain, pg_stat_statements"},
            "pg_stat_statements,auto_explain",
        ),
    ],
)
def test_the_operators_libraries_are_loaded_beside_ours(
    given: dict[str, str | int | float | bool], loaded: str
) -> None:
    assert chosen(given)["shared_preload_libraries"] == loaded
    assert chosen({"work_mem": "1MB", **given})["work_mem"] == "1MB"

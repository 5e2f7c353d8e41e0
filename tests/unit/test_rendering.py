"""Every rendered document against its golden file, and against the programs that read it.

After a wanted change: GOLDEN=write pytest tests/unit/test_rendering.py, and read the diff.
"""

import base64
import os
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cloud_init import packages
from cloud_init.first_boot import FirstBoot
from cloud_init.first_boot import render as render_first_boot
from components import ssh_keys
from host import render
from host.monitoring import configuration, services
from host.monitoring.configuration import Delivery, Smtp
from settings.parameters import OWNED, derive
from settings.vm_sizes import VM_SIZES

GOLDEN = Path(__file__).parent / "golden" / "documents"
HOST_KEY = ssh_keys.derive(bytes(32))

DOCUMENTS = {
    "postgres-first-boot.yaml": lambda: render_first_boot(
        FirstBoot("<host private key>\n", HOST_KEY.public, packages.postgres("17"))
    ),
    "barman-first-boot.yaml": lambda: render_first_boot(
        FirstBoot("<host private key>\n", HOST_KEY.public, packages.barman("17"))
    ),
    "postgresql.conf": lambda: render.postgresql_conf(derive(VM_SIZES["Standard_DS3_v2"], 1100)),
    "pg_hba.conf": lambda: render.pg_hba_conf(
        "10.20.1.4", ["10.30.0.0/16", "10.31.0.0/24"], {"prometheus": "postgres"}
    ),
    "pgbouncer.ini": lambda: render.pgbouncer_ini(
        address="10.20.0.4",
        pool_size=94,
        hba_file="/etc/pooler/hba.conf",
        users_file="/etc/pooler/users.txt",
        server_file="/etc/pooler/server.pem",
        stats_user="prometheus",
    ),
    "pgbouncer-hba.conf": lambda: render.pgbouncer_hba(
        ["10.30.0.0/16", "10.20.0.4/32"], ["postgres", "barman"], "prometheus"
    ),
    "pgbouncer.service": lambda: render.pgbouncer_unit("17", "/etc/pooler/pgbouncer.ini"),
    "data-disk.conf": lambda: render.data_disk_unit("/data"),
    "barman.conf": lambda: render.barman_conf("/data/barman"),
    "barman-backup.conf": lambda: render.barman_backup_conf("/data/barman"),
    "barman-server.conf": lambda: server_conf(),
    "barman-server-packed.conf": lambda: server_conf(packed=True),
    "barman-server-uncompressed.conf": lambda: server_conf(compression="none"),
    "barman-cron": lambda: render.barman_cron("pg", "0 4 * * *"),
    "sshd-barman.conf": lambda: render.sshd_hardening_conf(
        "dbadmin", "barman", ("10.20.0.4:22", "127.0.0.1:9090", "127.0.0.1:9093")
    ),
    "sshd-postgres.conf": lambda: render.sshd_hardening_conf("dbadmin", "postgres"),
    "barman-receiver-watch.service": lambda: render.receiver_watch_unit("10.20.0.4"),
    "backup-verify.service": lambda: render.backup_verify_unit("/data/barman", "pg"),
    "backup-verify.timer": render.backup_verify_timer,
    "durability-guard.service": lambda: render.durability_guard_unit("/etc/postgresql/17/main"),
    "durability-guard.json": lambda: render.durability_guard_json(
        "sync-with-fallback", 30, "/etc/postgresql/17/main", "0" * 64
    ),
    "heartbeat.service": lambda: render.heartbeat_unit("17"),
    "restore-drill.json": lambda: render.restore_drill_json(
        "pg", "/data/barman", "17", {"app": "SELECT count(*) > 0 FROM orders"}
    ),
    **{
        name: lambda name=name: drill_units()[name]
        for name in ("restore-drill.service", "restore-drill-clean.service", "restore-drill.timer")
    },
    "authorized_keys": lambda: render.authorized_key(
        HOST_KEY.public, "10.20.0.4", command=f"{render.SSH_GATE} pg"
    ),
    "known_hosts": lambda: render.known_hosts("10.20.0.4", HOST_KEY.public),
    "prometheus.yml": lambda: configuration.prometheus_yml("10.20.0.4", pooler=False),
    "alertmanager.yml": lambda: configuration.alertmanager_yml(
        Delivery(
            email="dba@example.org",
            smtp=Smtp("mail.example.org", 587, "alerts@example.org", "alerts", "a: 'b' {{c}}"),
            webhook="https://chat.example.org/hook?key=k",
            dead_man="https://dead.example.org/ping",
        )
    ),
    "alertmanager-nobody.yml": lambda: configuration.alertmanager_yml(Delivery()),
    "prometheus.conf": lambda: services.barman_units()["prometheus"],
    "prometheus-postgres-exporter.conf": lambda: services.postgres_units("10.20.0.4")[
        "prometheus-postgres-exporter"
    ],
    "prometheus-pgbouncer-exporter.conf": lambda: services.pooler_unit("10.20.0.4"),
    "prometheus-with-pooler.yml": lambda: configuration.prometheus_yml("10.20.0.4", pooler=True),
    "barman-exporter.service": render.barman_exporter_unit,
    "pgpass": lambda: render.pgpass("10.20.0.4", {"barman": "a:b\\c", "streaming_barman": "d"}),
}


def drill_units() -> dict[str, str]:
    return render.restore_drill_units("0 12 * * 0", "Sun *-*-* 12:0:00 UTC")


def server_conf(compression: str = "gzip", *, packed: bool = False) -> str:
    return render.barman_server_conf(
        server="pg",
        description="PostgreSQL on 10.20.0.4",
        address="10.20.0.4",
        slot="barman",
        compression=compression,
        retention="RECOVERY WINDOW OF 7 DAYS",
        backup_interval=timedelta(days=1),
        packed=packed,
    )


@pytest.mark.parametrize("name", DOCUMENTS)
def test_golden(name: str) -> None:
    text = DOCUMENTS[name]()
    if os.environ.get("GOLDEN") == "write":
        (GOLDEN / name).write_text(text)
    assert text == (GOLDEN / name).read_text()


def test_every_golden_file_has_its_document() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == set(DOCUMENTS)


def test_a_nightly_backup_may_be_two_hours_late() -> None:
    assert "last_backup_maximum_age = 26 HOURS" in server_conf()


@given(st.sampled_from(sorted(VM_SIZES)), st.integers(min_value=8, max_value=32767))
def test_parameters_fit_every_machine(size: str, disk_gib: int) -> None:
    vm = VM_SIZES[size]
    parameters = derive(vm, disk_gib)
    megabytes = {
        name: int(value.removesuffix("MB"))
        for name, value in parameters.items()
        if isinstance(value, str) and value.endswith("MB")
    }
    connections = parameters["max_connections"]
    assert isinstance(connections, int)
    sorting = 2 * connections * megabytes["work_mem"]
    assert megabytes["shared_buffers"] + max(sorting, 0) <= vm.memory_gib * 1024
    assert megabytes["min_wal_size"] <= megabytes["max_wal_size"]
    wal = megabytes["max_wal_size"] + megabytes["max_slot_wal_keep_size"]
    assert wal <= disk_gib * 1024 // 2
    # Two segments are the least that PostgreSQL accepts.
    assert megabytes["min_wal_size"] >= 32


def test_what_backups_need_is_set_and_cannot_be_overridden() -> None:
    parameters = derive(VM_SIZES["Standard_DS3_v2"], 1100)
    assert parameters["wal_level"] == "replica"
    for name in ("max_wal_senders", "max_replication_slots", "password_encryption"):
        assert name in OWNED


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["C"]), max_size=30))
def test_a_value_never_escapes_its_quotes(value: str) -> None:
    text = render.postgresql_conf({"application_name": value})
    line = next(item for item in text.split("\n") if item.startswith("application_name"))
    quoted = line.removeprefix("application_name = ")
    assert quoted[0] == quoted[-1] == "'"
    assert quoted[1:-1].replace("\\\\", "\\").replace("''", "'") == value


@given(st.binary(min_size=32, max_size=32))
def test_a_seed_is_one_openssh_key_forever(seed: bytes) -> None:
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_ssh_private_key,
    )

    key = ssh_keys.derive(seed)
    assert key == ssh_keys.derive(seed)
    read = load_ssh_private_key(key.private.encode(), None)
    public = read.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    assert public.decode() == key.public


def test_ssh_keygen_reads_the_key(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(HOST_KEY.private)
    path.chmod(0o600)
    done = subprocess.run(
        ["ssh-keygen", "-y", "-f", path], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == HOST_KEY.public


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_seed_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        ssh_keys.derive(bytes(size))


@pytest.mark.parametrize("name", ["postgres-first-boot.yaml", "barman-first-boot.yaml"])
def test_first_boot_fits_azure_s_limit_and_reads_as_yaml(name: str) -> None:
    text = DOCUMENTS[name]()
    assert text.startswith("#cloud-config\n")
    assert len(base64.b64encode(text.encode())) < 64 * 1024
    document = yaml.safe_load(text)
    assert document["runcmd"] == [["/usr/local/sbin/prepare-data-disk", "0"]]

"""The stack as `make up` leaves it: machines, backup, network, secrets. Every claim on the lab."""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from lab.names import Lab
from tests.support.application import Application
from tests.support.checkout import CHECKOUT, NIGHTLY
from tests.support.stack import Stack
from tests.support.waiting import eventually

MACHINES = ("postgres-lab", "barman-lab")
POSTGRES, BARMAN = "10.20.0.4", "10.20.1.4"
GIB = 1024**3


def receiver(stack: Stack) -> str:
    return stack.sql(
        "SELECT state FROM pg_stat_replication WHERE application_name = 'barman_receive_wal'"
    )


def failed_checks(stack: Stack) -> list[str]:
    return [line for line in stack.barman("check", "pg").splitlines() if "FAILED" in line]


@pytest.mark.machines
@pytest.mark.parametrize("name", MACHINES)
def test_machines_run_a_whole_systemd(stack: Stack, name: str) -> None:
    assert stack.on(name, "systemctl is-system-running") == "running"
    assert stack.on(name, "cat /proc/1/comm") == "systemd"


@pytest.mark.machines
@pytest.mark.parametrize(("name", "gib"), [("postgres-lab", 1100), ("barman-lab", 250)])
def test_data_is_on_a_disk_of_the_card_s_size(stack: Stack, name: str, gib: int) -> None:
    device, size = stack.on(name, "df -B1 --output=source,size /data | tail -1").split()
    assert int(size) == pytest.approx(gib * GIB, rel=0.02)
    assert stack.on(name, f"lsblk -dnbo SIZE,TYPE {device}").split() == [str(gib * GIB), "loop"]
    assert stack.on(name, "grep -c '^UUID=.* /data ' /etc/fstab") == "1"


@pytest.mark.machines
@pytest.mark.parametrize("role", ["postgres", "barman"])
def test_cloud_init_itself_accepts_the_first_boot(stack: Stack, role: str) -> None:
    golden = CHECKOUT / "tests" / "unit" / "golden" / "documents" / f"{role}-first-boot.yaml"
    path = "/root/first-boot.yaml"
    stack.on("barman-lab", f"cat > {path} <<'END'\n{golden.read_text()}END")
    assert "Valid schema" in stack.on("barman-lab", f"cloud-init schema --config-file {path} 2>&1")
    stack.on("barman-lab", f"echo 'packages: 7' >> {path}")
    assert "Error" in stack.on(
        "barman-lab", f"cloud-init schema --config-file {path} 2>&1", check=False
    )


@pytest.mark.backup
def test_barman_has_nothing_to_complain_about(stack: Stack) -> None:
    assert failed_checks(stack) == []


@pytest.mark.backup
def test_there_is_a_full_backup(stack: Stack) -> None:
    backups = json.loads(stack.barman("-f", "json", "list-backups", "pg"))["pg"]
    assert "DONE" in [backup["status"] for backup in backups]


@pytest.mark.backup
def test_wal_streams_through_the_slot(stack: Stack) -> None:
    assert receiver(stack) == "streaming"
    assert (
        stack.sql("SELECT slot_name, active, wal_status FROM pg_replication_slots")
        == "barman|t|reserved"
    )


@pytest.mark.machines
@pytest.mark.parametrize("name", ["postgres-lab", "barman-lab"])
def test_nothing_restarts_sshd_in_the_first_boot(stack: Stack, name: str) -> None:
    """A connection that comes between a start and a restart is dropped."""
    units = "-u ssh -u cloud-final"
    log = stack.on(name, f"journalctl --no-pager -o cat -b 1 {units}")
    before, first_boot_finished, _ = log.partition("Finished cloud-final.service")
    assert first_boot_finished
    assert "Started ssh.service" in before
    assert "Stopping ssh.service" not in before


@pytest.mark.machines
def test_the_cluster_is_what_was_asked_for(stack: Stack) -> None:
    shown = {
        name: stack.sql(f"SHOW {name}")
        for name in (
            "data_directory",
            "data_checksums",
            "password_encryption",
            "wal_level",
            "shared_buffers",
            "max_slot_wal_keep_size",
            "max_connections",
        )
    }
    assert shown == {
        "data_directory": f"/data/postgresql/{stack.cluster}",
        "data_checksums": "on",
        "password_encryption": "scram-sha-256",
        "wal_level": "replica",
        "shared_buffers": "3584MB",
        "max_slot_wal_keep_size": "220GB",
        "max_connections": "200",
    }


@pytest.mark.secrets
def test_barman_is_no_superuser(stack: Stack) -> None:
    roles = stack.sql(
        "SELECT rolname, rolsuper, rolreplication FROM pg_roles "
        "WHERE rolname LIKE '%barman' ORDER BY 1"
    )
    assert roles.splitlines() == ["barman|f|f", "streaming_barman|f|t"]


@pytest.mark.backup
def test_words_with_a_trigram_index_reach_barman_within_seconds(
    stack: Stack, application: Application
) -> None:
    words = [
        word
        for word in Path("/usr/share/dict/words").read_text().splitlines()
        if re.fullmatch(r"[a-z]+", word)
    ]
    marker = f"zzz{time.time_ns()}"
    with application.connect() as connection:
        connection.execute("DROP TABLE IF EXISTS words")
        connection.execute("CREATE TABLE words (word text)")
        with connection.cursor().copy("COPY words FROM STDIN") as copy:
            copy.write("\n".join(words).encode())
        connection.execute("CREATE INDEX ON words USING gin (word gin_trgm_ops)")
        connection.execute("ANALYZE words")
        connection.execute("SET enable_seqscan = off")
        plan = connection.execute(
            "EXPLAIN SELECT word FROM words WHERE word LIKE '%strea%'"
        ).fetchall()
        found = connection.execute("SELECT word FROM words WHERE word LIKE '%strea%'").fetchall()
        connection.execute("INSERT INTO words VALUES (%s)", (marker,))
    assert "Bitmap Index Scan on words_word_idx" in str(plan)
    assert {row[0] for row in found} == {word for word in words if "strea" in word}
    eventually("the marker row in Barman's WAL", lambda: in_streamed_wal(stack, marker), 10)
    # The same look for a row that was never written, or this test proves nothing.
    assert not in_streamed_wal(stack, f"{marker}-never-written")


def in_streamed_wal(stack: Stack, text: str) -> bool:
    return bool(stack.on("barman-lab", f"grep -rla {text} /data/barman/pg/streaming", check=False))


@pytest.mark.backup
def test_a_pgbench_load_arrives_whole(stack: Stack) -> None:
    version = stack.cluster.split("/")[0]
    bench = f"runuser -u postgres -- /usr/lib/postgresql/{version}/bin/pgbench"
    stack.on("postgres-lab", f"cd / && {bench} -i -s 5 -q app && {bench} -c 4 -j 2 -T 5 app")
    end = stack.sql("SELECT pg_current_wal_flush_lsn()")
    # Written, not flushed: an asynchronous receiver flushes at the end of a segment.
    arrived = (
        f"SELECT write_lsn >= '{end}' FROM pg_stat_replication "  # noqa: S608
        "WHERE application_name = 'barman_receive_wal'"
    )
    eventually(
        "Barman to have flushed the load",
        lambda: stack.sql(arrived) == "t",
        20,
    )


@pytest.mark.secrets
def test_only_scram_with_the_right_password_lets_an_application_in(
    stack: Stack, application: Application
) -> None:
    with application.connect() as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("app",)
        assert connection.pgconn.used_password
    methods = stack.sql("SELECT DISTINCT auth_method FROM pg_hba_file_rules WHERE type <> 'local'")
    assert set(methods.split()) == {"scram-sha-256", "reject"}
    wrong = re.sub(r":[^:@/]+@", ":wrong@", application.uri)
    none = re.sub(r":[^:@/]+@", "@", application.uri)
    for uri, message in ((wrong, "password authentication failed"), (none, "no password supplied")):
        with pytest.raises(psycopg.OperationalError, match=message):
            Application(application.client, uri).connect()


@pytest.mark.secrets
def test_barman_s_roles_are_of_no_use_from_anywhere_else(
    stack: Stack, application: Application
) -> None:
    for role in ("barman", "streaming_barman", "postgres"):
        uri = f"postgresql://{role}:x@{POSTGRES}/postgres"
        with pytest.raises(psycopg.OperationalError, match=r"pg_hba\.conf rejects"):
            Application(application.client, uri).connect()


@pytest.mark.network
def test_the_jump_host_leads_to_postgres_s_ssh_port_and_its_own_monitoring_only(
    stack: Stack, tmp_path: Path
) -> None:
    outputs = stack.outputs
    key = tmp_path / "key"
    key.touch(0o600)
    key.write_text(outputs["sshPrivateKey"])
    barman, postgres = outputs["barman"], outputs["postgres"]
    known = tmp_path / "known_hosts"
    known.write_text(f"{barman['sshAddress']} {barman['hostKey']}\n")
    options = f"-F none -i {key} -o UserKnownHostsFile={known} -o BatchMode=yes -q"
    login = f"{barman['sshUser']}@{barman['sshAddress']}"

    def through(target: str) -> str:
        asking = r"printf 'GET /-/ready HTTP/1.0\r\n\r\n'; sleep 1"
        command = f"({asking}) | timeout 5 ssh {options} -W {target} {login}"
        return subprocess.run(
            ["bash", "-c", command], capture_output=True, text=True, check=False
        ).stdout

    assert through(f"{postgres['privateAddress']}:22").startswith("SSH-2.0")
    for port in (9090, 9093):
        assert "200 OK" in through(f"127.0.0.1:{port}"), port
    assert through(f"{postgres['privateAddress']}:5432") == ""
    assert through(f"{postgres['privateAddress']}:9187") == ""
    for port in (22, 9100, 9780):
        assert through(f"127.0.0.1:{port}") == "", port


@pytest.mark.secrets
def test_nobody_but_root_reads_barman_s_passwords(stack: Stack) -> None:
    assert stack.on("barman-lab", "stat -c '%a %U' /var/lib/barman/.pgpass") == "600 barman"


@pytest.mark.provider
def test_preview_after_up_has_nothing_to_do(stack: Stack) -> None:
    stack.pulumi("preview", "--expect-no-changes", "--non-interactive")


@pytest.mark.provider
def test_up_again_changes_nothing(stack: Stack) -> None:
    again = stack.lab_command("up")
    assert "unchanged" in again.stdout + again.stderr
    assert "updated" not in again.stdout + again.stderr


@pytest.mark.provider
def test_pulumi_refresh_finds_everything_as_it_was(stack: Stack) -> None:
    stack.pulumi("refresh", "--expect-no-changes", "--yes", "--non-interactive", "--skip-preview")


@pytest.fixture
def other_settings(stack: Stack) -> Iterator[None]:
    """Two settings changed, and as before afterwards."""
    stack.pulumi("config", "set", "postgres-barman:retention", "RECOVERY WINDOW OF 5 DAYS")
    stack.pulumi(
        "config", "set", "--path", "postgres-barman:postgresParameters.max_connections", "123"
    )
    yield
    for name in ("retention", "postgresParameters"):
        stack.pulumi("config", "rm", f"postgres-barman:{name}")
    stack.up()
    eventually(
        "the receiver after PostgreSQL's restart", lambda: receiver(stack) == "streaming", 90
    )


@pytest.mark.provider
@pytest.mark.usefixtures("other_settings")
def test_changed_settings_change_only_what_they_must(stack: Stack) -> None:
    boots = {name: stack.on(name, "uptime -s") for name in MACHINES}
    plan = json.loads(stack.pulumi("preview", "--json", "--non-interactive").stdout)
    changed = {
        step["urn"].split("::")[-1]: step["op"] for step in plan["steps"] if step["op"] != "same"
    }
    assert changed == {"barman-configure": "update", "postgres-configure": "update"}
    stack.up()
    assert stack.sql("SHOW max_connections") == "123"
    server = json.loads(stack.barman("-f", "json", "show-servers", "pg"))["pg"]
    assert server["retention_policy"] == "RECOVERY WINDOW OF 5 DAYS"
    assert {name: stack.on(name, "uptime -s") for name in MACHINES} == boots
    eventually(
        "the receiver after PostgreSQL's restart", lambda: receiver(stack) == "streaming", 90
    )


@pytest.mark.provider
def test_a_parameter_that_postgres_refuses_is_taken_back(stack: Stack) -> None:
    configuration = f"cat {stack.configuration}/conf.d/pulumi.conf"
    before = stack.on("postgres-lab", configuration)
    stack.pulumi("config", "set", "--path", "postgres-barman:postgresParameters.work_mem", "banana")
    try:
        refused = stack.up(check=False)
        assert refused.returncode != 0
        assert "work_mem" in refused.stdout + refused.stderr
        assert stack.on("postgres-lab", configuration) == before
        assert stack.sql("SELECT 1") == "1"
    finally:
        stack.pulumi("config", "rm", "--path", "postgres-barman:postgresParameters.work_mem")
        # To Pulumi nothing has changed.
        stack.ops("apply")


@pytest.mark.provider
def test_an_ssh_agent_that_is_gone_does_not_stop_an_update(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "ssh-gone" / "agent.1"))
    stack.ops("apply")
    assert not (tmp_path / "ssh-gone" / "agent.1").exists()


@pytest.mark.provider
def test_a_misspelt_setting_is_refused_before_anything_is_touched(stack: Stack) -> None:
    stack.pulumi("config", "set", "postgres-barman:retentoin", "RECOVERY WINDOW OF 1 DAYS")
    try:
        refused = stack.pulumi("preview", "--non-interactive", check=False)
        assert refused.returncode != 0
        assert "did you mean retention?" in refused.stdout + refused.stderr
    finally:
        stack.pulumi("config", "rm", "postgres-barman:retentoin")


@pytest.mark.machines
@pytest.mark.parametrize("name", MACHINES)
def test_everything_comes_back_after_power_off_and_on(stack: Stack, name: str) -> None:
    identity = "findmnt -no UUID /data; cat /data/.survivor"
    stack.on(name, "date +%s%N > /data/.survivor")
    before = stack.on(name, identity)
    stack.lab_command("power-off", name)
    stack.lab_command("power-on", name)
    eventually(
        f"{name} to have its disk", lambda: stack.on(name, identity, check=False) == before, 60
    )
    eventually(
        "PostgreSQL",
        lambda: stack.on("postgres-lab", "pg_isready -q && echo yes", check=False) == "yes",
    )
    # cron starts the receiver again at the next full minute.
    eventually("the receiver", lambda: receiver(stack) == "streaming", 130)
    assert failed_checks(stack) == []


@pytest.mark.backup
def test_cron_has_its_entries_and_runs(stack: Stack) -> None:
    entries = stack.on("barman-lab", "grep -v '^#' /etc/cron.d/barman")
    assert "* * * * * barman /usr/local/bin/barman-guarded cron" in entries
    assert f"{NIGHTLY} barman /usr/local/bin/barman-guarded backup pg" in entries
    since = stack.on("barman-lab", "date '+%F %T'")
    eventually(
        "barman cron to have run",
        lambda: (
            "barman cron: done"
            in stack.on("barman-lab", f"journalctl -t barman-cron --no-pager --since '{since}'")
        ),
        70,
    )


@pytest.mark.backup
def test_the_nightly_entry_makes_a_backup(stack: Stack) -> None:
    before = stack.barman("list-backups", "pg").count("\n")
    stack.on("barman-lab", "runuser -u barman -- /usr/local/bin/barman-guarded backup pg")
    eventually(
        "a second backup to be DONE",
        lambda: stack.barman("-f", "json", "list-backups", "pg").count('"DONE"') == before + 1,
        90,
    )


@pytest.mark.backup
def test_cron_does_nothing_while_the_disk_is_not_mounted(stack: Stack) -> None:
    # In a mount namespace of its own: what cron would see on a machine that lost its disk.
    output = stack.on(
        "barman-lab",
        "unshare -m sh -c 'umount -l /data; runuser -u barman -- "
        "/usr/local/bin/barman-guarded cron'; echo $?",
    )
    assert output == "1"
    assert "skipped: /data is not mounted" in stack.on(
        "barman-lab", "journalctl -t barman-cron --no-pager"
    )


SECRET_PLACES = {
    "process list": "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'",
    "logs": "journalctl --no-pager -o cat; find /var/log -type f -exec cat {} +",
    "cloud-init": "find /var/lib/cloud /run/cloud-init /etc/cloud -type f -exec cat {} +",
    "world-readable files": "find / -xdev -type f -perm -o=r -newer /etc/machine-id "
    "-size -2M -not -path '/proc/*' -not -path '/usr/*' -exec cat {} +; "
    "find /data /tmp /run /home -type f -perm -o=r -exec cat {} + 2>/dev/null",
}


def secrets_of(stack: Stack) -> dict[str, str]:
    """Every password and, of every private key, a part of its text."""
    outputs = stack.outputs
    found = {
        f"password of {name}": re.findall(r":([^:@/]+)@", database["uri"])[0]
        for name, database in outputs["databases"].items()
    }
    pgpass = stack.on("barman-lab", "cat /var/lib/barman/.pgpass")
    for line in pgpass.splitlines():
        found[f"password of {line.split(':')[3]}"] = line.split(":")[4]
    for label, text in (
        ("operator's key", outputs["sshPrivateKey"]),
        ("barman's key", stack.on("barman-lab", "cat /var/lib/barman/.ssh/id_ed25519")),
        ("postgres' key", stack.on("postgres-lab", "cat /var/lib/postgresql/.ssh/id_ed25519")),
        ("barman's host key", stack.on("barman-lab", "cat /etc/ssh/ssh_host_ed25519_key")),
        ("postgres' host key", stack.on("postgres-lab", "cat /etc/ssh/ssh_host_ed25519_key")),
    ):
        # The fourth line is past the public part.
        found[label] = text.strip().splitlines()[4][:40]
    server = stack.on("postgres-lab", f"cat {stack.configuration}/server.pem")
    # Its second line begins with the end of the private number.
    found["PostgreSQL's TLS key"] = server.splitlines()[2][:24]
    return found


@pytest.mark.secrets
def test_no_plain_secret_anywhere(stack: Stack) -> None:
    secrets = secrets_of(stack)
    assert len(secrets) >= 8
    for name in MACHINES:
        for place, command in SECRET_PLACES.items():
            text = stack.on(name, f"{{ {command}; }} | tr -cd '[:print:]\\n'", check=False)
            assert text, f"{place} on {name} could not be read at all"
            leaked = [label for label, secret in secrets.items() if secret in text]
            assert leaked == [], f"{place} on {name}"
    # The same look at a place that has one, or finding nothing means nothing.
    assert secrets["password of barman"] in stack.on("barman-lab", "cat /var/lib/barman/.pgpass")


@pytest.mark.secrets
def test_no_plain_secret_in_the_state(stack: Stack) -> None:
    secrets = secrets_of(stack)
    files = [path for path in (stack.root / ".lab" / "backend").rglob("*") if path.is_file()]
    files += [path for path in (stack.lab.directory / "store").rglob("*") if path.is_file()]
    assert any("postgres-configure" in path.read_text(errors="replace") for path in files)
    for path in files:
        text = path.read_text(errors="replace")
        assert [label for label, secret in secrets.items() if secret in text] == [], path


@pytest.mark.provider
def test_lab_names_are_this_checkout_s_own(stack: Stack) -> None:
    assert Lab.of(stack.root / ".lab", "lab").short != Lab.of(Path("/elsewhere/.lab"), "lab").short

"""The two keys that the machines have to each other, in the hands of a thief."""

import json

import pytest

from tests.support.stack import Stack

pytestmark = pytest.mark.secrets

POSTGRES, BARMAN = "10.20.0.4", "10.20.1.4"
# Whose key -> the machine it lies on, the user there, where it leads, the gate that waits there.
KEYS = {
    "postgres": ("postgres-lab", f"barman@{BARMAN}", "barman-lab", "barman-ssh-gate"),
    "barman": ("barman-lab", f"postgres@{POSTGRES}", "postgres-lab", "postgres-ssh-gate"),
}


def ssh(stack: Stack, owner: str, arguments: str, command: str = "") -> str:
    """What ssh says to the thief, who has the key and the shell of its owner."""
    machine, target, _, _ = KEYS[owner]
    typed = f"ssh -o BatchMode=yes -o LogLevel=INFO {arguments} {target} {command} </dev/null 2>&1"
    return stack.on(
        machine, f"runuser -u {owner} -- timeout 20 sh -c {shell(typed)}; true", check=False
    )


def shell(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


@pytest.mark.parametrize("owner", KEYS)
@pytest.mark.parametrize("command", ["", "id", "sh -c id", "sudo -n id", "scp -f /etc/shadow"])
def test_no_shell(stack: Stack, owner: str, command: str) -> None:
    _, _, there, gate = KEYS[owner]
    output = ssh(stack, owner, "", shell(command) if command else "")
    assert "refused; this key may only" in output
    assert "uid=" not in output
    assert f"refused: {command!r}" in stack.on(there, f"journalctl -t {gate} --no-pager -n 20")


@pytest.mark.parametrize("owner", KEYS)
def test_no_terminal_no_agent_no_forwarding(stack: Stack, owner: str) -> None:
    assert "PTY allocation request failed" in ssh(stack, owner, "-tt")
    for forward in ("-W 127.0.0.1:22", "-W 127.0.0.1:5432"):
        assert "administratively prohibited" in ssh(stack, owner, forward), forward
    for forward in ("-R 127.0.0.1:4242:127.0.0.1:22", "-R /tmp/s:/tmp/t"):
        output = ssh(stack, owner, f"-N -o ExitOnForwardFailure=yes {forward}")
        assert "forwarding failed" in output, forward
    machine, _, there, _ = KEYS[owner]
    sockets = "ls -d /tmp/ssh-*/agent* 2>/dev/null; true"
    before = stack.on(there, sockets)
    with_agent = f"ssh-agent sh -c {shell('ssh-add -q; ssh -A ' + KEYS[owner][1] + ' id')}"
    stack.on(machine, f"runuser -u {owner} -- {with_agent} </dev/null 2>&1; true", check=False)
    assert stack.on(there, sockets) == before


@pytest.mark.parametrize("owner", KEYS)
def test_no_use_from_anywhere_else(stack: Stack, owner: str) -> None:
    """The key, carried to the very machine that it opens: the wrong address even there."""
    machine, target, there, _ = KEYS[owner]
    home = stack.on(machine, f"getent passwd {owner} | cut -d: -f6")
    key = stack.on(machine, f"cat {home}/.ssh/id_ed25519")
    output = stack.on(
        there,
        f"umask 077; cat >/root/stolen <<'END'\n{key}\nEND\n"
        "ssh -i /root/stolen -o BatchMode=yes -o StrictHostKeyChecking=no "
        f"-o UserKnownHostsFile=/dev/null {target.split('@')[0]}@127.0.0.1 true 2>&1; "
        "rm /root/stolen",
        check=False,
    )
    assert "Permission denied" in output
    log = stack.on(there, "journalctl -t sshd-session --no-pager -n 40")
    assert "not from a permitted host" in log


def test_postgres_s_key_fetches_wal_and_backups_and_nothing_else(stack: Stack) -> None:
    begin = json.loads(stack.barman("-f", "json", "show-backup", "pg", "latest"))["pg"]
    wal = begin["base_backup_information"]["begin_wal"]
    fetch = f"ssh -q -o BatchMode=yes barman@{BARMAN} barman get-wal pg {wal}"
    fetched = stack.on("postgres-lab", f"runuser -u postgres -- {fetch} | wc -c")
    assert int(fetched) == 16 * 1024 * 1024
    backup = begin["backup_id"]
    ask = f"ssh -q -o BatchMode=yes barman@{BARMAN} barman-send-backup pg {backup} contents"
    assert json.loads(stack.on("postgres-lab", f"runuser -u postgres -- {ask}"))["packed"]
    for asked in (
        "cat /var/lib/barman/.pgpass",
        "barman delete pg oldest",
        f"barman get-wal pg {wal} ; id",
        f"barman get-wal -o /tmp pg {wal}",
        "barman-send-wal other",
        "barman-send-wal pg; id",
        f"barman-send-backup other {backup} contents",
        f"barman-send-backup pg ../{backup} contents",
        f"barman-send-backup pg {backup} ../backup.info",
        f"barman-send-backup pg {backup} contents; id",
    ):
        assert "refused" in ssh(stack, "postgres", "", shell(asked)), asked
    # The names that it takes are those of WAL files: 3 is the code for others.
    typed = "printf '%s\\n' ../../../../etc/passwd ../pg/wals/xlog.db | "
    typed += f"ssh -q -o BatchMode=yes barman@{BARMAN} barman-send-wal pg"
    sent = stack.on("postgres-lab", f"runuser -u postgres -- sh -c {shell(typed)} | od -An -v -tx1")
    assert "".join(sent.split()).endswith("0a" + "0000000003" * 2)


def rsync(stack: Stack, arguments: str) -> str:
    """The thief's rsync, which hides its paths from the gate; its exit code is the last line."""
    typed = f"rsync -s --inplace -e 'ssh -q -o BatchMode=yes' {arguments} 2>&1"
    return stack.on(
        "barman-lab", f"runuser -u barman -- sh -c {shell(typed)}; echo $?", check=False
    )


def test_barman_s_key_reads_the_cluster_and_no_other_file(stack: Stack) -> None:
    data = stack.outputs["postgres"]["dataDirectory"]
    version = stack.cluster.split("/")[0]
    there = f"postgres@{POSTGRES}"
    assert ssh(stack, "barman", "-q", f"cat {data}/PG_VERSION") == version
    for asked in (
        "cat /var/lib/postgresql/.ssh/id_ed25519",
        f"cat {data}/../../../../etc/passwd",
        "rm -fr /var/lib/postgresql",
        f"cat {data}/PG_VERSION; id",
        "rsync --server --daemon .",
        "rsync --server -vlogDtpr . /var/lib/postgresql",
    ):
        assert "refused" in ssh(stack, "barman", "", shell(asked)), asked
    # The same key does fetch with rsync what it may.
    assert rsync(stack, f"{there}:{data}/PG_VERSION /tmp/fetched").endswith("0")
    for path in (
        "/var/lib/postgresql/.ssh/id_ed25519",
        f"/etc/postgresql/{version}/main/pg_hba.conf",
    ):
        assert "Permission denied" in rsync(stack, f"{there}:{path} /tmp/fetched"), path


def test_barman_s_key_writes_nothing_of_the_clusters(stack: Stack) -> None:
    data = stack.outputs["postgres"]["dataDirectory"]
    stack.on("barman-lab", "echo evil >/tmp/evil && chmod 644 /tmp/evil")
    for path in (
        "/var/lib/postgresql/.ssh/authorized_keys",
        "/var/lib/postgresql/.bashrc",
        f"{data}/postgresql.auto.conf",
        "/data/postgresql/recovery-in-progress",
    ):
        output = rsync(stack, f"/tmp/evil postgres@{POSTGRES}:{path}")
        assert " failed: " in output, path
        assert output.endswith("23"), path  # rsync(1): partial transfer due to error
    assert "Permission denied" in ssh(stack, "barman", "", f"rm -fr {data}/postgresql.auto.conf")
    written = f"/var/lib/postgresql/.[bs]* {data}/*.conf /data/postgresql/recovery-in-progress"
    assert stack.on("postgres-lab", f"grep -rlx evil {written} 2>/dev/null; true") == ""
    assert stack.sql("SELECT 1") == "1"

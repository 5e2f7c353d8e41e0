"""New secrets for old under write load: no commit fails, the old ones are refused."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.support.application import Application
from tests.support.ledger import Ledger, moment
from tests.support.site import Site

pytestmark = pytest.mark.secrets

ALLOWED = "Authenticated to"
POSTGRES = "postgres@10.20.0.4"


@contextmanager
def load(site: Site) -> Iterator[Ledger]:
    """A client that commits all the time, from outside both machines."""
    site.new_ledger()
    try:
        with site.writing(1) as ledger:
            yield ledger
    finally:
        site.stack.read_outputs_again()


def end(site: Site, ledger: Ledger) -> None:
    """Commits go on; all of them were acknowledged in the one session, and are there."""
    ledger.wait_for_more(1)
    ledger.stop()
    assert ledger.failures == []
    assert site.lost(ledger) == set()


def opens(site: Site, private_key: str, folder: Path) -> bool:
    """Whether the operator's way into the Barman machine is open to this key."""
    barman = site.stack.outputs["barman"]
    key, known = folder / "key", folder / "known_hosts"
    key.touch(0o600)
    key.write_text(private_key)
    known.write_text(f"{barman['sshAddress']} {barman['hostKey']}\n")
    options = ["-F", "none", "-i", str(key), "-o", f"UserKnownHostsFile={known}"]
    login = f"{barman['sshUser']}@{barman['sshAddress']}"
    done = subprocess.run(
        ["ssh", *options, "-o", "BatchMode=yes", login, "true"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0 or "Permission denied (publickey)" in done.stderr, done.stderr
    return done.returncode == 0


def machine_key_opens(site: Site, key: str) -> bool:
    """Whether PostgreSQL's machine lets a key of Barman's in."""
    output = site.on_barman(
        f"ssh -n -v -i {key} -o IdentitiesOnly=yes -o BatchMode=yes "
        f"-o UserKnownHostsFile=/var/lib/barman/.ssh/known_hosts {POSTGRES} true 2>&1 || true"
    )
    assert ALLOWED in output or "Permission denied" in output, output
    return ALLOWED in output


def test_secrets_are_rotated_while_clients_write(
    site: Site, application: Application, tmp_path: Path
) -> None:
    before = site.stack.outputs
    own = "/var/lib/barman/.ssh/id_ed25519"
    site.on_barman(f"install -m 600 {own} /root/old-key")
    with load(site) as ledger:
        certificate, _ = site.stack.follow("certificate-ends")
        # The page ends the owner's sessions at its end.
        password, ssh, _ = site.stack.follow("rotate-secrets", after={2: lambda: end(site, ledger)})
    assert "the new password works, the old one is refused" in password
    assert "the operator's old key is refused by both" in ssh
    for said in (certificate, password, ssh):
        assert "PROTECTED" in said
        assert "UNPROTECTED" not in said
    after = site.stack.outputs
    assert after["rotations"] == {**after["rotations"], "ssh": after["rotations"]["sshNext"]}
    assert all(after["rotations"].values())
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        application.connect()
    Application(application.client, after["databases"]["app"]["uri"]).connect().close()
    assert opens(site, after["sshPrivateKey"], tmp_path)
    assert not opens(site, before["sshPrivateKey"], tmp_path)
    assert machine_key_opens(site, own)
    assert not machine_key_opens(site, "/root/old-key")
    site.on_barman("rm /root/old-key")
    assert after["caCertificate"] == before["caCertificate"]


@contextmanager
def database_postgres_is_read_only(site: Site) -> Iterator[None]:
    """As somebody has left it who meant to keep applications out of it."""
    site.sql("ALTER DATABASE postgres SET default_transaction_read_only = on")
    try:
        yield
    finally:
        site.sql("SET default_transaction_read_only = off; ALTER DATABASE postgres RESET ALL")


def test_a_rotation_that_is_killed_is_finished_by_the_next(site: Site) -> None:
    with load(site) as ledger, database_postgres_is_read_only(site):
        running = site.stack.start_ops("rotate", "password", "--yes")
        assert running.stdout
        seen = ""
        for line in running.stdout:
            seen += line
            # Secrets are made, and on their way to both machines.
            if "barman-configure updating" in line:
                site.stack.kill_engines()
                break
        rest, _ = running.communicate()
        assert running.returncode == 2, seen + rest
        assert "The rotation is unfinished" in rest
        assert "python -m ops rotate password" in rest
        marks = site.stack.pulumi("config", "get", "--path", "rotations.password").stdout
        site.stack.pulumi("cancel", "--yes")
        again = site.stack.ops("rotate", "password", "--yes").stdout
        assert "An earlier run began this" in again
        assert site.stack.pulumi("config", "get", "--path", "rotations.password").stdout == marks
        end(site, ledger)
    site.stack.assert_protected()


def test_an_owner_who_may_not_log_in_is_named(site: Site) -> None:
    owner = site.stack.outputs["databases"]["app"]["owner"]
    site.sql(f"ALTER ROLE {owner} VALID UNTIL '2026-01-31 12:00:00+00'")
    try:
        rotated = site.stack.ops("rotate", "password", "--yes", check=False)
    finally:
        site.sql(f"ALTER ROLE {owner} VALID UNTIL 'infinity'")
        site.stack.read_outputs_again()
    said = " ".join((rotated.stdout + rotated.stderr).split())
    assert rotated.returncode == 2
    assert f"may not log in ({owner}: its password ended at 2026-01-31 12:00:00 UTC)" in said
    assert f'ALTER ROLE "{owner}" LOGIN VALID UNTIL' in said
    site.stack.assert_protected()


@pytest.mark.deep
@pytest.mark.machines
def test_a_machine_that_is_replaced_has_the_newest_key_and_takes_its_disk_over(site: Site) -> None:
    site.stack.ops("rotate", "ssh", "--yes")
    site.stack.read_outputs_again()
    backups = set(site.stack.barman("list-backups", "--minimal", "pg").split())
    booted = site.on_barman("cat /proc/1/stat | cut -d ' ' -f 22")
    state = json.loads(site.stack.pulumi("stack", "export").stdout)
    urns = [resource["urn"] for resource in state["deployment"]["resources"]]
    (vm,) = (urn for urn in urns if urn.endswith("::barman-machine-vm"))
    words = ("--yes", "--skip-preview", "--non-interactive")
    site.stack.pulumi("up", *words, "--replace", vm)
    assert site.on_barman("cat /proc/1/stat | cut -d ' ' -f 22") != booted
    assert backups <= set(site.stack.barman("list-backups", "--minimal", "pg").split())
    strangers = "find /data/barman ! -user barman -o ! -group barman"
    assert site.on_barman(strangers) == ""
    site.stack.pulumi("preview", "--expect-no-changes", "--non-interactive")
    site.stack.until_content()


@pytest.mark.deep
@pytest.mark.recovery
def test_a_recovery_to_before_a_rotation_locks_nobody_out(site: Site) -> None:
    site.new_ledger()
    ids = {commit.id for commit in site.write_for(0.5)}
    time.sleep(1.0)
    before = time.time()
    time.sleep(1.0)
    site.stack.ops("rotate", "password", "--yes")
    site.stack.read_outputs_again()
    site.write_for(0.2)
    said = site.recover("--target-time", moment(before))
    assert "the stack's passwords were given to app, barman, streaming_barman" in " ".join(
        said.split()
    )
    site.application.connect().close()
    assert site.ids() == ids
    site.stack.assert_protected()

"""New secrets for old under write load: no commit fails, the old ones are refused."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.lab.recovery_site import Stack
from tests.lab.stack import Application

# One session for the whole time, as a client's pool has it; the first failed commit ends it.
SESSION = """
import signal, sys, time
import psycopg
told = []
signal.signal(signal.SIGTERM, lambda *_: told.append(True))
with psycopg.connect(sys.stdin.readline().strip(), autocommit=True) as connection:
    while not told:
        done = connection.execute("INSERT INTO ledger DEFAULT VALUES RETURNING id")
        print(done.fetchone()[0], flush=True)
        time.sleep(0.01)
"""
ALLOWED = "Authenticated to"
POSTGRES = "postgres@10.20.0.4"


class Load:
    """A client that commits without a pause, from outside both machines."""

    def __init__(self, site: Stack, into: Path) -> None:
        self._site = site
        self._into = into
        uri = site.up.outputs["databases"]["app"]["uri"]
        self._session = site.client.start([sys.executable, "-c", SESSION])
        assert self._session.stdin and self._session.stdout
        self._session.stdin.write(uri + "\n")
        self._session.stdin.close()
        self._copy = subprocess.Popen(["tee", str(into)], stdin=self._session.stdout, stdout=-3)
        self._session.stdout.close()
        deadline = time.monotonic() + 60
        while not self.acknowledged():
            assert time.monotonic() < deadline, "nothing was written"
            time.sleep(0.1)

    def acknowledged(self) -> set[int]:
        lines = self._into.read_text().splitlines(keepends=True) if self._into.exists() else []
        return {int(line) for line in lines if line.endswith("\n")}

    def end(self) -> None:
        """Every commit was acknowledged, and is there."""
        before = len(self.acknowledged())
        deadline = time.monotonic() + 30
        while len(self.acknowledged()) == before and self._session.poll() is None:
            assert time.monotonic() < deadline, "commits hang"
            time.sleep(0.1)
        self.stop()
        assert self._session.stderr
        assert self._session.returncode == 0, self._session.stderr.read()
        assert self.acknowledged() <= self._site.ids()

    def stop(self) -> None:
        self._session.send_signal(signal.SIGTERM)
        self._session.wait()
        self._copy.wait()


@contextmanager
def load(site: Stack, into: Path) -> Iterator[Load]:
    site.new_ledger()
    under = Load(site, into)
    try:
        yield under
    finally:
        under.stop()
        site.up.read_outputs_again()


def opens(site: Stack, private_key: str, folder: Path) -> bool:
    """Whether the operator's way into the Barman machine is open to this key."""
    barman = site.up.outputs["barman"]
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


def machine_key_opens(site: Stack, key: str) -> bool:
    """Whether PostgreSQL's machine lets a key of Barman's in."""
    told = site.on_barman(
        f"ssh -n -v -i {key} -o IdentitiesOnly=yes -o BatchMode=yes "
        f"-o UserKnownHostsFile=/var/lib/barman/.ssh/known_hosts {POSTGRES} true 2>&1 || true"
    )
    assert ALLOWED in told or "Permission denied" in told, told
    return ALLOWED in told


def test_secrets_are_rotated_while_clients_write(
    site: Stack, application: Application, tmp_path: Path
) -> None:
    before = site.up.outputs
    own = "/var/lib/barman/.ssh/id_ed25519"
    site.on_barman(f"install -m 600 {own} /root/old-key")
    with load(site, tmp_path / "acknowledged") as under:
        certificate, _ = site.up.follow("certificate-ends")
        # The page ends the owner's sessions at its end.
        password, ssh, _ = site.up.follow("rotate-secrets", after={2: under.end})
    assert "the new password works, the old one is refused" in password
    assert "the operator's old key is refused by both" in ssh
    for said in (certificate, password, ssh):
        assert "PROTECTED" in said
        assert "UNPROTECTED" not in said
    after = site.up.outputs
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


def test_a_rotation_that_is_killed_is_finished_by_the_next(site: Stack, tmp_path: Path) -> None:
    with load(site, tmp_path / "acknowledged") as under:
        running = site.start_ops("rotate", "password", "--yes")
        assert running.stdout
        seen = ""
        for line in running.stdout:
            seen += line
            # Secrets are made, and on their way to both machines.
            if "barman-configure updating" in line:
                site.up.kill_engines()
                break
        rest, _ = running.communicate()
        assert running.returncode == 2, seen + rest
        assert "The rotation is unfinished" in rest
        assert "python -m ops rotate password" in rest
        marks = site.up.pulumi("config", "get", "--path", "rotations.password").stdout
        site.up.pulumi("cancel", "--yes")
        again = site.ops("rotate", "password", "--yes").stdout
        assert "An earlier run began this" in again
        assert site.up.pulumi("config", "get", "--path", "rotations.password").stdout == marks
        under.end()
    site.assert_protected()

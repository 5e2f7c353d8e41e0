"""The lab's commands: what they refuse, in which words, with which exit code."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from engine import project
from engine.environment import Workspace, environment, exports
from engine.errors import ProjectError, StackBusyError
from lab import __main__ as cli
from lab import bring_up, lock, orphans, preflight, teardown
from lab.names import Lab


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty checkout with two stacks; the commands believe that it is theirs."""
    (tmp_path / "Pulumi.yaml").write_text("name: postgres-barman\nruntime: python\n")
    (tmp_path / "Pulumi.dev.yaml").write_text("config:\n  postgres-barman:barmanDiskGb: 250\n")
    (tmp_path / "Pulumi.lab.yaml").write_text("encryptionsalt: v1:abc\nconfig: {}\n")
    monkeypatch.setattr(cli, "root", tmp_path)
    monkeypatch.setattr(cli.binary, "installed", lambda: None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def run(checkout: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Run a command; return its exit code and what it said on stderr."""

    def runner(*arguments: str) -> tuple[int, str]:
        capfd.readouterr()
        monkey = pytest.MonkeyPatch()
        monkey.setattr(sys, "argv", ["lab", *arguments])
        try:
            cli.main()
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else 1
        else:
            code = 0
        finally:
            monkey.undo()
        return code, capfd.readouterr().err

    return runner


class TestPreflight:
    def test_every_missing_program_comes_with_its_package(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(preflight.shutil, "which", lambda name, path: None)
        said = "\n".join(preflight.findings(tmp_path))
        assert "systemd-nspawn" in said
        assert "apt-get install" in said
        assert "systemd-container" in said

    def test_an_ordinary_user_is_told_to_type_sudo(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(preflight.os, "geteuid", lambda: 1000)
        assert any("sudo make up" in found for found in preflight.findings(tmp_path))

    def test_another_system_is_told_what_does_work_there(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(preflight.platform, "system", lambda: "Darwin")
        (only,) = preflight.findings(tmp_path)
        assert "make plan" in only

    def test_a_full_disk_is_found_before_the_folder_exists(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(preflight, "FREE_GIB", 10**6)
        said = "\n".join(preflight.findings(tmp_path / "not" / "yet"))
        assert "1000000 GiB free" in said
        assert "clean-cache" in said

    def test_up_stops_at_a_finding_and_changes_nothing(
        self, checkout: Path, run: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(preflight, "findings", lambda _: ["No luck. Type: sudo luck"])
        code, said = run("up")
        assert code == cli.NOT_POSSIBLE
        assert "sudo luck" in said
        assert "Nothing was changed" in said
        assert not (checkout / ".lab").exists()


class TestOneAtATime:
    def test_a_second_command_is_told_who_is_first(
        self, checkout: Path, run: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(preflight, "findings", lambda _: [])
        with lock.hold(checkout / ".lab" / "stacks" / "lab", "up"):
            code, said = run("up")
        assert code == cli.BUSY
        assert f"process {os.getpid()}" in said

    def test_another_stack_is_not_held_up(self, tmp_path: Path) -> None:
        with lock.hold(tmp_path / "one", "up"), lock.hold(tmp_path / "two", "up"):
            pass

    def test_a_dead_holder_holds_nothing(self, tmp_path: Path) -> None:
        dying = (
            "import os, pathlib, sys; from lab import lock; "
            "held = lock.hold(pathlib.Path(sys.argv[1]), 'up'); held.__enter__(); os._exit(1)"
        )
        subprocess.run([sys.executable, "-c", dying, str(tmp_path)], check=False)
        with lock.hold(tmp_path, "up"):
            assert str(os.getpid()) in (tmp_path / "command.lock").read_text()

    def test_a_lock_of_a_dead_engine_is_removed_and_a_living_one_respected(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        workspace = Workspace(tmp_path)
        folder = workspace.backend / ".pulumi/locks/organization/postgres-barman/lab"
        folder.mkdir(parents=True)
        held = folder / "a.json"
        held.write_text('{"pid": 1}')
        monkeypatch.setattr(project, "_alive", lambda pid: pid == 1)
        with pytest.raises(StackBusyError, match="process 1"):
            project.release_dead_locks(workspace, "lab")
        held.write_text('{"pid": 2}')
        project.release_dead_locks(workspace, "lab")
        assert not held.exists()


class TestOrphans:
    @pytest.fixture
    def home(self, tmp_path: Path) -> Path:
        return tmp_path / "home"

    def start(self, home: Path, name: str) -> list[str]:
        """A command that sleeps under the name given."""
        plugin = home / name
        plugin.parent.mkdir(parents=True, exist_ok=True)
        plugin.write_text("#!/bin/sh\nsleep 30 & wait\n")
        plugin.chmod(0o755)
        return [str(plugin)]

    @pytest.mark.parametrize(
        ("name", "ended"),
        [("pulumi-resource-command", True), ("pulumi-language-python", True), ("nspawn", False)],
    )
    def test_a_plugin_without_an_engine_is_ended_and_a_machine_is_not(
        self, home: Path, name: str, ended: bool
    ) -> None:
        around = {**os.environ, "PULUMI_HOME": str(home)}
        running = subprocess.Popen(self.start(home, name), env=around, start_new_session=True)
        try:
            _wait_until(lambda: name in Path(f"/proc/{running.pid}/cmdline").read_text())
            # Only zombies are left of it until this process, its parent, has looked.
            reaper = threading.Thread(target=running.wait)
            reaper.start()
            assert (running.pid in orphans.end(home)) is ended
            if ended:
                reaper.join(5)
            assert (running.poll() is not None) is ended
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
            running.wait()

    def test_a_plugin_of_a_living_engine_or_of_another_lab_is_left_alone(
        self, home: Path, tmp_path: Path
    ) -> None:
        (plugin,) = self.start(home, "pulumi-resource-command")
        engine = tmp_path / "pulumi"
        engine.write_text(f"#!/bin/sh\n{plugin} & wait\n")
        engine.chmod(0o755)
        around = {**os.environ, "PULUMI_HOME": str(home)}
        mine = subprocess.Popen([str(engine)], env=around, start_new_session=True)
        around["PULUMI_HOME"] = str(tmp_path / "other")
        other = subprocess.Popen([plugin], env=around, start_new_session=True)
        try:
            _wait_until(lambda: "pulumi" in Path(f"/proc/{mine.pid}/comm").read_text())
            time.sleep(0.2)
            assert orphans.end(home) == []
        finally:
            for started in (mine, other):
                os.killpg(started.pid, signal.SIGKILL)
                started.wait()


def _wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class TestDown:
    def test_without_a_lab_there_is_nothing_to_do(
        self, run: Callable[..., tuple[int, str]]
    ) -> None:
        assert run("down") == (0, "There is no lab 'lab': nothing to remove.\n")

    def test_data_disks_need_an_explicit_yes(
        self, checkout: Path, run: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        monkeypatch.setattr(sys, "stdin", Path(os.devnull).open())  # noqa: SIM115
        disk = checkout / ".lab" / "stacks" / "lab" / "disks" / "data.raw"
        disk.parent.mkdir(parents=True)
        disk.touch()
        code, said = run("down")
        assert code == cli.NOT_CONFIRMED
        assert "1 data disk" in said
        assert "YES_DELETE_DATA=1" in said
        assert disk.exists()

    def test_with_no_engine_and_no_state_everything_goes_by_name(
        self, checkout: Path, run: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        deleted: list[str] = []
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        monkeypatch.setattr(teardown.machine, "names", lambda lab: ["pg", "barman"])
        monkeypatch.setattr(teardown.machine, "delete", lambda lab, name: deleted.append(name))
        monkeypatch.setattr(teardown.fabric, "remove", lambda lab: deleted.append(lab.stack))
        mine = checkout / ".lab" / "stacks" / "lab"
        other = checkout / ".lab" / "stacks" / "other" / "store"
        (mine / "machines" / "pg").mkdir(parents=True)
        other.mkdir(parents=True)
        code, _ = run("down", "--yes-delete-data")
        assert code == 0
        assert deleted == ["pg", "barman", "lab"]
        assert not mine.exists()
        assert other.exists()


class TestMachines:
    def test_an_unknown_machine_is_answered_with_the_known(
        self, run: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cli.machine, "names", lambda lab: ["postgres", "barman"])
        code, said = run("kill", "postgre")
        assert code == cli.NOT_POSSIBLE
        assert "postgres, barman" in said

    def test_a_stack_cannot_be_a_path(self, run: Callable[..., tuple[int, str]]) -> None:
        code, said = run("list", "--stack", "../etc")
        assert code == cli.NOT_POSSIBLE
        assert "../etc" in said

    def test_the_stack_comes_from_the_environment_too(
        self, checkout: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[str] = []
        monkeypatch.setattr(cli.machine, "names", lambda lab: seen.append(lab.stack) or [])
        CliRunner().invoke(cli.app, ["list"], env={"STACK": "second"})
        assert seen == ["second"]


class TestEnvironment:
    def test_the_passphrase_is_private_random_and_kept(self, tmp_path: Path) -> None:
        workspace = Workspace(tmp_path / ".lab")
        workspace.prepare()
        first = workspace.passphrase.read_text()
        workspace.prepare()
        assert workspace.passphrase.stat().st_mode & 0o777 == 0o600
        assert workspace.passphrase.read_text() == first
        assert len(first) > 30
        assert [path.name for path in workspace.directory.glob("passphrase*")] == ["passphrase"]

    def test_nothing_of_another_backend_gets_through(self, tmp_path: Path) -> None:
        workspace = Workspace(tmp_path / ".lab")
        foreign = {
            "PULUMI_ACCESS_TOKEN": "pul-1",
            "PULUMI_CONFIG_PASSPHRASE": "other",
            "PULUMI_BACKEND_URL": "https://elsewhere",
            "PATH": "/bin",
        }
        around = environment(workspace, tmp_path / "engine", base=foreign)
        assert "PULUMI_ACCESS_TOKEN" not in around
        assert "PULUMI_CONFIG_PASSPHRASE" not in around
        assert around["PULUMI_BACKEND_URL"] == f"file://{workspace.backend}?metadata=skip"
        assert around["PATH"].startswith(f"{tmp_path / 'engine'}{os.pathsep}")
        assert "PULUMI_CONFIG_PASSPHRASE_FILE" in around

    def test_exported_lines_survive_a_shell(self, tmp_path: Path) -> None:
        workspace = Workspace(tmp_path / "it's a lab")
        given = exports(workspace, tmp_path / "engine", "lab", {"PATH": "/bin"})
        assert given["PULUMI_ACCESS_TOKEN"] is None
        assert given["PULUMI_STACK"] == "lab"

    def test_env_before_the_first_up_says_make_up(
        self, run: Callable[..., tuple[int, str]]
    ) -> None:
        code, said = run("env")
        assert code == cli.NOT_POSSIBLE
        assert "make up" in said


class TestProject:
    def test_a_copy_carries_the_settings_but_no_key(self, checkout: Path, tmp_path: Path) -> None:
        copy = project.copy_configuration(checkout, "lab", tmp_path / "copy")
        assert copy.settings.read_text() == "config: {}\n"
        assert (copy.directory / "Pulumi.yaml").exists()

    def test_an_unknown_stack_is_answered_with_the_known(
        self, checkout: Path, tmp_path: Path
    ) -> None:
        with pytest.raises(ProjectError, match="dev, lab"):
            project.copy_configuration(checkout, "prod", tmp_path / "copy")

    def test_settings_encrypted_elsewhere_are_refused_by_name(
        self, checkout: Path, tmp_path: Path
    ) -> None:
        (checkout / "Pulumi.dev.yaml").write_text("config:\n  a:b:\n    secure: v1:xyz\n")
        with pytest.raises(ProjectError, match=r"Pulumi\.dev\.yaml"):
            project.copy_configuration(checkout, "dev", tmp_path / "copy")

    def test_settings_encrypted_here_keep_their_salt(self, checkout: Path, tmp_path: Path) -> None:
        text = "encryptionsalt: v1:s\nconfig:\n  a:b:\n    secure: v1:xyz\n"
        (checkout / "Pulumi.dev.yaml").write_text(text)
        copy = project.copy_configuration(checkout, "dev", tmp_path / "copy")
        assert copy.settings.read_text() == text

    def test_a_plan_does_without_encrypted_settings_and_names_them(
        self, checkout: Path, tmp_path: Path
    ) -> None:
        text = "secretsprovider: k\nconfig:\n  a:b:\n    secure: v1:xyz\n  a:c: d\n"
        (checkout / "Pulumi.dev.yaml").write_text(text)
        copy, sealed = project.copy_for_plan(checkout, "dev", tmp_path / "copy")
        assert sealed == ["a:b"]
        assert copy.settings.read_text() == "config:\n  a:c: d\n"

    def test_a_forgotten_state_leaves_other_stacks_alone(self, tmp_path: Path) -> None:
        workspace = Workspace(tmp_path)
        mine = project.state_file(workspace, "lab")
        mine.parent.mkdir(parents=True)
        for name in ("lab.json", "lab.json.bak", "lab2.json"):
            (mine.parent / name).touch()
        project.forget_state(workspace, "lab")
        assert [path.name for path in mine.parent.iterdir()] == ["lab2.json"]


class TestSummary:
    def test_it_names_the_next_commands_and_no_secret(self) -> None:
        found = {
            "databases": {
                "app": {"owner": "app", "uri": "postgresql://app:hush@10.0.0.4:5432/app"}
            },
            "backup": {"serverName": "pg", "schedule": "0 4 * * *", "retention": "7 DAYS"},
        }
        said = bring_up.summary(found, "second")
        assert "postgresql://app@10.0.0.4:5432/app" in said
        assert "hush" not in said
        assert "make down STACK=second" in said

    @pytest.mark.parametrize(
        ("uri", "shown"),
        [
            ("postgresql://a:b%40c@h:1/d?sslmode=require", "postgresql://a@h:1/d?sslmode=require"),
            ("postgresql://a@h/d", "postgresql://a@h/d"),
            ("postgresql://h/d", "postgresql://h/d"),
        ],
    )
    def test_a_password_never_survives(self, uri: str, shown: str) -> None:
        assert bring_up.without_password(uri) == shown


def test_a_lab_is_removed_by_its_own_directory_only(tmp_path: Path) -> None:
    assert not teardown.anything_left(tmp_path, Lab.of(tmp_path / ".lab", "lab"))

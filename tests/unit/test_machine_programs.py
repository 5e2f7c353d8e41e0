"""The programs that run on the machines, as far as they can be judged without one."""

import getpass
import importlib.machinery
import importlib.util
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host import render
from host.domain import scram
from host.payload import RUN, payload
from host.programs import converge

HOST = Path(__file__).resolve().parents[2] / "host"


@pytest.fixture(scope="module")
def programs() -> Any:
    """The modules by name."""
    names = ("converge", "postgres", "barman", "first_boot", "streaming_backup", "data_disk")
    return {name: importlib.import_module(f"host.programs.{name}") for name in names}


@pytest.mark.parametrize(
    ("program", "marker"), [("postgres", "RECOVERY_MARKER"), ("barman", "CURRENT_RUNBOOK")]
)
def test_an_update_keeps_out_of_a_run_on_both_machines(
    programs: Any, program: str, marker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing but the mount is looked at before that is known: no file is replaced under a run."""
    module, touched = programs[program], []

    class Untouched:
        def require_mount(self, _: str) -> None: ...

        def __getattr__(self, name: str) -> Any:
            touched.append(name)
            raise AssertionError(name)

    (tmp_path / "run").touch()
    monkeypatch.setattr(module, marker, str(tmp_path / "run"))
    desired = {"mount_point": "/data", "version": "17", "data_directory": "/data/postgresql"}
    host = Untouched()
    with pytest.raises(programs["converge"].ConvergeError, match="nothing was changed"):
        if program == "postgres":
            module.Postgres(host, desired).converge()
        else:
            module.converge(host, desired)
    assert touched == []


def gate(name: str = "barman-ssh-gate") -> ModuleType:
    path = HOST / "files" / name
    loader = importlib.machinery.SourceFileLoader("gate", str(path))
    spec = importlib.util.spec_from_loader("gate", loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


ROLE = {"name": "app", "password": "hunter2", "replication": False, "settings": {}}


def test_a_role_that_is_missing_is_made_without_its_password_in_clear(programs: Any) -> None:
    statements = programs["postgres"].role_statements(ROLE, None)
    assert [statement.split()[:2] for statement in statements] == [
        ["CREATE", "ROLE"],
        ["ALTER", "ROLE"],
        ["ALTER", "ROLE"],
    ]
    assert "hunter2" not in " ".join(statements)
    assert "SCRAM-SHA-256$4096:" in statements[2]


def test_a_role_that_is_as_desired_is_left_alone(programs: Any) -> None:
    postgres = programs["postgres"]
    present = postgres.Role(True, False, scram.scram_verifier("hunter2", b"0123456789abcdef"))
    assert postgres.role_statements(ROLE, present) == []


@pytest.mark.parametrize(
    ("login", "replication", "password", "changed"),
    [
        (False, False, "hunter2", "LOGIN"),
        (True, True, "hunter2", "NOREPLICATION"),
        (True, False, "another", "PASSWORD"),
    ],
)
def test_only_what_differs_is_changed(
    programs: Any, login: bool, replication: bool, password: str, changed: str
) -> None:
    postgres = programs["postgres"]
    present = postgres.Role(login, replication, scram.scram_verifier(password, b"0123456789abcdef"))
    (statement,) = postgres.role_statements(ROLE, present)
    assert changed in statement


def test_a_role_s_own_settings_are_set_once(programs: Any) -> None:
    postgres = programs["postgres"]
    wanted = {**ROLE, "password": "", "settings": {"statement_timeout": "0"}}
    present = postgres.Role(True, False, "", frozenset({"work_mem=8MB"}))
    (statement,) = postgres.role_statements(wanted, present)
    assert statement == "ALTER ROLE \"app\" SET statement_timeout = '0'"
    present = postgres.Role(True, False, "", frozenset({"statement_timeout=0"}))
    assert postgres.role_statements(wanted, present) == []


def test_verifier_is_postgresqls(programs: Any) -> None:
    # From PostgreSQL's own regression tests: src/test/regress/expected/password.out.
    verifier = (
        "SCRAM-SHA-256$4096:VLK4RMaQLCvNtQ==$6YtlR4t69SguDiwFvbVgVZtuz6gpJQQqUMZ7IQJK5yI="
        ":ps75jrHeYU4lXCcXI4O8oIdJ3eO8o2jirjruw9phBTo="
    )
    assert scram.verifies("postgres", verifier) is False
    made = scram.scram_verifier("secret", b"salt")
    assert scram.verifies("secret", made)
    assert not scram.verifies("other", made)
    assert not scram.verifies("secret", "md5d41d8cd98f00b204e9800998ecf8427e")
    assert not scram.verifies("secret", "")


@given(st.text(max_size=20))
def test_identifiers_cannot_break_out(name: str) -> None:
    sys.path.insert(0, str(HOST / "programs"))
    try:
        quoted = importlib.import_module("host.programs.postgres").identifier(name)
    finally:
        sys.path.remove(str(HOST / "programs"))
    assert quoted[0] == quoted[-1] == '"'
    assert '"' not in quoted[1:-1].replace('""', "")


def test_files_are_written_once(programs: Any, tmp_path: Path) -> None:
    host = programs["converge"].Host()
    path = str(tmp_path / "etc" / "file")
    assert host.file(path, "text\n", owner=getpass.getuser(), mode=0o640) is True
    assert host.changed
    changes = list(host.changed)
    assert host.file(path, "text\n", owner=getpass.getuser(), mode=0o640) is False
    assert host.changed == changes
    assert Path(path).stat().st_mode & 0o7777 == 0o640
    assert list(Path(path).parent.iterdir()) == [Path(path)]


def test_a_directory_of_another_machine_s_user_is_taken_over_whole_and_once(
    programs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    converge, owner = programs["converge"], getpass.getuser()
    ran: list[tuple[str, ...]] = []
    host = converge.Host()
    monkeypatch.setattr(host, "run", lambda *argv: ran.append(argv))
    host.directory(str(tmp_path), owner, 0o700)
    assert ran == []
    ours = converge._numbers(owner)
    monkeypatch.setattr(converge, "_owner", lambda path: ours if ran else (4242, 4242))
    for _ in range(2):
        host.directory(str(tmp_path), owner, 0o700)
    assert ran == [("chown", "-R", f"{owner}:", str(tmp_path))]
    assert host.changed[-1].endswith(f"and all that is in it to {owner}")


def test_a_failing_command_says_what_it_said(programs: Any) -> None:
    host = programs["converge"].Host()
    with pytest.raises(programs["converge"].ConvergeError, match="exit code 3:\nreason"):
        host.run("sh", "-c", "echo reason; exit 3")


def test_nothing_is_written_beside_an_unmounted_disk(programs: Any, tmp_path: Path) -> None:
    with pytest.raises(programs["converge"].ConvergeError, match="not mounted"):
        programs["converge"].Host().require_mount(str(tmp_path))


def test_each_kind_of_file_system_is_grown_by_its_own_tool(programs: Any) -> None:
    growing = programs["data_disk"].growing
    assert growing("xfs", "/dev/sdc", "/data") == ["xfs_growfs", "-d", "/data"]
    # Of machines from before: ext4.
    assert growing("ext4", "/dev/sdc", "/data") == ["resize2fs", "/dev/sdc"]
    with pytest.raises(programs["converge"].ConvergeError, match="btrfs"):
        growing("btrfs", "/dev/sdc", "/data")


@pytest.fixture
def data_disk(
    programs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Any, list[int], list[str]]:
    """(a machine, the GiB that its disk shows, a further one after each rescan; its commands)."""
    looks, commands = [100], []
    rescan = tmp_path / "sdc" / "device" / "rescan"
    rescan.parent.mkdir(parents=True)
    rescan.touch()

    class Machine(programs["converge"].Host):
        def require_mount(self, path: str) -> None: ...

        def run(self, *argv: str, **_: Any) -> Any:
            commands.append(argv[0])
            if argv[0] == "blockdev":
                # The kernel looks at the disk again only when it is told to.
                if rescan.read_text() and len(looks) > 1:
                    looks.pop(0)
                rescan.write_text("")
                return subprocess.CompletedProcess(argv, 0, stdout=str(looks[0] << 30))
            return subprocess.CompletedProcess(argv, 0, stdout="/dev/sdc xfs\n")

    monkeypatch.setattr(programs["data_disk"], "BLOCK_DEVICES", tmp_path)
    monkeypatch.setattr(programs["data_disk"], "_file_system_bytes", lambda _: 100 << 30)
    monkeypatch.setattr(programs["converge"].time, "sleep", lambda _: None)
    return Machine(), looks, commands


def test_a_grown_disk_is_rescanned_until_it_shows_its_size(programs: Any, data_disk: Any) -> None:
    machine, looks, commands = data_disk
    looks[:] = [100, 100, 100, 200]
    programs["data_disk"].grow(machine, "/data", 200)
    assert commands == ["findmnt", "blockdev", "blockdev", "blockdev", "xfs_growfs"]


def test_a_disk_that_never_shows_its_size_ends_with_the_command_to_type(
    programs: Any, data_disk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine, _, commands = data_disk
    monkeypatch.setattr(programs["data_disk"], "APPEARS_TIMEOUT_S", -1)
    with pytest.raises(programs["converge"].ConvergeError) as failure:
        programs["data_disk"].grow(machine, "/data", 200)
    for words in ("200 GiB", "sees 100", "nothing was changed", "az vm deallocate -g", "pulumi up"):
        assert words in str(failure.value)
    assert "xfs_growfs" not in commands


PACKAGES_FAILED = (
    "('package_update_upgrade_install', ProcessExecutionError('E: Could not get lock'))"
)
DISK_FAILED = (
    "('scripts_user', RuntimeError('Runparts: 1 failures (runcmd) in 1 attempted commands'))"
)
OTHER_FAILED = "('write_files', OSError(28, 'No space left on device'))"


class FirstBooted:
    """A machine whose cloud-init ended with these errors."""

    def __init__(self, errors: list[str]) -> None:
        self.errors, self.apt_works = errors, True
        self.ran: list[tuple[str, ...]] = []

    def run(self, *argv: str, **_: Any) -> subprocess.CompletedProcess[str]:
        self.ran.append(argv)
        said = json.dumps({"errors": self.errors})
        return subprocess.CompletedProcess(argv, 1 if self.errors else 0, said, "")

    def packages(self, names: list[str]) -> None:
        if not self.apt_works:
            raise converge.ConvergeError("apt-get failed")
        self.ran.append(("install", *names))

    def note(self, change: str) -> None: ...

    def wait(self, *_: Any) -> None: ...

    def require_mount(self, path: str) -> None: ...


FIRST_BOOT = {"mount_point": "/nonexistent", "packages": ["xfsprogs"], "prepare_disk": ["prepare"]}


@pytest.fixture
def first_boot(programs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The program, which leaves this machine's own files alone."""
    module = programs["first_boot"]
    monkeypatch.setattr(module, "DISABLED", tmp_path / "cloud-init.disabled")
    monkeypatch.setattr(module, "LOG", tmp_path / "log")
    monkeypatch.setattr(module, "remove_copies", lambda root: None)
    return module


@pytest.mark.parametrize("errors", [[], [PACKAGES_FAILED], [PACKAGES_FAILED, DISK_FAILED]])
def test_what_the_first_boot_could_not_install_is_installed(
    first_boot: Any, errors: list[str]
) -> None:
    host = FirstBooted(errors)
    host.apt_works = False
    with pytest.raises(converge.ConvergeError, match="apt-get failed"):
        first_boot.end_first_boot(host, FIRST_BOOT)
    assert not first_boot.DISABLED.exists()
    host.apt_works = True
    first_boot.end_first_boot(host, FIRST_BOOT)
    assert host.ran[-2:] == [("install", "xfsprogs"), ("prepare",)]
    assert first_boot.DISABLED.exists()


@pytest.mark.parametrize("errors", [[OTHER_FAILED], [PACKAGES_FAILED, OTHER_FAILED], ["?"]])
def test_a_first_boot_that_failed_in_anything_else_is_an_error(
    first_boot: Any, errors: list[str]
) -> None:
    host = FirstBooted(errors)
    with pytest.raises(converge.ConvergeError, match="first boot failed"):
        first_boot.end_first_boot(host, FIRST_BOOT)
    assert len(host.ran) == 1
    assert not first_boot.DISABLED.exists()


def test_older_releases_spell_their_modules_otherwise(first_boot: Any) -> None:
    assert first_boot.repeatable([DISK_FAILED.replace("_", "-")])
    assert not first_boot.repeatable([])


def test_cloud_inits_copies_are_removed_and_nothing_else(programs: Any, tmp_path: Path) -> None:
    secret = [
        "var/lib/cloud/instances/i-1/user-data.txt",
        "var/lib/cloud/instances/i-1/obj.pkl",
        "var/lib/cloud/seed/nocloud/user-data",
        "var/lib/waagent/ovf-env.xml",
        "run/cloud-init/combined-cloud-config.json",
    ]
    kept = ["var/lib/cloud/data/result.json", "var/lib/waagent/other", "run/cloud-init/status.json"]
    for name in secret + kept:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "var/lib/cloud/instance").symlink_to(tmp_path / "var/lib/cloud/instances/i-1")
    programs["first_boot"].remove_copies(tmp_path)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if not path.is_dir()}
    assert left == set(kept)
    programs["first_boot"].remove_copies(tmp_path)


class AgentsHost:
    """Waits once for each thing; `find` is what appears then."""

    def __init__(self, find: Path) -> None:
        self.find = find
        self.changed: list[str] = []

    def note(self, change: str) -> None:
        self.changed.append(change)

    def packages(self, names: list[str]) -> None: ...

    def require_mount(self, _: str) -> None: ...

    def run(self, *argv: str, **_: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(argv, 0, "", "")

    def wait(self, what: str, ready: Any, timeout_s: float) -> None:
        assert not ready() and "walinuxagent" in what
        assert (self.find.parent / "ovf-env.xml").exists()
        self.find.touch()
        assert ready()


AGENTS = {"mount_point": "/", "packages": []}


@pytest.fixture
def agents(programs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The program on a machine that is a directory, and its host."""
    module = programs["first_boot"]
    agent = tmp_path / "var/lib/waagent"
    agent.mkdir(parents=True)
    (agent / "ovf-env.xml").touch()
    removed = module.remove_copies
    monkeypatch.setattr(module, "AGENT", agent)
    monkeypatch.setattr(module, "PROVISIONED", agent / "provisioned")
    monkeypatch.setattr(module, "DISABLED", tmp_path / "cloud-init.disabled")
    monkeypatch.setattr(module, "remove_copies", lambda _: removed(tmp_path))
    return module, AgentsHost(agent / "provisioned")


def test_azures_agent_has_what_it_needs_until_it_has_finished(agents: Any) -> None:
    module, host = agents
    module.end_first_boot(host, AGENTS)
    assert [path.name for path in module.AGENT.iterdir()] == ["provisioned"]
    assert len(host.changed) == 1


def test_an_agent_that_was_never_told_does_not_look_for_ever(agents: Any) -> None:
    """Of a machine whose first boot ended before it had found the host key."""
    module, host = agents
    module.DISABLED.touch()
    (module.AGENT / "ovf-env.xml").unlink()
    module.end_first_boot(host, AGENTS)
    assert module.PROVISIONED.read_text() == ""
    module.end_first_boot(host, AGENTS)
    assert len(host.changed) == 1


def test_a_tablespace_on_a_disk_that_outlived_its_machine_is_taken_over(
    programs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[tuple[str, ...]] = []

    class Noting(programs["converge"].Host):
        def run(self, *argv: str, **_: Any) -> Any:
            ran.append(argv)

        def directory(self, path: str, owner: str, mode: int) -> None: ...

    data, space = tmp_path / "postgresql/17/main", tmp_path / "fast"
    (data / "pg_tblspc").mkdir(parents=True)
    (data / "PG_VERSION").touch()
    (data / "pg_tblspc" / "16400").symlink_to(space)
    monkeypatch.setattr(programs["postgres"].Postgres, "_lend_configuration", lambda _: None)
    desired = {"version": "17", "data_directory": str(data), "initdb_options": []}
    postgres = programs["postgres"].Postgres(Noting(), desired)
    postgres.config = tmp_path / "etc"
    postgres._cluster()
    assert ran[0] == ("chown", "-R", "postgres:", str(space))


WAL = "000000010000000000000003"


@pytest.mark.parametrize(
    "command",
    [
        f"barman get-wal 'pg' '{WAL}'",
        f"barman get-wal --partial 'pg' '{WAL}'",
        f"barman get-wal --gzip --partial 'pg' '{WAL}'",
        f"barman get-wal --peek '5' --partial 'pg' '{WAL}'",
        "barman get-wal 'pg' '00000002.history'",
        "barman get-wal --test 'pg' 'dummy_wal_name'",
    ],
)
def test_the_gate_lets_wal_through(command: str) -> None:
    words = shlex.split(command)
    assert gate().command(words, "pg") == ["/usr/local/bin/barman-get-wal", *words[2:]]


def test_the_gate_lets_many_wal_files_through() -> None:
    argv = ["/usr/local/bin/barman-send-wal", "pg"]
    assert gate().command(["barman-send-wal", "pg"], "pg") == argv


@pytest.mark.parametrize("what", ["contents", "manifest", "base", "16400"])
def test_the_gate_lets_a_backup_through(what: str) -> None:
    asked = ["barman-send-backup", "pg", "20261201T040000", what]
    assert gate().command(asked, "pg") == [f"/usr/local/bin/{asked[0]}", *asked[1:]]


@pytest.mark.parametrize(
    "command",
    [
        "",
        "id",
        "barman",
        "barman get-wal",
        f"barman get-wal other {WAL}",
        f"barman get-wal pg {WAL} {WAL}",
        f"barman get-wal pg ../{WAL}",
        f"barman get-wal -o /etc pg {WAL}",
        f"barman get-wal --output-directory=/etc pg {WAL}",
        f"barman get-wal --peek --help pg {WAL}",
        f"barman --config /tmp/evil get-wal pg {WAL}",
        "barman delete pg oldest",
        "barman put-wal pg",
        f"barman get-wal pg {WAL}; id",
        f"barman get-wal pg {WAL}\nid",
        f"/tmp/barman get-wal pg {WAL}",
        "barman-send-wal",
        "barman-send-wal other",
        "barman-send-wal ../pg",
        "barman-send-wal pg pg",
        "barman-send-wal pg; id",
        "/tmp/barman-send-wal pg",
        "barman-send-backup pg",
        "barman-send-backup other 20261201T040000 base",
        "barman-send-backup pg ../../../etc base",
        "barman-send-backup pg 20261201T040000 ../backup.info",
        "barman-send-backup pg 20261201T040000 base; id",
        "barman-send-backup pg 20261201T040000 base base",
    ],
)
def test_the_gate_stops_everything_else(command: str) -> None:
    assert gate().command(shlex.split(command), "pg") is None


DATA = "/data/postgresql/17/main"


@pytest.mark.parametrize(
    "command",
    [
        # As Barman 3.13 asked in a recovery on the lab.
        "true",
        f"test '-e' '{DATA}/.barman-recover.info'",
        f"test '-d' '{DATA}'",
        "  rsync --server --sender -sLtpre.iLsfxCIvu",
        "  rsync --server -sKtprcRe.iLsfxCIvu",
        f"mv '{DATA}/backup_manifest' '{DATA}/backup_manifest.20260501T120000'",
        f"mkdir '-p' '{DATA}/pg_wal/archive_status'",
        f"cat {DATA}/pg_wal/{WAL}",
        # As barman/fs.py of newer releases does.
        f"mkdir '-p' '{DATA}' '-m' '700'",
        f"test '-e' '{DATA}' '-o' '-L' '{DATA}'",
        f"rm '-fr' '{DATA}/pg_tblspc/1'",
        "touch '/data/clones/clone/data/.barman_write_check'",
    ],
)
def test_the_gate_to_postgres_lets_a_restore_through(command: str) -> None:
    assert gate("postgres-ssh-gate").allowed(shlex.split(command))


@pytest.mark.parametrize(
    "command",
    [
        "",
        "id",
        "bash",
        "cat /etc/passwd",
        "cat /data/postgresql/../../etc/passwd",
        "cat /data/postgresql-other/x",
        "rm -fr /data",
        "rm -rf --no-preserve-root /",
        f"cat {DATA}/PG_VERSION; id",
        f"test -e {DATA} && id",
        "rsync --server --daemon .",
        "rsync --server -vlogDtpr . /var/lib/postgresql",
        f"rsync --server -s --log-file={DATA}/x",
        f"/tmp/cat {DATA}/PG_VERSION",
        "mkdir -m 4755 /data/clones/x",
    ],
)
def test_the_gate_to_postgres_stops_everything_else(command: str) -> None:
    assert not gate("postgres-ssh-gate").allowed(shlex.split(command))


@pytest.mark.parametrize(
    ("command", "runs"),
    [
        (f"cat {DATA}/PG_VERSION", True),
        (f"test -e {DATA}", True),
        ("true", True),
        ("touch /data/clones/x", False),
        ("rm -fr /data/clones/x", False),
        ("mkdir -p /data/clones/x", False),
        ("rsync --server -sKtprcRe.iLsfxCIvu", False),
        # It reads, but what, nobody sees.
        ("rsync --server --sender -sLtpre.iLsfxCIvu", False),
    ],
)
def test_the_gate_to_postgres_lets_nothing_write_that_the_kernel_does_not_confine(
    command: str, runs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, started, logged = gate("postgres-ssh-gate"), [], []

    def no_landlock() -> None:
        raise OSError(38, "landlock")

    monkeypatch.setattr(program, "confine", no_landlock)
    monkeypatch.setattr(program.os, "execv", lambda path, words: started.append(path))
    monkeypatch.setattr(program.syslog, "syslog", lambda level, line: logged.append(line))
    monkeypatch.setenv("SSH_ORIGINAL_COMMAND", command)
    if runs:
        program.main()
    else:
        with pytest.raises(SystemExit, match="no Landlock to keep it inside /data/clones"):
            program.main()
    assert bool(started) is runs
    assert logged[0].startswith("allowed: " if runs else "refused: ")


def test_the_loader_runs_a_program_from_standard_input_alone(tmp_path: Path) -> None:
    loader = re.search(r"-c '(.*)'$", RUN, re.DOTALL)
    assert loader
    done = subprocess.run(
        [sys.executable, "-I", "-c", loader[1]],
        input=payload("first_boot", {"mount_point": "/nonexistent"})
        .replace("/run/converge.lock", "/dev/null")
        .replace("/var/lib/converge", str(tmp_path)),
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/nonexistent"},
    )
    # cloud-init is not to be found under that PATH: as far as it can get here.
    assert "FileNotFoundError" in done.stderr
    assert "cloud-init" in done.stderr


def test_crontab_is_asked_about_the_file_that_cron_reads(programs: Any) -> None:
    """A line that it does not take has cron ignore the whole file."""
    installed = render.barman_cron("pg", "0 4 1-7,15 jan *")
    asked = programs["streaming_backup"].without_users(installed)
    assert "0 4 1-7,15 jan * /usr/local/bin/barman-guarded backup pg\n" in asked
    assert "\n* * * * * /usr/local/bin/barman-guarded cron\n" in asked
    assert " barman /" not in asked

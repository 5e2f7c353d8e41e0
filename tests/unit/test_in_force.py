"""What is written is in force, or it is not there: programs killed after each side effect."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from host.desired import barman, postgres
from host.desired.files import Desired
from host.programs import barman as barman_program
from host.programs import change, monitoring
from host.programs import postgres as postgres_program
from host.programs.converge import ConvergeError
from host.restored_copy.server import Failed
from tests.unit.machine_double import DoubleHost, Files, Killed, Machine
from tests.unit.test_desired import (
    BARMAN,
    BARMAN_CREDENTIALS,
    POSTGRES,
    POSTGRES_CREDENTIALS,
)

UNIT = "postgresql@17-main"
PULUMI_CONF = "/etc/postgresql/17/main/conf.d/pulumi.conf"


def files_in(document: Any) -> Iterator[dict[str, Any]]:
    """Every file of a desired state."""
    if isinstance(document, dict):
        if {"path", "content"} <= document.keys():
            yield document
        for value in document.values():
            yield from files_in(value)
    elif isinstance(document, list | tuple):
        for value in document:
            yield from files_in(value)


def another(document: dict[str, Any]) -> dict[str, Any]:
    """The same with every file changed."""
    changed = copy.deepcopy(document)
    for file in files_in(changed):
        file["content"] += "# changed\n"
    return changed


def configure(host: DoubleHost, desired: dict[str, Any]) -> None:
    """What host/programs/postgres.py does but for roles and databases, which are asked for each
    time."""
    program = postgres_program.Postgres(host, desired)
    change.harden(host, desired["hardening"])
    program._configure()
    change.serve_own(host, desired["heartbeat"])
    change.serve_own(host, desired["guard"])


@dataclass(frozen=True)
class Program:
    """One of them with its desired state."""

    run: Callable[[DoubleHost, dict[str, Any]], object]
    desired: Desired

    def units(self) -> dict[str, list[str]]:
        """Paths of the files that each unit reads."""
        document, found = self.desired.document(), {}
        own = [document[key] for key in ("heartbeat", "guard") if key in document]
        own += [*document.get("own", ()), *document.get("services", ())]
        for service in own:
            if isinstance(service, str):
                about = document["services"][service]
                found[service] = [about["drop_in"]["path"], *_paths(about["files"])]
            else:
                name = service["unit"]["path"].rpartition("/")[2].removesuffix(".service")
                found[name] = [service["unit"]["path"], *_paths(service["files"])]
        if "hardening" in document:
            found["ssh"] = [document["hardening"]["sshd"]["path"]]
            found["systemd-sysctl"] = [document["hardening"]["kernel"]["path"]]
        if "server_file" in document:
            found[UNIT] = _paths(document["files"])
        return found


def _paths(files: Any) -> list[str]:
    return [file["path"] for file in files]


PROGRAMS = {
    "postgres": Program(configure, postgres.configuration(POSTGRES, POSTGRES_CREDENTIALS)),
    "barman": Program(barman_program.converge, barman.configuration(BARMAN, BARMAN_CREDENTIALS)),
    "postgres's exporters": Program(monitoring.converge, postgres.monitoring(POSTGRES)),
    "barman's monitoring": Program(monitoring.converge, barman.monitoring(BARMAN)),
}


@pytest.fixture(autouse=True)
def _certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        postgres_program.Postgres, "_await_certificate", lambda self: None, raising=True
    )
    monkeypatch.setattr(barman_program, "CURRENT_RUNBOOK", "/nonexistent")


def converged(program: Program, desired: dict[str, Any]) -> Machine:
    """A machine that the program has brought to this state, with sshd running before."""
    machine = Machine()
    machine.load("ssh")
    program.run(DoubleHost(machine), desired)
    return machine


def killed_at(program: Program, before: Machine, desired: dict[str, Any]) -> Iterator[Machine]:
    """The machine, once for every side effect that the program was killed after."""
    effects = 1
    while True:
        machine = copy.deepcopy(before)
        machine.kill_after = effects
        try:
            program.run(DoubleHost(machine), desired)
        except Killed:
            machine.kill_after = None
            yield machine
        except ConvergeError:
            return
        else:
            return
        effects += 1


def require_in_force(program: Program, machine: Machine) -> None:
    """Every unit runs with the files that are there."""
    for unit, paths in program.units().items():
        assert unit in machine.units, f"{unit} does not run"
        for path in paths:
            assert machine.units[unit].loaded[path] == machine.files[path], (unit, path)


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_run_that_was_killed_is_completed_by_the_next(name: str) -> None:
    program = PROGRAMS[name]
    old = program.desired.document()
    before, undisturbed = converged(program, old), Machine()
    for desired in (old, another(old)):
        undisturbed = converged(program, desired)
        killed = 0
        for machine in killed_at(program, Machine() if desired is old else before, desired):
            machine.units.setdefault("ssh", before.units["ssh"])
            program.run(DoubleHost(machine), desired)
            assert machine.files == undisturbed.files
            require_in_force(program, machine)
            killed += 1
        assert killed > 3
    # Nothing is loaded again for nothing.
    host = DoubleHost(undisturbed)
    program.run(host, another(old))
    assert host.changed == []


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_file_that_another_hand_wrote_is_loaded_too(name: str) -> None:
    """As somebody does whose connection breaks before the restart."""
    program = PROGRAMS[name]
    desired = another(program.desired.document())
    machine = converged(program, program.desired.document())
    for file in files_in(desired):
        DoubleHost(machine).file(file["path"], file["content"])
    program.run(DoubleHost(machine), desired)
    require_in_force(program, machine)


def refuse(command: tuple[str, ...], paths: list[str]) -> Callable[[Any, Files], bool]:
    """A command that ends with an error where one of these files was changed."""
    return lambda argv, files: (
        argv[: len(command)] == command and any("# changed" in files[path] for path in paths)
    )


@pytest.mark.parametrize(
    ("name", "command", "unit"),
    [
        ("barman's monitoring", ("amtool",), "prometheus-alertmanager"),
        ("barman's monitoring", ("promtool",), "prometheus"),
        (
            "barman's monitoring",
            ("systemctl", "restart", "barman-exporter.service"),
            "barman-exporter",
        ),
        ("barman", ("sshd", "-t"), "ssh"),
        ("postgres", ("runuser", "-u", "postgres"), UNIT),
        ("postgres", ("systemctl", "reload", UNIT), UNIT),
        ("postgres", ("systemctl", "restart", "durability-guard.service"), "durability-guard"),
    ],
)
def test_what_its_reader_refuses_does_not_stay(
    name: str, command: tuple[str, ...], unit: str
) -> None:
    """Neither at the first run nor at one after a run that was killed anywhere."""
    program = PROGRAMS[name]
    before = converged(program, program.desired.document())
    paths = program.units()[unit]
    desired = another(program.desired.document())
    before.refuses = refuse(command, paths)
    machines = [copy.deepcopy(before), *killed_at(program, before, desired)]
    assert len(machines) > 2
    for machine in machines:
        with pytest.raises(ConvergeError, match="The files from before are back, and in force"):
            program.run(DoubleHost(machine), desired)
        for path in paths:
            assert machine.files[path] == before.files[path]
            assert machine.units[unit].loaded[path] == before.files[path]


def test_settings_with_which_it_would_not_start_do_not_stop_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`shared_preload_libraries: pg_cron`, where there is none."""
    program = PROGRAMS["postgres"]
    machine = converged(program, program.desired.document())

    def pending(sql: str, machine: Machine) -> str:
        loaded = machine.units[UNIT].loaded[PULUMI_CONF]
        return "shared_preload_libraries\n" if "pending" in sql and "# changed" in loaded else ""

    def refuse_all(*_: object) -> None:
        raise Failed('FATAL: could not access file "pg_cron"')

    machine.answers = pending
    monkeypatch.setattr(postgres_program.trial, "trial", refuse_all)
    before, since = machine.files[PULUMI_CONF], machine.units[UNIT].since
    restarts: list[str] = []
    machine.refuses = lambda argv, _: (
        argv[:2] == ("systemctl", "restart") and (restarts.append(argv[2]) or False)
    )
    with pytest.raises(ConvergeError, match='could not access file "pg_cron"'):
        program.run(DoubleHost(machine), another(program.desired.document()))
    assert machine.files[PULUMI_CONF] == before
    assert machine.units[UNIT].loaded[PULUMI_CONF] == before
    assert machine.units[UNIT].since > since
    assert UNIT not in restarts

"""PgBouncer paused and resumed, whatever becomes of what is done meanwhile."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from host.desired import postgres
from host.domain import pooler
from host.programs import certificate
from host.programs import pooler as program
from host.programs.converge import ConvergeError
from ops.errors import OperatorError
from ops.reach import pooler as runbooks
from ops.reach.ssh import Result, Site
from tests.unit.machine_double import DoubleHost, Killed, Machine
from tests.unit.test_desired import POSTGRES_CREDENTIALS, WITH_POOLER, pooler_of

ACTIVE, PAUSED = "key|value\nactive|yes\npaused|no", "key|value\nactive|no\npaused|yes"


@dataclass
class Console:
    """PgBouncer's console: `says` what was asked of it; `hangs` at a pause, or is `silent`."""

    paused: bool = False
    hangs: bool = False
    stuck: bool = False
    silent: bool = False
    says: list[str] = field(default_factory=list)

    def tell(self, argv: Sequence[str]) -> tuple[int, str]:
        command = argv[-1]
        self.says.append(command)
        if self.silent:
            return pooler.SILENT, ""
        if command == "SHOW STATE":
            return 0, PAUSED if self.paused else ACTIVE
        if command == ("RESUME" if not self.paused else "PAUSE"):
            return pooler.REFUSED, ""
        self.paused = command == "PAUSE" or self.stuck
        return (pooler.TIMED_OUT if self.hangs and self.paused else 0), ""


class PoolerHost(DoubleHost):
    """A machine with a console."""

    def __init__(self, machine: Machine, console: Console) -> None:
        super().__init__(machine)
        self.console = console

    def _ran(self, argv: Sequence[str], stdin: str) -> tuple[int, str]:
        if argv[0] == "timeout":
            return self.console.tell(argv)
        return super()._ran(argv, stdin)


@pytest.fixture
def desired() -> dict[str, Any]:
    return pooler_of(postgres.configuration(WITH_POOLER, POSTGRES_CREDENTIALS)).document()


@pytest.fixture(autouse=True)
def _certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificate, "in_pem", lambda _: b"")
    monkeypatch.setattr(certificate, "shown", lambda *_: b"")
    monkeypatch.setattr(program, "Path", lambda _: SimpleNamespace(read_text=str))


def running() -> Machine:
    machine = Machine()
    machine.load(pooler.UNIT)
    return machine


@pytest.mark.parametrize("hangs", [False, True])
def test_clients_wait_for_a_restart_and_go_on_whatever_becomes_of_it(hangs: bool) -> None:
    console = Console(hangs=hangs)
    host = PoolerHost(running(), console)
    with program.paused(host):
        assert console.paused
    assert not console.paused
    with pytest.raises(ConvergeError, match="does not start"), program.paused(host):
        raise ConvergeError("PostgreSQL does not start")
    assert not console.paused


def test_where_there_is_no_pooler_nobody_is_asked() -> None:
    console = Console()
    with program.paused(PoolerHost(Machine(), console)):
        pass
    assert console.says == []


def test_an_update_resumes_what_a_killed_one_has_paused(desired: dict[str, Any]) -> None:
    console = Console(paused=True)
    program.converge(PoolerHost(Machine(), console), desired)
    assert not console.paused


def test_one_that_does_not_resume_is_an_error_with_the_next_command(
    desired: dict[str, Any],
) -> None:
    console = Console(paused=True, stuck=True)
    with pytest.raises(ConvergeError, match="sudo systemctl restart pgbouncer"):
        program.converge(PoolerHost(Machine(), console), desired)


def changed(desired: dict[str, Any], *, unit: bool) -> dict[str, Any]:
    wanted = copy.deepcopy(desired)
    for file in [wanted["unit"]] if unit else wanted["files"]:
        file["content"] += "# changed\n"
    return wanted


@pytest.mark.parametrize("unit", [False, True])
def test_its_configuration_is_reloaded_and_its_unit_restarts_it(
    desired: dict[str, Any], unit: bool
) -> None:
    machine, console = Machine(), Console()
    program.converge(PoolerHost(machine, console), desired)
    ran: list[str] = []
    machine.refuses = lambda argv, _: (
        argv[0] == "systemctl"
        and argv[1] in ("reload", "restart")
        and (ran.append(argv[1]) or False)
    )
    program.converge(PoolerHost(machine, console), changed(desired, unit=unit))
    assert ran == ["restart" if unit else "reload"]
    ran.clear()
    host = PoolerHost(machine, console)
    program.converge(host, changed(desired, unit=unit))
    assert (ran, host.changed) == ([], [])


@pytest.mark.parametrize("unit", [False, True])
def test_an_update_that_is_killed_anywhere_is_completed_by_the_next(
    desired: dict[str, Any], unit: bool
) -> None:
    wanted, effects = changed(desired, unit=unit), 1
    undisturbed = Machine()
    program.converge(PoolerHost(undisturbed, Console()), wanted)
    while True:
        machine = Machine()
        program.converge(PoolerHost(machine, Console()), desired)
        machine.kill_after = effects
        try:
            program.converge(PoolerHost(machine, Console()), wanted)
        except Killed:
            machine.kill_after = None
            program.converge(PoolerHost(machine, Console()), wanted)
        else:
            break
        assert machine.files == undisturbed.files
        loaded = machine.units[pooler.UNIT].loaded
        for file in [wanted["unit"], *wanted["files"]]:
            assert loaded[file["path"]] == file["content"]
        effects += 1
    assert effects > 3


def test_the_unit_is_there_before_the_package_whose_own_would_be_a_superusers(
    desired: dict[str, Any],
) -> None:
    machine, order = Machine(), []

    class Installing(PoolerHost):
        def packages(self, names: Sequence[str]) -> None:
            order.append((pooler.UNIT_FILE in machine.files, tuple(names)))

    program.converge(Installing(machine, Console()), desired)
    assert order == [(True, ("pgbouncer",))]
    assert "User=pgbouncer" in machine.files[pooler.UNIT_FILE]


def test_nothing_of_it_stays_when_it_is_taken_away(desired: dict[str, Any]) -> None:
    machine = Machine()
    host = PoolerHost(machine, Console())
    program.converge(host, desired)
    assert program.present(host)
    ran: list[tuple[str, ...]] = []
    machine.refuses = lambda argv, _: ran.append(tuple(argv)) or False
    program.remove(host)
    assert not program.present(host)
    assert ("systemctl", "disable", "--now", "pgbouncer") in ran
    assert any(argv[-2:] == ("purge", "pgbouncer") for argv in ran)
    assert ("rm", "-rf", "/etc/pooler", "/etc/sysusers.d/pgbouncer.conf") in ran


@dataclass
class OnMachine:
    """PostgreSQL's machine, as a runbook has it."""

    console: Console

    def run(self, argv: Sequence[str], **options: Any) -> Result:
        assert options["user"] == "pgbouncer"
        code, said = self.console.tell(argv)
        return Result("", code, said, "no such file" if code == pooler.SILENT else "")


def site(console: Console, *, pooler: bool = True) -> Site:
    outputs = SimpleNamespace(pooler=SimpleNamespace(port=6432) if pooler else None, databases={})
    return cast(Site, SimpleNamespace(outputs=outputs, postgres=OnMachine(console)))


@pytest.mark.parametrize(
    ("console", "said"),
    [
        (Console(), "; clients of the pooler wait"),
        (Console(paused=True), "; clients of the pooler wait"),
        (Console(hangs=True), "; transactions through the pooler that took over 10 s are cut"),
        (Console(silent=True), "; clients of the pooler cannot wait: no such file"),
    ],
)
def test_a_run_says_whether_clients_wait_and_is_not_stopped_by_a_pooler(
    console: Console, said: str
) -> None:
    there = site(replace(console, says=[]))
    assert runbooks.pause(there) == said
    runbooks.resume(there)
    assert runbooks.read(there, log_in=False).paused is (None if console.silent else False)


def test_a_run_in_a_stack_without_one_asks_nobody() -> None:
    console = Console()
    there = site(console, pooler=False)
    assert runbooks.pause(there) == ""
    runbooks.resume(there)
    assert console.says == []


def test_a_run_does_not_end_well_while_clients_wait() -> None:
    with pytest.raises(OperatorError, match="does not resume") as caught:
        runbooks.resume(site(Console(paused=True, stuck=True)))
    assert caught.value.next_command == (
        "sudo systemctl restart pgbouncer   (on PostgreSQL's machine)"
    )


def test_who_waits_is_read_by_the_names_of_the_columns() -> None:
    pools = "database|user|cl_active|cl_waiting|sv_active|maxwait|maxwait_us|pool_mode\n"
    assert runbooks.waits(pools) == (0, 0.0)
    rows = "app|app|94|6|94|12|5|transaction\nshop|app|1|2|1|3|7|transaction\n"
    assert runbooks.waits(pools + rows) == (8, 12.0)

"""Every row begins with a whole stack, whatever ran before it: a row needs no other row.

What a row that failed has left behind is put right by what `ops status` says to type.
"""

import time
from dataclasses import dataclass

import pytest

from lab.machines import machine
from tests.support.site import ASYNC, BARMAN, POSTGRES, Site
from tests.support.stack import Stack

# A receiver that connects again, a machine that boots: nobody need do anything.
BY_ITSELF_S = 30
WHOLE_WITHIN_S = 300


@dataclass
class Start:
    """Brings the stack to where a row begins."""

    site: Site
    failures: int = 0

    def reach(self, level: str, failures: int) -> None:
        """Both machines on, the level of durability `level` and in force; fails, saying what is
        wrong, if that cannot be had. `failures`: how many tests of this run have failed so far."""
        suspect, self.failures = failures != self.failures, failures
        if suspect or not machines_on(self.site.stack) or level_in_force(self.site) != level:
            mend(self.site, level)
        if level != ASYNC:
            self.site.until_protected()


def machines_on(stack: Stack) -> bool:
    return all(machine.is_running(stack.lab, name) for name in (POSTGRES, BARMAN))


def level_in_force(site: Site) -> str:
    """The level that the guard works at; empty if it does not say."""
    return str((site.guard_says() or {}).get("level", ""))


def mend(site: Site, level: str) -> None:
    """Put right what can be, and change the level to `level`; fails if something stays wrong."""
    stack = site.stack
    for name in (POSTGRES, BARMAN):
        if machine.is_running(stack.lab, name):
            machine.thaw(stack.lab, name)
        else:
            site.power_on(name)
    stack.on(POSTGRES, f"systemctl start {stack.unit}", check=False)
    heed(stack)
    # An `up` that was cut off is still locked.
    stack.pulumi("cancel", "--yes", check=False)
    stack.set_level(level)
    stack.read_outputs_again()
    heed(stack)


def heed(stack: Stack) -> None:
    """Type what `ops status` says to, each command once, until it has nothing to complain about."""
    began, typed = time.monotonic(), set[str]()
    while reasons := stack.status()["reasons"]:
        waited = time.monotonic() - began
        if waited > WHOLE_WITHIN_S:
            wrong = "\n".join(reason["text"] for reason in reasons)
            pytest.fail(f"the stack is not whole when the row is to begin:\n{wrong}")
        for command in {advice(reason["next_command"]) for reason in reasons} - typed - {""}:
            if waited > BY_ITSELF_S:
                typed.add(command)
                stack.ops(*command.split(), check=False)
        time.sleep(1)


def advice(next_command: str | None) -> str:
    """The runbook to run of a reason's next command, with the yes to its question; empty if it
    is something else than a runbook."""
    typed = (next_command or "").partition("   ")[0]
    runbook = typed.removeprefix("python -m ops ")
    if runbook == typed:
        return ""
    return f"{runbook} --yes" if runbook.startswith(("recover", "rotate")) else runbook

"""How the source is asked: by the machine, with the password on standard input alone."""

from typing import Any, cast

import pytest

from ops.errors import OperatorError
from ops.migrate import ask
from ops.reach.ssh import CommandFailed, Machine, Result
from tests.unit.ops.migrate_facts import ADDRESS

PASSWORD = "it's a : hard \\ one"


class Asked:
    """A machine that answers, or fails, and keeps what it was given."""

    name = "postgres-lab"

    def __init__(self, stdout: str = "[1]", stderr: str = "") -> None:
        self.result = Result("", 2 if stderr else 0, stdout, stderr)
        self.argv: list[str] = []
        self.given: dict[str, Any] = {}

    def run(self, argv: list[str], **given: Any) -> Result:
        self.argv, self.given = argv, given
        if self.result.returncode:
            raise CommandFailed(self.name, self.result)
        return self.result


def asked(machine: Asked) -> Any:
    return ask.asker(cast(Machine, machine), ADDRESS, PASSWORD)("SELECT to_json(1)", "shop eu")


def test_the_password_goes_in_by_standard_input_and_nowhere_else() -> None:
    machine = Asked()
    assert asked(machine) == [1]
    assert machine.given["user"] == "postgres"
    first, *session, last = machine.given["stdin"].splitlines()
    assert first == "*:*:*:*:it's a \\: hard \\\\ one"
    assert all(line.startswith("SET ") for line in session)
    assert last == "SELECT to_json(1)"
    assert "hard" not in " ".join(machine.argv)
    assert "dbname='shop eu'" in machine.argv[-1]


def test_what_psql_complains_of_is_explained_without_the_password() -> None:
    complaint = 'FATAL:  password authentication failed for user "dbadmin"'
    with pytest.raises(OperatorError) as failed:
        asked(Asked(stderr=complaint))
    assert "does not accept that password for dbadmin" in failed.value.happened
    assert "hard" not in str(failed.value)

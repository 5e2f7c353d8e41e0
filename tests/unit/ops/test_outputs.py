"""What the runbooks make of the stack's outputs."""

import json
from pathlib import Path

import paramiko
import pytest

from ops.errors import OperatorError
from ops.reach import outputs
from ops.reach.ssh import check_host_key

HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBaSqLC5lQ3tBHKNnPQHnsbJGLZPAfyX0fDMO4bSTtZq"


def machine(**changed: object) -> dict[str, object]:
    return {
        "name": "postgres",
        "privateAddress": "10.20.1.4",
        "sshAddress": "10.20.1.4",
        "sshPort": 22,
        "sshUser": "operator",
        "hostKey": HOST_KEY,
        "vmSize": "Standard_DS3_v2",
        "dataDiskGb": 1100,
        "dataDirectory": "/data/postgresql/17/main",
        "version": "17.11",
        **changed,
    }


def stack(**changed: object) -> dict[str, object]:
    return {
        "postgres": machine(),
        "barman": machine(name="barman", privateAddress="10.20.2.4", sshAddress="198.18.0.10"),
        "backup": {
            "serverName": "pg",
            "slot": "barman",
            "schedule": "0 4 * * *",
            "retention": "RECOVERY WINDOW OF 7 DAYS",
            "durability": "async",
            "copiesKept": 9,
            "intervalHours": 24.0,
        },
        "databases": {"app": {"owner": "app", "uri": "postgresql://app:hidden@10.20.1.4/app"}},
        "sshPrivateKey": "hidden-key",
        "readme": "ignored",
        **changed,
    }


def test_reads_what_the_program_exports() -> None:
    found = outputs.parse(json.dumps(stack()))
    assert found.postgres.data_directory == "/data/postgresql/17/main"
    assert found.through_jump_host
    assert found.databases["app"].uri.get_secret_value().endswith("/app")


def test_without_a_public_address_there_is_no_jump() -> None:
    inside = stack(barman=machine(privateAddress="10.20.2.4", sshAddress="10.20.2.4"))
    assert not outputs.parse(json.dumps(inside)).through_jump_host


def test_secrets_do_not_show() -> None:
    assert "hidden" not in repr(outputs.parse(json.dumps(stack())))


def test_no_outputs_is_a_stack_never_brought_up() -> None:
    with pytest.raises(OperatorError, match="never brought up") as caught:
        outputs.parse("{}")
    assert "make up" in str(caught.value.next_command)


def test_wrong_outputs_are_named_and_not_shown() -> None:
    broken = stack(postgres=machine(hostKey="hidden nonsense"))
    with pytest.raises(OperatorError, match=r"postgres\.hostKey") as caught:
        outputs.parse(json.dumps(broken))
    assert "hidden" not in str(caught.value)


def test_pulumi_missing(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="not on PATH"):
        outputs.read("dev", {"PATH": str(tmp_path), "PULUMI_BACKEND_URL": "file:///nowhere"})


def test_a_changed_host_key_is_refused_and_explained() -> None:
    target = outputs.parse(json.dumps(stack())).postgres
    expected = HOST_KEY.split()[1]
    with pytest.raises(OperatorError, match="host key of postgres") as caught:
        check_host_key(target, paramiko.ECDSAKey.generate(), expected)
    assert "Nothing was sent" in caught.value.state

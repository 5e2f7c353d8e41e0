"""Room, soundness, damage and progress, judged without a machine."""

import io
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from rich.console import Console

from ops.archive.catalogue import Catalogue
from ops.archive.plan import Plan
from ops.archive.targets import Target
from ops.errors import OperatorError
from ops.reach.ssh import Result, Site
from ops.recover import soundness, space, verify
from ops.runbook import progress
from tests.unit.ops.test_plan import STORE

GIB = 2**30


class Answering:
    """A machine that answers every command with the same, and keeps what it was asked."""

    def __init__(self, stdout: str = "", stderr: str = "", returncode: int = 0) -> None:
        self.result = Result("", returncode, stdout, stderr)
        self.asked: list[list[str]] = []
        self.name = "barman-dev"

    def run(self, argv: list[str], **_: Any) -> Result:
        self.asked.append(list(argv))
        return self.result


def site(barman: Answering | None = None) -> Site:
    outputs = SimpleNamespace(
        postgres=SimpleNamespace(name="postgres-dev"),
        barman=SimpleNamespace(name="barman-dev", data_directory="/data/barman"),
        backup=SimpleNamespace(server_name="pg"),
    )
    return cast(Site, SimpleNamespace(outputs=outputs, barman=barman))


def test_a_restore_that_fits() -> None:
    space.require(site(), 5 * GIB, free=6 * GIB, old=0, discard=False)
    space.require(site(), 5 * GIB, free=2 * GIB, old=4 * GIB, discard=True)


def test_one_that_fits_only_without_the_old_data_says_so() -> None:
    with pytest.raises(OperatorError) as caught:
        space.require(site(), 5 * GIB, free=2 * GIB, old=4 * GIB, discard=False)
    assert "--discard-old-data" in str(caught.value.next_command)


@pytest.mark.parametrize("discard", [True, False, None])
def test_one_that_never_fits(discard: bool | None) -> None:
    old = 4 * GIB if discard is None else 0
    with pytest.raises(OperatorError) as caught:
        space.require(site(), 5 * GIB, free=2 * GIB, old=old, discard=discard)
    assert "enlarge postgresDiskGb" in str(caught.value.next_command)


def test_a_database_that_has_grown_is_told() -> None:
    assert space.growth(9 * GIB, 5 * GIB, 4 * GIB) is None
    assert space.growth(GIB, GIB, GIB) is None
    said = space.growth(5 * GIB, 5 * GIB, 4 * GIB)
    assert said is not None and "grown from 4.0 GiB to 5.0 GiB" in said


def test_barmans_disk() -> None:
    assert space.require_on_barman(site(Answering(f"Avail\n{9 * GIB}\n")), 5 * GIB) is None
    warned = space.require_on_barman(site(Answering(f"Avail\n{3 * GIB}\n")), 5 * GIB)
    assert warned is not None
    assert "may not fit" in warned
    with pytest.raises(OperatorError, match="/data on barman-dev is full"):
        space.require_on_barman(site(Answering(f"Avail\n{GIB // 2}\n")), 5 * GIB)


def test_a_backup_that_was_verified_is_not_read_again() -> None:
    backup = STORE.backups[-1]
    seen = {"at": datetime(2026, 11, 23, tzinfo=UTC), "backup_id": backup.backup_id}
    held = Catalogue.model_validate(
        STORE.model_dump()
        | {"verifications": {backup.backup_id: seen | {"ok": True, "seconds": 1, "error": None}}}
    )
    machine = Answering()
    assert "verified 2026-11-23" in soundness.check(site(machine), held, backup)
    assert machine.asked == []


def test_a_large_backup_is_looked_at_only_from_outside() -> None:
    small, large = Answering(), Answering()
    backup = STORE.backups[-1].model_copy(update={"stored_size": soundness.CONTENTS_BYTES})
    assert "as PostgreSQL sent it" in soundness.check(site(small), STORE, backup)
    backup = backup.model_copy(update={"stored_size": soundness.CONTENTS_BYTES + 1})
    assert "contents not read" in soundness.check(site(large), STORE, backup)
    assert ["--skip-checksums" in machine.asked[0] for machine in (small, large)] == [False, True]


def test_a_packed_backup_is_read_by_our_own_program() -> None:
    packed = {"packed": True, "restored_size": 4 * soundness.CONTENTS_BYTES}
    sound, damaged = Answering("[]\n"), Answering('["base.tar.zst: it is cut off", "x"]\n')
    for size, words in ((0, "as PostgreSQL sent it"), (1, "every archive is there with its size")):
        stored = {"stored_size": soundness.CONTENTS_BYTES + size}
        backup = STORE.backups[-1].model_copy(update=packed | stored)
        assert words in soundness.check(site(sound), STORE, backup)
    with pytest.raises(OperatorError, match=r"base.tar.zst: it is cut off \(and 1 more\)"):
        soundness.check(site(damaged), STORE, backup)


def test_a_backup_with_a_damaged_file_is_refused() -> None:
    machine = Answering(stderr="pg_verifybackup: error: checksum mismatch for file x", returncode=1)
    with pytest.raises(OperatorError, match="checksum mismatch") as caught:
        soundness.check(site(machine), STORE, STORE.backups[-1])
    assert "ops verify" in str(caught.value.next_command)


def test_progress_is_a_line_now_and_then_where_there_is_no_terminal() -> None:
    seen = iter([GIB, None, 3 * GIB])
    said = io.StringIO()
    console = Console(file=said, width=100)
    with progress.watched(console, 4 * GIB, lambda: next(seen)) as tick:
        for seconds in (1.0, 10.0, 11.0, 20.0, 30.0):
            tick(seconds)
    assert said.getvalue().splitlines() == [
        "      1.0 GiB of 4.0 GiB, 30 s left",
        "      3.0 GiB of 4.0 GiB, 10 s left",
    ]


def test_progress_is_a_bar_on_a_terminal() -> None:
    said = io.StringIO()
    console = Console(file=said, width=100, force_terminal=True)
    with progress.watched(console, 4 * GIB, lambda: GIB) as tick:
        tick(5.0)
    assert "1.0/4.0 GiB" in said.getvalue()


PLAN = Plan(
    target=Target(),
    backup_id="20261201T040000",
    backup_size=GIB,
    timeline=1,
    system_id="7",
    last_commit=datetime(2026, 12, 1, tzinfo=UTC),
)


def found(**changed: Any) -> dict[str, Any]:
    nothing = {"read": [3, 10], "left_out": [0, 0], "largest_left_out": "", "damaged": []}
    return {**nothing, "words": "", "unchecked": {}, **changed}


def test_what_was_not_read_is_said() -> None:
    left_out = {"left_out": [1, 2 * GIB], "largest_left_out": "app.public.events"}
    said = verify.describe(found(**left_out))
    assert "NOT read: 1 (2.0 GiB), the largest is app.public.events" in said
    assert "--check-everything" in said


def test_damage_refuses_and_says_what_to_do() -> None:
    words = "btree index: ERROR:  item order invariant violated"
    refusal = verify.refusal(found(damaged=["app.public.t"], words=words), PLAN)
    assert "item order invariant" in refusal.happened
    assert "an older --backup-id" in str(refusal.next_command)


def test_damage_in_a_local_snapshot_leads_to_barmans_backup() -> None:
    local = PLAN.model_copy(update={"barman_backup_id": "20261201T040000"})
    refusal = verify.refusal(found(damaged=["app.public.t"]), local)
    assert "--backup-id 20261201T040000" in str(refusal.next_command)


def test_what_could_not_be_checked_is_said_and_is_not_damage() -> None:
    said = verify.describe(found(unchecked={"gis": "could not access file postgis-3"}))
    assert "could NOT be checked: gis (could not access file postgis-3)" in said
    assert "DAMAGED" not in said

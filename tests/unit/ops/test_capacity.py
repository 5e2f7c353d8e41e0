"""When a disk will be full: by growth that is known here, and by too little to know."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ops.reach import outputs
from ops.watch.capacity import Capacity, judge, sized
from ops.watch.capacity_trend import Sized, growth_per_day, wal_per_day
from tests.unit.ops.test_outputs import stack

GIB = 2**30
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def nightly(
    count: int, *, size: float = 20, more: float = 0, wal: float = 2, ratio: float = 1
) -> list[Sized]:
    """Nightly backups up to today: GiB of the database in the first, by how much each is larger,
    WAL a day, what part of it is stored."""
    return [
        Sized(
            ended=NOW - (count - 1 - n) * DAY,
            size=int((size + more * n) * ratio * GIB),
            wal=int(wal * GIB),
            database=int((size + more * n) * GIB),
        )
        for n in range(count)
    ]


def disk(total: float, free: float) -> dict[str, Any]:
    return {
        "mounted": True,
        "total_bytes": int(total * GIB),
        "used_bytes": int((total - free) * GIB),
        "free_bytes": int(free * GIB),
    }


def asked(
    backups: list[Sized],
    *,
    database: float = 20,
    postgres: tuple[float, float] = (1100, 1000),
    barman: tuple[float, float] = (250, 50),
) -> Capacity:
    """What is judged of these backups on disks of (total, free) GiB."""
    machines = outputs.parse(json.dumps(stack()))
    return judge(
        NOW,
        {"databases": int(database * GIB), "wal": GIB},
        backups,
        [(machines.postgres, disk(*postgres)), (machines.barman, disk(*barman))],
        copies=9,
        interval=DAY,
    )


def test_growth_is_measured_from_sizes_over_time() -> None:
    assert growth_per_day(nightly(9, more=0.5)) == pytest.approx(0.5 * GIB, rel=1e-6)
    assert growth_per_day(nightly(9, more=-0.5)) == 0
    assert growth_per_day(nightly(2)) is None
    assert wal_per_day(nightly(9), NOW + DAY) == pytest.approx(2 * GIB)
    assert wal_per_day([], NOW) is None


def test_a_full_window_that_does_not_grow_lasts() -> None:
    found = asked(nightly(9))
    assert [d.full_at for d in found.disks] == [None, None]
    assert [d.advice for d in found.disks] == [[], []]
    assert found.exit_code == 0


def test_a_database_that_grows_fills_barman_s_disk_first() -> None:
    postgres, barman = asked(nightly(9, size=16, more=0.5)).disks
    # 1000 GiB at 0.5 a day: beyond what anybody plans by a straight line.
    assert postgres.full_at is None
    # Nine copies grow nine times as fast: 50 GiB in about eleven days.
    assert barman.full_at is not None
    assert timedelta(days=9) <= barman.full_at - NOW <= timedelta(days=13)
    assert any("Set barmanDiskGb to" in line for line in barman.advice)
    assert any("shorten retention" in line for line in barman.advice)


def test_packed_backups_fill_it_more_slowly() -> None:
    found = asked(nightly(9, size=16, more=0.5, ratio=0.25))
    assert found.growth_bytes_per_day == pytest.approx(0.5 * GIB, rel=1e-6)
    full = found.disks[1].full_at
    assert full is not None
    assert timedelta(days=40) <= full - NOW <= timedelta(days=48)


def test_plain_backups_that_make_way_for_packed_ones_are_no_growth_and_no_shrinking() -> None:
    plain, packed = nightly(9, size=16, more=0.5), nightly(9, size=16, more=0.5, ratio=0.25)
    found = asked(plain[:5] + packed[5:])
    assert found.growth_bytes_per_day == pytest.approx(0.5 * GIB, rel=1e-6)
    assert found.disks[1].full_at is None or found.disks[1].full_at - NOW > timedelta(days=60)


def test_a_window_that_is_not_full_yet_fills_the_disk_without_any_growth() -> None:
    # Three of nine copies of 20 GiB and 6 GiB of WAL are there; six more need 132.
    found = asked(nightly(3), barman=(150, 80))
    assert found.growth_bytes_per_day == 0
    full = found.disks[1].full_at
    assert full is not None
    assert timedelta(days=3) <= full - NOW <= timedelta(days=5)
    assert found.exit_code == 1
    assert asked(nightly(3), barman=(250, 180)).disks[1].full_at is None


def test_the_advised_size_lasts() -> None:
    backups = nightly(9, size=16, more=0.05)
    (line, _) = asked(backups, barman=(250, 3)).disks[1].advice
    advised = int(line.split("barmanDiskGb to ")[1].split()[0])
    used = 250 - 3
    again = asked(backups, barman=(advised, advised - used)).disks[1]
    assert again.full_at is None or again.full_at - NOW > timedelta(days=365)


def test_too_little_history_gives_no_date() -> None:
    found = asked(nightly(1))
    assert (found.growth_bytes_per_day, found.archived_wal_bytes_per_day) == (None, None)
    assert [d.full_at for d in found.disks] == [None, None]
    assert asked([]).backup_bytes is None


def test_a_database_of_half_the_disk_cannot_be_recovered_with_a_way_back() -> None:
    found = asked(nightly(9), database=600)
    assert "keep the old data directory" in found.disks[0].advice[0]
    assert "postgresDiskGb to 1501" in found.disks[0].advice[0]


def test_only_complete_backups_count() -> None:
    listed = [
        {
            "backup_id": f"2026112{n}T040000",
            "status": status,
            "end_time_timestamp": str(int((NOW - n * DAY).timestamp())),
            "size_bytes": n * GIB,
            "wal_size_bytes": 0,
        }
        for n, status in ((3, "DONE"), (1, "DONE"), (2, "FAILED"))
    ]
    restored = {item["backup_id"]: 4 * GIB for item in listed}
    assert [backup.size for backup in sized(listed, restored)] == [1 * GIB, 3 * GIB]
    assert {backup.database for backup in sized(listed, restored)} == {4 * GIB}
    # One that was deleted between the two questions.
    assert sized(listed, {}) == []

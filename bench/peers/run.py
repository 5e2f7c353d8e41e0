"""A whole run: the stack stood up, one set of data after another, rounds in turn until the time is
used up."""

import os
import re
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.peers import load, ours, plain, rounds
from bench.peers.data import DataSet, sets
from bench.peers.machines import BARMAN, DATABASE, POSTGRES, Machines
from bench.peers.pgbackrest import Repository
from bench.peers.replaying import replay
from bench.peers.rounds import (
    BASEBACKUP,
    CP,
    DELTA,
    FULL,
    INCREMENTAL,
    LZ4,
    OURS,
    REPLAY,
    RESTORE,
    RSYNC,
    TAR,
    WHOLE_CLONE,
    ZST,
    Results,
    Sample,
)
from bench.restore import lab

_SEGMENT = "SELECT pg_walfile_name(pg_current_wal_lsn())"
# WAL to be replayed beside what the round itself has written: about 16 segments.
_FILLER = """
CREATE TABLE filler AS SELECT i, repeat(md5(i::text), 30) AS text
  FROM generate_series(1, 250000) AS i;
"""
# Beside nothing, for the latency that everything else is compared with.
_ALONE_S = 10
_WAL_KEPT = "4GB"
# Beyond them, nothing is learnt from another one.
_MOST_ROUNDS = 8
_VERSION = re.compile(r"\d+(?:\.\d+)+")
# What a way gives back: seconds if the clock around it does not say them, bytes stored.
Way = Callable[[], "Outcome"]


@dataclass(frozen=True)
class Outcome:
    """What a way knows of itself, and what it wants done once it has been measured."""

    stored: int | None = None
    seconds: float | None = None
    cleanup: Callable[[], None] = lambda: None


@dataclass
class Round:
    """One round of one set of data."""

    machines: Machines
    data: DataSet
    number: int
    say: Callable[[str], None]
    zst: Repository
    lz4: Repository
    samples: list[Sample] = field(default_factory=list)
    # When each sample was begun and ended, in seconds since 1970.
    spans: list[tuple[float, float]] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    # The segment in which the WAL begins that every replay is timed on.
    filler: str = ""

    @property
    def target(self) -> str:
        """The restore point that everything is brought back to."""
        return f"bench-{self.data.name.replace(' ', '-')}-{self.number}"

    def go(self) -> list[Sample]:
        """All stages; what was measured, with what the load's transactions took."""
        first = self.machines.sql(_SEGMENT)
        load.start(self.machines)
        try:
            self.measure(rounds.ALONE, {"pgbench and nothing else": _wait})
            self.measure(FULL, self.full())
            self.labels = self._labels()
            self.machines.sql(self.data.change, DATABASE)
            self.measure(INCREMENTAL, self.incremental())
            self._write_wal()
            plain.take_wal(self.machines, first)
            self.zst.push(plain.WAL)
            self.measure(RESTORE, self.restore())
            self.measure(REPLAY, self.replay())
            self.measure(DELTA, {ZST: self.delta})
        finally:
            transactions = load.stop(self.machines)
        self._clean()
        return [
            replace(sample, **_latency(transactions, span))
            for sample, span in zip(self.samples, self.spans, strict=True)
        ]

    def measure(self, stage: str, ways: dict[str, Way]) -> None:
        """Each way once, in this round's order."""
        for name in rounds.turn(list(ways), self.number):
            self.machines.settle(cold=rounds.temperature(self.number) == rounds.COLD)
            begin, before = time.time(), self.machines.used()
            outcome, failed = Outcome(), ""
            try:
                outcome = ways[name]()
            except (RuntimeError, subprocess.SubprocessError, ValueError) as error:
                failed = str(error) or type(error).__name__
            end, after = time.time(), self.machines.used()
            self.note(stage, name, begin, end, outcome, failed)
            if not failed:
                self.samples[-1] = replace(
                    self.samples[-1],
                    cpu_postgres=after.cpu_postgres - before.cpu_postgres,
                    cpu_barman=after.cpu_barman - before.cpu_barman,
                    moved=after.moved - before.moved,
                )
            outcome.cleanup()

    def note(
        self, stage: str, way: str, begin: float, end: float, outcome: Outcome, failed: str = ""
    ) -> None:
        """Keep one sample, and say it."""
        seconds = end - begin if outcome.seconds is None else outcome.seconds
        sample = Sample(
            self.data.name,
            self.number,
            rounds.temperature(self.number),
            stage,
            way,
            seconds=None if failed else seconds,
            stored=outcome.stored,
            failed=failed,
        )
        self.samples.append(sample)
        self.spans.append((begin, end))
        self.say(
            f"{self.data.name}, round {self.number} ({sample.temperature}): {stage}, {way}: "
            + (failed or f"{seconds:.2f} s")
        )

    def full(self) -> dict[str, Way]:
        there = self.machines
        return {
            OURS: self._backup,
            ZST: lambda: Outcome(self.zst.backup("full")),
            LZ4: lambda: Outcome(self.lz4.backup("full")),
            BASEBACKUP: lambda: Outcome(plain.basebackup(there)),
            RSYNC: lambda: Outcome(plain.rsync(there)),
            CP: lambda: Outcome(plain.cp(there)),
        }

    def _backup(self) -> Outcome:
        seconds, stored = ours.backup(self.machines)
        return Outcome(stored, seconds)

    def incremental(self) -> dict[str, Way]:
        return {
            ZST: lambda: Outcome(self.zst.backup("incr")),
            LZ4: lambda: Outcome(self.lz4.backup("incr")),
        }

    def restore(self) -> dict[str, Way]:
        there = self.machines
        return {
            OURS: self._clone,
            ZST: lambda: _done(self.zst.restore(self.labels[ZST])),
            LZ4: lambda: _done(self.lz4.restore(self.labels[LZ4])),
            RSYNC: lambda: _done(plain.restore_rsync(there)),
            TAR: lambda: _done(plain.restore_tar(there)),
            CP: lambda: _done(plain.restore_cp(there)),
        }

    def replay(self) -> dict[str, Way]:
        there = self.machines

        def replayed(folder: str, command: str) -> Outcome:
            return Outcome(seconds=replay(there, folder, command, self.target, self.filler))

        def by_pgbackrest() -> Outcome:
            self.zst.forget_spool()
            return replayed(self.zst.restored, self.zst.get_command())

        def by_cp() -> Outcome:
            return replayed(plain.RESTORED_BY_RSYNC, plain.get_command())

        return {ZST: by_pgbackrest, CP: by_cp}

    def delta(self) -> Outcome:
        return _done(self.zst.restore(self.zst.newest(), delta=True))

    def _clone(self) -> Outcome:
        """The restore of ours; the whole and the replay of the same command are samples too."""
        begin = time.time()
        cloned = ours.clone(self.machines, self.target, self.filler)
        end = time.time()
        self.note(RESTORE, WHOLE_CLONE, begin, end, Outcome(seconds=cloned.whole))
        missing = "" if cloned.segment is not None else "fewer than two segments came"
        self.note(REPLAY, OURS, begin, end, Outcome(seconds=cloned.segment), missing)
        return Outcome(seconds=cloned.restore, cleanup=lambda: ours.drop(self.machines))

    def _labels(self) -> dict[str, str]:
        return {ZST: self.zst.newest(), LZ4: self.lz4.newest()}

    def _write_wal(self) -> None:
        """WAL to be replayed, the restore point at its end, and all of it at Barman."""
        self.filler = self.machines.sql(_SEGMENT)
        self.machines.sql(_FILLER, DATABASE)
        self.machines.ops("restore-point", self.target)
        self.machines.archive_all()

    def _clean(self) -> None:
        plain.forget(self.machines)
        self.machines.sql("DROP TABLE filler;\nCHECKPOINT;\n", DATABASE)


def _done(_: Any) -> Outcome:
    return Outcome()


def _wait() -> Outcome:
    time.sleep(_ALONE_S)
    return Outcome()


def _latency(
    transactions: Sequence[load.Transaction], span: tuple[float, float]
) -> dict[str, float | None]:
    found = load.percentiles(transactions, *span)
    return {"p50": found[0], "p99": found[1]} if found else {}


@dataclass(frozen=True)
class Wanted:
    """`names` of the sets, `megabytes` of all sets, `minutes` of the whole run."""

    names: tuple[str, ...]
    megabytes: int
    minutes: float


def measure(checkout: Path, wanted: Wanted, commit: str, say: Callable[[str], None]) -> Results:
    """Stand the stack of `checkout` up, measure, take it down. Each set gets the same share of the
    time that is left: rounds are begun as long as another one of the last one's length fits, and
    one of each set whatever it takes. Raises Failed, CalledProcessError or LabError."""
    begin = time.monotonic()
    there = Machines(checkout)
    results = Results(_computer(), commit, "", 0.0, os.getloadavg()[0], {})
    chosen = [each for each in sets(wanted.megabytes) if each.name in wanted.names]
    try:
        lab(checkout, "up")
        there.install()
        repositories = Repository(there, "zst"), Repository(there, "lz4")
        for repository in repositories:
            repository.make()
        load.prepare(there)
        there.sql(f"ALTER SYSTEM SET wal_keep_size = '{_WAL_KEPT}';\nSELECT pg_reload_conf();\n")
        results.versions.update(_versions(there))
        for number, data in enumerate(chosen):
            left = wanted.minutes * 60 - (time.monotonic() - begin)
            until = time.monotonic() + rounds.share_of(left, len(chosen) - number)
            _fill(there, data)
            results.sizes[data.name] = int(there.sql(f"SELECT pg_database_size('{DATABASE}')"))
            for each in range(_MOST_ROUNDS):
                began = time.monotonic()
                results.samples += Round(there, data, each, say, *repositories).go()
                if 2 * time.monotonic() - began > until:
                    break
            there.sql(f"DROP DATABASE {DATABASE};\nCHECKPOINT;\n")
    finally:
        lab(checkout, "down", "--yes-delete-data")
    results.ended = f"{datetime.now(UTC):%Y-%m-%d %H:%M}"
    results.minutes = (time.monotonic() - begin) / 60
    return results


def _fill(there: Machines, data: DataSet) -> None:
    there.sql(f"CREATE DATABASE {DATABASE}")
    if data.scale:
        there.pgbench_initialize(DATABASE, data.scale)
    there.sql(f"{data.fill}\nVACUUM (FREEZE, ANALYZE);\nCHECKPOINT;\n", DATABASE)
    # Of the loading, nothing is to be left to do for whoever is measured first.
    there.archive_all()


def _versions(there: Machines) -> dict[str, str]:
    asked = {
        "PostgreSQL": (POSTGRES, "psql --version"),
        "Barman": (BARMAN, "barman --version"),
        "pgBackRest": (BARMAN, "pgbackrest version"),
        "rsync": (BARMAN, "rsync --version"),
        "zstd": (BARMAN, "zstd --version"),
    }
    said = {name: there.run(*question) for name, question in asked.items()}
    return {name: next(iter(_VERSION.findall(text)), "?") for name, text in said.items()}


def _computer() -> str:
    """This computer, as a reader can tell it from another one."""
    models = re.findall(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    model = models[0] if models else os.uname().machine
    system = os.uname().release
    return f"{os.cpu_count()} CPUs ({model}), {memory:.0f} GiB of memory, Linux {system}"

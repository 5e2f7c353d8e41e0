"""docs/performance.md and its chart, from what the last run has stored. Pure, apart from `main`."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from bench.peers import load, rounds
from bench.peers.rounds import (
    BASEBACKUP,
    COLD,
    CP,
    FULL,
    GOALS,
    NOT_YET,
    OURS,
    REPLAY,
    RESTORE,
    RSYNC,
    STAGES,
    TAR,
    WARM,
    WHOLE_CLONE,
    Goal,
    Results,
    Sample,
    Spread,
)

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / ".lab" / "performance.json"
PAGE, CHART = ROOT / "docs" / "performance.md", ROOT / "docs" / "performance.svg"
MISSING = "-"
_HEAD = """\
# Performance, beside what people would pick instead

Written by `make docs` from what `make bench PEERS=1` measured on the lab: two real machines, each
way on the same data in the same run. Commit {commit}, ended {ended} UTC after {minutes:.0f}
minutes.

- **Computer**: {machine}; both machines and their disks are on it. Load {load:.1f} when the run
  began: figures of a computer that had other work are worth little.
- **Versions**: {versions}.
- **Sets**: {sizes}.
- **Rounds** take turns, each with another way first; even ones are cold (every cached page dropped
  before each way), odd ones warm. What is dirty is written before each way. Figures are the median
  (least-most) of as many rounds as the row says.
- **Beside everything**, pgbench asks for {rate} transactions per second, each waiting for Barman as
  the stack has it; p50 and p99 are its transactions meanwhile, from when they were due. CPU is that
  of a whole machine, this load included.
- **Seconds** are those of the command, start and end included, until its bytes are on the disk. Our
  restore is the part of `ops clone` from its word that it restores to the first word of the
  clone's PostgreSQL; its CPU and bytes are of the whole command, which replays too. The whole has
  a row of its own. A replay's seconds are those of one segment of WAL, by PostgreSQL's log, of
  the same segments for every way; a clone of ours has the lowest CPU weight, the others' servers
  the usual one.
- **pgBackRest**: repository on Barman's machine over SSH, two processes, bundles and block-level
  incrementals, its default level of each compression. **cp** copies the databases' files on
  PostgreSQL's own disk, sharing no blocks: the yardstick.

![Median seconds of full backups and restores](performance.svg)
"""
_READING = """
## How to read it
What a command takes whatever the size, the sets show more than anything: they are small, so that
all of them fit into one run. A backup or a clone of ours begins with Python, Pulumi's engine, a
login on each machine and a start of Barman, and a backup is not done before its last WAL is
archived; pgBackRest's is one program on the machine itself. The set with the most files is the one
on which the bytes count. Nothing on the lab is as slow as the disks of the machines that are
recommended: there, bytes decide ([scale.md](scale.md)).
"""
_GOALS_HEAD = """
## Goals
Ours divided by theirs, round by round; the median (least-most) of both temperatures. A goal counts
as met by its median, and as not met where ours failed in any round; where a way is missing, as not
measured.

"""


def text(results: Results) -> str:
    """The whole of docs/performance.md."""
    sizes = ", ".join(f"{name} {size / 1e6:.0f} MB" for name, size in results.sizes.items())
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    head = _HEAD.format(
        commit=results.commit,
        ended=results.ended,
        minutes=results.minutes,
        machine=results.machine,
        load=results.load,
        versions=versions,
        sizes=sizes,
        rate=load.RATE,
    )
    parts = [head, _READING, _GOALS_HEAD, *_table(*goal_rows(results))]
    for name in results.sizes:
        parts += [f"\n## {name[0].upper()}{name[1:]}\n", *_table(*way_rows(results.samples, name))]
    return "".join(parts)


def goal_rows(results: Results) -> tuple[Sequence[str], list[Sequence[str]]]:
    """The table of goals: its columns, and a line for each goal."""
    rows = []
    for goal in GOALS:
        cells = [verdict(goal, results.samples, name) for name in results.sizes]
        rows.append([goal.text, f"≤ {goal.limit:.2f}", *cells])
    return ["goal", "limit", *results.sizes], rows


def verdict(goal: Goal, samples: Sequence[Sample], data: str) -> str:
    """Whether it is met on one set, and by how much."""
    stage, way = goal.ours
    here = [each for each in samples if (each.stage, each.way, each.data) == (stage, way, data)]
    if failed := sum(bool(each.failed) for each in here):
        return f"**not met**: failed in {failed} of {len(here)} rounds"
    found = goal.ratio(samples, data)
    if found is None:
        reason = NOT_YET.get(goal.ours)
        return f"not measured: {reason}" if reason else "not measured"
    word = "met" if found.median <= goal.limit else "**not met**"
    return f"{word}: {_spread(found, 2)}"


def way_rows(samples: Sequence[Sample], data: str) -> tuple[Sequence[str], list[Sequence[str]]]:
    """The table of one set: its columns, and a line for each way of each stage."""
    columns = ["what", "how", "cold, s", "warm, s", "rounds", "stored, MB", "moved, MB"]
    columns += ["CPU s, PostgreSQL's", "CPU s, Barman's", "p50, ms", "p99, ms"]
    return columns, list(_way_rows(samples, data))


def _way_rows(samples: Sequence[Sample], data: str) -> Iterator[Sequence[str]]:
    for stage in STAGES:
        if reason := NOT_YET.get((stage, OURS)):
            yield [stage, f"{OURS}: {reason}", *[MISSING] * 9]
        here = [each for each in samples if (each.data, each.stage) == (data, stage)]
        for way in sorted({each.way for each in here}, key=_place):
            yield _way_row(here, stage, way, data)


def _way_row(here: Sequence[Sample], stage: str, way: str, data: str) -> Sequence[str]:
    good = rounds.chosen(here, stage=stage, way=way, data=data)
    failed = [each.failed for each in here if each.way == way and each.failed]

    def seconds(at: str) -> str:
        return _spread(
            Spread.of(
                [
                    each.seconds
                    for each in good
                    if at == each.temperature and each.seconds is not None
                ]
            ),
            3 if stage == REPLAY else 1,
        )

    def of(values: Sequence[float | None], digits: int) -> str:
        return _spread(Spread.of([value for value in values if value is not None]), digits)

    count = str(len(good))
    if failed:
        count += f", {len(failed)} failed: {_one_line(failed[0])}"
    return [
        stage,
        way,
        seconds(COLD),
        seconds(WARM),
        count,
        of([None if each.stored is None else each.stored / 1e6 for each in good], 0),
        of([None if each.moved is None else each.moved / 1e6 for each in good], 0),
        of([each.cpu_postgres for each in good], 1),
        of([each.cpu_barman for each in good], 1),
        of([each.p50 for each in good], 1),
        of([each.p99 for each in good], 1),
    ]


def _one_line(said: str) -> str:
    return " ".join(said.split())[-160:].replace("|", "\\|")


def _place(way: str) -> tuple[int, str]:
    order = (OURS, WHOLE_CLONE, *rounds.PGBACKREST, BASEBACKUP, RSYNC, TAR, CP)
    return (order.index(way) if way in order else len(order), way)


def _spread(found: Spread | None, digits: int) -> str:
    if found is None:
        return MISSING
    middle, low, high = (f"{each:.{digits}f}" for each in (found.median, found.low, found.high))
    return middle if low == high else f"{middle} ({low}-{high})"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    marks = ["---" if number < 2 else "---:" for number in range(len(columns))]
    for row in (columns, marks, *rows):
        yield "| " + " | ".join(row) + " |\n"


_COLOURS = {OURS: "#1f5fa8", "pgBackRest zst": "#d9822b", "pgBackRest lz4": "#e8b679"}
_OTHER = "#9aa5b1"
_LABEL, _BAR, _WIDTH, _ROW = 150, 380, 620, 16


def chart(results: Results) -> str:
    """An SVG of the median seconds of full backups and restores, cold and warm together: a block
    for each set, in which the longest bar is the slowest way's."""
    lines, y = [], 24
    for stage in (FULL, RESTORE):
        lines.append(_words(10, y, f"{stage}, median seconds", "bold"))
        y += 22
        for data in results.sizes:
            bars = _bars(results.samples, stage, data)
            if not bars:
                continue
            lines.append(_words(10, y, data))
            y += 6
            longest = max(seconds for _, seconds in bars)
            for way, seconds in bars:
                width = max(1.0, _BAR * seconds / longest)
                colour = _COLOURS.get(way, _OTHER)
                lines.append(_words(_LABEL - 6, y + 11, way, anchor="end"))
                lines.append(
                    f'<rect x="{_LABEL}" y="{y}" width="{width:.1f}" height="{_ROW - 3}" '
                    f'fill="{colour}"/>'
                )
                lines.append(_words(int(_LABEL + width + 5), y + 11, f"{seconds:.1f}"))
                y += _ROW
            y += 18
        y += 8
    size = f'width="{_WIDTH}" height="{y}" viewBox="0 0 {_WIDTH} {y}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" '
        f'font-size="11">\n<rect width="{_WIDTH}" height="{y}" fill="#ffffff"/>\n'
        + "\n".join(lines)
        + "\n</svg>\n"
    )


def _bars(samples: Sequence[Sample], stage: str, data: str) -> list[tuple[str, float]]:
    ways = {each.way for each in samples if (each.stage, each.data) == (stage, data)}
    found = []
    for way in sorted(ways - {WHOLE_CLONE}, key=_place):
        good = rounds.chosen(samples, stage=stage, way=way, data=data)
        spread = Spread.of([each.seconds for each in good if each.seconds is not None])
        if spread is not None:
            found.append((way, spread.median))
    return found


def _words(x: int, y: int, text: str, weight: str = "normal", anchor: str = "start") -> str:
    return (
        f'<text x="{x}" y="{y}" font-weight="{weight}" text-anchor="{anchor}">{escape(text)}</text>'
    )


def main() -> None:
    """Write both, or leave them if there is nothing to write them from."""
    if found := rounds.load(RESULTS):
        PAGE.write_text(text(found))
        CHART.write_text(chart(found))


if __name__ == "__main__":
    main()

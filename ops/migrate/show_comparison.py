"""A comparison for people."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.text import Text

from ops.migrate.comparison import (
    Aspect,
    Comparison,
    DatabaseComparison,
    Difference,
    LeftOut,
    RowDifference,
    Unread,
)
from ops.migrate.refusals import some
from ops.screen import moment, size, span

_SHOWN, _LINES, _WIDTH = 5, 3, 160
# pg_dump's words where they are no name's beginning.
_KINDS = {"ACL": "GRANTS ON", "DEFAULT ACL": "GRANTS BY", "COMMENT": "COMMENT ON"}


def show(found: Comparison, console: Console) -> None:
    """Each difference on a line, the first few of each kind; --json has every one."""
    _line(
        console,
        f"{found.host}:{found.port} and {found.server}, from {moment(found.began)} on, in "
        f"{span((found.ended - found.began).total_seconds())}.",
    )
    _differences(found.differences, console, "")
    _unread(found.unread, console, "")
    for database in found.databases:
        _database(database, found.sample_percent, console)
    _left_out(
        [*found.left_out, *(each for one in found.databases for each in one.left_out)], console
    )
    _line(console, "")
    if found.identical:
        _line(console, "Identical. Nothing was changed, there or here.", "green")
    else:
        _line(
            console,
            "NOT IDENTICAL: what differs or could not be compared is above. Nothing was changed, "
            "there or here.",
            "red",
        )


def _line(console: Console, text: str, style: str = "") -> None:
    # In a name there may be a line's end, and what rich would take for an emoji's.
    plain = Text(text.replace("\n", " "), style)
    console.print(plain, soft_wrap=True)


def _database(found: DatabaseComparison, percent: float, console: Console) -> None:
    _line(
        console,
        f"{found.name}: {found.tables} tables, {found.rows} rows, {size(found.bytes)}; "
        f"{found.definitions} definitions, {found.sequences} sequences, {found.large_objects} "
        "large objects",
    )
    if found.sampled:
        _line(
            console,
            f"  Of {some(found.sampled)} every key, and {percent:g} % of the rows: what differs in "
            "the others is not seen.",
            "yellow",
        )
    _differences(found.differences, console, "  ")
    for each in found.row_differences:
        _rows(each, console)
    _unread(found.unread, console, "  ")


def _differences(found: Sequence[Difference], console: Console, indent: str) -> None:
    kinds: dict[tuple[str, Aspect], list[Difference]] = {}
    for each in found:
        kinds.setdefault((each.kind, each.aspect), []).append(each)
    for (kind, aspect), listed in kinds.items():
        for each in listed[:_SHOWN]:
            _line(console, f"{indent}{_title(each)}", "red")
            if aspect is not Aspect.EXISTENCE:
                _side("there", each.source, console, indent)
                _side("here", each.here, console, indent)
        if len(listed) > _SHOWN:
            more = len(listed) - _SHOWN
            _line(console, f"{indent}… and {more} more of {kind}, {aspect}: --json", "red")


def _title(found: Difference) -> str:
    name = f"{_KINDS.get(found.kind, found.kind)} {found.name}"
    if found.aspect is Aspect.EXISTENCE:
        return f"{name}: {'only' if found.source is None else 'missing'} here"
    if found.aspect is Aspect.DEFINITION or found.kind in _KINDS:
        return f"{name}: not the same"
    other = "other" if found.aspect is Aspect.GRANTS else "another"
    return f"{name}: {other} {found.aspect}"


def _side(where: str, text: str | None, console: Console, indent: str) -> None:
    lines = [line for line in (text or "").splitlines() if line.strip()] or ["-"]
    for number, line in enumerate(lines[:_LINES]):
        label = f"{where}:" if number == 0 else ""
        more = " …" if number == _LINES - 1 and len(lines) > _LINES else ""
        _line(console, f"{indent}    {label:<6} {line.strip()[:_WIDTH]}{more}")


def _rows(found: RowDifference, console: Console) -> None:
    if found.source_rows is None or found.here_rows is None:
        where = "here" if found.here_rows is None else "at the source"
        text = f"  {found.name}: no rows to compare {where}: it is not there, or was never filled"
        _line(console, text, "red")
        return
    counted = {
        "missing here": found.only_source,
        "only here": found.only_here,
        "changed": found.changed,
    }
    said = [f"{number} {what}" for what, number in counted.items() if number]
    if found.columns_source or found.columns_here:
        names = [f"{name} (there)" for name in found.columns_source]
        names += [f"{name} (here)" for name in found.columns_here]
        said.append(f"columns that one side lacks: {some(names)}")
    least = "" if found.complete else "at least "
    _line(
        console,
        f"  {found.name}: {found.source_rows} rows there, {found.here_rows} here; {least}"
        f"{', '.join(said) or 'they changed while they were read'}",
        "red",
    )
    for what, first, number in (
        ("missing here", found.first_only_source, found.only_source),
        ("only here", found.first_only_here, found.only_here),
        ("changed", found.first_changed, found.changed),
    ):
        _named(what, first[:_SHOWN], number, found.key, console)


def _named(
    what: str, first: Sequence[str], number: int, key: Sequence[str], console: Console
) -> None:
    for text in first:
        value = " ".join(text.split())
        named = f"({', '.join(key)}) = {value}" if key else value
        _line(console, f"      {what}: {named[:_WIDTH]}")
    if number > len(first):
        _line(console, f"      … and {number - len(first)} more {what}")


def _unread(found: Iterable[Unread], console: Console, indent: str) -> None:
    for each in found:
        _line(
            console,
            f"{indent}{each.what} could not be compared: {' '.join(each.reason.split())}",
            "red",
        )


def _left_out(found: Iterable[LeftOut], console: Console) -> None:
    reasons: dict[str, list[str]] = {}
    for each in found:
        reasons.setdefault(each.reason, []).extend(each.names)
    if reasons:
        _line(console, "Left out:")
    for reason, names in reasons.items():
        _line(console, f"  {some(names)}: {reason}")

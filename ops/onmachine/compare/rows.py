"""Rows compared without fetching them: each side adds up the hashes of its rows; where the sums
differ, those of ever fewer rows, until the rows that differ can be named."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from host.domain.quoting import identifier
from ops.onmachine.compare.session import Both

# Aimed at in a bucket, the most buckets, and how many rows are fetched to be told apart.
_IN_A_BUCKET, _BUCKETS, _FETCHED = 200, 2**16, 100_000
_SHOWN, _SHOWN_CHARS = 10, 200
# A sample is chosen to a millionth.
_PARTS = 2**20
# Seeds: a row, its bucket, its place in or out of a sample, its key.
_ROW, _BUCKET, _SAMPLE, _KEY = 0, 1, 2, 3

Ask = Callable[[str], Both[list[Any]]]


@dataclass(frozen=True)
class Table:
    """What is read: `relation` is SQL that may follow FROM, `columns` are SQL expressions of t,
    `key` some of them that are unique and never null, `names` theirs, if there is such a key.

    `percent`: of rows outside this sample only the key is compared. `recoded`: the encodings of the
    two databases differ.
    """

    relation: str
    columns: tuple[str, ...]
    key: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    percent: float = 100
    recoded: bool = False

    @property
    def sampled(self) -> bool:
        """Whether there are rows of which only the key is compared."""
        return bool(self.key) and self.percent < 100


def column(name: str, send: str | None) -> str:
    """A column as text on both sides. `send` is its type's function for binary output, where its
    text is not exact."""
    plain = f"t.{identifier(name)}"
    if send is None:
        return plain
    exact = f"encode({send}({plain}), 'hex')"
    # Of which there are many, and one in text.
    return f"CASE WHEN {plain} = 'NaN' THEN 'NaN' ELSE {exact} END" if _one(send) else exact


def _one(send: str) -> bool:
    return send in ("float4send", "float8send")


def compare(table: Table, ask: Ask) -> dict[str, Any]:
    """{rows: [source, here], equal}, and where they differ what `tell_apart` has found. Raises
    Refused."""
    source, here = (rows[0] for rows in ask(totals(table)))
    found = {"rows": [source[0], here[0]], "equal": source == here, "sampled": table.sampled}
    return found if source == here else {**found, **_narrowed(table, ask, max(source[0], here[0]))}


def _narrowed(table: Table, ask: Ask, count: int) -> dict[str, Any]:
    mask = _mask(count)
    source, here = ({each[0]: each[1:] for each in rows} for rows in ask(buckets(table, mask)))
    differing = sorted(
        bucket for bucket in source.keys() | here.keys() if source.get(bucket) != here.get(bucket)
    )
    chosen, fetched = [], 0
    for bucket in differing:
        chosen.append(bucket)
        fetched += max(side.get(bucket, [0])[0] for side in (source, here))
        if fetched >= _FETCHED:
            break
    rows = ask(listed(table, mask, chosen)) if chosen else Both[list[Any]]([], [])
    return {
        **tell_apart(rows.source, rows.here),
        "all": len(chosen) == len(differing),
        "key": list(table.names),
    }


def _mask(count: int) -> int:
    buckets = 1
    while buckets < _BUCKETS and buckets * _IN_A_BUCKET < count:
        buckets *= 2
    return buckets - 1


def tell_apart(source: Iterable[Sequence[str]], here: Iterable[Sequence[str]]) -> dict[str, Any]:
    """Rows as [hash of the key, hash of the row, text of the key], by their key: how many are only
    at one side or differ, and the first of each by name."""
    texts: dict[str, str] = {}
    sides: list[dict[str, Counter[str]]] = []
    for rows in (source, here):
        side: dict[str, Counter[str]] = defaultdict(Counter)
        for key, row, text in rows:
            side[key][row] += 1
            texts[key] = text
        sides.append(side)
    found: dict[str, list[str]] = {"only_source": [], "only_here": [], "changed": []}
    for key, text in texts.items():
        mine, theirs = (side.get(key, Counter()) for side in sides)
        lost, new = (mine - theirs).total(), (theirs - mine).total()
        both = min(lost, new)
        found["changed"] += [text] * both
        found["only_source"] += [text] * (lost - both)
        found["only_here"] += [text] * (new - both)
    return {
        "counts": {kind: len(names) for kind, names in found.items()},
        "first": {kind: sorted(names)[:_SHOWN] for kind, names in found.items()},
    }


def totals(table: Table) -> str:
    """SQL: [count, sum of hashes]."""
    return (
        f"SELECT json_build_array(count(*), coalesce(sum({_hash(table)}), 0)::text) "  # noqa: S608 - quoted
        f"FROM {table.relation} t"
    )


def buckets(table: Table, mask: int) -> str:
    """SQL: [bucket, count, sum of hashes] of each that has rows."""
    return (
        f"SELECT json_build_array(b, count(*), sum(h)::text) FROM (SELECT {_bucket(table, mask)} "  # noqa: S608 - quoted
        f"AS b, {_hash(table)} AS h FROM {table.relation} t) x GROUP BY b"
    )


def listed(table: Table, mask: int, chosen: Sequence[int]) -> str:
    """SQL: [hash of the key, hash of the row, text of the key] of each row in these buckets."""
    numbers = ", ".join(map(str, chosen))
    key = _text(table.key or table.columns)
    return (
        f"SELECT json_build_array({_hashed(key, _KEY, table)}::text, {_hash(table)}::text, "  # noqa: S608 - quoted
        f"left({key}, {_SHOWN_CHARS})) FROM {table.relation} t "
        f"WHERE {_bucket(table, mask)} IN ({numbers})"
    )


def _text(columns: Sequence[str]) -> str:
    return f"ROW({', '.join(columns)})::text"


def _hashed(text: str, seed: int, table: Table) -> str:
    if table.recoded:
        text = f"encode(convert_to({text}, 'UTF8'), 'hex')"
    return f'hashtextextended({text} COLLATE "C", {seed})'


def _hash(table: Table) -> str:
    row = _hashed(_text(table.columns), _ROW, table)
    if not table.sampled:
        return row
    key = _text(table.key)
    limit = round(table.percent * _PARTS / 100)
    chosen = f"({_hashed(key, _SAMPLE, table)} & {_PARTS - 1}) < {limit}"
    return f"CASE WHEN {chosen} THEN {row} ELSE {_hashed(key, _ROW, table)} END"


def _bucket(table: Table, mask: int) -> str:
    return f"({_hashed(_text(table.key or table.columns), _BUCKET, table)} & {mask})"

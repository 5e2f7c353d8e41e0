"""What pg_dump says of a database, taken apart into its entries, and two such compared. Pure."""

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

_HEADER = re.compile(r"^--\n-- Name: (.*); Type: (.*); Schema: (.*); Owner: (.*)\n--\n", re.M)
_END = "\n--\n-- PostgreSQL database dump complete"
# What belongs to the entry after it, or to none.
_BETWEEN = re.compile(r"^(SET default_\w+ = .*;|\\(un)?restrict .*)\n", re.M)
_OWNER = re.compile(r"\n+ALTER [A-Z ]+ .* OWNER TO .*;\s*\Z")
# Grants are a set, each of them with whoever has granted it.
_AS_OTHER = re.compile(r"SET SESSION AUTHORIZATION (.*);\n(.*)\nRESET SESSION AUTHORIZATION;")
ACL = ("ACL", "DEFAULT ACL")


class Key(NamedTuple):
    """What an entry is of: its type and name in pg_dump's words, and the schema that it is in."""

    type: str
    schema: str
    name: str


class Entry(NamedTuple):
    """The statements that make something, and whom it belongs to."""

    text: str
    owner: str


Entries = dict[Key, Entry]


def parse(dump: str) -> Entries:
    """The entries of a dump as text. Several of one key are one."""
    found: dict[Key, list[Entry]] = defaultdict(list)
    heads = list(_HEADER.finditer(dump))
    ends = [head.start() for head in heads[1:]] + [dump.rfind(_END)]
    for head, end in zip(heads, ends, strict=False):
        name, kind, schema, owner = head.groups()
        text = _BETWEEN.sub("", dump[head.end() : end if end >= 0 else None]).strip()
        if kind in ACL:
            text, owner = "\n".join(sorted(_grants(text))), ""
        else:
            text = _OWNER.sub("", f"\n{text}").strip()
        found[Key(kind, schema, name)].append(Entry(text, owner))
    return {key: _one(entries) for key, entries in found.items()}


def _one(entries: list[Entry]) -> Entry:
    texts = sorted(entry.text for entry in entries)
    return Entry("\n\n".join(texts), ", ".join(sorted({entry.owner for entry in entries})))


def _grants(text: str) -> Iterator[str]:
    """A statement a line; one in another role's name says so at its end, as PostgreSQL would."""
    for granted in _AS_OTHER.finditer(text):
        yield f"{granted[2].rstrip(';')} GRANTED BY {granted[1]};"
    yield from (line for line in _AS_OTHER.sub("", text).splitlines() if line)


def differences(
    source: Entries, here: Entries, read: Entries | None = None
) -> list[dict[str, Any]]:
    """Of each entry that is not the same {type, schema, name, source, here}; the last two are
    {text, owner}, or null where there is none. `read` has the source's entries once this server's
    version has read them: by their text, too, one may be the same."""
    found = []
    for key in sorted(source.keys() | here.keys()):
        there, ours = source.get(key), here.get(key)
        again = (read or {}).get(key)
        if there and ours and again and there.text != ours.text:
            there = there._replace(text=again.text)
        if there != ours:
            sides = {
                side: entry and entry._asdict()
                for side, entry in (("source", there), ("here", ours))
            }
            found.append({**key._asdict(), **sides})
    return found

"""Whether a copy's data is sound: tables and indexes read by pg_amcheck, all of them or what fits
in a bounded time. A database is damaged, sound, or could not be checked, and why."""

import json
import re
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from subprocess import STDOUT, Popen
from typing import Any

from host.domain.quoting import identifier
from host.restored_copy import progress
from host.restored_copy.copy import Copy
from host.restored_copy.server import Refused, Server

# A minute at the 192 MB/s of the default machine's disk (Standard_DS3_v2).
BY_DEFAULT_BYTES = 10 * 2**30
# The extension is put into a schema of its own, which goes again with all that is in it. Where
# the database has the extension already, the schema stays empty.
SCHEMA = "runbook_amcheck"
_SET_UP = f"""
SET client_min_messages = warning;
CREATE SCHEMA IF NOT EXISTS {SCHEMA};
CREATE EXTENSION IF NOT EXISTS amcheck SCHEMA {SCHEMA};
"""
_CLEAN_UP = f"SET client_min_messages = warning; DROP SCHEMA IF EXISTS {SCHEMA} CASCADE"
# What pg_amcheck looks at: heaps, sequences and B-trees. Catalogs are always small enough.
_RELATIONS = """
SELECT coalesce(json_agg(json_build_object('schema', n.nspname, 'name', c.relname,
   'bytes', pg_relation_size(c.oid), 'system', c.oid < 16384)), '[]')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_am a ON a.oid = c.relam
WHERE c.relpersistence = 'p' AND (c.relkind IN ('r', 'm', 't', 'S')
   OR c.relkind = 'i' AND a.amname = 'btree')
"""
# A DROP DATABASE that was interrupted leaves -2 (PostgreSQL's DATCONNLIMIT_INVALID_DB): nobody can
# connect, and it can only be dropped.
OPEN_DATABASES = """
SELECT json_agg(datname ORDER BY datname) FROM pg_database
WHERE datallowconn AND datconnlimit <> -2
"""
_FACTS = f"""
SELECT json_build_object(
  'databases', ({OPEN_DATABASES}),
  'closed', (SELECT coalesce(json_agg(datname), '[]') FROM pg_database
     WHERE NOT datallowconn AND datname <> 'template0' AND datconnlimit <> -2),
  'invalid', (SELECT coalesce(json_agg(datname), '[]') FROM pg_database WHERE datconnlimit = -2),
  'prepared', (SELECT coalesce(json_agg(gid), '[]') FROM pg_prepared_xacts),
  'checksums', current_setting('data_checksums'),
  'system_id', (SELECT system_identifier::text FROM pg_control_system()))
"""  # noqa: S608 - a constant
# What the users' functions and collations ask of the machine; collations of ICU ask nothing.
_LIBRARIES = """
SELECT coalesce(json_agg(DISTINCT probin), '[]') FROM pg_proc
WHERE probin IS NOT NULL AND oid >= 16384
"""
_LOCALES = """
SELECT json_agg(DISTINCT locale) FROM (
  SELECT unnest(ARRAY[datcollate, datctype]) FROM pg_database WHERE datname = current_database()
  UNION ALL SELECT unnest(ARRAY[collcollate, collctype]) FROM pg_collation
  WHERE collprovider = 'c' AND oid >= 16384) used(locale)
"""
_NEEDS = f"SELECT json_build_object('libraries', ({_LIBRARIES}), 'locales', ({_LOCALES}))"
_PROGRESS = re.compile(r"(\d+)/(\d+) relations \(\s*\d+%\),\s+(\d+)/(\d+) pages.*")
_NAMED = re.compile(r'^(?:heap table|btree index|sequence|\w[\w ]*) "(.+?)"[,:]', re.MULTILINE)
PAGE_BYTES = 8192
# pg_amcheck's exit code for damage; anything but this and 0 is trouble of its own.
DAMAGE = 2
# Linux holds a word to 128 KiB (MAX_ARG_STRLEN), and all of them to a quarter of the stack's limit.
COMMAND_LINE_BYTES = 60_000
POLL_S = 0.5


@dataclass(frozen=True)
class Relation:
    """A table or an index; `system` ones belong to PostgreSQL itself."""

    database: str
    schema: str
    name: str
    bytes: int
    system: bool

    @property
    def full_name(self) -> str:
        return f"{self.database}.{self.schema}.{self.name}"

    @property
    def pattern(self) -> str:
        """Exactly this one, as pg_amcheck's options want it."""
        return ".".join(identifier(part) for part in (self.database, self.schema, self.name))


@dataclass(frozen=True)
class Finding:
    """What was read and what was left out (number of relations, bytes), the largest of those, what
    is damaged (database.schema.name), pg_amcheck's words about it, and why a database could not be
    checked, which says nothing about it. The rest is about the cluster; `libraries` (pg_proc's
    probin) and `locales` are what its databases need besides PostgreSQL."""

    read: tuple[int, int]
    left_out: tuple[int, int]
    largest_left_out: str
    damaged: list[str]
    words: str
    unchecked: dict[str, str] = field(default_factory=dict)
    databases: int = 0
    invalid: list[str] = field(default_factory=list)
    prepared: list[str] = field(default_factory=list)
    checksums: str = ""
    system_id: str = ""
    libraries: list[str] = field(default_factory=list)
    locales: list[str] = field(default_factory=list)


def main(document: dict[str, Any], everything: bool) -> None:
    """Check the copy that `document` describes and print the finding as JSON."""
    limit = None if everything else BY_DEFAULT_BYTES
    found = check(
        Server(Copy(**document)), limit=limit, compare_heap=everything, watch=lambda: None
    )
    print(json.dumps(asdict(found)))


def check(
    server: Server,
    *,
    limit: int | None,
    watch: Callable[[], None],
    compare_heap: bool,
) -> Finding:
    """Read the tables and indexes of a copy that accepts connections, at most `limit` bytes of the
    users'; with `compare_heap` every row is looked up in its indexes, too. What cannot be read for
    another reason than damage is said, and stops nothing. What `watch` raises does."""
    facts = json.loads(server.query(_FACTS))
    found: list[Relation] = []
    checked: list[str] = []
    unchecked = dict.fromkeys(facts["closed"], "it allows no connections")
    needs: dict[str, set[str]] = {"libraries": set(), "locales": set()}
    try:
        for name in facts["databases"]:
            try:
                for kind, names in json.loads(server.query(_NEEDS, name)).items():
                    needs[kind].update(names)
                answer = server.query(_SET_UP + _RELATIONS, name)
            except Refused as refused:
                unchecked[name] = str(refused).splitlines()[0]
                # The schema may have been made before the extension could not be.
                with suppress(Refused):
                    server.query(_CLEAN_UP, name)
                continue
            checked.append(name)
            found += [Relation(database=name, **item) for item in json.loads(answer)]
        chosen, rest = (found, []) if limit is None else fitting(found, limit)
        options = ["--heapallindexed"] if compare_heap else []
        words, trouble = _read(server, selections(checked, chosen, rest), options, watch)
        if trouble:
            unchecked[", ".join(checked)] = trouble
    finally:
        for name in checked:
            server.query(_CLEAN_UP, name)
    largest = max(rest, key=lambda relation: relation.bytes, default=None)
    return Finding(
        read=(len(chosen), total(chosen)),
        left_out=(len(rest), total(rest)),
        largest_left_out=largest.full_name if largest else "",
        damaged=damaged(words),
        words=words,
        unchecked=unchecked,
        databases=len(facts["databases"]),
        invalid=facts["invalid"],
        prepared=facts["prepared"],
        checksums=facts["checksums"],
        system_id=facts["system_id"],
        libraries=sorted(needs["libraries"]),
        locales=sorted(needs["locales"]),
    )


def total(relations: Sequence[Relation]) -> int:
    """Bytes of all of them."""
    return sum(relation.bytes for relation in relations)


def fitting(relations: list[Relation], budget: int) -> tuple[list[Relation], list[Relation]]:
    """The smallest that fit into `budget` bytes, PostgreSQL's own in any case; and the rest."""
    chosen, rest, spent = [], [], 0
    for relation in sorted(relations, key=lambda r: (not r.system, r.bytes)):
        if relation.system or spent + relation.bytes <= budget:
            chosen.append(relation)
            spent += relation.bytes
        else:
            rest.append(relation)
    return chosen, rest


def selections(
    databases: list[str], chosen: list[Relation], rest: list[Relation]
) -> list[tuple[list[str], int]]:
    """The options that make pg_amcheck read `chosen`, and how many bytes that is: as many times as
    it takes for a command line to hold them."""
    if not databases:
        return []
    if not rest:
        return [([f"--database={identifier(name)}" for name in databases], total(chosen))]
    alone = ["--no-dependent-indexes", "--no-dependent-toast"]
    pieces: list[list[Relation]] = [[]]
    length = 0
    for relation in chosen:
        length += len(relation.pattern.encode()) + 16
        if length > COMMAND_LINE_BYTES:
            pieces.append([])
            length = 0
        pieces[-1].append(relation)
    return [
        ([*alone, *(f"--relation={relation.pattern}" for relation in piece)], total(piece))
        for piece in pieces
        if piece
    ]


def _read(
    server: Server,
    selected: list[tuple[list[str], int]],
    options: list[str],
    watch: Callable[[], None],
) -> tuple[str, str]:
    """What pg_amcheck says of damage, and why it could not read something, if so."""
    argv = [f"{server.copy.binaries}/pg_amcheck", "--progress", "--jobs=4", *options]
    before, damage, trouble = 0, "", ""
    for selection, size in selected:
        code, said = _run(server, [*argv, *selection], before, watch)
        words = _PROGRESS.sub("", said).strip()
        before += size
        if code == DAMAGE:
            damage += f"{words}\n"
        elif code:
            trouble = words[-500:] or f"exit code {code}"
    return damage, trouble


def _run(
    server: Server, argv: list[str], before: int, watch: Callable[[], None]
) -> tuple[int, str]:
    """Its exit code and what it said; says on the way how far it is."""
    with tempfile.TemporaryFile("w+", errors="replace") as said:
        process = Popen(
            server.as_user(argv),
            env=server.environment("postgres"),
            stdout=said,
            stderr=STDOUT,
            cwd="/",
        )
        try:
            while process.poll() is None:
                watch()
                time.sleep(POLL_S)
                said.seek(max(0, said.seek(0, 2) - 300))
                seen = _PROGRESS.findall(said.read())
                if seen:
                    progress.checked(server.copy, before + int(seen[-1][2]) * PAGE_BYTES)
        finally:
            process.kill()
            process.wait()
        said.seek(0)
        return process.returncode, said.read()


def damaged(words: str) -> list[str]:
    """The names in what pg_amcheck says about damage, each once, in its order."""
    return list(dict.fromkeys(_NAMED.findall(words)))

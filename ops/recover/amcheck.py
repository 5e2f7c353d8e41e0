"""Tables and indexes read by pg_amcheck: all of them, or what fits in a bounded time."""

import json
import re
from contextlib import suppress
from dataclasses import dataclass, field

from host.domain.quoting import identifier
from ops.errors import OperatorError
from ops.reach import longrun, postgres, shell
from ops.reach.ssh import CommandFailed
from ops.recover.cluster import cluster
from ops.runbook.progress import watched
from ops.runbook.steps import Run
from ops.screen import size

# A minute at the 192 MB/s of the default machine's disk (Standard_DS3_v2).
BY_DEFAULT_BYTES = 10 * 2**30
UNIT = "runbook-amcheck"
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
# pg_amcheck's last word here: 0 sound, 2 damage found, anything else is trouble.
_EXIT = re.compile(r"^exit (\d+)$", re.MULTILINE)
_PROGRESS = re.compile(r"(\d+)/(\d+) relations \(\s*\d+%\),\s+(\d+)/(\d+) pages.*")
_NAMED = re.compile(r'^(?:heap table|btree index|sequence|\w[\w ]*) "(.+?)"[,:]', re.MULTILINE)
PAGE_BYTES = 8192
COMMAND_LINE_BYTES = 60_000


@dataclass(frozen=True)
class Relation:
    """A table or an index; `system` ones belong to PostgreSQL itself."""

    database: str
    schema: str
    name: str
    bytes: int
    system: bool

    @property
    def pattern(self) -> str:
        """Exactly this one, as pg_amcheck's options want it."""
        return ".".join(identifier(part) for part in (self.database, self.schema, self.name))


@dataclass(frozen=True)
class Finding:
    """What was read, what was not, what is damaged (database.schema.name), and why a database
    could not be checked, which says nothing about it."""

    read: list[Relation]
    left_out: list[Relation]
    damaged: list[str]
    words: str
    unchecked: dict[str, str] = field(default_factory=dict)

    def describe(self) -> str:
        """For the line under the step."""
        text = f"pg_amcheck read {len(self.read)} tables and indexes ({_sum(self.read)})"
        if self.left_out:
            largest = max(self.left_out, key=lambda relation: relation.bytes)
            text += (
                f"; NOT read: {len(self.left_out)} ({_sum(self.left_out)}), the largest is "
                f"{largest.database}.{largest.schema}.{largest.name} (--check-everything reads all)"
            )
        for database, reason in self.unchecked.items():
            text += f"; could NOT be checked: {database} ({reason})"
        if self.damaged:
            return f"{text}; DAMAGED: {', '.join(self.damaged)}"
        return f"{text}: all sound"


def _bytes(relations: list[Relation]) -> int:
    return sum(relation.bytes for relation in relations)


def _sum(relations: list[Relation]) -> str:
    return size(_bytes(relations))


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


def check(run: Run, databases: list[str], *, everything: bool) -> Finding:
    """Read them. What cannot be read for another reason than damage is said, and stops nothing."""
    machine = run.site.postgres
    found: list[Relation] = []
    checked: list[str] = []
    unchecked: dict[str, str] = {}
    try:
        for name in databases:
            try:
                answer = postgres.query(machine, _SET_UP + _RELATIONS, database=name)
            except CommandFailed as error:
                unchecked[name] = error.result.said.strip().splitlines()[0]
                # The schema may have been made before the extension could not be.
                with suppress(CommandFailed):
                    postgres.query(machine, _CLEAN_UP, database=name)
                continue
            checked.append(name)
            found += [Relation(database=name, **item) for item in json.loads(answer)]
        chosen, rest = fitting(found, BY_DEFAULT_BYTES)
        if everything:
            chosen, rest = found, []
        words, trouble = _read(run, selections(checked, chosen, rest), everything)
        if trouble:
            unchecked[", ".join(checked)] = trouble
    finally:
        for name in checked:
            postgres.query(machine, _CLEAN_UP, database=name)
    return Finding(chosen, rest, damaged(words), words, unchecked)


def selections(
    databases: list[str], chosen: list[Relation], rest: list[Relation]
) -> list[tuple[list[str], int]]:
    """The options that make pg_amcheck read `chosen`, and how many bytes that is: as many times as
    it takes, for a command line holds 128 KiB (Linux, MAX_ARG_STRLEN)."""
    if not databases:
        return []
    if not rest:
        return [([f"--database={identifier(name)}" for name in databases], _bytes(chosen))]
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
        ([*alone, *(f"--relation={relation.pattern}" for relation in piece)], _bytes(piece))
        for piece in pieces
        if piece
    ]


def _read(
    run: Run, selected: list[tuple[list[str], int]], everything: bool
) -> tuple[str, str | None]:
    """What pg_amcheck says of damage, and why it could not read something, if so."""
    program = f"/usr/lib/postgresql/{cluster(run).version}/bin/pg_amcheck"
    argv = [*postgres.SESSION, program, "--progress", "--jobs=4"]
    if everything:
        argv.append("--heapallindexed")
    log = f"/var/lib/postgresql/{UNIT}-{run.journal.id}.log"
    total, before, damage, trouble = sum(size for _, size in selected), 0, "", None

    def read() -> int | None:
        pages = _pages_read(run, log)
        return None if pages is None else before + pages

    with watched(run.console, total, read) as tick:
        for options, size_ in selected:
            said = longrun.run(
                run.site.postgres,
                UNIT,
                shell.argv("say-exit-code", *argv, *options),
                log,
                user=postgres.USER,
                adopt=False,
                tick=tick,
            )
            words = _PROGRESS.sub("", said).strip()
            code = _EXIT.findall(words)[-1]
            before += size_
            if code == "2":
                damage += f"{words}\n"
            elif code != "0":
                trouble = _EXIT.sub("", words).strip()[-500:]
    return damage, trouble


def _pages_read(run: Run, log: str) -> int | None:
    end = run.site.postgres.run(["tail", "-c", "300", log], accept=(0, 1)).stdout
    seen = _PROGRESS.findall(end)
    return int(seen[-1][2]) * PAGE_BYTES if seen else None


def damaged(words: str) -> list[str]:
    """The names in what pg_amcheck says about damage, each once, in its order."""
    return list(dict.fromkeys(_NAMED.findall(words)))


def refusal(finding: Finding) -> OperatorError:
    """Damage in the restored data."""
    return OperatorError(
        f"The restored data is damaged: {', '.join(finding.damaged)}. pg_amcheck says:\n"
        f"{_EXIT.sub('', finding.words).strip()[:1500]}\n",
        "The check did not change the restored data.",
        next_command="the same with an older --backup-id   (python -m ops backups), or with "
        "--accept-damage to get the data as it is",
    )

"""The index of the field report: one of trigrams, on the sentences of a dictionary."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from tests.support import pages
from tests.support.site import Site
from tests.support.waiting import eventually

pytestmark = [pytest.mark.monitoring, pytest.mark.deep]

INDEX = "notes_body_trgm"
COMMANDS = pages.commands("slow-text-search")
EXPLAIN, BUILD, PROGRESS, INVALID, DROP = (
    next(command for command in COMMANDS if words in command.text)
    for words in ("EXPLAIN", "CREATE INDEX", "SELECT phase", "NOT indisvalid", "DROP INDEX")
)
# A line of WordNet has an explanation and examples of use after its bar.
LOAD = r"""
CREATE TABLE notes (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body text NOT NULL);
ALTER TABLE notes OWNER TO app;
INSERT INTO notes (body)
SELECT split_part(line, ' | ', 2)
FROM unnest(ARRAY['noun', 'verb', 'adj', 'adv']) AS kind,
  string_to_table(pg_read_file('/usr/share/wordnet/data.' || kind), E'\n') AS line
WHERE line LIKE '% | %';
ANALYZE notes;
"""
# What the page says that the index serves.
SERVED = (
    "SELECT id FROM notes WHERE body ILIKE '%real estate%'",
    "SELECT id FROM notes WHERE body LIKE '%interest rate%'",
    r"SELECT id FROM notes WHERE body ~* 'stock\W+exchange'",
    "SELECT id FROM notes WHERE 'reel estate' <% body",
)
NOT_SERVED = (
    "SELECT id FROM notes WHERE body ILIKE '%ox%'",
    "SELECT id FROM notes WHERE lower(body) LIKE '%real estate%'",
)


@pytest.fixture(scope="module", autouse=True)
def notes(site: Site) -> Iterator[None]:
    """A table of sentences in the application's database."""
    apt = "apt-get -qy -o DPkg::Lock::Timeout=120"
    site.on_postgres(f"{apt} install wordnet-base >/dev/null")
    site.sql(LOAD)
    site.stack.until_content()
    yield
    site.sql("DROP TABLE notes")
    site.on_postgres(f"{apt} purge wordnet-base >/dev/null")


@contextmanager
def unfinished(site: Site) -> Iterator[str]:
    """A transaction of the application that has written to the table; its session's process id."""
    with site.application.connect() as writer, writer.transaction():
        writer.execute("UPDATE notes SET body = body WHERE id = 1")
        yield str(writer.info.backend_pid)


def answer(site: Site, command: pages.Command) -> str:
    done = site.stack.type(command)
    assert done.returncode == 0, done.stderr
    return done.stdout


def plan(site: Site, query: str) -> str:
    return site.sql(f"EXPLAIN {query}")


def rows(site: Site, query: str) -> set[str]:
    return set(site.sql(query).split())


def test_an_interrupted_build_leaves_an_index_that_the_page_finds_and_removes(site: Site) -> None:
    with ThreadPoolExecutor() as threads, unfinished(site) as writer:
        building = threads.submit(site.stack.type, BUILD)
        waits = re.compile(rf"^waits_for +\| {writer}$", re.MULTILINE)
        eventually(f"{INDEX} to wait", lambda: bool(waits.search(answer(site, PROGRESS))))
        # It is not taken for an abandoned one.
        assert INDEX not in answer(site, INVALID)
        site.stack.assert_protected()
        site.sql("SELECT pg_cancel_backend(pid) FROM pg_stat_progress_create_index")
        assert building.result().returncode == 1
    assert INDEX in answer(site, INVALID)
    assert "Seq Scan on notes" in answer(site, EXPLAIN)
    assert "already exists" in site.stack.type(BUILD).stderr
    answer(site, DROP)
    assert INDEX not in answer(site, INVALID)


def test_the_page_builds_an_index_that_finds_the_same_rows(site: Site) -> None:
    before = {query: rows(site, query) for query in SERVED}
    assert all(before.values())

    def it_serves() -> None:
        assert INDEX not in answer(site, INVALID)
        assert f"Bitmap Index Scan on {INDEX}" in answer(site, EXPLAIN)
        for query in SERVED:
            assert f"Bitmap Index Scan on {INDEX}" in plan(site, query), query
            assert rows(site, query) == before[query], query
        for query in NOT_SERVED:
            assert INDEX not in plan(site, query), query

    said = site.stack.follow("slow-text-search", after={COMMANDS.index(BUILD) + 1: it_serves})
    assert "Seq Scan on notes" in said[0]
    site.stack.assert_protected()

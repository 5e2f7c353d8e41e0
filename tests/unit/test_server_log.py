"""PostgreSQL's reason, out of its log."""

from host.domain.server_log import reason

LOGGED = """\
2026-05-01 LOG:  starting archive recovery
2026-05-01 FATAL:  the database system is starting up
2026-05-01 FATAL:  directory "/data/ts" does not exist
2026-05-01 HINT:  Create this directory for the tablespace before restarting the server.
2026-05-01 CONTEXT:  WAL redo at 0/3000028
2026-05-01 FATAL:  the database system is starting up
2026-05-01 LOG:  shutting down
"""


def test_the_reason_comes_with_its_hint_and_is_not_an_attempt_to_connect() -> None:
    lines = reason(LOGGED).splitlines()
    assert [line.split()[1] for line in lines] == ["FATAL:", "HINT:"]
    assert "/data/ts" in lines[0]


def test_without_a_fatal_line_the_end_is_shown() -> None:
    assert reason("LOG:  a\nLOG:  b\n") == "LOG:  a\nLOG:  b"
    assert reason("") == "it logged nothing"

"""Every query of the Grafana dashboard, put to the real Prometheus."""

import json
import time

import pytest

from tests.support.stack import Stack
from tools.grafana_dashboard import TARGET

pytestmark = pytest.mark.monitoring

ASK = """
import json, sys, urllib.error, urllib.parse, urllib.request
answers = {}
for query in json.load(sys.stdin):
    url = "http://127.0.0.1:9090/api/v1/query?" + urllib.parse.urlencode({"query": query})
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            answers[query] = json.load(answer)
    except urllib.error.HTTPError as error:
        answers[query] = json.load(error)
print(json.dumps(answers))
"""


def ask(stack: Stack, queries: list[str]) -> dict[str, dict]:
    """Prometheus' answer to each."""
    typed = f"python3 -I -c '{ASK}' <<'queries'\n{json.dumps(queries)}\nqueries"
    return json.loads(stack.on("barman-lab", typed))


def test_every_query_is_understood_and_answered(stack: Stack) -> None:
    panels = json.loads(TARGET.read_text())["panels"]
    queries = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    assert len(queries) > 20
    deadline = time.monotonic() + 300
    while True:
        answers = ask(stack, queries)
        wrong = {query: said.get("error") for query, said in answers.items() if "error" in said}
        assert not wrong
        silent = [query for query, said in answers.items() if not said["data"]["result"]]
        if not silent:
            break
        # A new stack: some are looked at every few minutes only.
        assert time.monotonic() < deadline, f"no answer to {silent}"
        time.sleep(5)


def test_a_query_that_names_nothing_would_be_noticed(stack: Stack) -> None:
    answers = ask(stack, ["barman_no_such_metric", "barman_backups{"])
    assert answers["barman_no_such_metric"]["data"]["result"] == []
    assert "parse error" in answers["barman_backups{"]["error"]

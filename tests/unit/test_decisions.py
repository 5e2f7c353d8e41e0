"""The index of decisions has every page, with the title, date and status that the page has."""

import re
from pathlib import Path

DECISIONS = Path(__file__).resolve().parents[2] / "docs" / "decisions"
HEAD = re.compile(
    r"# (?P<number>\d+)\. (?P<title>[^\n]+)\n\n"
    r"Date: (?P<date>\d{4}-\d\d-\d\d) · Status: (?P<status>accepted|superseded by \d+)\n\n"
)


def row(path: Path) -> str:
    """The line of the index that belongs to a page."""
    head = HEAD.match(path.read_text())
    assert head, f"{path.name} does not begin as docs/decisions/README.md says"
    assert path.name.startswith(f"{int(head['number']):04}-"), f"{path.name}: another number inside"
    cells = (head["number"], f"[{head['title']}]({path.name})", head["date"], head["status"])
    return f"| {' | '.join(cells)} |"


def test_the_index_has_every_decision_as_its_page_says() -> None:
    index = (DECISIONS / "README.md").read_text().splitlines()
    listed = [line for line in index if re.match(r"\| \d", line)]
    assert listed == [row(path) for path in sorted(DECISIONS.glob("0*.md"))]

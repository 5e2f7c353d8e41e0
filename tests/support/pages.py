"""The runbook pages as a test reads them: the commands of each, in their order.

What stands in a fenced block is typed as it is; the word after the fence names the machine to type
it on, none is the operator's own. A command goes on in the next line after a `|` or a backslash.
"""

import re
from dataclasses import dataclass
from pathlib import Path

PAGES = Path(__file__).resolve().parents[2] / "docs" / "runbooks"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CONTINUED = re.compile(r" ?\\\n\s*|(?<=\|)\n\s*")


@dataclass(frozen=True)
class Command:
    """One command, and the machine to type it on: `postgres`, `barman` or empty."""

    machine: str
    text: str


def commands(page: str) -> list[Command]:
    """Those of docs/runbooks/PAGE.md."""
    found = []
    for machine, block in BLOCK.findall((PAGES / f"{page}.md").read_text()):
        lines = CONTINUED.sub(" ", block).splitlines()
        found += [Command(machine, line) for line in lines if line.strip()]
    return found


def names() -> list[str]:
    """Every page but the list of them."""
    return sorted(path.stem for path in PAGES.glob("*.md") if path.stem != "README")

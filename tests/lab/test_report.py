"""The report in a browser: of the real stack, and of recorded good and bad days."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ops.report.page import render
from tests.support.browser import Browser, browser
from tests.support.stack import Stack
from tests.unit.ops.report_states import STATES

pytestmark = pytest.mark.monitoring

PHONE, DESK = 360, 1280
TAB, ENTER = "\ue004", "\ue007"
# WCAG 2.2, success criterion 1.4.3, level AA.
LEAST_CONTRAST = 4.5

# Every text that is seen, with its colour against the nearest background behind it.
FAINT_TEXTS = """
const parts = (colour) => (colour.match(/[\\d.]+/g) || [0, 0, 0, 0]).map(Number);
const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
  .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const behind = (element) => {
  for (let e = element; e; e = e.parentElement) {
    const colour = parts(getComputedStyle(e).backgroundColor);
    if (colour.length < 4 || colour[3] > 0) return colour;
  }
  return [255, 255, 255];
};
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
const faint = [];
let seen = 0;
for (let node; (node = walker.nextNode()); ) {
  const element = node.parentElement;
  if (!node.data.trim() || element.closest("script, title, desc")) continue;
  if (!element.getClientRects().length) continue;
  const style = getComputedStyle(element);
  const own = parts(element.closest("svg") ? style.fill : style.color);
  const [a, b] = [light(own), light(behind(element))];
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  seen += 1;
  if (ratio < LEAST) faint.push(`${node.data.trim().slice(0, 40)}: ${ratio.toFixed(2)}`);
}
return [seen, faint];
""".replace("LEAST)", f"{LEAST_CONTRAST})")

COUNT = (
    "return [...document.querySelectorAll('%s')].filter((each) => each.checkVisibility()).length"
)
TOO_WIDE = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def window() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


@pytest.mark.parametrize("state", STATES)
def test_every_state_can_be_read_on_phone_and_desk_by_day_and_night(
    window: Browser, tmp_path: Path, state: str
) -> None:
    page = tmp_path / "page.html"
    page.write_text(render(STATES[state]()))
    pictures = set()
    for width, dark in product((PHONE, DESK), (False, True)):
        window.look(width=width, dark=dark)
        window.open(page.as_uri())
        window.run("for (const part of document.querySelectorAll('details')) part.open = true")
        assert window.run(TOO_WIDE) == 0, "the page scrolls sideways"
        seen, faint = window.run(FAINT_TEXTS)
        assert seen > 30
        assert faint == []
        heading = "return document.querySelector('h1').getBoundingClientRect().bottom"
        assert window.run(heading) < 300, "the verdict is not what one sees first"
        background = "return getComputedStyle(document.body).backgroundColor"
        pictures.add((window.run(background), dark))
    assert len(pictures) == 2 and len({colour for colour, _ in pictures}) == 2


def test_faint_text_would_be_found(window: Browser, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(render(STATES["healthy"]()).replace("--soft: #4d5a68", "--soft: #9aa5b1"))
    window.look(width=DESK)
    window.open(page.as_uri())
    assert window.run(FAINT_TEXTS)[1]


def test_the_keyboard_reaches_everything_and_shows_where_it_is(
    window: Browser, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    page.write_text(render(STATES["fallback"]()))
    window.look(width=PHONE)
    window.open(page.as_uri())
    reached = []
    for _ in range(12):
        window.press(TAB)
        name, outline, left = window.run(
            "const e = document.activeElement, s = getComputedStyle(e);"
            "return [e.tagName, s.outlineStyle, e.getBoundingClientRect().left]"
        )
        if name == "BODY":
            break
        assert outline != "none"
        assert left >= 0
        reached.append(name)
    assert reached[0] == "A"
    assert reached.count("SUMMARY") == window.run(COUNT % "summary")
    # Tables that are wider than a phone scroll by arrow keys once they have the focus.
    assert reached.count("DIV") == window.run(COUNT % ".scroll")


def test_an_old_page_says_that_it_is_old(window: Browser, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(render(STATES["healthy"]()))
    window.look(width=DESK)
    window.open(page.as_uri())
    assert "days old" in window.run("return document.querySelector('#old').innerText")


def test_the_page_of_the_real_stack(stack: Stack, window: Browser) -> None:
    done = stack.ops("report")
    page = stack.root / "report.html"
    html = page.read_text()
    for secret in secrets(stack):
        assert secret not in html
    window.look(width=PHONE)
    window.open(page.as_uri())
    verdict = window.run("return document.querySelector('h1').innerText")
    assert done.stdout.startswith(verdict)
    shown = window.run("return document.querySelector('main').innerText")
    assert "Could not be asked" not in shown
    assert stack.barman("list-backups", "--minimal", "pg").split()[0] in shown
    assert window.run("return document.querySelector('#old').hidden")
    assert window.run("return performance.getEntriesByType('resource').length") == 0
    bars = window.run("return document.querySelectorAll('.bar.restorable').length")
    assert bars >= 1


def secrets(stack: Stack) -> list[str]:
    """What must be on no page: the operator's key, and the databases' passwords."""
    key = stack.outputs["sshPrivateKey"].splitlines()[1]
    uris = [database["uri"] for database in stack.outputs["databases"].values()]
    return [key, *(password for uri in uris if (password := urlsplit(uri).password))]

"""axe-core finds nothing against WCAG 2.2 A and AA on any page of the site, light or dark."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from .browser import Browser
from .conftest import PAGES

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
LEVELS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
# What a colour scheme, and what a narrow window, can change.
COLOURS = ["color-contrast", "link-in-text-block"]
ROOM = ["scrollable-region-focusable", "target-size"]

# What axe-core measures for minutes is thousands of rows that are alike. Two elements are of one
# kind if name, attributes and the kinds of what they hold agree; what is written may differ, but
# not whether anything is, nor a text so short that it makes a small target. Of one kind in the
# same surroundings the first three stay. Parts that need one another are not parted.
THIN = """(() => {
  const free = /^(id|href|for|title|alt|value|name|d|[xyr][12]?|c[xy]|width|height|points|transform|datetime|aria-(label|labelledby|describedby|controls)|data-.*)$/;
  const numbers = new Map(), number = what => {
    const text = JSON.stringify(what);
    return numbers.get(text) ?? (numbers.set(text, numbers.size), numbers.size - 1);
  };
  const own = one => [one.localName, ...[...one.attributes].map(({name, value}) => [name, free.test(name) ? value !== "" : value])];
  const said = node => [Math.min(3, (node.data ?? "").trim().length)];
  const all = [...document.body.querySelectorAll("*")], kinds = new Map();
  for (const one of [...all].reverse())
    kinds.set(one, number([own(one), [...new Set([...one.childNodes].map(node => kinds.get(node) ?? number(said(node))))]]));
  const places = new Map([[document.body, 0]]), seen = new Map();
  for (const one of all) {
    const around = places.get(one.parentNode);
    if (around === undefined) continue;
    const here = number([around, kinds.get(one)]);
    seen.set(here, (seen.get(here) ?? 0) + 1);
    if (seen.get(here) > 3 && !one.parentNode.matches("dl, tr, select, math, math *")) one.remove();
    else places.set(one, number([around, own(one)]));
  }
})()"""

# What takes the whole page to see: an id that is there twice, and a reference that leads nowhere.
UNSOUND = """(() => {
  const ids = [...document.querySelectorAll("[id]")].map(one => one.id), known = new Set(ids);
  const twice = ids.filter((id, n) => ids.indexOf(id) < n);
  const lost = ["for", "headers", "aria-labelledby", "aria-describedby", "aria-controls"].flatMap(name =>
    [...document.querySelectorAll(`[${name}]`)].flatMap(one => one.getAttribute(name).split(/\\s+/)).filter(id => !known.has(id)));
  return [...new Set([...twice, ...lost])];
})()"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not AXE.is_file(), reason="no axe-core: npm ci --ignore-scripts in tests/publishing"
    ),
]


@pytest.fixture(autouse=True)
def _as_it_was(browser: Browser) -> Iterator[None]:
    yield
    browser.size(1280, 900)
    browser.scheme("light")


def violations(browser: Browser, kind: str, values: list[str]) -> list[str]:
    options = {"runOnly": {"type": kind, "values": values}, "resultTypes": ["violations"]}
    return list(
        browser.run(
            f"axe.run({json.dumps(options)}).then(found => found.violations.flatMap(rule => "
            "rule.nodes.map(node => `${rule.id}: ${node.html.slice(0, 120)}: ${node.failureSummary}`)))"
        )
    )


def everywhere(browser: Browser) -> dict[str, list[str]]:
    """What violates a rule on the thinned page: by colour scheme, and in a narrow window."""
    browser.run(THIN)
    browser.run(AXE.read_text(encoding="utf-8"))
    found = {"light": violations(browser, "tag", LEVELS)}
    browser.scheme("dark")
    found["dark"] = violations(browser, "rule", COLOURS)
    browser.scheme("light")
    browser.size(360, 800)
    found["narrow"] = violations(browser, "rule", ROOM)
    return {where: said[:3] for where, said in found.items()}


@pytest.mark.parametrize("page", PAGES)
def test_no_page_violates_wcag_light_dark_or_narrow(
    browser: Browser, site: Path, page: str
) -> None:
    browser.read(site / page)
    assert browser.run(UNSOUND) == []
    assert everywhere(browser) == {"light": [], "dark": [], "narrow": []}


@pytest.mark.parametrize(
    ("flaw", "rule"),
    [
        ("document.querySelector('main p').style.color = '#ccc'", "color-contrast"),
        ("document.documentElement.removeAttribute('lang')", "html-has-lang"),
        ("document.querySelector('main a').replaceChildren()", "link-name"),
        ("document.querySelectorAll('select')[0].parentElement.replaceWith(document.querySelectorAll('select')[0])", "select-name"),
    ],
)  # fmt: skip
def test_a_planted_flaw_is_found(browser: Browser, site: Path, flaw: str, rule: str) -> None:
    browser.read(site / "claims.en.html")
    browser.run(flaw)
    assert {said.split(":")[0] for said in everywhere(browser)["light"]} == {rule}


@pytest.mark.parametrize(
    ("flaw", "rule"),
    [
        ("row.cells[2].style.color = '#ccc'", "color-contrast"),
        ("row.cells[0].insertAdjacentHTML('beforeend', '<a href=\"#main\"></a>')", "link-name"),
        ("row.querySelector('a').setAttribute('aria-hiden', 'true')", "aria-valid-attr"),
        ("row.cells[1].innerHTML = '<img src=\"data:,\">'", "image-alt"),
    ],
)
def test_a_flaw_far_down_among_rows_that_are_alike_is_found(
    browser: Browser, site: Path, flaw: str, rule: str
) -> None:
    browser.read(site / "parameters.en.html")
    rows = browser.run("document.querySelectorAll('main tr').length")
    browser.run(f"(row => {{ {flaw} }})(document.querySelectorAll('main tr')[{rows - 5}])")
    assert {said.split(":")[0] for said in everywhere(browser)["light"]} == {rule}
    assert browser.run("document.querySelectorAll('main tr').length") < rows / 4


@pytest.mark.parametrize(
    ("flaw", "said"),
    [
        ("document.querySelectorAll('main tr[id]')[90].id = document.querySelector('main tr[id]').id", 1),
        ("document.querySelectorAll('main tr')[90].setAttribute('aria-describedby', 'nowhere')", 1),
        ("0", 0),
    ],
)  # fmt: skip
def test_ids_are_checked_before_rows_go(browser: Browser, site: Path, flaw: str, said: int) -> None:
    browser.read(site / "parameters.en.html")
    browser.run(flaw)
    assert len(browser.run(UNSOUND)) == said

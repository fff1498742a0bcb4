"""axe-core finds nothing against WCAG 2.2 A and AA on any page of the site, light or dark."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from .browser import Browser

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
LEVELS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
# What a colour scheme, and what a narrow window, can change.
COLOURS = ["color-contrast", "link-in-text-block"]
ROOM = ["scrollable-region-focusable", "target-size"]

pytestmark = pytest.mark.skipif(
    not AXE.is_file(), reason="no axe-core: npm ci --ignore-scripts in tests/publishing"
)


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


def test_no_page_violates_wcag_light_dark_or_narrow(browser: Browser, pages: list[Path]) -> None:
    found = {}
    for page in pages:
        browser.read(page)
        browser.run(AXE.read_text(encoding="utf-8"))
        found[page.name, "light"] = violations(browser, "tag", LEVELS)
        browser.scheme("dark")
        found[page.name, "dark"] = violations(browser, "rule", COLOURS)
        browser.scheme("light")
        browser.size(360, 800)
        found[page.name, "narrow"] = violations(browser, "rule", ROOM)
        browser.size(1280, 900)
    assert len(found) == 3 * len(pages)
    assert {where: said[:3] for where, said in found.items() if said} == {}


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
    browser.run(AXE.read_text(encoding="utf-8"))
    browser.run(flaw)
    assert {said.split(":")[0] for said in violations(browser, "tag", LEVELS)} == {rule}

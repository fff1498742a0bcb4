"""Every page of the site, opened once: it asks for nothing, fits, leads on, and axe-core is content."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from o2o_research import cases
from o2o_research.terms import LANGUAGES

from .axe import ABSENT, AXE, LOW, UNSOUND, everywhere
from .browser import Browser
from .conftest import PAGES

WIDTHS = (1440, 768, 360)
# The text width of A4 with the margins of the print style, in CSS pixels.
PAPER = round((210 - 2 * 18) / 25.4 * 96)
REPORTS = [f"{name}.{language}.html" for name in cases.case_names() for language in LANGUAGES]

# What of a page is cut, too small or idle on paper.
PRINTED = """(() => {
  const wide = [...document.querySelectorAll(".scroll, .plot, pre, math[display=block]")]
    .filter(one => one.scrollWidth > one.clientWidth + 1).map(one => one.outerHTML.slice(0, 120));
  const small = [...document.querySelectorAll(".plot svg")].filter(svg => {
    const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
    return [...svg.querySelectorAll("text")].some(words => 0.75 * scale * parseFloat(getComputedStyle(words).fontSize) < 6);
  }).map(svg => svg.closest("figure").id);
  const bars = [...document.querySelectorAll(".bar, .filters, .count, .skip")].filter(one => one.getClientRects().length).length;
  return {wide, small, bars, page: document.scrollingElement.scrollWidth <= innerWidth};
})()"""
# Nothing reaches past the window's edge but what scrolls in its own frame.
PAST = """(() => {
  const {FILTER_REJECT, FILTER_ACCEPT} = NodeFilter, out = [];
  const inside = one => one.matches(".scroll, .plot, math, pre, .skip") ? FILTER_REJECT : FILTER_ACCEPT;
  for (const part of document.querySelectorAll("main, nav, header")) {
    const walk = document.createTreeWalker(part, NodeFilter.SHOW_ELEMENT, inside);
    while (walk.nextNode()) if (walk.currentNode.getBoundingClientRect().right > innerWidth + 1) out.push(walk.currentNode);
  }
  return [document.scrollingElement.scrollWidth <= innerWidth, out.slice(0, 3).map(one => one.outerHTML.slice(0, 100))];
})()"""
# Where the rows of results lead, and numbers that lead nowhere.
TRACED = """(() => {
  const led = [...document.querySelectorAll("a.number")].map(a => a.getAttribute("href"));
  const lost = led.filter(href => href.startsWith("#") && !document.getElementById(href.slice(1)));
  return {lost, rows: [...document.querySelectorAll("[id^=f-] a")].map(a => a.getAttribute("href"))};
})()"""

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Seen:
    """What was seen of a page while it stood in the browser."""

    page: Path
    asked: set[str]
    complaints: list[Any]
    past: dict[int, Any]
    printed: Any
    unsound: list[str]
    traced: dict[str, list[str]]
    violations: dict[str, list[str]] | None


@pytest.fixture(scope="module", params=PAGES)
def seen(browser: Browser, site: Path, request: pytest.FixtureRequest) -> Seen:
    """A page is laid out once for each window; axe-core comes last, for it gets a thinned page."""
    page = site / request.param
    browser.asked.clear()
    browser.complaints.clear()
    browser.size(WIDTHS[0], LOW)
    browser.read(page)
    past = {}
    for width in WIDTHS:
        browser.size(width, LOW)
        past[width] = browser.run(PAST)
    browser.paper()
    browser.size(PAPER, LOW)
    printed = browser.run(PRINTED)
    unsound, traced = browser.run(UNSOUND), browser.run(TRACED)
    asked = {url for url in browser.asked if not url.startswith("data:")}
    complaints = list(browser.complaints)
    found = everywhere(browser) if AXE.is_file() else None
    browser.screen()
    return Seen(page, asked, complaints, past, printed, unsound, traced, found)


def test_the_site_is_these_pages(site: Path) -> None:
    assert sorted(page.name for page in site.glob("*.html")) == sorted(PAGES)


def test_a_page_opens_from_its_file_alone_and_without_complaint(seen: Seen) -> None:
    assert (seen.asked, seen.complaints) == ({seen.page.as_uri()}, [])


def test_a_page_fits_every_window(seen: Seen) -> None:
    assert seen.past == {width: [True, []] for width in WIDTHS}


def test_a_page_fits_paper(seen: Seen) -> None:
    assert seen.printed == {"wide": [], "small": [], "bars": 0, "page": True}


def test_ids_of_a_page_are_there_once_and_what_refers_to_them_finds_them(seen: Seen) -> None:
    assert seen.unsound == []


def test_no_page_violates_wcag_light_dark_or_narrow(seen: Seen) -> None:
    if seen.violations is None:
        pytest.skip(ABSENT)
    assert seen.violations == {"light": [], "dark": [], "narrow": []}


@pytest.mark.parametrize("seen", REPORTS, indirect=True)
def test_every_number_of_a_report_leads_to_its_row_and_on_to_what_made_it(seen: Seen) -> None:
    assert seen.traced["lost"] == []
    assert seen.traced["rows"]
    beside = f"numbers-{seen.page.name}"
    made = seen.page.with_name(beside).read_text(encoding="utf-8")
    for row in seen.traced["rows"]:
        page, _, anchor = row.partition("#")
        assert page == beside
        assert f'id="{anchor}"' in made

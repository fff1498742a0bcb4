"""The site as a reader uses it: live charts, and everything by keyboard alone."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from o2o_research import cases
from o2o_research.evidence import evidence
from o2o_research.terms import LANGUAGES, Language, term

from .browser import Browser
from .conftest import SETTLED

# Where the focus is, whether it shows, and whether it can be seen.
FOCUS = """(() => {
  const here = document.activeElement, box = here.getBoundingClientRect(), style = getComputedStyle(here);
  window.walked ??= new Set();
  if (here !== document.body) walked.add(here);
  return {tag: here.tagName, text: here.textContent.trim().slice(0, 40), href: here.getAttribute("href"),
    filter: here.dataset.filter ?? null, number: [...walked].indexOf(here), switch: here.matches(".bar .language"), count: walked.size,
    shown: here === document.body || (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1),
    seen: here === document.body || (box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth)};
})()"""
STOPS = """[...document.querySelectorAll("a[href], input, select, button, summary, [tabindex='0']")]
  .filter(one => one.getClientRects().length)"""
pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _wide(browser: Browser) -> Iterator[None]:
    browser.size(1440, 900)
    yield
    browser.screen()


def tab(browser: Browser) -> Any:
    browser.press("Tab")
    return browser.run(FOCUS)


def tab_to(browser: Browser, key: str, value: object) -> Any:
    """Press Tab until the focus is on what is wanted."""
    for _ in range(400):
        here = tab(browser)
        assert here["shown"], here
        if here[key] == value:
            return here
    raise AssertionError(f"the Tab key does not reach {key} {value}")


def test_every_chart_of_every_report_is_drawn_live_without_complaint(
    browser: Browser, site: Path
) -> None:
    browser.complaints.clear()
    for name in cases.case_names():
        browser.read(site / f"{name}.zh.html")
        for number in range(browser.run("document.querySelectorAll('.plot').length")):
            plot = f"document.querySelectorAll('.plot')[{number}]"
            # A chart that is drawn above it may push it out of sight again.
            browser.wait(
                f"({plot}.scrollIntoView(), {plot}.querySelector('.vega-embed svg.marks'))"
            )
    assert browser.complaints == []


# ── by keyboard alone ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("stem", ["index", "claims", "evidence", "downloads", "search"])
@pytest.mark.parametrize(("language", "width"), [("zh", 360), ("en", 1440)])
def test_the_tab_key_reaches_everything_shows_where_it_is_and_leaves_again(
    browser: Browser, site: Path, stem: str, language: str, width: int
) -> None:
    browser.size(width, 900)
    browser.read(site / f"{stem}.{language}.html")
    browser.wait(SETTLED)
    wanted = browser.run(f"{STOPS}.length")
    assert wanted > 8
    numbers = []
    for _ in range(wanted + 1):
        here = tab(browser)
        assert here["shown"], here
        assert here["seen"], here
        numbers.append(here["number"])
    assert here["count"] == wanted
    assert numbers[:wanted] == list(range(wanted))
    assert numbers[-1] != wanted - 1  # the last one lets go


def test_the_tab_key_goes_through_a_report(browser: Browser, site: Path) -> None:
    browser.size(360, 900)
    browser.read(site / "restaurants.zh.html")
    browser.wait(SETTLED)
    browser.run("scrollTo(0, document.body.scrollHeight)")
    stops = browser.run(
        f"{STOPS}.filter(one => one.matches('.scroll, .plot, math')).map(one => one.className || one.tagName)"
    )
    assert {str(one).split()[0] for one in stops} >= {"scroll", "plot"}
    assert tab(browser)["text"] != ""
    seen = [tab(browser) for _ in range(60)]
    assert all(here["shown"] and here["seen"] for here in seen)
    assert seen[-1]["count"] == 61


def test_what_scrolls_sideways_is_scrolled_by_keys(browser: Browser, site: Path) -> None:
    browser.size(360, 900)
    browser.read(site / "restaurants.en.html")
    browser.wait("document.querySelector('.plot[tabindex]')")
    browser.run(
        "window.frame_ = document.querySelector('.plot[tabindex]'); frame_.focus(); 'focused'"
    )
    for _ in range(8):
        browser.press("ArrowRight")
    browser.wait("frame_.scrollLeft > 0")


def test_the_skip_link_leads_to_the_text(browser: Browser, site: Path) -> None:
    browser.read(site / "index.en.html")
    assert tab(browser)["href"] == "#main"
    browser.press("Enter")
    browser.wait("location.hash == '#main'")
    assert tab(browser)["href"] == browser.run(
        "document.querySelector('main a').getAttribute('href')"
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_filters_of_the_claims_work_by_keys_and_pass_to_the_other_language(
    browser: Browser, site: Path, language: str
) -> None:
    other = next(one for one in LANGUAGES if one != language)
    shown = "[...document.querySelectorAll('tbody tr')].filter(row => !row.hidden)"
    browser.read(site / f"claims.{language}.html")
    every = browser.run(f"{shown}.length")
    tab_to(browser, "filter", "case")
    browser.press("ArrowDown")
    first = browser.run("document.querySelector('[data-filter=case]').options[1].value")
    browser.wait(f"{shown}.every(row => row.dataset.case == '{first}')")
    some = browser.run(f"{shown}.length")
    assert 0 < some < every
    assert str(some) in browser.run("document.querySelector('.count').textContent")
    tab_to(browser, "filter", "verdict")
    tab_to(browser, "filter", "q")
    for letter in "zzz":
        browser.press(letter)
    browser.wait(f"{shown}.length == 0")
    for _ in "zzz":
        browser.press("Backspace")
    browser.wait(f"{shown}.length == {some}")
    browser.run("document.querySelector('.bar .language').focus()")
    browser.press("Enter")
    browser.wait(
        f"location.pathname.endsWith('claims.{other}.html') && document.readyState == 'complete'"
    )
    assert browser.run("document.querySelector('[data-filter=case]').value") == first
    assert browser.run(f"{shown}.length") == some


@pytest.mark.parametrize("language", LANGUAGES)
def test_search_finds_offline_and_enter_opens_what_it_found(
    browser: Browser, site: Path, language: str
) -> None:
    entries = json.loads(
        (site / f"search.{language}.html").read_text().split('id="index">')[1].split("</script>")[0]
    )
    kind, _, title, _, address = next(one for one in entries if one[0] == "result")
    assert kind == "result"
    browser.read(site / f"search.{language}.html")
    tab_to(browser, "filter", "q")
    browser.run(f"document.activeElement.value = {json.dumps(title)}.slice(0, -1), 0")
    browser.press(title[-1])
    browser.wait("document.querySelector('.results a')")
    tab_to(browser, "href", address)
    browser.press("Enter")
    page, _, anchor = address.partition("#")
    browser.wait(f"location.pathname.endsWith('{page}') && location.hash == '#{anchor}'")
    browser.wait("document.readyState == 'complete'")
    top = browser.run(f"document.getElementById('{anchor}').getBoundingClientRect().top")
    assert 0 <= top < 900


@pytest.mark.parametrize("name", cases.case_names())
def test_the_language_switch_keeps_the_place(browser: Browser, site: Path, name: str) -> None:
    browser.read(site / f"{name}.zh.html")
    where = browser.run(
        "[...document.querySelectorAll('main h2[id], main section[id] > h2')].map(h => h.id || h.parentElement.id)[4]"
    )
    browser.run(f"document.getElementById('{where}').scrollIntoView()")
    browser.run("document.querySelector('.bar .language').focus({preventScroll: true})")
    browser.press("Enter")
    browser.wait(
        f"location.pathname.endsWith('{name}.en.html') && document.readyState == 'complete'"
    )
    for place in ("location.hash.slice(1)", f"'{where}'"):
        top = browser.run(f"document.getElementById({place}).getBoundingClientRect().top")
        assert abs(top) < 900, place  # the same section, on the same screen


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_fact_names_the_parameters_that_take_it_and_their_values(
    site: Path, language: Language
) -> None:
    page = (site / f"evidence.{language}.html").read_text(encoding="utf-8")
    rows = dict(re.findall(r'<tr id="(e-[^"]+)">(.*?)</tr>', page, re.S))
    taken = 0
    for case in cases.case_names():
        values = cases.case(case).defaults
        for name, origin in evidence(case).origins.items():
            if origin.kind == "reported":
                row = re.sub("<[^>]+>", "", rows[f"e-{case}-{origin.source}"])
                shown = f"{term(name).name(language)} {term(name).format(values[name], language)}"
                assert html.escape(shown) in row
                taken += 1
    assert taken > 10

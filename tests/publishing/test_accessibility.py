"""axe-core's gate finds what is wrong, though much that is alike is taken away before it measures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .axe import ABSENT, AXE, LEVELS, UNSOUND, light, violations
from .browser import Browser

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not AXE.is_file(), reason=ABSENT)]


@pytest.fixture(autouse=True)
def _as_it_was(browser: Browser) -> Iterator[None]:
    yield
    browser.size(1280, 900)
    browser.scheme("light")


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
    assert {said.split(":")[0] for said in light(browser)} == {rule}


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
    assert {said.split(":")[0] for said in light(browser)} == {rule}
    assert browser.run("document.querySelectorAll('main tr').length") < rows / 4


@pytest.mark.parametrize(
    ("page", "where"),
    [
        ("numbers-apparel.en.html", "[...document.querySelectorAll('dd')].at(-1)"),
        ("apparel.en.html", "[...document.querySelectorAll('math mtext')].at(-1)"),
        ("apparel.en.html", "[...document.querySelectorAll('math:has(mtext)')].at(-1)"),
    ],
)
def test_a_flaw_in_the_last_answer_word_or_formula_is_found(
    browser: Browser, site: Path, page: str, where: str
) -> None:
    browser.read(site / page)
    browser.run(f"{where}.style.color = '#ccc'")
    assert {said.split(":")[0] for said in light(browser)} == {"color-contrast"}


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


def test_a_flaw_in_a_picture_is_found(browser: Browser, site: Path) -> None:
    browser.read(site / "phones.en.html")
    link = '<a href="#main"><rect width="100" height="100"/></a>'
    browser.run(f"[...document.querySelectorAll('.plot svg g')].at(-1).innerHTML += '{link}'")
    found = {said.split(":")[0] for said in light(browser)}
    assert found == {"aria-hidden-focus", "nested-interactive"}


def test_the_paint_of_a_picture_still_or_live_is_not_judged(browser: Browser, site: Path) -> None:
    browser.read(site / "phones.en.html")
    browser.run(
        "document.querySelectorAll('main > :not(figure, :has(figure))').forEach(one => one.remove())"
    )
    browser.wait("document.querySelector('.plot .vega-embed svg.marks')")
    browser.run(
        "document.querySelectorAll('.plot svg text').forEach(one => one.setAttribute('fill', '#fdfdfd'))"
    )
    browser.run(AXE.read_text(encoding="utf-8"))
    assert violations(browser, "tag", LEVELS) == []

"""The page: one file, no network, two languages, readable by people and machines."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from o2o_research.terms import LANGUAGES

from .browser import CHROMIUM, Browser
from .handmade import FINDINGS

VOID = {"meta", "link", "br", "hr", "img", "input", "col"}


class Page(HTMLParser):
    """What a page says, in which language, under which ids; unbalanced tags are an error."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[tuple[str, str]] = []
        self.ids: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: list[tuple[str, str]] = []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        named = {name: value or "" for name, value in attrs}
        language = named.get("lang") or (self.open[-1][1] if self.open else "")
        self.tags.append((tag, named))
        if "id" in named:
            self.ids.append(named["id"])
        for name in ("title", "aria-label", "alt"):
            if name in named:
                self.words.append((language, named[name]))
        if tag not in VOID:
            self.open.append((tag, language))

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        within = {tag for tag, _ in self.open}
        if self.open and not within & {"script", "style", "annotation", "code"}:
            self.words.append((self.open[-1][1], data))

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module", params=LANGUAGES)
def page(request: pytest.FixtureRequest, reports: dict[str, Path]) -> tuple[str, Page, str]:
    path = reports[f"{request.param}.html"]
    return request.param, Page(path), path.read_text(encoding="utf-8")


def test_the_zh_page_has_no_english_sentence(reports: dict[str, Path]) -> None:
    for language, words in Page(reports["zh.html"]).words:
        if language.startswith("zh"):
            assert not re.search(r"[A-Za-z]{2,}[ ,]+[A-Za-z]{2,}[ ,]+[A-Za-z]{2,}", words), words


def test_the_en_page_has_no_chinese(reports: dict[str, Path]) -> None:
    said = Page(reports["en.html"]).words
    assert not [
        words
        for language, words in said
        if language == "en" and re.search("[\u3000-\u9fff]", words)
    ]
    charts = re.search(r'id="charts">(.*?)</script>', reports["en.html"].read_text(), re.S)
    assert charts is not None
    assert not re.search("[\u3000-\u9fff]", charts.group(1))


def test_the_page_is_one_file_that_asks_for_nothing(page: tuple[str, Page, str]) -> None:
    _, read, source = page
    for tag, attributes in read.tags:
        assert "src" not in attributes, tag
        if tag == "link":
            assert attributes["href"] == "data:,"
    assert "default-src 'none'" in source
    style = re.search(r"<style>(.*?)</style>", source, re.S)
    assert style is not None
    assert "url(" not in style.group(1)
    assert "@import" not in style.group(1)


def test_the_page_weighs_under_150_kb_before_figures(page: tuple[str, Page, str]) -> None:
    bare = re.sub(
        r'<svg aria-hidden.*?</svg>|<script type="[^"]*" id.*?</script>', "", page[2], flags=re.S
    )
    assert len(bare.encode()) < 150_000
    assert len(bare.encode()) < len(page[2].encode()) / 2


def test_ids_are_unique_and_every_link_inside_leads_to_one(page: tuple[str, Page, str]) -> None:
    _, read, _ = page
    assert len(read.ids) == len(set(read.ids))
    targets = [a["href"][1:] for a in read.all("a") if a["href"].startswith("#")]
    assert f"f-{FINDINGS[0]}" in targets
    assert not set(targets) - set(read.ids)


def test_the_page_has_landmarks_language_headings_and_a_skip_link(
    page: tuple[str, Page, str],
) -> None:
    language, read, source = page
    assert read.all("html")[0]["lang"] == {"zh": "zh-Hans", "en": "en"}[language]
    for tag in ("header", "main", "nav", "h1"):
        assert len(read.all(tag)) == 1
    assert read.all("a")[0] == {"class": "skip", "href": "#main"}
    levels = [int(tag[1]) for tag, _ in read.tags if re.fullmatch("h[1-6]", tag)]
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert "viewport" in source


def test_table_heads_say_what_they_head(page: tuple[str, Page, str]) -> None:
    _, read, _ = page
    scopes = [attributes.get("scope") for attributes in read.all("th")]
    assert set(scopes) == {"col", "row"}
    assert len([a for a in read.all("div") if a.get("role") == "region"]) == len(read.all("table"))


def test_figures_carry_their_text_alternative_and_a_caption(page: tuple[str, Page, str]) -> None:
    _, read, _ = page
    plots = [a for a in read.all("div") if a.get("role") == "img"]
    assert [plot["data-chart"] for plot in plots] == ["lines", "bars"]
    assert all(len(plot["aria-label"]) > 20 for plot in plots)
    assert len(read.all("figcaption")) == len(read.all("figure")) == 2


def test_pictures_of_one_page_do_not_share_ids(page: tuple[str, Page, str]) -> None:
    pictures = re.findall(r"<svg aria-hidden.*?</svg>", page[2], re.S)
    names = [set(re.findall(r'\bid="([^"]+)"', picture)) for picture in pictures]
    assert not names[0] & names[1]
    for picture, known in zip(pictures, names, strict=True):
        assert set(re.findall(r"url\(#([^)]+)\)", picture)) <= known


def test_formulas_are_mathml(page: tuple[str, Page, str]) -> None:
    assert len(page[1].all("math")) == 2


def test_the_charts_data_cannot_close_their_script(page: tuple[str, Page, str]) -> None:
    charts = re.search(r'id="charts">(.*?)</script>', page[2], re.S)
    assert charts is not None
    assert "<" not in charts.group(1)
    assert set(json.loads(charts.group(1))) == {"lines", "bars"}


def test_the_page_links_to_its_other_language_and_its_pdf(page: tuple[str, Page, str]) -> None:
    language, read, _ = page
    other = {"zh": "en", "en": "zh"}[language]
    beside = [a["href"] for a in read.all("a") if a["href"].startswith("restaurants.")]
    assert beside == [f"restaurants.{other}.html", f"restaurants.{language}.pdf"]


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to open the page with")
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_browser_draws_the_charts_live_without_network_or_complaint(
    reports: dict[str, Path], tmp_path: Path, language: str
) -> None:
    with Browser(str(CHROMIUM), tmp_path) as browser:
        browser.open(reports[f"{language}.html"].as_uri())
        browser.wait("document.readyState == 'complete'")
        for name in ("lines", "bars"):
            browser.run(f"document.getElementById('fig-{name}').scrollIntoView()")
            browser.wait(f"document.querySelector('#fig-{name} .vega-embed svg.marks')")
        wide = browser.run("document.documentElement.scrollWidth <= innerWidth")
    assert wide is True
    assert browser.complaints == []
    assert [url.split(":")[0] for url in browser.asked if not url.startswith("data:")] == ["file"]

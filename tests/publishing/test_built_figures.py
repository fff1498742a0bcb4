"""The figures of every report that is built speak one language, whichever case they are of."""

from __future__ import annotations

import re
from pathlib import Path

import altair as alt
import nbformat
import pytest
from jsonschema import Draft7Validator

from o2o_research import cases, narrative
from o2o_research.terms import terms
from tests.house.test_charts import told_by_colour_alone

LATIN = r"[A-Za-z]{2,}"
HAN = "[\u3000-\u9fff]"


# Pixels a letter takes in the widest of common fonts at the size of axis titles.
WIDE_LATIN, WIDE_HAN = 6.6, 12.5


def built(root: Path, case: str) -> dict[str, Path]:
    pages = {lang: root / "reports" / case / f"{case}.{lang}.html" for lang in ("zh", "en")}
    if not all(page.is_file() for page in pages.values()):
        pytest.skip(f"the {case} report is not built: make report")
    return pages


def words_in_figures(page: Path) -> list[str]:
    figures = re.findall(r"<svg.*?</svg>", page.read_text(encoding="utf-8"), re.S)
    return [text for svg in figures for text in re.findall(r"<text[^>]*>([^<]+)", svg)]


@pytest.mark.parametrize("case", cases.case_names())
def test_no_figure_has_words_of_the_other_language(case: str, root: Path) -> None:
    pages = built(root, case)
    # Names that Chinese writes in Latin letters (O2O, SKU) are those that Terms write so.
    known = {name for term in terms().values() for name in re.findall(LATIN, term.label("zh"))}
    chinese, english = (words_in_figures(pages[language]) for language in ("zh", "en"))
    assert any(re.search(HAN, text) for text in chinese)
    assert {name for text in chinese for name in re.findall(LATIN, text)} <= known
    assert not [text for text in english if re.search(HAN, text)]


@pytest.mark.parametrize("case", cases.case_names())
def test_no_built_figure_tells_series_apart_by_colour_alone(case: str, root: Path) -> None:
    path = root / "reports" / case / f"{case}.ipynb"
    if not path.is_file():
        pytest.skip(f"the {case} report is not built: make report")
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    charts = [found for _, kind, found in narrative.bundles(notebook) if kind == narrative.CHART]
    assert charts
    assert {c["name"]: flaws for c in charts if (flaws := told_by_colour_alone(c["spec"]))} == {}


@pytest.mark.parametrize("case", cases.case_names())
def test_every_built_figure_is_one_that_vega_lite_knows(case: str, root: Path) -> None:
    path = root / "reports" / case / f"{case}.ipynb"
    if not path.is_file():
        pytest.skip(f"the {case} report is not built: make report")
    schema = Draft7Validator(alt.load_schema())
    for _, kind, found in narrative.bundles(nbformat.read(path, as_version=4)):  # type: ignore[no-untyped-call]
        if kind == narrative.CHART:
            spec = found["spec"]
            # Rows of data are alike.
            spec["datasets"] = {name: rows[:2] for name, rows in spec["datasets"].items()}
            assert [error.message for error in schema.iter_errors(spec)] == []


@pytest.mark.parametrize("case", cases.case_names())
def test_no_title_is_longer_than_its_axis_in_a_reader_s_own_font(case: str, root: Path) -> None:
    for page in built(root, case).values():
        for svg in re.findall(r"<svg.*?</svg>", page.read_text(encoding="utf-8"), re.S):
            height = re.search(r'viewBox="0 0 [\d.]+ ([\d.]+)', svg)
            assert height is not None
            for title in re.findall(r"<text[^>]*rotate\(-90\)[^>]*>([^<]+)", svg):
                han = len(re.findall(HAN, title))
                wide = WIDE_HAN * han + WIDE_LATIN * (len(title) - han)
                assert wide < float(height.group(1)), title

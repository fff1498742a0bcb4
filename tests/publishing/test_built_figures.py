"""The figures of every report that is built speak one language, whichever case they are of."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

from o2o_research import cases, narrative
from o2o_research.terms import terms
from tests.house.test_charts import told_by_colour_alone

LATIN = r"[A-Za-z]{2,}"
HAN = "[\u3000-\u9fff]"


def words_in_figures(page: Path) -> list[str]:
    figures = re.findall(r"<svg.*?</svg>", page.read_text(encoding="utf-8"), re.S)
    return [text for svg in figures for text in re.findall(r"<text[^>]*>([^<]+)", svg)]


@pytest.mark.parametrize("case", cases.case_names())
def test_no_figure_has_words_of_the_other_language(case: str, root: Path) -> None:
    pages = {lang: root / "reports" / case / f"{case}.{lang}.html" for lang in ("zh", "en")}
    if not all(page.is_file() for page in pages.values()):
        pytest.skip(f"the {case} report is not built: make report")
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

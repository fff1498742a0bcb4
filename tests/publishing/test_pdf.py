"""The PDF: accessible, archivable, in our fonts, with text that can be read out again."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from o2o_research.publishing import pdf
from o2o_research.publishing.document import compose
from o2o_research.terms import LANGUAGES, term

from .handmade import EARNED, FINDINGS, executed, finding, prose, said, shown

POPPLER = pytest.mark.skipif(
    shutil.which("pdftotext") is None, reason="no poppler to read the PDF with"
)


def poppler(tool: str, *arguments: str | Path) -> str:
    done = subprocess.run([tool, *map(str, arguments)], capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_pdf_declares_both_standards_its_language_and_title(
    reports: dict[str, Path], language: str
) -> None:
    data = reports[f"{language}.pdf"].read_bytes()
    for mark in (b"<pdfuaid:part>1<", b"<pdfaid:part>2<", b"<pdfaid:conformance>A<"):
        assert mark in data
    lang = {"zh": b"zh-CN", "en": b"en-GB"}[language]
    assert re.search(rb"/Lang\s*\(" + lang, data)
    assert b"/DisplayDocTitle true" in data


@POPPLER
def test_chinese_text_can_be_taken_out_again(reports: dict[str, Path]) -> None:
    text = poppler("pdftotext", reports["zh.pdf"], "-")
    for words in ("折扣与品牌", "结论一览", "视条件而定", "附录 A", "图 1", term(FINDINGS[0]).zh):
        assert words in re.sub(r"\s+", " ", text)
    assert "\0" not in text


@POPPLER
def test_figures_are_text_too(reports: dict[str, Path]) -> None:
    assert f"转折点 {term('ticket').format(40, 'zh')}" in poppler(
        "pdftotext", reports["zh.pdf"], "-"
    )


@POPPLER
def test_only_our_fonts_and_those_of_typst_are_in_it(reports: dict[str, Path]) -> None:
    for language in LANGUAGES:
        lines = poppler("pdffonts", reports[f"{language}.pdf"]).splitlines()[2:]
        names = {line.split()[0].split("+")[1] for line in lines}
        allowed = ("NotoSansSC-Regular", "NotoSansSC-Bold", "NewCMMath", "DejaVuSansMono")
        assert all(name.startswith(allowed) for name in names)
        assert {"NotoSansSC-Regular", "NotoSansSC-Bold"} <= names


@POPPLER
def test_pages_are_a4_and_numbered(reports: dict[str, Path]) -> None:
    about = poppler("pdfinfo", reports["en.pdf"])
    assert "(A4)" in about
    assert "Tagged:          yes" in about
    pages = int(re.search(r"Pages:\s+(\d+)", about).group(1))  # type: ignore[union-attr]
    text = poppler("pdftotext", reports["en.pdf"], "-")
    assert all(re.search(rf"\b{page} ?/ ?{pages}\b", text) for page in range(1, pages + 1))


@POPPLER
def test_the_outline_has_every_section(notebook: object, reports: dict[str, Path]) -> None:
    made = compose(notebook, "en")
    data = reports["en.pdf"].read_bytes()
    assert data.count(b"/Type /Outlines") + data.count(b"/Type/Outlines") == 1
    text = poppler("pdftotext", reports["en.pdf"], "-")
    assert all(section.title in text for section in made.sections)


def test_formulas_and_figures_carry_their_text_alternatives(notebook: object) -> None:
    source = pdf.source(compose(notebook, "zh"))
    assert '#spoken("m 等于 p ( 1 减 c 减 f )")[' in source
    assert 'alt: "折线图' in source


def test_table_heads_repeat_on_every_page(notebook: object) -> None:
    source = pdf.source(compose(notebook, "zh"))
    assert source.count("table.header(") == source.count("#table(") == 4


@POPPLER
def test_a_formula_wider_than_the_page_stays_on_it(tmp_path: Path) -> None:
    wide = "$$" + " + ".join(f"x_{{{i}}} y_{{{i}}}" for i in range(40)) + "$$"
    path = tmp_path / "wide.pdf"
    path.write_bytes(pdf.render(compose(executed(*prose(wide, wide)), "en"), {}))
    boxes = poppler("pdftotext", "-bbox", path, "-")
    ends = [float(x) for x in re.findall(r'<word[^>]* xMax="([\d.]+)"', boxes)]
    starts = [float(x) for x in re.findall(r'<word xMin="([\d.]+)"', boxes)]
    assert min(starts) > 60
    assert max(ends) < 595 - 56  # the margin, less a comma that hangs into it


@POPPLER
def test_no_line_begins_with_what_ends_a_clause(tmp_path: Path) -> None:
    zh = [f"{'字' * n}[{EARNED['zh']}](#f-{FINDINGS[0]})；后文：另起" for n in range(20, 48)]
    en = [f"{'word ' * n}[{EARNED['en']}](#f-{FINDINGS[0]})" for n in range(20, 48)]
    row = finding(FINDINGS[0], 30.6, 17.3, 56.2)
    sentences = [said(*pair) for pair in zip(zh, en, strict=True)]
    path = tmp_path / "lines.pdf"
    path.write_bytes(pdf.render(compose(executed(shown(row, *sentences)), "zh"), {}))
    boxes = poppler("pdftotext", "-bbox", path, "-")
    words = re.findall(r'<word xMin="([\d.]+)".*>\u2060?(.*)</word>', boxes)
    assert sum("；" in text for _, text in words) > 20
    margin = min(float(x) for x, text in words if text.startswith("字"))
    assert not [text for x, text in words if text[:1] in {"；", "："} and float(x) < margin + 1]


def test_a_string_for_typst_holds_anything() -> None:
    assert pdf._string('a"b\\c\n#d') == '"a\\"b\\\\c\\n#d"'

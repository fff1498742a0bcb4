"""The report as a PDF: Typst, our fonts only, PDF/UA-1 and PDF/A-2a by Typst's own check."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import typst

from o2o_research.errors import PublishError
from o2o_research.publishing import fonts, pandoc
from o2o_research.publishing.document import Document, template
from o2o_research.publishing.pandoc import Node, Nodes, raw
from o2o_research.publishing.words import word
from o2o_research.terms import Language
from o2o_research.texts import escaped

STANDARDS: list[Any] = ["ua-1", "a-2a"]
# Rows up to which a table is kept on one page.
SHORT = 12
# Classes that the template has a function for.
_STYLED = {
    "article",
    "front",
    "question",
    "verdict",
    "rule",
    "badge",
    "number",
    "numeral",
    "kind",
    "note",
    "key",
    "back",
    "sources",
    "short",
}


def render(document: Document, beside: dict[tuple[Language, str], str]) -> bytes:
    """The PDF. ``beside`` is not used: a PDF travels alone."""
    sources = {
        "main.typ": source(document),
        "report.typ": template("report.typ"),
        **{f"{name}.svg": chart.svg for name, chart in document.charts.items()},
    }
    try:
        made = typst.compile(
            {name: content.encode() for name, content in sources.items()},
            font_paths=_fonts(),
            ignore_system_fonts=True,
            pdf_standards=STANDARDS,
            timestamp=0,
        )
    except typst.TypstError as error:
        raise PublishError(_reason(error)) from error
    assert isinstance(made, bytes)
    return made


def source(document: Document) -> str:
    """The report in Typst."""
    day = document.date
    options = {
        "title": document.title,
        "lang": document.language,
        "region": "CN" if document.language == "zh" else "GB",
        "contents-title": word("contents", document.language),
    }
    settings = ", ".join(f"{name}: {_string(value)}" for name, value in options.items())
    body = pandoc.write(
        pandoc.walk(document.blocks, lambda node: _change(node, document)),
        "typst-smart-citations",
        "--shift-heading-level-by=-1",
    ).replace("align(center)[#table(", "align(left)[#table(")
    return (
        '#import "report.typ": *\n'
        f"#show: report.with({settings}, date: datetime(year: {day.year}, month: {day.month}, day: {day.day}))\n\n"
        f"{body}"
    )


def _change(node: Node, document: Document) -> Node | Nodes | None:
    kind = node["t"]
    if kind == "Str":
        # Pandoc leaves to Typst what Typst would turn into dashes, quotes, lists and headings.
        words = escaped(node["c"])
        if (
            node["c"][0] in "：；"
        ):  # no line begins with it; after a number's box Typst would let it
            words = f"#sym.wj;{words}"
        return raw("typst", words, inline=True) if words != node["c"] else None
    if kind not in ("Div", "Span", "Link", "Table"):
        return None
    if kind == "Table":
        rows = sum(len(body[3]) for body in node["c"][4])
        short = rows <= SHORT and "data" in node["c"][0][1]
        return _styled([node], ["short"] if short else [], inline=False)
    (key, classes, more), content = node["c"][0], node["c"][1]
    named = dict(more)
    if kind == "Link":
        return _styled([node], classes, inline=True)
    if "chart" in classes:
        return _figure(document, named["name"])
    if "contents" in classes:
        return raw("typst", "#contents()")
    inline = kind == "Span"
    if "math" in classes:
        return [
            raw("typst", f"#spoken({_string(named['alt'])})[", inline=True),
            *content,
            raw("typst", "]", inline=True),
        ]
    wrapped = list(content)
    if named.get("lang", document.language) != document.language:
        wrapped = [
            raw("typst", f"#foreign({_string(named['lang'])})[", inline=inline),
            *wrapped,
            raw("typst", "]", inline=inline),
        ]
    if key:
        wrapped = [raw("typst", f"#anchor(<{key}>)", inline=inline), *wrapped]
    return _styled(wrapped, classes, inline=inline)


def _styled(content: Nodes, classes: list[str], *, inline: bool) -> Nodes:
    """Content inside the template's function for its class."""
    for name in classes:
        if name == "badge":
            verdict = next(other for other in classes if other != "badge")
            return [
                raw("typst", f"#badge({_string(verdict)})[", inline=inline),
                *content,
                raw("typst", "]", inline=inline),
            ]
        if name in _STYLED:
            return [
                raw("typst", f"#{name}[", inline=inline),
                *content,
                raw("typst", "]", inline=inline),
            ]
    return content


def _figure(document: Document, name: str) -> Nodes:
    chart = document.charts[name]
    caption = pandoc.walk([pandoc.plain(chart.caption)], lambda node: _change(node, document))
    image = f"image({_string(name + '.svg')}, width: 100%, alt: {_string(chart.alt)})"
    return [
        raw("typst", f"#figure({image}, kind: image, caption: ["),
        *caption,
        raw("typst", f"]) <fig-{name}>"),
    ]


def _string(words: str) -> str:
    """A Typst string, whatever it holds."""
    return json.dumps(words, ensure_ascii=False)


@cache
def _fonts() -> Any:
    """The fonts, found once: ours, and those that Typst carries for mathematics and code."""
    return typst.Fonts(include_system_fonts=False, font_paths=[fonts.FOLDER])


def _reason(error: Any) -> str:
    """Typst's complaint, as one who reads a report would understand it."""
    lost = re.search(r'the text `"(.)"` could not be displayed', error.message)
    if lost:
        return fonts.missing(lost.group(1), "a formula")
    return f"Typst: {error.message}"

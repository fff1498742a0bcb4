"""The report as a page: one file that asks the network for nothing."""

from __future__ import annotations

import base64
import json
import re
import zlib
from functools import cache
from html import escape
from string import Template

from o2o_research.figures import FONT
from o2o_research.publishing import figures, pandoc
from o2o_research.publishing.document import Document, template
from o2o_research.publishing.pandoc import Node, Nodes, plain, plain_text, raw, span
from o2o_research.publishing.words import word
from o2o_research.terms import Language

_LANG = {"zh": "zh-Hans", "en": "en"}


def render(document: Document, beside: dict[tuple[Language, str], str]) -> bytes:
    """The page, UTF-8. ``beside`` names the reports in the same folder, to link to."""
    language = document.language
    blocks = pandoc.walk(document.blocks, lambda node: _change(node, document))
    body = pandoc.write(blocks, "html5", "--mathml", "--section-divs")
    page = Template(template("report.html")).substitute(
        lang=_LANG[language],
        title=escape(document.title),
        skip=escape(word("skip", language)),
        style=template("report.css"),
        others=_others(document, beside),
        body=_tidy(body),
        live=_live(document) if document.charts else "",
        place=template("place.js"),
    )
    return page.encode()


def _change(node: Node, document: Document) -> Node | Nodes | None:
    kind = node["t"]
    if kind == "Div":
        classes = node["c"][0][1]
        if "chart" in classes:
            return _figure(document, dict(node["c"][0][2])["name"])
        if "contents" in classes:
            return raw("html", _contents(document))
    if kind == "Span" and {"math", "key"} & set(node["c"][0][1]):
        return list(node["c"][1])
    if kind == "Span" and "anchor" in node["c"][0][1]:
        return span(node["c"][1], key=node["c"][0][0])
    if kind == "Table":
        label = plain_text(node["c"][1]) or word("table box", document.language)
        kinds = " ".join(["scroll", *node["c"][0][1]])
        opening = f'<div class="{kinds}" role="region" tabindex="0" aria-label="{escape(label)}">'
        return [raw("html", opening), node, raw("html", "</div>")]
    return None


def _figure(document: Document, name: str) -> Nodes:
    chart = document.charts[name]
    picture = figures.inline(chart.svg, name)
    plot = f'<div class="plot" role="img" aria-label="{escape(chart.alt)}" data-chart="{name}">'
    return [
        raw("html", f'<figure id="fig-{name}" class="chart">\n<figcaption>'),
        plain(chart.caption),
        raw("html", f"</figcaption>\n{plot}{picture}</div>\n</figure>"),
    ]


def _contents(document: Document) -> str:
    head = escape(word("contents", document.language))
    entries = "\n".join(
        f'<li><a href="#{section.key}">{escape(section.title)}</a></li>'
        for section in document.sections
    )
    return f'<nav class="contents" aria-labelledby="contents">\n<h2 id="contents">{head}</h2>\n<ul>\n{entries}\n</ul>\n</nav>'


def _tidy(markup: str) -> str:
    """Table heads that say what they head, and no word that the page does without."""
    markup = markup.replace(' style="text-align: left;"', "")
    markup = re.sub(r' style="text-align: (c|r)[a-z]+;"', r' class="\1"', markup)
    markup = re.sub(r"<annotation.*?</annotation>", "", markup, flags=re.S)

    def scope(part: re.Match[str]) -> str:
        return re.sub(r"<th\b", '<th scope="col"', part.group(0))

    markup = re.sub(r"<thead>.*?</thead>", scope, markup, flags=re.S)
    return re.sub(r"<th(?! scope)\b(?!ead)", '<th scope="row"', markup)


def _others(document: Document, beside: dict[tuple[Language, str], str]) -> str:
    """Links to the same report in the other language, and as PDF, where they lie beside."""
    found = []
    other: Language = "en" if document.language == "zh" else "zh"
    if name := beside.get((other, "html")):
        words = escape(word("other", document.language))
        found.append(
            f'<a href="{name}" hreflang="{_LANG[other]}" lang="{_LANG[other]}">{words}</a>'
        )
    if name := beside.get((document.language, "pdf")):
        found.append(
            f'<a href="{name}" type="application/pdf">{escape(word("pdf", document.language))}</a>'
        )
    return f'<p class="others">{" ".join(found)}</p>' if found else ""


def _live(document: Document) -> str:
    """What draws the charts again, live, where scripts run."""
    charts = ",".join(
        f"{json.dumps(chart.name)}:{chart.vega}" for chart in document.charts.values()
    )
    data = f"{{{charts}}}".replace(FONT, "sans-serif").replace("<", "\\u003c")
    return (
        f'<script type="application/json" id="charts">{data}</script>\n'
        "<!-- Vega, Vega-Lite, Vega-Embed: University of Washington Interactive Data Lab, BSD-3 -->\n"
        f'<script type="text/plain" id="runtime">{_runtime()}</script>\n'
        f"<script>{template('report.js')}</script>"
    )


@cache
def _runtime() -> str:
    """The chart runtime as the page carries it: deflated, base64."""
    return base64.b64encode(zlib.compress(figures.runtime().encode(), 9)).decode()

"""Small pieces of the site's pages; whatever words come in are escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from string import Template

from o2o_research.narrative import VERDICT_NAMES, Finding
from o2o_research.publishing.document import template
from o2o_research.publishing.words import word
from o2o_research.terms import LANGUAGES, Language

LANG = {"zh": "zh-Hans", "en": "en"}
PAGES = ("index", "claims", "parameters", "evidence", "downloads", "search")


class Markup(str):
    """Text that is HTML already."""


def html(words: object) -> Markup:
    """Words made safe, markup as it is."""
    return words if isinstance(words, Markup) else Markup(escape(str(words), quote=True))


def joined(parts: Iterable[object], by: str = "") -> Markup:
    return Markup(by.join(html(part) for part in parts))


def tag(name: str, *content: object, **attributes: object) -> Markup:
    """An element; ``class_`` is class, ``data_case`` is data-case, None leaves an attribute out."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value), quote=True)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{given}>{joined(content)}</{name}>")


def link(words: object, target: str, **attributes: object) -> Markup:
    return tag("a", words, href=target, **attributes)


def badge(verdict: str, language: Language) -> Markup:
    name = VERDICT_NAMES[verdict][0 if language == "zh" else 1]  # type: ignore[index]
    return tag("span", name, class_=f"badge {verdict}")


def number(finding: Finding, language: Language, target: str) -> Markup:
    """A number that leads to where it comes from, with its interval."""
    shown = finding.term.format(finding.value, language)
    return link(shown, target, class_="number")


def ends(finding: Finding, language: Language) -> str:
    if finding.low is None or finding.high is None or finding.low == finding.high:
        return ""
    return finding.term.interval(finding.low, finding.high, language)


def table(
    head: Sequence[object],
    rows: Iterable[tuple[Mapping[str, str], Sequence[object]]],
    label: str,
    stacked: bool = True,
) -> Markup:
    """A table that scrolls sideways; each row's first cell names it, ``(attributes, cells)``."""
    top = joined(tag("th", cell, scope="col") for cell in head)
    body = joined(
        tag(
            "tr",
            tag("th", cells[0], scope="row"),
            *(tag("td", cell) for cell in cells[1:]),
            **given,
        )
        for given, cells in rows
    )
    grid = tag("table", tag("thead", tag("tr", top)), tag("tbody", body))
    kinds = "scroll stacked" if stacked else "scroll"
    return tag("div", grid, class_=kinds, role="region", tabindex="0", aria_label=label)


def filters(choices: Mapping[str, tuple[str, Mapping[str, str]]], language: Language) -> Markup:
    """Fields that narrow a table: a choice each, then free words; and the count of what is left."""
    fields = [
        tag(
            "label",
            label,
            tag(
                "select",
                tag("option", word("all", language), value=""),
                *(tag("option", shown, value=value) for value, shown in options.items()),
                data_filter=key,
            ),
        )
        for key, (label, options) in choices.items()
    ]
    fields.append(
        tag("label", word("words", language), Markup('<input type="search" data-filter="q">'))
    )
    count = tag("p", class_="count", role="status", data_words=word("shown", language))
    return joined([tag("div", *fields, class_="filters"), count])


def bar(page: str, language: Language, here: str = "") -> Markup:
    """The site's navigation; ``page`` is the file's stem, ``here`` the entry that it belongs to."""
    entries = [
        link(
            word(f"page {name}", language),
            f"{name}.{language}.html",
            aria_current="page" if name == page else "true" if name == here else None,
        )
        for name in PAGES
    ]
    other = next(one for one in LANGUAGES if one != language)
    switch = link(
        word("other", language),
        f"{page}.{other}.html",
        hreflang=LANG[other],
        lang=LANG[other],
        class_="language",
    )
    home = link(word("site", language), f"index.{language}.html", class_="home")
    return tag("nav", home, *entries, switch, class_="bar", aria_label=word("bar", language))


def page(
    name: str,
    language: Language,
    title: str,
    *body: object,
    here: str = "",
    data: Markup | None = None,
) -> str:
    """A whole page of the site."""
    full = title if name == "index" else f"{title} · {word('site', language)}"
    return Template(template("site.html")).substitute(
        lang=LANG[language],
        title=escape(full),
        heading=escape(title),
        skip=escape(word("skip", language)),
        style=template("report.css") + template("site.css"),
        nav=bar(name, language, here),
        body=joined(body, "\n"),
        data=data or "",
        script=template("place.js") + template("site.js"),
    )

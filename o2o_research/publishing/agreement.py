"""That both languages say the same, and all pages the same as the findings.

A report is not made where a number printed in one language differs from the other's, where a
paragraph, a sentence, a citation or a link is missing in one, or where a verdict does not follow
from its finding by the rule stated; nor is the site where a page prints another value than the case found.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from html import unescape
from typing import Any

from o2o_research import narrative
from o2o_research.errors import PublishError
from o2o_research.narrative import VERDICT_NAMES, Finding, Record, decide
from o2o_research.terms import LANGUAGES, Language, term

_LINK = re.compile(r"\[((?:\\.|[^\[\]\\])*)\]\(#([\w-]+)\)")
_CITE = re.compile(r"\[@([^\]]*)\]")
_MATH = re.compile(r"\$\$.*?\$\$|\$[^$\n]+\$|`[^`]*`", re.S)
_DIGITS = r"\d[\d,]*(?:\.\d+)?"
_SIZE = r"\s*(万亿|亿|万|billion|million|trillion|bn|m\b|%)"
# One number, or the two ends of a range that share a unit.
_NUMBER = re.compile(
    rf"(?<![A-Za-z0-9_.])({_DIGITS})(?:(?:–| 至 | to )[−-]?({_DIGITS}))?(?:{_SIZE})?"
)
# The number of a section, which Chinese writes in characters.
_SECTION = re.compile(r"(?:^#+ |\b[Ss]ections? )\d+(?:(?:, \d+)* and \d+)?\b", re.M)
_SIZES = {
    "万": 1e4, "亿": 1e8, "万亿": 1e12, "million": 1e6, "m": 1e6, "billion": 1e9, "bn": 1e9,
    "trillion": 1e12, "%": 0.01,
}  # fmt: skip
# English letters for one Chinese character: two to four and a bit where both say the same, in the
# thousand paragraphs of the cases. One of fewer characters is a sentence, which cannot lack another.
_LENGTHS, _LONG = (1.75, 5.0), 30

Pair = Mapping[Language, str]


def check(notebook: Any, record: Record) -> None:
    """Refuse an executed notebook whose two languages, or whose verdicts, do not agree.

    Raises
    ------
    PublishError
        Names the cell and what differs.
    """
    for where, pair, spoken in _pairs(notebook):
        parts = [_paragraphs(pair[language]) for language in LANGUAGES]
        _same(where, "paragraphs", *map(len, parts))
        for zh, en in zip(*parts, strict=True):
            _as_much(where, zh, en)
        _same(where, "citations", *(_citations(pair[language]) for language in LANGUAGES))
        if spoken:
            _same(where, "links", *(_targets(pair[language]) for language in LANGUAGES))
            for language in LANGUAGES:
                _printed(where, pair[language], language, record)
        same_numbers(where, pair)
    for _, kind, content in narrative.bundles(notebook):
        if kind == narrative.VERDICT:
            follows(content, record)


def follows(verdict: Mapping[str, Any], record: Record) -> None:
    """Refuse a verdict that its finding does not give by its rule."""
    claim, finding = verdict["claim"], record.findings.get(verdict["finding"])
    if finding is None:
        wanted = "untested"
        if verdict["finding"] is not None:
            raise PublishError(f"claim {claim}: no finding {verdict['finding']!r}")
    else:
        named = verdict.get("threshold_finding")
        if named and record.findings[named].value != float(verdict["threshold"]):
            raise PublishError(f"claim {claim}: its threshold is not the value of {named}")
        wanted = decide(finding, verdict["rule"], float(verdict["threshold"]))
    if verdict["verdict"] != wanted:
        raise PublishError(
            f"claim {claim}: its verdict is {verdict['verdict']!r}, and by its rule {wanted!r}"
        )


def same_numbers(where: str, pair: Pair) -> None:
    """Refuse two texts that print different numbers."""
    zh, en = (numbers(pair[language]) for language in LANGUAGES)
    if len(zh) != len(en) or any(not _near(a, b) for a, b in zip(zh, en, strict=True)):
        raise PublishError(f"{where}: the numbers differ: zh {_listed(zh)}; en {_listed(en)}")


def numbers(text: str) -> list[tuple[float, float]]:
    """The numbers that a text prints, sorted, without those of links, formulas and citations.

    Each with half a unit of its last digit: the ends of a range share their digits, so that one
    language may cut an end that the other writes out.

    >>> numbers("两年共 2.5 万元，占 30%")
    [(0.3, 0.005), (25000.0, 500.0)]
    """
    for mark in (_LINK, _CITE, _MATH, _SECTION):
        text = mark.sub(" ", text)
    found = []
    for *ends, size in _NUMBER.findall(text):
        scale = _SIZES.get(size, 1.0)
        for end in filter(None, ends):
            digits = len(end.partition(".")[2])
            found.append((float(end.replace(",", "")) * scale, 0.5 * scale / 10**digits))
    return sorted(found)


def check_site(pages: Mapping[str, str], records: Mapping[str, Record]) -> None:
    """Refuse a site whose pages print other values than the cases found, or cannot be followed.

    Every link to a number's row must print that number as its language writes it, wherever it
    stands: index, claims, parameters, reports. Both languages must link the same rows as often.
    """
    for name, page in pages.items():
        language: Language = "en" if name.endswith(".en.html") else "zh"
        for case, finding, printed in _site_numbers(name, page, records):
            if case not in records:
                raise PublishError(f"{name}: no findings of case {case}")
            known = records[case].findings.get(finding)
            if known is None:
                raise PublishError(f"{name}: no finding {finding!r} in case {case}")
            wanted = known.term.format(known.value, language)
            if printed != wanted:
                raise PublishError(
                    f"{name}: {case} {finding} is printed {printed!r}, not {wanted!r}"
                )
    for name, page in pages.items():
        if name.endswith(".zh.html"):
            if name.removesuffix(".zh.html") + ".en.html" not in pages:
                raise PublishError(f"{name}: no page in the other language")
            other = pages[name.removesuffix(".zh.html") + ".en.html"]
            zh, en = (
                Counter(re.findall(r'\sid="([^"]+)"', _drawn(text))) for text in (page, other)
            )
            if zh != en:
                lost = sorted(((zh - en) + (en - zh)).elements())
                raise PublishError(f"{name}: not in both languages: {', '.join(lost[:5])}")
    _verdicts_agree(pages, records)
    _shared_agree(records)


def _site_numbers(
    name: str, page: str, records: Mapping[str, Record]
) -> Iterator[tuple[str, str, str]]:
    """(case, finding, what is printed) of every linked number of a page."""
    here = name.split(".")[0]
    for attributes, words in re.findall(r"<a ([^>]*)>([^<]*)</a>", _drawn(page)):
        if 'class="number"' not in attributes:
            continue
        target = re.search(r'href="(?:numbers-(\w+)\.\w+\.html)?#f-(\w+)"', attributes)
        if target and (target.group(1) or here in records):
            yield target.group(1) or here, target.group(2), unescape(words)


def _verdicts_agree(pages: Mapping[str, str], records: Mapping[str, Record]) -> None:
    """The badge of each claim on the claims page is the verdict that the case found."""
    for language in LANGUAGES:
        page = pages[f"claims.{language}.html"]
        rows = dict(re.findall(r'<tr id="c-(\w+)"[^>]*data-verdict="(\w+)"', page))
        rows |= {c: v for v, c in re.findall(r'<tr data-verdict="(\w+)"[^>]*id="c-(\w+)"', page)}
        for record in records.values():
            for claim, verdict in record.verdicts.items():
                badge = VERDICT_NAMES[verdict["verdict"]][language == "en"]
                if rows.get(claim) != verdict["verdict"] or badge not in page:
                    raise PublishError(f"claims.{language}.html: claim {claim} has another verdict")


def _shared_agree(records: Mapping[str, Record]) -> None:
    """A finding that several cases record, such as the summary a case's, has one value."""
    seen: dict[str, tuple[str, Finding]] = {}
    for case, record in records.items():
        for name, finding in record.findings.items():
            before = seen.setdefault(name, (case, finding))
            kept = (before[1].value, before[1].low, before[1].high)
            if kept != (finding.value, finding.low, finding.high):
                raise PublishError(f"{name} has one value in {before[0]} and another in {case}")


def _drawn(page: str) -> str:
    """A page without its pictures and scripts."""
    return re.sub(r"<(svg|script)\b.*?</\1>", "", page, flags=re.S)


def _pairs(notebook: Any) -> Iterator[tuple[str, Pair, bool]]:
    """(where, both languages' text, whether a verb said it) of all that a report prints."""
    waiting: tuple[int, str] | None = None
    for number, cell in enumerate(notebook.cells, 1):
        if cell.cell_type == "markdown":
            if "zh" in cell.metadata.get("tags", ()):
                waiting = number, cell.source
            elif waiting is not None:
                yield (
                    f"cells {waiting[0]} and {number}",
                    {"zh": waiting[1], "en": cell.source},
                    False,
                )
                waiting = None
    for number, kind, content in narrative.bundles(notebook):
        where = f"cell {number + 1}"
        if kind in (narrative.SAY, narrative.VERDICT):
            yield where, {language: content[language] for language in LANGUAGES}, True
        elif kind in (narrative.CHART, narrative.TABLE):
            what = f"{where}, {content['name']}"
            yield what, content["title"], False
            if kind == narrative.CHART:
                yield what, content["alt"], False
            else:
                yield what, _cells(content), True


def _cells(table: Mapping[str, Any]) -> Pair:
    """A table's cells as running text: its rows are no paragraphs."""
    return {language: table[language].replace("|", " ; ") for language in LANGUAGES}


def _paragraphs(text: str) -> list[str]:
    return [part for part in re.split(r"\n\s*\n", text.strip()) if part.strip()]


def _as_much(where: str, zh: str, en: str) -> None:
    """Refuse a paragraph that says half as much in one language; a table's rows are no sentences."""
    plain = [_MATH.sub("", _CITE.sub("", _LINK.sub("", part))) for part in (zh, en)]
    foreign, letters = (len(re.findall("[A-Za-z]", part)) for part in plain)
    said = len(re.findall("[\u4e00-\u9fff]", plain[0]))
    low, high = _LENGTHS
    if said >= _LONG and " ; " not in zh and not low <= (letters - foreign) / said <= high:
        less = "en" if letters - foreign < low * said else "zh"
        raise PublishError(f"{where}: {less} says far less: zh {zh[:30]!r}…, en {en[:60]!r}…")


def _citations(text: str) -> list[str]:
    return sorted(
        cite for group in _CITE.findall(text) for cite in re.findall(r"[\w-]+\d{4}\w*", group)
    )


def _targets(text: str) -> list[str]:
    return sorted(target for _, target in _LINK.findall(text))


def _printed(where: str, text: str, language: Language, record: Record) -> None:
    """Every linked number is its finding's or parameter's, as the language writes it."""
    for words, target in _LINK.findall(text):
        kind, _, name = target.partition("-")
        if kind == "f" and name in record.findings:
            value: Any = record.findings[name].value
        elif kind == "p" and name in record.parameters:
            value = record.parameters[name]
        else:
            continue
        wanted = " ".join(term(name).format(value, language).split())
        if re.sub(r"\\(.)", r"\1", words) != wanted:
            raise PublishError(
                f"{where}: {name} is printed {words!r} in {language}, not {wanted!r}"
            )


def _same(where: str, what: str, zh: Any, en: Any) -> None:
    if zh != en:
        raise PublishError(f"{where}: the {what} differ: zh {zh}; en {en}")


def _near(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether two numbers are one, written to the same digit, or to a coarser one."""
    (a, half), (b, half_too) = one, other
    coarser = 0.0 if math.isclose(half, half_too) else max(half, half_too)
    return abs(a - b) <= coarser + 1e-9 * max(abs(a), abs(b))


def _listed(found: list[tuple[float, float]]) -> str:
    return ", ".join(f"{value:g}" for value, _ in found) or "none"

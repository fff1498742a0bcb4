"""What a figure and a table are, free of language, and how words are put in.

A specification holds references instead of words, and ``localise`` puts the words in:
``term:key`` is a Term's label with its unit, ``name:key`` its name alone, ``value:key:number``
a formatted number, ``axis:key`` a label expression for the ticks, ``text:zh¦en`` a text in both
languages, ``flag:zh¦en|key:number`` a text before a number, and ``own:words`` an analyst's own
words, shown as words whatever marks they hold.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from o2o_research.terms import COUNTED, LANGUAGES, Language, term
from o2o_research.texts import drawable, escaped

VEGALITE = "application/vnd.vegalite.v5+json"
FONT = "Noto Sans SC"
WIDTH, HEIGHT = 620, 300

INK, MUTED, GRID = "#1f2933", "#52606d", "#e4e7eb"

CONFIG: dict[str, Any] = {
    "background": "#ffffff",
    # A page shows the reader's own fonts, which may run wider than those measured here.
    "padding": {"left": 26, "right": 6, "top": 6, "bottom": 6},
    "font": FONT,
    "view": {"stroke": None, "continuousWidth": WIDTH, "continuousHeight": HEIGHT},
    "axis": {
        "labelFontSize": 12,
        "titleFontSize": 12.5,
        "titleFontWeight": "normal",
        "labelColor": INK,
        "titleColor": MUTED,
        "gridColor": GRID,
        "domainColor": "#9aa5b1",
        "tickColor": "#9aa5b1",
        "titlePadding": 8,
        "labelLimit": 240,
        "titleLimit": 560,
    },
    "legend": {
        "labelFontSize": 12,
        "titleFontSize": 12,
        "labelColor": INK,
        "orient": "top",
        "title": None,
        "symbolStrokeWidth": 2.5,
        "symbolSize": 160,
        "labelLimit": 300,
        "columns": 3,
        "columnPadding": 32,
    },
    "text": {"fontSize": 12, "color": INK},
    "title": {"fontSize": 14, "anchor": "start", "color": INK, "fontWeight": "bold"},
}


@dataclass(frozen=True)
class Figure:
    """A figure: its specification without language, its data, and what it shows in words."""

    spec: dict[str, Any]
    alt: dict[Language, str]
    frame: pd.DataFrame


@dataclass(frozen=True)
class Table:
    """A table whose columns, and whose text cells where they are Term keys, are Terms.

    A cell may also hold what has both languages, ``zh`` and ``en``: a text, or a finding, which is
    written with its unit and linked to its row. ``widths`` are the columns' shares of the page; by
    default they follow from what the cells hold.
    """

    frame: pd.DataFrame
    widths: tuple[float, ...] = ()

    def bundle(self) -> dict[str, Any]:
        found: dict[str, Any] = {language: self.markdown(language) for language in LANGUAGES}
        return found | ({"widths": list(self.widths)} if self.widths else {})

    def markdown(self, language: Language) -> str:
        """A pipe table; numbers right-aligned, written as their column's Term says."""
        frame = self.frame
        numeric = [pd.api.types.is_numeric_dtype(frame[column]) for column in frame]
        head = [
            term(str(c)).name(language)
            if n and not _unit(str(c), language)
            else term(str(c)).label(language)
            for c, n in zip(frame, numeric, strict=True)
        ]
        lines = [head, ["---:" if n else ":---" for n in numeric]]
        for row in frame.itertuples(index=False):
            lines.append(
                [
                    term(str(column)).number(float(value), language)
                    if n
                    else _word(value, language)
                    for column, n, value in zip(frame, numeric, row, strict=True)
                ]
            )
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def localise(spec: Any, language: Language) -> Any:
    """The same specification with every reference turned into words of ``language``."""
    if isinstance(spec, dict):
        return {
            key: value if type(value) is float else localise(value, language)
            for key, value in spec.items()
        }
    if isinstance(spec, list):
        return [localise(value, language) for value in spec]
    if not isinstance(spec, str):
        return spec
    kind, colon, rest = spec.partition(":")
    if not colon:
        return spec
    if kind == "term":
        return term(rest).label(language)
    if kind == "name":
        return term(rest).name(language)
    if kind == "value":
        key, _, number = rest.partition(":")
        return term(key).format(float(number), language)
    if kind == "axis":
        return _tick(rest, language)
    if kind == "text":
        return rest.split("¦")[0 if language == "zh" else 1]
    if kind == "own":
        return drawable(rest)
    if kind == "flag":
        words, _, value = rest.partition("|")
        return f"{localise(f'text:{words}', language)} {localise(f'value:{value}', language)}"
    return spec


def in_lab(figure: Figure, title: Mapping[str, str]) -> dict[str, Any]:
    """The figure as JupyterLab draws it by itself, in the language of ``O2O_LANG`` (zh by default)."""
    language: Language = "en" if os.environ.get("O2O_LANG", "zh").startswith("en") else "zh"
    spec = localise(figure.spec, language)
    return {VEGALITE: spec | {"title": title[language], "description": figure.alt[language]}}


def _unit(key: str, language: Language) -> str:
    return term(key).unit.name(language)


def _word(value: Any, language: Language) -> str:
    if hasattr(value, language):
        return str(getattr(value, language))
    text = str(value)
    if text.startswith("own:"):
        return escaped(localise(text, language))
    return localise(text, language) if ":" in text else term(text).name(language)


def _tick(key: str, language: Language) -> str:
    about = term(key)
    if about.unit.scale == 100:
        return "format(datum.value, '.3~%')"
    plain = "format(datum.value, ',.4~r')" if about.digits else "format(datum.value, ',.5~r')"
    if about.unit.en not in COUNTED:
        return plain
    size, number = "abs(datum.value)", "format(datum.value / {0}, ',.4~r') + '{1}'"
    steps = {"zh": ((1e8, "亿"), (1e4, "万")), "en": ((1e9, "bn"), (1e6, "m"))}[language]
    (big, bigger), (small, smaller) = steps
    return (
        f"{size} >= {big:.0f} ? {number.format(int(big), bigger)} : {size} >= {small:.0f} ? "
        f"{number.format(int(small), smaller)} : {plain}"
    )

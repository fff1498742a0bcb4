"""Terms: what each quantity is called, its unit, its domain, and how it is written.

``terms.yaml`` is their only home. Parameters and findings are both Terms, and nothing
outside this module rounds or scales a number for a reader.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Literal, get_args

import yaml

from o2o_research.domain import Interval
from o2o_research.errors import CaseError

# The same answers ten times as fast, where PyYAML was built with it.
SafeLoader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Language = Literal["zh", "en"]
LANGUAGES: tuple[Language, ...] = get_args(Language)

# Readers of Chinese count in ten thousands and hundred millions, of English in thousands.
_MAGNITUDES: dict[Language, tuple[tuple[float, str], ...]] = {
    "zh": ((1e8, "亿"), (1e4, "万")),
    "en": ((1e9, "billion"), (1e6, "million")),
}

# Units that are counted in those steps; others are written out.
COUNTED = ("yuan", "phones")


@dataclass(frozen=True)
class Unit:
    """A unit of measure: its names, and by how much a value is multiplied to be shown in it.

    ``counted`` is false for a number that only names something, a seed or a calendar year: it
    carries no thousands separators.
    """

    zh: str
    en: str
    scale: float = 1.0
    counted: bool = True

    def name(self, language: Language) -> str:
        return self.zh if language == "zh" else self.en


@dataclass(frozen=True)
class Term:
    """One quantity: its names in Chinese and English, unit, domain and digits after the point."""

    key: str
    zh: str
    en: str
    unit: Unit
    domain: Interval | None = None
    options: tuple[str, ...] = ()
    digits: int = 0
    note: dict[Language, str] = field(default_factory=dict)

    def name(self, language: Language) -> str:
        return self.zh if language == "zh" else self.en

    def label(self, language: Language) -> str:
        """The name with its unit, as an axis or a table head carries it."""
        unit = self.unit.name(language)
        if not unit:
            return self.name(language)
        return f"{self.zh}（{unit}）" if language == "zh" else f"{self.en} ({unit})"

    def number(self, value: float, language: Language) -> str:
        """The value alone, scaled and rounded, with a true minus sign.

        A magnitude stays with it, or 94,900,000 yuan would stand as 94.9 under "yuan".
        """
        digits, unit = self._parts(value, language)
        return f"{digits} {unit.removesuffix(self.unit.name(language)).strip()}".rstrip(" %")

    def format(self, value: Any, language: Language) -> str:
        """The value with its unit, as a sentence carries it; text and lists as they are.

        >>> term("commission_share").format(0.15, "zh")
        '15%'
        >>> term("catering_revenue").format(2.5392e12, "en")
        '2,539 billion yuan'
        """
        if value is None or value == "":
            return "—"
        if isinstance(value, bool):
            return {"zh": ("否", "是"), "en": ("no", "yes")}[language][value]
        if isinstance(value, str):
            return value
        if isinstance(value, list | tuple):
            return ("、" if language == "zh" else ", ").join(
                self.format(v, language) for v in value
            )
        if math.isinf(value):
            return "∞" if value > 0 else "−∞"
        return "".join(self._parts(float(value), language))

    def interval(self, low: float, high: float, language: Language) -> str:
        """Both ends with one unit: ``3.1–4.5 元``; ``−2 to 4 yuan`` where a sign would jar.

        An end at infinity is said in words: ``3.1 元以上``, ``3.1 yuan or more``.
        """
        if low == high:
            return self.format(low, language)
        if math.isinf(high) and math.isfinite(low):
            return self.format(low, language) + {"zh": "以上", "en": " or more"}[language]
        if math.isinf(low) and math.isfinite(high):
            return self.format(high, language) + {"zh": "以下", "en": " or less"}[language]
        size = max(abs(low), abs(high))
        unit, scale = self._scale(size, language)
        ends = [self._digits(v, scale, size) for v in (low, high)]
        join = {"zh": " 至 ", "en": " to "}[language] if min(low, high) < 0 else "–"
        return join.join(ends) + unit

    def _parts(self, value: float, language: Language) -> tuple[str, str]:
        unit, scale = self._scale(abs(value), language)
        return self._digits(value, scale, abs(value)), unit

    def _scale(self, size: float, language: Language) -> tuple[str, float]:
        name = self.unit.name(language)
        if self.unit.en in COUNTED and math.isfinite(size):
            for magnitude, word in _MAGNITUDES[language]:
                if size >= magnitude:
                    return (
                        f" {word}{name}" if language == "zh" else f" {word} {name}"
                    ), 1 / magnitude
        if name in ("%", ""):
            return name, self.unit.scale
        return f" {name}", self.unit.scale

    def _digits(self, value: float, scale: float, size: float) -> str:
        if math.isnan(value):
            return "—"
        if math.isinf(value):
            return "∞" if value > 0 else "−∞"
        shown, digits = value * scale, self.digits
        if scale < 1:  # an amount in 万 or million keeps three figures
            digits = max(0, 2 - math.floor(math.log10(size * scale)))
            step = 10.0**-digits / scale  # rounded as the other language rounds it
            shown = round(value / step) * step * scale
        elif self.unit.en == "yuan" and 1e4 <= size < math.inf:  # and so does the same in full
            step = 10.0 ** (math.floor(math.log10(size)) - 2)
            shown, digits = round(shown / step) * step, 0
        text = f"{shown:{',' if self.unit.counted else ''}.{digits}f}"
        if float(text.replace(",", "")) == 0:
            text = text.lstrip("-")
        return text.replace("-", "−")


@cache
def _registry() -> dict[str, Term]:
    text = (files("o2o_research") / "terms.yaml").read_text(encoding="utf-8")
    # Our own file: the quicker loader where PyYAML has it, which a hostile text could crash.
    raw = yaml.load(text, Loader=SafeLoader)
    units = {key: Unit(**value) for key, value in raw.pop("units").items()}
    terms = {}
    for key, entry in raw.items():
        try:
            terms[key] = _term(key, dict(entry), units)
        except (KeyError, TypeError, ValueError) as error:
            raise CaseError(f"terms.yaml: {key}: {error}") from error
    return terms


def _term(key: str, entry: dict[str, Any], units: dict[str, Unit]) -> Term:
    domain = entry.pop("domain", None)
    if isinstance(domain, list):
        domain = f"[{domain[0]}, {domain[1]}]"
    return Term(
        key=key,
        unit=units[entry.pop("unit", "none")],
        domain=None if domain is None else Interval.parse(domain),
        options=tuple(entry.pop("options", ())),
        note=entry.pop("note", {}),
        **entry,
    )


def term(key: str) -> Term:
    """The Term of that name; ``CaseError`` names it, and near ones, if there is none."""
    registry = _registry()
    if key not in registry:
        raise CaseError(f"no term {key!r} in terms.yaml{did_you_mean(key, registry)}")
    return registry[key]


def terms() -> dict[str, Term]:
    """All Terms by key."""
    return dict(_registry())


def did_you_mean(key: str, known: Any) -> str:
    """``; did you mean 'x'?`` for the nearest known name, or nothing."""
    from difflib import get_close_matches

    near = get_close_matches(str(key), list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""

"""Evidence: what an article reports and claims, and where each parameter's value comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import yaml

from o2o_research.errors import CaseError
from o2o_research.terms import Language, SafeLoader

Kind = Literal["reported", "published", "assumed"]
KINDS: tuple[Kind, ...] = ("reported", "published", "assumed")


@dataclass(frozen=True)
class Text:
    """One statement in both languages."""

    zh: str
    en: str

    def __getitem__(self, language: Language) -> str:
        return self.zh if language == "zh" else self.en


@dataclass(frozen=True)
class Article:
    """The article a case argues with."""

    zh: str
    en: str
    outlet: Text
    author: Text
    date: date

    def __getitem__(self, language: Language) -> str:
        return self.zh if language == "zh" else self.en


@dataclass(frozen=True)
class Fact:
    """A figure or an event that the article states."""

    key: str
    text: Text
    value: Any = None


@dataclass(frozen=True)
class Claim:
    """An argument of the article, which the models test; ``key`` is its number, as in R4."""

    key: str
    name: str
    text: Text


@dataclass(frozen=True)
class Origin:
    """Where a parameter's value comes from, and the range an expert would find plausible.

    ``kind`` is reported (``source`` is a fact), published (``source`` is a key of the
    bibliography) or assumed; ``why`` says how the value follows. ``low`` and ``high``, where
    given, bound the middle 90 % of what the value may plausibly be.
    """

    kind: Kind
    source: str | None
    why: Text | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Evidence:
    """All that is known about a case before any model runs."""

    case: str
    question: Text
    article: Article
    facts: Mapping[str, Fact]
    claims: Mapping[str, Claim]
    origins: Mapping[str, Origin]
    # The claim whose verdict stands for the case where there is room for one.
    headline: str | None = None
    # The cases whose findings it reads: a synthesis has some, a case of an article none.
    reads: tuple[str, ...] = ()
    # What it takes from each, by element of its frame and case: a finding of the case, or a formula
    # over the case's numbers and the Term that it is recorded under.
    frame: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    # The claims of theirs that promise a gain; the others warn, or set a condition.
    promises: tuple[str, ...] = ()


@cache
def bibliography() -> dict[str, str]:
    """Published sources by key, each as one line of a reference list."""
    return dict(yaml.load(_text("sources.yaml"), Loader=SafeLoader))


@cache
def evidence(case: str) -> Evidence:
    """The evidence of a case; ``CaseError`` names what does not hold together."""
    raw = yaml.load(_text(f"{case}.yaml"), Loader=SafeLoader)
    try:
        article = raw["article"]
        return Evidence(
            case=case,
            question=Text(**raw["question"]),
            article=Article(
                zh=article["zh"],
                en=article["en"],
                outlet=Text(**article["outlet"]),
                author=Text(**article["author"]),
                date=article["date"],
            ),
            facts={
                key: Fact(key, Text(fact["zh"], fact["en"]), fact.get("value"))
                for key, fact in raw["facts"].items()
            },
            claims={
                key: Claim(key, claim["name"], Text(claim["zh"], claim["en"]))
                for key, claim in raw["claims"].items()
            },
            origins={key: _origin(key, dict(entry)) for key, entry in raw["origins"].items()},
            headline=raw.get("headline"),
            reads=tuple(raw.get("reads", ())),
            frame={
                element: {case: _cell(cell) for case, cell in cells.items()}
                for element, cells in raw.get("frame", {}).items()
            },
            promises=tuple(raw.get("promises", ())),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CaseError(f"evidence/{case}.yaml: {type(error).__name__} {error}") from error


def _cell(entry: str | dict[str, str]) -> tuple[str, ...]:
    """A finding's name, or a formula and the name of what it makes."""
    if isinstance(entry, str):
        return (entry,)
    ((name, formula),) = entry.items()
    return str(formula), name


def _origin(key: str, entry: dict[str, Any]) -> Origin:
    named = [kind for kind in KINDS if kind in entry]
    if len(named) != 1:
        raise ValueError(f"{key}: exactly one of {', '.join(KINDS)} is wanted, found {named}")
    kind = named[0]
    content = entry.pop(kind)
    low, high = entry.pop("range", (None, None))
    why = Text(**content) if kind == "assumed" else None
    if note := entry.pop("note", None):
        why = Text(**note)
    if entry:
        raise ValueError(f"{key}: unknown entries {sorted(entry)}")
    return Origin(kind, None if kind == "assumed" else str(content), why, low, high)


def _text(name: str) -> str:
    path = files("o2o_research") / "evidence" / name
    if not path.is_file():
        raise CaseError(f"no evidence file {name}")
    return path.read_text(encoding="utf-8")

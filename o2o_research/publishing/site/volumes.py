"""What the site is made of: a published run of each case, read back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from o2o_research import cases, narrative
from o2o_research.errors import PublishError
from o2o_research.evidence import Evidence, evidence
from o2o_research.narrative import Finding, Record
from o2o_research.terms import LANGUAGES, Language

# Elements whose content is no text to read.
_UNREAD = ("script", "style", "svg", "math", "nav")


@dataclass(frozen=True)
class Part:
    """A section of a report: its anchor, its heading, and what it says."""

    key: str
    title: str
    text: str


@dataclass(frozen=True)
class Volume:
    """A case as it was run and published."""

    case: str
    folder: Path
    notebook: Mapping[str, Any]
    record: Record
    pages: Mapping[Language, str]

    @property
    def about(self) -> Evidence:
        return evidence(self.case)

    @property
    def lineage(self) -> Mapping[str, Any]:
        """Where its findings come from; empty where that was not found."""
        found: Mapping[str, Any] = self.notebook["metadata"].get("o2o", {}).get("lineage", {})
        return found

    @cached_property
    def defaults(self) -> bool:
        """Whether the run is of the parameters as they are stated."""
        return dict(self.record.parameters) == dict(cases.case(self.case).defaults)

    @cached_property
    def charts(self) -> list[Mapping[str, Any]]:
        """Its chart bundles, in order."""
        return [content for kind, content in self._bundles if kind == narrative.CHART]

    @cached_property
    def verdicts(self) -> dict[str, Mapping[str, Any]]:
        """Its verdict bundles by claim, in the order of the claims."""
        found = {c["claim"]: c for kind, c in self._bundles if kind == narrative.VERDICT}
        return {claim: found[claim] for claim in self.about.claims if claim in found}

    @property
    def headline(self) -> Mapping[str, Any] | None:
        """The verdict that stands for the case: the one its evidence names, or the first tested."""
        tested = [v for v in self.verdicts.values() if v["finding"]]
        named = [v for v in tested if v["claim"] == self.about.headline]
        return next(iter([*named, *tested]), None)

    def threshold(self, verdict: Mapping[str, Any]) -> float:
        return float(verdict["threshold"])

    def title(self, language: Language) -> str:
        page = self.pages[language]  # megabytes: nothing of it is copied but the title
        start = page.index("<title>") + len("<title>")
        return unescape(page[start : page.index("</title>", start)])

    def parts(self, language: Language) -> list[Part]:
        """The sections of its report, in order."""
        reader = _Reader()
        reader.feed(self.pages[language])
        return [Part(key, title, text) for key, title, text in reader.parts()]

    def mention(self, finding: Finding, language: Language) -> str:
        """The anchor in the report where a number is first used, or its row."""
        first = f"m-{finding.anchor}"
        return first if f'id="{first}"' in self.pages[language] else finding.anchor

    @cached_property
    def cited(self) -> list[str]:
        """The sources that its report cites."""
        page = self.pages[LANGUAGES[0]]
        return [piece.split('"', 1)[0] for piece in page.split('id="s-')[1:]]

    @cached_property
    def _bundles(self) -> list[tuple[str, Mapping[str, Any]]]:
        return [
            (kind, content)
            for cell in self.notebook["cells"]
            for output in cell.get("outputs", ())
            for kind, content in output.get("data", {}).items()
            if kind in (narrative.CHART, narrative.VERDICT)
        ]


def shelf(reports: Path) -> list[Volume]:
    """Every case's published run: what draws on the others first, then by their articles' dates.

    Raises
    ------
    PublishError
        A case was not run and published in both languages.
    """

    def place(name: str) -> tuple[bool, date, str]:
        about = cases.case(name).evidence
        return not about.reads, about.article.date, name

    return [_volume(reports / name, name) for name in sorted(cases.case_names(), key=place)]


def _volume(folder: Path, name: str) -> Volume:
    try:
        notebook = json.loads((folder / f"{name}.ipynb").read_text(encoding="utf-8"))
        found = json.loads((folder / "findings.json").read_text(encoding="utf-8"))
        pages = {
            language: (folder / f"{name}.{language}.html").read_text(encoding="utf-8")
            for language in LANGUAGES
        }
    except OSError as error:
        missing = Path(str(error.filename)).name
        raise PublishError(
            f"the site wants {missing} of case {name}, which is not there: run o2o run {name}"
        ) from error
    except ValueError as error:
        raise PublishError(f"{name}: its run cannot be read: run o2o run {name} --fresh") from error
    return Volume(name, folder, notebook, narrative.recorded(found), pages)


class _Reader(HTMLParser):
    """The sections of a page and their words."""

    def __init__(self) -> None:
        super().__init__()
        self._open: list[dict[str, Any]] = []
        self._found: list[dict[str, Any]] = []
        self._heading = False
        self._unread: list[str] = []

    def parts(self) -> list[tuple[str, str, str]]:
        return [
            (
                part["key"],
                " ".join("".join(part["title"]).split()),
                " ".join("".join(part["text"]).split()),
            )
            for part in self._found
        ]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _UNREAD:
            self._unread.append(tag)
        elif tag == "section":
            part = {"key": dict(attrs).get("id") or "", "title": [], "text": []}
            self._open.append(part)
            self._found.append(part)
        elif tag in ("h2", "h3", "h4"):
            self._heading = True
        elif self._open and tag in ("p", "td", "th", "li", "tr", "div"):
            self._open[-1]["text"].append(" ")

    def handle_endtag(self, tag: str) -> None:
        if self._unread and self._unread[-1] == tag:
            self._unread.pop()
        elif tag == "section" and self._open:
            self._open.pop()
        elif tag in ("h2", "h3", "h4"):
            self._heading = False

    def handle_data(self, data: str) -> None:
        if self._open and not self._unread:
            self._open[-1]["title" if self._heading else "text"].append(data)

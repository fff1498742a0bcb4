"""The report as a document: what the reader meets, in the reader's order, checked.

The same tree is written as a page and as a PDF. What the two draw differently stands in it under
a class of its own: ``chart`` for a figure, ``contents`` for the table of contents.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from importlib.resources import files
from string import Template
from typing import Any

from o2o_research import __version__, cases, narrative
from o2o_research.errors import PublishError
from o2o_research.evidence import Evidence, Origin, bibliography, evidence
from o2o_research.narrative import VERDICT_NAMES, Finding, Record
from o2o_research.publishing import agreement, contents, figures, fonts, pandoc
from o2o_research.publishing.contents import PROSE, Item, moves
from o2o_research.publishing.pandoc import (
    LINE_BREAK,
    SPACE,
    Node,
    Nodes,
    code,
    div,
    heading,
    link,
    para,
    sentence,
    span,
    strong,
    table,
    text,
)
from o2o_research.publishing.spelling import spell
from o2o_research.publishing.words import MONTHS, word
from o2o_research.terms import Language, did_you_mean, term

SAFE = ("#", "https://", "http://", "mailto:")
# A result of a large model is moved by most parameters; the strongest are read.
MOST_MOVED = 12
_BOLD = {"badge", "numeral", "kind"}


@dataclass(frozen=True)
class Chart:
    """A numbered figure: its caption, what it shows in words, and as Vega and SVG."""

    name: str
    caption: Nodes
    alt: str
    vega: str
    svg: str


@dataclass(frozen=True)
class Section:
    """A heading of the contents."""

    key: str
    title: str


@dataclass(frozen=True)
class Document:
    """A report in one language, whole and checked."""

    case: str
    language: Language
    title: str
    date: date
    blocks: Nodes
    charts: dict[str, Chart]
    sections: list[Section]


def compose(notebook: Any, language: Language) -> Document:
    """The report that an executed notebook makes in a language.

    Raises
    ------
    PublishError
        The notebook is not whole, its languages disagree, a link leads nowhere, or a character
        cannot be drawn.
    """
    record = contents.record(notebook)
    lineage = notebook.metadata.get("o2o", {}).get("lineage", {})
    items = list(contents.items(notebook, language))
    document = _Composer(record, language, items, lineage).compose()
    agreement.check(notebook, record)
    return document


@dataclass
class _Composer:
    """Puts a document together: counts what is numbered, remembers what was mentioned and cited."""

    record: Record
    language: Language
    items: list[Item]
    lineage: Mapping[str, Any] = field(default_factory=dict)
    charts: dict[str, Chart] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    links: list[tuple[str, str]] = field(default_factory=list)
    cited: dict[str, int] = field(default_factory=dict)
    headings: int = 0
    appendices: int = 0

    @cached_property
    def about(self) -> Evidence:
        return evidence(self.record.case)

    def word(self, key: str, *values: object, **named: object) -> str:
        return word(key, self.language, *values, **named)

    # ── order ─────────────────────────────────────────────────────────────────────────────────

    def compose(self) -> Document:
        self._number()
        *prose, reading = self._parse()
        parsed = list(zip(self.items, prose, strict=True))
        title = self._title(parsed)
        summary = [
            block for item, part in parsed if item.summary for block in self._show(item, part)
        ]
        front = [
            div([para(self._article())], "article"),
            heading(2, [text(self.word("summary"))], "summary"),
            div([para([text(self.about.question[self.language])])], "question"),
            *[block for block in summary if not _is_heading(block, 2)],
            *self._verdicts(parsed),
        ]
        body = [
            block for item, part in parsed if not item.summary for block in self._show(item, part)
        ]
        appendices = [
            *self._findings(),
            *self._parameters(),
            *self._lineage(),
            *self._sources(),
        ]
        after = [*body, *appendices, self._appendix("reading"), *reading]
        front, after = self._keyed(front), self._keyed(after)
        sections = [
            Section(block["c"][1][0], pandoc.plain_text(block["c"][2]))
            for block in after
            if _is_heading(block, 2)
        ]
        blocks = self._back_links([div(front, "front"), div([], "contents"), *after])
        self._check_links(blocks)
        _check_glyphs([text(title), *blocks], "the report")
        return Document(
            self.record.case,
            self.language,
            title,
            self.about.article.date,
            blocks,
            self.charts,
            sections,
        )

    def _parse(self) -> list[Nodes]:
        """The prose of every item as blocks, none for a chart; the last appendix comes last."""
        pieces = []
        for item in self.items:
            if item.kind == PROSE:
                pieces.append((item.where, item.content))
            else:
                pieces.append((item.where, item.content.get(self.language, "")))
        closing = Template(template(f"reading.{self.language}.md"))
        words = closing.substitute(case=self.record.case, version=__version__)
        pieces.append(("the last appendix", words))
        read = pandoc.read(pieces)
        return [self._prose(blocks, where) for (where, _), blocks in zip(pieces, read, strict=True)]

    def _number(self) -> None:
        """Figures and tables are numbered in the order in which the reader meets them."""
        counts: Counter[str] = Counter()
        for item in sorted(self.items, key=lambda item: not item.summary):
            prefix = {narrative.CHART: "fig", narrative.TABLE: "tbl"}.get(item.kind)
            if prefix:
                counts[prefix] += 1
                self.labels[f"{prefix}-{item.content['name']}"] = self.word(prefix, counts[prefix])

    def _title(self, parsed: list[tuple[Item, Nodes]]) -> str:
        """The report's title; what else its cell says stays."""
        found = [(item, block) for item, part in parsed for block in part if _is_heading(block, 1)]
        if len(found) != 1:
            places = ", ".join(item.where for item, _ in found) or "none"
            raise PublishError(f"one title, '# …', is wanted in each language; found: {places}")
        for _, part in parsed:
            part[:] = [block for block in part if not _is_heading(block, 1)]
        return pandoc.plain_text(found[0][1])

    def _keyed(self, blocks: Nodes) -> Nodes:
        """Every heading under an anchor that does not depend on its words."""
        for block in blocks:
            if block["t"] == "Header" and not block["c"][1][0]:
                self.headings += 1
                block["c"][1][0] = f"section-{self.headings}"
        return blocks

    def _back_links(self, blocks: Nodes) -> Nodes:
        """The first mention of a row gets an anchor, and the row a way back to it."""
        seen: set[str] = set()

        def change(node: Node) -> Node | Nodes | None:
            if node["t"] == "Link" and "number" in node["c"][0][1]:
                key = node["c"][2][0][1:]
                if key not in seen:
                    seen.add(key)
                    return span([node], key=f"m-{key}")
            if node["t"] == "Span" and "anchor" in node["c"][0][1] and node["c"][0][0] in seen:
                back = link([text("↑")], f"#m-{node['c'][0][0]}", "back", title=self.word("back"))
                return [node, SPACE, back]
            return None

        found: Nodes = pandoc.walk(blocks, change)
        return found

    def _check_links(self, blocks: Nodes) -> None:
        anchors: set[str] = set()

        def collect(node: Node) -> None:
            if node["t"] in ("Span", "Div", "Table") and node["c"][0][0]:
                anchors.add(node["c"][0][0])
            elif node["t"] == "Header":
                anchors.add(node["c"][1][0])

        pandoc.walk(blocks, collect)
        for target, where in self.links:
            if target not in anchors:
                raise PublishError(
                    f"{where}: a link to a missing anchor #{target}{did_you_mean(target, anchors)}"
                )

    # ── front ─────────────────────────────────────────────────────────────────────────────────

    def _article(self) -> Nodes:
        article = self.about.article
        day = self.word("date", article.date, month=MONTHS[article.date.month - 1])
        about = self.word(
            "about these" if self.about.reads else "about",
            title=article[self.language],
            author=article.author[self.language],
            outlet=article.outlet[self.language],
            date=day,
        )
        return [text(about)]

    def _verdicts(self, parsed: list[tuple[Item, Nodes]]) -> Nodes:
        rows = []
        for item, part in parsed:
            if item.kind != narrative.VERDICT:
                continue
            claim = self.about.claims[item.content["claim"]]
            decides = item.content["finding"]
            rows.append(
                [
                    [
                        link([strong([text(claim.key)])], f"#c-{claim.key}"),
                        SPACE,
                        text(claim.text[self.language]),
                    ],
                    [self._badge(item.content["verdict"])],
                    [self._mention(self.record.findings[decides])] if decides else [text("—")],
                    _inlines(part),
                ]
            )
        if not rows:
            return []
        claim_of = "claim here" if self.about.reads else "claim"
        head = [[text(self.word(key))] for key in (claim_of, "verdict", "decides", "why")]
        return [
            heading(3, [text(self.word("verdicts"))], "verdicts"),
            table(head, rows, "lcrl", [0.25, 0.18, 0.14, 0.43], classes=["verdicts"]),
        ]

    # ── sections ──────────────────────────────────────────────────────────────────────────────

    def _show(self, item: Item, part: Nodes) -> Nodes:
        if item.kind == narrative.CHART:
            return [self._chart(item)]
        if item.kind == narrative.TABLE:
            return [self._table(item, part)]
        if item.kind == narrative.VERDICT:
            return [self._verdict(item, part)]
        return part

    def _chart(self, item: Item) -> Node:
        bundle = item.content
        name = bundle["name"]
        caption, alt = self._caption(f"fig-{name}", bundle), bundle["alt"][self.language]
        self.charts[name] = Chart(name, caption, alt, *figures.draw(bundle, self.language))
        return div([], "chart", key=f"fig-{name}", name=name)

    def _table(self, item: Item, part: Nodes) -> Node:
        if len(part) != 1 or part[0]["t"] != "Table":
            raise PublishError(f"{item.where}: table {item.content['name']} is not one table")
        key = f"tbl-{item.content['name']}"
        _, _, columns, head, bodies, foot = part[0]["c"]
        caption = [None, [pandoc.plain(self._caption(key, item.content))]]
        widths: list[Node] = [{"t": "ColWidthDefault"} for _ in columns]
        if "widths" in item.content:
            widths = [{"t": "ColWidth", "c": share} for share in item.content["widths"]]
        columns = [[side, width] for (side, _), width in zip(columns, widths, strict=True)]
        bodies = [[body[0], 1, *body[2:]] for body in bodies]
        return {
            "t": "Table",
            "c": [pandoc.attributes(key, "data"), caption, columns, head, bodies, foot],
        }

    def _caption(self, key: str, bundle: dict[str, Any]) -> Nodes:
        title = bundle["title"][self.language]
        kind = "figure" if key.startswith("fig-") else "table"
        fonts.check(title, f"{kind} {bundle['name']}", bold=True)
        return [span([text(self.labels[key])], "numeral"), SPACE, text(title)]

    def _verdict(self, item: Item, part: Nodes) -> Node:
        bundle = item.content
        claim = self.about.claims[bundle["claim"]]
        head = [
            strong([text(claim.key)]),
            SPACE,
            text(claim.text[self.language]),
            SPACE,
            self._badge(bundle["verdict"]),
        ]
        blocks = [para(head), *part]
        if bundle["finding"]:
            blocks.append(div([para(self._rule(bundle))], "rule"))
        return div(blocks, "verdict", key=f"c-{claim.key}")

    def _rule(self, bundle: dict[str, Any]) -> Nodes:
        """The test that gave the verdict, with both its numbers linked."""
        finding = self.record.findings[bundle["finding"]]
        named = bundle["threshold_finding"]
        at = float(bundle["threshold"])
        parts = {
            "name": text(finding.term.name(self.language)),
            "value": self._mention(finding),
            "at": self._mention(self.record.findings[named])
            if named
            else text(finding.term.format(at, self.language)),
        }
        pattern = self.word("rule " + bundle["rule"])
        return [
            parts[piece] if piece in parts else text(piece) for piece in pattern.split("|") if piece
        ]

    def _badge(self, verdict: narrative.Verdict) -> Node:
        name = VERDICT_NAMES[verdict][0 if self.language == "zh" else 1]
        return span([text(name)], "badge", verdict)

    # ── appendices ────────────────────────────────────────────────────────────────────────────

    def _appendix(self, key: str) -> Node:
        """The heading of the next appendix."""
        self.appendices += 1
        letter = chr(ord("A") + self.appendices - 1)
        return heading(2, [text(self.word("appendix", letter, self.word(key)))], key)

    def _findings(self) -> Nodes:
        rows = []
        for name, finding in self.record.findings.items():
            origin = link([text("→")], f"#l-{name}", "back", title=self.word("lineage"))
            rows.append(
                [
                    [*self._row_name(f"f-{name}"), *([SPACE, origin] if self._traced else [])],
                    [text(finding.term.format(finding.value, self.language))],
                    [text(self._interval(finding) or "—")],
                    self._basis(finding),
                ]
            )
        head = [[text(self.word(key))] for key in ("name", "value", "interval", "basis")]
        return [
            self._appendix("findings"),
            para([text(self.word("findings intro"))]),
            table(head, rows, "lrrl", [0.42, 0.17, 0.26, 0.15], classes=["rows"]),
        ]

    def _basis(self, finding: Finding) -> Nodes:
        """What the interval speaks of; and the case that a number was taken from."""
        basis = text(self.word(f"basis {finding.basis}"))
        if finding.source is None:
            return [basis]
        taken = text(self.word("taken from", term(finding.source).name(self.language)))
        return [basis, LINE_BREAK, span([taken], "note")]

    def _parameters(self) -> Nodes:
        defaults = cases.case(self.record.case).defaults
        given = self.record.parameters
        rows = []
        # In the order of the params file: a stored notebook sorts its keys.
        for name in [*defaults, *sorted(set(given) - set(defaults))]:
            if name not in given:
                continue
            value = given[name]
            about = term(name)
            origin = self.about.origins.get(name)
            if origin is None:
                raise PublishError(
                    f"parameter {name}: its origin is not in evidence/{self.record.case}.yaml"
                )
            changed = name in defaults and value != defaults[name]
            ends = (
                "—"
                if origin.low is None or origin.high is None or changed
                else about.interval(origin.low, origin.high, self.language)
            )
            words = self._origin(origin)
            kind = "set" if changed else origin.kind
            if changed:
                shown = about.format(defaults[name], self.language)
                words = [text(self.word("default", shown)), SPACE, *words]
            rows.append(
                [
                    self._row_name(f"p-{name}"),
                    [text(about.format(value, self.language))],
                    [text(ends)],
                    [span([text(self.word(f"kind {kind}"))], "kind"), SPACE, *words],
                ]
            )
        head = [[text(self.word(key))] for key in ("name", "value", "range", "origin")]
        return [
            self._appendix("parameters"),
            para([text(self.word("parameters intro"))]),
            table(head, rows, "lrrl", [0.28, 0.15, 0.18, 0.39], classes=["rows"]),
        ]

    @property
    def _traced(self) -> bool:
        """Whether it is known where every finding comes from."""
        return set(self.record.findings) <= set(self.lineage.get("findings", ()))

    def _lineage(self) -> Nodes:
        """Where each finding comes from: its cell, its methods, the parameters that move it."""
        if not self._traced:
            return []
        rows = []
        for name, finding in self.record.findings.items():
            made = self.lineage["findings"][name]
            moved = [key for key, _ in moves(made) if key in self.record.parameters]
            rows.append(
                [
                    [
                        span(
                            [link([text(finding.term.name(self.language))], f"#f-{name}")],
                            "made",
                            key=f"l-{name}",
                        ),
                        LINE_BREAK,
                        span([code(made["cell"])], "key"),
                    ],
                    self._made_by(finding, made["methods"]),
                    self._moved_by(finding, moved, made.get("cases", ())),
                ]
            )
        head = [[text(self.word(key))] for key in ("made in", "made by", "moved by")]
        return [
            self._appendix("lineage"),
            para([text(self.word("lineage intro"))]),
            table(head, rows, "lll", [0.24, 0.34, 0.42], classes=["rows"]),
        ]

    def _moved_by(self, finding: Finding, moved: Sequence[str], read: Sequence[str]) -> Nodes:
        """The parameters that move a finding, and the cases whose findings do."""
        if finding.source is not None:
            return [text(self.word("moved there"))]
        shown = moved[:MOST_MOVED]
        parts = [[link([text(term(key).name(self.language))], f"#p-{key}")] for key in shown]
        if left := len(moved) - len(shown):
            parts.append([text(self.word("more moved", left))])
        parts += [[text(self.word("findings of", term(c).name(self.language)))] for c in read]
        return sentence(parts, self.word("comma")) or [text(self.word("no parameter"))]

    def _made_by(self, finding: Finding, methods: Sequence[str]) -> Nodes:
        if finding.source is None or finding.formula is None:
            return self._methods(methods) or [text(self.word("own cell"))]
        taken = text(self.word("taken from", term(finding.source).name(self.language)))
        return [taken, LINE_BREAK, span([code(finding.formula)], "key")]

    def _methods(self, methods: Sequence[str]) -> Nodes:
        """Each method with the published work that it names, a line each."""
        lines: list[Nodes] = []
        for method in methods:
            shown = method.removeprefix("studies.")
            # A long name is broken before its last part: a column is narrow.
            head, dot, last = shown.rpartition(".")
            parts = [head + dot, last] if len(shown) > 28 and head else [shown]
            line: Nodes = []
            for part in parts:
                line += [LINE_BREAK] * bool(line) + [span([code(part)], "key")]
            for cited in self.lineage["methods"][method]["references"]:
                line += [SPACE, span([text(f"({cited})")], "reference", lang="en")]
            lines.append(line)
        found: Nodes = []
        for line in lines:
            found += [LINE_BREAK] * bool(found) + line
        return found

    def _row_name(self, key: str) -> Nodes:
        """A row's name under its anchor, with its key and its note."""
        about = term(key[2:])
        name: Nodes = [
            span([text(about.name(self.language))], "anchor", key=key),
            SPACE,
            span([code(about.key)], "key"),
        ]
        if note := about.note.get(self.language):
            name += [LINE_BREAK, span([text(note)], "note")]
        return name

    def _origin(self, origin: Origin) -> Nodes:
        parts: list[Nodes] = []
        if origin.kind == "reported" and origin.source is not None:
            fact = self.about.facts.get(origin.source)
            if fact is None:
                raise PublishError(
                    f"evidence/{self.record.case}.yaml: no fact {origin.source!r}{did_you_mean(origin.source, self.about.facts)}"
                )
            parts.append([text(fact.text[self.language])])
        elif origin.kind == "published" and origin.source is not None:
            parts.append([self._cite(origin.source, "evidence")])
        if origin.why is not None:
            parts.append([text(origin.why[self.language])])
        return sentence(parts, "；" if self.language == "zh" else "; ")

    def _cite(self, key: str, where: str, suffix: Nodes | None = None) -> Node:
        known = bibliography()
        if key not in known:
            raise PublishError(
                f"{where}: no source {key!r} in evidence/sources.yaml{did_you_mean(key, known)}"
            )
        number = self.cited.setdefault(key, len(self.cited) + 1)
        return link([text(f"[{number}"), *(suffix or []), text("]")], f"#s-{key}", "cite")

    def _sources(self) -> Nodes:
        if not self.cited:
            return []
        entries = [
            [
                pandoc.plain(
                    [
                        span(
                            [text(bibliography()[key])],
                            "source",
                            key=f"s-{key}",
                            lang=_script(bibliography()[key]),
                        )
                    ]
                )
            ]
            for key in self.cited
        ]
        style = [1, {"t": "Decimal"}, {"t": "Period"}]
        return [
            self._appendix("sources"),
            div([{"t": "OrderedList", "c": [style, entries]}], "sources"),
        ]

    # ── inside prose ──────────────────────────────────────────────────────────────────────────

    def _prose(self, blocks: Nodes, where: str) -> Nodes:
        """Prose with its links, citations and formulas made ready; only harmless links pass."""

        def change(node: Node) -> Node | Nodes | None:
            kind = node["t"]
            if kind == "Link":
                _, content, (target, _title) = node["c"]
                return self._linked(content, target, where)
            if kind == "Cite":
                return self._cited(node["c"], where)
            if kind == "Math":
                return span([node], "math", alt=spell(node["c"][1], self.language))
            if kind == "Image":
                raise PublishError(
                    f"{where}: a picture in Markdown has no place in a report: draw it"
                )
            if kind == "Header" and node["c"][0] > 1:
                return heading(node["c"][0], node["c"][2])
            if kind in ("RawBlock", "RawInline"):
                raise PublishError(f"{where}: raw markup is not text")
            return None

        _check_glyphs(blocks, where)
        found: Nodes = pandoc.walk(blocks, change)
        return found

    def _linked(self, content: Nodes, target: str, where: str) -> Node:
        if not target.startswith(SAFE):
            raise PublishError(
                f"{where}: a link leads to {target!r}; only web addresses and #anchors do"
            )
        if not target.startswith("#"):
            return link(content, target)
        key = target[1:]
        self.links.append((key, where))
        if not content:
            content = [text(self.labels.get(key, key))]
        if finding := self.record.findings.get(key.removeprefix("f-")):
            return link(content, target, "number", title=self._hint(finding))
        if key.removeprefix("p-") in self.record.parameters:
            return link(content, target, "number", title=term(key[2:]).name(self.language))
        return link(content, target)

    def _mention(self, finding: Finding) -> Node:
        words = text(finding.term.format(finding.value, self.language))
        return link([words], f"#{finding.anchor}", "number", title=self._hint(finding))

    def _hint(self, finding: Finding) -> str:
        about = finding.term
        hint = self.word(
            "number title",
            name=about.name(self.language),
            value=about.format(finding.value, self.language),
        )
        if ends := self._interval(finding):
            hint += self.word("number interval", ends)
        return hint

    def _interval(self, finding: Finding) -> str:
        if finding.low is None or finding.high is None or finding.low == finding.high:
            return ""
        return finding.term.interval(finding.low, finding.high, self.language)

    def _cited(self, content: list[Any], where: str) -> Nodes:
        found: Nodes = []
        for citation in content[0]:
            found.append(self._cite(citation["citationId"], where, citation["citationSuffix"]))
        return found


def template(name: str) -> str:
    """A file of ``templates/``."""
    return (files("o2o_research.publishing") / "templates" / name).read_text(encoding="utf-8")


def _is_heading(block: Node, level: int) -> bool:
    return bool(block["t"] == "Header" and block["c"][0] == level)


def _inlines(blocks: Nodes) -> Nodes:
    """What paragraphs say, as one."""
    return sentence([block["c"] for block in blocks if block["t"] in ("Para", "Plain")])


def _script(words: str) -> Language:
    """The language of a line of the bibliography, for those who hear it read."""
    return "zh" if any("\u4e00" <= character <= "\u9fff" for character in words) else "en"


def _check_glyphs(node: Any, where: str, *, bold: bool = False) -> None:
    """Every character of a tree can be drawn, in the weight in which it will be."""
    if isinstance(node, list):
        for entry in node:
            _check_glyphs(entry, where, bold=bold)
    if not isinstance(node, dict) or "c" not in node:
        return
    kind, content = node["t"], node["c"]
    if kind == "Str":
        fonts.check(content, where, bold=bold)
    elif kind == "Code":
        fonts.check(content[1], where)
    elif kind == "Table":
        _check_glyphs(content[3], where, bold=True)
        _check_glyphs([content[1], content[4]], where, bold=bold)
    elif kind in ("Span", "Div"):
        _check_glyphs(content[1], where, bold=bold or bool(_BOLD & set(content[0][1])))
    elif kind not in ("Math", "CodeBlock", "RawBlock", "RawInline"):
        _check_glyphs(content, where, bold=bold or kind in ("Strong", "Emph", "Header"))

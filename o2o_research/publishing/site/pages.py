"""The site's own pages: index, claims, parameters, evidence, numbers, downloads, search."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from o2o_research.evidence import Origin, bibliography
from o2o_research.evidence import evidence as known_of
from o2o_research.narrative import VERDICT_NAMES, Finding, Verdict
from o2o_research.publishing.contents import moves
from o2o_research.publishing.site.markup import (
    Markup,
    badge,
    ends,
    filters,
    html,
    joined,
    link,
    number,
    page,
    table,
    tag,
)
from o2o_research.publishing.site.strips import strip
from o2o_research.publishing.site.volumes import Volume
from o2o_research.publishing.words import word
from o2o_research.quotes import operands
from o2o_research.terms import LANGUAGES, Language, term

Page = tuple[str, str]


def every(volumes: Sequence[Volume], language: Language) -> Iterator[Page]:
    """(file name, content) of every page of a language."""
    yield f"index.{language}.html", index(volumes, language)
    yield f"claims.{language}.html", claims(volumes, language)
    yield f"parameters.{language}.html", parameters(volumes, language)
    yield f"evidence.{language}.html", evidence(volumes, language)
    yield f"downloads.{language}.html", downloads(volumes, language)
    yield f"search.{language}.html", search(volumes, language)
    for volume in volumes:
        yield f"{numbers_of(volume)}.{language}.html", numbers(volume, language)


def numbers_of(volume: Volume) -> str:
    """The stem of the page that says where a case's numbers come from."""
    return f"numbers-{volume.case}"


def traced(volume: Volume, name: str, language: Language) -> str:
    """The address of the row of a finding."""
    return f"{numbers_of(volume)}.{language}.html#f-{name}"


def _taken(finding: Finding, language: Language) -> Markup | None:
    """For a number taken from another case: that case, and its rows that the formula speaks of."""
    if finding.source is None or finding.formula is None:
        return None
    case = finding.source
    rows = [
        link(
            term(name).name(language),
            f"parameters.{language}.html#p-{case}-{name}"
            if name in known_of(case).origins
            else f"numbers-{case}.{language}.html#f-{name}",
        )
        for name in operands(finding.formula)
    ]
    whose = html(word("taken from", language, term(case).name(language)))
    return joined(
        [whose, " ", joined(rows, word("comma", language)), " ", tag("code", finding.formula)]
    )


def reported(volume: Volume, anchor: str, language: Language) -> str:
    return f"{volume.case}.{language}.html#{anchor}"


# ── pages ─────────────────────────────────────────────────────────────────────────────────────


def index(volumes: Sequence[Volume], language: Language) -> str:
    cards = tag(
        "ul", *(tag("li", _card(v, language), class_="card") for v in volumes), class_="cards"
    )
    lead = tag("p", word("site lead", language), class_="lead")
    return page("index", language, word("site title", language), lead, cards)


def _card(volume: Volume, language: Language) -> Markup:
    report = f"{volume.case}.{language}.html"
    parts: list[object] = [
        tag("h2", link(volume.title(language), report)),
        tag("p", volume.about.question[language], class_="about"),
    ]
    if verdict := volume.headline:
        finding = volume.record.findings[verdict["finding"]]
        at = volume.threshold(verdict)
        claim = volume.about.claims[verdict["claim"]]
        shown = number(finding, language, traced(volume, finding.term.key, language))
        parts += [
            tag("p", shown, class_="headline"),
            tag("p", finding.term.name(language), class_="about"),
            Markup(strip(finding, verdict["rule"], at, language)),
            tag(
                "p",
                link(claim.key, f"claims.{language}.html#c-{claim.key}"),
                " ",
                claim.text[language],
                " ",
                badge(verdict["verdict"], language),
            ),
        ]
    parts.append(
        tag(
            "p",
            link(word("read report", language), report),
            link("PDF", f"{volume.case}.{language}.pdf", type="application/pdf"),
            link(word("numbers", language), f"{numbers_of(volume)}.{language}.html"),
            class_="formats",
        )
    )
    return joined(parts)


def claims(volumes: Sequence[Volume], language: Language) -> str:
    rows = []
    for volume in volumes:
        for key, verdict in volume.verdicts.items():
            claim = volume.about.claims[key]
            finding = volume.record.findings.get(verdict["finding"])
            cells = [
                joined(
                    [
                        link(key, reported(volume, f"c-{key}", language)),
                        " ",
                        html(claim.text[language]),
                    ]
                ),
                link(_short(volume, language), f"{volume.case}.{language}.html"),
                badge(verdict["verdict"], language),
                _decides(volume, finding, language),
                _test(finding, verdict, language),
                _words(volume, verdict[language], language),
            ]
            given = {"id": f"c-{key}", "data_case": volume.case, "data_verdict": verdict["verdict"]}
            rows.append((given, cells))
    head = [word(key, language) for key in ("claim", "case", "verdict", "decides", "test", "why")]
    known: Sequence[Verdict] = tuple(VERDICT_NAMES)
    choices: dict[str, tuple[str, Mapping[str, str]]] = {
        "case": (word("case", language), _cases(volumes, language)),
        "verdict": (
            word("verdict", language),
            {verdict: VERDICT_NAMES[verdict][language == "en"] for verdict in known},
        ),
    }
    title = word("page claims", language)
    return page(
        "claims",
        language,
        title,
        tag("p", word("claims lead", language), class_="lead"),
        filters(choices, language),
        table(head, rows, title),
    )


def parameters(volumes: Sequence[Volume], language: Language) -> str:
    rows = []
    for volume in volumes:
        for name, value in volume.record.parameters.items():
            about, origin = term(name), volume.about.origins[name]
            made = volume.lineage.get("findings", {})
            moved = [f for f in volume.record.findings if f in made and name in made[f]["moves"]]
            cells = [
                _named(name, language),
                link(_short(volume, language), reported(volume, f"p-{name}", language)),
                about.format(value, language),
                _range(origin, name, language),
                _origin(volume, origin, language),
                _moved(volume, moved, language),
            ]
            given = {
                "id": f"p-{volume.case}-{name}",
                "data_case": volume.case,
                "data_kind": origin.kind,
            }
            rows.append((given, cells))
    head = [word(key, language) for key in ("name", "case", "value", "range", "origin", "moves")]
    choices: dict[str, tuple[str, Mapping[str, str]]] = {
        "case": (word("case", language), _cases(volumes, language)),
        "kind": (
            word("origin", language),
            {kind: word(f"kind {kind}", language) for kind in ("reported", "published", "assumed")},
        ),
    }
    title = word("page parameters", language)
    return page(
        "parameters",
        language,
        title,
        tag("p", word("parameters lead", language), class_="lead"),
        filters(choices, language),
        table(head, rows, title),
    )


def evidence(volumes: Sequence[Volume], language: Language) -> str:
    body: list[object] = [tag("p", word("evidence lead", language), class_="lead")]
    for volume in volumes:
        about = volume.about
        day = about.article.date.isoformat()
        body += [
            tag("h2", about.article[language], id=f"a-{volume.case}"),
            tag(
                "p",
                f"{about.article.author[language]} · {about.article.outlet[language]} · ",
                tag("time", day),
            ),
        ]
        if about.facts:
            rows = [
                (
                    {"id": f"e-{volume.case}-{key}"},
                    [fact.text[language], _uses(volume, key, language)],
                )
                for key, fact in about.facts.items()
            ]
            head = [word("fact", language), word("used as", language)]
            body.append(table(head, rows, f"{about.article[language]}: {word('facts', language)}"))
    body.append(tag("h2", word("sources", language), id="sources"))
    entries = []
    for key, line in bibliography().items():
        users = [volume for volume in volumes if key in volume.cited]
        if not users:
            continue
        where = joined(
            (link(_short(v, language), reported(v, f"s-{key}", language)) for v in users),
            word("comma", language),
        )
        entries.append(
            tag(
                "li",
                _foreign(line, language),
                tag("span", f"{word('cited in', language)} ", where, class_="note"),
                id=f"s-{key}",
            )
        )
    body.append(tag("ul", *entries, class_="sources"))
    return page("evidence", language, word("page evidence", language), *body)


def _uses(volume: Volume, fact: str, language: Language) -> Markup:
    """The parameters that take a fact for their value, each with the value as it is used."""
    uses = [
        joined(
            [
                link(
                    term(name).name(language), f"parameters.{language}.html#p-{volume.case}-{name}"
                ),
                " ",
                html(term(name).format(volume.record.parameters[name], language)),
            ]
        )
        for name, origin in volume.about.origins.items()
        if origin.kind == "reported" and origin.source == fact
    ]
    return joined(uses, word("comma", language)) if uses else html("—")


def downloads(volumes: Sequence[Volume], language: Language) -> str:
    body: list[object] = [tag("p", word("downloads lead", language), class_="lead")]
    for volume in volumes:
        files = [
            link(
                word(f"report pdf {one}", language),
                f"{volume.case}.{one}.pdf",
                type="application/pdf",
            )
            for one in LANGUAGES
        ]
        files.append(link(word("findings json", language), f"data/{volume.case}/findings.json"))
        if volume.lineage:
            files.append(link(word("lineage json", language), f"data/{volume.case}/lineage.json"))
        charts = [
            tag(
                "li",
                link(f"{chart['name']}.csv", f"data/{volume.case}/{chart['name']}.csv"),
                " ",
                link(chart["title"][language], reported(volume, f"fig-{chart['name']}", language)),
            )
            for chart in volume.charts
        ]
        body += [
            tag("h2", volume.title(language), id=f"d-{volume.case}"),
            tag("ul", *(tag("li", file) for file in files)),
            tag("h3", word("chart csv", language)),
            tag("ul", *charts),
        ]
    return page("downloads", language, word("page downloads", language), *body)


def numbers(volume: Volume, language: Language) -> str:
    title = word("numbers title", language, volume.title(language))
    body: list[object] = [tag("p", word("numbers lead", language), class_="lead")]
    if not volume.lineage:
        body.append(tag("p", word("untraced", language, volume.case)))
    for name, finding in volume.record.findings.items():
        body.append(_number(volume, name, finding, language))
    return page(numbers_of(volume), language, title, *body, here="index")


def _number(volume: Volume, name: str, finding: Finding, language: Language) -> Markup:
    """Everything that is known of one number."""
    about = finding.term
    made = volume.lineage.get("findings", {}).get(name)
    judged = [claim for claim, v in volume.verdicts.items() if v["finding"] == name]
    anchor = volume.mention(finding, language)
    facts: list[tuple[str, object]] = []
    if note := about.note.get(language):
        facts.append((word("meaning", language), note))
    facts += [
        (
            word("value", language),
            tag("span", about.format(finding.value, language), class_="value"),
        ),
        (
            word("interval", language),
            f"{ends(finding, language) or '—'}（{word(f'basis {finding.basis}', language)}）"
            if language == "zh"
            else f"{ends(finding, language) or '—'} ({word(f'basis {finding.basis}', language)})",
        ),
        (word("unit", language), about.unit.name(language) or "—"),
        (
            word("used", language),
            link(word("to report", language), reported(volume, anchor, language)),
        ),
    ]
    if taken := _taken(finding, language):
        facts.append((word("origin", language), taken))
    if judged:
        facts.append(
            (
                word("decides claim", language),
                joined(
                    (link(key, f"claims.{language}.html#c-{key}") for key in judged),
                    word("comma", language),
                ),
            )
        )
    if made:
        facts += [
            (word("cell", language), tag("code", made["cell"])),
            (word("statement", language), tag("pre", tag("code", made["statement"]), tabindex="0")),
        ]
        if not finding.source:
            facts.append((word("method", language), _methods(volume, made["methods"], language)))
    grid = tag("dl", *(joined([tag("dt", label), tag("dd", content)]) for label, content in facts))
    heading = tag("h2", about.name(language), " ", tag("code", name))
    return tag(
        "section",
        heading,
        grid,
        _moves(volume, name, finding, made, language) if made and not finding.source else "",
        _read(made, language) if made and not finding.source else "",
        class_="traced",
        id=f"f-{name}",
    )


def _read(made: Mapping[str, Any], language: Language) -> Markup | str:
    """The cases whose findings move this one: their pages of numbers."""
    links = [
        link(
            word("findings of", language, term(case).name(language)),
            f"numbers-{case}.{language}.html",
        )
        for case in made.get("cases", ())
    ]
    return (
        tag("p", word("moved by", language), " ", joined(links, word("comma", language)))
        if links
        else ""
    )


def _methods(volume: Volume, methods: Sequence[str], language: Language) -> object:
    if not methods:
        return word("own cell", language)
    lines = []
    for method in methods:
        about = volume.lineage["methods"][method]
        line: list[object] = [tag("code", method)]
        if language == "en" and about["says"]:
            line += [" ", about["says"]]
        if about["references"]:
            line += [" ", tag("span", "; ".join(about["references"]), lang="en")]
        elif not method.startswith("studies."):
            model = method.split(".")[0]
            line += [
                " ",
                tag("span", word("derivation", language, f"docs/models/{model}.md"), class_="note"),
            ]
        lines.append(tag("li", *line))
    return tag("ul", *lines)


def _moves(
    volume: Volume, name: str, finding: Finding, made: Mapping[str, Any], language: Language
) -> Markup:
    """The parameters that move a finding, by how much, and where each comes from."""
    rows: list[tuple[Mapping[str, str], Sequence[object]]] = []
    for key, results in moves(made):
        if key not in volume.record.parameters:
            continue
        about = term(key)
        tried = volume.lineage["tried"][key]
        steps = [
            f"{about.format(at, language)} → {finding.term.format(float(result), language)}"
            for at, result in zip(tried, results, strict=True)
            if result is not None
        ]
        rows.append(
            (
                {},
                [
                    link(about.name(language), f"parameters.{language}.html#p-{volume.case}-{key}"),
                    about.format(volume.record.parameters[key], language),
                    joined((html(step) for step in steps), "<br>") if volume.defaults else "—",
                    _origin(volume, volume.about.origins[key], language),
                ],
            )
        )
    if not rows:
        return Markup("") if made.get("cases") else tag("p", word("no parameter", language))
    head = [word(key, language) for key in ("moved by", "value", "moved to", "origin")]
    label = f"{finding.term.name(language)}: {word('moved by', language)}"
    return table(head, rows, label)


def search(volumes: Sequence[Volume], language: Language) -> str:
    entries = list(_entries(volumes, language))
    data = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    kinds = ("section", "result", "parameter", "claim", "one source")
    box = tag(
        "div",
        tag("label", word("words", language), Markup('<input type="search" data-filter="q">')),
        tag(
            "label",
            word("sort", language),
            tag(
                "select",
                tag("option", word("all", language), value=""),
                *(tag("option", word(kind, language), value=kind) for kind in kinds),
                data_filter="kind",
            ),
        ),
        class_="filters",
    )
    return page(
        "search",
        language,
        word("page search", language),
        tag("p", word("search lead", language), class_="lead"),
        box,
        tag("p", class_="count", role="status", data_words=word("shown", language)),
        Markup('<ol class="results"></ol>'),
        data=Markup(f'<script type="application/json" id="index">{data}</script>'),
    )


def _entries(volumes: Sequence[Volume], language: Language) -> Iterator[list[str]]:
    """[kind, where, title, text, address] of everything that can be found."""
    for volume in volumes:
        where = _short(volume, language)
        for part in volume.parts(language):
            if part.key in ("findings", "parameters", "lineage", "sources"):
                continue
            yield ["section", where, part.title, part.text, reported(volume, part.key, language)]
        for name, finding in volume.record.findings.items():
            said = " ".join(
                [finding.term.format(finding.value, language), ends(finding, language), name]
            )
            yield [
                "result",
                where,
                finding.term.name(language),
                said,
                traced(volume, name, language),
            ]
        for name, value in volume.record.parameters.items():
            origin = volume.about.origins[name]
            why = origin.why[language] if origin.why else ""
            said = " ".join([term(name).format(value, language), why, name])
            target = f"parameters.{language}.html#p-{volume.case}-{name}"
            yield ["parameter", where, term(name).name(language), said, target]
        for key, claim in volume.about.claims.items():
            if key in volume.verdicts:
                name = VERDICT_NAMES[volume.verdicts[key]["verdict"]][language == "en"]
                target = f"claims.{language}.html#c-{key}"
                yield ["claim", where, f"{key} {claim.text[language]}", name, target]
    for key, line in bibliography().items():
        if any(key in volume.cited for volume in volumes):
            yield [
                "one source",
                word("sources", language),
                line,
                key,
                f"evidence.{language}.html#s-{key}",
            ]


# ── cells ─────────────────────────────────────────────────────────────────────────────────────


def _short(volume: Volume, language: Language) -> str:
    """The report's title up to its colon."""
    return volume.title(language).split("：")[0].split(":")[0]


def _cases(volumes: Sequence[Volume], language: Language) -> dict[str, str]:
    return {volume.case: _short(volume, language) for volume in volumes}


def _decides(volume: Volume, finding: Finding | None, language: Language) -> object:
    if finding is None:
        return "—"
    shown = number(finding, language, traced(volume, finding.term.key, language))
    parts: list[object] = [shown]
    if within := ends(finding, language):
        parts.append(tag("span", within, class_="note"))
    parts.append(tag("span", finding.term.name(language), class_="note"))
    return joined(parts)


def _test(finding: Finding | None, verdict: Mapping[str, Any], language: Language) -> str:
    if finding is None:
        return "—"
    at = finding.term.format(float(verdict["threshold"]), language)
    return word("below" if verdict["rule"] == "<" else "above", language, at)


def _words(volume: Volume, markdown: str, language: Language) -> Markup:
    """A verdict's reasons: their links lead where they do in the report."""
    found: list[object] = []
    rest = markdown
    while True:
        before, opening, after = rest.partition("[")
        found.append(before.replace("**", ""))
        if not opening:
            break
        words, closing, target = after.partition("]")
        if words.startswith("@"):
            key = words[1:].split(",")[0]
            found.append(link(f"[{_year(key)}]", f"evidence.{language}.html#s-{key}"))
            rest = target
        elif closing and target.startswith("(#"):
            anchor, _, rest = target[2:].partition(")")
            if anchor.startswith("f-"):
                goal = traced(volume, anchor[2:], language)
            elif anchor.startswith("p-"):
                goal = f"parameters.{language}.html#p-{volume.case}-{anchor[2:]}"
            else:
                goal = reported(volume, anchor, language)
            numbered = anchor.startswith(("f-", "p-"))
            found.append(link(words or anchor, goal, class_="number" if numbered else None))
        else:
            found.append(opening)
            rest = after
    return joined(found)


def _year(key: str) -> str:
    """``Dholakia 2011`` for a key of the bibliography."""
    return f"{key[:-4].capitalize()} {key[-4:]}" if key[-4:].isdigit() else key


def _named(name: str, language: Language) -> Markup:
    about = term(name)
    parts: list[object] = [about.name(language), " ", tag("code", name)]
    if note := about.note.get(language):
        parts.append(tag("span", note, class_="note"))
    return joined(parts)


def _range(origin: Origin, name: str, language: Language) -> str:
    if origin.low is None or origin.high is None:
        return "—"
    return term(name).interval(origin.low, origin.high, language)


def _origin(volume: Volume, origin: Origin, language: Language) -> Markup:
    parts: list[object] = [tag("span", word(f"kind {origin.kind}", language), class_="kind"), " "]
    if origin.kind == "reported" and origin.source is not None:
        fact = volume.about.facts[origin.source]
        parts.append(
            link(fact.text[language], f"evidence.{language}.html#e-{volume.case}-{fact.key}")
        )
    elif origin.kind == "published" and origin.source is not None:
        target = f"evidence.{language}.html#s-{origin.source}"
        parts.append(
            link(_year(origin.source), target)
            if origin.source in volume.cited
            else _year(origin.source)
        )
    if origin.why is not None:
        parts += [" ", origin.why[language]]
    return joined(parts)


def _moved(volume: Volume, moved: Sequence[str], language: Language) -> object:
    if not volume.lineage:
        return "—"
    if not moved:
        return word("moves count", language, 0)
    names = joined(
        (link(term(name).name(language), traced(volume, name, language)) for name in moved[:3]),
        word("comma", language),
    )
    more = "…" if len(moved) > 3 else ""
    return joined(
        [word("moves count", language, len(moved)), tag("span", names, more, class_="note")]
    )


def _foreign(line: str, language: Language) -> Markup:
    """A line of the bibliography under its own language."""
    own = "zh-Hans" if any("\u4e00" <= letter <= "\u9fff" for letter in line) else "en"
    return tag("span", line, lang=own)

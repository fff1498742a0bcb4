"""pandoc, spoken to through its document tree: read once, build and check here, write twice.

Prose comes in as Markdown and is parsed by pandoc; everything this package adds (tables,
captions, appendices) is built as tree nodes, so no text of a user is ever pasted into markup.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any

import pypandoc

from o2o_research.errors import PublishError

Node = dict[str, Any]
Nodes = list[Node]

API = [1, 23, 1]
# Neither raw markup nor attributes come in from a notebook's Markdown.
READER = (
    "markdown-raw_html-raw_tex-raw_attribute-native_divs-native_spans-markdown_in_html_blocks"
    "-fenced_divs-bracketed_spans-header_attributes-link_attributes-inline_code_attributes"
    "-fenced_code_attributes-table_attributes-auto_identifiers-implicit_header_references"
    "-yaml_metadata_block-pandoc_title_block-latex_macros-example_lists-citations+citations"
    "+east_asian_line_breaks"
)
# Stands between the pieces of one document: a private character that no piece may hold.
BREAK = "\ue000"


# ── building ──────────────────────────────────────────────────────────────────────────────────


def text(words: str) -> Node:
    """Words as they are, whatever marks they hold."""
    return {"t": "Str", "c": re.sub(r"\s+", " ", words)}


def attributes(key: str = "", *classes: str, **more: str) -> list[Any]:
    return [key, list(classes), [[name, value] for name, value in more.items()]]


def span(content: Nodes, *classes: str, key: str = "", **more: str) -> Node:
    return {"t": "Span", "c": [attributes(key, *classes, **more), content]}


def div(content: Nodes, *classes: str, key: str = "", **more: str) -> Node:
    return {"t": "Div", "c": [attributes(key, *classes, **more), content]}


def strong(content: Nodes) -> Node:
    return {"t": "Strong", "c": content}


def code(words: str) -> Node:
    return {"t": "Code", "c": [attributes(), words]}


def link(content: Nodes, target: str, *classes: str, title: str = "") -> Node:
    return {"t": "Link", "c": [attributes("", *classes), content, [target, title]]}


def para(content: Nodes) -> Node:
    return {"t": "Para", "c": content}


def plain(content: Nodes) -> Node:
    return {"t": "Plain", "c": content}


def heading(level: int, content: Nodes, key: str = "", *classes: str) -> Node:
    return {"t": "Header", "c": [level, attributes(key, *classes), content]}


def raw(target: str, markup: str, *, inline: bool = False) -> Node:
    return {"t": "RawInline" if inline else "RawBlock", "c": [target, markup]}


LINE_BREAK: Node = {"t": "LineBreak"}
SPACE: Node = {"t": "Space"}


def table(
    head: Sequence[Nodes],
    rows: Sequence[Sequence[Nodes]],
    align: str,
    widths: Sequence[float] = (),
    *,
    key: str = "",
    caption: Nodes | None = None,
    classes: Sequence[str] = (),
) -> Node:
    """A table of inline cells; ``align`` has one of ``l c r`` a column; the first names its row."""
    sides = {"l": "AlignLeft", "c": "AlignCenter", "r": "AlignRight"}
    columns = [
        [
            {"t": sides[side]},
            {"t": "ColWidth", "c": widths[i]} if widths else {"t": "ColWidthDefault"},
        ]
        for i, side in enumerate(align)
    ]

    def row(cells: Sequence[Nodes]) -> list[Any]:
        content = [
            [attributes(), {"t": "AlignDefault"}, 1, 1, [plain(cell)] if cell else []]
            for cell in cells
        ]
        return [attributes(), content]

    return {
        "t": "Table",
        "c": [
            attributes(key, *classes),
            [None, [plain(caption)] if caption else []],
            columns,
            [attributes(), [row(head)]],
            [[attributes(), 1, [], [row(cells) for cells in rows]]],
            [attributes(), []],
        ],
    }


# ── walking ───────────────────────────────────────────────────────────────────────────────────


def walk(node: Any, change: Callable[[Node], Node | Nodes | None]) -> Any:
    """The same tree with every node replaced by what ``change`` makes of it; None keeps it.

    Children come before their parent, so texts, links and citations are met in reading order.
    """
    if isinstance(node, list):
        found: list[Any] = []
        for entry in node:
            if isinstance(entry, dict):
                new = walk(entry, change)
                if isinstance(new, list):
                    found.extend(new)
                else:
                    found.append(new)
            else:
                found.append(walk(entry, change) if isinstance(entry, list) else entry)
        return found
    if not isinstance(node, dict) or "t" not in node:
        return node
    if isinstance(node.get("c"), list):
        node = {"t": node["t"], "c": walk(node["c"], change)}
    new = change(node)
    return node if new is None else new


def plain_text(nodes: Any) -> str:
    """The words of a tree, without marks."""
    words: list[str] = []

    def collect(node: Node) -> None:
        kind = node["t"]
        if kind == "Str":
            words.append(node["c"])
        elif kind in ("Space", "SoftBreak", "LineBreak"):
            words.append(" ")
        elif kind in ("Code", "Math"):
            words.append(node["c"][1])

    walk(nodes, collect)
    return "".join(words)


# ── running ───────────────────────────────────────────────────────────────────────────────────


def read(pieces: Sequence[tuple[str, str]]) -> list[Nodes]:
    """Each piece of Markdown, (where it stands, text), as blocks; one run of pandoc for all."""
    for where, markdown in pieces:
        if BREAK in markdown:
            raise PublishError(f"{where}: the private character U+E000 is not text")
    joined = f"\n\n{BREAK}\n\n".join(markdown for _, markdown in pieces)
    blocks = json.loads(_run(joined, "-f", READER, "-t", "json"))["blocks"]
    parts: list[Nodes] = [[]]
    for block in blocks:
        if block == para([{"t": "Str", "c": BREAK}]):
            parts.append([])
        else:
            parts[-1].append(block)
    if len(parts) != len(pieces):
        where = next(
            (
                pieces[i][0]
                for i, part in enumerate(parts)
                if BREAK in json.dumps(part, ensure_ascii=False)
            ),
            "?",
        )
        raise PublishError(f"{where}: a Markdown block is opened and not closed")
    return parts


def write(blocks: Nodes, target: str, *options: str) -> str:
    """Blocks in a target format."""
    tree = {"pandoc-api-version": API, "meta": {}, "blocks": blocks}
    return _run(json.dumps(tree, ensure_ascii=False), "-f", "json", "-t", target, *options)


def _run(content: str, *arguments: str) -> str:
    done = subprocess.run(
        [_program(), "--sandbox", "--fail-if-warnings", "--wrap=preserve", *arguments],
        input=content.encode(),
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise PublishError(f"pandoc: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout.decode()


@cache
def _program() -> str:
    return str(pypandoc.get_pandoc_path())


def sentence(parts: Iterable[Nodes], joint: str = " ") -> Nodes:
    """Inline parts joined by a mark."""
    found: Nodes = []
    for part in parts:
        if found and part:
            found.append(SPACE if joint == " " else {"t": "Str", "c": joint})
        found.extend(part)
    return found

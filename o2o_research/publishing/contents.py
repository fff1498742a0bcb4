"""What an executed notebook holds for a reader of one language, checked so that nothing is lost."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from o2o_research import narrative
from o2o_research.errors import CaseError, PublishError
from o2o_research.narrative import Record
from o2o_research.terms import LANGUAGES, Language

PROSE = "prose"


@dataclass(frozen=True)
class Item:
    """One thing to show: prose, a chart, a table or a verdict, and the cell it stands in."""

    cell: int
    kind: str
    content: Any
    summary: bool

    @property
    def where(self) -> str:
        return f"cell {self.cell}"


def record(notebook: Any) -> Record:
    """What the notebook recorded, after a check that it is whole.

    Raises
    ------
    PublishError
        A cell failed or was not executed, prose lacks a language, or an output is not ours.
    """
    _check_cells(notebook)
    _check_pairs(notebook)
    try:
        return narrative.read(notebook)
    except CaseError as error:
        raise PublishError(str(error)) from error


def moves(made: Mapping[str, Any]) -> list[tuple[str, Sequence[Any]]]:
    """The parameters that move a finding, each with what came out, the strongest first.

    ``made`` is the finding's entry in a lineage; files keep its parameters in any order.

    >>> moves({"value": 2.0, "moves": {"fee": [1.5, 2.5], "price": [None, 9.0], "share": ["inf"]}})
    [('share', ['inf']), ('price', [None, 9.0]), ('fee', [1.5, 2.5])]
    """

    def strength(entry: tuple[str, Sequence[Any]]) -> tuple[float, str]:
        known = [float(end) for end in [*entry[1], made["value"]] if end is not None]
        reach = max(known) - min(known)
        return (-math.inf if math.isnan(reach) else -reach), entry[0]

    return sorted(made["moves"].items(), key=strength)


def items(notebook: Any, language: Language) -> Iterator[Item]:
    """All that is to be shown in a language, in the notebook's order. Cells count from 1."""
    shown = {narrative.SAY, narrative.CHART, narrative.TABLE, narrative.VERDICT}
    said: dict[int, list[tuple[str, Any]]] = {}
    for number, kind, content in narrative.bundles(notebook):
        if kind in shown:
            said.setdefault(number, []).append((kind, content))
    for number, cell in enumerate(notebook.cells):
        tags = _tags(cell)
        if cell.cell_type == "markdown" and language in tags:
            yield Item(number + 1, PROSE, cell.source, "summary" in tags)
        for kind, content in said.get(number, ()):
            if kind == narrative.SAY:
                kind, content = PROSE, content[language]
            yield Item(number + 1, kind, content, "summary" in tags)


def _check_cells(notebook: Any) -> None:
    for number, cell in enumerate(notebook.cells, 1):
        if cell.cell_type != "code":
            continue
        for output in cell.outputs:
            if output.output_type == "error":
                raise PublishError(f"cell {number} failed: {output.ename}: {output.evalue}")
    for number, cell in enumerate(notebook.cells, 1):
        if cell.cell_type == "raw" and cell.source.strip():
            raise PublishError(f"cell {number}: a raw cell has no place in a report")
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        if cell.execution_count is None and not cell.outputs:
            raise PublishError(f"cell {number} was not executed: run the notebook first")
        ours = any(_is_ours(output) for output in cell.outputs)
        for output in cell.outputs:
            if _is_ours(output) or (ours and _is_echo(output)):
                continue
            raise PublishError(
                f"cell {number}: {_stray(output)}; say, draw or find what a report should show"
            )


def _is_ours(output: Any) -> bool:
    return any(kind.startswith("application/vnd.o2o.") for kind in output.get("data", ()))


def _is_echo(output: Any) -> bool:
    """The value that a verb on a cell's last line returns, which Jupyter repeats."""
    return output.output_type == "execute_result" and set(output.data) == {"text/plain"}


def _stray(output: Any) -> str:
    if output.output_type == "stream":
        first = (output.text.strip().splitlines() or [""])[0]
        return f"text on {output.name} ({first[:80]!r}) would be lost"
    kinds = ", ".join(sorted(output.get("data", ())))
    return f"an output of type {kinds} would be lost"


def _check_pairs(notebook: Any) -> None:
    """Prose comes in pairs, Chinese then English, under the same tags."""
    waiting: tuple[int, set[str]] | None = None
    for number, cell in enumerate(notebook.cells, 1):
        if cell.cell_type == "markdown" and not cell.source.strip():
            continue
        tags = _tags(cell)
        language = None
        if cell.cell_type == "markdown":
            tagged = [language for language in LANGUAGES if language in tags]
            if len(tagged) != 1:
                raise PublishError(f"cell {number}: tag this Markdown either zh or en")
            language = tagged[0]
        if waiting is not None:
            if language != "en":
                raise PublishError(
                    f"cell {waiting[0]}: Chinese prose without its English in the next cell"
                )
            if tags - set(LANGUAGES) != waiting[1]:
                raise PublishError(f"cells {waiting[0]} and {number}: a pair wants the same tags")
            waiting = None
        elif language == "en":
            raise PublishError(
                f"cell {number}: English prose without its Chinese in the cell before"
            )
        elif language == "zh":
            waiting = (number, tags - set(LANGUAGES))
    if waiting is not None:
        raise PublishError(f"cell {waiting[0]}: Chinese prose without its English in the next cell")


def _tags(cell: Any) -> set[str]:
    return set(cell.metadata.get("tags", ()))

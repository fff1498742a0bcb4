"""The data behind each chart, as CSV: columns are Terms' keys, words are in neither language."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any

# Columns that only say where and in which colour a mark is drawn.
_DRAWN = ("side", "shown", "t")
_ENDS = {"x2": "x", "y2": "y"}


def chart_csv(chart: Mapping[str, Any]) -> str:
    """What a chart shows, as rows: its largest table, under the names of its axes.

    A band's ends are ``low`` and ``high``; the cells of a map carry both their edges.
    """
    spec = chart["spec"]
    rows = max(spec.get("datasets", {"": []}).values(), key=len)
    names = dict(_titles(spec))
    columns = [column for column in (rows[0] if rows else ()) if column not in _DRAWN]
    # The stated value stands before its ends, whatever order the specification keeps.
    columns.sort(
        key=lambda c: (
            c in ("low", "high", *_ENDS),
            ("low", "high").index(c) if c in ("low", "high") else 0,
        )
    )
    file = io.StringIO()
    table = csv.writer(file, lineterminator="\n")
    table.writerow([_column(column, names) for column in columns])
    for row in rows:
        table.writerow([_plain(row.get(column)) for column in columns])
    return file.getvalue()


def _column(column: str, names: Mapping[str, str]) -> str:
    if column in _ENDS:
        return f"{names.get(_ENDS[column], _ENDS[column])}_to"
    return names.get(column, column)


def _titles(spec: Any) -> Iterator[tuple[str, str]]:
    """(field, Term key) of every axis and scale that a Term names."""
    if isinstance(spec, dict):
        words = str(spec.get("title"))
        if words.startswith("term:") and spec.get("field") not in (None, "low", "high"):
            yield spec["field"], words.removeprefix("term:")
        for value in spec.values():
            yield from _titles(value)
    elif isinstance(spec, list):
        for value in spec:
            yield from _titles(value)


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value.removeprefix("name:").removeprefix("term:")
    return "" if value is None else value

"""Parameters as a notebook's cell: readable, and exact for every value that is allowed.

papermill writes 上海 as ``\\u4e0a\\u6d77`` and turns a tuple or a date into text; here the cell says
``city = "上海"``, and what cannot be said exactly is refused before anything runs.
"""

from __future__ import annotations

import json
import keyword
import math
from collections.abc import Mapping
from copy import deepcopy
from datetime import date
from typing import Any

import nbformat

from o2o_research.errors import CaseError

TAG = "injected-parameters"
_ALLOWED = "a number, a text, true, false, None, a date, or a list or mapping of these"


def inject(notebook: Any, parameters: Mapping[str, Any]) -> Any:
    """A copy of the notebook with the values in a cell of their own behind the declared ones.

    Raises
    ------
    CaseError
        A value that cannot be written exactly, or a notebook without a cell tagged ``parameters``.
    """
    notebook = deepcopy(notebook)
    cells = [cell for cell in notebook.cells if TAG not in _tags(cell)]
    at = [number for number, cell in enumerate(cells) if "parameters" in _tags(cell)]
    if parameters and not at:
        # papermill would put the values first, where the notebook overwrites them.
        raise CaseError("the notebook has no cell tagged 'parameters'")
    if parameters:
        made = nbformat.v4.new_code_cell(  # type: ignore[no-untyped-call]
            source(parameters), id=TAG, metadata={"tags": [TAG]}
        )
        cells.insert(at[0] + 1, made)
    notebook.cells = cells
    return notebook


def source(parameters: Mapping[str, Any]) -> str:
    """The cell: one ``name = value`` a line.

    >>> print(source({"city": "上海", "shares": [0.1, 1]}))
    # Parameters
    city = "上海"
    shares = [0.1, 1]
    """
    lines = []
    for name, value in parameters.items():
        if not name.isidentifier() or keyword.iskeyword(name):
            raise CaseError(f"{name!r} cannot be the name of a parameter")
        try:
            lines.append(f"{name} = {literal(value)}")
        except TypeError as error:
            raise CaseError(f"{name}: {error}") from None
    dated = any("datetime.date(" in line for line in lines)
    return "\n".join(["# Parameters", *["import datetime"] * dated, *lines])


def literal(value: Any) -> str:
    """A value as Python that evaluates to it; ``TypeError`` if there is no such text."""
    kind = type(value)
    if value is None or kind in (bool, int):
        return repr(value)
    if kind is float:
        return repr(value) if math.isfinite(value) else f'float("{value}")'
    if kind is str:
        return _quoted(value)
    if kind is date:
        return f"datetime.date({value.year}, {value.month}, {value.day})"
    if kind is list:
        return f"[{', '.join(map(literal, value))}]"
    if kind is dict:
        return f"{{{', '.join(f'{literal(k)}: {literal(v)}' for k, v in value.items())}}}"
    raise TypeError(f"{value!r} is a {kind.__name__}; {_ALLOWED} is wanted")


def _quoted(text: str) -> str:
    """In double quotes, every printable character as it is."""
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(
        character if character.isprintable() else _escaped(ord(character)) for character in quoted
    )


def _escaped(code: int) -> str:
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _tags(cell: Any) -> Any:
    return cell.metadata.get("tags", ())

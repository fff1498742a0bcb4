"""Injected parameters can be read, and evaluate to what was given."""

from __future__ import annotations

import math
from datetime import datetime
from decimal import Decimal
from typing import Any

import nbformat
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.inputtransformer2 import TransformerManager

from o2o_research.errors import CaseError
from o2o_research.execution.injection import inject, source

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters())
    | st.dates(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=10,
)


def evaluated(cell: str) -> dict[str, Any]:
    """The names a cell leaves, as IPython would run it, after a save and a load."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    stored = nbformat.reads(nbformat.writes(notebook), as_version=4).cells[0].source
    found: dict[str, Any] = {}
    exec(TransformerManager().transform_cell(stored), found)
    return found


def test_chinese_is_written_as_it_is() -> None:
    assert source({"city": "上海", "days": 3, "open": True}).splitlines()[1:] == [
        'city = "上海"',
        "days = 3",
        "open = True",
    ]


@given(value=values)
def test_every_allowed_value_arrives_exactly(value: Any) -> None:
    found = evaluated(source({"value": value}))["value"]
    assert (type(found), repr(found)) == (type(value), repr(value))


def test_no_number_arrives_as_no_number() -> None:
    assert math.isnan(evaluated(source({"value": float("nan")}))["value"])


@pytest.mark.parametrize("text", ["# 1", "%time", "!ls", "what?", "a\nb", '"\\', "\u2028", "\ud800", "{x}", "甲\t乙\x00"])  # fmt: skip
def test_no_character_is_lost(text: str) -> None:
    assert evaluated(source({"value": text, "other": [text, {text: text}]}))["other"] == [
        text,
        {text: text},
    ]


@pytest.mark.parametrize(
    "value",
    [(1, 2), {1}, Decimal("1"), np.float64(1), datetime(2014, 5, 30), b"x", object, [(1,)], {"a": {2}}],
    ids=["tuple", "set", "Decimal", "numpy", "datetime", "bytes", "class", "inner tuple", "inner set"],
)  # fmt: skip
def test_what_cannot_be_said_exactly_is_refused(value: Any) -> None:
    with pytest.raises(CaseError, match=r"price: .* is wanted"):
        source({"price": value})


@pytest.mark.parametrize("name", ["a b", "class", "1x", "x = 1; y"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(CaseError, match="cannot be the name"):
        source({name: 1})


def test_values_follow_the_declared_ones_and_replace_earlier_ones() -> None:
    declared = nbformat.v4.new_code_cell("x = 1", metadata={"tags": ["parameters"]})
    notebook = nbformat.v4.new_notebook(cells=[declared, nbformat.v4.new_code_cell("x")])
    once = inject(notebook, {"x": 2})
    again = inject(once, {"x": 3})
    assert [cell.source for cell in again.cells] == ["x = 1", "# Parameters\nx = 3", "x"]
    assert len(notebook.cells) == 2
    with pytest.raises(CaseError, match="no cell tagged"):
        inject(nbformat.v4.new_notebook(), {"x": 1})

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from o2o_research.domain import Interval, require

numbers = st.floats(-1e6, 1e6)


@given(a=numbers, b=numbers, left=st.booleans(), right=st.booleans())
def test_an_interval_reads_back_what_it_writes(a: float, b: float, left: bool, right: bool) -> None:
    interval = Interval(round(min(a, b)), round(max(a, b)), left, right)
    assert (
        Interval.parse(
            f"{'(' if left else '['}{interval.low}, {interval.high}{')' if right else ']'}"
        )
        == interval
    )


@given(a=numbers, b=numbers, x=numbers)
def test_clipped_values_lie_inside(a: float, b: float, x: float) -> None:
    low, high = min(a, b), max(a, b) + 1
    for text in (f"[{low}, {high}]", f"({low}, {high})"):
        interval = Interval.parse(text)
        assert float(interval.clip(x)) in interval


def test_open_ends_are_outside_and_closed_ends_inside() -> None:
    interval = Interval.parse("[0, 1)")
    assert 0.0 in interval
    assert 1.0 not in interval
    assert float("nan") not in interval


@pytest.mark.parametrize("text", ["0, 1", "[0; 1]", "[1, 0]", "[a, b]", ""])
def test_what_is_no_interval_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="interval"):
        Interval.parse(text)


@dataclass(frozen=True)
class Meal:
    price: object
    cost_share: object

    def __post_init__(self) -> None:
        require(self, price="(0, inf)", cost_share="[0, 1)")


def test_every_bad_parameter_is_named_with_its_value_and_what_is_allowed() -> None:
    with pytest.raises(
        ValueError,
        match=r"Meal: price=-3 must lie in \(0, inf\); cost_share=1.5 must lie in \[0, 1\)",
    ):
        Meal(-3.0, 1.5)


def test_the_first_bad_entry_of_an_array_is_named() -> None:
    with pytest.raises(ValueError, match="price=-7"):
        Meal(np.array([3.0, -7.0, -8.0]), 0.5)


def test_not_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="price=nan"):
        Meal(float("nan"), 0.5)

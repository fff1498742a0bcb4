from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o2o_research.errors import CaseError
from o2o_research.terms import Term, Unit, term

YUAN = Term("money", "金额", "amount", Unit("元", "yuan"), digits=1)
SHARE = Term("part", "占比", "share", Unit("%", "%", 100), digits=1)


@pytest.mark.parametrize(
    ("about", "value", "zh", "en"),
    [
        (YUAN, 3.84, "3.8 元", "3.8 yuan"),
        (YUAN, -3.84, "−3.8 元", "−3.8 yuan"),
        (YUAN, -0.04, "0.0 元", "0.0 yuan"),
        (YUAN, 9_876.54, "9,876.5 元", "9,876.5 yuan"),
        (YUAN, 12_340.0, "1.23 万元", "12,300 yuan"),
        (YUAN, 1_234_567.0, "123 万元", "1.23 million yuan"),
        (YUAN, 2.5392e12, "25,392 亿元", "2,539 billion yuan"),
        (SHARE, 0.155, "15.5%", "15.5%"),
        (YUAN, float("inf"), "∞", "∞"),
        (YUAN, float("nan"), "— 元", "— yuan"),
    ],
)
def test_a_number_is_written_as_its_reader_writes_it(
    about: Term, value: float, zh: str, en: str
) -> None:
    assert about.format(value, "zh") == zh
    assert about.format(value, "en") == en


def test_an_interval_has_one_unit_and_no_double_sign() -> None:
    assert YUAN.interval(3.1, 4.5, "zh") == "3.1–4.5 元"
    assert YUAN.interval(-2.0, 4.5, "en") == "−2.0 to 4.5 yuan"
    assert YUAN.interval(3.0, float("inf"), "zh") == "3.0 元以上"
    assert YUAN.interval(3.0, float("inf"), "en") == "3.0 yuan or more"
    assert YUAN.interval(5_000.0, 20_000.0, "zh") == "0.50–2.00 万元"


def test_a_label_carries_the_unit_and_a_bare_term_none() -> None:
    assert YUAN.label("zh") == "金额（元）"
    assert SHARE.label("en") == "share (%)"
    assert Term("x", "甲", "x", Unit("", "")).label("zh") == "甲"


def test_an_unknown_term_names_the_near_one() -> None:
    with pytest.raises(CaseError, match="did you mean 'ticket'"):
        term("tikcet")


@given(value=st.floats(-1e13, 1e13))
def test_both_languages_write_the_same_number(value: float) -> None:
    scale = {"": 1, "万": 1e4, "亿": 1e8, "million": 1e6, "billion": 1e9}
    read = []
    for language in ("zh", "en"):
        text = YUAN.format(value, language).replace("−", "-").replace(",", "")  # type: ignore[arg-type]
        number, unit = text.split(" ", 1)
        factor = scale[unit.replace("元", "").replace("yuan", "").strip()]
        read.append(float(number) * factor)
    assert read[0] == pytest.approx(read[1], rel=6e-3, abs=0.11)


def test_a_number_that_only_names_something_has_no_separators() -> None:
    assert term("seed").format(20140530, "en") == "20140530"
    assert term("seed").format(20140530, "zh") == "20140530"

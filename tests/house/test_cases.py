from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from o2o_research import cases
from o2o_research.errors import CaseError
from o2o_research.terms import term


def test_every_problem_is_in_one_message(restaurants: cases.Parameters) -> None:
    given_ = restaurants | {"commission_share": 15, "ticket": "dear", "tikcet": 3.0}
    del given_["delivery_fee"]
    with pytest.raises(CaseError) as caught:
        cases.check("restaurants", given_)
    message = str(caught.value)
    assert "4 parameter problems" in message
    assert "tikcet: unknown parameter; did you mean 'ticket'?" in message
    assert "delivery_fee: missing" in message
    assert (
        "commission_share: 15 lies outside [0, 1]; a share is wanted: for 15 % write 0.15"
        in message
    )
    assert "ticket: 'dear' is not a number" in message


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("ticket", True, "True is not a number"),
        ("ticket", None, "None is not a number"),
        ("ticket", float("nan"), "nan lies outside"),
        ("ticket", [68.0], r"\[68.0\] is not a number"),
        ("ticket", -1.0, r"-1 lies outside \(0, inf\)"),
        ("draws", 500.5, "500.5 is not a whole number"),
        ("draws", "500", "'500' is not a whole number"),
        ("orders", 7, "7 is not a text"),
        ("orders", "no/such/log.csv", "no file 'no/such/log.csv'"),
    ],
)
def test_a_bad_value_is_refused_by_name(
    restaurants: cases.Parameters, key: str, value: object, why: str
) -> None:
    with pytest.raises(CaseError, match=f"{key}: .*{why}|{key}: {why}"):
        cases.check("restaurants", restaurants | {key: value})


def test_a_whole_number_passes_for_a_real_one_and_stays_a_float(
    restaurants: cases.Parameters,
) -> None:
    assert type(cases.check("restaurants", restaurants | {"ticket": 70})["ticket"]) is float


def test_single_values_override_a_file_which_overrides_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("ticket: 88\ndelivery_fee: 5\n", encoding="utf-8")
    values = cases.parameters("restaurants", file, [("ticket", "99.5")])
    assert (values["ticket"], values["delivery_fee"], values["commission_share"]) == (
        99.5,
        5.0,
        0.15,
    )


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("ticket: [1", "line 1: not valid YAML|line 2: not valid YAML"),
        ("ticket: 1\nticket: 2\n", "line 2: not valid YAML: 'ticket' is given twice"),
        ("- 1\n- 2\n", "a flat mapping"),
        ("1: 2\n", "a flat mapping"),
    ],
)
def test_a_broken_params_file_is_named_with_its_line(
    tmp_path: Path, content: str, why: str
) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(CaseError, match=why):
        cases.parameters("restaurants", file)


def test_a_file_that_is_not_there_or_not_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match=r"cannot read .*none\.yaml"):
        cases.parameters("restaurants", tmp_path / "none.yaml")
    (tmp_path / "gbk.yaml").write_bytes("城市: 上海".encode("gb18030"))
    with pytest.raises(CaseError, match="not UTF-8"):
        cases.parameters("restaurants", tmp_path / "gbk.yaml")


def test_an_unknown_case_names_those_there_are() -> None:
    with pytest.raises(CaseError, match="did you mean 'restaurants'"):
        cases.case("restaurant")


@pytest.mark.parametrize("text", ["广州 # 1", "a: b", "'", '"', "{x", "null", "1e3", " "])
def test_a_text_parameter_keeps_every_character(text: str) -> None:
    assert cases._parse(text, "") == text


def test_plausible_draws_start_at_the_stated_value_and_fill_the_stated_range(
    restaurants: cases.Parameters,
) -> None:
    drawn = cases.plausible("restaurants", restaurants, 4000, 1)
    origins = cases.case("restaurants").evidence.origins
    spread = [key for key, origin in origins.items() if origin.low is not None]
    assert len(spread) > 5
    for key in spread:
        low, middle, high = np.quantile(drawn[key][1:], [0.05, 0.5, 0.95])
        assert drawn[key][0] == restaurants[key]
        assert middle == pytest.approx(restaurants[key], rel=2e-2, abs=1e-3), key
        assert low == pytest.approx(origins[key].low, rel=2e-2, abs=2e-3), key
        assert high == pytest.approx(origins[key].high, rel=2e-2, abs=2e-3), key


@given(ticket=st.floats(1, 5000), seed=st.integers(0, 2**32))
def test_draws_stay_in_the_domain_whatever_the_analyst_states(ticket: float, seed: int) -> None:
    values = cases.case("restaurants").defaults | {"ticket": ticket}
    drawn = cases.plausible("restaurants", values, 16, seed)
    for key, array in drawn.items():
        domain = term(key).domain
        if isinstance(array, np.ndarray) and domain is not None:
            assert domain.contains(array).all(), key
    assert drawn["ticket"][0] == ticket


def test_draws_are_the_same_for_the_same_seed(restaurants: cases.Parameters) -> None:
    one, two = (cases.plausible("restaurants", restaurants, 50, 7)["ticket"] for _ in range(2))
    assert (one == two).all()
    assert (one != cases.plausible("restaurants", restaurants, 50, 8)["ticket"]).any()


@pytest.mark.parametrize("source", ["x += 1", "f(3)", "x, y = 1, 2"])
def test_a_parameters_cell_that_does_more_than_declare_is_refused(source: str) -> None:
    with pytest.raises(CaseError, match="not 'name = value'"):
        cases.declared(source)


def test_the_schema_refuses_what_the_check_refuses(restaurants: cases.Parameters) -> None:
    schema = cases.schema("restaurants")
    assert schema["required"] == list(restaurants)
    assert schema["additionalProperties"] is False
    share = schema["properties"]["commission_share"]
    assert (share["minimum"], share["maximum"], share["default"]) == (0, 1, 0.15)
    assert schema["properties"]["ticket"]["exclusiveMinimum"] == 0

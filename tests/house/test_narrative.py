from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import nbformat
import numpy as np
import pytest

from o2o_research import cases, narrative
from o2o_research.charts import decision_map
from o2o_research.errors import CaseError
from o2o_research.narrative import decide, find, judge, open_case, read, say
from o2o_research.terms import term


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """Every bundle that the verbs show, with a case opened first."""
    data: list[dict[str, Any]] = []
    monkeypatch.setattr(narrative, "_show", lambda bundle, text, markdown=None: data.append(bundle))
    open_case("restaurants", cases.case("restaurants").defaults)
    yield data
    narrative._recorded.clear()


def notebook(*bundles: dict[str, Any]) -> Any:
    cell = nbformat.v4.new_code_cell("")
    cell.outputs = [nbformat.v4.new_output("display_data", data=bundle) for bundle in bundles]
    return nbformat.v4.new_notebook(cells=[cell])


def test_an_array_gives_its_first_entry_and_the_middle_nine_tenths_of_the_rest(
    shown: list[Any],
) -> None:
    draws = np.concatenate([[7.0], np.arange(1.0, 101.0)])
    found = find("fee_equal_ticket", draws)
    assert (found.value, found.low, found.high, found.basis) == (7.0, 5.0, 95.0, "assumptions")


def test_a_number_has_no_interval_and_is_exact(shown: list[Any]) -> None:
    found = find("fee_equal_ticket", 40.0)
    assert (found.low, found.high, found.basis) == (None, None, "exact")


def test_an_interval_may_end_at_infinity_and_never_at_nan(shown: list[Any]) -> None:
    found = find("fee_equal_ticket", np.array([1.0, *[2.0] * 50, *[np.inf] * 50]))
    assert (found.low, found.high) == (2.0, np.inf)
    assert shown[-1][narrative.FINDING]["high"] == "inf"


def test_a_sentence_links_its_number_to_the_appendix(shown: list[Any]) -> None:
    found = find("fee_equal_ticket", 40.0, 35.0, 45.0)
    assert found.zh == "[40 元](#f-fee_equal_ticket)"
    assert found.en_range == "[40 yuan](#f-fee_equal_ticket) (90% interval 35–45 yuan)"


def test_rows_of_a_figure_that_hold_no_words_are_kept_once_and_read_whole(
    shown: list[Any],
) -> None:
    xs, ys = np.linspace(20, 120, 11), np.linspace(0, 0.4, 9)
    worth = xs * (0.2 - ys[:, np.newaxis])
    figure = decision_map(
        ("ticket", xs), ("commission_share", ys), ("order_contribution", worth), at=(68, 0.15)
    )
    narrative.draw(figure, name="map", zh="图", en="Map")
    bundle = shown[-1]
    kept = bundle[narrative.CHART]["spec"]["datasets"]
    assert 0 < len(kept) < len(figure.spec["datasets"])
    assert not any(len(rows) == worth.size for rows in kept.values())
    drawn = notebook(shown[0], bundle)
    for seen in (drawn, nbformat.reads(nbformat.writes(drawn), as_version=4)):
        charts = [found for _, kind, found in narrative.bundles(seen) if kind == narrative.CHART]
        assert [chart["spec"] for chart in charts] == [figure.spec]


def test_a_name_recorded_twice_is_refused(shown: list[Any]) -> None:
    find("fee_equal_ticket", 1.0)
    with pytest.raises(CaseError, match="'fee_equal_ticket' is recorded twice"):
        find("fee_equal_ticket", 2.0)


def test_two_cells_with_one_name_are_refused_when_read_back(shown: list[Any]) -> None:
    find("fee_equal_ticket", 1.0)
    with pytest.raises(CaseError, match="recorded twice"):
        read(notebook(*shown, shown[-1]))


@pytest.mark.parametrize(("low", "high"), [(2.0, 1.0), (1.0, None), (None, 1.0)])
def test_an_interval_that_does_not_run_upwards_is_refused(
    shown: list[Any], low: Any, high: Any
) -> None:
    with pytest.raises(CaseError, match="does not run upwards"):
        find("fee_equal_ticket", 1.5, low, high)


def test_a_finding_that_is_no_term_is_refused(shown: list[Any]) -> None:
    with pytest.raises(CaseError, match="no term 'fee_equal_tiket'"):
        find("fee_equal_tiket", 1.0)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (1.0, 4.0, "supported"),
        (6.0, 9.0, "contradicted"),
        (4.0, 6.0, "depends"),
        (1.0, 5.0, "depends"),
    ],
)
def test_the_verdict_follows_from_where_the_interval_lies(
    low: float, high: float, verdict: str
) -> None:
    finding = narrative.Finding(term("ticket"), (low + high) / 2, "f-x", low, high)
    assert decide(finding, "<", 5.0) == verdict


def test_without_a_finding_a_claim_cannot_be_tested(shown: list[Any]) -> None:
    assert judge("R8", None, zh="未给出数字。", en="No figure is given.") == "untested"


def test_an_unknown_claim_is_refused(shown: list[Any]) -> None:
    with pytest.raises(CaseError, match="no claim 'R99'"):
        judge("R99", None, zh="无", en="none")


def test_a_missing_sentence_is_refused(shown: list[Any]) -> None:
    with pytest.raises(CaseError, match="missing in one language"):
        say(zh="只有中文。", en=" ")


def test_what_is_recorded_reads_back(shown: list[Any]) -> None:
    found = find("fee_equal_ticket", 40.0, 30.0, np.inf)
    judge("R8", found, ">", 10.0, zh="是。", en="Yes.")
    record = read(notebook(*shown))
    assert record.case == "restaurants"
    assert record.parameters == cases.case("restaurants").defaults
    assert record.findings["fee_equal_ticket"] == found
    assert record.as_json()["verdicts"]["R8"]["verdict"] == "supported"


def test_a_notebook_that_was_not_run_is_refused() -> None:
    with pytest.raises(CaseError, match="run it first"):
        read(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")]))


def test_parameters_that_fail_the_check_stop_the_notebook_at_its_first_cell() -> None:
    with pytest.raises(CaseError, match="commission_share: 15 lies outside"):
        open_case("restaurants", cases.case("restaurants").defaults | {"commission_share": 15.0})


def test_a_mistyped_parameter_names_the_near_one(shown: list[Any]) -> None:
    p = open_case("restaurants", cases.case("restaurants").defaults)
    with pytest.raises(AttributeError, match="did you mean 'ticket'"):
        _ = p.tickt

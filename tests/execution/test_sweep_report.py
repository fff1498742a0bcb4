"""What a sweep's report says follows from its runs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from o2o_research.evidence import evidence
from o2o_research.execution import plans, sweep_report


def saltelli() -> tuple[plans.Plan, pd.DataFrame]:
    """Runs of ticket + 5 x packaging, without running them."""
    over = {"ticket": {"from": 50, "to": 90}, "packaging_cost": {"from": 0, "to": 4}}
    draws = {"method": "saltelli", "runs": 256, "seed": 1, "over": over}
    plan = plans.parse("mine", {"case": "restaurants", "draws": draws})
    rows = [
        {
            "state": "ok",
            "parameter.ticket": run["ticket"],
            "parameter.packaging_cost": run["packaging_cost"],
            "finding.fee_equal_ticket": run["ticket"] + 5 * run["packaging_cost"],
            "verdict.R3": "supported" if run["ticket"] < 70 else "depends",
        }
        for run in plan.runs
    ]
    return plan, pd.DataFrame(rows)


def test_sobol_indices_are_those_of_a_sum() -> None:
    plan, frame = saltelli()
    found = sweep_report.indices(plan, frame, "fee_equal_ticket")
    assert found is not None
    # Variances of a uniform 40 and of 5 times a uniform 4: 1600 and 400 twelfths.
    assert found.loc["ticket", ["first", "total"]].tolist() == pytest.approx([0.8, 0.8], abs=0.02)
    assert found.loc["packaging_cost", ["first", "total"]].tolist() == pytest.approx(
        [0.2, 0.2], abs=0.02
    )


def test_indices_are_not_said_where_a_run_is_missing() -> None:
    plan, frame = saltelli()
    frame.loc[3, "state"] = "killed"
    assert sweep_report.indices(plan, frame, "fee_equal_ticket") is None


def test_sobol_indices_lie_in_their_intervals_which_narrow_with_more_runs() -> None:
    plan, frame = saltelli()
    found = sweep_report.indices(plan, frame, "fee_equal_ticket")
    assert found is not None
    for part, true in (("first", [0.8, 0.2]), ("total", [0.8, 0.2])):
        assert (found[f"{part}_low"] < true).all()
        assert (found[f"{part}_high"] > true).all()
        assert (found[f"{part}_high"] - found[f"{part}_low"] < 0.3).all()


def test_a_verdict_turns_where_it_does() -> None:
    plan, frame = saltelli()
    assert sum(sweep_report.counts(frame)["R3"].values()) == len(frame)
    (first,) = sweep_report.turns(plan, frame, "R3")
    assert (first.parameter, first.below, first.above) == ("ticket", "supported", "depends")
    assert first.at == pytest.approx(70, abs=0.5)
    assert first.right == 1


def test_a_verdict_that_two_parameters_decide_together_is_laid_to_neither() -> None:
    plan, frame = saltelli()
    high = (frame["parameter.ticket"] > 70) ^ (frame["parameter.packaging_cost"] > 2)
    frame["verdict.R3"] = np.where(high, "supported", "depends")
    assert sweep_report.turns(plan, frame, "R3") == []


def test_the_wider_range_moves_more() -> None:
    plan, frame = saltelli()
    ends = sweep_report.swings(plan, frame, "fee_equal_ticket")
    reach = {key: high - low for key, (low, high) in ends.items()}
    assert reach["ticket"] > 1.5 * reach["packaging_cost"] > 0


@pytest.mark.parametrize(("language", "word"), [("zh", "总效应"), ("en", "Sobol, first order")])
def test_the_page_is_whole_in_both_languages(language: str, word: str) -> None:
    plan, frame = saltelli()
    page = sweep_report.page(plan, frame, language)  # type: ignore[arg-type]
    assert word in page
    # The verdict's map, the finding's distribution, and what moves it.
    assert page.count("<svg") == 3
    claim = evidence("restaurants").claims["R3"].text[language]  # type: ignore[index]
    assert claim in page
    assert "http" not in page.replace("http://www.w3.org", "")

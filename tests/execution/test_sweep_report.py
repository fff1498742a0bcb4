"""What a sweep's report says follows from its runs."""

from __future__ import annotations

import pandas as pd
import pytest

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
            "verdict.overdraft": "supported" if run["ticket"] < 70 else "depends",
        }
        for run in plan.runs
    ]
    return plan, pd.DataFrame(rows)


def test_sobol_indices_are_those_of_a_sum() -> None:
    plan, frame = saltelli()
    found = sweep_report.indices(plan, frame, "fee_equal_ticket")
    assert found is not None
    # Variances of a uniform 40 and of 5 times a uniform 4: 1600 and 400 twelfths.
    assert found.loc["ticket"].tolist() == pytest.approx([0.8, 0.8], abs=0.02)
    assert found.loc["packaging_cost"].tolist() == pytest.approx([0.2, 0.2], abs=0.02)


def test_indices_are_not_said_where_a_run_is_missing() -> None:
    plan, frame = saltelli()
    frame.loc[3, "state"] = "killed"
    assert sweep_report.indices(plan, frame, "fee_equal_ticket") is None


def test_a_verdict_that_flips_is_named_with_where() -> None:
    plan, frame = saltelli()
    found = sweep_report.flips(plan, frame)["overdraft"]
    assert found["supported"]["ticket"][1] < 70 <= found["depends"]["ticket"][0]
    assert found["supported"]["runs"] + found["depends"]["runs"] == len(frame)


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
    assert page.count("<svg") == 2
    assert "http" not in page.replace("http://www.w3.org", "")

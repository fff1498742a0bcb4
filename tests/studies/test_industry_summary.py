"""What the summary asks of several cases at once."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from o2o_research import cases
from o2o_research.models.queueing import erlang_b
from o2o_research.narrative import Finding
from o2o_research.studies import industry_summary as study
from o2o_research.terms import term


def finding(key: str, value: float, low: float | None = None, high: float | None = None) -> Finding:
    return Finding(term(key), value, f"f-{key}", low, high)


def verdict(
    claim: str, given: str, found: Finding | None = None, promise: bool = False
) -> SimpleNamespace:
    about = SimpleNamespace(key=claim, text={"zh": "论点", "en": "a claim"})
    return SimpleNamespace(
        claim=about, verdict=given, finding=found, rule=">", threshold=0.0, promise=promise
    )


@pytest.fixture(scope="module")
def firm() -> Any:
    """The firm of the guide at its stated values and some draws."""
    values = cases.case("industry_summary").defaults
    drawn = cases.plausible("industry_summary", values, 200, 1)
    return SimpleNamespace(**drawn)


FRAME = {
    "traffic": {
        "restaurants": finding("voucher_regulars_share", 0.2, 0.15, 0.25),
        "phones": finding("diverted_share", 0.8, 0.75, 0.85),
    },
    "worth": {
        "restaurants": finding("moved_limit", 0.9, 0.85, 0.95),
        "phones": finding("waiting_moved_share", 0.3, 0.25, 0.35),
    },
    "brand": {"restaurants": finding("first_phase_part", 0.5)},
}


# Claims


def test_a_claim_holds_as_likely_as_its_number_lies_beyond_the_threshold() -> None:
    # The threshold lies at the lower end of the middle nine tenths.
    known = study.chances([verdict("R5", "depends", finding("platform_gain", 4, 0, 10))], 4000)
    assert known["R5"] == pytest.approx(0.95, abs=0.005)


def test_a_number_without_an_interval_holds_for_certain_or_not_at_all() -> None:
    claims = [
        verdict("R5", "supported", finding("platform_gain", 4)),
        verdict("R6", "contradicted", finding("booking_gain", -4)),
        verdict("R2", "untested"),
    ]
    assert study.chances(claims, 100) == {"R5": 1.0, "R6": 0.0}


def test_every_claim_has_its_row_and_its_place_in_the_count() -> None:
    claims = [
        verdict("R5", "depends", finding("platform_gain", 4, -1, 10), promise=True),
        verdict("R2", "untested"),
        verdict("R3", "supported", finding("booking_gain", 4)),
    ]
    assert len(study.verdict_table(claims, 100)) == 3
    counts = study.tally(claims)
    assert counts.set_index("tone").loc["warning", "verdict_untested"] == 1
    assert counts.drop(columns="tone").to_numpy().sum() == 3
    assert study.listed(claims, ", ") == "R5"


def test_shares_supported_are_those_of_the_claims_that_can_be_tested() -> None:
    claims = [verdict(f"R{n}", "supported", finding("booking_gain", 4)) for n in range(3)]
    claims += [
        verdict("R9", "contradicted", finding("booking_gain", -4)),
        verdict("R2", "untested"),
    ]
    holds = study.kept(study.tally(claims), 2000, np.random.default_rng(0))
    assert holds["warning"][0] == 0.75
    # Jeffreys' posterior after three of four: Beta(3.5, 1.5).
    assert holds["warning"][1:].mean() == pytest.approx(0.7, abs=0.02)


# The frame


def test_a_case_that_does_not_speak_is_said_not_to() -> None:
    table = study.frame_table(FRAME, ["restaurants", "phones"])
    assert table.loc[2, "phones"] == study.UNSAID
    assert table.loc[0, "phones"].en == "[80%](#f-diverted_share) (75–85%)"


def test_a_mean_over_cases_is_that_of_their_values() -> None:
    assert study.over_cases(FRAME["traffic"], 50)[0] == pytest.approx(0.5)


# Likeness


def test_a_firm_like_a_case_resembles_it_for_certain() -> None:
    same = {"traffic": np.full(101, 0.8), "worth": np.full(101, 0.3)}
    alike = study.likeness(same, FRAME)
    assert alike.nearest == "phones"
    assert alike.shares == {"restaurants": 0.0, "phones": 1.0}
    assert alike.distances["phones"] == pytest.approx(0)


def test_half_way_between_two_cases_a_firm_resembles_each_as_often() -> None:
    between = {"traffic": np.full(4001, 0.5), "worth": np.full(4001, 0.6)}
    alike = study.likeness(between, FRAME)
    assert alike.shares["phones"] == pytest.approx(0.5, abs=0.03)


def test_likeness_does_not_depend_on_the_unit_of_an_element() -> None:
    firm = {"traffic": np.full(501, 0.55), "worth": np.full(501, 0.5)}
    tenfold = {
        case: finding(f.term.key, 10 * f.value, 10 * f.low, 10 * f.high)
        for case, f in FRAME["worth"].items()
    }
    scaled = study.likeness(
        {"traffic": firm["traffic"], "worth": 10 * firm["worth"]},
        FRAME | {"worth": tenfold},
    )
    plain = study.likeness(firm, FRAME)
    assert scaled.distances == pytest.approx(plain.distances, rel=0.05)


def test_only_elements_that_every_case_states_are_compared() -> None:
    firm = {"traffic": np.full(11, 0.5), "worth": np.full(11, 0.5), "brand": np.full(11, 0.5)}
    assert study.likeness(firm, FRAME).elements == ("traffic", "worth")


# The firm


def test_the_profile_is_in_the_units_of_the_frame(firm: Any) -> None:
    profile = study.profile(firm)
    assert {np.shape(part) for part in profile.values()} == {(201,)}
    assert profile["traffic"][0] == pytest.approx(1 - firm.firm_new_share[0])
    # Paid over what may be paid: at one there is neither gain nor loss.
    gain = np.asarray(study.contact(firm).gain)
    assert np.array_equal(profile["cost"] < 1, gain > 0)


def test_so_many_stores_show_the_effect_wanted_and_one_less_does_not(firm: Any) -> None:
    needed = study.stores_needed(firm)
    some = np.isfinite(needed) & (needed > 1)
    assert some.any()
    assert np.all(study.least_effect(firm, np.where(some, needed, 1))[some] <= 0.1 + 1e-9)
    assert np.all(study.least_effect(firm, np.where(some, needed - 1, 1))[some] > 0.1)


def test_one_more_place_saves_the_orders_that_it_no_longer_turns_away(firm: Any) -> None:
    load = firm.firm_peak_use[0] * firm.firm_places
    fewer = erlang_b(firm.firm_places, load) - erlang_b(firm.firm_places + 1, load)
    margin = firm.firm_ticket * firm.firm_margin_share[0]
    assert study.place_worth(firm)[0] == pytest.approx(margin * fewer)


def test_a_rival_makes_waiting_dearer(firm: Any) -> None:
    gain = study.contact(firm).gain
    leads = [study.start_lead(firm, gain, hazard) for hazard in (0.0, 0.5, 1.5)]
    assert np.all(np.diff(leads, axis=0) >= -1e-6)


def test_an_outlay_that_the_gain_just_repays_leaves_nothing_to_lose(firm: Any) -> None:
    gain = np.abs(np.asarray(study.contact(firm).gain)) + 1
    limit = study.crowding_limit(firm, gain)
    left = SimpleNamespace(
        **(vars(firm) | {"firm_monthly_orders": firm.firm_monthly_orders * (1 - limit)})
    )
    some = limit < 1
    assert study.crowding_limit(left, gain)[some] == pytest.approx(0, abs=1e-9)


def test_the_tie_is_nought_where_starting_leads_anyway_and_endless_where_it_never_does() -> None:
    hazards = np.array([0.0, 0.5, 1.0])
    leads = np.array([[1.0, -1.0, -2.0], [2.0, 0.0, -1.5], [3.0, 1.0, -1.0]])
    assert study.tie(hazards, leads).tolist() == [0.0, 0.5, np.inf]


def test_what_the_nearest_case_teaches_comes_first() -> None:
    alike = study.Likeness({"phones": 0.7, "restaurants": 0.3}, {}, ())
    shown = finding("firm_gain", 1.0)
    checks = [
        study.Check("rule_new", "restaurants", shown, np.ones(11), "<", shown, np.full(11, 2.0)),
        study.Check("rule_crowd", "phones", shown, np.ones(11), "<", shown, np.zeros(11)),
        study.Check("rule_start", "department_stores", shown, np.ones(11), ">", shown, 0.0),
    ]
    assert [each.case for each in study.ordered(checks, alike)] == [
        "phones",
        "restaurants",
        "department_stores",
    ]
    assert [each.chance for each in checks] == [1.0, 0.0, 1.0]
    assert next(iter(study.guide_table(checks, alike).guide_rule)) == "rule_crowd"

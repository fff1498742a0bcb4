"""Activation and decay of recruited members."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from o2o_research.models.customers import fit_shifted_beta_geometric
from o2o_research.models.likelihood import likelihood_ratio
from o2o_research.models.members import (
    Paths,
    Recruits,
    active_members,
    fit_cohort_decay,
    fit_recruits,
    one_hazard,
    paths_of_activity,
    paths_of_events,
    paths_of_last_activity,
    recruits_draws,
)
from o2o_research.models.numerics import NotConverged

TRUTH = Recruits(activation_share=0.6, alpha=0.8, beta=2.0, return_share=0.06)
SEEN = TRUTH.simulate(40_000, 10, np.random.default_rng(3))
PATHS = paths_of_activity(SEEN, np.full(40_000, 10))

recruits = st.builds(
    Recruits.of_hazard,
    activation_share=st.floats(0.05, 1),
    first_hazard=st.floats(0.02, 0.95),
    hazard_spread=st.floats(0.02, 0.9),
    return_share=st.floats(0, 0.5),
)


def test_without_returns_it_is_the_shifted_beta_geometric() -> None:
    members = Recruits(activation_share=0.7, alpha=0.668, beta=3.806, return_share=0.0)
    ages = np.arange(30)
    assert members.active_share(ages) == pytest.approx(
        0.7 * members.churn.survival(ages), rel=1e-10
    )


def test_the_mixture_equals_its_integral() -> None:
    members = Recruits(
        activation_share=0.7,
        alpha=np.array([0.6, 1.5, 4.0]),
        beta=np.array([1.4, 0.8, 3.0]),
        return_share=0.08,
    )
    for j in range(3):

        def share(h: float, a: float = members.alpha[j], b: float = members.beta[j]) -> float:
            settled = 0.08 / (h + 0.08)
            return float(
                (settled + (0.7 - settled) * (1 - h - 0.08) ** 20) * stats.beta.pdf(h, a, b)
            )

        whole, _ = integrate.quad(share, 0, 1, limit=500)
        assert members.path(20)[20, j] == pytest.approx(whole, rel=1e-6)


def test_simulated_members_follow_the_closed_form() -> None:
    error = np.sqrt(0.25 / 40_000)
    assert np.abs(SEEN.mean(axis=0) - TRUTH.path(9)).max() < 4 * error


@given(members=recruits)
@settings(max_examples=40)
def test_the_average_hazard_falls_by_selection_alone(members: Recruits) -> None:
    hazards = members.hazard(np.arange(12))
    assert (np.diff(hazards) < 0).all()
    assert hazards[0] == pytest.approx(members.first_hazard)


@given(members=recruits)
@settings(max_examples=40)
def test_shares_stay_shares(members: Recruits) -> None:
    path = members.path(24)
    assert ((path >= -1e-12) & (path <= 1 + 1e-12)).all()
    assert members.active_share(6.5) == pytest.approx((path[6] + path[7]) / 2)


def test_first_hazard_and_spread_are_what_was_asked_for() -> None:
    members = Recruits.of_hazard(
        activation_share=1.0, first_hazard=0.4, hazard_spread=0.25, return_share=0.0
    )
    assert members.first_hazard == pytest.approx(0.4)
    assert members.hazard_spread == pytest.approx(0.25)
    assert members.active_share(1) == pytest.approx(0.6)


def test_the_truth_is_found_within_three_standard_errors() -> None:
    fit = fit_recruits(PATHS)
    for name, error in fit.stderr.items():
        assert abs(getattr(fit.model, name) - getattr(TRUTH, name)) < 3 * error, name


def test_standard_errors_are_the_spread_of_estimates() -> None:
    found = []
    for part in np.split(np.arange(40_000), 40):
        found.append(fit_recruits(PATHS.only(part)))
    for name in ("activation_share", "alpha", "beta", "return_share"):
        # Forty samples know a standard deviation to about a ninth.
        spread = np.std([getattr(f.model, name) for f in found], ddof=1)
        assert np.mean([f.stderr[name] for f in found]) == pytest.approx(spread, rel=0.4), name


def test_a_pooled_law_is_refused_where_sources_differ() -> None:
    gift = Recruits(activation_share=0.4, alpha=1.2, beta=0.9, return_share=0.03)
    seen = gift.simulate(3000, 8, np.random.default_rng(4))
    other = TRUTH.simulate(3000, 8, np.random.default_rng(5))
    eight = np.full(3000, 8)
    both = paths_of_activity(np.vstack([seen, other]), np.full(6000, 8))
    test = likelihood_ratio(
        fit_recruits(both), *(fit_recruits(paths_of_activity(s, eight)) for s in (seen, other))
    )
    assert test.degrees == 4
    assert test.p_value < 1e-6


def test_one_hazard_is_rejected_where_members_differ_and_kept_where_they_do_not() -> None:
    assert one_hazard(PATHS.only(np.arange(2000))).p_value < 1e-4
    same = Recruits(activation_share=0.8, alpha=3e5, beta=7e5, return_share=0.05)
    kept = [
        one_hazard(
            paths_of_activity(same.simulate(800, 8, np.random.default_rng(k)), np.full(800, 8))
        ).p_value
        for k in range(20)
    ]
    assert np.mean(np.array(kept) < 0.05) <= 0.2


def test_draws_spread_as_the_standard_errors_say() -> None:
    fit = fit_recruits(PATHS.only(np.arange(4000)))
    drawn = recruits_draws(fit, 4000, np.random.default_rng(6))
    for name, error in fit.stderr.items():
        values = np.asarray(getattr(drawn, name))
        assert values[0] == getattr(fit.model, name)
        assert np.std(values[1:]) == pytest.approx(error, rel=0.1), name


def test_active_members_are_every_intake_at_its_age() -> None:
    came, left = np.array([100.0, 50.0, 0.0, 10.0]), TRUTH.path(3)
    by_hand = [sum(came[s] * left[t - s] for s in range(t + 1)) for t in range(4)]
    assert active_members(came, left) == pytest.approx(by_hand)
    drawn = active_members(np.stack([came, 2 * came], axis=1), left)
    assert drawn[:, 1] == pytest.approx(2 * np.array(by_hand))


def test_active_members_of_one_day_are_its_share() -> None:
    day = np.zeros(13)
    day[0] = 10_000
    assert active_members(day, TRUTH.path(12)) == pytest.approx(10_000 * TRUTH.path(12))


def test_a_log_becomes_the_paths_it_tells() -> None:
    # The first is active in windows 0 and 2 of three; the second in none of two.
    paths = paths_of_events([0.0, 35.0], [0, 0, 0], [3.0, 8.0, 61.0], end=100.0, window=30.0)
    assert np.asarray(paths.activated).tolist() == [True, False]
    assert np.asarray(paths.lapses).tolist() == [1.0, 0.0]
    assert np.asarray(paths.returns).tolist() == [1.0, 0.0]
    assert np.asarray(paths.silences).tolist() == [0.0, 1.0]


def test_the_end_of_a_log_silences_nobody() -> None:
    # Active every day until the log stops in the middle of a window.
    days = np.arange(0.0, 75.0)
    paths = paths_of_events([0.0], np.zeros(75, int), days, end=75.0, window=30.0)
    assert (float(np.sum(paths.lapses)), float(np.sum(paths.stays))) == (0.0, 1.0)


def test_censoring_does_not_move_the_estimate() -> None:
    observed = np.random.default_rng(8).integers(2, 11, 40_000)
    fit = fit_recruits(paths_of_activity(SEEN, observed))
    for name, error in fit.stderr.items():
        assert abs(getattr(fit.model, name) - getattr(TRUTH, name)) < 3 * error, name


def test_last_activities_give_what_is_left() -> None:
    stays = Recruits(activation_share=0.7, alpha=0.9, beta=1.8, return_share=0.0)
    seen = stays.simulate(30_000, 8, np.random.default_rng(9))
    last = np.where(seen.any(axis=1), 30.0 * (8 - seen[:, ::-1].argmax(axis=1)) - 15, np.nan)
    fit = fit_recruits(paths_of_last_activity(np.zeros(30_000), last, end=240.0))
    for name in ("activation_share", "alpha", "beta"):
        assert abs(getattr(fit.model, name) - getattr(stays, name)) < 3 * fit.stderr[name], name
    assert fit.model.return_share == 0.0


def test_cohorts_of_different_age_are_fitted_together() -> None:
    table = {"May": [1000, 631, 468, 382], "June": [800, 510, 380]}
    fit = fit_cohort_decay(table)
    padded = fit_shifted_beta_geometric([[1000, 631, 468, 382], [800, 510, 380, np.nan]])
    assert fit.log_likelihood == padded.log_likelihood


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"May": [1000, 631, np.nan, 382]}, "cohort 'May' has a gap at age 2"),
        ({"May": [1000, 631, 700]}, "cohort 'May' grows from 631 to 700 at age 2"),
        ([[1000, 500, 300], [np.nan, 400, 200]], "cohort 1 has a gap at age 0"),
    ],
    ids=["gap", "growth", "no start"],
)
def test_a_broken_cohort_table_is_refused(table: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_cohort_decay(table)  # type: ignore[arg-type]


def test_a_hazard_above_one_is_refused() -> None:
    with pytest.raises(ValueError, match=r"first_hazard=1\.2"):
        Recruits.of_hazard(
            activation_share=0.5, first_hazard=1.2, hazard_spread=0.2, return_share=0.1
        )
    with pytest.raises(ValueError, match=r"return_share=1\.5"):
        Recruits(activation_share=0.5, alpha=1, beta=1, return_share=1.5)


def test_events_before_joining_and_silent_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="before its member joined"):
        paths_of_events([10.0], [0], [5.0], end=100.0)
    with pytest.raises(ValueError, match="less than a window ago"):
        paths_of_events([0.0, 90.0], [0], [5.0], end=100.0)
    silent = np.zeros(5)
    with pytest.raises(ValueError, match="none of 5 members was active"):
        fit_recruits(Paths(activated=silent, lapses=silent, stays=silent, returns=silent, silences=silent + 3))  # fmt: skip


def test_a_source_that_nobody_left_has_no_hazard() -> None:
    nobody = np.zeros(50)
    with pytest.raises(NotConverged, match="nobody fell silent"):
        fit_recruits(Paths(activated=nobody + 1, lapses=nobody, stays=nobody + 4, returns=nobody, silences=nobody))  # fmt: skip

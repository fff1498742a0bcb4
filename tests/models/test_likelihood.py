"""Uncertainty of answers: draws, intervals, likelihood-ratio tests."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from o2o_research.models.customers import (
    BGNBD,
    ShiftedBetaGeometric,
    fit_bgnbd,
    fit_shifted_beta_geometric,
)
from o2o_research.models.likelihood import draw_models, estimate, likelihood_ratio
from o2o_research.models.numerics import Fit

REGULAR = np.array([1000, 631, 468, 382, 326, 289, 262, 241])


def test_draws_have_the_estimates_spread_and_stay_positive() -> None:
    fit, rng = fit_shifted_beta_geometric(REGULAR), np.random.default_rng(1)
    drawn = draw_models(fit, 40_000, rng)
    logs = np.log(np.hstack([drawn.alpha, drawn.beta]))
    centre = np.log(np.array([fit.model.alpha, fit.model.beta]))
    spread = np.array([fit.stderr["alpha"], fit.stderr["beta"]]) / np.exp(centre)
    assert logs.shape == (40_000, 2)
    assert (np.abs(logs.mean(axis=0) - centre) < 4 * spread / 200).all()
    assert logs.std(axis=0) == pytest.approx(spread, rel=0.02)
    assert fit.covariance is not None
    correlation = fit.covariance[0, 1] / (fit.stderr["alpha"] * fit.stderr["beta"])
    assert np.corrcoef(logs.T)[0, 1] == pytest.approx(correlation, abs=0.01)


def test_the_interval_of_a_parameter_is_the_normal_one_on_the_log_scale() -> None:
    fit, rng = fit_shifted_beta_geometric(REGULAR), np.random.default_rng(2)
    value, low, high = estimate(
        lambda members: members.alpha, fit, rng=rng, draws=40_000, level=0.95
    )
    half = 1.96 * fit.stderr["alpha"] / fit.model.alpha
    assert value == fit.model.alpha
    assert np.log([low, high]) == pytest.approx(np.log(value) + np.array([-half, half]), abs=0.005)


def test_an_array_of_answers_has_an_array_of_intervals() -> None:
    fit, rng = fit_shifted_beta_geometric(REGULAR), np.random.default_rng(3)
    value, low, high = estimate(lambda members: members.survival(np.arange(1, 9)), fit, rng=rng)
    assert value.shape == low.shape == high.shape == (8,)
    assert (low < value).all()
    assert (value < high).all()


def test_the_same_seed_gives_the_same_interval() -> None:
    fit = fit_shifted_beta_geometric(REGULAR)
    one, two = (
        estimate(lambda members: members.survival(9), fit, rng=np.random.default_rng(4))
        for _ in range(2)
    )
    assert one == two


def test_an_interval_of_survival_is_as_wide_as_the_delta_method_has_it() -> None:
    fit, rng = fit_shifted_beta_geometric(REGULAR), np.random.default_rng(5)
    _, low, high = estimate(
        lambda members: members.survival(12), fit, rng=rng, draws=20_000, level=0.95
    )
    at, step = np.array([fit.model.alpha, fit.model.beta]), 1e-5
    slope = [
        (
            ShiftedBetaGeometric(alpha=at[0] + h[0], beta=at[1] + h[1]).survival(12)
            - ShiftedBetaGeometric(alpha=at[0] - h[0], beta=at[1] - h[1]).survival(12)
        )
        / (2 * step)
        for h in step * np.eye(2)
    ]
    assert fit.covariance is not None
    error = np.sqrt(slope @ fit.covariance @ slope)
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.05)


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    truth, rng = BGNBD(r=0.5, alpha=5.0, a=1.0, b=3.0), np.random.default_rng(6)
    weeks, ahead = np.full(3000, 39.0), truth.expected_purchases(78)
    covered = []
    for _ in range(100):
        fit = fit_bgnbd(*truth.simulate(weeks, rng), weeks)
        _, low, high = estimate(lambda law: law.expected_purchases(78), fit, rng=rng, draws=300)
        covered.append(low < ahead < high)
    error = np.sqrt(0.9 * 0.1 / len(covered))
    assert np.mean(covered) == pytest.approx(0.9, abs=3 * error)


def test_the_likelihood_ratio_is_chi_square_when_two_groups_share_one_law() -> None:
    truth, rng = ShiftedBetaGeometric(alpha=0.704, beta=1.182), np.random.default_rng(7)
    p_values = []
    for _ in range(120):
        groups = [truth.simulate(2000, 7, rng) for _ in range(2)]
        pooled = fit_shifted_beta_geometric(groups[0] + groups[1])
        found = likelihood_ratio(pooled, *(fit_shifted_beta_geometric(g) for g in groups))
        assert found.degrees == 2
        p_values.append(found.p_value)
    assert stats.kstest(p_values, "uniform").pvalue > 1e-3


def test_a_fit_without_covariance_has_nothing_to_draw_from() -> None:
    fit = Fit(
        model=ShiftedBetaGeometric(alpha=1, beta=2), stderr={"alpha": 0.1}, log_likelihood=0, n=1
    )
    with pytest.raises(ValueError, match="no covariance to draw from"):
        draw_models(fit, 10, np.random.default_rng(0))

"""Curves from two numbers: importance sampling against exact grids and a conjugate case."""

import numpy as np
import pytest

from o2o_research.models.diffusion.bass import Bass
from o2o_research.models.diffusion.scarce import (
    PUBLISHED,
    CurvePrior,
    ScarceData,
    curve_grid,
    curve_posterior,
)
from o2o_research.models.numerics import NotConverged

SOLD = ScarceData(sold=4.0, time=5 / 12)
BOTH = ScarceData(sold=4.0, time=5 / 12, life=1.5)
LOOSE = CurvePrior(pace_spread=1.0)


@pytest.mark.parametrize("prior", [CurvePrior(), LOOSE, CurvePrior(pace_spread=1, market_limit=60)])
@pytest.mark.parametrize("data", [SOLD, BOTH])
def test_sampling_matches_the_grid(prior, data):
    found = curve_posterior(prior, data, np.random.default_rng(1), draws=8000)
    grid = curve_grid(prior, data)
    assert found.effective > 2000
    quantities = {
        "p": lambda c: np.log(c.innovation),
        "q": lambda c: np.log(c.imitation),
        "share": lambda c: np.log(c.adopted_share(1.0)),
    }
    for quantity in quantities.values():
        values = quantity(found.curves).ravel()
        spread = values.std()
        for share in (0.1, 0.5, 0.9):
            # A sampled quantile of 8000 draws: its standard error is about .02 spreads.
            assert np.quantile(values, share) == pytest.approx(
                grid.quantile(quantity, share), abs=0.08 * spread
            )


def test_units_sold_say_nothing_of_the_shape():
    # With a market that may be anything the posterior of p and q is the prior.
    found = curve_posterior(CurvePrior(), SOLD, np.random.default_rng(2), draws=8000)
    prior = CurvePrior()
    logs = np.log([found.curves.innovation.ravel(), found.curves.imitation.ravel()])
    assert logs.mean(axis=1) == pytest.approx(prior.centre, abs=0.03)
    assert logs.std(axis=1) == pytest.approx(np.sqrt(np.diag(prior.covariance)), rel=0.04)


def test_every_curve_has_sold_what_was_sold():
    found = curve_posterior(LOOSE, BOTH, np.random.default_rng(3), draws=4000)
    sold = np.log(found.curves.cumulative(5 / 12).ravel() / 4.0)
    assert sold.mean() == pytest.approx(0.0, abs=4 * 0.05 / np.sqrt(4000))
    assert sold.std() == pytest.approx(0.05, rel=0.06)


def test_without_imitation_the_life_gives_the_conjugate_normal():
    # F = 1 - e^{-pt}: ln life = ln(-ln .05) - ln p is linear in ln p, so normal stays normal.
    prior = CurvePrior(innovation=1.0, imitation=1e-9)
    found = curve_posterior(prior, BOTH, np.random.default_rng(4), draws=8000)
    centre, variance = prior.centre[0], prior.covariance[0, 0]
    seen, noise = np.log(-np.log(0.05) / 1.5), 0.2**2
    exact_variance = 1 / (1 / variance + 1 / noise)
    exact = exact_variance * (centre / variance + seen / noise)
    logs = np.log(found.curves.innovation)
    assert logs.mean() == pytest.approx(exact, abs=4 * np.sqrt(exact_variance / 8000))
    assert logs.std() == pytest.approx(np.sqrt(exact_variance), rel=0.04)


def test_a_life_narrows_the_lifetime_sales_and_so_does_a_limit():
    rng = np.random.default_rng(5)
    widths = [
        np.log(found.high / found.low)
        for found in (
            curve_posterior(LOOSE, SOLD, rng).lifetime_sales,
            curve_posterior(LOOSE, BOTH, rng).lifetime_sales,
            curve_posterior(CurvePrior(pace_spread=1, market_limit=15), BOTH, rng).lifetime_sales,
        )
    ]
    assert widths[0] > 2 * widths[1]
    assert widths[1] > 1.3 * widths[2]
    limited = curve_posterior(CurvePrior(pace_spread=1, market_limit=15), BOTH, rng)
    assert limited.curves.market.max() <= 15


def test_a_curve_that_is_known_is_found():
    truth = Bass(market=20.0, innovation=0.2, imitation=3.0)
    sure = CurvePrior(innovation=0.2, imitation=3.0, innovation_spread=0.01, imitation_spread=0.01)
    data = ScarceData(sold=float(truth.cumulative(0.5)), time=0.5, sold_spread=0.01)
    found = curve_posterior(sure, data, np.random.default_rng(6))
    assert found.lifetime_sales.value == pytest.approx(20.0, rel=0.01)
    assert found.peak_month.value == pytest.approx(12 * truth.peak_time, rel=0.01)


def test_the_default_spreads_are_the_scatter_of_the_published_pairs():
    logs = np.log(list(PUBLISHED.values()))
    prior = CurvePrior()
    assert [prior.innovation_spread, prior.imitation_spread] == pytest.approx(logs.std(0, ddof=1))
    draws = np.exp(prior.draw(400_000, np.random.default_rng(7)))
    assert draws.mean(axis=0) == pytest.approx([0.03, 0.38], rel=0.01)


def test_numbers_that_prior_and_life_exclude_are_not_answered():
    slow = CurvePrior(innovation_spread=0.01, imitation_spread=0.01)
    with pytest.raises(NotConverged, match="prior and numbers"):
        curve_posterior(
            slow, ScarceData(sold=4, time=1, life=0.01, life_spread=0.001), np.random.default_rng(8)
        )


def test_a_durable_pace_is_surprised_by_a_phones_life():
    # A category of durables takes years where one phone is over in months.
    rng = np.random.default_rng(9)
    tight, loose = (curve_posterior(prior, BOTH, rng).surprise for prior in (CurvePrior(), LOOSE))
    assert tight > 3 > loose


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ScarceData(sold=0, time=1), "sold=0"),
        (lambda: ScarceData(sold=4, time=-1), "time=-1"),
        (lambda: ScarceData(sold=4, time=1, life=-2), "life=-2"),
        (lambda: ScarceData(sold=4, time=1, life_share=1.0), "life_share=1"),
        (lambda: CurvePrior(innovation=0), "innovation=0"),
        (lambda: CurvePrior(market_limit=-1), "market_limit=-1"),
    ],
)
def test_what_cannot_be_is_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()

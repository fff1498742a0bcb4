"""What customers are worth by the way they were acquired."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from o2o_research.models.cohorts import (
    Cohort,
    CohortComparison,
    Histories,
    compare_cohorts,
    fit_cohort,
    spend_frequency_correlation,
)
from o2o_research.models.customers import BGNBD, GammaGamma
from o2o_research.models.numerics import NotConverged

FULL_PRICE = (BGNBD(r=0.9, alpha=6.0, a=0.8, b=3.0), GammaGamma(p=6.0, q=4.0, gamma=33.0))
DEAL = (BGNBD(r=0.3, alpha=6.0, a=1.2, b=2.5), GammaGamma(p=6.0, q=4.0, gamma=27.0))
TERMS = {"repeat_within": 26.0, "margin_share": 0.4, "discount_rate": 0.002, "horizon": 104.0}


def simulated(
    laws: tuple[BGNBD, GammaGamma], customers: int, rng: np.random.Generator
) -> Histories:
    purchases, spend = laws
    T = rng.uniform(20, 39, customers)
    frequency, recency = purchases.simulate(T, rng)
    return Histories(
        frequency=frequency, recency=recency, T=T, monetary=spend.simulate(frequency, rng)
    )


def compared(
    deal: Histories, full_price: Histories, seed: int = 0, draws: int = 300
) -> CohortComparison:
    rng = np.random.default_rng(seed)
    return compare_cohorts(deal, full_price, rng=rng, draws=draws, **TERMS)


@pytest.fixture(scope="module")
def histories() -> tuple[Histories, Histories]:
    rng = np.random.default_rng(8)
    return simulated(DEAL, 6000, rng), simulated(FULL_PRICE, 4000, rng)


@pytest.fixture(scope="module")
def comparison(histories: tuple[Histories, Histories]) -> CohortComparison:
    return compared(*histories)


COHORT = Cohort(
    purchases=FULL_PRICE[0], spend=FULL_PRICE[1],
    margin_share=0.4, discount_rate=0.002, horizon=104.0,
)  # fmt: skip


def test_lifetime_value_is_margin_on_the_mean_spend_of_purchases_summed_week_by_week() -> None:
    weeks = np.arange(0, 104.001, 0.05)
    bought = np.diff(FULL_PRICE[0].expected_purchases(weeks))
    discount = 1.002 ** -((weeks[1:] + weeks[:-1]) / 2)
    expected = 0.4 * 6.0 * 33.0 / (4.0 - 1) * (bought @ discount)
    assert COHORT.lifetime_value == pytest.approx(expected, rel=1e-5)


def test_the_ceiling_is_what_the_first_order_and_all_later_ones_bring() -> None:
    assert COHORT.acquisition_ceiling() == COHORT.lifetime_value
    assert COHORT.acquisition_ceiling(-12.0) == pytest.approx(COHORT.lifetime_value - 12)


def test_lifetime_value_falls_with_the_discount_rate_and_grows_with_the_horizon() -> None:
    values = replace(COHORT, discount_rate=np.array([0, 0.001, 0.01, 0.1])).lifetime_value
    assert (np.diff(values) < 0).all()
    values = replace(COHORT, horizon=np.array([1, 26, 104, 520])).lifetime_value
    assert (np.diff(values) > 0).all()


def test_a_customer_just_acquired_has_the_lifetime_value_as_residual_value() -> None:
    assert COHORT.residual_value(0, 0, 0, np.nan) == pytest.approx(COHORT.lifetime_value)


def test_residual_value_is_shrunk_spend_on_discounted_purchases() -> None:
    found = COHORT.residual_value([0, 5], [0, 30], [39, 39], [0, 80])
    bought = FULL_PRICE[0].discounted_purchases(104, 0.002, 5, 30, 39)
    assert found.shape == (2,)
    assert found[1] == pytest.approx(0.4 * 6 * (33 + 400) / (30 + 4 - 1) * bought)


def test_residual_values_average_over_histories_to_what_a_longer_horizon_adds() -> None:
    rng, T = np.random.default_rng(9), np.full(20_000, 26.0)
    frequency, recency = FULL_PRICE[0].simulate(T, rng)
    monetary = FULL_PRICE[1].simulate(frequency, rng)
    undiscounted = replace(COHORT, discount_rate=0.0, horizon=52.0)
    later = undiscounted.residual_value(frequency, recency, T, monetary)
    gained = (
        replace(undiscounted, horizon=78.0).lifetime_value
        - replace(undiscounted, horizon=26.0).lifetime_value
    )
    assert later.mean() == pytest.approx(gained, abs=3 * later.std() / np.sqrt(T.size))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"margin_share": 40.0}, r"margin_share=40 must lie in \[0, 1\]"),
        ({"discount_rate": -0.1}, "discount_rate=-0.1"),
        ({"horizon": 0.0}, "horizon=0"),
    ],
)
def test_a_cohort_outside_its_domain_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(COHORT, **change)


def test_different_cohorts_are_told_apart_and_their_gaps_found(
    comparison: CohortComparison,
) -> None:
    assert comparison.one_purchase_law.p_value < 1e-6
    assert comparison.one_spend_law.p_value < 1e-6
    assert comparison.one_purchase_law.degrees == 4
    assert comparison.one_spend_law.degrees == 3
    truth = {
        "repeat_share": [law[0].repeat_share(26) for law in (DEAL, FULL_PRICE)],
        "ticket": [law[1].mean for law in (DEAL, FULL_PRICE)],
        "lifetime_value": [
            replace(COHORT, purchases=law[0], spend=law[1]).lifetime_value
            for law in (DEAL, FULL_PRICE)
        ],
    }
    for name, (deal, full_price) in truth.items():
        found = getattr(comparison.difference, name)
        assert found.low < deal - full_price < found.high < 0
        assert getattr(comparison.deal, name).low < deal < getattr(comparison.deal, name).high


def test_the_difference_is_that_of_the_cohorts_fitted_apart(
    histories: tuple[Histories, Histories], comparison: CohortComparison
) -> None:
    deal, full_price = (fit_cohort(h) for h in histories)
    assert comparison.deal_fit.purchases.model == deal.purchases.model
    assert comparison.full_price_fit.spend.model == full_price.spend.model
    for name in ("repeat_share", "ticket", "lifetime_value"):
        apart = getattr(comparison.deal, name).value - getattr(comparison.full_price, name).value
        assert getattr(comparison.difference, name).value == pytest.approx(apart)
    assert comparison.deal.ticket.value == deal.spend.model.mean


def test_exchanging_the_cohorts_exchanges_the_sign(
    histories: tuple[Histories, Histories], comparison: CohortComparison
) -> None:
    exchanged = compared(histories[1], histories[0])
    assert exchanged.difference.ticket.value == pytest.approx(-comparison.difference.ticket.value)
    assert exchanged.one_purchase_law == pytest.approx(comparison.one_purchase_law)


def test_a_cohort_split_at_random_shares_one_law() -> None:
    rng = np.random.default_rng(10)
    found = compared(simulated(DEAL, 3000, rng), simulated(DEAL, 3000, rng))
    assert found.one_purchase_law.p_value > 0.01
    assert found.one_spend_law.p_value > 0.01
    assert found.difference.lifetime_value.low < 0 < found.difference.lifetime_value.high


def test_the_cohort_that_cannot_be_fitted_is_named(
    histories: tuple[Histories, Histories],
) -> None:
    nobody = np.zeros(50)
    gone = Histories(frequency=nobody, recency=nobody, T=nobody + 30, monetary=nobody)
    with pytest.raises(NotConverged, match="deal cohort: fit_bgnbd: none of the 50 customers"):
        compared(gone, histories[1])


def test_histories_that_contradict_themselves_are_refused() -> None:
    with pytest.raises(ValueError, match=r"Histories: recency must lie .* row 0 .* recency=9, T=4"):
        Histories(frequency=[1], recency=[9], T=[4], monetary=[5])
    with pytest.raises(ValueError, match=r"Histories: monetary must be > 0 .* monetary=-5"):
        Histories(frequency=[1], recency=[3], T=[4], monetary=[-5])


# ── Spend and frequency ───────────────────────────────────────────────────────────────────────


def test_for_normal_data_the_interval_is_fisher_s() -> None:
    rng = np.random.default_rng(12)
    u, v = rng.multivariate_normal([0, 0], [[1, 0.4], [0.4, 1]], 40_000).T
    orders = np.floor(u * 1000 + 10_000)  # whole numbers, as good as continuous
    found = spend_frequency_correlation(orders, v + 10, level=0.95)
    half = 1.96 / np.sqrt(40_000 - 3)
    fisher = np.tanh(np.arctanh(found.value) + np.array([-half, half]))
    assert [found.low, found.high] == pytest.approx(fisher, abs=2e-4)


def test_the_standard_error_is_that_of_leaving_each_customer_out() -> None:
    rng = np.random.default_rng(15)
    orders, spend = rng.geometric(0.4, 40), rng.gamma(3, 20, 40)
    found = spend_frequency_correlation(orders, spend, level=0.95)
    left_out = np.arctanh(
        [np.corrcoef(np.delete(orders, i), np.delete(spend, i))[0, 1] for i in range(40)]
    )
    half = 1.959964 * np.sqrt(39 / 40 * ((left_out - left_out.mean()) ** 2).sum())
    ends = np.tanh(np.arctanh(found.value) + np.array([-half, half]))
    assert [found.low, found.high] == pytest.approx(ends, rel=1e-5)


def test_the_interval_covers_no_correlation_where_there_is_none() -> None:
    rng, covered, spend = np.random.default_rng(13), 0, GammaGamma(p=3, q=8, gamma=70)
    for _ in range(400):
        orders = 1 + rng.poisson(3, 600)
        found = spend_frequency_correlation(orders, spend.simulate(orders, rng))
        covered += found.low < 0 < found.high
        assert (found.p_value < 0.1) == (not found.low < 0 < found.high)
    assert covered / 400 == pytest.approx(0.9, abs=3 * np.sqrt(0.9 * 0.1 / 400))


def test_spend_that_grows_with_frequency_is_found_out() -> None:
    rng = np.random.default_rng(14)
    orders = rng.geometric(0.4, 500)
    found = spend_frequency_correlation(orders, 20 + 2 * orders + rng.gamma(3, 2, 500))
    assert found.low > 0.3
    assert found.p_value < 1e-6


def test_a_correlation_of_customers_all_alike_is_refused() -> None:
    with pytest.raises(ValueError, match="got 2 customers"):
        spend_frequency_correlation([0, 1, 2], [0, 5, 6])
    with pytest.raises(ValueError, match="vary among them; got 3 customers"):
        spend_frequency_correlation([2, 2, 2], [4, 5, 6])

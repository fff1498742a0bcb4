"""Stock, pooling and the season simulator against printed numbers and exact Poisson losses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize, minimize_scalar
from scipy.stats import nbinom, norm, poisson

from o2o_research.models.inventory import (
    Assortment,
    Newsvendor,
    SizePool,
    Transshipment,
    best_stock,
    chain_demand_steps,
    filled_profit,
    fit_chain_demand,
    fit_normal_demand,
    fit_poisson_demand,
    normal_loss,
    poisson_demand_steps,
)

CHAIN = {"mean": 100.0, "spread": 30.0, "price": 40.0, "cost": 20.0, "salvage": 10.0}


def test_newsvendor_matches_snyder_shen() -> None:
    boy = Newsvendor(mean=50, spread=8, overage=0.18, underage=0.70)
    assert float(boy.best_quantity) == pytest.approx(56.603956, abs=5e-7)
    assert float(boy.cost(boy.best_quantity)) == pytest.approx(1.997605, abs=5e-7)


@given(st.floats(0.05, 20), st.floats(0.05, 20), st.floats(-3, 3))
def test_no_quantity_costs_less_than_the_best(overage: float, underage: float, z: float) -> None:
    boy = Newsvendor(mean=50, spread=8, overage=overage, underage=underage)
    assert float(boy.cost(boy.best_quantity)) <= float(boy.cost(50 + 8 * z)) + 1e-9


@pytest.mark.parametrize("stores", [1, 4, 100, 3000])
def test_pooling_cuts_cost_by_the_root_matches_eppen_1979(stores: int) -> None:
    boy = Newsvendor(mean=50, spread=8, overage=0.18, underage=0.70)
    pool = boy.pooled(stores)
    each = float(boy.cost(boy.best_quantity))
    assert float(pool.cost(pool.best_quantity)) == pytest.approx(each * np.sqrt(stores))
    alike = boy.pooled(stores, 1.0)
    assert float(alike.cost(alike.best_quantity)) == pytest.approx(each * stores)


@pytest.mark.parametrize(
    ("transfer", "quantity", "profit"),
    [(5.0, 109.617120, 1752.247070), (0.0, 109.137106, 1768.606520)],
)
def test_two_stores_match_the_closed_form(transfer: float, quantity: float, profit: float) -> None:
    pair = Transshipment(stores=2, transfer=transfer, **CHAIN)
    assert pair.best_quantity == pytest.approx(quantity, abs=5e-7)
    assert pair.profit(pair.best_quantity) == pytest.approx(profit, abs=5e-7)


def test_shipping_as_dear_as_the_margin_is_the_newsvendor() -> None:
    pair = Transshipment(stores=2, transfer=30, **CHAIN)
    boy = Newsvendor(mean=100, spread=30, overage=10, underage=20)
    assert pair.best_quantity == pytest.approx(112.921819, abs=5e-7)
    assert pair.best_quantity == pytest.approx(float(boy.best_quantity))


@pytest.mark.parametrize("stores", [1, 2, 7])
def test_best_transshipment_stock_maximises_profit(stores: int) -> None:
    chain = Transshipment(stores=stores, transfer=4, **CHAIN)
    other = minimize_scalar(
        lambda q: -chain.profit(q), bounds=(50, 160), method="bounded", options={"xatol": 1e-9}
    )
    assert chain.best_quantity == pytest.approx(other.x, abs=1e-4)


def test_profit_agrees_with_simulated_stores() -> None:
    chain = Transshipment(stores=3, transfer=4, **CHAIN)
    demand = np.random.default_rng(1).normal(100, 30, size=(400_000, 3))
    q = 108.0
    own = np.minimum(demand, q).sum(axis=1)
    sold = np.minimum(demand.sum(axis=1), 3 * q)
    profit = (40 * own + 36 * (sold - own) + 10 * (3 * q - sold) - 20 * 3 * q) / 3
    assert chain.profit(q) == pytest.approx(profit.mean(), abs=4 * profit.std() / np.sqrt(400_000))


def test_the_sample_linear_program_meets_the_closed_form_for_identical_stores() -> None:
    demand = np.random.default_rng(2).normal(100, 30, size=(1500, 2)).clip(0)
    stock, profit = best_stock(demand, price=40, cost=20, salvage=10, transfer=5)
    # The sample quantile's own error: about sqrt(f(1 - f) / n) / density.
    assert stock == pytest.approx([109.617, 109.617], abs=4.5)
    assert profit / 2 == pytest.approx(1752.247, abs=35)


def test_the_sample_linear_program_is_optimal_among_stocks_tried() -> None:
    rng = np.random.default_rng(3)
    demand = rng.gamma(4, [10, 25, 5], size=(40, 3))
    fee = np.array([[0, 4, 30], [4, 0, 8], [30, 8, 0.0]])

    def profit(stock: np.ndarray) -> float:
        total = 0.0
        for row in demand:
            own = np.minimum(row, stock)
            left, short = stock - own, row - own
            value = 40 * own.sum()
            for fee_, i, j in sorted(
                (fee[i, j], i, j) for i in range(3) for j in range(3) if i != j
            ):
                moved = min(left[i], short[j]) if fee_ < 30 else 0.0
                left[i], short[j] = left[i] - moved, short[j] - moved
                value += (40 - fee_) * moved
            total += value + 10 * left.sum() - 20 * stock.sum()
        return total / len(demand)

    stock, value = best_stock(demand, price=40, cost=20, salvage=10, transfer=fee)
    assert profit(stock) <= value + 1e-6  # shipping cheapest first is a feasible policy
    start = demand.mean(axis=0)
    tried = minimize(
        lambda q: -profit(np.maximum(q, 0)), start, method="Nelder-Mead", options={"maxiter": 400}
    )
    assert value >= -tried.fun - 1e-6
    assert value == pytest.approx(-tried.fun, rel=0.01)


def test_without_shipping_the_linear_program_is_a_quantile_of_each_store() -> None:
    demand = np.random.default_rng(4).integers(0, 50, size=(99, 2)).astype(float)
    stock, _ = best_stock(demand, price=40, cost=20, salvage=10, transfer=1000)
    for column, q in zip(demand.T, stock, strict=True):
        assert np.sort(column)[65] - 1e-6 <= q <= np.sort(column)[66] + 1e-6  # 2/3 of 99


def test_em_finds_the_maximum_of_the_censored_poisson_likelihood() -> None:
    rng = np.random.default_rng(5)
    demand = rng.poisson(3.0, 400)
    sold, out = np.minimum(demand, 3), demand >= 3

    def loss(rate: float) -> float:
        return -float(
            np.where(out, poisson.logsf(sold - 1, rate), poisson.logpmf(sold, rate)).sum()
        )

    direct = minimize_scalar(loss, bounds=(0.5, 9), method="bounded", options={"xatol": 1e-10})
    rate, error = fit_poisson_demand(sold, out)
    assert float(rate) == pytest.approx(direct.x, abs=1e-5)
    h = 1e-3
    curvature = (loss(direct.x + h) - 2 * loss(direct.x) + loss(direct.x - h)) / h**2
    assert float(error) == pytest.approx(curvature**-0.5, rel=1e-3)
    assert abs(float(rate) - 3) < 4 * float(error)
    assert sold.mean() < 2.6  # sales are not demand


def test_em_without_stockouts_is_the_mean_and_never_lowers_the_likelihood() -> None:
    sold = np.array([[0, 2, 1, 4], [1, 1, 0, 0]])
    rate, _ = fit_poisson_demand(sold, np.zeros_like(sold, bool))
    assert rate == pytest.approx(sold.mean(axis=1))
    out = np.array([[False, True, False, True], [False, True, False, False]])
    steps = poisson_demand_steps(sold, out)
    values = [next(steps) for _ in range(8)]
    likelihoods = [
        np.where(out, poisson.logsf(sold - 1, r[:, None]), poisson.logpmf(sold, r[:, None])).sum(
            axis=1
        )
        for r in values
    ]
    assert (np.diff(likelihoods, axis=0) >= -1e-12).all()


def test_normal_em_finds_the_maximum_of_the_tobit_likelihood() -> None:
    rng = np.random.default_rng(6)
    demand = rng.normal(100, 30, 300)
    sold, out = np.minimum(demand, 110), demand > 110
    fit = fit_normal_demand(sold, out)

    def likelihood(mean: float, spread: float) -> float:
        return float(
            np.where(out, norm.logsf(sold, mean, spread), norm.logpdf(sold, mean, spread)).sum()
        )

    mean, spread = float(fit.model.mean), float(fit.model.spread)  # type: ignore[arg-type]
    assert fit.log_likelihood == pytest.approx(likelihood(mean, spread))
    for m, s in ((0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5)):
        assert likelihood(mean + m, spread + s) < fit.log_likelihood
    assert abs(mean - 100) < 4 * fit.stderr["mean"]


SHOP = {
    "skus": 40,
    "days": 30,
    "size_shares": (0.1, 0.4, 0.3, 0.2),
    "daily_demand": 0.4,
    "supply_ratio": 1.0,
}
CALM = {"popularity_spread": 0.0, "store_spread": 0.0}


def test_a_store_alone_loses_the_exact_poisson_excess() -> None:
    shop = Assortment(stores=200, accept_share=1.0, **SHOP, **CALM)
    season = shop.simulate([1], np.random.default_rng(7))
    lost = mean = variance = 0.0
    for share in SHOP["size_shares"]:
        rate = 12 * share
        k = np.arange(200)
        for stock, chance in ((int(rate), 1 - rate % 1), (int(rate) + 1, rate % 1)):
            lost += chance * np.sum(np.maximum(k - stock, 0) * poisson.pmf(k, rate))
        mean += rate
        variance += rate
    expected = lost / mean
    error = np.sqrt(variance / (200 * 40)) / mean
    assert float(season.lost_share[0]) == pytest.approx(expected, abs=3 * error)


def test_taste_and_popularity_make_demand_negative_binomial() -> None:
    shop = Assortment(
        stores=400, skus=60, days=20, size_shares=(1.0,), daily_demand=0.3, supply_ratio=1.0,
        popularity_spread=0.0, store_spread=0.7, accept_share=1.0,
    )  # fmt: skip
    season = shop.simulate([1], np.random.default_rng(8))
    shape, k = 1 / 0.49, np.arange(400)
    excess = np.sum(np.maximum(k - 6, 0) * nbinom.pmf(k, shape, shape / (shape + 6))) / 6
    assert float(season.lost_share[0]) == pytest.approx(excess, abs=0.01)


def test_willing_customers_leave_no_unit_unsold_while_one_asks() -> None:
    shop = Assortment(stores=50, accept_share=1.0, popularity_spread=0.5, store_spread=0.5, **SHOP)
    season = shop.simulate([1, 10, 50], np.random.default_rng(9))
    lost = season.demand - season.own - season.filled
    assert (np.diff(season.lost_share) <= 0).all()
    assert (lost == season.missed_by_day.sum(axis=1)).all()
    assert season.filled[0] == 0
    # With one SKU and size the whole network sells min(demand, stock).
    single = Assortment(
        stores=50, skus=1, days=10, size_shares=(1.0,), daily_demand=0.5, supply_ratio=0.9,
        popularity_spread=0.4, store_spread=0.9, accept_share=1.0,
    )  # fmt: skip
    for seed in range(10):
        one = single.simulate([50], np.random.default_rng(seed))
        assert one.own[0] + one.filled[0] == min(one.demand, one.stock)


def test_unwilling_customers_make_filling_worthless() -> None:
    shop = Assortment(stores=50, accept_share=0.0, popularity_spread=0.5, store_spread=0.5, **SHOP)
    season = shop.simulate([1, 50], np.random.default_rng(10))
    assert season.filled.sum() == 0
    assert season.gain(100, 30, 10).tolist() == [0, 0]


def test_the_same_seed_is_the_same_season_and_a_broken_size_grows_with_it() -> None:
    shop = Assortment(stores=80, accept_share=0.6, popularity_spread=0.3, store_spread=0.4, **SHOP)
    once, again = (shop.simulate([1, 80], np.random.default_rng(11)) for _ in range(2))
    assert (once.own == again.own).all()
    share = once.missed_by_day[0] / once.asked_by_day
    assert share[:5].mean() < share[10:15].mean() < share[-5:].mean()


def test_the_normal_pool_agrees_with_the_simulated_one() -> None:
    shop = Assortment(
        stores=100, skus=400, days=30, size_shares=(1.0,), daily_demand=1.0, supply_ratio=1.1,
        popularity_spread=0.2, store_spread=0.3, accept_share=1.0,
    )  # fmt: skip
    season = shop.simulate([1, 10, 100], np.random.default_rng(12))
    pool = SizePool(demand=30.0, supply_ratio=1.1, popularity_spread=0.2, store_spread=0.3)
    assert season.lost_share == pytest.approx(pool.lost_share(np.array([1, 10, 100])), abs=0.015)


def test_pool_variation_is_that_of_simulated_demand() -> None:
    rng = np.random.default_rng(13)
    liked = rng.gamma(1 / 0.09, 0.09, size=(40_000, 1))
    demand = rng.poisson(5 * liked * rng.gamma(1 / 0.25, 0.25, size=(40_000, 4))).sum(axis=1)
    pool = SizePool(demand=5.0, supply_ratio=1.0, popularity_spread=0.3, store_spread=0.5)
    assert demand.std() / demand.mean() == pytest.approx(float(pool.variation(4)), rel=0.02)


def test_the_root_law_holds_without_common_popularity_and_bends_with_it() -> None:
    even = SizePool(demand=3.0, supply_ratio=1.0, popularity_spread=0.0, store_spread=0.5)
    assert float(even.lost_share(100)) == pytest.approx(float(even.lost_share(1)) / 10)
    assert float(even.bend) == np.inf
    common = SizePool(demand=3.0, supply_ratio=1.0, popularity_spread=0.3, store_spread=0.5)
    n = float(common.bend)
    assert float(common.variation(n)) == pytest.approx(0.3 * np.sqrt(2))


@given(st.floats(-5, 5))
@settings(max_examples=20)
def test_normal_loss_is_the_integral_of_the_tail(z: float) -> None:
    grid = np.linspace(z, 12, 20_001)
    assert float(normal_loss(z)) == pytest.approx(np.trapezoid(norm.sf(grid), grid), abs=1e-6)


def shelves(
    rng: np.random.Generator, levels: np.ndarray, items: np.ndarray, days: int, cover: float
) -> tuple[np.ndarray, ...]:
    """Rows of stores that sell one delivery down: store, item, sold, out."""
    stock = np.ceil(cover * days * levels[:, None] * items + 0.5).astype(int)
    rows = []
    for _ in range(days):
        sold = np.minimum(rng.poisson(levels[:, None] * items), stock)
        rows.append((sold, sold >= stock))
        stock = stock - sold
    sold, out = (np.stack(part).ravel() for part in zip(*rows, strict=True))
    _, store, item = np.indices((days, levels.size, items.size))
    return store.ravel(), item.ravel(), sold, out


def test_a_chains_hidden_demand_comes_back_as_surely_as_it_says() -> None:
    rng = np.random.default_rng(14)
    levels, items = rng.gamma(4, 0.25, 12), rng.gamma(2, 0.04, 15)
    truth = levels.sum() * items.sum()
    misses, naive = [], []
    for _ in range(60):
        store, item, sold, out = shelves(rng, levels, items, 50, 1.1)
        fit = fit_chain_demand(store, item, sold, out)
        misses.append((fit.model.rates.sum() / truth - 1) / fit.stderr["level"])
        naive.append(sold.sum() / 50 / truth - 1)
    assert abs(np.mean(misses)) < 4 / np.sqrt(60)
    assert np.std(misses) == pytest.approx(1, abs=4 / np.sqrt(120))
    assert np.mean(naive) < -0.04  # sales taken for demand


def test_without_stockouts_a_chains_rates_are_its_margins() -> None:
    sold = np.array([[3, 1, 2], [6, 0, 5]])
    store, item = np.indices(sold.shape)
    fit = fit_chain_demand(store.ravel(), item.ravel(), sold.ravel(), np.zeros(6, bool))
    assert fit.model.rates == pytest.approx(np.outer(sold.sum(1), sold.sum(0)) / sold.sum())
    assert fit.stderr["level"] == pytest.approx(sold.sum() ** -0.5, rel=1e-4)


def test_one_store_of_the_chain_is_the_item_fitted_alone() -> None:
    rng = np.random.default_rng(15)
    demand = rng.poisson(1.5, 200)
    sold, out = np.minimum(demand, 2), demand >= 2
    alone, _ = fit_poisson_demand(sold, out)
    zero = np.zeros(200, int)
    chain = fit_chain_demand(zero, zero, sold, out, tolerance=1e-12)
    assert chain.model.items[0] == pytest.approx(float(alone), rel=1e-6)


def test_each_step_for_a_chain_raises_its_likelihood_to_a_maximum() -> None:
    rng = np.random.default_rng(16)
    store, item, sold, out = shelves(rng, np.array([0.5, 1.5]), np.array([0.3, 0.8, 0.1]), 40, 0.8)
    watched = ~out | (sold > 0)

    def likelihood(rates: np.ndarray) -> float:
        now = rates[store, item][watched]
        s, o = sold[watched], out[watched]
        return float(np.where(o, poisson.logsf(s - 1, now), poisson.logpmf(s, now)).sum())

    steps = chain_demand_steps(store, item, sold.astype(float), out)
    climbed = [likelihood(next(steps).rates) for _ in range(60)]
    assert (np.diff(climbed) > -1e-9).all()
    model = fit_chain_demand(store, item, sold, out).model
    best = likelihood(model.rates)
    for where in range(3):
        for factor in (0.97, 1.03):
            items = model.items * np.where(np.arange(3) == where, factor, 1)
            assert likelihood(model.levels[:, None] * items) < best


def test_a_chain_of_demand_does_not_mind_the_order_of_its_rows() -> None:
    rng = np.random.default_rng(17)
    rows = shelves(rng, np.array([0.5, 1.5]), np.array([0.3, 0.8]), 30, 0.8)
    order = rng.permutation(rows[0].size)
    plain, mixed = fit_chain_demand(*rows), fit_chain_demand(*(row[order] for row in rows))
    assert mixed.model.rates == pytest.approx(plain.model.rates, rel=1e-7)


@pytest.mark.parametrize("transfer", [0.0, 5.0, 30.0])
def test_the_linear_program_earns_what_filling_its_stock_earns(transfer: float) -> None:
    rng = np.random.default_rng(18)
    demand = rng.poisson([4, 9, 14], (60, 3)).astype(float)
    terms = {"price": 40.0, "cost": 20.0, "salvage": 10.0}
    stock, profit = best_stock(demand, transfer=transfer, **terms)
    own = filled_profit(stock, demand, demand, transfer=transfer, **terms)
    assert own.mean() == pytest.approx(profit)
    fewer = filled_profit(stock, demand, np.zeros_like(demand), transfer=transfer, **terms)
    assert (fewer <= own + 1e-9).all()


def test_bad_inventories_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="item 1 has no sale"):
        fit_chain_demand([0, 0], [0, 1], [1, 0], [False, False])
    with pytest.raises(ValueError, match="every day sold out"):
        fit_chain_demand([0], [0], [1], [True])
    with pytest.raises(ValueError, match=r"willing must lie in \[0, demand\]"):
        filled_profit([1], [[1.0]], [[2.0]], price=4, cost=2, salvage=1, transfer=1)
    with pytest.raises(ValueError, match=r"transfer=4 must lie in \[0, 3\]"):
        filled_profit([1], [[1.0]], [[1.0]], price=4, cost=2, salvage=1, transfer=4)
    with pytest.raises(ValueError, match="salvage=30 < cost=20"):
        Transshipment(stores=2, mean=1, spread=1, price=40, cost=20, salvage=30, transfer=1)
    with pytest.raises(ValueError, match="transfer=31 must lie in"):
        Transshipment(stores=2, transfer=31, **CHAIN)
    with pytest.raises(ValueError, match=r"item \(1,\) was out of stock on all"):
        fit_poisson_demand([[1, 2], [1, 2]], [[False, True], [True, True]])
    with pytest.raises(ValueError, match=r"must sum to 1, not 0\.9"):
        Assortment(stores=2, accept_share=1, **(SHOP | {"size_shares": (0.5, 0.4)}), **CALM)
    with pytest.raises(ValueError, match="hold no 1"):
        Assortment(stores=2, accept_share=1, **SHOP, **CALM).simulate(
            [2], np.random.default_rng(0)
        ).gain(1, 0, 0)
    with pytest.raises(ValueError, match="supply_ratio=0 must lie in"):
        SizePool(demand=1, supply_ratio=0, popularity_spread=0, store_spread=0)
    with pytest.raises(ValueError, match="at least two periods"):
        fit_normal_demand([1.0, 2.0], [True, False])

"""Tariffs and bundles against textbook closed forms and slower second methods."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from o2o_research.models import numerics, pricing
from o2o_research.models.pricing import (
    UNIFORM_BUNDLE_PRICE,
    UNIFORM_BUNDLE_PROFIT,
    UNIFORM_MIXED_PRICES,
    UNIFORM_SINGLE_PROFIT,
    Bundles,
    Tariff,
    Travellers,
    TwoGoods,
    correlated_worths,
)

UNIFORM = stats.uniform(0, 1)


@st.composite
def travellers(draw):
    n = draw(st.integers(2, 5))
    share = np.array(draw(st.lists(st.floats(0.1, 1), min_size=n, max_size=n)))
    steps = np.array(draw(st.lists(st.floats(0.2, 3), min_size=n, max_size=n)))
    return Travellers(
        share=share / share.sum(), first_worth=np.cumsum(steps), slope=draw(st.floats(0.3, 2)),
        cost=draw(st.floats(0, 1.5)),
    )  # fmt: skip


# --- Tariffs --------------------------------------------------------------------------


def test_two_types_match_the_textbook_menu():
    # Two types v and V, shares 1-f and f: the large one is served efficiently, the small one
    # as if his worth were v - (V - v) f / (1 - f); the large one keeps (V - v) q.
    v, large, f, b, c = 5.0, 6.0, 0.3, 0.5, 1.0
    menu = Travellers(
        share=np.array([1 - f, f]), first_worth=np.array([v, large]), slope=b, cost=c
    ).best_menu()
    small = (v - (large - v) * f / (1 - f) - c) / b
    assert menu.quantity == pytest.approx([small, (large - c) / b], rel=1e-12)
    assert menu.rent == pytest.approx([0.0, (large - v) * small], abs=1e-12)


def test_many_types_approach_the_continuous_menu_of_mussa_and_rosen():
    # v uniform on [1, 2]: virtual worth 2 v - 2, so q(v) = max(2 v - 2 - c, 0) / b.
    worth = 1.0 + (np.arange(2000) + 0.5) / 2000
    trip = Travellers(share=np.full(2000, 1 / 2000), first_worth=worth, slope=1.0, cost=0.4)
    assert trip.best_menu().quantity == pytest.approx(np.maximum(2 * worth - 2.4, 0), abs=2e-3)


@settings(max_examples=40)
@given(trip=travellers())
def test_incentives_bind_downward_and_nobody_envies(trip):
    menu = trip.best_menu()
    envy = trip.envy(menu)
    own = np.diag(envy)
    assert np.all(envy <= own[:, np.newaxis] + 1e-9)
    assert own[0] == pytest.approx(0.0, abs=1e-9)
    assert np.diag(envy, -1) == pytest.approx(own[1:], abs=1e-9)
    assert np.all(np.diff(menu.quantity) >= -1e-12)
    # None at the top is distorted, all below take at most the efficient amount.
    efficient = np.maximum(trip.first_worth - trip.cost, 0) / trip.slope
    assert menu.quantity[-1] == pytest.approx(efficient[-1], rel=1e-9)
    assert np.all(menu.quantity <= efficient + 1e-9)


@settings(max_examples=8)
@given(trip=travellers())
def test_no_menu_found_by_another_solver_earns_more(trip):
    n = trip.share.size

    def loss(z):
        q, pay = z[:n], z[n:]
        return -float(trip.share @ (pay - trip.cost * q))

    def surplus(z):
        q, pay = z[:n], z[n:]
        v = trip.first_worth[:, np.newaxis]
        table = v * q - trip.slope * q**2 / 2 - pay
        own = np.diag(table)
        return np.r_[own, (own[:, np.newaxis] - table)[~np.eye(n, dtype=bool)]]

    best = trip.best_menu()
    start = np.r_[best.quantity * 0.8, best.payment * 0.7]
    answer = optimize.minimize(
        loss, start, method="SLSQP", bounds=[(0, None)] * 2 * n,
        constraints={"type": "ineq", "fun": surplus}, options={"maxiter": 500, "ftol": 1e-12},
    )  # fmt: skip
    if answer.success and surplus(answer.x).min() > -1e-7:
        assert -answer.fun <= best.profit + 1e-5
        assert -answer.fun == pytest.approx(best.profit, rel=1e-3, abs=1e-4)


def test_ironing_pools_types_whose_virtual_worth_falls():
    trip = Travellers(
        share=np.array([0.4, 0.05, 0.55]), first_worth=np.array([2.0, 3.0, 4.0]), slope=1.0, cost=0.0
    )  # fmt: skip
    assert np.diff(trip.virtual_worth)[0] < 0
    menu = trip.best_menu()
    assert menu.quantity[0] == pytest.approx(menu.quantity[1])
    assert menu.pooled.tolist() == [True, False, False]


@settings(max_examples=10)
@given(trip=travellers())
def test_richer_menus_earn_more(trip):
    linear = trip.choose([trip.best_linear()]).profit
    two_part = trip.choose([trip.best_two_part()]).profit
    menu = trip.best_menu()
    assert linear <= two_part + 1e-6
    assert two_part <= menu.profit + 1e-6
    assert menu.profit <= trip.first_best + 1e-9


@settings(max_examples=25)
@given(trip=travellers())
def test_no_rate_earns_more_than_the_best(trip):
    linear = trip.choose([trip.best_linear()]).profit
    two_part = trip.choose([trip.best_two_part()]).profit
    for rate in np.linspace(0.0, trip.first_worth[-1], 101):
        assert trip.choose([Tariff(fee=0.0, rate=rate)]).profit <= linear + 1e-12
        for smallest in range(trip.share.size):
            assert trip.choose([trip.two_part(rate, smallest)]).profit <= two_part + 1e-12


def test_the_menu_sold_as_packages_is_picked_as_meant():
    trip = Travellers(
        share=np.array([0.5, 0.3, 0.2]), first_worth=np.array([3.0, 4.0, 6.0]), slope=0.5, cost=1.0
    )  # fmt: skip
    menu = trip.best_menu()
    packages = [
        Tariff(fee=p, allowance=q) for q, p in zip(menu.quantity, menu.payment, strict=True)
    ]
    use = trip.choose(packages)
    assert use.picked.tolist() == [0, 1, 2]
    assert use.quantity == pytest.approx(menu.quantity)
    assert use.profit == pytest.approx(menu.profit)


def test_one_type_pays_all_its_worth_in_a_two_part_tariff_at_cost():
    trip = Travellers(share=np.array([1.0]), first_worth=np.array([5.0]), slope=1.0, cost=2.0)
    tariff = trip.best_two_part()
    assert tariff.rate == pytest.approx(2.0, rel=1e-12)
    assert trip.choose([tariff]).profit == pytest.approx(trip.first_best, rel=1e-8)
    # Linear monopoly: rate (v + c) / 2, a quarter of the squared margin.
    assert trip.best_linear().rate == pytest.approx(3.5, rel=1e-12)


def test_use_under_a_block_tariff_bends_at_the_allowance():
    trip = Travellers(
        share=np.array([0.25] * 4), first_worth=np.array([1.0, 2.5, 4.0, 8.0]), slope=1.0, cost=0.0
    )  # fmt: skip
    block = Tariff(fee=1.0, allowance=2.0, rate=3.0)
    # Satiated below, up to the allowance, and beyond it where a unit is worth the rate.
    assert trip.use(block).tolist() == [1.0, 2.0, 2.0, 5.0]
    assert trip.payment(block).tolist() == [1.0, 1.0, 1.0, 10.0]
    worth = trip.worth(trip.use(block))[np.arange(4), np.arange(4)]
    brute = np.linspace(0, 10, 100_001)
    for i in range(4):
        all_of = trip.worth(brute)[i] - 1.0 - 3.0 * np.maximum(brute - 2.0, 0)
        assert worth[i] - trip.payment(block)[i] == pytest.approx(all_of.max(), abs=1e-6)


# --- Bundles --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def uniform_pair() -> TwoGoods:
    return TwoGoods(first=UNIFORM, second=UNIFORM, correlation=0.0)


def test_mixed_bundling_of_two_uniform_goods_matches_the_textbook(uniform_pair):
    mixed = uniform_pair.best_mixed()
    single, pair = UNIFORM_MIXED_PRICES
    assert (single, pair) == pytest.approx((2 / 3, (4 - 2**0.5) / 3))
    assert mixed.prices == pytest.approx((single, single, pair), abs=2e-4)
    # By the areas of the unit square: singles p (1-p)... each, and the pair's corner.
    alone = 2 * single * (1 - single) * (pair - single)
    corner = (1 - (pair - single)) ** 2 - (2 * single - pair) ** 2 / 2
    assert mixed.profit == pytest.approx(alone + pair * corner, abs=1e-7)


def test_pure_bundling_of_two_uniform_goods_matches_the_textbook(uniform_pair):
    bundle = uniform_pair.best_bundle()
    assert bundle.prices[2] == pytest.approx(UNIFORM_BUNDLE_PRICE, abs=1e-4)
    assert bundle.profit == pytest.approx(UNIFORM_BUNDLE_PROFIT, abs=1e-8)
    assert uniform_pair.best_singles().profit == pytest.approx(UNIFORM_SINGLE_PROFIT, abs=1e-8)


@pytest.mark.parametrize("correlation", [-0.7, 0.0, 0.6])
def test_demands_are_those_of_simulated_buyers(correlation):
    pair = TwoGoods(
        first=stats.lognorm(0.5, scale=20), second=stats.gamma(3, scale=6), correlation=correlation,
        cost=(5.0, 2.0),
    )  # fmt: skip
    worths = correlated_worths(
        [pair.first.ppf, pair.second.ppf], [[1, correlation], [correlation, 1]], 2**16,
        np.random.default_rng(1),
    )  # fmt: skip
    sample = Bundles(worths=worths, cost=np.array([5.0, 2.0]))
    sales = sample.sales([0.0, 24.0, 19.0, 35.0])
    assert pair.demand(24.0, 19.0, 35.0) == pytest.approx(sales.shares[1:], abs=2e-3)
    assert pair.profit(24.0, 19.0, 35.0) == pytest.approx(sales.profit, rel=5e-3)


def test_two_ways_to_the_best_prices_agree():
    pair = TwoGoods(first=UNIFORM, second=stats.uniform(0, 2), correlation=-0.4, cost=(0.1, 0.2))
    exact = pair.best_mixed()
    worths = correlated_worths([pair.first.ppf, pair.second.ppf], [[1, -0.4], [-0.4, 1]], 2**14, np.random.default_rng(2))  # fmt: skip
    sample = Bundles(worths=worths, cost=np.array([0.1, 0.2]))
    prices = sample.best_mixed()
    assert sample.sales(prices).profit == pytest.approx(exact.profit, rel=3e-3)
    assert pair.profit(*prices[1:]) <= exact.profit + 1e-6
    assert pair.profit(*prices[1:]) == pytest.approx(exact.profit, rel=3e-3)


def test_bundling_pays_more_the_less_worths_go_together():
    gains = []
    for correlation in (-0.8, 0.0, 0.8):
        pair = TwoGoods(first=UNIFORM, second=UNIFORM, correlation=correlation)
        gains.append(pair.best_bundle().profit - pair.best_singles().profit)
    assert gains[0] > gains[1] > 0
    assert gains[1] > gains[2]


def test_three_uniform_goods_bundled_match_the_distribution_of_their_sum():
    # P(sum > p) = 1 - p^3 / 6 + (p-1)^3 / 2 on [1, 2] (Irwin-Hall).
    def profit(p):
        return p * (1 - p**3 / 6 + 3 * np.maximum(p - 1, 0) ** 3 / 6)

    best = optimize.minimize_scalar(lambda p: -profit(p), bounds=(0.5, 2), method="bounded")
    worths = correlated_worths([UNIFORM.ppf] * 3, np.eye(3), 2**15, np.random.default_rng(3))
    sample = Bundles(worths=worths, cost=np.zeros(3))
    whole = sample.best_whole()
    assert whole[-1] == pytest.approx(best.x, abs=0.03)
    assert sample.sales(whole).profit == pytest.approx(-best.fun, rel=2e-3)


def test_worths_have_their_margins_and_their_correlation():
    matrix = np.array([[1.0, 0.5, -0.3], [0.5, 1.0, 0.0], [-0.3, 0.0, 1.0]])
    laws = [stats.lognorm(0.4, scale=30).ppf, stats.gamma(2, scale=5).ppf, UNIFORM.ppf]
    worths = correlated_worths(laws, matrix, 2**14, np.random.default_rng(4))
    normal = stats.norm.ppf(stats.rankdata(worths, axis=0) / (2**14 + 1))
    assert np.corrcoef(normal.T) == pytest.approx(matrix, abs=0.01)
    assert np.median(worths, axis=0) == pytest.approx([law(0.5) for law in laws], rel=0.02)


@settings(max_examples=6)
@given(seed=st.integers(0, 100), goods=st.integers(2, 3))
def test_mixed_bundling_is_never_worse_than_the_two_pure_ways(seed, goods):
    rng = np.random.default_rng(seed)
    sample = Bundles(worths=rng.gamma(2.0, 10.0, (512, goods)), cost=rng.uniform(0, 8, goods))
    mixed = sample.sales(sample.best_mixed())
    assert mixed.profit >= sample.sales(sample.best_singles()).profit - 1e-12
    assert mixed.profit >= sample.sales(sample.best_whole()).profit - 1e-12
    assert mixed.shares.sum() == pytest.approx(1.0)
    assert mixed.surplus >= 0


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_a_fresh_simplex_gains_nothing_from_the_mixed_prices_found(seed):
    rng = np.random.default_rng(seed)
    sample = Bundles(worths=rng.lognormal(2.0, 0.7, (512, 3)), cost=np.array([2.0, 1.0, 0.5]))
    prices = sample.best_mixed()
    profit = sample.sales(prices).profit
    _, loss = pricing._descend(sample._set_worths, sample._set_costs, prices[1:], 0.05 * prices[-1])
    assert -loss <= profit * (1 + 2e-5)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_compiled_simplex_goes_the_way_of_scipys(seed):
    rng = np.random.default_rng(seed)
    sample = Bundles(worths=rng.lognormal(2.0, 0.7, (512, 3)), cost=np.array([2.0, 1.0, 0.5]))
    worth, cost = sample._set_worths, sample._set_costs
    # Every set cheaper than its parts: no two corners lose alike, so that no order is open.
    start = sample.best_singles()[1:] * (1.15 - 0.2 * sample.members.sum(axis=1)[1:] / 3)
    prices, loss = pricing._descend(worth, cost, start, 0.7)
    wanted = numerics.search(
        lambda at: float(pricing._loss(at, worth, cost)), start, step=0.7, tolerance=1e-7
    )
    assert prices == pytest.approx(wanted[0], rel=1e-12)
    assert loss == pytest.approx(wanted[1], rel=1e-12)


def test_nobody_pays_more_for_a_bundle_than_for_its_parts():
    sample = Bundles(worths=np.array([[10.0, 10.0], [3.0, 9.0]]), cost=np.zeros(2))
    sales = sample.sales([0.0, 4.0, 5.0, 12.0])
    assert sales.taken.tolist() == [3, 2]
    assert sales.profit == pytest.approx((9.0 + 5.0) / 2)


def test_where_a_bundles_buyers_come_from():
    worths = np.array([[10.0, 10.0], [12.0, 4.0], [6.0, 6.0], [1.0, 1.0]])
    sample = Bundles(worths=worths, cost=np.zeros(2))
    prices, singles = [0.0, 9.0, 9.0, 12.0], [9.0, 9.0]
    found = sample.diversion(prices, singles)
    # Of the three who take the pair one had both, one had the first alone, one had none.
    assert (found.discounted, found.upgraded, found.new) == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    assert found.gain == pytest.approx((36.0 - 27.0) / 4)


# --- Refusals -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Tariff(fee=-1.0), "fee=-1"),
        (lambda: Travellers(share=np.array([0.5, 0.4]), first_worth=np.array([1.0, 2.0]), slope=1.0, cost=0.0), "share sums to 0.9"),
        (lambda: Travellers(share=np.array([0.5, 0.5]), first_worth=np.array([2.0, 1.0]), slope=1.0, cost=0.0), "must rise"),
        (lambda: Travellers(share=np.array([1.0]), first_worth=np.array([2.0]), slope=0.0, cost=0.0), "slope=0"),
        (lambda: TwoGoods(first=UNIFORM, second=UNIFORM, correlation=1.0), "correlation=1"),
        (lambda: TwoGoods(first=UNIFORM, second=UNIFORM, correlation=0.0, cost=(-1.0, 0.0)), "cost=-1"),
        (lambda: Bundles(worths=np.ones((3, 2)), cost=np.zeros(3)), r"cost \(3,\)"),
        (lambda: Bundles(worths=np.array([[np.nan, 1.0]]), cost=np.zeros(2)), "not finite"),
        (lambda: correlated_worths([UNIFORM.ppf] * 2, [[1, 2], [2, 1]], 8, np.random.default_rng(0)), "no distribution"),
        (lambda: correlated_worths([UNIFORM.ppf] * 2, np.eye(3), 8, np.random.default_rng(0)), "for 2 goods"),
    ],
    ids=["fee", "shares", "order", "slope", "correlation", "cost", "shape", "nan", "matrix", "goods"],
)  # fmt: skip
def test_bad_input_is_refused_by_name(call, words):
    with pytest.raises(ValueError, match=words):
        call()

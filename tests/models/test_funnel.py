"""Decompositions that add up, and shrinkage against Efron and Morris's batters."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import betabinom, norm

from o2o_research.models.funnel import (
    Basket,
    Conversion,
    Funnel,
    efron_morris,
    fit_basket,
    fit_conversion,
    lmdi,
    shapley,
)
from o2o_research.models.numerics import NotConverged

FACTORS = ("footfall", "conversion", "basket", "frequency")
positive = st.fixed_dictionaries({name: st.floats(0.01, 100) for name in FACTORS})

# Efron & Morris (1975), table 1: batting averages after 45 at bats, and over the rest of 1970.
EARLY = [.400, .378, .356, .333, .311, .311, .289, .267, .244, .244, .222, .222, .222, .222, .222, .200, .178, .156]  # fmt: skip
REST = [.346, .298, .276, .222, .273, .270, .263, .210, .269, .230, .264, .256, .303, .264, .226, .285, .316, .200]  # fmt: skip


def arcsine(average: list[float]) -> np.ndarray:
    return math.sqrt(45) * np.arcsin(2 * np.array(average) - 1)


def test_shrinkage_matches_efron_morris_1975_table_1() -> None:
    early, rest = arcsine(EARLY), arcsine(REST)
    shrunk, kept = efron_morris(early)
    assert kept == pytest.approx(0.2090, abs=5e-4)  # the averages are printed to three digits
    clemente = (math.sin(shrunk[0] / math.sqrt(45)) + 1) / 2
    assert clemente == pytest.approx(0.290, abs=5e-4)
    assert np.sum((early - rest) ** 2) == pytest.approx(17.611, abs=0.06)
    assert np.sum((shrunk - rest) ** 2) == pytest.approx(5.015, abs=0.03)


@given(positive, positive)
def test_parts_add_up_to_the_change(before: dict[str, float], after: dict[str, float]) -> None:
    change = math.prod(after.values()) - math.prod(before.values())
    size = math.prod(after.values()) + math.prod(before.values())
    for split in (lmdi, shapley):
        assert float(sum(split(before, after).values())) == pytest.approx(change, abs=1e-9 * size)


@given(positive, positive, st.permutations(FACTORS))
def test_no_order_of_the_factors_matters(before, after, order) -> None:  # type: ignore[no-untyped-def]
    for split in (lmdi, shapley):
        plain = split(before, after)
        turned = split({k: before[k] for k in order}, {k: after[k] for k in order})
        for name in FACTORS:
            scale = sum(abs(float(v)) for v in plain.values()) + 1e-12
            assert float(turned[name]) == pytest.approx(float(plain[name]), abs=1e-9 * scale)


@given(positive, positive)
def test_turning_time_round_turns_the_sign(before, after) -> None:  # type: ignore[no-untyped-def]
    for split in (lmdi, shapley):
        there, back = split(before, after), split(after, before)
        scale = sum(abs(float(v)) for v in there.values()) + 1e-12
        for name in FACTORS:
            assert float(there[name]) == pytest.approx(-float(back[name]), abs=1e-9 * scale)


@given(positive, positive)
@settings(max_examples=20)
def test_shapley_is_the_mean_over_all_orders(before, after) -> None:  # type: ignore[no-untyped-def]
    mean = dict.fromkeys(FACTORS, 0.0)
    for order in permutations(FACTORS):
        now = dict(before)
        for name in order:
            old = math.prod(now.values())
            now[name] = after[name]
            mean[name] += (math.prod(now.values()) - old) / 24
    parts = shapley(before, after)
    scale = sum(abs(v) for v in mean.values()) + 1e-12
    for name in FACTORS:
        assert float(parts[name]) == pytest.approx(mean[name], abs=1e-9 * scale)


def test_two_factors_split_their_joint_part_in_half() -> None:
    parts = shapley({"x": 2.0, "y": 3.0}, {"x": 5.0, "y": 7.0})
    assert float(parts["x"]) == 3 * (3 + 7) / 2
    assert float(parts["y"]) == 4 * (2 + 5) / 2


def test_lmdi_of_an_unchanged_product_does_not_divide_by_zero() -> None:
    parts = lmdi({"x": 2.0, "y": 3.0}, {"x": 3.0, "y": 2.0})
    assert float(parts["x"]) == pytest.approx(6 * math.log(1.5))
    assert float(parts["x"]) == pytest.approx(-float(parts["y"]))
    assert float(lmdi({"x": 2.0}, {"x": 2.0})["x"]) == 0


def test_a_doubling_split_in_logs_is_each_factors_share_of_log_two() -> None:
    parts = lmdi({"x": 1.0, "y": 1.0}, {"x": 1.5, "y": 4 / 3})
    assert float(parts["x"]) == pytest.approx(math.log(1.5) / math.log(2))


def test_conversion_fit_finds_the_optimum_of_the_beta_binomial_likelihood() -> None:
    rng = np.random.default_rng(1)
    visits = rng.integers(50, 400, 300)
    purchases = rng.binomial(visits, rng.beta(0.2 * 60, 0.8 * 60, 300))
    fit = fit_conversion(visits, purchases)

    def likelihood(mean: float, s: float) -> float:
        return float(betabinom.logpmf(purchases, visits, mean * s, (1 - mean) * s).sum())

    best = fit.model
    assert fit.log_likelihood == pytest.approx(likelihood(best.mean, best.concentration))
    for mean, s in ((1.02, 1), (0.98, 1), (1, 1.1), (1, 0.9)):
        assert likelihood(best.mean * mean, best.concentration * s) < fit.log_likelihood
    assert abs(best.mean - 0.2) < 4 * fit.stderr["mean"]
    assert abs(best.concentration - 60) < 4 * fit.stderr["concentration"]


def test_shrunk_conversions_err_less_than_raw_ones() -> None:
    rng = np.random.default_rng(2)
    truth = rng.beta(0.2 * 50, 0.8 * 50, 400)
    visits = rng.integers(10, 60, 400)
    purchases = rng.binomial(visits, truth)
    model = fit_conversion(visits, purchases).model
    assert np.mean((model.shrunk(visits, purchases) - truth) ** 2) < 0.6 * np.mean(
        (purchases / visits - truth) ** 2
    )
    low, high = model.interval(visits, purchases)
    assert np.mean((low <= truth) & (truth <= high)) == pytest.approx(0.9, abs=0.05)
    above = model.chance_above(low, visits, purchases)
    assert above == pytest.approx(np.full(400, 0.95))


def test_stores_that_differ_by_chance_alone_are_said_to_be_pooled() -> None:
    with pytest.raises(NotConverged, match="pool them"):
        fit_conversion([100, 100, 100, 100], [20, 20, 21, 20])


def test_basket_fit_finds_the_optimum_of_its_likelihood() -> None:
    rng = np.random.default_rng(3)
    purchases = rng.integers(5, 60, 200)
    means = rng.normal(5.3, 0.2, 200) + rng.normal(0, 0.6, 200) / np.sqrt(purchases)
    variances = 0.36 * rng.chisquare(purchases - 1) / (purchases - 1)
    fit = fit_basket(means, variances, purchases)
    best = fit.model

    def likelihood(m: float, b: float) -> float:
        return float(norm.logpdf(means, m, np.sqrt(b**2 + best.within**2 / purchases)).sum())

    assert fit.log_likelihood == pytest.approx(likelihood(best.log_mean, best.between))
    for m, b in ((0.02, 1), (-0.02, 1), (0, 1.1), (0, 0.9)):
        assert likelihood(best.log_mean + m, best.between * b) < fit.log_likelihood
    assert abs(best.between - 0.2) < 4 * fit.stderr["between"]
    assert abs(best.within - 0.6) < 4 * fit.stderr["within"]


def test_stores_whose_baskets_never_vary_are_not_fitted() -> None:
    with pytest.raises(NotConverged, match="no store's baskets vary"):
        fit_basket([5.0, 5.1, 5.3], [0.0, 0, 0], [8, 8, 8])


def test_a_store_with_many_baskets_keeps_its_own_mean() -> None:
    basket = Basket(log_mean=5.0, between=0.3, within=0.5)
    assert float(basket.shrunk(5.4, 10**9)) == pytest.approx(math.exp(5.4 + 0.125))
    assert float(basket.kept(1)) == pytest.approx(0.09 / (0.09 + 0.25))
    low, high = basket.interval(5.4, 20)
    assert low < float(basket.shrunk(5.4, 20)) < high


def test_bad_funnels_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"conversion=1.2 must lie in \[0, 1\]"):
        Funnel(footfall=10, conversion=1.2, basket=1)
    with pytest.raises(ValueError, match="factor 'x' must lie in"):
        lmdi({"x": 0.0}, {"x": 1.0})
    with pytest.raises(ValueError, match="same factors before and after"):
        shapley({"x": 1.0}, {"y": 1.0})
    with pytest.raises(ValueError, match="store 1 has purchases=12 for visits=10"):
        fit_conversion([10, 10], [2, 12])
    with pytest.raises(ValueError, match="concentration=0 must lie in"):
        Conversion(mean=0.5, concentration=0)
    with pytest.raises(ValueError, match="store 2 has purchases=1"):
        fit_basket([1.0, 1, 1], [1.0, 1, 1], [3, 3, 1])

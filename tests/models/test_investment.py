"""Cash flows, the option to wait, least-squares Monte Carlo, and the staged choice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import interpolate, stats

from o2o_research.models.investment.cashflows import (
    every_rate,
    npv,
    payback,
    rates_of_return,
    trough,
)
from o2o_research.models.investment.exercise import (
    fit_policy,
    least_squares_steps,
    lognormal_paths,
)
from o2o_research.models.investment.programme import Programme
from o2o_research.models.investment.staged import Plan, Staged
from o2o_research.models.investment.waiting import Opportunity, Perpetual
from o2o_research.models.numerics import Array

# Cash flows


def test_rates_of_return_none_one_two_and_a_double_one() -> None:
    assert rates_of_return([-100.0, 200.0, -110.0]).size == 0
    assert rates_of_return([-100.0, 0.0, 0.0]).size == 0
    assert rates_of_return([-100.0, 50.0]) == pytest.approx([-0.5])
    assert rates_of_return([-100.0, 230.0, -132.0]) == pytest.approx([0.1, 0.2])
    assert rates_of_return([-1.0, 2.0, -1.0]) == pytest.approx([0.0], abs=1e-7)
    assert rates_of_return([0.0, -100.0, 110.0, 0.0]) == pytest.approx([0.1])


@given(
    rates=st.lists(st.floats(-0.6, 2.0), min_size=1, max_size=4, unique_by=lambda r: round(r, 1)),
    times=st.integers(0, 3),
)
@settings(max_examples=60)
def test_flows_made_from_rates_give_them_back(rates: list[float], times: int) -> None:
    flows = np.array([-1.0])
    for rate in rates:
        flows = np.convolve(flows, [1.0, -1.0 / (1.0 + rate)][::-1])
    # Each factor x - 1/(1 + r); a further factor without a positive zero changes nothing.
    for _ in range(times):
        flows = np.convolve(flows, [1.0, 0.3, 1.0])
    apart = np.diff(np.sort(rates)).min(initial=1.0) > 0.02
    if apart:
        assert rates_of_return(flows) == pytest.approx(sorted(rates), abs=1e-4)


def test_no_rate_is_missed_on_a_fine_grid_of_long_streams() -> None:
    rng = np.random.default_rng(2)
    flows = np.vstack([-1000 * np.ones(200), rng.normal(40, 60, (60, 200))])
    found = every_rate(flows)
    # ln(1 + r), so that both ends are covered evenly.
    grid = np.expm1(np.linspace(-0.5, 1.5, 4001))
    for k in range(200):
        signs = np.sign(npv(flows[:, k], grid))
        turns = int((signs[1:] != signs[:-1]).sum())
        inside = found.values[:, k]
        assert np.count_nonzero((inside > grid[0]) & (inside < grid[-1])) >= turns
        for rate in inside[np.isfinite(inside)]:
            size = np.abs(flows[:, k]) @ (1 + rate) ** -np.arange(61.0)
            assert abs(float(npv(flows[:, k], rate))) < 1e-9 * size


def test_streams_of_nothing_and_of_not_a_number_are_refused() -> None:
    with pytest.raises(ValueError, match="every rate would do"):
        rates_of_return([0.0, 0.0])
    with pytest.raises(ValueError, match="finite flows"):
        npv([-1.0, np.nan], 0.1)
    with pytest.raises(ValueError, match="rate=-1"):
        npv([-1.0, 2.0], -1.0)


def test_payback_and_trough_by_hand() -> None:
    flows = np.array([[-100.0, 5.0, -100.0], [60.0, 5.0, 150.0], [80.0, 5.0, -100.0], [0.0, 0.0, 70.0]])  # fmt: skip
    assert payback(flows).tolist() == [1.5, 0.0, pytest.approx(2 + 50 / 70)]
    assert np.isinf(payback([-100.0, 60.0]))
    deepest = trough(flows)
    assert deepest.depth.tolist() == [100.0, 0.0, 100.0]
    assert deepest.period.tolist()[0] == 0
    assert float(payback([-100.0, 55.0, 66.0], 0.1)) == pytest.approx(1 + 50 / (60 / 1.1))


# The programme


def programme(**changed: Any) -> Programme:
    case: dict[str, Any] = {
        "active": np.full(12, 1000.0), "recruits": np.zeros(12), "brands": np.linspace(0, 1, 12),
        "orders": 0.2, "ticket": 200.0, "margin_share": 0.2, "new_share": 0.3,
        "fulfilment_cost": 10.0, "fee_share": 0.01, "visits": 0.1, "conversion": 0.5,
        "basket": 300.0, "recruit_cost": 5.0, "care_cost": 1.0, "running_cost": 500.0,
        "investment": np.r_[10_000.0, np.zeros(11)],
    }  # fmt: skip
    return Programme(**(case | changed))


def test_the_terms_sum_to_the_flows_and_match_an_account_by_customer() -> None:
    plan = programme()
    month = 5
    orders = round(1000 * plan.brands[month] * 0.2)
    assert plan.online_orders[month] == pytest.approx(1000 * (5 / 11) * 0.2)
    account = 0.0
    for number in range(10_000):  # an order at a time, in ten-thousandths of the whole
        new = number < 3000
        account += ((200 * 0.2 if new else 0.0) - 200 * 0.01 - 10) / 10_000
    by_hand = account * plan.online_orders[month] + 1000 * 0.1 * 0.5 * 300 * 0.2 - 1000 - 500
    assert orders > 0
    assert plan.flows[month] == pytest.approx(by_hand)
    assert plan.flows[0] == pytest.approx(3000 - 1000 - 500 - 10_000)


@given(share=st.floats(0, 1), more=st.floats(0, 1))
def test_more_new_orders_never_cost(share: float, more: float) -> None:
    low, high = sorted((share, more))
    assert (programme(new_share=high).flows >= programme(new_share=low).flows - 1e-9).all()


def test_a_negative_investment_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"investment=-5 must lie in \[0, inf\)"):
        programme(investment=np.r_[-5.0, np.zeros(11)])
    with pytest.raises(ValueError, match="roll_out_cost=-1"):
        staged(roll_out_cost=-1.0)
    with pytest.raises(ValueError, match=r"cost=-2 must lie in \(0, inf\)"):
        Perpetual(cost=-2, rate=0.04, payout=0.04, volatility=0.2)


# Waiting


@pytest.mark.parametrize(("volatility", "multiple"), [(0.1, 1.421535), (0.2, 2.0), (0.4, 3.732051)])
def test_the_trigger_matches_mcdonald_siegel_1986(volatility: float, multiple: float) -> None:
    found = Perpetual(cost=1.0, rate=0.04, payout=0.04, volatility=volatility).multiple
    assert found == pytest.approx(multiple, abs=5e-7)


def test_a_rival_who_takes_all_is_a_higher_discount_rate() -> None:
    # With r + h for r and d + h for d the drift stays r - d: the same equation.
    threatened = Perpetual(
        cost=1.0, rate=0.04, payout=0.04, volatility=0.3, rival_rate=0.25, kept_share=0.0
    )
    discounted = Perpetual(cost=1.0, rate=0.29, payout=0.29, volatility=0.3)
    assert threatened.multiple == pytest.approx(discounted.multiple, rel=1e-12)
    assert threatened.option(0.9) == pytest.approx(discounted.option(0.9), rel=1e-12)


def test_a_rival_who_takes_nothing_changes_nothing() -> None:
    case: dict[str, Any] = {"cost": 2.0, "rate": 0.05, "payout": 0.04, "volatility": 0.3}
    harmless = Perpetual(**case, rival_rate=0.5, kept_share=1.0)
    assert harmless.multiple == pytest.approx(Perpetual(**case).multiple, rel=1e-9)
    assert harmless.option(2.5) == pytest.approx(Perpetual(**case).option(2.5), rel=1e-9)


def test_the_option_meets_the_payoff_smoothly() -> None:
    case = Perpetual(
        cost=1.0, rate=0.05, payout=0.05, volatility=0.3, rival_rate=0.2, kept_share=0.4
    )
    at, step = float(case.trigger), 1e-5
    assert case.option(at - step) == pytest.approx(at - 1 - step, abs=1e-8)
    slope = (case.option(at - step) - case.option(at - 2 * step)) / step
    assert slope == pytest.approx(1.0, abs=1e-3)


def test_the_option_solves_its_differential_equation() -> None:
    case = Perpetual(
        cost=1.0, rate=0.05, payout=0.03, volatility=0.3, rival_rate=0.2, kept_share=0.4
    )
    after = Perpetual(cost=1.0, rate=0.05, payout=0.03, volatility=0.3)
    v, step = 0.9, 1e-3
    low, here, high = (float(case.option(x)) for x in (v - step, v, v + step))
    slope, bend = (high - low) / (2 * step), (high - 2 * here + low) / step**2
    jump = float(after.option(0.4 * v)) - here
    assert 0.5 * 0.09 * v**2 * bend + 0.02 * v * slope - 0.05 * here + 0.2 * jump == pytest.approx(0.0, abs=1e-6)  # fmt: skip


@given(h=st.floats(0.01, 3), more=st.floats(0.01, 3), k=st.floats(0, 1))
@settings(max_examples=40)
def test_the_more_a_rival_threatens_the_sooner_one_invests(h: float, more: float, k: float) -> None:
    case: dict[str, Any] = {"cost": 1.0, "rate": 0.05, "payout": 0.05, "volatility": 0.3}
    low, high = sorted((h, more))
    first = Perpetual(**case, rival_rate=low, kept_share=k).multiple
    second = Perpetual(**case, rival_rate=high, kept_share=k).multiple
    assert second <= first + 1e-9
    assert second >= 1.0


@pytest.mark.parametrize("kept", [0.0, 0.3, 1.0])
def test_a_long_lattice_agrees_with_the_closed_form(kept: float) -> None:
    law: dict[str, Any] = {
        "cost": 1.0, "rate": 0.05, "payout": 0.05, "volatility": 0.3, "rival_rate": 0.2,
        "kept_share": kept,
    }  # fmt: skip
    closed = Perpetual(**law)
    at = float(closed.multiple)
    values = np.array([0.8, 1.1, 0.9 * at, 1.1 * at])
    found = Opportunity(**law, value=values, holding_cost=0.0, horizon=80.0).choice(800)
    # Eighty years for ever, and 800 steps for continuous time, both fall a little short.
    assert found.value == pytest.approx(closed.option(values), abs=2e-3)
    assert found.act.tolist() == [1, 1, 1, 2]


def test_without_a_cost_nobody_leaves_and_with_one_the_hopeless_do() -> None:
    law: dict[str, Any] = {
        "value": np.array([0.2, 1.1, 4.0]), "cost": 1.0, "rate": 0.05, "payout": 0.05,
        "volatility": 0.3, "rival_rate": 0.1, "kept_share": 0.5, "horizon": 5.0,
    }  # fmt: skip
    assert Opportunity(**law, holding_cost=0.0).choice().act.tolist() == [1, 1, 2]
    assert Opportunity(**law, holding_cost=0.05).choice().act.tolist() == [0, 1, 2]


# Least-squares Monte Carlo

EIGHT = np.array(
    [
        [1.09, 1.16, 1.22, 0.93, 1.11, 0.76, 0.92, 0.88],
        [1.08, 1.26, 1.07, 0.97, 1.56, 0.77, 0.84, 1.22],
        [1.34, 1.54, 1.03, 0.92, 1.52, 0.90, 1.01, 1.34],
    ]
)
DAY, YEAR = np.exp(-0.06), np.exp(-0.06 / 50)


def small_put(price: Array) -> Array:
    return np.maximum(1.10 - price, 0.0)


def put(price: Array) -> Array:
    return np.maximum(40.0 - price, 0.0)


def european(price: Array, date: int) -> Array:
    """Black and Scholes at exercise date ``date`` of fifty."""
    left = 1.0 - (date + 1) / 50
    if left < 1e-12:
        return put(price)
    width = 0.2 * np.sqrt(left)
    upper = (np.log(price / 40) + 0.06 * left) / width + 0.5 * width
    return np.asarray(
        40 * np.exp(-0.06 * left) * stats.norm.cdf(width - upper) - price * stats.norm.cdf(-upper)
    )


def tree(steps_a_date: int) -> float:
    """The put of Table 1, exercisable at its fifty dates alone, on a binomial tree."""
    n = 50 * steps_a_date
    dt = 1.0 / n
    up = np.exp(0.2 * np.sqrt(dt))
    chance = (np.exp(0.06 * dt) - 1 / up) / (up - 1 / up)
    value = put(36 * up ** (2.0 * np.arange(n + 1) - n))
    for step in range(n - 1, -1, -1):
        value = np.exp(-0.06 * dt) * (chance * value[1:] + (1 - chance) * value[:-1])
        if step and step % steps_a_date == 0:
            value = np.maximum(value, put(36 * up ** (2.0 * np.arange(step + 1) - step)))
    return float(value[0])


def test_the_eight_paths_match_longstaff_schwartz_2001() -> None:
    second, first = least_squares_steps(EIGHT, small_put, DAY)
    assert second.coefficients == pytest.approx([-1.070, 2.983, -1.814], abs=5.1e-4)
    assert first.coefficients == pytest.approx([2.038, -3.335, 1.356], abs=5e-4)
    assert DAY * first.value == pytest.approx(0.1144, abs=5e-5)
    assert fit_policy(EIGHT, small_put, DAY, degree=2).value(EIGHT).value == pytest.approx(0.1144, abs=5e-5)  # fmt: skip
    assert DAY**3 * small_put(EIGHT[-1]).mean() == pytest.approx(0.0564, abs=5e-5)


def test_the_tree_matches_table_1_at_its_own_dates() -> None:
    assert tree(40) == pytest.approx(4.478, abs=2e-3)


def test_bounds_enclose_table_1_at_its_own_dates() -> None:
    rng, times = np.random.default_rng(1), np.arange(1, 51) / 50
    policy = fit_policy(lognormal_paths(36, 0.06, 0.2, times, 50_000, rng), put, YEAR, degree=4)
    low = policy.value(lognormal_paths(36, 0.06, 0.2, times, 100_000, rng))

    def advance(price: Array, date: int, rng: np.random.Generator) -> Array:
        return np.asarray(
            price * np.exp(0.04 / 50 + 0.2 * np.sqrt(1 / 50) * rng.standard_normal(price.size))
        )

    high = policy.upper_bound(36.0, advance, rng, outer=200, inner=60, control=european)
    assert low.value - 3 * low.stderr < 4.478 < high.value + 3 * high.stderr
    assert low.value > 4.478 - 0.01 - 3 * low.stderr
    assert high.value < 4.478 + 0.02 + 3 * high.stderr


def test_the_paths_fitted_on_look_better_than_others() -> None:
    rng, times = np.random.default_rng(7), np.arange(1, 11) / 10
    gaps = []
    for _ in range(40):
        paths = lognormal_paths(36, 0.06, 0.2, times, 60, rng)
        policy = fit_policy(paths, put, np.exp(-0.006), degree=4)
        others = lognormal_paths(36, 0.06, 0.2, times, 4000, rng)
        gaps.append(policy.value(paths).value - policy.value(others).value)
    assert np.mean(gaps) > 3 * np.std(gaps) / np.sqrt(40)


def test_broken_paths_are_refused() -> None:
    with pytest.raises(ValueError, match="dates >= 2"):
        fit_policy(np.ones((1, 5)), put, 0.9)
    with pytest.raises(ValueError, match="finite"):
        fit_policy(np.array([[1.0, np.nan], [1.0, 1.0]]), put, 0.9)
    with pytest.raises(ValueError, match=r"discount=1\.2"):
        fit_policy(np.ones((2, 5)), put, 1.2)


def test_a_date_out_of_the_money_is_passed_over() -> None:
    paths = np.array([[50.0, 60.0, 55.0], [30.0, 45.0, 35.0]])
    policy = fit_policy(paths, put, 0.9)
    assert np.isnan(policy.coefficients).all()
    assert policy.value(paths).value == pytest.approx(0.81 * (10 + 0 + 5) / 3)


# The staged choice


def staged(**changed: Any) -> Staged:
    case: dict[str, Any] = {
        "members": 20_000.0, "growth": 0.0, "volatility": 0.3, "margin": -60.0,
        "normal_margin": 120.0, "recovery_rate": 0.8, "margin_noise": 40.0, "rate": 0.05,
        "fading": 0.15, "quality_spread": 0.6, "signal_noise": 0.5, "pilot_cost": 2e5,
        "roll_out_cost": 8e6, "pilot_share": 0.1, "pilot_rate": 3e5, "holding_rate": 2e5,
        "salvage": 1e5, "rival_rate": 0.2, "kept_share": 0.5,
    }  # fmt: skip
    return Staged(**(case | changed))


def by_quadrature(case: Staged) -> float:
    """A slower second method: dynamic programming on a grid, expectations by Gauss's rule."""
    logs, us = np.linspace(-2.6, 2.6, 131), np.linspace(-4.0, 4.0, 41)
    z, u = (side.ravel() for side in np.meshgrid(np.exp(logs), us, indexing="ij"))
    at, weight = np.polynomial.hermite_e.hermegauss(21)
    weight = weight / weight.sum()
    kept, noise = case._margin_step()
    plan = Plan(case, {}, {})
    worth: dict[tuple[int, bool], Any] = {}

    def ahead(age: int, old: int, rival: bool) -> Array:
        lessons = case._step_variance(age) if age and old < age else case.volatility**2 * case.period  # fmt: skip
        total = np.zeros(z.size)
        for a, wa in zip(at, weight, strict=True):
            moved = np.log(z) + case.growth * case.period + np.sqrt(lessons) * a - 0.5 * lessons
            for b, wb in zip(at, weight, strict=True):
                place = np.stack([moved, kept * u + noise * b], axis=1)
                total += wa * wb * worth[age, rival](place)
        return np.asarray(total)

    for t in range(case.periods, -1, -1):
        made = {}
        for rival in (False, True):
            for age in range(case.pilot_periods + 1):
                paid = plan._paid(age, z, u, rival)
                best = np.maximum(paid[0], paid[3])
                if t < case.periods:
                    alone = 1.0 if rival else np.exp(-case.rival_rate * case.period)

                    def later(to: int, old: int = age, me: bool = rival, p: float = alone) -> Array:
                        money = np.exp(-case.rate * case.period)
                        own, other = ahead(to, old, me), 0.0
                        if not me:
                            other = ahead(to, old, True)
                        return np.asarray(money * (p * own + (1 - p) * other))

                    best = np.maximum(best, paid[2] + later(min(age + 1, case.pilot_periods)))
                    if age == 0:
                        best = np.maximum(best, paid[1] + later(0))
                made[age, rival] = interpolate.RegularGridInterpolator(
                    (logs, us), best.reshape(logs.size, us.size), bounds_error=False, fill_value=None
                )  # fmt: skip
        worth = made
    start = (case.margin - case.normal_margin) / case._margin_unit
    return float(worth[0, False](np.array([[0.0, start]]))[0])


def test_bounds_enclose_dynamic_programming_on_a_grid() -> None:
    case = staged(periods=3, pilot_periods=1, period=0.5)
    exact = by_quadrature(case)
    plan = case.solve(np.random.default_rng(1))
    low = plan.lower_bound(np.random.default_rng(2), 20_000)
    high = plan.upper_bound(np.random.default_rng(3))
    # The grid's own error is well under a hundredth.
    slack = 0.004 * exact
    assert low.value.value - 3 * low.value.stderr < exact + slack
    assert exact - slack < high.value + 3 * high.stderr
    assert high.value - low.value.value < 0.01 * exact


def test_bounds_of_four_years_are_close() -> None:
    plan = staged().solve(np.random.default_rng(4))
    low = plan.lower_bound(np.random.default_rng(5))
    high = plan.upper_bound(np.random.default_rng(6))
    assert low.value.value - 3 * low.value.stderr <= high.value + 3 * high.stderr
    assert high.value - low.value.value < 0.01 * high.value
    assert low.piloted + low.rolled_out + low.left > 0.99
    assert low.value.value > staged().now_or_never


def test_with_nothing_to_learn_and_a_settled_margin_it_is_the_lattice() -> None:
    case = staged(
        members=1.0, margin=0.2, normal_margin=0.2, margin_noise=0.0, quality_spread=0.0,
        pilot_cost=0.0, salvage=0.0, roll_out_cost=1.0, pilot_share=0.0, pilot_rate=10.0,
        holding_rate=0.0, rival_rate=0.3, kept_share=0.3, periods=20, pilot_periods=1,
    )  # fmt: skip
    # Growth 0 at a rate of 5 % is a payout of 5 %; decisions by the quarter on both.
    lattice = Opportunity(
        value=1.0, cost=1.0, rate=0.05, payout=0.05, volatility=0.3, rival_rate=0.3,
        kept_share=0.3, holding_cost=0.0, horizon=5.0,
    )  # fmt: skip
    often = float(lattice.choice(1500).value)
    plan = case.solve(np.random.default_rng(7))
    low, high = plan.lower_bound(np.random.default_rng(8)), plan.upper_bound(np.random.default_rng(9))  # fmt: skip
    # Deciding by the quarter is worth a little less than deciding at any time.
    assert 0.96 * often < low.value.value <= often + 3 * low.value.stderr
    assert high.value + 3 * high.stderr > low.value.value


def test_a_certain_case_is_worked_by_hand() -> None:
    case = staged(
        volatility=0.0, margin_noise=0.0, quality_spread=0.0, rival_rate=0.0, pilot_share=0.0,
        holding_rate=1e9, pilot_rate=1e9, periods=2,
    )  # fmt: skip
    # Waiting is too dear and so is a pilot: now or never.
    low = case.solve(np.random.default_rng(1)).lower_bound(np.random.default_rng(2), 100)
    fade, slope = 0.2, 1.0
    prize = 20_000 * (120 * (1 / fade - slope) + slope * -60)
    assert case.prize(20_000, -60) == pytest.approx(prize)
    assert low.value.value == pytest.approx(prize - 2e5 - 8e6)
    assert low.rolled_out == 1.0


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("rival_rate", 0.0, 1.0), ("roll_out_cost", 7e6, 9e6), ("holding_rate", 0.0, 5e5)],
)
def test_what_hurts_lowers_the_value(name: str, low: float, high: float) -> None:
    values = []
    for each in (low, high):
        plan = staged(periods=6, **{name: each}).solve(np.random.default_rng(11), 2000)
        values.append(plan.lower_bound(np.random.default_rng(12), 4000).value.value)
    assert values[1] < values[0]


def test_impossible_stages_are_refused() -> None:
    with pytest.raises(ValueError, match=r"kept_share=1\.4"):
        staged(kept_share=1.4)
    with pytest.raises(ValueError, match="salvage=300000 must not exceed pilot_cost=200000"):
        staged(salvage=3e5)
    with pytest.raises(ValueError, match=r"rate \+ fading"):
        staged(fading=-0.2)

"""Splits of a budget against closed forms, enumeration, and their own conditions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from o2o_research.models.allocation import Response, best_split, split_steps, water_fill
from o2o_research.models.numerics import NotConverged


def outlets(ceiling, half_spend, shape, room):
    n = len(ceiling)
    return Response(
        ceiling=np.array(ceiling, float), half_spend=np.array(half_spend, float),
        shape=np.broadcast_to(np.asarray(shape, float), n).copy(),
        room=np.broadcast_to(np.asarray(room, float), n).copy(),
    )  # fmt: skip


@st.composite
def responses(draw, shapes):
    n = draw(st.integers(2, 6))
    return outlets(
        draw(st.lists(st.floats(5, 200), min_size=n, max_size=n)),
        draw(st.lists(st.floats(2, 60), min_size=n, max_size=n)),
        draw(st.lists(st.sampled_from(shapes), min_size=n, max_size=n)),
        draw(st.lists(st.floats(5, 100), min_size=n, max_size=n)),
    )


def test_hyperbolic_responses_split_by_their_closed_form():
    # C k / (k + s)^2 = L: s = sqrt(C k / L) - k, and L from the budget.
    c, k = np.array([100.0, 60.0, 80.0]), np.array([10.0, 20.0, 5.0])
    split = water_fill(outlets(c, k, 1.0, 1e6), 30.0)
    level = (np.sqrt(c * k).sum() / (30.0 + k.sum())) ** 2
    assert split.spend == pytest.approx(np.sqrt(c * k / level) - k, rel=1e-9)
    assert split.budget_value == pytest.approx(level - 1.0, rel=1e-9)
    assert split.gap == 0.0


def test_a_budget_beyond_need_is_kept():
    c, k = np.array([100.0, 60.0]), np.array([10.0, 20.0])
    split = water_fill(outlets(c, k, 1.0, 1e6), 1e5)
    assert split.spend == pytest.approx(np.sqrt(c * k) - k, rel=1e-8)
    assert split.budget_value == 0.0


def test_what_one_more_yuan_of_budget_or_of_room_earns():
    response = outlets([200.0, 120.0, 90.0], [10.0, 15.0, 20.0], 0.8, [12.0, 100.0, 100.0])
    split = water_fill(response, 60.0)
    assert split.spend[0] == pytest.approx(12.0)
    step = 1e-3
    more, less = (water_fill(response, 60.0 + d).profit for d in (step, -step))
    assert (more - less) / (2 * step) == pytest.approx(split.budget_value, rel=1e-4)
    wider, tighter = (
        water_fill(outlets([200.0, 120.0, 90.0], [10.0, 15.0, 20.0], 0.8, [12.0 + d, 100.0, 100.0]), 60.0).profit
        for d in (step, -step)
    )  # fmt: skip
    assert (wider - tighter) / (2 * step) == pytest.approx(split.room_values[0], rel=1e-4)
    assert split.room_values[1:].tolist() == [0.0, 0.0]


@settings(max_examples=20)
@given(response=responses([0.5, 0.8, 1.0]), budget=st.floats(1, 200))
def test_the_conditions_hold_and_another_solver_finds_no_better(response, budget):
    split = water_fill(response, budget)
    assert np.all(split.spend >= 0)
    assert np.all(split.spend <= response.room * (1 + 1e-12))
    assert split.spend.sum() <= budget * (1 + 1e-9)
    level = 1.0 + split.budget_value
    slope = response.slope(np.maximum(split.spend, 1e-12))
    inside = (split.spend > 1e-6) & (split.spend < response.room * (1 - 1e-6))
    assert slope[inside] == pytest.approx(np.full(inside.sum(), level), rel=1e-5)
    unused = split.spend <= 1e-9
    assert np.all(response.slope(np.zeros_like(slope))[unused] <= level * (1 + 1e-6))

    def loss(s):
        return -float((response.gain(np.maximum(s, 0)) - s).sum())

    start = np.minimum(response.room, budget / response.room.size) * 0.5
    other = optimize.minimize(
        loss, start, method="SLSQP", bounds=[(1e-9, r) for r in response.room],
        constraints={"type": "ineq", "fun": lambda s: budget - s.sum()}, options={"maxiter": 300},
    )  # fmt: skip
    assert -other.fun <= split.profit + 1e-5 * max(1.0, abs(split.profit))


def test_the_search_agrees_with_water_filling_where_all_is_concave():
    response = outlets([200.0, 120.0, 90.0], [10.0, 15.0, 20.0], [0.8, 1.0, 0.6], 40.0)
    first, second = water_fill(response, 60.0), best_split(response, 60.0)
    assert second.profit == pytest.approx(first.profit, rel=1e-9)
    assert second.spend == pytest.approx(first.spend, abs=1e-6)
    assert second.budget_value == pytest.approx(first.budget_value, rel=1e-6)


@pytest.mark.parametrize("budget", [20.0, 50.0, 90.0])
def test_thresholds_are_searched_to_the_best_of_a_fine_grid(budget):
    response = outlets([100.0, 80.0, 60.0], [30.0, 20.0, 15.0], [3.0, 2.5, 4.0], 60.0)
    split = best_split(response, budget)
    grid = np.linspace(0, 60, 241)
    with np.errstate(divide="ignore"):
        each = [
            c / (1 + (k / grid) ** h) - grid
            for c, k, h in zip(response.ceiling, response.half_spend, response.shape, strict=True)
        ]
    total = each[0][:, None, None] + each[1][:, None] + each[2]
    cost = grid[:, None, None] + grid[:, None] + grid
    on_grid = total[cost <= budget + 1e-9].max()
    assert split.profit >= on_grid - 1e-9
    assert split.bound >= on_grid
    assert split.gap <= 1.001e-6 * max(1.0, split.profit)


def test_of_equal_outlets_with_a_threshold_some_get_nothing():
    # Spread evenly the budget lies below every threshold; the best funds m of n alike.
    response = outlets([100.0] * 6, [20.0] * 6, 4.0, 100.0)
    split = best_split(response, 60.0)

    def funded(m):
        s = 60.0 / m
        return m * (100.0 / (1 + (20.0 / s) ** 4)) - 60.0

    best = max(range(1, 7), key=funded)
    assert best < 6
    assert np.count_nonzero(split.spend > 1e-6) == best
    assert split.profit == pytest.approx(funded(best), rel=1e-6)
    # Equal slopes hold at the even split too, and it is much worse.
    assert funded(6) < 0.7 * split.profit


@settings(max_examples=12)
@given(response=responses([0.7, 1.0, 2.0, 4.0]), budget=st.floats(5, 150), seed=st.integers(0, 99))
def test_no_random_split_beats_the_bound(response, budget, seed):
    split = best_split(response, budget)
    rng = np.random.default_rng(seed)
    tried = rng.dirichlet(np.full(response.room.size, 0.4), 400) * budget
    tried = np.minimum(tried, response.room)
    profit = (np.array([response.gain(s) for s in tried]) - tried).sum(axis=1)
    assert profit.max() <= split.profit + 1e-6 * max(1.0, abs(split.profit))
    assert split.spend.sum() <= budget * (1 + 1e-9)


def test_the_bound_falls_and_the_best_rises_step_by_step():
    response = outlets([100.0, 95.0, 90.0, 85.0], [25.0, 24.0, 23.0, 22.0], 3.0, 100.0)
    nodes = [node for node, *_ in split_steps(response, 65.0)]
    assert np.all(np.diff([node.profit for node in nodes]) >= 0)
    assert np.all(np.diff([node.bound for node in nodes]) <= 1e-9)


def test_slopes_are_finite_differences_and_bend_where_they_peak():
    response = outlets([100.0, 50.0, 80.0], [30.0, 10.0, 20.0], [0.7, 1.0, 3.0], 100.0)
    at, step = np.array([7.0, 8.0, 9.0]), 1e-5
    by_hand = (response.gain(at + step) - response.gain(at - step)) / (2 * step)
    assert response.slope(at) == pytest.approx(by_hand, rel=1e-7)
    grid = np.linspace(0.1, 60, 60_000)
    one = outlets([80.0], [20.0], 3.0, 100.0)
    slopes = np.array([one.slope(np.array([s]))[0] for s in grid[::20]])
    assert one.bend[0] == pytest.approx(grid[::20][slopes.argmax()], abs=0.02)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: outlets([0.0], [1.0], 1.0, 1.0), "ceiling=0"),
        (lambda: outlets([1.0], [1.0], 9.0, 1.0), "shape=9"),
        (lambda: outlets([1.0], [1.0], 1.0, -1.0), "room=-1"),
        (lambda: water_fill(outlets([1.0], [1.0], 1.0, 1.0), -5.0), "budget=-5"),
        (lambda: water_fill(outlets([1.0], [1.0], 2.0, 1.0), 5.0), "shape=2 has a threshold"),
        (lambda: best_split(outlets([1.0], [1.0], 2.0, 1.0), np.inf), "budget=inf"),
        (lambda: Response(ceiling=np.ones(2), half_spend=np.ones(3), shape=np.ones(2), room=np.ones(2)), "one number an outlet"),
    ],
    ids=["ceiling", "shape", "room", "budget", "threshold", "endless", "lengths"],
)  # fmt: skip
def test_bad_input_is_refused_by_name(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_a_search_cut_short_says_what_is_left():
    response = outlets(np.linspace(60, 100, 8), np.linspace(20, 30, 8), 6.0, 100.0)
    with pytest.raises(NotConverged, match="a gap of"):
        best_split(response, 70.0, tolerance=1e-12, most_nodes=2)

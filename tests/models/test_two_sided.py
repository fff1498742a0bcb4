"""Two sides that wait: states against root-finding, the edge against starts on both sides of it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, optimize

from o2o_research.models.diffusion.bass import Bass
from o2o_research.models.two_sided import Side, TwoSided

MALL = TwoSided(
    members=Side(innovation=0.002, imitation=0.03, attraction=0.08, leaving=0.2, holding=4),
    brands=Side(innovation=0.002, imitation=0.01, attraction=0.08, leaving=0.15, holding=4),
)


def rates(most):
    """From none to the most; the numbers beside 0 that double precision cannot divide are no rates."""
    return st.floats(0, most, allow_subnormal=False)


sides = st.builds(
    Side,
    innovation=st.floats(1e-4, 0.02),
    imitation=rates(0.3),
    attraction=rates(0.4),
    leaving=rates(0.5),
    holding=rates(4),
)
markets = st.builds(
    TwoSided, members=sides, brands=sides, onboarding_capacity=st.sampled_from([np.inf, 0.02, 0.1])
)


@settings(max_examples=60)
@given(market=markets)
def test_states_stay_and_their_stability_is_what_a_push_shows(market):
    for state in market.equilibria():
        dx, dy = market.flow(state.members, state.brands)
        assert abs(dx) + abs(dy) < 1e-9
        if state.stable:
            x, y = market.path(
                np.clip(state.members + np.array([-1e-4, 1e-4]), 0, 1),
                np.clip(state.brands + np.array([-1e-4, 1e-4]), 0, 1),
                60,
            )
            away = np.hypot(x - state.members, y - state.brands)
            assert np.all(away[-1] <= away[0] * 1.5 + 1e-9)


@settings(max_examples=15)
@given(market=markets)
def test_states_match_root_finding_from_everywhere(market):
    found = {(round(e.members, 5), round(e.brands, 5)) for e in market.equilibria()}
    starts = np.linspace(0.02, 0.98, 7)
    for x in starts:
        for y in starts:
            with np.errstate(over="ignore"):  # far outside, where no answer counts
                answer = optimize.root(
                    lambda state: np.ravel(market.flow(*state)), [x, y], tol=1e-12
                )
            inside = np.all((answer.x >= -1e-9) & (answer.x <= 1 + 1e-9))
            if answer.success and inside and np.abs(answer.fun).max() < 1e-11:
                near = min(np.hypot(answer.x[0] - a, answer.x[1] - b) for a, b in found)
                assert near < 1e-4


@settings(max_examples=60)
@given(market=markets)
def test_without_holding_there_is_one_stable_future(market):
    # Attraction across the sides is not enough for a critical mass.
    plain = TwoSided(
        members=replace(market.members, holding=0.0), brands=replace(market.brands, holding=0.0)
    )
    assert sum(e.stable for e in plain.equilibria()) == 1
    assert plain.saddle is None
    with pytest.raises(ValueError, match="one future"):
        plain.tipping_curve()


def test_a_saddle_lies_between_two_futures():
    low, middle, high = MALL.equilibria()
    assert [low.stable, middle.stable, high.stable] == [True, False, True]
    assert low.members < middle.members < high.members
    assert low.brands < middle.brands < high.brands
    assert MALL.saddle == middle


def test_the_edge_parts_starts_that_grow_from_starts_that_shrink():
    members, brands = MALL.tipping_curve(points=15)
    inner = slice(1, -1)
    for push, grows in ((1.02, True), (0.98, False)):
        x, _ = MALL.path(members[inner] * push, brands[inner] * push, 1500)
        assert np.all((x[-1] > 0.5) == grows)
    assert np.all(np.diff(members) < 0)  # more brands, fewer members


def test_the_edge_by_manifold_is_the_edge_by_halving():
    members, brands = MALL.tipping_curve(points=201)
    halved = MALL.critical_members(brands[::20])
    np.testing.assert_allclose(members[::20], halved, atol=2e-4)
    blocked = replace(MALL, onboarding_capacity=0.01)
    members, brands = blocked.tipping_curve(points=201)
    inner = members < 0.999
    np.testing.assert_allclose(
        members[inner][::20], blocked.critical_members(brands[inner][::20]), atol=2e-4
    )


def test_one_side_alone_is_bass():
    market = TwoSided(
        members=Side(innovation=0.03, imitation=0.38, attraction=0.0, leaving=0.0),
        brands=Side(innovation=0.01, imitation=0.1, attraction=0.0, leaving=0.0),
    )
    x, y = market.path(0.0, 0.0, 12)
    t = np.arange(13)
    np.testing.assert_allclose(
        x, Bass(market=1, innovation=0.03, imitation=0.38).adopted_share(t), atol=1e-8
    )
    np.testing.assert_allclose(
        y, Bass(market=1, innovation=0.01, imitation=0.1).adopted_share(t), atol=1e-8
    )


def test_paths_agree_with_another_integrator_also_when_blocked():
    market = replace(MALL, onboarding_capacity=0.01)
    x, y = market.path(0.5, 0.3, 40)
    exact = integrate.solve_ivp(
        lambda t, s: np.ravel(market.flow(*s)), (0, 40), [0.5, 0.3],
        t_eval=np.arange(41), rtol=1e-9, atol=1e-11, max_step=0.05,
    ).y  # fmt: skip
    np.testing.assert_allclose(np.stack([x, y]), exact, atol=2e-6)


@settings(max_examples=30)
@given(
    market=markets, start=st.tuples(st.floats(0, 0.5), st.floats(0, 0.5)), more=st.floats(0, 0.5)
)
def test_more_of_either_side_never_means_less_later(market, start, more):
    x, y = market.path(
        np.array([start[0], start[0] + more, start[0]]),
        np.array([start[1], start[1], start[1] + more]),
        30,
    )
    assert np.all(x[:, 1:] >= x[:, [0]] - 1e-9)
    assert np.all(y[:, 1:] >= y[:, [0]] - 1e-9)
    assert np.all((x >= -1e-12) & (x <= 1 + 1e-12))


def test_a_subsidy_that_makes_brands_join_lowers_the_critical_mass():
    eager = replace(MALL, brands=replace(MALL.brands, innovation=0.006))
    at = np.array([0.02, 0.1, 0.2])
    assert np.all(eager.critical_members(at) < MALL.critical_members(at))
    saved = MALL.members_saved_per_brand(0.1)
    ends = MALL.critical_members(np.array([0.08, 0.12]))
    assert saved == pytest.approx((ends[0] - ends[1]) / 0.04, rel=0.02)


def test_the_cheapest_start_is_the_cheapest_on_the_edge():
    members, brands, cost = MALL.cheapest_start(1.0, 1.0)
    assert members == pytest.approx(MALL.critical_members(brands), abs=1e-3)
    other = MALL.critical_members(np.linspace(0, 0.32, 33)) + np.linspace(0, 0.32, 33)
    assert cost <= other.min() + 1e-4


def test_onboarding_blocks_below_the_capacity_needed_and_not_above():
    need = MALL.capacity_needed(0.3, 0.2)
    for factor, grows in ((1.05, True), (0.95, False)):
        x, _ = replace(MALL, onboarding_capacity=factor * need).path(0.3, 0.2, 2000)
        assert (x[-1] > 0.5) == grows
    blocked = replace(MALL, onboarding_capacity=0.01)
    assert blocked.capacity_elasticity(0.5, 0.3, 30) > 0
    assert blocked.blocked_periods(0.5, 0.3, 30) > 0
    assert MALL.blocked_periods(0.5, 0.3, 30) == 0
    assert replace(MALL, onboarding_capacity=5.0).capacity_elasticity(0.5, 0.3, 30) == 0


def test_no_capacity_helps_a_start_that_is_too_small():
    assert MALL.capacity_needed(0.0, 0.0) == np.inf


def test_draws_give_one_critical_mass_each():
    draws = replace(MALL, members=replace(MALL.members, attraction=np.array([0.08, 0.1])))
    each = [
        replace(MALL, members=replace(MALL.members, attraction=a)).critical_members(0.1)
        for a in (0.08, 0.1)
    ]
    np.testing.assert_allclose(draws.critical_members(0.1), each)
    assert draws.path(0.1, 0.1, 5)[0].shape == (6, 2)
    with pytest.raises(ValueError, match=r"draws of shape \(2,\)"):
        draws.equilibria()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: replace(MALL.members, leaving=-0.1), "leaving=-0.1"),
        (lambda: replace(MALL.members, holding=-1.0), "holding=-1"),
        (lambda: replace(MALL, onboarding_capacity=0.0), "onboarding_capacity=0"),
        (lambda: MALL.path(1.2, 0.0, 3), "members=1.2"),
        (lambda: MALL.critical_members(-0.1), "brands=-0.1"),
        (
            lambda: replace(
                MALL, members=replace(MALL.members, holding=0.0)
            ).members_saved_per_brand(0.1),
            "no critical mass at brands=0.1",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()

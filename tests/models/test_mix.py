"""The channel mix against closed forms, dynamic programming, a second solver and random weeks."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from o2o_research.models.mix import ChannelDemand, Mix, Plan
from o2o_research.models.numerics import NotConverged, linear_program

DAYPARTS = ("weekday lunch", "weekday dinner", "weekend lunch", "weekend dinner")


def restaurant(**changes) -> Mix:
    table = [0.25, 0.35, 0.15, 0.25]
    home = [0.4, 0.35, 0.15, 0.1]

    def channel(contribution, base, won, spend, beta, elasticity, effect, dishes, places, shares):
        return ChannelDemand(
            contribution=contribution,
            base_guests=base,
            won_guests=won,
            reference_spend=spend,
            spend_elasticity=beta,
            goodwill_elasticity=elasticity,
            goodwill_effect=effect / 36_000,
            dishes=dishes,
            places=places,
            daypart_shares=shares,
        )

    usual = {
        "channels": {
            "dine_in": channel(38, 1_400, 250, 3_000, 0.3, 0.5, 1.0, 1.6, 1.0, table),
            "reservation": channel(36, 150, 120, 1_000, 0.4, 0.5, 1.0, 1.6, 1.1, table[::-1]),
            "voucher": channel(20, 300, 500, 2_000, 0.5, 0.2, -0.8, 1.6, 1.0, [0.25] * 4),
            "platform_delivery": channel(18, 250, 300, 2_000, 0.4, 0.3, 0.2, 1.5, 0.0, home),
            "direct_delivery": channel(22, 80, 150, 2_000, 0.6, 0.4, 0.3, 1.5, 0.0, home),
        },
        "places": [720.0, 840.0, 288.0, 384.0],
        "dishes": [1_600.0, 1_700.0, 560.0, 750.0],
        "decay_rate": 0.05,
    }
    return Mix(**(usual | changes))


REFERENCE = restaurant()
BEST = REFERENCE.best()


def single(**changes) -> Mix:
    """One channel, one daypart, room to spare: everything has a closed form."""
    usual = {
        "contribution": 30.0,
        "base_guests": 0.0,
        "won_guests": 400.0,
        "reference_spend": 1_000.0,
        "spend_elasticity": 0.4,
        "goodwill_elasticity": 0.3,
        "goodwill_effect": 1e-4,
        "dishes": 2.0,
        "places": 1.0,
        "daypart_shares": [1.0],
    }
    decay = changes.pop("decay_rate", 0.05)
    places = changes.pop("places_a_week", 1e5)
    dishes = changes.pop("dishes_a_week", 2e5)
    channel = ChannelDemand(**(usual | changes))
    return Mix(channels={"only": channel}, places=[places], dishes=[dishes], decay_rate=decay)


# --- Closed forms ---------------------------------------------------------------------


def test_without_goodwill_effects_spend_is_where_a_yuan_brings_a_yuan():
    mix = single(goodwill_elasticity=1e-7, base_guests=100.0)
    # m n beta (s / R)^(beta - 1) / R = 1.
    spend = 1_000 * (30 * 400 * 0.4 / 1_000) ** (1 / 0.6)
    best = mix.best()
    assert best.spend[0] == pytest.approx(spend, rel=1e-6)
    assert best.demand[0] == pytest.approx(100 + 400 * (spend / 1_000) ** 0.4, rel=1e-6)
    assert best.place_values[0] == pytest.approx(0.0, abs=1e-6)


def test_a_full_room_is_worth_the_contribution_less_the_cost_of_the_last_guest():
    mix = single(goodwill_elasticity=1e-7, base_guests=100.0, places_a_week=300.0)
    best = mix.best()
    # 200 guests are won by s = R / 2^(1 / beta); the last of them costs s / (200 beta).
    spend = 1_000 * 0.5**2.5
    assert best.spend[0] == pytest.approx(spend, rel=1e-6)
    assert best.place_values[0] == pytest.approx(30 - spend / (200 * 0.4), rel=1e-6)
    assert best.dish_values[0] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("rate", [0.0, 0.002, 0.5])
@pytest.mark.parametrize("elasticity", [0.1, 0.4])
def test_one_channel_holds_the_goodwill_of_the_closed_form(rate, elasticity):
    # D^(p - 1) = m beta / (K (1 - e delta / (delta + rho))), p = (1 - e) / beta,
    # K = R ((delta / g)^e / n)^(1 / beta).
    power = (1 - elasticity) / 0.4
    weight = 1_000 * ((0.05 / 1e-4) ** elasticity / 400) ** 2.5
    worth = 30 * 0.4 / (weight * (1 - elasticity * 0.05 / (0.05 + rate)))
    guests = worth ** (1 / (power - 1))
    best = single(goodwill_elasticity=elasticity).best(rate)
    assert best.demand[0] == pytest.approx(guests, rel=1e-5)
    assert best.goodwill == pytest.approx(guests * 1e-4 / 0.05, rel=1e-5)


def test_the_best_path_of_dynamic_programming_ends_in_the_discounted_best_week():
    rate, decay, effect = 0.03, 0.2, 1e-4
    best = single(decay_rate=decay).best(rate)
    now = best.goodwill * np.exp(np.linspace(-0.5, 0.5, 401))[:, np.newaxis]
    after = now.T
    guests = (after - (1 - decay) * now) / effect
    possible = guests >= 0
    spend = 1_000 * (np.maximum(guests, 0) / (400 * now**0.3)) ** 2.5
    earned = np.where(possible, 30 * guests - spend, -np.inf)
    value = np.zeros(401)
    for _ in range(600):
        value = (earned + value / (1 + rate)).max(axis=1)
    policy = (earned + value / (1 + rate)).argmax(axis=1)
    state = 60
    for _ in range(400):
        state = policy[state]
    assert now[state, 0] == pytest.approx(best.goodwill, rel=0.005)


# --- Second methods -------------------------------------------------------------------


def test_another_solver_on_another_formulation_finds_no_better_week():
    # Guests, spend and goodwill at once, demand as a nonlinear constraint, from several starts.
    rows = list(REFERENCE.channels.values())
    of = {
        name: np.array([getattr(row, name) for row in rows], float)
        for name in ChannelDemand.__dataclass_fields__
    }

    def parts(z):
        return z[:20].reshape(5, 4) * 100, z[20:25] * 1_000, z[25]

    def demand(spend, goodwill):
        won = of["won_guests"] * (spend / of["reference_spend"]) ** of["spend_elasticity"]
        return goodwill ** of["goodwill_elasticity"] * (of["base_guests"] + won)

    def loss(z):
        guests, spend, _ = parts(z)
        return -(of["contribution"] @ guests.sum(axis=1) - spend.sum()) / 1e4

    def room(z):
        guests, spend, goodwill = parts(z)
        wanted = of["daypart_shares"] * demand(spend, goodwill)[:, np.newaxis] - guests
        return np.concatenate(
            [
                (REFERENCE.places - of["places"] @ guests) / 100,
                (REFERENCE.dishes - of["dishes"] @ guests) / 100,
                wanted.ravel() / 100,
                [(of["goodwill_effect"] @ guests.sum(axis=1) - 0.05 * goodwill) * 20],
            ]
        )

    rng = np.random.default_rng(5)
    found = []
    for _ in range(2):
        start = np.concatenate(
            [rng.uniform(0, 1, 20), rng.uniform(0.2, 3, 5), [rng.uniform(0.3, 1)]]
        )
        answer = optimize.minimize(
            loss,
            start,
            method="SLSQP",
            bounds=[(0, None)] * 20 + [(1e-6, None)] * 5 + [(1e-3, None)],
            constraints={"type": "ineq", "fun": room},
            options={"maxiter": 400, "ftol": 1e-12},
        )
        if answer.success and room(answer.x).min() > -1e-7:
            found.append(-1e4 * answer.fun)
    assert len(found) >= 1
    assert max(found) == pytest.approx(BEST.contribution, rel=1e-6)


def most_under_tangent_planes(mix: Mix, at: Plan) -> float:
    """No steady week earns more.

    Demand is concave: its tangent planes lie above it, and the linear program that takes
    them for demand bounds every week there is.
    """
    cells = [(i, d) for i, row in enumerate(mix.channels.values())
             for d, share in enumerate(row.daypart_shares) if share > 0]  # fmt: skip
    channels = list(mix.channels.values())
    blank = np.zeros(len(cells) + len(channels) + 1)
    spent = len(cells) + np.arange(len(channels))
    rows, limits = [], []
    for daypart in range(mix.places.size):
        for taken, limit in (("places", mix.places), ("dishes", mix.dishes)):
            row = blank.copy()
            for k, (i, d) in enumerate(cells):
                row[k] = getattr(channels[i], taken) * (d == daypart)
            rows.append(row)
            limits.append(limit[daypart])
    held = blank.copy()
    held[-1] = mix.decay_rate
    for k, (i, d) in enumerate(cells):
        channel, spend, goodwill = channels[i], at.spend[i], at.goodwill
        held[k] = -channel.goodwill_effect
        demand = float(channel.guests(spend, goodwill))
        bare = goodwill**channel.goodwill_elasticity * channel.base_guests
        by_spend = channel.spend_elasticity * (demand - bare) / spend
        by_goodwill = channel.goodwill_elasticity * demand / goodwill
        share, row = channel.daypart_shares[d], blank.copy()
        row[k], row[spent[i]], row[-1] = 1.0, -share * by_spend, -share * by_goodwill
        rows.append(row)
        limits.append(share * (demand - by_spend * spend - by_goodwill * goodwill))
    gain = np.array([*(channels[i].contribution for i, _ in cells), *-np.ones(len(channels)), 0.0])
    return -linear_program(-gain, ([*rows, held], [*limits, 0.0])).value


def test_no_week_under_the_tangent_planes_of_demand_earns_more():
    most = most_under_tangent_planes(REFERENCE, BEST)
    assert most == pytest.approx(BEST.contribution, rel=1e-6)
    assert BEST.gap < 1e-6 * BEST.contribution


def test_multipliers_equal_finite_differences_of_the_best_contribution():
    assert (BEST.place_values > 1).any()
    assert (BEST.dish_values > 1).any()
    for name, values in (("places", BEST.place_values), ("dishes", BEST.dish_values)):
        for daypart in range(4):
            step = np.eye(4)[daypart] * 0.5
            more, less = (
                restaurant(**{name: getattr(REFERENCE, name) + sign * step}).best().contribution
                for sign in (1, -1)
            )
            assert more - less == pytest.approx(values[daypart], rel=2e-3, abs=2e-3)


@pytest.mark.parametrize("name", list(REFERENCE.channels))
def test_a_guests_effect_on_goodwill_is_worth_its_multiplier(name):
    # dV / dg = goodwill value times the channel's guests.
    index = list(REFERENCE.channels).index(name)
    channel = REFERENCE.channels[name]
    step = 1e-9
    values = []
    for sign in (1, -1):
        changed = replace(channel, goodwill_effect=channel.goodwill_effect + sign * step)
        values.append(
            restaurant(channels={**REFERENCE.channels, name: changed}).best().contribution
        )
    slope = (values[0] - values[1]) / (2 * step)
    worth = BEST.goodwill_value * BEST.guests[index].sum()
    assert slope == pytest.approx(worth, rel=2e-3, abs=BEST.goodwill_value)


@pytest.mark.parametrize("goodwill", [0.5, 0.8, 1.0])
def test_the_slope_of_the_frontier_is_what_goodwill_earns_less_its_upkeep(goodwill):
    plan = REFERENCE.hold(goodwill)
    step = 1e-3
    slope = (
        REFERENCE.hold(goodwill + step).contribution - REFERENCE.hold(goodwill - step).contribution
    ) / (2 * step)
    assert slope == pytest.approx(
        plan.goodwill_earnings - 0.05 * plan.goodwill_value, rel=1e-2, abs=5.0
    )


# --- Properties -----------------------------------------------------------------------


@st.composite
def mixes(draw):
    def channel(sign):
        beta = draw(st.floats(0.1, 0.8))
        shares = np.array(draw(st.tuples(*[st.integers(0, 5)] * 3)), float)
        shares[0] += shares.sum() == 0
        return ChannelDemand(
            contribution=draw(st.floats(2, 60)),
            base_guests=draw(st.floats(0, 1_000)),
            won_guests=draw(st.floats(20, 800)),
            reference_spend=draw(st.floats(200, 5_000)),
            spend_elasticity=beta,
            goodwill_elasticity=draw(st.floats(0.05, 0.99)) * (1 - beta),
            goodwill_effect=sign * draw(st.floats(0.2, 2)) / 30_000,
            dishes=draw(st.floats(1, 3)),
            places=draw(st.sampled_from([0.0, 1.0, 1.2])),
            daypart_shares=shares / shares.sum(),
        )

    return Mix(
        channels={"full_price": channel(1), "other": channel(1), "voucher": channel(-1)},
        places=draw(st.lists(st.floats(50, 900), min_size=3, max_size=3)),
        dishes=draw(st.lists(st.floats(100, 2_000), min_size=3, max_size=3)),
        decay_rate=draw(st.floats(0.01, 0.5)),
    )


def random_steady_week(mix: Mix, rng: np.random.Generator) -> float:
    """Contribution of a feasible week, its goodwill the one that it sustains itself."""
    rows = list(mix.channels.values())
    shares = np.array([row.daypart_shares for row in rows])
    guests = rng.uniform(0, 1, shares.shape) * shares * rng.exponential(800, (len(rows), 1))
    places = np.array([row.places for row in rows]) @ guests
    dishes = np.array([row.dishes for row in rows]) @ guests
    guests = guests * np.minimum(
        1, np.minimum(mix.places / (places + 1e-9), mix.dishes / (dishes + 1e-9))
    )
    effect = np.array([row.goodwill_effect for row in rows])
    worn = -effect.clip(max=0) @ guests.sum(axis=1)
    restored = effect.clip(min=0) @ guests.sum(axis=1)
    if worn >= 0.9 * restored:
        guests[effect < 0] *= 0.9 * restored / worn
    goodwill = effect @ guests.sum(axis=1) / mix.decay_rate
    total = 0.0
    for row, served in zip(rows, guests, strict=True):
        demand = np.max(served[row.daypart_shares > 0] / row.daypart_shares[row.daypart_shares > 0])
        won = max(demand / goodwill**row.goodwill_elasticity - row.base_guests, 0) / row.won_guests
        spend = row.reference_spend * won ** (1 / row.spend_elasticity)
        total += row.contribution * served.sum() - spend
    return total


@settings(max_examples=10)
@given(mix=mixes(), seed=st.integers(0, 1_000))
def test_the_best_week_beats_every_corner_and_every_random_week(mix, seed):
    best = mix.best()
    slack = 1e-6 * abs(best.contribution) + 1e-6
    for name in mix.channels:
        assert mix.only(name).best().contribution <= best.contribution + slack
    rng = np.random.default_rng(seed)
    for _ in range(50):
        assert random_steady_week(mix, rng) <= best.contribution + slack


@settings(max_examples=40)
@given(mix=mixes())
def test_the_gap_that_a_best_week_answers_holds_for_every_week(mix):
    best = mix.best()
    most = most_under_tangent_planes(mix, best)
    assert most <= best.contribution + best.gap + 1e-6 * abs(best.contribution)
    assert best.gap <= 1e-6 * max(abs(best.contribution), 1.0)


@settings(max_examples=40)
@given(mix=mixes())
def test_the_most_goodwill_that_can_be_held_is_the_linear_programs(mix):
    rows = list(mix.channels.values())
    dayparts = mix.places.size
    shared = [np.kron([getattr(row, name) for row in rows], np.eye(dayparts))
              for name in ("places", "dishes")]  # fmt: skip
    wanted = np.array([row.daypart_shares for row in rows]).ravel() > 0
    # In units in which the solver's tolerance is small.
    worth = 1e6 * np.repeat([row.goodwill_effect for row in rows], dayparts)
    limits = np.concatenate([mix.places, mix.dishes])
    most = linear_program(-worth[wanted], (np.vstack(shared)[:, wanted], limits))
    held = 1e6 * mix.highest_goodwill * mix.decay_rate
    assert held == pytest.approx(-most.value, rel=1e-6)


@settings(max_examples=10)
@given(mix=mixes())
def test_the_best_week_is_feasible_and_keeps_its_books(mix):
    best = mix.best()
    rows = list(mix.channels.values())
    places = np.array([row.places for row in rows]) @ best.guests
    dishes = np.array([row.dishes for row in rows]) @ best.guests
    assert np.all(places <= mix.places * (1 + 1e-6))
    assert np.all(dishes <= mix.dishes * (1 + 1e-6))
    assert np.all(best.guests >= 0)
    assert -1e-12 < best.goodwill_drift * best.goodwill_value <= best.gap
    assert best.goodwill_drift < 1e-5 * best.goodwill
    margin = np.array([row.contribution for row in rows])
    earned = margin @ best.guests.sum(axis=1) - best.spend.sum()
    assert best.contribution == pytest.approx(earned, rel=1e-12)
    for i, row in enumerate(rows):
        assert np.all(best.guests[i] <= row.daypart_shares * best.demand[i] * (1 + 1e-6) + 1e-6)
        willing = row.guests(best.spend[i], best.goodwill)
        assert best.demand[i] == pytest.approx(willing, rel=1e-9)


@settings(max_examples=10)
@given(mix=mixes(), at=st.floats(0.05, 0.9), other=st.floats(0.05, 0.9))
def test_the_frontier_is_concave_in_goodwill(mix, at, other):
    top = mix.highest_goodwill
    ends = [mix.hold(share * top).contribution for share in (at, other)]
    middle = mix.hold((at + other) / 2 * top).contribution
    assert middle >= np.mean(ends) - 1e-6 * np.abs(ends).max()


@settings(max_examples=10)
@given(mix=mixes())
def test_more_room_never_earns_less_and_values_are_never_negative(mix):
    best = mix.best()
    larger = replace(mix, places=mix.places * 1.05, dishes=mix.dishes * 1.05).best()
    assert larger.contribution >= best.contribution * (1 - 1e-8)
    values = (best.place_values, best.dish_values, [best.goodwill_value])
    assert min(map(np.min, values)) >= 0


def test_what_is_not_full_is_worth_nothing_more():
    rows = list(REFERENCE.channels.values())
    free = REFERENCE.places - np.array([row.places for row in rows]) @ BEST.guests
    assert (free > 1).any()
    np.testing.assert_allclose(BEST.place_values[free > 1], 0.0, atol=1e-6)


# --- Goodwill over time ---------------------------------------------------------------


def test_an_impatient_owner_keeps_less_goodwill_and_earns_less_in_the_long_run():
    plans = [REFERENCE.best(rate) for rate in (0.0, 0.002, 0.02)]
    assert np.all(np.diff([plan.goodwill for plan in plans]) < 0)
    assert np.all(np.diff([plan.contribution for plan in plans]) < 0)


def test_overdraft_earns_more_at_first_and_less_for_ever():
    weeks = list(islice(REFERENCE.shortsighted_weeks(BEST.goodwill), 40))
    assert weeks[0].contribution > BEST.contribution
    assert weeks[-1].contribution < 0.98 * BEST.contribution
    assert np.all(np.diff([week.goodwill for week in weeks]) < 0)


def test_shortsighted_weeks_end_where_an_endlessly_impatient_owner_does():
    mix = restaurant(decay_rate=0.5)
    rows = {
        name: replace(row, goodwill_effect=10 * row.goodwill_effect)
        for name, row in mix.channels.items()
    }
    mix = restaurant(channels=rows, decay_rate=0.5)
    last = next(islice(mix.shortsighted_weeks(1.0), 22, None))
    assert mix.best(1e5).goodwill == pytest.approx(last.goodwill, rel=1e-3)


def test_the_more_a_voucher_wears_the_fewer_are_sold():
    sold = []
    for wear in (0.2, 0.8, 3.0):
        row = replace(REFERENCE.channels["voucher"], goodwill_effect=-wear / 36_000)
        sold.append(
            restaurant(channels={**REFERENCE.channels, "voucher": row}).best().guests[2].sum()
        )
    assert sold[0] > sold[1] > sold[2]
    assert sold[2] == pytest.approx(0.0, abs=1e-3)


def test_vouchers_alone_leave_an_empty_week():
    alone = REFERENCE.only("voucher").best()
    assert alone.contribution == 0.0
    assert alone.goodwill == 0.0
    assert alone.guests.shape == (1, 4)


# --- Refusals -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"spend_elasticity": 0.8}, "spend_elasticity=0.8 and goodwill_elasticity=0.3 sum to 1.1"),
        ({"spend_elasticity": 0.0}, "spend_elasticity=0"),
        ({"goodwill_elasticity": 1.0}, "goodwill_elasticity=1"),
        ({"won_guests": 0.0}, "won_guests=0"),
        ({"base_guests": -1.0}, "base_guests=-1"),
        ({"dishes": 0.0}, "dishes=0"),
        ({"daypart_shares": [0.7]}, "daypart_shares sum to 0.7"),
        ({"daypart_shares": [[1.0]]}, r"daypart_shares has shape \(1, 1\)"),
        ({"contribution": np.nan}, "contribution=nan"),
        ({"decay_rate": 0.0}, "decay_rate=0"),
        ({"places_a_week": 0.0}, "places=0"),
        ({"dishes_a_week": -5.0}, "dishes=-5"),
    ],
)
def test_a_parameter_outside_its_domain_is_refused_by_name(changes, words):
    with pytest.raises(ValueError, match=words):
        single(**changes)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: restaurant(channels={}), "channels is empty"),
        (lambda: restaurant(places=[100.0, 100.0]), r"channels\['dine_in'\] has 4 dayparts"),
        (lambda: restaurant(dishes=[100.0]), "dishes has 1 dayparts"),
        (lambda: REFERENCE.best(-0.1), "discount_rate=-0.1"),
        (lambda: REFERENCE.hold(9.0), "goodwill=9"),
        (lambda: REFERENCE.week(0.0), "goodwill=0"),
        (lambda: REFERENCE.only("vouchers"), "'vouchers' is no channel"),
    ],
)
def test_bad_input_is_refused_by_name(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_a_program_without_a_feasible_point_is_not_answered():
    with pytest.raises(NotConverged, match="nowhere"):
        linear_program([1.0], ([[1.0], [-1.0]], [1.0, -2.0]), what="nowhere")

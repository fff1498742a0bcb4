from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from o2o_research.models.numerics import NotConverged
from o2o_research.models.reference_price import (
    Campaigns,
    ReferenceDemand,
    best_number,
    best_policy,
    even_calendar,
    policy_steps,
    too_many,
)

# Demand a - b p - k (p - r) with a=100, b=1, written at the price 50.
POPESCU_WU = ReferenceDemand(
    ticket=50, guests=50, elasticity=1, gain=0.8, loss=0.8, memory=0.6, cost=0, discount_factor=0.95
)
LOSS_AVERSE = replace(POPESCU_WU, gain=0.5, loss=1.5)
GAIN_SEEKING = replace(POPESCU_WU, gain=0.8, loss=0.3)
RESTAURANT = ReferenceDemand(
    ticket=68, guests=2000, elasticity=1.6, gain=0.5, loss=1.0,
    memory=0.9, cost=27.2, discount_factor=0.998,
)  # fmt: skip

sampled = settings(max_examples=30, deadline=None)
strengths = st.floats(0.0, 2.5)
depths = st.floats(0.01, 0.9)
lengths = st.integers(1, 12)


@st.composite
def demands(draw, loss_averse=False):
    ticket = draw(st.floats(10, 300))
    gain, loss = draw(strengths), draw(strengths)
    if loss_averse:
        gain, loss = sorted((gain, loss))
    return ReferenceDemand(
        ticket=ticket, guests=draw(st.floats(50, 5000)), elasticity=draw(st.floats(0.3, 4)),
        gain=gain, loss=loss, memory=draw(st.floats(0, 0.95)),
        cost=draw(st.floats(0, 0.8)) * ticket, discount_factor=draw(st.floats(0.5, 0.998)),
    )  # fmt: skip


def forever(demand, price, start, weeks=400):
    """Present value of one price kept for ever, added up week by week."""
    profit = demand.path(np.full(weeks, price), start).profit
    return profit @ demand.discount_factor ** np.arange(weeks)


def keeps_some_guests(demand, depth):
    """Whether a reference ``depth`` below the ticket leaves anybody at the ticket."""
    return demand.loss * demand.elasticity * depth < 1


def as_one_campaign(demand, depth, weeks):
    return Campaigns(demand=demand, depth=depth, calendar=np.arange(weeks + 1) < weeks)


# Steady states


@pytest.mark.parametrize(
    ("discount_factor", "price"), [(0.95, 47.777778), (0.0, 35.714286), (1 - 1e-12, 50.0)]
)
def test_steady_price_matches_popescu_wu_2007(discount_factor, price):
    demand = replace(POPESCU_WU, discount_factor=discount_factor)
    assert demand.steady_price(0.8) == pytest.approx(price, abs=5e-7)


@sampled
@given(demand=demands(), strength=strengths)
def test_steady_price_solves_its_first_order_condition(demand, strength):
    # a - b p - (p - c)(b + k (1-be)/(1-al be)) = 0, the derivative of a price kept for ever.
    p, b = demand.steady_price(strength), demand.slope
    theta = (1 - demand.discount_factor) / (1 - demand.memory * demand.discount_factor)
    marginal = b * (demand.choke_price - p) - (p - demand.cost) * b * (1 + strength * theta)
    assert marginal == pytest.approx(0, abs=1e-9 * demand.guests * (1 + demand.elasticity))


@pytest.mark.parametrize("demand", [POPESCU_WU, LOSS_AVERSE, replace(LOSS_AVERSE, cost=20)])
def test_no_lasting_price_beats_keeping_a_steady_price(demand):
    for steady in np.linspace(*demand.steady_prices, 3):
        kept = forever(demand, steady, steady)
        others = [forever(demand, steady + change, steady) for change in (-5, -1, -0.1, 0.1, 1, 5)]
        assert max(others) < kept


def test_a_price_outside_the_range_is_beaten_by_a_lasting_step_into_it():
    low, high = LOSS_AVERSE.steady_prices
    for outside, step in ((low - 0.5, 0.2), (high + 0.5, -0.2)):
        stepping = forever(LOSS_AVERSE, outside + step, outside)
        assert stepping > forever(LOSS_AVERSE, outside, outside)


def test_more_loss_aversion_widens_the_range_as_popescu_wu_2007_prove():
    low, high = replace(LOSS_AVERSE, loss=np.array([0.5, 1.0, 1.5, 2.0])).steady_prices
    assert (np.diff(high - low) > 0).all()


def test_steady_prices_fall_with_strength_and_memory_as_popescu_wu_2007_prove():
    assert (np.diff(POPESCU_WU.steady_price(np.array([0.0, 0.4, 0.8, 2.0]))) < 0).all()
    longer = replace(POPESCU_WU, memory=np.array([0, 0.3, 0.6, 0.9]))
    assert (np.diff(longer.steady_price(0.8)) < 0).all()


@sampled
@given(demand=demands(loss_averse=True))
def test_at_the_steady_elasticities_the_ticket_is_an_end_of_the_range(demand):
    for end, elasticity in enumerate(demand.steady_elasticities):
        at_end = replace(demand, elasticity=elasticity)
        assert at_end.steady_prices[end] == pytest.approx(demand.ticket)


def test_a_reference_that_hardly_moves_leaves_the_static_first_order_condition():
    still = replace(POPESCU_WU, memory=1 - 1e-12)
    assert still.steady_price(0.8) == pytest.approx(100 / 2.8, rel=1e-9)


def test_pricing_by_the_elasticity_of_deal_weeks_ends_at_the_price_of_a_myopic_seller():
    demand = POPESCU_WU
    for _ in range(60):
        price = demand.naive_price
        guests = demand.guests_at(price, price)
        elasticity = demand.slope * price / guests
        demand = replace(demand, ticket=price, guests=guests, elasticity=elasticity)
    assert demand.ticket == pytest.approx(35.714286, abs=5e-7)


def test_the_first_deal_week_shows_the_deal_elasticity():
    deal = 0.8 * RESTAURANT.ticket
    lift = RESTAURANT.guests_at(deal, RESTAURANT.ticket) / RESTAURANT.guests - 1
    assert lift / 0.2 == pytest.approx(RESTAURANT.deal_elasticity)


# Dynamic programming


@pytest.mark.parametrize("cost", [0, 20])
@pytest.mark.parametrize("start", [31, 69])
@pytest.mark.parametrize("demand", [POPESCU_WU, LOSS_AVERSE], ids=["symmetric", "loss averse"])
def test_best_prices_settle_at_the_closed_form(demand, start, cost):
    demand = replace(demand, cost=cost)
    policy = best_policy(demand, prices=(30, 70))
    run = policy.long_run(start)
    assert run.period == 1
    assert run.prices[0] == pytest.approx(demand.steady_prices[start > 50], abs=policy.step)


def test_the_longer_memory_and_patience_of_a_restaurant_settle_at_the_closed_form_too():
    policy = best_policy(RESTAURANT, prices=(60, 75))
    for start, steady in zip((61, 74), RESTAURANT.steady_prices, strict=True):
        assert policy.long_run(start).prices[0] == pytest.approx(steady, abs=policy.step)


def test_inside_the_range_the_best_price_is_the_reference():
    policy = best_policy(LOSS_AVERSE)
    low, high = LOSS_AVERSE.steady_prices
    nodes = policy.reference[(policy.reference > low) & (policy.reference < high)]
    assert nodes.size > 10
    assert policy.price_at(nodes) == pytest.approx(nodes, abs=1e-9)
    kept = LOSS_AVERSE.profit(nodes, nodes) / (1 - LOSS_AVERSE.discount_factor)
    assert policy.value_at(nodes) == pytest.approx(kept, rel=1e-9)


@pytest.mark.parametrize("start", [20.0, 80.0])
def test_guests_see_only_discounts_or_only_surcharges_as_popescu_wu_2007_prove(start):
    policy = best_policy(LOSS_AVERSE)
    path = policy.path(start, 60)
    discount = (path.reference - path.price) * (1 if start > 50 else -1)
    assert (discount > -1e-9).all()
    assert discount[0] > 1


def test_gain_seeking_guests_leave_no_steady_price_but_a_cycle_worth_more_than_any():
    low, high = GAIN_SEEKING.steady_prices
    assert low > high
    policy = best_policy(GAIN_SEEKING)
    run = policy.long_run(60)
    assert run.period > 1
    assert run.prices.min() < high < low < run.prices.max()
    nodes = policy.reference[1:-1]
    kept = GAIN_SEEKING.profit(nodes, nodes) / (1 - GAIN_SEEKING.discount_factor)
    assert (policy.value[1:-1] > kept).all()


def test_without_memory_the_cycle_solves_the_euler_equations_of_two_prices():
    demand = replace(RESTAURANT, gain=1.0, loss=0.3, memory=0.0, discount_factor=0.95)
    gain, loss, beta = demand.gain, demand.loss, demand.discount_factor
    cost, top = demand.cost, demand.choke_price
    # Each price's effect on its own week, and beta times that on the next week's reference.
    high, low = np.linalg.solve(
        [[2 * (1 + loss), -(loss + beta * gain)], [-(gain + beta * loss), 2 * (1 + gain)]],
        [top + cost * (1 + loss - beta * gain), top + cost * (1 + gain - beta * loss)],
    )
    policy = best_policy(demand, prices=(50, 90))
    run = policy.long_run(60)
    assert run.period == 2
    assert np.sort(run.prices) == pytest.approx([low, high], abs=policy.step)
    assert run.amplitude == pytest.approx(high - low, abs=2 * policy.step)


@pytest.mark.parametrize("demand", [POPESCU_WU, LOSS_AVERSE, GAIN_SEEKING])
def test_policy_iteration_agrees_with_value_iteration_over_a_list_of_prices(demand):
    beta = 0.8
    demand = replace(demand, discount_factor=beta)
    policy = best_policy(demand, nodes=41)
    prices = np.linspace(0, 100, 2001)
    reference = policy.reference[:, None]
    some = demand.guests_at(prices, reference) > 0
    profit = np.where(some, demand.profit(prices, reference), -np.inf)
    follow, value = demand.next_reference(prices, reference), np.zeros(41)
    for _ in range(120):
        value = (profit + beta * np.interp(follow, policy.reference, value)).max(axis=1)
    # The list misses the best price by at most .025: a parabola's top, or one of the kinks.
    kinks = beta * 0.4 * np.abs(np.diff(policy.value, 2)).max() / policy.step
    kinks += abs(demand.loss - demand.gain) * 100
    missed = ((1 + 1.5) * 0.025**2 + kinks * 0.025) / (1 - beta)
    assert (value <= policy.value + 1e-6).all()
    assert (policy.value - value <= missed + beta**120 * policy.value.max()).all()
    assert missed < 0.01 * policy.value.mean()


@pytest.mark.parametrize("demand", [POPESCU_WU, LOSS_AVERSE, GAIN_SEEKING, RESTAURANT])
def test_the_value_solves_the_bellman_equation_at_the_nodes(demand):
    policy = best_policy(demand)
    r, p, v = policy.reference, policy.price, policy.value
    assert policy.residual <= 1e-10 * v.max()
    follow = np.interp(demand.next_reference(p, r), r, v)
    assert demand.profit(p, r) + demand.discount_factor * follow == pytest.approx(v, rel=1e-9)


def test_between_the_nodes_the_bellman_residual_falls_with_the_square_of_the_step():
    residuals = []
    for nodes in (101, 401):
        policy = best_policy(POPESCU_WU, prices=(30, 70), nodes=nodes)
        middle = (policy.reference[1:] + policy.reference[:-1]) / 2
        line = (policy.value[1:] + policy.value[:-1]) / 2
        residuals.append(np.median(np.abs(policy.value_at(middle) - line)))
    assert residuals[0] / residuals[1] == pytest.approx(16, rel=0.1)


@pytest.mark.parametrize(
    "demand",
    [POPESCU_WU, LOSS_AVERSE, GAIN_SEEKING, RESTAURANT, replace(GAIN_SEEKING, gain=5, loss=1)],
)
def test_a_higher_reference_is_worth_more_and_somebody_pays_every_best_price(demand):
    policy = best_policy(demand)
    assert (np.diff(policy.value) > 0).all()
    assert ((policy.price >= 0) & (policy.price <= demand.choke_price)).all()
    lost = demand.loss * np.maximum(policy.price - policy.reference, 0)
    assert (demand.choke_price - policy.price - lost >= -1e-9).all()


@pytest.mark.parametrize("memory", [0.0, 0.37, 0.6, 0.9])
def test_bounds_on_prices_bind(memory):
    demand = replace(POPESCU_WU, memory=memory)
    assert best_policy(demand, prices=(52, 60)).long_run(58).prices[0] == pytest.approx(52)
    assert best_policy(demand, prices=(25, 30)).price == pytest.approx(30)


@pytest.mark.parametrize("memory", [0.0, 0.6])
def test_guests_without_a_reference_pay_the_monopoly_price(memory):
    demand = replace(RESTAURANT, gain=0, loss=0, memory=memory)
    monopoly = (demand.choke_price + demand.cost) / 2
    profit = demand.profit(monopoly, monopoly)
    policy = best_policy(demand, prices=(20, 90))
    assert policy.price == pytest.approx(monopoly, abs=1e-6)
    assert policy.value == pytest.approx(profit / (1 - demand.discount_factor))


def test_no_step_of_the_iteration_loses_value():
    values = [step.value for step in policy_steps(GAIN_SEEKING)]
    assert len(values) > 3
    assert (np.diff(values, axis=0) >= -1e-9 * np.abs(values).max()).all()


def test_a_path_of_best_prices_earns_its_value():
    policy = best_policy(RESTAURANT, prices=(40, 80))
    path = policy.path(np.array([50.0, 60.0]), 300)
    discount = RESTAURANT.discount_factor ** np.arange(301)
    end = RESTAURANT.next_reference(path.price[:, -1], path.reference[:, -1])
    earned = path.profit @ discount[:-1] + discount[-1] * policy.value_at(end)
    assert earned == pytest.approx(policy.value_at([50, 60]), rel=1e-6)


def test_best_prices_return_to_the_ticket_sooner_the_less_they_were_drawn_down():
    demand = replace(RESTAURANT, elasticity=RESTAURANT.steady_elasticities[0])
    policy = best_policy(demand, prices=(30, 80))
    weeks = [policy.recovery_weeks(start) for start in (40, 55, 68)]
    assert weeks[0] > weeks[1] > weeks[2] == 0
    # Best prices stay below the ticket on the way, so memory alone is faster.
    assert weeks[0] > demand.recovery_weeks(1 - 40 / 68)
    assert policy.recovery_weeks(40, weeks=2) == np.inf


# The overdraft


@sampled
@given(demand=demands(), share=st.floats(0.05, 1.5))
def test_the_overdraft_is_what_a_simulation_of_full_price_weeks_loses(demand, share):
    week = np.arange(1000)  # .95 ** 1000 is nothing
    reference = demand.ticket * (1 - (1 - share) * demand.memory**week)
    missing = demand.guests - demand.guests_at(demand.ticket, reference)
    lost = (demand.ticket - demand.cost) * missing @ demand.discount_factor**week
    assert demand.overdraft(share * demand.ticket) == pytest.approx(lost, rel=1e-6, abs=1e-6)


def test_a_ticket_nobody_pays_any_more_loses_all_its_profit_until_somebody_does():
    demand = replace(RESTAURANT, loss=5.0, memory=0.5)
    # Missing guests 5 * 1.6 * .5 * .5**t of all: everybody for t = 0 and 1, all but just for 2.
    beta, full = 0.998, (68 - 27.2) * 2000
    lost = full * (1 + beta + beta**2 / (1 - 0.5 * beta))
    assert demand.overdraft(34) == pytest.approx(lost)


@pytest.mark.parametrize("reference", [40.0, 55.0, 66.0, 75.0])
def test_best_prices_afterwards_cost_no_more_than_returning_to_the_ticket(reference):
    lowest, highest = RESTAURANT.steady_elasticities
    demand = replace(RESTAURANT, elasticity=(lowest + highest) / 2)
    policy = best_policy(demand, prices=(30, 90))
    best, plain = policy.overdraft(reference), demand.overdraft(reference)
    assert best <= plain + 1e-9 * policy.value.max()
    assert np.sign(best) == np.sign(plain) == np.sign(68 - reference)


@sampled
@given(
    memory=st.floats(0, 0.99), shortfall=st.floats(0, 1), tolerance=st.floats(0.01, 0.5),
)  # fmt: skip
def test_recovery_in_closed_form_is_when_a_simulation_recovers(memory, shortfall, tolerance):
    demand = replace(RESTAURANT, memory=memory)
    reference, weeks = 68 * (1 - shortfall), 0
    while reference < 68 * (1 - tolerance):
        reference, weeks = demand.next_reference(68, reference), weeks + 1
    for n in (weeks - 1, weeks):  # not where rounding decides
        assume(abs(shortfall * memory ** max(n, 0) / tolerance - 1) > 1e-6)
    assert demand.recovery_weeks(shortfall, tolerance) == weeks


def test_memory_alone_forgets_all_but_a_twentieth_in_three_time_constants():
    weeks = RESTAURANT.recovery_weeks(1.0, 0.05)
    assert weeks == np.ceil(np.log(20) / -np.log(0.9)) == 29


# One campaign


@sampled
@given(demand=demands(), depth=depths, weeks=lengths)
def test_one_campaign_in_closed_form_is_its_account(demand, depth, weeks):
    account = as_one_campaign(demand, depth, weeks).account
    scale = account.list_price_profit + abs(account.later)
    assert demand.campaign_profit(depth, weeks) == pytest.approx(account.net, abs=1e-9 * scale)
    assert account.fatigue == pytest.approx(
        demand.campaign_profit(depth, weeks) - account.campaign_gain
        + demand.discount_factor**weeks * demand.overdraft(
            demand.ticket * (1 - depth * (1 - demand.memory**weeks))
        ),
        abs=1e-9 * scale,
    )  # fmt: skip


@sampled
@given(demand=demands(), weeks=lengths)
def test_no_depth_beats_the_best_depth_and_twice_as_deep_gains_nothing(demand, weeks):
    best, limit = demand.best_depth(weeks), demand.break_even_depth(weeks)
    scale = demand.guests * demand.ticket * weeks
    grid = np.linspace(0, 1 - demand.cost / demand.ticket, 201)
    grid = grid[keeps_some_guests(demand, grid)]
    most = demand.campaign_profit(best, weeks)
    assert most >= -1e-9 * scale
    if keeps_some_guests(demand, best):
        assert (demand.campaign_profit(grid, weeks) <= most + 1e-9 * scale).all()
    if keeps_some_guests(demand, limit):
        assert demand.campaign_profit(limit, weeks) == pytest.approx(0, abs=1e-9 * scale)


@sampled
@given(demand=demands(), depth=depths, weeks=lengths)
def test_one_campaign_breaks_even_at_the_break_even_elasticity(demand, depth, weeks):
    limit = demand.break_even_elasticity(depth, weeks)
    if np.isinf(limit):
        demand = replace(demand, elasticity=min(demand.elasticity, 0.99 / (2.5 * depth)))
        assert demand.campaign_profit(depth, weeks) < 0
    elif keeps_some_guests(replace(demand, elasticity=limit), depth):
        at = replace(demand, elasticity=limit * np.array([0.9, 1.0, 1.01]))
        below, level, above = at.campaign_profit(depth, weeks)
        assert below < 0 < above or not keeps_some_guests(at, depth).all()
        assert level == pytest.approx(0, abs=1e-7 * demand.guests * demand.ticket * weeks)


@sampled
@given(demand=demands(loss_averse=True), depth=depths, weeks=lengths, low=st.booleans())
def test_loss_averse_guests_make_no_campaign_pay_at_a_ticket_not_too_high(
    demand, depth, weeks, low
):
    # The ticket at the upper end of the range, or below it; deviations of P&W's problem.
    highest = demand.steady_elasticities[1]
    demand = replace(demand, elasticity=highest * (0.7 if low else 1.0))
    if keeps_some_guests(demand, depth):
        profit = demand.campaign_profit(depth, weeks)
        assert profit <= 1e-9 * demand.guests * demand.ticket * weeks
        assert demand.best_depth(weeks) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("weeks", [1, 4])
def test_gain_seeking_guests_make_a_shallow_campaign_pay_at_any_ticket_worth_keeping(weeks):
    demand = replace(RESTAURANT, gain=1.0, loss=0.5)
    assert demand.best_depth(weeks) > 0
    assert demand.campaign_profit(demand.best_depth(weeks), weeks) > 0


def test_without_a_reference_effect_nothing_follows_a_campaign():
    demand = replace(RESTAURANT, gain=0, loss=0)
    campaigns = Campaigns(demand=demand, depth=0.3, calendar=even_calendar(6, 2))
    assert campaigns.overdraft == 0
    account = campaigns.account
    assert account.fatigue == account.aftermath == account.later == 0
    deal = demand.profit(campaigns.deal_price, 68) - demand.profit(68, 68)
    weeks = np.flatnonzero(campaigns.calendar)
    assert account.net == pytest.approx(deal * (0.998**weeks).sum())


# Calendars


@sampled
@given(number=st.integers(0, 26), weeks=st.integers(1, 8), years=st.integers(1, 3))
def test_an_even_calendar_holds_its_campaigns_whole_and_apart(number, weeks, years):
    if number * weeks > 52:
        with pytest.raises(ValueError, match=f"number={number} campaigns of weeks={weeks}"):
            even_calendar(number, weeks)
        return
    calendar = even_calendar(number, weeks, years)
    assert calendar.shape == (52 * years,)
    assert calendar.sum() == number * weeks * years
    starts = np.flatnonzero(np.diff(np.r_[0, calendar[:52]]) == 1)
    if number * weeks < 52 and number > 1 and weeks < 52 // number:
        assert starts.size == number
        assert np.ptp(np.diff(starts)) <= 1


@sampled
@given(demand=demands(), depth=depths, seed=st.integers(0, 99), start=st.floats(0.5, 1.2))
def test_the_account_adds_up_to_the_simulated_difference(demand, depth, seed, start):
    calendar = np.random.default_rng(seed).random(52) < 0.3
    start = start * demand.ticket
    campaigns = Campaigns(demand=demand, depth=depth, calendar=calendar, start=start)
    weeks = 600
    prices = np.full(weeks, demand.ticket)
    prices[:52] = campaigns.prices
    difference = demand.path(prices, start).profit - demand.profit(demand.ticket, demand.ticket)
    difference = difference * demand.discount_factor ** np.arange(weeks)
    account = campaigns.account
    scale = account.list_price_profit
    assert account.within == pytest.approx(difference[:52].sum(), abs=1e-9 * scale)
    assert account.net == pytest.approx(difference.sum(), abs=1e-9 * scale)
    aftermath = difference[:52][~calendar].sum()
    assert account.aftermath == pytest.approx(aftermath, abs=1e-9 * scale)


@sampled
@given(demand=demands(), depth=depths, number=st.integers(1, 10))
def test_the_books_of_the_year_show_too_much(demand, depth, number):
    account = Campaigns(demand=demand, depth=depth, calendar=even_calendar(number, 2)).account
    nothing = 1e-12 * account.list_price_profit
    assert account.aftermath <= nothing
    assert account.later <= nothing
    assert account.net <= account.within + nothing
    if demand.cost <= demand.ticket * (1 - depth):  # a deal below its cost is glad of few guests
        assert account.fatigue <= nothing
        assert account.within <= account.campaign_gain + nothing


@sampled
@given(seed=st.integers(0, 999), depth=st.floats(0.01, 0.4), demand=demands(loss_averse=True))
def test_no_calendar_pays_when_the_ticket_is_worth_keeping(seed, depth, demand):
    lowest, highest = demand.steady_elasticities
    demand = replace(demand, elasticity=(lowest + highest) / 2)
    calendar = np.random.default_rng(seed).random(52) < 0.4
    if keeps_some_guests(demand, depth):
        account = Campaigns(demand=demand, depth=depth, calendar=calendar).account
        assert account.net <= 1e-9 * account.list_price_profit


def test_contributions_add_up_and_the_first_is_that_of_an_unspoilt_market():
    campaigns = Campaigns(demand=RESTAURANT, depth=0.15, calendar=even_calendar(5, 3))
    contributions = campaigns.contributions
    assert contributions.shape == (5,)
    assert contributions.sum() == pytest.approx(campaigns.account.net)
    assert contributions[0] == pytest.approx(RESTAURANT.campaign_profit(0.15, 3))


def test_each_campaign_adds_less_where_guests_seek_gains():
    demand = replace(RESTAURANT, gain=1.0, loss=0.5, elasticity=2.0)
    contributions = Campaigns(
        demand=demand, depth=0.1, calendar=even_calendar(4, 2)
    ).contributions / demand.discount_factor ** np.flatnonzero(even_calendar(4, 1))
    assert (contributions > 0).all()
    assert (np.diff(contributions) < 0).all()


def test_a_habit_is_where_many_years_of_the_same_calendar_end():
    slow = replace(RESTAURANT, memory=0.98)
    years = 20
    long = Campaigns(demand=slow, depth=0.2, calendar=even_calendar(5, 2, years))
    habit = Campaigns(demand=slow, depth=0.2, calendar=even_calendar(5, 2)).habit
    assert habit.end_reference == pytest.approx(habit.start)
    assert long.end_reference == pytest.approx(habit.start, rel=1e-6)
    last = long.path.profit[-52:] - slow.profit(68, 68)
    assert habit.account.within == pytest.approx(last @ 0.998 ** np.arange(52), rel=1e-4)


def test_recovery_after_a_calendar_is_counted_on_its_own_path():
    calendar = np.isin(np.arange(52), [0, 1, 2, 3, 8, 9, 10, 11])
    campaigns = Campaigns(demand=RESTAURANT, depth=0.5, calendar=calendar)
    path = campaigns.path
    fine = path.reference >= 0.95 * 68
    assert campaigns.worn_weeks() == (~fine).sum()
    last = np.flatnonzero(campaigns.calendar)[-1]
    after = last + 1 + np.flatnonzero(fine[last + 1 :])[0]
    assert campaigns.recovery_weeks() == after - (last + 1)
    alone = RESTAURANT.recovery_weeks(0.5 * (1 - 0.9**4))
    assert campaigns.recovery_weeks() > alone  # earlier campaigns still weigh on it
    assert replace(campaigns, calendar=np.zeros(52, bool)).recovery_weeks() == 0


def test_the_best_number_of_campaigns_may_be_none_some_or_all():
    numbers = np.arange(27)

    def net(**changed):
        demand = replace(RESTAURANT, **changed)
        return Campaigns(demand=demand, depth=0.1, calendar=even_calendar(numbers, 2)).account.net

    assert best_number(net()) == 0  # loss averse, the ticket about right
    assert too_many(net()) == 1
    some = net(gain=1.0, loss=0.5)
    assert 0 < best_number(some) < too_many(some) < 26
    lower_ticket = net(elasticity=4.0)  # the ticket far too high: a few lose, always gains
    assert best_number(lower_ticket) == 26
    assert too_many(lower_ticket) == 1


def test_best_number_and_too_many_read_the_last_axis():
    values = np.array([[0.0, 2.0, 1.0, -1.0], [0.0, -1.0, -2.0, 3.0], [0.0, 1.0, 2.0, 3.0]])
    assert best_number(values).tolist() == [1, 3, 3]
    assert too_many(values).tolist() == [3, 1, np.inf]
    assert too_many([0.0, -1.0]) == 1


# Arrays and units


def test_draws_give_what_each_of_them_gives_alone():
    rng = np.random.default_rng(7)
    changed = {
        "elasticity": rng.uniform(1, 3, 5), "gain": rng.uniform(0, 1, 5),
        "loss": rng.uniform(0, 2, 5), "memory": rng.uniform(0, 0.98, 5),
    }  # fmt: skip
    depth = rng.uniform(0.05, 0.6, 5)
    draws = replace(RESTAURANT, **changed)
    many = Campaigns(demand=draws, depth=depth, calendar=even_calendar(4, 3))
    columns = replace(RESTAURANT, **{name: value[:, None] for name, value in changed.items()})
    numbers = np.array([0, 4, 7])
    table = Campaigns(demand=columns, depth=depth[:, None], calendar=even_calendar(numbers, 3))
    for i in range(5):
        alone = replace(RESTAURANT, **{name: value[i] for name, value in changed.items()})
        one = Campaigns(demand=alone, depth=depth[i], calendar=even_calendar(4, 3))
        for field in fields(one.account):
            both = [getattr(c.account, field.name) for c in (many, one)]
            assert np.broadcast_to(both[0], 5)[i] == pytest.approx(both[1])
        assert table.account.net[i, 1] == pytest.approx(one.account.net)
        assert table.account.net[i, 0] == 0
        for quantity in ("contributions", "end_reference", "overdraft", "prices"):
            assert getattr(many, quantity)[i] == pytest.approx(getattr(one, quantity))
        assert many.recovery_weeks()[i] == one.recovery_weeks()
        assert many.worn_weeks()[i] == one.worn_weeks()
        assert many.habit.start[i] == pytest.approx(one.habit.start)
        assert many.path.guests[i] == pytest.approx(one.path.guests)
        for ask in ("best_depth", "break_even_depth"):
            assert getattr(draws, ask)(3)[i] == pytest.approx(getattr(alone, ask)(3))
        assert draws.break_even_elasticity(0.1, 3)[i] == pytest.approx(
            alone.break_even_elasticity(0.1, 3)
        )
        assert draws.campaign_profit(depth, 3)[i] == pytest.approx(
            alone.campaign_profit(depth[i], 3)
        )


@sampled
@given(demand=demands(), depth=depths, currency=st.floats(0.01, 100), size=st.floats(0.1, 10))
def test_currency_and_size_only_scale(demand, depth, currency, size):
    other = replace(
        demand,
        ticket=demand.ticket * currency, cost=demand.cost * currency, guests=demand.guests * size,
    )  # fmt: skip
    calendar = even_calendar(4, 2)
    here, there = (Campaigns(demand=d, depth=depth, calendar=calendar) for d in (demand, other))
    scale = here.account.list_price_profit
    assert there.account.net / (currency * size) == pytest.approx(
        here.account.net, rel=1e-9, abs=1e-9 * scale
    )
    assert there.end_reference == pytest.approx(here.end_reference * currency)
    assert other.steady_price(1.0) == pytest.approx(demand.steady_price(1.0) * currency)
    assert other.best_depth(2) == pytest.approx(demand.best_depth(2), abs=1e-12)
    assert other.break_even_elasticity(depth, 2) == pytest.approx(
        demand.break_even_elasticity(depth, 2), rel=1e-6
    )


def test_currency_and_size_only_scale_the_best_prices():
    other = replace(RESTAURANT, ticket=6.8, cost=2.72, guests=500)
    here, there = best_policy(RESTAURANT, nodes=101), best_policy(other, nodes=101)
    assert there.price * 10 == pytest.approx(here.price, rel=1e-6)
    assert there.value * 40 == pytest.approx(here.value, rel=1e-9, abs=1e-3)


# Refusals


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"elasticity": -1.0}, "elasticity=-1"),
        ({"memory": 1.0}, "memory=1"),
        ({"discount_factor": 1.0}, "discount_factor=1"),
        ({"gain": -0.1}, "gain=-0.1"),
        ({"loss": np.array([1.0, -2.0])}, "loss=-2"),
        ({"cost": 70.0}, "cost=70 must lie below ticket=68"),
        ({"cost": np.array([1.0, 68.0])}, "cost=68 must lie below ticket=68"),
    ],
)
def test_parameters_outside_their_domain_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        replace(RESTAURANT, **changed)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"depth": 1.0}, "depth=1"),
        ({"start": 0.0}, "start=0"),
        ({"calendar": np.array([0, 1, 1])}, "calendar must be boolean"),
        ({"calendar": np.array(True)}, "calendar must be boolean"),
    ],
)
def test_campaigns_outside_their_domain_are_refused(changed, message):
    plain = Campaigns(demand=RESTAURANT, depth=0.2, calendar=even_calendar(2, 2))
    with pytest.raises(ValueError, match=message):
        replace(plain, **changed)


@pytest.mark.parametrize(("number", "weeks"), [(-1, 2), (2.5, 2), (3, 0)])
def test_calendars_that_make_no_sense_are_refused(number, weeks):
    with pytest.raises(ValueError, match=f"number={number} campaigns of weeks={weeks}"):
        even_calendar(number, weeks)


def test_contributions_of_several_calendars_are_refused():
    campaigns = Campaigns(demand=RESTAURANT, depth=0.2, calendar=even_calendar([1, 2], 2))
    with pytest.raises(ValueError, match=r"shape \(2, 52\)"):
        _ = campaigns.contributions


def test_dynamic_programming_of_draws_is_refused():
    with pytest.raises(ValueError, match="loss must be one number"):
        best_policy(replace(RESTAURANT, loss=np.array([0.5, 1.0])))


@pytest.mark.parametrize("prices", [(60, 50), (-1, 50), (10, 200)])
def test_a_range_of_prices_that_makes_no_sense_is_refused(prices):
    with pytest.raises(ValueError, match=rf"prices=\({prices[0]}, {prices[1]}\)"):
        best_policy(RESTAURANT, prices=prices)


def test_a_reference_off_the_grid_is_refused():
    policy = best_policy(RESTAURANT, prices=(40, 80), nodes=51)
    with pytest.raises(ValueError, match=r"reference=39.0 must lie in \[40, 80\]"):
        policy.price_at(39)


def test_too_few_steps_are_not_an_answer():
    with pytest.raises(NotConverged, match="after 2 steps"):
        best_policy(RESTAURANT, max_steps=2)

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from o2o_research.models.channels import (
    Channel,
    Couriers,
    DirectChannel,
    Order,
    payback_months,
    smallest_share,
)

shares = st.floats(0, 1)
orders = st.builds(
    Order,
    ticket=st.floats(10, 300),
    variable_cost_share=st.floats(0, 0.9),
    guests=st.integers(1, 6).map(float),
    elasticity=st.floats(0, 3),
)
channels = st.builds(
    Channel,
    incremental_share=shares,
    discount_share=st.floats(0, 0.9),
    commission_share=st.floats(0, 0.5),
    fee_per_guest=st.floats(0, 10),
    handling_cost=st.floats(0, 20),
    labour_saved=st.floats(0, 10),
    diner_fee=st.floats(0, 15),
    diner_fee_kept_share=shares,
    monthly_cost=st.floats(0, 10_000),
)
pairs = st.builds(
    DirectChannel,
    order=orders,
    platform=channels,
    direct=channels,
    prospects=st.floats(10, 10_000),
    loyal_share=shares,
    leak_share=shares,
    set_up_cost=st.floats(0, 100_000),
)
ORDER = Order(ticket=60.0, variable_cost_share=0.4, elasticity=1.2)
PLATFORM = Channel(incremental_share=0.4, commission_share=0.15, diner_fee=6.0)


# Orders and channels


def test_commission_equals_the_fee_at_forty_yuan_matches_tencent_tech_2014():
    # The article's platform: 15 % of the order from the restaurant, 6 yuan from the diner.
    assert PLATFORM.equal_ticket == pytest.approx(40.0, abs=1e-12)
    at_forty = replace(ORDER, ticket=40.0)
    assert PLATFORM.take(at_forty) == pytest.approx(2 * 6.0)


@given(order=orders)
def test_dine_in_is_the_channel_with_nothing_taken(order):
    table = Channel(incremental_share=1.0)
    assert table.contribution(order) == pytest.approx(order.dine_in_contribution)
    assert table.orders_ratio(order) == 1.0


@given(order=orders, channel=channels)
def test_the_gain_is_the_difference_of_two_worlds(order, channel):
    # A thousand orders on the channel, against the tables they would have filled.
    n, new = 1000, channel.incremental_share
    paid = order.ticket * (1 - channel.discount_share)
    with_channel = n * (
        paid
        + channel.diner_fee * channel.diner_fee_kept_share
        + channel.labour_saved
        - paid * channel.commission_share
        - channel.fee_per_guest * order.guests
        - channel.handling_cost
        - order.variable_cost_share * order.ticket
    )
    without = n * (1 - new) * (order.ticket - order.variable_cost_share * order.ticket)
    assert n * channel.gain(order) == pytest.approx(with_channel - without, rel=1e-9, abs=1e-6)


@given(order=orders, channel=channels)
def test_orders_that_would_have_come_anyway_are_no_gain(order, channel):
    nobody_new = replace(channel, incremental_share=0.0)
    assert nobody_new.gain(order) == pytest.approx(-channel.cost_per_order(order), abs=1e-9)
    all_new = replace(channel, incremental_share=1.0)
    assert all_new.gain(order) == pytest.approx(channel.contribution(order))


@given(order=orders, channel=channels, extra=st.floats(0.1, 20))
def test_a_fee_the_platform_keeps_lowers_orders_and_not_the_contribution(order, channel, extra):
    dear = replace(channel, diner_fee=channel.diner_fee + extra, diner_fee_kept_share=0.0)
    cheap = replace(channel, diner_fee_kept_share=0.0)
    assert dear.contribution(order) == cheap.contribution(order)
    assert dear.orders_ratio(order) <= cheap.orders_ratio(order)
    if order.elasticity > 0.01:
        assert dear.orders_ratio(order) < cheap.orders_ratio(order)


@given(order=orders, channel=channels)
def test_orders_respond_with_the_stated_elasticity_of_the_full_price(order, channel):
    step = 1e-6 * channel.price_paid(order)
    more = replace(channel, diner_fee=channel.diner_fee + step)
    slope = np.log(more.orders_ratio(order) / channel.orders_ratio(order)) / np.log1p(1e-6)
    assert slope == pytest.approx(-order.elasticity, abs=1e-4)


@given(order=orders, channel=channels)
def test_the_fees_burden_is_the_gain_on_the_orders_not_placed(order, channel):
    free = replace(channel, diner_fee=0.0)
    lost_orders = free.orders_ratio(order) - channel.orders_ratio(order)
    assert channel.fee_burden(order) == pytest.approx(lost_orders * channel.gain(order))


@given(order=orders, channel=channels)
def test_the_channel_gains_exactly_above_its_break_even_share_of_new_orders(order, channel):
    flip = channel.break_even_incremental_share(order)
    if np.isinf(flip):
        assert replace(channel, incremental_share=1.0).gain(order) < 0
    elif flip == 0.0:
        assert replace(channel, incremental_share=0.0).gain(order) >= -1e-9
    else:
        assert replace(channel, incremental_share=flip).gain(order) == pytest.approx(0, abs=1e-8)
        assert replace(channel, incremental_share=flip / 2).gain(order) < 0


@given(order=orders, channel=channels)
def test_it_gains_exactly_when_a_new_order_costs_less_than_it_is_worth_at_the_table(order, channel):
    cost, gain = channel.cost_per_new_order(order), channel.gain(order)
    if abs(gain) > 1e-6:
        assert (cost < order.dine_in_contribution) == (gain > 0)


def test_a_booking_fee_below_the_labour_it_saves_pays_without_a_single_new_guest():
    party = replace(ORDER, ticket=240.0, guests=4.0)
    booking = Channel(incremental_share=0.0, fee_per_guest=1.0, labour_saved=5.0)
    assert booking.break_even_incremental_share(party) == 0.0
    dearer = replace(booking, fee_per_guest=2.0)
    # 8 yuan of fees less 5 of labour, against 144 at the table.
    assert dearer.break_even_incremental_share(party) == pytest.approx(3 / 144)


def test_clicks_are_as_cheap_as_results_at_the_break_even_conversion():
    booking = Channel(incremental_share=0.5, fee_per_guest=2.0)
    party = replace(ORDER, guests=4.0)
    conversion = booking.break_even_conversion(party, 0.4)
    assert 0.4 / conversion == pytest.approx(booking.cost_per_order(party))
    assert booking.break_even_conversion(party, 9.0) == np.inf


@given(order=orders, channel=channels)
def test_prospects_at_break_even_pay_the_fixed_cost(order, channel):
    needed = channel.break_even_prospects(order)
    if np.isinf(needed):
        assert channel.gain_per_prospect(order) <= 0
    else:
        assert channel.monthly_gain(order, needed) == pytest.approx(0, abs=1e-6)


def test_no_commission_never_equals_a_fee_and_no_new_order_has_no_price():
    assert Channel(incremental_share=0.0, diner_fee=6.0).equal_ticket == np.inf
    assert replace(PLATFORM, incremental_share=0.0).cost_per_new_order(ORDER) == np.inf
    saves = Channel(incremental_share=0.0, labour_saved=2.0)
    assert saves.cost_per_new_order(ORDER) == -np.inf
    assert saves.gain(ORDER) == pytest.approx(2.0)


def test_arrays_of_draws_equal_a_loop_over_channels():
    rng = np.random.default_rng(3)
    draws = {
        "incremental_share": rng.random(50),
        "commission_share": 0.4 * rng.random(50),
        "diner_fee": 10 * rng.random(50),
        "fee_per_guest": 5 * rng.random(50),
    }
    ticket, elasticity = 20 + 100 * rng.random(50), 2 * rng.random(50)
    order = Order(ticket=ticket, variable_cost_share=0.4, elasticity=elasticity)
    many = Channel(**draws)
    for i in range(50):
        one_order = replace(order, ticket=ticket[i], elasticity=elasticity[i])
        one = Channel(**{name: values[i] for name, values in draws.items()})
        for name in (
            "contribution",
            "gain_per_prospect",
            "fee_burden",
            "take",
            "cost_per_new_order",
            "break_even_incremental_share",
            "break_even_prospects",
        ):
            whole, single = getattr(many, name)(order), getattr(one, name)(one_order)
            assert whole[i] == pytest.approx(single, rel=1e-12), name


# Couriers


@settings(deadline=None)
@given(
    # Whole numbers: a stretch then starts at a tie exactly, or clearly on one side of it.
    daily=st.integers(50, 300),
    load=st.integers(5, 60),
    least=st.integers(1, 4),
    saving=st.integers(1, 30),
)
def test_own_couriers_pay_for_every_number_of_orders_above_break_even(daily, load, least, saving):
    couriers = Couriers(daily_cost=daily, orders_per_courier=load, minimum=least)
    flip = couriers.break_even_orders(saving)
    if np.isinf(flip):
        assert saving * load <= daily
        # Even with every courier fully loaded an order costs more than it saves.
        assert couriers.cost_per_order(1e6 * load) >= saving - 1e-9
        return
    tail = flip + np.linspace(1e-6 * flip, 20 * load, 4001)
    assert np.all(couriers.cost_per_order(tail) <= saving * (1 + 1e-9))
    # It is the smallest such number: just below it couriers still lose.
    assert couriers.cost_per_order(flip * (1 - 1e-9)) > saving


def test_one_courier_too_many_moves_break_even_beyond_the_first_crossing():
    # 100 yuan, 10 orders each, 14 yuan an order: 7.2 orders pay one courier, but 11 to 14
    # orders need a second one and 21 a third.
    couriers = Couriers(daily_cost=100.0, orders_per_courier=10.0)
    assert couriers.cost_per_order(8.0) < 14.0 < couriers.cost_per_order(11.0)
    assert couriers.break_even_orders(14.0) == pytest.approx(300 / 14)


def test_couriers_broadcast_over_orders_and_cost():
    couriers = Couriers(
        daily_cost=np.array([[100.0], [200.0]]), orders_per_courier=20.0, minimum=2.0
    )
    cost = couriers.cost_per_order(np.array([10.0, 40.0, 50.0]))
    assert cost == pytest.approx(np.array([[20.0, 5.0, 6.0], [40.0, 10.0, 12.0]]))
    assert couriers.break_even_orders(np.array([8.0, 12.0])).shape == (2, 2)


# Own direct channel


@given(pair=pairs)
def test_each_threshold_is_where_its_two_plans_change_places(pair):
    def plans(loyal):
        at = replace(pair, loyal_share=loyal)
        return at.profit_platform_only, at.profit_both, at.profit_direct_only

    for flip, old, new in (
        (pair.opening_loyal_share, 0, 1),
        (pair.leaving_loyal_share, 1, 2),
        (pair.replacing_loyal_share, 0, 2),
    ):
        scale = 1e-7 * (1.0 + max(abs(x) for x in (*plans(0.0), *plans(1.0))))
        if np.isinf(flip):
            assert plans(1.0)[new] - plans(1.0)[old] < scale
            assert plans(0.0)[new] - plans(0.0)[old] < scale
        elif flip == 0.0:
            assert plans(0.0)[new] - plans(0.0)[old] > -scale
        else:
            assert plans(flip)[new] == pytest.approx(plans(flip)[old], abs=scale)
            assert plans(flip / 2)[new] - plans(flip / 2)[old] < scale
            assert plans(1.0)[new] - plans(1.0)[old] > -scale


def test_the_three_plans_match_a_guest_by_guest_ledger():
    order = Order(ticket=60.0, variable_cost_share=0.4, elasticity=1.0)
    platform = Channel(
        incremental_share=1.0, commission_share=0.15, diner_fee=6.0, monthly_cost=500.0
    )
    direct = Channel(
        incremental_share=0.7, handling_cost=4.0, diner_fee=3.0, diner_fee_kept_share=1.0,
        monthly_cost=4_000.0,
    )  # fmt: skip
    pair = DirectChannel(
        order=order, platform=platform, direct=direct, prospects=1000.0, loyal_share=0.6,
        leak_share=0.5,
    )  # fmt: skip
    on_platform, on_direct = 60 / 66, 60 / 63  # orders a prospect, elasticity 1
    table = 36.0
    loyal_platform = on_platform * (51 - 24 - 0.3 * table)
    loyal_direct = on_direct * (60 - 24 - 4 + 3 - 0.3 * table)
    stranger = on_platform * (51 - 24)
    assert pair.profit_platform_only == pytest.approx(600 * loyal_platform + 400 * stranger - 500)
    assert pair.profit_both == pytest.approx(
        300 * loyal_platform + 300 * loyal_direct + 400 * stranger - 4_500
    )
    assert pair.profit_direct_only == pytest.approx(600 * loyal_direct - 4_000)


@given(pair=pairs)
def test_the_direct_channel_is_judged_by_its_better_plan(pair):
    gains = (
        pair.profit_both - pair.profit_platform_only,
        pair.profit_direct_only - (pair.profit_platform_only),
    )
    assert pair.monthly_gain == max(gains)
    assert pair.payback_months(0.01) == payback_months(pair.set_up_cost, max(gains), 0.01)


@given(pair=pairs)
def test_a_direct_channel_nobody_moves_to_never_gains_beside_the_platform(pair):
    stuck = replace(pair, leak_share=1.0)
    assert stuck.profit_both <= stuck.profit_platform_only + 1e-9


@given(pair=pairs)
def test_leaks_make_the_brand_feed_the_platform_sooner(pair):
    if pair.switch_gain > 0:
        tight, leaky = replace(pair, leak_share=0.1), replace(pair, leak_share=0.9)
        assert leaky.leaving_loyal_share <= tight.leaving_loyal_share
        assert leaky.opening_loyal_share >= tight.opening_loyal_share


def test_direct_channels_broadcast_like_a_loop():
    loyal, leak = np.linspace(0, 1, 7)[:, None], np.array([0.1, 0.9])
    pair = DirectChannel(
        order=ORDER,
        platform=PLATFORM,
        direct=Channel(incremental_share=0.8, handling_cost=4.0, monthly_cost=5_000.0),
        prospects=2_000.0,
        loyal_share=loyal,
        leak_share=leak,
        set_up_cost=40_000.0,
    )
    months = pair.payback_months(0.01)
    for i in range(7):
        for j in range(2):
            one = replace(pair, loyal_share=float(loyal[i, 0]), leak_share=float(leak[j]))
            assert months[i, j] == pytest.approx(one.payback_months(0.01))
            assert pair.leaving_loyal_share[j] == pytest.approx(one.leaving_loyal_share)


# Payback


@given(
    outlay=st.floats(1, 1e6),
    gain=st.floats(1, 1e5),
    rate=st.one_of(st.just(0.0), st.floats(1e-4, 0.05)),
)
def test_the_discounted_gain_up_to_payback_is_the_outlay(outlay, gain, rate):
    months = payback_months(outlay, gain, rate)
    if np.isinf(months):
        assert gain / rate <= outlay * (1 + 1e-12)
    elif months < 2_000:
        whole = np.arange(1, int(months) + 1)
        before = gain * np.sum((1 + rate) ** -whole.astype(float))
        after = before + gain * (1 + rate) ** -(int(months) + 1.0)
        assert before <= outlay * (1 + 1e-9)
        assert after >= outlay * (1 - 1e-9)


def test_discounting_vanishes_smoothly():
    assert payback_months(1e4, 500.0, 1e-9) == pytest.approx(payback_months(1e4, 500.0), rel=1e-6)


def test_what_gains_nothing_is_never_paid_back_and_what_cost_nothing_is_paid_at_once():
    assert np.array_equal(payback_months(100.0, np.array([0.0, -5.0, 5.0])), [np.inf, np.inf, 20.0])
    assert payback_months(0.0, -5.0) == 0.0
    # A perpetuity of 1 a month at 1 % is worth 100.
    assert payback_months(100.0, 1.0, 0.01) == np.inf
    assert np.isfinite(payback_months(99.0, 1.0, 0.01))


# Shares and refusals


@given(need=st.integers(-99, 99), slope=st.integers(-99, 99))
def test_the_smallest_share_matches_a_search_over_shares(need, slope):
    grid = np.linspace(0, 1, 2001)
    enough = grid[grid * slope >= need]
    share = smallest_share(need, slope)
    if np.isinf(share):
        assert enough.size == 0
    else:
        assert share <= enough[0] < share + 1 / 2000 + 1e-12


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Order(ticket=0.0, variable_cost_share=0.4), "ticket=0"),
        (lambda: Order(ticket=60.0, variable_cost_share=1.0), "variable_cost_share=1"),
        (lambda: replace(ORDER, elasticity=-1.0), "elasticity=-1"),
        (lambda: Channel(incremental_share=0.4, commission_share=15.0), "commission_share=15"),
        (lambda: Channel(incremental_share=0.4, discount_share=1.0), "discount_share=1"),
        (lambda: Channel(incremental_share=np.array([0.2, 1.4])), "incremental_share=1.4"),
        (lambda: Channel(incremental_share=0.4, diner_fee=-6.0), "diner_fee=-6"),
        (lambda: Couriers(daily_cost=0.0, orders_per_courier=20.0), "daily_cost=0"),
        (lambda: Couriers(daily_cost=9.0, orders_per_courier=2.0, minimum=1.5), "minimum=1.5"),
        (
            lambda: DirectChannel(
                order=ORDER, platform=PLATFORM, direct=PLATFORM, prospects=1.0,
                loyal_share=1.2, leak_share=0.5,
            ),
            "loyal_share=1.2",
        ),
    ],
)  # fmt: skip
def test_a_value_outside_its_domain_is_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()

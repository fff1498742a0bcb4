from dataclasses import fields, replace
from itertools import islice

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from o2o_research.models.vouchers import (
    Beta,
    Campaign,
    Deal,
    LogNormal,
    Population,
    Voucher,
    discounted_visits,
    gaining_share,
    proportion,
)

shares = st.floats(0, 1)
vouchers = st.builds(
    Voucher,
    price=st.floats(10, 300),
    variable_cost_share=st.floats(0, 0.9),
    site_share=st.floats(0, 0.6),
    redeemed_share=st.floats(0.2, 1),
    breakage_kept_share=shares,
    spend_beyond=st.floats(0, 100),
    return_share=shares,
    later_visits=st.floats(0, 8),
    displaced_share=st.floats(0, 0.9),
    reference_loss=st.floats(0, 1),
)
deals = st.builds(
    Deal,
    voucher=vouchers,
    depth=shares,
    regulars=st.floats(0, 100),
    newcomers=st.floats(0.1, 100),
    deal_prone=st.floats(0, 100),
)
campaigns = st.builds(
    Campaign,
    voucher=vouchers,
    reach=st.floats(10, 10_000),
    full_price_share=shares,
    known_share=shares,
    full_price_elasticity=st.floats(0.2, 2),
    deal_prone_elasticity=st.floats(0.5, 5),
)
MEAL = Voucher(
    price=100.0,
    variable_cost_share=0.4,
    site_share=0.1,
    redeemed_share=0.8,
    breakage_kept_share=0.5,
    spend_beyond=20.0,
    return_share=0.5,
    later_visits=2.0,
    displaced_share=0.1,
    reference_loss=0.2,
)
CAMPAIGN = Campaign(
    voucher=MEAL,
    reach=1000.0,
    full_price_share=0.3,
    known_share=0.3,
    full_price_elasticity=0.5,
    deal_prone_elasticity=2.0,
)


# The identity


@pytest.mark.parametrize("seed", range(4))
def test_profit_is_the_cash_of_a_world_with_the_campaign_less_that_of_one_without(seed):
    # Guest by guest: each event is drawn, each yuan booked in one of two worlds.
    rng = np.random.default_rng(seed)
    n = 400_000
    p, v, s, u, b = 80.0, 0.2 + 0.1 * seed, 0.1 * seed, 0.7, 0.5 * (seed % 3)
    x, q, m, h, g, d = 15.0, 0.4, 2.0, 0.2, 0.3, 0.45
    c, r = v * p, p * (1 - d) * (1 - s)
    kind = rng.choice(3, size=n, p=[0.3, 0.3, 0.4])
    regular, newcomer, new = kind == 0, kind == 1, kind != 0
    redeems = rng.random(n) < u
    without = np.where(regular, p - c, 0.0)
    # At peak a new guest's seat is one that a full-price guest had: there without, lost with.
    turned_away = new & redeems & (rng.random(n) < h)
    without += np.where(turned_away, p - c, 0.0)
    cash = np.where(redeems, r - c, b * r)
    cash += np.where(regular & ~redeems, p - c, 0.0)
    returns = newcomer & redeems & (rng.random(n) < q)
    cash += np.where(newcomer & redeems, x * (1 - v), 0.0)
    cash += np.where(returns, rng.poisson(m, n) * (p - c), 0.0)
    cash -= np.where(regular & redeems, g * p * d, 0.0)
    difference = cash - without
    voucher = Voucher(
        price=p, variable_cost_share=v, site_share=s, redeemed_share=u, breakage_kept_share=b,
        spend_beyond=x, return_share=q, later_visits=m, displaced_share=h, reference_loss=g,
    )  # fmt: skip
    deal = Deal(voucher=voucher, depth=d, regulars=0.3, newcomers=0.3, deal_prone=0.4)
    error = difference.std() / np.sqrt(n)
    assert abs(deal.profit - difference.mean()) < 4 * error


@given(deal=deals)
def test_every_term_has_its_stated_sign(deal):
    terms = deal.terms
    assert all(terms[name] >= 0 for name in ("spend_beyond", "returns", "breakage"))
    assert all(terms[name] <= 0 for name in ("regulars", "displaced", "reference_price"))
    receipts = deal.voucher.receipts(deal.depth)
    cost = deal.voucher.price * deal.voucher.variable_cost_share
    assert (terms["meals"] >= 0) == (receipts >= cost)


@given(deal=deals)
def test_a_new_guest_is_worth_more_than_a_regular_by_what_he_adds(deal):
    v = deal.voucher
    gain = replace(deal, regulars=0.0).profit / deal.new
    loss = -replace(deal, regulars=1.0, newcomers=0.0, deal_prone=0.0).profit
    later = (
        v.spend_beyond * (1 - v.variable_cost_share) + v.return_share * v.lifetime_value
    ) * deal.newcomers_share
    worth = (1 - v.displaced_share) * v.margin + v.reference_loss * v.price * deal.depth + later
    assert gain + loss == pytest.approx(v.redeemed_share * worth)


@given(deal=deals, share=shares)
def test_profit_falls_with_the_share_of_regulars_and_vanishes_at_break_even(deal, share):
    def with_regulars(k):
        others = (1 - k) / deal.new
        return replace(
            deal,
            regulars=k,
            newcomers=others * deal.newcomers,
            deal_prone=others * deal.deal_prone,
        ).profit

    assert with_regulars(1.0) < with_regulars(0.0)
    flip = float(deal.break_even_regulars)
    scale = 1e-9 * deal.voucher.price * (1 + deal.voucher.later_visits)
    if 0 < flip < 1:
        assert with_regulars(flip) == pytest.approx(0.0, abs=scale)
    assert with_regulars(min(share, flip)) >= -scale or flip == 0.0
    assert with_regulars(max(share, flip)) <= scale or flip == 1.0


@given(deal=deals)
def test_profit_vanishes_at_the_break_even_return_share(deal):
    flip = float(deal.break_even_return)

    def at(q):
        return replace(deal, voucher=replace(deal.voucher, return_share=q)).profit

    scale = 1e-9 * deal.voucher.price * deal.sold * (1 + deal.voucher.later_visits)
    if np.isinf(flip):
        assert at(1.0) < 0
    elif flip == 0:
        assert at(0.0) >= -scale
    else:
        assert at(flip) == pytest.approx(0.0, abs=scale)


@given(deal=deals, factor=st.floats(0.1, 10))
def test_profit_scales_with_the_currency(deal, factor):
    v = deal.voucher
    scaled = replace(v, price=factor * v.price, spend_beyond=factor * v.spend_beyond)
    assert replace(deal, voucher=scaled).profit == pytest.approx(
        factor * deal.profit, rel=1e-9, abs=1e-6
    )


def test_a_deal_that_sells_nothing_has_no_shares_and_no_profit():
    empty = Deal(voucher=MEAL, depth=0.5, regulars=0.0, newcomers=0.0, deal_prone=0.0)
    assert (empty.profit, empty.profit_per_voucher) == (0.0, 0.0)
    assert (empty.regulars_share, empty.return_share, empty.break_even_regulars) == (0.0, 0.0, 0.0)


# Vouchers help patient, little-known firms with a low marginal cost


@pytest.mark.parametrize(
    ("name", "low", "high", "sign"),
    [("patience", 0.3, 0.9, 1), ("known_share", 0.1, 0.6, -1), ("marginal_cost", 0.2, 0.5, -1)],
)
@pytest.mark.parametrize("kept", [0.0, 1.0])
def test_signs_match_edelman_jaffe_kominers_2016(name, low, high, sign, kept):
    def campaign(value):
        visits = discounted_visits(0.7, value if name == "patience" else 0.6)
        cost = value if name == "marginal_cost" else 0.35
        known = value if name == "known_share" else 0.3
        voucher = replace(
            MEAL, later_visits=visits, variable_cost_share=cost, breakage_kept_share=kept
        )
        return replace(CAMPAIGN, voucher=voucher, known_share=known)

    at_one_depth = [campaign(value).profit(0.5) for value in np.linspace(low, high, 9)]
    assert np.all(sign * np.diff(at_one_depth) > 0)
    best = [c.profit(c.best_depth) for c in map(campaign, np.linspace(low, high, 9))]
    assert np.all(sign * np.diff(best) >= 0)
    assert sign * (best[-1] - best[0]) > 0


@given(campaign=campaigns, depth=st.floats(0.05, 1), step=st.floats(0.01, 0.09))
def test_a_higher_marginal_cost_never_helps(campaign, depth, step):
    v = campaign.voucher
    dearer = replace(v, variable_cost_share=v.variable_cost_share + step)
    dear = replace(campaign, voucher=dearer).profit(depth)
    assert dear <= campaign.profit(depth) + 1e-9 * abs(campaign.profit(depth)) + 1e-9


def test_discounted_visits_are_the_sum_of_their_series():
    periods = np.arange(1, 400)
    retention, patience = 0.8, 0.9
    expected = np.sum(patience**periods * retention ** (periods - 1))
    assert discounted_visits(retention, patience) == pytest.approx(expected)
    assert discounted_visits(0.5, 0.0) == 0.0


# Who buys


@given(campaign=campaigns)
def test_depth_zero_is_no_campaign(campaign):
    assert campaign.profit(0.0) == 0.0
    assert campaign.at(0.0).sold == 0.0


@given(campaign=campaigns)
def test_a_free_meal_is_taken_by_everyone_reached(campaign):
    assert campaign.at(1.0).sold == pytest.approx(campaign.reach)


def test_buyers_are_the_people_whose_needed_depth_is_reached():
    # Person by person: needed depths with distribution d^e, one voucher each.
    rng = np.random.default_rng(11)
    n, depth = 400_000, 0.4
    full_price = rng.random(n) < 0.3
    known = rng.random(n) < 0.3
    needed = rng.random(n) ** (1 / np.where(full_price, 0.5, 2.0))
    buys = needed <= depth
    deal = replace(CAMPAIGN, reach=float(n)).at(depth)
    for who, expected in (
        (full_price & known, deal.regulars),
        (full_price & ~known, deal.newcomers),
        (~full_price, deal.deal_prone),
    ):
        count = np.sum(who & buys)
        assert abs(count - expected) < 4 * np.sqrt(expected)


@given(campaign=campaigns, low=st.floats(0.05, 0.9), step=st.floats(0.01, 0.1))
def test_deeper_deals_draw_fewer_regulars_and_fewer_guests_who_return(campaign, low, step):
    assume(campaign.deal_prone_elasticity > campaign.full_price_elasticity)
    shallow, deep = campaign.at(low), campaign.at(low + step)
    assert deep.regulars_share <= shallow.regulars_share + 1e-12
    assert deep.return_share <= shallow.return_share + 1e-12


# The best depth


@pytest.mark.parametrize("elasticity", [0.6, 1.0, 3.0])
@pytest.mark.parametrize("kept", [0.0, 1.0])
def test_best_depth_among_the_deal_prone_matches_its_closed_form(elasticity, kept):
    # d^E (a - w d) peaks at E a / ((E + 1) w): with E = 1, half of linear demand's break-even.
    voucher = replace(MEAL, breakage_kept_share=kept)
    campaign = replace(
        CAMPAIGN, voucher=voucher, full_price_share=0.0, deal_prone_elasticity=elasticity
    )
    slope = 90.0 * (0.8 + 0.2 * kept)
    start = slope - 0.8 * (40.0 + 0.1 * 60.0)
    expected = elasticity * start / ((elasticity + 1) * slope)
    assert campaign.best_depth == pytest.approx(expected, abs=1e-6)


@settings(deadline=None, max_examples=60)
@given(campaign=campaigns)
def test_no_depth_beats_the_best_depth(campaign):
    best = campaign.profit(campaign.best_depth)
    everywhere = campaign.profit(np.linspace(0, 1, 1001))
    scale = 1e-6 * campaign.reach * campaign.voucher.price
    assert np.all(everywhere <= best + scale)
    assert best >= 0.0


def test_no_discount_is_best_where_every_buyer_is_a_regular():
    known_to_all = replace(CAMPAIGN, full_price_share=1.0, known_share=1.0)
    refunded = replace(known_to_all, voucher=replace(MEAL, breakage_kept_share=0.0))
    assert refunded.best_depth == 0.0


def test_arrays_of_draws_equal_a_loop_over_campaigns():
    rng = np.random.default_rng(5)
    known, price = rng.random(12), 20 + 100 * rng.random(12)
    many = replace(CAMPAIGN, voucher=replace(MEAL, price=price), known_share=known)
    depth = rng.random(12)
    best, deal = many.best_depth, many.at(depth)
    for i in range(12):
        one = replace(CAMPAIGN, voucher=replace(MEAL, price=price[i]), known_share=known[i])
        assert best[i] == pytest.approx(one.best_depth, abs=1e-9)
        single = one.at(depth[i])
        for name in (
            "profit", "profit_per_voucher", "break_even_regulars", "break_even_return",
            "return_share", "new_guest_ticket", "regulars_share",
        ):  # fmt: skip
            assert getattr(deal, name)[i] == pytest.approx(getattr(single, name), rel=1e-12), name


def test_best_depth_keeps_the_shape_of_the_parameters():
    many = replace(CAMPAIGN, known_share=np.array([[0.1], [0.9]]), reach=np.array([10.0, 20.0]))
    assert many.best_depth.shape == (2, 2)
    assert np.shape(CAMPAIGN.best_depth) == ()


# Repeats


@given(campaign=campaigns, depth=st.floats(0.05, 1))
def test_repeats_wear_out_newcomers_at_the_rate_at_which_they_try(campaign, depth):
    first, *later = campaign.repeats(depth, 6)
    stay = 1 - campaign.voucher.redeemed_share * depth**campaign.full_price_elasticity
    for n, deal in enumerate(later, start=1):
        assert deal.newcomers == pytest.approx(first.newcomers * stay**n, rel=1e-9, abs=1e-9)


@given(campaign=campaigns, depth=st.floats(0.05, 1), renewal=shares)
def test_repeats_lose_nobody(campaign, depth, renewal):
    up, down = campaign.full_price_elasticity, campaign.deal_prone_elasticity
    for deal in campaign.repeats(depth, 5, renewal):
        people = (deal.regulars + deal.newcomers) / depth**up + deal.deal_prone / depth**down
        assert people == pytest.approx(campaign.reach)


@given(campaign=campaigns, depth=st.floats(0.05, 1))
def test_repeats_lower_retention_and_ticket_step_by_step(campaign, depth):
    run = list(campaign.repeats(depth, 6))
    back = np.array([deal.return_share for deal in run])
    ticket = np.array([deal.new_guest_ticket for deal in run])
    assert np.all(np.diff(back) <= 1e-12)
    assert np.all(np.diff(ticket) <= 1e-9)


def test_only_guests_who_come_back_are_regulars_of_the_next_campaign():
    # Of 1000, 210 are newcomers; 70.7 % buy, 80 % of these dine, half of these come back.
    first, second = CAMPAIGN.repeats(0.5, 2)
    buys = 0.5**0.5
    came_back = 210 * buys * 0.8 * 0.5
    assert first.regulars == pytest.approx(90 * buys)
    assert second.regulars == pytest.approx((90 + came_back) * buys)
    assert second.deal_prone == pytest.approx((700 + came_back) * 0.25)


def test_repeats_pay_less_each_time():
    profit = np.array([deal.profit for deal in CAMPAIGN.repeats(0.4, 8)])
    assert np.all(np.diff(profit) < 0)


def test_a_wholly_renewed_crowd_makes_every_campaign_the_first():
    run = list(CAMPAIGN.repeats(0.5, 4, renewal_share=1.0))
    assert [deal.profit for deal in run] == pytest.approx([CAMPAIGN.profit(0.5)] * 4)


@pytest.mark.parametrize("renewal", [0.1, 0.4])
def test_a_partly_renewed_crowd_settles_at_its_closed_form(renewal):
    # U = (1 - w)(1 - t) U + w U0 with t the share that tries each time.
    tries = 0.8 * 0.5**0.5
    last = next(islice(CAMPAIGN.repeats(0.5, 400, renewal), 399, None))
    expected = renewal / (1 - (1 - renewal) * (1 - tries)) * CAMPAIGN.at(0.5).newcomers
    assert last.newcomers == pytest.approx(expected)


def test_repeats_with_arrays_equal_a_loop():
    known = np.array([0.0, 0.4, 1.0])
    many = list(replace(CAMPAIGN, known_share=known).repeats(0.5, 4, 0.2))
    for i, share in enumerate(known):
        alone = replace(CAMPAIGN, known_share=share).repeats(0.5, 4, 0.2)
        for whole, one in zip(many, alone, strict=True):
            assert whole.profit[i] == pytest.approx(one.profit)


# Populations


def test_the_populations_means_match_dholakia_2011():
    deals = Population().draw(40_000, np.random.default_rng(2))
    new = deals.newcomers + deals.deal_prone
    assert new.mean() == pytest.approx(0.80, abs=0.005)
    assert deals.newcomers_share.mean() == pytest.approx(0.359, abs=0.004)
    assert deals.return_share.mean() == pytest.approx(0.199, abs=0.003)
    assert 1 - deals.voucher.redeemed_share.mean() == pytest.approx(0.217, abs=0.002)


def test_gainers_meet_more_guests_who_spend_and_return_like_dholakia_2010():
    # Printed: 50 against 25 % spend beyond the voucher, 31 against 13 % return. Signs only.
    deals = Population().draw(20_000, np.random.default_rng(4))
    gains = deals.profit > 0
    assert deals.newcomers_share[gains].mean() > deals.newcomers_share[~gains].mean() + 0.05
    assert deals.return_share[gains].mean() > deals.return_share[~gains].mean() + 0.05


def test_leaving_out_a_cost_flatters_the_gaining_share():
    deals = Population().draw(20_000, np.random.default_rng(6))
    whole = gaining_share(deals.profit).share
    no_cannibalisation = gaining_share(replace(deals, regulars=0.0 * deals.regulars).profit)
    free = replace(deals.voucher, displaced_share=0.0, reference_loss=0.0)
    no_displacement = gaining_share(replace(deals, voucher=free).profit)
    no_breakage = replace(deals.voucher, redeemed_share=1.0)
    assert no_cannibalisation.share > whole + 0.05
    assert no_displacement.share > whole + 0.02
    assert gaining_share(replace(deals, voucher=no_breakage).profit).share != whole


def test_whether_a_deal_gains_does_not_depend_on_the_price_level():
    cheap, dear = (
        replace(Population(), price=price).draw(5_000, np.random.default_rng(8))
        for price in (20.0, 500.0)
    )
    assert np.array_equal(cheap.profit > 0, dear.profit > 0)


def test_draws_depend_on_nothing_but_the_generator():
    one, two = (Population().draw(50, np.random.default_rng(9)) for _ in range(2))
    assert np.array_equal(one.profit, two.profit)
    # A spread held fixed leaves all other draws as they were.
    fixed = replace(Population(), site_share=Beta(mean=0.3, sd=0.0))
    assert np.array_equal(fixed.draw(50, np.random.default_rng(9)).depth, one.depth)


@pytest.mark.parametrize(
    "spread",
    [Beta(mean=0.2, sd=0.12), Beta(mean=0.783, sd=0.1), LogNormal(mean=3.0, sd=2.0)],
)
def test_a_spread_has_the_mean_and_deviation_it_states(spread):
    draws = spread.ppf(np.random.default_rng(0).random(200_000))
    assert draws.mean() == pytest.approx(spread.mean, abs=4 * spread.sd / np.sqrt(draws.size))
    assert draws.std() == pytest.approx(spread.sd, rel=0.02)
    still = replace(spread, sd=0.0)
    assert still.ppf(np.array([0.1, 0.9])) == pytest.approx(np.full(2, spread.mean))


def test_separators_match_the_variance_of_conditional_means():
    population = Population()
    found = population.separators(2**14, np.random.default_rng(3))
    deals = population.draw(80_000, np.random.default_rng(12))
    gains = (deals.profit > 0).astype(float)
    drawn = {
        "newcomers_share": deals.newcomers_share,
        "regulars_share": deals.regulars_share,
        "later_visits": deals.voucher.later_visits,
        "reference_loss": deals.voucher.reference_loss,
    }
    for name, values in drawn.items():
        bins = gains[np.argsort(values)].reshape(100, -1)
        within = bins.var(axis=1, ddof=1).mean()
        assert found.first_order[name] == pytest.approx(1 - within / gains.var(), abs=0.03)
        assert found.total_order[name] >= found.first_order[name] - 0.02


def test_the_only_thing_that_differs_explains_everything():
    still = {name: replace(s, sd=0.0) for name, s in Population().spreads.items()}
    still["later_visits"] = LogNormal(mean=1.5, sd=2.0)
    found = Population(**still).separators(2**10, np.random.default_rng(1))
    assert found.first_order.pop("later_visits") == pytest.approx(1.0, abs=0.1)
    assert set(found.first_order.values()) == {0.0}


# Proportions and refusals


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_the_interval_matches_newcombe_1998(successes, n, low, high):
    found = proportion(successes, n)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


def test_gaining_share_counts_profits_above_zero():
    found = gaining_share(np.array([[1.0, -1.0], [0.0, 2.0]]))
    assert found == proportion(2, 4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: replace(MEAL, variable_cost_share=1.1), "variable_cost_share=1.1"),
        (lambda: replace(MEAL, redeemed_share=0.0), "redeemed_share=0"),
        (lambda: replace(MEAL, price=np.array([10.0, -3.0])), "price=-3"),
        (lambda: replace(MEAL, displaced_share=1.0), "displaced_share=1"),
        (lambda: CAMPAIGN.at(1.2), "depth=1.2"),
        (lambda: replace(CAMPAIGN, known_share=2.0), "known_share=2"),
        (lambda: replace(CAMPAIGN, deal_prone_elasticity=0.0), "deal_prone_elasticity=0"),
        (
            lambda: Deal(voucher=MEAL, depth=0.5, regulars=-1.0, newcomers=1.0, deal_prone=1.0),
            "regulars=-1",
        ),
        (lambda: Beta(mean=0.1, sd=0.4), "sd=0.4"),
        (lambda: LogNormal(mean=0.0, sd=1.0), "mean=0"),
        (lambda: replace(Population(), breakage_kept_share=1.5), "breakage_kept_share=1.5"),
        (lambda: proportion(5, 4), "successes=5"),
        (lambda: proportion(0, 0), "n=0"),
    ],
)
def test_a_value_outside_its_domain_is_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_every_spread_of_a_population_has_its_place_in_a_deal():
    places = {f.name for f in fields(Voucher)} | {"depth", "regulars_share", "newcomers_share"}
    assert set(Population().spreads) < places

"""Several brands, generations, short supply and countries: special cases, truth, second methods."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate

from o2o_research.models.diffusion.bass import Bass
from o2o_research.models.diffusion.competing import (
    Competition,
    Entry,
    Regime,
    crowded_market,
    fit_crowded,
    fit_entry,
    lotka_volterra,
)
from o2o_research.models.diffusion.countries import CountryLaunches
from o2o_research.models.diffusion.fitting import fit_bass
from o2o_research.models.diffusion.generations import Generations, fit_generations
from o2o_research.models.diffusion.regression import Errors
from o2o_research.models.diffusion.supply import FlashSales, _upper, fit_flash_sales

POISSON = Errors(1, dispersion=1.0)

# Competing brands


def test_one_brand_is_bass():
    curve = Bass(market=100, innovation=0.03, imitation=0.38)
    alone = crowded_market(100, [0.03], imitation=0.38, loyalty_share=0.7)
    t = np.arange(0, 20.0)
    np.testing.assert_allclose(alone.cumulative(t)[0], curve.cumulative(t), atol=1e-5)
    both = Entry(
        entry=8, market=100, innovation_first=0.03, imitation_first=0.0, own_first=0.38,
        innovation_second=0.0, imitation_second=0.0, own_second=0.0,
    )  # fmt: skip
    np.testing.assert_allclose(both.competition.cumulative(t)[0], curve.cumulative(t), atol=1e-5)


@settings(max_examples=25)
@given(
    p=st.lists(st.floats(0.001, 0.05), min_size=1, max_size=8),
    q=st.floats(0, 0.8),
    loyalty=st.floats(0, 1),
)
def test_brands_together_follow_bass_with_the_sum_of_their_innovation(p, q, loyalty):
    t = np.arange(0, 15.0)
    brands = crowded_market(50, p, imitation=q, loyalty_share=loyalty)
    together = Bass(market=50, innovation=sum(p), imitation=q)
    np.testing.assert_allclose(brands.cumulative(t).sum(axis=0), together.cumulative(t), atol=1e-4)


def test_like_brands_part_a_market_alike_and_the_order_of_names_does_not_matter():
    same = crowded_market(50, [0.01] * 4, imitation=0.4, loyalty_share=0.5).cumulative([30.0])
    assert np.ptp(same) < 1e-9
    p, entries = np.array([0.01, 0.02, 0.005]), np.array([0.0, 2.0, 5.0])
    order = [2, 0, 1]
    one = crowded_market(50, p, imitation=0.4, loyalty_share=0.3, entries=entries)
    two = crowded_market(50, p[order], imitation=0.4, loyalty_share=0.3, entries=entries[order])
    np.testing.assert_allclose(one.cumulative([9.0])[order], two.cumulative([9.0]), rtol=1e-9)


def test_being_late_costs_share_and_more_so_the_more_loyal_the_talk():
    def last(delay, loyalty):
        found = crowded_market(
            1, [0.01, 0.01], imitation=0.5, loyalty_share=loyalty, entries=[0, delay]
        ).cumulative([60.0])
        return found[1, 0]

    by_delay = [last(delay, 0.5) for delay in (0.0, 2.0, 5.0, 9.0)]
    assert by_delay[0] == pytest.approx(0.5, abs=1e-6)
    assert np.all(np.diff(by_delay) < -0.02)
    assert last(5.0, 0.9) < last(5.0, 0.1)


def test_the_entry_of_a_rival_solves_the_equations_of_the_paper():
    pair = Entry(
        entry=6, market=300, innovation_first=0.02, imitation_first=0.15, own_first=0.1,
        innovation_second=0.015, imitation_second=0.35, own_second=0.2,
        market_alone=120, innovation_alone=0.03, imitation_alone=0.3,
    )  # fmt: skip

    def slope(t, z):
        if t < 6:
            return [(0.03 * 120 + 0.3 * z[0]) * (1 - z[0] / 120), 0.0]
        free = 1 - z.sum() / 300
        return [
            (0.02 * 300 + (0.15 + 0.1) * z[0] + 0.15 * z[1]) * free,
            (0.015 * 300 + (0.35 - 0.2) * z[0] + 0.35 * z[1]) * free,
        ]

    early = integrate.solve_ivp(slope, (0, 6), [0, 0], rtol=1e-11, atol=1e-11).y[:, -1]
    late = integrate.solve_ivp(
        slope, (6, 20), early, t_eval=np.arange(6, 21), rtol=1e-11, atol=1e-11
    ).y
    np.testing.assert_allclose(pair.competition.cumulative(np.arange(6, 21.0)), late, atol=1e-5)


def test_lotka_and_volterra_settle_where_their_lines_cross():
    # K - A z = 0: 100 = z1 + .5 z2, 80 = .4 z1 + z2.
    rivals = lotka_volterra([0.8, 0.6], [100, 80], [[1, 0.5], [0.4, 1]], [1, 1])
    end = rivals.cumulative([200.0])[:, 0]
    np.testing.assert_allclose(end, np.linalg.solve([[1, 0.5], [0.4, 1]], [100, 80]), rtol=1e-6)
    alone = lotka_volterra([0.8], [100], [[1]], [1])
    t = np.arange(0, 12.0)
    np.testing.assert_allclose(alone.cumulative(t)[0], 100 / (1 + 99 * np.exp(-0.8 * t)), rtol=1e-5)


def test_a_stronger_rival_drives_the_other_out():
    rivals = lotka_volterra([0.8, 0.8], [100, 100], [[1, 0.5], [1.5, 1]], [1, 1])
    np.testing.assert_allclose(rivals.cumulative([300.0])[:, 0], [100, 0], atol=1e-3)


TRUTH = Entry(
    entry=8, market=30_000, innovation_first=0.01, imitation_first=0.1, own_first=0.2,
    innovation_second=0.01, imitation_second=0.4, own_second=0.3,
    market_alone=12_000, innovation_alone=0.02, imitation_alone=0.45,
)  # fmt: skip


@pytest.mark.parametrize("entry", [0, 8])
def test_the_fit_of_an_entry_returns_the_truth(entry):
    truth = replace(TRUTH, entry=float(entry))
    y = truth.competition.sales(26)
    model = fit_entry(y[0], y[1], entry=entry).model
    names = ["market", "innovation_first", "innovation_second"]
    free = ["imitation_first", "own_first", "imitation_second", "own_second"]
    for name in names:
        assert getattr(model, name) == pytest.approx(getattr(truth, name), rel=1e-3)
    for name in free:
        assert getattr(model, name) == pytest.approx(getattr(truth, name), abs=1e-3)


def test_the_fit_of_an_entry_recovers_simulated_truth():
    # The parts of word of mouth are hard to tell apart; their standard errors say so.
    rng = np.random.default_rng(3)
    large = replace(TRUTH, market=3e6, market_alone=1.2e6)
    fit = fit_entry(*rng.poisson(large.competition.sales(26)), entry=8, errors=POISSON)
    assert fit.covariance is not None
    for name, stderr in fit.stderr.items():
        assert abs(getattr(fit.model, name) - getattr(large, name)) < 4 * stderr
    assert fit.stderr["market"] < 0.02 * large.market
    same = replace(large, own_second=0.2)
    fit = fit_entry(
        *rng.poisson(same.competition.sales(26)), entry=8, same_bonus=True, errors=POISSON
    )
    assert fit.model.own_first == fit.model.own_second
    assert fit.model.own_first == pytest.approx(0.2, abs=4 * fit.stderr["own_first"])


def test_the_fit_of_a_crowd_recovers_who_came_first():
    entries = [0, 3, 6]
    truth = crowded_market(
        20_000, [0.01, 0.02, 0.01], imitation=0.4, loyalty_share=0.3, entries=entries
    )
    exact = fit_crowded(truth.sales(20), entries=entries)
    # The integration of the fit has longer steps than the curve.
    assert exact.model.regimes[0].markets[0] == pytest.approx(20_000, rel=1e-3)
    np.testing.assert_allclose(exact.model.regimes[-1].innovation, [0.01, 0.02, 0.01], rtol=2e-3)
    sales = np.random.default_rng(4).poisson(truth.sales(20))
    fit = fit_crowded(sales, entries=entries, errors=POISSON)
    found = [fit.model.regimes[0].markets[0], *fit.model.regimes[-1].innovation]
    names = ["market", "innovation_0", "innovation_1", "innovation_2"]
    for name, value, true in zip(names, found, [20_000, 0.01, 0.02, 0.01], strict=True):
        assert abs(value - true) < 4 * fit.stderr[name]


# Generations


def test_one_generation_is_bass_and_nobody_is_lost_between_two():
    one = Generations(additions=[100], innovation=0.03, imitation=0.38, launches=[0])
    t = np.arange(0, 30.0)
    curve = Bass(market=100, innovation=0.03, imitation=0.38)
    np.testing.assert_allclose(one.in_use(t)[0], curve.cumulative(t), atol=1e-9)
    two = Generations(additions=[100, 50], innovation=0.03, imitation=0.38, launches=[0, 5])
    # Users of the first, and of the second: those of m1 who ever adopted, and F2 m2.
    f1, f2 = curve.adopted_share(t), curve.adopted_share(t - 5)
    np.testing.assert_allclose(two.in_use(t).sum(axis=0), 100 * f1 + 50 * f2, atol=1e-9)
    assert two.in_use([200.0])[:, 0] == pytest.approx([0, 150], abs=1e-6)


def test_the_fit_of_generations_returns_the_truth_and_recovers_it_from_noise():
    truth = Generations(
        additions=[100, 150, 80], innovation=0.01, imitation=0.3, launches=[0, 6, 14]
    )
    t = np.arange(1.0, 26)
    exact = fit_generations(truth.in_use(t), [0, 6, 14]).model
    np.testing.assert_allclose(exact.additions, truth.additions, rtol=1e-6)
    assert (exact.innovation, exact.imitation) == pytest.approx((0.01, 0.3), rel=1e-6)
    noise = np.random.default_rng(5).normal(0, 2, (3, 25))
    seen = np.where(t > np.array([[0], [6], [14]]), np.maximum(truth.in_use(t) + noise, 0), 0)
    fit = fit_generations(seen, [0, 6, 14], own_imitation=True)
    for i, true in enumerate([100, 150, 80]):
        assert abs(fit.model.additions[i] - true) < 4 * fit.stderr[f"addition_{i}"]
        assert abs(fit.model.imitation[i] - 0.3) < 4 * fit.stderr[f"imitation_{i}"]


def test_generations_fit_the_systems_in_use_of_ibm(shared_data):
    table = np.loadtxt(shared_data / "diffusion" / "tsIbm.csv", delimiter=",", skiprows=1).T
    fit = fit_generations(table, [0, 5, 10, 15])
    t = np.arange(1.0, table.shape[1] + 1)
    left = ((table - fit.model.in_use(t)) ** 2).sum()
    assert left < 0.15 * ((table - table.mean(axis=1, keepdims=True)) ** 2).sum()
    assert fit.model.innovation < fit.model.imitation


# Short supply


def test_without_limits_demand_is_basss_discrete_curve_and_all_of_it_is_sold():
    phone = FlashSales(market=100, innovation=0.03, imitation=0.38, giving_up_share=0.5)
    path = phone.path(np.full(15, np.inf))
    steps = Bass(market=100, innovation=0.03, imitation=0.38).steps()
    np.testing.assert_allclose(path.sold, [next(steps) for _ in range(15)])
    assert not path.lost.any()


@settings(max_examples=40)
@given(
    stock=st.lists(st.floats(0, 30), min_size=1, max_size=12),
    giving_up=st.floats(0, 1),
    q=st.floats(0, 0.9),
)
def test_who_asked_has_one_waits_or_gave_up(stock, giving_up, q):
    path = FlashSales(market=100, innovation=0.05, imitation=q, giving_up_share=giving_up).path(
        stock
    )
    asked = np.cumsum(path.demand)
    np.testing.assert_allclose(
        asked, np.cumsum(path.sold) + path.waiting + np.cumsum(path.lost), atol=1e-9
    )
    assert np.all(path.sold <= np.asarray(stock) + 1e-9)
    assert asked[-1] <= 100 + 1e-9


def test_simulated_people_follow_the_expected_path():
    phone = FlashSales(market=50_000, innovation=0.01, imitation=0.3, giving_up_share=0.3)
    stock = np.array([200, 400, 600, 1500, 3000, 8000, 8000, 2000, 8000.0])
    run = phone.simulate(stock, np.random.default_rng(1))
    path = phone.path(stock)
    np.testing.assert_allclose(run.sold, path.sold, rtol=0.05)
    np.testing.assert_allclose(
        run.demand.cumsum(), run.sold.cumsum() + run.waiting + run.lost.cumsum()
    )


PHONE = FlashSales(market=20_000, innovation=0.01, imitation=0.35, giving_up_share=0.3)
STOCK = np.array(
    [150, 150, 300, 300, 400, 1500, 600, 600, 1000, 4000, 2000, 2000, 2500, 4000, 3000, *[3000] * 5]
)


def test_censored_demand_is_recovered_where_bass_fits_the_factory():
    rng = np.random.default_rng(2)
    away, bass = [], []
    for _ in range(12):
        run = PHONE.simulate(STOCK, rng)
        fit = fit_flash_sales(run.sold, STOCK, dispersion=1.0)
        away.append(
            [(getattr(fit.model, k) - getattr(PHONE, k)) / s for k, s in fit.stderr.items()]
        )
        bass.append(fit_bass(run.sold).model.innovation)
    # Mean of 12 standardised misses: its standard error is .29.
    assert np.abs(np.mean(away, axis=0)).max() < 4 * 0.29
    assert np.abs(away).max() < 4
    # What was sold began slowly because there was little of it.
    assert np.mean(bass) < 0.7 * PHONE.innovation


def test_the_likelihood_of_a_single_sold_out_period_is_the_normal_tail():
    from scipy import stats

    for z in (-8.0, -1.0, 0.0, 2.0, 20.0, 24.9, 25.1, 60.0):
        tail, ratio = _upper(z)
        assert tail == pytest.approx(stats.norm.logsf(z), rel=1e-6)
        exact = np.exp(stats.norm.logpdf(z) - stats.norm.logsf(z))
        assert ratio == pytest.approx(exact, rel=1e-4)


# Countries

ONE = np.ones(3)
ABROAD = CountryLaunches(
    markets=np.array([5e6, 2e6, 1e6]),
    innovation=0.01 * ONE,
    imitation=0.4 * ONE,
    cross_border=0.05 * (1 - np.eye(3)),
    margin=100 * ONE,
    launch_cost=2e7 * ONE,
    running_cost=2e6 * ONE,
    rival_rate=0.01 * ONE,
    discount_rate=0.02,
    horizon=18.0,
)


def test_a_country_by_itself_is_bass_and_its_value_the_discounted_curve():
    apart = replace(ABROAD, cross_border=np.zeros((3, 3)))
    path = apart.shares([0.0, 2.5, 40.0], 18)
    curve = Bass(market=1, innovation=0.01, imitation=0.4)
    t = np.arange(19)
    np.testing.assert_allclose(path[:, 0], curve.adopted_share(t), atol=1e-7)
    np.testing.assert_allclose(path[:, 1], curve.adopted_share(t - 2.5), atol=1e-7)
    assert not path[:, 2].any()

    def worth(start, market):
        sold = integrate.quad(
            lambda x: curve.adoption_rate(x - start) * np.exp(-0.02 * x), start, 18
        )[0]
        running = 2e6 * (np.exp(-0.02 * start) - np.exp(-0.02 * 18)) / 0.02
        left = market * np.exp(-0.01 * start)
        return 100 * left * sold - 2e7 * np.exp(-0.02 * start) - running

    assert apart.value([0.0, 2.5, 40.0]) == pytest.approx(
        worth(0.0, 5e6) + worth(2.5, 2e6), rel=1e-5
    )


def test_talk_across_borders_is_the_coupled_equation():
    path = ABROAD.shares([0.0, 3.0, 3.0], 12)

    def slope(t, f):
        pull = 0.01 + 0.4 * f + 0.05 * (f.sum() - f)
        return pull * (1 - f) * (t >= np.array([0.0, 3.0, 3.0]))

    early = integrate.solve_ivp(slope, (0, 3), np.zeros(3), rtol=1e-10, atol=1e-12).y[:, -1]
    late = integrate.solve_ivp(slope, (3, 12), early, rtol=1e-10, atol=1e-12).y[:, -1]
    np.testing.assert_allclose(path[-1], late, atol=1e-6)


def test_countries_that_share_all_talk_are_one_market():
    # c_ij = q / n for all, own included, makes equal countries one Bass market.
    alike = replace(ABROAD, imitation=0.4 / 3 * ONE, cross_border=0.4 / 3 * (1 - np.eye(3)))
    curve = Bass(market=1, innovation=0.01, imitation=0.4)
    np.testing.assert_allclose(
        alike.shares(np.zeros(3), 15)[:, 0], curve.adopted_share(np.arange(16)), atol=1e-7
    )


def test_all_at_once_and_one_by_one_each_have_their_market():
    # Rivals at the door and free entry: at once. No rivals, dear presence, loud neighbours: wait.
    at_once = replace(ABROAD, rival_rate=0.2 * ONE, running_cost=0 * ONE, launch_cost=0 * ONE)
    assert at_once.best_gap() == 0.0
    assert at_once.waterfall_gain(2.0) < 0
    one_by_one = replace(
        ABROAD,
        innovation=np.array([0.03, 0.0005, 0.0005]),
        rival_rate=0 * ONE,
        running_cost=8e6 * ONE,
        cross_border=0.1 * (1 - np.eye(3)),
    )
    gap = one_by_one.best_gap()
    assert gap > 0.5
    assert one_by_one.waterfall_gain(gap) > 0
    others = np.linspace(0, 18, 73)
    assert one_by_one.waterfall_gain(gap) >= one_by_one.waterfall_gain(others).max() - 1e-6 * 1e8


def test_the_choice_flips_where_it_is_said_to():
    for parameter in ("margin", "launch_cost", "running_cost"):
        factor = ABROAD.flip_factor(parameter, 2.0)
        if np.isfinite(factor):
            moved = replace(ABROAD, **{parameter: factor * getattr(ABROAD, parameter)})
            assert moved.waterfall_gain(2.0) == pytest.approx(0.0, abs=1e-3)
    # At once is better here; it takes dearer presence to turn it.
    assert ABROAD.waterfall_gain(2.0) < 0
    assert 1 < ABROAD.flip_factor("running_cost", 2.0) < np.inf
    dearer = replace(ABROAD, running_cost=1.1 * ABROAD.flip_factor("running_cost", 2.0) * 2e6 * ONE)
    assert dearer.waterfall_gain(2.0) > 0


def test_value_broadcasts_over_draws_and_gaps():
    many = replace(ABROAD, discount_rate=np.array([0.01, 0.03]))
    gaps = np.array([0.0, 2.0])
    both = many.value(many.waterfall(gaps))
    for i, rate in enumerate((0.01, 0.03)):
        one = replace(ABROAD, discount_rate=rate)
        assert both[i] == pytest.approx(one.value(one.waterfall(gaps[i])))
    order = ABROAD.waterfall(2.0, order=[2, 0, 1])
    assert order.tolist() == [2.0, 4.0, 0.0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Competition(regimes=[]), "start at 0"),
        (
            lambda: Regime(start=0, markets=np.ones(2), innovation=np.ones(2), word_of_mouth=np.ones((2, 3))),
            r"word_of_mouth must have shape \(2, 2\)",
        ),
        (lambda: crowded_market(1, [0.1], imitation=0.1, loyalty_share=1.5), "loyalty_share=1.5"),
        (lambda: crowded_market(1, [0.1], imitation=0.1, loyalty_share=0, entries=[2]), "first at 0"),
        (lambda: replace(TRUTH, market=-1.0), "market=-1"),
        (lambda: fit_entry(np.ones(9), np.ones(9), entry=2), "entry=2"),
        (lambda: fit_entry(np.ones(12), np.ones(12), entry=5), "before its entry=5"),
        (lambda: fit_crowded(np.ones((2, 6)), entries=[0, 3]), "before its entry"),
        (lambda: fit_crowded(-np.ones((2, 6))), "brand 1, period 1 has -1"),
        (lambda: Generations(additions=[1, 2], innovation=0.1, imitation=0.1, launches=[0, 0]), "increase from 0"),
        (lambda: fit_generations(np.ones((2, 9)), [0, 3]), "generation 2 is in use before"),
        (lambda: FlashSales(market=1, innovation=0.1, imitation=0.1, giving_up_share=2), "giving_up_share=2"),
        (lambda: PHONE.path([-1.0]), "nowhere below 0"),
        (lambda: fit_flash_sales(np.ones(9), np.zeros(9)), "period 1 sold 1 of a stock of 0"),
        (lambda: fit_flash_sales(np.ones(9), np.ones(9)), "only 0 periods were not sold out"),
        (lambda: fit_flash_sales(np.ones(9), np.full(9, 2.0), dispersion=0.0), "dispersion=0"),
        (lambda: replace(ABROAD, margin=np.ones(2)), "margin must end in one value a country"),
        (lambda: replace(ABROAD, cross_border=np.ones((3, 3))), "0 on the diagonal"),
        (lambda: replace(ABROAD, horizon=0.0), "horizon=0"),
        (lambda: ABROAD.flip_factor("horizon", 1.0), "parameter='horizon'"),
        (lambda: ABROAD.value([0.0, 1.0]), "one time >= 0 a country"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()

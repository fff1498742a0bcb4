"""Bass's curves against print, closed forms, integration and simulation; fits against truth."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, optimize, special

from o2o_research.models.diffusion.bass import Bass, GeneralisedBass, cumulative_sales
from o2o_research.models.diffusion.fitting import MarketUnknown, fit_bass, fit_generalised_bass
from o2o_research.models.diffusion.regression import COUNTS, LEAST_SQUARES, PROPORTIONAL, Errors

MEAN = Bass(market=100, innovation=0.03, imitation=0.38)
LAWS = {"least_squares": LEAST_SQUARES, "counts": COUNTS, "proportional": PROPORTIONAL}

curves = st.builds(
    Bass,
    market=st.floats(1, 1e6),
    innovation=st.floats(1e-4, 0.2),
    imitation=st.floats(1e-3, 1.5),
    impulse_share=st.floats(0, 0.5),
)


# The curve


def test_the_peak_matches_bass_1969():
    assert MEAN.peak_time == pytest.approx(6.1926, abs=5e-5)
    assert MEAN.peak_rate == pytest.approx(0.11059, abs=5e-6)
    assert MEAN.peak_share == pytest.approx(0.46053, abs=5e-6)


@pytest.mark.parametrize(
    ("p", "q"),
    [(0.028, 0.25), (0.010, 0.42), (0.017, 0.36), (0.025, 0.65), (0.006, 0.24), (0.00471, 0.506)],
)
def test_the_peak_of_published_curves_is_where_sales_are_highest(p, q):
    curve = Bass(market=1, innovation=p, imitation=q)
    t = np.linspace(0, 40, 400_001)
    assert t[curve.adoption_rate(t).argmax()] == pytest.approx(curve.peak_time, abs=2e-4)
    assert curve.peak_time == pytest.approx(np.log(q / p) / (p + q))
    assert curve.peak_rate == pytest.approx((p + q) ** 2 / (4 * q))
    assert curve.peak_share == pytest.approx(0.5 - p / (2 * q))


@given(curve=curves, t=st.floats(0.01, 30))
def test_the_rate_is_the_slope_of_the_share_and_obeys_the_equation(curve, t):
    h = 1e-5
    slope = (curve.adopted_share(t + h) - curve.adopted_share(t - h)) / (2 * h)
    share = curve.adopted_share(t)
    assert curve.adoption_rate(t) == pytest.approx(slope, rel=1e-4, abs=1e-9)
    hazard = curve.innovation + curve.imitation * share
    assert curve.adoption_rate(t) == pytest.approx(hazard * (1 - share), rel=1e-7, abs=1e-12)


@given(curve=curves, share=st.floats(0, 0.999))
def test_time_to_a_share_is_when_the_curve_is_there(curve, share):
    t = curve.time_to(share)
    assert curve.adopted_share(t) == pytest.approx(max(share, curve.impulse_share), abs=1e-9)


@given(curve=curves, periods=st.integers(1, 40))
def test_sales_add_up_to_all_adopters_with_the_impulse_in_the_first_period(curve, periods):
    sales = curve.sales(np.arange(1, periods + 1))
    assert sales.sum() == pytest.approx(curve.cumulative(periods))
    assert sales[0] >= curve.market * curve.impulse_share * (1 - 1e-12)


def test_an_impulse_alone_spreads_as_the_logistic():
    curve = Bass(market=50, innovation=0.0, imitation=0.7, impulse_share=0.1)
    t = np.linspace(0, 20, 41)
    np.testing.assert_allclose(curve.adopted_share(t), special.expit(0.7 * t + np.log(1 / 9)))
    assert Bass(market=50, innovation=0.0, imitation=0.7).adopted_share(9.0) == 0.0


def test_ten_thousand_on_day_one_are_not_a_coefficient_of_innovation():
    # Both have 10,000 members after day one; with the impulse nobody else joined by himself.
    impulse = Bass(market=1e5, innovation=0.0005, imitation=0.02, impulse_share=0.0995)
    innovation = Bass(market=1e5, innovation=-np.log(0.9), imitation=0.0)
    assert impulse.cumulative(1) == pytest.approx(1e4, rel=0.03)
    assert innovation.cumulative(1) == pytest.approx(1e4, rel=1e-9)
    assert impulse.cumulative(30) < 0.2e5
    assert innovation.cumulative(30) > 0.95e5


@given(curve=curves)
def test_the_unbounded_form_is_the_same_curve(curve):
    t = np.linspace(0, 15, 7)
    m = curve.market
    same = cumulative_sales(
        t, curve.innovation * m, curve.imitation, 1 / m, curve.impulse_share * m
    )
    np.testing.assert_allclose(same, curve.cumulative(t), rtol=1e-9, atol=1e-9 * m)


def test_growth_without_end_is_the_limit_of_ever_larger_markets():
    t = np.linspace(0, 12, 13)
    exact = 3 / 0.4 * np.expm1(0.4 * t) + 2 * np.exp(0.4 * t)
    np.testing.assert_allclose(cumulative_sales(t, 3, 0.4, 0.0, 2.0), exact, rtol=1e-12)
    np.testing.assert_allclose(cumulative_sales(t, 3, 0.4, 1e-12, 2.0), exact, rtol=1e-7)


def test_discrete_time_follows_its_recursion_and_tends_to_the_curve_in_short_periods():
    step = 1e-3
    fine = Bass(market=100, innovation=0.03 * step, imitation=0.38 * step, impulse_share=0.05)
    steps = fine.steps()
    sold = np.cumsum([next(steps) for _ in range(8000)])
    curve = Bass(market=100, innovation=0.03, imitation=0.38, impulse_share=0.05)
    np.testing.assert_allclose(
        sold[[999, 3999, 7999]], curve.cumulative([1.0, 4.0, 8.0]), rtol=1e-3
    )
    coarse = MEAN.steps()
    assert [next(coarse), next(coarse)] == pytest.approx([3.0, (0.03 + 0.38 * 0.03) * 97])


def test_draws_broadcast_with_periods():
    p = np.array([[0.01], [0.03], [0.1]])
    many = Bass(market=100, innovation=p, imitation=0.38)
    assert many.sales(np.arange(1, 9)).shape == (3, 8)
    np.testing.assert_array_equal(many.sales(np.arange(1, 9))[1], MEAN.sales(np.arange(1, 9)))
    assert many.peak_time.shape == (3, 1)


def test_simulated_sales_have_the_curves_mean():
    rng = np.random.default_rng(4)
    small = Bass(market=500, innovation=0.03, imitation=0.38, impulse_share=0.1)
    runs = np.array([small.simulate(12, rng) for _ in range(400)])
    mean = small.sales(np.arange(1, 13))
    stderr = np.sqrt(mean * (1 - mean / 500) / 400)
    assert np.abs((runs.mean(axis=0) - mean) / stderr).max() < 4


# Prices and advertising


def test_constant_prices_and_advertising_leave_bass():
    general = GeneralisedBass(
        market=100, innovation=0.03, imitation=0.38, price_effect=-2, advertising_effect=0.7
    )
    np.testing.assert_allclose(general.sales(15), MEAN.sales(np.arange(1, 16)))


def test_the_generalised_curve_solves_its_differential_equation():
    # Bass, Krishnan & Jain (1994): F' = (p + q F)(1 - F) x(t), x = 1 + b1 Pr'/Pr + b2 A'/A.
    general = GeneralisedBass(
        market=1, innovation=0.02, imitation=0.4, price_effect=-1.5, advertising_effect=0.6
    )

    def price(t):
        return np.exp(-0.08 * t)

    def advertising(t):
        return 1 + 0.3 * np.sin(t)

    def slope(t, share):
        x = 1 - 1.5 * -0.08 + 0.6 * 0.3 * np.cos(t) / advertising(t)
        return (0.02 + 0.4 * share) * (1 - share) * x

    t = np.linspace(0, 12, 13)
    exact = integrate.solve_ivp(slope, (0, 12), [0.0], t_eval=t, rtol=1e-10, atol=1e-12).y[0]
    found = general.cumulative(t, price=price(t), advertising=advertising(t))
    np.testing.assert_allclose(found, exact, atol=1e-8)


def test_a_clock_that_would_take_back_sales_is_refused():
    general = GeneralisedBass(market=1, innovation=0.02, imitation=0.4, price_effect=-3)
    with pytest.raises(ValueError, match="clock runs backwards in period 3"):
        general.sales(4, price=[1.0, 1.0, 2.0, 2.0])


# Fits


@pytest.mark.parametrize(
    ("periods", "printed"),
    [(8, (0.0407, 0.4085, 90.10)), (12, (0.0403, 0.3702, 96.92)), (20, (0.0413, 0.3476, 99.35))],
)
def test_least_squares_on_the_lagged_total_is_biased_where_differences_of_the_curve_are_not(
    periods, printed
):
    sales = MEAN.sales(np.arange(1, periods + 1))
    lagged = np.cumsum(sales) - sales
    design = np.stack([np.ones(periods), lagged, lagged**2], axis=1)
    a, b, c = np.linalg.lstsq(design, sales, rcond=None)[0]
    market = (-b - np.sqrt(b * b - 4 * a * c)) / (2 * c)
    assert (a / market, b + a / market) == pytest.approx(printed[:2], abs=5e-5)
    assert market == pytest.approx(printed[2], abs=5e-3)
    for law in LAWS.values():
        model = fit_bass(sales, errors=law).model
        assert (model.innovation, model.imitation) == pytest.approx((0.03, 0.38), abs=1e-8)
        assert model.market == pytest.approx(100, abs=1e-6)


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_an_impulse_and_a_price_effect_are_told_apart_from_innovation(law):
    truth = Bass(market=2e4, innovation=0.01, imitation=0.4, impulse_share=0.1)
    model = fit_bass(truth.sales(np.arange(1, 16)), impulse=True, errors=law).model
    assert model.impulse_share == pytest.approx(0.1, abs=1e-7)
    assert (model.innovation, model.imitation) == pytest.approx((0.01, 0.4), abs=1e-7)
    price = np.exp(-0.05 * np.arange(1, 19)) * (1 + 0.1 * np.sin(np.arange(1, 19)))
    advertising = 1 + 0.3 * np.cos(np.arange(1, 19))
    driven = GeneralisedBass(
        market=500, innovation=0.01, imitation=0.3, price_effect=-1.2, advertising_effect=0.4
    )
    found = fit_generalised_bass(
        driven.sales(18, price=price, advertising=advertising),
        price=price,
        advertising=advertising,
        errors=law,
    ).model
    assert found.price_effect == pytest.approx(-1.2, abs=1e-6)
    assert found.advertising_effect == pytest.approx(0.4, abs=1e-6)
    assert found.market == pytest.approx(500, rel=1e-6)


def test_counts_agree_with_the_likelihood_of_schmittlein_and_mahajan_1982():
    # The multinomial with the market unknown, maximised by another method.
    sales = Bass(market=4000, innovation=0.02, imitation=0.4).simulate(14, np.random.default_rng(3))
    sold = sales.sum()

    def minus(theta):
        m = sold + np.exp(theta[0])
        curve = Bass(market=1, innovation=np.exp(theta[1]), imitation=np.exp(theta[2]))
        f = curve.sales(np.arange(1, 15))
        outside = special.gammaln(m + 1) - special.gammaln(m - sold + 1)
        return -(outside + sales @ np.log(f) + (m - sold) * np.log1p(-f.sum()))

    exact = optimize.minimize(
        minus,
        [5.0, np.log(0.02), np.log(0.4)],
        method="Nelder-Mead",
        options={"xatol": 1e-9, "fatol": 1e-10, "maxiter": 5000, "maxfev": 5000},
    )
    model = fit_bass(sales, errors=Errors(1, dispersion=1.0)).model
    assert np.log([model.innovation, model.imitation]) == pytest.approx(exact.x[1:], abs=2e-3)
    # The multinomial counts whole people: its market differs by a person or two.
    assert model.market == pytest.approx(sold + np.exp(exact.x[0]), abs=2.0)


def test_standard_errors_match_the_spread_of_refits_and_the_curvature():
    truth = Bass(market=3000, innovation=0.02, imitation=0.4)
    rng = np.random.default_rng(8)
    law = Errors(1, dispersion=1.0)
    fits = [fit_bass(truth.simulate(16, rng), errors=law) for _ in range(40)]
    for name in ("innovation", "imitation"):
        found = np.std([getattr(fit.model, name) for fit in fits], ddof=1)
        stated = np.mean([fit.stderr[name] for fit in fits])
        assert found == pytest.approx(stated, rel=4 / np.sqrt(2 * 39))
    fit = fits[0]
    assert fit.covariance.shape == (3, 3)
    assert fit.log_likelihood == pytest.approx(
        float(
            (
                special.xlogy(fit.sales, fit.fitted) - fit.fitted - special.gammaln(fit.sales + 1)
            ).sum()
        )
    )


def test_a_series_that_stops_before_its_peak_warns_and_has_no_upper_end_to_its_market():
    truth = Bass(market=1000, innovation=0.01, imitation=0.4)
    sales = truth.simulate(6, np.random.default_rng(2))
    with pytest.warns(MarketUnknown, match="no upper end"):
        fit = fit_bass(sales)
    low, high = fit.market_interval()
    assert not fit.peak_seen
    assert sales.sum() * 0.9 < low < 1000
    assert high == np.inf
    # Whatever market is thought of above the lower end, the data do not object to it.
    assert fit.market_profile([2000.0, 1e6]).min() > -3


def test_a_peak_that_is_seen_bounds_the_market_and_is_not_warned_of():
    fit = fit_bass(
        Bass(market=1000, innovation=0.01, imitation=0.4).simulate(20, np.random.default_rng(2))
    )
    low, high = fit.market_interval()
    assert fit.peak_seen
    assert low < 1000 < high < 1300


def test_the_profile_is_zero_at_the_best_and_passes_the_threshold_at_the_interval():
    law = Errors(1, dispersion=1.0)
    fit = fit_bass(
        Bass(market=1000, innovation=0.01, imitation=0.4).simulate(14, np.random.default_rng(5)),
        errors=law,
    )
    ends = fit.market_interval(0.95)
    assert fit.market_profile(fit.model.market) == pytest.approx(0.0, abs=1e-9)
    assert fit.market_profile(ends) == pytest.approx(np.full(2, -3.8415 / 2), abs=0.01)
    with pytest.raises(ValueError, match="market_profile"):
        fit.market_profile(10.0)


@pytest.mark.parametrize(
    ("p", "q", "s", "seen"),
    [
        (0.01, 0.4, 0, 8),
        (0.03, 0.15, 0, 6),
        (0.1, 0.1, 0, 6),
        (0.01, 0.4, 0.05, 7),
        (0.01, 0.4, 0, 13),
    ],
    ids=["before_the_peak", "slow_and_early", "falling", "after_an_impulse", "after_the_peak"],
)
def test_forecasts_cover_what_they_say(p, q, s, seen):
    truth = Bass(market=2000, innovation=p, imitation=q, impulse_share=s)
    rng = np.random.default_rng(11)
    hits = []
    for _ in range(20):
        sales = truth.simulate(seen + 4, rng)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MarketUnknown)
            fit = fit_bass(sales[:seen], impulse=s > 0, errors=Errors(1, dispersion=1.0))
        found = fit.forecast(4, rng, draws=400)
        assert found.effective > 400
        low, high = found.cumulative_interval(0.9)
        hits.append(low[-1] <= sales.sum() <= high[-1])
    # A series is a hit or not: 20 of them at .9, three standard errors.
    assert np.mean(hits) == pytest.approx(0.9, abs=3 * np.sqrt(0.09 / 20))


@pytest.mark.parametrize(
    ("sales", "law"),
    [
        ([30, 31, 27, 24, 20, 27], COUNTS),
        ([30, 31, 27, 24, 20, 27], Errors(1, dispersion=1.0)),
        ([18, 18, 36, 32, 50, 58], PROPORTIONAL),
    ],
    ids=["no_imitation_seen", "counts_of_people", "growth"],
)
def test_draws_are_those_of_an_exact_grid(sales, law):
    # Flat in p m, q and 1 / m: the likelihood written out anew, its dispersion integrated out
    # where it is not known.
    y, n = np.array(sales, float), len(sales)
    edges = np.linspace(0, 0.5, 81), np.linspace(0, 5, 101), np.linspace(1e-3, 1.5, 61)
    middle = [(e[1:] + e[:-1]) / 2 for e in edges]
    a, q, k = (x[..., None] for x in np.meshgrid(*middle, indexing="ij"))
    a, k = a * y.sum(), k / y.sum()
    left = np.exp(-(a * k + q) * np.arange(n + 1))
    mean = np.maximum(np.diff(a * (1 - left) / (a * k + q * left), axis=-1), 1e-300)
    miss = y / mean
    if law.power == 2:
        deviance = 2 * (miss - 1 - np.log(miss)).sum(axis=-1)
    else:
        deviance = 2 * (y * np.log(miss) - y + mean).sum(axis=-1)
    log = -n / 2 * np.log(deviance) if law.dispersion is None else -deviance / 2
    weight = np.exp(log - log.max())
    weight /= weight.sum()
    assert max(weight[-1].sum(), weight[:, -1].sum(), weight[:, :, -1].sum()) < 2e-3
    with pytest.warns(MarketUnknown):
        fit = fit_bass(y, errors=law)
    draws = 4000
    many = fit.models(draws, np.random.default_rng(1))
    shared = y.sum() / many.market
    found = (many.innovation / shared, many.imitation, shared)
    for axis, (ends, values) in enumerate(zip(edges, found, strict=True)):
        others = tuple(set(range(3)) - {axis})
        exact = np.cumsum(weight.sum(axis=others))
        share = (values < ends[1:]).mean(axis=0)
        # Kolmogorov's distance: 1.95 / sqrt(n) is passed once in a thousand times.
        assert np.abs(share - exact).max() < 1.95 / np.sqrt(draws)
    assert fit.forecast(1, np.random.default_rng(1), draws=draws).effective > draws


def test_intervals_widen_with_the_horizon_and_narrow_with_the_data():
    truth = Bass(market=2000, innovation=0.01, imitation=0.4)
    sales = truth.simulate(14, np.random.default_rng(1))
    widths = {}
    for seen in (6, 10, 14):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MarketUnknown)
            fit = fit_bass(sales[:seen])
        found = fit.forecast(6, np.random.default_rng(2), draws=2000)
        low, high = found.cumulative_interval()
        widths[seen] = high - low
        assert np.all(np.diff(widths[seen]) > 0)
        assert found.effective > 400
    assert widths[6][-1] > 10 * widths[14][-1]


def test_draws_of_curves_have_the_fits_spread_where_it_is_well_known():
    sales = Bass(market=1e6, innovation=0.01, imitation=0.4).simulate(20, np.random.default_rng(1))
    fit = fit_bass(sales, errors=Errors(1, dispersion=1.0))
    many = fit.models(4000, np.random.default_rng(3))
    for name in ("market", "innovation", "imitation"):
        values = getattr(many, name)
        assert values.shape == (4000, 1)
        assert values.std() == pytest.approx(fit.stderr[name], rel=0.08)
        assert values.mean() == pytest.approx(getattr(fit.model, name), abs=0.1 * fit.stderr[name])


@pytest.mark.parametrize("scale", [1e-3, 1e6])
def test_the_unit_of_sales_does_not_matter(scale):
    sales = np.array([3.0, 5, 9, 14, 19, 22, 20, 15, 9, 6])
    for law in (LEAST_SQUARES, COUNTS, PROPORTIONAL):
        one, two = fit_bass(sales, errors=law), fit_bass(scale * sales, errors=law)
        assert two.model.market == pytest.approx(scale * one.model.market, rel=1e-4)
        assert two.model.imitation == pytest.approx(one.model.imitation, rel=1e-4)
        assert two.market_interval() == pytest.approx(
            scale * np.array(one.market_interval()), rel=1e-3
        )


def test_a_launch_without_sales_in_some_periods_is_fitted():
    fit = fit_bass([0, 3, 0, 9, 14, 19, 22, 20, 15, 9, 6], errors=COUNTS)
    assert np.isfinite(fit.log_likelihood)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Bass(market=0, innovation=0.1, imitation=0.1), "market=0"),
        (lambda: Bass(market=1, innovation=-0.1, imitation=0.1), "innovation=-0.1"),
        (lambda: Bass(market=1, innovation=0, imitation=0), "nobody would adopt"),
        (lambda: Bass(market=1, innovation=0, imitation=1, impulse_share=1), "impulse_share=1"),
        (lambda: MEAN.time_to(1.0), "share=1"),
        (lambda: Errors(3), "power=3"),
        (lambda: Errors(1, dispersion=-1.0), "dispersion=-1"),
        (lambda: fit_bass([1.0, 2.0, 3.0]), "3 periods cannot give 3 parameters"),
        (lambda: fit_bass([1.0, -2.0, 3.0, 4.0]), "period 2 has -2"),
        (lambda: fit_bass([1.0, np.nan, 3.0, 4.0]), "period 2 has nan"),
        (lambda: fit_bass(np.zeros(6)), "nothing was sold"),
        (lambda: fit_bass(np.ones((2, 6))), r"shape \(2, 6\)"),
        (lambda: fit_generalised_bass(np.ones(9)), "price, advertising or both"),
        (lambda: fit_generalised_bass(np.ones(9), price=np.ones(9)), "price never moves"),
        (
            lambda: fit_generalised_bass(np.ones(9), price=0.95 ** np.arange(1, 10)),
            "cannot be told from a faster clock",
        ),
        (lambda: fit_generalised_bass(np.ones(9), price=np.ones(8)), r"price must have shape \(9,\)"),
        (lambda: fit_generalised_bass(np.ones(3), price=[1, 0, 1]), "period 2 has 0"),
        (
            lambda: GeneralisedBass(market=1, innovation=1, imitation=1).clock(1.0, price=0.0),
            "price=0",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()

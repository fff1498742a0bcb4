"""Customer-base models against the published CDNOW and retention numbers, and second methods."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, special

from o2o_research.models.cohorts import spend_frequency_correlation
from o2o_research.models.customers import (
    BGNBD,
    GammaGamma,
    ShiftedBetaGeometric,
    fit_bgnbd,
    fit_gamma_gamma,
    fit_shifted_beta_geometric,
)
from o2o_research.models.numerics import Array, Fit, NotConverged

# Fader & Hardie (2007), Table 1: % of members surviving years 0 to 12.
HIGH_END = [100, 86.9, 74.3, 65.3, 59.3, 55.1, 51.7, 49.1, 46.8, 44.5, 42.7, 40.9, 39.4]
REGULAR = [100, 63.1, 46.8, 38.2, 32.6, 28.9, 26.2, 24.1, 22.3, 20.7, 19.4, 18.3, 17.3]

positive = st.floats(0.05, 20)
laws = st.builds(BGNBD, r=positive, alpha=positive, a=positive, b=positive)


class CDNOW(NamedTuple):
    frequency: Array
    recency: Array
    T: Array
    monetary: Array


@pytest.fixture(scope="module")
def cdnow() -> CDNOW:
    package = find_spec("lifetimes")  # read as a file: the package warns when imported
    if package is None or package.submodule_search_locations is None:
        pytest.skip("lifetimes, which ships the CDNOW sample, is not installed")
    folder = Path(package.submodule_search_locations[0], "datasets")
    table = np.loadtxt(
        folder / "cdnow_customers_summary_with_transactions.csv", delimiter=",", skiprows=1
    )
    return CDNOW(*table[:, 1:5].T)


@pytest.fixture(scope="module")
def bgnbd(cdnow: CDNOW) -> Fit[BGNBD]:
    return fit_bgnbd(cdnow.frequency, cdnow.recency, cdnow.T)


@pytest.fixture(scope="module")
def spend(cdnow: CDNOW) -> Fit[GammaGamma]:
    return fit_gamma_gamma(cdnow.frequency, cdnow.monetary)


# ── BG/NBD: published ─────────────────────────────────────────────────────────────────────────


def test_bgnbd_on_cdnow_matches_fader_hardie_lee_2005(bgnbd: Fit[BGNBD]) -> None:
    assert bgnbd.n == 2357
    assert bgnbd.log_likelihood == pytest.approx(-9582.4, abs=0.05)
    fitted = [bgnbd.model.r, bgnbd.model.alpha, bgnbd.model.a, bgnbd.model.b]
    assert fitted == pytest.approx([0.243, 4.414, 0.793, 2.426], abs=5e-4)


def test_bgnbd_on_cdnow_matches_the_longer_published_digits(bgnbd: Fit[BGNBD]) -> None:
    assert bgnbd.log_likelihood == pytest.approx(-9582.425561, abs=5e-7)
    fitted = [bgnbd.model.r, bgnbd.model.alpha, bgnbd.model.a, bgnbd.model.b]
    # Printed to 8 digits by an optimiser that stopped about 1e-7 short in the flat a, b direction.
    assert fitted == pytest.approx([0.24259291, 4.41353153, 0.79288610, 2.42575306], rel=5e-7)


def test_bgnbd_standard_errors_on_cdnow_match_the_published_ones(bgnbd: Fit[BGNBD]) -> None:
    published = {"r": 0.012557, "alpha": 0.378221, "a": 0.185719, "b": 0.705345}
    assert bgnbd.stderr == pytest.approx(published, abs=1e-6)


def test_expected_purchases_of_a_new_customer_match_the_bgnbd_spreadsheet(
    bgnbd: Fit[BGNBD],
) -> None:
    weeks = [0.1429, 1, 3, 31.8571, 32]
    printed = [0.0078, 0.0532, 0.1506, 1.0405, 1.0437]
    assert bgnbd.model.expected_purchases(weeks) == pytest.approx(printed, abs=5e-5)


def test_the_spreadsheet_s_78_weeks_are_its_series_cut_off(bgnbd: Fit[BGNBD]) -> None:
    # Printed 1.8576: the hypergeometric series after 150 terms; the whole of it gives 1.8580.
    r, alpha, a, b = bgnbd.model.r, bgnbd.model.alpha, bgnbd.model.a, bgnbd.model.b
    j, z = np.arange(150), 78 / (alpha + 78)
    terms = np.cumprod((r + j) * (b + j) / ((a + b - 1 + j) * (j + 1)) * z)

    def until_78(series: float) -> float:
        return float((a + b - 1) / (a - 1) * (1 - (alpha / (alpha + 78)) ** r * series))

    assert until_78(float(1 + terms.sum())) == pytest.approx(1.8576, abs=5e-5)
    whole = until_78(float(special.hyp2f1(r, b, a + b - 1, z)))
    assert bgnbd.model.expected_purchases(78) == pytest.approx(whole, rel=1e-11)


def test_conditional_purchases_match_fader_hardie_lee_2005(bgnbd: Fit[BGNBD]) -> None:
    found = bgnbd.model.expected_purchases(39, frequency=2, recency=30.43, T=38.86)
    assert found == pytest.approx(1.226, abs=5e-4)


def test_the_best_customer_matches_the_bgnbd_not_the_pareto_nbd_answer(bgnbd: Fit[BGNBD]) -> None:
    best = {"frequency": 26, "recency": 30.86, "T": 31}
    assert bgnbd.model.expected_purchases(52, **best) == pytest.approx(25.76, abs=5e-3)
    assert bgnbd.model.alive(**best) == pytest.approx(0.969, abs=5e-4)


# ── BG/NBD: other ways to the same number ─────────────────────────────────────────────────────


def published_formula(law: BGNBD, t: float, x: float, t_x: float, T: float) -> float:
    """Equation (10) as printed."""
    r, alpha, a, b = law.r, law.alpha, law.a, law.b
    z = t / (alpha + T + t)
    series = special.hyp2f1(r + x, b + x, a + b + x - 1, z)
    numerator = (
        (a + b + x - 1) / (a - 1) * (1 - ((alpha + T) / (alpha + T + t)) ** (r + x) * series)
    )
    dropped = a / (b + x - 1) * ((alpha + T) / (alpha + t_x)) ** (r + x) if x else 0.0
    return float(numerator / (1 + dropped))


def integrated(law: BGNBD, t: float, x: float = 0.0, T: float = 0.0) -> float:
    """Purchases of an active customer, averaged over the posterior of his drop-out probability."""
    shape, time, a, b = law.r + x, t / (law.alpha + T), law.a, law.b + x

    def purchases(log_odds: float) -> float:
        p = special.expit(log_odds)
        density = np.exp(
            a * special.log_expit(log_odds) + b * special.log_expit(-log_odds)
            - special.betaln(a, b)
        )  # fmt: skip
        return float(-np.expm1(-shape * np.log1p(p * time)) / p * density)

    pieces = [float(end) for end in (-40 / a, -20, -5, 0, 5, 20, 40 / b)]  # e^-40 beyond
    return sum(
        float(integrate.quad(purchases, *piece, epsabs=1e-14, epsrel=1e-11, limit=200)[0])
        for piece in pairwise(sorted(pieces))
    )


@pytest.mark.parametrize("x", [0, 1, 7, 60, 300, 1000])
@pytest.mark.parametrize("t", [0.5, 13.0, 26.0])
def test_expected_purchases_agree_with_the_printed_hypergeometric_form(x: int, t: float) -> None:
    law = BGNBD(r=0.7, alpha=9.0, a=0.8, b=2.4)
    history = {"frequency": x, "recency": 38.0 if x else 0.0, "T": 39.0}
    found = law.expected_purchases(t, **history)
    assert found == pytest.approx(published_formula(law, t, x, history["recency"], 39.0), rel=1e-10)


@pytest.mark.parametrize(
    ("a", "b"), [(1.0, 2.4), (1 + 1e-9, 2.4), (0.4, 0.6), (0.3, 0.4), (1.0, 0.05), (3.0, 0.5)]
)
def test_nothing_breaks_where_the_printed_form_divides_by_zero(a: float, b: float) -> None:
    law = BGNBD(r=0.7, alpha=9.0, a=a, b=b)
    assert law.expected_purchases(52) == pytest.approx(integrated(law, 52), rel=1e-8)


def test_the_conditional_mean_is_smooth_through_a_equal_to_one() -> None:
    a = np.array([1 - 1e-6, 1.0, 1 + 1e-6])
    below, at, above = BGNBD(r=0.7, alpha=9.0, a=a, b=2.4).expected_purchases(52, 3, 30, 39)
    assert at == pytest.approx((below + above) / 2, rel=1e-10)
    assert below > at > above


@pytest.mark.parametrize("x", [1000, 30_000])
def test_expected_purchases_stay_finite_where_the_printed_form_overflows(x: int) -> None:
    law = BGNBD(r=3.0, alpha=0.5, a=0.8, b=20.0)
    active = law.expected_purchases(200, frequency=x, recency=39.0, T=39.0) / law.alive(x, 39, 39)
    assert active == pytest.approx(integrated(law, 200, x, 39.0), rel=1e-8)


def test_a_customer_observed_for_ever_makes_the_purchases_before_he_drops_out() -> None:
    law = BGNBD(r=0.7, alpha=9.0, a=3.5, b=2.4)
    assert law.expected_purchases(np.inf) == pytest.approx((3.5 + 2.4 - 1) / (3.5 - 1))
    assert law.expected_purchases(1e6) == pytest.approx(1.96, rel=1e-3)
    assert BGNBD(r=0.7, alpha=9.0, a=1.0, b=2.4).expected_purchases(np.inf) == np.inf


def test_purchase_probabilities_sum_to_one_and_have_the_expected_mean() -> None:
    law, x = BGNBD(r=0.7, alpha=9.0, a=0.8, b=2.4), np.arange(400)
    share = law.purchase_probability(x, 39)
    assert share.sum() == pytest.approx(1, abs=1e-12)
    assert share @ x == pytest.approx(law.expected_purchases(39), rel=1e-11)
    assert 1 - share[0] == pytest.approx(law.repeat_share(39), rel=1e-12)


@given(law=laws, t=st.floats(0.1, 60))
def test_the_share_without_a_repeat_is_that_of_the_negative_binomial(law: BGNBD, t: float) -> None:
    assert law.purchase_probability(0, t) == pytest.approx((1 + t / law.alpha) ** -law.r, rel=1e-9)


def test_forecasts_average_over_histories_to_the_forecast_without_one() -> None:
    law, rng = BGNBD(r=0.7, alpha=4.0, a=0.8, b=2.4), np.random.default_rng(20)
    T = np.full(40_000, 26.0)
    ahead = law.expected_purchases(26, *law.simulate(T, rng), T)
    error = ahead.std() / np.sqrt(T.size)
    gained = law.expected_purchases(52) - law.expected_purchases(26)
    assert ahead.mean() == pytest.approx(gained, abs=3 * error)


@pytest.mark.parametrize("horizon", [0.5, 13.0, 520.0])
@pytest.mark.parametrize("discount_rate", [0.0, 0.0018, 0.05, 0.5])
@pytest.mark.parametrize(("x", "t_x", "T"), [(0, 0.0, 0.0), (6, 30.0, 39.0), (200, 30.0, 39.0)])
def test_discounted_purchases_are_the_integral_of_the_discounted_rate(
    horizon: float, discount_rate: float, x: int, t_x: float, T: float
) -> None:
    law = BGNBD(r=0.243, alpha=4.414, a=0.793, b=2.426)
    shape, scale, stay = law.r + x, law.alpha + T, law.b + x

    def rate(s: float) -> float:
        y = s / scale
        series = special.hyp2f1(law.a + stay - shape - 1, law.a, law.a + stay, y / (1 + y))
        return float(shape / scale * (1 + y) ** -law.a * series * (1 + discount_rate) ** -s)

    whole = integrate.quad(
        rate, 0, horizon, points=[p for p in (1, 10, 100) if p < horizon], epsrel=1e-11, limit=500
    )[0]
    found = law.discounted_purchases(horizon, discount_rate, x, t_x, T)
    assert found == pytest.approx(law.alive(x, t_x, T) * whole, rel=1e-9)


def test_a_path_of_discounted_purchases_is_what_each_end_gives_by_itself() -> None:
    law = BGNBD(
        r=np.array([0.243, 0.5, 2.0]), alpha=np.array([4.414, 10, 1]),
        a=np.array([0.793, 1.0, 1.5]), b=np.array([2.426, 1, 3]),
    )  # fmt: skip
    for ends in ([13.0, 26, 39, 156], [0.01, 5000.0], [0.0, 520.0]):
        for rate in (0.0, 0.0018, 0.05):
            whole = law.discounted_purchases(np.array(ends)[:, np.newaxis], rate)
            np.testing.assert_allclose(
                law.discounted_path(ends, rate), whole, rtol=1e-7, atol=1e-15
            )
    one = BGNBD(r=0.243, alpha=4.414, a=0.793, b=2.426)
    assert one.discounted_path([52.0], 0.01) == pytest.approx([one.discounted_purchases(52, 0.01)])
    for ends in ([52.0, 26.0], [52.0, np.inf], [-1.0, 26.0], 52.0):
        with pytest.raises(ValueError, match="one row, finite, >= 0 and increasing"):
            one.discounted_path(ends, 0.01)
    with pytest.raises(ValueError, match="horizon=inf must be finite"):
        one.discounted_purchases(np.inf, 0.01)


def test_without_discounting_discounted_purchases_are_expected_purchases() -> None:
    law = BGNBD(r=0.243, alpha=4.414, a=0.793, b=2.426)
    assert law.discounted_purchases(104, 0) == pytest.approx(law.expected_purchases(104))


@given(law=laws, x=st.integers(1, 50), silence=st.floats(0, 50))
def test_alive_is_the_printed_formula_and_falls_with_silence(
    law: BGNBD, x: int, silence: float
) -> None:
    dropped = law.a / (law.b + x - 1) * (1 + silence / (law.alpha + 10)) ** (law.r + x)
    found = law.alive(x, 10, 10 + silence)
    assert found == pytest.approx(1 / (1 + dropped), rel=1e-9)
    assert law.alive(x, 10, 11 + silence) <= found


def test_alive_is_one_for_whoever_never_came_back_however_long_ago() -> None:
    law = BGNBD(r=0.243, alpha=4.414, a=0.793, b=2.426)
    assert (law.alive(0, 0, [0, 1, 1e6]) == 1).all()


def test_alive_does_not_overflow_at_thousands_of_purchases() -> None:
    law = BGNBD(r=0.243, alpha=4.414, a=0.793, b=2.426)
    silent = 0.793 / 5001.426 * np.array([np.inf, 1.0, (43.424 / 43.414) ** 5000.243])
    found = law.alive(5000, [1, 39, 39], [1000, 39, 39.01])
    assert found == pytest.approx(1 / (1 + silent), rel=1e-9)


@given(draws=st.integers(1, 4), customers=st.integers(1, 4))
def test_draws_of_parameters_broadcast_against_customers(draws: int, customers: int) -> None:
    r = np.linspace(0.2, 0.9, draws)
    x = np.arange(customers)
    t_x = np.where(x, 20.0, 0.0)
    law = BGNBD(r=r[:, None], alpha=4.0, a=0.8, b=2.4)
    table = law.discounted_purchases(52, 0.01, x, t_x, 39.0)
    assert table.shape == (draws, customers)
    one = BGNBD(r=float(r[-1]), alpha=4.0, a=0.8, b=2.4)
    last = one.discounted_purchases(52, 0.01, float(x[-1]), float(t_x[-1]), 39.0)
    assert table[-1, -1] == pytest.approx(last, rel=1e-12)


# ── BG/NBD: estimation ────────────────────────────────────────────────────────────────────────


def test_counted_cells_give_the_fit_of_the_customers_behind_them(
    cdnow: CDNOW, bgnbd: Fit[BGNBD]
) -> None:
    rows = np.stack([cdnow.frequency, cdnow.recency, cdnow.T])
    cells, counts = np.unique(rows, axis=1, return_counts=True)
    assert counts.max() > 1
    counted = fit_bgnbd(cells[0], cells[1], cells[2], counts)
    assert counted.n == bgnbd.n
    assert counted.stderr == pytest.approx(bgnbd.stderr, rel=1e-9)
    assert counted.log_likelihood == pytest.approx(bgnbd.log_likelihood, rel=1e-13)


def test_the_fit_does_not_depend_on_the_order_of_customers(cdnow: CDNOW, bgnbd: Fit[BGNBD]) -> None:
    shuffled = np.random.default_rng(3).permutation(cdnow.T.size)
    again = fit_bgnbd(cdnow.frequency[shuffled], cdnow.recency[shuffled], cdnow.T[shuffled])
    assert again.stderr == pytest.approx(bgnbd.stderr, rel=1e-9)
    assert again.model.alpha == pytest.approx(bgnbd.model.alpha, rel=1e-10)


def test_days_for_weeks_change_alpha_and_nothing_else(cdnow: CDNOW, bgnbd: Fit[BGNBD]) -> None:
    days = fit_bgnbd(cdnow.frequency, cdnow.recency * 7, cdnow.T * 7)
    assert days.model.alpha == pytest.approx(7 * bgnbd.model.alpha, rel=1e-9)
    assert days.model.b == pytest.approx(bgnbd.model.b, rel=1e-9)
    assert days.stderr["alpha"] == pytest.approx(7 * bgnbd.stderr["alpha"], rel=1e-8)
    densities = cdnow.frequency.sum() * np.log(7)
    assert days.log_likelihood == pytest.approx(bgnbd.log_likelihood - densities, rel=1e-13)


@pytest.mark.parametrize(
    ("truth", "customers"),
    [
        (BGNBD(r=0.25, alpha=4.4, a=0.8, b=2.4), 20_000),
        (BGNBD(r=2.0, alpha=12.0, a=2.0, b=5.0), 20_000),
        (BGNBD(r=2.0, alpha=0.05, a=0.5, b=50.0), 3_000),  # 500 purchases each, up to thousands
    ],
)
def test_the_fit_recovers_what_was_simulated(truth: BGNBD, customers: int) -> None:
    rng = np.random.default_rng(11)
    T = rng.uniform(26, 52, customers)
    fit = fit_bgnbd(*truth.simulate(T, rng), T)
    away = [
        (getattr(fit.model, name) - getattr(truth, name)) / fit.stderr[name] for name in fit.stderr
    ]
    # Four correlated standard normals: chi-square(4) exceeds 18.5 once in a thousand samples.
    assert fit.covariance is not None
    gap = np.array(away) * np.array(list(fit.stderr.values()))
    assert gap @ np.linalg.solve(fit.covariance, gap) < 18.5
    assert np.abs(away).max() < 3.5


def test_simulated_purchases_have_the_model_s_law() -> None:
    law, rng = BGNBD(r=0.7, alpha=4.0, a=0.8, b=2.4), np.random.default_rng(5)
    x, t_x = law.simulate(np.full(50_000, 39.0), rng)
    expected = law.purchase_probability(np.arange(6), 39)
    seen = np.array([(x == k).mean() for k in range(6)])
    error = np.sqrt(expected * (1 - expected) / x.size)
    assert (np.abs(seen - expected) < 4 * error).all()
    assert ((t_x > 0) == (x > 0)).all()
    assert t_x.max() <= 39


def test_customers_who_never_come_back_are_not_fitted() -> None:
    with pytest.raises(NotConverged, match="none of the 300 customers bought again"):
        fit_bgnbd(np.zeros(300), np.zeros(300), np.full(300, 52.0))


def test_customers_who_never_leave_are_not_fitted() -> None:
    rng, weeks = np.random.default_rng(1), np.full(400, 52.0)
    histories = BGNBD(r=2, alpha=8, a=1e-9, b=3).simulate(weeks, rng)
    with pytest.raises(NotConverged, match=r"fit_bgnbd: .* b -> infinity"):
        fit_bgnbd(*histories, weeks)


def test_customers_who_all_buy_at_one_rate_are_not_fitted() -> None:
    rng, weeks = np.random.default_rng(0), np.full(300, 52.0)
    histories = BGNBD(r=1e6, alpha=1e7, a=1, b=3).simulate(weeks, rng)
    with pytest.raises(NotConverged, match="r -> infinity, alpha -> infinity"):
        fit_bgnbd(*histories, weeks)


@pytest.mark.parametrize(
    ("frequency", "recency", "T", "message"),
    [
        ([1, 2], [3, 60], [52, 52], r"recency must lie in \[0, T\]; row 1 .* recency=60, T=52"),
        ([1, 2.5], [3, 9], [52, 52], "whole number >= 0; row 1 has frequency=2.5"),
        ([1, -2], [3, 9], [52, 52], "whole number >= 0; row 1 has frequency=-2"),
        ([1, 0], [3, 9], [52, 52], "recency must be 0 where frequency is 0.*row 1 .*recency=9"),
        ([1, 2], [3, 0], [52, 52], "and only there; row 1 has frequency=2, recency=0"),
        ([1, np.nan], [3, 9], [52, 52], "frequency must be finite; row 1"),
        ([1, 2], [3, 9], [52], r"arrays of one length; got shapes .*'T': \(1,\)"),
    ],
)
def test_histories_that_contradict_themselves_are_refused(
    frequency: list[float], recency: list[float], T: list[float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        fit_bgnbd(frequency, recency, T)


def test_negative_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="counts must be >= 0; row 0 has counts=-1"):
        fit_bgnbd([1, 2], [3, 9], [52, 52], counts=[-1, 1])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: BGNBD(r=0, alpha=1, a=1, b=1), r"r=0 must lie in \(0, inf\)"),
        (lambda: BGNBD(r=1, alpha=-4, a=np.nan, b=1), "alpha=-4 .* a=nan"),
        (lambda: GammaGamma(p=1, q=1, gamma=0), "gamma=0"),
        (lambda: ShiftedBetaGeometric(alpha=1, beta=np.array([1, -2])), "beta=-2"),
    ],
)
def test_a_parameter_outside_its_domain_is_refused(
    build: Callable[[], object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        build()


# ── Gamma-Gamma ───────────────────────────────────────────────────────────────────────────────


def test_gamma_gamma_on_cdnow_matches_fader_hardie_2013(spend: Fit[GammaGamma]) -> None:
    assert spend.n == 946
    assert spend.log_likelihood == pytest.approx(-4055.92, abs=5e-3)
    assert [spend.model.p, spend.model.q] == pytest.approx([6.25, 3.74], abs=5e-3)
    # Printed 15.44: the spreadsheet's solver stops short along the ridge of q and gamma.
    assert spend.model.gamma == pytest.approx(15.44, abs=1e-2)
    assert spend.model.mean == pytest.approx(35.1710, abs=5e-5)


def test_expected_spend_of_ten_customers_matches_fader_hardie_2013(
    cdnow: CDNOW, spend: Fit[GammaGamma]
) -> None:
    printed = [24.65, 18.91, 35.17, 35.17, 35.17, 71.46, 18.91, 35.17, 27.28, 35.17]
    found = spend.model.expected_spend(cdnow.frequency[:10], cdnow.monetary[:10])
    # The sheet's digits are cut, not rounded (24.6586, 71.4629, 18.9115).
    assert (np.floor(found * 100) / 100).tolist() == printed


def gamma_gamma_log_likelihood(theta: Array, x: Array, m: Array) -> float:
    p, q, gamma = theta
    return float(np.sum(
        special.gammaln(p * x + q) - special.gammaln(p * x) - special.gammaln(q)
        + q * np.log(gamma) + (p * x - 1) * np.log(m) + p * x * np.log(x)
        - (p * x + q) * np.log(gamma + x * m)
    ))  # fmt: skip


def survival_log_likelihood(theta: Array, survivors: Array) -> float:
    alpha, beta = theta
    t = np.arange(1, survivors.size)
    left = special.betaln(alpha + 1, beta + t - 1) - special.betaln(alpha, beta)
    stayed = special.betaln(alpha, beta + t[-1]) - special.betaln(alpha, beta)
    return float(-np.diff(survivors) @ left + survivors[-1] * stayed)


def differenced(f: Callable[[Array], float], at: Array) -> tuple[Array, Array]:
    """Gradient and Hessian of ``f`` by central differences of its values."""
    steps = 1e-4 * at * np.eye(at.size)
    gradient = np.array([(f(at + h) - f(at - h)) / (2 * h.sum()) for h in steps])
    hessian = np.array([
        [(f(at + h + k) - f(at + h - k) - f(at - h + k) + f(at - h - k)) / (4 * h.sum() * k.sum())
         for k in steps] for h in steps
    ])  # fmt: skip
    return gradient, hessian


def test_gamma_gamma_stands_at_the_top_of_the_printed_likelihood_with_its_curvature(
    cdnow: CDNOW, spend: Fit[GammaGamma]
) -> None:
    again = cdnow.frequency > 0
    at = np.array([spend.model.p, spend.model.q, spend.model.gamma])

    def value(theta: Array) -> float:
        return gamma_gamma_log_likelihood(theta, cdnow.frequency[again], cdnow.monetary[again])

    gradient, hessian = differenced(value, at)
    assert spend.log_likelihood == pytest.approx(value(at), rel=1e-12)
    assert np.abs(gradient * at).max() < 1e-3
    assert spend.covariance == pytest.approx(np.linalg.inv(-hessian), rel=1e-3)


def test_expected_spend_lies_between_the_customer_s_own_and_everyone_s(
    spend: Fit[GammaGamma],
) -> None:
    x = np.array([1, 5, 50, 5000])
    found = spend.model.expected_spend(x, 80.0)
    assert (np.diff(found) > 0).all()
    assert spend.model.mean < found[0]
    assert found[-1] == pytest.approx(80, rel=1e-2)
    assert found[-1] < 80
    assert spend.model.expected_spend(0, np.nan) == spend.model.mean


def test_a_spread_too_wide_for_a_mean_has_an_infinite_one() -> None:
    heavy = GammaGamma(p=6, q=0.9, gamma=15)
    assert heavy.mean == np.inf
    assert heavy.expected_spend(2, 30) == pytest.approx(6 * (15 + 60) / (12 + 0.9 - 1))


def test_gamma_gamma_recovers_what_was_simulated() -> None:
    truth, rng = GammaGamma(p=6.25, q=3.74, gamma=15.44), np.random.default_rng(2)
    x = rng.integers(0, 9, 20_000)
    m = truth.simulate(x, rng)
    assert np.isnan(m[x == 0]).all()
    fit = fit_gamma_gamma(x, m)
    for name, error in fit.stderr.items():
        assert getattr(fit.model, name) == pytest.approx(getattr(truth, name), abs=3.5 * error)


def test_money_in_another_unit_changes_gamma_and_nothing_else(
    cdnow: CDNOW, spend: Fit[GammaGamma]
) -> None:
    fen = fit_gamma_gamma(cdnow.frequency, cdnow.monetary * 100)
    assert fen.model.gamma == pytest.approx(100 * spend.model.gamma, rel=1e-8)
    assert fen.model.p == pytest.approx(spend.model.p, rel=1e-8)


def test_customers_who_all_spend_the_same_are_not_fitted() -> None:
    with pytest.raises(NotConverged, match=r"fit_gamma_gamma: .* p -> infinity"):
        fit_gamma_gamma(np.arange(1, 50), np.full(49, 20.0))


def test_no_purchase_no_spend_law() -> None:
    with pytest.raises(NotConverged, match="no customer with a purchase"):
        fit_gamma_gamma([0, 0], [0, 0])


def test_a_spend_that_is_not_positive_is_refused() -> None:
    with pytest.raises(ValueError, match=r"monetary must be > 0 .* row 1 .*monetary=-5"):
        fit_gamma_gamma([0, 2], [0, -5])


def test_spend_and_frequency_correlate_on_cdnow_as_published(cdnow: CDNOW) -> None:
    found = spend_frequency_correlation(cdnow.frequency, cdnow.monetary)
    assert found.n == 946
    assert found.value == pytest.approx(0.11, abs=5e-3)
    again = cdnow.frequency > 0
    r = np.corrcoef(cdnow.frequency[again], cdnow.monetary[again])[0, 1]
    assert found.value == pytest.approx(r, rel=1e-12)


# ── Shifted-beta-geometric ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("percent", "printed"), [(HIGH_END, (0.668, 3.806)), (REGULAR, (0.704, 1.182))]
)
def test_retention_of_seven_years_matches_fader_hardie_2007(
    percent: list[float], printed: tuple[float, float]
) -> None:
    fit = fit_shifted_beta_geometric(np.array(percent[:8]) * 10)
    assert (fit.model.alpha, fit.model.beta) == pytest.approx(printed, abs=5e-4)
    assert fit.n == 1000


def test_the_retention_likelihood_matches_fader_hardie_2007() -> None:
    fit = fit_shifted_beta_geometric(np.array(HIGH_END[:8]) * 10)
    assert fit.log_likelihood / 1000 == pytest.approx(-1.611, abs=5e-4)


@pytest.mark.parametrize(("percent", "miss"), [(HIGH_END, 0.04), (REGULAR, 0.02)])
def test_the_twelfth_year_is_missed_by_what_fader_hardie_2007_report(
    percent: list[float], miss: float
) -> None:
    fit = fit_shifted_beta_geometric(np.array(percent[:8]) * 10)
    projected = float(fit.model.survival(12)) / (percent[12] / 100)
    assert abs(projected - 1) == pytest.approx(miss, abs=5e-3)


def test_retention_stands_at_the_top_of_the_printed_likelihood_with_its_curvature() -> None:
    survivors = np.array(REGULAR[:8]) * 10
    fit = fit_shifted_beta_geometric(survivors)
    at = np.array([fit.model.alpha, fit.model.beta])
    gradient, hessian = differenced(lambda theta: survival_log_likelihood(theta, survivors), at)
    assert np.abs(gradient * at).max() < 1e-3
    assert fit.log_likelihood == pytest.approx(survival_log_likelihood(at, survivors), rel=1e-12)
    assert fit.covariance == pytest.approx(np.linalg.inv(-hessian), rel=1e-3)


def test_survival_is_the_product_of_retention_which_rises_with_age() -> None:
    members = ShiftedBetaGeometric(alpha=0.668, beta=3.806)
    retention = members.retention(np.arange(1, 30))
    assert (np.diff(retention) > 0).all()
    assert members.survival(np.arange(1, 30)) == pytest.approx(np.cumprod(retention), rel=1e-10)
    assert members.survival(0) == 1


def test_lifetimes_are_the_sums_they_stand_for() -> None:
    members, t = ShiftedBetaGeometric(alpha=0.764, beta=1.296), np.arange(2000)
    discounted = members.survival(t) @ 1.1**-t
    assert members.discounted_lifetime(0.1) == pytest.approx(discounted, rel=1e-10)
    later = members.survival(4 + t) / members.survival(3) @ 1.1**-t
    assert members.residual_lifetime(4, 0.1) == pytest.approx(later, rel=1e-10)


def test_without_discounting_a_lifetime_is_finite_only_if_alpha_exceeds_one() -> None:
    members = ShiftedBetaGeometric(alpha=np.array([0.7, 1.0, 2.5]), beta=3.0)
    assert members.discounted_lifetime(0.0) == pytest.approx([np.inf, np.inf, 4.5 / 1.5])


def test_cohorts_of_different_age_count_as_far_as_each_goes() -> None:
    old, young = [1000.0, 631, 468, 382, 326], [500.0, 300, 220, np.nan, np.nan]
    both = fit_shifted_beta_geometric(np.array([old, young]))
    assert both.n == 1500
    at = np.array([both.model.alpha, both.model.beta])

    def value(theta: Array) -> float:
        return survival_log_likelihood(theta, np.array(old, float)) + survival_log_likelihood(
            theta, np.array(young[:3], float)
        )

    gradient, _ = differenced(value, at)
    assert np.abs(gradient * at).max() < 1e-3
    assert both.log_likelihood == pytest.approx(value(at), rel=1e-12)


def test_retention_recovers_what_was_simulated() -> None:
    truth, rng = ShiftedBetaGeometric(alpha=0.668, beta=3.806), np.random.default_rng(4)
    survivors = truth.simulate(50_000, 10, rng)
    assert survivors[0] == 50_000
    fit = fit_shifted_beta_geometric(survivors)
    for name, error in fit.stderr.items():
        assert getattr(fit.model, name) == pytest.approx(getattr(truth, name), abs=3.5 * error)


@pytest.mark.parametrize(
    ("survivors", "message"),
    [
        ([1000, 1000, 1000], "nobody left"),
        ([1000, 800, 640, 512], "alpha -> infinity, beta -> infinity"),  # one churn for all
        ([1000, 900, 700, 300], "alpha -> infinity, beta -> infinity"),  # retention falls
    ],
)
def test_retention_that_does_not_rise_has_no_spread_to_fit(
    survivors: list[float], message: str
) -> None:
    with pytest.raises(NotConverged, match=message):
        fit_shifted_beta_geometric(survivors)


@pytest.mark.parametrize(
    ("survivors", "message"),
    [
        ([1000, 800, 801], "cohort 0 goes from 800 to 801 at age 2"),
        ([[9, 5, 4], [9, 5, -4]], "cohort 1 goes from 5 to -4 at age 2"),
        ([1000, 800], r"ages 0 to 2 at least; got shape \(2,\)"),
    ],
)
def test_a_table_that_is_no_survival_is_refused(survivors: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_shifted_beta_geometric(survivors)

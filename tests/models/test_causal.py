"""Estimators of what a conversion did, against published panels, closed forms and real noise."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls
from scipy.stats import norm, ttest_ind

from o2o_research.models.causal.did import (
    did,
    group_time_effects,
    permutation_did,
    spillover_did,
    two_way_fixed_effects,
    wild_bootstrap_did,
)
from o2o_research.models.causal.network import Network, before_after, repeated
from o2o_research.models.causal.panel import Panel, panel_from_rows
from o2o_research.models.causal.power import (
    BeforeAfter,
    Picked,
    Trial,
    least_effect_from,
    noise_of,
)
from o2o_research.models.causal.simplex import frank_wolfe_steps, nearest_point
from o2o_research.models.causal.synthetic import (
    augmented,
    best_ridge,
    conformal_effect,
    draw_sets,
    placebo_effects,
    placebo_in_time,
    placebo_test,
    predictor_control,
    synthetic_control,
    synthetic_did,
    synthetic_did_effect,
)


@pytest.fixture(scope="module")
def prop99(shared_data: Path) -> Panel:
    with open(shared_data / "causal_panels/california_prop99.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    return panel_from_rows(
        [row["State"] for row in rows],
        [int(row["Year"]) for row in rows],
        [float(row["PacksPerCapita"]) for row in rows],
        [1989 if row["State"] == "California" else None for row in rows],
    )


@pytest.fixture(scope="module")
def mpdta(shared_data: Path) -> Panel:
    table = pd.read_csv(shared_data / "causal_panels/mpdta_did.csv")
    return panel_from_rows(
        table.countyreal.to_numpy(),
        table.year.to_numpy(),
        table.lemp.to_numpy(),
        table["first.treat"].where(table["first.treat"] > 0).to_numpy(),
    )


@pytest.fixture(scope="module")
def koubei(shared_data: Path) -> np.ndarray:
    """Log weekly payments of the shops that were paid in all of 34 whole weeks. (shops, weeks)."""
    table = pd.read_csv(shared_data / "koubei_ijcai17/shop_daily_pay.csv.gz", parse_dates=["date"])
    table = table[(table.date >= "2016-03-07") & (table.date <= "2016-10-30")]
    weeks = table.groupby(["shop_id", (table.date - pd.Timestamp("2016-03-07")).dt.days // 7])
    days, total = weeks.size().unstack(), weeks.pay_count.sum().unstack()
    return np.log(total[(days >= 6).all(axis=1)].to_numpy(float))


def random_panel(
    rng: np.random.Generator, units: int = 9, periods: int = 8, treated: int = 1
) -> Panel:
    common = rng.normal(size=(units, 3)) @ rng.normal(size=(3, periods))
    outcome = 10 + common + rng.normal(size=(units, periods))
    return Panel(outcome=outcome, start=np.where(np.arange(units) < treated, 5, periods))


def study(paths: np.ndarray, chosen: np.ndarray, first: int, lift: float = 0.0) -> Panel:
    start = np.full(len(paths), paths.shape[1])
    start[chosen] = first
    return Panel(outcome=paths + lift * (np.arange(paths.shape[1]) >= start[:, None]), start=start)


# Published panels


def test_synthetic_did_matches_arkhangelsky_et_al_2021(prop99: Panel) -> None:
    fit = synthetic_did(prop99)
    assert fit.effect == pytest.approx(-15.6, abs=0.05)
    assert fit.effect == pytest.approx(-15.605398, abs=5e-7)  # the exact optimum
    assert fit.duality_gap < 1e-8


def test_did_matches_arkhangelsky_et_al_2021(prop99: Panel) -> None:
    assert two_way_fixed_effects(prop99).value == pytest.approx(-27.349111, abs=5e-7)
    sets = np.array([[0]])  # the same through the batch: California first, as one more control
    california = np.flatnonzero(prop99.treated)
    order = np.append(california, np.flatnonzero(~prop99.treated))
    spare = np.append(order, california)
    start = np.where(np.arange(40) == 39, prop99.first, 31)
    everyone = Panel(outcome=prop99.outcome[spare], start=start)
    assert placebo_effects(everyone, sets, "did")[0] == pytest.approx(-27.349111, abs=5e-7)


def test_synthetic_control_is_the_optimum_that_nonnegative_least_squares_finds(
    prop99: Panel,
) -> None:
    fit = synthetic_control(prop99)
    before = prop99.control_paths[:, : prop99.first]
    heavy = 1e5  # the constraint sum(w) = 1 as one heavy row
    other, _ = nnls(
        np.vstack([before.T, np.full(len(before), heavy)]),
        np.append(prop99.treated_path[: prop99.first], heavy),
    )
    assert fit.weights == pytest.approx(other, abs=1e-5)
    assert fit.duality_gap < 1e-8
    assert fit.effect == pytest.approx(-19.6, abs=0.1)  # the paper's, its solver stopped early


def test_no_reported_weights_fit_california_better(prop99: Panel) -> None:
    fit = synthetic_control(prop99)
    weights = {
        "Utah": 0.3963, "Montana": 0.2258, "Nevada": 0.2041,
        "Connecticut": 0.1087, "New Hampshire": 0.0463, "Colorado": 0.0188,
    }  # fmt: skip
    assert set(fit.donors) == set(weights)
    reported = np.array([weights.get(name, 0.0) for name in prop99.control_names])
    gaps = prop99.treated_path - reported / reported.sum() @ prop99.control_paths
    rmspe = float(np.sqrt(np.mean(gaps[: prop99.first] ** 2)))
    assert rmspe == pytest.approx(1.65648, abs=5e-6)
    assert fit.pre_rmspe < rmspe


def test_a_solver_stopped_early_prints_what_the_published_program_prints(prop99: Panel) -> None:
    first = prop99.first
    points = (prop99.control_paths - prop99.treated_path)[:, :first]
    gram = points @ points.T

    def after(steps: int, weights: np.ndarray) -> np.ndarray:
        return next(itertools.islice(frank_wolfe_steps(gram, weights), steps - 1, None))

    # Its order of events: 100 steps, small weights to zero, at most 10,000 steps.
    rough = after(100, np.full(len(gram), 1 / len(gram)))
    rough[rough <= rough.max() / 4] = 0
    stopped = after(10_000, rough / rough.sum())
    gaps = prop99.treated_path - stopped @ prop99.control_paths
    exact = synthetic_control(prop99)
    # R 4 prints -19.619665; the two programs' sums are not added in the same order.
    assert gaps[first:].mean() == pytest.approx(-19.619665, abs=5e-6)
    assert np.sqrt(np.mean(gaps[:first] ** 2)) > exact.pre_rmspe + 0.008
    later = after(40_000, stopped)
    assert exact.effect > (prop99.treated_path - later @ prop99.control_paths)[first:].mean()
    assert abs(later - exact.weights).max() < abs(stopped - exact.weights).max() / 1.5


def test_california_is_first_among_placebos_that_fit_and_in_the_last_year(prop99: Panel) -> None:
    test = placebo_test(prop99)
    # Abadie, Diamond & Hainmueller (2010), figures 6 and 7: five and two times California's error.
    assert test.among_close_fits(5) == (pytest.approx(1 / 32), 32)
    assert test.among_close_fits(2) == (pytest.approx(1 / 22), 22)
    assert test.among_close_fits(20) == (pytest.approx(2 / 35), 35)  # Rhode Island fell more
    assert test.effect == pytest.approx(synthetic_control(prop99).effect, abs=1e-7)
    last = [
        synthetic_control(
            Panel(outcome=prop99.outcome, start=np.where(np.arange(39) == unit, prop99.first, 31))
        ).gaps[-1]
        for unit in range(39)
    ]
    assert int(np.argmin(last)) == int(np.flatnonzero(prop99.treated)[0])  # 1 of 39, downwards


def test_prop99_placebo_rank_by_outcomes_alone_is_third(prop99: Panel) -> None:
    test = placebo_test(prop99)
    # First of 39 with the predictors of Abadie et al. (2010), which this panel lacks; by outcomes
    # alone Missouri and Virginia fit so well before that their ratio is larger.
    larger = {
        name
        for name, ratio in zip(prop99.control_names, test.ratios, strict=True)
        if ratio > test.observed
    }
    assert larger == {"Missouri", "Virginia"}
    assert test.p_value == pytest.approx(3 / 39)


def test_group_time_effects_match_callaway_santanna_2021(mpdta: Panel) -> None:
    effects = group_time_effects(mpdta)
    published = [
        [-0.010503, -0.070423, -0.137259, -0.100811],
        [0.006520, -0.002751, -0.004595, -0.041224],
        [0.030507, -0.002726, -0.031087, -0.026054],
    ]
    assert effects.effects[:, 1:] == pytest.approx(np.array(published), abs=5e-7)
    assert effects.simple.value == pytest.approx(-0.039951, abs=5e-7)
    assert effects.overall.value == pytest.approx(-0.031018, abs=5e-7)
    assert effects.dynamic.value == pytest.approx(-0.077240, abs=5e-7)


def test_two_way_fixed_effects_match_the_published_panel(mpdta: Panel) -> None:
    assert two_way_fixed_effects(mpdta).value == pytest.approx(-0.036549, abs=5e-7)


def test_did_matches_card_krueger_1994(shared_data: Path) -> None:
    table = pd.read_csv(shared_data / "causal_panels/card_krueger_njmin.csv", index_col=0)
    before, after = (table[table.year == year] for year in sorted(table.year.unique()))
    outcome = np.column_stack([before.fte.to_numpy(float), after.fte.to_numpy(float)])
    assert (before.state.to_numpy() == after.state.to_numpy()).all()
    whole = np.isfinite(outcome).all(axis=1)
    start = np.where(before.state == "New Jersey", 1, 2)
    effect = did(Panel(outcome=outcome[whole], start=start[whole]))
    assert effect.value == pytest.approx(2.75, abs=0.005)
    assert np.isnan(effect.diagnostics["pre_trend"])


def test_difference_of_means_matches_the_nsw_experiment(shared_data: Path) -> None:
    table = pd.read_csv(shared_data / "causal_panels/causaldata_nsw_mixtape.csv.gz")
    # A randomised trial is the case in which nothing moved before.
    outcome = np.column_stack([np.zeros(len(table)), table.re78.to_numpy(float)])
    effect = did(Panel(outcome=outcome, start=np.where(table.treat == 1, 1, 2)))
    assert effect.value == pytest.approx(1794, abs=0.5)


def test_predictor_search_meets_the_published_basque_weights_and_finds_better(
    shared_data: Path,
) -> None:
    table = pd.read_csv(shared_data / "causal_panels/basque.csv")
    table = table[table.regionno != 1]
    paths = table.pivot(index="regionno", columns="year", values="gdpcap")

    def mean(column: str, low: int, high: int) -> pd.Series:
        return table[table.year.between(low, high)].groupby("regionno")[column].mean()

    schooling = [c for c in table.columns if c.startswith("school.")]
    sectors = [c for c in table.columns if c.startswith("sec.")]
    predictors = np.column_stack(
        [mean(c, 1964, 1969) for c in [*schooling, "invest"]]
        + [mean(c, 1961, 1969) for c in sectors]
        + [mean("gdpcap", 1960, 1969), mean("popdens", 1969, 1969)]
    )
    panel = Panel(
        outcome=paths.to_numpy(),
        start=np.where(paths.index == 17, 15, paths.shape[1]),
        units=tuple(paths.index),
    )
    rng = np.random.default_rng(3)
    once = predictor_control(panel, predictors, rng, fitted=slice(5, 15), starts=1)
    # Abadie & Gardeazabal (2003): Catalonia .8508, Madrid .1492.
    assert once.fit.donors == pytest.approx({10.0: 0.8508, 14.0: 0.1492}, abs=0.002)
    best = predictor_control(panel, predictors, rng, fitted=slice(5, 15), starts=3)
    assert best.least_loss <= best.loss
    assert once.loss > 1.5 * best.loss  # one V among many
    assert once.importance.sum() == pytest.approx(1)


# Closed forms, special cases and second methods


@given(st.integers(0, 10_000), st.integers(2, 12), st.integers(1, 8))
@settings(max_examples=60)
def test_no_point_of_the_polytope_is_nearer(seed: int, n: int, dimensions: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(n, dimensions)) + rng.normal()
    weights, gap = nearest_point(points @ points.T)
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1)
    least = float(np.sum((weights @ points) ** 2))
    others = rng.dirichlet(np.ones(n) * rng.uniform(0.1, 2), size=200) @ points
    assert (np.sum(others**2, axis=1) >= least - 2 * gap - 1e-12).all()
    assert (points @ (weights @ points) >= least - gap - 1e-9).all()


def test_a_polytope_around_the_origin_is_at_distance_zero() -> None:
    points = np.vstack([np.eye(4), -np.ones((1, 4))])
    weights, gap = nearest_point(points @ points.T)
    assert weights == pytest.approx(np.full(5, 0.2), abs=1e-7)
    assert gap < 1e-10


def test_equal_donors_do_not_stall_the_search() -> None:
    weights, gap = nearest_point(np.full((6, 6), 3.0))
    assert weights.sum() == 1
    assert gap == pytest.approx(0, abs=1e-12)


def test_did_is_welch_on_changes() -> None:
    panel = random_panel(np.random.default_rng(1), units=20, treated=6)
    change = panel.outcome[:, 5:].mean(axis=1) - panel.outcome[:, :5].mean(axis=1)
    other = ttest_ind(change[:6], change[6:], equal_var=False)
    effect, interval = did(panel), other.confidence_interval(0.95)
    assert effect.p_value == pytest.approx(other.pvalue)
    assert (effect.low, effect.high) == pytest.approx((interval.low, interval.high))


def test_two_way_fixed_effects_with_one_date_are_differences_in_differences() -> None:
    panel = random_panel(np.random.default_rng(2), treated=3)
    assert two_way_fixed_effects(panel).value == pytest.approx(did(panel).value)


def test_growing_effects_mislead_two_way_fixed_effects_and_not_group_time_effects() -> None:
    start = np.array([2, 2, 6, 6, 12])
    grown = np.maximum(np.arange(12) - start[:, None] + 1, 0) * 1.0
    panel = Panel(outcome=grown + 5 + np.arange(5)[:, None], start=start)
    truth = grown[grown > 0].mean()
    assert group_time_effects(panel).simple.value == pytest.approx(truth)
    assert two_way_fixed_effects(panel).value < 0.8 * truth


def test_group_time_effects_with_one_date_have_the_two_sample_error() -> None:
    panel = random_panel(np.random.default_rng(3), units=30, periods=6, treated=10)
    now = group_time_effects(panel).at_age(0)
    change = panel.outcome[:, 5] - panel.outcome[:, 4]
    assert now.value == pytest.approx(change[:10].mean() - change[10:].mean())
    assert now.stderr == pytest.approx(np.sqrt(change[:10].var() / 10 + change[10:].var() / 20))


def test_what_lasts_is_the_mean_of_the_cells_past_the_opening() -> None:
    panel = Panel(
        outcome=[[0.0, 9, 2, 2], [0, 0, 9, 3], [0, 0, 0, 0], [0, 0, 0, 0]], start=[1, 2, 4, 4]
    )
    effects = group_time_effects(panel)
    assert effects.since(0).value == pytest.approx(effects.simple.value)
    assert effects.since(1).value == pytest.approx((2 + 2 + 3) / 3)
    assert effects.since(2).value == pytest.approx(2)
    with pytest.raises(ValueError, match="age=3, but the longest watched is 2 periods"):
        effects.since(3)
    log = did(Panel(outcome=np.log([[1.0, 3], [1, 2], [1, 1.5], [1, 1]]), start=[1, 1, 2, 2]))
    assert log.as_growth.value == pytest.approx(np.exp(log.value) - 1)
    assert np.isnan(log.as_growth.stderr)


def test_not_yet_converted_controls_are_used_until_they_convert() -> None:
    panel = Panel(outcome=[[0.0, 5, 5], [0, 1, 9], [0, 3, 3]], start=[1, 2, 3])
    assert group_time_effects(panel).effects[0, 1] == 5 - 3
    assert group_time_effects(panel, not_yet=True).effects[0, 1] == 5 - 2


def test_the_uniform_band_holds_all_ages_at_once_as_often_as_it_says() -> None:
    rng = np.random.default_rng(4)
    held, trials = 0, 200
    for _ in range(trials):
        panel = Panel(outcome=rng.normal(size=(80, 7)), start=np.repeat([3, 5, 7], [20, 20, 40]))
        band = group_time_effects(panel).uniform_band(rng, draws=199)
        held += all(e.low <= 0 <= e.high for e in band.values())
    assert abs(held / trials - 0.95) < 3 * np.sqrt(0.05 * 0.95 / trials)


def test_the_permutation_p_value_is_that_of_all_assignments() -> None:
    panel = random_panel(np.random.default_rng(5), units=8, treated=2)
    change = panel.outcome[:, 5:].mean(axis=1) - panel.outcome[:, :5].mean(axis=1)
    gaps = np.array(
        [
            abs(change[list(pair)].mean() - np.delete(change, pair).mean())
            for pair in itertools.combinations(range(8), 2)
        ]
    )
    exact = float(np.mean(gaps >= gaps[0] - 1e-12))
    drawn = permutation_did(panel, np.random.default_rng(6), draws=20_000).p_value
    assert drawn == pytest.approx(exact, abs=3 * np.sqrt(exact * (1 - exact) / 20_000) + 1e-4)


def test_wild_bootstrap_agrees_with_student_where_stores_are_many_and_normal() -> None:
    rng = np.random.default_rng(7)
    panel = study(rng.normal(size=(120, 6)), np.arange(60), 3, 0.3)
    wild, plain = wild_bootstrap_did(panel, rng, draws=1999), did(panel)
    assert (wild.low, wild.high) == pytest.approx((plain.low, plain.high), abs=0.15 * plain.stderr)


def test_wild_bootstrap_says_when_three_stores_cannot_reject() -> None:
    panel = random_panel(np.random.default_rng(8), treated=3, units=30)
    effect = wild_bootstrap_did(panel, np.random.default_rng(1), draws=99)
    assert effect.diagnostics["least_p_value"] == 0.25


def test_spillovers_add_up_to_the_naive_contrast() -> None:
    panel = random_panel(np.random.default_rng(9), units=20, treated=4)
    split = spillover_did(panel, np.isin(np.arange(20), [4, 5, 6]))
    # Butts (2021): naive = direct - (exposed share of controls) x (effect on the exposed).
    assert split.naive == pytest.approx(split.direct.value - 3 / 16 * split.exposed.value)
    assert split.network == pytest.approx(4 * split.direct.value + 3 * split.exposed.value)


def test_a_heavy_ridge_is_synthetic_control_and_a_light_one_fits_exactly() -> None:
    panel = random_panel(np.random.default_rng(10), units=12)
    plain = synthetic_control(panel)
    assert augmented(panel, 1e12).effect == pytest.approx(plain.effect, abs=1e-6)
    assert augmented(panel, 1e-8).pre_rmspe < 1e-6
    assert augmented(panel, 1.0).pre_rmspe < plain.pre_rmspe
    assert augmented(panel, 1.0).weights.sum() == pytest.approx(1)


def test_best_ridge_leaves_the_least_error_in_periods_left_out() -> None:
    panel = random_panel(np.random.default_rng(11), units=10)
    candidates = [0.01, 1.0, 1e6]

    def error(ridge: float) -> float:
        total = 0.0
        for period in range(panel.first):
            order = [t for t in range(panel.first) if t != period] + [period]
            start = np.where(panel.treated, panel.first - 1, panel.first)
            left = Panel(outcome=panel.outcome[:, order], start=start)
            total += augmented(left, ridge).effect ** 2
        return total

    assert best_ridge(panel, candidates) == min(candidates, key=error)


def test_batched_placebos_equal_one_fit_each() -> None:
    rng = np.random.default_rng(12)
    panel = random_panel(rng, units=12, treated=2)
    sets = draw_sets(10, 2, 6, rng)
    alone = [synthetic_control(panel.as_if(row, panel.first)).effect for row in sets]
    assert placebo_effects(panel, sets, "synthetic_control") == pytest.approx(alone, abs=1e-7)
    plain = [did(panel.as_if(row, panel.first)).value for row in sets]
    assert placebo_effects(panel, sets, "did") == pytest.approx(plain)


def test_synthetic_did_weights_meet_their_optimality_conditions() -> None:
    panel = random_panel(np.random.default_rng(13), units=14, treated=2)
    fit = synthetic_did(panel)
    before = panel.outcome[:, :5] - panel.outcome[:, :5].mean(axis=1, keepdims=True)
    controls, target = before[2:], before[:2].mean(axis=0)
    slope = controls @ (fit.unit_weights @ controls - target)
    slope += 5 * fit.penalty**2 * fit.unit_weights
    assert slope[fit.unit_weights > 1e-9] == pytest.approx(slope.min(), abs=1e-8)
    ends = panel.control_paths - panel.control_paths.mean(axis=0)
    tilt = ends[:, :5].T @ (ends[:, :5] @ fit.time_weights - ends[:, 5:].mean(axis=1))
    assert tilt[fit.time_weights > 1e-9] == pytest.approx(tilt.min(), abs=1e-8)


def test_a_placebo_in_time_uses_nothing_after_the_conversion() -> None:
    panel = random_panel(np.random.default_rng(14))
    changed = Panel(outcome=panel.outcome + 100 * (np.arange(8) >= 5), start=panel.start)
    assert placebo_in_time(changed, 3).effect == placebo_in_time(panel, 3).effect
    with pytest.raises(ValueError, match=r"start=5 must lie in \[2, 5\)"):
        placebo_in_time(panel, 5)


def test_the_conformal_interval_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(15)
    covered, trials = 0, 200
    for _ in range(trials):
        panel = study(rng.normal(size=(10, 20)) + rng.normal(size=20), np.array([0]), 15, 1.0)
        effect = conformal_effect(panel, points=101)
        step = (effect.high - effect.low) / 40
        covered += effect.low - step <= 1.0 <= effect.high + step
    assert covered / trials > 0.9 - 3 * np.sqrt(0.09 / trials)


def test_regression_to_the_mean_follows_the_closed_form() -> None:
    lift = float(Picked(picked_share=0.2, reliability=0.5).spurious_lift)
    assert lift == pytest.approx(0.6999, abs=5e-5)
    assert 0.3 * lift == pytest.approx(0.21, abs=0.005)
    rng = np.random.default_rng(16)
    lasting = rng.normal(0, np.sqrt(0.5), 400_000)
    first, second = (lasting + rng.normal(0, np.sqrt(0.5), lasting.size) for _ in range(2))
    worst = first <= np.quantile(first, 0.2)
    assert (second - first)[worst].mean() == pytest.approx(lift, abs=4 / np.sqrt(80_000))


def test_trial_error_without_autocorrelation_is_mckenzies() -> None:
    trial = Trial(treated=3, controls=50, before=8, after=4, noise=0.2)
    expected = 0.2 * np.sqrt((1 / 3 + 1 / 50) * (1 / 8 + 1 / 4))
    assert float(trial.stderr) == pytest.approx(expected)


def test_trial_error_and_power_agree_with_simulation_under_autocorrelation() -> None:
    rng = np.random.default_rng(17)
    trial = Trial(treated=5, controls=20, before=10, after=6, noise=1.0, autocorrelation=0.6)
    noise = rng.normal(size=(5_000, 25, 16))
    for t in range(1, 16):
        noise[..., t] = 0.6 * noise[..., t - 1] + 0.8 * noise[..., t]
    change = noise[..., 10:].mean(axis=2) - noise[..., :10].mean(axis=2)
    drawn = change[:, :5].mean(axis=1) - change[:, 5:].mean(axis=1)
    assert drawn.std() == pytest.approx(float(trial.stderr), rel=4 / np.sqrt(2 * 5_000))
    assert float(trial.power(trial.least_effect(power=0.8))) == pytest.approx(0.8, abs=0.01)
    assert float(trial.power(0.0)) == pytest.approx(0.05)


def test_least_effect_from_normal_placebos_is_the_textbook_multiple() -> None:
    errors = norm.ppf((np.arange(100_000) + 0.5) / 100_000)
    assert least_effect_from(errors) == pytest.approx(norm.ppf(0.975) + norm.ppf(0.8), abs=1e-3)


def test_noise_of_a_panel_recovers_what_made_it() -> None:
    rng = np.random.default_rng(18)
    noise = rng.normal(size=(3000, 12))
    for t in range(1, 12):
        noise[:, t] = 0.5 * noise[:, t - 1] + np.sqrt(0.75) * noise[:, t]
    paths = 2 * noise + rng.normal(0, 3, size=(3000, 1)) + rng.normal(size=12)
    found = noise_of(Panel(outcome=paths, start=np.where(np.arange(3000) == 0, 6, 12)))
    assert found.deviation == pytest.approx(2, abs=0.05)
    assert found.autocorrelation == pytest.approx(0.5, abs=0.03)
    assert found.reliability == pytest.approx(9 / 13, abs=0.03)


def test_a_ratio_explained_by_everything_else_leaves_no_effect() -> None:
    ratio = BeforeAfter(
        season=1.3, trend=0.9, publicity=0.5, publicity_weeks=3, weeks=9, picked_lift=0.2,
        enlarged=1.1,
    )  # fmt: skip
    assert float(ratio.effect(ratio.without_effect)) == pytest.approx(0)
    weeks = np.arange(0, 9, 0.001)
    assert float(ratio.novelty) == pytest.approx(1 + 0.5 * np.exp(-weeks / 3).mean(), abs=1e-3)


# Invariances


@given(st.integers(0, 10_000), st.floats(0.1, 50), st.floats(-100, 100))
@settings(max_examples=25)
def test_estimates_follow_scale_and_shift_and_ignore_order(
    seed: int, scale: float, shift: float
) -> None:
    rng = np.random.default_rng(seed)
    panel, order = random_panel(rng, treated=2), rng.permutation(9)
    common = shift + 5 * scale * np.sin(np.arange(8))
    moved = Panel(outcome=scale * panel.outcome[order] + common, start=panel.start[order])
    for estimate in (
        lambda p: did(p).value,
        lambda p: two_way_fixed_effects(p).value,
        lambda p: group_time_effects(p).overall.value,
        lambda p: synthetic_control(p).effect,
        lambda p: augmented(p, 1.0 if p is panel else scale**2).effect,
    ):
        expected = scale * estimate(panel)
        assert estimate(moved) == pytest.approx(expected, rel=1e-6, abs=1e-6 * scale)
    # Its penalty measures all movement before, the common one too: it ignores a constant alone.
    level = Panel(outcome=scale * panel.outcome[order] + shift, start=panel.start[order])
    expected = scale * synthetic_did(panel).effect
    assert synthetic_did(level).effect == pytest.approx(expected, rel=1e-6, abs=1e-6 * scale)


@given(st.integers(0, 10_000), st.floats(0.1, 50), st.floats(-100, 100))
@settings(max_examples=15)
def test_inference_follows_scale_and_shift_and_ignores_order(
    seed: int, scale: float, shift: float
) -> None:
    rng = np.random.default_rng(seed)
    panel, order = random_panel(rng), rng.permutation(9)
    common = shift + 5 * scale * np.sin(np.arange(8))
    moved = Panel(outcome=scale * panel.outcome[order] + common, start=panel.start[order])
    assert placebo_test(moved).p_value == placebo_test(panel).p_value
    for before, after in (
        (conformal_effect(p, level=0.8, points=51) for p in (panel, moved)),
        (conformal_effect(p, level=0.8, points=51, ridge=r) for p, r in ((panel, 1.0), (moved, scale**2))),
    ):  # fmt: skip
        step = 0.5 * scale * (before.high - before.low) + 1e-6 * scale
        assert after.value == pytest.approx(scale * before.value, rel=1e-6, abs=1e-6 * scale)
        assert abs(after.low - scale * before.low) <= step
    # Stores drawn by position: the same stores in the same order, other money and another level.
    there = Panel(outcome=scale * panel.outcome + common, start=panel.start)
    for p_value in (
        lambda p: permutation_did(p, np.random.default_rng(1), draws=99).p_value,
        lambda p: group_time_effects(p).overall.p_value,
    ):
        assert p_value(there) == pytest.approx(p_value(panel), abs=1e-6)


# Real noise


def test_weekly_noise_of_real_shops_is_what_the_apparel_case_states(koubei: np.ndarray) -> None:
    shops = len(koubei)
    found = noise_of(Panel(outcome=koubei, start=np.where(np.arange(shops) == 0, 20, 34)))
    assert shops == 1059
    assert found.deviation == pytest.approx(0.246, abs=5e-4)
    assert found.autocorrelation == pytest.approx(0.65, abs=5e-3)
    assert found.reliability == pytest.approx(0.84, abs=5e-3)


@pytest.mark.slow
def test_placebo_tests_have_the_right_size_on_real_shops(koubei: np.ndarray) -> None:
    rng, placebos = np.random.default_rng(19), 600
    rejected = dict.fromkeys(
        ("synthetic control", "permutation", "synthetic did", "three welch"), 0
    )
    for _ in range(placebos):
        paths = koubei[rng.choice(len(koubei), 40, replace=False)]
        first = int(rng.integers(16, 26))
        one, three = (study(paths, np.arange(n), first) for n in (1, 3))
        rejected["synthetic control"] += placebo_test(one).p_value <= 0.05
        rejected["permutation"] += permutation_did(three, rng, draws=199).p_value <= 0.05
        rejected["synthetic did"] += synthetic_did_effect(three, rng, placebos=80).p_value <= 0.05
        rejected["three welch"] += did(three).p_value <= 0.05
    error = 3 * np.sqrt(0.05 * 0.95 / placebos)
    for name in ("synthetic control", "permutation", "synthetic did"):
        assert abs(rejected[name] / placebos - 0.05) < error, rejected


def test_an_injected_effect_is_recovered_on_real_shops_and_before_after_is_not(
    koubei: np.ndarray,
) -> None:
    rng, trials, lift = np.random.default_rng(20), 200, float(np.log(1.2))
    ways = ("did", "wild", "permutation", "two-way", "synthetic did", "group-time", "direct")
    covered = dict.fromkeys((*ways, "naive"), 0)
    for _ in range(trials):
        paths = koubei[rng.choice(len(koubei), 60, replace=False)]
        panel = study(paths, np.arange(20), 20, lift)
        staggered = panel.start - 6 * (np.arange(60) < 10)
        grown = Panel(outcome=paths + lift * (np.arange(34) >= staggered[:, None]), start=staggered)
        # Ten unconverted shops lose a tenth to the converted ones, and are known to.
        near = np.isin(np.arange(60), np.arange(20, 30))
        robbed = panel.outcome + np.log(0.9) * (near[:, None] & (np.arange(34) >= 20))
        effects = {
            "did": did(panel),
            "wild": wild_bootstrap_did(panel, rng, draws=199),
            "permutation": permutation_did(panel, rng, draws=199),
            "two-way": two_way_fixed_effects(panel),
            "synthetic did": synthetic_did_effect(panel, rng, placebos=80),
            "group-time": group_time_effects(grown).overall,
            "direct": spillover_did(Panel(outcome=robbed, start=panel.start), near).direct,
        }
        for name, effect in effects.items():
            covered[name] += effect.low <= lift <= effect.high
        change = panel.outcome[:20, 20:].mean(axis=1) - panel.outcome[:20, :20].mean(axis=1)
        covered["naive"] += abs(change.mean() - lift) <= 1.96 * change.std(ddof=1) / np.sqrt(20)
    error = 3 * np.sqrt(0.05 * 0.95 / trials)
    for name in ways:
        assert abs(covered[name] / trials - 0.95) < error, covered
    assert covered["naive"] / trials < 0.8, covered


def test_skipping_the_opening_leaves_the_lasting_effect() -> None:
    outcome = np.zeros((4, 8))
    outcome[0, 3:] = [9, 9, 1, 1, 1]
    panel = Panel(outcome=outcome, start=[3, 8, 8, 8])
    assert before_after(panel.skipping(2)) == 1
    assert before_after(panel) == 21 / 5
    with pytest.raises(ValueError, match=r"periods=5 must lie in \[0, 5\)"):
        panel.skipping(5)


@pytest.mark.slow
def test_synthetic_controls_recover_an_effect_on_one_real_shop_and_before_after_does_not(
    koubei: np.ndarray,
) -> None:
    rng, trials, lift = np.random.default_rng(24), 200, float(np.log(1.2))
    held, errors = np.zeros(2), np.empty((3, trials))
    for trial in range(trials):
        paths = koubei[rng.choice(len(koubei), 40, replace=False)]
        panel = study(paths, np.array([0]), 28, lift)
        ways = [
            conformal_effect(panel, points=101, ridge=ridge) for ridge in (None, best_ridge(panel))
        ]
        held += [way.low <= lift <= way.high for way in ways]
        errors[:, trial] = [*(way.value for way in ways), before_after(panel)]
    errors -= lift
    unsure = errors.std(axis=1) / np.sqrt(trials)
    assert (np.abs(errors.mean(axis=1))[:2] < 3 * unsure[:2]).all()
    assert errors.mean(axis=1)[2] > 3 * unsure[2]
    # Stationary residuals are an assumption; on these shops the nine tenths hold within sampling error.
    assert (held / trials > 0.9 - 3 * np.sqrt(0.09 / trials)).all(), held


# Refusals

ROWS = [("a", 1, 5.0, 2), ("a", 2, 9.0, 2), ("b", 1, 4.0, None), ("b", 2, 5.0, None)]


def test_a_unit_that_misses_a_week_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"unit 'b' has no outcome in period 2.*drop those"):
        panel_from_rows(*zip(*ROWS[:3], strict=True))


def test_a_unit_converted_twice_is_refused_by_name() -> None:
    rows = [*ROWS[:1], ("a", 2, 9.0, 1), *ROWS[2:]]
    with pytest.raises(ValueError, match=r"unit 'a' was converted twice.*keep one"):
        panel_from_rows(*zip(*rows, strict=True))


def test_a_repeated_row_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="unit 'a' has 2 rows for period 1"):
        panel_from_rows(*zip(*ROWS, ROWS[0], strict=True))


def test_a_panel_without_untreated_units_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no untreated unit.*add units"):
        Panel(outcome=np.ones((2, 3)), start=[1, 2])


def test_a_panel_without_converted_units_is_refused() -> None:
    with pytest.raises(ValueError, match="no unit was ever converted"):
        Panel(outcome=np.ones((2, 3)), start=[3, 3])


def test_a_unit_converted_from_the_start_is_refused() -> None:
    with pytest.raises(ValueError, match="unit 'x' was converted at position 0"):
        Panel(outcome=np.ones((2, 3)), start=[0, 3], units=("x", "y"))


@pytest.mark.parametrize(
    "estimate", [synthetic_control, synthetic_did, placebo_test, conformal_effect]
)
def test_weights_refuse_one_pre_period_and_say_what_to_do(estimate) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=r"only 1 period before.*use did"):
        estimate(Panel(outcome=np.eye(4), start=[1, 4, 4, 4]))


def test_staggered_conversion_is_sent_to_group_time_effects() -> None:
    with pytest.raises(ValueError, match=r"2 different periods.*group_time_effects"):
        did(Panel(outcome=np.eye(4), start=[1, 2, 4, 4]))


def test_a_standard_error_from_one_store_is_refused() -> None:
    with pytest.raises(ValueError, match="1 converted and 3 control"):
        did(Panel(outcome=np.eye(4), start=[2, 4, 4, 4]))


def test_parameters_outside_their_domain_are_refused() -> None:
    with pytest.raises(ValueError, match="noise=0 must lie in"):
        Trial(treated=3, controls=3, before=2, after=2, noise=0)
    with pytest.raises(ValueError, match="picked_share=1 must lie in"):
        Picked(picked_share=1, reliability=0.5)
    with pytest.raises(ValueError, match="ridge=0 must lie in"):
        augmented(random_panel(np.random.default_rng(0)), 0)


def test_logs_of_an_idle_week_are_refused() -> None:
    with pytest.raises(ValueError, match="outcome=0 in period"):
        Panel(outcome=np.eye(3), start=[1, 3, 3]).logs()


def test_a_simulated_network_gives_back_its_effect_when_stores_are_drawn_by_lot() -> None:
    rng = np.random.default_rng(21)
    network = Network(
        stores=60, converted=20, before=12, after=8, lift=0.2, publicity=0.0, publicity_weeks=1.0, season=1.3,
        variation=0.4, noise=0.2, autocorrelation=0.4, picked_share=1.0,
    )  # fmt: skip
    found = np.array([did(network.panel(rng)).value for _ in range(150)])
    assert found.mean() == pytest.approx(np.log(1.2), abs=4 * found.std() / np.sqrt(150))
    naive = np.mean([before_after(network.panel(rng)) for _ in range(50)])
    assert naive > np.log(1.2) + 0.8 * np.log(1.3) * 0.8


def test_repeated_histories_centre_on_the_effect_where_stores_are_drawn_by_lot() -> None:
    network = Network(
        stores=40, converted=15, before=12, after=10, lift=0.2, publicity=0.5, publicity_weeks=1.0, season=1.3,
        variation=0.4, noise=0.15, autocorrelation=0.3, picked_share=1.0,
    )  # fmt: skip
    found = repeated(network, 80, np.random.default_rng(23), skipped=6)
    for name in ("did", "synthetic_control", "synthetic_did"):
        mean, draws = found[name][0], found[name][1:]
        assert mean == pytest.approx(draws.mean())
        assert mean == pytest.approx(0.2, abs=4 * draws.std() / np.sqrt(80) + 0.005)
    assert found["before_after"][0] > 0.4


def test_weak_stores_recover_by_themselves_and_publicity_adds() -> None:
    rng = np.random.default_rng(22)
    plain = {
        "stores": 60, "converted": 3, "before": 12, "after": 8, "lift": 0.0, "publicity_weeks": 2.0, "season": 1.0,
        "variation": 0.1, "noise": 0.3, "autocorrelation": 0.6,
    }  # fmt: skip
    fair = Network(publicity=0.0, picked_share=1.0, **plain)
    weak = Network(publicity=0.0, picked_share=0.1, **plain)
    loud = Network(publicity=1.0, picked_share=1.0, **plain)
    means = {
        name: np.mean([did(network.panel(rng)).value for _ in range(100)])
        for name, network in (("fair", fair), ("weak", weak), ("loud", loud))
    }
    assert abs(means["fair"]) < 0.05
    assert means["weak"] > 0.1
    assert means["loud"] == pytest.approx(np.log1p(np.exp(-np.arange(8) / 2)).mean(), abs=0.07)
    with pytest.raises(ValueError, match="converted=60 must be fewer than stores=60"):
        Network(publicity=0.0, picked_share=1.0, **(plain | {"converted": 60}))

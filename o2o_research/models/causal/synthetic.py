"""Synthetic controls: the converted stores against a weighted mix of stores that were not.

Synthetic control after Abadie, Diamond & Hainmueller (2010), its ridge augmentation after
Ben-Michael, Feller & Rothstein (2021), synthetic difference-in-differences after Arkhangelsky,
Athey, Hirshberg, Imbens & Wager (2021), conformal inference after Chernozhukov, Wüthrich & Zhu
(2021). All weights are exact optima with a certified duality gap; placebos are refitted in one
compiled loop from Gram matrices computed once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from o2o_research.models import numerics
from o2o_research.models.causal.panel import Array, Effect, Integers, Panel, student_effect
from o2o_research.models.causal.placebos import conformal, predictor_loss, sc_sets, sdid_sets
from o2o_research.models.causal.simplex import nearest_point


@dataclass(frozen=True, kw_only=True)
class Synthetic:
    """What the converted stores did, and what their mix of controls did instead.

    Parameters
    ----------
    weights : ndarray, shape (controls,), sums to 1. [w]
    names : of the controls
    observed, counterfactual : ndarray, shape (periods,), in the outcome's unit
    first : position of the first treated period
    duality_gap : >= 0; the mean squared pre-period error lies within twice gap / first of the
        least that any admissible weights reach
    """

    weights: Array
    names: tuple[Any, ...]
    observed: Array
    counterfactual: Array
    first: int
    duality_gap: float

    @property
    def gaps(self) -> Array:
        """Observed less counterfactual. Shape (periods,)."""
        return self.observed - self.counterfactual

    @property
    def effect(self) -> float:
        """Mean gap after the conversion."""
        return float(self.gaps[self.first :].mean())

    @property
    def pre_rmspe(self) -> float:
        """Root mean squared gap before the conversion: how well the mix fits."""
        return float(np.sqrt(np.mean(self.gaps[: self.first] ** 2)))

    @property
    def rmspe_ratio(self) -> float:
        """Root mean squared gap after over before, the statistic of the placebo test."""
        return float(np.sqrt(np.mean(self.gaps[self.first :] ** 2))) / self.pre_rmspe

    @property
    def donors(self) -> dict[Any, float]:
        """Controls with a weight, heaviest first."""
        order = np.argsort(-self.weights, kind="stable")
        return {self.names[j]: float(self.weights[j]) for j in order if self.weights[j] > 0}


def synthetic_control(panel: Panel) -> Synthetic:
    """The convex mix of controls nearest to the mean converted store before the conversion.

    minimises |y_1 - Y_0' w|^2 over the pre-periods, w >= 0, sum w = 1, exactly: no predictors,
    no solver stopped early.

    Raises
    ------
    ValueError
        Fewer than two periods before the conversion, or two controls.

    Examples
    --------
    The converted store was the mean of the first two controls, and rose by 3:

    >>> outcome = [[2.0, 3.0, 4.0, 8.0], [1.0, 2.0, 3.0, 4.0], [3.0, 4.0, 5.0, 6.0], [9.0, 1.0, 8.0, 2.0]]
    >>> fit = synthetic_control(Panel(outcome=outcome, start=[3, 4, 4, 4]))
    >>> {unit: round(weight, 6) for unit, weight in fit.donors.items()}, round(fit.effect, 6)
    ({1: 0.5, 2: 0.5}, 3.0)
    """
    first = _ready(panel, "synthetic_control")
    weights, gap = nearest_point(_gram(_points(panel)[:, :first]))
    return _synthetic(panel, weights, gap)


def augmented(panel: Panel, ridge: float) -> Synthetic:
    """Synthetic control whose remaining pre-period misfit is removed by a ridge regression.

    w_aug = w + (y_1 - Y_0' w)' (Y_0' Y_0 + ridge I)^-1 Y_0', Ben-Michael, Feller & Rothstein
    (2021), outcomes measured from the controls' mean. Weights may turn negative: it extrapolates.

    Parameters
    ----------
    ridge : penalty, > 0, in squared units of the outcome; large gives back the synthetic
        control, ``best_ridge`` chooses one. [lambda]
    """
    if not ridge > 0:
        raise ValueError(f"augmented: ridge={ridge:g} must lie in (0, inf)")
    plain = synthetic_control(panel)
    return _synthetic(
        panel, _augment(panel, plain.weights, ridge, slice(0, plain.first)), plain.duality_gap
    )


def best_ridge(panel: Panel, candidates: ArrayLike | None = None) -> float:
    """The ridge penalty that best predicts each pre-period from the others.

    Parameters
    ----------
    candidates : penalties to try; by default 25 from the largest squared singular value of the
        controls' pre-period outcomes down to its 1e-6th part.
    """
    first = _ready(panel, "best_ridge")
    points = _points(panel)[:, :first]
    if candidates is None:
        controls = panel.control_paths[:, :first]
        top = float(np.linalg.norm(controls - controls.mean(axis=0), 2)) ** 2
        candidates = top * np.logspace(0, -6, 25) if top > 0 else [1.0]
    penalties = np.asarray(candidates, float)
    errors = np.zeros(penalties.size)
    for period in range(first):
        others = np.delete(np.arange(first), period)
        weights, _ = nearest_point(_gram(points[:, others]))
        aside = _augment(panel, weights, penalties, others)
        errors += (aside @ points[:, period]) ** 2
    return float(penalties[errors.argmin()])


def _augment(panel: Panel, weights: Array, ridge: ArrayLike, which: Any) -> Array:
    """Augmented weights, one row a ridge where several are given."""
    controls = panel.control_paths[:, which]
    centre = controls.mean(axis=0)
    controls, target = controls - centre, panel.treated_path[which] - centre
    left, size, right = np.linalg.svd(controls, full_matrices=False)
    shrunk = size / (size**2 + np.asarray(ridge, float)[..., None])
    missed = right @ (target - weights @ controls)
    return np.asarray(weights + (shrunk * missed) @ left.T)


@dataclass(frozen=True, kw_only=True)
class SyntheticDid:
    """Synthetic difference-in-differences: weights on controls and on pre-periods.

    Parameters
    ----------
    unit_weights : ndarray, shape (controls,), sums to 1. [omega]
    time_weights : ndarray, shape (pre-periods,), sums to 1. [lambda]
    effect : the estimate, in the outcome's unit. [tau]
    penalty : ridge on the unit weights. [zeta]
    duality_gap : the larger of the two programs'
    names : of the controls
    """

    unit_weights: Array
    time_weights: Array
    effect: float
    penalty: float
    duality_gap: float
    names: tuple[Any, ...]


def synthetic_did(panel: Panel) -> SyntheticDid:
    """Synthetic difference-in-differences, both weight programs solved exactly.

    The ridge on the unit weights is (N_1 T_1)^(1/4) times the standard deviation of the
    controls' first differences before the conversion, as the paper sets it; the time weights,
    which the paper's program penalises by a millionth of that to be unique, are here left
    without.

    Examples
    --------
    >>> outcome = [[3.0, 4.0, 6.0], [1.0, 2.0, 3.0], [2.0, 3.0, 4.0]]
    >>> round(synthetic_did(Panel(outcome=outcome, start=[2, 3, 3])).effect, 6)
    1.0
    """
    first = _ready(panel, "synthetic_did")
    penalty = _penalty(panel)
    order = np.concatenate([np.flatnonzero(panel.treated), np.flatnonzero(~panel.treated)])
    outcome = panel.outcome[order] - panel.outcome.mean(axis=0)
    sets = np.arange(int(panel.treated.sum()))[None, :]
    effects, units, times, gaps = sdid_sets(outcome, sets, first, penalty)
    scale = float(np.var(outcome)) * outcome.size + 1e-300
    if not gaps[0] <= 1e-8 * scale:
        raise numerics.NotConverged(f"synthetic_did: duality gap {gaps[0]:g} at scale {scale:g}")
    return SyntheticDid(
        unit_weights=units[0],
        time_weights=times[0],
        effect=float(effects[0]),
        penalty=penalty,
        duality_gap=float(gaps[0]),
        names=panel.control_names,
    )


def synthetic_did_effect(
    panel: Panel, rng: np.random.Generator, *, placebos: int = 500, level: float = 0.95
) -> Effect:
    """Synthetic difference-in-differences with the placebo standard error (the paper's algorithm 4).

    As many controls as there are converted stores are drawn again and again, taken for
    converted, and both programs are solved anew for each.

    Raises
    ------
    ValueError
        Not more controls than converted units: then no placebo exists.
    """
    fit = synthetic_did(panel)
    paths = panel.control_paths
    chosen = int(panel.treated.sum())
    if len(paths) <= chosen + 1:
        raise ValueError(
            f"synthetic_did_effect: {chosen} converted and {len(paths)} control units; placebos want "
            "at least two more controls than converted units"
        )
    sets = draw_sets(len(paths), chosen, placebos, rng)
    effects, *_ = sdid_sets(paths - paths.mean(axis=0), sets, panel.first, fit.penalty)
    diagnostics = {
        "duality_gap": fit.duality_gap,
        "effective_controls": 1 / float(fit.unit_weights @ fit.unit_weights),
    }
    return student_effect(fit.effect, float(effects.std()), np.inf, level, diagnostics)


@dataclass(frozen=True, kw_only=True)
class PlaceboTest:
    """A synthetic control among placebos that were treated as though they had been converted.

    Parameters
    ----------
    observed : RMSPE ratio of the converted units
    effect, pre_rmspe : of the converted units
    ratios, effects, pre_rmspes : ndarray, shape (placebos,), of the placebos
    p_value : share of all assignments, the true one included, with a ratio at least as large
    """

    observed: float
    effect: float
    pre_rmspe: float
    ratios: Array
    effects: Array
    pre_rmspes: Array
    p_value: float

    def among_close_fits(self, multiple: float) -> tuple[float, int]:
        """p-value of the effect's size among placebos that fit, and how many assignments that are.

        Abadie, Diamond & Hainmueller (2010) set aside placebos whose mean squared error before is
        more than ``multiple`` times the converted unit's, then compare the gaps after.

        Parameters
        ----------
        multiple : of the mean squared error before, > 0; they use 20, 5 and 2
        """
        if not multiple > 0:
            raise ValueError(f"among_close_fits: multiple={multiple:g} must lie in (0, inf)")
        close = self.pre_rmspes**2 <= multiple * self.pre_rmspe**2
        larger = np.abs(self.effects[close]) >= abs(self.effect) * (1 - 1e-9)
        total = int(close.sum()) + 1
        return float((larger.sum() + 1) / total), total


def placebo_test(
    panel: Panel, rng: np.random.Generator | None = None, *, placebos: int = 500
) -> PlaceboTest:
    """Placebos in space: every other store in turn, with the converted one in its donor pool.

    Exact if the converted store was as likely to be any other, as Abadie, Diamond & Hainmueller
    (2010) reason. With several converted units, ``placebos`` sets of as many units are drawn by
    ``rng`` from all.

    Examples
    --------
    >>> outcome = [[1.0, 2.0, 9.0], [1.1, 2.0, 3.0], [0.9, 2.1, 3.0], [1.0, 1.9, 2.9]]
    >>> placebo_test(Panel(outcome=outcome, start=[2, 3, 3, 3])).p_value
    0.25
    """
    first = _ready(panel, "placebo_test")
    treated = np.flatnonzero(panel.treated)
    if treated.size == 1:
        sets = np.flatnonzero(~panel.treated)[:, None]
    elif rng is None:
        raise ValueError(
            f"placebo_test: {treated.size} converted units; give rng to draw placebo sets"
        )
    else:
        sets = draw_sets(len(panel.outcome), treated.size, placebos, rng)
    outcome = panel.outcome - panel.outcome.mean(axis=0)
    effects, before, after = sc_sets(outcome, np.vstack([treated[None, :], sets]), first)
    # A placebo that fits perfectly has an infinite ratio, or none at all if nothing moved after.
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.nan_to_num(after / before, nan=0.0, posinf=np.inf)
    least = ratios[0] * (1 - 1e-9)
    return PlaceboTest(
        observed=float(ratios[0]),
        effect=float(effects[0]),
        pre_rmspe=float(before[0]),
        ratios=ratios[1:],
        effects=effects[1:],
        pre_rmspes=before[1:],
        p_value=float(np.mean(ratios >= least)),
    )


def placebo_in_time(panel: Panel, start: int) -> Synthetic:
    """The synthetic control of a conversion that never was: ``start`` periods in, the true one cut off.

    Parameters
    ----------
    start : position of the pretended conversion, in [2, first treated period).
    """
    first = panel.first
    if not 2 <= start < first:
        raise ValueError(f"placebo_in_time: start={start} must lie in [2, {first})")
    earlier = Panel(
        outcome=panel.outcome[:, :first],
        start=np.where(panel.treated, start, first),
        units=panel.units,
        periods=panel.periods[:first],
    )
    return synthetic_control(earlier)


def conformal_effect(
    panel: Panel, *, level: float = 0.9, points: int = 401, ridge: float | None = None
) -> Effect:
    """Interval of a constant effect by conformal inference on the synthetic control's residuals.

    For each candidate effect the converted path is relieved of it, the weights are fitted on all
    periods, and the mean absolute residual after the conversion is ranked among its cyclic
    shifts in time (Chernozhukov, Wüthrich & Zhu 2021): valid with one converted store, as long
    as the residuals are stationary. The smallest p-value is one over the number of periods.

    Parameters
    ----------
    level : of the interval, in (0, 1 - 1 / periods]
    points : candidates tried, evenly, over the estimate plus or minus ten residual deviations
    ridge : penalty of ``augmented``, whose residuals are then ranked; None for the plain control

    Raises
    ------
    ValueError
        A level that so few periods cannot give.
    """
    first = _ready(panel, "conformal_effect")
    periods = len(panel.periods)
    if not 0 < level <= 1 - 1 / periods:
        raise ValueError(
            f"conformal_effect: level={level:g} must lie in (0, {1 - 1 / periods:g}] with {periods} periods"
        )
    fit = synthetic_control(panel) if ridge is None else augmented(panel, ridge)
    spread = max(
        fit.pre_rmspe, float(fit.gaps[first:].std()), 1e-12 * float(np.abs(panel.outcome).max())
    )
    centre = panel.control_paths.mean(axis=0)
    controls, target = panel.control_paths - centre, panel.treated_path - centre
    left = np.eye(periods)
    if ridge is not None:
        # A residual path r turns into r - C'C (C'C + ridge I)^-1 r once the ridge has had its part.
        left = ridge * np.linalg.inv(controls.T @ controls + ridge * left)
    candidates = np.append(fit.effect + spread * np.linspace(-10, 10, points), 0.0)
    p_values = conformal(controls, target, first, candidates, left)
    inside = candidates[:-1][p_values[:-1] > 1 - level + 1e-12]
    low, high = (
        (float(inside.min()), float(inside.max())) if inside.size else (fit.effect, fit.effect)
    )
    return Effect(
        value=fit.effect,
        low=low,
        high=high,
        p_value=float(p_values[-1]),
        level=level,
        diagnostics={
            "pre_rmspe": fit.pre_rmspe,
            "duality_gap": fit.duality_gap,
            "least_p_value": 1 / periods,
        },
    )


@dataclass(frozen=True, kw_only=True)
class PredictorControl:
    """A synthetic control on weighted predictors.

    Parameters
    ----------
    fit : the synthetic control
    importance : ndarray, shape (predictors,), sums to 1. [diagonal of V]
    loss : mean squared outcome gap over the fitted periods
    least_loss : the same for weights chosen on those outcomes alone: no importance can beat it
    """

    fit: Synthetic
    importance: Array
    loss: float
    least_loss: float


def predictor_control(
    panel: Panel,
    predictors: ArrayLike,
    rng: np.random.Generator,
    *,
    fitted: slice = slice(None),
    starts: int = 4,
) -> PredictorControl:
    """Synthetic control that matches predictors, their importance chosen to fit the outcome.

    Abadie & Gardeazabal's (2003) nested problem: w(V) minimises (x_1 - X_0'w)' V (x_1 - X_0'w)
    exactly; V minimises the mean squared outcome gap over ``fitted``. The outer problem has many
    near-optima with different weights: the best of several searches is returned, beside the
    least loss that any V could reach.

    Parameters
    ----------
    predictors : ndarray, shape (units, predictors), rows as in the panel; each is scaled to unit
        standard deviation. [X]
    fitted : pre-periods, by position, whose outcome gap is minimised.
    starts : searches; the first from equal importance.
    """
    first = _ready(panel, "predictor_control")
    values = np.asarray(predictors, float)
    if values.ndim != 2 or len(values) != len(panel.units) or not np.isfinite(values).all():
        raise ValueError(
            f"predictor_control: finite predictors of shape ({len(panel.units)}, k) are wanted, got {values.shape}"
        )
    values = values / values.std(axis=0, ddof=1)
    distance = values[~panel.treated] - values[panel.treated].mean(axis=0)
    points = _points(panel)[:, :first][:, fitted]
    outer = _gram(points) / points.shape[1]

    def loss(steps: Array) -> float:
        return float(predictor_loss(steps, distance, outer))

    best, best_loss = np.zeros(values.shape[1]), np.inf
    for attempt in range(starts):
        begin = np.zeros(values.shape[1]) if attempt == 0 else rng.normal(0, 2, values.shape[1])
        found, value = numerics.search(loss, begin, what="predictor_control")
        if value < best_loss:
            best, best_loss = found, value
    importance = np.exp(best - best.max())
    importance /= importance.sum()
    weights, gap = nearest_point(_gram(distance * np.sqrt(importance)))
    own, _ = nearest_point(outer)
    return PredictorControl(
        fit=_synthetic(panel, weights, gap),
        importance=importance,
        loss=best_loss,
        least_loss=float(own @ outer @ own),
    )


def draw_sets(units: int, size: int, count: int, rng: np.random.Generator) -> Integers:
    """``count`` random sets of ``size`` different units. Shape (count, size)."""
    return np.argpartition(rng.random((count, units)), size - 1, axis=1)[:, :size].astype(np.int64)


def placebo_effects(panel: Panel, sets: Integers, estimator: str = "synthetic_did") -> Array:
    """Effects found where nothing happened: each row of ``sets`` taken for the converted units.

    Parameters
    ----------
    sets : ndarray of int, shape (placebos, size), positions among the units never converted.
    estimator : "did", "synthetic_control" or "synthetic_did".

    Returns
    -------
    ndarray, shape (placebos,), in the outcome's unit.
    """
    first = _ready(panel, "placebo_effects")
    paths = panel.control_paths - panel.control_paths.mean(axis=0)
    if estimator == "synthetic_did":
        return np.asarray(sdid_sets(paths, sets, first, _penalty(panel, sets.shape[1]))[0])
    if estimator == "synthetic_control":
        return np.asarray(sc_sets(paths, sets, first)[0])
    if estimator == "did":
        change = paths[:, first:].mean(axis=1) - paths[:, :first].mean(axis=1)
        inside = change[sets].mean(axis=1)
        size = sets.shape[1]
        return np.asarray(inside - (change.sum() - size * inside) / (len(paths) - size))
    raise ValueError(
        f"placebo_effects: estimator={estimator!r} is none of did, synthetic_control, synthetic_did"
    )


def _ready(panel: Panel, name: str) -> int:
    """The first treated position of a panel that can carry weights."""
    first, controls = panel.first, int((~panel.treated).sum())
    if first < 2:
        raise ValueError(
            f"{name}: only {first} period before the conversion; weights cannot be fitted on it: begin the "
            "panel earlier, or use did and say that parallel trends cannot be checked"
        )
    if controls < 2:
        raise ValueError(f"{name}: only {controls} untreated unit; at least two are wanted")
    return first


def _points(panel: Panel) -> Array:
    """Controls measured from the mean converted unit. Shape (controls, periods)."""
    return panel.control_paths - panel.treated_path


def _gram(points: Array) -> Array:
    return np.asarray(points @ points.T)


def _synthetic(panel: Panel, weights: Array, gap: float) -> Synthetic:
    return Synthetic(
        weights=weights,
        names=panel.control_names,
        observed=panel.treated_path,
        counterfactual=np.asarray(weights @ panel.control_paths),
        first=panel.first,
        duality_gap=gap,
    )


def _penalty(panel: Panel, treated: int | None = None) -> float:
    first = panel.first
    count = int(panel.treated.sum()) if treated is None else treated
    steps = np.diff(panel.control_paths[:, :first], axis=1)
    noise = float(steps.std(ddof=1)) if steps.size > 1 else 0.0
    return float((count * (len(panel.periods) - first)) ** 0.25 * noise)

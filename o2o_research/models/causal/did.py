"""Differences in differences: converted stores against the others, before against after.

One conversion date: Bertrand, Duflo & Mullainathan (2004) collapse each store to its change, on
which the cluster-robust inference is a two-sample comparison. Several dates: the group-time
effects of Callaway & Sant'Anna (2021). Two-way fixed effects are here to be compared with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from o2o_research.models.causal.panel import Array, Effect, Panel, student_effect


def did(panel: Panel, *, level: float = 0.95) -> Effect:
    """Mean change of the converted units less mean change of the others.

    The standard error clusters by unit with the small-sample correction CR2, which in this
    design is Welch's; the degrees of freedom are Welch and Satterthwaite's. With fewer than about
    five converted units it is unreliable all the same: see ``permutation_did``.

    Raises
    ------
    ValueError
        Fewer than two converted or two unconverted units: no standard error exists.

    Examples
    --------
    >>> outcome = [[1.0, 4.0], [2.0, 6.0], [1.0, 2.0], [2.0, 3.5]]
    >>> effect = did(Panel(outcome=outcome, start=[1, 1, 2, 2]))
    >>> effect.value, round(effect.stderr, 4)
    (2.25, 0.559)
    """
    inside, outside = _changes(panel)
    if min(inside.size, outside.size) < 2:
        raise ValueError(
            f"did: {inside.size} converted and {outside.size} control units; a standard error wants two of "
            "each: use placebo_test or conformal_effect"
        )
    parts = np.array([inside.var(ddof=1) / inside.size, outside.var(ddof=1) / outside.size])
    sizes = np.array([inside.size - 1, outside.size - 1])
    variance = float(parts.sum())
    dof = variance**2 / float((parts**2 / sizes).sum()) if variance > 0 else np.inf
    value = float(inside.mean() - outside.mean())
    return student_effect(
        value, float(np.sqrt(variance)), dof, level, {"pre_trend": _pre_trend(panel)}
    )


def wild_bootstrap_did(
    panel: Panel, rng: np.random.Generator, *, draws: int = 999, level: float = 0.95
) -> Effect:
    """Differences in differences with the wild cluster bootstrap, the null imposed.

    Cameron, Gelbach & Miller (2008): Rademacher signs by unit, studentised; the interval inverts
    the test. MacKinnon & Webb (2018): with few converted units it hardly ever rejects; the
    diagnostic ``least_p_value``, 2 / 2^converted, shows how near that is.
    """
    inside, outside = _changes(panel)
    plain = did(panel, level=level)
    changes = np.concatenate([inside, outside])
    marks = np.arange(changes.size) < inside.size
    signs = rng.choice([-1.0, 1.0], size=(draws, changes.size))

    def p_value(effect: float) -> float:
        null = changes - effect * marks
        residual = null - null.mean()
        drawn = residual * signs
        drawn_in, drawn_out = drawn[:, marks], drawn[:, ~marks]
        spread = (
            drawn_in.var(axis=1, ddof=1) / inside.size
            + drawn_out.var(axis=1, ddof=1) / outside.size
        )
        student = np.abs(drawn_in.mean(axis=1) - drawn_out.mean(axis=1)) / np.sqrt(
            np.maximum(spread, 1e-300)
        )
        observed = abs(plain.value - effect) / plain.stderr
        return float((1 + np.sum(student >= observed * (1 - 1e-12))) / (1 + draws))

    low, high = (
        _edge(p_value, plain.value, side * plain.stderr, 1 - level) for side in (-1.0, 1.0)
    )
    return Effect(
        value=plain.value,
        low=low,
        high=high,
        p_value=p_value(0.0),
        stderr=plain.stderr,
        level=level,
        diagnostics=dict(plain.diagnostics)
        | {"least_p_value": 2.0 / 2.0 ** min(inside.size, 1000)},
    )


def permutation_did(
    panel: Panel, rng: np.random.Generator, *, draws: int = 999, level: float = 0.95
) -> Effect:
    """Differences in differences with randomisation inference: valid with one converted unit.

    The converted units are ranked among ``draws`` random sets of as many units. Exact if any set
    was as likely to be chosen, which stores picked for how they did are not.
    """
    inside, outside = _changes(panel)
    changes = np.concatenate([inside, outside])
    size, total = inside.size, changes.size
    sets = np.argsort(rng.random((draws, total)), axis=1)[:, :size]
    marks = np.zeros((draws, total))
    np.put_along_axis(marks, sets, 1.0, axis=1)
    value = float(inside.mean() - outside.mean())

    def gap(path: Array) -> Array:
        chosen = marks @ path / size
        return np.asarray((chosen - path.mean()) * total / (total - size))

    # Relieving the converted units of an effect moves each placebo linearly.
    base, slope = gap(changes), gap((np.arange(total) < size).astype(float))

    def p_value(effect: float) -> float:
        drawn = np.abs(base - effect * slope)
        return float((1 + np.sum(drawn >= abs(value - effect) * (1 - 1e-12))) / (1 + draws))

    step = max(float(np.std(base)), 1e-12)
    low, high = (_edge(p_value, value, side * step, 1 - level) for side in (-1.0, 1.0))
    return Effect(
        value=value,
        low=low,
        high=high,
        p_value=p_value(0.0),
        level=level,
        diagnostics={"pre_trend": _pre_trend(panel), "least_p_value": 1 / (1 + draws)},
    )


def two_way_fixed_effects(panel: Panel, *, level: float = 0.95) -> Effect:
    """The coefficient of "converted by now" in a regression on unit and period dummies.

    Under staggered conversion it weighs early converts as controls of later ones and may even
    get the sign wrong (Goodman-Bacon 2021); errors cluster by unit (CR1).
    """
    marks = (np.arange(len(panel.periods)) >= panel.start[:, None]).astype(float)
    regressor, outcome = _within(marks), _within(panel.outcome)
    power = float((regressor**2).sum())
    value = float((regressor * outcome).sum()) / power
    scores = (regressor * (outcome - value * regressor)).sum(axis=1)
    units = len(panel.units)
    stderr = float(np.sqrt(units / (units - 1) * (scores**2).sum())) / power
    return student_effect(value, stderr, units - 1, level)


@dataclass(frozen=True, kw_only=True)
class GroupTimeEffects:
    """Effects on each group (units converted in one period) in each period.

    Parameters
    ----------
    groups : positions of the conversion periods, shape (groups,). [g]
    shares : share of all units in each group, shape (groups,)
    effects : ndarray, shape (groups, periods); before the conversion a placebo against the period
        before; NaN in the first period. [ATT(g, t)]
    influence : ndarray, shape (units, groups, periods), of the effects
    members : ndarray of bool, shape (units, groups)
    level : of the aggregates' intervals
    """

    groups: NDArray[np.int64]
    shares: Array
    effects: Array
    influence: Array
    members: NDArray[np.bool_]
    level: float = 0.95

    @property
    def _after(self) -> NDArray[np.bool_]:
        return np.asarray(np.arange(self.effects.shape[1]) >= self.groups[:, None])

    @property
    def simple(self) -> Effect:
        """Mean over all groups and periods after conversion, weighted by group size."""
        return self._aggregate(self._after)

    @property
    def by_group(self) -> list[Effect]:
        """Mean effect on each group over its periods after conversion."""
        return [self._aggregate(self._after & (self.groups == g)[:, None]) for g in self.groups]

    @property
    def overall(self) -> Effect:
        """Mean over groups, each by its own mean over time: the paper's recommended summary."""
        weights = self._after / self._after.sum(axis=1, keepdims=True)
        return self._weighted(weights)

    def at_age(self, age: int) -> Effect:
        """Mean effect ``age`` periods after conversion (negative: before)."""
        column = np.arange(self.effects.shape[1]) - self.groups[:, None]
        which = (column == age) & ~np.isnan(self.effects)
        if not which.any():
            raise ValueError(f"at_age: age={age} is observed for no group")
        return self._aggregate(which)

    def since(self, age: int) -> Effect:
        """Mean over all groups and periods from ``age`` periods after conversion on.

        What lasts, an opening's rush left out.
        """
        column = np.arange(self.effects.shape[1]) - self.groups[:, None]
        which = (column >= max(age, 0)) & ~np.isnan(self.effects)
        if not which.any():
            raise ValueError(
                f"since: age={age}, but the longest watched is {int(column.max())} periods"
            )
        return self._aggregate(which)

    @property
    def ages(self) -> list[int]:
        """Ages at which some group is observed."""
        column = np.arange(self.effects.shape[1]) - self.groups[:, None]
        return sorted({int(a) for a in column[~np.isnan(self.effects)]})

    @property
    def dynamic(self) -> Effect:
        """Mean over ages from conversion on of the effects at those ages."""
        parts = [
            self._parts(np.arange(self.effects.shape[1]) - self.groups[:, None] == age)
            for age in self.ages
            if age >= 0
        ]
        values, influences = zip(*parts, strict=True)
        return self._effect(float(np.mean(values)), np.mean(influences, axis=0))

    def uniform_band(
        self, rng: np.random.Generator, *, level: float = 0.95, draws: int = 999
    ) -> dict[int, Effect]:
        """The effect at each age with a band that holds all ages at once at ``level``.

        Multiplier bootstrap of the largest studentised deviation, as in the paper's algorithm 1,
        with Rademacher multipliers.
        """
        ages = self.ages
        effects = {age: self.at_age(age) for age in ages}
        column = np.arange(self.effects.shape[1]) - self.groups[:, None]
        influence = np.column_stack(
            [self._parts((column == age) & ~np.isnan(self.effects))[1] for age in ages]
        )
        signs = rng.choice([-1.0, 1.0], size=(draws, len(influence)))
        drawn = np.abs(signs @ influence / len(influence))
        spread = np.array([effects[age].stderr for age in ages])
        reach = float(np.quantile((drawn / spread).max(axis=1), level))
        return {
            age: Effect(
                value=e.value,
                low=e.value - reach * e.stderr,
                high=e.value + reach * e.stderr,
                p_value=e.p_value,
                stderr=e.stderr,
                level=level,
            )
            for age, e in effects.items()
        }

    def _aggregate(self, which: NDArray[np.bool_]) -> Effect:
        return self._effect(*self._parts(which))

    def _weighted(self, weights: Array) -> Effect:
        """Groups by size, each spread over its cells by ``weights`` that sum to 1 by row."""
        own = np.nansum(np.where(weights > 0, self.effects * weights, 0.0), axis=1)
        influence = np.where(weights > 0, self.influence * weights, 0.0).sum(axis=2)
        return self._effect(*self._mix(own, influence, np.ones(len(self.groups))))

    def _parts(self, which: NDArray[np.bool_]) -> tuple[float, Array]:
        """Value and influence of the size-weighted mean over the cells in ``which``."""
        counts = which.sum(axis=1)
        used = np.maximum(counts, 1)
        own = np.where(which, self.effects, 0.0).sum(axis=1) / used
        influence = np.where(which, self.influence, 0.0).sum(axis=2) / used
        return self._mix(own, influence, counts.astype(float))

    def _mix(self, own: Array, influence: Array, counts: Array) -> tuple[float, Array]:
        total = float(self.shares @ counts)
        weights = self.shares * counts / total
        value = float(weights @ own)
        # The groups' shares are estimated too.
        sizes = (self.members - self.shares) * counts
        drift = sizes @ own / total - sizes.sum(axis=1) * value / total
        return value, np.asarray(influence @ weights + drift)

    def _effect(self, value: float, influence: Array) -> Effect:
        stderr = float(np.sqrt(np.mean(influence**2) / influence.size))
        return student_effect(value, stderr, np.inf, self.level)


def group_time_effects(
    panel: Panel, *, not_yet: bool = False, level: float = 0.95
) -> GroupTimeEffects:
    """Group-time average effects of Callaway & Sant'Anna (2021), without covariates.

    ATT(g, t) = E[Y_t - Y_{g-1} | G = g] - E[Y_t - Y_{g-1} | control]; before g the base is the
    period before t, so that each is a placebo of its own.

    Parameters
    ----------
    not_yet : take units not converted by t as controls too, instead of those never converted.
    level : of the aggregates' intervals, in (0, 1)

    Examples
    --------
    Two stores converted at different times, each of which gains 2:

    >>> outcome = [[0.0, 1.0, 4.0, 5.0], [1.0, 4.0, 5.0, 6.0], [3.0, 4.0, 5.0, 6.0]]
    >>> effects = group_time_effects(Panel(outcome=outcome, start=[2, 1, 4]))
    >>> effects.overall.value, effects.at_age(0).value
    (2.0, 2.0)
    """
    units, periods = panel.outcome.shape
    groups = np.unique(panel.start[panel.treated])
    members = panel.start[:, None] == groups
    effects = np.full((groups.size, periods), np.nan)
    influence = np.zeros((units, groups.size, periods))
    for row, g in enumerate(groups):
        for t in range(1, periods):
            change = panel.outcome[:, t] - panel.outcome[:, g - 1 if t >= g else t - 1]
            control = ~panel.treated
            if not_yet:
                control = (panel.start > max(t, int(g) - 1)) & ~members[:, row]
            inside = members[:, row]
            effects[row, t] = change[inside].mean() - change[control].mean()
            influence[inside, row, t] = (
                (change[inside] - change[inside].mean()) * units / inside.sum()
            )
            influence[control, row, t] -= (
                (change[control] - change[control].mean()) * units / control.sum()
            )
    return GroupTimeEffects(
        groups=groups,
        shares=members.mean(axis=0),
        effects=effects,
        influence=influence,
        members=members,
        level=level,
    )


@dataclass(frozen=True, kw_only=True)
class Spillover:
    """An effect split where conversion also moves sales of nearby unconverted stores.

    Parameters
    ----------
    direct : effect on a converted unit, against units out of reach
    exposed : effect on an unconverted unit within reach; negative if it loses customers
    naive : what comparing with all unconverted units would have said
    network : effect summed over all units of the panel: what the firm gained a period
    """

    direct: Effect
    exposed: Effect
    naive: float
    network: float


def spillover_did(panel: Panel, exposed: NDArray[np.bool_], *, level: float = 0.95) -> Spillover:
    """Differences in differences with units within reach of a converted one set apart.

    Butts (2021): the naive contrast is the direct effect less the exposed units' share of the
    controls times the effect on them, so stolen customers count twice.

    Parameters
    ----------
    exposed : ndarray of bool, shape (units,): unconverted units within reach.
    """
    exposed = np.asarray(exposed, bool)
    if exposed.shape != (len(panel.units),) or not exposed.any() or (exposed & panel.treated).any():
        raise ValueError(
            f"spillover_did: exposed must mark at least one of the {int((~panel.treated).sum())} unconverted "
            "units, and no converted one"
        )
    direct = did(panel.keep(~exposed), level=level)
    shifted = Panel(
        outcome=panel.outcome,
        start=np.where(exposed, panel.first, len(panel.periods)),
        units=panel.units,
        periods=panel.periods,
    )
    aside = did(shifted.keep(~panel.treated), level=level)
    inside, outside = _changes(panel)
    return Spillover(
        direct=direct,
        exposed=aside,
        naive=float(inside.mean() - outside.mean()),
        network=float(panel.treated.sum() * direct.value + exposed.sum() * aside.value),
    )


def _changes(panel: Panel) -> tuple[Array, Array]:
    """Change of each unit's mean from before to after: converted units, others."""
    first = panel.first
    change = panel.outcome[:, first:].mean(axis=1) - panel.outcome[:, :first].mean(axis=1)
    return change[panel.treated], change[~panel.treated]


def _pre_trend(panel: Panel) -> float:
    """Difference in the two groups' mean slopes before the conversion; NaN with one period."""
    first = panel.first
    if first < 2:
        return float("nan")
    time = np.arange(first) - (first - 1) / 2
    slopes = panel.outcome[:, :first] @ time / (time @ time)
    return float(slopes[panel.treated].mean() - slopes[~panel.treated].mean())


def _within(table: Array) -> Array:
    return np.asarray(table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean())


def _edge(p_value: Callable[[float], float], centre: float, step: float, size: float) -> float:
    """Where the p-value falls to ``size``, going from ``centre`` in the direction of ``step``."""
    reach = step
    for _ in range(12):
        if p_value(centre + reach) <= size:
            break
        reach *= 2
    else:
        return float(np.copysign(np.inf, step))
    inside = 0.0
    for _ in range(40):
        middle = (inside + reach) / 2
        inside, reach = (middle, reach) if p_value(centre + middle) > size else (inside, middle)
    return float(centre + (inside + reach) / 2)

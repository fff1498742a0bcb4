"""A balanced panel of stores, some of which were converted, and the answer estimators give."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr, stdtrit

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

# Messages name at most this many offenders.
_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class Panel:
    """An outcome for every unit in every period, and the period in which each unit was converted.

    Parameters
    ----------
    outcome : ndarray, shape (units, periods), finite. [Y]
    start : ndarray of int, shape (units,)
        Position of the first treated period, in [1, periods); ``periods`` means never.
    units, periods : labels, of the same lengths, each once.

    Raises
    ------
    ValueError
        A hole, a label twice, no converted unit, no unconverted unit, or a unit converted
        before the panel begins: the message names which, and what to do.

    Examples
    --------
    >>> shops = Panel(outcome=[[1.0, 4.0], [1.0, 2.0], [2.0, 3.0]], start=[1, 2, 2])
    >>> shops.treated.tolist(), shops.first
    ([True, False, False], 1)
    """

    outcome: Array
    start: Integers
    units: tuple[Any, ...] = ()
    periods: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        outcome = np.asarray(self.outcome, float)
        start = np.asarray(self.start, np.int64)
        if outcome.ndim != 2 or start.shape != outcome.shape[:1]:
            raise ValueError(
                f"Panel: outcome of shape (units, periods) and start of shape (units,) are wanted, "
                f"got {outcome.shape} and {start.shape}"
            )
        units = tuple(self.units) or tuple(range(outcome.shape[0]))
        periods = tuple(self.periods) or tuple(range(outcome.shape[1]))
        for name, value in (
            ("outcome", outcome),
            ("start", start),
            ("units", units),
            ("periods", periods),
        ):
            object.__setattr__(self, name, value)
        self._check()

    def _check(self) -> None:
        if (len(self.units), len(self.periods)) != self.outcome.shape:
            raise ValueError(
                f"Panel: {len(self.units)} units and {len(self.periods)} periods are named, "
                f"the outcome has shape {self.outcome.shape}"
            )
        if len(set(self.units)) < len(self.units) or len(set(self.periods)) < len(self.periods):
            raise ValueError("Panel: a unit or a period is named twice")
        holes = np.argwhere(~np.isfinite(self.outcome))
        if len(holes):
            unit, period = holes[0]
            named = sorted({int(u) for u, _ in holes})
            raise ValueError(
                f"Panel: unit {self.units[unit]!r} has no outcome in period {self.periods[period]!r}, "
                f"{len(holes)} holes in all, in units {_some([self.units[u] for u in named])}; "
                "fill them from the source, or drop those units or periods"
            )
        early = np.flatnonzero((self.start < 1) | (self.start > len(self.periods)))
        if len(early):
            raise ValueError(
                f"Panel: unit {self.units[early[0]]!r} was converted at position "
                f"{self.start[early[0]]}: no period before it to compare with; drop it, or begin earlier"
            )
        if not self.treated.any():
            raise ValueError("Panel: no unit was ever converted; give start for at least one")
        if self.treated.all():
            raise ValueError(
                "Panel: no untreated unit: every unit was converted; add units that were not, "
                "or end the panel before the last conversion"
            )

    @property
    def treated(self) -> NDArray[np.bool_]:
        """Which units are converted within the panel. Shape (units,)."""
        return np.asarray(self.start < len(self.periods))

    @property
    def first(self) -> int:
        """The one position at which all converted units start.

        Raises
        ------
        ValueError
            If they start at different times: group-time effects are the tool then.
        """
        starts = np.unique(self.start[self.treated])
        if starts.size > 1:
            raise ValueError(
                f"Panel: units were converted in {starts.size} different periods "
                f"({_some([self.periods[s] for s in starts])}); use group_time_effects, "
                "or keep the units of one period"
            )
        return int(starts[0])

    @property
    def control_paths(self) -> Array:
        """Outcomes of the units never converted. Shape (controls, periods)."""
        return self.outcome[~self.treated]

    @property
    def treated_path(self) -> Array:
        """Mean outcome of the converted units. Shape (periods,)."""
        return np.asarray(self.outcome[self.treated].mean(axis=0))

    @property
    def control_names(self) -> tuple[Any, ...]:
        """Names of the units never converted."""
        return tuple(u for u, t in zip(self.units, self.treated, strict=True) if not t)

    def keep(self, which: NDArray[np.bool_]) -> Panel:
        """The panel of the units marked in ``which``, shape (units,)."""
        return replace(
            self,
            outcome=self.outcome[which],
            start=self.start[which],
            units=tuple(u for u, k in zip(self.units, which, strict=True) if k),
        )

    def as_if(self, treated: ArrayLike, start: int) -> Panel:
        """A placebo: the never-converted units, of which those at ``treated`` start at ``start``."""
        paths = self.control_paths
        starts = np.full(len(paths), paths.shape[1])
        starts[np.asarray(treated)] = start
        return Panel(outcome=paths, start=starts, units=self.control_names, periods=self.periods)

    def skipping(self, periods: int) -> Panel:
        """The panel without the first ``periods`` after the one conversion date: an opening's rush."""
        first, last = self.first, len(self.periods)
        if not 0 <= periods < last - first:
            raise ValueError(f"skipping: periods={periods} must lie in [0, {last - first})")
        kept = np.r_[0:first, first + periods : last]
        return Panel(
            outcome=self.outcome[:, kept],
            start=np.where(self.treated, first, kept.size),
            units=self.units,
            periods=tuple(self.periods[k] for k in kept),
        )

    def lifted(self, share: float) -> Panel:
        """The same panel with every converted outcome multiplied by 1 + ``share``: a known effect."""
        after = np.arange(len(self.periods)) >= self.start[:, None]
        return replace(self, outcome=np.where(after, self.outcome * (1 + share), self.outcome))

    def logs(self) -> Panel:
        """The panel of log outcomes, on which a percentage is a difference.

        Raises
        ------
        ValueError
            If an outcome is not positive.
        """
        if not (self.outcome > 0).all():
            unit, period = np.argwhere(self.outcome <= 0)[0]
            raise ValueError(
                f"Panel: unit {self.units[unit]!r} has outcome={self.outcome[unit, period]:g} in period "
                f"{self.periods[period]!r}; a logarithm wants positive ones: sum to longer periods"
            )
        return replace(self, outcome=np.log(self.outcome))


def panel_from_rows(
    unit: Sequence[Any] | NDArray[Any],
    period: Sequence[Any] | NDArray[Any],
    outcome: ArrayLike,
    converted_on: Sequence[Any] | NDArray[Any],
) -> Panel:
    """A panel from rows of a table, one per unit and period, in any order.

    Parameters
    ----------
    unit, period : labels; periods are sorted.
    outcome : one number a row.
    converted_on : the period from which the unit counts as converted, the same in all rows of the
        unit; None, NaN or NaT where it never was.

    Raises
    ------
    ValueError
        A row twice, a unit with two conversion dates, or whatever ``Panel`` refuses.

    Examples
    --------
    >>> rows = [("a", 1, 5.0, 2), ("a", 2, 9.0, 2), ("b", 1, 4.0, None), ("b", 2, 5.0, None)]
    >>> panel_from_rows(*zip(*rows)).start.tolist()
    [1, 2]
    """
    unit_values, row = np.unique(np.asarray(unit), return_inverse=True)
    period_values, column = np.unique(np.asarray(period), return_inverse=True)
    units, periods = unit_values.tolist(), period_values.tolist()
    values = np.asarray(outcome, float)
    cells = row * len(periods) + column
    counts = np.bincount(cells, minlength=len(units) * len(periods))
    if counts.max(initial=0) > 1:
        at = int(counts.argmax())
        raise ValueError(
            f"unit {units[at // len(periods)]!r} has {counts[at]} rows for period "
            f"{periods[at % len(periods)]!r}; sum them, or drop the repeats"
        )
    table = np.full((len(units), len(periods)), np.nan)
    table[row, column] = values
    dates: dict[int, set[Any]] = {}
    for at, date in zip(row.tolist(), converted_on, strict=True):
        dates.setdefault(at, set()).add(None if date is None or date != date else date)
    twice = [at for at, found in dates.items() if len(found) > 1]
    if twice:
        raise ValueError(
            f"unit {units[twice[0]]!r} was converted twice or not in all of its rows "
            f"({_some(sorted(map(str, dates[twice[0]])))}); keep one conversion date a unit, "
            "or split it into two units"
        )
    start = [
        len(periods)
        if (date := next(iter(dates[at]))) is None
        else int(np.searchsorted(period_values, date))
        for at in range(len(units))
    ]
    return Panel(
        outcome=table,
        start=np.array(start),
        units=tuple(units),
        periods=tuple(periods),
    )


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What the conversion did, in the outcome's unit.

    Parameters
    ----------
    value : the estimate
    low, high : its interval at ``level``
    p_value : of no effect, by the same reasoning as the interval
    stderr : standard error, NaN where the inference has none (permutation)
    level : of the interval, in (0, 1)
    diagnostics : what to look at before believing it, by name
    """

    value: float
    low: float
    high: float
    p_value: float
    stderr: float = float("nan")
    level: float = 0.95
    diagnostics: Mapping[str, float] = field(default_factory=dict)

    @property
    def growth(self) -> tuple[float, float, float]:
        """Value and interval of an effect on log outcomes, as shares of the outcome."""
        return math.expm1(self.value), math.expm1(self.low), math.expm1(self.high)

    @property
    def as_growth(self) -> Effect:
        """The effect on log outcomes in shares of the outcome; its standard error is gone."""
        value, low, high = self.growth
        return replace(self, value=value, low=low, high=high, stderr=math.nan)


def student_effect(
    value: float,
    stderr: float,
    dof: float,
    level: float,
    diagnostics: Mapping[str, float] | None = None,
) -> Effect:
    """An effect with Student's interval; infinite degrees of freedom give the normal one."""
    freedom = min(dof, 1e12)
    reach = float(stdtrit(freedom, 0.5 + level / 2)) * stderr
    p_value = float(2 * stdtr(freedom, -abs(value) / stderr)) if stderr > 0 else float(value == 0)
    return Effect(
        value=value,
        low=value - reach,
        high=value + reach,
        p_value=p_value,
        stderr=stderr,
        level=level,
        diagnostics={"dof": dof} | dict(diagnostics or {}),
    )


def _some(names: Sequence[Any]) -> str:
    shown = ", ".join(repr(n) for n in names[:_NAMED])
    return shown if len(names) <= _NAMED else f"{shown} and {len(names) - _NAMED} more"

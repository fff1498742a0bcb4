"""Forecasts scored on what happened, beside forecasts that know nothing of diffusion.

The last value for ever (naive), and the last value moved on by the mean change so far
(drift): what a curve must beat to be worth its parameters.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from o2o_research.models.diffusion.fitting import MarketUnknown, fit_bass
from o2o_research.models.diffusion.regression import COUNTS, Errors
from o2o_research.models.numerics import Array, NotConverged


@dataclass(frozen=True, kw_only=True)
class Score:
    """How one method did on one series.

    Parameters
    ----------
    series, method : names
    seen, ahead : periods fitted, and forecast
    error : mean absolute error over the mean of what happened; inf where the method gave up
    against_naive : mean absolute error over the naive forecast's
    covered_share : share of what happened inside the interval; not-a-number without one
    width : mean width of the interval over the mean of what happened
    peak_seen : whether the fit saw a peak; None for a method without one
    """

    series: str
    method: str
    seen: int
    ahead: int
    error: float
    against_naive: float
    covered_share: float
    width: float
    peak_seen: bool | None = None


def naive_forecast(sales: Array, ahead: int, level: float = 0.9) -> tuple[Array, Array, Array]:
    """Forecast, low and high: the last value, its steps having the deviation of those seen."""
    spread = np.sqrt(np.mean(np.diff(sales) ** 2)) * np.sqrt(np.arange(1, ahead + 1))
    half = stats.norm.ppf(0.5 + level / 2) * spread
    middle = np.full(ahead, sales[-1])
    return middle, middle - half, middle + half


def drift_forecast(sales: Array, ahead: int, level: float = 0.9) -> tuple[Array, Array, Array]:
    """Forecast, low and high: the line through the first and the last value, continued.

    The variance h steps ahead is s^2 h (1 + h / (n - 1)), the drift being estimated too.
    """
    steps = np.arange(1, ahead + 1)
    change = np.diff(sales)
    spread = change.std(ddof=1) * np.sqrt(steps * (1 + steps / change.size))
    half = stats.norm.ppf(0.5 + level / 2) * spread
    middle = sales[-1] + change.mean() * steps
    return middle, middle - half, middle + half


def score_forecasts(
    series: Mapping[str, ArrayLike],
    rng: np.random.Generator,
    *,
    seen_share: float = 1 / 3,
    level: float = 0.9,
    errors: Errors = COUNTS,
    draws: int = 1000,
) -> list[Score]:
    """Bass, naive and drift on the first part of each series, scored on the rest.

    Parameters
    ----------
    series : by name, array_like of shape (n,), >= 0, from the launch on, at least 6 long
    seen_share : share of each series that is fitted, in (0, 1); at least 5 periods are
    level : of the intervals

    Returns
    -------
    three Scores a series, in the order given

    Raises
    ------
    ValueError
        A series too short, or a share outside (0, 1).
    """
    if not 0 < seen_share < 1:
        raise ValueError(f"score_forecasts: seen_share={seen_share} must lie in (0, 1)")
    scores = []
    for name, values in series.items():
        y = np.asarray(values, float)
        seen = max(5, round(seen_share * y.size))
        if y.ndim != 1 or y.size <= seen:
            raise ValueError(f"score_forecasts: {name} has {y.size} periods; at least 6 are needed")
        past, future = y[:seen], y[seen:]
        naive = naive_forecast(past, future.size, level)
        base = float(np.abs(future - naive[0]).mean())
        found = {"naive": naive, "drift": drift_forecast(past, future.size, level)}
        peak_seen = None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MarketUnknown)
            try:
                fit = fit_bass(past, errors=errors)
                forecast = fit.forecast(future.size, rng, draws=draws)
                low, high = forecast.interval(level)
                peak_seen, bass = fit.peak_seen, (forecast.sales, low, high)
            except NotConverged:
                nothing = np.full(future.size, np.nan)
                bass = (np.full(future.size, np.inf), nothing, nothing)
        for method, (middle, low, high) in {"bass": bass, **found}.items():
            error = float(np.abs(future - middle).mean())
            inside = (low <= future) & (future <= high)
            scores.append(
                Score(
                    series=name,
                    method=method,
                    seen=seen,
                    ahead=future.size,
                    error=error / float(future.mean()),
                    against_naive=error / base if base > 0 else np.inf,
                    covered_share=float(inside.mean()) if np.isfinite(low).all() else np.nan,
                    width=float((high - low).mean() / future.mean()),
                    peak_seen=peak_seen if method == "bass" else None,
                )
            )
    return scores

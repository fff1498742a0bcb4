"""From a log of visits to the laws a simulation needs: arrivals, services, routes; and how well
they fit.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import digamma, gammaln, polygamma
from scipy.stats import gamma as gamma_law
from scipy.stats import lognorm

from o2o_research.domain import require
from o2o_research.models.numerics import Fit, root

Array = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class VisitLog:
    """Recorded visits; times in minutes.

    Parameters
    ----------
    patient, station : ndarray of int, shape (visits,), numbered from 0
    arrived, started, ended : ndarray, shape (visits,), arrived <= started <= ended

    Raises
    ------
    ValueError
        Shapes that disagree, or times out of order; the first bad row is named.
    """

    patient: Indices
    station: Indices
    arrived: Array
    started: Array
    ended: Array

    def __post_init__(self) -> None:
        shapes = {getattr(self, name).shape for name in self.__dataclass_fields__}
        if len(shapes) != 1:
            raise ValueError(f"VisitLog: arrays of different shapes {sorted(shapes)}")
        ordered = (self.arrived <= self.started) & (self.started <= self.ended)
        if not ordered.all():
            row = int(np.argmin(ordered))
            raise ValueError(
                f"VisitLog: row {row}: arrived={self.arrived[row]:g}, "
                f"started={self.started[row]:g}, ended={self.ended[row]:g} are out of order"
            )

    def routes(self) -> Array:
        """Share of visits to each station (row) followed by each other; the rest went home.

        Shape (stations, stations). A patient's visits count in the order of arrival.
        """
        size = int(self.station.max()) + 1
        order = np.lexsort((self.ended, self.arrived, self.patient))
        place, who = self.station[order], self.patient[order]
        same = who[1:] == who[:-1]
        counts = np.zeros((size, size))
        np.add.at(counts, (place[:-1][same], place[1:][same]), 1)
        return np.asarray(counts / np.maximum(np.bincount(place, minlength=size), 1)[:, None])

    def arrivals_by_hour(self) -> Array:
        """First arrivals of a day's patients by hour of the day, a day. Shape (24,)."""
        day = np.floor(self.arrived / 1440)
        key = self.patient * (int(day.max()) + 1) + day.astype(np.int64)
        order = np.lexsort((self.arrived, key))
        first = order[np.concatenate([[True], np.diff(key[order]) > 0])]
        hour = np.floor(self.arrived[first] % 1440 / 60).astype(np.int64)
        return np.asarray(np.bincount(hour, minlength=24) / np.unique(day).size)

    def follows(self, allowed: Collection[tuple[int, int]]) -> NDArray[np.bool_]:
        """For each patient in order of number, whether every step from visit to visit is allowed.

        Token-free conformance: the directly-follows relation of process mining (van der Aalst
        2016, Process Mining, 2nd edition).
        """
        size = int(self.station.max()) + 1
        fine = np.zeros((size, size), bool)
        for a, b in allowed:
            fine[a, b] = True
        order = np.lexsort((self.ended, self.arrived, self.patient))
        place, who = self.station[order], self.patient[order]
        bad = (who[1:] == who[:-1]) & ~fine[place[:-1], place[1:]]
        wrong = np.bincount(who[1:], bad, minlength=int(who.max()) + 1)
        return np.asarray(wrong[np.unique(who)] == 0)


@dataclass(frozen=True, kw_only=True)
class Gamma:
    """Gamma-distributed times by mean and squared coefficient of variation, as ``service_times``."""

    mean: float
    variation_squared: float

    def __post_init__(self) -> None:
        require(self, mean="(0, inf)", variation_squared="(0, inf)")

    def quantile(self, share: ArrayLike) -> Array:
        """Times below which the given shares lie."""
        shape = 1 / self.variation_squared
        return np.asarray(gamma_law.ppf(share, shape, scale=self.mean / shape))

    def distribution(self, times: ArrayLike) -> Array:
        """Share of times at or below."""
        shape = 1 / self.variation_squared
        return np.asarray(gamma_law.cdf(times, shape, scale=self.mean / shape))


@dataclass(frozen=True, kw_only=True)
class Lognormal:
    """Lognormal times by the median and the spread of the logarithm."""

    median: float
    spread: float

    def __post_init__(self) -> None:
        require(self, median="(0, inf)", spread="(0, inf)")

    def quantile(self, share: ArrayLike) -> Array:
        """Times below which the given shares lie."""
        return np.asarray(lognorm.ppf(share, self.spread, scale=self.median))

    def distribution(self, times: ArrayLike) -> Array:
        """Share of times at or below."""
        return np.asarray(lognorm.cdf(times, self.spread, scale=self.median))


def fit_gamma(times: ArrayLike) -> Fit[Gamma]:
    """Maximum likelihood; the shape solves log k - digamma(k) = log mean - mean log.

    Raises
    ------
    ValueError
        Fewer than two different times, or one that is not positive.
    """
    x = _positive(times, "fit_gamma")
    gap = float(np.log(x.mean()) - np.log(x).mean())
    k = root(lambda v: float(np.log(v) - digamma(v)) - gap, 1e-6, 1e12, what="fit_gamma: shape")
    n, mean = x.size, float(x.mean())
    value = float(
        ((k - 1) * np.log(x) - x * k / mean).sum() - n * (gammaln(k) + k * np.log(mean / k))
    )
    # Information of (mean, k) is diagonal; the variation is 1 / k.
    error_k = 1 / np.sqrt(n * (float(polygamma(1, k)) - 1 / k))
    return Fit(
        model=Gamma(mean=mean, variation_squared=1 / k),
        stderr={"mean": mean / np.sqrt(n * k), "variation_squared": float(error_k) / k**2},
        log_likelihood=value,
        n=n,
    )


def fit_lognormal(times: ArrayLike) -> Fit[Lognormal]:
    """Maximum likelihood, in closed form.

    Raises
    ------
    ValueError
        Fewer than two different times, or one that is not positive.
    """
    x = np.log(_positive(times, "fit_lognormal"))
    centre, spread, n = float(x.mean()), float(x.std()), x.size
    return Fit(
        model=Lognormal(median=float(np.exp(centre)), spread=spread),
        stderr={
            "median": float(np.exp(centre) * spread / np.sqrt(n)),
            "spread": spread / np.sqrt(2 * n),
        },
        log_likelihood=float(-n * (np.log(spread) + 0.5 * np.log(2 * np.pi) + 0.5) - x.sum()),
        n=n,
    )


def distance(times: ArrayLike, law: Gamma | Lognormal) -> float:
    """Largest gap between the recorded and the fitted share at or below any time (Kolmogorov)."""
    x = np.sort(np.asarray(times, float))
    fitted = law.distribution(x)
    above, below = np.arange(1, x.size + 1) / x.size, np.arange(x.size) / x.size
    return float(np.maximum(np.abs(fitted - above), np.abs(fitted - below)).max())


def _positive(times: ArrayLike, what: str) -> Array:
    x = np.asarray(times, float)
    if x.size < 2 or not (x > 0).all() or x.min() == x.max():
        worst = x.min() if x.size else np.nan
        raise ValueError(
            f"{what}: two or more different times above 0 are wanted, got {x.size}, least {worst:g}"
        )
    return x

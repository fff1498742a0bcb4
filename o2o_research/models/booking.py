"""Who will not come, and how many to book for a session that must be neither empty nor overrun.

No-shows: a logistic model in the log of the lead time and other knowns, tested out of time.
Overbooking: the newsvendor rule for a random number of shows, exact by enumeration; LaGanga &
Lawrence (2007), Clinic overbooking to improve patient access and increase provider
productivity, Decision Sciences 38:251-276, set out the trade-off.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, xlogy
from scipy.stats import binom, chi2

from o2o_research.domain import require
from o2o_research.models.numerics import Fit, hessian, minimise

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class NoShow:
    """Probability that a booked patient does not come: logit p = b_0 + b . x.

    Parameters
    ----------
    intercept : float [b_0]
    slopes : ndarray, shape (knowns,) [b]

    Examples
    --------
    >>> float(NoShow(intercept=0.0, slopes=np.array([1.0])).probability([[0.0]])[0])
    0.5
    """

    intercept: float
    slopes: Array

    def __post_init__(self) -> None:
        require(self, intercept="(-inf, inf)", slopes="(-inf, inf)")

    def probability(self, knowns: ArrayLike) -> Array:
        """Chance of a no-show for each row of ``knowns``, shape (bookings, knowns)."""
        return np.asarray(expit(self.intercept + np.asarray(knowns, float) @ self.slopes))


def lead_time_knowns(lead_days: ArrayLike) -> Array:
    """Same-day booking (0 or 1) and the log of one plus the lead time in days. Shape (n, 2).

    Same-day patients are on their way already: a curve in the lead time alone misses that step.

    Raises
    ------
    ValueError
        A visit before its booking.
    """
    lead = np.asarray(lead_days, float)
    if not (lead >= 0).all():
        raise ValueError(f"lead_time_knowns: lead_days={lead[~(lead >= 0)][0]:g} must be >= 0")
    return np.column_stack([(lead == 0).astype(float), np.log1p(lead)])


def fit_no_show(knowns: ArrayLike, missed: ArrayLike, *, ridge: float = 1e-6) -> Fit[NoShow]:
    """Maximum likelihood, on standardised columns, with a ridge too small to matter but for columns
    that split the data perfectly.

    Parameters
    ----------
    knowns : ndarray, shape (bookings, knowns)
    missed : ndarray of bool, shape (bookings,)

    Returns
    -------
    Fit[NoShow]; ``stderr`` by ``intercept`` and ``slope_0`` ...

    Raises
    ------
    ValueError
        Shapes that disagree, values that are not finite, a constant column or outcome.
    """
    x, y = np.asarray(knowns, float), np.asarray(missed, float)
    if x.ndim != 2 or y.shape != x.shape[:1]:
        raise ValueError(f"fit_no_show: knowns {x.shape} and missed {y.shape} disagree")
    if not (np.isfinite(x).all() and np.isin(y, (0, 1)).all()):
        raise ValueError("fit_no_show: knowns must be finite and missed 0 or 1")
    centre, scale = x.mean(axis=0), x.std(axis=0)
    if not (scale > 0).all() or y.min() == y.max():
        raise ValueError("fit_no_show: a known, or the outcome, never varies")
    z = np.column_stack([np.ones(len(y)), (x - centre) / scale])

    def slope(b: Array) -> Array:
        return np.asarray(z.T @ (expit(z @ b) - y) / len(y) + ridge * np.r_[0.0, b[1:]])

    def loss(b: Array) -> tuple[float, Array]:
        u = z @ b
        value = (np.logaddexp(0, u) - y * u).mean() + ridge / 2 * (b[1:] @ b[1:])
        return float(value), slope(b)

    start = np.r_[np.log(y.mean() / (1 - y.mean())), np.zeros(x.shape[1])]
    b, _ = minimise(loss, start, gradient=True, what="fit_no_show")
    # Back to the knowns as given: a linear map of the estimates and of their covariance.
    back = np.diag(np.r_[1.0, 1 / scale])
    back[0, 1:] = -centre / scale
    covariance = back @ np.linalg.inv(hessian(slope, b) * len(y)) @ back.T
    given = back @ b
    names = ["intercept", *(f"slope_{k}" for k in range(x.shape[1]))]
    p = expit(z @ b)
    return Fit(
        model=NoShow(intercept=float(given[0]), slopes=given[1:]),
        stderr=dict(zip(names, np.sqrt(np.diag(covariance)).tolist(), strict=True)),
        log_likelihood=float((xlogy(y, p) + xlogy(1 - y, 1 - p)).sum()),
        n=len(y),
        covariance=covariance,
    )


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Forecast probabilities against what happened.

    Parameters
    ----------
    probability : ndarray, shape (n,), in [0, 1]
    missed : ndarray of bool, shape (n,)
    """

    probability: Array
    missed: NDArray[np.bool_]

    def __post_init__(self) -> None:
        require(self, probability="[0, 1]")

    @property
    def brier(self) -> float:
        """Mean squared error of the probabilities (Brier 1950)."""
        return float(np.mean((self.probability - self.missed) ** 2))

    def skill(self, base_rate: float) -> float:
        """Share of the Brier score of a constant forecast ``base_rate`` that is saved."""
        return 1 - self.brier / float(np.mean((base_rate - self.missed) ** 2))

    @property
    def discrimination(self) -> float:
        """Chance that a no-show had the higher probability of a pair (area under the curve)."""
        order = np.argsort(self.probability, kind="stable")
        _, first, count = np.unique(self.probability[order], return_index=True, return_counts=True)
        rank = np.repeat(first + (count + 1) / 2, count)
        hits = self.missed[order]
        ones, zeros = hits.sum(), (~hits).sum()
        return float((rank[hits].sum() - ones * (ones + 1) / 2) / (ones * zeros))

    def calibration(self, groups: int = 10) -> tuple[Array, Array, Array]:
        """Mean forecast, share missed and size by groups of rising probability."""
        split = np.array_split(np.argsort(self.probability, kind="stable"), groups)
        return (
            np.array([self.probability[s].mean() for s in split]),
            np.array([self.missed[s].mean() for s in split]),
            np.array([float(s.size) for s in split]),
        )

    def calibration_p_value(self, groups: int = 10) -> float:
        """Hosmer & Lemeshow (1980) on data the model has not seen: chi-square of ``groups``."""
        forecast, seen, size = self.calibration(groups)
        statistic = (size * (seen - forecast) ** 2 / (forecast * (1 - forecast))).sum()
        return float(chi2.sf(statistic, groups))


@dataclass(frozen=True, kw_only=True)
class Overbooking:
    """A session of so many places in which each booked patient comes or not, independently.

    Parameters
    ----------
    places : int or ndarray of int
        Patients the session can see, >= 1. [c]
    no_show_share : float or ndarray
        Chance that a booked patient does not come, in [0, 1). [p]
    idle_cost : float or ndarray
        Yuan lost for an empty place, > 0. [c_u]
    overtime_cost : float or ndarray
        Yuan lost for a patient beyond the places, > 0. [c_o]

    Examples
    --------
    Twenty places, a fifth do not come, a patient too many hurts twice as much as an empty place:

    >>> session = Overbooking(places=20, no_show_share=0.2, idle_cost=1.0, overtime_cost=2.0)
    >>> int(session.best_bookings)
    24
    """

    places: ArrayLike
    no_show_share: ArrayLike
    idle_cost: ArrayLike
    overtime_cost: ArrayLike

    def __post_init__(self) -> None:
        require(
            self,
            places="[1, inf)",
            no_show_share="[0, 1)",
            idle_cost="(0, inf)",
            overtime_cost="(0, inf)",
        )

    def cost(self, bookings: ArrayLike) -> Array:
        """Expected yuan lost with so many booked: c_u E(c - S)^+ + c_o E(S - c)^+, S binomial."""
        n, c = np.asarray(bookings, float), np.asarray(self.places, float)
        show = 1 - np.asarray(self.no_show_share, float)
        # E(S - c)^+ = E S 1{S > c} - c P(S > c), and E S 1{S > c} = n q P(S' > c - 1), S' ~ B(n-1, q).
        over = n * show * binom.sf(c - 1, np.maximum(n - 1, 0), show) - c * binom.sf(c, n, show)
        over = np.where(n > c, over, 0.0)
        idle = over - n * show + c
        return np.asarray(np.asarray(self.idle_cost) * idle + np.asarray(self.overtime_cost) * over)

    @property
    def best_bookings(self) -> NDArray[np.int64]:
        """The number to book: one more pays while P(S >= c) < c_u / (c_u + c_o).

        The newsvendor's critical ratio with the number booked in the place of stock: the
        marginal cost of the n-th booking is q (c_o P(S' >= c) - c_u P(S' < c)), S' ~ B(n-1, q).
        """
        show = 1 - np.asarray(self.no_show_share, float)
        c = np.asarray(self.places, float)
        cu, co = np.asarray(self.idle_cost, float), np.asarray(self.overtime_cost, float)
        ratio = cu / (cu + co)
        shape = np.broadcast_shapes(show.shape, c.shape, ratio.shape)
        low = np.broadcast_to(np.floor(c), shape).astype(np.int64).copy()
        # P(S' >= c) rises in n: bisect between c and a number that surely overshoots.
        high = (low / np.broadcast_to(show, shape) * 2 + 60).astype(np.int64)
        while (high - low > 1).any():
            middle = (low + high) // 2
            worth = binom.sf(c - 1, middle - 1, show) < ratio
            low, high = np.where(worth, middle, low), np.where(worth, high, middle)
        return low

    @property
    def saved(self) -> Array:
        """Yuan a session saves by overbooking at its best instead of booking the places."""
        return self.cost(self.places) - self.cost(self.best_bookings)

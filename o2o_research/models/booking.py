"""Who will not come, and how many to book for a session that must be neither empty nor overrun.

No-shows: a logistic model in the log of the lead time and other knowns, tested out of time.
Overbooking: the newsvendor rule for a random number of shows, exact by enumeration; LaGanga &
Lawrence (2007), Clinic overbooking to improve patient access and increase provider
productivity, Decision Sciences 38:251-276, set out the trade-off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from scipy.stats import binom, chi2

from o2o_research.domain import require
from o2o_research.models.likelihood import fit_logit
from o2o_research.models.numerics import Fit, root

Array = NDArray[np.float64]
Indices = NDArray[np.int64]


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
    logit = fit_logit(knowns, missed, ridge=ridge, what="fit_no_show", outcome="missed")
    return Fit(
        model=NoShow(intercept=float(logit.model[0]), slopes=logit.model[1:]),
        stderr=logit.stderr,
        log_likelihood=logit.log_likelihood,
        n=logit.n,
        covariance=logit.covariance,
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


def fill_sessions(
    no_show_share: ArrayLike, *, places: int, idle_cost: float, overtime_cost: float
) -> Indices:
    """Where each session ends when requests are taken in turn by the newsvendor rule.

    Every request has a chance of its own not to be followed by a visit, so the number of shows
    is a sum of unlike coins (Poisson binomial), convolved one request at a time; a session takes
    one more while P(S >= c) < c_u / (c_u + c_o). With equal chances this is
    ``Overbooking.best_bookings``; with chances of 0 it books the places.

    Parameters
    ----------
    no_show_share : ndarray, shape (requests,), in [0, 1), in the order in which they are booked
    places, idle_cost, overtime_cost : as in ``Overbooking``, one number each

    Returns
    -------
    ndarray of int, shape (sessions + 1,), from 0; the last session, if not full, is left out

    Examples
    --------
    >>> fill_sessions([0.0, 0.0, 0.5, 0.5, 0.0], places=2, idle_cost=1, overtime_cost=1).tolist()
    [0, 2, 5]
    """
    Overbooking(
        places=places, no_show_share=no_show_share, idle_cost=idle_cost, overtime_cost=overtime_cost
    )
    shares = np.ascontiguousarray(no_show_share, float)
    return np.asarray(_fill(shares, int(places), float(idle_cost / (idle_cost + overtime_cost))))


@njit(cache=True)
def _fill(shares, places, ratio):  # type: ignore[no-untyped-def]  # pragma: no cover
    ends = np.zeros(shares.size + 1, np.int64)
    chance = np.zeros(places + 1)  # of 0 ... c - 1 shows; the last entry: c or more
    chance[0] = 1.0
    session = 0
    for request in range(shares.size):
        show = 1 - shares[request]
        chance[places] += show * chance[places - 1]
        for k in range(places - 1, 0, -1):
            chance[k] = (1 - show) * chance[k] + show * chance[k - 1]
        chance[0] *= 1 - show
        if request + 1 - ends[session] >= places and chance[places] >= ratio:
            session += 1
            ends[session] = request + 1
            chance[:] = 0.0
            chance[0] = 1.0
    return ends[: session + 1].copy()


def session_costs(
    ends: ArrayLike, missed: ArrayLike, *, places: int, idle_cost: float, overtime_cost: float
) -> Array:
    """What each session turned out to cost, given who did not come. Shape (sessions,).

    Parameters
    ----------
    ends : as ``fill_sessions`` gives them
    missed : ndarray of bool, shape (requests,)
    """
    cuts = np.asarray(ends, np.int64)
    came = np.concatenate([[0], np.cumsum(~np.asarray(missed, bool))])[cuts]
    over = np.diff(came) - places
    return np.asarray(idle_cost * np.maximum(-over, 0) + overtime_cost * np.maximum(over, 0), float)


def synthetic_appointments(
    bookings: int,
    rng: np.random.Generator,
    *,
    no_show_share: float,
    same_day_effect: float,
    lead_effect: float,
    same_day_share: float,
    mean_lead: float,
    days: int = 60,
) -> dict[str, NDArray[Any]]:
    """Appointments of which a share are booked for the same day and the others geometrically ahead.

    The law is that of ``lead_time_knowns`` with the slopes given and the intercept at which the
    mean chance is ``no_show_share``.

    Returns
    -------
    dict of ``lead_days``, ``visit_day`` (in order) and ``missed``, shape (bookings,)
    """
    ahead = rng.geometric(1 / mean_lead, bookings)
    lead = np.where(rng.random(bookings) < same_day_share, 0, ahead).astype(float)
    knowns = lead_time_knowns(lead)
    slopes = np.array([same_day_effect, lead_effect])
    intercept = root(
        lambda b: float(expit(b + knowns @ slopes).mean()) - no_show_share,
        -30.0,
        30.0,
        what="synthetic_appointments: intercept",
    )
    chance = NoShow(intercept=intercept, slopes=slopes).probability(knowns)
    return {
        "lead_days": lead,
        "visit_day": np.sort(rng.integers(0, days, bookings)),
        "missed": rng.random(bookings) < chance,
    }


def probability_draws(
    fit: Fit[NoShow], knowns: ArrayLike, draws: int, rng: np.random.Generator
) -> Array:
    """Fitted chances and how they might be otherwise: the estimate first, then draws.

    Shape (rows, draws + 1); coefficients from the estimator's normal law.
    """
    best = np.r_[fit.model.intercept, fit.model.slopes]
    assert fit.covariance is not None
    drawn = rng.multivariate_normal(best, fit.covariance, draws)
    x = np.asarray(knowns, float)
    table = np.column_stack([np.ones(len(x)), x]) @ np.column_stack([best, drawn.T])
    return np.asarray(expit(table))

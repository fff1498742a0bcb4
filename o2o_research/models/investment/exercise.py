"""When to exercise: a policy by least-squares Monte Carlo, and bounds on what it leaves open.

Longstaff & Schwartz (2001), Review of Financial Studies 14, 113-147: the value of going on is
regressed on the state, over the paths in the money, from the last date back. Valued on the paths
it was fitted on a policy looks too good; on others it can only fall short of the best one. The
dual of Andersen & Broadie (2004) bounds the best from above, so that both together say how good
the policy is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from o2o_research.models.numerics import Array

Payoff = Callable[[Array], Array]
Advance = Callable[[Array, int, np.random.Generator], Array]
Claim = Callable[[Array, int], Array]


class Regression(NamedTuple):
    """The value of going on at one date, as a polynomial of the state.

    date : number of the exercise date, from 0
    coefficients : ndarray, shape (degree + 1,), in powers of the state, lowest first
    paths : how many were in the money
    value : mean over the paths so far of what the policy pays from this date on, as of this date
    """

    date: int
    coefficients: Array
    paths: int
    value: float


class Valuation(NamedTuple):
    """A Monte Carlo mean and its standard error."""

    value: float
    stderr: float


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Exercise where the payoff is above 0 and at least the fitted value of going on.

    Parameters
    ----------
    payoff : function of an array of states
    discount : factor from one date to the date before, and from the first date to now
    coefficients : ndarray, shape (dates - 1, degree + 1); not-a-number where no path was in the
        money, and the policy goes on
    """

    payoff: Payoff
    discount: float
    coefficients: Array

    @property
    def dates(self) -> int:
        """Exercise dates."""
        return len(self.coefficients) + 1

    def exercises(self, date: int, state: Array, payoff: Array | None = None) -> NDArray[np.bool_]:
        """Whether to exercise at ``date`` in each state. Bool, shape of ``state``."""
        paid = self.payoff(state) if payoff is None else payoff
        if date == self.dates - 1:
            return np.ones(np.shape(state), bool)
        going_on = np.polynomial.polynomial.polyval(state, self.coefficients[date])
        return np.asarray((paid > 0) & (paid >= going_on), bool)

    def receipts(self, paths: Array) -> Array:
        """What each path pays, as of now. ``paths`` of shape (dates, paths)."""
        table = _checked("Policy", paths)
        if table.shape[0] != self.dates:
            raise ValueError(f"Policy: {self.dates} dates wanted, got {table.shape[0]}")
        received = np.zeros(table.shape[1])
        open_ = np.ones(table.shape[1], bool)
        for date, state in enumerate(table):
            paid = self.payoff(state)
            now = open_ & self.exercises(date, state, paid)
            received[now] = self.discount ** (date + 1) * paid[now]
            open_ &= ~now
        return received

    def value(self, paths: Array) -> Valuation:
        """Mean over ``paths`` other than those fitted on: a lower bound of the best policy's."""
        return _mean(self.receipts(paths))

    def upper_bound(
        self,
        start: float,
        advance: Advance,
        rng: np.random.Generator,
        *,
        outer: int = 400,
        inner: int = 200,
        control: Claim | None = None,
    ) -> Valuation:
        """No policy is worth more: the dual of Andersen & Broadie (2004), by nested simulation.

        Along each outer path the martingale part of the policy's value is what its holder may
        know; even with it, and the whole path in sight, nobody gets more than the mean of
        max_t (payoff_t - martingale_t), as of now. Inner paths that are too few only widen it.

        Parameters
        ----------
        start : state now
        advance : state, date, rng -> a state at that exercise date, drawn from the one before
        outer, inner : paths, and paths from each point of each
        control : state, date (-1 is now) -> value at that date of a claim that may not be
            exercised early; sold where the policy stops, it takes most of the inner noise away
        """
        state = np.full(outer, float(start))
        martingale, best = np.zeros(outer), np.full(outer, -np.inf)
        going_on = self._going_on(state, -1, advance, inner, rng, control)
        for date in range(self.dates):
            state = advance(state, date, rng)
            paid = self.payoff(state)
            now = self.exercises(date, state, paid)
            after = (
                self._going_on(state, date, advance, inner, rng, control)
                if date < self.dates - 1
                else np.zeros(outer)
            )
            held = np.where(now, paid, after)
            martingale += self.discount ** (date + 1) * held - self.discount**date * going_on
            best = np.maximum(best, self.discount ** (date + 1) * paid - martingale)
            going_on = after
        return _mean(best)

    def _going_on(
        self,
        state: Array,
        date: int,
        advance: Advance,
        inner: int,
        rng: np.random.Generator,
        control: Claim | None,
    ) -> Array:
        """Mean receipts after ``date`` from each state, as of that date, over ``inner`` paths."""
        at = np.repeat(state, inner)
        received, place = np.zeros(at.size), np.arange(at.size)
        for later in range(date + 1, self.dates):
            at = advance(at, later, rng)
            paid = self.payoff(at)
            now = self.exercises(later, at, paid)
            worth = paid[now] if control is None else paid[now] - control(at[now], later)
            received[place[now]] = self.discount ** (later - date) * worth
            at, place = at[~now], place[~now]
            if not at.size:
                break
        mean = received.reshape(state.size, inner).mean(axis=1)
        return np.asarray(mean if control is None else mean + control(state, date))


def least_squares_steps(
    paths: ArrayLike, payoff: Payoff, discount: float, *, degree: int = 2
) -> Iterator[Regression]:
    """Longstaff and Schwartz's backward steps, one regression a date, the last but one first.

    Parameters
    ----------
    paths : ndarray, shape (dates, paths)
        The state at the exercise dates.
    payoff : what exercise pays in a state
    discount : factor from one date to the date before, in (0, 1]
    degree : of the polynomial

    Examples
    --------
    The paper's eight paths, date 1 (its equation in the text of section 1):

    >>> paths = np.array([[1.09, 1.16, 1.22, 0.93, 1.11, 0.76, 0.92, 0.88],
    ...                   [1.08, 1.26, 1.07, 0.97, 1.56, 0.77, 0.84, 1.22],
    ...                   [1.34, 1.54, 1.03, 0.92, 1.52, 0.90, 1.01, 1.34]])
    >>> put = lambda price: np.maximum(1.10 - price, 0.0)
    >>> first, second = least_squares_steps(paths, put, np.exp(-0.06))
    >>> second.coefficients.round(3).tolist()
    [2.038, -3.335, 1.356]
    """
    table = _checked("least_squares_steps", paths)
    if not 0 < discount <= 1:
        raise ValueError(f"least_squares_steps: discount={discount:g} must lie in (0, 1]")
    receipts = np.asarray(payoff(table[-1]), float).copy()
    for date in range(table.shape[0] - 2, -1, -1):
        state = np.ascontiguousarray(table[date])
        paid = np.asarray(payoff(state), float)
        coefficients, used = _regress(state, receipts, paid, discount, degree)
        _exercise(state, receipts, paid, discount, coefficients)
        yield Regression(date, coefficients, used, float(receipts.mean()))


def fit_policy(paths: ArrayLike, payoff: Payoff, discount: float, *, degree: int = 3) -> Policy:
    """The policy of the last step; value it on other paths.

    Raises
    ------
    ValueError
        If the paths are not finite or have fewer than two dates.
    """
    table = _checked("fit_policy", paths)
    coefficients = np.full((table.shape[0] - 1, degree + 1), np.nan)
    for step in least_squares_steps(table, payoff, discount, degree=degree):
        coefficients[step.date] = step.coefficients
    return Policy(payoff=payoff, discount=discount, coefficients=coefficients)


def _checked(what: str, paths: ArrayLike) -> Array:
    table = np.asarray(paths, float)
    if table.ndim != 2 or table.shape[0] < 2 or not table.shape[1]:
        raise ValueError(f"{what}: paths of shape (dates >= 2, paths) wanted; got {table.shape}")
    if not all(np.isfinite(row).all() for row in table):  # a row at a time: no copy of the table
        raise ValueError(f"{what}: paths must be finite")
    return table


def _mean(values: Array) -> Valuation:
    return Valuation(float(values.mean()), float(values.std(ddof=1) / np.sqrt(values.size)))


def _regress(
    state: Array, receipts: Array, paid: Array, discount: float, degree: int
) -> tuple[Array, int]:
    """Polynomial of the discounted receipts over the paths in the money."""
    used, centre, width = _moments(state, paid)
    terms = min(degree, used - 1)
    answer = np.full(degree + 1, np.nan)
    if used == 0:
        return answer, 0
    width = width or 1.0
    powers, products = _sums(state, receipts, paid, discount, terms, centre, width)
    gram = powers[np.add.outer(np.arange(terms + 1), np.arange(terms + 1))]
    standard = np.linalg.lstsq(gram, products, rcond=1e-13)[0]
    # From powers of the standardised state to powers of the state.
    line = np.polynomial.Polynomial([-centre / width, 1.0 / width])
    answer[:] = 0.0
    found = np.polynomial.Polynomial(standard)(line).coef
    answer[: found.size] = found
    return answer, used


@njit(cache=True)
def _moments(state: Array, paid: Array) -> tuple[int, float, float]:
    used, total, square = 0, 0.0, 0.0
    for i in range(state.size):
        if paid[i] > 0.0:
            used += 1
            total += state[i]
    if used == 0:
        return 0, 0.0, 1.0
    centre = total / used
    for i in range(state.size):
        if paid[i] > 0.0:
            square += (state[i] - centre) ** 2
    return used, centre, np.sqrt(square / used)


@njit(cache=True)
def _sums(
    state: Array,
    receipts: Array,
    paid: Array,
    discount: float,
    degree: int,
    centre: float,
    width: float,
) -> tuple[Array, Array]:
    powers, products = np.zeros(2 * degree + 1), np.zeros(degree + 1)
    for i in range(state.size):
        if paid[i] > 0.0:
            z, y, power = (state[i] - centre) / width, discount * receipts[i], 1.0
            for m in range(2 * degree + 1):
                powers[m] += power
                if m <= degree:
                    products[m] += power * y
                power *= z
    return powers, products


@njit(cache=True)
def _exercise(
    state: Array, receipts: Array, paid: Array, discount: float, coefficients: Array
) -> None:
    """Receipts as of this date, of those who exercise and of those who go on."""
    for i in range(state.size):
        receipts[i] *= discount
        if paid[i] > 0.0 and not np.isnan(coefficients[0]):
            going_on = 0.0
            for m in range(coefficients.size - 1, -1, -1):
                going_on = going_on * state[i] + coefficients[m]
            if paid[i] >= going_on:
                receipts[i] = paid[i]


def lognormal_paths(
    start: float,
    drift: float,
    volatility: float,
    times: ArrayLike,
    paths: int,
    rng: np.random.Generator,
) -> Array:
    """Geometric Brownian motion at ``times``. Shape (len(times), paths).

    Parameters
    ----------
    start : value now, > 0
    drift : continuous growth a year; the riskless rate less the payout where risk is priced in
    volatility : a year, >= 0
    times : years, increasing, > 0
    """
    steps = np.diff(np.r_[0.0, np.asarray(times, float)])
    if not (steps > 0).all() or not start > 0 or volatility < 0:
        raise ValueError(
            f"lognormal_paths: start={start:g} must be > 0, volatility={volatility:g} >= 0 and times increasing"
        )
    table = np.empty((steps.size, paths))
    at = np.full(paths, np.log(start))
    for row, dt in zip(table, steps, strict=True):
        rng.standard_normal(out=row)
        row *= volatility * np.sqrt(dt)
        row += (drift - 0.5 * volatility**2) * dt
        at += row
        np.exp(at, out=row)
    return table

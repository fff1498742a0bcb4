"""What a stream of cash flows is worth: net present value, every rate of return, payback, trough."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from o2o_research.models.numerics import Array


def _streams(what: str, flows: ArrayLike) -> Array:
    table = np.asarray(flows, float)
    if table.ndim not in (1, 2) or not table.shape[0] or not np.isfinite(table).all():
        raise ValueError(
            f"{what}: finite flows of shape (periods,) or (periods, draws) wanted; got shape {table.shape}"
        )
    return table


def npv(flows: ArrayLike, rate: ArrayLike) -> Array:
    """Net present value: sum of c_t (1 + r)^-t, the first flow now.

    Parameters
    ----------
    flows : ndarray, shape (periods,) or (periods, draws)
        Yuan in each period. [c]
    rate : float or ndarray, shape (draws,)
        Discount rate a period, > -1. [r]

    Returns
    -------
    ndarray, shape () or (draws,)

    Examples
    --------
    >>> round(float(npv([-100.0, 60.0, 60.0], 0.1)), 4)
    4.1322
    """
    return np.asarray(discounted(flows, rate).sum(axis=0))


def discounted(flows: ArrayLike, rate: ArrayLike) -> Array:
    """Each flow as of now: c_t (1 + r)^-t. Shape of ``flows`` (and of ``rate``, as draws)."""
    table, r = _streams("discounted", flows), np.asarray(rate, float)
    if not (r > -1).all():
        raise ValueError(f"npv: rate={r.min():g} must lie in (-1, inf)")
    t = np.arange(table.shape[0], dtype=float).reshape(-1, *[1] * max(table.ndim - 1, r.ndim))
    return np.asarray((table if table.ndim > 1 or not r.ndim else table[:, None]) / (1.0 + r) ** t)


class Rates(NamedTuple):
    """Every real rate of return above -1 of each stream.

    number : ndarray of int, shape (draws,), how many there are; a double one counts once
    values : ndarray, shape (most, draws), ascending, not-a-number where there are fewer
    """

    number: NDArray[np.int64]
    values: Array

    @property
    def only(self) -> Array:
        """The rate where there is exactly one, else not-a-number. Shape (draws,)."""
        if not self.values.shape[0]:
            return np.full(self.number.shape, np.nan)
        return np.where(self.number == 1, self.values[0], np.nan)


def rates_of_return(flows: ArrayLike) -> Array:
    """Every real rate above -1 at which one stream is worth nothing, ascending.

    None, one or many. In x = 1 / (1 + r) the present value is a polynomial; between two zeros of
    its derivative it has at most one zero (Rolle), and so from the highest derivative down all
    are found, double ones too. Rates below 0 are sought in 1 + r, so that nothing overflows.

    Parameters
    ----------
    flows : ndarray, shape (periods,)

    Raises
    ------
    ValueError
        If every flow is 0: then every rate would do.

    Examples
    --------
    >>> rates_of_return([-100.0, 230.0, -132.0]).round(6).tolist()
    [0.1, 0.2]
    >>> rates_of_return([-100.0, 200.0, -110.0]).tolist()
    []
    """
    rates = every_rate(_streams("rates_of_return", flows).reshape(-1, 1))
    return rates.values[: int(rates.number[0]), 0]


def every_rate(flows: ArrayLike) -> Rates:
    """``rates_of_return`` of many streams at once.

    Parameters
    ----------
    flows : ndarray, shape (periods, draws)

    Raises
    ------
    ValueError
        If a stream has no flow but 0.
    """
    table = _streams("every_rate", flows)
    table = table.reshape(table.shape[0], -1)
    if not table.any(axis=0).all():
        dead = int(np.flatnonzero(~table.any(axis=0))[0])
        raise ValueError(f"every_rate: all flows of stream {dead} are 0, so every rate would do")
    found, count = _all_rates(np.ascontiguousarray(table.T))
    most = int(count.max(initial=0))
    return Rates(count, np.sort(found, axis=1).T[:most])


@njit(cache=True)
def _value(c: Array, degree: int, x: float) -> tuple[float, float]:
    """A polynomial at x, and the sum of the sizes of its terms."""
    total, size = 0.0, 0.0
    for i in range(degree, -1, -1):
        total = total * x + c[i]
        size = size * x + abs(c[i])
    return total, size


@njit(cache=True)
def _unit_zeros(c: Array, out: Array) -> int:
    """Zeros of sum c_i x^i on (0, 1], ascending, into ``out``; how many."""
    degree = c.size - 1
    while degree > 0 and c[degree] == 0.0:
        degree -= 1
    # Derivatives from the given polynomial to the linear one, each scaled to a largest 1.
    levels = np.zeros((degree + 1, degree + 1))
    for i in range(degree + 1):
        levels[0, i] = c[i]
    for d in range(1, degree + 1):
        most = 0.0
        for i in range(degree + 1 - d):
            levels[d, i] = levels[d - 1, i + 1] * (i + 1)
            most = max(most, abs(levels[d, i]))
        if most > 0.0:
            for i in range(degree + 1 - d):
                levels[d, i] /= most
    turning = np.empty(degree + 2)
    turns = 0
    for d in range(degree - 1, -1, -1):
        edges = np.empty(turns + 2)
        edges[0] = 0.0
        for j in range(turns):
            edges[j + 1] = turning[j]
        edges[turns + 1] = 1.0
        kept = 0
        found = np.empty(turns + 2)
        for j in range(turns + 1):
            left, right = edges[j], edges[j + 1]
            at_left, size_left = _value(levels[d], degree - d, left)
            at_right, size_right = _value(levels[d], degree - d, right)
            # A double zero touches where the derivative vanishes.
            flat_right = abs(at_right) <= 1e-13 * size_right
            flat_left = abs(at_left) <= 1e-13 * size_left
            if flat_right:
                if right > 0.0 and (kept == 0 or found[kept - 1] < right - 1e-12):
                    found[kept] = right
                    kept += 1
                continue
            if flat_left or at_left * at_right > 0.0:
                continue
            for _ in range(80):
                middle = 0.5 * (left + right)
                at_middle, _size = _value(levels[d], degree - d, middle)
                if at_left * at_middle <= 0.0:
                    right = middle
                else:
                    left, at_left = middle, at_middle
            found[kept] = 0.5 * (left + right)
            kept += 1
        turns = kept
        for j in range(kept):
            turning[j] = found[j]
    for j in range(turns):
        out[j] = turning[j]
    return turns


@njit(cache=True)
def _all_rates(streams: Array) -> tuple[Array, NDArray[np.int64]]:
    draws, periods = streams.shape
    found = np.full((draws, 2 * periods), np.nan)
    count = np.zeros(draws, np.int64)
    zeros = np.empty(periods + 2)
    for k in range(draws):
        first, last = 0, periods - 1
        while streams[k, first] == 0.0:
            first += 1
        while streams[k, last] == 0.0:
            last -= 1
        c = streams[k, first : last + 1].copy()
        if c.size < 2:
            continue
        n = _unit_zeros(c, zeros)
        for j in range(n):
            found[k, count[k]] = 1.0 / zeros[j] - 1.0
            count[k] += 1
        n = _unit_zeros(c[::-1].copy(), zeros)
        for j in range(n):
            if zeros[j] < 1.0 - 1e-12:
                found[k, count[k]] = zeros[j] - 1.0
                count[k] += 1
    return found, count


def payback(flows: ArrayLike, rate: ArrayLike = 0.0) -> Array:
    """Periods after which the discounted sum of flows stays at or above 0; inf where it never does.

    Within a period by a straight line. A stream that is never below pays back at once, 0. One
    that recovers and falls again has not paid back until it recovers for good.

    Examples
    --------
    >>> float(payback([-100.0, 60.0, 80.0]))
    1.5
    """
    sums = np.cumsum(discounted(flows, rate), axis=0)
    table = sums.reshape(sums.shape[0], -1)
    below = table < 0
    last = table.shape[0] - 1 - below[::-1].argmax(axis=0)
    column = np.arange(table.shape[1])
    after = np.minimum(last + 1, table.shape[0] - 1)
    down, up = table[last, column], table[after, column]
    share = np.divide(-down, up - down, out=np.zeros_like(down), where=up > down)
    periods = np.where(below.any(axis=0), np.where(below[-1], np.inf, last + share), 0.0)
    return np.asarray(periods.reshape(sums.shape[1:]))


class Trough(NamedTuple):
    """The deepest point of a J-curve: how much was laid out in all by then, and when.

    depth : yuan, >= 0
    period : number of the period at whose end it is reached
    """

    depth: Array
    period: NDArray[np.int64]


def trough(flows: ArrayLike, rate: ArrayLike = 0.0) -> Trough:
    """The lowest sum of discounted flows: the money that must be there.

    Examples
    --------
    >>> deepest = trough([-100.0, -40.0, 60.0, 120.0])
    >>> float(deepest.depth), int(deepest.period)
    (140.0, 1)
    """
    sums = np.cumsum(discounted(flows, rate), axis=0)
    return Trough(np.maximum(-sums.min(axis=0), 0.0), sums.argmin(axis=0))

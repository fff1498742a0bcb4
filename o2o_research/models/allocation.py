"""A budget over channels and countries whose response to spending levels off.

Where every response is concave, the best split fills outlets like water to one level: all
that are in use earn the same on their last yuan (Karush, Kuhn & Tucker; "water-filling").
Where some respond only above a threshold, that rule can hold at a poor split, and the search
is global: branch and bound on concave envelopes (Falk & Soland 1969), with its gap.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import ArrayLike

from o2o_research.domain import require
from o2o_research.models.numerics import Array, NotConverged


class Split(NamedTuple):
    """How a budget is spent.

    Parameters
    ----------
    spend : ndarray, shape (outlets,), yuan
    gain : contribution before the spend, yuan
    profit : gain less spend, yuan
    budget_value : what the last yuan of budget earns above itself; 0 where it is not all spent
    room_values : ndarray, shape (outlets,), what one more yuan of room would earn
    bound : no split's profit is above
    gap : bound less profit; 0 where the split is the best by its conditions
    """

    spend: Array
    gain: float
    profit: float
    budget_value: float
    room_values: Array
    bound: float
    gap: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Response:
    """Contribution from spending s in each outlet: C s^h / (k^h + s^h) (Hill; Little 1979).

    Concave where the shape h is at most 1; S-shaped above: little happens below a threshold.

    Parameters
    ----------
    ceiling : ndarray, shape (outlets,), contribution that no spend exceeds, yuan, > 0 [C]
    half_spend : ndarray, shape (outlets,), spend that brings half of it, yuan, > 0 [k]
    shape : ndarray, shape (outlets,), in [.2, 8] [h]
    room : ndarray, shape (outlets,), most that can be spent there, yuan, >= 0: capacity

    Examples
    --------
    >>> shop = Response(ceiling=np.array([100.0]), half_spend=np.array([10.0]),
    ...                 shape=np.array([1.0]), room=np.array([50.0]))
    >>> shop.gain(np.array([10.0])).tolist(), shop.slope(np.array([10.0])).tolist()
    ([50.0], [2.5])
    """

    ceiling: Array
    half_spend: Array
    shape: Array
    room: Array

    def __post_init__(self) -> None:
        shapes = {np.shape(v) for v in (self.ceiling, self.half_spend, self.shape, self.room)}
        if len(shapes) > 1 or len(next(iter(shapes))) != 1:
            raise ValueError(f"Response: one number an outlet is wanted, found shapes {shapes}")
        require(self, ceiling="(0, inf)", half_spend="(0, inf)", shape="[0.2, 8]", room="[0, inf)")

    def gain(self, spend: ArrayLike) -> Array:
        """Contribution, yuan, shape (outlets,)."""
        s = np.asarray(spend, float)
        with np.errstate(divide="ignore"):
            return np.asarray(self.ceiling / (1.0 + (self.half_spend / s) ** self.shape))

    def slope(self, spend: ArrayLike) -> Array:
        """What one more yuan brings, shape (outlets,); infinite at 0 below shape 1."""
        s, h = np.asarray(spend, float), self.shape
        with np.errstate(divide="ignore", invalid="ignore"):
            y = (s / self.half_spend) ** h
            inner = self.ceiling * h * y / (s * (1.0 + y) ** 2)
        at_zero = np.where(h < 1, np.inf, np.where(h == 1, self.ceiling / self.half_spend, 0.0))
        return np.asarray(np.where(s > 0, inner, at_zero))

    @property
    def bend(self) -> Array:
        """Spend from which the response is concave: k ((h-1)/(h+1))^(1/h); 0 up to shape 1."""
        h = self.shape
        share = np.maximum(h - 1.0, 0.0) / (h + 1.0)
        return np.asarray(np.where(h > 1, self.half_spend * share ** (1.0 / h), 0.0))


@njit(cache=True)
def _gain(s, c, k, h):  # type: ignore[no-untyped-def]
    return c / (1.0 + (k / s) ** h) if s > 0 else 0.0


@njit(cache=True)
def _slope(s, c, k, h):  # type: ignore[no-untyped-def]
    if s > 0:
        y = (s / k) ** h
        return c * h * y / (s * (1.0 + y) ** 2)
    return np.inf if h < 1 else (c / k if h == 1 else 0.0)


@njit(cache=True)
def _spend_at(level, start, end, c, k, h):  # type: ignore[no-untyped-def]
    """Spend in [start, end], where the response is concave, at which its slope is the level."""
    if _slope(start, c, k, h) <= level:
        return start
    if _slope(end, c, k, h) >= level:
        return end
    for _ in range(60):
        middle = (start + end) / 2
        if _slope(middle, c, k, h) > level:
            start = middle
        else:
            end = middle
    return (start + end) / 2


@njit(cache=True)
def _touching(bend, start, end, c, k, h):  # type: ignore[no-untyped-def]
    """Where the tangent from the left end touches the curve; the left end where it is concave."""
    if start >= bend or end <= start:
        return start
    base, left, right = _gain(start, c, k, h), min(max(bend, start), end), end
    for _ in range(60):
        middle = (left + right) / 2
        # Before the touching point the curve climbs faster than the chord to it.
        if _slope(middle, c, k, h) * (middle - start) > _gain(middle, c, k, h) - base:
            left = middle
        else:
            right = middle
    return (left + right) / 2


@njit(cache=True)
def _level_spend(level, low, high, touch, chord, c, k, h):  # type: ignore[no-untyped-def]
    """Spend of each outlet at which the slope of its envelope falls to the level."""
    spend = np.empty(low.size)
    for i in range(low.size):
        if touch[i] > low[i] and chord[i] <= level:
            spend[i] = low[i]
        else:
            spend[i] = _spend_at(level, touch[i], max(high[i], touch[i]), c[i], k[i], h[i])
    return spend


@njit(cache=True)
def _fill(low, high, bend, budget, c, k, h):  # type: ignore[no-untyped-def]
    """Water under the envelopes on [low, high]: spend, the level (at least 1), and the envelopes.

    An envelope is the least concave function above a response: a chord, then the curve.
    """
    n = low.size
    touch, chord, value = np.empty(n), np.zeros(n), np.empty(n)
    for i in range(n):
        touch[i] = _touching(bend[i], low[i], high[i], c[i], k[i], h[i])
        if touch[i] > low[i]:
            rise = _gain(touch[i], c[i], k[i], h[i]) - _gain(low[i], c[i], k[i], h[i])
            chord[i] = rise / (touch[i] - low[i])
    level, spend = 1.0, _level_spend(1.0, low, high, touch, chord, c, k, h)
    if spend.sum() > budget:
        under, over = 1.0, 2.0
        while over < 1e30 and _level_spend(over, low, high, touch, chord, c, k, h).sum() > budget:
            under, over = over, 2.0 * over
        for _ in range(100):
            middle = np.sqrt(under * over)
            if _level_spend(middle, low, high, touch, chord, c, k, h).sum() > budget:
                under = middle
            else:
                over = middle
            if over - under <= 1e-14 * over:
                break
        level = over
        spend = _level_spend(over, low, high, touch, chord, c, k, h)
        more = _level_spend(under, low, high, touch, chord, c, k, h)
        # Outlets on a chord at this level are indifferent: they take what is left, one by one.
        left = budget - spend.sum()
        for i in np.argsort(spend - more):
            step = min(left, more[i] - spend[i])
            if step > 0:
                spend[i] += step
                left -= step
    for i in range(n):
        if spend[i] < touch[i]:
            value[i] = _gain(low[i], c[i], k[i], h[i]) + chord[i] * (spend[i] - low[i])
        else:
            value[i] = _gain(spend[i], c[i], k[i], h[i])
    return spend, level, value


def _filled(
    response: Response, low: Array, high: Array, budget: float
) -> tuple[Array, float, Array]:
    of = response.ceiling, response.half_spend, response.shape
    spend, level, value = _fill(low, high, response.bend, budget, *of)
    return spend, float(level), value


def water_fill(response: Response, budget: float) -> Split:
    """The best split where every response is concave, by its optimality conditions.

    Raise the level until the budget is spent: an outlet in use has gain'(s) = 1 + lambda, one
    at 0 has less, one that is full more; what it has more is the worth of room. Below lambda = 0
    the rest of the budget is kept.

    Raises
    ------
    ValueError
        A response with a threshold (shape above 1), for which this rule may mislead.
    """
    _check_budget(budget)
    if np.any(response.shape > 1):
        worst = float(response.shape.max())
        raise ValueError(f"water_fill: shape={worst:g} has a threshold; use best_split")
    zero = np.zeros_like(response.room)
    spend, level, _ = _filled(response, zero, response.room, budget)
    return _split(response, spend, level, bound=None)


def _check_budget(budget: float) -> None:
    if not (np.isfinite(budget) and budget >= 0):
        raise ValueError(f"budget={budget:g} must lie in [0, inf)")


def _split(response: Response, spend: Array, level: float, bound: float | None) -> Split:
    gain = float(response.gain(spend).sum())
    profit = gain - float(spend.sum())
    full = (spend >= response.room * (1 - 1e-9)) & (response.room > 0)
    slope = response.slope(np.where(full, response.room, 1.0))
    room_values = np.where(full, np.maximum(slope - level, 0.0), 0.0)
    top = profit if bound is None else max(bound, profit)
    return Split(spend, gain, profit, max(level - 1.0, 0.0), room_values, top, top - profit)


class Node(NamedTuple):
    """One step of the search: nodes tried, the best profit so far, and the bound on all splits."""

    tried: int
    profit: float
    bound: float


def split_steps(
    response: Response, budget: float, tolerance: float = 1e-6
) -> Iterator[tuple[Node, Array, float]]:
    """Branch and bound for responses with thresholds: (node, best spend, its level) as it goes.

    A node keeps each outlet's spend in an interval. Its envelope bounds every split in it, its
    split is a candidate, and the outlet furthest below its envelope is cut there.
    """
    _check_budget(budget)
    zero = np.zeros_like(response.room)
    top = np.minimum(response.room, budget)
    order = count()

    def relax(low: Array, high: Array) -> tuple[float, Array, float, Array]:
        spend, level, above = _filled(response, low, high, budget)
        return float((above - spend).sum()), spend, level, above - response.gain(spend)

    bound, spend, level, over = relax(zero, top)
    best, best_spend, best_level = 0.0, zero, 1.0
    nodes = [(-bound, next(order), zero, top, spend, level, over)]
    tried = 0
    while nodes:
        negative, _, low, high, spend, level, over = heapq.heappop(nodes)
        tried += 1
        for candidate in (spend, _polished(response, spend, budget)):
            profit = float((response.gain(candidate) - candidate).sum())
            if profit > best:
                best, best_spend, best_level = profit, candidate, level
        bound = max(-negative, best)
        yield Node(tried, best, bound), best_spend, best_level
        if bound - best <= tolerance * max(1.0, abs(best)):
            return
        worst = int(over.argmax())
        cut = float(np.clip(spend[worst], low[worst] + 1e-3 * (high[worst] - low[worst]),
                            high[worst] - 1e-3 * (high[worst] - low[worst])))  # fmt: skip
        for side in (0, 1):
            lower, upper = low.copy(), high.copy()
            (upper if side == 0 else lower)[worst] = cut
            if lower.sum() > budget * (1 + 1e-12):
                continue
            found = relax(lower, upper)
            if found[0] > best + tolerance * max(1.0, abs(best)):
                heapq.heappush(nodes, (-found[0], next(order), lower, upper, *found[1:]))
    yield Node(tried, best, best + tolerance * max(1.0, abs(best))), best_spend, best_level


def _polished(response: Response, spend: Array, budget: float) -> Array:
    """The best split among the outlets in use past their threshold, each on its concave part."""
    used = spend > response.bend
    low = np.where(used, np.minimum(response.bend, response.room), 0.0)
    if low.sum() > budget:
        return spend
    found, *_ = _filled(response, low, np.where(used, response.room, 0.0), budget)
    # An outlet that loses on its own is left out.
    return np.where(response.gain(found) > found, found, 0.0)


def best_split(
    response: Response, budget: float, *, tolerance: float = 1e-6, most_nodes: int = 20000
) -> Split:
    """The best split whatever the responses' shapes, with the gap to the best there can be.

    Raises
    ------
    NotConverged
        The gap is above ``tolerance`` of the profit after ``most_nodes``.
    """
    for node, found, _ in split_steps(response, budget, tolerance):
        spend = found
        left = node.bound - node.profit
        if node.tried >= most_nodes and left > tolerance * max(1.0, abs(node.profit)):
            raise NotConverged(f"best_split: a gap of {left:g} is left after {node.tried} nodes")
    # The worth of the last yuan: that of outlets in use and not full.
    inside = (spend > 0) & (spend < response.room * (1 - 1e-9))
    spent = spend.sum() >= budget * (1 - 1e-9)
    level = float(response.slope(spend)[inside].min()) if spent and inside.any() else 1.0
    return _split(response, spend, level, bound=node.bound)

"""How long patients walk through a hospital, with and without guidance.

The building is a graph of places joined by corridors, stairs and lifts. Who knows the way walks
the shortest path (Dijkstra 1959). Who does not, errs at junctions and sometimes asks: a Markov
chain on the same graph, whose expected time to the destination solves a linear system, exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from o2o_research.domain import require

Array = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A building: places, and the ways between them.

    Parameters
    ----------
    places : sequence of str
        Names, each once.
    start, end : ndarray of int, shape (ways,)
        The two places each way joins; it may be walked both ways.
    seconds : ndarray, shape (ways,)
        Walking time, with waiting for a lift, > 0.

    Raises
    ------
    ValueError
        A name twice, a way to a place that does not exist, a place that cannot be reached.

    Examples
    --------
    >>> plan = Plan(places=("door", "hall", "desk"), start=np.array([0, 1]),
    ...     end=np.array([1, 2]), seconds=np.array([10.0, 20.0]))
    >>> float(plan.shortest("door", "desk"))
    30.0
    """

    places: Sequence[str]
    start: Indices
    end: Indices
    seconds: Array

    def __post_init__(self) -> None:
        require(self, seconds="(0, inf)")
        if len(set(self.places)) != len(self.places):
            twice = sorted({name for name in self.places if list(self.places).count(name) > 1})
            raise ValueError(f"Plan: places named twice: {', '.join(twice)}")
        for name, ends in (("start", self.start), ("end", self.end)):
            bad = (ends < 0) | (ends >= len(self.places))
            if ends.shape != self.seconds.shape or bad.any():
                worst = ends[bad][0] if bad.any() else ends.shape
                raise ValueError(f"Plan: {name}={worst} must name one of {len(self.places)} places")
        unreached = np.flatnonzero(np.isinf(self.times[0]))
        if unreached.size:
            raise ValueError(f"Plan: {self.places[unreached[0]]} cannot be reached")

    @cached_property
    def times(self) -> Array:
        """Shortest walking time between all places, seconds. Shape (places, places)."""
        return np.asarray(dijkstra(self._ways, directed=False), float)

    @cached_property
    def _ways(self) -> csr_array:
        size = len(self.places)
        return csr_array((self.seconds, (self.start, self.end)), shape=(size, size))

    def index(self, place: str) -> int:
        """Number of a place; ``ValueError`` if there is none of that name."""
        if place not in self.places:
            raise ValueError(f"Plan: place={place!r} is not on the plan")
        return list(self.places).index(place)

    def shortest(self, start: str, end: str) -> float:
        """Seconds from one place to another for who knows the way."""
        return float(self.times[self.index(start), self.index(end)])

    @cached_property
    def neighbours(self) -> list[list[tuple[int, float]]]:
        """For each place, where one can go next, and the seconds it takes."""
        ways: list[list[tuple[int, float]]] = [[] for _ in self.places]
        for a, b, seconds in zip(self.start, self.end, self.seconds, strict=True):
            ways[a].append((int(b), float(seconds)))
            ways[b].append((int(a), float(seconds)))
        return ways


@dataclass(frozen=True, kw_only=True)
class Walker:
    """How well someone finds the way.

    Parameters
    ----------
    error_share : float
        Chance to take a wrong way where there is a choice (three ways or more), in [0, 1). [e]
    ask_share : float
        Chance to ask or look it up there instead of guessing, in [0, 1]: it takes time and
        is always right. [a]
    ask_seconds : float
        What asking or looking up takes, >= 0.
    pace : float
        Walking time as a multiple of the plan's, > 0.
    """

    error_share: float
    ask_share: float = 0.0
    ask_seconds: float = 0.0
    pace: float = 1.0

    def __post_init__(self) -> None:
        require(
            self,
            error_share="[0, 1)",
            ask_share="[0, 1]",
            ask_seconds="[0, inf)",
            pace="(0, inf)",
        )

    def moves(self, plan: Plan, end: str) -> tuple[Array, Array]:
        """Where one goes next from each place on the way to ``end``, and what the step takes.

        Returns
        -------
        chance : ndarray, shape (places, places); the destination's row is empty
        seconds : ndarray, shape (places,), expected until the next place
        """
        goal = plan.index(end)
        size = len(plan.places)
        chance, cost = np.zeros((size, size)), np.zeros(size)
        for here in range(size):
            if here == goal:
                continue
            ways = plan.neighbours[here]
            right = min(ways, key=lambda way: way[1] + plan.times[way[0], goal])[0]
            choice = len(ways) > 2
            slip = self.error_share * (1 - self.ask_share) if choice else 0.0
            for there, seconds in ways:
                share = 1 - slip if there == right else slip / (len(ways) - 1)
                chance[here, there] += share
                cost[here] += share * seconds * self.pace
            cost[here] += self.ask_share * self.ask_seconds if choice else 0.0
        return chance, cost

    def expected(self, plan: Plan, end: str) -> Array:
        """Expected seconds to ``end`` from every place: (I - P) h = c. Shape (places,)."""
        chance, cost = self.moves(plan, end)
        return np.asarray(np.linalg.solve(np.eye(len(plan.places)) - chance, cost))

    def route(self, plan: Plan, stops: Sequence[str]) -> Array:
        """Expected seconds of each leg of a visit with these stops in order. Shape (stops - 1,)."""
        return np.array([self.expected(plan, b)[plan.index(a)] for a, b in pairwise(stops)])

    def walk(self, plan: Plan, start: str, end: str, rng: np.random.Generator) -> float:
        """Seconds of one random walk from a place to another."""
        goal, here, spent = plan.index(end), plan.index(start), 0.0
        while here != goal:
            ways = plan.neighbours[here]
            right = min(ways, key=lambda way: way[1] + plan.times[way[0], goal])
            taken = right
            if len(ways) > 2:
                if rng.random() < self.ask_share:
                    spent += self.ask_seconds
                elif rng.random() < self.error_share:
                    others = [way for way in ways if way is not right]
                    taken = others[rng.integers(len(others))]
            here, seconds = taken
            spent += seconds * self.pace
        return spent


def visit_minutes(
    plan: Plan,
    stops: Sequence[str],
    *,
    error_share: ArrayLike,
    ask_share: float = 0.0,
    ask_seconds: ArrayLike = 0.0,
    points: int = 17,
) -> Array:
    """Expected minutes on the way for a visit, for arrays of errors and asking times.

    Exact at ``points`` error shares up to the largest, linear in between; exactly linear in
    ``ask_seconds``. Shape of the two broadcast.
    """
    errors, seconds = np.asarray(error_share, float), np.asarray(ask_seconds, float)
    grid = np.linspace(0.0, max(float(errors.max()), 0.01), points)
    plain, asked = (
        np.array(
            [
                Walker(error_share=float(e), ask_share=ask_share, ask_seconds=each)
                .route(plan, stops)
                .sum()
                for e in grid
            ]
        )
        for each in (0.0, 1.0)
    )
    times = np.interp(errors, grid, plain) + seconds * np.interp(errors, grid, asked - plain)
    return np.asarray(times / 60)

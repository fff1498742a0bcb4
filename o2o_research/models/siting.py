"""Where to put service centres: the p-median and the maximal covering problem, with their gap.

p-median after ReVelle & Swain (1970), maximal covering after Church & ReVelle (1974), as
integer programs.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from o2o_research.domain import require
from o2o_research.models.numerics import Array, integer_program


class Plan(NamedTuple):
    """Where the centres are.

    Parameters
    ----------
    sites : ndarray of int, places of the candidates in use, rising
    value : mean distance (p-median) or share covered (maximal covering)
    bound : no plan has a smaller mean distance, or a larger share
    gap : difference of the two, 0 where the plan is proved best
    """

    sites: NDArray[np.int64]
    value: float
    bound: float
    gap: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Siting:
    """Customers in places, candidates for service centres, and the way between them.

    Parameters
    ----------
    weight : ndarray, shape (places,), customers in each, >= 0
    distance : ndarray, shape (places, candidates), km or hours, >= 0
    time_limit : float
        Seconds that one program may take; what is not proved by then shows in the gap.

    Examples
    --------
    Four towns on a line, two centres:

    >>> towns = np.array([0.0, 1.0, 10.0, 11.0])
    >>> place = Siting(weight=np.ones(4), distance=np.abs(towns[:, None] - towns))
    >>> plan = place.median(2)
    >>> plan.value, plan.gap
    (0.5, 0.0)
    """

    weight: Array
    distance: Array
    time_limit: float = 60.0

    def __post_init__(self) -> None:
        if self.distance.ndim != 2 or self.weight.shape != self.distance.shape[:1]:
            raise ValueError(
                f"Siting: distance has shape {self.distance.shape}, weight {self.weight.shape}"
            )
        require(self, weight="[0, inf)", distance="[0, inf)", time_limit="(0, inf)")
        if not self.weight.sum() > 0:
            raise ValueError("Siting: weight=0 everywhere; there is nobody to serve")

    def _count(self, centres: int) -> int:
        if not 1 <= centres <= self.distance.shape[1]:
            raise ValueError(f"Siting: centres={centres} must lie in [1, {self.distance.shape[1]}]")
        return centres

    @property
    def _share(self) -> Array:
        return np.asarray(self.weight / self.weight.sum())

    def mean_distance(self, sites: ArrayLike) -> float:
        """Mean distance of a customer to the nearest of these centres."""
        return float(self._share @ self.distance[:, np.asarray(sites, int)].min(axis=1))

    def covered_share(self, sites: ArrayLike, radius: float) -> float:
        """Share of customers with a centre within ``radius``."""
        near = self.distance[:, np.asarray(sites, int)].min(axis=1) <= radius
        return float(self._share @ near)

    def median(self, centres: int) -> Plan:
        """The p-median: ``centres`` sites with the least mean distance.

        Minimise sum of w_i d_ij x_ij: every place goes to one site, and only to a site in use.
        The x need not be whole: with the sites fixed, each place takes its nearest.

        Raises
        ------
        NotConverged
            The time limit passed without any plan.
        """
        places, candidates = self.distance.shape
        p = self._count(centres)
        cost = np.concatenate(
            [(self._share[:, np.newaxis] * self.distance).ravel(), np.zeros(candidates)]
        )
        one = sparse.kron(sparse.eye(places), np.ones((1, candidates)))
        only = sparse.hstack([one, sparse.csr_matrix((places, candidates))])
        used = sparse.hstack(
            [
                sparse.eye(places * candidates),
                -sparse.kron(np.ones((places, 1)), sparse.eye(candidates)),
            ]
        )
        total = sparse.hstack(
            [sparse.csr_matrix((1, places * candidates)), np.ones((1, candidates))]
        )
        answer = integer_program(
            cost,
            [(only, 1.0, 1.0), (used, -np.inf, 0.0), (total, float(p), float(p))],
            whole=np.r_[np.zeros(places * candidates, bool), np.ones(candidates, bool)],
            time_limit=self.time_limit,
            what="p-median",
        )
        sites = np.flatnonzero(answer.x[-candidates:] > 0.5)
        value = self.mean_distance(sites)
        return _plan(sites, value, min(answer.bound, value))

    def cover(self, centres: int, radius: float) -> Plan:
        """Maximal covering: ``centres`` sites with the most customers within ``radius``.

        Maximise sum of w_i z_i: a place counts if a site in reach of it is in use.

        Raises
        ------
        NotConverged
            The time limit passed without any plan.
        """
        places, candidates = self.distance.shape
        p = self._count(centres)
        if not radius >= 0:
            raise ValueError(f"Siting: radius={radius:g} must lie in [0, inf)")
        reach = sparse.csr_matrix((self.distance <= radius).astype(float))
        counted = sparse.hstack([sparse.eye(places), -reach])
        total = sparse.hstack([sparse.csr_matrix((1, places)), np.ones((1, candidates))])
        answer = integer_program(
            np.concatenate([-self._share, np.zeros(candidates)]),
            [(counted, -np.inf, 0.0), (total, float(p), float(p))],
            whole=np.r_[np.zeros(places, bool), np.ones(candidates, bool)],
            time_limit=self.time_limit,
            what="maximal covering",
        )
        sites = np.flatnonzero(answer.x[-candidates:] > 0.5)
        value = self.covered_share(sites, radius)
        return _plan(sites, value, max(min(-answer.bound, 1.0), value))

    def enumerated(self, centres: int) -> Plan:
        """The p-median by trying every set of sites: for small instances, and for tests."""
        sets = combinations(range(self.distance.shape[1]), self._count(centres))
        sites = min(sets, key=lambda each: self.mean_distance(each))
        value = self.mean_distance(sites)
        return Plan(np.array(sites), value, value, 0.0)


def _plan(sites: NDArray[np.int64], value: float, bound: float) -> Plan:
    gap = abs(value - bound)
    # Below the solver's own feasibility tolerance a difference means nothing.
    return Plan(sites, value, bound, 0.0 if gap < 1e-6 * max(1.0, abs(value)) else gap)


def rank_size_cities(
    cities: int, largest: float, width: float, rng: np.random.Generator, exponent: float = 1.0
) -> tuple[Array, Array]:
    """A made-up country: city i of size largest / i^exponent, at random on a square.

    The rank-size rule (Zipf) for sizes; places say nothing of a real map. Shapes (cities,),
    (cities, 2).
    """
    if cities < 1 or not largest > 0 or not width > 0:
        raise ValueError(f"rank_size_cities: cities={cities}, largest={largest:g}, width={width:g}")
    size = np.asarray(largest / np.arange(1, cities + 1, dtype=float) ** exponent)
    return size, rng.uniform(0, width, (cities, 2))


def crow_distances(at: Array, to: Array) -> Array:
    """Straight-line distances. Shape (len(at), len(to))."""
    return np.asarray(np.hypot(*(at[:, np.newaxis] - to[np.newaxis]).transpose(2, 0, 1)))

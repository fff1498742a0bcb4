"""The nearest point of a polytope to the origin, exactly: the quadratic program of synthetic control.

Weights w >= 0 with sum 1 that minimise w'Gw, where G is the Gram matrix of donors measured from
the treated unit. Wolfe (1976), Mathematical Programming 11: an active-set method that ends at the
exact optimum after finitely many steps and needs no inverse of a singular G.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numba import njit

from o2o_research.models.causal.panel import Array
from o2o_research.models.numerics import NotConverged

# A duality gap below this share of the donors' mean squared distance is rounding.
TOLERANCE = 1e-11


def nearest_point(gram: Array) -> tuple[Array, float]:
    """Weights on the simplex that minimise w'Gw, and the duality gap at them.

    Parameters
    ----------
    gram : ndarray, shape (n, n), symmetric, positive semi-definite. [G]

    Returns
    -------
    weights : ndarray, shape (n,)
    gap : float
        w'Gw - min_j (Gw)_j, >= 0 up to rounding: no weights do better than w'Gw by more than
        twice this.

    Raises
    ------
    NotConverged
        If the gap does not close.

    Examples
    --------
    The origin lies nearest to the middle of the segment from (1, 1) to (1, -1):

    >>> points = np.array([[1.0, 1.0], [1.0, -1.0], [3.0, 0.0]])
    >>> weights, gap = nearest_point(points @ points.T)
    >>> weights.tolist(), gap < 1e-12
    ([0.5, 0.5, 0.0], True)
    """
    gram = np.ascontiguousarray(gram, dtype=float)
    weights, gap = wolfe(gram)
    scale = max(float(np.trace(gram)) / len(gram), 1e-300)
    if not gap <= 1e3 * TOLERANCE * scale:
        raise NotConverged(f"nearest_point: duality gap {gap:g} at scale {scale:g}")
    return weights, float(gap)


def frank_wolfe_steps(gram: Array, weights: Array) -> Iterator[Array]:
    """Weights after each step towards one donor at a time, with exact line search.

    Frank & Wolfe (1956), the method of the program that goes with Arkhangelsky et al. (2021):
    cheap steps, whose error falls only with their number. ``nearest_point`` is where they lead.

    Parameters
    ----------
    gram : ndarray, shape (n, n), as in ``nearest_point``
    weights : ndarray, shape (n,), to begin from, >= 0 with sum 1
    """
    weights = np.asarray(weights, float)
    while True:
        slope = gram @ weights
        towards = -weights
        towards[slope.argmin()] += 1
        bend = float(towards @ gram @ towards)
        step = float(-(slope @ towards)) / bend if bend > 0 else 0.0
        weights = weights + min(max(step, 0.0), 1.0) * towards
        yield weights


@njit(cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def wolfe(gram, spread=False):  # type: ignore[no-untyped-def]
    """The compiled body of ``nearest_point``: (weights, gap), unchecked.

    ``spread`` begins from equal weights on all points instead of the nearest one: quicker where
    most end with a weight, and allowed only where a ridge makes G regular.
    """
    n = gram.shape[0]
    scale = 0.0
    first = 0
    for j in range(n):
        scale += gram[j, j] / n
        if gram[j, j] < gram[first, first]:
            first = j
    weights = np.zeros(n)
    weights[first] = 1.0
    if scale <= 0.0:
        return weights, 0.0
    corral = np.empty(n, np.int64)
    corral[0] = first
    size = 1
    if spread:
        weights[:] = 1.0 / n
        for j in range(n):
            corral[j] = j
        size = n
    gap = np.inf
    settled = not spread
    for _ in range(20 * n + 50):
        slope = np.zeros(n)
        for a in range(size):
            slope += gram[corral[a]] * weights[corral[a]]
        value = 0.0
        for a in range(size):
            value += weights[corral[a]] * slope[corral[a]]
        entering = np.argmin(slope)
        gap = value - slope[entering]
        if settled:
            known = False
            for a in range(size):
                known = known or corral[a] == entering
            if gap <= TOLERANCE * scale or known:
                break
            corral[size] = entering
            size += 1
        settled = True
        while True:
            # Adding a constant to G leaves the minimiser on sum(w) = 1 and makes the system regular.
            system = np.empty((size, size))
            for a in range(size):
                for b in range(size):
                    system[a, b] = gram[corral[a], corral[b]] + scale
                system[a, a] += 1e-14 * scale
            aim = np.linalg.solve(system, np.ones(size))
            aim /= aim.sum()
            step = 1.0
            for a in range(size):
                if aim[a] <= 1e-13:
                    now = weights[corral[a]]
                    step = min(step, now / (now - aim[a])) if now > aim[a] else 0.0
            kept = 0
            for a in range(size):
                j = corral[a]
                moved = step * aim[a] + (1.0 - step) * weights[j]
                if moved <= 0.0 or (step < 1.0 and aim[a] <= 1e-13 and moved <= 1e-13):
                    weights[j] = 0.0
                else:
                    weights[j] = moved
                    corral[kept] = j
                    kept += 1
            whole = step >= 1.0 or kept == size
            size = kept
            if whole:
                break
    weights = np.where(weights < 1e-12, 0.0, weights)
    weights /= weights.sum()
    return weights, max(gap, 0.0)


@njit(cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def gram_from(gram, donors, towards, square):  # type: ignore[no-untyped-def]
    """Gram matrix of ``donors`` measured from a target, out of the Gram matrix of all units.

    ``towards`` holds the products of all units with the target, ``square`` the target's own.
    """
    n = donors.size
    moved = np.empty((n, n))
    for a in range(n):
        i = donors[a]
        for b in range(n):
            moved[a, b] = gram[i, donors[b]] - towards[i] - towards[donors[b]] + square
    return moved

"""Products that replace each other: each generation takes from the one before and adds its own.

Norton & Bass (1987), Management Science 33:1069-1086: one pair of coefficients for all
generations, an own addition to the market for each, and those who had the old one move on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from o2o_research.domain import require
from o2o_research.models.diffusion.bass import Bass
from o2o_research.models.diffusion.regression import (
    LEAST_SQUARES,
    Errors,
    fitted,
    minimise_deviance,
)
from o2o_research.models.numerics import Array, Fit


@dataclass(frozen=True, kw_only=True)
class Generations:
    """Successive generations of one product.

    Parameters
    ----------
    additions : array_like, shape (n,)
        What each generation adds to the market of those before, > 0. [m]
    innovation, imitation : float or array_like, shape (n,)
        >= 0, one for all (the paper) or one each. [p, q]
    launches : array_like, shape (n,)
        When each comes, increasing from 0. [tau]

    Raises
    ------
    ValueError
        A parameter outside its domain, or launches out of order.

    Examples
    --------
    >>> phones = Generations(additions=[100, 50], innovation=0.03, imitation=0.38, launches=[0, 6])
    >>> phones.in_use([5.0, 30.0]).round(1).tolist()
    [[33.1, 0.1], [0.0, 149.9]]
    """

    additions: ArrayLike
    innovation: ArrayLike
    imitation: ArrayLike
    launches: ArrayLike

    def __post_init__(self) -> None:
        require(self, additions="(0, inf)", innovation="[0, inf)", imitation="[0, inf)")
        when = np.asarray(self.launches, float)
        if when.shape != np.shape(self.additions) or when.ndim != 1:
            raise ValueError("Generations: give one launch for each addition to the market")
        if when[0] != 0 or np.any(np.diff(when) <= 0):
            raise ValueError(f"Generations: launches={when} must increase from 0")

    def in_use(self, times: ArrayLike) -> Array:
        """Users of each generation, or sales where each buys once a period. Shape (n, times).

        S_i = R_i (1 - F_{i+1}), R_i = F_i (m_i + R_{i-1}), F_i = F(t - tau_i): those who
        reached generation i, less those who have gone on.
        """
        when = np.asarray(self.launches, float)
        rows = _in_use(
            np.asarray(self.additions, float)[None],
            np.broadcast_to(np.asarray(self.innovation, float), when.shape)[None],
            np.broadcast_to(np.asarray(self.imitation, float), when.shape)[None],
            when,
            np.asarray(times, float),
        )
        return np.asarray(rows[0])

    @property
    def market(self) -> float:
        """Everybody the last generation can reach."""
        return float(np.sum(self.additions))


def _in_use(m: Array, p: Array, q: Array, when: Array, times: Array) -> Array:
    """Shape (rows, n, times); before a launch nobody has it."""
    curve = Bass(market=1.0, innovation=p[:, :, None], imitation=q[:, :, None])
    share = np.asarray(curve.adopted_share(times - when[:, None]))
    reached, out = np.zeros((len(m), times.size)), np.empty((len(m), when.size, times.size))
    for i in range(when.size):
        reached = share[:, i] * (m[:, [i]] + reached)
        on = share[:, i + 1] if i + 1 < when.size else 0.0
        out[:, i] = reached * (1 - on)
    return out


def fit_generations(
    in_use: ArrayLike,
    launches: ArrayLike,
    *,
    own_imitation: bool = False,
    errors: Errors = LEAST_SQUARES,
) -> Fit[Generations]:
    """Norton and Bass's curves from the use of each generation at times 1, 2, ...

    ``stderr`` names the estimates innovation, imitation (or imitation_0, ...), addition_0, ...

    Parameters
    ----------
    in_use : array_like, shape (n, periods), >= 0; times count from the first launch
    launches : array_like, shape (n,), increasing from 0
    own_imitation : whether each generation has an imitation of its own
    errors : least squares unless given

    Raises
    ------
    ValueError
        Series that are not finite or negative, a generation in use before its launch, too few
        numbers.
    NotConverged
        If no start leads to a minimum.
    """
    y = np.asarray(in_use, float)
    when = np.asarray(launches, float)
    if y.ndim != 2 or when.shape != y.shape[:1]:
        raise ValueError(f"fit_generations: {when.size} launches for in_use of shape {y.shape}")
    if not np.all(np.isfinite(y) & (y >= 0)):
        raise ValueError("fit_generations: in_use must be finite and at least 0")
    times = np.arange(1.0, y.shape[1] + 1)
    there = times > when[:, None]
    if y[~there].any():
        early = int(np.argwhere((y > 0) & ~there)[0, 0])
        raise ValueError(f"fit_generations: generation {early + 1} is in use before its launch")
    used, n = y[there], when.size
    names = ["innovation"]
    names += [f"imitation_{i}" for i in range(n)] if own_imitation else ["imitation"]
    names += [f"addition_{i}" for i in range(n)]
    if used.size <= len(names):
        raise ValueError(
            f"fit_generations: {used.size} numbers cannot give {len(names)} parameters"
        )

    def mean(theta: Array) -> Array:
        x = np.exp(theta)
        q = x[:, 1:-n] if own_imitation else np.repeat(x[:, [1]], n, axis=1)
        p = np.repeat(x[:, [0]], n, axis=1)
        return np.asarray(_in_use(x[:, -n:], p, q, when, times)[:, there])

    peaks = np.log(np.maximum(y.max(axis=1), 1e-6 * y.max()))
    paces = n if own_imitation else 1
    # Later generations peak above what they add, by those who come over.
    grid = [
        [np.log(lone * pace), *np.full(paces, np.log(pace)), peaks[0] + size, *(peaks[1:] + later)]
        for pace in np.array([3.0, 8.0, 20.0]) / y.shape[1]
        for lone in (0.01, 0.1)
        for size in (0.0, 0.7)
        for later in (0.0, -1.0)
    ]
    low = np.array([np.log(1e-9), *np.full(paces, np.log(1e-4)), *np.full(n, peaks.max() - 12)])
    high = np.array([np.log(5.0), *np.full(paces, np.log(20.0)), *np.full(n, peaks.max() + 9)])
    best = minimise_deviance(mean, used, np.array(grid), low=low, high=high, errors=errors).best(
        what="fit_generations"
    )
    x = np.exp(best.theta)[0]
    model = Generations(
        additions=x[-n:],
        innovation=float(x[0]),
        imitation=x[1:-n] if own_imitation else float(x[1]),
        launches=when,
    )
    return fitted(model, names, np.exp, best, used, mean, errors)

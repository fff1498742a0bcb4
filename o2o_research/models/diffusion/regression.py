"""One solver for all fits of curves: many series, starts or held parameters in one batch.

Sales of a period have mean mu(theta) and variance dispersion x mu^power: 0 is nonlinear least
squares (Srinivasan & Mason 1986), 1 counts (Poisson, or more spread than it), 2 errors in
proportion. The deviance is minimised by Fisher scoring with Levenberg's and Marquardt's
damping; extended quasi-likelihood (Nelder & Pregibon 1987) compares powers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from scipy import special

from o2o_research.models.numerics import Array, Fit, NotConverged

Mean = Callable[[Array], Array]
Model = TypeVar("Model")
_SMALL = 1e-300


@dataclass(frozen=True)
class Errors:
    """How far a period's sales stray from their mean: variance = dispersion x mean^power.

    Parameters
    ----------
    power : 0, 1 or 2
    dispersion : float or None
        Known, > 0; None has it estimated from the residuals.

    Examples
    --------
    >>> COUNTS.deviance(np.array([4.0, 0.0]), np.array([4.0, 1.0])).tolist()
    [0.0, 2.0]
    """

    power: int
    dispersion: float | None = None

    def __post_init__(self) -> None:
        if self.power not in (0, 1, 2):
            raise ValueError(f"Errors: power={self.power} must be 0, 1 or 2")
        if self.dispersion is not None and not self.dispersion > 0:
            raise ValueError(f"Errors: dispersion={self.dispersion} must lie in (0, inf)")

    def deviance(self, sales: Array, mean: Array) -> Array:
        """Unit deviance, entry by entry; (y - mu)^2, 2 (y ln(y / mu) - y + mu), 2 (y / mu - 1 - ln(y / mu))."""
        if self.power == 0:
            return np.asarray((sales - mean) ** 2)
        # In the relative miss, so that a near fit is not lost in rounding.
        mean = np.maximum(mean, _SMALL)
        miss = (np.maximum(sales, _SMALL if self.power == 2 else 0.0) - mean) / mean
        log = np.log1p(np.maximum(miss, -1.0 + 1e-16))
        if self.power == 1:
            return np.asarray(2 * mean * ((1.0 + miss) * log - miss))
        return np.asarray(2 * (miss - log))

    def weight(self, mean: Array) -> Array:
        """1 / mu^power."""
        return np.asarray(np.maximum(mean, _SMALL) ** -float(self.power))

    def log_likelihood(self, sales: Array, mean: Array, dispersion: float) -> float:
        """Exact for least squares and for plain counts, else extended quasi-likelihood."""
        if self.power == 1 and self.dispersion == 1.0:
            mean = np.maximum(mean, _SMALL)
            terms = special.xlogy(sales, mean) - mean - special.gammaln(sales + 1)
            return float(terms.sum())
        # A period without sales has its variance at a sixth of a sale, as they propose.
        spread = np.maximum(sales, 1 / 6 if self.power == 1 else _SMALL) ** self.power
        unit = self.deviance(sales, mean) / dispersion + np.log(2 * np.pi * dispersion * spread)
        return float(-0.5 * unit.sum())

    def draw(self, mean: Array, dispersion: Array | float, rng: np.random.Generator) -> Array:
        """Sales with these means: normal for power 0, gamma for 1 and 2."""
        if self.power == 0:
            return np.asarray(rng.normal(mean, np.sqrt(dispersion)))
        mean = np.maximum(mean, 1e-12)
        scale = dispersion * mean ** (self.power - 1.0)
        return np.asarray(rng.gamma(np.maximum(mean / scale, 1e-12)) * scale)


LEAST_SQUARES, COUNTS, PROPORTIONAL = Errors(0), Errors(1), Errors(2)


@dataclass(frozen=True)
class Minimum:
    """The minima of a batch.

    Parameters
    ----------
    theta : ndarray, shape (batch, k)
    deviance : ndarray, shape (batch,)
    information : ndarray, shape (batch, k, k), Fisher's, of theta at dispersion 1
    bound : ndarray of bool, shape (batch, k), parameters held at an end of their range
    settled : ndarray of bool, shape (batch,), whether the steps died out
    """

    theta: Array
    deviance: Array
    information: Array
    bound: np.ndarray
    settled: np.ndarray

    def best(self, *, what: str) -> Minimum:
        """The lowest that settled, as a batch of one; ``NotConverged`` if none did."""
        ranked = np.where(self.settled, self.deviance, np.inf)
        at = int(np.argmin(ranked))
        if not np.isfinite(ranked[at]):
            raise NotConverged(f"{what}: no start led to a minimum")
        return self.rows(np.array([at]))

    def rows(self, chosen: np.ndarray) -> Minimum:
        """Some rows of the batch."""
        return Minimum(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))


def minimise_deviance(
    mean: Mean,
    sales: Array,
    start: Array,
    *,
    low: Array,
    high: Array,
    errors: Errors,
    max_steps: int = 200,
) -> Minimum:
    """Least deviance of each row of a batch, within a box; rows that have settled drop out.

    Parameters
    ----------
    mean : theta, shape (batch, k) -> means, shape (batch, n)
        Rows must not depend on each other, nor on how many there are. Not-a-number refuses
        a step.
    sales : ndarray, shape (n,)
    start : ndarray, shape (batch, k)
    low, high : ndarray, shape (k,) or (batch, k)
        Equal ends hold a parameter.
    errors : Errors
    """
    y = np.asarray(sales, float)
    theta = np.clip(np.array(start, float), low, high)
    low, high = np.broadcast_to(low, theta.shape), np.broadcast_to(high, theta.shape)
    batch, k = theta.shape
    deviance = _deviance(mean, y, theta, errors)[1]
    information, bound = np.zeros((batch, k, k)), np.zeros((batch, k), bool)
    settled, live = np.zeros(batch, bool), np.flatnonzero(np.isfinite(deviance))
    damping = np.full(batch, 1e-3)
    floor = 1e-28 * float((errors.weight(y + y.mean()) * y**2).sum())
    each = np.arange(k)
    for _ in range(max_steps):
        if not live.size:
            break
        at, lo, hi = theta[live], low[live], high[live]
        with np.errstate(all="ignore"):
            mu = mean(at)
            jacobian = _slopes(mean, at, lo, hi)
            weighted = jacobian * errors.weight(mu)[:, :, None]
        fisher = np.matmul(np.swapaxes(weighted, 1, 2), jacobian)
        score = np.matmul(np.swapaxes(weighted, 1, 2), (y - mu)[:, :, None])[:, :, 0]
        stuck = (lo == hi) | ((at <= lo) & (score < 0)) | ((at >= hi) & (score > 0))
        information[live], bound[live] = fisher, stuck
        score = np.where(stuck, 0.0, score)
        system = np.where(stuck[:, :, None] | stuck[:, None, :], 0.0, fisher)
        scale = np.where(stuck, 1.0, system[:, each, each])
        scale = np.maximum(scale, 1e-12 * scale.max(axis=1, keepdims=True) + 1e-300)

        def solve(
            extra: Array,
            system: Array = system,
            scale: Array = scale,
            stuck: np.ndarray = stuck,
            score: Array = score,
        ) -> Array:
            damped = system / np.sqrt(scale[:, :, None] * scale[:, None, :])
            damped[:, each, each] += np.where(stuck, 1.0, extra + 1e-13)
            right = (score / np.sqrt(scale))[:, :, None]
            return np.asarray(np.linalg.solve(damped, right)[:, :, 0] / np.sqrt(scale))

        # What a full step would still gain, against the deviance: rounding is left below.
        gain = (score * solve(np.zeros((live.size, 1)))).sum(axis=1)
        step = solve(damping[live][:, None])
        # No more than e^2 at once: the curves bend.
        most = 2.0 * np.maximum(1.0, np.abs(at) / 4)
        trial = np.clip(at + np.clip(step, -most, most), lo, hi)
        reached = _deviance(mean, y, trial, errors)[1]
        better = reached < deviance[live]
        done = (gain <= 1e-10 * deviance[live]) | (deviance[live] <= floor)
        # Stuck in rounding of the curve itself.
        done |= ~better & (damping[live] > 1e8) & (gain <= 1e-5 * deviance[live] + 1e6 * floor)
        lost = ~better & (damping[live] > 1e10) & ~done
        move = live[better]
        theta[move], deviance[move] = trial[better], reached[better]
        damping[live] = np.where(better, np.maximum(damping[live] / 8, 1e-12), damping[live] * 6)
        settled[live[done]] = True
        live = live[~(done | lost)]
    return Minimum(theta, deviance, information, bound, settled)


def _deviance(mean: Mean, y: Array, theta: Array, errors: Errors) -> tuple[Array, Array]:
    with np.errstate(all="ignore"):
        mu = mean(theta)
        total = errors.deviance(y, mu).sum(axis=-1)
    return mu, np.where(np.isfinite(total), total, np.inf)


def _slopes(mean: Mean, at: Array, low: Array, high: Array) -> Array:
    """Central differences of the means inside the box, shape (batch, n, k)."""
    batch, k = at.shape
    # Not-a-number outside an open set: the slope there is one-sided or, at worst, none.
    step = 1e-5 * np.maximum(1.0, np.abs(at))
    up = np.repeat(at[None], k, axis=0)
    down = up.copy()
    each = np.arange(k)
    up[each, :, each] = np.minimum(at + step, np.maximum(high, at)).T
    down[each, :, each] = np.maximum(at - step, np.minimum(low, at)).T
    width = (up[each, :, each] - down[each, :, each])[:, :, None]
    both = mean(np.concatenate([up.reshape(-1, k), down.reshape(-1, k)]))
    rise = (both[: k * batch] - both[k * batch :]).reshape(k, batch, -1)
    slope = rise / np.where(width > 0, width, 1.0)
    return np.asarray(np.moveaxis(np.where(np.isfinite(slope), slope, 0.0), 0, -1))


def delta_method(
    values: Callable[[Array], Array], found: Minimum, dispersion: float
) -> tuple[Array, Array | None]:
    """Standard errors of ``values`` of a batch of one minimum, and their covariance.

    Parameters
    ----------
    values : theta, shape (1, k) -> the model's own parameters, shape (1, l)

    Returns
    -------
    stderr, shape (l,): inf for what hangs on a parameter at an end of its range; covariance,
    shape (l, l), or None where some is missing
    """
    theta, free = found.theta, ~found.bound[0]
    steps = 1e-6 * np.eye(theta.shape[1])
    slope = np.stack(
        [(values(theta + s[None, :])[0] - values(theta - s[None, :])[0]) / 2e-6 for s in steps],
        axis=-1,
    )
    information = found.information[0][np.ix_(free, free)]
    scale = np.sqrt(np.maximum(np.diag(information), 1e-300))
    scaled = information / np.outer(scale, scale)
    if np.linalg.cond(scaled) > 1e13:
        return np.full(slope.shape[0], np.inf), None
    covariance = dispersion * np.linalg.inv(scaled) / np.outer(scale, scale)
    own = slope[:, free] @ covariance @ slope[:, free].T
    stderr = np.sqrt(np.maximum(np.diag(own), 0.0))
    if free.all():
        return stderr, own
    hangs = np.abs(slope[:, ~free]).max(axis=1) > 1e-12 * np.abs(slope).max(axis=1)
    return np.where(hangs, np.inf, stderr), None


def fitted(
    model: Model,
    names: list[str],
    values: Callable[[Array], Array],
    best: Minimum,
    used: Array,
    mean: Callable[[Array], Array],
    errors: Errors,
) -> Fit[Model]:
    """A model with what the minimum says of its parameters; ``values`` as in ``delta_method``."""
    dispersion = errors.dispersion
    deviance = float(best.deviance[0])
    if dispersion is None:
        dispersion = deviance / (used.size - len(names))
    stderr, covariance = delta_method(values, best, dispersion)
    scale = errors.dispersion or max(deviance / used.size, np.finfo(float).tiny)
    return Fit(
        model=model,
        stderr=dict(zip(names, stderr.tolist(), strict=True)),
        log_likelihood=errors.log_likelihood(used, mean(best.theta)[0], scale),
        n=used.size,
        covariance=covariance,
    )

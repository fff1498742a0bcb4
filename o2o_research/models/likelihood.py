"""Estimation by maximum likelihood, and what the uncertainty of a fit does to an answer.

For models whose parameters are positive: maximised on the scale of their logarithms, where
the likelihood is closer to a parabola, intervals stay positive, and no bounds are needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from scipy.special import expit, xlogy

from o2o_research.models import numerics
from o2o_research.models.numerics import Array, Fit, NotConverged

Model = TypeVar("Model")
Likelihood = Callable[[Array], tuple[float, Array, Array]]


def maximum_likelihood(
    model: Callable[..., Model],
    likelihood: Likelihood,
    start: Mapping[str, float],
    *,
    n: float,
    informative: float,
    what: str,
) -> Fit[Model]:
    """Newton's method on the logarithms of positive parameters.

    Maximised per informative observation, so that one tolerance serves ten customers and ten
    million. A likelihood without a maximum flattens out as a parameter runs to 0 or infinity;
    there Newton's steps stay of order 1 where at a maximum they vanish, and it is refused.
    """
    names, origin = list(start), np.log(list(start.values()))
    best = (np.inf, origin)

    @lru_cache(maxsize=4)
    def at(key: bytes) -> tuple[float, Array, Array]:
        nonlocal best
        z = np.frombuffer(key)
        if np.abs(z - origin).max() > 40:  # past e^40 a parameter is on its way to the end
            return np.inf, np.zeros(z.size), np.eye(z.size)
        with np.errstate(all="ignore"):  # the trust region backs out of what is not finite
            theta = np.exp(z)
            value, gradient, hessian = likelihood(theta)
            slope = gradient * theta
            curvature = hessian * np.outer(theta, theta) + np.diag(slope)
        best = min(best, (-value / informative, z), key=lambda reached: reached[0])
        return -value / informative, -slope / informative, -curvature / informative

    def value_and_gradient(z: Array) -> tuple[float, Array]:
        return at(z.tobytes())[:2]

    def solve() -> Fit[Model]:
        z, _ = numerics.minimise(
            value_and_gradient, origin, gradient=True, hessian=lambda z: at(z.tobytes())[2],
            tolerance=1e-6, max_steps=200, what=what,
        )  # fmt: skip
        for _ in range(8):
            value, gradient, hessian = at(z.tobytes())
            curvature, direction = np.linalg.eigh(hessian)
            # Flat, or a standard error of a parameter's logarithm above 10: not an estimate.
            if curvature[0] < max(1e-8, 0.01 / informative):
                break
            step = -direction @ ((gradient @ direction) / curvature)
            if -gradient @ step < 1e-20:
                theta = np.exp(z)
                covariance = np.linalg.inv(hessian * informative) * np.outer(theta, theta)
                return Fit(
                    model=model(**dict(zip(names, theta.tolist(), strict=True))),
                    stderr=dict(zip(names, np.sqrt(np.diag(covariance)).tolist(), strict=True)),
                    log_likelihood=float(-value * informative),
                    n=round(n),
                    covariance=covariance,
                )
            z = z + step
        raise NotConverged(f"{what}: Newton's steps do not die out")

    try:
        return solve()
    except NotConverged as stopped:
        far = best[1] - origin
        runs = ", ".join(
            f"{name} -> {'infinity' if moved > 0 else '0'}"
            for name, moved in zip(names, far, strict=True)
            if abs(moved) > min(4.0, 0.9 * np.abs(far).max())
        )
        raise NotConverged(
            f"{what}: the likelihood has no maximum, it keeps rising as {runs}; "
            "the data cannot tell this part of the model"
        ) from stopped


def draw_models(fit: Fit[Model], n: int, rng: np.random.Generator) -> Model:
    """``n`` models drawn from the estimator's asymptotic normal, on the log scale.

    The parameters of the model returned have shape (n, 1): an answer about customers of shape
    (m,) has shape (n, m), one row a draw.

    Raises
    ------
    ValueError
        If the fit has no covariance.
    """
    if fit.covariance is None:
        raise ValueError("draw_models: the fit has no covariance to draw from")
    theta = np.array([getattr(fit.model, name) for name in fit.stderr])
    spread = fit.covariance / np.outer(theta, theta)
    draws = theta * np.exp(rng.multivariate_normal(np.zeros(theta.size), spread, n))
    columns = {name: draws[:, [k]] for k, name in enumerate(fit.stderr)}
    return replace(fit.model, **columns)  # type: ignore[type-var]


class Estimate(NamedTuple):
    """A number, or an array of numbers, with its interval."""

    value: Any
    low: Any
    high: Any


def estimate(
    quantity: Callable[..., Any],
    *fits: Fit[Any],
    rng: np.random.Generator,
    draws: int = 1000,
    level: float = 0.9,
) -> Estimate:
    """Any quantity of fitted models, with an interval from draws of their parameters.

    Parameters
    ----------
    quantity : function of as many models as there are fits; broadcasts over parameters
    fits : independent fits
    draws : parameter draws
    level : coverage of the interval

    Examples
    --------
    >>> from o2o_research.models.customers import fit_shifted_beta_geometric
    >>> fit = fit_shifted_beta_geometric([1000, 869, 743, 653, 593, 551, 517, 491])
    >>> rng = np.random.default_rng(1)
    >>> value, low, high = estimate(lambda members: members.survival(12), fit, rng=rng)
    >>> bool(low < value < high)
    True
    """
    value = np.asarray(quantity(*(fit.model for fit in fits)), float)
    drawn = np.asarray(quantity(*(draw_models(fit, draws, rng) for fit in fits)), float)
    ends = [(1 - level) / 2, (1 + level) / 2]
    # Not interpolated: a mean that is infinite in some draws has an infinite end, not none.
    low, high = np.quantile(drawn, ends, axis=0, method="inverted_cdf")
    if value.ndim == 0:
        return Estimate(float(value), float(low.item()), float(high.item()))
    return Estimate(value, low.reshape(value.shape), high.reshape(value.shape))


class LikelihoodRatio(NamedTuple):
    """Twice the log-likelihood gained by separate laws, and its chi-square tail."""

    statistic: float
    degrees: int
    p_value: float


def likelihood_ratio(pooled: Fit[Any], *separate: Fit[Any]) -> LikelihoodRatio:
    """Test that groups share one law, from a fit to all of them and one to each.

    Asymptotically chi-square, with as many degrees as parameters are saved by pooling.
    """
    statistic = 2 * (sum(fit.log_likelihood for fit in separate) - pooled.log_likelihood)
    degrees = len(pooled.stderr) * (len(separate) - 1)
    return LikelihoodRatio(statistic, degrees, float(stats.chi2.sf(statistic, degrees)))


def fit_logit(
    knowns: ArrayLike, happened: ArrayLike, *, ridge: float = 1e-6, what: str, outcome: str
) -> Fit[Array]:
    """Logistic regression: logit P(happened) = b_0 + b . x, by maximum likelihood.

    On standardised columns, with a ridge too small to matter but for columns that split the
    data perfectly.

    Parameters
    ----------
    knowns : ndarray, shape (n, knowns)
    happened : ndarray of bool, shape (n,)
    what, outcome : the caller's name, and the outcome's, for messages

    Returns
    -------
    Fit of ndarray, shape (knowns + 1,); ``stderr`` by ``intercept`` and ``slope_0`` ...

    Raises
    ------
    ValueError
        Shapes that disagree, values that are not finite, a constant column or outcome.
    """
    x, y = np.asarray(knowns, float), np.asarray(happened, float)
    if x.ndim != 2 or y.shape != x.shape[:1]:
        raise ValueError(f"{what}: knowns {x.shape} and {outcome} {y.shape} disagree")
    if not (np.isfinite(x).all() and np.isin(y, (0, 1)).all()):
        raise ValueError(f"{what}: knowns must be finite and {outcome} 0 or 1")
    centre, scale = x.mean(axis=0), x.std(axis=0)
    if not (scale > 0).all() or y.min() == y.max():
        raise ValueError(f"{what}: a known, or {outcome}, never varies")
    z = np.column_stack([np.ones(len(y)), (x - centre) / scale])

    def slope(b: Array) -> Array:
        return np.asarray(z.T @ (expit(z @ b) - y) / len(y) + ridge * np.r_[0.0, b[1:]])

    def loss(b: Array) -> tuple[float, Array]:
        u = z @ b
        value = (np.logaddexp(0, u) - y * u).mean() + ridge / 2 * (b[1:] @ b[1:])
        return float(value), slope(b)

    start = np.r_[np.log(y.mean() / (1 - y.mean())), np.zeros(x.shape[1])]
    b, _ = numerics.minimise(loss, start, gradient=True, what=what)
    # Back to the knowns as given: a linear map of the estimates and of their covariance.
    back = np.diag(np.r_[1.0, 1 / scale])
    back[0, 1:] = -centre / scale
    covariance = back @ np.linalg.inv(numerics.hessian(slope, b) * len(y)) @ back.T
    names = ["intercept", *(f"slope_{k}" for k in range(x.shape[1]))]
    p = expit(z @ b)
    return Fit(
        model=back @ b,
        stderr=dict(zip(names, np.sqrt(np.diag(covariance)).tolist(), strict=True)),
        log_likelihood=float((xlogy(y, p) + xlogy(1 - y, 1 - p)).sum()),
        n=len(y),
        covariance=covariance,
    )

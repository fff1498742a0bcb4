"""The one place that calls scipy's optimisers: it answers, or raises ``NotConverged``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize

Array = NDArray[np.float64]
Model = TypeVar("Model")


class NotConverged(RuntimeError):
    """A solver stopped without an answer; the message says which and why."""


@dataclass(frozen=True)
class Fit(Generic[Model]):
    """What an estimator returns.

    Parameters
    ----------
    model : the fitted model, complete and usable
    stderr : standard error of each estimated parameter, by name
    log_likelihood : maximised log-likelihood
    n : number of observations
    covariance : ndarray, shape (k, k), of the estimates in the order of ``stderr``, or None
    """

    model: Model
    stderr: Mapping[str, float]
    log_likelihood: float
    n: int
    covariance: Array | None = None

    def interval(self, name: str, level: float = 0.95) -> tuple[float, float]:
        """Wald interval of one parameter."""
        from scipy.stats import norm

        centre = float(getattr(self.model, name))
        half = float(norm.ppf(0.5 + level / 2)) * self.stderr[name]
        return centre - half, centre + half


def minimise(
    objective: Callable[..., Any],
    start: ArrayLike,
    *,
    gradient: Callable[[Array], Array] | bool | None = None,
    hessian: Callable[[Array], Array] | None = None,
    bounds: Sequence[tuple[float | None, float | None]] | None = None,
    constraints: Any = (),
    what: str = "minimise",
    tolerance: float = 1e-10,
    max_steps: int = 2000,
) -> tuple[Array, float]:
    """Argmin and minimum of a smooth objective by L-BFGS-B, or SLSQP with constraints.

    ``gradient=True`` says that the objective returns (value, gradient). With a ``hessian``
    (and neither bounds nor constraints) it is Newton's method in a trust region, and
    ``tolerance`` is the norm of the gradient at which it stops.

    Raises
    ------
    NotConverged
        If the solver reports failure, or the optimum is not finite.
    """
    method = "SLSQP" if np.size(constraints) else "L-BFGS-B"
    options: dict[str, Any] = {"maxiter": max_steps, "ftol": tolerance}
    if hessian is not None:
        method = "trust-exact"
        options = {"maxiter": max_steps, "gtol": tolerance, "max_trust_radius": 8.0}
    elif method == "L-BFGS-B":
        options |= {"gtol": tolerance, "maxfun": 20 * max_steps}
    result = optimize.minimize(
        objective,
        np.asarray(start, float),
        jac=gradient,
        hess=hessian,
        bounds=bounds,
        constraints=constraints,
        method=method,
        options=options,
    )
    if not result.success or not np.isfinite(result.fun):
        raise NotConverged(f"{what}: {result.message} (after {result.nit} steps)")
    return np.asarray(result.x, float), float(result.fun)


@dataclass(frozen=True)
class Linear:
    """The answer of a linear program.

    Parameters
    ----------
    x : ndarray, shape (n,), the argmin
    value : the minimum
    multipliers : ndarray, shape (m,), >= 0, by how much the minimum would fall for one more
        unit of each constraint's right-hand side
    """

    x: Array
    value: float
    multipliers: Array


def linear_program(
    cost: ArrayLike,
    at_most: tuple[ArrayLike, ArrayLike],
    *,
    bounds: Sequence[tuple[float | None, float | None]] | None = None,
    what: str = "linear program",
) -> Linear:
    """Minimise cost x subject to A x <= b, ``at_most`` = (A, b), within ``bounds``, by HiGHS.

    Bounds are x >= 0 unless given. The answer is a corner of the feasible set.

    >>> answer = linear_program([-3.0, -2.0], ([[1.0, 1.0], [1.0, 3.0]], [4.0, 6.0]))
    >>> answer.x.tolist(), answer.value, answer.multipliers.tolist()
    ([4.0, 0.0], -12.0, [3.0, 0.0])

    Raises
    ------
    NotConverged
        If the program is infeasible, unbounded or given up.
    """
    matrix, limit = at_most
    result = optimize.linprog(
        np.asarray(cost, float),
        A_ub=np.asarray(matrix, float),
        b_ub=np.asarray(limit, float),
        bounds=(0, None) if bounds is None else bounds,
        method="highs-ds",
    )
    if not result.success:
        raise NotConverged(f"{what}: {result.message}")
    fall = -np.asarray(result.ineqlin.marginals, float)
    # The sign of a zero means nothing.
    return Linear(np.asarray(result.x, float), float(result.fun), np.maximum(fall, 0.0))


@dataclass(frozen=True)
class Concave:
    """The optimum of a concave program, with its certificate.

    Parameters
    ----------
    x : ndarray, shape (n,), the argmax
    value : the objective there
    multipliers : ndarray, shape (m,), > 0, what one more unit of each right-hand side is worth
    gap : no feasible point's value is more than this above ``value``
    """

    x: Array
    value: float
    multipliers: Array
    gap: float


def maximise_concave(
    objective: Callable[[Array], tuple[float, Array, Array]],
    at_most: tuple[ArrayLike, ArrayLike],
    start: ArrayLike,
    *,
    scale: ArrayLike = 1.0,
    tolerance: float = 1e-9,
    max_steps: int = 200,
    what: str = "concave program",
) -> Concave:
    """Maximise a smooth concave objective subject to A x <= b, ``at_most`` = (A, b).

    A primal-dual interior-point method: Newton steps on the optimality conditions with
    multiplier times slack held at a level that falls to nothing (Boyd & Vandenberghe 2004,
    section 11.7, with slacks, so that the start need not be feasible). The multipliers are
    part of the answer, and their product with the slacks bounds what is left to gain.

    Parameters
    ----------
    objective : callable
        x -> (value, gradient, Hessian), concave wherever the steps may lead: what limits
        its domain must be a row of A that the start satisfies strictly.
    start : array_like, shape (n,)
        Where to begin.
    scale : array_like
        Typical sizes of x.
    tolerance : float
        Largest gap, and largest violation, as a share of typical sizes.

    Raises
    ------
    NotConverged
        If the steps end before the optimum is reached: no feasible point, or no maximum.

    Examples
    --------
    >>> answer = maximise_concave(
    ...     lambda x: (float(np.log(x).sum()), 1 / x, np.diag(-1 / x**2)),
    ...     ([[1.0, 2.0], [-1.0, 0.0], [0.0, -1.0]], [4.0, 0.0, 0.0]), [1.0, 1.0])
    >>> answer.x.round(6).tolist(), answer.multipliers.round(6).tolist()
    ([2.0, 1.0], [0.5, 0.0, 0.0])
    """
    size = np.broadcast_to(np.asarray(scale, float), np.shape(start))
    rows = np.asarray(at_most[0], float) * size
    height = np.abs(rows).max(axis=1)
    height[height == 0] = 1.0
    rows, limit = rows / height[:, np.newaxis], np.asarray(at_most[1], float) / height
    z = np.asarray(start, float) / size
    unit = max(float(np.abs(objective(z * size)[1] * size).max()), 1e-300)

    def conditions(z: Array, slack: Array, price: Array) -> tuple[Array, Array, Array, Array]:
        _, gradient, curvature = objective(z * size)
        pull = rows.T @ price - gradient * size / unit
        return (
            pull,
            rows @ z + slack - limit,
            slack * price,
            curvature * np.outer(size, size) / unit,
        )

    slack = np.maximum(limit - rows @ z, 1e-2)
    price = 1e-1 / slack
    pull, excess, product, curvature = conditions(z, slack, price)
    for _ in range(max_steps):
        level = float(product.mean())
        if max(level * limit.size, np.abs(pull).max(), np.abs(excess).max()) <= tolerance:
            multipliers = price * unit / height
            return Concave(
                z * size, objective(z * size)[0], multipliers, float(product.sum() * unit)
            )
        target = 0.1 * level
        weight = price / slack
        system = rows.T @ (weight[:, np.newaxis] * rows) - curvature
        # A direction in which nothing changes may be left: a hint of stiffness settles it.
        stiff = np.sqrt(np.diag(system))
        system = system / np.outer(stiff, stiff) + 1e-13 * np.eye(z.size)
        downhill = -pull + rows.T @ (price - target / slack - weight * excess)
        step = np.linalg.solve(system, downhill / stiff) / stiff
        slack_step = -excess - rows @ step
        price_step = target / slack - price - weight * slack_step
        shrinking = np.concatenate([-slack_step / slack, -price_step / price]).max()
        length = min(1.0, 0.99 / shrinking) if shrinking > 0 else 1.0
        before = np.linalg.norm(np.concatenate([pull, excess, product - target]))
        for _ in range(40):
            trial = z + length * step, slack + length * slack_step, price + length * price_step
            pull, excess, product, curvature = conditions(*trial)
            after = np.linalg.norm(np.concatenate([pull, excess, product - target]))
            if after <= (1.0 - 0.01 * length) * before:
                break
            length /= 2.0
        z, slack, price = trial
    raise NotConverged(
        f"{what}: after {max_steps} steps the conditions are off by {np.abs(pull).max():g}, "
        f"the constraints by {np.abs(excess).max():g}, the gap is {product.sum() * unit:g}"
    )


def root(f: Callable[[float], float], low: float, high: float, *, what: str = "root") -> float:
    """Where ``f`` crosses zero between ``low`` and ``high``; ``NotConverged`` if it does not."""
    at_low, at_high = float(f(low)), float(f(high))
    if at_low == 0.0:
        return low
    if at_high == 0.0:
        return high
    if not at_low * at_high < 0:
        raise NotConverged(
            f"{what}: no sign change on [{low:g}, {high:g}] (values {at_low:g}, {at_high:g})"
        )
    return float(optimize.brentq(f, low, high, xtol=1e-12, rtol=1e-12))


def maximise_scalar(
    f: Callable[[Array], Array],
    low: float,
    high: float,
    *,
    points: int = 257,
    what: str = "maximise",
) -> float:
    """Argmax of ``f`` (vectorised) on [low, high]: a grid with both ends, then refined.

    A bounded search never tries the ends, so "no discount" comes out as a tiny one:
    the grid includes them, and an end that wins is returned exactly.
    """
    grid = np.linspace(low, high, points)
    values = np.asarray(f(grid), float)
    if not np.isfinite(values).any():
        raise NotConverged(f"{what}: the objective is finite nowhere on [{low:g}, {high:g}]")
    best = int(np.nanargmax(values))
    left, right = grid[max(best - 1, 0)], grid[min(best + 1, points - 1)]
    result = optimize.minimize_scalar(
        lambda x: -float(np.asarray(f(np.array([x])), float)[0]),
        bounds=(left, right),
        method="bounded",
        options={"xatol": 1e-10},
    )
    if not result.success:
        raise NotConverged(f"{what}: {result.message}")
    return float(result.x) if -result.fun > values[best] else float(grid[best])


def hessian(gradient: Callable[[Array], Array], at: Array, step: float = 1e-5) -> Array:
    """Symmetric Hessian by central differences of an analytic gradient. Shape (k, k)."""
    at = np.asarray(at, float)
    steps = step * np.maximum(1.0, np.abs(at))
    rows = [
        (gradient(at + h * e) - gradient(at - h * e)) / (2 * h)
        for h, e in zip(steps, np.eye(at.size), strict=True)
    ]
    matrix = np.array(rows)
    return np.asarray((matrix + matrix.T) / 2)


def crossing(x: ArrayLike, y: ArrayLike) -> Any:
    """Where sampled curves first cross zero, by linear interpolation; inf where they never do.

    Parameters
    ----------
    x : ndarray, shape (points,), increasing
    y : ndarray, shape (points,) or (points, draws)

    Returns
    -------
    float, or ndarray of shape (draws,)

    Examples
    --------
    >>> float(crossing([0, 1, 2], [-1.0, 1.0, 3.0]))
    0.5
    """
    at, value = np.asarray(x, float), np.asarray(y, float)
    table = value[:, None] if value.ndim == 1 else value
    turns = np.sign(table[:-1]) * np.sign(table[1:]) <= 0
    first = turns.argmax(axis=0)
    draws = np.arange(table.shape[1])
    left, right = table[first, draws], table[first + 1, draws]
    step = np.where(left == right, 0.0, left / np.where(left == right, 1.0, left - right))
    found = np.where(turns.any(axis=0), at[first] + step * (at[first + 1] - at[first]), np.inf)
    return found[0] if value.ndim == 1 else found

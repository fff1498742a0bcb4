"""The one place that calls scipy's optimisers: it answers, or raises ``NotConverged``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, sparse

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
    at_most: tuple[Any, ArrayLike],
    *,
    bounds: Sequence[tuple[float | None, float | None]] | None = None,
    what: str = "linear program",
) -> Linear:
    """Minimise cost x subject to A x <= b, ``at_most`` = (A, b), within ``bounds``, by HiGHS.

    A may be sparse. Bounds are x >= 0 unless given. The answer is a corner of the feasible set.

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
        A_ub=matrix if sparse.issparse(matrix) else np.asarray(matrix, float),
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
class Whole:
    """The answer of an integer program, with its certificate.

    Parameters
    ----------
    x : ndarray, shape (n,), the best point found
    value : the cost there
    bound : no feasible point costs less
    """

    x: Array
    value: float
    bound: float


def integer_program(
    cost: ArrayLike,
    rows: Sequence[tuple[Any, ArrayLike, ArrayLike]],
    *,
    whole: ArrayLike,
    upper: ArrayLike = 1.0,
    time_limit: float = 60.0,
    what: str = "integer program",
) -> Whole:
    """Minimise cost x with low <= A x <= high for each of ``rows`` (A, low, high), by HiGHS.

    ``0 <= x <= upper``, and x is a whole number where ``whole``. Stopped by the time limit, it
    answers with the best point found; the bound says how good that is.

    >>> answer = integer_program([-3.0, -2.0], [([[2.0, 2.0]], -np.inf, 3.0)], whole=[True, True])
    >>> answer.x.tolist(), answer.value, answer.bound
    ([1.0, 0.0], -3.0, -3.0)

    Raises
    ------
    NotConverged
        If the program is infeasible or unbounded, or the limit passed without a point.
    """
    result = optimize.milp(
        np.asarray(cost, float),
        constraints=[optimize.LinearConstraint(a, low, high) for a, low, high in rows],
        integrality=np.asarray(whole, int),
        bounds=optimize.Bounds(0.0, upper),
        options={"time_limit": time_limit, "mip_rel_gap": 0.0},
    )
    if result.x is None:
        raise NotConverged(f"{what}: {result.message}")
    bound = result.fun if result.mip_dual_bound is None else result.mip_dual_bound
    return Whole(np.asarray(result.x, float), float(result.fun), float(bound))


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


def maximise_each(
    f: Callable[[Array], Array],
    low: float,
    high: float,
    shape: tuple[int, ...],
    *,
    points: int = 257,
    what: str = "maximise",
) -> Array:
    """``maximise_scalar`` for many curves at once: the argmax of each, of the given shape.

    Parameters
    ----------
    f : callable
        x of shape (n, *shape), or (n, 1, ...) on the grid -> each curve's value at its own x,
        shape (n, *shape). Refined by golden sections between the grid's neighbours.
    """
    grid = np.linspace(low, high, points)
    values = np.broadcast_to(
        np.asarray(f(grid.reshape(-1, *[1] * len(shape))), float), (points, *shape)
    )
    if not np.isfinite(values).any(axis=0).all():
        raise NotConverged(f"{what}: an objective is finite nowhere on [{low:g}, {high:g}]")
    best = np.nanargmax(values, axis=0)
    left, right = grid[np.maximum(best - 1, 0)], grid[np.minimum(best + 1, points - 1)]
    while np.max(right - left, initial=0.0) > 1e-10 * max(1.0, abs(low), abs(high)):
        inner = (
            left
            + (right - left) * np.stack([1.0 - _GOLDEN, _GOLDEN])[:, *[np.newaxis] * len(shape)]
        )
        at_inner = np.asarray(f(inner), float)
        falls = at_inner[0] > at_inner[1]
        left, right = np.where(falls, left, inner[0]), np.where(falls, inner[1], right)
    middle = (left + right) / 2.0
    better = np.asarray(f(middle[np.newaxis]), float)[0] > np.nanmax(values, axis=0)
    return np.asarray(np.where(better, middle, grid[best]))


_GOLDEN = (5.0**0.5 - 1.0) / 2.0


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


def search(
    objective: Callable[[Array], float],
    start: ArrayLike,
    *,
    what: str = "search",
    step: float = 1.0,
    tolerance: float = 1e-9,
    max_steps: int = 20000,
) -> tuple[Array, float]:
    """Argmin and minimum of an objective with kinks by Nelder and Mead's simplex, from one start.

    Raises
    ------
    NotConverged
        If the simplex has not shrunk after ``max_steps``, or the minimum is not finite.
    """
    begin = np.asarray(start, float)
    corners = np.vstack([begin, begin + step * np.eye(begin.size)])
    result = optimize.minimize(
        objective,
        begin,
        method="Nelder-Mead",
        options={
            "initial_simplex": corners,
            "xatol": 1e-5,
            "fatol": tolerance * max(1.0, abs(objective(begin))),
            "maxiter": max_steps,
            "maxfev": 4 * max_steps,
            "adaptive": True,
        },
    )
    if not result.success or not np.isfinite(result.fun):
        raise NotConverged(f"{what}: {result.message} (after {result.nit} steps)")
    return np.asarray(result.x, float), float(result.fun)

"""Which alternative people choose, what moves them, and what having it is worth to them.

Multinomial, nested and mixed logit (McFadden 1974, 1978; Train 2009) by maximum likelihood
with analytic derivatives and errors that hold when the model is wrong or people choose more
than once; and a market of sales channels built on them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray
from scipy import special
from scipy.stats import qmc

from o2o_research.domain import require
from o2o_research.models import numerics
from o2o_research.models.numerics import Array, Fit, NotConverged

Integers = NDArray[np.int64]


def log_sum(utility: ArrayLike) -> Array:
    """Expected utility of the best alternative, ln sum of exp V, up to Euler's constant.

    Parameters
    ----------
    utility : array_like, shape (..., alternatives); minus infinity where one is not to be had
    """
    value = np.asarray(utility, float)
    return np.asarray(special.logsumexp(value, axis=-1))


def shares(utility: ArrayLike) -> Array:
    """Logit shares, exp V over its sum. Shape (..., alternatives).

    >>> shares([1000.0, 1000.0, -np.inf]).tolist()
    [0.5, 0.5, 0.0]
    """
    return np.asarray(special.softmax(np.asarray(utility, float), axis=-1))


@dataclass(frozen=True, kw_only=True, eq=False)
class Choices:
    """What was offered and what was taken.

    Parameters
    ----------
    attributes : ndarray, shape (situations, alternatives, attributes)
    chosen : ndarray of int, shape (situations,), the place of the one taken
    names : of the attributes
    available : ndarray of bool, shape (situations, alternatives), or None where all always are
    person : ndarray of int, shape (situations,), who chose; None where nobody chose twice

    Raises
    ------
    ValueError
        Shapes that disagree, values that are not finite, or one taken that was not there.
    """

    attributes: Array
    chosen: Integers
    names: tuple[str, ...]
    available: NDArray[np.bool_] | None = None
    person: Integers | None = None

    def __post_init__(self) -> None:
        x = np.ascontiguousarray(self.attributes, dtype=float)
        taken = np.asarray(self.chosen)
        if x.ndim != 3 or 0 in x.shape:
            raise ValueError(
                f"Choices: attributes has shape {x.shape}; (situations, alternatives, attributes) is wanted"
            )
        if x.shape[1] < 2:
            raise ValueError("Choices: one alternative is no choice")
        if len(self.names) != x.shape[2] or len(set(self.names)) != len(self.names):
            raise ValueError(f"Choices: names={self.names} for {x.shape[2]} attributes")
        if taken.shape != x.shape[:1] or not np.issubdtype(taken.dtype, np.integer):
            raise ValueError(
                f"Choices: chosen has shape {taken.shape} of {taken.dtype}; one whole number a situation is wanted"
            )
        there = np.ones(x.shape[:2], bool) if self.available is None else np.asarray(self.available)
        if there.shape != x.shape[:2] or there.dtype != bool:
            raise ValueError(f"Choices: available has shape {there.shape} of {there.dtype}")
        x = np.where(there[..., np.newaxis], x, 0.0) if self.available is not None else x
        if not np.isfinite(x).all():
            n, j, k = np.argwhere(~np.isfinite(x))[0]
            raise ValueError(f"Choices: {self.names[k]}={x[n, j, k]} in situation {n}")
        rows = np.arange(taken.size)
        wrong = (taken < 0) | (taken >= x.shape[1])
        wrong |= ~there[rows, np.where(wrong, 0, taken)]
        if wrong.any():
            n = int(wrong.argmax())
            raise ValueError(f"Choices: chosen={taken[n]} in situation {n} was not there")
        who = rows if self.person is None else np.unique(self.person, return_inverse=True)[1]
        if np.shape(who) != taken.shape:
            raise ValueError(f"Choices: person has shape {np.shape(who)}")
        # People together, so that a person's situations are one slice.
        order = np.argsort(who, kind="stable")
        for name, value in (
            ("attributes", x[order]),
            ("chosen", taken[order].astype(np.int64)),
            ("available", there[order]),
            ("person", np.asarray(who, np.int64)[order]),
        ):
            object.__setattr__(self, name, value)

    @property
    def varied(self) -> NDArray[np.bool_]:
        """Which attributes differ between the alternatives of some situation."""
        return np.asarray(_varied(self.attributes, self.available))


@njit(cache=True)
def _varied(x, there):  # type: ignore[no-untyped-def]
    situations, alternatives, k = x.shape
    found = np.zeros(k, np.bool_)
    for n in range(situations):
        first = 0
        while not there[n, first]:
            first += 1
        for j in range(first + 1, alternatives):
            if there[n, j]:
                for a in range(k):
                    found[a] |= x[n, j, a] != x[n, first, a]
        if found.all():
            break
    return found


# --- Multinomial logit ----------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, eq=False)
class Logit:
    """Multinomial logit: V = x b, shares exp V over their sum.

    Parameters
    ----------
    names : of the attributes
    coefficients : ndarray, shape (attributes,) [b]

    Examples
    --------
    Two shops, one two yuan dearer:

    >>> taste = Logit(names=("price",), coefficients=np.array([-0.5]))
    >>> taste.shares([[10.0], [12.0]]).round(4).tolist()
    [0.7311, 0.2689]
    >>> round(float(taste.surplus([[10.0], [12.0]], "price")), 4)
    -9.3735
    """

    names: tuple[str, ...]
    coefficients: Array

    def __getitem__(self, name: str) -> float:
        return float(self.coefficients[self.names.index(name)])

    def utility(self, attributes: ArrayLike) -> Array:
        """V, shape (..., alternatives), from attributes of shape (..., alternatives, attributes)."""
        return np.asarray(attributes, float) @ self.coefficients

    def shares(self, attributes: ArrayLike) -> Array:
        """Share of each alternative. Shape (..., alternatives)."""
        return shares(self.utility(attributes))

    def elasticities(self, attributes: ArrayLike, name: str) -> Array:
        """By how many per cent the share of i moves when x_j rises by one: b x_j (1[i=j] - P_j).

        Shape (..., i, j).
        """
        x = np.asarray(attributes, float)
        slope = self[name] * x[..., self.names.index(name)]
        p = self.shares(x)
        return np.asarray((np.eye(p.shape[-1]) - p[..., np.newaxis, :]) * slope[..., np.newaxis, :])

    def surplus(self, attributes: ArrayLike, price: str) -> Array:
        """What the choice is worth in units of the price: log-sum over -b (Small & Rosen 1981)."""
        return log_sum(self.utility(attributes)) / _price_weight(self[price], price)


def _price_weight(coefficient: float, price: str) -> float:
    if not coefficient < 0:
        raise ValueError(f"{price}={coefficient:g}: a price that attracts has no worth in money")
    return -coefficient


@njit(cache=True)
def _logit_sums(x, chosen, there, b, v, mean, gradient, curvature):  # type: ignore[no-untyped-def]
    """Log-likelihood; its gradient and minus its Hessian are added up in place."""
    situations, alternatives, k = x.shape
    total = 0.0
    gradient[:] = 0.0
    curvature[:] = 0.0
    for n in range(situations):
        top = -np.inf
        for j in range(alternatives):
            if there[n, j]:
                value = 0.0
                for a in range(k):
                    value += x[n, j, a] * b[a]
                v[j] = value
                top = max(top, value)
        bottom = 0.0
        own = v[chosen[n]] - top
        for j in range(alternatives):
            if there[n, j]:
                v[j] = np.exp(v[j] - top)
                bottom += v[j]
        total += own - np.log(bottom)
        for a in range(k):
            mean[a] = 0.0
        for j in range(alternatives):
            if there[n, j]:
                v[j] /= bottom
                for a in range(k):
                    mean[a] += v[j] * x[n, j, a]
        for a in range(k):
            gradient[a] += x[n, chosen[n], a] - mean[a]
        for j in range(alternatives):
            if there[n, j]:
                for a in range(k):
                    left = v[j] * (x[n, j, a] - mean[a])
                    for c in range(a + 1):
                        curvature[a, c] += left * (x[n, j, c] - mean[c])
    for a in range(k):
        for c in range(a):
            curvature[c, a] = curvature[a, c]
    return total


def logit_steps(choices: Choices) -> Iterator[tuple[Array, float, Array, Array]]:
    """Newton's steps on the concave likelihood, from 0: (b, log-likelihood, gradient, curvature).

    A step that does not climb is halved. The sequence ends where a step gains nothing more.
    """
    x, chosen, there = choices.attributes, choices.chosen, choices.available
    alternatives, k = x.shape[1:]
    work = np.empty(alternatives), np.empty(k)

    def at(b: Array) -> tuple[Array, float, Array, Array]:
        gradient, curvature = np.empty(k), np.empty((k, k))
        total = _logit_sums(x, chosen, there, b, *work, gradient, curvature)
        return b, float(total), gradient, curvature

    here = at(np.zeros(k))
    for _ in range(100):
        yield here
        b, value, gradient, curvature = here
        # Scaled, so that an attribute in yuan and one in millions of yuan count alike.
        size = np.sqrt(np.diag(curvature))
        if not np.all(size > 0):
            return
        try:
            step = np.linalg.solve(curvature / np.outer(size, size), gradient / size) / size
        except np.linalg.LinAlgError:
            return
        climb = float(gradient @ step)
        if not climb > 1e-14 * max(1.0, abs(value)):
            return
        for halving in range(30):
            there_now = at(b + step / 2.0**halving)
            if there_now[1] >= value + 1e-4 * climb / 2.0**halving:
                break
        else:
            return
        here = there_now
        if abs(here[1] - value) <= 1e-13 * abs(value) and climb < 1e-9:
            yield here
            return


def fit_logit(choices: Choices) -> Fit[Logit]:
    """Multinomial logit by Newton's method, with errors robust to misspecification.

    ``stderr`` and ``covariance`` are the sandwich H^-1 G H^-1 (White 1982), the scores G added
    up by person; ``classical_errors`` gives those that trust the model.

    Raises
    ------
    NotConverged
        The alternatives never differ in an attribute, attributes repeat one another, or some
        combination of them tells every choice.
    """
    _identified(choices)
    *_, (b, value, _, curvature) = logit_steps(choices)
    size = np.sqrt(np.diag(curvature))
    bend = curvature / np.outer(np.where(size > 0, size, 1.0), np.where(size > 0, size, 1.0))
    lowest = float(np.linalg.eigvalsh(bend)[0])
    if lowest < 1e-11 or value > -1e-6 * len(choices.chosen):
        weights = np.abs(np.linalg.eigh(bend)[1][:, 0])
        guilty = [n for n, w in zip(choices.names, weights, strict=True) if w > 0.3 * weights.max()]
        raise NotConverged(
            f"fit_logit: {' and '.join(guilty)} cannot be told apart, or tell every choice"
        )
    inverse = np.linalg.inv(bend) / np.outer(size, size)
    outer = _logit_scores(choices.attributes, choices.chosen, choices.available, choices.person, b)
    covariance = inverse @ outer @ inverse
    return Fit(
        model=Logit(names=choices.names, coefficients=b),
        stderr=_named(choices.names, covariance),
        log_likelihood=value,
        n=len(choices.chosen),
        covariance=covariance,
    )


def classical_errors(choices: Choices, model: Logit) -> Array:
    """Standard errors from the information matrix alone, where the model is taken for true."""
    k = len(model.names)
    gradient, curvature = np.empty(k), np.empty((k, k))
    work = np.empty(choices.attributes.shape[1]), np.empty(k)
    _logit_sums(
        choices.attributes, choices.chosen, choices.available, model.coefficients, *work,
        gradient, curvature,
    )  # fmt: skip
    return np.sqrt(np.diag(np.linalg.inv(curvature)))


def _identified(choices: Choices) -> None:
    same = [n for n, v in zip(choices.names, choices.varied, strict=True) if not v]
    if same:
        raise NotConverged(f"{', '.join(same)}: the alternatives never differ in it")


@njit(cache=True)
def _logit_scores(x, chosen, there, who, b):  # type: ignore[no-untyped-def]
    """Sum of the outer products of people's scores. Shape (attributes, attributes)."""
    situations, alternatives, k = x.shape
    outer, own = np.zeros((k, k)), np.zeros(k)
    v = np.empty(alternatives)
    for n in range(situations):
        top = -np.inf
        for j in range(alternatives):
            if there[n, j]:
                value = 0.0
                for a in range(k):
                    value += x[n, j, a] * b[a]
                v[j] = value
                top = max(top, value)
        bottom = 0.0
        for j in range(alternatives):
            if there[n, j]:
                v[j] = np.exp(v[j] - top)
                bottom += v[j]
        for a in range(k):
            own[a] += x[n, chosen[n], a]
            for j in range(alternatives):
                if there[n, j]:
                    own[a] -= v[j] / bottom * x[n, j, a]
        if n + 1 == situations or who[n + 1] != who[n]:
            for a in range(k):
                for c in range(k):
                    outer[a, c] += own[a] * own[c]
            own[:] = 0.0
    return outer


def _by_person(scores: Array, choices: Choices) -> Array:
    """Sum of the outer products of scores, those of a person added up first."""
    who = choices.person
    assert who is not None
    if scores.shape[0] == who.size > who[-1] + 1:
        starts = np.flatnonzero(np.r_[True, np.diff(who) > 0])
        scores = np.add.reduceat(scores, starts, axis=0)
    return np.asarray(scores.T @ scores)


def _named(names: Sequence[str], covariance: Array) -> dict[str, float]:
    return dict(zip(names, np.sqrt(np.diag(covariance)).tolist(), strict=True))


def _climb(
    scores: Callable[[Array], tuple[float, Array]],
    start: Array,
    scale: Array,
    choices: Choices,
    what: str,
    bounds: Sequence[tuple[float | None, float | None]] | None = None,
) -> tuple[Array, float, Array]:
    """Argmax, log-likelihood there and robust covariance, from scores by situation or person.

    ``scale`` brings the parameters to like size: the square root of a covariance near the start.
    """
    n = len(choices.chosen)

    def loss(z: Array) -> tuple[float, Array]:
        value, each = scores(start + scale @ z)
        return -value / n, -(scale.T @ each.sum(axis=0)) / n

    z, _ = numerics.minimise(
        loss, np.zeros(start.size), gradient=True, bounds=bounds, tolerance=1e-13, max_steps=500,
        what=what,
    )  # fmt: skip
    for at, ends in zip(z, bounds or (), strict=False):
        if ends[0] is not None and (at < ends[0] + 1e-6 or at > (ends[1] or np.inf) - 1e-6):
            raise NotConverged(
                f"{what}: the likelihood keeps rising as a dissimilarity runs off; "
                "these nests are not those of the data"
            )
    curvature = n * numerics.hessian(lambda at: loss(at)[1], z, step=1e-4)
    # Newton's last steps, where a quasi-Newton search lingers.
    for _ in range(3):
        z = z - np.linalg.solve(curvature, n * loss(z)[1])
    bend = np.linalg.eigvalsh(curvature)
    if not bend[0] > 1e-8 * max(bend[-1], 1.0):
        raise NotConverged(f"{what}: the likelihood is flat, the data cannot tell this model")
    value, each = scores(start + scale @ z)
    inverse = scale @ np.linalg.inv(curvature) @ scale.T
    return start + scale @ z, value, np.asarray(inverse @ _by_person(each, choices) @ inverse)


def _scale(covariance: Array, more: int) -> Array:
    """A square root of ``covariance``, with ``more`` parameters beside it in steps of a tenth."""
    k = len(covariance)
    scale = 0.1 * np.eye(k + more)
    scale[:k, :k] = np.linalg.cholesky(covariance)
    return scale


# --- Nested logit ---------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, eq=False)
class Nests:
    """Groups of alternatives that are closer to one another than to the rest.

    Parameters
    ----------
    nest : ndarray of int, shape (alternatives,), the group of each, from 0
    dissimilarity : ndarray, shape (..., groups), > 0: 1 where a group's alternatives share
        nothing, towards 0 where they are one and the same. [lambda] Above 1 the shares are
        those of no population that maximises utility for every price.

    Examples
    --------
    The red bus and the blue bus are nearly one; the car keeps half of the travellers:

    >>> buses = Nests(nest=np.array([0, 1, 1]), dissimilarity=np.array([1.0, 0.01]))
    >>> buses.shares([0.0, 0.0, 0.0]).round(3).tolist()
    [0.498, 0.251, 0.251]
    """

    nest: Integers
    dissimilarity: Array

    def __post_init__(self) -> None:
        nest, groups = np.asarray(self.nest), np.shape(self.dissimilarity)[-1:]
        if groups != (nest.max() + 1,) or set(nest.tolist()) != set(range(nest.max() + 1)):
            raise ValueError(f"Nests: nest={nest.tolist()} for {groups} dissimilarities")
        require(self, dissimilarity="(0, inf)")

    def _parts(self, utility: ArrayLike) -> tuple[Array, Array, Array]:
        """Scaled utility, inclusive value by group, and its weight lambda I. Minus infinity is gone."""
        v = np.asarray(utility, float)
        scaled = v / self.dissimilarity[..., self.nest]
        groups = self.dissimilarity.shape[-1]
        inclusive = np.stack(
            [special.logsumexp(scaled[..., self.nest == m], axis=-1) for m in range(groups)], -1
        )
        return scaled, inclusive, self.dissimilarity * inclusive

    def log_sum(self, utility: ArrayLike) -> Array:
        """Expected utility of the best alternative: ln of the sum over groups of exp(lambda I)."""
        return log_sum(self._parts(utility)[2])

    def within(self, utility: ArrayLike) -> tuple[Array, Array]:
        """Share of each alternative in its group, and of each group. (..., alternatives), (..., groups)."""
        scaled, inclusive, weight = self._parts(utility)
        floor = np.where(np.isfinite(inclusive), inclusive, 0.0)
        return np.exp(scaled - floor[..., self.nest]), shares(weight)

    def shares(self, utility: ArrayLike) -> Array:
        """Share of each alternative. Shape (..., alternatives)."""
        inside, outer = self.within(utility)
        return np.asarray(inside * outer[..., self.nest])

    def responses(self, utility: ArrayLike) -> Array:
        """d ln P_i / d V_j, shape (..., i, j): in the group of i rivals lose more than outside."""
        inside, outer = self.within(utility)
        p = inside * outer[..., self.nest]
        free = 1.0 / self.dissimilarity[..., self.nest]
        same = self.nest[:, np.newaxis] == self.nest[np.newaxis, :]
        return np.asarray(
            np.eye(self.nest.size) * free[..., np.newaxis, :]
            + same * (inside * (1.0 - free))[..., np.newaxis, :]
            - p[..., np.newaxis, :]
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class NestedLogit(Logit):
    """Nested logit: the utilities of ``Logit``, the shares of ``Nests``."""

    nests: Nests

    def shares(self, attributes: ArrayLike) -> Array:
        return self.nests.shares(self.utility(attributes))

    def elasticities(self, attributes: ArrayLike, name: str) -> Array:
        """By how many per cent the share of i moves when x_j rises by one. Shape (..., i, j)."""
        x = np.asarray(attributes, float)
        slope = self[name] * x[..., self.names.index(name)]
        return np.asarray(self.nests.responses(self.utility(x)) * slope[..., np.newaxis, :])

    def surplus(self, attributes: ArrayLike, price: str) -> Array:
        return self.nests.log_sum(self.utility(attributes)) / _price_weight(self[price], price)


def fit_nested_logit(
    choices: Choices, nest: ArrayLike, *, one_dissimilarity: bool = False
) -> Fit[NestedLogit]:
    """Nested logit by full-information maximum likelihood, from the multinomial estimates.

    A group of one has a dissimilarity of 1; those of larger groups are estimated, as one for
    all with ``one_dissimilarity``, and are named ``dissimilarity_<group>``.

    Raises
    ------
    NotConverged
        As ``fit_logit``; or the likelihood is flat in a dissimilarity.
    """
    groups = np.asarray(nest, np.int64)
    if groups.shape != choices.attributes.shape[1:2]:
        raise ValueError(
            f"fit_nested_logit: nest={groups.tolist()} for {choices.attributes.shape[1]} alternatives"
        )
    counts = np.bincount(groups)
    free = np.flatnonzero(counts > 1)
    if free.size == 0 or free.size == counts.size == 1:
        raise ValueError(
            "fit_nested_logit: a group of several alternatives beside another is wanted"
        )
    begin = fit_logit(choices)
    k, x, n = len(choices.names), choices.attributes, len(choices.chosen)
    placed = np.zeros((counts.size, 1 if one_dissimilarity else free.size))
    placed[free, 0 if one_dissimilarity else np.arange(free.size)] = 1.0
    rows, taken, there = np.arange(n), choices.chosen, choices.available
    assert there is not None

    def nests_of(theta: Array) -> Nests:
        return Nests(nest=groups, dissimilarity=np.exp(placed @ theta[k:]))

    def scores(theta: Array) -> tuple[float, Array]:
        """Log-likelihood and its derivatives in b and in ln lambda, by situation."""
        nests = nests_of(theta)
        width = nests.dissimilarity
        v = np.where(there, x @ theta[:k], -np.inf)
        _, inclusive, weight = nests._parts(v)
        inside, outer = nests.within(v)
        own = groups[taken]
        total = (v[rows, taken] / width[own] - inclusive[rows, own] + weight[rows, own]).sum()
        total -= log_sum(weight).sum()
        free_of = 1.0 / width[groups]
        slope = (groups == own[:, np.newaxis]) * inside * (1.0 - free_of) - inside * outer[
            :, groups
        ]
        slope[rows, taken] += free_of[taken]
        by_b = np.einsum("nj,njk->nk", slope, x)
        finite = np.where(np.isfinite(v), v, 0.0)
        mean = np.stack(
            [(inside * finite)[:, groups == m].sum(axis=1) for m in range(width.size)], axis=1
        )
        bend = np.where(np.isfinite(inclusive), inclusive, 0.0) - mean / width
        by_width = -outer * bend
        by_width[rows, own] += (mean[rows, own] - v[rows, taken]) / width[own] ** 2 + bend[
            rows, own
        ]
        return float(total), np.hstack([by_b, (by_width * width) @ placed])

    start = np.r_[begin.model.coefficients, np.full(placed.shape[1], -0.1)]
    assert begin.covariance is not None
    scale = _scale(begin.covariance * n, placed.shape[1])
    # A dissimilarity between .05 and 7.4: beyond, these are no groups of like alternatives.
    ends = [*[(None, None)] * k, *[(-29.0, 21.0)] * placed.shape[1]]
    theta, value, spread = _climb(scores, start, scale, choices, "fit_nested_logit", ends)
    nests = nests_of(theta)
    # From ln lambda to lambda.
    stretch = np.r_[np.ones(k), np.exp(theta[k:])]
    covariance = spread * np.outer(stretch, stretch)
    labels = ["dissimilarity"] if one_dissimilarity else [f"dissimilarity_{m}" for m in free]
    return Fit(
        model=NestedLogit(names=choices.names, coefficients=theta[:k], nests=nests),
        stderr=_named([*choices.names, *labels], covariance),
        log_likelihood=value,
        n=n,
        covariance=covariance,
    )


# --- Mixed logit ----------------------------------------------------------------------


def taste_draws(
    people: int,
    draws: int,
    tastes: int,
    rng: np.random.Generator,
    sequence: Callable[..., Any] = qmc.Halton,
) -> Array:
    """Standard normal draws that fill space evenly. Shape (people, draws, tastes).

    ``sequence`` is scipy's ``qmc.Halton`` or ``qmc.Sobol``, scrambled; a person's draws are
    consecutive points, so that each alone is spread evenly (Bhat 2001; Train 2009, chapter 9).
    """
    made = sequence(d=tastes, scramble=True, rng=rng)
    points = people * draws
    if sequence is qmc.Sobol:
        points = 1 << (points - 1).bit_length()  # whole only in powers of two
    uniform = made.random(points)[: people * draws].reshape(people, draws, tastes)
    return np.asarray(special.ndtri(np.clip(uniform, 1e-12, 1 - 1e-12)))


@dataclass(frozen=True, kw_only=True, eq=False)
class MixedLogit:
    """Logit with tastes that differ between people: b = mean + spread z, or its exponential.

    Parameters
    ----------
    names : of the attributes
    mean : ndarray, shape (attributes,): of the taste, or of its logarithm where log-normal
    spread : ndarray, shape (attributes,), >= 0: its standard deviation; 0 where all feel alike
    lognormal : ndarray of bool, shape (attributes,): tastes of one sign, the positive one
    """

    names: tuple[str, ...]
    mean: Array
    spread: Array
    lognormal: NDArray[np.bool_]

    def tastes(self, normal: ArrayLike) -> Array:
        """Coefficients of people, shape (..., attributes), from standard normals of that shape."""
        raw = self.mean + self.spread * np.asarray(normal, float)
        return np.where(self.lognormal, np.exp(np.where(self.lognormal, raw, 0.0)), raw)

    def shares(self, attributes: ArrayLike, normal: ArrayLike) -> Array:
        """Share of each alternative, averaged over people. Shape (..., alternatives).

        Parameters
        ----------
        attributes : array_like, shape (..., alternatives, attributes)
        normal : array_like, shape (people, attributes), standard normals
        """
        x = np.asarray(attributes, float)
        return np.asarray(shares(np.moveaxis(x @ self.tastes(normal).T, -1, 0)).mean(axis=0))

    def elasticities(self, attributes: ArrayLike, name: str, normal: ArrayLike) -> Array:
        """By how many per cent the share of i moves when x_j rises by one. Shape (..., i, j)."""
        x, tastes = np.asarray(attributes, float), self.tastes(normal)
        a = self.names.index(name)
        p = shares(np.moveaxis(x @ tastes.T, -1, 0))
        pull = p * tastes[:, a].reshape(-1, *(1,) * (p.ndim - 1))
        moved = np.eye(p.shape[-1]) * pull.mean(axis=0)[..., np.newaxis, :]
        moved = moved - np.einsum("r...i,r...j->...ij", p, pull) / len(p)
        return np.asarray(moved * x[..., np.newaxis, :, a] / p.mean(axis=0)[..., :, np.newaxis])


@njit(cache=True)
def _mixed_scores(x, chosen, there, starts, normal, where, lognormal, mean, spread, scores):  # type: ignore[no-untyped-def]
    """Simulated log-likelihood; ``scores`` (people, attributes + random ones) is filled."""
    people, draws, random = normal.shape
    alternatives, k = x.shape[1:]
    total = 0.0
    b, v, average = np.empty(k), np.empty(alternatives), np.empty(k)
    logs, slopes = np.empty(draws), np.empty((draws, k))
    for i in range(people):
        best = -np.inf
        for r in range(draws):
            for a in range(k):
                b[a] = mean[a]
            for c in range(random):
                b[where[c]] += spread[c] * normal[i, r, c]
            for a in range(k):
                if lognormal[a]:
                    b[a] = np.exp(min(b[a], 300.0))
                slopes[r, a] = 0.0
            value = 0.0
            for n in range(starts[i], starts[i + 1]):
                top = -np.inf
                for j in range(alternatives):
                    if there[n, j]:
                        one = 0.0
                        for a in range(k):
                            one += x[n, j, a] * b[a]
                        v[j] = one
                        top = max(top, one)
                bottom = 0.0
                value += v[chosen[n]] - top
                for a in range(k):
                    average[a] = 0.0
                for j in range(alternatives):
                    if there[n, j]:
                        weight = np.exp(v[j] - top)
                        bottom += weight
                        for a in range(k):
                            average[a] += weight * x[n, j, a]
                value -= np.log(bottom)
                for a in range(k):
                    slopes[r, a] += x[n, chosen[n], a] - average[a] / bottom
            for a in range(k):
                if lognormal[a]:
                    slopes[r, a] *= b[a]
            logs[r] = value
            best = max(best, value)
        bottom = 0.0
        for a in range(k + random):
            scores[i, a] = 0.0
        for r in range(draws):
            weight = np.exp(logs[r] - best)
            bottom += weight
            for a in range(k):
                scores[i, a] += weight * slopes[r, a]
            for c in range(random):
                scores[i, k + c] += weight * slopes[r, where[c]] * normal[i, r, c]
        for a in range(k + random):
            scores[i, a] /= bottom
        total += best + np.log(bottom / draws)
    return total


def fit_mixed_logit(
    choices: Choices,
    random: Sequence[str],
    rng: np.random.Generator,
    *,
    lognormal: Sequence[str] = (),
    draws: int = 200,
    sequence: Callable[..., Any] = qmc.Halton,
) -> Fit[MixedLogit]:
    """Mixed logit by simulated maximum likelihood; a person's tastes are the same in each choice.

    Parameters
    ----------
    random : attributes whose taste differs between people, normal
    lognormal : those of them with tastes of one sign; the attribute must attract (give minus
        the price)
    draws : points of the sequence a person; the estimates' bias falls with them

    Raises
    ------
    NotConverged
        As ``fit_logit``; the likelihood is flat; or a log-normal taste has the wrong sign.
    """
    unknown = [n for n in (*random, *lognormal) if n not in choices.names]
    if unknown or not random or not set(lognormal) <= set(random):
        raise ValueError(
            f"fit_mixed_logit: random={tuple(random)}, lognormal={tuple(lognormal)} of {choices.names}"
        )
    begin = fit_logit(choices)
    signs = np.array([name in lognormal for name in choices.names])
    wrong = [n for n in lognormal if begin.model[n] <= 0]
    if wrong:
        raise NotConverged(
            f"fit_mixed_logit: {', '.join(wrong)} repels on average; a log-normal taste attracts, give minus the attribute"
        )
    where = np.array([choices.names.index(name) for name in random])
    who = choices.person
    assert who is not None
    starts = np.r_[np.flatnonzero(np.r_[True, np.diff(who) > 0]), who.size]
    normal = taste_draws(starts.size - 1, draws, where.size, rng, sequence)
    k = len(choices.names)

    def scores(theta: Array) -> tuple[float, Array]:
        each = np.empty((starts.size - 1, theta.size))
        value = _mixed_scores(
            choices.attributes, choices.chosen, choices.available, starts, normal, where, signs,
            theta[:k], theta[k:], each,
        )  # fmt: skip
        return float(value), each

    assert begin.covariance is not None
    size = np.sqrt(np.diag(begin.covariance) * len(choices.chosen))
    b = begin.model.coefficients
    centre = np.where(signs, np.log(np.where(signs, b, 1.0)), b)
    width = np.where(signs, 0.3, 0.3 * np.abs(b) + 0.1 * size)[where]
    scale = np.diag(np.r_[np.where(signs, 1.0, size), np.where(signs, 1.0, size)[where]])
    theta, value, covariance = _climb(
        scores, np.r_[centre, width], scale, choices, "fit_mixed_logit"
    )
    spread = np.zeros(k)
    spread[where] = np.abs(theta[k:])  # its sign says nothing
    return Fit(
        model=MixedLogit(names=choices.names, mean=theta[:k], spread=spread, lognormal=signs),
        stderr=_named([*choices.names, *(f"spread_{name}" for name in random)], covariance),
        log_likelihood=value,
        n=len(choices.chosen),
        covariance=covariance,
    )


# --- Channels -------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, eq=False)
class ChannelChoice:
    """Where prospects buy a phone: online or in one of the stores near them, or not at all.

    A channel's worth is what the phone is worth less price and waiting, plus trial and
    after-sales, in yuan. The channels are a nest: the same phone in another shop is the
    nearest thing to it, nearer than another phone.

    Parameters
    ----------
    worth : float
        Of the phone in hand, above that of not buying it, yuan. [w]
    taste_spread : float
        Scale of what is not seen, yuan, > 0: worth differs between people with a standard
        deviation of 1.28 of it. [s]
    waiting_cost : float
        Yuan a day of waiting, >= 0. [h]
    trial_worth, service_worth : float
        Of trying the phone and of after-sales at a counter, yuan, >= 0. [t, a]
    dissimilarity : float
        Of the channels among one another, in (0, 1]. [l]
    coverage_share : float
        Share of prospects with stores in reach, in [0, 1]. [c]
    store_bound_share : float
        Share of prospects who do not buy online at all, in [0, 1]. [b]
    price, waiting, trial, service : ndarray, shape (..., channels)
        Yuan, days, and how much of a full trial and after-sales a channel gives; the first
        channel is the online one.
    handicap : ndarray, shape (..., channels)
        Yuan by which other brands on the same shelf draw off, more than online ones do.
    """

    worth: float | Array
    taste_spread: float | Array
    waiting_cost: float | Array
    trial_worth: float | Array
    service_worth: float | Array
    dissimilarity: float | Array
    coverage_share: float | Array
    store_bound_share: float | Array
    price: Array
    waiting: Array
    trial: Array
    service: Array
    handicap: Array | float = 0.0

    def __post_init__(self) -> None:
        require(
            self,
            taste_spread="(0, inf)",
            waiting_cost="[0, inf)",
            trial_worth="[0, inf)",
            service_worth="[0, inf)",
            dissimilarity="(0, 1]",
            coverage_share="[0, 1]",
            store_bound_share="[0, 1]",
            price="[0, inf)",
            waiting="[0, inf)",
            trial="[0, 1]",
            service="[0, 1]",
            handicap="[0, inf)",
        )

    @property
    def utility(self) -> Array:
        """Worth of each channel over the scale, shape (..., channels)."""

        def column(value: float | Array) -> Array:
            return np.asarray(value, float)[..., np.newaxis]

        yuan = (
            column(self.worth)
            - self.price
            - column(self.waiting_cost) * self.waiting
            + column(self.trial_worth) * self.trial
            + column(self.service_worth) * self.service
            - self.handicap
        )
        return np.asarray(yuan / column(self.taste_spread))

    def _nests(self, utility: Array) -> tuple[Nests, Array]:
        """Not buying and the channels: two groups, and utilities with a 0 in front."""
        v = np.concatenate([np.zeros((*utility.shape[:-1], 1)), utility], axis=-1)
        width = np.asarray(self.dissimilarity, float)
        nest = np.r_[0, np.ones(utility.shape[-1], int)]
        return Nests(nest=nest, dissimilarity=np.stack([np.ones_like(width), width], axis=-1)), v

    def _segments(self, open_channels: Sequence[int] | None) -> list[tuple[Array, Array]]:
        """What each kind of prospect can choose among, and how many they are.

        The web and stores, the web alone, stores alone; who has neither is out.
        """
        v, place = self.utility, np.arange(self.price.shape[-1])
        opened = place >= 0 if open_channels is None else np.isin(place, open_channels)
        cover, bound = np.asarray(self.coverage_share), np.asarray(self.store_bound_share)
        kinds = (
            (opened, cover * (1.0 - bound)),
            (opened & (place == 0), (1.0 - cover) * (1.0 - bound)),
            (opened & (place > 0), cover * bound),
        )
        return [(np.where(seen, v, -np.inf), np.asarray(part)) for seen, part in kinds]

    def shares(self, open_channels: Sequence[int] | None = None) -> Array:
        """Share of all prospects that buys in each channel. Shape (..., channels).

        ``open_channels`` are the places of those in use, all unless given.
        """
        total: Any = 0.0
        for seen, part in self._segments(open_channels):
            nests, v = self._nests(seen)
            total = total + part[..., np.newaxis] * nests.shares(v)[..., 1:]
        return np.asarray(total)

    def surplus(self, open_channels: Sequence[int] | None = None) -> Array:
        """What the offer is worth to a prospect on average, yuan: the scale times the log-sum."""
        total: Any = 0.0
        for seen, part in self._segments(open_channels):
            nests, v = self._nests(seen)
            total = total + part * nests.log_sum(v)
        return np.asarray(total * self.taste_spread)

    @property
    def network_welfare(self) -> Array:
        """What the stores are worth to a prospect beside the web, yuan."""
        return self.surplus() - self.surplus([0])

    @property
    def network_share(self) -> Array:
        """By how much the share of prospects who buy rises with the stores."""
        return np.asarray(self.shares().sum(axis=-1) - self.shares([0]).sum(axis=-1))

    @property
    def diverted_share(self) -> Array:
        """Share of the stores' buyers who would have bought online without them."""
        both, alone = self.shares(), self.shares([0])
        return np.asarray((alone[..., 0] - both[..., 0]) / both[..., 1:].sum(axis=-1))

    def profit(self, margin: ArrayLike, open_channels: Sequence[int] | None = None) -> Array:
        """Contribution a prospect, yuan, from a margin by channel of shape (..., channels)."""
        return np.asarray((self.shares(open_channels) * np.asarray(margin, float)).sum(axis=-1))

    def network_gain(self, margin: ArrayLike) -> Array:
        """What opening the stores adds to the contribution of a prospect, yuan; may be a loss."""
        return self.profit(margin) - self.profit(margin, [0])


# --- A crowd of brands ----------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Crowd:
    """Like brands that sell online, each at the price that is best against the others'.

    Brands are a nest: a new one takes from the others first. What the phone is worth and
    costs is read off today's price and share, taken to be an equilibrium in prices (Bertrand).

    Parameters
    ----------
    brands : float
        Brands today, >= 1.
    price : float
        Of each today, yuan, > 0.
    share : float
        Share of online prospects that buys one brand today, in (0, 1 / brands).
    taste_spread : float
        As of ``ChannelChoice``, yuan, > 0. [s]
    dissimilarity : float
        Of the brands among one another, in (0, 1]. [l]

    Examples
    --------
    >>> now = Crowd(brands=6.0, price=800.0, share=0.08, taste_spread=200.0, dissimilarity=0.5)
    >>> round(float(now.markup), 1), round(float(now.at(9.0).share), 4)
    (114.1, 0.0596)
    """

    brands: float | Array
    price: float | Array
    share: float | Array
    taste_spread: float | Array
    dissimilarity: float | Array

    def __post_init__(self) -> None:
        require(
            self,
            brands="[1, inf)",
            price="(0, inf)",
            share="(0, 1)",
            taste_spread="(0, inf)",
            dissimilarity="(0, 1]",
        )
        if not np.all(np.multiply(self.share, self.brands) < 1):
            total = float(np.max(np.multiply(self.share, self.brands)))
            raise ValueError(f"Crowd: all brands together would sell to {total:g} of the prospects")

    def _markup(self, brands: float | Array, share: float | Array) -> Array:
        """First-order condition of a price: m (1/l + (1 - 1/l)/n - sigma) = s."""
        free = 1.0 / np.asarray(self.dissimilarity, float)
        return np.asarray(self.taste_spread / (free - (free - 1.0) / brands - share))

    @property
    def markup(self) -> Array:
        """Price less cost today, yuan."""
        return self._markup(self.brands, self.share)

    @property
    def _pull(self) -> Array:
        """(worth - cost) / s of a phone, from today's share of all brands."""
        together = np.multiply(self.share, self.brands)
        odds = np.log(together / (1.0 - together))
        return np.asarray(
            odds - self.dissimilarity * np.log(self.brands) + self.markup / self.taste_spread
        )

    def _share(self, brands: float | Array, markup: Array) -> Array:
        together = special.expit(
            self._pull - markup / self.taste_spread + self.dissimilarity * np.log(brands)
        )
        return np.asarray(together / brands)

    def at(self, brands: float | Array) -> Market:
        """Price and share of each with so many brands. Everything broadcasts.

        The condition's right side falls in the markup, so bisection finds its one root.
        """
        count = np.asarray(brands, float)
        low = self._markup(count, 0.0)
        high = self._markup(count, self._share(count, low))
        low, high = (np.array(each) for each in np.broadcast_arrays(low, high))
        for _ in range(60):
            middle = (low + high) / 2
            short = self._markup(count, self._share(count, middle)) > middle
            low, high = np.where(short, middle, low), np.where(short, high, middle)
        markup = (low + high) / 2
        share = self._share(count, markup)
        return Market(self.price - self.markup + markup, markup, share, markup * share)

    def matching_discount(self, ratio: ArrayLike) -> Array:
        """Yuan off with which a brand wins ``ratio`` times as many of those in between as a like one.

        Within the nest the odds of two brands are exp of their prices' difference over l s.
        """
        return np.asarray(self.taste_spread * self.dissimilarity * np.log(ratio))


class Market(NamedTuple):
    """One brand of several: price and markup, yuan; share and profit, yuan, of a prospect."""

    price: Array
    markup: Array
    share: Array
    profit: Array

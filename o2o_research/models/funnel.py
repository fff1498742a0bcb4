"""Sales as footfall x conversion x basket x frequency: honest store rates, and who made an uplift.

Conversion shrinks by a beta-binomial, baskets by a normal hierarchy of logarithms, league tables
by Efron & Morris (1975). An uplift is split by Shapley values or by the logarithmic mean (LMDI,
Ang 2005): both add up exactly and ask no order of the factors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainc, betaincinv, betaln, digamma, gammaln, ndtri

from o2o_research.domain import require
from o2o_research.models import numerics
from o2o_research.models.numerics import Fit

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Funnel:
    """What a store sells in a period.

    Parameters
    ----------
    footfall : different visitors, >= 0
    conversion : share of visits that end in a purchase, in [0, 1]
    basket : yuan a purchase, >= 0
    frequency : visits a visitor, >= 0

    Examples
    --------
    >>> float(Funnel(footfall=1000, conversion=0.2, basket=150.0, frequency=1.5).sales)
    45000.0
    """

    footfall: ArrayLike
    conversion: ArrayLike
    basket: ArrayLike
    frequency: ArrayLike = 1.0

    def __post_init__(self) -> None:
        require(
            self, footfall="[0, inf)", conversion="[0, 1]", basket="[0, inf)", frequency="[0, inf)"
        )

    @property
    def factors(self) -> dict[str, Array]:
        """The four factors by name."""
        names = ("footfall", "conversion", "basket", "frequency")
        return {name: np.asarray(getattr(self, name), float) for name in names}

    @property
    def sales(self) -> Array:
        """Yuan a period."""
        return np.asarray(math.prod(self.factors.values()))


def lmdi(before: Mapping[str, ArrayLike], after: Mapping[str, ArrayLike]) -> dict[str, Array]:
    """Each factor's part of the change of a product, by the logarithmic mean.

    L(V_1, V_0) ln(x_1 / x_0), L(a, b) = (a - b) / ln(a / b), L(a, a) = a (Ang 2005): the parts add
    up to V_1 - V_0 exactly, whatever the order, and change sign when time is turned round.

    Parameters
    ----------
    before, after : the same factors by name, > 0; arrays broadcast

    Examples
    --------
    Visitors up by half, conversion up by a third, sales doubled:

    >>> parts = lmdi({"footfall": 100.0, "conversion": 0.3}, {"footfall": 150.0, "conversion": 0.4})
    >>> {name: round(float(part), 3) for name, part in parts.items()}
    {'footfall': 17.549, 'conversion': 12.451}
    """
    old, new = _factors(before, after, "lmdi")
    bad = [name for name in old if (old[name] <= 0).any() or (new[name] <= 0).any()]
    if bad:
        raise ValueError(
            f"lmdi: factor {bad[0]!r} must lie in (0, inf) before and after; use shapley for zeros"
        )
    ratios = {name: np.log(new[name] / old[name]) for name in old}
    start, total = math.prod(old.values()), np.sum(np.broadcast_arrays(*ratios.values()), axis=0)
    # (e^t - 1) / t without cancellation near 0.
    small = np.abs(total) < 1e-9
    mean = np.asarray(
        start * np.where(small, 1 + total / 2, np.expm1(total) / np.where(small, 1.0, total))
    )
    return {name: np.asarray(mean * ratio) for name, ratio in ratios.items()}


def shapley(before: Mapping[str, ArrayLike], after: Mapping[str, ArrayLike]) -> dict[str, Array]:
    """Each factor's part of the change of a product, averaged over all orders of change.

    Adds up to the change exactly; zeros are allowed. The cost doubles with each factor.

    Examples
    --------
    >>> parts = shapley({"footfall": 100.0, "conversion": 0.3}, {"footfall": 150.0, "conversion": 0.4})
    >>> {name: round(float(part), 3) for name, part in parts.items()}
    {'footfall': 17.5, 'conversion': 12.5}
    """
    old, new = _factors(before, after, "shapley")
    names = list(old)
    parts = {}
    for name in names:
        others = [other for other in names if other != name]
        part = np.zeros(np.broadcast_shapes(*(np.shape(v) for v in (*old.values(), *new.values()))))
        for size in range(len(names)):
            share = (
                math.factorial(size)
                * math.factorial(len(names) - size - 1)
                / math.factorial(len(names))
            )
            for moved in combinations(others, size):
                rest = math.prod(new[other] if other in moved else old[other] for other in others)
                part = part + share * rest * (new[name] - old[name])
        parts[name] = np.asarray(part)
    return parts


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """How conversion varies between stores: beta with a mean and a concentration.

    Parameters
    ----------
    mean : mean conversion over stores, in (0, 1). [a / (a + b)]
    concentration : visits' worth of knowledge before any visit, > 0. [a + b]

    Examples
    --------
    Three sales in ten visits, where stores usually convert a fifth:

    >>> round(float(Conversion(mean=0.2, concentration=40).shrunk(10, 3)), 3)
    0.22
    """

    mean: float
    concentration: float

    def __post_init__(self) -> None:
        require(self, mean="(0, 1)", concentration="(0, inf)")

    def shrunk(self, visits: ArrayLike, purchases: ArrayLike) -> Array:
        """Posterior mean conversion of each store. Shape as the inputs."""
        visits, purchases = np.asarray(visits, float), np.asarray(purchases, float)
        return np.asarray(
            (purchases + self.mean * self.concentration) / (visits + self.concentration)
        )

    def interval(
        self, visits: ArrayLike, purchases: ArrayLike, level: float = 0.9
    ) -> tuple[Array, Array]:
        """Posterior interval of each store's conversion."""
        a = np.asarray(purchases, float) + self.mean * self.concentration
        b = (
            np.asarray(visits, float)
            - np.asarray(purchases, float)
            + (1 - self.mean) * self.concentration
        )
        return np.asarray(betaincinv(a, b, (1 - level) / 2)), np.asarray(
            betaincinv(a, b, (1 + level) / 2)
        )

    def chance_above(self, level: ArrayLike, visits: ArrayLike, purchases: ArrayLike) -> Array:
        """Posterior probability that a store converts more than ``level``."""
        a = np.asarray(purchases, float) + self.mean * self.concentration
        b = (
            np.asarray(visits, float)
            - np.asarray(purchases, float)
            + (1 - self.mean) * self.concentration
        )
        return np.asarray(1 - betainc(a, b, np.asarray(level, float)))


def fit_conversion(visits: ArrayLike, purchases: ArrayLike) -> Fit[Conversion]:
    """Mean and concentration of conversion over stores, by beta-binomial maximum likelihood.

    Parameters
    ----------
    visits, purchases : whole numbers, shape (stores,), 0 <= purchases <= visits

    Raises
    ------
    ValueError
        More purchases than visits, or fewer than two stores with visits.
    NotConverged
        Stores vary no more than chance would make them: the likelihood has no maximum.
    """
    n, k = np.asarray(visits, float), np.asarray(purchases, float)
    if n.ndim != 1 or n.shape != k.shape or (n > 0).sum() < 2:
        raise ValueError(
            f"fit_conversion: visits and purchases of at least two stores wanted, got {n.shape}, {k.shape}"
        )
    wrong = ~((k >= 0) & (k <= n))
    if wrong.any():
        at = int(np.argmax(wrong))
        raise ValueError(f"fit_conversion: store {at} has purchases={k[at]:g} for visits={n[at]:g}")
    rate = k.sum() / n.sum()
    # Between chance alone and none at all, the pull of the spread beyond the binomial decides.
    excess = (
        float(np.sum((k - n * rate) ** 2) / (rate * (1 - rate)) - n.sum()) if 0 < rate < 1 else -1.0
    )
    if excess <= 0:
        raise numerics.NotConverged(
            "fit_conversion: stores differ no more than chance makes them; pool them"
        )

    def loss(at: Array) -> tuple[float, Array]:
        m, s = 1 / (1 + math.exp(-at[0])), math.exp(at[1])
        a, b = m * s, (1 - m) * s
        value = float(np.sum(betaln(k + a, n - k + b) - betaln(a, b)))
        da = np.sum(digamma(k + a) - digamma(n + s)) - n.size * (digamma(a) - digamma(s))
        db = np.sum(digamma(n - k + b) - digamma(n + s)) - n.size * (digamma(b) - digamma(s))
        slope = np.array([(da - db) * s * m * (1 - m), da * a + db * b])
        return -value / n.size, -slope / n.size

    start = [math.log(rate / (1 - rate)), math.log(30.0)]
    best, value = numerics.minimise(
        loss, start, gradient=True, tolerance=1e-12, what="fit_conversion"
    )
    m, s = 1 / (1 + math.exp(-best[0])), math.exp(best[1])
    spread = np.linalg.inv(numerics.hessian(lambda x: loss(x)[1] * n.size, best))
    jacobian = np.diag([m * (1 - m), s])
    covariance = jacobian @ spread @ jacobian
    choose = float(np.sum(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)))
    return Fit(
        model=Conversion(mean=m, concentration=s),
        stderr=dict(
            zip(("mean", "concentration"), np.sqrt(np.diag(covariance)).tolist(), strict=True)
        ),
        log_likelihood=-value * n.size + choose,
        n=n.size,
        covariance=covariance,
    )


@dataclass(frozen=True, kw_only=True)
class Basket:
    """How baskets vary: lognormal within a store, their log means normal between stores.

    Parameters
    ----------
    log_mean : mean over stores of the mean log basket (yuan)
    between : standard deviation of stores' mean log baskets, >= 0
    within : standard deviation of log baskets in a store, > 0
    """

    log_mean: float
    between: float
    within: float

    def __post_init__(self) -> None:
        require(self, between="[0, inf)", within="(0, inf)")

    def kept(self, purchases: ArrayLike) -> Array:
        """Share of a store's own deviation that is believed, in [0, 1)."""
        own = self.within**2 / np.asarray(purchases, float)
        return np.asarray(self.between**2 / (self.between**2 + own))

    def shrunk(self, log_means: ArrayLike, purchases: ArrayLike) -> Array:
        """Expected basket of each store, yuan. [exp(m + within^2 / 2)]"""
        kept = self.kept(purchases)
        centre = self.log_mean + kept * (np.asarray(log_means, float) - self.log_mean)
        unsure = (1 - kept) * self.between**2
        return np.asarray(np.exp(centre + (self.within**2 + unsure) / 2))

    def interval(
        self, log_means: ArrayLike, purchases: ArrayLike, level: float = 0.9
    ) -> tuple[Array, Array]:
        """Posterior interval of each store's mean basket, yuan."""
        kept = self.kept(purchases)
        centre = (
            self.log_mean
            + kept * (np.asarray(log_means, float) - self.log_mean)
            + self.within**2 / 2
        )
        reach = float(ndtri(0.5 + level / 2)) * np.sqrt((1 - kept) * self.between**2)
        return np.asarray(np.exp(centre - reach)), np.asarray(np.exp(centre + reach))


def fit_basket(log_means: ArrayLike, log_variances: ArrayLike, purchases: ArrayLike) -> Fit[Basket]:
    """The basket hierarchy from each store's mean and variance of log baskets, by likelihood.

    Parameters
    ----------
    log_means, log_variances : of each store's log baskets (variance with n - 1), shape (stores,)
    purchases : of each store, >= 2

    Raises
    ------
    NotConverged
        If no store's baskets vary: nothing tells how far to trust a mean.
    """
    y, v, n = (np.asarray(a, float) for a in (log_means, log_variances, purchases))
    if y.ndim != 1 or not y.shape == v.shape == n.shape or y.size < 3:
        raise ValueError(
            f"fit_basket: three arrays of at least three stores wanted, got {y.shape}, {v.shape}, {n.shape}"
        )
    if (n < 2).any() or not (np.isfinite(y).all() and (v >= 0).all()):
        at = int(np.argmax((n < 2) | ~np.isfinite(y) | ~(v >= 0)))
        raise ValueError(
            f"fit_basket: store {at} has purchases={n[at]:g}, log variance {v[at]:g}; at least 2 and >= 0 wanted"
        )
    within = float(np.sum((n - 1) * v) / np.sum(n - 1))
    if within == 0:
        raise numerics.NotConverged(
            "fit_basket: no store's baskets vary; take each mean as it stands"
        )

    def centre(between: float) -> tuple[float, Array]:
        total = between + within / n
        return float(np.sum(y / total) / np.sum(1 / total)), total

    def slope(between: float) -> float:
        m, total = centre(between)
        return float(np.sum((y - m) ** 2 / total**2 - 1 / total))

    top = float(np.var(y)) * 4 + 1e-12
    between = 0.0 if slope(0.0) <= 0 else numerics.root(slope, 0.0, top, what="fit_basket")
    m, total = centre(between)
    likelihood = float(-0.5 * np.sum(np.log(2 * np.pi * total) + (y - m) ** 2 / total))
    spread = math.sqrt(between)
    information = float(np.sum(0.5 / total**2)) * 4 * between
    return Fit(
        model=Basket(log_mean=m, between=spread, within=math.sqrt(within)),
        stderr={
            "log_mean": float(np.sum(1 / total)) ** -0.5,
            "between": information**-0.5 if information > 0 else float("nan"),
            "within": math.sqrt(within / (2 * float(np.sum(n - 1)))),
        },
        log_likelihood=likelihood,
        n=y.size,
    )


def efron_morris(values: ArrayLike, variance: ArrayLike = 1.0) -> tuple[Array, float]:
    """Values drawn towards their mean by as much as chance explains, and the share that is kept.

    1 - (k - 3) variance / S, at least 0, S the sum of squared deviations (Efron & Morris 1975).

    Parameters
    ----------
    values : one a store, of equal known variance, shape (stores,), more than three
    variance : of each value, > 0
    """
    x = np.asarray(values, float)
    if x.ndim != 1 or x.size < 4:
        raise ValueError(f"efron_morris: at least four values wanted, got shape {x.shape}")
    spread = float(np.sum((x - x.mean()) ** 2))
    kept = max(0.0, 1 - (x.size - 3) * float(variance) / spread) if spread > 0 else 0.0  # type: ignore[arg-type]
    return np.asarray(x.mean() + kept * (x - x.mean())), kept


def _factors(
    before: Mapping[str, ArrayLike], after: Mapping[str, ArrayLike], name: str
) -> tuple[dict[str, Array], dict[str, Array]]:
    if set(before) != set(after) or not before:
        raise ValueError(
            f"{name}: the same factors before and after wanted, got {sorted(before)} and {sorted(after)}"
        )
    return (
        {key: np.asarray(value, float) for key, value in before.items()},
        {key: np.asarray(after[key], float) for key in before},
    )

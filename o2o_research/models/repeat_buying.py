"""Repeat buying beyond BG/NBD: two laws of leaving, covariates on both rates, honest forecasts.

``MBGNBD`` (Batislam, Denizel & Filiztekin 2007; Hoppe & Wagner 2007) lets a customer leave
right after the first purchase; ``ParetoNBD`` (Schmittlein, Morrison & Colombo 1987) at any
moment. ``fit_customer_base`` estimates either, or BG/NBD, with time-invariant covariates on how
often customers buy and on how soon they leave (Fader & Hardie 2007). ``forecast`` draws what
customers will do, parameters included, and ``coverage`` scores that on a hold-out period.

Sources
-------
Schmittlein, Morrison & Colombo (1987), Counting Your Customers: Who Are They and What Will They
Do Next?, Management Science 33(1), 1-24.
Batislam, Denizel & Filiztekin (2007), Empirical validation and comparison of models for customer
base analysis, International Journal of Research in Marketing 24(3), 201-209.
Hoppe & Wagner (2007), Customer Base Analysis: The Case for a Central Variant of the
Betageometric/NBD Model, Marketing: Journal of Research and Management 3(2), 75-90.
Fader & Hardie (2007), Incorporating time-invariant covariates into the Pareto/NBD and BG/NBD
models, brucehardie.com/notes/019.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import ArrayLike
from scipy import special

from o2o_research.domain import require
from o2o_research.models.customers import (
    BGNBD,
    Number,
    check_histories,
    plain,
    purchases_while_active,
    unique_cells,
)
from o2o_research.models.likelihood import maximum_likelihood
from o2o_research.models.numerics import Array, Fit, NotConverged


@dataclass(frozen=True, kw_only=True)
class MBGNBD:
    """BG/NBD in which a customer may also drop out right after the first purchase.

    A guest who came once on a voucher and never again has then a probability of having left,
    where BG/NBD says that he is alive for certain.

    Parameters
    ----------
    r, alpha : float or ndarray
        Shape and scale of the purchase rates, > 0. [r, alpha]
    a, b : float or ndarray
        Shapes of the drop-out probability after any purchase, > 0. [a, b]

    Raises
    ------
    ValueError
        If a parameter is not positive and finite.

    Examples
    --------
    >>> law = MBGNBD(r=0.5, alpha=6, a=0.9, b=1.6)
    >>> bool(law.alive(0, 0, 39) < law.alive(0, 0, 4) < 1)
    True
    """

    r: Number
    alpha: Number
    a: Number
    b: Number

    def __post_init__(self) -> None:
        require(self, r="(0, inf)", alpha="(0, inf)", a="(0, inf)", b="(0, inf)")

    def alive(self, frequency: ArrayLike, recency: ArrayLike, T: ArrayLike) -> Array:
        """Probability that a customer with this history has not dropped out. [P(alive)]"""
        x, t_x, age = (np.asarray(v, float) for v in (frequency, recency, T))
        silent = (self.r + x) * (np.log(self.alpha + age) - np.log(self.alpha + t_x))
        return plain(special.expit(-(np.log(self.a) - np.log(self.b + x) + silent)))

    def expected_purchases(
        self, t: ArrayLike, frequency: ArrayLike = 0.0, recency: ArrayLike = 0.0, T: ArrayLike = 0.0
    ) -> Array:
        """Expected purchases in the next ``t``, given a history; by default a new customer's.

        Arguments as in ``BGNBD.expected_purchases``.
        """
        x, age = np.asarray(frequency, float), np.asarray(T, float)
        active = purchases_while_active(
            self.r + x, np.asarray(t, float) / (self.alpha + age), self.a, self.b + x + 1
        )
        return plain(self.alive(x, recency, age) * active)

    def repeat_share(self, t: ArrayLike) -> Array:
        """Share of new customers who buy again within ``t``."""
        again = -np.expm1(-self.r * np.log1p(np.asarray(t, float) / self.alpha))
        return plain(self.b / (self.a + self.b) * again)

    def simulate(self, T: ArrayLike, rng: np.random.Generator) -> tuple[Array, Array]:
        """Frequency and recency of one customer for each entry of ``T``, as the model has it."""
        age = np.asarray(T, float)
        rate = np.maximum(rng.gamma(self.r, 1 / np.asarray(self.alpha), age.shape), 1e-300)
        drop = rng.beta(self.a, self.b, age.shape)
        stays = rng.random(age.shape) >= drop
        return _buy_until(np.where(stays, age, 0.0), rate, drop, rng)


@dataclass(frozen=True, kw_only=True)
class ParetoNBD:
    """Purchases of customers who may leave at any moment, unseen.

    While active a customer buys at random (Poisson) and leaves at random (exponential). Both
    rates vary over customers, as Gamma(r, alpha) and Gamma(s, beta), independently.

    Parameters
    ----------
    r, alpha : float or ndarray
        Shape and scale of the purchase rates, > 0. [r, alpha]
    s, beta : float or ndarray
        Shape and scale of the rates of leaving, > 0. [s, beta]

    Raises
    ------
    ValueError
        If a parameter is not positive and finite.

    Examples
    --------
    >>> cdnow = ParetoNBD(r=0.553, alpha=10.578, s=0.606, beta=11.669)
    >>> print(f"{cdnow.expected_purchases(52, frequency=26, recency=30.86, T=31):.2f}")
    25.46
    """

    r: Number
    alpha: Number
    s: Number
    beta: Number

    def __post_init__(self) -> None:
        require(self, r="(0, inf)", alpha="(0, inf)", s="(0, inf)", beta="(0, inf)")

    def alive(self, frequency: ArrayLike, recency: ArrayLike, T: ArrayLike) -> Array:
        """Probability that a customer with this history has not left. [P(alive)]"""
        x, t_x, age = (np.asarray(v, float) for v in (frequency, recency, T))
        odds = np.zeros(np.broadcast_shapes(*(np.shape(v) for v in (x, t_x, age, self.r))))
        still = (self.r + x) * np.log(self.alpha + age) + self.s * np.log(self.beta + age)
        # Left at u in [t_x, T] against still there, both divided by the latter.
        for share, weight in zip(_SHARES, _WEIGHTS, strict=True):
            u = t_x + (age - t_x) * share
            gone = (self.r + x) * np.log(self.alpha + u) + (self.s + 1) * np.log(self.beta + u)
            odds = odds + weight * (age - t_x) * self.s * np.exp(np.minimum(still - gone, 700.0))
        return plain(1 / (1 + odds))

    def expected_purchases(
        self, t: ArrayLike, frequency: ArrayLike = 0.0, recency: ArrayLike = 0.0, T: ArrayLike = 0.0
    ) -> Array:
        """Expected purchases in the next ``t``, given a history; by default a new customer's.

        Arguments as in ``BGNBD.expected_purchases``.
        """
        x, age = np.asarray(frequency, float), np.asarray(T, float)
        rate = (self.r + x) / (self.alpha + age)
        log_time = np.log1p(np.asarray(t, float) / (self.beta + age))
        # (1 - e^(-(s-1) l)) / (s - 1), which at s = 1 is l.
        active = log_time * special.exprel((1 - np.asarray(self.s)) * log_time)
        return plain(self.alive(x, recency, age) * rate * (self.beta + age) * active)

    def simulate(self, T: ArrayLike, rng: np.random.Generator) -> tuple[Array, Array]:
        """Frequency and recency of one customer for each entry of ``T``, as the model has it."""
        age = np.asarray(T, float)
        rate = rng.gamma(self.r, 1 / np.asarray(self.alpha), age.shape)
        leaving = np.maximum(rng.gamma(self.s, 1 / np.asarray(self.beta), age.shape), 1e-300)
        active = np.minimum(rng.exponential(1 / leaving), age)
        frequency = rng.poisson(rate * active).astype(float)
        # The last of x purchases at random moments.
        last = active * rng.random(age.shape) ** (1 / np.maximum(frequency, 1))
        return frequency, np.where(frequency > 0, last, 0.0)


@dataclass(frozen=True, kw_only=True)
class Regression:
    """A law whose rates differ by what is known of a customer from the start.

    ``purchase`` names by how much one unit of each covariate multiplies how often a customer
    buys; ``drop`` how soon he leaves: the rate of leaving in the Pareto/NBD, the odds a / b of
    the mean drop-out probability in the others. 1 is no difference.

    Parameters
    ----------
    law : of a customer whose covariates are all 0
    purchase, drop : covariate -> ratio, > 0
    """

    law: Any
    purchase: Mapping[str, float] = field(default_factory=dict)
    drop: Mapping[str, float] = field(default_factory=dict)

    def of(
        self,
        purchase: Mapping[str, ArrayLike] | None = None,
        drop: Mapping[str, ArrayLike] | None = None,
    ) -> Any:
        """The law of customers with these covariates, parameters of shape (customers,)."""
        faster, sooner = np.ones(()), np.ones(())
        for name, ratio in self.purchase.items():
            faster = faster * ratio ** np.asarray((purchase or {})[name], float)
        for name, ratio in self.drop.items():
            sooner = sooner * ratio ** np.asarray((drop or {})[name], float)
        changed: dict[str, Any] = {"alpha": self.law.alpha / faster}
        if isinstance(self.law, ParetoNBD):
            changed["beta"] = self.law.beta / sooner
        else:
            changed["a"] = self.law.a * sooner
        return replace(self.law, **changed)


# Nodes of the double-exponential rule on [0, 1], as exact near 0 as anywhere: what piles up
# behind the last purchase, at any scale, is seen.
_STEPS = np.arange(-40, 41) / 12
_SHARES = special.expit(np.pi * np.sinh(_STEPS))
_WEIGHTS = np.pi * np.cosh(_STEPS) * _SHARES * special.expit(-np.pi * np.sinh(_STEPS)) / 12


def fit_mbgnbd(
    frequency: ArrayLike, recency: ArrayLike, T: ArrayLike, counts: ArrayLike | None = None
) -> Fit[MBGNBD]:
    """Maximum-likelihood MBG/NBD, with standard errors; arguments and errors of ``fit_bgnbd``.

    Examples
    --------
    >>> truth, rng = MBGNBD(r=0.5, alpha=5, a=1, b=3), np.random.default_rng(1)
    >>> weeks = np.full(20_000, 52.0)
    >>> fit = fit_mbgnbd(*truth.simulate(weeks, rng), weeks)
    >>> bool(abs(fit.model.b - truth.b) < 3 * fit.stderr["b"])
    True
    """
    fit = fit_customer_base(MBGNBD, frequency, recency, T, counts)
    return replace(fit, model=fit.model.law)  # type: ignore[return-value]


def fit_pareto_nbd(
    frequency: ArrayLike, recency: ArrayLike, T: ArrayLike, counts: ArrayLike | None = None
) -> Fit[ParetoNBD]:
    """Maximum-likelihood Pareto/NBD, with standard errors; arguments and errors of ``fit_bgnbd``.

    The likelihood is the integral over the moment of leaving, of positive terms only: the
    published hypergeometric form, with its two cases and its cancellation, is not needed, and
    gradient and Hessian are integrals on the same nodes.

    Examples
    --------
    >>> truth, rng = ParetoNBD(r=0.6, alpha=10, s=0.6, beta=12), np.random.default_rng(1)
    >>> weeks = np.full(5_000, 52.0)
    >>> fit = fit_pareto_nbd(*truth.simulate(weeks, rng), weeks)
    >>> bool(abs(fit.model.r - truth.r) < 3 * fit.stderr["r"])
    True
    """
    fit = fit_customer_base(ParetoNBD, frequency, recency, T, counts)
    return replace(fit, model=fit.model.law)  # type: ignore[return-value]


def fit_customer_base(
    law: type[BGNBD] | type[MBGNBD] | type[ParetoNBD],
    frequency: ArrayLike,
    recency: ArrayLike,
    T: ArrayLike,
    counts: ArrayLike | None = None,
    *,
    purchase: Mapping[str, ArrayLike] | None = None,
    drop: Mapping[str, ArrayLike] | None = None,
) -> Fit[Regression]:
    """Any of the three laws by maximum likelihood, with covariates on its rates.

    Parameters
    ----------
    law : ``BGNBD``, ``MBGNBD`` or ``ParetoNBD``
    frequency, recency, T, counts : as in ``fit_bgnbd``
    purchase, drop : covariate -> ndarray, shape (customers,); known when the customer came, and
        so no result of what he did

    Returns
    -------
    Fit of the law's parameters and of one ratio a covariate, ``"purchase deal"``,
        ``"drop deal"``; ratios are positive, and a test of 1 is on their logarithm

    Raises
    ------
    ValueError
        If histories contradict themselves, or a covariate is not finite or the same for all.
    NotConverged
        If nobody bought again, or the likelihood has no maximum: says what runs away.

    Examples
    --------
    >>> rng = np.random.default_rng(3)
    >>> deal = rng.integers(0, 2, 20_000)
    >>> law = BGNBD(r=0.5, alpha=5 * 1.5**deal, a=1.0, b=3.0)
    >>> weeks = np.full(20_000, 52.0)
    >>> fit = fit_customer_base(BGNBD, *law.simulate(weeks, rng), weeks, purchase={"deal": deal})
    >>> print(f"{fit.model.purchase['deal']:.1f}")
    0.7
    """
    what = f"fit of {law.__name__}"
    x, t_x, age, n = check_histories(what, frequency, recency, T, counts)
    if not n[x > 0].any():
        raise NotConverged(
            f"{what}: none of the {n.sum():g} customers bought again, so neither how often "
            "they buy nor whether they leave can be estimated; observe them longer"
        )
    told = {f"purchase {k}": v for k, v in (purchase or {}).items()}
    told |= {f"drop {k}": v for k, v in (drop or {}).items()}
    known = {name: _covariate(what, name, values, x.size) for name, values in told.items()}
    start = {"r": 1.0, "alpha": float(n @ age / (n @ x))}
    x, t_x, age, *rest = unique_cells((x, t_x, age, *known.values()), n)
    weight = rest[-1]
    design = np.array(rest[:-1]).reshape(len(known), weight.size).T.copy()
    early = len(purchase or {})
    if law is ParetoNBD:
        start |= {"s": 1.0, "beta": float(weight @ age / weight.sum())}
        kernel: Callable[..., Any] = _pareto_cells
        extra: tuple[Any, ...] = (_SHARES, _WEIGHTS)
    else:
        start |= {"a": 1.0, "b": 2.0}
        kernel = _beta_geometric_cells
        extra = (0 if law is BGNBD else 1,)

    def likelihood(theta: Array) -> tuple[float, Array, Array]:
        value, slope, curvature = kernel(theta, x, t_x, age, weight, design, early, *extra)
        curvature = curvature - np.diag(slope)
        return value, slope / theta, curvature / np.outer(theta, theta)

    def model(**found: float) -> Regression:
        own = {name: value for name, value in found.items() if " " not in name}
        ratios = {kind: {k.partition(" ")[2]: v for k, v in found.items() if k.startswith(kind + " ")}
                  for kind in ("purchase", "drop")}  # fmt: skip
        return Regression(law=law(**own), **ratios)

    return maximum_likelihood(
        model, likelihood, start | dict.fromkeys(known, 1.0),
        n=weight.sum(), informative=weight[x > 0].sum(), what=what,
    )  # fmt: skip


def _covariate(what: str, name: str, values: ArrayLike, customers: int) -> Array:
    column = np.asarray(values, float)
    if column.shape != (customers,):
        raise ValueError(f"{what}: {name} wants shape ({customers},); got {column.shape}")
    if not np.isfinite(column).all():
        raise ValueError(
            f"{what}: {name} must be finite; row {np.flatnonzero(~np.isfinite(column))[0]} is not"
        )
    if column.size and column.min() == column.max():
        raise ValueError(f"{what}: {name} is {column[0]:g} for all customers, and tells nothing")
    return column


class Forecast(NamedTuple):
    """Purchases of each customer ahead: ``mean``, shape (customers,), ``draws`` of all of them.

    ``draws`` has shape (draws, customers): each row one draw of the parameters and of what the
    customers then do. Sums over groups and their quantiles come from it.
    """

    mean: Array
    draws: Array

    def interval(self, group: ArrayLike | None = None, level: float = 0.9) -> tuple[float, float]:
        """Where the purchases of a group (a mask; all customers by default) will lie."""
        chosen = slice(None) if group is None else np.asarray(group)
        total = self.draws[:, chosen].sum(axis=1)
        low, high = np.quantile(total, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
        return float(low), float(high)


def forecast(
    fit: Fit[Any],
    horizon: float,
    frequency: ArrayLike,
    recency: ArrayLike,
    T: ArrayLike,
    *,
    rng: np.random.Generator,
    draws: int = 200,
    purchase: Mapping[str, ArrayLike] | None = None,
    drop: Mapping[str, ArrayLike] | None = None,
) -> Forecast:
    """What customers buy in the next ``horizon``, with the uncertainty of the fit and of chance.

    Parameters
    ----------
    fit : of ``fit_bgnbd``, ``fit_mbgnbd``, ``fit_pareto_nbd`` or ``fit_customer_base``
    frequency, recency, T : histories, shape (customers,)
    purchase, drop : their covariates, where the fit has some

    Raises
    ------
    ValueError
        If the fit has no covariance to draw from.
    """
    if fit.covariance is None:
        raise ValueError("forecast: the fit has no covariance to draw from")
    x, t_x, age = (np.asarray(v, float) for v in (frequency, recency, T))

    def law(theta: Array) -> Any:
        named = dict(zip(fit.stderr, theta, strict=True))
        if not isinstance(fit.model, Regression):
            return replace(fit.model, **named)
        own = {k: v for k, v in named.items() if " " not in k}
        ratios = {kind: {k.partition(" ")[2]: v for k, v in named.items() if k.startswith(kind + " ")}
                  for kind in ("purchase", "drop")}  # fmt: skip
        return Regression(law=replace(fit.model.law, **own), **ratios).of(purchase, drop)

    at = np.array([_estimated(fit.model, name) for name in fit.stderr])
    spread = fit.covariance / np.outer(at, at)
    logs = rng.multivariate_normal(np.zeros(at.size), spread, draws)
    table = np.stack([_ahead(law(at * np.exp(each)), horizon, x, t_x, age, rng) for each in logs])
    return Forecast(np.asarray(law(at).expected_purchases(horizon, x, t_x, age)), table)


def coverage(
    ahead: Forecast, seen: ArrayLike, groups: ArrayLike, level: float = 0.9
) -> list[tuple[Any, float, float, float, float, float]]:
    """The forecast against what customers then did, by group and, last, for all (group ``"all"``).

    Returns
    -------
    list of (group, seen, expected, low, high, share of its customers inside their own interval)
    """
    did, label = np.asarray(seen, float), np.asarray(groups)
    ends = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(ahead.draws, ends, axis=0, method="inverted_cdf")
    inside = (low <= did) & (did <= high)
    rows = []
    for name in [*np.unique(label), "all"]:
        mask = np.ones(did.size, bool) if isinstance(name, str) and name == "all" else label == name
        rows.append(
            (name, did[mask].sum(), ahead.mean[mask].sum(), *ahead.interval(mask, level),
             inside[mask].mean())
        )  # fmt: skip
    return rows


def _estimated(model: Any, name: str) -> float:
    if isinstance(model, Regression):
        kind, _, covariate = name.partition(" ")
        return float(getattr(model, kind)[covariate] if covariate else getattr(model.law, name))
    return float(getattr(model, name))


def _ahead(
    law: Any, horizon: float, x: Array, t_x: Array, age: Array, rng: np.random.Generator
) -> Array:
    """One draw of each customer's purchases in the next ``horizon``."""
    active = rng.random(x.shape) < law.alive(x, t_x, age)
    rate = np.maximum(rng.gamma(law.r + x) / (law.alpha + age), 1e-300)
    if isinstance(law, ParetoNBD):
        leaving = np.maximum(rng.gamma(np.broadcast_to(law.s, x.shape)) / (law.beta + age), 1e-300)
        time = np.minimum(rng.exponential(1 / leaving), horizon)
        return np.where(active, rng.poisson(rate * time), 0).astype(float)
    drop = rng.beta(law.a, law.b + x + (1 if isinstance(law, MBGNBD) else 0))
    return _buy_until(np.where(active, horizon, 0.0), rate, drop, rng)[0]


def _buy_until(
    end: Array, rate: Array, drop: Array, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Purchases until ``end``, and the last of them, of customers who may drop out after each."""
    frequency, recency = np.zeros(end.shape), np.zeros(end.shape)
    buying = np.flatnonzero(end.ravel() > 0)
    while buying.size:
        at = recency.flat[buying] + rng.exponential(1 / rate.flat[buying])
        in_time = at <= end.flat[buying]
        buying, at = buying[in_time], at[in_time]
        frequency.flat[buying] += 1
        recency.flat[buying] = at
        buying = buying[rng.random(buying.size) >= drop.flat[buying]]
    return frequency, recency


@njit(cache=True, error_model="numpy")
def _add(
    n: float, g: Array, h: Array, row: Array, early: int, own: int, gradient: Array, hessian: Array
) -> None:
    """Add a customer's slope and curvature in ln(r, alpha, p3, p4) to those of all parameters.

    A purchase covariate lowers ln alpha, a drop covariate moves the parameter ``own``.
    """
    k = row.size
    sign = 1.0 if own == 2 else -1.0
    for i in range(4):
        gradient[i] += n * g[i]
        for j in range(4):
            hessian[i, j] += n * h[i, j]
    for c in range(k):
        p = 1 if c < early else own
        v = (-1.0 if c < early else sign) * row[c]
        gradient[4 + c] += n * g[p] * v
        for j in range(4):
            hessian[4 + c, j] += n * h[p, j] * v
            hessian[j, 4 + c] += n * h[p, j] * v
        for d in range(k):
            q = 1 if d < early else own
            w = (-1.0 if d < early else sign) * row[d]
            hessian[4 + c, 4 + d] += n * h[p, q] * v * w


@njit(cache=True, error_model="numpy")
def _beta_geometric_cells(
    theta: Array, x: Array, t: Array, T: Array, n: Array, design: Array, early: int, first: int
) -> tuple[float, Array, Array]:
    """Log-likelihood of BG/NBD (``first`` 0) or MBG/NBD (1), slope and curvature in logarithms.

    With m = x + ``first`` occasions to drop out: the gamma part, minus
    sum_{j<m} ln(1 + a / (b + j)), plus ln(e^c + e^d), c = (r + x) ln((alpha + t) / (alpha + T)),
    d = ln(a / (b + m - 1)); without an occasion d does not exist.
    """
    k = design.shape[1]
    value, gradient, hessian = 0.0, np.zeros(4 + k), np.zeros((4 + k, 4 + k))
    g, h, e = np.empty(4), np.empty((4, 4)), np.empty(4)
    for i in range(x.size):
        alpha, a = theta[1], theta[2]
        for c in range(k):
            if c < early:
                alpha *= theta[4 + c] ** -design[i, c]
            else:
                a *= theta[4 + c] ** design[i, c]
        r, b = theta[0], theta[3]
        m = int(x[i]) + first
        shape = r + x[i]
        g[:] = 0.0
        h[:] = 0.0
        v = r * np.log(alpha) - shape * np.log(alpha + t[i])
        g[0] += r * np.log(alpha / (alpha + t[i]))
        share = alpha / (alpha + t[i])
        g[1] += r - shape * share
        h[0, 0] += r * np.log(share)
        h[0, 1] += r - r * share
        h[1, 1] += -shape * share * (1 - share)
        for j in range(int(x[i])):
            v += np.log(r + j)
            g[0] += r / (r + j)
            h[0, 0] += r * j / (r + j) ** 2
        for j in range(m):
            stay, both = b + j, a + b + j
            v += np.log(stay / both)
            g[2] -= a / both
            g[3] += b / stay - b / both
            h[2, 2] -= a / both - (a / both) ** 2
            h[2, 3] += a * b / both**2
            h[3, 3] += b / stay - (b / stay) ** 2 - b / both + (b / both) ** 2
        # e: slope of c - d in logarithms
        c_ = -shape * np.log1p((T[i] - t[i]) / (alpha + t[i]))
        late = alpha / (alpha + T[i])
        e[0] = -r * np.log1p((T[i] - t[i]) / (alpha + t[i]))
        e[1] = shape * (share - late)
        alive = 1.0
        c11 = shape * (share * (1 - share) - late * (1 - late))
        c01 = r * (share - late)
        if m > 0:
            d = np.log(a / (b + m - 1))
            e[2], e[3] = -1.0, b / (b + m - 1)
            gap = c_ - d
            odds = np.exp(-abs(gap))
            v += d + max(gap, 0.0) + np.log1p(odds)
            alive = 1 / (1 + odds) if gap > 0 else odds / (1 + odds)
            gone = odds / (1 + odds) if gap > 0 else 1 / (1 + odds)
            g[2] += 1.0
            g[3] += -e[3]
            h[3, 3] += -e[3] * (1 - e[3])
            for p in range(4):
                g[p] += alive * e[p]
                for q in range(p, 4):
                    h[p, q] += alive * gone * e[p] * e[q]
            h[3, 3] += alive * e[3] * (1 - e[3])
        else:
            v += c_
            g[0] += e[0]
            g[1] += e[1]
        h[0, 0] += alive * e[0]
        h[0, 1] += alive * c01
        h[1, 1] += alive * c11
        for p in range(4):
            for q in range(p):
                h[p, q] = h[q, p]
        value += n[i] * v
        _add(n[i], g, h, design[i], early, 2, gradient, hessian)
    return value, gradient, hessian


@njit(cache=True, error_model="numpy")
def _pareto_cells(
    theta: Array, x: Array, t: Array, T: Array, n: Array, design: Array, early: int,
    shares: Array, weights: Array,
) -> tuple[float, Array, Array]:  # fmt: skip
    """Log-likelihood of the Pareto/NBD, slope and curvature in logarithms.

    The customer is still there at T, or left at u in [t, T]: each moment gives a term
    exp(f(u)); of ln sum exp(f), slope is the mean of f', curvature the mean of f'' plus the
    spread of f'.
    """
    k = design.shape[1]
    value, gradient, hessian = 0.0, np.zeros(4 + k), np.zeros((4 + k, 4 + k))
    g, h, e = np.empty(4), np.empty((4, 4)), np.empty(4)
    nodes = shares.size + 1
    f, la, lb = np.empty(nodes), np.empty(nodes), np.empty(nodes)
    for i in range(x.size):
        alpha, beta = theta[1], theta[3]
        for c in range(k):
            if c < early:
                alpha *= theta[4 + c] ** -design[i, c]
            else:
                beta *= theta[4 + c] ** -design[i, c]
        r, s = theta[0], theta[2]
        shape = r + x[i]
        top = -np.inf
        wait = T[i] - t[i]
        for u in range(nodes):
            at = T[i] if u == 0 else t[i] + wait * shares[u - 1]
            la[u], lb[u] = np.log(alpha + at), np.log(beta + at)
            f[u] = -shape * la[u] - s * lb[u]
            if u > 0:
                f[u] += np.log(s) - lb[u] + np.log(wait * weights[u - 1])
            top = max(top, f[u])
        total = 0.0
        g[:] = 0.0
        h[:] = 0.0
        for u in range(nodes):
            weight = np.exp(f[u] - top)
            if weight == 0.0:
                continue
            total += weight
            share_a, share_b = alpha * np.exp(-la[u]), beta * np.exp(-lb[u])
            left = 1.0 if u > 0 else 0.0
            e[0] = -r * la[u]
            e[1] = -shape * share_a
            e[2] = left - s * lb[u]
            e[3] = -(s + left) * share_b
            for p in range(4):
                g[p] += weight * e[p]
                for q in range(p, 4):
                    h[p, q] += weight * e[p] * e[q]
            h[0, 0] += weight * e[0]
            h[0, 1] += weight * -r * share_a
            h[1, 1] += weight * -shape * share_a * (1 - share_a)
            h[2, 2] += weight * -s * lb[u]
            h[2, 3] += weight * -s * share_b
            h[3, 3] += weight * -(s + left) * share_b * (1 - share_b)
        for p in range(4):
            g[p] /= total
        for p in range(4):
            for q in range(p, 4):
                h[p, q] = h[p, q] / total - g[p] * g[q]
        v = top + np.log(total) + r * np.log(alpha) + s * np.log(beta)
        g[0] += r * np.log(alpha)
        g[1] += r
        g[2] += s * np.log(beta)
        g[3] += s
        h[0, 0] += r * np.log(alpha)
        h[0, 1] += r
        h[2, 2] += s * np.log(beta)
        h[2, 3] += s
        for j in range(int(x[i])):
            v += np.log(r + j)
            g[0] += r / (r + j)
            h[0, 0] += r * j / (r + j) ** 2
        for p in range(4):
            for q in range(p):
                h[p, q] = h[q, p]
        value += n[i] * v
        _add(n[i], g, h, design[i], early, 3, gradient, hessian)
    return value, gradient, hessian

"""Who comes back, how often, for how long, and what they spend: models of a customer base.

``BGNBD`` (Fader, Hardie & Lee 2005) where a customer leaves without a word, as a guest
leaves a restaurant; ``ShiftedBetaGeometric`` (Fader & Hardie 2007) where leaving is seen,
as in a membership; ``GammaGamma`` (Fader & Hardie 2013) for the money of one purchase.

Sources
-------
Fader, Hardie & Lee (2005), "Counting Your Customers" the Easy Way: An Alternative to the
Pareto/NBD Model, Marketing Science 24(2), 275-284.
Fader & Hardie (2008), Computing P(alive) Using the BG/NBD Model, brucehardie.com/notes/021.
Fader & Hardie (2013), The Gamma-Gamma Model of Monetary Value, brucehardie.com/notes/025.
Fader & Hardie (2007), How to Project Customer Retention, Journal of Interactive Marketing
21(1), 76-90.
Fader & Hardie (2010), Customer-Base Valuation in a Contractual Setting: The Perils of
Ignoring Heterogeneity, Marketing Science 29(1), 85-93.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import guvectorize, njit
from numpy.typing import ArrayLike, NDArray
from scipy import special

from o2o_research.domain import require
from o2o_research.models.likelihood import maximum_likelihood
from o2o_research.models.numerics import Array, Fit, NotConverged

Number = float | Array
# Points of a quadrature for each unit of log time.
_POINTS = 3.0
_PRIMES = np.array([2.0, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37])


def plain(value: ArrayLike) -> Array:
    """``value``, as a plain number where it is one: an answer about one customer rounds."""
    answer: Array = np.asarray(value, float)[()]
    return answer


@njit(cache=True)
def _sum_purchases(shape, times, drop, stay, total):  # type: ignore[no-untyped-def]
    """Expected purchases until each of ``times``, which increase, of an active customer.

    In units of the gamma's scale: the rate is Gamma(shape, 1), the drop-out probability
    Beta(drop, stay). The sum over the k purchases time allows (negative binomial) of those
    made before dropping out among k, sum_{j<k} (stay)_j / (drop + stay)_j: every term is
    positive, so nothing cancels where the paper's hypergeometric form is 0/0 (a = 1,
    a + b + x = 1) or overflows (many purchases). All times share the second factor.
    """
    n = times.size
    odds, weight, log_scale = np.zeros(n), np.ones(n), np.zeros(n)
    for i in range(n):
        total[i] = times[i] if np.isnan(times[i]) else 0.0
        if 0.0 < times[i] < np.inf:
            odds[i] = times[i] / (1.0 + times[i])
            log_scale[i] = -shape * np.log1p(times[i])
        elif times[i] == np.inf:
            total[i] = (drop + stay - 1.0) / (drop - 1.0) if drop > 1.0 else np.inf
    surviving, made, ratio, k, first = 1.0, 0.0, 0.0, 0, 0
    while first < n:
        for _ in range(16):
            ratio = (shape + k) / (k + 1.0)
            made += surviving
            surviving *= (stay + k) / (drop + stay + k)
            k += 1
            for i in range(first, n):
                weight[i] *= ratio * odds[i]
                total[i] += weight[i] * made
        for i in range(first, n):
            if weight[i] > 1e200:
                weight[i] *= 1e-200
                total[i] *= 1e-200
                log_scale[i] += 200.0 * np.log(10.0)
        # What is left of a sum is less than of a geometric series.
        while first < n:
            last = max(ratio, 1.0) * odds[first]
            if last >= 1.0 or weight[first] * made > 1e-17 * total[first] * (1.0 - last):
                break
            first += 1
    for i in range(n):
        total[i] *= np.exp(log_scale[i])


@guvectorize(
    ["void(float64, float64[:], float64, float64, float64[:])"], "(),(n),(),()->(n)", cache=True
)  # type: ignore[no-untyped-call]
def _purchases_at(shape, times, drop, stay, total):  # type: ignore[no-untyped-def]
    _sum_purchases(shape, times, drop, stay, total)


def purchases_while_active(shape: Number, time: ArrayLike, drop: Number, stay: Number) -> Array:
    """Expected purchases until ``time``, in units of the gamma's scale, of an active customer."""
    row = np.asarray(time, float)[..., np.newaxis]
    return np.asarray(_purchases_at(shape, row, drop, stay))[..., 0]


@guvectorize(
    ["void(float64, float64, float64[:], float64, float64, float64, float64[:, :, :], float64[:])"],
    "(),(),(n),(),(),(),(q,p,q)->(n)", cache=True,
)  # type: ignore[no-untyped-call]  # fmt: skip
def _discounted(shape, scale, ends, force, drop, stay, rules, total):  # type: ignore[no-untyped-def]
    """Discounted purchases until each of ``ends``, which increase, of an active customer.

    The integral of e^(-force s) dE[Y(s)], by parts one of E[Y(s)], from end to end by
    Gauss-Legendre quadrature in log(1 + s / scale), by as many points as the way is long and
    the discount steep.
    """
    n, most = ends.size, rules.shape[0]
    logs, points = np.log1p(ends / scale), np.empty(n, np.int64)
    times, widths = np.empty(n * (most + 1)), logs.copy()
    used = 0
    for i in range(n):
        fades = force * (ends[i] - (ends[i - 1] if i > 0 else 0.0))
        if i > 0:
            widths[i] -= logs[i - 1]
        points[i] = min(most, 3 + int(_POINTS * (widths[i] + fades)))
        for node in rules[points[i] - 1, 0, : points[i]]:
            times[used] = np.expm1(logs[i] - widths[i] * (1.0 - node) / 2.0)
            used += 1
        times[used] = ends[i] / scale
        used += 1
    made = np.empty(used)
    _sum_purchases(shape, times[:used], drop, stay, made)
    at, so_far = 0, 0.0
    for i in range(n):
        for weight in rules[points[i] - 1, 1, : points[i]]:
            density = force * scale * (1.0 + times[at]) * np.exp(-force * scale * times[at])
            so_far += weight / 2.0 * widths[i] * density * made[at]
            at += 1
        total[i] = so_far + np.exp(-force * ends[i]) * made[at]
        at += 1


@functools.cache
def _gauss_legendre(most: int) -> Array:
    """Nodes and weights of the rules of 1 to ``most`` points. Shape (most, 2, most)."""
    rules = np.zeros((most, 2, most))
    for n in range(1, most + 1):
        rules[n - 1, :, :n] = np.polynomial.legendre.leggauss(n)
    return rules


@dataclass(frozen=True, kw_only=True)
class BGNBD:
    """Purchases and silent drop-out of customers who are never seen to leave.

    While active a customer buys at random (Poisson); after each purchase, the first one
    excepted, he drops out with a probability of his own. Rates vary over customers as
    Gamma(r, alpha), drop-out probabilities as Beta(a, b), independently. The letters are the
    field's own names. Give the parameters shape (draws, 1) and every answer gets a leading
    axis of draws (``draw_models``); shape (customers,) gives each customer his own.

    Parameters
    ----------
    r : float or ndarray
        Shape of the purchase rates, > 0. [r]
    alpha : float or ndarray
        Scale of the purchase rates, in the unit of time of the data, > 0. [alpha]
    a, b : float or ndarray
        Shapes of the drop-out probability, mean a / (a + b), > 0. [a, b]

    Raises
    ------
    ValueError
        If a parameter is not positive and finite.

    Examples
    --------
    CDNOW, in weeks: repeat purchases of a new customer within 39 weeks, and within the
    next 39 weeks of one who bought twice again, last in week 30.43 of 38.86:

    >>> cdnow = BGNBD(r=0.243, alpha=4.414, a=0.793, b=2.426)
    >>> print(f"{cdnow.expected_purchases(39):.2f}")
    1.20
    >>> print(f"{cdnow.expected_purchases(39, frequency=2, recency=30.43, T=38.86):.2f}")
    1.23
    """

    r: Number
    alpha: Number
    a: Number
    b: Number

    def __post_init__(self) -> None:
        require(self, r="(0, inf)", alpha="(0, inf)", a="(0, inf)", b="(0, inf)")

    def alive(self, frequency: ArrayLike, recency: ArrayLike, T: ArrayLike) -> Array:
        """Probability that a customer with this history has not dropped out. [P(alive)]

        A customer without a repeat purchase is alive with probability 1, however long ago he
        came: in this model drop-out follows a repeat purchase only. Read it as "the data
        cannot tell", not as loyalty. Fader & Hardie (2008).
        """
        x, t_x, age = (np.asarray(v, float) for v in (frequency, recency, T))
        silent = (self.r + x) * (np.log(self.alpha + age) - np.log(self.alpha + t_x))
        left = np.log(self.a) - np.log(self.b + (np.maximum(x, 1.0) - 1.0)) + silent
        return plain(np.where(x > 0, special.expit(-left), 1.0))

    def expected_purchases(
        self, t: ArrayLike, frequency: ArrayLike = 0.0, recency: ArrayLike = 0.0, T: ArrayLike = 0.0
    ) -> Array:
        """Expected purchases in the next ``t``, given a history; by default a new customer's.

        E[Y(t) | x, t_x, T], equation (10) of Fader, Hardie & Lee (2005); E[X(t)], equation
        (9), for a customer acquired just now (the acquiring purchase is not counted).

        Parameters
        ----------
        t : length of the time ahead, >= 0, in the unit of the data; inf is allowed. The work
            grows with t / (alpha + T).
        frequency : repeat purchases so far, first one excepted [x]
        recency : time of the last purchase since the first, 0 without a repeat [t_x]
        T : time observed since the first purchase
        """
        x, age = np.asarray(frequency, float), np.asarray(T, float)
        active = purchases_while_active(
            self.r + x, np.asarray(t, float) / (self.alpha + age), self.a, self.b + x
        )
        return plain(self.alive(x, recency, age) * active)

    def discounted_purchases(
        self,
        horizon: Number,
        discount_rate: Number,
        frequency: ArrayLike = 0.0,
        recency: ArrayLike = 0.0,
        T: ArrayLike = 0.0,
    ) -> Array:
        """Expected purchases until ``horizon``, discounted to now; by default a new customer's.

        The model has no closed form for this (the Pareto/NBD has, with an infinite horizon),
        and for a <= 1 the undiscounted sum grows without limit: the horizon is part of the
        answer. By Gauss-Legendre quadrature in log(1 + s / (alpha + T)).

        Parameters
        ----------
        horizon : end of the count, >= 0 and finite, in the unit of the data
        discount_rate : a purchase at time s counts (1 + discount_rate)^-s, >= 0. [d]
        frequency, recency, T : as in ``expected_purchases``
        """
        x, age, end = (np.asarray(v, float) for v in (frequency, T, horizon))
        if not ((end >= 0) & np.isfinite(end)).all():
            raise ValueError(f"horizon={horizon} must be finite and >= 0")
        active = _discounted(
            self.r + x, self.alpha + age, end[..., np.newaxis], np.log1p(discount_rate),
            self.a, self.b + x, _gauss_legendre(32),
        )[..., 0]  # fmt: skip
        return plain(self.alive(x, recency, age) * active)

    def discounted_path(self, ends: ArrayLike, discount_rate: Number) -> Array:
        """``discounted_purchases`` of a new customer until each of ``ends``, in one sweep.

        The same integral, taken from end to end by as many points as the way is long, so that
        what lies before an end is not counted again for the next.

        Parameters
        ----------
        ends : increasing, >= 0 and finite, shape (n,), in the unit of the data
        discount_rate : as there

        Returns
        -------
        ndarray, shape (n, *draws)
        """
        stops = np.asarray(ends, float)
        inside = ((stops >= 0) & np.isfinite(stops)).all()
        if stops.ndim != 1 or not inside or not (np.diff(stops) > 0).all():
            raise ValueError(f"ends={ends!r} must be one row, finite, >= 0 and increasing")
        path = _discounted(
            self.r, self.alpha, stops, np.log1p(discount_rate), self.a, self.b,
            _gauss_legendre(32),
        )  # fmt: skip
        return np.moveaxis(path, -1, 0)

    def repeat_share(self, t: ArrayLike) -> Array:
        """Share of new customers who buy again within ``t``: 1 - (alpha / (alpha + t))^r."""
        return plain(-np.expm1(-self.r * np.log1p(np.asarray(t, float) / self.alpha)))

    def purchase_probability(self, frequency: ArrayLike, t: ArrayLike) -> Array:
        """P(X(t) = x): that a new customer makes ``frequency`` repeat purchases within ``t``.

        Equation (8) of Fader, Hardie & Lee (2005); its finite sum is an incomplete beta.
        """
        x, time = np.asarray(frequency, float), np.asarray(t, float)
        odds = time / (self.alpha + time)
        stays = special.betaln(self.a, self.b + x) - special.betaln(self.a, self.b)
        counts = (
            special.gammaln(self.r + x) - special.gammaln(self.r) - special.gammaln(x + 1)
            + special.xlogy(x, odds) + special.xlog1py(self.r, -odds)
        )  # fmt: skip
        drops = self.a / (self.b + (np.maximum(x, 1.0) - 1.0))
        at_least = special.betainc(np.maximum(x, 1.0), self.r, odds)
        again = np.where(x > 0, drops * at_least, 0.0)
        return plain(np.exp(stays) * (np.exp(counts) + again))

    def simulate(self, T: ArrayLike, rng: np.random.Generator) -> tuple[Array, Array]:
        """Frequency and recency of one customer for each entry of ``T``, as the model has it."""
        age = np.asarray(T, float)
        # A rate that underflows to 0 would divide by it; at 1e-300 nobody buys either.
        rate = np.maximum(rng.gamma(self.r, 1 / np.asarray(self.alpha), age.shape), 1e-300)
        drop = rng.beta(self.a, self.b, age.shape)
        frequency, recency = np.zeros(age.shape), np.zeros(age.shape)
        buying = np.arange(age.size)
        while buying.size:
            at = recency.flat[buying] + rng.exponential(1 / rate.flat[buying])
            in_time = at <= age.flat[buying]
            buying, at = buying[in_time], at[in_time]
            frequency.flat[buying] += 1
            recency.flat[buying] = at
            buying = buying[rng.random(buying.size) >= drop.flat[buying]]
        return frequency, recency


@dataclass(frozen=True, kw_only=True)
class GammaGamma:
    """What a purchase is worth: spend varies within a customer, and between customers.

    A customer's purchases are Gamma(p, nu), and nu varies over customers as Gamma(q, gamma).
    Spend is assumed independent of how often one buys: test it with
    ``cohorts.spend_frequency_correlation``.

    Parameters
    ----------
    p : float or ndarray
        Shape of one customer's purchases, > 0. [p]
    q : float or ndarray
        Shape of the spread between customers, > 0; the mean is infinite for q <= 1. [q]
    gamma : float or ndarray
        Scale of the spread between customers, money, > 0. [gamma]

    Raises
    ------
    ValueError
        If a parameter is not positive and finite.

    Examples
    --------
    >>> spend = GammaGamma(p=6.25, q=3.74, gamma=15.44)
    >>> print(f"{spend.mean:.1f} {spend.expected_spend(2, 22.35):.1f}")
    35.2 24.7
    """

    p: Number
    q: Number
    gamma: Number

    def __post_init__(self) -> None:
        require(self, p="(0, inf)", q="(0, inf)", gamma="(0, inf)")

    @property
    def mean(self) -> Array:
        """Mean spend of a purchase over all customers, p gamma / (q - 1); infinite for q <= 1."""
        return self.expected_spend(0.0, 0.0)

    def expected_spend(self, frequency: ArrayLike, monetary: ArrayLike) -> Array:
        """Expected spend of a purchase by a customer whose ``frequency`` averaged ``monetary``.

        E[M | x, m] = p (gamma + x m) / (p x + q - 1), Fader & Hardie (2013).

        Parameters
        ----------
        frequency : number of purchases averaged; 0 gives the mean of all customers [x]
        monetary : their mean spend, money; ignored where ``frequency`` is 0 [m]
        """
        x, m = np.asarray(frequency, float), np.asarray(monetary, float)
        spent = np.where(x > 0, x * m, 0.0)
        excess = self.p * x + self.q - 1
        mean = self.p * (self.gamma + spent) / np.where(excess > 0, excess, 1.0)
        return plain(np.where(excess > 0, mean, np.inf))

    def simulate(self, frequency: ArrayLike, rng: np.random.Generator) -> Array:
        """Mean spend of each customer's ``frequency`` purchases; not a number without any."""
        x = np.asarray(frequency, float)
        nu = rng.gamma(self.q, 1 / np.asarray(self.gamma, float), x.shape)
        spent = rng.gamma(self.p * x) / nu
        return np.where(x > 0, spent / np.maximum(x, 1.0), np.nan)


@dataclass(frozen=True, kw_only=True)
class ShiftedBetaGeometric:
    """Retention of members whose leaving is seen, at renewals one period apart.

    A member leaves at every renewal with a probability of his own, Beta(alpha, beta) over
    members. Retention then rises with age by selection alone: nobody grows more loyal.

    Parameters
    ----------
    alpha, beta : float or ndarray
        Shapes of the churn probability, mean alpha / (alpha + beta), > 0. [alpha, beta]

    Raises
    ------
    ValueError
        If a parameter is not positive and finite.

    Examples
    --------
    >>> high_end = ShiftedBetaGeometric(alpha=0.668, beta=3.806)
    >>> high_end.retention([1, 7]).round(3).tolist()
    [0.851, 0.936]
    """

    alpha: Number
    beta: Number

    def __post_init__(self) -> None:
        require(self, alpha="(0, inf)", beta="(0, inf)")

    def survival(self, t: ArrayLike) -> Array:
        """Share of a cohort left after ``t`` renewals, S(t) = B(alpha, beta+t) / B(alpha, beta)."""
        later = special.betaln(self.alpha, self.beta + np.asarray(t, float))
        return plain(np.exp(later - special.betaln(self.alpha, self.beta)))

    def retention(self, t: ArrayLike) -> Array:
        """Share that renews for the t-th time of those who could, t >= 1: S(t) / S(t - 1)."""
        renewed = self.beta + np.asarray(t, float) - 1
        return plain(renewed / (self.alpha + renewed))

    def discounted_lifetime(self, discount_rate: ArrayLike) -> Array:
        """Expected periods of a new member, the sum of S(t) (1 + d)^-t over t = 0, 1, ...

        The first period counts in full. Without discounting the sum is infinite for alpha <= 1.
        """
        return self._tail(0.0, discount_rate)

    def residual_lifetime(self, periods: ArrayLike, discount_rate: ArrayLike) -> Array:
        """Expected further periods of a member at the end of his period ``periods``. [DERL]

        He has renewed ``periods`` - 1 times and is about to decide again; the period he may
        now renew counts in full. Equation (6) of Fader & Hardie (2010).
        """
        n = np.asarray(periods, float)
        return self.retention(n) * self._tail(n, discount_rate)

    def _tail(self, start: ArrayLike, discount_rate: ArrayLike) -> Array:
        stay, discount = self.beta + np.asarray(start, float), 1 / (1 + np.asarray(discount_rate))
        finite = (discount < 1) | (np.asarray(self.alpha) > 1)
        return plain(
            np.where(finite, special.hyp2f1(1.0, stay, self.alpha + stay, discount), np.inf)
        )

    def simulate(self, members: int, periods: int, rng: np.random.Generator) -> Array:
        """Survivors of one cohort at ages 0 to ``periods``. Shape (periods + 1,)."""
        churn = rng.beta(np.full(members, self.alpha), self.beta)
        # Leaving at renewal k: a geometric draw; a churn that underflows to 0 never leaves.
        left_at = rng.geometric(np.maximum(churn, 1e-300))
        return np.array([np.count_nonzero(left_at > age) for age in range(periods + 1)], float)


def fit_bgnbd(
    frequency: ArrayLike,
    recency: ArrayLike,
    T: ArrayLike,
    counts: ArrayLike | None = None,
    *,
    b: float | None = None,
) -> Fit[BGNBD]:
    """Maximum-likelihood BG/NBD, with standard errors from the observed information.

    Customers with the same history are counted once. The likelihood is equation (6) of
    Fader, Hardie & Lee (2005) on the log scale, its rising factorials written as sums of
    logarithms, so that hundreds of purchases a customer neither overflow nor cancel.

    Parameters
    ----------
    frequency : ndarray, shape (customers,)
        Repeat purchases, the first one excepted; whole numbers >= 0. [x]
    recency : ndarray, shape (customers,)
        Time of the last purchase since the first; 0 without a repeat, else in (0, T]. [t_x]
    T : ndarray, shape (customers,)
        Time observed since the first purchase, >= 0, same unit.
    counts : ndarray, shape (customers,), optional
        Customers behind each row; 1 if left out.

    b : float, optional
        Hold b there and estimate r, alpha and a alone. A large b, as 1e6, makes all drop out
        with one probability, a / (a + b): the law to fall back on where the likelihood runs
        to a and b infinite.

    Returns
    -------
    Fit of r, alpha, a, b

    Raises
    ------
    ValueError
        If the histories contradict themselves: names the rule and the first bad row.
    NotConverged
        If nobody bought again (neither rate nor drop-out can then be told), or the
        likelihood has no maximum: says which parameters run to 0 or infinity. r and alpha to
        infinity: all buy at one rate; a and b to infinity: all drop out with one probability,
        or nobody does. Small groups end there; more customers or a longer time help.

    Examples
    --------
    >>> truth, rng = BGNBD(r=0.5, alpha=5, a=1, b=3), np.random.default_rng(1)
    >>> weeks = np.full(20_000, 52.0)
    >>> fit = fit_bgnbd(*truth.simulate(weeks, rng), weeks)
    >>> bool(abs(fit.model.r - truth.r) < 3 * fit.stderr["r"])
    True
    """
    x, t_x, age, n = check_histories("fit_bgnbd", frequency, recency, T, counts)
    if not n[x > 0].any():
        raise NotConverged(
            f"fit_bgnbd: none of the {n.sum():g} customers bought again, so neither how often "
            "they buy nor whether they leave can be estimated; observe them longer"
        )
    # Gamma(r+x)/Gamma(r) and B(a,b+x)/B(a,b) are products over j < x: sum over j, for the
    # customers who got further than j.
    whole = np.bincount(x.astype(int), n)
    further = whole.sum() - np.cumsum(whole)[:-1]
    j = np.arange(further.size)
    cells = unique_cells((x, t_x, age), n)

    def likelihood(theta: Array) -> tuple[float, Array, Array]:
        r, _, a, b = theta
        value, gradient, hessian = _bgnbd_cells(theta, *cells)
        value += float(further @ (np.log(r + j) - np.log1p(a / (b + j))))
        of_r, of_b, of_ab = further / (r + j), further / (b + j), further / (a + b + j)
        gradient += np.array([of_r.sum(), 0.0, -of_ab.sum(), (of_b - of_ab).sum()])
        hessian[0, 0] -= (of_r / (r + j)).sum()
        hessian[2:, 2:] += (of_ab / (a + b + j)).sum()
        hessian[3, 3] -= (of_b / (b + j)).sum()
        return value, gradient, hessian

    start = {"r": 1.0, "alpha": float(n @ age / (n @ x)), "a": 1.0, "b": 2.0}
    sizes: dict[str, Any] = {"n": n.sum(), "informative": n[x > 0].sum(), "what": "fit_bgnbd"}
    if b is None:
        return maximum_likelihood(BGNBD, likelihood, start, **sizes)

    def held(theta: Array) -> tuple[float, Array, Array]:
        value, gradient, hessian = likelihood(np.append(theta, b))
        return value, gradient[:3], hessian[:3, :3]

    start["a"] = 0.1 * start.pop("b") * b
    return maximum_likelihood(lambda **found: BGNBD(b=b, **found), held, start, **sizes)


@njit(cache=True, error_model="numpy")
def _bgnbd_cells(
    theta: Array, x: Array, t: Array, T: Array, n: Array
) -> tuple[float, Array, Array]:
    """What times of purchase add to the log-likelihood, its gradient and Hessian.

    Per cell: r ln(alpha) - (r + x) ln(alpha + t) + ln(e^c + e^d), where c = (r + x)
    ln((alpha + t) / (alpha + T)) stands for "still active" and d = ln(a / (b + x - 1)) for
    "dropped out after the last purchase"; without a repeat purchase d does not exist.
    """
    r, alpha, a, b = theta
    value, gradient, hessian = 0.0, np.zeros(4), np.zeros((4, 4))
    toward = np.empty(4)
    log_alpha, log_left = np.log(alpha), np.log(a) - np.log(b + np.arange(x.max()))
    for i in range(x.size):
        shape, at, end = r + x[i], 1 / (alpha + t[i]), 1 / (alpha + T[i])
        apart = np.log1p(t[i] / alpha)
        value -= n[i] * (r * apart + x[i] * (log_alpha + apart))
        gradient[0] -= n[i] * apart
        gradient[1] += n[i] * (r / alpha - shape * at)
        hessian[0, 1] += n[i] * (1 / alpha - at)
        hessian[1, 1] += n[i] * (shape * at * at - r / (alpha * alpha))

        # toward = the gradient of c - d
        toward[0] = -np.log1p((T[i] - t[i]) * at)
        wait = (T[i] - t[i]) * at * end
        toward[1] = shape * wait
        alive, gone = 1.0, 0.0
        if x[i] > 0:
            toward[2], toward[3] = -1 / a, 1 / (b + (x[i] - 1))
            d = log_left[int(x[i]) - 1]
            gap = shape * toward[0] - d
            odds = np.exp(-abs(gap))
            value += n[i] * (d + max(gap, 0.0) + np.log1p(odds))
            alive = 1 / (1 + odds) if gap > 0 else odds / (1 + odds)
            gone = odds / (1 + odds) if gap > 0 else 1 / (1 + odds)
            gradient[2] -= n[i] * gone * toward[2]
            gradient[3] -= n[i] * gone * toward[3]
            hessian[2, 2] -= n[i] * gone * toward[2] ** 2
            hessian[3, 3] += n[i] * gone * toward[3] ** 2
            spread = n[i] * alive * gone
            for j in range(4):
                for k in range(j, 4):
                    hessian[j, k] += spread * toward[j] * toward[k]
        else:
            value += n[i] * shape * toward[0]
        gradient[0] += n[i] * alive * toward[0]
        gradient[1] += n[i] * alive * toward[1]
        hessian[0, 1] += n[i] * alive * wait
        hessian[1, 1] -= n[i] * alive * toward[1] * (at + end)
    for j in range(4):
        for k in range(j):
            hessian[j, k] = hessian[k, j]
    return value, gradient, hessian


def fit_gamma_gamma(
    frequency: ArrayLike, monetary: ArrayLike, counts: ArrayLike | None = None
) -> Fit[GammaGamma]:
    """Maximum-likelihood Gamma-Gamma, with standard errors from the observed information.

    Parameters
    ----------
    frequency : ndarray, shape (customers,)
        Purchases behind each mean, whole numbers >= 0; customers with none tell nothing
        and are left out (``n`` counts the others). [x]
    monetary : ndarray, shape (customers,)
        Mean spend of these purchases, money, > 0. Leave out the purchase that acquired the
        customer: a voucher's price is not what he spends later. [m]
    counts : ndarray, shape (customers,), optional
        Customers behind each row; 1 if left out.

    Returns
    -------
    Fit of p, q, gamma

    Raises
    ------
    ValueError
        If a spend is not positive: names the rule and the first bad row.
    NotConverged
        If nobody bought, or the likelihood has no maximum (customers who all spend alike, or
        a customer whose spend never varies): says which parameters run to 0 or infinity.

    Examples
    --------
    >>> truth, rng = GammaGamma(p=4, q=5, gamma=60), np.random.default_rng(1)
    >>> orders = rng.integers(1, 9, 20_000)
    >>> fit = fit_gamma_gamma(orders, truth.simulate(orders, rng))
    >>> bool(abs(fit.model.p - truth.p) < 3 * fit.stderr["p"])
    True
    """
    x, m, n = check_spend("fit_gamma_gamma", frequency, monetary, counts)
    bought = (x > 0) & (n > 0)
    if not bought.any():
        raise NotConverged("fit_gamma_gamma: no customer with a purchase to learn from")
    x, m, n = unique_cells((x[bought], m[bought]), n[bought])
    orders, which = np.unique(x, return_inverse=True)
    of_orders = np.bincount(which, n)
    spent, log_m = x * m, np.log(m)

    def likelihood(theta: Array) -> tuple[float, Array, Array]:
        p, q, gamma = theta
        trials = p * orders
        both, own = special.digamma(trials + q), special.digamma(trials)
        both_2, own_2 = special.polygamma(1, trials + q), special.polygamma(1, trials)
        constant = special.gammaln(trials + q) - special.gammaln(trials) - special.gammaln(q)
        share = 1 / (gamma + spent)
        log_share = np.log(share)
        log_odds = np.log(spent) + log_share
        value = of_orders @ constant + n @ (
            p * x * log_odds - log_m + q * (np.log(gamma) + log_share)
        )
        gradient = np.array([
            of_orders @ (orders * (both - own)) + (n * x) @ log_odds,
            of_orders @ (both - special.digamma(q)) + n @ (np.log(gamma) + log_share),
            n @ (q / gamma - (p * x + q) * share),
        ])  # fmt: skip
        pq = of_orders @ (orders * both_2)
        pg = -((n * x) @ share)
        qg = n @ (1 / gamma - share)
        hessian = np.array([
            [of_orders @ (orders**2 * (both_2 - own_2)), pq, pg],
            [pq, of_orders @ (both_2 - special.polygamma(1, q)), qg],
            [pg, qg, n @ ((p * x + q) * share**2 - q / gamma**2)],
        ])  # fmt: skip
        return float(value), gradient, hessian

    start = {"p": 2.0, "q": 3.0, "gamma": float(n @ m / n.sum())}
    return maximum_likelihood(
        GammaGamma, likelihood, start, n=n.sum(), informative=n.sum(), what="fit_gamma_gamma"
    )


def fit_shifted_beta_geometric(survivors: ArrayLike) -> Fit[ShiftedBetaGeometric]:
    """Maximum-likelihood shifted-beta-geometric from a cohort table.

    Cohorts enter through the members at risk and lost at each age, so cohorts of different
    age are used together and as far as each goes.

    Parameters
    ----------
    survivors : ndarray, shape (periods + 1,) or (cohorts, periods + 1)
        Members (not shares) still there at ages 0, 1, ...; not a number where a cohort is not
        that old yet. At least two renewals must have been seen.

    Returns
    -------
    Fit of alpha, beta; ``n`` is the number of members at age 0

    Raises
    ------
    ValueError
        If a cohort grows, or the table is too short.
    NotConverged
        If nobody left, or retention does not rise with age: members then look alike, and
        alpha and beta run to infinity.

    Examples
    --------
    >>> fit = fit_shifted_beta_geometric([1000, 869, 743, 653, 593, 551, 517, 491])
    >>> round(fit.model.alpha, 3), round(fit.model.beta, 3)
    (0.668, 3.806)
    """
    table = np.atleast_2d(np.asarray(survivors, float))
    if table.ndim != 2 or table.shape[1] < 3:
        raise ValueError(
            "fit_shifted_beta_geometric: survivors must span ages 0 to 2 at least; "
            f"got shape {np.shape(survivors)}"
        )
    before, after = table[:, :-1], table[:, 1:]
    bad = ~((after >= 0) & (after <= before)) & ~np.isnan(after)
    if bad.any():
        cohort, age = np.argwhere(bad)[0]
        raise ValueError(
            "fit_shifted_beta_geometric: survivors may only fall, and stay >= 0; cohort "
            f"{cohort} goes from {before[cohort, age]:g} to {after[cohort, age]:g} at age {age + 1}"
        )
    seen = ~np.isnan(after)
    at_risk = np.where(seen, before, 0.0).sum(axis=0)
    stayed = np.where(seen, after, 0.0).sum(axis=0)
    lost, age = at_risk - stayed, np.arange(at_risk.size)
    if not lost.any():
        raise NotConverged(
            "fit_shifted_beta_geometric: nobody left, so churn cannot be estimated: alpha -> 0"
        )

    def likelihood(theta: Array) -> tuple[float, Array, Array]:
        alpha, beta = theta
        renewed, faced = stayed / (beta + age), at_risk / (alpha + beta + age)
        value = stayed @ -np.log1p(alpha / (beta + age)) + lost @ (
            np.log(alpha) - np.log(alpha + beta + age)
        )
        gradient = np.array([lost.sum() / alpha, renewed.sum()]) - faced.sum()
        hessian = np.full((2, 2), (faced / (alpha + beta + age)).sum())
        hessian[0, 0] -= lost.sum() / alpha**2
        hessian[1, 1] -= (renewed / (beta + age)).sum()
        return float(value), gradient, hessian

    start = {"alpha": 1.0, "beta": float(max(stayed.sum() / lost.sum(), 0.1))}
    return maximum_likelihood(
        ShiftedBetaGeometric, likelihood, start, n=np.nansum(table[:, 0]),
        informative=lost.sum(), what="fit_shifted_beta_geometric",
    )  # fmt: skip


def check_histories(
    what: str, frequency: ArrayLike, recency: ArrayLike, T: ArrayLike, counts: ArrayLike | None
) -> tuple[Array, Array, Array, Array]:
    """Frequency, recency, T and counts as arrays of one length, or ``ValueError``."""
    x, t_x, age, n = _columns(what, counts, frequency=frequency, recency=recency, T=T)
    values = {"frequency": x, "recency": t_x, "T": age}
    _refuse(what, "frequency must be a whole number >= 0", (x < 0) | (x % 1 != 0), values)
    _refuse(what, "recency must lie in [0, T]", (t_x < 0) | (t_x > age), values)
    _refuse(what, "recency must be 0 where frequency is 0, and only there",
            (t_x == 0) != (x == 0), values)  # fmt: skip
    return x, t_x, age, n


def check_spend(
    what: str, frequency: ArrayLike, monetary: ArrayLike, counts: ArrayLike | None
) -> tuple[Array, Array, Array]:
    """Frequency, monetary (1 where unused) and counts as arrays, or ``ValueError``."""
    unused = np.asarray(frequency) == 0
    if unused.shape == np.shape(monetary):
        monetary = np.where(unused, 1.0, monetary)
    x, m, n = _columns(what, counts, frequency=frequency, monetary=monetary)
    values = {"frequency": x, "monetary": m}
    _refuse(what, "frequency must be a whole number >= 0", (x < 0) | (x % 1 != 0), values)
    _refuse(what, "monetary must be > 0 where frequency is", m <= 0, values)
    return x, m, n


def _columns(what: str, counts: ArrayLike | None, **given: ArrayLike) -> list[Array]:
    arrays = {name: np.asarray(values, float) for name, values in given.items()}
    shape = next(iter(arrays.values())).shape
    arrays["counts"] = np.ones(shape) if counts is None else np.asarray(counts, float)
    shapes = {name: values.shape for name, values in arrays.items()}
    if len(shape) != 1 or set(shapes.values()) != {shape}:
        raise ValueError(f"{what}: wants arrays of one length; got shapes {shapes}")
    for name, values in arrays.items():
        _refuse(what, f"{name} must be finite", ~np.isfinite(values), {name: values})
    _refuse(what, "counts must be >= 0", arrays["counts"] < 0, {"counts": arrays["counts"]})
    return list(arrays.values())


def _refuse(what: str, rule: str, bad: NDArray[np.bool_], values: Mapping[str, Array]) -> None:
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        found = ", ".join(f"{name}={column[row]:g}" for name, column in values.items())
        raise ValueError(f"{what}: {rule}; row {row} has {found} ({bad.sum()} such rows)")


def unique_cells(columns: tuple[Array, ...], counts: Array) -> tuple[Array, ...]:
    """Unique rows of ``columns``, with the counts of each behind them."""
    # One sort, by a number that equal rows share; should unequal rows share it too, a cell is
    # at worst counted in two parts.
    key = np.zeros(counts.size)
    for weight, column in zip(np.sqrt(_PRIMES), columns, strict=False):
        key += weight * column
    order = np.argsort(key)
    ordered = [column[order] for column in columns]
    new = np.ones(order.size, bool)
    new[1:] = np.any([np.diff(column) != 0 for column in ordered], axis=0)
    first = np.flatnonzero(new)
    return (*(column[first] for column in ordered), np.add.reduceat(counts[order], first))

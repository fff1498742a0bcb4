"""Several brands in one market: who gets which part of a curve that nobody has alone.

Unbalanced competition with a change of regime when a rival enters (UCRCD: Guseo & Mortarino
2014, IMA Journal of Management Mathematics 25:287-311): word of mouth within a brand and
across brands, one residual market, and coefficients of the first that change at the entry.
The paper has two brands. For n brands the equations here are the same with a matrix: what
brand j's users say for brand i is w_ij, and each entry opens a new regime. Lotka and
Volterra's competition is the case without innovation and with word of mouth inside the
brand only, each brand having a capacity of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import ArrayLike

from o2o_research.domain import require
from o2o_research.models.diffusion.regression import (
    COUNTS,
    Errors,
    fitted,
    minimise_deviance,
)
from o2o_research.models.numerics import Array, Fit


@dataclass(frozen=True, kw_only=True)
class Regime:
    """The coefficients of n brands from a time on.

    z_i' = (p_i m_i + sum_j w_ij z_j)(1 - sum_j a_ij z_j / m_i), z the totals sold.

    Parameters
    ----------
    start : float
        When it begins, >= 0.
    markets : ndarray, shape (n,)
        What brand i's buyers can be at most, > 0; the same for all in one market. [m]
    innovation : ndarray, shape (n,)
        >= 0; 0 for a brand that is not there yet. [p]
    word_of_mouth : ndarray, shape (n, n)
        What one user of brand j adds to brand i's rate, of any sign. [w]
    crowding : ndarray, shape (n, n)
        How much of brand i's market a buyer of j takes; 1 in one market. [a]

    Raises
    ------
    ValueError
        A shape or a value outside its domain.
    """

    start: float
    markets: Array
    innovation: Array
    word_of_mouth: Array
    crowding: Array | None = None

    def __post_init__(self) -> None:
        n = np.size(self.innovation)
        require(self, start="[0, inf)", markets="(0, inf)", innovation="[0, inf)")
        for name, shape in (
            ("markets", (n,)),
            ("innovation", (n,)),
            ("word_of_mouth", (n, n)),
            ("crowding", (n, n)),
        ):
            value = getattr(self, name)
            if value is not None and np.shape(value) != shape:
                raise ValueError(f"Regime: {name} must have shape {shape}, got {np.shape(value)}")


@dataclass(frozen=True, kw_only=True)
class Competition:
    """Brands in a market through its regimes.

    Parameters
    ----------
    regimes : Regime, the first from time 0, by start
    initial : ndarray, shape (n,), or None
        Sold at time 0; none unless given.

    Raises
    ------
    ValueError
        Regimes that do not begin at 0, are out of order or differ in brands.

    Examples
    --------
    Two like brands halve a market; alone, one has Bass's curve:

    >>> shared = crowded_market(100.0, [0.015, 0.015], imitation=0.38, loyalty_share=0.2)
    >>> shared.cumulative([6.0]).round(3).ravel().tolist()
    [21.962, 21.962]
    """

    regimes: Sequence[Regime]
    initial: Array | None = None

    def __post_init__(self) -> None:
        starts = [regime.start for regime in self.regimes]
        if not starts or starts[0] != 0 or starts != sorted(set(starts)):
            raise ValueError(f"Competition: regimes must start at 0 and follow, got {starts}")
        sizes = {np.size(regime.innovation) for regime in self.regimes}
        if len(sizes) > 1:
            raise ValueError(f"Competition: regimes of {sorted(sizes)} brands in one market")
        if self.initial is not None and np.shape(self.initial) != (sizes.pop(),):
            raise ValueError(f"Competition: initial has shape {np.shape(self.initial)}")

    def cumulative(self, times: ArrayLike, *, steps: int = 20) -> Array:
        """Total sold by brand at increasing times, shape (n, times). Runge-Kutta of order 4.

        Parameters
        ----------
        steps : per unit of time
        """
        n = np.size(self.regimes[0].innovation)
        at = np.asarray(times, float)
        if at.ndim != 1 or np.any(np.diff(at) < 0) or np.any(at < 0):
            raise ValueError("cumulative: times must be one increasing series from 0 on")
        first = np.zeros(n) if self.initial is None else np.asarray(self.initial, float)

        def stacked(name: str) -> Array:
            return np.array([np.asarray(getattr(r, name), float) for r in self.regimes])[None]

        crowding = np.array(
            [np.ones((n, n)) if r.crowding is None else r.crowding for r in self.regimes], float
        )[None]
        totals = _integrate(
            stacked("markets"),
            stacked("innovation"),
            stacked("word_of_mouth"),
            crowding,
            np.array([r.start for r in self.regimes], float),
            first[None],
            at,
            steps,
        )
        return np.asarray(totals[0].T)

    def sales(self, periods: int, *, steps: int = 20) -> Array:
        """Sold by brand in each period, shape (n, periods)."""
        totals = self.cumulative(np.arange(periods + 1.0), steps=steps)
        return np.diff(totals, axis=1)


@njit(cache=True)
def _rates(m: Array, p: Array, w: Array, a: Array, z: Array, out: Array) -> None:
    n = z.size
    for i in range(n):
        pull, taken = p[i] * m[i], 0.0
        for j in range(n):
            pull += w[i, j] * z[j]
            taken += a[i, j] * z[j]
        out[i] = pull * (1.0 - taken / m[i])


@njit(cache=True)
def _integrate(
    m: Array, p: Array, w: Array, a: Array, starts: Array, first: Array, times: Array, steps: int
) -> Array:
    """Totals, shape (rows, times, n), of rows of coefficients (rows, regimes, n[, n])."""
    rows, n = first.shape
    out = np.empty((rows, times.size, n))
    b, c, d, e = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    for row in range(rows):
        z, now, regime = first[row].copy(), 0.0, 0
        for t in range(times.size):
            while now < times[t]:
                while regime + 1 < starts.size and starts[regime + 1] <= now:
                    regime += 1
                until = times[t]
                if regime + 1 < starts.size and starts[regime + 1] < until:
                    until = starts[regime + 1]
                parts = max(1, int(np.ceil((until - now) * steps - 1e-9)))
                h = (until - now) / parts
                mm, pp, ww, aa = m[row, regime], p[row, regime], w[row, regime], a[row, regime]
                for _ in range(parts):
                    _rates(mm, pp, ww, aa, z, b)
                    _rates(mm, pp, ww, aa, z + h / 2 * b, c)
                    _rates(mm, pp, ww, aa, z + h / 2 * c, d)
                    _rates(mm, pp, ww, aa, z + h * d, e)
                    z = z + h / 6 * (b + 2 * c + 2 * d + e)
                now = until
            out[row, t] = z
    return out


def crowded_market(
    market: float,
    innovation: ArrayLike,
    *,
    imitation: float,
    loyalty_share: float,
    entries: ArrayLike | None = None,
) -> Competition:
    """Brands that share one market and one crowd's talk; each may enter late.

    A user's word of mouth amounts to q in all: the loyalty share speaks for his own brand, the
    rest for the category, equally for every brand on the market. So all brands together
    follow Bass's curve with p the sum of theirs, and how they part it is who came first.

    Parameters
    ----------
    market : float, > 0
    innovation : array_like, shape (n,), of each brand once there, >= 0
    imitation : float, >= 0. [q]
    loyalty_share : float, in [0, 1]
    entries : array_like, shape (n,), when each enters; all at 0 unless given, one at least

    Raises
    ------
    ValueError
        A value outside its domain; a market that nobody enters at 0.
    """
    p = np.atleast_1d(np.asarray(innovation, float))
    when = np.zeros(p.size) if entries is None else np.asarray(entries, float)
    if when.shape != p.shape or not np.all(when >= 0) or when.min() > 0:
        raise ValueError(f"crowded_market: entries={when} must be one a brand, the first at 0")
    if not 0 <= loyalty_share <= 1:
        raise ValueError(f"crowded_market: loyalty_share={loyalty_share} must lie in [0, 1]")
    if not imitation >= 0:
        raise ValueError(f"crowded_market: imitation={imitation} must lie in [0, inf)")
    regimes = []
    for start in np.unique(when):
        there = when <= start
        talk = _talk(np.array([imitation]), np.array([loyalty_share]), there)[0]
        regimes.append(
            Regime(
                start=float(start),
                markets=np.full(p.size, float(market)),
                innovation=np.where(there, p, 0.0),
                word_of_mouth=talk,
            )
        )
    return Competition(regimes=regimes)


def _talk(imitation: Array, loyalty: Array, there: np.ndarray) -> Array:
    """Word of mouth between the brands that are there, shape (rows, n, n)."""
    n = there.size
    shared = np.where(there, 1.0 / there.sum(), 0.0)[:, None] * np.ones(n)
    own = np.eye(n) * there
    return np.asarray(
        imitation[:, None, None]
        * (loyalty[:, None, None] * own + (1 - loyalty[:, None, None]) * shared)
    )


def lotka_volterra(
    growth: ArrayLike, capacity: ArrayLike, rivalry: ArrayLike, initial: ArrayLike
) -> Competition:
    """z_i' = r_i z_i (1 - sum_j a_ij z_j / K_i): brands in use that grow from what is there.

    Unlike totals sold, users may fall.

    Parameters
    ----------
    growth, capacity, initial : array_like, shape (n,). [r, K]
    rivalry : array_like, shape (n, n), 1 on the diagonal. [a]
    """
    r = np.atleast_1d(np.asarray(growth, float))
    return Competition(
        regimes=[
            Regime(
                start=0.0,
                markets=np.asarray(capacity, float),
                innovation=np.zeros(r.size),
                word_of_mouth=np.diag(r),
                crowding=np.asarray(rivalry, float),
            )
        ],
        initial=np.asarray(initial, float),
    )


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Two brands, the second entering later: UCRCD with its own names.

    Alone, z1' = (p1a m_a + q1a z1)(1 - z1 / m_a). From the entry on
    z1' = (p1c m_c + (q1c + delta) z1 + q1c z2)(1 - z / m_c) and
    z2' = (p2 m_c + (q2 - gamma) z1 + q2 z2)(1 - z / m_c), z = z1 + z2.

    Parameters
    ----------
    entry : float
        When the second enters, >= 0. [c2]
    market_alone, innovation_alone, imitation_alone : float
        Of the first before the entry; the later ones unless given. [m_a, p1a, q1a]
    market : float
        After the entry, > 0. [m_c]
    innovation_first, innovation_second : float, >= 0. [p1c, p2]
    imitation_first, imitation_second : float
        What the second's users add to the first, and the second's to the second. [q1c, q2]
    own_first : float
        What the first's users add more to the first than the second's do. [delta]
    own_second : float
        What the second's users add more to the second than the first's do. [gamma]

    Raises
    ------
    ValueError
        A parameter outside its domain.
    """

    entry: float
    market: float
    innovation_first: float
    imitation_first: float
    own_first: float
    innovation_second: float
    imitation_second: float
    own_second: float
    market_alone: float | None = None
    innovation_alone: float | None = None
    imitation_alone: float | None = None

    def __post_init__(self) -> None:
        require(
            self,
            entry="[0, inf)",
            market="(0, inf)",
            innovation_first="[0, inf)",
            innovation_second="[0, inf)",
        )

    @property
    def competition(self) -> Competition:
        """The two regimes."""
        names = ["market_alone", "innovation_alone", "imitation_alone"]
        later = ["market", "innovation_first", "imitation_first"]
        values = [getattr(self, name) for name in names]
        if self.imitation_alone is None:
            values[2] = self.imitation_first + self.own_first
        values = [getattr(self, b) if v is None else v for v, b in zip(values, later, strict=True)]
        row = np.array(
            [
                *values, self.market, self.innovation_first, self.imitation_first, self.own_first,
                self.innovation_second, self.imitation_second, self.own_second,
            ]
        )  # fmt: skip
        m, p, w = _entry_arrays(row[None])
        alone = Regime(start=0.0, markets=m[0, 0], innovation=p[0, 0], word_of_mouth=w[0, 0])
        both = Regime(
            start=float(self.entry), markets=m[0, 1], innovation=p[0, 1], word_of_mouth=w[0, 1]
        )
        if self.entry == 0:
            return Competition(regimes=[both])
        return Competition(regimes=[alone, both])


def _entry_arrays(x: Array) -> tuple[Array, Array, Array]:
    """Markets, innovation and word of mouth of both regimes from rows of ten parameters."""
    zero = np.zeros(len(x))
    ma, pa, qa, m, p1, q1, delta, p2, q2, gamma = x.T
    markets = np.stack([[ma, ma], [m, m]])
    innovation = np.stack([[pa, zero], [p1, p2]])
    alone = np.stack([[qa, zero], [zero, zero]])
    both = np.stack([[q1 + delta, q1], [q2 - gamma, q2]])
    words = np.stack([alone, both])
    return (
        np.ascontiguousarray(np.moveaxis(markets, -1, 0)),
        np.ascontiguousarray(np.moveaxis(innovation, -1, 0)),
        np.ascontiguousarray(np.moveaxis(words, -1, 0)),
    )


_ALONE = ["market_alone", "innovation_alone", "imitation_alone"]
_TOGETHER = [
    "market",
    "innovation_first",
    "imitation_first",
    "own_first",
    "innovation_second",
    "imitation_second",
    "own_second",
]


def fit_entry(
    first: ArrayLike,
    second: ArrayLike,
    *,
    entry: int,
    same_bonus: bool = False,
    errors: Errors = COUNTS,
) -> Fit[Entry]:
    """UCRCD from both brands' sales; the curves are integrated, never regressed on totals.

    Parameters
    ----------
    first : array_like, shape (n,), from the first's launch on
    second : array_like, shape (n,), 0 until its entry
    entry : int
        Periods before the second's first sale: 0, or at least 4
    same_bonus : bool
        Whether own_first equals own_second, the authors' restricted model

    Raises
    ------
    ValueError
        Series of different length, not finite or negative; an entry that leaves one of the
        regimes too few periods; sales of the second before its entry.
    NotConverged
        If no start leads to a minimum.
    """
    y = np.array([np.asarray(first, float), np.asarray(second, float)])
    _check_brands("fit_entry", y)
    n = y.shape[1]
    if entry != 0 and not 4 <= entry <= n - 4:
        raise ValueError(f"fit_entry: entry={entry} must be 0 or lie in [4, {n - 4}]")
    if y[1, :entry].any():
        raise ValueError(f"fit_entry: the second brand has sales before its entry={entry}")
    used = np.concatenate([y[0], y[1, entry:]])
    names = (_ALONE if entry else []) + [
        name for name in _TOGETHER if not (same_bonus and name == "own_second")
    ]
    positive = np.array([name.startswith(("market", "innovation")) for name in names])
    starts = np.array([0.0, float(entry)]) if entry else np.array([0.0])

    def values(theta: Array) -> Array:
        with np.errstate(over="ignore"):
            return np.where(positive, np.exp(theta), theta)

    def full(x: Array) -> Array:
        table = dict(zip(names, x.T, strict=True))
        if same_bonus:
            table["own_second"] = table["own_first"]
        columns = [table.get(name, np.ones(len(x))) for name in [*_ALONE, *_TOGETHER]]
        return np.stack(columns, axis=-1)

    def mean(theta: Array) -> Array:
        m, p, w = _entry_arrays(full(values(theta)))
        if not entry:
            m, p, w = m[:, 1:].copy(), p[:, 1:].copy(), w[:, 1:].copy()
        a = np.ones_like(w)
        zero = np.zeros((len(theta), 2))
        totals = _integrate(m, p, w, a, starts, zero, np.arange(n + 1.0), 6)
        sold = np.diff(totals, axis=1)
        both = np.concatenate([sold[:, :, 0], sold[:, entry:, 1]], axis=1)
        return np.asarray(np.where(both >= 0, both, np.nan))

    sold = y.sum()
    grid = []
    for size in (1.1, 2.0, 4.0):
        for pace in (2.0, 5.0, 10.0):
            for bonus in (0.0, 0.3):
                q = pace / n
                alone = [np.log(y[0].sum() * size), np.log(0.02), q][: 3 if entry else 0]
                if entry:
                    alone[1] = np.log(max(y[0, 0], 1e-3 * y[0].max()) / (y[0].sum() * size))
                share = np.log(max(y[0, entry], 1e-3 * y[0].max()) / (2 * sold * size))
                other = np.log(max(y[1, entry], 1e-3 * y[1].max()) / (2 * sold * size))
                together = [np.log(sold * size), share, q * (1 - bonus), q * bonus, other, q]
                grid.append(alone + together + ([] if same_bonus else [q * bonus]))
    low = np.where(positive, np.log(1e-8), -10.0)
    high = np.where(positive, np.log(10.0), 10.0)
    for i, name in enumerate(names):
        if name.startswith("market"):
            part = y[0, :entry].sum() if name == "market_alone" else sold
            low[i], high[i] = np.log(0.7 * part), np.log(1e4 * part)
    found = minimise_deviance(mean, used, np.array(grid), low=low, high=high, errors=errors)
    best = found.best(what="fit_entry")
    model = Entry(
        entry=float(entry),
        **dict(
            zip(
                [*(_ALONE if entry else []), *_TOGETHER],
                full(values(best.theta))[0, 0 if entry else 3 :].tolist(),
                strict=True,
            )
        ),
    )
    return fitted(model, names, values, best, used, mean, errors)


def fit_crowded(
    sales: ArrayLike, *, entries: ArrayLike | None = None, errors: Errors = COUNTS
) -> Fit[Competition]:
    """``crowded_market`` from n brands' sales, n + 3 parameters.

    ``stderr`` names them market, imitation, loyalty_share and innovation_0 and so on.

    Parameters
    ----------
    sales : array_like, shape (n, periods), 0 until a brand's entry
    entries : array_like, shape (n,), periods before each brand's first sale; all 0 unless given

    Raises
    ------
    ValueError, NotConverged
        As ``fit_entry``.
    """
    y = np.asarray(sales, float)
    _check_brands("fit_crowded", y)
    brands, n = y.shape
    when = np.zeros(brands, int) if entries is None else np.asarray(entries, int)
    if when.shape != (brands,) or when.min() != 0 or when.max() > n - 2:
        raise ValueError(f"fit_crowded: entries={when} must be one a brand, the first at 0")
    there = np.arange(n) >= when[:, None]
    if y[~there].any():
        raise ValueError("fit_crowded: a brand has sales before its entry")
    used = y[there]
    if used.size <= brands + 3:
        raise ValueError(f"fit_crowded: {used.size} numbers cannot give {brands + 3} parameters")
    names = ["market", "imitation", "loyalty_share", *(f"innovation_{i}" for i in range(brands))]
    starts = np.unique(when).astype(float)

    def values(theta: Array) -> Array:
        with np.errstate(over="ignore"):
            return np.where(np.arange(theta.shape[1]) == 2, theta, np.exp(theta))

    def mean(theta: Array) -> Array:
        x = values(theta)
        here = [when <= start for start in starts]
        w = np.stack([_talk(x[:, 1], x[:, 2], h) for h in here], axis=1)
        p = np.stack([np.where(h, x[:, 3:], 0.0) for h in here], axis=1)
        m = np.broadcast_to(x[:, 0, None, None], p.shape).copy()
        zero = np.zeros((len(x), brands))
        totals = _integrate(m, p, w, np.ones_like(w), starts, zero, np.arange(n + 1.0), 6)
        return np.asarray(np.moveaxis(np.diff(totals, axis=1), 1, 2)[:, there])

    sold = y.sum()
    first = np.array([max(y[i, when[i]], 1e-3 * y.max()) for i in range(brands)])
    grid = [
        [np.log(sold * size), np.log(pace / n), loyal, *np.log(0.7 * first / (sold * size))]
        for size in (1.1, 2.0, 4.0)
        for pace in (2.0, 5.0, 10.0)
        for loyal in (0.1, 0.6)
    ]
    low = np.array([np.log(0.7 * sold), np.log(1e-5), 0.0, *np.full(brands, np.log(1e-9))])
    high = np.array([np.log(1e4 * sold), np.log(20.0), 1.0, *np.full(brands, np.log(10.0))])
    best = minimise_deviance(mean, used, np.array(grid), low=low, high=high, errors=errors).best(
        what="fit_crowded"
    )
    x = values(best.theta)[0]
    model = crowded_market(x[0], x[3:], imitation=x[1], loyalty_share=x[2], entries=when)
    return fitted(model, names, values, best, used, mean, errors)


def _check_brands(what: str, sales: Array) -> None:
    if sales.ndim != 2:
        raise ValueError(f"{what}: sales must have shape (brands, periods), got {sales.shape}")
    wrong = np.argwhere(~(np.isfinite(sales) & (sales >= 0)))
    if wrong.size:
        brand, period = wrong[0]
        raise ValueError(
            f"{what}: sales must be finite and at least 0; brand {brand + 1}, period {period + 1} "
            f"has {sales[brand, period]:g}"
        )
    if not np.all(sales.sum(axis=1) > 0):
        raise ValueError(f"{what}: a brand sold nothing in any period")

"""How much to stock, and what it is worth that stores fill broken sizes for one another.

Newsvendor; pooling after Eppen (1979); transshipment between identical stores in closed form and
between different ones by sample average over a linear program; demand behind stock-outs by EM,
one item or a whole chain;
a simulator of a season of stores x SKUs x sizes in which stores ship for one another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.special import gammainc, gammaincc, gammaln, ndtr, ndtri, xlogy

from o2o_research.domain import require
from o2o_research.models import numerics
from o2o_research.models.numerics import Fit, NotConverged

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Newsvendor:
    """One order for one season of normal demand.

    Parameters
    ----------
    mean, spread : of demand, units; spread > 0. [mu, sigma]
    overage : loss on a unit left over, yuan, > 0. [h]
    underage : loss on a unit of demand unmet, yuan, > 0. [p]

    Examples
    --------
    Snyder & Shen's newsboy:

    >>> boy = Newsvendor(mean=50, spread=8, overage=0.18, underage=0.70)
    >>> round(float(boy.best_quantity), 3), round(float(boy.cost(boy.best_quantity)), 4)
    (56.604, 1.9976)
    """

    mean: ArrayLike
    spread: ArrayLike
    overage: ArrayLike
    underage: ArrayLike

    def __post_init__(self) -> None:
        require(self, spread="(0, inf)", overage="(0, inf)", underage="(0, inf)")

    @property
    def critical_ratio(self) -> Array:
        """Share of seasons in which the best order meets all demand: p / (p + h)."""
        under = np.asarray(self.underage, float)
        return np.asarray(under / (under + np.asarray(self.overage, float)))

    @property
    def best_quantity(self) -> Array:
        """mu + sigma Phi^-1(p / (p + h)), units."""
        return np.asarray(
            np.asarray(self.mean, float)
            + np.asarray(self.spread, float) * ndtri(self.critical_ratio)
        )

    def short(self, quantity: ArrayLike) -> Array:
        """Expected demand unmet, units: sigma times the normal loss function."""
        spread = np.asarray(self.spread, float)
        return np.asarray(
            spread
            * normal_loss((np.asarray(quantity, float) - np.asarray(self.mean, float)) / spread)
        )

    def cost(self, quantity: ArrayLike) -> Array:
        """Expected loss against knowing demand, yuan."""
        short = self.short(quantity)
        left = np.asarray(quantity, float) - np.asarray(self.mean, float) + short
        return np.asarray(
            np.asarray(self.overage, float) * left + np.asarray(self.underage, float) * short
        )

    def pooled(self, stores: ArrayLike, correlation: ArrayLike = 0.0) -> Newsvendor:
        """One stock for ``stores`` such stores, of pairwise demand ``correlation``.

        Eppen (1979): spread sigma sqrt(n (1 + (n - 1) rho)); independent stores' cost grows by
        sqrt(n) instead of n, and correlation puts a floor under the cost a store.
        """
        n, rho = np.asarray(stores, float), np.asarray(correlation, float)
        if not ((n >= 1).all() and ((rho >= 0) & (rho <= 1)).all()):
            raise ValueError(f"pooled: stores={n} must be >= 1 and correlation={rho} lie in [0, 1]")
        spread = np.asarray(self.spread, float) * np.sqrt(n * (1 + (n - 1) * rho))
        return Newsvendor(
            mean=np.asarray(self.mean, float) * n,
            spread=spread,
            overage=self.overage,
            underage=self.underage,
        )


@dataclass(frozen=True, kw_only=True)
class Transshipment:
    """Identical stores that ship left-over units to one another once demand is known.

    Parameters
    ----------
    stores : in the pool, >= 1. [n]
    mean, spread : of one store's demand, independent and normal, units; spread > 0. [mu, sigma]
    price, cost, salvage : yuan a unit, salvage < cost < price. [r, c, s]
    transfer : shipping a unit to another store's customer, yuan, in [0, price - salvage]. [tau]

    Examples
    --------
    >>> pair = Transshipment(stores=2, mean=100, spread=30, price=40, cost=20, salvage=10, transfer=5)
    >>> round(pair.best_quantity, 4), round(pair.profit(pair.best_quantity), 4)
    (109.6171, 1752.2471)
    """

    stores: int
    mean: float
    spread: float
    price: float
    cost: float
    salvage: float
    transfer: float

    def __post_init__(self) -> None:
        require(self, stores="[1, inf)", spread="(0, inf)")
        if not self.salvage < self.cost < self.price:
            raise ValueError(
                f"Transshipment: salvage={self.salvage:g} < cost={self.cost:g} < price={self.price:g} is wanted"
            )
        if not 0 <= self.transfer <= self.price - self.salvage:
            raise ValueError(
                f"Transshipment: transfer={self.transfer:g} must lie in [0, {self.price - self.salvage:g}]: "
                "dearer shipping is never used"
            )

    @property
    def best_quantity(self) -> float:
        """Stock a store: tau P(D > Q) + (r - tau - s) P(sum D > n Q) = c - s.

        Complete pooling, as in Dong & Rudi (2004).
        """

        def pull(z: float) -> float:
            alone, together = float(ndtr(-z)), float(ndtr(-np.sqrt(self.stores) * z))
            gain = self.transfer * alone + (self.price - self.transfer - self.salvage) * together
            return gain - (self.cost - self.salvage)

        return self.mean + self.spread * numerics.root(pull, -40.0, 40.0, what="transshipment")

    def profit(self, quantity: float) -> float:
        """Expected profit a store, yuan."""
        z = (quantity - self.mean) / self.spread
        own = self.mean - self.spread * float(normal_loss(z))
        root_n = np.sqrt(self.stores)
        sold = self.mean - self.spread / root_n * float(normal_loss(root_n * z))
        return float(
            self.price * own
            + (self.price - self.transfer) * (sold - own)
            + self.salvage * (quantity - sold)
            - self.cost * quantity
        )


def best_stock(
    demand: ArrayLike, *, price: float, cost: float, salvage: float, transfer: ArrayLike
) -> tuple[Array, float]:
    """Stock of different stores that may ship for one another, by sample average.

    A linear program over the demand scenarios: stock is one for all, sales and shipments follow
    each scenario. Exact for the sample; the sample's error is the user's to see, by another one.

    Parameters
    ----------
    demand : ndarray, shape (scenarios, stores), units, >= 0
    transfer : yuan a unit from row to column store, one number or shape (stores, stores), >= 0

    Returns
    -------
    stock : ndarray, shape (stores,)
    profit : mean over the scenarios, all stores, yuan
    """
    table = np.asarray(demand, float)
    if table.ndim != 2 or not (table >= 0).all() or not np.isfinite(table).all():
        raise ValueError(
            f"best_stock: demand of shape (scenarios, stores), >= 0, wanted; got shape {table.shape}"
        )
    if not salvage < cost < price:
        raise ValueError(
            f"best_stock: salvage={salvage:g} < cost={cost:g} < price={price:g} is wanted"
        )
    scenarios, n = table.shape
    fee = np.broadcast_to(np.asarray(transfer, float), (n, n)).copy()
    if not (fee >= 0).all():
        raise ValueError(f"best_stock: transfer={fee.min():g} must be >= 0")
    np.fill_diagonal(fee, 0.0)
    # Variables: stock (n), then per scenario what store i sends to customer j (n x n, own sales on the diagonal).
    margin = np.tile((price - salvage - fee).ravel(), scenarios) / scenarios
    objective = np.concatenate([np.full(n, cost - salvage), -margin])
    out = sparse.kron(sparse.eye(n), np.ones((1, n)))
    into = sparse.kron(np.ones((1, n)), sparse.eye(n))
    stock = sparse.hstack(
        [
            -sparse.kron(np.ones((scenarios, 1)), sparse.eye(n)),
            sparse.kron(sparse.eye(scenarios), out),
        ]
    )
    needs = sparse.hstack(
        [sparse.csr_matrix((scenarios * n, n)), sparse.kron(sparse.eye(scenarios), into)]
    )
    answer = numerics.linear_program(
        objective,
        (
            sparse.vstack([stock, needs]).tocsr(),
            np.concatenate([np.zeros(scenarios * n), table.ravel()]),
        ),
        what="best_stock",
    )
    return answer.x[:n], -answer.value


def filled_profit(
    stock: ArrayLike,
    demand: ArrayLike,
    willing: ArrayLike,
    *,
    price: float,
    cost: float,
    salvage: float,
    transfer: float,
) -> Array:
    """Profit of a stock in each demand scenario when what is left fills what is missing.

    Every store serves its own customers first, those who would not wait before the others;
    pieces left then go, at ``transfer``, to willing customers elsewhere. With one fee for all
    ways and transfer <= price - salvage no other use of the stock earns more.

    Parameters
    ----------
    stock : ndarray, shape (stores,), units
    demand, willing : ndarray, shape (scenarios, stores): customers, and those among them who
        would take the piece by parcel, <= demand

    Returns
    -------
    ndarray, shape (scenarios,), yuan
    """
    have, table = np.asarray(stock, float), np.asarray(demand, float)
    waiting = np.asarray(willing, float)
    if not ((waiting >= 0) & (waiting <= table)).all():
        raise ValueError("filled_profit: willing must lie in [0, demand] for every store")
    if not 0 <= transfer <= price - salvage:
        raise ValueError(
            f"filled_profit: transfer={transfer:g} must lie in [0, {price - salvage:g}]: dearer shipping is never used"
        )
    own = np.minimum(table, have)
    left = (have - own).sum(axis=-1)
    moved = np.minimum(np.minimum(table - own, waiting).sum(axis=-1), left)
    return np.asarray(
        price * own.sum(axis=-1)
        + (price - transfer) * moved
        + salvage * (left - moved)
        - cost * have.sum()
    )


def poisson_demand_steps(sold: ArrayLike, out: ArrayLike) -> Iterator[Array]:
    """EM for the Poisson rate of demand behind stock-outs: yields the rates after each step.

    Days that ended without stock hide demand of at least what was sold; the E-step puts
    E[D | D >= sold] = rate P(D >= sold - 1) / P(D >= sold) in its place.

    Parameters
    ----------
    sold : units, whole, shape (..., days)
    out : whether stock ran out that day, same shape
    """
    units, censored = np.asarray(sold, float), np.asarray(out, bool)
    rate = units.mean(axis=-1) + 1e-9
    # P(D >= s) is one less the regularised upper gamma at s.
    while True:
        now = rate[..., None]
        at_least = np.where(units > 0, 1 - gammaincc(np.maximum(units, 1), now), 1.0)
        one_less = np.where(units > 1, 1 - gammaincc(np.maximum(units - 1, 1), now), 1.0)
        # Far above the rate both tails vanish, and the mean of the rest is the bound itself.
        hidden = np.where(at_least > 1e-280, now * one_less / np.maximum(at_least, 1e-280), units)
        rate = np.where(censored, np.maximum(hidden, units), units).mean(axis=-1)
        yield rate


def fit_poisson_demand(
    sold: ArrayLike, out: ArrayLike, *, tolerance: float = 1e-10, most_steps: int = 100_000
) -> tuple[Array, Array]:
    """Daily demand rate of each item, stock-outs allowed for, and its standard error.

    Parameters
    ----------
    sold, out : shape (..., days), as in ``poisson_demand_steps``

    Returns
    -------
    rate, stderr : ndarray, shape (...); the error comes from the observed information

    Raises
    ------
    ValueError
        Every day of an item ended out of stock: demand has no upper bound then.
    """
    units, censored = np.asarray(sold, float), np.asarray(out, bool)
    if units.shape != censored.shape or units.ndim < 1 or not (units >= 0).all():
        raise ValueError(
            f"fit_poisson_demand: sold >= 0 and out of one shape wanted, got {units.shape}, {censored.shape}"
        )
    if censored.all(axis=-1).any():
        raise ValueError(
            f"fit_poisson_demand: item {tuple(np.argwhere(censored.all(axis=-1))[0].tolist())} was out of stock on all "
            "of its days: nothing bounds its demand; watch days with stock left"
        )
    before = np.full(units.shape[:-1], np.inf)
    for step, rate in enumerate(poisson_demand_steps(units, censored)):
        if np.all(np.abs(rate - before) <= tolerance * (1 + rate)):
            break
        if step >= most_steps:
            raise NotConverged(f"fit_poisson_demand: still moving after {most_steps} steps")
        before = rate
    step_size = 1e-4 * (rate + 1e-3)
    centre, up, down = (
        _log_likelihood(units, censored, rate + d) for d in (0.0, step_size, -step_size)
    )
    information = -(up - 2 * centre + down) / step_size**2
    with np.errstate(invalid="ignore", divide="ignore"):
        return rate, np.asarray(np.where(information > 0, information**-0.5, np.nan))


def _log_likelihood(units: Array, censored: NDArray[np.bool_], rate: ArrayLike) -> Array:
    now = np.maximum(np.asarray(rate, float)[..., None], 1e-300)
    seen = xlogy(units, now) - now - gammaln(units + 1)
    tail = np.where(units > 0, 1 - gammaincc(np.maximum(units, 1), now), 1.0)
    return np.asarray(np.where(censored, np.log(np.maximum(tail, 1e-300)), seen).sum(axis=-1))


@dataclass(frozen=True, kw_only=True)
class ChainDemand:
    """Daily demand of every item in every store: Poisson, a store's level times an item's rate.

    Parameters
    ----------
    levels : ndarray, shape (stores,), > 0, of mean 1. [a]
    items : ndarray, shape (items,), > 0, pieces a day in a store of level 1. [b]
    """

    levels: Array
    items: Array

    @property
    def rates(self) -> Array:
        """Pieces a day, a_i b_k. Shape (stores, items)."""
        return np.asarray(self.levels[:, None] * self.items)


def chain_demand_steps(
    store: NDArray[np.int64], item: NDArray[np.int64], sold: Array, out: NDArray[np.bool_]
) -> Iterator[ChainDemand]:
    """EM for ``fit_chain_demand``: yields the demand after each step."""
    shape = (int(store.max()) + 1, int(item.max()) + 1)
    # A day that began without stock says nothing of demand: it is no day of observation.
    watched = ~out | (sold > 0)
    days, seen = np.zeros(shape), np.zeros(shape)
    np.add.at(days, (store[watched], item[watched]), 1.0)
    np.add.at(seen, (store[~out], item[~out]), sold[~out])
    event = out & (sold > 0)
    at, least = (store[event], item[event]), sold[event]
    levels, items = np.ones(shape[0]), (seen.sum(axis=0) + least.sum() / shape[1]) / days.sum(0)
    while True:
        now = levels[at[0]] * items[at[1]]
        more, enough = gammainc(np.maximum(least - 1, 1), now), gammainc(least, now)
        hidden = now * np.where(least > 1, more, 1.0) / np.maximum(enough, 1e-280)
        total = seen.copy()
        np.add.at(total, at, np.where(enough > 1e-280, np.maximum(hidden, least), least))
        levels = total.sum(axis=1) / (days @ items)
        levels /= levels.mean()
        items = total.sum(axis=0) / (levels @ days)
        yield ChainDemand(levels=levels, items=items)


def fit_chain_demand(
    store: ArrayLike,
    item: ArrayLike,
    sold: ArrayLike,
    out: ArrayLike,
    *,
    tolerance: float = 1e-9,
    most_steps: int = 20_000,
) -> Fit[ChainDemand]:
    """Demand behind stock-outs over a chain, where one store's size sells too little to be fitted alone.

    A day that sold out hides demand of at least what was sold (as ``poisson_demand_steps``); a
    day that began empty is left out. Stores share the items' rates, so that a store which ran
    out early is judged by how the item did elsewhere.

    Parameters
    ----------
    store, item : whole numbers from 0, one a row; an item is one size of one SKU
    sold : pieces that day, whole
    out : whether stock ran out that day

    Returns
    -------
    Fit whose ``stderr`` holds ``"level"``: the relative error of all demand together, by the
    observed information; it takes demand for Poisson, so bunched demand is less sure.

    Raises
    ------
    ValueError
        A store or an item without a day with stock, or one that never sold.
    NotConverged
        Still moving after ``most_steps``.

    Examples
    --------
    >>> fit = fit_chain_demand([0, 0, 1, 1], [0, 0, 0, 0], [2, 1, 4, 5], [False, False, False, False])
    >>> fit.model.levels.tolist(), fit.model.items.tolist()
    ([0.5, 1.5], [3.0])
    """
    where, what = np.asarray(store, np.int64), np.asarray(item, np.int64)
    units, shut = np.asarray(sold, float), np.asarray(out, bool)
    if not where.shape == what.shape == units.shape == shut.shape or where.ndim != 1:
        raise ValueError(
            f"fit_chain_demand: four columns of one length wanted, got {where.shape}, {what.shape}, "
            f"{units.shape}, {shut.shape}"
        )
    if not ((units >= 0) & (units == np.round(units))).all():
        raise ValueError("fit_chain_demand: sold must be whole numbers >= 0")
    for name, key in (("store", where), ("item", what)):
        for quantity, weight in (("day with stock", ~shut | (units > 0)), ("sale", units)):
            none = np.flatnonzero(np.bincount(key, weights=weight) == 0)
            if none.size:
                raise ValueError(
                    f"fit_chain_demand: {name} {none[0]} has no {quantity}: nothing says what its demand is; leave it out"
                )
    if shut.all():
        raise ValueError(
            "fit_chain_demand: every day sold out: nothing bounds demand; watch days with stock left"
        )
    before = np.array([np.inf])
    for step, model in enumerate(chain_demand_steps(where, what, units, shut)):
        now = np.concatenate([model.levels, model.items])
        if now.shape == before.shape and np.all(np.abs(now - before) <= tolerance * now):
            break
        if step >= most_steps:
            raise NotConverged(f"fit_chain_demand: still moving after {most_steps} steps")
        before = now
    rate = model.rates[where, what]

    def likelihood(scale: float) -> float:
        return float(_log_likelihood(units[:, None], shut[:, None], rate * scale).sum())

    step_size = 1e-3
    centre = likelihood(1.0)
    bend = (likelihood(1 + step_size) - 2 * centre + likelihood(1 - step_size)) / step_size**2
    return Fit(
        model=model,
        stderr={"level": float((-bend) ** -0.5) if bend < 0 else float("nan")},
        log_likelihood=centre,
        n=units.size,
    )


def fit_normal_demand(
    sold: ArrayLike, out: ArrayLike, *, underage: float = 1.0, overage: float = 1.0
) -> Fit[Newsvendor]:
    """Mean and spread of normal demand behind stock-outs, by EM, as a newsvendor of those costs.

    Parameters
    ----------
    sold : units a period, shape (periods,)
    out : whether stock ran out, same shape
    """
    x, censored = np.asarray(sold, float), np.asarray(out, bool)
    if x.ndim != 1 or x.shape != censored.shape or (~censored).sum() < 2:
        raise ValueError(
            f"fit_normal_demand: at least two periods with stock left wanted, got {int((~censored).sum())} of {x.size}"
        )
    mean, spread = float(x.mean()), float(x.std()) + 1e-9
    for _ in range(100_000):
        z = (x - mean) / spread
        mills = np.exp(-z * z / 2) / np.sqrt(2 * np.pi) / np.maximum(ndtr(-z), 1e-300)
        first = np.where(censored, mean + spread * mills, x)
        second = np.where(censored, mean**2 + spread**2 + spread * (x + mean) * mills, x * x)
        new_mean = float(first.mean())
        new_spread = float(np.sqrt(max(second.mean() - new_mean**2, 1e-18)))
        done = abs(new_mean - mean) + abs(new_spread - spread) <= 1e-11 * spread
        mean, spread = new_mean, new_spread
        if done:
            break
    else:
        raise NotConverged("fit_normal_demand: still moving after 100,000 steps")

    def slope(at: Array) -> Array:
        z = (x - at[0]) / at[1]
        mills = np.exp(-z * z / 2) / np.sqrt(2 * np.pi) / np.maximum(ndtr(-z), 1e-300)
        to_mean = np.where(censored, mills, z) / at[1]
        to_spread = np.where(censored, mills * z, z * z - 1) / at[1]
        return -np.array([to_mean.sum(), to_spread.sum()])

    covariance: Array = np.asarray(
        np.linalg.inv(numerics.hessian(slope, np.array([mean, spread]))), dtype=np.float64
    )
    z = (x - mean) / spread
    seen = -z * z / 2 - np.log(spread) - 0.5 * np.log(2 * np.pi)
    return Fit(
        model=Newsvendor(mean=mean, spread=spread, overage=overage, underage=underage),
        stderr=dict(zip(("mean", "spread"), np.sqrt(np.diag(covariance)).tolist(), strict=True)),
        log_likelihood=float(np.where(censored, np.log(ndtr(-z)), seen).sum()),
        n=x.size,
        covariance=covariance,
    )


@dataclass(frozen=True, kw_only=True)
class SizePool:
    """Demand for one size of one SKU in one store, and how it pools over a network.

    Parameters
    ----------
    demand : mean units a season of one size in one store, > 0. [m]
    supply_ratio : stock over mean demand, > 0. [k]
    popularity_spread : coefficient of variation of a SKU's success, common to all stores, >= 0
    store_spread : coefficient of variation of a store's own taste for it, >= 0

    Examples
    --------
    >>> pool = SizePool(demand=3.0, supply_ratio=1.0, popularity_spread=0.3, store_spread=0.4)
    >>> round(float(pool.lost_share(1)), 3), round(float(pool.lost_share(3000)), 3)
    (0.308, 0.12)
    """

    demand: ArrayLike
    supply_ratio: ArrayLike
    popularity_spread: ArrayLike
    store_spread: ArrayLike

    def __post_init__(self) -> None:
        require(
            self,
            demand="(0, inf)",
            supply_ratio="(0, inf)",
            popularity_spread="[0, inf)",
            store_spread="[0, inf)",
        )

    def variation(self, stores: ArrayLike) -> Array:
        """Coefficient of variation of the demand of ``stores`` stores together.

        sqrt(c^2 + (1/m + u^2 (1 + c^2)) / n): popularity c does not pool, chance 1/m and taste u do.
        """
        common = np.asarray(self.popularity_spread, float) ** 2
        own = 1 / np.asarray(self.demand, float) + np.asarray(self.store_spread, float) ** 2 * (
            1 + common
        )
        return np.asarray(np.sqrt(common + own / np.asarray(stores, float)))

    def lost_share(self, stores: ArrayLike) -> Array:
        """Share of demand unmet when ``stores`` stores fill for one another, normal demand."""
        variation = self.variation(stores)
        return np.asarray(
            variation * normal_loss((np.asarray(self.supply_ratio, float) - 1) / variation)
        )

    @property
    def bend(self) -> Array:
        """Number of stores at which what pools equals what does not: beyond, the gain flattens."""
        common = np.asarray(self.popularity_spread, float) ** 2
        own = 1 / np.asarray(self.demand, float) + np.asarray(self.store_spread, float) ** 2 * (
            1 + common
        )
        with np.errstate(divide="ignore"):
            return np.asarray(own / common)


@dataclass(frozen=True, kw_only=True)
class Assortment:
    """A season of stores x SKUs x sizes with one delivery at its start.

    Parameters
    ----------
    stores, skus, days : how many, >= 1
    size_shares : share of demand in each size, > 0, summing to 1
    daily_demand : mean units a SKU, store and day, all sizes, > 0
    supply_ratio : stock over mean demand, > 0
    popularity_spread : coefficient of variation of a SKU's success, common to all stores, >= 0
    store_spread : coefficient of variation of a store's own taste for a SKU, >= 0
    accept_share : customers who, the size missing, take it shipped from another store, in [0, 1]
    """

    stores: int
    skus: int
    days: int
    size_shares: Sequence[float]
    daily_demand: float
    supply_ratio: float
    popularity_spread: float
    store_spread: float
    accept_share: float

    def __post_init__(self) -> None:
        require(
            self,
            stores="[1, inf)",
            skus="[1, inf)",
            days="[1, inf)",
            size_shares="(0, 1]",
            daily_demand="(0, inf)",
            supply_ratio="(0, inf)",
            popularity_spread="[0, inf)",
            store_spread="[0, inf)",
            accept_share="[0, 1]",
        )
        if abs(sum(self.size_shares) - 1) > 1e-9:
            raise ValueError(
                f"Assortment: size_shares={list(self.size_shares)} must sum to 1, not {sum(self.size_shares):g}"
            )

    def simulate(self, pools: Sequence[int], rng: np.random.Generator) -> Season:
        """One season, the same customers met by networks cut into pools of each size in ``pools``.

        A customer whose size is missing takes it, with ``accept_share``, from the store of the pool
        with most units left.
        """
        sizes = np.asarray(list(pools), np.int64)
        if sizes.ndim != 1 or sizes.size == 0 or (sizes < 1).any():
            raise ValueError(f"simulate: pools={list(pools)} must be whole numbers >= 1")
        totals, lost_by_day, asked_by_day = _season(
            self.stores,
            self.skus,
            self.days,
            np.asarray(self.size_shares, float),
            float(self.daily_demand),
            float(self.supply_ratio),
            float(self.popularity_spread),
            float(self.store_spread),
            float(self.accept_share),
            sizes,
            rng,
        )
        return Season(
            pools=sizes,
            demand=int(asked_by_day.sum()),
            stock=int(totals[0, 2]),
            own=totals[:, 0],
            filled=totals[:, 1],
            missed_by_day=lost_by_day,
            asked_by_day=asked_by_day,
        )


@dataclass(frozen=True, kw_only=True)
class Season:
    """What a simulated season sold, by size of pool.

    Parameters
    ----------
    pools : stores that fill for one another, shape (pools,)
    demand, stock : units, the whole network
    own, filled : units sold in the store asked, and shipped from another, shape (pools,)
    missed_by_day : requests not met, shape (pools, days)
    asked_by_day : requests, shape (days,)
    """

    pools: NDArray[np.int64]
    demand: int
    stock: int
    own: NDArray[np.int64]
    filled: NDArray[np.int64]
    missed_by_day: NDArray[np.int64]
    asked_by_day: NDArray[np.int64]

    @property
    def lost_share(self) -> Array:
        """Share of demand unmet, shape (pools,)."""
        return np.asarray(1 - (self.own + self.filled) / self.demand)

    @property
    def missing_share(self) -> Array:
        """Share of requests whose size was missing in the store, shape (pools,)."""
        return np.asarray(1 - self.own / self.demand)

    def gain(self, price: float, salvage: float, shipping: float) -> Array:
        """Yuan gained over stores that do not fill: units sold beyond theirs at price less salvage,
        less shipping on every unit filled. Needs a pool of 1. Shape (pools,)."""
        alone = np.flatnonzero(self.pools == 1)
        if not alone.size:
            raise ValueError(f"gain: pools={self.pools.tolist()} hold no 1 to compare with")
        extra = (self.own + self.filled) - self.own[alone[0]]
        return np.asarray(extra * (price - salvage) - self.filled * shipping)


def normal_loss(z: ArrayLike) -> Array:
    """Expected excess of a standard normal over ``z``: phi(z) - z (1 - Phi(z))."""
    z = np.asarray(z, float)
    return np.asarray(np.exp(-z * z / 2) / np.sqrt(2 * np.pi) - z * ndtr(-z))


@njit(cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def _season(  # type: ignore[no-untyped-def]
    stores, skus, days, size_shares, daily, ratio, popularity, taste, accept, pools, rng
):
    """Units sold by own stock and filled, and requests missed by day, for each size of pool."""
    kinds = pools.size
    totals = np.zeros((kinds, 3), np.int64)
    missed = np.zeros((kinds, days), np.int64)
    asked = np.zeros(days, np.int64)
    rates = np.empty(stores)
    begin = np.empty(stores, np.int64)
    stock = np.empty(stores, np.int64)
    for _ in range(skus):
        liked = 1.0
        if popularity > 0:
            liked = rng.standard_gamma(1 / popularity**2) * popularity**2
        for i in range(stores):
            rates[i] = daily * days * liked
            if taste > 0:
                rates[i] *= rng.standard_gamma(1 / taste**2) * taste**2
        for share in size_shares:
            wanted = ratio * daily * days * share
            events = 0
            counts = np.empty(stores, np.int64)
            for i in range(stores):
                # Whole units: the fraction is rounded up as often as it says.
                begin[i] = int(wanted) + (1 if rng.random() < wanted - int(wanted) else 0)
                totals[0, 2] += begin[i]
                counts[i] = rng.poisson(rates[i] * share)
                events += counts[i]
            who = np.empty(events, np.int32)
            at = 0
            for i in range(stores):
                for _ in range(counts[i]):
                    who[at] = i
                    at += 1
            for j in range(events - 1, 0, -1):
                k = int(rng.random() * (j + 1))
                who[j], who[k] = who[k], who[j]
            # Requests in random order fall on days as the order statistics of a uniform season.
            day = np.empty(events, np.int32)
            per_day = np.zeros(days + 1, np.int64)
            for _ in range(events):
                per_day[int(rng.random() * days)] += 1
            at = 0
            for d in range(days):
                asked[d] += per_day[d]
                for _ in range(per_day[d]):
                    day[at] = d
                    at += 1
            willing = np.empty(events, np.bool_)
            for j in range(events):
                willing[j] = rng.random() < accept
            for kind in range(kinds):
                size = pools[kind]
                groups = (stores + size - 1) // size
                level = np.zeros(groups, np.int64)
                place = np.empty(groups, np.int64)
                for i in range(stores):
                    stock[i] = begin[i]
                    g = i // size
                    level[g] = max(level[g], begin[i])
                    place[g] = g * size
                for j in range(events):
                    i = who[j]
                    if stock[i] > 0:
                        stock[i] -= 1
                        totals[kind, 0] += 1
                        continue
                    g = i // size
                    met = False
                    if willing[j] and size > 1:
                        # Stocks only fall, so a pass at one level never has to be made again.
                        end = min((g + 1) * size, stores)
                        while level[g] > 0:
                            while place[g] < end and stock[place[g]] < level[g]:
                                place[g] += 1
                            if place[g] < end:
                                stock[place[g]] -= 1
                                met = True
                                break
                            level[g] -= 1
                            place[g] = g * size
                    if met:
                        totals[kind, 1] += 1
                    else:
                        missed[kind, day[j]] += 1
    return totals, missed, asked

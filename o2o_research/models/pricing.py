"""What roaming packages and bundles earn when buyers choose for themselves.

A menu of packages must leave every traveller no better package than his own: the larger
user gives up a rent, the smaller one is served less (Mussa & Rosen 1978; Maskin & Riley
1984). A bundle earns by evening out what buyers are willing to pay (Adams & Yellen 1976).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import ArrayLike
from scipy import special
from scipy.stats import qmc

from o2o_research.domain import require
from o2o_research.models.numerics import Array, NotConverged, maximise_scalar, search

# --- Tariffs --------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Tariff:
    """A fee that includes an allowance, and a rate beyond it.

    Allowance 0 is a two-part tariff, fee 0 with it a linear price, an infinite rate a package
    that ends; in general it is a block tariff.

    Parameters
    ----------
    fee : float
        Yuan a trip, >= 0. [F]
    allowance : float
        Units included, >= 0. [A]
    rate : float
        Yuan a unit beyond, >= 0, may be infinite. [r]
    """

    fee: float
    allowance: float = 0.0
    rate: float = np.inf

    def __post_init__(self) -> None:
        require(self, fee="[0, inf)", allowance="[0, inf)", rate="[0, inf]")


class Use(NamedTuple):
    """What travellers of each type do under a menu. Arrays of shape (types,).

    picked : place of the tariff, -1 for none; quantity : units; payment : yuan;
    surplus : yuan left to the traveller; profit : of the seller, yuan a traveller of all types
    """

    picked: Array
    quantity: Array
    payment: Array
    surplus: Array
    profit: float


class Menu(NamedTuple):
    """The packages that earn most. Arrays of shape (types,), from the smallest user.

    quantity : units, not falling; payment : yuan; rent : yuan left to each type;
    profit : yuan a traveller; pooled : whether a type shares its package with the next
    """

    quantity: Array
    payment: Array
    rent: Array
    profit: float
    pooled: Array


@dataclass(frozen=True, kw_only=True, eq=False)
class Travellers:
    """Types of traveller by what the first unit of data on a trip is worth to them.

    The worth of q units is v q - b q^2 / 2: each unit is worth less than the one before.

    Parameters
    ----------
    share : ndarray, shape (types,), of travellers, summing to 1 [f]
    first_worth : ndarray, shape (types,), yuan a unit, rising [v]
    slope : float
        By how much a unit is worth less than the one before, yuan, > 0. [b]
    cost : float
        What a unit costs at the carriers abroad, yuan, >= 0. [c]

    Examples
    --------
    Two types as many as each other: the small one gets less than efficient, the large one all:

    >>> trip = Travellers(share=np.array([0.5, 0.5]), first_worth=np.array([3.0, 4.0]), slope=1.0, cost=1.0)
    >>> menu = trip.best_menu()
    >>> menu.quantity.tolist(), menu.payment.tolist(), menu.rent.tolist(), menu.profit
    ([1.0, 3.0], [2.5, 6.5], [0.0, 1.0], 2.5)
    """

    share: Array
    first_worth: Array
    slope: float
    cost: float

    def __post_init__(self) -> None:
        if self.share.shape != self.first_worth.shape or self.share.ndim != 1:
            raise ValueError(
                f"Travellers: share has shape {self.share.shape}, first_worth {self.first_worth.shape}"
            )
        if abs(self.share.sum() - 1.0) > 1e-9:
            raise ValueError(f"Travellers: share sums to {self.share.sum():g}, not 1")
        if not np.all(np.diff(self.first_worth) > 0):
            raise ValueError(f"Travellers: first_worth={self.first_worth.tolist()} must rise")
        require(self, share="(0, 1]", first_worth="(0, inf)", slope="(0, inf)", cost="[0, inf)")

    def worth(self, quantity: ArrayLike) -> Array:
        """Yuan that q units are worth to each type, shape (types, ...); flat once satiated."""
        q = np.asarray(quantity, float)
        v = self.first_worth.reshape(-1, *(1,) * q.ndim)
        used = np.minimum(q, v / self.slope)
        return np.asarray(v * used - self.slope * used**2 / 2)

    def use(self, tariff: Tariff) -> Array:
        """Units each type uses under a tariff it has: beyond the allowance while worth the rate."""
        wanted = np.maximum(self.first_worth - tariff.rate, 0.0) / self.slope
        satiated = self.first_worth / self.slope
        return np.minimum(np.maximum(wanted, tariff.allowance), satiated)

    def payment(self, tariff: Tariff) -> Array:
        """Yuan each type pays under a tariff it has."""
        beyond = np.maximum(self.use(tariff) - tariff.allowance, 0.0)
        return tariff.fee + np.where(beyond > 0, beyond, 0.0) * (
            tariff.rate if np.isfinite(tariff.rate) else 0.0
        )

    def choose(self, tariffs: Sequence[Tariff]) -> Use:
        """What each type picks of a menu and uses, none included; ties go to the dearer tariff."""
        use = np.array([self.use(each) for each in tariffs])
        paid = np.array([self.payment(each) for each in tariffs])
        worth = self.first_worth * use - self.slope * use**2 / 2
        surplus = worth - paid
        # Who is indifferent takes what the seller would have him take.
        earned = paid - self.cost * use
        best = surplus.max(axis=0)
        rank = np.where(surplus >= best - 1e-9 * np.maximum(1.0, np.abs(best)), earned, -np.inf)
        picked, types = rank.argmax(axis=0), np.arange(self.share.size)
        takes = best >= -1e-9

        def of(table: Array) -> Array:
            return np.where(takes, table[picked, types], 0.0)

        return Use(
            np.where(takes, picked, -1), of(use), of(paid), of(surplus),
            float(self.share @ of(earned)),
        )  # fmt: skip

    @property
    def virtual_worth(self) -> Array:
        """First worth less the rent it makes larger users keep: v_i - (v_i+1 - v_i)(1 - F_i) / f_i."""
        above = 1.0 - np.cumsum(self.share)
        step = np.append(np.diff(self.first_worth), 0.0)
        return np.asarray(self.first_worth - step * above / self.share)

    def best_menu(self) -> Menu:
        """The menu that earns most of all tariffs, by its optimality conditions.

        Each type's incentive to take the next smaller package binds, the smallest user keeps
        nothing, and packages maximise virtual worth less cost. Where virtual worth falls, types
        are pooled (ironing: the nearest rising sequence, weights f).
        """
        level = _rising(self.virtual_worth, self.share)
        quantity = np.maximum(level - self.cost, 0.0) / self.slope
        own = self.first_worth * quantity - self.slope * quantity**2 / 2
        below = np.append(0.0, quantity[:-1])
        envied = self.first_worth * below - self.slope * below**2 / 2
        payment = np.cumsum(own - envied)
        pooled = np.append(np.diff(level) <= 1e-12, False)
        profit = float(self.share @ (payment - self.cost * quantity))
        return Menu(quantity, payment, own - payment, profit, pooled)

    def envy(self, menu: Menu) -> Array:
        """Surplus of type i with the package of j. Shape (i, j); the diagonal is each type's own."""
        return self.worth(menu.quantity) - menu.payment

    def best_two_part(self) -> Tariff:
        """The one two-part tariff that earns most: a rate, and the fee its smallest user will bear.

        Served from type i on, with fee (v_i - r)^2 / 2b, profit is a parabola in the rate with
        its top at c + m_i - v_i, m_i the mean first worth of those served. Without a fee the
        price is linear.
        """
        rates = np.minimum(self.cost + self._mean_above - self.first_worth, self.first_worth)
        return self._best_of(
            [self.two_part(rate, i) for i, rate in enumerate(rates.tolist())] + self._linear
        )

    def two_part(self, rate: float, smallest: int) -> Tariff:
        """The tariff at a rate with the fee that leaves type ``smallest`` nothing."""
        use = max(float(self.first_worth[smallest]) - rate, 0.0) / self.slope
        return Tariff(fee=self.slope * use**2 / 2, rate=rate)

    def best_linear(self) -> Tariff:
        """The one price a unit that earns most, without a fee."""
        return self._best_of(self._linear)

    @property
    def _linear(self) -> list[Tariff]:
        """The best price that serves from each type on: the top of (r - c)(m_i - r), or an end."""
        below = np.append(0.0, self.first_worth[:-1])
        rates = np.clip((self.cost + self._mean_above) / 2, below, self.first_worth)
        return [Tariff(fee=0.0, rate=rate) for rate in rates.tolist()]

    @property
    def _mean_above(self) -> Array:
        """Mean first worth of each type and all larger ones. [m]"""
        share, worth = self.share[::-1], self.first_worth[::-1]
        return np.asarray((np.cumsum(share * worth) / np.cumsum(share))[::-1])

    def _best_of(self, tariffs: Sequence[Tariff]) -> Tariff:
        return max(tariffs, key=lambda each: self.choose([each]).profit)

    @property
    def first_best(self) -> float:
        """Worth less cost if each type used data up to its cost, yuan a traveller."""
        use = np.maximum(self.first_worth - self.cost, 0.0) / self.slope
        return float(self.share @ (self.slope * use**2 / 2))


def _rising(values: Array, weights: Array) -> Array:
    """The nearest sequence that never falls, in weighted squares (pool adjacent violators)."""
    blocks: list[list[float]] = []
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        blocks.append([value, weight, 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            v, w, n = blocks.pop()
            u, m, k = blocks.pop()
            blocks.append([(u * m + v * w) / (m + w), m + w, k + n])
    return np.concatenate([np.full(int(n), v) for v, _, n in blocks])


# --- Bundles --------------------------------------------------------------------------

# Two goods worth U[0, 1] each, independently, at no cost: prices and profit of a buyer.
UNIFORM_SINGLE_PRICE = 0.5
UNIFORM_SINGLE_PROFIT = 0.5
UNIFORM_BUNDLE_PRICE = float(np.sqrt(2 / 3))
UNIFORM_BUNDLE_PROFIT = UNIFORM_BUNDLE_PRICE * 2 / 3
UNIFORM_MIXED_PRICES = (2 / 3, float((4 - np.sqrt(2)) / 3))


@dataclass(frozen=True, kw_only=True)
class TwoGoods:
    """Two goods whose worths are tied by a Gaussian copula, priced alone and together.

    Demands are integrals over the worth of the first good, split where they bend.

    Parameters
    ----------
    first, second : distributions of what a good is worth, yuan, with ``cdf`` and ``ppf``
        (``scipy.stats.uniform(0, 1)``)
    correlation : float
        Of the copula, in (-1, 1). [rho]
    cost : tuple of two floats
        Of each good, yuan, >= 0.

    Examples
    --------
    >>> from scipy.stats import uniform
    >>> pair = TwoGoods(first=uniform(0, 1), second=uniform(0, 1), correlation=0.0)
    >>> mixed = pair.best_mixed()
    >>> [round(price, 4) for price in mixed.prices], round(mixed.profit, 6)
    ([0.6667, 0.6667, 0.8619], 0.549201)
    """

    first: Any
    second: Any
    correlation: float
    cost: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        require(self, correlation="(-1, 1)", cost="[0, inf)")

    def demand(self, first: float, second: float, both: float) -> tuple[float, float, float]:
        """Shares of buyers who take the first alone, the second alone, and the bundle.

        ``both`` is at most the sum of the singles: a bundle that costs more is bought apart.
        """
        both = min(both, first + second)
        low, high = both - second, first  # the first good's worth where choices bend
        least, most = self.second.support()
        bends = self.first.cdf(np.array([low, high, both - least, both - most]))
        edges = np.unique(np.r_[0.0, np.nan_to_num(bends), 1.0])
        half = np.diff(edges)[:, np.newaxis] / 2
        rank = np.clip(edges[:-1, np.newaxis] + half * (1.0 + _NODES), 1e-15, 1 - 1e-15)
        weight, worth = half * _WEIGHTS, self.first.ppf(rank)
        middle = self.first.ppf((edges[:-1] + edges[1:]) / 2)[:, np.newaxis]
        # Below, the second alone or nothing; between, the bundle or nothing; above, the first too.
        pair = np.where(middle < high, both - worth, both - high) if high < np.inf else both - worth
        take_pair = np.where(middle < low, 0.0, weight * self._above(pair, rank))
        only_second = float((weight * self._above(second, rank))[middle[:, 0] < low].sum())
        only_first = float((weight - take_pair)[middle[:, 0] >= high].sum())
        together = float(take_pair.sum())
        return only_first, only_second, together

    def _above(self, worth: Any, rank: Array) -> Array:
        """Probability that the second good is worth at least that, given the first's rank."""
        bar = special.ndtri(np.clip(self.second.cdf(worth), 0.0, 1.0))
        tilt = self.correlation * special.ndtri(rank)
        return np.asarray(special.ndtr((tilt - bar) / np.sqrt(1.0 - self.correlation**2)))

    def profit(self, first: float, second: float, both: float) -> float:
        """Yuan a buyer."""
        both = min(both, first + second)
        earned = first - self.cost[0], second - self.cost[1], both - sum(self.cost)
        # What is not for sale has an infinite price, and no buyer.
        return sum(
            each * share
            for each, share in zip(earned, self.demand(first, second, both), strict=True)
            if share > 0
        )

    def _tops(self) -> tuple[float, float]:
        return float(self.first.ppf(1 - 1e-6)), float(self.second.ppf(1 - 1e-6))

    def best_singles(self) -> Offer:
        """Each good at the price that earns most alone."""
        one, two = (
            _price_alone(law, cost, top)
            for law, cost, top in zip(
                (self.first, self.second), self.cost, self._tops(), strict=True
            )
        )
        return Offer((one, two, one + two), self.profit(one, two, one + two))

    def best_bundle(self) -> Offer:
        """Both goods together alone, at the price that earns most."""

        def profit(prices: Array) -> Array:
            return np.array([self.profit(np.inf, np.inf, float(p)) for p in prices])

        price = maximise_scalar(profit, 0.0, sum(self._tops()), what="bundle")
        return Offer((np.inf, np.inf, price), self.profit(np.inf, np.inf, price))

    def best_mixed(self) -> Offer:
        """The goods alone and together at the prices that earn most."""
        singles, bundle, tops = self.best_singles(), self.best_bundle(), self._tops()

        def loss(prices: Array) -> float:
            one, two, both = prices.tolist()
            if min(prices) < 0 or one > 1.5 * tops[0] or two > 1.5 * tops[1] or both > one + two:
                return float(1e3 * (1.0 + np.abs(prices).sum()))
            return -self.profit(min(one, both), min(two, both), both)

        alone, together = np.array(singles.prices), bundle.prices[2]
        starts = [
            np.array([1.1 * alone[0], 1.1 * alone[1], 0.95 * alone[2]]),
            np.array([0.95 * together, 0.95 * together, together]),
            np.array([alone[0] * 1.3, alone[1] * 1.3, together]),
        ]
        found = min(
            (search(loss, each, step=0.05 * together, what="mixed") for each in starts),
            key=lambda answer: answer[1],
        )
        one, two, both = found[0].tolist()
        mixed = Offer((min(one, both), min(two, both), both), -found[1])
        return max((mixed, singles, bundle), key=lambda offer: offer.profit)


def _price_alone(law: Any, cost: float, top: float) -> float:
    def profit(price: Array) -> Array:
        return np.asarray((price - cost) * (1.0 - law.cdf(price)))

    return maximise_scalar(profit, 0.0, top, what="single price")


class Offer(NamedTuple):
    """Prices, infinite where something is not sold, and profit a buyer, yuan."""

    prices: tuple[float, ...]
    profit: float


_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(48)


def correlated_worths(
    quantiles: Sequence[Callable[[Array], Array]],
    correlation: ArrayLike,
    buyers: int,
    rng: np.random.Generator,
) -> Array:
    """What goods are worth to buyers, tied by a Gaussian copula. Shape (buyers, goods).

    Parameters
    ----------
    quantiles : of each good's worth, from a rank in (0, 1) to yuan (``scipy.stats`` has them
        as ``ppf``)
    correlation : array_like, shape (goods, goods), of the copula
    buyers : a power of two keeps the Sobol points whole
    """
    matrix = np.asarray(correlation, float)
    goods = len(quantiles)
    if matrix.shape != (goods, goods) or not np.allclose(matrix, matrix.T):
        raise ValueError(
            f"correlated_worths: correlation has shape {matrix.shape} for {goods} goods"
        )
    if not np.allclose(np.diag(matrix), 1.0):
        raise ValueError("correlated_worths: the diagonal of correlation must be 1")
    try:
        root = np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        raise ValueError(
            f"correlated_worths: correlation={matrix.tolist()} is that of no distribution"
        ) from None
    made = qmc.Sobol(d=goods, scramble=True, rng=rng)
    uniform = made.random(1 << (buyers - 1).bit_length())[:buyers]
    rank = special.ndtr(special.ndtri(np.clip(uniform, 1e-12, 1 - 1e-12)) @ root.T)
    return np.stack([law(rank[:, g]) for g, law in enumerate(quantiles)], axis=1)


@njit(cache=True)
def _cheapest(price):  # type: ignore[no-untyped-def]
    """Each set at the least that its parts cost: nobody pays more for a bundle."""
    least = price.copy()
    for whole in range(1, price.size):
        part = (whole - 1) & whole
        while part:
            least[whole] = min(least[whole], least[part] + least[whole ^ part])
            part = (part - 1) & whole
    return least


@njit(cache=True)
def _sell(worth, cost, price):  # type: ignore[no-untyped-def]
    """Share of the buyers of each set, profit a buyer and the set each takes; 0 is none.

    A buyer takes the set that leaves him most, of equals the dearer. ``worth`` has shape
    (sets, buyers): set by set, the buyers are gone through side by side.
    """
    sets, buyers = worth.shape
    taken, best, paid = np.zeros(buyers, np.int64), np.zeros(buyers), np.zeros(buyers)
    for s in range(1, sets):
        for i in range(buyers):
            left, most = worth[s, i] - price[s], best[i]
            takes = (left > most + 1e-12) | ((left >= most - 1e-12) & (price[s] > paid[i]))
            best[i] = max(most, left) if takes else most
            paid[i] = price[s] if takes else paid[i]
            taken[i] = s if takes else taken[i]
    shares = np.bincount(taken, minlength=sets) / buyers
    profit = 0.0
    for s in range(sets):
        if shares[s] > 0:  # what is not sold may have an infinite price
            profit += shares[s] * (price[s] - cost[s])
    return shares, profit, taken


@njit(cache=True)
def _loss(inner, worth, cost):  # type: ignore[no-untyped-def]
    if inner.min() < 0:
        return 1e3 * (1.0 + np.abs(inner).sum())
    price = np.zeros(inner.size + 1)
    price[1:] = inner
    return -_sell(worth, cost, _cheapest(price))[1]


@njit(cache=True)
def _descend(worth, cost, start, step):  # type: ignore[no-untyped-def]
    """Prices and their loss at the foot of Nelder and Mead's simplex; nan where it does not shrink.

    Steps are those of Gao & Han (2012, Computational Optimization and Applications 51:259-277).
    Of corners that lose alike the older is the better.
    """
    n = start.size
    corner = start + step * np.eye(n + 1, n, -1)
    loss = np.empty(n + 1)
    for k in range(n + 1):
        loss[k] = _loss(corner[k], worth, cost)
    flat = 1e-7 * max(1.0, abs(loss[0]))
    further, nearer, smaller = 1.0 + 2.0 / n, 0.75 - 0.5 / n, 1.0 - 1.0 / n
    for _ in range(20_000):
        order = np.argsort(loss, kind="mergesort")
        corner, loss = corner[order], loss[order]
        if loss[n] - loss[0] <= flat and np.abs(corner[1:] - corner[0]).max() <= 1e-5:
            return corner[0], loss[0]
        middle, worst = corner[:n].sum(axis=0) / n, corner[n]
        tried = 2.0 * middle - worst
        found = _loss(tried, worth, cost)
        if found < loss[0]:
            other = (1.0 + further) * middle - further * worst
            lost = _loss(other, worth, cost)
            if lost < found:
                tried, found = other, lost
        elif found >= loss[n - 1]:
            outside = found < loss[n]
            if outside:
                other = (1.0 + nearer) * middle - nearer * worst
            else:
                other = (1.0 - nearer) * middle + nearer * worst
            lost = _loss(other, worth, cost)
            if lost > found if outside else lost >= loss[n]:
                for k in range(1, n + 1):
                    corner[k] = corner[0] + smaller * (corner[k] - corner[0])
                    loss[k] = _loss(corner[k], worth, cost)
                continue
            tried, found = other, lost
        corner[n], loss[n] = tried, found
    return corner[0], np.nan


class Sales(NamedTuple):
    """What an offer sells. Sets are numbered by their goods' bits: 1 first, 2 second, 3 both, 4 third.

    shares : ndarray, shape (2 ** goods,), of buyers by the set they take, none first;
    profit : yuan a buyer; surplus : yuan left to a buyer; taken : ndarray, shape (buyers,)
    """

    shares: Array
    profit: float
    surplus: float
    taken: Array


class Diversion(NamedTuple):
    """Where the buyers of several goods come from, as shares of them, and what that earns.

    new : would have bought nothing at single prices; upgraded : fewer goods; discounted : the
    same goods for more; gain : yuan a buyer of all, against the singles alone
    """

    new: float
    upgraded: float
    discounted: float
    gain: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Bundles:
    """Any number of goods sold alone, in sets, or both, to equally likely buyers.

    Worths add up. Prices are an array of shape (2 ** goods,): price of each set, 0 first,
    infinite where it is not sold. A set may also be put together from cheaper parts.

    Parameters
    ----------
    worths : ndarray, shape (buyers, goods), yuan
    cost : ndarray, shape (goods,), yuan, >= 0
    """

    worths: Array
    cost: Array

    def __post_init__(self) -> None:
        if self.worths.ndim != 2 or self.cost.shape != self.worths.shape[1:]:
            raise ValueError(
                f"Bundles: worths has shape {self.worths.shape}, cost {self.cost.shape}"
            )
        if not np.isfinite(self.worths).all():
            raise ValueError("Bundles: a worth is not finite")
        require(self, cost="[0, inf)")

    @property
    def members(self) -> Array:
        """Which goods each set holds. Shape (2 ** goods, goods), 0 or 1."""
        goods = self.cost.size
        return ((np.arange(2**goods)[:, np.newaxis] >> np.arange(goods)) & 1).astype(float)

    def sales(self, prices: ArrayLike) -> Sales:
        """What buyers take at these prices."""
        price = _cheapest(np.asarray(prices, float))
        shares, profit, taken = _sell(self._set_worths, self._set_costs, price)
        left = self._set_worths[taken, np.arange(taken.size)] - price[taken]
        return Sales(shares, profit, float(left.mean()), taken)

    @cached_property
    def _set_worths(self) -> Array:
        return np.ascontiguousarray((self.worths @ self.members.T).T)

    @cached_property
    def _set_costs(self) -> Array:
        return np.asarray(self.members @ self.cost)

    def singles(self, prices: ArrayLike) -> Array:
        """Prices of all sets where goods are sold one by one."""
        return np.asarray(self.members @ np.asarray(prices, float))

    def whole(self, price: float) -> Array:
        """Prices of all sets where only the whole bundle is sold."""
        found = np.full(2**self.cost.size, np.inf)
        found[0], found[-1] = 0.0, price
        return found

    def best_singles(self) -> Array:
        """Prices of the sets with every good at the single price that earns most alone."""
        return self.singles(
            [_best_price(self.worths[:, g], float(self.cost[g])) for g in range(self.cost.size)]
        )

    def best_whole(self) -> Array:
        """Prices of the sets with the whole bundle alone, at the price that earns most."""
        return self.whole(_best_price(self.worths.sum(axis=1), float(self.cost.sum())))

    def best_mixed(self) -> Array:
        """Prices of all sets that earn most, found by search; never worse than the two pure ways.

        From where the best of four simplexes came to rest another starts, until one gains less
        than a hundred thousandth. The search has no certificate: a better local optimum may exist.
        """
        alone, together = self.best_singles(), self.best_whole()
        size = self.members.sum(axis=1) / self.cost.size
        flat = together[-1] * (0.3 + 0.7 * size)
        starts = [
            alone * (1.15 - 0.2 * size),
            np.minimum(flat, alone * 1.3),
            np.minimum(1.3 * alone, together[-1] * np.maximum(size, 0.75)),
            together[-1] * (0.6 + 0.4 * size),
        ]

        step = 0.05 * float(together[-1])

        def descend(prices: Array) -> tuple[float, Array]:
            foot, loss = _descend(self._set_worths, self._set_costs, prices[1:], step)
            if not np.isfinite(loss):
                raise NotConverged("mixed bundling: a simplex has not shrunk")
            return float(loss), _cheapest(np.r_[0.0, foot])

        loss, best = min(map(descend, starts), key=lambda answer: answer[0])
        while (again := descend(best))[0] < loss - 1e-5 * abs(loss):
            loss, best = again
        return max((best, alone, together), key=lambda prices: self.sales(prices).profit)

    def diversion(self, prices: ArrayLike, single_prices: ArrayLike) -> Diversion:
        """Who buys several goods, by what he would buy were each sold alone at ``single_prices``."""
        now, before = self.sales(prices), self.sales(self.singles(single_prices))
        count = self.members.sum(axis=1)
        several = count[now.taken] > 1
        had = count[before.taken][several]
        wanted = count[now.taken][several]
        if not several.any():
            return Diversion(0.0, 0.0, 0.0, now.profit - before.profit)
        return Diversion(
            float(np.mean(had == 0)),
            float(np.mean((had > 0) & (had < wanted))),
            float(np.mean(had >= wanted)),
            now.profit - before.profit,
        )


def _best_price(worth: Array, cost: float) -> float:
    """The price that earns most from a sample of worths: one of them."""
    price = np.sort(worth)
    earned = (price - cost) * np.arange(price.size, 0, -1)
    return float(price[earned.argmax()])

"""Online sales split into new ones and ones moved from the stores.

The outcome is the customer's total over all channels: what a channel moves, it does not add.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from o2o_research.domain import require
from o2o_research.models.causal.panel import Effect, student_effect

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class OnlineShop:
    """The yearly arithmetic of an online shop beside stores.

    Parameters
    ----------
    daily_orders : orders on an ordinary day, >= 0
    ticket : yuan an order, > 0
    promotion_days : days a year of promotion, in [0, 365]
    promotion_multiple : orders on such a day over an ordinary one, >= 1
    moved_share : share of its sales that the stores would have had, in [0, 1]
    margin_share : contribution of an order over its price, in [0, 1]
    extra_cost : yuan an order that a store sale does not have (shipping, commission), >= 0

    Examples
    --------
    Fifty orders a day of two hundred yuan, forty in a hundred of them moved from the stores:

    >>> shop = OnlineShop(daily_orders=50, ticket=200.0, promotion_days=0, promotion_multiple=1,
    ...                   moved_share=0.4, margin_share=0.5, extra_cost=12.0)
    >>> float(shop.sales), float(shop.new_sales), float(shop.contribution)
    (3650000.0, 2190000.0, 876000.0)
    """

    daily_orders: ArrayLike
    ticket: ArrayLike
    promotion_days: ArrayLike
    promotion_multiple: ArrayLike
    moved_share: ArrayLike
    margin_share: ArrayLike
    extra_cost: ArrayLike

    def __post_init__(self) -> None:
        require(
            self, daily_orders="[0, inf)", ticket="(0, inf)", promotion_days="[0, 365]",
            promotion_multiple="[1, inf)", moved_share="[0, 1]", margin_share="[0, 1]", extra_cost="[0, inf)",
        )  # fmt: skip

    @property
    def _ordinary_days(self) -> Array:
        # A promotion day counts for as many ordinary ones as its orders do.
        extra = np.asarray(self.promotion_days, float) * (
            np.asarray(self.promotion_multiple, float) - 1
        )
        return np.asarray(365 + extra)

    @property
    def orders(self) -> Array:
        """Orders a year."""
        return np.asarray(np.asarray(self.daily_orders, float) * self._ordinary_days)

    @property
    def sales(self) -> Array:
        """Yuan a year."""
        return np.asarray(self.orders * np.asarray(self.ticket, float))

    @property
    def new_sales(self) -> Array:
        """Yuan a year that the stores would not have had."""
        return np.asarray(self.sales * (1 - np.asarray(self.moved_share, float)))

    @property
    def contribution(self) -> Array:
        """Yuan a year added to the firm: margin on new sales, less the extra cost of all orders."""
        return np.asarray(
            self.new_sales * np.asarray(self.margin_share, float)
            - self.orders * np.asarray(self.extra_cost, float)
        )

    @property
    def break_even_moved(self) -> Array:
        """Moved share at which the shop adds nothing: 1 - extra cost / (margin x ticket), at least 0."""
        margin = np.asarray(self.margin_share, float) * np.asarray(self.ticket, float)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.maximum(1 - np.asarray(self.extra_cost, float) / margin, 0.0))

    def daily_orders_for(self, target: ArrayLike) -> Array:
        """Orders on an ordinary day that a yearly ``target``, yuan, takes."""
        return np.asarray(
            np.asarray(target, float) / (np.asarray(self.ticket, float) * self._ordinary_days)
        )


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """What showing customers an online shop did to their spending, per customer.

    Parameters
    ----------
    online, store, total : effects of exposure, yuan a customer and period
    moved_share : share of the online effect taken from the stores: minus store over online
    moved_low, moved_high : its interval by Fieller's method; infinite where the online effect may
        be none
    """

    online: Effect
    store: Effect
    total: Effect
    moved_share: float
    moved_low: float
    moved_high: float


@dataclass(frozen=True, kw_only=True)
class ExposureTrial:
    """An exposure design before it starts: how well it will know the share moved from the stores.

    Parameters
    ----------
    buyers_share : shown customers who buy online in the period, in (0, 1]
    ticket : yuan an online buyer spends, > 0
    moved_share : of it taken from the stores, in [0, 1]. [mu]
    store_spending : yuan a customer spends in stores in the period, >= 0
    store_variation : its standard deviation over its mean, >= 0
    foreseen_share : share of that variance which earlier spending explains, in [0, 1)
    shown_share : share of the customers who are shown the shop, in (0, 1)

    Examples
    --------
    >>> trial = ExposureTrial(buyers_share=0.05, ticket=200.0, moved_share=0.4, store_spending=150.0,
    ...                       store_variation=2.0, foreseen_share=0.5)
    >>> round(float(trial.moved_stderr(200_000)), 3), round(float(trial.customers_for(0.2)))
    (0.095, 121749)
    """

    buyers_share: ArrayLike
    ticket: ArrayLike
    moved_share: ArrayLike
    store_spending: ArrayLike
    store_variation: ArrayLike
    foreseen_share: ArrayLike = 0.0
    shown_share: ArrayLike = 0.5

    def __post_init__(self) -> None:
        require(
            self, buyers_share="(0, 1]", ticket="(0, inf)", moved_share="[0, 1]", store_spending="[0, inf)",
            store_variation="[0, inf)", foreseen_share="[0, 1)", shown_share="(0, 1)",
        )  # fmt: skip

    @property
    def online_effect(self) -> Array:
        """Yuan a shown customer spends online."""
        return np.asarray(np.asarray(self.buyers_share, float) * self.ticket)

    @property
    def _spread(self) -> Array:
        # Of the ratio by the delta method, times the square root of the customers.
        share = np.asarray(self.shown_share, float)
        store = (
            np.asarray(self.store_spending, float) * np.asarray(self.store_variation, float)
        ) ** 2
        noise = store * (1 - np.asarray(self.foreseen_share, float)) / (share * (1 - share))
        return np.asarray(np.sqrt(noise) / self.online_effect)

    def moved_stderr(self, customers: ArrayLike) -> Array:
        """Standard error of the estimated moved share with ``customers`` in both arms together.

        sigma sqrt((1 - R^2) / (q (1 - q) N)) / delta, delta the online effect: spending in stores
        is noisy and the effect small. Who buys online enters both parts of the ratio and, moved
        alike, cancels.
        """
        return np.asarray(self._spread / np.sqrt(np.asarray(customers, float)))

    def customers_for(self, reach: ArrayLike, level: float = 0.9) -> Array:
        """Customers, both arms together, at which the interval reaches ``reach`` to either side."""
        bound = float(ndtri(0.5 + level / 2)) / np.asarray(reach, float)
        return np.asarray((self._spread * bound) ** 2)

    def draw(self, customers: int, rng: np.random.Generator) -> dict[str, Array]:
        """One such trial: columns ``exposed``, ``online``, ``store`` and ``earlier`` of customers.

        Spending in two periods is gamma of the stated mean and variation, correlated by
        sqrt(R^2). Who spent more earlier is as much likelier to buy online, so that buyers cannot
        be compared with others; a buyer spends the ticket and takes the moved share of it from
        store spending, which may come out below zero. Parameters are single numbers here.
        """
        mean, spread = float(self.store_spending), float(self.store_variation)  # type: ignore[arg-type]
        shape = 1 / max(spread, 1e-9) ** 2
        common = float(np.sqrt(self.foreseen_share))
        # Sums of gammas of one scale are gamma: the common part is what both periods share.
        shared = rng.standard_gamma(shape * common, customers)
        earlier, now = (
            (shared + rng.standard_gamma(shape * (1 - common), customers)) * mean / shape
            for _ in range(2)
        )
        exposed = rng.random(customers) < float(self.shown_share)  # type: ignore[arg-type]
        chance = float(self.buyers_share) * (earlier / mean if mean > 0 else 1.0)  # type: ignore[arg-type]
        buyer = exposed & (rng.random(customers) < chance)
        online = buyer * float(self.ticket)  # type: ignore[arg-type]
        return {
            "exposed": exposed.astype(float),
            "online": online,
            "store": now - float(self.moved_share) * online,  # type: ignore[arg-type]
            "earlier": earlier,
        }


def exposure_effect(
    exposed: ArrayLike,
    online: ArrayLike,
    store: ArrayLike,
    *,
    earlier: ArrayLike | None = None,
    level: float = 0.9,
) -> Exposure:
    """Effect of a randomised exposure on spending online, in stores and together.

    Differences of means between exposed and held-out customers, with errors robust to unequal
    spread; ``earlier`` spending removes what was to be foreseen (regression within each arm, Lin
    2013), which narrows the interval and moves nothing on average.

    Parameters
    ----------
    exposed : whether the customer was shown the shop, by lot, shape (customers,)
    online, store : yuan spent in the period, same shape
    earlier : yuan spent in all channels in a period before, same shape

    Examples
    --------
    >>> shown = [1, 1, 1, 0, 0, 0]
    >>> found = exposure_effect(shown, [30.0, 20.0, 40.0, 0.0, 0.0, 0.0], [5.0, 6.0, 4.0, 20.0, 21.0, 19.0])
    >>> found.online.value, found.store.value, found.moved_share
    (30.0, -15.0, 0.5)
    """
    arm = np.asarray(exposed, bool)
    spending = np.stack([np.asarray(online, float), np.asarray(store, float)])
    if spending.shape != (2, arm.size) or arm.ndim != 1 or not np.isfinite(spending).all():
        raise ValueError(
            f"exposure_effect: finite spending of shape ({arm.size},) wanted, got {spending.shape[1:]}"
        )
    if min(arm.sum(), (~arm).sum()) < 3:
        raise ValueError(
            f"exposure_effect: {int(arm.sum())} exposed and {int((~arm).sum())} held-out customers; at least 3 of each"
        )
    means = []
    covariances = []
    for side in (arm, ~arm):
        rest = spending[:, side]
        if earlier is not None:
            before = np.asarray(earlier, float)
            own = before[side] - before[side].mean()
            slope = rest @ own / max(float(own @ own), 1e-300)
            rest = rest - slope[:, None] * (before[side] - before.mean())
        means.append(rest.mean(axis=1))
        covariances.append(np.cov(rest) / side.sum())
    value = means[0] - means[1]
    spread = covariances[0] + covariances[1]
    ways = {
        "online": np.array([1.0, 0.0]),
        "store": np.array([0.0, 1.0]),
        "total": np.array([1.0, 1.0]),
    }
    effects = {
        name: student_effect(float(w @ value), float(np.sqrt(w @ spread @ w)), np.inf, level)
        for name, w in ways.items()
    }
    low, high = _fieller(-value[1], value[0], spread[1, 1], spread[0, 0], -spread[0, 1], level)
    return Exposure(
        **effects, moved_share=float(-value[1] / value[0]), moved_low=low, moved_high=high
    )


def _fieller(
    top: float, bottom: float, top_var: float, bottom_var: float, covariance: float, level: float
) -> tuple[float, float]:
    """Interval of the ratio of two normal means: all R with |top - R bottom| within reach."""
    reach = float(ndtri(0.5 + level / 2)) ** 2
    a = bottom**2 - reach * bottom_var
    b = top * bottom - reach * covariance
    c = top**2 - reach * top_var
    if a <= 0:
        return -np.inf, np.inf
    root = float(np.sqrt(max(b * b - a * c, 0.0)))
    return float((b - root) / a), float((b + root) / a)

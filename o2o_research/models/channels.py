"""What one order earns a restaurant on each channel, and where one channel overtakes another.

An order that would have come anyway is no gain: it brings its contribution on the
channel and costs the one it would have made at the table. A fee that the diner pays
is no cost of the restaurant: it keeps some diners from ordering.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from o2o_research.domain import require
from o2o_research.models.numerics import Array


def smallest_share(needed: float | Array, per_share: float | Array) -> float | Array:
    """The smallest share x in [0, 1] with x * per_share >= needed; inf where there is none.

    Every break-even share of this package is this one: a balance linear in the share.

    >>> float(smallest_share(6.0, 24.0)), float(smallest_share(30.0, 24.0))
    (0.25, inf)
    """
    need, slope = np.asarray(needed, float), np.asarray(per_share, float)
    reached = (need > 0) & (slope >= need)
    share = need / np.where(reached, slope, 1.0)
    return np.where(need <= 0, 0.0, np.where(reached, share, np.inf))[()]


def _number_needed(amount: float | Array, each: float | Array) -> float | Array:
    """How many of ``each`` make up ``amount``; inf where each adds nothing."""
    adds = np.asarray(each) > 0
    with np.errstate(over="ignore"):
        number = np.divide(amount, np.where(adds, each, 1.0))
    return np.where(adds, number, np.inf)[()]


def payback_months(
    outlay: float | Array, monthly_gain: float | Array, monthly_rate: float | Array = 0.0
) -> float | Array:
    """Months until a level monthly gain has paid an outlay back; inf where it never does.

    The number of terms of an ordinary annuity, -ln(1 - I r / g) / ln(1 + r), and I / g
    without discounting: the months are counted at their ends and may be fractional.

    Parameters
    ----------
    outlay : float
        Paid at the start, yuan, >= 0. [I]
    monthly_gain : float
        Gained each month, yuan. [g]
    monthly_rate : float
        Discount rate a month, >= 0. [r]

    Examples
    --------
    >>> float(payback_months(12_000, 1_000))
    12.0
    >>> round(float(payback_months(12_000, 1_000, 0.01)), 2)
    12.85
    """
    simple = np.asarray(_number_needed(outlay, monthly_gain))
    rate = np.asarray(monthly_rate, float)
    # The interest on the outlay must leave something of the gain, or it is never repaid.
    repaid = np.isfinite(simple) & (np.asarray(outlay) * rate < monthly_gain)
    eaten = np.where(repaid, simple, 0.0) * rate
    annuity = -np.log1p(-eaten) / np.log1p(np.where(rate > 0, rate, 1.0))
    months = np.where(rate > 0, annuity, simple)
    return np.where(np.asarray(outlay) <= 0, 0.0, np.where(repaid, months, np.inf))[()]


@dataclass(frozen=True, kw_only=True)
class Order:
    """An order as it would be at the table, at list price.

    Parameters
    ----------
    ticket : float
        Value of the order at list price, yuan, > 0. [T]
    variable_cost_share : float
        Ingredients and consumables as a share of the list price, in [0, 1). [v]
    guests : float
        Guests that one order serves, > 0. [n]
    elasticity : float
        Price elasticity of orders with respect to all that the diner pays, >= 0:
        orders are proportional to (price paid / ticket)^-elasticity. [e]

    Raises
    ------
    ValueError
        A parameter outside its domain.

    Examples
    --------
    >>> Order(ticket=60, variable_cost_share=0.4).dine_in_contribution
    36.0
    """

    ticket: float | Array
    variable_cost_share: float | Array
    guests: float | Array = 1.0
    elasticity: float | Array = 0.0

    def __post_init__(self) -> None:
        require(
            self,
            ticket="(0, inf)",
            variable_cost_share="[0, 1)",
            guests="(0, inf)",
            elasticity="[0, inf)",
        )

    @property
    def dine_in_contribution(self) -> float | Array:
        """What the order leaves at the table, yuan: T (1 - v)."""
        return self.ticket * (1.0 - self.variable_cost_share)


@dataclass(frozen=True, kw_only=True)
class Channel:
    """A way to sell: what it takes, from whom, and how many of its orders are new.

    Dine-in, voucher, delivery by the platform's or by own couriers, own direct ordering
    and reservations are the same concept with different numbers.

    Parameters
    ----------
    incremental_share : float
        Share of its orders that cost the restaurant no order elsewhere, in [0, 1]. An
        order that replaces a meal at the table, or takes the kitchen from one at peak,
        is not incremental. [i]
    discount_share : float
        Share of the list price given to the diner, in [0, 1). [d]
    commission_share : float
        Share of the value of the food that the channel keeps, in [0, 1]. [k]
    fee_per_guest : float
        Paid by the restaurant for each guest seated, yuan, >= 0. [f]
    handling_cost : float
        Packaging and couriers that the restaurant pays, yuan an order, >= 0. [h]
    labour_saved : float
        Work on an order that the channel takes off the staff, yuan, >= 0. [l]
    diner_fee : float
        Paid by the diner on top of the food, yuan an order, >= 0. [F]
    diner_fee_kept_share : float
        Share of the diner's fee that reaches the restaurant, in [0, 1]: 0 with the
        platform's couriers, 1 with own ones. [b]
    monthly_cost : float
        Fixed cost of being on the channel, yuan a month, >= 0. [M]

    Raises
    ------
    ValueError
        A parameter outside its domain.

    Examples
    --------
    A platform that keeps 15 % and charges the diner 6 yuan, on an order of 60 yuan:

    >>> order = Order(ticket=60, variable_cost_share=0.4)
    >>> platform = Channel(incremental_share=0.4, commission_share=0.15, diner_fee=6)
    >>> platform.contribution(order), round(platform.gain(order), 2)
    (27.0, 5.4)
    >>> float(platform.equal_ticket), float(platform.break_even_incremental_share(order))
    (40.0, 0.25)
    """

    incremental_share: float | Array
    discount_share: float | Array = 0.0
    commission_share: float | Array = 0.0
    fee_per_guest: float | Array = 0.0
    handling_cost: float | Array = 0.0
    labour_saved: float | Array = 0.0
    diner_fee: float | Array = 0.0
    diner_fee_kept_share: float | Array = 0.0
    monthly_cost: float | Array = 0.0

    def __post_init__(self) -> None:
        require(
            self,
            incremental_share="[0, 1]",
            discount_share="[0, 1)",
            commission_share="[0, 1]",
            fee_per_guest="[0, inf)",
            handling_cost="[0, inf)",
            labour_saved="[0, inf)",
            diner_fee="[0, inf)",
            diner_fee_kept_share="[0, 1]",
            monthly_cost="[0, inf)",
        )

    def price_paid(self, order: Order) -> float | Array:
        """All that the diner pays, yuan: T (1 - d) + F."""
        return order.ticket * (1.0 - self.discount_share) + self.diner_fee

    def orders_ratio(self, order: Order) -> float | Array:
        """Orders against those at list price without a fee: (price paid / T)^-e."""
        ratio: float | Array = (self.price_paid(order) / order.ticket) ** -order.elasticity
        return ratio

    def contribution(self, order: Order) -> float | Array:
        """What one order leaves the restaurant before fixed cost, yuan.

        T (1 - d)(1 - k) - T v - f n - h + l + b F.
        """
        food = order.ticket * (1.0 - self.discount_share) * (1.0 - self.commission_share)
        return (
            food
            - order.ticket * order.variable_cost_share
            - self.fee_per_guest * order.guests
            - self.handling_cost
            + self.labour_saved
            + self.diner_fee_kept_share * self.diner_fee
        )

    def gain(self, order: Order) -> float | Array:
        """Contribution less what the order would have made at the table anyway, yuan.

        contribution - (1 - i) T (1 - v).
        """
        lost = (1.0 - self.incremental_share) * order.dine_in_contribution
        return self.contribution(order) - lost

    def gain_per_prospect(self, order: Order) -> float | Array:
        """Gain for each order that would be placed at list price without a fee, yuan.

        The fee trims new and other orders alike; those who turn away and would have come
        to the table come to the table.
        """
        return self.orders_ratio(order) * self.gain(order)

    def fee_burden(self, order: Order) -> float | Array:
        """What the diner's fee costs the restaurant in orders not placed, yuan a prospect."""
        without_fee: float | Array = (1.0 - self.discount_share) ** -order.elasticity
        return (without_fee - self.orders_ratio(order)) * self.gain(order)

    def take(self, order: Order) -> float | Array:
        """What stays with the channel's owner from both sides, yuan an order.

        k T (1 - d) + f n + (1 - b) F.
        """
        return (
            self.commission_share * order.ticket * (1.0 - self.discount_share)
            + self.fee_per_guest * order.guests
            + (1.0 - self.diner_fee_kept_share) * self.diner_fee
        )

    def cost_per_order(self, order: Order) -> float | Array:
        """What an order costs against the same order at the table, yuan; below 0 it saves."""
        return order.dine_in_contribution - self.contribution(order)

    def cost_per_new_order(self, order: Order) -> float | Array:
        """Acquisition cost of an order that is truly new, yuan: cost per order / i.

        The channel gains exactly while this is below the contribution at the table. Where
        it brings no one new it is inf, or -inf if the channel saves money all the same.
        """
        cost = self.cost_per_order(order)
        saves_only = (np.asarray(cost) < 0) & (np.asarray(self.incremental_share) == 0)
        return np.where(saves_only, -np.inf, _number_needed(cost, self.incremental_share))[()]

    def break_even_incremental_share(self, order: Order) -> float | Array:
        """Share of new orders above which the channel gains: cost per order / (T (1 - v)).

        0 where it gains even when every guest would have come anyway, inf where it loses
        even when every order is new.
        """
        return smallest_share(self.cost_per_order(order), order.dine_in_contribution)

    def break_even_conversion(self, order: Order, click_cost: float | Array) -> float | Array:
        """Share of clicks that must end in an order before paid clicks cost as little.

        Advertising paid by the click costs click_cost / conversion an order and leaves the
        risk of poor conversion with the restaurant; the channel is paid by the result. inf
        where no conversion makes clicks as cheap.
        """
        return smallest_share(click_cost, self.cost_per_order(order))

    @property
    def equal_ticket(self) -> float | Array:
        """Ticket at which the commission equals the diner's fee, yuan: F / (k (1 - d)).

        Above it the restaurant pays the larger part; inf without a commission.
        """
        return _number_needed(self.diner_fee, self.commission_share * (1.0 - self.discount_share))

    def monthly_gain(self, order: Order, prospects: float | Array) -> float | Array:
        """Gain of a month less the channel's fixed cost, yuan, from ``prospects`` orders."""
        return prospects * self.gain_per_prospect(order) - self.monthly_cost

    def break_even_prospects(self, order: Order) -> float | Array:
        """Prospects a month that pay the channel's fixed cost; inf where an order loses."""
        return _number_needed(self.monthly_cost, self.gain_per_prospect(order))


@dataclass(frozen=True, kw_only=True)
class Couriers:
    """Own couriers: a cost that comes in whole people, whether orders come or not.

    How many orders one courier can carry under a promised delivery time is a question of
    queues; its answer is a parameter here.

    Parameters
    ----------
    daily_cost : float
        Cost of one courier on duty, yuan a day, > 0. [w]
    orders_per_courier : float
        Orders a courier can carry a day at the promised time, > 0. [m]
    minimum : float
        Fewest couriers on duty, a whole number, >= 1. [c]

    Raises
    ------
    ValueError
        A parameter outside its domain.

    Examples
    --------
    At 150 yuan a day and 25 orders a courier, an order is worth 9 yuan of saved commission:

    >>> couriers = Couriers(daily_cost=150, orders_per_courier=25, minimum=2)
    >>> float(couriers.cost_per_order(20)), float(couriers.cost_per_order(60))
    (15.0, 7.5)
    >>> round(float(couriers.break_even_orders(9.0)), 1)
    33.3
    """

    daily_cost: float | Array
    orders_per_courier: float | Array
    minimum: float | Array = 1.0

    def __post_init__(self) -> None:
        require(self, daily_cost="(0, inf)", orders_per_courier="(0, inf)", minimum="[1, inf)")
        if not np.all(np.asarray(self.minimum) == np.floor(self.minimum)):
            raise ValueError(f"Couriers: minimum={self.minimum} must be a whole number")

    def on_duty(self, orders: float | Array) -> float | Array:
        """Couriers needed for ``orders`` a day."""
        return np.maximum(self.minimum, np.ceil(np.divide(orders, self.orders_per_courier)))[()]

    def cost_per_order(self, orders: float | Array) -> float | Array:
        """Couriers' cost of one order when ``orders`` (> 0) come a day, yuan."""
        return self.on_duty(orders) * self.daily_cost / orders

    def break_even_orders(self, saving: float | Array) -> float | Array:
        """Orders a day from which own couriers pay for good; inf where they never do.

        Cost per order is a saw: one order too many calls for another courier. With k
        couriers on duty they pay from k w / s orders; the answer is that number for the
        last k whose stretch starts at a loss, so that from there on every larger number of
        orders pays too.

        Parameters
        ----------
        saving : float
            What an order is worth before couriers, yuan: the commission saved, or the
            gain of an order that could not be delivered otherwise. [s]
        """
        daily, load = np.asarray(self.daily_cost, float), np.asarray(self.orders_per_courier, float)
        worth = np.asarray(saving, float)
        spare = worth * load - daily
        pays = spare > 0
        # Stretch k starts at m (k - 1) orders: it starts at a loss while k < s m / (s m - w).
        last = np.ceil(np.divide(worth * load, np.where(pays, spare, 1.0))) - 1.0
        couriers = np.maximum(last, self.minimum)
        return np.where(pays, couriers * daily / np.where(pays, worth, 1.0), np.inf)[()]


@dataclass(frozen=True, kw_only=True)
class DirectChannel:
    """Own ordering beside a platform: who feeds whom?

    Of the orders that want delivery, the loyal share knows the restaurant and would order
    from it directly; the others know only the platform. Three plans are compared: the
    platform alone, both, the direct channel alone. Beside the direct channel, part of the
    loyal guests still orders through the platform, because it is there.

    Parameters
    ----------
    order : Order
    platform : Channel
        Its ``incremental_share`` is not read: among loyal guests the direct channel's
        holds, guests who know only the platform are all new.
    direct : Channel
        Its ``incremental_share`` is that of the loyal guests' orders against the table;
        its ``monthly_cost`` is the fixed cost of the site and the telephone.
    prospects : float
        Orders a month that want delivery at list price without a fee, > 0. [N]
    loyal_share : float
        Share of these whose guests would find the restaurant by themselves, in [0, 1]. [L]
    leak_share : float
        Share of the loyal orders that stay with the platform while it is offered, in
        [0, 1]. [a]
    set_up_cost : float
        Paid once for the direct channel, yuan, >= 0. [I]

    Raises
    ------
    ValueError
        A parameter outside its domain.

    Examples
    --------
    >>> brand = DirectChannel(
    ...     order=Order(ticket=60, variable_cost_share=0.4),
    ...     platform=Channel(incremental_share=1, commission_share=0.15, diner_fee=6),
    ...     direct=Channel(incremental_share=1, handling_cost=5, diner_fee=6,
    ...                    diner_fee_kept_share=1, monthly_cost=6_000),
    ...     prospects=3_000, loyal_share=0.6, leak_share=0.5, set_up_cost=50_000)
    >>> brand.switch_gain, float(brand.opening_loyal_share)
    (10.0, 0.4)
    >>> round(float(brand.payback_months()), 1)
    16.7
    """

    order: Order
    platform: Channel
    direct: Channel
    prospects: float | Array
    loyal_share: float | Array
    leak_share: float | Array
    set_up_cost: float | Array = 0.0

    def __post_init__(self) -> None:
        require(
            self,
            prospects="(0, inf)",
            loyal_share="[0, 1]",
            leak_share="[0, 1]",
            set_up_cost="[0, inf)",
        )

    def _loyal_value(self, channel: Channel) -> float | Array:
        """Gain of one loyal prospect who orders through ``channel``, yuan."""
        lost = (1.0 - self.direct.incremental_share) * self.order.dine_in_contribution
        return channel.orders_ratio(self.order) * (channel.contribution(self.order) - lost)

    @property
    def switch_gain(self) -> float | Array:
        """What a loyal prospect is worth more on the direct channel, yuan. [S]"""
        return self._loyal_value(self.direct) - self._loyal_value(self.platform)

    @property
    def platform_guest_value(self) -> float | Array:
        """What a prospect who knows only the platform is worth there, yuan. [P]"""
        ratio = self.platform.orders_ratio(self.order)
        return ratio * self.platform.contribution(self.order)

    @property
    def profit_platform_only(self) -> float | Array:
        """Gain of a month on the platform alone, yuan."""
        loyal = self.loyal_share * self._loyal_value(self.platform)
        others = (1.0 - self.loyal_share) * self.platform_guest_value
        return self.prospects * (loyal + others) - self.platform.monthly_cost

    @property
    def profit_both(self) -> float | Array:
        """Gain of a month on both, yuan."""
        moved = self.loyal_share * (1.0 - self.leak_share) * self.switch_gain
        return self.profit_platform_only + self.prospects * moved - self.direct.monthly_cost

    @property
    def profit_direct_only(self) -> float | Array:
        """Gain of a month on the direct channel alone, yuan."""
        loyal = self.loyal_share * self._loyal_value(self.direct)
        return self.prospects * loyal - self.direct.monthly_cost

    @property
    def opening_loyal_share(self) -> float | Array:
        """Loyal share from which both beat the platform alone: M / (N (1 - a) S)."""
        return smallest_share(
            self.direct.monthly_cost / self.prospects, (1.0 - self.leak_share) * self.switch_gain
        )

    @property
    def leaving_loyal_share(self) -> float | Array:
        """Loyal share from which the direct channel alone beats both: p / (p + a S).

        p is P less the platform's own fixed cost a prospect. From here on the brand feeds
        the platform: the margin lost on loyal guests who leak to it exceeds all that the
        guests it brings are worth.
        """
        brought = self.platform_guest_value - self.platform.monthly_cost / self.prospects
        return smallest_share(
            brought, self.platform_guest_value + self.leak_share * self.switch_gain
        )

    @property
    def replacing_loyal_share(self) -> float | Array:
        """Loyal share from which the direct channel alone beats the platform alone.

        (P + (M_direct - M_platform) / N) / (P + S).
        """
        fixed = (self.direct.monthly_cost - self.platform.monthly_cost) / self.prospects
        return smallest_share(
            self.platform_guest_value + fixed, self.platform_guest_value + self.switch_gain
        )

    @property
    def monthly_gain(self) -> float | Array:
        """What the better plan with a direct channel earns above the platform alone, yuan."""
        best = np.maximum(self.profit_both, self.profit_direct_only)
        return (best - self.profit_platform_only)[()]

    def payback_months(self, monthly_rate: float | Array = 0.0) -> float | Array:
        """Months until the set-up cost is paid back at a discount rate a month; inf if never."""
        return payback_months(self.set_up_cost, self.monthly_gain, monthly_rate)

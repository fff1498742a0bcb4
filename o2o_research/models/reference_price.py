"""What discounts cost later, when guests remember what they paid.

Demand with an asymmetric reference price and its dynamic pricing problem after
Popescu & Wu (2007), Operations Research 55(3); cycles for gain-seeking guests also
Kopalle, Rao & Assunção (1996), Marketing Science 15(1):60-85; the account of a
campaign (gained now, lost later) after Greenleaf (1995), Marketing Science 14(1):82-104.

Guests hold a price in mind, the reference: paying less attracts more of them, paying
more deters more of them, and each price paid moves it. A period is a week throughout.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csc_array, eye_array
from scipy.sparse.linalg import spsolve

from o2o_research.domain import require
from o2o_research.models.numerics import Array, NotConverged

WEEKS_A_YEAR = 52

Number = float | Array


@dataclass(frozen=True, kw_only=True)
class ReferenceDemand:
    """Weekly guests of a restaurant whose guests remember prices.

    Around today's ticket demand is linear, D(p, r) = a - b p + gain b (r-p)⁺ - loss b (p-r)⁺,
    and never negative; the reference moves as r' = memory r + (1 - memory) p. Every
    parameter may be an array; the closed forms broadcast.

    Parameters
    ----------
    ticket : float or ndarray
        List price of a meal, yuan a guest, > 0. [p at which D is stated]
    guests : float or ndarray
        Guests a week who come at the ticket when it is also their reference, > 0.
    elasticity : float or ndarray
        Fall of guests in percent per percent of a lasting price rise, at the ticket,
        > 0: the long-run elasticity, after the reference has followed. [b p / D]
    gain : float or ndarray
        Extra guests per yuan below the reference, relative to the slope b, >= 0.
    loss : float or ndarray
        Guests lost per yuan above the reference, relative to the slope b, >= 0.
    memory : float or ndarray
        Weight of last week's reference in this week's, in [0, 1). [α]
    cost : float or ndarray
        Variable cost of a guest, yuan, in [0, ticket). [c]
    discount_factor : float or ndarray
        Worth today of a yuan next week, in [0, 1). [β]

    Raises
    ------
    ValueError
        If a parameter lies outside its domain, or the cost is not below the ticket.

    Examples
    --------
    Popescu & Wu's linear case a=100, b=1, k=.8, no cost:

    >>> demand = ReferenceDemand(ticket=50, guests=50, elasticity=1, gain=0.8, loss=0.8,
    ...                          memory=0.6, cost=0, discount_factor=0.95)
    >>> float(round(demand.steady_price(0.8), 6))
    47.777778
    """

    ticket: Number
    guests: Number
    elasticity: Number
    gain: Number
    loss: Number
    memory: Number
    cost: Number
    discount_factor: Number

    def __post_init__(self) -> None:
        require(
            self,
            ticket="(0, inf)", guests="(0, inf)", elasticity="(0, inf)", gain="[0, inf)",
            loss="[0, inf)", memory="[0, 1)", cost="[0, inf)", discount_factor="[0, 1)",
        )  # fmt: skip
        cost, ticket = np.broadcast_arrays(self.cost, self.ticket)
        if (bad := cost >= ticket).any():
            raise ValueError(
                f"ReferenceDemand: cost={cost[bad][0]:g} must lie below ticket={ticket[bad][0]:g}"
            )

    @property
    def slope(self) -> Number:
        """Guests a week lost for good per yuan of a lasting price rise. [b]"""
        return self.elasticity * self.guests / self.ticket

    @property
    def choke_price(self) -> Number:
        """Price at which nobody comes once the reference has followed, yuan. [a/b]"""
        return self.ticket * (1 + 1 / self.elasticity)

    @property
    def deal_elasticity(self) -> Number:
        """The elasticity that the first week of a deal seems to show: elasticity (1 + gain).

        It mixes guests who like the price with guests who like the surprise; the latter
        leave as the reference follows. A static model takes it for the elasticity.
        """
        return self.elasticity * (1 + self.gain)

    @property
    def naive_price(self) -> Number:
        """Price a static model recommends from `deal_elasticity`, yuan.

        Below a ticket worth keeping wherever gain > loss θ (see `steady_price`): sellers who
        ignore the reference price too low, as Popescu & Wu (2007) find.
        """
        return (self.ticket * (1 + 1 / self.deal_elasticity) + self.cost) / 2

    def guests_at(self, price: ArrayLike, reference: ArrayLike) -> Any:
        """Guests a week at ``price`` when their reference is ``reference``, never negative. [D]"""
        price, reference = np.asarray(price, float), np.asarray(reference, float)
        attraction = (
            self.ticket - price
            + self.gain * np.maximum(reference - price, 0)
            - self.loss * np.maximum(price - reference, 0)
        )  # fmt: skip
        return np.maximum(self.guests + self.slope * attraction, 0)

    def profit(self, price: ArrayLike, reference: ArrayLike) -> Any:
        """Contribution of a week, yuan: (price - cost) times the guests who come. [Π]"""
        return (np.asarray(price, float) - self.cost) * self.guests_at(price, reference)

    def next_reference(self, price: ArrayLike, reference: ArrayLike) -> Any:
        """Next week's reference, yuan: memory r + (1 - memory) p."""
        return self.memory * np.asarray(reference) + (1 - self.memory) * np.asarray(price)

    def path(self, prices: ArrayLike, start: ArrayLike) -> Path:
        """What happens under given prices.

        Parameters
        ----------
        prices : ndarray, shape (..., weeks)
            Price of each week, yuan; leading axes broadcast against the parameters.
        start : float or ndarray, shape (...)
            Reference before the first week, yuan.
        """
        reference = start
        steps = []
        for price in np.moveaxis(np.asarray(prices, float), -1, 0):
            steps.append((price, reference, self.guests_at(price, reference)))
            reference = self.next_reference(price, reference)
        return Path.of(steps, self.cost)

    # Steady states

    @property
    def _patience(self) -> Number:
        """(1-β) / (1-αβ): what is left of a reference effect held for ever. [θ]"""
        return (1 - self.discount_factor) / (1 - self.memory * self.discount_factor)

    def steady_price(self, strength: ArrayLike) -> Any:
        """Price worth keeping for ever if gains and losses both weigh ``strength``, yuan.

        p = (a + c (b + k θ)) / (2 b + k θ), θ = (1-β)/(1-αβ), k = ``strength`` b:
        Popescu & Wu's steady state for linear demand, with a unit cost.
        """
        drag = np.asarray(strength) * self._patience
        return (self.choke_price + self.cost * (1 + drag)) / (2 + drag)

    @property
    def steady_prices(self) -> tuple[Any, Any]:
        """Lowest and highest price worth keeping, yuan: strengths ``loss`` and ``gain``.

        Loss-averse guests (loss > gain) leave a range: above its lower end a lasting rise
        does not pay, below its upper end a lasting cut does not. Equal strengths leave one
        price. Gain-seeking guests (gain > loss) leave none, and the first exceeds the
        second: the best prices then cycle.
        """
        return self.steady_price(self.loss), self.steady_price(self.gain)

    @property
    def steady_elasticities(self) -> tuple[Any, Any]:
        """Lowest and highest elasticity for which the ticket is worth keeping.

        Everything but ``elasticity`` as it is. Less elastic guests would bear a higher
        ticket; more elastic ones want a lower one, and campaigns then look good only
        because the ticket is too high.
        """
        margin = 1 - self.cost / self.ticket
        low, high = (1 / (margin * (1 + k * self._patience)) for k in (self.loss, self.gain))
        return low, high

    # The overdraft in closed form

    def overdraft(self, reference: ArrayLike) -> Any:
        """Present value of full-price profit lost for a reference off the ticket, yuan.

        The restaurant asks the ticket for ever; the reference returns to it from
        ``reference``. Zero at the ticket, negative (a credit) above it:
        (p-c) loss b (p-r) / (1-αβ) where some guests still come, and all their profit
        in the weeks in which none would.
        """
        worn = self.ticket - np.asarray(reference, float)
        margin = self.ticket - self.cost
        decay = self.memory * self.discount_factor
        missing = self.slope * np.where(worn > 0, self.loss, self.gain) * worn
        empty = _weeks_until(missing / self.guests, self.memory)
        emptied = self.guests * (1 - self.discount_factor**empty) / (1 - self.discount_factor)
        return margin * (emptied + missing * decay**empty / (1 - decay))

    def recovery_weeks(self, shortfall: ArrayLike, tolerance: float = 0.05) -> Any:
        """Weeks at the ticket until the reference is back within ``tolerance`` of it.

        Parameters
        ----------
        shortfall : float or ndarray
            How far the reference lies below the ticket, share of the ticket, in [0, 1].
            A campaign of n weeks leaves depth (1 - memoryⁿ).
        tolerance : float
            Share of the ticket that counts as recovered, > 0.

        Returns
        -------
        float or ndarray
            Smallest whole n with shortfall memoryⁿ <= tolerance.
        """
        return _weeks_until(np.asarray(shortfall, float) / tolerance, self.memory)

    def campaign_profit(self, depth: ArrayLike, weeks: ArrayLike) -> Any:
        """What one campaign in an unspoilt market is worth, yuan, with all that follows.

        Present value, at its first week, against never having held it: profit of the
        campaign weeks, less profit at the ticket, less the overdraft it leaves.

        Parameters
        ----------
        depth : float or ndarray
            Share of the ticket given away, averaged over all guests, in [0, 1). [d]
        weeks : int or ndarray
            Length. [w]
        """
        cut = np.asarray(depth) * self.ticket
        margin = self.ticket - self.cost
        held, surprised, drawn = self._campaign_sums(weeks)
        guests = (self.guests + self.slope * cut) * held + self.gain * self.slope * cut * surprised
        overdraft = self.discount_factor ** np.asarray(weeks) * self.overdraft(
            self.ticket - cut * drawn
        )
        return (margin - cut) * guests - margin * self.guests * held - overdraft

    def best_depth(self, weeks: ArrayLike) -> Any:
        """Depth at which one campaign of ``weeks`` weeks is worth most; 0 if none pays.

        `campaign_profit` is a parabola in the depth as long as some guests still come at
        the ticket afterwards; never deeper than half the margin.
        """
        margin = self.ticket - self.cost
        held, surprised, drawn = self._campaign_sums(weeks)
        pull = held + self.gain * surprised
        push = self._later_loss(weeks, drawn)
        first = self.elasticity * margin / self.ticket * (pull - push) - held
        return np.maximum(first / (2 * self.elasticity * pull), 0)

    def break_even_depth(self, weeks: ArrayLike) -> Any:
        """Depth beyond which one campaign loses, twice the best; 0 if every campaign does."""
        return 2 * self.best_depth(weeks)

    def break_even_elasticity(self, depth: ArrayLike, weeks: ArrayLike) -> Any:
        """Elasticity above which one campaign pays, its overdraft included; inf if none does.

        Everything but ``elasticity`` as it is; with ``loss=0`` it is the static answer.
        Valid, like `best_depth`, while some guests still come at the ticket afterwards.
        """
        margin = 1 - self.cost / self.ticket
        held, surprised, drawn = self._campaign_sums(weeks)
        pull = (margin - np.asarray(depth)) * (held + self.gain * surprised)
        net = pull - margin * self._later_loss(weeks, drawn)
        return np.where(net > 0, held / np.where(net > 0, net, 1), np.inf)[()]

    def _campaign_sums(self, weeks: ArrayLike) -> tuple[Any, Any, Any]:
        """Σβʲ and Σ(αβ)ʲ over the campaign's weeks, and the share 1-αʷ of the cut learnt."""
        weeks = np.asarray(weeks)
        decay = self.memory * self.discount_factor
        held = (1 - self.discount_factor**weeks) / (1 - self.discount_factor)
        return held, (1 - decay**weeks) / (1 - decay), 1 - self.memory**weeks

    def _later_loss(self, weeks: ArrayLike, drawn: Any) -> Any:
        """Present value of guests missing afterwards, per guest that a yuan off moves for good."""
        decay = self.memory * self.discount_factor
        return self.discount_factor ** np.asarray(weeks) * self.loss * drawn / (1 - decay)


def _weeks_until(ratio: Any, memory: Number) -> Any:
    """Smallest whole n >= 0 with ratio memoryⁿ <= 1."""
    with np.errstate(divide="ignore"):
        exact = np.log(np.maximum(ratio, 1)) / -np.log(memory)
    # A ratio that is a power of the memory must not gain a week by rounding.
    return np.where(np.asarray(ratio) > 1 + 1e-9, np.maximum(np.ceil(exact - 1e-9), 1), 0.0)[()]


@dataclass(frozen=True, kw_only=True)
class Path:
    """Weeks one after another. Every array has shape (..., weeks).

    Parameters
    ----------
    price, reference : yuan; the reference is that of the guests who see the price
    guests : guests of the week
    profit : contribution of the week, yuan
    """

    price: Array
    reference: Array
    guests: Array
    profit: Array

    @classmethod
    def of(cls, steps: list[tuple[Any, Any, Any]], cost: Number) -> Self:
        """Stack weekly (price, reference, guests), each of shape (...)."""
        shape = np.broadcast_shapes(np.shape(cost), *(np.shape(x) for step in steps for x in step))
        price, reference, guests = (
            np.stack([np.broadcast_to(x, shape) for x in column], axis=-1)
            for column in zip(*steps, strict=True)
        )
        profit = (price - np.asarray(cost)[..., None]) * guests
        return cls(price=price, reference=reference, guests=guests, profit=profit)


# Campaigns


def even_calendar(number: ArrayLike, weeks: ArrayLike, years: int = 1) -> NDArray[np.bool_]:
    """Which weeks are campaign weeks, with ``number`` campaigns a year at even distances.

    The first starts with the year, so that most of what follows a campaign falls in it.

    Parameters
    ----------
    number : int or ndarray
        Campaigns a year, >= 0.
    weeks : int or ndarray
        Length of a campaign, weeks, >= 1.
    years : int
        How many years of 52 weeks.

    Returns
    -------
    ndarray of bool, shape (..., 52 years), of the shape of ``number`` and ``weeks``

    Raises
    ------
    ValueError
        If a number is not whole or negative, or the campaigns do not fit into a year.

    Examples
    --------
    >>> np.flatnonzero(even_calendar(3, 2)).tolist()
    [0, 1, 17, 18, 34, 35]
    """
    number, weeks = np.broadcast_arrays(number, weeks)
    whole = (number == np.floor(number)) & (weeks == np.floor(weeks))
    if (bad := ~whole | (number < 0) | (weeks < 1) | (number * weeks > WEEKS_A_YEAR)).any():
        raise ValueError(
            f"even_calendar: number={number[bad][0]} campaigns of weeks={weeks[bad][0]} must be "
            f"whole, number >= 0, weeks >= 1, and fit into {WEEKS_A_YEAR} weeks"
        )
    week = np.arange(WEEKS_A_YEAR)
    many = np.maximum(number, 1)[..., None]
    latest = ((week + 1) * many - 1) // WEEKS_A_YEAR  # the last campaign begun by this week
    start = latest * WEEKS_A_YEAR // many
    on = (number[..., None] > 0) & (week - start < weeks[..., None])
    return np.tile(on, years)


@dataclass(frozen=True, kw_only=True)
class Campaigns:
    """Campaigns of one depth on a calendar, then the ticket for ever.

    Parameters
    ----------
    demand : ReferenceDemand
        May hold arrays of parameter draws.
    depth : float or ndarray
        Share of the ticket given away in a campaign week, averaged over all guests of the
        week, in [0, 1). [d]
    calendar : ndarray of bool, shape (..., weeks)
        Which weeks are campaign weeks; `even_calendar` makes one.
    start : float or ndarray, optional
        Reference before the first week, yuan, > 0; the ticket if not given.

    Raises
    ------
    ValueError
        If the depth or the start lies outside its domain, or the calendar is not boolean.

    Notes
    -----
    Leading axes of the parameters, the depth and the calendar broadcast: 2,000 draws
    against 0 to 13 campaigns are parameters of shape (2000, 1) and
    ``even_calendar(np.arange(14), weeks)``.

    Examples
    --------
    >>> demand = ReferenceDemand(ticket=68, guests=2000, elasticity=1.6, gain=0.5, loss=1,
    ...                          memory=0.9, cost=27.2, discount_factor=0.998)
    >>> account = Campaigns(demand=demand, depth=0.15, calendar=even_calendar(4, 2)).account
    >>> float(round(account.campaign_gain / 1000, 1)), float(round(account.net / 1000, 1))
    (12.5, -125.7)
    """

    demand: ReferenceDemand
    depth: Number
    calendar: NDArray[np.bool_]
    start: Number | None = None

    def __post_init__(self) -> None:
        require(self, depth="[0, 1)")
        if self.start is not None:
            require(self, start="(0, inf)")
        if np.asarray(self.calendar).dtype != bool or np.ndim(self.calendar) < 1:
            raise ValueError("Campaigns: calendar must be boolean, one entry a week")

    @property
    def deal_price(self) -> Number:
        """Price in a campaign week, yuan."""
        return self.demand.ticket * (1 - self.depth)

    @property
    def prices(self) -> Array:
        """Price of each week, yuan, shape (..., weeks)."""
        deal, ticket = np.asarray(self.deal_price), np.asarray(self.demand.ticket)
        return np.where(self.calendar, deal[..., None], ticket[..., None])

    @property
    def path(self) -> Path:
        """Prices, references, guests and profits week by week."""
        start = self.demand.ticket if self.start is None else self.start
        return self.demand.path(self.prices, start)

    @property
    def end_reference(self) -> Any:
        """Reference after the last week of the calendar, yuan."""
        path = self.path
        return self.demand.next_reference(path.price[..., -1], path.reference[..., -1])

    @property
    def overdraft(self) -> Any:
        """Full-price profit the calendar leaves lost, yuan, valued at its end."""
        return self.demand.overdraft(self.end_reference)

    @property
    def account(self) -> CampaignAccount:
        """What the campaigns earn and cost against never discounting, by cause."""
        demand, deal = self.demand, self.deal_price
        on = np.moveaxis(np.asarray(self.calendar), -1, 0)
        margin, deal_margin = demand.ticket - demand.cost, deal - demand.cost
        fresh = demand.guests_at(deal, demand.ticket)
        per_week = deal_margin * fresh - margin * demand.guests
        reference = demand.ticket if self.start is None else self.start
        gain = fatigue = aftermath = np.zeros(())
        worth = np.ones(())
        for campaign in on:
            price = np.where(campaign, deal, demand.ticket)
            unspoilt = np.where(campaign, fresh, demand.guests)
            missing = demand.guests_at(price, reference) - unspoilt
            wear = worth * (price - demand.cost) * missing
            gain = gain + worth * campaign * per_week
            fatigue = fatigue + campaign * wear
            aftermath = aftermath + ~campaign * wear
            reference = demand.next_reference(price, reference)
            worth = worth * demand.discount_factor
        return CampaignAccount(
            list_price_profit=margin * demand.guests * (1 - worth) / (1 - demand.discount_factor),
            campaign_gain=gain, fatigue=fatigue, aftermath=aftermath,
            later=-worth * demand.overdraft(reference),
        )  # fmt: skip

    @property
    def contributions(self) -> Array:
        """What each campaign adds to those before it, yuan, shape (..., campaigns).

        In the order of the calendar, each with all that follows from it; the sum is
        ``account.net`` if the start is the ticket. Adjacent campaign weeks are one campaign.

        Raises
        ------
        ValueError
            If the calendar has leading axes.
        """
        on = np.asarray(self.calendar)
        if on.ndim > 1:
            raise ValueError(f"Campaigns: contributions want one calendar, not shape {on.shape}")
        order = np.cumsum(on & ~np.r_[False, on[:-1]])
        first = on & (order <= np.arange(order[-1] + 1)[:, None])
        growing = Campaigns(
            demand=replace(
                self.demand,
                **{f.name: _column(getattr(self.demand, f.name)) for f in fields(self.demand)},
            ),
            depth=_column(self.depth),
            calendar=first,
            start=None if self.start is None else _column(self.start),
        )
        return np.diff(growing.account.net, axis=-1)

    @property
    def habit(self) -> Campaigns:
        """The same calendar, repeated until its years are alike: only the start differs.

        Its ``account.within`` is the effect of one year of the habit, and
        ``account.within / (1 - discount_factor**weeks)`` of the habit kept for ever.
        """
        reference: Any = 0.0
        for price in np.moveaxis(self.prices, -1, 0):
            reference = self.demand.next_reference(price, reference)
        forgotten = 1 - self.demand.memory ** np.shape(self.calendar)[-1]
        return replace(self, start=reference / forgotten)

    def worn_weeks(self, tolerance: float = 0.05) -> Any:
        """Weeks of the calendar whose reference lies more than ``tolerance`` below the ticket."""
        floor = np.asarray(self.demand.ticket * (1 - tolerance))[..., None]
        return (self.path.reference < floor).sum(axis=-1)

    def recovery_weeks(self, tolerance: float = 0.05) -> Any:
        """Weeks after the last campaign until the reference is within ``tolerance`` of the ticket.

        The shortfall is that of the path, worn by all campaigns before (at the end of the
        calendar if there are none); `ReferenceDemand.recovery_weeks` does the rest.
        """
        path = self.path
        on = np.broadcast_to(self.calendar, path.price.shape)
        last = on.shape[-1] - 1 - np.argmax(on[..., ::-1], axis=-1)[..., None]
        after = self.demand.next_reference(
            *(np.take_along_axis(x, last, -1)[..., 0] for x in (path.price, path.reference))
        )
        return self.demand.recovery_weeks(1 - after / self.demand.ticket, tolerance)


def _column(value: Number) -> Array:
    """The same values with a last axis of length one."""
    return np.asarray(value, float)[..., None]


@dataclass(frozen=True, kw_only=True)
class CampaignAccount:
    """Present value, at the first week, of campaigns against never discounting, yuan.

    "Never discounting" is the ticket in every week, with the reference at the ticket.

    Parameters
    ----------
    list_price_profit : contribution over the calendar of never discounting
    campaign_gain : campaign weeks as they would be with the reference at the ticket: all
        that a look at the first deal week shows
    fatigue : what campaign weeks lose because earlier weeks lowered the reference, <= 0
        where the deal still covers its cost
    aftermath : what full-price weeks of the calendar lose because of it, <= 0
    later : what the weeks after the calendar lose, <= 0: less the overdraft it ends with
    """

    list_price_profit: Any
    campaign_gain: Any
    fatigue: Any
    aftermath: Any
    later: Any

    @property
    def within(self) -> Any:
        """Effect on the calendar's own weeks: what the year's books show."""
        return self.campaign_gain + self.fatigue + self.aftermath

    @property
    def net(self) -> Any:
        """Effect over all weeks to come."""
        return self.within + self.later


def best_number(values: ArrayLike) -> Any:
    """Number of campaigns worth most, 0 included.

    Parameters
    ----------
    values : ndarray, shape (..., numbers)
        Value of 0, 1, 2, … campaigns, such as ``account.net`` or ``account.within``.
    """
    return np.argmax(values, axis=-1)


def too_many(values: ArrayLike) -> Any:
    """Smallest number of campaigns worth less than none; inf if no number in ``values`` is.

    Parameters
    ----------
    values : ndarray, shape (..., numbers)
        Value of 0, 1, 2, … campaigns, such as ``account.net`` or ``account.within``.
    """
    values = np.asarray(values, float)
    worse = values[..., 1:] < values[..., :1]
    return np.where(worse.any(axis=-1), 1.0 + np.argmax(worse, axis=-1), np.inf)[()]


# Dynamic programming


@dataclass(frozen=True, kw_only=True)
class PricePolicy:
    """Prices for every reference, and their value: one step of `policy_steps`.

    Parameters
    ----------
    demand : the restaurant
    reference : ndarray, shape (nodes,), yuan, evenly spaced; its ends bound the prices too
    price : ndarray, shape (nodes,), best price given ``value``, yuan
    value : ndarray, shape (nodes,), present value of all profits to come, yuan
    residual : largest gain of value one more round of optimising promises, yuan; the best
        value lies within residual / (1 - discount_factor) of ``value`` on this grid
    """

    demand: ReferenceDemand
    reference: Array
    price: Array
    value: Array
    residual: float

    @property
    def step(self) -> float:
        """Distance of neighbouring nodes, yuan.

        The value is a straight line between nodes, the maximum over prices is exact: a
        long-run price is good to one step, a value to the order of its square.
        """
        return float(self.reference[1] - self.reference[0])

    def price_at(self, reference: ArrayLike) -> Any:
        """Best price at any reference on the grid, yuan, optimised there."""
        return self._best(reference)[0]

    def value_at(self, reference: ArrayLike) -> Any:
        """Present value of all profits to come from a reference on the grid, yuan. [V]"""
        return self._best(reference)[1]

    def _best(self, reference: ArrayLike) -> tuple[Any, Any]:
        reference = np.asarray(reference, float)
        low, high = self.reference[[0, -1]]
        if not ((reference >= low) & (reference <= high)).all():
            raise ValueError(f"PricePolicy: reference={reference} must lie in [{low:g}, {high:g}]")
        price, value = _improve(self.demand, self.reference, self.value, reference.ravel())
        return price.reshape(reference.shape)[()], value.reshape(reference.shape)[()]

    def overdraft(self, reference: ArrayLike) -> Any:
        """V(ticket) - V(reference): the overdraft if prices after it are the best ones, yuan.

        Never more than `ReferenceDemand.overdraft` when the ticket is worth keeping.
        """
        return self.value_at(self.demand.ticket) - self.value_at(reference)

    def path(self, start: ArrayLike, weeks: int) -> Path:
        """Best prices from ``start`` (yuan, shape (...)) and what follows, shape (..., weeks)."""
        reference: Any = np.asarray(start, float)
        steps = []
        for _ in range(weeks):
            price = self.price_at(reference)
            steps.append((price, reference, self.demand.guests_at(price, reference)))
            reference = self.demand.next_reference(price, reference)
        return Path.of(steps, self.demand.cost)

    def recovery_weeks(self, start: float, tolerance: float = 0.05, weeks: int = 520) -> float:
        """Weeks of best prices until the reference is within ``tolerance`` of the ticket.

        inf if it is not within ``weeks``: it may be best never to return.
        """
        reference = self.path(start, weeks).reference
        near = np.abs(reference - self.demand.ticket) <= tolerance * self.demand.ticket
        return float(np.argmax(near)) if near.any() else np.inf

    def long_run(self, start: float, *, longest: int = 60, weeks: int = 2400) -> LongRun:
        """What best prices from ``start`` settle into, within ``weeks`` weeks.

        Looks for the shortest period up to ``longest`` weeks. There may be none: under
        gain-seeking guests best prices can be very complicated (Hu, Chen & Hu 2016,
        Operations Research 64(1):150-157).
        """
        same = 1e-6 * (self.reference[-1] - self.reference[0])
        for _ in range(weeks // (2 * longest)):
            path = self.path(start, 2 * longest)
            price = path.price
            for period in range(1, longest + 1):
                if np.abs(price[period:] - price[:-period]).max() <= same:
                    return LongRun(prices=price[-period:], period=period)
            start = float(self.demand.next_reference(price[-1], path.reference[-1]))
        return LongRun(prices=price, period=0)


@dataclass(frozen=True, kw_only=True)
class LongRun:
    """Prices that repeat for ever.

    Parameters
    ----------
    prices : ndarray, shape (period,), yuan; the last weeks seen if there is no period
    period : weeks; 1 is a steady price, 0 that no period was found
    """

    prices: Array
    period: int

    @property
    def amplitude(self) -> float:
        """Highest less lowest price, yuan."""
        return float(np.ptp(self.prices))


def policy_steps(
    demand: ReferenceDemand,
    *,
    prices: tuple[float, float] | None = None,
    nodes: int = 501,
    max_steps: int = 60,
) -> Iterator[PricePolicy]:
    """Policy iteration on V(r) = max_p Π(p, r) + β V(memory r + (1-memory) p), step by step.

    Starts from the value of keeping the reference as the price for ever. Each step takes
    the best prices against the last value, exactly: between two nodes the value is a
    straight line, so that the objective is one parabola on each side of the kink at p = r.
    It then values these prices for ever by solving a sparse linear system. Prices at which
    nobody would come are not considered.

    Parameters
    ----------
    demand : ReferenceDemand
        Of one restaurant: every parameter a single number.
    prices : (float, float), optional
        Lowest and highest price and reference, yuan; 0 and the choke price if not given.
        A narrower range makes the grid finer.
    nodes : int
        Points of the grid, >= 3.
    max_steps : int
        Steps after which to give up.

    Yields
    ------
    PricePolicy
        The last one solves the equation on the grid.

    Raises
    ------
    ValueError
        If a parameter is an array, or the range of prices is empty or beyond the choke price.
    NotConverged
        If ``max_steps`` do not suffice.
    """
    for f in fields(demand):
        if np.ndim(getattr(demand, f.name)):
            raise ValueError(f"policy_steps: {f.name} must be one number, not an array")
    low, high = prices or (0.0, float(demand.choke_price))
    if not 0 <= low < high <= demand.choke_price * (1 + 1e-12):
        raise ValueError(
            f"policy_steps: prices=({low:g}, {high:g}) must rise within [0, {demand.choke_price:g}]"
        )
    grid = np.linspace(low, high, nodes)
    value = demand.profit(grid, grid) / (1 - demand.discount_factor)
    for _ in range(max_steps):
        price, improved = _improve(demand, grid, value, grid)
        residual = float(np.abs(improved - value).max())
        yield PricePolicy(
            demand=demand, reference=grid, price=price, value=value, residual=residual
        )
        if residual <= 1e-10 * np.abs(value).max():
            return
        value = _evaluate(demand, grid, price)
    raise NotConverged(f"policy_steps: residual {residual:g} after {max_steps} steps")


def best_policy(demand: ReferenceDemand, **options: Any) -> PricePolicy:
    """Best prices for every reference: the last of `policy_steps`, which takes ``options``.

    Examples
    --------
    Popescu & Wu's linear case again, from a price image far too low:

    >>> demand = ReferenceDemand(ticket=50, guests=50, elasticity=1, gain=0.8, loss=0.8,
    ...                          memory=0.6, cost=0, discount_factor=0.95)
    >>> policy = best_policy(demand, prices=(30, 60))
    >>> policy.path(35, 4).price.round(1).tolist()
    [44.6, 45.6, 46.2, 46.7]
    >>> float(round(policy.long_run(35).prices[0], 1))
    47.8
    """
    *_, last = policy_steps(demand, **options)
    return last


def _improve(demand: ReferenceDemand, grid: Array, value: Array, at: Array) -> tuple[Array, Array]:
    """Best price and its value at references ``at``, shape (m,), given ``value`` on ``grid``."""
    memory, cost, slope = demand.memory, demand.cost, demand.slope
    worth = demand.discount_factor / slope
    reference = at[:, None]
    # Prices on the grid move the reference by at most (1 - memory) of it: few cells to look at.
    first = np.searchsorted(grid, demand.next_reference(grid[0], at), side="right") - 1
    reach_of = int(np.ceil((1 - memory) * (grid.size - 1))) + 1
    cell = np.clip(first[:, None] + np.arange(reach_of), 0, grid.size - 2)
    left, right, level = grid[cell], grid[cell + 1], value[cell]
    rise = (value[cell + 1] - level) / (right - left)
    best = np.full(at.shape, -np.inf)
    best_price = np.zeros(at.shape)
    # Demand is slope * (reach - weight * price), with its own weight on each side of the kink;
    # a cell [left, right] of next week's reference is an interval of prices.
    for strength, low, high in (
        (demand.gain, left, np.minimum(right, reference)),
        (demand.loss, np.maximum(left, reference), right),
    ):
        weight, reach = 1 + strength, demand.choke_price + strength * reference
        lowest = np.maximum((low - memory * reference) / (1 - memory), grid[0])
        highest = (high - memory * reference) / (1 - memory)
        highest = np.minimum(highest, np.minimum(reach / weight, grid[-1]))
        peak = (reach / weight + cost + worth * (1 - memory) * rise / weight) / 2
        price = np.minimum(np.maximum(peak, lowest), highest)
        follow = level + rise * (demand.next_reference(price, reference) - left)
        total = (price - cost) * (reach - weight * price) + worth * follow
        total[lowest > highest] = -np.inf
        top = np.argmax(total, axis=1)[:, None]
        candidate = np.take_along_axis(total, top, 1)[:, 0]
        better = candidate > best
        best = np.where(better, candidate, best)
        best_price = np.where(better, np.take_along_axis(price, top, 1)[:, 0], best_price)
    return best_price, slope * best


def _evaluate(demand: ReferenceDemand, grid: Array, price: Array) -> Array:
    """Value of asking ``price`` at the nodes of ``grid`` for ever: V = Π + β W V."""
    row, profit = np.arange(grid.size), demand.profit(price, grid)
    follow = np.clip(demand.next_reference(price, grid), grid[0], grid[-1])
    cell = np.clip(np.searchsorted(grid, follow, side="right") - 1, 0, grid.size - 2)
    share = (follow - grid[cell]) / (grid[cell + 1] - grid[cell])
    moves = csc_array(
        (np.r_[1 - share, share], (np.r_[row, row], np.r_[cell, cell + 1])),
        shape=(grid.size, grid.size),
    )
    stay = eye_array(grid.size, format="csc")
    return np.asarray(spsolve(stay - demand.discount_factor * moves, profit))

"""The weekly mix of channels that earns most from one kitchen, one room and one good name.

A concave program: guests by channel and daypart share kitchen and seats, promotion has
diminishing returns, and goodwill in the sense of Nerlove & Arrow (1962) is restored by
guests served at full price, worn by voucher guests, and decays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from o2o_research.domain import require
from o2o_research.models.numerics import Array, linear_program, maximise_concave, root

# Goodwill of a restaurant that no one remembers: demand needs a number above 0.
_FORGOTTEN = 1e-9


@dataclass(frozen=True, kw_only=True)
class ChannelDemand:
    """What a channel brings in a week, and what a guest on it takes and leaves.

    Demand at goodwill A and s yuan of promotion a week is A^e (b + n (s / R)^beta): concave
    in spend and goodwill together, because e + beta may not exceed 1.

    Parameters
    ----------
    contribution : float
        What a guest leaves before promotion, yuan, net of food, commission, fees and of
        the guests who would have come anyway. [m]
    base_guests : float
        Guests a week without promotion at goodwill 1, >= 0. [b]
    won_guests : float
        Further guests a week won by the reference spend at goodwill 1, > 0. [n]
    reference_spend : float
        Promotion that wins them, yuan a week, > 0. [R]
    spend_elasticity : float
        Elasticity of the guests won with respect to spend, in [0.05, 0.95]. [beta]
    goodwill_elasticity : float
        Elasticity of demand with respect to goodwill, in (0, 1). [e]
    goodwill_effect : float
        Goodwill that a guest served adds to the stock, per guest; below 0 it wears. [g]
    dishes : float
        Dishes that a guest takes from the kitchen, > 0.
    places : float
        Places at a table that a guest takes, >= 0; 0 for delivery.
    daypart_shares : array_like, shape (dayparts,)
        How the channel's demand falls on the dayparts, in [0, 1], summing to 1. [w]

    Raises
    ------
    ValueError
        A parameter outside its domain; elasticities that sum to more than 1; shares that
        do not sum to 1.

    Examples
    --------
    Doubling the spend does not double the guests:

    >>> voucher = ChannelDemand(
    ...     contribution=12, base_guests=200, won_guests=300, reference_spend=1_000,
    ...     spend_elasticity=0.5, goodwill_elasticity=0.2, goodwill_effect=-3e-5,
    ...     dishes=2, places=1, daypart_shares=[0.5, 0.5])
    >>> [round(float(g)) for g in voucher.guests(np.array([0, 1_000, 4_000]), 1.0)]
    [200, 500, 800]
    """

    contribution: float
    base_guests: float
    won_guests: float
    reference_spend: float
    spend_elasticity: float
    goodwill_elasticity: float
    goodwill_effect: float
    dishes: float
    places: float
    daypart_shares: Array

    def __post_init__(self) -> None:
        require(
            self,
            contribution="(-inf, inf)",
            base_guests="[0, inf)",
            won_guests="(0, inf)",
            reference_spend="(0, inf)",
            spend_elasticity="[0.05, 0.95]",
            goodwill_elasticity="(0, 1)",
            goodwill_effect="(-inf, inf)",
            dishes="(0, inf)",
            places="[0, inf)",
            daypart_shares="[0, 1]",
        )
        together = self.spend_elasticity + self.goodwill_elasticity
        if together > 1:
            raise ValueError(
                f"ChannelDemand: spend_elasticity={self.spend_elasticity:g} and "
                f"goodwill_elasticity={self.goodwill_elasticity:g} sum to {together:g}; above 1 "
                "the mix has no single best"
            )
        object.__setattr__(self, "daypart_shares", _row("daypart_shares", self.daypart_shares))
        total = self.daypart_shares.sum()
        if abs(total - 1.0) > 1e-9:
            raise ValueError(f"ChannelDemand: daypart_shares sum to {total:g}, must sum to 1")

    def guests(self, spend: float | Array, goodwill: float | Array) -> float | Array:
        """Guests a week who want to come. [A^e (b + n (s / R)^beta)]"""
        won = self.won_guests * (spend / self.reference_spend) ** self.spend_elasticity
        answer: float | Array = goodwill**self.goodwill_elasticity * (self.base_guests + won)
        return answer


def _row(name: str, values: object) -> Array:
    row = np.array(values, float)
    if row.ndim != 1 or not row.size:
        raise ValueError(f"{name} has shape {row.shape}, must be one row of dayparts")
    row.flags.writeable = False
    return row


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A week, and what one more of everything scarce would be worth.

    Parameters
    ----------
    contribution : float
        Contribution less promotion, yuan a week.
    goodwill : float
        Goodwill at which the week is lived. [A]
    goodwill_drift : float
        Goodwill gained over the week; 0 in a steady state.
    guests : ndarray, shape (channels, dayparts)
        Guests served.
    demand : ndarray, shape (channels,)
        Guests who want to come. Some may be turned away: a voucher that does not hold at
        weekends.
    spend : ndarray, shape (channels,)
        Promotion, yuan a week.
    place_values : ndarray, shape (dayparts,)
        What one more place at a table is worth, yuan. >= 0, 0 where places are left.
    dish_values : ndarray, shape (dayparts,)
        What one more dish of the kitchen is worth, yuan. >= 0.
    goodwill_value : float
        What one unit of goodwill, given from outside, is worth, yuan: a guest's effect
        times it is what the guest does to the name, in yuan. >= 0.
    goodwill_earnings : float
        What one unit of goodwill saves in promotion, yuan a week.
    gap : float
        No week that obeys the same limits earns more than this above the plan, yuan.
    """

    contribution: float
    goodwill: float
    goodwill_drift: float
    guests: Array
    demand: Array
    spend: Array
    place_values: Array
    dish_values: Array
    goodwill_value: float
    goodwill_earnings: float
    gap: float


@dataclass(frozen=True, kw_only=True)
class Mix:
    """A restaurant's channels, what they share, and the goodwill they live on.

    Goodwill follows A' = A + sum of g_i x_i - decay A from week to week (Nerlove & Arrow
    1962, with service in the place of advertising); 1 is the restaurant as it is.

    Parameters
    ----------
    channels : mapping of str to ChannelDemand
        The channels on offer, by name, all with the same dayparts.
    places : array_like, shape (dayparts,)
        Guests that can be seated a week: seats times sittings times days, > 0.
    dishes : array_like, shape (dayparts,)
        Dishes that the kitchen can make a week, > 0.
    decay_rate : float
        Share of goodwill lost in a week, in (0, 1]. [delta]

    Raises
    ------
    ValueError
        A parameter outside its domain; no channel; rows of different lengths.

    References
    ----------
    Nerlove, M. & Arrow, K. J. (1962). Optimal advertising policy under dynamic conditions.
    Economica 29(114).

    Examples
    --------
    Vouchers fill the first daypart only, up to where the name they wear costs what they bring:

    >>> table = ChannelDemand(
    ...     contribution=38, base_guests=1_500, won_guests=250, reference_spend=3_000,
    ...     spend_elasticity=0.3, goodwill_elasticity=0.5, goodwill_effect=3e-5,
    ...     dishes=1.6, places=1, daypart_shares=[0.5, 0.5])
    >>> voucher = ChannelDemand(
    ...     contribution=14, base_guests=300, won_guests=500, reference_spend=2_000,
    ...     spend_elasticity=0.5, goodwill_elasticity=0.2, goodwill_effect=-2e-5,
    ...     dishes=1.6, places=1, daypart_shares=[0.5, 0.5])
    >>> best = Mix(channels={"table": table, "voucher": voucher},
    ...            places=[1_200, 900], dishes=[3_000, 3_000], decay_rate=0.05).best()
    >>> best.guests.round().astype(int).tolist(), best.place_values.round(1).tolist()
    ([[900, 900], [71, 0]], [0.0, 36.2])
    >>> round(best.goodwill_value * voucher.goodwill_effect, 2)
    -14.0
    """

    channels: Mapping[str, ChannelDemand]
    places: Array
    dishes: Array
    decay_rate: float

    def __post_init__(self) -> None:
        require(self, places="(0, inf)", dishes="(0, inf)", decay_rate="(0, 1]")
        if not self.channels:
            raise ValueError("Mix: channels is empty, must name at least one")
        object.__setattr__(self, "channels", MappingProxyType(dict(self.channels)))
        for name in ("places", "dishes"):
            object.__setattr__(self, name, _row(name, getattr(self, name)))
        for name, channel in self.channels.items():
            if channel.daypart_shares.size != self.places.size:
                raise ValueError(
                    f"Mix: channels[{name!r}] has {channel.daypart_shares.size} dayparts, "
                    f"places has {self.places.size}"
                )
        if self.dishes.size != self.places.size:
            raise ValueError(
                f"Mix: dishes has {self.dishes.size} dayparts, places has {self.places.size}"
            )

    # The program's variables z: guests by channel and daypart, spend by channel, goodwill.

    @cached_property
    def _of(self) -> dict[str, Array]:
        """The channels' parameters, one array each, channels first."""
        names = ChannelDemand.__dataclass_fields__
        rows = self.channels.values()
        return {name: np.array([getattr(row, name) for row in rows], float) for name in names}

    @cached_property
    def _cells(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Channel and daypart of each cell that has any demand. Shape (cells,) each."""
        channel, daypart = np.nonzero(self._of["daypart_shares"])
        return channel, daypart

    @cached_property
    def _limits(self) -> tuple[Array, Array]:
        """A and b of the linear constraints A z <= b: places, dishes, goodwill held, all >= 0."""
        channel, daypart = self._cells
        cells, dayparts = channel.size, self.places.size
        each, cell = np.eye(cells + len(self.channels) + 1), np.arange(cells)
        shared = np.zeros((2, dayparts, each.shape[0]))
        shared[0, daypart, cell] = self._of["places"][channel]
        shared[1, daypart, cell] = self._of["dishes"][channel]
        held = self.decay_rate * each[-1:]
        held[0, cell] = -self._of["goodwill_effect"][channel]
        matrix = np.vstack([*shared, held, -each])
        limit = np.concatenate([self.places, self.dishes, np.zeros(matrix.shape[0] - 2 * dayparts)])
        return matrix, limit

    def _demand(self, spend: Array, goodwill: float) -> tuple[Array, Array, Array]:
        """A^e (b + n (s / R)^beta); gradient, Hessian in (s, A), negative semidefinite.

        Shapes (channels,), (2, channels), (2, 2, channels).
        """
        of, beta, pull = self._of, self._of["spend_elasticity"], self._of["goodwill_elasticity"]
        name = goodwill**pull
        won = of["won_guests"] * (spend / of["reference_spend"]) ** beta
        demand, by_spend = name * (of["base_guests"] + won), name * won * beta / spend
        gradient = np.array([by_spend, pull * demand / goodwill])
        cross = pull * by_spend / goodwill
        hessian = [
            [(beta - 1.0) * by_spend / spend, cross],
            [cross, (pull - 1.0) * gradient[1] / goodwill],
        ]
        return demand, gradient, np.array(hessian)

    @cached_property
    def _fullest(self) -> tuple[Array, float]:
        """The guests of each cell that restore most goodwill, and how much they restore."""
        matrix, limit = self._limits
        both, cells = 2 * self.places.size, self._cells[0].size
        program = (matrix[:both, :cells], limit[:both])
        answer = linear_program(matrix[both, :cells], program, what="mix")
        return answer.x, -answer.value

    @property
    def highest_goodwill(self) -> float:
        """Goodwill that kitchen and room could hold at most, whatever promotion it took."""
        return self._fullest[1] / self.decay_rate

    def _near(self) -> float:
        """A goodwill to start from: half of what full-price guests hold at the reference spend."""
        of, level = self._of, self.highest_goodwill
        for _ in range(60):
            guests = level ** of["goodwill_elasticity"] * (of["base_guests"] + of["won_guests"])
            level = min(level, float(of["goodwill_effect"].clip(min=0) @ guests) / self.decay_rate)
        return level / 2.0

    def _start(self, goodwill: float, held: float) -> tuple[Array, Array]:
        """Guests and spend, at ``goodwill``, that leave room everywhere and restore ``held``."""
        of, channel, both = self._of, self._cells[0], 2 * self.places.size
        matrix, limit = self._limits
        fullest, most = self._fullest
        part = (held / most + 1.0) / 2.0 if most > 0 else 0.5
        some = of["daypart_shares"][self._cells]
        taken = matrix[:both, : some.size] @ some
        worn = float(np.maximum(matrix[both, : some.size], 0.0) @ some)
        spare = 0.5 * (1.0 - part) * float(np.min(limit[:both] / np.maximum(taken, 1e-300)))
        if held > 0 and worn > 0:
            spare = min(spare, 0.5 * (part * most - held) / worn)
        guests = part * fullest + spare * some
        wanted = np.zeros(len(self.channels))
        np.maximum.at(wanted, channel, 2.0 * guests / some)
        won = np.maximum(wanted / goodwill ** of["goodwill_elasticity"] - of["base_guests"], 0.0)
        share = won / of["won_guests"] + 1e-3
        return guests, of["reference_spend"] * share ** (1.0 / of["spend_elasticity"])

    def _plan(
        self, goodwill: float | None = None, *, held: bool = True, charge: float = 0.0
    ) -> Plan:
        """The best week, at the goodwill given or at the best one.

        ``held`` if goodwill must not fall; ``charge`` is levied on each unit of it, yuan a week.
        """
        of, dayparts, channel = self._of, self.places.size, self._cells[0]
        cells, channels, share = channel.size, len(self.channels), of["daypart_shares"][self._cells]
        matrix, limit = self._limits
        if not held:
            matrix, limit = np.delete(matrix, 2 * dayparts, 0), np.delete(limit, 2 * dayparts)
        level = self._near() if goodwill is None else goodwill
        size = cells + channels + (goodwill is None)
        cell = np.arange(cells)

        def split(z: Array) -> tuple[Array, float]:
            return z[cells : cells + channels], float(z[-1]) if goodwill is None else goodwill

        def room(z: Array) -> tuple[Array, Array]:
            demand, gradient, _ = self._demand(*split(z))
            within = np.zeros((cells, cells + channels + 1))
            within[cell, cell] = -1.0
            within[cell, cells + channel] = share * gradient[0, channel]
            within[:, -1] = share * gradient[1, channel]
            left = limit - matrix @ np.append(z[: cells + channels], split(z)[1])
            wanting = share * demand[channel] - z[:cells]
            return np.concatenate([left, wanting]), np.vstack([-matrix, within])[:, :size]

        def curvature(z: Array, weight: Array) -> Array:
            bend = (
                np.bincount(channel, share * weight[-cells:], channels) * self._demand(*split(z))[2]
            )
            hessian = np.zeros((cells + channels + 1, cells + channels + 1))
            index = cells + np.arange(channels)
            hessian[index, index] = bend[0, 0]
            hessian[index, -1] = hessian[-1, index] = bend[0, 1]
            hessian[-1, -1] = bend[1, 1].sum()
            return hessian[:size, :size]

        gain = np.concatenate([of["contribution"][channel], -np.ones(channels), [-charge]])
        start = np.concatenate(
            [*self._start(level, self.decay_rate * level if held else 0.0), [level]]
        )
        answer = maximise_concave(
            gain[:size], room, curvature, start[:size], negligible=1e-6, what="mix"
        )
        spend, level = split(answer.x)
        demand, gradient, _ = self._demand(spend, level)
        guests = np.zeros(of["daypart_shares"].shape)
        guests[self._cells] = answer.x[:cells]
        values = answer.multipliers
        return Plan(
            contribution=float(gain[:-1] @ answer.x[: cells + channels]),
            goodwill=level,
            goodwill_drift=float(of["goodwill_effect"] @ guests.sum(axis=1))
            - self.decay_rate * level,
            guests=guests,
            demand=demand,
            spend=spend,
            place_values=values[:dayparts],
            dish_values=values[dayparts : 2 * dayparts],
            goodwill_value=float(values[2 * dayparts]) if held else 0.0,
            goodwill_earnings=float(values[-cells:] @ (share * gradient[1, channel])),
            gap=answer.gap,
        )

    def hold(self, goodwill: float) -> Plan:
        """The best week that keeps ``goodwill``: a point of the frontier.

        Raises
        ------
        ValueError
            Goodwill that is not above 0, or not below what kitchen and room can hold.
        """
        if not 0 < goodwill < self.highest_goodwill:
            raise ValueError(
                f"goodwill={goodwill:g} must lie in (0, {self.highest_goodwill:g}), "
                "below what kitchen and room can hold"
            )
        return self._plan(goodwill, held=True)

    def week(self, goodwill: float) -> Plan:
        """The best week at ``goodwill`` (> 0) without a thought for the next: overdraft allowed."""
        if not 0 < goodwill < np.inf:
            raise ValueError(f"goodwill={goodwill:g} must lie in (0, inf)")
        return self._plan(goodwill, held=False)

    def shortsighted_weeks(self, goodwill: float) -> Iterator[Plan]:
        """Week after week, each the best for itself, from ``goodwill`` on; without end."""
        while True:
            plan = self.week(goodwill)
            yield plan
            goodwill = max(goodwill + plan.goodwill_drift, _FORGOTTEN)

    def best(self, discount_rate: float = 0.0) -> Plan:
        """The steady week that earns most, for an owner who discounts at a rate a week.

        What a steady week can earn is concave in goodwill. Without discounting the best is
        where it peaks: the golden rule, a unit of goodwill earns its decay. With it, the
        best is the week in which the best path from anywhere ends, where a unit earns its
        decay and its interest: earnings = (decay + rate) value. Where no channel restores
        goodwill only the empty week lasts.

        Parameters
        ----------
        discount_rate : float
            Per week, >= 0. [rho]

        Raises
        ------
        ValueError
            A discount rate below 0.
        NotConverged
            An owner so impatient that no goodwill is worth keeping.
        """
        if not 0 <= discount_rate < np.inf:
            raise ValueError(f"discount_rate={discount_rate:g} must lie in [0, inf)")
        if not self.highest_goodwill > 0:
            return self._empty
        golden = self._plan()
        if discount_rate == 0:
            return golden

        # Charged for the interest on its goodwill's value, the golden rule becomes the other.
        def excess(charge: float) -> float:
            return discount_rate * self._plan(charge=charge).goodwill_value - charge

        high = golden.goodwill_earnings
        while excess(high) > 0:
            high *= 2.0
        return self._plan(charge=root(excess, 0.0, high, what="best mix"))

    @property
    def _empty(self) -> Plan:
        channels, dayparts = self._of["daypart_shares"].shape
        return Plan(
            contribution=0.0,
            goodwill=0.0,
            goodwill_drift=0.0,
            guests=np.zeros((channels, dayparts)),
            demand=np.zeros(channels),
            spend=np.zeros(channels),
            place_values=np.zeros(dayparts),
            dish_values=np.zeros(dayparts),
            goodwill_value=0.0,
            goodwill_earnings=0.0,
            gap=0.0,
        )

    def only(self, *names: str) -> Mix:
        """The same restaurant with these channels alone."""
        unknown = [name for name in names if name not in self.channels]
        if unknown:
            raise ValueError(f"{unknown[0]!r} is no channel; there are {', '.join(self.channels)}")
        return Mix(
            channels={name: self.channels[name] for name in names},
            places=self.places,
            dishes=self.dishes,
            decay_rate=self.decay_rate,
        )

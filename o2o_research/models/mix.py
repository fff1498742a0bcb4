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
from numba import njit
from numpy.typing import NDArray

from o2o_research.domain import require
from o2o_research.models.numerics import Array, NotConverged, root

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
    def _law(self) -> tuple[Array, ...]:
        """Parameters of demand, as ``_demand`` takes them."""
        names = ("base_guests", "won_guests", "reference_spend", "spend_elasticity")
        return *(self._of[name] for name in names), self._of["goodwill_elasticity"]

    @cached_property
    def _cells(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Channel and daypart of each cell that has any demand. Shape (cells,) each."""
        channel, daypart = np.nonzero(self._of["daypart_shares"])
        return np.ascontiguousarray(channel), np.ascontiguousarray(daypart)

    @cached_property
    def _limits(self) -> tuple[Array, Array]:
        """A and b of A z <= b: places, dishes, goodwill held."""
        channel, daypart = self._cells
        dayparts, cell = self.places.size, np.arange(channel.size)
        matrix = np.zeros((2 * dayparts + 1, channel.size + len(self.channels) + 1))
        matrix[daypart, cell] = self._of["places"][channel]
        matrix[dayparts + daypart, cell] = self._of["dishes"][channel]
        matrix[-1, cell] = -self._of["goodwill_effect"][channel]
        matrix[-1, -1] = self.decay_rate
        return matrix, np.concatenate([self.places, self.dishes, [0.0]])

    @cached_property
    def _fullest(self) -> tuple[Array, float]:
        """The guests of each cell that restore most goodwill, and how much they restore.

        A linear program for each daypart, of two limits: a corner of it serves no more than
        two channels, so all corners are tried.
        """
        of, (channel, daypart) = self._of, self._cells
        guests = np.zeros(channel.size)
        for part in range(self.places.size):
            here = np.flatnonzero(daypart == part)
            served = _best_corner(
                of["goodwill_effect"][channel[here]], of["places"][channel[here]],
                of["dishes"][channel[here]], self.places[part], self.dishes[part],
            )  # fmt: skip
            guests[here] = served
        return guests, float(of["goodwill_effect"][channel] @ guests)

    @property
    def highest_goodwill(self) -> float:
        """Goodwill that kitchen and room could hold at most, whatever promotion it took."""
        return self._fullest[1] / self.decay_rate

    def _near(self) -> float:
        """A goodwill to start from: half of what full-price guests hold at the reference spend."""
        of, level = self._of, self.highest_goodwill
        restored = of["goodwill_effect"].clip(min=0) * (of["base_guests"] + of["won_guests"])
        for _ in range(60):
            held = float(restored @ level ** of["goodwill_elasticity"]) / self.decay_rate
            if held >= level:
                break
            level = held
        return level / 2.0

    def _start(self, goodwill: float, held: float) -> tuple[Array, Array]:
        """Guests and spend, at ``goodwill``, that leave room everywhere and restore ``held``."""
        of, channel = self._of, self._cells[0]
        matrix, limit = self._limits
        fullest, most = self._fullest
        part = (held / most + 1.0) / 2.0 if most > 0 else 0.5
        some = of["daypart_shares"][self._cells]
        taken = matrix[:-1, : some.size] @ some
        worn = float(np.maximum(matrix[-1, : some.size], 0.0) @ some)
        spare = 0.5 * (1.0 - part) * float(np.min(limit[:-1] / np.maximum(taken, 1e-300)))
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
        rows = 2 * dayparts + held
        level = self._near() if goodwill is None else goodwill
        size = cells + channels + (goodwill is None)
        gain = np.concatenate([of["contribution"][channel], -np.ones(channels), [-charge]])
        start = np.concatenate(
            [*self._start(level, self.decay_rate * level if held else 0.0), [level]]
        )
        matrix, limit = (each[:rows] for each in self._limits)
        z, values, gap, found = _maximise(
            gain[:size], matrix, limit, share, channel, self._law, level, start[:size]
        )
        if not found:
            raise NotConverged(f"mix: no optimum found, a gap of {gap:g} is left")
        spend, level = z[cells : cells + channels], level if goodwill is not None else float(z[-1])
        demand, (_, by_goodwill), _ = _demand(spend, level, self._law)
        guests = np.zeros(of["daypart_shares"].shape)
        guests[self._cells] = z[:cells]
        return Plan(
            contribution=float(gain[:-1] @ z[: cells + channels]),
            goodwill=level,
            goodwill_drift=float(of["goodwill_effect"] @ guests.sum(axis=1))
            - self.decay_rate * level,
            guests=guests,
            demand=demand,
            spend=spend,
            place_values=values[:dayparts],
            dish_values=values[dayparts : 2 * dayparts],
            goodwill_value=float(values[2 * dayparts]) if held else 0.0,
            goodwill_earnings=float(values[rows : rows + cells] @ (share * by_goodwill[channel])),
            gap=gap,
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


def _best_corner(worth: Array, places: Array, dishes: Array, room: float, kitchen: float) -> Array:
    """The x >= 0 that makes worth x largest, places x <= room, dishes x <= kitchen."""
    best, most = np.zeros(worth.size), 0.0
    for i in range(worth.size):
        alone = kitchen / dishes[i]
        if places[i] > 0:
            alone = min(alone, room / places[i])
        corners: list[tuple[tuple[int, ...], tuple[float, ...]]] = [((i,), (alone,))]
        for j in range(i):
            area = places[i] * dishes[j] - places[j] * dishes[i]
            if area != 0:
                both = (
                    room * dishes[j] - kitchen * places[j],
                    kitchen * places[i] - room * dishes[i],
                )
                if both[0] / area >= 0 and both[1] / area >= 0:
                    corners.append(((i, j), (both[0] / area, both[1] / area)))
        for which, guests in corners:
            earned = sum(worth[k] * x for k, x in zip(which, guests, strict=True))
            if earned > most:
                best, most = np.zeros(worth.size), earned
                best[list(which)] = guests
    return best


@njit(cache=True, error_model="numpy")
def _demand(spend, goodwill, law):  # type: ignore[no-untyped-def]
    """A^e (b + n (s / R)^beta); derivatives by s, A; by s s, s A, A A. Shape (channels,) each."""
    base, won_at, reference, beta, pull = law
    name = goodwill**pull
    won = name * won_at * (spend / reference) ** beta
    demand, by_spend = name * base + won, won * beta / spend
    by_goodwill = pull * demand / goodwill
    cross = pull * by_spend / goodwill
    bends = (beta - 1.0) * by_spend / spend, cross, (pull - 1.0) * by_goodwill / goodwill
    return demand, (by_spend, by_goodwill), bends


@njit(cache=True, error_model="numpy")
def _solve(a, b):  # type: ignore[no-untyped-def]
    """x of a x = b for a positive definite ``a``, scaled to a diagonal of ones, by Cholesky."""
    n, stiff = b.size, np.sqrt(np.diag(a))
    x = b / stiff
    for i in range(n):
        a[i] /= stiff[i] * stiff
        a[i, i] += 1e-14
    for j in range(n):
        for k in range(j):
            for i in range(j, n):
                a[i, j] -= a[i, k] * a[j, k]
        a[j:, j] /= np.sqrt(a[j, j])
    for i in range(n):
        for k in range(i):
            x[i] -= a[i, k] * x[k]
        x[i] /= a[i, i]
    for i in range(n - 1, -1, -1):
        for k in range(i + 1, n):
            x[i] -= a[k, i] * x[k]
        x[i] /= a[i, i]
    return x / stiff


@njit(cache=True, error_model="numpy")
def _inside(values, step):  # type: ignore[no-untyped-def]
    """How much of ``step``, at most all of it, leaves every value above 0."""
    return min(1.0, 0.99 / max(np.max(-step / values), 1e-300))


@njit(cache=True, error_model="numpy")
def _room(x, matrix, limit, share, channel, law, goodwill, rows):  # type: ignore[no-untyped-def]
    """What is left in every row at ``x``, and demand's second derivatives; slopes go to ``rows``."""
    shared, cells, last = limit.size, share.size, x.size - 1
    spend, free = x[cells : cells + law[0].size], x.size > cells + law[0].size
    demand, slopes, bends = _demand(spend, x[last] if free else goodwill, law)
    left = np.empty(shared + cells + x.size)
    for row in range(shared):
        left[row] = limit[row] - (0.0 if free else matrix[row, -1] * goodwill)
        for k in range(x.size):
            left[row] += rows[row, k] * x[k]
    for k in range(cells):
        of = channel[k]
        left[shared + k] = share[k] * demand[of] - x[k]
        rows[shared + k, cells + of] = share[k] * slopes[0][of]
        if free:
            rows[shared + k, last] = share[k] * slopes[1][of]
    left[shared + cells :] = x
    return left, bends


@njit(cache=True, error_model="numpy")
def _maximise(gain, matrix, limit, share, channel, law, goodwill, start):  # type: ignore[no-untyped-def]
    """Maximise ``gain`` x subject to A x <= b, guests no more than demand, x >= 0.

    A primal-dual interior-point method (Boyd & Vandenberghe 2004, section 11.7): Newton's
    method on the conditions of the optimum, slack times multiplier held at a tenth of what
    it was. A slack of its own for each row, equal to the room in the end only, lets x cut the
    corner where demand bends. For multipliers that balance the gains, no feasible week is
    better by more than multipliers times room: the gap that is answered.

    ``x`` ends with goodwill where that is free, else ``goodwill`` holds. ``start`` must leave
    room in every row. Answers x, the multipliers of A x <= b, of demand and of x >= 0, the
    gap, and whether it is closed: to 1e-8 of all gains and losses, or a millionth of a yuan.
    """
    shared, cells, size = limit.size, share.size, start.size
    bounds, free = shared + cells, size > cells + law[0].size
    rows = np.zeros((bounds, size))
    rows[:shared] = -matrix[:, :size]
    for k in range(cells):
        rows[shared + k, k] = -1.0
    x, length, gap = start, 1.0, np.inf
    step, slack = np.zeros(size), np.zeros(bounds + size)
    weight, slack_step, weight_step = slack.copy(), slack.copy(), slack.copy()
    for n in range(200):
        before = x
        while True:
            x = before + length * step
            left, bends = _room(x, matrix, limit, share, channel, law, goodwill, rows)
            if np.isfinite(left).all() or length < 1e-12:
                break
            length /= 2.0
        gains = np.abs(gain * x).sum()
        if n == 0:
            slack, weight = left, gains / left.size / left
        else:
            slack = slack + length * slack_step
            weight = weight + _inside(weight, weight_step) * weight_step
        ratio = weight / slack
        bend = (rows * ratio[:bounds].reshape(-1, 1)).T @ rows
        for k in range(cells):  # the curvature of demand, by channel
            of, pressed = cells + channel[k], share[k] * weight[shared + k]
            bend[of, of] -= pressed * bends[0][channel[k]]
            if free:
                bend[of, -1] -= pressed * bends[1][channel[k]]
                bend[-1, of] -= pressed * bends[1][channel[k]]
                bend[-1, -1] -= pressed * bends[2][channel[k]]
        # What could still be gained by balancing the multipliers, to first order.
        unbalanced = 0.0
        pull = gain + rows.T @ weight[:bounds] + weight[bounds:]
        for i in range(size):
            bend[i, i] += ratio[bounds + i]
            unbalanced += pull[i] ** 2 / bend[i, i]
        enough, gap = max(1e-8 * gains, 1e-6), weight @ left
        if left.min() > 0 and gap <= enough and unbalanced <= 1e-6 * enough:
            return x, weight, gap, True
        aim = max(0.1 * (slack @ weight), 0.3 * enough) / slack.size / slack
        push = aim - ratio * (left - slack)
        step = _solve(bend, gain + rows.T @ push[:bounds] + push[bounds:])
        if not np.isfinite(step).all():
            break
        slack_step[:bounds], slack_step[bounds:] = rows @ step, step
        slack_step += left - slack
        weight_step = aim - weight - ratio * slack_step
        length = _inside(slack, slack_step)
    return x, weight, gap, False

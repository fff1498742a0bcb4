"""The option to wait, and what a rival's entry takes from it.

McDonald & Siegel (1986): with uncertainty, investing pays not from the moment the prize covers
its cost but from a multiple of it. A rival who enters at random and shrinks the prize gives
waiting a price: where he takes everything, his hazard acts exactly like a higher discount rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from o2o_research.domain import require
from o2o_research.models.customers import Number, plain
from o2o_research.models.numerics import Array


@dataclass(frozen=True, kw_only=True)
class Perpetual:
    """A prize that may be bought for its cost at any time, for ever, until a rival shrinks it.

    The prize V follows a geometric Brownian motion with drift r - d, its risk already in the
    drift, so that money is discounted at r alone: risk is not counted twice. The rival enters
    with a constant hazard as long as the firm has not; from then on the prize is k V, and there
    is no further rival. A firm that is in keeps its whole prize.

    Parameters
    ----------
    cost : float or ndarray
        Yuan, > 0. [I]
    rate : float or ndarray
        Riskless rate a year, > 0. [r]
    payout : float or ndarray
        What the prize would pay its owner a year, lost by waiting, > 0. [d]
    volatility : float or ndarray
        Standard deviation of the prize's growth a year, > 0. [s]
    rival_rate : float or ndarray
        Hazard of the rival's entry a year, >= 0. [h]
    kept_share : float or ndarray
        Share of the prize left once the rival is in, in [0, 1]. [k]

    Examples
    --------
    The textbook case, and what a rival who takes everything does to it:

    >>> case = dict(cost=1.0, rate=0.04, payout=0.04, volatility=0.2)
    >>> round(float(Perpetual(**case).multiple), 6)
    2.0
    >>> round(float(Perpetual(**case, rival_rate=0.3, kept_share=0.0).multiple), 3)
    1.274
    """

    cost: Number
    rate: Number
    payout: Number
    volatility: Number
    rival_rate: Number = 0.0
    kept_share: Number = 1.0

    def __post_init__(self) -> None:
        require(
            self,
            cost="(0, inf)",
            rate="(0, inf)",
            payout="(0, inf)",
            volatility="(0, inf)",
            rival_rate="[0, inf)",
            kept_share="[0, 1]",
        )

    def _power(self, hazard: Number) -> Array:
        """Positive root of s^2 b (b - 1) / 2 + (r - d) b - (r + h) = 0."""
        square = np.asarray(self.volatility, float) ** 2
        lean = (np.asarray(self.rate, float) - self.payout) / square - 0.5
        return plain(-lean + np.sqrt(lean**2 + 2.0 * (np.asarray(self.rate) + hazard) / square))

    @property
    def power(self) -> Array:
        """Elasticity of the option without a rival. [b1]"""
        return self._power(0.0)

    @property
    def rival_power(self) -> Array:
        """The same with his hazard added to the discount rate. [bh]"""
        return self._power(self.rival_rate)

    @property
    def unthreatened_multiple(self) -> Array:
        """Trigger over cost without a rival: b1 / (b1 - 1)."""
        return plain(self.power / (self.power - 1.0))

    @property
    def multiple(self) -> Array:
        """Trigger over cost: invest once the prize is worth this many times its cost.

        With C V^b1 the option once the rival is in, C = k^b1 A, the option before is
        B V^bh + C V^b1. Value and slope meet V - I at the trigger, where
        (bh - 1) V - bh I - (bh - b1) C V^b1 = 0; for k = 0 it is bh / (bh - 1).
        """
        before, after = self.rival_power, self.power
        scale = self._after(1.0)
        low = np.ones(np.broadcast_shapes(before.shape, after.shape, np.shape(scale)))
        high = np.broadcast_to(self.unthreatened_multiple, low.shape).copy()
        # The left-hand side is below 0 at the cost and at or above 0 at the trigger without rival.
        for _ in range(200):
            middle = 0.5 * (low + high)
            side = (before - 1.0) * middle - before - (before - after) * scale * middle**after
            low, high = np.where(side < 0, middle, low), np.where(side < 0, high, middle)
        return plain(0.5 * (low + high))

    @property
    def trigger(self) -> Array:
        """The prize from which investing pays, yuan. [V*]"""
        return plain(self.multiple * self.cost)

    def option(self, value: Number) -> Array:
        """What the right to invest is worth while the prize is ``value``, yuan; its rival not in."""
        v = np.asarray(value, float) / self.cost
        before, after, at = self.rival_power, self.power, self.multiple
        scale = self._after(1.0)
        outer = (at - 1.0 - scale * at**after) / at**before
        waiting = outer * v**before + scale * v**after
        return plain(self.cost * np.where(v >= at, v - 1.0, waiting))

    def _after(self, v: Number) -> Array:
        """The option once the rival is in, over the cost: k^b1 A v^b1, below its trigger."""
        b, at = self.power, self.unthreatened_multiple
        return np.asarray((at - 1.0) * (np.asarray(self.kept_share) * v / at) ** b)


class Choice(NamedTuple):
    """What each act is worth now, yuan: to invest, to wait for a step, to leave (0)."""

    invest: Array
    wait: Array

    @property
    def value(self) -> Array:
        """The best of the three."""
        return np.maximum(np.maximum(self.invest, self.wait), 0.0)

    @property
    def act(self) -> Array:
        """2 to invest, 1 to wait, 0 to leave."""
        return np.where(
            self.invest >= np.maximum(self.wait, 0.0), 2, np.where(self.wait > 0.0, 1, 0)
        )

    @property
    def lead(self) -> Array:
        """By how much investing now beats the better of waiting and leaving, yuan."""
        return np.asarray(self.invest - np.maximum(self.wait, 0.0))


@dataclass(frozen=True, kw_only=True)
class Opportunity:
    """The same prize with a last day, and a cost of staying ready: invest, wait or leave.

    Without a cost of waiting nobody ever leaves. Solved on a binomial lattice with two layers,
    before and after the rival's entry.

    Parameters
    ----------
    value : prize today, yuan, >= 0. [V]
    cost, rate, payout, volatility, rival_rate, kept_share : as in ``Perpetual``; payout >= 0
    holding_cost : yuan a year of keeping the possibility open: a team, data, talks; >= 0
    horizon : years until the possibility is gone, > 0

    Examples
    --------
    >>> case = dict(value=1.4, cost=1.0, rate=0.05, payout=0.05, volatility=0.3, kept_share=0.4,
    ...             holding_cost=0.0, horizon=5.0)
    >>> [int(Opportunity(**case, rival_rate=h).choice(200).act) for h in (0.0, 1.0)]
    [1, 2]
    """

    value: Number
    cost: Number
    rate: Number
    payout: Number
    volatility: Number
    rival_rate: Number
    kept_share: Number
    holding_cost: Number
    horizon: Number

    def __post_init__(self) -> None:
        require(
            self,
            value="[0, inf)",
            cost="(0, inf)",
            rate="[0, inf)",
            payout="[0, inf)",
            volatility="(0, inf)",
            rival_rate="[0, inf)",
            kept_share="[0, 1]",
            holding_cost="[0, inf)",
            horizon="(0, inf)",
        )

    def choice(self, steps: int = 120) -> Choice:
        """What each act is worth today. Shaped as the parameters.

        Parameters
        ----------
        steps : of the lattice; the longer one costs the square of it
        """
        shape = np.broadcast_shapes(*(np.shape(each) for each in vars(self).values()))
        v, cost, r, d, s, h, k, c, years = (
            np.broadcast_to(np.asarray(each, float), shape).ravel() for each in vars(self).values()
        )
        dt = years / steps
        # The drift goes into the tree, so that its probabilities are sound at any volatility.
        drift, width = (r - d - 0.5 * s**2) * dt, s * np.sqrt(dt)
        up = (np.exp((r - d) * dt) - np.exp(drift - width)) / (
            np.exp(drift + width) - np.exp(drift - width)
        )
        alone, money, fee = np.exp(-h * dt), np.exp(-r * dt), c * dt

        def prizes(step: int) -> Array:
            ups = np.arange(step + 1)[:, None]
            return np.asarray(v * np.exp(step * drift + (2 * ups - step) * width))

        prize = prizes(steps)
        before = np.maximum(prize - cost, 0.0)
        after = np.maximum(k * prize - cost, 0.0)
        wait = np.zeros_like(v)
        for step in range(steps - 1, -1, -1):
            shared = up * after[1:] + (1.0 - up) * after[:-1]
            own = up * before[1:] + (1.0 - up) * before[:-1]
            waited = money * (alone * own + (1.0 - alone) * shared) - fee
            if step == 0:
                wait = waited[0]
                break
            prize = prizes(step)
            before = np.maximum(np.maximum(prize - cost, waited), 0.0)
            after = np.maximum(np.maximum(k * prize - cost, money * shared - fee), 0.0)
        return Choice(plain((v - cost).reshape(shape)), plain(wait.reshape(shape)))

"""Adoption of something new: by oneself, for others' example, and on day one.

Bass (1969), Management Science 15:215-227, with a launch impulse: those recruited on the
first day are a jump of the curve, not a high coefficient of innovation. Generalised by
Bass, Krishnan & Jain (1994), Marketing Science 13:203-223, to prices and advertising, which
speed the clock up or slow it down.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from o2o_research.domain import require
from o2o_research.models.numerics import Array


def cumulative_sales(
    time: ArrayLike,
    first_rate: ArrayLike,
    imitation: ArrayLike,
    crowding: ArrayLike,
    jump: ArrayLike = 0.0,
) -> Array:
    """N(t) of N' = (a + q N)(1 - k N), N(0) = j, in closed form; k = 0 is growth without end.

    Bass's curve in terms that stay finite when the market does not: a = p m is the rate of
    sales at the launch, k = 1 / m. With E = exp(-(a k + q) t),
    N = (a (1 - E) + j (q + a k E)) / (a k + q k j + (1 - k j) q E). Everything broadcasts.

    Parameters
    ----------
    time : since the launch, >= 0
    first_rate : sales per unit of time by innovation at the launch, >= 0. [a]
    imitation : >= 0. [q]
    crowding : the reciprocal of the market, >= 0. [k]
    jump : sold at the launch itself, in [0, 1 / k]. [j]

    Examples
    --------
    >>> round(float(cumulative_sales(6.0, 3.0, 0.38, 0.01)), 3)
    43.924
    >>> round(float(cumulative_sales(6.0, 3.0, 0.38, 0.0)), 3)  # 3 (e^{2.28} - 1) / .38
    69.29
    """
    a, q, k, j = (np.asarray(x, float) for x in (first_rate, imitation, crowding, jump))
    exponent = (a * k + q) * np.asarray(time, float)
    left = np.exp(-exponent)
    top = -a * np.expm1(-exponent) + j * (q + a * k * left)
    bottom = a * k + q * k * j + (1.0 - k * j) * q * left
    return np.asarray(top / bottom)


@dataclass(frozen=True, kw_only=True)
class Bass:
    """A market that fills by innovation and imitation: F' = (p + q F)(1 - F), F(0) = s.

    Every parameter may be an array: they broadcast with each other and with time.

    Parameters
    ----------
    market : float
        Everybody who will ever adopt, > 0. [m]
    innovation : float
        Rate of adopting by oneself, per period, >= 0. [p]
    imitation : float
        Rate of adopting for others' example, per period, >= 0; p + q > 0. [q]
    impulse_share : float
        Share of the market recruited at the launch itself, in [0, 1). [s]

    Raises
    ------
    ValueError
        A parameter outside its domain.

    Examples
    --------
    >>> tv = Bass(market=100, innovation=0.03, imitation=0.38)
    >>> [round(float(x), 5) for x in (tv.peak_time, tv.peak_rate, tv.peak_share)]
    [6.19262, 0.11059, 0.46053]
    """

    market: float | Array
    innovation: float | Array
    imitation: float | Array
    impulse_share: float | Array = 0.0

    def __post_init__(self) -> None:
        require(
            self,
            market="(0, inf)",
            innovation="[0, inf)",
            imitation="[0, inf)",
            impulse_share="[0, 1)",
        )
        if not np.all(np.add(self.innovation, self.imitation) > 0):
            raise ValueError("Bass: innovation and imitation are both 0: nobody would adopt")

    def adopted_share(self, time: ArrayLike) -> float | Array:
        """F(t), 0 before the launch and s at it.

        With E = exp(-(p + q) t): F = (p (1 - E) + s (q + p E)) / (p + q s + (1 - s) q E);
        without impulse (1 - E) / (1 + (q / p) E), Bass (1969, eq. 9).
        """
        t = np.asarray(time, float)
        p, q, s = self.innovation, self.imitation, self.impulse_share
        exponent = (p + q) * np.maximum(t, 0.0)
        left = np.exp(-exponent)
        top = -p * np.expm1(-exponent) + s * (q + p * left)
        return np.where(t < 0, 0.0, top / self._bottom(left))[()]

    def adoption_rate(self, time: ArrayLike) -> float | Array:
        """f(t) = F'(t) = (p + q s)(1 - s)(p + q)^2 E / (p + q s + (1 - s) q E)^2, per period."""
        t = np.asarray(time, float)
        p, q, s = self.innovation, self.imitation, self.impulse_share
        left = np.exp(-(p + q) * np.maximum(t, 0.0))
        rate = (p + q * s) * (1.0 - s) * (p + q) ** 2 * left / self._bottom(left) ** 2
        return np.where(t < 0, 0.0, rate)[()]

    def _bottom(self, left: float | Array) -> float | Array:
        p, q, s = self.innovation, self.imitation, self.impulse_share
        # Nobody starts and nobody is there to be followed: F stays 0, not 0 / 0.
        return np.maximum(p + q * s + (1.0 - s) * q * left, np.finfo(float).tiny)

    def cumulative(self, time: ArrayLike) -> float | Array:
        """Adopters by ``time``: m F(t)."""
        return self.market * self.adopted_share(time)

    def sales(self, end: ArrayLike, length: float | Array = 1.0) -> float | Array:
        """Adopters of the period of ``length`` that ends at ``end``; the first has the impulse.

        A series of T periods is ``sales(np.arange(1, T + 1))``; with parameters of shape
        (draws, 1) it has shape (draws, T).
        """
        start = np.asarray(end, float) - length
        before = np.where(start > 0, self.cumulative(start), 0.0)
        return (self.cumulative(end) - before)[()]

    @property
    def peak_time(self) -> float | Array:
        """When most adopt: ln((1 - s) q / (p + q s)) / (p + q), 0 where they do so at once."""
        p, q, s = self.innovation, self.imitation, self.impulse_share
        with np.errstate(divide="ignore"):
            when = np.log((1.0 - s) * q / np.asarray(p + q * s)) / (p + q)
        return np.maximum(when, 0.0)[()]

    @property
    def peak_share(self) -> float | Array:
        """F at the peak: 1/2 - p / (2 q), or s where the curve falls from the start."""
        return self.adopted_share(self.peak_time)

    @property
    def peak_rate(self) -> float | Array:
        """f at the peak, per period: (p + q)^2 / (4 q) unless the curve falls from the start."""
        return self.adoption_rate(self.peak_time)

    @property
    def peak_sales(self) -> float | Array:
        """Adopters per period at the peak: m f."""
        return self.market * self.peak_rate

    def time_to(self, share: ArrayLike) -> float | Array:
        """When F reaches ``share`` in [0, 1): the inverse of ``adopted_share``; 0 if at launch.

        Raises
        ------
        ValueError
            A share outside [0, 1).
        """
        wanted = np.asarray(share, float)
        if not np.all((wanted >= 0) & (wanted < 1)):
            raise ValueError(f"time_to: share={wanted} must lie in [0, 1)")
        p, q, s = self.innovation, self.imitation, self.impulse_share
        with np.errstate(divide="ignore"):
            odds = (1.0 - s) * (p + q * wanted) / np.asarray((p + q * s) * (1.0 - wanted))
            return np.maximum(np.log(odds) / (p + q), 0.0)[()]

    def steps(self) -> Iterator[float | Array]:
        """Bass's discrete-time model, sales period by period without end.

        n_t = (p + q N_{t-1} / m)(m - N_{t-1}), the impulse s m added to the first. It is not
        ``sales``: within a period nobody follows anybody, so it starts later.
        """
        adopted = self.market * self.impulse_share
        first = adopted
        while True:
            new = (self.innovation + self.imitation * adopted / self.market) * (
                self.market - adopted
            )
            # A rate above 1 a period would sell to more than are left.
            new = np.minimum(new, self.market - adopted)
            adopted = adopted + new
            yield new + first
            first = 0.0 * first

    def simulate(self, periods: int, rng: np.random.Generator) -> Array:
        """Sales of ``periods`` periods, each of round(m) people adopting on his own: multinomial.

        Parameters must be numbers. Returns ndarray, shape (periods,).
        """
        chances = np.asarray(self.sales(np.arange(1, periods + 1))) / self.market
        chances = np.append(chances, max(1.0 - chances.sum(), 0.0))
        return rng.multinomial(round(float(self.market)), chances)[:-1].astype(float)


@dataclass(frozen=True, kw_only=True)
class GeneralisedBass:
    """Bass's curve on a clock that prices and advertising drive: F(X(t)).

    X(t) = t + b1 ln(Pr(t) / Pr(0)) + b2 ln(A(t) / A(0)), Bass, Krishnan & Jain (1994):
    what is spent or cut changes when people adopt, not how many ever do.

    Parameters
    ----------
    market, innovation, imitation, impulse_share : as of ``Bass``
    price_effect : float
        Periods gained for a price e times as high; below 0 as a rule. [b1]
    advertising_effect : float
        Periods gained for advertising e times as high; above 0 as a rule. [b2]

    Raises
    ------
    ValueError
        A parameter outside its domain.

    Examples
    --------
    A price that has halved after three years, at -1.5, is worth a year:

    >>> tv = GeneralisedBass(market=100, innovation=0.03, imitation=0.38, price_effect=-1.5)
    >>> round(float(tv.clock(3.0, price=0.5)), 2)
    4.04
    """

    market: float | Array
    innovation: float | Array
    imitation: float | Array
    impulse_share: float | Array = 0.0
    price_effect: float | Array = 0.0
    advertising_effect: float | Array = 0.0

    def __post_init__(self) -> None:
        require(self, price_effect="(-inf, inf)", advertising_effect="(-inf, inf)")
        _ = self.bass

    @property
    def bass(self) -> Bass:
        """The curve on its own clock, as with prices and advertising held constant."""
        return Bass(
            market=self.market,
            innovation=self.innovation,
            imitation=self.imitation,
            impulse_share=self.impulse_share,
        )

    def clock(
        self, time: ArrayLike, *, price: ArrayLike = 1.0, advertising: ArrayLike = 1.0
    ) -> Array:
        """X(t), never before 0.

        Parameters
        ----------
        time : since the launch, in periods
        price, advertising : at that time, as multiples of their values at the launch, > 0

        Raises
        ------
        ValueError
            A price or advertising that is not above 0.
        """
        for name, value in (("price", price), ("advertising", advertising)):
            if not np.all(np.asarray(value, float) > 0):
                raise ValueError(f"GeneralisedBass: {name}={value!r} must lie in (0, inf)")
        moved = self.price_effect * np.log(price) + self.advertising_effect * np.log(advertising)
        return np.maximum(np.asarray(time, float) + moved, 0.0)

    def cumulative(
        self, time: ArrayLike, *, price: ArrayLike = 1.0, advertising: ArrayLike = 1.0
    ) -> float | Array:
        """Adopters by ``time``: m F(X(t))."""
        return self.bass.cumulative(self.clock(time, price=price, advertising=advertising))

    def sales(self, periods: int, *, price: ArrayLike = 1.0, advertising: ArrayLike = 1.0) -> Array:
        """Adopters period by period, the impulse in the first. Shape (..., periods).

        Parameters
        ----------
        periods : int
        price, advertising : array_like, shape (..., periods), at the end of each period as
            multiples of their values at the launch

        Raises
        ------
        ValueError
            A clock that runs backwards: a rise of price, or a cut of advertising, so large
            that the model would take back sales.
        """
        path = self.clock(np.arange(1.0, periods + 1), price=price, advertising=advertising)
        if np.any(np.diff(path, axis=-1) < 0):
            raise ValueError(
                "GeneralisedBass: the clock runs backwards in period "
                f"{int(np.argwhere(np.diff(path, axis=-1) < 0)[0][-1]) + 2}: price or "
                "advertising moves too fast for its effect"
            )
        return np.diff(np.asarray(self.bass.cumulative(path)), prepend=0.0, axis=-1)

"""One country after the other, or all at once: launches with word of mouth across borders.

A waterfall lets the first countries talk to the later ones and spares them their barren first
months; a sprinkler sells sooner everywhere and leaves rivals no time (Kalish, Mahajan &
Muller 1995, International Journal of Research in Marketing 12:105-119, argue when which).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import ArrayLike

from o2o_research.domain import require
from o2o_research.models.numerics import Array, maximise_scalar


@dataclass(frozen=True, kw_only=True)
class CountryLaunches:
    """Countries that a product may enter, and what entering them costs.

    F_i' = (p_i + q_i F_i + sum_j c_ij F_j)(1 - F_i) from the launch tau_i on; by then rivals
    have taken part of the market: m_i e^{-h_i tau_i} is left. Every parameter but the horizon
    may carry draws in front, shape (..., n) or (...).

    Parameters
    ----------
    markets : ndarray, shape (n,), people in each, > 0. [m]
    innovation, imitation : ndarray, shape (n,), per period, >= 0. [p, q]
    cross_border : ndarray, shape (n, n)
        Rate that a fully adopted country j adds in i, >= 0, 0 on the diagonal. [c]
    margin : ndarray, shape (n,), earned on a unit, yuan
    launch_cost : ndarray, shape (n,), paid at the launch, yuan, >= 0
    running_cost : ndarray, shape (n,), per period from the launch to the horizon, yuan, >= 0
    rival_rate : ndarray, shape (n,), at which rivals take a market not yet entered, >= 0. [h]
    discount_rate : float, continuous, per period, >= 0
    horizon : float, the product's life in periods, > 0

    Raises
    ------
    ValueError
        A shape or a value outside its domain.
    """

    markets: Array
    innovation: Array
    imitation: Array
    cross_border: Array
    margin: Array
    launch_cost: Array
    running_cost: Array
    rival_rate: Array
    discount_rate: float | Array
    horizon: float

    def __post_init__(self) -> None:
        n = np.shape(self.markets)[-1] if np.ndim(self.markets) else 0
        per_country = {
            "markets": "(0, inf)",
            "innovation": "[0, inf)",
            "imitation": "[0, inf)",
            "margin": "(-inf, inf)",
            "launch_cost": "[0, inf)",
            "running_cost": "[0, inf)",
            "rival_rate": "[0, inf)",
        }
        for name in per_country:
            shape = np.shape(getattr(self, name))
            if not shape or shape[-1] != n:
                raise ValueError(
                    f"CountryLaunches: {name} must end in one value a country ({n}), got shape {shape}"
                )
        if np.shape(self.cross_border)[-2:] != (n, n):
            raise ValueError(
                f"CountryLaunches: cross_border must end in shape ({n}, {n}), got "
                f"{np.shape(self.cross_border)}"
            )
        if np.any(np.diagonal(self.cross_border, axis1=-2, axis2=-1) != 0):
            raise ValueError("CountryLaunches: cross_border must be 0 on the diagonal")
        require(
            self,
            **per_country,
            cross_border="[0, inf)",
            discount_rate="[0, inf)",
            horizon="(0, inf)",
        )

    @property
    def countries(self) -> int:
        """How many."""
        return int(np.shape(self.markets)[-1])

    def _rows(self, launches: ArrayLike) -> tuple[tuple[int, ...], Array, list[Array]]:
        """The launches, and with them all that discounted shares hang on, as rows of one batch."""
        n = self.countries
        tau = np.asarray(launches, float)
        if tau.shape[-1:] != (n,) or not np.all(tau >= 0):
            raise ValueError(f"launches must end in one time >= 0 a country ({n}), got {tau}")
        by_country = [tau, self.innovation, self.imitation]
        lead = np.broadcast_shapes(
            *(np.shape(v)[:-1] for v in by_country),
            np.shape(self.cross_border)[:-2],
            np.shape(self.discount_rate),
        )
        rows: list[Any] = [np.broadcast_to(v, (*lead, n)).reshape(-1, n) for v in by_country]
        rows.append(np.broadcast_to(self.cross_border, (*lead, n, n)).reshape(-1, n, n))
        rows.append(np.broadcast_to(np.asarray(self.discount_rate, float), lead).reshape(-1))
        return lead, tau, [np.ascontiguousarray(row, float) for row in rows]

    def shares(self, launches: ArrayLike, periods: int) -> Array:
        """Adopted shares at the end of each period, shape (periods + 1, ..., n)."""
        lead, _, (tau, p, q, c, _) = self._rows(launches)
        path = _shares(tau, p, q, c, periods, _STEPS)
        return np.asarray(path.reshape(periods + 1, *lead, self.countries))

    def value(self, launches: ArrayLike) -> float | Array:
        """Net present value of launching at these times, yuan; a launch past the horizon is none.

        sum_i of margin_i m_i e^{-h tau} int f_i e^{-rt} dt - launch cost e^{-r tau} - running
        cost int_tau^H e^{-rt} dt.

        Parameters
        ----------
        launches : array_like, shape (..., n)

        Returns
        -------
        float, or ndarray of the shape in front of the countries
        """
        lead, tau, (at, p, q, c, r) = self._rows(launches)
        sold = _discounted(at, p, q, c, r, self.horizon, _STEPS).reshape(*lead, self.countries)
        rate = np.asarray(self.discount_rate, float)[..., np.newaxis]
        kept = np.exp(-rate * tau)
        with np.errstate(invalid="ignore", divide="ignore"):
            years = np.where(
                rate > 0, (kept - np.exp(-rate * self.horizon)) / rate, self.horizon - tau
            )
        earned = self.margin * self.markets * np.exp(-self.rival_rate * tau) * sold
        each = earned - self.launch_cost * kept - self.running_cost * years
        return np.asarray(np.where(tau < self.horizon, each, 0.0).sum(axis=-1), float)[()]

    def sprinkler(self) -> Array:
        """Everywhere at once."""
        return np.zeros(self.countries)

    def waterfall(self, gap: ArrayLike, order: Sequence[int] | None = None) -> Array:
        """One country every ``gap`` periods, in the order given. Shape (..., n)."""
        places = np.empty(self.countries)
        places[list(range(self.countries) if order is None else order)] = np.arange(self.countries)
        return np.asarray(gap, float)[..., None] * places

    def waterfall_gain(self, gap: ArrayLike, order: Sequence[int] | None = None) -> float | Array:
        """What the waterfall earns more than the sprinkler, yuan; below 0 it earns less."""
        return self.value(self.waterfall(gap, order)) - self.value(self.sprinkler())

    def flip_factor(
        self, parameter: str, gap: float, order: Sequence[int] | None = None
    ) -> float | Array:
        """How many times its value a parameter must have for waterfall and sprinkler to be equal.

        Exact, as values are linear in ``margin``, ``launch_cost`` and ``running_cost``;
        inf where no positive factor makes them equal.

        Raises
        ------
        ValueError
            Another parameter.
        """
        if parameter not in ("margin", "launch_cost", "running_cost"):
            raise ValueError(
                f"flip_factor: parameter={parameter!r} must be margin, launch_cost or running_cost"
            )
        nothing: dict[str, Any] = {parameter: 0.0 * np.asarray(getattr(self, parameter))}
        none = replace(self, **nothing)
        without = np.asarray(none.waterfall_gain(gap, order))
        share = np.asarray(self.waterfall_gain(gap, order)) - without
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = -without / share
        return np.where(factor > 0, factor, np.inf)[()]

    def best_gap(self, order: Sequence[int] | None = None) -> float:
        """The most valuable gap, exactly 0 where all at once is best. One market, no draws.

        Sought up to the gap at which the second country would come at the horizon.
        """
        return maximise_scalar(
            lambda gap: np.asarray(self.value(self.waterfall(gap, order))),
            0.0,
            float(self.horizon),
            points=129,
            what="gap between launches",
        )


_STEPS = 24


@njit(cache=True)
def _slope(p: Array, q: Array, c: Array, tau: Array, now: float, f: Array, out: Array) -> None:
    n = f.size
    for i in range(n):
        out[i] = 0.0
        if now >= tau[i]:
            pull = p[i] + q[i] * f[i]
            for j in range(n):
                pull += c[i, j] * f[j]
            out[i] = pull * (1.0 - f[i])


@njit(cache=True)
def _advance(
    p: Array, q: Array, c: Array, tau: Array, now: float, until: float, f: Array, steps: int
) -> Array:
    """Shares at ``until``; no launch lies strictly between, and one at ``now`` has happened."""
    n = f.size
    a, b, d, e = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    parts = max(1, int(np.ceil((until - now) * steps - 1e-9)))
    h = (until - now) / parts
    for _ in range(parts):
        _slope(p, q, c, tau, now, f, a)
        _slope(p, q, c, tau, now, f + h / 2 * a, b)
        _slope(p, q, c, tau, now, f + h / 2 * b, d)
        _slope(p, q, c, tau, now, f + h * d, e)
        f = f + h / 6 * (a + 2 * b + 2 * d + e)
    return f


@njit(cache=True)
def _next(tau: Array, now: float, until: float) -> float:
    for i in range(tau.size):
        if now < tau[i] < until:
            until = tau[i]
    return until


@njit(cache=True)
def _shares(tau: Array, p: Array, q: Array, c: Array, periods: int, steps: int) -> Array:
    rows, n = tau.shape
    out = np.zeros((periods + 1, rows, n))
    for row in range(rows):
        f = np.zeros(n)
        for t in range(periods):
            now = float(t)
            while now < t + 1:
                until = _next(tau[row], now, t + 1.0)
                f = _advance(p[row], q[row], c[row], tau[row], now, until, f, steps)
                now = until
            out[t + 1, row] = f
    return out


@njit(cache=True)
def _discounted(
    tau: Array, p: Array, q: Array, c: Array, r: Array, horizon: float, steps: int
) -> Array:
    """int f_i e^{-rt} dt by parts: F e^{-rH} + r int F e^{-rt} dt, Simpson's rule on each piece."""
    rows, n = tau.shape
    out = np.zeros((rows, n))
    for row in range(rows):
        f, now = np.zeros(n), 0.0
        while now < horizon:
            until = _next(tau[row], now, min(horizon, np.floor(now + 1e-12) + 1.0))
            parts = max(2, int(np.ceil((until - now) * 4)))
            h = (until - now) / parts
            for k in range(parts):
                left = now + k * h
                middle = _advance(p[row], q[row], c[row], tau[row], left, left + h / 2, f, steps)
                right = _advance(
                    p[row], q[row], c[row], tau[row], left + h / 2, left + h, middle, steps
                )
                for i in range(n):
                    out[row, i] += (
                        r[row]
                        * h
                        / 6
                        * (
                            f[i] * np.exp(-r[row] * left)
                            + 4 * middle[i] * np.exp(-r[row] * (left + h / 2))
                            + right[i] * np.exp(-r[row] * (left + h))
                        )
                    )
                f = right
            now = until
        for i in range(n):
            out[row, i] += f[i] * np.exp(-r[row] * horizon)
    return out

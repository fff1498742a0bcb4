"""Sales that stock cut short: a flash sale sells what there is, and some of the rest wait.

Demand follows Bass with word of mouth from those who got one; who finds it sold out waits for
the next sale or gives up (the supply-constrained diffusion of Ho, Savin & Terwiesch 2002,
Management Science 48:187-206, in periods). Sold-out periods say only that demand was at
least the stock: they are censored. A Bass curve fitted to what was sold describes the factory.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import ArrayLike
from scipy import special

from o2o_research.domain import require
from o2o_research.models import numerics
from o2o_research.models.numerics import Array, Fit, NotConverged


class SupplyPath(NamedTuple):
    """Period by period, shape (periods, ...).

    Parameters
    ----------
    demand : people who want one for the first time
    sold : the smaller of stock and those who want one or wait for one
    waiting : left without one at the end of the period and not giving up
    lost : who gave up
    """

    demand: Array
    sold: Array
    waiting: Array
    lost: Array


@dataclass(frozen=True, kw_only=True)
class FlashSales:
    """Bass's demand before limited stock; parameters broadcast.

    Parameters
    ----------
    market : float, > 0. [m]
    innovation, imitation : float, per period, >= 0. [p, q]
    giving_up_share : float
        Share of those left without one who do not come again, in [0, 1]. [g]

    Raises
    ------
    ValueError
        A parameter outside its domain.

    Examples
    --------
    >>> phone = FlashSales(market=100, innovation=0.1, imitation=0.4, giving_up_share=0.5)
    >>> path = phone.path([5, 5, 100, 100])
    >>> path.sold.round(2).tolist(), path.lost.round(2).tolist()
    ([5.0, 5.0, 15.24, 13.69], [2.5, 4.15, 0.0, 0.0])
    """

    market: float | Array
    innovation: float | Array
    imitation: float | Array
    giving_up_share: float | Array

    def __post_init__(self) -> None:
        require(
            self,
            market="(0, inf)",
            innovation="[0, inf)",
            imitation="[0, inf)",
            giving_up_share="[0, 1]",
        )

    def path(self, stock: ArrayLike) -> SupplyPath:
        """Expected path under the stock of each period, shape (periods,).

        d_t = (p + q S / m)(m - D), S sold and D asked for before; with w waiting,
        sold = min(d + w, stock), w' = (1 - g)(d + w - sold).
        """
        asked = sold = waiting = np.zeros(
            np.broadcast_shapes(*(np.shape(v) for v in vars(self).values()))
        )
        rows = []
        for limit in _stock(stock):
            want = (self.innovation + self.imitation * sold / self.market) * (self.market - asked)
            want = np.clip(want, 0.0, self.market - asked)
            here = waiting + want
            got = np.minimum(here, limit)
            waiting = (1.0 - self.giving_up_share) * (here - got)
            asked, sold = asked + want, sold + got
            rows.append((want, got, waiting, self.giving_up_share * (here - got)))
        return SupplyPath(*(np.array(column) for column in zip(*rows, strict=True)))

    def simulate(self, stock: ArrayLike, rng: np.random.Generator) -> SupplyPath:
        """People one by one: binomial demand and giving up. Parameters must be numbers."""
        left, sold, waiting = round(float(self.market)), 0, 0
        rows = []
        for limit in _stock(stock):
            hazard = float(self.innovation + self.imitation * sold / self.market)
            want = rng.binomial(left, min(hazard, 1.0))
            here = waiting + want
            got = int(min(here, limit))
            lost = rng.binomial(here - got, float(self.giving_up_share))
            left, sold, waiting = left - want, sold + got, here - got - lost
            rows.append((want, got, waiting, lost))
        return SupplyPath(*(np.array(column, float) for column in zip(*rows, strict=True)))


def fit_flash_sales(
    sold: ArrayLike,
    stock: ArrayLike,
    *,
    giving_up_share: float | None = None,
    dispersion: float | None = None,
) -> Fit[FlashSales]:
    """Demand from sales under stock, sold-out periods being censored.

    Gaussian with variance in proportion to the demand. What waits is not seen, so its mean and
    variance are carried from period to period: after a sold-out one they are those of the
    demand given that it exceeds the stock (a filter, exact where no two sold-out periods
    follow each other).

    Parameters
    ----------
    sold : array_like, shape (n,), >= 0
    stock : array_like, shape (n,), >= sold; inf where there was no limit
    giving_up_share : float or None
        Known, in [0, 1]; None has it estimated. Only sales after sold-out periods tell it.
    dispersion : float or None
        Variance of demand over its mean, > 0: 1 for people who decide each by himself; None
        has it estimated, and standard errors with a few periods are then rough.

    Raises
    ------
    ValueError
        Series of different length, sales above the stock, too few periods, or all sold out:
        then the data only say that demand was larger.
    NotConverged
        If the search does not end, or the data do not tell one of the parameters.
    """
    y, limit = np.asarray(sold, float), _stock(stock)
    if y.shape != limit.shape:
        raise ValueError(f"fit_flash_sales: sold {y.shape} and stock {limit.shape} differ")
    if not np.all(np.isfinite(y) & (y >= 0)):
        raise ValueError("fit_flash_sales: sold must be finite and at least 0")
    over = np.flatnonzero(y > limit)
    if over.size:
        raise ValueError(
            f"fit_flash_sales: period {over[0] + 1} sold {y[over[0]]:g} of a stock of {limit[over[0]]:g}"
        )
    if giving_up_share is not None and not 0 <= giving_up_share <= 1:
        raise ValueError(f"fit_flash_sales: giving_up_share={giving_up_share} must lie in [0, 1]")
    names = ["market", "innovation", "imitation"]
    names += [] if giving_up_share is not None else ["giving_up_share"]
    if dispersion is not None and not dispersion > 0:
        raise ValueError(f"fit_flash_sales: dispersion={dispersion} must lie in (0, inf)")
    if (y < limit).sum() <= len(names):
        raise ValueError(
            f"fit_flash_sales: only {(y < limit).sum()} periods were not sold out; {len(names)} "
            "parameters and the spread want more"
        )

    def values(z: Array) -> Array:
        share = special.expit(z[3]) if giving_up_share is None else giving_up_share
        return np.array([*np.exp(z[:3]), share])

    def minus(z: Array) -> float:
        if np.abs(z).max() > 40:
            return 1e12
        if dispersion is not None:
            value = -_log_likelihood(values(z), dispersion, y, limit)
            return float(value) if np.isfinite(value) else 1e12
        value = -_log_likelihood(values(z), float(np.exp(z[-1])), y, limit)
        # As if the parameters had been integrated out: else the dispersion comes out too low.
        value -= len(names) / 2 * z[-1]
        return float(value) if np.isfinite(value) else 1e12

    total, n = y.sum(), y.size
    starts = [
        [np.log(size * total), np.log(max(y[0], 0.02 * y.max()) / (size * total)), np.log(pace / n)]
        for size in (1.2, 2.0, 4.0)
        for pace in (2.0, 6.0)
    ]
    tail = [0.0] if giving_up_share is None else []
    tail += [np.log(3.0)] if dispersion is None else []
    ends = []
    for start in starts:
        try:
            ends.append(numerics.search(minus, [*start, *tail], what="fit_flash_sales"))
        except NotConverged:
            continue
    if not ends:
        raise NotConverged("fit_flash_sales: no start led to a maximum")
    best, _ = min(ends, key=lambda end: end[1])
    best, _ = numerics.search(minus, best, step=0.05, what="fit_flash_sales")

    def slope(z: Array) -> Array:
        steps = 1e-4 * np.eye(z.size)
        return np.array([(minus(z + s) - minus(z - s)) / 2e-4 for s in steps])

    curvature = numerics.hessian(slope, best, step=1e-3)
    eigen = np.linalg.eigvalsh(curvature)
    if eigen[0] < 1e-2:
        raise NotConverged(
            "fit_flash_sales: the sales do not tell all parameters apart; state giving_up_share, "
            "or wait for periods that are not sold out"
        )
    scale = values(best)
    to_own = np.array([*scale[:3], scale[3] * (1 - scale[3])])[: len(names)]
    inverse = np.asarray(np.linalg.inv(curvature), float)[: len(names), : len(names)]
    covariance = inverse * np.outer(to_own, to_own)
    return Fit(
        model=FlashSales(
            market=float(scale[0]),
            innovation=float(scale[1]),
            imitation=float(scale[2]),
            giving_up_share=float(scale[3]),
        ),
        stderr=dict(zip(names, np.sqrt(np.diag(covariance)).tolist(), strict=True)),
        log_likelihood=_log_likelihood(scale, dispersion or float(np.exp(best[-1])), y, limit),
        n=n,
        covariance=covariance,
    )


@njit(cache=True)
def _log_likelihood(theta: Array, dispersion: float, sold: Array, stock: Array) -> float:
    m, p, q, g = theta
    asked = owned = mean = variance = total = 0.0
    for t in range(sold.size):
        want = (p + q * owned / m) * (m - asked)
        want = min(max(want, 1e-9 * m), max(m - asked, 1e-9 * m))
        mu, var = mean + want, variance + dispersion * want
        sd = np.sqrt(var)
        if sold[t] < stock[t]:
            total += -0.5 * ((sold[t] - mu) ** 2 / var + np.log(2 * np.pi * var))
            # Those who came are known now; the surprise is demand of this period.
            asked += want + (sold[t] - mu)
            mean = variance = 0.0
        else:
            z = (stock[t] - mu) / sd
            tail, ratio = _upper(z)
            total += tail
            here = mu + sd * ratio
            spread = max(var * (1.0 + z * ratio - ratio * ratio), 0.0)
            asked += want + (here - mu)
            left = max(here - stock[t], 0.0)
            mean = (1.0 - g) * left
            variance = (1.0 - g) ** 2 * spread + g * (1.0 - g) * left
        owned += sold[t]
    return total


@njit(cache=True)
def _upper(z: float) -> tuple[float, float]:
    """Log of the normal's upper tail at z, and its mean beyond z (the inverse Mills ratio)."""
    if z < 25.0:
        tail = 0.5 * math.erfc(z / np.sqrt(2.0))
        density = np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)
        return np.log(tail), density / tail
    # Asymptotic series, good to 1e-8 here.
    series = 1.0 - 1.0 / z**2 + 3.0 / z**4
    return -0.5 * z * z - np.log(z * np.sqrt(2.0 * np.pi)) + np.log(series), z / series


def _stock(stock: ArrayLike) -> Array:
    limit = np.asarray(stock, float)
    if limit.ndim != 1 or limit.size == 0 or not np.all(limit >= 0):
        raise ValueError(f"stock must be one series, nowhere below 0; got {limit}")
    return limit

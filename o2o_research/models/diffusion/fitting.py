"""Bass's curve from the sales of some periods, and how little they may say.

The mean of a period's sales is a difference of the cumulative curve, never its slope:
regressing sales on the lagged total is biased even on data without noise. The market is
estimated through its reciprocal, so that growth without end is a point like another and a
profile can say "no upper end". Schmittlein & Mahajan (1982), Marketing Science 1:57-78, for
the likelihood of grouped adoption times; Srinivasan & Mason (1986), Marketing Science
5:169-178, for nonlinear least squares.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from o2o_research.models.diffusion.bass import Bass, GeneralisedBass, cumulative_sales
from o2o_research.models.diffusion.regression import (
    COUNTS,
    Errors,
    Minimum,
    delta_method,
    minimise_deviance,
)
from o2o_research.models.numerics import Array, Fit

Curve = TypeVar("Curve", Bass, GeneralisedBass)

# Markets are sought from just below what was sold to a thousand times it: beyond, the curve
# is an exponential for all that the data could say.
_CROWDED, _EMPTY = 1.5, 1e-3
# Innovation may be a thousandth of the sales and is still found by steps of its own size.
_FINE = 1e3


class MarketUnknown(UserWarning):
    """The series does not bound the market from above."""


@dataclass(frozen=True)
class Forecast:
    """Sales still to come, as draws that hold the curve's uncertainty and the periods' noise.

    Parameters
    ----------
    draws : ndarray, shape (draws, periods)
    sold : what was sold before
    effective : effective sample size of the draws of the curve
    """

    draws: Array
    sold: float
    effective: float

    @property
    def sales(self) -> Array:
        """Median of each period's sales, shape (periods,)."""
        return np.asarray(np.median(self.draws, axis=0))

    @property
    def cumulative(self) -> Array:
        """Median of the total sold by the end of each period, shape (periods,)."""
        return np.asarray(np.median(self._totals, axis=0))

    @property
    def _totals(self) -> Array:
        return np.asarray(self.sold + np.cumsum(self.draws, axis=1))

    def interval(self, level: float = 0.9) -> tuple[Array, Array]:
        """Ends of each period's sales."""
        return _ends(self.draws, level)

    def cumulative_interval(self, level: float = 0.9) -> tuple[Array, Array]:
        """Ends of the total sold by the end of each period."""
        return _ends(self._totals, level)


def _ends(draws: Array, level: float) -> tuple[Array, Array]:
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return np.asarray(low), np.asarray(high)


@dataclass(frozen=True)
class _Family(Generic[Curve]):
    """A curve as the solver sees it: theta = (1000 a n / N, q n, ln k N, [j / y1, b1, b2]).

    a is the rate of sales at the launch, k = 1 / market, N all that was sold in n periods, y1
    the sales of the first. a and q themselves, not their logarithms: without imitation, or with
    an impulse and without innovation, a curve is a curve like another, and a logarithm would
    have room without end in which the data see no difference.
    """

    make: Callable[..., Curve]
    sales: Array
    impulse: bool
    price: Array | None
    advertising: Array | None

    @property
    def names(self) -> list[str]:
        return ["market", "innovation", "imitation", *self.extra]

    @property
    def extra(self) -> list[str]:
        chosen = {
            "impulse_share": self.impulse,
            "price_effect": self.price is not None,
            "advertising_effect": self.advertising is not None,
        }
        return [name for name, on in chosen.items() if on]

    @property
    def total(self) -> float:
        return float(self.sales.sum())

    @property
    def first(self) -> float:
        return float(max(self.sales[0], 1e-3 * self.sales.max()))

    def natural(self, theta: Array) -> dict[str, Array]:
        """a, q, k, j, b1, b2 of each row."""
        given = dict(zip(self.extra, theta.T[3:], strict=True))
        zero = np.zeros(len(theta))
        return {
            "a": theta[:, 0] * self.total / (_FINE * self.sales.size),
            "q": theta[:, 1] / self.sales.size,
            "k": np.exp(theta[:, 2]) / self.total,
            "j": given.get("impulse_share", zero) * self.first,
            "b1": given.get("price_effect", zero),
            "b2": given.get("advertising_effect", zero),
        }

    def mean(self, theta: Array, price: Array | None, advertising: Array | None, n: int) -> Array:
        """Means of the first n periods, shape (batch, n); not-a-number where time runs back."""
        x = {name: value[:, None] for name, value in self.natural(theta).items()}
        clock = np.arange(1.0, n + 1)[None, :]
        if price is not None:
            clock = clock + x["b1"] * np.log(price)
        if advertising is not None:
            clock = clock + x["b2"] * np.log(advertising)
        clock = np.maximum(clock, 0.0)
        jump = np.where(x["j"] * x["k"] < 1, x["j"], np.nan)
        sold = cumulative_sales(clock, x["a"], x["q"], x["k"], jump)
        mean = np.diff(sold, prepend=0.0, axis=1)
        return np.asarray(np.where(mean >= 0, mean, np.nan))

    def fitted(self, theta: Array) -> Array:
        return self.mean(theta, self.price, self.advertising, self.sales.size)

    def information(self, theta: Array, errors: Errors) -> Array:
        """Fisher's, of theta, at dispersion 1. Shape (k, k)."""
        low, high = self.box
        one = np.clip(theta, low, high)[None, :]
        found = minimise_deviance(
            self.fitted, self.sales, one, low=low, high=high, errors=errors, max_steps=1
        )
        return np.asarray(found.information[0])

    def values(self, theta: Array) -> Array:
        """The model's own parameters in the order of ``names``, shape (batch, k)."""
        x = self.natural(theta)
        own = {
            "market": 1 / x["k"],
            "innovation": x["a"] * x["k"],
            "imitation": x["q"],
            "impulse_share": x["j"] * x["k"],
            "price_effect": x["b1"],
            "advertising_effect": x["b2"],
        }
        return np.stack([own[name] for name in self.names], axis=-1)

    @property
    def box(self) -> tuple[Array, Array]:
        n = self.sales.size
        ends: dict[str, tuple[float, float]] = {
            "impulse_share": (0.0, 1.5),
            "price_effect": (-10.0 * n, 10.0 * n),
            "advertising_effect": (-10.0 * n, 10.0 * n),
        }
        rows: list[tuple[float, float]] = [
            (0.0, 20.0 * n * _FINE),
            (0.0, 30.0 * n),
            (np.log(_EMPTY), np.log(_CROWDED)),
            *(ends[name] for name in self.extra),
        ]
        table = np.array(rows)
        return table[:, 0], table[:, 1]

    @property
    def starts(self) -> Array:
        """A grid over how fast, how full and how much by innovation."""
        rows = []
        for pace in (1.0, 4.0, 12.0):
            for full in (0.1, 0.6, 0.98):
                for lone in (0.003, 0.05, 0.6):
                    rows.append([_FINE * lone * pace / full, pace, np.log(full)])
        extra = {"impulse_share": 0.3, "price_effect": 0.0, "advertising_effect": 0.0}
        tail = [extra[name] for name in self.extra]
        return np.array([row + tail for row in rows])


@dataclass(frozen=True, kw_only=True)
class DiffusionFit(Fit[Curve]):
    """A fitted curve that knows how little it may know.

    ``stderr`` of the market is infinite where the series does not bend; then, and wherever
    ``peak_seen`` is False, trust ``market_interval`` and ``forecast``, not the curve.

    Parameters
    ----------
    sales : ndarray, shape (n,), what was fitted
    errors : their law
    dispersion : of that law, estimated unless given
    deviance : at the estimate
    """

    sales: Array
    errors: Errors
    dispersion: float
    deviance: float
    _family: _Family[Curve]
    _theta: Array

    @property
    def fitted(self) -> Array:
        """Means of the periods fitted, shape (n,)."""
        return np.asarray(self._family.fitted(self._theta[None, :])[0])

    @property
    def peak_seen(self) -> bool:
        """Whether the fitted peak lies in the data and they bound the market from above."""
        bass = self.model if isinstance(self.model, Bass) else self.model.bass
        inside = self.fitted.argmax() < self.n - 1 and bass.peak_time < self.n
        return bool(inside and self._held(np.log([_EMPTY])).deviance[0] > self._allowed(0.9))

    @property
    def _degrees(self) -> int:
        return self.n - len(self.stderr)

    @cached_property
    def _profile(self) -> tuple[Array, Minimum]:
        """Least deviance with ln k N held at each point of a grid, finer near the estimate."""
        low, high = np.log(_EMPTY), np.log(_CROWDED)
        near = self._theta[2] + self._spread * np.linspace(-6, 6, 49)
        grid = np.concatenate([np.linspace(low, high, 49), near, self._theta[2:3]])
        grid = np.unique(np.clip(grid, low, high))
        return grid, self._held(grid)

    @property
    def _spread(self) -> float:
        """Standard error of ln k with the others fitted along."""
        found = self._family.information(self._theta, self.errors)
        scale = np.sqrt(np.maximum(np.diag(found), 1e-300))
        inverse = np.linalg.pinv(found / np.outer(scale, scale), hermitian=True)
        return float(np.sqrt(max(self.dispersion * inverse[2, 2], 1e-24)) / scale[2])

    def _held(self, grid: Array) -> Minimum:
        """From the estimate with the market alone moved, and from other starts."""
        low, high = self._family.box
        starts = np.vstack([self._theta[None, :], self._family.starts[4::9]])
        many = np.repeat(starts, grid.size, axis=0)
        many[:, 2] = np.tile(grid, len(starts))
        lows, highs = np.tile(low, (len(many), 1)), np.tile(high, (len(many), 1))
        lows[:, 2] = highs[:, 2] = many[:, 2]
        found = minimise_deviance(
            self._family.fitted, self.sales, many, low=lows, high=highs, errors=self.errors
        )
        pick = found.deviance.reshape(-1, grid.size).argmin(axis=0) * grid.size
        return found.rows(pick + np.arange(grid.size))

    def _allowed(self, level: float) -> float:
        """The deviance a held market may reach: F (dispersion estimated) or chi-square."""
        if self.errors.dispersion is not None:
            return self.deviance + self.errors.dispersion * float(stats.chi2.ppf(level, 1))
        return self.deviance + self.dispersion * float(stats.f.ppf(level, 1, self._degrees))

    def market_profile(self, markets: ArrayLike) -> Array:
        """Log-likelihood of markets, 0 at the best, the other parameters fitted anew. Same shape.

        A dispersion that is estimated is estimated anew too.
        """
        wanted = np.atleast_1d(np.asarray(markets, float))
        if not np.all(wanted * _CROWDED >= self._family.total):
            raise ValueError(
                f"market_profile: markets must not lie below {self._family.total / _CROWDED:g}, "
                f"two thirds of what was sold; got {wanted.min():g}"
            )
        grid = np.log(self._family.total / np.minimum(wanted, self._family.total / _EMPTY))
        found = np.maximum(self._held(grid).deviance, self.deviance)
        if self.errors.dispersion is not None:
            relative = -(found - self.deviance) / (2 * self.errors.dispersion)
        else:
            tiny = np.finfo(float).tiny
            relative = -self.n / 2 * np.log((found + tiny) / (self.deviance + tiny))
        return np.asarray(relative).reshape(np.shape(markets))

    def market_interval(self, level: float = 0.9) -> tuple[float, float]:
        """Markets that the data do not reject, by profile likelihood; inf where nothing bounds it."""
        grid, profile = self._profile
        allowed = self._allowed(level)
        inside = profile.deviance <= allowed
        best = int(np.argmin(np.abs(grid - self._theta[2])))
        inside[best] = True
        # Outwards from the estimate to the first rejection.
        rejected_below = np.flatnonzero(~inside[:best])
        rejected_above = np.flatnonzero(~inside[best:])
        total = self._family.total
        largest = np.inf
        if rejected_below.size:
            at = rejected_below[-1]
            largest = total / np.exp(
                self._end(grid[at], min(grid[at + 1], self._theta[2]), allowed)
            )
        smallest = total / _CROWDED
        if rejected_above.size:
            at = best + rejected_above[0]
            smallest = total / np.exp(
                self._end(grid[at], max(grid[at - 1], self._theta[2]), allowed)
            )
        return float(smallest), float(largest)

    def _end(self, outside: float, inside: float, allowed: float) -> float:
        """Where the profile passes ``allowed`` between two points of the grid."""
        fine = np.linspace(outside, inside, 17)
        above = self._held(fine).deviance - allowed
        above[-1] = min(above[-1], 0.0)
        at = int(np.argmax(above <= 0))
        if at == 0:
            return float(fine[0])
        part = above[at - 1] / (above[at - 1] - above[at]) if above[at - 1] > above[at] else 0.0
        return float(fine[at - 1] + part * (fine[at] - fine[at - 1]))

    def _draw(self, n: int, rng: np.random.Generator) -> tuple[Array, Array, float]:
        """theta and dispersion, drawn from the likelihood; their effective sample size.

        Flat in 1 / market, a, q, j and the effects. Proposals: the profile over the market,
        Student's t about it in the other parameters; then weighted by the exact likelihood (with
        the dispersion integrated out where it is estimated) and drawn again.
        """
        grid, profile = self._profile
        nu = self._degrees
        tail = 8 if self.errors.dispersion is not None else nu + 1
        floor = 1e-14 * float((self.errors.weight(self.fitted) * self.sales**2).sum()) / self.n
        dispersion = max(self.dispersion, floor)
        least = max(self.deviance, floor * nu)

        def log_weight(deviance: Array) -> Array:
            if self.errors.dispersion is not None:
                return -(deviance - self.deviance) / (2 * dispersion)
            return -self.n / 2 * np.log(np.maximum(deviance, least) / least)

        free = np.delete(np.arange(self._theta.size), 2)
        # Given the market, a dispersion estimated along leaves Student's t about the profile.
        held = np.full(grid.size, dispersion)
        if self.errors.dispersion is None:
            held = np.maximum(profile.deviance, least) / (nu + 1)
        precision = profile.information[:, free][:, :, free] / held[:, None, None]
        low, high = self._family.box
        own = np.arange(free.size)
        # No wider than the box where the data see no difference.
        precision[:, own, own] *= 1 + 1e-9
        precision[:, own, own] += (2 / (high - low)[free]) ** 2
        covariance = np.linalg.inv(precision)
        middle = (grid[1:] + grid[:-1]) / 2
        edges = np.concatenate([grid[:1], middle, grid[-1:]])
        cell = np.diff(edges)
        log_mass = log_weight(profile.deviance) + grid + np.log(cell)
        log_mass += 0.5 * np.linalg.slogdet(covariance)[1]
        mass = np.exp(log_mass - log_mass.max())
        mass = 0.95 * mass / mass.sum() + 0.05 / mass.size
        many = max(20 * n, 4000)
        row = rng.choice(grid.size, size=many, p=mass)
        root = np.linalg.cholesky(covariance)
        normal = (
            rng.standard_normal((many, free.size))
            / np.sqrt(rng.chisquare(tail, many) / tail)[:, None]
        )
        theta = np.empty((many, self._theta.size))
        offset = np.einsum("bij,bj->bi", root[row], normal)
        theta[:, 2] = edges[row] + cell[row] * rng.random(many)
        for place, each in enumerate(free):
            along = np.interp(theta[:, 2], grid, profile.theta[:, each])
            theta[:, each] = along + offset[:, place]
        inside = np.all((theta >= low) & (theta <= high), axis=1)
        with np.errstate(all="ignore"):
            mean = self._family.fitted(np.clip(theta, low, high))
            deviance = self.errors.deviance(self.sales, mean).sum(axis=1)
        usable = inside & np.isfinite(deviance)
        shape = -0.5 * (tail + free.size) * np.log1p((normal**2).sum(axis=1) / tail)
        density = shape - 0.5 * np.linalg.slogdet(covariance)[1][row] + np.log(mass / cell)[row]
        log_w = log_weight(np.where(usable, deviance, np.inf)) + theta[:, 2] - density
        weight = np.exp(log_w - log_w[usable].max())
        weight = np.where(usable, weight, 0.0) / weight[usable].sum()
        effective = float(1 / (weight**2).sum())
        # Systematic resampling: no more chance than needed.
        places = (rng.random() + np.arange(n)) / n
        picked = np.minimum(np.searchsorted(np.cumsum(weight), places), many - 1)
        picked = rng.permutation(picked)
        if self.errors.dispersion is not None:
            return theta[picked], np.full(n, self.errors.dispersion), effective
        return theta[picked], deviance[picked] / rng.chisquare(self.n, n), effective

    def models(self, n: int, rng: np.random.Generator) -> Curve:
        """``n`` curves as likely as the data make them; parameters of shape (n, 1)."""
        theta, _, _ = self._draw(n, rng)
        values = self._family.values(theta)
        return self._family.make(
            **{name: values[:, [i]] for i, name in enumerate(self._family.names)}
        )

    def forecast(
        self,
        periods: int,
        rng: np.random.Generator,
        *,
        price: ArrayLike | None = None,
        advertising: ArrayLike | None = None,
        draws: int = 1000,
    ) -> Forecast:
        """The next ``periods`` periods: the curve's uncertainty, then each period's own noise.

        Parameters
        ----------
        periods : int, >= 1
        price, advertising : array_like, shape (periods,), planned multiples of the values at
            the launch; wanted by a fit that used them

        Raises
        ------
        ValueError
            Plans that are missing, or that the fit cannot use.
        """
        plans: dict[str, Array | None] = {}
        for name, plan, seen in (
            ("price", price, self._family.price),
            ("advertising", advertising, self._family.advertising),
        ):
            if (plan is None) != (seen is None):
                rule = "is wanted by this fit" if plan is None else "is not in this fit"
                raise ValueError(f"forecast: {name} {rule}")
            plans[name] = (
                None
                if plan is None or seen is None
                else np.concatenate([seen, _positive(name, plan, periods)])
            )
        theta, dispersion, effective = self._draw(draws, rng)
        with np.errstate(over="ignore", invalid="ignore"):
            mean = self._family.mean(theta, plans["price"], plans["advertising"], self.n + periods)[
                :, self.n :
            ]
        mean = np.where(np.isfinite(mean), mean, 0.0)
        noisy = self.errors.draw(mean, dispersion[:, None], rng)
        return Forecast(np.maximum(noisy, 0.0), self._family.total, effective)


def fit_bass(
    sales: ArrayLike, *, impulse: bool = False, errors: Errors = COUNTS
) -> DiffusionFit[Bass]:
    """Bass's curve from the sales of periods 1, 2, ... since the launch.

    Parameters
    ----------
    sales : array_like, shape (n,), >= 0, adopters of each period, in any unit
    impulse : whether to estimate a share recruited at the launch itself
    errors : ``LEAST_SQUARES``, ``COUNTS`` (default) or ``PROPORTIONAL``; plain Poisson counts
        are ``Errors(1, dispersion=1.0)``

    Warns
    -----
    MarketUnknown
        If the series does not bound the market from above, or ends before its peak.

    Raises
    ------
    ValueError
        A series too short for the parameters, not finite, negative or empty of sales.
    NotConverged
        If no start leads to a minimum.

    Examples
    --------
    >>> truth = Bass(market=100, innovation=0.03, imitation=0.38)
    >>> fit = fit_bass(truth.sales(np.arange(1, 13)))
    >>> round(fit.model.market, 3), round(fit.model.innovation, 5), round(fit.model.imitation, 5)
    (100.0, 0.03, 0.38)
    """
    return _fit(_Family(Bass, _series(sales), impulse, None, None), errors, what="fit_bass")


def fit_generalised_bass(
    sales: ArrayLike,
    *,
    price: ArrayLike | None = None,
    advertising: ArrayLike | None = None,
    impulse: bool = False,
    errors: Errors = COUNTS,
) -> DiffusionFit[GeneralisedBass]:
    """The generalised Bass curve, with the effect of price, of advertising, or of both.

    Parameters
    ----------
    sales, impulse, errors : as of ``fit_bass``
    price, advertising : array_like, shape (n,), at the end of each period as multiples of
        their values at the launch, > 0; at least one

    Raises
    ------
    ValueError, NotConverged
        As ``fit_bass``; a decision variable that never moves, or moves with the clock.
    """
    series = _series(sales)
    if price is None and advertising is None:
        raise ValueError("fit_generalised_bass: give price, advertising or both")
    paths = {
        name: None if path is None else _positive(name, path, series.size)
        for name, path in (("price", price), ("advertising", advertising))
    }
    for name, path in paths.items():
        if path is not None and np.ptp(path) == 0:
            raise ValueError(f"fit_generalised_bass: {name} never moves: no effect to estimate")
    moved = [np.log(path) for path in paths.values() if path is not None]
    clock = np.stack([np.arange(1.0, series.size + 1), *moved], axis=1)
    if np.linalg.cond(clock / np.linalg.norm(clock, axis=0)) > 1e6:
        raise ValueError(
            "fit_generalised_bass: price or advertising moves at a constant rate, or both move "
            "alike: the effect cannot be told from a faster clock"
        )
    family = _Family(GeneralisedBass, series, impulse, paths["price"], paths["advertising"])
    return _fit(family, errors, what="fit_generalised_bass")


def _fit(
    family: _Family[Curve], errors: Errors, *, what: str, warn: bool = True
) -> DiffusionFit[Curve]:
    series, k = family.sales, len(family.names)
    if series.size <= k:
        raise ValueError(
            f"{what}: {series.size} periods cannot give {k} parameters; at least {k + 1}"
        )
    low, high = family.box
    found = minimise_deviance(
        family.fitted, series, family.starts, low=low, high=high, errors=errors
    ).best(what=what)
    theta, deviance = found.theta[0], float(found.deviance[0])
    degrees = series.size - k
    dispersion = deviance / degrees if errors.dispersion is None else errors.dispersion
    stderr, covariance = delta_method(family.values, found, dispersion)
    mean = family.fitted(found.theta)[0]
    fit = DiffusionFit(
        model=family.make(
            **dict(zip(family.names, family.values(found.theta)[0].tolist(), strict=True))
        ),
        stderr=dict(zip(family.names, stderr.tolist(), strict=True)),
        log_likelihood=errors.log_likelihood(
            series,
            mean,
            max(deviance / series.size, np.finfo(float).tiny)
            if errors.dispersion is None
            else errors.dispersion,
        ),
        n=series.size,
        covariance=covariance,
        sales=series,
        errors=errors,
        dispersion=dispersion,
        deviance=deviance,
        _family=family,
        _theta=theta,
    )
    if warn and not fit.peak_seen:
        smallest, largest = fit.market_interval()
        end = "no upper end" if np.isinf(largest) else f"an upper end of {largest:.4g}"
        warnings.warn(
            f"{what}: {series.size} periods end before a peak that they show; the market is at "
            f"least {smallest:.4g} with {end} (90 % profile likelihood)",
            MarketUnknown,
            stacklevel=3,
        )
    return fit


def _series(sales: ArrayLike) -> Array:
    series = np.asarray(sales, float)
    if series.ndim != 1:
        raise ValueError(f"sales must be one series, got shape {series.shape}")
    wrong = np.flatnonzero(~(np.isfinite(series) & (series >= 0)))
    if wrong.size:
        raise ValueError(
            f"sales must be finite and at least 0; period {wrong[0] + 1} has {series[wrong[0]]:g}"
        )
    if not series.sum() > 0:
        raise ValueError("sales: nothing was sold in any period")
    return series


def _positive(name: str, path: ArrayLike, n: int) -> Array:
    values = np.asarray(path, float)
    if values.shape != (n,):
        raise ValueError(f"{name} must have shape ({n},), one value a period; got {values.shape}")
    wrong = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
    if wrong.size:
        raise ValueError(
            f"{name} must be finite and above 0; period {wrong[0] + 1} has {values[wrong[0]]:g}"
        )
    return values

"""What two numbers say of a curve: a posterior over curves, never one curve.

"So many sold in so many months" fixes the scale of a curve and nothing of its shape: with a
market that may be anything, the shape stays what it was believed to be. A product's life
fixes its pace. The rest comes from the prior, so the prior is shown: published coefficients
of innovation and imitation, and how they scatter between products.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from o2o_research.domain import require
from o2o_research.models.diffusion.bass import Bass
from o2o_research.models.likelihood import Estimate
from o2o_research.models.numerics import Array, NotConverged

# Coefficients a year, as published for American households and, last, cellular telephones.
PUBLISHED = {
    "black_and_white_tv": (0.028, 0.25),
    "air_conditioners": (0.010, 0.42),
    "clothes_dryers": (0.017, 0.36),
    "record_players": (0.025, 0.65),
    "electric_blankets": (0.006, 0.24),
    "cellular_telephones": (0.00471, 0.506),
}

# A prior that lies further off than this is not the prior of this product.
_CONTRADICTION = 6.0


@dataclass(frozen=True, kw_only=True)
class CurvePrior:
    """What is believed of a curve before its own numbers: log-normal p and q, per year.

    Means over many products after Sultan, Farley & Lehmann (1990). The spreads default to
    the scatter of the logarithms of ``PUBLISHED``: an assumption, as six products are few.

    Parameters
    ----------
    innovation, imitation : float
        Means, per year, > 0. [p, q]
    innovation_spread, imitation_spread : float
        Standard deviations of ln p and ln q, > 0.
    pace_spread : float
        Standard deviation of the logarithm of a common factor on both, >= 0: how much faster
        or slower than a category of durables this one product may run through its life.
    market_limit : float
        The market is as likely in one power of ten as in the next, up to this, > 0.

    Raises
    ------
    ValueError
        A parameter outside its domain.
    """

    innovation: float = 0.03
    imitation: float = 0.38
    innovation_spread: float = float(np.std(np.log([p for p, _ in PUBLISHED.values()]), ddof=1))
    imitation_spread: float = float(np.std(np.log([q for _, q in PUBLISHED.values()]), ddof=1))
    pace_spread: float = 0.0
    market_limit: float = np.inf

    def __post_init__(self) -> None:
        require(
            self,
            innovation="(0, inf)",
            imitation="(0, inf)",
            innovation_spread="(0, inf)",
            imitation_spread="(0, inf)",
            pace_spread="[0, inf)",
        )
        if not self.market_limit > 0:
            raise ValueError(f"CurvePrior: market_limit={self.market_limit} must lie in (0, inf]")

    @property
    def centre(self) -> Array:
        """Means of (ln p, ln q): the means of p and q are those stated, before the pace."""
        means = np.log([self.innovation, self.imitation])
        spreads = np.array([self.innovation_spread, self.imitation_spread])
        return np.asarray(means - spreads**2 / 2)

    @property
    def covariance(self) -> Array:
        """Of (ln p, ln q), shape (2, 2): a common pace moves both alike."""
        own = np.diag([self.innovation_spread**2, self.imitation_spread**2])
        return np.asarray(own + self.pace_spread**2)

    def log_density(self, logs: Array) -> Array:
        """Of (ln p, ln q), shape (..., 2) -> (...), up to a constant."""
        away = logs - self.centre
        return np.asarray(
            -0.5 * np.einsum("...i,...i", away @ np.linalg.inv(self.covariance), away)
        )

    def draw(self, n: int, rng: np.random.Generator) -> Array:
        """(ln p, ln q) of ``n`` products, shape (n, 2)."""
        return np.asarray(rng.multivariate_normal(self.centre, self.covariance, n))


@dataclass(frozen=True, kw_only=True)
class ScarceData:
    """The few numbers there are. Times in years.

    Parameters
    ----------
    sold : float
        Units sold by ``time``, > 0.
    time : float
        Since the launch, > 0.
    sold_spread : float
        Relative standard error of ``sold``: what rounding and optimism may hide, > 0.
    life : float or None
        When the product is at its end, > 0; None where nothing is known of it.
    life_spread : float
        Relative standard error of ``life``, > 0.
    life_share : float
        Share of all sales made by then, in (0, 1).

    Raises
    ------
    ValueError
        A number outside its domain.
    """

    sold: float
    time: float
    sold_spread: float = 0.05
    life: float | None = None
    life_spread: float = 0.2
    life_share: float = 0.95

    def __post_init__(self) -> None:
        require(
            self,
            sold="(0, inf)",
            time="(0, inf)",
            sold_spread="(0, inf)",
            life_spread="(0, inf)",
            life_share="(0, 1)",
        )
        if self.life is not None and not 0 < self.life < np.inf:
            raise ValueError(f"ScarceData: life={self.life} must lie in (0, inf)")

    def log_likelihood(self, logs: Array) -> Array:
        """Of (ln p, ln q), shape (..., 2) -> (...): what the product's life says of them."""
        if self.life is None:
            return np.zeros(logs.shape[:-1])
        curve = Bass(market=1.0, innovation=np.exp(logs[..., 0]), imitation=np.exp(logs[..., 1]))
        away = np.log(curve.time_to(self.life_share) / self.life) / self.life_spread
        return np.asarray(-0.5 * away**2)

    def least_market(self, logs: Array) -> Array:
        """ln of ``sold`` / F(time): the market that a curve needs to have sold as much."""
        curve = Bass(market=1.0, innovation=np.exp(logs[..., 0]), imitation=np.exp(logs[..., 1]))
        return np.asarray(np.log(self.sold / curve.adopted_share(self.time)))


@dataclass(frozen=True)
class CurvePosterior:
    """Curves as likely as the prior and the numbers make them, of equal weight.

    Parameters
    ----------
    curves : Bass, parameters of shape (draws, 1), per year
    effective : effective sample size of the draws they were picked from
    surprise : how far from the prior's centre they lie, in prior deviations: above 3 the
        numbers and what was believed of such products do not go together
    """

    curves: Bass
    effective: float
    surprise: float

    def estimate(self, quantity: Callable[[Bass], Any], level: float = 0.9) -> Estimate:
        """Median and interval of anything computed from a curve; broadcasts over times.

        >>> found = curve_posterior(CurvePrior(), ScarceData(sold=4.0, time=5 / 12),
        ...                         np.random.default_rng(1))
        >>> peak = found.estimate(lambda curve: curve.peak_time)
        >>> bool(peak.low < peak.value < peak.high)
        True
        """
        values = np.asarray(quantity(self.curves), float)
        ends = [(1 - level) / 2, 0.5, (1 + level) / 2]
        low, middle, high = np.quantile(values, ends, axis=0, method="inverted_cdf")
        if middle.size == 1:
            return Estimate(float(middle.item()), float(low.item()), float(high.item()))
        return Estimate(middle, low, high)

    @property
    def lifetime_sales(self) -> Estimate:
        """Everything the product will sell."""
        return self.estimate(lambda curve: curve.market)

    @property
    def peak_month(self) -> Estimate:
        """Months from the launch to the highest sales."""
        return self.estimate(lambda curve: 12.0 * curve.peak_time)


def curve_posterior(
    prior: CurvePrior, data: ScarceData, rng: np.random.Generator, *, draws: int = 4000
) -> CurvePosterior:
    """Posterior over (p, q, m) by adaptive importance sampling.

    Rounds propose from a Student's t fitted to the round before, mixed with the prior, which
    keeps every weight bounded. Given p and q the market is log-normal
    about sold / F(time), cut at the prior's limit.

    Raises
    ------
    NotConverged
        If prior and numbers contradict each other, or too few draws carry weight.
    """
    many = 10 * draws
    logs = prior.draw(many, rng)
    constant = 0.5 * np.linalg.slogdet(prior.covariance)[1]
    log_proposal = prior.log_density(logs) - constant
    # The numbers come in gradually, so that the proposal can follow where the prior is thin.
    for share in (0.02, 0.1, 0.3, 1.0, 1.0, 1.0):
        told = data.log_likelihood(logs) + _room(prior, data, logs)
        weight = _normalised(prior.log_density(logs) - constant + share * told - log_proposal)
        centre = weight @ logs
        covariance = np.einsum("n,ni,nj", weight, logs - centre, logs - centre)
        covariance = 1.3 * covariance + 1e-8 * prior.covariance
        logs, log_proposal = _propose(prior, centre, covariance, many, rng)
    told = data.log_likelihood(logs) + _room(prior, data, logs)
    weight = _normalised(prior.log_density(logs) - constant + told - log_proposal)
    effective = float(1 / (weight**2).sum())
    surprise = float(np.sqrt(-2 * prior.log_density(weight @ logs)))
    if surprise > _CONTRADICTION:
        raise NotConverged(
            f"curve_posterior: prior and numbers contradict each other: they meet {surprise:.1f} "
            f"prior deviations out, more than {_CONTRADICTION:g}"
        )
    if effective < 50:
        raise NotConverged(
            f"curve_posterior: prior and numbers hardly meet ({effective:.0f} effective draws)"
        )
    places = (rng.random() + np.arange(draws)) / draws
    picked = np.minimum(np.searchsorted(np.cumsum(weight), places), many - 1)
    chosen = logs[rng.permutation(picked)]
    ceiling = (np.log(prior.market_limit) - data.least_market(chosen)) / data.sold_spread
    market = np.exp(data.least_market(chosen) + data.sold_spread * _cut_normal(ceiling, rng))
    return CurvePosterior(
        Bass(
            market=market[:, None],
            innovation=np.exp(chosen[:, [0]]),
            imitation=np.exp(chosen[:, [1]]),
        ),
        effective,
        surprise,
    )


def _room(prior: CurvePrior, data: ScarceData, logs: Array) -> Array:
    """Log-probability that the market a curve needs lies below the prior's limit."""
    if np.isinf(prior.market_limit):
        return np.zeros(len(logs))
    ceiling = (np.log(prior.market_limit) - data.least_market(logs)) / data.sold_spread
    return np.asarray(special.log_ndtr(ceiling))


def _cut_normal(ceiling: Array, rng: np.random.Generator) -> Array:
    """Standard normals below ``ceiling``."""
    return np.asarray(special.ndtri(rng.random(ceiling.shape) * special.ndtr(ceiling)))


def _propose(
    prior: CurvePrior, centre: Array, covariance: Array, n: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """(ln p, ln q) from nine tenths t with 5 degrees and one tenth prior, and its log-density."""
    own = rng.random(n) < 0.9
    t = rng.multivariate_normal([0.0, 0.0], covariance, n)
    t = centre + t / np.sqrt(rng.chisquare(5, n) / 5)[:, None]
    logs = np.where(own[:, None], t, prior.draw(n, rng))
    away = logs - centre
    distance = np.einsum("...i,...i", away @ np.linalg.inv(covariance), away)
    student = -0.5 * np.linalg.slogdet(covariance)[1] - 3.5 * np.log1p(distance / 5)
    normal = prior.log_density(logs) - 0.5 * np.linalg.slogdet(prior.covariance)[1]
    # Both densities over 2 pi: in two dimensions a t with any degrees has that constant too.
    return logs, np.logaddexp(np.log(0.9) + student, np.log(0.1) + normal)


def _normalised(log_weight: Array) -> Array:
    finite = np.isfinite(log_weight)
    if not finite.any():
        raise NotConverged("curve_posterior: prior and numbers exclude each other")
    weight = np.where(finite, np.exp(log_weight - log_weight[finite].max()), 0.0)
    return np.asarray(weight / weight.sum())


@dataclass(frozen=True)
class CurveGrid:
    """The same posterior on a grid, exact but for its step.

    Parameters
    ----------
    logs : ndarray, shape (points, 2), ln p and ln q
    mass : ndarray, shape (points,), summing to 1
    """

    logs: Array
    mass: Array

    def quantile(self, quantity: Callable[[Bass], Any], share: float) -> float:
        """Of a quantity of p and q, the market being 1."""
        curve = Bass(
            market=1.0, innovation=np.exp(self.logs[:, 0]), imitation=np.exp(self.logs[:, 1])
        )
        values = np.asarray(quantity(curve), float)
        order = np.argsort(values)
        return float(np.interp(share, np.cumsum(self.mass[order]), values[order]))


def curve_grid(prior: CurvePrior, data: ScarceData, *, points: int = 400) -> CurveGrid:
    """Posterior of (ln p, ln q) on a grid of six prior deviations either way: the slow check."""
    reach = 6 * np.sqrt(np.diag(prior.covariance))
    axes = [np.linspace(c - r, c + r, points) for c, r in zip(prior.centre, reach, strict=True)]
    logs = np.stack([x.ravel() for x in np.meshgrid(*axes, indexing="ij")], axis=-1)
    mass = prior.log_density(logs) + data.log_likelihood(logs) + _room(prior, data, logs)
    return CurveGrid(logs, _normalised(mass))

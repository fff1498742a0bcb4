"""What a trial can detect before it starts, and what a before-after ratio pretends.

Variance of a differences-in-differences estimate with autocorrelated store noise after Burlig,
Preonas & Woerman (2020), with McKenzie (2012) as its uncorrelated case; regression to the mean of
stores picked for a bad (or good) period in closed form.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri, stdtr, stdtrit

from o2o_research.domain import require
from o2o_research.models import numerics
from o2o_research.models.causal.panel import Array, Panel


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A trial that compares converted stores with others, before with after.

    Parameters
    ----------
    treated, controls : stores in each arm, >= 1
    before, after : periods observed, whole, >= 1. [m, r]
    noise : standard deviation of one store's outcome in one period around its own level and the
        common movement, > 0, in the outcome's unit (a share, if the outcome is in logs). [sigma]
    autocorrelation : of that noise from one period to the next, in (-1, 1). [psi]

    Examples
    --------
    Three converted stores, a hundred others, 26 weeks either side, weekly noise of a quarter:

    >>> trial = Trial(treated=3, controls=100, before=26, after=26, noise=0.25, autocorrelation=0.5)
    >>> round(float(trial.least_effect()), 3)
    0.191
    """

    treated: ArrayLike
    controls: ArrayLike
    before: int
    after: int
    noise: ArrayLike
    autocorrelation: ArrayLike = 0.0

    def __post_init__(self) -> None:
        require(
            self,
            treated="[1, inf)",
            controls="[1, inf)",
            before="[1, inf)",
            after="[1, inf)",
            noise="(0, inf)",
            autocorrelation="(-1, 1)",
        )

    @property
    def stderr(self) -> Array:
        """Standard deviation of the estimate, in the outcome's unit.

        sigma^2 (1/N_1 + 1/N_0) times the variance of "mean after less mean before" of a
        stationary AR(1) of unit variance; without autocorrelation 1/m + 1/r.
        """
        arms = 1 / np.asarray(self.treated, float) + 1 / np.asarray(self.controls, float)
        spread: Array = np.sqrt(arms * self._contrast)
        return np.asarray(np.asarray(self.noise, float) * spread)

    @property
    def _contrast(self) -> Array:
        weights = np.concatenate(
            [np.full(self.before, -1 / self.before), np.full(self.after, 1 / self.after)]
        )
        lags = np.correlate(weights, weights, "full")[weights.size - 1 :]
        lags[1:] *= 2
        psi = np.asarray(self.autocorrelation, float)[..., None]
        contrast: Array = np.asarray(np.sum(psi ** np.arange(lags.size) * lags, axis=-1))
        return contrast

    @property
    def _dof(self) -> Array:
        # The few converted stores govern how well the noise among them is known.
        stores = np.asarray(self.treated, float) + np.asarray(self.controls, float)
        return np.asarray(np.maximum(stores - 2, 1))

    def power(self, effect: ArrayLike, size: float = 0.05) -> Array:
        """Probability that a two-sided test at ``size`` finds a true ``effect``, in [0, 1]."""
        cut = stdtrit(self._dof, 1 - size / 2)
        shift = np.abs(np.asarray(effect, float)) / self.stderr
        return np.asarray(stdtr(self._dof, shift - cut) + stdtr(self._dof, -shift - cut))

    def least_effect(self, power: float = 0.8, size: float = 0.05) -> Array:
        """Smallest true effect found with probability ``power``: the minimum detectable effect.

        (t_{1-size/2} + t_{power}) standard errors, Bloom (1995).
        """
        reach = stdtrit(self._dof, 1 - size / 2) + stdtrit(self._dof, power)
        return np.asarray(reach * self.stderr)


def least_effect_from(placebos: ArrayLike, power: float = 0.8, size: float = 0.05) -> float:
    """Smallest detectable effect, judged by an estimator's errors where nothing happened.

    The critical value is the placebos' own quantile of absolute errors, so heavy tails and common
    shocks count as they are; the effect is what lifts the share ``power`` of placebos over it.

    Parameters
    ----------
    placebos : effects found on placebo conversions, shape (placebos,).

    Examples
    --------
    >>> round(least_effect_from(np.linspace(-1, 1, 2001)), 2)
    1.55
    """
    errors = np.asarray(placebos, float)
    cut = float(np.quantile(np.abs(errors), 1 - size))
    return cut - float(np.quantile(errors, 1 - power))


@dataclass(frozen=True, kw_only=True)
class Noise:
    """How a store's outcome moves around its own level and the common movement.

    Parameters
    ----------
    deviation : standard deviation in one period
    autocorrelation : between neighbouring periods
    reliability : share of the variance between stores in one period that lasts. [rho]
    """

    deviation: float
    autocorrelation: float
    reliability: float


def noise_of(panel: Panel) -> Noise:
    """Noise of a panel's unconverted stores, by moments.

    The moments are set equal to their expectations under AR(1) noise with every store's and every
    period's mean estimated, so that short panels do not understate the autocorrelation.

    Raises
    ------
    ValueError
        Fewer than four periods or three unconverted units.
    NotConverged
        If no autocorrelation in (-0.99, 0.99) fits: the outcome trends or does not move.
    """
    paths = panel.control_paths
    units, periods = paths.shape
    if periods < 4 or units < 3:
        raise ValueError(
            f"noise_of: {units} unconverted units and {periods} periods; at least 3 and 4 are wanted"
        )
    level = paths.mean(axis=1, keepdims=True)
    rest = paths - level - paths.mean(axis=0) + paths.mean()
    own = float((rest**2).sum()) / (units - 1)
    lagged = float((rest[:, 1:] * rest[:, :-1]).sum()) / (units - 1)

    def miss(psi: float) -> float:
        square, product = _moments(psi, periods)
        return float(product * own - lagged * square)

    psi = numerics.root(miss, -0.99, 0.99, what="noise_of")
    variance = own / _moments(psi, periods)[0]
    deviation = float(np.sqrt(variance))
    # The levels' own variance holds what the noise leaves in a mean over the periods.
    left = variance - own / periods
    between = max(float(level.var(ddof=1)) - left, 0.0)
    return Noise(
        deviation=deviation, autocorrelation=psi, reliability=between / (between + variance)
    )


def _moments(psi: float, periods: int) -> tuple[float, float]:
    """Expected sums of squares and of neighbours' products of a demeaned AR(1) of unit variance."""
    lags = np.abs(np.subtract.outer(np.arange(periods), np.arange(periods)))
    covariance = psi**lags
    centred = (
        covariance - covariance.mean(axis=0) - covariance.mean(axis=1)[:, None] + covariance.mean()
    )
    return float(np.trace(centred)), float(np.trace(centred, offset=1))


@dataclass(frozen=True, kw_only=True)
class Picked:
    """Stores picked for how they did in one noisy period, with no effect at all.

    Parameters
    ----------
    picked_share : share of stores picked, the worst first, in (0, 1). [a]
    reliability : share of the variance between stores that lasts, in [0, 1]. [rho]

    Examples
    --------
    The worst fifth, half of the differences lasting:

    >>> round(float(Picked(picked_share=0.2, reliability=0.5).spurious_lift), 4)
    0.6999
    """

    picked_share: ArrayLike
    reliability: ArrayLike

    def __post_init__(self) -> None:
        require(self, picked_share="(0, 1)", reliability="[0, 1]")

    @property
    def spurious_lift(self) -> Array:
        """Lift to be seen without any effect, in standard deviations of one period across stores.

        (1 - rho) phi(z) / a with z = Phi^-1(1 - a), for normal outcomes.
        """
        share = np.asarray(self.picked_share, float)
        cut = ndtri(1 - share)
        density = np.exp(-cut * cut / 2) / np.sqrt(2 * np.pi)
        return np.asarray((1 - np.asarray(self.reliability, float)) * density / share)

    def spurious_share(self, variation: ArrayLike) -> Array:
        """The lift as a share of the picked stores' own level in that period.

        Parameters
        ----------
        variation : standard deviation across stores over their mean, > 0
        """
        share = np.asarray(self.picked_share, float)
        cut = ndtri(1 - share)
        depth = np.exp(-cut * cut / 2) / np.sqrt(2 * np.pi) / share * np.asarray(variation, float)
        return np.asarray(
            self.spurious_lift * np.asarray(variation, float) / np.maximum(1 - depth, 1e-9)
        )


@dataclass(frozen=True, kw_only=True)
class BeforeAfter:
    """What multiplies a store's before-after ratio although the new format does nothing.

    Parameters
    ----------
    season : ratio of the season's level after to before, > 0
    trend : common growth over the same stores in between, as a ratio, > 0
    publicity : lift of footfall in the opening week that press and crowds bring, as a share, >= 0
    publicity_weeks : weeks in which that lift falls by e, > 0
    weeks : weeks in the "after" window, > 0
    picked_lift : regression to the mean of stores picked for conversion, as a share, > -1
    enlarged : ratio of selling space and assortment after to before, > 0

    Examples
    --------
    >>> ratio = BeforeAfter(season=1.2, trend=1.05, publicity=0.8, publicity_weeks=4, weeks=9,
    ...                     picked_lift=0.1, enlarged=1.0)
    >>> round(float(ratio.without_effect), 3), round(float(ratio.effect(2.0)), 3)
    (1.827, 0.095)
    """

    season: ArrayLike
    trend: ArrayLike
    publicity: ArrayLike
    publicity_weeks: ArrayLike
    weeks: ArrayLike
    picked_lift: ArrayLike = 0.0
    enlarged: ArrayLike = 1.0

    def __post_init__(self) -> None:
        require(
            self,
            season="(0, inf)",
            trend="(0, inf)",
            publicity="[0, inf)",
            publicity_weeks="(0, inf)",
            weeks="(0, inf)",
            picked_lift="(-1, inf)",
            enlarged="(0, inf)",
        )

    @property
    def novelty(self) -> Array:
        """Mean opening lift over the window, as a ratio: 1 + lift tau (1 - e^(-w/tau)) / w."""
        tau, weeks = np.asarray(self.publicity_weeks, float), np.asarray(self.weeks, float)
        return np.asarray(
            1 - np.asarray(self.publicity, float) * tau * np.expm1(-weeks / tau) / weeks
        )

    @property
    def without_effect(self) -> Array:
        """The ratio that would be seen if the format changed nothing."""
        return np.asarray(
            np.asarray(self.season, float)
            * self.trend
            * self.novelty
            * (1 + np.asarray(self.picked_lift, float))
            * self.enlarged
        )

    def effect(self, ratio: ArrayLike) -> Array:
        """The lasting effect that an observed ``ratio`` leaves, as a share; negative if none is left."""
        return np.asarray(np.asarray(ratio, float) / self.without_effect - 1)

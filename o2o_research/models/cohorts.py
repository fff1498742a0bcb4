"""What a customer is worth, by the way he was acquired: with a deal, or at full price.

Purchases (``BGNBD``) and spend (``GammaGamma``) make the lifetime value of a cohort, and with
it the most that acquiring one customer may cost. Two cohorts are fitted apart, never pooled:
pooled, each borrows the other's habits and the difference asked for is averaged away.

Sources
-------
Fader, Hardie & Lee (2005), RFM and CLV: Using Iso-Value Curves for Customer Base Analysis,
Journal of Marketing Research 42(4), 415-430: value as margin x spend x discounted expected
purchases, and the correlation of spend and frequency to look at first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from o2o_research.domain import require
from o2o_research.models.customers import (
    BGNBD,
    GammaGamma,
    Number,
    check_histories,
    check_spend,
    fit_bgnbd,
    fit_gamma_gamma,
    plain,
)
from o2o_research.models.likelihood import Estimate, LikelihoodRatio, estimate, likelihood_ratio
from o2o_research.models.numerics import Array, Fit, NotConverged


@dataclass(frozen=True, kw_only=True)
class Cohort:
    """Customers acquired one way: how they buy, what they spend, what of it remains.

    Parameters
    ----------
    purchases : BGNBD
        Their purchases after the acquiring one.
    spend : GammaGamma
        Their spend per purchase, yuan.
    margin_share : float or ndarray
        Share of spend that remains as contribution, in [0, 1].
    discount_rate : float or ndarray
        Per unit of time of ``purchases``: money at time s counts (1 + d)^-s, >= 0. [d]
        Ten per cent a year is ``1.1 ** (1 / 52) - 1`` a week.
    horizon : float or ndarray
        How far ahead value is counted, same unit of time, > 0.

    Raises
    ------
    ValueError
        If margin, discount rate or horizon lies outside its domain.

    Examples
    --------
    Two years of CDNOW customers at a margin of 30 %, and what acquiring one may cost when
    the deal itself loses 5:

    >>> cohort = Cohort(
    ...     purchases=BGNBD(r=0.243, alpha=4.414, a=0.793, b=2.426),
    ...     spend=GammaGamma(p=6.25, q=3.74, gamma=15.44),
    ...     margin_share=0.3, discount_rate=1.1 ** (1 / 52) - 1, horizon=104,
    ... )
    >>> print(f"{cohort.lifetime_value:.1f}")
    21.6
    >>> print(f"{cohort.acquisition_ceiling(first_contribution=-5):.1f}")
    16.6
    """

    purchases: BGNBD
    spend: GammaGamma
    margin_share: Number
    discount_rate: Number
    horizon: Number

    def __post_init__(self) -> None:
        require(self, margin_share="[0, 1]", discount_rate="[0, inf)", horizon="(0, inf)")

    @property
    def lifetime_value(self) -> Array:
        """Contribution of a new customer's purchases after the acquiring one, discounted, yuan."""
        bought = self.purchases.discounted_purchases(self.horizon, self.discount_rate)
        return plain(self.margin_share * self.spend.mean * bought)

    def acquisition_ceiling(self, first_contribution: Number = 0.0) -> Array:
        """Most that acquiring a customer may cost, yuan; below it he pays within the horizon.

        Parameters
        ----------
        first_contribution : contribution of the acquiring purchase, yuan; negative when a deal
            is sold below its cost. It counts once and undiscounted.
        """
        return plain(first_contribution + self.lifetime_value)

    def residual_value(
        self, frequency: ArrayLike, recency: ArrayLike, T: ArrayLike, monetary: ArrayLike
    ) -> Array:
        """Contribution still to come from customers with these histories, discounted, yuan each.

        Parameters
        ----------
        frequency, recency, T : as in ``BGNBD.expected_purchases``
        monetary : mean spend of the repeat purchases, yuan; ignored where there are none
        """
        bought = self.purchases.discounted_purchases(
            self.horizon, self.discount_rate, frequency, recency, T
        )
        spend = self.spend.expected_spend(frequency, monetary)
        return plain(self.margin_share * spend * bought)


@dataclass(frozen=True, kw_only=True)
class Histories:
    """Purchase histories of a group of customers, one entry a customer.

    Parameters
    ----------
    frequency : ndarray, shape (customers,)
        Repeat purchases, the acquiring one excepted; whole numbers >= 0.
    recency : ndarray, shape (customers,)
        Time of the last purchase since the first; 0 without a repeat, else in (0, T].
    T : ndarray, shape (customers,)
        Time observed since the first purchase, >= 0.
    monetary : ndarray, shape (customers,)
        Mean spend of the repeat purchases, yuan, > 0; ignored where there are none. The
        acquiring purchase, a voucher perhaps, does not belong in it.

    Raises
    ------
    ValueError
        If the histories contradict themselves: names the rule and the first bad row.
    """

    frequency: ArrayLike
    recency: ArrayLike
    T: ArrayLike
    monetary: ArrayLike

    def __post_init__(self) -> None:
        check_histories("Histories", self.frequency, self.recency, self.T, None)
        check_spend("Histories", self.frequency, self.monetary, None)

    def __add__(self, other: Histories) -> Histories:
        """Both groups as one."""
        return Histories(
            frequency=np.concatenate([self.frequency, other.frequency]),
            recency=np.concatenate([self.recency, other.recency]),
            T=np.concatenate([self.T, other.T]),
            monetary=np.concatenate([self.monetary, other.monetary]),
        )


class CohortFit(NamedTuple):
    """The two fits of one cohort; independent, because spend is independent of frequency."""

    purchases: Fit[BGNBD]
    spend: Fit[GammaGamma]


def fit_cohort(histories: Histories, what: str = "cohort") -> CohortFit:
    """BG/NBD and Gamma-Gamma of one group of customers.

    Raises
    ------
    NotConverged
        As the two fits do; ``what`` says whose.
    """
    h = histories
    try:
        return CohortFit(
            fit_bgnbd(h.frequency, h.recency, h.T), fit_gamma_gamma(h.frequency, h.monetary)
        )
    except NotConverged as problem:
        raise NotConverged(f"{what}: {problem}") from problem


class CohortValue(NamedTuple):
    """What is compared between cohorts, each number with its interval."""

    repeat_share: Estimate
    ticket: Estimate
    lifetime_value: Estimate


class CohortComparison(NamedTuple):
    """Two cohorts fitted apart; ``difference`` is deal less full price."""

    deal: CohortValue
    full_price: CohortValue
    difference: CohortValue
    one_purchase_law: LikelihoodRatio
    one_spend_law: LikelihoodRatio
    deal_fit: CohortFit
    full_price_fit: CohortFit


def compare_cohorts(
    deal: Histories,
    full_price: Histories,
    *,
    repeat_within: float,
    margin_share: float,
    discount_rate: float,
    horizon: float,
    rng: np.random.Generator,
    draws: int = 1000,
    level: float = 0.9,
) -> CohortComparison:
    """Do customers won with a deal return, spend and pay like those who came at full price?

    Each cohort is fitted on its own; intervals come from draws of both. The pooled fit serves
    the likelihood-ratio tests alone: small p-values say that the cohorts do not share one law.
    A difference is one of selection and of treatment together; it is not the deal's effect on
    a given customer.

    Parameters
    ----------
    deal, full_price : histories, in one unit of time
    repeat_within : the repeat share is that of customers who buy again within this time
    margin_share, discount_rate, horizon : as in ``Cohort``
    draws, level : as in ``estimate``

    Raises
    ------
    NotConverged
        If a cohort is too small for its own law; says which.
    """

    def values(purchases: BGNBD, spend: GammaGamma) -> Array:
        cohort = Cohort(
            purchases=purchases, spend=spend,
            margin_share=margin_share, discount_rate=discount_rate, horizon=horizon,
        )  # fmt: skip
        parts = (purchases.repeat_share(repeat_within), spend.mean, cohort.lifetime_value)
        return np.concatenate([np.atleast_1d(part) for part in parts], axis=-1)

    def difference(
        bought: BGNBD, spent: GammaGamma, bought_full: BGNBD, spent_full: GammaGamma
    ) -> Array:
        return values(bought, spent) - values(bought_full, spent_full)

    def with_interval(quantity: Callable[..., Array], *fits: Fit[Any]) -> CohortValue:
        found = estimate(quantity, *fits, rng=rng, draws=draws, level=level)
        return CohortValue(*(Estimate(*map(float, one)) for one in zip(*found, strict=True)))

    deal_fit, full_fit = (
        fit_cohort(deal, "deal cohort"),
        fit_cohort(full_price, "full-price cohort"),
    )
    pooled = fit_cohort(deal + full_price, "both cohorts")
    return CohortComparison(
        deal=with_interval(values, *deal_fit),
        full_price=with_interval(values, *full_fit),
        difference=with_interval(difference, *deal_fit, *full_fit),
        one_purchase_law=likelihood_ratio(pooled.purchases, deal_fit.purchases, full_fit.purchases),
        one_spend_law=likelihood_ratio(pooled.spend, deal_fit.spend, full_fit.spend),
        deal_fit=deal_fit,
        full_price_fit=full_fit,
    )


class Correlation(NamedTuple):
    """A correlation with its interval, and the p-value of there being none."""

    value: float
    low: float
    high: float
    p_value: float
    n: int


def spend_frequency_correlation(
    frequency: ArrayLike, monetary: ArrayLike, level: float = 0.9
) -> Correlation:
    """Correlation of repeat purchases and their mean spend over customers with a repeat.

    The Gamma-Gamma model takes spend to be independent of frequency: look at this first. The
    interval is Fisher's z with a jackknife standard error, which stays right for counts and
    money, where a few customers can carry the correlation; the textbook 1 / sqrt(n - 3) wants
    normal data. Ranks would not do: means of few purchases are more skewed, so that ranks
    are correlated even where the mean is not.

    Parameters
    ----------
    frequency : ndarray, shape (customers,)
        Repeat purchases; customers with none are left out.
    monetary : ndarray, shape (customers,)
        Their mean spend, yuan.
    level : coverage of the interval

    Raises
    ------
    ValueError
        If fewer than three customers bought again, or all of them alike.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> found = spend_frequency_correlation(rng.poisson(4, 1000), rng.gamma(3, 20, 1000))
    >>> bool(found.low < 0 < found.high)
    True
    """
    x, m, _ = check_spend("spend_frequency_correlation", frequency, monetary, None)
    x, m = x[x > 0], m[x > 0]
    if x.size < 3 or not (np.ptp(x) > 0 and np.ptp(m) > 0):
        raise ValueError(
            "spend_frequency_correlation: wants three customers with a repeat, and frequency and "
            f"spend that vary among them; got {x.size} customers"
        )
    n, dx, dm = x.size, x - x.mean(), m - m.mean()
    xx, mm, xm = dx @ dx, dm @ dm, dx @ dm
    value = float(xm / np.sqrt(xx * mm))
    # Sums without customer i lose n / (n - 1) of his share, since the means move too.
    lost = n / (n - 1)
    without = (xm - lost * dx * dm) / np.sqrt((xx - lost * dx**2) * (mm - lost * dm**2))
    error = float(np.std(np.arctanh(without)) * np.sqrt(n - 1))
    z, width = np.arctanh(value), float(stats.norm.ppf(0.5 + level / 2))
    low, high = np.tanh([z - width * error, z + width * error])
    p_value = 2 * float(stats.norm.sf(abs(z) / error))
    return Correlation(value, float(low), float(high), p_value, n)

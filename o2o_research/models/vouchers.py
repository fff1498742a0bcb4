"""What a group-buying campaign earns, when some of its users would have come anyway.

Three kinds of people buy a voucher. Regulars would have come at list price. Newcomers
would pay the list price and did not know the restaurant. Deal-prone guests value the
meal below its list price: they come for the voucher and back only for the next one.
Advertising (newcomers) and price discrimination (deal-prone guests) are the two ways in
which vouchers can pay, after Edelman, Jaffe & Kominers (2016); what regulars, breakage
and the site's cut do to them is the accounting that Dholakia (2010, 2011) asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from scipy import special, stats

from o2o_research.domain import require
from o2o_research.models.channels import smallest_share
from o2o_research.models.numerics import Array, maximise_each


def discounted_visits(retention_share: float | Array, patience: float | Array) -> float | Array:
    """Expected later visits of a guest who returns, each discounted: b / (1 - b k).

    The first comes one period after the voucher, each leads to another with probability k.

    Parameters
    ----------
    retention_share : float
        Probability that a visit is followed by another, in [0, 1]. [k]
    patience : float
        Discount factor from one visit to the next, in [0, 1). [b]

    Examples
    --------
    >>> round(discounted_visits(0.75, 0.8), 9)
    2.0
    """
    return patience / (1.0 - patience * retention_share)


@dataclass(frozen=True, kw_only=True)
class Voucher:
    """A meal sold through a group-buying site, at a depth that is still open.

    Parameters
    ----------
    price : float
        List price of the meal, yuan, > 0. [p]
    variable_cost_share : float
        Variable cost as a share of the list price, in [0, 1); c = v p. [v]
    site_share : float
        Share of the price paid that the site keeps, in [0, 1). [s]
    redeemed_share : float
        Share of the vouchers sold that are used, in (0, 1]. [u]
    breakage_kept_share : float
        Share of its receipts that the restaurant keeps on a voucher never used: 1 where
        it is paid on sale, 0 where the buyer is refunded. In [0, 1]. [b]
    spend_beyond : float
        What a newcomer spends beyond the voucher, yuan a visit at list price, >= 0. [x]
    return_share : float
        Share of newcomers who come back at list price, in [0, 1]. [q]
    later_visits : float
        Discounted later visits at list price of one who comes back, >= 0. [m]
    displaced_share : float
        Full-price guests turned away per new guest seated, in [0, 1). [h]
    reference_loss : float
        Later margin lost on a regular who dines on a voucher, yuan per yuan of discount,
        >= 0: the fall of the reference price is proportional to the discount. [g]

    Raises
    ------
    ValueError
        A parameter outside its domain.

    Examples
    --------
    >>> meal = Voucher(price=100, variable_cost_share=0.4, site_share=0.1, redeemed_share=0.8,
    ...                breakage_kept_share=0, spend_beyond=20, return_share=0.5,
    ...                later_visits=2, displaced_share=0.1, reference_loss=0.2)
    >>> meal.receipts(0.5), meal.lifetime_value
    (45.0, 120.0)
    """

    price: float | Array
    variable_cost_share: float | Array
    site_share: float | Array
    redeemed_share: float | Array
    breakage_kept_share: float | Array
    spend_beyond: float | Array
    return_share: float | Array
    later_visits: float | Array
    displaced_share: float | Array
    reference_loss: float | Array

    def __post_init__(self) -> None:
        require(
            self,
            price="(0, inf)",
            variable_cost_share="[0, 1)",
            site_share="[0, 1)",
            redeemed_share="(0, 1]",
            breakage_kept_share="[0, 1]",
            spend_beyond="[0, inf)",
            return_share="[0, 1]",
            later_visits="[0, inf)",
            displaced_share="[0, 1)",
            reference_loss="[0, inf)",
        )

    @property
    def margin(self) -> float | Array:
        """Contribution of the meal at list price, yuan: p - c."""
        return self.price * (1.0 - self.variable_cost_share)

    @property
    def lifetime_value(self) -> float | Array:
        """Margin of all later visits of a guest who comes back, yuan: m (p - c)."""
        return self.later_visits * self.margin

    def receipts(self, depth: float | Array) -> float | Array:
        """What the restaurant gets for a voucher, yuan: r = p (1 - d)(1 - s)."""
        return self.price * (1.0 - depth) * (1.0 - self.site_share)


@dataclass(frozen=True, kw_only=True)
class Deal:
    """A campaign as it ran: a voucher, its depth, and who bought it.

    Parameters
    ----------
    voucher : Voucher
    depth : float
        Share of the list price given away, in [0, 1]. [d]
    regulars, newcomers, deal_prone : float
        Vouchers sold to each kind of buyer, >= 0. [R, A, B]

    Raises
    ------
    ValueError
        A parameter outside its domain.

    Examples
    --------
    A hundred vouchers at half price; the campaign loses once regulars exceed 35 %:

    >>> meal = Voucher(price=100, variable_cost_share=0.4, site_share=0.1, redeemed_share=0.8,
    ...                breakage_kept_share=0, spend_beyond=20, return_share=0.5,
    ...                later_visits=2, displaced_share=0.1, reference_loss=0.2)
    >>> deal = Deal(voucher=meal, depth=0.5, regulars=20, newcomers=40, deal_prone=40)
    >>> round(deal.profit, 2), round(float(deal.break_even_regulars), 3)
    (1200.0, 0.35)
    """

    voucher: Voucher
    depth: float | Array
    regulars: float | Array
    newcomers: float | Array
    deal_prone: float | Array

    def __post_init__(self) -> None:
        require(
            self,
            depth="[0, 1]",
            regulars="[0, inf)",
            newcomers="[0, inf)",
            deal_prone="[0, inf)",
        )

    @property
    def sold(self) -> float | Array:
        """Vouchers sold: R + A + B."""
        return self.regulars + self.new

    @property
    def new(self) -> float | Array:
        """Vouchers sold to guests who would not have come: A + B."""
        return self.newcomers + self.deal_prone

    @property
    def terms(self) -> dict[str, float | Array]:
        """The profit identity term by term, yuan over the campaign, against no campaign.

        Gains: ``meals`` u (r - c)(A + B), which turns negative where receipts fall below
        variable cost; ``spend_beyond`` u x (1 - v) A; ``returns`` u q m (p - c) A;
        ``breakage`` (1 - u) b r (R + A + B). Losses: ``regulars`` -u (p - r) R (those who
        leave the voucher unused come at list price as ever); ``displaced``
        -u h (p - c)(A + B); ``reference_price`` -u g p d R.
        """
        v = self.voucher
        used, receipts = v.redeemed_share, v.receipts(self.depth)
        kept = (1.0 - used) * v.breakage_kept_share * receipts
        return {
            "meals": used * (receipts - v.price * v.variable_cost_share) * self.new,
            "spend_beyond": used * v.spend_beyond * (1.0 - v.variable_cost_share) * self.newcomers,
            "returns": used * v.return_share * v.lifetime_value * self.newcomers,
            "breakage": kept * self.sold,
            "regulars": -used * (v.price - receipts) * self.regulars,
            "displaced": -used * v.displaced_share * v.margin * self.new,
            "reference_price": -used * v.reference_loss * v.price * self.depth * self.regulars,
        }

    @property
    def profit(self) -> float | Array:
        """Sum of the terms, yuan."""
        total: float | Array = sum(self.terms.values())
        return total

    @property
    def profit_per_voucher(self) -> float | Array:
        """Profit of a voucher sold, yuan; 0 where none is sold."""
        return _per(self.profit, self.sold)

    @property
    def regulars_share(self) -> float | Array:
        """Share of regulars among the buyers; 0 where none buys."""
        return _per(self.regulars, self.sold)

    @property
    def newcomers_share(self) -> float | Array:
        """Share of newcomers among the new buyers, who alone may come back; 0 without any."""
        return _per(self.newcomers, self.new)

    @property
    def return_share(self) -> float | Array:
        """Share of the new guests who come back at list price."""
        return self.voucher.return_share * self.newcomers_share

    @property
    def new_guest_ticket(self) -> float | Array:
        """What a new guest spends on the voucher's visit, yuan: p (1 - d) + x A / (A + B)."""
        v = self.voucher
        return v.price * (1.0 - self.depth) + v.spend_beyond * self.newcomers_share

    @property
    def break_even_regulars(self) -> float | Array:
        """Share of regulars among the buyers above which the campaign loses.

        With G the gain on a new buyer of the present mix and L the loss on a regular it is
        G / (G + L). G + L, what a new guest is worth more than a regular, is always
        positive: u ((1 - h)(p - c) + g p d + y), y the later worth of a new guest. 0 where
        the campaign loses without regulars, 1 where it gains with nobody else.
        """
        gain = replace(self, regulars=0.0).profit_per_voucher
        loss = -replace(self, regulars=1.0, newcomers=0.0, deal_prone=0.0).profit
        return np.clip(_per(gain, gain + loss), 0.0, 1.0)[()]

    @property
    def break_even_return(self) -> float | Array:
        """Return share of newcomers above which the campaign gains.

        0 where it gains though nobody comes back, inf where it loses though all do.
        """
        v = self.voucher
        without = self.profit - self.terms["returns"]
        return smallest_share(-without, v.redeemed_share * v.lifetime_value * self.newcomers)


@dataclass(frozen=True, kw_only=True)
class Campaign:
    """A voucher put before the people a site reaches, who decide by its depth.

    A buyer needs a depth of his own before he bothers. Those who would pay the list price
    need it for the trouble, the deal-prone because they value the meal below its list
    price; both need it so that a share d^elasticity buys at depth d. Nobody buys at depth
    0, everybody takes a free meal; an elasticity of 1 among the deal-prone is linear
    demand, in general it is the demand with a constant pass-through of Bulow & Pfleiderer
    (1983). The deal-prone have the higher elasticity: shallow deals serve regulars.

    Parameters
    ----------
    voucher : Voucher
    reach : float
        People on the site who would take the meal for nothing, > 0. [n]
    full_price_share : float
        Share of them who value the meal at its list price or above, in [0, 1]. [f]
    known_share : float
        Share of these who know the restaurant: its regulars, in [0, 1]. [a]
    full_price_elasticity, deal_prone_elasticity : float
        Elasticity of buying with respect to depth, > 0. [e, E]

    Raises
    ------
    ValueError
        A parameter outside its domain.

    Examples
    --------
    >>> meal = Voucher(price=100, variable_cost_share=0.4, site_share=0.1, redeemed_share=0.8,
    ...                breakage_kept_share=0, spend_beyond=20, return_share=0.5,
    ...                later_visits=2, displaced_share=0.1, reference_loss=0.2)
    >>> campaign = Campaign(voucher=meal, reach=1000, full_price_share=0.3, known_share=0.3,
    ...                     full_price_elasticity=0.5, deal_prone_elasticity=2)
    >>> round(float(campaign.best_depth), 3), round(campaign.profit(0.5))
    (0.294, 4985)
    """

    voucher: Voucher
    reach: float | Array
    full_price_share: float | Array
    known_share: float | Array
    full_price_elasticity: float | Array
    deal_prone_elasticity: float | Array

    def __post_init__(self) -> None:
        require(
            self,
            reach="(0, inf)",
            full_price_share="[0, 1]",
            known_share="[0, 1]",
            full_price_elasticity="(0, inf)",
            deal_prone_elasticity="(0, inf)",
        )

    def at(self, depth: float | Array) -> Deal:
        """The campaign run at ``depth`` in [0, 1].

        R = n f a d^e, A = n f (1 - a) d^e, B = n (1 - f) d^E.
        """
        full_price = self.reach * self.full_price_share * depth**self.full_price_elasticity
        return Deal(
            voucher=self.voucher,
            depth=depth,
            regulars=full_price * self.known_share,
            newcomers=full_price * (1.0 - self.known_share),
            deal_prone=self.reach
            * (1.0 - self.full_price_share)
            * depth**self.deal_prone_elasticity,
        )

    def profit(self, depth: float | Array) -> float | Array:
        """Profit of the campaign at ``depth``, yuan; exactly 0 at depth 0."""
        return self.at(depth).profit

    @property
    def best_depth(self) -> float | Array:
        """The most profitable depth of each draw; exactly 0 where every discount loses."""
        market = [value for name, value in vars(self).items() if name != "voucher"]
        shape = np.broadcast_shapes(*(np.shape(v) for v in [*market, *vars(self.voucher).values()]))

        def curve(depth: Array) -> Array:
            return np.asarray(self.profit(depth))

        return maximise_each(curve, 0.0, 1.0, shape, what="best voucher depth")[()]

    def repeats(
        self, depth: float | Array, times: int, renewal_share: float | Array = 0.0
    ) -> Iterator[Deal]:
        """The same campaign ``times`` times over: retention and ticket fall by selection.

        A newcomer who redeems and comes back is a regular from then on; one who does not
        has found the meal not worth its list price and is deal-prone to this restaurant.
        So every campaign uses up newcomers, who alone come back and spend beyond the
        voucher, and meets more regulars and more deal-prone guests. No rate of decay is
        assumed: without renewal newcomers fall by 1 - u d^e each time.

        Parameters
        ----------
        depth : float
            In [0, 1].
        times : int
            Campaigns.
        renewal_share : float
            Share of the people reached who are replaced between two campaigns by others of
            the first mix, in [0, 1]: 1 makes every campaign the first.
        """
        regulars = start_regulars = np.asarray(self.full_price_share * self.known_share)
        newcomers = start_newcomers = np.asarray(self.full_price_share - start_regulars)
        tries = self.voucher.redeemed_share * depth**self.full_price_elasticity
        for _ in range(times):
            full_price = np.minimum(regulars + newcomers, 1.0)
            known = np.minimum(regulars / np.where(full_price > 0, full_price, 1.0), 1.0)
            yield replace(self, full_price_share=full_price[()], known_share=known[()]).at(depth)
            regulars = regulars + self.voucher.return_share * tries * newcomers
            newcomers = (1.0 - tries) * newcomers
            regulars = (1.0 - renewal_share) * regulars + renewal_share * start_regulars
            newcomers = (1.0 - renewal_share) * newcomers + renewal_share * start_newcomers


@dataclass(frozen=True, kw_only=True)
class Beta:
    """A share that differs between restaurants: Beta with this mean and deviation.

    Parameters
    ----------
    mean : float or ndarray
        In (0, 1).
    sd : float or ndarray
        Standard deviation, >= 0, below sqrt(mean (1 - mean)); 0 is the same for all.
    """

    mean: float | Array
    sd: float | Array

    def __post_init__(self) -> None:
        require(self, mean="(0, 1)", sd="[0, 0.5)")
        mean, sd = np.broadcast_arrays(self.mean, self.sd)
        wide = sd**2 >= mean * (1.0 - mean)
        if wide.any():
            raise ValueError(
                f"Beta: sd={sd[wide][0]:g} must lie below sqrt(mean (1 - mean)) "
                f"for mean={mean[wide][0]:g}"
            )

    def ppf(self, level: Array) -> Array:
        """Quantile at ``level``, which broadcasts against mean and deviation."""
        same = np.asarray(self.sd) == 0
        size = self.mean * (1.0 - self.mean) / np.where(same, 0.25, self.sd) ** 2 - 1.0
        size = np.where(same, 1.0, size)
        quantile = special.betaincinv(self.mean * size, (1.0 - self.mean) * size, level)
        return np.where(same, self.mean, quantile)


@dataclass(frozen=True, kw_only=True)
class LogNormal:
    """A positive amount that differs between restaurants, with this mean and deviation.

    Parameters
    ----------
    mean : float
        > 0.
    sd : float
        Standard deviation, >= 0.
    """

    mean: float
    sd: float

    def __post_init__(self) -> None:
        require(self, mean="(0, inf)", sd="[0, inf)")

    def ppf(self, level: Array) -> Array:
        """Quantile at ``level``."""
        if self.sd == 0:
            return np.full(np.shape(level), self.mean)
        spread = np.sqrt(np.log1p((self.sd / self.mean) ** 2))
        return np.asarray(self.mean * np.exp(spread * special.ndtri(level) - spread**2 / 2.0))


@dataclass(frozen=True, kw_only=True)
class Population:
    """Restaurants that ran a deal: how their parameters are spread, each independent.

    The means of ``regulars_share``, ``newcomers_share``, ``return_share`` and
    ``redeemed_share`` are Dholakia's (2011): about 80 % new customers, 35.9 % spending
    beyond the voucher, 19.9 % returning at full price, 21.7 % never redeemed. Spending
    beyond and returning are read as two marks of one kind of guest, the newcomer, whose
    return share is then .199 / .359: across firms the two move together (Dholakia 2010:
    31 of 50 % in profitable firms, 13 of 25 % in unprofitable ones). ``site_share`` is
    between his 42.5 and 45 % (2012). All else, and every deviation, is assumed.

    Parameters
    ----------
    regulars_share : Beta
        Share of regulars among the buyers.
    newcomers_share : Beta
        Share of newcomers among the new buyers.
    return_share, redeemed_share, site_share, variable_cost_share, displaced_share : Beta
    depth : Beta
    spend_beyond : LogNormal
        In multiples of the list price.
    later_visits, reference_loss : LogNormal
    breakage_kept_share : float
    price : float
        Yuan; whether a deal gains does not depend on it.

    Examples
    --------
    >>> deals = Population().draw(1000, np.random.default_rng(1))
    >>> deals.profit_per_voucher.shape
    (1000,)
    """

    regulars_share: Beta = Beta(mean=0.20, sd=0.12)
    newcomers_share: Beta = Beta(mean=0.359, sd=0.20)
    return_share: Beta = Beta(mean=0.554, sd=0.15)
    redeemed_share: Beta = Beta(mean=0.783, sd=0.10)
    site_share: Beta = Beta(mean=0.44, sd=0.06)
    depth: Beta = Beta(mean=0.50, sd=0.07)
    variable_cost_share: Beta = Beta(mean=0.35, sd=0.10)
    spend_beyond: LogNormal = LogNormal(mean=0.50, sd=0.25)
    later_visits: LogNormal = LogNormal(mean=3.0, sd=2.0)
    displaced_share: Beta = Beta(mean=0.10, sd=0.08)
    reference_loss: LogNormal = LogNormal(mean=0.20, sd=0.20)
    breakage_kept_share: float = 1.0
    price: float = 100.0

    def __post_init__(self) -> None:
        require(self, breakage_kept_share="[0, 1]", price="(0, inf)")

    @property
    def spreads(self) -> dict[str, Beta | LogNormal]:
        """The parameters that differ between restaurants, by name."""
        return {k: v for k, v in vars(self).items() if isinstance(v, Beta | LogNormal)}

    def draw(self, n: int, rng: np.random.Generator) -> Deal:
        """``n`` deals, one voucher sold in each: every number of shape (n,).

        A spread given as an array, shape (k, 1), makes it (k, n), with the same draws in each row.
        """
        return self._deal({name: s.ppf(rng.random(n)) for name, s in self.spreads.items()})

    def _deal(self, values: Mapping[str, Array]) -> Deal:
        money = {k: v for k, v in values.items() if k in {f.name for f in fields(Voucher)}}
        money["spend_beyond"] = self.price * values["spend_beyond"]
        new = 1.0 - values["regulars_share"]
        return Deal(
            voucher=Voucher(
                price=self.price, breakage_kept_share=self.breakage_kept_share, **money
            ),
            depth=values["depth"],
            regulars=values["regulars_share"],
            newcomers=new * values["newcomers_share"],
            deal_prone=new * (1.0 - values["newcomers_share"]),
        )

    def separators(self, n: int, rng: np.random.Generator) -> Separators:
        """Which parameters separate gainers from losers: Sobol indices of "it gains".

        Parameters
        ----------
        n : int
            A power of 2; the deal is evaluated n (k + 2) times for k parameters.
        """
        names = list(self.spreads)

        def gains(x: Array) -> Array:
            deal = self._deal(dict(zip(names, x, strict=True)))
            return np.asarray(np.asarray(deal.profit) > 0, float)

        dists: Any = list(self.spreads.values())
        result = stats.sobol_indices(func=gains, n=n, dists=dists, rng=rng)
        return Separators(
            first_order=dict(zip(names, map(float, result.first_order), strict=True)),
            total_order=dict(zip(names, map(float, result.total_order), strict=True)),
        )


@dataclass(frozen=True, kw_only=True)
class Separators:
    """Shares of the variance of "it gains", by parameter (Saltelli et al. 2010).

    Parameters
    ----------
    first_order : what a parameter explains alone, in [0, 1] up to sampling error
    total_order : what it explains alone and together with others
    """

    first_order: Mapping[str, float]
    total_order: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Proportion:
    """A share of a sample with its interval.

    Parameters
    ----------
    share, low, high : float
        In [0, 1].
    """

    share: float
    low: float
    high: float


def proportion(successes: int, n: int, level: float = 0.95) -> Proportion:
    """Sample share with Wilson's (1927) score interval.

    Examples
    --------
    Dholakia (2011), 180 of 324 firms made money:

    >>> p = proportion(180, 324)
    >>> round(p.share, 3), round(p.low, 3), round(p.high, 3)
    (0.556, 0.501, 0.609)

    Raises
    ------
    ValueError
        Unless 0 <= successes <= n and n > 0.
    """
    if not 0 <= successes <= n or n == 0:
        raise ValueError(f"proportion: successes={successes} must lie in [0, n] with n={n} > 0")
    z = float(special.ndtri(0.5 + level / 2.0))
    share = successes / n
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return Proportion(share=share, low=float(middle - half), high=float(middle + half))


def gaining_share(profit: Array, level: float = 0.95) -> Proportion:
    """Share of deals with a profit above 0, with the sampling interval of so many deals.

    With as many draws as a survey has firms, the interval is the survey's own.
    """
    gains = np.asarray(profit) > 0
    return proportion(int(gains.sum()), gains.size, level)


def _per(amount: float | Array, number: float | Array) -> float | Array:
    some = np.asarray(number) > 0
    return np.where(some, np.divide(amount, np.where(some, number, 1.0)), 0.0)[()]

"""What the phones notebook asks of models and data together."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from o2o_research.data.phones import read_choices, read_sales
from o2o_research.models.allocation import Response, Split, best_split
from o2o_research.models.choice import (
    ChannelChoice,
    Choices,
    Crowd,
    NestedLogit,
    fit_logit,
    fit_nested_logit,
)
from o2o_research.models.diffusion.bass import Bass
from o2o_research.models.diffusion.competing import crowded_market
from o2o_research.models.diffusion.countries import CountryLaunches
from o2o_research.models.diffusion.fitting import MarketUnknown, fit_bass
from o2o_research.models.diffusion.scarce import (
    CurvePosterior,
    CurvePrior,
    ScarceData,
    curve_posterior,
)
from o2o_research.models.diffusion.scoring import Score, score_forecasts
from o2o_research.models.diffusion.supply import FlashSales, fit_flash_sales
from o2o_research.models.likelihood import Estimate
from o2o_research.models.numerics import Array, Fit, NotConverged, crossing
from o2o_research.models.pricing import Bundles, Tariff, Travellers, correlated_worths
from o2o_research.models.siting import Siting, crow_distances, rank_size_cities
from o2o_research.terms import Language

CHANNELS = ("online", "carrier_store", "retail_chain")


def _row(value: Any) -> Array:
    """Draws as a column, to meet a row of choices."""
    return np.asarray(value, float)[..., np.newaxis]


def _draw(value: Any, draw: int) -> float:
    return float(np.ravel(value)[draw]) if np.ndim(value) else float(value)


# --- Two numbers ----------------------------------------------------------------------


def curves(p: Any, rng: np.random.Generator, *, life: bool) -> CurvePosterior:
    """Curves that the article's two numbers leave possible, with the product's life or without."""
    prior = CurvePrior(
        innovation=p.prior_innovation, imitation=p.prior_imitation, pace_spread=p.prior_pace,
        market_limit=_draw(p.phones_a_year, 0),
    )  # fmt: skip
    known = ScarceData(
        sold=p.honor_units, time=p.honor_months / 12, sold_spread=p.units_error,
        life=p.product_life if life else None, life_spread=p.life_error,
    )  # fmt: skip
    return curve_posterior(prior, known, rng)


def knowing_more(posterior: CurvePosterior, month: float, by: float, error: float) -> Estimate:
    """Lifetime sales once the total by ``month``, beside that by ``by``, is known to ``error``.

    What is not known yet is taken to be its median: how far would the interval close?
    """
    ratio = np.ravel(posterior.curves.cumulative(month / 12) / posterior.curves.cumulative(by / 12))
    weight = np.exp(-0.5 * (np.log(ratio / np.median(ratio)) / error) ** 2)
    market = np.ravel(posterior.curves.market)
    order = np.argsort(market)
    below = np.cumsum(weight[order]) / weight.sum()
    low, middle, high = np.interp([0.05, 0.5, 0.95], below, market[order])
    return Estimate(float(middle), float(low), float(high))


def narrowed(found: Mapping[str, Any]) -> dict[str, Array]:
    """Findings with intervals as arrays that charts read: the value, then both ends as draws."""
    return {
        key: np.r_[each.value, np.repeat([each.low, each.high], 50)] for key, each in found.items()
    }


def monthly_sales(posterior: CurvePosterior, months: ArrayLike, most: int = 600) -> Array:
    """Units a month, shape (months, draws + 1), the median first."""
    end = np.asarray(months, float)
    sold = np.asarray(posterior.curves.sales(end / 12, 1 / 12))[:most].T
    return np.column_stack([np.median(sold, axis=1), sold])


class Flash(NamedTuple):
    """A phone sold under stock, seen by one who knows the stock and by one who does not.

    demand, sold : units a month, shape (months,); truth, naive, fitted : markets;
    hidden : share of the demand that found nothing left in months that sold out
    """

    demand: Array
    sold: Array
    truth: float
    naive: float
    fitted: float
    hidden: float


def flash_sales(p: Any, posterior: CurvePosterior, months: int, rng: np.random.Generator) -> Flash:
    """The median curve sold under a constant stock, and what fits make of its sales.

    In thousands of phones: people one by one are more than the noise of a month needs.
    """
    market = float(np.median(posterior.curves.market)) / 1000
    a_month = {
        "innovation": float(np.median(posterior.curves.innovation)) / 12,
        "imitation": float(np.median(posterior.curves.imitation)) / 12,
    }
    giving_up = _draw(p.giving_up_share, 0)
    phone = FlashSales(market=market, giving_up_share=giving_up, **a_month)
    stock = np.full(months, p.stock_a_month / 1000)
    path = phone.simulate(stock, rng)
    # A month that sold nearly all it had may have turned buyers away.
    out = path.sold >= stock
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MarketUnknown)
        naive = fit_bass(path.sold).model.market
    fitted = fit_flash_sales(path.sold, stock, giving_up_share=giving_up).model.market
    turned = (path.demand - path.sold)[out].clip(min=0).sum()
    hidden = float(turned / path.demand[out].sum()) if out.any() else 0.0
    return Flash(
        1000 * path.demand, 1000 * path.sold, 1000 * market, 1000 * float(naive),
        1000 * float(fitted), hidden,
    )  # fmt: skip


# --- Crowding and channels ------------------------------------------------------------


def online_share(p: Any) -> Array:
    """Share of a year's online prospects who buy the brand, at the pace of the first months."""
    prospects = p.phones_a_year * (1 - p.store_bound_share)
    return np.asarray(p.honor_units * 12 / p.honor_months / prospects)


def crowd(p: Any, taste: Taste) -> Crowd:
    """The online brands of today, the brand and its rivals alike."""
    return Crowd(
        brands=p.online_rivals + 1, price=p.online_price, share=online_share(p),
        taste_spread=taste.spread, dissimilarity=p.brand_dissimilarity,
    )  # fmt: skip


def crowd_profit(p: Any, now: Crowd, rivals: ArrayLike) -> Array:
    """Contribution of a brand that sells online alone, less its fixed cost, yuan a year.

    Shape (len(rivals), draws + 1).
    """
    prospects = p.phones_a_year * (1 - p.store_bound_share)
    brands = np.asarray(rivals, float)[:, np.newaxis] + 1
    return np.asarray(now.at(brands).profit * prospects - p.brand_fixed_cost)


def rivals_limit(p: Any, now: Crowd) -> Array:
    """Rivals at which selling online alone no longer earns its fixed cost, shape (draws + 1,)."""
    counts = np.arange(0.0, 61.0)
    return np.asarray(crossing(counts, crowd_profit(p, now, counts)))


def lateness(p: Any, rivals: int, months: ArrayLike, draws: int, horizon: float = 3.0) -> Array:
    """A brand's sales of ``horizon`` years when it comes late, over those of coming on time.

    Shape (len(months), draws + 1). The rivals start together; the pace of the market follows
    the published coefficients, sped up so that the product's life is what is stated.
    """
    late = np.asarray(months, float) / 12
    innovation, imitation = float(p.prior_innovation), float(p.prior_imitation)
    usual = Bass(market=1.0, innovation=innovation, imitation=imitation)
    # A category's coefficients, on the clock of generations of phones.
    speed = float(usual.time_to(0.95)) / (2.0 * float(p.product_life))
    rows = []
    for draw in range(draws + 1):
        loyalty = _draw(p.brand_loyalty, draw)
        own = []
        for delay in (0.0, *late):
            market = crowded_market(
                1.0, np.full(rivals + 1, speed * innovation / (rivals + 1)),
                imitation=speed * imitation, loyalty_share=loyalty,
                entries=np.r_[np.zeros(rivals), delay],
            )  # fmt: skip
            own.append(market.cumulative([horizon])[-1, 0])
        rows.append(np.array(own[1:]) / own[0])
    return np.array(rows).T


class Taste(NamedTuple):
    """What moves buyers between channels, yuan; arrays of draws, the estimate first.

    source : ``taste_assumed`` or ``taste_fitted``; n : choices it rests on; fitted : which of
    the four came of the log; nesting : how alike the channels are to each other, where it told
    """

    spread: Any
    waiting: Any
    trial: Any
    service: Any
    dissimilarity: Any
    source: str
    n: int
    fitted: tuple[str, ...]
    nesting: Nesting | None = None


class Nesting(NamedTuple):
    """Whether what has a price is closer to each other than to going without.

    dissimilarity : 1 where everything is alike far from everything else, as in the multinomial
    logit; stderr : of it, by person; chance : of an estimate so far from 1 where 1 is true
    """

    dissimilarity: float
    stderr: float
    chance: float


def assumed_taste(p: Any) -> Taste:
    return Taste(
        p.unseen_spread, p.waiting_cost, p.trial_worth, p.service_worth, p.channel_dissimilarity,
        "taste_assumed", 0, (),
    )  # fmt: skip


def _nested(choices: Choices) -> Fit[NestedLogit] | None:
    """All that has a price in one group, beside what never has one (to choose none), or None.

    None where the log holds no such alternative, or is silent about the group.
    """
    price = choices.attributes[:, :, choices.names.index("price")]
    group = np.where(np.any(price != 0, axis=0), 0, 1)
    if np.count_nonzero(group == 0) < 2 or not np.any(group == 1):
        return None
    group[group == 1] = np.arange(1, np.count_nonzero(group == 1) + 1)
    try:
        return fit_nested_logit(choices, group)
    except NotConverged:
        return None


def taste_of(choices: str, p: Any, draws: int, rng: np.random.Generator) -> Taste:
    """Tastes estimated from a log of choices, in yuan; what it does not hold stays assumed.

    The log's attributes ``price``, ``waiting``, ``trial`` and ``service`` are read by name; any
    others are taken along, so that they bias nothing. Every alternative but the first has a
    constant of its own, as far as the log tells it. Where one can choose none, whether the rest
    is a group is estimated along: a nested logit, tested against the multinomial by Wald's
    statistic and not by the ratio of likelihoods, which takes choices of one person for those of
    many.

    Raises
    ------
    DataError
        The log is not what the choices table promises, or holds no ``price``.
    """
    log = read_choices(choices)
    seen = Choices(
        attributes=log.attributes,
        chosen=log.chosen,
        names=log.names,
        available=log.available,
        person=log.person,
    )
    nested = _nested(seen)
    fit = nested or fit_logit(seen)
    model, covariance = fit.model, fit.covariance
    assert covariance is not None
    estimate, nesting = model.coefficients, None
    if nested is not None:
        width, error = nested.model.nests.dissimilarity[0], nested.stderr["dissimilarity_0"]
        estimate = np.r_[estimate, width]
        nesting = Nesting(width, error, float(2 * stats.norm.sf(abs(width - 1) / error)))
    drawn = np.vstack([estimate, rng.multivariate_normal(estimate, covariance, draws)])
    at = {name: drawn[:, k] for k, name in enumerate(model.names)}
    # A price that attracts in a draw has no worth in yuan: those draws are near minus infinity.
    weight = np.minimum(at["price"], 0.05 * model["price"])
    assumed = assumed_taste(p)
    found = {"waiting": -1.0, "trial": 1.0, "service": 1.0}
    told = {
        name: np.maximum(sign * at[name] / -weight, 0.0)
        for name, sign in found.items()
        if name in at
    }
    return Taste(
        spread=-1.0 / weight,
        waiting=told.get("waiting", assumed.waiting),
        trial=told.get("trial", assumed.trial),
        service=told.get("service", assumed.service),
        # Above 1 no population maximises its utility: the channels are then apart, no more.
        dissimilarity=assumed.dissimilarity if nested is None else np.clip(drawn[:, -1], 0.05, 1.0),
        source="taste_fitted",
        n=fit.n,
        fitted=("price", *told),
        nesting=nesting,
    )


def channels(
    p: Any,
    taste: Taste,
    *,
    coverage: Any = None,
    integrated: bool = False,
) -> ChannelChoice:
    """The phone online, at the carrier and at the retail chain, for a year's phone buyers.

    What the phone is worth is read off the online share that the article's pace implies.
    With ``integrated`` service every channel gives the trial and the after-sales of the best.
    """
    size = np.shape(p.phones_a_year)
    spread = np.broadcast_to(taste.spread, size) if size else taste.spread
    zero = np.zeros(size)
    price = p.online_price + zero
    share = online_share(p)
    worth = price + taste.waiting * p.waiting_days - taste.service * 0.2
    worth = worth + np.log(share / (1 - share)) * spread
    trial = np.array([1.0, 1.0, 1.0]) if integrated else np.array([0.0, 0.5, 1.0])
    service = np.array([1.0, 1.0, 1.0]) if integrated else np.array([0.2, 0.6, 1.0])
    return ChannelChoice(
        worth=worth, taste_spread=spread, waiting_cost=taste.waiting, trial_worth=taste.trial,
        service_worth=taste.service, dissimilarity=taste.dissimilarity,
        coverage_share=p.coverage_share if coverage is None else coverage,
        store_bound_share=p.store_bound_share,
        price=np.stack([price, price + p.carrier_premium, price + p.retail_premium], axis=-1),
        waiting=np.stack([p.waiting_days + zero, zero, zero], axis=-1), trial=trial, service=service,
        handicap=np.stack([zero, p.shelf_handicap + zero, p.shelf_handicap + zero], axis=-1),
    )  # fmt: skip


def margins(p: Any, markup: Any, rebate: ArrayLike | None = None) -> Array:
    """Yuan that a phone leaves in each channel: markup and premium less the channel's rebate.

    ``rebate`` stands for those of both kinds of store where it is given; shape (..., draws + 1).
    """
    carrier = p.carrier_rebate if rebate is None else rebate
    retail = p.retail_rebate if rebate is None else rebate
    zero = np.zeros(np.broadcast(markup, carrier, retail).shape)
    return np.stack(
        [
            markup + zero,
            markup + p.carrier_premium - carrier + zero,
            markup + p.retail_premium - retail + zero,
        ],
        axis=-1,
    )


def mean_rebate(p: Any, here: ChannelChoice) -> Array:
    """Rebate of a phone sold in a store, yuan, over both kinds of store."""
    sold = here.shares()
    paid = sold[..., 1] * p.carrier_rebate + sold[..., 2] * p.retail_rebate
    return np.asarray(paid / sold[..., 1:].sum(axis=-1))


def network_gain(p: Any, here: ChannelChoice, markup: Any) -> Array:
    """What the stores add to a year's contribution, after their cost, yuan."""
    return np.asarray(here.network_gain(margins(p, markup)) * p.phones_a_year - p.network_cost)


def network_gain_by_coverage(p: Any, taste: Taste, markup: Any, covers: ArrayLike) -> Array:
    """``network_gain`` over the share of prospects with a store in reach, (covers, draws + 1).

    The network's cost grows with the people that it reaches.
    """
    rows = []
    for cover in np.asarray(covers, float):
        here = channels(p, taste, coverage=cover)
        gain = here.network_gain(margins(p, markup)) * p.phones_a_year
        rows.append(gain - p.network_cost * cover / p.coverage_share)
    return np.array(rows)


def network_gain_by_rebate(p: Any, here: ChannelChoice, markup: Any, rebates: ArrayLike) -> Array:
    """``network_gain`` where both kinds of store get one rebate a phone, (rebates, draws + 1)."""
    margin = margins(p, markup, np.asarray(rebates, float)[:, np.newaxis])
    return np.asarray(here.network_gain(margin) * p.phones_a_year - p.network_cost)


def network_plane(
    p: Any, taste: Taste, markup: Any, covers: ArrayLike, rebates: ArrayLike
) -> Array:
    """``network_gain`` at the stated values over coverage and rebate, (rebates, covers)."""
    margin = margins(p, markup, np.asarray(rebates, float)[:, np.newaxis])
    columns = []
    for cover in np.asarray(covers, float):
        gain = channels(p, taste, coverage=cover).network_gain(margin) * p.phones_a_year
        columns.append((gain - p.network_cost * cover / p.coverage_share)[:, 0])
    return np.array(columns).T


def channel_table(p: Any, here: ChannelChoice, markup: Any) -> pd.DataFrame:
    """Each channel at the stated values: share of all buyers of phones, units and yuan a phone."""
    shares, margin = here.shares()[0], margins(p, markup)[0]
    people = _draw(p.phones_a_year, 0)
    return pd.DataFrame(
        {
            "phone_channel": list(CHANNELS),
            "channel_price": np.ravel(here.price[0] if here.price.ndim > 1 else here.price),
            "channel_share": shares,
            "channel_units": shares * people,
            "channel_margin": margin,
        }
    )


# --- The market of 2015 ---------------------------------------------------------------


def market_paths(p: Any, draws: int, rng: np.random.Generator, years: ArrayLike) -> Array:
    """Yuan a year along diffusion curves with published coefficients, (years, draws + 1).

    ``years`` after 2013. The market is the base times the growth of adopters since, times the
    growth of what one spends. The first column has the published means.
    """
    prior = CurvePrior(innovation=p.prior_innovation, imitation=p.prior_imitation)
    logs = prior.draw(draws, rng)
    innovation = np.r_[p.prior_innovation, np.exp(logs[:, 0])]
    imitation = np.r_[p.prior_imitation, np.exp(logs[:, 1])]
    curve = Bass(market=1.0, innovation=innovation, imitation=imitation)
    ahead = np.asarray(years, float)[:, np.newaxis]
    grown = np.asarray(curve.cumulative(p.o2o_age + ahead)) / np.asarray(
        curve.cumulative(p.o2o_age)
    )
    return np.asarray(p.o2o_market_2013 * grown * (1 + p.spend_growth) ** ahead)


# --- A budget -------------------------------------------------------------------------

OUTLETS = ("online", "carrier_store", "retail_chain", "asia_shops", "europe_shops")


def outlets(p: Any) -> Response:
    """How each outlet's contribution answers to marketing spend."""
    return Response(
        ceiling=np.array(p.outlet_ceilings, float), half_spend=np.array(p.outlet_half_spends, float),
        shape=np.array(p.outlet_shapes, float), room=np.array(p.outlet_rooms, float),
    )  # fmt: skip


def first_budget(p: Any, outlet: str, budgets: ArrayLike) -> float:
    """The smallest of ``budgets`` at which the best split funds an outlet; inf if none does."""
    response, place = outlets(p), OUTLETS.index(outlet)
    for budget in np.asarray(budgets, float):
        if best_split(response, float(budget)).spend[place] > 1:
            return float(budget)
    return float("inf")


def split_table(response: Response, split: Split, even: Array) -> pd.DataFrame:
    """Best and even spend by outlet, and what the best one's last yuan earns there."""
    slope = response.slope(np.maximum(split.spend, 1e-9))
    return pd.DataFrame(
        {
            "outlet": list(OUTLETS),
            "spend_best_split": split.spend,
            "spend_even": even,
            "last_yuan": np.where(split.spend > 0, slope, 0.0),
            "room_value": split.room_values,
        }
    )


def even_spend(response: Response, budget: float) -> Array:
    """The budget in equal parts, what an outlet cannot take being left."""
    each = np.full(response.room.size, budget / response.room.size)
    return np.asarray(np.minimum(each, response.room))


def budgets_best(response: Response, budgets: ArrayLike) -> tuple[Array, Array]:
    """Profit of the best and of the even split over budgets. Shape (budgets,) each."""
    best, plain = [], []
    for budget in np.asarray(budgets, float):
        best.append(best_split(response, float(budget)).profit)
        spend = even_spend(response, float(budget))
        plain.append(float((response.gain(spend) - spend).sum()))
    return np.array(best), np.array(plain)


# --- Abroad ---------------------------------------------------------------------------


def abroad(
    p: Any, *, lift: Any = 1.0, rivals: Any = None, talk: Any = None, only: int | None = None
) -> CountryLaunches:
    """The countries, with a name that lifts innovation ``lift`` times; the first ``only`` of them.

    Numbers are draws in front, countries behind.
    """
    markets = np.array(p.abroad_markets, float)[:only]
    n = markets.size

    def each(value: Any) -> Array:
        return np.asarray(value, float)[..., np.newaxis] * np.ones(n)

    rate = p.rival_rate if rivals is None else rivals
    heard = p.cross_talk if talk is None else talk
    between = np.asarray(heard, float)[..., np.newaxis, np.newaxis] * (1 - np.eye(n)) / (n - 1)
    return CountryLaunches(
        markets=markets, innovation=each(p.abroad_innovation * lift), imitation=each(p.abroad_imitation),
        cross_border=between, margin=each(p.abroad_margin), launch_cost=each(p.launch_cost),
        running_cost=each(p.running_cost), rival_rate=each(rate), discount_rate=p.discount_rate,
        horizon=p.abroad_years,
    )  # fmt: skip


def launches(p: Any, gap_months: float) -> Array:
    """The shops there are at once, the other countries ``gap_months`` later. Shape (countries,)."""
    first = int(p.shops_abroad)
    later = np.full(len(p.abroad_markets) - first, gap_months / 12)
    return np.concatenate([np.zeros(first), later])


def waiting_gain(p: Any, gaps: ArrayLike) -> Array:
    """Value of the four first less that of all at once, yuan, (gaps, draws + 1)."""
    plan = abroad(p)
    once = plan.value(launches(p, 0.0))
    return np.array([plan.value(launches(p, float(gap))) - once for gap in np.asarray(gaps, float)])


ABROAD = (
    "abroad_margin", "abroad_innovation", "abroad_imitation", "cross_talk", "launch_cost",
    "running_cost", "rival_rate", "discount_rate",
)  # fmt: skip


def learning_gain(
    p: Any, *, talk: float | None = None, cost: ArrayLike | None = None, most: int = 400
) -> float | Array:
    """What four first, and the others later only if they pay, earns more than all at once, yuan.

    A mean over plausible worlds: the four shops show which one it is, and in those where the
    others would lose they are left alone. ``cost`` is that of entering a country; the answer
    has its shape.
    """
    worlds = SimpleNamespace(
        **{name: np.ravel(getattr(p, name))[1 : most + 1] for name in ABROAD if np.ndim(getattr(p, name))},
        **{name: getattr(p, name) for name in ABROAD if not np.ndim(getattr(p, name))},
        abroad_markets=p.abroad_markets, abroad_years=p.abroad_years, shops_abroad=p.shops_abroad,
    )  # fmt: skip
    if cost is not None:
        dearer = np.asarray(cost, float) / _draw(p.launch_cost, 0)
        worlds.launch_cost = worlds.launch_cost * dearer[..., np.newaxis]
    plan = abroad(
        worlds, talk=None if talk is None else worlds.cross_talk * (talk / _draw(p.cross_talk, 0))
    )
    later = np.asarray(plan.value(launches(p, _draw(p.launch_gap, 0))))
    never = np.asarray(plan.value(launches(p, 12.0 * p.abroad_years)))
    once = np.asarray(plan.value(launches(p, 0.0)))
    return np.asarray(np.maximum(later, never).mean(axis=-1) - once.mean(axis=-1))[()]


def learning_by_cost(p: Any, costs: ArrayLike) -> Array:
    """``learning_gain`` over the cost of entering a country, shape (costs,)."""
    return np.asarray(learning_gain(p, cost=costs))


def learning_plane(p: Any, talks: ArrayLike, costs: ArrayLike) -> Array:
    """``learning_gain`` over talk and cost, (costs, talks), from fewer worlds."""
    return np.stack(
        [learning_gain(p, talk=float(x), cost=costs, most=80) for x in np.asarray(talks, float)],
        axis=-1,
    )


def value_by_name(p: Any, lifts: ArrayLike) -> Array:
    """Value of all countries at once over the lift of the name, yuan, (lifts, draws + 1)."""
    return np.array(
        [abroad(p, lift=float(x)).value(launches(p, 0.0)) for x in np.asarray(lifts, float)]
    )


# --- Roaming and bundles --------------------------------------------------------------


def travellers(p: Any, draw: int = 0) -> Travellers:
    share = np.array(p.traveller_shares, float)
    return Travellers(
        share=share / share.sum(), first_worth=np.array(p.traveller_worths, float),
        slope=_draw(p.worth_slope, draw), cost=_draw(p.roaming_cost, draw),
    )  # fmt: skip


def roaming_profit(p: Any, draws: int, kind: str) -> Array:
    """Yuan a trip from the best ``menu``, ``two_part`` or ``linear`` tariff. Shape (draws + 1,)."""
    found = []
    for draw in range(draws + 1):
        trip = travellers(p, draw)
        if kind == "menu":
            found.append(trip.best_menu().profit)
        else:
            tariff = trip.best_two_part() if kind == "two_part" else trip.best_linear()
            found.append(trip.choose([tariff]).profit)
    return np.array(found)


def menu_table(trip: Travellers, block: Tariff) -> pd.DataFrame:
    """The best packages by type, and what each type does under one block tariff."""
    menu, use = trip.best_menu(), trip.choose([block])
    names = ["traveller_light", "traveller_middle", "traveller_heavy", "traveller_business"]
    return pd.DataFrame(
        {
            "traveller": names[: trip.share.size],
            "traveller_share": trip.share,
            "package_units": menu.quantity,
            "package_price": menu.payment,
            "package_rent": menu.rent,
            "block_use": use.quantity,
            "block_payment": use.payment,
        }
    )


def block_tariff(trip: Travellers) -> Tariff:
    """One block tariff: the middle type's package, and the linear price beyond it."""
    menu = trip.best_menu()
    middle = trip.share.size // 2
    fee = float(trip.worth(menu.quantity)[middle, middle])
    return Tariff(
        fee=0.85 * fee, allowance=float(menu.quantity[middle]), rate=trip.best_linear().rate
    )


def user_worths(
    p: Any, draw: int, buyers: int, rng: np.random.Generator, correlation: float | None = None
) -> Bundles:
    """Users' monthly worth of data, video and app rights, tied by one correlation."""
    rho = _draw(p.worth_correlation, draw) if correlation is None else correlation
    rho = max(rho, -0.45)  # below, three goods cannot all be tied alike
    spread = _draw(p.worth_spread, draw)
    laws = [
        stats.lognorm(spread, scale=_draw(value, draw)).ppf
        for value in (p.data_worth, p.video_worth, p.app_worth)
    ]
    matrix = np.full((3, 3), rho) + (1 - rho) * np.eye(3)
    cost = np.array([_draw(value, draw) for value in (p.data_cost, p.video_cost, p.app_cost)])
    return Bundles(worths=correlated_worths(laws, matrix, buyers, rng), cost=cost)


class Selling(NamedTuple):
    """Monthly profit of a user in reach, yuan, by way of selling; arrays of draws."""

    singles: Array
    whole: Array
    mixed: Array


def selling_ways(p: Any, draws: int, seed: int, buyers: int = 1024) -> Selling:
    """The three ways at the stated values and at ``draws`` plausible ones."""
    rows = []
    for draw in range(draws + 1):
        users = user_worths(p, draw, buyers, np.random.default_rng(seed))
        ways = users.best_singles(), users.best_whole(), users.best_mixed()
        # Prices are judged on other users than those they were found on.
        others = user_worths(p, draw, 4 * buyers, np.random.default_rng(seed + 1))
        rows.append([others.sales(prices).profit for prices in ways])
    return Selling(*np.array(rows).T)


def reach_flip(p: Any, selling: Selling, draws: int) -> Array:
    """Share of users who must consider the bundles for services to pay for their platform."""
    monthly = np.r_[selling.mixed[0], np.resize(selling.mixed[1:], draws)]
    roaming = roaming_profit(p, draws, "menu") * p.travelling_share * p.trips_a_year
    return np.asarray(np.maximum(p.service_cost_a_user - roaming, 0.0) / (12 * monthly))


def selling_by_correlation(p: Any, seed: int, rhos: ArrayLike, buyers: int = 1024) -> Selling:
    """The three ways over the correlation of worths, at the stated values."""
    rows = []
    for rho in np.asarray(rhos, float):
        users = user_worths(p, 0, buyers, np.random.default_rng(seed), float(rho))
        ways = users.best_singles(), users.best_whole(), users.best_mixed()
        others = user_worths(p, 0, 4 * buyers, np.random.default_rng(seed + 1), float(rho))
        rows.append([others.sales(prices).profit for prices in ways])
    return Selling(*np.array(rows).T)


SETS = ("data", "video", "data_video", "app", "data_app", "video_app", "all_three")


def bundle_table(users: Bundles, mixed: Array, singles: Array) -> pd.DataFrame:
    """Price and share of buyers of every set: mixed bundling against each good alone."""
    now, alone = users.sales(mixed), users.sales(singles)
    return pd.DataFrame(
        {
            "bundle_set": list(SETS),
            "set_price_mixed": mixed[1:],
            "set_share_mixed": now.shares[1:],
            "set_price_alone": singles[1:],
            "set_share_alone": alone.shares[1:],
        }
    )


# --- Service centres ------------------------------------------------------------------


@dataclass(frozen=True)
class Country:
    """A made-up country and the plans for its service centres."""

    siting: Siting
    places: Array


def country(p: Any, seed: int) -> Country:
    size, places = rank_size_cities(
        p.cities, 1.0, p.country_width, np.random.default_rng(seed), exponent=1.0
    )
    return Country(Siting(weight=size, distance=crow_distances(places, places)), places)


def plans_by_number(here: Country, numbers: ArrayLike, radius: float) -> tuple[Array, Array, Array]:
    """Mean distance, share covered and largest gap over the number of centres."""
    means, covered, gaps = [], [], []
    for number in np.asarray(numbers, int):
        median, cover = here.siting.median(int(number)), here.siting.cover(int(number), radius)
        means.append(median.value)
        covered.append(cover.value)
        gaps.append(max(median.gap, cover.gap))
    return np.array(means), np.array(covered), np.array(gaps)


# --- Own sales ------------------------------------------------------------------------

METHODS = {"bass": "bass_method", "naive": "naive_method", "drift": "drift_method"}


def sales_of(sales: str, posterior: CurvePosterior, rng: np.random.Generator) -> dict[str, Array]:
    """Series by brand from a sales log; without one, three simulated from the article's curves.

    Raises
    ------
    DataError
        The log is not what the sales table promises.
    """
    if sales:
        return {f"own:{each.brand}": each.units for each in read_sales(sales)[:8]}
    found = {}
    market, innovation, imitation = (
        np.ravel(each)
        for each in (
            posterior.curves.market,
            posterior.curves.innovation,
            posterior.curves.imitation,
        )
    )
    order = np.argsort(market)
    for number, place in enumerate((0.2, 0.5, 0.8), start=1):
        at = order[int(place * order.size)]
        one = Bass(
            market=float(market[at]) / 1000,
            innovation=float(innovation[at]) / 12,
            imitation=float(imitation[at]) / 12,
        )
        # A month's sales vary by more than people deciding one by one: a tenth.
        noise = np.exp(0.1 * rng.standard_normal(24) - 0.005)
        found[f"text:模拟 {number}¦simulated {number}"] = (
            1000 * np.asarray(one.sales(np.arange(1, 25))) * noise
        )
    return found


def fit_table(series: Mapping[str, Array]) -> pd.DataFrame:
    """Each whole series' curve: market with its interval, coefficients, whether the peak was seen."""
    rows = []
    for name, units in series.items():
        row: dict[str, Any] = {"series_brand": name, "periods_seen": float(units.size)}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MarketUnknown)
            try:
                fit = fit_bass(units)
            except NotConverged:
                gone = dict.fromkeys(
                    (
                        "curve_market",
                        "curve_low",
                        "curve_high",
                        "curve_innovation",
                        "curve_imitation",
                    ),
                    np.nan,
                )
                rows.append(row | gone | {"curve_peak": "peak_not_seen"})
                continue
            low, high = fit.market_interval()
        row |= {
            "curve_market": float(fit.model.market), "curve_low": low, "curve_high": high,
            "curve_innovation": float(fit.model.innovation),
            "curve_imitation": float(fit.model.imitation),
            "curve_peak": "peak_is_seen" if fit.peak_seen else "peak_not_seen",
        }  # fmt: skip
        rows.append(row)
    return pd.DataFrame(rows)


def scores_of(series: Mapping[str, Array], rng: np.random.Generator) -> list[Score]:
    """The curve, the last value and the drift from each first third, scored on the rest."""
    return score_forecasts(series, rng)


def score_table(scores: Sequence[Score]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "series_brand": [each.series for each in scores],
            "forecast_method": [METHODS[each.method] for each in scores],
            "periods_seen": [float(each.seen) for each in scores],
            "forecast_error": [each.error for each in scores],
            "against_naive": [each.against_naive for each in scores],
            "interval_cover": [each.covered_share for each in scores],
            "interval_width": [each.width for each in scores],
        }
    )


class Verdict(NamedTuple):
    """Median errors by method, share of series in which the curve wins, mean coverage."""

    bass: float
    naive: float
    drift: float
    wins: float
    cover: float


def score_summary(scores: Sequence[Score]) -> Verdict:
    def of(method: str) -> list[Score]:
        return [each for each in scores if each.method == method]

    bass, naive, drift = (
        float(np.median([each.error for each in of(name)])) for name in ("bass", "naive", "drift")
    )
    covered = [each.covered_share for each in of("bass") if np.isfinite(each.covered_share)]
    return Verdict(
        bass=bass, naive=naive, drift=drift,
        wins=float(np.mean([each.against_naive < 1 for each in of("bass")])),
        cover=float(np.mean(covered)) if covered else 0.0,
    )  # fmt: skip


class Ahead(NamedTuple):
    """What happened and what the first third forecast, from the first period forecast on.

    period : ndarray, shape (periods,); actual : the same; forecast : (periods, draws + 1)
    """

    period: Array
    actual: Array
    forecast: Array


def third_ahead(units: Array, rng: np.random.Generator, draws: int = 300) -> Ahead:
    """Forecast of a series from its first third; a curve that is not found forecasts its mean."""
    seen = max(5, round(units.size / 3))
    future = units.size - seen
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MarketUnknown)
        try:
            found = fit_bass(units[:seen]).forecast(future, rng, draws=draws)
            made = np.column_stack([found.sales, found.draws[:draws].T])
        except NotConverged:
            made = np.full((future, 2), units[:seen].mean())
    return Ahead(np.arange(seen + 1.0, units.size + 1.0), units[seen:], made)


# --- Notes ----------------------------------------------------------------------------


def sales_note(sales: str, language: Language) -> str:
    """One sentence that says what the fits and scores rest on."""
    if sales:
        return (
            "以下各序列来自所提供的销量数据，渠道与地区合并；拟合得出曲线，前三分之一用来预测、其余用来打分。"
            if language == "zh"
            else "The series come from the sales log, channels and countries added up. Curves are fitted to all of each, forecasts to its first third and scored on the rest."
        )
    return (
        "没有提供销量数据，这里用第一节的曲线模拟三条序列，只为演示打分方法；给出 `sales_log` 后换成自有品牌。"
        if language == "zh"
        else "No sales log is given: three series simulated from the curves of section 1 show how forecasts are scored. With `sales_log` they are your own brands."
    )


def taste_note(taste: Taste, language: Language) -> str:
    """One sentence that says what buyers' tastes rest on."""
    if taste.source == "taste_assumed":
        return (
            "没有提供选择数据，买家对价格、等待、试用与售后的看重程度均为假设；给出 `choices_log` 后，本节改由数据估计。"
            if language == "zh"
            else "No log of choices is given: what buyers make of price, waiting, trial and after-sales is assumed. With `choices_log` this section is estimated from it."
        )
    names: Mapping[str, tuple[str, str]] = {
        "price": ("价格", "price"), "waiting": ("等待", "waiting"), "trial": ("试用", "trial"),
        "service": ("售后", "after-sales"),
    }  # fmt: skip
    words = [names[key][0 if language == "zh" else 1] for key in taste.fitted]
    left = [names[key][0 if language == "zh" else 1] for key in names if key not in taste.fitted]
    if language == "zh":
        text = f"买家的看重程度由所提供的选择数据估计（{'、'.join(words)}），区间为抽样误差，按人聚类。"
        text += f"数据中没有{'、'.join(left)}，仍按假设处理。" if left else ""
        return text + _nesting_note(taste.nesting, language)
    text = f"What buyers make of {', '.join(words)} is estimated from the log of choices; intervals are its sampling error, clustered by person."
    text += f" The log tells nothing of {', '.join(left)}, which stay as assumed." if left else ""
    return text + _nesting_note(taste.nesting, language)


def _nesting_note(found: Nesting | None, language: Language) -> str:
    """What the log says of the channels' likeness; how the multinomial logit stands to it."""
    if found is None:
        return (
            "数据没有“都不选”一项，或说不清各渠道是否更相近，渠道之间的差异程度仍按假设。"
            if language == "zh"
            else " The log holds no choice of none, or does not tell whether channels are alike: their dissimilarity stays as assumed."
        )
    refuted = found.chance < 0.05
    if language == "zh":
        verdict = (
            "数据否定“各备选项互不相干”（等于 1）"
            if refuted
            else "数据不能否定“各备选项互不相干”（等于 1）"
        )
        return (
            f"渠道之间的差异程度也由数据估计，为 {found.dissimilarity:.2f}"
            f"（标准误 {found.stderr:.2f}）；{verdict}，检验的 p 值为 {found.chance:.3f}。"
        )
    verdict = "refutes" if refuted else "does not refute"
    return (
        f" The channels' dissimilarity is estimated along, {found.dissimilarity:.2f} (standard "
        f"error {found.stderr:.2f}): the log {verdict} that all alternatives are unrelated, "
        f"where it would be 1 (p = {found.chance:.3f})."
    )

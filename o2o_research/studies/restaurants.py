"""What the restaurants notebook asks of models and data together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from itertools import islice
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from o2o_research import data
from o2o_research.models.channels import Channel, DirectChannel, Order
from o2o_research.models.customers import BGNBD, GammaGamma, fit_bgnbd, fit_gamma_gamma
from o2o_research.models.likelihood import draw_models
from o2o_research.models.mix import ChannelDemand, Mix, Plan
from o2o_research.models.numerics import Array, Fit, NotConverged
from o2o_research.models.queueing import Delivery, TwoPeaks
from o2o_research.models.vouchers import Beta, Deal, Population, Proportion, gaining_share
from o2o_research.studies import stated
from o2o_research.terms import Language

# Fewer returning customers than this cannot tell four parameters apart.
LEAST_REPEATERS = 50
GROUPS = ("deal", "full_price")

# The Terms under which a report shows them.
SOURCES = {"assumed": "source_assumed", "fitted": "source_fitted", "too_few": "source_too_few"}
VOUCHER_TERMS = {
    "meals": "term_meals",
    "spend_beyond": "term_spend_beyond",
    "returns": "term_returns",
    "breakage": "term_breakage",
    "regulars": "term_regulars",
    "displaced": "term_displaced",
    "reference_price": "term_reference_price",
}


# Vouchers


def gaining(population: Population, n: int, rng: np.random.Generator) -> Proportion:
    """Share of ``n`` restaurants drawn from a population that gain, with its 90 % interval."""
    return gaining_share(np.asarray(population.draw(n, rng).profit), level=0.9)


def gaining_by_regulars(population: Population, means: ArrayLike, n: int, seed: int) -> Array:
    """Share that gain as the mean share of regulars among buyers moves. Shape of ``means``.

    Every mean sees the same draws, so the curve bends only for the regulars' sake.
    """
    mean = np.asarray(means, float)[:, np.newaxis]
    # As wide a spread as a share with this mean can have, narrower near its ends.
    sd = np.minimum(population.regulars_share.sd, 0.7 * np.sqrt(mean * (1 - mean)))
    moved = replace(population, regulars_share=Beta(mean=mean, sd=sd))
    profit = np.asarray(moved.draw(n, np.random.default_rng(seed)).profit)
    return np.asarray((profit > 0).mean(axis=1))


def first_below_zero(values: Array) -> Any:
    """Number, from one, of the first entry below zero along the first axis; inf where none is."""
    below = np.asarray(values) < 0
    return np.where(below.any(axis=0), 1.0 + below.argmax(axis=0), np.inf)


def cost_of_new_guest(deal: Deal) -> Any:
    """What a deal pays, net and on its day, for each new guest who comes, yuan.

    Everything but the later visits, over the vouchers that new guests redeem.
    """
    today = deal.profit - deal.terms["returns"]
    return -today / (deal.new * deal.voucher.redeemed_share)


# Guests


@dataclass(frozen=True, kw_only=True)
class Guests:
    """One group of guests: the law of their visits, what they spend, and where both come from.

    Parameters
    ----------
    visits : BGNBD
        Parameters are numbers or arrays of shape (draws + 1,), the stated or fitted value first.
    spend : float or ndarray
        Yuan a visit, likewise.
    source : str
        ``assumed``, ``fitted``, or ``too_few`` where a log holds too few to fit.
    customers, repeaters : int
        In the log; 0 where there is none.
    """

    visits: BGNBD
    spend: Any
    source: str
    customers: int = 0
    repeaters: int = 0

    @property
    def basis(self) -> Literal["sample", "assumptions"]:
        """What an interval about this group speaks of."""
        return "sample" if self.source == "fitted" else "assumptions"

    def repeat_share(self, weeks: ArrayLike) -> Array:
        """Share who return within ``weeks``; shape of ``weeks`` against the draws."""
        return self.visits.repeat_share(weeks)

    def value(self, margin_share: Any, weeks: Any, weekly_discount: float) -> Array:
        """Margin of the visits after the first within ``weeks``, discounted, yuan a guest."""
        visits = self.visits.discounted_purchases(weeks, 1 / weekly_discount - 1)
        return np.asarray(margin_share * self.spend * visits)

    def value_path(self, margin_share: Any, weeks: Array, weekly_discount: float) -> Array:
        """``value`` within each of ``weeks``, which increase. Shape (len(weeks), draws + 1)."""
        visits = self.visits.discounted_path(weeks, 1 / weekly_discount - 1)
        return np.asarray(margin_share * self.spend * visits)


def assumed_guests(p: Any) -> dict[str, Guests]:
    """Both groups as the parameters state them: return shares within a year fix the rates.

    1 - (alpha / (alpha + 52))^r = share gives r; scale and drop-out are those stated.
    """
    year = np.log1p(52 / p.rate_scale)
    rates = {"deal": p.deal_return_rate, "full_price": p.full_price_return_rate}
    return {
        group: Guests(
            visits=BGNBD(
                r=-np.log1p(-share) / year, alpha=p.rate_scale, a=p.drop_out_a, b=p.drop_out_b
            ),
            spend=p.ticket,
            source="assumed",
        )
        for group, share in rates.items()
    }


def guests_of(
    orders: str,
    deal_label: str,
    assumed: Mapping[str, Guests],
    draws: int,
    rng: np.random.Generator,
) -> dict[str, Guests]:
    """Both groups fitted from an order log; a group too small to fit stays as assumed.

    Parameters
    ----------
    orders : path of the log
    deal_label : ``first_visit`` (won by a deal if the first visit carried one) or
        ``first_quarter`` (deal-prone by the share of discounts in the first 13 weeks, which are
        then not counted as behaviour)

    Raises
    ------
    DataError
        The log is not what the orders table promises.
    """
    log = data.read_orders(orders)
    if deal_label == "first_quarter":
        log = data.labelled(log, data.deal_prone(log))
    summary = data.customer_summary(log)
    if (summary.acquisition == "unknown").all():
        # A log that never records discounts tells of guests as a whole.
        summary = summary.assign(acquisition="full_price")
    return {
        group: _fitted(summary[summary.acquisition == group], assumed[group], draws, rng)
        for group in GROUPS
    }


def _fitted(summary: pd.DataFrame, assumed: Guests, draws: int, rng: np.random.Generator) -> Guests:
    seen = {"customers": len(summary), "repeaters": int((summary.frequency > 0).sum())}
    too_few = Guests(visits=assumed.visits, spend=assumed.spend, source="too_few", **seen)
    if seen["repeaters"] < LEAST_REPEATERS:
        return too_few
    cells = data.cells(summary)
    spent = summary[(summary.frequency > 0) & (summary.monetary > 0)]
    histories = cells.frequency, cells.recency, cells["T"], cells["count"]
    try:
        try:
            visits = fit_bgnbd(*histories)
        except NotConverged:  # hardly anybody left: one drop-out probability for all
            visits = fit_bgnbd(*histories, b=1e6)
        spend: Fit[GammaGamma] = fit_gamma_gamma(spent.frequency, spent.monetary)
    except NotConverged:
        return too_few
    return Guests(
        visits=_with_draws(visits, draws, rng),
        spend=np.asarray(_with_draws(spend, draws, rng).mean),
        source="fitted",
        **seen,
    )


def _with_draws(fit: Fit[Any], draws: int, rng: np.random.Generator) -> Any:
    """The fitted model with its parameters as arrays: the estimate, then draws around it."""
    drawn = draw_models(fit, draws, rng)
    columns = {}
    for each in fields(fit.model):
        found, around = getattr(fit.model, each.name), getattr(drawn, each.name)
        columns[each.name] = np.r_[found, np.broadcast_to(np.ravel(around), draws)]
    return type(fit.model)(**columns)


def guest_table(guests: Mapping[str, Guests]) -> pd.DataFrame:
    """Both groups side by side: where their law comes from, and how many the log holds."""
    names = {"deal": "deal_guests", "full_price": "full_price_guests"}
    return pd.DataFrame(
        {
            "guest_group": [names[group] for group in guests],
            "guest_source": [SOURCES[each.source] for each in guests.values()],
            "guest_count": [float(each.customers) for each in guests.values()],
            "guest_repeaters": [float(each.repeaters) for each in guests.values()],
            "guest_spend": [float(np.ravel(each.spend)[0]) for each in guests.values()],
        }
    )


def guest_note(guests: Mapping[str, Guests], language: Language) -> str:
    """One sentence that says what the group laws rest on."""
    sources = {each.source for each in guests.values()}
    notes = {
        "assumed": (
            "没有提供订单数据，两组客人的光顾规律取自公开文献与假设；用 `--data` 给出订单数据后，本节改由数据估计。",
            "No order log is given: both laws rest on published figures and assumptions. With `--data` this section is estimated from your log.",
        ),
        "fitted": (
            "两组客人的光顾规律和消费额都由所提供的订单数据估计，区间反映抽样误差；金额单位以数据为准。",
            "Both laws and the spend are estimated from the log; intervals are sampling error, and amounts are in the log's own currency.",
        ),
        "mixed": (
            f"订单数据足以估计其中一组；另一组在数据中回头客不足 {LEAST_REPEATERS} 人或无法收敛，仍按假设处理，见上表。",
            f"The log is enough for one group; the other has fewer than {LEAST_REPEATERS} returning guests, or no fit, and stays as assumed: see the table.",
        ),
        "too_few": (
            f"订单数据中两组回头客都不足 {LEAST_REPEATERS} 人或无法收敛，两组仍按假设处理，见上表。",
            f"Neither group has {LEAST_REPEATERS} returning guests or a fit, and both stay as assumed: see the table.",
        ),
    }
    key = sources.pop() if len(sources) == 1 else "mixed"
    return notes[key][0 if language == "zh" else 1]


# Delivery


def courier_day(p: Any, draw: int = 0) -> Delivery:
    """Own couriers on a day with a lunch and a dinner peak, at one draw of the parameters."""

    def at(value: Any) -> float:
        return float(np.ravel(value)[draw]) if np.ndim(value) else float(value)

    peaks = TwoPeaks(
        opens=10.0, closes=21.0, lunch_hour=12.0, dinner_hour=18.5,
        lunch_share=at(p.lunch_share), spread=0.8,
    )  # fmt: skip
    return Delivery(
        mean_trip=at(p.round_trip) / 60,
        trip_variation=0.25,
        mean_ride=0.45 * at(p.round_trip) / 60,
        promise=at(p.promise_minutes) / 60,
        kept_share=at(p.promise_share),
        profile=peaks.profile,
        wage_rate=at(p.courier_wage),
        shift_lengths=(4.0, 8.0),
    )


def courier_costs(p: Any, orders: ArrayLike, draws: int) -> Array:
    """Cost of an order with own couriers, yuan. Shape (len(orders), draws + 1), stated first."""
    days = [courier_day(p, draw) for draw in range(draws + 1)]
    volumes = np.asarray(orders, float)
    return np.stack([day.cost_per_order(volumes) for day in days], axis=1)


def courier_cost_at(p: Any, orders: Any, costs: Array, volumes: ArrayLike) -> Array:
    """Cost of an order at ``orders`` a day, for every draw, read off the rows of ``costs``.

    ``orders`` broadcasts against the draws; between volumes the cost is a straight line.
    """
    volume = np.asarray(volumes, float)
    wanted = np.asarray(orders, float) + np.zeros(np.shape(p.ticket))
    column = np.arange(wanted.shape[-1]) % (costs.shape[1] - 1) + 1
    column[0] = 0
    below = np.clip(np.searchsorted(volume, wanted) - 1, 0, volume.size - 2)
    share = np.clip((wanted - volume[below]) / np.diff(volume)[below], 0.0, 1.0)
    return np.asarray((1.0 - share) * costs[below, column] + share * costs[below + 1, column])


class Saving(NamedTuple):
    """What a day with one courier less saves and costs.

    saving : yuan a day; late_share : of all orders; more_late_orders : a day
    """

    saving: float
    late_share: float
    more_late_orders: float


def day_with_one_less(p: Any, orders: float, hours: float = 4.0) -> Saving:
    """One courier fewer for the ``hours`` with the most orders, against the roster of the day."""
    day = courier_day(p)
    full = day.roster(orders)
    periods = round(hours / day.period)
    first = int(np.convolve(full.load, np.ones(periods), "valid").argmax())
    fewer = full.on_duty.copy()
    fewer[first : first + periods] -= 1
    late = [
        1 - float(np.asarray(day.promise_kept(full.load, couriers)) @ np.asarray(day.profile))
        for couriers in (full.on_duty, fewer)
    ]
    return Saving(day.wage_rate * hours, late[1], orders * (late[1] - late[0]))


# The direct channel


def direct_gain(
    p: Any, order: Order, platform: Channel, orders: Any, loyal_share: Any, ride_cost: Any
) -> Any:
    """What a direct channel earns a month above the platform alone, yuan, all stores together.

    Parameters
    ----------
    orders : delivery orders a day and store
    loyal_share : share of them whose guests would find the restaurant by themselves
    ride_cost : cost of an order of the own couriers, who carry the direct orders alone, yuan
    """
    own = Channel(
        incremental_share=p.direct_incremental_share, handling_cost=p.packaging_cost + ride_cost,
        diner_fee=p.delivery_fee, diner_fee_kept_share=1.0, monthly_cost=p.direct_monthly_cost,
    )  # fmt: skip
    return DirectChannel(
        order=order, platform=platform, direct=own, prospects=30 * p.stores * orders,
        loyal_share=loyal_share, leak_share=p.leak_share, set_up_cost=p.direct_set_up_cost,
    ).monthly_gain  # fmt: skip


def direct_by_orders(
    p: Any, order: Order, platform: Channel, orders: Array, costs: Array, volumes: ArrayLike
) -> Array:
    """``direct_gain`` over delivery orders a day. Shape (len(orders), draws + 1)."""
    day = orders[:, np.newaxis]
    ride = courier_cost_at(p, day * p.loyal_share * (1 - p.leak_share), costs, volumes)
    return np.asarray(direct_gain(p, order, platform, day, p.loyal_share, ride))


def direct_by_loyalty(
    p: Any, order: Order, platform: Channel, loyals: Array, costs: Array, volumes: ArrayLike
) -> Array:
    """``direct_gain`` over loyal shares. Shape (len(loyals), draws + 1)."""
    loyal = loyals[:, np.newaxis]
    ride = courier_cost_at(p, p.delivery_orders * loyal * (1 - p.leak_share), costs, volumes)
    return np.asarray(direct_gain(p, order, platform, p.delivery_orders, loyal, ride))


def direct_plane(
    p: Any,
    order: Order,
    platform: Channel,
    orders: Array,
    loyals: Array,
    costs: Array,
    volumes: ArrayLike,
) -> Array:
    """``direct_gain`` at the stated values, over both. Shape (len(loyals), len(orders))."""
    first = p.at_stated()
    carried = np.outer(loyals, orders) * (1 - first.leak_share)
    ride = np.interp(carried, np.asarray(volumes, float), costs[:, 0])
    return np.asarray(
        direct_gain(first, stated(order), stated(platform), orders[None, :], loyals[:, None], ride)
    )


# The mix

DAYS = np.array([5.0, 5.0, 2.0, 2.0])  # weekday lunches and dinners, weekend lunches and dinners
ONLINE = ("booking", "voucher", "platform_delivery", "direct_delivery")


def weekly_mix(p: Any, gains: Mapping[str, Any], draw: int = 0) -> Mix:
    """The week's program of one restaurant, at one draw of the parameters.

    Parameters
    ----------
    gains : by channel, what an order leaves net of those that would have come anyway, yuan;
        numbers or arrays of draws
    """

    def at(value: Any) -> float:
        return float(np.ravel(value)[draw]) if np.ndim(value) else float(value)

    guests = at(p.guests_per_order)
    seated = at(p.weekly_guests) * guests
    restored = at(p.goodwill_decay) / seated
    delivered = 7 * at(p.delivery_orders) * guests
    table, door = [0.30, 0.35, 0.15, 0.20], [0.40, 0.32, 0.15, 0.13]
    base = {"dine_in": seated, "platform_delivery": delivered}
    effect = {"voucher": -at(p.voucher_wear), "platform_delivery": 0.0, "direct_delivery": 0.5}

    def channel(name: str) -> ChannelDemand:
        away = name.endswith("delivery")
        return ChannelDemand(
            contribution=at(gains[name]) / guests,
            base_guests=base.get(name, 0.0),
            won_guests=at(p.promotion_guests),
            reference_spend=1000.0,
            spend_elasticity=at(p.spend_elasticity),
            goodwill_elasticity=at(p.goodwill_elasticity),
            goodwill_effect=restored * effect.get(name, 1.0),
            dishes=at(p.dishes_per_guest),
            places=0.0 if away else 1.0,
            daypart_shares=np.array(door if away else table),
        )

    return Mix(
        channels={name: channel(name) for name in ("dine_in", *ONLINE)},
        places=at(p.seats) * at(p.turns) * DAYS,
        dishes=at(p.kitchen_dishes) * DAYS,
        decay_rate=at(p.goodwill_decay),
    )


def balance_gain(p: Any, gains: Mapping[str, Any], draws: int) -> Array:
    """How much the best mix earns above the best of one online channel beside dine-in.

    As a share, shape (draws + 1,), stated first.
    """
    answer = []
    for draw in range(draws + 1):
        mix = weekly_mix(p, gains, draw)
        single = max(mix.only("dine_in", name).best().contribution for name in ONLINE)
        answer.append(mix.best().contribution / single - 1)
    return np.array(answer)


def plan_table(mix: Mix, plan: Plan, shortsighted: Plan) -> pd.DataFrame:
    """Guests a week and promotion by channel: the lasting best against the shortsighted week."""
    names = list(mix.channels)
    return pd.DataFrame(
        {
            "channel": names,
            "guests_best": plan.guests.sum(axis=1),
            "spend_best": plan.spend,
            "guests_shortsighted": shortsighted.guests.sum(axis=1),
            "spend_shortsighted": shortsighted.spend,
        }
    )


def scarcity_table(plan: Plan) -> pd.DataFrame:
    """What one more seat or dish is worth, by daypart."""
    return pd.DataFrame(
        {
            "daypart": ["weekday_lunch", "weekday_dinner", "weekend_lunch", "weekend_dinner"],
            "place_value": plan.place_values,
            "dish_value": plan.dish_values,
        }
    )


def frontier(mix: Mix, points: int = 15) -> tuple[Array, Array]:
    """Goodwill and the most that a week can earn while keeping it. Shape (points,) each."""
    best = mix.best().goodwill
    levels = np.linspace(0.55 * best, min(1.35 * best, 0.98 * mix.highest_goodwill), points)
    return levels, np.array([mix.hold(float(level)).contribution for level in levels])


def shortsighted_path(mix: Mix, weeks: int) -> tuple[Array, Array]:
    """Goodwill and contribution of an owner who looks at each week alone. Shape (weeks,) each."""
    plans = list(islice(mix.shortsighted_weeks(mix.best().goodwill), weeks))
    return np.array([plan.goodwill for plan in plans]), np.array(
        [plan.contribution for plan in plans]
    )

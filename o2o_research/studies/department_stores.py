"""What the department stores notebook asks of models and data together."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from o2o_research.errors import DataError
from o2o_research.models.diffusion.bass import Bass
from o2o_research.models.diffusion.fitting import DiffusionFit, MarketUnknown, fit_bass
from o2o_research.models.flows import Chain, chain_draws
from o2o_research.models.investment.cashflows import discounted, every_rate, npv
from o2o_research.models.investment.programme import Programme
from o2o_research.models.investment.staged import Staged
from o2o_research.models.investment.waiting import Opportunity, Perpetual
from o2o_research.models.members import (
    Paths,
    Recruits,
    active_members,
    fit_recruits,
    one_hazard,
    paths_of_events,
    paths_of_last_activity,
    recruits_draws,
)
from o2o_research.models.numerics import Array, Fit, NotConverged
from o2o_research.models.two_sided import Side, TwoSided
from o2o_research.terms import Language

if TYPE_CHECKING:
    from o2o_research.data.membership import MemberEvents, MemberLog, Weekly

# Days of a member's window, the month of this case.
WINDOW = 30.0
# How a member may have come, in the order of the article, and the Term of each.
TACTICS = {"gift": "by_gift", "store": "by_store", "friend": "by_friend"}
STATES = ("wechat", "mobile", "web", "store")
ENDS = ("counter", "online", "gone")
STRATEGIES = ("four_touchpoints", "wechat_alone")
# Fewer members, or fewer windows, say too little of hazards.
_LEAST_MEMBERS, _LEAST_WINDOWS, _LEAST_WEEKS = 200, 3, 6


def _at(value: Any, draw: int) -> float:
    """A parameter at one draw, 0 being the stated value."""
    row = np.atleast_1d(np.asarray(value, float))
    return float(row[draw if row.size > 1 else 0])


def _rows(value: Any, size: int) -> Array:
    return np.broadcast_to(np.asarray(value, float), (size,))


# --- Own data --------------------------------------------------------------------------


class Own(NamedTuple):
    """The company's own tables, None where not given."""

    log: MemberLog | None
    events: MemberEvents | None
    weekly: Weekly | None


def own_data(p: Any) -> Own:
    """The tables that the parameters name, read and checked.

    Raises
    ------
    DataError
        As their readers; events without the members who did them.
    """
    if p.member_events and not p.members:
        raise DataError("member_events: give members too, or nobody knows when each of them joined")
    if not (p.members or p.weekly):
        return Own(None, None, None)
    from o2o_research.data.membership import read_member_events, read_members, read_weekly

    log = read_members(p.members) if p.members else None
    events = None
    if log is not None and p.member_events:
        log, events = read_member_events(p.member_events, log)
    return Own(log, events, read_weekly(p.weekly) if p.weekly else None)


# --- Members: how many come, and what is left of them ----------------------------------


@dataclass(frozen=True)
class Membership:
    """Who joins, and who of them stays active, in windows of thirty days.

    Parameters
    ----------
    curve : Bass, a month; its parameters are arrays of draws, stated value first
    tactics : by gift, store, friend, with arrays of draws
    curve_fit : where the curve comes from a log
    tactic_fits : of those tactics that come from a log, by name
    alike : p-value of one hazard for all members of a tactic, where fitted
    """

    curve: Bass
    tactics: Mapping[str, Recruits]
    curve_fit: DiffusionFit[Bass] | None = None
    tactic_fits: Mapping[str, Fit[Recruits]] | None = None
    alike: Mapping[str, float] | None = None

    @property
    def fitted(self) -> tuple[str, ...]:
        """What rests on data: ``curve`` and names of tactics."""
        curve = () if self.curve_fit is None else ("curve",)
        return (*curve, *(self.tactic_fits or {}))

    @property
    def basis(self) -> str:
        """What intervals of hazards speak of."""
        return "sample" if self.tactic_fits else "assumptions"


def assumed_curve(p: Any) -> Bass:
    """Members by month: published coefficients run faster, and day one as an impulse."""
    pace = np.asarray(p.adoption_pace) / 12.0
    return Bass(
        market=p.potential_members,
        innovation=p.prior_innovation * pace,
        imitation=p.prior_imitation * pace,
        impulse_share=np.minimum(p.day_one_members / p.potential_members, 0.99),
    )


def assumed_tactics(p: Any) -> dict[str, Recruits]:
    """What becomes of members by how they came, as assumed."""
    return {
        name: Recruits.of_hazard(
            activation_share=getattr(p, f"{name}_activation"),
            first_hazard=getattr(p, f"{name}_hazard"),
            hazard_spread=p.hazard_spread,
            return_share=getattr(p, f"{name}_return"),
        )
        for name in TACTICS
    }


def membership(
    p: Any, draws: int, rng: np.random.Generator, log: MemberLog | None, events: MemberEvents | None
) -> Membership:
    """Curve and hazards, from a log where it carries them and else as assumed.

    Raises
    ------
    DataError
        A log of members that is too short or too small for anything to be estimated.
    """
    curve, tactics = assumed_curve(p), assumed_tactics(p)
    if log is None:
        return Membership(curve, tactics)
    fits: dict[str, Fit[Recruits]] = {}
    alike: dict[str, float] = {}
    for name in TACTICS:
        paths = paths_of(log, events, name)
        if paths is None:
            continue
        try:
            fits[name] = fit_recruits(paths)
        except (NotConverged, ValueError):
            try:
                fits[name] = fit_recruits(paths, alike=True)
            except (NotConverged, ValueError):
                continue
        alike[name] = one_hazard(paths).p_value
        tactics[name] = recruits_draws(fits[name], draws, rng)
    fit = curve_of(log)
    if fit is not None:
        curve = _monthly(fit, p, draws, rng)
    if fit is None and not fits:
        raise DataError(
            f"members: {log.joined.size} members over {log.end:g} days; a curve wants {_LEAST_WEEKS} whole "
            f"weeks of joining, hazards {_LEAST_MEMBERS} members of one source observed for "
            f"{_LEAST_WINDOWS} whole windows of {WINDOW:g} days"
        )
    return Membership(curve, tactics, fit, fits, alike)


def paths_of(log: MemberLog, events: MemberEvents | None, name: str) -> Paths | None:
    """Paths of the members of one source, or None where they are too few or too young."""
    own = (log.source == name) & (log.end - log.joined >= WINDOW)
    old = log.end - log.joined[own] >= _LEAST_WINDOWS * WINDOW
    if own.sum() < _LEAST_MEMBERS or not old.any():
        return None
    if events is None:
        return paths_of_last_activity(log.joined[own], log.last_active[own], log.end, WINDOW)
    place = np.cumsum(own) - 1
    done = own[events.member] & events.active
    return paths_of_events(
        log.joined[own], place[events.member[done]], events.at[done], log.end, WINDOW
    )


def weekly_joins(log: MemberLog) -> Array:
    """Members who joined in each whole week since the first."""
    weeks = int(log.end // 7)
    return np.bincount((log.joined // 7).astype(int), minlength=weeks + 1)[:weeks].astype(float)


def curve_of(log: MemberLog) -> DiffusionFit[Bass] | None:
    """Bass's curve of the members by week, with an impulse; None where there are too few weeks."""
    joins = weekly_joins(log)
    if joins.size < _LEAST_WEEKS:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MarketUnknown)  # the report says it, in words
        try:
            return fit_bass(joins, impulse=True)
        except NotConverged:
            return None


def _monthly(fit: DiffusionFit[Bass], p: Any, draws: int, rng: np.random.Generator) -> Bass:
    """The fitted curve on a clock of months, draws among markets that the city can hold.

    Before the peak the likelihood alone knows markets a thousand times what was sold; that a
    city has so many people is known beside it.
    """
    many = fit.models(20 * draws, rng)
    market, p_week, q_week, share = (
        np.ravel(np.broadcast_to(each, (20 * draws, 1)))
        for each in (many.market, many.innovation, many.imitation, many.impulse_share)
    )
    inside = np.flatnonzero(market <= p.city_people)
    if not inside.size:
        raise DataError(
            f"members: no curve through these weeks has a market below city_people={p.city_people:,.0f}"
        )
    pick = inside[np.arange(draws) % inside.size]
    best = fit.model
    if best.market > p.city_people or not np.isfinite(best.market):
        middle = pick[np.argsort(market[pick])[draws // 2]]
        best = Bass(
            market=market[middle],
            innovation=p_week[middle],
            imitation=q_week[middle],
            impulse_share=share[middle],
        )
    clock = WINDOW / 7
    return Bass(
        market=np.r_[best.market, market[pick]],
        innovation=np.r_[best.innovation, p_week[pick]] * clock,
        imitation=np.r_[best.imitation, q_week[pick]] * clock,
        impulse_share=np.r_[best.impulse_share, share[pick]],
    )


def naive_days(p: Any, share: float) -> Array:
    """Days until ``share`` of the market has joined, if day one's number were innovation."""
    everyday = p.day_one_members / np.asarray(p.potential_members, float)
    return np.asarray(Bass(market=1.0, innovation=everyday, imitation=0.0).time_to(share))


def head_start(base: Membership) -> Array:
    """Months that the impulse gains: when the curve without it reaches what day one brought."""
    curve = base.curve
    return np.asarray(replace(curve, impulse_share=0.0).time_to(curve.impulse_share))


def by_month(base: Membership, months: ArrayLike, *, impulse: bool = True) -> Array:
    """Members by the end of each month. Shape (months, draws + 1)."""
    curve = base.curve if impulse else replace(base.curve, impulse_share=0.0)
    return np.stack([np.atleast_1d(curve.cumulative(t)) for t in np.asarray(months, float)])


class Seen(NamedTuple):
    """What a fit knows of the market after some months: its estimate, and the ends of its interval."""

    months: Array
    estimate: Array
    low: Array
    high: Array


def market_known(p: Any, months: ArrayLike, rng: np.random.Generator) -> Seen:
    """One simulated launch at the stated values, fitted after so many months each.

    Monthly numbers vary by a tenth, as campaigns and holidays make them.
    """
    stated = Bass(**{key: _at(value, 0) for key, value in vars(assumed_curve(p)).items()})
    when = np.asarray(months, int)
    noise = np.exp(0.1 * rng.standard_normal(when.max()) - 0.005)
    series = np.asarray(stated.sales(np.arange(1, when.max() + 1))) * noise
    rows = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MarketUnknown)
        for seen in when:
            fit = fit_bass(series[:seen], impulse=True)
            rows.append((float(fit.model.market), *fit.market_interval()))
    return Seen(when.astype(float), *np.array(rows).T)


def mix(p: Any) -> dict[str, Any]:
    """How recruits after day one come, by tactic."""
    gift, friend = np.asarray(p.later_gift_share), np.asarray(p.later_friend_share)
    return {"gift": gift, "store": np.maximum(1.0 - gift - friend, 0.0), "friend": friend}


def intake(p: Any, base: Membership, months: int, size: int) -> dict[str, Array]:
    """Recruits by tactic and month, day one all by gift. Shape (months, draws + 1) each."""
    joined = np.stack([_rows(base.curve.sales(t + 1.0), size) for t in range(months)])
    first = _rows(base.curve.market * np.asarray(base.curve.impulse_share), size)
    later = joined.copy()
    later[0] -= first
    parts = {name: later * share for name, share in mix(p).items()}
    parts["gift"] = parts["gift"].copy()
    parts["gift"][0] += first
    return parts


def active_by_month(parts: Mapping[str, Array], base: Membership) -> Array:
    """Active members by month, every intake at its own age. Shape (months, draws + 1)."""
    return np.asarray(
        sum(
            active_members(came, base.tactics[name].path(came.shape[0] - 1))
            for name, came in parts.items()
        )
    )


class Course(NamedTuple):
    """What both strategies share, month by month; shape (months, draws + 1).

    recruits : who join; paid : yuan for them; active : active members; brands : share on board
    """

    recruits: Array
    paid: Array
    active: Array
    brands: Array


def course(p: Any, base: Membership, size: int) -> Course:
    """Members and brands over the years appraised."""
    months = round(12 * p.programme_years)
    parts = intake(p, base, months, size)
    active = active_by_month(parts, base)
    brands = mall(p, base).path(np.minimum(day_one_active(base), 1.0), p.first_brands, months)[1]
    return Course(
        recruits=np.asarray(sum(parts.values())),
        paid=np.asarray(sum(came * cost_of(p, name) for name, came in parts.items())),
        active=active,
        brands=np.broadcast_to(brands[1:].reshape(months, -1), active.shape),
    )


def cost_of(p: Any, name: str) -> Any:
    """Yuan a recruit by tactic."""
    return getattr(p, f"{name}_cost")


def hazard_flip(p: Any, base: Membership, draws: int) -> Array:
    """First-month hazard at which a gift's member costs as much as the counter's, active after a year.

    By halving, each draw on its own; 0 where even gift members who hardly leave cost more.
    """
    gift = base.tactics["gift"]
    goal = base.tactics["store"].cost_per_active(p.store_cost, 365 / WINDOW)
    spread, share, back = (
        _rows(v, draws + 1) for v in (gift.hazard_spread, gift.activation_share, gift.return_share)
    )
    low, high = np.full(draws + 1, 1e-4), np.full(draws + 1, 1 - 1e-4)

    def dearer(hazard: Array) -> Array:
        trial = Recruits.of_hazard(
            activation_share=share, first_hazard=hazard, hazard_spread=spread, return_share=back
        )
        return np.asarray(trial.cost_per_active(p.gift_cost, 365 / WINDOW) > goal)

    never = dearer(low)
    for _ in range(30):
        middle = 0.5 * (low + high)
        over = dearer(middle)
        low, high = np.where(over, low, middle), np.where(over, middle, high)
    return np.where(never, 0.0, 0.5 * (low + high))


def selection(recruits: Recruits, windows: int) -> Array:
    """Average hazard of those still there, window by window: it falls though nobody changes."""
    return np.stack([np.atleast_1d(recruits.hazard(k)) for k in range(windows)])


# --- Touchpoints: where a session leads ----------------------------------------------------


@dataclass(frozen=True)
class Journeys:
    """A strategy's touchpoints, and how many sessions begin in each for one in the account."""

    chain: Chain
    entries: Mapping[str, float]

    def ending(self, end: str) -> Array:
        """Sessions that end so, for one begun in the account. Shape (draws + 1,)."""
        return np.asarray(
            sum(share * self.chain.end_shares(at)[end] for at, share in self.entries.items())
        )

    def visits(self, state: str) -> Array:
        """Visits to a touchpoint, for one session begun in the account."""
        return np.asarray(
            sum(share * self.chain.visits_from(at)[state] for at, share in self.entries.items())
        )

    def without(self, state: str) -> Journeys:
        """The same with one touchpoint gone, and everybody who came by it lost."""
        left = {at: share for at, share in self.entries.items() if at != state}
        return Journeys(self.chain.without(state, "gone"), left)

    def removal(self, state: str, end: str) -> Array:
        """Share of an end that is lost when one touchpoint is gone."""
        return np.asarray(1.0 - self.without(state).ending(end) / self.ending(end))


def moves_of(events: MemberEvents | None) -> Array | None:
    """Counts of moves among the touchpoints in a log of events, or None where it does not name them."""
    if events is None:
        return None
    known = np.isin(events.event, [*STATES, *ENDS[:2]])
    if not all((events.event == name).any() for name in (*STATES, *ENDS[:2])):
        return None
    order = np.lexsort((events.at[known], events.member[known]))
    who, at = events.member[known][order], events.at[known][order]
    what = events.event[known][order]
    place = {name: j for j, name in enumerate((*STATES, *ENDS))}
    code = np.array([place[name] for name in what])
    following = np.full(code.size, place["gone"])
    # A silence of more than a day ends the session.
    same = (who[1:] == who[:-1]) & (at[1:] - at[:-1] <= 1.0)
    following[:-1] = np.where(same, code[1:], place["gone"])
    leaves = code < len(STATES)
    counts = np.zeros((len(STATES), len(place)))
    np.add.at(counts, (code[leaves], following[leaves]), 1.0)
    return counts


def journeys(
    p: Any, draws: int, rng: np.random.Generator, events: MemberEvents | None = None
) -> dict[str, Journeys]:
    """Both strategies' touchpoints, fitted from a log of events where it names them.

    WeChat alone is the same chain without a web shop, entered by the account only: the mobile
    shop is a page of it. The other touchpoints add sessions of their own beside those.
    """
    counts = moves_of(events)
    if counts is None:
        counts = np.array([getattr(p, f"moves_from_{name}") for name in STATES])
    chain = chain_draws(counts, STATES, ENDS, rng, draws)
    beside = dict(zip(STATES[1:3], p.extra_sessions, strict=True))
    return {
        "four_touchpoints": Journeys(chain, {"wechat": 1.0, **beside}),
        "wechat_alone": Journeys(chain.without("web", "gone"), {"wechat": 1.0}),
    }


def counter_a_month(p: Any, here: Journeys) -> Array:
    """Yuan an active member and month brought to the counter that would not have come."""
    return np.asarray(p.sessions * here.ending("counter") * p.extra_visit_share * p.counter_basket)


def moved_a_month(p: Any, here: Journeys) -> Array:
    """Yuan an active member and month of mobile orders that left the counter, every brand on board."""
    return np.asarray(
        p.sessions * here.ending("online") * p.mobile_ticket * (1 - p.new_order_share)
    )


def worth_a_month(p: Any, here: Journeys, margin: Any) -> Array:
    """Contribution of an active member and month with every brand on board, yuan."""
    orders = p.sessions * here.ending("online")
    each = p.mobile_ticket * (p.new_order_share * margin - p.fee_share) - p.fulfilment_cost
    return np.asarray(orders * each + counter_a_month(p, here) * margin)


def dependence(p: Any, here: Journeys, margin: Any) -> Array:
    """Share of that contribution which is gone with WeChat, before anybody finds another way."""
    whole = worth_a_month(p, here, margin)
    if set(here.entries) == {"wechat"}:
        return np.ones_like(whole)
    left = worth_a_month(p, here.without("wechat"), margin)
    return np.asarray(np.clip(1.0 - left / np.where(whole > 0, whole, np.nan), 0.0, 1.0))


# --- Own app against the platform -----------------------------------------------------------


def app_members(p: Any) -> Recruits:
    """What becomes of people who install an app of the store's own."""
    return Recruits.of_hazard(
        activation_share=p.app_activation,
        first_hazard=p.app_hazard,
        hazard_spread=p.hazard_spread,
        return_share=p.app_return,
    )


def platform_recruit(p: Any, base: Membership) -> tuple[Array, Array]:
    """Cost of a recruit to the account after day one, and the share active after a year."""
    parts = mix(p)
    cost = sum(share * np.asarray(cost_of(p, name)) for name, share in parts.items())
    left = sum(
        share * base.tactics[name].active_share(365 / WINDOW) for name, share in parts.items()
    )
    return np.asarray(cost), np.asarray(left)


def yearly_cost_per_active(p: Any, base: Membership, recruits: ArrayLike, *, app: bool) -> Array:
    """Yuan a member active after a year: systems of a year spread over them, and recruiting.

    Systems are written off over the programme's years. Broadcasts over recruits.
    """
    n = np.asarray(recruits, float)
    if app:
        cost, left = p.app_install_cost, app_members(p).active_share(365 / WINDOW)
        systems = p.app_set_up / p.programme_years + p.app_running
    else:
        cost, left = platform_recruit(p, base)
        systems = p.wechat_set_up / p.programme_years + p.wechat_running
    return np.asarray((systems + n * cost) / (n * left))


def dependence_price(p: Any, worth: ArrayLike, hanging: ArrayLike) -> Array:
    """Yuan a year and active member that the platform's rules are expected to take."""
    return np.asarray(p.rule_rate * p.rule_loss * np.asarray(hanging) * np.asarray(worth) * 12)


def app_retention_needed(p: Any, base: Membership, recruits: float) -> Array:
    """Share of installers active after a year at which an app costs no more than the account."""
    goal = yearly_cost_per_active(p, base, recruits, app=False)
    systems = p.app_set_up / p.programme_years + p.app_running
    return np.asarray((systems / recruits + p.app_install_cost) / goal)


# --- Brands ------------------------------------------------------------------------------------


def mall(p: Any, base: Membership) -> TwoSided:
    """Members and brands of the mobile shop, a month; arrays of draws.

    An empty mall loses its members as fast as the recruits after day one fall silent at first.
    """
    leaving = sum(
        share * np.asarray(base.tactics[name].first_hazard) for name, share in mix(p).items()
    )
    return TwoSided(
        members=Side(
            innovation=base.curve.innovation,
            imitation=base.curve.imitation,
            attraction=p.member_attraction,
            leaving=leaving,
            holding=p.member_holding,
        ),
        brands=Side(
            innovation=p.brand_interest,
            imitation=p.brand_imitation,
            attraction=p.brand_attraction,
            leaving=p.brand_leaving,
            holding=p.brand_holding,
        ),
        onboarding_capacity=p.brand_capacity / np.asarray(p.brand_count, float),
    )


def stated_mall(here: TwoSided) -> TwoSided:
    """The mall at the stated values."""

    def side(one: Side) -> Side:
        return Side(**{key: _at(value, 0) for key, value in vars(one).items()})

    return TwoSided(
        members=side(here.members),
        brands=side(here.brands),
        onboarding_capacity=_at(here.onboarding_capacity, 0),
    )


def day_one_active(base: Membership) -> Array:
    """Share of the potential members who are active after day one."""
    return np.asarray(base.curve.impulse_share * np.asarray(base.tactics["gift"].activation_share))


def grows(here: TwoSided, members: Array, brands: ArrayLike, years: int = 10) -> NDArray[np.bool_]:
    """Whether a start ends nearer to the full market than to the empty one after ``years``.

    A market with one future grows where more than half of its members are in it. Broadcasts.
    ``TwoSided.critical_members`` asks the same without a horizon; ten years is as long as any
    store will wait.
    """
    months = 12 * years
    at = np.minimum(members, 1.0)
    full, empty = (here.path(np.full(at.shape, v), v, months, steps=4)[0][-1] for v in (1.0, 0.0))
    end = here.path(at, brands, months, steps=4)[0][-1]
    return np.asarray(np.where(full - empty < 1e-3, full > 0.5, end > 0.5 * (full + empty)), bool)


def critical_members(here: TwoSided, brands: ArrayLike) -> Array:
    """Least share of members who grow by themselves with these brands; inf where all are too few."""
    size = np.broadcast_shapes(np.shape(brands), np.shape(here.flow(0.0, 0.0)[1]))
    at = np.broadcast_to(np.asarray(brands, float), size)
    return _least(lambda members: grows(here, members, at), size)


def critical_brands(here: TwoSided, members: Array) -> Array:
    """Least share of brands with which ``members`` grow by themselves; inf where all are too few."""
    return _least(lambda brands: grows(here, members, brands), members.shape)


def _least(enough: Callable[[Array], NDArray[np.bool_]], size: tuple[int, ...]) -> Array:
    """Least share in [0, 1] that is enough, by halving; inf where not even 1 is."""
    low, high = np.zeros(size), np.ones(size)
    never, always = ~enough(high), enough(low)
    for _ in range(12):
        middle = 0.5 * (low + high)
        right = enough(middle)
        low, high = np.where(right, low, middle), np.where(right, middle, high)
    return np.where(never, np.inf, np.where(always, 0.0, high))


def growth_chances(here: TwoSided, members: Array, brands: ArrayLike) -> Array:
    """Share of plausible markets in which a start grows by itself, for each share of brands."""
    each = [grows(here, members, float(b))[1:].mean() for b in np.atleast_1d(brands)]
    return np.array(each)


def members_per_brand(p: Any, here: TwoSided) -> float:
    """Active members that each brand saves between two and three tenths of the brands.

    Not-a-number where the market has no tipping line there.
    """
    few, more = critical_members(stated_mall(here), np.array([0.2, 0.3]))
    if not np.isfinite(few + more) or few == 0:
        return float("nan")
    return float((few - more) * _at(p.potential_members, 0) / (0.1 * _at(p.brand_count, 0)))


def orders_gained(
    here: TwoSided, members: Array, brands: Array, more: Array, months: int, *, of: str
) -> Array:
    """What a share more of members, or of brands, at the start adds to orders after ``months``."""
    x, y = here.path(np.minimum(members, 1.0), brands, months)
    if of == "members":
        u, v = here.path(np.minimum(members + more, 1.0), brands, months)
    else:
        u, v = here.path(np.minimum(members, 1.0), np.minimum(brands + more, 1.0), months)
    return np.asarray(u[-1] * v[-1] / (x[-1] * y[-1]) - 1.0)


def lever_elasticities(
    here: TwoSided, members: ArrayLike, brands: ArrayLike, months: int, step: float = 0.05
) -> dict[str, Array]:
    """Per cent more orders (members x brands) after ``months`` for one per cent more of each lever.

    Recruiting: all rates at which members join by themselves and for others; keeping: a lower
    hazard of leaving; onboarding: all rates at which brands join, and what the team can handle.
    """

    def orders(recruiting: float = 0.0, keeping: float = 0.0, onboarding: float = 0.0) -> Array:
        side = here.members
        changed = replace(
            here,
            members=replace(
                side,
                innovation=side.innovation * np.exp(recruiting),
                imitation=side.imitation * np.exp(recruiting),
                leaving=side.leaving * np.exp(-keeping),
            ),
            brands=replace(
                here.brands,
                innovation=here.brands.innovation * np.exp(onboarding),
                imitation=here.brands.imitation * np.exp(onboarding),
                attraction=here.brands.attraction * np.exp(onboarding),
            ),
            onboarding_capacity=here.onboarding_capacity * np.exp(onboarding),
        )
        x, y = changed.path(members, brands, months)
        return np.asarray(x[-1] * y[-1])

    def elasticity(**lever: float) -> Array:
        name, size = next(iter(lever.items()))
        return np.asarray(np.log(orders(**{name: size}) / orders(**{name: -size})) / (2 * size))

    return {
        "lever_recruiting": elasticity(recruiting=step),
        "lever_keeping": elasticity(keeping=step),
        "lever_onboarding": elasticity(onboarding=step),
    }


# --- The J-curve ------------------------------------------------------------------------------


class Calibration(NamedTuple):
    """What the company's weeks say; arrays of draws, observed value first.

    margin : gross margin over sales
    online : sales online by month of thirty days, whole months only, shape (months,)
    spent : invested by month
    """

    margin: Array
    online: Array
    spent: Array


def calibration(weekly: Weekly | None, draws: int, rng: np.random.Generator) -> Calibration | None:
    """The weeks as months, and the margin with its sampling error (weeks drawn again in blocks).

    Raises
    ------
    DataError
        A table without a week whose margin is known.
    """
    if weekly is None:
        return None
    sales = weekly.online + weekly.offline
    known = np.flatnonzero(np.isfinite(weekly.margin) & (sales > 0))
    if not known.size:
        raise DataError("weekly: margin is empty in every week with sales; give it in some")
    kept, sold = weekly.margin[known], sales[known]
    block = min(4, known.size)
    starts = rng.integers(0, known.size, (draws, -(-known.size // block)))
    again = (starts[..., None] + np.arange(block)) % known.size
    again = again.reshape(draws, -1)[:, : known.size]
    drawn = kept[again].sum(axis=1) / sold[again].sum(axis=1)
    margin = np.clip(np.r_[kept.sum() / sold.sum(), drawn], 0.0, 1.0)
    # A week lies in two months as its days do.
    edges = np.arange(0, 7 * weekly.online.size + 1e-9, WINDOW)
    days = np.arange(weekly.online.size + 1) * 7.0

    def months(values: Array) -> Array:
        return np.diff(np.interp(edges, days, np.r_[0.0, np.cumsum(values)]))

    return Calibration(margin, months(weekly.online), months(weekly.investment))


@dataclass(frozen=True)
class JCurve:
    """A strategy's cash by month, shape (months, draws + 1), and what it was made of."""

    operating: Array
    investment: Array
    running: Array
    active: Array
    sales: Array
    rate: Array
    observed: int = 0

    @property
    def flows(self) -> Array:
        """Cash of each month, yuan."""
        return np.asarray(self.operating - self.investment)

    @property
    def value(self) -> Array:
        """Net present value, yuan."""
        return npv(self.flows, self.rate)

    @property
    def prize(self) -> Array:
        """Present value of what its members bring, before all that is spent without them, yuan."""
        return npv(self.operating + self.running, self.rate)

    @property
    def cost(self) -> Array:
        """Present value of what is committed by starting: investment and the team, yuan."""
        return npv(self.investment + self.running, self.rate)

    @property
    def cumulative(self) -> Array:
        """Money in the bank at the end of each month, yuan, not discounted."""
        return np.asarray(np.cumsum(self.flows, axis=0))

    @property
    def burning(self) -> Array:
        """Months until a month's cash stays at or above 0; inf where it never does."""
        below = self.flows < 0
        last = below.shape[0] - below[::-1].argmax(axis=0)
        return np.where(below.any(axis=0), np.where(below[-1], np.inf, last), 0.0)

    def margin_of_year(self, year: int) -> Array:
        """Cash before investment over the sales touched, in one year from the first."""
        at = slice(12 * (year - 1), 12 * year)
        return np.asarray(self.operating[at].sum(axis=0) / self.sales[at].sum(axis=0))

    @property
    def yearly_return(self) -> tuple[Array, Array]:
        """How many yearly rates of return each stream has, and the only one (else not-a-number)."""
        rates = every_rate(self.flows)
        return rates.number.astype(float), (1.0 + rates.only) ** 12 - 1.0


def running_of(p: Any, name: str) -> Any:
    """Yuan a year of running a strategy."""
    return p.four_running if name == "four_touchpoints" else p.wechat_running


def j_curve(
    p: Any, crowd: Course, here: Journeys, name: str, known: Calibration | None = None
) -> JCurve:
    """Cash by month of one strategy.

    Where the company's weeks are known, they stand in for the months they cover, and later
    months are scaled so that online sales agree with the last three of them.
    """
    active, brands = crowd.active, crowd.brands
    months, size = active.shape
    margin = p.store_margin if known is None else known.margin
    fixed = np.broadcast_to(np.asarray(running_of(p, name)) / 12, active.shape).copy()
    new_brands = np.maximum(np.diff(brands, axis=0, prepend=brands[:1]), 0.0) * p.brand_count
    set_up = p.four_set_up if name == "four_touchpoints" else p.wechat_set_up
    spending = np.zeros(active.shape)
    spending[:6] = np.asarray(set_up) / 6
    spending[6:] = np.asarray(set_up) * p.refresh_share / 12
    orders = p.sessions * here.ending("online")
    if known is not None:
        modelled = (active * brands * orders * p.mobile_ticket)[: known.online.size]
        last = slice(max(0, known.online.size - 3), known.online.size)
        orders = orders * known.online[last].sum() / modelled[last].sum(axis=0)
        spending[: known.spent.size] = known.spent[:, None]
    programme = Programme(
        active=active,
        recruits=crowd.recruits,
        brands=brands,
        orders=orders,
        ticket=p.mobile_ticket,
        margin_share=margin,
        new_share=p.new_order_share,
        fulfilment_cost=p.fulfilment_cost,
        fee_share=p.fee_share,
        visits=p.sessions * here.visits("store") * p.extra_visit_share,
        conversion=here.chain.moves[..., STATES.index("store"), len(STATES)],
        basket=p.counter_basket,
        recruit_cost=crowd.paid / np.maximum(crowd.recruits, 1e-12),
        care_cost=p.care_cost,
        running_cost=fixed + new_brands * p.brand_cost,
        investment=spending,
    )
    operating = programme.flows - programme.terms["investment"]
    sales = programme.online_orders * p.mobile_ticket + programme.counter_sales
    observed = 0
    if known is not None:
        # The table's investment is all that was spent: nothing is taken off twice.
        observed = min(known.online.size, months)
        seen = known.online[:observed, None]
        operating[:observed] = seen * (p.new_order_share * np.asarray(margin))
        fixed[:observed] = 0.0
        sales[:observed] = seen
    return JCurve(
        operating=operating,
        investment=spending,
        running=fixed,
        active=active,
        sales=sales,
        rate=_rows((1.0 + np.asarray(p.discount_rate)) ** (1 / 12) - 1.0, size),
        observed=observed,
    )


# --- To wait, to start, to leave ---------------------------------------------------------------


def shaken(p: Any, hanging: ArrayLike) -> Array:
    """Volatility of a strategy's prize: the market's, and the platform's changes of rules.

    Changes at rate l that each take a share of the reach are jumps of ln(1 - share): variance
    a year s^2 + l ln(1 - share)^2.
    """
    jump = np.log1p(-np.asarray(p.rule_loss) * np.asarray(hanging))
    return np.asarray(np.sqrt(np.asarray(p.volatility) ** 2 + p.rule_rate * jump**2))


def perpetual(p: Any, curve: JCurve, volatility: Array, *, rival: bool = True) -> Perpetual:
    """The option to wait for ever."""
    return Perpetual(
        cost=curve.cost,
        rate=p.riskless_rate,
        payout=p.waiting_loss,
        volatility=volatility,
        rival_rate=p.entry_rate if rival else 0.0,
        kept_share=p.kept_share,
    )


def opportunity(
    p: Any, value: Array, cost: Array, volatility: Array, entry_rate: Array
) -> Opportunity:
    """The same with a last day and a cost of staying ready."""
    return Opportunity(
        value=np.maximum(value, 0.0),
        cost=cost,
        rate=p.riskless_rate,
        payout=p.waiting_loss,
        volatility=volatility,
        rival_rate=entry_rate,
        kept_share=p.kept_share,
        holding_cost=p.holding_cost,
        horizon=p.decision_years,
    )


def acts_map(p: Any, curve: JCurve, volatilities: ArrayLike, entry_rates: ArrayLike) -> Array:
    """What to do by uncertainty (columns) and a rival's haste (rows): ``Choice.act``, stated values.

    The prize is what members bring and what a programme defends against a rival that fast.
    """
    rates = np.asarray(entry_rates, float)
    across, up = np.meshgrid(np.asarray(volatilities, float), rates)
    kept = np.array([defence(p, curve, float(each))[0] for each in rates])
    value = curve.prize[0] + np.broadcast_to(kept[:, None], up.shape)
    one = _Stated(p)
    return np.asarray(opportunity(one, value, curve.cost[0], across, up).choice(80).act, float)


class _Stated:
    """Every parameter at one draw."""

    def __init__(self, p: Any, draw: int = 0) -> None:
        self._p, self._draw = p, draw

    def __getattr__(self, key: str) -> Any:
        value = getattr(self.__dict__["_p"], key)
        if isinstance(value, np.ndarray) and value.ndim == 1:
            return _at(value, self.__dict__["_draw"])
        return value


def staged(
    p: Any, curve: JCurve, volatility: ArrayLike, draw: int = 0, *, entry_rate: float | None = None,
    periods: int = 12, pilot_periods: int = 4,
) -> Staged:  # fmt: skip
    """The staged choice whose whole roll-out is worth what the J-curve says it is.

    Active members are the curve's average, and a member's yearly worth makes the prize equal its
    present value. That margins fall first is in that value: it happens whenever one starts.
    """
    one = _Stated(p, draw)
    rate = float(_at(curve.rate, draw))
    months = np.ones(curve.active.shape[0])
    annuity = float(discounted(months, rate).sum()) / 12.0
    level = float(discounted(curve.active[:, draw], rate).sum()) / 12.0 / annuity
    worth = float(curve.prize[draw]) / level / annuity
    cost = float(curve.cost[draw])
    pilot = one.pilot_part * cost
    return Staged(
        members=level,
        growth=one.riskless_rate - one.waiting_loss,
        volatility=_at(volatility, draw),
        margin=worth,
        normal_margin=worth,
        recovery_rate=one.recovery_rate,
        margin_noise=one.margin_noise * abs(worth),
        rate=one.riskless_rate,
        fading=1.0 / annuity - one.riskless_rate,
        quality_spread=one.quality_spread,
        signal_noise=one.signal_noise,
        pilot_cost=pilot,
        roll_out_cost=cost - pilot,
        pilot_share=one.pilot_share,
        pilot_rate=one.holding_cost,
        holding_rate=one.holding_cost,
        salvage=one.pilot_saved * pilot,
        rival_rate=one.entry_rate if entry_rate is None else entry_rate,
        kept_share=one.kept_share,
        period=one.decision_years / periods,
        periods=periods,
        pilot_periods=pilot_periods,
    )


class StagedAnswer(NamedTuple):
    """A staged choice solved: each act's worth today, both bounds, and how it ends.

    lower, upper : value with a 90 % interval of its simulation, (value, low, high)
    """

    today: dict[str, float]
    lower: tuple[float, float, float]
    upper: tuple[float, float, float]
    piloted: float
    rolled_out: float
    years: float


def solve_staged(case: Staged, seed: int, paths: int = 1000) -> StagedAnswer:
    """Fitted on some paths, valued on others, bounded on yet others."""
    plan = case.solve(np.random.default_rng(seed), paths)
    course = plan.lower_bound(np.random.default_rng(seed + 1), 4 * paths)
    upper = plan.upper_bound(np.random.default_rng(seed + 2), paths)

    def ends(value: float, stderr: float) -> tuple[float, float, float]:
        return value, value - 1.645 * stderr, value + 1.645 * stderr

    return StagedAnswer(
        plan.today, ends(*course.value), ends(*upper), course.piloted, course.rolled_out, course.years
    )  # fmt: skip


def start_over_wait(
    p: Any, curve: JCurve, volatility: ArrayLike, draws: int, seed: int,
    *, entry_rate: float | None = None, paths: int = 400,
) -> Array:  # fmt: skip
    """What starting today (pilot or roll-out) is worth above waiting, yuan. Shape (draws + 1,)."""
    found = []
    for draw in range(draws + 1):
        case = staged(p, curve, volatility, draw, entry_rate=entry_rate, periods=8, pilot_periods=2)
        today = case.solve(np.random.default_rng(seed), paths).today
        found.append(max(today["pilot"], today["invest"]) - max(today["wait"], today["leave"]))
    return np.array(found)


def lead_by_ratio(
    p: Any, curve: JCurve, volatility: ArrayLike, ratios: ArrayLike, entry_rate: float, seed: int
) -> Array:
    """The same at the stated values, were what members bring so many times what is committed."""
    here = float(curve.prize[0] / curve.cost[0])
    leads = []
    for ratio in np.asarray(ratios, float):
        brought = (curve.operating + curve.running) * (ratio / here)
        other = replace(curve, operating=brought - curve.running)
        leads.append(
            start_over_wait(p, other, volatility, 0, seed, entry_rate=entry_rate, paths=800)[0]
        )
    return np.array(leads)


def defence(p: Any, curve: JCurve, entry_rate: float | None = None) -> Array:
    """Present value of the counter's margin that only a store with a programme keeps, yuan.

    The rival takes it from his entry on, whose chance by month t is 1 - exp(-h t); a programme
    keeps a part of it.
    """
    months, size = curve.flows.shape
    yearly = np.asarray(p.store_sales) * np.asarray(p.store_margin) * p.defence_share
    rate = p.entry_rate if entry_rate is None else entry_rate
    entered = 1.0 - np.exp(-_rows(rate, size) * np.arange(months)[:, None] / 12)
    return npv(entered * _rows(yearly * p.defended_part, size) / 12, curve.rate)


def doing(p: Any, curve: JCurve) -> Array:
    """What a programme is worth above doing nothing, the margin it defends counted in, yuan."""
    return np.asarray(curve.value + defence(p, curve))


def defence_flip(p: Any, curve: JCurve) -> Array:
    """Part of the counter's margin a rival must take a year for doing to beat not doing; 0 where it pays anyway."""
    return np.asarray(np.maximum(-curve.value, 0.0) / (defence(p, curve) / p.defence_share))


# --- What moves the answer, and what it rests on ------------------------------------------------

DRIVERS = (
    "potential_members", "adoption_pace", "prior_imitation", "gift_hazard", "store_hazard", "store_activation",
    "store_return", "hazard_spread", "sessions", "extra_visit_share", "counter_basket", "store_margin",
    "new_order_share", "fulfilment_cost", "care_cost", "brand_interest", "brand_attraction", "store_cost",
    "wechat_set_up", "wechat_running", "refresh_share",
)  # fmt: skip


class _Only:
    """One parameter at the ends of its range, the others as stated: arrays of three."""

    def __init__(self, p: Any, key: str) -> None:
        self._p, self._key = p, key

    def __getattr__(self, key: str) -> Any:
        value = getattr(self.__dict__["_p"], key)
        if not (isinstance(value, np.ndarray) and value.ndim == 1):
            return value
        if key != self.__dict__["_key"]:
            return float(value[0])
        return np.r_[value[0], np.quantile(value[1:], [0.05, 0.95])]


def value_swings(
    p: Any, base: Membership, here: Journeys, name: str, known: Calibration | None
) -> dict[str, tuple[float, float]]:
    """A strategy's net present value at both ends of each parameter's range, the others as stated."""
    chain = Journeys(replace(here.chain, moves=here.chain.moves[:1]), here.entries)
    fixed = Membership(
        _first(base.curve), {key: _first(each) for key, each in base.tactics.items()}
    )
    weeks = None if known is None else known._replace(margin=known.margin[:1])
    found = {}
    for key in DRIVERS:
        one = _Only(p, key)
        if not isinstance(getattr(one, key), np.ndarray):
            continue
        own = fixed if base.fitted else Membership(assumed_curve(one), assumed_tactics(one))
        value = j_curve(one, course(one, own, 3), chain, name, weeks).value
        found[key] = (float(value[1]), float(value[2]))
    return found


def _first(model: Any) -> Any:
    """A model at the stated values, as arrays of one."""
    return replace(model, **{key: np.array([_at(value, 0)]) for key, value in vars(model).items()})


def fit_table(p: Any, base: Membership) -> pd.DataFrame:
    """What the hazards rest on, and what they say; a row a tactic."""
    fits = base.tactic_fits or {}
    return pd.DataFrame(
        {
            "tactic": [TACTICS[name] for name in TACTICS],
            "rests_on": ["on_data" if name in fits else "on_assumption" for name in TACTICS],
            "members_seen": [float(fits[name].n) if name in fits else np.nan for name in TACTICS],
            "first_hazard": [_at(base.tactics[name].first_hazard, 0) for name in TACTICS],
            "left_after_year": [_at(base.tactics[name].active_share(365 / WINDOW), 0) for name in TACTICS],
            "recruit_cost": [_at(cost_of(p, name), 0) for name in TACTICS],
            "cost_per_active": [
                _at(base.tactics[name].cost_per_active(cost_of(p, name), 365 / WINDOW), 0) for name in TACTICS
            ],
        }
    )  # fmt: skip


def market_now(p: Any, base: Membership, seen: Seen) -> tuple[float, float, float]:
    """The market and its interval: from the company's own log, or from a year of a simulated launch."""
    if base.curve_fit is not None:
        return float(base.curve_fit.model.market), *base.curve_fit.market_interval()
    at = int(np.argmin(np.abs(seen.months - 12)))
    return float(seen.estimate[at]), float(seen.low[at]), float(seen.high[at])


def strategy_table(curves: Mapping[str, JCurve]) -> pd.DataFrame:
    """Both strategies side by side at the stated values."""
    from o2o_research.models.investment.cashflows import payback, trough

    rows = []
    for name, curve in curves.items():
        flows = curve.flows[:, 0]
        rows.append(
            {
                "strategy": name,
                "committed_cost": float(curve.cost[0]),
                "brought_value": float(curve.prize[0]),
                "net_value": float(curve.value[0]),
                "gain_chance": float(np.mean(curve.value[1:] > 0)),
                "trough_depth": float(trough(flows).depth),
                "payback_time": float(payback(flows)),
            }
        )
    return pd.DataFrame(rows)


def note(base: Membership, own: Own, known: Calibration | None, language: Language) -> str:
    """What this run rests on: the company's own tables or assumptions, and which."""
    zh = language == "zh"
    parts = []
    names = {
        "curve": ("扩散曲线", "the adoption curve"),
        "gift": ("礼品会员的活跃度", "gift members' hazards"),
        "store": ("门店会员的活跃度", "counter members' hazards"),
        "friend": ("朋友会员的活跃度", "friends' members' hazards"),
    }
    if own.log is None:
        parts.append(
            "没有提供会员数据，扩散曲线与会员活跃度均为假设；给出 `members`（最好连同 `member_events`）后改由数据拟合。"
            if zh
            else "No log of members is given: the adoption curve and the hazards are assumed. With `members`, better still with `member_events`, they are fitted."
        )
    else:
        fitted = [names[key][0 if zh else 1] for key in base.fitted]
        left = [names[key][0 if zh else 1] for key in names if key not in base.fitted]
        size, days = own.log.joined.size, own.log.end
        parts.append(
            f"会员数据有 {size:,} 人、{days:.0f} 天，由其拟合的是{'、'.join(fitted)}。"
            if zh
            else f"The log holds {size:,} members over {days:.0f} days; fitted from it: {', '.join(fitted)}."
        )
        if left:
            parts.append(
                f"仍为假设的是{'、'.join(left)}（人数太少、观察太短或拟合不收敛）。"
                if zh
                else f" Still assumed: {', '.join(left)} (too few members, watched too briefly, or no maximum of the likelihood)."
            )
        if own.events is None:
            parts.append(
                "只有最近活跃时间，看不出沉默后的回归；给出 `member_events` 可以补上。"
                if zh
                else " Last activity alone does not show returns after silence; `member_events` would."
            )
        elif moves_of(own.events) is None:
            parts.append(
                "活动数据没有区分各触点与两种成交，触点之间的流向仍为假设。"
                if zh
                else " The events do not name all touchpoints and both kinds of purchase, so moves among them stay assumed."
            )
        else:
            parts.append(
                "触点之间的流向也由活动数据得出。"
                if zh
                else " Moves among the touchpoints come from the events too."
            )
        if base.curve_fit is not None and not base.curve_fit.peak_seen:
            parts.append(
                "**注意：高峰尚未出现，这份数据对潜在会员总数几乎没有约束，相关区间以全市人口为上限。**"
                if zh
                else " **Mind: the peak is not seen yet. The log says next to nothing of how many members there may be; intervals end at the people living in the city.**"
            )
    if known is None:
        parts.append(
            "没有提供公司周表，J 曲线由假设推算；给出 `weekly` 后，已发生的周数以实际为准。"
            if zh
            else " No weekly table is given, so the J-curve is assumed; with `weekly` the weeks that have passed are as they were."
        )
    else:
        weeks = 0 if own.weekly is None else own.weekly.online.size
        parts.append(
            f"公司周表有 {weeks} 周：J 曲线的前 {known.online.size} 个月按实际的投入与线上销售，毛利率由周表估计，之后各月按最近三个月的线上销售校准；门店销售没有对照，其增减不计入。"
            if zh
            else f" The weekly table has {weeks} weeks: the first {known.online.size} months of the J-curve are the actual investment and online sales, the margin is estimated from it, and later months are scaled to the online sales of the last three; sales in the stores have no comparison, so their rise or fall is not counted."
        )
    return "".join(parts) if zh else "".join(parts).strip()


def stated_base(base: Membership) -> Membership:
    """Members at the stated values, as arrays of one."""
    tactics = {key: _first(each) for key, each in base.tactics.items()}
    return replace(base, curve=_first(base.curve), tactics=tactics)


def gift_edges(base: Membership, p: Any, hazards: ArrayLike, costs: ArrayLike) -> Array:
    """Counter's cost of an active member less the gift's, by first hazard (columns) and cost (rows)."""
    here = stated_base(base)
    gift, across = here.tactics["gift"], np.asarray(hazards, float)
    trial = Recruits.of_hazard(
        activation_share=_rows(gift.activation_share, across.size),
        first_hazard=across,
        hazard_spread=_rows(gift.hazard_spread, across.size),
        return_share=_rows(gift.return_share, across.size),
    )
    dear = np.asarray(costs, float)[:, None] / trial.active_share(365 / WINDOW)
    goal = here.tactics["store"].cost_per_active(_at(p.store_cost, 0), 365 / WINDOW)
    return np.asarray(goal - dear)


def blocked_months(here: TwoSided, members: Array, brands: Array, months: int) -> Array:
    """Months in which more brands wish to join than the team can bring on board."""
    x, y = here.path(members, brands, months)
    side = here.brands
    wish = (side.innovation + side.imitation * y + side.attraction * x) * (1 - y)
    return np.asarray((wish[1:] > here.onboarding_capacity).sum(axis=0), float)


def middle(values: Array) -> tuple[float, float | None, float | None]:
    """The stated value and the middle nine tenths of the draws that have one; not-a-number left out."""
    there = values[1:][np.isfinite(values[1:])]
    if not there.size:
        return float(values[0]), None, None
    low, high = np.quantile(there, [0.05, 0.95])
    return float(values[0]), float(low), float(high)

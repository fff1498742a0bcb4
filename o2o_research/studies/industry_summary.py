"""What the industry summary asks of several cases at once: how sure, how alike, and what follows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from o2o_research.models.causal.power import Trial
from o2o_research.models.contact import Contact, displaced_share
from o2o_research.models.investment.waiting import Opportunity
from o2o_research.models.numerics import crossing
from o2o_research.terms import LANGUAGES, term

Array = NDArray[np.float64]

# Each verdict, in order, and the Term that its column or cell carries.
_VERDICTS = {
    "supported": "verdict_supported",
    "depends": "verdict_depends",
    "contradicted": "verdict_contradicted",
    "untested": "verdict_untested",
}
_MORE_STORES = np.arange(1, 401)


@dataclass(frozen=True)
class Words:
    """A table's cell in both languages."""

    zh: str
    en: str


NOTHING = Words("—", "—")
UNSAID = Words("该案例未提供", "not in the case")


# ── claims ────────────────────────────────────────────────────────────────────────────────────


def chance(values: Array, rule: str, threshold: float) -> float:
    """Share of plausible values on the side of the threshold where a claim holds.

    Parameters
    ----------
    values : shape (draws + 1,), the stated value first

    Examples
    --------
    >>> chance(np.array([1.0, 0.5, 1.5, 2.5, 3.5]), ">", 1.0)
    0.75
    """
    drawn = values[1:]
    return float(np.mean(drawn < threshold if rule == "<" else drawn > threshold))


def chances(judged: Iterable[Any], draws: int) -> dict[str, float]:
    """By claim that can be tested, how likely it holds.

    Where the deciding number has no interval it holds or fails for certain.
    """
    return {
        each.claim.key: chance(each.finding.plausible(draws), each.rule, each.threshold)
        for each in judged
        if each.finding is not None
    }


def verdict_table(judged: Sequence[Any], draws: int) -> pd.DataFrame:
    """A row a claim: what it says, the verdict, the number with its interval, threshold, chance."""
    known = chances(judged, draws)
    rows = []
    for each in judged:
        row = {
            "claim_stated": Words(
                *(f"**{each.claim.key}** {each.claim.text[x]}" for x in LANGUAGES)
            ),
            "verdict_given": _VERDICTS[each.verdict],
            "decided_by": NOTHING,
            "held_against": NOTHING,
            "chance_holds": NOTHING,
        }
        if each.finding is not None:
            about = each.finding.term
            row |= {
                "decided_by": with_interval(each.finding),
                "held_against": Words(
                    *(f"{each.rule} {about.format(each.threshold, x)}" for x in LANGUAGES)
                ),
                "chance_holds": _share(known[each.claim.key]),
            }
        rows.append(row)
    return pd.DataFrame(rows)


def tally(judged: Iterable[Any]) -> pd.DataFrame:
    """Claims by kind, a warning or a promise, and verdict."""
    frame = pd.DataFrame(
        {"tone": "promise" if each.promise else "warning", "verdict": each.verdict}
        for each in judged
    )
    counts = pd.crosstab(frame.tone, frame.verdict)
    counts = counts.reindex(index=["warning", "promise"], columns=list(_VERDICTS), fill_value=0)
    return counts.rename(columns=_VERDICTS).reset_index()


def listed(judged: Iterable[Any], comma: str) -> str:
    """The keys of the claims that promise a gain."""
    return comma.join(each.claim.key for each in judged if each.promise)


def kept(counts: pd.DataFrame, draws: int, rng: np.random.Generator) -> dict[str, Array]:
    """By kind, the share supported of those that can be tested; the stated share, then draws.

    Draws from the posterior of a share under Jeffreys' prior: what so few claims say about such
    claims in general, if they were a sample of them.
    """
    found = {}
    for row in counts.to_dict("records"):
        good = row["verdict_supported"]
        bad = row["verdict_depends"] + row["verdict_contradicted"]
        drawn = rng.beta(good + 0.5, bad + 0.5, draws)
        found[row["tone"]] = np.concatenate([[good / max(1, good + bad)], drawn])
    return found


# ── frame ─────────────────────────────────────────────────────────────────────────────────────


def frame_table(frame: Mapping[str, Mapping[str, Any]], cases: Sequence[str]) -> pd.DataFrame:
    """A row an element, a column a case; each number with its interval, linked to its row."""
    rows = [
        {
            "frame_element": element,
            **{case: with_interval(cells[case]) if case in cells else UNSAID for case in cases},
        }
        for element, cells in frame.items()
    ]
    return pd.DataFrame(rows)


def with_interval(finding: Any) -> Words:
    """``27% (13–43%)``, the value linked to its row."""
    ends = {"zh": "", "en": ""}
    if finding.low is not None and finding.low != finding.high:
        interval = {x: finding.term.interval(finding.low, finding.high, x) for x in LANGUAGES}
        ends = {"zh": f"（{interval['zh']}）", "en": f" ({interval['en']})"}
    return Words(finding.zh + ends["zh"], finding.en + ends["en"])


def over_cases(cells: Mapping[str, Any], draws: int, by: Any = np.mean) -> Array:
    """Mean, or what else ``by`` says, of an element over the cases; stated value, then draws."""
    return np.asarray(by([finding.plausible(draws) for finding in cells.values()], axis=0))


# ── guide ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Likeness:
    """How often each case is the nearest to a firm, and how far each lies at the stated values.

    Parameters
    ----------
    shares : by case, in [0, 1], summing to 1
    distances : by case, in standard deviations
    elements : what was compared
    """

    shares: dict[str, float]
    distances: dict[str, float]
    elements: tuple[str, ...]

    @property
    def nearest(self) -> str:
        """The case that is the nearest most often."""
        return max(self.shares, key=lambda case: self.shares[case])


def likeness(firm: Mapping[str, Any], frame: Mapping[str, Mapping[str, Any]]) -> Likeness:
    """Which case a firm resembles, by the elements that every case states.

    The distance is the root mean square of the differences, each over the standard deviation of
    that element among the plausible values of all cases (cut at their 5th and 95th percentiles),
    so that no element counts for more because its numbers are larger. Firm and cases are drawn
    together, and each draw has one nearest case.

    Parameters
    ----------
    firm : by element, shape (draws + 1,), the stated value first
    frame : by element and case, findings
    """
    cases = list(dict.fromkeys(case for cells in frame.values() for case in cells))
    shared = tuple(e for e in firm if e in frame and set(frame[e]) == set(cases))
    squares = 0.0
    for element in shared:
        own = np.asarray(firm[element], float)
        drawn = np.array([frame[element][case].plausible(own.size - 1) for case in cases])
        ends = np.quantile(drawn[:, 1:], [0.05, 0.95], axis=1)[..., None]
        scale = np.clip(drawn[:, 1:], *ends).std()
        squares = squares + ((own - drawn) / scale) ** 2
    distance = np.sqrt(squares / len(shared))
    nearest = distance[:, 1:].argmin(axis=0)
    return Likeness(
        {case: float(np.mean(nearest == i)) for i, case in enumerate(cases)},
        {case: float(distance[i, 0]) for i, case in enumerate(cases)},
        shared,
    )


def contact(p: Any, **changed: Any) -> Contact:
    """The firm's order through the channel, as the parameters state it; ``changed`` where not."""
    use = changed.pop("peak_use", p.firm_peak_use)
    stated = {
        "ticket": p.firm_ticket,
        "margin_share": p.firm_margin_share,
        "fee_share": p.firm_fee_share,
        "order_cost": p.firm_order_cost,
        "new_share": p.firm_new_share,
        "return_share": p.firm_return_share,
        "ordinary_return_share": p.firm_ordinary_return_share,
        "patience": p.firm_patience,
        "displaced_share": displaced_share(p.firm_places, use),
    }
    return Contact(**(stated | changed))


def profile(p: Any, **changed: Any) -> dict[str, Array]:
    """The firm in the units of the frame, by element; ``changed`` as for ``contact``."""
    order = contact(p, **changed)
    new = np.asarray(order.new_share, float)
    return {
        "traffic": 1.0 - new,
        "conversion": np.asarray(p.firm_response_share, float),
        "worth": np.asarray(order.worth_ratio, float),
        "cost": np.asarray(order.new_share_needed / new, float),
        "learning": p.firm_trial_stores / stores_needed(p),
    }


def likeness_by_new_share(
    p: Any, frame: Mapping[str, Mapping[str, Any]], shares: Array
) -> dict[str, Array]:
    """How often each case is the nearest, by the share of new orders, at a stated share each."""
    found = []
    for share in shares:
        moved = share + 0.0 * np.asarray(p.firm_new_share, float)
        found.append(likeness(profile(p, new_share=moved), frame).shares)
    return {case: np.array([each[case] for each in found]) for case in found[0]}


def place_worth(p: Any) -> Array:
    """What one more place at the peak saves an order that comes: M (x(c) - x(c + 1)), yuan."""
    load = np.asarray(p.firm_peak_use, float) * p.firm_places
    more = displaced_share(p.firm_places + 1, load / (p.firm_places + 1))
    return np.asarray(contact(p).margin * (displaced_share(p.firm_places, p.firm_peak_use) - more))


def tie(hazards: Array, leads: Array) -> Array:
    """The hazard from which starting now is the better; 0 where it always is, inf where never."""
    found = crossing(hazards, leads)
    return np.where(leads[0] > 0, 0.0, found)


def gain_by_use(p: Any, uses: Array) -> Array:
    """Gain of an order by use of the places at the peak, shape (uses, draws + 1)."""
    return np.array(
        [np.broadcast_arrays(contact(p, peak_use=use).gain, p.firm_new_share)[0] for use in uses]
    )


def least_effect(p: Any, stores: Any) -> Array:
    """Least effect, a share, that so many trial stores show."""
    return np.asarray(np.expm1(_trial(p, stores).least_effect()))


def stores_needed(p: Any) -> Array:
    """Trial stores from which the effect wanted shows; inf where four hundred are too few."""
    by_count = np.expm1(_trial(p, _MORE_STORES[:, None]).least_effect())
    found = crossing(_MORE_STORES.astype(float), by_count - p.firm_effect_wanted)
    enough = by_count[0] <= p.firm_effect_wanted
    return np.where(enough, 1.0, np.ceil(found))


def _trial(p: Any, stores: Any) -> Trial:
    return Trial(
        treated=stores,
        controls=p.firm_other_stores,
        before=p.firm_trial_weeks,
        after=p.firm_trial_weeks,
        noise=p.firm_noise,
        autocorrelation=p.firm_autocorrelation,
    )


def crowding_limit(p: Any, gain: Any) -> Array:
    """Part of the channel's gain that may be lost before its outlay is not repaid; below 0 it is not now."""
    prize = _prize(p, gain)
    some = prize > 0
    return np.where(some, 1.0 - p.firm_outlay / np.where(some, prize, 1.0), -np.inf)


def _annuity(p: Any) -> Array:
    """What a yuan a year is worth for as long as the gain lasts."""
    rate = p.firm_discount_rate
    return np.asarray((1 - (1 + rate) ** -np.asarray(p.firm_years, float)) / rate)


def _prize(p: Any, gain: Any) -> Array:
    """What the channel's gain is worth for as long as it lasts, yuan; 0 where an order loses."""
    yearly = 12 * p.firm_monthly_orders * np.asarray(gain, float)
    return np.asarray(np.maximum(yearly * _annuity(p), 0.0))


def start_lead(p: Any, gain: Any, hazard: Any) -> Array:
    """What starting now is worth beyond the better of waiting and leaving, yuan.

    The prize is the channel's gain for as long as it lasts, counted from the day it starts: who
    waits gets it later, which costs what money costs, and less of it once a rival is first.
    """
    rate = np.log1p(p.firm_discount_rate)
    option = Opportunity(
        value=_prize(p, gain),
        cost=p.firm_outlay,
        rate=rate,
        payout=rate,
        volatility=p.firm_volatility,
        rival_rate=hazard,
        kept_share=p.firm_kept_share,
        holding_cost=0.0,
        horizon=p.firm_window,
    )
    return np.asarray(option.choice(60).lead)


@dataclass(frozen=True)
class Check:
    """One thing that a case teaches to check, on the firm's own numbers.

    Parameters
    ----------
    term : what to check
    case : which case teaches it
    finding, values : the firm's number, to print and as draws
    rule, limit, against : the side on which it passes, and of what, to print and as draws
    """

    term: str
    case: str
    finding: Any
    values: Any
    rule: str
    limit: Any
    against: Any

    @property
    def chance(self) -> float:
        """How likely it passes."""
        own, other = np.broadcast_arrays(np.asarray(self.values), np.asarray(self.against))
        return chance(own - other, self.rule, 0.0)


def ordered(checks: Sequence[Check], alike: Likeness) -> list[Check]:
    """Those that the nearest case teaches first."""
    return sorted(checks, key=lambda each: -alike.shares.get(each.case, 0.0))


def guide_table(checks: Sequence[Check], alike: Likeness) -> pd.DataFrame:
    """A row a check, those of the nearest case first."""
    return pd.DataFrame(
        {
            "guide_rule": each.term,
            "guide_number": with_interval(each.finding),
            "guide_limit": Words(*(f"{each.rule} {getattr(each.limit, x)}" for x in LANGUAGES)),
            "chance_to_pass": _share(each.chance),
        }
        for each in ordered(checks, alike)
    )


def trade(case: str) -> Words:
    """The name of a case's trade."""
    return Words(term(case).zh, term(case).en)


def _share(value: float) -> Words:
    return Words(*(term("chance_to_hold").format(value, x) for x in LANGUAGES))

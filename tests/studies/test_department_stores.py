"""What the department stores notebook asks of models and data together."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from o2o_research import cases
from o2o_research.data.membership import MemberEvents, MemberLog, Weekly
from o2o_research.errors import DataError
from o2o_research.models.diffusion.bass import Bass
from o2o_research.models.investment.cashflows import npv
from o2o_research.models.members import Recruits
from o2o_research.studies import department_stores as study

DRAWS = 40
TRUTH = {
    "gift": Recruits.of_hazard(
        activation_share=0.5, first_hazard=0.5, hazard_spread=0.3, return_share=0.03
    ),
    "store": Recruits.of_hazard(
        activation_share=0.7, first_hazard=0.2, hazard_spread=0.2, return_share=0.1
    ),
}


@pytest.fixture(scope="module")
def p() -> Any:
    values = cases.Case("department_stores").defaults
    return SimpleNamespace(**cases.plausible("department_stores", values, DRAWS, 1))


@pytest.fixture(scope="module")
def base(p: Any) -> study.Membership:
    return study.membership(p, DRAWS, np.random.default_rng(1), None, None)


@pytest.fixture(scope="module")
def paths(p: Any) -> dict[str, study.Journeys]:
    return study.journeys(p, DRAWS, np.random.default_rng(2))


@pytest.fixture(scope="module")
def curves(
    p: Any, base: study.Membership, paths: dict[str, study.Journeys]
) -> dict[str, study.JCurve]:
    crowd = study.course(p, base, DRAWS + 1)
    return {name: study.j_curve(p, crowd, here, name) for name, here in paths.items()}


def member_log(rng: np.random.Generator, size: int = 4000) -> tuple[MemberLog, MemberEvents]:
    """Members of known hazards: half by gift on day one, half at the counter over eight months."""
    windows = 12
    joined = np.r_[np.zeros(size), np.sort(rng.uniform(0, 240, size))]
    source = np.repeat(["gift", "store"], size)
    who, at = [], []
    for k, name in enumerate(TRUTH):
        seen = TRUTH[name].simulate(size, windows, rng)
        row, window = np.nonzero(seen)
        who.append(row + k * size)
        at.append(joined[row + k * size] + 30.0 * window + rng.uniform(0, 30, row.size))
    member, when = np.concatenate(who), np.concatenate(at)
    inside = when <= 360
    member, when = member[inside], when[inside]
    last = np.full(joined.size, np.nan)
    np.fmax.at(last, member, when)
    log = MemberLog(
        np.array([f"m{i:06d}" for i in range(joined.size)]), joined, source, last, 360.0,
        pd.Timestamp("2014-05-10"),
    )  # fmt: skip
    return log, MemberEvents(member, when, np.full(member.size, "scan"))


# Members


def test_day_one_is_in_the_curve_from_the_start(p: Any, base: study.Membership) -> None:
    assert base.curve.cumulative(0.0) == pytest.approx(np.full(DRAWS + 1, p.day_one_members))


def test_the_head_start_is_when_the_bare_curve_has_day_ones_members(
    p: Any, base: study.Membership
) -> None:
    bare = replace(base.curve, impulse_share=0.0)
    assert bare.cumulative(study.head_start(base)) == pytest.approx(
        np.full(DRAWS + 1, p.day_one_members), rel=1e-9
    )


def test_every_recruit_comes_by_one_tactic(p: Any, base: study.Membership) -> None:
    parts = study.intake(p, base, 24, DRAWS + 1)
    joined = np.stack([base.curve.sales(t + 1.0) for t in range(24)])
    assert sum(parts.values()) == pytest.approx(joined, rel=1e-12)
    assert np.all(parts["gift"][0] >= p.day_one_members)


def test_at_the_flip_a_gift_costs_what_the_counter_does(p: Any, base: study.Membership) -> None:
    flip = study.hazard_flip(p, base, DRAWS)
    inner = flip > 1e-3
    assert inner.any()
    gift = base.tactics["gift"]
    spread = np.broadcast_to(gift.hazard_spread, flip.shape)[inner]
    trial = Recruits.of_hazard(
        activation_share=p.gift_activation[inner], first_hazard=flip[inner], hazard_spread=spread,
        return_share=p.gift_return[inner],
    )  # fmt: skip
    here = trial.cost_per_active(p.gift_cost[inner], 365 / 30)
    counter = base.tactics["store"].cost_per_active(p.store_cost, 365 / 30)[inner]
    assert here == pytest.approx(counter, rel=1e-5)


def test_hazards_are_found_again_in_a_log_of_known_members(p: Any) -> None:
    log, events = member_log(np.random.default_rng(3))
    found = study.membership(p, 200, np.random.default_rng(4), log, events)
    assert set(found.tactic_fits or {}) == {"gift", "store"}
    assert found.basis == "sample"
    for name, truth in TRUTH.items():
        left = np.asarray(found.tactics[name].active_share(9.0))
        low, high = np.quantile(left[1:], [0.001, 0.999])
        assert low < truth.active_share(9.0) < high
        assert np.ptp(left[1:]) < 0.15
    # Nobody came by a friend, so that tactic stays as assumed.
    assert np.array_equal(found.tactics["friend"].activation_share, p.friend_activation)


def test_without_events_a_pause_is_taken_for_the_end(p: Any) -> None:
    log, events = member_log(np.random.default_rng(3))
    blind = study.membership(p, 50, np.random.default_rng(4), log, None)
    assert blind.tactics["store"].return_share[0] == 0.0
    assert np.all(study.membership(p, 50, np.random.default_rng(4), log, events).tactics["store"].return_share > 0)  # fmt: skip


def test_a_log_too_small_for_anything_is_refused(p: Any) -> None:
    log, _ = member_log(np.random.default_rng(3), size=20)
    young = log._replace(joined=log.joined / 40, end=20.0)
    with pytest.raises(DataError, match=r"members: 40 members over 20 days; a curve wants 6"):
        study.membership(p, 10, np.random.default_rng(1), young, None)


def test_a_log_before_its_peak_leaves_the_market_open_up_to_the_city(p: Any) -> None:
    curve = Bass(market=400_000, innovation=0.002, imitation=0.06, impulse_share=0.02)
    weeks = curve.simulate(14, np.random.default_rng(5)) / 40
    joined = np.repeat(np.arange(14) * 7.0 + 0.5, weeks.astype(int))
    log = MemberLog(
        np.arange(joined.size).astype(str), joined, np.full(joined.size, ""),
        np.full(joined.size, np.nan), 98.0, pd.Timestamp("2014-05-10"),
    )  # fmt: skip
    found = study.membership(p, 60, np.random.default_rng(6), log, None)
    assert found.curve_fit is not None
    assert not found.curve_fit.peak_seen
    _, low, high = study.market_now(p, found, study.Seen(*np.ones((4, 1))))
    assert low <= 10_000
    assert high > 20_000
    assert np.all(found.curve.market <= p.city_people)
    own = study.Own(log, None, None)
    assert "高峰尚未出现" in study.note(found, own, None, "zh")
    assert "the peak is not seen yet" in study.note(found, own, None, "en")


# Touchpoints


def test_sessions_end_somewhere(paths: dict[str, study.Journeys]) -> None:
    for here in paths.values():
        ends = sum(here.ending(end) for end in study.ENDS)
        assert ends == pytest.approx(np.full(DRAWS + 1, sum(here.entries.values())), rel=1e-9)


def test_nothing_reaches_the_counter_without_the_store(paths: dict[str, study.Journeys]) -> None:
    for here in paths.values():
        # Draws from the posterior give moves never seen a small chance.
        assert here.removal("store", "counter")[0] == pytest.approx(1.0)
        assert here.removal("web", "counter")[0] < here.removal("wechat", "counter")[0]


def test_moves_are_counted_within_a_day(p: Any) -> None:
    steps = [
        ("a", 0.0, "wechat"), ("a", 0.1, "store"), ("a", 0.2, "counter"),
        ("a", 9.0, "wechat"), ("b", 1.0, "mobile"), ("b", 1.1, "online"),
        ("b", 5.0, "web"), ("b", 7.0, "store"), ("a", 9.2, "message"),
    ]  # fmt: skip
    names = {"a": 0, "b": 1}
    log = MemberEvents(
        np.array([names[w] for w, _, _ in steps]), np.array([t for _, t, _ in steps]),
        np.array([e for _, _, e in steps]),
    )  # fmt: skip
    counts = study.moves_of(log)
    assert counts is not None
    by = {(a, b): counts[i, j] for i, a in enumerate(study.STATES) for j, b in enumerate((*study.STATES, *study.ENDS))}  # fmt: skip
    seen = {pair: n for pair, n in by.items() if n}
    assert seen == {
        ("wechat", "store"): 1, ("store", "counter"): 1, ("wechat", "gone"): 1,
        ("mobile", "online"): 1, ("web", "gone"): 1, ("store", "gone"): 1,
    }  # fmt: skip


def test_whoever_lives_on_wechat_alone_depends_on_it_whole(
    p: Any, paths: dict[str, study.Journeys]
) -> None:
    hanging = {name: study.dependence(p, here, p.store_margin) for name, here in paths.items()}
    assert np.all(hanging["wechat_alone"] == 1)
    assert np.all((hanging["four_touchpoints"] > 0) & (hanging["four_touchpoints"] < 1))


def test_at_the_flip_nothing_comes_back_net(p: Any, paths: dict[str, study.Journeys]) -> None:
    here = paths["four_touchpoints"]
    moved = study.moved_a_month(p, here)
    flip = moved / (study.counter_a_month(p, here) / p.extra_visit_share)
    at = SimpleNamespace(**(vars(p) | {"extra_visit_share": flip}))
    assert study.counter_a_month(at, here) == pytest.approx(moved, rel=1e-9)


# Brands


def test_starts_above_the_line_grow_and_below_it_do_not(p: Any, base: study.Membership) -> None:
    mall = study.stated_mall(study.mall(p, base))
    brands = np.array([0.3, 0.45, 0.6])
    line = study.critical_members(mall, brands)
    inner = np.isfinite(line) & (line > 0)
    assert inner.any()
    assert study.grows(mall, line[inner] + 0.01, brands[inner]).all()
    assert not study.grows(mall, line[inner] - 0.01, brands[inner]).any()
    assert np.all(np.diff(line) <= 0)


def test_more_of_each_lever_brings_more_orders(p: Any, base: study.Membership) -> None:
    mall, begun = study.mall(p, base), np.minimum(study.day_one_active(base), 1.0)
    for each in study.lever_elasticities(mall, begun, p.first_brands, 24).values():
        assert np.all(each > -1e-6)


# Money


def test_what_is_brought_less_what_is_committed_is_the_value(
    curves: dict[str, study.JCurve],
) -> None:
    for each in curves.values():
        assert each.prize - each.cost == pytest.approx(each.value, rel=1e-9, abs=1e-3)
        assert each.value == pytest.approx(npv(each.flows, each.rate), rel=1e-12)


def test_the_staged_choice_is_worth_what_the_curve_is(
    p: Any, curves: dict[str, study.JCurve]
) -> None:
    for draw in range(5):
        here = curves["wechat_alone"]
        case = study.staged(p, here, 0.4, draw)
        prize = float(case.prize(case.members, case.margin))
        assert prize == pytest.approx(here.prize[draw], rel=1e-9)
        assert case.pilot_cost + case.roll_out_cost == pytest.approx(here.cost[draw])


def test_a_policy_lies_between_its_bounds_and_above_the_best_single_act(
    p: Any, curves: dict[str, study.JCurve]
) -> None:
    answer = study.solve_staged(study.staged(p, curves["wechat_alone"], 0.4), 7, paths=500)
    assert answer.lower[1] <= answer.upper[2]
    assert answer.lower[0] >= max(answer.today["invest"], 0.0) - 3 * (answer.lower[0] - answer.lower[1])  # fmt: skip


def test_the_defence_flip_is_where_doing_equals_not_doing(
    p: Any, curves: dict[str, study.JCurve]
) -> None:
    here = curves["four_touchpoints"]
    flip = study.defence_flip(p, here)
    at = SimpleNamespace(**(vars(p) | {"defence_share": flip}))
    losing = here.value < 0
    assert losing.any()
    assert study.doing(at, here)[losing] == pytest.approx(np.zeros(losing.sum()), abs=1.0)


def test_a_rival_who_never_comes_takes_nothing(p: Any, curves: dict[str, study.JCurve]) -> None:
    assert study.defence(p, curves["wechat_alone"], 0.0) == pytest.approx(np.zeros(DRAWS + 1))


def test_weeks_become_months_without_losing_money(p: Any) -> None:
    weeks = 30
    week = Weekly(
        pd.Timestamp("2014-05-12"), np.full(weeks, 700.0), np.arange(weeks) * 70.0,
        np.full(weeks, 1e6), np.where(np.arange(weeks) == 3, np.nan, 2e5),
    )  # fmt: skip
    known = study.calibration(week, 50, np.random.default_rng(1))
    assert known is not None
    assert known.spent == pytest.approx(np.full(7, 3000.0))
    assert known.online.sum() == pytest.approx(week.online.sum(), rel=1e-9)
    assert known.margin[0] == pytest.approx(0.2, rel=2e-3)


def test_the_companys_weeks_stand_in_the_curve(
    p: Any, base: study.Membership, paths: dict[str, study.Journeys]
) -> None:
    weeks = 26
    week = Weekly(
        pd.Timestamp("2014-05-12"), np.full(weeks, 7e4), np.linspace(1e4, 2e5, weeks),
        np.full(weeks, 6e7), 0.19 * (6e7 + np.linspace(1e4, 2e5, weeks)),
    )  # fmt: skip
    known = study.calibration(week, DRAWS, np.random.default_rng(1))
    assert known is not None
    crowd = study.course(p, base, DRAWS + 1)
    here = study.j_curve(p, crowd, paths["wechat_alone"], "wechat_alone", known)
    assert here.observed == known.online.size == 6
    assert here.investment[:6] == pytest.approx(np.full((6, DRAWS + 1), 3e5))
    kept = known.online[:, None] * p.new_order_share * known.margin
    assert here.operating[:6] == pytest.approx(kept)
    assert np.all(here.running[:6] == 0)


def test_weeks_without_any_margin_are_refused() -> None:
    week = Weekly(
        pd.Timestamp("2014-05-12"), np.ones(9), np.ones(9), np.ones(9), np.full(9, np.nan)
    )
    with pytest.raises(DataError, match="weekly: margin is empty in every week"):
        study.calibration(week, 10, np.random.default_rng(1))

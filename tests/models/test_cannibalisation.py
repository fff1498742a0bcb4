"""An online shop's arithmetic and the experiment that splits its sales."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm, ttest_ind

from o2o_research.models.cannibalisation import ExposureTrial, OnlineShop, exposure_effect

SHOP = {
    "daily_orders": 50.0, "ticket": 200.0, "promotion_days": 20.0, "promotion_multiple": 6.0,
    "moved_share": 0.4, "margin_share": 0.5, "extra_cost": 12.0,
}  # fmt: skip


def trial(
    rng: np.random.Generator, customers: int, online: float, store: float
) -> tuple[np.ndarray, ...]:
    exposed = rng.random(customers) < 0.5
    habit = rng.gamma(2, 50, customers)
    earlier = habit + rng.normal(0, 20, customers)
    bought = rng.normal(online, 30, customers) * exposed
    return exposed, bought, habit + rng.normal(0, 20, customers) + store * exposed, earlier


def test_ten_million_a_year_is_so_many_orders_a_day() -> None:
    plain = OnlineShop(**(SHOP | {"promotion_days": 0.0}))
    assert float(plain.daily_orders_for(10e6)) == pytest.approx(10e6 / 365 / 200)


def test_orders_for_a_target_reach_it() -> None:
    need = OnlineShop(**SHOP).daily_orders_for(10e6)
    assert float(OnlineShop(**(SHOP | {"daily_orders": need})).sales) == pytest.approx(10e6)


@given(st.floats(0, 1), st.floats(0.05, 1), st.floats(0, 60))
def test_beyond_the_break_even_moved_share_the_shop_costs_money(
    moved: float, margin: float, cost: float
) -> None:
    shop = OnlineShop(**(SHOP | {"moved_share": moved, "margin_share": margin, "extra_cost": cost}))
    if moved < float(shop.break_even_moved) - 1e-9:
        assert float(shop.contribution) > 0
    elif moved > float(shop.break_even_moved) + 1e-9:
        assert float(shop.contribution) < 0


def test_year_by_day_sums_to_the_closed_form() -> None:
    days = np.where(np.arange(365) < 20, 6.0, 1.0) * 50
    assert float(OnlineShop(**SHOP).orders) == pytest.approx(days.sum())


def test_online_and_store_effects_add_up_to_the_total() -> None:
    exposed, online, store, earlier = trial(np.random.default_rng(1), 4000, 30, -12)
    for before in (None, earlier):
        found = exposure_effect(exposed, online, store, earlier=before)
        assert found.total.value == pytest.approx(found.online.value + found.store.value)
        assert found.moved_share == pytest.approx(1 - found.total.value / found.online.value)


def test_without_earlier_spending_it_is_welch() -> None:
    exposed, online, store, _ = trial(np.random.default_rng(2), 500, 30, -12)
    found = exposure_effect(exposed, online, store)
    both = online + store
    other = ttest_ind(both[exposed], both[~exposed], equal_var=False)
    assert found.total.value / found.total.stderr == pytest.approx(other.statistic)


def test_earlier_spending_narrows_the_interval_and_keeps_its_coverage() -> None:
    rng, trials = np.random.default_rng(3), 300
    held = narrower = moved = 0
    for _ in range(trials):
        exposed, online, store, earlier = trial(rng, 800, 30, -12)
        plain = exposure_effect(exposed, online, store)
        found = exposure_effect(exposed, online, store, earlier=earlier)
        held += found.store.low <= -12 <= found.store.high
        moved += found.moved_low <= 0.4 <= found.moved_high
        narrower += found.store.stderr < plain.store.stderr
    assert narrower == trials
    for count in (held, moved):
        assert abs(count / trials - 0.9) < 3 * np.sqrt(0.09 / trials)


def test_fieller_ends_are_where_the_contrast_is_just_rejected() -> None:
    exposed, online, store, _ = trial(np.random.default_rng(4), 300, 30, -12)
    found = exposure_effect(exposed, online, store)
    for ratio in (found.moved_low, found.moved_high):
        mixed = ratio * online + store
        gap = mixed[exposed].mean() - mixed[~exposed].mean()
        error = np.sqrt(
            mixed[exposed].var(ddof=1) / exposed.sum()
            + mixed[~exposed].var(ddof=1) / (~exposed).sum()
        )
        assert abs(gap) / error == pytest.approx(norm.ppf(0.95))


def test_no_online_effect_leaves_the_moved_share_unbounded() -> None:
    exposed, online, store, _ = trial(np.random.default_rng(5), 60, 0, 0)
    found = exposure_effect(exposed, online * 0 + np.random.default_rng(6).normal(0, 5, 60), store)
    assert (found.moved_low, found.moved_high) == (-np.inf, np.inf)


def test_a_mailing_on_real_customers_adds_spending(shared_data: Path) -> None:
    table = pd.read_csv(shared_data / "hillstrom_email/hillstrom.csv.gz")
    table = table[table.segment != "Womens E-Mail"]
    mailed = (table.segment == "Mens E-Mail").to_numpy()
    spend = table.spend.to_numpy(float)
    channel_online = np.where(table.channel == "Web", spend, 0.0)
    found = exposure_effect(
        mailed, channel_online, spend - channel_online, earlier=table.history.to_numpy(float)
    )
    assert found.total.value == pytest.approx(
        spend[mailed].mean() - spend[~mailed].mean(), abs=0.05
    )
    assert found.total.low > 0


def test_bad_shops_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"moved_share=1.4 must lie in \[0, 1\]"):
        OnlineShop(**(SHOP | {"moved_share": 1.4}))
    with pytest.raises(ValueError, match="1 exposed and 3 held-out"):
        exposure_effect([1, 0, 0, 0], np.ones(4), np.ones(4))


PLAN = {
    "buyers_share": 0.1, "ticket": 200.0, "moved_share": 0.4, "store_spending": 100.0,
    "store_variation": 1.5, "foreseen_share": 0.5,
}  # fmt: skip


def test_a_planned_trial_errs_as_much_as_it_says_and_buyers_mislead() -> None:
    rng, plan = np.random.default_rng(31), ExposureTrial(**PLAN)
    found, held, naive, trials = [], 0, [], 150
    for _ in range(trials):
        people = plan.draw(20_000, rng)
        effect = exposure_effect(
            people["exposed"], people["online"], people["store"], earlier=people["earlier"]
        )
        found.append(effect.moved_share)
        held += effect.moved_low <= 0.4 <= effect.moved_high
        buyer = people["online"] > 0
        naive.append((people["store"][~buyer].mean() - people["store"][buyer].mean()) / 200)
    stderr = float(plan.moved_stderr(20_000))
    assert np.mean(found) == pytest.approx(0.4, abs=4 * stderr / np.sqrt(trials))
    assert np.std(found) == pytest.approx(stderr, rel=4 / np.sqrt(2 * trials))
    assert abs(held / trials - 0.9) < 3 * np.sqrt(0.09 / trials)
    assert max(naive) < 0.1  # buyers spend more anyway


def test_the_customers_a_trial_needs_bring_the_error_asked_for() -> None:
    plan = ExposureTrial(**PLAN)
    n = plan.customers_for(0.05)
    assert 1.6448536 * float(plan.moved_stderr(n)) == pytest.approx(0.05, rel=1e-6)
    uneven = ExposureTrial(**PLAN, shown_share=0.9)
    assert float(uneven.customers_for(0.05)) == pytest.approx(float(n) * 0.25 / 0.09)


def test_drawn_customers_spend_what_the_plan_says() -> None:
    people = ExposureTrial(**PLAN).draw(300_000, np.random.default_rng(32))
    hidden = people["exposed"] == 0
    assert people["earlier"].mean() == pytest.approx(100, rel=0.02)
    assert people["store"][hidden].std() == pytest.approx(150, rel=0.03)
    both = np.corrcoef(people["store"][hidden], people["earlier"][hidden])[0, 1]
    assert both**2 == pytest.approx(0.5, abs=0.02)
    assert not people["online"][hidden].any()
    assert people["online"][~hidden].mean() == pytest.approx(20, rel=0.03)


def test_a_trial_outside_its_domain_is_refused() -> None:
    with pytest.raises(ValueError, match="foreseen_share=1 must lie in"):
        ExposureTrial(**(PLAN | {"foreseen_share": 1}))

"""What the phones notebook asks of models and data together."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from o2o_research import cases
from o2o_research.models.choice import Nests
from o2o_research.studies import phones as study


@pytest.fixture(scope="module")
def p() -> Any:
    values = cases.Case("phones").defaults
    return SimpleNamespace(**cases.plausible("phones", values, 40, 1))


def test_the_web_alone_sells_at_the_articles_pace(p: Any) -> None:
    # Calibrated so: 4 million in 5 months, a year's worth of it.
    here = study.channels(p, study.assumed_taste(p))
    units = here.shares([0]).sum(axis=-1) * p.phones_a_year
    assert units == pytest.approx(np.full(units.shape, 4e6 * 12 / 5), rel=1e-9)


def test_todays_crowd_sells_at_todays_price(p: Any) -> None:
    now = study.crowd(p, study.assumed_taste(p))
    assert now.at(p.online_rivals + 1).price == pytest.approx(np.full(41, p.online_price), rel=1e-9)


def test_rivals_limit_is_where_profit_turns(p: Any) -> None:
    now = study.crowd(p, study.assumed_taste(p))
    limit = study.rivals_limit(p, now)
    ok = np.isfinite(limit) & (limit > 0)
    around = study.crowd_profit(p, now, [np.floor(limit[0]), np.ceil(limit[0])])[:, 0]
    assert around[0] > 0 > around[1]
    assert ok.mean() > 0.5


def test_coming_on_time_keeps_everything_and_later_less(p: Any) -> None:
    kept = study.lateness(p, 3, [0.0, 3.0, 9.0], 5)
    assert kept[0] == pytest.approx(np.ones(6), rel=1e-9)
    assert np.all(np.diff(kept, axis=0) < 0)


def test_learning_is_worth_at_least_going_blind_later(p: Any) -> None:
    plan = study.abroad(p)
    later = np.asarray(plan.value(study.launches(p, p.launch_gap)))[1:]
    once = np.asarray(plan.value(study.launches(p, 0.0)))[1:]
    assert study.learning_gain(p) >= later.mean() - once.mean() - 1e-6
    # The dearer the entry, the more it helps to look first.
    costs = np.array([0.5, 1.0, 2.0, 4.0]) * 15e6
    assert np.all(np.diff(study.learning_by_cost(p, costs)) > 0)


def test_more_knowledge_narrows_lifetime_sales(p: Any) -> None:
    known = study.curves(p, np.random.default_rng(1), life=True)
    total = known.lifetime_sales
    later = study.knowing_more(known, 10, 5, 0.05)
    assert later.high / later.low < total.high / total.low
    blind = study.knowing_more(known, 10, 5, 1e6)
    assert (blind.low, blind.high) == pytest.approx((total.low, total.high), rel=0.01)


def test_censoring_reads_the_market_better_than_sales_do(p: Any) -> None:
    known = study.curves(p, np.random.default_rng(1), life=True)
    flash = study.flash_sales(p, known, 24, np.random.default_rng(2))
    assert abs(flash.fitted - flash.truth) < abs(flash.naive - flash.truth)
    assert np.all(flash.sold <= p.stock_a_month * (1 + 1e-9))
    assert 0 < flash.hidden < 1


def test_market_paths_start_at_the_base(p: Any) -> None:
    paths = study.market_paths(p, 40, np.random.default_rng(1), [0.0, 2.0])
    assert paths[0] == pytest.approx(p.o2o_market_2013, rel=1e-12)
    assert np.all(paths[1] > paths[0])


def choices(folder: Path, cases_: int, dissimilarity: float = 1.0) -> Path:
    """Choices by people who weigh a day's wait like 10 yuan and a trial like 80, spread 150."""
    nests = Nests(nest=np.array([1, 0, 0, 0]), dissimilarity=np.array([dissimilarity, 1.0]))
    rng = np.random.default_rng(8)
    rows = []
    for case in range(cases_):
        price = 800 + rng.normal(0, 80, 3)
        wait = np.array([rng.integers(1, 15), 0, 0])
        trial = np.array([0.0, rng.integers(0, 2), 1.0])
        v = (750 - price - 10 * wait + 80 * trial) / 150
        taken = rng.choice(4, p=nests.shares(np.r_[0.0, v]))
        for place, name in enumerate(("none", "online", "carrier", "retail")):
            own = place - 1
            rows.append(
                {
                    "case_id": case, "person_id": case // 3, "alternative": name,
                    "chosen": int(place == taken), "price": price[own] if place else 0.0,
                    "waiting": wait[own] if place else 0, "trial": trial[own] if place else 0,
                }
            )  # fmt: skip
    pd.DataFrame(rows).to_csv(folder / "choices.csv", index=False)
    return folder / "choices.csv"


def test_tastes_are_estimated_from_choices_and_the_rest_stays_assumed(
    p: Any, tmp_path: Path
) -> None:
    taste = study.taste_of(str(choices(tmp_path, 1500)), p, 40, np.random.default_rng(3))
    assert taste.source == "taste_fitted"
    assert taste.fitted == ("price", "waiting", "trial")
    assert taste.n == 1500
    for found, truth in ((taste.spread, 150.0), (taste.waiting, 10.0), (taste.trial, 80.0)):
        assert found.shape == (41,)
        assert abs(found[0] - truth) < 4 * found[1:].std()
        assert abs(found[0] - truth) < 0.4 * truth
    assert taste.service is p.service_worth
    assert "after-sales" in study.taste_note(taste, "en")
    assert "售后" in study.taste_note(taste, "zh")


@pytest.mark.parametrize(("truth", "refuted"), [(1.0, False), (0.4, True)])
def test_a_log_tells_whether_channels_are_alike(
    p: Any, tmp_path: Path, truth: float, refuted: bool
) -> None:
    log = choices(tmp_path, 1500, truth)
    taste = study.taste_of(str(log), p, 40, np.random.default_rng(3))
    found = taste.nesting
    assert found is not None
    assert abs(found.dissimilarity - truth) < 3 * found.stderr
    assert (found.chance < 0.01) == refuted
    assert ("does not refute" in study.taste_note(taste, "en")) == (not refuted)
    assert study.channels(p, taste).dissimilarity is taste.dissimilarity
    assert np.all((taste.dissimilarity > 0) & (taste.dissimilarity <= 1))
    # Nobody who goes without: nothing tells the group, and it stays as assumed.
    rows = pd.read_csv(log)
    bought = rows[(rows.alternative != "none") & (rows.chosen == 1)].case_id
    rows[(rows.alternative != "none") & rows.case_id.isin(bought)].to_csv(log, index=False)
    silent = study.taste_of(str(log), p, 40, np.random.default_rng(3))
    assert silent.nesting is None
    assert silent.dissimilarity is p.channel_dissimilarity


def test_scores_of_a_clean_curve_beat_the_last_value() -> None:
    from o2o_research.models.diffusion.bass import Bass

    units = 1e6 * np.asarray(
        Bass(market=1.0, innovation=0.02, imitation=0.35).sales(np.arange(1, 31))
    )
    scores = study.scores_of({"clean": units}, np.random.default_rng(1))
    summary = study.score_summary(scores)
    assert summary.bass < 0.05 < summary.naive
    assert summary.wins == 1.0
    table = study.score_table(scores)
    assert table.forecast_method.tolist() == ["bass_method", "naive_method", "drift_method"]


def test_a_brand_with_marks_in_its_name_does_not_break_a_table() -> None:
    from o2o_research.figures import Table

    units = np.array([1.0, 3, 6, 9, 11, 12, 11, 8, 5, 3])
    text = Table(study.fit_table({"a|b: *c*": units})).markdown("en")
    assert len({line.count(" | ") for line in text.splitlines()}) == 1

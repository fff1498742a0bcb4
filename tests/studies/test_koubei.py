"""How 2,000 offline shops took up payment by Alipay, read as members are: when each starts, how it grows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from o2o_research.data.membership import read_member_events, read_members
from o2o_research.models.diffusion.fitting import MarketUnknown, fit_bass
from o2o_research.models.members import paths_of_events
from o2o_research.studies import department_stores as study

FIRST = pd.Timestamp("2015-06-26")
# The organisers chose 2,000 shops that lived on: the market of this log is known.
SHOPS = 2000


@pytest.fixture(scope="module")
def payments(shared_data: Path) -> pd.DataFrame:
    file = shared_data / "koubei_ijcai17" / "shop_daily_pay.csv.gz"
    if not file.exists():
        pytest.skip(
            "daily payments of the Koubei shops (koubei_ijcai17) are not beside the project"
        )
    return pd.read_csv(file, parse_dates=["date"])


@pytest.fixture(scope="module")
def log(payments: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Shops as members, days with payments as what they did: the road of a company's own log."""
    folder = tmp_path_factory.mktemp("koubei")
    by_shop = payments.groupby("shop_id")["date"]
    members = pd.DataFrame(
        {
            "member_id": [f"s{i:04d}" for i in by_shop.min().index],
            "joined_at": by_shop.min().dt.strftime("%Y-%m-%d").to_numpy(),
            "source": "",
            "last_active_at": by_shop.max().dt.strftime("%Y-%m-%d").to_numpy(),
        }
    )
    members.to_csv(folder / "members.csv", index=False)
    events = pd.DataFrame(
        {
            "member_id": "s" + payments.shop_id.astype(str).str.zfill(4),
            "happened_at": payments.date.dt.strftime("%Y-%m-%d"),
            "event": "purchase",
            "amount": "",
        }
    )
    events.to_csv(folder / "member_events.csv", index=False)
    return read_member_events(folder / "member_events.csv", read_members(folder / "members.csv"))


def test_most_shops_start_within_the_log_and_not_on_day_one(log: Any) -> None:
    members, _ = log
    joins = study.weekly_joins(members)
    assert members.joined.size == SHOPS
    assert joins.size == 70
    # 85 shops in the first week, and the middle shop in the 22nd week.
    first, middle = joins[0] / SHOPS, np.median(members.joined) / 7
    assert first < 0.2
    assert 5 < middle < 40


def test_half_way_the_curve_says_that_it_does_not_know_the_shops(log: Any) -> None:
    joins = study.weekly_joins(log[0])[:26]
    with pytest.warns(MarketUnknown):
        half = fit_bass(joins)
    low, high = half.market_interval()
    assert not half.peak_seen
    assert low < SHOPS
    assert high == np.inf


def test_a_first_wave_of_recruiting_fools_the_curve(log: Any) -> None:
    # Sales teams sign shops in waves; after the first one a curve takes its end for the peak.
    early = fit_bass(study.weekly_joins(log[0])[:13])
    assert early.peak_seen
    assert early.market_interval()[1] < SHOPS


def test_after_it_the_curve_finds_them(log: Any) -> None:
    fit = fit_bass(study.weekly_joins(log[0]))
    low, high = fit.market_interval()
    assert fit.peak_seen
    assert low < 1.1 * SHOPS
    assert high > 0.9 * SHOPS


def test_a_shop_that_has_started_hardly_falls_silent(log: Any) -> None:
    members, events = log
    old = members.end - members.joined >= study.WINDOW
    place = np.cumsum(old) - 1
    done = old[events.member]
    paths = paths_of_events(
        members.joined[old], place[events.member[done]], events.at[done], members.end, study.WINDOW
    )
    lapses, faced = np.sum(paths.lapses), np.sum(paths.lapses) + np.sum(paths.stays)
    # These shops were picked for living on: the opposite of members won by a gift.
    assert lapses / faced < 0.02


def test_payments_grow_with_the_age_of_a_shop(payments: pd.DataFrame) -> None:
    start = payments.groupby("shop_id")["date"].transform("min")
    age = ((payments.date - start).dt.days // 30).rename("age")
    monthly = payments.groupby(["shop_id", age])["pay_count"].sum().unstack()
    # Shops that start within the log and are watched for a year: the same ones at each age.
    watched = monthly[payments.groupby("shop_id")["date"].min() > FIRST + pd.Timedelta(days=14)]
    watched = watched.dropna(subset=list(range(12)))[list(range(12))]
    growth = watched.median() / watched[0].median()
    assert len(watched) > 100
    assert growth[3] > 1.2
    assert growth[11] > growth[3] * 0.8

"""Store logs are read checked, and lead to the models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from o2o_research.data.stores import read_sku_sales, read_store_weeks
from o2o_research.errors import DataError
from o2o_research.models.causal.did import did
from o2o_research.models.causal.panel import panel_from_rows
from o2o_research.models.causal.synthetic import synthetic_did
from o2o_research.models.inventory import fit_poisson_demand

WEEKS = "store,week,footfall,transactions,sales,units,converted_on\n"
SKUS = "store,sku,size,colour,day,sold,stock\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "log.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_conversion_in_midweek_counts_from_the_next_week(tmp_path: Path) -> None:
    days = ("2014-03-03", "2014-03-10", "2014-03-17")
    rows = [
        f"a,{day},100,10,{100 * k},12,2014-03-05\nb,{day},,9,90,,\n"
        for k, day in enumerate(days, 1)
    ]
    frame = read_store_weeks(write(tmp_path, WEEKS + "".join(rows)))
    panel = panel_from_rows(frame.store, frame.week, frame.sales, frame.converted_on)
    assert panel.start.tolist() == [1, 3]
    assert panel.outcome.tolist() == [[100, 200, 300], [90, 90, 90]]


def test_a_conversion_after_the_last_week_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match="store 'a' was converted on 2014-06-01, after the last week"
    ):
        read_store_weeks(write(tmp_path, WEEKS + "a,2014-03-03,1,1,1,1,2014-06-01\n"))


def test_negative_sales_are_refused_by_row(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="sales, row 2: -5"):
        read_store_weeks(write(tmp_path, WEEKS + "a,2014-03-03,1,1,-5,1,\n"))


def test_sales_beyond_stock_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="sold, row 2: 3 is more than stock"):
        read_sku_sales(write(tmp_path, SKUS + "a,k,M,red,2014-03-03,3,2\n"))


def test_size_sales_lead_to_demand_behind_stockouts(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    days = pd.date_range("2014-03-01", periods=120)
    demand = rng.poisson(2.0, 120)
    rows = [f"a,k,M,,{day:%Y-%m-%d},{min(d, 2)},2" for day, d in zip(days, demand, strict=True)]
    frame = read_sku_sales(write(tmp_path, SKUS + "\n".join(rows) + "\n"))
    rate, error = fit_poisson_demand(frame.sold, frame.sold >= frame.stock)
    assert abs(float(rate) - 2) < 3 * float(error)
    assert frame.sold.mean() < 1.7


def test_an_injected_lift_comes_back_through_the_weekly_table(
    shared_data: Path, tmp_path: Path
) -> None:
    table = pd.read_csv(shared_data / "koubei_ijcai17/shop_daily_pay.csv.gz", parse_dates=["date"])
    table = table[(table.date >= "2016-03-07") & (table.date <= "2016-10-30")]
    table["week"] = table.date - pd.to_timedelta(table.date.dt.day_of_week, unit="D")
    weeks = table.groupby(["shop_id", "week"]).pay_count.agg(["sum", "size"]).reset_index()
    whole = weeks.groupby("shop_id")["size"].transform(lambda s: (len(s) == 34) and (s >= 6).all())
    weeks = weeks[whole.astype(bool)]
    shops = weeks.shop_id.unique()
    treated = np.random.default_rng(2).choice(shops, 200, replace=False)
    weeks["converted_on"] = np.where(weeks.shop_id.isin(treated), "2016-07-25", "")
    after = (weeks.converted_on != "") & (weeks.week >= "2016-07-25")
    weeks["sales"] = weeks["sum"] * np.where(after, 1.25, 1.0)
    log = weeks.rename(columns={"shop_id": "store", "sum": "transactions"})
    log["footfall"], log["units"] = "", ""
    order = ["store", "week", "footfall", "transactions", "sales", "units", "converted_on"]
    log[order].to_csv(tmp_path / "weeks.csv", index=False)
    frame = read_store_weeks(tmp_path / "weeks.csv")
    panel = panel_from_rows(frame.store, frame.week, frame.sales, frame.converted_on).logs()
    effect = did(panel)
    assert effect.low <= np.log(1.25) <= effect.high
    assert synthetic_did(panel).effect == pytest.approx(np.log(1.25), abs=3 * effect.stderr)

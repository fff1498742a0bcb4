"""The phones notebook on real series as a sales log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import pytest


def run(root: Path, cells: set[str], **parameters: Any) -> dict[str, Any]:
    """The cells named, and those that open the case, with parameters put in."""
    notebook = nbformat.read(root / "notebooks" / "phones.ipynb", as_version=4)
    space: dict[str, Any] = {}
    for cell in notebook.cells:
        if cell.cell_type == "code" and cell.id in cells | {"parameters", "open"}:
            exec(compile(cell.source, cell.id, "exec"), space)
            if cell.id == "parameters":
                space |= parameters
    return space


def long(frame: pd.DataFrame, days: pd.DatetimeIndex) -> pd.DataFrame:
    """Columns of units by period as rows of the sales table."""
    rows = frame.set_axis(days).rename_axis("period").reset_index()
    sales = rows.melt("period", var_name="brand", value_name="units").dropna(subset="units")
    return sales.assign(channel="", country="", price="")


@pytest.mark.slow
def test_apples_products_as_a_sales_log(shared_data: Path, root: Path, tmp_path: Path) -> None:
    file = shared_data / "diffusion" / "apple_quarterly_unit_sales_millions.csv"
    table = pd.read_csv(file)[["iPhone", "iPad", "iPod"]] * 1e6
    days = pd.date_range("1998-10-01", periods=len(table), freq="QS")
    log = tmp_path / "apple.csv"
    long(table, days).to_csv(log, index=False)
    space = run(
        root, {"two-numbers-models", "forecast-numbers", "forecast-chart"}, sales_log=str(log)
    )
    assert set(space["series"]) == {"own:iPhone", "own:iPad", "own:iPod"}
    assert space["series"]["own:iPhone"].size == 44
    scores = {(each.series, each.method): each for each in space["scores"]}
    assert len(scores) == 9
    # Worked by hand from the file: the last value of the first third against the rest.
    units = space["series"]["own:iPhone"]
    seen = round(units.size / 3)
    by_hand = np.abs(units[seen:] - units[seen - 1]).mean() / units[seen:].mean()
    assert scores["own:iPhone", "naive"].error == pytest.approx(by_hand, rel=1e-12)
    step = (units[seen - 1] - units[0]) / (seen - 1)
    line = units[seen - 1] + step * np.arange(1, units.size - seen + 1)
    drift = np.abs(units[seen:] - line).mean() / units[seen:].mean()
    assert scores["own:iPhone", "drift"].error == pytest.approx(drift, rel=1e-12)
    for each in space["scores"]:
        assert each.error > 0
        assert np.isnan(each.covered_share) or 0 <= each.covered_share <= 1
    assert space["curve_error"].basis == "sample"


@pytest.mark.slow
def test_mobile_subscriptions_in_china_as_a_sales_log(
    shared_data: Path, root: Path, tmp_path: Path
) -> None:
    file = shared_data / "diffusion" / "gapminder_cell_phones_total_chn_deu_dnk.csv"
    stock = pd.read_csv(file).pivot(index="year", columns="geo", values="mobile_subscriptions")
    # Subscriptions are a stock: what a year adds is what diffused.
    # Logs begin in 1990, when China had 18,000 of them.
    added = stock[["chn"]].diff().clip(lower=0).loc[1990:]
    days = pd.DatetimeIndex([f"{year}-01-01" for year in added.index])
    log = tmp_path / "china.csv"
    long(added, days).to_csv(log, index=False)
    space = run(root, {"two-numbers-models", "forecast-numbers"}, sales_log=str(log))
    (name,) = space["series"]
    assert name == "own:chn"
    scores = {each.method: each for each in space["scores"]}
    assert set(scores) == {"bass", "naive", "drift"}
    assert scores["bass"].seen == round(space["series"]["own:chn"].size / 3)


def test_a_sales_log_that_is_none_is_refused_by_name(root: Path, tmp_path: Path) -> None:
    from o2o_research.errors import DataError

    log = tmp_path / "sales.csv"
    log.write_text("period,brand,units\n2014-01-01,A,5\n")
    with pytest.raises(DataError, match=r"sales\.csv: columns channel, country, price missing"):
        run(root, {"two-numbers-models", "forecast-numbers"}, sales_log=str(log))

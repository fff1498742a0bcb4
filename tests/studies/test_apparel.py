"""What the apparel notebook makes of a chain's own logs, on logs of known answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import pytest

from o2o_research.data.stores import read_sku_sales, read_store_weeks
from o2o_research.errors import DataError
from o2o_research.models.causal.did import group_time_effects
from o2o_research.models.causal.network import Network
from o2o_research.studies import apparel

CHAIN = Network(
    stores=90, converted=30, before=20, after=16, lift=0.3, publicity=0.0, publicity_weeks=4.0, season=1.2,
    variation=0.3, noise=0.1, autocorrelation=0.5, picked_share=1.0,
)  # fmt: skip
SHOP = {
    "season_demand": 4.0, "supply_ratio": 1.1, "popularity_spread": 0.3, "taste_spread": 0.3,
}  # fmt: skip


@pytest.fixture(scope="module")
def weeks() -> pd.DataFrame:
    return apparel.sample_weeks(CHAIN, np.random.default_rng(1))


@pytest.fixture(scope="module")
def sizes() -> pd.DataFrame:
    return apparel.sample_sizes(np.random.default_rng(2), **SHOP)


def test_sampled_weeks_are_such_a_table_and_hold_their_effect(
    weeks: pd.DataFrame, tmp_path: Path
) -> None:
    weeks.to_csv(tmp_path / "weeks.csv", index=False)
    read = read_store_weeks(tmp_path / "weeks.csv")
    panel = apparel.weekly_panel(read)
    assert panel.periods[0] == "2013-09-02"
    assert panel.start.tolist() == apparel.weekly_panel(weeks).start.tolist()
    effect = group_time_effects(panel).overall
    assert effect.low <= np.log(1.3) <= effect.high
    assert len({int(s) for s in panel.start[panel.treated]}) == 2


def test_logs_that_cannot_be_used_are_refused_as_data(
    weeks: pd.DataFrame, sizes: pd.DataFrame
) -> None:
    with pytest.raises(DataError, match=r"store_weeks: .*'S000' has no outcome in .*'2013-09-23'"):
        apparel.weekly_panel(weeks.drop(index=3))
    with pytest.raises(DataError, match=r"store_weeks: .*no unit was ever converted"):
        apparel.weekly_panel(weeks.assign(converted_on=pd.NaT))
    with pytest.raises(DataError, match=r"store_weeks: .*outcome=0 in period '2013-09-02'"):
        apparel.weekly_panel(weeks.assign(sales=weeks.sales.where(weeks.index > 0, 0.0)))
    with pytest.raises(DataError, match="sku_sales: nothing was sold"):
        apparel.study_sizes(sizes.assign(sold=0.0))
    with pytest.raises(DataError, match=r"sku_sales: .*every day sold out"):
        apparel.study_sizes(sizes[sizes.sold > 0].assign(stock=lambda rows: rows.sold))


def test_an_uplift_is_shared_out_as_the_chain_was_made(weeks: pd.DataFrame) -> None:
    ratios = apparel.uplift_factors(weeks, np.random.default_rng(3))
    parts = {"footfall": 0.5, "conversion": 0.3, "basket": 0.2}
    for name, part in parts.items():
        found, draws = ratios[name][0], ratios[name][1:]
        assert np.log(found) == pytest.approx(part * np.log(1.3), abs=4 * np.log(draws).std())
    table = apparel.attribution(ratios)
    whole = np.prod([ratio[0] for ratio in ratios.values()]) - 1
    for column in ("lmdi_part", "shapley_part"):
        assert table[column].sum() == pytest.approx(whole)


def test_uncounted_visits_leave_the_uplift_whole(weeks: pd.DataFrame) -> None:
    blind = weeks.assign(footfall=np.where(weeks.index == 5, np.nan, weeks.footfall))
    assert apparel.uplift_factors(blind, np.random.default_rng(0)) == {}
    assert apparel.store_rates(weeks.assign(footfall=np.nan)) is None


def test_believed_rates_lie_nearer_the_truth_than_seen_ones() -> None:
    rng = np.random.default_rng(4)
    stores, weeks = 200, 4
    truth = rng.beta(16, 84, stores)
    index, week = np.indices((stores, weeks))
    visits = rng.poisson(40, (stores, weeks))
    bought = rng.binomial(visits, truth[:, None])
    log = pd.DataFrame(
        {
            "store": [f"{i:03d}" for i in index.ravel()],
            "week": pd.Timestamp("2014-03-03") + pd.to_timedelta(7 * week.ravel(), unit="D"),
            "footfall": visits.ravel().astype(float),
            "transactions": bought.ravel().astype(float),
            "sales": (bought * rng.lognormal(5, 0.3, (stores, weeks))).ravel(),
        }
    )
    rates = apparel.store_rates(log)
    assert rates is not None
    table = rates.table.assign(number=rates.table.store_label.str.removeprefix("own:").astype(int))
    real = truth[table.number]
    error = {
        name: float(((table[name] - real) ** 2).mean())
        for name in ("conversion_seen", "conversion_believed")
    }
    assert error["conversion_believed"] < 0.85 * error["conversion_seen"]
    inside = (table.conversion_low <= real) & (real <= table.conversion_high)
    assert abs(inside.mean() - 0.9) < 3 * np.sqrt(0.09 / len(table))
    assert rates.conversion_kept == pytest.approx(160 / 260, abs=0.12)
    assert rates.surely_weak < rates.weak


def test_stores_that_differ_by_chance_alone_are_believed_alike() -> None:
    log = pd.DataFrame(
        {
            "store": list("aabbccdd"), "week": pd.to_datetime(["2014-03-03", "2014-03-10"] * 4),
            "footfall": 100.0, "transactions": 20.0, "sales": [4000.0, 4100] * 4,
        }
    )  # fmt: skip
    rates = apparel.store_rates(log)
    assert rates is not None
    assert (rates.table.conversion_believed == 0.2).all()
    assert (rates.conversion_kept, rates.weak) == (0.0, 0)


def test_baskets_that_never_vary_are_believed_as_they_stand() -> None:
    log = pd.DataFrame(
        {
            "store": list("aabbccdd"), "week": pd.to_datetime(["2014-03-03", "2014-03-10"] * 4),
            "footfall": 100.0, "transactions": [20.0, 21, 19, 20, 30, 28, 10, 12],
        }
    )  # fmt: skip
    log["sales"] = log.transactions * log.store.map({"a": 200.0, "b": 210, "c": 190, "d": 250})
    rates = apparel.store_rates(log)
    assert rates is not None
    np.testing.assert_allclose(rates.table.basket_believed, rates.table.basket_seen)
    assert rates.basket_kept == 1


def test_sizes_read_from_a_file_give_back_the_demand_behind_them(
    sizes: pd.DataFrame, tmp_path: Path
) -> None:
    sizes.to_csv(tmp_path / "sizes.csv", index=False)
    study = apparel.study_sizes(read_sku_sales(tmp_path / "sizes.csv"))
    low, high = study.hidden_interval
    assert 0 < low < study.hidden_share < high
    assert study.days == 60
    assert study.supply.sum() == sizes[sizes.day == sizes.day.min()].stock.sum()
    whole = sizes[sizes.stock > 0].groupby(["store", "sku", "day"])["size"].nunique()
    assert study.broken_share == pytest.approx(float((whole < 5).sum()) / (24 * 8 * 60))


def test_groups_that_fill_sell_more_the_larger_they_are(sizes: pd.DataFrame) -> None:
    study = apparel.study_sizes(sizes)
    rng = np.random.default_rng(5)
    found = study.filled([1, 4, 24], 0.5, rng)
    assert (found[1] == 0).all()
    assert (found[4][1:] < found[24][1:]).all()
    all_wait = study.filled([24], 1.0, np.random.default_rng(6))[24][0]
    half = study.filled([24], 0.5, np.random.default_rng(6))[24][0]
    assert half < all_wait


def test_a_colour_is_another_item_and_an_unsold_one_is_left_out() -> None:
    log = pd.DataFrame(
        {
            "store": list("aabb"), "sku": "k", "size": "M", "colour": ["red", "blue"] * 2,
            "day": pd.Timestamp("2014-03-01"), "sold": [1.0, 0, 2, 0], "stock": 5.0,
        }
    )  # fmt: skip
    assert apparel.study_sizes(log).items == ("k red M",)


def test_stock_chosen_to_fill_earns_more_on_unseen_seasons(sizes: pd.DataFrame) -> None:
    terms: dict[str, Any] = {"season_demand": 4.0, "price": 150.0, "cost": 75.0, "salvage": 45.0}
    study, spreads = apparel.study_sizes(sizes), {"popularity_spread": 0.3, "taste_spread": 0.3}
    plan = apparel.stock_together(
        study, np.random.default_rng(7), transfer=10.0, accept=0.5, **terms, **spreads
    )
    assert 0 < plan.gain[1] < plan.gain[0] < plan.gain[2]
    assert plan.table.store_demand.is_monotonic_increasing
    nobody = apparel.stock_together(
        study, np.random.default_rng(7), transfer=10.0, accept=0.0, **terms, **spreads
    )
    assert nobody.gain[0] == pytest.approx(0, abs=1e-9)


@pytest.mark.slow
def test_own_logs_take_the_place_of_the_sampled_ones(
    weeks: pd.DataFrame, sizes: pd.DataFrame, root: Path, tmp_path: Path, capsys: Any
) -> None:
    paths = {"store_weeks": weeks, "sku_sales": sizes}
    for name, table in paths.items():
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    notebook = nbformat.read(root / "notebooks" / "apparel.ipynb", as_version=4)
    space: dict[str, Any] = {}
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        exec(compile(cell.source, cell.id, "exec"), space)
        if cell.id == "parameters":
            space |= {name: str(tmp_path / f"{name}.csv") for name in paths} | {"draws": 100}
    assert len(space["own"].units) == 90
    found = space["own_effect"]
    assert abs(found.value - 0.3) < 4 * (found.high - found.low) / 3.29  # standard errors
    assert space["rates"].table.shape[0] == 90
    assert len(space["seen_sizes"].stores) == 24
    shown = capsys.readouterr().out
    assert "公司门店" in shown or "The company’s own stores" in shown

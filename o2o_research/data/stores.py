"""A chain's logs by store: weekly results and daily sales by size, read checked."""

from __future__ import annotations

from pathlib import Path

import ibis
import pandas as pd

from o2o_research.data.reading import read
from o2o_research.data.tables import Column, Table
from o2o_research.errors import DataError

_STORE = Column(name="store", type="text", zh="门店编号", en="store number")

STORE_WEEKS = Table(
    name="store_weeks",
    row="store and week",
    columns=(
        _STORE,
        Column(name="week", type="time", zh="该周的周一日期", en="the week's Monday"),
        Column(
            name="footfall",
            type="number",
            domain="[0, 1e7]",
            zh="进店人次；没有客流计数则留空",
            en="visits counted at the door; empty where not counted",
            gaps=True,
        ),
        Column(name="transactions", type="number", domain="[0, 1e7]", zh="成交笔数", en="purchases"),
        Column(
            name="sales",
            type="number",
            unit="yuan",
            domain="[0, 1e9]",
            zh="销售额，已扣除退货与折扣",
            en="sales after returns and discounts",
        ),
        Column(
            name="units", type="number", domain="[0, 1e7]", zh="销售件数；不详则留空",
            en="units sold; empty where not known", gaps=True,
        ),
        Column(
            name="converted_on",
            type="time",
            zh="门店改造完成的日期，该店各行相同；未改造则留空",
            en="when the store was converted, the same in all of its rows; empty where it was not",
            gaps=True,
        ),
    ),
    keys=(("store", "week"),),
)  # fmt: skip

SKU_SALES = Table(
    name="sku_sales",
    row="store, SKU, size and day",
    columns=(
        _STORE,
        Column(name="sku", type="text", zh="款号", en="style number"),
        Column(name="size", type="text", zh="尺码", en="size"),
        Column(
            name="colour", type="text", zh="颜色；不分色则留空", en="colour; empty where there is one",
            gaps=True,
        ),
        Column(name="day", type="time", zh="日期", en="the day"),
        Column(name="sold", type="number", domain="[0, 1e6]", zh="当日售出件数", en="units sold that day"),
        Column(
            name="stock", type="number", domain="[0, 1e6]", zh="当日营业开始时的库存件数",
            en="units in stock as the day began",
        ),
    ),
    keys=(("store", "sku", "size", "colour", "day"),),
)  # fmt: skip


def read_store_weeks(source: str | Path, *, timezone: str = "Asia/Shanghai") -> pd.DataFrame:
    """Weekly results of stores, checked, sorted by store and week.

    ``converted_on`` comes back as the Monday of its week's table or empty: the panel that
    ``models.causal.panel.panel_from_rows`` makes of it starts with the first whole week after.

    Raises
    ------
    DataError
        As ``read_orders``; or a conversion after the last week.
    """
    table = read(source, STORE_WEEKS, timezone=timezone)
    frame: pd.DataFrame = table.order_by([ibis._.store, ibis._.week]).to_pyarrow().to_pandas()
    weeks = sorted(frame.week.unique())
    late = frame.converted_on > weeks[-1]
    if late.any():
        row = frame[late].iloc[0]
        raise DataError(
            f"store_weeks: store {row.store} was converted on {row.converted_on:%Y-%m-%d}, after the last "
            f"week, {weeks[-1]:%Y-%m-%d}; leave converted_on empty, or add the weeks since"
        )
    # The week in which the fitters were there counts as before.
    place = pd.Series(weeks).searchsorted(frame.converted_on.dropna().to_numpy())
    frame["converted_on"] = pd.Series(
        [weeks[int(i)] for i in place], index=frame.index[frame.converted_on.notna()]
    ).reindex(frame.index)
    return frame


def read_sku_sales(source: str | Path, *, timezone: str = "Asia/Shanghai") -> pd.DataFrame:
    """Daily sales and stock by store, SKU and size, checked, sorted.

    Raises
    ------
    DataError
        As ``read_orders``; or more sold than was there.
    """
    table = read(source, SKU_SALES, timezone=timezone)
    order = [ibis._.store, ibis._.sku, ibis._.size, ibis._.colour, ibis._.day]
    frame: pd.DataFrame = table.order_by(order).to_pyarrow().to_pandas()
    over = frame.sold > frame.stock
    if over.any():
        row = frame[over].iloc[0]
        raise DataError(
            f"sku_sales: store {row.store}, SKU {row.sku}, size {row['size']} sold {row.sold:g} of {row.stock:g} in stock "
            f"on {row.day:%Y-%m-%d} ({int(over.sum())} such rows); stock is counted as the day begins, "
            "deliveries of the day included"
        )
    return frame

"""A chain's logs by store: weekly results and daily sales by size, read checked."""

from __future__ import annotations

from pathlib import Path

import ibis
import pandas as pd

from o2o_research.data import sources
from o2o_research.data.problems import shown
from o2o_research.data.reading import read
from o2o_research.data.tables import SKU_SALES, STORE_WEEKS
from o2o_research.errors import DataError


def read_store_weeks(
    source: str | Path, *, lenient: bool = False, timezone: str = "Asia/Shanghai"
) -> pd.DataFrame:
    """Weekly results of stores, checked, sorted by store and week.

    ``converted_on`` comes back as the Monday of its week's table or empty: the panel that
    ``models.causal.panel.panel_from_rows`` makes of it starts with the first whole week after.

    Raises
    ------
    DataError
        As ``read_orders``; or a conversion after the last week.
    """
    table = read(source, STORE_WEEKS, lenient=lenient, timezone=timezone)
    frame = sources.frame(table.order_by([ibis._.store, ibis._.week]))
    weeks = sorted(frame.week.unique())
    late = frame.converted_on > weeks[-1]
    if late.any():
        row = frame[late].iloc[0]
        raise DataError(
            f"store_weeks: store {shown(row.store)} was converted on {row.converted_on:%Y-%m-%d}, after the last "
            f"week, {weeks[-1]:%Y-%m-%d}; leave converted_on empty, or add the weeks since"
        )
    # The week in which the fitters were there counts as before.
    place = pd.Series(weeks).searchsorted(frame.converted_on.dropna().to_numpy())
    frame["converted_on"] = pd.Series(
        [weeks[int(i)] for i in place], index=frame.index[frame.converted_on.notna()]
    ).reindex(frame.index)
    return frame


def read_sku_sales(
    source: str | Path, *, lenient: bool = False, timezone: str = "Asia/Shanghai"
) -> pd.DataFrame:
    """Daily sales and stock by store, SKU and size, checked, sorted.

    Raises
    ------
    DataError
        As ``read_orders``.
    """
    table = read(source, SKU_SALES, lenient=lenient, timezone=timezone)
    order = [ibis._.store, ibis._.sku, ibis._.size, ibis._.colour, ibis._.day]
    frame = sources.frame(table.order_by(order))
    return frame

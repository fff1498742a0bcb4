"""An analyst's logs: read, checked, and reduced to the small tables that models want."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from o2o_research.data.files import data_hash
from o2o_research.data.mappings import identity, named

if TYPE_CHECKING:
    from o2o_research.data.loaders import cdnow, complete_journey, online_retail
    from o2o_research.data.panels import (
        account_features,
        funnel_counts,
        sku_weeks,
        store_panel,
        transition_counts,
    )
    from o2o_research.data.reading import Checked, read, read_checked, read_orders, write_orders
    from o2o_research.data.reductions import (
        cells,
        cohort_retention,
        customer_summary,
        deal_prone,
        labelled,
        newcomers,
        ticket_by_visit,
        visits,
    )
    from o2o_research.data.tables import (
        APPOINTMENTS,
        CHOICES,
        MEMBER_EVENTS,
        MEMBERS,
        ORDERS,
        RATINGS,
        REGISTRATIONS,
        SALES,
        SKU_SALES,
        STORE_WEEKS,
        TABLES,
        VISITS,
        WEEKLY,
        Column,
        Table,
    )

__all__ = [
    "APPOINTMENTS",
    "CHOICES",
    "MEMBERS",
    "MEMBER_EVENTS",
    "ORDERS",
    "RATINGS",
    "REGISTRATIONS",
    "SALES",
    "SKU_SALES",
    "STORE_WEEKS",
    "TABLES",
    "VISITS",
    "WEEKLY",
    "Checked",
    "Column",
    "Table",
    "account_features",
    "cdnow",
    "cells",
    "cohort_retention",
    "complete_journey",
    "customer_summary",
    "data_hash",
    "deal_prone",
    "funnel_counts",
    "identity",
    "labelled",
    "named",
    "newcomers",
    "online_retail",
    "read",
    "read_checked",
    "read_orders",
    "sku_weeks",
    "store_panel",
    "ticket_by_visit",
    "transition_counts",
    "visits",
    "write_orders",
]


def __getattr__(name: str) -> Any:
    """Import Ibis only when a log is read: it takes a second, and most runs have none."""
    if name in __all__:
        for module in ("tables", "reading", "reductions", "panels", "loaders"):
            home = import_module(f"{__name__}.{module}")
            if hasattr(home, name):
                return getattr(home, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""An analyst's logs: read, checked, and reduced to the small tables that models want."""

from o2o_research.data.reading import read_orders

__all__ = ["read_orders"]

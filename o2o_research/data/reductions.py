"""From a log of orders to the small tables that models fit.

Everything large stays an Ibis expression and runs where the orders lie; what comes back
is as small as the question. A *visit* is a customer's orders of one day taken together, as
CDNOW's recency and frequency are counted (Fader, Hardie & Lee 2005): a second order on the
same day is no return.

A customer was acquired on a *deal* if an order of the first visit carried a discount or came
by the channel ``voucher``, at *full_price* if none did, and is *unknown* where discounts of
the first visit are missing. The first visit makes the label and is never counted as a
return, so the label does not leak into what is measured. ``labelled`` puts another label
in its place.

Money is added up exactly, to the fen (0.01 yuan), so that the same orders give the same bits however the
engine splits the work.
"""

from __future__ import annotations

import datetime as dt
import decimal
import math
from typing import Any, Literal

import ibis
import ibis.expr.types as ir
import pandas as pd
from ibis import _

from o2o_research.data import sources
from o2o_research.domain import Interval
from o2o_research.errors import DataError

_SUMMARY = [
    "customer_id",
    "frequency",
    "recency",
    "T",
    "monetary",
    "first_amount",
    "first_day",
    "channel",
    "acquisition",
]
_PERIODS = {"week": ("W", "W-SUN"), "month": ("M", "M"), "quarter": ("Q", "Q")}


def visits(orders: ir.Table, *, end: str | dt.date | None = None) -> ir.Table:
    """One row per customer and day with orders, up to the day ``end``.

    Returns
    -------
    ibis Table
        ``customer_id``, ``day`` (date), ``amount`` (yuan, a decimal), ``channel`` (of the
        day's first order; of several at one moment the first by alphabet; empty if not known)
        and ``acquisition``: what this visit would make of a customer who came by it, or the
        label of ``labelled`` orders.
    """
    # The alphabet breaks ties: an engine that splits the work would break them by chance.
    first = _["channel"].argmin(ibis.struct({"at": _["ordered_at"], "channel": _["channel"]}))
    return _visits(_observed(orders, end), channel=first)


def _observed(orders: ir.Table, end: str | dt.date | None) -> ir.Table:
    """The orders up to the day ``end`` with their day, and whether they were a deal."""
    if end is not None:
        orders = orders.filter(orders["ordered_at"].date() <= ibis.date(str(_day(end))))
    channel = orders["channel"].fill_null("")
    deal = (orders["discount"] > 0) | (channel == "voucher")
    return orders.mutate(day=_["ordered_at"].date(), channel=channel, deal=deal)


def _visits(orders: ir.Table, **more: Any) -> ir.Table:
    if "acquisition" in orders.columns:
        acquisition = _["acquisition"].min()
    else:
        acquisition = ibis.cases(
            (_["deal"].any(), "deal"), (_["deal"].isnull().any(), "unknown"), else_="full_price"
        )
    return orders.group_by("customer_id", "day").agg(
        amount=exact_sum(_["amount"]), **more, acquisition=acquisition
    )


def customer_summary(orders: ir.Table, *, end: str | dt.date | None = None) -> pd.DataFrame:
    """What the customer-base models need to know of each customer, at the day ``end``.

    Parameters
    ----------
    orders : as ``read_orders`` gives them, or ``labelled``
    end : last day observed, later orders left out; the day of the last order if not given.
        Give the day of the extract where it is known: the quiet days since count too.

    Returns
    -------
    DataFrame, one row per customer, by ``customer_id``
        ``frequency`` visits after the first [x]; ``recency`` weeks from the first visit to
        the last [t_x]; ``T`` weeks from the first visit to ``end``; ``monetary`` mean yuan of
        the visits after the first, 0 if those were free, not a number without any [m_x];
        ``first_amount`` yuan of the first visit; ``first_day``; ``channel`` of the first
        order, missing if not known;
        ``acquisition``: ``deal``, ``full_price`` or ``unknown``.

    Raises
    ------
    DataError
        If there is no order up to ``end``.

    Examples
    --------
    >>> import ibis, pyarrow
    >>> log = pyarrow.table({
    ...     "customer_id": ["A", "A", "A"], "amount": [20.0, 50.0, 60.0],
    ...     "ordered_at": ["2014-05-01 12:00", "2014-05-08 12:00", "2014-05-08 19:00"],
    ...     "channel": ["voucher", "dine_in", "dine_in"], "discount": [30.0, 0.0, 0.0],
    ... })
    >>> orders = ibis.memtable(log).cast({"ordered_at": "timestamp"})
    >>> customer = customer_summary(orders, end="2014-05-22").iloc[0]
    >>> [float(customer[c]) for c in ("frequency", "recency", "T", "monetary")]
    [1.0, 1.0, 3.0, 110.0]
    >>> customer["acquisition"]
    'deal'
    """
    customers = (
        _visits(_observed(orders, end), first_at=_["ordered_at"].min())
        .group_by("customer_id")
        .agg(
            frequency=_.count() - 1,
            first_day=_["day"].min(),
            last_day=_["day"].max(),
            first_at=_["first_at"].min(),
            spent=_["amount"].sum(),
            **{name: _[name].argmin(_["day"]) for name in ("amount", "acquisition")},
        )
    )
    # Looked up for the first order alone: a text for every visit is most of what is held at once.
    channels = (
        orders.inner_join(
            customers.select("customer_id", "first_at"),
            ["customer_id", orders["ordered_at"] == customers["first_at"]],
        )
        .group_by("customer_id")
        .agg(channel=_["channel"].fill_null("").min())
    )
    customers = customers.inner_join(channels, "customer_id")
    table = sources.frame(
        customers.select(
            "customer_id",
            "frequency",
            *(_[day].cast("timestamp").name(day) for day in ("first_day", "last_day")),
            monetary=_yuan(_["spent"] - _["amount"]) / _["frequency"].nullif(0).cast("float64"),
            first_amount=_yuan(_["amount"]),
            channel=_["channel"].nullif(""),
            acquisition=_["acquisition"],
        ).order_by("customer_id")
    )
    if table.empty:
        raise DataError(f"no orders up to {end or 'the end'}: nothing to summarise")
    last = pd.Timestamp(_day(end)) if end is not None else table["last_day"].max()
    table["recency"] = _weeks(table["last_day"], table["first_day"])
    table["T"] = _weeks(last, table["first_day"])
    return table[_SUMMARY]


def cells(summary: pd.DataFrame) -> pd.DataFrame:
    """The unique (x, t_x, T) of a summary and how many customers share each.

    A likelihood over ``count`` cells equals the one over all customers, and is shorter by
    as much as customers repeat one another.

    Returns
    -------
    DataFrame
        ``frequency``, ``recency`` and ``T`` (weeks), ``count`` customers; sorted.
    """
    keys = ["frequency", "recency", "T"]
    return summary.groupby(keys, sort=True).size().reset_index(name="count")


def cohort_retention(
    orders: ir.Table,
    *,
    period: Literal["week", "month", "quarter"] = "month",
    end: str | dt.date | None = None,
) -> pd.DataFrame:
    """How many of the customers who came first in one period visit in each later one.

    Only periods wholly observed up to ``end`` count: the last month of a log that stops on
    the 12th would look like a fall. Weeks begin on Monday. Customers do not say when they
    leave, so a later period may hold more of them than an earlier one.

    Returns
    -------
    DataFrame, by cohort, acquisition and age
        ``cohort`` (the period's first day), ``acquisition``, ``age`` (periods since, from 0),
        ``customers`` in the cohort, ``active`` of them with a visit in that period, and
        ``retention``, active / customers.

    Raises
    ------
    DataError
        If not a single period is whole.
    ValueError
        If ``period`` is none of the three.
    """
    if period not in _PERIODS:
        raise ValueError(f"period={period!r} must be one of {', '.join(_PERIODS)}")
    unit, frequency = _PERIODS[period]
    seen = visits(orders, end=end)
    born = seen.group_by("customer_id").agg(
        born=_["day"].min(), kind=_["acquisition"].argmin(_["day"])
    )
    active = (
        seen.inner_join(born, "customer_id")
        .select(
            "customer_id",
            "kind",
            cohort=_["born"].truncate(unit),
            age=_["day"].truncate(unit).delta(_["born"].truncate(unit), unit=period),
        )
        .distinct()
        .group_by("cohort", "kind", "age")
        .agg(active=_.count())
    )
    found = sources.frame(active.mutate(cohort=_["cohort"].cast("timestamp")))
    last = _day(end) if end is not None else seen["day"].max().to_pyarrow().as_py()
    if last is None:
        raise DataError("no orders: nothing to follow")
    # The first period that is not whole: the one that holds the day after the last.
    open_period = pd.Period(pd.Timestamp(last) + pd.Timedelta(days=1), freq=frequency)
    sizes = found[found["age"] == 0].sort_values(["cohort", "kind"])
    grid = [
        (cohort, kind, age, size)
        for cohort, kind, size in zip(sizes["cohort"], sizes["kind"], sizes["active"], strict=True)
        for age in range((open_period - pd.Period(cohort, freq=frequency)).n)
    ]
    if not grid:
        raise DataError(f"no whole {period} up to {last}: nothing to follow")
    table = pd.DataFrame(grid, columns=["cohort", "kind", "age", "customers"])
    table = table.merge(found, how="left", on=["cohort", "kind", "age"])
    table["active"] = table["active"].fillna(0).astype("int64")
    table["retention"] = table["active"] / table["customers"]
    return table.rename(columns={"kind": "acquisition"})


def ticket_by_visit(
    orders: ir.Table, *, last: int = 10, end: str | dt.date | None = None
) -> pd.DataFrame:
    """What customers spend on their first, second, ... visit, by acquisition.

    The mean of the nth visits is over those who made one, who are not the customers who made
    the first: ``change`` compares each with his or her own first visit.

    Parameters
    ----------
    last : the highest visit number wanted, >= 1

    Returns
    -------
    DataFrame, by acquisition and visit
        ``acquisition``, ``visit`` (from 1), ``customers`` who made it, ``ticket`` mean yuan,
        ``ticket_sd``, ``change`` mean yuan against the same customers' first visit,
        ``change_sd``. Standard deviations are those of customers (n - 1), not a number for
        a single one.

    Raises
    ------
    DataError
        If there is no order up to ``end``.
    """
    if last < 1:
        raise ValueError(f"last={last} must be at least 1")
    seen = visits(orders, end=end)
    born = seen.group_by("customer_id").agg(
        kind=_["acquisition"].argmin(_["day"]), first=_["amount"].argmin(_["day"])
    )
    by_day = ibis.window(group_by="customer_id", order_by="day")
    numbered = (
        seen.mutate(visit=ibis.row_number().over(by_day) + 1)
        .filter(_["visit"] <= last)
        .inner_join(born, "customer_id")
        .mutate(change=_["amount"] - _["first"])
    )
    sums = numbered.group_by(acquisition=_["kind"], visit=_["visit"]).agg(
        customers=_.count(),
        ticket=_["amount"].sum(),
        ticket_squares=_squares(_["amount"]),
        change=_["change"].sum(),
        change_squares=_squares(_["change"]),
    )
    rows = [
        {
            "acquisition": row["acquisition"],
            "visit": row["visit"],
            "customers": row["customers"],
            **_moments("ticket", row),
            **_moments("change", row),
        }
        for row in sources.arrow(sums.order_by("acquisition", "visit")).to_pylist()
    ]
    if not rows:
        raise DataError(f"no orders up to {end or 'the end'}: nothing to count")
    return pd.DataFrame(rows)


def deal_prone(orders: ir.Table, *, weeks: int = 13, above: float = 0.01) -> ir.Table:
    """Label customers by the share given away on their own first ``weeks`` weeks of orders.

    For a log whose customers were there before it began, where the first order seen is no
    acquisition. What made the label must not be measured again: ``labelled`` drops it.

    Parameters
    ----------
    weeks : weeks from a customer's first order that make the label, >= 1; 13 is a quarter
    above : a customer is deal-prone whose discounts were more than this share of list
        price (amount plus discount), in [0, 1). Any coupon at all (0) would mostly pick those
        who come often; a share of 0.01 is assumed: vary it.

    Returns
    -------
    ibis Table, one row per customer
        ``customer_id``; ``acquisition``: ``deal``, ``full_price``, or ``unknown`` where no
        discount of those weeks is known; ``discount_share``; ``counted_from``, the first
        day after them.
    """
    if weeks < 1:
        raise ValueError(f"weeks={weeks} must be at least 1")
    if above not in Interval.parse("[0, 1)"):
        raise ValueError(f"above={above:g} must lie in [0, 1)")
    starts = orders.group_by("customer_id").agg(
        counted_from=_["ordered_at"].date().min() + ibis.interval(days=7 * weeks)
    )
    known = _["discount"].notnull()
    sums = (
        orders.inner_join(starts, "customer_id")
        .filter(_["ordered_at"].date() < _["counted_from"])
        .group_by("customer_id", "counted_from")
        .agg(
            given=exact_sum(_["discount"]),
            paid=exact_sum(ibis.ifelse(known, _["amount"], None)),
        )
        .mutate(given=_yuan(_["given"]), paid=_yuan(_["paid"]))
    )
    share = _["given"] / (_["given"] + _["paid"]).nullif(0.0)
    return sums.mutate(discount_share=share).select(
        "customer_id",
        "discount_share",
        "counted_from",
        acquisition=ibis.cases(
            (_["discount_share"] > above, "deal"),
            (_["discount_share"].notnull(), "full_price"),
            else_="unknown",
        ),
    )


def labelled(orders: ir.Table, labels: ir.Table) -> ir.Table:
    """The orders from each customer's ``counted_from`` on, with the label as ``acquisition``.

    Every reduction then goes by this label. A customer with no order from that day on is
    gone: report how many of each label were, that is a finding of its own.

    Parameters
    ----------
    labels : ``customer_id``, ``acquisition`` and ``counted_from`` (date), from the same
        connection, as ``deal_prone`` gives them
    """
    keep = labels.select("customer_id", "acquisition", "counted_from")
    return (
        orders.inner_join(keep, "customer_id")
        .filter(_["ordered_at"].date() >= _["counted_from"])
        .drop("counted_from")
    )


def newcomers(orders: ir.Table, since: str | dt.date) -> ir.Table:
    """The orders of customers whose first order of the log is on or after the day ``since``.

    A log begins in the middle of its older customers' lives: their first order in it is no
    acquisition. Leave out those seen in its first weeks, as many as a regular may stay away.
    """
    born = orders.group_by("customer_id").agg(born=_["ordered_at"].date().min())
    new = born.filter(_["born"] >= ibis.date(str(_day(since)))).select("customer_id")
    return orders.semi_join(new, "customer_id")


def exact_sum(amount: Any) -> Any:
    """Sum to the fen (0.01 yuan), the same in any order."""
    return amount.cast("decimal(18, 2)").sum()


def _squares(exact: Any) -> Any:
    """Sum of squares of exact money, exact as well."""
    return (exact * exact).cast("decimal(38, 4)").sum()


def _yuan(exact: Any) -> Any:
    return exact.cast("float64")


def _moments(name: str, row: dict[str, Any]) -> dict[str, float]:
    """Mean and standard deviation from exact sums, where floats would cancel."""
    n, total, squares = row["customers"], row[name], row[f"{name}_squares"]
    with decimal.localcontext(prec=80):
        spread = float(((squares - total * total / n) / (n - 1)).sqrt()) if n > 1 else math.nan
        return {name: float(total / n), f"{name}_sd": spread}


def _weeks(later: Any, earlier: Any) -> Any:
    """Whole days between two moments at midnight, in weeks."""
    return (later - earlier).dt.days / 7


def _day(text: str | dt.date) -> dt.date:
    """A day from its ISO text."""
    if isinstance(text, dt.datetime):
        return text.date()
    if isinstance(text, dt.date):
        return text
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise DataError(f"{text!r} is not a day; write 2014-05-30") from None

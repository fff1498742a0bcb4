"""Reductions in the engine against a second, slower way, and against what must hold."""

from __future__ import annotations

import datetime as dt
import math
from collections import defaultdict
from typing import Any

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from o2o_research.data import (
    cells,
    cohort_retention,
    customer_summary,
    deal_prone,
    labelled,
    newcomers,
    ticket_by_visit,
    visits,
)
from o2o_research.errors import DataError

Orders = list[dict[str, Any]]


def table(orders: Orders) -> Any:
    names = ("customer_id", "ordered_at", "amount", "channel", "discount")
    types = (pa.string(), pa.timestamp("us"), pa.float64(), pa.string(), pa.float64())
    return ibis.memtable(
        pa.table(
            {n: pa.array([o[n] for o in orders], t) for n, t in zip(names, types, strict=True)}
        )
    )


def order(
    customer: str, at: str, amount: float = 50.0, channel: str | None = "dine_in",
    discount: float | None = 0.0,
) -> dict[str, Any]:  # fmt: skip
    return {
        "customer_id": customer, "ordered_at": dt.datetime.fromisoformat(at), "amount": amount,
        "channel": channel, "discount": discount,
    }  # fmt: skip


def random_orders(seed: int, n: int = 400) -> Orders:
    """Few customers, days and hours, so that everything collides; cents, gaps and free orders."""
    rng = np.random.default_rng(seed)
    channels = ["dine_in", "voucher", "platform", None]
    return [
        order(
            f"客{rng.integers(60)}",
            str(
                dt.datetime(2013, 11, 20)
                + dt.timedelta(days=int(rng.integers(200)), hours=int(rng.integers(3)) * 8)
            ),
            float(rng.integers(0, 20000)) / 100,
            channels[rng.integers(4)],
            [None, 0.0, 0.0, 0.0, float(rng.integers(1, 5000)) / 100][rng.integers(5)],
        )
        for _ in range(n)
    ]


# The second way: plain loops over one customer's orders at a time.


def by_day(orders: Orders, end: dt.date | None = None) -> dict[str, dict[dt.date, Orders]]:
    logs: dict[str, dict[dt.date, Orders]] = defaultdict(lambda: defaultdict(list))
    for o in sorted(orders, key=lambda o: (o["ordered_at"], o["channel"] or "")):
        if end is None or o["ordered_at"].date() <= end:
            logs[o["customer_id"]][o["ordered_at"].date()].append(o)
    return logs


def kind(first_visit: Orders) -> str:
    if any((o["discount"] or 0) > 0 or o["channel"] == "voucher" for o in first_visit):
        return "deal"
    return "unknown" if any(o["discount"] is None for o in first_visit) else "full_price"


def spent(visit: Orders) -> float:
    return float(sum(round(o["amount"] * 100) for o in visit) / 100)


def slow_summary(orders: Orders, end: dt.date | None = None) -> pd.DataFrame:
    logs = by_day(orders, end)
    last = end or max(max(days) for days in logs.values())
    rows = []
    for customer in sorted(logs):
        days = sorted(logs[customer])
        first = logs[customer][days[0]]
        rows.append({
            "customer_id": customer,
            "frequency": len(days) - 1,
            "recency": (days[-1] - days[0]).days / 7,
            "T": (last - days[0]).days / 7,
            "monetary": float(np.mean([spent(logs[customer][d]) for d in days[1:]]))
            if len(days) > 1 else math.nan,
            "first_amount": spent(first),
            "first_day": pd.Timestamp(days[0]),
            "channel": first[0]["channel"],
            "acquisition": kind(first),
        })  # fmt: skip
    return pd.DataFrame(rows)


def same(got: pd.DataFrame, want: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(got, want, check_dtype=False, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("end", [None, dt.date(2014, 3, 9), dt.date(2014, 12, 31)])
def test_the_summary_is_that_of_a_loop_over_customers(end: dt.date | None) -> None:
    orders = random_orders(seed=1)
    same(customer_summary(table(orders), end=end), slow_summary(orders, end))


def test_cells_count_every_customer_once() -> None:
    summary = customer_summary(table(random_orders(seed=2)))
    keys = ["frequency", "recency", "T"]
    got = cells(summary)
    rebuilt = got.loc[got.index.repeat(got["count"]), keys].reset_index(drop=True)
    same(rebuilt, summary[keys].sort_values(keys).reset_index(drop=True))
    assert not got[keys].duplicated().any()


def period_number(day: dt.date, period: str) -> int:
    if period == "week":
        return (day - dt.date(2001, 1, 1)).days // 7  # a Monday
    return day.year * 12 + day.month if period == "month" else day.year * 4 + (day.month - 1) // 3


@pytest.mark.parametrize("period", ["week", "month", "quarter"])
@pytest.mark.parametrize("end", [None, dt.date(2014, 3, 31), dt.date(2014, 3, 30)])
def test_retention_is_that_of_a_loop_over_customers(period: str, end: dt.date | None) -> None:
    orders = random_orders(seed=3)
    logs = by_day(orders, end)
    last = end or max(max(days) for days in logs.values())
    closed = period_number(last + dt.timedelta(days=1), period) - 1
    want: dict[tuple[int, str, int], list[int]] = {}
    for days in logs.values():
        born = period_number(min(days), period)
        seen = {period_number(day, period) for day in days}
        for number in range(born, closed + 1):
            count = want.setdefault((born, kind(days[min(days)]), number - born), [0, 0])
            count[0] += 1
            count[1] += number in seen
    got = cohort_retention(table(orders), period=period, end=end)  # type: ignore[arg-type]
    found = {
        (
            period_number(dt.date.fromisoformat(str(row.cohort)[:10]), period),
            row.acquisition,
            row.age,
        ): [
            row.customers,
            row.active,
        ]
        for row in got.itertuples()
    }
    assert found == want
    assert len(found) == len(got)
    np.testing.assert_array_equal(got["retention"], got["active"] / got["customers"])


def test_everybody_visits_in_the_first_period() -> None:
    got = cohort_retention(table(random_orders(seed=4)))
    assert (got.loc[got["age"] == 0, "retention"] == 1).all()


@pytest.mark.parametrize("last", [1, 4, 50])
def test_the_ticket_by_visit_is_that_of_a_loop_over_customers(last: int) -> None:
    orders = random_orders(seed=5)
    tickets: dict[tuple[str, int], list[tuple[float, float]]] = defaultdict(list)
    for days in by_day(orders).values():
        first = days[min(days)]
        for number, day in enumerate(sorted(days)[:last], start=1):
            change = spent(days[day]) - spent(first)
            tickets[kind(first), number].append((spent(days[day]), change))
    want = pd.DataFrame([
        {
            "acquisition": label,
            "visit": number,
            "customers": len(pairs),
            "ticket": np.mean([t for t, _ in pairs]),
            "ticket_sd": np.std([t for t, _ in pairs], ddof=1) if len(pairs) > 1 else math.nan,
            "change": np.mean([c for _, c in pairs]),
            "change_sd": np.std([c for _, c in pairs], ddof=1) if len(pairs) > 1 else math.nan,
        }
        for (label, number), pairs in sorted(tickets.items())
    ])  # fmt: skip
    got = ticket_by_visit(table(orders), last=last)
    pd.testing.assert_frame_equal(got, want, check_dtype=False, rtol=1e-11, atol=1e-11)


def slow_labels(orders: Orders, weeks: int, above: float) -> dict[str, tuple[str, dt.date]]:
    labels = {}
    for customer, days in by_day(orders).items():
        until = min(days) + dt.timedelta(weeks=weeks)
        early = [o for day in days if day < until for o in days[day] if o["discount"] is not None]
        given = sum(o["discount"] for o in early)
        listed = given + sum(o["amount"] for o in early)
        share = given / listed if listed else None
        label = "unknown" if share is None else "deal" if share > above else "full_price"
        labels[customer] = (label, until)
    return labels


@pytest.mark.parametrize(("weeks", "above"), [(1, 0.0), (4, 0.05), (13, 0.01)])
def test_deal_proneness_is_that_of_a_loop_over_customers(weeks: int, above: float) -> None:
    orders = random_orders(seed=6)
    got = deal_prone(table(orders), weeks=weeks, above=above).to_pyarrow().to_pylist()
    found = {row["customer_id"]: (row["acquisition"], row["counted_from"]) for row in got}
    assert found == slow_labels(orders, weeks, above)
    assert len(found) == len(got)
    assert len({label for label, _ in found.values()}) > 1


def test_labelled_orders_are_measured_only_after_the_weeks_that_made_the_label() -> None:
    orders = random_orders(seed=7)
    labels = slow_labels(orders, 4, 0.02)
    late = [o for o in orders if o["ordered_at"].date() >= labels[o["customer_id"]][1]]
    want = slow_summary(late)
    want["acquisition"] = [labels[customer][0] for customer in want["customer_id"]]
    log = table(orders)
    marked = labelled(log, deal_prone(log, weeks=4, above=0.02))
    same(customer_summary(marked), want)
    shares = ticket_by_visit(marked, last=1).set_index("acquisition")["customers"]
    assert shares.to_dict() == want["acquisition"].value_counts().to_dict()


def test_what_comes_after_the_label_cannot_change_it() -> None:
    orders = random_orders(seed=8)
    labels = slow_labels(orders, 4, 0.02)
    altered = [
        o | {"discount": 500.0} if o["ordered_at"].date() >= labels[o["customer_id"]][1] else o
        for o in orders
    ]
    assert altered != orders
    before, after = (
        deal_prone(table(log), weeks=4, above=0.02).order_by("customer_id").to_pyarrow()
        for log in (orders, altered)
    )
    assert before.equals(after)


def test_newcomers_are_those_first_seen_from_that_day_on() -> None:
    orders = random_orders(seed=9)
    since = dt.date(2014, 1, 5)
    new = {c for c, days in by_day(orders).items() if min(days) >= since}
    got = newcomers(table(orders), str(since)).to_pyarrow().to_pylist()
    key = str
    assert sorted(got, key=key) == sorted((o for o in orders if o["customer_id"] in new), key=key)
    assert 0 < len(new) < 60


# What must hold.


def test_the_order_of_the_rows_changes_no_bit() -> None:
    orders = random_orders(seed=10, n=3000)
    turned = [orders[i] for i in np.random.default_rng(0).permutation(len(orders))]
    for reduce in (customer_summary, cohort_retention, ticket_by_visit):
        pd.testing.assert_frame_equal(
            reduce(table(orders)), reduce(table(turned)), check_exact=True
        )


def test_a_second_order_of_the_day_is_no_return_and_adds_to_the_visit() -> None:
    log = table([
        order("A", "2014-05-01 12:00", 20.1), order("A", "2014-05-01 23:59", 30.2),
        order("A", "2014-05-02 00:00", 7.0),
    ])  # fmt: skip
    (customer,) = customer_summary(log).to_dict("records")
    assert (customer["frequency"], customer["first_amount"], customer["monetary"]) == (1, 50.3, 7.0)
    assert len(visits(log).to_pyarrow()) == 2


def test_what_was_first_decides_the_channel_and_the_alphabet_between_equals() -> None:
    log = table([
        order("A", "2014-05-01 18:00", channel="a"), order("A", "2014-05-01 12:00", channel="z"),
        order("B", "2014-05-01", channel="z"), order("B", "2014-05-01", channel="a"),
        order("C", "2014-05-01", channel=None), order("C", "2014-05-02", channel="a"),
    ])  # fmt: skip
    channels = customer_summary(log)["channel"]
    assert [None if pd.isna(c) else c for c in channels] == ["z", "a", None]


@pytest.mark.parametrize(
    ("visit", "label"),
    [
        ([("dine_in", 0.0)], "full_price"),
        ([("dine_in", 0.01)], "deal"),
        ([("voucher", 0.0)], "deal"),
        ([("voucher", None)], "deal"),
        ([(None, 0.0)], "full_price"),
        ([(None, None)], "unknown"),
        ([("dine_in", None)], "unknown"),
        ([("dine_in", 0.0), ("dine_in", None)], "unknown"),
        ([("dine_in", 0.0), ("platform", 5.0)], "deal"),
        ([("dine_in", None), ("platform", 5.0)], "deal"),
    ],
)
def test_the_first_visit_makes_the_acquisition(
    visit: list[tuple[str | None, float | None]], label: str
) -> None:
    orders = [order("A", "2014-05-01", channel=c, discount=d) for c, d in visit]
    later = [order("A", "2014-05-02", channel="voucher", discount=9.0)]
    for log in (orders, orders + later):
        assert customer_summary(table(log))["acquisition"].tolist() == [label]


def test_quiet_days_count_up_to_the_day_given() -> None:
    log = table([order("A", "2014-05-01"), order("B", "2014-05-08")])
    assert customer_summary(log)["T"].tolist() == [1.0, 0.0]
    assert customer_summary(log, end="2014-05-15")["T"].tolist() == [2.0, 1.0]
    assert customer_summary(log, end=dt.datetime(2014, 5, 7, 13))["T"].tolist() == [6 / 7]


def test_a_month_that_is_not_over_is_not_counted() -> None:
    log = table([order("A", "2014-04-10"), order("A", "2014-05-30")])
    assert cohort_retention(log)["age"].tolist() == [0]
    assert cohort_retention(log, end="2014-05-31")["active"].tolist() == [1, 1]


def test_a_month_without_a_visit_shows_as_none_active() -> None:
    log = table([order("A", "2014-01-10"), order("A", "2014-04-30")])
    assert cohort_retention(log)["active"].tolist() == [1, 0, 0, 1]


def test_refusals() -> None:
    log = table([order("A", "2014-05-01")])
    with pytest.raises(DataError, match="no orders up to 2014-04-30"):
        customer_summary(log, end="2014-04-30")
    with pytest.raises(DataError, match="no orders up to 2014-04-30"):
        ticket_by_visit(log, end="2014-04-30")
    with pytest.raises(DataError, match="no whole month up to 2014-05-01"):
        cohort_retention(log)
    with pytest.raises(DataError, match="no whole month up to 2014-04-30"):
        cohort_retention(log, end="2014-04-30")
    with pytest.raises(DataError, match=r"'30\.4\.2014' is not a day; write 2014-05-30"):
        customer_summary(log, end="30.4.2014")
    with pytest.raises(ValueError, match="period='day' must be one of week, month, quarter"):
        cohort_retention(log, period="day")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="last=0"):
        ticket_by_visit(log, last=0)
    with pytest.raises(ValueError, match="weeks=0"):
        deal_prone(log, weeks=0)
    with pytest.raises(ValueError, match="above=1"):
        deal_prone(log, above=1.0)

"""Panels, funnels, moves and accounts, against loops over the rows and against the models' own."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from o2o_research.data import (
    REGISTRATIONS,
    TABLES,
    account_features,
    funnel_counts,
    read,
    sku_weeks,
    store_panel,
    transition_counts,
)
from o2o_research.data.hospital import read_registrations, registration_arrays
from o2o_research.errors import DataError
from o2o_research.models.causal.panel import panel_from_rows
from o2o_research.models.flows import count_moves, fit_chain
from o2o_research.models.scalping import Registrations, count_accounts

URL = "postgresql://shop:${O2O_TEST_PASSWORD}@/postgres?host=${O2O_TEST_SOCKET}"


def table(folder: Path, name: str, text: str):
    path = folder / f"{name}.csv"
    path.write_text(text, encoding="utf-8")
    return read(path, TABLES[name])


WEEKS = """store,week,footfall,transactions,sales,units,converted_on
a,2014-03-03,100,10,1000.10,12,2014-03-05
a,2014-03-10,110,12,1100.20,13,2014-03-05
a,2014-03-17,120,15,1200.30,,2014-03-05
b,2014-03-03,,9,900,9,
b,2014-03-10,90,8,800,8,
b,2014-03-17,95,9,900,9,
c,2014-03-10,50,5,500,5,2014-09-01
"""


def test_a_panel_is_of_the_stores_that_have_every_week(tmp_path: Path) -> None:
    frame = store_panel(table(tmp_path, "store_weeks", WEEKS))
    assert frame.attrs["stores_left_out"] == 1
    panel = panel_from_rows(frame.store, frame.week, frame.sales, frame.converted_on)
    assert panel.start.tolist() == [1, 3]
    assert panel.outcome.tolist() == [[1000.1, 1100.2, 1200.3], [900, 800, 900]]
    counted = store_panel(table(tmp_path, "store_weeks", WEEKS), "footfall")
    assert set(counted.store) == {"a"}
    with pytest.raises(DataError, match="outcome 'margin' must be sales"):
        store_panel(table(tmp_path, "store_weeks", WEEKS), "margin")


def test_a_funnel_counts_the_weeks_in_which_the_door_was_counted(tmp_path: Path) -> None:
    frame = funnel_counts(table(tmp_path, "store_weeks", WEEKS))
    rows = [tuple(row) for row in frame.itertuples(index=False)]
    assert rows[0] == ("a", "after", 2, 230.0, 27.0, 2300.5, pytest.approx(math.nan, nan_ok=True))
    assert rows[1:] == [
        ("a", "before", 1, 100.0, 10.0, 1000.1, 12.0),
        ("b", "never", 2, 185.0, 17.0, 1700.0, 17.0),
        ("c", "before", 1, 50.0, 5.0, 500.0, 5.0),
    ]


def test_days_of_a_size_add_up_to_weeks(tmp_path: Path) -> None:
    text = "store,sku,size,colour,day,sold,stock\n" + "".join(
        f"a,k,M,red,2014-03-{day:02},{sold},{stock}\n"
        for day, sold, stock in [(3, 1, 5), (4, 4, 4), (9, 0, 2), (10, 2, 2)]
    )
    frame = sku_weeks(table(tmp_path, "sku_sales", text))
    assert frame[["sold", "days", "sold_out_days", "stock"]].to_numpy().tolist() == [
        [5, 3, 1, 5],
        [2, 1, 1, 2],
    ]


def random_events(n: int = 500) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "event_id": [f"e{i}" for i in range(n)],
            "member_id": [f"m{i}" for i in rng.integers(0, 40, n)],
            "happened_at": pd.Timestamp("2014-01-01")
            + pd.to_timedelta(rng.permutation(n) * 3607, unit="s"),
            "event": rng.choice(["scan", "message", "coupon", "purchase"], n),
            "amount": np.nan,
        }
    )


@pytest.mark.parametrize("within_days", [None, 3.0])
def test_moves_are_those_of_a_loop_over_people(within_days: float | None, tmp_path: Path) -> None:
    frame = random_events()
    journeys: list[list[str]] = []
    for _, rows in frame.sort_values("happened_at").groupby("member_id"):
        walk: list[str] = []
        before = rows.happened_at.iloc[0]
        for event, at in zip(rows.event, rows.happened_at, strict=True):
            if walk and within_days and at - before > pd.Timedelta(days=within_days):
                journeys.append([*walk, "gone"])
                walk = []
            before = at
            walk.append(event)
            if event == "purchase":
                journeys.append(walk)
                walk = []
        if walk:
            journeys.append([*walk, "gone"])
    states = ["coupon", "message", "scan"]
    want = count_moves([j for j in journeys if len(j) > 1], states, ["purchase", "gone"])
    log = table(tmp_path, "member_events", frame.to_csv(index=False))
    got = transition_counts(
        log, "member_id", "happened_at", "event", ends=["purchase"], within_days=within_days
    )
    assert list(got.columns) == [*states, "purchase", "gone"]
    np.testing.assert_array_equal(got.to_numpy(), want)
    assert fit_chain(got.to_numpy(), states, ["purchase", "gone"]).n == want.sum()


def random_registrations(n: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(7)
    released = pd.Timestamp("2014-05-21 07:00") + pd.to_timedelta(rng.integers(0, 5, n), unit="D")
    # No two bookings at one moment: which of them came first would be anybody's guess.
    booked = released + pd.to_timedelta(rng.permutation(n), unit="s")
    cancelled = booked + pd.to_timedelta(rng.integers(0, 90, n), unit="s")
    return pd.DataFrame(
        {
            "account": [f"u{i:02}" for i in rng.integers(0, 30, n)],
            "patient": [f"p{i}" for i in rng.integers(0, 60, n)],
            "doctor": [f"d{i}" for i in rng.integers(0, 2, n)],
            "released_at": released,
            "booked_at": booked,
            "visit_at": released + pd.to_timedelta(7, unit="D"),
            "cancelled_at": cancelled.where(rng.random(n) < 0.5),
            "device": None,
        }
    )


def test_accounts_are_counted_as_the_model_counts_them(tmp_path: Path) -> None:
    frame = random_registrations()
    path = tmp_path / "registrations.csv"
    frame.to_csv(path, index=False)
    log = read_registrations(path).frame
    want = count_accounts(Registrations(**registration_arrays(log)))
    names = pd.factorize(log["account"])[1]
    got = account_features(read(path, REGISTRATIONS)).set_index("account").loc[names]
    features = ["fast", "most_in_day", "days", "patients", "doctors", "rebooked"]
    np.testing.assert_array_equal(got[features].to_numpy(), want.counts[:, :6])
    assert got["rebooked"].sum() > 20
    assert got["cancelled"].sum() == frame["cancelled_at"].notna().sum()


def test_a_database_answers_what_files_do(postgres: Callable[[str], None], tmp_path: Path) -> None:
    columns = {
        "member_events": "event_id text, member_id text, happened_at timestamp, event text, amount float8",
        "registrations": "account text, patient text, doctor text, released_at timestamp, "
        "booked_at timestamp, visit_at timestamp, cancelled_at timestamp, device text",
        "store_weeks": "store text, week date, footfall float8, transactions float8, "
        "sales float8, units float8, converted_on date",
        "sku_sales": "store text, sku text, size text, colour text, day date, sold float8, stock float8",
    }  # fmt: skip
    weeks = tmp_path / "w.csv"
    weeks.write_text(WEEKS)
    sku = pd.DataFrame(
        {"store": "a", "sku": "k", "size": "M", "colour": None,
         "day": pd.date_range("2014-03-03", periods=20).astype(str),
         "sold": np.arange(20) % 3, "stock": 2.0}
    )  # fmt: skip
    frames = {
        "member_events": random_events(),
        "registrations": random_registrations(),
        "store_weeks": pd.read_csv(weeks),
        "sku_sales": sku,
    }
    for name, frame in frames.items():
        postgres(f"CREATE TABLE {name} ({columns[name]})")
        rows = frame.astype(object).where(frame.notna(), None)
        postgres.copy(name, list(rows.itertuples(index=False, name=None)))  # type: ignore[attr-defined]
    reductions = {
        "member_events": lambda t: transition_counts(
            t, "member_id", "happened_at", "event", within_days=3
        ),
        "registrations": account_features,
        "store_weeks": lambda t: pd.concat([store_panel(t), funnel_counts(t)]),
        "sku_sales": sku_weeks,
    }
    for name, reduce in reductions.items():
        here = reduce(table(tmp_path, name, frames[name].to_csv(index=False)))
        there = reduce(read(URL, TABLES[name]))
        pd.testing.assert_frame_equal(there, here, check_dtype=False)

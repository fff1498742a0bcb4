"""A database by URL: the rows stay there, secrets stay in the environment, answers are the same."""

from __future__ import annotations

import datetime as dt
import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from o2o_research import cli
from o2o_research.data import (
    ORDERS,
    TABLES,
    cohort_retention,
    customer_summary,
    deal_prone,
    labelled,
    read,
    read_checked,
    read_orders,
    ticket_by_visit,
    write_orders,
)
from o2o_research.data.mappings import identity, named
from o2o_research.errors import DataError

URL = "postgresql://shop:${O2O_TEST_PASSWORD}@/postgres?host=${O2O_TEST_SOCKET}"


def some_orders(n: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    days = pd.Timestamp("2014-01-01") + pd.to_timedelta(rng.integers(0, 200 * 1440, n), unit="min")
    return pd.DataFrame(
        {
            "order_id": [f"o{i}" for i in range(n)],
            "customer_id": [f"c{i}" for i in rng.integers(0, 60, n)],
            "ordered_at": days,
            "amount": rng.integers(100, 9000, n) / 100,
            "channel": rng.choice(["voucher", "dine_in", None], n),
            "discount": rng.choice([0.0, 5.0, np.nan], n),
        }
    )


def cells(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    return [
        tuple(None if pd.isna(v) else v.to_pydatetime() if isinstance(v, pd.Timestamp) else v for v in row)
        for row in frame.itertuples(index=False)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def orders(postgres: Callable[[str], None], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same rows in Parquet, answered, and in PostgreSQL."""
    frame = some_orders()
    postgres(
        "CREATE TABLE orders (order_id text, customer_id text, ordered_at timestamp, "
        "amount numeric(12, 2), channel text, discount double precision)"
    )
    postgres.copy("orders", cells(frame))  # type: ignore[attr-defined]
    return write_orders(
        ibis.memtable(pa.Table.from_pandas(frame, preserve_index=False)),
        tmp_path_factory.mktemp("orders") / "orders.parquet",
    )


@pytest.mark.parametrize(
    "reduce",
    [
        customer_summary,
        cohort_retention,
        lambda o: cohort_retention(o, period="week"),
        ticket_by_visit,
        lambda o: customer_summary(labelled(o, deal_prone(o, weeks=4))),
    ],
    ids=["summary", "months", "weeks", "tickets", "labelled"],
)
def test_the_database_answers_what_the_file_does(
    reduce: Callable[[Any], pd.DataFrame], orders: Path
) -> None:
    there, here = reduce(read_orders(URL)), reduce(read_orders(orders))
    pd.testing.assert_frame_equal(there, here, check_dtype=False, check_exact=True)


def test_the_rows_stay_in_the_database_and_it_is_only_read(orders: Path) -> None:
    table = read_orders(URL)
    assert table.get_backend().name == "postgres"
    with pytest.raises(Exception, match="read-only"):
        table.get_backend().create_table("mine", table)


def test_names_and_units_of_a_database_are_mapped(
    postgres: Callable[[str], None], orders: Path
) -> None:
    postgres(
        "CREATE SCHEMA shop; CREATE TABLE shop.bills (no int, who int, at timestamptz, "
        "paid_fen text, list numeric, state text)"
    )
    at = dt.datetime(2014, 5, 30, 20, tzinfo=dt.UTC)
    postgres.copy(  # type: ignore[attr-defined]
        "shop.bills",
        [(1, 7, at, "5830", 88.3, "paid"), (2, 8, at, " 4400 ", 44, "refunded")],
    )
    import json

    mapping = json.dumps(
        {
            "source": URL,
            "table": "shop.bills",
            "columns": {
                "order_id": "no",
                "customer_id": "who",
                "ordered_at": "at",
                "amount": "paid_fen",
                "channel": "'store'",
                "discount": "list - paid_fen / 100",
            },
            "where": "state = 'paid'",
            "unit": {"amount": "fen"},
        }
    )
    (row,) = read(mapping, ORDERS).to_pyarrow().to_pylist()
    assert list(row.values()) == [
        "1", "7", dt.datetime(2014, 5, 31, 4), 58.3, "store", pytest.approx(30),
    ]  # fmt: skip


def test_every_problem_of_a_database_is_in_one_message(postgres: Callable[[str], None]) -> None:
    postgres(
        "CREATE TABLE weekly (week date, investment float8, sales_online text, "
        "sales_offline float8, margin float8)"
    )
    monday = dt.date(2014, 3, 3)
    postgres.copy(  # type: ignore[attr-defined]
        "weekly",
        [
            (monday, 1, "2", 3, None), (monday, 1, "2", 3, None), (dt.date(2014, 3, 11), 1, "2", 3, 0),
            (dt.date(2014, 3, 17), -1, "x", 3, 0), (dt.date(2014, 3, 24), 1, "2", None, float("nan")),
        ],
    )  # fmt: skip
    with pytest.raises(DataError) as caught:
        read(URL, TABLES["weekly"])
    assert str(caught.value).split("\n") == [
        "postgresql: week, 1 row: '2014-03-11' is not a Monday; write the day of the week's Monday",
        "postgresql: investment, 1 row: -1 is negative; must be >= 0 yuan",
        "postgresql: sales_online, 1 row: 'x' is not a number; write it like 1234.5",
        "postgresql: sales_offline, 1 row: is empty; it must be known",
        "postgresql: margin, 1 row: 'NaN' is not a number; write it like 1234.5",
        "postgresql: week, 1 row: '2014-03-03' stand more than once; one row is one week",
    ]
    checked = read_checked(URL, TABLES["weekly"], lenient=True)
    assert (checked.count, checked.left_out) == (1, 4)


def test_a_choice_in_a_database_loses_all_of_its_rows_with_one(
    postgres: Callable[[str], None],
) -> None:
    postgres("CREATE TABLE choices (case_id int, alternative text, chosen bool, price float8)")
    postgres.copy(  # type: ignore[attr-defined]
        "choices",
        [(1, "a", True, 5), (1, "b", False, None), (2, "a", True, 5), (2, "b", False, 6),
         (3, "a", True, 1), (3, "b", True, 2)],
    )  # fmt: skip
    with pytest.raises(DataError, match="chosen, 1 case_id '3': must be exactly once"):
        read(URL, TABLES["choices"])
    checked = read_checked(URL, TABLES["choices"], lenient=True)
    assert checked.rows.to_pyarrow()["case_id"].to_pylist() == ["2", "2"]


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        (URL.replace("/postgres?", "/nowhere?"), 'database "nowhere" does not exist'),
        (URL + "#none", "there is no table none; outside the first schema name that too"),
        (URL.replace("O2O_TEST_PASSWORD", "O2O_TEST_WRONG"), "password authentication failed"),
        (URL.replace("O2O_TEST_PASSWORD", "O2O_NOT_SET"), "variable O2O_NOT_SET is not set"),
        ("postgresql://shop:hunter2@/postgres", "a password is written in the URL"),
        ("postgresql://shop@/postgres?password=hunter2", "a password is written in the URL"),
        (URL + "#x;drop", "'x;drop' is no name of a table"),
    ],
)
def test_a_database_out_of_reach_is_refused_without_its_secret(
    url: str, problem: str, orders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("O2O_TEST_WRONG", "Plan7ed-wrong")
    with pytest.raises(DataError) as caught:
        read_orders(url)
    message = str(caught.value)
    assert problem in message
    assert "hunter2" not in message
    assert "Plan7ed" not in message
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["data", "check", URL + "#public.orders", "--as", "orders"], 0),
        (["data", "describe", URL + "#public.orders"], 0),
        (["data", "check", URL + "#none", "--as", "orders"], 2),
        (["data", "describe", URL.replace("shop:", "nobody:") + "#orders"], 2),
        (["run", "restaurants", "--data", URL + "#none", "--out", "OUT"], 2),
    ],
)  # fmt: skip
def test_no_command_says_a_secret_and_no_log_does(
    arguments: list[str],
    status: int,
    orders: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    out = str(tmp_path / "run")
    monkeypatch.setattr("sys.argv", ["o2o", *(out if a == "OUT" else a for a in arguments)])
    left = 0
    try:
        cli.main()
    except SystemExit as leaving:
        left = int(leaving.code or 0)
    streams = capfd.readouterr()
    said = "\n".join([streams.out, streams.err, caplog.text])
    said += "".join(
        p.read_bytes().decode("utf-8", "replace") for p in tmp_path.rglob("*") if p.is_file()
    )
    assert left == status, said
    for hidden in ("Plan7ed", os.environ["O2O_TEST_PASSWORD"], os.environ["O2O_TEST_SOCKET"]):
        assert hidden not in said


@pytest.mark.parametrize("host", ["127.0.0.1", "${O2O_TEST_HOST}"])
def test_a_database_that_does_not_answer_is_told_before_anything_runs(
    host: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("O2O_TEST_WRONG", "Plan7ed-wrong")
    monkeypatch.setenv("O2O_TEST_HOST", "127.0.0.1")
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        place = f"{host}:{taken.getsockname()[1]}"
        mapping = tmp_path / "shop.yaml"
        mapping.write_text(
            f"source: postgresql://shop:${{O2O_TEST_WRONG}}@{place}/shop\ntable: orders\n"
        )
        out = tmp_path / "run"
        arguments = ["o2o", "run", "restaurants", "--data", str(mapping), "--out", str(out)]
        monkeypatch.setattr("sys.argv", arguments)
        with pytest.raises(SystemExit) as leaving:
            cli.main()
    said = capsys.readouterr().err
    assert leaving.value.code == 2
    assert f"postgresql: nobody answers at {place} (no connection)" in said
    assert "Plan7ed" not in said
    assert "$" not in host or "127.0.0.1" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["shop.yaml"]


def test_a_database_is_named_by_its_kind_and_never_reused(orders: Path) -> None:
    assert named(URL) == "postgresql"
    assert identity(URL + "#shop.orders") == [
        {"file": "postgresql shop.orders", "table": "shop.orders", "sha256": None}
    ]

"""Spark, on this machine: the same checks and the same answers as in DuckDB."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ibis
import pandas as pd
import pyarrow as pa
import pytest

from o2o_research.data import cohort_retention, customer_summary, read_orders, write_orders
from o2o_research.errors import DataError

from .test_databases import some_orders

# What Spark 4 and Ibis say of pandas 3; the engine keeps it out of notebooks.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas:FutureWarning"),
    pytest.mark.filterwarnings("ignore:The copy keyword is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings(
        "ignore:The 'future.infer_string' option is deprecated:DeprecationWarning"
    ),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]


@pytest.fixture(scope="module")
def session() -> Iterator[Any]:
    """One Spark on one core, for as long as this module takes."""
    sql = pytest.importorskip(
        "pyspark.sql", reason="pyspark is not installed (pip install pyspark)"
    )
    if shutil.which("java") is None:
        pytest.skip("Spark wants Java, and there is none (Debian: default-jre-headless)")
    found = (
        sql.SparkSession.builder.master("local[1]")
        .config("spark.sql.shuffle.partitions", "1")
        .config("spark.ui.enabled", "false")
        .getOrCreate()
    )
    yield found
    found.stop()


@pytest.fixture(scope="module")
def logs(session: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same orders as Parquet, and as CSV in two files."""
    folder = tmp_path_factory.mktemp("logs")
    frame = some_orders()
    write_orders(
        ibis.memtable(pa.Table.from_pandas(frame, preserve_index=False)), folder / "orders.parquet"
    )
    (folder / "csv").mkdir()
    frame.iloc[:150].to_csv(folder / "csv" / "a.csv", index=False)
    frame.iloc[150:].to_csv(folder / "csv" / "b.csv", index=False)
    return folder


def by_spark(source: Path, **more: Any) -> str:
    return json.dumps({"source": str(source), "engine": "spark", **more})


@pytest.mark.parametrize("name", ["orders.parquet", "csv"])
def test_spark_answers_what_duckdb_does(name: str, logs: Path) -> None:
    there = read_orders(by_spark(logs / name))
    assert there.get_backend().name == "pyspark"
    here = read_orders(logs / "orders.parquet")
    reductions: list[Callable[..., pd.DataFrame]] = [customer_summary, cohort_retention]
    for reduce in reductions[: 2 if name == "csv" else 1]:
        pd.testing.assert_frame_equal(
            reduce(there), reduce(here), check_dtype=False, check_exact=True
        )


def test_a_bad_log_is_refused_there_too(logs: Path) -> None:
    (logs / "bad").mkdir()
    frame = some_orders(30).astype({"amount": object})
    frame.loc[3, "amount"] = "<b>8折</b>"
    frame.loc[7, "amount"] = -3
    frame.to_csv(logs / "bad" / "a.csv", index=False)
    with pytest.raises(DataError) as caught:
        read_orders(by_spark(logs / "bad"))
    assert str(caught.value).split("\n") == [
        "bad: amount, 1 row: '<b>8折</b>' is not a number; write it like 1234.5",
        "bad: amount, 1 row: -3 is negative; must be >= 0 yuan",
    ]

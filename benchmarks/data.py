"""Seconds and memory from order lines to the customer summary, against SQL written by hand.

    python benchmarks/data.py --lines 10000000 --rounds 3
    python benchmarks/data.py --lines 100000000 --memory

DuckDB makes the log, a Parquet file in a temporary folder, which is deleted. Both ways read the
same file and run in turn, so that a busy machine slows both; each holds the lines in a table of
its own, as an analyst does who asks more than once. By hand means one who trusts the log, types
nothing and checks nothing but that an order number stands once; here every rule of the orders
table is checked. With ``--memory`` only our way runs, once, and fails where it takes more than
4 GiB.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pandas as pd

from o2o_research.data import customer_summary, read_orders

END, MOST = "2014-12-31", 4 * 2**30

MADE = """
COPY (
    SELECT
        'o' || i AS order_id,
        'c' || (hash(i) % {customers}) AS customer_id,
        TIMESTAMP '2014-01-01 08:00' + to_minutes((hash(i * 7 + 1) % 525000)::BIGINT) AS ordered_at,
        (1000 + hash(i * 3 + 2) % 20000) / 100 AS amount,
        ['dine_in', 'voucher', 'platform', 'direct'][1 + (hash(i * 5 + 3) % 4)::INT] AS channel,
        CASE WHEN hash(i * 11 + 4) % 3 = 0 THEN (hash(i) % 3000) / 100 ELSE 0 END AS discount
    FROM range({lines}) AS t(i)
) TO '{file}' (FORMAT parquet)
"""

LOADED = """
CREATE TABLE orders AS SELECT order_id, customer_id, ordered_at, amount, channel, discount
FROM read_parquet('{file}')
"""

ONCE = "SELECT count(DISTINCT order_id) = count(*) FROM orders"

BY_HAND = """
WITH days AS (
    SELECT
        customer_id,
        ordered_at::DATE AS day,
        sum(round(amount, 2)::DECIMAL(18, 2)) AS amount,
        arg_min(channel, (ordered_at, channel)) AS channel,
        CASE WHEN bool_or(discount > 0 OR channel = 'voucher') THEN 'deal' ELSE 'full_price' END
            AS acquisition
    FROM orders WHERE ordered_at < TIMESTAMP '2015-01-01' GROUP BY ALL
)
SELECT
    customer_id,
    count(*) - 1 AS frequency,
    date_diff('day', min(day), max(day)) / 7 AS recency,
    date_diff('day', min(day), DATE '2014-12-31') / 7 AS T,
    (sum(amount) - arg_min(amount, day))::DOUBLE / nullif(count(*) - 1, 0) AS monetary,
    arg_min(amount, day)::DOUBLE AS first_amount,
    min(day)::TIMESTAMP AS first_day,
    arg_min(channel, day) AS channel,
    arg_min(acquisition, day) AS acquisition
FROM days GROUP BY customer_id ORDER BY customer_id
"""


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    answer = work()
    return time.perf_counter() - start, answer


def by_hand(file: Path) -> tuple[float, float, pd.DataFrame]:
    """Seconds to load and check, seconds to reduce, and the summary."""
    with duckdb.connect() as con:

        def load() -> None:
            con.execute(LOADED.format(file=file))
            assert con.execute(ONCE).fetchall() == [(True,)]

        loaded, _ = seconds(load)
        reduced, table = seconds(lambda: con.sql(BY_HAND).to_arrow_table().to_pandas())
    return loaded, reduced, table


def ours(file: Path) -> tuple[float, float, pd.DataFrame]:
    loaded, orders = seconds(lambda: read_orders(file))
    reduced, summary = seconds(lambda: customer_summary(orders, end=END))
    orders.get_backend().disconnect()
    return loaded, reduced, summary


def peak() -> int:
    """The most memory that this process has held, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=10_000_000)
    parser.add_argument("--customers", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", action="store_true", help="our way alone, once")
    options = parser.parse_args()
    with TemporaryDirectory(prefix="o2o-bench-") as folder:
        file = Path(folder) / "orders.parquet"
        with duckdb.connect() as con:
            con.execute("SET memory_limit = '2GiB'")
            con.execute("SET preserve_insertion_order = false")
            con.execute(MADE.format(customers=options.customers, lines=options.lines, file=file))
        print(f"{options.lines:,} lines, {file.stat().st_size / 2**20:,.0f} MiB of Parquet")
        if options.memory:
            loaded, reduced, summary = ours(file)
            print(
                f"{len(summary):,} customers; read and checked in {loaded:.1f} s, reduced in {reduced:.1f} s"
            )
            print(f"peak memory {peak() / 2**30:.2f} GiB")
            sys.exit(peak() > MOST)
        times: dict[str, list[tuple[float, float]]] = {"here": [], "by hand": []}
        for _ in range(options.rounds):
            *taken, own = ours(file)
            times["here"].append(tuple(taken))  # type: ignore[arg-type]
            *taken, peer = by_hand(file)
            times["by hand"].append(tuple(taken))  # type: ignore[arg-type]
    pd.testing.assert_frame_equal(own, peer[list(own.columns)], check_dtype=False, rtol=1e-12)
    print(f"{len(own):,} customers, the same in every column")
    middle = {}
    for name, each in times.items():
        middle[name] = median(a for a, _ in each), median(b for _, b in each)
        loaded, reduced = middle[name]
        print(f"{name:8} read and checked {loaded:7.2f} s, reduced {reduced:7.2f} s")
    (a, b), (c, d) = middle["here"], middle["by hand"]
    print(f"ratio of the reduction {b / d:.2f}, of the whole way {(a + b) / (c + d):.2f}")


if __name__ == "__main__":
    main()

"""Seconds and memory from order lines to the customer summary, against SQL written by hand.

    python benchmarks/data.py --lines 10000000 --rounds 3
    python benchmarks/data.py --lines 100000000 --memory

DuckDB makes the log, a Parquet file in a temporary folder, which is deleted. All ways read the
same file and run in turn; each holds the lines in a table of its own, as an analyst does who
asks more than once. Two are written by hand. *Trusting* loads what there is and checks nothing
but that an order number stands once. *Checking* holds every line to the rules of the orders
table as it loads: white space taken off, no cell empty that must be known, times and amounts in
their ranges; but it learns only that something is wrong, not what and where. Both may hold as
much in memory as DuckDB allows by default, we no more than 2 GiB. Seconds of the
processor are compared, which a busy machine changes least; those of the clock stand beside
them. With ``--memory`` only our way runs, once, and fails where it takes more than 4 GiB.
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
from typing import Any, NamedTuple

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

TRUSTING = """
CREATE TABLE orders AS SELECT order_id, customer_id, ordered_at, amount, channel, discount
FROM read_parquet('{file}')
"""

CHECKING = """
CREATE TABLE orders AS
WITH trimmed AS (
    SELECT
        trim(order_id, e' \\t\\n\\r\\x0b\\x0c') AS order_id,
        trim(customer_id, e' \\t\\n\\r\\x0b\\x0c') AS customer_id,
        ordered_at,
        amount,
        nullif(trim(channel, e' \\t\\n\\r\\x0b\\x0c'), '') AS channel,
        discount
    FROM read_parquet('{file}')
)
SELECT
    *,
    coalesce(
        order_id <> '' AND customer_id <> ''
            AND ordered_at >= TIMESTAMP '1990-01-01' AND ordered_at < TIMESTAMP '2100-01-01'
            AND isfinite(amount) AND amount BETWEEN 0 AND 1e9,
        false
    ) AND coalesce(isfinite(discount) AND discount BETWEEN 0 AND 1e9, true) AS good
FROM trimmed
"""

LOADS = {"trusting": (TRUSTING, "true"), "checking": (CHECKING, "bool_and(good)")}

ONCE = "SELECT count(DISTINCT order_id) = count(*) AND {good} FROM orders"

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


class Taken(NamedTuple):
    """Seconds to read and check, and to reduce; of the processor and of the clock."""

    loaded: float
    reduced: float
    loaded_clock: float
    reduced_clock: float

    @property
    def whole(self) -> float:
        return self.loaded + self.reduced


def seconds(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Of the processor, of the clock, and what ``work`` answers."""
    clock, start = time.perf_counter(), time.process_time()
    answer = work()
    return time.process_time() - start, time.perf_counter() - clock, answer


def by_hand(file: Path, peer: str) -> tuple[Taken, pd.DataFrame]:
    loading, good = LOADS[peer]
    with duckdb.connect() as con:

        def load() -> None:
            con.execute(loading.format(file=file))
            assert con.execute(ONCE.format(good=good)).fetchall() == [(True,)]

        loaded, loaded_clock, _ = seconds(load)
        reduced, clock, table = seconds(lambda: con.sql(BY_HAND).to_arrow_table().to_pandas())
    return Taken(loaded, reduced, loaded_clock, clock), table


def ours(file: Path) -> tuple[Taken, pd.DataFrame]:
    loaded, loaded_clock, orders = seconds(lambda: read_orders(file))
    reduced, clock, summary = seconds(lambda: customer_summary(orders, end=END))
    orders.get_backend().disconnect()
    return Taken(loaded, reduced, loaded_clock, clock), summary


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
            taken, summary = ours(file)
            print(
                f"{len(summary):,} customers; read and checked in {taken.loaded_clock:.1f} s, "
                f"reduced in {taken.reduced_clock:.1f} s"
            )
            print(f"peak memory {peak() / 2**30:.2f} GiB")
            sys.exit(peak() > MOST)
        times: dict[str, list[Taken]] = {"here": [], **{peer: [] for peer in LOADS}}
        for _ in range(options.rounds):
            taken, own = ours(file)
            times["here"].append(taken)
            for peer in LOADS:
                taken, table = by_hand(file, peer)
                times[peer].append(taken)
                pd.testing.assert_frame_equal(
                    own, table[list(own.columns)], check_dtype=False, rtol=1e-12
                )
    print(f"{len(own):,} customers, the same in every column")
    print("seconds of the processor (of the clock)")
    middle = {}
    for name, each in times.items():
        middle[name] = Taken(*map(median, zip(*each, strict=True)))
        loaded, reduced, loaded_clock, clock = middle[name]
        print(
            f"{name:8} read and checked {loaded:7.2f} ({loaded_clock:7.2f}), "
            f"reduced {reduced:7.2f} ({clock:7.2f})"
        )
    here, trusting, checking = middle.values()
    by_hand_reduced = median([t.reduced for peer in LOADS for t in times[peer]])
    print(f"ratio of the reduction            {here.reduced / by_hand_reduced:.2f}")
    print(f"of the whole way, trusting peer   {here.whole / trusting.whole:.2f}")
    print(f"of the whole way, checking peer   {here.whole / checking.whole:.2f}")


if __name__ == "__main__":
    main()

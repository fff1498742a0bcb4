"""A good log comes back as it was written, a bad one as a list of everything wrong with it."""

from __future__ import annotations

import csv
import datetime as dt
import gc
import gzip
import io
import os
import tempfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from o2o_research.data import ORDERS, data_hash, read_orders, reading, sources, write_orders
from o2o_research.data.expressions import trimmed
from o2o_research.domain import Interval
from o2o_research.errors import DataError

HEAD = "customer_id,ordered_at,amount,channel,discount\n"
GOOD = (
    HEAD + "A,2014-05-30 12:10,58,堂食,0\nB,2014-05-31,29.5,voucher,30\nA,2014-06-01 19:00,88,,\n"
)
ROWS = [
    ("A", dt.datetime(2014, 5, 30, 12, 10), 58.0, "堂食", 0.0),
    ("B", dt.datetime(2014, 5, 31), 29.5, "voucher", 30.0),
    ("A", dt.datetime(2014, 6, 1, 19), 88.0, None, None),
]


def rows(source: str | Path, **how: Any) -> list[tuple[Any, ...]]:
    table = read_orders(source, **how).to_pyarrow()
    return [tuple(row.values()) for row in table.to_pylist()]


def refusal(source: str | Path, **how: Any) -> str:
    with pytest.raises(DataError) as caught:
        read_orders(source, **how)
    return str(caught.value)


def written(folder: Path, content: str | bytes, name: str = "orders.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def parquet(folder: Path, **columns: Any) -> Path:
    n = len(next(iter(columns.values())))
    whole = {
        "customer_id": [f"C{i}" for i in range(n)],
        "ordered_at": [dt.datetime(2014, 5, 1 + i) for i in range(n)],
        "amount": [10.0] * n,
        "channel": ["dine_in"] * n,
        "discount": [0.0] * n,
    } | columns
    path = folder / "orders.parquet"
    pq.write_table(pa.table(whole), path)
    return path


# Bad cells: everything at once, each message whole.


def test_every_problem_of_a_log_is_in_one_message(tmp_path: Path) -> None:
    log = written(
        tmp_path,
        HEAD
        + '"two\nlines",2014-05-30 12:10,58,dine_in,0\n'  # rows 2 and 3
        + "\n"
        + ",2014-05-30,58,dine_in,0\n"  # 5
        + "B,30/05/2014,58,dine_in,0\n"
        + "B,,58,dine_in,0\n"
        + "B,9999-12-31,58,dine_in,0\n"
        + "B,2014-05-30,-3.5,dine_in,0\n"
        + "B,2014-05-30,¥58,dine_in,0\n"  # 10
        + "B,2014-05-30,,dine_in,0\n"
        + "B,2014-05-30,1e400,dine_in,-1\n"
        + "B,2014-05-30,nan,dine_in,8折\n"
        + "B,2014-05-30,58,dine_in,2e9\n"
        + '"two\nlines",2014/5/30 12:10:00,58.00,dine_in,0.0\n',  # 15 and 16
    )
    assert refusal(log).split("\n") == [
        "orders.csv: customer_id, row 5: is empty; it must be known",
        "orders.csv: ordered_at, row 7: is empty; it must be known",
        "orders.csv: ordered_at, row 6: '30/05/2014' is not readable as a date and time; "
        "write 2014-05-30 or 2014-05-30 20:15",
        "orders.csv: ordered_at, row 8: '9999-12-31' is outside 1990-01-01 to 2099-12-31",
        "orders.csv: amount, row 11: is empty; it must be known",
        "orders.csv: amount, rows 10, 12, 13: '¥58', 1e400, 'nan' are not a number; "
        "write it like 1234.5",
        "orders.csv: amount, row 9: -3.5 is negative; must be >= 0 yuan",
        "orders.csv: discount, row 13: '8折' is not a number; write it like 1234.5",
        "orders.csv: discount, row 12: -1 is negative; must be >= 0 yuan",
        "orders.csv: discount, row 14: 2e9 is too large; must be <= 1,000,000,000 yuan",
        "orders.csv: row 15: repeats row 2 in customer_id, ordered_at, amount, channel and "
        "discount; if they are different orders, tell them apart by a column order_id",
    ]


def test_many_bad_rows_are_counted_and_three_are_shown(tmp_path: Path) -> None:
    bad = "".join(f"C,2014-05-30 12:{i:02},-{i + 1},,\n" for i in range(45))
    assert refusal(written(tmp_path, GOOD + bad)) == (
        "orders.csv: amount, rows 5, 6, 7 and 42 more: -1, -2, -3 are negative; must be >= 0 yuan"
    )


def test_a_row_far_down_is_named_by_its_line(tmp_path: Path) -> None:
    """Beyond the batches of the careful pass and the chunks of the quick one."""
    lines = "".join(f"C{i},2014-05-30 12:00,1,,\n" for i in range(70_000))
    log = written(tmp_path, HEAD + lines + "X,2014-05-30,-7,,\n" + GOOD.partition("\n")[2])
    assert refusal(log) == "orders.csv: amount, row 70002: -7 is negative; must be >= 0 yuan"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (
            GOOD.replace("amount", "Amount").replace("discount", "折扣"),
            "columns amount, discount missing; the header has "
            "'customer_id', 'ordered_at', 'Amount', 'channel', '折扣'",
        ),
        ("<html>\n<p>no table</p>\n", "columns customer_id, ordered_at, amount, channel, discount "
         "missing; the header has '<html>'"),
        (
            HEAD.replace("\n", ",amount\n") + "A,2014-05-30,1,,,1\n",
            "column amount stands twice in the header",
        ),
        (HEAD + "A,2014-05-30,1,,\nA,2014-05-30,1,234,,\nB\n",
         "rows 3, 4: 6, 1 cells where the header has 5; quote a cell that holds ','"),
        (HEAD + 'A,2014-05-30,1,,\n"B,2014-05-30,1,,\nC,2014-05-30,1,,\n',
         "row 3: a quote opens a cell and does not close it"),
        ('"customer_id,ordered_at\nA,2014-05-30\n',
         "row 1: a quote opens a cell and does not close it"),
        (HEAD + '"A"x,2014-05-30,1,,\n', "row 2: a quote opens a cell and does not close it"),
    ],
)  # fmt: skip
def test_a_table_out_of_shape_is_refused(tmp_path: Path, content: str, problem: str) -> None:
    assert refusal(written(tmp_path, content)) == f"orders.csv: {problem}"


def test_a_missing_column_does_not_hide_the_problems_of_the_others(tmp_path: Path) -> None:
    log = written(tmp_path, "customer_id,ordered_at,amount,channel\nA,2014-05-30,-1,\nB\n")
    assert refusal(log).split("\n") == [
        "orders.csv: column discount missing; the header has "
        "'customer_id', 'ordered_at', 'amount', 'channel'",
        "orders.csv: row 3: 1 cells where the header has 4; quote a cell that holds ','",
        "orders.csv: amount, row 2: -1 is negative; must be >= 0 yuan",
    ]


# What is no table at all.


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("orders.csv", b"", "orders.csv is empty"),
        ("orders.csv", b"\xef\xbb\xbf", "orders.csv is empty"),
        ("orders.csv", b"\n \n\n", "orders.csv: columns customer_id, ordered_at, amount, channel, "
         "discount missing; the header has ''"),
        ("orders.csv.gz", gzip.compress(b"", mtime=0), "orders.csv.gz is empty"),
        ("orders.csv", HEAD.encode(), "orders.csv holds no orders"),
        ("orders.csv.gz", gzip.compress(GOOD.encode(), mtime=0)[:-9],
         "orders.csv.gz is a broken gzip file; pack it again"),
        ("orders.csv", b"\x1f\x8bnot gzip at all",
         "orders.csv is a broken gzip file; pack it again"),
        ("orders.xlsx", b"PK\x03\x04rest", "orders.xlsx is an Excel workbook or another zip "
         "archive; save the sheet as CSV UTF-8"),
        ("orders.xls", b"\xd0\xcf\x11\xe0rest",
         "orders.xls is an Excel 97 workbook; save the sheet as CSV UTF-8"),
        ("orders.parquet", GOOD.encode(),
         "orders.parquet is not a whole Parquet file; write it again"),
        ("orders.csv", (HEAD + "A,2014-05-30,1,caf").encode() + b"\xe9,\n",
         "orders.csv: row 2: text that is neither UTF-8 nor GB18030; save the file as CSV UTF-8"),
        ("orders.csv", GOOD.encode("utf-16")[:-1],
         "orders.csv: row 4: text that is not UTF-16; save the file as CSV UTF-8"),
        ("orders.csv", (GOOD + "A\0B,2014-05-30,1,,\n").encode(),
         "orders.csv: row 5: a NUL character; the file is damaged or not text"),
        ("orders.csv", GOOD.encode("utf-16-le"),
         "orders.csv: row 1: a NUL character; the file is damaged or not text"),
    ],
)  # fmt: skip
def test_a_file_that_holds_no_orders_is_refused_by_name(
    tmp_path: Path, name: str, content: bytes, problem: str
) -> None:
    assert refusal(written(tmp_path, content, name)) == problem


@pytest.mark.parametrize("keep", [4, 100, 0.5, -1])
def test_a_parquet_file_cut_short_is_refused(tmp_path: Path, keep: float) -> None:
    whole = parquet(tmp_path, amount=[1.0, 2.0]).read_bytes()
    cut = int(keep * len(whole)) if isinstance(keep, float) else int(keep)
    log = written(tmp_path, whole[:cut], "orders.parquet")
    assert refusal(log) == "orders.parquet is not a whole Parquet file; write it again"


def test_a_parquet_file_damaged_inside_is_refused(tmp_path: Path) -> None:
    whole = bytearray(parquet(tmp_path, amount=[float(i) for i in range(28)]).read_bytes())
    whole[4:400] = bytes(396)
    log = written(tmp_path, bytes(whole), "orders.parquet")
    assert refusal(log) == "orders.parquet is not a whole Parquet file; write it again"


def test_a_source_that_is_no_file_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "orders.csv") == f"{tmp_path}/orders.csv: no such file"
    assert refusal(tmp_path / "*.csv") == f"{tmp_path}/*.csv: no file matches"
    assert refusal(tmp_path) == (
        f"{tmp_path}: no table in this folder; tables end in .csv, .csv.gz, .tsv, .txt, "
        ".parquet, .pq"
    )
    assert refusal("") == "'' names no file"
    assert refusal("orders\0.csv") == r"'orders\x00.csv' names no file"
    assert refusal("https://example.org/orders.csv") == (
        "https://example.org/orders.csv: no such file"
    )


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert refusal(tmp_path / "pipe") == f"{tmp_path}/pipe is not a file"


def test_an_unknown_time_zone_is_refused(tmp_path: Path) -> None:
    assert refusal(written(tmp_path, GOOD), timezone="'; DROP TABLE x") == (
        """timezone "'; DROP TABLE x" is not known; write one like Asia/Shanghai"""
    )


# The same order twice.


def test_an_order_number_may_stand_once_whatever_the_rest_of_the_row(tmp_path: Path) -> None:
    head = "order_id," + HEAD
    log = written(
        tmp_path,
        head + "7,A,2014-05-30,1,,\n8,A,2014-05-30,1,,\n7,B,2014-06-01,2,,\n,C,2014-06-01,2,,\n",
    )
    assert refusal(log).split("\n") == [
        "orders.csv: order_id, row 5: is empty; it must be known",
        "orders.csv: order_id, row 4: '7' repeats row 2; one row is one order",
    ]


def test_like_orders_with_numbers_of_their_own_are_two_orders(tmp_path: Path) -> None:
    log = written(tmp_path, "order_id," + HEAD + "7,A,2014-05-30,1,,\n8,A,2014-05-30,1,,\n")
    assert [row[0] for row in rows(log)] == ["7", "8"]


def test_an_order_of_an_earlier_file_is_named_with_that_file(tmp_path: Path) -> None:
    written(tmp_path, GOOD, "day1.csv")
    written(tmp_path, GOOD + "Z,2014-06-02,-1,,\n", "day2.csv")
    assert refusal(tmp_path / "day*.csv").split("\n") == [
        "day2.csv: amount, row 5: -1 is negative; must be >= 0 yuan",
        "day2.csv: rows 2, 3, 4: repeat day1.csv row 2, day1.csv row 3, day1.csv row 4 in "
        "customer_id, ordered_at, amount, channel and discount; if they are different orders, "
        "tell them apart by a column order_id",
    ]


def test_files_must_agree_on_having_order_numbers(tmp_path: Path) -> None:
    written(tmp_path, GOOD, "day1.csv")
    written(tmp_path, "order_id," + HEAD + "7,A,2014-05-30,1,,\n", "day2.csv")
    assert refusal(tmp_path / "day*.csv") == (
        "day1.csv: column order_id missing; the header has "
        "'customer_id', 'ordered_at', 'amount', 'channel', 'discount'"
    )


# Good logs in every dress.


DIALECTS: dict[str, Callable[[str], bytes]] = {
    "plain.csv": lambda text: text.encode(),
    "mark.csv": lambda text: text.encode("utf-8-sig"),
    "gb18030.csv": lambda text: text.encode("gb18030"),
    "excel.txt": lambda text: text.replace(",", "\t").encode("utf-16"),
    "no-suffix": lambda text: text.replace(",", ";").encode(),
    "bars.csv": lambda text: text.replace(",", "|").encode(),
    "windows.csv": lambda text: text.replace("\n", "\r\n").encode(),
    "old-mac.csv": lambda text: text.replace("\n", "\r").encode(),
    "packed.csv.gz": lambda text: gzip.compress(text.encode()),
    "packed-unnamed.csv": lambda text: gzip.compress(text.encode("gb18030")),
    "falsely-named.gz": lambda text: text.encode(),
    "spaces.csv": lambda text: text.replace(",", " , ").encode(),
    "quotes.csv": lambda text: text.replace("amount", '"amount"').replace("58", '"58"').encode(),
}


def test_the_same_orders_come_out_of_every_dialect(tmp_path: Path) -> None:
    want = []
    for year, (name, dialect) in enumerate(DIALECTS.items(), start=2000):
        written(tmp_path, dialect(GOOD.replace("2014", str(year))), name)
        want += [(who, at.replace(year=year), *rest) for who, at, *rest in ROWS]
    assert sorted(rows(tmp_path / "*"), key=str) == sorted(want, key=str)


def test_line_ends_may_differ_within_a_file_and_blank_lines_come_first(tmp_path: Path) -> None:
    assert rows(written(tmp_path, "\n\n" + GOOD.replace("\n", "\r\n", 2))) == ROWS


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    written(tmp_path, HEAD + "X,2014-05-30,-1,,\n", "oa.csv")  # what the pattern would match
    assert rows(written(tmp_path, GOOD, "o[a]*?'%;--\".csv")) == ROWS


def test_columns_may_stand_in_any_order_among_others(tmp_path: Path) -> None:
    turned = [line.split(",") for line in GOOD.splitlines()]
    text = "\n".join(",".join([*line[::-1], "x", ""]) for line in turned)
    assert rows(written(tmp_path, text)) == ROWS


def test_a_pattern_reads_its_files_as_one(tmp_path: Path) -> None:
    lines = GOOD.splitlines(keepends=True)
    written(tmp_path, lines[0] + lines[1], "1.csv")
    written(tmp_path, (lines[0] + lines[2]).encode("gb18030"), "2.csv")
    written(tmp_path, ";".join(lines[0].split(",")) + ";".join(lines[3].split(",")), "3.csv")
    written(tmp_path, HEAD, "4.csv")  # a day without orders
    assert sorted(map(str, rows(tmp_path / "?.csv"))) == sorted(map(str, ROWS))


def test_a_folder_is_read_with_its_folders_and_without_an_engines_own_files(
    tmp_path: Path,
) -> None:
    lines = GOOD.splitlines(keepends=True)
    (tmp_path / "day=1").mkdir()
    written(tmp_path, lines[0] + lines[1] + lines[2], "day=1/part-0.csv")
    written(tmp_path, lines[0] + lines[3], "part-1.csv")
    written(tmp_path, "x", "_SUCCESS.csv")
    written(tmp_path, "notes", "readme.md")
    assert sorted(map(str, rows(tmp_path))) == sorted(map(str, ROWS))


def test_parquet_gives_what_csv_gives(tmp_path: Path) -> None:
    columns = zip(*ROWS, strict=True)
    names = [c.name for c in ORDERS.columns if not c.optional]
    log = parquet(tmp_path, **dict(zip(names, columns, strict=True)))
    assert rows(log) == ROWS
    written(tmp_path, GOOD.replace("2014", "2015"), "orders.csv")
    assert len(rows(tmp_path / "orders.*")) == 6


def test_parquet_may_hold_any_type_that_means_the_same(tmp_path: Path) -> None:
    shanghai = dt.timezone(dt.timedelta(hours=8))
    log = parquet(
        tmp_path,
        customer_id=pa.array([7, 2**62]),
        ordered_at=pa.array([dt.datetime(2014, 5, 30, 23, tzinfo=shanghai)] * 2),
        amount=pa.array([Decimal("1.25"), Decimal("2.50")]),
        channel=pa.array(["a", "a"]).dictionary_encode(),
        discount=pa.array([1, None], pa.int8()),
    )
    at = dt.datetime(2014, 5, 30, 23)
    assert rows(log) == [("7", at, 1.25, "a", 1.0), (str(2**62), at, 2.5, "a", None)]


def test_parquet_of_other_types_is_refused_column_by_column(tmp_path: Path) -> None:
    log = parquet(
        tmp_path,
        customer_id=[7.0],
        ordered_at=[20140530],
        amount=[True],
        channel=[[1]],
        discount=[-1.0],
    )
    assert refusal(log).split("\n") == [
        "orders.parquet: column customer_id holds float64; it must hold text",
        "orders.parquet: column ordered_at holds int64; it must hold dates or times",
        "orders.parquet: column amount holds boolean; it must hold numbers",
        "orders.parquet: column channel holds array<int64>; it must hold text",
        "orders.parquet: discount, row 1: -1.0 is negative; must be >= 0 yuan",
    ]


def test_bad_cells_of_parquet_are_named_by_row_from_one(tmp_path: Path) -> None:
    log = parquet(
        tmp_path,
        amount=[1.0, float("nan"), None, float("inf")],
        customer_id=["A", " ", "B", "C"],
        ordered_at=["2014-05-30", "2014-05-31", "yesterday", "2014-05-30"],
    )
    assert refusal(log).split("\n") == [
        "orders.parquet: customer_id, row 2: is empty; it must be known",
        "orders.parquet: ordered_at, row 3: 'yesterday' is not readable as a date and time; "
        "write 2014-05-30 or 2014-05-30 20:15",
        "orders.parquet: amount, row 3: is empty; it must be known",
        "orders.parquet: amount, rows 2, 4: 'nan', 'inf' are not a number; write it like 1234.5",
    ]


# Time.

MOMENTS = {
    "2014-05-30": (0, 0, 0),
    "2014-5-30": (0, 0, 0),
    "2014/05/30": (0, 0, 0),
    "2014.5.30": (0, 0, 0),
    "20140530": (0, 0, 0),
    "2014年5月30日": (0, 0, 0),
    "2014年05月30日 20:15": (20, 15, 0),
    "2014年5月30日20:15:09": (20, 15, 9),
    "2014/5/30 8:05": (8, 5, 0),
    "2014-05-30T20:15": (20, 15, 0),
    "2014-05-30 20:15:09": (20, 15, 9),
    "2014-05-30 20:15:09.000": (20, 15, 9),
    "20140530201509": (20, 15, 9),
    "20140530T201509": (20, 15, 9),
    "20140530 20:15": (20, 15, 0),
    "2014-05-30T20:15:09+08:00": (20, 15, 9),
    "2014-05-30 20:15:09+0800": (20, 15, 9),
    "2014-05-30 20:15:09+08": (20, 15, 9),
    "2014-05-30T12:15:09Z": (20, 15, 9),
    "20140530T121509Z": (20, 15, 9),
    "2014-05-29T23:15:09-05:00": (12, 15, 9),
    "2014-05-29T16:00:00Z": (0, 0, 0),
}


def test_each_iso_and_chinese_form_is_the_moment_in_the_shops_own_time(tmp_path: Path) -> None:
    text = HEAD + "".join(f"{i},{form},1,,\n" for i, form in enumerate(MOMENTS))
    got = [row[1] for row in rows(written(tmp_path, text))]
    assert got == [dt.datetime(2014, 5, 30, *clock) for clock in MOMENTS.values()]


def test_another_zone_moves_only_times_that_name_theirs(tmp_path: Path) -> None:
    log = written(tmp_path, HEAD + "A,2014-05-30 20:15,1,,\nB,2014-05-30T20:15:00Z,1,,\n")
    assert [row[1] for row in rows(log, timezone="America/New_York")] == [
        dt.datetime(2014, 5, 30, 20, 15),
        dt.datetime(2014, 5, 30, 16, 15),
    ]


UNREADABLE = [
    "30/05/2014", "05/30/2014", "30.5.2014", "May 30, 2014", "2014-05", "2014-W22-5", "2014-150",
    "2014-02-30", "2014-13-01", "2014-05-30 25:00", "2014-05-30 8pm", "2014-05-30 下午8:15",
    "41789", "1401451200", "1401451200000", "今天", "0", "-", "NULL", "n/a",
]  # fmt: skip
OUTSIDE = ["1900-01-01", "1989-12-31 23:59:59", "2100-01-01", "9999-12-31", "0014-05-30",
           "infinity", "epoch"]  # fmt: skip


def test_a_time_is_never_guessed(tmp_path: Path) -> None:
    cells = UNREADABLE + OUTSIDE
    text = HEAD + "".join(f'{i},"{cell}",1,,\n' for i, cell in enumerate(cells))
    unread, outside = refusal(written(tmp_path, text)).split("\n")
    assert unread.startswith(f"orders.csv: ordered_at, rows 2, 3, 4 and {len(UNREADABLE) - 3} more")
    assert outside.startswith(
        f"orders.csv: ordered_at, rows {len(UNREADABLE) + 2}, {len(UNREADABLE) + 3}, "
        f"{len(UNREADABLE) + 4} and {len(OUTSIDE) - 3} more: '1900-01-01', '1989-12-31 23:59:59'"
    )


# Text is text.

HOSTILE = [
    "'; DROP TABLE orders; --", '"; SELECT 1; --', "Robert'); --", "$1", "?", ":x", "{x}", "%s",
    "=1+1", "=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "=HYPERLINK(\"http://x\",\"y\")",
    "<script>alert(1)</script>", "&amp;", "[a](javascript:1)", "*b*", "#import \"x\"", "$x$",
    "\\n", "\\", "/etc/passwd", "../..", "read_csv('x')", "NULL", "null", "NA", "nan", "True",
    "1e5", "007", "0x1F", "１２３", "张三", "𠮷野家", "Ünïcödé", "e\u0301", "👩‍🍳", "\u202egnp.exe",
    "a\u200bb", "\ufeffx", "a\tb", "a\rb", "a\nb", "a\r\nb", "a,b", 'a"b', '"', '""', "'", "''",
    "a;b", "a|b", "\x01", "\x1b[31m", "\x7f", "\u2028", "\ud7ff", "\ufffd", "x" * 10_000,
    "汉" * 10_000, '"' * 5_000, "\n" * 100 + "x", "[red]x[/red]", "${HOME}", "`ls`", "%00",
]  # fmt: skip


def as_csv(records: list[list[str]], line_end: str = "\n") -> str:
    """Everything quoted: Python would leave a bare carriage return outside quotes."""
    text = io.StringIO()
    csv.writer(text, lineterminator=line_end, quoting=csv.QUOTE_ALL).writerows(records)
    return text.getvalue()


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_hostile_text_comes_back_as_the_text_it_is(tmp_path: Path, encoding: str) -> None:
    records = [[text, "2014-05-30", "1", text, ""] for text in HOSTILE]
    log = written(tmp_path, as_csv([HEAD.strip().split(","), *records]).encode(encoding))
    # Two spellings of a customer stay two: nothing is folded or normalised.
    stripped = [text.strip(" \t\n\r\v\f") for text in HOSTILE]
    assert [(row[0], row[3]) for row in rows(log)] == [(text, text) for text in stripped]


def test_hostile_headers_are_names_and_no_more(tmp_path: Path) -> None:
    head = [*HEAD.strip().split(","), *HOSTILE]
    log = written(tmp_path, as_csv([head, ["A", "2014-05-30", "1", "", "", *HOSTILE]]))
    assert [row[0] for row in rows(log)] == ["A"]


def test_hostile_cells_are_quoted_and_cut_in_a_message(tmp_path: Path) -> None:
    cells = ["\x1b[31m\u202e", "a\nb", "x" * 10_000]
    records = [[str(i), "2014-05-30", cell, "", ""] for i, cell in enumerate(cells)]
    message = refusal(written(tmp_path, as_csv([HEAD.strip().split(","), *records])))
    assert message == (
        r"orders.csv: amount, rows 2, 3, 5: '\x1b[31m\u202e', 'a\nb', '" + "x" * 39 + "…' "
        "are not a number; write it like 1234.5"
    )


def test_a_cell_of_megabytes_is_read(tmp_path: Path) -> None:
    """DuckDB gives up on lines beyond two million characters; the careful pass does not."""
    log = written(tmp_path, HEAD + "A,2014-05-30,1," + "汉" * 1_500_000 + ",\n")
    assert [len(row[3]) for row in rows(log)] == [1_500_000]


texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6)


@settings(max_examples=5)
@given(
    cells=st.lists(st.tuples(texts, texts), min_size=1, max_size=8),
    line_end=st.sampled_from(["\n", "\r\n"]),
    bad=st.integers(0, 7),
)
def test_any_text_is_kept_and_a_bad_row_named_by_the_line_an_editor_shows(
    cells: list[tuple[str, str]], line_end: str, bad: int
) -> None:
    bad = min(bad, len(cells) - 1)
    head = HEAD.strip().split(",")
    names = [f"{i}{customer}!" for i, (customer, _) in enumerate(cells)]
    records = [
        [name, "2014-05-30", str(i), f"?{channel}!", "0"]
        for i, (name, (_, channel)) in enumerate(zip(names, cells, strict=True))
    ]
    with tempfile.TemporaryDirectory() as folder:
        text = as_csv([head, *records], line_end)
        got = rows(written(Path(folder), text))
        assert [(row[0], row[3]) for row in got] == [(r[0], r[3]) for r in records]

        before = as_csv([head, *records[:bad]], line_end)
        line = len(before.replace("\r\n", "\n").replace("\r", "\n").split("\n"))
        records[bad][2] = "-1"
        text = as_csv([head, *records], line_end)
        assert refusal(written(Path(folder), text)) == (
            f"orders.csv: amount, row {line}: -1 is negative; must be >= 0 yuan"
        )


# Traces, hashes and writing.


def test_reading_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "scratch").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    monkeypatch.chdir(tmp_path / "here")
    log = written(tmp_path, GOOD.encode("gb18030"))
    table = read_orders(log)
    refusal(written(tmp_path, HEAD + "A,2014-05-30,-1,,\n", "bad.csv"))
    assert list((tmp_path / "scratch").iterdir()) == list((tmp_path / "here").iterdir()) == []
    log.unlink()  # what was read is held
    assert table.count().to_pyarrow().as_py() == 3


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A log that is more than DuckDB may hold in memory; temporary files go to ``scratch``."""
    log = tmp_path / "orders.parquet"
    row = ibis.range(0, 200_000).unnest().name("row").as_table()
    row.select(
        customer_id=ibis.literal("one of a long list of customers: ") + row["row"].cast("string"),
        ordered_at=ibis.timestamp("2014-05-01 12:00:00"),
        amount=row["row"].cast("float64"),
        channel=ibis.literal("voucher"),
        discount=ibis.literal(0.0),
    ).to_parquet(str(log))
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    monkeypatch.setattr("o2o_research.data.sources._MEMORY", 40 * 2**20)
    return log


def test_what_does_not_fit_in_memory_lies_in_a_folder_that_goes_with_the_orders(
    large: Path,
) -> None:
    orders, others = read_orders(large), read_orders(large)
    scratch = large.parent / "scratch"
    assert len(list(scratch.iterdir())) == 2
    del orders
    gc.collect()
    (left,) = scratch.iterdir()
    assert any(left.iterdir())
    assert others.count().to_pyarrow().as_py() == 200_000
    others.get_backend().disconnect()
    del others
    gc.collect()
    assert not list(scratch.iterdir())


def test_a_disk_that_is_full_is_said_in_one_sentence(
    large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = sources.connect

    def cramped(timezone: str) -> Any:
        con = connect(timezone)
        con.settings["max_temp_directory_size"] = "1MiB"
        return con

    monkeypatch.setattr(sources, "connect", cramped)
    scratch = large.parent / "scratch"
    assert refusal(large) == (
        f"{scratch} has no room left for what does not fit in memory; make some, or set TMPDIR "
        "to a folder on a larger disk"
    )
    gc.collect()
    assert not list(scratch.iterdir())


def test_a_disk_that_fills_when_rows_are_taken_into_memory_is_said_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise duckdb.IOException("Could not write file: No space left on device")

    table = ibis.memtable(pa.table({"store": ["a"]}))
    monkeypatch.setattr(type(table), "to_pyarrow", full)
    for take in (sources.arrow, sources.frame):
        with pytest.raises(DataError, match="has no room left for what does not fit in memory"):
            take(table)
    modules = Path(sources.__file__).parent.glob("*.py")
    assert [m.name for m in modules if ".to_pandas(" in m.read_text()] == ["sources.py"]


def test_a_machine_smaller_than_the_limit_keeps_what_duckdb_finds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert sources.connect("Asia/Shanghai").settings["memory_limit"] == "2.0 GiB"
    monkeypatch.setattr(sources, "_MEMORY", 2**60)
    own = duckdb.connect().execute("SELECT current_setting('memory_limit')").fetchall()
    assert [(sources.connect("Asia/Shanghai").settings["memory_limit"],)] == own


# All that Ibis strips, all that Unicode calls space but Ibis does not strip, and neighbours.
@given(
    st.lists(
        st.text(
            st.sampled_from(" \t\n\r\v\f!\x00\x1f\x7f\x85\xa0\u0301\u0600\u2028\u3000\ufeff店a")
        ),
        min_size=1,
    )
)
@settings(max_examples=50, deadline=None)
def test_the_fast_trim_is_the_trim_of_every_text(texts: list[str]) -> None:
    cells = ibis.memtable(pa.table({"text": pa.array(texts, pa.string())}))
    both = cells.select(fast=reading._trimmed(cells.text), plain=trimmed(cells.text))
    found = both.to_pyarrow().to_pylist()
    assert all(row["fast"] == row["plain"] for row in found)
    assert [row["plain"] for row in found] == [t.strip(" \t\n\r\v\f") or None for t in texts]


def test_the_hash_is_of_the_contents_alone(tmp_path: Path) -> None:
    import hashlib

    one, two = written(tmp_path, "a\n", "1.csv"), written(tmp_path, "b\n", "2.csv")
    assert data_hash(one) == hashlib.sha256(b"a\n").hexdigest()
    both = data_hash(tmp_path / "*.csv")
    one.rename(tmp_path / "9.csv")
    assert data_hash(tmp_path / "*.csv") == both
    two.write_text("c\n")
    assert data_hash(tmp_path / "*.csv") != both
    with pytest.raises(DataError, match="no such file"):
        data_hash(two.with_name("missing.csv"))


def test_orders_written_are_the_orders_read_and_always_the_same_bytes(tmp_path: Path) -> None:
    orders = read_orders(written(tmp_path, GOOD))
    target = write_orders(orders, tmp_path / "orders.parquet")
    assert rows(target) == ROWS
    first = target.read_bytes()
    assert write_orders(orders, target).read_bytes() == first


def test_bad_orders_are_not_written_and_what_was_there_stays(tmp_path: Path) -> None:
    target = tmp_path / "orders.parquet"
    target.write_bytes(b"what was there")
    columns = {"customer_id": ["A"], "ordered_at": ["2014-05-30"], "amount": [-1.0]}
    table = ibis.memtable(pa.table(columns | {"channel": [""], "discount": [0.0]}))
    with pytest.raises(DataError) as caught:
        write_orders(table, target)
    assert str(caught.value) == (
        "orders.parquet: amount, row 1: -1.0 is negative; must be >= 0 yuan"
    )
    assert target.read_bytes() == b"what was there"
    assert [path.name for path in tmp_path.iterdir()] == ["orders.parquet"]


def test_orders_go_to_a_file_in_a_folder_that_exists(tmp_path: Path) -> None:
    orders = read_orders(written(tmp_path, GOOD))
    with pytest.raises(DataError, match="missing is not a folder"):
        write_orders(orders, tmp_path / "missing" / "orders.parquet")
    with pytest.raises(DataError, match="is a folder; name a file"):
        write_orders(orders, tmp_path)


def test_every_domain_of_the_table_is_an_interval() -> None:
    for column in ORDERS.columns:
        assert (column.type == "number") == bool(column.domain)
        if column.domain:
            assert 0.0 in Interval.parse(column.domain)

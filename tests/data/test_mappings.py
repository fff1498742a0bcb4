"""A company's own names, conditions and units fit ours without SQL, wherever the rows lie."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from o2o_research.data import ORDERS, TABLES, read, read_checked
from o2o_research.data.mappings import identity, leniently, named, present, tables_in
from o2o_research.errors import DataError

LOG = """单号,会员,下单时间,实付(分),状态,来源,标价
1,A17,2014-05-30 12:10,5830,paid,mt,88.3
2,B04,2014-05-30 12:25,9650,paid,store,96.5
3,C31,2014-05-30 18:40,4400,refunded,mt,44
4,A17,2014-05-31 19:05,8800,paid,,
"""
MAPPING = """
source: log.csv
columns:
  order_id: 单号
  customer_id: 会员
  ordered_at: 下单时间
  amount: 实付(分)
  channel: case when 来源 = 'mt' then 'voucher' when 来源 is not null then 'dine_in' end
  discount: 标价 - "实付(分)" / 100
where: 状态 = 'paid'
unit: {amount: fen}
"""
ROWS = [
    ("1", "A17", dt.datetime(2014, 5, 30, 12, 10), 58.3, "voucher", 30.0),
    ("2", "B04", dt.datetime(2014, 5, 30, 12, 25), 96.5, "dine_in", 0.0),
    ("4", "A17", dt.datetime(2014, 5, 31, 19, 5), 88.0, None, None),
]


@pytest.fixture
def mapping(tmp_path: Path) -> Path:
    (tmp_path / "log.csv").write_text(LOG, encoding="utf-8")
    path = tmp_path / "mapping.yaml"
    path.write_text(MAPPING, encoding="utf-8")
    return path


def rows(source: str | Path, **how: Any) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in read(source, ORDERS, **how).to_pyarrow().to_pylist()]


def refusal(source: str | Path) -> str:
    with pytest.raises(DataError) as caught:
        read(source, ORDERS)
    return str(caught.value)


def test_names_conditions_and_units_are_fitted(mapping: Path) -> None:
    assert rows(mapping) == ROWS


def test_parquet_and_a_folder_are_mapped_as_csv_is(mapping: Path, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    pq.write_table(
        pa.table(
            {
                "单号": [1, 2, 3, 4],
                "会员": ["A17", "B04", "C31", "A17"],
                "下单时间": [
                    dt.datetime(2014, 5, 30, 12, 10),
                    dt.datetime(2014, 5, 30, 12, 25),
                    dt.datetime(2014, 5, 30, 18, 40),
                    dt.datetime(2014, 5, 31, 19, 5),
                ],
                "实付(分)": [5830, 9650, 4400, 8800],
                "状态": ["paid", "paid", "refunded", "paid"],
                "来源": ["mt", "store", "mt", None],
                "标价": [88.3, 96.5, 44.0, None],
            }
        ),
        tmp_path / "logs" / "part-0.parquet",
    )
    mapping.write_text(MAPPING.replace("log.csv", "logs"), encoding="utf-8")
    assert rows(mapping) == ROWS


def test_what_an_expression_cannot_read_is_named_by_its_row(mapping: Path, tmp_path: Path) -> None:
    bad = LOG + "5,D,2014-05-31,8折,paid,,x\n6,E,2014-05-31,,paid,,\n"
    (tmp_path / "log.csv").write_text(bad, encoding="utf-8")
    assert refusal(mapping).split("\n") == [
        "log.csv: amount, row 7: is empty; it must be known",
        "log.csv: amount, row 6: '8折' is not a number; write it like 1234.5",
        "log.csv: discount, row 6: 'x' is not readable in its expression",
    ]
    checked = read_checked(mapping, ORDERS, lenient=True)
    assert (checked.count, checked.left_out) == (3, 2)


def test_a_condition_that_cannot_be_read_is_a_problem_and_not_a_row_less(
    mapping: Path, tmp_path: Path
) -> None:
    condition = 'where: |-\n  "实付(分)" > 5000'
    mapping.write_text(MAPPING.replace("where: 状态 = 'paid'", condition), encoding="utf-8")
    (tmp_path / "log.csv").write_text(LOG.replace("4400", "n/a"), encoding="utf-8")
    assert "log.csv: where, row 4: 'n/a' is not readable in its expression" in refusal(mapping)


def test_a_column_that_is_not_there_is_named(mapping: Path) -> None:
    mapping.write_text(MAPPING.replace("会员", "会员号").replace("标价 -", "原价 -"), "utf-8")
    assert refusal(mapping) == (
        "log.csv: columns 会员号, 原价 missing; the header has '单号', '会员', '下单时间', "
        "'实付(分)', '状态', '来源', '标价'"
    )


EXPRESSIONS = [
    ("58", 58.0), ("a + 1", 3.0), ("a - b * 2", -8.0), ("(a - b) / 4", -0.75), ("b % 2", 1.0),
    ("-a", -2.0), ("abs(-a)", 2.0), ("round(b / 3, 1)", 1.7), ("case when t = 'x y' then 1 else 0 end", 1.0),
    ("case a when 1 then 10 when 2 then 20 end", 20.0), ("if(a > b, 1, 2)", 2.0),
    ("coalesce(nothing, a)", 2.0), ("nullif(a, 3)", 2.0), ("cast(t2 as double) + 1", 8.0),
    ("cast(round(b) as int)", 5.0), ("case when a in (1, 2) and b between 4 and 6 then 3 end", 3.0),
    ("case when not t like 'y%' or nothing is not null then 4 end", 4.0),
    ("case when cast(d as date) >= date '2014-05-30' then 5 else 6 end", 5.0),
    ("cast(substring(t2, 1, 1) as double)", 7.0), ("cast(replace('1,5', ',', '.') as double)", 1.5),
    ("cast(concat(t2, '5') as double)", 75.0), ("cast(trim(lower(upper(t2))) || '.5' as double)", 7.5),
    ("case when nothing is null then 1 end", 1.0), ("case when t <> 'z' then 1 end", 1.0),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), EXPRESSIONS, ids=range(len(EXPRESSIONS)))
def test_an_expression_is_worked_out(text: str, value: float, tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("a,b,t,t2,d,nothing\n2,5,x y,7,2014-05-30,\n", "utf-8")
    source = {"source": str(log), "columns": {"x": text}}
    from o2o_research.data.tables import Column, Table

    table = Table(name="t", row="r", columns=(Column(name="x", type="number", zh="x", en="x"),))
    assert read(str(source), table).to_pyarrow()["x"].to_pylist() == [value]


HOSTILE = [
    "1; drop table x", "select 1", "(select 1)", "exists(select 1)", "read_csv('/etc/passwd')",
    "a in (select 1)", "getenv('HOME')", "pg_read_file('/etc/passwd')", "x.y", "*", "count(*)",
    "sum(a)", "row_number() over ()", "a -- c\n; select 1", "cast(a as json)", "current_user",
    "'unclosed", "a b c", "", ";", "a::blob", "@x", "$1", "?", "lambda x: x", "[1, 2]", "{'a': 1}",
    "copy a to 'x'", "attach 'x'", "load httpfs", "a = any(select 1)", "(" * 5_000 + "a" + ")" * 5_000,
    "(" * 900 + "a" + ")" * 900, "a" * 3_000, "\0", "\u202ea", "try(a)", "random()", "now()", "a similar to 'x'",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_what_is_no_plain_expression_is_refused(text: str, tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("customer_id,ordered_at,amount,channel,discount\nA,2014-05-30,1,,\n", "utf-8")
    for key in ("columns", "where"):
        import json

        said = {"amount": text} if key == "columns" else text or ";"
        with pytest.raises(DataError) as caught:
            read(json.dumps({"source": str(log), key: said}), ORDERS)
        assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("source: [", "mapping.yaml is not YAML"),
        ("- a\n", "mapping.yaml: a mapping says source: and what is called how; it says nothing"),
        ("source: log.csv\nsql: x\n", "mapping.yaml: orders: 'sql': not known; source, table, "
         "columns, where, unit, allowed, timezone, lenient, engine are"),
        ("source: log.csv\ncolumns: x\nlenient: maybe\n", "must be"),
        ("source: log.csv\ncolumns: {custommer: x}\n",
         "mapping.yaml: orders: columns: 'custommer': no column of orders"),
        ("source: log.csv\nunit: {amount: dollars}\n", "'dollars' must be one of yuan"),
        ("source: log.csv\nunit: {customer_id: fen}\n", "unit: customer_id is no number"),
        ("source: log.csv\nallowed: {amount: [x]}\n", "allowed: 'amount': no column of text of orders"),
        ("source: log.csv\nallowed: {channel: x}\n", "'channel' must list the texts there are"),
        ("ordres: {source: log.csv}\n", "mapping.yaml: 'ordres': no table of that name"),
        ("visits: {source: log.csv}\n", "mapping.yaml names no orders; it has visits"),
        ("source: log.csv\nengine: oracle\n", "engine 'oracle' must be duckdb or spark"),
        ("source: log.csv\ntable: 'x; drop'\n", "table 'x; drop' is no name of a table"),
        ("columns: {amount: x}\n", "source is missing"),
        ("source: log.csv\ntimezone: Mars\n", "timezone 'Mars' is not known"),
    ],
)  # fmt: skip
def test_a_mapping_out_of_shape_is_refused(mapping: Path, text: str, problem: str) -> None:
    mapping.write_text(text, "utf-8")
    assert problem in refusal(mapping)


def test_a_row_with_a_text_that_is_not_allowed_is_reported(tmp_path: Path) -> None:
    (tmp_path / "visits.csv").write_text(
        "patient,station,arrived_at,started_at,ended_at\n"
        "p1,挂号,2014-05-26 08:00,2014-05-26 08:05,2014-05-26 08:07\n"
        "p1,诊室,2014-05-26 08:09,2014-05-26 08:40,2014-05-26 08:46\n"
        "p2,诊室一,2014-05-26 08:10,2014-05-26 08:46,2014-05-26 08:50\n",
        encoding="utf-8",
    )
    path = tmp_path / "hospital.yaml"
    path.write_text("source: visits.csv\nallowed: {station: [挂号, 诊室]}\n", encoding="utf-8")
    with pytest.raises(DataError, match="station, row 4: '诊室一' is not one of 挂号, 诊室"):
        read(path, TABLES["visits"])
    assert read(path, TABLES["visits"], lenient=True).count().to_pyarrow().as_py() == 2
    assert identity(path)[0]["allowed"] == {"station": ("挂号", "诊室")}
    path.write_text("source: visits.csv\nallowed: {kind: [new]}\n", encoding="utf-8")
    with pytest.raises(DataError, match="allowed: 'kind': no column of text of visits"):
        read(path, TABLES["visits"])


def test_one_mapping_may_name_several_tables(mapping: Path, tmp_path: Path) -> None:
    sections = "\n".join(f"  {line}" for line in MAPPING.strip().splitlines())
    (tmp_path / "weeks.csv").write_text("wk,inv,web,shop\n2014-03-03,1,2,3\n", "utf-8")
    mapping.write_text(
        f"orders:\n{sections}\nweekly:\n  source: weeks.csv\n"
        "  columns: {week: wk, investment: inv, sales_online: web, sales_offline: shop, margin: shop - web}\n",
        "utf-8",
    )
    assert tables_in(mapping) == ["orders", "weekly"]
    assert len(rows(mapping)) == 3
    (week,) = read(mapping, TABLES["weekly"]).to_pyarrow().to_pylist()
    assert week["margin"] == 1.0


def test_attributes_of_choices_are_mapped_by_name(tmp_path: Path) -> None:
    log = tmp_path / "c.csv"
    log.write_text("case,alt,y,元,other\n1,a,1,100,x\n1,b,0,200,y\n", "utf-8")
    source = (
        f"{{source: {log}, columns: {{case_id: case, alternative: alt, chosen: y, price: 元}}}}"
    )
    table = read(source, TABLES["choices"])
    assert list(table.columns) == ["case_id", "alternative", "chosen", "price"]
    assert table.to_pyarrow()["price"].to_pylist() == [100.0, 200.0]


def test_a_manifest_names_the_source_without_its_folder(mapping: Path, tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    (plain,) = identity(log)
    (mapped,) = identity(mapping)
    assert plain["file"] == mapped["file"] == "log.csv"
    assert plain["sha256"] != mapped["sha256"]
    assert str(tmp_path) not in str(mapped) + named(mapping) + named(leniently(log))
    (lenient,) = identity(leniently(mapping))
    assert lenient["lenient"] is True
    assert rows(leniently(mapping)) == ROWS
    mapping.write_text(MAPPING.replace("'paid'", "'refunded'"), "utf-8")
    assert identity(mapping)[0]["sha256"] != mapped["sha256"]


def test_a_file_whose_name_looks_like_a_pattern_is_present(tmp_path: Path) -> None:
    log = tmp_path / "a [x].csv"
    log.write_text("a\n", encoding="utf-8")
    assert present(str(log))
    assert present(f"{{source: '{log}'}}")
    assert present(str(tmp_path / "*.csv"))
    assert not present(str(tmp_path / "b [x].csv"))

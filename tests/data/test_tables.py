"""Every canonical table is read through one checked reader, strictly or leniently."""

from __future__ import annotations

from pathlib import Path

import pytest

from o2o_research.data import TABLES, read, read_checked
from o2o_research.domain import Interval
from o2o_research.errors import DataError

# A good row of every table, and what breaks each rule in a second one.
GOOD = {
    "orders": "7,A17,2014-05-30 12:10,58,voucher,30",
    "members": "m1,2014-03-01,gift,2014-03-09 10:00",
    "member_events": "e1,m1,2014-03-02,scan,",
    "store_weeks": "a,2014-03-03,100,10,900,12,2014-03-05",
    "sku_sales": "a,k,M,red,2014-03-03,1,2",
    "sales": "2014-01-01,Honor,online,CN,1000,1999,1200,否",
    "choices": "c1,p1,honor,1,1999",
    "visits": "A,consulting,2014-05-28 08:15,2014-05-28 08:40,2014-05-28 08:50",
    "registrations": "u1,p1,d1,2014-05-21 07:00:00,2014-05-21 07:00:03,2014-05-28 08:00,,",
    "appointments": "d1,2014-05-21,2014-05-28,1",
    "ratings": "d1,p1,sealed,5,,42",
    "weekly": "2014-03-03,1000,2000,30000,-500",
}
BAD = [
    ("orders", "7,A18,2014-05-31,58,,", "order_id, row 3: '7' repeats row 2; one row is one order"),
    ("members", "m2,2014-03-02,,2014-03-01", "last_active_at, row 3: '2014-03-01' is earlier than joined_at"),
    ("members", "m1,2014-03-02,,", "member_id, row 3: 'm1' repeats row 2; one row is one member"),
    ("member_events", "e2,,2014-03-02,scan,", "member_id, row 3: is empty; it must be known"),
    ("store_weeks", "a,2014-03-10,,9,90,,", "converted_on, row 2: store 'a' must have the same converted_on in all rows"),
    ("store_weeks", "b,2014-03-11,,9,90,,", "week, row 3: '2014-03-11' is not a Monday; write the day of the week's Monday"),
    ("store_weeks", "a,2014-03-03,,9,90,,2014-03-05", "row 3: repeats row 2 in store and week; one row is one store and week"),
    ("sku_sales", "a,k,L,,2014-03-03,3,2", "sold, row 3: 3 is more than stock"),
    ("sales", "2014-02-01,Honor,online,CN,1000,1999,,maybe", "sold_out, row 3: 'maybe' is not yes or no; write 1 or 0"),
    ("choices", "c1,p1,xiaomi,1,1799", "chosen, row 2: case_id 'c1' must have chosen exactly once"),
    ("choices", "c2,p1,xiaomi,0,1799", "chosen, row 3: case_id 'c2' must have chosen exactly once"),
    ("choices", "c1,p2,xiaomi,0,1799", "person_id, row 2: case_id 'c1' must have the same person_id in all rows"),
    ("choices", "c1,p1,xiaomi,0,", "price, row 3: is empty; it must be known"),
    ("visits", "A,x,2014-05-28 08:15,2014-05-28 08:40,2014-05-28 08:30", "ended_at, row 3: '2014-05-28 08:30' is earlier than started_at"),
    ("registrations", "u1,p1,d1,2014-05-21,2014-05-20,2014-05-28,,", "booked_at, row 3: '2014-05-20' is earlier than released_at"),
    ("appointments", "d1,2014-05-29,2014-05-28,1", "visit_on, row 3: '2014-05-28' is earlier than booked_on"),
    ("appointments", "d1,2014-05-21,2014-05-28,", "came, row 3: is empty; it must be known"),
    ("ratings", "d1,p1,both,5,,42", "rates_first, row 3: 'both' is not one of sealed, patient, doctor"),
    ("ratings", "d1,p1,sealed,6,,42", "patient_rating, row 3: 6 is too large; must be <= 5 stars"),
    ("weekly", "2014-03-03,1,2,3,", "week, row 3: '2014-03-03' repeats row 2; one row is one week"),
    ("weekly", "2014-03-10,-1,2,3,", "investment, row 3: -1 is negative; must be >= 0 yuan"),
]  # fmt: skip


def written(folder: Path, table: str, *rows: str, head: str = "") -> Path:
    names = [column.name for column in TABLES[table].columns]
    names += ["price"] if TABLES[table].attributes else []
    path = folder / f"{table}.csv"
    path.write_text("\n".join([head or ",".join(names), *rows, ""]), encoding="utf-8")
    return path


@pytest.mark.parametrize("table", TABLES)
def test_a_good_row_of_every_table_is_read(table: str, tmp_path: Path) -> None:
    rows = read(written(tmp_path, table, GOOD[table]), TABLES[table]).to_pyarrow().to_pylist()
    assert len(rows) == 1
    assert list(rows[0])[: len(TABLES[table].columns)] == [c.name for c in TABLES[table].columns]


@pytest.mark.parametrize(("table", "row", "problem"), BAD, ids=range(len(BAD)))
def test_a_rule_that_is_broken_is_named_with_its_rows(
    table: str, row: str, problem: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError) as caught:
        read(written(tmp_path, table, GOOD[table], row), TABLES[table])
    assert str(caught.value) == f"{table}.csv: {problem}"


@pytest.mark.parametrize("table", TABLES)
def test_a_lenient_reading_keeps_the_good_rows_and_counts_the_others(
    table: str, tmp_path: Path
) -> None:
    whole = {"store_weeks": "b,2014-03-11,,9,90,,", "choices": "c2,p1,xiaomi,0,1799"}
    row, problem = next(
        (row, problem)
        for name, row, problem in BAD
        if name == table and row == whole.get(table, row)
    )
    log = written(tmp_path, table, GOOD[table], row, "short")
    checked = read_checked(log, TABLES[table], lenient=True)
    assert (checked.count, checked.left_out) == (1, 2)
    assert checked.rows.count().to_pyarrow().as_py() == 1
    ragged, found = map(str, checked.problems)
    assert ragged.startswith(f"{table}.csv: row 4: 1 cells where the header has")
    assert found == f"{table}.csv: {problem}"


def test_a_choice_loses_all_of_its_rows_with_one(tmp_path: Path) -> None:
    rows = ["c1,p1,honor,1,1999", "c1,p1,xiaomi,0,dear", "c2,p1,honor,0,1999", "c2,p1,none,1,0"]
    checked = read_checked(written(tmp_path, "choices", *rows), TABLES["choices"], lenient=True)
    assert checked.rows.to_pyarrow()["case_id"].to_pylist() == ["c2", "c2"]
    assert (checked.count, checked.left_out) == (2, 2)


def test_attributes_of_a_choice_are_the_columns_beside(tmp_path: Path) -> None:
    head = "case_id,alternative,chosen,price,屏幕"
    log = written(tmp_path, "choices", "c1,a,是,10,4.7", "c1,b,否,20,5", head=head)
    rows = read(log, TABLES["choices"]).to_pyarrow().to_pylist()
    assert rows[0] == {
        "case_id": "c1", "alternative": "a", "chosen": True, "price": 10.0, "屏幕": 4.7,
    }  # fmt: skip


@pytest.mark.parametrize("name", ["x;y", "", "_row", "cell_price", "PRICE", "1st", "a b", "'"])
def test_an_attribute_wants_a_name_of_its_own(name: str, tmp_path: Path) -> None:
    log = written(
        tmp_path, "choices", "c1,a,1,10,4", "c1,b,0,1,2",
        head=f'case_id,alternative,chosen,price,"{name}"',
    )  # fmt: skip
    with pytest.raises(DataError, match="an attribute wants a name of its own"):
        read(log, TABLES["choices"])


def test_lenient_reading_still_refuses_what_is_no_such_table(tmp_path: Path) -> None:
    log = written(tmp_path, "weekly", "2014-03-03,1,2", head="week,investment,margin")
    with pytest.raises(DataError, match="columns sales_online, sales_offline missing"):
        read_checked(log, TABLES["weekly"], lenient=True)
    log = written(tmp_path, "weekly", "2014-03-04,1,2,3,4")
    with pytest.raises(DataError, match="no good week is left"):
        read_checked(log, TABLES["weekly"], lenient=True)


def test_repeats_leave_the_first_of_them_in_the_order_of_the_file(tmp_path: Path) -> None:
    rows = ["2014-03-10,1,2,3,4", "2014-03-03,1,2,3,4", "2014-03-10,9,9,9,9"]
    checked = read_checked(written(tmp_path, "weekly", *rows), TABLES["weekly"], lenient=True)
    kept = checked.rows.to_pyarrow().to_pylist()
    assert [(f"{r['week']:%d}", r["investment"]) for r in kept] == [("10", 1.0), ("03", 1.0)]


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_the_descriptions_hold_together(table) -> None:
    names = [column.name for column in table.columns]
    assert len(set(names)) == len(names)
    assert table.zh
    assert table.en
    for column in table.columns:
        assert column.zh
        assert column.en
        assert (column.type == "number") == bool(column.domain)
        assert not column.domain or 0.0 in Interval.parse(column.domain)
        bound = (column.at_least, column.at_most, column.same_for, column.once_in)
        assert set(filter(None, bound)) <= set(names)
    for key in table.keys:
        assert set(key) <= set(names)

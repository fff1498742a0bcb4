"""``o2o data``: what a source holds, whether it is what a table wants, and in which words it is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from o2o_research import cli
from o2o_research.data import TABLES

Call = Callable[..., tuple[int, str]]
GOOD = TABLES["orders"].example
BAD = GOOD + "2014060102,D,2014-06-01,-5,,\n2014060103,E,June,5,,\n"


@pytest.fixture
def o2o(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """Exit status and all output of ``o2o ARGUMENTS``, spaces as one."""

    def call(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["o2o", *arguments])
        status = 0
        try:
            cli.main()
        except SystemExit as leaving:
            status = int(leaving.code or 0)
        streams = capsys.readouterr()
        return status, " ".join((streams.out + streams.err).split())

    return call


def written(folder: Path, text: str, name: str = "orders.csv") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_good_table_is_said_to_be_good(o2o: Call, tmp_path: Path) -> None:
    status, said = o2o("data", "check", written(tmp_path, GOOD), "--as", "orders")
    assert (status, said) == (0, "orders: 5 rows, nothing wrong")


def test_every_problem_is_in_one_report_and_the_status_is_2(o2o: Call, tmp_path: Path) -> None:
    status, said = o2o("data", "check", written(tmp_path, BAD), "--as", "orders")
    assert status == 2
    assert "ordered_at, row 8: 'June' is not readable as a date and time" in said
    assert "amount, row 7: -5 is negative; must be >= 0 yuan" in said
    assert "rows, nothing wrong" not in said


def test_leniently_the_good_rows_are_counted_and_so_are_the_bad(o2o: Call, tmp_path: Path) -> None:
    status, said = o2o("data", "check", written(tmp_path, BAD), "--as", "orders", "--lenient")
    assert status == 0
    assert "amount, row 7: -5 is negative" in said
    assert said.endswith("orders: 5 good rows, 2 left out")


def test_a_mapping_says_itself_which_tables_it_is(o2o: Call, tmp_path: Path) -> None:
    for name in ("visits", "registrations"):
        written(tmp_path, TABLES[name].example, f"{name}.csv")
    mapping = written(
        tmp_path,
        "visits: {source: visits.csv}\nregistrations: {source: registrations.csv}\n",
        "m.yaml",
    )
    status, said = o2o("data", "check", mapping)
    assert (status, said) == (
        0,
        "visits: 5 rows, nothing wrong registrations: 5 rows, nothing wrong",
    )
    written(tmp_path, "account\n1\n", "registrations.csv")
    status, said = o2o("data", "check", mapping)
    assert status == 2
    assert "visits: 5 rows, nothing wrong" in said
    assert "registrations.csv: columns patient, doctor" in said


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["orders.csv"], "--as is wanted: one of orders, members"),
        (["orders.csv", "--as", "bills"], "--as 'bills': no such table; one of orders, members"),
        (["none.csv", "--as", "orders"], "none.csv: no such file"),
        (["orders.csv", "--as", "orders", "--timezone", "Mars"], "timezone 'Mars' is not known"),
        (["orders.csv", "--as", "weekly"], "columns week, investment"),
    ],
)
def test_a_slip_of_the_command_is_one_message(
    arguments: list[str], problem: str, o2o: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, GOOD)
    monkeypatch.chdir(tmp_path)
    status, said = o2o("data", "check", *arguments)
    assert status == 2
    assert problem in said


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_described_and_recognised(name: str, o2o: Call, tmp_path: Path) -> None:
    status, said = o2o("data", "describe", written(tmp_path, TABLES[name].example, f"{name}.csv"))
    assert status == 0
    assert "5 rows" in said
    assert f"It has all columns of {name}: o2o data check … --as {name}" in said


def test_kinds_gaps_and_ranges_are_shown(o2o: Call, tmp_path: Path) -> None:
    _, said = o2o("data", "describe", written(tmp_path, GOOD))
    assert "amount number 0.0% 5 '44' '120'" in said
    assert "discount number 20.0% 3 '0' '30'" in said
    assert "ordered_at time 0.0% 5 '2014-05-30 12:10' '2014-06-01 12:30'" in said
    # How many are different is rough.
    assert re.search(r"channel text 0\.0% [345] 'dine_in' 'voucher'", said)


def test_a_foreign_table_is_answered_with_the_mapping_to_fill_in(o2o: Call, tmp_path: Path) -> None:
    text = "customer_id,at,amount,channel,discount\nA,2014-05-30,5,,\n"
    status, said = o2o("data", "describe", written(tmp_path, text))
    assert status == 0
    assert "orders lacks ordered_at" in said
    assert "orders: source: … columns: ordered_at: …" in said


def test_hostile_names_and_cells_are_described_as_text(o2o: Call, tmp_path: Path) -> None:
    text = "[red]a[/red],\u202eb,<b>\n[bold]x[/bold],\u202ey,\x1b[2J\n"
    status, said = o2o("data", "describe", written(tmp_path, text))
    assert status == 0
    for shown in (
        "[red]a[/red]",
        r"\u202eb",
        "<b>",
        "'[bold]x[/bold]'",
        r"'\u202ey'",
        r"'\x1b[2J'",
    ):
        assert shown in said
    assert all(c.isprintable() for c in said)


def test_what_is_no_table_cannot_be_described(o2o: Call, tmp_path: Path) -> None:
    status, said = o2o("data", "describe", written(tmp_path, "", "x.csv"))
    assert status == 2
    assert "x.csv is empty" in said

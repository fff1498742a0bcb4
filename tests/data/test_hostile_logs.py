"""Hostile logs end in a report that shows their text as text, or in one refusal that is safe to print."""

from __future__ import annotations

import csv
import datetime as dt
import re
import shutil
import subprocess
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from o2o_research import cli
from o2o_research.charts import Table
from o2o_research.data import customer_summary, read_orders
from o2o_research.data.hospital import read_registrations, read_visits, visit_arrays
from o2o_research.data.phones import read_sales
from o2o_research.data.stores import read_store_weeks
from o2o_research.figures import localise
from o2o_research.publishing import page, pdf
from o2o_research.publishing.document import compose
from o2o_research.studies import apparel, phones
from o2o_research.terms import LANGUAGES
from o2o_research.texts import drawable

from ..publishing.handmade import executed, grid, said, shown
from .hostile import FILES, TEXTS, sales

MONTHS = [dt.datetime(2014, month, 1) for month in range(1, 9)]
MONDAYS = [dt.datetime(2014, 3, 3) + dt.timedelta(weeks=week) for week in range(4)]
# What a reading drops around a cell.
SPACES = " \t\n\r\v\f"
# What a CSV cannot hold.
NAMES = {key: text.strip(SPACES) for key, text in TEXTS.items()}


def parquet(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def sales_log(path: Path, brands: list[str]) -> Path:
    n = len(brands)
    rng = np.random.default_rng(3)
    return parquet(
        path, period=MONTHS * n, brand=[brand for brand in brands for _ in MONTHS],
        channel=["online"] * 8 * n, country=pa.nulls(8 * n, pa.string()),
        units=rng.integers(50, 90, 8 * n), price=[798.0] * 8 * n,
    )  # fmt: skip


def visits_log(path: Path, stations: list[str]) -> Path:
    n = len(stations)
    at = [dt.datetime(2014, 5, 30, 8) + dt.timedelta(minutes=k) for k in range(n)]
    return parquet(path, patient=[f"p{k % 7}" for k in range(n)], station=stations,
                   arrived_at=at, started_at=at, ended_at=at)  # fmt: skip


def weeks_log(path: Path, stores: list[str]) -> Path:
    n = len(stores)
    rng = np.random.default_rng(4)
    footfall = rng.integers(300, 900, 4 * n)
    bought = rng.binomial(footfall, 0.2) + 1
    return parquet(
        path, store=[store for store in stores for _ in MONDAYS], week=MONDAYS * n, footfall=footfall,
        transactions=bought, sales=bought * rng.uniform(80, 99, 4 * n), units=bought,
        converted_on=pa.nulls(4 * n, pa.timestamp("us")),
    )  # fmt: skip


class Cells(HTMLParser):
    """The texts of a page's table cells by row, and all of its tags with their attributes' names."""

    def __init__(self, content: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: Counter[str] = Counter()
        self.rows: list[list[str]] = []
        self._inside = False
        self.feed(content)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.update([tag, *(f"{tag} {name}" for name, _ in attrs)])
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th") and self.rows:
            self.rows[-1].append("")
        self._inside = tag in ("td", "th") or (self._inside and tag != "tr")

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag not in ("td", "th", "tr", "table")

    def handle_comment(self, data: str) -> None:
        self.tags.update(["comment"])

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.rows[-1][-1] += data


class Report(NamedTuple):
    notebook: Any
    pages: dict[str, Cells]
    print: dict[str, str]


def report(names: list[str], folder: Path, *, paper: bool = False) -> Report:
    """Logs whose brands, stations and stores are ``names``, read, worked on and published."""
    series = {
        f"own:{each.brand}": each.units
        for each in read_sales(sales_log(folder / "sales.parquet", names))
    }
    few = dict(list(series.items())[:5])
    scores = phones.scores_of(few, np.random.default_rng(1))
    _, stations, _ = visit_arrays(read_visits(visits_log(folder / "visits.parquet", names)).frame)
    rates = apparel.store_rates(read_store_weeks(weeks_log(folder / "weeks.parquet", names)))
    assert rates is not None
    sold = pd.DataFrame(
        {"series_brand": list(series), "curve_market": [u.sum() for u in series.values()]}
    )
    served = pd.DataFrame({"station_name": [f"own:{s}" for s in stations], "visits_count": 1.0})
    stores = rates.table[["store_label", "conversion_seen"]]
    notebook = executed(
        shown(grid("sold", sold, "销量", "Sales")),
        shown(grid("fits", phones.fit_table(few), "曲线", "Curves")),
        shown(grid("scores", phones.score_table(scores), "得分", "Scores")),
        shown(grid("stations", served, "环节", "Stations")),
        shown(grid("stores", stores, "门店", "Stores")),
        shown(said("一句。", "A sentence."), tags=("summary",)),
    )
    pages, printed = {}, {}
    for language in LANGUAGES:
        document = compose(notebook, language)
        pages[language] = Cells(page.render(document, {}).decode())
        if paper and shutil.which("pdftotext"):
            (folder / "report.pdf").write_bytes(pdf.render(document, {}))
            command = ["pdftotext", "-raw", folder / "report.pdf", "-"]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            printed[language] = "".join(done.stdout.split())
    return Report(notebook, pages, printed)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """One report with every hostile text as a brand, a station and a store."""
    names = [name for name in dict.fromkeys(NAMES.values()) if name]
    return report(names, tmp_path_factory.mktemp("hostile"), paper=True)


@pytest.fixture(scope="module")
def harmless(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The same with plain names."""
    names = [f"n{k:03}" for k, name in enumerate(dict.fromkeys(NAMES.values())) if name]
    return report(names, tmp_path_factory.mktemp("harmless"))


@pytest.fixture(scope="module")
def customers(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """What an order log says of customers whose numbers and channels are hostile, from a CSV."""
    log = tmp_path_factory.mktemp("customers") / "orders.csv"
    with log.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["customer_id", "ordered_at", "amount", "channel", "discount"])
        for text in dict.fromkeys(TEXTS.values()):
            table.writerow([text, "2014-05-30 12:10", 58, text, 0])
            table.writerow([text, "2014-06-30 12:10", 60, text, 0])
    return customer_summary(read_orders(log)).set_index("customer_id")


@pytest.mark.parametrize("key", TEXTS)
def test_a_text_in_a_csv_is_read_as_it_stands(key: str, customers: pd.DataFrame) -> None:
    customer = customers.loc[NAMES[key]]
    assert (customer.channel, customer.frequency) == (NAMES[key], 1)


@pytest.mark.parametrize("key", TEXTS)
def test_a_text_is_shown_as_text_on_page_and_paper(key: str, hostile: Report) -> None:
    wanted = drawable(NAMES[key])
    assert len(wanted) <= 40
    for language in LANGUAGES:
        cells = [row[0] for row in hostile.pages[language].rows if row]
        assert cells.count(wanted) >= 3, f"{language}: {wanted!r} is no cell"
        if hostile.print:
            assert "".join(wanted.split()) in hostile.print[language]


def test_hostile_texts_leave_the_page_as_harmless_ones_do(
    hostile: Report, harmless: Report
) -> None:
    for language in LANGUAGES:
        assert hostile.pages[language].tags == harmless.pages[language].tags
        assert [len(row) for row in hostile.pages[language].rows] == [
            len(row) for row in harmless.pages[language].rows
        ]


@pytest.mark.parametrize("key", TEXTS)
def test_a_text_in_a_figure_is_text(key: str) -> None:
    for language in LANGUAGES:
        spec = localise({"data": [{"item": f"own:{NAMES[key]}"}]}, language)
        assert spec == {"data": [{"item": drawable(NAMES[key])}]}


@pytest.mark.parametrize("key", ["nul", "surrogates"])
def test_what_only_parquet_can_hold_is_shown_too(key: str, tmp_path: Path) -> None:
    """A NUL is a character there; half a pair is none anywhere."""
    text = {"nul": "a\0b", "surrogates": b"a\xed\xa0\x80b".decode("utf-8", "surrogatepass")}[key]
    if key == "surrogates":
        cell: Any = pa.array([text.encode("utf-8", "surrogatepass")] * 8, pa.binary()).view(
            pa.string()
        )
        parquet(tmp_path / "x.parquet", period=MONTHS, brand=cell, channel=["online"] * 8,
                country=["cn"] * 8, units=range(8), price=[1.0] * 8)  # fmt: skip
        assert refused(tmp_path / "x.parquet", "sales")
        return
    names = [text, "b", "c", "d"]
    found = report(names, tmp_path)
    assert "a\\x00b" in [row[0] for row in found.pages["zh"].rows if row]


def refused(path: Path, table: str) -> str:
    """What ``o2o data check`` says as it refuses: status 2, one message, safe to print."""
    import sys

    arguments = sys.argv
    sys.argv = ["o2o", "data", "check", str(path), "--as", table]
    try:
        with cli.err.capture() as said, pytest.raises(SystemExit) as left:
            cli.main()
    finally:
        sys.argv = arguments
    message = said.get()
    assert left.value.code == 2
    assert len(message) < 5_000
    assert all(c.isprintable() or c == "\n" for c in message)
    message.encode("utf-8")
    return message


@pytest.mark.parametrize("key", FILES)
def test_a_file_is_read_right_or_refused_in_one_safe_message(key: str, tmp_path: Path) -> None:
    given = FILES[key]
    path = tmp_path / given.name
    path.write_bytes(given.content)
    if given.brand:
        (series,) = read_sales(path)
        assert (series.brand, series.units.tolist()) == (
            given.brand,
            [100.0 * month for month in range(1, 9)],
        )
        return
    assert re.search(given.refused, refused(path, "sales"))


def test_other_tables_keep_their_texts_too(tmp_path: Path) -> None:
    names = [name for name in dict.fromkeys(NAMES.values()) if name]
    n = len(names)
    at = [dt.datetime(2014, 5, 30, 8)] * n
    log = parquet(
        tmp_path / "x.parquet", account=names, patient=names, doctor=names, released_at=at,
        booked_at=at, visit_at=at, cancelled_at=pa.nulls(n, pa.timestamp("us")), device=names,
    )  # fmt: skip
    frame = read_registrations(log).frame
    for column in ("account", "patient", "doctor", "device"):
        assert sorted(frame[column]) == sorted(names)


@pytest.mark.parametrize(
    "name",
    ["<script>alert(1)<b>.csv", "a\nb.csv", "a\x1b[2Jb.csv", "\u202evsc.csv", "=1+1.csv", "[red]x[bold].csv",
     "'; DROP TABLE x; --.csv", "*?[a].csv", "堃 𠮷.csv", "-p.csv"],
)  # fmt: skip
def test_a_file_with_a_hostile_name_is_read_and_named_safely(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(sales("A"), encoding="utf-8")
    assert len(read_sales(path)) == 1
    path.write_text(sales("A", units="-1"), encoding="utf-8")
    assert "units, row 4: -1 is negative" in refused(path, "sales")


def test_a_file_whose_name_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a\udce9.csv"
    path.write_text(sales("A"), encoding="utf-8")
    assert r"a\udce9.csv': the name is not UTF-8; give the file another" in refused(path, "sales")


def test_a_report_can_draw_every_character_that_is_left_as_it_is() -> None:
    from o2o_research.publishing import fonts

    known = fonts.drawn()
    every = (chr(code) for code in range(0x30000) if not chr(code).isspace())
    assert [c for c in every if drawable(c) == c and ord(c) not in known] == []


def test_there_are_a_hundred_hostile_inputs_and_more() -> None:
    assert len(set(TEXTS.values())) >= 100
    assert len(FILES) >= 50


def test_table_cells_are_escaped_in_both_languages() -> None:
    frame = pd.DataFrame({"series_brand": ["own:*a* | <b>"]})
    for language in LANGUAGES:
        assert Table(frame).markdown(language).endswith(r"| \*a\* \| \<b\> |")

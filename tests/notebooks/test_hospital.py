"""The hospital notebook on a hospital's own logs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import pytest

from o2o_research.models import booking, ratings, scalping
from o2o_research.models.outpatients import KINDS, OutpatientDay, Phase

HABIT = {
    "no_show_share": 0.3,
    "same_day_effect": -3.0,
    "lead_effect": 0.5,
    "same_day_share": 0.5,
    "mean_lead": 10.0,
}
HARSH = {
    "bad_share": 0.2,
    "patient_candour": 0.7,
    "doctor_candour": 0.4,
    "patient_fear": 0.1,
    "doctor_fear": 0.1,
    "patient_retaliation": 0.2,
    "doctor_retaliation": 0.6,
    "patient_reciprocity": 0.2,
    "doctor_reciprocity": 0.2,
}


def seconds(values: np.ndarray) -> pd.Series:
    return pd.Series(pd.to_datetime(values, unit="s", origin="2014-05-01"))


def write(frame: pd.DataFrame, path: Path, **bad: str) -> str:
    """The rows, and one more with a fault."""
    faulty = frame.iloc[[0]].astype(str).replace({"nan": "", "NaT": ""}).assign(**bad)
    pd.concat([frame.astype(str).replace({"nan": "", "NaT": ""}), faulty]).to_csv(path, index=False)
    return str(path)


@pytest.fixture
def logs(tmp_path: Path) -> dict[str, str]:
    """A day at a hospital with slower windows, a month of registrations, and what became of
    bookings and ratings under habits far from the notebook's own; each with one bad row."""
    day = OutpatientDay(patients=300, departments=2, payment_minutes=3.0)
    people = day.draw(np.random.default_rng(1))
    log = day.run(people, Phase(self_pay=0, insured=0)).visit_log()
    visits = pd.DataFrame({"patient": log.patient, "station": np.array(KINDS)[log.station]})
    for name in ("arrived", "started", "ended"):
        visits[f"{name}_at"] = seconds(getattr(log, name) * 60)
    made = scalping.synthetic_registrations(2000, 0.1, np.random.default_rng(2)).log
    registrations = pd.DataFrame(
        {name: getattr(made, name) for name in ("account", "patient", "doctor", "device")}
    )
    for name in ("released_at", "booked_at", "visit_at", "cancelled_at"):
        registrations[name] = seconds(getattr(made, name))
    table = booking.synthetic_appointments(20_000, np.random.default_rng(3), **HABIT)
    day_of_visit = pd.Timestamp("2014-05-01") + pd.to_timedelta(table["visit_day"], unit="D")
    appointments = pd.DataFrame(
        {
            "doctor": "d",
            "booked_on": day_of_visit - pd.to_timedelta(table["lead_days"], unit="D"),
            "visit_on": day_of_visit,
            "came": (~table["missed"]).astype(int),
        }
    )
    talk = ratings.synthetic_exchanges(
        ratings.Exchange(**HARSH), 100_000, np.random.default_rng(4), response_share=0.5
    )
    number = np.arange(talk["order"].size)
    rated = pd.DataFrame(
        {
            "doctor": number % 100,
            "patient": number,
            "rates_first": np.array(["sealed", "patient", "doctor"])[talk["order"].astype(int)],
            "patient_rating": np.where(talk["patient_bad"] == 1, 1.0, 5.0),
            "doctor_rating": np.where(talk["doctor_bad"] == 1, 1.0, 5.0),
            "elderly": talk["knowns"][:, 0],
        }
    )
    for side in ("patient", "doctor"):
        rated.loc[np.isnan(talk[f"{side}_bad"]), f"{side}_rating"] = np.nan
    return {
        "visits_log": write(visits, tmp_path / "visits.csv", ended_at="2014-01-01"),
        "registrations_log": write(registrations, tmp_path / "registrations.csv", patient=""),
        "appointments_log": write(appointments, tmp_path / "appointments.csv", came="maybe"),
        "ratings_log": write(rated, tmp_path / "ratings.csv", rates_first="nobody"),
    }


@pytest.mark.slow
def test_own_logs_take_the_place_of_the_simulated_ones(logs: dict[str, str], root: Path) -> None:
    notebook = nbformat.read(root / "notebooks" / "hospital.ipynb", as_version=4)
    space: dict[str, Any] = {}
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        exec(compile(cell.source, cell.id, "exec"), space)
        if cell.id == "parameters":
            space |= logs | {"draws": 100, "keep_good_rows": 1}
    # A tenth of the accounts in this log are scalpers.
    assert 0.05 < space["flagged"].value < 0.2
    payment = space["names"].index("own:payment")
    assert space["laws"][payment].mean == pytest.approx(3.0, rel=0.1)
    # The habits of this log, not the notebook's: each law within its own error.
    found = dict(zip(("same_day", "lead"), space["habit"].model.slopes, strict=True))
    errors = np.sqrt(np.diag(space["habit"].covariance))[1:]
    assert found["same_day"] == pytest.approx(HABIT["same_day_effect"], abs=3 * errors[0])
    assert found["lead"] == pytest.approx(HABIT["lead_effect"], abs=3 * errors[1])
    for name in ("doctor_retaliation", "patient_fear", "bad_share"):
        error = space["fit"].stderr[name]
        assert getattr(space["fit"].model, name) == pytest.approx(HARSH[name], abs=3 * error)
    # The four bad rows, and only they.
    assert space["dropped"].value == 4

"""The hospital notebook on a hospital's own logs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import pytest

from o2o_research.models import scalping
from o2o_research.models.outpatients import KINDS, OutpatientDay, Phase


def seconds(values: np.ndarray) -> pd.Series:
    return pd.Series(pd.to_datetime(values, unit="s", origin="2014-05-01"))


@pytest.fixture
def logs(tmp_path: Path) -> tuple[Path, Path]:
    """A day of visits at a hospital with slower windows, and a month of registrations."""
    day = OutpatientDay(patients=300, departments=2, payment_minutes=3.0)
    people = day.draw(np.random.default_rng(1))
    visits = day.run(people, Phase(self_pay=0, insured=0)).visit_log()
    frame = pd.DataFrame({"patient": visits.patient, "station": np.array(KINDS)[visits.station]})
    for name in ("arrived", "started", "ended"):
        frame[f"{name}_at"] = seconds(getattr(visits, name) * 60)
    frame.to_csv(tmp_path / "visits.csv", index=False)
    log = scalping.synthetic_registrations(2000, 0.1, np.random.default_rng(2)).log
    frame = pd.DataFrame({n: getattr(log, n) for n in ("account", "patient", "doctor", "device")})
    for name in ("released_at", "booked_at", "visit_at", "cancelled_at"):
        frame[name] = seconds(getattr(log, name))
    frame.to_csv(tmp_path / "registrations.csv", index=False)
    return tmp_path / "visits.csv", tmp_path / "registrations.csv"


@pytest.mark.slow
def test_own_logs_take_the_place_of_the_simulated_ones(
    logs: tuple[Path, Path], root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook = nbformat.read(root / "notebooks" / "hospital.ipynb", as_version=4)
    space: dict[str, Any] = {}
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        exec(compile(cell.source, cell.id, "exec"), space)
        if cell.id == "parameters":
            space["visits_log"], space["registrations_log"] = map(str, logs)
            space["draws"] = 100
    # A tenth of the accounts in this log are scalpers.
    assert 0.05 < space["flagged"].value < 0.2
    payment = space["names"].index("text:payment¦payment")
    assert space["laws"][payment].mean == pytest.approx(3.0, rel=0.1)

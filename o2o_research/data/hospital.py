"""A hospital's logs of visits, registrations, appointments and ratings, as models' arrays.

Bad rows (unreadable, ended before started, an unknown station, an account without a patient)
are refused as everywhere, unless ``keep_good`` asks for the good ones and a report of what
was left out.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from o2o_research.data import sources
from o2o_research.data.reading import read_checked
from o2o_research.data.tables import APPOINTMENTS, RATINGS, REGISTRATIONS, VISITS, Table

# As ``models.ratings`` numbers them.
_ORDERS = {"sealed": 0, "patient": 1, "doctor": 2}


@dataclass(frozen=True, kw_only=True)
class Log:
    """A checked log and what was left out of it.

    Parameters
    ----------
    frame : DataFrame of the good rows, in the file's order
    left_out : what was wrong with the others, a line a rule; empty unless ``keep_good`` was asked for
    count : how many rows were left out
    """

    frame: pd.DataFrame
    left_out: tuple[str, ...] = ()
    count: int = 0


def read_visits(
    source: str | Path,
    *,
    stations: Collection[str] = (),
    keep_good: bool = False,
    timezone: str = "Asia/Shanghai",
) -> Log:
    """A log of visits to stations.

    Parameters
    ----------
    source : as in ``read_orders``
    stations : the stations there are; by default any
    keep_good : whether to go on with the good rows if some are bad

    Raises
    ------
    DataError
        Names every kind of problem with its rows.
    """
    table = VISITS.narrowed({"station": stations} if stations else {})
    return _log(source, table, keep_good, timezone)


def read_registrations(
    source: str | Path, *, keep_good: bool = False, timezone: str = "Asia/Shanghai"
) -> Log:
    """A log of registrations; the same rules as ``read_visits``.

    Raises
    ------
    DataError
        Names every kind of problem with its rows.
    """
    return _log(source, REGISTRATIONS, keep_good, timezone)


def read_appointments(
    source: str | Path, *, keep_good: bool = False, timezone: str = "Asia/Shanghai"
) -> Log:
    """A log of appointments and who came; the same rules as ``read_visits``.

    Raises
    ------
    DataError
        Names every kind of problem with its rows.
    """
    return _log(source, APPOINTMENTS, keep_good, timezone)


def read_ratings(
    source: str | Path, *, keep_good: bool = False, timezone: str = "Asia/Shanghai"
) -> Log:
    """A log of mutual ratings; further columns are numbers that may explain who answers.

    Raises
    ------
    DataError
        Names every kind of problem with its rows.
    """
    return _log(source, RATINGS, keep_good, timezone)


def appointment_arrays(frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """Days ahead, day of the visit and who missed, in order of the visit. Shape (bookings,)."""
    ordered = frame.sort_values(["visit_on", "booked_on"], kind="stable")
    visit, booked = ordered["visit_on"].dt.normalize(), ordered["booked_on"].dt.normalize()
    return {
        "lead_days": (visit - booked).dt.days.to_numpy(float),
        "visit_day": (visit - visit.min()).dt.days.to_numpy(np.int64),
        "missed": ~ordered["came"].to_numpy(bool),
    }


def rating_arrays(frame: pd.DataFrame, *, bad: float = 2.0) -> dict[str, np.ndarray]:
    """Numbers of doctors and patients, order, stars, and whether a rating is bad; nan where silent.

    ``knowns``, shape (encounters, further columns), may explain who answers.
    """
    arrays: dict[str, np.ndarray] = {
        name: pd.factorize(frame[name])[0].astype(np.int64) for name in ("doctor", "patient")
    }
    arrays["order"] = frame["rates_first"].map(_ORDERS).to_numpy(np.int64)
    for side in ("patient", "doctor"):
        stars = frame[f"{side}_rating"].to_numpy(float)
        arrays[f"{side}_rating"] = stars
        arrays[f"{side}_bad"] = np.where(np.isnan(stars), np.nan, stars <= bad)
    further = [name for name in frame if name not in {c.name for c in RATINGS.columns}]
    arrays["knowns"] = frame[further].to_numpy(float)
    return arrays


def registration_arrays(frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """The arrays that ``models.scalping.Registrations`` takes; texts become numbers.

    A booking without a device gets one of its own: not knowing links nobody.
    """
    arrays: dict[str, np.ndarray] = {
        name: pd.factorize(frame[name])[0].astype(np.int64)
        for name in ("account", "patient", "doctor", "device")
    }
    unknown = arrays["device"] < 0
    arrays["device"][unknown] = arrays["device"].max(initial=-1) + 1 + np.arange(unknown.sum())
    for name in ("released_at", "booked_at", "visit_at", "cancelled_at"):
        arrays[name] = _seconds(frame[name])
    return arrays


def visit_arrays(frame: pd.DataFrame) -> tuple[dict[str, np.ndarray], list[str], list[str]]:
    """The arrays that ``models.calibration.VisitLog`` takes, and the names of stations and patients.

    Times in minutes since the midnight before the first arrival.
    """
    station, stations = pd.factorize(frame["station"])
    patient, patients = pd.factorize(frame["patient"])
    midnight = frame["arrived_at"].min().normalize()
    arrays: dict[str, np.ndarray] = {
        "patient": patient.astype(np.int64),
        "station": station.astype(np.int64),
    }
    for name in ("arrived_at", "started_at", "ended_at"):
        arrays[name.removesuffix("_at")] = (
            frame[name] - midnight
        ).dt.total_seconds().to_numpy() / 60
    return arrays, [str(s) for s in stations], [str(p) for p in patients]


def _log(source: str | Path, table: Table, keep_good: bool, timezone: str) -> Log:
    checked = read_checked(source, table, lenient=keep_good, timezone=timezone)
    arrow = sources.arrow(checked.rows)
    columns = {name: arrow[name].to_numpy(zero_copy_only=False) for name in arrow.column_names}
    return Log(
        frame=pd.DataFrame(columns),
        left_out=tuple(map(str, checked.problems)),
        count=checked.left_out,
    )


def _seconds(column: pd.Series) -> np.ndarray:
    seconds = (column - pd.Timestamp("1970-01-01")).dt.total_seconds()
    return seconds.to_numpy(float)

"""A hospital's logs of visits and of registrations: read checked, turned into models' arrays.

Unreadable cells are refused as everywhere. Rows that contradict themselves (ended before
started, an unknown station, an account without a patient) are refused by row too, unless
``keep_good`` asks for the good ones and a report of what was left out.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import ibis  # type: ignore[import-untyped,unused-ignore]
import numpy as np
import pandas as pd

from o2o_research.data.reading import read
from o2o_research.data.tables import Column, Table
from o2o_research.errors import DataError

VISITS = Table(
    name="visits",
    row="visit",
    columns=(
        Column(
            name="patient",
            type="text",
            gaps=True,
            zh="患者编号（脱敏）",
            en="who: a hashed number, the same person the same text",
        ),
        Column(
            name="station",
            type="text",
            gaps=True,
            zh="环节：挂号、就诊、缴费、检查等",
            en="where: registration, consulting, payment, tests ...",
        ),
        Column(
            name="arrived_at",
            type="time",
            gaps=True,
            zh="到达该环节（取号、排队）的时间",
            en="when the patient joined the queue",
        ),
        Column(
            name="started_at",
            type="time",
            gaps=True,
            zh="开始服务的时间",
            en="when service began",
        ),
        Column(
            name="ended_at",
            type="time",
            gaps=True,
            zh="服务结束的时间",
            en="when service ended",
        ),
    ),
    keys=(),
)

REGISTRATIONS = Table(
    name="registrations",
    row="registration",
    columns=(
        Column(
            name="account",
            type="text",
            gaps=True,
            zh="挂号账号（脱敏）",
            en="the booking account, hashed",
        ),
        Column(
            name="patient",
            type="text",
            gaps=True,
            zh="就诊人（脱敏）",
            en="the patient booked for, hashed",
        ),
        Column(name="doctor", type="text", gaps=True, zh="医生或号源", en="the doctor or list"),
        Column(
            name="released_at",
            type="time",
            gaps=True,
            zh="放号时间，精确到秒",
            en="when the slot was released, to the second",
        ),
        Column(
            name="booked_at",
            type="time",
            gaps=True,
            zh="约号时间，精确到秒",
            en="when it was booked, to the second",
        ),
        Column(name="visit_at", type="time", gaps=True, zh="就诊时间", en="when the visit is due"),
        Column(
            name="cancelled_at",
            type="time",
            gaps=True,
            zh="退号时间；未退则留空",
            en="when it was cancelled; empty where it was not",
        ),
        Column(
            name="device",
            type="text",
            gaps=True,
            zh="设备标识（脱敏）；不详则留空",
            en="the device, hashed; empty where not known",
        ),
    ),
    keys=(),
)


@dataclass(frozen=True, kw_only=True)
class Log:
    """A checked log and what was left out of it.

    Parameters
    ----------
    frame : DataFrame of the good rows, in the file's order
    left_out : what was wrong with the others, by row; empty unless ``keep_good`` was asked for
    """

    frame: pd.DataFrame
    left_out: tuple[str, ...] = ()


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
        Names every kind of problem with its rows (counted from 1, without the header).
    """
    frame = _frame(source, VISITS, timezone)
    known = frame["station"].isin(list(stations)) | (not stations)
    problems = {
        "patient is empty": frame["patient"].isna(),
        "station is empty": frame["station"].isna(),
        "station is not one of " + ", ".join(stations): ~known & frame["station"].notna(),
        "arrived_at, started_at or ended_at is empty": frame[
            ["arrived_at", "started_at", "ended_at"]
        ]
        .isna()
        .any(axis=1),
        "started before arrived": frame["started_at"] < frame["arrived_at"],
        "ended before started": frame["ended_at"] < frame["started_at"],
    }
    return _good(source, frame, problems, keep_good)


def read_registrations(
    source: str | Path, *, keep_good: bool = False, timezone: str = "Asia/Shanghai"
) -> Log:
    """A log of registrations; the same rules as ``read_visits``.

    Raises
    ------
    DataError
        Names every kind of problem with its rows.
    """
    frame = _frame(source, REGISTRATIONS, timezone)
    whole = ["released_at", "booked_at", "visit_at"]
    problems = {
        "account is empty": frame["account"].isna(),
        "account without a patient": frame["patient"].isna() & frame["account"].notna(),
        "doctor is empty": frame["doctor"].isna(),
        "released_at, booked_at or visit_at is empty": frame[whole].isna().any(axis=1),
        "booked before released": frame["booked_at"] < frame["released_at"],
        "cancelled before booked": frame["cancelled_at"] < frame["booked_at"],
    }
    return _good(source, frame, problems, keep_good)


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


def _frame(source: str | Path, table: Table, timezone: str) -> pd.DataFrame:
    checked = read(source, table, timezone=timezone)
    arrow = checked.mutate(row=ibis.row_number() + 1).to_pyarrow()
    columns = {name: arrow[name].to_numpy(zero_copy_only=False) for name in arrow.column_names}
    frame = pd.DataFrame(columns).sort_values("row", ignore_index=True)
    for column in table.columns:
        if column.type == "text":
            frame[column.name] = frame[column.name].replace("", None)
    return frame


def _good(
    source: str | Path, frame: pd.DataFrame, problems: dict[str, pd.Series], keep_good: bool
) -> Log:
    bad = np.zeros(len(frame), bool)
    found = []
    for wording, wrong in problems.items():
        rows = frame.loc[wrong.to_numpy(bool), "row"].tolist()
        if rows:
            shown = ", ".join(str(row) for row in rows[:5]) + (", ..." if len(rows) > 5 else "")
            found.append(
                f"{Path(source).name}: {wording}: {len(rows)} row{'s' * (len(rows) > 1)} ({shown})"
            )
            bad |= wrong.to_numpy(bool)
    if found and not keep_good:
        raise DataError("\n".join(found))
    good = frame.loc[~bad].drop(columns="row").reset_index(drop=True)
    if good.empty:
        raise DataError("\n".join([*found, f"{Path(source).name}: no good row is left"]))
    return Log(frame=good, left_out=tuple(found))


def _seconds(column: pd.Series) -> np.ndarray:
    seconds = (column - pd.Timestamp("1970-01-01")).dt.total_seconds()
    return seconds.to_numpy(float)

"""A phone maker's logs: choices as arrays that choice models fit, sales as series by brand."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from o2o_research.data import sources
from o2o_research.data.problems import shown
from o2o_research.data.reading import read
from o2o_research.data.tables import CHOICES, SALES
from o2o_research.errors import DataError

Array = NDArray[np.float64]

# Fewer periods than this say nothing of a curve.
LEAST_PERIODS = 6


class ChoiceArrays(NamedTuple):
    """A log of choices.

    Parameters
    ----------
    attributes : ndarray, shape (cases, alternatives, attributes), 0 where one was not there
    chosen : ndarray of int, shape (cases,), the place of the one taken
    names : of the attributes, as in the log, then ``constant_<alternative>`` of all but the first
    available : ndarray of bool, shape (cases, alternatives)
    person : ndarray of int, shape (cases,), or None where the log names nobody
    alternatives : in alphabetical order
    """

    attributes: Array
    chosen: NDArray[np.int64]
    names: tuple[str, ...]
    available: NDArray[np.bool_]
    person: NDArray[np.int64] | None
    alternatives: tuple[str, ...]


def read_choices(source: str | Path, *, wanted: str = "price") -> ChoiceArrays:
    """A log of choices, checked. Attributes that never vary within a case are left out.

    So are those that repeat others: constants come last, so that they give way.

    Raises
    ------
    DataError
        As ``read``; or no attribute ``wanted``, or one alternative alone.
    """
    frame = sources.frame(read(source, CHOICES))
    known = ("case_id", "person_id", "alternative", "chosen")
    names = [name for name in frame.columns if name not in known]
    name = Path(source).name
    if wanted not in names:
        raise DataError(
            f"{name}: no attribute {wanted}; the log has {', '.join(names) or 'no attribute'}"
        )
    cases, kinds = frame.case_id.astype("category"), frame.alternative.astype("category")
    size = (len(cases.cat.categories), len(kinds.cat.categories))
    if size[1] < 2:
        raise DataError(
            f"{name}: alternative is {shown(str(kinds.iloc[0]))} in every row; what else was there?"
        )
    row, column = cases.cat.codes.to_numpy(), kinds.cat.codes.to_numpy()
    attributes = np.zeros((*size, len(names) + size[1] - 1))
    attributes[row, column, : len(names)] = frame[names].to_numpy(float)
    others = np.arange(1, size[1])
    attributes[:, others, len(names) + others - 1] = 1.0
    available, chosen = np.zeros(size, bool), np.zeros(size[0], np.int64)
    available[row, column] = True
    taken = frame.chosen.to_numpy(bool)
    chosen[row[taken]] = column[taken]
    person = None
    if "person_id" in frame:
        person = np.zeros(size[0], np.int64)
        person[row] = frame.person_id.astype("category").cat.codes.to_numpy()
    names += [f"constant_{kind}" for kind in kinds.cat.categories[1:]]
    keep = _told_apart(attributes, available)
    if wanted not in [names[k] for k in keep]:
        raise DataError(f"{name}: {wanted} is the same for all alternatives of every case")
    return ChoiceArrays(
        attributes[..., keep], chosen, tuple(names[k] for k in keep), available, person,
        tuple(kinds.cat.categories),
    )  # fmt: skip


def _told_apart(x: Array, there: NDArray[np.bool_]) -> list[int]:
    """Attributes that vary within cases and repeat no earlier ones."""
    seen = np.where(there[..., np.newaxis], x, 0.0)
    mean = seen.sum(axis=1, keepdims=True) / there.sum(axis=1)[:, np.newaxis, np.newaxis]
    deep = np.where(there[..., np.newaxis], x - mean, 0.0).reshape(-1, x.shape[2])
    size = np.sqrt((deep**2).sum(axis=0))
    keep: list[int] = []
    for k in np.flatnonzero(size > 1e-9 * np.maximum(1.0, np.abs(x).max(axis=(0, 1)))):
        trial = (deep / np.where(size > 0, size, 1.0))[:, np.array([*keep, k])]
        if np.linalg.matrix_rank(trial, tol=1e-6) == len(keep) + 1:
            keep.append(int(k))
    return keep


class Series(NamedTuple):
    """One brand's sales from its first period with any, in equal steps.

    Parameters
    ----------
    brand : as in the log
    start : first day of the first period
    units : ndarray, shape (periods,)
    months : length of a period
    """

    brand: str
    start: pd.Timestamp
    units: Array
    months: float


def read_sales(source: str | Path) -> tuple[Series, ...]:
    """Sales by brand, channels and countries added up, the largest brand first.

    Raises
    ------
    DataError
        As ``read``; periods that are not evenly spaced, or no brand with enough of them.
    """
    frame = sources.frame(read(source, SALES))
    name = Path(source).name
    days = pd.Series(sorted(frame.period.unique()))
    steps = days.diff().dropna().dt.days
    if len(days) < LEAST_PERIODS:
        raise DataError(f"{name}: {len(days)} periods; a curve wants {LEAST_PERIODS} or more")
    usual = float(steps.median())
    # Months differ by three days, and so may any multiple of them.
    uneven = steps[(steps - usual).abs() > max(3.0, 0.05 * usual)]
    if len(uneven):
        at = uneven.index[0]
        raise DataError(
            f"{name}: period goes from {days[at - 1]:%Y-%m-%d} to {days[at]:%Y-%m-%d}, elsewhere by about "
            f"{usual:g} days; give every period, with 0 units where none was sold"
        )
    table = frame.pivot_table(index="period", columns="brand", values="units", aggfunc="sum")
    found = []
    for brand in table.columns:
        units = table[brand].reindex(days)
        sold = np.flatnonzero(units.fillna(0.0).to_numpy() > 0)
        if not sold.size:
            continue
        # A brand's life ends where its rows do: silence afterwards is not a sale of 0.
        last = int(np.flatnonzero(units.notna().to_numpy())[-1])
        own = units.iloc[sold[0] : last + 1].fillna(0.0).to_numpy(float)
        if own.size >= LEAST_PERIODS:
            found.append(Series(str(brand), days[sold[0]], own, usual / 30.4375))
    if not found:
        raise DataError(f"{name}: no brand has {LEAST_PERIODS} periods since its first sale")
    return tuple(sorted(found, key=lambda each: (-each.units.sum(), each.brand)))

"""The hospital plan that ships with the package, or one of the analyst's own in the same form."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from o2o_research.errors import DataError

_WANTED = ("walking_speed", "lift_wait", "lift_per_floor", "stairs_per_floor", "floors", "ways")


@dataclass(frozen=True, kw_only=True)
class FloorPlan:
    """Places and ways of a building.

    Parameters
    ----------
    places : tuple of str
    start, end : ndarray of int, shape (ways,), the places a way joins
    seconds : ndarray, shape (ways,), walking time
    visit, visit_by_phone : tuple of str, stops of a visit with tests, at windows and by phone
    """

    places: tuple[str, ...]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    seconds: NDArray[np.float64]
    visit: tuple[str, ...]
    visit_by_phone: tuple[str, ...]


def read_hospital_plan(source: str | Path = "") -> FloorPlan:
    """A floor plan from YAML; the shipped one by default.

    Lifts and stairs of one name but for the floor (``lifts_1``, ``lifts_2``) are joined across
    floors: a lift goes from any floor to any other and is waited for once, stairs go one by one.

    Raises
    ------
    DataError
        A part is missing, a place stands on two floors, or a way leads to no place.
    """
    own = files("o2o_research") / "data" / "hospital_plan.yaml"
    name = Path(source).name if source else "hospital_plan.yaml"
    try:
        text = Path(source).read_text("utf-8") if source else own.read_text("utf-8")
        raw: dict[str, Any] = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"{name}: cannot be read: {error}") from error
    missing = [key for key in _WANTED if key not in (raw or {})]
    if missing:
        raise DataError(f"{name}: {', '.join(missing)} missing")
    at: dict[str, tuple[int, float, float]] = {}
    for floor, places in raw["floors"].items():
        for place, (x, y) in places.items():
            if place in at:
                raise DataError(f"{name}: {place} stands on floor {at[place][0]} and {floor}")
            at[place] = (int(floor), float(x), float(y))
    ways: list[tuple[str, str, float]] = []
    for a, b in raw["ways"]:
        for place in (a, b):
            if place not in at:
                raise DataError(f"{name}: way {a} - {b}: no place {place}")
        if at[a][0] != at[b][0]:
            raise DataError(f"{name}: way {a} - {b} joins two floors; name them as stairs or lifts")
        metres = float(np.hypot(at[a][1] - at[b][1], at[a][2] - at[b][2]))
        ways.append((a, b, metres / raw["walking_speed"]))
    lifts = sorted(place for place in at if place.startswith("lifts_"))
    # From any floor to any other one lift, waited for once.
    for index, a in enumerate(lifts):
        for b in lifts[index + 1 :]:
            floors = abs(at[a][0] - at[b][0])
            ways.append((a, b, raw["lift_wait"] + floors * raw["lift_per_floor"]))
    for a in sorted(place for place in at if place.startswith("stairs_")):
        above = f"stairs_{at[a][0] + 1}{a.split('_')[1][len(str(at[a][0])) :]}"
        if above in at:
            ways.append((a, above, float(raw["stairs_per_floor"])))
    number = {place: index for index, place in enumerate(at)}
    return FloorPlan(
        places=tuple(at),
        start=np.array([number[a] for a, _, _ in ways]),
        end=np.array([number[b] for _, b, _ in ways]),
        seconds=np.array([seconds for _, _, seconds in ways]),
        visit=tuple(raw.get("visit", ())),
        visit_by_phone=tuple(raw.get("visit_by_phone", ())),
    )

"""A store's members, what they did, and its weeks, as small arrays in days and months."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from o2o_research.data import sources
from o2o_research.data.reading import read
from o2o_research.data.tables import MEMBER_EVENTS, MEMBERS, WEEKLY
from o2o_research.errors import DataError

Array = NDArray[np.float64]

# Events that are no sign of life.
LEAVING = "leave"
# Fewer weeks than this say nothing of a J-curve.
LEAST_WEEKS = 8


class MemberLog(NamedTuple):
    """Members in the order of the log's text.

    Parameters
    ----------
    member : ndarray of text, shape (members,), ascending
    joined : ndarray, shape (members,), days since the first joined
    source : ndarray of text, empty where not known
    last_active : ndarray, days; not-a-number where never since joining
    end : days at which the log ends: the last moment it holds
    start : the first joining's day
    """

    member: NDArray[np.str_]
    joined: Array
    source: NDArray[np.str_]
    last_active: Array
    end: float
    start: pd.Timestamp


class MemberEvents(NamedTuple):
    """What members did.

    Parameters
    ----------
    member : ndarray of int, shape (events,), place in ``MemberLog.member``
    at : ndarray, days since the first member joined
    event : ndarray of text
    """

    member: NDArray[np.int64]
    at: Array
    event: NDArray[np.str_]

    @property
    def active(self) -> NDArray[np.bool_]:
        """Events that show a member active: all but leaving."""
        return np.asarray(self.event != LEAVING)


class Weekly(NamedTuple):
    """A company's weeks without a gap.

    Parameters
    ----------
    start : the first Monday
    investment, online, offline : ndarray, shape (weeks,), yuan
    margin : ndarray, yuan, not-a-number where not known
    """

    start: pd.Timestamp
    investment: Array
    online: Array
    offline: Array
    margin: Array


def read_members(source: str | Path, *, timezone: str = "Asia/Shanghai") -> MemberLog:
    """A table of members, checked.

    Raises
    ------
    DataError
        As ``read``.
    """
    table = read(source, MEMBERS, timezone=timezone)
    frame = sources.frame(table.order_by("member_id"))
    start = frame.joined_at.min().normalize()
    joined = _days(frame.joined_at, start)
    last = _days(frame.last_active_at, start)
    return MemberLog(
        member=frame.member_id.to_numpy(str),
        joined=joined,
        source=frame.source.fillna("").to_numpy(str),
        last_active=last,
        end=float(np.nanmax(np.r_[joined, last])),
        start=start,
    )


def read_member_events(
    source: str | Path, members: MemberLog, *, timezone: str = "Asia/Shanghai"
) -> tuple[MemberLog, MemberEvents]:
    """What members did, checked against the members; and the members, observed to the later end.

    Raises
    ------
    DataError
        As ``read``; an event of nobody in the table of members, or one before its member joined.
    """
    table = read(source, MEMBER_EVENTS, timezone=timezone)
    frame = sources.frame(table.order_by(["member_id", "happened_at"]))
    who = frame.member_id.to_numpy(str)
    place = np.searchsorted(members.member, who)
    known = members.member[np.minimum(place, members.member.size - 1)] == who
    if not known.all():
        first = str(who[~known][0])
        raise DataError(
            f"member_events: member {first!r} is not in members ({int((~known).sum())} such events); "
            "give both tables of the same extract"
        )
    at = _days(frame.happened_at, members.start)
    early = np.flatnonzero(at < np.floor(members.joined[place]))
    if early.size:
        row = int(early[0])
        joined = members.start + pd.Timedelta(days=float(members.joined[place[row]]))
        raise DataError(
            f"member_events: member {str(who[row])!r} did {frame.event.iloc[row]!r} on "
            f"{frame.happened_at.iloc[row]:%Y-%m-%d}, before joining on {joined:%Y-%m-%d}"
        )
    # A log with bare dates has the hour of joining after things done that day.
    at = np.maximum(at, members.joined[place])
    end = float(max(members.end, at.max(initial=0.0)))
    events = MemberEvents(place.astype(np.int64), at, frame.event.to_numpy(str))
    return members._replace(end=end), events


def read_weekly(source: str | Path, *, timezone: str = "Asia/Shanghai") -> Weekly:
    """A company's weeks, checked, in order.

    Raises
    ------
    DataError
        As ``read``; a week left out, or too few of them.
    """
    table = read(source, WEEKLY, timezone=timezone)
    frame = sources.frame(table.order_by("week"))
    steps = frame.week.diff().dropna().dt.days
    if (steps != 7).any():
        before = frame.week.loc[steps.index[steps != 7][0] - 1]
        missing = before + pd.Timedelta(days=7)
        raise DataError(
            f"weekly: no row for the week of {missing:%Y-%m-%d}; give every week, with 0 where nothing "
            "was spent or sold"
        )
    if len(frame) < LEAST_WEEKS:
        raise DataError(f"weekly: {len(frame)} weeks; a J-curve wants {LEAST_WEEKS} or more")
    return Weekly(
        frame.week.iloc[0],
        *(frame[name].to_numpy(float) for name in ("investment", "sales_online", "sales_offline", "margin")),
    )  # fmt: skip


def _days(moments: pd.Series, start: pd.Timestamp) -> Array:
    """Days since ``start``, not-a-number where there is no moment."""
    return np.asarray((moments - start) / pd.Timedelta(days=1), dtype=float)

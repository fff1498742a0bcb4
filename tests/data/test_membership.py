"""A store's members, their events and its weeks, read as arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from o2o_research.data.membership import read_member_events, read_members, read_weekly
from o2o_research.errors import DataError

MEMBERS = """member_id,joined_at,source,last_active_at
b,2014-05-11,store,2014-07-01 12:00
a,2014-05-10 09:00,gift,
c,2014-05-12,,2014-05-20
"""
EVENTS = """member_id,happened_at,event,amount
a,2014-05-10,scan,
b,2014-07-09,purchase,120
b,2014-08-01,leave,
"""


def written(folder: Path, **tables: str) -> dict[str, Path]:
    found = {}
    for name, text in tables.items():
        found[name] = folder / f"{name}.csv"
        found[name].write_text(text, encoding="utf-8")
    return found


def weeks(*rows: str) -> str:
    return "\n".join(["week,investment,sales_online,sales_offline,margin", *rows]) + "\n"


def test_members_become_days_since_the_first_joined(tmp_path: Path) -> None:
    files = written(tmp_path, members=MEMBERS)
    log = read_members(files["members"])
    assert log.member.tolist() == ["a", "b", "c"]
    assert log.joined.tolist() == [0.375, 1.0, 2.0]
    assert log.source.tolist() == ["gift", "store", ""]
    assert np.isnan(log.last_active[0])
    assert log.end == 52.5


def test_events_carry_the_log_on_and_leaving_is_no_sign_of_life(tmp_path: Path) -> None:
    files = written(tmp_path, members=MEMBERS, events=EVENTS)
    log, events = read_member_events(files["events"], read_members(files["members"]))
    assert log.end == 83.0
    assert events.member.tolist() == [0, 1, 1]
    # A bare date on the day of joining is not before joining.
    assert events.at.tolist() == [0.375, 60.0, 83.0]
    assert events.active.tolist() == [True, True, False]


def test_an_event_of_a_stranger_is_refused_by_name(tmp_path: Path) -> None:
    files = written(tmp_path, members=MEMBERS, events=EVENTS + "zed,2014-07-01,scan,\n")
    with pytest.raises(DataError, match=r"member 'zed' is not in members \(1 such events\)"):
        read_member_events(files["events"], read_members(files["members"]))


def test_an_event_before_joining_is_refused_by_name(tmp_path: Path) -> None:
    files = written(tmp_path, members=MEMBERS, events=EVENTS + "c,2014-05-01,scan,\n")
    with pytest.raises(
        DataError, match=r"member 'c' did 'scan' on 2014-05-01, before joining on 2014-05-12"
    ):
        read_member_events(files["events"], read_members(files["members"]))


def test_weeks_are_read_in_order(tmp_path: Path) -> None:
    rows = [
        f"2014-0{5 + (d > 31)}-{d if d <= 31 else d - 31:02d},{d},1,2," for d in range(5, 61, 7)
    ]
    files = written(tmp_path, weekly=weeks(*rows[::-1]))
    table = read_weekly(files["weekly"])
    assert f"{table.start:%Y-%m-%d}" == "2014-05-05"
    assert table.investment.tolist() == [5, 12, 19, 26, 33, 40, 47, 54]
    assert np.isnan(table.margin).all()


def test_a_week_left_out_is_refused_by_its_day(tmp_path: Path) -> None:
    files = written(tmp_path, weekly=weeks("2014-05-05,1,1,1,1", "2014-05-19,1,1,1,1"))
    with pytest.raises(DataError, match="weekly: no row for the week of 2014-05-12"):
        read_weekly(files["weekly"])


def test_too_few_weeks_are_refused(tmp_path: Path) -> None:
    files = written(tmp_path, weekly=weeks("2014-05-05,1,1,1,1"))
    with pytest.raises(DataError, match="weekly: 1 weeks; a J-curve wants 8 or more"):
        read_weekly(files["weekly"])


def test_a_negative_investment_is_refused_by_name(tmp_path: Path) -> None:
    files = written(tmp_path, weekly=weeks("2014-05-05,-3,1,1,1"))
    with pytest.raises(
        DataError, match=r"weekly\.csv: investment, row 2: -3 is negative; must be >= 0 yuan"
    ):
        read_weekly(files["weekly"])

"""A phone maker's logs of sales and of choices, read checked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from o2o_research.data.phones import read_choices, read_sales
from o2o_research.errors import DataError


def sales_log(folder: Path, rows: list[tuple[object, ...]]) -> Path:
    path = folder / "sales.csv"
    names = ["period", "brand", "channel", "country", "units", "price"]
    pd.DataFrame(rows, columns=names).to_csv(path, index=False)
    return path


def choices_log(folder: Path, frame: pd.DataFrame) -> Path:
    path = folder / "choices.csv"
    frame.to_csv(path, index=False)
    return path


def quarters(n: int) -> list[str]:
    return [f"{day:%Y-%m-%d}" for day in pd.date_range("2007-07-01", periods=n, freq="QS")]


def test_channels_and_countries_are_added_up_and_zeros_before_the_launch_dropped(
    tmp_path: Path,
) -> None:
    rows: list[tuple[object, ...]] = []
    for i, day in enumerate(quarters(9)):
        rows.append((day, "甲", "online", "CN", 10.0 * i, 799))
        rows.append((day, "甲", "shop", "CN", 5.0 * i, 899))
        rows.append((day, "B", "", "", 1.0, ""))
    first, second = read_sales(sales_log(tmp_path, rows))
    assert first.brand == "甲"
    assert first.units.tolist() == [15.0 * i for i in range(1, 9)]
    assert first.start == pd.Timestamp("2007-10-01")
    assert first.months == pytest.approx(3.0, abs=0.1)
    assert second.brand == "B"
    assert second.units.size == 9


def test_a_life_that_ended_is_not_continued_by_zeros(tmp_path: Path) -> None:
    days = quarters(12)
    rows: list[tuple[object, ...]] = [(day, "old", "", "", 5, "") for day in days[:8]]
    rows += [(day, "new", "", "", 9, "") for day in days[4:]]
    assert {each.brand: each.units.size for each in read_sales(sales_log(tmp_path, rows))} == {
        "old": 8,
        "new": 8,
    }


def test_a_period_left_out_is_named(tmp_path: Path) -> None:
    days = quarters(10)
    rows: list[tuple[object, ...]] = [(day, "A", "", "", 5, "") for day in days if day != days[4]]
    with pytest.raises(DataError, match=f"period goes from {days[3]} to {days[5]}"):
        read_sales(sales_log(tmp_path, rows))


def test_too_few_periods_are_refused(tmp_path: Path) -> None:
    rows: list[tuple[object, ...]] = [(day, "A", "", "", 5, "") for day in quarters(4)]
    with pytest.raises(DataError, match="4 periods"):
        read_sales(sales_log(tmp_path, rows))
    rows = [(day, "A", "", "", 5 * (i > 6), "") for i, day in enumerate(quarters(9))]
    with pytest.raises(DataError, match="no brand has 6 periods"):
        read_sales(sales_log(tmp_path, rows))


def test_negative_units_are_refused_by_line(tmp_path: Path) -> None:
    rows: list[tuple[object, ...]] = [(day, "A", "", "", -1, "") for day in quarters(8)]
    with pytest.raises(DataError, match="units"):
        read_sales(sales_log(tmp_path, rows))


def three_way(cases: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    rows = []
    for case in range(cases):
        taken = rng.integers(3)
        for place, name in enumerate(("none", "online", "shop")):
            rows.append(
                {
                    "case_id": case, "person_id": case // 2, "alternative": name,
                    "chosen": int(place == taken), "price": 0 if name == "none" else rng.normal(800, 50),
                    "trial": int(name == "shop"), "age": case % 50,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def test_choices_come_as_arrays_with_constants_that_attributes_do_not_tell(tmp_path: Path) -> None:
    log = read_choices(choices_log(tmp_path, three_way(40)))
    assert log.alternatives == ("none", "online", "shop")
    # Age never varies within a case; the trial is the shop's constant already.
    assert log.names == ("price", "trial", "constant_online")
    assert log.attributes.shape == (40, 3, 3)
    assert log.person is not None
    assert np.bincount(log.person).tolist() == [2] * 20
    assert log.available.all()


def test_an_alternative_that_was_not_offered_is_not_available(tmp_path: Path) -> None:
    frame = three_way(40)
    gone = (frame.alternative == "shop") & (frame.chosen == 0) & (frame.case_id % 2 == 0)
    log = read_choices(choices_log(tmp_path, frame[~gone]))
    assert log.available.sum() == 120 - gone.sum()
    assert log.attributes[~log.available].tolist() == [[0.0] * len(log.names)] * int(gone.sum())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: f.drop(columns="price"), "no attribute price; the log has trial, age"),
        (
            lambda f: f[f.alternative == "shop"].assign(chosen=1),
            "alternative is 'shop' in every row",
        ),
        (lambda f: f.assign(price=800), "price is the same for all alternatives"),
        (lambda f: f.assign(chosen=0), "chosen"),
    ],
    ids=["price", "alone", "flat", "nothing"],
)
def test_a_log_that_tells_nothing_is_refused(change, words: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DataError, match=words):
        read_choices(choices_log(tmp_path, change(three_way(20))))

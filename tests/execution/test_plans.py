"""A bad plan is one clear message, status 2, and nothing written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from scipy.stats import sobol_indices

from o2o_research import cases, cli
from o2o_research.errors import CaseError
from o2o_research.execution import plans

DRAWS: dict[str, Any] = {"method": "sobol", "runs": 8, "seed": 1, "over": {"ticket": {"from": 50, "to": 90}}}  # fmt: skip


def plan(**content: Any) -> plans.Plan:
    return plans.parse("mine", {"case": "restaurants"} | content)


def test_a_grid_is_every_combination_with_every_other_parameter_at_its_default() -> None:
    made = plan(
        grid={"ticket": [60, 80], "site_share": {"from": 0.0, "to": 0.1, "steps": 3}},
        parameters={"draws": 100},
    )
    assert [(run["ticket"], run["site_share"]) for run in made.runs] == [
        (60.0, 0.0), (60.0, 0.05), (60.0, 0.1), (80.0, 0.0), (80.0, 0.05), (80.0, 0.1),
    ]  # fmt: skip
    left = {"ticket", "site_share", "draws"}
    defaults = cases.case("restaurants").defaults
    assert all(run[key] == value for run in made.runs for key, value in defaults.items() if key not in left)  # fmt: skip
    assert {run["draws"] for run in made.runs} == {100}


@pytest.mark.parametrize("method", ["sobol", "latin_hypercube"])
def test_draws_fill_the_range_and_are_the_same_again(method: str) -> None:
    tickets = [
        [run["ticket"] for run in plan(draws=DRAWS | {"method": method}).runs] for _ in range(2)
    ]
    assert tickets[0] == tickets[1]
    eighths = np.floor((np.sort(tickets[0]) - 50) / 40 * 8)
    assert eighths.tolist() == list(range(8))


def test_a_saltelli_plan_is_laid_out_as_scipy_wants_it() -> None:
    over = {"ticket": {"from": 50, "to": 90}, "packaging_cost": {"from": 0, "to": 4}}
    made = plan(draws={"method": "saltelli", "runs": 256, "seed": 1, "over": over})
    assert (len(made.runs), made.base) == (256 * 4, 256)
    y = np.array([run["ticket"] + 5 * run["packaging_cost"] for run in made.runs])
    a, b, mixed = y[:256], y[256:512], y[512:].reshape(2, 1, 256)
    found = sobol_indices(func={"f_A": a[None], "f_B": b[None], "f_AB": mixed}, n=256)
    # Variances of 40 and of 5 x 4, uniform: 1600 and 400 twelfths.
    assert found.first_order.ravel() == pytest.approx([0.8, 0.2], abs=0.02)
    assert found.total_order.ravel() == pytest.approx([0.8, 0.2], abs=0.02)


BAD = {
    "an unknown parameter": ({"grid": {"tickt": [1.0]}}, "tickt: unknown parameter; did you mean 'ticket'"),
    "outside the domain": ({"grid": {"commission_share": [0.1, 15]}}, "15 lies outside [0, 1]"),
    "an empty grid": ({"grid": {}}, "grid: no run"),
    "an empty axis": ({"grid": {"ticket": []}}, "no value for ticket"),
    "an empty list": ({"list": []}, "list: no run"),
    "too many": (
        {"grid": {key: {"from": 1, "to": 2, "steps": 1000} for key in ("ticket", "seats", "turns")}},
        "1,000,000,000 runs (1000 × 1000 × 1000) are too many",
    ),
    "too many steps": ({"grid": {"ticket": {"from": 1, "to": 2, "steps": 10**9}}}, "1,000,000,000 runs"),
    "too many draws": ({"draws": DRAWS | {"runs": 2**30}}, "1,073,741,824 runs"),
    "twins": ({"list": [{"ticket": 80}, {"ticket": 90}, {"ticket": 80.0}]}, "runs 1 and 3 are the same"),
    "a case with a path": ({"case": "../restaurants", "grid": {"ticket": [1.0]}}, "'../restaurants' is no name"),
    "no case": ({"case": "hotel", "grid": {"ticket": [1.0]}}, "no case 'hotel'"),
    "two ways": ({"grid": {"ticket": [1.0]}, "list": [{"ticket": 1.0}]}, "one of grid, list and draws"),
    "no way": ({}, "one of grid, list and draws"),
    "an unknown key": ({"grd": {}}, "did you mean 'grid'"),
    "fixed and varied": ({"grid": {"ticket": [60.0]}, "parameters": {"ticket": 70.0}}, "both fixed"),
    "an unknown method": ({"draws": DRAWS | {"method": "dice"}}, "one of latin_hypercube"),
    "no power of two": ({"draws": DRAWS | {"runs": 12}}, "a power of two"),
    "no range": ({"draws": DRAWS | {"over": {"ticket": {"from": 9, "to": 5}}}}, "from 9 to 5 is no range"),
    "drawn text": ({"draws": DRAWS | {"over": {"deal_label": {"from": 1, "to": 2}}}}, "only numbers"),
    "a limit below nothing": ({"grid": {"ticket": [60.0]}, "limits": {"memory_mb": -1}}, "a number above 0"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_plan_says_what_is_wrong(name: str) -> None:
    content, why = BAD[name]
    with pytest.raises(CaseError) as caught:
        plan(**content)
    assert why in str(caught.value)


@pytest.mark.parametrize("name", ["../../etc/x", "no such plan", "a b.yaml"])
def test_a_bad_name_is_status_2_and_nothing_is_written(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["o2o", "sweep", name, "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as leaving:
        cli.main()
    assert leaving.value.code == 2
    assert "Traceback" not in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_bad_plan_is_status_2_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump({"case": "restaurants", "grid": {"tickt": [1, 2]}}))
    monkeypatch.setattr("sys.argv", ["o2o", "sweep", str(file), "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as leaving:
        cli.main()
    assert leaving.value.code == 2
    assert "unknown parameter" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [file]


def test_every_plan_of_the_project_can_be_read() -> None:
    names = sorted(path.stem for path in plans.folder().glob("*.yaml"))
    assert names
    assert all(plans.read(name).runs for name in names)

"""The department stores notebook on logs of members and weeks whose truth is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import pytest

from o2o_research import cli, narrative
from o2o_research.errors import DataError
from o2o_research.models.diffusion.bass import Bass
from o2o_research.models.members import Recruits

LAUNCH = pd.Timestamp("2014-05-10")
TRUTH = {
    "gift": Recruits.of_hazard(activation_share=0.4, first_hazard=0.6, hazard_spread=0.25, return_share=0.03),
    "store": Recruits.of_hazard(activation_share=0.65, first_hazard=0.2, hazard_spread=0.25, return_share=0.08),
    "friend": Recruits.of_hazard(activation_share=0.5, first_hazard=0.35, hazard_spread=0.25, return_share=0.05),
}  # fmt: skip
MARKET, WEEKS, MARGIN = 40_000, 104, 0.22


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Two years of a launch: its peak is seen, and each tactic's hazards are those of ``TRUTH``."""
    folder = tmp_path_factory.mktemp("logs")
    rng = np.random.default_rng(20140510)
    curve = Bass(market=MARKET, innovation=0.004, imitation=0.05, impulse_share=0.05)
    joins = curve.simulate(WEEKS, rng).astype(int)
    joined = np.repeat(np.arange(WEEKS) * 7.0, joins) + rng.uniform(0, 7, joins.sum())
    source = np.where(
        joined < 7, "gift", rng.choice(["gift", "store", "friend"], joined.size, p=[0.2, 0.5, 0.3])
    )
    rows = []
    last = np.full(joined.size, np.nan)
    end = 7.0 * WEEKS
    for name, truth in TRUTH.items():
        own = np.flatnonzero(source == name)
        row, window = np.nonzero(truth.simulate(own.size, 25, rng))
        when = joined[own[row]] + 30.0 * window + rng.uniform(0, 30, row.size)
        inside = when < end
        rows.append(pd.DataFrame({"member": own[row][inside], "at": when[inside]}))
        np.fmax.at(last, own[row][inside], when[inside])
    names = np.array([f"m{i:06d}" for i in range(joined.size)])

    def day(values: Any) -> Any:
        return LAUNCH + pd.to_timedelta(values, unit="D")

    pd.DataFrame(
        {
            "member_id": names,
            "joined_at": day(joined),
            "source": source,
            "last_active_at": day(last),
        }
    ).to_csv(folder / "members.csv", index=False, date_format="%Y-%m-%d %H:%M:%S")
    events = pd.concat(rows)
    pd.DataFrame(
        {
            "member_id": names[events.member],
            "happened_at": day(events["at"]),
            "event": "scan",
            "amount": "",
        }
    ).to_csv(folder / "member_events.csv", index=False, date_format="%Y-%m-%d %H:%M:%S")
    online = 5e4 * np.linspace(0.2, 3, 40) * np.exp(0.05 * rng.standard_normal(40))
    total = online + 6e7
    pd.DataFrame(
        {
            "week": (pd.Timestamp("2014-05-12") + pd.to_timedelta(7 * np.arange(40), unit="D")).strftime("%Y-%m-%d"),
            "investment": 8e4, "sales_online": online, "sales_offline": 6e7,
            "margin": MARGIN * total * np.exp(0.01 * rng.standard_normal(40)),
        }
    ).to_csv(folder / "weekly.csv", index=False)  # fmt: skip
    return {name: str(folder / f"{name}.csv") for name in ("members", "member_events", "weekly")}


def run(
    root: Path, last: str = "summary", **parameters: Any
) -> tuple[dict[str, dict[str, Any]], str]:
    """The cells up to ``last`` with parameters put in: the findings by name, and all that was said."""
    notebook = nbformat.read(root / "notebooks" / "department_stores.ipynb", as_version=4)
    space: dict[str, Any] = {}
    heard: list[tuple[str, Any]] = []
    with narrative.heard(lambda kind, content: heard.append((kind, content))):
        for cell in notebook.cells:
            if cell.cell_type != "code":
                continue
            exec(compile(cell.source, cell.id, "exec"), space)
            if cell.id == "parameters":
                space |= {"draws": 100} | parameters
            if cell.id == last:
                break
    found = {content["name"]: content for kind, content in heard if kind == narrative.FINDING}
    said = "\n".join(content["en"] for kind, content in heard if kind == narrative.SAY)
    return found, said


@pytest.mark.slow
def test_fitted_hazards_curve_and_weeks_replace_the_assumed_ones(
    root: Path, logs: dict[str, str]
) -> None:
    found, said = run(root, **logs)
    for name, truth in TRUTH.items():
        here = found[f"{name}_left_365"]
        assert here["basis"] == "sample"
        share = float(truth.active_share(365 / 30))
        # Nine intervals of ten hold the truth; twice their width holds it nearly always.
        width = here["high"] - here["low"]
        assert abs(here["value"] - share) < width
        assert width < 0.1
    market = found["market_estimate"]
    assert market["low"] < MARKET < market["high"]
    assert market["high"] / market["low"] < 1.1
    assert "fitted from it: the adoption curve, gift members' hazards" in said
    assert "The weekly table has 40 weeks: the first 9 months" in said
    assert "moves among them stay assumed" in said


@pytest.mark.slow
def test_members_alone_say_that_returns_are_not_seen(root: Path, logs: dict[str, str]) -> None:
    found, said = run(root, "activity-numbers", members=logs["members"])
    assert "Last activity alone does not show returns" in said
    assert "No weekly table is given" in said
    # Active until the last sign of life: at a given age right on average, up to the log's end.
    assert found["store_left_365"]["basis"] == "sample"


@pytest.mark.slow
def test_a_young_log_warns_of_the_market(root: Path, logs: dict[str, str], tmp_path: Path) -> None:
    table = pd.read_csv(logs["members"], dtype=str)
    early = table[table.joined_at < "2014-08-20"].copy()
    early.loc[early.last_active_at >= "2014-08-20", "last_active_at"] = "2014-08-19 23:59:59"
    early.to_csv(tmp_path / "members.csv", index=False)
    found, said = run(root, "market", members=str(tmp_path / "members.csv"))
    assert "the peak is not seen yet" in said
    assert found["market_estimate"]["high"] in ("inf", None) or (
        float(found["market_estimate"]["high"]) > 2 * MARKET
    )


def refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *given: str
) -> str:
    """What ``o2o run`` says of these parameters, which it refuses with status 2."""
    monkeypatch.setattr("sys.argv", ["o2o", "run", "department_stores", "-p", *given])
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as leaving:
        cli.main()
    assert leaving.value.code == 2
    streams = capsys.readouterr()
    return " ".join((streams.out + streams.err).split())


def test_a_hazard_above_one_is_refused_by_name(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = refused(capsys, monkeypatch, "gift_hazard", "1.2")
    assert "gift_hazard: 1.2 lies outside (0, 1)" in said


def test_a_negative_investment_is_refused_by_name(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = refused(capsys, monkeypatch, "four_set_up", "-8000000")
    assert "four_set_up: -8e+06 lies outside (0, inf)" in said


BAD = {
    "gap": (lambda weeks: weeks.drop(index=5), "weekly: no row for the week of 2014-06-16"),
    "negative": (lambda weeks: weeks.assign(investment=-1.0), "negative.csv: investment"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BAD)
def test_a_bad_table_of_weeks_is_refused_with_status_two(
    name: str, logs: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    spoil, wanted = BAD[name]
    file = tmp_path / f"{name}.csv"
    spoil(pd.read_csv(logs["weekly"])).to_csv(file, index=False)
    assert wanted in refused(capsys, monkeypatch, "weekly", str(file))


def test_events_without_members_are_refused(root: Path, logs: dict[str, str]) -> None:
    with pytest.raises(DataError, match="member_events: give members too"):
        run(root, "open", member_events=logs["member_events"])

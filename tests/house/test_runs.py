"""A run is whole or not there; a failure says what and leaves the last good run alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

from o2o_research import cases
from o2o_research.errors import CaseError, DataError, RunError
from o2o_research.execution import run, runs

from .conftest import set_body

pytestmark = pytest.mark.slow


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No publishing: these tests look at the run."""
    monkeypatch.setattr(runs, "publish", lambda *args, **kwargs: [])


def values() -> cases.Parameters:
    return cases.parameters("restaurants")


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.usefixtures("quick")
def test_a_run_is_one_whole_folder_and_the_same_input_gives_the_same_bytes(
    tiny_home: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first, _ = (run("restaurants", values(), out / name) for name in ("a", "b"))
    assert leftovers(out) == ["a", "b"]
    assert leftovers(out / "a") == [
        "findings.json",
        "manifest.json",
        "published.json",
        "restaurants.ipynb",
        "run.json",
    ]
    for file in ("findings.json", "manifest.json", "restaurants.ipynb"):
        assert (out / "a" / file).read_bytes() == (out / "b" / file).read_bytes()
        text = (out / "a" / file).read_text(encoding="utf-8")
        assert str(tmp_path) not in text
        assert "start_time" not in text
    assert json.loads((out / "a" / "run.json").read_text())["state"] == "ok"
    assert json.loads((out / "a" / "findings.json").read_text()) == first.record.as_json()
    assert first.record.findings["fee_equal_ticket"].value == pytest.approx(40.0)
    manifest = json.loads((out / "a" / "manifest.json").read_text())
    assert (manifest["parameters"], manifest["seed"]) == (values(), values()["seed"])


@pytest.mark.usefixtures("quick")
def test_a_changed_cell_changes_the_code_hash(tiny_home: Path) -> None:
    before = runs.manifest("restaurants", values())["code"]
    set_body(tiny_home, "1 + 1")
    assert runs.manifest("restaurants", values())["code"] != before


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("body", "state", "why"),
    [
        ("1 / 0", "failed", "ZeroDivisionError"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "killed", "SIGKILL"),
    ],
)
def test_a_failed_run_never_looks_finished(
    tiny_home: Path, tmp_path: Path, body: str, state: str, why: str
) -> None:
    good = run("restaurants", values(), tmp_path / "mine")
    set_body(tiny_home, body)
    with pytest.raises(RunError, match=why) as caught:
        run("restaurants", values(), tmp_path / "mine")
    assert caught.value.state == state
    # The last good run is untouched; the failed one lies beside, with its state.
    assert json.loads((tmp_path / "mine" / "findings.json").read_text()) == good.record.as_json()
    failed = tmp_path / "mine.failed"
    assert json.loads((failed / "run.json").read_text())["state"] == state
    assert not (failed / "findings.json").exists()
    # What is needed to see why: the cell, and the notebook up to it.
    assert json.loads((failed / "run.json").read_text())["cell"]["id"] == "body"
    assert (failed / "restaurants.ipynb").is_file()


@pytest.mark.usefixtures("quick")
def test_input_refused_in_the_notebook_writes_nothing(tiny_home: Path, tmp_path: Path) -> None:
    set_body(
        tiny_home,
        'from o2o_research.errors import DataError\nraise DataError("amount, row 3: -5 is negative")',
    )
    with pytest.raises(DataError, match="amount, row 3: -5 is negative"):
        run("restaurants", values(), tmp_path / "out" / "mine")
    assert leftovers(tmp_path / "out") == []


@pytest.mark.usefixtures("quick")
def test_a_good_run_clears_the_failed_one(tiny_home: Path, tmp_path: Path) -> None:
    whole = (tiny_home / "notebooks" / "restaurants.ipynb").read_bytes()
    set_body(tiny_home, "1 / 0")
    with pytest.raises(RunError):
        run("restaurants", values(), tmp_path / "mine")
    (tiny_home / "notebooks" / "restaurants.ipynb").write_bytes(whole)
    run("restaurants", values(), tmp_path / "mine")
    assert not (tmp_path / "mine.failed").exists()


@pytest.mark.parametrize("there", ["file", "other"])
def test_a_folder_that_holds_something_else_is_not_overwritten(
    tiny_home: Path, tmp_path: Path, there: str
) -> None:
    out = tmp_path / "mine"
    if there == "file":
        out.write_text("precious")
    else:
        out.mkdir()
        (out / "precious.txt").write_text("precious")
    with pytest.raises(CaseError, match="mine"):
        run("restaurants", values(), out)
    assert (out if there == "file" else out / "precious.txt").read_text() == "precious"


@pytest.mark.usefixtures("quick")
def test_every_kind_of_parameter_reaches_the_notebook_exactly(
    tiny_home: Path, tmp_path: Path
) -> None:
    given: Any = values() | {"ticket": 0.1 + 0.2, "seed": 2**40}
    run("restaurants", given, tmp_path / "mine")
    notebook = nbformat.read(tmp_path / "mine" / "restaurants.ipynb", as_version=4)
    assert runs.narrative.read(notebook).parameters == given


def test_plain_papermill_runs_the_notebook(tiny_home: Path, tmp_path: Path, root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "papermill", str(tiny_home / "notebooks" / "restaurants.ipynb"), str(tmp_path / "out.ipynb"),
         "-f", str(tiny_home / "params" / "restaurants.yaml")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert runs.narrative.read(nbformat.read(tmp_path / "out.ipynb", as_version=4)).findings

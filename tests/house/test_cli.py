"""One clear message for each bad input, exit status 2, nothing written, nothing lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from o2o_research import cases, cli
from o2o_research.errors import RunError

from .conftest import set_body


def call(
    *arguments: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> tuple[int, str]:
    """Exit status and all output of ``o2o ARGUMENTS``."""
    monkeypatch.setattr("sys.argv", ["o2o", *arguments])
    monkeypatch.setenv("COLUMNS", "200")
    try:
        cli.main()
        status = 0
    except SystemExit as leaving:
        status = int(leaving.code or 0)
    streams = capsys.readouterr()
    return status, " ".join((streams.out + streams.err).split())


@pytest.fixture
def o2o(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    return lambda *arguments: call(*arguments, capsys=capsys, monkeypatch=monkeypatch)


def test_the_list_names_every_case_and_its_article(o2o) -> None:  # type: ignore[no-untyped-def]
    status, text = o2o("list")
    assert status == 0
    assert all(name in text for name in cases.case_names())
    assert "2014-05-30" in text


def test_params_show_value_domain_range_and_origin(o2o) -> None:  # type: ignore[no-untyped-def]
    status, text = o2o("params", "restaurants")
    assert status == 0
    assert "commission_share 0.15 [0, 1] reported" in text


def test_the_schema_is_json(o2o) -> None:  # type: ignore[no-untyped-def]
    status, text = o2o("schema", "restaurants")
    assert status == 0
    assert json.loads(text)["properties"]["commission_share"]["maximum"] == 1


def test_the_doctor_finds_everything_it_needs(o2o) -> None:  # type: ignore[no-untyped-def]
    status, text = o2o("doctor")
    assert status == 0, text
    assert "missing" not in text


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["run", "restaurant"], "did you mean 'restaurants'"),
        (
            ["run", "restaurants", "-p", "comission_share", "0.2"],
            "comission_share: unknown parameter; did you mean 'commission_share'?",
        ),
        (
            ["run", "restaurants", "-p", "commission_share", "15"],
            "15 lies outside [0, 1]; a share is wanted: for 15 % write 0.15",
        ),
        (["run", "restaurants", "-p", "ticket", "dear"], "ticket: 'dear' is not a number"),
        (["run", "restaurants", "-p", "ticket"], "wants a name and a value"),
        (["run", "restaurants", "-f", "nowhere.yaml"], "cannot read nowhere.yaml"),
        (["run", "restaurants", "--data", "nowhere.csv"], "no file 'nowhere.csv'"),
        (["run", "restaurants", "--lang", "fr"], "--lang 'fr'"),
        (["run", "restaurants", "--format", "docx"], "--format 'docx'"),
        (["params", "hotel"], "no case 'hotel'"),
        (["fly"], "No such command 'fly'"),
    ],
)
def test_bad_input_is_one_message_and_status_2(  # type: ignore[no-untyped-def]
    o2o, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], why: str
) -> None:
    monkeypatch.chdir(tmp_path)
    status, text = o2o(*arguments)
    assert status == 2
    assert why in text
    assert "Traceback" not in text
    assert list(tmp_path.iterdir()) == []


def test_all_problems_of_a_params_file_come_at_once(o2o, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "mine.yaml"
    file.write_text(
        yaml.safe_dump({"ticket": -1, "commission_share": 15, "x": 1}), encoding="utf-8"
    )
    status, text = o2o("run", "restaurants", "-f", str(file), "--out", str(tmp_path / "out"))
    assert status == 2
    assert "3 parameter problems" in text
    assert not (tmp_path / "out").exists()


def test_something_that_ran_and_failed_is_status_1(o2o, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    def fail(*args: object, **kwargs: object) -> None:
        raise RunError("restaurants: cell 3 failed: [bold]ValueError[/]: no")

    monkeypatch.setattr("o2o_research.execution.run", fail)
    status, text = o2o("run", "restaurants")
    assert status == 1
    assert "cell 3 failed: [bold]ValueError[/]: no" in text


def test_a_report_that_fails_names_how_to_run_just_that(
    o2o,  # type: ignore[no-untyped-def]
    tiny_home: Path,
) -> None:
    set_body(tiny_home, "1 / 0")
    status, text = o2o("report")
    assert status == 1
    assert "ZeroDivisionError" in text
    assert "o2o run restaurants" in text


def test_an_interrupt_is_status_130(o2o, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    def stop(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("o2o_research.execution.run", stop)
    assert o2o("run", "restaurants")[0] == 130


def test_the_version_is_the_packages(o2o) -> None:  # type: ignore[no-untyped-def]
    from o2o_research import __version__

    assert o2o("--version") == (0, f"o2o {__version__}")

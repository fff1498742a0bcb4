"""Findings of other cases: taken as they stand, or by a formula, or refused by name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import pytest

from o2o_research import cases, evidence, narrative, quotes
from o2o_research.charts import Table
from o2o_research.errors import CaseError, O2OError, PublishError
from o2o_research.execution import building, cache, lineage, runs
from o2o_research.narrative import open_case, quote, quotes_of, read
from o2o_research.publishing import agreement
from o2o_research.publishing.site import pages
from o2o_research.terms import term

READS = evidence.evidence("industry_summary").reads


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with everything that the summary needs, to be broken."""
    root = cases.home()
    for folder in ("notebooks", "params"):
        shutil.copytree(root / folder, tmp_path / folder)
    for case in READS:
        (tmp_path / "reports" / case).mkdir(parents=True)
        for file in ("findings.json", "lineage.json"):
            if (root / "reports" / case / file).is_file():
                shutil.copyfile(root / "reports" / case / file, tmp_path / "reports" / case / file)
    monkeypatch.setenv("O2O_HOME", str(tmp_path))
    return tmp_path


def change(home: Path, case: str, **entries: Any) -> None:
    path = home / "reports" / case / "findings.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(content | entries), encoding="utf-8")


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    data: list[dict[str, Any]] = []
    monkeypatch.setattr(narrative, "_show", lambda bundle, text, markdown=None: data.append(bundle))
    open_case("industry_summary", cases.case("industry_summary").defaults)
    return data


# Taken


def test_a_finding_taken_as_it_stands_keeps_value_and_interval(shown: list[Any]) -> None:
    there = quotes.findings("restaurants")["findings"]["voucher_regulars_limit"]
    here = quote("restaurants", "voucher_regulars_limit")
    assert (here.value, here.low, here.high) == (there["value"], there["low"], there["high"])
    assert shown[-1][narrative.FINDING]["case"] == "restaurants"


def test_a_formula_is_worked_out_and_so_is_its_interval(shown: list[Any]) -> None:
    cost = quote("apparel", "moved_share / moved_limit", "cost_apparel")
    stated = quotes.findings("apparel")
    assert cost.value == pytest.approx(
        stated["parameters"]["moved_share"] / stated["findings"]["moved_limit"]["value"]
    )
    assert cost.low < cost.value < cost.high


def test_a_number_used_twice_moves_together_with_itself(shown: list[Any]) -> None:
    gone = quote("apparel", "moved_limit - moved_limit", "cost_apparel")
    assert (gone.low, gone.value, gone.high) == (0.0, 0.0, 0.0)


def test_a_number_quoted_twice_has_one_row(shown: list[Any]) -> None:
    before = len(shown)
    again = [quote("hospital", "waiting_moved_share") for _ in range(2)]
    assert again[0] == again[1]
    assert len(shown) == before + 1


def test_quotes_in_two_cells_are_one_finding_and_another_value_is_refused() -> None:
    bundle = {"name": "moved_limit", "value": 0.85, "low": 0.7, "high": 0.9, "basis": "assumptions"}
    bundle |= {"case": "apparel", "formula": "moved_limit"}
    opened = {narrative.CASE: {"case": "industry_summary", "parameters": {}}}

    def notebook(*bundles: dict[str, Any]) -> Any:
        cell = nbformat.v4.new_code_cell("")
        cell.outputs = [nbformat.v4.new_output("display_data", data=data) for data in bundles]
        return nbformat.v4.new_notebook(cells=[cell])

    twice = [{narrative.FINDING: bundle}, {narrative.FINDING: dict(bundle)}]
    assert list(read(notebook(opened, *twice)).findings) == ["moved_limit"]
    other = {narrative.FINDING: bundle | {"value": 0.8}}
    with pytest.raises(CaseError, match="'moved_limit' is recorded twice"):
        read(notebook(opened, twice[0], other))


def test_what_was_quoted_is_read_back_with_its_case(shown: list[Any]) -> None:
    here = quote("apparel", "moved_share / moved_limit", "cost_apparel")
    record = narrative.Record("industry_summary", {}, {"cost_apparel": here}, {})
    assert narrative.recorded(record.as_json()).findings["cost_apparel"] == here


@pytest.mark.parametrize("element", evidence.evidence("industry_summary").frame)
def test_every_cell_of_the_frame_can_be_worked_out(shown: list[Any], element: str) -> None:
    for finding in quotes_of(element).values():
        assert np.isfinite(finding.value)


def test_every_promise_is_a_claim_of_some_case_or_of_one_to_come() -> None:
    about = evidence.evidence("industry_summary")
    claims = {key for case in READS for key in evidence.evidence(case).claims}
    letters = {key[0] for key in claims}
    assert {key for key in about.promises if key[0] in letters} <= claims


def test_an_endless_interval_is_drawn_to_its_end() -> None:
    drawn = quotes.spread("direct_loyal_flip", 0.85, 0.3, np.inf)
    assert np.median(drawn) == pytest.approx(0.85, rel=0.01)
    assert np.quantile(drawn, 0.05) == pytest.approx(0.3, rel=0.01)
    assert np.mean(np.isinf(drawn)) == pytest.approx(0.05, abs=0.01)


# Refused


@pytest.mark.parametrize(
    ("formula", "why"),
    [
        ("moved_limt", "did you mean 'moved_limit'"),
        ("moved_limit **2", "not +, -, "),
        ("moved_limit +", "invalid syntax"),
        ("store_weeks", "no number"),
    ],
)
def test_a_formula_that_cannot_be_worked_out_is_refused(formula: str, why: str) -> None:
    with pytest.raises(CaseError) as error:
        quotes.worked_out("apparel", formula)
    assert why in str(error.value)


def test_a_case_that_is_not_read_cannot_be_quoted(shown: list[Any]) -> None:
    open_case("restaurants", cases.case("restaurants").defaults)
    with pytest.raises(CaseError, match="restaurants does not read apparel"):
        quote("apparel", "moved_limit")


def test_missing_findings_are_named_with_what_to_run(home: Path) -> None:
    (home / "reports" / "phones" / "findings.json").unlink()
    with pytest.raises(CaseError, match=r"phones: .* run o2o run phones"):
        runs.run("industry_summary", cases.parameters("industry_summary"), formats=())
    assert not (home / "reports" / "industry_summary").exists()


@pytest.mark.parametrize("traced", [False, True])
def test_where_a_case_failed_the_report_of_it_all_says_so_and_goes_on(
    home: Path, traced: bool
) -> None:
    (home / "reports" / "phones" / "findings.json").unlink()
    if traced:
        (home / "reports" / "industry_summary").mkdir()
        kept = {"key": "of before", "read": []}
        (home / "reports" / "industry_summary" / "lineage.json").write_text(json.dumps(kept))
    values = {"industry_summary": cases.parameters("industry_summary")}
    ((name, error),) = building.build(values, ("zh",), ("html",))
    assert name == "industry_summary"
    assert isinstance(error, O2OError)
    assert "run o2o run phones" in str(error)


@pytest.mark.parametrize(
    "broken", ["", "[]", '{"case": "phones"}', '{"case": "apparel", "findings": {"a": 1}}']
)
def test_a_file_that_holds_no_findings_is_refused(home: Path, broken: str) -> None:
    (home / "reports" / "phones" / "findings.json").write_text(broken, encoding="utf-8")
    with pytest.raises(CaseError, match=r"phones: .* run o2o run phones"):
        quotes.findings("phones")


def test_findings_of_other_parameters_or_claims_are_refused(home: Path) -> None:
    change(home, "phones", parameters={"old": 1})
    with pytest.raises(CaseError, match="phones: its findings are older than its parameters"):
        quotes.findings("phones")
    change(home, "apparel", verdicts={})
    with pytest.raises(CaseError, match="apparel: its findings are older than its claims"):
        quotes.findings("apparel")


def test_findings_that_other_code_made_are_refused(home: Path) -> None:
    for case in READS:
        made = "of another notebook" if case == "hospital" else lineage.key(case)
        path = home / "reports" / case / "manifest.json"
        path.write_text(json.dumps({"numbers": made}), encoding="utf-8")
    with pytest.raises(CaseError, match=r"hospital: .* run o2o run hospital"):
        runs.execute("industry_summary", cases.parameters("industry_summary"))


# What decides a run


def test_changed_findings_of_a_case_change_the_key(home: Path) -> None:
    values = cases.parameters("industry_summary")
    before = cache.key(cache.manifest("industry_summary", values)), lineage.key("industry_summary")
    found = quotes.findings("phones")["findings"]
    change(
        home,
        "phones",
        findings=found | {"diverted_share": found["diverted_share"] | {"value": 0.5}},
    )
    after = cache.key(cache.manifest("industry_summary", values)), lineage.key("industry_summary")
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_a_case_of_an_article_reads_none() -> None:
    assert "reads" not in cache.manifest("restaurants", cases.parameters("restaurants"))


# Read


def test_a_quoted_number_leads_to_the_rows_of_its_case(shown: list[Any]) -> None:
    here = quote("apparel", "moved_share / moved_limit", "cost_apparel")
    row = str(pages._taken(here, "en"))
    assert "parameters.en.html#p-apparel-moved_share" in row
    assert "numbers-apparel.en.html#f-moved_limit" in row
    assert pages._taken(narrative.Finding(term("moved_mean"), 0.5, "f-moved_mean"), "en") is None


def test_a_finding_in_a_table_is_written_with_its_unit_and_linked(shown: list[Any]) -> None:
    here = quote("hospital", "waiting_moved_share")
    table = Table(pd.DataFrame({"claim_stated": [here]}), (1.0,))
    assert f"[{here.value:.0%}](#f-waiting_moved_share)" in table.markdown("en")
    assert table.bundle()["widths"] == [1.0]


# Agreement


def test_a_summary_that_quotes_another_value_than_the_case_is_refused() -> None:
    def record(case: str, value: float) -> narrative.Record:
        finding = narrative.Finding(term("moved_limit"), value, "f-moved_limit")
        return narrative.Record(case, {}, {"moved_limit": finding}, {})

    agreement._shared_agree({"a": record("a", 0.8), "b": record("b", 0.8)})
    with pytest.raises(PublishError, match="moved_limit has one value"):
        agreement._shared_agree({"a": record("a", 0.8), "b": record("b", 0.81)})

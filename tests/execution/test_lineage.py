"""Where numbers come from, on a notebook whose true dependencies are known."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml

from o2o_research import cases
from o2o_research.errors import CaseError, RunError
from o2o_research.execution import lineage, runs
from o2o_research.publishing.contents import moves
from tests.house.conftest import set_body

BODY = """\
import numpy as np
from o2o_research.models.channels import Order, payback_months
from o2o_research.narrative import find, open_case, say
p = open_case("restaurants", globals())
order = Order(ticket=p.ticket, variable_cost_share=p.variable_cost_share)
rng = np.random.default_rng(p.seed)
noise = rng.normal(size=8) * p.delivery_fee
kept, total = {0.0: 0.0}, np.zeros(1)
kept[p["packaging_cost"].value] = p["packaging_cost"].value
total += sum(kept.values())
equal = find("fee_equal_ticket", p.delivery_fee / p.commission_share)
find("dine_in_contribution", order.dine_in_contribution)
find("order_gain", float(rng.spawn(2)[1].normal() + rng.normal()) + 0.0 * p.revisit_share)
find("order_contribution", float(noise.sum()))
find("platform_contribution", total[0] + equal.value)
find("platform_gain", float(payback_months(6.0, 2.0)))
said = f"{equal.zh} {p.guests_per_order}"
say(zh=f"相等处为 {equal.zh}。", en=f"They are equal at {equal.en}.")
"""
TRUE = {
    "fee_equal_ticket": {"delivery_fee", "commission_share"},
    "dine_in_contribution": {"ticket", "variable_cost_share"},
    "order_gain": set(),  # touched by a parameter that moves nothing, after draws that one scales
    "order_contribution": {"delivery_fee"},
    "platform_contribution": {"packaging_cost", "delivery_fee", "commission_share"},
    "platform_gain": set(),
}


@pytest.fixture
def toy(tiny_home: Path) -> Path:
    set_body(tiny_home, BODY)
    return tiny_home


_traced: list[dict[str, Any]] = []


@pytest.fixture
def found(toy: Path) -> dict[str, Any]:
    """The toy's lineage, traced once and kept where it is looked for."""
    if not _traced:
        _traced.append(lineage.trace(cases.case("restaurants"), workers=1))
    lineage.path("restaurants").parent.mkdir(parents=True)
    lineage.path("restaurants").write_text(json.dumps(_traced[0]), encoding="utf-8")
    return deepcopy(_traced[0])


def test_what_a_statement_changes_in_place_is_as_it_was_at_every_end(found: dict[str, Any]) -> None:
    made = found["findings"]["platform_contribution"]
    stated = cases.parameters("restaurants")["packaging_cost"]
    for end, result in zip(
        found["tried"]["packaging_cost"], made["moves"]["packaging_cost"], strict=True
    ):
        assert result == pytest.approx(made["value"] + end - stated, rel=1e-6)


def test_a_process_of_its_own_finds_the_same(toy: Path, found: dict[str, Any]) -> None:
    lineage.path("restaurants").unlink()
    assert lineage.read("restaurants") is None
    assert lineage.make("restaurants") == lineage.read("restaurants") == found


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends what is left behind")
def test_a_command_that_is_killed_leaves_no_lineage_at_work(
    tiny_home: Path, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    waits = f"import time\nopen({str(begun)!r}, 'w').close()\ntime.sleep(300)\n"
    set_body(tiny_home, waits)
    home = {"O2O_HOME": str(tiny_home)}
    make = "from o2o_research.execution import lineage; lineage.make('restaurants')"
    with subprocess.Popen([sys.executable, "-c", make], env=os.environ | home) as command:
        assert soon(begun.exists)
        assert len(processes(home)) > 1
        command.kill()
    assert soon(lambda: not processes(home))


def processes(environment: dict[str, str]) -> list[int]:
    """Those that were started with these variables."""
    marks = {f"{name}={value}".encode() for name, value in environment.items()}
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            if marks <= set(Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")):
                found.append(int(pid))
    return found


def soon(true: Callable[[], bool], seconds: float = 60) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end and not true():
        time.sleep(0.05)
    return true()


def test_every_finding_is_moved_by_what_it_depends_on_and_by_nothing_else(
    found: dict[str, Any],
) -> None:
    assert {name: set(made["moves"]) for name, made in found["findings"].items()} == TRUE


def test_what_moves_is_what_the_formula_gives(found: dict[str, Any]) -> None:
    p, made = cases.case("restaurants").defaults, found["findings"]["fee_equal_ticket"]
    for low_or_high, moved in zip(
        found["tried"]["commission_share"], made["moves"]["commission_share"], strict=True
    ):
        assert moved == pytest.approx(p["delivery_fee"] / low_or_high, rel=1e-6)
    assert made["value"] == pytest.approx(p["delivery_fee"] / p["commission_share"])


def test_cell_statement_and_method_are_those_that_made_it(found: dict[str, Any]) -> None:
    made = found["findings"]["dine_in_contribution"]
    assert made["cell"] == "body"
    assert made["statement"] == "find('dine_in_contribution', order.dine_in_contribution)"
    assert made["methods"] == ["channels.Order.dine_in_contribution"]
    assert found["findings"]["platform_gain"]["methods"] == ["channels.payback_months"]
    assert found["findings"]["fee_equal_ticket"]["methods"] == []
    assert found["methods"]["channels.payback_months"]["says"].startswith("Months until")


def test_the_strongest_comes_first_in_whatever_order_a_file_keeps_them(
    found: dict[str, Any],
) -> None:
    made = found["findings"]["platform_contribution"]
    sorted_by_letter = json.loads(json.dumps(made, sort_keys=True))
    assert moves(sorted_by_letter) == moves(made) == list(made["moves"].items())
    reach = [max(ends) - min(ends) for _, ends in moves(made)]
    assert reach == sorted(reach, reverse=True)


def test_a_lineage_that_no_longer_fits_is_not_taken(toy: Path, found: dict[str, Any]) -> None:
    assert lineage.read("restaurants") == found
    path = toy / "params" / "restaurants.yaml"
    stated = path.read_text(encoding="utf-8")
    path.write_text(yaml.safe_dump(yaml.safe_load(stated) | {"ticket": 99.0}), encoding="utf-8")
    assert lineage.read("restaurants") is None
    path.write_text(stated, encoding="utf-8")
    set_body(toy, BODY.replace("0.0 * p.revisit_share", "p.revisit_share"))
    assert lineage.read("restaurants") is None


def test_prose_decides_no_lineage(toy: Path, found: dict[str, Any]) -> None:
    path = toy / "notebooks" / "restaurants.ipynb"
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    notebook.cells[0].source = "# 另一个标题"
    nbformat.write(notebook, path)  # type: ignore[no-untyped-call]
    assert lineage.read("restaurants") == found


def test_a_notebook_that_stops_has_no_lineage(tiny_home: Path) -> None:
    set_body(tiny_home, BODY + "\nraise ValueError('no bread')")
    with pytest.raises(RunError, match=r"restaurants: its lineage cannot be found: .*no bread"):
        lineage.make("restaurants")
    assert not lineage.path("restaurants").exists()


@pytest.mark.parametrize("language", ["zh", "en"])
def test_explain_says_value_cell_method_parameters_and_origins(
    toy: Path, found: dict[str, Any], language: Any
) -> None:
    runs.run("restaurants", cases.parameters("restaurants"), formats=["html"])
    lines = lineage.explain("restaurants", "fee_equal_ticket", language)
    said = "\n".join(lines)
    assert "restaurants.ipynb, body" in said
    assert "equal = find('fee_equal_ticket', p.delivery_fee / p.commission_share)" in said
    assert "channels.Order.dine_in_contribution" in "\n".join(
        lineage.explain("restaurants", "dine_in_contribution", language)
    )
    moved = [line for line in lines if line.startswith("    ") and "→" in line]
    assert [line.split(" =")[0].strip() for line in moved] == list(
        found["findings"]["fee_equal_ticket"]["moves"]
    )
    assert {"zh": "文章所载", "en": "reported"}[language] in said
    none = {"zh": "不随任何参数变化", "en": "no parameter moves it"}[language]
    assert none in "\n".join(lineage.explain("restaurants", "order_gain", language))


def test_explain_refuses_what_is_not_known(toy: Path) -> None:
    with pytest.raises(CaseError, match="restaurants was not run: run o2o run restaurants"):
        lineage.explain("restaurants", "fee_equal_ticket", "en")
    runs.run("restaurants", cases.parameters("restaurants"), formats=["html"], languages=["en"])
    with pytest.raises(CaseError, match="no finding 'fee_equal'; did you mean"):
        lineage.explain("restaurants", "fee_equal", "en")
    with pytest.raises(CaseError, match="run o2o lineage restaurants"):
        lineage.explain("restaurants", "fee_equal_ticket", "en")

"""A small case of its own, so that the house is tested without any article."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from o2o_research import cases

CODE = nbformat.v4.new_code_cell
TEXT = nbformat.v4.new_markdown_cell


@pytest.fixture
def restaurants() -> cases.Parameters:
    return cases.case("restaurants").defaults


@pytest.fixture
def tiny_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with the restaurants' params and evidence, and a notebook of three cells."""
    home = tmp_path / "home"
    (home / "notebooks").mkdir(parents=True)
    (home / "params").mkdir()
    defaults = cases.case("restaurants").params.read_text(encoding="utf-8")
    (home / "params" / "restaurants.yaml").write_text(defaults, encoding="utf-8")
    declared = "\n".join(
        f"{key} = {value!r}" for key, value in cases.case("restaurants").defaults.items()
    )
    cells = [
        TEXT("# 标题", metadata={"tags": ["zh"]}, id="zh"),
        TEXT("# Title", metadata={"tags": ["en"]}, id="en"),
        CODE(declared, metadata={"tags": ["parameters"]}, id="parameters"),
        CODE(
            "from o2o_research.narrative import find, open_case, say\n"
            'p = open_case("restaurants", globals())\n'
            'fee = find("fee_equal_ticket", p.delivery_fee / p.commission_share)\n'
            'say(zh=f"佣金与配送费在 {fee.zh} 处相等。", en=f"They are equal at {fee.en}.")',
            id="body",
        ),
    ]
    notebook = nbformat.v4.new_notebook(
        cells=cells,
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
        },
    )
    nbformat.write(notebook, home / "notebooks" / "restaurants.ipynb")
    monkeypatch.setenv("O2O_HOME", str(home))
    return home


def set_body(home: Path, source: str) -> None:
    """Replace what the tiny notebook does after its parameters."""
    path = home / "notebooks" / "restaurants.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[-1].source = source
    nbformat.write(notebook, path)

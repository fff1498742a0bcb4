"""The documents say what is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import typer

from o2o_research import cases
from o2o_research.cli import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
COMMANDS = sorted(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def first_line(path: Path) -> str:
    doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return doc.split("\n", 1)[0].split("\n\n")[0].strip()


def test_the_inventory_of_the_architecture_page_is_the_code() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| `(o2o_research/[\w/]+\.py)` \| (.*?) \|$", page, re.M))
    modules = {
        str(path.relative_to(ROOT)): first_line(path)
        for path in sorted((ROOT / "o2o_research").rglob("*.py"))
    }
    assert listed == modules, "run scripts/inventory.py"


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("readme", ["README.md", "README.zh.md"])
def test_each_command_is_in_the_readme(command: str, readme: str) -> None:
    assert f"o2o {command}" in (ROOT / readme).read_text(encoding="utf-8")


@pytest.mark.parametrize("readme", ["README.md", "README.zh.md"])
def test_each_case_is_in_the_readme(readme: str) -> None:
    text = (ROOT / readme).read_text(encoding="utf-8")
    assert not [name for name in cases.case_names() if name not in text]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_each_model_has_its_page() -> None:
    models = {
        path.stem
        for path in (ROOT / "o2o_research" / "models").glob("*.py")
        if path.stem not in ("__init__", "numerics")
    } | {path.parent.stem for path in (ROOT / "o2o_research" / "models").glob("*/__init__.py")}
    pages = {path.stem for path in (ROOT / "docs" / "models").glob("*.md")}
    assert models <= pages
    index = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    assert not [name for name in pages if f"models/{name}.md" not in index]

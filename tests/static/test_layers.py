"""Imports point downward only."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "o2o_research"

# Each layer may import those of a lower rank, and its own.
RANK = {
    "errors": 0,
    "domain": 0,
    "texts": 0,
    "terms": 1,
    "evidence": 1,
    "cases": 2,
    "quotes": 2,
    "figures": 2,
    "charts": 3,
    "narrative": 3,
    "publishing": 4,
    "execution": 5,
    "cli_data": 6,
    "commands": 7,
    "cli": 8,
}
STUDIES_MAY = {"data", "errors", "models", "terms", "studies"}
MODELS_MAY = {"domain"}
DATA_MAY = {"errors", "domain", "terms", "texts"}
ALONE = {
    "papermill": "execution",
    "nbclient": "execution",
    "nbconvert": "publishing",
    "pypandoc": "publishing",
    "typst": "publishing",
    "duckdb": "data",
    "sqlglot": "data",
    "ibis": "data",
}
MODULES = sorted(PACKAGE.rglob("*.py"))


def layer(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: write imports in full"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def ours(path: Path) -> set[str]:
    parts = {name.split(".")[1] for name in imported(path) if name.startswith("o2o_research.")}
    return {
        part for part in parts if (PACKAGE / part).is_dir() or (PACKAGE / f"{part}.py").is_file()
    }


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_downward(path: Path) -> None:
    here = layer(path)
    if here == "__init__":
        assert not ours(path)
    elif here == "models":
        assert ours(path) <= MODELS_MAY | {"models"}
    elif here == "studies":
        assert ours(path) <= STUDIES_MAY
    elif here == "data":
        assert ours(path) <= DATA_MAY | {"data"}
    else:
        above = {name for name in ours(path) if RANK.get(name, -1) > RANK[here]}
        assert not above, f"{here} imports upward: {above}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_each_tool_is_known_to_one_layer_alone(path: Path) -> None:
    for name in imported(path):
        owner = ALONE.get(name.split(".")[0])
        # The command line looks whether the tools are there, and runs nothing with them.
        assert owner in (None, layer(path)) or layer(path) == "cli", f"{path} imports {name}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "models").rglob("*.py")), ids=lambda p: p.name)
def test_models_know_numbers_only(path: Path) -> None:
    tops = {name.split(".")[0] for name in imported(path)}
    assert not tops & {"pandas", "altair", "yaml", "json", "pathlib", "os", "IPython"}

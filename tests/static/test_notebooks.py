"""Every notebook is thin, paired, without outputs, and agrees with its params and evidence."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

from o2o_research import cases
from o2o_research.terms import terms

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CJK = re.compile(r"[\u3400-\u9fff]")
MATH = re.compile(r"\$\$.*?\$\$|\$[^$\n]+\$", re.S)
RESULT = re.compile(r"\d\s*(%|元|yuan|万|亿)")

notebooks = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)


def cells(path: Path, kind: str) -> list[Any]:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == kind]


def tags(cell: Any) -> list[str]:
    return list(cell.metadata.get("tags", []))


def calls(path: Path, verb: str) -> list[str]:
    """The first argument of every call of a verb."""
    found = []
    for cell in cells(path, "code"):
        for node in ast.walk(ast.parse(cell.source)):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id == verb
            ):
                argument = node.args[0]
                assert isinstance(argument, ast.Constant), (
                    f"{verb}: write the name out: {ast.unparse(node)[:60]}"
                )
                found.append(str(argument.value))
    return found


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


@notebooks
def test_markdown_comes_in_pairs_chinese_then_english(path: Path) -> None:
    texts = cells(path, "markdown")
    assert [tag for cell in texts for tag in tags(cell) if tag in ("zh", "en")] == ["zh", "en"] * (
        len(texts) // 2
    )
    for zh, en in zip(texts[::2], texts[1::2], strict=True):
        assert CJK.search(zh.source), zh.source[:60]
        assert not CJK.search(en.source), en.source[:60]
        # The same headings and the same formulas on either side.
        depth = [
            [line.split(" ")[0] for line in cell.source.splitlines() if line.startswith("#")]
            for cell in (zh, en)
        ]
        assert depth[0] == depth[1]
        assert len(MATH.findall(zh.source)) == len(MATH.findall(en.source))


@notebooks
def test_there_is_one_title(path: Path) -> None:
    titles = [
        line
        for cell in cells(path, "markdown")
        for line in cell.source.splitlines()
        if line.startswith("# ")
    ]
    assert len(titles) == 2


@notebooks
def test_code_is_read_not_programmed(path: Path) -> None:
    banned = (
        ast.FunctionDef,
        ast.AsyncFunctionDef,
        ast.ClassDef,
        ast.For,
        ast.While,
        ast.If,
        ast.Try,
        ast.With,
    )
    for cell in cells(path, "code"):
        if "parameters" in tags(cell):
            continue
        tree = ast.parse(cell.source)
        assert not [node for node in ast.walk(tree) if isinstance(node, banned)], cell.source
        assert len(tree.body) <= 12, f"{len(tree.body)} statements in one cell: {cell.source[:80]}"


@notebooks
def test_no_outputs_are_stored(path: Path) -> None:
    for cell in cells(path, "code"):
        assert not cell.outputs
        assert cell.execution_count is None


@notebooks
def test_cell_ids_are_words(path: Path) -> None:
    ids = [cell.id for cell in nbformat.read(path, as_version=4).cells]
    assert len(set(ids)) == len(ids)


@notebooks
def test_the_parameters_cell_equals_the_params_file(path: Path) -> None:
    (cell,) = [cell for cell in cells(path, "code") if "parameters" in tags(cell)]
    declared, stored = cases.declared(cell.source), cases.Case(path.stem).defaults
    assert declared == stored
    assert {key: type(value) for key, value in declared.items()} == {
        k: type(v) for k, v in stored.items()
    }


@notebooks
def test_every_parameter_and_finding_is_a_term(path: Path) -> None:
    known = terms()
    assert set(cases.Case(path.stem).defaults) <= set(known)
    names = calls(path, "find")
    assert set(names) <= set(known), set(names) - set(known)
    assert len(set(names)) == len(names)


@notebooks
def test_every_claim_is_judged_once(path: Path) -> None:
    assert sorted(calls(path, "judge")) == sorted(cases.Case(path.stem).evidence.claims)


@notebooks
def test_no_result_is_typed_into_markdown(path: Path) -> None:
    for cell in cells(path, "markdown"):
        prose = MATH.sub("", cell.source)
        assert not RESULT.search(prose), RESULT.search(prose)


@notebooks
def test_the_summary_is_there(path: Path) -> None:
    assert [cell for cell in cells(path, "code") if "summary" in tags(cell)]

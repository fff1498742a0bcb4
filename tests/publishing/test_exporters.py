"""Exporters by entry point, and ``publish``: whole or nothing, the same bytes every time."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbconvert.exporters import get_exporter

from o2o_research.errors import PublishError
from o2o_research.publishing import HTMLExporter, PDFExporter, publish
from o2o_research.terms import LANGUAGES

from .handmade import CASE


@pytest.mark.parametrize(
    ("name", "exporter"), [("o2o_html", HTMLExporter), ("o2o_pdf", PDFExporter)]
)
def test_nbconvert_finds_the_exporter_by_its_name(name: str, exporter: type) -> None:
    assert get_exporter(name) is exporter  # type: ignore[no-untyped-call]


def test_the_html_exporter_speaks_chinese_unless_told_otherwise(notebook: Any) -> None:
    zh, resources = HTMLExporter().from_notebook_node(notebook)
    en, _ = HTMLExporter(language="en").from_notebook_node(notebook)
    assert '<html lang="zh-Hans">' in zh
    assert '<html lang="en">' in en
    assert resources["output_extension"] == ".html"


def test_the_pdf_exporter_answers_bytes(notebook: Any) -> None:
    made, resources = PDFExporter(language="en").from_notebook_node(notebook)
    assert made.startswith(b"%PDF-1.7")
    assert resources["output_extension"] == ".pdf"


def test_publish_writes_four_files_and_nothing_else(notebook: Any, tmp_path: Path) -> None:
    paths = publish(notebook, tmp_path / "new")
    assert [path.name for path in paths] == [
        f"{CASE}.{language}.{kind}" for language in ("zh", "en") for kind in ("html", "pdf")
    ]
    assert sorted(paths) == sorted((tmp_path / "new").iterdir())


def test_publish_writes_only_what_is_asked_for(notebook: Any, tmp_path: Path) -> None:
    [path] = publish(notebook, tmp_path, languages=["en", "en"], formats=["html"])
    assert path.name == f"{CASE}.en.html"
    assert f"{CASE}.zh.html" not in path.read_text(encoding="utf-8")


def test_publish_reads_a_notebook_from_its_path_and_does_not_change_it(
    notebook: Any, tmp_path: Path
) -> None:
    path = tmp_path / "run.ipynb"
    nbformat.write(notebook, path)  # type: ignore[no-untyped-call]
    before, given = path.read_bytes(), copy.deepcopy(notebook)
    publish(path, tmp_path / "reports", formats=["html"])
    publish(notebook, tmp_path / "reports", formats=["html"])
    assert path.read_bytes() == before
    assert notebook == given


def test_a_report_that_cannot_be_made_leaves_the_folder_as_it_was(
    notebook: Any, tmp_path: Path
) -> None:
    publish(notebook, tmp_path, formats=["html"])
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    broken = copy.deepcopy(notebook)
    for language in LANGUAGES:
        said = broken.cells[-1].outputs[0].data["application/vnd.o2o.say+json"]
        said[language] = "[1](#f-nothing)"
    with pytest.raises(PublishError, match="#f-nothing"):
        publish(broken, tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot read"), ("{", "not a notebook"), ("\xff", "not a notebook")],
)
def test_what_is_no_notebook_is_refused(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "run.ipynb"
    if content is not None:
        path.write_text(content, encoding="latin-1")
    with pytest.raises(PublishError, match=message):
        publish(path, tmp_path)


def test_an_unknown_language_or_format_is_refused(notebook: Any, tmp_path: Path) -> None:
    with pytest.raises(PublishError, match="no 'fr' among zh, en"):
        publish(notebook, tmp_path, languages=["fr"])  # type: ignore[list-item]
    with pytest.raises(PublishError, match="no 'docx' among html, pdf"):
        publish(notebook, tmp_path, formats=["docx"])


def test_a_folder_that_cannot_be_written_is_refused(notebook: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PublishError, match="cannot write"):
        publish(notebook, tmp_path / "file", formats=["html"], languages=["en"])


def test_threads_publish_side_by_side_and_stay_where_they_are(
    notebook: Any, reports: dict[str, Path], tmp_path: Path
) -> None:
    before = Path.cwd()
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(lambda folder: publish(notebook, tmp_path / folder), ["a", "b"]))
    assert Path.cwd() == before
    for paths in made:
        for path in paths:
            assert path.read_bytes() == reports[path.name.removeprefix(f"{CASE}.")].read_bytes()


def test_another_process_with_another_hash_seed_writes_the_same_bytes(
    notebook: Any, reports: dict[str, Path], tmp_path: Path
) -> None:
    nbformat.write(notebook, tmp_path / "run.ipynb")  # type: ignore[no-untyped-call]
    code = (
        "import sys; from o2o_research.publishing import publish; publish(sys.argv[1], sys.argv[2])"
    )
    subprocess.run(
        [sys.executable, "-c", code, "run.ipynb", "made"],
        cwd=tmp_path,
        check=True,
        env={
            **os.environ,
            "PYTHONHASHSEED": "77",
            "PYTHONPATH": os.pathsep.join(sys.path),
            "TZ": "Asia/Shanghai",
        },
    )
    for name, path in reports.items():
        assert (tmp_path / "made" / f"{CASE}.{name}").read_bytes() == path.read_bytes()


def test_reports_hold_no_path_of_the_machine_that_made_them(reports: dict[str, Path]) -> None:
    for path in reports.values():
        assert str(Path.home()).encode() not in path.read_bytes()
        assert str(Path(__file__).parents[2]).encode() not in path.read_bytes()

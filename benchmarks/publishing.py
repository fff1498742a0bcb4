"""Seconds from one executed notebook to zh and en, HTML and PDF, against nbconvert + WeasyPrint.

    o2o run restaurants
    python benchmarks/publishing.py reports/restaurants/restaurants.ipynb --peer VENV/bin/python

The peer is ``jupyter nbconvert``'s own HTML exporter, the other language removed by tag, and
WeasyPrint on what it makes; WeasyPrint is no dependency of this package, so it lives in a venv of
its own (``pip install weasyprint``). nbconvert draws no charts: the peer is handed them as finished
SVG, and so are we. Both sides are warm and run in turn.
"""

from __future__ import annotations

import argparse
import copy
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import nbformat
from nbconvert.exporters import HTMLExporter
from nbconvert.preprocessors import TagRemovePreprocessor

from o2o_research.narrative import CHART
from o2o_research.publishing import figures, publish
from o2o_research.publishing.document import compose
from o2o_research.publishing.pdf import render
from o2o_research.terms import LANGUAGES

# Answers each path of a page with the path of its PDF, until the end.
WEASYPRINT = """
import sys, logging, weasyprint
logging.disable()
for line in sys.stdin:
    page = line.strip()
    weasyprint.HTML(page).write_pdf(page + ".pdf")
    print(page + ".pdf", flush=True)
"""


def with_pictures(notebook: Any) -> Any:
    """The notebook as a peer without our bundles would meet it: charts as SVG."""
    notebook = copy.deepcopy(notebook)
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if CHART in output.get("data", {}):
                picture = figures.draw(output.data[CHART], "en")[1]
                output.data = nbformat.from_dict({"image/svg+xml": picture})  # type: ignore[no-untyped-call]
    return notebook


def theirs(notebook: Any, folder: Path, weasyprint: subprocess.Popen[str]) -> None:
    for language, other in (LANGUAGES, LANGUAGES[::-1]):
        exporter = HTMLExporter(exclude_input=True)
        exporter.register_preprocessor(
            TagRemovePreprocessor(remove_cell_tags={other}, enabled=True), enabled=True
        )
        page = folder / f"{language}.html"
        page.write_text(exporter.from_notebook_node(notebook)[0], encoding="utf-8")
        assert weasyprint.stdin is not None
        assert weasyprint.stdout is not None
        print(page, file=weasyprint.stdin, flush=True)
        weasyprint.stdout.readline()


def ours(notebook: Any, folder: Path) -> None:
    publish(notebook, folder)


def seconds(work: Any, *arguments: Any) -> float:
    start = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebook", type=Path, nargs="?", help="an executed notebook")
    parser.add_argument("--peer", help="the Python of a venv with WeasyPrint")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    found = options.notebook or next(Path("reports").glob("*/*.ipynb"), None)
    if found is None:
        print("publishing: no executed notebook; run 'o2o run restaurants' first")
        return
    notebook = nbformat.read(found, as_version=4)  # type: ignore[no-untyped-call]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours(notebook, folder)
        document = compose(notebook, "zh")
        render(document, {})
        one = median(seconds(render, document, {}) for _ in range(options.rounds))
        print(f"one PDF from a composed document: {one:.2f} s")
        if options.peer is None:
            own = median(seconds(ours, notebook, folder) for _ in range(options.rounds))
            print(f"four reports: {own:.2f} s; peer skipped: no --peer with WeasyPrint")
            return
        pictured = with_pictures(notebook)
        command = [options.peer, "-c", WEASYPRINT]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as weasyprint:
            theirs(pictured, folder, weasyprint)
            taken = [
                (seconds(ours, notebook, folder), seconds(theirs, pictured, folder, weasyprint))
                for _ in range(options.rounds)
            ]
        own, peer = (median(times) for times in zip(*taken, strict=True))
        print(f"four reports: {own:.2f} s, peer {peer:.2f} s: {peer / own:.1f} times as fast")


if __name__ == "__main__":
    main()

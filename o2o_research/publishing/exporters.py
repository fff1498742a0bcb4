"""The nbconvert exporters, and ``publish``, which writes every report of a notebook at once."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import Any

import nbformat
from nbconvert.exporters import Exporter
from traitlets import Enum

from o2o_research.errors import PublishError
from o2o_research.publishing import figures, page, pdf
from o2o_research.publishing.document import Document, compose
from o2o_research.terms import LANGUAGES, Language

# A format's writer takes the document and the files beside it: ``{(language, format): name}``.
Beside = dict[tuple[Language, str], str]
FORMATS: dict[str, Callable[[Document, Beside], bytes]] = {"html": page.render, "pdf": pdf.render}


class _ReportExporter(Exporter):
    """One report of an executed notebook, in one language."""

    language = Enum(LANGUAGES, default_value="zh", help="language of the report").tag(config=True)
    format = ""

    def from_notebook_node(
        self, nb: Any, resources: dict[str, Any] | None = None, **kw: Any
    ) -> tuple[Any, dict[str, Any]]:
        nb, resources = super().from_notebook_node(nb, resources, **kw)
        content = FORMATS[self.format](compose(nb, self.language), {})
        return content.decode() if self.format == "html" else content, resources


class HTMLExporter(_ReportExporter):
    """``jupyter nbconvert --to o2o_html``: one self-contained page."""

    format = "html"
    file_extension = ".html"
    output_mimetype = "text/html"
    export_from_notebook = "O2O report (HTML)"


class PDFExporter(_ReportExporter):
    """``jupyter nbconvert --to o2o_pdf``: an accessible, archivable PDF."""

    format = "pdf"
    file_extension = ".pdf"
    output_mimetype = "application/pdf"
    export_from_notebook = "O2O report (PDF)"


def warm() -> None:
    """Load what every report needs once a process and takes seconds, while others still work."""
    figures.runtime()
    figures.warm()


def publish(
    notebook: str | Path | nbformat.NotebookNode,
    folder: str | Path,
    languages: Sequence[Language] = LANGUAGES,
    formats: Sequence[str] = ("html", "pdf"),
) -> list[Path]:
    """Write an executed notebook's reports, ``<case>.<language>.<format>``, and say where they are.

    Nothing is written unless every report can be: a report that cannot be made whole leaves the
    folder as it was.

    Raises
    ------
    PublishError
        The notebook cannot be read, was not executed, or a report cannot be made whole.
    """
    for given, known in ((languages, LANGUAGES), (formats, tuple(FORMATS))):
        if unknown := [entry for entry in given if entry not in known]:
            raise PublishError(f"no {unknown[0]!r} among {', '.join(known)}")
    executed = _read(notebook)
    languages, formats = list(dict.fromkeys(languages)), list(dict.fromkeys(formats))
    # pandoc and Typst work outside the interpreter: threads let them work side by side.
    with ThreadPoolExecutor(max(1, len(languages) * len(formats))) as pool:
        documents = list(pool.map(compose, repeat(executed), languages))
        wanted = [(document, kind) for document in documents for kind in formats]
        beside: Beside = {
            (document.language, kind): f"{document.case}.{document.language}.{kind}"
            for document, kind in wanted
        }
        made = pool.map(lambda report: FORMATS[report[1]](report[0], beside), wanted)
        reports = dict(zip(beside.values(), made, strict=True))
    target = Path(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
        return [_write(target / name, content) for name, content in reports.items()]
    except OSError as error:
        raise PublishError(f"cannot write {error.filename or target}: {error.strerror}") from error


def _read(notebook: str | Path | nbformat.NotebookNode) -> nbformat.NotebookNode:
    if isinstance(notebook, nbformat.NotebookNode):
        return notebook
    try:
        content: nbformat.NotebookNode = nbformat.reads(  # type: ignore[no-untyped-call]
            Path(notebook).read_text(encoding="utf-8"), as_version=4
        )
        return content
    except OSError as error:
        raise PublishError(f"cannot read {notebook}: {error.strerror}") from error
    except (UnicodeDecodeError, nbformat.reader.NotJSONError, nbformat.ValidationError) as error:
        raise PublishError(f"{notebook}: not a notebook") from error


def _write(path: Path, content: bytes) -> Path:
    """Written beside and renamed, so that a reader never meets half a report."""
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(beside, 0o644)
        os.replace(beside, path)
    except BaseException:
        os.unlink(beside)
        raise
    return path

"""From published runs to a folder of pages, written beside its place and renamed."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from pathlib import Path

from o2o_research import cases
from o2o_research.errors import PublishError
from o2o_research.publishing import agreement
from o2o_research.publishing.document import template
from o2o_research.publishing.site import pages
from o2o_research.publishing.site.downloads import chart_csv
from o2o_research.publishing.site.markup import bar
from o2o_research.publishing.site.volumes import Volume, shelf
from o2o_research.publishing.words import word
from o2o_research.terms import LANGUAGES, Language


def build(reports: Path | None = None, out: Path | None = None) -> Path:
    """Make the site of all cases in ``reports/site`` and say where its index is.

    Raises
    ------
    PublishError
        A case was not published, or two pages of the site disagree on a number.
    """
    reports = reports or cases.home() / "reports"
    out = out or reports / "site"
    volumes = shelf(reports)
    files = {name: content.encode() for name, content in _files(volumes)}
    agreement.check_site(
        {name: content.decode() for name, content in files.items() if name.endswith(".html")},
        {volume.case: volume.record for volume in volumes},
    )
    for volume in volumes:
        for language in LANGUAGES:
            pdf = volume.folder / f"{volume.case}.{language}.pdf"
            if pdf.is_file():
                files[pdf.name] = pdf.read_bytes()
    _write(files, out)
    return out / "index.html"


def _files(volumes: list[Volume]) -> list[tuple[str, str]]:
    found = [entry for language in LANGUAGES for entry in pages.every(volumes, language)]
    for volume in volumes:
        for language in LANGUAGES:
            found.append((f"{volume.case}.{language}.html", _report(volume, language)))
        folder = f"data/{volume.case}"
        found.append((f"{folder}/findings.json", _json(volume.record.as_json())))
        if volume.lineage:
            found.append((f"{folder}/lineage.json", _json(volume.lineage)))
        found += [(f"{folder}/{chart['name']}.csv", chart_csv(chart)) for chart in volume.charts]
    # The door: the Chinese index under the name that a folder opens with.
    found.append(("index.html", next(text for name, text in found if name == "index.zh.html")))
    return found


def _report(volume: Volume, language: Language) -> str:
    """A report with the site's navigation, its rows of results linked to where they come from."""
    page = volume.pages[language].replace("</style>", template("site.css") + "</style>", 1)
    skip = re.search(r'<a class="skip"[^>]*>[^<]*</a>', page)
    if skip is None:
        raise PublishError(f"{volume.case}.{language}.html is no page of ours")
    page = page[: skip.end()] + "\n" + bar(volume.case, language, "index") + page[skip.end() :]

    def traced(row: re.Match[str]) -> str:
        address = pages.traced(volume, row.group(1), language)
        return f'<span id="f-{row.group(1)}"><a href="{address}">{row.group(2)}</a></span>'

    page = re.sub(r'<span id="f-(\w+)">([^<]*)</span>', traced, page)
    # The bar has the switch; the line under the title keeps what else it has.
    other = re.escape(word("other", language))
    return re.sub(rf'(<p class="others">)<a [^>]*hreflang[^>]*>{other}</a> ?', r"\1", page)


def _json(content: object) -> str:
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def _write(files: dict[str, bytes], out: Path) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
        beside.chmod(0o755)
        for name, content in sorted(files.items()):
            target = beside / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        old = beside.with_name(beside.name + ".old")
        if out.exists():
            os.rename(out, old)
        os.rename(beside, out)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise PublishError(f"cannot write {error.filename or out}: {error.strerror}") from error

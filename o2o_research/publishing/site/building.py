"""From published runs to a folder of pages, written beside its place and renamed."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from o2o_research import cases
from o2o_research.errors import PublishError
from o2o_research.narrative import Record, recorded
from o2o_research.publishing import agreement
from o2o_research.publishing.document import template
from o2o_research.publishing.site import pages
from o2o_research.publishing.site.downloads import chart_csv
from o2o_research.publishing.site.markup import bar
from o2o_research.publishing.site.volumes import Volume, shelf
from o2o_research.publishing.words import word
from o2o_research.terms import LANGUAGES, Language

# What the site holds, by content.
STAMP = "site.json"


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
    _agree(files, {volume.case: volume.record for volume in volumes})
    for volume in volumes:
        for language in LANGUAGES:
            pdf = volume.folder / f"{volume.case}.{language}.pdf"
            if pdf.is_file():
                files[pdf.name] = pdf.read_bytes()
    files[STAMP] = _json({name: _digest(files[name]) for name in sorted(files)}).encode()
    _write(files, out)
    return out / "index.html"


def read(place: Path) -> dict[str, Record]:
    """What each case of a site found, after a check that the site is as it was built.

    Raises
    ------
    PublishError
        A file is missing, changed or new, or a page prints another number than its case found.
    """
    try:
        stated = json.loads((place / STAMP).read_text(encoding="utf-8"))
        held = {path.relative_to(place).as_posix(): path for path in place.rglob("*")}
        files = {name: path.read_bytes() for name, path in held.items() if path.is_file()}
        records = {
            name.split("/")[1]: recorded(json.loads(content))
            for name, content in files.items()
            if name.endswith("/findings.json")
        }
    except (OSError, ValueError, KeyError) as error:
        raise PublishError(f"{place}: no site: {error}") from error
    del files[STAMP]
    # What a page says comes before what it was: the message names the number.
    _agree(files, records)
    for name in sorted(stated.keys() | files.keys()):
        if name not in files or _digest(files[name]) != stated.get(name):
            raise PublishError(f"{place}: {name} is not the file that was built")
    return records


def _agree(files: Mapping[str, bytes], records: Mapping[str, Record]) -> None:
    pages = {name: files[name].decode() for name in files if name.endswith(".html")}
    agreement.check_site(pages, records)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


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

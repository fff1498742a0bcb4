"""Two runs side by side, and a run against itself made again."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any

import nbformat

from o2o_research import cases
from o2o_research.errors import CaseError, RunError
from o2o_research.execution import cache, runs
from o2o_research.execution.injection import TAG


@dataclass(frozen=True)
class Change:
    """One entry that differs: ``kind`` is parameter, finding or verdict; None where it is missing."""

    kind: str
    name: str
    before: Any
    after: Any

    def __str__(self) -> str:
        moved = ""
        if isinstance(self.before, float) and isinstance(self.after, float) and self.before:
            moved = f"  ({(self.after - self.before) / abs(self.before):+.2%})"
        return f"{self.kind} {self.name}: {_said(self.before)} -> {_said(self.after)}{moved}"


def record(place: Path) -> dict[str, Any]:
    """The findings of a run's folder, or of a findings.json."""
    file = place / "findings.json" if place.is_dir() else place
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if not {"parameters", "findings", "verdicts"} <= set(content):
            raise ValueError("no findings of a run")
    except (OSError, ValueError) as error:
        raise CaseError(f"{place}: no run: {error}") from error
    return dict(content)


def changes(before: Any, after: Any, tolerance: float = 0.0) -> list[Change]:
    """What differs between two records; numbers by more than ``tolerance`` of the larger one."""
    found = []
    for kind, key in (
        ("parameter", "parameters"),
        ("finding", "findings"),
        ("verdict", "verdicts"),
    ):
        old, new = _flat(before[key], kind), _flat(after[key], kind)
        for name in dict.fromkeys([*old, *new]):
            pair = old.get(name), new.get(name)
            limit = 0.0 if kind == "parameter" else tolerance
            if not _same(*pair, limit):
                found.append(Change(kind, name, *pair))
    return found


def verify(place: Path, tolerance: float = 0.0) -> list[Change]:
    """Execute a run again from its manifest; what differs, which is nothing if it holds.

    Of a site, every case is executed again with the parameters that the site states.

    Raises
    ------
    CaseError
        No run, one that is not ``ok`` or not whole, or whose data are not those it read.
    PublishError
        A page of a site is not what was built, or says another number than its case found.
    RunError
        It does not run any more.
    """
    from o2o_research.publishing import site

    if (place / site.STAMP).is_file():
        return [
            replace(change, name=f"{case} {change.name}")
            for case, stated in site.read(place).items()
            for change in changes(
                stated.as_json(), _again(case, cases.check(case, stated.parameters)), tolerance
            )
        ]
    try:
        said = json.loads((place / "run.json").read_text(encoding="utf-8"))
        manifest = json.loads((place / "manifest.json").read_text(encoding="utf-8"))
        if said["state"] != "ok":
            raise CaseError(f"{place}: the run is {said['state']}, there is nothing to verify")
        made = said["files"] | _published(place)
        if not cache.whole(place, {"files": made}):
            raise CaseError(f"{place}: a file is not the one that the run wrote")
    except (OSError, ValueError, KeyError) as error:
        raise CaseError(f"{place}: no run: {error}") from error
    name = manifest["case"]
    parameters = cases.check(name, _given(place, manifest))
    now = json.loads(json.dumps(cache.manifest(name, parameters), default=str))
    if now["data"] != manifest["data"]:
        raise CaseError(f"{place}: the data are not those that the run read")
    return changes(record(place), _again(name, parameters), tolerance)


def _again(name: str, parameters: cases.Parameters) -> Any:
    """What a case finds when it is executed now."""
    executed = runs.execute(name, parameters)
    failure = executed.error()
    if failure is not None:
        raise failure if isinstance(failure, RunError) else RunError(str(failure))
    return json.loads(runs.contents(executed)["findings.json"])


def _published(place: Path) -> dict[str, str]:
    """The reports in a run's folder, by content; none where it was not published."""
    stamp = place / runs.STAMP
    found: dict[str, str] = {}
    if stamp.is_file():
        found = json.loads(stamp.read_text(encoding="utf-8"))["files"]
    return found


def page(before: Path, after: Path, found: list[Change]) -> str:
    """The differences as a page of its own."""
    rows = "\n".join(
        f"<tr><td>{escape(c.kind)}</td><td><code>{escape(c.name)}</code></td>"
        f"<td>{escape(_said(c.before))}</td><td>{escape(_said(c.after))}</td></tr>"
        for c in found
    )
    title = f"{before} / {after}"
    table = (
        "<table><thead><tr><th>类别 / kind</th><th>名称 / name</th><th>前 / before</th>"
        f"<th>后 / after</th></tr></thead><tbody>\n{rows}\n</tbody></table>"
        if found
        else "<p>没有差别 / no differences</p>"
    )
    return (
        '<!DOCTYPE html>\n<html lang="zh-Hans">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{escape(title)}</title>\n<style>body{{font:1rem/1.6 system-ui,sans-serif;"
        "max-width:60rem;margin:2rem auto;padding:0 1rem}td,th{text-align:left;padding:.2rem .8rem;"
        "border-bottom:1px solid #ddd}</style>\n</head>\n<body>\n"
        f"<h1>{escape(title)}</h1>\n{table}\n</body>\n</html>\n"
    )


def _given(place: Path, manifest: Any) -> dict[str, Any]:
    """The parameters, the paths of data from the cell that held them: manifests hold no paths."""
    values = dict(manifest["parameters"])
    if any(cache.is_file(key) and value for key, value in values.items()):
        notebook = nbformat.read(  # type: ignore[no-untyped-call]
            place / f"{manifest['case']}.ipynb", as_version=4
        )
        cell = next(c for c in notebook.cells if TAG in c.metadata.get("tags", ()))
        values |= {k: v for k, v in cases.declared(cell.source).items() if cache.is_file(k)}
    return values


def _flat(entries: Any, kind: str) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, entry in entries.items():
        if kind == "parameter":
            flat[name] = entry
        elif kind == "verdict":
            flat[name] = entry["verdict"]
        else:
            flat[name] = _number(entry["value"])
            for end in ("low", "high"):
                if entry[end] is not None:
                    flat[f"{name}.{end}"] = _number(entry[end])
    return flat


def _number(value: Any) -> float:
    return float(value)


def _same(before: Any, after: Any, tolerance: float) -> bool:
    if isinstance(before, float) and isinstance(after, float):
        if math.isnan(before) and math.isnan(after):
            return True
        return before == after or abs(before - after) <= tolerance * max(abs(before), abs(after))
    return type(before) is type(after) and bool(before == after)


def _said(value: Any) -> str:
    if value is None:
        return "—"
    return f"{value:.6g}" if isinstance(value, float) else str(value)

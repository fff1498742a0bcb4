"""What decides a run's result, as one key; and the run that had the same key before.

The code that counts is what the notebook imports: one changed model re-runs the cases that use
it, and no others. Prose does not count: it is taken from the notebook as it is now, the outputs
from the run that is known.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nbformat

from o2o_research import __version__, cases, quotes
from o2o_research.data import identity, named
from o2o_research.errors import CaseError
from o2o_research.execution import lineage
from o2o_research.execution.injection import inject
from o2o_research.terms import term

LIBRARIES = (
    "numpy",
    "scipy",
    "pandas",
    "numba",
    "ibis-framework",
    "duckdb",
    "altair",
    "papermill",
    "nbconvert",
    "pypandoc_binary",
    "typst",
    "vl-convert-python",
)
PACKAGE = Path(__file__).resolve().parents[1]


def manifest(name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """All that decides a run's result; no time, no path of a machine, no secret."""
    shown = {
        key: named(value) if is_file(key) and value else value for key, value in parameters.items()
    }
    reads = quotes.digests(name)
    return {
        "case": name,
        "parameters": shown,
        "data": {
            key: identity(value) for key, value in parameters.items() if is_file(key) and value
        },
        "version": __version__,
        "commit": commit(),
        "code": code_hash(name),
        "numbers": lineage.key(name),
        **({"reads": reads} if reads else {}),
        **_installed(),
        "seed": parameters.get("seed"),
    }


@lru_cache(maxsize=1)
def _installed() -> dict[str, Any]:
    """What stays as it is while a process lives."""
    lock = PACKAGE.parent / "requirements.lock"
    return {
        "lock": _digest(lock.read_bytes()) if lock.is_file() else None,
        "python": ".".join(map(str, sys.version_info[:3])),
        "libraries": {library: version(library) for library in LIBRARIES},
    }


def key(manifest: Mapping[str, Any]) -> str:
    """One text for all that decides: everything in the manifest but the commit."""
    decides = {entry: value for entry, value in manifest.items() if entry != "commit"}
    return _digest(json.dumps(decides, sort_keys=True, default=str).encode())


def knowable(manifest: Mapping[str, Any]) -> bool:
    """Whether the same key means the same data: the rows of a database have no hash."""
    return all(part["sha256"] is not None for read in manifest["data"].values() for part in read)


def is_file(parameter: str) -> bool:
    return term(parameter).unit.en == "file"


def code_hash(name: str) -> str:
    """Of a notebook's code cells and of all of ours that they import, by content."""
    case = cases.case(name)
    digest = hashlib.sha256()
    cells = _cells(case.notebook.read_bytes())
    digest.update("\0".join(cells).encode())
    # Plausible values are drawn around the defaults, whatever values are given.
    digest.update(_values(case.params, case.params.read_bytes()).encode())
    for path in sources(name, cells):
        digest.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0")
        digest.update(_text(path).encode() + b"\0")
    return digest.hexdigest()


def unchanged(name: str, code: str) -> bool:
    """Whether a case's code is still that of the hash; a notebook half written is another."""
    try:
        return code_hash(name) == code
    except (OSError, ValueError, CaseError):
        return False


def _text(path: Path) -> str:
    """A file of ours; nothing where an editor is just putting another in its place."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


@lru_cache(maxsize=64)
def _cells(notebook: bytes) -> tuple[str, ...]:
    """The code cells of a notebook's file."""
    read = nbformat.reads(notebook.decode(), as_version=4)  # type: ignore[no-untyped-call]
    return tuple(cell.source for cell in read.cells if cell.cell_type == "code")


@lru_cache(maxsize=64)
def _values(path: Path, content: bytes) -> str:
    """A params file without its comments."""
    return json.dumps(cases.read_yaml(path), default=str)


def source_notebook(name: str) -> Any:
    """A case's notebook as it is stored."""
    return nbformat.read(cases.case(name).notebook, as_version=4)  # type: ignore[no-untyped-call]


def sources(name: str, cells: Iterable[str]) -> list[Path]:
    """The files of the package that the result of a case's code cells may depend on, sorted."""
    wanted: set[Path] = set()
    waiting = [path for cell in cells for path in _imported(_plain(cell))]
    while waiting:
        path = waiting.pop()
        if path not in wanted:
            wanted.add(path)
            waiting.extend(_imported(_text(path)))
    code = "\n".join(_text(path) for path in wanted)
    # A module that names a table shipped with the package reads it.
    tables = {path for path in PACKAGE.rglob("*.yaml") if f'"{path.name}"' in code}
    evidence = PACKAGE / "evidence" / f"{name}.yaml"
    return sorted(wanted | tables | ({evidence} if evidence.is_file() else set()))


def known(folder: Path, name: str, wanted: str, parameters: Mapping[str, Any]) -> Any:
    """The executed notebook of the good run in ``folder`` if its key is the wanted one, or None.

    The text is that of the notebook as it is now. A folder whose files are not those that the run
    wrote is no run.
    """
    try:
        about = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        if about["state"] != "ok" or about["key"] != wanted or not whole(folder, about):
            return None
        before = nbformat.read(  # type: ignore[no-untyped-call]
            folder / f"{name}.ipynb", as_version=4
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    notebook = inject(source_notebook(name), parameters)
    outputs = iter([cell for cell in before.cells if cell.cell_type == "code"])
    for cell in notebook.cells:
        if cell.cell_type == "code":
            earlier = next(outputs, None)
            if earlier is None or earlier.source != cell.source:
                return None
            cell.outputs, cell.execution_count = earlier.outputs, earlier.execution_count
    notebook.metadata["language_info"] = before.metadata.get("language_info", {})
    return notebook


def whole(folder: Path, about: Mapping[str, Any]) -> bool:
    """Whether the files are, byte for byte, those that ``run.json`` says were written."""
    return bool(about["files"]) and all(
        (folder / file).is_file() and _digest((folder / file).read_bytes()) == digest
        for file, digest in about["files"].items()
    )


def commit() -> str | None:
    """The commit of the project that runs, where it is a repository."""
    return _commit(cases.home())


@lru_cache(maxsize=8)
def _commit(home: Path) -> str | None:
    try:
        answer = subprocess.run(
            ["git", "-C", str(home), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return None
    return answer.stdout.strip() or None if answer.returncode == 0 else None


def _plain(source: str) -> str:
    """A cell without the lines that are IPython's own, which Python cannot parse."""
    return "\n".join(
        "" if line.lstrip().startswith(("%", "!", "?")) else line for line in source.splitlines()
    )


@lru_cache(maxsize=1024)
def _imported(source: str) -> tuple[Path, ...]:
    """The files of ours that Python source imports, wherever in it."""
    try:
        names = lineage.imports(source)
    except SyntaxError:
        return tuple(sorted(PACKAGE.rglob("*.py")))  # anything may be imported
    return tuple(sorted({path for name in names for path in _files(name)}))


def _files(name: str) -> Iterator[Path]:
    """A module's file and those of the packages around it."""
    if name.partition(".")[0] != PACKAGE.name:
        return
    path = PACKAGE
    yield path / "__init__.py"
    for part in name.split(".")[1:]:
        path = path / part
        if path.with_suffix(".py").is_file():
            yield path.with_suffix(".py")
        elif (path / "__init__.py").is_file():
            yield path / "__init__.py"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()

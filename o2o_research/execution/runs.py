"""One run: checked parameters in, a whole directory out, or an error and nothing.

A run is written beside its place and renamed into it when it is whole. One that fails leaves
the last good run where it was, and itself in ``<place>.failed`` with its state and, unless the
kernel died, the notebook up to the cell that stopped it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nbformat

from o2o_research import __version__, cases, narrative
from o2o_research.data import identity, named
from o2o_research.errors import CaseError, DataError, RunError
from o2o_research.terms import LANGUAGES, Language, term

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

# The same numbers on any number of cores, and in any process.
_KERNEL_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
    "O2O_LANG": "zh",
}
_OURS = {"CaseError": CaseError, "DataError": DataError}
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Run:
    """A finished run: where it lies, its record, and the files a reader gets."""

    folder: Path
    record: narrative.Record
    reports: tuple[Path, ...]
    seconds: float


def run(
    name: str,
    parameters: cases.Parameters,
    out: Path | None = None,
    *,
    languages: Sequence[Language] = LANGUAGES,
    formats: Sequence[str] = ("html", "pdf"),
    progress: bool = False,
    fresh: bool = False,
) -> Run:
    """Execute a case and publish it into ``out`` (``reports/<case>`` by default).

    A folder that holds a good run of the same parameters, data, notebook and models is not
    executed again, only published; ``fresh`` executes all the same.

    ``parameters`` are those that ``cases.parameters`` or ``cases.check`` answered.

    Raises
    ------
    CaseError, DataError
        The input is at fault: nothing is written.
    RunError
        The notebook stopped, with its state; ``<out>.failed`` holds what is needed to see why.
    PublishError
        The report cannot be made whole; likewise.
    """
    case = cases.case(name)
    out = out or cases.home() / "reports" / name
    start = time.monotonic()
    _make_parent(out)
    with _beside(out) as folder:
        executed = folder / f"{name}.ipynb"
        try:
            if fresh or not _reused(out, name, parameters, executed):
                _execute(case.notebook, executed, parameters, progress)
            notebook = _tidied(executed)
            record = narrative.read(notebook)
            _write(folder / "findings.json", record.as_json())
            _write(folder / "manifest.json", manifest(name, parameters))
            nbformat.write(notebook, executed)  # type: ignore[no-untyped-call]
            reports = publish(notebook, folder, languages=languages, formats=formats)
        except (CaseError, DataError):
            raise
        except BaseException as error:
            state = error.state if isinstance(error, RunError) else "failed"
            if isinstance(error, KeyboardInterrupt):
                state = "interrupted"
            _write(
                folder / "run.json",
                {
                    "state": state,
                    "why": _ANSI.sub("", str(error)),
                    "seconds": round(time.monotonic() - start, 3),
                },
            )
            _move(folder, out.with_name(out.name + ".failed"))
            raise
        seconds = time.monotonic() - start
        _write(folder / "run.json", {"state": "ok", "seconds": round(seconds, 3)})
        _move(folder, out)
    shutil.rmtree(out.with_name(out.name + ".failed"), ignore_errors=True)
    return Run(out, record, tuple(out / path.name for path in reports), seconds)


def manifest(name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """All that decides a run's result; no time, no path of a machine, no secret."""
    shown = {
        key: named(value) if _is_file(key) and value else value for key, value in parameters.items()
    }
    return {
        "case": name,
        "parameters": shown,
        "data": {
            key: identity(value) for key, value in parameters.items() if _is_file(key) and value
        },
        "version": __version__,
        "commit": _commit(),
        "code": _code_hash(name),
        "python": ".".join(map(str, sys.version_info[:3])),
        "libraries": {library: version(library) for library in LIBRARIES},
        "seed": parameters.get("seed"),
    }


def _reused(out: Path, name: str, parameters: Mapping[str, Any], target: Path) -> bool:
    """Whether ``out`` holds a good run of the very same input, whose notebook then is taken."""
    try:
        state = json.loads((out / "run.json").read_text(encoding="utf-8"))["state"]
        before = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
        now = json.loads(json.dumps(manifest(name, parameters), default=str))
        if state != "ok" or any(before[key] != now[key] for key in now if key != "commit"):
            return False
        # The rows of a database have no hash: nobody knows whether they are the same.
        if any(each["sha256"] is None for read in now["data"].values() for each in read):
            return False
        shutil.copyfile(out / f"{name}.ipynb", target)
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return True


def _warm() -> None:
    from o2o_research.publishing import warm

    warm()


def publish(*arguments: Any, **options: Any) -> list[Path]:
    """``publishing.publish``, imported when first used."""
    from o2o_research.publishing import publish as write

    return write(*arguments, **options)


def _is_file(key: str) -> bool:
    return term(key).unit.en == "file"


def _execute(source: Path, target: Path, parameters: Mapping[str, Any], progress: bool) -> None:
    """Plain papermill, a kernel a run; its failures turned into states or the user's own errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import papermill
        from nbclient.exceptions import CellTimeoutError, DeadKernelError
        from papermill.exceptions import PapermillExecutionError

    try:
        # What publishing needs takes seconds to load: it loads while the notebook runs.
        with _environment(_KERNEL_ENVIRONMENT), ThreadPoolExecutor(1) as meanwhile:
            meanwhile.submit(_warm)
            papermill.execute_notebook(
                str(source),
                str(target),
                parameters=dict(parameters),
                kernel_name="python3",
                # Saving after every cell validates the whole notebook every time.
                request_save_on_cell_execute=False,
                autosave_cell_every=0,
                # The kernel warns on every start of a transport that stays on this machine.
                extra_arguments=["--log-level=ERROR"],
                progress_bar={"desc": source.stem, "leave": False} if progress else False,
            )
    except PapermillExecutionError as error:
        if error.ename in _OURS:
            raise _OURS[error.ename](_ANSI.sub("", str(error.evalue))) from None
        raise RunError(
            f"{source.stem}: cell {error.exec_count} failed: {error.ename}: {error.evalue}"
        ) from None
    except DeadKernelError:
        raise RunError(f"{source.stem}: the kernel died", "killed") from None
    except CellTimeoutError as error:
        raise RunError(f"{source.stem}: {error}", "timeout") from None


def _tidied(path: Path) -> Any:
    """The executed notebook without what differs from run to run: times, ids, paths."""
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    notebook.metadata.pop("papermill", None)
    for number, cell in enumerate(notebook.cells):
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        if "injected-parameters" in cell.metadata.get("tags", ()):
            cell["id"] = "injected-parameters"
        elif not cell.get("id"):
            cell["id"] = f"cell-{number}"
    return notebook


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {key: os.environ.get(key) for key in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value


def _make_parent(out: Path) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CaseError(f"cannot write to {out.parent}: {error.strerror}") from error
    if out.exists() and not out.is_dir():
        raise CaseError(f"cannot write to {out}: a file of that name is there")
    if out.is_dir() and any(out.iterdir()) and not (out / "findings.json").is_file():
        raise CaseError(f"{out} holds something else than a run; name an empty or a new folder")


@contextmanager
def _beside(out: Path) -> Iterator[Path]:
    """A folder on the same disk as ``out``, gone unless it is moved away."""
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as error:
        raise CaseError(f"cannot write to {out.parent}: {error.strerror}") from error
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _move(folder: Path, out: Path) -> None:
    """Put a whole folder in its place; what was there goes only when the new one is in."""
    old = folder.with_name(folder.name + ".old")
    if out.exists():
        os.rename(out, old)
    os.rename(folder, out)
    shutil.rmtree(old, ignore_errors=True)


def _write(path: Path, content: Mapping[str, Any]) -> None:
    text = json.dumps(content, ensure_ascii=False, indent=2, sort_keys=False, default=str)
    path.write_text(text + "\n", encoding="utf-8")


def _commit() -> str | None:
    answer = subprocess.run(
        ["git", "-C", str(cases.home()), "rev-parse", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    )
    return answer.stdout.strip() or None if answer.returncode == 0 else None


def _code_hash(name: str) -> str:
    """Of all that a notebook may import, and of its cells, by content.

    How a run is executed and published does not change what it finds.
    """
    package = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    apart = {"publishing", "execution", "cli.py"}
    for path in sorted([*package.rglob("*.py"), *package.rglob("*.yaml")]):
        if path.relative_to(package).parts[0] in apart:
            continue
        digest.update(
            path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes() + b"\0"
        )
    notebook = nbformat.read(  # type: ignore[no-untyped-call]
        cases.case(name).notebook, as_version=4
    )
    for cell in notebook.cells:
        digest.update(cell.source.encode() + b"\0")
    return digest.hexdigest()

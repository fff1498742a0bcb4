"""One run: checked parameters in, a whole directory out, or an error and nothing.

A run is written beside its place and renamed into it when it is whole. One that fails leaves
the last good run where it was, and itself in ``<place>.failed``: its state, the cell that was its
last with the output so far, the signal that ended it, the memory it took.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import nbformat

from o2o_research import cases, narrative, quotes
from o2o_research.errors import CaseError, DataError, O2OError, RunError
from o2o_research.execution import cache, engine, lineage
from o2o_research.execution.cache import LIBRARIES, manifest
from o2o_research.execution.engine import Ending, Limits, State
from o2o_research.execution.injection import TAG, inject
from o2o_research.terms import LANGUAGES, Language

__all__ = ["LIBRARIES", "Executed", "Run", "contents", "execute", "manifest", "run", "write"]

EngineName = Literal["o2o", "papermill"]
ENGINES: tuple[EngineName, ...] = ("o2o", "papermill")

# What of a run is published, by content: an unchanged report is not made again.
STAMP = "published.json"

# The same numbers on any number of cores, and in any process.
_ENVIRONMENT = {**engine.STEADY, "O2O_LANG": "zh"}
_OURS = {"CaseError": CaseError, "DataError": DataError}
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Run:
    """A finished run: where it lies, its record, and the files a reader gets."""

    folder: Path
    record: narrative.Record
    reports: tuple[Path, ...]
    seconds: float


@dataclass(frozen=True)
class Executed:
    """An executed notebook and how it ended; ``known`` if an earlier run was taken."""

    notebook: Any
    ending: Ending
    manifest: Mapping[str, Any]
    key: str
    known: bool = False

    def error(self) -> O2OError | None:
        """What a caller raises for a run that did not end well."""
        if self.ending.state == "ok":
            return None
        name = self.manifest["case"]
        if self.ending.state == "invalid":
            assert self.ending.error is not None
            return _OURS[self.ending.error[0]](_ANSI.sub("", self.ending.error[1]))
        return RunError(f"{name}: {_ANSI.sub('', self.ending.why)}", self.ending.state)


def run(
    name: str,
    parameters: cases.Parameters,
    out: Path | None = None,
    *,
    languages: Sequence[Language] = LANGUAGES,
    formats: Sequence[str] = ("html", "pdf"),
    progress: bool = False,
    fresh: bool = False,
    engine: EngineName = "o2o",
    limits: Limits | None = None,
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
        The run did not end well, with its state; ``<out>.failed`` holds what is needed to see why.
    PublishError
        The report cannot be made whole; likewise.
    """
    case = cases.case(name)
    out = out or place(case.name)
    start = time.monotonic()
    _make_parent(out)
    origin = lineage.read(name)
    if not fresh and (done := unchanged(out, name, parameters, languages, formats, origin)):
        return done
    executed = None
    with beside(out) as folder:
        try:
            executed = execute(
                name,
                parameters,
                None if fresh else out,
                engine=engine,
                limits=limits,
                progress=progress,
            )
            if executed.ending.state == "interrupted":
                raise KeyboardInterrupt
            if (error := executed.error()) is not None:
                raise error
            if origin:
                executed.notebook.metadata["o2o"] = {"lineage": origin}
            record = narrative.read(executed.notebook)
            reports = publish(executed.notebook, folder, languages=languages, formats=formats)
        except (CaseError, DataError):
            raise
        except BaseException as error:
            state: State = "failed"
            if isinstance(error, RunError):
                state = error.state  # type: ignore[assignment]
            elif isinstance(error, KeyboardInterrupt):
                state = "interrupted"
            seconds = time.monotonic() - start
            if executed is not None and executed.ending.state != "ok":
                write(folder, contents(executed, seconds=seconds))
            else:
                _write(folder / "run.json", _ended(state, str(error), seconds))
            move(folder, out.with_name(out.name + ".failed"))
            raise
        seconds = time.monotonic() - start
        write(folder, contents(executed, seconds=seconds))
        made = {path.name: _sha(folder / path.name) for path in reports}
        stamp = _stamp(name, parameters, languages, formats, origin)
        _write(folder / STAMP, {"of": stamp, "files": made})
        if (out / lineage.FILE).is_file():  # what ``o2o lineage`` left in the folder stays in it
            shutil.copyfile(out / lineage.FILE, folder / lineage.FILE)
        move(folder, out)
    shutil.rmtree(out.with_name(out.name + ".failed"), ignore_errors=True)
    return Run(out, record, tuple(out / path.name for path in reports), seconds)


def place(name: str) -> Path:
    """Where a case's run lies unless another folder is named."""
    return cases.home() / "reports" / name


def unchanged(
    out: Path,
    name: str,
    parameters: Mapping[str, Any],
    languages: Sequence[Language],
    formats: Sequence[str],
    origin: Mapping[str, Any] | None,
) -> Run | None:
    """The run that ``out`` holds, if nothing that decides its files has changed."""
    start = time.monotonic()
    about = json.loads(json.dumps(manifest(name, parameters), default=str))
    try:
        made = json.loads((out / STAMP).read_text(encoding="utf-8"))
        kept = json.loads((out / "run.json").read_text(encoding="utf-8"))
        if (
            made["of"] != _stamp(name, parameters, languages, formats, origin)
            or (kept["state"], kept["key"]) != ("ok", cache.key(about))
            or not cache.knowable(about)
            or not cache.whole(out, {"files": kept["files"] | made["files"]})
        ):
            return None
        content = json.loads((out / "findings.json").read_text(encoding="utf-8"))
        record = narrative.recorded(content)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    reports = tuple(out / file for file in made["files"])
    return Run(out, record, reports, time.monotonic() - start)


def _stamp(
    name: str,
    parameters: Mapping[str, Any],
    languages: Sequence[Language],
    formats: Sequence[str],
    origin: Mapping[str, Any] | None,
) -> str:
    """A hash of what decides how a run is published, its key apart: prose, words, templates."""
    case, digest = cases.case(name), hashlib.sha256()
    evidence = sorted((cache.PACKAGE / "evidence").glob("*.yaml"))
    code = sorted(path for path in (cache.PACKAGE / "publishing").rglob("*") if path.is_file())
    for path in [case.notebook, cache.PACKAGE / "terms.yaml", *evidence, *code]:
        if "__pycache__" not in path.parts:
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    decides = [name, dict(parameters), case.defaults, list(languages), list(formats)]
    digest.update(json.dumps([*decides, origin and origin["key"]], default=str).encode())
    return digest.hexdigest()


def _sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def execute(
    name: str,
    parameters: Mapping[str, Any],
    before: Path | None = None,
    *,
    engine: EngineName = "o2o",
    limits: Limits | None = None,
    progress: bool = False,
    stop: threading.Event | None = None,
) -> Executed:
    """Execute a case's notebook, or take the run in ``before`` if all that decides is the same.

    Raises
    ------
    CaseError
        A parameter that cannot be written into the notebook exactly.
    """
    _up_to_date(name)
    about = json.loads(json.dumps(manifest(name, parameters), default=str))
    key = cache.key(about)
    if before is not None and cache.knowable(about):
        taken = cache.known(before, name, key, parameters)
        if taken is not None:
            return Executed(taken, Ending(state="ok"), about, key, known=True)
    notebook = inject(cache.source_notebook(name), parameters)
    if engine == "papermill" or not _forks():
        ending = _by_papermill(name, notebook, progress)
    else:
        ending = _by_fork(name, notebook, limits, progress, stop)
    same = cache.unchanged(name, about["code"]) and quotes.digests(name) == about.get("reads", {})
    if not same:
        why = (
            "its notebook, a module that it imports or a finding that it reads changed "
            "while it ran; run it again"
        )
        ending = replace(ending, state="failed", why=why, error=None)
    elif ending.error is not None and ending.error[0] in _OURS:
        ending = replace(ending, state="invalid")
    return Executed(_tidied(notebook), ending, about, key)


def _up_to_date(name: str) -> None:
    """Refuse to read findings that another notebook, or other models, made than there are now.

    The last run of a case says what made it; where only its lineage is kept, that does. Words and
    the way of publishing make no number.
    """
    for read in cases.case(name).evidence.reads:
        quotes.findings(read)
        try:
            about = json.loads((place(read) / "manifest.json").read_text(encoding="utf-8"))
            stale = about["numbers"] != lineage.key(read)
        except (OSError, ValueError, KeyError):
            stale = lineage.path(read).is_file() and lineage.read(read) is None
        if stale:
            raise CaseError(
                f"{read}: its findings were made by another notebook or other models than now; "
                f"run o2o run {read}"
            )


def contents(executed: Executed, **about: Any) -> dict[str, str]:
    """A run's files by name, ``run.json`` last: without it there is no run.

    Whatever the state: the notebook as far as it came, and the manifest. A run that is ``ok`` has
    its findings beside them, and only that. ``about`` goes into ``run.json``.

    Raises
    ------
    CaseError
        The notebook ran to its end, but records no case, or one name twice.
    """
    ending = executed.ending
    name = executed.manifest["case"]
    files = {
        f"{name}.ipynb": written(executed.notebook),
        "manifest.json": _text(executed.manifest),
    }
    if ending.state == "ok":
        files["findings.json"] = _text(narrative.read(executed.notebook).as_json())
    ended = _ended(ending.state, ending.why, about.pop("seconds", 0.0))
    if ending.state != "ok":
        ended |= {"cell": _last(executed), "signal": ending.signal}
    if not executed.known:
        ended["peak_memory_mb"] = round(ending.peak / 1e6, 1)
    ended |= {"key": executed.key, **about}
    ended["files"] = {
        file: hashlib.sha256(text.encode()).hexdigest() for file, text in files.items()
    }
    return files | {"run.json": _text(ended)}


def _last(executed: Executed) -> dict[str, Any] | None:
    """The last cell that began."""
    number = executed.ending.cell
    if number is None:
        return None
    cell = executed.notebook.cells[number]
    return {"number": number, "id": cell.get("id"), "source": cell.source}


def write(folder: Path, files: Mapping[str, str]) -> None:
    """A run's files into a folder that is not yet in its place."""
    for file, text in files.items():
        (folder / file).write_text(text, encoding="utf-8")


def _ended(state: State, why: str, seconds: float) -> dict[str, Any]:
    ended: dict[str, Any] = {"state": state, "seconds": round(seconds, 3)}
    if state != "ok":
        ended["why"] = _ANSI.sub("", why)
    return ended


def _warm() -> None:
    from o2o_research.publishing import warm

    warm()


def publish(*arguments: Any, **options: Any) -> list[Path]:
    """``publishing.publish``, imported when first used."""
    from o2o_research.publishing import publish as write

    return write(*arguments, **options)


def _forks() -> bool:
    return engine.available()


def _by_fork(
    name: str,
    notebook: Any,
    limits: Limits | None,
    progress: bool,
    stop: threading.Event | None,
) -> Ending:
    """In a fork of the warm process, with a bar over the cells where a person looks on."""
    environment = {**os.environ, **_ENVIRONMENT}
    notebook.metadata["language_info"] = engine.language_info()
    if not progress:
        return engine.execute(notebook, environment=environment, limits=limits, stop=stop)
    from rich.console import Console
    from rich.progress import Progress

    with (
        Progress(console=Console(stderr=True), transient=True) as bar,
        # What publishing needs takes seconds to load: it loads while the notebook runs.
        ThreadPoolExecutor(1) as meanwhile,
    ):
        meanwhile.submit(_warm)
        task = bar.add_task(name, total=len(notebook.cells))
        return engine.execute(
            notebook,
            environment=environment,
            limits=limits,
            stop=stop,
            on_cell=lambda cell: bar.update(task, completed=cell),
        )


def _by_papermill(name: str, notebook: Any, progress: bool) -> Ending:
    """Plain papermill, a kernel a run: the reference, and where runs cannot be forked."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import papermill
        from nbclient.exceptions import CellTimeoutError, DeadKernelError
        from papermill.exceptions import PapermillExecutionError

    with tempfile.TemporaryDirectory() as folder:
        source, target = (str(Path(folder) / f"{part}.ipynb") for part in ("source", name))
        nbformat.write(notebook, source)  # type: ignore[no-untyped-call]
        ending = Ending(state="ok")
        try:
            with _environment(_ENVIRONMENT):
                papermill.execute_notebook(
                    source,
                    target,
                    kernel_name="python3",
                    # Saving after every cell validates the whole notebook every time.
                    request_save_on_cell_execute=False,
                    autosave_cell_every=0,
                    # The kernel warns on every start of a transport that stays on this machine.
                    extra_arguments=["--log-level=ERROR"],
                    progress_bar={"desc": name, "leave": False} if progress else False,
                )
        except PapermillExecutionError as error:
            cell = notebook.cells[error.cell_index]
            ending = Ending(
                state="failed",
                why=f"in {engine.named(cell, error.cell_index)} failed: {error.ename}: {error.evalue}",
                cell=error.cell_index,
                error=(error.ename, str(error.evalue)),
            )
        except DeadKernelError:
            return Ending(state="killed", why="the kernel died")
        except CellTimeoutError as error:
            return Ending(state="timeout", why=str(error))
        done = nbformat.read(target, as_version=4)  # type: ignore[no-untyped-call]
    marks = [c for c in done.cells if "papermill-error-cell-tag" in c.metadata.get("tags", ())]
    notebook.cells = [cell for cell in done.cells if cell not in marks]
    notebook.metadata = done.metadata
    return ending


def written(notebook: Any) -> str:
    """A notebook as its file holds it: on one line, which nbformat's own writer does not offer.

    Half as large so, and written in a tenth of the time.
    """
    return json.dumps(notebook, ensure_ascii=False, sort_keys=True) + "\n"


def _tidied(notebook: Any) -> Any:
    """The executed notebook without what differs from run to run: times, ids, process numbers."""
    for own in ("papermill", "o2o"):
        notebook.metadata.pop(own, None)
    for number, cell in enumerate(notebook.cells):
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        if cell.metadata.get("tags") == []:
            del cell.metadata["tags"]
        if TAG in cell.metadata.get("tags", ()):
            cell["id"] = TAG
        elif not cell.get("id"):
            cell["id"] = f"cell-{number}"
        if cell.cell_type == "code":
            cell.outputs = _steady(cell.outputs)
    return notebook


def _steady(outputs: list[Any]) -> list[Any]:
    """Pieces of one stream as one, and cells' files without the number of the process."""
    joined: list[Any] = []
    for output in outputs:
        if output.output_type == "stream":
            output.text = re.sub(r"\S*/ipykernel_\d+/", "", output.text)
            if joined and joined[-1].get("name") == output.name:
                joined[-1].text += output.text
                continue
        joined.append(output)
    return joined


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
    # A lineage may be found before the first run.
    held = {path.name for path in out.iterdir()} - {lineage.FILE} if out.is_dir() else set()
    if held and "findings.json" not in held:
        raise CaseError(f"{out} holds something else than a run; name an empty or a new folder")


@contextmanager
def beside(out: Path) -> Iterator[Path]:
    """A folder on the same disk as ``out`` to write a run in, gone unless it is moved away."""
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as error:
        raise CaseError(f"cannot write to {out.parent}: {error.strerror}") from error
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def move(folder: Path, out: Path) -> None:
    """Put a whole folder in its place; what was there goes only when the new one is in."""
    old = folder.with_name(folder.name + ".old")
    if out.exists():
        os.rename(out, old)
    os.rename(folder, out)
    shutil.rmtree(old, ignore_errors=True)


def _text(content: Mapping[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, indent=2, sort_keys=False, default=str) + "\n"


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(_text(content), encoding="utf-8")

"""A sweep: the runs of a plan, each made once, on the cores of this machine or of a cluster.

The truth is in the runs' directories: a batch that stops, however, is resumed by starting it
again, and only what is not done runs.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import queue
import threading
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from o2o_research import cases
from o2o_research.errors import CaseError, DataError, RunError
from o2o_research.execution import cache, engine, runs
from o2o_research.execution.engine import Limits
from o2o_research.execution.plans import Plan
from o2o_research.execution.stores import Folder, Store, about, shown, store
from o2o_research.terms import LANGUAGES

Told = Callable[[str, Mapping[str, Any]], None]
Begins = Callable[[int, int], None]


class Changed(CaseError):
    """The code is not the one that the sweep began with."""


@dataclass(frozen=True)
class Task:
    """One run of a sweep, as it travels to a worker."""

    run: str
    case: str
    parameters: Mapping[str, Any]
    limits: Limits
    home: str
    code: str


@dataclass
class Summary:
    """What a sweep came to: how many runs were there before, and the state of every run."""

    address: str
    taken: int = 0
    states: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    @property
    def failed(self) -> list[str]:
        return [run for run, state in self.states.items() if state != "ok"]


def sweep(
    plan: Plan,
    out: str | Path,
    *,
    workers: int | None = None,
    cluster: str | None = None,
    fresh: bool = False,
    begins: Begins | None = None,
    told: Told | None = None,
) -> Summary:
    """Make every run of a plan that is not made yet, and gather them in ``runs.parquet``.

    ``begins`` hears how many runs there are to make, and how many are made already; ``told`` of
    each run as it ends: ``(run, what run.json says)``.

    Raises
    ------
    CaseError
        The folder holds something else, or another batch is at work in it: nothing is written.
        Or the notebook or a module that it imports changed: no run of the new code is mixed in.
    KeyboardInterrupt
        After the runs under way are stopped and written down as ``interrupted``.
    """
    place = store(out)
    summary = Summary(shown(place.address))
    try:
        _refuse_others(place, plan)
    except OSError as error:
        raise CaseError(f"cannot read {summary.address}: {error}") from error
    with place.locked():
        tasks = _tasks(plan)
        waiting = []
        for task in tasks:
            if not fresh and _done(place, task):
                summary.taken += 1
                summary.states[task.run] = "ok"
            else:
                waiting.append(task)
        about_it = {"plan": plan.name, "case": plan.case, "kind": plan.kind,
                    "varied": list(plan.varied), "runs": len(plan.runs)}  # fmt: skip
        try:
            place.write("sweep.json", _json(about_it))
        except OSError as error:
            raise CaseError(f"cannot write to {summary.address}: {error}") from error
        events = _Events(place)
        events.add("begins", runs=len(tasks), known=summary.taken)
        if begins is not None:
            begins(len(waiting), summary.taken)
        stop = threading.Event()
        made = (
            _here(waiting, place, workers or os.cpu_count() or 1, stop)
            if cluster is None
            else _there(waiting, place, cluster)
        )
        try:
            for task, said in made:
                summary.states[task.run] = said["state"]
                if said["state"] != "ok":
                    summary.reasons[task.run] = said.get("why", "")
                events.add("ended", run=task.run, state=said["state"], seconds=said["seconds"])
                if told is not None:
                    told(task.run, said)
        except (KeyboardInterrupt, Changed) as error:
            made.close()
            events.add("interrupted", why=str(error))
            _gather(plan, place, tasks, summary)
            raise
        finally:
            made.close()
        try:
            _gather(plan, place, tasks, summary)
        except OSError as error:
            raise RunError(
                f"{summary.address}: the runs are made, but runs.parquet cannot be written: "
                f"{error.strerror or error}; once there is room, start the sweep again"
            ) from error
        events.add("ends", failed=len(summary.failed))
    return summary


def results(plan: Plan, place: Store, tasks: list[Task], summary: Summary) -> pd.DataFrame:
    """A row a run, in the plan's order: what varied, state, findings with intervals, verdicts.

    A run of other code or other data than now, left from an earlier sweep, is ``missing``.
    """
    rows = []
    for task in tasks:
        if task.run in summary.states:
            said = about(place, task.run) or {}
            state = summary.states[task.run]
        else:
            said = _current(place, task) or {}
            state = said.get("state", "missing")
        row: dict[str, Any] = {"run": task.run}
        row |= {f"parameter.{key}": task.parameters[key] for key in plan.varied}
        row |= {"state": state, "seconds": said.get("seconds")}
        row |= {"why": summary.reasons.get(task.run, said.get("why"))}
        if state == "ok":
            found = json.loads(place.get(task.run, "findings.json") or b"{}")
            for name, finding in found["findings"].items():
                row[f"finding.{name}"] = _float(finding["value"])
                row[f"finding.{name}.low"] = _float(finding["low"])
                row[f"finding.{name}.high"] = _float(finding["high"])
            for claim, verdict in found["verdicts"].items():
                row[f"verdict.{claim}"] = verdict["verdict"]
        rows.append(row)
    frame = pd.DataFrame(rows)
    numbers = [column for column in frame if str(column).startswith("finding.")]
    return frame.astype(dict.fromkeys(numbers, float))


def perform(task: Task, worker: str, stop: threading.Event | None = None) -> dict[str, str]:
    """One run's files, whatever became of it."""
    start = time.monotonic()
    _refuse_change(task, cache.unchanged(task.case, task.code), worker)
    executed = runs.execute(task.case, task.parameters, limits=task.limits, stop=stop)
    _refuse_change(task, executed.manifest["code"] == task.code, worker)
    try:
        return runs.contents(executed, seconds=time.monotonic() - start, worker=worker)
    except (CaseError, DataError) as error:  # it ran to its end, and left no record
        ending = engine.Ending(state="invalid", why=str(error), peak=executed.ending.peak)
        bad = runs.Executed(executed.notebook, ending, executed.manifest, executed.key)
        return runs.contents(bad, seconds=time.monotonic() - start, worker=worker)


def _refuse_change(task: Task, same: bool, worker: str) -> None:
    if not same:
        raise Changed(
            f"{worker}: the notebook of {task.case} or a module that it imports is not the one that "
            "the sweep began with; where a file was changed meanwhile, start the sweep again: "
            "runs of the code before are made anew"
        )


def _here(
    tasks: list[Task], place: Store, workers: int, stop: threading.Event
) -> Generator[tuple[Task, dict[str, Any]]]:
    """On this machine: as many runs at once as there are workers, each in a process of its own."""
    todo: queue.SimpleQueue[Task] = queue.SimpleQueue()
    for task in tasks:
        todo.put(task)
    done: queue.SimpleQueue[tuple[Task, dict[str, Any]] | Changed | None] = queue.SimpleQueue()

    def work(number: int) -> None:
        try:
            while not stop.is_set():
                try:
                    task = todo.get_nowait()
                except queue.Empty:
                    return
                try:
                    files = perform(task, f"local-{number}", stop)
                    place.put(task.run, files)
                    said = json.loads(files["run.json"])
                except Changed as error:  # would be said of every other run
                    done.put(error)
                    return
                except Exception as error:  # a table that is not there, a full disk
                    said = _without_files(task, error)
                done.put((task, said))
        finally:
            done.put(None)

    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(workers)]
    for thread in threads:
        thread.start()
    left = len(threads)
    try:
        while left:
            # A wait without end could not be interrupted everywhere.
            with contextlib.suppress(queue.Empty):
                ended = done.get(timeout=0.5)
                if ended is None:
                    left -= 1
                elif isinstance(ended, Changed):
                    raise ended
                else:
                    yield ended
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)


def _there(tasks: list[Task], place: Store, address: str) -> Generator[tuple[Task, dict[str, Any]]]:
    """On a Dask cluster: a worker that dies loses nothing, its runs are made elsewhere."""
    try:
        from distributed import Client, as_completed
    except ImportError as error:
        raise CaseError("--cluster wants the extra: pip install 'o2o_research[cluster]'") from error
    try:
        client = Client(address, timeout="30s", set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, TimeoutError) as error:
        raise CaseError(f"no cluster at {address}: {error}") from error
    # Into a bucket the workers write themselves; a folder of this machine they cannot see.
    remote = None if isinstance(place, Folder) else place.address
    try:
        futures = {
            client.submit(_on_worker, task, remote, key=f"{task.run}-{task.code[:8]}"): task
            for task in tasks
        }
        for future in as_completed(list(futures), loop=client.loop):  # type: ignore[no-untyped-call]
            task = futures[future]
            try:
                files = future.result()
                if remote is None:
                    place.put(task.run, files)
                said = json.loads(files["run.json"])
            except Changed:
                raise
            except Exception as error:  # workers that die with it again and again, a full disk
                said = _without_files(task, error)
            future.release()
            yield task, said
    finally:
        client.close()  # type: ignore[no-untyped-call]


def _without_files(task: Task, error: Exception) -> dict[str, Any]:
    """What is said of a run that left nothing."""
    state = "failed"
    if isinstance(error, CaseError | DataError):
        state = "invalid"
    elif type(error).__name__ == "KilledWorker":
        state = "killed"
    return {"state": state, "seconds": 0.0, "why": f"{task.run}: {error}"}


def _on_worker(task: Task, remote: str | None) -> dict[str, str]:
    """A run on a worker of a cluster, whose warm process stays for the next."""
    from distributed import get_worker

    os.environ["O2O_HOME"] = task.home
    files = perform(task, f"worker {get_worker().name}")
    if remote is not None:
        store(remote).put(task.run, files)
        return {"run.json": files["run.json"]}
    return files


def _tasks(plan: Plan) -> list[Task]:
    """The plan's runs; those that draws made twice are one."""
    home, code = str(cases.home()), cache.code_hash(plan.case)
    tasks = {}
    for parameters in plan.runs:
        text = json.dumps([plan.case, parameters], sort_keys=True, default=str)
        run = hashlib.sha256(text.encode()).hexdigest()[:16]
        tasks[run] = Task(run, plan.case, parameters, plan.limits, home, code)
    return list(tasks.values())


def _done(place: Store, task: Task) -> bool:
    """Whether the run is there and need not be made."""
    return (_current(place, task) or {}).get("state") == "ok"


def _current(place: Store, task: Task) -> dict[str, Any] | None:
    """What the run that is there says, if it is whole and of the same input as it would be now."""
    said = about(place, task.run)
    if said is None or not cache.unchanged(task.case, task.code):
        return None
    now = json.loads(json.dumps(cache.manifest(task.case, task.parameters), default=str))
    return said if cache.knowable(now) and said.get("key") == cache.key(now) else None


def _refuse_others(place: Store, plan: Plan) -> None:
    there = place.read("sweep.json")
    if there is not None:
        name = json.loads(there).get("plan")
        if name != plan.name:
            raise CaseError(f"{shown(place.address)} holds the sweep {name!r}; name another folder")
    elif isinstance(place, Folder) and place.root.exists():
        if not place.root.is_dir():
            raise CaseError(f"cannot write to {place.root}: a file of that name is there")
        if any(path.name != ".lock" for path in place.root.iterdir()):
            raise CaseError(f"{place.root} holds something else than a sweep; name a new folder")


def _gather(plan: Plan, place: Store, tasks: list[Task], summary: Summary) -> None:
    frame, file = results(plan, place, tasks, summary), io.BytesIO()
    frame.to_parquet(file, index=False)
    place.write("runs.parquet", file.getvalue())
    if (frame["state"] == "ok").any():
        from o2o_research.execution import sweep_report  # slow to import

        for language in LANGUAGES:
            report = sweep_report.page(plan, frame, language)
            place.write(f"sweep.{language}.html", report.encode())


class _Events:
    """What happened, a JSON object a line; a folder only, for a bucket cannot append."""

    def __init__(self, place: Store) -> None:
        self._path = place.root / "events.jsonl" if isinstance(place, Folder) else None

    def add(self, event: str, **about: Any) -> None:
        if self._path is None:
            return
        line = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "event": event} | about
        # What cannot be noted is still in the runs' own directories.
        with contextlib.suppress(OSError), self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def _float(value: Any) -> float | None:
    return None if value is None else float(value)


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, ensure_ascii=False, indent=2) + "\n").encode()

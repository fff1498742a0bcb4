"""Runs a minute against papermill on as many processes, in turn, outputs compared; and its growth.

python benchmarks/batch.py --runs 64                # the restaurants notebook
python benchmarks/batch.py --runs 16 --short        # its opening alone: what a run costs by itself
python benchmarks/batch.py --growth 10,100,1000     # cost of a run, memory of the supervisor
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean
from typing import Any
from unittest import mock

import nbformat

from o2o_research import cases
from o2o_research.execution import batch, cache, engine, plans, runs
from o2o_research.execution.injection import inject

PAPERMILL = (
    "import sys, warnings; warnings.simplefilter('ignore'); import papermill; "
    "papermill.execute_notebook(sys.argv[1], sys.argv[2], kernel_name='python3', "
    "progress_bar=False, request_save_on_cell_execute=False, autosave_cell_every=0, "
    "start_timeout=600)"
)


def notebooks(count: int, short: bool) -> list[Any]:
    source = cache.source_notebook("restaurants")
    if short:
        last = next(n for n, cell in enumerate(source.cells) if "open_case" in cell.source)
        source.cells = source.cells[: last + 1]
    values = cases.parameters("restaurants")
    return [
        inject(source, values | {"voucher_depth": 0.05 + 0.5 * n / count}) for n in range(count)
    ]


def outputs(notebook: Any) -> list[Any]:
    return [cell.outputs for cell in runs._tidied(notebook).cells if cell.cell_type == "code"]


def ours(made: list[Any], workers: int, split: dict[str, list[float]]) -> list[Any]:
    def one(notebook: Any) -> None:
        ending = engine.execute(notebook, environment={**os.environ, **runs._ENVIRONMENT})
        assert ending.state == "ok", ending
        start = time.perf_counter()
        runs.written(notebook)
        for key, seconds in {**ending.seconds, "saving": time.perf_counter() - start}.items():
            split.setdefault(key, []).append(seconds)

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(one, made))
    return made


def theirs(made: list[Any], workers: int) -> list[Any]:
    environment = {**os.environ, **runs._ENVIRONMENT}

    def one(notebook: Any) -> Any:
        with tempfile.TemporaryDirectory() as folder:
            before, after = Path(folder) / "in.ipynb", Path(folder) / "out.ipynb"
            nbformat.write(notebook, before)
            command = [sys.executable, "-c", PAPERMILL, str(before), str(after)]
            subprocess.run(command, env=environment, check=True, capture_output=True)
            return nbformat.read(after, as_version=4)

    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(one, made))


def compare(count: int, workers: int, short: bool, rounds: int) -> None:
    split: dict[str, list[float]] = {}
    taken = [0.0, 0.0]
    ours(
        notebooks(count, short)[:1], 1, {}
    )  # the warm process starts once a batch, and is warm for the rest
    size = max(workers, count // rounds)
    for start in range(0, count, size):
        part, same = (notebooks(count, short)[start : start + size] for _ in range(2))
        begun = time.perf_counter()
        mine = ours(part, workers, split)
        between = time.perf_counter()
        other = theirs(same, workers)
        taken[0] += between - begun
        taken[1] += time.perf_counter() - between
        for left, right in zip(mine, other, strict=True):
            assert outputs(left) == outputs(right)
        print(f"  {start + len(mine)} runs: {taken[0]:.0f} s and {taken[1]:.0f} s", flush=True)
    what = "opening of the restaurants notebook" if short else "restaurants notebook"
    print(f"{what}, {count} runs, {workers} workers, outputs equal:")
    for who, seconds in zip(("o2o", "papermill"), taken, strict=True):
        print(f"  {who}: {60 * count / seconds:.1f} runs a minute")
    print(f"  ratio: {taken[1] / taken[0]:.1f}")
    print("  a run's seconds: " + ", ".join(f"{k} {mean(v):.3f}" for k, v in split.items()))


def growth(sizes: list[int], workers: int) -> None:
    """Whole sweeps of a short notebook: processor time of a run, memory of the supervisor.

    Runs are counted from the plan to the last run's directory; the table and the report that
    follow are made once a sweep, and are told apart.
    """
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        os.environ["O2O_HOME"] = str(_home(home))
        _sweep(4, workers, home / "warm")
        for size in sizes:
            start = time.perf_counter()
            runs_took, report_took = _sweep(size, workers, home / str(size))
            wall = (time.perf_counter() - start) / size
            print(
                f"{size} runs: {runs_took / size:.3f} s of processor a run ({wall:.3f} s by the "
                f"clock, the report with it), the sweep's report {report_took:.1f} s, "
                f"supervisor {_memory():.0f} MB",
                flush=True,
            )


def _home(home: Path) -> Path:
    """A home whose restaurants notebook is its opening and one finding."""
    source = notebooks(1, True)[0]
    source.cells = [c for c in source.cells if c.get("id") != "injected-parameters"]
    last = 'find("fee_equal_ticket", delivery_fee / commission_share)'
    source.cells.append(
        nbformat.v4.new_code_cell(f"from o2o_research.narrative import find\n{last}")
    )
    for part in ("notebooks", "params"):
        (home / part).mkdir()
    params = cases.case("restaurants").params
    (home / "params" / params.name).write_bytes(params.read_bytes())
    nbformat.write(source, home / "notebooks" / "restaurants.ipynb")
    return home


def _sweep(size: int, workers: int, out: Path) -> tuple[float, float]:
    """Seconds of processor for the runs, and for what is made of them once they are done."""
    fees = [5 + n / size for n in range(size)]
    plan = plans.parse("growth", {"case": "restaurants", "grid": {"delivery_fee": fees}})
    marks = [_processor()]
    gather = batch._gather

    def marked(*about: Any) -> None:
        marks.append(_processor())
        gather(*about)

    with mock.patch.object(batch, "_gather", marked):
        done = batch.sweep(plan, out, workers=workers)
    assert not done.failed, done.reasons
    return marks[1] - marks[0], _processor() - marks[1]


def _processor() -> float:
    """Seconds of processor that this process, the warm ones and their ended runs have used."""
    pids = [os.getpid(), *(warm.process.pid for warm in engine._warm.values())]
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def _memory() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--growth", help="sizes of batches, comma-separated")
    options = parser.parse_args()
    if not engine.available():
        print("batch: runs are forked on Linux only")
        return
    if options.growth:
        growth([int(size) for size in options.growth.split(",")], options.workers)
    else:
        compare(options.runs, options.workers, options.short, options.rounds)
    engine.close()


if __name__ == "__main__":
    main()

"""Runs a minute against papermill on as many processes, in turn, outputs compared; and its growth.

python benchmarks/batch.py --runs 64                # the restaurants notebook
python benchmarks/batch.py --runs 16 --short        # its opening alone: what a run costs by itself
python benchmarks/batch.py --growth 10,100,1000     # cost of a run, memory of the supervisor
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean
from typing import Any

import nbformat

from o2o_research import cases
from o2o_research.execution import cache, engine, runs
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


def ours(batch: list[Any], workers: int, split: dict[str, list[float]]) -> list[Any]:
    def one(notebook: Any) -> None:
        ending = engine.execute(notebook, environment={**os.environ, **runs._ENVIRONMENT})
        assert ending.state == "ok", ending
        start = time.perf_counter()
        nbformat.writes(notebook)
        for key, seconds in {**ending.seconds, "saving": time.perf_counter() - start}.items():
            split.setdefault(key, []).append(seconds)

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(one, batch))
    return batch


def theirs(batch: list[Any], workers: int) -> list[Any]:
    environment = {**os.environ, **runs._ENVIRONMENT}

    def one(notebook: Any) -> Any:
        with tempfile.TemporaryDirectory() as folder:
            before, after = Path(folder) / "in.ipynb", Path(folder) / "out.ipynb"
            nbformat.write(notebook, before)
            command = [sys.executable, "-c", PAPERMILL, str(before), str(after)]
            subprocess.run(command, env=environment, check=True, capture_output=True)
            return nbformat.read(after, as_version=4)

    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(one, batch))


def compare(count: int, workers: int, short: bool, rounds: int) -> None:
    split: dict[str, list[float]] = {}
    taken = [0.0, 0.0]
    batch = notebooks(count, short)
    ours(batch[:1], 1, {})  # the warm process starts once a batch, and is warm for the rest
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
    what = "opening of the restaurants notebook" if short else "restaurants notebook"
    print(f"{what}, {count} runs, {workers} workers, outputs equal:")
    for who, seconds in zip(("o2o", "papermill"), taken, strict=True):
        print(f"  {who}: {60 * count / seconds:.1f} runs a minute")
    print(f"  ratio: {taken[1] / taken[0]:.1f}")
    print("  a run's seconds: " + ", ".join(f"{k} {mean(v):.3f}" for k, v in split.items()))


def growth(sizes: list[int], workers: int) -> None:
    ours(notebooks(2, True), workers, {})
    for size in sizes:
        start = time.perf_counter()
        for _ in range(size // 10):
            ours(notebooks(10, True), workers, {})
        each = (time.perf_counter() - start) / size
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{size} runs: {each:.3f} s a run, supervisor's peak {peak:.0f} MB")


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

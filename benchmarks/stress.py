"""Many short runs at four times as many workers as cores: none lost, none falsely good, no leak.

    python benchmarks/stress.py --runs 5000

Every seventh run kills itself and every eleventh raises: their states must say so.
"""

from __future__ import annotations

import argparse
import collections
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat

from o2o_research.execution import engine


def one(number: int) -> tuple[str, str]:
    """The state that a run must have, and the one it has."""
    source, wanted = f"print({number})", "ok"
    if number % 7 == 3:
        source, wanted = source + "\nimport os; os.kill(os.getpid(), 9)", "killed"
    elif number % 11 == 5:
        source, wanted = source + "\n1 / 0", "failed"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    ending = engine.execute(notebook)
    said = "".join(output.get("text", "") for output in notebook.cells[0].outputs)
    if wanted == "ok" and said != f"{number}\n":
        return wanted, f"wrong output {said!r}"
    return wanted, ending.state


def held() -> tuple[int, int]:
    """File descriptors, sockets among them, and processes below this one."""
    return len(os.listdir("/proc/self/fd")), len(below(os.getpid()))


def below(pid: int) -> list[int]:
    """Every process that one has started, and those that they have, the dead not yet buried too."""
    try:
        texts = [(t / "children").read_text() for t in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return []
    children = [int(child) for text in texts for child in text.split()]
    return children + [one for child in children for one in below(child)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5000)
    options = parser.parse_args()
    if not engine.available():
        print("stress: runs are forked on Linux only")
        return
    one(0)
    before, workers = held(), 4 * (os.cpu_count() or 1)
    with ThreadPoolExecutor(workers) as pool:
        found = collections.Counter(pool.map(one, range(options.runs)))
    wrong = {pair: count for pair, count in found.items() if pair[0] != pair[1]}
    false = sum(count for (wanted, got), count in wrong.items() if got == "ok")
    print(
        f"{options.runs} runs, {workers} workers: {sum(wrong.values())} lost, {false} false successes"
    )
    print(f"states: {dict(found)}")
    print(f"file descriptors and processes: {before} before, {held()} after")
    engine.close()


if __name__ == "__main__":
    main()

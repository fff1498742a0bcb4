"""Every case's notebook by the warm engine and by plain papermill, compared cell by cell.

python benchmarks/parity.py                # every case, as few draws as it allows
python benchmarks/parity.py hospital
"""

from __future__ import annotations

import sys
import time
from typing import Any

import nbformat

from o2o_research import cases
from o2o_research.execution import engine, runs
from o2o_research.terms import term


def few(name: str) -> cases.Parameters:
    """A case's parameters with the fewest draws that are allowed."""
    values: dict[str, Any] = dict(cases.parameters(name))
    domain = term("draws").domain
    if "draws" in values and domain is not None:
        values["draws"] = int(domain.low)
    return cases.check(name, values)


def compare(name: str) -> list[str]:
    """Executes a case twice; the cells that differ."""
    values, made, taken = few(name), [], []
    for by in runs.ENGINES:
        start = time.perf_counter()
        done = runs.execute(name, values, engine=by)
        taken.append(time.perf_counter() - start)
        if done.ending.state != "ok":
            return [f"{by}: {done.ending.state}: {done.ending.why}"]
        made.append(done.notebook)
    left, right = (notebook.cells for notebook in made)
    differ = [
        f"cell {one.get('id')}" for one, other in zip(left, right, strict=True) if one != other
    ]
    if not differ and nbformat.writes(made[0]) != nbformat.writes(made[1]):  # type: ignore[no-untyped-call]
        differ = ["the notebook's metadata"]
    print(
        f"{name}: {len(left)} cells, {'differ' if differ else 'equal'}; "
        + ", ".join(
            f"{by} {seconds:.1f} s" for by, seconds in zip(runs.ENGINES, taken, strict=True)
        ),
        flush=True,
    )
    return differ


def main() -> None:
    differ = {name: compare(name) for name in sys.argv[1:] or cases.case_names()}
    engine.close()
    if any(differ.values()):
        sys.exit("\n".join(f"{name}: {cells}" for name, cells in differ.items() if cells))


if __name__ == "__main__":
    main()

"""A plan: which runs of a case a sweep makes, checked as a whole before the first starts."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from o2o_research import cases
from o2o_research.errors import CaseError
from o2o_research.execution.engine import Limits
from o2o_research.execution.injection import literal
from o2o_research.terms import did_you_mean

Kind = Literal["grid", "list", "latin_hypercube", "sobol", "saltelli"]

# More runs than anyone waits for: a typing error, not a plan.
MOST = 100_000
_KEYS = ("case", "title", "parameters", "grid", "list", "draws", "limits")
_DRAWS = ("method", "runs", "seed", "over")
_RANGE = ("from", "to", "steps", "scale")
_LIMITS = ("cell_seconds", "run_seconds", "memory_mb")
_METHODS = ("latin_hypercube", "sobol", "saltelli")
_NAME = re.compile(r"[\w-]+")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The runs of a sweep, in order, every parameter of each checked.

    Parameters
    ----------
    name, case : str
    kind : how the runs were chosen
    varied : names of the parameters that differ between runs
    runs : complete parameters, one mapping a run
    title : in zh and en
    limits : of each run
    base : int, optional
        Of a ``saltelli`` plan, the number of base points n: runs are the blocks A, B and one for
        each varied parameter, n runs each.
    """

    name: str
    case: str
    kind: Kind
    varied: tuple[str, ...]
    runs: tuple[cases.Parameters, ...]
    title: Mapping[str, str]
    limits: Limits
    base: int | None = None


def folder() -> Path:
    """Where plans are looked for by name."""
    return cases.home() / "params" / "sweeps"


def read(plan: str | Path) -> Plan:
    """The plan in a file, or of that name in ``params/sweeps``.

    Raises
    ------
    CaseError
        Every problem of the plan at once: an unknown key or parameter, a value outside its
        domain, no run at all, too many, or the same twice.
    """
    path = Path(plan)
    if path.suffix not in (".yaml", ".yml"):
        names = sorted(found.stem for found in folder().glob("*.yaml"))
        if str(plan) not in names:
            raise CaseError(
                f"no plan {str(plan)!r}{did_you_mean(str(plan), names)}; plans: "
                f"{', '.join(names) or 'none'}; or name a .yaml file"
            )
        path = folder() / f"{plan}.yaml"
    if not _NAME.fullmatch(path.stem):
        raise CaseError(f"{path.name}: a plan is named with letters, digits, _ and - only")
    return parse(path.stem, cases.read_yaml(path))


def parse(name: str, content: Mapping[str, Any]) -> Plan:
    """A plan from what its file says."""
    where = f"plan {name}"
    _known(where, content, _KEYS)
    case = content.get("case")
    if not isinstance(case, str):
        raise CaseError(f"{where}: case: the name of a case is wanted")
    if not _NAME.fullmatch(case):
        raise CaseError(f"{where}: case: {case!r} is no name; letters, digits, _ and - are wanted")
    defaults = cases.case(case).defaults
    fixed = _mapping(where, "parameters", content.get("parameters") or {})
    ways = [key for key in ("grid", "list", "draws") if key in content]
    if len(ways) != 1:
        raise CaseError(f"{where}: one of grid, list and draws is wanted, not {ways or 'none'}")
    kind, rows, base = _rows(where, ways[0], content[ways[0]], defaults)
    varied = tuple(dict.fromkeys(key for row in rows for key in row))
    twice = [key for key in varied if key in fixed]
    if twice:
        raise CaseError(f"{where}: {', '.join(twice)}: both fixed under parameters and varied")
    runs = _checked(where, case, defaults, fixed, rows)
    if kind in ("grid", "list"):
        _no_twins(where, runs, varied)
    return Plan(
        name=name,
        case=case,
        kind=kind,
        varied=varied,
        runs=tuple(runs),
        title=_title(where, name, content.get("title")),
        limits=_limits(where, content.get("limits") or {}),
        base=base,
    )


def _rows(
    where: str, way: str, content: Any, defaults: Mapping[str, Any]
) -> tuple[Kind, list[dict[str, Any]], int | None]:
    """What varies, a mapping a run; the number of base points of a saltelli plan."""
    if way == "list":
        if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
            raise CaseError(f"{where}: list: a list of mappings, a run each, is wanted")
        if not content:
            raise CaseError(f"{where}: list: no run")
        _count(where, len(content), str(len(content)))
        return "list", content, None
    if way == "grid":
        axes = {
            key: _axis(f"{where}: grid: {key}", values)
            for key, values in _mapping(where, "grid", content).items()
        }
        if not axes or not all(axes.values()):
            empty = [key for key, values in axes.items() if not values]
            raise CaseError(f"{where}: grid: no run{': no value for ' if empty else ''}"
                            f"{', '.join(empty)}")  # fmt: skip
        sizes = [len(values) for values in axes.values()]
        _count(where, math.prod(sizes), " × ".join(map(str, sizes)))
        rows = [dict(zip(axes, row, strict=True)) for row in itertools.product(*axes.values())]
        return "grid", rows, None
    return _draws(where, _mapping(where, "draws", content), defaults)


def _axis(where: str, values: Any) -> list[Any]:
    """The values of one parameter: a list, or a range in even steps."""
    if isinstance(values, list):
        return values
    if not isinstance(values, dict):
        raise CaseError(f"{where}: a list, or {{from, to, steps}}, is wanted, not {values!r}")
    _known(where, values, _RANGE)
    low, high = _ends(where, values)
    steps = values.get("steps")
    if type(steps) is not int or steps < 2:
        raise CaseError(f"{where}: steps: a whole number of at least 2 is wanted, not {steps!r}")
    _count(where, steps, str(steps))
    at = np.linspace(0, 1, steps)
    return [float(f"{value:.12g}") for value in _stretched(where, at, low, high, values)]


def _draws(
    where: str, content: Mapping[str, Any], defaults: Mapping[str, Any]
) -> tuple[Kind, list[dict[str, Any]], int | None]:
    where = f"{where}: draws"
    _known(where, content, _DRAWS)
    method, runs, seed = (content.get(key) for key in ("method", "runs", "seed"))
    if method not in _METHODS:
        raise CaseError(f"{where}: method: one of {', '.join(_METHODS)} is wanted, not {method!r}")
    if type(runs) is not int or runs < 1:
        raise CaseError(f"{where}: runs: a whole number of at least 1 is wanted, not {runs!r}")
    if type(seed) is not int or seed < 0:
        raise CaseError(f"{where}: seed: a whole number is wanted, not {seed!r}")
    over = _mapping(where, "over", content.get("over") or {})
    if not over:
        raise CaseError(f"{where}: over: no parameter to draw")
    for key, ends in over.items():
        _known(f"{where}: {key}", _mapping(where, key, ends), ("from", "to", "scale"))
        if key in defaults and isinstance(defaults[key], bool | str | list):
            raise CaseError(f"{where}: {key}: only numbers can be drawn; use a grid or a list")
    points, base = _points(where, method, runs, seed, len(over))
    columns = [
        _stretched(f"{where}: {key}", points[:, n], *_ends(f"{where}: {key}", ends), ends)
        for n, (key, ends) in enumerate(over.items())
    ]
    whole = [type(defaults.get(key)) is int for key in over]
    rows = [
        {
            key: round(float(value)) if integer else float(value)
            for key, integer, value in zip(over, whole, row, strict=True)
        }
        for row in zip(*columns, strict=True)
    ]
    return method, rows, base


def _points(
    where: str, method: str, runs: int, seed: int, size: int
) -> tuple[np.ndarray[Any, Any], int | None]:
    """Points of the unit cube, shape (runs, size)."""
    from scipy.stats import qmc  # slow to import, and a grid draws nothing

    rng = np.random.default_rng(seed)
    if method == "latin_hypercube":
        _count(where, runs, str(runs))
        return qmc.LatinHypercube(d=size, rng=rng).random(runs), None
    if runs & (runs - 1):
        raise CaseError(f"{where}: runs: a power of two is wanted for {method}, not {runs}")
    exponent = runs.bit_length() - 1
    if method == "sobol":
        _count(where, runs, str(runs))
        return qmc.Sobol(d=size, rng=rng).random_base2(exponent), None
    _count(where, runs * (size + 2), f"{runs} × ({size} + 2)")
    both = qmc.Sobol(d=2 * size, rng=rng).random_base2(exponent)
    a, b = both[:, :size], both[:, size:]
    mixed = []
    for n in range(size):
        mixed.append(a.copy())
        mixed[-1][:, n] = b[:, n]
    return np.concatenate([a, b, *mixed]), runs


def _ends(where: str, content: Mapping[str, Any]) -> tuple[float, float]:
    ends = content.get("from"), content.get("to")
    for key, end in zip(("from", "to"), ends, strict=True):
        if not isinstance(end, int | float) or type(end) is bool or not math.isfinite(end):
            raise CaseError(f"{where}: {key}: a number is wanted, not {end!r}")
    low, high = float(ends[0]), float(ends[1])  # type: ignore[arg-type]
    if not low < high:
        raise CaseError(f"{where}: from {low:g} to {high:g} is no range")
    return low, high


def _stretched(
    where: str, unit: np.ndarray[Any, Any], low: float, high: float, content: Mapping[str, Any]
) -> np.ndarray[Any, Any]:
    scale = content.get("scale", "linear")
    if scale not in ("linear", "log"):
        raise CaseError(f"{where}: scale: linear or log is wanted, not {scale!r}")
    if scale == "linear":
        return low + unit * (high - low)
    if low <= 0:
        raise CaseError(f"{where}: from: a log scale begins above 0, not at {low:g}")
    return np.clip(low * (high / low) ** unit, low, high)


def _count(where: str, runs: int, how: str) -> None:
    if runs > MOST:
        said = f"{runs:,} runs ({how})" if how != str(runs) else f"{runs:,} runs"
        raise CaseError(f"{where}: {said} are too many; at most {MOST:,}")


def _checked(
    where: str,
    case: str,
    defaults: Mapping[str, Any],
    fixed: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
) -> list[cases.Parameters]:
    """Every run's parameters, complete and typed; every distinct problem once."""
    runs, problems = [], dict[str, None]()
    for row in rows:
        try:
            runs.append(cases.check(case, {**defaults, **fixed, **row}, defaults))
        except CaseError as error:
            problems |= dict.fromkeys(str(error).splitlines()[1:])
    if problems:
        some = list(problems)[:20]
        more = f"\n  … and {len(problems) - 20} more" if len(problems) > 20 else ""
        raise CaseError(
            f"{where}: {len(problems)} parameter problem{'s' * (len(problems) > 1)}\n"
            + "\n".join(some)
            + more
        )
    return runs


def _no_twins(where: str, runs: Sequence[cases.Parameters], varied: Sequence[str]) -> None:
    seen: dict[str, int] = {}
    for number, run in enumerate(runs, 1):
        text = literal({key: run[key] for key in varied})
        if text in seen:
            raise CaseError(f"{where}: runs {seen[text]} and {number} are the same: {text}")
        seen[text] = number


def _title(where: str, name: str, title: Any) -> dict[str, str]:
    if title is None:
        return {"zh": name, "en": name}
    if not isinstance(title, dict) or set(title) != {"zh", "en"}:
        raise CaseError(f"{where}: title: both zh and en are wanted")
    return {key: str(text) for key, text in title.items()}


def _limits(where: str, content: Any) -> Limits:
    _known(f"{where}: limits", _mapping(where, "limits", content), _LIMITS)
    for key, value in content.items():
        if type(value) not in (int, float) or not value > 0:
            raise CaseError(f"{where}: limits: {key}: a number above 0 is wanted, not {value!r}")
    return Limits(**content)


def _mapping(where: str, key: str, content: Any) -> dict[str, Any]:
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise CaseError(f"{where}: {key}: a mapping is wanted, not {content!r}")
    return content


def _known(where: str, content: Mapping[str, Any], known: Sequence[str]) -> None:
    for key in content:
        if key not in known:
            raise CaseError(
                f"{where}: {key!r} is not known here{did_you_mean(str(key), known)}; "
                f"{', '.join(known)} are"
            )

"""Findings of other cases, as a synthesis takes them: by name or by formula, and with their spread.

A case whose evidence says ``reads`` takes numbers from the ``findings.json`` of others. A number
taken as it stands keeps name, value and interval; one put into another unit is worked out by a
formula over the findings and parameters of one case, and so is its interval.
"""

from __future__ import annotations

import ast
import hashlib
import json
import operator
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from o2o_research import cases
from o2o_research.errors import CaseError
from o2o_research.evidence import Claim, evidence
from o2o_research.terms import did_you_mean, term

Array = NDArray[np.float64]

DRAWS = 4000
_OPERATIONS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def path(case: str) -> Path:
    """Where the findings of a case lie."""
    return cases.home() / "reports" / case / "findings.json"


def findings(case: str) -> dict[str, Any]:
    """The content of a case's ``findings.json``.

    Raises
    ------
    CaseError
        It is missing, is none, or was found with parameters that the case does not have any more.
    """
    again = f"run o2o run {case}"
    try:
        content: dict[str, Any] = json.loads(path(case).read_text(encoding="utf-8"))
        whole = content["case"] == case and content["findings"].keys() and content["parameters"]
    except OSError:
        raise CaseError(f"{case}: its findings are wanted and not there; {again}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise CaseError(f"{case}: {path(case).name} holds no findings of this case; {again}")
    if content["parameters"].keys() != cases.case(case).defaults.keys():
        raise CaseError(f"{case}: its findings are older than its parameters; {again}")
    if content["verdicts"].keys() != evidence(case).claims.keys():
        raise CaseError(f"{case}: its findings are older than its claims; {again}")
    return content


def digests(case: str) -> dict[str, str]:
    """A hash of the findings of every case that a case reads; none for a case of an article."""
    return {
        read: hashlib.sha256(json.dumps(findings(read), sort_keys=True).encode()).hexdigest()
        for read in evidence(case).reads
    }


def claims(case: str) -> Mapping[str, Claim]:
    """The claims of a case."""
    return evidence(case).claims


def operands(formula: str) -> list[str]:
    """The names that a formula speaks of, in order.

    >>> operands("1 - moved_limit / stores")
    ['moved_limit', 'stores']
    """
    names = [node.id for node in ast.walk(_parsed(formula)) if isinstance(node, ast.Name)]
    return list(dict.fromkeys(names))


def worked_out(case: str, formula: str) -> tuple[float, float | None, float | None]:
    """Value and 90 % interval of a formula over the findings and parameters of a case.

    Where several of its numbers are uncertain they are drawn independently of one another, each
    from the law that ``spread`` gives it: the case did not keep how they move together.
    """
    known = findings(case)
    named = {name: _operand(case, name, known) for name in operands(formula)}
    if formula in named:
        return named[formula]
    drawn = {
        name: np.concatenate([[value], spread(name, value, low, high)])
        for name, (value, low, high) in named.items()
    }
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.asarray(_evaluated(_parsed(formula), drawn), float)
    if np.isnan(values[0]):
        raise CaseError(f"{case}: {formula}: no number at the stated values")
    if all(low is None for _, low, _ in named.values()):
        return float(values[0]), None, None
    known_draws = values[1:][~np.isnan(values[1:])]
    ends = np.quantile(
        known_draws, [(1 - cases.LEVEL) / 2, (1 + cases.LEVEL) / 2], method="inverted_cdf"
    )
    return float(values[0]), float(ends[0]), float(ends[1])


def spread(
    name: str, value: float, low: float | None, high: float | None, draws: int = DRAWS
) -> Array:
    """Plausible values of a number by its value and 90 % interval, shape (draws,).

    A normal with one spread on either side, on the scale that its Term gives parameters; where
    the interval has no upper end, on the scale of the reciprocal, so that draws reach infinity.
    The same number is drawn the same way wherever it is used.
    """
    if low is None or high is None:
        return np.full(draws, value)
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    steps = rng.permutation(ndtri((np.arange(draws) + 0.5) / draws))
    return np.asarray(cases.two_piece(value, min(low, value), max(high, value), term(name), steps))


def _operand(
    case: str, name: str, known: Mapping[str, Any]
) -> tuple[float, float | None, float | None]:
    if name in known["findings"]:
        entry = known["findings"][name]
        low, high = (None if entry[end] is None else float(entry[end]) for end in ("low", "high"))
        return float(entry["value"]), low, high
    if name in known["parameters"]:
        value = known["parameters"][name]
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value), *_range(case, name, float(value))
        raise CaseError(f"{case}: {name} is no number")
    names = [*known["findings"], *known["parameters"]]
    raise CaseError(f"{case}: no finding or parameter {name!r}{did_you_mean(name, names)}")


def _range(case: str, name: str, value: float) -> tuple[float | None, float | None]:
    """The plausible range of a parameter at the value it had; none where an analyst changed it."""
    origin = evidence(case).origins[name]
    if value != cases.case(case).defaults[name]:
        return None, None
    return origin.low, origin.high


def _parsed(formula: str) -> ast.expr:
    try:
        return ast.parse(formula, mode="eval").body
    except SyntaxError as error:
        raise CaseError(f"formula {formula!r}: {error.msg}") from error


def _evaluated(node: ast.expr, named: Mapping[str, Any]) -> Any:
    match node:
        case ast.Name(id=name):
            return named[name]
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATIONS:
            return _OPERATIONS[type(op)](_evaluated(left, named), _evaluated(right, named))
        case _:
            raise CaseError(
                f"formula: {ast.unparse(node)!r} is not +, -, * or / of names and numbers"
            )

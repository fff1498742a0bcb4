"""Cases: one article's notebook, parameters and evidence, checked before anything runs."""

from __future__ import annotations

import ast
import math
import os
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from scipy.special import expit, logit, ndtri

from o2o_research.data.mappings import present
from o2o_research.errors import CaseError, DataError
from o2o_research.evidence import Evidence, Origin, evidence
from o2o_research.terms import Term, Unit, did_you_mean, term

Parameters = dict[str, Any]

# A finding's interval, and the range that an origin states, hold the middle nine tenths.
LEVEL = 0.90


def home() -> Path:
    """The folder that holds ``notebooks/``, ``params/`` and ``reports/``."""
    return Path(os.environ.get("O2O_HOME") or Path(__file__).resolve().parents[1])


@dataclass(frozen=True)
class Case:
    """One article: where its parts are, and what its parameters must be."""

    name: str

    @property
    def notebook(self) -> Path:
        return home() / "notebooks" / f"{self.name}.ipynb"

    @property
    def params(self) -> Path:
        return home() / "params" / f"{self.name}.yaml"

    @property
    def evidence(self) -> Evidence:
        return evidence(self.name)

    @property
    def defaults(self) -> Parameters:
        """The values in ``params/<case>.yaml``."""
        return read_yaml(self.params)


def case_names() -> list[str]:
    """Every case that has a params file and a notebook."""
    found = {path.stem for path in (home() / "params").glob("*.yaml")}
    return sorted(found & {path.stem for path in (home() / "notebooks").glob("*.ipynb")})


def case(name: str) -> Case:
    """The case of that name; ``CaseError`` lists the cases if there is none."""
    names = case_names()
    if name not in names:
        raise CaseError(
            f"no case {name!r}{did_you_mean(name, names)}; cases: {', '.join(names) or 'none'}"
        )
    return Case(name)


class _UniqueKeys(yaml.SafeLoader):
    """YAML as written by hand: a key given twice is a mistake, not a choice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=deep)
            if key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"{key!r} is given twice", problem_mark=key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> Parameters:
    """A flat mapping from a YAML file; ``CaseError`` names the file, the line and what is wrong."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise CaseError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise CaseError(f"{path}: not UTF-8 text (byte {error.start})") from error
    try:
        content = yaml.load(text, Loader=_UniqueKeys)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise CaseError(f"{path}{line}: not valid YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise CaseError(f"{path}: not valid YAML: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise CaseError(
            f"{path}: a flat mapping of names to values is wanted, one 'name: value' a line"
        )
    return content


def check(
    name: str, given: Mapping[str, Any], defaults: Mapping[str, Any] | None = None
) -> Parameters:
    """All parameters of a case, complete and typed; one ``CaseError`` lists every problem.

    Who checks many runs of a case reads its defaults once and hands them in.
    """
    defaults = case(name).defaults if defaults is None else defaults
    problems = [
        f"{key}: unknown parameter{did_you_mean(key, defaults)}"
        for key in given
        if key not in defaults
    ]
    problems += [f"{key}: missing" for key in defaults if key not in given]
    values: Parameters = {}
    for key, default in defaults.items():
        if key in given:
            try:
                values[key] = _typed(given[key], default, term(key))
            except ValueError as error:
                problems.append(f"{key}: {error}")
    if problems:
        raise CaseError(
            f"{name}: {len(problems)} parameter problem{'s' * (len(problems) > 1)}\n"
            + "\n".join(f"  {problem}" for problem in problems)
        )
    return values


def parameters(
    name: str, file: Path | None = None, overrides: Iterable[tuple[str, str]] = ()
) -> Parameters:
    """The case's parameters: its defaults, then a file's values, then ``NAME VALUE`` pairs, checked.

    A pair's text is read by the type of the parameter it sets, so a text parameter keeps every
    character, ``#`` and all.
    """
    defaults = case(name).defaults
    merged = dict(defaults) | (read_yaml(file) if file is not None else {})
    for key, text in overrides:
        merged[key] = _parse(text, defaults.get(key))
    return check(name, merged)


def _parse(text: str, default: Any) -> Any:
    if isinstance(default, str):
        return text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _typed(value: Any, default: Any, about: Term) -> Any:
    """``value`` in the default's type and inside the Term's domain, or ``ValueError``."""
    if isinstance(default, bool) or isinstance(value, bool):
        if not (isinstance(default, bool) and isinstance(value, bool)):
            raise ValueError(f"{value!r} is not {_wanted(default)}")
        return value
    if isinstance(default, list):
        if not isinstance(value, list) or not value:
            raise ValueError(f"{value!r} is not a list with at least one entry")
        return [_typed(entry, default[0], about) for entry in value]
    if isinstance(default, float) and isinstance(value, int | float):
        value = float(value)
    elif isinstance(default, int) and isinstance(value, float) and value.is_integer():
        value = int(value)
    if type(value) is not type(default):
        raise ValueError(f"{value!r} is not {_wanted(default)}")
    if about.domain is not None and isinstance(value, int | float) and value not in about.domain:
        hint = ""
        if about.unit.scale == 100 and 1 < abs(value) <= 100:
            hint = f"; a share is wanted: for {value:g} % write {value / 100:g}"
        raise ValueError(f"{value:g} lies outside {about.domain}{hint}")
    if about.unit.en == "file" and value:
        try:
            found = isinstance(value, str) and present(value)
        except DataError as error:
            raise ValueError(str(error)) from None
        if not found:
            raise ValueError(f"no file {value!r}")
    if about.options and value not in about.options:
        raise ValueError(f"{value!r} is not one of {', '.join(map(repr, about.options))}")
    return value


def _wanted(default: Any) -> str:
    kinds = {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        str: "a text",
        date: "a date",
    }
    return kinds.get(type(default), f"a {type(default).__name__}")


def schema(name: str) -> dict[str, Any]:
    """A JSON Schema of a case's parameters, with names, units and domains for editors."""
    defaults = case(name).defaults
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Parameters of the {name} case",
        "type": "object",
        "properties": {key: _property(value, term(key)) for key, value in defaults.items()},
        "required": list(defaults),
        "additionalProperties": False,
    }


def _property(default: Any, about: Term) -> dict[str, Any]:
    kinds = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array"}
    described: dict[str, Any] = {
        "type": kinds.get(type(default), "string"),
        "title": f"{about.label('zh')} / {about.label('en')}",
        "default": default,
    }
    if isinstance(default, list):
        described |= {"items": _property(default[0], about), "minItems": 1}
        return described
    if about.options:
        described["enum"] = list(about.options)
    if about.domain is not None:
        for end, is_open, inside, outside in (
            (about.domain.low, about.domain.low_open, "minimum", "exclusiveMinimum"),
            (about.domain.high, about.domain.high_open, "maximum", "exclusiveMaximum"),
        ):
            if math.isfinite(end):
                described[outside if is_open else inside] = end
    return described


def declared(source: str) -> Parameters:
    """What a notebook's parameters cell declares: names and literal defaults, in order."""
    found: Parameters = {}
    for statement in ast.parse(source).body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=key)], value=value):
                found[key] = ast.literal_eval(value)
            case ast.AnnAssign(target=ast.Name(id=key), value=ast.expr() as value):
                found[key] = ast.literal_eval(value)
            case _:
                raise CaseError(f"parameters cell: not 'name = value': {ast.unparse(statement)}")
    return found


def plausible(name: str, values: Parameters, draws: int, seed: int) -> dict[str, Any]:
    """Each parameter as its stated value followed by ``draws`` plausible ones. Shape (draws + 1,).

    A parameter whose origin states a range is drawn so that the stated value is the median and
    the range its 5th and 95th percentiles: a normal with one spread on either side, on the
    logit scale for shares, the log scale for what must be positive. An analyst who changes the
    value moves the whole law, with the same relative spread. Parameters without a range stay
    as they are. Latin hypercube sampling, seeded.
    """
    from scipy.stats import qmc  # slow to import, and most commands draw nothing

    origins, defaults = evidence(name).origins, case(name).defaults
    spread = [key for key in values if key in origins and origins[key].low is not None]
    latin = qmc.LatinHypercube(d=max(1, len(spread)), rng=np.random.default_rng(seed))
    normal = ndtri(np.clip(latin.random(draws), 1e-9, 1 - 1e-9))
    drawn = dict(values)
    for column, key in enumerate(spread):
        steps = np.concatenate([[0.0], normal[:, column]])
        drawn[key] = _two_piece(values[key], defaults[key], origins[key], term(key), steps)
    return drawn


def _two_piece(value: float, default: float, origin: Origin, about: Term, steps: Any) -> Any:
    to, back = _scale(
        about, min(value, default, origin.low or 0.0), max(value, default, origin.high or 0.0)
    )
    return _moved(value, to(default), to(origin.low), to(origin.high), (to, back), about, steps)


def two_piece(value: float, low: float, high: float, about: Term, steps: Any) -> Any:
    """Values whose median is ``value`` and whose 5th and 95th percentiles are ``low`` and ``high``.

    ``steps`` are those of a standard normal. An end at infinity is taken on the scale of the
    reciprocal.
    """
    if math.isinf(high) and low > 0:
        plain = Term("", "", "", Unit("", ""))
        with np.errstate(divide="ignore"):
            return 1 / np.maximum(two_piece(1 / value, 0.0, 1 / low, plain, -steps), 0.0)
    if math.isinf(low) or math.isinf(high):  # nothing is known beyond the value on that side
        return np.where(steps < 0, low, high)
    to, back = _scale(about, low, high)
    return _moved(value, to(value), to(low), to(high), (to, back), about, steps)


def _moved(
    value: float, middle: Any, low: Any, high: Any, scale: tuple[Any, Any], about: Term, steps: Any
) -> Any:
    to, back = scale
    reach = float(ndtri(0.5 + LEVEL / 2))
    moved = back(to(value) + steps * np.where(steps < 0, middle - low, high - middle) / reach)
    moved = np.where(steps == 0, value, moved)
    return moved if about.domain is None else about.domain.clip(moved)


def _scale(about: Term, low: float, high: float) -> tuple[Any, Any]:
    """The scale on which a parameter's spread is taken, and the way back."""
    within = about.domain
    if within is not None and within.low == 0 and within.high == 1 and low > 0 and high < 1:
        return logit, expit
    if within is not None and within.low >= 0 and math.isinf(within.high) and low > 0:
        return np.log, np.exp
    return (lambda x: x), (lambda x: x)

"""Where each number comes from, found by running: its cell, its model methods, its parameters.

The notebook's statements are executed once, one by one, and it is noted which names each reads
and sets, which parameters it touches, which model methods it calls and which findings it makes.
Then each parameter alone is moved to either end of its plausible range, and the statements that
it reaches and that lead to a finding are executed again: what moves depends on it. The answer is
kept in ``reports/<case>/lineage.json`` under a hash of all that decides it.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import inspect
import json
import math
import multiprocessing
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import nbformat
import numpy as np

from o2o_research import cases, narrative, quotes
from o2o_research.errors import CaseError, O2OError, RunError
from o2o_research.evidence import Origin
from o2o_research.execution.orphans import die_with_parent
from o2o_research.terms import Language, Term, did_you_mean, term

PACKAGE = Path(__file__).resolve().parents[1]
FILE = "lineage.json"
# Raised when the way a lineage is found changes, so that none of the old way is taken.
FORM = 2
# One tenth either way for what has no plausible range, such as a decision.
STEP = 0.1
# A finding has moved when it differs by more than rounding does.
MOVED = 1e-9
# An end that the models refuse is tried again nearer to the stated value.
NEARER = (1.0, 0.5, 0.2)
LIMIT = 3600
# What decides how numbers are shown, or how often they are drawn, and not what they are.
_APART = ("draws", "seed")
# Modules whose functions find a root or reshape an array, whatever they are asked about.
_TOOLS = ("numerics", "__init__")
_NAME = r"(?:v[ao]n (?:der )?)?[A-Z]\w*[a-z][\w’'\-]*"
_CITED = re.compile(
    rf"({_NAME}(?:(?:, | & | and |, and ){_NAME})*(?: et al\.)?),? \(?((?:19|20)\d\d)\)?"
)
_NOT_NAMES = {
    "In",
    "Since",
    "By",
    "After",
    "Until",
    "Table",
    "January",
    "February",
    "March",
    "April",
    "May",
}

Values = dict[str, tuple[float, float | None, float | None]]


@dataclass
class Statement:
    """One statement of the notebook: what it reads, sets, touches, calls and finds."""

    cell: str
    source: str
    code: Any
    loads: frozenset[str]
    stores: frozenset[str]
    # Whether what it sets is new, and not an old object changed.
    kills: bool
    before: dict[str, Any] = field(default_factory=dict)
    touched: frozenset[str] = frozenset()
    methods: list[str] = field(default_factory=list)
    found: Values = field(default_factory=dict)
    # The cases that what it finds was taken from.
    quoted: set[str] = field(default_factory=set)
    # Whether it hands out the parameters: ``open_case``, ``at_stated``.
    opens: bool = False
    # Whether a finding comes of it.
    needed: bool = False

    @property
    def changes(self) -> frozenset[str]:
        """The names whose objects it changes in place."""
        return frozenset() if self.kills else self.stores


# ── kept ──────────────────────────────────────────────────────────────────────────────────────


def path(name: str) -> Path:
    """Where a case's lineage is kept."""
    return cases.home() / "reports" / name / FILE


def read(name: str) -> dict[str, Any] | None:
    """The lineage of a case, or None where there is none that fits notebook, models and parameters."""
    try:
        content: dict[str, Any] = json.loads(path(name).read_text(encoding="utf-8"))
        return content if content["key"] == key(name, content["read"]) else None
    except (OSError, ValueError, KeyError):
        return None


def make(name: str) -> dict[str, Any]:
    """Find the lineage of a case in a process of its own, and keep it.

    Raises
    ------
    RunError
        The notebook stops, or takes longer than an hour.
    """
    from o2o_research.execution.engine import STEADY

    cases.case(name)
    try:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", __name__, name],
            env={**os.environ, **STEADY, "O2O_LANG": "zh"},
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RunError(f"{name}: its lineage was not found within an hour", "timeout") from None
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise RunError(f"{name}: its lineage cannot be found: {reason}")
    content: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    target = path(name)
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}")
    beside.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    os.replace(beside, target)
    return content


def key(name: str, read: Sequence[str] = ()) -> str:
    """A hash of all that decides a lineage.

    That is the code cells, the models and studies that they import, the modules of ``data`` whose
    functions ran (``read``), the parameters and their ranges.
    """
    case, digest = cases.case(name), hashlib.sha256()
    imported: set[str] = set()
    for cell in _code(name):
        digest.update(cell.source.encode() + b"\0")
        imported |= imports(cell.source)
    for module in [*_closure(imported), *(PACKAGE / part for part in sorted(read))]:
        digest.update(module.name.encode() + b"\0" + module.read_bytes() + b"\0")
    ranges = {name: (o.low, o.high) for name, o in case.evidence.origins.items()}
    digest.update(json.dumps([FORM, case.defaults, ranges], default=str, sort_keys=True).encode())
    if case.evidence.reads:
        decides = [quotes.digests(name), case.evidence.frame]
        digest.update(json.dumps(decides, default=str, sort_keys=True).encode())
    return digest.hexdigest()


def _code(name: str) -> list[Any]:
    notebook = nbformat.read(  # type: ignore[no-untyped-call]
        cases.case(name).notebook, as_version=4
    )
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@cache
def imports(source: str) -> frozenset[str]:
    """The modules that Python source imports, wherever in it; of a name from one, both.

    >>> sorted(imports("import os; from o2o_research import cases"))
    ['o2o_research', 'o2o_research.cases', 'os']
    """
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)


def _closure(names: set[str]) -> list[Path]:
    """The files of models and studies that these modules import, themselves included."""
    waiting, found = list(names), set()
    while waiting:
        ours, *parts = waiting.pop().split(".")
        if ours != PACKAGE.name or not parts or parts[0] not in ("models", "studies"):
            continue
        for candidate in (
            PACKAGE.joinpath(*parts).with_suffix(".py"),
            PACKAGE.joinpath(*parts) / "__init__.py",
        ):
            if candidate.is_file() and candidate not in found:
                found.add(candidate)
                waiting += imports(candidate.read_text(encoding="utf-8"))
    return sorted(found)


def explain(name: str, finding: str, language: Language) -> list[str]:
    """Where a number of the last run comes from, a line each.

    Raises
    ------
    CaseError
        No such case or finding, or it was not run, or its lineage was not found.
    """
    from o2o_research.publishing.contents import moves  # slow to import, and a run needs neither
    from o2o_research.publishing.words import word

    try:
        found = json.loads((path(name).parent / "findings.json").read_text(encoding="utf-8"))
        record = narrative.recorded(found)
    except OSError:
        raise CaseError(f"{name} was not run: run o2o run {name}") from None
    if finding not in record.findings:
        near = did_you_mean(finding, record.findings)
        raise CaseError(f"{name} has no finding {finding!r}{near}")
    content = read(name)
    if content is None or finding not in content["findings"]:
        raise CaseError(
            f"where the numbers of {name} come from is not known for this notebook: run o2o lineage {name}"
        )
    number, made, say = (
        record.findings[finding],
        content["findings"][finding],
        partial(word, language=language),
    )
    about = number.term
    lines = [about.name(language)]
    if note := about.note.get(language):
        lines.append(f"  {say('meaning')}: {note}")
    lines.append(f"  {say('value')}: {about.format(number.value, language)}")
    if number.low is not None and number.high is not None:
        ends = about.interval(number.low, number.high, language)
        lines.append(f"  {say('interval')}: {ends} ({say(f'basis {number.basis}')})")
    lines.append(f"  {say('unit')}: {about.unit.name(language) or '—'}")
    if number.source is not None and number.formula is not None:
        taken = word("taken from", language, term(number.source).name(language))
        lines.append(f"  {say('origin')}: {taken}: {number.formula}")
        lines += [f"    o2o explain {number.source} {name}" for name in _found_there(number)]
        return lines
    lines.append(f"  {say('cell')}: {name}.ipynb, {made['cell']}")
    lines += [f"    {line}" for line in made["statement"].splitlines()]
    for method in made["methods"]:
        cited = content["methods"][method]["references"]
        model = method.split(".")[0]
        where = "; ".join(cited) or ("" if model == "studies" else f"docs/models/{model}.md")
        lines.append(f"  {say('method')}: {method}" + (f" ({where})" if where else ""))
    evidence = cases.case(name).evidence
    moving = made["moves"] or made.get("cases")
    lines.append(f"  {say('moved by')}:" + ("" if moving else f" {say('no parameter')}"))
    for case in made.get("cases", ()):
        lines.append(f"    {word('findings of', language, term(case).name(language))}")
    for key, results in moves(made):
        parameter, origin = term(key), evidence.origins[key]
        steps = "; ".join(
            f"{parameter.format(at, language)} → {about.format(float(result), language)}"
            for at, result in zip(content["tried"][key], results, strict=True)
            if result is not None
        )
        source = f" {origin.source}" if origin.source else ""
        lines.append(
            f"    {key} = {parameter.format(record.parameters[key], language)}: {steps} "
            f"[{say(f'kind {origin.kind}')}{source}]"
        )
    return lines


def _found_there(number: narrative.Finding) -> list[str]:
    """The findings, among the names that a formula speaks of, of the case it was taken from."""
    known = quotes.findings(str(number.source))["findings"]
    return [name for name in quotes.operands(str(number.formula)) if name in known]


# ── found by running ──────────────────────────────────────────────────────────────────────────


class _Noted(dict[str, Any]):
    """A mapping that notes which of its keys are asked for."""

    def __init__(self, content: Mapping[str, Any], asked: set[str]) -> None:
        super().__init__(content)
        self.asked = asked

    def __getitem__(self, key: str) -> Any:
        self.asked.add(key)
        return super().__getitem__(key)


def trace(case: cases.Case, workers: int = 2) -> dict[str, Any]:
    """The lineage of a case: every finding's cell, statement, methods, and what moves it."""
    from o2o_research.publishing.contents import moves

    statements, stated = run_once(case), case.defaults
    read = sorted(_ran)
    origins = case.evidence.origins
    trials = {
        name: ends
        for name, value in stated.items()
        if name not in _APART and (ends := tried(value, term(name), origins.get(name)))
    }
    jobs = [(name, end) for name, ends in trials.items() for end in ends]
    answers = iter(_all(statements, stated, jobs, workers))
    moved = {name: [next(answers) for _ in ends] for name, ends in trials.items()}
    findings: dict[str, Any] = {}
    for number, statement in enumerate(statements):
        for found, value in statement.found.items():
            moved_by = {
                name: [None if end is None else _figure(end.get(found, value)[0]) for end in ends]
                for name, ends in moved.items()
                if any(end is not None and _differs(end.get(found, value), value) for end in ends)
            }
            entry = {
                "cell": statement.cell,
                "statement": statement.source,
                "methods": _nearest(statements, number),
                "value": _figure(value[0]),
                "moves": moved_by,
            }
            findings[found] = entry | {"moves": dict(moves(entry))}
            if whose := _taken_from(statements, number):
                findings[found]["cases"] = whose
    methods = sorted({method for entry in findings.values() for method in entry["methods"]})
    return {
        "case": case.name,
        "key": key(case.name, read),
        "read": read,
        "tried": {name: list(ends) for name, ends in trials.items()},
        "methods": {method: _about(method) for method in methods},
        "findings": findings,
    }


def tried(value: Any, about: Term, origin: Origin | None) -> tuple[Any, ...]:
    """The values that a parameter is moved to: the ends of its range, or a step either way.

    >>> tried(0.15, term("commission_share"), None)
    (0.135, 0.165)
    """
    if about.unit.en == "file":
        return ()
    if isinstance(value, bool):
        return (not value,)
    if isinstance(value, str):
        return tuple(option for option in about.options if option != value)[:2]
    if isinstance(value, list):
        each = [tried(entry, about, None) for entry in value]
        return tuple(list(side) for side in zip(*each, strict=False)) if all(each) else ()
    if not isinstance(value, int | float):
        return ()
    if origin is not None and origin.low is not None and origin.high is not None:
        ends: tuple[Any, ...] = (origin.low, origin.high)
    else:
        step = max(1, round(STEP * abs(value))) if isinstance(value, int) else STEP * abs(value)
        ends = (value - (step or STEP), value + (step or STEP))
    typed = [round(end) if isinstance(value, int) else float(f"{end:.12g}") for end in ends]
    return tuple(
        end for end in typed if end != value and (about.domain is None or end in about.domain)
    )


def run_once(case: cases.Case) -> list[Statement]:
    """Every statement of the notebook, executed at the stated parameters and watched."""
    statements: list[Statement] = []
    names: dict[str, Any] = {"__name__": "__main__"}
    asked: set[str] = set()
    for cell in _code(case.name):
        if "parameters" in cell.metadata.get("tags", ()):
            exec(cell.source, names)
            continue
        for node in ast.parse(cell.source).body:
            statement = _read(cell.id, node)
            used = statement.loads | statement.stores
            statement.before = {
                name: _fresh(names[name], name in statement.changes)
                for name in used
                if name in names
            }
            asked.clear()
            ear = _ear(statement.found, statement.quoted)
            with _watched(statement.methods), narrative.heard(ear):
                exec(statement.code, names)
            statement.touched = frozenset(asked)
            for name in statement.stores:
                if isinstance(names[name], narrative.OpenCase):
                    statement.opens = True
                    names[name].note(lambda content: _Noted(content, asked))
            if not statement.methods:
                statement.methods += _attributes(node, names)
            statements.append(statement)
    live: set[str] = set()
    for statement in reversed(statements):
        statement.needed = bool(statement.found or statement.stores & live)
        if statement.needed:
            live -= statement.stores if statement.kills else frozenset()
            live |= statement.loads
    return statements


def again(
    statements: list[Statement], stated: Mapping[str, Any], changed: str, value: Any
) -> Values:
    """The findings that a parameter reaches, once it has another value than stated."""
    found: Values = {}
    names: dict[str, Any] = {"__name__": "__main__", **stated, changed: value}
    opened: dict[str, Any] = {}
    dirty = {changed}
    for statement in statements:
        reached = bool(statement.loads & dirty) or changed in statement.touched
        if not (reached and statement.needed) and not statement.opens:
            dirty -= statement.stores
            continue
        for name in (statement.loads | statement.stores) - dirty:
            if name in opened:
                names[name] = opened[name]
            elif name in statement.before:
                names[name] = _fresh(statement.before[name], name in statement.changes)
        with narrative.heard(_ear(found)):
            exec(statement.code, names)
        if statement.opens:
            opened |= {name: names[name] for name in statement.stores}
        else:
            dirty |= statement.stores
    return found


# What the forked processes inherit, because it cannot be sent to them.
_inherited: tuple[list[Statement], Mapping[str, Any]] = ([], {})


def _all(
    statements: list[Statement],
    stated: Mapping[str, Any],
    jobs: Sequence[tuple[str, Any]],
    workers: int,
) -> list[Values | None]:
    """What every job answers, in order: in forked processes, or one by one where none can be."""
    global _inherited
    _inherited = statements, stated
    if workers < 2 or "fork" not in multiprocessing.get_all_start_methods():
        return [_job(job) for job in jobs]
    fork = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(workers, mp_context=fork, initializer=die_with_parent) as pool:
        return list(pool.map(_job, jobs))


def _job(job: tuple[str, Any]) -> Values | None:
    """The findings at one end, or as near to it as the models go; None where they refuse all."""
    statements, stated = _inherited
    changed, end = job
    here = stated[changed]
    numeric = isinstance(end, int | float) and not isinstance(end, bool)
    for share in NEARER if numeric else (1.0,):
        value = here + share * (end - here) if numeric else end
        if numeric and isinstance(here, int):
            value = round(value)
        if value == here:
            break
        try:
            return again(statements, stated, changed, value)
        except (ArithmeticError, LookupError, TypeError, ValueError, RuntimeError, O2OError):
            continue  # the models refuse a value so far from the stated one
    return None


# ── a statement ───────────────────────────────────────────────────────────────────────────────


def _read(cell: str, node: ast.stmt) -> Statement:
    inner = {
        name.id
        for part in ast.walk(node)
        if isinstance(part, ast.comprehension)
        for name in ast.walk(part.target)
        if isinstance(name, ast.Name)
    }
    loads: set[str] = set()
    stores: set[str] = set()
    kills = True
    for part in ast.walk(node):
        if isinstance(part, ast.Name) and part.id not in inner:
            (loads if isinstance(part.ctx, ast.Load) else stores).add(part.id)
        elif isinstance(part, ast.AugAssign) and isinstance(part.target, ast.Name):
            kills = False
            loads.add(part.target.id)
        elif isinstance(part, ast.Import | ast.ImportFrom):
            stores |= {(alias.asname or alias.name).split(".")[0] for alias in part.names}
        elif isinstance(part, ast.Attribute | ast.Subscript) and isinstance(part.ctx, ast.Store):
            kills = False
            stores |= {name.id for name in ast.walk(part.value) if isinstance(name, ast.Name)}
    code = compile(ast.Module([node], []), cell, "exec")
    return Statement(cell, ast.unparse(node), code, frozenset(loads), frozenset(stores), kills)


def _fresh(value: Any, changes: bool) -> Any:
    """A generator as it was, with the streams it would spawn, and what a statement changes in place."""
    return deepcopy(value) if changes or isinstance(value, np.random.Generator) else value


def _ear(found: Values, quoted: set[str] | None = None) -> Callable[[str, Any], None]:
    """A listener that keeps findings, and whose they are, and lets all else go by."""

    def hear(kind: str, content: Any) -> None:
        if kind == narrative.FINDING:
            numbers = [content[key] for key in ("value", "low", "high")]
            value, low, high = (None if n is None else float(n) for n in numbers)
            found[content["name"]] = (float(value or 0.0), low, high)
            if quoted is not None and content.get("case"):
                quoted.add(content["case"])

    return hear


@contextmanager
def _watched(calls: list[str]) -> Iterator[None]:
    """Note the public functions of models and studies that are called, outermost ones only."""
    within: list[tuple[FrameType, str]] = []

    def watch(frame: FrameType, event: str, answer: Any) -> None:
        if event == "call":
            named = _named(frame.f_code)
            if frame.f_back is not None:
                _read_by(frame.f_code, frame.f_back.f_code)
            # A study passes through to the models that it calls.
            if named and not (within and not within[-1][1].startswith("studies.")):
                within.append((frame, named))
        elif event == "return" and within and within[-1][0] is frame:
            _, named = within.pop()
            # What answers in words made no number.
            if not isinstance(answer, str) and named not in calls:
                calls.append(named)

    sys.setprofile(watch)
    try:
        yield
    finally:
        sys.setprofile(None)
        calls.reverse()  # a study before the models it called
        if any(_is_call(name) for name in calls):
            calls[:] = [name for name in calls if _is_call(name)]


# The modules of data whose functions the notebook or a study called.
_ran: set[str] = set()


@cache
def _read_by(code: CodeType, caller: CodeType) -> None:
    file, by = Path(code.co_filename), caller.co_filename
    outside = Path(by).parent == PACKAGE / "studies" or not ("/" in by or "<" in by)
    if outside and file.parent == PACKAGE / "data" and code.co_flags & inspect.CO_OPTIMIZED:
        _ran.add(f"data/{file.name}")


@cache
def _named(code: CodeType) -> str | None:
    """``vouchers.Voucher.profit`` for code of models, ``studies.apparel.plan`` for that of studies."""
    try:
        file = Path(code.co_filename).relative_to(PACKAGE)
    except ValueError:
        return None
    file = file.with_suffix("")
    if file.parts[0] not in ("models", "studies") or file.stem in _TOOLS:
        return None
    parts = [*file.parts[file.parts[0] == "models" :], *code.co_qualname.split(".")]
    if parts[-1] == "__post_init__":
        parts.pop()
    if any(part.startswith(("_", "<")) for part in parts):
        return None
    return ".".join(parts)


def _is_call(name: str) -> bool:
    """Whether a name is that of a function, and not of a class."""
    return name.rsplit(".", 1)[-1][:1].islower()


def _attributes(node: ast.stmt, names: Mapping[str, Any]) -> list[str]:
    """Methods whose answers were kept before, such as cached properties."""
    found = []
    for part in ast.walk(node):
        if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name):
            kind = type(names.get(part.value.id))
            if kind.__module__.startswith("o2o_research.models.") and hasattr(kind, part.attr):
                owner = next((c for c in kind.__mro__ if part.attr in vars(c)), kind)
                if part.attr not in getattr(kind, "__dataclass_fields__", {}):
                    home = owner.__module__.removeprefix("o2o_research.models.")
                    found.append(f"{home}.{owner.__qualname__}.{part.attr}")
    return list(dict.fromkeys(found))


def _nearest(statements: Sequence[Statement], number: int) -> list[str]:
    """The methods a statement calls, or those behind the names that it reads."""
    seen, waiting, found = {number}, [number], []
    while waiting:
        here = waiting.pop(0)
        statement = statements[here]
        if statement.methods:
            found += [method for method in statement.methods if method not in found]
            continue
        for name in sorted(statement.loads):
            made = next((i for i in range(here - 1, -1, -1) if name in statements[i].stores), None)
            if made is not None and made not in seen and not statements[made].opens:
                seen.add(made)
                waiting.append(made)
    return found


def _taken_from(statements: Sequence[Statement], number: int) -> list[str]:
    """The cases whose findings a statement takes, or works with, in the order of their names."""
    seen, waiting, found = {number}, [number], set[str]()
    while waiting:
        here = waiting.pop()
        found |= statements[here].quoted
        for name in statements[here].loads:
            made = next((i for i in range(here - 1, -1, -1) if name in statements[i].stores), None)
            if made is not None and made not in seen:
                seen.add(made)
                waiting.append(made)
    return sorted(found)


def _about(method: str) -> dict[str, Any]:
    """What a method says of itself, and the published work that it, its class or module names."""
    parts = method.split(".")
    package = "o2o_research." if parts[0] == "studies" else "o2o_research.models."
    docs: list[str] = []
    for end in range(len(parts), 0, -1):
        try:
            thing: Any = importlib.import_module(package + ".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        docs.append(inspect.getdoc(thing) or "")
        for part in parts[end:]:
            thing = inspect.getattr_static(thing, part)
            docs.insert(0, inspect.getdoc(getattr(thing, "func", thing)) or "")
        break
    cited = next((found for doc in docs if (found := cited_in(doc))), [])
    return {"says": " ".join(docs[0].split("\n\n")[0].split()), "references": cited}


def cited_in(doc: str) -> list[str]:
    """The published works that a docstring names.

    >>> cited_in("Profit identity after Edelman, Jaffe & Kominers (2016); see Table 2.")
    ['Edelman, Jaffe & Kominers (2016)']
    >>> cited_in("Wilson's (1927) interval of a share (LMDI, Ang 2005), after van der Aalst (2016)")
    ['Wilson (1927)', 'Ang (2005)', 'van der Aalst (2016)']
    """
    found = []
    for names, year in _CITED.findall(" ".join(doc.split())):
        if names.split(" ")[0].rstrip(",") not in _NOT_NAMES:
            who = re.sub(r"['’]s$", "", names.rstrip(","))
            found.append(f"{who} ({year})")
    return list(dict.fromkeys(found))


# ── numbers ───────────────────────────────────────────────────────────────────────────────────


def _differs(one: tuple[float | None, ...], other: tuple[float | None, ...]) -> bool:
    for a, b in zip(one, other, strict=True):
        if (a is None) != (b is None):
            return True
        if a is not None and b is not None and not math.isclose(a, b, rel_tol=MOVED, abs_tol=1e-12):
            return not (math.isnan(a) and math.isnan(b))
    return False


def _figure(value: float) -> float | str:
    """Seven figures, as JSON takes them."""
    return float(f"{value:.7g}") if math.isfinite(value) else str(value)


if __name__ == "__main__":
    die_with_parent()
    print(json.dumps(trace(cases.case(sys.argv[1])), ensure_ascii=False))

"""The four verbs a notebook speaks with, and how they are read back.

``find`` records a number, ``say`` writes a sentence in both languages, ``draw`` shows a figure,
``judge`` gives the verdict on a claim. Each leaves a JSON bundle in the notebook, so one
execution serves both languages and every format. ``open_case`` comes first: it checks the
parameters and hands them out with their plausible spread.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from o2o_research import cases, quotes
from o2o_research.data.problems import notices
from o2o_research.errors import CaseError
from o2o_research.evidence import Claim
from o2o_research.figures import VEGALITE, Figure, Table, in_lab
from o2o_research.terms import Language, Term, did_you_mean, term
from o2o_research.texts import escaped

Verdict = Literal["supported", "contradicted", "depends", "untested"]
Basis = Literal["assumptions", "sample", "exact"]

CASE = "application/vnd.o2o.case+json"
FINDING = "application/vnd.o2o.finding+json"
SAY = "application/vnd.o2o.say+json"
CHART = "application/vnd.o2o.chart+json"
TABLE = "application/vnd.o2o.table+json"
VERDICT = "application/vnd.o2o.verdict+json"

VERDICT_NAMES: dict[Verdict, tuple[str, str]] = {
    "supported": ("成立", "supported"),
    "contradicted": ("不成立", "contradicted"),
    "depends": ("视条件而定", "depends"),
    "untested": ("无法检验", "cannot be tested"),
}

_RULES: dict[str, Callable[[float, float], bool]] = {
    "<": lambda value, threshold: value < threshold,
    ">": lambda value, threshold: value > threshold,
}


@dataclass(frozen=True)
class Shown:
    """A number as a sentence carries it: linked to its row in the appendix."""

    term: Term
    value: Any
    anchor: str

    @property
    def zh(self) -> str:
        return self._linked("zh")

    @property
    def en(self) -> str:
        return self._linked("en")

    def _linked(self, language: Language) -> str:
        words = self.term.format(self.value, language)
        if not isinstance(self.value, int | float):
            # A path or a name stays text, whatever marks of Markdown it holds.
            words = escaped(" ".join(words.split()))
        return f"[{words}](#{self.anchor})"


@dataclass(frozen=True)
class Finding(Shown):
    """A recorded number with its 90 % interval, where there is one."""

    low: float | None = None
    high: float | None = None
    basis: Basis = "exact"
    # For a number taken from another case: that case, and the formula over what it found.
    source: str | None = None
    formula: str | None = None

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[np.float64]:
        """The value and the ends of its interval, as charts take it."""
        known = [self.value, self.low, self.high] if self.low is not None else [self.value]
        return np.array(known, float)

    def plausible(self, draws: int) -> NDArray[np.float64]:
        """The value, then plausible ones by its interval, shape (draws + 1,)."""
        drawn = quotes.spread(self.term.key, self.value, self.low, self.high, draws)
        return np.concatenate([[self.value], drawn])

    @property
    def zh_range(self) -> str:
        """``3.8 元（90% 区间 3.1–4.5 元）``"""
        if self.low is None or self.high is None or self.low == self.high:
            return self.zh
        return f"{self.zh}（90% 区间 {self.term.interval(self.low, self.high, 'zh')}）"

    @property
    def en_range(self) -> str:
        """``3.8 yuan (90% interval 3.1–4.5 yuan)``"""
        if self.low is None or self.high is None or self.low == self.high:
            return self.en
        return f"{self.en} (90% interval {self.term.interval(self.low, self.high, 'en')})"

    def __float__(self) -> float:
        return float(self.value)


class OpenCase:
    """The parameters of a run: ``p.ticket`` to compute with, ``p["ticket"].zh`` to write.

    A parameter with a plausible range is an array, shape (draws + 1,): the stated value first,
    then draws. A model built from such arrays answers with arrays of the same kind, and
    ``find`` turns those into a value and its interval.
    """

    def __init__(self, name: str, values: Mapping[str, Any], drawn: Mapping[str, Any]) -> None:
        self.name = name
        self._values = values
        self._drawn = drawn

    def __getattr__(self, key: str) -> Any:
        try:
            return self.__dict__["_drawn"][key]
        except KeyError:
            raise AttributeError(
                f"{self.name} has no parameter {key!r}{did_you_mean(key, self._drawn)}"
            ) from None

    def at_stated(self) -> OpenCase:
        """The case with every parameter at its stated value, for models that take no draws."""
        return OpenCase(self.name, self._values, self._values)

    def note(self, by: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> None:
        """Hand the values out through a mapping that ``by`` makes of them, such as one that counts."""
        self._values, self._drawn = by(self._values), by(self._drawn)

    def __getitem__(self, key: str) -> Shown:
        return Shown(term(key), self._values[key], f"p-{key}")


# What this kernel has recorded (name -> the execution that did), and the case it opened.
_recorded: dict[str, int] = {}
_opened: list[str] = []
# Who takes the bundles instead of the notebook, if anyone does.
_listeners: list[Callable[[str, Any], None]] = []


@contextmanager
def heard(by: Callable[[str, Any], None]) -> Iterator[None]:
    """Let ``by`` take every bundle (MIME type, content) instead of the notebook.

    A name may then be recorded again: statements are executed more than once.
    """
    _listeners.append(by)
    try:
        yield
    finally:
        _listeners.remove(by)


def open_case(name: str, namespace: Mapping[str, Any]) -> OpenCase:
    """Check the parameters that ``namespace`` (``globals()``) holds, and hand them out.

    Raises
    ------
    CaseError
        Lists every parameter that is missing, of the wrong type or outside its domain.
    """
    given = {key: namespace[key] for key in cases.case(name).defaults if key in namespace}
    values = cases.check(name, given)
    drawn = cases.plausible(name, values, values.get("draws", 0), values.get("seed", 0))
    _recorded.clear()
    _opened[:] = [name]
    notices.listener = say
    _show({CASE: {"case": name, "parameters": values}}, f"{name}: {len(values)} parameters checked")
    return OpenCase(name, values, drawn)


def find(
    name: str,
    value: ArrayLike,
    low: float | None = None,
    high: float | None = None,
    *,
    basis: Basis | None = None,
) -> Finding:
    """Record a number under its Term.

    Parameters
    ----------
    name : a Term's key; recorded once a run
    value : the number, or an array: the value at the stated parameters, then at plausible ones
    low, high : 90 % interval; by default the 5th and 95th percentiles of the array's draws
    basis : what the interval speaks of, "sample" (data or simulation) or "assumptions"

    Raises
    ------
    CaseError
        No such Term, a name recorded twice, or an interval that runs backwards.
    """
    values = np.atleast_1d(np.asarray(value, dtype=float))
    if values.ndim != 1:
        raise CaseError(
            f"finding {name!r}: a number or one row of draws is wanted, got {values.shape}"
        )
    stated = float(values[0])
    if values.size > 1 and low is None:
        # inverted_cdf picks a draw, so an interval may end at infinity and never at nan.
        low, high = np.quantile(
            values[1:], [(1 - cases.LEVEL) / 2, (1 + cases.LEVEL) / 2], method="inverted_cdf"
        ).tolist()
        basis = basis or "assumptions"
    if (low is None) != (high is None) or (low is not None and high is not None and low > high):
        raise CaseError(f"finding {name!r}: interval {low} to {high} does not run upwards")
    about = term(name)
    _record(name)
    finding = Finding(
        about, stated, f"f-{name}", low, high, basis or ("exact" if low is None else "sample")
    )
    _show_finding(finding)
    return finding


def _show_finding(finding: Finding) -> None:
    about, low, high = finding.term, finding.low, finding.high
    text = " = ".join([about.key, about.format(finding.value, "en")])
    if low is not None and high is not None:
        text += f"  [{about.interval(low, high, 'en')}]"
    _show({FINDING: {"name": about.key, **_as_entry(finding)}}, text)


def _as_entry(finding: Finding) -> dict[str, Any]:
    """A finding as ``findings.json`` holds it under its name."""
    entry = {
        "value": _number(finding.value),
        "low": _number(finding.low),
        "high": _number(finding.high),
        "basis": finding.basis,
    }
    if finding.source is not None:
        entry |= {"case": finding.source, "formula": finding.formula}
    return entry


def quote(case: str, formula: str, name: str | None = None) -> Finding:
    """Record a number of another case, as it stands there or by a formula, under a Term.

    A finding taken as it stands keeps its name, value and interval; a formula over the findings
    and parameters of the case has the ``name`` of a Term of its own. The same number may be
    quoted wherever it is wanted: it has one row.

    Raises
    ------
    CaseError
        The case's findings are missing or out of date, or do not hold the name.
    """
    if not _opened or case not in cases.case(_opened[0]).evidence.reads:
        reader = _opened[0] if _opened else "no case"
        raise CaseError(f"{reader} does not read {case}: name it under reads in its evidence")
    found = quotes.findings(case)["findings"]
    value, low, high = quotes.worked_out(case, formula)
    basis: Basis = "exact" if low is None else "assumptions"
    if formula in found:
        basis = found[formula]["basis"]
    key = name or formula
    finding = Finding(term(key), value, f"f-{key}", low, high, basis, case, formula)
    if _listeners or _recorded.get(key) != _execution():
        _record(key)
        _show_finding(finding)
    return finding


def quotes_of(element: str) -> dict[str, Finding]:
    """What the opened case takes from each case it reads for one element of its frame, by case.

    A case that says nothing on the element is left out.
    """
    about = cases.case(_opened[0]).evidence if _opened else None
    if about is None or element not in about.frame:
        raise CaseError(
            f"no element {element!r}{did_you_mean(element, about.frame if about else ())}"
        )
    cells = about.frame[element]
    return {case: quote(case, *cells[case]) for case in about.reads if case in cells}


@dataclass(frozen=True)
class Judged:
    """A verdict of a case that is read: the claim, the finding that decides it, its threshold.

    ``promise`` says whether the claim promises a gain; else it warns, or sets a condition.
    """

    case: str
    claim: Claim
    promise: bool
    verdict: Verdict
    finding: Finding | None
    rule: str | None
    threshold: float | None


def judged() -> list[Judged]:
    """Every verdict of the cases that the opened case reads, in order, their findings quoted."""
    found = []
    about = cases.case(_opened[0]).evidence
    for case in about.reads:
        known = quotes.findings(case)["verdicts"]
        for key, claim in quotes.claims(case).items():
            made = known[key]
            decides = quote(case, made["finding"]) if made["finding"] else None
            at = None if made["threshold"] is None else float(made["threshold"])
            promise = key in about.promises
            found.append(Judged(case, claim, promise, made["verdict"], decides, made["rule"], at))
    return found


def say(*, zh: str, en: str) -> None:
    """Write a paragraph in both languages; numbers come in as ``{finding.zh}``, ``{finding.en}``."""
    if not zh.strip() or not en.strip():
        raise CaseError("say: a sentence is missing in one language")
    zh = _closed(zh)
    _show({SAY: {"zh": zh, "en": en}}, en, markdown=f"{zh}\n\n{en}")


def draw(what: Figure | Table, *, name: str, zh: str, en: str) -> None:
    """Show a figure or a table under a title that says what it shows, in both languages.

    ``name`` is a short key, once a run: the figure's address, and its file's name.
    """
    _record(name)
    title = {"zh": zh, "en": en}
    if isinstance(what, Table):
        bundle = {"name": name, "title": title, **what.bundle()}
        _show({TABLE: bundle}, f"{en}\n{what.frame}", markdown=f"**{zh}**\n\n{what.markdown('zh')}")
        return
    lab = in_lab(what, title)
    # Rows without words are the same for JupyterLab, and kept once: most of a notebook is rows.
    shown = lab[VEGALITE].get("datasets", {})
    worded = {k: v for k, v in what.spec.get("datasets", {}).items() if v != shown[k]}
    spec = what.spec | {"datasets": worded}
    bundle = {"name": name, "title": title, "spec": spec, "alt": what.alt}
    _show({CHART: bundle, **lab}, f"{en}: {what.alt['en']}")


def judge(
    claim: str,
    finding: Finding | None,
    rule: Literal["<", ">"] | None = None,
    threshold: float | Finding | None = None,
    *,
    zh: str,
    en: str,
) -> Verdict:
    """Give the verdict on a claim by a stated rule.

    The claim is supported where ``finding rule threshold`` holds over the whole interval,
    contradicted where it fails over the whole interval, and depends where the interval
    straddles the threshold. Without a finding it cannot be tested on what is known.
    ``zh`` and ``en`` say why, and where the verdict flips.
    """
    about = _claims().get(claim)
    if about is None:
        raise CaseError(f"no claim {claim!r}{did_you_mean(claim, _claims())}")
    _record(f"claim {claim}")
    zh = _closed(zh)
    at = None if threshold is None else float(threshold)
    verdict: Verdict = "untested"
    if finding is not None:
        if rule not in _RULES or at is None:
            raise CaseError(f"judge {claim}: a rule, < or >, and a threshold are wanted")
        verdict = decide(finding, rule, at)
    bundle = {
        "claim": claim,
        "verdict": verdict,
        "finding": finding and finding.term.key,
        "rule": rule,
        "threshold": _number(at),
        "threshold_finding": threshold.term.key if isinstance(threshold, Finding) else None,
        "zh": zh,
        "en": en,
    }
    names = VERDICT_NAMES[verdict]
    _show(
        {VERDICT: bundle},
        f"{claim}: {names[1]}. {en}",
        markdown=f"**{claim} {names[0]}** {zh}\n\n**{claim} {names[1]}.** {en}",
    )
    return verdict


def decide(finding: Finding, rule: str, threshold: float) -> Verdict:
    """The verdict that a finding's interval gives by a rule."""
    ends = [finding.value] if finding.low is None else [finding.low, finding.value, finding.high]
    holds = [_RULES[rule](float(end), threshold) for end in ends if end is not None]
    return "supported" if all(holds) else "depends" if any(holds) else "contradicted"


@dataclass(frozen=True)
class Record:
    """What a run's notebook says: its case, parameters, findings and verdicts, in order."""

    case: str
    parameters: Mapping[str, Any]
    findings: Mapping[str, Finding]
    verdicts: Mapping[str, Mapping[str, Any]]

    def as_json(self) -> dict[str, Any]:
        """The content of ``findings.json``."""
        return {
            "case": self.case,
            "parameters": dict(self.parameters),
            "findings": {name: _as_entry(finding) for name, finding in self.findings.items()},
            "verdicts": {
                claim: {key: v[key] for key in ("verdict", "finding", "rule", "threshold")}
                for claim, v in self.verdicts.items()
            },
        }


def recorded(content: Mapping[str, Any]) -> Record:
    """The record that ``findings.json`` holds: all but the words of its verdicts."""
    findings = {
        name: _finding({"name": name, **entry}) for name, entry in content["findings"].items()
    }
    return Record(content["case"], content["parameters"], findings, content["verdicts"])


def bundles(notebook: Any) -> Iterator[tuple[int, str, Any]]:
    """Every bundle of ours in an executed notebook: (cell number, MIME type, content), in order."""
    ours = (CASE, FINDING, SAY, CHART, TABLE, VERDICT)
    for number, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            for kind, content in data.items():
                if kind == CHART:
                    rows = data.get(VEGALITE, {}).get("datasets", {})
                    spec = content["spec"]
                    content = content | {"spec": spec | {"datasets": rows | spec["datasets"]}}
                if kind in ours:
                    yield number, kind, content


def read(notebook: Any) -> Record:
    """What an executed notebook recorded.

    Raises
    ------
    CaseError
        The notebook was not executed, opens no case, or records one name twice.
    """
    opened: Mapping[str, Any] | None = None
    findings: dict[str, Finding] = {}
    verdicts: dict[str, Mapping[str, Any]] = {}
    names: set[str] = set()
    for _, kind, content in bundles(notebook):
        if kind == CASE:
            if opened is not None:
                raise CaseError("the notebook opens a case twice")
            opened = content
        key = content.get("name") or (f"claim {content['claim']}" if kind == VERDICT else None)
        if key is not None:
            if content.get("case") and findings.get(key) == _finding(content):
                continue  # quoted before
            if key in names:
                raise CaseError(f"{key!r} is recorded twice")
            names.add(key)
        if kind == FINDING:
            findings[content["name"]] = _finding(content)
        elif kind == VERDICT:
            verdicts[content["claim"]] = content
    if opened is None:
        raise CaseError("the notebook holds no results: run it first")
    return Record(opened["case"], _ordered(opened), findings, verdicts)


def _ordered(opened: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters in the order of their origins: a stored notebook keeps them by letter."""
    given = opened["parameters"]
    known = [name for name in cases.Case(opened["case"]).evidence.origins if name in given]
    return {name: given[name] for name in [*known, *sorted(set(given) - set(known))]}


def _finding(content: Mapping[str, Any]) -> Finding:
    low, high = (None if content[end] is None else float(content[end]) for end in ("low", "high"))
    name, value = content["name"], float(content["value"])
    quoted = content.get("case"), content.get("formula")
    return Finding(term(name), value, f"f-{name}", low, high, content["basis"], *quoted)


def _claims() -> Mapping[str, Any]:
    if not _opened:
        raise CaseError("judge: open_case comes first")
    return cases.case(_opened[0]).evidence.claims


def _record(name: str) -> None:
    """Refuse a name twice in one cell run; a cell run again in JupyterLab replaces its own.

    Two cells with one name are found when the notebook is read back.
    """
    if _listeners:
        return
    execution = _execution()
    if _recorded.get(name) == execution:
        raise CaseError(f"{name!r} is recorded twice")
    _recorded[name] = execution


def _execution() -> int:
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    return -1 if shell is None else int(shell.execution_count)


def _closed(zh: str) -> str:
    """No space after a full-width bracket or mark, where a formatted number ends in one."""
    return re.sub(r"(?<=[（）：，；。]) +", "", zh)


def _number(value: Any) -> float | str | None:
    """A JSON number; infinities as text, which ``float`` reads back."""
    if value is None:
        return None
    return float(value) if math.isfinite(value) else str(float(value))


def _show(data: dict[str, Any], text: str, markdown: str | None = None) -> None:
    if _listeners:
        for kind, content in data.items():
            _listeners[-1](kind, content)
        return
    from IPython.display import display

    if markdown is not None:
        data = data | {"text/markdown": markdown}
    display(data | {"text/plain": text}, raw=True)  # type: ignore[no-untyped-call]

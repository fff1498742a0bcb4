"""An executed notebook made by hand: every kind of bundle, no kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from o2o_research import cases, narrative
from o2o_research.charts import Table, compare, curve
from o2o_research.terms import LANGUAGES, term, terms

CASE = "restaurants"
YUAN = [key for key, about in terms().items() if about.unit.zh == "元"]
PARAMETERS = cases.case(CASE).defaults
FINDINGS = [key for key in YUAN if key not in PARAMETERS][:2]
PLACES = [key for key, about in terms().items() if not about.unit.zh and key not in PARAMETERS][:2]
AXIS = next(key for key in YUAN if key in PARAMETERS)
STATED = {language: term(AXIS).format(PARAMETERS[AXIS], language) for language in LANGUAGES}
EARNED = {language: term(FINDINGS[0]).format(30.6, language) for language in LANGUAGES}
CLAIM = next(iter(cases.case(CASE).evidence.claims))


def prose(zh: str, en: str, *tags: str) -> list[Any]:
    return [
        new_markdown_cell(zh, metadata={"tags": ["zh", *tags]}),
        new_markdown_cell(en, metadata={"tags": ["en", *tags]}),
    ]


def shown(*bundles: tuple[str, Any], tags: tuple[str, ...] = (), source: str = "…") -> Any:
    outputs = [
        new_output("display_data", data={kind: content, "text/plain": "…"})
        for kind, content in bundles
    ]
    return new_code_cell(source, outputs=outputs, execution_count=1, metadata={"tags": list(tags)})


def case(**parameters: Any) -> Any:
    return shown((narrative.CASE, {"case": CASE, "parameters": {**PARAMETERS, **parameters}}))


def finding(name: str, value: float, low: float | None = None, high: float | None = None) -> Any:
    basis = "exact" if low is None else "assumptions"
    content = {"name": name, "value": value, "low": low, "high": high, "basis": basis}
    return narrative.FINDING, content


def said(zh: str, en: str) -> Any:
    return narrative.SAY, {"zh": zh, "en": en}


def chart(name: str, figure: Any, zh: str, en: str) -> Any:
    content = {"name": name, "title": {"zh": zh, "en": en}, "spec": figure.spec, "alt": figure.alt}
    return narrative.CHART, content


def grid(name: str, frame: pd.DataFrame, zh: str, en: str) -> Any:
    return narrative.TABLE, {"name": name, "title": {"zh": zh, "en": en}, **Table(frame).bundle()}


def verdict(zh: str, en: str) -> Any:
    content = {
        "claim": CLAIM, "verdict": "depends", "finding": FINDINGS[0], "rule": "<",
        "threshold": 40.0, "threshold_finding": FINDINGS[1], "zh": zh, "en": en,
    }  # fmt: skip
    return narrative.VERDICT, content


def executed(
    *cells: Any, title: tuple[str, str] = ("# 折扣与品牌", "# Discounts and brands")
) -> Any:
    """A notebook with a title, its case and the cells given."""
    nb = new_notebook(cells=[*prose(*title), case(), *cells])
    for number, cell in enumerate(nb.cells):
        cell["id"] = f"cell-{number}"
    return nb


def whole() -> Any:
    """A short report with everything in it."""
    first, second = FINDINGS
    x = np.linspace(20, 120, 21)
    lines = {key: np.outer(x, [0.3 + 0.1 * i, 0.2, 0.5]) - 5 * i for i, key in enumerate(PLACES)}
    bars = {key: [10.0 - 12 * i, 4.0, 15.0] for i, key in enumerate(PLACES)}
    frame = pd.DataFrame({PLACES[0]: PLACES, AXIS: [20.0, 30.0]})
    return executed(
        *prose(
            "## 一、每单账\n\n贡献 $m$ 为：\n\n$$m = p\\,(1 - c - f)$$\n\n做法见 [@dholakia2010]。",
            "## 1. Order economics\n\nContribution $m$ is\n\n$$m = p\\,(1 - c - f)$$\n\nafter [@dholakia2010].",
        ),
        shown(
            finding(first, 30.6, 17.3, 56.2),
            finding(second, 40.0),
            said(
                f"客单价 [{STATED['zh']}](#p-{AXIS}) 时贡献 [{EARNED['zh']}](#f-{first})，见 [](#fig-lines)。",
                f"At [{STATED['en']}](#p-{AXIS}) an order contributes [{EARNED['en']}](#f-{first}); see [](#fig-lines).",
            ),
        ),
        shown(
            chart(
                "lines",
                curve((AXIS, x), lines, y=first, flip=40, zero=True),
                "越高越重",
                "Dearer, heavier",
            ),
            chart("bars", compare(bars, first), "各渠道贡献", "Contribution by channel"),
            grid("channels", frame, "各渠道", "By channel"),
        ),
        *prose(
            "## 二、结论\n\n先算账，*再*打折。", "## 2. Verdicts\n\nCount *before* discounting."
        ),
        shown(
            verdict(
                f"每单 [{EARNED['zh']}](#f-{first})。",
                f"An order brings [{EARNED['en']}](#f-{first}).",
            )
        ),
        shown(
            said(
                f"折扣不是免费的：[{EARNED['zh']}](#f-{first})。",
                f"Discounts cost: [{EARNED['en']}](#f-{first}).",
            ),
            tags=("summary",),
        ),
    )

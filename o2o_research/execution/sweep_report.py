"""What a sweep tells: each finding's distribution, what moves it, and which verdicts flip where.

One page a language, made from ``runs.parquet`` alone.
"""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np
import pandas as pd

from o2o_research.charts import spread, tornado
from o2o_research.errors import PublishError
from o2o_research.execution.plans import Plan
from o2o_research.narrative import VERDICT_NAMES
from o2o_research.publishing import figures
from o2o_research.terms import Language, term

# Findings that move little say little: the page draws those that move most.
MOST = 12


def findings(frame: pd.DataFrame) -> list[str]:
    """The findings that a sweep has, without their intervals."""
    names = [
        column.removeprefix("finding.")
        for column in map(str, frame.columns)
        if column.startswith("finding.")
    ]
    return [name for name in names if not name.endswith((".low", ".high"))]


def swings(plan: Plan, frame: pd.DataFrame, finding: str) -> dict[str, tuple[float, float]]:
    """By parameter, the finding's mean at the parameter's lowest and highest fifth (or value)."""
    y = frame[f"finding.{finding}"]
    found = {}
    for key in plan.varied:
        x = frame[f"parameter.{key}"]
        if not pd.api.types.is_numeric_dtype(x) or x.nunique() < 2:
            continue
        low, high = (x.min(), x.max()) if x.nunique() < 10 else x.quantile([0.2, 0.8])
        found[key] = (float(y[x <= low].mean()), float(y[x >= high].mean()))
    return found


def indices(plan: Plan, frame: pd.DataFrame, finding: str) -> pd.DataFrame | None:
    """Sobol indices by parameter, where the plan is ``saltelli`` and every run is ``ok``.

    Columns ``first`` and ``total``; None where they cannot be had, or the finding never moves.
    """
    if plan.base is None or len(frame) != len(plan.runs) or (frame["state"] != "ok").any():
        return None
    from scipy.stats import sobol_indices  # slow to import

    y = frame[f"finding.{finding}"].to_numpy(float)
    if not np.isfinite(y).all() or np.ptp(y) == 0:
        return None
    a, b, mixed = y[: plan.base], y[plan.base : 2 * plan.base], y[2 * plan.base :]
    found = sobol_indices(
        func={"f_A": a[None], "f_B": b[None], "f_AB": mixed.reshape(len(plan.varied), 1, -1)},
        n=plan.base,
    )
    return pd.DataFrame(
        {"first": found.first_order.ravel(), "total": found.total_order.ravel()},
        index=list(plan.varied),
    )


def flips(plan: Plan, frame: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Claims whose verdict is not the same in every run: by verdict, runs and ranges of parameters."""
    found: dict[str, dict[str, Any]] = {}
    for column in map(str, frame.columns):
        if not column.startswith("verdict.") or frame[column].nunique() < 2:
            continue
        verdicts = found.setdefault(column.removeprefix("verdict."), {})
        for verdict in frame[column].dropna().unique():
            part = frame[frame[column] == verdict]
            spans = {key: part[f"parameter.{key}"] for key in plan.varied}
            verdicts[str(verdict)] = {"runs": len(part)} | {
                key: (float(values.min()), float(values.max()))
                for key, values in spans.items()
                if pd.api.types.is_numeric_dtype(values)
            }
    return found


def page(plan: Plan, frame: pd.DataFrame, language: Language) -> str:
    """The report of a sweep, one file that asks the network for nothing."""

    def say(zh: str, en: str) -> str:
        return zh if language == "zh" else en

    good = frame[frame["state"] == "ok"]
    parts = [
        f"<h1>{escape(plan.title[language])}</h1>",
        f"<p>{say(f'共 {len(frame)} 次运行，其中 {len(good)} 次正常完成。', f'{len(frame)} runs, {len(good)} of them ok.')}</p>",
    ]
    bad = frame[frame["state"] != "ok"]["state"].value_counts()
    if len(bad):
        said = say("、", ", ").join(f"{state} {count}" for state, count in bad.items())
        parts.append(f"<p>{say('未完成：', 'Not ok: ')}{escape(said)}</p>")
    parts.append(f"<h2>{say('哪些结论会翻转', 'Verdicts that flip, and where')}</h2>")
    parts.append(_flips(plan, good, language, say) or f"<p>{say('没有。', 'None.')}</p>")
    moving = [
        name
        for name in findings(good)
        if np.isfinite(y := good[f"finding.{name}"].to_numpy(float)).all() and np.ptp(y) > 0
    ]
    width = {
        name: float(np.ptp(good[f"finding.{name}"]) / (good[f"finding.{name}"].abs().mean() or 1))
        for name in moving
    }
    moving.sort(key=lambda name: -width[name])
    parts.append(f"<h2>{say('各项结果的分布与影响因素', 'Each finding: distribution, and what moves it')}</h2>")  # fmt: skip
    parts.append(_quantiles(good, moving, language, say))
    for name in moving[:MOST]:
        parts.append(f"<h3>{escape(term(name).label(language))}</h3>")
        y = good[f"finding.{name}"].to_numpy(float)
        parts.append(
            _picture(spread(name, y, level=float(np.median(y))), f"spread-{name}", language)
        )
        ends = swings(plan, good, name)
        if ends:
            parts.append(
                _picture(tornado(name, float(np.median(y)), ends), f"tornado-{name}", language)
            )
        sobol = indices(plan, frame, name)
        if sobol is not None:
            parts.append(_indices(sobol, language, say))
    lang = "zh-Hans" if language == "zh" else "en"
    style = (
        "body{font:1rem/1.7 system-ui,'PingFang SC','Microsoft YaHei','Noto Sans SC',sans-serif;"
        "max-width:48rem;margin:2rem auto;padding:0 1rem}table{border-collapse:collapse}"
        "td,th{padding:.2rem .8rem;border-bottom:1px solid #d9dee4;text-align:right}"
        "td:first-child,th:first-child{text-align:left}svg{max-width:100%;height:auto}"
    )
    return (
        f'<!DOCTYPE html>\n<html lang="{lang}">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{escape(plan.title[language])}</title>\n<style>{style}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def _flips(plan: Plan, frame: pd.DataFrame, language: Language, say: Any) -> str:
    rows = []
    for claim, verdicts in flips(plan, frame).items():
        for verdict, where in verdicts.items():
            spans = say("；", "; ").join(
                f"{term(key).name(language)} {term(key).interval(ends[0], ends[1], language)}"
                for key, ends in where.items()
                if key != "runs"
            )
            word = VERDICT_NAMES[verdict][0 if language == "zh" else 1]  # type: ignore[index]
            rows.append(
                f"<tr><td>{escape(claim)}</td><td>{escape(word)}</td><td>{where['runs']}</td>"
                f"<td>{escape(spans)}</td></tr>"
            )
    if not rows:
        return ""
    head = [say("观点", "claim"), say("结论", "verdict"), say("运行数", "runs"), say("参数范围", "parameters")]  # fmt: skip
    return _table(head, rows)


def _quantiles(frame: pd.DataFrame, names: list[str], language: Language, say: Any) -> str:
    rows = []
    for name in names:
        values = frame[f"finding.{name}"].quantile([0, 0.05, 0.5, 0.95, 1])
        cells = "".join(f"<td>{escape(term(name).format(v, language))}</td>" for v in values)
        rows.append(f"<tr><td>{escape(term(name).name(language))}</td>{cells}</tr>")
    head = [say("结果", "finding"), say("最小", "least"), "5%", say("中位", "median"), "95%", say("最大", "most")]  # fmt: skip
    return _table(head, rows)


def _indices(sobol: pd.DataFrame, language: Language, say: Any) -> str:
    rows = [
        f"<tr><td>{escape(term(str(key)).name(language))}</td><td>{row['first']:.2f}</td>"
        f"<td>{row['total']:.2f}</td></tr>"
        for key, row in sobol.sort_values("total", ascending=False).iterrows()
    ]
    head = [say("参数", "parameter"), say("一阶 Sobol 指数", "Sobol, first order"), say("总效应", "total")]  # fmt: skip
    return _table(head, rows)


def _table(head: list[str], rows: list[str]) -> str:
    titles = "".join(f"<th>{escape(title)}</th>" for title in head)
    body = "\n".join(rows)
    return f"<table><thead><tr>{titles}</tr></thead><tbody>\n{body}\n</tbody></table>"


def _picture(figure: Any, name: str, language: Language) -> str:
    try:
        _, svg = figures.draw({"name": name, "spec": figure.spec}, language)
    except PublishError as error:
        raise PublishError(f"sweep report: {error}") from error
    return (
        f'<figure role="img" aria-label="{escape(figure.alt[language])}">'
        f"{figures.inline(svg, name)}</figure>"
    )

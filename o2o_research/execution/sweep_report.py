"""What a sweep tells: each finding's distribution, what moves it, and which verdicts flip where.

One page a language, made from ``runs.parquet`` alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from o2o_research import cases
from o2o_research.charts import scatter, spread, tornado
from o2o_research.errors import PublishError
from o2o_research.evidence import evidence
from o2o_research.execution.plans import Plan
from o2o_research.narrative import VERDICT_NAMES
from o2o_research.publishing import figures
from o2o_research.terms import Language, term

# Findings that move little say little: the page draws those that move most.
MOST = 12
_RESAMPLES = 200
# A parameter tells a verdict if it tells this share of the runs that the commonest verdict gets wrong.
_TELLS = 0.2
_STYLE = (
    "body{font:1rem/1.7 system-ui,'PingFang SC','Microsoft YaHei','Noto Sans SC',sans-serif;"
    "max-width:48rem;margin:2rem auto;padding:0 1rem}table{border-collapse:collapse}"
    "td,th{padding:.2rem .8rem;border-bottom:1px solid #d9dee4;text-align:right}"
    "td:first-child,th:first-child{text-align:left}svg{max-width:100%;height:auto}"
)


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

    Columns ``first`` and ``total``, and of each ``_low`` and ``_high``, the ends of a 95 % interval
    over base points drawn again; None where they cannot be had, or the finding never moves.
    """
    if plan.base is None or len(frame) != len(plan.runs) or (frame["state"] != "ok").any():
        return None
    from scipy.stats import sobol_indices  # slow to import

    y = frame[f"finding.{finding}"].to_numpy(float)
    if not np.isfinite(y).all() or np.ptp(y) == 0:
        return None
    a, b, mixed = y[: plan.base], y[plan.base : 2 * plan.base], y[2 * plan.base :]
    blocks = np.vstack([a, b, mixed.reshape(len(plan.varied), plan.base)])

    def orders(of: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        made = sobol_indices(
            func={"f_A": of[:1], "f_B": of[1:2], "f_AB": of[2:, None]}, n=plan.base
        )
        return np.stack([made.first_order.ravel(), made.total_order.ravel()])

    found = orders(blocks)
    rng = np.random.default_rng(0)
    again = [orders(blocks[:, rng.integers(plan.base, size=plan.base)]) for _ in range(_RESAMPLES)]
    low, high = np.quantile(again, [0.025, 0.975], axis=0)
    columns = {"first": found[0], "total": found[1]}
    for n, part in enumerate(("first", "total")):
        columns |= {f"{part}_low": low[n], f"{part}_high": high[n]}
    return pd.DataFrame(columns, index=list(plan.varied))


@dataclass(frozen=True)
class Turn:
    """The value of a parameter at which a verdict turns, and the share of the runs that it tells."""

    parameter: str
    at: float
    below: str
    above: str
    right: float


def counts(frame: pd.DataFrame) -> dict[str, dict[str, int]]:
    """By claim, how many runs came to each verdict, most frequent first."""
    return {
        column.removeprefix("verdict."): {
            str(verdict): int(runs) for verdict, runs in frame[column].value_counts().items()
        }
        for column in map(str, frame.columns)
        if column.startswith("verdict.")
    }


def turns(plan: Plan, frame: pd.DataFrame, claim: str) -> list[Turn]:
    """Where a claim's verdict turns, by the parameters that alone tell it, best first.

    A parameter is cut in two where the commoner verdict on each side is right most often; one
    that tells little more than the verdict that is commonest everywhere is left out.
    """
    found = []
    part = frame[frame[f"verdict.{claim}"].notna()]
    kinds, which = np.unique(part[f"verdict.{claim}"].astype(str), return_inverse=True)
    for key in plan.varied:
        x = part[f"parameter.{key}"]
        if not pd.api.types.is_numeric_dtype(x) or x.nunique() < 2:
            continue
        order = np.argsort(x.to_numpy(float), kind="stable")
        values = x.to_numpy(float)[order]
        below = np.cumsum(np.eye(len(kinds), dtype=int)[which[order]], axis=0)
        cuts = np.flatnonzero(np.diff(values))
        right = below[cuts].max(axis=1) + (below[-1] - below[cuts]).max(axis=1)
        cut = cuts[np.argmax(right)]
        sides = below[cut].argmax(), (below[-1] - below[cut]).argmax()
        common = below[-1].max()
        if right.max() - common >= _TELLS * (len(part) - common) and sides[0] != sides[1]:
            at = float((values[cut] + values[cut + 1]) / 2)
            under, over = (str(kinds[side]) for side in sides)
            found.append(Turn(key, at, under, over, float(right.max()) / len(part)))
    return sorted(found, key=lambda turn: -turn.right)


def page(plan: Plan, frame: pd.DataFrame, language: Language) -> str:
    """The report of a sweep, one file that asks the network for nothing."""
    say = _Say(language)
    good = frame[frame["state"] == "ok"]
    moving, still = _moving(good)
    parts = [
        f"<h1>{escape(plan.title[language])}</h1>",
        *_what(plan, frame, say),
        f"<h2>{say('哪些结论会翻转，在哪里翻转', 'Verdicts that turn, and where')}</h2>",
        *_verdicts(plan, good, say),
        f"<h2>{say('各项结果的分布', 'How each finding is distributed')}</h2>",
        _quantiles(good, moving, say),
    ]
    if still:
        names = say("、", ", ").join(term(name).name(language) for name in still)
        parts.append(f"<p>{say('不随这些参数变化：', 'The same in every run: ')}{escape(names)}{say('。', '.')}</p>")  # fmt: skip
    if moving:
        parts.append(f"<h2>{say('结果受什么影响', 'What moves the findings')}</h2>")
        parts.append(f"<p>{_method(plan, frame, len(moving), say)}</p>")
    for name in moving[:MOST]:
        parts.append(f"<h3>{escape(term(name).label(language))}</h3>")
        y = good[f"finding.{name}"].to_numpy(float)
        size = 1e-9 * float(np.abs(y).max())
        level = 0.0 if y.min() < -size and y.max() > size else float(np.median(y))
        bins = int(np.clip(2 * np.sqrt(len(y)), 8, 40))
        drawn = spread(name, y, level=level, bins=bins, sides=False)
        parts.append(_picture(drawn, f"spread-{name}", language))
        ends = swings(plan, good, name)
        if ends:
            drawn = tornado(name, float(np.median(y)), ends)
            parts.append(_picture(drawn, f"tornado-{name}", language))
        sobol = indices(plan, frame, name)
        if sobol is not None:
            parts.append(_indices(sobol, say))
    lang = "zh-Hans" if language == "zh" else "en"
    return (
        f'<!DOCTYPE html>\n<html lang="{lang}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(plan.title[language])}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


@dataclass(frozen=True)
class _Say:
    """The wording of a page's language."""

    language: Language

    def __call__(self, zh: str, en: str) -> str:
        return zh if self.language == "zh" else en

    def verdict(self, verdict: str) -> str:
        return self(*VERDICT_NAMES[verdict])  # type: ignore[index]


def _moving(frame: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Findings that differ between runs, those first that move most for their size; and the others."""
    moves, still = {}, []
    for name in findings(frame):
        y = frame[f"finding.{name}"].to_numpy(float)
        y = y[np.isfinite(y)]
        if len(y) == len(frame) > 0 and np.ptp(y) > 1e-12 * np.abs(y).max():
            moves[name] = float(np.ptp(y) / (np.abs(y).mean() or 1))
        elif len(y):
            still.append(name)
    return sorted(moves, key=lambda name: -moves[name]), still


def _what(plan: Plan, frame: pd.DataFrame, say: _Say) -> list[str]:
    """What was asked, what varied, what was held, and what did not end well."""
    how = {
        "grid": ("逐一组合下列取值", "every combination of the values below"),
        "list": ("逐一给定下列取值", "the values below, listed one by one"),
        "latin_hypercube": (
            "在下列范围内按拉丁超立方抽取",
            "drawn over the ranges below by Latin hypercube",
        ),
        "sobol": (
            "在下列范围内按 Sobol 序列抽取",
            "drawn over the ranges below by a Sobol sequence",
        ),
        "saltelli": (
            "在下列范围内按 Saltelli 设计抽取",
            "drawn over the ranges below in Saltelli's design",
        ),
    }[plan.kind]
    good = int((frame["state"] == "ok").sum())
    parts = [
        f"<p>{escape(evidence(plan.case).question[say.language])}</p>",
        f"<p>{say(f'共 {len(frame)} 次运行：{how[0]}，其余参数取默认值。', f'{len(frame):,} runs: {how[1]}; every other parameter at its default.')}</p>",
    ]
    rows = []
    for key in plan.varied:
        x = frame[f"parameter.{key}"]
        if pd.api.types.is_numeric_dtype(x) and not pd.api.types.is_bool_dtype(x):
            span = term(key).interval(float(x.min()), float(x.max()), say.language)
        else:
            span = say("、", ", ").join(term(key).format(v, say.language) for v in x.unique())
        rows.append(
            f"<tr><td>{escape(term(key).name(say.language))}</td><td>{escape(span)}</td>"
            f"<td>{x.nunique()}</td></tr>"
        )
    parts.append(_table([say("变动的参数", "what varied"), say("范围", "over"), say("取值数", "values")], rows))  # fmt: skip
    defaults = cases.case(plan.case).defaults
    held = [
        f"{term(key).name(say.language)} {term(key).format(value, say.language)}"
        for key, value in plan.runs[0].items()
        if key not in plan.varied and value != defaults[key]
    ]
    if held:
        parts.append(f"<p>{say('另行设定：', 'Set apart from the defaults: ')}{escape(say('；', '; ').join(held))}{say('。', '.')}</p>")  # fmt: skip
    if good < len(frame):
        bad = frame[frame["state"] != "ok"]["state"].value_counts()
        said = say("、", ", ").join(f"{state} {count}" for state, count in bad.items())
        parts.append(f"<p><strong>{say(f'只有 {good} 次正常完成，下文仅据此得出；其余：', f'Only {good} ended well, and what follows rests on these alone; the others: ')}{escape(said)}{say('。', '.')}</strong></p>")  # fmt: skip
    return parts


def _verdicts(plan: Plan, frame: pd.DataFrame, say: _Say) -> list[str]:
    claims = evidence(plan.case).claims
    parts, firm = [], []
    for claim, verdicts in counts(frame).items():
        text = f"{claim}{say('：', ': ')}{claims[claim].text[say.language]}"
        if len(verdicts) < 2:
            firm += [
                f"<tr><td>{escape(text)}</td><td>{escape(say.verdict(v))}</td></tr>"
                for v in verdicts
            ]
            continue
        parts.append(f"<h3>{escape(text)}</h3>")
        said = say("，", ", ").join(
            say(f"{say.verdict(v)} {n} 次", f"{say.verdict(v)} in {n} runs")
            for v, n in verdicts.items()
        )
        found = turns(plan, frame, claim)
        parts.append(
            f"<p>{escape(said)}{say('。', '. ')}{escape(_where(found, len(frame), say))}</p>"
        )
        if len(found) + len(plan.varied) > 2 and found:
            parts.append(_map(plan, frame, claim, found, say))
    if not parts:
        parts.append(f"<p>{say('没有：每条观点在所有运行中结论相同。', 'None: every claim has one verdict in all runs.')}</p>")  # fmt: skip
    if firm:
        parts.append(f"<p>{say('结论在所有运行中相同的观点：', 'Claims with one verdict in all runs:')}</p>")  # fmt: skip
        parts.append(_table([say("观点", "claim"), say("结论", "verdict")], firm))
    return parts


def _where(found: list[Turn], runs: int, say: _Say) -> str:
    if not found:
        return say(
            "没有哪一个参数单独决定它，要看几个参数的组合。",
            "No parameter decides it alone; it takes several together.",
        )
    turn = found[0]
    name, at = term(turn.parameter).name(say.language), term(turn.parameter).format(turn.at, say.language)  # fmt: skip
    return say(
        f"分界在{name}约为 {at}处：低于它多为“{say.verdict(turn.below)}”，高于它多为"
        f"“{say.verdict(turn.above)}”；仅凭这一个参数，{turn.right:.0%} 的运行可以判对。",
        f"It turns where {name} is about {at}: mostly {say.verdict(turn.below)} below, mostly "
        f"{say.verdict(turn.above)} above; this parameter alone tells {turn.right:.0%} of the runs.",
    )


def _map(plan: Plan, frame: pd.DataFrame, claim: str, found: list[Turn], say: _Say) -> str:
    """The verdicts over the two parameters that tell most."""
    numeric = [
        key
        for key in plan.varied
        if pd.api.types.is_numeric_dtype(frame[f"parameter.{key}"])
        and frame[f"parameter.{key}"].nunique() > 1
    ]
    first = found[0].parameter
    others = [turn.parameter for turn in found[1:]] + [key for key in numeric if key != first]
    if not others:
        return ""
    verdicts = frame[f"verdict.{claim}"]
    kinds = [verdict for verdict in VERDICT_NAMES if (verdicts == verdict).any()]
    names = ["text:" + "¦".join(VERDICT_NAMES[verdict]) for verdict in kinds]
    drawn = scatter(
        (first, frame[f"parameter.{first}"]),
        (others[0], frame[f"parameter.{others[0]}"]),
        kinds=(names, [kinds.index(verdict) for verdict in verdicts]),
    )
    return _picture(drawn, f"verdict-{claim}", say.language)


def _quantiles(frame: pd.DataFrame, names: list[str], say: _Say) -> str:
    rows = []
    for name in names:
        values = frame[f"finding.{name}"].quantile([0, 0.05, 0.5, 0.95, 1])
        cells = "".join(f"<td>{escape(term(name).format(v, say.language))}</td>" for v in values)
        rows.append(f"<tr><td>{escape(term(name).name(say.language))}</td>{cells}</tr>")
    head = [say("结果", "finding"), say("最小", "least"), "5%", say("中位", "median"), "95%", say("最大", "most")]  # fmt: skip
    return _table(head, rows)


def _method(plan: Plan, frame: pd.DataFrame, moving: int, say: _Say) -> str:
    """How to read the pictures."""
    text = say(
        "下图先给出每项结果在各次运行中的分布，再给出每个参数取最低五分之一与最高五分之一（取值少时为"
        "最小与最大值）时该结果的平均值；虚线为中位数，结果有正有负时分布图上的虚线为零。",
        "Each finding's distribution over the runs; then its mean where a parameter lies in its lowest "
        "and in its highest fifth (at its least and greatest value where it has few). The dashed line "
        "is the median, or zero in the distribution of a finding that takes both signs.",
    )
    if plan.base is not None and (frame["state"] == "ok").all():
        text += say(
            "Sobol 指数是该参数单独、以及连同与其他参数的交互，所解释的方差比例；括号内为自助法 95% 区间。",
            " A Sobol index is the share of the variance that a parameter explains alone, and with its "
            "interactions; in brackets, the bootstrap's 95% interval.",
        )
    if moving > MOST:
        text += say(f"只画变动最大的 {MOST} 项。", f" The {MOST} that move most are drawn.")
    return escape(text)


def _indices(sobol: pd.DataFrame, say: _Say) -> str:
    rows = []
    for key, row in sobol.sort_values("total", ascending=False).iterrows():
        cells = "".join(
            f"<td>{row[part]:.2f}（{row[part + '_low']:.2f} {say('至', 'to')} {row[part + '_high']:.2f}）</td>"
            if say.language == "zh"
            else f"<td>{row[part]:.2f} ({row[part + '_low']:.2f} to {row[part + '_high']:.2f})</td>"
            for part in ("first", "total")
        ).replace("-", "−")
        rows.append(f"<tr><td>{escape(term(str(key)).name(say.language))}</td>{cells}</tr>")
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

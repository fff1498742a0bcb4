"""Figures that show a decision: one builder a shape of decision, drawn with Vega-Altair.

Every builder takes Terms and numbers, and also writes what its figure shows, from its data, in
both languages: the text that stands in for the picture. ``Table`` is here for the notebooks.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, ParamSpec, cast

import altair as alt
import numpy as np
import pandas as pd
from altair.utils.schemapi import debug_mode
from numpy.typing import ArrayLike, NDArray

from o2o_research.figures import CONFIG, INK, MUTED, Figure, Table, localise
from o2o_research.terms import LANGUAGES, Language, term

__all__ = [
    "Table",
    "choice_map",
    "compare",
    "curve",
    "decision_map",
    "scatter",
    "spread",
    "tornado",
]

Array = NDArray[np.float64]
P = ParamSpec("P")
Rows = pd.DataFrame | list[dict[str, Any]]

# Distinguishable in the common colour-vision deficiencies and in grey; series differ by dash too.
SERIES = ("#0b5394", "#b45309", "#0f766e", "#7c3aed", "#6b7280", "#be123c")
DASHES = ([1, 0], [7, 3], [2, 2], [9, 3, 2, 3], [4, 2], [1, 3])
# From holding back to going ahead, each darker than the one before: told apart in grey, too.
_ACTS = ("#fbe9c8", "#e09a5b", "#4a7fbd", "#0b3d75")
SHAPES = ("circle", "triangle-up", "square", "diamond")
GAIN, LOSS, MARK = "#0b5394", "#b45309", "#be123c"


_DATA: ContextVar[list[Rows]] = ContextVar("data")


def _builder(build: Callable[P, Figure]) -> Callable[P, Figure]:
    """Builds without what takes most of Altair's time: schema and data at every step.

    The schema is held by tests, and the data go in at the end.
    """

    @functools.wraps(build)
    def built(*args: P.args, **kwargs: P.kwargs) -> Figure:
        before = _DATA.set([])
        try:
            with debug_mode(False):
                return build(*args, **kwargs)
        finally:
            _DATA.reset(before)

    return built


def _named(rows: Rows) -> Any:
    """The name by which a chart knows the rows that ``_figure`` adds to it."""
    held = _DATA.get()
    if not any(rows is each for each in held):
        held.append(rows)
    return alt.NamedData(name=f"data-{next(n for n, each in enumerate(held) if rows is each)}")


@_builder
def curve(
    x: tuple[str, ArrayLike],
    ys: Mapping[str, ArrayLike],
    *,
    y: str | None = None,
    flip: Any = None,
    at: Any = None,
    best: Any = None,
    zero: bool = False,
    level: Any = None,
    step: bool = False,
) -> Figure:
    """Lines over a decision variable, with their plausible bands, and where the decision flips.

    Parameters
    ----------
    x : (Term key, values), shape (points,)
    ys : by Term key, shape (points,) or (points, draws + 1): stated value first, then draws
    y : Term of the vertical axis; by default that of the only series
    flip : a Finding (or an array or number) on the x axis where the answer changes
    at : a Finding or a number: where the firm stands now
    best : a Finding or a number on the x axis: what to choose
    zero : whether to draw the zero line, above which money is made
    level : a Finding or a number on the y axis to compare with
    step : whether the line moves in steps
    """
    x_key, x_values = x[0], np.asarray(x[1], float)
    y_key = y or next(iter(ys))
    frame = pd.concat(
        [_long(x_values, key, values) for key, values in ys.items()], ignore_index=True
    )
    names = [f"name:{key}" for key in ys]
    if len(names) > len(DASHES):
        raise ValueError(f"{len(names)} series: no more than {len(DASHES)} can be told apart")
    x_axis = alt.X(
        "x:Q",
        title=f"term:{x_key}",
        axis=_axis(x_key),
        scale=alt.Scale(domain=[x_values.min(), x_values.max()], nice=False),
    )
    y_axis = alt.Y("y:Q", title=f"term:{y_key}", axis=_axis(y_key), scale=alt.Scale(zero=zero))
    colours = alt.Scale(domain=names, range=list(SERIES[: len(names)]))
    legend = alt.Legend(symbolType="stroke", symbolSize=500) if len(names) > 1 else None
    base = alt.Chart(_named(frame))
    interpolate = "step-after" if step else "linear"
    layers: list[Any] = []
    if "low" in frame:
        layers.append(
            base.transform_filter("isValid(datum.low)")
            .mark_area(opacity=0.16, interpolate=interpolate)
            .encode(
                x=x_axis,
                y=alt.Y("low:Q", title=f"term:{y_key}"),
                y2=alt.Y2("high:Q"),
                # Not color, so that the legend shows the lines and their dashes.
                fill=alt.Fill("series:N", scale=colours, legend=None),
            )
        )
    if zero:
        layers.append(_rule("y", 0.0, "#52606d", [1, 0], 1.0))
    if level is not None:
        layers += [
            _rule("y", _stated(level), MUTED, [5, 4]),
            _note("y", _stated(level), f"value:{y_key}:{_stated(level)}"),
        ]
    layers.append(
        base.mark_line(strokeWidth=2.5, interpolate=interpolate).encode(
            x=x_axis,
            y=y_axis,
            color=alt.Color("series:N", scale=colours, legend=legend),
            strokeDash=alt.StrokeDash(
                "series:N",
                scale=alt.Scale(domain=names, range=[list(d) for d in DASHES[: len(names)]]),
                legend=legend,
            ),
            tooltip=[
                alt.Tooltip("x:Q", title=f"term:{x_key}", format=_format(x_key)),
                alt.Tooltip("y:Q", title=f"term:{y_key}", format=_format(y_key)),
                *([alt.Tooltip("series:N", title="text:系列¦series")] if len(names) > 1 else []),
            ],
        )
    )
    for value, colour_, dash, flag in (
        (flip, MARK, [4, 3], ("转折点", "flips at")),
        (best, MARK, [4, 3], ("最优", "best at")),
        (at, INK, [1, 2], ("现状", "today")),
    ):
        if value is not None and x_values.min() <= _stated(value) <= x_values.max():
            layers += [
                _rule("x", _stated(value), colour_, dash),
                _note(
                    "x",
                    _stated(value),
                    _pair(flag, x_key, _stated(value)),
                    colour_,
                    16 if value is at else 0,
                ),
            ]
    words = {
        language: _say_curve(language, x_key, x_values, y_key, ys, flip, step)
        for language in LANGUAGES
    }
    # Else the fill's absent legend would take the lines' legend with it.
    chart = _layered(layers, resolve={"legend": {"fill": "independent"}})
    return _figure(chart, words, frame)


@_builder
def compare(
    values: Mapping[str, ArrayLike], axis: str, *, level: Any = None, sort: bool = False
) -> Figure:
    """Bars side by side with their plausible intervals, coloured by the side of ``level`` they lie on.

    ``values`` by Term key: a number, or an array with the stated value first and draws after.
    """
    rows = []
    for key, value in values.items():
        row = np.atleast_1d(np.asarray(value, float))
        low, high = _band(row[None, :]) if row.size > 1 else (row[:1], row[:1])
        rows.append({"item": f"name:{key}", "y": row[0], "low": low[0], "high": high[0]})
    frame = pd.DataFrame(rows)
    if sort:
        frame = frame.sort_values("y", ascending=False, ignore_index=True)
    pivot = 0.0 if level is None else _stated(level)
    frame["side"] = np.where(frame.y >= pivot, "gain", "loss")
    order = frame["item"].tolist()
    frame["shown"] = [f"value:{axis}:{value}" for value in frame.y]
    y_axis = alt.Y(
        "item:N", sort=order, title=None, axis=alt.Axis(labelLimit=260, labelFontSize=12.5)
    )
    base = alt.Chart(_named(frame))
    layers: list[Any] = [
        base.mark_bar(height=16, opacity=0.9).encode(
            x=alt.X("y:Q", title=f"term:{axis}", axis=_axis(axis)),
            y=y_axis,
            color=alt.Color(
                "side:N", legend=None, scale=alt.Scale(domain=["gain", "loss"], range=[GAIN, LOSS])
            ),
            tooltip=[
                alt.Tooltip("item:N", title="text:项目¦item"),
                alt.Tooltip("shown:N", title=f"name:{axis}"),
            ],
        ),
        base.mark_rule(strokeWidth=1.5, color=INK).encode(
            x=alt.X("low:Q"), x2=alt.X2("high:Q"), y=y_axis
        ),
        base.mark_text(align="left", dx=6, fontSize=12)
        .transform_calculate(edge="max(datum.high, datum.y, 0)")
        .encode(x=alt.X("edge:Q"), y=y_axis, text=alt.Text("shown:N")),
        _rule("x", 0.0, "#52606d", [1, 0], 1.0),
    ]
    if level is not None:
        layers.append(_rule("x", _stated(level), MARK, [4, 3]))
    chart = _layered(layers, height=max(90, 34 * len(frame)))
    words = {language: _say_compare(language, frame, axis) for language in LANGUAGES}
    return _figure(chart, words, frame)


@_builder
def decision_map(
    x: tuple[str, ArrayLike],
    y: tuple[str, ArrayLike],
    z: tuple[str, ArrayLike],
    *,
    at: tuple[Any, Any] | None = None,
    level: float = 0.0,
) -> Figure:
    """Where two variables together turn the answer: one side coloured gain, the other loss.

    ``z`` holds values of shape (len(y), len(x)); the line is where it equals ``level``.
    """
    xs, ys, zs = np.asarray(x[1], float), np.asarray(y[1], float), np.asarray(z[1], float)
    grid_x, grid_y = np.meshgrid(xs, ys)
    # Cells overlap a little, or the page shows through between them.
    half_x, half_y = 0.56 * np.diff(xs).mean(), 0.56 * np.diff(ys).mean()
    frame = pd.DataFrame(
        {
            "x": (grid_x - half_x).ravel(),
            "x2": (grid_x + half_x).ravel(),
            "y": (grid_y - half_y).ravel(),
            "y2": (grid_y + half_y).ravel(),
            "z": zs.ravel(),
        }
    )
    reach = float(np.nanquantile(np.abs(zs - level), 0.98)) or 1.0
    border = [
        {"x": column, "y": height}
        for column, values in zip(xs, zs.T, strict=True)
        for height in _crossings(ys, values - level)
    ]
    layers: list[Any] = [
        alt.Chart(_named(frame))
        .mark_rect(clip=True)
        .encode(
            x=alt.X(
                "x:Q",
                title=f"term:{x[0]}",
                axis=_axis(x[0]),
                scale=alt.Scale(domain=[xs.min(), xs.max()], nice=False),
            ),
            x2=alt.X2("x2:Q"),
            y=alt.Y(
                "y:Q",
                title=f"term:{y[0]}",
                axis=_axis(y[0]),
                scale=alt.Scale(domain=[ys.min(), ys.max()], nice=False),
            ),
            y2=alt.Y2("y2:Q"),
            color=alt.Color(
                "z:Q",
                title=f"term:{z[0]}",
                legend=alt.Legend(
                    title=f"term:{z[0]}",
                    titleOrient="top",
                    titleLimit=400,
                    titlePadding=6,
                    titleFontSize=12.5,
                    gradientLength=200,
                    labelExpr=f"axis:{z[0]}",
                ),
                scale=alt.Scale(
                    domain=[level - reach, level, level + reach],
                    interpolate="rgb",
                    range=["#c2410c", "#f8fafc", "#0b5394"],
                    clamp=True,
                ),
            ),
            tooltip=[
                alt.Tooltip("x:Q", title=f"term:{x[0]}", format=_format(x[0])),
                alt.Tooltip("y:Q", title=f"term:{y[0]}", format=_format(y[0])),
                alt.Tooltip("z:Q", title=f"term:{z[0]}", format=_format(z[0])),
            ],
        )
    ]
    if border:
        layers.append(
            alt.Chart(_named(border))
            .mark_line(color=INK, strokeWidth=2, clip=True)
            .encode(x=alt.X("x:Q"), y=alt.Y("y:Q"), order=alt.Order("x:Q"))
        )
    # The sides have signs, for those who see no colour, and for grey paper.
    signs = _signs(xs, ys, zs - level)
    if signs:
        layers += [
            alt.Chart(_named(signs))
            .mark_point(size=330, filled=True, color="#fff", opacity=0.8)
            .encode(x=alt.X("x:Q"), y=alt.Y("y:Q")),
            alt.Chart(_named(signs))
            .mark_text(fontSize=19, fontWeight="bold", color=INK)
            .encode(x=alt.X("x:Q"), y=alt.Y("y:Q"), text=alt.Text("t:N")),
        ]
    if at is not None:
        here = [{"x": _stated(at[0]), "y": _stated(at[1]), "t": "text:现状¦today"}]
        layers += [
            alt.Chart(_named(here))
            .mark_point(size=110, filled=True, color=INK, shape="diamond", opacity=1)
            .encode(x=alt.X("x:Q"), y=alt.Y("y:Q")),
            alt.Chart(_named(here))
            .mark_text(dx=10, align="left", fontWeight="bold")
            .encode(x=alt.X("x:Q"), y=alt.Y("y:Q"), text=alt.Text("t:N")),
        ]
    words = {
        language: _say_map(language, x[0], xs, y[0], ys, z[0], zs - level) for language in LANGUAGES
    }
    return _figure(_layered(layers), words, frame)


def _signs(xs: Array, ys: Array, zs: Array) -> list[dict[str, Any]]:
    """A plus and a minus, each in the cell that lies most in the middle of its side."""
    found = []
    for sign, side in (("+", zs > 0), ("−", zs < 0)):
        rows, columns = np.nonzero(side)
        if len(rows):
            middle = np.hypot(
                (rows - rows.mean()) / len(ys), (columns - columns.mean()) / len(xs)
            ).argmin()
            found.append({"x": xs[columns[middle]], "y": ys[rows[middle]], "t": sign})
    return found


@_builder
def choice_map(
    x: tuple[str, ArrayLike],
    y: tuple[str, ArrayLike],
    panels: Mapping[str, ArrayLike],
    acts: Sequence[str],
    *,
    at: Mapping[str, tuple[Any, Any]] | None = None,
) -> Figure:
    """What to do by two variables, a panel a firm: regions coloured by the best of several acts.

    Parameters
    ----------
    x, y : (Term key, values)
    panels : by Term key, places in ``acts``, shape (len(y), len(x))
    acts : Term keys, from holding back to going ahead
    at : by panel, where that firm stands
    """
    xs, ys = np.asarray(x[1], float), np.asarray(y[1], float)
    grid_x, grid_y = np.meshgrid(xs, ys)
    half_x, half_y = 0.5 * np.diff(xs).mean(), 0.5 * np.diff(ys).mean()
    parts = []
    for key, chosen in panels.items():
        cells = {
            "x": (grid_x - half_x).ravel(),
            "x2": (grid_x + half_x).ravel(),
            "y": (grid_y - half_y).ravel(),
            "y2": (grid_y + half_y).ravel(),
            "act": [f"name:{acts[int(code)]}" for code in np.asarray(chosen, float).ravel()],
        }
        parts.append(pd.DataFrame(cells).assign(panel=f"name:{key}"))
    frame = pd.concat(parts, ignore_index=True)
    scales = [alt.Scale(domain=[v.min(), v.max()], nice=False) for v in (xs, ys)]
    axes = {
        "x": alt.X("x:Q", title=f"term:{x[0]}", axis=_axis(x[0], 5), scale=scales[0]),
        "y": alt.Y("y:Q", title=f"term:{y[0]}", axis=_axis(y[0]), scale=scales[1]),
    }
    names = [f"name:{key}" for key in acts]
    colours = [_ACTS[round(k * 3 / max(len(acts) - 1, 1))] for k in range(len(acts))]
    layers: list[Any] = [
        alt.Chart()
        .mark_rect(clip=True)
        .transform_filter("isValid(datum.x2)")
        .encode(
            **axes,
            x2=alt.X2("x2:Q"),
            y2=alt.Y2("y2:Q"),
            color=alt.Color("act:N", scale=alt.Scale(domain=names, range=colours)),
            tooltip=[
                alt.Tooltip("x:Q", title=f"term:{x[0]}", format=_format(x[0])),
                alt.Tooltip("y:Q", title=f"term:{y[0]}", format=_format(y[0])),
                alt.Tooltip("act:N", title="text:做法¦act"),
            ],
        )
    ]
    if at is not None:
        here = [
            {"x": _stated(place[0]), "y": _stated(place[1]), "panel": f"name:{key}"}
            for key, place in at.items()
        ]
        frame = pd.concat([frame, pd.DataFrame(here).assign(t="text:现状¦today")])
        marks = alt.Chart().transform_filter("!isValid(datum.x2)")
        layers += [
            marks.mark_point(
                size=110, fill=INK, stroke="white", strokeWidth=1.5, shape="diamond", opacity=1
            ).encode(**axes),
            # A halo first: the act below may be dark.
            marks.mark_text(
                dx=9, align="left", fontWeight="bold", stroke="white", strokeWidth=3
            ).encode(**axes, text=alt.Text("t:N")),
            marks.mark_text(dx=9, align="left", fontWeight="bold").encode(
                **axes, text=alt.Text("t:N")
            ),
        ]
    head = alt.Header(title=None, labelFontSize=13, labelColor=INK)
    chart = (
        alt.layer(*layers, data=_named(frame))
        .properties(width=250, height=250)
        .facet(column=alt.Column("panel:N", sort=[f"name:{key}" for key in panels], header=head))
    )
    words = {
        language: _say_choices(language, (x[0], xs), (y[0], ys), panels, acts)
        for language in LANGUAGES
    }
    return _figure(chart.to_dict(validate=False), words, frame)


@_builder
def spread(
    key: str, draws: ArrayLike, *, level: Any = None, bins: int = 40, sides: bool = True
) -> Figure:
    """How a quantity is spread over plausible firms or draws, and how much lies past ``level``.

    Without ``sides`` one side of the level is no better than the other, and both have one colour.
    """
    values = np.asarray(draws, float)
    values = values[np.isfinite(values)]
    low, high = np.quantile(values, [0.005, 0.995])
    counts, edges = np.histogram(np.clip(values, low, high), bins=bins, range=(low, high))
    pivot = 0.0 if level is None else _stated(level)
    frame = pd.DataFrame({"x": edges[:-1], "x2": edges[1:], "share": counts / counts.sum()})
    past = (edges[:-1] + edges[1:]) / 2 >= pivot
    frame["side"] = np.where(past | (not sides), "gain", "loss")
    layers: list[Any] = [
        alt.Chart(_named(frame))
        .mark_rect(stroke="#ffffff", strokeWidth=0.5)
        .encode(
            x=alt.X(
                "x:Q", title=f"term:{key}", axis=_axis(key), scale=alt.Scale(zero=False, nice=False)
            ),
            x2=alt.X2("x2:Q"),
            y=alt.Y("share:Q", title="text:占比¦share", axis=alt.Axis(format=".0%")),
            color=alt.Color(
                "side:N", legend=None, scale=alt.Scale(domain=["gain", "loss"], range=[GAIN, LOSS])
            ),
        ),
        _rule("x", pivot, MARK, [4, 3]),
        _note("x", pivot, f"value:{key}:{pivot}", MARK),
    ]
    chart = _layered(layers, height=240)
    above = float(np.mean(values >= pivot))
    middle = float(np.median(values))
    words: dict[Language, str] = {
        "zh": f"分布图：{term(key).name('zh')}的中位数为 {term(key).format(middle, 'zh')}，"
        f"{above:.0%} 不低于 {term(key).format(pivot, 'zh')}。",
        "en": f"Distribution: the median of {term(key).en} is {term(key).format(middle, 'en')}; "
        f"{above:.0%} lies at or above {term(key).format(pivot, 'en')}.",
    }
    return _figure(chart, words, frame)


@_builder
def tornado(
    key: str, stated: float, swings: Mapping[str, tuple[float, float]], *, most: int = 8
) -> Figure:
    """What each parameter, moved over its plausible range alone, does to a finding; widest first."""
    rows = [
        {
            "item": f"name:{name}",
            "low": min(ends),
            "high": max(ends),
            "width": abs(ends[1] - ends[0]),
        }
        for name, ends in swings.items()
    ]
    frame = pd.DataFrame(rows).sort_values("width", ascending=False, ignore_index=True).head(most)
    order = frame["item"].tolist()
    y_axis = alt.Y(
        "item:N", sort=order, title=None, axis=alt.Axis(labelLimit=260, labelFontSize=12.5)
    )
    layers: list[Any] = [
        alt.Chart(_named(frame))
        .mark_bar(height=16, color=GAIN, opacity=0.85)
        .encode(
            x=alt.X("low:Q", title=f"term:{key}", axis=_axis(key)),
            x2=alt.X2("high:Q"),
            y=y_axis,
            tooltip=[
                alt.Tooltip("item:N", title="text:参数¦parameter"),
                alt.Tooltip("low:Q", format=_format(key)),
                alt.Tooltip("high:Q", format=_format(key)),
            ],
        ),
        _rule("x", 0.0, "#52606d", [1, 0], 1.0),
        _rule("x", stated, MARK, [4, 3]),
        _note("x", stated, f"value:{key}:{stated}", MARK, drop=-18),  # above the first bar
    ]
    chart = _layered(layers, height=max(90, 32 * len(frame)))
    first = frame.iloc[0]
    words = {
        language: {
            "zh": "敏感性图：影响最大的是{}，使{}在 {} 之间变动。",
            "en": "Sensitivity: {} matters most; it moves {} over {}.",
        }[language].format(
            localise(first["item"], language),
            term(key).name(language),
            term(key).interval(first.low, first.high, language),
        )
        for language in LANGUAGES
    }
    return _figure(chart, words, frame)


@_builder
def scatter(
    x: tuple[str, ArrayLike],
    y: tuple[str, ArrayLike],
    labels: Sequence[str] | None = None,
    *,
    line: bool = False,
    at: tuple[Any, Any] | None = None,
    kinds: tuple[Sequence[str], Sequence[int]] | None = None,
) -> Figure:
    """Points in a plane of two Terms, named by Term keys where ``labels`` are given; a frontier with ``line``.

    ``kinds`` tells sorts of points apart: their names (``text:…¦…``), and which each point is.
    """
    frame = pd.DataFrame({"x": np.asarray(x[1], float), "y": np.asarray(y[1], float)})
    marks: dict[str, Any] = {}
    if kinds is not None:
        names, which = kinds
        frame["kind"] = [names[n] for n in which]
        order = list(names)
        marks = {
            "color": alt.Color(
                "kind:N",
                title=None,
                scale=alt.Scale(domain=order, range=list(SERIES[: len(order)])),
                legend=alt.Legend(orient="top", labelLimit=300),
            ),
            "shape": alt.Shape(
                "kind:N",
                scale=alt.Scale(domain=order, range=list(SHAPES[: len(order)])),
            ),
        }
    if labels is not None:
        frame["label"] = [f"name:{key}" for key in labels]
    axes = {
        "x": alt.X(
            "x:Q", title=f"term:{x[0]}", axis=_axis(x[0]), scale=alt.Scale(zero=False, padding=14)
        ),
        "y": alt.Y(
            "y:Q", title=f"term:{y[0]}", axis=_axis(y[0]), scale=alt.Scale(zero=False, padding=14)
        ),
    }
    tips = [
        alt.Tooltip("x:Q", title=f"term:{x[0]}", format=_format(x[0])),
        alt.Tooltip("y:Q", title=f"term:{y[0]}", format=_format(y[0])),
    ]
    layers: list[Any] = []
    if line:
        layers.append(
            alt.Chart(_named(frame))
            .mark_line(color=SERIES[0], strokeWidth=2)
            .encode(**axes, order=alt.Order("x:Q"))
        )
    layers.append(
        alt.Chart(_named(frame))
        .mark_point(filled=True, size=64, color=SERIES[0], opacity=1)
        .encode(**axes, **marks, tooltip=tips)
    )
    if labels is not None:
        layers.append(
            alt.Chart(_named(frame))
            .mark_text(align="left", dx=8, dy=-6)
            .encode(**axes, text=alt.Text("label:N"))
        )
    if at is not None:
        here = [{"x": _stated(at[0]), "y": _stated(at[1]), "t": "text:最优¦best"}]
        layers += [
            alt.Chart(_named(here))
            .mark_point(filled=True, size=140, color=MARK, shape="diamond", opacity=1)
            .encode(x=alt.X("x:Q"), y=alt.Y("y:Q")),
            alt.Chart(_named(here))
            .mark_text(align="left", dx=10, dy=-8, color=MARK, fontWeight="bold")
            .encode(x=alt.X("x:Q"), y=alt.Y("y:Q"), text=alt.Text("t:N")),
        ]
    words = {
        language: {
            "zh": "散点图：{} 个点，{}在 {} 之间，{}在 {} 之间。",
            "en": "Scatter of {} points: {} over {}, {} over {}.",
        }[language].format(
            len(frame),
            term(x[0]).name(language),
            term(x[0]).interval(frame.x.min(), frame.x.max(), language),
            term(y[0]).name(language),
            term(y[0]).interval(frame.y.min(), frame.y.max(), language),
        )
        for language in LANGUAGES
    }
    return _figure(_layered(layers), words, frame)


def _layered(layers: Sequence[Any], **more: Any) -> dict[str, Any]:
    """One layer over the other; ``alt.layer`` would copy each several times."""
    context = {"top_level": False}
    parts = [layer.to_dict(validate=False, context=dict(context)) for layer in layers]
    return {"$schema": alt.SCHEMA_URL, "layer": parts, **more}


def _figure(chart: dict[str, Any], words: dict[Language, str], frame: pd.DataFrame) -> Figure:
    data = {f"data-{n}": _records(rows) for n, rows in enumerate(_DATA.get())}
    spec = cast(dict[str, Any], _plain(chart))
    return Figure(spec | {"config": CONFIG, "datasets": data}, words, frame)


def _records(rows: Rows) -> list[dict[str, Any]]:
    if not isinstance(rows, pd.DataFrame):
        return [_plain(row) for row in rows]
    columns, names = [], [str(name) for name in rows]
    for name in names:
        places, values = pd.factorize(rows[name], use_na_sentinel=False)
        plain = _plain(list(values))
        columns.append([plain[place] for place in places])
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _plain(value: Any) -> Any:
    """JSON that every reader takes: no numpy scalars, null for not-a-number, six figures kept."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, float | np.floating):
        return float(f"{value:.6g}") if np.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value


def _long(x: Array, key: str, values: ArrayLike) -> pd.DataFrame:
    table = np.asarray(values, float)
    frame = pd.DataFrame({"x": x, "series": f"name:{key}"})
    if table.ndim == 1:
        return frame.assign(y=table)
    low, high = _band(table[:, 1:])
    return frame.assign(y=table[:, 0], low=low, high=high)


def _band(draws: Array) -> tuple[Array, Array]:
    draws = np.asarray(draws, float)
    low, high = np.nanquantile(draws, [0.05, 0.95], axis=1, method="inverted_cdf")
    return low, high


def _stated(value: Any) -> float:
    """The stated value of a Finding, an array of draws or a number."""
    value = getattr(value, "value", value)
    return float(np.atleast_1d(np.asarray(value, float))[0])


def _axis(key: str, ticks: int = 7) -> alt.Axis:
    return alt.Axis(labelExpr=f"axis:{key}", tickCount=ticks)


def _format(key: str) -> str:
    digits = term(key).digits
    return f",.{digits}%" if term(key).unit.scale == 100 else f",.{digits}f"


def _rule(axis: str, value: float, colour: str, dash: Sequence[int], width: float = 1.5) -> Any:
    data: Rows = [{axis: value}]
    mark = alt.Chart(_named(data)).mark_rule(color=colour, strokeDash=list(dash), strokeWidth=width)
    return mark.encode(x=alt.X("x:Q")) if axis == "x" else mark.encode(y=alt.Y("y:Q"))


def _note(axis: str, value: float, text: str, colour: str = MUTED, drop: int = 0) -> Any:
    if axis == "x":
        data: Rows = [{"x": value, "t": text}]
        return (
            alt.Chart(_named(data))
            .mark_text(
                align="left", baseline="top", dx=5, dy=2 + drop, color=colour, fontWeight="bold"
            )
            .encode(x=alt.X("x:Q"), y=alt.YValue(0), text=alt.Text("t:N"))  # type: ignore[no-untyped-call]
        )
    data = [{"y": value, "t": text}]
    return (
        alt.Chart(_named(data))
        .mark_text(align="right", baseline="bottom", dy=-3, color=colour)
        .encode(x=alt.XValue("width"), y=alt.Y("y:Q"), text=alt.Text("t:N"))  # type: ignore[no-untyped-call]
    )


def _pair(words: tuple[str, str], key: str, value: float) -> str:
    return f"flag:{words[0]}¦{words[1]}|{key}:{value}"


def _crossings(x: Array, y: Array) -> Array:
    """Where a sampled curve crosses zero, by linear interpolation."""
    turn = np.flatnonzero(np.sign(y[:-1]) * np.sign(y[1:]) < 0)
    return x[turn] - y[turn] * (x[turn + 1] - x[turn]) / (y[turn + 1] - y[turn])


def _say_curve(
    language: Language,
    x_key: str,
    x: Array,
    y_key: str,
    ys: Mapping[str, ArrayLike],
    flip: Any,
    step: bool,
) -> str:
    about_x, about_y = term(x_key), term(y_key)
    parts = []
    for key, values in ys.items():
        table = np.asarray(values, float)
        line = table if table.ndim == 1 else table[:, 0]
        ends = [about_y.format(line[i], language) for i in (0, -1)]
        peak = int(np.nanargmax(line))
        inner = 0 < peak < len(line) - 1
        parts.append(
            {
                "zh": f"{term(key).zh}由 {ends[0]} 变为 {ends[1]}"
                + (
                    f"，在 {about_x.format(x[peak], 'zh')} 处最高（{about_y.format(line[peak], 'zh')}）"
                    if inner
                    else ""
                ),
                "en": f"{term(key).en} goes from {ends[0]} to {ends[1]}"
                + (
                    f", highest at {about_x.format(x[peak], 'en')} ({about_y.format(line[peak], 'en')})"
                    if inner
                    else ""
                ),
            }[language]
        )
    span = about_x.interval(float(x.min()), float(x.max()), language)
    shape = {"zh": "阶梯图" if step else "折线图", "en": "Step chart" if step else "Line chart"}[
        language
    ]
    turn = (
        ""
        if flip is None or not np.isfinite(_stated(flip))
        else {
            "zh": f"；转折点为 {about_x.format(_stated(flip), 'zh')}",
            "en": f"; the answer flips at {about_x.format(_stated(flip), 'en')}",
        }[language]
    )
    if language == "zh":
        return f"{shape}：{about_x.zh}取 {span} 时，" + "；".join(parts) + turn + "。"
    return f"{shape}: over {about_x.en} of {span}, " + "; ".join(parts) + turn + "."


def _say_compare(language: Language, frame: pd.DataFrame, axis: str) -> str:
    parts = [
        f"{localise(row['item'], language)} {term(axis).format(row['y'], language)}"
        for _, row in frame.iterrows()
    ]
    if language == "zh":
        return f"条形图（{term(axis).zh}）：" + "；".join(parts) + "。"
    return f"Bar chart of {term(axis).en}: " + "; ".join(parts) + "."


def _say_map(language: Language, x: str, xs: Array, y: str, ys: Array, z: str, zs: Array) -> str:
    share = float(np.mean(zs > 0))
    spans = (
        term(x).interval(xs.min(), xs.max(), language),
        term(y).interval(ys.min(), ys.max(), language),
    )
    if language == "zh":
        return (
            f"决策图：横轴{term(x).zh}（{spans[0]}），纵轴{term(y).zh}（{spans[1]}）；"
            f"{share:.0%} 的组合在分界线有利的一侧（{term(z).zh}）。"
        )
    return (
        f"Decision map: {term(x).en} ({spans[0]}) across, {term(y).en} ({spans[1]}) up; "
        f"{share:.0%} of the combinations lie on the favourable side of the line ({term(z).en})."
    )


def _say_choices(
    language: Language,
    x: tuple[str, Array],
    y: tuple[str, Array],
    panels: Mapping[str, ArrayLike],
    acts: Sequence[str],
) -> str:
    spans = [term(key).interval(values.min(), values.max(), language) for key, values in (x, y)]
    parts = []
    for key, chosen in panels.items():
        codes = np.asarray(chosen, float)
        shares = [f"{term(act).name(language)} {np.mean(codes == i):.0%}" for i, act in enumerate(acts)]  # fmt: skip
        parts.append(
            f"{term(key).name(language)}: {', '.join(shares)}"
            if language == "en"
            else f"{term(key).zh}：{'，'.join(shares)}"
        )
    if language == "zh":
        return (
            f"决策图：横轴{term(x[0]).zh}（{spans[0]}），纵轴{term(y[0]).zh}（{spans[1]}）；"
            + "；".join(parts)
            + "。"
        )
    return (
        f"Decision map: {term(x[0]).en} ({spans[0]}) across, {term(y[0]).en} ({spans[1]}) up; "
        + "; ".join(parts)
        + "."
    )

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import Any

import altair as alt
import numpy as np
import pytest
import vl_convert
from jsonschema import ValidationError

from o2o_research import figures
from o2o_research.charts import (
    Table,
    choice_map,
    compare,
    curve,
    decision_map,
    scatter,
    spread,
    tornado,
)
from o2o_research.figures import Figure, localise

CJK = re.compile(r"[\u3400-\u9fff]")
X = np.linspace(20.0, 120.0, 11)
DRAWS = np.linspace(0.5, 1.5, 21)
FIGURES: dict[str, Figure] = {
    "curve": curve(("ticket", X), {"dine_in": X[:, None] * DRAWS - 40, "platform_delivery": 0.5 * X - 20},
                   y="order_contribution", flip=40.0, at=68.0, zero=True, level=10.0),
    "step": curve(("ticket", X), {"order_contribution": X // 30}, step=True),
    "compare": compare({"dine_in": DRAWS, "platform_delivery": -3.0}, "order_contribution", level=0.5),
    "map": decision_map(("ticket", X), ("commission_share", np.linspace(0, 0.4, 9)),
                        ("order_contribution", X[None, :] * (0.2 - np.linspace(0, 0.4, 9))[:, None]), at=(68, 0.15)),
    "choices": choice_map(("ticket", X), ("commission_share", np.linspace(0, 0.4, 9)),
                          {"dine_in": (X[None, :] > 60) * np.ones((9, 1)), "platform_delivery": np.ones((9, 11))},
                          ["voucher", "booking"], at={"dine_in": (68, 0.15), "platform_delivery": (40, 0.2)}),
    "spread": spread("order_contribution", np.sin(np.arange(500.0)), level=0.2),
    "tornado": tornado("order_contribution", 3.0, {"ticket": (1.0, 5.0), "delivery_fee": (2.0, 4.0)}),
    "scatter": scatter(("ticket", X[:3]), ("order_contribution", [1.0, 2.0, 3.0]),
                       ["dine_in", "platform_delivery", "direct_delivery"], line=True, at=(40, 2)),
}  # fmt: skip


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_one_that_vega_lite_knows(name: str) -> None:
    alt.Chart.from_dict(FIGURES[name].spec, validate=True)


def test_a_figure_that_vega_lite_does_not_know_is_found() -> None:
    spec = json.loads(json.dumps(FIGURES["curve"].spec))
    spec["layer"][0]["mark"] = {"type": "swoosh"}
    with pytest.raises(ValidationError):
        alt.Chart.from_dict(spec, validate=True)


def luminance(colour: str) -> float:
    """Relative luminance as WCAG has it."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def told_by_colour_alone(spec: Any) -> list[str]:
    """The fields of a specification whose values only a colour tells apart."""
    flaws: list[str] = []
    if isinstance(spec, list):
        return [flaw for part in spec for flaw in told_by_colour_alone(part)]
    if not isinstance(spec, dict):
        return []
    encoding = spec.get("encoding", {})
    colour = encoding.get("color", {})
    if (field := colour.get("field")) is not None:
        others = {
            name: entry
            for name, entry in encoding.items()
            if name in ("strokeDash", "shape") and entry.get("field") == field
        }
        domain = colour["scale"].get("domain", [])
        told = [entry["scale"]["range"] for entry in others.values()]
        apart = any(len(domain) == len({str(way) for way in ways}) for ways in told)
        steps = sorted(luminance(way) for way in colour["scale"]["range"])
        grey = all((b + 0.05) / (a + 0.05) > 1.5 for a, b in pairwise(steps))
        # The sides of a map carry signs; a bar's side is where it stands beside the line.
        if field not in ("z", "side") and not apart and not (field == "act" and grey):
            flaws.append(field)
    return flaws + [flaw for part in spec.values() for flaw in told_by_colour_alone(part)]


each_figure = pytest.mark.parametrize("figure", FIGURES.values(), ids=FIGURES.keys())


def texts(spec: Any) -> str:
    return json.dumps(spec, ensure_ascii=False)


@each_figure
def test_a_figure_speaks_one_language_at_a_time(figure: Figure) -> None:
    assert not CJK.search(texts(localise(figure.spec, "en")).replace("亿", "").replace("万", ""))
    assert CJK.search(texts(localise(figure.spec, "zh")))
    for language in ("zh", "en"):
        assert not re.search(
            r'"(term|name|value|axis|text|flag):', texts(localise(figure.spec, language))
        )


@each_figure
def test_no_figure_tells_series_apart_by_colour_alone(figure: Figure) -> None:
    assert told_by_colour_alone(figure.spec) == []


def test_what_colour_alone_tells_apart_is_found() -> None:
    spec = json.loads(texts(FIGURES["curve"].spec).replace("strokeDash", "detail"))
    assert told_by_colour_alone(spec) == ["series"]


def test_both_sides_of_a_map_carry_their_sign() -> None:
    marks = [rows for rows in FIGURES["map"].spec["datasets"].values() if "t" in rows[0]]
    signs = {row["t"]: (row["x"], row["y"]) for rows in marks for row in rows}
    share = {sign: signs[sign][1] for sign in ("+", "−")}
    assert share["+"] < 0.2 < share["−"]


def test_more_series_than_can_be_told_apart_are_refused() -> None:
    with pytest.raises(ValueError, match="7 series: no more than 6"):
        curve(("ticket", X), {f"s{i}": X for i in range(7)}, y="order_contribution")


@each_figure
def test_a_figure_renders_without_a_browser(figure: Figure) -> None:
    svg = vl_convert.vegalite_to_svg(localise(figure.spec, "zh"), vl_version="5.20")
    assert svg.count("<text") > 3
    assert "NaN" not in svg
    assert "undefined" not in svg


@each_figure
def test_a_figure_says_in_words_what_it_shows(figure: Figure) -> None:
    assert CJK.search(figure.alt["zh"])
    assert not CJK.search(figure.alt["en"])
    assert re.findall(r"[\d.]+", figure.alt["zh"].replace(",", "")) == re.findall(
        r"[\d.]+\d|\d", figure.alt["en"].replace(",", "")
    )


@each_figure
def test_the_same_data_give_the_same_bytes(figure: Figure) -> None:
    again = json.loads(texts(figure.spec))
    assert again == figure.spec


def test_the_band_holds_the_middle_nine_tenths_of_the_draws() -> None:
    frame = curve(
        ("ticket", [1.0, 2.0]),
        {"order_contribution": np.tile(np.r_[5.0, np.arange(1, 101)], (2, 1))},
    ).frame
    assert frame.low.tolist() == [5.0, 5.0]
    assert frame.high.tolist() == [95.0, 95.0]
    assert frame.y.tolist() == [5.0, 5.0]


def test_the_line_of_a_decision_map_lies_where_the_answer_turns() -> None:
    x, y = np.linspace(0.0, 1.0, 11), np.linspace(0.0, 1.0, 11)
    figure = decision_map(
        ("ticket", x),
        ("commission_share", y),
        ("order_contribution", y[:, None] - x[None, :] - 0.05),
    )
    (border,) = [rows for rows in figure.spec["datasets"].values() if set(rows[0]) == {"x", "y"}]
    assert [row["y"] for row in border] == pytest.approx([row["x"] + 0.05 for row in border])


def test_not_a_number_becomes_a_gap_and_never_reaches_json() -> None:
    figure = curve(("ticket", [1.0, 2.0, 3.0]), {"order_contribution": [1.0, np.nan, 3.0]})
    assert "NaN" not in json.dumps(figure.spec)


def test_a_table_writes_numbers_as_their_terms_say() -> None:
    import pandas as pd

    table = Table(
        pd.DataFrame(
            {"dine_in": ["platform_delivery"], "commission_share": [0.15], "ticket": [68.0]}
        )
    )
    assert table.markdown("zh").splitlines() == [
        "| 堂食正价 | 平台佣金率（%） | 单均消费（元） |", "| :--- | ---: | ---: |", "| 平台配送 | 15 | 68 |",
    ]  # fmt: skip


def test_jupyterlab_draws_the_figure_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    figure, title = FIGURES["curve"], {"zh": "标题", "en": "Title"}
    assert figures.in_lab(figure, title)[figures.VEGALITE]["title"] == "标题"
    monkeypatch.setenv("O2O_LANG", "en")
    assert figures.in_lab(figure, title)[figures.VEGALITE]["title"] == "Title"

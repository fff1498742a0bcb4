"""What a reader meets, in what order, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output, new_raw_cell

from o2o_research.charts import compare
from o2o_research.errors import PublishError
from o2o_research.narrative import Shown
from o2o_research.publishing import document, pandoc
from o2o_research.publishing.document import compose
from o2o_research.terms import LANGUAGES, term

from .handmade import (
    AXIS,
    FINDINGS,
    PARAMETERS,
    case,
    chart,
    executed,
    finding,
    prose,
    said,
    shown,
    verdict,
)

FIRST = FINDINGS[0]


def words(notebook: Any, language: Any = "zh") -> str:
    return pandoc.plain_text(compose(notebook, language).blocks)


def refused(*cells: Any, **more: Any) -> str:
    with pytest.raises(PublishError) as caught:
        compose(executed(*cells, **more), "zh")
    return str(caught.value)


def refused_prose(zh: str) -> str:
    return refused(*prose(zh, "text"))


# ── order ─────────────────────────────────────────────────────────────────────────────────────


def test_the_summary_stands_first_then_verdicts_sections_and_appendices(notebook: Any) -> None:
    text = words(notebook)
    marks = ["陶然", "摘要", "什么情况下", "折扣不是免费的", "结论一览", "一、每单账", "二、结论",
             "附录 A 全部结果", "附录 B 参数与来源", "附录 C 引用文献", "附录 D 区间的含义"]  # fmt: skip
    places = [text.index(mark) for mark in marks]
    assert places == sorted(places)
    assert text.count("折扣不是免费的") == 1


def test_contents_list_the_sections_and_not_the_title(notebook: Any) -> None:
    made = compose(notebook, "en")
    assert made.title == "Discounts and brands"
    assert [section.title for section in made.sections][:2] == ["1. Order economics", "2. Verdicts"]
    assert [section.key for section in made.sections][:3] == ["section-1", "section-2", "findings"]


def test_figures_and_tables_are_numbered_and_an_empty_link_says_the_number(notebook: Any) -> None:
    zh, en = words(notebook), words(notebook, "en")
    assert "见 图 1。" in zh
    assert "see Figure 1." in en
    assert "表 1 各渠道" in zh


def test_figures_of_the_summary_are_numbered_first() -> None:
    bars = compare({AXIS: 3.0}, FIRST)
    nb = executed(
        shown(chart("later", bars, "后", "later")),
        shown(chart("sooner", bars, "先", "sooner"), tags=("summary",)),
    )
    charts = compose(nb, "en").charts
    assert pandoc.plain_text(charts["sooner"].caption) == "Figure 1 sooner"
    assert pandoc.plain_text(charts["later"].caption) == "Figure 2 later"


def test_every_finding_and_parameter_has_its_row(notebook: Any) -> None:
    tree = json.dumps(compose(notebook, "zh").blocks)
    for key in [f"f-{name}" for name in FINDINGS] + [f"p-{name}" for name in PARAMETERS]:
        assert f'["{key}", ["anchor"]' in tree


def test_a_row_leads_back_to_the_first_mention(notebook: Any) -> None:
    tree = json.dumps(compose(notebook, "zh").blocks)
    assert tree.count(f'"m-f-{FIRST}"') == 1
    assert tree.count(f'"#m-f-{FIRST}"') == 1


def test_the_appendix_gives_value_interval_and_what_it_speaks_of(notebook: Any) -> None:
    en = words(notebook, "en")
    assert term(FIRST).interval(17.3, 56.2, "en") in en
    assert "assumptions" in en


def test_a_parameter_that_was_changed_is_said_to_be_set_for_this_run(notebook: Any) -> None:
    nb = executed()
    nb.cells[2].outputs[0].data["application/vnd.o2o.case+json"]["parameters"][AXIS] = 99.0
    assert "本次设定" not in words(notebook)
    assert f"默认值 {term(AXIS).format(PARAMETERS[AXIS], 'zh')}：" in words(nb)
    assert "set for this run" in words(nb, "en")


def test_the_test_of_a_verdict_names_its_finding_its_threshold_and_links_both() -> None:
    second = FINDINGS[1]
    nb = executed(
        shown(finding(FIRST, 30.6, 17.3, 56.2), finding(second, 40.0)), shown(verdict("因", "why"))
    )
    text = words(nb, "en")
    assert f"Test: {term(FIRST).en} below {term(second).format(40.0, 'en')}" in text
    assert f"#f-{second}" in json.dumps(compose(nb, "en").blocks)


def test_sources_are_numbered_as_they_are_cited_and_only_those(notebook: Any) -> None:
    text = words(notebook)
    assert "做法见 [1]" in text
    assert "Dholakia, U. M. (2010)" in text


def test_without_sources_the_appendices_keep_their_letters_in_step() -> None:
    nb = executed()
    made = compose(nb, "zh")
    letters = [section.title[3] for section in made.sections]
    assert letters == sorted(letters)
    assert letters[0] == "A"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_formula_is_spelled_for_those_who_hear_it(notebook: Any, language: Any) -> None:
    spoken = {"zh": "m 等于 p", "en": "m equals p"}[language]
    assert spoken in json.dumps(compose(notebook, language).blocks, ensure_ascii=False)


# ── refusals: a report must not lose a thing, nor say what nobody checked ─────────────────────


def test_a_link_to_a_missing_anchor_is_refused_by_name() -> None:
    message = refused(shown(finding(FIRST, 1.0), said(f"[1 元](#f-{FIRST}x)", "one")))
    assert message.startswith(f"cell 4: a link to a missing anchor #f-{FIRST}x; did you mean ")


def test_an_unknown_source_is_refused_with_the_nearest() -> None:
    message = refused_prose("见 [@dholakia2010x]。")
    assert "no source 'dholakia2010x'" in message
    assert "did you mean 'dholakia" in message


def test_a_failed_cell_is_refused_with_its_error() -> None:
    output = new_output("error", ename="ValueError", evalue="depth=3", traceback=["/home/x"])
    assert refused(new_code_cell("x", outputs=[output], execution_count=2)) == (
        "cell 4 failed: ValueError: depth=3"
    )


def test_a_cell_that_was_not_executed_is_refused() -> None:
    assert "cell 4 was not executed" in refused(new_code_cell("find(…)"))


def test_a_notebook_that_opens_no_case_is_refused() -> None:
    nb = executed()
    nb.cells = nb.cells[:2]
    with pytest.raises(PublishError, match="holds no results"):
        compose(nb, "zh")


@pytest.mark.parametrize(
    ("output", "named"),
    [
        (new_output("stream", name="stdout", text="3.2\n"), "text on stdout ('3.2')"),
        (new_output("stream", name="stderr", text="a warning\n"), "text on stderr ('a warning')"),
        (new_output("display_data", data={"image/png": "…"}), "type image/png"),
        (
            new_output("execute_result", data={"text/plain": "3"}, execution_count=1),
            "type text/plain",
        ),
    ],
)
def test_an_output_that_would_be_lost_is_refused(output: Any, named: str) -> None:
    message = refused(new_code_cell("x", outputs=[output], execution_count=2))
    assert message.startswith("cell 4: ")
    assert named in message


def test_the_echo_of_a_verb_on_the_last_line_is_no_loss() -> None:
    cell = shown(finding(FIRST, 1.0))
    cell.outputs.append(
        new_output("execute_result", data={"text/plain": "Finding(…)"}, execution_count=1)
    )
    assert "Finding(" not in words(executed(cell))


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([new_markdown_cell("text")], "cell 4: tag this Markdown either zh or en"),
        ([prose("甲", "a")[0]], "cell 4: Chinese prose without its English"),
        ([prose("甲", "a")[0], shown()], "cell 4: Chinese prose without its English"),
        ([prose("甲", "a")[1]], "cell 4: English prose without its Chinese"),
        ([prose("甲", "a", "summary")[0], prose("甲", "a")[1]], "cells 4 and 5: a pair"),
        ([new_raw_cell("x")], "cell 4: a raw cell"),
        (prose("# 又一个", "# another"), "one title"),
        (prose("![图](a.png)", "text"), "cell 4: a picture in Markdown"),
    ],
)
def test_prose_is_refused_where(cells: list[Any], message: str) -> None:
    assert message in refused(*cells)


def test_a_parameter_without_an_origin_is_refused() -> None:
    nb = executed()
    del nb.cells[2]
    nb.cells.append(case(**{FIRST: 3.0}))
    with pytest.raises(PublishError, match=f"parameter {FIRST}: its origin"):
        compose(nb, "zh")


# ── text safety ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "target",
    ["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "other.html", "JavaScript:x"],
)
def test_a_link_that_is_no_web_address_is_refused(target: str) -> None:
    assert f"a link leads to '{target}'" in refused_prose(f"[点我]({target})")


HOSTILE = [
    "<script>alert(1)</script>", '#let x = 1; #panic("x")', "[x](javascript:alert(1))", "a | b \\| c",
    "\\def\\x{1} $x$ `code` **b**", "{{ x }} {% y %} $title", "</title></script>--><!-- ]]>", "@dholakia2010 #p-ticket",
    "*/ _a_ ~b~ ^c^ <https://x.y>", '" onclick="x', "& &lt; &#60;",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_text_of_a_parameter_stays_text(text: str) -> None:
    nb = executed()
    nb.cells[2].outputs[0].data["application/vnd.o2o.case+json"]["parameters"][AXIS] = text
    made = compose(nb, "zh")
    assert text in pandoc.plain_text(made.blocks)
    from o2o_research.publishing import page, pdf

    markup = page.render(made, {}).decode()
    assert "<script>alert" not in markup
    assert 'href="javascript' not in markup
    assert "onclick=" not in markup.replace('" onclick="x', "").replace(
        "&quot; onclick=&quot;x", ""
    )
    assert pdf.render(made, {}).startswith(b"%PDF")


@pytest.mark.parametrize("text", HOSTILE)
def test_text_in_a_sentence_stays_text(text: str) -> None:
    shown_ = Shown(term(AXIS), text, f"p-{AXIS}")
    nb = executed(shown(said(f"文件 {shown_.zh} 甲", f"file {shown_.en} b")))
    nb.cells[2].outputs[0].data["application/vnd.o2o.case+json"]["parameters"][AXIS] = text
    made = compose(nb, "zh")
    assert f"文件 {text} 甲" in pandoc.plain_text(made.blocks)


def test_markup_in_markdown_stays_text() -> None:
    text = words(
        executed(*prose("甲 <b onclick=x>乙</b> <!-- 丙 --> `x`{=html} \\textbf{丁}", "text"))
    )
    assert "<b onclick=x>乙</b> <!– 丙 –>" in text
    assert "\\textbf{丁}" in text


@pytest.mark.parametrize("mark", ["\u202e", "\u200f", "\u200b"])
def test_a_mark_that_turns_text_round_is_refused_by_name(mark: str) -> None:
    message = refused_prose(f"甲{mark}乙")
    assert f"U+{ord(mark):04X}" in message
    assert message.startswith("cell 4: ")


def test_the_private_mark_between_pieces_is_refused() -> None:
    assert "U+E000" in refused_prose("甲\n\n\ue000\n\n乙")


def test_an_open_fence_does_not_swallow_what_follows() -> None:
    text = words(executed(*prose("```\n甲", "```\na"), *prose("## 乙", "## b")))
    assert "乙" in text


# ── glyphs ────────────────────────────────────────────────────────────────────────────────────


def test_a_missing_glyph_is_refused_with_its_code_point_and_cell() -> None:
    assert refused_prose("甲 𠮷 乙") == (
        "cell 4: no glyph for “𠮷” (U+20BB7 CJK UNIFIED IDEOGRAPH-20BB7) in Noto Sans SC Regular"
    )


def test_a_glyph_that_bold_lacks_is_refused_in_bold_only() -> None:
    assert "龘" in words(executed(*prose("龘", "text")))
    assert "Noto Sans SC Bold" in refused_prose("**龘**")
    assert "Noto Sans SC Bold" in refused_prose("## 龘")


def test_a_missing_glyph_in_a_figure_is_refused_with_its_name() -> None:
    from o2o_research.publishing import figures

    bundle = chart("bars", compare({AXIS: 3.0}, FIRST), "题", "title")[1]
    bundle["spec"]["layer"][0]["encoding"]["x"]["title"] = "𠮷"
    with pytest.raises(PublishError, match=r"figure bars: no glyph for “𠮷” \(U\+20BB7"):
        figures.draw(bundle, "zh")


def test_a_missing_glyph_in_a_caption_is_refused() -> None:
    message = refused(shown(chart("bars", compare({AXIS: 3.0}, FIRST), "𠮷", "title")))
    assert message.startswith("figure bars: no glyph for “𠮷”")


def test_a_missing_glyph_in_a_formula_is_refused() -> None:
    from o2o_research.publishing import pdf

    nb = executed(*prose("$\\text{𠮷}$", "text"))
    with pytest.raises(PublishError, match=r"formula.*U\+20BB7"):
        pdf.render(compose(nb, "zh"), {})


def test_templates_are_there_for_both_languages() -> None:
    for language in LANGUAGES:
        assert "$case" in document.template(f"reading.{language}.md")


def test_the_appendix_names_the_parameters_that_move_a_number_most_and_counts_the_rest() -> None:
    keys = [key for key in PARAMETERS if isinstance(PARAMETERS[key], float)][
        : document.MOST_MOVED + 3
    ]
    nb = executed(shown(finding(FIRST, 30.0)))
    made = {
        "value": 30.0, "cell": "cell-3", "methods": [],
        "moves": {key: [30.0, 31.0 + n] for n, key in enumerate(keys)},  # the last moves it most
    }  # fmt: skip
    nb.metadata["o2o"] = {"lineage": {"findings": {FIRST: made}, "methods": {}}}
    for language, rest in (("zh", "另有 3 个"), ("en", "3 more")):
        text = words(nb, language)
        row = text[text.index(rest) - 600 : text.index(rest)].rpartition("cell-3")[2]
        named = [term(key).name(language) for key in reversed(keys)]
        shown_keys = named[: document.MOST_MOVED]
        places = [row.index(name) for name in shown_keys]
        assert places == sorted(places)
        assert named[-1] not in row.split("、" if language == "zh" else ", ")

"""Two languages that differ, a page that prints another number, a verdict that does not follow."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from o2o_research import cases, cli
from o2o_research.errors import PublishError
from o2o_research.execution import comparing, runs
from o2o_research.publishing import agreement, contents, publish
from o2o_research.publishing import site as sites
from o2o_research.terms import LANGUAGES, Term, term
from tests.house.conftest import set_body, tiny_home

from .handmade import (
    AXIS,
    CASE,
    CLAIM,
    EARNED,
    FINDINGS,
    executed,
    finding,
    prose,
    said,
    shown,
    verdict,
)

__all__ = ["tiny_home"]

FIRST, SECOND = FINDINGS
TWO_ZH = "先算清楚每一单到底赚不赚钱，再决定要不要打折。打折带来的客人往往不会再以原价光顾。"
TWO_EN = "First work out whether an order earns anything, then give a discount. Guests who came for a discount seldom return at the full price."


def refused(*cells: Any) -> str:
    nb = executed(shown(finding(FIRST, 30.6), finding(SECOND, 40.0)), *cells)
    with pytest.raises(PublishError) as caught:
        agreement.check(nb, contents.record(nb))
    return str(caught.value)


def spoken(zh: str, en: str) -> Any:
    return shown(said(zh, en))


LINKED = {language: f"[{EARNED[language]}](#f-{FIRST})" for language in LANGUAGES}


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        (spoken("回本要 3 个月。", "It pays back in 4 months."), "the numbers differ: zh 3; en 4"),
        (spoken("一年 2.5 万元。", "25 million yuan a year."), "the numbers differ: zh 25000; en 2.5e+07"),
        (spoken(f"贡献 {LINKED['zh']}。", "It contributes."), "the links differ"),
        (spoken(f"贡献 [29 元](#f-{FIRST})。", f"It is [29 yuan](#f-{FIRST})."), f"{FIRST} is printed '29 元' in zh"),
        (spoken("先算账。\n\n再打折。", "Count first."), "the paragraphs differ: zh 2; en 1"),
        (spoken(TWO_ZH, TWO_EN.split(". ")[0] + "."), "en says far less"),
        (spoken(TWO_ZH.split("。")[0] + "，因为客人记得付过的价钱。", TWO_EN + " " + TWO_EN), "zh says far less"),
        (spoken("见 [@dholakia2011]。", "See the survey."), "the citations differ"),
    ],
)  # fmt: skip
def test_what_one_language_says_otherwise_is_refused(cell: Any, why: str) -> None:
    message = refused(cell)
    assert why in message
    assert message.startswith("cell ")


@given(value=st.floats(-1e13, 1e13), digits=st.integers(0, 2))
@example(value=22_750.0, digits=0)
def test_both_languages_write_a_number_so_that_it_is_the_same(value: float, digits: int) -> None:
    about = Term("money", "金额", "amount", term(AXIS).unit, digits=digits)
    texts = {language: about.format(value, language) for language in LANGUAGES}
    agreement.same_numbers("here", texts)
    agreement.same_numbers(
        "here", {one: about.interval(value, 2 * abs(value), one) for one in LANGUAGES}
    )


@pytest.mark.parametrize(
    ("zh", "en"),
    [("3", "4"), ("200", "201"), ("2.50", "2.51"), ("1.2 万", "13,000"), ("30%", "0.31")],
)
def test_numbers_that_differ_by_one_of_their_last_digit_differ(zh: str, en: str) -> None:
    with pytest.raises(PublishError, match="here: the numbers differ"):
        agreement.same_numbers("here", {"zh": zh, "en": en})


def test_prose_is_held_to_the_same() -> None:
    assert "cells 5 and 6: the numbers differ: zh 15; en 18" in refused(
        *prose("佣金是 15 元。", "The commission is 18 yuan.")
    )


def test_what_agrees_is_let_through() -> None:
    nb = executed(
        shown(finding(FIRST, 30.6)),
        spoken(
            f"贡献 {LINKED['zh']}，两年 2.5 万元。",
            f"It is {LINKED['en']}, 25,000 yuan in two years.",
        ),
        spoken(TWO_ZH, TWO_EN),
    )
    agreement.check(nb, contents.record(nb))


def test_a_report_whose_languages_disagree_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(PublishError, match="the numbers differ: zh 3; en 4"):
        publish(executed(spoken("回本要 3 个月。", "In 4 months.")), tmp_path / "reports")
    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"verdict": "supported", "threshold": 20.0}, "its verdict is 'supported', and by its rule 'contradicted'"),
        ({"verdict": "depends"}, "its verdict is 'depends', and by its rule 'supported'"),
        ({"verdict": "contradicted", "threshold": 41.0}, f"its threshold is not the value of {SECOND}"),
        ({"finding": "nothing"}, "no finding 'nothing'"),
    ],
)  # fmt: skip
def test_a_verdict_that_does_not_follow_from_its_rule_is_refused(
    changed: dict[str, Any], why: str
) -> None:
    kind, content = verdict("未必。", "Not always.")
    content |= {"threshold_finding": SECOND if "41" in str(changed) else None} | changed
    assert f"claim {CLAIM}: {why}" in refused(shown((kind, content)))


# ── the site ──────────────────────────────────────────────────────────────────────────────────

BODY = f"""\
from o2o_research.narrative import find, judge, open_case, say
p = open_case("restaurants", globals())
equal = find("fee_equal_ticket", p.delivery_fee / p.commission_share)
say(zh=f"两者在 {{equal.zh}} 处相等。", en=f"They are equal at {{equal.en}}.")
judge("{CLAIM}", equal, "<", 50, zh=f"相等处是 {{equal.zh}}。", en=f"Equal at {{equal.en}}.")
"""


@pytest.fixture
def small(tiny_home: Path) -> Path:
    """The site of one small case, without PDFs."""
    set_body(tiny_home, BODY)
    runs.run(CASE, cases.parameters(CASE), formats=["html"])
    return sites.build().parent


def edit(page: Path, change: Callable[[str], str]) -> None:
    before = page.read_text(encoding="utf-8")
    page.write_text(change(before), encoding="utf-8")
    assert page.read_text(encoding="utf-8") != before


def test_a_site_holds_and_so_does_what_it_is_made_of(
    small: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert comparing.verify(small) == comparing.verify(small.parent / CASE) == []
    monkeypatch.setattr("sys.argv", ["o2o", "verify", str(small)])
    with pytest.raises(SystemExit) as leaving:
        cli.main()
    assert not leaving.value.code
    assert "site: every finding holds" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("page", "old", "new", "why"),
    [
        ("index.en.html", ">40 yuan</a>", ">41 yuan</a>", "index.en.html: restaurants fee_equal_ticket is printed '41 yuan', not '40 yuan'"),
        ("claims.zh.html", ">40 元</a>", ">40.5 元</a>", "claims.zh.html: restaurants fee_equal_ticket is printed '40.5 元', not '40 元'"),
        ("restaurants.zh.html", ">40 元</a>", ">4 元</a>", "restaurants.zh.html: restaurants fee_equal_ticket is printed '4 元'"),
        ("claims.en.html", 'data-verdict="supported"', 'data-verdict="depends"', f"claim {CLAIM} has another verdict"),
        ("data/restaurants/findings.json", '"value": 40.0', '"value": 44.0', "is printed"),
        ("claims.en.html", f' id="c-{CLAIM}"', "", f"not in both languages: c-{CLAIM}"),
        ("evidence.en.html", "</h1>", "!</h1>", "evidence.en.html is not the file that was built"),
        ("site.json", '"index.html"', '"door.html"', "door.html is not the file that was built"),
    ],
)  # fmt: skip
def test_what_a_page_says_otherwise_is_refused_by_name(
    small: Path, page: str, old: str, new: str, why: str
) -> None:
    edit(small / page, lambda text: text.replace(old, new, 1))
    with pytest.raises(PublishError) as caught:
        sites.read(small)
    assert why in str(caught.value)


def test_a_page_that_is_gone_or_new_is_refused(small: Path) -> None:
    (small / "more.txt").write_text("more")
    with pytest.raises(PublishError, match=r"more\.txt is not the file that was built"):
        sites.read(small)
    (small / "more.txt").unlink()
    (small / "data" / CASE / "findings.json").rename(small / "gone.json")
    with pytest.raises(PublishError, match="no findings of case restaurants"):
        sites.read(small)


def test_a_site_whose_numbers_no_longer_come_out_does_not_verify(
    small: Path, tiny_home: Path
) -> None:
    set_body(tiny_home, BODY.replace("p.delivery_fee /", "2 * p.delivery_fee /"))
    assert [str(change) for change in comparing.verify(small)] == [
        "finding restaurants fee_equal_ticket: 40 -> 80  (+100.00%)",
        f"verdict restaurants {CLAIM}: supported -> contradicted",
    ]


def test_a_report_edited_by_hand_does_not_verify(small: Path) -> None:
    page = small.parent / CASE / f"{CASE}.en.html"
    edit(page, lambda text: text.replace("40 yuan", "41 yuan", 1))
    with pytest.raises(cases.CaseError, match="a file is not the one that the run wrote"):
        comparing.verify(small.parent / CASE)


def test_a_run_that_prints_another_number_makes_no_site(small: Path) -> None:
    path = small.parent / CASE / f"{CASE}.en.html"
    edit(path, lambda text: text.replace(">40 yuan</a>", ">41 yuan</a>", 1))
    before = (small / "index.html").read_bytes()
    with pytest.raises(PublishError, match="is printed '41 yuan', not '40 yuan'"):
        sites.build()
    assert (small / "index.html").read_bytes() == before


def test_a_stored_notebook_gives_the_bytes_that_its_run_published(
    small: Path, tmp_path: Path
) -> None:
    run = small.parent / CASE
    made = publish(run / f"{CASE}.ipynb", tmp_path / "again", formats=["html"])
    for path in made:
        assert path.read_bytes() == (run / path.name).read_bytes()
    first = {path.name: path.read_bytes() for path in run.glob("*.html")}
    (run / runs.STAMP).unlink()
    runs.run(CASE, cases.parameters(CASE), formats=["html"])  # the outputs taken, not executed
    assert json.loads((run / "run.json").read_text())["state"] == "ok"
    assert {path.name: path.read_bytes() for path in run.glob("*.html")} == first

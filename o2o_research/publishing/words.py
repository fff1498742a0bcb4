"""The words that a report adds of its own, in both languages; each has one home here."""

from __future__ import annotations

from o2o_research.terms import Language

_WORDS: dict[str, tuple[str, str]] = {
    "summary": ("摘要", "Summary"),
    "verdicts": ("结论一览", "Verdicts at a glance"),
    "contents": ("目录", "Contents"),
    "skip": ("跳到正文", "Skip to the text"),
    "other": ("English", "中文"),
    "pdf": ("PDF 版", "PDF version"),
    "claim": ("文章论点", "Claim of the article"),
    "verdict": ("判断", "Verdict"),
    "decides": ("关键数字", "Deciding number"),
    "why": ("依据", "Why"),
    # A test as parts: name, value and at stand for the finding, its number and the threshold.
    "rule <": (
        "检验规则：|name|须低于| |at|，本文为| |value|。",
        "Test: |name| below |at|; here |value|.",
    ),
    "rule >": (
        "检验规则：|name|须高于| |at|，本文为| |value|。",
        "Test: |name| above |at|; here |value|.",
    ),
    "fig": ("图 {0}", "Figure {0}"),
    "tbl": ("表 {0}", "Table {0}"),
    "appendix": ("附录 {0} {1}", "Appendix {0}. {1}"),
    "findings": ("全部结果", "All findings"),
    "parameters": ("参数与来源", "Parameters and their origins"),
    "sources": ("引用文献", "Sources"),
    "reading": ("区间的含义与重现方法", "Reading the intervals, and reproducing this report"),
    "findings intro": (
        "正文中的每个数字都指向下表中的一行。点击名称后的 ↑ 回到正文首次出现处。",
        "Every number in the text leads to its row here; ↑ leads back to where it is first used.",
    ),
    "parameters intro": (
        "每个参数的取值、合理范围（中间九成的可能取值）与来源。“文章所载”取自所评文章，“公开文献”取自所引文献，"
        "“本报告假设”由作者设定并说明理由。",
        "Each parameter's value, its plausible range (the middle nine tenths of what it may be) and "
        "its origin: reported by the article, published in a cited source, or assumed, with the reason.",
    ),
    "name": ("名称", "Name"),
    "value": ("数值", "Value"),
    "interval": ("90% 区间", "90% interval"),
    "basis": ("区间反映", "Basis"),
    "basis assumptions": ("参数假设", "assumptions"),
    "basis sample": ("抽样误差", "sample"),
    "basis exact": ("无区间", "no interval"),
    "range": ("合理范围", "Plausible range"),
    "origin": ("来源", "Origin"),
    "kind reported": ("文章所载", "reported"),
    "kind published": ("公开文献", "published"),
    "kind assumed": ("本报告假设", "assumed"),
    "kind set": ("本次设定", "set for this run"),
    "default": ("默认值 {0}：", "default {0}: "),
    "back": ("回到正文", "Back to the text"),
    "table box": ("表格，可横向滚动", "table, scrolls sideways"),
    "number title": ("{name}：{value}", "{name}: {value}"),
    "number interval": ("，90% 区间 {0}", ", 90% interval {0}"),
    "date": ("{0.year} 年 {0.month} 月 {0.day} 日", "{0.day} {month} {0.year}"),
    "about": (
        "所评文章：《{title}》，{author}，{outlet}，{date}。本报告用可复算的模型检验其论点。",
        "The article: “{title}”, {author}, {outlet}, {date}. This report tests its claims with models "
        "that anyone can run again.",
    ),
}

MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


def word(key: str, language: Language, *values: object, **named: object) -> str:
    """The words of that key, filled in."""
    words = _WORDS[key][0 if language == "zh" else 1]
    return words.format(*values, **named) if values or named else words

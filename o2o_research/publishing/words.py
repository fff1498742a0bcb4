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
    "claim here": ("本报告的论点", "Claim of this report"),
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
    "lineage": ("每个数字的来历", "Where each number comes from"),
    "lineage intro": (
        "下表说明每个结果由笔记本的哪个单元、用哪个模型方法算出，以及取决于哪些参数。参数由试算得出：逐一移到合理范围的两端"
        "（没有范围的上下各移一成），结果有变化的列入，影响大的在前，至多列十二个；全部见网站的“数字的来历”页或命令 o2o explain。",
        "The notebook cell that makes each result, the model method that computes it, and the parameters that "
        "move it. These were found by running: each parameter alone was moved to both ends of its plausible range "
        "(or a tenth either way), and whatever moved the result is listed, strongest first, at most twelve; the site's page of numbers and o2o explain have all.",
    ),
    "made in": ("结果与所在单元", "Result and its cell"),
    "made by": ("模型方法与文献", "Model method and its source"),
    "moved by": ("取决于", "Depends on"),
    "own cell": ("在单元中直接算出", "computed in the cell itself"),
    "no parameter": ("不随任何参数变化", "no parameter moves it"),
    "taken from": ("取自{0}案例", "taken from the {0} case"),
    "findings of": ("{0}案例的结果", "findings of the {0} case"),
    "more moved": ("另有 {0} 个", "{0} more"),
    "moved there": ("见该案例报告", "see that case's report"),
    "comma": ("、", ", "),
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
    "basis exact": ("无误差", "exact"),
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
    "threshold": ("门槛", "threshold"),
    "strip <": (
        "区间图：{0}为 {1}{2}；门槛 {3}，低于门槛则论点成立。",
        "Interval chart: {0} is {1}{2}; threshold {3}, below which the claim holds.",
    ),
    "strip >": (
        "区间图：{0}为 {1}{2}；门槛 {3}，高于门槛则论点成立。",
        "Interval chart: {0} is {1}{2}; threshold {3}, above which the claim holds.",
    ),
    "site": ("线上线下研究", "O2O research"),
    "site title": (
        "2014 年的线上线下生意：五个行业的账",
        "Online to offline in China, 2014: five trades, counted",
    ),
    "site lead": (
        "五篇 2014 年的文章用文字论证线上线下融合（O2O）该怎么做。这里把它们的论点逐一算成数字：每个数字带区间，每个判断有事先写明的规则，"
        "并都能追到算出它的单元、模型、参数和来源。",
        "Five articles of 2014 argued in words how online and offline should meet. Here their claims are worked out in "
        "numbers: each with its interval, each verdict by a rule stated first, and all of them traceable to the cell, "
        "model, parameters and sources they come from.",
    ),
    "page index": ("案例", "Cases"),
    "page claims": ("论点", "Claims"),
    "page parameters": ("参数", "Parameters"),
    "page evidence": ("证据", "Evidence"),
    "page downloads": ("下载", "Downloads"),
    "page search": ("搜索", "Search"),
    "bar": ("站点导航", "Site"),
    "claims lead": (
        "五篇文章的全部论点、判断和关键数字。数字的链接通向它的来历，论点编号通向报告原文。",
        "All claims of the articles, the verdicts on them and the numbers that decide. A number leads to where it comes "
        "from, a claim's key to the report.",
    ),
    "parameters lead": (
        "全部案例的参数：取值、合理范围、来源，以及它能改变多少个结果。",
        "The parameters of all cases: value, plausible range, origin, and how many results each one moves.",
    ),
    "evidence lead": (
        "文章写了什么，以及报告引用的公开文献。",
        "What the articles report, and the published work that the reports cite.",
    ),
    "downloads lead": (
        "PDF、全部结果（JSON）、每个数字的来历（JSON），以及每张图背后的数据（CSV）。",
        "PDFs, all findings (JSON), where each number comes from (JSON), and the data behind each chart (CSV).",
    ),
    "search lead": (
        "在全部报告、结果、参数、论点和文献中查找。多个词用空格隔开，须同时出现。",
        "Looks through all reports, results, parameters, claims and sources. Several words must all be there.",
    ),
    "numbers title": ("{0}：每个数字的来历", "{0}: where each number comes from"),
    "numbers lead": (
        "逐个结果列出：含义、数值与区间、算出它的单元与语句、模型方法及文献、取决于哪些参数以及各自的来源。",
        "Result by result: meaning, value and interval, the cell and statement that made it, the model method and its "
        "source, the parameters that move it and where each of them comes from.",
    ),
    "case": ("案例", "Case"),
    "all": ("全部", "all"),
    "words": ("包含文字", "Contains"),
    "sort": ("类别", "Kind"),
    "shown": ("显示 {0} 条，共 {1} 条", "{0} of {1} shown"),
    "read report": ("阅读报告", "Read the report"),
    "numbers": ("数字的来历", "Where its numbers come from"),
    "findings json": ("全部结果", "All findings"),
    "lineage json": ("数字的来历", "Lineage of the numbers"),
    "report pdf zh": ("报告 PDF（中文）", "Report, PDF (Chinese)"),
    "report pdf en": ("报告 PDF（英文）", "Report, PDF (English)"),
    "chart csv": ("图表数据", "Chart data"),
    "test": ("检验规则", "Test"),
    "below": ("低于 {0}", "below {0}"),
    "above": ("高于 {0}", "above {0}"),
    "meaning": ("含义", "Meaning"),
    "unit": ("单位", "Unit"),
    "cell": ("单元", "Cell"),
    "statement": ("语句", "Statement"),
    "method": ("模型方法", "Model method"),
    "used": ("正文首次出现", "First used"),
    "to report": ("在报告中查看", "see it in the report"),
    "decides claim": ("决定论点", "Decides claim"),
    "derivation": ("推导见 {0}", "derived in {0}"),
    "moved to": ("移到 → 结果变为", "Moved to → result becomes"),
    "moves": ("影响的结果", "Results it moves"),
    "moves count": ("{0} 个", "{0}"),
    "facts": ("文章所载事实", "What the article reports"),
    "fact": ("事实", "Fact"),
    "used as": ("用作参数", "Used as"),
    "cited in": ("引用于", "cited in"),
    "section": ("报告章节", "report section"),
    "result": ("结果", "result"),
    "parameter": ("参数", "parameter"),
    "one source": ("文献", "source"),
    "untraced": (
        "这个案例的来历尚未试算：执行 o2o lineage {0}。",
        "Where these numbers come from has not been found yet: run o2o lineage {0}.",
    ),
    "date": ("{0.year} 年 {0.month} 月 {0.day} 日", "{0.day} {month} {0.year}"),
    "about these": (
        "所综合的文章：{title}（{author}；{outlet}；截至 {date}）。各案例报告用可复算的模型检验其论点，本报告把结果放在一起。",
        "The articles: {title} ({author}; {outlet}; up to {date}). The case reports test their claims with models that "
        "anyone can run again; this report puts the results together.",
    ),
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

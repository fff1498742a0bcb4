"""Write the tables of docs/data.md and docs/data.zh.md from their descriptions in data/tables.py."""

import re
from pathlib import Path

from o2o_research.data import TABLES, Column, Table
from o2o_research.domain import Interval

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = {"en": DOCS / "data.md", "zh": DOCS / "data.zh.md"}

HEADS = {
    "en": ("column", "type", "unit, range", "what it is"),
    "zh": ("列", "类型", "单位与范围", "含义"),
}
TYPES = {
    "en": {
        "text": "text",
        "time": "time",
        "week": "a Monday",
        "number": "number",
        "flag": "1 or 0",
    },
    "zh": {"text": "文本", "time": "时间", "week": "周一", "number": "数值", "flag": "1 或 0"},
}
UNITS = {"yuan": "元", "stars": "星"}


def kind(column: Column, language: str) -> str:
    """The type, and what may be left open."""
    en = language == "en"
    words = [TYPES[language][column.type]]
    if column.optional:
        words.append("the column may be left out" if en else "可无此列")
    if column.gaps:
        words.append("cells may be empty" if en else "可留空")
    return (", " if en else "，").join(words)


def bounds(column: Column, language: str) -> str:
    """The unit, and what a cell must keep to."""
    en = language == "en"
    unit = column.unit if en else UNITS.get(column.unit, column.unit)
    words = [unit] if unit else []
    if column.type in ("time", "week"):
        words.append("1990-01-01 to 2099-12-31" if en else "1990-01-01 至 2099-12-31")
    if column.domain:
        interval = Interval.parse(column.domain)
        ends = f"{interval.low:g}, {interval.high:g}".replace("e+0", "e").replace("e+", "e")
        words.append(f"[{ends}]")
    if column.options:
        words.append((", " if en else "、").join(column.options))
    if column.at_least:
        words.append(f"not before `{column.at_least}`" if en else f"不早于 `{column.at_least}`")
    if column.at_most:
        words.append(f"not more than `{column.at_most}`" if en else f"不大于 `{column.at_most}`")
    if column.same_for:
        words.append(f"one for a `{column.same_for}`" if en else f"同一 `{column.same_for}` 相同")
    if column.once_in:
        words.append(
            f"1 once for a `{column.once_in}`" if en else f"每个 `{column.once_in}` 恰有一行为 1"
        )
    return (", " if en else "，").join(words)


def key(table: Table, language: str) -> str:
    """What no two rows may agree on, in a sentence."""
    en = language == "en"
    names = [", ".join(f"`{name}`" for name in each) for each in table.keys]
    if not names:
        return "No key: rows may be alike." if en else "没有主键，各行可以相同。"
    if en:
        first = f"Key: {names[0]}."
        return first + (f" Without that column: {names[1]}." if names[1:] else "")
    first = f"主键：{names[0].replace(', ', '、')}。"
    return first + (f"没有这一列时：{names[1].replace(', ', '、')}。" if names[1:] else "")


def section(table: Table, language: str) -> str:
    """A heading, what the table is, its columns, its key and five rows."""
    en = language == "en"
    what = table.en.partition(":")[2].strip() or table.en if en else table.zh
    head = HEADS[language]
    lines = [f"### {table.name}", "", what[0].upper() + what[1:] + ("." if en else "。"), ""]
    lines += ["| " + " | ".join(head) + " |", "|---|---|---|---|"]
    for column in table.columns:
        cells = (
            f"`{column.name}`",
            kind(column, language),
            bounds(column, language),
            getattr(column, language),
        )
        lines.append("| " + " | ".join(cells).replace("  ", " ") + " |")
    more = ""
    if table.attributes:
        more = (
            " Any further columns are read as numbers without gaps."
            if en
            else "其余各列按数值读取，不得为空。"
        )
    return "\n".join([*lines, "", key(table, language) + more, "", "```csv", table.example + "```"])


def tables(language: str) -> str:
    """All sections, as they stand on the page."""
    return "\n\n".join(section(table, language) for table in TABLES.values())


def written(page: str, language: str) -> str:
    """The page with its tables as they are described now."""
    found = re.compile(r"(<!-- tables -->\n).*?(<!-- end of tables -->)", re.S)
    return found.sub(lambda m: f"{m[1]}\n{tables(language)}\n{m[2]}", page)


if __name__ == "__main__":
    for language, path in PAGES.items():
        path.write_text(written(path.read_text("utf-8"), language), encoding="utf-8")

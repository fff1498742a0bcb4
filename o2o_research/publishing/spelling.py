"""A formula in words, for those who hear a report read."""

from __future__ import annotations

import re
from collections.abc import Iterator

from o2o_research.terms import Language

_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|[{}^_]|\d+(?:\.\d+)?|[A-Za-z]|\S")
_SIGNS: dict[str, tuple[str, str]] = {
    "=": ("等于", "equals"),
    "+": ("加", "plus"),
    "-": ("减", "minus"),
    "−": ("减", "minus"),
    "<": ("小于", "is less than"),
    ">": ("大于", "is greater than"),
    "/": ("除以", "over"),
    "*": ("乘", "times"),
    "!": ("的阶乘", "factorial"),
    "'": ("撇", "prime"),
    r"\times": ("乘", "times"),
    r"\cdot": ("乘", "times"),
    r"\pm": ("加减", "plus or minus"),
    r"\le": ("不大于", "is at most"),
    r"\leq": ("不大于", "is at most"),
    r"\ge": ("不小于", "is at least"),
    r"\geq": ("不小于", "is at least"),
    r"\ne": ("不等于", "is not"),
    r"\neq": ("不等于", "is not"),
    r"\approx": ("约等于", "is about"),
    r"\sim": ("服从", "is distributed as"),
    r"\propto": ("正比于", "is proportional to"),
    r"\in": ("属于", "in"),
    r"\to": ("趋于", "to"),
    r"\mid": ("在条件", "given"),
    r"\infty": ("无穷", "infinity"),
    r"\partial": ("偏", "partial"),
    r"\mathbb": ("", ""),
    r"\sum": ("求和", "sum"),
    r"\prod": ("连乘", "product"),
    r"\int": ("积分", "integral"),
    r"\max": ("最大值", "max"),
    r"\min": ("最小值", "min"),
    r"\ln": ("自然对数", "natural log"),
    r"\log": ("对数", "log"),
    r"\exp": ("指数函数", "exp"),
    r"\Pr": ("概率", "probability"),
    r"\ldots": ("等等", "and so on"),
    r"\dots": ("等等", "and so on"),
    r"\cdots": ("等等", "and so on"),
    r"\%": ("%", "percent"),
    "^": ("的次方", "to the power"),
    "_": ("下标", "sub"),
}
# Marks of spacing, size and style, which a voice leaves out.
_SILENT = {
    "{",
    "}",
    "&",
    r"\\",
    r"\,",
    r"\;",
    r"\:",
    r"\!",
    r"\ ",
    r"\quad",
    r"\qquad",
    r"\left",
    r"\right",
    r"\big",
    r"\Big",
    r"\bigl",
    r"\bigr",
    r"\Bigl",
    r"\Bigr",
    r"\text",
    r"\mathrm",
    r"\mathit",
    r"\mathbf",
    r"\operatorname",
    r"\displaystyle",
    r"\limits",
    r"\begin",
    r"\end",
    "|",
    "~",
    ",",
}


def spell(formula: str, language: Language) -> str:
    r"""A TeX formula in words.

    >>> spell(r"m = p\,(1 - c)", "en")
    'm equals p ( 1 minus c )'
    >>> spell(r"\frac{a+b}{2}", "en")
    'the fraction a plus b over 2'
    >>> spell(r"x^2", "zh")
    'x 的 2 次方'
    """
    return " ".join(_words(_groups(iter(_tokens(formula))), 0 if language == "zh" else 1))


def _tokens(formula: str) -> list[str]:
    formula = re.sub(r"\\(begin|end)\{[a-z*]+\}(\{[lcr|]*\})?", " ", formula)
    found: list[str] = []
    rest = 0
    for words in re.finditer(r"\\(?:text|mathrm|operatorname)\{([^{}]*)\}", formula):
        found += [*_TOKEN.findall(formula[rest : words.start()]), words.group(1).strip()]
        rest = words.end()
    return found + _TOKEN.findall(formula[rest:])


Group = list["str | Group"]


def _groups(tokens: Iterator[str]) -> Group:
    found: Group = []
    for token in tokens:
        if token == "}":
            break
        found.append(_groups(tokens) if token == "{" else token)
    return found


def _words(group: Group, language: int) -> list[str]:
    said: list[str] = []
    parts = iter(group)

    def argument() -> str:
        part = next(parts, "")
        return " ".join(_words([part] if isinstance(part, str) else part, language))

    for part in parts:
        if isinstance(part, list):
            said += _words(part, language)
        elif part in (r"\frac", r"\dfrac", r"\tfrac"):
            above, below = argument(), argument()
            said.append(
                (f"分式 {above} 除以 {below}", f"the fraction {above} over {below}")[language]
            )
        elif part == r"\sqrt":
            said.append(("根号 {}", "the square root of {}")[language].format(argument()))
        elif part == "^":
            said.append(("的 {} 次方", "to the power {}")[language].format(argument()))
        elif part == "_":
            said.append(("下标 {}", "sub {}")[language].format(argument()))
        elif part in (r"\hat", r"\bar", r"\tilde", r"\dot"):
            said.append(f"{argument()} {part[1:]}")
        elif part in _SIGNS:
            said.append(_SIGNS[part][language])
        elif part not in _SILENT:
            said.append(part.removeprefix("\\"))
    return said

"""What is wrong with a log, in words that are safe to show, and who is told of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from o2o_research.texts import drawable, escaped


@dataclass(frozen=True)
class Problem:
    """What is wrong, in one line, and with how many rows; with none, the file as a whole.

    ``column`` (empty for whole rows), ``en`` and ``zh`` say the same without the cells.
    """

    text: str
    count: int = 0
    column: str = ""
    en: str = ""
    zh: str = ""
    ragged: bool = False

    def __str__(self) -> str:
        return self.text


def shown(text: str, limit: int = 40) -> str:
    """``text`` quoted for a message: control and direction marks escaped, cut at ``limit``."""
    return repr(text if len(text) <= limit else text[: limit - 1] + "…")


class Notices:
    """Where a reading says that it left rows out; a notebook that is open listens."""

    def __init__(self) -> None:
        self.listener: Callable[..., None] | None = None

    def left_out(
        self, zh: str, en: str, good: int, left_out: int, problems: Sequence[Problem]
    ) -> None:
        """Say how many rows of the table called ``zh``, ``en`` were left out, and by which rule."""
        if self.listener is None:
            return
        rules_zh = "；".join(
            f"{_plain(p.column)} {p.zh} {p.count:,} 处" if p.column else f"{p.zh} {p.count:,} 处"
            for p in problems
        )
        rules_en = "; ".join(
            f"{_plain(p.column)} {p.en} ({p.count:,})" if p.column else f"{p.en} ({p.count:,})"
            for p in problems
        )
        self.listener(
            zh=f"{zh}：采用 {good:,} 行，另有 {left_out:,} 行有误，未计入。原因：{rules_zh}。",
            en=f"Of {en}, {good:,} rows are used; {left_out:,} bad ones are left out: {rules_en}.",
        )


notices = Notices()


def _plain(name: str) -> str:
    """A name as Markdown that shows it, in characters that a report has."""
    return escaped(drawable(name))

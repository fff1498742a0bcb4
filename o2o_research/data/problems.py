"""What is wrong with a log, in words that are safe to show."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """What is wrong, in one line, and with how many rows; with none, the file as a whole."""

    text: str
    count: int = 0
    ragged: bool = False

    def __str__(self) -> str:
        return self.text


def shown(text: str, limit: int = 40) -> str:
    """``text`` quoted for a message: control and direction marks escaped, cut at ``limit``."""
    return repr(text if len(text) <= limit else text[: limit - 1] + "…")

"""Intervals of allowed values, written as in a textbook: ``[0, 1)``, ``(0, inf)``.

Models check their parameters with them, and ``terms.yaml`` states them.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

_NUMBER = r"[-+]?(?:inf|\d+(?:\.\d*)?(?:e[-+]?\d+)?)"
_INTERVAL = re.compile(rf"([\[(])\s*({_NUMBER})\s*,\s*({_NUMBER})\s*([\])])")


@dataclass(frozen=True)
class Interval:
    """A real interval, each end open or closed.

    >>> str(Interval.parse("[0, 1)"))
    '[0, 1)'
    >>> 1.0 in Interval.parse("[0, 1)"), 0.0 in Interval.parse("[0, 1)")
    (False, True)
    """

    low: float
    high: float
    low_open: bool = False
    high_open: bool = False

    @staticmethod
    @functools.cache
    def parse(text: str) -> Interval:
        """Read ``[low, high]`` with round brackets for open ends; ``ValueError`` otherwise."""
        match = _INTERVAL.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"not an interval: {text!r}; write one like [0, 1) or (0, inf)")
        left, low, high, right = match.groups()
        interval = Interval(float(low), float(high), left == "(", right == ")")
        if interval.low > interval.high:
            raise ValueError(f"interval {text!r} runs backwards")
        return interval

    def contains(self, value: Any) -> np.ndarray:
        """Whether each of ``value`` lies inside; not-a-number never does. Same shape as ``value``."""
        values = np.asarray(value, dtype=float)
        above = values > self.low if self.low_open else values >= self.low
        below = values < self.high if self.high_open else values <= self.high
        return np.asarray(above & below)

    def __contains__(self, value: float) -> bool:
        return bool(self.contains(value))

    def clip(self, value: Any) -> np.ndarray:
        """The nearest allowed value; an open end is approached, not reached."""
        low = np.nextafter(self.low, np.inf) if self.low_open else self.low
        high = np.nextafter(self.high, -np.inf) if self.high_open else self.high
        return np.asarray(np.clip(np.asarray(value, dtype=float), low, high))

    def __str__(self) -> str:
        left, right = "(" if self.low_open else "[", ")" if self.high_open else "]"
        return f"{left}{self.low:g}, {self.high:g}{right}"


def require(owner: object, **domains: str) -> None:
    """Refuse ``owner`` unless each named attribute lies in its interval everywhere.

    Raises
    ------
    ValueError
        Names the class, the first bad value of every bad attribute, and what is allowed.
    """
    problems = []
    for name, text in domains.items():
        interval = Interval.parse(text)
        value = getattr(owner, name)
        inside = interval.contains(value)
        if not inside.all():
            worst = np.asarray(value, dtype=float)[~inside].flat[0] if inside.ndim else value
            problems.append(f"{name}={worst:g} must lie in {interval}")
    if problems:
        raise ValueError(f"{type(owner).__name__}: " + "; ".join(problems))

"""Every warm process that a test starts is ended by the next one at the latest."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from o2o_research.execution import engine
from tests.house.conftest import tiny_home

__all__ = ["tiny_home"]


@pytest.fixture(scope="module", autouse=True)
def _no_warm_process_is_left() -> Iterator[None]:
    yield
    engine.close()


def descendants(pid: int) -> set[int]:
    """Every process under one, zombies too."""
    found: set[int] = set()
    for child in _children(pid):
        found |= {child} | descendants(child)
    return found


def _children(pid: int) -> list[int]:
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
        texts = [Path(f"/proc/{pid}/task/{task}/children").read_text() for task in tasks]
    except OSError:
        return []
    return [int(child) for text in texts for child in text.split()]


def soon(true: object, seconds: float = 60.0) -> bool:
    """Whether a condition comes true in time."""
    assert callable(true)
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True

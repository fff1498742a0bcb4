"""What a notebook needs of models and data together: a module a case, and tools for draws.

A model built from an opened case holds arrays: the stated value first, then draws. Models
that broadcast take them as they are; these tools are for the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import numpy as np

Model = TypeVar("Model")


def stated(model: Model) -> Model:
    """The model at the stated values alone: the first entry of every array of draws."""
    return _each(model, lambda value: np.asarray(value, float).ravel()[0].item())


def columns(model: Model) -> Model:
    """The model with its draws down a first axis, shape (draws + 1, 1), to meet a row of choices."""
    return _each(model, lambda value: np.asarray(value, float)[:, None])


def _each(model: Model, change: Callable[[Any], Any]) -> Model:
    """``model`` with every field that holds draws changed, and so in the models it holds."""
    changed: dict[str, Any] = {}
    for each in fields(model):  # type: ignore[arg-type]
        value = getattr(model, each.name)
        if is_dataclass(value):
            changed[each.name] = _each(value, change)
        elif isinstance(value, np.ndarray) and value.ndim == 1:
            changed[each.name] = change(value)
    return replace(model, **changed)  # type: ignore[type-var]

"""An effect's sentence says what its interval allows."""

from __future__ import annotations

import pytest

from o2o_research.models.causal.panel import Effect
from o2o_research.studies.effects import sentences


@pytest.mark.parametrize(
    ("low", "high", "zh", "en"),
    [
        (0.01, 0.3, "正向", "upwards"),
        (-0.3, -0.01, "负向", "downwards"),
        (-0.1, 0.2, "含零", "neither an effect nor its absence"),
    ],
)
def test_a_sentence_claims_no_more_than_its_interval(
    low: float, high: float, zh: str, en: str
) -> None:
    effect = Effect(value=(low + high) / 2, low=low, high=high, p_value=0.04)
    said = sentences("own_effect", effect)
    assert zh in said["zh"]
    assert en in said["en"]
    assert "95%" in said["zh"]
    assert "95%" in said["en"]

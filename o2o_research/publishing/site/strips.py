"""One verdict as a small picture: the number's interval, and the threshold that decides."""

from __future__ import annotations

import math
from html import escape

from o2o_research.narrative import Finding
from o2o_research.publishing.words import word
from o2o_research.terms import Language

WIDTH, HEIGHT, EDGE = 300, 64, 10


def strip(finding: Finding, rule: str, threshold: float, language: Language) -> str:
    """An SVG with its text alternative; shape and words tell it apart, not colour alone."""
    known = [end for end in (finding.low, finding.value, finding.high) if end is not None]
    finite = [end for end in [*known, threshold] if math.isfinite(end)]
    low, high = min(finite), max(finite)
    pad = 0.12 * (high - low) or abs(high) * 0.5 or 1.0
    low, high = low - pad, high + pad

    def at(value: float) -> float:
        share = (min(max(value, low), high) - low) / (high - low)
        return round(EDGE + share * (WIDTH - 2 * EDGE), 1)

    left, middle, right = at(min(known)), at(finding.value), at(max(known))
    pivot = at(threshold)
    start, end = (pivot, WIDTH - EDGE) if rule == ">" else (EDGE, pivot)
    anchor = "start" if pivot < WIDTH * 0.3 else "end" if pivot > WIDTH * 0.7 else "middle"
    shown = finding.term.format(threshold, language)
    label = describe(finding, rule, threshold, language)
    return (
        f'<svg class="strip" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">'
        f'<rect class="good" x="{start}" y="10" width="{round(max(end - start, 0), 1)}" height="26"/>'
        f'<line class="axis" x1="{EDGE}" y1="36" x2="{WIDTH - EDGE}" y2="36"/>'
        f'<line class="pivot" x1="{pivot}" y1="6" x2="{pivot}" y2="42"/>'
        f'<line class="span" x1="{left}" y1="23" x2="{right}" y2="23"/>'
        f'<circle class="point" cx="{middle}" cy="23" r="5"/>'
        f'<text x="{pivot}" y="57" text-anchor="{anchor}">{escape(word("threshold", language))} '
        f"{escape(shown)}</text></svg>"
    )


def describe(finding: Finding, rule: str, threshold: float, language: Language) -> str:
    """What the strip shows, in words."""
    value = finding.term.format(finding.value, language)
    ends = ""
    if finding.low is not None and finding.high is not None and finding.low != finding.high:
        ends = word(
            "number interval", language, finding.term.interval(finding.low, finding.high, language)
        )
    name = finding.term.name(language)
    at = finding.term.format(threshold, language)
    return word(f"strip {rule}", language, name, value, ends, at)

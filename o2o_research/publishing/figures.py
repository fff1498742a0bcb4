"""Charts as pictures: one SVG a chart and language, for the page and for the PDF."""

from __future__ import annotations

import json
import re
from functools import cache, lru_cache
from html import unescape
from threading import Lock
from typing import Any

import vl_convert

from o2o_research.errors import PublishError
from o2o_research.figures import localise
from o2o_research.publishing import fonts
from o2o_research.terms import Language

# The Vega-Lite that JupyterLab draws, too.
VEGALITE = "5.20"

# One thread at a time: vl-convert holds a lock of its own while it makes Python objects, so that
# a second thread, waiting for that lock with the interpreter's in hand, stops both for good.
_renderer = Lock()


@cache
def _registered() -> None:
    """Let vl-convert know the report fonts, once."""
    vl_convert.register_font_directory(str(fonts.files()[0].parent))


def draw(chart: dict[str, Any], language: Language) -> tuple[str, str]:
    """The chart in a language as Vega's JSON and as SVG in the report font.

    Neither carries a text alternative: that stands outside, the same for both.
    """
    spec: dict[str, Any] = localise(chart["spec"], language)
    spec |= {"config": {**spec.get("config", {}), "aria": False}}
    where = f"figure {chart['name']}"
    try:
        vega, svg = _drawn(json.dumps(spec, ensure_ascii=False, sort_keys=True))
    except ValueError as error:
        raise PublishError(f"{where} cannot be drawn: {error}") from error
    for attributes, words in re.findall(r"<text([^>]*)>([^<]*)<", svg):
        fonts.check(unescape(words), where, bold='font-weight="bold"' in attributes)
    return vega, svg


@lru_cache(maxsize=256)
def _drawn(spec: str) -> tuple[str, str]:
    with _renderer:
        _registered()
        vega = vl_convert.vegalite_to_vega(spec, vl_version=VEGALITE)
    # A newer Vega draws this as well, and would complain of the version it was written for.
    del vega["$schema"]
    drawing = json.dumps(vega, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    with _renderer:
        svg = vl_convert.vega_to_svg(drawing, allowed_base_urls=[])
    return drawing, _lean(svg)


def _lean(svg: str) -> str:
    """Without what a still picture has no use for: roles, hooks for scripts, empty paths."""
    svg = re.sub(r' (?:aria-[a-z]+|role|class|pointer-events)="[^"]*"', "", svg)
    svg = re.sub(r'<path d="" display="none"/>|<path d="M0,0h0v0h0Z"/>', "", svg)
    previous = ""
    while previous != svg:
        previous, svg = svg, re.sub(r"<g[^<>]*></g>", "", svg)
    return _renumbered(svg)


def _renumbered(svg: str) -> str:
    """With its ids counted from 1: the renderer counts through all that a process has drawn."""
    numbers = {name: number for number, name in enumerate(re.findall(r'\bid="([^"]+)"', svg), 1)}
    svg = re.sub(r'\bid="([^"]+)"', lambda m: f'id="d{numbers[m[1]]}"', svg)
    return re.sub(r"url\(#([^)]+)\)", lambda m: f"url(#d{numbers[m[1]]})", svg)


def inline(svg: str, name: str) -> str:
    """The picture inside a page: its own ids, the page's fonts, as wide as there is room."""
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", svg)
    svg = re.sub(r' font-family="[^"]*"', "", svg)
    return re.sub(
        r'^<svg xmlns="[^"]*" xmlns:xlink="[^"]*" version="1.1"',
        '<svg aria-hidden="true" focusable="false"',
        svg,
    )


def warm() -> None:
    """Start the renderer on an empty chart."""
    _drawn('{"data": {"values": []}, "mark": "point"}')


@cache
def runtime() -> str:
    """Vega-Embed and all it needs, as one script."""
    with _renderer:
        # The stub asks for a snippet that the function does not need.
        return str(vl_convert.javascript_bundle(vl_version=VEGALITE))  # type: ignore[call-arg]

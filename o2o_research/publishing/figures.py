"""Charts as pictures: one SVG a chart and language, for the page and for the PDF."""

from __future__ import annotations

import json
import re
from functools import cache, lru_cache
from html import unescape
from typing import Any

import vl_convert

from o2o_research.charts import localise
from o2o_research.errors import PublishError
from o2o_research.publishing import fonts
from o2o_research.terms import Language

# The Vega-Lite that JupyterLab draws, too.
VEGALITE = "5.20"


@cache
def _registered() -> None:
    """Let vl-convert know the report fonts, once."""
    vl_convert.register_font_directory(str(fonts.files()[0].parent))


def drawing(chart: dict[str, Any], language: Language) -> str:
    """The chart in a language as Vega's JSON; its text alternative stands outside it."""
    spec: dict[str, Any] = localise(chart["spec"], language)
    spec |= {"config": {**spec.get("config", {}), "aria": False}}
    return _compiled(json.dumps(spec, ensure_ascii=False, sort_keys=True))


def picture(chart: dict[str, Any], language: Language) -> str:
    """The chart as SVG, its text in the report font."""
    svg = _drawn(drawing(chart, language))
    for attributes, words in re.findall(r"<text([^>]*)>([^<]*)<", svg):
        bold = 'font-weight="bold"' in attributes
        fonts.check(unescape(words), f"figure {chart['name']}", bold=bold)
    return svg


@lru_cache(maxsize=256)
def _compiled(spec: str) -> str:
    try:
        vega = vl_convert.vegalite_to_vega(spec, vl_version=VEGALITE)
    except ValueError as error:
        raise PublishError(f"a figure cannot be drawn: {error}") from error
    # A newer Vega draws this as well, and would complain of the version it was written for.
    del vega["$schema"]
    return json.dumps(vega, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


@lru_cache(maxsize=256)
def _drawn(vega: str) -> str:
    _registered()
    try:
        return _lean(vl_convert.vega_to_svg(vega, allowed_base_urls=[]))
    except ValueError as error:
        raise PublishError(f"a figure cannot be drawn: {error}") from error


def forget() -> None:
    """Draw every chart anew: for those who measure."""
    _compiled.cache_clear()
    _drawn.cache_clear()


def _lean(svg: str) -> str:
    """Without what a still picture has no use for: roles, hooks for scripts, empty paths."""
    svg = re.sub(r' (?:aria-[a-z]+|role|class|pointer-events)="[^"]*"', "", svg)
    svg = re.sub(r'<path d="" display="none"/>|<path d="M0,0h0v0h0Z"/>', "", svg)
    previous = ""
    while previous != svg:
        previous, svg = svg, re.sub(r"<g[^<>]*></g>", "", svg)
    return svg


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


@cache
def runtime() -> str:
    """Vega-Embed and all it needs, as one script."""
    # The stub asks for a snippet that the function does not need.
    return str(vl_convert.javascript_bundle(vl_version=VEGALITE))  # type: ignore[call-arg]

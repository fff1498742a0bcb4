"""Charts as pictures: what drawing them must stand."""

from __future__ import annotations

import subprocess
import sys

from o2o_research.publishing import figures
from tests.house.test_charts import FIGURES

# Small generations and short turns: what a busy machine meets once in many builds, met at once.
TWO_THREADS = """
import gc, json, sys
from concurrent.futures import ThreadPoolExecutor
from o2o_research.publishing import figures

gc.callbacks.append(lambda *_: None)
gc.set_threshold(10)
sys.setswitchinterval(1e-6)
specs = [
    json.dumps({"data": {"values": [{"x": i, "y": i * n} for i in range(50)]}, "mark": "line",
                "encoding": {"x": {"field": "x", "type": "quantitative"},
                             "y": {"field": "y", "type": "quantitative"}}})
    for n in range(40)
]
with ThreadPoolExecutor(2) as pool:
    print(len([svg for _, svg in pool.map(figures._drawn, specs) if svg.startswith("<svg")]))
"""


def test_two_threads_that_draw_at_once_do_not_wait_for_each_other_for_good() -> None:
    done = subprocess.run(
        [sys.executable, "-c", TWO_THREADS], capture_output=True, text=True, timeout=180, check=True
    )
    assert done.stdout.strip() == "40"


def test_a_chart_is_the_same_bytes_whatever_was_drawn_before_it() -> None:
    chart = {"name": "map", "spec": FIGURES["map"].spec}
    figures._drawn.cache_clear()
    first = figures.draw(chart, "en")
    assert "url(#" in first[1]
    figures.draw({"name": "curve", "spec": FIGURES["curve"].spec}, "en")
    figures._drawn.cache_clear()
    assert figures.draw(chart, "en") == first

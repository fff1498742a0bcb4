"""One hand-made notebook and its four reports, the built site, and a browser."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from o2o_research import cases
from o2o_research.execution import build
from o2o_research.publishing import publish
from o2o_research.publishing import site as sites
from o2o_research.terms import LANGUAGES

from .browser import CHROMIUM, Browser
from .handmade import CASE, whole

STEMS = ("index", "claims", "evidence", "downloads", "parameters", "search")
CASES = [stem for name in cases.case_names() for stem in (name, f"numbers-{name}")]
PAGES = ["index.html", *(f"{stem}.{lang}.html" for stem in (*STEMS, *CASES) for lang in LANGUAGES)]
# The page's script has seen what scrolls and what fits.
SETTLED = (
    "[...document.querySelectorAll('.scroll, .plot, pre, math[display=block]')]"
    ".every(one => one.hasAttribute('tabindex') == one.scrollWidth > one.clientWidth)"
)


@pytest.fixture(scope="session")
def notebook() -> Any:
    return whole()


@pytest.fixture(scope="session")
def reports(notebook: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The notebook's four reports, by ``<language>.<format>``."""
    paths = publish(notebook, tmp_path_factory.mktemp("reports"))
    return {path.name.removeprefix(f"{CASE}."): path for path in paths}


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of all cases, after what ``o2o report`` makes: once for all that test at a time."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # a folder of its own for each of several processes
        shared = shared.parent
    with (shared / "site.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        out = shared / "site"
        if not out.is_dir():
            values = {name: cases.parameters(name) for name in cases.case_names()}
            for _, made in build(values, LANGUAGES, ("html", "pdf")):
                assert not isinstance(made, Exception), made
            sites.build(out=out)
    return out


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium to open pages with")
    with Browser(CHROMIUM, tmp_path_factory.mktemp("browser")) as opened:
        yield opened

"""One hand-made notebook, and its four reports, for all tests of this folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from o2o_research.publishing import publish

from .handmade import CASE, whole


@pytest.fixture(scope="session")
def notebook() -> Any:
    return whole()


@pytest.fixture(scope="session")
def reports(notebook: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The notebook's four reports, by ``<language>.<format>``."""
    paths = publish(notebook, tmp_path_factory.mktemp("reports"))
    return {path.name.removeprefix(f"{CASE}."): path for path in paths}

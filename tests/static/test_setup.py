"""Dependencies, lock, conda environment and continuous integration are in step."""

from __future__ import annotations

import re
import runpy
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def requirements() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [entry for group in project["optional-dependencies"].values() for entry in group]
    return [*project["dependencies"], *extras]


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!; ]", name)[0]).lower()


def locked() -> dict[str, set[str]]:
    """The versions of each package: more than one where the Python version decides."""
    versions: dict[str, set[str]] = {}
    for line in (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines():
        if "==" in line:
            name, rest = line.split("==", 1)
            versions.setdefault(plain(name), set()).add(rest.split(" ")[0])
    return versions


def test_every_requirement_is_locked() -> None:
    assert {plain(name) for name in requirements()} <= set(locked())


def test_every_locked_version_is_installed() -> None:
    from importlib.metadata import PackageNotFoundError, version

    wrong = {}
    for name in {plain(entry) for entry in requirements()}:
        try:
            found = version(name)
        except PackageNotFoundError:
            found = "none"
        if found not in locked()[name]:
            wrong[name] = found
    assert not wrong


def test_environment_yml_is_made_from_pyproject() -> None:
    made = runpy.run_path(str(ROOT / "scripts" / "environment.py"))["environment"]()
    assert (ROOT / "environment.yml").read_text(encoding="utf-8") == made


def test_the_lock_names_no_address() -> None:
    assert "://" not in (ROOT / "requirements.lock").read_text(encoding="utf-8")


def test_ci_runs_make_test() -> None:
    assert "make test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")

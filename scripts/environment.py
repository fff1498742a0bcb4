"""Write environment.yml from pyproject.toml, so that conda users get the same."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def environment() -> str:
    """The content of environment.yml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    python = project["requires-python"]
    wanted = project["dependencies"] + project["optional-dependencies"]["test"]
    lines = [
        "# Made by scripts/environment.py from pyproject.toml; the versions are those of requirements.lock.",
        "name: o2o_research",
        "channels: [conda-forge]",
        "dependencies:",
        f'  - "python{python}"',
        "  - pip",
        "  - pip:",
        "      - -r requirements.lock",
        "      - -e .",
        "# What requirements.lock is resolved from:",
        *(f"#   {requirement}" for requirement in wanted),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    (ROOT / "environment.yml").write_text(environment(), encoding="utf-8")

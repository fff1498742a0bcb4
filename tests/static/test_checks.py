"""The code is formatted, linted and typed, and the notebooks are stored without outputs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
CHECKS = {
    "types": ["mypy"],
    "format": ["ruff", "format", "--check", "."],
    "lint": ["ruff", "check", "."],
    "notebooks": ["nbstripout", "--keep-id", "--verify"],
}


# Types are a minute's work where no cache of theirs is there yet: its file begins early.
@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS)
def test_a_check_has_nothing_to_say(check: str, root: Path) -> None:
    program, *arguments = CHECKS[check]
    if check == "notebooks":
        arguments += [str(path) for path in sorted((root / "notebooks").glob("*.ipynb"))]
    done = subprocess.run(
        [BIN / program, *arguments], cwd=root, capture_output=True, text=True, check=False
    )
    if done.returncode:  # what it says is for reading, and no line of this test is
        pytest.fail(f"{program}\n{done.stdout}{done.stderr}", pytrace=False)

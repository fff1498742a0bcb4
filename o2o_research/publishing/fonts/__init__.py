"""The report fonts: static Noto Sans SC in two weights, and what they can draw.

Made by ``scripts/build_fonts.py``; free under the SIL Open Font License (``OFL.txt``).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from unicodedata import name

from fontTools.ttLib import TTFont

from o2o_research.errors import PublishError

FOLDER = Path(__file__).parent
REGULAR, BOLD = FOLDER / "NotoSansSC-Regular.ttf", FOLDER / "NotoSansSC-Bold.ttf"


def files() -> list[Path]:
    """The fonts that the package ships; ``PublishError`` if one is not there."""
    for path in (REGULAR, BOLD):
        if not path.is_file():
            raise PublishError(f"{path.name} is not there: run scripts/build_fonts.py")
    return [REGULAR, BOLD]


@cache
def drawn(*, bold: bool = False) -> frozenset[int]:
    """The code points that a weight can draw."""
    with TTFont(files()[bold], lazy=True) as font:
        return frozenset(font.getBestCmap())


def check(words: str, where: str, *, bold: bool = False) -> None:
    """Refuse a character that the fonts cannot draw, by name and place."""
    known = drawn(bold=bold)
    for character in words:
        if ord(character) not in known and character not in "\n\t":
            raise PublishError(missing(character, where, bold=bold))


def missing(character: str, where: str, *, bold: bool = False) -> str:
    """What is said of a character without a glyph."""
    shown = character if character.isprintable() else " "
    title = f"U+{ord(character):04X} {name(character, 'unnamed')}"
    return (
        f"{where}: no glyph for “{shown}” ({title}) in Noto Sans SC {'Bold' if bold else 'Regular'}"
    )

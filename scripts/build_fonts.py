"""Build the report fonts: static Noto Sans SC, Regular for all of GBK, Bold for GB 2312.

    python -m venv /tmp/fonts && /tmp/fonts/bin/pip install fonttools==4.68.0 justmytype-intl-cjk==0.1.0
    /tmp/fonts/bin/python scripts/build_fonts.py

The source is the variable font that ``justmytype-intl-cjk`` carries on PyPI, under the SIL Open
Font License. Typst could read it as it is; vl-convert would draw it in its thinnest weight, hence
static instances. Same source, same fontTools: same bytes.
"""

from __future__ import annotations

import argparse
import shutil
from importlib.util import find_spec
from pathlib import Path

from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont
from fontTools.varLib import instancer

FOLDER = Path(__file__).resolve().parents[1] / "o2o_research" / "publishing" / "fonts"

# What reports write beside Chinese, as far as the source font draws it.
BESIDE = (
    (0x20, 0x17F),  # Latin
    (0x1CD, 0x1DC),  # pinyin
    (0x2C6, 0x2DD),  # accents
    (0x370, 0x3FF),  # Greek
    (0x2000, 0x209F),  # punctuation, superscripts and subscripts
    (0x20A0, 0x20BF),  # currencies
    (0x2100, 0x22FF),  # letter-like signs, number forms, arrows, mathematics
    (0x2460, 0x24FF),  # enclosed numbers
    (0x25A0, 0x27BF),  # shapes and signs
    (0x3000, 0x303F),  # Chinese punctuation
    (0xFF00, 0xFFEF),  # full-width forms
)
WEIGHTS = {"Regular": (400, "gbk"), "Bold": (700, "gb2312")}


def characters(encoding: str) -> set[int]:
    """Every character of a two-byte encoding, and what stands beside Chinese."""
    wanted = {code for first, last in BESIDE for code in range(first, last + 1)}
    for lead in range(0x81, 0xFF):
        for trail in range(0x40, 0xFF):
            try:
                wanted.update(map(ord, bytes((lead, trail)).decode(encoding)))
            except UnicodeDecodeError:
                continue
    return {code for code in wanted if not 0xE000 <= code < 0xF900}


def build(source: Path, style: str) -> Path:
    """One static instance, subset and named so that family and weight find it."""
    weight, encoding = WEIGHTS[style]
    font = TTFont(source, recalcTimestamp=False)
    options = Options(
        layout_features=["ccmp", "kern", "liga", "locl", "mark", "pwid"],
        layout_scripts=["*"],
        hinting=False,
        notdef_outline=True,
        name_IDs=["*"],
        drop_tables=["BASE", "vhea", "vmtx", "VORG", "gasp", "prep"],
        recalc_timestamp=False,
    )
    subsetter = Subsetter(options)
    subsetter.populate(unicodes=characters(encoding))
    subsetter.subset(font)
    font = instancer.instantiateVariableFont(font, {"wght": weight}, inplace=True)
    if "STAT" in font:
        del font["STAT"]
    _name(font, style, weight)
    target = FOLDER / f"NotoSansSC-{style}.ttf"
    font.save(target, reorderTables=True)
    return target


def _name(font: TTFont, style: str, weight: int) -> None:
    names = font["name"]
    licence = {0, 5, 7, 8, 9, 11, 13, 14}
    names.names = [record for record in names.names if record.nameID in licence]
    for number, text in {
        1: "Noto Sans SC",
        2: style,
        3: f"2.004;NotoSansSC-{style}",
        4: f"Noto Sans SC {style}",
        6: f"NotoSansSC-{style}",
    }.items():
        names.setName(text, number, 3, 1, 0x409)
    bold = style == "Bold"
    font["OS/2"].usWeightClass = weight
    font["OS/2"].fsSelection = font["OS/2"].fsSelection & ~0b1100001 | (
        0b100000 if bold else 0b1000000
    )
    font["head"].macStyle = int(bold)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path, help="folder with the variable font and OFL.txt")
    source = parser.parse_args().source
    if source is None:
        package = find_spec("justmytype_intl_cjk")
        if package is None or package.origin is None:
            parser.error("install justmytype-intl-cjk, or give --source")
        source = Path(package.origin).parent / "fonts" / "ofl" / "notosanssc"
    for style in WEIGHTS:
        path = build(source / "NotoSansSC[wght].ttf", style)
        glyphs = TTFont(path, lazy=True)["maxp"].numGlyphs
        print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB, {glyphs} glyphs")
    shutil.copyfile(source / "OFL.txt", FOLDER / "OFL.txt")


if __name__ == "__main__":
    main()

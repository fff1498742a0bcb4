"""The report fonts cover what Chinese reports write, and are found by family and weight."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fontTools.ttLib import TTFont

from o2o_research.errors import PublishError
from o2o_research.publishing import fonts

ROOT = Path(__file__).resolve().parents[2]


def encoded(encoding: str) -> set[int]:
    found = set()
    for lead in range(0x81, 0xFF):
        for trail in range(0x40, 0xFF):
            try:
                found |= set(map(ord, bytes((lead, trail)).decode(encoding)))
            except UnicodeDecodeError:
                continue
    return {code for code in found if 0x4E00 <= code < 0xE000}


def test_regular_covers_all_chinese_characters_of_gbk() -> None:
    assert len(encoded("gbk")) == 20902
    assert not encoded("gbk") - fonts.drawn()


def test_bold_covers_all_chinese_characters_of_gb_2312() -> None:
    assert len(encoded("gb2312")) == 6763
    assert not encoded("gb2312") - fonts.drawn(bold=True)


@pytest.mark.parametrize("bold", [False, True])
def test_both_weights_draw_what_reports_write_beside_chinese(bold: bool) -> None:
    beside = "Aé ß0–—…“”‘’《》【】（），。；：！？、·×−±≈≤≥≠∞∑√αβγθλμσΔ→↑↓①②%‰¥￥€℃²³½"
    assert not {character for character in beside if ord(character) not in fonts.drawn(bold=bold)}


def test_weights_are_static_and_named_by_family() -> None:
    for path, weight in zip(fonts.files(), (400, 700), strict=True):
        with TTFont(path, lazy=True) as font:
            assert "fvar" not in font
            assert font["name"].getBestFamilyName() == "Noto Sans SC"
            assert font["OS/2"].usWeightClass == weight


def test_fonts_and_their_licence_are_small_enough_to_ship() -> None:
    regular, bold = (path.stat().st_size for path in fonts.files())
    assert regular < 8_500_000
    assert bold < 3_000_000
    assert "SIL OPEN FONT LICENSE" in (fonts.FOLDER / "OFL.txt").read_text(encoding="utf-8")


def test_a_missing_character_is_named_with_its_place_and_weight() -> None:
    with pytest.raises(
        PublishError, match=r"^here: no glyph for “龘” \(U\+9F98 CJK .*\) in Noto Sans SC Bold$"
    ):
        fonts.check("甲龘", "here", bold=True)


@pytest.mark.slow
def test_the_script_builds_the_same_bytes(tmp_path: Path) -> None:
    if importlib.util.find_spec("justmytype_intl_cjk") is None:
        pytest.skip("justmytype-intl-cjk, the fonts' source, is not installed")
    folder = tmp_path / "o2o_research" / "publishing" / "fonts"
    folder.mkdir(parents=True)
    (tmp_path / "scripts").mkdir()
    script = shutil.copy(ROOT / "scripts" / "build_fonts.py", tmp_path / "scripts")
    subprocess.run([sys.executable, script], check=True, capture_output=True)
    for path in fonts.files():
        assert (folder / path.name).read_bytes() == path.read_bytes()

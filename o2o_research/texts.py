"""An analyst's own words, shown as words: no mark in them is obeyed, and a report can draw them."""

from __future__ import annotations

import re

_LATIN = {chr(code) for code in range(0xA1, 0x100) if code != 0xAD}
_LONGEST = 40


def printable(text: str) -> str:
    r"""``text`` with everything written out that would turn, move or hide what stands beside it.

    >>> printable("a\u202eb\n\x1b[2J")
    'a\\u202eb\n\\x1b[2J'
    """
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


def drawable(text: str, limit: int = _LONGEST) -> str:
    r"""``text`` on one line, cut at ``limit``, other characters than a report's regular font has by number.

    The regular font has what GBK and Latin-1 have.

    >>> drawable("Häagen-Dazs  旗舰店\t\u202e\U0001f600")
    'Häagen-Dazs 旗舰店 \\u202e\\U0001f600'
    """
    # A cell may be a megabyte: what is cut off need not be looked at.
    start = text[: 100 * limit]
    words = "".join(c if _drawn(c) else _numbered(c) for c in " ".join(start.split()))
    if len(words) > limit or len(start) < len(text):
        words = words[: limit - 1] + "…"
    return words


def escaped(text: str) -> str:
    """``text`` as Markdown that shows it.

    >>> escaped("*a* <b>")
    '\\\\*a\\\\* \\\\<b\\\\>'
    """
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)


def _drawn(character: str) -> bool:
    if character.isascii():
        return character.isprintable()
    try:
        return character in _LATIN or (character != "≒" and bool(character.encode("gbk")))
    except UnicodeEncodeError:
        return False


def _numbered(character: str) -> str:
    code = ord(character)
    return (
        f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"
    )

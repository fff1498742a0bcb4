"""What may stand in a cell or a file that nobody looked through. Each has a name of its own."""

from __future__ import annotations

import gzip
from typing import NamedTuple

# Texts that some program on the way to a reader would obey.
TEXTS: dict[str, str] = {
    # A page
    "script": "<script>alert(1)</script>",
    "script-cut": "</td></tr></table><script>alert(1)//",
    "image": '<img src=x onerror="alert(1)">',
    "svg": "<svg/onload=alert(1)>",
    "comment-open": "<!-- ",
    "comment-shut": " -->",
    "frame": "<iframe src='javascript:alert(1)'></iframe>",
    "style": "</style><style>*{display:none}</style>",
    "entity": "&lt;b&gt; &#60;i&#62; &nbsp; &amp;",
    "attribute": "\" autofocus onfocus='alert(1)' x=\"",
    "meta": '<meta http-equiv="refresh" content="0;url=//example.org">',
    "base": "<base href=//example.org>",
    "link-tag": "<a href=data:text/html,x>x</a>",
    "cdata": "<![CDATA[x]]><?php echo 1 ?>",
    "template": "{{constructor.constructor('alert(1)')()}} ${7*7} #{7*7} <%= 7*7 %>",
    # A sheet
    "formula": "=1+1",
    "formula-command": "=cmd|' /C calc'!A0",
    "formula-link": '=HYPERLINK("http://example.org","x")',
    "formula-plus": "+1+cmd",
    "formula-minus": "-2+3+cmd",
    "formula-at": "@SUM(1+1)*cmd",
    "formula-dde": "=DDE('cmd';'/C calc';'x')",
    "formula-full-width": "＝１＋１",
    # Markdown
    "bold": "**bold** __bold__",
    "emphasis": "*a* _b_ ~~c~~",
    "link": "[x](https://example.org)",
    "link-own": "[8 万元](#f-voucher_profit)",
    "link-bad": "[x](javascript:alert(1))",
    "picture": "![x](https://example.org/x.png)",
    "reference": "[x]: https://example.org",
    "citation": "[@dholakia2011] @dholakia2011",
    "autolink": "<https://example.org> https://example.org",
    "heading": "# heading",
    "list": "- a",
    "rule": "---",
    "quote": "> quoted",
    "ticks": "`code` ``code``",
    "fence": "```{=html}",
    "raw-html": "`<script>alert(1)</script>`{=html}",
    "math": "$x^2$ $$\\int$$",
    "tex": r"\input{/etc/passwd} \write18{ls}",
    "footnote": "^[note] [^1] x^2^ H~2~O",
    "span": "[x]{.hidden onclick=alert(1)}",
    "cells": "a | b || c",
    "separator": "|---|---:|",
    "backslash": "\\",
    "backslashes": "\\\\ \\| \\<",
    "smart": "\"a\" 'b' -- --- ... (c)",
    "hard-break": "a\\\nb",
    "emoji-word": ":smile:",
    "break-mark": "a\ue000b",
    # Typst
    "typst-code": '#read("/etc/passwd")',
    "typst-import": '#import "@preview/x:0.1.0": *',
    "typst-eval": "#eval(\"1+1\") #{ 1 + 1 }",
    "typst-label": "<label> @label",
    "typst-set": "#set page(width: 1cm)",
    "typst-brackets": "]] #pagebreak() [[",
    "typst-math": "$ sum_(i=0)^n $",
    "typst-comment": "/* x */ // y",
    "typst-string": '"; #panic("x") //',
    "typst-heading": "= heading",
    "typst-escape": r"\u{1f600} \ ~ -?",
    "typst-link": "https://example.org/#x",
    # Our own references
    "ours-text": "text:a¦b",
    "ours-text-one": "text:a",
    "ours-own": "own:own:x",
    "ours-term": "term:no_such_term",
    "ours-name": "name:ticket",
    "ours-value": "value:ticket:nan",
    "ours-flag": "flag:a¦b|ticket:1",
    "ours-axis": "axis:ticket",
    "term-key": "ticket",
    # A database, a shell, a path
    "sql": "'; DROP TABLE orders; --",
    "sql-or": "1' OR '1'='1",
    "sql-union": '" UNION SELECT * FROM read_text(\'/etc/passwd\')',
    "sql-comment": "/*! x */ -- y",
    "shell": "$(rm -rf ~) `ls` ; | & > x",
    "path": "../../etc/passwd",
    "path-windows": "C:\\Windows\\con",
    "url": "file:///etc/passwd",
    "python": "__import__('os').system('ls')",
    "format": "%s %n {0} {x.__class__}",
    "jinja": "{% for x in y %}{{ x }}{% endfor %}",
    "log4j": "${jndi:ldap://example.org/x}",
    "vega": "datum.value > 0 ? 'a' : 'b'",
    "xml": '<!DOCTYPE x [<!ENTITY y SYSTEM "file:///etc/passwd">]>&y;',
    "json": '{"a": [1, null]}',
    "yaml": "!!python/object/apply:os.system ['ls']",
    # Marks that turn, join or hide
    "right-to-left": "abc\u202egnp.exe",
    "isolate": "a\u2066b\u2069c\u200f",
    "zero-width": "a\u200bb\u200cc\u200dd\ufeff",
    "soft-hyphen": "a\u00adb",
    "combining": "Z" + "\u0301\u0323" * 12,
    "arabic": "\u0645\u0637\u0639\u0645 \u05de\u05e1\u05e2\u05d3\u05d4",
    "emoji": "\U0001f469\u200d\U0001f373 \U0001f1e8\U0001f1f3",
    "tags": "a\U000e0041\U000e0042",
    "private": "a\uf8ffb\U0010fffd",
    "noncharacter": "a\uffffb\ufffe",
    "replacement": "a\ufffdb",
    "line-separator": "a\u2028b\u2029c\x85d",
    "newlines": "a\nb\r\nc\rd",
    "tabs": "a\tb\vc\fd",
    "bell": "a\x07\x08\x1b[31mred\x1b[0m",
    "delete": "a\x7fb\x9bc",
    "unit-separator": "a\x1c\x1d\x1e\x1fb",
    "no-break": "a\xa0\u3000\u2007b",
    # Names that look like nothing, or like something else
    "quotes": "\"a\"\"b\" 'c' “d” ‘e’ «f»",
    "quote-alone": '"',
    "commas": "a,b;c\td|e",
    "none": "None",
    "null": "NULL",
    "nan": "nan",
    "infinity": "-inf",
    "number": "007",
    "large": "9" * 300,
    "exponent": "1e309",
    "date": "2014-05-30",
    "boolean": "TRUE",
    "look-alike": "раyраl ⅕ ﬁ Ａ",
    "rare": "㐂𠮷堃镕䶮",
    "accents": "Häagen-Dazs L’Oréal Škoda",
    "dash": "-",
    "dot": ".",
    "prototype": "__proto__",
    "constructor": "constructor",
    # Long ones
    "long": "长" * 5_000,
    "megabyte": "x" * (1 << 20),
    "megabyte-markup": "<b>" * 350_000,
    "megabyte-spaces": "a" + " " * (1 << 20) + "b",
    "megabyte-words": "字 " * 350_000,
    "nested": "[" * 3_000 + "]" * 3_000,
}  # fmt: skip

HEAD = "period,brand,channel,country,units,price\n"


def sales(brand: str = "A", **cells: str) -> str:
    """Eight months of a brand; ``cells`` put another text into one column of the third."""
    rows = []
    for month in range(1, 9):
        row = {
            "period": f"2014-{month:02}-01", "brand": f'"{brand}"', "channel": "online",
            "country": "", "units": str(100 * month), "price": "798",
        }  # fmt: skip
        rows.append(row | (cells if month == 3 else {}))
    return HEAD + "".join(",".join(row.values()) + "\n" for row in rows)


class Hostile(NamedTuple):
    """A whole file, and what is read as its brand, or what is said when it is refused."""

    content: bytes
    brand: str = ""
    refused: str = ""
    name: str = "sales.csv"


def _spoilt(column: str, cell: str, rule: str) -> Hostile:
    return Hostile(
        sales(**{column: cell}).encode(), refused=f"sales.csv: {column}, row 4: .*{rule}"
    )


_GOOD = sales("小米")
FILES: dict[str, Hostile] = {
    # Encodings
    "gb18030": Hostile(_GOOD.encode("gb18030"), "小米"),
    "gb18030-four-bytes": Hostile(sales("𠮷野家").encode("gb18030"), "𠮷野家"),
    "gbk": Hostile(_GOOD.encode("gbk"), "小米"),
    "utf-8-mark": Hostile(_GOOD.encode("utf-8-sig"), "小米"),
    "utf-16": Hostile(_GOOD.encode("utf-16"), "小米"),
    "utf-16-be": Hostile(b"\xfe\xff" + _GOOD.encode("utf-16-be"), "小米"),
    "utf-16-unmarked": Hostile(_GOOD.encode("utf-16-le"), refused="row 1: a NUL character"),
    "utf-32": Hostile(_GOOD.encode("utf-32"), refused="NUL character|not UTF-16"),
    "mixed": Hostile(_GOOD.encode() + "2014-09-01,华为,,,1,1\n".encode("gb18030"),
                     refused="row 2 is UTF-8 and row 10 is not: two encodings in one file"),
    "mixed-first": Hostile(sales("华为").encode("gb18030") + "2014-09-01,小米,,,1,1\n".encode(),
                           refused="row 10 is UTF-8 and row 2 is not: two encodings in one file"),
    "mixed-other": Hostile(sales("caf").encode().replace(b"caf", b"caf\xe9", 1),
                           refused="row 2: text that is neither UTF-8 nor GB18030"),
    # Nothing in these bytes says that they are not GB18030, and as that they are read.
    "latin-1": Hostile(sales("Citroën").encode("latin-1"), "Citro雗"),
    "overlong": Hostile(sales("x").encode().replace(b"x", b"\xc0\xaf"), "蜡"),
    "surrogate": Hostile(sales("x").encode().replace(b"x", b"\xed\xa0\x80", 1),
                         refused="row 2: text that is neither"),
    "beyond-unicode": Hostile(sales("x").encode().replace(b"x", b"\xf5\x80\x80\x80", 1),
                              refused="row 2: text that is neither"),
    "utf-16-half-pair": Hostile(b"\xff\xfe" + sales("x").encode("utf-16-le").replace(
        b"x\0", b"\x00\xd8", 1), refused="row 2: text that is not UTF-16"),
    "mark-twice": Hostile(b"\xef\xbb\xbf" + _GOOD.encode("utf-8-sig"), refused="period missing"),
    # Bytes that are no text
    "nul": Hostile(sales("x").encode().replace(b"x", b"a\0b", 1), refused="row 2: a NUL character"),
    "nul-at-the-end": Hostile(_GOOD.encode() + b"\0", refused="row 10: a NUL character"),
    "nuls": Hostile(bytes(4096), refused="row 1: a NUL character"),
    "random": Hostile(bytes(range(1, 256)) * 8, refused="sales.csv: "),
    "picture": Hostile(b"\x89PNG\r\n\x1a\n" + bytes(64), refused="sales.csv: row"),
    "workbook": Hostile(b"PK\x03\x04" + bytes(64), refused="Excel workbook"),
    "pdf": Hostile(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", refused="missing; the header has '%PDF-1.7'"),
    "page": Hostile(b"<!DOCTYPE html><script>alert(1)</script>", refused="missing; the header has"),
    "gzip-cut": Hostile(gzip.compress(_GOOD.encode())[:-20], refused="broken gzip"),
    "gzip": Hostile(gzip.compress(_GOOD.encode("gb18030")), "小米"),
    "parquet-cut": Hostile(b"PAR1" + bytes(64), refused="not a whole Parquet file"),
    # Line ends and quotes
    "crlf": Hostile(_GOOD.replace("\n", "\r\n").encode(), "小米"),
    "cr": Hostile(_GOOD.replace("\n", "\r").encode(), "小米"),
    "line-ends-mixed": Hostile(_GOOD.replace("\n", "\r\n", 3).replace("\n", "\n\n", 2).encode(), "小米"),
    "no-last-end": Hostile(_GOOD.removesuffix("\n").encode(), "小米"),
    "quote-open": Hostile(sales(brand="A").replace('"A"', '"A', 1).encode(), refused="quote|cells where"),
    "quote-inside": Hostile(sales("A").replace('"A"', 'A"B"').encode(), 'A"B"'),
    "cells-more": Hostile(_GOOD.encode() + b"2014-09-01,B,,,1,1,2,3\n", refused="row 10: 8 cells"),
    "cells-fewer": Hostile(_GOOD.encode() + b"2014-09-01\n", refused="row 10: 1 cells"),
    "columns-many": Hostile(",".join(f"c{i}" for i in range(20_000)).encode() + b"\n",
                            refused="missing; the header has 'c0'.* more"),
    "header-hostile": Hostile(b"<script>\x1b[2J,\"a\nb\",=1+1\n1,2,3\n", refused="missing; the header has"),
    "header-megabyte": Hostile(b"x" * (1 << 20) + b"\n1\n", refused="missing; the header has"),
    "header-twice": Hostile(_GOOD.replace("price", "units").encode(), refused="price missing|twice"),
    "no-line": Hostile(b"", refused="is empty"),
    "header-alone": Hostile(HEAD.encode(), refused="holds no sales"),
    "delimiter-other": Hostile(_GOOD.replace(",", "^").encode(), refused="missing; the header has"),
    # Numbers
    "number-nan": _spoilt("units", "NaN", "'NaN' is not a number"),
    "number-infinity": _spoilt("units", "Infinity", "is not a number"),
    "number-minus-infinity": _spoilt("units", "-inf", "is not a number"),
    "number-overflow": _spoilt("units", "1e400", "1e400 is not a number"),
    "number-huge": _spoilt("units", "9" * 400, "is not a number|is too large"),
    "number-large": _spoilt("units", "1e300", "1e300 is too large"),
    "number-negative": _spoilt("units", "-1", "-1 is negative"),
    "number-hex": _spoilt("units", "0x1F", "'0x1F' is not a number"),
    "number-thousands": _spoilt("units", '"1,000"', "'1,000' is not a number"),
    "number-full-width": _spoilt("units", "１２", "'１２' is not a number"),
    "number-arabic": _spoilt("units", "\u0661\u0662", "is not a number"),
    "number-chinese": _spoilt("units", "三百", "'三百' is not a number"),
    "number-unit": _spoilt("units", "12台", "is not a number"),
    "number-percent": _spoilt("units", "12%", "is not a number"),
    "number-currency": _spoilt("price", "¥798", "is not a number"),
    "number-formula": _spoilt("units", "=1+1", "'=1\\+1' is not a number"),
    "number-sql": _spoilt("units", "1; DROP TABLE sales", "is not a number"),
    "number-markup": _spoilt("units", "<b>1</b>", "is not a number"),
    "number-escape": _spoilt("units", "1\x1b[2J", r"'1\\x1b\[2J' is not a number"),
    "number-turned": _spoilt("units", "\u202e12", r"'\\u202e12' is not a number"),
    "number-zero-width": _spoilt("units", "1\u200b2", r"'1\\u200b2' is not a number"),
    "number-megabyte": _spoilt("units", "1" * (1 << 20), "is not a number|is too large"),
    "number-empty": _spoilt("units", "", "is empty"),
    "number-error": _spoilt("units", "#DIV/0!", "is not a number"),
    # Days
    "day-before": _spoilt("period", "1900-01-01", "is outside"),
    "day-after": _spoilt("period", "9999-12-31", "is outside"),
    "day-far": _spoilt("period", "290000-01-01", "is not readable|is outside"),
    "day-none": _spoilt("period", "2014-02-30", "is not readable"),
    "day-zero": _spoilt("period", "0000-00-00", "is not readable"),
    "day-infinity": _spoilt("period", "infinity", "is not readable|is outside"),
    "day-epoch": _spoilt("period", "1401408000", "is not readable"),
    "day-serial": _spoilt("period", "41789", "is not readable"),
    "day-american": _spoilt("period", "05/30/2014", "is not readable"),
    "day-words": _spoilt("period", "yesterday", "is not readable"),
    "day-markup": _spoilt("period", "<script>", "is not readable"),
    "day-leap-second": _spoilt("period", "2014-03-01 23:59:61", "is not readable"),
    "day-zone": _spoilt("period", "2014-03-01T00:00:00+99:00", "is not readable"),
}  # fmt: skip

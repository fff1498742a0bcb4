"""Write the inventory of docs/architecture.md from the modules' first lines."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "architecture.md"


def first_line(path: Path) -> str:
    doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return doc.split("\n", 1)[0].strip()


if __name__ == "__main__":
    rows = "\n".join(
        f"| `{path.relative_to(ROOT)}` | {first_line(path)} |"
        for path in sorted((ROOT / "o2o_research").rglob("*.py"))
    )
    text = PAGE.read_text(encoding="utf-8")
    table = f"| module | what it is |\n|---|---|\n{rows}\n"
    text = re.sub(r"\| module \| what it is \|\n\|---\|---\|\n(?:\| .*\n)*", lambda _: table, text)
    PAGE.write_text(text, encoding="utf-8")

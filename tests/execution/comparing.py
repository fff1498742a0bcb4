"""What two executed notebooks must agree in, and what no two runs agree in."""

from __future__ import annotations

import json
import re
from typing import Any

# A process's number in the names of cells' files, addresses of objects, times.
_PASSING = [
    (re.compile(r"ipykernel_\d+"), "ipykernel_N"),
    (re.compile(r"altair-viz-[0-9a-f]+"), "altair-viz-N"),
    (re.compile(r"0x[0-9a-f]{6,}"), "0xN"),
    (re.compile(r"(CPU times|Wall time|user|total).*"), r"\1"),
]


def _steady(value: Any) -> Any:
    if isinstance(value, str):
        for pattern, instead in _PASSING:
            value = pattern.sub(instead, value)
        return value
    if isinstance(value, list):
        return [_steady(entry) for entry in value]
    if isinstance(value, dict):
        return {key: _steady(entry) for key, entry in value.items()}
    return value


def _joined(outputs: list[Any]) -> list[Any]:
    """Neighbouring pieces of one stream as one: how they are cut is a matter of a fifth of a second."""
    joined: list[Any] = []
    for output in outputs:
        output = json.loads(json.dumps(output))
        previous = joined[-1] if joined else {}
        if output["output_type"] == "stream" and output.get("name") == previous.get("name"):
            previous["text"] += output["text"]
        else:
            joined.append(output)
    return joined


def essence(notebook: Any) -> list[tuple[str, Any]]:
    """Every cell's outputs, counts and state, for comparing two executions of one notebook."""
    found = []
    for cell in notebook.cells:
        about = {key: value for key, value in cell.metadata.items() if key != "execution"}
        about["papermill"] = {
            key: about.get("papermill", {}).get(key) for key in ("status", "exception")
        }
        entry = {"source": cell.source, "metadata": about}
        if cell.cell_type == "code":
            entry |= {
                "count": cell.execution_count,
                "timed": sorted(cell.metadata.get("execution", {})),
                "outputs": _steady(_joined(cell.outputs)),
            }
        found.append((cell.get("id", ""), entry))
    return found

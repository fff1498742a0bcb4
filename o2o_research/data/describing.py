"""What a source holds, before anybody says what it means: columns, kinds, gaps, and the table it fits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ibis
import ibis.expr.types as ir

from o2o_research.data import engines, sources
from o2o_research.data.expressions import Reader
from o2o_research.data.files import files
from o2o_research.data.mappings import resolve
from o2o_research.data.problems import shown
from o2o_research.data.reading import moment as read_moment
from o2o_research.data.tables import TABLES, Table
from o2o_research.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Described:
    """One column of a source: its kind, how much of it is there, and its range.

    Parameters
    ----------
    kind : ``number``, ``time`` or ``text``: what every cell that is not empty can be read as
    gaps_share : of cells that are empty
    different : how many different cells, roughly
    low, high : the least and the largest, as text
    """

    name: str
    kind: str
    gaps_share: float
    different: int
    low: str
    high: str


@dataclass(frozen=True, kw_only=True)
class Description:
    """A source: its rows, its columns, and how near it is to each canonical table."""

    rows: int
    columns: tuple[Described, ...]

    def missing(self, table: Table) -> list[str]:
        """The columns of ``table`` that no column of the source is called."""
        names = {column.name for column in self.columns}
        return [c.name for c in table.columns if not c.optional and c.name not in names]

    def nearest(self) -> list[Table]:
        """The canonical tables, those with the smallest share of columns missing first."""
        return sorted(TABLES.values(), key=lambda t: len(self.missing(t)) / len(t.columns))


@sources.room()
def describe(source: str | Path, *, timezone: str = "Asia/Shanghai") -> Description:
    """Read every column of a source as it is.

    Raises
    ------
    DataError
        If the source holds no table, or files with different headers.
    """
    given = resolve(source, Table(name="source", row="row", columns=()))
    if given.scheme or given.engine:
        if given.scheme and not given.table:
            raise DataError(f"{given.shown}: name the table after the URL, #orders")
        raw = engines.opened(given, TABLES["orders"], timezone)
        return _described(raw, list(raw.columns), engines.reader(raw))
    con = sources.connect(timezone)
    with TemporaryDirectory(prefix="o2o-") as scratch:
        parts = [
            sources.open_part(con, path, name=path.name, scratch=Path(scratch), columns=())
            for path in files(given.where_from)
        ]
        header = list(parts[0].header)
        for part in parts:
            if list(part.header) != header:
                raise DataError(f"{part.name} has another header than {parts[0].name}")
        problems = []
        tables = []
        for part in parts:
            if part.is_parquet:
                tables.append(sources.read_parquet(con, [part], header))
            else:
                table, found = sources.read_csv_carefully(con, part, header, Path(scratch))
                tables.append(table)
                problems += found
        if problems:
            raise DataError("\n".join(map(str, problems)))
        rows = con.create_table(ibis.util.gen_name("rows"), ibis.union(*tables))
        reader = Reader(
            number=lambda text: text.try_cast("float64"),
            moment=lambda text: read_moment(text, timezone),
        )
        return _described(rows.drop("_row"), header, reader)


def _described(raw: ir.Table, names: list[str], reader: Reader) -> Description:
    answers: dict[str, Any] = {"rows": raw.count()}
    for index, column in enumerate(raw.columns):
        cell = raw[column]
        if cell.type().is_string():
            cell = cell.strip().nullif("")
            number, moment = reader.number(cell), reader.moment(cell)
            answers |= {
                f"numbers{index}": number.count(),
                f"moments{index}": moment.count(),
                f"low_number{index}": number.min(),
                f"high_number{index}": number.max(),
            }
        answers |= {
            f"known{index}": cell.count(),
            f"different{index}": cell.approx_nunique(),
            f"low{index}": cell.min().cast("string"),
            f"high{index}": cell.max().cast("string"),
        }
    found = raw.agg(**answers).to_pyarrow().to_pylist()[0]
    columns = []
    for index, name in enumerate(names):
        kind = raw[raw.columns[index]].type()
        known = found[f"known{index}"]
        low, high = found[f"low{index}"], found[f"high{index}"]
        if kind.is_string() and known and found[f"moments{index}"] == known:
            what = "time"
        elif kind.is_string() and known and found[f"numbers{index}"] == known:
            what = "number"
            low, high = (f"{found[f'{end}_number{index}']:.15g}" for end in ("low", "high"))
        elif kind.is_string():
            what = "text"
        else:
            what = "time" if kind.is_temporal() else "number" if kind.is_numeric() else str(kind)
        columns.append(
            Described(
                name=name,
                kind=what,
                gaps_share=1 - known / found["rows"] if found["rows"] else 0.0,
                different=found[f"different{index}"],
                low=shown(low or "", 24),
                high=shown(high or "", 24),
            )
        )
    return Description(rows=found["rows"], columns=tuple(columns))

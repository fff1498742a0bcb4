"""How the columns of a log become the canonical ones: by their own names, or by a mapping."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ibis.expr.types as ir

from o2o_research.data import expressions
from o2o_research.data.expressions import Built, Expression, Reader
from o2o_research.data.mappings import Source
from o2o_research.data.problems import Problem, shown
from o2o_research.data.tables import Column, Table
from o2o_research.errors import DataError

# Ours begin with an underscore, cell_ or fault_.
_ATTRIBUTE = re.compile(r"(?!cell_|fault_)[^\W\d_]\w{0,62}")


@dataclass(frozen=True)
class Layout:
    """What each canonical column is made of, and which rows count."""

    table: Table
    texts: Mapping[str, str]
    parsed: Mapping[str, Expression | None]
    where: Expression | None
    unit: Mapping[str, float]

    @classmethod
    def of(cls, given: Source, table: Table) -> Layout:
        """The layout that a mapping states, its expressions parsed."""
        parsed: dict[str, Expression | None] = {}
        for name, text in given.columns.items():
            try:
                parsed[name] = expressions.parse(text, f"columns: {name}")
            except DataError:
                # It may still be the very name of a column, such as 金额(元): the header decides.
                parsed[name] = None
        where = None
        if given.where:
            where = expressions.parse(given.where, "where")
        return cls(table, given.columns, parsed, where, given.unit)

    @property
    def names(self) -> list[str]:
        """All names that a header may show, to tell how it is cut."""
        found = [c.name for c in self.table.columns if c.name not in self.texts]
        found += list(self.texts.values())
        for each in self.parsed.values():
            found += each.columns if each else ()
        return found

    def wanted(self, headers: Sequence[Sequence[str]]) -> list[Column]:
        """The columns that must be there: of the optional ones those that a header has."""
        there = dict.fromkeys(name for header in headers for name in header)
        columns = [
            c
            for c in self.table.columns
            if not c.optional or c.name in there or c.name in self.texts
        ]
        if self.table.attributes:
            known = {c.name for c in self.table.columns}
            others = self.texts if self.texts else there
            columns += [
                Column(name=name, type="number", zh="属性", en="attribute")
                for name in others
                if name not in known
            ]
        return columns

    def expression(self, column: Column, header: Sequence[str]) -> Expression:
        """What the column is made of: a name of the header wins over its reading as a formula."""
        text = self.texts.get(column.name, column.name)
        if text in header or column.name not in self.texts:
            return expressions.column(text)
        found = self.parsed[column.name]
        return found or expressions.parse(text, f"columns: {column.name}")

    def needs(self, columns: Sequence[Column], header: Sequence[str]) -> list[str]:
        """The columns of the log behind these and behind the condition."""
        names = [n for c in columns for n in self.expression(c, header).columns]
        return list(dict.fromkeys([*names, *(self.where.columns if self.where else ())]))

    def missing(
        self, name: str, header: Sequence[str], columns: Sequence[Column]
    ) -> Iterator[Problem]:
        """What the header lacks, in one line."""
        lacking = [n for n in self.needs(columns, header) if n not in header]
        if lacking:
            what = "column" if len(lacking) == 1 else "columns"
            found = ", ".join(shown(each) for each in header[:10])
            found += f" and {len(header) - 10} more" if len(header) > 10 else ""
            said = ", ".join(map(self.said, lacking))
            yield Problem(f"{name}: {what} {said} missing; the header has {found}")

    def cells(
        self,
        columns: Sequence[Column],
        header: Sequence[str],
        named: Callable[[str], Any],
        reader: Reader,
    ) -> dict[str, Any]:
        """``cell_<column>`` of each, ``fault_<column>`` where something could not be read."""
        cells = {}
        for column in columns:
            try:
                built = Built(self.expression(column, header), named, reader)
            except DataError as error:
                raise DataError(f"columns: {column.name}: {error}") from None
            value = built.value
            cells[f"cell_{column.name}"] = (
                reader.trimmed(value) if value.type().is_string() else value
            )
            if built.fault is not None:
                cells[f"fault_{column.name}"] = built.fault
        if self.where:
            built = Built(self.where, named, reader)
            if not built.value.type().is_boolean():
                raise DataError(f"where: {shown(self.where.text)} is no condition")
            cells["_where"] = built.value
            if built.fault is not None:
                cells["fault_where"] = built.fault
        return cells

    def counted(self, cells: ir.Table) -> ir.Table:
        """The rows that count; one whose condition cannot be read stays, to be told."""
        if "_where" not in cells.columns:
            return cells
        keep = cells["_where"].fill_null(False)
        if "fault_where" in cells.columns:
            keep = keep | cells["fault_where"].notnull()
        return cells.filter(keep).drop("_where")

    def factor(self, column: Column) -> float:
        """What one unit of the log is worth in ours."""
        return self.unit.get(column.name, 1.0)

    def nameable(self, column: Column, header: Sequence[str]) -> bool:
        """Whether a column of ours, or an attribute with a name that none has in any case."""
        if column.en != "attribute":
            return True
        plain = [name.casefold() for name in (self.texts or header)]
        once = plain.count(column.name.casefold()) == 1
        return bool(_ATTRIBUTE.fullmatch(column.name)) and once

    @staticmethod
    def said(name: str) -> str:
        """A name as it is, quoted where it is no plain word."""
        return name if name.isidentifier() else shown(name)

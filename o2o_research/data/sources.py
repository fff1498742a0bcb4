"""Files as tables: their encoding, their header, their lines.

A CSV is read twice at most. DuckDB reads it fast; if anything is wrong it is read again
record by record, so that a message can name the line that an editor shows.
"""

from __future__ import annotations

import codecs
import csv
import glob
import gzip
import os
import shutil
import tempfile
import uuid
import weakref
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, BinaryIO

import duckdb
import ibis
import ibis.expr.types as ir
import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from o2o_research.data.problems import Problem, shown
from o2o_research.errors import DataError

_CHUNK = 1 << 20
_BATCH = 50_000
_DELIMITERS = (",", "\t", ";", "|")
_NOT_TABLES = {
    b"PK\x03\x04": "is an Excel workbook or another zip archive; save the sheet as CSV UTF-8",
    b"\xd0\xcf\x11\xe0": "is an Excel 97 workbook; save the sheet as CSV UTF-8",
}


@dataclass(frozen=True)
class Part:
    """One file, opened: its header; of a CSV its text as UTF-8, of Parquet its types."""

    path: Path
    name: str
    header: tuple[str, ...]
    text: Path | None = None
    delimiter: str = ","
    types: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_parquet(self) -> bool:
        return self.text is None


def open_part(con: Any, path: Path, *, name: str, scratch: Path, columns: Sequence[str]) -> Part:
    """Look at the file's first bytes, decode it if it is text, and read its header.

    Raises
    ------
    DataError
        If it holds no table; the message names the file.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(4)
        if head == b"PAR1" or path.suffix.lower() in {".parquet", ".pq"}:
            return _open_parquet(con, path, name)
        for magic, reason in _NOT_TABLES.items():
            if head.startswith(magic):
                raise DataError(f"{name} {reason}")
        text = _as_utf8(path, name, zipped=head.startswith(b"\x1f\x8b"), scratch=scratch)
    except OSError as error:
        raise DataError(f"{name} cannot be read: {error.strerror or error}") from error
    with text.open(encoding="utf-8-sig", newline="") as lines:
        first = next((line for line in lines if line.strip()), "")
        lines.seek(0)
        delimiter = max(_DELIMITERS, key=lambda mark: _known(first, mark, columns))
        line, header, fault = next(_records(lines, delimiter), (1, [], "no line"))
    if fault == "no line":
        raise DataError(f"{name} is empty")
    if fault:
        raise DataError(f"{name}: row {line}: {fault}")
    return Part(path, name, tuple(cell.strip() for cell in header), text, delimiter)


def _known(line: str, delimiter: str, columns: Sequence[str]) -> int:
    """How many of ``columns`` the header shows when cut at ``delimiter``."""
    return len({cell.strip().strip('"') for cell in line.split(delimiter)} & set(columns))


def _open_parquet(con: Any, path: Path, name: str) -> Part:
    try:
        types = con.read_parquet(_literal(path), hive_partitioning=False).schema()
    except duckdb.Error as error:
        raise DataError(f"{name} is not a whole Parquet file; write it again") from error
    return Part(path, name, tuple(types), types=dict(types.items()))


def raw(index: int) -> str:
    """What the nth column read is called before it has a canonical name."""
    return f"r{index}"


def read_parquet(con: Any, parts: Sequence[Part], columns: Sequence[str]) -> ir.Table:
    """The named columns of Parquet files of one schema, with ``_row`` counted from 1 in each."""
    table = con.read_parquet(
        [_literal(part.path) for part in parts], file_row_number=True, hive_partitioning=False
    )
    named = {raw(i): table[c] for i, c in enumerate(columns)}
    return table.select(**named, _row=table["file_row_number"] + 1)


def read_csv(con: Any, parts: Sequence[Part], columns: Sequence[str]) -> ir.Table:
    """The named columns of CSVs with one header as text: fast, and vague about what is wrong.

    They come as ``r0``, ``r1``, ...: an analyst's names may be any text, and clash with ours.
    """
    # Positions, not names: a header is the analyst's text and never reaches a query.
    header = parts[0].header
    names = [f"c{i}" for i in range(len(header))]
    table = con.read_csv(
        [_literal(part.text) for part in parts if part.text],
        columns=dict.fromkeys(names, "VARCHAR"),
        delim=parts[0].delimiter,
        quote='"',
        escape='"',
        header=True,
        compression="none",
        hive_partitioning=False,
    )
    return table.select(**{raw(i): table[names[header.index(c)]] for i, c in enumerate(columns)})


def _literal(path: Path) -> str:
    """The path such that DuckDB takes no character of it for a pattern."""
    return glob.escape(str(path.absolute()))


def read_csv_carefully(
    con: Any, part: Part, columns: Sequence[str], scratch: Path
) -> tuple[ir.Table, list[Problem]]:
    """The same with ``_row``, the line in the file, and what is wrong with its records."""
    assert part.text is not None
    places = [part.header.index(c) for c in columns]
    schema = pa.schema(
        [("_row", pa.int64()), *((raw(i), pa.string()) for i in range(len(columns)))]
    )
    target = scratch / f"{len(os.listdir(scratch))}.parquet"
    ragged: list[tuple[int, int]] = []
    problems = []
    with (
        part.text.open(encoding="utf-8-sig", newline="") as lines,
        pq.ParquetWriter(target, schema) as writer,
    ):
        records = _records(lines, part.delimiter)
        next(records)
        batch: list[tuple[Any, ...]] = []
        for line, cells, fault in records:
            if fault:
                problems.append(Problem(f"{part.name}: row {line}: {fault}"))
            elif len(cells) != len(part.header):
                ragged.append((line, len(cells)))
            else:
                batch.append((line, *(cells[place] for place in places)))
            if len(batch) == _BATCH:
                writer.write_table(_table(batch, schema))
                batch = []
        writer.write_table(_table(batch, schema))
    if ragged:
        rows, found = zip(*ragged, strict=True)
        have = ", ".join(str(n) for n in found[:3])
        text = (
            f"{part.name}: {row_list(rows)}: {have} cells where the header has "
            f"{len(part.header)}; quote a cell that holds {shown(part.delimiter)}"
        )
        words = {"en": "cells more or fewer than the header", "zh": "列数与表头不符"}
        problems.insert(0, Problem(text, len(rows), ragged=True, **words))
    return con.read_parquet(str(target)), problems


def _table(rows: list[tuple[Any, ...]], schema: Any) -> Any:
    columns = zip(*rows, strict=True) if rows else [[] for _ in schema]
    return pa.Table.from_arrays(
        [pa.array(c, type=f.type) for c, f in zip(columns, schema, strict=True)], schema=schema
    )


def row_list(rows: Sequence[int], count: int | None = None) -> str:
    """``row 17``, or ``rows 17, 21, 30 and 4 more``.

    >>> row_list([17]), row_list([17, 21, 30], 7)
    ('row 17', 'rows 17, 21, 30 and 4 more')
    """
    count = len(rows) if count is None else count
    if count == 1:
        return f"row {rows[0]}"
    more = f" and {count - 3:,} more" if count > 3 else ""
    return "rows " + ", ".join(str(row) for row in rows[:3]) + more


def _records(lines: IO[str], delimiter: str) -> Iterator[tuple[int, list[str], str]]:
    """(line it begins on, cells, fault) of every record; blank lines are no records."""
    limit = csv.field_size_limit(2**31 - 1)
    try:
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        line = 1
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error:
                yield line, [], "a quote opens a cell and does not close it"
                return
            if cells:
                yield line, cells, ""
            line = reader.line_num + 1
    finally:
        csv.field_size_limit(limit)


def _as_utf8(path: Path, name: str, *, zipped: bool, scratch: Path) -> Path:
    """Where the text of ``path`` lies as UTF-8: itself, or a copy in ``scratch``."""

    def opened() -> BinaryIO | gzip.GzipFile:
        return gzip.open(path) if zipped else path.open("rb")

    copy = scratch / f"{len(os.listdir(scratch))}.csv"
    try:
        with opened() as stream:
            head = stream.read(2)
        if not head:
            raise DataError(f"{name} is empty")
        utf16 = head in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        row = 0
        for encoding in ["utf-16"] if utf16 else ["utf-8-sig", "gb18030"]:
            plain = encoding == "utf-8-sig" and not zipped
            try:
                with opened() as stream, copy.open("wb") as target:
                    for text in _decoded(stream, encoding, name):
                        if not plain:
                            target.write(text.encode())
                if encoding == "gb18030":
                    with opened() as stream:
                        _refuse_two_encodings(stream, name, row)
                return path.absolute() if plain else copy
            except _Undecodable as error:
                row = row or error.row
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{name} is a broken gzip file; pack it again") from error
    known = "UTF-16" if utf16 else "UTF-8 nor GB18030"
    raise DataError(
        f"{name}: row {row}: text that is {'not' if utf16 else 'neither'} {known}; "
        "save the file as CSV UTF-8"
    )


def _refuse_two_encodings(stream: Iterable[bytes], name: str, row: int) -> None:
    """UTF-8 among GB18030 reads as other Chinese characters: such a file is refused.

    By chance a line of GB18030 may be UTF-8 with characters of three bytes, but not one in a
    hundred. ``row`` is the first that is not UTF-8.
    """
    lines = 0
    known: list[int] = []
    for number, line in enumerate(stream, 1):
        if line.isascii():
            continue
        lines += 1
        try:
            text = line.decode()
        except UnicodeDecodeError:
            continue
        if any(c > "\u0800" for c in text):
            known.append(number)
    if len(known) > lines / 100:
        raise DataError(
            f"{name}: row {known[0]} is UTF-8 and row {row} is not: two encodings in one file; "
            "save it as CSV UTF-8"
        )


class _Undecodable(Exception):
    """Bytes that the encoding does not know, first on line ``row``."""

    def __init__(self, row: int) -> None:
        self.row = row


def _decoded(stream: BinaryIO | gzip.GzipFile, encoding: str, name: str) -> Iterator[str]:
    """The text of ``stream``, strictly decoded, in chunks; a NUL is refused."""
    decoder = codecs.getincrementaldecoder(encoding)()
    row = 1
    chunk = b"\n"
    while chunk:
        chunk = stream.read(_CHUNK)
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            raise _Undecodable(row + error.object[: error.start].count(b"\n")) from None
        if (at := text.find("\0")) >= 0:
            row += text.count("\n", 0, at)
            raise DataError(f"{name}: row {row}: a NUL character; the file is damaged or not text")
        yield text
        row += text.count("\n")


# Where a log outgrows this, DuckDB goes on on disk; a process with 100 M lines keeps to 4 GiB.
_MEMORY = 2 * 2**30
_SIZES = ("bytes", "KiB", "MiB", "GiB", "TiB")


def connect(timezone: str) -> Any:
    """A DuckDB of our own in memory, whose wall clock is the shop's; it never downloads.

    What it puts on disk lies in a folder of its own, which goes when the connection does.
    """
    # Made when it is wanted. DuckDB's default is a folder beside the analyst's notebook.
    folder = os.path.join(tempfile.gettempdir(), f"o2o-duckdb-{uuid.uuid4().hex}")
    con = ibis.duckdb.connect(
        autoinstall_known_extensions=False,
        autoload_known_extensions=False,
        temp_directory=folder,
    )
    weakref.finalize(con.con, shutil.rmtree, folder, ignore_errors=True)
    con.settings["TimeZone"] = timezone
    # What DuckDB found for itself is less on a small machine.
    found, size = con.settings["memory_limit"].split()
    if float(found) * 1024 ** _SIZES.index(size) > _MEMORY:
        con.settings["memory_limit"] = f"{_MEMORY} bytes"
    return con


@contextmanager
def room() -> Iterator[None]:
    """Says in one sentence where the disk has no room for what DuckDB puts there.

    Raises
    ------
    DataError
        In place of DuckDB's own error of that.
    """
    try:
        yield
    except duckdb.Error as error:
        if not is_full(error):
            raise
        raise DataError(
            f"{tempfile.gettempdir()} has no room left for what does not fit in memory; make "
            "some, or set TMPDIR to a folder on a larger disk"
        ) from None


@room()
def arrow(table: ir.Table) -> pa.Table:
    """The rows of a table, in memory."""
    return table.to_pyarrow()


def frame(table: ir.Table) -> pd.DataFrame:
    """The rows of a table, in memory, for pandas."""
    rows: pd.DataFrame = arrow(table).to_pandas()
    return rows


def is_full(error: duckdb.Error) -> bool:
    """Whether DuckDB gave up because the disk is full."""
    return any(mark in str(error) for mark in ("max_temp_directory_size", "No space left"))

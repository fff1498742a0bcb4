"""A log against its canonical table: read it checked, or learn everything that is wrong.

A quick pass reads, types and counts. Only if it finds something does a careful pass go
back for the lines, and a single ``DataError`` lists all of it.
"""

from __future__ import annotations

import os
import re
import zoneinfo
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from o2o_research.data import engines, sources
from o2o_research.data.expressions import Reader, trimmed
from o2o_research.data.files import files
from o2o_research.data.layout import Layout
from o2o_research.data.mappings import Source, fill_in, resolve
from o2o_research.data.problems import Problem, notices, shown
from o2o_research.data.tables import ORDERS, Column, Table
from o2o_research.domain import Interval
from o2o_research.errors import DataError

_TYPES = {
    "text": "string",
    "time": "timestamp(6)",
    "week": "timestamp(6)",
    "number": "float64",
    "flag": "boolean",
}
_UNREAD = {
    "time": "not readable as a date and time; write 2014-05-30 or 2014-05-30 20:15",
    "week": "not readable as a date; write 2014-05-26, the day of the week's Monday",
    "flag": "not yes or no; write 1 or 0",
    "number": "not a number; write it like 1234.5",
}
_KINDS = {
    "text": "text",
    "time": "dates or times",
    "week": "dates",
    "number": "numbers",
    "flag": "1 or 0",
}
_YES, _NO = ("1", "1.0", "true", "yes", "y", "是"), ("0", "0.0", "false", "no", "n", "否")
_LESS, _MORE = {"time": "earlier", "number": "less"}, {"time": "later", "number": "more"}
_WORDS = ("earlier", "less", "later", "more")
_UNREAD_ZH = {
    "time": "不是日期时间",
    "week": "不是日期",
    "flag": "不是“是/否”",
    "number": "不是数值",
}
_EARLIEST, _LATEST = "1990-01-01", "2099-12-31"


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A log that was read.

    Parameters
    ----------
    rows : the good rows, as ``read`` gives them
    count : how many
    left_out : how many bad ones a lenient reading left out
    problems : what was wrong with those
    """

    rows: ir.Table
    count: int
    left_out: int = 0
    problems: tuple[Problem, ...] = ()


def read_orders(source: str | Path, *, timezone: str = "Asia/Shanghai") -> ir.Table:
    """An order log, checked, as an Ibis table on DuckDB.

    Parameters
    ----------
    source : path of a CSV (plain or gzip; UTF-8, UTF-16 with its mark, or GB18030; comma, tab,
        semicolon or bar) or Parquet file, or a pattern such as ``logs/2014-*.csv``
    timezone : where the shop is. A time written with an offset is turned into this zone's
        wall clock; one without is taken as that wall clock already.

    Returns
    -------
    ibis Table
        ``customer_id`` text, ``ordered_at`` timestamp, ``amount`` yuan, ``channel`` text,
        ``discount`` yuan, and ``order_id`` text first where the log has it. DuckDB holds them
        in memory, and on disk beyond that; the files are not needed again.

    Raises
    ------
    DataError
        Lists every problem: file, column, rows (the line an editor shows; in Parquet the
        row from 1), up to three examples, and the rule.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> log = pathlib.Path(tempfile.mkdtemp()) / "orders.csv"
    >>> _ = log.write_text(
    ...     "customer_id,ordered_at,amount,channel,discount\\n"
    ...     "A,2014-05-30 12:10,58,dine_in,0\\n"
    ...     "B,2014-05-30,29.5,voucher,-30\\n"
    ... )
    >>> read_orders(log)
    Traceback (most recent call last):
    o2o_research.errors.DataError: orders.csv: discount, row 3: -30 is negative; must be >= 0 yuan
    """
    return read(source, ORDERS, timezone=timezone)


def read(
    source: str | Path, table: Table, *, lenient: bool = False, timezone: str = "Asia/Shanghai"
) -> ir.Table:
    """Any table that is described, as ``read_orders`` reads orders; ``read_checked`` counts too.

    A loader describes the columns it needs of a foreign log, and has them checked here.
    """
    return read_checked(source, table, lenient=lenient, timezone=timezone).rows


@sources.room()
def read_checked(
    source: str | Path, table: Table, *, lenient: bool = False, timezone: str = "Asia/Shanghai"
) -> Checked:
    """The rows of ``table`` that ``source`` holds, and what was left out of them.

    Parameters
    ----------
    source, timezone : as in ``read_orders``
    lenient : whether to go on with the good rows where some are bad. Of rows that repeat one
        another the first stays; a choice loses all of its rows with one.

    Raises
    ------
    DataError
        Lists every problem; with ``lenient`` only if a file is no table, a column is missing,
        or no good row is left.
    """
    given = resolve(source, table)
    table = table.narrowed(given.allowed)
    lenient, timezone = lenient or given.lenient, given.timezone or timezone
    try:
        zoneinfo.ZoneInfo(timezone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise DataError(
            f"timezone {timezone!r} is not known; write one like Asia/Shanghai"
        ) from None
    layout = Layout.of(given, table)
    if given.scheme or given.engine:
        return _remote(given, layout, table, timezone, lenient)
    con = sources.connect(timezone)
    paths = files(given.where_from)
    names = [path.name for path in paths]
    parts: list[sources.Part] = []
    problems: list[Problem] = []
    with TemporaryDirectory(prefix="o2o-") as scratch:
        for path, name in zip(paths, names, strict=True):
            name = name if names.count(name) == 1 else str(path)
            try:
                part = sources.open_part(
                    con, path, name=name, scratch=Path(scratch),
                    columns=layout.names,
                )  # fmt: skip
            except DataError as error:
                problems.append(Problem(str(error)))
            else:
                parts.append(part)
        columns = layout.wanted([part.header for part in parts])
        problems += [p for part in parts for p in _header_problems(part, columns, layout)]
        if not problems:
            checked = _quick(con, parts, table, columns, timezone, layout)
            if checked is not None:
                return checked
        checked, found = _careful(
            con, parts, table, columns, timezone, layout, Path(scratch), lenient
        )
        problems += found
        empty = checked is None or not checked.count
        if empty and not problems:
            problems.append(
                Problem(f"{names[0] if len(names) == 1 else given.shown} holds no {table.name}")
            )
        elif empty and lenient and all(p.count for p in problems):
            problems.append(Problem(f"no good {table.row} is left"))
        if checked is None or (problems and not lenient) or any(not p.count for p in problems):
            raise DataError("\n".join(map(str, problems)))
        return _told(checked, table)


def _told(checked: Checked, table: Table) -> Checked:
    """What is left out is said where a report can hear it."""
    if checked.left_out:
        notices.left_out(
            table.zh.partition("：")[0], table.name.replace("_", " "),
            checked.count, checked.left_out, checked.problems,
        )  # fmt: skip
    return checked


def write_orders(orders: ir.Table, to: str | Path) -> Path:
    """Check ``orders`` as if read from a file, and write them to ``to`` as Parquet.

    Written beside and renamed into place: a file that is there is whole. Rows keep their
    order, so the same orders give the same bytes.

    Raises
    ------
    DataError
        As ``read_orders``, the rows counted from 1; or if the folder does not exist.
    """
    target = Path(to)
    if not target.parent.is_dir():
        raise DataError(f"{target.parent} is not a folder")
    if target.is_dir():
        raise DataError(f"{target} is a folder; name a file")
    with TemporaryDirectory(prefix=".o2o-", dir=target.parent) as beside:
        rough, whole = Path(beside, target.name), Path(beside, "whole")
        orders.to_parquet(str(rough))
        read_orders(rough).to_parquet(str(whole))
        os.replace(whole, target)
    return target


def _header_problems(
    part: sources.Part, columns: Sequence[Column], layout: Layout
) -> Iterator[Problem]:
    yield from layout.missing(part.name, part.header, columns)
    for column in columns:
        if not layout.nameable(column, part.header):
            yield Problem(
                f"{part.name}: column {layout.said(column.name)}: an attribute wants a name of its "
                "own, of letters, digits and _"
            )
            continue
        for name in layout.needs([column], part.header):
            if part.header.count(name) > 1:
                yield Problem(f"{part.name}: column {layout.said(name)} stands twice in the header")
        if not _readable(part, column, layout):
            kind = part.types[layout.expression(column, part.header).columns[0]]
            yield Problem(
                f"{part.name}: column {layout.said(column.name)} holds {kind}; "
                f"it must hold {_KINDS[column.type]}"
            )


def _there(part: sources.Part, column: Column, layout: Layout) -> bool:
    """Whether the column can be read at all."""
    return (
        set(layout.needs([column], part.header)) <= set(part.header)
        and layout.nameable(column, part.header)
        and _readable(part, column, layout)
    )


def _readable(part: sources.Part, column: Column, layout: Layout) -> bool:
    """Whether the type in the file can be what the column wants; a CSV's text can."""
    expression = layout.expression(column, part.header)
    kind = part.types.get(expression.columns[0]) if expression.is_column else None
    return kind is None or fits(kind, column)


def fits(kind: Any, column: Column) -> bool:
    """Whether a type of an engine can be what the column wants."""
    if kind.is_string():
        return True
    match column.type:
        case "text":
            return bool(kind.is_integer() or kind.is_uuid())
        case "time" | "week":
            return bool(kind.is_date() or kind.is_timestamp())
        case "flag":
            return bool(kind.is_boolean() or kind.is_numeric())
        case "number":
            return bool(kind.is_numeric() and not kind.is_boolean())


@dataclass(frozen=True)
class _Check:
    """A rule on one column: where it is broken, and what to say."""

    column: Column
    broken: Any
    wording: str
    zh: str
    cell: str = "cell"


def _quick(
    con: Any,
    parts: Sequence[sources.Part],
    table: Table,
    columns: Sequence[Column],
    timezone: str,
    layout: Layout,
) -> Checked | None:
    """The checked table, or nothing if anything at all is wrong."""
    names = [c.name for c in columns]
    alike: dict[Any, list[sources.Part]] = {}
    for part in parts:
        shape = (part.is_parquet, part.delimiter, part.header, tuple(part.types.items()))
        alike.setdefault(shape, []).append(part)
    try:
        typed = []
        for group in alike.values():
            read_as = sources.read_parquet if group[0].is_parquet else sources.read_csv
            needed = layout.needs(columns, group[0].header) or group[0].header[:1]
            raw = read_as(con, group, needed)
            typed.append(_typed(con, raw, columns, timezone, layout, group[0].header))
        marked = (_marked(each, columns) for each in typed)
        rows = con.create_table(
            ibis.util.gen_name(table.name),
            ibis.union(*(part.select(*names, "_bad") for part in marked)),
        )
        count = rows.agg(n=rows.count(), bad=rows["_bad"].sum()).to_pyarrow().to_pylist()[0]
        if not count["n"] or count["bad"]:
            return None
        key = _key(table, columns)
        if key and rows.select(key).distinct().count().to_pyarrow().as_py() < count["n"]:
            return None
        for _, by, broken in _group_rules(rows, columns):
            if rows.group_by(by).agg(broken=broken)["broken"].any().to_pyarrow().as_py():
                return None
    except duckdb.Error as error:
        if sources.is_full(error):
            raise
        return None
    return Checked(rows=rows.select(names), count=count["n"])


def _careful(
    con: Any,
    parts: Sequence[sources.Part],
    table: Table,
    columns: Sequence[Column],
    timezone: str,
    layout: Layout,
    scratch: Path,
    lenient: bool,
) -> tuple[Checked | None, list[Problem]]:
    """The table read record by record, and everything that is wrong with it."""
    problems: list[Problem] = []
    whole = []
    for index, part in enumerate(parts):
        here = [c for c in columns if _there(part, c, layout)]
        needed = layout.needs(here, part.header) or list(part.header[:1])
        if not here or not set(needed) <= set(part.header):
            continue
        try:
            if part.is_parquet:
                raw = sources.read_parquet(con, [part], needed)
            else:
                raw, found = sources.read_csv_carefully(con, part, needed, scratch)
                problems += found
            typed = _typed(con, raw, here, timezone, layout, part.header)
            problems += _broken(part.name, typed, list(_checks(typed, here)))
        except duckdb.Error as error:
            if sources.is_full(error):
                raise
            problems.append(Problem(f"{part.name} is not a whole Parquet file; write it again"))
            continue
        if len(here) == len(columns):
            whole.append(_marked(typed, columns).mutate(_file=index))
    if not whole:
        return None, problems
    rows = con.create_table(ibis.util.gen_name(table.name), ibis.union(*whole))
    good = rows.filter(~rows["_bad"])
    key = _key(table, columns)
    if key:
        problems += _repeated(con, good, key, table, parts)
        good = good.mutate(_nth=ibis.row_number().over(_same(key))).filter(ibis._["_nth"] == 0)
    for column, by, broken in _group_rules(good, columns):
        problems += _disagreeing(good, column, by, broken, parts)
        if lenient:
            # Of a choice, what is left would be another choice.
            spoilt = [rows.filter(rows["_bad"])[[by]]] if column.once_in else []
            apart = ibis.union(
                good.group_by(by).agg(broken=broken).filter(ibis._["broken"])[[by]], *spoilt
            )
            good = good.anti_join(apart, by)
    ragged = sum(p.count for p in problems if p.ragged)
    # What holds is kept in the order of the files.
    kept = con.create_table(
        ibis.util.gen_name(table.name),
        good.order_by("_file", "_row").select([c.name for c in columns]),
    )
    n, everything = (t.count().to_pyarrow().as_py() for t in (kept, rows))
    return Checked(
        rows=kept, count=n, left_out=everything + ragged - n, problems=tuple(problems)
    ), problems


def _key(table: Table, columns: Sequence[Column]) -> tuple[str, ...]:
    """The first key of the table that these columns hold."""
    names = {c.name for c in columns}
    return next((key for key in table.keys if names.issuperset(key)), ())


def _typed(
    con: Any,
    raw: ir.Table,
    columns: Sequence[Column],
    timezone: str,
    layout: Layout,
    header: Sequence[str],
) -> ir.Table:
    """The columns in their canonical types, and each cell as ``cell_<column>`` beside them.

    What an expression of the mapping could not read stands as ``fault_<column>``.
    """
    reader = Reader(
        number=lambda text: text.try_cast("float64"),
        moment=lambda text: moment(text, timezone),
        trimmed=_trimmed,
    )
    needed = layout.needs(columns, header)
    cells = layout.cells(columns, header, lambda name: raw[sources.raw(needed.index(name))], reader)
    cells |= {"_row": raw["_row"]} if "_row" in raw.columns else {}
    # Each layer is a view: one select would write every cell's expression out many times.
    layer = con.create_view(ibis.util.gen_name("cells"), layout.counted(raw.select(**cells)))
    return con.create_view(
        ibis.util.gen_name("typed"), layer.mutate(**_values(layer, columns, reader, layout))
    )


def _trimmed(text: Any) -> Any:
    """``trimmed``, ten times as fast: DuckDB's own takes every text apart into its characters.

    White space sorts before ``!``, so only what begins or ends before it can need trimming.
    """
    return ibis.ifelse((text < "!") | (text[-1] < "!"), trimmed(text), text)


def _values(
    layer: ir.Table, columns: Sequence[Column], reader: Reader, layout: Layout
) -> dict[str, Any]:
    return {c.name: _value(layer[f"cell_{c.name}"], c, reader, layout.factor(c)) for c in columns}


def _value(cell: Any, column: Column, reader: Reader, factor: float) -> Any:
    """A cell in the canonical type of its column; null if it cannot be read as that."""
    is_text = cell.type().is_string()
    match column.type:
        case "text":
            value = cell
        case "time" | "week":
            value = reader.moment(cell) if is_text else cell
        case "flag":
            text = cell.cast("string").lower()
            value = ibis.cases((text.isin(_YES), True), (text.isin(_NO), False))
        case "number":
            number = reader.number(cell) if is_text else cell.cast("float64")
            value = ibis.ifelse(number.isnan() | number.isinf(), None, number)
            if factor != 1:
                # 5830 fen are 58.3 yuan: dividing by 100 says so, times 0.01 does not.
                whole = factor < 1 and abs(1 / factor - round(1 / factor)) < 1e-9
                value = value / round(1 / factor) if whole else value * factor
    return value.cast(_TYPES[column.type])


def _checks(typed: ir.Table, columns: Sequence[Column]) -> Iterator[_Check]:
    """The rules that the columns of ``typed`` must keep."""
    if "fault_where" in typed.columns:
        where = Column(name="where", type="text", zh="条件", en="condition")
        fault = typed["fault_where"].notnull()
        yield _Check(where, fault, "not readable in its expression", "无法计算", "fault")
    for column in columns:
        cell, value = typed[f"cell_{column.name}"], typed[column.name]
        empty = cell.isnull()
        if (fault := f"fault_{column.name}") in typed.columns:
            empty = empty & typed[fault].isnull()
            faulty = typed[fault].notnull()
            yield _Check(column, faulty, "not readable in its expression", "无法计算", "fault")
        if not column.gaps:
            yield _Check(column, empty, "empty; it must be known", "为空")
        if column.type != "text":
            unread = cell.notnull() & value.isnull()
            yield _Check(column, unread, _UNREAD[column.type], _UNREAD_ZH[column.type])
        for broken, wording, zh in _outside(value, column):
            yield _Check(column, broken.fill_null(False), wording, zh)
        if column.type == "week":
            late = value != value.truncate("W")
            yield _Check(
                column,
                late.fill_null(False),
                "not a Monday; write the day of the week's Monday",
                "不是周一",
            )
        if column.options:
            yield _Check(
                column,
                value.notnull() & value.notin(column.options),
                "not one of " + ", ".join(column.options),
                "不在清单之内",
            )
        for other, words in ((column.at_least, _LESS), (column.at_most, _MORE)):
            if other in typed.columns:
                apart = value < typed[other] if words is _LESS else value > typed[other]
                yield _Check(
                    column,
                    apart.fill_null(False),
                    f"{words[column.type]} than {other}",
                    f"{'早于小于晚于大于'[_WORDS.index(words[column.type]) * 2 :][:2]} {other}",
                )


def _marked(typed: ir.Table, columns: Sequence[Column]) -> ir.Table:
    """The columns with ``_bad``, whether a row breaks any rule."""
    bad = ibis.or_(ibis.literal(False), *(check.broken for check in _checks(typed, columns)))
    row = ["_row"] if "_row" in typed.columns else []
    return typed.select(*(c.name for c in columns), *row, _bad=bad)


def _outside(value: Any, column: Column) -> Iterator[tuple[Any, str, str]]:
    """Where ``value`` leaves the column's domain, and what to say."""
    if column.type in ("time", "week"):
        early = value < ibis.timestamp(_EARLIEST)
        late = value >= ibis.timestamp(_LATEST) + ibis.interval(days=1)
        yield early | late, f"outside {_EARLIEST} to {_LATEST}", "日期超出范围"
    elif column.domain:
        interval = Interval.parse(column.domain)
        low, high = (f"{end:,.15g} {column.unit}".strip() for end in (interval.low, interval.high))
        word = "negative" if interval.low == 0 and not interval.low_open else "too small"
        below = value <= interval.low if interval.low_open else value < interval.low
        above = value >= interval.high if interval.high_open else value > interval.high
        yield below, f"{word}; must be {'>' if interval.low_open else '>='} {low}", "低于下限"
        yield above, f"too large; must be {'<' if interval.high_open else '<='} {high}", "高于上限"


def moment(text: Any, timezone: str) -> Any:
    """Text as the shop's wall clock: ISO extended first, then its compact and Chinese forms."""
    zoned = dt.Timestamp(timezone=timezone)
    # DuckDB takes an offset of any hours; the widest there is are 14 east of Greenwich.
    wide = text.re_search(r":\d\d(\.\d+)?\s*[+-](1[5-9]|[2-9]\d)")
    text = ibis.ifelse(text.length() > 19, ibis.ifelse(wide, None, text), text)
    plain = (
        text.re_replace(r"^(\d{4})(\d\d)(\d\d)[T ]?", r"\1-\2-\3 ")
        .re_replace(r"^(\d{4})[年.](\d{1,2})[月.](\d{1,2})日?\s*", r"\1-\2-\3 ")
        .re_replace(r" (\d\d)(\d\d)(\d\d)", r" \1:\2:\3")
        .strip()
    )
    return text.try_cast(zoned).coalesce(plain.try_cast(zoned)).cast(_TYPES["time"])


def _broken(name: str, typed: ir.Table, checks: Sequence[_Check]) -> Iterator[Problem]:
    """One line for each check that rows of ``typed`` break."""
    counts = typed.agg(**{f"n{i}": c.broken.sum() for i, c in enumerate(checks)}).to_pyarrow()
    for check, count in zip(checks, counts.to_pylist()[0].values(), strict=True):
        if not count:
            continue
        cell = typed[f"{check.cell}_{check.column.name}"].cast("string")
        rows = {"_row": typed["_row"]} if "_row" in typed.columns else {}
        first = (
            typed.select(**rows, cell=cell, broken=check.broken)
            .filter(ibis._.broken)
            .order_by("_row" if rows else "cell")
            .limit(3)
            .to_pyarrow()
            .to_pylist()
        )
        where = sources.row_list([r["_row"] for r in first], count) if rows else counted(count)
        cells = ", ".join(_quoted(r["cell"], check.column) for r in first if r["cell"] is not None)
        said = f"{cells} {'is' if count == 1 else 'are'} {check.wording}".strip()
        yield Problem(
            f"{name}: {check.column.name}, {where}: {said}",
            count,
            check.column.name,
            check.wording.partition(";")[0],
            check.zh,
        )


def counted(count: int) -> str:
    """How many rows of a database, which have no numbers."""
    return f"{count:,} row{'s' * (count != 1)}"


def _remote(given: Source, layout: Layout, table: Table, timezone: str, lenient: bool) -> Checked:
    """A table that stays where it is: checked by counts there, and answered as an expression."""
    raw = engines.opened(given, table, timezone)
    name, header = given.shown, tuple(raw.columns)
    columns = layout.wanted([header])
    problems = list(layout.missing(name, header, columns))
    for column in columns:
        expression = layout.expression(column, header)
        if not layout.nameable(column, header):
            problems.append(Problem(f"{name}: column {layout.said(column.name)}: an attribute "
                                    "wants a name of its own, of letters, digits and _"))  # fmt: skip
        elif expression.is_column and expression.columns[0] in header:
            kind = raw.schema()[expression.columns[0]]
            if not fits(kind, column):
                problems.append(
                    Problem(
                        f"{name}: column {layout.said(column.name)} holds {kind}; it must hold "
                        f"{_KINDS[column.type]}"
                    )
                )
    if problems:
        raise DataError("\n".join(map(str, problems)))
    reader = engines.reader(raw)
    layer = layout.counted(
        raw.select(**layout.cells(columns, header, lambda each: raw[each], reader))
    )
    typed = layer.mutate(**_values(layer, columns, reader, layout))
    try:
        return _told(_remote_checked(name, typed, table, columns, lenient), table)
    except DataError:
        raise
    except Exception as error:  # every driver has types of its own
        secrets = fill_in(given.where_from)[1]
        raise DataError(f"{name}: the engine says {engines.reason(error, secrets)}") from None


def _remote_checked(
    name: str, typed: ir.Table, table: Table, columns: Sequence[Column], lenient: bool
) -> Checked:
    names = [c.name for c in columns]
    checks = list(_checks(typed, columns))
    everything = typed.count().to_pyarrow().as_py()
    if not everything:
        raise DataError(f"{name} holds no {table.name}")
    problems = list(_broken(name, typed, checks))
    good = rows = typed.select(*names)
    if problems:
        bad = ibis.or_(ibis.literal(False), *(check.broken for check in checks))
        rows = typed.select(*names, _bad=bad)
        good = rows.filter(~rows["_bad"]).select(*names)
    key = _key(table, columns)
    if key:
        again = good.group_by(key).agg(_n=good.count()).filter(ibis._["_n"] > 1)
        found = again.order_by(key).limit(3).to_pyarrow().to_pylist()
        if found:
            count = again.agg(n=(again["_n"] - 1).sum()).to_pyarrow()["n"][0].as_py()
            cells = "; ".join(", ".join(shown(_written(r[k])) for k in key) for r in found)
            problems.append(
                Problem(
                    f"{name}: {', '.join(key)}, {counted(count)}: {cells} stand more than once; one row is "
                    f"one {table.row}",
                    count,
                    en="repeats an earlier row",
                    zh="与前面的行重复",
                )
            )
            first = ibis.window(group_by=list(key), order_by=names)
            good = good.mutate(_nth=ibis.row_number().over(first)).filter(ibis._["_nth"] == 0)
            good = good.select(*names)
    for column, by, broken in _group_rules(good, columns):
        apart = good.group_by(by).agg(broken=broken).filter(ibis._["broken"])
        found = apart.order_by(by).limit(3).to_pyarrow()[by].to_pylist()
        if found:
            count = apart.count().to_pyarrow().as_py()
            said = ", ".join(shown(_written(each)) for each in found)
            rule = "exactly once" if column.once_in else "the same in all rows"
            problems.append(
                Problem(
                    f"{name}: {column.name}, {count:,} {by} {said}: must be {rule}",
                    count,
                    *_apart(column, by),
                )
            )
        if lenient and (found or problems):
            keep_out = [apart[[by]]]
            if column.once_in and "_bad" in rows.columns:
                keep_out.append(rows.filter(rows["_bad"])[[by]])
            good = good.anti_join(ibis.union(*keep_out) if len(keep_out) > 1 else keep_out[0], by)
    if problems and not lenient:
        raise DataError("\n".join(map(str, problems)))
    count = good.count().to_pyarrow().as_py() if problems else everything
    if not count:
        raise DataError("\n".join([*map(str, problems), f"no good {table.row} is left"]))
    return Checked(rows=good, count=count, left_out=everything - count, problems=tuple(problems))


def _repeated(
    con: Any,
    rows: ir.Table,
    key: Sequence[str],
    table: Table,
    parts: Sequence[sources.Part],
) -> Iterator[Problem]:
    """One line for each file with rows that an earlier row already holds, by ``key``."""
    same = _same(key)
    numbered = rows.mutate(
        _nth=ibis.row_number().over(same),
        _first_file=rows["_file"].first().over(same),
        _first_row=rows["_row"].first().over(same),
    )
    again = con.create_table(
        ibis.util.gen_name("repeated"), numbered.filter(numbered["_nth"] > 0), temp=True
    )
    for index, part in enumerate(parts):
        mine = again.filter(again["_file"] == index)
        count = mine.count().to_pyarrow().as_py()
        if not count:
            continue
        first = mine.order_by("_row").limit(3).to_pyarrow().to_pylist()
        earlier = ", ".join(
            f"{'' if r['_first_file'] == index else parts[r['_first_file']].name + ' '}"
            f"row {r['_first_row']}"
            for r in first
        )
        where = sources.row_list([r["_row"] for r in first], count)
        verb = "repeats" if count == 1 else "repeat"
        if len(key) == 1:
            cells = ", ".join(shown(_written(r[key[0]])) for r in first)
            said = f"{key[0]}, {where}: {cells} {verb} {earlier}; one row is one {table.row}"
        else:
            said = f"{where}: {verb} {earlier} in {', '.join(key[:-1])} and {key[-1]}; "
            said += (
                f"one row is one {table.row}"
                if key == table.keys[0]
                else f"if they are different {table.name.replace('_', ' ')}, tell them apart by a "
                f"column {table.keys[0][0]}"
            )
        yield Problem(
            f"{part.name}: {said}", count, en="repeats an earlier row", zh="与前面的行重复"
        )


def _written(value: Any) -> str:
    """A value as an analyst would write it."""
    return str(value).removesuffix(" 00:00:00")


def _same(key: Sequence[str]) -> Any:
    return ibis.window(group_by=list(key), order_by=["_file", "_row"])


def _group_rules(rows: ir.Table, columns: Sequence[Column]) -> Iterator[tuple[Column, str, Any]]:
    """The rules between rows: the column, what the rows agree on, and whether they break it."""
    for column in columns:
        if column.same_for:
            # An empty cell is a value here: some rows with and some without disagree.
            value = rows[column.name].cast("string").fill_null("")
            yield column, column.same_for, value.nunique() > 1
        if column.once_in:
            yield column, column.once_in, ibis.ifelse(rows[column.name], 1, 0).sum() != 1


def _apart(column: Column, by: str) -> tuple[str, str, str]:
    if column.once_in:
        return column.name, f"not exactly once for a {by}", f"在同一 {by} 中并非恰有一项"
    return column.name, f"differs within a {by}", f"在同一 {by} 中不一致"


def _disagreeing(
    rows: ir.Table, column: Column, by: str, broken: Any, parts: Sequence[sources.Part]
) -> Iterator[Problem]:
    """One line for each file that begins a group of rows that breaks a rule between rows."""
    place = ibis.struct({"file": rows["_file"], "row": rows["_row"]})
    groups = rows.group_by(by).agg(
        broken=broken, first=place.min(), yes=rows[column.name].cast("string").max()
    )
    bad = groups.filter(groups["broken"]).select(
        by, _file=groups["first"]["file"], _row=groups["first"]["row"]
    )
    for index, part in enumerate(parts):
        mine = bad.filter(bad["_file"] == index)
        count = mine.count().to_pyarrow().as_py()
        if not count:
            continue
        first = mine.order_by("_row").limit(3).to_pyarrow().to_pylist()
        where = sources.row_list([r["_row"] for r in first], count)
        names = ", ".join(shown(_written(r[by])) for r in first)
        rule = (
            f"{by} {names} must have {column.name} exactly once"
            if column.once_in
            else f"{by} {names} must have the same {column.name} in all rows"
        )
        yield Problem(f"{part.name}: {column.name}, {where}: {rule}", count, *_apart(column, by))


def _quoted(cell: str, column: Column) -> str:
    """A cell for a message: a number as it stands, anything else in quotes."""
    number = re.fullmatch(r"[-+]?[\d.]{1,30}([eE][-+]?\d{1,5})?", cell, re.ASCII)
    return cell if number and column.type == "number" else shown(cell)

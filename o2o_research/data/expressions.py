"""A mapping's expressions: parsed, checked against what is allowed, built as Ibis expressions.

No text of a mapping reaches a query. It is parsed to a tree; a tree with anything but columns,
constants, arithmetic, comparisons, conditions and a few functions of text and numbers is
refused; what remains is built node by node, and Ibis writes the query.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import ibis
import sqlglot
from sqlglot import exp

from o2o_research.data.problems import shown
from o2o_research.errors import DataError

_ARITHMETIC: dict[Any, Callable[[Any, Any], Any]] = {
    exp.Add: operator.add,
    exp.Sub: operator.sub,
    exp.Mul: operator.mul,
}
_COMPARISONS: dict[Any, Callable[[Any, Any], Any]] = {
    exp.EQ: operator.eq,
    exp.NEQ: operator.ne,
    exp.GT: operator.gt,
    exp.GTE: operator.ge,
    exp.LT: operator.lt,
    exp.LTE: operator.le,
}
_NUMBERS = {"DOUBLE", "FLOAT", "INT", "BIGINT", "DECIMAL"}
_TEXTS = {"TEXT", "VARCHAR"}
_TIMES = {"TIMESTAMP", "TIMESTAMPNTZ", "DATE"}
_ALLOWED = (
    "columns, numbers, 'texts', + - * / %, = <> < <= > >=, and, or, not, is null, in, between, "
    "like, case, coalesce, nullif, cast, lower, upper, trim, concat, substring, replace, abs, round"
)
# Longer than any mapping wants, shorter than what makes a parser suffer.
_LONGEST = 2_000


@dataclass(frozen=True)
class Expression:
    """A parsed expression; ``columns`` are those of the log that it names."""

    text: str
    tree: Any
    columns: tuple[str, ...]

    @property
    def is_column(self) -> bool:
        return isinstance(self.tree, exp.Column)


def column(name: str) -> Expression:
    """The expression that is a column of the log, whatever its name looks like."""
    return Expression(name, exp.column(exp.to_identifier(name, quoted=True)), (name,))


def parse(text: str, what: str) -> Expression:
    """``text`` as a tree of allowed nodes.

    Raises
    ------
    DataError
        Names ``what`` the expression is for, and what is not allowed in it.
    """
    if len(text) > _LONGEST:
        raise DataError(f"{what}: {len(text):,} characters; an expression has {_LONGEST:,} at most")
    try:
        trees = sqlglot.parse(text, dialect="duckdb")
    except (sqlglot.errors.SqlglotError, RecursionError):
        trees = []
    if len(trees) != 1 or trees[0] is None:
        raise DataError(
            f"{what}: {shown(text)} is not one expression; a name with signs in it wants double "
            "quotes, a text single ones"
        )
    tree = trees[0]
    try:
        names = dict.fromkeys(_names(tree, what, text))
    except RecursionError:
        raise DataError(f"{what}: {shown(text)} is nested too deep") from None
    return Expression(text, tree, tuple(names))


def _names(tree: Any, what: str, text: str) -> Iterator[str]:
    for node in tree.walk():
        if not isinstance(node, (*_BUILDERS, exp.Identifier, exp.DataType)):
            raise DataError(
                f"{what}: {shown(text)}: {type(node).__name__.lower()} is not allowed; "
                f"allowed are {_ALLOWED}"
            )
        if isinstance(node, exp.Column):
            if node.table or not isinstance(node.this, exp.Identifier):
                raise DataError(f"{what}: {shown(text)}: name a column alone, without its table")
            yield node.name
        if isinstance(node, exp.Cast) and (
            node.to.this.name not in _NUMBERS | _TEXTS | _TIMES or node.to.expressions
        ):
            raise DataError(
                f"{what}: {shown(text)}: cast to {shown(node.to.sql())}; to double, text, date or "
                "timestamp can be cast"
            )


def trimmed(text: Any) -> Any:
    """Without white space around it; null if nothing is left."""
    return text.strip().nullif("")


@dataclass
class Reader:
    """How a column's text is read: ``number`` and ``moment`` answer null where it cannot be.

    ``trimmed`` is the text without white space around it, null if nothing is left.
    """

    number: Callable[[Any], Any]
    moment: Callable[[Any], Any]
    trimmed: Callable[[Any], Any] = trimmed


class Built:
    """An expression on a table whose columns ``named`` answers: its ``value``, and ``fault``, a text that it could not read."""

    def __init__(self, expression: Expression, named: Callable[[str], Any], reader: Reader) -> None:
        self._named, self._reader = named, reader
        self._faults: list[Any] = []
        try:
            self.value = self._build(expression.tree)
        except DataError:
            raise
        except Exception as error:  # Ibis says in many types that kinds do not go together
            first = str(error).strip().split("\n")[0]
            raise DataError(
                f"{shown(expression.text)} cannot be worked out: {shown(first, 200)}"
            ) from None

    @property
    def fault(self) -> Any:
        """The first text that should have been a number or a time, or null."""
        return ibis.coalesce(ibis.null("string"), *self._faults) if self._faults else None

    def _build(self, node: Any) -> Any:
        for kind, build in _BUILDERS.items():
            if type(node) is kind:
                return build(self, node)
        raise DataError(f"{type(node).__name__.lower()} is not allowed")

    def column(self, node: Any) -> Any:
        return self._named(node.name)

    def literal(self, node: Any) -> Any:
        if node.is_string:
            return ibis.literal(node.this)
        return ibis.literal(float(node.this)) if not node.is_int else ibis.literal(int(node.this))

    def number(self, value: Any) -> Any:
        if not value.type().is_string():
            return value
        text = trimmed(value)
        number = self._reader.number(text)
        self._faults.append(
            ibis.ifelse(text.notnull() & number.isnull(), text, ibis.null("string"))
        )
        return number

    def moment(self, value: Any) -> Any:
        if not value.type().is_string():
            return value.cast("timestamp(6)")
        text = trimmed(value)
        moment = self._reader.moment(text)
        self._faults.append(
            ibis.ifelse(text.notnull() & moment.isnull(), text, ibis.null("string"))
        )
        return moment

    def text(self, value: Any) -> Any:
        return value if value.type().is_string() else value.cast("string")

    def alike(self, *values: Any) -> list[Any]:
        """The values as one kind: numbers if one is, times if one is."""
        if any(v.type().is_numeric() for v in values):
            return [self.number(v) for v in values]
        if any(v.type().is_temporal() for v in values):
            return [self.moment(v) for v in values]
        return list(values)

    def calculated(self, node: Any) -> Any:
        left, right = (self.number(self._build(side)) for side in (node.left, node.right))
        if type(node) in _ARITHMETIC:
            return _ARITHMETIC[type(node)](left, right)
        zero = right == 0
        self._faults.append(ibis.ifelse(zero, ibis.literal("division by 0"), ibis.null("string")))
        divisor = ibis.ifelse(zero, None, right)
        return left / divisor if type(node) is exp.Div else left % divisor

    def compared(self, node: Any) -> Any:
        left, right = self.alike(self._build(node.left), self._build(node.right))
        return _COMPARISONS[type(node)](left, right)

    def is_null(self, node: Any) -> Any:
        value = self._build(node.this)
        if type(node.expression) is exp.Null:
            return (trimmed(value) if value.type().is_string() else value).isnull()
        return value == self._build(node.expression)

    def isin(self, node: Any) -> Any:
        if not node.expressions:
            raise DataError("in wants a list of constants")
        value, *options = self.alike(*map(self._build, (node.this, *node.expressions)))
        return value.isin(options)

    def between(self, node: Any) -> Any:
        parts = (node.this, node.args["low"], node.args["high"])
        value, low, high = self.alike(*map(self._build, parts))
        return value.between(low, high)

    def case(self, node: Any) -> Any:
        branches = node.args["ifs"] if type(node) is exp.Case else [node]
        last = node.args.get("default") if type(node) is exp.Case else node.args.get("false")
        subject = node.this if type(node) is exp.Case else None
        conditions = [
            operator.eq(*self.alike(self._build(subject), self._build(branch.this)))
            if subject is not None
            else self._build(branch.this)
            for branch in branches
        ]
        values = [self._build(branch.args["true"]) for branch in branches]
        values += [self._build(last)] if last is not None and type(last) is not exp.Null else []
        values = self.alike(*values)
        pairs = list(zip(conditions, values, strict=False))
        return ibis.cases(*pairs, else_=values[-1] if len(values) > len(pairs) else None)

    def coalesced(self, node: Any) -> Any:
        values = [self._build(each) for each in (node.this, *node.expressions)]
        values = [trimmed(v) if v.type().is_string() else v for v in values]
        return ibis.coalesce(*self.alike(*values))

    def cast(self, node: Any) -> Any:
        value, to = self._build(node.this), node.args["to"].this.name
        if to in _TEXTS:
            return self.text(value)
        if to in _NUMBERS:
            number = self.number(value)
            whole = to in ("INT", "BIGINT")
            return number.round().cast("int64") if whole else number.cast("float64")
        moment = self.moment(value)
        return moment.date().cast("timestamp(6)") if to == "DATE" else moment

    def rounded(self, node: Any) -> Any:
        number = self.number(self._build(node.this))
        digits = node.args.get("decimals")
        return number.round(int(digits.name)) if digits else number.round()

    def nulled(self, node: Any) -> Any:
        value, nothing = self.alike(self._build(node.this), self._build(node.expression))
        return value.nullif(nothing)

    def substring(self, node: Any) -> Any:
        start, length = (int(node.args[name].name) for name in ("start", "length"))
        if start < 1:
            raise DataError(f"substring starts at {start}; the first character is 1")
        return self.text(self._build(node.this)).substr(start - 1, length)

    def replaced(self, node: Any) -> Any:
        parts = (node.this, node.args["expression"], node.args["replacement"])
        value, old, new = (self.text(self._build(part)) for part in parts)
        return value.replace(old, new)

    def concatenated(self, node: Any) -> Any:
        sides = node.expressions or (node.left, node.right)
        first, *rest = (self.text(self._build(each)) for each in sides)
        for each in rest:
            first = first + each
        return first


_BUILDERS: dict[Any, Callable[[Built, Any], Any]] = {
    exp.Column: Built.column,
    exp.Literal: Built.literal,
    exp.Boolean: lambda _, node: ibis.literal(node.this),
    exp.Null: lambda _, node: ibis.null(),
    exp.Paren: lambda b, node: b._build(node.this),
    exp.Neg: lambda b, node: -b.number(b._build(node.this)),
    exp.Add: Built.calculated,
    exp.Sub: Built.calculated,
    exp.Mul: Built.calculated,
    exp.Div: Built.calculated,
    exp.Mod: Built.calculated,
    **dict.fromkeys(_COMPARISONS, Built.compared),
    exp.And: lambda b, node: b._build(node.left) & b._build(node.right),
    exp.Or: lambda b, node: b._build(node.left) | b._build(node.right),
    exp.Not: lambda b, node: ~b._build(node.this),
    exp.Is: Built.is_null,
    exp.In: Built.isin,
    exp.Between: Built.between,
    exp.Like: lambda b, node: b.text(b._build(node.this)).like(node.expression.name),
    exp.Case: Built.case,
    exp.If: Built.case,
    exp.Coalesce: Built.coalesced,
    exp.Nullif: Built.nulled,
    exp.Cast: Built.cast,
    exp.TryCast: Built.cast,
    exp.Lower: lambda b, node: b.text(b._build(node.this)).lower(),
    exp.Upper: lambda b, node: b.text(b._build(node.this)).upper(),
    exp.Trim: lambda b, node: b.text(b._build(node.this)).strip(),
    exp.Concat: Built.concatenated,
    exp.DPipe: Built.concatenated,
    exp.Substring: Built.substring,
    exp.Replace: Built.replaced,
    exp.Abs: lambda b, node: b.number(b._build(node.this)).abs(),
    exp.Round: Built.rounded,
}

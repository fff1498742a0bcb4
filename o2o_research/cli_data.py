"""``o2o data``: a company's own tables, looked at and checked before a case runs on them."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from o2o_research import cases
from o2o_research.data.mappings import leniently, tables_in
from o2o_research.data.tables import TABLES
from o2o_research.errors import CaseError, DataError
from o2o_research.terms import term
from o2o_research.texts import printable

app = typer.Typer(help="Look at your own tables, and check them.", no_args_is_help=True)
out = Console(highlight=False, width=None if sys.stdout.isatty() else 200)

Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="A file, a pattern or a folder (CSV, Parquet), a database URL, or a mapping (YAML).",
    ),
]
Timezone = Annotated[str, typer.Option("--timezone", help="Where the shop is.")]


@app.command()
def check(
    source: Source,
    table: Annotated[
        str | None, typer.Option("--as", metavar="TABLE", help="The canonical table it must be.")
    ] = None,
    lenient: Annotated[
        bool, typer.Option("--lenient", help="Leave bad rows out, and say how many.")
    ] = False,
    timezone: Timezone = "Asia/Shanghai",
) -> None:
    """Check a source against a canonical table: every problem in one report."""
    from o2o_research.data import read_checked

    names = [table] if table is not None else tables_in(source)
    if not names:
        raise CaseError(f"--as is wanted: one of {', '.join(TABLES)}")
    if table is not None and table not in TABLES:
        raise CaseError(f"--as {table!r}: no such table; one of {', '.join(TABLES)} is wanted")
    refused = []
    for name in names:
        try:
            checked = read_checked(source, TABLES[name], lenient=lenient, timezone=timezone)
        except DataError as error:
            refused.append(str(error))
            continue
        for problem in checked.problems:
            out.print(escape(printable(str(problem))), soft_wrap=True)
        said = f"{checked.count:,} good rows" if checked.left_out else f"{checked.count:,} rows"
        left = f", {checked.left_out:,} left out" if checked.left_out else ", nothing wrong"
        out.print(f"[bold]{name}[/]: {said}{left}")
    if refused:
        raise DataError("\n".join(refused))


@app.command()
def describe(source: Source, timezone: Timezone = "Asia/Shanghai") -> None:
    """Show a source's columns, and which canonical table it is nearest to."""
    from o2o_research.data.describing import describe as described

    found = described(source, timezone=timezone)
    table = Table("column", "kind", "empty", "different", "from", "to", box=None)
    for column in found.columns:
        table.add_row(
            escape(printable(column.name)),
            column.kind,
            f"{column.gaps_share:.1%}",
            f"{column.different:,}",
            escape(column.low),
            escape(column.high),
        )
    out.print(table)
    out.print(f"{found.rows:,} rows")
    nearest = found.nearest()[0]
    missing = found.missing(nearest)
    if not missing:
        out.print(
            f"It has all columns of [bold]{nearest.name}[/]: o2o data check … --as {nearest.name}"
        )
        return
    out.print(
        f"No canonical table as it is; {nearest.name} lacks {', '.join(missing)}. A mapping gives "
        f"your names to ours:\n\n{nearest.name}:\n  source: …\n  columns:"
    )
    for name in missing:
        out.print(f"    {name}: …")


def data_parameters(name: str, source: str, lenient: bool) -> list[tuple[str, str]]:
    """The case's parameters that take ``source``, each with what it is given."""
    keys = {
        key.removesuffix("_log"): key
        for key in cases.case(name).defaults
        if term(key).unit.en == "file" and key.removesuffix("_log") in TABLES
    }
    if not keys:
        raise CaseError(f"{name}: --data: this case reads no table of yours")
    wanted = tables_in(source)
    if unknown := [table for table in wanted if table not in keys]:
        raise CaseError(f"{name} reads {', '.join(keys)}; the mapping names {', '.join(unknown)}")
    if not wanted and len(keys) > 1:
        raise CaseError(
            f"{name} reads {', '.join(keys)}: say which of them {source!r} is in a mapping file, as "
            f"{next(iter(keys))}: {{source: …}}"
        )
    given = leniently(source) if lenient else source
    return [(keys[table], given) for table in wanted or list(keys)]

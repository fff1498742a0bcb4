"""The company's own engine: a database by URL or Spark, where the rows stay and the work runs."""

from __future__ import annotations

import importlib
import warnings
import weakref
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir
from ibis.common.exceptions import TableNotFound

from o2o_research.data.expressions import Reader
from o2o_research.data.files import files
from o2o_research.data.mappings import Source, fill_in, redacted
from o2o_research.data.problems import shown
from o2o_research.data.tables import Table
from o2o_research.errors import DataError

_PACKAGES = {"postgresql": "postgres"}
_NUMBER = r"^[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]{1,2})?$"
_MOMENT = r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9])([ T]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?)?$"


def opened(given: Source, table: Table, timezone: str) -> ir.Table:
    """The table that ``given`` names, as an Ibis expression on its own engine.

    Raises
    ------
    DataError
        If the engine cannot be reached, or has no such table; without any secret.
    """
    name = given.table or table.name
    if given.engine == "spark":
        return _spark(given, table, timezone)
    url, secrets = fill_in(given.where_from)
    try:
        con = _connected(given.scheme, url, timezone)
        schema, _, bare = name.rpartition(".")
        found: ir.Table = con.table(bare, database=schema or None)
    except TableNotFound:
        wanted = "" if schema else "; outside the first schema name that too, as sales.orders"
        raise DataError(f"{given.scheme}: there is no table {name}{wanted}") from None
    except ImportError:
        extra = _PACKAGES.get(given.scheme, given.scheme)
        raise DataError(f"{given.scheme} wants a driver; install ibis-framework[{extra}]") from None
    except Exception as error:  # every driver has types of its own
        raise DataError(
            f"{given.scheme}: {name} cannot be opened: {reason(error, secrets)}"
        ) from None
    return found


def reason(error: Exception, secrets: list[str]) -> str:
    """What an engine says, on one line, without any secret."""
    first = redacted(str(error), secrets).strip().split("\n")[0]
    return shown(first or type(error).__name__, 200)


def reader(table: ir.Table) -> Reader:
    """How text becomes numbers and times on the engine of ``table``."""
    if table.get_backend().name == "pyspark":
        return Reader(
            number=lambda text: text.try_cast("float64"),
            moment=lambda text: text.try_cast("timestamp").cast("timestamp(6)"),
        )
    # A cast that fails ends the query there: only what looks right is cast.
    return Reader(
        number=lambda text: ibis.ifelse(text.re_search(_NUMBER), text, None).cast("float64"),
        moment=lambda text: ibis.ifelse(text.re_search(_MOMENT), text, None).cast("timestamp(6)"),
    )


def _connected(scheme: str, url: str, timezone: str) -> Any:
    if scheme == "duckdb":
        return ibis.duckdb.connect(url.partition("://")[2], read_only=True)
    con = ibis.connect(url)
    if scheme in ("postgresql", "postgres"):
        # Closed when the last expression on it is gone.
        weakref.finalize(con, con.con.close)
        # Nothing of ours writes; a time with a zone is read by the shop's clock.
        with con.con.cursor() as cursor:
            for setting, value in (
                ("default_transaction_read_only", "on"),
                ("TimeZone", timezone),
            ):
                cursor.execute("SELECT set_config(%s, %s, false)", (setting, value))
    return con


def _spark(given: Source, table: Table, timezone: str) -> ir.Table:
    try:
        sql = importlib.import_module("pyspark.sql")
    except ImportError:
        raise DataError("engine spark wants pyspark; pip install pyspark, and Java") from None
    # What Spark 4 and Ibis say of pandas 3 on every query would stand in a notebook's output.
    for category, said in (
        (FutureWarning, "PySpark does not yet fully support pandas"),
        (DeprecationWarning, "The copy keyword is deprecated"),
        (DeprecationWarning, "The 'future.infer_string' option is deprecated"),
    ):
        warnings.filterwarnings("ignore", said, category)
    session = (
        sql.SparkSession.builder.config("spark.sql.session.timeZone", timezone)
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .getOrCreate()
    )
    con = ibis.pyspark.connect(session)
    if given.table and not given.where_from.strip("/"):
        return con.table(given.table)
    remote = "://" in given.where_from
    paths = [given.where_from] if remote else [str(p.absolute()) for p in files(given.where_from)]
    kinds = {_kind(path) for path in paths}
    if len(kinds) > 1:
        raise DataError(f"{given.shown}: CSV and Parquet together; name one of them")
    # Ibis takes one path, Spark's own reader many.
    if kinds == {"parquet"}:
        frame = session.read.parquet(*paths)
    else:
        frame = session.read.csv(paths, header=True, inferSchema=False, escape='"', multiLine=True)
    view = ibis.util.gen_name(table.name)
    frame.createOrReplaceTempView(view)
    return con.table(view)


def _kind(path: str) -> str:
    return "csv" if Path(path.removesuffix(".gz")).suffix in (".csv", ".txt", ".tsv") else "parquet"

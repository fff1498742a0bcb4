"""Where a table lies and how its columns are called there: a path, a URL, or a mapping of names.

A mapping is a YAML file, or the same written inline in braces. Credentials come from the
environment only: a URL names variables, ``${SHOP_DB_PASSWORD}``, and is filled in where the
connection is made, nowhere else.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import yaml

from o2o_research.data.files import data_hash
from o2o_research.data.problems import shown
from o2o_research.data.tables import TABLES, Table
from o2o_research.errors import DataError

DATABASES = ("postgresql", "postgres", "duckdb", "mysql", "clickhouse", "trino", "snowflake")
_UNITS = {
    "yuan": 1.0, "元": 1.0, "jiao": 0.1, "角": 0.1, "fen": 0.01, "分": 0.01,
    "thousand": 1e3, "千": 1e3, "千元": 1e3, "wan": 1e4, "万": 1e4, "万元": 1e4,
    "million": 1e6, "percent": 0.01, "%": 0.01,
}  # fmt: skip
_KEYS = (
    "source", "table", "columns", "where", "unit", "allowed", "timezone", "lenient", "engine",
)  # fmt: skip
# Where a server listens unless the URL says otherwise, and seconds to wait for it.
_PORTS = {"postgresql": 5432, "postgres": 5432, "mysql": 3306, "clickhouse": 8123, "trino": 8080}
_PATIENCE = 5.0
_VARIABLE = re.compile(r"\$\{([A-Za-z_]\w*)\}")
_URL = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*)://")
_NAME = re.compile(r"[^\W\d]\w{0,62}(\.[^\W\d]\w{0,62})?")
_SECRET = re.compile(r"pass|secret|token|key|credential", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a canonical table comes from, and how its names fit ours.

    Parameters
    ----------
    where_from : a path, a pattern, a folder, or a URL with its variables not yet filled in
    table : of a database, the name there, perhaps with its schema; empty for the canonical name
    columns : canonical column -> expression over the columns of the log
    where : which rows count; empty for all
    unit : canonical column -> what one unit of the log is worth in ours
    allowed : canonical column of text -> the texts there are; a row with another one is bad
    timezone : empty for what the reader says
    lenient : whether bad rows are left out and counted
    engine : ``""`` (DuckDB, or the URL's own) or ``spark``
    """

    where_from: str
    table: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    where: str = ""
    unit: Mapping[str, float] = field(default_factory=dict)
    allowed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    timezone: str = ""
    lenient: bool = False
    engine: str = ""

    @property
    def scheme(self) -> str:
        """Of a URL, ``postgresql``; empty for files."""
        found = _URL.match(self.where_from)
        scheme = found[1].lower() if found else ""
        return scheme if scheme in DATABASES else ""

    @property
    def shown(self) -> str:
        """Its name for messages and manifests: no folder, no host, nobody's name, no secret."""
        if not self.scheme:
            return Path(self.where_from).name or self.where_from
        return f"{self.scheme}" + (f" {self.table}" if self.table else "")


def resolve(source: str | Path, table: Table) -> Source:
    """What ``source`` says of ``table``.

    Parameters
    ----------
    source : a path, pattern or folder of files; a database's URL, its table after ``#``; a YAML
        file that maps names; or such a mapping inline, in braces

    Raises
    ------
    DataError
        Lists everything that is wrong with the mapping.
    """
    if not _is_mapping(source):
        return _plain(str(source))
    name, sections, folder = _sections(source)
    if table.name not in sections and set(sections) != {""}:
        raise DataError(f"{name} names no {table.name}; it has {', '.join(sections) or 'nothing'}")
    return _source(name, sections.get(table.name, sections.get("")), folder, table)


def tables_in(source: str | Path) -> list[str]:
    """The canonical tables that a mapping names, in its order; none for a plain source."""
    return [name for name in _sections(source)[1] if name] if _is_mapping(source) else []


def present(source: str) -> bool:
    """Whether the files that ``source`` names are there; a database must answer at its address.

    Raises
    ------
    DataError
        If a mapping is out of shape, a secret is written in a URL, a variable of one is not set,
        or nobody answers there.
    """
    if not _is_mapping(source) and not _URL.match(source):
        return _there(source)
    if not _inline(source) and not _URL.match(source) and not _there(source):
        return False
    for each in _each(source):
        if each.scheme:
            _reach(each)
        elif not each.engine and not _there(each.where_from):
            return False
    return True


def _reach(source: Source) -> None:
    """Knock where the database's server should be: no driver, no user, no password."""
    parts = urlsplit(fill_in(source.where_from)[0])
    try:
        host, port = parts.hostname, parts.port or _PORTS.get(source.scheme)
    except ValueError:  # several hosts, which the driver tries in turn
        return
    if not host or port is None or "host=" in parts.query:
        return
    try:
        socket.create_connection((host, port), timeout=_PATIENCE).close()
    except (OSError, UnicodeError) as error:
        # As it is written: a variable's value is not shown.
        place = re.split("[/?#]", source.where_from.partition("://")[2])[0].rpartition("@")[2]
        why = "it takes too long" if isinstance(error, TimeoutError) else "no connection"
        raise DataError(
            f"{source.scheme}: nobody answers at {place} ({why}); is the address right, and the "
            "server up?"
        ) from None


def _there(where_from: str) -> bool:
    # A name may look like a pattern and be that of a file.
    path = Path(where_from).expanduser()
    return path.exists() or bool(glob.glob(str(path), recursive=True))


def identity(source: str | Path) -> list[dict[str, Any]]:
    """For a manifest: what is read and the hash of it; no secret, no folder, no host.

    A database's rows are not hashed: ``sha256`` is then null, and such a run is never reused.
    """
    found = []
    for each in _each(source):
        digest = None if each.scheme or each.engine else data_hash(each.where_from)
        said = {key: value for key in _KEYS if key != "source" and (value := getattr(each, key))}
        if digest and said:
            digest = hashlib.sha256((digest + _json(said)).encode()).hexdigest()
        found.append({"file": each.shown, **said, "sha256": digest})
    return found


def named(source: str | Path) -> str:
    """``source`` as a manifest may show it."""
    if not _is_mapping(source):
        return _plain(str(source)).shown
    if not _inline(source):
        return Path(source).name
    shown_sources = {name: {**raw, "source": _source("mapping", raw, None).shown}
                     for name, raw in _sections(source)[1].items()}  # fmt: skip
    return _json(shown_sources.get("", shown_sources))


def leniently(source: str | Path) -> str:
    """The same source, bad rows left out and counted."""
    if not _is_mapping(source):
        return _json({"source": str(source), "lenient": True})
    _, sections, folder = _sections(source)
    for raw in sections.values():
        if isinstance(raw, dict) and "source" in raw:
            raw["lenient"] = True
            raw["source"] = _placed(str(raw["source"]), folder)
    return _json(sections.get("", sections))


def fill_in(text: str) -> tuple[str, list[str]]:
    """``text`` with its environment variables, and the values that must never be shown.

    Raises
    ------
    DataError
        If a variable is not set.
    """
    secrets = []
    for name in _VARIABLE.findall(text):
        if name not in os.environ:
            raise DataError(f"the environment variable {name} is not set; the source wants it")
        secrets.append(os.environ[name])
    filled = _VARIABLE.sub(lambda found: os.environ[found[1]], text)
    if _URL.match(filled):
        try:
            parts = urlsplit(filled)
            secrets += [part for part in (parts.password, parts.username) if part]
            secrets += [unquote(part) for part in (parts.password or "", parts.username or "")]
            secrets += [value for _, value in parse_qsl(parts.query)]
        except ValueError:
            pass
    return filled, [secret for secret in {filled, *secrets} if secret]


def redacted(text: str, secrets: list[str]) -> str:
    """``text`` without what must never be shown."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def _inline(source: str | Path) -> bool:
    return str(source).lstrip().startswith("{")


def _is_mapping(source: str | Path) -> bool:
    text = str(source)
    yaml_file = text.lower().endswith((".yaml", ".yml")) and not _URL.match(text)
    return yaml_file or _inline(text)


def _each(source: str | Path) -> list[Source]:
    if not _is_mapping(source):
        return [_plain(str(source))]
    name, sections, folder = _sections(source)
    return [_source(name, raw, folder, TABLES.get(table)) for table, raw in sections.items()]


def _sections(source: str | Path) -> tuple[str, dict[str, Any], Path | None]:
    """The mapping's name; what it says by canonical table, "" where it does not say; its folder."""
    if _inline(source):
        name, text, folder = "mapping", str(source), None
    else:
        path = Path(source).expanduser()
        name, folder = path.name, path.parent
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{name} cannot be read: {error}") from None
    try:
        raw = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError):
        # The parser's own message may quote the line, and a line may hold what is secret.
        raise DataError(f"{name} is not YAML") from None
    if not isinstance(raw, dict) or not raw:
        raise DataError(f"{name}: a mapping says source: and what is called how; it says nothing")
    if "source" in raw or not set(raw) - set(_KEYS):
        return name, {"": raw}, folder
    unknown = [str(key) for key in raw if key not in TABLES]
    if unknown:
        raise DataError(
            f"{name}: {', '.join(map(shown, unknown))}: no table of that name; there are "
            + ", ".join(TABLES)
        )
    return name, raw, folder


def _plain(text: str) -> Source:
    where_from, mark, table = text.partition("#") if _URL.match(text) else (text, "", "")
    if mark and not _NAME.fullmatch(table):
        raise DataError(f"{shown(table)} is no name of a table")
    return _safe(Source(where_from=where_from, table=table), "the source")


def _safe(source: Source, name: str) -> Source:
    """The source, if no secret is written in it."""
    if not source.scheme:
        return source
    try:
        parts = urlsplit(source.where_from)
        port = parts.port if not _VARIABLE.search(parts.netloc) else None
    except ValueError:
        raise DataError(f"{name}: the URL cannot be read") from None
    del port
    written = [parts.password or ""]
    written += [value for key, value in parse_qsl(parts.query) if _SECRET.search(key)]
    if any(_VARIABLE.sub("", text) for text in written):
        raise DataError(
            f"{name}: a password is written in the URL; name an environment variable in its "
            "place, ${SHOP_DB_PASSWORD}, and change the password, it has been in a file or a history"
        )
    return source


def _source(name: str, raw: Any, folder: Path | None, table: Table | None = None) -> Source:
    problems = []
    if not isinstance(raw, dict):
        raise DataError(f"{name}: {table.name if table else 'a table'} wants source: and columns:")
    what = f"{name}: {table.name}: " if table else f"{name}: "
    unknown = [str(key) for key in raw if key not in _KEYS]
    if unknown:
        problems.append(f"{', '.join(map(shown, unknown))}: not known; {', '.join(_KEYS)} are")
    kinds = {"columns": dict, "unit": dict, "allowed": dict, "lenient": bool}
    for key in set(_KEYS) & set(raw):
        kind = kinds.get(key, str)
        if not isinstance(raw[key], kind):
            words = {dict: "names and values", bool: "true or false", str: "a text"}[kind]
            problems.append(f"{key} must be {words}")
    if not raw.get("source"):
        problems.append("source is missing")
    if raw.get("engine", "") not in ("", "duckdb", "spark"):
        problems.append(f"engine {shown(str(raw['engine']))} must be duckdb or spark")
    if problems:
        raise DataError("\n".join(what + problem for problem in problems))
    columns = {str(k): str(v) for k, v in raw.get("columns", {}).items()}
    known = {c.name: c for c in table.columns} if table else {}
    for column in columns if table and not table.attributes else ():
        if column not in known:
            problems.append(f"columns: {shown(column)}: no column of {table.name if table else ''}")
    unit = {}
    for column, value in raw.get("unit", {}).items():
        if table and column in known and known[column].type != "number":
            problems.append(f"unit: {column} is no number")
        elif table and column not in known and column not in columns:
            problems.append(f"unit: {shown(str(column))}: no column of {table.name}")
        factor = _UNITS.get(value) if isinstance(value, str) else value
        if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 < factor < 1e12:
            problems.append(
                f"unit: {column}: {shown(str(value))} must be one of {', '.join(_UNITS)} or a number"
            )
        else:
            unit[str(column)] = float(factor)
    allowed = {}
    for column, values in raw.get("allowed", {}).items():
        if table and (column not in known or known[column].type != "text"):
            problems.append(f"allowed: {shown(str(column))}: no column of text of {table.name}")
        elif not isinstance(values, list) or not values or any(v in (None, "") for v in values):
            problems.append(f"allowed: {shown(str(column))} must list the texts there are")
        else:
            allowed[str(column)] = tuple(map(str, values))
            others = set(allowed[str(column)]) - set(known[column].options if table else ())
            if table and known[column].options and others:
                problems.append(
                    f"allowed: {column}: {', '.join(map(shown, sorted(others)))}: "
                    f"{table.name} knows {', '.join(known[column].options)}"
                )
    if raw.get("table") and raw["table"] in TABLES and not _URL.match(str(raw["source"])):
        pass
    elif raw.get("table") and not _NAME.fullmatch(raw["table"]):
        problems.append(f"table {shown(raw['table'])} is no name of a table")
    if problems:
        raise DataError("\n".join(what + problem for problem in problems))
    plain = _plain(_placed(raw["source"], folder))
    return _safe(
        replace(
            plain,
            table=raw.get("table") or plain.table,
            columns=columns,
            where=raw.get("where", ""),
            unit=unit,
            allowed=allowed,
            timezone=raw.get("timezone", ""),
            lenient=raw.get("lenient", False),
            engine="spark" if raw.get("engine") == "spark" else "",
        ),
        what.removesuffix(": "),
    )


def _placed(source: str, folder: Path | None) -> str:
    """A mapping's path counts from its own folder."""
    if folder is None or _URL.match(source) or _VARIABLE.match(source):
        return source
    path = Path(source).expanduser()
    return source if path.is_absolute() else str(folder / path)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)

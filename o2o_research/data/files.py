"""Which files a source names, and the hash of what they hold."""

from __future__ import annotations

import glob
import hashlib
from pathlib import Path

from o2o_research.errors import DataError

_TABLES = (".csv", ".csv.gz", ".tsv", ".txt", ".parquet", ".pq")


def files(source: str | Path) -> list[Path]:
    """The files that ``source`` names, sorted: a path, a pattern or a folder.

    A pattern is such as ``logs/2014-*.csv``. Of a folder all tables count, in its folders too;
    what begins with a dot or an underscore is an engine's own and does not.

    Raises
    ------
    DataError
        If it names something that is not a file, or nothing.
    """
    text = str(source)
    path = Path(text).expanduser()
    if not text or "\0" in text:
        raise DataError(f"{text!r} names no file")
    found = _named(path, text)
    for name in found:
        try:
            str(name).encode()
        except UnicodeEncodeError:
            raise DataError(
                f"{str(name)!r}: the name is not UTF-8; give the file another"
            ) from None
    return found


def _named(path: Path, text: str) -> list[Path]:
    if path.is_dir():
        inside = (name for name in path.rglob("*") if name.is_file())
        tables = sorted(name for name in inside if _is_table(name.relative_to(path)))
        if not tables:
            raise DataError(f"{text}: no table in this folder; tables end in {', '.join(_TABLES)}")
        return tables
    if path.is_file():
        return [path]
    if path.exists():
        raise DataError(f"{text} is not a file")
    found = sorted(Path(name) for name in glob.glob(str(path), recursive=True))
    found = [name for name in found if name.is_file()]
    if not found:
        what = "no file matches" if glob.has_magic(text) else "no such file"
        raise DataError(f"{text}: {what}")
    return found


def _is_table(path: Path) -> bool:
    own = any(part.startswith((".", "_")) for part in path.parts)
    return not own and path.name.lower().endswith(_TABLES)


def data_hash(source: str | Path) -> str:
    """SHA-256 of what ``source`` holds: contents only, neither names nor their order.

    One file gives what ``sha256sum`` prints; several give the hash of their sorted hashes.
    """
    hashes = []
    for path in files(source):
        with path.open("rb") as stream:
            hashes.append(hashlib.file_digest(stream, "sha256").hexdigest())
    if len(hashes) == 1:
        return hashes[0]
    return hashlib.sha256("\n".join(sorted(hashes)).encode()).hexdigest()

"""Where a sweep's runs are kept: a folder, or a bucket behind an fsspec URL.

A run is there when its ``run.json`` is. In a folder it is renamed into its place as a whole; in a
bucket, which cannot rename, ``run.json`` is written last.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from o2o_research.errors import CaseError

RUNS = "runs"
# Arrow, which is here anyway, carries drivers for these; fsspec's own hold other packages back.
_ARROW = ("s3://", "gs://", "gcs://", "abfs://", "abfss://")


class Store(Protocol):
    """What a sweep asks of the place it writes to."""

    address: str

    def put(self, run: str, files: Mapping[str, str]) -> None:
        """A whole run in place of what was there, or nothing and an ``OSError``."""

    def get(self, run: str, file: str) -> bytes | None:
        """A file of a run, if it is there."""

    def write(self, name: str, content: bytes) -> None:
        """A file beside the runs, whole or not at all."""

    def read(self, name: str) -> bytes | None:
        """A file beside the runs, if it is there."""

    def locked(self) -> contextlib.AbstractContextManager[None]:
        """For as long as one batch works here."""


def store(address: str | Path) -> Store:
    """The store at a path or an fsspec URL."""
    text = str(address)
    return Bucket(text) if "://" in text and not text.startswith("file://") else Folder(
        Path(text.removeprefix("file://"))
    )  # fmt: skip


def shown(address: str) -> str:
    """An address as it may be shown: what stands before ``@`` and behind ``?`` may be secret."""
    if "://" not in address:
        return address
    scheme, _, rest = address.partition("://")
    return f"{scheme}://{rest.partition('?')[0].rpartition('@')[2]}"


def about(place: Store, run: str) -> dict[str, Any] | None:
    """What ``run.json`` says, if the run is there and its files are those that were written."""
    try:
        said = json.loads(place.get(run, "run.json") or b"")
        for file, digest in said["files"].items():
            content = place.get(run, file)
            if content is None or hashlib.sha256(content).hexdigest() != digest:
                return None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return said if isinstance(said, dict) and "state" in said else None


class Folder:
    """A folder on this machine, or one that all machines see."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.address = str(root)

    def put(self, run: str, files: Mapping[str, str]) -> None:
        place = self.root / RUNS / run
        place.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{run}-", dir=place.parent))
        try:
            beside.chmod(0o755)
            for file, text in files.items():
                (beside / file).write_text(text, encoding="utf-8")
            old = None
            if place.exists():
                old = beside.with_name(beside.name + ".old")
                os.rename(place, old)
            os.rename(beside, place)
            if old is not None:
                shutil.rmtree(old, ignore_errors=True)
        except BaseException:
            shutil.rmtree(beside, ignore_errors=True)
            raise

    def get(self, run: str, file: str) -> bytes | None:
        return self._bytes(self.root / RUNS / run / file)

    def write(self, name: str, content: bytes) -> None:
        handle, beside = tempfile.mkstemp(prefix=f".{name}-", dir=self.root)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(beside, 0o644)
            os.replace(beside, self.root / name)
        except BaseException:
            os.unlink(beside)
            raise

    def read(self, name: str) -> bytes | None:
        return self._bytes(self.root / name)

    @contextmanager
    def locked(self) -> Iterator[None]:
        import fcntl

        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock = open(self.root / ".lock", "w")  # noqa: SIM115
        except OSError as error:
            raise CaseError(f"cannot write to {self.root}: {error.strerror}") from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise CaseError(
                    f"{self.root}: another batch is at work in this folder; wait for it, "
                    "or name another with --out"
                ) from None
            self._sweep_up()
            yield

    def _sweep_up(self) -> None:
        """What a batch that was killed had begun and not put in its place."""
        for folder in (self.root / RUNS).glob(".*"):
            shutil.rmtree(folder, ignore_errors=True)
        for file in self.root.glob(".*.*-*"):
            file.unlink(missing_ok=True)

    @staticmethod
    def _bytes(path: Path) -> bytes | None:
        try:
            return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None


class Bucket:
    """Anything that fsspec knows: ``s3://``, ``gs://``, ``abfs://``, ``memory://``.

    There is no lock: two batches at once make the same runs, each whole, and the last one stays.
    """

    def __init__(self, url: str) -> None:
        if not url.partition("://")[2].strip("/"):
            raise CaseError(f"{url}: a bucket and a path in it are wanted")
        self.address = url.rstrip("/")
        try:
            self._fs, self._root = _file_system(self.address)
        except (ValueError, ImportError, OSError) as error:
            raise CaseError(f"{shown(url)}: {error}") from error
        self._root = self._root.rstrip("/")

    def put(self, run: str, files: Mapping[str, str]) -> None:
        for file in sorted(files, key=lambda name: name == "run.json"):
            self._fs.pipe_file(f"{self._root}/{RUNS}/{run}/{file}", files[file].encode())

    def get(self, run: str, file: str) -> bytes | None:
        return self._bytes(f"{self._root}/{RUNS}/{run}/{file}")

    def write(self, name: str, content: bytes) -> None:
        self._fs.pipe_file(f"{self._root}/{name}", content)

    def read(self, name: str) -> bytes | None:
        return self._bytes(f"{self._root}/{name}")

    @contextmanager
    def locked(self) -> Iterator[None]:
        yield

    def _bytes(self, path: str) -> bytes | None:
        try:
            content: bytes = self._fs.cat_file(path)
        except FileNotFoundError:
            return None
        return content


def _file_system(url: str) -> tuple[Any, str]:
    """fsspec's file system and the path in it that a URL names."""
    import fsspec  # type: ignore[import-untyped]

    if not url.startswith(_ARROW):
        return fsspec.core.url_to_fs(url)  # type: ignore[no-any-return]
    from fsspec.implementations.arrow import ArrowFSWrapper  # type: ignore[import-untyped]
    from pyarrow.fs import FileSystem  # type: ignore[import-untyped]

    if url.startswith("s3://"):  # small files in one request instead of three
        url += ("&" if "?" in url else "?") + "allow_delayed_open=true"
    opened, path = FileSystem.from_uri(url)
    return ArrowFSWrapper(opened), path

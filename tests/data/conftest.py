"""A PostgreSQL server of the tests' own, reached over a socket in a temporary folder."""

from __future__ import annotations

import glob
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PASSWORD = "Plan7ed-s3cret/värt"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Callable[[str], None]]:
    """Runs SQL on the server; ``O2O_TEST_PASSWORD`` and ``O2O_TEST_SOCKET`` lead to it."""
    found = shutil.which("initdb") or next(
        iter(sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), reverse=True)), None
    )
    if found is None:
        pytest.skip("PostgreSQL is not installed (Debian: postgresql)")
    psycopg = pytest.importorskip("psycopg", reason="the postgres extra is not installed")
    binaries = Path(found).parent
    # PostgreSQL refuses to run as root; a socket's path must be short.
    folder = Path(tempfile.mkdtemp(prefix="o2o-pg-", dir="/tmp"))
    as_user: dict[str, object] = {}
    if os.geteuid() == 0:
        user = next((p for p in pwd.getpwall() if p.pw_name in ("postgres", "nobody")), None)
        if user is None:
            pytest.skip("PostgreSQL wants a user other than root, and there is none")
        as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        os.chown(folder, user.pw_uid, user.pw_gid)

    def run(program: str, *arguments: str) -> None:
        subprocess.run(
            [str(binaries / program), *arguments], check=True, timeout=240, cwd=folder,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TZ": "UTC"}, **as_user,
        )  # fmt: skip

    secret = folder / "password"
    secret.write_text(PASSWORD, encoding="utf-8")
    secret.chmod(0o644)
    data = folder / "data"
    run("initdb", "-D", str(data), "-U", "shop", "--auth=scram-sha-256", "-E", "UTF8",
        f"--pwfile={secret}", "--no-sync")  # fmt: skip
    secret.unlink()
    options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off"
    run("pg_ctl", "-D", str(data), "-w", "-t", "200", "-l", str(folder / "log"),
        "-o", options, "start")  # fmt: skip
    try:
        with psycopg.connect(
            host=str(folder), user="shop", password=PASSWORD, dbname="postgres", autocommit=True
        ) as con:
            before = {k: os.environ.get(k) for k in ("O2O_TEST_PASSWORD", "O2O_TEST_SOCKET")}
            os.environ["O2O_TEST_PASSWORD"] = _quoted(PASSWORD)
            os.environ["O2O_TEST_SOCKET"] = str(folder)

            def sql(text: str) -> None:
                con.execute(text)

            sql.copy = lambda table, rows: _copied(con, table, rows)  # type: ignore[attr-defined]
            yield sql
            for key, value in before.items():
                if value is None:
                    os.environ.pop(key)
                else:
                    os.environ[key] = value
    finally:
        run("pg_ctl", "-D", str(data), "-m", "immediate", "-w", "-t", "60", "stop")
        shutil.rmtree(folder, ignore_errors=True)


def _quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="")


def _copied(con: object, table: str, rows: list[tuple[object, ...]]) -> None:
    with con.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN") as copy:  # type: ignore[attr-defined]
        for row in rows:
            copy.write_row(row)

"""What the warm engine leaves is what papermill leaves; what ends a run is named and ends it."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import suppress
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError

from o2o_research import cases
from o2o_research.execution import engine, runs
from o2o_research.execution.engine import Limits, execute
from o2o_research.execution.papermill_engine import WarmEngine

from . import torture
from .comparing import essence
from .conftest import descendants, soon

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not engine.available(), reason="runs are forked on Linux only"),
]

papermill_engines.register("o2o", WarmEngine)


def by_papermill(notebook: Any, out: Path, name: str | None, **options: Any) -> Any:
    """A notebook executed by papermill with one of its engines, as it is saved."""
    options = {"kernel_name": "python3", "progress_bar": False} | options
    with suppress(PapermillExecutionError):
        papermill.execute_notebook(notebook, out, engine_name=name, **options)
    return nbformat.read(out, as_version=4)


def text(notebook: Any, cell: int = -1) -> str:
    return "".join(output.get("text", "") for output in notebook.cells[cell].outputs)


def cells(*sources: str) -> Any:
    return torture.notebook({f"cell {n}": source for n, source in enumerate(sources)})


@pytest.fixture
def fds() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_torture_notebook_comes_out_as_papermill_leaves_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # ipykernel looks away from the file descriptors while pytest names a test.
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    mine, theirs = (
        by_papermill(torture.notebook(), tmp_path / f"{name}.ipynb", name, start_timeout=300)
        for name in ("o2o", None)
    )
    assert mine.metadata["language_info"] == theirs.metadata["language_info"]
    for (name, left), (_, right) in zip(essence(mine), essence(theirs), strict=True):
        assert left == right, name
    assert text(mine, -2) == "last words\n"
    assert (text(mine, -1), mine.cells[-1].execution_count) == ("", None)


def test_a_case_comes_out_as_papermill_leaves_it() -> None:
    # The others take long: benchmarks/parity.py compares every case.
    values = cases.check("restaurants", cases.parameters("restaurants") | {"draws": 100})
    mine, theirs = (runs.execute("restaurants", values, engine=by) for by in runs.ENGINES)
    assert mine.ending.state == theirs.ending.state == "ok"
    for left, right in zip(mine.notebook.cells, theirs.notebook.cells, strict=True):
        assert left == right, left.get("id")
    assert nbformat.writes(mine.notebook) == nbformat.writes(theirs.notebook)


def test_runs_share_nothing(tmp_path: Path) -> None:
    leave = cells(
        "import os, sys, json, random\nsys.leftover = json.leftover = 1\nleftover = 1\n"
        "os.environ['LEFTOVER'] = '1'\nos.chdir('/')\nrandom.seed(1)"
    )
    look = cells(
        "import os, sys, json\nprint(hasattr(sys, 'leftover'), hasattr(json, 'leftover'),"
        " 'leftover' in globals(), 'LEFTOVER' in os.environ, os.getcwd())"
    )
    assert execute(leave).state == "ok"
    assert execute(look, cwd=tmp_path).state == "ok"
    assert text(look) == f"False False False False {tmp_path}\n"


def test_unseeded_randomness_follows_from_what_runs() -> None:
    draw = "import random, numpy as np\nprint(random.random(), np.random.random())"
    one, same, other = cells("x = 1", draw), cells("x = 1", draw), cells("x = 2", draw)
    assert {execute(notebook).state for notebook in (one, same, other)} == {"ok"}
    assert text(one) == text(same) != text(other)


def test_a_run_in_another_environment_meets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = cells("import os\nprint(os.environ['O2O_TEST'], os.environ['OMP_NUM_THREADS'])")
    assert execute(notebook, environment={**os.environ, "O2O_TEST": "甲"}).state == "ok"
    assert text(notebook) == "甲 1\n"


def test_a_cell_past_its_limit_is_named() -> None:
    notebook = cells("print('fine')", "import time\nprint('so far', flush=True)\ntime.sleep(600)")
    ending = execute(notebook, limits=Limits(cell_seconds=1))
    assert (ending.state, ending.cell) == ("timeout", 1)
    assert ending.why == "in cell 1 (cell-1: import time) ran longer than 1 s"
    assert (text(notebook, 0), text(notebook, 1)) == ("fine\n", "so far\n")


def test_a_run_past_its_limit_says_where_it_was() -> None:
    notebook = cells(*["import time\ntime.sleep(0.5)"] * 20)
    ending = execute(notebook, limits=Limits(run_seconds=1.2, cell_seconds=500))
    assert ending.state == "timeout"
    assert "the run took longer than 1.2 s; it was in cell" in ending.why


@pytest.mark.parametrize(
    "greedy",
    [
        "import time\nheld = []\nwhile True: held.append(bytearray(10_000_000)); time.sleep(0.01)",
        "import numpy as np\nnp.ones(10**10)",
        "import subprocess, sys\nsubprocess.run([sys.executable, '-c', "
        "'x = bytearray(900_000_000); input()'], stdin=subprocess.PIPE)\nimport time; time.sleep(60)",
    ],
    ids=["little by little", "at once", "in another process"],
)
def test_a_run_that_takes_memory_is_out_of_memory(greedy: str) -> None:
    if "subprocess" in greedy:
        greedy = greedy.replace("subprocess.run(", "p = subprocess.Popen(")
    ending = execute(cells("print('fine')", greedy), limits=Limits(memory_mb=800, run_seconds=120))
    assert (ending.state, ending.cell) == ("out_of_memory", 1)


def test_a_killed_run_is_killed_and_leaves_its_output() -> None:
    notebook = cells(
        "1 + 1",
        "import os, signal\nprint('last words', flush=True)\nos.kill(os.getpid(), signal.SIGSEGV)",
    )
    ending = execute(notebook)
    assert (ending.state, ending.signal, ending.cell) == ("killed", "SIGSEGV", 1)
    assert text(notebook) == "last words\n"
    assert ending.peak > 10e6


def test_papermill_saves_a_killed_run_as_failed(tmp_path: Path) -> None:
    notebook = cells("1", "import os\nos.kill(os.getpid(), 9)", "print('never')")
    with pytest.raises(DeadKernelError, match="SIGKILL in cell 1"):
        by_papermill(notebook, tmp_path / "out.ipynb", "o2o")
    saved = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    status = [cell.metadata.papermill["status"] for cell in saved.cells]
    assert status == ["completed", "failed", "pending"]
    with pytest.raises(CellTimeoutError, match="cell 0"):
        by_papermill(
            cells("import time; time.sleep(60)"),
            tmp_path / "out.ipynb",
            "o2o",
            execution_timeout=1,
        )


def test_a_notebook_that_ends_its_kernel_is_not_finished() -> None:
    assert execute(cells("exit()")).state == "ok"
    ending = execute(cells("exit()", "print('never')"))
    assert (ending.state, ending.why) == (
        "failed",
        "in cell 0 (cell-0: exit()) ended its own kernel",
    )
    assert execute(cells("import sys; sys.exit(0)", "print('never')")).state == "ok"
    assert execute(cells("import sys; sys.exit(2)", "print('never')")).state == "failed"


def test_a_run_survives_the_death_of_the_warm_process() -> None:
    execute(cells("1"))
    process = next(iter(engine._warm.values())).process
    notebook = cells("import time\nprint('begun')\ntime.sleep(1)\nprint('done')")
    threading.Timer(0.5, process.kill).start()
    ending = execute(notebook)
    assert ending.state == "ok"
    assert text(notebook) == "begun\ndone\n"
    assert process.wait(60) == -signal.SIGKILL


def test_a_run_that_takes_its_warm_process_along_is_killed_in_the_end() -> None:
    ending = execute(cells("import os\nos.kill(os.getppid(), 9)\nimport time\ntime.sleep(60)"))
    assert (ending.state, ending.lost) == ("killed", True)


def test_an_interrupted_run_stops() -> None:
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    ending = execute(cells("import time\ntime.sleep(600)"), stop=stop)
    assert ending.state == "interrupted"


def test_nothing_is_left_of_a_run(fds: int) -> None:
    engine.close()
    others = descendants(os.getpid())  # a server or a tracker that other tests share
    execute(cells("1"))
    before, running = len(os.listdir("/proc/self/fd")), descendants(os.getpid())
    for _ in range(5):
        execute(cells("import subprocess\nsubprocess.Popen(['sleep', '600'])"))
        execute(cells("import time\ntime.sleep(60)"), limits=Limits(cell_seconds=0.1))
    assert len(os.listdir("/proc/self/fd")) == before
    assert soon(lambda: descendants(os.getpid()) == running)
    engine.close()
    assert len(os.listdir("/proc/self/fd")) <= fds
    assert soon(lambda: not (running - others) & descendants(os.getpid()))


def test_changed_code_is_run_and_not_what_was_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "module.py").write_text("x = 1")
    monkeypatch.setattr(engine, "_PACKAGE", tmp_path)
    first = engine.warm(os.environ)
    os.utime(tmp_path / "module.py", (1, 1))
    assert engine.warm(os.environ) is first
    before = (tmp_path / "module.py").stat()
    (tmp_path / "module.py").write_text("x = 2")
    os.utime(tmp_path / "module.py", ns=(before.st_atime_ns, before.st_mtime_ns))
    second = engine.warm(os.environ)
    assert second is not first
    assert not first.alive
    # A run under way ends in the process that it began in, which ends with it.
    notebook = cells(
        f"import os, time\nwhile not os.path.exists({str(tmp_path / 'go')!r}): time.sleep(0.05)\n"
        "print('done')"
    )
    run = threading.Thread(target=execute, args=(notebook,))
    run.start()
    assert soon(lambda: second.held == 1)
    (tmp_path / "module.py").write_text("x = 3")
    assert engine.warm(os.environ) is not second
    assert second.alive
    (tmp_path / "go").touch()
    run.join(300)
    assert text(notebook) == "done\n"
    assert not second.alive


def test_what_an_import_shows_is_still_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site-packages"
    site.mkdir()
    (site / "loud_module.py").write_text("print('imported')")
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.setattr(engine, "_SITES", [*engine._SITES, str(site)])
    for _ in range(2):
        notebook = cells("import loud_module")
        assert execute(notebook).state == "ok"
        assert text(notebook) == "imported\n"


def test_where_nothing_can_be_forked_papermill_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def theirs(cls: object, nb_man: Any, kernel_name: str, **options: Any) -> None:
        asked.append(kernel_name)

    monkeypatch.setattr(NBClientEngine, "execute_managed_notebook", classmethod(theirs))
    by_papermill(cells("1"), tmp_path / "out.ipynb", "o2o")
    assert asked == []
    monkeypatch.setattr(engine, "available", lambda: False)
    by_papermill(cells("1"), tmp_path / "out.ipynb", "o2o")
    assert asked == ["python3"]


def test_papermill_finds_the_engine() -> None:
    (entry,) = (e for e in entry_points(group="papermill.engine") if e.name == "o2o")
    assert entry.load() is WarmEngine


def test_many_threads_run_at_once() -> None:
    notebooks = [cells(f"print({n})") for n in range(12)]
    threads = [threading.Thread(target=execute, args=(notebook,)) for notebook in notebooks]
    start = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert time.monotonic() - start < 300
    assert [text(notebook) for notebook in notebooks] == [f"{n}\n" for n in range(12)]


def test_the_python_is_this_one() -> None:
    notebook = cells("import sys\nprint(sys.executable)")
    execute(notebook)
    assert text(notebook) == f"{sys.executable}\n"

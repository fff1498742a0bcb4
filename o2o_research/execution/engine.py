"""Notebooks executed by a warm process that forks per run, under limits that hold.

``papermill --engine o2o`` uses :class:`WarmEngine`; :func:`execute` is the same for our own runs.
Outputs are gathered by nbclient's own code from messages of ipykernel's own shell, so a notebook
comes out as papermill would have left it. How a run ended is decided here, from outside.
"""

from __future__ import annotations

import ast
import atexit
import contextlib
import hashlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from o2o_research.errors import RunError
from o2o_research.execution.channel import Inbox, send

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from jupyter_client.jsonutil import parse_date
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

State = Literal["ok", "invalid", "failed", "timeout", "out_of_memory", "killed", "interrupted"]
STATES: tuple[State, ...] = (
    "ok",
    "invalid",
    "failed",
    "timeout",
    "out_of_memory",
    "killed",
    "interrupted",
)

# One thread for the linear algebra, one hash seed: the same numbers in any process.
STEADY = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
}
# What decides how Python starts: a warm process serves only runs that agree with it.
_START = ("PYTHON", "NUMBA_", "LD_", "LC_", "LANG", "OMP_", "OPENBLAS_", "MKL_")
_PATIENCE = 300.0  # seconds until a warm process must have started, however busy the machine
_GRACE = 10.0  # seconds until a run that is done or killed must be gone
_PULSE = 0.05  # seconds between two looks at a run's memory
_PACKAGE = Path(__file__).resolve().parents[1]
_WARM = "import sys; del sys.path[0]; from o2o_research.execution.warm import main; main({})"


def available() -> bool:
    """Whether runs can be forked here; macOS has fork, but its libraries do not survive it."""
    return sys.platform.startswith("linux")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a run may take; nothing is limited unless stated.

    Parameters
    ----------
    cell_seconds, run_seconds : float, optional
        Of one cell, and of all of them.
    memory_mb : float, optional
        Resident memory of the run and the processes it started, megabytes.
    """

    cell_seconds: float | None = None
    run_seconds: float | None = None
    memory_mb: float | None = None


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a run ended, as seen from outside it.

    ``cell`` is the number of the last cell that began, ``peak`` bytes of memory, ``signal`` the
    name of the signal that ended the process, ``error`` the name and text of the exception that
    stopped the notebook, ``lost`` whether the warm process went, which is not the run's fault.
    """

    state: State
    why: str = ""
    cell: int | None = None
    signal: str | None = None
    peak: int = 0
    error: tuple[str, str] | None = None
    lost: bool = False
    seconds: Mapping[str, float] = field(default_factory=dict)


class Warm:
    """A warm process seen from its supervisor; several threads may run notebooks by it at once."""

    def __init__(self, environment: Mapping[str, str], avoid: Iterable[str] = ()) -> None:
        self.avoid = set(avoid)
        self.owner = os.getpid()
        self.code = code_hash()
        self._lock = threading.Lock()
        self.stale = False
        self.held = 0
        self._runs = 0
        self._known: set[str] = set()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _WARM.format(theirs.fileno())],
                env={**environment} | STEADY,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._log,
                pass_fds=[theirs.fileno()],
                # Ctrl-C in the terminal is the supervisor's to handle.
                start_new_session=True,
            )
        try:
            self._answer()
        except BaseException:
            self.close()
            raise

    @property
    def alive(self) -> bool:
        return self.owner == os.getpid() and self.process.poll() is None

    def learn(self, modules: Iterable[str]) -> None:
        """Import these before the next fork, but for those that would be noticed."""
        with self._lock:
            new = [name for name in modules if name not in self._known and name not in self.avoid]
            self._known.update(new)
            new = [name for name in new if _installed(name)]
            if not new or not self.alive:
                return
            for start in range(0, len(new), 500):
                self._ask({"import": new[start : start + 500]})
                answer = self._answer()
                self.avoid.update(answer["noticed"])
                # What was imported cannot be undone: the next warm process does without.
                self.stale = self.stale or bool(answer["noticed"])

    def fork(self, channel: socket.socket, status: int) -> int:
        """Start a run that speaks on ``channel`` and is reported on ``status``; its number."""
        with self._lock:
            self._runs += 1
            message = json.dumps({"run": self._runs}).encode()
            socket.send_fds(self._control, [message], [channel.fileno(), status])
            return self._runs

    def kill(self, run: int) -> None:
        with contextlib.suppress(OSError):
            self._ask({"kill": run})

    def close(self) -> None:
        """End the warm process and all its runs."""
        if self.owner != os.getpid():
            return
        self._control.close()
        try:
            self.process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(_GRACE)
        self._log.close()

    def said(self) -> str:
        """The end of what the warm process and its runs wrote outside any cell."""
        size = self._log.seek(0, os.SEEK_END)
        return (
            os.pread(self._log.fileno(), 2000, max(0, size - 2000)).decode(errors="replace").strip()
        )

    def _ask(self, message: dict[str, Any]) -> None:
        self._control.send(json.dumps(message).encode())

    def _answer(self) -> dict[str, Any]:
        if not select.select([self._control], [], [], _PATIENCE)[0]:
            raise RunError("the warm process does not answer", "killed")
        try:
            packet = self._control.recv(1 << 17)
        except OSError:
            packet = b""
        if not packet:
            raise RunError(f"the warm process did not start: {self.said() or 'killed'}", "killed")
        answer: dict[str, Any] = json.loads(packet)
        return answer


_warm: dict[str, Warm] = {}
_starting = threading.Lock()


def warm(environment: Mapping[str, str]) -> Warm:
    """The warm process for runs in this environment; a new one where the code has changed."""
    with _starting:
        return _warmed(environment)


def _hire(environment: Mapping[str, str], modules: Iterable[str]) -> Warm:
    """The warm process for one run, with what the run imports; to be let go in the end."""
    modules = list(modules)
    for last in (False, True):
        with _starting:
            process = _warmed(environment)
            process.held += 1
        try:
            process.learn(modules)
        except BaseException:
            process.stale = True
            _let_go(process)
            raise
        if last or not process.stale:
            break
        _let_go(process)
    return process


def _let_go(process: Warm) -> None:
    with _starting:
        process.held -= 1
        _end_idle()


def _warmed(environment: Mapping[str, str]) -> Warm:
    start = {
        key: value
        for key, value in environment.items()
        if key.startswith(_START) and key not in STEADY
    }
    key = json.dumps([sys.executable, start], sort_keys=True)
    known = _warm.get(key)
    if known is not None and known.alive and not known.stale and known.code == code_hash():
        return known
    if known is not None:
        del _warm[key]
        if known.owner == os.getpid():  # no more runs by this one; those it has may end
            _retired.append(known)
            _end_idle()
    fresh = _warm[key] = Warm(environment, known.avoid if known is not None else ())
    if known is not None:
        fresh.learn(known._known - fresh.avoid)
    return fresh


def _end_idle() -> None:
    """End the retired processes that no run needs."""
    for old in list(_retired):
        if not old.held:
            _retired.remove(old)
            old.close()


_retired: list[Warm] = []


def close() -> None:
    """End every warm process of this process."""
    with _starting:
        for known in [*_warm.values(), *_retired]:
            known.close()
        _warm.clear()
        _retired.clear()


atexit.register(close)


def code_hash() -> str:
    """Of all that a warm process imports of ours, by content."""
    digest = hashlib.sha256()
    for path in sorted([*_PACKAGE.rglob("*.py"), *_PACKAGE.rglob("*.yaml")]):
        with contextlib.suppress(
            FileNotFoundError
        ):  # an editor may be putting another in its place
            content = path.read_bytes()
            digest.update(path.relative_to(_PACKAGE).as_posix().encode() + b"\0" + content + b"\0")
    return digest.hexdigest()


def _installed(name: str) -> bool:
    """Whether a module is a library's or ours; those beside a notebook change with it."""
    top = name.partition(".")[0]
    if top == "o2o_research" or top in sys.stdlib_module_names:
        return True
    return any(
        (Path(site) / top).is_dir() or (Path(site) / f"{top}.py").is_file() for site in _SITES
    )


_SITES = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]


def imports(notebook: Any) -> list[str]:
    """What a notebook's cells import, in order."""
    names: dict[str, None] = {}
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        try:
            statements = ast.parse(cell.source).body
        except SyntaxError:  # magics
            continue
        for node in statements:
            if isinstance(node, ast.Import):
                names |= dict.fromkeys(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names[node.module] = None
    return list(names)


class _Manager:
    """What papermill's manager does for a notebook, for runs that keep no times in it."""

    def __init__(self, notebook: Any) -> None:
        self.nb = notebook
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.execution_count = None
                cell.outputs = []

    def cell_start(self, cell: Any, cell_index: int) -> None: ...
    def cell_exception(self, cell: Any, cell_index: int, exception: Any = None) -> None: ...
    def cell_complete(self, cell: Any, cell_index: int) -> None: ...


def execute(
    notebook: Any,
    *,
    manager: Any = None,
    client: Callable[[], Any] | None = None,
    limits: Limits | None = None,
    environment: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    stop: threading.Event | None = None,
    on_cell: Callable[[int], None] | None = None,
    again: int = 1,
) -> Ending:
    """Execute a notebook in place, in a fork of the warm process, and say how it ended.

    Whatever happens, the notebook holds all output that came before. A run that was lost with
    its warm process is started ``again`` as often as allowed: nothing it did is at fault.
    """
    environment = dict(os.environ if environment is None else environment)
    manager = manager or _Manager(notebook)
    while True:
        following = _Following(
            notebook,
            manager,
            client() if client is not None else NotebookClient(notebook, record_timing=False),
            limits or Limits(),
            stop,
            on_cell,
        )
        ending = following.run(environment, str(cwd or os.getcwd()))
        if not ending.lost or again <= 0:
            return ending
        again -= 1
        _Manager(notebook)


class _Following:
    """One run, followed from its fork to its end."""

    def __init__(
        self,
        notebook: Any,
        manager: Any,
        client: Any,
        limits: Limits,
        stop: threading.Event | None,
        on_cell: Callable[[int], None] | None,
    ) -> None:
        self.notebook, self.manager, self.client, self.limits = notebook, manager, client, limits
        self.stop, self.on_cell = stop, on_cell
        self.inbox = Inbox()
        self.cell: int | None = None
        self.idle: set[int] = set()
        self.replies: dict[int, Any] = {}
        self.error: tuple[str, str] | None = None
        self.done: dict[str, Any] | None = None
        self.pid: int | None = None
        self.exit: int | None = None
        self.peak = 0
        self.cell_deadline: float | None = None
        self.forked = 0.0
        self.seconds: dict[str, float] = {}

    def run(self, environment: Mapping[str, str], cwd: str) -> Ending:
        self.client.reset_execution_trackers()
        start = time.monotonic()
        try:
            process = _hire(environment, imports(self.notebook))
        except RunError as error:
            return self._ending("killed", str(error), lost=True)
        self.seconds["warm"] = time.monotonic() - start
        try:
            return self._run(process, environment, cwd)
        finally:
            _let_go(process)

    def _run(self, process: Warm, environment: Mapping[str, str], cwd: str) -> Ending:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        status, told = os.pipe()
        forked = self.forked = time.monotonic()
        try:
            try:
                number = process.fork(theirs, told)
            except OSError:
                process.stale = True
                return self._ending("killed", "the warm process died", lost=True)
            finally:
                theirs.close()
                os.close(told)
            deadline = None
            if self.limits.run_seconds is not None:
                deadline = forked + self.limits.run_seconds
            try:
                send(ours, [json.dumps(self._request(environment, cwd)).encode()])
                verdict = self._follow(ours, status, deadline)
            except KeyboardInterrupt:
                verdict = "interrupted", f"interrupted {self._where()}"
            except BaseException:
                process.kill(number)
                raise
            if verdict is not None:
                process.kill(number)
            self._last_words(ours, status, process, number)
        except (BrokenPipeError, ConnectionResetError):
            self._reports(status)
            verdict = None
        finally:
            ours.close()
            os.close(status)
        self.seconds["cells"] = time.monotonic() - forked - self.seconds.get("fork", 0.0)
        if verdict is not None:
            return self._ending(*verdict)
        ending = self._judged(process)
        if ending.state == "ok" and self.done is not None:
            learning = time.monotonic()
            process.learn(self.done["modules"])
            self.seconds["learning"] = time.monotonic() - learning
        return ending

    def _request(self, environment: Mapping[str, str], cwd: str) -> dict[str, Any]:
        client = self.client
        cells = [
            {
                "number": number,
                "source": cell.source,
                "errors": not client.force_raise_errors
                and (client.allow_errors or "raises-exception" in cell.metadata.get("tags", ())),
            }
            for number, cell in enumerate(self.notebook.cells)
            if self._executes(cell)
        ]
        seed = hashlib.sha256(json.dumps([cell["source"] for cell in cells]).encode()).digest()
        memory = self.limits.memory_mb
        return {
            "cells": cells,
            "cwd": cwd,
            "env": {**environment} | STEADY,
            "seed": int.from_bytes(seed[:8], "big"),
            # A hard stop for one huge allocation; what is really used is looked at from outside.
            "data_limit": None if memory is None else int(2 * memory * 1e6),
        }

    def _executes(self, cell: Any) -> bool:
        skipped = self.client.skip_cells_with_tag in cell.metadata.get("tags", ())
        return bool(cell.cell_type == "code" and cell.source.strip() and not skipped)

    def _follow(
        self, channel: socket.socket, status: int, deadline: float | None
    ) -> tuple[State, str] | None:
        """Take in what the run says until it is done; a verdict if it must be killed first."""
        both: list[Any] = [channel, status]
        ceiling = None if self.limits.memory_mb is None else self.limits.memory_mb * 1e6
        while True:
            now = time.monotonic()
            wait = 0.2 if self.stop is not None else 3600.0
            if ceiling is not None:
                wait = _PULSE
            for when in (deadline, self.cell_deadline):
                if when is not None:
                    wait = min(wait, max(0.0, when - now))
            ready = select.select(both, [], [], wait)[0]
            if channel in ready:
                packet = channel.recv(1 << 17)
                if not packet:
                    return None
                parts = self.inbox.take(packet)
                if parts is not None:
                    self._message(parts)
                    if self.done is not None:
                        return None
            elif status in ready and self._reports(status):
                return None
            if self.stop is not None and self.stop.is_set():
                return "interrupted", f"interrupted {self._where()}"
            now = time.monotonic()
            if self.cell_deadline is not None and now >= self.cell_deadline:
                return "timeout", f"{self._where()} ran longer than {self._cell_limit():g} s"
            if deadline is not None and now >= deadline:
                limit = self.limits.run_seconds
                return "timeout", f"the run took longer than {limit:g} s; it was {self._where()}"
            if ceiling is not None and self.pid is not None:
                used = _resident(self.pid)
                self.peak = max(self.peak, used)
                if used > ceiling:
                    return (
                        "out_of_memory",
                        f"{self._where()} held {used / 1e6:.0f} MB; "
                        f"{self.limits.memory_mb:g} MB are allowed",
                    )

    def _last_words(self, channel: socket.socket, status: int, process: Warm, number: int) -> None:
        """All that was said before the end, and how the process ended."""
        both: list[Any] = [channel, status]
        end, killed = time.monotonic() + _GRACE, False
        while self.exit is None:
            left = end - time.monotonic()
            if left <= 0:
                if killed:  # the warm process itself does not answer
                    process.process.kill()
                    break
                process.kill(number)
                killed, end = True, time.monotonic() + _GRACE
                continue
            ready = select.select(both, [], [], left)[0]
            if channel in ready:
                self._drain(channel)
            if status in ready and self._reports(status):
                break
        self._drain(channel)

    def _drain(self, channel: socket.socket) -> None:
        channel.setblocking(False)
        with contextlib.suppress(BlockingIOError, ConnectionResetError):
            while packet := channel.recv(1 << 17):
                parts = self.inbox.take(packet)
                if parts is not None and self.done is None:
                    self._message(parts)

    def _reports(self, status: int) -> bool:
        """Read what the warm process tells of the run; whether it has ended, or the teller has."""
        told = os.read(status, 4096)
        for line in told.splitlines():
            message = json.loads(line)
            self.pid = message.get("pid", self.pid)
            if "exit" in message:
                self.exit = message["exit"]
                self.peak = max(self.peak, message["peak"])
        return not told or self.exit is not None

    def _message(self, parts: list[bytes]) -> None:
        if len(parts) == 1:
            self.done = json.loads(parts[0])
            return
        self.seconds.setdefault("fork", time.monotonic() - self.forked)  # its first sign of life
        header, parent, metadata, content = (json.loads(part) for part in parts[:4])
        header["date"] = parse_date(header["date"])
        message = {
            "msg_type": header["msg_type"],
            "header": header,
            "parent_header": parent,
            "metadata": metadata,
            "content": content,
            "buffers": parts[4:],
        }
        if "msg_id" not in parent:
            return
        number = int(parent["msg_id"])
        kind, client = header["msg_type"], self.client
        if kind == "status" and content["execution_state"] == "busy":
            self._begin(number)
        # What a thread says after its cell has ended goes nowhere, as with papermill.
        if number in self.idle:
            return
        cell = self.notebook.cells[number]
        if kind == "execute_reply":
            self.replies[number] = message
            if client.record_timing:
                cell.metadata["execution"]["shell.execute_reply"] = header["date"].isoformat()
            return
        try:
            client.process_message(message, cell, number)
        except Exception as signal_:
            if type(signal_).__name__ != "CellExecutionComplete":
                raise
            self._finish(number)

    def _begin(self, number: int) -> None:
        """The cells up to this one, those that do not execute among them."""
        for passed in range((-1 if self.cell is None else self.cell) + 1, number):
            self._pass(passed)
        self.cell = number
        cell = self.notebook.cells[number]
        self.manager.cell_start(cell, number)
        if self.on_cell is not None:
            self.on_cell(number)
        if self.client.record_timing:
            cell.metadata["execution"] = {}
        cell.outputs = []
        self.client.clear_before_next_output = False
        self.client.code_cells_executed += 1
        limit = self._cell_limit()
        self.cell_deadline = None if limit is None else time.monotonic() + limit

    def _pass(self, number: int) -> None:
        self.manager.cell_start(self.notebook.cells[number], number)
        self.manager.cell_complete(self.notebook.cells[number], cell_index=number)

    def _cell_limit(self) -> float | None:
        if self.limits.cell_seconds is not None or self.cell is None:
            return self.limits.cell_seconds
        limit: float | None = self.client._get_timeout(self.notebook.cells[self.cell])
        return limit

    def _finish(self, number: int) -> None:
        self.idle.add(number)
        self.cell_deadline = None
        cell = self.notebook.cells[number]
        reply = self.replies.pop(number, None)
        try:
            if reply is not None and reply["content"]["status"] == "error":
                _at_once(self.client._check_raise_for_error(cell, number, reply))
        except CellExecutionError as error:
            self.error = (reply["content"]["ename"], reply["content"]["evalue"])
            self.manager.cell_exception(cell, cell_index=number, exception=error)
        finally:
            self.manager.cell_complete(cell, cell_index=number)

    def _judged(self, process: Warm) -> Ending:
        """How a run ended that nobody here ended."""
        if self.error is not None:
            name, text = self.error
            if name == "SystemExit" and text in ("", "0"):
                return self._ending("ok")
            state: State = "out_of_memory" if name.endswith("MemoryError") else "failed"
            return self._ending(state, f"{self._where()} failed: {name}: {text}")
        if self.done is not None:
            if self.done.get("left") and any(
                self._executes(cell) for cell in self.notebook.cells[(self.cell or 0) + 1 :]
            ):
                return self._ending("failed", f"{self._where()} ended its own kernel")
            for number in range(
                (-1 if self.cell is None else self.cell) + 1, len(self.notebook.cells)
            ):
                self._pass(number)
            return self._ending("ok")
        if self.exit is None:
            # Its sockets close before it can be waited for: nobody may take it for alive.
            process.stale = True
            return self._ending("killed", f"the warm process died {self._where()}", lost=True)
        if self.exit < 0:
            name = signal.Signals(-self.exit).name
            return self._ending("killed", f"{name} {self._where()}", signal_=name)
        said = process.said().rpartition("\n")[2]
        return self._ending(
            "killed", f"the process left with status {self.exit} {self._where()}: {said}"
        )

    def _where(self) -> str:
        if self.cell is None:
            return "before the first cell"
        return f"in {named(self.notebook.cells[self.cell], self.cell)}"

    def _ending(
        self, state: State, why: str = "", *, signal_: str | None = None, lost: bool = False
    ) -> Ending:
        if state != "ok" and self.cell is not None and self.error is None:
            cell = self.notebook.cells[self.cell]
            self.manager.cell_exception(cell, cell_index=self.cell)
            if self.cell not in self.idle:
                self.manager.cell_complete(cell, cell_index=self.cell)
        return Ending(
            state=state,
            why=why,
            cell=self.cell,
            signal=signal_,
            peak=self.peak,
            error=self.error,
            lost=lost,
            seconds=self.seconds,
        )


def _at_once(coroutine: Any) -> None:
    """Run a coroutine that waits for nothing; nbclient's own way leaves a loop in every thread."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()
    raise RuntimeError("a hook on a cell's error may not wait")


def language_info() -> dict[str, Any]:
    """What a kernel says of its language, as papermill stores it."""
    from ipykernel.ipkernel import IPythonKernel  # slow to import, and a check wants no kernel

    return json.loads(json.dumps(IPythonKernel.language_info))  # type: ignore[no-any-return]


def named(cell: Any, number: int) -> str:
    """A cell as a message names it: its number, its id, and its first line."""
    first = next((line for line in cell.source.splitlines() if line.strip()), "")
    return f"cell {number} ({cell.get('id', 'without id')}: {first.strip()[:60]})"


def _resident(pid: int) -> int:
    """Bytes of memory that a process and those it started hold now."""
    try:
        total = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (OSError, IndexError):
        return 0
    return total + sum(_resident(int(child)) for child in children)

"""The kernel of a run: ipykernel's own, in a forked process, speaking over one Unix socket.

Shell, streams, displays and tracebacks are ipykernel's classes, so that what a cell leaves is
what papermill's kernel would have left. Only the transport differs: no ZeroMQ, no ports.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import heapq
import itertools
import json
import logging
import os
import queue
import random
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ipykernel_launcher
from ipykernel.displayhook import ZMQDisplayHook
from ipykernel.iostream import BackgroundSocket, IOPubThread, OutStream
from ipykernel.ipkernel import IPythonKernel
from ipykernel.zmqshell import ZMQInteractiveShell
from jupyter_client.session import DELIM, Session
from tornado.ioloop import IOLoop
from traitlets import Any as AnyTrait
from traitlets.config import Config

from o2o_research.execution.channel import receive, send
from o2o_research.execution.orphans import die_with_parent

Message = dict[str, Any]


class _Publisher(IOPubThread):
    """ipykernel's output thread, writing to a Unix socket.

    The order of what is printed and shown comes from this thread, as in ipykernel: streams
    gather for a fifth of a second or until something is displayed.
    """

    def __init__(self, session: Session) -> None:
        self.socket = None
        self.session = session
        self.background_socket = BackgroundSocket(self)  # type: ignore[no-untyped-call]
        self.io_loop = self  # type: ignore[assignment]
        self._lock = threading.Lock()
        self._waiting: queue.SimpleQueue[Callable[[], Any] | None] = queue.SimpleQueue()
        self._timers: list[tuple[float, int, Callable[[], Any]]] = []
        self._ticket = itertools.count()
        self.thread: threading.Thread | None = None  # type: ignore[assignment]

    def open(self, connection: socket.socket) -> None:
        self.socket = connection
        # Made here, not before the fork: a thread object does not survive one.
        self.thread = threading.Thread(target=self._work, name="IOPub", daemon=True)
        self.thread.start()

    def close(self) -> None:
        """Everything scheduled so far is sent."""
        if self.thread is not None:
            self._waiting.put(None)
            self.thread.join()

    def wait(self) -> None:
        """Until what is scheduled so far is sent."""
        for _ in range(2):  # what is scheduled may schedule the sending
            sent = threading.Event()
            self.schedule(sent.set)
            sent.wait()

    def schedule(self, f: Callable[[], Any]) -> None:
        if self.thread is not None and self.thread.is_alive():
            self._waiting.put(f)
        else:  # a process forked by a cell has no such thread
            f()

    def call_later(self, delay: float, f: Callable[[], Any]) -> None:
        heapq.heappush(self._timers, (time.monotonic() + delay, next(self._ticket), f))

    def _work(self) -> None:
        while True:
            wait = max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None
            try:
                due: Callable[[], Any] | None = self._waiting.get(timeout=wait)
            except queue.Empty:
                due = heapq.heappop(self._timers)[2]
            if due is None:
                return
            due()

    def _really_send(self, msg: list[bytes], *args: Any, **kwargs: Any) -> None:
        if self.socket is not None:
            with self._lock:
                send(self.socket, [bytes(part) for part in msg[msg.index(DELIM) + 2 :]])


class _Kernel(IPythonKernel):
    """ipykernel's kernel without its sockets and subshells."""

    session: Session
    shell = AnyTrait()
    shell_stream = AnyTrait()
    iopub_thread = AnyTrait()
    _supports_kernel_subshells = False
    stopped = False

    def _abort_queues(self, subshell_id: str | None = None) -> None:
        """Called when a cell failed that may not."""
        self.stopped = True

    async def execute(self, cell: int, source: str, stop_on_error: bool) -> None:
        """A cell as papermill asks for it, between the same two states."""
        content = {
            "code": source,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": stop_on_error,
        }
        request = self.session.msg("execute_request", content)
        request["header"]["msg_id"] = request["msg_id"] = str(cell)
        self.set_parent([], request, channel="shell")  # type: ignore[no-untyped-call]
        self._publish_status("busy", "shell")  # type: ignore[no-untyped-call]
        # A cell that kills its process must be known to have begun.
        self.iopub_thread.wait()
        self.pre_handler_hook()  # type: ignore[no-untyped-call]
        try:
            await self.execute_request(self.iopub_socket, [], request)  # type: ignore[no-untyped-call]
        finally:
            self.post_handler_hook()  # type: ignore[no-untyped-call]
        sys.stdout.flush()
        sys.stderr.flush()
        self._publish_status("idle", "shell")  # type: ignore[no-untyped-call]


def prepare() -> _Kernel:
    """A kernel that lacks nothing but its streams; made once, before the forks."""
    os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    _without_debugger()
    session = Session(key=b"")
    publisher = _Publisher(session)
    config = Config()
    # A history file would be one more thing that forks share.
    config.HistoryManager.enabled = False
    log = logging.getLogger("o2o_research.execution.kernel")
    log.addHandler(logging.NullHandler())
    log.propagate = False
    kernel = _Kernel.instance(
        config=config,
        log=log,
        session=session,
        iopub_thread=publisher,
        iopub_socket=publisher.background_socket,
        shell_stream=publisher.background_socket,
        shell_channel_thread=SimpleNamespace(parent_thread=threading.main_thread()),
    )
    assert isinstance(kernel.shell, ZMQInteractiveShell)
    kernel.shell.run_line_magic("load_ext", "storemagic")
    if "pandas" in sys.modules:
        # Imported before there was a kernel, pandas took this for a terminal.
        import pandas as pd

        pd.set_option("display.max_columns", 20)
    return kernel


def _without_debugger() -> None:
    """debugpy takes sockets and threads, which a fork must not share; nobody debugs a batch."""
    unwanted = {"debugpy": None, "debugpy.server": None}
    sys.modules.update(unwanted)  # type: ignore[arg-type]
    try:
        import ipykernel.debugger  # noqa: F401
    finally:
        for name in unwanted:
            del sys.modules[name]


def serve(kernel: _Kernel, connection: socket.socket) -> None:
    """Run the cells that the other end asks for, and leave; called in a fresh fork."""
    request: Message = json.loads(next(receive(connection))[0])
    _settle(kernel, request)
    publisher = kernel.iopub_thread
    publisher.open(connection)
    kernel.session.pid = os.getpid()
    for name in ("stdout", "stderr"):
        stream = OutStream(kernel.session, publisher, name)  # type: ignore[no-untyped-call]
        setattr(sys, name, stream)
    kernel._stdout, kernel._stderr = sys.stdout, sys.stderr
    hook = ZMQDisplayHook(kernel.session, kernel.iopub_socket)  # type: ignore[no-untyped-call]
    hook.get_execution_count = lambda: kernel.execution_count  # type: ignore[method-assign]
    sys.displayhook = hook
    before = set(sys.modules)
    asyncio.run(_cells(kernel, request["cells"]))
    late = [name for name in sys.modules if name not in before]
    sys.stdout.flush()
    sys.stderr.flush()
    publisher.close()
    with publisher._lock:
        done = {"modules": late, "left": bool(kernel.shell.exit_now)}
        send(connection, [json.dumps(done).encode()])
    atexit._run_exitfuncs()


async def _cells(kernel: _Kernel, cells: list[Message]) -> None:
    kernel.io_loop = IOLoop.current()
    for cell in cells:
        await kernel.execute(cell["number"], cell["source"], not cell["errors"])
        if kernel.stopped or kernel.shell.exit_now:
            return


def _settle(kernel: _Kernel, request: Message) -> None:
    """The process as a kernel started for this run alone would find itself."""
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    kernel.shell.init_environment()
    time.tzset()
    sys.argv = [str(Path(ipykernel_launcher.__file__)), "-f", "none: no ports"]
    if "" not in sys.path:
        installed = ("site-packages", "dist-packages")
        at = [n for n, path in enumerate(sys.path) if os.path.basename(path) in installed]
        sys.path.insert(at[0] if at else 0, "")
    # Forks would otherwise share one stream of random numbers.
    random.seed(request["seed"])
    if "numpy" in sys.modules:
        import numpy as np

        np.random.seed(request["seed"] % 2**32)  # noqa: NPY002
    if request["data_limit"] is not None:
        _limit(request["data_limit"])


def _limit(more: int) -> None:
    """No more than so many bytes of own memory beyond what the warm process holds."""
    import resource

    with open("/proc/self/status", encoding="ascii") as status:
        held = next(int(line.split()[1]) for line in status if line.startswith("VmData:"))
    resource.setrlimit(resource.RLIMIT_DATA, (held * 1024 + more,) * 2)


def isolate() -> None:
    """Nothing of the warm process but its memory: own session, signals, standard streams."""
    os.setsid()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    null = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)
    os.close(null)
    die_with_parent()
    gc.enable()

"""The warm process: imports once, forks a run at a time, and reports how each run ended.

It never runs a cell itself and holds no thread, so a fork is a clean copy. Run as
``python -c "... warm.main(fd)"`` by :mod:`o2o_research.execution.engine`.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import json
import os
import select
import signal
import socket
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any

Message = dict[str, Any]

# The largest message on the control socket, which keeps messages whole.
LARGEST = 1 << 17

# What every case imports only once it draws its parameters, for it is slow.
_LATE = ("scipy.stats.qmc",)


def main(fd: int) -> None:
    """Serve the supervisor at the other end of ``fd`` until it goes."""
    control = socket.socket(fileno=fd)
    woken = os.pipe2(os.O_NONBLOCK)
    signal.set_wakeup_fd(woken[1], warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from o2o_research.execution import kernel

    made = kernel.prepare()
    runs: dict[int, tuple[int, int]] = {}  # pid -> (number of the run, where to report)
    _settle()
    _send(control, {"ready": threads()})
    while True:
        watched: list[Any] = [control, woken[0]]
        ready = select.select(watched, [], [])[0]
        if woken[0] in ready:
            with contextlib.suppress(BlockingIOError):
                while os.read(woken[0], 512):
                    pass
            _reap(runs)
        if control not in ready:
            continue
        data, fds, _, _ = socket.recv_fds(control, LARGEST, 2)
        if not data:  # the supervisor is gone, and so are its runs
            for pid in runs:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
            os._exit(0)
        message = json.loads(data)
        if "run" in message:
            channel, status = fds
            pid = os.fork()
            if pid == 0:
                _child(kernel, made, control, woken, runs, channel, status)
            os.close(channel)
            runs[pid] = message["run"], status
            _tell(status, {"pid": pid})
        elif "kill" in message:
            for pid, (number, _) in runs.items():
                if number == message["kill"]:
                    _kill(pid)
        elif "import" in message:
            names = message["import"]
            ours = any(name.startswith("o2o_research.") for name in names)
            noticed = _import([*names, *_LATE] if ours else names)
            _preload()
            _settle()
            _send(control, {"noticed": noticed})


def threads() -> int:
    """How many threads this process has, but for the allocator's, which minds forks itself."""
    names = [
        Path(f"/proc/self/task/{task}/comm").read_text(encoding="ascii").strip()
        for task in os.listdir("/proc/self/task")
    ]
    return len(names) - names.count("jemalloc_bg_thd")


def _child(
    kernel: Any,
    made: Any,
    control: socket.socket,
    woken: tuple[int, int],
    runs: dict[int, tuple[int, int]],
    channel: int,
    status: int,
) -> None:
    code, log = 1, os.fdopen(os.dup(2), "w")
    try:
        kernel.isolate()
        control.close()
        for fd in (*woken, status, *(status for _, status in runs.values())):
            os.close(fd)
        kernel.serve(made, socket.socket(fileno=channel))
        code = 0
    except BaseException:
        traceback.print_exc(file=log)
        log.flush()
    finally:
        os._exit(code)


def _reap(runs: dict[int, tuple[int, int]]) -> None:
    for pid in list(runs):
        # First everything the run started, while its number cannot be taken by another process.
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            continue
        _kill(pid)
        _, wait_status, usage = os.wait4(pid, 0)
        _, status = runs.pop(pid)
        code = os.waitstatus_to_exitcode(wait_status)
        _tell(status, {"exit": code, "peak": usage.ru_maxrss * 1024})
        os.close(status)


def _kill(pid: int) -> None:
    for kill in (os.killpg, os.kill):  # it may not lead its group yet
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)


def _tell(status: int, message: Message) -> None:
    with contextlib.suppress(BrokenPipeError):
        os.write(status, json.dumps(message).encode() + b"\n")


def _send(control: socket.socket, message: Message) -> None:
    control.send(json.dumps(message).encode())


def _settle() -> None:
    """What lives now lives long: forks need not copy it to collect garbage."""
    gc.collect()
    gc.freeze()


def _import(names: list[str]) -> list[str]:
    """Import what can be; answers what a cell would have noticed: it warns, prints, starts threads."""
    noticed = []
    for name in names:
        if name in sys.modules:
            continue
        said: list[Any] = []
        shown = warnings.showwarning
        warnings.showwarning = lambda *a, _said=said, **k: _said.append(a)
        out = io.StringIO()
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
                importlib.import_module(name)
        except BaseException:
            continue  # the cell that wants it will say why
        finally:
            warnings.showwarning = shown
        if said or out.getvalue() or threads() > 1:
            noticed.append(name)
    return noticed


def _preload() -> None:
    """Machine code that numba has on disk, loaded here once instead of in every run."""
    dispatcher = sys.modules.get("numba.core.dispatcher")
    if dispatcher is None:
        return
    for name, module in list(sys.modules.items()):
        if not name.startswith("o2o_research"):
            continue
        for function in list(vars(module).values()):
            if isinstance(function, dispatcher.Dispatcher):
                with contextlib.suppress(Exception):
                    _load(function)


def _load(function: Any) -> None:
    """Every signature of a compiled function that its cache holds."""
    if function.targetoptions.get("parallel"):
        return  # would start threads
    for key in list(function._cache._cache_file._load_index()):
        signature = key[0]
        if signature not in function.overloads:
            function.compile(signature)

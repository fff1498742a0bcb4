"""The notebook runs top to bottom in JupyterLab, offline, and JupyterLab draws its charts."""

from __future__ import annotations

import itertools
import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import websocket

pytestmark = pytest.mark.slow
CHROMIUM = shutil.which("chromium")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(address: str, seconds: float = 60) -> bytes:
    end = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                return bytes(answer.read())
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.3)


class Page:
    """A browser's page, driven by its own protocol."""

    def __init__(self, address: str) -> None:
        self.socket = websocket.create_connection(address, timeout=180, suppress_origin=True)
        self.numbers = itertools.count(1)
        self.requests: list[str] = []

    def call(self, method: str, **parameters: Any) -> Any:
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self.socket.recv())
            if message.get("method") == "Network.requestWillBeSent":
                self.requests.append(message["params"]["request"]["url"])
            if message.get("id") == number:
                return message["result"]

    def ask(self, script: str) -> Any:
        answer = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, script: str, seconds: float) -> Any:
        end = time.monotonic() + seconds
        while not (value := self.ask(script)):
            assert time.monotonic() < end, f"not within {seconds} s: {script}"
            time.sleep(0.5)
        return value


@pytest.fixture
def page(root: Path, tmp_path: Path) -> Iterator[tuple[Page, str]]:
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    for folder in ("notebooks", "params"):
        shutil.copytree(root / folder, tmp_path / folder)
    lab, debug = free_port(), free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root", f"--port={lab}", "--ip=127.0.0.1",
         "--IdentityProvider.token=", "--ServerApp.password=", "--LabApp.expose_app_in_browser=True",
         f"--ServerApp.root_dir={tmp_path}", "--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    browser = subprocess.Popen(
        [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         f"--user-data-dir={tmp_path / 'profile'}", f"--remote-debugging-port={debug}", "--window-size=1200,2400",
         "about:blank"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for(f"http://127.0.0.1:{lab}/api")
        targets = json.loads(wait_for(f"http://127.0.0.1:{debug}/json"))
        (target,) = [each for each in targets if each["type"] == "page"]
        driven = Page(target["webSocketDebuggerUrl"])
        yield driven, f"http://127.0.0.1:{lab}"
        driven.socket.close()
    finally:
        for process in (browser, server):
            process.terminate()
            process.wait(30)


def test_the_notebook_runs_in_jupyterlab_with_its_charts_drawn_offline(
    page: tuple[Page, str],
) -> None:
    lab, address = page
    lab.call("Network.enable")
    lab.call("Page.enable")
    lab.call("Page.navigate", url=f"{address}/lab/tree/notebooks/restaurants.ipynb?reset")
    opened = "[...jupyterapp.shell.widgets('main')].find(w => w.context && w.context.path.endsWith('ipynb'))"
    lab.until(
        f"!!(window.jupyterapp && (window.notebook = {opened}) && notebook.content.model)", 90
    )
    lab.ask("jupyterapp.shell.activateById(notebook.id); 0")
    lab.until("notebook.sessionContext.isReady && !!notebook.sessionContext.session", 60)
    lab.ask("jupyterapp.commands.execute('notebook:run-all-cells'); 0")
    counts = (
        "[...notebook.content.model.cells].filter(c => c.type === 'code')"
        ".map(c => c.executionCount)"
    )
    lab.until(f"({counts}).every(n => n !== null)", 180)
    errors = lab.ask(
        "[...notebook.content.model.cells].filter(c => c.type === 'code')"
        ".flatMap(c => [...Array(c.outputs.length).keys()].map(i => c.outputs.get(i).type))"
        ".filter(type => type === 'error' || type === 'stream').length"
    )
    assert errors == 0
    lab.ask(
        "(() => { const n = notebook.content; const cells = [...n.model.cells];"
        " n.scrollToItem(cells.findIndex(c => c.id === 'orders-flip'), 'center'); return 0; })()"
    )
    lab.until("document.querySelectorAll('.vega-embed canvas, .vega-embed svg').length > 0", 60)
    outside = [
        url
        for url in lab.requests
        if not url.startswith((address, "data:", "blob:", "ws://127.0.0.1"))
    ]
    assert outside == []

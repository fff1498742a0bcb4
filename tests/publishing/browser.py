"""Chromium without a window, told what to do over its debugging socket."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, Self

import websocket

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
# What a key is called, and what it writes, where the name does not say so.
_KEYS = {
    "Tab": (9, ""),
    "Enter": (13, "\r"),
    " ": (32, " "),
    "ArrowDown": (40, ""),
    "ArrowRight": (39, ""),
    "Backspace": (8, ""),
}


class Left(Exception):
    """The page was left for another while it was asked."""


class Browser:
    """Opens pages and remembers what they asked the network for and complained about."""

    def __init__(self, program: str, folder: Path) -> None:
        self._command = [
            program, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--disable-dev-shm-usage", "--remote-debugging-port=0", "--remote-allow-origins=*",
            "--disable-back-forward-cache",  # else a process for every page that was left
            "--window-size=1280,900", f"--user-data-dir={folder / 'profile'}", "about:blank",
        ]  # fmt: skip
        self._port = folder / "profile" / "DevToolsActivePort"
        self.asked: list[str] = []
        self.complaints: list[Any] = []

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        port, path = self._until(lambda: self._port.is_file() and self._port.read_text().split())
        address = f"ws://127.0.0.1:{port}{path}"
        self._socket = websocket.create_connection(address, timeout=60, suppress_origin=True)
        self._count, self._session = 0, ""
        page = self._call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._call("Target.attachToTarget", targetId=page, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._process.terminate()
        self._process.wait(30)

    def open(self, address: str) -> None:
        self._call("Page.navigate", url=address)

    def read(self, page: Path) -> None:
        """Open a file and wait until it stands."""
        self.open(page.as_uri())
        self.wait("document.readyState == 'complete'")

    def run(self, script: str) -> Any:
        """What a script answers; a promise is waited for."""
        answer = self._call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, condition: str) -> None:
        """Until it holds; a page that is being left for another holds nothing yet."""

        def holds() -> bool:
            try:
                return bool(self.run(f"!!({condition})"))
            except Left:
                return False

        self._until(holds)

    def size(self, width: int, height: int) -> None:
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def scheme(self, name: str) -> None:
        """Prefer light or dark, as a reader's system does."""
        feature = {"name": "prefers-color-scheme", "value": name}
        self._call("Emulation.setEmulatedMedia", features=[feature])

    def paper(self) -> None:
        """Show the page as print does."""
        self._call("Emulation.setEmulatedMedia", media="print")

    def screen(self) -> None:
        self._call("Emulation.setEmulatedMedia", media="", features=[])

    def press(self, key: str, shift: bool = False) -> None:
        """Press a key and let it go, as a reader without a mouse does."""
        code, text = _KEYS[key] if key in _KEYS else (ord(key.upper()), key)
        pressed = {"key": key, "windowsVirtualKeyCode": code, "modifiers": 8 * shift}
        down = "keyDown" if text else "rawKeyDown"
        self._call("Input.dispatchKeyEvent", type=down, text=text, **pressed)
        with contextlib.suppress(Left):  # the key may have opened another page
            self._call("Input.dispatchKeyEvent", type="keyUp", **pressed)

    def _call(self, method: str, **parameters: Any) -> Any:
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._socket.send(json.dumps(message))
        while True:
            answer = json.loads(self._socket.recv())
            if answer.get("id") == self._count:
                if "navigated" in answer.get("error", {}).get("message", ""):
                    raise Left(method)
                assert "error" not in answer, answer
                return answer["result"]
            self._note(answer)

    def _note(self, event: Any) -> None:
        kind = event.get("method")
        if kind == "Network.requestWillBeSent":
            self.asked.append(event["params"]["request"]["url"])
        elif kind in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
            self.complaints.append(event["params"])

    def _until(self, condition: Any, seconds: float = 60.0) -> Any:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if answer := condition():
                return answer
            time.sleep(0.05)
        raise TimeoutError(f"not within {seconds:.0f} s")

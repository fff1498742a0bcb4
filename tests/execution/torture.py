"""A notebook that does everything that a notebook should not have to."""

from __future__ import annotations

from typing import Any

import nbformat

CELLS = {
    "interleaved": """
import sys
print("out 1"); print("err 1", file=sys.stderr); print("out 2")
sys.stderr.write("err 2\\n"); sys.stdout.flush(); print("汉字 out 3")
""",
    "order with displays": """
from IPython.display import HTML, Markdown, clear_output, display
print("before"); display(Markdown("**甲**")); print("between", file=sys.stderr)
display(HTML("<b>b</b>"), metadata={"isolated": True}); print("after")
""",
    "updates": """
handle = display("first", display_id="one")
display("beside")
handle.update("second")
""",
    "an update from a later cell": """
handle.update(Markdown("third"))
other = display("new", display_id=True)
other.update("newer")
""",
    "clear": """
print("gone"); clear_output(); print("kept")
display("also gone"); clear_output(wait=True); print("last")
""",
    "rich": """
import base64
png = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
display({"text/plain": "x", "application/json": {"a": [1, 2.5, None, "é"]}, "image/png": png,
         "application/vnd.test+json": {"汉": float("nan")}}, raw=True, metadata={"image/png": {"width": 3}})
""",
    "result": """
class Both:
    def _repr_html_(self): return "<i>both</i>"
    def __repr__(self): return "both"
Both()
""",
    "quiet result": "Both();",
    "nothing": "None",
    "comment": "# nothing at all",
    "count": "_, len(Out), In[1][:6]",
    "magics": """
%%time
x = sum(range(10))
""",
    "line magics": """
%matplotlib --list
%env O2O_TORTURE=1
import os
os.environ["O2O_TORTURE"]
""",
    "capture": """
%%capture caught
print("inside"); display(1)
""",
    "captured": "caught.stdout, len(caught.outputs)",
    "bang": """
!echo from a shell; echo to stderr >&2
lines = !printf 'a\\nb\\n'
lines
""",
    "raw file descriptors": """
import os, time
os.write(1, b"raw out\\n"); time.sleep(.4); os.write(2, b"raw err\\n"); time.sleep(.4)
os.system("echo system"); time.sleep(.4)
import subprocess
subprocess.run("echo subprocess", shell=True); time.sleep(.4)
""",
    "await": """
import asyncio
await asyncio.sleep(0.01)
async def later(): await asyncio.sleep(0); return "awaited"
task = asyncio.ensure_future(later())
await task
""",
    "task begun": """
async def slowly():
    await asyncio.sleep(0.01); return "in the background"
background = asyncio.ensure_future(slowly())
""",
    "task ended": "await background",
    "thread": """
import threading
def work():
    print("in a thread"); display("shown in a thread")
worker = threading.Thread(target=work); worker.start(); worker.join()
print("joined")
""",
    "warning": """
import warnings
warnings.warn("careful")
warnings.warn("old", DeprecationWarning)
""",
    "logging": """
import logging
logging.warning("logged")
""",
    "large": "print('x' * 300_000)",
    "many lines": "for n in range(3000): print(n)",
    "huge bundle": "display({'text/plain': 'y' * 2_000_000}, raw=True)",
    "allowed error": "1 / 0",
    "allowed input": "input('name? ')",
    "allowed password": "import getpass; getpass.getpass()",
    "allowed syntax error": "def broken(:",
    "allowed exit": "sys.exit(3)",
    "nested error": """
def outer():
    try: inner()
    except KeyError as error: raise ValueError("outer 错误") from error
def inner(): {}["missing"]
outer()
""",
    "broken repr": """
class Broken:
    def __repr__(self): raise RuntimeError("no repr")
Broken()
""",
    "frame": """
import pandas as pd
pd.DataFrame({"城市": ["上海", "北京"], "v": [1.5, float("nan")]})
""",
    "chart": """
import altair as alt
alt.Chart(pd.DataFrame({"x": [1, 2], "y": [3, 4]})).mark_line().encode(x="x", y="y")
""",
    "multiprocessing": """
import multiprocessing, os
pid = os.fork()
if pid == 0:
    os._exit(0)
os.waitpid(pid, 0)[1]
""",
    "where": "sys.argv[1:2], sys.path.index('') > 0, __name__, os.getcwd() == os.path.abspath('.')",
    "environment": "[os.environ[k] for k in ('TERM', 'CLICOLOR', 'PAGER', 'GIT_PAGER', 'MPLBACKEND')]",
    "help": "len?",
    "display of several": "display(1, 'two', [3])",
    "pretty": "list(range(1200))[:3], {'a': 1}, print",
    "fails": "print('last words'); raise KeyError('stop here')",
    "never": "print('never')",
}
# A failure here does not stop the notebook.
MAY_FAIL = ("allowed", "nested", "broken")


def notebook(cells: dict[str, str] | None = None) -> Any:
    made = []
    for name, source in (CELLS if cells is None else cells).items():
        tags = ["raises-exception"] if name.startswith(MAY_FAIL) else []
        identity = name.replace(" ", "-")
        made.append(nbformat.v4.new_code_cell(source.strip(), id=identity, metadata={"tags": tags}))
        if name == "updates":
            made.append(nbformat.v4.new_markdown_cell("文字", id="text"))
            made.append(nbformat.v4.new_code_cell("   ", id="blank"))
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(cells=made, metadata={"kernelspec": kernel})

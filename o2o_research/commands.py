"""Commands over many runs: ``o2o sweep``, ``o2o verify``, ``o2o diff``."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from o2o_research import cases
from o2o_research.errors import CaseError, RunError

out = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
Tolerance = Annotated[
    float, typer.Option("--tolerance", help="Relative difference that is none, 0 by default.")
]


def sweep(
    name: Annotated[
        str, typer.Argument(metavar="PLAN", help="A plan in params/sweeps, or a .yaml file.")
    ],
    workers: Annotated[
        int | None, typer.Option("--workers", help="Runs at once; the number of cores by default.")
    ] = None,
    cluster: Annotated[
        str | None, typer.Option("--cluster", help="A Dask scheduler: tcp://host:port.")
    ] = None,
    folder: Annotated[
        str | None,
        typer.Option("--out", help="Folder or fsspec URL; reports/sweeps/PLAN by default."),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Make every run again.")] = False,
) -> None:
    """Make every run of a plan that is not made yet; stop it and start it again as you like."""
    from o2o_research.execution import batch, plans

    if workers is not None and cluster is not None:
        raise CaseError("--workers and --cluster: one of them, not both")
    if workers is not None and workers < 1:
        raise CaseError(f"--workers {workers}: at least 1 is wanted")
    plan = plans.read(name)
    place = folder or str(cases.home() / "reports" / "sweeps" / plan.name)
    # A batch in the background may ignore Ctrl-C, but not being ended.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    good = failures = 0
    with Progress(
        TextColumn(plan.name),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[failed]}"),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
    ) as bar:
        shown = bar.add_task(plan.name, total=None, failed="")

        def begins(waiting: int, known: int) -> None:
            nonlocal good
            good = known
            # The runs that are known take no time: they would spoil the time left.
            bar.update(shown, total=waiting)

        def told(run: str, said: Mapping[str, Any]) -> None:
            nonlocal good, failures
            good, failures = good + (said["state"] == "ok"), failures + (said["state"] != "ok")
            bar.update(shown, advance=1, failed=f"{failures} failed" if failures else "")

        try:
            done = batch.sweep(
                plan,
                place,
                workers=workers,
                cluster=cluster,
                fresh=fresh,
                begins=begins,
                told=told,
            )
        except KeyboardInterrupt:
            out.print(
                f"[bold]{plan.name}[/]: stopped, {good} of {len(plan.runs)} runs are done; "
                "the same command goes on from there"
            )
            raise
    good = len(done.states) - len(done.failed)
    out.print(f"[bold]{plan.name}[/]: {good} runs ok, {done.taken} of them known before")
    out.print(f"  {done.address}/runs.parquet", soft_wrap=True)
    if done.failed:
        for run in done.failed[:20]:
            why = done.reasons.get(run, "").split("\n")[0]
            out.print(f"  [red]{done.states[run]}[/] {run}: {escape(why)}", soft_wrap=True)
        raise RunError(
            f"{len(done.failed)} of {len(done.states)} runs did not end well; "
            f"to run just those again: o2o sweep {name}" + (f" --out {folder}" if folder else "")
        )


def verify(
    folder: Annotated[
        Path, typer.Argument(metavar="REPORT", help="The folder of a run, or of the site.")
    ],
    tolerance: Tolerance = 0.0,
) -> None:
    """Execute a run, or every case of the site, again; compare every finding, and every file."""
    from o2o_research.execution import comparing

    found = comparing.verify(folder, tolerance)
    for change in found:
        out.print(escape(str(change)), soft_wrap=True)
    if found:
        raise RunError(f"{folder}: {len(found)} entries are not what they were")
    out.print(f"{folder}: every finding holds", soft_wrap=True)


def diff(
    before: Annotated[Path, typer.Argument(metavar="A", help="A run's folder or findings.json.")],
    after: Annotated[Path, typer.Argument(metavar="B", help="Another.")],
    tolerance: Tolerance = 0.0,
    html: Annotated[Path | None, typer.Option("--html", help="Write a page, too.")] = None,
) -> None:
    """List the numbers that moved between two runs, and the parameters that differ."""
    from o2o_research.execution import comparing

    found = comparing.changes(comparing.record(before), comparing.record(after), tolerance)
    for change in found:
        out.print(escape(str(change)), soft_wrap=True)
    if not found:
        out.print("no differences")
    if html is not None:
        try:
            html.write_text(comparing.page(before, after, found), encoding="utf-8")
        except OSError as error:
            raise CaseError(f"cannot write {html}: {error.strerror}") from error

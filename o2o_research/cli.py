"""``o2o``: the command line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from o2o_research import __version__, cases, cli_data, commands
from o2o_research.cli_data import data_parameters
from o2o_research.errors import CaseError, O2OError, PublishError, RunError
from o2o_research.terms import LANGUAGES, Language, term
from o2o_research.texts import printable

FORMATS = ("html", "pdf")

app = typer.Typer(
    help="O2O research: cases, their parameters, and the reports made from them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(cli_data.app, name="data")
# Into a file or a pipe a table is not cut to a window that is not there.
out = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
err = Console(stderr=True, highlight=False)

Fresh = Annotated[
    bool, typer.Option("--fresh", help="Execute again even if nothing changed since the last run.")
]
Engine = Annotated[
    str, typer.Option("--engine", help="o2o forks a warm process, papermill starts a kernel a run.")
]
CaseName = Annotated[str, typer.Argument(metavar="CASE", help="A case, as `o2o list` names it.")]
Languages = Annotated[
    str, typer.Option("--lang", help="Languages of the report, comma-separated: zh, en.")
]
Formats = Annotated[
    str, typer.Option("--format", help="Formats of the report, comma-separated: html, pdf.")
]


def main() -> None:
    """Run the command line; a user's error is one message and exit status 2."""
    try:
        app(args=_paired(sys.argv[1:]), standalone_mode=True)
    except KeyboardInterrupt:
        err.print("o2o: interrupted")
        sys.exit(130)
    except O2OError as error:
        err.print(f"[bold red]o2o:[/] {escape(printable(str(error)))}", soft_wrap=True)
        sys.exit(1 if isinstance(error, RunError | PublishError) else 2)


# Typer takes no option of two values that may be repeated, so a pair travels as one text.
_PAIR = "\x1f"


def _paired(arguments: list[str]) -> list[str]:
    """The arguments with every ``-p NAME VALUE`` made ``-p NAME<separator>VALUE``."""
    paired, rest = [], iter(arguments)
    for argument in rest:
        paired.append(argument)
        if argument in ("-p", "--parameter"):
            pair = [next(rest, None), next(rest, None)]
            if None in pair:
                raise CaseError(f"{argument} wants a name and a value: {argument} NAME VALUE")
            paired.append(_PAIR.join(str(part) for part in pair))
    return paired


@app.command("list")
def list_cases() -> None:
    """List the cases: their article, claims, parameters, and whether a report is built."""
    table = Table("case", "article", "date", "claims", "parameters", "report", box=None)
    for name in cases.case_names():
        case = cases.case(name)
        article, built = case.evidence.article, cases.home() / "reports" / name
        table.add_row(
            name,
            f"{article.zh}\n[dim]{article.en}[/]",
            str(article.date),
            str(len(case.evidence.claims)),
            str(len(case.defaults)),
            str(built) if any(built.glob("*.html")) else "[dim]not built[/]",
        )
    out.print(table)


@app.command()
def params(
    name: CaseName,
    lang: Annotated[str, typer.Option("--lang", help="zh or en.")] = "en",
) -> None:
    """Show a case's parameters: value, what is allowed, plausible range, and where it comes from."""
    language = _languages(lang)[0]
    case = cases.case(name)
    table = Table("parameter", "value", "allowed", "plausible", "origin", "meaning", box=None)
    for key, value in case.defaults.items():
        about, origin = term(key), case.evidence.origins[key]
        plausible = (
            ""
            if origin.low is None or origin.high is None
            else about.interval(origin.low, origin.high, language)
        )
        table.add_row(
            key,
            "" if value == "" else json.dumps(value, ensure_ascii=False, default=str),
            escape(str(about.domain or " | ".join(about.options) or "")),
            plausible,
            origin.kind,
            about.label(language),
        )
    out.print(table)


@app.command()
def run(
    name: CaseName,
    file: Annotated[
        Path | None, typer.Option("-f", "--file", help="YAML file of parameters.")
    ] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            "-p", "--parameter", metavar="NAME VALUE", help="Set one parameter; may be repeated."
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            help="Your own tables: a file, a pattern, a folder, a database URL, or a mapping (YAML).",
        ),
    ] = None,
    lenient: Annotated[
        bool, typer.Option("--lenient", help="Leave bad rows of the data out, and report them.")
    ] = False,
    lang: Languages = "zh,en",
    formats: Formats = "html,pdf",
    folder: Annotated[
        Path | None, typer.Option("--out", help="Folder of the run; reports/CASE by default.")
    ] = None,
    fresh: Fresh = False,
    engine: Engine = "o2o",
) -> None:
    """Run a case with its defaults, a file's values and single ones, and publish it."""
    languages, wanted = _languages(lang), _formats(formats)
    given = [cast(tuple[str, str], tuple(pair.split(_PAIR, 1))) for pair in parameter or ()]
    if data is not None:
        given += data_parameters(name, data, lenient)
    elif lenient:
        raise CaseError("--lenient is for --data, and there is none")
    values = cases.parameters(name, file, given)
    _run(name, values, folder, languages, wanted, fresh, engine)


@app.command()
def report(
    lang: Languages = "zh,en",
    formats: Formats = "html,pdf",
    fresh: Fresh = False,
    engine: Engine = "o2o",
) -> None:
    """Build the reports of every case with its default parameters, and the site of them all."""
    from o2o_research.execution import build

    languages, wanted = _languages(lang), _formats(formats)
    values = {name: cases.parameters(name) for name in cases.case_names()}
    failed = []
    for name, done in build(values, languages, wanted, fresh, _engine(engine)):
        if isinstance(done, Exception):
            failed.append(name)
            err.print(f"[bold red]o2o:[/] {escape(printable(str(done)))}", soft_wrap=True)
        else:
            _say_run(name, done)
    if failed:
        again = "; ".join(f"o2o run {name}" for name in failed)
        raise RunError(f"{len(failed)} of {len(values)} reports failed; to run just those: {again}")
    if set(languages) == set(LANGUAGES) and "html" in wanted:
        from o2o_research.publishing.site import build as build_site

        out.print(f"[bold]site[/]\n  {build_site()}", soft_wrap=True)


@app.command()
def lineage(name: CaseName) -> None:
    """Find where each number of a case comes from, by running it once for each parameter."""
    from o2o_research.execution import lineage as find

    made = find.make(name)
    out.print(
        f"[bold]{name}[/]: {len(made['findings'])} findings, {len(made['tried'])} parameters moved\n"
        f"  {find.path(name)}",
        soft_wrap=True,
    )


@app.command()
def explain(
    name: CaseName,
    finding: Annotated[str, typer.Argument(metavar="FINDING", help="A result of the case.")],
    lang: Annotated[str, typer.Option("--lang", help="zh or en.")] = "en",
) -> None:
    """Say where a number comes from: its cell, its method, the parameters that move it."""
    from o2o_research.execution import explain as tell

    for line in tell(name, finding, _languages(lang)[0]):
        out.print(escape(line), soft_wrap=True)


app.command()(commands.sweep)
app.command()(commands.verify)
app.command()(commands.diff)


@app.command()
def schema(name: CaseName) -> None:
    """Print a JSON Schema of a case's parameters, for editors."""
    typer.echo(json.dumps(cases.schema(name), ensure_ascii=False, indent=2))


@app.command()
def doctor() -> None:
    """Check what a report needs: packages, kernel, fonts, pandoc, Typst, a writable folder."""
    table = Table("check", "found", box=None)
    broken = 0
    for what, look in _checks().items():
        try:
            table.add_row(what, f"[green]ok[/]  {escape(look())}")
        except Exception as error:
            broken += 1
            table.add_row(what, f"[red]missing[/]  {escape(printable(str(error)))}")
    out.print(table)
    if broken:
        raise RunError(f"{broken} of {len(_checks())} checks failed")


def _run(
    name: str,
    values: cases.Parameters,
    folder: Path | None,
    languages: tuple[Language, ...],
    formats: tuple[str, ...],
    fresh: bool,
    engine: str,
) -> None:
    from o2o_research.execution import run as execute

    done = execute(
        name,
        values,
        folder,
        languages=languages,
        formats=formats,
        progress=sys.stderr.isatty(),
        fresh=fresh,
        engine=_engine(engine),
    )
    _say_run(name, done)


def _say_run(name: str, done: Any) -> None:
    out.print(
        f"[bold]{name}[/]: {len(done.record.findings)} findings, {len(done.record.verdicts)} verdicts, "
        f"{done.seconds:.1f} s"
    )
    for path in done.reports:
        out.print(f"  {path}", soft_wrap=True)


def _engine(text: str) -> Any:
    from o2o_research.execution.runs import ENGINES

    if text not in ENGINES:
        raise CaseError(f"--engine {text!r}: one of {', '.join(ENGINES)} is wanted")
    return text


def _languages(text: str) -> tuple[Language, ...]:
    return cast(tuple[Language, ...], _chosen(text, LANGUAGES, "--lang"))


def _formats(text: str) -> tuple[str, ...]:
    return _chosen(text, FORMATS, "--format")


def _chosen(text: str, known: tuple[str, ...], option: str) -> tuple[str, ...]:
    chosen = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    for part in chosen:
        if part not in known:
            raise CaseError(
                f"{option} {part!r}: one or more of {', '.join(known)} is wanted, comma-separated"
            )
    return chosen


def _checks() -> dict[str, Callable[[], str]]:
    def packages() -> str:
        from o2o_research.execution.runs import LIBRARIES

        missing = []
        for library in LIBRARIES:
            try:
                version(library)
            except PackageNotFoundError:
                missing.append(library)
        if missing:
            raise RuntimeError(f"not installed: {', '.join(missing)}; run 'make'")
        return f"{len(LIBRARIES)} packages"

    def kernel() -> str:
        from jupyter_client.kernelspec import KernelSpecManager

        return str(KernelSpecManager().get_kernel_spec("python3").argv[0])

    def fonts() -> str:
        from o2o_research.publishing import fonts as shipped

        return ", ".join(path.name for path in shipped.files())

    def pandoc() -> str:
        import pypandoc

        return str(pypandoc.get_pandoc_version())

    def typst() -> str:
        import typst

        typst.compile(b"= ok", ignore_system_fonts=True)
        return version("typst")

    def folder() -> str:
        reports = cases.home() / "reports"
        reports.mkdir(exist_ok=True)
        probe = reports / ".doctor"
        probe.touch()
        probe.unlink()
        return str(reports)

    def every_case() -> str:
        names = cases.case_names()
        for name in names:
            cases.parameters(name)
        return ", ".join(names)

    return {
        "o2o_research": lambda: f"{__version__} on Python {sys.version.split()[0]}",
        "packages": packages,
        "Jupyter kernel": kernel,
        "fonts": fonts,
        "pandoc": pandoc,
        "Typst": typst,
        "reports folder": folder,
        "cases": every_case,
    }


def _version(value: bool) -> None:
    if value:
        typer.echo(f"o2o {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    show: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Show the version and leave."
        ),
    ] = False,
) -> Any:
    pass


if __name__ == "__main__":
    main()

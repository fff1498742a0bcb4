"""Every case built: what is unchanged is left as it is, the rest is made by two processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor

from o2o_research import cases
from o2o_research.errors import CaseError, O2OError, PublishError, RunError
from o2o_research.execution import lineage, runs
from o2o_research.execution.orphans import die_with_parent
from o2o_research.terms import Language

WORKERS = 2


def build(
    values: Mapping[str, cases.Parameters],
    languages: Sequence[Language],
    formats: Sequence[str],
    fresh: bool = False,
    engine: runs.EngineName = "o2o",
) -> Iterator[tuple[str, runs.Run | O2OError]]:
    """Run and publish cases with these parameters; (case, its run or what went wrong) as they end.

    A case whose lineage does not fit its notebook, models and parameters gets a new one first.
    Cases that read others' findings come after them.
    """
    for last in (False, True):
        names = [name for name in values if bool(cases.case(name).evidence.reads) == last]
        waiting = []
        for name in names:
            done = None if fresh else _kept(name, values[name], languages, formats)
            if done is None:
                waiting.append(name)
            else:
                yield name, done
        if len(waiting) < 2:
            answers = (
                _made(name, values[name], languages, formats, fresh, engine) for name in waiting
            )
            yield from zip(waiting, answers, strict=True)
            continue
        spawn = multiprocessing.get_context("spawn")
        size = min(WORKERS, len(waiting))
        with ProcessPoolExecutor(size, mp_context=spawn, initializer=die_with_parent) as pool:
            jobs = {
                name: pool.submit(_made, name, values[name], languages, formats, fresh, engine)
                for name in waiting
            }
            for name, job in jobs.items():
                yield name, job.result()


def _kept(
    name: str, values: cases.Parameters, languages: Sequence[Language], formats: Sequence[str]
) -> runs.Run | None:
    """The case's run, if it is whole, traced and nothing has changed since."""
    try:
        origin = lineage.read(name)
    except CaseError:  # a case that it reads has no findings: making it will say so
        return None
    if origin is None:
        return None
    return runs.unchanged(runs.place(name), name, values, languages, formats, origin)


def _made(
    name: str,
    values: cases.Parameters,
    languages: Sequence[Language],
    formats: Sequence[str],
    fresh: bool,
    engine: runs.EngineName,
) -> runs.Run | O2OError:
    """The case traced, run and published; an error is an answer, so that others go on."""
    try:
        if lineage.read(name) is None:
            lineage.make(name)
        return runs.run(
            name, values, languages=languages, formats=formats, fresh=fresh, engine=engine
        )
    except (RunError, PublishError) as error:
        return error
    except CaseError as error:
        if not cases.case(name).evidence.reads:
            raise
        return error  # a case that it reads failed before

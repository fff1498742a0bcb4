"""Runs: a case executed with a set of parameters, in a directory of its own."""

from o2o_research.execution.runs import Run, run

__all__ = ["Run", "run"]

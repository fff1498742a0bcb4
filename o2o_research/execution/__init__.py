"""Runs: a case executed with a set of parameters, in a directory of its own."""

from o2o_research.execution.building import build
from o2o_research.execution.lineage import explain
from o2o_research.execution.runs import Run, run

__all__ = ["Run", "build", "explain", "run"]

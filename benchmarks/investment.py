"""Seconds for least-squares Monte Carlo, a million paths and fifty dates, against plain numpy.

    python benchmarks/investment.py --paths 1000000 --rounds 3

The put of Longstaff & Schwartz's Table 1 (4.478 at its own fifty dates). Both are handed the same
paths and run in turn, so that a busy machine slows both; the peer is the textbook loop with
``numpy.linalg.lstsq``. The first fit here, which compiles, is left out. Peak memory is that of
the whole process, and the run fails where it passes 4 GiB.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

from o2o_research.models.investment.exercise import fit_policy, lognormal_paths

DATES, DISCOUNT, DEGREE = 50, float(np.exp(-0.06 / 50)), 4


def put(price: Any) -> Any:
    return np.maximum(40.0 - price, 0.0)


def textbook(paths: Any) -> float:
    """The same regressions by the book: a design matrix a date, least squares by decomposition."""
    receipts = put(paths[-1])
    for date in range(DATES - 2, -1, -1):
        receipts = DISCOUNT * receipts
        paid = put(paths[date])
        inside = paid > 0
        design = np.vander(paths[date][inside] / 40.0, DEGREE + 1)
        weights = np.linalg.lstsq(design, receipts[inside], rcond=None)[0]
        stop = paid[inside] >= design @ weights
        receipts[np.flatnonzero(inside)[stop]] = paid[inside][stop]
    return float(DISCOUNT * receipts.mean())


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    answer = work()
    return time.perf_counter() - start, answer


def memory() -> float:
    """Most that the process ever held, GiB."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / 2**30 if sys.platform == "darwin" else used / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--paths", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()

    rng, times = np.random.default_rng(2001), np.arange(1, DATES + 1) / DATES
    fit_policy(lognormal_paths(36.0, 0.06, 0.2, times, 1000, rng), put, DISCOUNT, degree=DEGREE)
    making, paths = seconds(lambda: lognormal_paths(36.0, 0.06, 0.2, times, options.paths, rng))
    own, peer = [], []
    for _ in range(options.rounds):
        taken, policy = seconds(lambda: fit_policy(paths, put, DISCOUNT, degree=DEGREE))
        own.append(taken)
    held = memory()
    for _ in range(options.rounds):
        taken, price = seconds(lambda: textbook(paths))
        peer.append(taken)
        taken, policy = seconds(lambda: fit_policy(paths, put, DISCOUNT, degree=DEGREE))
        own.append(taken)
    paths = None  # make room
    other = lognormal_paths(36.0, 0.06, 0.2, times, options.paths, rng)
    valuing, found = seconds(lambda: policy.value(other))

    print(f"least-squares Monte Carlo, {options.paths:,} paths x {DATES} dates")
    print(f"  paths {making:.2f} s, fit {median(own):.2f} s, value on other paths {valuing:.2f} s")
    print(f"  price {found.value:.4f} +- {found.stderr:.4f} (Table 1: 4.478); textbook {price:.4f}")
    print(f"  textbook numpy {median(peer):.2f} s: {median(peer) / median(own):.1f} times as long")
    print(f"  peak memory {held:.2f} GiB of 4")
    if held >= 4:
        sys.exit("the fit took 4 GiB or more")


if __name__ == "__main__":
    main()

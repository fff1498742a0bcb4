"""Seconds to fit BG/NBD with standard errors, against ``lifetimes``, on the same customers.

    python benchmarks/customers.py --n 1000000 --rounds 3

Both are handed the same arrays and run in turn, so that a busy machine slows both. The first
fit here, which compiles, is left out; so is the peer's first.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

from o2o_research.models.customers import BGNBD, fit_bgnbd


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    answer = work()
    return time.perf_counter() - start, answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=1_000_000, help="customers")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lifetimes import BetaGeoFitter

        truth, rng = BGNBD(r=0.243, alpha=4.414, a=0.793, b=2.426), np.random.default_rng(2005)
        T = rng.integers(27 * 7, 39 * 7, options.n) / 7
        frequency, recency = truth.simulate(T, rng)

        def ours() -> Any:
            return fit_bgnbd(frequency, recency, T)

        def theirs() -> Any:
            fitter = BetaGeoFitter()
            fitter.fit(frequency, recency, T)
            return fitter.summary  # with standard errors

        few = slice(0, 5000)
        fit_bgnbd(frequency[few], recency[few], T[few])
        BetaGeoFitter().fit(frequency[few], recency[few], T[few])
        own, peer = [], []
        for _ in range(options.rounds):
            taken, fit = seconds(ours)
            own.append(taken)
            taken, summary = seconds(theirs)
            peer.append(taken)

    print(f"{options.n:,} customers, {int(frequency.sum()):,} repeat purchases, weeks")
    print(f"{'':10}{'truth':>10}{'here':>12}{'stderr':>10}{'lifetimes':>12}{'stderr':>10}")
    for name, error in fit.stderr.items():
        print(
            f"{name:10}{getattr(truth, name):10.4f}{getattr(fit.model, name):12.6f}{error:10.6f}"
            f"{summary.loc[name, 'coef']:12.6f}{summary.loc[name, 'se(coef)']:10.6f}"
        )
    print(f"median seconds here {median(own):.3f}, lifetimes {median(peer):.3f}")
    print(f"ratio {median(peer) / median(own):.1f}")


if __name__ == "__main__":
    main()

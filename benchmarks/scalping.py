"""Ten million bookings scored: seconds and memory, against the goal of 60 s and 4 GiB."""

from __future__ import annotations

import resource
import time

import numpy as np

from o2o_research.models.scalping import (
    Registrations,
    count_accounts,
    fit_reference,
    score_bookings,
    synthetic_registrations,
)

ROWS = 10_000_000


def main() -> None:
    rng = np.random.default_rng(1)
    honest = count_accounts(synthetic_registrations(20_000, 0.0, rng).log)
    reference = fit_reference(honest.counts[::2], honest.counts[1::2])
    log = synthetic_registrations(4_400_000, 0.01, rng).log
    log = Registrations(**{n: getattr(log, n)[:ROWS] for n in log.__dataclass_fields__})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    start = time.perf_counter()
    history = count_accounts(log)
    counted = time.perf_counter()
    scores = score_bookings(log.account, history, reference)
    done = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"bookings {scores.size:,}, accounts {history.account.size:,}")
    print(f"counts {counted - start:.1f} s, scores {done - counted:.1f} s, goal 60 s")
    print(f"peak memory {peak:.2f} GiB (before scoring, with the generator, {before:.2f}), goal 4")


if __name__ == "__main__":
    main()

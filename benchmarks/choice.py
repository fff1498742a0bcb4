"""Seconds to fit a multinomial logit with robust errors, against ``xlogit`` on the CPU.

    python benchmarks/choice.py --n 300000 --rounds 3

Both are handed the same numbers and run in turn, so that a busy machine slows both. xlogit is
not among the project's requirements: where it is not installed here, name a Python that has it
in PEER_PYTHON (its process stays open between rounds), or its part is skipped.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from o2o_research.models.choice import Choices, fit_logit

PEER = """
import sys, time, warnings
warnings.simplefilter("ignore")
import numpy as np
from xlogit import MultinomialLogit
seen = np.load(sys.argv[1])
x, chosen = seen["x"], seen["chosen"]
n, alternatives, k = x.shape
names = [f"x{i}" for i in range(k)]
given = dict(
    X=x.reshape(-1, k), y=(np.arange(alternatives) == chosen[:, None]).ravel(), varnames=names,
    alts=np.tile(np.arange(alternatives), n), ids=np.repeat(np.arange(n), alternatives),
)
few = dict(given, X=given["X"][:4000], y=given["y"][:4000], alts=given["alts"][:4000], ids=given["ids"][:4000])
MultinomialLogit().fit(**few, verbose=0)
print("ready", flush=True)
for _ in sys.stdin:
    model = MultinomialLogit()
    start = time.perf_counter()
    model.fit(**given, robust=True, verbose=0)
    seconds = time.perf_counter() - start
    print(seconds, model.loglikelihood, *model.coeff_, *model.stderr, flush=True)
"""


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    answer = work()
    return time.perf_counter() - start, answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=300_000, help="situations")
    parser.add_argument("--alternatives", type=int, default=4)
    parser.add_argument("--attributes", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()

    rng = np.random.default_rng(1974)
    truth = np.linspace(-1, 1, options.attributes)
    x = rng.normal(size=(options.n, options.alternatives, options.attributes))
    chosen = (x @ truth + rng.gumbel(size=x.shape[:2])).argmax(axis=1)
    names = tuple(f"x{i}" for i in range(options.attributes))

    def ours() -> Any:
        return fit_logit(Choices(attributes=x, chosen=chosen, names=names))

    ours()  # compiled before, as the peer's libraries are
    own, other = [], []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "choices.npz")
        np.savez(file, x=x, chosen=chosen)
        command = [os.environ.get("PEER_PYTHON", sys.executable), "-c", PEER, str(file)]
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as peer:
            assert peer.stdin
            assert peer.stdout
            assert peer.stderr
            there = peer.stdout.readline().strip() == "ready"
            for _ in range(options.rounds):
                taken, fit = seconds(ours)
                own.append(taken)
                if there:
                    peer.stdin.write("go\n")
                    peer.stdin.flush()
                    answer = [float(word) for word in peer.stdout.readline().split()]
                    other.append(answer[0])
            peer.stdin.close()
            if not there:
                print(
                    "xlogit is not there:", (peer.stderr.read().strip().splitlines() or ["?"])[-1]
                )

    print(f"{options.n:,} situations x {options.alternatives} x {options.attributes}")
    if other:
        k = options.attributes
        print(f"log-likelihood here {fit.log_likelihood:.6f}, xlogit {answer[1]:.6f}")
        print(f"{'':6}{'truth':>9}{'here':>12}{'robust':>10}{'xlogit':>12}{'robust':>10}")
        for i, name in enumerate(names):
            print(
                f"{name:6}{truth[i]:9.4f}{fit.model[name]:12.6f}{fit.stderr[name]:10.6f}"
                f"{answer[2 + i]:12.6f}{answer[2 + k + i]:10.6f}"
            )
        print(f"median seconds here {median(own):.3f}, xlogit {median(other):.3f}")
        print(f"ratio {median(other) / median(own):.1f} (goal 2)")
    else:
        print(f"median seconds here {median(own):.3f}")


if __name__ == "__main__":
    main()

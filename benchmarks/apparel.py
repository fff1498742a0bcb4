"""Causal and inventory speed: the Basque design against pysyncon, placebos, the season simulator.

pysyncon is not among the project's requirements: where it is not installed in the running
environment, name a Python that has it in PEER_PYTHON, or its part is skipped. The Basque and
Prop 99 panels are read from O2O_SHARED_DATA (../shared/data).
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

from o2o_research.models.causal.panel import Panel
from o2o_research.models.causal.synthetic import predictor_control, synthetic_did_effect
from o2o_research.models.inventory import Assortment

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("O2O_SHARED_DATA") or ROOT.parent / "shared" / "data") / "causal_panels"
SCHOOL = ["school.illit", "school.prim", "school.med", "school.high", "school.post.high"]
SECTORS = [
    "sec.agriculture", "sec.energy", "sec.industry", "sec.construction", "sec.services.venta",
    "sec.services.nonventa",
]  # fmt: skip

PEER = """
import sys, time, warnings
import pandas as pd
from pysyncon import Dataprep, Synth
warnings.simplefilter("ignore")
table = pd.read_csv(sys.argv[1])
school, sectors = sys.argv[2].split(), sys.argv[3].split()
design = Dataprep(
    foo=table, predictors=[*school, "invest"], predictors_op="mean", time_predictors_prior=range(1964, 1970),
    special_predictors=[("gdpcap", range(1960, 1970), "mean"), ("popdens", [1969], "mean")]
    + [(s, range(1961, 1970, 2), "mean") for s in sectors],
    dependent="gdpcap", unit_variable="regionno", time_variable="year", treatment_identifier=17,
    controls_identifier=list(range(2, 17)) + [18], time_optimize_ssr=range(1960, 1970),
)
synth = Synth()
start = time.perf_counter()
synth.fit(dataprep=design, optim_method="Nelder-Mead", optim_initial="equal")
seconds = time.perf_counter() - start
paths = table.pivot(index="regionno", columns="year", values="gdpcap")
years = list(range(1960, 1970))
controls = paths.loc[list(range(2, 17)) + [18], years].to_numpy()
print(seconds, ((paths.loc[17, years].to_numpy() - synth.W @ controls) ** 2).mean())
"""


def basque() -> tuple[Panel, np.ndarray]:
    table = pd.read_csv(DATA / "basque.csv")
    table = table[table.regionno != 1]
    paths = table.pivot(index="regionno", columns="year", values="gdpcap")

    def mean(column: str, years: range) -> pd.Series:
        return table[table.year.isin(years)].groupby("regionno")[column].mean()

    predictors = np.column_stack(
        [mean(c, range(1964, 1970)) for c in [*SCHOOL, "invest"]]
        + [mean("gdpcap", range(1960, 1970)), mean("popdens", range(1969, 1970))]
        + [mean(c, range(1961, 1970, 2)) for c in SECTORS]
    )
    start = np.where(paths.index == 17, 15, paths.shape[1])
    return Panel(outcome=paths.to_numpy(), start=start, units=tuple(paths.index)), predictors


def prop99() -> Panel:
    table = pd.read_csv(DATA / "california_prop99.csv", sep=";")
    paths = table.pivot(index="State", columns="Year", values="PacksPerCapita")
    start = np.where(paths.index == "California", 19, paths.shape[1])
    return Panel(outcome=paths.to_numpy(), start=start, units=tuple(paths.index))


def timed(job: object) -> tuple[float, object]:
    start = time.perf_counter()
    found = job()  # type: ignore[operator]
    return time.perf_counter() - start, found


def main() -> None:
    if DATA.is_dir():
        panel, predictors = basque()

        def ours() -> object:
            return predictor_control(
                panel, predictors, np.random.default_rng(0), fitted=slice(5, 15), starts=1
            )

        ours()  # compiled before, as the peer's libraries are
        peer = [os.environ.get("PEER_PYTHON", sys.executable), "-c", PEER]
        arguments = [str(DATA / "basque.csv"), " ".join(SCHOOL), " ".join(SECTORS)]
        for _ in range(2):
            seconds, fit = timed(ours)
            text = subprocess.run(peer + arguments, capture_output=True, text=True)
            line = f"Basque, {predictors.shape[1]} predictors: {seconds:.3f} s, loss {fit.loss:.6f}"  # type: ignore[attr-defined]
            if text.returncode:
                print(
                    line
                    + "; pysyncon is not there: "
                    + (text.stderr.strip().splitlines() or ["?"])[-1]
                )
                break
            other, loss = map(float, text.stdout.split()[-2:])
            print(f"{line}; pysyncon {other:.2f} s, loss {loss:.6f}; ratio {other / seconds:.0f}")

        california, rng = prop99(), np.random.default_rng(1)
        synthetic_did_effect(california, rng, placebos=2)
        seconds, _ = timed(lambda: synthetic_did_effect(california, rng, placebos=500))
        print(f"Prop 99, 500 placebos of synthetic DiD: {seconds:.3f} s (goal 1 s)")
    else:
        print("public panels are not beside the project: Basque and Prop 99 skipped")

    season = Assortment(
        stores=3000, skus=200, days=90, size_shares=(0.08, 0.2, 0.27, 0.24, 0.14, 0.07), daily_demand=0.2,
        supply_ratio=1.1, popularity_spread=0.3, store_spread=0.5, accept_share=0.4,
    )  # fmt: skip
    seconds, found = timed(
        lambda: season.simulate([1, 10, 100, 1000, 3000], np.random.default_rng(2))
    )
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"season of 3000 stores x 200 SKUs x 6 sizes x 90 days, {found.demand:,} requests, five networks: "  # type: ignore[attr-defined]
        f"{seconds:.2f} s (goal 10 s), {memory:.2f} GiB (goal 2)"
    )


if __name__ == "__main__":
    main()

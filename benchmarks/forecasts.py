"""Diffusion forecasts from the first third of real series, scored on the rest, as they are.

Reads the public series laid beside the project (O2O_SHARED_DATA, or ../shared/data) and says
so where they are absent:
    python benchmarks/forecasts.py
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pandas as pd

from o2o_research.models.diffusion.regression import COUNTS, LEAST_SQUARES, PROPORTIONAL
from o2o_research.models.diffusion.scoring import score_forecasts

ROOT = Path(__file__).resolve().parents[1]
LAWS = {"least squares": LEAST_SQUARES, "counts": COUNTS, "proportional": PROPORTIONAL}


def series(folder: Path) -> dict[str, np.ndarray]:
    apple = pd.read_csv(folder / "apple_quarterly_unit_sales_millions.csv")
    found = {name: apple[name].dropna().to_numpy() for name in ("iPhone", "iPad", "iPod", "Mac")}
    mobile = pd.read_csv(folder / "gapminder_cell_phones_total_chn_deu_dnk.csv")
    for place, rows in mobile.groupby("geo"):
        total = rows.sort_values("year").mobile_subscriptions.to_numpy(float)
        net = np.diff(total[total.nonzero()[0][0] :])
        # Falls of the total are not sales.
        found[f"mobile {place}"] = np.maximum(net, 0.0)
    return found


def main() -> None:
    shared = Path(os.environ.get("O2O_SHARED_DATA") or ROOT.parent / "shared" / "data")
    folder = shared / "diffusion"
    if not folder.is_dir():
        print("forecasts: the public diffusion series are not beside the project")
        return
    found = series(folder)
    for law, errors in LAWS.items():
        began = time.perf_counter()
        scores = score_forecasts(found, np.random.default_rng(1), errors=errors)
        table = pd.DataFrame([vars(score) for score in scores])
        print(f"\nerrors: {law} ({time.perf_counter() - began:.1f} s); 90 % intervals")
        print(table.round(2).to_string(index=False))
        print(table.groupby("method")[["error", "covered_share"]].median().round(2).to_string())


if __name__ == "__main__":
    main()

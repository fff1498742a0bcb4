"""A network of stores whose true effect is known: what estimators are tried on before real data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from o2o_research.domain import require
from o2o_research.models.causal.did import two_way_fixed_effects
from o2o_research.models.causal.panel import Array, Panel
from o2o_research.models.causal.synthetic import synthetic_control, synthetic_did


@dataclass(frozen=True, kw_only=True)
class Network:
    """Weekly log sales of a chain, some weak stores of which are converted with much publicity.

    Parameters
    ----------
    stores, converted : stores in all, and converted at once; 1 <= converted < stores
    before, after : weeks, >= 2 and >= 1
    lift : lasting effect of the conversion, a share, > -1
    publicity, publicity_weeks : opening lift, a share, >= 0, and the weeks in which it falls by e, > 0
    season : ratio of the network's sales after to before, > 0
    variation : standard deviation between stores' lasting log levels, >= 0
    noise, autocorrelation : of a store's weekly log sales around its level, >= 0 and in (-1, 1)
    picked_share : share of stores, the weakest in the last 8 weeks before, among which the
        converted ones are drawn, in (0, 1]
    """

    stores: int
    converted: int
    before: int
    after: int
    lift: float
    publicity: float
    publicity_weeks: float
    season: float
    variation: float
    noise: float
    autocorrelation: float
    picked_share: float

    def __post_init__(self) -> None:
        require(
            self, stores="[3, inf)", converted="[1, inf)", before="[2, inf)", after="[1, inf)", lift="(-1, inf)",
            publicity="[0, inf)", publicity_weeks="(0, inf)", season="(0, inf)", variation="[0, inf)",
            noise="[0, inf)", autocorrelation="(-1, 1)", picked_share="(0, 1]",
        )  # fmt: skip
        if self.converted >= self.stores:
            raise ValueError(
                f"Network: converted={self.converted} must be fewer than stores={self.stores}"
            )

    def panel(self, rng: np.random.Generator) -> Panel:
        """One history of the network, in log sales around a mean of 0."""
        weeks = self.before + self.after
        rest = rng.normal(size=(self.stores, weeks))
        keep = self.autocorrelation
        for t in range(1, weeks):
            rest[:, t] = keep * rest[:, t - 1] + np.sqrt(1 - keep * keep) * rest[:, t]
        level = rng.normal(0, self.variation, size=(self.stores, 1))
        # Half of the season has come by the opening, and how strongly a store feels it differs.
        course = np.log(self.season) / (1 + np.exp(-(np.arange(weeks) - self.before) / 2))
        feels = 1 + 0.3 * rng.normal(size=(self.stores, 1))
        paths = level + self.noise * rest + feels * course
        lately = paths[:, max(0, self.before - 8) : self.before].mean(axis=1)
        weak = np.argsort(lately)[: max(self.converted, round(self.picked_share * self.stores))]
        chosen = rng.choice(weak, size=self.converted, replace=False)
        age = np.arange(self.after)
        paths[chosen, self.before :] += np.log1p(self.lift) + np.log1p(
            self.publicity * np.exp(-age / self.publicity_weeks)
        )
        start = np.full(self.stores, weeks)
        start[chosen] = self.before
        return Panel(outcome=paths, start=start)


def before_after(panel: Panel) -> float:
    """Change of the converted units alone, with nothing to compare it with: the naive estimate."""
    path = panel.treated_path
    return float(path[panel.first :].mean() - path[: panel.first].mean())


ESTIMATORS = ("before_after", "did", "synthetic_control", "synthetic_did")


def repeated(
    network: Network, count: int, rng: np.random.Generator, *, skipped: int = 0
) -> dict[str, Array]:
    """What each estimator finds in ``count`` histories of a network, as shares.

    Parameters
    ----------
    skipped : weeks after the opening that are left out of the comparison

    Returns
    -------
    by estimator, ndarray, shape (count + 1,): the mean, then each history's estimate.
    """
    found = np.empty((len(ESTIMATORS), count))
    for history in range(count):
        panel = network.panel(rng).skipping(skipped)
        found[:, history] = (
            before_after(panel),
            two_way_fixed_effects(panel).value,
            synthetic_control(panel).effect,
            synthetic_did(panel).effect,
        )
    shares = np.expm1(found)
    return {name: np.append(row.mean(), row) for name, row in zip(ESTIMATORS, shares, strict=True)}

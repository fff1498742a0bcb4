"""What the apparel notebook asks of models and data together: a chain's logs, or ones of known answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from o2o_research.errors import DataError
from o2o_research.models import inventory
from o2o_research.models.causal.network import Network
from o2o_research.models.causal.panel import Panel, panel_from_rows
from o2o_research.models.funnel import fit_basket, fit_conversion, lmdi, shapley
from o2o_research.models.numerics import Array, NotConverged

FACTORS = ("footfall", "conversion", "basket")
FACTOR_TERMS = {
    "footfall": "footfall_part",
    "conversion": "conversion_part",
    "basket": "basket_part",
}

# Weeks of a store's latest results from which its conversion and basket are judged.
LATEST = 4

# Shares of the lasting lift that a sampled chain's stores owe to each factor.
_LIFT_PARTS = {"footfall": 0.5, "conversion": 0.3, "basket": 0.2}
_MONDAY = pd.Timestamp("2013-09-02")


# Weekly results


def sample_weeks(network: Network, rng: np.random.Generator) -> pd.DataFrame:
    """A table like ``read_store_weeks`` gives, of a chain whose lasting effect is ``network.lift``.

    Half of the lift comes through visitors, three tenths through conversion, a fifth through
    baskets; the opening's rush brings visitors alone. The converted stores open in two waves,
    a month apart.
    """
    plain = replace(network, lift=0.0, publicity=0.0).panel(rng)
    stores, weeks = plain.outcome.shape
    start = np.where(
        plain.treated & (np.cumsum(plain.treated) % 2 == 0), plain.start + 4, plain.start
    )
    age = np.arange(weeks) - start[:, None]
    on = plain.treated[:, None] & (age >= 0)
    rush = np.log1p(network.publicity * np.exp(-np.maximum(age, 0) / network.publicity_weeks))
    lift = {name: on * part * np.log1p(network.lift) for name, part in _LIFT_PARTS.items()}
    conversion = rng.beta(0.16 * 400, 0.84 * 400, size=(stores, 1)) * np.exp(lift["conversion"])
    basket = rng.lognormal(np.log(180), 0.12, size=(stores, 1)) * np.exp(
        lift["basket"] + rng.normal(0, 0.04, size=(stores, weeks))
    )
    footfall = rng.poisson(2000 * np.exp(plain.outcome + lift["footfall"] + on * rush))
    bought = rng.binomial(footfall, np.minimum(conversion, 1))
    row, week = np.indices((stores, weeks))
    monday = _MONDAY + pd.to_timedelta(7 * week.ravel(), unit="D")
    converted = (_MONDAY + pd.to_timedelta(7 * start, unit="D")).where(plain.treated)
    return pd.DataFrame(
        {
            "store": [f"S{i:03d}" for i in row.ravel()],
            "week": monday,
            "footfall": footfall.ravel().astype(float),
            "transactions": bought.ravel().astype(float),
            "sales": (bought * basket).ravel(),
            "units": np.nan,
            "converted_on": np.repeat(converted, weeks),
        }
    )


def weekly_panel(log: pd.DataFrame) -> Panel:
    """Log weekly sales of the stores, and when each was converted.

    Raises
    ------
    DataError
        What ``Panel`` refuses: a week missing or without sales, no store converted, or all.
    """
    try:
        return _panel(log, log.sales.to_numpy(float)).logs()
    except ValueError as error:
        raise DataError(f"store_weeks: {error}") from error


def _panel(log: pd.DataFrame, outcome: Array) -> Panel:
    # Days as text sort as days do, and messages can name them.
    week = log.week.dt.strftime("%Y-%m-%d").to_numpy()
    dates = log.converted_on.dt.strftime("%Y-%m-%d")
    since = np.where(log.converted_on.isna(), None, dates)
    return panel_from_rows(log.store.to_numpy(), week, outcome, since)


def uplift_factors(
    log: pd.DataFrame, rng: np.random.Generator, draws: int = 200
) -> dict[str, Array]:
    """What conversion did to visitors, conversion and basket: after over before, as ratios.

    Each converted store's log change less the mean change of the unconverted over the same
    weeks, averaged over stores; then the same for stores drawn again with replacement.

    Returns
    -------
    by factor, ndarray, shape (draws + 1,); empty where footfall is not counted in all of the
    stores' weeks, or nothing was sold in one of them.
    """
    counted = log[["footfall", "transactions", "sales"]]
    if counted.isna().any().any() or (counted <= 0).any().any():
        return {}
    values = {
        "footfall": log.footfall,
        "conversion": log.transactions / log.footfall,
        "basket": log.sales / log.transactions,
    }
    panels = {name: _panel(log, np.log(value.to_numpy(float))) for name, value in values.items()}
    changes = {}
    for name, panel in panels.items():
        after = np.arange(len(panel.periods)) >= panel.start[:, None]
        own = panel.outcome[panel.treated]
        mark = after[panel.treated].astype(float)
        contrast = mark / mark.sum(1, keepdims=True) - (1 - mark) / (1 - mark).sum(1, keepdims=True)
        changes[name] = (own * contrast).sum(axis=1), contrast @ panel.control_paths.T
    inside, outside = next(iter(changes.values()))[1].shape
    picks = [(np.arange(inside), np.arange(outside))] + [
        (rng.integers(0, inside, inside), rng.integers(0, outside, outside)) for _ in range(draws)
    ]
    return {
        name: np.exp([own[i].mean() - others[np.ix_(i, j)].mean() for i, j in picks])
        for name, (own, others) in changes.items()
    }


def attribution(ratios: dict[str, Array]) -> pd.DataFrame:
    """Each factor's ratio and its part of the growth, by the logarithmic mean and by Shapley."""
    names = list(ratios)
    before = dict.fromkeys(names, 1.0)
    after = {name: float(np.atleast_1d(ratio)[0]) for name, ratio in ratios.items()}
    log_mean, fair = lmdi(before, after), shapley(before, after)
    return pd.DataFrame(
        {
            "funnel_factor": [FACTOR_TERMS.get(name, name) for name in names],
            "factor_growth": [after[name] - 1 for name in names],
            "lmdi_part": [float(log_mean[name]) for name in names],
            "shapley_part": [float(fair[name]) for name in names],
        }
    )


@dataclass(frozen=True, kw_only=True)
class StoreRates:
    """Conversion and basket of each store over its latest weeks, as seen and as believed.

    Parameters
    ----------
    table : a row a store, weakest believed conversion first
    conversion_kept, basket_kept : mean share of a store's own deviation that is believed
    weak, surely_weak : stores whose conversion as seen lies a tenth or more under the chain's
        mean, and those among them that lie there with at least nine tenths' probability
    """

    table: pd.DataFrame
    conversion_kept: float
    basket_kept: float
    weak: int
    surely_weak: int


def store_rates(log: pd.DataFrame) -> StoreRates | None:
    """Stores' conversion and basket with shrinkage; None where fewer than four count footfall.

    Where stores differ no more than chance makes them, each is believed to be the mean.
    """
    weeks = np.sort(log.week.unique())[-LATEST:]
    late = log[log.week.isin(weeks) & (log.footfall > 0) & (log.transactions > 0) & (log.sales > 0)]
    whole = late.groupby("store").filter(lambda rows: len(rows) == len(weeks))
    if whole.store.nunique() < 4 or len(weeks) < 2:
        return None
    sums = whole.groupby("store")[["footfall", "transactions"]].sum()
    visits, bought = sums.footfall.to_numpy(), sums.transactions.to_numpy()
    bought = np.minimum(bought, visits)
    seen = bought / visits
    try:
        model = fit_conversion(visits, bought).model
        believed, (low, high) = model.shrunk(visits, bought), model.interval(visits, bought)
        kept = float(np.mean(visits / (visits + model.concentration)))
        below = 1 - model.chance_above(0.9 * model.mean, visits, bought)
        mean = model.mean
    except NotConverged:
        mean = float(bought.sum() / visits.sum())
        believed = low = high = np.full(seen.size, mean)
        kept, below = 0.0, np.zeros(seen.size)
    logs = (whole.sales / whole.transactions).map(np.log).groupby(whole.store)
    log_means, count = logs.mean().to_numpy(), np.full(seen.size, float(len(weeks)))
    try:
        basket = fit_basket(log_means, logs.var(ddof=1).to_numpy(), count).model
        basket_believed, basket_kept = basket.shrunk(log_means, count), basket.kept(count).mean()
    except NotConverged:
        basket_believed, basket_kept = np.exp(log_means), 1.0
    weak = seen < 0.9 * mean
    table = pd.DataFrame(
        {
            "store_label": [f"own:{name}" for name in sums.index],
            "conversion_seen": seen,
            "conversion_believed": believed,
            "conversion_low": low,
            "conversion_high": high,
            "weak_chance": below,
            "basket_seen": np.exp(log_means),
            "basket_believed": basket_believed,
        }
    )
    return StoreRates(
        table=table.sort_values("conversion_believed", ignore_index=True),
        conversion_kept=kept,
        basket_kept=float(basket_kept),
        weak=int(weak.sum()),
        surely_weak=int((weak & (below >= 0.9)).sum()),
    )


# Sales by size


def sample_sizes(
    rng: np.random.Generator,
    *,
    season_demand: float,
    supply_ratio: float,
    popularity_spread: float,
    taste_spread: float,
    stores: int = 24,
    skus: int = 8,
    days: int = 60,
) -> pd.DataFrame:
    """A table like ``read_sku_sales`` gives, of a season's first days after one delivery.

    Parameters
    ----------
    season_demand : mean pieces of one size of one SKU in one store over 90 days
    supply_ratio, popularity_spread, taste_spread : as in ``SizePool``
    """
    shares = np.array([0.1, 0.25, 0.3, 0.22, 0.13])
    sizes = ("S", "M", "L", "XL", "XXL")
    level = rng.gamma(6, 1 / 6, stores)
    level /= level.mean()
    liked = rng.gamma(1 / popularity_spread**2, popularity_spread**2, skus)
    taste = rng.gamma(1 / taste_spread**2, taste_spread**2, (stores, skus))
    base = season_demand * shares * len(shares) / 90
    rates = (level[:, None] * liked * taste)[..., None] * base
    wanted = supply_ratio * level[:, None, None] * base * 90
    stock = (wanted + rng.random((stores, skus, len(sizes)))).astype(int)
    stock = np.broadcast_to(stock, rates.shape).copy()
    rows = []
    for _ in range(days):
        sold = np.minimum(rng.poisson(rates), stock)
        rows.append((sold, stock.copy()))
        stock = stock - sold
    sold, held = (np.stack(part, axis=-1) for part in zip(*rows, strict=True))
    i, k, z, d = np.indices(sold.shape)
    return pd.DataFrame(
        {
            "store": [f"S{n:03d}" for n in i.ravel()],
            "sku": [f"K{n:02d}" for n in k.ravel()],
            "size": np.array(sizes)[z.ravel()],
            "colour": None,
            "day": pd.Timestamp("2014-03-01") + pd.to_timedelta(d.ravel(), unit="D"),
            "sold": sold.ravel().astype(float),
            "stock": held.ravel().astype(float),
        }
    )


@dataclass(frozen=True, kw_only=True)
class SizeStudy:
    """What a table of sales by size says of demand, of broken sizes and of filling.

    Parameters
    ----------
    stores, items : names; an item is one size of one SKU and colour
    demand : the fitted chain
    level_error : relative standard error of all demand together
    supply : pieces there were, by the last day, shape (stores, items)
    days : watched
    broken_share : share of the days of a store's SKUs on which some but not all sizes were there
    gone_share : share of the days of a store's SKUs on which none was
    sold : pieces, over all
    hidden_share : demand unseen behind stock-outs, over all demand
    """

    stores: tuple[str, ...]
    items: tuple[str, ...]
    demand: inventory.ChainDemand
    level_error: float
    supply: Array
    days: int
    broken_share: float
    gone_share: float
    sold: float
    hidden_share: float

    @property
    def hidden_interval(self) -> tuple[float, float]:
        """Hidden share where all demand lies 1.645 errors lower, and higher."""
        seen = 1 - self.hidden_share
        low, high = (1 - seen / (1 + side * 1.645 * self.level_error) for side in (-1, 1))
        return max(low, 0.0), high

    def filled(
        self, pools: list[int], accept: float, rng: np.random.Generator, draws: int = 40
    ) -> dict[int, Array]:
        """Pieces sold beyond the stores' own when groups of stores fill for one another, over own sales.

        Demand of the watched days is drawn anew from the fit, stores are grouped by lot, and what
        is left at the end fills what was missing for those who would wait: each store's own
        customers come first.

        Returns
        -------
        by size of group, ndarray, shape (draws + 1,): the mean, then each draw
        """
        mean = self.demand.rates * self.days
        found: dict[int, list[float]] = {size: [] for size in pools}
        for _ in range(draws):
            wanted = rng.poisson(mean).astype(float)
            own = np.minimum(wanted, self.supply)
            waiting = rng.binomial((wanted - own).astype(int), accept)
            left = self.supply - own
            order = rng.permutation(len(own))
            for size in pools:
                at = np.arange(0, len(own), size)
                met = np.minimum(
                    np.add.reduceat(waiting[order], at), np.add.reduceat(left[order], at)
                )
                found[size].append(float(met.sum() / own.sum()))
        return {size: np.append(np.mean(row), row) for size, row in found.items()}


def study_sizes(log: pd.DataFrame) -> SizeStudy:
    """Demand behind stock-outs and the state of sizes, from a table like ``read_sku_sales`` gives.

    Stores and items that never sold, or never had stock, tell nothing of their demand and are
    left out.

    Raises
    ------
    DataError
        Nothing was sold, pieces are not whole, or every day sold out.
    """
    table = log.assign(
        item=log.sku + " " + log.colour.fillna("").astype(str) + " " + log["size"],
        style=log.sku + " " + log.colour.fillna("").astype(str),
    )
    there = (table.stock > 0).groupby([table.store, table["style"], table.day]).mean()
    for _ in range(20):
        known = table.groupby("item").sold.transform("sum") > 0
        known &= table.groupby("store").sold.transform("sum") > 0
        if known.all():
            break
        table = table[known]
    if table.empty:
        raise DataError("sku_sales: nothing was sold: take a longer time, or more stores")
    store, stores = pd.factorize(table.store, sort=True)
    item, items = pd.factorize(table.item, sort=True)
    sold, stock = table.sold.to_numpy(float), table.stock.to_numpy(float)
    try:
        fit = inventory.fit_chain_demand(store, item, sold, sold >= stock)
    except ValueError as error:
        raise DataError(f"sku_sales: {error}") from error
    days = int(table.day.nunique())
    supply = np.zeros((len(stores), len(items)))
    np.add.at(supply, (store, item), sold)
    last = table.sort_values("day").groupby(["store", "item"]).tail(1)
    left = (last.stock - last.sold).to_numpy(float)
    np.add.at(
        supply,
        (stores.get_indexer(pd.Index(last.store)), items.get_indexer(pd.Index(last["item"]))),
        left,
    )
    watched = np.zeros_like(supply)
    np.add.at(watched, (store, item), 1.0)
    wanted = float((fit.model.rates * watched).sum())
    return SizeStudy(
        stores=tuple(stores), items=tuple(items), demand=fit.model,
        level_error=fit.stderr["level"], supply=supply, days=days,
        broken_share=float(((there > 0) & (there < 1)).mean()),
        gone_share=float((there == 0).mean()),
        sold=float(sold.sum()),
        hidden_share=max(1 - float(sold.sum()) / wanted, 0.0),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Stocked:
    """Stock of one item in stores of different sale, each for itself and filling for one another.

    Parameters
    ----------
    table : a row a store: its mean demand and its best stock either way
    gain : profit with filling over without, as a share, on demand not used to choose the stock;
        with its 90 % sampling interval
    """

    table: pd.DataFrame
    gain: tuple[float, float, float]


def stock_together(
    study: SizeStudy,
    rng: np.random.Generator,
    *,
    season_demand: float,
    price: float,
    cost: float,
    salvage: float,
    transfer: float,
    accept: float,
    popularity_spread: float,
    taste_spread: float,
    stores: int = 6,
    scenarios: int = 150,
) -> Stocked:
    """Best stock of a middling item in ``stores`` of the study's stores, by linear program.

    Stores are taken evenly from the smallest to the largest level. Customers who would not wait
    can be served by their own store alone: each store is two nodes of the program, free to pass
    pieces to one another.
    """
    levels = np.sort(study.demand.levels)
    at = np.unique(np.linspace(0, levels.size - 1, stores).round().astype(int))
    mean = levels[at] * season_demand
    n = at.size

    def draw(count: int) -> tuple[Array, Array]:
        liked = rng.gamma(1 / popularity_spread**2, popularity_spread**2, (count, 1))
        taste = rng.gamma(1 / taste_spread**2, taste_spread**2, (count, n))
        demand = rng.poisson(mean * liked * taste)
        return demand.astype(float), rng.binomial(demand, accept).astype(float)

    demand, willing = draw(scenarios)
    nodes = np.hstack([willing, demand - willing])
    here = np.arange(2 * n) % n
    far = here[:, None] != here
    patient = np.arange(2 * n) < n
    fees = {
        "together": np.where(far, np.where(patient, transfer, price), 0.0),
        "alone": np.where(far, price, 0.0),
    }
    terms: dict[str, Any] = {"price": price, "cost": cost, "salvage": salvage}
    stock = {}
    for name, fee in fees.items():
        best, _ = inventory.best_stock(nodes, transfer=fee, **terms)
        stock[name] = best[:n] + best[n:]
    fresh, waiting = draw(20 * scenarios)
    together = inventory.filled_profit(
        stock["together"], fresh, waiting, transfer=transfer, **terms
    )
    alone = inventory.filled_profit(
        stock["alone"], fresh, np.zeros_like(fresh), transfer=transfer, **terms
    )
    gain = float(together.mean() / alone.mean() - 1)
    error = float((together - (1 + gain) * alone).std() / np.sqrt(len(alone)) / alone.mean())
    return Stocked(
        table=pd.DataFrame(
            {
                "store_rank": np.arange(1, n + 1),
                "store_demand": mean,
                "stock_alone": stock["alone"],
                "stock_together": stock["together"],
            }
        ),
        gain=(gain, gain - 1.645 * error, gain + 1.645 * error),
    )

"""From the other tables to the small ones that models fit, worked out where the rows lie.

Store-week panels and funnel counts from ``store_weeks`` and ``sku_sales``, transition counts
from any log of moments, account features from ``registrations``: what comes back is as small as
the question, and the engine that holds the rows does the work.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ibis
import ibis.expr.types as ir
import pandas as pd
from ibis import _

from o2o_research.data import sources
from o2o_research.data.reductions import exact_sum
from o2o_research.errors import DataError


def store_panel(store_weeks: ir.Table, outcome: str = "sales") -> pd.DataFrame:
    """The stores that have every week: a balanced panel, as ``panel_from_rows`` takes it.

    Returns
    -------
    DataFrame, by store and week
        ``store``, ``week``, the ``outcome``, and ``converted_on``: the first week that begins on
        or after the conversion, so that the week of the fitters counts as before; missing where
        the store was never converted or only after the last week. ``attrs["stores_left_out"]``
        counts the stores that lack a week.

    Raises
    ------
    DataError
        If no store has every week, or the outcome is not a number of the table.
    """
    if outcome not in ("sales", "transactions", "units", "footfall"):
        raise DataError(
            f"store_panel: outcome {outcome!r} must be sales, transactions, units or footfall"
        )
    known = store_weeks.filter(store_weeks[outcome].notnull())
    weeks = known.select("week").distinct()
    n = weeks.count().to_pyarrow().as_py()
    whole = known.group_by("store").agg(n=_.count()).filter(_["n"] == n).select("store")
    begins = weeks.select(begins=_["week"])
    converted = (
        known.select("store", "converted_on")
        .distinct()
        .inner_join(begins, [_["converted_on"] <= begins["begins"]])
        .group_by("store")
        .agg(first=_["begins"].min())
    )
    panel = (
        known.semi_join(whole, "store")
        .left_join(converted, "store")
        .select("store", "week", outcome, converted_on=_["first"])
        .order_by("store", "week")
    )
    frame = sources.frame(panel)
    if frame.empty:
        raise DataError(f"store_panel: no store has {outcome} in every one of the {n} weeks")
    stores = known.select("store").distinct().count().to_pyarrow().as_py()
    frame.attrs["stores_left_out"] = stores - frame["store"].nunique()
    return frame


def sku_weeks(sku_sales: ir.Table) -> pd.DataFrame:
    """Sales, opening stock and sold-out days by store, style, size, colour and week (of Monday).

    Returns
    -------
    DataFrame
        ``store``, ``sku``, ``size``, ``colour``, ``week``, ``sold``, ``days`` with a row,
        ``sold_out_days`` on which all that was there was sold, and ``stock`` of the first day.
    """
    weeks = (
        sku_sales.mutate(
            week=_["day"].truncate("W"), out=ibis.ifelse(_["sold"] >= _["stock"], 1, 0)
        )
        .group_by("store", "sku", "size", "colour", "week")
        .agg(
            sold=_["sold"].sum(),
            days=_.count(),
            sold_out_days=_["out"].sum(),
            stock=_["stock"].argmin(_["day"]),
        )
        .order_by("store", "sku", "size", "colour", "week")
    )
    frame = sources.frame(weeks)
    return frame


def funnel_counts(store_weeks: ir.Table) -> pd.DataFrame:
    """Visits, purchases, yuan and units by store, before its conversion and after.

    Only weeks in which the door was counted: a conversion rate of weeks without a count would be
    one of other weeks. The week of the conversion counts as before.

    Returns
    -------
    DataFrame, by store and phase
        ``store``, ``phase`` (``before``, ``after``; ``never`` where the store was not
        converted), ``weeks``, ``footfall``, ``transactions``, ``sales`` (yuan), ``units`` (not a
        number if unknown in a week).
    """
    counted = store_weeks.filter(_["footfall"].notnull())
    phase = ibis.cases(
        (_["converted_on"].isnull(), "never"), (_["week"] < _["converted_on"], "before"),
        else_="after",
    )  # fmt: skip
    counts = (
        counted.mutate(phase=phase, unknown=ibis.ifelse(_["units"].isnull(), 1, 0))
        .group_by("store", "phase")
        .agg(
            weeks=_.count(),
            footfall=_["footfall"].sum(),
            transactions=_["transactions"].sum(),
            sales=exact_sum(_["sales"]).cast("float64"),
            units=ibis.ifelse(_["unknown"].max() > 0, None, _["units"].sum()),
        )
        .order_by("store", "phase")
    )
    frame = sources.frame(counts)
    return frame


def transition_counts(
    log: ir.Table,
    who: str,
    at: str,
    state: str,
    *,
    ends: Sequence[str] = (),
    gone: str = "gone",
    within_days: float | None = None,
) -> pd.DataFrame:
    """How often people go from one state to the next: what ``flows.fit_chain`` takes.

    Parameters
    ----------
    log : a row for every moment: orders by channel, visits by station, events of members
    who, at, state : its columns
    ends : states that close a journey; what follows begins another
    gone : the end of whoever is not seen again
    within_days : a longer silence ends the journey as well

    Returns
    -------
    DataFrame
        Counts, a row for every state that is left, a column for every state and then every end,
        both in alphabetical order, ``gone`` last.

    Raises
    ------
    DataError
        If the log holds no move.
    """
    steps = log.filter(log[state].notnull()).select(who=log[who], at=log[at], state=log[state])
    ahead = ibis.window(group_by="who", order_by=["at", "state"])
    moves = steps.mutate(
        to=steps["state"].lead().over(ahead), then=steps["at"].lead().over(ahead)
    ).filter(_["state"].notin(list(ends)) if ends else ibis.literal(True))
    following = _["to"].fill_null(gone)
    if within_days is not None:
        silence = _["then"].epoch_seconds() - _["at"].epoch_seconds()
        following = ibis.ifelse(silence > within_days * 86_400, gone, following)
    counts = (
        moves.mutate(to=following).group_by("state", "to").agg(n=_.count()).to_pyarrow().to_pylist()
    )
    if not counts:
        raise DataError("transition_counts: the log holds no move")
    seen = {row["state"] for row in counts}
    states = sorted(seen | {row["to"] for row in counts} - {*ends, gone})
    columns = [*states, *sorted(set(ends) & {row["to"] for row in counts}), gone]
    table = pd.DataFrame(0, index=sorted(seen), columns=list(dict.fromkeys(columns)))
    for row in counts:
        table.loc[row["state"], row["to"]] += row["n"]
    return table


def account_features(
    registrations: ir.Table, *, fast_seconds: float = 10.0, pair_seconds: float = 60.0
) -> pd.DataFrame:
    """What each account did, as ``scalping.count_accounts`` counts it, where the log lies.

    All but patients linked through shared devices: those are a question about the whole graph of
    accounts, which ``count_accounts`` answers in memory.

    Returns
    -------
    DataFrame, by account
        ``account``, ``bookings``, ``fast`` (within ``fast_seconds`` of release), ``most_in_day``,
        ``days``, ``patients``, ``doctors``, ``cancelled``, ``rebooked`` (slots given up and
        within ``pair_seconds`` booked for another patient).
    """
    log = registrations.mutate(
        row=ibis.row_number(),
        day=_["booked_at"].date(),
        fast=_seconds(_["booked_at"]) - _seconds(_["released_at"]) <= fast_seconds,
    )
    daily = log.group_by("account", "day").agg(n=_.count())
    days = daily.group_by("account").agg(most_in_day=_["n"].max(), days=_.count())
    plain = log.group_by("account").agg(
        bookings=_.count(),
        fast=ibis.ifelse(_["fast"], 1, 0).sum(),
        patients=_["patient"].nunique(),
        doctors=_["doctor"].nunique(),
        cancelled=_["cancelled_at"].count(),
    )
    freed = log.filter(_["cancelled_at"].notnull()).select(
        "account", "doctor", "visit_at", "cancelled_at", giver=_["row"], given=_["patient"]
    )
    heirs = log.select("doctor", "visit_at", taker=_["patient"], taken_at=_["booked_at"])
    # The first booking of the slot from then on; at one moment, the first by alphabet.
    first = ibis.struct({"at": _["taken_at"], "taker": _["taker"]})
    rebooked = (
        freed.inner_join(heirs, ["doctor", "visit_at"])
        .filter(_["taken_at"] >= _["cancelled_at"])
        .filter(_seconds(_["taken_at"]) - _seconds(_["cancelled_at"]) <= pair_seconds)
        .group_by("account", "giver", "given")
        .agg(taker=_["taker"].argmin(first))
        .filter(_["taker"] != _["given"])
        .group_by("account")
        .agg(rebooked=_.count())
    )
    features = (
        plain.inner_join(days, "account")
        .left_join(rebooked, "account")
        .select(
            "account", "bookings", "fast", "most_in_day", "days", "patients", "doctors",
            "cancelled", rebooked=_["rebooked"].fill_null(0),
        )
        .order_by("account")
    )  # fmt: skip
    frame = sources.frame(features)
    return frame


def _seconds(moment: Any) -> Any:
    return moment.epoch_seconds()

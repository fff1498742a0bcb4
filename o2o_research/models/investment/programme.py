"""The cash flows of a membership programme with a mobile shop: a margin that falls first.

Only members who are active order, only brands that are on board can be ordered, and an order
that would have been placed at the counter anyway brings costs but no sales. Against that stand
visits brought back to the counter, which the mobile shop's own accounts do not show.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from o2o_research.domain import require
from o2o_research.models.numerics import Array


@dataclass(frozen=True, kw_only=True)
class Programme:
    """A programme over periods of a month. Arrays have shape (periods,) or (periods, draws).

    Parameters
    ----------
    active : ndarray
        Active members in each period, >= 0. [A]
    recruits : ndarray
        Members recruited in each period, >= 0. [R]
    brands : ndarray
        Share of the store's brands on board, in [0, 1]. [B]
    orders : float or ndarray, shape (draws,)
        Mobile orders an active member places a period with every brand on board, >= 0. [o]
    ticket : yuan an order, > 0. [T]
    margin_share : what the store keeps of sales, in [0, 1]. [m]
    new_share : share of mobile orders that the counter would not have had, in [0, 1]. [n]
    fulfilment_cost : yuan an order of packing and delivery, >= 0. [f]
    fee_share : what payment and platform take of mobile sales, in [0, 1]. [k]
    visits : extra visits to the counter an active member makes a period, >= 0. [v]
    conversion : share of them that buy, in [0, 1]. [c]
    basket : yuan they spend, >= 0. [b]
    recruit_cost : yuan a recruit, >= 0
    care_cost : yuan an active member and period, >= 0
    running_cost : yuan a period, >= 0
    investment : ndarray
        Yuan in each period, >= 0. [I]

    Raises
    ------
    ValueError
        A parameter outside its domain, such as a negative investment, by name.

    Examples
    --------
    A member who only moves his orders online costs money; one who comes to the counter pays:

    >>> case = dict(active=np.full(3, 1000.0), recruits=np.zeros(3), brands=np.ones(3), orders=0.2,
    ...             ticket=200, margin_share=0.2, new_share=0.0, fulfilment_cost=10, fee_share=0.01,
    ...             conversion=0.5, basket=300, recruit_cost=5, care_cost=0, running_cost=0,
    ...             investment=np.zeros(3))
    >>> [Programme(**case, visits=v).flows.round(2).tolist()[0] for v in (0.0, 0.2)]
    [-2400.0, 3600.0]
    """

    active: Any
    recruits: Any
    brands: Any
    orders: Any
    ticket: Any
    margin_share: Any
    new_share: Any
    fulfilment_cost: Any
    fee_share: Any
    visits: Any
    conversion: Any
    basket: Any
    recruit_cost: Any
    care_cost: Any
    running_cost: Any
    investment: Any

    def __post_init__(self) -> None:
        require(
            self,
            active="[0, inf)",
            recruits="[0, inf)",
            brands="[0, 1]",
            orders="[0, inf)",
            ticket="(0, inf)",
            margin_share="[0, 1]",
            new_share="[0, 1]",
            fulfilment_cost="[0, inf)",
            fee_share="[0, 1]",
            visits="[0, inf)",
            conversion="[0, 1]",
            basket="[0, inf)",
            recruit_cost="[0, inf)",
            care_cost="[0, inf)",
            running_cost="[0, inf)",
            investment="[0, inf)",
        )

    @property
    def online_orders(self) -> Array:
        """Mobile orders in each period: A B o."""
        return np.asarray(self.active * self.brands * self.orders)

    @property
    def migrated_sales(self) -> Array:
        """Mobile sales that left the counter, yuan: (1 - n) A B o T."""
        return np.asarray(self.online_orders * self.ticket * (1 - np.asarray(self.new_share)))

    @property
    def counter_sales(self) -> Array:
        """Sales brought back to the counter, yuan: A v c b."""
        return np.asarray(self.active * np.asarray(self.visits * self.conversion * self.basket))

    @property
    def terms(self) -> dict[str, Array]:
        """The cash flow term by term, yuan in each period, against no programme.

        Gains: ``new_orders`` n m T A B o; ``counter`` m A v c b. Losses: ``fees`` k T A B o;
        ``fulfilment`` f A B o; ``recruiting``; ``care``; ``running``; ``investment``. An order
        moved from the counter neither adds nor takes margin: it only pays fee and fulfilment.
        """
        orders = self.online_orders
        flat = np.zeros_like(orders)
        return {
            "new_orders": orders * self.ticket * self.margin_share * self.new_share,
            "counter": self.counter_sales * self.margin_share,
            "fees": -orders * self.ticket * self.fee_share,
            "fulfilment": -orders * self.fulfilment_cost,
            "recruiting": -np.asarray(self.recruits * np.asarray(self.recruit_cost)) + flat,
            "care": -np.asarray(self.active * np.asarray(self.care_cost)) + flat,
            "running": -np.asarray(self.running_cost) + flat,
            "investment": -np.asarray(self.investment) + flat,
        }

    @property
    def flows(self) -> Array:
        """Cash flow of each period, yuan: the sum of the terms."""
        return np.asarray(sum(self.terms.values()))

    @property
    def operating_margin(self) -> Array:
        """Cash flow before investment over the sales the programme touches, in each period.

        Not-a-number where it touches none.
        """
        sales = self.online_orders * self.ticket + self.counter_sales
        kept = self.flows - self.terms["investment"]
        return np.asarray(np.divide(kept, sales, out=np.full(kept.shape, np.nan), where=sales > 0))

"""What a customer whom another firm's channel brings is worth, and what must be true for it to pay.

The account that five trades keep in different words: of the orders a channel shows, some would
have come anyway; a customer who is new may come back; a new visit may take the place of one at
full terms; and the channel takes its fee on all of them. Incrementality and displacement as in
Edelman, Jaffe & Kominers (2016); later visits as a geometric sum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from o2o_research.domain import require
from o2o_research.models.channels import smallest_share
from o2o_research.models.numerics import Array
from o2o_research.models.queueing import erlang_b

Number = float | Array


@dataclass(frozen=True, kw_only=True)
class Contact:
    """One order that comes through a channel, with all that follows from it.

    Parameters
    ----------
    ticket : float
        Value of an order at full terms, yuan, > 0. [T]
    margin_share : float
        Contribution of an order at full terms as a share of the ticket, in (0, 1]. [m]
    fee_share : float
        Commission and discount together as a share of the ticket, in [0, 1). [k]
    order_cost : float
        What else the channel costs an order, such as delivery or recruiting, yuan, >= 0. [a]
    new_share : float
        Share of the channel's orders that would not have come anyway, in [0, 1]. [i]
    return_share : float
        Probability that a customer from the channel comes back at full terms, and again after
        every visit, in [0, 1). [q]
    ordinary_return_share : float
        The same for an ordinary new customer, in [0, 1). [r]
    patience : float
        Discount factor from one visit to the next, in (0, 1). [b]
    displaced_share : float
        Share of the new orders that take the place of one at full terms, in [0, 1]. [x]

    Raises
    ------
    ValueError
        A parameter outside its domain.

    Examples
    --------
    Half the orders are new, a fifth of the new customers come back:

    >>> contact = Contact(ticket=100, margin_share=0.5, fee_share=0.2, order_cost=0.0, new_share=0.5,
    ...                   return_share=0.2, ordinary_return_share=0.4, patience=1 - 1e-9)
    >>> round(float(contact.gain), 2), round(float(contact.new_share_needed), 2)
    (11.25, 0.32)
    """

    ticket: Number
    margin_share: Number
    fee_share: Number
    order_cost: Number
    new_share: Number
    return_share: Number
    ordinary_return_share: Number
    patience: Number
    displaced_share: Number = 0.0

    def __post_init__(self) -> None:
        require(
            self,
            ticket="(0, inf)",
            margin_share="(0, 1]",
            fee_share="[0, 1)",
            order_cost="[0, inf)",
            new_share="[0, 1]",
            return_share="[0, 1)",
            ordinary_return_share="[0, 1)",
            patience="(0, 1)",
            displaced_share="[0, 1]",
        )

    @property
    def margin(self) -> Number:
        """Contribution of an order at full terms, yuan: M = m T."""
        return self.margin_share * self.ticket

    @property
    def cost(self) -> Number:
        """What the channel takes of every order, new or not, yuan: k T + a."""
        return self.fee_share * self.ticket + self.order_cost

    @property
    def later_visits(self) -> Number:
        """Discounted later visits of a new customer: L = b q / (1 - b q)."""
        return _later(self.return_share, self.patience)

    @property
    def worth(self) -> Number:
        """What a new customer from the channel brings before its fee, yuan: M (1 + L - x)."""
        return self.margin * (1.0 + self.later_visits - self.displaced_share)

    @property
    def gain(self) -> Number:
        """What an order of the channel adds on average, yuan: i M (1 + L - x) - (k T + a)."""
        return self.new_share * self.worth - self.cost

    @property
    def worth_ratio(self) -> Number:
        """Worth of a new customer from the channel over that of an ordinary one: 1 is as good."""
        return self.worth / (
            self.margin * (1.0 + _later(self.ordinary_return_share, self.patience))
        )

    @property
    def new_share_needed(self) -> Number:
        """Share of new orders from which the channel pays; inf where it never does. [i*]"""
        return smallest_share(self.cost, self.worth)

    @property
    def fee_limit(self) -> Number:
        """Largest fee share at which the channel pays: k* = i m (1 + L - x) - a / T."""
        return (self.new_share * self.worth - self.order_cost) / self.ticket

    @property
    def return_needed(self) -> Number:
        """Return share from which the channel pays; inf where none below 1 is enough. [q*]

        The later visits wanted, L* = (k T + a) / (i M) - 1 + x, solved for q: L / (b (1 + L)).
        """
        some = np.asarray(self.new_share, float) > 0
        new = np.where(some, self.new_share, 1.0)
        wanted = np.maximum(self.cost / (new * self.margin) - 1.0 + self.displaced_share, 0.0)
        needed = wanted / (self.patience * (1.0 + wanted))
        return np.where(some & (needed < 1), needed, np.inf)[()]


def displaced_share(places: int, use: Number) -> Number:
    """Share of the orders that meet a full house, when the places are used to the share ``use``.

    Erlang's loss formula with an offered load of ``use * places``.

    Examples
    --------
    >>> round(float(displaced_share(4, 0.5)), 4)
    0.0952
    """
    return erlang_b(places, np.asarray(use, float) * places)


def _later(return_share: Number, patience: Number) -> Number:
    each = patience * return_share
    return each / (1.0 - each)

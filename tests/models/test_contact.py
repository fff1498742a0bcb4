"""An order that another firm's channel brings: its account, and the borders at which it pays."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from o2o_research.models.channels import Channel, Order
from o2o_research.models.contact import Contact, displaced_share

contacts = st.builds(
    Contact,
    ticket=st.floats(10, 1000),
    margin_share=st.floats(0.05, 0.95),
    fee_share=st.floats(0, 0.5),
    order_cost=st.floats(0, 50),
    new_share=st.floats(0.05, 1),
    return_share=st.floats(0, 0.9),
    ordinary_return_share=st.floats(0, 0.9),
    patience=st.floats(0.1, 0.99),
    displaced_share=st.floats(0, 1),
)
EXAMPLE = Contact(
    ticket=100.0,
    margin_share=0.5,
    fee_share=0.2,
    order_cost=0.0,
    new_share=0.5,
    return_share=0.0,
    ordinary_return_share=0.0,
    patience=0.9,
)


@given(
    ticket=st.floats(10, 300),
    cost=st.floats(0, 0.9),
    fee=st.floats(0, 0.5),
    handling=st.floats(0, 20),
    new=st.floats(0, 1),
)
def test_without_later_visits_and_displacement_it_is_the_account_of_a_channel(
    ticket: float, cost: float, fee: float, handling: float, new: float
) -> None:
    channel = Channel(incremental_share=new, commission_share=fee, handling_cost=handling)
    order = Order(ticket=ticket, variable_cost_share=cost)
    contact = replace(
        EXAMPLE,
        ticket=ticket,
        margin_share=1 - cost,
        fee_share=fee,
        order_cost=handling,
        new_share=new,
    )
    assert contact.gain == pytest.approx(channel.gain(order), abs=1e-9)
    assert contact.new_share_needed == pytest.approx(channel.break_even_incremental_share(order))


@given(contact=contacts)
def test_at_each_border_the_gain_is_nought(contact: Contact) -> None:
    if np.isfinite(contact.new_share_needed):
        there = replace(contact, new_share=float(contact.new_share_needed))
        assert there.gain == pytest.approx(0, abs=1e-6 * contact.ticket) or there.new_share == 0
    if 0 <= contact.fee_limit < 1:
        there = replace(contact, fee_share=float(contact.fee_limit))
        assert there.gain == pytest.approx(0, abs=1e-6 * contact.ticket)
    if 0 < contact.return_needed < 0.999:
        there = replace(contact, return_share=float(contact.return_needed))
        assert there.gain == pytest.approx(0, abs=1e-6 * contact.ticket)


def test_where_no_order_is_new_no_return_is_enough() -> None:
    assert replace(EXAMPLE, new_share=0.0).return_needed == np.inf


def test_later_visits_are_the_sum_of_the_chances_of_each() -> None:
    contact = replace(EXAMPLE, return_share=0.4, patience=0.8)
    assert contact.later_visits == pytest.approx(sum(0.32**n for n in range(1, 200)))


@given(contact=contacts, better=st.floats(0, 0.05))
def test_more_returns_never_hurt_and_a_fuller_house_never_helps(
    contact: Contact, better: float
) -> None:
    assume(contact.displaced_share + better <= 1)
    assert replace(contact, return_share=contact.return_share + better).gain >= contact.gain - 1e-9
    fuller = replace(contact, displaced_share=contact.displaced_share + better)
    assert fuller.gain <= contact.gain + 1e-9


def test_one_who_returns_like_an_ordinary_customer_is_worth_as_much() -> None:
    same = replace(EXAMPLE, return_share=0.3, ordinary_return_share=0.3)
    assert same.worth_ratio == pytest.approx(1)


def test_a_full_house_follows_erlangs_loss_formula() -> None:
    # Two places and an offered load of one: 1/2 over 1 + 1 + 1/2.
    assert displaced_share(2, 0.5) == pytest.approx(0.2)


def test_a_margin_above_the_ticket_is_refused() -> None:
    with pytest.raises(ValueError, match=r"margin_share=1\.2"):
        replace(EXAMPLE, margin_share=1.2)

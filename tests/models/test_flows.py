"""The absorbing chain against the gambler's ruin, hand counts and long simulations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from o2o_research.models.flows import (
    Chain,
    FanBase,
    chain_draws,
    count_moves,
    coupon_loop,
    fit_chain,
)

# Four journeys worked by hand: P(bought) = 1/3.
JOURNEYS = [["begin", "a", "b", "c", "bought"], ["begin", "a", "gone"], ["begin", "b", "c", "gone"]]
STATES, ENDS = ("begin", "a", "b", "c"), ("bought", "gone")


def ruin(p: float, top: int) -> Chain:
    """A gambler with 1 .. top - 1 coins."""
    moves = np.zeros((top - 1, top + 1))
    for i in range(top - 1):
        for to, chance in ((i - 1, 1 - p), (i + 1, p)):
            column = top - 1 if to < 0 else top if to == top - 1 else to
            moves[i, column] += chance
    return Chain(
        moves=moves, states=tuple(f"{i + 1}" for i in range(top - 1)), ends=("ruined", "rich")
    )


@pytest.mark.parametrize("p", [0.3, 0.45, 0.6])
def test_gamblers_ruin_has_its_closed_form(p: float) -> None:
    odds, top = (1 - p) / p, 7
    chain = ruin(p, top)
    for coins in range(1, top):
        win = (1 - odds**coins) / (1 - odds**top)
        assert float(chain.end_shares(str(coins))["rich"]) == pytest.approx(win)
        length = (coins - top * win) / (1 - 2 * p)
        assert float(chain.steps(str(coins))) == pytest.approx(length)


def test_a_fair_game_lasts_coins_times_the_rest() -> None:
    assert float(ruin(0.5, 9).steps("4")) == pytest.approx(4 * 5)


def test_removal_effects_of_three_journeys_worked_by_hand() -> None:
    chain = fit_chain(count_moves(JOURNEYS, STATES, ENDS), STATES, ENDS).model
    assert float(chain.end_shares("begin")["bought"]) == pytest.approx(1 / 3)
    # Without a only "begin -> b -> c" is left: 1/3 * 1/2.
    assert float(chain.removal_effect("a", "begin", "bought", "gone")) == pytest.approx(0.5)
    for needed in ("b", "c", "begin"):
        assert float(chain.removal_effect(needed, "begin", "bought", "gone")) == pytest.approx(1)


def test_the_fit_is_the_row_shares_with_binomial_errors() -> None:
    fit = fit_chain(count_moves(JOURNEYS, STATES, ENDS), STATES, ENDS)
    assert fit.model.moves[0].tolist() == pytest.approx([0, 2 / 3, 1 / 3, 0, 0, 0])
    assert fit.stderr["begin>a"] == pytest.approx(np.sqrt(2 / 3 * 1 / 3 / 3))
    assert fit.n == 9
    assert fit.log_likelihood == pytest.approx(2 * np.log(2 / 3) + np.log(1 / 3) + 4 * np.log(0.5))


def test_posterior_draws_surround_the_fit_with_the_dirichlet_spread() -> None:
    counts = np.array([[0.0, 60, 40], [30, 0, 70]])
    chain = chain_draws(counts, ("x", "y"), ("end",), np.random.default_rng(1), 20_000, prior=0.5)
    assert chain.moves[0, 0].tolist() == [0, 0.6, 0.4]
    drawn = chain.moves[1:, 0, 1]
    a, b = 60.5, 41.0
    assert drawn.mean() == pytest.approx(a / (a + b), abs=4 * drawn.std() / np.sqrt(20_000))
    assert drawn.var() == pytest.approx(a * b / ((a + b) ** 2 * (a + b + 1)), rel=0.05)


def test_the_steady_state_balances_what_enters_and_leaves() -> None:
    loop = coupon_loop(
        scan_share=0.3, return_share=0.1, coupon_lift=0.2, keep_share=0.8, leave_share=0.2
    )
    people = loop.steady_state({"store": 100.0, "app": 20.0})
    now = np.array([float(people[name]) for name in loop.states])
    assert now @ loop.moves[:, :3] + np.array([100.0, 20.0, 0.0]) == pytest.approx(now)
    assert float(now @ loop.moves[:, 3]) == pytest.approx(120)


def test_the_steady_state_is_where_many_months_lead() -> None:
    loop = coupon_loop(
        scan_share=0.4, return_share=0.05, coupon_lift=0.1, keep_share=0.7, leave_share=0.1
    )
    now = np.zeros(3)
    for _ in range(2000):
        now = now @ loop.moves[:, :3] + np.array([50.0, 0, 0])
    settled = loop.steady_state({"store": 50.0})
    assert [float(settled[s]) for s in loop.states] == pytest.approx(now.tolist())


def test_either_code_alone_adds_nothing_if_the_other_is_missing() -> None:
    def stores(scan: float, lift: float) -> float:
        loop = coupon_loop(
            scan_share=scan, return_share=0.1, coupon_lift=lift, keep_share=0.0, leave_share=0.3
        )
        return float(loop.steady_state({"store": 1.0})["store"])

    assert stores(0.0, 0.3) == pytest.approx(stores(0.0, 0.0))
    assert stores(0.5, 0.0) == pytest.approx(stores(0.0, 0.0))
    assert stores(0.5, 0.3) > 1.1 * stores(0.5, 0.0)


@given(st.integers(0, 10_000), st.integers(1, 6))
@settings(max_examples=40)
def test_ends_sum_to_one_and_relabelling_changes_nothing(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    moves = rng.dirichlet(np.ones(k + 2), size=k)
    names = tuple(f"s{i}" for i in range(k))
    chain = Chain(moves=moves, states=names, ends=("u", "v"))
    order = rng.permutation(k)
    columns = np.append(order, [k, k + 1])
    other = Chain(
        moves=moves[order][:, columns], states=tuple(names[i] for i in order), ends=("u", "v")
    )
    shares = chain.end_shares("s0")
    assert float(sum(shares.values())) == pytest.approx(1)
    assert float(other.end_shares("s0")["v"]) == pytest.approx(float(shares["v"]))
    assert 0 <= float(chain.removal_effect(names[-1], "s0", "u", "v")) <= 1 + 1e-12


def test_draws_broadcast_through_the_chain() -> None:
    lift = np.linspace(0, 0.5, 11)
    loop = coupon_loop(
        scan_share=0.3, return_share=0.1, coupon_lift=lift, keep_share=0.8, leave_share=0.2
    )
    each = [
        float(
            coupon_loop(scan_share=0.3, return_share=0.1, coupon_lift=x, keep_share=0.8, leave_share=0.2)
            .steady_state({"store": 2.0})["store"]
        )
        for x in lift
    ]  # fmt: skip
    assert loop.steady_state({"store": 2.0})["store"] == pytest.approx(np.array(each))
    half = loop.rerouted("app", "store", "dormant", 0.5)
    assert (
        half.steady_state({"store": 2.0})["store"] < loop.steady_state({"store": 2.0})["store"]
    ).all()


def test_bad_chains_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="moves from 'y' must be >= 0 and sum to 1"):
        Chain(moves=[[0, 0.5, 0.5], [0.5, 0.5, 0.5]], states=("x", "y"), ends=("end",))
    with pytest.raises(ValueError, match="from 'x' no end can be reached"):
        Chain(moves=[[1.0, 0, 0], [0, 0, 1]], states=("x", "y"), ends=("end",))
    with pytest.raises(ValueError, match="state 'y' was never left"):
        fit_chain([[0, 1, 1], [0, 0, 0]], ("x", "y"), ("end",))
    with pytest.raises(ValueError, match=r"journey 0 .* unknown: 'web'"):
        count_moves([["web", "end"]], ("x",), ("end",))
    with pytest.raises(ValueError, match=r"scan_share=1.2 must lie in \[0, 1\]"):
        coupon_loop(
            scan_share=1.2, return_share=0.1, coupon_lift=0.1, keep_share=0.5, leave_share=0.1
        )
    with pytest.raises(ValueError, match="no state 'web'"):
        ruin(0.5, 3).visits_from("web")


@given(st.floats(0.01, 0.3), st.floats(0.001, 0.1), st.floats(0.005, 0.5), st.floats(0.1, 60))
def test_no_number_of_pushes_sells_more_than_the_best(
    k: float, u: float, d: float, m: float
) -> None:
    def sold(pushes: float) -> float:
        fans = FanBase(pushes=pushes, response=0.01, fatigue=k, unsubscribe=u, churn=d)
        return float(fans.purchases)

    best = float(FanBase(pushes=1.0, response=0.01, fatigue=k, unsubscribe=u, churn=d).best_pushes)
    assert sold(m) <= sold(best) * (1 + 1e-12)


def test_a_fans_purchases_are_those_of_the_chain_of_months() -> None:
    fans = FanBase(pushes=8.0, response=0.004, fatigue=0.05, unsubscribe=0.008, churn=0.03)
    leave = 0.03 + 8 * 0.008
    chain = Chain(moves=[[1 - leave, leave]], states=("fan",), ends=("gone",))
    monthly = 8 * 0.004 * np.exp(-0.05 * 8)
    assert float(fans.purchases) == pytest.approx(monthly * float(chain.steps("fan")))

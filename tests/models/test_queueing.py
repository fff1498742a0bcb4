"""Queues against printed values, exact arithmetic, exact chains and a simulation."""

import heapq
import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import integrate, optimize, special, stats

from o2o_research.models.queueing import (
    BreakEven,
    Delivery,
    ErlangA,
    Queue,
    TwoPeaks,
    _cheapest_cover,
    blocking_by_servers,
    break_even_orders,
    erlang_b,
    erlang_c,
    least_servers,
    offered_load,
    platform_cost,
    square_root_staffing,
)

DAY = TwoPeaks(opens=10, closes=21, lunch_hour=12, dinner_hour=18.5, lunch_share=0.55, spread=0.8)


def delivery(**changes) -> Delivery:
    usual = {
        "mean_trip": 0.5,
        "trip_variation": 0.25,
        "mean_ride": 0.225,
        "promise": 0.75,
        "kept_share": 0.9,
        "profile": DAY.profile,
        "wage_rate": 15.0,
        "shift_lengths": (4.0, 8.0),
    }
    return Delivery(**(usual | changes))


# --- Slower second methods ------------------------------------------------------------


def exact_erlang_b(servers: int, load: Fraction) -> float:
    """a^c / c! over the sum of a^k / k!, in whole numbers."""
    term = total = Fraction(1)
    for k in range(1, servers + 1):
        term = term * load / k
        total += term
    return float(term / total)


def birth_death(arrival_rate, service_rate, servers, leaving_rate=0.0, states=20_000):
    """Stationary law of the number in the system, from its balance equations in logarithms."""
    n = np.arange(1, states)
    out = np.minimum(n, servers) * service_rate + np.maximum(n - servers, 0) * leaving_rate
    logs = np.concatenate([[0.0], np.cumsum(np.log(arrival_rate) - np.log(out))])
    law = np.exp(logs - logs.max())
    return law / law.sum()


def crommelin_mean_wait(servers: int, load: float) -> float:
    """M/D/c, exactly: the number in the system seen one service time apart."""
    size = int(servers + 40 + 12 * np.sqrt(load) + 30 / (1 - load / servers))
    arrivals = stats.poisson.pmf(np.arange(size), load)
    moves = np.zeros((size, size))
    for n in range(size):
        left = max(n - servers, 0)
        moves[n, left:] = arrivals[: size - left]
    moves /= moves.sum(axis=1, keepdims=True)
    balance = np.vstack([(moves.T - np.eye(size))[:-1], np.ones(size)])
    law = np.linalg.solve(balance, np.eye(size)[-1])
    return float(np.maximum(np.arange(size) - servers, 0) @ law) / load


def exact_kept(own: Delivery, rates, couriers, size=110, step=0.0025):
    """Share in time by period when trips and rides are exponential: Kolmogorov's equations.

    Runge-Kutta over the day; given n in the system an order waits an Erlang time.
    """
    n = np.arange(size + 1)
    nodes, weights = np.polynomial.legendre.leggauss(40)
    ride = own.promise * (nodes + 1) / 2
    density = weights * own.promise / 2 * np.exp(-ride / own.mean_ride) / own.mean_ride
    law = np.eye(size + 1)[0]
    answer = []
    for rate, on_duty in zip(rates, couriers, strict=True):
        ahead = np.maximum(n - on_duty + 1, 1)[:, np.newaxis]
        waits = special.gammainc(ahead, on_duty / own.mean_trip * (own.promise - ride))
        in_time = np.where(n < on_duty, own.at_best, (waits * density).sum(axis=1))
        down = np.minimum(n, on_duty) / own.mean_trip
        up = np.where(n < size, rate, 0.0)
        generator = np.diag(up[:-1], 1) + np.diag(down[1:], -1) - np.diag(up + down)
        flow = step * generator.T
        steps = round(own.period / step)
        kept = 0.0
        for _ in range(steps):
            one = flow @ law
            two = flow @ (law + one / 2)
            three = flow @ (law + two / 2)
            four = flow @ (law + three)
            after = law + (one + 2 * two + 2 * three + four) / 6
            kept += (law + after) @ in_time / (2 * steps)
            law = after
        answer.append(kept)
    return np.array(answer)


# --- Erlang B and C -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("servers", "load", "blocked", "delayed"),
    [
        (2, 1, 0.2000000000, 0.3333333333),
        (5, 4, 0.1990668740, 0.5541125541),
        (10, 8, 0.1216610643, 0.4091801508),
        (100, 90, 0.0269573805, 0.2169404809),
    ],
)
def test_erlang_b_and_c_matches_the_reference_table(servers, load, blocked, delayed):
    assert erlang_b(servers, load) == pytest.approx(blocked, abs=5e-11)
    assert erlang_c(servers, load) == pytest.approx(delayed, abs=5e-11)


@pytest.mark.parametrize(
    ("servers", "load"), [(1, "1/1000"), (40, "3/2"), (500, "480"), (1200, "1199"), (1000, "2000")]
)
def test_erlang_b_equals_whole_number_arithmetic(servers, load):
    exact = exact_erlang_b(servers, Fraction(load))
    assert erlang_b(servers, float(Fraction(load))) == pytest.approx(exact, rel=1e-12)


def test_ten_thousand_servers_stay_exact():
    # The sum of the balance equations, taken in logarithms, is the independent method.
    law = birth_death(9_950.0, 1.0, 10_000, states=10_001)
    assert erlang_b(10_000, 9_950.0) == pytest.approx(law[-1], rel=1e-9)
    waiting = birth_death(9_950.0, 1.0, 10_000, states=40_000)[10_000:].sum()
    assert erlang_c(10_000, 9_950.0) == pytest.approx(waiting, rel=1e-9)


def test_no_load_blocks_no_one_and_no_server_blocks_all():
    assert erlang_b(3, 0.0) == 0.0
    assert erlang_b(0, 2.0) == 1.0
    assert erlang_c(3, 3.0) == 1.0
    assert erlang_c(3, 0.0) == 0.0


def test_servers_and_loads_broadcast():
    table = np.asarray(erlang_c(np.array([[2], [5]]), np.array([1.0, 1.5, 4.0])))
    one_by_one = [[erlang_c(c, a) for a in (1.0, 1.5, 4.0)] for c in (2, 5)]
    np.testing.assert_array_equal(table, one_by_one)


@given(servers=st.integers(1, 200), load=st.floats(0.01, 300))
def test_a_server_more_or_less_load_never_blocks_or_delays_more(servers, load):
    count, offered = np.array([[servers], [servers + 1]]), np.array([load, load * 1.01])
    blocked, delayed = np.asarray(erlang_b(count, offered)), np.asarray(erlang_c(count, offered))
    assert blocked[1, 0] < max(blocked[0, 0], 1e-300)
    assert blocked[0, 0] <= blocked[0, 1]
    assert np.all((blocked <= delayed) & (delayed <= 1.0))
    assert delayed[1, 0] <= delayed[0, 0] <= delayed[0, 1]


def test_the_steps_are_the_answer():
    steps = [float(b) for b in itertools.islice(blocking_by_servers(7.3), 12)]
    assert steps == [erlang_b(c, 7.3) for c in range(12)]


# --- M/G/c ----------------------------------------------------------------------------


def test_mm3_mean_wait_matches_the_reference_value():
    queue = Queue(arrival_rate=10, mean_service=0.25, servers=3)
    assert queue.mean_wait == pytest.approx(0.3511235955, abs=5e-11)


@pytest.mark.parametrize(("variation", "wait"), [(0.0, 2), (0.5, 3), (1.0, 4), (2.0, 6)])
def test_mg1_mean_wait_matches_pollaczek_khinchine(variation, wait):
    queue = Queue(arrival_rate=0.8, mean_service=1, servers=1, service_variation=variation)
    assert queue.mean_wait == pytest.approx(wait, rel=1e-14)


@pytest.mark.parametrize(("rate", "servers"), [(0.5, 1), (10.0, 3), (95.0, 25), (390.0, 100)])
def test_exponential_service_equals_the_balance_equations(rate, servers):
    queue = Queue(arrival_rate=rate, mean_service=0.25, servers=servers)
    law = birth_death(rate, 4.0, servers)
    n = np.arange(law.size)
    assert queue.delay_share == pytest.approx(law[servers:].sum(), rel=1e-10)
    assert queue.mean_queue == pytest.approx(np.maximum(n - servers, 0) @ law, rel=1e-9)
    assert queue.mean_number == pytest.approx(n @ law, rel=1e-10)
    assert queue.utilisation == pytest.approx(np.minimum(n, servers) @ law / servers, rel=1e-10)


@pytest.mark.parametrize("servers", [2, 5, 20])
@pytest.mark.parametrize("occupied", [0.5, 0.7, 0.9])
def test_constant_service_is_within_two_percent_of_the_exact_wait(servers, occupied):
    load = servers * occupied
    queue = Queue(arrival_rate=load, mean_service=1.0, servers=servers, service_variation=0.0)
    assert queue.mean_wait == pytest.approx(crommelin_mean_wait(servers, load), rel=0.02)


@pytest.mark.parametrize("servers", [2, 6, 30])
def test_constant_service_in_light_traffic_waits_for_the_least_residual_service(servers):
    queue = Queue(arrival_rate=1e-9, mean_service=1.0, servers=servers, service_variation=0.0)
    assert queue.mean_delay == pytest.approx(1 / (servers + 1), rel=1e-6)


@given(
    rate=st.floats(0.1, 50),
    servers=st.integers(1, 60),
    variation=st.floats(0, 8),
    service=st.floats(0.01, 2),
)
def test_littles_law_and_the_tail_integral_hold_together(rate, servers, variation, service):
    queue = Queue(
        arrival_rate=rate, mean_service=service, servers=servers, service_variation=variation
    )
    # Within rounding of full load, servers less load is rounding alone.
    assume(abs(rate * service / servers - 1) > 1e-9 or rate * service >= servers)
    if rate * service >= servers:
        assert queue.mean_wait == np.inf
        assert queue.wait_exceeds(1e6) == 1.0
        return
    assert queue.mean_number - queue.mean_queue == pytest.approx(rate * service, rel=1e-6)
    delay = float(queue.mean_delay)
    delays = np.linspace(0, 40, 2001)
    area = integrate.simpson(np.asarray(queue.wait_exceeds(delays * delay)), x=delays)
    assert area * delay == pytest.approx(float(queue.mean_wait), rel=1e-6)


def test_more_variable_service_waits_longer():
    variation = np.linspace(0, 5, 51)
    for servers in (1, 4, 40):
        queue = Queue(
            arrival_rate=0.9 * servers, mean_service=1, servers=servers, service_variation=variation
        )
        assert np.all(np.diff(np.asarray(queue.mean_wait)) > 0)


def test_no_one_waits_less_than_nothing():
    queue = Queue(arrival_rate=10, mean_service=0.25, servers=3)
    assert queue.wait_exceeds(-0.1) == 1.0
    assert queue.wait_exceeds(0.0) == queue.delay_share


# --- Erlang A -------------------------------------------------------------------------


def test_erlang_a_matches_the_reference_values():
    queue = ErlangA(arrival_rate=10, mean_service=0.25, servers=3, mean_patience=1)
    assert queue.mean_queue == pytest.approx(0.975330, abs=5e-7)
    assert queue.abandonment_share == pytest.approx(0.0975330, abs=5e-8)


@pytest.mark.parametrize(
    ("rate", "servers", "leaving"),
    [
        (10.0, 3, 1e-3),
        (100.0, 27, 2.0),
        (100.0, 20, 2.0),
        (8_000.0, 2_020, 0.8),
        (8_000.0, 1_500, 12.0),
        (20.0, 1, 240.0),
        (2_000.0, 1, 4e3),
        (0.004, 1, 4e6),
        (20_000.0, 5_000, 0.01),
    ],
)
def test_erlang_a_equals_the_balance_equations(rate, servers, leaving):
    queue = ErlangA(
        arrival_rate=rate, mean_service=0.25, servers=servers, mean_patience=1 / leaving
    )
    law = birth_death(rate, 4.0, servers, leaving, states=40_000)
    n = np.arange(law.size)
    assert queue.delay_share == pytest.approx(law[servers:].sum(), rel=1e-11)
    assert queue.mean_queue == pytest.approx(np.maximum(n - servers, 0) @ law, rel=1e-10)
    assert queue.utilisation == pytest.approx(np.minimum(n, servers) @ law / servers, rel=1e-10)


def test_endless_patience_is_erlang_c():
    patient = ErlangA(arrival_rate=10, mean_service=0.25, servers=3, mean_patience=np.inf)
    queue = Queue(arrival_rate=10, mean_service=0.25, servers=3)
    assert patient.delay_share == pytest.approx(queue.delay_share, rel=1e-12)
    assert patient.mean_wait == pytest.approx(queue.mean_wait, rel=1e-12)
    assert patient.wait_exceeds(0.3) == pytest.approx(queue.wait_exceeds(0.3), rel=1e-12)
    nearly = ErlangA(arrival_rate=10, mean_service=0.25, servers=3, mean_patience=1e9)
    assert nearly.mean_wait == pytest.approx(queue.mean_wait, rel=1e-6)


def test_no_patience_is_erlang_b():
    hasty = ErlangA(arrival_rate=10, mean_service=0.25, servers=3, mean_patience=1e-9)
    assert hasty.abandonment_share == pytest.approx(erlang_b(3, 2.5), rel=1e-6)


@pytest.mark.parametrize("servers", [90, 100, 115])
def test_erlang_a_waits_equal_the_incomplete_gamma_ratio(servers):
    # P(V > t) / P(V > 0) = gamma(x, y e^(-theta t)) / gamma(x, y), x = c mu / theta, y = lambda / theta.
    queue = ErlangA(arrival_rate=100, mean_service=1, servers=servers, mean_patience=2.0)
    time = np.array([0.01, 0.1, 0.3])
    ratio = special.gammainc(2.0 * servers, 200.0 * np.exp(-time / 2)) / special.gammainc(
        2.0 * servers, 200.0
    )
    waits = queue.delay_share * ratio * np.exp(-time / 2)
    np.testing.assert_allclose(queue.wait_exceeds(time), waits, rtol=1e-10)


@given(
    load=st.floats(0.1, 200),
    servers=st.integers(1, 200),
    log_patience=st.floats(-6, 6),
)
def test_erlang_a_lies_between_erlang_b_and_c(load, servers, log_patience):
    queue = ErlangA(
        arrival_rate=load, mean_service=1, servers=servers, mean_patience=10.0**log_patience
    )
    lost, delayed = float(queue.abandonment_share), float(queue.delay_share)
    blocked, slack = float(erlang_b(servers, load)), 1e-10
    assert max(0.0, 1 - servers / load) * (1 - slack) <= lost <= blocked * (1 + slack)
    assert blocked * (1 - slack) <= delayed + 1e-300  # below which doubles lose their digits
    assert delayed <= float(erlang_c(servers, load)) * (1 + slack)


def test_erlang_a_mean_wait_is_the_area_under_its_tail():
    queue = ErlangA(arrival_rate=50, mean_service=1, servers=48, mean_patience=0.7)
    area, _ = integrate.quad(lambda t: float(queue.wait_exceeds(t)), 0, 8, epsabs=1e-12)
    assert area == pytest.approx(float(queue.mean_wait), rel=1e-8)


def test_erlang_a_takes_arrays_of_draws():
    rates, patience = np.array([[5.0], [10.0]]), np.array([0.5, 1.0, np.inf])
    table = ErlangA(arrival_rate=rates, mean_service=0.25, servers=3, mean_patience=patience)
    single = ErlangA(arrival_rate=10.0, mean_service=0.25, servers=3, mean_patience=1.0)
    assert np.shape(table.mean_queue) == (2, 3)
    assert np.asarray(table.mean_queue)[1, 1] == pytest.approx(single.mean_queue, rel=1e-13)


# --- How many servers -----------------------------------------------------------------


def test_square_root_staffing_matches_halfin_whitt_closed_form():
    # beta = 1: P(W > 0) = 1 / (1 + Phi(1) / phi(1)).
    share = 1 / (1 + stats.norm.cdf(1) / stats.norm.pdf(1))
    assert square_root_staffing(100.0, share) == pytest.approx(110.0, abs=1e-9)


@pytest.mark.parametrize("load", [5.0, 37.0, 400.0, 3_000.0])
@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_square_root_staffing_starts_within_one_server_of_the_answer(load, share):
    start = np.ceil(square_root_staffing(load, share))
    assert abs(start - least_servers(load, 1.0, within=0, kept_share=1 - share)) <= 1


@given(
    rate=st.floats(0.05, 300),
    within=st.floats(0, 0.5),
    kept=st.floats(0.05, 0.99),
    variation=st.floats(0, 3),
)
def test_least_servers_keeps_the_promise_and_one_fewer_breaks_it(rate, within, kept, variation):
    servers = int(
        least_servers(rate, 0.25, within=within, kept_share=kept, service_variation=variation)
    )

    def share(count: int) -> float:
        queue = Queue(
            arrival_rate=rate, mean_service=0.25, servers=count, service_variation=variation
        )
        return 1.0 - float(queue.wait_exceeds(within))

    assert share(servers) >= kept
    assert servers == 1 or share(servers - 1) < kept


def test_least_servers_broadcasts_and_needs_no_one_without_arrivals():
    table = least_servers(
        np.array([0.0, 40.0, 400.0]), 0.25, within=np.array([[0.0], [0.1]]), kept_share=0.8
    )
    assert table.shape == (2, 3)
    assert table[:, 0].tolist() == [0, 0]
    assert table[1, 2] == least_servers(400.0, 0.25, within=0.1, kept_share=0.8)


# --- Load over the day ----------------------------------------------------------------


@pytest.mark.parametrize("variation", [0.0, 0.2, 1.0, 3.0])
def test_offered_load_equals_the_convolution_by_quadrature(variation):
    rates, mean = np.array([2.0, 10.0, 0.0, 5.0]), 0.6

    def still_busy(age: float) -> float:
        if variation == 0:
            return float(age < mean)
        return float(stats.gamma(1 / variation, scale=variation * mean).sf(age))

    for time in (0.2, 0.9, 1.5, 2.6):
        kinks = [time - edge for edge in (0.5, 1.0, 1.5, 2.0, time - mean) if edge < time]
        slow, _ = integrate.quad(
            lambda age, now=time: (
                rates[min(int((now - age) / 0.5), 3)] * (now - age < 2.0) * still_busy(age)
            ),
            0,
            time,
            points=sorted(k for k in kinks if 0 < k < time),
            limit=200,
        )
        fast = offered_load(time, rates, 0.5, mean, variation)
        assert fast == pytest.approx(slow, rel=1e-6, abs=1e-9)


def test_a_steady_rate_reaches_the_stationary_load():
    assert offered_load(40.0, np.full(100, 12.0), 0.5, 0.5) == pytest.approx(6.0, rel=1e-12)


@pytest.mark.parametrize("variation", [0.0, 0.25, 2.0])
def test_every_order_is_served_once(variation):
    rates = 80 * DAY.profile / 0.5
    times = (np.arange(4_000) + 0.5) / 100.0
    area = offered_load(times, rates, 0.5, 0.5, variation).sum() / 100.0
    assert area == pytest.approx(80 * 0.5, rel=1e-5)


def test_the_load_peaks_after_the_orders_do_and_lower():
    rates = 80 * DAY.profile / 0.5
    times = np.linspace(0, 5, 2001)
    load = offered_load(times, rates, 0.5, 0.5, 0.25)
    peak_orders = DAY.starts[rates[:10].argmax()] - 10 + 0.25
    assert times[load.argmax()] > peak_orders
    assert load.max() < rates.max() * 0.5


def test_the_profile_sums_to_one_and_has_its_share_before_the_afternoon():
    assert DAY.profile.sum() == pytest.approx(1.0, abs=1e-14)
    assert DAY.profile[DAY.starts < 15.25].sum() == pytest.approx(0.55, abs=1e-3)


# --- Own couriers ---------------------------------------------------------------------


@pytest.mark.parametrize(("couriers", "load"), [(1, 0.2), (3, 2.0), (40, 12.0), (500, 499.9)])
@pytest.mark.parametrize("promise", [0.3, 0.75, 3.0])
def test_exponential_rides_keep_the_promise_as_the_sum_of_two_exponentials(couriers, load, promise):
    own = delivery(trip_variation=1.0, promise=promise, kept_share=0.0)
    queue = Queue(arrival_rate=load / 0.5, mean_service=0.5, servers=couriers)
    wait, ride = 1 / float(queue.mean_delay), 1 / 0.225
    both = ride * (np.exp(-wait * promise) - np.exp(-ride * promise)) / (ride - wait)
    late = np.exp(-ride * promise) + queue.delay_share * both
    assert own.promise_kept(load, couriers) == pytest.approx(1 - late, rel=1e-10)


@pytest.mark.parametrize("variation", [0.001, 0.02, 0.25, 0.9, 4.0, 10.0])
@pytest.mark.parametrize("promise", [0.24, 0.75, 6.0])
def test_gamma_rides_keep_the_promise_as_by_quadrature(variation, promise):
    own = delivery(trip_variation=variation, promise=promise, kept_share=0.0)
    ride = stats.gamma(1 / variation, scale=variation * 0.225)
    nodes, weights = np.polynomial.legendre.leggauss(60)
    u = ((np.arange(50)[:, np.newaxis] + (nodes + 1) / 2) / 50).ravel()
    # Substituting r = tau u^p tames the density's singularity at nothing.
    power = max(1.0, variation) * 4
    r = promise * u**power
    mass = np.tile(weights / 100, 50) * promise * power * u ** (power - 1) * ride.pdf(r)
    for couriers, load in ((1, 0.2), (1, 0.9), (3, 2.0), (10, 9.5), (60, 20.0), (200, 199.0)):
        queue = Queue(
            arrival_rate=load / 0.5,
            mean_service=0.5,
            servers=couriers,
            service_variation=variation,
        )
        slow = mass @ (1.0 - np.asarray(queue.wait_exceeds(promise - r)))
        assert own.promise_kept(load, couriers) == pytest.approx(slow, abs=1e-8)


def test_too_few_couriers_keep_no_promise_and_none_are_needed_without_orders():
    own = delivery()
    assert own.promise_kept(3.0, 3) == 0.0
    assert own.promise_kept(0.0, 1) == pytest.approx(own.at_best, rel=1e-12)
    assert own.required(0).tolist() == [0] * 22


def test_promise_kept_is_within_two_points_of_a_simulation():
    rng = np.random.default_rng(20140530)
    own = delivery()
    orders = 60_000
    for couriers, load in ((1, 0.6), (3, 2.4), (10, 8.5)):
        arrivals = np.cumsum(rng.exponential(0.5 / load, orders)).tolist()
        trips = rng.gamma(4.0, 0.125, orders)
        free, waits = [0.0] * couriers, np.empty(orders)
        for i, (arrival, trip) in enumerate(zip(arrivals, trips.tolist(), strict=True)):
            start = max(free[0], arrival)
            waits[i] = start - arrival
            heapq.heapreplace(free, start + trip)
        kept = np.mean(waits + trips * 0.45 <= 0.75)
        assert own.promise_kept(load, couriers) == pytest.approx(kept, abs=0.02)


def test_the_promise_survives_the_peaks_where_staffing_by_the_rate_of_the_period_fails():
    own = delivery(trip_variation=1.0)
    rates = 100 * DAY.profile / 0.5
    lagged = exact_kept(own, rates, own.required(100))
    # Each period on its own: the couriers its own rate would need for ever.
    alone = [
        next(c for c in range(1, 99) if own.promise_kept(rate * 0.5, c) >= 0.9) for rate in rates
    ]
    naive = exact_kept(own, rates, alone)
    assert lagged.min() > 0.86
    assert lagged @ DAY.profile > 0.9
    assert naive.min() < 0.3
    stationary = np.asarray(
        own.promise_kept(100 * own._load_per_order, own.required(100)[:, np.newaxis])
    ).mean(axis=1)
    assert np.abs(lagged - stationary).max() < 0.05


@pytest.mark.parametrize("orders", [3, 25, 140])
@pytest.mark.parametrize("shifts", [(4.0,), (3.0, 8.0), (2.5, 4.0, 11.0)])
def test_shifts_cover_the_day_at_the_cost_that_branch_and_bound_finds(orders, shifts):
    own = delivery(shift_lengths=shifts, shift_cost=9.0)
    day = own.roster(orders)
    assert np.all(day.on_duty >= day.required)
    kinds = [(s, round(n / 0.5)) for n in shifts for s in range(22 - round(n / 0.5) + 1)]
    covers = np.array([[s <= t < s + n for s, n in kinds] for t in range(22)], float)
    pay = np.array([15.0 * 0.5 * n + 9.0 for _, n in kinds])
    answer = optimize.milp(
        pay,
        integrality=np.ones(len(kinds)),
        constraints=optimize.LinearConstraint(covers, lb=day.required),
    )
    assert day.cost == pytest.approx(answer.fun, rel=1e-9)
    hours = sum(0.5 * n * c for _, n, c in day.shifts.tolist())
    assert day.paid_hours == pytest.approx(hours)


@pytest.mark.parametrize("seed", range(12))
def test_no_cover_of_a_day_by_shifts_is_cheaper_than_the_one_found(seed):
    rng = np.random.default_rng(seed)
    for _ in range(20):
        periods = int(rng.integers(2, 26))
        lengths = np.unique(rng.integers(1, periods + 1, rng.integers(1, 4)))
        kinds = np.array([(s, n) for n in lengths for s in range(periods - n + 1)])
        pay = rng.uniform(0, 5, len(kinds)) if seed % 3 else 18.0 * kinds[:, 1] + 9 * (seed % 2)
        required = rng.integers(0, (3, 12, 200)[seed % 3], (3, periods))
        covers = np.array([[s <= t < s + n for s, n in kinds] for t in range(periods)], float)
        for need, hired in zip(required, _cheapest_cover(required, kinds, pay), strict=True):
            assert np.all(hired >= 0)
            assert np.all(covers @ hired >= need)
            bound = optimize.linprog(pay, A_ub=-covers, b_ub=-need).fun
            assert hired @ pay == pytest.approx(bound, rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("orders", [20, 60, 140])
def test_of_days_that_cost_the_same_the_one_with_most_couriers_at_the_peaks_is_hired(orders):
    own = delivery()  # a shift of eight hours costs what two of four do: many days are cheapest
    day = own.roster(orders)
    kinds = [(s, n) for n in (8, 16) for s in range(22 - n + 1)]
    covers = np.array([[s <= t < s + n for s, n in kinds] for t in range(22)], float)
    pay = np.array([15.0 * 0.5 * n for _, n in kinds])
    answer = optimize.linprog(
        -np.asarray(DAY.profile) @ covers, A_ub=-covers, b_ub=-day.required,
        A_eq=pay[np.newaxis], b_eq=[day.cost],
    )  # fmt: skip
    assert np.asarray(DAY.profile) @ day.on_duty == pytest.approx(-answer.fun, rel=1e-7)


def test_a_day_of_couriers_keeps_its_books():
    own = delivery(shift_cost=10.0, daily_cost=50.0)
    day = own.roster(60)
    assert day.cost == 15 * day.paid_hours + 10 * day.shifts[:, 2].sum() + 50
    assert own.cost_per_order(60) == pytest.approx(day.cost_per_order, rel=1e-12)
    assert day.busy_hours < day.required_hours <= day.paid_hours
    assert np.all(day.kept_share >= 0.9)
    assert day.day_kept_share == pytest.approx(day.kept_share @ DAY.profile)
    assert np.all((day.utilisation >= 0) & (day.utilisation <= 1))
    assert day.utilisation @ day.on_duty * 0.5 == pytest.approx(day.busy_hours)


def test_a_day_never_costs_less_for_more_orders_and_moves_in_whole_shifts():
    orders = np.arange(1, 121)
    cost = delivery(shift_lengths=(4.0,)).cost_per_order(orders) * orders
    assert np.all(np.diff(cost) > -1e-9)
    shifts = cost / 60.0
    np.testing.assert_allclose(shifts, np.rint(shifts), atol=1e-9)
    # Between the steps the cost of an order falls as couriers are shared, at them it jumps.
    change = np.diff(cost / orders)
    assert (change < 0).any()
    assert (change > 0).any()


def test_pooling_takes_the_cost_of_an_order_down_to_the_time_on_the_road():
    level = np.full(24, 1 / 24)
    own = delivery(shift_lengths=(0.5,), profile=level)
    small, large = own.roster(50), own.roster(20_000)
    idle = [1 - day.busy_hours / day.required_hours for day in (small, large)]
    assert idle[0] > 0.3
    assert idle[1] < 0.05
    assert large.cost_per_order == pytest.approx(15 * 0.5, rel=0.05)


@given(
    orders=st.integers(1, 40),
    promise=st.floats(0.5, 1.5),
    kept=st.floats(0.5, 0.89),
)
def test_a_harder_promise_never_needs_fewer_couriers(orders, promise, kept):
    base = delivery(promise=promise, kept_share=kept).required(orders)
    assert np.all(delivery(promise=promise * 1.1, kept_share=kept).required(orders) <= base)
    assert np.all(delivery(promise=promise, kept_share=kept * 0.9).required(orders) <= base)


def test_platform_cost_is_the_commission_plus_the_orders_the_fee_keeps_away():
    # 100 prospects, 80 of whom pay the fee: contribution without the platform less that with it.
    ticket, commission, contribution = 60.0, 0.15, 36.0
    direct = 100 * contribution
    through = 80 * (contribution - commission * ticket)
    cost = platform_cost(ticket, commission, contribution, 0.8)
    assert 100 * float(cost) == pytest.approx(direct - through)
    assert platform_cost(np.array([40.0, 80.0]), 0.15, 0.0).tolist() == [6.0, 12.0]


@given(
    costs=st.lists(st.floats(0, 50), min_size=1, max_size=40),
    limit=st.floats(0, 50),
)
def test_beyond_the_lasting_break_even_no_cost_is_above_the_limit(costs, limit):
    orders = np.arange(1, len(costs) + 1)
    first, lasting = break_even_orders(orders, np.array(costs), limit)
    assert first <= lasting
    assert np.all(np.array(costs)[orders < first] > limit)
    assert np.all(np.array(costs)[orders >= lasting] <= limit)
    if 1 < lasting < np.inf:
        assert costs[int(lasting) - 2] > limit


def test_a_cost_that_never_falls_far_enough_has_no_break_even():
    assert break_even_orders(np.arange(1, 4), np.array([9.0, 8.0, 7.0]), 6.0) == BreakEven(
        np.inf, np.inf
    )


# --- Refusals -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: erlang_b(2.5, 1.0), "servers=2.5 must be a whole number"),
        (lambda: erlang_c(-1, 1.0), "servers=-1"),
        (lambda: erlang_b(2, -1.0), "load=-1.0"),
        (lambda: erlang_b(2, np.nan), "load=nan"),
        (lambda: Queue(arrival_rate=-3, mean_service=1, servers=2), "arrival_rate=-3"),
        (lambda: Queue(arrival_rate=3, mean_service=0, servers=2), "mean_service=0"),
        (lambda: Queue(arrival_rate=3, mean_service=1, servers=0), "servers=0"),
        (lambda: Queue(arrival_rate=3, mean_service=1, servers=1.5), "servers=1.5"),
        (
            lambda: Queue(arrival_rate=3, mean_service=1, servers=1, service_variation=-1),
            "service_variation=-1",
        ),
        (
            lambda: ErlangA(arrival_rate=3, mean_service=1, servers=4, mean_patience=0),
            "mean_patience=0",
        ),
        (
            lambda: ErlangA(arrival_rate=3, mean_service=1, servers=3, mean_patience=np.inf),
            "mean_patience=inf needs servers=3",
        ),
        (lambda: square_root_staffing(9.0, 1.0), "delay_share=1.0"),
        (lambda: least_servers(9.0, 1.0, within=-1, kept_share=0.9), "within=-1"),
        (lambda: least_servers(9.0, 1.0, within=1, kept_share=1.0), "kept_share=1.0"),
        (lambda: least_servers(9.0, -1.0, within=1, kept_share=0.9), "mean_service=-1"),
        (lambda: offered_load(1.0, np.array([-2.0]), 0.5, 0.5), "arrival_rate=-2"),
        (lambda: offered_load(1.0, np.ones((2, 2)), 0.5, 0.5), r"shape \(2, 2\)"),
        (lambda: offered_load(1.0, np.ones(3), 0.0, 0.5), "period=0.0"),
        (lambda: delivery(kept_share=1.0), "kept_share=1"),
        (lambda: delivery(trip_variation=0.0), "trip_variation=0"),
        (lambda: delivery(profile=np.array([0.5, 0.4])), "sums to 0.9"),
        (lambda: delivery(shift_lengths=(4.2,)), "shift_lengths=4.2"),
        (lambda: delivery(shift_lengths=(12.0,)), "shift_lengths=12"),
        (lambda: delivery(shift_lengths=()), "at least one"),
        (lambda: delivery(promise=0.2), "promise=0.2 hours cannot be kept"),
        (lambda: delivery().roster(0), "orders=0"),
        (lambda: delivery().cost_per_order(np.array([5, 0])), "must lie in"),
        (lambda: delivery().required(-1.0), "orders=-1.0"),
        (lambda: platform_cost(60.0, 15.0, 30.0), "commission_share=15.0"),
        (lambda: platform_cost(60.0, 0.15, 30.0, 1.2), "orders_kept_share=1.2"),
        (lambda: platform_cost(0.0, 0.15, 30.0), "ticket=0.0"),
        (lambda: break_even_orders(np.array([2, 1]), np.ones(2), 1.0), "must increase"),
        (
            lambda: TwoPeaks(
                opens=10, closes=21.2, lunch_hour=12, dinner_hour=18, lunch_share=0.5, spread=1
            ),
            "closes=21.2",
        ),
        (
            lambda: TwoPeaks(
                opens=10, closes=21, lunch_hour=12, dinner_hour=18, lunch_share=1.5, spread=1
            ),
            "lunch_share=1.5",
        ),
    ],
)
def test_bad_input_is_refused_by_name(call, words):
    with pytest.raises(ValueError, match=words):
        call()

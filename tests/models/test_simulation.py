"""The event loop against exact queueing theory, and against a slow second method."""

import heapq
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from o2o_research.models.queueing import ErlangA, Queue
from o2o_research.models.simulation import (
    Journeys,
    Station,
    batch_means,
    estimate,
    one_visit,
    poisson_arrivals,
    random_routes,
    replicate,
    service_times,
    simulate,
    streams,
    warm_up_length,
)

N = 400_000


def queue(seed, *, arrival_rate, mean, servers, variation=1.0, patience_rate=None, n=N):
    """One stationary queue with Poisson arrivals; the run and its first quarter as warm-up."""
    rng = streams(np.random.default_rng(seed), "arrivals", "service", "patience")
    arrival = np.cumsum(rng["arrivals"].exponential(1 / arrival_rate, n))
    service = service_times(mean, variation, n, rng["service"])
    patience = None
    if patience_rate is not None:
        patience = (
            np.zeros(n)
            if np.isinf(patience_rate)
            else rng["patience"].exponential(1 / patience_rate, n)
        )
    return simulate(one_visit(arrival, service, patience), [Station(name="q", servers=servers)])


def within(estimate, exact, errors=3.0):
    assert estimate.stderr > 0
    assert abs(estimate.mean - exact) < errors * estimate.stderr


@pytest.mark.parametrize(
    ("servers", "load", "delayed"),
    [
        (2, 1, 0.3333333333),
        (5, 4, 0.5541125541),
        (10, 8, 0.4091801508),
        (100, 90, 0.2169404809),
    ],
)
def test_share_that_waits_matches_erlang_c_table(servers, load, delayed):
    run = queue(11 + servers, arrival_rate=load, mean=1.0, servers=servers)
    within(batch_means(run.wait > 0, warm_up=N // 10), delayed)


@pytest.mark.parametrize(
    ("servers", "load", "lost"),
    [
        (2, 1, 0.2000000000),
        (5, 4, 0.1990668740),
        (10, 8, 0.1216610643),
        (100, 90, 0.0269573805),
    ],
)
def test_share_lost_without_patience_matches_erlang_b_table(servers, load, lost):
    run = queue(21 + servers, arrival_rate=load, mean=1.0, servers=servers, patience_rate=np.inf)
    within(batch_means(run.left, warm_up=N // 10), lost)


def test_mean_wait_of_three_servers_matches_mmc_formula():
    run = queue(31, arrival_rate=10, mean=0.25, servers=3)
    within(batch_means(run.wait, warm_up=N // 10), 0.3511235955)


@pytest.mark.parametrize(("variation", "wait"), [(0, 2.0), (0.5, 3.0), (1, 4.0), (2, 6.0)])
def test_mean_wait_matches_pollaczek_khinchine(variation, wait):
    run = queue(41, arrival_rate=0.8, mean=1.0, servers=1, variation=variation)
    within(batch_means(run.wait, warm_up=N // 10), wait)


def test_queue_and_abandonment_match_erlang_a():
    run = queue(51, arrival_rate=10, mean=0.25, servers=3, patience_rate=1.0)
    within(batch_means(run.left, warm_up=N // 10), 0.0975330)
    # Little: the queue of .975330 is the arrival rate times the wait of all, served or not.
    within(batch_means(run.wait, warm_up=N // 10), 0.975330 / 10)


@pytest.mark.parametrize(
    ("rate", "mean", "servers", "patience"), [(3.0, 1.0, 4, 0.5), (20.0, 1.0, 18, 2.0)]
)
def test_waits_and_abandonment_agree_with_the_exact_formulas_elsewhere_too(
    rate, mean, servers, patience
):
    exact = ErlangA(arrival_rate=rate, mean_service=mean, servers=servers, mean_patience=patience)
    run = queue(55, arrival_rate=rate, mean=mean, servers=servers, patience_rate=1 / patience)
    within(batch_means(run.left, warm_up=N // 10), float(exact.abandonment_share))
    within(batch_means(run.wait, warm_up=N // 10), float(exact.mean_wait))
    calm = Queue(arrival_rate=rate, mean_service=mean, servers=servers + 4)
    run = queue(56, arrival_rate=rate, mean=mean, servers=servers + 4)
    within(batch_means(run.wait, warm_up=N // 10), float(calm.mean_wait))


def test_priority_classes_match_cobham():
    n, load = N, 0.8
    rng = np.random.default_rng(61)
    journeys = one_visit(np.cumsum(rng.exponential(1 / load, n)), rng.exponential(1.0, n))
    rank = rng.integers(0, 2, n)
    journeys = Journeys(
        arrival=journeys.arrival,
        first=journeys.first,
        station=journeys.station,
        service=journeys.service,
        priority=rank,
    )
    run = simulate(journeys, [Station(name="q", servers=1)])
    residual, urgent = load, load / 2
    for which, exact in (
        (0, residual / (1 - urgent)),
        (1, residual / ((1 - urgent) * (1 - load))),
    ):
        within(batch_means(run.wait[rank == which], warm_up=N // 20), exact)


def test_network_with_returns_matches_jackson():
    # Two stations, a quarter of the second's patients return to the first, as with a doctor.
    n = 150_000
    rng = streams(np.random.default_rng(71), "arrivals", "routes", "service")
    onward = np.array([[0.0, 0.6], [0.25, 0.0]])
    first, station = random_routes(n, [1.0, 0.0], onward, rng["routes"])
    service_rate, servers = np.array([1.0, 0.9]), (2, 1)
    arrivals = 1.0 * np.linalg.solve(np.eye(2) - onward.T, [1.0, 0.0])
    run = simulate(
        Journeys(
            arrival=np.cumsum(rng["arrivals"].exponential(1.0, n)),
            first=first,
            station=station,
            service=rng["service"].exponential(1 / service_rate[station]),
        ),
        [Station(name=str(k), servers=c) for k, c in enumerate(servers)],
    )
    for k, c in enumerate(servers):
        load = arrivals[k] / service_rate[k]
        use = load / c
        # Erlang C for one server is the load; for two, load^2 / (2 + load) by hand.
        delayed = load if c == 1 else load**2 / (2 + load)
        exact = delayed / (c * service_rate[k] * (1 - use))
        order = np.argsort(run.arrived[run.at(k)])
        within(batch_means(run.wait[run.at(k)][order], warm_up=n // 10), exact)


def test_number_present_under_a_moving_rate_matches_infinite_server_formula():
    # m(t) = integral over u < t of rate(u) P(S > t - u) du; exponential S, rate 30 then 90 an hour.
    edges, rates, mean = np.array([0.0, 4.0, 8.0]), np.array([30.0, 90.0]), 0.5
    times = np.array([1.0, 4.0, 5.0, 8.0])

    def present(rng):
        arrival = poisson_arrivals(edges, rates, rng)
        run = simulate(
            one_visit(arrival, rng.exponential(mean, arrival.size)),
            [Station(name="ward", servers=np.inf)],
        )
        return run.in_service(0, times)

    counts = np.array(replicate(present, 400, np.random.default_rng(81)))
    for k, moment in enumerate(times):
        exact = sum(
            rate
            * mean
            * (
                np.exp(-(moment - min(end, moment)) / mean)
                - np.exp(-(moment - min(begin, moment)) / mean)
            )
            for begin, end, rate in zip(edges[:-1], edges[1:], rates, strict=True)
        )
        within(estimate(counts[:, k]), exact)


def slow_simulation(arrival, first, station, service, patience, priority, rota):
    """The same rules by brute force: one list of events, queues searched from the front."""
    events, count = [], 0
    for patient, moment in enumerate(arrival):
        heapq.heappush(events, (moment, 2, patient, first[patient]))
    for index, (servers, starts) in enumerate(rota):
        for number, start in zip(servers, starts, strict=True):
            if np.isfinite(start):
                heapq.heappush(events, (start, 1, index, number))
    capacity = [s[0] if np.isneginf(t[0]) else 0 for s, t in rota]
    busy, queues = [0] * len(rota), [[] for _ in rota]
    arrived, started, ended = (np.full(station.size, np.nan) for _ in range(3))
    last = set(first[1:] - 1)

    def serve(place, now):
        queue = queues[place]
        queue[:] = [v for v in queue if arrived[v] + patience[v] >= now]
        while queue and busy[place] < capacity[place]:
            visit = min(queue, key=lambda v: priority[v])  # the first of its class in line
            queue.remove(visit)
            started[visit], ended[visit] = now, now + service[visit]
            busy[place] += 1
            heapq.heappush(events, (ended[visit], 0, visit, 0))

    while events:
        now, kind, what, extra = heapq.heappop(events)
        count += 1
        if kind == 0:
            place = station[what]
            busy[place] -= 1
            serve(place, now)
            if what in last:
                continue
            come = what + 1
        elif kind == 1:
            capacity[what] = extra
            serve(what, now)
            continue
        else:
            come = extra
        arrived[come] = now
        queues[station[come]].append(come)
        serve(station[come], now)
    return arrived, started


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    patients=st.integers(1, 40),
    ties=st.booleans(),
    longest=st.sampled_from([1.0, 1e-3, 1e3, 1e300]),
)
def test_event_loop_equals_brute_force_with_shifts_priorities_patience_and_returns(
    seed, patients, ties, longest
):
    rng = np.random.default_rng(seed)
    first = np.concatenate([[0], np.cumsum(rng.integers(1, 5, patients))])
    visits = first[-1]
    arrival = rng.random(patients) * 10
    station = rng.integers(0, 3, visits)
    service, patience = rng.exponential(1.0, visits), rng.exponential(3.0, visits)
    if ties:  # a log in whole minutes: much happens at one moment, and services of none
        arrival, service, patience = map(np.floor, (arrival, service, patience))
    # A few services last far longer or shorter than the day, in no measure of its arrivals.
    service[rng.random(visits) < 0.2] *= longest
    priority = rng.integers(0, 3, visits)
    rota = [
        ((1.0, 0.0, 2.0), (-np.inf, 4.0, 6.0)),
        ((2.0, 1.0), (1.0, 8.0)),
        ((1.0,), (-np.inf,)),
    ]
    run = simulate(
        Journeys(
            arrival=arrival,
            first=first,
            station=station,
            service=service,
            patience=patience,
            priority=priority,
        ),
        [Station(name=str(k), servers=s, shifts=t) for k, (s, t) in enumerate(rota)],
    )
    arrived, started = slow_simulation(arrival, first, station, service, patience, priority, rota)
    np.testing.assert_array_equal(run.arrived, arrived)
    np.testing.assert_array_equal(run.started, started)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    patients=st.integers(1, 60),
    servers=st.integers(1, 9),
    ties=st.booleans(),
)
def test_one_queue_is_the_event_loop_to_the_bit(seed, patients, servers, ties):
    """Endless patience changes nothing but the method: the recursion, or event by event."""
    rng = np.random.default_rng(seed)
    arrival, service = rng.random(patients) * patients / 3, rng.exponential(servers, patients)
    if ties:
        arrival, service = np.floor(arrival), np.floor(service)
    desk = [Station(name="q", servers=servers)]
    quick = simulate(one_visit(arrival, service), desk)
    slow = simulate(one_visit(arrival, service, np.full(patients, np.inf)), desk)
    for name in ("arrived", "started", "ended", "left"):
        np.testing.assert_array_equal(getattr(quick, name), getattr(slow, name))
    assert quick.queue_area[0] == pytest.approx(slow.queue_area[0], rel=1e-12, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    servers=st.integers(1, 4),
    patience=st.sampled_from([None, 0.0, 0.5, 5.0]),
)
def test_little_holds_to_machine_precision_on_every_run(seed, servers, patience):
    """What the event loop integrates over time equals the sum of what patients lived through."""
    rng = np.random.default_rng(seed)
    n = 500
    arrival, service = np.cumsum(rng.exponential(0.3, n)), rng.exponential(1.0, n)
    limits = None if patience is None else rng.exponential(1.0, n) * patience
    run = simulate(one_visit(arrival, service, limits), [Station(name="q", servers=servers)])
    assert run.queue_area[0] == pytest.approx(run.wait.sum(), rel=1e-11, abs=1e-9)
    # The picture of the queue holds the same area.
    moments = np.unique(np.concatenate([run.arrived, run.started[run.served], run.ended]))
    area = (run.queue(0, moments)[:-1] * np.diff(moments)).sum()
    assert area == pytest.approx(run.wait.sum(), rel=1e-11, abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_little_is_exact_to_the_bit_in_a_network_where_sums_are(seed):
    """Times in 1024ths of a minute add without rounding: the two sides must be equal."""
    rng = np.random.default_rng(seed)
    n = 200
    first = np.concatenate([[0], np.cumsum(rng.integers(1, 5, n))])
    visits = first[-1]
    run = simulate(
        Journeys(
            arrival=np.cumsum(rng.integers(0, 900, n)) / 1024,
            first=first,
            station=rng.integers(0, 3, visits),
            service=rng.integers(0, 4000, visits) / 1024,
            patience=rng.integers(0, 9000, visits) / 1024,
            priority=rng.integers(0, 3, visits),
        ),
        [
            Station(name="a", servers=(1, 0, 2), shifts=(-np.inf, 20.0, 25.0)),
            Station(name="b", servers=2),
            Station(name="c", servers=(2, 1), shifts=(0.0, 40.0)),
        ],
    )
    for k in range(3):
        assert run.queue_area[k] == np.nansum(run.wait[run.at(k)])


def test_nobody_is_served_while_the_staff_have_a_break():
    run = simulate(
        one_visit([0.0, 1.0, 5.0], [3.0, 1.0, 1.0]),
        [Station(name="desk", servers=(1, 0, 1), shifts=(0.0, 2.0, 6.0))],
    )
    # The first is finished although the shift ended at 2; the others wait for 6.
    assert run.started.tolist() == [0.0, 6.0, 7.0]


def test_who_is_left_when_the_desk_closes_is_neither_served_nor_gone():
    run = simulate(
        one_visit([0.0, 0.0], [3.0, 1.0]),
        [Station(name="desk", servers=(1, 0), shifts=(0.0, 2.0))],
    )
    assert run.served.tolist() == [True, False]
    assert not run.left.any()
    assert np.isnan(run.wait[1])


def test_journeys_without_some_visits_keep_the_draws_of_the_others():
    journeys = Journeys(
        arrival=np.array([0.0, 1.0, 2.0]),
        first=np.array([0, 2, 3, 5]),
        station=np.array([0, 1, 0, 0, 1]),
        service=np.arange(5.0),
    )
    rest = journeys.keep(journeys.station == 1)
    assert rest.arrival.tolist() == [0.0, 2.0]
    assert rest.first.tolist() == [0, 1, 2]
    assert rest.service.tolist() == [1.0, 4.0]


def _one_day(rng):
    arrival = poisson_arrivals([0.0, 100.0], [1.0], rng)
    run = simulate(
        one_visit(arrival, rng.exponential(1.5, arrival.size)), [Station(name="q", servers=2)]
    )
    return float(run.wait.sum())


def test_same_seed_gives_the_same_runs_on_one_thread_on_many_and_in_other_processes():
    alone = replicate(_one_day, 6, np.random.default_rng(5))
    assert alone == replicate(_one_day, 6, np.random.default_rng(5), workers=3)
    with ProcessPoolExecutor(1) as pool:
        assert alone[:3] == list(pool.map(_one_day, np.random.default_rng(5).spawn(6)[:3]))
    assert len(set(alone)) == 6


def test_common_random_numbers_shrink_the_error_of_a_difference():
    def difference(rng, shared):
        waits = []
        for servers in (2, 3):
            source = np.random.default_rng(rng.bit_generator.seed_seq) if shared else rng
            arrival = poisson_arrivals([0.0, 200.0], [1.0], source)
            service = source.exponential(1.5, arrival.size)
            run = simulate(one_visit(arrival, service), [Station(name="q", servers=servers)])
            waits.append(run.wait.mean())
        return waits[0] - waits[1]

    errors = [
        estimate(
            replicate(lambda rng, s=shared: difference(rng, s), 200, np.random.default_rng(9))
        ).stderr
        for shared in (True, False)
    ]
    assert errors[0] < errors[1]


def test_arrivals_have_the_mean_and_variance_of_a_poisson_count_in_every_piece():
    edges, rates = [0.0, 1.0, 3.0, 4.0], [5.0, 0.0, 20.0]
    counts = np.array(
        [
            np.histogram(poisson_arrivals(edges, rates, rng), edges)[0]
            for rng in np.random.default_rng(3).spawn(3000)
        ]
    )
    assert counts[:, 1].max() == 0
    for piece, expected in ((0, 5.0), (2, 20.0)):
        within(estimate(counts[:, piece]), expected)
        # The variance of a Poisson count is its mean; its own error is about mean * sqrt(2 / n).
        assert counts[:, piece].var() == pytest.approx(expected, rel=4 * np.sqrt(2 / 3000))


@pytest.mark.parametrize("variation", [0.0, 0.4, 1.0, 3.0])
def test_service_times_have_the_stated_mean_and_variation(variation):
    times = service_times(3.0, variation, 400_000, np.random.default_rng(2))
    assert times.mean() == pytest.approx(3.0, rel=4 * np.sqrt(variation / 400_000) + 1e-12)
    assert (times.std() / times.mean()) ** 2 == pytest.approx(variation, rel=0.03)


def test_random_routes_visit_each_station_as_often_as_the_traffic_equations_say():
    onward = np.array([[0.0, 0.6, 0.1], [0.25, 0.0, 0.5], [0.0, 0.1, 0.0]])
    first, station = random_routes(50_000, [0.8, 0.2, 0.0], onward, np.random.default_rng(4))
    visits = np.linalg.solve(np.eye(3) - onward.T, [0.8, 0.2, 0.0])
    patient = np.repeat(np.arange(50_000), np.diff(first))
    for k in range(3):
        within(estimate(np.bincount(patient[station == k], minlength=50_000)), visits[k])


def test_batch_means_cover_the_truth_where_the_plain_error_would_not():
    rng = np.random.default_rng(7)
    covered = {"batch": 0, "plain": 0}
    for _ in range(200):
        noise = rng.normal(size=4000)
        series = np.empty(4000)
        series[0] = noise[0]
        for k in range(1, 4000):
            series[k] = 0.9 * series[k - 1] + noise[k]
        low, high = batch_means(series, batches=20).interval(0.9)
        covered["batch"] += low < 0 < high
        low, high = estimate(series).interval(0.9)
        covered["plain"] += low < 0 < high
    assert 0.84 <= covered["batch"] / 200 <= 0.95  # 90 % with a binomial error of 2 %
    assert covered["plain"] / 200 < 0.5


def test_warm_up_drops_an_initial_transient_and_nothing_else():
    rng = np.random.default_rng(8)
    steady = rng.normal(size=5000)
    assert warm_up_length(steady) < 500
    assert 200 <= warm_up_length(np.concatenate([np.full(200, 12.0), steady])) <= 300


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Station(name="desk", servers=-1), "servers=-1"),
        (lambda: Station(name="desk", servers=1.5), r"servers=\[.*1\.5.*\] must be whole"),
        (lambda: Station(name="desk", servers=(1, 2), shifts=(3.0, 2.0)), "must increase"),
        (lambda: one_visit([0.0], [-1.0]), "service=-1"),
        (lambda: one_visit([np.nan], [1.0]), "arrival=nan"),
        (lambda: one_visit([0.0], [1.0], [-2.0]), "patience=-2"),
        (
            lambda: Journeys(
                arrival=np.zeros(2),
                first=np.array([0, 1, 1]),
                station=np.zeros(1, int),
                service=np.zeros(1),
            ),
            "patient 1 has no visit",
        ),
        (
            lambda: simulate(
                Journeys(
                    arrival=np.zeros(1),
                    first=np.array([0, 1]),
                    station=np.array([4]),
                    service=np.zeros(1),
                ),
                [Station(name="desk", servers=1)],
            ),
            "station=4 does not exist",
        ),
        (lambda: poisson_arrivals([0, 1], [-2.0], np.random.default_rng()), "rates="),
        (lambda: service_times(1.0, -1, 3, np.random.default_rng()), "variation_squared=-1"),
        (lambda: random_routes(3, [1.0], [[1.0]], np.random.default_rng()), "never lets"),
        (lambda: batch_means(np.ones(10)), "batches=30"),
        (lambda: estimate([1.0]), "two or more"),
    ],
)
def test_impossible_input_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()

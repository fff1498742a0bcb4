"""The event loop against Ciw and SimPy: M/M/3, and a six-station day with return visits.

Run with a Python that has ``ciw`` and ``simpy`` (not dependencies of the project):
    python benchmarks/simulation.py --peers /path/to/venv/bin/python
Peers are timed on fewer customers and compared a customer; interleaved; medians. All are one
thread that only computes, so processor seconds are compared: other load does not count.
Compiling is timed apart.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import time
from functools import partial
from statistics import median

# Six stations: registration, doctor, payment, tests, reports, pharmacy; half of the patients go
# doctor -> payment -> tests -> reports -> doctor again; everyone then pays again and collects.
ARRIVALS = 1.0
MEANS = (0.8, 2.5, 0.7, 3.0, 0.4, 0.8)
SERVERS = (2, 6, 3, 3, 1, 2)
LONG, SHORT = (0, 1, 2, 3, 4, 1, 2, 5), (0, 1, 2, 5)
TESTED = 0.5


def simpy_mm3(customers: int) -> float:
    import simpy

    env, waits, draw = simpy.Environment(), [], random.Random(1)
    desk = simpy.Resource(env, 3)

    def patient():
        came = env.now
        with desk.request() as turn:
            yield turn
            waits.append(env.now - came)
            yield env.timeout(draw.expovariate(4))

    def source():
        for _ in range(customers):
            yield env.timeout(draw.expovariate(10))
            env.process(patient())

    env.process(source())
    env.run()
    return sum(waits) / len(waits)


def ciw_mm3(customers: int) -> float:
    import ciw

    ciw.seed(1)
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(10)],
        service_distributions=[ciw.dists.Exponential(4)],
        number_of_servers=[3],
    )
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_customers(customers, method="Finish")
    waits = [record.waiting_time for record in simulation.get_all_records()]
    return sum(waits) / len(waits)


def simpy_day(customers: int) -> float:
    import simpy

    env, stays, draw = simpy.Environment(), [], random.Random(1)
    desks = [simpy.Resource(env, servers) for servers in SERVERS]

    def patient():
        came = env.now
        for place in LONG if draw.random() < TESTED else SHORT:
            with desks[place].request() as turn:
                yield turn
                yield env.timeout(draw.expovariate(1 / MEANS[place]))
        stays.append(env.now - came)

    def source():
        for _ in range(customers):
            yield env.timeout(draw.expovariate(ARRIVALS))
            env.process(patient())

    env.process(source())
    env.run()
    return sum(stays) / len(stays)


def ours_mm3(customers: int) -> float:
    import numpy as np

    from o2o_research.models.simulation import Station, one_visit, simulate

    rng = np.random.default_rng(1)
    arrival = np.cumsum(rng.exponential(1 / 10, customers))
    run = simulate(
        one_visit(arrival, rng.exponential(1 / 4, customers)), [Station(name="desk", servers=3)]
    )
    return float(run.wait.mean())


def ours_day(customers: int) -> float:
    import numpy as np

    from o2o_research.models.simulation import Journeys, Station, simulate

    rng = np.random.default_rng(1)
    tested = rng.random(customers) < TESTED
    first = np.concatenate([[0], np.cumsum(np.where(tested, len(LONG), len(SHORT)))])
    paths = np.full((customers, len(LONG)), -1, np.int8)
    paths[tested] = LONG
    paths[~tested, : len(SHORT)] = SHORT
    station = paths.ravel()
    station = station[station >= 0].astype(np.int64)
    run = simulate(
        Journeys(
            arrival=np.cumsum(rng.exponential(1 / ARRIVALS, customers)),
            first=first,
            station=station,
            service=rng.standard_exponential(station.size) * np.array(MEANS)[station],
        ),
        [Station(name=str(k), servers=c) for k, c in enumerate(SERVERS)],
    )
    return float(run.time_in_system.mean())


def timed(name: str, customers: int) -> tuple[float, float]:
    start = time.process_time()
    answer = globals()[name](customers)
    return time.process_time() - start, answer


def asked(python: str, name: str, customers: int) -> tuple[float, float]:
    """One timing in the peers' Python, where o2o_research need not be installed."""
    command = [python, __file__, "--one", name, str(customers)]
    seconds, answer = json.loads(subprocess.check_output(command, text=True))
    return float(seconds), float(answer)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", default=sys.executable)
    parser.add_argument("--peer-customers", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one", nargs=2, metavar=("NAME", "CUSTOMERS"))
    given = parser.parse_args()
    if given.one:
        print(json.dumps(timed(given.one[0], int(given.one[1]))))
        return
    for name in ("ours_mm3", "ours_day"):
        print(f"{name}: compile or load, and 10 customers: {timed(name, 10)[0]:.2f} s")
    counts = {"ours_mm3": 1_000_000, "ours_day": 1_000_000}
    if subprocess.run(
        [given.peers, "-c", "import ciw, simpy"], stderr=subprocess.DEVNULL
    ).returncode:
        print(f"{given.peers} has no ciw and simpy: timed alone (see --peers)")
    else:
        few = given.peer_customers
        counts |= {"simpy_mm3": few, "ciw_mm3": few, "simpy_day": few // 5}
    seconds: dict[str, list[float]] = {name: [] for name in counts}
    means: dict[str, float] = {}
    for _ in range(given.rounds):
        for name, count in counts.items():
            run = timed if name.startswith("ours") else partial(asked, given.peers)
            spent, means[name] = run(name, count)
            seconds[name].append(spent / count * 1e6)
    middle = {name: median(spent) for name, spent in seconds.items()}
    for name, spent in seconds.items():
        print(
            f"{name}: {middle[name]:.3f} s a million (best {min(spent):.3f}), mean {means[name]:.4f}"
        )
    print("M/M/3 waits by theory: 0.3511")
    for mine, other, goal in (
        ("ours_mm3", "ciw_mm3", 300),
        ("ours_mm3", "simpy_mm3", 150),
        ("ours_day", "simpy_day", 50),
    ):
        if other in middle:
            ratios = [
                there / here for there, here in zip(seconds[other], seconds[mine], strict=True)
            ]
            print(f"{other} / {mine}: {median(ratios):.0f} x (median of rounds), goal {goal} x")


if __name__ == "__main__":
    main()

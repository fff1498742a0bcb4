"""Patients on their way through a network of stations, simulated event by event.

All randomness lies in the *journeys* (who comes when, to which stations in which order, how
long each service takes, how long a patient would wait); given the journeys, the run is
deterministic. Two scenarios that share journeys therefore share their random numbers patient
by patient, a recorded log can be played back through other staffing, and a run cannot depend
on how many workers share the work.

Discipline of every station: free servers take the lowest priority class first, and within a
class first come, first served; service is not interrupted (a server whose shift ends finishes
the patient). At one moment, ends of service come first, in the order of visits, then shifts,
then arrivals. A station with ``servers=inf`` is a delay: walking, laboratory time, rest.
Textbook background: Law (2015), Simulation Modeling and Analysis, 5th edition.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student

from o2o_research.domain import Interval, require

Array = NDArray[np.float64]
Indices = NDArray[np.int64]
Answer = TypeVar("Answer")


@dataclass(frozen=True, kw_only=True)
class Station:
    """A place where patients are served, with its rota.

    Parameters
    ----------
    name : str
        What it is called.
    servers : float or sequence of float
        Servers on duty, whole numbers >= 0 or ``inf`` for a delay; one for each shift. [c]
    shifts : sequence of float
        When each shift begins, increasing; before the first, nobody is on duty. By default one
        shift from the beginning of time.

    Raises
    ------
    ValueError
        A negative or fractional number of servers, or shifts that do not increase.

    Examples
    --------
    Four cashiers from 8:00, two over lunch, four again; minutes after midnight:

    >>> Station(name="payment", servers=(4, 2, 4), shifts=(480, 720, 810)).most
    4.0
    """

    name: str
    servers: float | Sequence[float]
    shifts: Sequence[float] = (-np.inf,)

    def __post_init__(self) -> None:
        require(self, servers="[0, inf]")
        on_duty, starts = self.rota
        if on_duty.shape != starts.shape or not (np.diff(starts) > 0).all():
            raise ValueError(
                f"Station {self.name}: shifts={list(starts)} must increase, one for each of "
                f"servers={list(on_duty)}"
            )
        whole = np.isinf(on_duty) | (on_duty == np.floor(on_duty))
        if not whole.all():
            raise ValueError(f"Station {self.name}: servers={list(on_duty)} must be whole numbers")

    @cached_property
    def rota(self) -> tuple[Array, Array]:
        """Servers on duty and the shifts' beginnings, both of shape (shifts,)."""
        on_duty = np.atleast_1d(np.asarray(self.servers, float))
        return on_duty, np.atleast_1d(np.asarray(self.shifts, float))

    @property
    def most(self) -> float:
        """The largest number of servers on duty in any shift."""
        return float(self.rota[0].max())

    @property
    def always(self) -> int:
        """Servers on duty at all times; 0 where shifts change them, or for a delay."""
        on_duty, starts = self.rota
        always = np.isneginf(starts).all() and np.isfinite(on_duty).all()
        return int(on_duty[0]) if always else 0


@dataclass(frozen=True, kw_only=True)
class Journeys:
    """What every patient brings: an arrival time and a list of visits to stations.

    The visits of all patients lie one after the other; patient ``i`` owns the visits
    ``first[i]`` to ``first[i + 1]``. Times share one unit of the analyst's choice.

    Parameters
    ----------
    arrival : ndarray, shape (patients,)
        When each patient comes to the first station.
    first : ndarray of int, shape (patients + 1,)
        Where each patient's visits begin; the last entry is the number of visits.
    station : ndarray of int, shape (visits,)
        The station of each visit, as an index.
    service : ndarray, shape (visits,)
        Service time, >= 0.
    patience : ndarray, shape (visits,), optional
        How long the patient waits here before leaving for good, >= 0; endless by default.
    priority : ndarray of int, shape (visits,), optional
        Class, 0 served first; all 0 by default.

    Raises
    ------
    ValueError
        Shapes that disagree, a patient without visits, a negative or missing time.
    """

    arrival: Array
    first: Indices
    station: Indices
    service: Array
    patience: Array | None = None
    priority: Indices | None = None

    def __post_init__(self) -> None:
        visits = self.station.size
        if self.first.shape != (self.arrival.size + 1,) or (
            self.first.size and (self.first[0] != 0 or self.first[-1] != visits)
        ):
            raise ValueError(
                f"Journeys: first must run from 0 to {visits} visits in {self.arrival.size + 1} "
                f"entries, got {self.first.size} entries"
            )
        some = self.first[1:] > self.first[:-1]
        if not some.all():
            patient = int(np.flatnonzero(~some)[0])
            raise ValueError(f"Journeys: patient {patient} has no visit")
        for name in ("service", "patience", "priority"):
            values = getattr(self, name)
            if values is not None and values.shape != (visits,):
                raise ValueError(
                    f"Journeys: {name} has shape {values.shape}, wanted ({visits},), one a visit"
                )
        domains = {"arrival": "(-inf, inf)", "service": "[0, inf)", "patience": "[0, inf]"}
        domains |= {"station": "[0, inf)", "priority": "[0, 15]"}
        for name, domain in domains.items():
            values = getattr(self, name)
            # The ends speak for all: millions of visits are checked in one pass, nan included.
            if values is not None and values.size:
                ends, allowed = np.array([values.min(), values.max()]), Interval.parse(domain)
                if not allowed.contains(ends).all():
                    worst = ends[~allowed.contains(ends)][0]
                    raise ValueError(f"Journeys: {name}={worst:g} must lie in {allowed}")

    @property
    def patient(self) -> Indices:
        """Whose each visit is. Shape (visits,)."""
        return np.repeat(np.arange(self.arrival.size), np.diff(self.first))

    def keep(self, visits: NDArray[np.bool_]) -> Journeys:
        """The same patients without the visits that are not kept; patients left empty go too.

        Parameters
        ----------
        visits : ndarray of bool, shape (visits,)
        """
        counts = np.bincount(self.patient[visits], minlength=self.arrival.size)
        stay = counts > 0
        changes: dict[str, Any] = {
            name: getattr(self, name)[visits]
            for name in ("station", "service", "patience", "priority")
            if getattr(self, name) is not None
        }
        first = np.concatenate([[0], np.cumsum(counts[stay])])
        return replace(self, arrival=self.arrival[stay], first=first, **changes)


def one_visit(
    arrival: ArrayLike, service: ArrayLike, patience: ArrayLike | None = None
) -> Journeys:
    """Journeys of patients who each see one station, number 0, once."""
    times = np.asarray(arrival, float)
    return Journeys(
        arrival=times,
        first=np.arange(times.size + 1),
        station=np.zeros(times.size, np.int64),
        service=np.asarray(service, float),
        patience=None if patience is None else np.asarray(patience, float),
    )


@dataclass(frozen=True, kw_only=True)
class Run:
    """What happened: one row a visit, in the order of the journeys.

    ``arrived`` is missing (nan) where a patient had left before; ``started`` where a patient
    was never served: ``left`` says that patience ran out, otherwise the station closed first.

    Parameters
    ----------
    journeys : Journeys
    stations : sequence of Station
    arrived, started, ended : ndarray, shape (visits,)
    left : ndarray of bool, shape (visits,)
    queue_area : ndarray, shape (stations,)
        Patients waiting, integrated over time by the event loop itself.
    """

    journeys: Journeys
    stations: Sequence[Station]
    arrived: Array
    started: Array
    ended: Array
    left: NDArray[np.bool_] = field(repr=False)
    queue_area: Array = field(repr=False)

    @property
    def wait(self) -> Array:
        """Time in the queue, also of those who gave up; nan if never ended. Shape (visits,)."""
        return np.where(self.left, self.ended, self.started) - self.arrived

    @property
    def served(self) -> NDArray[np.bool_]:
        """Whether each visit was served. Shape (visits,)."""
        return ~np.isnan(self.started)

    @property
    def time_in_system(self) -> Array:
        """From arrival to the end of the last visit; nan for who was not served to the end.

        Shape (patients,).
        """
        last = self.journeys.first[1:] - 1
        done = np.where(self.left[last], np.nan, self.ended[last])
        return done - self.journeys.arrival

    def at(self, station: int) -> NDArray[np.bool_]:
        """Which visits came to a station. Shape (visits,)."""
        return np.asarray((self.journeys.station == station) & ~np.isnan(self.arrived))

    def queue(self, station: int, times: ArrayLike) -> Indices:
        """How many waited at each of ``times`` (just after it). Same shape as ``times``."""
        here = self.at(station)
        came = np.sort(self.arrived[here])
        went = np.where(self.left[here], self.ended[here], self.started[here])
        went = np.sort(went[~np.isnan(went)])
        moments = np.asarray(times, float)
        return came.searchsorted(moments, "right") - went.searchsorted(moments, "right")

    def in_service(self, station: int, times: ArrayLike) -> Indices:
        """How many were being served at each of ``times``. Same shape as ``times``."""
        here = self.at(station) & self.served
        moments = np.asarray(times, float)
        began, ended = np.sort(self.started[here]), np.sort(self.ended[here])
        return began.searchsorted(moments, "right") - ended.searchsorted(moments, "right")


@njit(cache=True, nogil=True)
def _one_queue(  # type: ignore[no-untyped-def]  # pragma: no cover
    arrival, service, servers, started, ended
):
    """First come, first served at one station whose servers all stay; returns the queue's area.

    Who arrives starts when the first server is free (Kiefer and Wolfowitz, 1955), so the end of
    a visit is known at once and the only events are arrivals.
    """
    free = np.full(servers, -np.inf)  # a heap of the times when each server is done
    queue_area = 0.0
    last_change = 0.0
    gone = 0  # of those who came, how many have started by now
    for visit in range(arrival.size):
        now = arrival[visit]
        start = max(now, free[0])
        done = start + service[visit]
        hole = 0
        child = 1
        while child < servers:
            if child + 1 < servers and free[child + 1] < free[child]:
                child += 1
            if free[child] >= done:
                break
            free[hole] = free[child]
            hole = child
            child = 2 * hole + 1
        free[hole] = done
        while gone < visit and started[gone] <= now:
            queue_area += (visit - gone) * (started[gone] - last_change)
            last_change = started[gone]
            gone += 1
        queue_area += (visit - gone) * (now - last_change)
        last_change = now
        started[visit] = start
        ended[visit] = done
    for visit in range(gone, arrival.size):
        queue_area += (arrival.size - visit) * (started[visit] - last_change)
        last_change = started[visit]
    return queue_area


@njit(cache=True, nogil=True)
def _rise(heap_time, heap_visit, hole, time, visit):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Put an end into the heap from below; of equal times the lower visit is first."""
    while hole > 0:
        above = (hole - 1) >> 1
        if heap_time[above] < time or (heap_time[above] == time and heap_visit[above] < visit):
            break
        heap_time[hole] = heap_time[above]
        heap_visit[hole] = heap_visit[above]
        hole = above
    heap_time[hole] = time
    heap_visit[hole] = visit


@njit(cache=True, nogil=True)
def _sink(heap_time, heap_visit, size):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Take the first end out of the heap: the last of ``size + 1`` goes down from its place."""
    time, visit = heap_time[size], heap_visit[size]
    hole = 0
    child = 1
    while child < size:
        beside = child + 1
        if beside < size and (
            heap_time[beside] < heap_time[child]
            or (heap_time[beside] == heap_time[child] and heap_visit[beside] < heap_visit[child])
        ):
            child = beside
        if heap_time[child] > time or (heap_time[child] == time and heap_visit[child] > visit):
            break
        heap_time[hole] = heap_time[child]
        heap_visit[hole] = heap_visit[child]
        hole = child
        child = 2 * hole + 1
    heap_time[hole] = time
    heap_visit[hole] = visit


@njit(cache=True, nogil=True)
def _event_loop(  # type: ignore[no-untyped-def]  # pragma: no cover
    arrival,
    entry,
    first,
    station,
    service,
    arrived,
    started,
    ended,
    left,
    patience,
    impatient,
    priority,
    classes,
    on_duty,
    shift_time,
    shift_station,
    shift_servers,
    heap_size,
):
    """One pass through the events: arrivals (sorted), shifts (sorted), departures.

    Departures wait in slices of time, in no order, and go to a heap when their slice comes, so
    that it stays small. Where all times fall into one slice, the heap holds them all.
    """
    visits = station.size
    stations = on_duty.size
    is_last = np.zeros(visits, np.bool_)
    for patient in range(1, first.size):
        is_last[first[patient] - 1] = True

    # One linked list of waiting visits for each station and class.
    head = np.full((stations, classes), -1, np.int64)
    tail = np.full((stations, classes), -1, np.int64)
    behind = np.empty(visits, np.int64)
    waiting = np.zeros(stations, np.int64)
    busy = np.zeros(stations, np.int64)
    queue_area = np.zeros(stations)
    last_change = np.zeros(stations)

    heap_time = np.empty(heap_size)
    heap_visit = np.empty(heap_size, np.int64)
    in_heap = 0
    in_service = 0
    last_slice = visits // 2
    latest = np.full(last_slice + 1, -1, np.int64)  # departure put into each slice
    former = np.empty(visits, np.int64)  # the one put there before it
    this_slice = 0
    dawn = arrival[0] if arrival.size else 0.0
    span = 1.25 * (arrival[-1] - dawn) if arrival.size else 0.0
    pace = last_slice / span if span > 0 else 0.0  # slices a unit of time
    next_patient = 0
    next_shift = 0
    time_arrival = arrival[0] if arrival.size else np.inf
    time_shift = shift_time[0] if shift_time.size else np.inf
    while True:
        while in_heap == 0 and in_service > 0:
            this_slice += 1
            visit = latest[this_slice]
            while visit >= 0:
                _rise(heap_time, heap_visit, in_heap, ended[visit], visit)
                in_heap += 1
                visit = former[visit]
        time_departure = heap_time[0] if in_heap else np.inf
        come = -1
        freed = -1
        if time_departure <= time_arrival and time_departure <= time_shift:
            if in_heap == 0:
                break
            now = time_departure
            visit = heap_visit[0]
            in_heap -= 1
            _sink(heap_time, heap_visit, in_heap)
            freed = station[visit]
            busy[freed] -= 1
            in_service -= 1
            if not is_last[visit]:
                come = visit + 1
        elif time_shift <= time_arrival:
            now = time_shift
            freed = shift_station[next_shift]
            on_duty[freed] = shift_servers[next_shift]
            next_shift += 1
            time_shift = shift_time[next_shift] if next_shift < shift_time.size else np.inf
        else:
            now = time_arrival
            come = entry[next_patient]
            next_patient += 1
            time_arrival = arrival[next_patient] if next_patient < arrival.size else np.inf

        # Freed servers take who waits, before the departing patient joins the next queue.
        while freed >= 0 and waiting[freed] > 0 and busy[freed] < on_duty[freed]:
            rank = 0
            while head[freed, rank] < 0:
                rank += 1
            visit = head[freed, rank]
            head[freed, rank] = behind[visit]
            if behind[visit] < 0:
                tail[freed, rank] = -1
            queue_area[freed] += waiting[freed] * (now - last_change[freed])
            last_change[freed] = now
            waiting[freed] -= 1
            if impatient and arrived[visit] + patience[visit] < now:
                # Gave up earlier; the queue was counted one too long since.
                ended[visit] = arrived[visit] + patience[visit]
                queue_area[freed] -= now - ended[visit]
                left[visit] = True
                continue
            started[visit] = now
            done = now + service[visit]
            ended[visit] = done
            busy[freed] += 1
            in_service += 1
            then = int(min((done - dawn) * pace, last_slice))
            if then > this_slice:
                former[visit], latest[then] = latest[then], visit
            else:
                _rise(heap_time, heap_visit, in_heap, done, visit)
                in_heap += 1

        if come >= 0:
            place = station[come]
            arrived[come] = now
            if busy[place] < on_duty[place] and waiting[place] == 0:
                started[come] = now
                done = now + service[come]
                ended[come] = done
                busy[place] += 1
                in_service += 1
                then = int(min((done - dawn) * pace, last_slice))
                if then > this_slice:
                    former[come], latest[then] = latest[then], come
                else:
                    _rise(heap_time, heap_visit, in_heap, done, come)
                    in_heap += 1
            else:
                rank = priority[come] if priority.size else 0
                behind[come] = -1
                if tail[place, rank] < 0:
                    head[place, rank] = come
                else:
                    behind[tail[place, rank]] = come
                tail[place, rank] = come
                queue_area[place] += waiting[place] * (now - last_change[place])
                last_change[place] = now
                waiting[place] += 1

    # Who still waits either gives up in time or is left standing.
    for place in range(stations):
        for rank in range(classes):
            visit = head[place, rank]
            while visit >= 0:
                queue_area[place] -= last_change[place] - arrived[visit]
                if impatient and np.isfinite(patience[visit]):
                    ended[visit] = arrived[visit] + patience[visit]
                    queue_area[place] += patience[visit]
                    left[visit] = True
                visit = behind[visit]
    return queue_area


def _simulate_one_queue(journeys: Journeys, stations: Sequence[Station], servers: int) -> Run:
    """What the event loop finds, visit by visit, in a fraction of its time."""
    arrival = np.ascontiguousarray(journeys.arrival, float)
    service = np.ascontiguousarray(journeys.service, float)
    times = np.empty((2, arrival.size))
    if (arrival[1:] < arrival[:-1]).any():
        order = np.argsort(arrival, kind="stable")
        area = _one_queue(arrival[order], service[order], servers, *times)
        times[:, order] = times.copy()
    else:
        area = _one_queue(arrival, service, servers, *times)
    return Run(
        journeys=journeys,
        stations=tuple(stations),
        arrived=arrival,
        started=times[0],
        ended=times[1],
        left=np.zeros(arrival.size, np.bool_),
        queue_area=np.array([area]),
    )


def simulate(journeys: Journeys, stations: Sequence[Station]) -> Run:
    """Send the journeys through the stations until nobody moves any more.

    Parameters
    ----------
    journeys : Journeys
        Who comes, where to, for how long.
    stations : sequence of Station
        ``journeys.station`` counts in their order.

    Returns
    -------
    Run

    Raises
    ------
    ValueError
        A visit to a station that does not exist.

    Examples
    --------
    One server, three patients a minute apart, each in need of two minutes:

    >>> run = simulate(one_visit([0, 1, 2], [2, 2, 2]), [Station(name="desk", servers=1)])
    >>> run.wait.tolist(), run.queue(0, [1.5, 2.5]).tolist()
    ([0.0, 1.0, 2.0], [1, 1])
    """
    number = int(journeys.station.max(initial=-1))
    if number >= len(stations):
        raise ValueError(f"simulate: station={number} does not exist; there are {len(stations)}")
    once = len(stations) == 1 and journeys.station.size == journeys.arrival.size
    if once and journeys.patience is None and journeys.priority is None:
        servers = min(stations[0].always, journeys.arrival.size)
        if servers:
            return _simulate_one_queue(journeys, stations, servers)
    most = sum(place.most for place in stations)
    on_duty = np.concatenate([np.empty(0), *(place.rota[0] for place in stations)])
    starts = np.concatenate([np.empty(0), *(place.rota[1] for place in stations)])
    shifts = np.array([place.rota[1].size for place in stations], int)
    index = np.repeat(np.arange(len(stations)), shifts)
    opening = np.cumsum(shifts) - shifts
    begin = np.where(np.isneginf(starts[opening]), on_duty[opening], 0.0)
    changes = np.lexsort((on_duty, index, starts))
    changes = changes[np.isfinite(starts[changes])]
    classes = 1 if journeys.priority is None else int(journeys.priority.max(initial=0)) + 1
    empty = np.empty(0)
    first = journeys.first.astype(np.int64, copy=False)
    arrival, entry = np.ascontiguousarray(journeys.arrival, float), first[:-1]
    if (arrival[1:] < arrival[:-1]).any():
        order = np.argsort(arrival, kind="stable")
        arrival, entry = arrival[order], entry[order]
    # Numpy's allocator asks for large pages, the compiled loop's does not.
    arrived, started, ended = np.full((3, journeys.station.size), np.nan)
    left = np.zeros(journeys.station.size, np.bool_)
    queue_area = _event_loop(
        arrival,
        entry,
        first,
        journeys.station.astype(np.int64, copy=False),
        np.ascontiguousarray(journeys.service, float),
        arrived,
        started,
        ended,
        left,
        empty if journeys.patience is None else np.ascontiguousarray(journeys.patience, float),
        journeys.patience is not None,
        empty.astype(np.int64) if journeys.priority is None else journeys.priority.astype(np.int64),
        classes,
        begin,
        starts[changes],
        index[changes],
        on_duty[changes],
        int(min(most, journeys.arrival.size)) + 1,
    )
    return Run(
        journeys=journeys,
        stations=tuple(stations),
        arrived=arrived,
        started=started,
        ended=ended,
        left=left,
        queue_area=queue_area,
    )


def poisson_arrivals(edges: ArrayLike, rates: ArrayLike, rng: np.random.Generator) -> Array:
    """Arrival times of a Poisson process whose rate is constant between ``edges``.

    Exact: the number is Poisson with the integral of the rate, the times are the inverse of the
    cumulative rate at sorted uniforms, so a higher rate keeps the random numbers in step.

    Parameters
    ----------
    edges : ndarray, shape (pieces + 1,), increasing
    rates : ndarray, shape (pieces,), arrivals per unit of time, >= 0 [lambda]
    rng : numpy Generator

    Returns
    -------
    ndarray, shape (arrivals,), increasing

    Raises
    ------
    ValueError
        Edges that do not increase, a negative rate, or shapes that disagree.

    Examples
    --------
    Nobody comes in the first hour:

    >>> times = poisson_arrivals([0, 60, 120], [0.0, 2.0], np.random.default_rng(1))
    >>> bool((times >= 60).all())
    True
    """
    cuts, heights = np.asarray(edges, float), np.asarray(rates, float)
    if cuts.shape != (heights.size + 1,) or not (np.diff(cuts) > 0).all():
        raise ValueError(
            f"poisson_arrivals: edges={cuts} must increase and be one more than {heights.size} rates"
        )
    if not (np.isfinite(heights) & (heights >= 0)).all():
        raise ValueError(f"poisson_arrivals: rates={heights} must be finite and >= 0")
    cumulative = np.concatenate([[0.0], np.cumsum(heights * np.diff(cuts))])
    count = rng.poisson(cumulative[-1])
    if count == 0:
        return np.empty(0)
    uniform = np.sort(rng.random(count)) * cumulative[-1]
    piece = np.searchsorted(cumulative, uniform, side="right") - 1
    piece = np.minimum(piece, heights.size - 1)
    return np.asarray(cuts[piece] + (uniform - cumulative[piece]) / heights[piece], float)


def service_times(
    mean: ArrayLike, variation_squared: float, size: int, rng: np.random.Generator
) -> Array:
    """Gamma service times of a mean and a squared coefficient of variation. Shape (size,).

    0 gives constants, 1 the exponential. [1/mu, c_s^2]

    Raises
    ------
    ValueError
        A negative variation.
    """
    if not 0 <= variation_squared < np.inf:
        raise ValueError(
            f"service_times: variation_squared={variation_squared} must lie in [0, inf)"
        )
    centre = np.broadcast_to(np.asarray(mean, float), (size,))
    if variation_squared == 0:
        return centre.copy()
    if variation_squared == 1:
        return np.asarray(rng.standard_exponential(size) * centre)
    draws = rng.standard_gamma(1 / variation_squared, size)
    return np.asarray(draws * centre * variation_squared)


def random_routes(
    patients: int, start: ArrayLike, onward: ArrayLike, rng: np.random.Generator
) -> tuple[Indices, Indices]:
    """Markov routes: where each patient goes, drawn from routing probabilities.

    Parameters
    ----------
    patients : int
    start : ndarray, shape (stations,), probabilities of the first station, summing to 1
    onward : ndarray, shape (stations, stations)
        From row to column; what a row lacks to 1 leaves the network.
    rng : numpy Generator

    Returns
    -------
    first : ndarray, shape (patients + 1,)
    station : ndarray, shape (visits,)

    Raises
    ------
    ValueError
        Rows that are no probabilities, or a network nobody can leave.
    """
    begin, moves = np.asarray(start, float), np.asarray(onward, float)
    leave = 1 - moves.sum(axis=1)
    if (moves < 0).any() or (leave < -1e-12).any() or not np.isclose(begin.sum(), 1):
        raise ValueError(f"random_routes: onward={moves.tolist()} must hold probabilities")
    if np.max(np.abs(np.linalg.eigvals(moves))) >= 1 - 1e-12:
        raise ValueError(f"random_routes: onward={moves.tolist()} never lets a patient leave")
    steps = np.cumsum(np.column_stack([moves, np.maximum(leave, 0)]), axis=1)
    outside = begin.size
    who = np.arange(patients)
    here = np.searchsorted(np.cumsum(begin), rng.random(patients) * begin.sum(), side="right")
    owners, places = [], []
    while who.size:
        owners.append(who)
        places.append(here)
        draws = rng.random(who.size)[:, None]
        there = (draws >= steps[here]).sum(axis=1)
        inside = there < outside
        who, here = who[inside], there[inside]
    owner = np.concatenate(owners)
    order = np.argsort(owner, kind="stable")
    counts = np.bincount(owner, minlength=patients)
    return np.concatenate([[0], np.cumsum(counts)]), np.concatenate(places)[order]


@dataclass(frozen=True)
class Estimate:
    """A simulated mean with its standard error and degrees of freedom.

    >>> low, high = Estimate(10.0, 1.0, 9).interval(0.95)
    >>> round(low, 3), round(high, 3)
    (7.738, 12.262)
    """

    mean: float
    stderr: float
    freedom: int

    def interval(self, level: float = 0.90) -> tuple[float, float]:
        """Student's interval of the mean."""
        half = float(student.ppf(0.5 + level / 2, self.freedom)) * self.stderr
        return self.mean - half, self.mean + half


def batch_means(values: ArrayLike, *, batches: int = 30, warm_up: int = 0) -> Estimate:
    """Mean of one long stationary run, its error from means of consecutive batches.

    For an infinite horizon: neighbours in a queue share their delays, so the error of the plain
    mean would be far too small. Law (2015), section 9.5.3.

    Raises
    ------
    ValueError
        Fewer than two values a batch after the warm-up.
    """
    series = np.asarray(values, float)[warm_up:]
    length = series.size // batches if batches > 1 else 0
    if length < 2:
        raise ValueError(
            f"batch_means: {series.size} values after the warm-up are too few for batches={batches}"
        )
    means = series[: length * batches].reshape(batches, length).mean(axis=1)
    return Estimate(float(means.mean()), float(means.std(ddof=1) / np.sqrt(batches)), batches - 1)


def warm_up_length(values: ArrayLike, batch: int = 5) -> int:
    """How many first values to drop: the truncation that minimises the standard error (MSER-5).

    White (1997), An effective truncation heuristic for bias reduction in simulation output.
    At most half of the series is dropped; a minimum on that border means the run is too short.

    Examples
    --------
    >>> warm_up_length(np.r_[np.full(50, 9.0), np.tile([0.0, 1.0], 500)])
    50
    """
    series = np.asarray(values, float)
    count = series.size // batch
    if count < 4:
        raise ValueError(f"warm_up_length: {series.size} values are too few for batch={batch}")
    means = series[: count * batch].reshape(count, batch).mean(axis=1)[::-1]
    kept = np.arange(1, count + 1)
    mean = np.cumsum(means) / kept
    spread = (np.cumsum(means**2) / kept - mean**2) / kept
    longest = spread[::-1][: count // 2 + 1]
    return int(np.argmin(longest)) * batch


def replicate(
    run: Callable[[np.random.Generator], Answer],
    times: int,
    rng: np.random.Generator,
    *,
    workers: int = 1,
) -> list[Answer]:
    """Independent replications of a finite-horizon run, the same on one worker and on many.

    Each replication owns a stream spawned from ``rng`` before any starts. Threads serve as
    workers: the event loop and numpy's generators let go of the interpreter.
    """
    streams = rng.spawn(times)
    if workers == 1:
        return [run(stream) for stream in streams]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(run, streams))


def estimate(answers: ArrayLike) -> Estimate:
    """Mean of independent replications with its standard error.

    Raises
    ------
    ValueError
        Fewer than two replications.
    """
    values = np.asarray(answers, float)
    if values.ndim != 1 or values.size < 2:
        raise ValueError(f"estimate: two or more replications are wanted, got {values.shape}")
    return Estimate(
        float(values.mean()),
        float(values.std(ddof=1) / np.sqrt(values.size)),
        values.size - 1,
    )


def streams(rng: np.random.Generator, *sources: str) -> dict[str, np.random.Generator]:
    """One independent generator for each source of randomness, so that a scenario which draws
    more from one source leaves the others as they were."""
    return dict(zip(sources, rng.spawn(len(sources)), strict=True))

"""How long people wait, how many servers a promise needs, and what own couriers cost.

Erlang's formulas without factorials, M/G/c by Kimura's interpolation, Erlang A by the
density of the offered wait, and couriers staffed by half-hour from the modified offered
load of Jennings, Mandelbaum, Massey & Whitt (1996).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import special

from o2o_research.domain import require
from o2o_research.models.numerics import Array

Counts = NDArray[np.int64]
Numbers = float | Array | Counts

# Below exp(-45) of its peak a density adds nothing that a double can hold.
_NEGLIGIBLE = 45.0
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(96)
# Instants within a period at which the offered load is read: every five minutes of half an hour.
_SLICES = 6


# --- Erlang B and C -------------------------------------------------------------------


def blocking_by_servers(load: Numbers) -> Iterator[Array]:
    """Erlang B for 0, 1, 2, ... servers, one step of the recursion at a time, without end.

    B(0) = 1, B(c) = a B(c-1) / (c + a B(c-1)): every term positive, so nothing cancels.

    Parameters
    ----------
    load : array_like
        Offered load, arrival rate times mean service time, >= 0. [a]

    Examples
    --------
    >>> from itertools import islice
    >>> [round(float(b), 4) for b in islice(blocking_by_servers(1.0), 4)]
    [1.0, 0.5, 0.2, 0.0625]
    """
    offered = np.asarray(load, float)
    blocking = np.ones_like(offered)
    servers = 0
    while True:
        yield blocking
        servers += 1
        blocking = offered * blocking / (servers + offered * blocking)


def erlang_b(servers: Numbers, load: Numbers) -> float | Array:
    """Share of customers lost when none may wait (M/G/c/c). Broadcasts.

    Parameters
    ----------
    servers : array_like of int
        Number of servers, >= 0. [c]
    load : array_like
        Offered load, >= 0. [a]

    Raises
    ------
    ValueError
        A number of servers that is not whole, or a parameter below 0.

    Examples
    --------
    >>> round(float(erlang_b(10, 8.0)), 10)
    0.1216610643
    """
    count, offered = np.broadcast_arrays(np.asarray(servers, float), np.asarray(load, float))
    _refuse_fraction("servers", servers)
    _refuse_negative("load", load)
    answer = np.ones_like(offered)
    last = int(count.max(initial=0.0))
    for number, blocking in zip(range(last + 1), blocking_by_servers(offered), strict=False):
        answer = np.where(count == number, blocking, answer)
    return answer[()]


def erlang_c(servers: Numbers, load: Numbers) -> float | Array:
    """Share of customers who wait in M/M/c; 1 where the load is not below the servers.

    C = B / (1 - (a / c)(1 - B)). Parameters and errors as in ``erlang_b``.

    Examples
    --------
    >>> round(float(erlang_c(100, 90.0)), 10)
    0.2169404809
    """
    return _delay_share(np.asarray(load, float), servers, erlang_b(servers, load))[()]


def _refuse_fraction(name: str, value: Numbers) -> None:
    counts = np.asarray(value, float)
    if not np.all((counts >= 0) & (counts == np.floor(counts)) & np.isfinite(counts)):
        raise ValueError(f"{name}={value} must be a whole number >= 0")


def _refuse_negative(name: str, value: Numbers) -> None:
    values = np.asarray(value, float)
    if not np.all((values >= 0) & np.isfinite(values)):
        raise ValueError(f"{name}={value} must be finite and >= 0")


def _delay_share(load: Array, servers: Numbers, blocking: Numbers) -> Array:
    stable = load < servers
    occupied = np.where(stable, load / np.maximum(servers, 1), 0.0)
    return np.where(stable, blocking / (1.0 - occupied * (1.0 - np.asarray(blocking))), 1.0)


# --- M/G/c ----------------------------------------------------------------------------


def _mean_delay(load: Array, servers: Numbers, variation: Numbers) -> Array:
    """Mean wait of those who wait, in mean service times; inf where the load is too high.

    Kimura (1986) interpolates harmonically between M/D/c and M/M/c. M/D/c comes from
    Cosmetatos (1975), held below its value in light traffic, where the wait is the least
    of c residual services: 1 / (c + 1) if constant against 1 / c if exponential.
    """
    spread = np.asarray(variation, float)
    # Nobody on duty serves nobody, whatever one would.
    stable = load < np.asarray(servers, float)
    count = np.maximum(np.asarray(servers, float), 1.0)
    safe_load = np.where(stable & (load > 0), load, np.minimum(1.0, count / 2))
    extra = (
        (count - safe_load) * (count - 1) * (np.sqrt(4 + 5 * count) - 2) / (16 * safe_load * count)
    )
    constant = (1.0 + np.minimum(extra, (count - 1) / (count + 1))) / 2.0
    factor = (1.0 + spread) / ((1.0 - spread) / constant + 2.0 * spread)
    return np.where(stable, factor / np.where(stable, count - load, 1.0), np.inf)


@dataclass(frozen=True, kw_only=True)
class Queue:
    """A queue with patient customers in order of arrival: M/G/c in its steady state.

    Exact for one server (Pollaczek-Khinchine, mean wait) and for exponential service
    (Erlang C, mean and distribution). Otherwise the mean wait is Kimura's (1986)
    approximation, the share who wait is Erlang C's, and their wait is taken as exponential.
    Where the load is not below the servers the queue grows without end: waits are inf.

    Parameters
    ----------
    arrival_rate : float
        Customers per unit of time, >= 0. [lambda]
    mean_service : float
        Mean service time, > 0. [1 / mu]
    servers : int
        Number of servers, whole, >= 1. [c]
    service_variation : float
        Squared coefficient of variation of the service time, >= 0: 0 constant,
        1 exponential. [c_s^2]

    Raises
    ------
    ValueError
        A parameter outside its domain.

    References
    ----------
    Kimura, T. (1986). A two-moment approximation for the mean waiting time in the GI/G/s
    queue. Management Science 32(6).
    Cosmetatos, G. P. (1975). Approximate explicit formulae for the average queueing time
    in the processes (M/D/r) and (D/M/r). INFOR 13.

    Examples
    --------
    >>> queue = Queue(arrival_rate=10, mean_service=0.25, servers=3)
    >>> round(float(queue.mean_wait), 10)
    0.3511235955
    """

    arrival_rate: float | Array
    mean_service: float | Array
    servers: int | Counts
    service_variation: float | Array = 1.0

    def __post_init__(self) -> None:
        require(
            self,
            arrival_rate="[0, inf)",
            mean_service="(0, inf)",
            servers="[1, inf)",
            service_variation="[0, inf)",
        )
        _refuse_fraction("servers", self.servers)

    @property
    def load(self) -> float | Array:
        """Offered load: servers kept busy if there were enough. [a = lambda / mu]"""
        return self.arrival_rate * self.mean_service

    @property
    def utilisation(self) -> float | Array:
        """Share of the servers' time in use, at most 1. [rho = a / c]"""
        return np.minimum(self.load / self.servers, 1.0)

    @property
    def delay_share(self) -> float | Array:
        """Share of customers who wait. [P(W > 0)]"""
        return erlang_c(self.servers, self.load)

    @property
    def mean_delay(self) -> float | Array:
        """Mean wait of those who wait. [E(W | W > 0)]"""
        services = _mean_delay(np.asarray(self.load), self.servers, self.service_variation)
        return (self.mean_service * services)[()]

    @property
    def mean_wait(self) -> float | Array:
        """Mean wait before service. [W_q]"""
        return self.delay_share * self.mean_delay

    @property
    def mean_queue(self) -> float | Array:
        """Mean number waiting, by Little's law. [L_q = lambda W_q]"""
        return self.arrival_rate * self.mean_wait

    @property
    def mean_time(self) -> float | Array:
        """Mean time in the system. [W = W_q + 1 / mu]"""
        return self.mean_wait + self.mean_service

    @property
    def mean_number(self) -> float | Array:
        """Mean number in the system, by Little's law. [L = lambda W]"""
        return self.arrival_rate * self.mean_time

    def wait_exceeds(self, time: float | Array) -> float | Array:
        """Share of customers who wait longer than ``time``. [P(W > t)]"""
        tail = self.delay_share * np.exp(-np.maximum(time, 0.0) / self.mean_delay)
        return np.where(np.asarray(time) < 0, 1.0, tail)[()]


# --- Erlang A -------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class ErlangA:
    """Customers who leave when their patience runs out: M/M/c+M in its steady state. Exact.

    A customer who would never leave waits an offered wait V, whose density is proportional
    to exp(lambda (1 - e^(-theta t)) / theta - c mu t); every quantity is an integral of it,
    by Gauss-Legendre on the stretch that counts. No factorial, no gamma function, nothing
    cancels: thousands of servers, patience from a blink to forever.

    Parameters
    ----------
    arrival_rate : float
        Customers per unit of time, > 0. [lambda]
    mean_service : float
        Mean service time, > 0. [1 / mu]
    servers : int
        Number of servers, whole, >= 1. [c]
    mean_patience : float
        Mean time a customer is ready to wait, > 0; inf for ever, which is ``Queue``.
        [1 / theta]

    Raises
    ------
    ValueError
        A parameter outside its domain; endless patience with a load the servers cannot carry.

    References
    ----------
    Baccelli, F. & Hebuterne, G. (1981). On queues with impatient customers. Performance '81.
    Garnett, O., Mandelbaum, A. & Reiman, M. (2002). Designing a call center with impatient
    customers. Manufacturing & Service Operations Management 4(3).

    Examples
    --------
    >>> hotline = ErlangA(arrival_rate=10, mean_service=0.25, servers=3, mean_patience=1)
    >>> round(float(hotline.mean_queue), 6), round(float(hotline.abandonment_share), 7)
    (0.97533, 0.097533)
    """

    arrival_rate: float | Array
    mean_service: float | Array
    servers: int | Counts
    mean_patience: float | Array

    def __post_init__(self) -> None:
        require(
            self,
            arrival_rate="(0, inf)",
            mean_service="(0, inf)",
            servers="[1, inf)",
            mean_patience="(0, inf]",
        )
        _refuse_fraction("servers", self.servers)
        if np.any(np.isinf(self.mean_patience) & (np.asarray(self.load) >= self.servers)):
            raise ValueError(
                f"ErlangA: mean_patience=inf needs servers={self.servers} above load={self.load}"
            )

    @property
    def load(self) -> float | Array:
        """Offered load. [a = lambda / mu]"""
        return self.arrival_rate * self.mean_service

    def _beyond(self, after: Numbers) -> tuple[Array, Array]:
        """Logarithm of the density's integral beyond ``after``; mean wait of those in that stretch."""
        arrivals, departures, leaving, start = np.broadcast_arrays(
            np.asarray(self.arrival_rate, float),
            np.asarray(self.servers / np.asarray(self.mean_service), float),
            1.0 / np.asarray(self.mean_patience, float),
            np.maximum(after, 0.0),
        )

        def waited(t: Array) -> Array:
            """Mean of the lesser of t and patience: (1 - e^(-theta t)) / theta."""
            return np.asarray(t * special.exprel(-leaving * t))

        def exponent(t: Array) -> Array:
            return np.asarray(arrivals * waited(t) - departures * t)

        safe = np.where(leaving > 0, leaving, 1.0)
        crowded = np.maximum(np.log(arrivals / departures), 0.0)
        peak = np.where(leaving > 0, np.maximum(crowded / safe, start), start)
        top = exponent(peak)
        # Where hardly anyone is left to arrive the density is exponential: closed by hand.
        emptied = np.where(leaving > 0, (crowded + _NEGLIGIBLE) / safe, np.inf)
        low, high, step = peak, peak, 1.0 / departures
        open_low, open_high = peak > start, np.ones_like(peak, bool)
        while open_low.any() or open_high.any():
            low = np.where(open_low, np.maximum(peak - step, start), low)
            high = np.where(open_high, peak + step, high)
            open_low &= (low > start) & (exponent(low) > top - _NEGLIGIBLE)
            open_high &= (high < emptied) & (exponent(high) > top - _NEGLIGIBLE)
            step = 2.0 * step
        cut = high > emptied
        high = np.where(cut, np.maximum(emptied, start), high)
        half = (high - low) / 2.0
        mass = np.where(cut, np.exp(exponent(high) - top) / departures, 0.0)
        total, moment = mass, mass * waited(high)
        for node, weight in zip(_NODES, _WEIGHTS, strict=True):
            t = low + half * (1.0 + node)
            wait = waited(t)
            mass = weight * half * np.exp(arrivals * wait - departures * t - top)
            total, moment = total + mass, moment + mass * wait
        return top + np.log(total), moment / total

    @cached_property
    def _offered_wait(self) -> tuple[Array, Array]:
        return self._beyond(0.0)

    @property
    def delay_share(self) -> float | Array:
        """Share of customers who find every server busy. [P(V > 0)]"""
        lost = np.asarray(erlang_b(np.asarray(self.servers) - 1, self.load))
        # P = lambda J / (1 / B(c-1) + lambda J), by its log odds: J may be beyond any double.
        with np.errstate(divide="ignore"):
            odds = np.log(self.arrival_rate) + self._offered_wait[0] + np.log(lost)
        return np.asarray(special.expit(odds))[()]

    @property
    def mean_wait(self) -> float | Array:
        """Mean time in the queue, of those served and those who leave. [W]"""
        return (self.delay_share * self._offered_wait[1])[()]

    @property
    def mean_queue(self) -> float | Array:
        """Mean number waiting, by Little's law. [L_q = lambda W]"""
        return self.arrival_rate * self.mean_wait

    @property
    def abandonment_share(self) -> float | Array:
        """Share of customers who leave unserved. [P(Ab) = theta W]"""
        return self.mean_wait / self.mean_patience

    @property
    def utilisation(self) -> float | Array:
        """Share of the servers' time in use. [a (1 - P(Ab)) / c]"""
        return self.load * (1.0 - self.abandonment_share) / self.servers

    def wait_exceeds(self, time: float | Array) -> float | Array:
        """Share of customers still waiting after ``time``. [P(W > t) = P(V > t) e^(-theta t)]"""
        wait = np.maximum(time, 0.0)
        offered = np.exp(self._beyond(wait)[0] - self._offered_wait[0])
        tail = self.delay_share * offered * np.exp(-wait / self.mean_patience)
        return np.where(np.asarray(time) < 0, 1.0, tail)[()]


# --- How many servers -----------------------------------------------------------------


def square_root_staffing(load: Numbers, delay_share: Numbers) -> float | Array:
    """Servers at which about ``delay_share`` of customers wait: a + beta sqrt(a).

    Halfin & Whitt (1981): beta solves P(W > 0) = 1 / (1 + beta Phi(beta) / phi(beta)). Not
    rounded: a start for a whole number, and the law by which pooling pays: the margin
    above the load grows only with its square root.

    Parameters
    ----------
    load : array_like
        Offered load, >= 0. [a]
    delay_share : array_like
        Share of customers who may wait at all, in (0, 1). [alpha]

    Examples
    --------
    >>> round(float(square_root_staffing(100.0, 0.2)), 1)
    110.6
    """
    target = np.asarray(delay_share, float)
    if not np.all((target > 0) & (target < 1)):
        raise ValueError(f"delay_share={delay_share} must lie in (0, 1)")
    _refuse_negative("load", load)
    low, high = np.zeros_like(target), np.full_like(target, 40.0)
    for _ in range(60):
        beta = (low + high) / 2.0
        odds = beta * np.exp(special.log_ndtr(beta) + beta**2 / 2.0) * np.sqrt(2.0 * np.pi)
        too_many_wait = 1.0 / (1.0 + odds) > target
        low, high = np.where(too_many_wait, beta, low), np.where(too_many_wait, high, beta)
    return np.asarray(load + (low + high) / 2.0 * np.sqrt(load))[()]


def _least_servers(
    load: Array, kept: Callable[[NDArray[np.bool_], int, Array], Array], share: Numbers
) -> Counts:
    """Fewest servers at which ``kept``, averaged over the last axis of ``load``, is ``share``.

    ``kept(rows, servers, blocking)`` answers for the rows that are still open.
    """
    answer = np.zeros(load.shape[:-1], np.int64)
    target = np.broadcast_to(share, answer.shape)
    pending = np.asarray((load > 0).any(-1))
    steps = enumerate(blocking_by_servers(load))
    while pending.any():
        servers, blocking = next(steps)
        rows = pending & (servers > load.min(-1))
        if rows.any():
            enough = kept(rows, servers, blocking[rows]).mean(-1) >= target[rows]
            answer[rows] = np.where(enough, servers, 0)
            pending[rows] = ~enough
    return answer


def least_servers(
    arrival_rate: Numbers,
    mean_service: Numbers,
    *,
    within: Numbers,
    kept_share: Numbers,
    service_variation: Numbers = 1.0,
) -> Counts:
    """Fewest servers with which ``kept_share`` of customers wait no longer than ``within``.

    By trying every number above the load, so as exact as ``Queue``. 0 without arrivals.

    Parameters
    ----------
    arrival_rate, mean_service, service_variation : array_like
        As in ``Queue``.
    within : array_like
        Longest wait promised, in the unit of ``mean_service``, >= 0.
    kept_share : array_like
        Share of customers for whom the promise must hold, in [0, 1).

    Raises
    ------
    ValueError
        A parameter outside its domain.

    Examples
    --------
    >>> int(least_servers(120, 1 / 12, within=1 / 60, kept_share=0.9))
    14
    """
    if not np.all((np.asarray(kept_share) >= 0) & (np.asarray(kept_share) < 1)):
        raise ValueError(f"kept_share={kept_share} must lie in [0, 1)")
    _refuse_negative("within", within)
    values = (arrival_rate, mean_service, within, kept_share, service_variation)
    rate, service, wait, share, spread = np.broadcast_arrays(
        *(np.asarray(value, float)[..., np.newaxis] for value in values)
    )
    Queue(arrival_rate=rate, mean_service=service, servers=1, service_variation=spread)
    load = rate * service

    def kept(rows: NDArray[np.bool_], servers: int, blocking: Array) -> Array:
        delayed = _delay_share(load[rows], servers, blocking)
        delay = service[rows] * _mean_delay(load[rows], servers, spread[rows])
        return np.asarray(1.0 - delayed * np.exp(-wait[rows] / delay))

    return _least_servers(load, kept, share[..., 0])


# --- Load that changes over the day ---------------------------------------------------


def offered_load(
    times: Numbers,
    arrival_rates: Numbers,
    period: float,
    mean_service: float,
    service_variation: float = 1.0,
) -> Array:
    """Servers busy on average at each time, if there were always enough. Exact for Poisson arrivals.

    m(t) = E[integral of lambda from t - S to t], Eick, Massey & Whitt (1993), with a rate
    that is constant within each period and a service time S of the gamma family: a
    period's arrivals, x after its start, add rate times E[min(S, x)], and lose it again
    after its end. The load lags behind the arrivals and is flatter than they are.

    Parameters
    ----------
    times : array_like, shape (...)
        When, from the start of the first period.
    arrival_rates : array_like, shape (periods,)
        Customers per unit of time in each period, >= 0; none before and after.
    period : float
        Length of a period, > 0.
    mean_service, service_variation : float
        Mean, > 0, and squared coefficient of variation, >= 0, of the service time.

    Returns
    -------
    ndarray, shape (...)

    Raises
    ------
    ValueError
        A parameter outside its domain.

    References
    ----------
    Eick, S. G., Massey, W. A. & Whitt, W. (1993). The physics of the M_t/G/infinity queue.
    Operations Research 41(4).

    Examples
    --------
    One busy half-hour of 8 customers an hour, services of half an hour exactly:

    >>> [float(m) for m in offered_load([0.25, 0.5, 0.75, 1.0], [8.0, 0.0], 0.5, 0.5, 0.0)]
    [2.0, 4.0, 2.0, 0.0]
    """
    rates = np.asarray(arrival_rates, float)
    if rates.ndim != 1 or not rates.size:
        raise ValueError(f"arrival_rates has shape {rates.shape}, must be (periods,)")
    if not period > 0:
        raise ValueError(f"period={period} must be > 0")
    Queue(
        arrival_rate=rates,
        mean_service=mean_service,
        servers=1,
        service_variation=service_variation,
    )
    edges = period * np.arange(rates.size + 1)
    since = np.maximum(np.asarray(times, float)[..., np.newaxis] - edges, 0.0)
    if service_variation == 0:
        in_service = np.minimum(since, mean_service)
    else:
        shape = 1.0 / service_variation
        scaled = since * shape / mean_service
        in_service = mean_service * special.gammainc(shape + 1.0, scaled)
        in_service += since * special.gammaincc(shape, scaled)
    steps = np.diff(rates, prepend=0.0, append=0.0)
    return np.asarray(np.maximum(in_service @ steps, 0.0))


@dataclass(frozen=True, kw_only=True)
class TwoPeaks:
    """How a day's orders spread over its periods: a lunch and a dinner bell.

    Parameters
    ----------
    opens, closes : float
        Hours of the clock between which orders come, in [0, 24] and [0, 48]; a day past
        midnight closes after 24.
    lunch_hour, dinner_hour : float
        Hours of the clock at which the peaks stand, in [0, 48].
    lunch_share : float
        Share of the orders in the lunch bell, in [0, 1].
    spread : float
        Standard deviation of each bell, hours, > 0.
    period : float
        Length of a period, hours, > 0; the day is a whole number of periods.

    Raises
    ------
    ValueError
        A parameter outside its domain, or a day that is not a whole number of periods.

    Examples
    --------
    >>> day = TwoPeaks(opens=10, closes=21, lunch_hour=12, dinner_hour=18.5,
    ...                lunch_share=0.55, spread=0.8)
    >>> day.profile.shape, float(day.starts[day.profile.argmax()])
    ((22,), 12.0)
    """

    opens: float
    closes: float
    lunch_hour: float
    dinner_hour: float
    lunch_share: float
    spread: float
    period: float = 0.5

    def __post_init__(self) -> None:
        require(
            self,
            opens="[0, 24]",
            closes="[0, 48]",
            lunch_hour="[0, 48]",
            dinner_hour="[0, 48]",
            lunch_share="[0, 1]",
            spread="(0, inf)",
            period="(0, inf)",
        )
        periods = (self.closes - self.opens) / self.period
        if periods < 1 - 1e-9 or abs(periods - round(periods)) > 1e-9:
            raise ValueError(
                f"TwoPeaks: opens={self.opens:g} to closes={self.closes:g} must be a whole "
                f"number of periods of {self.period:g} hours"
            )

    @property
    def starts(self) -> Array:
        """Hour of the clock at which each period starts. Shape (periods,)."""
        periods = round((self.closes - self.opens) / self.period)
        return np.asarray(self.opens + self.period * np.arange(periods))

    @property
    def profile(self) -> Array:
        """Share of the day's orders in each period; sums to 1. Shape (periods,)."""
        edges = np.append(self.starts, self.closes)

        def bell(centre: float) -> Array:
            mass = np.diff(special.ndtr((edges - centre) / self.spread))
            return np.asarray(mass / mass.sum())

        return self.lunch_share * bell(self.lunch_hour) + (1 - self.lunch_share) * bell(
            self.dinner_hour
        )


# --- Own couriers ---------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Roster:
    """A day of own couriers: who is on duty when, what it costs and which promise it keeps.

    Parameters
    ----------
    orders : float
        Orders a day.
    period : float
        Length of a period, hours.
    load : ndarray, shape (periods,)
        Couriers on the road on average if nobody waited.
    required : ndarray of int, shape (periods,)
        Fewest couriers with which the promise is kept in the period.
    on_duty : ndarray of int, shape (periods,)
        Couriers paid for, once they work whole shifts.
    kept_share : ndarray, shape (periods,)
        Share of the period's orders delivered as promised by those on duty.
    shifts : ndarray of int, shape (kinds, 3)
        First period, number of periods and couriers of each kind of shift.
    cost : float
        Wages, shift costs and the daily cost, yuan.
    day_kept_share : float
        Share of the day's orders delivered as promised.
    """

    orders: float
    period: float
    load: Array
    required: Counts
    on_duty: Counts
    kept_share: Array
    shifts: Counts
    cost: float
    day_kept_share: float

    @property
    def utilisation(self) -> Array:
        """Share of the couriers' time on the road, by period; 0 where none is on duty."""
        return np.asarray(np.minimum(self.load / np.maximum(self.on_duty, 1), 1.0))

    @property
    def busy_hours(self) -> float:
        """Courier hours on the road."""
        return float(self.load.sum() * self.period)

    @property
    def required_hours(self) -> float:
        """Courier hours that the promise needs, were couriers hired by the period."""
        return float(self.required.sum() * self.period)

    @property
    def paid_hours(self) -> float:
        """Courier hours in whole shifts. Above ``required_hours`` by what shifts waste."""
        return float(self.on_duty.sum() * self.period)

    @property
    def cost_per_order(self) -> float:
        """Cost of an order, yuan."""
        return self.cost / self.orders


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """Own couriers who keep a delivery promise through a day with peaks.

    An order waits for a courier, who rides to the door and back: the courier's time is the
    service time, the ride out is part of it, both of the gamma family. The promise counts
    from the moment the food is ready; it is kept when wait and ride together are in time.
    Orders are Poisson with a rate that changes by the period. The load of each instant is
    the infinite-server load m(t), and the couriers of a period are the fewest whose
    stationary M/G/c queue at that load keeps the promise, on average over the period
    (modified offered load: Jennings, Mandelbaum, Massey & Whitt 1996). Couriers are then
    hired in whole shifts that cover every period at least cost; of days that cost the same,
    the one with most couriers when most orders come.

    Parameters
    ----------
    mean_trip : float
        Mean courier time of an order, out, handing over and back, hours, > 0; a trip that
        carries two orders gives each half of it. [1 / mu]
    trip_variation : float
        Squared coefficient of variation of that time and of the ride, in [0.001, 10]. [c_s^2]
    mean_ride : float
        Mean hours from leaving to handing over, > 0.
    promise : float
        Hours from the food's being ready to the door, > 0. [tau]
    kept_share : float
        Share of the orders of every period delivered within the promise, in [0, 1).
    profile : array_like, shape (periods,)
        Share of the day's orders in each period, >= 0, summing to 1.
    wage_rate : float
        Pay of a courier, yuan an hour on shift, > 0. [w]
    shift_lengths : tuple of float
        Lengths of the shifts on offer, hours, each a whole number of periods within the day.
    shift_cost : float
        Cost of a shift whatever its length (a meal, the way to work), yuan, >= 0.
    daily_cost : float
        Cost of a day that depends on no courier (orders by telephone, site), yuan, >= 0.
    period : float
        Length of a period, hours, > 0.

    Raises
    ------
    ValueError
        A parameter outside its domain; a profile that does not sum to 1; a shift that does
        not fit; a promise that the ride alone breaks too often.

    References
    ----------
    Jennings, O. B., Mandelbaum, A., Massey, W. A. & Whitt, W. (1996). Server staffing to
    meet time-varying demand. Management Science 42(10).

    Examples
    --------
    Ten orders a day keep one courier waiting; sixty share the couriers they need:

    >>> day = TwoPeaks(opens=10, closes=21, lunch_hour=12, dinner_hour=18.5,
    ...                lunch_share=0.55, spread=0.8)
    >>> own = Delivery(mean_trip=0.5, trip_variation=0.25, mean_ride=0.2, promise=0.75,
    ...                kept_share=0.9, profile=day.profile, wage_rate=15,
    ...                shift_lengths=(4.0, 8.0))
    >>> few, many = own.roster(10), own.roster(60)
    >>> int(few.on_duty.max()), int(many.on_duty.max())
    (3, 9)
    """

    mean_trip: float
    trip_variation: float
    mean_ride: float
    promise: float
    kept_share: float
    profile: Array
    wage_rate: float
    shift_lengths: tuple[float, ...]
    shift_cost: float = 0.0
    daily_cost: float = 0.0
    period: float = 0.5

    def __post_init__(self) -> None:
        require(
            self,
            mean_trip="(0, inf)",
            trip_variation="[0.001, 10]",
            mean_ride="(0, inf)",
            promise="(0, inf)",
            kept_share="[0, 1)",
            wage_rate="(0, inf)",
            shift_cost="[0, inf)",
            daily_cost="[0, inf)",
            period="(0, inf)",
            profile="[0, 1]",
        )
        shares = np.array(self.profile, float)
        if shares.ndim != 1 or abs(shares.sum() - 1.0) > 1e-9:
            raise ValueError(
                f"Delivery: profile of shape {shares.shape} sums to {shares.sum():g}, must be "
                "one row that sums to 1"
            )
        shares.flags.writeable = False
        object.__setattr__(self, "profile", shares)
        for length in self.shift_lengths:
            periods = length / self.period
            if (
                not 1 - 1e-9 <= periods <= shares.size + 1e-9
                or abs(periods - round(periods)) > 1e-9
            ):
                raise ValueError(
                    f"Delivery: shift_lengths={length:g} hours must be a whole number of "
                    f"periods of {self.period:g}, within a day of {shares.size * self.period:g}"
                )
        if not self.shift_lengths:
            raise ValueError("Delivery: shift_lengths=() must name at least one")
        if self.at_best <= self.kept_share:
            raise ValueError(
                f"Delivery: promise={self.promise:g} hours cannot be kept for kept_share="
                f"{self.kept_share:g}: the ride alone keeps {self.at_best:.4f}"
            )

    @property
    def at_best(self) -> float:
        """Share of orders delivered in time when a courier is always free."""
        shape = 1.0 / self.trip_variation
        return float(special.gammainc(shape, shape * self.promise / self.mean_ride))

    def promise_kept(self, load: Numbers, couriers: Numbers) -> float | Array:
        """Share of orders delivered in time in a steady state. [P(W + R <= tau)] Broadcasts.

        Parameters
        ----------
        load : array_like
            Couriers on the road if nobody waited, >= 0. [a]
        couriers : array_like of int
            Couriers on duty, >= 0. [c]
        """
        blocking = np.asarray(erlang_b(couriers, load))
        return self._kept(np.asarray(load, float), np.asarray(couriers), blocking)[()]

    def _kept(self, load: Array, couriers: Numbers, blocking: Array) -> Array:
        """1 - P(R > tau) - P(W > tau - R, R < tau), W exponential beyond its atom at 0."""
        shape = 1.0 / self.trip_variation
        ride = shape * self.promise / self.mean_ride
        delayed = _delay_share(load, couriers, blocking)
        delay = self.mean_trip * _mean_delay(load, couriers, self.trip_variation)
        stable = np.isfinite(delay)
        wait = self.promise / np.where(stable, delay, 1.0)
        # E[e^(-wait (1 - R / tau)); R < tau]: an incomplete gamma of what is left of the rate,
        # or, where little or less than nothing is left, the series that does not overflow.
        left = ride - wait
        plain = left > shape
        rest = np.where(plain, left, shape)
        gamma = shape * np.log(ride / rest) - wait + np.log(special.gammainc(shape, rest))
        series = shape * np.log(ride) - ride - special.gammaln(shape + 1.0)
        factor = special.hyp1f1(1.0, shape + 1.0, np.where(plain, 0.0, left))
        waited = np.where(plain, np.exp(gamma), np.exp(series) * factor)
        return np.where(stable, np.maximum(self.at_best - delayed * waited, 0.0), 0.0)

    @cached_property
    def _load_per_order(self) -> Array:
        """Load at the middle of each slice of each period. Shape (periods, slices)."""
        shares = np.asarray(self.profile)
        slices = (np.arange(_SLICES) + 0.5) / _SLICES
        times = self.period * (np.arange(shares.size)[:, np.newaxis] + slices)
        rates = shares / self.period
        return offered_load(times, rates, self.period, self.mean_trip, self.trip_variation)

    def required(self, orders: Numbers) -> Counts:
        """Fewest couriers in each period. Shape of ``orders`` (a day, >= 0) and (periods,)."""
        day = np.asarray(orders, float)
        _refuse_negative("orders", orders)
        load = day[..., np.newaxis, np.newaxis] * self._load_per_order
        return _least_servers(
            load,
            lambda rows, couriers, blocking: self._kept(load[rows], couriers, blocking),
            self.kept_share,
        )

    @cached_property
    def _shifts(self) -> tuple[Counts, Array]:
        """Every shift there could be: first period and how many, and what it costs."""
        periods = len(self.profile)
        lengths = [round(length / self.period) for length in self.shift_lengths]
        kinds = np.array([(first, n) for n in lengths for first in range(periods - n + 1)])
        return kinds, self.wage_rate * self.period * kinds[:, 1] + self.shift_cost

    def _cover(self, required: Counts) -> tuple[Counts, Array]:
        """Hired for each shift on each day, to cover it at least cost, and that cost.

        Of covers that cost the same, the one with most couriers when most orders come. Shapes
        (days, periods) to (days, kinds) and (days,).
        """
        kinds, pay = self._shifts
        orders = np.append(0.0, np.cumsum(self.profile))
        carried = orders[kinds.sum(axis=1)] - orders[kinds[:, 0]]
        hired = _cheapest_cover(
            required, kinds, pay - 1e-5 * self.wage_rate * self.period * carried
        )
        return hired, hired @ pay

    def roster(self, orders: float) -> Roster:
        """The cheapest day of couriers for ``orders`` a day (> 0)."""
        if not 0 < orders < np.inf:
            raise ValueError(f"orders={orders} must lie in (0, inf)")
        required = self.required(orders)
        (hired,), (pay,) = self._cover(required[np.newaxis])
        shifts = np.column_stack([self._shifts[0], hired])[hired > 0]
        on_duty = np.zeros_like(required)
        for first, periods, couriers in shifts:
            on_duty[first : first + periods] += couriers
        load = orders * self._load_per_order
        kept = np.asarray(self.promise_kept(load, on_duty[:, np.newaxis])).mean(axis=1)
        return Roster(
            orders=orders,
            period=self.period,
            load=load.mean(axis=1),
            required=required,
            on_duty=on_duty,
            kept_share=kept,
            shifts=shifts,
            cost=float(pay) + self.daily_cost,
            day_kept_share=float(kept @ np.asarray(self.profile)),
        )

    def cost_per_order(self, orders: Numbers) -> Array:
        """Cost of an order at each number of orders a day (> 0), yuan. Same shape.

        A saw: it falls as the same couriers carry more, and jumps when one more is needed.
        """
        day = np.asarray(orders, float)
        if not np.all((day > 0) & np.isfinite(day)):
            raise ValueError(f"orders={orders} must lie in (0, inf)")
        needs, which = np.unique(self.required(day.ravel()), axis=0, return_inverse=True)
        _, pay = self._cover(needs)
        return np.asarray((pay[which.reshape(day.shape)] + self.daily_cost) / day)


@njit(cache=True)
def _cheapest_cover(required, kinds, pay):  # type: ignore[no-untyped-def]
    """How many to hire for each shift, so that as many are on duty as each period requires.

    Each shift covers periods in a row, so this is a flow of least cost: a shift leads from its
    first period to the one after its last, who is on duty and not needed leads back for nothing,
    and what flows into a period beyond what flows out is the change in what is required. Sent
    along the shortest way that is left, again and again (successive shortest paths): whole
    numbers, and none cheaper.
    """
    days, periods = required.shape
    shifts = len(kinds)
    arcs = shifts + periods
    tail, head, cost = np.empty(arcs, np.int64), np.empty(arcs, np.int64), np.zeros(arcs)
    tail[:shifts], head[:shifts], cost[:shifts] = kinds[:, 0], kinds[:, 0] + kinds[:, 1], pay
    for t in range(periods):
        tail[shifts + t], head[shifts + t] = t + 1, t
    close = 1e-12 * pay.max()
    hired = np.zeros((days, shifts), np.int64)
    far, by = np.empty(periods + 1), np.empty(periods + 1, np.int64)
    for day in range(days):
        flow, excess = np.zeros(arcs, np.int64), np.zeros(periods + 1, np.int64)
        excess[:-1] += required[day]
        excess[1:] -= required[day]
        while excess.max() > 0:
            for t in range(periods + 1):
                far[t], by[t] = 0.0 if excess[t] > 0 else np.inf, arcs
            shorter = True
            while shorter:
                shorter = False
                for a in range(arcs):
                    if far[tail[a]] + cost[a] < far[head[a]] - close:
                        far[head[a]], by[head[a]], shorter = far[tail[a]] + cost[a], a, True
                    if flow[a] > 0 and far[head[a]] - cost[a] < far[tail[a]] - close:
                        far[tail[a]], by[tail[a]], shorter = far[head[a]] - cost[a], ~a, True
            end = np.where(excess < 0, far, np.inf).argmin()
            node, amount = end, -excess[end]
            while by[node] != arcs:
                a = by[node]
                if a < 0:
                    amount = min(amount, flow[~a])
                node = tail[a] if a >= 0 else head[~a]
            amount = min(amount, excess[node])
            excess[node] -= amount
            excess[end] += amount
            node = end
            while by[node] != arcs:
                a = by[node]
                flow[a if a >= 0 else ~a] += amount if a >= 0 else -amount
                node = tail[a] if a >= 0 else head[~a]
        hired[day] = flow[:shifts]
    return hired


def platform_cost(
    ticket: Numbers,
    commission_share: Numbers,
    contribution: Numbers,
    orders_kept_share: Numbers = 1.0,
) -> float | Array:
    """What handing delivery to a platform costs for each order that would come without its fee.

    k r T + (1 - k) m, yuan: the commission on the orders that stay, and the contribution
    of those that the diner's fee keeps away. Own couriers are cheaper where their cost
    of an order is below it.

    Parameters
    ----------
    ticket : array_like
        Value of the order, yuan, > 0. [T]
    commission_share : array_like
        Share of it that the platform keeps, in [0, 1]. [r]
    contribution : array_like
        What an order leaves before delivery, yuan. [m]
    orders_kept_share : array_like
        Orders with the diner's fee against orders without, in [0, 1]. [k]

    Raises
    ------
    ValueError
        A parameter outside its domain.

    Examples
    --------
    15 % of 68 yuan, and a tenth of the diners put off:

    >>> round(float(platform_cost(68, 0.15, 40.8, 0.9)), 2)
    13.26
    """
    if not np.all(np.asarray(ticket) > 0):
        raise ValueError(f"ticket={ticket} must be > 0")
    for name, share in (
        ("commission_share", commission_share),
        ("orders_kept_share", orders_kept_share),
    ):
        if not np.all((np.asarray(share) >= 0) & (np.asarray(share) <= 1)):
            raise ValueError(f"{name}={share} must lie in [0, 1]")
    kept = np.asarray(orders_kept_share, float)
    paid = kept * np.asarray(commission_share) * np.asarray(ticket)
    return np.asarray(paid + (1.0 - kept) * np.asarray(contribution))[()]


class BreakEven(NamedTuple):
    """Orders a day at which a cost per order first reaches a limit, and from which it stays there."""

    first: float
    lasting: float


def break_even_orders(orders: Numbers, cost_per_order: Numbers, limit: float) -> BreakEven:
    """Where a saw-toothed cost per order falls to ``limit``: for the first time, and for good.

    Between the two, one order more can cost a courier more than it brings. inf where it
    does not happen among ``orders``; for good means up to their end.

    Parameters
    ----------
    orders : array_like, shape (n,)
        Orders a day, increasing.
    cost_per_order : array_like, shape (n,)
        Cost of an order at each, yuan.
    limit : float
        Yuan an order: what it leaves before delivery, or what a platform would cost.

    Raises
    ------
    ValueError
        Two lengths, or orders that do not increase.

    Examples
    --------
    >>> break_even_orders([10, 20, 30, 40], [12.0, 6.0, 8.0, 6.5], limit=7.0)
    BreakEven(first=20.0, lasting=40.0)
    """
    day, cost = np.asarray(orders, float), np.asarray(cost_per_order, float)
    if day.ndim != 1 or day.shape != cost.shape or not np.all(np.diff(day) > 0):
        raise ValueError(
            f"orders of shape {day.shape} must increase and match cost_per_order, {cost.shape}"
        )
    within = cost <= limit
    if not within.any():
        return BreakEven(np.inf, np.inf)
    above = np.flatnonzero(~within)
    last = above[-1] + 1 if above.size else 0
    return BreakEven(float(day[within.argmax()]), float(day[last]) if last < day.size else np.inf)

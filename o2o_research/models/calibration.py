"""From a log of visits to the laws a simulation needs: arrivals, services, routes, staff on duty.

How well they fit is seen twice: law by law, and by simulating the fitted clinic and laying its
waiting lines over the recorded ones.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import digamma, gammaln, polygamma
from scipy.stats import gamma as gamma_law
from scipy.stats import lognorm

from o2o_research.domain import require
from o2o_research.models.numerics import Fit, root
from o2o_research.models.simulation import (
    Journeys,
    Station,
    poisson_arrivals,
    random_routes,
    service_times,
    simulate,
)

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

_HALF_HOURS = tuple(30.0 * number for number in range(48))


@dataclass(frozen=True, kw_only=True)
class VisitLog:
    """Recorded visits; times in minutes.

    Parameters
    ----------
    patient, station : ndarray of int, shape (visits,), numbered from 0
    arrived, started, ended : ndarray, shape (visits,), arrived <= started <= ended

    Raises
    ------
    ValueError
        Shapes that disagree, or times out of order; the first bad row is named.
    """

    patient: Indices
    station: Indices
    arrived: Array
    started: Array
    ended: Array

    def __post_init__(self) -> None:
        shapes = {getattr(self, name).shape for name in self.__dataclass_fields__}
        if len(shapes) != 1:
            raise ValueError(f"VisitLog: arrays of different shapes {sorted(shapes)}")
        ordered = (self.arrived <= self.started) & (self.started <= self.ended)
        if not ordered.all():
            row = int(np.argmin(ordered))
            raise ValueError(
                f"VisitLog: row {row}: arrived={self.arrived[row]:g}, "
                f"started={self.started[row]:g}, ended={self.ended[row]:g} are out of order"
            )

    def routes(self) -> Array:
        """Share of visits to each station (row) followed by each other; the rest went home.

        Shape (stations, stations). A patient's visits count in the order of arrival.
        """
        size = int(self.station.max()) + 1
        order = np.lexsort((self.ended, self.arrived, self.patient))
        place, who = self.station[order], self.patient[order]
        same = who[1:] == who[:-1]
        counts = np.zeros((size, size))
        np.add.at(counts, (place[:-1][same], place[1:][same]), 1)
        return np.asarray(counts / np.maximum(np.bincount(place, minlength=size), 1)[:, None])

    def arrivals_by_hour(self) -> Array:
        """First arrivals of a day's patients by hour of the day, a day. Shape (24,)."""
        day = np.floor(self.arrived / 1440)
        key = self.patient * (int(day.max()) + 1) + day.astype(np.int64)
        order = np.lexsort((self.arrived, key))
        first = order[np.concatenate([[True], np.diff(key[order]) > 0])]
        hour = np.floor(self.arrived[first] % 1440 / 60).astype(np.int64)
        return np.asarray(np.bincount(hour, minlength=24) / np.unique(day).size)

    def queue_at(self, station: int, minutes: ArrayLike) -> Array:
        """Patients waiting at a station at each minute of the day, mean of the recorded days.

        Shape of ``minutes``.
        """
        here = self.station == station
        day = np.floor(self.arrived / 1440)
        days = np.unique(day)
        moments = np.asarray(minutes, float) + 1440 * days[:, None]
        came, went = np.sort(self.arrived[here]), np.sort(self.started[here])
        line = came.searchsorted(moments, "right") - went.searchsorted(moments, "right")
        return np.asarray(line.mean(axis=0))

    def mean_wait(self, station: int) -> float:
        """Mean wait at a station; nan where nobody came."""
        here = self.station == station
        waits = (self.started - self.arrived)[here]
        return float(waits.mean()) if waits.size else float("nan")

    def common_steps(self, least: float) -> set[tuple[int, int]]:
        """Steps from station to station taken by at least this share of those who left the first."""
        routes = self.routes()
        return {(int(a), int(b)) for a, b in np.argwhere(routes >= max(least, 1e-12))}

    def follows(self, allowed: Collection[tuple[int, int]]) -> NDArray[np.bool_]:
        """For each patient in order of number, whether every step from visit to visit is allowed.

        Token-free conformance: the directly-follows relation of process mining (van der Aalst
        2016, Process Mining, 2nd edition).
        """
        size = int(self.station.max()) + 1
        fine = np.zeros((size, size), bool)
        for a, b in allowed:
            fine[a, b] = True
        order = np.lexsort((self.ended, self.arrived, self.patient))
        place, who = self.station[order], self.patient[order]
        bad = (who[1:] == who[:-1]) & ~fine[place[:-1], place[1:]]
        wrong = np.bincount(who[1:], bad, minlength=int(who.max()) + 1)
        return np.asarray(wrong[np.unique(who)] == 0)


@dataclass(frozen=True, kw_only=True)
class Gamma:
    """Gamma-distributed times by mean and squared coefficient of variation, as ``service_times``."""

    mean: float
    variation_squared: float

    def __post_init__(self) -> None:
        require(self, mean="(0, inf)", variation_squared="(0, inf)")

    def quantile(self, share: ArrayLike) -> Array:
        """Times below which the given shares lie."""
        shape = 1 / self.variation_squared
        return np.asarray(gamma_law.ppf(share, shape, scale=self.mean / shape))

    def distribution(self, times: ArrayLike) -> Array:
        """Share of times at or below."""
        shape = 1 / self.variation_squared
        return np.asarray(gamma_law.cdf(times, shape, scale=self.mean / shape))


@dataclass(frozen=True, kw_only=True)
class Lognormal:
    """Lognormal times by the median and the spread of the logarithm."""

    median: float
    spread: float

    def __post_init__(self) -> None:
        require(self, median="(0, inf)", spread="(0, inf)")

    def quantile(self, share: ArrayLike) -> Array:
        """Times below which the given shares lie."""
        return np.asarray(lognorm.ppf(share, self.spread, scale=self.median))

    def distribution(self, times: ArrayLike) -> Array:
        """Share of times at or below."""
        return np.asarray(lognorm.cdf(times, self.spread, scale=self.median))


def fit_gamma(times: ArrayLike) -> Fit[Gamma]:
    """Maximum likelihood; the shape solves log k - digamma(k) = log mean - mean log.

    Raises
    ------
    ValueError
        Fewer than two different times, or one that is not positive.
    """
    x = _positive(times, "fit_gamma")
    gap = float(np.log(x.mean()) - np.log(x).mean())
    k = root(lambda v: float(np.log(v) - digamma(v)) - gap, 1e-6, 1e12, what="fit_gamma: shape")
    n, mean = x.size, float(x.mean())
    value = float(
        ((k - 1) * np.log(x) - x * k / mean).sum() - n * (gammaln(k) + k * np.log(mean / k))
    )
    # Information of (mean, k) is diagonal; the variation is 1 / k.
    error_k = 1 / np.sqrt(n * (float(polygamma(1, k)) - 1 / k))
    return Fit(
        model=Gamma(mean=mean, variation_squared=1 / k),
        stderr={"mean": mean / np.sqrt(n * k), "variation_squared": float(error_k) / k**2},
        log_likelihood=value,
        n=n,
    )


def fit_lognormal(times: ArrayLike) -> Fit[Lognormal]:
    """Maximum likelihood, in closed form.

    Raises
    ------
    ValueError
        Fewer than two different times, or one that is not positive.
    """
    x = np.log(_positive(times, "fit_lognormal"))
    centre, spread, n = float(x.mean()), float(x.std()), x.size
    return Fit(
        model=Lognormal(median=float(np.exp(centre)), spread=spread),
        stderr={
            "median": float(np.exp(centre) * spread / np.sqrt(n)),
            "spread": spread / np.sqrt(2 * n),
        },
        log_likelihood=float(-n * (np.log(spread) + 0.5 * np.log(2 * np.pi) + 0.5) - x.sum()),
        n=n,
    )


@dataclass(frozen=True, kw_only=True)
class Clinic:
    """A clinic as its log shows it: what ``simulate`` needs for another such day.

    A *stop* is a station for the first time or again: who comes back to the doctor needs other
    time and goes elsewhere than who is new. Stop ``k`` is station ``k % stations``.

    Parameters
    ----------
    rates : ndarray, shape (24,), patients a minute by hour of the day
    start : ndarray, shape (stops,), where patients begin
    onward : ndarray, shape (stops, stops), shares of who goes where next; the rest goes home
    services, ways : tuple of Gamma or None, one a stop
        Time in service, and between the last stop and joining this one's line; None for none.
    stations : tuple of Station
    """

    rates: Array
    start: Array
    onward: Array
    services: tuple[Gamma | None, ...]
    ways: tuple[Gamma | None, ...]
    stations: tuple[Station, ...]

    def simulate(self, rng: np.random.Generator) -> VisitLog:
        """Another day, as it would have been recorded; who is never served is left out."""
        arrival = poisson_arrivals(60.0 * np.arange(25), self.rates, rng)
        first, stop = random_routes(arrival.size, self.start, self.onward, rng)
        delay = len(self.stations)
        # A way before every stop but a patient's first.
        way, service = np.zeros(stop.size), np.zeros(stop.size)
        for k in range(len(self.services)):
            here = np.flatnonzero(stop == k)
            for law, times in ((self.ways[k], way), (self.services[k], service)):
                if law is not None:
                    times[here] = service_times(law.mean, law.variation_squared, here.size, rng)
        way[first[:-1]] = 0.0
        run = simulate(
            Journeys(
                arrival=arrival,
                first=2 * first,
                station=np.column_stack([np.full(stop.size, delay), stop % delay]).ravel(),
                service=np.column_stack([way, service]).ravel(),
            ),
            [*self.stations, Station(name="way", servers=np.inf)],
        )
        row = 2 * np.arange(stop.size) + 1
        row = row[run.served[row]]
        return VisitLog(
            patient=run.journeys.patient[row],
            station=run.journeys.station[row],
            arrived=run.arrived[row],
            started=run.started[row],
            ended=run.ended[row],
        )


def fit_clinic(log: VisitLog, names: Collection[str] = ()) -> Clinic:
    """Arrivals by hour, stops and ways, gamma services and the staff that was busy at once.

    Staff on duty in a half hour are those busy while a line stood: then everybody on duty is;
    without a line, the most that were busy. The last staff stay until everyone is through.

    Parameters
    ----------
    log : VisitLog
    names : of the stations; by default their numbers
    """
    size = int(log.station.max()) + 1
    day = np.floor(log.arrived / 1440).astype(np.int64)
    journey = np.unique(log.patient * (day.max() + 1) + day, return_inverse=True)[1]
    order = np.lexsort((log.ended, log.arrived, journey))
    who, place = journey[order], log.station[order]
    begins = np.concatenate([[True], who[1:] != who[:-1]])
    key = who * size + place
    by_key = np.argsort(key, kind="stable")
    again = np.zeros(key.size, bool)
    again[by_key[1:]] = key[by_key[1:]] == key[by_key[:-1]]
    stop = place + size * again
    stays = ~begins[1:]
    moves = np.zeros((2 * size, 2 * size))
    np.add.at(moves, (stop[:-1][stays], stop[1:][stays]), 1)
    visits = np.maximum(np.bincount(stop, minlength=2 * size), 1)
    arrived, started, ended = log.arrived[order], log.started[order], log.ended[order]
    gap = np.concatenate([[0.0], np.maximum(arrived[1:] - ended[:-1], 0.0)])
    titles = list(names) or [str(number) for number in range(size)]
    return Clinic(
        rates=log.arrivals_by_hour() / 60,
        start=np.bincount(stop[begins], minlength=2 * size) / begins.sum(),
        onward=moves / visits[:, None],
        services=tuple(_law((ended - started)[stop == k]) for k in range(2 * size)),
        ways=tuple(_law(gap[(stop == k) & ~begins]) for k in range(2 * size)),
        stations=tuple(
            Station(name=titles[k], servers=_staff(log, k), shifts=_HALF_HOURS) for k in range(size)
        ),
    )


def _law(times: Array) -> Gamma | None:
    """The fitted law, the mean itself where all are alike, None where nothing is to be timed."""
    positive = times[times > 0]
    if positive.size == 0:
        return None
    if positive.min() == positive.max() or positive.size < 2:
        return Gamma(mean=float(positive.mean()), variation_squared=1e-9)
    return fit_gamma(positive).model


def _staff(log: VisitLog, station: int) -> list[float]:
    """Staff on duty by half hour, seen minute by minute; 48 entries.

    While a line stands everybody on duty is busy: the mean then, else the most that were.
    """
    here = log.station == station
    days = np.unique(np.floor(log.arrived / 1440))
    minutes = (1440 * days[:, None] + np.arange(0.5, 1440)).ravel()

    def count(times: Array) -> Indices:
        return np.asarray(np.sort(times[here]).searchsorted(minutes, "right"))

    came, began, ended = count(log.arrived), count(log.started), count(log.ended)
    busy = (began - ended).reshape(days.size, 48, 30).swapaxes(0, 1).reshape(48, -1)
    line = ((came - began) > 0).reshape(days.size, 48, 30).swapaxes(0, 1).reshape(48, -1)
    stood = line.sum(axis=1)
    enough = stood >= 5 * days.size
    mean = (busy * line).sum(axis=1) / np.maximum(stood, 1)
    staff = np.where(enough, np.round(mean), busy.max(axis=1))
    used = np.flatnonzero(staff > 0)
    if used.size:
        staff[used[-1] :] = staff[used[-1]]
    return [float(number) for number in staff]


def distance(times: ArrayLike, law: Gamma | Lognormal) -> float:
    """Largest gap between the recorded and the fitted share at or below any time (Kolmogorov)."""
    x = np.sort(np.asarray(times, float))
    fitted = law.distribution(x)
    above, below = np.arange(1, x.size + 1) / x.size, np.arange(x.size) / x.size
    return float(np.maximum(np.abs(fitted - above), np.abs(fitted - below)).max())


def _positive(times: ArrayLike, what: str) -> Array:
    x = np.asarray(times, float)
    if x.size < 2 or not (x > 0).all() or x.min() == x.max():
        worst = x.min() if x.size else np.nan
        raise ValueError(
            f"{what}: two or more different times above 0 are wanted, got {x.size}, least {worst:g}"
        )
    return x

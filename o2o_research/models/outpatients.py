"""An outpatient day in a tertiary hospital, before the phone and in its two phases.

Registration window, doctor, payment, tests, report desk, doctor again, payment again, pharmacy:
six kinds of station with return visits (``simulation`` runs them). A phone user registers and
waits elsewhere, pays in the consulting room, reads the report on the phone and is guided
through the building. What the phone takes out of a queue is *removed*; what the patient now
waits elsewhere for the same doctor is *moved*. Both are counted patient by patient, because the
scenarios share their patients: the same people, needs and service times in every phase.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from o2o_research.domain import require
from o2o_research.models.calibration import VisitLog
from o2o_research.models.simulation import Journeys, Run, Station, service_times, simulate, streams

Array = NDArray[np.float64]

# Minutes after midnight. Windows and doctors thin out over lunch and after hours, and stay
# until the last patient is through.
OPENING, LUNCH, REOPENING, CLOSING = 480.0, 720.0, 810.0, 1050.0
LUNCH_STAFF, EVENING_STAFF = 0.4, 0.5

# How a session's walk-in patients spread over its hours: they come early, to get a number.
MORNING = (420.0, np.array([0.20, 0.32, 0.26, 0.16, 0.06]))
AFTERNOON = (780.0, np.array([0.30, 0.35, 0.25, 0.10]))

# The kinds of station, and the places of a patient's path in order: (what for, station).
KINDS = ("registration", "consulting", "payment", "tests", "report_desk", "pharmacy")
STEPS = (
    ("register", "registration"),
    ("consult", "consulting"),
    ("pay_tests", "payment"),
    ("test", "tests"),
    ("analysis", "laboratory"),
    ("report", "report_desk"),
    ("return", "consulting"),
    ("pay_drugs", "payment"),
    ("drugs", "pharmacy"),
)
_STEP = {what: number for number, (what, _) in enumerate(STEPS)}
_CONSULT, _ANALYSIS = _STEP["consult"], _STEP["analysis"]


@dataclass(frozen=True, kw_only=True)
class Phase:
    """How far the phone reaches: the share of each group of payers who use it.

    Parameters
    ----------
    self_pay : float
        Share of self-paying patients on the phone, in [0, 1].
    insured : float
        Share of insured patients on the phone, in [0, 1]; 0 before insurance is connected.
    """

    self_pay: float
    insured: float

    def __post_init__(self) -> None:
        require(self, self_pay="[0, 1]", insured="[0, 1]")


@dataclass(frozen=True, kw_only=True)
class OutpatientDay:
    """One hospital's day; times in minutes.

    Parameters
    ----------
    patients : int
        Patients a day, > 0.
    self_pay_share : float
        Share of patients who pay themselves, in [0, 1].
    morning_share : float
        Share of patients who come for the morning session, in [0, 1].
    tested_share, prescribed_share : float
        Share of patients sent to tests and back, and given a prescription, in [0, 1].
    register_minutes, consult_minutes, return_minutes, payment_minutes, test_minutes,
    report_minutes, pharmacy_minutes : float
        Mean service times, > 0.
    analysis_minutes : float
        Mean time until a test's report is ready, >= 0.
    service_variation : float
        Squared coefficient of variation of service times, >= 0. [c_s^2]
    doctor_utilisation, window_utilisation : float
        Work over capacity of doctors, and of windows and machines, before the phone and over
        the regular hours, in (0, 1]: the staff follow from them.
    departments : int
        Departments with doctors of their own, >= 1: a long queue here does not move there.
    walk_minutes, guided_minutes : float
        Mean walk between two stations, without and with guidance on the phone, >= 0.
    slotted_share : float
        Share of phone users who come at a slot spread over the session rather than early, in [0, 1].
    buffer_minutes : float
        How long before the call a remotely waiting patient sits at the door, >= 0.

    Examples
    --------
    The same patients before the phone and with everybody on it:

    >>> import numpy as np
    >>> day = OutpatientDay(patients=300, departments=2)
    >>> people = day.draw(np.random.default_rng(1))
    >>> before = day.run(people, Phase(self_pay=0, insured=0))
    >>> after = day.run(people, Phase(self_pay=1, insured=1))
    >>> after.queues_joined.mean() < before.queues_joined.mean()
    np.True_
    """

    patients: int = 3000
    self_pay_share: float = 0.4
    morning_share: float = 0.65
    tested_share: float = 0.5
    prescribed_share: float = 0.8
    register_minutes: float = 1.2
    consult_minutes: float = 6.0
    return_minutes: float = 3.0
    payment_minutes: float = 1.5
    test_minutes: float = 6.0
    report_minutes: float = 0.5
    pharmacy_minutes: float = 1.5
    analysis_minutes: float = 40.0
    service_variation: float = 0.5
    doctor_utilisation: float = 0.97
    window_utilisation: float = 0.95
    departments: int = 8
    walk_minutes: float = 4.0
    guided_minutes: float = 3.0
    slotted_share: float = 0.3
    buffer_minutes: float = 15.0

    def __post_init__(self) -> None:
        shares = ("self_pay", "morning", "tested", "prescribed", "slotted")
        services = ("register", "consult", "return", "payment", "test", "report", "pharmacy")
        require(
            self,
            patients="[1, inf)",
            departments="[1, inf)",
            analysis_minutes="[0, inf)",
            service_variation="[0, inf)",
            doctor_utilisation="(0, 1]",
            window_utilisation="(0, 1]",
            walk_minutes="[0, inf)",
            guided_minutes="[0, inf)",
            buffer_minutes="[0, inf)",
            **{f"{name}_share": "[0, 1]" for name in shares},
            **{f"{name}_minutes": "(0, inf)" for name in services},
        )

    @cached_property
    def staff(self) -> Mapping[str, int]:
        """Servers on duty in regular hours by kind of station; doctors of all departments."""
        tested, prescribed = self.tested_share, self.prescribed_share
        work = {
            "registration": self.register_minutes,
            "consulting": self.consult_minutes + tested * self.return_minutes,
            "payment": (tested + prescribed) * self.payment_minutes,
            "tests": tested * self.test_minutes,
            "report_desk": tested * self.report_minutes,
            "pharmacy": prescribed * self.pharmacy_minutes,
        }
        hours = (LUNCH - OPENING) + (CLOSING - REOPENING)
        return {
            kind: max(1, int(np.ceil(self.patients * minutes / hours / self._use(kind) - 1e-9)))
            for kind, minutes in work.items()
        }

    @cached_property
    def doctors(self) -> NDArray[np.int64]:
        """Doctors of each department, as equal as whole numbers allow. Shape (departments,)."""
        total, parts = self.staff["consulting"], int(self.departments)
        each = total // parts + (np.arange(parts) < total % parts)
        return np.asarray(np.maximum(each, 1), np.int64)

    def _use(self, kind: str) -> float:
        return self.doctor_utilisation if kind == "consulting" else self.window_utilisation

    @cached_property
    def stations(self) -> tuple[Station, ...]:
        """Two delays (way, laboratory), the five pooled kinds, then each department's doctors."""
        pooled = [self._station(k, k, self.staff[k]) for k in KINDS if k != "consulting"]
        doctors = [
            self._station("consulting", f"consulting_{number}", int(size))
            for number, size in enumerate(self.doctors)
        ]
        delays = [Station(name=name, servers=np.inf) for name in ("way", "laboratory")]
        return (*delays, *pooled, *doctors)

    def _station(self, kind: str, name: str, full: int) -> Station:
        lunch, evening = (max(1, round(full * s)) for s in (LUNCH_STAFF, EVENING_STAFF))
        # Registration opens half an hour before the doctors.
        opens = OPENING - 30 if kind == "registration" else OPENING
        return Station(
            name=name,
            servers=(full, lunch, full, evening),
            shifts=(opens, LUNCH, REOPENING, CLOSING),
        )

    def draw(self, rng: np.random.Generator) -> Patients:
        """Everything random about the day's patients, one stream for each source."""
        source = streams(rng, "arrivals", "needs", "payer", "phone", "service", "way", "slot")
        n, steps = int(self.patients), len(STEPS)
        morning = source["arrivals"].random(n) < self.morning_share
        walk_in = np.where(
            morning,
            _session(MORNING, source["arrivals"], n),
            _session(AFTERNOON, source["arrivals"], n),
        )
        spread = source["slot"].random(n)
        slot = np.where(
            morning,
            OPENING + spread * (LUNCH - OPENING - 20),
            REOPENING + spread * (CLOSING - REOPENING - 20),
        )
        needs = source["needs"].random((n, 2)) < (self.tested_share, self.prescribed_share)
        means = np.array(
            [
                self.register_minutes,
                self.consult_minutes,
                self.payment_minutes,
                self.test_minutes,
                self.analysis_minutes,
                self.report_minutes,
                self.return_minutes,
                self.payment_minutes,
                self.pharmacy_minutes,
            ]
        )
        service = service_times(
            np.tile(means, n), self.service_variation, n * steps, source["service"]
        )
        return Patients(
            walk_in=walk_in,
            slot=slot,
            tested=needs[:, 0],
            prescribed=needs[:, 1],
            self_pay=source["payer"].random(n) < self.self_pay_share,
            reluctance=source["phone"].random(n),
            slotted=source["slot"].random(n) < self.slotted_share,
            # A department has patients in proportion to its doctors.
            department=np.searchsorted(
                np.cumsum(self.doctors), source["needs"].random(n) * self.doctors.sum(), "right"
            ),
            service=service.reshape(n, steps),
            pace=service_times(1.0, 0.1, n * steps, source["way"]).reshape(n, steps),
        )

    def run(self, people: Patients, phase: Phase) -> Day:
        """The day of these patients in a phase."""
        users = people.users(phase)
        way = np.where(users, self.guided_minutes, self.walk_minutes)[:, None] * people.pace
        first, which, station, service, priority = _visits(
            people.steps(users),
            np.array([_place(kind) for _, kind in STEPS]),
            2 + len(KINDS) - 1 + people.department,
            people.service,
            way,
        )
        journeys = Journeys(
            arrival=np.where(users & people.slotted, people.slot, people.walk_in),
            first=first,
            station=station,
            service=service,
            priority=priority,
        )
        run = simulate(journeys, self.stations)
        return Day(day=self, people=people, users=users, run=run, which=which)

    @classmethod
    def each(cls, **parameters: ArrayLike) -> list[OutpatientDay]:
        """One day for each draw of the parameters, broadcast against one another."""
        names = {field.name for field in fields(cls)}
        unknown = set(parameters) - names
        if unknown:
            raise ValueError(f"OutpatientDay has no parameter {', '.join(sorted(unknown))}")
        columns = np.broadcast_arrays(
            *(np.atleast_1d(np.asarray(v, float)) for v in parameters.values())
        )
        whole = ("patients", "departments")
        rows = [
            {k: round(v) if k in whole else v for k, v in zip(parameters, row, strict=True)}
            for row in np.stack(columns, axis=1).tolist()
        ]
        return [cls(**row) for row in rows]


@dataclass(frozen=True, kw_only=True)
class Patients:
    """A day's patients: times in minutes after midnight, one row a patient.

    ``service`` and ``pace`` have shape (patients, steps): the service each would need at every
    step, and how much slower or faster than the mean each walks there.
    """

    walk_in: Array
    slot: Array
    tested: NDArray[np.bool_]
    prescribed: NDArray[np.bool_]
    self_pay: NDArray[np.bool_]
    reluctance: Array
    slotted: NDArray[np.bool_]
    department: NDArray[np.int64]
    service: Array
    pace: Array

    def users(self, phase: Phase) -> NDArray[np.bool_]:
        """Who is on the phone: a further reach adds users and drops none. Shape (patients,)."""
        return np.asarray(self.reluctance < np.where(self.self_pay, phase.self_pay, phase.insured))

    def steps(self, users: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which steps each patient takes in the building. Shape (patients, steps)."""
        does = np.ones((users.size, len(STEPS)), bool)
        for what in ("pay_tests", "test", "analysis", "report", "return"):
            does[:, _STEP[what]] = self.tested
        for what in ("pay_drugs", "drugs"):
            does[:, _STEP[what]] = self.prescribed
        for what in ("register", "pay_tests", "report", "pay_drugs"):
            does[users, _STEP[what]] = False
        return does


@dataclass(frozen=True, kw_only=True)
class Day:
    """What became of a day's patients; minutes, one entry a patient unless stated."""

    day: OutpatientDay
    people: Patients
    users: NDArray[np.bool_]
    run: Run
    which: NDArray[np.int64]

    @cached_property
    def waits(self) -> Array:
        """Wait before each step, 0 where not taken. Shape (patients, steps)."""
        return self._by_step(self.run.wait, 1)

    def _by_step(self, values: Array, odd: int) -> Array:
        """Values of the stops, or of the ways to them, as a table of patients and steps."""
        return np.asarray(_by_step(self.run.journeys.first, self.which, values, odd, len(STEPS)))

    @cached_property
    def remote_wait(self) -> Array:
        """Waiting for the first consultation away from the hospital, ahead of the buffer."""
        wait = self.waits[:, _CONSULT]
        return np.where(self.users, np.maximum(wait - self.day.buffer_minutes, 0), 0.0)

    @cached_property
    def total_wait(self) -> Array:
        """All waiting in queues, wherever it is spent."""
        return np.asarray(self.waits.sum(axis=1))

    @property
    def on_site_wait(self) -> Array:
        """Waiting in queues inside the hospital."""
        return self.total_wait - self.remote_wait

    @cached_property
    def walking(self) -> Array:
        """Walking between stations."""
        return np.asarray(self._by_step(self.run.journeys.service, 0).sum(axis=1))

    @property
    def on_site(self) -> Array:
        """From coming through the door to leaving."""
        return np.asarray(self.run.time_in_system - self.remote_wait)

    @cached_property
    def queues_joined(self) -> Array:
        """How many times a patient stands in line in the hospital."""
        does = self.people.steps(self.users)
        return np.asarray(does.sum(axis=1) - does[:, _ANALYSIS], float)

    def wait_at(self, kind: str) -> Array:
        """Waiting at one kind of station, both visits to it together."""
        chosen = [number for number, (_, at) in enumerate(STEPS) if at == kind]
        if not chosen:
            raise ValueError(f"wait_at: kind={kind!r} is none of {', '.join(KINDS)}")
        return np.asarray(self.waits[:, chosen].sum(axis=1))

    def queue_at(self, kind: str, times: ArrayLike) -> Array:
        """Patients waiting at a kind of station at each time, on site or not. Shape (times,)."""
        lines = [
            self.run.queue(number, times)
            for number, place in enumerate(self.run.stations)
            if place.name == kind or place.name.startswith(f"{kind}_")
        ]
        return np.asarray(np.sum(lines, axis=0), float)

    def visit_log(self) -> VisitLog:
        """The day as a hospital would have recorded it: stops by kind, in the order of ``KINDS``."""
        kinds = np.array([KINDS.index(kind) if kind in KINDS else -1 for _, kind in STEPS])
        stop = (self.which % 2 == 1) & (kinds[self.which // 2] >= 0)
        return VisitLog(
            patient=self.run.journeys.patient[stop],
            station=kinds[self.which[stop] // 2],
            arrived=self.run.arrived[stop],
            started=self.run.started[stop],
            ended=self.run.ended[stop],
        )


@njit(cache=True)
def _visits(does, place, doctors, service, way):  # type: ignore[no-untyped-def]
    """Where each patient's visits begin, which each is, its station, time and priority.

    Way and stop of step k are visits 2 k and 2 k + 1.
    """
    patients, steps = does.shape
    most = 2 * does.sum()
    first, minutes = np.zeros(patients + 1, np.int64), np.empty(most)
    which, station, priority = (
        np.empty(most, np.int64),
        np.empty(most, np.int64),
        np.empty(most, np.int64),
    )
    visit = 0
    for patient in range(patients):
        for step in range(steps):
            if not does[patient, step]:
                continue
            # One walk before each stop in the building; the laboratory works while they sit.
            if step != _ANALYSIS:
                which[visit], station[visit], priority[visit] = 2 * step, 0, 0
                minutes[visit] = way[patient, step]
                visit += 1
            which[visit] = 2 * step + 1
            station[visit] = place[step] if place[step] >= 0 else doctors[patient]
            # Who comes back from tests does not queue up again behind the newly come.
            priority[visit] = step == _CONSULT
            minutes[visit] = service[patient, step]
            visit += 1
        first[patient + 1] = visit
    return first, which[:visit], station[:visit], minutes[:visit], priority[:visit]


@njit(cache=True)
def _by_step(first, which, values, odd, steps):  # type: ignore[no-untyped-def]
    table = np.zeros((first.size - 1, steps))
    for patient in range(first.size - 1):
        for visit in range(first[patient], first[patient + 1]):
            if which[visit] % 2 == odd:
                table[patient, which[visit] // 2] = values[visit]
    return table


def summary(before: Day, after: Day) -> dict[str, float]:
    """What a phase changes for the mean patient; minutes a patient, the same patients in both.

    ``saved``: time on site saved; ``moved``: of which waited elsewhere instead; ``removed``: the
    rest. ``user_saved``, ``other_saved``: time on site saved by phone users and by the others.
    """
    saved = before.on_site - after.on_site
    users = after.users
    moved = float(after.remote_wait.mean())
    return {
        "on_site": float(after.on_site.mean()),
        "on_site_wait": float(after.on_site_wait.mean()),
        "remote_wait": moved,
        "total_wait": float(after.total_wait.mean()),
        "walking": float(after.walking.mean()),
        "queues_joined": float(after.queues_joined.mean()),
        "user_queues": float(after.queues_joined[users].mean()) if users.any() else np.nan,
        "users_share": float(users.mean()),
        "saved": float(saved.mean()),
        "moved": moved,
        "removed": float(saved.mean()) - moved,
        "user_saved": float(saved[users].mean()) if users.any() else np.nan,
        "other_saved": float(saved[~users].mean()) if not users.all() else np.nan,
        **{f"wait_{kind}": float(after.wait_at(kind).mean()) for kind in KINDS},
    }


def simulate_phases(
    days: Sequence[OutpatientDay],
    phases: Sequence[Sequence[Phase]],
    rng: np.random.Generator,
    *,
    stated_repeats: int = 20,
    common: bool = False,
) -> list[dict[str, Array]]:
    """Summaries of several phases for every draw of the parameters.

    Parameters
    ----------
    days : the stated day first, then plausible ones
    phases : for each phase one Phase a day; the first phase is what the others compare with
    rng : numpy Generator
    stated_repeats : the first day is the mean of so many days, to quieten its chance
    common : whether all days draw from the same stream, so that they differ by parameters only

    Returns
    -------
    list of dict, one a phase; each entry has shape (days,)
    """
    rows: list[list[dict[str, float]]] = [[] for _ in phases]
    seeds = rng.integers(2**63, size=1 if common else len(days))
    for number, day in enumerate(days):
        stream = np.random.default_rng(seeds[0 if common else number])
        repeats: list[list[dict[str, float]]] = []
        for repeat in stream.spawn(stated_repeats if number == 0 else 1):
            people = day.draw(repeat)
            runs = [day.run(people, phase[number]) for phase in phases]
            repeats.append([summary(runs[0], run) for run in runs])
        for row, answers in zip(rows, zip(*repeats, strict=True), strict=True):
            row.append({key: float(np.mean([a[key] for a in answers])) for key in answers[0]})
    return [{key: np.array([a[key] for a in row]) for key in row[0]} for row in rows]


def reach_curve(
    day: OutpatientDay, reaches: ArrayLike, rng: np.random.Generator, *, repeats: int = 10
) -> dict[str, Array]:
    """Summaries as the phone reaches a growing share of all patients; means and repeats.

    Returns
    -------
    dict of ndarray, shape (reaches, repeats + 1): the mean of the repeats first, then each
    """
    shares = np.asarray(reaches, float)
    phases = [Phase(self_pay=float(share), insured=float(share)) for share in (0.0, *shares)]
    repeated = []
    for stream in rng.spawn(repeats):
        people = day.draw(stream)
        runs = [day.run(people, phase) for phase in phases]
        repeated.append([summary(runs[0], run) for run in runs[1:]])
    tables = {
        key: np.array([[answer[key] for answer in one] for one in repeated]).T
        for key in repeated[0][0]
    }
    return {key: np.column_stack([t.mean(axis=1), t]) for key, t in tables.items()}


def _place(kind: str) -> int:
    if kind == "laboratory":
        return 1
    if kind == "consulting":
        return -1
    return 2 + [k for k in KINDS if k != "consulting"].index(kind)


def _session(session: tuple[float, Array], rng: np.random.Generator, n: int) -> Array:
    begin, shares = session
    hour = np.searchsorted(np.cumsum(shares), rng.random(n) * shares.sum(), side="right")
    return np.asarray(begin + 60 * (hour + rng.random(n)), float)

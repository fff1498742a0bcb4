"""Telling scalpers of hospital appointments from families and clinic assistants.

Each account is described by counts a scalper can hardly avoid (bookings seconds after release,
days active, patients, doctors, cancel-and-rebook pairs, people reached through shared devices),
put on a robust scale and summed with bounded weights, so that no single habit convicts.
The scale and the calibration scores come from a reference period and are then frozen: an
account's score, and a booking's, never depends on the batch in which it is scored.

Calibration: conformal p-values with the Benjamini-Hochberg rule (Benjamini & Hochberg 1995;
Bates, Candes, Lei, Romano & Sesia 2023, Annals of Statistics 51:149-178). The scheme of
booking under an alias, cancelling, and rebooking at once for the client is the one reported
in Chinese press and court cases.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray
from scipy.stats import beta

from o2o_research.domain import require

Array = NDArray[np.float64]
Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]

DAY = 86_400.0
FEATURES = (
    "fast",
    "most_in_a_day",
    "active_days",
    "patients",
    "doctors",
    "rebooked",
    "linked",
)

# What counts: behaviour that only a reseller needs weighs most, mere volume least.
WEIGHTS = {
    "fast": 1.0,
    "most_in_a_day": 0.5,
    "active_days": 0.5,
    "patients": 0.5,
    "doctors": 0.5,
    "rebooked": 2.0,
    "linked": 1.0,
}


@dataclass(frozen=True, kw_only=True)
class Registrations:
    """A log of bookings, one entry each; identities are whole numbers, times are seconds.

    Parameters
    ----------
    account, patient, doctor, device : ndarray of int, shape (bookings,), >= 0
    released_at, booked_at, visit_at : ndarray, shape (bookings,)
        When the slot was released, booked, and is to take place.
    cancelled_at : ndarray, shape (bookings,)
        nan where not cancelled.

    Raises
    ------
    ValueError
        Arrays of different length, a negative identity, a missing time, a booking before its
        release or a cancellation before its booking; the message gives the first bad row.
    """

    account: Indices
    patient: Indices
    doctor: Indices
    device: Indices
    released_at: Array
    booked_at: Array
    visit_at: Array
    cancelled_at: Array

    def __post_init__(self) -> None:
        rows = self.account.shape
        for name in self.__dataclass_fields__:
            values = getattr(self, name)
            if values.shape != rows or values.ndim != 1:
                raise ValueError(f"Registrations: {name} has shape {values.shape}, wanted {rows}")
        bad = [
            ("account", self.account < 0),
            ("patient", self.patient < 0),
            ("doctor", self.doctor < 0),
            ("device", self.device < 0),
            ("released_at", ~np.isfinite(self.released_at)),
            ("visit_at", ~np.isfinite(self.visit_at)),
            ("booked_at", ~(self.booked_at >= self.released_at)),
            ("cancelled_at", self.cancelled_at < self.booked_at),
        ]
        for name, wrong in bad:
            if wrong.any():
                row = int(np.argmax(wrong))
                raise ValueError(f"Registrations: row {row}: {name}={getattr(self, name)[row]}")


@dataclass(frozen=True, kw_only=True)
class Accounts:
    """Counts by account over a log's window, in the order of ``account`` (increasing).

    Parameters
    ----------
    account : ndarray of int, shape (accounts,)
    counts : ndarray, shape (accounts, 7)
        In the order of ``FEATURES``: bookings within ``fast_seconds`` of release, most bookings
        in a day, days with a booking, distinct patients, distinct doctors, cancel-and-rebook
        pairs, other people's patients reached through shared devices.
    """

    account: Indices
    counts: Array

    def __getitem__(self, feature: str) -> Array:
        return np.asarray(self.counts[:, FEATURES.index(feature)])

    def rows(self, accounts: ArrayLike) -> Indices:
        """Where the given accounts stand in ``account``; -1 for accounts never seen."""
        wanted = np.asarray(accounts, np.int64)
        if not self.account.size:
            return np.full(wanted.shape, -1)
        at = np.minimum(np.searchsorted(self.account, wanted), self.account.size - 1)
        return np.where(self.account[at] == wanted, at, -1)


def count_accounts(
    log: Registrations,
    *,
    fast_seconds: float = 10.0,
    pair_seconds: float = 60.0,
    public_accounts: int = 50,
) -> Accounts:
    """Reduce a log to what each account did.

    Parameters
    ----------
    fast_seconds : a booking so soon after release counts as fast
    pair_seconds : a slot booked for another patient so soon after its cancellation is a pair
    public_accounts : a device used by more accounts than that is public (a kiosk, a ward's
        network) and links nobody: one such device would tie the whole city together
    """
    number, first = _number(log.account)
    order = np.argsort(log.account[first])
    names, account = log.account[first[order]], np.argsort(order)[number]
    n = names.size
    fast = np.bincount(
        account, weights=log.booked_at - log.released_at <= fast_seconds, minlength=n
    )
    day, patient, doctor = (
        _number(key)[0]
        for key in (np.floor(log.booked_at / DAY).astype(np.int64), log.patient, log.doctor)
    )
    days, most = _variety(account, day, n)
    patients = _variety(account, patient, n)[0]
    device = _number(log.device)[0]
    users = _variety(device, account, device.max(initial=-1) + 1)[0]
    group = _tied(account, device, users <= public_accounts, n)
    # A patient whom two accounts of a group booked is counted once in the group.
    reached = _variety(group[account], patient, n)[0][group]
    counts = np.column_stack(
        [
            fast,
            most,
            days,
            patients,
            _variety(account, doctor, n)[0],
            _rebooked(log, account, n, pair_seconds),
            reached - patients,
        ]
    )
    return Accounts(account=names, counts=counts.astype(float))


@dataclass(frozen=True, kw_only=True)
class Reference:
    """The frozen yardstick: robust centre and scale of each count, and calibration scores.

    Parameters
    ----------
    centre, scale : ndarray, shape (7,), of the counts' logarithms
    weights : ndarray, shape (7,), >= 0
    cap : float
        No count speaks louder than so many scales, > 0.
    calibration : ndarray, shape (accounts,), increasing
        Scores of accounts believed honest that had no part in centre and scale.
    """

    centre: Array
    scale: Array
    weights: Array
    cap: float
    calibration: Array

    def __post_init__(self) -> None:
        require(self, scale="(0, inf)", weights="[0, inf)", cap="(0, inf)")

    def score(self, counts: ArrayLike) -> Array:
        """Bounded weighted sum of robust distances above the centre. Shape (accounts,)."""
        distance = (np.log1p(np.asarray(counts, float)) - self.centre) / self.scale
        return np.asarray(np.clip(distance, 0, self.cap) @ self.weights)

    def p_value(self, score: ArrayLike) -> Array:
        """Conformal p-value: the rank among calibration scores, ties against the account."""
        scores = np.asarray(score, float)
        at_least = self.calibration.size - np.searchsorted(self.calibration, scores, side="left")
        return np.asarray((1 + at_least) / (1 + self.calibration.size))

    def exceeded_share(self, score: ArrayLike) -> Array:
        """Share of honest accounts that score at least so much. [S_0]"""
        scores = np.asarray(score, float)
        at_least = self.calibration.size - np.searchsorted(self.calibration, scores, side="left")
        return np.asarray(at_least / self.calibration.size)


def fit_reference(training: ArrayLike, calibration: ArrayLike, *, cap: float = 6.0) -> Reference:
    """The yardstick from two disjoint samples of accounts believed honest.

    Scalpers among them make the p-values conservative, not invalid: fewer are caught.

    Parameters
    ----------
    training, calibration : ndarray, shape (accounts, 7), counts as in ``Accounts``

    Raises
    ------
    ValueError
        Fewer than 20 accounts in a sample.
    """
    first, second = np.asarray(training, float), np.asarray(calibration, float)
    for name, sample in (("training", first), ("calibration", second)):
        if sample.ndim != 2 or sample.shape[0] < 20 or sample.shape[1] != len(FEATURES):
            raise ValueError(
                f"fit_reference: {name} has shape {sample.shape}, wanted (20 or more, {len(FEATURES)})"
            )
    logs = np.log1p(first)
    centre, high = np.quantile(logs, [0.5, 0.84], axis=0)
    # Most accounts book once, so the usual spread may be nil: half a doubling is the least.
    half = Reference(
        centre=centre,
        scale=np.maximum(high - centre, 0.5 * np.log(2)),
        weights=np.array([WEIGHTS[name] for name in FEATURES]),
        cap=cap,
        calibration=np.empty(0),
    )
    return replace(half, calibration=np.sort(half.score(second)))


def score_bookings(accounts: ArrayLike, history: Accounts, reference: Reference) -> Array:
    """Scores of bookings by whose account they come from. Shape (bookings,).

    Each depends on its own account's history and the frozen reference, and on no other booking
    in the call.
    """
    # One score an account, then looked up; an account never seen has done nothing yet.
    unseen = reference.score(np.zeros((1, len(FEATURES))))
    return np.concatenate([reference.score(history.counts), unseen])[history.rows(accounts)]


def benjamini_hochberg(p_values: ArrayLike, rate: float) -> float:
    """The largest p-value to act on so that the false discovery rate stays below ``rate``.

    0 if none. Fixed once on a reference period it is a threshold for single accounts too.

    Raises
    ------
    ValueError
        A rate outside (0, 1).

    Examples
    --------
    >>> benjamini_hochberg([0.001, 0.008, 0.039, 0.041, 0.6], 0.05)
    0.008
    """
    if not 0 < rate < 1:
        raise ValueError(f"benjamini_hochberg: rate={rate} must lie in (0, 1)")
    ordered = np.sort(np.asarray(p_values, float))
    passed = np.flatnonzero(ordered <= rate * np.arange(1, ordered.size + 1) / ordered.size)
    return float(ordered[passed[-1]]) if passed.size else 0.0


def cost_threshold(
    scores: ArrayLike, reference: Reference, *, block_cost: float, catch_value: float
) -> float:
    """The score from which to block, without labels, when errors have prices.

    Two groups: of n accounts, n S_0(t) honest ones would score t or more; the other flagged
    ones are scalpers. Chosen is the t that maximises
    ``catch_value * (flagged(t) - n S_0(t)) - block_cost * n S_0(t)``; ``inf`` if blocking never
    pays. Taking all n as honest for S_0 errs on the families' side.

    Parameters
    ----------
    scores : ndarray, shape (accounts,), of a whole period
    block_cost : yuan lost when an honest account is blocked, >= 0
    catch_value : yuan gained when a scalper's account is blocked, > 0

    Raises
    ------
    ValueError
        A negative cost, or a value that is not positive.
    """
    if not block_cost >= 0 or not catch_value > 0:
        raise ValueError(
            f"cost_threshold: block_cost={block_cost} must be >= 0 and "
            f"catch_value={catch_value} > 0"
        )
    values = np.asarray(scores, float)
    tried = np.unique(values)
    flagged = values.size - np.searchsorted(np.sort(values), tried, side="left")
    # Above the largest calibration score S_0 is not known to be nil: 1 / (n + 1) stands in.
    honest = values.size * np.maximum(
        reference.exceeded_share(tried), 1 / (1 + reference.calibration.size)
    )
    gain = catch_value * (flagged - honest) - block_cost * honest
    best = int(np.argmax(gain))
    return float(tried[best]) if gain[best] > 0 else np.inf


@dataclass(frozen=True, kw_only=True)
class ArticleRule:
    """The article's rule: who registers many times in a day, or nearly every day, is restricted.

    Parameters
    ----------
    per_day : float
        Bookings in one day from which an account is restricted, >= 1.
    days : float
        Active days in the window from which it is restricted, >= 1.
    """

    per_day: float = 4.0
    days: float = 15.0

    def __post_init__(self) -> None:
        require(self, per_day="[1, inf)", days="[1, inf)")

    def flags(self, accounts: Accounts) -> Mask:
        """Who is restricted. Shape (accounts,)."""
        often = accounts["most_in_a_day"] >= self.per_day
        return np.asarray(often | (accounts["active_days"] >= self.days))


@dataclass(frozen=True, kw_only=True)
class Detection:
    """How a set of flags compares with the truth.

    Parameters
    ----------
    caught, blocked, missed : float or ndarray
        Scalpers flagged, honest accounts flagged, scalpers not flagged, >= 0.
    """

    caught: ArrayLike
    blocked: ArrayLike
    missed: ArrayLike

    def __post_init__(self) -> None:
        require(self, caught="[0, inf)", blocked="[0, inf)", missed="[0, inf)")

    @classmethod
    def of(cls, flags: Mask, scalper: Mask) -> Detection:
        """Count flags against the truth, both of shape (accounts,)."""
        return cls(
            caught=int((flags & scalper).sum()),
            blocked=int((flags & ~scalper).sum()),
            missed=int((~flags & scalper).sum()),
        )

    @property
    def precision(self) -> Array:
        """Share of flagged accounts that are scalpers; nan where none is flagged."""
        return _ratio(self.caught, np.add(self.caught, self.blocked))

    @property
    def recall(self) -> Array:
        """Share of scalpers that are flagged; nan where there are none."""
        return _ratio(self.caught, np.add(self.caught, self.missed))

    def cost(self, block_cost: ArrayLike, catch_value: ArrayLike) -> Array:
        """Yuan lost: honest accounts blocked and scalpers left."""
        return np.asarray(
            np.multiply(self.blocked, block_cost) + np.multiply(self.missed, catch_value), float
        )


def jeffreys(successes: ArrayLike, trials: ArrayLike, level: float = 0.90) -> tuple[Array, Array]:
    """Jeffreys interval of a share: beta quantiles with half a success and half a failure added.

    >>> low, high = jeffreys(0, 10)
    >>> float(low), round(float(high), 3)
    (0.0, 0.171)
    """
    x, n = np.asarray(successes, float), np.asarray(trials, float)
    low = np.where(x > 0, beta.ppf((1 - level) / 2, x + 0.5, n - x + 0.5), 0.0)
    high = np.where(x < n, beta.ppf((1 + level) / 2, x + 0.5, n - x + 0.5), 1.0)
    return low, high


# How each kind of account behaves over a window of 30 days: mean bookings, patients and doctors
# to choose from, chance to book within seconds of release, to cancel, to rebook a cancelled
# slot at once, and how many accounts share how many devices.
KINDS = (
    "ordinary",
    "family",
    "chronic",
    "assistant",
    "bot",
    "ring",
    "rebooker",
    "hand",
)
_BEHAVIOUR = np.array(
    # bookings, patients, doctors, fast, cancel, rebook, group, devices
    [
        [0.6, 1, 2, 0.05, 0.12, 0.0, 1, 1],
        [2.5, 4, 4, 0.08, 0.12, 0.0, 3, 2],
        [4.0, 1, 2, 0.10, 0.10, 0.0, 1, 1],
        [50.0, 60, 12, 0.03, 0.10, 0.0, 1, 1],
        [90.0, 80, 12, 0.95, 0.30, 0.6, 4, 1],
        [8.0, 8, 6, 0.60, 0.35, 0.8, 24, 4],
        [40.0, 40, 8, 0.70, 0.90, 0.9, 2, 1],
        [15.0, 15, 6, 0.25, 0.25, 0.5, 3, 2],
    ]
)
_HONEST_MIX = np.array([0.82, 0.13, 0.045, 0.005])
_SCALPER_MIX = np.array([0.15, 0.5, 0.15, 0.2])


@dataclass(frozen=True, kw_only=True)
class SyntheticLog:
    """A generated log and the truth about it.

    Parameters
    ----------
    log : Registrations
    kind : ndarray of int, shape (accounts,)
        Index into ``KINDS``; accounts are numbered from 0.
    """

    log: Registrations
    kind: Indices

    @cached_property
    def scalper(self) -> Mask:
        """Which accounts are scalpers'. Shape (accounts,)."""
        return np.asarray(self.kind >= len(_HONEST_MIX))


def synthetic_registrations(
    accounts: int,
    prevalence: float,
    rng: np.random.Generator,
    *,
    caution: float = 0.0,
    days: int = 30,
    doctors: int = 400,
    kiosk_share: float = 0.01,
) -> SyntheticLog:
    """A window of bookings by honest accounts and by scalpers of four kinds.

    Honest: ordinary patients, a daughter booking for parents (shared devices), chronic patients,
    a clinic assistant booking for dozens. Scalpers: fast bots, rings of many quiet accounts on
    few devices, alias rebookers, and people who book by hand.

    Parameters
    ----------
    accounts : int, how many
    prevalence : float
        Share of accounts that are scalpers', in [0, 1].
    rng : numpy Generator
    caution : float
        How far scalpers move towards honest behaviour, in [0, 1]: fewer bookings an account,
        slower, fewer rebookings, devices of their own.
    days : window length
    doctors : how many doctors can be booked
    kiosk_share : share of honest bookings made on a few public devices

    Raises
    ------
    ValueError
        A share outside [0, 1].
    """
    for name, value in (("prevalence", prevalence), ("caution", caution)):
        if not 0 <= value <= 1:
            raise ValueError(f"synthetic_registrations: {name}={value} must lie in [0, 1]")
    kind = np.where(
        rng.random(accounts) < prevalence,
        len(_HONEST_MIX) + rng.choice(_SCALPER_MIX.size, accounts, p=_SCALPER_MIX),
        rng.choice(_HONEST_MIX.size, accounts, p=_HONEST_MIX),
    )
    traits = _BEHAVIOUR[kind]
    scalper = kind >= len(_HONEST_MIX)
    bold = np.where(scalper, 1 - caution, 1.0)
    ordinary = _BEHAVIOUR[0]
    mean = np.where(scalper, ordinary[0] + (traits[:, 0] - ordinary[0]) * bold, traits[:, 0])
    fast = np.where(scalper, ordinary[3] + (traits[:, 3] - ordinary[3]) * bold, traits[:, 3])
    rebook = traits[:, 5] * bold

    number = 1 + rng.poisson(mean * days / 30)
    account = np.repeat(np.arange(accounts), number)
    rows = account.size
    patient = account * 128 + (rng.random(rows) * traits[account, 1]).astype(np.int64)
    # Neighbouring doctors of one department, more often the well-known first one.
    first_doctor = rng.integers(0, doctors, accounts)
    doctor = (
        first_doctor[account] + (rng.random(rows) ** 2 * traits[account, 2]).astype(np.int64)
    ) % doctors

    visit_day = rng.integers(7, days + 7, rows)
    released = (visit_day - 7) * DAY + 7 * 3600.0
    visit = visit_day * DAY + 8 * 3600 + rng.integers(0, 480, rows) * 60.0
    delay = np.where(
        rng.random(rows) < fast[account],
        np.minimum(rng.exponential(3.0, rows), 9.9),
        np.minimum(10 + rng.lognormal(np.log(20_000), 1.6, rows), 6 * DAY),
    )
    booked = released + delay
    cancel = rng.random(rows) < traits[account, 4] * np.where(scalper, bold, 1.0)[account]
    cancelled = np.where(cancel, booked + rng.random(rows) * (visit - booked) * 0.9, np.nan)

    group = np.maximum(traits[:, 6], 1)
    ring = _group(kind, group, rng)
    own = rng.random(accounts) < np.where(scalper, caution, 0.0)
    spot = (rng.random(rows) * traits[account, 7]).astype(np.int64)
    device = np.where(own[account], account * 8, (accounts + ring[account]) * 8 + spot)
    kiosk = (rng.random(rows) < kiosk_share) & ~scalper[account]
    device = np.where(kiosk, rng.integers(0, 5, rows), device + 32)

    # A freed slot goes to a client at once where a scalper freed it, else sometimes to a stranger.
    again = cancel & (rng.random(rows) < np.where(scalper, rebook, 0.03)[account])
    who = np.flatnonzero(again)
    heir = np.where(scalper[account[who]], account[who], rng.integers(0, accounts, who.size))
    wait = np.where(
        scalper[account[who]], 1 + rng.random(who.size) * 15, rng.random(who.size) * 300
    )
    heir_device = np.where(scalper[account[who]], device[who], (accounts + ring[heir]) * 8 + 32)
    log = Registrations(
        account=np.concatenate([account, heir]),
        patient=np.concatenate([patient, heir * 128 + 100 + rng.integers(0, 28, who.size)]),
        doctor=np.concatenate([doctor, doctor[who]]),
        device=np.concatenate([device, heir_device]),
        released_at=np.concatenate([released, released[who]]),
        booked_at=np.concatenate([booked, cancelled[who] + wait]),
        visit_at=np.concatenate([visit, visit[who]]),
        cancelled_at=np.concatenate([cancelled, np.full(who.size, np.nan)]),
    )
    return SyntheticLog(log=log, kind=kind)


@dataclass(frozen=True, kw_only=True)
class Scalper:
    """What a reseller earns from an account before it is caught, and how that shapes caution.

    Parameters
    ----------
    margin : float or ndarray
        Resale price less face value and search, yuan an appointment, > 0. [m]
    account_cost : float or ndarray
        A new account with identity card, telephone number and device, yuan, >= 0. [k]
    """

    margin: ArrayLike
    account_cost: ArrayLike

    def __post_init__(self) -> None:
        require(self, margin="(0, inf)", account_cost="[0, inf)")

    def profit(self, volume: ArrayLike, detected_share: ArrayLike) -> Array:
        """Yuan an account and window: m v (1 - d) - k d; blocked accounts lose what they hold."""
        v, d = np.asarray(volume, float), np.asarray(detected_share, float)
        return np.asarray(np.asarray(self.margin) * v * (1 - d) - np.asarray(self.account_cost) * d)

    def best_reply(self, volume: ArrayLike, detected_share: ArrayLike) -> Indices:
        """Which way of working earns most; -1 where none earns anything.

        ``volume`` and ``detected_share``, shape (ways,), run over kinds and cautions; the answer
        has the shape of ``margin``.
        """
        earned = replace(
            self,
            margin=np.asarray(self.margin, float)[..., None],
            account_cost=np.asarray(self.account_cost, float)[..., None],
        ).profit(volume, detected_share)
        best = np.argmax(earned, axis=-1)
        return np.where(earned.max(axis=-1) > 0, best, -1)


@dataclass(frozen=True, kw_only=True)
class Adaptation:
    """What each kind of scalper does at each caution, and how often each threshold catches it.

    Parameters
    ----------
    volume : ndarray, shape (kinds, cautions), bookings kept an account and window
    detected_share : ndarray, shape (thresholds, kinds, cautions)
    """

    volume: Array
    detected_share: Array

    @property
    def bold_volume(self) -> float:
        """Bookings kept an account and window by the mix of kinds before any detection."""
        return float(_SCALPER_MIX @ self.volume[:, 0])

    def best_profit(self, scalper: Scalper) -> Array:
        """What an account earns at each caution by the best kind.

        Shape (thresholds, cautions, ...) with the shape of the scalper's margin last.
        """
        lift = (..., *(None,) * np.ndim(np.asarray(scalper.margin)))
        earned = scalper.profit(self.volume[lift], self.detected_share[lift])
        return np.asarray(earned.max(axis=1))

    def kept_share(self, scalper: Scalper) -> Array:
        """Appointments still resold an account once each takes up the kind and caution that earns
        most, over those of the mix of kinds before any detection. Shape (thresholds, ...).

        The number of accounts is held: above 1, scalpers move to a kind the flags do not see.
        """
        return self._replies(scalper)[0]

    def caught_share(self, scalper: Scalper) -> Array:
        """Share of their appointments that is blocked once they have taken up what earns most;
        all of it where nothing earns. Shape (thresholds, ...)."""
        return self._replies(scalper)[1]

    def _replies(self, scalper: Scalper) -> tuple[Array, Array]:
        kept, caught = [], []
        volume = self.volume.ravel()
        for detected in self.detected_share.reshape(-1, volume.size):
            best = scalper.best_reply(volume, detected)
            kept.append(np.where(best >= 0, (volume * (1 - detected))[best], 0.0))
            caught.append(np.where(best >= 0, detected[best], 1.0))
        return np.array(kept) / self.bold_volume, np.array(caught)


def adaptation(
    flags: Callable[[Accounts], Mask],
    cautions: ArrayLike,
    rng: np.random.Generator,
    *,
    accounts: int = 4000,
) -> Adaptation:
    """Volume and detection by kind and caution, by simulation under frozen flags.

    Flagged accounts are blocked. The flags are frozen, so the share of scalpers is free to be
    large enough to measure well: a half. All cautions share random numbers.

    Parameters
    ----------
    flags : who would be blocked, shape (thresholds, accounts)
    cautions : ndarray, shape (cautions,), from 0 (none) upwards
    """
    seed = rng.integers(2**63)
    levels = np.asarray(cautions, float)
    kinds = np.arange(_HONEST_MIX.size, len(KINDS))
    volume = np.zeros((kinds.size, levels.size))
    detected: list[Array] = []
    for number, caution in enumerate(levels):
        made = synthetic_registrations(
            accounts, 0.5, np.random.default_rng(seed), caution=float(caution)
        )
        caught = np.atleast_2d(flags(count_accounts(made.log)))
        kept = np.bincount(
            made.log.account, weights=np.isnan(made.log.cancelled_at), minlength=accounts
        )
        mine = made.kind == kinds[:, None]
        sold = mine @ kept
        volume[:, number] = sold / mine.sum(axis=1)
        detected.append(caught @ (mine * kept).T / sold)
    return Adaptation(volume=volume, detected_share=np.stack(detected, axis=2))


@dataclass(frozen=True, kw_only=True)
class Contest:
    """Hospital against scalpers, played out in several worlds drawn independently.

    In each world honest accounts, the reference fitted to them and the scalpers are new, so
    that no answer hangs on one draw of them.

    Parameters
    ----------
    levels : ndarray, shape (levels,)
        Shares of honest accounts that the score blocks.
    rule_level : float
        Share of honest accounts that the article's rule blocks.
    worlds : tuple of Adaptation
        Thresholds in the order of ``levels``, the article's rule last.
    """

    levels: Array
    rule_level: float
    worlds: tuple[Adaptation, ...]

    @cached_property
    def pooled(self) -> Adaptation:
        """All worlds together."""
        return Adaptation(
            volume=np.mean([world.volume for world in self.worlds], axis=0),
            detected_share=np.mean([world.detected_share for world in self.worlds], axis=0),
        )

    def play(
        self,
        scalper: Scalper,
        *,
        scalper_share: ArrayLike,
        block_cost: ArrayLike,
        catch_value: ArrayLike,
        world: int | None = None,
    ) -> Outcome:
        """The level that costs least once scalpers have replied to it, and what is left then.

        Loss a thousand accounts: 1000 (c_b (1 - pi) level + c_m pi left). The arrays' first
        entry is played in the pooled world and every other in one of the worlds in turn, so
        that the spread of the answers holds the simulation's error too; ``world`` plays all in
        that one, -1 in the pooled one.
        """
        margin = np.atleast_1d(np.asarray(scalper.margin, float))
        share, block, catch, cost = (
            np.broadcast_to(np.asarray(v, float), np.broadcast_shapes(np.shape(v), margin.shape))
            for v in (scalper_share, block_cost, catch_value, scalper.account_cost)
        )
        size = max(v.size for v in (margin, share, block, catch, cost))
        margin, share, block, catch, cost = (
            np.broadcast_to(v, (size,)) for v in (margin, share, block, catch, cost)
        )
        which = np.arange(size) % len(self.worlds) if world is None else np.full(size, world)
        kept = np.zeros((self.levels.size + 1, size))
        caught = np.zeros_like(kept)
        if world is None:
            which[0] = -1
        for number, adapted in ((-1, self.pooled), *enumerate(self.worlds)):
            mine = which == number
            if not mine.any():
                continue
            one = Scalper(margin=margin[mine], account_cost=cost[mine])
            kept[:, mine], caught[:, mine] = adapted._replies(one)
        blocked = np.append(self.levels, self.rule_level)[:, None]
        loss = 1000 * (block * (1 - share) * blocked + catch * share * kept)
        best = loss[:-1].argmin(axis=0)
        column = np.arange(size)
        with np.errstate(invalid="ignore"):
            precision = share * caught / (share * caught + (1 - share) * blocked)
        return Outcome(
            loss_by_level=loss[:-1],
            level=self.levels[best],
            left=kept[best, column],
            loss=loss[best, column],
            recall=caught[best, column],
            precision=precision[best, column],
            rule_left=kept[-1],
            rule_loss=loss[-1],
            rule_recall=caught[-1],
            rule_precision=precision[-1],
            bold_volume=self.pooled.bold_volume,
        )


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a contest ends; arrays of shape (draws,) unless stated.

    Parameters
    ----------
    loss_by_level : ndarray, shape (levels, draws), yuan a thousand accounts
    level : share of honest accounts blocked where that costs least
    left, loss, recall, precision : appointments still resold over those before, yuan lost a
        thousand accounts, share of the resold appointments blocked, and of the blocked
        accounts that are scalpers', under the score
    rule_left, rule_loss, rule_recall, rule_precision : the same under the article's rule
    bold_volume : appointments an account and window before any detection
    """

    loss_by_level: Array
    level: Array
    left: Array
    loss: Array
    recall: Array
    precision: Array
    rule_left: Array
    rule_loss: Array
    rule_recall: Array
    rule_precision: Array
    bold_volume: float

    def account_cost_limit(self, margin: ArrayLike) -> Array:
        """Yuan an account and window from which reselling pays no more, were accounts free to
        multiply: margin times what an account still sells."""
        return np.asarray(np.asarray(margin, float) * self.left * self.bold_volume)

    def evasion_cost(self, account_cost: ArrayLike) -> Array:
        """Yuan an appointment for selling as many as before through more accounts:
        k (1 / left - 1) / v."""
        more = 1 / np.maximum(self.left, 1e-12) - 1
        return np.asarray(np.asarray(account_cost, float) * more / self.bold_volume)


def contest(
    rule: ArticleRule,
    levels: ArrayLike,
    cautions: ArrayLike,
    rng: np.random.Generator,
    *,
    worlds: int = 8,
    honest: int = 40_000,
    accounts: int = 4000,
) -> Contest:
    """Play hospital against scalpers in ``worlds`` independent worlds.

    Parameters
    ----------
    rule : the article's
    levels : shares of honest accounts that the score may block, shape (levels,)
    cautions : as in ``adaptation``
    honest, accounts : sizes of each world's honest sample and of its adapted one
    """
    shares = np.asarray(levels, float)
    blocked, played = [], []
    for stream in rng.spawn(worlds):
        seen = count_accounts(synthetic_registrations(honest, 0.0, stream).log)
        reference = fit_reference(seen.counts[::2], seen.counts[1::2])
        limits = np.quantile(reference.calibration, 1 - shares)
        blocked.append(float(rule.flags(seen).mean()))
        played.append(
            adaptation(
                lambda new, r=reference, at=limits: np.vstack(  # type: ignore[misc]
                    [r.score(new.counts) >= at[:, None], rule.flags(new)]
                ),
                cautions,
                stream,
                accounts=accounts,
            )
        )
    return Contest(levels=shares, rule_level=float(np.mean(blocked)), worlds=tuple(played))


def compare_rules(
    reference: Reference,
    rule: ArticleRule,
    prevalences: ArrayLike,
    rng: np.random.Generator,
    *,
    block_cost: float,
    catch_value: float,
    accounts: int = 10_000,
    repeats: int = 10,
) -> dict[str, dict[str, Array]]:
    """The score at its cost threshold against the article's rule, over prevalence.

    Returns
    -------
    dict by ``score`` and ``rule``, each of ``precision``, ``recall`` and ``cost`` (yuan a
    thousand accounts): ndarray, shape (prevalences, repeats + 1), all repeats pooled first
    """
    shares = np.asarray(prevalences, float)
    counts = np.zeros((2, 3, shares.size, repeats))
    for repeat, stream in enumerate(rng.spawn(repeats)):
        for number, share in enumerate(shares):
            made = synthetic_registrations(accounts, float(share), stream)
            seen = count_accounts(made.log)
            scores = reference.score(seen.counts)
            threshold = cost_threshold(
                scores, reference, block_cost=block_cost, catch_value=catch_value
            )
            for way, flags in enumerate((scores >= threshold, rule.flags(seen))):
                found = Detection.of(flags, made.scalper)
                for row, part in enumerate((found.caught, found.blocked, found.missed)):
                    counts[way, row, number, repeat] = float(np.asarray(part))
    pooled = np.concatenate([counts.sum(axis=-1, keepdims=True), counts], axis=-1)
    sizes = accounts * np.array([repeats] + [1] * repeats)
    answer = {}
    for way, name in enumerate(("score", "rule")):
        found = Detection(caught=pooled[way, 0], blocked=pooled[way, 1], missed=pooled[way, 2])
        answer[name] = {
            "precision": found.precision,
            "recall": found.recall,
            "cost": found.cost(block_cost, catch_value) / sizes * 1000,
        }
    return answer


def _ratio(top: ArrayLike, bottom: ArrayLike) -> Array:
    above, below = np.asarray(top, float), np.asarray(bottom, float)
    return np.asarray(np.where(below > 0, above / np.where(below > 0, below, 1), np.nan))


@njit(cache=True)
def _number(keys):  # type: ignore[no-untyped-def]
    """Keys numbered from 0 as they first come, and the row where each does.

    Keys that lie close have a table with a place for each, others one of hashes.
    """
    bits = 4
    while 1 << bits < 2 * keys.size:
        bits += 1
    low = keys.min() if keys.size else 0
    span = keys.max() - low + 1 if keys.size else 0
    close = 0 <= span <= 2 << bits
    table = np.full(span if close else 1 << bits, -1)
    number, first = np.empty_like(keys), np.empty_like(keys)
    known = 0
    for row in range(keys.size):
        at = keys[row] - low
        if not close:
            # The upper bits of a product with the golden ratio's (Knuth, volume 3, section 6.4).
            mixed = np.uint64(at) * np.uint64(11400714819323198485)
            at = np.int64(mixed >> np.uint64(64 - bits))
            while table[at] >= 0 and keys[first[table[at]]] != keys[row]:
                at = (at + 1) & ((1 << bits) - 1)
        if table[at] < 0:
            table[at] = known
            first[known] = row
            known += 1
        number[row] = table[at]
    return number, first[:known]


@njit(cache=True)
def _variety(group, value, groups):  # type: ignore[no-untyped-def]
    """How many different values each group has, and how often its commonest occurs."""
    end = np.zeros(groups + 1, np.int64)
    for row in range(group.size):
        end[group[row] + 1] += 1
    end = np.cumsum(end)
    sorted_values = np.empty_like(value)
    for row in range(group.size):
        sorted_values[end[group[row]]] = value[row]
        end[group[row]] += 1
    different, most = np.zeros(groups, np.int64), np.zeros(groups, np.int64)
    values = value.max() + 1 if value.size else 0
    last, times = np.full(values, -1), np.zeros(values, np.int64)
    row = 0
    for one in range(groups):
        while row < end[one]:
            at = sorted_values[row]
            if last[at] != one:
                last[at], times[at] = one, 0
                different[one] += 1
            times[at] += 1
            most[one] = max(most[one], times[at])
            row += 1
    return different, most


@njit(cache=True)
def _tied(account, device, private, accounts):  # type: ignore[no-untyped-def]
    """The first account of each account's group, whom private devices tie together."""
    root, owner = np.arange(accounts), np.full(private.size, -1)
    for row in range(account.size):
        at = device[row]
        if not private[at]:
            continue
        one = account[row]
        other = owner[at] if owner[at] >= 0 else one
        while root[one] != one:
            root[one] = root[root[one]]
            one = root[one]
        while root[other] != other:
            root[other] = root[root[other]]
            other = root[other]
        one, other = min(one, other), max(one, other)
        root[other] = owner[at] = one
    for one in range(accounts):
        root[one] = root[root[one]]
    return root


def _rebooked(log: Registrations, account: Indices, n: int, pair_seconds: float) -> Array:
    """Pairs an account took part in, as the one who cancels; the heir must be another patient."""
    slot = _number(log.doctor * np.int64(2**32) + log.visit_at.astype(np.int64))[0]
    rows = np.flatnonzero(np.bincount(slot)[slot] > 1)
    if not rows.size:
        return np.zeros(n)
    slot, booked, cancelled = slot[rows], log.booked_at[rows], log.cancelled_at[rows]
    begin = booked.min()
    span = max(np.nanmax(cancelled, initial=begin), booked.max()) - begin + 1
    moment = slot * span + (booked - begin)
    order = np.argsort(moment)
    gone = np.flatnonzero(~np.isnan(cancelled))
    heir = np.searchsorted(moment[order], slot[gone] * span + (cancelled[gone] - begin))
    exists = heir < order.size
    gone, heir = gone[exists], order[heir[exists]]
    hit = (booked[heir] - cancelled[gone] <= pair_seconds) & (slot[heir] == slot[gone])
    gone, heir = rows[gone[hit]], rows[heir[hit]]
    gone = gone[log.patient[heir] != log.patient[gone]]
    return np.asarray(np.bincount(account[gone], minlength=n), float)


def _group(kind: Indices, size: Array, rng: np.random.Generator) -> Indices:
    """A group for each account among accounts of its own kind, of the kind's size."""
    group = np.empty(kind.size, np.int64)
    used = 0
    for one in range(len(KINDS)):
        members = rng.permutation(np.flatnonzero(kind == one))
        if members.size:
            group[members] = used + np.arange(members.size) // int(size[members[0]])
            used = int(group[members].max()) + 1
    return group

"""What doctors' and patients' ratings of each other tell: crossed effects, silence, reciprocity.

A rating is a mean, plus the doctor, plus the patient (some give everyone five stars), plus
chance. Variance components by moments that cost no more than reading the data (Gao & Owen 2017,
Electronic Journal of Statistics 11:1235-1296); doctors' effects by best linear unbiased
prediction (Henderson), which is empirical-Bayes shrinkage, with their joint posterior, so that
ranks get intervals. Silence is weighted away where it follows something known, and bounded
(Manski) where it does not. Reciprocity and retaliation: Bolton, Greiner & Ockenfels (2013),
Management Science 59:265-285; here estimated from who rated first and what stayed sealed. Two
sealed ratings of one encounter count the bad ones as two catches count fish (Lincoln-Petersen).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import csr_array

from o2o_research.domain import require
from o2o_research.models.likelihood import fit_logit
from o2o_research.models.numerics import Fit

Array = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Components:
    """Mean and variance components of ratings with crossed effects of doctors and patients.

    Parameters
    ----------
    mean : float or ndarray
        Mean rating. [mu]
    doctor, patient, noise : float or ndarray
        Variances of doctors' effects, of patients' leniency and of chance, >= 0, >= 0, > 0.
        [s_a^2, s_b^2, s_e^2]

    Examples
    --------
    Doctors differ little, patients and chance a lot: how many ratings until two doctors drawn
    at random stand in the right order nine times in ten?

    >>> one = Components(mean=4.6, doctor=0.05, patient=0.2, noise=0.5)
    >>> round(float(one.ratings_needed(0.9)))
    133
    """

    mean: ArrayLike
    doctor: ArrayLike
    patient: ArrayLike
    noise: ArrayLike

    def __post_init__(self) -> None:
        require(self, mean="(-inf, inf)", doctor="[0, inf)", patient="[0, inf)", noise="(0, inf)")

    def reliability(self, ratings: ArrayLike) -> Array:
        """Share of a doctor's mean that is the doctor, with so many ratings by different patients.

        n / (n + k), k = (s_b^2 + s_e^2) / s_a^2 (Spearman-Brown).
        """
        n, a = np.asarray(ratings, float), np.asarray(self.doctor, float)
        rest = np.asarray(self.patient, float) + np.asarray(self.noise, float)
        return np.asarray(n * a / (n * a + rest))

    def right_order(self, ratings: ArrayLike) -> Array:
        """Chance that two doctors drawn at random stand in the right order: 1/2 + asin(r)/pi.

        r is the root of the reliability: the correlation of true and shown difference (Sheppard).
        """
        return np.asarray(0.5 + np.arcsin(np.sqrt(self.reliability(ratings))) / np.pi)

    def ratings_needed(self, right_order: ArrayLike) -> Array:
        """Ratings a doctor until pairs stand in the right order with this chance, in [0.5, 1)."""
        chance = np.asarray(right_order, float)
        if not ((chance >= 0.5) & (chance < 1)).all():
            raise ValueError(f"Components: right_order={chance} must lie in [0.5, 1)")
        reliability = np.sin(np.pi * (chance - 0.5)) ** 2
        a = np.asarray(self.doctor, float)
        rest = np.asarray(self.patient, float) + np.asarray(self.noise, float)
        k = np.where(a > 0, rest / np.where(a > 0, a, 1), np.inf)
        return np.asarray(np.where(reliability > 0, k * reliability / (1 - reliability), 0.0))


def fit_components(doctor: ArrayLike, patient: ArrayLike, rating: ArrayLike) -> Components:
    """Variance components by the method of moments for large unbalanced crossed data.

    Three sums of squared differences, of ratings that share a doctor, share a patient, or share
    nothing, have expectations linear in the three variances (Gao & Owen 2017, section 3). One
    pass over the data; a component that comes out negative is nought.

    Parameters
    ----------
    doctor, patient : ndarray of int, shape (ratings,), numbered from 0
    rating : ndarray, shape (ratings,)

    Raises
    ------
    ValueError
        Shapes that disagree, missing ratings, or data in which nobody rates or is rated twice.
    """
    d, p = np.asarray(doctor, np.int64), np.asarray(patient, np.int64)
    y = np.asarray(rating, float)
    if not d.shape == p.shape == y.shape or not np.isfinite(y).all():
        raise ValueError(
            f"fit_components: doctor {d.shape}, patient {p.shape} and finite ratings {y.shape} "
            "must be one each"
        )
    by_doctor, by_patient = np.bincount(d), np.bincount(p)
    n, rows, columns = y.size, int((by_doctor > 0).sum()), int((by_patient > 0).sum())
    # Repeated ratings of one doctor by one patient share the patient: pairs are counted.
    key, times = np.unique(d * (int(p.max()) + 1) + p, return_counts=True)
    of_doctor, of_patient = key // (int(p.max()) + 1), key % (int(p.max()) + 1)
    squares = times.astype(float) ** 2
    system = np.array(
        [
            [0.0, n - float((squares / by_doctor[of_doctor]).sum()), n - rows],
            [n - float((squares / by_patient[of_patient]).sum()), 0.0, n - columns],
            [
                n**2 - float((by_doctor.astype(float) ** 2).sum()),
                n**2 - float((by_patient.astype(float) ** 2).sum()),
                n**2 - n,
            ],
        ]
    )
    moments = [_scatter(d, y), _scatter(p, y), n * float(((y - y.mean()) ** 2).sum())]
    if n - rows < 1 or n - columns < 1 or np.linalg.matrix_rank(system) < 3:
        raise ValueError(
            f"fit_components: {n} ratings of {rows} doctors by {columns} patients: some doctors and "
            "some patients must have two or more"
        )
    a, b, e = np.linalg.solve(system, moments)
    return Components(
        mean=float(y.mean()),
        doctor=max(float(a), 0.0),
        patient=max(float(b), 0.0),
        noise=max(float(e), 1e-12),
    )


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Doctors' effects given the ratings: their joint posterior.

    Parameters
    ----------
    mean : float
        Mean rating, by generalised least squares.
    effect : ndarray, shape (doctors,), shrunk towards 0
    covariance : ndarray, shape (doctors, doctors)
    """

    mean: float
    effect: Array
    covariance: Array

    @cached_property
    def stderr(self) -> Array:
        """Posterior standard deviation of each effect. Shape (doctors,)."""
        return np.sqrt(np.diag(self.covariance))

    def ranks(self, rng: np.random.Generator, *, draws: int = 2000) -> Array:
        """Each doctor's rank, 1 the best, in draws of the posterior. Shape (draws, doctors)."""
        root = np.linalg.cholesky(self.covariance + 1e-12 * np.eye(self.effect.size))
        sample = self.effect + rng.standard_normal((draws, self.effect.size)) @ root.T
        return np.asarray(1.0 + np.argsort(np.argsort(-sample, axis=1), axis=1))

    def rank_interval(
        self, rng: np.random.Generator, *, level: float = 0.90, draws: int = 2000
    ) -> tuple[Array, Array]:
        """Each doctor's rank: the middle ``level`` of its posterior. Shape (doctors,)."""
        rank = self.ranks(rng, draws=draws)
        low, high = np.quantile(rank, [(1 - level) / 2, (1 + level) / 2], axis=0)
        return low, high

    def league(self, rng: np.random.Generator, *, draws: int = 2000) -> Array:
        """Ranks from the likely best to the likely worst: the mean rank first, then draws.

        Shape (doctors, draws + 1).
        """
        rank = self.ranks(rng, draws=draws)
        mean = rank.mean(axis=0)
        order = np.argsort(mean, kind="stable")
        return np.column_stack([mean[order], rank[:, order].T])


def predict_doctors(
    doctor: ArrayLike,
    patient: ArrayLike,
    rating: ArrayLike,
    components: Components,
    *,
    doctors: int | None = None,
) -> Standing:
    """Best linear unbiased prediction of the doctors, patients' leniency taken out.

    Henderson's mixed-model equations with the patients eliminated exactly: the cost grows with
    ratings and with the cube of doctors, and the doctors' joint posterior comes with it.

    Parameters
    ----------
    doctor, patient, rating : as in ``fit_components``
    components : one number each
    doctors : how many there are, also those without ratings; by default the highest seen
    """
    d, p = np.asarray(doctor, np.int64), np.asarray(patient, np.int64)
    y = np.asarray(rating, float)
    size = int(d.max()) + 1 if doctors is None else doctors
    a, b, e = (
        float(np.asarray(v)) for v in (components.doctor, components.patient, components.noise)
    )
    if a <= 0:
        return Standing(
            mean=float(y.mean()), effect=np.zeros(size), covariance=np.zeros((size, size))
        )
    people = int(p.max()) + 1
    per_person = np.bincount(p, minlength=people)
    # W = (identity - patients) / e keeps what ratings say once a patient's leniency is integrated out.
    pull = (b / (e + per_person * b))[p]
    crossed = _crossed(d, p, size, np.asarray(b / (e + per_person * b), float))
    weight = 1 - pull * per_person[p]
    person_sum = np.bincount(p, y, minlength=people)
    weighted = y - pull * person_sum[p]
    right = np.bincount(d, weighted, minlength=size)
    information = (np.diag(np.bincount(d, minlength=size).astype(float)) - crossed) / e
    information += np.eye(size) / a
    factor = cho_factor(information)
    ones = np.bincount(d, weight, minlength=size) / e
    solved_ones, solved_right = cho_solve(factor, np.column_stack([ones, right / e])).T
    # The mean by generalised least squares, its uncertainty carried into the effects.
    precision = float(weight.sum()) / e - float(ones @ solved_ones)
    mean = (float(weighted.sum()) / e - float(ones @ solved_right)) / precision
    effect = solved_right - mean * solved_ones
    covariance = cho_solve(factor, np.eye(size)) + np.outer(solved_ones, solved_ones) / precision
    return Standing(mean=mean, effect=effect, covariance=covariance)


def weighted_mean(rating: ArrayLike, response_share: ArrayLike) -> float:
    """Mean rating had everyone answered, where silence depends on what is known only.

    Inverse-propensity weights, normalised (Hajek).

    Parameters
    ----------
    rating : ndarray, shape (answers,)
    response_share : ndarray, shape (answers,)
        Chance that a patient like this one answers, in (0, 1].

    Raises
    ------
    ValueError
        A share outside (0, 1].

    Examples
    --------
    Half of the content answer and all of the angry:

    >>> weighted_mean([5, 5, 1, 1], [0.5, 0.5, 1, 1])
    3.6666666666666665
    """
    share = np.asarray(response_share, float)
    if not ((share > 0) & (share <= 1)).all():
        raise ValueError(f"weighted_mean: response_share={share.min():g} must lie in (0, 1]")
    return float(np.average(np.asarray(rating, float), weights=1 / share))


def silence_bounds(
    mean: ArrayLike, response_share: ArrayLike, *, lowest: float, highest: float
) -> tuple[Array, Array]:
    """What the mean of everyone may be when nothing is known of the silent (Manski 1989).

    Examples
    --------
    A fifth answers and gives 4.8 of 5 on average:

    >>> low, high = silence_bounds(4.8, 0.2, lowest=1, highest=5)
    >>> round(float(low), 2), round(float(high), 2)
    (1.76, 4.96)
    """
    share, seen = np.asarray(response_share, float), np.asarray(mean, float)
    if not ((share >= 0) & (share <= 1)).all() or not ((seen >= lowest) & (seen <= highest)).all():
        raise ValueError(
            f"silence_bounds: response_share={share} must lie in [0, 1] and mean={seen} in "
            f"[{lowest:g}, {highest:g}]"
        )
    return share * seen + (1 - share) * lowest, share * seen + (1 - share) * highest


@dataclass(frozen=True, kw_only=True)
class MutualRating:
    """Two sides who rate each other; good or bad encounters, seen alike by both.

    A patient after a bad encounter reports it with the candour left by the fear that the doctor
    answers in kind; after a good one praise is sure. Blind rating (shown to both at once, after
    both are in) takes the fear away.

    Parameters
    ----------
    bad_share : float or ndarray
        Share of encounters that were bad, in [0, 1]. [q]
    candour : float or ndarray
        Chance that a bad encounter is reported as bad without fear, in [0, 1]. [c]
    retaliation : float or ndarray
        Chance that the rated side answers a bad rating with a bad one, in [0, 1]. [r]
    deterrence : float or ndarray
        Share of candour lost when retaliation is sure, in [0, 1]. [d]

    Examples
    --------
    >>> open_ = MutualRating(bad_share=0.1, candour=0.6, retaliation=0.5, deterrence=0.8)
    >>> round(float(open_.reported_share), 3), round(float(open_.blind.reported_share), 3)
    (0.036, 0.06)
    """

    bad_share: ArrayLike
    candour: ArrayLike
    retaliation: ArrayLike
    deterrence: ArrayLike

    def __post_init__(self) -> None:
        require(
            self,
            bad_share="[0, 1]",
            candour="[0, 1]",
            retaliation="[0, 1]",
            deterrence="[0, 1]",
        )

    @property
    def reported_share(self) -> Array:
        """Share of encounters rated bad: q c (1 - d r)."""
        fear = np.asarray(self.deterrence) * np.asarray(self.retaliation)
        return np.asarray(np.asarray(self.bad_share) * np.asarray(self.candour) * (1 - fear))

    @property
    def hidden_share(self) -> Array:
        """Share of bad encounters that no rating shows: 1 - c (1 - d r)."""
        fear = np.asarray(self.deterrence) * np.asarray(self.retaliation)
        return np.asarray(1 - np.asarray(self.candour) * (1 - fear))

    @property
    def hostile_pairs_share(self) -> Array:
        """Share of encounters that end with both sides rating each other badly: q c (1 - d r) r."""
        return np.asarray(self.reported_share * np.asarray(self.retaliation))

    @property
    def blind(self) -> MutualRating:
        """The same people when neither side sees the other's rating first."""
        return MutualRating(
            bad_share=self.bad_share,
            candour=self.candour,
            retaliation=0.0,
            deterrence=self.deterrence,
        )


# Who rates first: nobody sees the other's rating before both are in, or one side does.
SEALED, PATIENT_FIRST, DOCTOR_FIRST = 0, 1, 2


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """Two sides who rate the same encounter, told apart by who moves first.

    A share of encounters was bad, and both sides know it. After a good one both rate well.
    After a bad one each side says so with its candour; whoever moves first holds back out of
    fear; whoever moves second sees the first rating, answers a bad one in kind, and a good one
    with goodwill.

    Parameters
    ----------
    bad_share : float or ndarray
        Share of encounters that were bad, in [0, 1]. [q]
    patient_candour, doctor_candour : float or ndarray
        Chance that a side rates a bad encounter badly on its own judgement, in [0, 1]. [c]
    patient_fear, doctor_fear : float or ndarray
        Share of candour lost when the other side will see the rating first, at most 1;
        below 0 where moving first emboldens. [f]
    patient_retaliation, doctor_retaliation : float or ndarray
        Chance that a side which would have rated well answers a bad rating with a bad one, in
        [0, 1]. [r]
    patient_reciprocity, doctor_reciprocity : float or ndarray
        Share of candour lost after a good rating by the other side, at most 1. [k]

    Examples
    --------
    >>> one = Exchange(bad_share=0.1, patient_candour=0.6, doctor_candour=0.3, patient_fear=0.15,
    ...     doctor_fear=0.0, patient_retaliation=0.5, doctor_retaliation=0.3,
    ...     patient_reciprocity=0.2, doctor_reciprocity=0.2)
    >>> one.chances(SEALED).round(3).tolist()
    [[0.928, 0.012], [0.042, 0.018]]
    >>> round(float(one.hidden_share(PATIENT_FIRST)), 3), round(float(one.hidden_share(SEALED)), 3)
    (0.49, 0.4)
    """

    bad_share: ArrayLike
    patient_candour: ArrayLike
    doctor_candour: ArrayLike
    patient_fear: ArrayLike
    doctor_fear: ArrayLike
    patient_retaliation: ArrayLike
    doctor_retaliation: ArrayLike
    patient_reciprocity: ArrayLike
    doctor_reciprocity: ArrayLike

    def __post_init__(self) -> None:
        unit = ("bad_share", "patient_candour", "doctor_candour")
        answers = ("patient_retaliation", "doctor_retaliation")
        less = ("patient_fear", "doctor_fear", "patient_reciprocity", "doctor_reciprocity")
        require(self, **dict.fromkeys(unit + answers, "[0, 1]"), **dict.fromkeys(less, "(-inf, 1]"))

    def chances(self, order: int) -> Array:
        """How often both ratings fall together; [patient bad, doctor bad], shape (2, 2, ...).

        Sealed: q c_p c_d both bad. Patient first, with a = c_p (1 - f_p): both bad
        q a (1 - (1 - c_d)(1 - r_d)), the doctor alone q (1 - a) c_d (1 - k_d). Doctor first:
        the same with the sides exchanged.
        """
        q, cp, cd, fp, fd, rp, rd, kp, kd = (
            np.asarray(getattr(self, name), float) for name in self.__dataclass_fields__
        )
        if order == SEALED:
            both, patient, doctor = q * cp * cd, q * cp * (1 - cd), q * (1 - cp) * cd
        elif order == PATIENT_FIRST:
            first = cp * (1 - fp)
            again = 1 - (1 - cd) * (1 - rd)
            both, patient = q * first * again, q * first * (1 - again)
            doctor = q * (1 - first) * cd * (1 - kd)
        elif order == DOCTOR_FIRST:
            first = cd * (1 - fd)
            again = 1 - (1 - cp) * (1 - rp)
            both, doctor = q * first * again, q * first * (1 - again)
            patient = q * (1 - first) * cp * (1 - kp)
        else:
            raise ValueError(f"Exchange: order={order} must be 0, 1 or 2")
        return np.array([[1 - both - patient - doctor, doctor], [patient, both]])

    def hidden_share(self, order: int) -> Array:
        """Share of bad encounters that the patient's rating does not show."""
        patient_bad = self.chances(order)[1].sum(axis=0)
        return np.asarray(1 - patient_bad / np.asarray(self.bad_share, float))

    @property
    def sealed_gain(self) -> Array:
        """By how much sealing raises the bad encounters that patients report, moving first before:
        f / (1 - f)."""
        fear = np.asarray(self.patient_fear, float)
        return np.asarray(fear / (1 - fear))

    def simulate(self, orders: ArrayLike, rng: np.random.Generator) -> tuple[Indices, Indices]:
        """Bad ratings (0 or 1) by patient and by doctor, one a row of ``orders``."""
        who = np.asarray(orders, np.int64)
        tables = np.array([self.chances(order).ravel() for order in range(3)])
        drawn = (rng.random(who.size)[:, None] >= np.cumsum(tables, axis=1)[who, :3]).sum(axis=1)
        return drawn // 2, drawn % 2

    def stderr(self, encounters: ArrayLike) -> dict[str, float]:
        """Standard errors of ``fit_exchange`` on so many encounters of each order. Shape (3,)."""
        tables = [self.chances(order) for order in range(3)]
        cells = [_spread(t) / n for t, n in zip(tables, np.asarray(encounters, float), strict=True)]
        return _errors(tables, cells)[0]


def fit_exchange(
    order: ArrayLike,
    patient_bad: ArrayLike,
    doctor_bad: ArrayLike,
    *,
    response_share: ArrayLike | None = None,
) -> Fit[Exchange]:
    """Retaliation, reciprocity and fear from who rated first, in closed form.

    Nine shares of rating pairs (three in each order) give nine parameters. Sealed: with P and D
    the shares of bad ratings and B of both, c_p = B / D, c_d = B / P, q = P D / B. Patient
    first: f_p = 1 - P / (q c_p), r_d = (B / P - c_d) / (1 - c_d),
    k_d = 1 - (D - B) / ((q - P) c_d); doctor first likewise. Inside the parameters' domain this
    is maximum likelihood; an estimate beyond it is put on the border.

    Parameters
    ----------
    order : ndarray of int, shape (encounters,): ``SEALED``, ``PATIENT_FIRST``, ``DOCTOR_FIRST``
    patient_bad, doctor_bad : ndarray, shape (encounters,): 1 bad, 0 good, nan silent
    response_share : ndarray, shape (encounters,), optional
        Chance that both sides of an encounter like this one rate, in (0, 1]: those who did are
        weighted by its inverse. Cures silence that follows from what is known, no other.

    Returns
    -------
    Fit[Exchange]; standard errors by the delta method, weights included

    Raises
    ------
    ValueError
        Shapes that disagree, or an order without a pair that the formulas need.
    """
    who = np.asarray(order, np.int64)
    first, second = np.asarray(patient_bad, float), np.asarray(doctor_bad, float)
    weight = np.ones(who.shape) if response_share is None else np.asarray(response_share, float)
    if not who.shape == first.shape == second.shape == weight.shape:
        raise ValueError(
            f"fit_exchange: order {who.shape}, patient_bad {first.shape}, doctor_bad "
            f"{second.shape} and response_share {weight.shape} must be one each"
        )
    if not ((weight > 0) & (weight <= 1)).all():
        raise ValueError(f"fit_exchange: response_share={weight.min():g} must lie in (0, 1]")
    whole = ~(np.isnan(first) | np.isnan(second))
    tables, cells, likelihood = [], [], 0.0
    for number, name in enumerate(("sealed", "patient first", "doctor first")):
        rows = whole & (who == number)
        cell = (2 * first[rows] + second[rows]).astype(np.int64)
        w = 1 / weight[rows]
        count = np.bincount(cell, w, minlength=4)
        leader = count[3] + (count[1] if number == DOCTOR_FIRST else count[2])
        if leader == 0 or (number == SEALED and count[3] == 0):
            raise ValueError(
                f"fit_exchange: {rows.sum()} encounters rated by both, {name}, hold no bad "
                f"{'pair' if number == SEALED else 'first rating'}; more are needed"
            )
        share = count / count.sum()
        squares = np.bincount(cell, w**2, minlength=4) / count.sum() ** 2
        tables.append(share.reshape(2, 2))
        off = np.outer(share, squares)
        cells.append(np.diag(squares) - off - off.T + np.outer(share, share) * squares.sum())
        seen = count > 0
        likelihood += float((count[seen] * np.log(share[seen])).sum())
    stderr, covariance = _errors(tables, cells)
    solved = _solve(tables)
    borders = dict.fromkeys(solved, (0.0, 1.0))
    borders |= {name: (-np.inf, 1.0) for name in solved if name.endswith(("fear", "reciprocity"))}
    return Fit(
        model=Exchange(**{name: float(np.clip(v, *borders[name])) for name, v in solved.items()}),
        stderr=stderr,
        log_likelihood=likelihood,
        n=int(whole.sum()),
        covariance=covariance,
    )


def fit_response(knowns: ArrayLike, answered: ArrayLike) -> Fit[Array]:
    """Who rates: logit of the chance to answer, by what is known of every encounter.

    Parameters
    ----------
    knowns : ndarray, shape (encounters, knowns)
    answered : ndarray of bool, shape (encounters,)

    Returns
    -------
    Fit of the coefficients, the constant first; ``response_shares`` turns them into chances
    """
    return fit_logit(knowns, answered, what="fit_response", outcome="answered")


def response_shares(knowns: ArrayLike, coefficients: ArrayLike) -> Array:
    """Chance to answer of each row of ``knowns``. Shape (encounters,)."""
    b = np.asarray(coefficients, float)
    return np.asarray(1 / (1 + np.exp(-(b[0] + np.asarray(knowns, float) @ b[1:]))))


# Of encounters in the generated log: a share is of the elderly, who rate half as often as the
# mean and meet more bad ones; the others make up for it.
_ELDERLY, _ELDERLY_ANSWER, _ELDERLY_BAD = 0.4, 0.5, 1.75


def synthetic_exchanges(
    one: Exchange, encounters: int, rng: np.random.Generator, *, response_share: float
) -> dict[str, Array]:
    """A log of mutual ratings, a third of it in each order, in which the elderly rate less.

    Parameters
    ----------
    one : the law of an encounter; ``bad_share`` is the mean over young and old
    encounters : how many
    response_share : share of encounters that both sides rate, in (0, 0.75]

    Returns
    -------
    dict of ``order``, ``patient_bad``, ``doctor_bad`` (nan where silent) and ``knowns``, shape
    (encounters, 1): whether elderly
    """
    if not 0 < response_share <= 0.75:
        raise ValueError(
            f"synthetic_exchanges: response_share={response_share} must be at most 0.75"
        )
    elderly = rng.random(encounters) < _ELDERLY
    order = rng.integers(0, 3, encounters)

    def scaled(times: float) -> Array:
        return np.where(elderly, times, (1 - _ELDERLY * times) / (1 - _ELDERLY))

    answers = rng.random(encounters) < response_share * scaled(_ELDERLY_ANSWER)
    bad = np.minimum(float(np.asarray(one.bad_share)) * scaled(_ELDERLY_BAD), 1.0)
    patient, doctor = np.full(encounters, np.nan), np.full(encounters, np.nan)
    for share in np.unique(bad):
        rows = bad == share
        patient[rows], doctor[rows] = replace(one, bad_share=share).simulate(order[rows], rng)
    patient[~answers] = doctor[~answers] = np.nan
    return {
        "order": order,
        "patient_bad": patient,
        "doctor_bad": doctor,
        "knowns": elderly[:, None].astype(float),
    }


def _solve(tables: list[Array]) -> dict[str, Any]:
    """The nine parameters from the three tables of shares."""
    (_, d), (p, b) = tables[SEALED]
    patient, doctor = p + b, d + b
    q, cp, cd = patient * doctor / b, b / doctor, b / patient

    def second_mover(lead: Any, both: Any, alone: Any, own: Any, other: Any) -> tuple[Any, ...]:
        # A side that never, or always, speaks up cannot be seen to be moved by the other.
        with np.errstate(divide="ignore", invalid="ignore"):
            fear = 1 - lead / (q * other)
            revenge = (both / lead - own) / (1 - own) if own < 1 else np.float64(0.0)
            goodwill = 1 - alone / ((q - lead) * own) if q > lead and own > 0 else np.float64(0.0)
        return fear, revenge, goodwill

    (_, d), (p, b) = tables[PATIENT_FIRST]
    fp, rd, kd = second_mover(p + b, b, d, cd, cp)
    (_, d), (p, b) = tables[DOCTOR_FIRST]
    fd, rp, kp = second_mover(d + b, b, p, cp, cd)
    values = (q, cp, cd, fp, fd, rp, rd, kp, kd)
    return dict(zip(Exchange.__dataclass_fields__, values, strict=True))


def _errors(tables: list[Array], cells: list[Array]) -> tuple[dict[str, float], Array]:
    """Standard errors and covariance of ``_solve`` by the delta method, slopes by differences."""
    names = list(Exchange.__dataclass_fields__)
    covariance = np.zeros((len(names), len(names)))
    for number, spread in enumerate(cells):
        slopes = np.zeros((len(names), 4))
        for cell in range(4):
            step = 1e-6 * max(float(tables[number].ravel()[cell]), 1e-3)
            moved = []
            for sign in (1, -1):
                tried = [table.copy() for table in tables]
                tried[number].ravel()[cell] += sign * step
                moved.append(np.array([float(v) for v in _solve(tried).values()]))
            slopes[:, cell] = (moved[0] - moved[1]) / (2 * step)
        covariance += slopes @ spread @ slopes.T
    errors = np.sqrt(np.diag(covariance))
    return dict(zip(names, errors.tolist(), strict=True)), covariance


def _spread(table: Array) -> Array:
    """Covariance of one draw's cell shares."""
    share = table.ravel()
    return np.asarray(np.diag(share) - np.outer(share, share))


def simulate_ratings(
    components: Components,
    doctors: int,
    patients: int,
    ratings: int,
    rng: np.random.Generator,
    *,
    selection: float = 0.0,
) -> tuple[Indices, Indices, Array, Array]:
    """Ratings of random encounters, with silence that depends on the rating itself.

    ``selection`` is the slope of the log odds to answer in the rating's distance from the mean:
    positive, the content answer more. ``ratings`` counts encounters; about half answer.

    Returns
    -------
    doctor, patient, rating of those who answered, and the true effects of all doctors
    """
    a, b, e = (
        float(np.asarray(v)) for v in (components.doctor, components.patient, components.noise)
    )
    effect = rng.normal(0, np.sqrt(a), doctors)
    lenient = rng.normal(0, np.sqrt(b), patients)
    d, p = rng.integers(0, doctors, ratings), rng.integers(0, patients, ratings)
    y = (
        float(np.asarray(components.mean))
        + effect[d]
        + lenient[p]
        + rng.normal(0, np.sqrt(e), ratings)
    )
    if selection == 0:
        return d, p, y, effect
    odds = selection * (y - float(np.asarray(components.mean)))
    answers = rng.random(ratings) < 1 / (1 + np.exp(-odds))
    return d[answers], p[answers], y[answers], effect


def _scatter(group: Indices, y: Array) -> float:
    """Sum of squares about each group's own mean."""
    count = np.bincount(group)
    centre = np.bincount(group, y) / np.maximum(count, 1)
    return float(((y - centre[group]) ** 2).sum())


def _crossed(d: Indices, p: Indices, size: int, pull: Array) -> Array:
    """Sum over patients of their pull times the outer product of their counts by doctor."""
    key, times = np.unique(p * size + d, return_counts=True)
    patient = key // size
    table = csr_array(
        (times * np.sqrt(pull[patient]), (patient, key % size)), shape=(pull.size, size)
    )
    return np.asarray((table.T @ table).toarray(), float)

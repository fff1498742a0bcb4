"""What doctors' and patients' ratings of each other tell: crossed effects, silence, reciprocity.

A rating is a mean, plus the doctor, plus the patient (some give everyone five stars), plus
chance. Variance components by moments that cost no more than reading the data (Gao & Owen 2017,
Electronic Journal of Statistics 11:1235-1296); doctors' effects by best linear unbiased
prediction (Henderson), which is empirical-Bayes shrinkage, with their joint posterior, so that
ranks get intervals. Silence is weighted away where it follows something known, and bounded
(Manski) where it does not. Reciprocity and retaliation: Bolton, Greiner & Ockenfels (2013),
Management Science 59:265-285.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import csr_array

from o2o_research.domain import require

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

    def rank_interval(
        self, rng: np.random.Generator, *, level: float = 0.90, draws: int = 2000
    ) -> tuple[Array, Array]:
        """Each doctor's rank, 1 the best: the middle ``level`` of its posterior. Shape (doctors,)."""
        root = np.linalg.cholesky(self.covariance + 1e-12 * np.eye(self.effect.size))
        sample = self.effect + rng.standard_normal((draws, self.effect.size)) @ root.T
        rank = 1 + np.argsort(np.argsort(-sample, axis=1), axis=1)
        low, high = np.quantile(rank, [(1 - level) / 2, (1 + level) / 2], axis=0)
        return low, high


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

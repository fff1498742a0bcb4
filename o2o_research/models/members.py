"""What is left of recruited members: a hazard of falling silent that depends on how they came.

A member is active in a window of, say, thirty days if he did anything in it. An active member
falls silent with a probability of his own, Beta over the members of a source; a silent one
returns with a common probability. Two things follow. The average hazard falls with age though
nobody grows more loyal, because those with a high hazard are gone first (selection alone; for
members who never return it is the shifted-beta-geometric of Fader & Hardie 2007). And what was
recruited in a day is not what is there in a year: only active members count, and only their
cost compares recruiting tactics.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from o2o_research.domain import require
from o2o_research.models.customers import (
    Number,
    ShiftedBetaGeometric,
    fit_shifted_beta_geometric,
    plain,
)
from o2o_research.models.likelihood import maximum_likelihood
from o2o_research.models.numerics import Array, Fit, NotConverged


@dataclass(frozen=True, kw_only=True)
class Recruits:
    """Members won by one tactic: how many get active, fall silent and return, window by window.

    Parameters
    ----------
    activation_share : float or ndarray
        Share active in the first window after joining, in (0, 1]. [a]
    alpha, beta : float or ndarray
        Shapes of the members' hazards of falling silent in a window, mean
        alpha / (alpha + beta), > 0. [alpha, beta]
    return_share : float or ndarray
        Probability that a silent member is active in the next window, in [0, 1). [w]

    Raises
    ------
    ValueError
        A parameter outside its domain.

    Examples
    --------
    Half of the recruits get active and half of those fall silent at once, but the average
    hazard falls from window to window, since the restless are gone first:

    >>> gift = Recruits(activation_share=0.5, alpha=1.0, beta=1.0, return_share=0.0)
    >>> gift.hazard([0, 1, 2]).round(3).tolist(), gift.active_share([0, 1, 2]).round(3).tolist()
    ([0.5, 0.333, 0.25], [0.5, 0.25, 0.167])
    """

    activation_share: Number
    alpha: Number
    beta: Number
    return_share: Number

    def __post_init__(self) -> None:
        require(
            self, activation_share="(0, 1]", alpha="(0, inf)", beta="(0, inf)", return_share="[0, 1)"
        )  # fmt: skip

    @classmethod
    def of_hazard(
        cls,
        *,
        activation_share: Number,
        first_hazard: Number,
        hazard_spread: Number,
        return_share: Number,
    ) -> Recruits:
        """From the average hazard of the first window and how unlike members are.

        alpha = h (1/s - 1), beta = (1 - h)(1/s - 1).

        Parameters
        ----------
        first_hazard : share of the active who are silent in the window after, in (0, 1). [h]
        hazard_spread : 0 where all members are alike, 1 where each either leaves at once or
            never; the variance of the hazards is h (1 - h) s. In (0, 1). [s]

        Raises
        ------
        ValueError
            A hazard or a share outside its domain, by name.
        """
        for name, value in (("first_hazard", first_hazard), ("hazard_spread", hazard_spread)):
            values = np.asarray(value, float)
            if not ((values > 0) & (values < 1)).all():
                bad = values[~((values > 0) & (values < 1))].flat[0]
                raise ValueError(f"Recruits: {name}={bad:g} must lie in (0, 1)")
        size = 1.0 / np.asarray(hazard_spread, float) - 1.0
        return cls(
            activation_share=activation_share,
            alpha=plain(first_hazard * size),
            beta=plain((1.0 - np.asarray(first_hazard)) * size),
            return_share=return_share,
        )

    @property
    def churn(self) -> ShiftedBetaGeometric:
        """The law of the first silence, as if nobody returned."""
        return ShiftedBetaGeometric(alpha=self.alpha, beta=self.beta)

    @property
    def first_hazard(self) -> Array:
        """Average hazard in the first window: alpha / (alpha + beta)."""
        return plain(self.alpha / (np.asarray(self.alpha) + self.beta))

    @property
    def hazard_spread(self) -> Array:
        """How unlike members are: 1 / (alpha + beta + 1)."""
        return plain(1.0 / (np.asarray(self.alpha) + self.beta + 1.0))

    def hazard(self, windows: ArrayLike) -> Array:
        """Average hazard of those never silent so far: alpha / (alpha + beta + k)."""
        return plain(self.alpha / (self.alpha + np.asarray(self.beta) + np.asarray(windows, float)))

    def active_share(self, windows: ArrayLike) -> Array:
        """Share of the recruits active ``windows`` windows after joining.

        A member with hazard h is active at age k with probability
        u + (a - u)(1 - h - w)^k, u = w / (h + w): a polynomial in h of degree k, which
        Gauss's quadrature for the Beta integrates without error. Between whole windows by
        straight lines.

        Parameters
        ----------
        windows : age in windows, >= 0; broadcasts against the parameters

        Raises
        ------
        ValueError
            A negative age.
        """
        age = np.asarray(windows, float)
        if not (age >= 0).all():
            raise ValueError(f"active_share: windows={age.min():g} must be >= 0")
        path = self.path(int(np.ceil(age.max(initial=0.0))))
        ages, *_ = np.broadcast_arrays(age, self.alpha, self.beta, self.activation_share, self.return_share)  # fmt: skip
        low = np.floor(ages).astype(int)
        high = np.minimum(low + 1, path.shape[0] - 1)
        column = np.broadcast_to(path, (path.shape[0], *ages.shape))
        at_low = np.take_along_axis(column, low[None], axis=0)[0]
        at_high = np.take_along_axis(column, high[None], axis=0)[0]
        return plain(at_low + (ages - low) * (at_high - at_low))

    def path(self, windows: int) -> Array:
        """Share active at ages 0 to ``windows``. Shape (windows + 1, ...) with the draws last."""
        hazards, weights = _beta_quadrature(self.alpha, self.beta, windows // 2 + 1)
        shares = np.asarray(self.activation_share, float)[..., None]
        back = np.asarray(self.return_share, float)[..., None]
        active = np.broadcast_to(shares, np.broadcast_shapes(shares.shape, back.shape, hazards.shape))  # fmt: skip
        found = []
        for _ in range(windows + 1):
            found.append((active * weights).sum(axis=-1))
            active = active * (1.0 - hazards) + (1.0 - active) * back
        return np.array(found)

    def active_windows(self, windows: int) -> Array:
        """Expected active windows of a recruit among the first ``windows``."""
        return plain(self.path(windows - 1).sum(axis=0))

    def cost_per_active(self, cost: Number, windows: ArrayLike) -> Array:
        """Yuan paid for each member still active after ``windows``, at ``cost`` a recruit."""
        return plain(np.asarray(cost, float) / self.active_share(windows))

    def simulate(self, members: int, windows: int, rng: np.random.Generator) -> Array:
        """Whether each member is active in each window. Bool, shape (members, windows)."""
        hazard = rng.beta(float(self.alpha), float(self.beta), members)
        state = rng.random(members) < self.activation_share
        seen = np.empty((members, windows), bool)
        for k in range(windows):
            seen[:, k] = state
            luck = rng.random(members)
            state = np.where(state, luck >= hazard, luck < self.return_share)
        return seen


def _beta_quadrature(alpha: Number, beta: Number, nodes: int) -> tuple[Array, Array]:
    """Gauss's nodes and weights for Beta(alpha, beta), along a last axis (Golub & Welsch 1969).

    The Jacobi matrix of the weight (1 - x)^(beta - 1) (1 + x)^(alpha - 1), moved to [0, 1].
    Exact for polynomials of degree 2 nodes - 1.
    """
    p, q = np.broadcast_arrays(np.asarray(alpha, float), np.asarray(beta, float))
    s = p + q - 2.0
    matrix = np.zeros((*p.shape, nodes, nodes))
    for i in range(nodes):
        # (q^2 - p^2 form) / ((2i + s)(2i + s + 2)), whose 0 / 0 at i = 0 is known.
        matrix[..., i, i] = (
            (p - q) / (s + 2.0) if i == 0 else (p - q) * s / ((2 * i + s) * (2 * i + s + 2.0))
        )
        if i:
            top = (
                4.0 * p * q / ((s + 2.0) ** 2 * (s + 3.0))
                if i == 1
                else 4.0 * i * (i + q - 1) * (i + p - 1) * (i + s)
                / ((2 * i + s) ** 2 * (2 * i + s + 1) * (2 * i + s - 1))
            )  # fmt: skip
            matrix[..., i, i - 1] = matrix[..., i - 1, i] = np.sqrt(top)
    at, vectors = np.linalg.eigh(matrix)
    return np.clip((1.0 + at) / 2.0, 0.0, 1.0), vectors[..., 0, :] ** 2


def active_members(recruits: ArrayLike, active_share: ArrayLike) -> Array:
    """Active members window by window: every intake at its own age.

    A_t = sum over s <= t of R_s a_(t - s).

    Parameters
    ----------
    recruits : ndarray, shape (windows,) or (windows, draws)
        Members recruited in each window, >= 0. [R]
    active_share : ndarray, shape (windows,) or (windows, draws)
        Share active by age, as ``Recruits.path`` gives it. [a]

    Returns
    -------
    ndarray, shape (windows,) or (windows, draws)

    Examples
    --------
    >>> active_members([100.0, 0.0, 50.0], [0.5, 0.25, 0.2]).tolist()
    [50.0, 25.0, 45.0]
    """
    came, left = np.asarray(recruits, float), np.asarray(active_share, float)
    if came.shape[0] > left.shape[0] or not (came >= 0).all():
        raise ValueError(
            f"active_members: recruits must be >= 0 in each of at most {left.shape[0]} windows; "
            f"got shape {came.shape}, lowest {came.min():g}"
        )
    drawn = came.ndim > 1 or left.ndim > 1
    intakes, ages = came.reshape(came.shape[0], -1), left.reshape(left.shape[0], -1)
    total = np.zeros((came.shape[0], max(intakes.shape[1], ages.shape[1])))
    for s in range(came.shape[0]):
        total[s:] += intakes[s] * ages[: came.shape[0] - s]
    return np.asarray(total if drawn else total[:, 0])


@dataclass(frozen=True, kw_only=True)
class Paths:
    """What members did, reduced to what the likelihood needs: one entry a member.

    Parameters
    ----------
    activated : ndarray of bool, shape (members,)
        Active in the first window.
    lapses, stays : ndarray, shape (members,)
        Windows after an active one in which the member was silent, or active again; >= 0.
    returns, silences : ndarray, shape (members,)
        Windows after a silent one in which the member was active, or silent again; >= 0.

    Raises
    ------
    ValueError
        If the shapes differ or a count is negative.
    """

    activated: ArrayLike
    lapses: ArrayLike
    stays: ArrayLike
    returns: ArrayLike
    silences: ArrayLike

    def __post_init__(self) -> None:
        shapes = {name: np.shape(value) for name, value in vars(self).items()}
        if len(set(shapes.values())) > 1 or len(shapes["lapses"]) != 1:
            raise ValueError(f"Paths: one entry a member in every column; got shapes {shapes}")
        require(
            self, lapses="[0, inf)", stays="[0, inf)", returns="[0, inf)", silences="[0, inf)"
        )  # fmt: skip

    @property
    def members(self) -> int:
        """How many there are."""
        return int(np.size(self.lapses))

    def only(self, chosen: ArrayLike) -> Paths:
        """The members ``chosen`` by a boolean array or indices."""
        which = np.asarray(chosen)
        return Paths(**{name: np.asarray(value)[which] for name, value in vars(self).items()})


def paths_of_activity(active: ArrayLike, observed: ArrayLike) -> Paths:
    """Paths from a table of activity: a row a member, a column a window since joining.

    Parameters
    ----------
    active : ndarray of bool, shape (members, windows)
    observed : ndarray of int, shape (members,)
        Whole windows each member was observed, in [1, windows]; later ones are not counted.

    Raises
    ------
    ValueError
        If a member was observed in none, or in more windows than the table has.
    """
    table, seen = np.asarray(active, bool), np.asarray(observed, int)
    if table.ndim != 2 or seen.shape != table.shape[:1]:
        raise ValueError(
            f"paths_of_activity: a table and one count a row wanted; got {table.shape} and {seen.shape}"
        )
    if not ((seen >= 1) & (seen <= table.shape[1])).all():
        bad = seen[(seen < 1) | (seen > table.shape[1])][0]
        raise ValueError(
            f"paths_of_activity: observed={bad} must lie in [1, {table.shape[1]}]; leave out members "
            "who joined less than a window ago"
        )
    before, after = table[:, :-1], table[:, 1:]
    counted = np.arange(1, table.shape[1]) < seen[:, None]

    def count(which: NDArray[np.bool_]) -> Array:
        return np.asarray((which & counted).sum(axis=1), dtype=np.float64)

    return Paths(
        activated=table[:, 0],
        lapses=count(before & ~after),
        stays=count(before & after),
        returns=count(~before & after),
        silences=count(~before & ~after),
    )


def paths_of_events(
    joined: ArrayLike, member: ArrayLike, at: ArrayLike, end: float, window: float = 30.0
) -> Paths:
    """Paths from a log of activity.

    Windows run from each member's own joining; only windows wholly before ``end`` are counted,
    so that nobody is silent merely because the log stops. Members observed for less than a
    window are left out by ``Paths.only`` beforehand.

    Parameters
    ----------
    joined : ndarray, shape (members,)
        When each joined, days.
    member : ndarray of int, shape (events,)
        Who did something; index into ``joined``.
    at : ndarray, shape (events,)
        When, days; the act of joining does not belong in it.
    end : last day of the log
    window : length of a window, days, > 0

    Raises
    ------
    ValueError
        An event before its member joined, or a member who joined less than a window before the
        end.
    """
    start, who, when = np.asarray(joined, float), np.asarray(member, int), np.asarray(at, float)
    if not window > 0:
        raise ValueError(f"paths_of_events: window={window:g} must lie in (0, inf)")
    early = when < start[who]
    if early.any():
        row = int(np.flatnonzero(early)[0])
        raise ValueError(
            f"paths_of_events: event {row} at {when[row]:g} lies before its member joined, {start[who[row]]:g}"
        )
    observed = np.floor((end - start) / window).astype(int)
    active = np.zeros((start.size, max(int(observed.max(initial=1)), 1)), bool)
    place = ((when - start[who]) // window).astype(int)
    kept = place < np.minimum(observed[who], active.shape[1])
    active[who[kept], place[kept]] = True
    return paths_of_activity(active, observed)


def paths_of_last_activity(
    joined: ArrayLike, last_active: ArrayLike, end: float, window: float = 30.0
) -> Paths:
    """Paths where only the last activity is known: active until then, silent ever after.

    Returns cannot be seen, so hazards come out too low for those who paused and the return
    share is 0: what is left at a given age is right on average, its later course is not.

    Parameters
    ----------
    joined, last_active : ndarray, shape (members,)
        Days; not-a-number where a member was never active after joining.
    end, window : as in ``paths_of_events``
    """
    start, last = np.asarray(joined, float), np.asarray(last_active, float)
    observed = np.floor((end - start) / window).astype(int)
    place = np.floor((last - start) / window)
    windows = np.arange(max(int(observed.max(initial=1)), 1))
    return paths_of_activity(windows <= np.where(np.isnan(place), -1, place)[:, None], observed)


def fit_recruits(paths: Paths, *, alike: bool = False) -> Fit[Recruits]:
    """Maximum likelihood of ``Recruits`` from members' paths, with standard errors.

    The likelihood of a path falls into three: activation (binomial), returns (binomial), and
    lapses, beta-binomial: B(alpha + lapses, beta + stays) / B(alpha, beta).

    Parameters
    ----------
    paths : members of one source
    alike : whether to give every member the same hazard; alpha and beta are then that hazard
        times a million, and only the hazard is estimated

    Returns
    -------
    Fit of activation_share, alpha, beta, return_share; ``n`` is the number of members

    Raises
    ------
    ValueError
        If nobody was active.
    NotConverged
        If nobody lapsed, or hazards look alike, so that alpha and beta run to infinity.

    Examples
    --------
    >>> truth = Recruits(activation_share=0.6, alpha=0.8, beta=2.0, return_share=0.05)
    >>> seen = truth.simulate(20_000, 8, np.random.default_rng(1))
    >>> fit = fit_recruits(paths_of_activity(seen, np.full(20_000, 8)))
    >>> bool(abs(fit.model.alpha - 0.8) < 3 * fit.stderr["alpha"])
    True
    """
    active = np.asarray(paths.activated, bool)
    lapses, stays = np.asarray(paths.lapses, float), np.asarray(paths.stays, float)
    n, k = active.size, int(active.sum())
    if not n or not (k or (lapses + stays).any()):
        raise ValueError(f"fit_recruits: none of {n} members was active; nothing can be estimated")
    if not lapses.any():
        raise NotConverged(
            "fit_recruits: nobody fell silent, so the hazard runs to 0; watch longer"
        )
    came, stayed_away = float(np.sum(paths.returns)), float(np.sum(paths.silences))
    # Nobody active in the first window would make later ages impossible.
    activation = max(k, 0.5) / n
    back = came / max(came + stayed_away, 1.0)
    if back == 1.0:
        back = (came - 0.5) / came
    value = _binomial(k, n) + _binomial(came, came + stayed_away)
    errors = {
        "activation_share": float(np.sqrt(activation * (1 - activation) / n)),
        "return_share": float(np.sqrt(back * (1 - back) / max(came + stayed_away, 1.0))),
    }
    if alike:
        lost, faced = float(lapses.sum()), float((lapses + stays).sum())
        hazard = min(lost / faced, 1 - 0.5 / faced)
        size, error = 1e6, float(np.sqrt(hazard * (1 - hazard) / faced))
        shapes = Fit(
            model=ShiftedBetaGeometric(alpha=hazard * size, beta=(1 - hazard) * size),
            stderr={"alpha": error * size, "beta": error * size},
            log_likelihood=_binomial(lost, faced),
            n=n,
            covariance=(error * size) ** 2 * np.array([[1.0, -1.0], [-1.0, 1.0]]),
        )
    else:
        shapes = _fit_shapes(lapses, stays)
    order = ("activation_share", "alpha", "beta", "return_share")
    stderr = errors | dict(shapes.stderr)
    covariance = np.diag([stderr[name] ** 2 for name in order])
    covariance[1:3, 1:3] = shapes.covariance
    return Fit(
        model=Recruits(
            activation_share=activation, alpha=shapes.model.alpha, beta=shapes.model.beta, return_share=back
        ),
        stderr={name: stderr[name] for name in order},
        log_likelihood=value + shapes.log_likelihood,
        n=n,
        covariance=covariance,
    )  # fmt: skip


def _binomial(successes: float, trials: float) -> float:
    """Log-likelihood of a sequence at the best probability."""
    return float(
        special.xlogy(successes, successes) + special.xlogy(trials - successes, trials - successes)
        - special.xlogy(trials, trials)
    )  # fmt: skip


def _fit_shapes(lapses: Array, stays: Array) -> Fit[ShiftedBetaGeometric]:
    pairs, counts = np.unique(np.stack([lapses, stays]), axis=1, return_counts=True)
    x, y = pairs
    seen = x + y > 0
    x, y, weight = x[seen], y[seen], counts[seen].astype(float)

    def likelihood(theta: Array) -> tuple[float, Array, Array]:
        alpha, beta = theta
        both = alpha + beta
        value = weight @ (special.betaln(alpha + x, beta + y) - special.betaln(alpha, beta))
        shared = special.digamma(both) - special.digamma(both + x + y)
        gradient = np.array(
            [
                weight @ (special.digamma(alpha + x) - special.digamma(alpha) + shared),
                weight @ (special.digamma(beta + y) - special.digamma(beta) + shared),
            ]
        )
        bend = special.polygamma(1, both) - special.polygamma(1, both + x + y)
        hessian = np.full((2, 2), weight @ bend)
        hessian[0, 0] += weight @ (special.polygamma(1, alpha + x) - special.polygamma(1, alpha))
        hessian[1, 1] += weight @ (special.polygamma(1, beta + y) - special.polygamma(1, beta))
        return float(value), gradient, hessian

    mean = float(weight @ x / (weight @ (x + y)))
    return maximum_likelihood(
        ShiftedBetaGeometric,
        likelihood,
        {"alpha": max(2 * mean, 0.01), "beta": max(2 * (1 - mean), 0.01)},
        n=float(weight.sum()),
        informative=float(max(weight @ x, 1.0)),
        what="fit_recruits: hazards of members",
    )


def recruits_draws(fit: Fit[Recruits], draws: int, rng: np.random.Generator) -> Recruits:
    """The fitted model followed by ``draws`` around it, as arrays of shape (draws + 1,).

    Shapes on the scale of their logarithms, shares on that of their logits, so that no draw
    leaves its domain. A share estimated as 0 or 1 stays.
    """
    model, covariance = fit.model, fit.covariance
    if covariance is None:
        raise ValueError("recruits_draws: the fit has no covariance to draw from")
    shapes = np.array([model.alpha, model.beta], float)
    spread = covariance[1:3, 1:3] / np.outer(shapes, shapes)
    drawn = shapes * np.exp(rng.multivariate_normal(np.zeros(2), spread, draws, method="svd"))
    shares = {}
    for name in ("activation_share", "return_share"):
        share, error = float(getattr(model, name)), fit.stderr[name]
        inner = 0 < share < 1
        logit = special.logit(share) if inner else 0.0
        width = error / (share * (1 - share)) if inner else 0.0
        around = special.expit(logit + width * rng.standard_normal(draws))
        shares[name] = np.r_[share, around if inner else np.full(draws, share)]
    return replace(
        model, alpha=np.r_[model.alpha, drawn[:, 0]], beta=np.r_[model.beta, drawn[:, 1]], **shares
    )  # fmt: skip


class OneHazard(NamedTuple):
    """Twice the log-likelihood gained by letting hazards differ, and its p-value."""

    statistic: float
    p_value: float


def one_hazard(paths: Paths) -> OneHazard:
    """Do members of one source share a single hazard?

    The single hazard lies on the border of the mixture, so that the statistic is half a
    chi-square of one degree and half a point at 0 (Self & Liang 1987). Where the mixture has no
    maximum, hazards vary no more than chance makes them: statistic 0, p-value 1.
    """
    try:
        gained = fit_recruits(paths).log_likelihood - fit_recruits(paths, alike=True).log_likelihood
    except NotConverged:
        return OneHazard(0.0, 1.0)
    statistic = max(2.0 * gained, 0.0)
    return OneHazard(statistic, 0.5 * float(stats.chi2.sf(statistic, 1)) if statistic else 1.0)


def fit_cohort_decay(
    survivors: Mapping[str, Sequence[float]] | ArrayLike,
) -> Fit[ShiftedBetaGeometric]:
    """Members' hazards from a cohort table: members left at ages 0, 1, ... of each cohort.

    For those who have no log but the table every member system prints. A cohort may end early,
    because it is young; a hole inside one is refused, since whoever left in it cannot be placed.

    Parameters
    ----------
    survivors : by cohort name, or a table of shape (cohorts, ages)

    Raises
    ------
    ValueError
        A cohort with a gap, or one that grows, by name.
    NotConverged
        As ``fit_shifted_beta_geometric``.

    Examples
    --------
    >>> fit = fit_cohort_decay({"May": [1000, 631, 468, 382], "June": [800, 510, 380]})
    >>> round(float(fit.model.alpha), 2)
    0.8
    """
    named = (
        {str(name): np.asarray(row, float) for name, row in survivors.items()}
        if isinstance(survivors, Mapping)
        else dict(enumerate(np.atleast_2d(np.asarray(survivors, float))))
    )
    width = max(row.size for row in named.values())
    table = np.full((len(named), width), np.nan)
    for i, (name, row) in enumerate(named.items()):
        known = np.flatnonzero(np.isfinite(row))
        if not known.size or known.size <= known[-1]:
            gap = int(np.flatnonzero(~np.isfinite(row))[0])
            raise ValueError(
                f"fit_cohort_decay: cohort {name!r} has a gap at age {gap}; a cohort may stop early "
                "but not leave out an age: fill it, or cut the cohort there"
            )
        table[i, : row.size] = row
        grown = np.flatnonzero(np.diff(row[known]) > 0)
        if grown.size:
            at = int(grown[0])
            raise ValueError(
                f"fit_cohort_decay: cohort {name!r} grows from {row[at]:g} to {row[at + 1]:g} at age {at + 1}"
            )
    return fit_shifted_beta_geometric(table)

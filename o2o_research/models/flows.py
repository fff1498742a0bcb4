"""Where customers go next: an absorbing Markov chain fitted from transition counts.

Kemeny & Snell (1960): the fundamental matrix N = (I - Q)^-1 gives visits, ends and the steady
state of a system that people enter and leave; removal effects of touchpoints after Anderl,
Becker, von Wangenheim & Schumann (2016).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from o2o_research.domain import require
from o2o_research.models.numerics import Fit

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Chain:
    """Moves of a customer from state to state, a step at a time, until an end.

    Parameters
    ----------
    moves : ndarray, shape (..., states, states + ends)
        Probability of the next state or end; rows sum to 1. Leading axes hold draws. [Q, R]
    states : names of the states people pass through
    ends : names of the states they stay in

    Examples
    --------
    A coin is thrown until three heads more or fewer: from one head up, in the middle of the way,

    >>> game = Chain(moves=[[0, 0.5, 0.5, 0], [0.5, 0, 0, 0.5]], states=("one", "two"),
    ...              ends=("ruin", "three"))
    >>> {end: round(float(share), 4) for end, share in game.end_shares("one").items()}
    {'ruin': 0.6667, 'three': 0.3333}
    """

    moves: Array
    states: tuple[str, ...]
    ends: tuple[str, ...]

    def __post_init__(self) -> None:
        moves = np.asarray(self.moves, float)
        object.__setattr__(self, "moves", moves)
        names = (*self.states, *self.ends)
        if len(set(names)) < len(names) or not self.states or not self.ends:
            raise ValueError(
                f"Chain: states {self.states} and ends {self.ends} want at least one each, none twice"
            )
        if moves.shape[-2:] != (len(self.states), len(names)):
            raise ValueError(
                f"Chain: moves of shape (..., {len(self.states)}, {len(names)}) wanted, got {moves.shape}"
            )
        if not (moves >= 0).all() or not np.allclose(moves.sum(axis=-1), 1, atol=1e-9):
            row = int(np.argwhere((moves < 0).any(-1) | (np.abs(moves.sum(-1) - 1) > 1e-9))[0][-1])
            raise ValueError(f"Chain: moves from {self.states[row]!r} must be >= 0 and sum to 1")
        # A state that never reaches an end would be visited for ever.
        reach = moves[..., len(self.states) :].sum(axis=-1) > 0
        links = moves[..., : len(self.states)] > 0
        for _ in self.states:
            reach = reach | (links & reach[..., None, :]).any(axis=-1)
        if not reach.all():
            stuck = self.states[int(np.argwhere(~reach)[0][-1])]
            raise ValueError(f"Chain: from {stuck!r} no end can be reached; give it a way to leave")

    @property
    def visits(self) -> Array:
        """Expected visits to each state (column) from each start (row), the start counted. [N]

        Shape (..., states, states).
        """
        k = len(self.states)
        return np.asarray(np.linalg.inv(np.eye(k) - self.moves[..., :k]))

    def visits_from(self, start: str) -> dict[str, Array]:
        """Expected visits to each state by one who begins in ``start``."""
        row = self.visits[..., self._at(start), :]
        return {name: row[..., j] for j, name in enumerate(self.states)}

    def end_shares(self, start: str) -> dict[str, Array]:
        """Probability of each end for one who begins in ``start``. [B = N R]"""
        k = len(self.states)
        row = (self.visits[..., self._at(start), None, :] @ self.moves[..., k:])[..., 0, :]
        return {name: row[..., j] for j, name in enumerate(self.ends)}

    def steps(self, start: str) -> Array:
        """Expected number of steps before an end. [t = N 1]"""
        return np.asarray(self.visits[..., self._at(start), :].sum(axis=-1))

    def steady_state(self, arrivals: dict[str, ArrayLike]) -> dict[str, Array]:
        """People in each state when ``arrivals`` a step enter by the states named, in the long run.

        What enters equals what leaves: n = a + n Q, hence n = a N.
        """
        shape = np.broadcast_shapes(
            *(np.shape(value) for value in arrivals.values()), self.moves.shape[:-2]
        )
        entering = np.zeros((*shape, len(self.states)))
        for name, value in arrivals.items():
            entering[..., self._at(name)] = value
        settled = (entering[..., None, :] @ self.visits)[..., 0, :]
        return {name: settled[..., j] for j, name in enumerate(self.states)}

    def without(self, state: str, end: str) -> Chain:
        """The chain in which whoever would go to ``state`` goes to ``end`` instead."""
        at, to = self._at(state), self._end(end)
        moves = self.moves.copy()
        moves[..., to] += moves[..., at]
        moves[..., at] = 0
        return replace(self, moves=moves)

    def rerouted(self, origin: str, to: str, instead: str, share: ArrayLike = 1.0) -> Chain:
        """The chain in which ``share`` of the moves from ``origin`` to ``to`` go ``instead``."""
        names = (*self.states, *self.ends)
        row, old, new = self._at(origin), names.index(to), names.index(instead)
        lead = np.broadcast_shapes(np.shape(share), self.moves.shape[:-2])
        moves = np.broadcast_to(self.moves, (*lead, *self.moves.shape[-2:])).copy()
        shifted = moves[..., row, old] * np.asarray(share, float)
        moves[..., row, old] -= shifted
        moves[..., row, new] += shifted
        return replace(self, moves=moves)

    def removal_effect(self, state: str, start: str, goal: str, lost: str) -> Array:
        """Share of the goal's conversions that are gone when ``state`` is, in [0, 1].

        1 - P(goal without the state) / P(goal), Anderl et al. (2016). Effects of several states
        overlap and do not sum to 1.
        """
        whole = self.end_shares(start)[goal]
        if state == start:
            return np.ones_like(whole)
        return np.asarray(1 - self.without(state, lost).end_shares(start)[goal] / whole)

    def _at(self, state: str) -> int:
        if state not in self.states:
            raise ValueError(f"Chain: no state {state!r}; states: {', '.join(self.states)}")
        return self.states.index(state)

    def _end(self, end: str) -> int:
        if end not in self.ends:
            raise ValueError(f"Chain: no end {end!r}; ends: {', '.join(self.ends)}")
        return len(self.states) + self.ends.index(end)


def count_moves(
    journeys: Iterable[Sequence[str]], states: Sequence[str], ends: Sequence[str]
) -> Array:
    """Transition counts of journeys, each a sequence of states closed by an end.

    Returns
    -------
    ndarray, shape (states, states + ends)

    Examples
    --------
    >>> count_moves([["app", "store", "bought"], ["app", "gone"]], ["app", "store"], ["bought", "gone"]).tolist()
    [[0.0, 1.0, 0.0, 1.0], [0.0, 0.0, 1.0, 0.0]]
    """
    place = {name: j for j, name in enumerate((*states, *ends))}
    counts = np.zeros((len(states), len(place)))
    for number, journey in enumerate(journeys):
        unknown = [name for name in journey if name not in place]
        if (
            unknown
            or len(journey) < 2
            or journey[-1] not in ends
            or any(s in ends for s in journey[:-1])
        ):
            raise ValueError(
                f"count_moves: journey {number} ({list(journey)}) must be states and, last, one end"
                + (f"; unknown: {unknown[0]!r}" if unknown else "")
            )
        for here, there in pairwise(journey):
            counts[place[here], place[there]] += 1
    return counts


def fit_chain(counts: ArrayLike, states: Sequence[str], ends: Sequence[str]) -> Fit[Chain]:
    """The chain of largest likelihood: each row's counts over their sum.

    ``stderr`` is keyed ``"here>there"``, sqrt(p (1 - p) / n) of the row.

    Raises
    ------
    ValueError
        A state that was never left, or a negative count.
    """
    table = _counts(counts, states, ends)
    totals = table.sum(axis=1, keepdims=True)
    shares = table / totals
    errors = np.sqrt(shares * (1 - shares) / totals)
    names = (*states, *ends)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(table > 0, table * np.log(shares), 0.0)
    return Fit(
        model=Chain(moves=shares, states=tuple(states), ends=tuple(ends)),
        stderr={
            f"{a}>{b}": float(errors[i, j])
            for i, a in enumerate(states)
            for j, b in enumerate(names)
        },
        log_likelihood=float(terms.sum()),
        n=int(table.sum()),
    )


def chain_draws(
    counts: ArrayLike,
    states: Sequence[str],
    ends: Sequence[str],
    rng: np.random.Generator,
    draws: int,
    *,
    prior: float = 0.5,
) -> Chain:
    """The fitted chain followed by ``draws`` from its posterior, along a leading axis.

    Rows are Dirichlet with ``prior`` (Jeffreys' one half) added to every count, so every quantity
    of the chain comes with its interval.
    """
    table = _counts(counts, states, ends)
    fitted = table / table.sum(axis=1, keepdims=True)
    gammas = rng.standard_gamma(table + prior, size=(draws, *table.shape))
    drawn = gammas / gammas.sum(axis=-1, keepdims=True)
    return Chain(
        moves=np.concatenate([fitted[None], drawn]), states=tuple(states), ends=tuple(ends)
    )


def coupon_loop(
    *,
    scan_share: ArrayLike,
    return_share: ArrayLike,
    coupon_lift: ArrayLike,
    keep_share: ArrayLike,
    leave_share: ArrayLike,
) -> Chain:
    """A retailer's loop, a month a step: store visitors scan into the app, coupons bring them back.

    Parameters
    ----------
    scan_share : store visitors who scan a code in the store and open the app next month, in [0, 1]
    return_share : chance that a past visitor comes to the store in a month by themselves
    coupon_lift : how much a coupon in the app adds to that chance
    keep_share : app users who neither come nor drop the app and keep using it, of the rest
    leave_share : dormant customers lost for good in a month, of those who do not return, in (0, 1]

    Returns
    -------
    Chain with states store, app, dormant and the end lost.

    Raises
    ------
    ValueError
        A share outside [0, 1], or return and coupon shares that sum past 1.
    """
    given = {
        "scan_share": scan_share,
        "return_share": return_share,
        "coupon_lift": coupon_lift,
        "keep_share": keep_share,
        "leave_share": leave_share,
    }
    for name, value in given.items():
        values = np.asarray(value, float)
        if not ((values >= 0) & (values <= 1)).all():
            bad = values[~((values >= 0) & (values <= 1))].flat[0]
            raise ValueError(f"coupon_loop: {name}={bad:g} must lie in [0, 1]")
    scan, back, lift, keep, leave = np.broadcast_arrays(
        *(np.asarray(v, float) for v in given.values())
    )
    if (back + lift > 1).any():
        raise ValueError(
            f"coupon_loop: return_share + coupon_lift = {(back + lift).max():g} must not exceed 1"
        )
    moves = np.zeros((*scan.shape, 3, 4))
    store, app, dormant, lost = range(4)
    # One who has just come returns like one who is dormant; only the channel of contact differs.
    moves[..., store, app] = scan
    moves[..., store, store] = (1 - scan) * back
    moves[..., store, dormant] = (1 - scan) * (1 - back)
    moves[..., app, store] = back + lift
    moves[..., app, app] = (1 - back - lift) * keep
    moves[..., app, dormant] = (1 - back - lift) * (1 - keep)
    moves[..., dormant, store] = back
    moves[..., dormant, dormant] = (1 - back) * (1 - leave)
    moves[..., dormant, lost] = (1 - back) * leave
    return Chain(moves=moves, states=("store", "app", "dormant"), ends=("lost",))


def _counts(counts: ArrayLike, states: Sequence[str], ends: Sequence[str]) -> Array:
    table = np.asarray(counts, float)
    if (
        table.shape != (len(states), len(states) + len(ends))
        or not np.isfinite(table).all()
        or (table < 0).any()
    ):
        raise ValueError(
            f"counts: finite, >= 0, of shape ({len(states)}, {len(states) + len(ends)}) wanted, got {table.shape}"
        )
    idle = np.flatnonzero(table.sum(axis=1) == 0)
    if idle.size:
        raise ValueError(
            f"counts: state {states[int(idle[0])]!r} was never left; drop it, or watch longer"
        )
    return table


@dataclass(frozen=True, kw_only=True)
class FanBase:
    """Followers of a brand's account, and what pushing messages to them sells.

    Parameters
    ----------
    pushes : messages a month, >= 0. [m]
    response : purchases a fan and message when messages are rare, >= 0. [r]
    fatigue : relative fall of the response with each further message a month, >= 0. [k]
    unsubscribe : share of fans whom one message drives away, in [0, 1). [u]
    churn : share of fans who leave or fall silent in a month anyway, in (0, 1]. [d]

    Examples
    --------
    >>> fans = FanBase(pushes=8.0, response=0.004, fatigue=0.05, unsubscribe=0.008, churn=0.03)
    >>> round(float(fans.purchases), 4), round(float(fans.best_pushes), 3)
    (0.2282, 6.986)
    """

    pushes: ArrayLike
    response: ArrayLike
    fatigue: ArrayLike
    unsubscribe: ArrayLike
    churn: ArrayLike

    def __post_init__(self) -> None:
        require(
            self,
            pushes="[0, inf)",
            response="[0, inf)",
            fatigue="[0, inf)",
            unsubscribe="[0, 1)",
            churn="(0, 1]",
        )

    @property
    def lifetime(self) -> Array:
        """Months a fan stays: 1 / (d + m u)."""
        return np.asarray(
            1 / (np.asarray(self.churn, float) + np.asarray(self.pushes, float) * self.unsubscribe)
        )

    @property
    def purchases(self) -> Array:
        """Purchases a fan makes in all: m r e^(-k m) / (d + m u)."""
        m = np.asarray(self.pushes, float)
        return np.asarray(
            m
            * np.asarray(self.response, float)
            * np.exp(-np.asarray(self.fatigue, float) * m)
            * self.lifetime
        )

    @property
    def best_pushes(self) -> Array:
        """Messages a month that sell most to a fan in all; infinite without fatigue.

        The zero of d/dm ln purchases: 1/m - k - u/(d + m u) = 0, that is k u m^2 + k d m - d = 0.
        """
        k, u, d = (np.asarray(v, float) for v in (self.fatigue, self.unsubscribe, self.churn))
        # The stable form of the quadratic's positive root.
        with np.errstate(divide="ignore"):
            return np.asarray(2 * d / (k * d + np.sqrt((k * d) ** 2 + 4 * k * u * d)))

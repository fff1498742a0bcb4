"""Members and brands that wait for each other: how many of both it takes before it grows by itself.

Each side joins as in Bass (1969), and the more readily the fuller the other side is; each
leaves, and the less the more it finds there (a proportional hazard). Attraction alone, with
leaving at a constant rate, never makes two futures out of one market: that a full mall keeps
its members is what makes a critical mass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import ArrayLike

from o2o_research.domain import require
from o2o_research.models.numerics import Array, maximise_scalar, root


@dataclass(frozen=True, kw_only=True)
class Side:
    """One side of the market; rates per period, of the share of its potential.

    Parameters
    ----------
    innovation : float
        Rate of joining by oneself, >= 0. [p]
    imitation : float
        Rate of joining for others of the same side, at a full side, >= 0. [q]
    attraction : float
        Rate of joining for the other side, at a full other side, >= 0. [c]
    leaving : float
        Rate of leaving when the other side is empty, >= 0. [d]
    holding : float
        How a full other side keeps: leaving falls to e^-h of what it was, >= 0. [h]

    Raises
    ------
    ValueError
        A parameter outside its domain.
    """

    innovation: float | Array
    imitation: float | Array
    attraction: float | Array
    leaving: float | Array
    holding: float | Array = 0.0

    def __post_init__(self) -> None:
        require(
            self,
            innovation="[0, inf)",
            imitation="[0, inf)",
            attraction="[0, inf)",
            leaving="[0, inf)",
            holding="[0, inf)",
        )


class Equilibrium(NamedTuple):
    """Where both sides stay as they are.

    Parameters
    ----------
    members, brands : shares of the potential
    stable : whether a small push dies out
    blocked : whether onboarding runs at its capacity there
    """

    members: float
    brands: float
    stable: bool
    blocked: bool


@dataclass(frozen=True, kw_only=True)
class TwoSided:
    """A platform of members and brands; x and y are shares of their potentials.

    x' = (p + q x + c y)(1 - x) - d e^{-h y} x, and y' alike with brands joining at most at the
    onboarding capacity k: y' = min((P + Q y + C x)(1 - y), k) - D e^{-H x} y.

    Parameters
    ----------
    members, brands : Side
    onboarding_capacity : float
        Share of all brands that can be brought on board in a period, > 0; inf is no limit. [k]

    Raises
    ------
    ValueError
        A parameter outside its domain.

    Examples
    --------
    >>> mall = TwoSided(
    ...     members=Side(innovation=0.002, imitation=0.03, attraction=0.08, leaving=0.2, holding=4),
    ...     brands=Side(innovation=0.002, imitation=0.01, attraction=0.08, leaving=0.15, holding=4))
    >>> [(round(e.members, 2), round(e.brands, 2), e.stable) for e in mall.equilibria()]
    [(0.03, 0.04, True), (0.14, 0.15, False), (0.96, 0.97, True)]
    >>> round(float(mall.critical_members(0.1)), 3)
    0.205
    """

    members: Side
    brands: Side
    onboarding_capacity: float | Array = np.inf

    def __post_init__(self) -> None:
        if not np.all(np.asarray(self.onboarding_capacity, float) > 0):
            raise ValueError(
                f"TwoSided: onboarding_capacity={self.onboarding_capacity} must lie in (0, inf]"
            )

    @property
    def _parameters(self) -> tuple[Array, ...]:
        m, b = self.members, self.brands
        rows = np.broadcast_arrays(
            *(np.asarray(v, float) for v in (*vars(m).values(), *vars(b).values())),
            np.asarray(self.onboarding_capacity, float),
        )
        return tuple(rows)

    @property
    def _numbers(self) -> Array:
        rows = self._parameters
        if rows[0].ndim and rows[0].size != 1:
            raise ValueError(
                f"TwoSided: one market is wanted here, not draws of shape {rows[0].shape}"
            )
        return np.array([float(row.reshape(-1)[0]) for row in rows])

    def flow(self, members: ArrayLike, brands: ArrayLike) -> tuple[Array, Array]:
        """x' and y' at a state; everything broadcasts."""
        dx, dy = _flow_arrays(
            self._parameters, np.asarray(members, float), np.asarray(brands, float)
        )
        return dx, dy

    def path(
        self, members: ArrayLike, brands: ArrayLike, periods: int, *, steps: int = 20
    ) -> tuple[Array, Array]:
        """Both shares at the end of each period from a start, Runge-Kutta of order 4.

        Parameters
        ----------
        members, brands : starting shares, in [0, 1]; broadcast with the parameters
        periods : int
        steps : per period; more for rates well above 1

        Returns
        -------
        members, brands : ndarray, shape (periods + 1, ...)
        """
        rows = self._parameters
        x, y = np.broadcast_arrays(np.asarray(members, float), np.asarray(brands, float), *rows)[:2]
        _check_shares(members=x, brands=y)
        all_rows = np.stack([np.broadcast_to(r, x.shape).ravel() for r in rows], axis=-1)
        out = _paths(np.ascontiguousarray(all_rows), x.ravel(), y.ravel(), periods, steps)
        shape = (periods + 1, *x.shape)
        return out[:, :, 0].reshape(shape), out[:, :, 1].reshape(shape)

    # Where it settles

    def equilibria(self) -> list[Equilibrium]:
        """Every state that stays, by members.

        For given brands x' = 0 is a quadratic in the members with one root in (0, 1]; along
        it the changes of sign of y' are the states, and its turning points are searched for
        pairs that lie close together.
        """
        p, _, c, _, _, P, *_ = self._numbers
        grid = np.unique(np.concatenate([np.linspace(0, 1, 1001), np.geomspace(1e-9, 1, 200)]))
        found = [(float(self._members_at(y)), y) for y in self._crossings(self._brand_flow, grid)]
        if p == 0.0 and P == 0.0:
            found.append((0.0, 0.0))
        if p == 0.0 and c == 0.0:  # without brands to follow, no members stay no members
            alone = self._crossings(lambda y: self._flow_at(np.zeros_like(y), y)[1], grid)
            found += [(0.0, y) for y in alone]
        settled: list[Equilibrium] = []
        for x, y in sorted(found):
            if any(abs(e.members - x) + abs(e.brands - y) < 1e-7 for e in settled):
                continue
            eigenvalues = np.linalg.eigvals(self._jacobian(x, y))
            settled.append(Equilibrium(x, y, bool(eigenvalues.real.max() < 0), self._blocked(x, y)))
        return settled

    def _members_at(self, brands: ArrayLike) -> Array:
        """The members that stay with these brands: q x^2 + (a + l - q) x - a = 0, a = p + c y, l = d e^{-h y}."""
        p, q, c, d, h = self._numbers[:5]
        y = np.asarray(brands, float)
        a = p + c * y
        b = a + d * np.exp(-h * y) - q
        size = np.sqrt(b * b + 4 * q * a)
        # The form without cancellation, either sign of b.
        with np.errstate(divide="ignore", invalid="ignore"):
            large = (size - b) / (2 * q) if q > 0 else np.full_like(y, np.inf)
            root_ = np.where(b > 0, 2 * a / (b + size), large)
        return np.asarray(np.where(b + size == 0, 0.0, np.minimum(root_, 1.0)))

    def _flow_at(self, x: Array, y: Array) -> tuple[Array, Array]:
        return _flow_arrays(tuple(self._numbers), x, y)

    def _brand_flow(self, brands: Array) -> Array:
        return self._flow_at(self._members_at(brands), np.asarray(brands, float))[1]

    def _crossings(self, flow: Callable[[Array], Array], grid: Array) -> list[float]:
        values = np.asarray(flow(grid))
        turns = np.flatnonzero(
            (np.diff(np.sign(np.diff(values))) != 0)
            & (np.abs(values[1:-1]) < 1e-4 * np.abs(values).max())
        )
        extra = []
        for at in turns:
            sign = -float(np.sign(values[at + 1]))

            def nearness(y: Array, sign: float = sign) -> Array:
                return np.asarray(sign * flow(y))

            nearest = maximise_scalar(
                nearness, grid[at], grid[at + 2], points=9, what="turning point"
            )
            extra.append(nearest)
        if extra:
            grid = np.unique(np.concatenate([grid, extra]))
            values = np.asarray(flow(grid))
        found = [float(g) for g in grid[values == 0.0]]
        for i in np.flatnonzero(values[:-1] * values[1:] < 0):
            found.append(
                root(
                    lambda y: float(flow(np.array([y]))[0]),
                    grid[i],
                    grid[i + 1],
                    what="equilibrium",
                )
            )
        return found

    def _blocked(self, x: float, y: float) -> bool:
        _, _, _, _, _, P, Q, C, _, _, k = self._numbers
        return bool((P + Q * y + C * x) * (1 - y) > k)

    def _jacobian(self, x: float, y: float) -> Array:
        p, q, c, d, h, P, Q, C, D, H, _ = self._numbers
        left, gone = d * np.exp(-h * y), D * np.exp(-H * x)
        top = [q * (1 - x) - (p + q * x + c * y) - left, c * (1 - x) + h * left * x]
        if self._blocked(x, y):
            return np.array([top, [H * gone * y, -gone]])
        down = Q * (1 - y) - (P + Q * y + C * x) - gone
        return np.array([top, [C * (1 - y) + H * gone * y, down]])

    @property
    def saddle(self) -> Equilibrium | None:
        """The state on the edge between staying small and growing; None where there is no edge."""
        between = [e for e in self.equilibria() if not e.stable]
        inner = [e for e in between if np.linalg.det(self._jacobian(e.members, e.brands)) < 0]
        stable = [e for e in self.equilibria() if e.stable]
        return inner[0] if inner and len(stable) > 1 else None

    # Critical mass

    def tipping_curve(self, *, points: int = 101) -> tuple[Array, Array]:
        """(members, brands) on the edge: starts above it grow full, below it they shrink.

        The saddle's stable manifold, followed backwards in time from both sides of the saddle
        to the border of [0, 1]^2. More brands always mean fewer members needed.

        Raises
        ------
        ValueError
            If there is no edge: the market has one future whatever the start.
        """
        middle = self.saddle
        if middle is None:
            raise ValueError("tipping_curve: this market has one future, whatever its start")
        values, vectors = np.linalg.eig(self._jacobian(middle.members, middle.brands))
        inward = np.real(vectors[:, np.argmin(values.real)])
        arms = []
        for sign in (-1.0, 1.0):
            start = np.array([middle.members, middle.brands]) + sign * 1e-6 * inward
            arms.append(_backwards(self._numbers, start[0], start[1]))
        line = np.vstack([arms[0][::-1], [[middle.members, middle.brands]], arms[1]])
        line = line[np.argsort(line[:, 1])]
        brands = np.linspace(line[0, 1], line[-1, 1], points)
        return np.interp(brands, line[:, 1], line[:, 0]), brands

    def critical_members(self, brands: ArrayLike) -> Array:
        """Least starting share of members from which the market grows, with these brands on board.

        By halving, each start followed until it has settled; 0 where it grows without any, inf
        where even all members are too few or there is no larger future. Broadcasts with draws.
        """
        rows = self._parameters
        start = np.broadcast_arrays(np.asarray(brands, float), *rows)[0]
        _check_shares(brands=start)
        table = np.stack([np.broadcast_to(r, start.shape).ravel() for r in rows], axis=-1)
        found = _critical(np.ascontiguousarray(table), start.ravel())
        return np.asarray(found.reshape(start.shape)[()])

    def members_saved_per_brand(self, brands: float, *, step: float = 0.005) -> float:
        """Members who need not be recruited for each share of brands brought on board more.

        Minus the slope of the critical mass; a subsidy for a brand buys that many members.
        """
        low, high = max(brands - step, 0.0), min(brands + step, 1.0)
        ends = self.critical_members(np.array([low, high]))
        if not np.all(np.isfinite(ends)):
            raise ValueError(f"members_saved_per_brand: no critical mass at brands={brands}")
        return float((ends[0] - ends[1]) / (high - low))

    def cheapest_start(
        self, member_cost: float, brand_cost: float, *, points: int = 201
    ) -> tuple[float, float, float]:
        """(members, brands, cost) of the cheapest start on the edge.

        Parameters
        ----------
        member_cost, brand_cost : yuan for all members, and for all brands, of the potential
        """
        members, brands = self.tipping_curve(points=points)
        cost = member_cost * members + brand_cost * brands
        best = int(np.argmin(cost))
        return float(members[best]), float(brands[best]), float(cost[best])

    # What blocks

    def capacity_needed(self, members: float, brands: float, *, high: float = 10.0) -> float:
        """Least onboarding capacity with which the market grows from a start; inf if none does.

        Grows: members end above half of the largest future that unlimited onboarding has.
        """
        largest: float = max(
            e.members for e in replace(self, onboarding_capacity=np.inf).equilibria()
        )

        def short(capacity: float) -> float:
            limited = replace(self, onboarding_capacity=capacity)
            end = _settle(limited._numbers, members, brands)
            return float(end[0] - 0.5 * largest)

        if short(high) < 0:
            return float(np.inf)
        low = 1e-9
        if short(low) >= 0:
            return low
        return root(short, low, high, what="onboarding capacity")

    def capacity_elasticity(
        self, members: float, brands: float, periods: int, *, step: float = 0.02
    ) -> float:
        """Per cent more members after ``periods`` for one per cent more onboarding capacity.

        0 where onboarding is never the block.
        """
        up, down = (
            replace(self, onboarding_capacity=self.onboarding_capacity * np.exp(s)).path(
                members, brands, periods
            )[0][-1]
            for s in (step, -step)
        )
        return float(np.log(up / down) / (2 * step))

    def blocked_periods(self, members: float, brands: float, periods: int) -> int:
        """Periods, of the first ``periods``, in which brands wait to be brought on board."""
        x, y = self.path(members, brands, periods)
        b = self.brands
        wish = (b.innovation + b.imitation * y + b.attraction * x) * (1 - y)
        return int((wish[1:] > self.onboarding_capacity).sum())


def _check_shares(**shares: Array) -> None:
    for name, value in shares.items():
        if not np.all((value >= 0) & (value <= 1)):
            raise ValueError(f"TwoSided: {name}={value} must lie in [0, 1]")


def _flow_arrays(rows: tuple[Array, ...], x: Array, y: Array) -> tuple[Array, Array]:
    p, q, c, d, h, P, Q, C, D, H, k = rows
    dx = (p + q * x + c * y) * (1 - x) - d * np.exp(-h * y) * x
    dy = np.minimum((P + Q * y + C * x) * (1 - y), k) - D * np.exp(-H * x) * y
    return dx, dy


@njit(cache=True)
def _flow(r: Array, x: float, y: float) -> tuple[float, float]:
    dx = (r[0] + r[1] * x + r[2] * y) * (1 - x) - r[3] * np.exp(-r[4] * y) * x
    join = (r[5] + r[6] * y + r[7] * x) * (1 - y)
    dy = min(join, r[10]) - r[8] * np.exp(-r[9] * x) * y
    return dx, dy


@njit(cache=True)
def _step(r: Array, x: float, y: float, h: float) -> tuple[float, float]:
    a, b = _flow(r, x, y)
    c, d = _flow(r, x + h / 2 * a, y + h / 2 * b)
    e, f = _flow(r, x + h / 2 * c, y + h / 2 * d)
    g, i = _flow(r, x + h * e, y + h * f)
    return x + h / 6 * (a + 2 * c + 2 * e + g), y + h / 6 * (b + 2 * d + 2 * f + i)


@njit(cache=True)
def _pace(r: Array) -> float:
    """A fifth of the fastest rate's own time."""
    fastest = max(r[0] + r[1] + r[2] + r[3], r[5] + r[6] + r[7] + r[8])
    return float(0.2 / max(fastest, 1e-12))


@njit(cache=True)
def _paths(table: Array, x0: Array, y0: Array, periods: int, steps: int) -> Array:
    out = np.empty((periods + 1, x0.size, 2))
    for i in range(x0.size):
        x, y, r = x0[i], y0[i], table[i]
        out[0, i, 0], out[0, i, 1] = x, y
        parts = max(steps, int(np.ceil(1.0 / _pace(r))))
        for t in range(periods):
            for _ in range(parts):
                x, y = _step(r, x, y, 1.0 / parts)
            out[t + 1, i, 0], out[t + 1, i, 1] = x, y
    return out


@njit(cache=True)
def _settle(r: Array, x: float, y: float) -> tuple[float, float]:
    """The state a start ends in: cooperative equations always settle."""
    h = _pace(r)
    for _ in range(200_000):
        x, y = _step(r, x, y, h)
        dx, dy = _flow(r, x, y)
        if abs(dx) + abs(dy) < 1e-10 / h:
            break
    return x, y


@njit(cache=True)
def _critical(table: Array, brands: Array) -> Array:
    out = np.empty(brands.size)
    for i in range(brands.size):
        r, y0 = table[i], brands[i]
        top, _ = _settle(r, 1.0, 1.0)
        bottom, _ = _settle(r, 0.0, 0.0)
        if top - bottom < 1e-6:
            out[i] = 0.0 if top > 0.5 else np.inf
            continue
        between = (top + bottom) / 2
        if _settle(r, 0.0, y0)[0] > between:
            out[i] = 0.0
            continue
        if _settle(r, 1.0, y0)[0] < between:
            out[i] = np.inf
            continue
        low, high = 0.0, 1.0
        for _ in range(40):
            middle = (low + high) / 2
            if _settle(r, middle, y0)[0] > between:
                high = middle
            else:
                low = middle
        out[i] = (low + high) / 2
    return out


@njit(cache=True)
def _backwards(r: Array, x: float, y: float) -> Array:
    """States that led here, until one leaves the unit square."""
    out = np.empty((20_000, 2))
    n = 0
    h = _pace(r) / 4
    while n < 20_000:
        a, b = _step(r, x, y, -h)
        inside = 0.0 <= a <= 1.0 and 0.0 <= b <= 1.0
        if not inside:
            # The last step shortened to end on the border.
            part = 1.0
            if a < 0.0:
                part = min(part, x / (x - a))
            if a > 1.0:
                part = min(part, (1.0 - x) / (a - x))
            if b < 0.0:
                part = min(part, y / (y - b))
            if b > 1.0:
                part = min(part, (1.0 - y) / (b - y))
            out[n, 0], out[n, 1] = x + part * (a - x), y + part * (b - y)
            n += 1
            break
        x, y = a, b
        out[n, 0], out[n, 1] = x, y
        n += 1
    return out[:n]

"""A staged investment: wait, pilot and learn, roll out, or leave.

What can be won is members x their margin, and neither is known: the reach of the platform moves
with the market, the margin of a member starts low (below zero, perhaps) and recovers, and how
well the store's own offer works is only learnt by a pilot. Solved by least-squares Monte Carlo
with regression later (Glasserman & Yu 2004): values are fitted at the date they are reached, on
functions whose expectation a date earlier is known in closed form. The policy is then valued on
other paths, a lower bound; the same functions give a martingale, and with it the information
relaxation of Rogers (2002), Haugh & Kogan (2004) and Brown, Smith & Sun (2010) gives an upper
bound without nested simulation.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from o2o_research.domain import require
from o2o_research.models.investment.exercise import Valuation
from o2o_research.models.numerics import Array

Index = NDArray[np.intp]
ACTS = ("leave", "wait", "pilot", "invest")
# How many kinks a fitted value may have in the members.
_KINKS = 9


@dataclass(frozen=True, kw_only=True)
class Staged:
    """An investment with a pilot, decided again every period until the possibility is gone.

    Drifts carry the price of risk (members' growth less their risk premium), so that money is
    discounted at the riskless rate alone.

    Parameters
    ----------
    members : active members a full roll-out would have today, > 0. [x]
    growth : risk-adjusted growth of that number a year. [mu]
    volatility : of that growth, a year, >= 0. [s]
    margin : yuan a member and year today, any sign. [g]
    normal_margin : yuan a member and year to which it recovers. [G]
    recovery_rate : a year, > 0; the gap halves in ln 2 / rate years. [kappa]
    margin_noise : yuan, standard deviation of the margin's shocks a year, >= 0
    rate : riskless, a year, >= 0. [r]
    fading : rate a year at which a rolled-out platform loses its base, with rate > -fading. [delta]
    quality_spread : standard deviation of the logarithm of the store's quality, >= 0. [tau]
    signal_noise : standard deviation of what one pilot period tells of it, > 0. [eta]
    pilot_cost : yuan to start, pilot or whole, >= 0. [I1]
    roll_out_cost : yuan more for the whole, > 0. [I2]
    pilot_share : share of the members a pilot serves, in [0, 1)
    pilot_rate : yuan a year of running the pilot, >= 0
    holding_rate : yuan a year of staying ready without one, >= 0
    salvage : yuan back on leaving from the pilot, >= 0
    rival_rate : hazard a year of a rival's entry before the roll-out, >= 0. [h]
    kept_share : share of the prize then left, in [0, 1]. [k]
    period : years between decisions, > 0
    periods : decisions after the first, >= 1
    pilot_periods : periods a pilot goes on telling, >= 1

    Raises
    ------
    ValueError
        A parameter outside its domain, such as a negative investment, by name.
    """

    members: float
    growth: float
    volatility: float
    margin: float
    normal_margin: float
    recovery_rate: float
    margin_noise: float
    rate: float
    fading: float
    quality_spread: float
    signal_noise: float
    pilot_cost: float
    roll_out_cost: float
    pilot_share: float
    pilot_rate: float
    holding_rate: float
    salvage: float
    rival_rate: float
    kept_share: float
    period: float = 0.25
    periods: int = 16
    pilot_periods: int = 4

    def __post_init__(self) -> None:
        require(
            self,
            members="(0, inf)",
            growth="(-inf, inf)",
            volatility="[0, inf)",
            margin="(-inf, inf)",
            normal_margin="(-inf, inf)",
            recovery_rate="(0, inf)",
            margin_noise="[0, inf)",
            rate="[0, inf)",
            fading="(-inf, inf)",
            quality_spread="[0, inf)",
            signal_noise="(0, inf)",
            pilot_cost="[0, inf)",
            roll_out_cost="(0, inf)",
            pilot_share="[0, 1)",
            pilot_rate="[0, inf)",
            holding_rate="[0, inf)",
            salvage="[0, inf)",
            rival_rate="[0, inf)",
            kept_share="[0, 1]",
            period="(0, inf)",
            periods="[1, 400]",
            pilot_periods="[1, 40]",
        )
        if not self.rate + self.fading > 0:
            raise ValueError(
                f"Staged: rate + fading = {self.rate + self.fading:g} must be > 0, or a member is worth "
                "more than any sum"
            )
        if self.salvage > self.pilot_cost:
            raise ValueError(
                f"Staged: salvage={self.salvage:g} must not exceed pilot_cost={self.pilot_cost:g}"
            )

    @property
    def worth(self) -> tuple[float, float]:
        """Yuan of a member rolled out at margin g: first + second x g.

        The integral of e^(-(r + delta) u) E[g_u], with E[g_u] = G + (g - G) e^(-kappa u).
        """
        fade = self.rate + self.fading
        slope = 1.0 / (fade + self.recovery_rate)
        return self.normal_margin * (1.0 / fade - slope), slope

    def prize(self, members: Array | float, margin: Array | float) -> Array:
        """What a roll-out is worth before its cost, yuan."""
        base, slope = self.worth
        return np.asarray(np.asarray(members) * (base + slope * np.asarray(margin)))

    @property
    def now_or_never(self) -> float:
        """The classical rule: roll out today if that is worth more than it costs, else nothing."""
        return max(float(self.prize(self.members, self.margin)) - self.pilot_cost - self.roll_out_cost, 0.0)  # fmt: skip

    def without(self, **changed: float) -> Staged:
        """The same with some parameters changed."""
        return Staged(**({each.name: getattr(self, each.name) for each in fields(self)} | changed))

    # The dynamics, in units of today's members (z) and of the margin's spread (u)

    @property
    def _margin_unit(self) -> float:
        settled = self.margin_noise / np.sqrt(2 * self.recovery_rate)
        return float(max(abs(self.margin - self.normal_margin), settled, 1e-9))

    def _margin_step(self) -> tuple[float, float]:
        """Persistence and standard deviation of u over a period."""
        kept = float(np.exp(-self.recovery_rate * self.period))
        noise = self.margin_noise * np.sqrt((1 - kept**2) / (2 * self.recovery_rate))
        return kept, float(noise / self._margin_unit)

    def _learnt(self, age: int) -> float:
        """Variance by which the logarithm of the expected quality moves in pilot period ``age``."""
        spread, noise = self.quality_spread**2, self.signal_noise**2
        if age > self.pilot_periods or spread == 0:
            return 0.0
        left = [1.0 / (1.0 / spread + k / noise) for k in (age - 1, age)]
        return left[0] - left[1]

    def _step_variance(self, age: int) -> float:
        """Variance of ln z over the period that ends at pilot age ``age``; 0 is waiting."""
        return self.volatility**2 * self.period + (self._learnt(age) if age else 0.0)

    def simulate(self, paths: int, rng: np.random.Generator) -> Scenes:
        """Markets, margins, signals and the rival's entry, whatever the firm does."""
        dt, n = self.period, self.periods
        steps = rng.standard_normal((n, paths)) * self.volatility * np.sqrt(dt)
        reach = np.exp(np.cumsum(steps + (self.growth - 0.5 * self.volatility**2) * dt, axis=0))
        kept, noise = self._margin_step()
        u = np.empty((n + 1, paths))
        u[0] = (self.margin - self.normal_margin) / self._margin_unit
        for t in range(n):
            u[t + 1] = kept * u[t] + noise * rng.standard_normal(paths)
        moves = np.array([self._learnt(j) for j in range(1, self.pilot_periods + 1)])[:, None]
        told = np.sqrt(moves) * rng.standard_normal((self.pilot_periods, paths)) - 0.5 * moves
        quality = np.exp(np.vstack([np.zeros(paths), np.cumsum(told, axis=0)]))
        entry = rng.exponential(1.0, paths) / max(self.rival_rate, 1e-300)
        return Scenes(np.vstack([np.ones(paths), reach]), u, quality, np.ceil(entry / dt))

    def solve(self, rng: np.random.Generator, paths: int = 4000) -> Plan:
        """The policy, fitted on ``paths`` simulated paths.

        Returns
        -------
        Plan; ask it for ``lower_bound`` and ``upper_bound`` on other paths
        """
        scenes = self.simulate(paths, rng)
        plan = Plan(self, {}, {})
        for t in range(self.periods, 0, -1):
            for age in range(min(t, self.pilot_periods) + 1):
                z, u = scenes.reach[t] * scenes.quality[age], scenes.margin[t]
                spots = np.unique(np.quantile(z, np.linspace(0.02, 0.98, _KINKS)))
                plan.kinks[t, age] = spots if np.ptp(spots) > 1e-9 else spots[:1]
                both = np.stack([plan.acts(t, age, z, u, rival).max(axis=0) for rival in (False, True)], axis=1)  # fmt: skip
                design = _functions(z, u, plan.kinks[t, age])
                plan.fitted[t, age] = _least_squares(design, both)
        return plan


class Scenes(NamedTuple):
    """What happens on each path, whatever the firm does.

    reach : ndarray, shape (periods + 1, paths), over today's
    margin : ndarray, likewise, distance from normal in its unit
    quality : ndarray, shape (pilot_periods + 1, paths), expected by age of the pilot
    entry : ndarray, shape (paths,), the period from which the rival is in
    """

    reach: Array
    margin: Array
    quality: Array
    entry: Array

    def state(self, t: int, age: int, at: Index) -> tuple[Array, Array, NDArray[np.bool_]]:
        """Members, margin and whether the rival is in, at a date and age of the pilot."""
        return self.reach[t, at] * self.quality[age, at], self.margin[t, at], self.entry[at] <= t


class Course(NamedTuple):
    """How a policy ends: its value, and on which share of the paths what came of it.

    value : Valuation, yuan, a lower bound
    piloted, rolled_out, left : shares of the paths
    years : mean years until the roll-out where there is one
    """

    value: Valuation
    piloted: float
    rolled_out: float
    left: float
    years: float


@dataclass(frozen=True)
class Plan:
    """What to do in every state, from fitted values of being there.

    Parameters
    ----------
    case : Staged
    kinks, fitted : by (date, age of the pilot); 0 is no pilot. Coefficients have two columns,
        before and after the rival's entry
    """

    case: Staged
    kinks: dict[tuple[int, int], Array]
    fitted: dict[tuple[int, int], Array]

    def _ahead(
        self, t: int, age: int, z: Array, u: Array, rival: Array | NDArray[np.bool_] | bool
    ) -> Array:
        """Expected fitted value at date ``t`` and pilot age ``age``, as of the date before."""
        case = self.case
        kept, noise = case._margin_step()
        expected = _functions(
            z * np.exp(case.growth * case.period), kept * u, self.kinks[t, age],
            case._step_variance(age), noise**2,
        ) @ self.fitted[t, age]  # fmt: skip
        alone = np.exp(-case.rival_rate * case.period)
        mixed = alone * expected[:, 0] + (1 - alone) * expected[:, 1]
        return np.asarray(np.exp(-case.rate * case.period) * np.where(rival, expected[:, 1], mixed))

    def acts(
        self, t: int, age: int, z: Array, u: Array, rival: Array | NDArray[np.bool_] | bool
    ) -> Array:
        """Value of each of ``ACTS`` at date ``t``, -inf where it is not open. Shape (4, paths)."""
        case = self.case
        values = np.full((4, z.size), -np.inf)
        members, margin = case.members * z, case.normal_margin + case._margin_unit * u
        prize = case.prize(members, margin) * np.where(rival, case.kept_share, 1.0)
        values[0] = case.salvage if age else 0.0
        values[3] = prize - case.roll_out_cost - (0.0 if age else case.pilot_cost)
        if t < case.periods:
            following = min(age + 1, case.pilot_periods)
            earned = (case.pilot_share * members * margin - case.pilot_rate) * case.period
            values[2] = earned + self._ahead_after(t, age, following, z, u, rival)
            if not age:
                values[2] -= case.pilot_cost
                values[1] = self._ahead(t + 1, 0, z, u, rival) - case.holding_rate * case.period
        return values

    def _ahead_after(
        self,
        t: int,
        age: int,
        following: int,
        z: Array,
        u: Array,
        rival: Array | NDArray[np.bool_] | bool,
    ) -> Array:
        if age < following:
            return self._ahead(t + 1, following, z, u, rival)
        # A pilot past its last lesson goes on without learning.
        still = Plan(self.case.without(quality_spread=0.0), self.kinks, self.fitted)
        return still._ahead(t + 1, following, z, u, rival)

    @property
    def today(self) -> dict[str, float]:
        """What each act is worth today by the fitted values, yuan."""
        u = (self.case.margin - self.case.normal_margin) / self.case._margin_unit
        values = self.acts(0, 0, np.ones(1), np.array([u]), False)[:, 0]
        return dict(zip(ACTS, values.tolist(), strict=True))

    def lower_bound(self, rng: np.random.Generator, paths: int = 10_000) -> Course:
        """The policy followed on other paths than those it was fitted on.

        What the fitted values do by surprise on the way has mean 0 and is taken off: the same
        mean with far less noise.
        """
        case, scenes = self.case, self.case.simulate(paths, rng)
        received, discount = np.zeros(paths), np.exp(-case.rate * case.period)
        age, open_ = np.zeros(paths, int), np.ones(paths, bool)
        piloted, invested, when = np.zeros(paths, bool), np.zeros(paths, bool), np.zeros(paths)
        for t in range(case.periods + 1):
            for each in range(min(t, case.pilot_periods) + 1):
                at = np.flatnonzero(open_ & (age == each))
                if not at.size:
                    continue
                z, u, rival = scenes.state(t, each, at)
                choice = self.acts(t, each, z, u, rival).argmax(axis=0)
                paid = self._paid(each, z, u, rival)[choice, np.arange(at.size)]
                received[at] += discount**t * paid
                open_[at[(choice == 0) | (choice == 3)]] = False
                invested[at[choice == 3]], when[at[choice == 3]] = True, t * case.period
                following = min(each + 1, case.pilot_periods)
                for act, to in ((1, 0), (2, following)):
                    going = at[choice == act]
                    if going.size:
                        received[going] -= discount**t * self._surprise(scenes, t, each, to, going)
                running = at[choice == 2]
                piloted[running] = True
                # Marked by its sign, so that this date does not meet it again.
                age[running] = -following
            age = np.abs(age)
        mean = Valuation(float(received.mean()), float(received.std(ddof=1) / np.sqrt(paths)))
        years = float(when[invested].mean()) if invested.any() else float("nan")
        return Course(
            mean, float(piloted.mean()), float(invested.mean()), float(1 - invested.mean()), years
        )

    def _surprise(self, scenes: Scenes, t: int, age: int, to: int, at: Index) -> Array:
        """Fitted value reached at the next date less its expectation, as of date ``t``."""
        z, u, rival = scenes.state(t + 1, to, at)
        reached = _functions(z, u, self.kinks[t + 1, to]) @ self.fitted[t + 1, to]
        here = scenes.state(t, age, at)
        expected = self._ahead_after(t, age, to, *here) if to else self._ahead(t + 1, 0, *here)
        discount = np.exp(-self.case.rate * self.case.period)
        return np.asarray(discount * np.where(rival, reached[:, 1], reached[:, 0]) - expected)

    def _paid(self, age: int, z: Array, u: Array, rival: Array | NDArray[np.bool_] | bool) -> Array:
        """What each act pays at once. Shape (4, paths)."""
        case = self.case
        members, margin = case.members * z, case.normal_margin + case._margin_unit * u
        earned = (case.pilot_share * members * margin - case.pilot_rate) * case.period
        prize = case.prize(members, margin) * np.where(rival, case.kept_share, 1.0)
        return np.stack(
            [
                np.full(z.size, case.salvage if age else 0.0),
                np.full(z.size, -case.holding_rate * case.period),
                earned - (0.0 if age else case.pilot_cost),
                prize - case.roll_out_cost - (0.0 if age else case.pilot_cost),
            ]
        )

    def upper_bound(self, rng: np.random.Generator, paths: int = 4000) -> Valuation:
        """No policy is worth more: the best hindsight, less what hindsight is worth.

        Every move to the next date pays the difference of the fitted value reached and its
        expectation, known exactly; no policy without foresight gains or loses by that.
        """
        case, scenes = self.case, self.case.simulate(paths, rng)
        discount, n = np.exp(-case.rate * case.period), case.periods
        everybody = np.arange(paths)
        later: dict[int, Array] = {}
        for t in range(n, -1, -1):
            here = {}
            for age in range(min(t, case.pilot_periods) + 1):
                paid = self._paid(age, *scenes.state(t, age, everybody))
                best = np.maximum(paid[0], paid[3])
                if t < n:
                    following = min(age + 1, case.pilot_periods)
                    go = (
                        paid[2]
                        + discount * later[following]
                        - self._surprise(scenes, t, age, following, everybody)
                    )
                    best = np.maximum(best, go)
                    if not age:
                        wait = (
                            paid[1]
                            + discount * later[0]
                            - self._surprise(scenes, t, 0, 0, everybody)
                        )
                        best = np.maximum(best, wait)
                here[age] = best
            later = here
        return Valuation(float(later[0].mean()), float(later[0].std(ddof=1) / np.sqrt(paths)))


def _least_squares(design: Array, targets: Array) -> Array:
    """Coefficients from the normal equations, what is not identified left at 0."""
    size = np.sqrt(np.einsum("ij,ij->j", design, design))
    size[size == 0] = 1.0
    scaled = design / size
    at, vectors = np.linalg.eigh(scaled.T @ scaled)
    kept = at > 1e-13 * at[-1]
    weights = (vectors[:, kept].T @ (scaled.T @ targets)) / at[kept, None]
    return np.asarray(vectors[:, kept] @ weights / size[:, None])


def _functions(
    z: Array, u: Array, kinks: Array, variance: float = 0.0, noise: float = 0.0
) -> Array:
    """The fitted functions, or their expectation. Shape (paths, functions).

    1, z and (z - K)^+ for each kink K, times 1, u, u^2, u^3. With ``variance`` > 0 the expectation
    over a lognormal z of that mean and variance of its logarithm (Black's formula), with ``noise``
    > 0 over a normal u of that mean and variance.
    """
    if variance > 0:
        width = np.sqrt(variance)
        with np.errstate(divide="ignore"):
            upper = (np.log(z[:, None]) - np.log(kinks)) / width + 0.5 * width
        above = z[:, None] * special.ndtr(upper) - kinks * special.ndtr(upper - width)
    else:
        above = np.maximum(z[:, None] - kinks, 0.0)
    members = np.concatenate([np.ones((z.size, 1)), z[:, None], above], axis=1)
    margins = np.stack([np.ones_like(u), u, u**2 + noise, u**3 + 3 * u * noise], axis=1)
    return (members[:, :, None] * margins[:, None, :]).reshape(z.size, -1)

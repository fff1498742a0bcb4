"""A service connected in phases: hospitals sign, build, go live, and later join insurance.

Hospitals take up the plan by themselves and from each other (the mixed-influence model of Bass
1969, here over institutions); building and insurance take their own time; inside a live
hospital, patients take it up year by year. What a phase can move at most is what its payers
make of all visits. A stepped-wedge design (Hussey & Hughes 2007, Contemporary Clinical Trials
28:182-191) evaluates a roll-out that everyone joins in the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from o2o_research.domain import require

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class PhasedConnection:
    """A roll-out over hospitals, payers and patients; rates and times in years.

    Every parameter may be an array: they broadcast, and the path carries their shape.

    Parameters
    ----------
    innovation, imitation : float or ndarray
        Rate at which a hospital signs by itself, and for following others, >= 0. [p, q]
    signed_at_start : float or ndarray
        Share of hospitals signed at the start, in [0, 1].
    build_years : float or ndarray
        Mean time from signing to going live for self-payers, > 0.
    insurance_years : float or ndarray
        Mean time from going live to settling insurance in the same hospital, > 0; it counts
        from ``insurance_opens``.
    insurance_opens : float or ndarray
        Years until insurers can be connected at all, >= 0.
    self_pay_share : float or ndarray
        Share of visits paid by the patient, in [0, 1].
    ready_share : float or ndarray
        Share of patients who would ever do it by phone, in [0, 1].
    uptake_rate : float or ndarray
        Rate at which ready patients of a connected hospital and payer take it up, > 0.

    Examples
    --------
    >>> plan = PhasedConnection(innovation=0.02, imitation=0.5, signed_at_start=0.01,
    ...     build_years=1.0, insurance_years=2.0, insurance_opens=2.0, self_pay_share=0.4,
    ...     ready_share=0.6, uptake_rate=0.7)
    >>> round(float(plan.first_phase_ceiling), 2), round(float(plan.second_phase_ceiling), 2)
    (0.24, 0.6)
    """

    innovation: ArrayLike
    imitation: ArrayLike
    signed_at_start: ArrayLike
    build_years: ArrayLike
    insurance_years: ArrayLike
    insurance_opens: ArrayLike
    self_pay_share: ArrayLike
    ready_share: ArrayLike
    uptake_rate: ArrayLike

    def __post_init__(self) -> None:
        require(
            self,
            innovation="[0, inf)",
            imitation="[0, inf)",
            signed_at_start="[0, 1]",
            build_years="(0, inf)",
            insurance_years="(0, inf)",
            insurance_opens="[0, inf)",
            self_pay_share="[0, 1]",
            ready_share="[0, 1]",
            uptake_rate="(0, inf)",
        )

    @property
    def first_phase_ceiling(self) -> Array:
        """Share of all visits that the phone can ever reach while only self-payers may use it."""
        return np.asarray(np.multiply(self.self_pay_share, self.ready_share), float)

    @property
    def second_phase_ceiling(self) -> Array:
        """The same with insurance connected everywhere."""
        return np.asarray(self.ready_share, float)

    def steps(self, *, step: float = 0.05) -> Iterator[Path]:
        """The state of the roll-out every ``step`` years, without end (Runge-Kutta, order 4).

        Of all hospitals: F signed, L live, N insured; of all visits: S by phone of self-payers,
        I by phone of the insured.
        F' = (p + q F)(1 - F);  L' = (F - L) / build;  N' = (L - N) / insurance once open;
        S' = u (ready L - S) per self-paid visit;  I' = u (ready N - I) per insured visit.
        """
        p, q, start, build, insure, opens, own, ready, uptake = (
            np.asarray(getattr(self, name), float) for name in self.__dataclass_fields__
        )
        shape = np.broadcast_shapes(
            *(v.shape for v in (p, q, start, build, insure, opens, own, ready, uptake))
        )
        zero = np.zeros(shape)
        state = np.stack([zero + start, zero, zero, zero, zero])
        time = 0.0

        def slope(at: float, x: Array) -> Array:
            signed, live, insured, self_use, insured_use = x
            # A step across the opening counts the open part of it.
            open_ = np.clip((at - opens) / step + 0.5, 0.0, 1.0)
            return np.stack(
                [
                    (p + q * signed) * (1 - signed),
                    (signed - live) / build,
                    open_ * (live - insured) / insure,
                    uptake * (ready * live - self_use),
                    uptake * (ready * insured - insured_use),
                ]
            )

        while True:
            signed, live, insured, self_use, insured_use = state
            yield Path(
                years=np.asarray(time),
                signed=signed,
                live=live,
                insured=insured,
                self_paid_visits=own * self_use,
                insured_visits=(1 - own) * insured_use,
            )
            first = slope(time, state)
            second = slope(time + step / 2, state + step / 2 * first)
            third = slope(time + step / 2, state + step / 2 * second)
            fourth = slope(time + step, state + step * third)
            state = state + step / 6 * (first + 2 * second + 2 * third + fourth)
            time += step

    def path(self, years: float, *, every: float = 0.25, step: float = 0.05) -> Path:
        """The roll-out to a horizon. Arrays have shape (times, ...) with the parameters' shape.

        Raises
        ------
        ValueError
            A horizon below ``every``.
        """
        if not 0 < every <= years:
            raise ValueError(f"path: every={every} must lie in (0, years={years}]")
        skip = max(1, round(every / step))
        wanted = round(years / every) + 1
        kept = []
        for number, state in enumerate(self.steps(step=every / skip)):
            if number % skip == 0:
                kept.append(state)
            if len(kept) == wanted:
                break
        return Path(
            **{
                name: np.stack([getattr(one, name) for one in kept])
                for name in Path.__dataclass_fields__
            }
        )


@dataclass(frozen=True, kw_only=True)
class Path:
    """A roll-out over time.

    Parameters
    ----------
    years : ndarray, shape (times,)
    signed, live, insured : ndarray, shape (times, ...), shares of hospitals
    self_paid_visits, insured_visits : ndarray, shape (times, ...), shares of all visits
    """

    years: Array
    signed: Array
    live: Array
    insured: Array
    self_paid_visits: Array
    insured_visits: Array

    @property
    def reached(self) -> Array:
        """Share of all visits of all hospitals that run by phone."""
        return np.asarray(self.self_paid_visits + self.insured_visits)

    def years_until(self, share: ArrayLike) -> Array:
        """When ``reached`` first passes a share, by interpolation; inf if never on this path."""
        above = self.reached >= np.asarray(share, float)
        first = np.argmax(above, axis=0)
        before = np.maximum(first - 1, 0)
        y1 = np.take_along_axis(self.reached, first[None], axis=0)[0]
        y0 = np.take_along_axis(self.reached, before[None], axis=0)[0]
        t1, t0 = self.years[first], self.years[before]
        part = np.where(
            y1 > y0, (np.asarray(share, float) - y0) / np.where(y1 > y0, y1 - y0, 1), 0.0
        )
        when = np.where(first > 0, t0 + part * (t1 - t0), 0.0)
        return np.where(above.any(axis=0), when, np.inf)


@dataclass(frozen=True, kw_only=True)
class SteppedWedge:
    """Clusters that cross over to the service in waves, measured every period.

    Parameters
    ----------
    waves : int
        How many waves, >= 1; one period before the first, so waves + 1 periods. [T - 1]
    clusters_per_wave : int or ndarray
        Hospitals that go live together, >= 1.
    patients : float or ndarray
        Patients measured a hospital and period, > 0. [N]
    between : float or ndarray
        Standard deviation between hospitals, >= 0. [tau]
    within : float or ndarray
        Standard deviation between patients of a hospital, > 0. [sigma_e]

    Examples
    --------
    >>> design = SteppedWedge(waves=4, clusters_per_wave=3, patients=100, between=6, within=30)
    >>> round(float(design.effect_stderr), 3)
    1.392
    """

    waves: int
    clusters_per_wave: ArrayLike
    patients: ArrayLike
    between: ArrayLike
    within: ArrayLike

    def __post_init__(self) -> None:
        require(
            self,
            waves="[1, inf)",
            clusters_per_wave="[1, inf)",
            patients="(0, inf)",
            between="[0, inf)",
            within="(0, inf)",
        )

    @property
    def effect_stderr(self) -> Array:
        """Standard error of the effect, period effects estimated (Hussey & Hughes 2007).

        Var = I s^2 (s^2 + T t^2) / ((I U - W) s^2 + (U^2 + I T U - T W - I V) t^2), with
        s^2 = sigma_e^2 / N, U, W, V the sums of the design over cells, squared columns and
        squared rows.
        """
        periods = self.waves + 1
        each = np.asarray(self.clusters_per_wave, float)
        clusters = each * self.waves
        on = np.arange(periods)[None, :] > np.arange(self.waves)[:, None]
        u = each * on.sum()
        w = each**2 * float((on.sum(axis=0) ** 2).sum())
        v = each * float((on.sum(axis=1) ** 2).sum())
        cell = np.asarray(self.within, float) ** 2 / np.asarray(self.patients, float)
        tau = np.asarray(self.between, float) ** 2
        top = clusters * cell * (cell + periods * tau)
        bottom = (clusters * u - w) * cell
        bottom = bottom + (u**2 + clusters * periods * u - periods * w - clusters * v) * tau
        return np.asarray(np.sqrt(top / bottom))

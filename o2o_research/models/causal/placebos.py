"""Compiled loops that refit many placebos from Gram matrices computed once."""

from __future__ import annotations

import numpy as np
from numba import njit

from o2o_research.models.causal.simplex import gram_from, wolfe


@njit(cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def _complement(members, units):  # type: ignore[no-untyped-def]
    inside = np.zeros(units, np.bool_)
    for i in members:
        inside[i] = True
    rest = np.empty(units - members.size, np.int64)
    at = 0
    for j in range(units):
        if not inside[j]:
            rest[at] = j
            at += 1
    return rest


@njit(cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def _towards(gram, members):  # type: ignore[no-untyped-def]
    towards = np.zeros(gram.shape[0])
    for i in members:
        towards += gram[i] / members.size
    square = 0.0
    for i in members:
        square += towards[i] / members.size
    return towards, square


@njit(cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def sc_sets(outcome, sets, first):  # type: ignore[no-untyped-def]
    """Effect, RMSPE before and after of the synthetic control of each set."""
    units, periods = outcome.shape
    before = np.ascontiguousarray(outcome[:, :first])
    gram = before @ before.T
    effects, fit, miss = np.empty(len(sets)), np.empty(len(sets)), np.empty(len(sets))
    for s in range(len(sets)):
        donors = _complement(sets[s], units)
        towards, square = _towards(gram, sets[s])
        weights, _ = wolfe(gram_from(gram, donors, towards, square))
        path = np.zeros(periods)
        for i in sets[s]:
            path += outcome[i] / sets.shape[1]
        for a in range(donors.size):
            if weights[a] > 0.0:
                path -= weights[a] * outcome[donors[a]]
        effects[s] = path[first:].mean()
        fit[s] = np.sqrt((path[:first] ** 2).mean())
        miss[s] = np.sqrt((path[first:] ** 2).mean())
    return effects, fit, miss


@njit(cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def sdid_sets(outcome, sets, first, penalty):  # type: ignore[no-untyped-def]
    """Effect, unit weights, time weights and duality gap of each set."""
    units = outcome.shape[0]
    size = sets.shape[1]
    level = np.empty((units, first))
    ends = np.empty((units, first + 1))
    after = np.empty(units)
    for i in range(units):
        after[i] = outcome[i, first:].mean()
        level[i] = outcome[i, :first] - outcome[i, :first].mean()
        ends[i, :first] = outcome[i, :first]
        ends[i, first] = after[i]
    gram = level @ level.T
    total = ends.T @ ends
    ridge = penalty * penalty * first
    effects, gaps = np.empty(len(sets)), np.empty(len(sets))
    unit_weights, time_weights = np.empty((len(sets), units - size)), np.empty((len(sets), first))
    for s in range(len(sets)):
        donors = _complement(sets[s], units)
        towards, square = _towards(gram, sets[s])
        mixed = gram_from(gram, donors, towards, square)
        for a in range(donors.size):
            mixed[a, a] += ridge
        omega, gap = wolfe(mixed, ridge > 0.0)
        # Columns centred over the donors: downdate the products of all units by the set.
        left = total.copy()
        mean = np.zeros(first + 1)
        for a in range(donors.size):
            mean += ends[donors[a]] / donors.size
        for i in sets[s]:
            left -= np.outer(ends[i], ends[i])
        left -= donors.size * np.outer(mean, mean)
        columns = np.arange(first)
        lam, other = wolfe(gram_from(left, columns, left[:, first], left[first, first]))
        effect = 0.0
        for i in sets[s]:
            effect += (after[i] - (outcome[i, :first] * lam).sum()) / size
        for a in range(donors.size):
            if omega[a] > 0.0:
                effect -= omega[a] * (after[donors[a]] - (outcome[donors[a], :first] * lam).sum())
        effects[s] = effect
        gaps[s] = max(gap, other)
        unit_weights[s] = omega
        time_weights[s] = lam
    return effects, unit_weights, time_weights, gaps


@njit(cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def conformal(controls, target, first, candidates, left):  # type: ignore[no-untyped-def]
    """p-value of each candidate constant effect by cyclic shifts of the residuals.

    ``left``, shape (periods, periods), is what an augmentation leaves of a residual path.
    """
    n, periods = controls.shape
    gram = controls @ controls.T
    towards = controls @ target
    lifted = np.zeros(n)
    for t in range(first, periods):
        lifted += controls[:, t]
    square, cross = (target**2).sum(), target[first:].sum()
    donors = np.arange(n)
    p_values = np.empty(candidates.size)
    for c in range(candidates.size):
        effect = candidates[c]
        moved = towards - effect * lifted
        length = square - 2 * effect * cross + effect * effect * (periods - first)
        weights, _ = wolfe(gram_from(gram, donors, moved, length))
        residual = target.copy()
        residual[first:] -= effect
        for a in range(n):
            if weights[a] > 0.0:
                residual -= weights[a] * controls[a]
        size = np.abs(left @ residual)
        observed = size[first:].sum()
        count = 0
        for shift in range(periods):
            shifted = 0.0
            for t in range(first, periods):
                shifted += size[(t + shift) % periods]
            if shifted >= observed * (1 - 1e-12):
                count += 1
        p_values[c] = count / periods
    return p_values


@njit(cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def predictor_loss(steps, distance, outer):  # type: ignore[no-untyped-def]
    """Mean squared outcome gap of the weights that predictor importance exp(steps) gives."""
    importance = np.exp(steps - steps.max())
    scaled = distance * np.sqrt(importance / importance.sum())
    weights, _ = wolfe(scaled @ scaled.T)
    return weights @ (outer @ weights)

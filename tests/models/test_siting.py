"""Siting plans against enumeration and their own bounds."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from o2o_research.models.numerics import NotConverged, integer_program
from o2o_research.models.siting import Siting, crow_distances, rank_size_cities


def country(cities=9, seed=0):
    size, place = rank_size_cities(cities, 1000.0, 100.0, np.random.default_rng(seed))
    return Siting(weight=size, distance=crow_distances(place, place))


@pytest.mark.parametrize("centres", [1, 2, 3, 5])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_p_median_is_the_best_of_all_sets(centres, seed):
    here = country(seed=seed)
    plan, tried = here.median(centres), here.enumerated(centres)
    assert plan.value == pytest.approx(tried.value, rel=1e-9)
    assert plan.sites.tolist() == tried.sites.tolist()
    assert plan.gap == 0.0
    assert plan.bound == pytest.approx(plan.value, rel=1e-6)


@pytest.mark.parametrize("centres", [1, 2, 4])
def test_maximal_covering_is_the_best_of_all_sets(centres):
    here = country(10, 3)
    plan = here.cover(centres, 25.0)
    best = max(here.covered_share(each, 25.0) for each in combinations(range(10), centres))
    assert plan.value == pytest.approx(best, rel=1e-9)
    assert plan.gap == 0.0


def test_more_centres_never_serve_worse():
    here = country(15, 4)
    means = [here.median(p).value for p in range(1, 8)]
    covered = [here.cover(p, 20.0).value for p in range(1, 8)]
    assert np.all(np.diff(means) < 0)
    assert np.all(np.diff(covered) >= 0)
    assert here.median(15).value == 0.0


def test_candidates_need_not_be_places():
    here = Siting(
        weight=np.array([1.0, 3.0]), distance=np.array([[5.0, 1.0, 9.0], [2.0, 3.0, 0.5]])
    )
    assert here.median(1).sites.tolist() == [1]
    assert here.median(2).value == pytest.approx((1 * 1.0 + 3 * 0.5) / 4)
    assert here.cover(1, 2.0).value == pytest.approx(0.75)


def test_a_plan_does_not_depend_on_units_or_order():
    here = country(12, 5)
    order = np.random.default_rng(1).permutation(12)
    scaled = Siting(
        weight=7.0 * here.weight[order], distance=10.0 * here.distance[np.ix_(order, order)]
    )
    assert scaled.median(3).value == pytest.approx(10.0 * here.median(3).value, rel=1e-9)
    assert sorted(order[scaled.median(3).sites]) == here.median(3).sites.tolist()


def test_sixty_cities_are_solved_to_no_gap():
    here = country(60, 6)
    assert here.median(8).gap == 0.0


def test_sizes_follow_the_rank_size_rule():
    size, place = rank_size_cities(100, 500.0, 10.0, np.random.default_rng(0))
    assert size[9] == pytest.approx(50.0)
    assert place.min() >= 0
    assert place.max() <= 10


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: country().median(0), "centres=0"),
        (lambda: country().median(10), r"centres=10 must lie in \[1, 9\]"),
        (lambda: country().cover(1, -1.0), "radius=-1"),
        (lambda: Siting(weight=np.ones(2), distance=np.ones((3, 2))), r"weight \(2,\)"),
        (lambda: Siting(weight=np.zeros(2), distance=np.ones((2, 2))), "nobody to serve"),
        (lambda: Siting(weight=np.ones(2), distance=-np.ones((2, 2))), "distance=-1"),
        (lambda: rank_size_cities(0, 1.0, 1.0, np.random.default_rng(0)), "cities=0"),
    ],
    ids=["none", "many", "radius", "shapes", "nobody", "distance", "cities"],
)  # fmt: skip
def test_bad_input_is_refused_by_name(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_an_integer_program_without_a_point_is_not_answered():
    with pytest.raises(NotConverged, match="nowhere"):
        integer_program([1.0], [([[1.0]], 2.0, 3.0)], whole=[True], what="nowhere")

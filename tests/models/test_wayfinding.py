"""Ways through a hospital: shortest paths, erring walkers, and the shipped plan."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from o2o_research.data.plans import read_hospital_plan
from o2o_research.errors import DataError
from o2o_research.models.wayfinding import Plan, Walker, visit_minutes


@pytest.fixture(scope="module")
def hospital():
    plan = read_hospital_plan()
    return Plan(places=plan.places, start=plan.start, end=plan.end, seconds=plan.seconds), plan


def test_a_wrong_turn_into_a_dead_end_costs_what_the_geometric_series_says():
    # From the junction, right to the desk (10 s) or wrong to one of two dead ends (5 s, and back):
    # each error costs 10 s, and e / (1 - e) errors are expected.
    plan = Plan(
        places=("junction", "desk", "cellar", "attic"),
        start=np.array([0, 0, 0]),
        end=np.array([1, 2, 3]),
        seconds=np.array([10.0, 5.0, 5.0]),
    )
    lost = Walker(error_share=0.4).expected(plan, "desk")[0]
    assert lost == pytest.approx(10 + 0.4 / 0.6 * 10)
    asking = Walker(error_share=0.4, ask_share=0.5, ask_seconds=3).expected(plan, "desk")[0]
    # Every stand at the junction asks half the time; errors happen with .2.
    assert asking == pytest.approx(10 + 0.2 / 0.8 * 10 + 0.5 * 3 / 0.8)


def test_who_never_errs_walks_the_shortest_path(hospital):
    plan, _ = hospital
    expected = Walker(error_share=0).expected(plan, "pharmacy")
    np.testing.assert_allclose(expected, plan.times[:, plan.index("pharmacy")])


def test_shortest_times_equal_floyd_and_warshall(hospital):
    plan, _ = hospital
    size = len(plan.places)
    times = np.full((size, size), np.inf)
    np.fill_diagonal(times, 0)
    for a, b, seconds in zip(plan.start, plan.end, plan.seconds, strict=True):
        times[a, b] = times[b, a] = min(times[a, b], seconds)
    for k in range(size):
        times = np.minimum(times, times[:, k : k + 1] + times[k : k + 1, :])
    np.testing.assert_allclose(plan.times, times)


def test_expected_time_equals_the_mean_of_random_walks(hospital):
    plan, _ = hospital
    walker = Walker(error_share=0.25, ask_share=0.2, ask_seconds=15, pace=1.3)
    rng = np.random.default_rng(1)
    walks = np.array([walker.walk(plan, "entrance", "laboratory", rng) for _ in range(3000)])
    exact = walker.expected(plan, "laboratory")[plan.index("entrance")]
    assert abs(walks.mean() - exact) < 3.5 * walks.std() / np.sqrt(3000)


@settings(max_examples=15, deadline=None)
@given(error=st.floats(0, 0.4), more=st.floats(0.01, 0.3))
def test_more_errors_never_shorten_a_visit(hospital, error, more):
    plan, data = hospital
    better = Walker(error_share=error).route(plan, data.visit).sum()
    worse = Walker(error_share=error + more).route(plan, data.visit).sum()
    shortest = sum(
        plan.shortest(a, b) for a, b in zip(data.visit[:-1], data.visit[1:], strict=True)
    )
    assert shortest <= better + 1e-9
    assert better < worse


def test_arrays_of_errors_give_the_same_minutes_as_one_walker_each(hospital):
    plan, data = hospital
    errors, asking = np.array([0.03, 0.17, 0.4]), np.array([10.0, 25.0, 5.0])
    fast = visit_minutes(
        plan, data.visit, error_share=errors, ask_share=0.3, ask_seconds=asking, points=33
    )
    for number in range(3):
        walker = Walker(error_share=errors[number], ask_share=0.3, ask_seconds=asking[number])
        exact = walker.route(plan, data.visit).sum() / 60
        assert fast[number] == pytest.approx(exact, rel=1e-3)


def test_shipped_plan_is_of_real_size(hospital):
    plan, data = hospital
    assert 40 <= len(plan.places) <= 80
    assert plan.times.max() < 10 * 60
    assert {"registration", "pharmacy", "laboratory"} <= set(plan.places)
    assert set(data.visit) | set(data.visit_by_phone) <= set(plan.places)


def test_lift_is_waited_for_once_and_stairs_count_every_floor(hospital):
    plan, _ = hospital
    assert plan.shortest("lifts_1", "lifts_4") == 45 + 3 * 6
    assert plan.shortest("stairs_1w", "stairs_3w") == 40


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Walker(error_share=1.0), "error_share=1"),
        (lambda: Walker(error_share=0.1, pace=0), "pace=0"),
        (
            lambda: Plan(
                places=("a", "b", "c"),
                start=np.array([0]),
                end=np.array([1]),
                seconds=np.array([1.0]),
            ),
            "c cannot be reached",
        ),
        (
            lambda: Plan(
                places=("a", "a"),
                start=np.array([0]),
                end=np.array([1]),
                seconds=np.array([1.0]),
            ),
            "named twice: a",
        ),
        (
            lambda: Plan(
                places=("a", "b"),
                start=np.array([0]),
                end=np.array([7]),
                seconds=np.array([1.0]),
            ),
            "end=7",
        ),
    ],
)
def test_impossible_input_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_unknown_place_is_named(hospital):
    with pytest.raises(ValueError, match="place='moon'"):
        hospital[0].shortest("moon", "hall")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("floors: {}", "walking_speed"),
        ("[", "cannot be read"),
        (
            "{walking_speed: 1, lift_wait: 1, lift_per_floor: 1, stairs_per_floor: 1, "
            "floors: {1: {a: [0, 0]}}, ways: [[a, b]]}",
            "way a - b: no place b",
        ),
    ],
)
def test_plan_that_is_not_whole_is_refused(tmp_path, text, message):
    path = tmp_path / "plan.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(DataError, match=message):
        read_hospital_plan(path)

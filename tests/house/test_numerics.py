from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from o2o_research.models.numerics import (
    Fit,
    NotConverged,
    hessian,
    maximise_each,
    maximise_scalar,
    minimise,
    root,
)


def test_an_end_of_the_interval_can_be_the_best_point() -> None:
    assert maximise_scalar(lambda x: -x, 0.0, 1.0) == 0.0
    assert maximise_scalar(lambda x: x, 0.0, 1.0) == 1.0


@given(peak=st.floats(0.001, 0.999))
def test_the_maximum_of_a_parabola_is_found(peak: float) -> None:
    assert maximise_scalar(lambda x: -((x - peak) ** 2), 0.0, 1.0) == pytest.approx(peak, abs=1e-6)


def test_a_maximum_nowhere_finite_is_refused() -> None:
    with pytest.raises(NotConverged, match="finite nowhere"):
        maximise_scalar(lambda x: np.full_like(x, np.nan), 0.0, 1.0)


def test_the_maximum_of_each_of_many_curves_is_found_ends_exactly() -> None:
    peaks = np.random.default_rng(1).uniform(-0.5, 1.5, (40, 3))
    found = maximise_each(lambda x: -((x - peaks) ** 2), 0.0, 1.0, peaks.shape)
    inside = (peaks > 0) & (peaks < 1)
    np.testing.assert_allclose(found[inside], peaks[inside], atol=1e-7)
    assert np.all(found[peaks < 0] == 0)
    assert np.all(found[peaks > 1] == 1)
    assert maximise_each(lambda x: -((x - 0.3) ** 2), 0.0, 1.0, ()).shape == ()


def test_a_curve_nowhere_finite_among_many_is_refused() -> None:
    shift = np.array([0.0, np.nan])
    with pytest.raises(NotConverged, match="finite nowhere"):
        maximise_each(lambda x: x + shift, 0.0, 1.0, (2,))


def test_a_root_without_a_sign_change_is_refused_with_the_values() -> None:
    with pytest.raises(NotConverged, match=r"no sign change on \[1, 2\] \(values 1, 4\)"):
        root(lambda x: x * x, 1.0, 2.0)


def test_a_root_at_an_end_is_that_end() -> None:
    assert root(lambda x: x - 1.0, 1.0, 2.0) == 1.0


def test_a_search_cut_short_does_not_pass_for_solved() -> None:
    with pytest.raises(NotConverged, match="valley"):
        minimise(
            lambda x: (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2,
            [-1.2, 1.0],
            what="valley",
            max_steps=2,
        )


def test_an_optimum_that_is_not_finite_is_refused() -> None:
    with pytest.raises(NotConverged):
        minimise(lambda x: float("nan"), [0.0], what="nowhere")


def test_the_hessian_of_a_quadratic_is_its_matrix() -> None:
    matrix = np.array([[2.0, 0.3], [0.3, 1.0]])
    assert hessian(lambda x: matrix @ x, np.array([1.0, -2.0])) == pytest.approx(matrix, abs=1e-8)


def test_a_fit_gives_the_normal_interval() -> None:
    class Model:
        rate = 2.0

    low, high = Fit(Model(), {"rate": 0.5}, -1.0, 10).interval("rate", 0.95)
    assert (low, high) == pytest.approx((2 - 1.959964 * 0.5, 2 + 1.959964 * 0.5), abs=1e-5)

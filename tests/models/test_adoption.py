"""The phased roll-out against closed forms; the stepped wedge against its full regression."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from o2o_research.models.adoption import PhasedConnection, SteppedWedge

PLAN = {
    "innovation": 0.03,
    "imitation": 0.38,
    "signed_at_start": 0.0,
    "build_years": 1.0,
    "insurance_years": 2.0,
    "insurance_opens": 2.0,
    "self_pay_share": 0.4,
    "ready_share": 0.6,
    "uptake_rate": 0.7,
}


def test_signing_follows_the_closed_form_of_bass_1969():
    path = PhasedConnection(**PLAN).path(12)
    p, q, t = 0.03, 0.38, path.years
    decay = np.exp(-(p + q) * t)
    np.testing.assert_allclose(path.signed, (1 - decay) / (1 + q / p * decay), atol=1e-7)
    # At the peak of signing, ln(q/p)/(p+q) = 6.1926 years, F is 1/2 - p/(2q) = .46053.
    assert np.interp(6.1926, t, path.signed) == pytest.approx(0.46053, abs=1e-3)


def test_without_imitation_going_live_is_the_sum_of_two_exponential_waits():
    path = PhasedConnection(**PLAN | {"imitation": 0.0, "innovation": 0.5}).path(10)
    a, b, t = 0.5, 1.0, path.years
    np.testing.assert_allclose(
        path.live, 1 - (b * np.exp(-a * t) - a * np.exp(-b * t)) / (b - a), atol=1e-7
    )


def test_insurance_joins_as_a_wait_of_its_own_once_open():
    # All signed and practically all live at once: N' = (1 - N) / insurance from the opening on.
    path = PhasedConnection(
        **PLAN | {"signed_at_start": 1.0, "build_years": 0.02, "insurance_opens": 3.0}
    ).path(10, step=0.005)
    exact = np.where(path.years > 3, 1 - np.exp(-(path.years - 3) / 2), 0.0)
    np.testing.assert_allclose(path.insured, exact, atol=1e-3)


shares = st.floats(0, 1)


@settings(max_examples=15, deadline=None)
@given(
    innovation=st.floats(0, 0.2),
    imitation=st.floats(0, 1),
    signed=shares,
    build=st.floats(0.2, 4),
    insurance=st.floats(0.2, 6),
    opens=st.floats(0, 6),
    own=shares,
    ready=shares,
    uptake=st.floats(0.1, 3),
)
def test_stages_follow_one_another_and_stay_below_their_ceilings(
    innovation, imitation, signed, build, insurance, opens, own, ready, uptake
):
    plan = PhasedConnection(
        innovation=innovation,
        imitation=imitation,
        signed_at_start=signed,
        build_years=build,
        insurance_years=insurance,
        insurance_opens=opens,
        self_pay_share=own,
        ready_share=ready,
        uptake_rate=uptake,
    )
    path = plan.path(10)
    assert (path.signed >= path.live - 1e-9).all()
    assert (path.live >= path.insured - 1e-9).all()
    assert (path.self_paid_visits <= plan.first_phase_ceiling + 1e-9).all()
    assert (path.reached <= plan.second_phase_ceiling + 1e-9).all()
    assert (np.diff(path.reached, axis=0) >= -1e-9).all()
    assert (path.insured_visits[path.years <= opens] == 0).all()


def test_path_carries_the_shape_of_the_draws():
    draws = PhasedConnection(**PLAN | {"imitation": np.array([0.2, 0.5, 0.8])})
    path = draws.path(10)
    assert path.reached.shape == (41, 3)
    for number, imitation in enumerate((0.2, 0.5, 0.8)):
        alone = PhasedConnection(**PLAN | {"imitation": imitation}).path(10)
        np.testing.assert_allclose(path.reached[:, number], alone.reached)
    when = path.years_until(0.2)
    assert (np.diff(when) < 0).all()
    assert np.interp(when[1], path.years, path.reached[:, 1]) == pytest.approx(0.2)
    assert path.years_until(0.7).tolist() == [np.inf] * 3


@pytest.mark.parametrize(("between", "patients"), [(0.0, 50), (6.0, 100), (20.0, 400)])
@pytest.mark.parametrize(("waves", "each"), [(2, 1), (4, 3), (6, 2)])
def test_stepped_wedge_error_equals_that_of_the_full_regression(waves, each, between, patients):
    within, periods, clusters = 30.0, waves + 1, waves * each
    wave = np.repeat(np.arange(waves), each)
    treated = (np.arange(periods)[None, :] > wave[:, None]).astype(float).ravel()
    period = np.tile(np.eye(periods), (clusters, 1))
    design = np.column_stack([treated, period])
    block = within**2 / patients * np.eye(periods) + between**2
    inverse = np.kron(np.eye(clusters), np.linalg.inv(block))
    exact = np.sqrt(np.linalg.inv(design.T @ inverse @ design)[0, 0])
    wedge = SteppedWedge(
        waves=waves, clusters_per_wave=each, patients=patients, between=between, within=within
    )
    assert wedge.effect_stderr == pytest.approx(exact)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PhasedConnection(**PLAN | {"build_years": 0.0}), "build_years=0"),
        (lambda: PhasedConnection(**PLAN | {"ready_share": 1.3}), r"ready_share=1\.3"),
        (lambda: PhasedConnection(**PLAN).path(0.1), r"every=0\.25"),
        (
            lambda: SteppedWedge(waves=0, clusters_per_wave=1, patients=1, between=1, within=1),
            "waves=0",
        ),
    ],
)
def test_impossible_input_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()

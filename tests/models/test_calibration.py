"""Laws fitted to visit logs, against scipy, hand counts and a public log."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from o2o_research.models.calibration import (
    Gamma,
    VisitLog,
    distance,
    fit_clinic,
    fit_gamma,
    fit_lognormal,
)
from o2o_research.models.outpatients import KINDS, OutpatientDay, Phase


@pytest.mark.parametrize("variation", [0.2, 1.0, 3.0])
def test_gamma_fit_equals_that_of_scipy(variation):
    times = np.random.default_rng(1).gamma(1 / variation, 5 * variation, 3000)
    fit = fit_gamma(times)
    shape, _, scale = stats.gamma.fit(times, floc=0)
    assert fit.model.mean == pytest.approx(shape * scale, rel=1e-4)
    assert fit.model.variation_squared == pytest.approx(1 / shape, rel=1e-4)
    assert fit.log_likelihood == pytest.approx(stats.gamma.logpdf(times, shape, 0, scale).sum())
    assert abs(fit.model.variation_squared - variation) < 4 * fit.stderr["variation_squared"]


def test_lognormal_likelihood_equals_that_of_scipy():
    times = np.random.default_rng(2).lognormal(1.0, 0.7, 500)
    fit = fit_lognormal(times)
    exact = stats.lognorm.logpdf(times, fit.model.spread, scale=fit.model.median).sum()
    assert fit.log_likelihood == pytest.approx(exact)


def test_distance_equals_the_kolmogorov_statistic():
    times = np.random.default_rng(3).gamma(2.0, 3.0, 200)
    law = Gamma(mean=6.0, variation_squared=0.5)
    exact = stats.kstest(times, stats.gamma(2.0, scale=3.0).cdf).statistic
    assert distance(times, law) == pytest.approx(exact)


def test_routes_hours_and_conformance_of_three_patients_by_hand():
    log = VisitLog(
        patient=np.array([0, 0, 0, 1, 1, 2]),
        station=np.array([0, 1, 2, 0, 2, 0]),
        arrived=np.array([480.0, 490, 500, 485, 530, 2000]),
        started=np.array([481.0, 491, 500, 486, 531, 2001]),
        ended=np.array([482.0, 495, 505, 490, 540, 2002]),
    )
    np.testing.assert_allclose(log.routes(), [[0, 1 / 3, 1 / 3], [0, 0, 1], [0, 0, 0]])
    hours = log.arrivals_by_hour()
    assert hours[8] == 1.0  # two patients over two days
    assert hours[9] == 0.5  # minute 2,000 is 9:20 of the second day
    assert log.follows({(0, 1), (1, 2)}).tolist() == [True, False, True]


def test_emergency_log_is_calibrated_and_checked_for_conformance(shared_data):
    """1,050 recorded patients: registration comes first, then triage, for nearly everyone."""
    path = shared_data / "hospital" / "eventlog_sepsis.csv.gz"
    if not path.exists():
        pytest.skip("no emergency event log beside the project")
    columns = ["case_id", "activity", "timestamp", ".order"]
    frame = pd.read_csv(path, usecols=columns, keep_default_na=False)
    frame = frame.sort_values(["case_id", "timestamp", ".order"])
    chosen = frame[frame["activity"].isin(["ER Registration", "ER Triage", "ER Sepsis Triage"])]
    when = pd.to_datetime(chosen["timestamp"]).astype("int64").to_numpy() / 6e10
    who, _ = pd.factorize(chosen["case_id"])
    names = ["ER Registration", "ER Triage", "ER Sepsis Triage"]
    place = chosen["activity"].map(names.index).to_numpy()
    before = np.concatenate([[np.nan], when[:-1]])
    first = np.concatenate([[True], who[1:] != who[:-1]])
    began = np.where(first, when, before)
    log = VisitLog(patient=who, station=place, arrived=began, started=began, ended=when)
    routes = log.routes()
    assert routes[0, 1] > 0.9
    assert log.follows({(0, 1), (1, 2)}).mean() > 0.8
    waits = (when - began)[(place == 1) & ~first]
    waits = waits[waits > 0]
    gamma, lognormal = fit_gamma(waits), fit_lognormal(waits)
    # The better likelihood has the smaller distance: the picture and the number agree.
    better = gamma if gamma.log_likelihood > lognormal.log_likelihood else lognormal
    worse = lognormal if better is gamma else gamma
    assert distance(waits, better.model) < distance(waits, worse.model)
    assert distance(waits, better.model) < 0.1


@pytest.fixture(scope="module")
def week():
    """Five recorded days of one clinic, with a rota that thins out over lunch."""
    day = OutpatientDay(patients=1500, departments=1)
    logs = [
        day.run(day.draw(rng), Phase(self_pay=0, insured=0)).visit_log()
        for rng in np.random.default_rng(4).spawn(5)
    ]
    moved = {
        name: np.concatenate([getattr(log, name) + 1440 * k for k, log in enumerate(logs)])
        for name in ("arrived", "started", "ended")
    }
    patient = np.concatenate([log.patient + 1500 * k for k, log in enumerate(logs)])
    station = np.concatenate([log.station for log in logs])
    return day, VisitLog(patient=patient, station=station, **moved)


def test_rota_routes_and_laws_of_a_recorded_clinic_are_found_again(week):
    day, log = week
    clinic = fit_clinic(log, KINDS)
    for k, kind in enumerate(KINDS):
        staff = clinic.stations[k].rota[0]
        full = day.staff[kind]
        if kind == "registration":
            # Opens at half past seven; in the busy morning everyone on duty is seen.
            assert (staff[:15] == 0).all()
            assert (staff[16:22] == full).all()
            assert (staff[24:27] == round(0.4 * full)).all()
        assert staff.max() == pytest.approx(full, abs=1)
    doctor, test = KINDS.index("consulting"), KINDS.index("tests")
    again = len(KINDS) + doctor
    assert clinic.services[doctor].mean == pytest.approx(day.consult_minutes, rel=0.03)
    assert clinic.services[again].mean == pytest.approx(day.return_minutes, rel=0.03)
    assert clinic.ways[test].mean == pytest.approx(day.walk_minutes, rel=0.03)
    assert clinic.rates.sum() * 60 == pytest.approx(1500)
    assert clinic.onward[doctor].sum() == pytest.approx(1 - 0.5 * 0.2, abs=0.02)


def test_fitted_clinic_waits_as_the_recorded_one_did(week):
    _, log = week
    clinic = fit_clinic(log, KINDS)
    days = [clinic.simulate(rng) for rng in np.random.default_rng(5).spawn(12)]
    for kind in ("registration", "consulting"):
        k = KINDS.index(kind)
        waits = np.array([day.mean_wait(k) for day in days])
        # Five recorded days and twelve simulated ones, each with the spread of a day.
        error = waits.std(ddof=1) * np.sqrt(1 / 5 + 1 / 12)
        assert abs(waits.mean() - log.mean_wait(k)) < 3.5 * error
    # The line at registration peaks at the same half hour, and as high.
    minutes = np.arange(420.0, 1080.0, 30.0)
    recorded = log.queue_at(0, minutes)
    simulated = np.mean([day.queue_at(0, minutes) for day in days], axis=0)
    assert abs(int(recorded.argmax()) - int(simulated.argmax())) <= 1
    assert simulated.max() == pytest.approx(recorded.max(), rel=0.25)


def test_line_at_a_station_is_counted_as_by_hand(week):
    _, log = week
    here = log.station == 1
    for minute in (500.0, 615.0, 900.0):
        by_hand = [
            ((log.arrived <= minute + 1440 * d) & (log.started > minute + 1440 * d) & here).sum()
            for d in range(5)
        ]
        assert log.queue_at(1, [minute])[0] == pytest.approx(np.mean(by_hand))


def test_rare_steps_are_no_part_of_the_common_path(week):
    _, log = week
    assert log.follows(log.common_steps(0.0)).all()
    strict = log.follows(log.common_steps(0.4))
    assert 0.3 < strict.mean() < 0.9


def test_station_without_service_times_is_passed_at_once():
    log = VisitLog(
        patient=np.array([0, 0, 1, 1]),
        station=np.array([0, 1, 0, 1]),
        arrived=np.array([480.0, 490.0, 500.0, 505.0]),
        started=np.array([480.0, 490.0, 500.0, 505.0]),
        ended=np.array([480.0, 495.0, 500.0, 510.0]),
    )
    clinic = fit_clinic(log)
    assert clinic.services[0] is None
    assert clinic.services[1].mean == pytest.approx(5.0)
    assert np.isfinite(clinic.simulate(np.random.default_rng(1)).ended).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fit_gamma([1.0, -2.0]), "least -2"),
        (lambda: fit_gamma([3.0, 3.0]), "different times"),
        (lambda: fit_lognormal([]), "got 0"),
        (
            lambda: VisitLog(
                patient=np.zeros(1, int),
                station=np.zeros(1, int),
                arrived=np.array([5.0]),
                started=np.array([4.0]),
                ended=np.array([6.0]),
            ),
            "row 0: arrived=5, started=4",
        ),
    ],
)
def test_impossible_input_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()

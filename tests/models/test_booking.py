"""No-shows and overbooking, against closed forms, enumeration and real appointments out of time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from o2o_research.models.booking import (
    Forecast,
    NoShow,
    Overbooking,
    fill_sessions,
    fit_no_show,
    lead_time_knowns,
    probability_draws,
    session_costs,
    synthetic_appointments,
)


@pytest.fixture(scope="module")
def no_shows(shared_data):
    """Lead days, visit day and no-show of 110,527 appointments, bad rows (booked after) left out."""
    import pandas as pd

    path = shared_data / "hospital" / "medical_appointment_no_shows.csv.gz"
    if not path.exists():
        pytest.skip("no appointment log beside the project")
    frame = pd.read_csv(path, usecols=["ScheduledDay", "AppointmentDay", "No-show"])
    booked = pd.to_datetime(frame["ScheduledDay"]).dt.tz_localize(None).dt.normalize()
    visit = pd.to_datetime(frame["AppointmentDay"]).dt.tz_localize(None)
    lead = (visit - booked).dt.days.to_numpy()
    good = lead >= 0
    assert (~good).sum() == 5
    return lead[good], visit.to_numpy()[good], (frame["No-show"] == "Yes").to_numpy()[good]


def test_one_yes_no_known_gives_the_log_odds_of_the_table():
    # 2 x 2 table: the maximum likelihood slope is the log odds ratio, its error by Woolf's formula.
    known = np.repeat([0.0, 0.0, 1.0, 1.0], [80, 20, 50, 50])
    missed = np.repeat([False, True, False, True], [80, 20, 50, 50])
    fit = fit_no_show(known[:, None], missed, ridge=0.0)
    assert fit.model.intercept == pytest.approx(np.log(20 / 80), abs=1e-5)
    assert fit.model.slopes[0] == pytest.approx(np.log(4.0), abs=1e-5)
    assert fit.stderr["slope_0"] == pytest.approx(
        np.sqrt(1 / 80 + 1 / 20 + 1 / 50 + 1 / 50), rel=1e-4
    )
    assert fit.log_likelihood == pytest.approx(
        80 * np.log(0.8) + 20 * np.log(0.2) + 100 * np.log(0.5), rel=1e-9
    )


def test_fit_finds_the_law_that_made_the_data():
    rng = np.random.default_rng(1)
    lead = np.where(rng.random(60_000) < 0.35, 0, rng.exponential(12, 60_000).round())
    knowns = np.column_stack([lead_time_knowns(lead), rng.normal(40, 15, 60_000)])
    truth = NoShow(intercept=-1.5, slopes=np.array([-1.2, 0.2, -0.01]))
    missed = rng.random(60_000) < truth.probability(knowns)
    fit = fit_no_show(knowns, missed)
    for k in range(3):
        error = fit.stderr[f"slope_{k}"]
        assert abs(fit.model.slopes[k] - truth.slopes[k]) < 4 * error


@settings(max_examples=60, deadline=None)
@given(
    places=st.integers(1, 30),
    share=st.floats(0, 0.6),
    idle=st.floats(0.2, 5),
    overtime=st.floats(0.2, 5),
)
def test_best_bookings_and_cost_equal_enumeration(places, share, idle, overtime):
    session = Overbooking(
        places=places, no_show_share=share, idle_cost=idle, overtime_cost=overtime
    )
    tried = np.arange(places, 5 * places + 80)
    costs = []
    for n in tried:
        come = np.arange(n + 1)
        weight = binom.pmf(come, n, 1 - share)
        costs.append(
            (
                weight
                * (idle * np.maximum(places - come, 0) + overtime * np.maximum(come - places, 0))
            ).sum()
        )
    np.testing.assert_allclose(session.cost(tried), costs, rtol=1e-8, atol=1e-9)
    assert session.cost(session.best_bookings) == pytest.approx(min(costs), rel=1e-9, abs=1e-9)


def test_everybody_comes_so_nobody_is_overbooked():
    session = Overbooking(places=12, no_show_share=0.0, idle_cost=1, overtime_cost=1)
    assert session.best_bookings == 12
    assert session.saved == 0


def test_large_sessions_approach_the_normal_newsvendor():
    from scipy.stats import norm

    c, p, ratio = 4000, 0.2, 0.3
    session = Overbooking(places=c, no_show_share=p, idle_cost=ratio, overtime_cost=1 - ratio)
    # (1-p) n + z sd(n) = c at the critical ratio, to first order in sd.
    n = (c + norm.ppf(ratio) * np.sqrt(c * p)) / (1 - p)
    assert session.best_bookings == pytest.approx(n, abs=3)


def test_sessions_take_arrays_of_parameters():
    session = Overbooking(
        places=20, no_show_share=np.array([0.05, 0.2, 0.4]), idle_cost=1, overtime_cost=2
    )
    assert session.best_bookings.shape == (3,)
    assert (np.diff(session.best_bookings) > 0).all()
    assert (session.saved >= 0).all()


def test_discrimination_counts_pairs():
    rng = np.random.default_rng(2)
    p, missed = np.round(rng.random(60), 1), rng.random(60) < 0.4
    pairs = [(a > b) + 0.5 * (a == b) for a in p[missed] for b in p[~missed]]
    assert Forecast(probability=p, missed=missed).discrimination == pytest.approx(np.mean(pairs))


def test_true_probabilities_pass_the_calibration_test_and_others_do_not():
    rng = np.random.default_rng(3)
    p = rng.beta(2, 6, 20_000)
    missed = rng.random(20_000) < p
    assert Forecast(probability=p, missed=missed).calibration_p_value() > 0.01
    assert Forecast(probability=0.8 * p, missed=missed).calibration_p_value() < 1e-6
    assert Forecast(probability=np.full(20_000, 0.25), missed=missed).skill(0.25) == 0


def test_lead_time_forecasts_real_no_shows_out_of_time(no_shows):
    """Fitted on visits to the end of May 2016, tested on those in June."""
    lead, day, missed = no_shows
    early = day < np.datetime64("2016-06-01")
    knowns = lead_time_knowns(lead)
    fit = fit_no_show(knowns[early], missed[early])
    ahead = Forecast(probability=fit.model.probability(knowns[~early]), missed=missed[~early])
    base = float(missed[early].mean())
    assert ahead.skill(base) > 0.04  # better than the share alone
    assert ahead.discrimination > 0.65
    assert fit.model.slopes[0] < -0.5  # who books for today comes
    assert fit.model.slopes[1] > 0  # the longer ahead, the fewer come


COSTS = {"places": 20, "idle_cost": 1.0, "overtime_cost": 1.5}


@settings(max_examples=40, deadline=None)
@given(
    places=st.integers(1, 25),
    share=st.floats(0, 0.6),
    idle=st.floats(0.2, 5),
    overtime=st.floats(0.2, 5),
)
def test_equal_chances_fill_sessions_to_the_best_bookings(places, share, idle, overtime):
    costs = {"places": places, "idle_cost": idle, "overtime_cost": overtime}
    best = int(Overbooking(no_show_share=share, **costs).best_bookings)
    sizes = np.diff(fill_sessions(np.full(3 * best, share), **costs))
    assert sizes.tolist() == [best] * 3


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_unlike_chances_stop_where_one_more_booking_would_cost(seed):
    rng = np.random.default_rng(seed)
    costs = {"places": 3, "idle_cost": 1.0, "overtime_cost": float(rng.uniform(0.3, 3))}
    share = rng.uniform(0, 0.7, 14)
    end = int(fill_sessions(share, **costs)[1])
    table = ((np.arange(2**14)[:, None] >> np.arange(14)) & 1).astype(bool)  # who misses

    def cost(n):
        some = table[: 2**n, :n]
        weight = np.where(some, share[:n], 1 - share[:n]).prod(axis=1)
        over = (~some).sum(axis=1) - 3
        lost = costs["idle_cost"] * np.maximum(-over, 0)
        return weight @ (lost + costs["overtime_cost"] * np.maximum(over, 0))

    assert cost(end) <= cost(end - 1) + 1e-12 or end == 3
    assert end == 14 or cost(end) <= cost(end + 1) + 1e-12


def test_session_costs_count_empty_places_and_patients_too_many():
    missed = np.array([False, True, False, False, False, False])
    costs = session_costs([0, 2, 6], missed, places=3, idle_cost=10, overtime_cost=7)
    assert costs.tolist() == [20, 7]


def test_generated_appointments_have_the_stated_leads_and_law():
    law = {"no_show_share": 0.144, "same_day_effect": -1.5, "lead_effect": 0.2}
    leads = {"same_day_share": 0.35, "mean_lead": 15.0}
    made = synthetic_appointments(60_000, np.random.default_rng(5), **law, **leads)
    lead, missed = made["lead_days"], made["missed"]
    assert (lead == 0).mean() == pytest.approx(0.35, abs=0.01)
    assert lead[lead > 0].mean() == pytest.approx(15.0, rel=0.03)
    assert missed.mean() == pytest.approx(0.144, abs=0.006)
    assert (np.diff(made["visit_day"]) >= 0).all()
    knowns = lead_time_knowns(lead)
    fit = fit_no_show(knowns, missed)
    for k, effect in enumerate((-1.5, 0.2)):
        assert abs(fit.model.slopes[k] - effect) < 4 * fit.stderr[f"slope_{k}"]
    # The band of the constant is that of its standard error.
    draws = probability_draws(fit, np.zeros((1, 2)), 4000, np.random.default_rng(1))
    logit = np.log(draws / (1 - draws))[0]
    assert logit[0] == pytest.approx(fit.model.intercept)
    assert logit[1:].std() == pytest.approx(fit.stderr["intercept"], rel=0.05)


def test_overbooking_by_lead_time_saves_on_real_appointments_out_of_time(no_shows):
    """June's appointments in turn into sessions of 20, by what was known at the end of May."""
    lead, day, missed = no_shows
    early = day < np.datetime64("2016-06-01")
    knowns = lead_time_knowns(lead)
    fit = fit_no_show(knowns[early], missed[early])
    ahead, came_not = fit.model.probability(knowns[~early]), missed[~early]
    flat = np.full(ahead.size, missed[early].mean())
    # Requests of one lead share sessions: lists filled early and lists kept for the day.
    order = np.argsort(lead[~early], kind="stable")
    cost = {
        name: session_costs(fill_sessions(share[order], **COSTS), came_not[order], **COSTS)
        for name, share in (("places", 0 * flat), ("flat", flat), ("lead", ahead))
    }
    mean = {name: values.mean() for name, values in cost.items()}
    error = {name: values.std() / np.sqrt(values.size) for name, values in cost.items()}
    for better, worse in (("lead", "flat"), ("lead", "places")):
        gap = mean[worse] - mean[better]
        assert gap > 3 * np.hypot(error[better], error[worse]), (better, worse)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: lead_time_knowns([3.0, -5.0]), "lead_days=-5"),
        (lambda: fit_no_show(np.ones((5, 1)), np.ones(4)), "disagree"),
        (lambda: fit_no_show(np.arange(4.0)[:, None], np.zeros(4)), "never varies"),
        (lambda: fit_no_show(np.array([[np.nan], [1.0]]), np.array([0, 1])), "finite"),
        (
            lambda: Overbooking(places=0, no_show_share=0.1, idle_cost=1, overtime_cost=1),
            "places=0",
        ),
        (
            lambda: Overbooking(places=3, no_show_share=1.0, idle_cost=1, overtime_cost=1),
            "no_show_share=1",
        ),
        (lambda: Forecast(probability=np.array([1.2]), missed=np.array([True])), "probability=1.2"),
    ],
)
def test_impossible_input_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()

"""The outpatient day: accounting identities, special cases and what the phone cannot do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from o2o_research.models.outpatients import (
    KINDS,
    STEPS,
    OutpatientDay,
    Phase,
    reach_curve,
    simulate_phases,
    summary,
)

BEFORE, ALL = Phase(self_pay=0, insured=0), Phase(self_pay=1, insured=1)
reaches = st.floats(0, 1)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), self_pay=reaches, insured=reaches)
def test_time_on_site_is_waiting_walking_and_service_and_nothing_else(seed, self_pay, insured):
    day = OutpatientDay(patients=200, departments=2)
    people = day.draw(np.random.default_rng(seed))
    after = day.run(people, Phase(self_pay=self_pay, insured=insured))
    served = (people.service * people.steps(after.users)).sum(axis=1)
    np.testing.assert_allclose(
        after.on_site + after.remote_wait,
        after.total_wait + after.walking + served,
        rtol=0,
        atol=1e-8,
    )


def test_unlimited_staff_leave_only_walks_and_services_to_be_saved():
    day = OutpatientDay(
        patients=400, doctor_utilisation=0.01, window_utilisation=0.01, slotted_share=0
    )
    people = day.draw(np.random.default_rng(3))
    people.walk_in[:] = np.maximum(people.walk_in, 481)  # nobody before the doors open
    before, after = day.run(people, BEFORE), day.run(people, ALL)
    assert before.total_wait.max() == pytest.approx(0, abs=1e-9)
    dropped = people.steps(np.zeros(400, bool)) & ~people.steps(np.ones(400, bool))
    stays = people.steps(np.ones(400, bool))
    stays[:, [what for what, _ in STEPS].index("analysis")] = False
    walked = day.walk_minutes * people.pace * dropped
    guided = (day.walk_minutes - day.guided_minutes) * people.pace * stays
    expected = (people.service * dropped + walked + guided).sum(axis=1)
    np.testing.assert_allclose(before.on_site - after.on_site, expected, atol=1e-8)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), reach=st.floats(0.05, 1))
def test_nobody_waits_longer_at_registration_when_others_leave_the_line(seed, reach):
    day = OutpatientDay(patients=300, departments=2)
    people = day.draw(np.random.default_rng(seed))
    before = day.run(people, BEFORE)
    after = day.run(people, Phase(self_pay=reach, insured=reach))
    others = ~after.users
    gain = before.wait_at("registration") - after.wait_at("registration")
    assert (gain[others] >= -1e-9).all()


def test_a_further_reach_keeps_its_users_and_adds_others():
    people = OutpatientDay(patients=500).draw(np.random.default_rng(1))
    few = people.users(Phase(self_pay=0.2, insured=0.1))
    many = people.users(Phase(self_pay=0.5, insured=0.1))
    assert (many | ~few).all()
    assert many.sum() > few.sum()


def test_a_phase_without_users_changes_nothing():
    day = OutpatientDay(patients=300)
    people = day.draw(np.random.default_rng(1))
    unchanged = summary(day.run(people, BEFORE), day.run(people, BEFORE))
    assert unchanged["saved"] == unchanged["moved"] == unchanged["users_share"] == 0


def test_self_payers_alone_are_the_ceiling_of_the_first_phase():
    day = OutpatientDay(patients=4000, self_pay_share=0.3)
    people = day.draw(np.random.default_rng(1))
    users = people.users(Phase(self_pay=1, insured=0))
    assert users.mean() == pytest.approx(0.3, abs=4 * np.sqrt(0.3 * 0.7 / 4000))
    assert (users == people.self_pay).all()


def test_staff_are_the_work_over_the_hours_and_the_utilisation():
    day = OutpatientDay(patients=1000, register_minutes=1.2, window_utilisation=0.5)
    assert day.staff["registration"] == 5  # 1,200 minutes of work / 480 minutes / one half
    assert day.staff["consulting"] == int(np.ceil(1000 * 7.5 / 480 / 0.97))
    assert day.doctors.sum() == day.staff["consulting"]
    assert np.ptp(day.doctors) <= 1


def test_first_entry_is_the_mean_of_repeats_and_phases_share_their_patients():
    days = OutpatientDay.each(patients=[200, 250, 300], departments=2)
    phases = [[BEFORE] * 3, [ALL] * 3]
    first, last = simulate_phases(days, phases, np.random.default_rng(2), stated_repeats=3)
    assert first["total_wait"].shape == (3,)
    assert (first["saved"] == 0).all()
    np.testing.assert_allclose(last["saved"], first["on_site"] - last["on_site"], atol=1e-9)
    again = simulate_phases(days, phases, np.random.default_rng(2), stated_repeats=3)
    np.testing.assert_array_equal(again[1]["saved"], last["saved"])


def test_queues_counted_over_time_hold_the_waiting_of_all_patients():
    day = OutpatientDay(patients=300, departments=2)
    run = day.run(day.draw(np.random.default_rng(6)), BEFORE)
    times = np.arange(400.0, 1600.0, 0.05)
    for kind in KINDS:
        area = run.queue_at(kind, times).sum() * 0.05
        assert area == pytest.approx(run.wait_at(kind).sum(), rel=0.02, abs=5)


def test_common_streams_give_equal_days_for_equal_parameters():
    days = OutpatientDay.each(patients=[200, 200, 250], departments=2)
    (apart,) = simulate_phases(days, [[BEFORE] * 3], np.random.default_rng(1), stated_repeats=1)
    (same,) = simulate_phases(
        days, [[BEFORE] * 3], np.random.default_rng(1), stated_repeats=1, common=True
    )
    assert apart["on_site"][0] != apart["on_site"][1]
    assert same["on_site"][0] == same["on_site"][1] != same["on_site"][2]


def test_recorded_day_gives_its_waits_back():
    day = OutpatientDay(patients=300, departments=2)
    run = day.run(day.draw(np.random.default_rng(7)), BEFORE)
    log = run.visit_log()
    for number, kind in enumerate(KINDS):
        here = log.station == number
        waits = (log.started - log.arrived)[here]
        assert waits.sum() == pytest.approx(run.wait_at(kind).sum())
    assert log.routes()[KINDS.index("registration"), KINDS.index("consulting")] == 1.0


def test_queues_shrink_as_the_phone_reaches_more_patients():
    day = OutpatientDay(patients=300, departments=2)
    found = reach_curve(day, [0.0, 0.5, 1.0], np.random.default_rng(8), repeats=3)
    assert found["saved"].shape == (3, 4)
    assert found["saved"][0, 0] == 0
    assert (np.diff(found["queues_joined"][:, 0]) < 0).all()
    np.testing.assert_allclose(found["saved"], found["moved"] + found["removed"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: OutpatientDay(self_pay_share=1.2), "self_pay_share=1.2"),
        (lambda: OutpatientDay(consult_minutes=0), "consult_minutes=0"),
        (lambda: OutpatientDay(doctor_utilisation=1.5), "doctor_utilisation=1.5"),
        (lambda: Phase(self_pay=-0.1, insured=0), "self_pay=-0.1"),
        (lambda: OutpatientDay.each(beds=3), "no parameter beds"),
    ],
)
def test_impossible_input_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()

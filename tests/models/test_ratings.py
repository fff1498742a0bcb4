"""Ratings: shrinkage against the full covariance, ranks against their closed form."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from o2o_research.models.ratings import (
    DOCTOR_FIRST,
    PATIENT_FIRST,
    SEALED,
    Components,
    Exchange,
    MutualRating,
    fit_components,
    fit_exchange,
    fit_response,
    predict_doctors,
    response_shares,
    silence_bounds,
    simulate_ratings,
    synthetic_exchanges,
    weighted_mean,
)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    doctor=st.floats(0.05, 2),
    patient=st.floats(0, 2),
    noise=st.floats(0.1, 2),
)
def test_prediction_equals_generalised_least_squares_with_the_full_covariance(
    seed, doctor, patient, noise
):
    rng = np.random.default_rng(seed)
    truth = Components(mean=4.0, doctor=doctor, patient=patient, noise=noise)
    d, p, y, _ = simulate_ratings(truth, 7, 9, 40, rng)
    fast = predict_doctors(d, p, y, truth, doctors=8)
    by_doctor, by_patient, one = np.eye(8)[d], np.eye(9)[p], np.ones(40)
    total = doctor * by_doctor @ by_doctor.T + patient * by_patient @ by_patient.T
    inverse = np.linalg.inv(total + noise * np.eye(40))
    mean = (one @ inverse @ y) / (one @ inverse @ one)
    left = inverse - np.outer(inverse @ one, one @ inverse) / (one @ inverse @ one)
    assert fast.mean == pytest.approx(mean)
    np.testing.assert_allclose(fast.effect, doctor * by_doctor.T @ inverse @ (y - mean), atol=1e-9)
    np.testing.assert_allclose(
        fast.covariance,
        doctor * np.eye(8) - doctor**2 * by_doctor.T @ left @ by_doctor,
        atol=1e-9,
    )


def test_without_patients_effects_each_doctor_is_shrunk_by_n_over_n_plus_k():
    # Each of three doctors rated four times by strangers: the textbook shrinkage factor.
    d, p = np.repeat([0, 1, 2], 4), np.arange(12)
    y = np.array([5, 5, 4, 5, 3, 4, 3, 3, 4, 4, 4, 3.0])
    fit = predict_doctors(d, p, y, Components(mean=0, doctor=0.5, patient=0.0, noise=1.0))
    shrink = 4 / (4 + 1.0 / 0.5)
    means = y.reshape(3, 4).mean(axis=1)
    np.testing.assert_allclose(fit.effect, shrink * (means - y.mean()))


def test_moments_are_exact_in_expectation_also_with_repeated_ratings():
    rng = np.random.default_rng(1)
    truth = Components(mean=4.0, doctor=0.3, patient=0.5, noise=1.0)
    found = []
    for _ in range(300):
        d, p, y, _ = simulate_ratings(truth, 30, 40, 300, rng)
        one = fit_components(d, p, y)
        found.append([one.doctor, one.patient, one.noise])
    found = np.array(found)
    error = found.std(axis=0) / np.sqrt(300)
    assert (np.abs(found.mean(axis=0) - [0.3, 0.5, 1.0]) < 3.5 * error).all()


def test_balanced_table_gives_the_analysis_of_variance():
    # Every doctor rated by every patient once: the moments are the two-way ANOVA's.
    rng = np.random.default_rng(2)
    table = rng.normal(size=(6, 1)) + rng.normal(size=(1, 8)) + rng.normal(size=(6, 8))
    d, p = np.repeat(np.arange(6), 8), np.tile(np.arange(8), 6)
    fit = fit_components(d, p, table.ravel())
    rows, columns, grand = table.mean(axis=1), table.mean(axis=0), table.mean()
    rest = table - rows[:, None] - columns[None, :] + grand
    noise = (rest**2).sum() / (5 * 7)
    doctor = (8 * ((rows - grand) ** 2).sum() / 5 - noise) / 8
    patient = (6 * ((columns - grand) ** 2).sum() / 7 - noise) / 6
    assert fit.noise == pytest.approx(noise)
    assert fit.doctor == pytest.approx(doctor)
    assert fit.patient == pytest.approx(patient)


def test_chance_of_the_right_order_matches_simulation():
    one = Components(mean=4.0, doctor=0.2, patient=0.5, noise=1.0)
    rng = np.random.default_rng(3)
    truth = rng.normal(0, np.sqrt(0.2), (2, 400_000))
    shown = truth + rng.normal(0, np.sqrt(1.5 / 10), truth.shape)
    right = ((truth[0] > truth[1]) == (shown[0] > shown[1])).mean()
    assert one.right_order(10) == pytest.approx(right, abs=3 * np.sqrt(0.25 / 400_000))


@given(chance=st.floats(0.51, 0.99), doctor=st.floats(0.01, 3))
def test_ratings_needed_invert_the_chance_of_the_right_order(chance, doctor):
    one = Components(mean=4.0, doctor=doctor, patient=0.5, noise=1.0)
    assert one.right_order(one.ratings_needed(chance)) == pytest.approx(chance)


def test_doctors_who_do_not_differ_can_never_be_ranked():
    alike = Components(mean=4.0, doctor=0.0, patient=0.5, noise=1.0)
    assert alike.ratings_needed(0.9) == np.inf
    assert alike.right_order(10**6) == 0.5
    assert (predict_doctors([0, 1], [0, 1], [5.0, 1.0], alike).effect == 0).all()


def test_rank_intervals_cover_the_true_ranks():
    truth = Components(mean=4.0, doctor=0.3, patient=0.4, noise=0.8)
    rng = np.random.default_rng(4)
    inside, widths = [], []
    for _ in range(15):
        d, p, y, effect = simulate_ratings(truth, 30, 200, 600, rng)
        low, high = predict_doctors(d, p, y, truth, doctors=30).rank_interval(rng, draws=600)
        rank = 1 + np.argsort(np.argsort(-effect))
        inside.append((rank >= low) & (rank <= high))
        widths.append(high - low)
    assert 0.87 <= np.mean(inside) <= 0.97  # 90 % and a little more: ranks are whole numbers
    assert np.mean(widths) > 5  # twenty ratings a doctor do not make a league table


def test_league_lists_the_likely_best_first_with_all_their_ranks():
    truth = Components(mean=4.0, doctor=0.3, patient=0.4, noise=0.8)
    rng = np.random.default_rng(8)
    d, p, y, _ = simulate_ratings(truth, 12, 100, 600, rng)
    league = predict_doctors(d, p, y, truth, doctors=12).league(rng, draws=400)
    assert league.shape == (12, 401)
    assert (np.diff(league[:, 0]) >= 0).all()
    np.testing.assert_allclose(league[:, 1:].sum(axis=0), 12 * 13 / 2)
    np.testing.assert_allclose(league[:, 1:].mean(axis=1), league[:, 0])


def test_raw_means_are_worse_than_shrunk_ones():
    truth = Components(mean=4.0, doctor=0.1, patient=0.6, noise=1.0)
    rng = np.random.default_rng(5)
    raw, shrunk = [], []
    for _ in range(20):
        d, p, y, effect = simulate_ratings(truth, 40, 100, 400, rng)
        fit = predict_doctors(d, p, y, truth, doctors=40)
        count = np.maximum(np.bincount(d, minlength=40), 1)
        raw.append(((np.bincount(d, y - y.mean(), minlength=40) / count - effect) ** 2).mean())
        shrunk.append(((fit.effect - effect) ** 2).mean())
    assert np.mean(shrunk) < 0.6 * np.mean(raw)


def test_silence_of_the_discontent_raises_the_raw_mean_and_weights_undo_it():
    rng = np.random.default_rng(6)
    angry = rng.random(100_000) < 0.3
    rating = np.where(angry, 2.0, 5.0)
    share = np.where(angry, 0.1, 0.4)
    answers = rng.random(100_000) < share
    truth = rating.mean()
    assert rating[answers].mean() > truth + 0.4
    assert weighted_mean(rating[answers], share[answers]) == pytest.approx(truth, abs=0.03)
    low, high = silence_bounds(rating[answers].mean(), answers.mean(), lowest=1, highest=5)
    assert low < truth < high


def test_everyone_answers_so_the_bounds_are_the_mean():
    low, high = silence_bounds(4.2, 1.0, lowest=1, highest=5)
    assert low == high == 4.2


@given(q=st.floats(0, 1), c=st.floats(0, 1), r=st.floats(0, 1), d=st.floats(0, 1))
def test_blind_rating_never_hides_more(q, c, r, d):
    mutual = MutualRating(bad_share=q, candour=c, retaliation=r, deterrence=d)
    assert mutual.blind.reported_share >= mutual.reported_share
    assert mutual.blind.hostile_pairs_share == 0
    np.testing.assert_allclose(mutual.reported_share + q * mutual.hidden_share, q, atol=1e-12)


def test_mutual_ratings_match_simulation():
    rng = np.random.default_rng(7)
    n = 200_000
    m = MutualRating(bad_share=0.2, candour=0.6, retaliation=0.5, deterrence=0.8)
    bad = rng.random(n) < 0.2
    afraid = rng.random(n) < 0.8 * 0.5
    reported = bad & (rng.random(n) < 0.6) & ~afraid
    answered = reported & (rng.random(n) < 0.5)
    assert m.reported_share == pytest.approx(reported.mean(), abs=0.003)
    assert m.hostile_pairs_share == pytest.approx(answered.mean(), abs=0.003)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Components(mean=4, doctor=-1, patient=0, noise=1), "doctor=-1"),
        (lambda: Components(mean=4, doctor=1, patient=0, noise=0), "noise=0"),
        (
            lambda: Components(mean=4, doctor=1, patient=0, noise=1).ratings_needed(1.0),
            r"right_order=1\.0",
        ),
        (lambda: fit_components([0, 1], [0, 1], [1.0, 2.0]), "two or more"),
        (lambda: fit_components([0, 1], [0], [1.0, 2.0]), "must be one each"),
        (lambda: weighted_mean([5.0], [0.0]), "response_share=0"),
        (lambda: silence_bounds(6, 0.5, lowest=1, highest=5), "mean=6"),
        (
            lambda: MutualRating(bad_share=2, candour=0, retaliation=0, deterrence=0),
            "bad_share=2",
        ),
    ],
)
def test_impossible_input_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


TRUTH = Exchange(
    bad_share=0.15,
    patient_candour=0.6,
    doctor_candour=0.4,
    patient_fear=0.3,
    doctor_fear=0.1,
    patient_retaliation=0.5,
    doctor_retaliation=0.35,
    patient_reciprocity=0.2,
    doctor_reciprocity=0.25,
)
NAMES = list(Exchange.__dataclass_fields__)


def exchange_by_hand(one, order, rng):
    """One encounter played move by move."""
    bad = rng.random() < one.bad_share
    judged = {side: bad and rng.random() < getattr(one, f"{side}_candour") for side in SIDES}
    if order == SEALED:
        return judged["patient"], judged["doctor"]
    first, second = SIDES if order == PATIENT_FIRST else SIDES[::-1]
    said = {first: judged[first] and rng.random() > getattr(one, f"{first}_fear")}
    said[second] = (
        judged[second] or rng.random() < getattr(one, f"{second}_retaliation")
        if said[first]
        else judged[second] and rng.random() > getattr(one, f"{second}_reciprocity")
    )
    return said["patient"], said["doctor"]


SIDES = ("patient", "doctor")


@pytest.mark.parametrize("order", [SEALED, PATIENT_FIRST, DOCTOR_FIRST])
def test_chances_of_rating_pairs_match_encounters_played_move_by_move(order):
    rng = np.random.default_rng(order)
    n = 60_000
    seen = np.zeros((2, 2))
    for _ in range(n):
        patient, doctor = exchange_by_hand(TRUTH, order, rng)
        seen[int(patient), int(doctor)] += 1 / n
    exact = TRUTH.chances(order)
    assert (np.abs(seen - exact) < 3.5 * np.sqrt(exact * (1 - exact) / n)).all()


def test_exact_shares_give_the_parameters_back():
    rows = [TRUTH.chances(order) * 4e5 for order in range(3)]
    cells = np.concatenate([np.repeat(np.arange(4), r.ravel().round().astype(int)) for r in rows])
    orders = np.repeat(np.arange(3), [int(r.round().sum()) for r in rows])
    fit = fit_exchange(orders, cells // 2, cells % 2)
    for name in NAMES:
        assert getattr(fit.model, name) == pytest.approx(getattr(TRUTH, name), abs=2e-3), name


def test_retaliation_and_reciprocity_are_found_with_errors_that_cover():
    rng = np.random.default_rng(11)
    orders = np.repeat(np.arange(3), 20_000)
    found, inside = [], []
    for _ in range(300):
        fit = fit_exchange(orders, *TRUTH.simulate(orders, rng))
        found.append([getattr(fit.model, name) for name in NAMES])
        inside.append(
            [abs(getattr(fit.model, n) - getattr(TRUTH, n)) < 1.645 * fit.stderr[n] for n in NAMES]
        )
    planned = TRUTH.stderr([20_000] * 3)
    spread = np.std(found, axis=0)
    np.testing.assert_allclose(spread, [planned[name] for name in NAMES], rtol=0.2)
    # 90 % less 3.5 binomial errors of 1.7 %.
    assert (np.mean(inside, axis=0) > 0.84).all()


def test_open_ratings_alone_cannot_tell_retaliation_from_a_doctor_who_agrees():
    # The naive reading: how often a doctor answers a bad rating with one.
    honest = replace(TRUTH, doctor_retaliation=0.0)
    table = honest.chances(PATIENT_FIRST)
    naive = table[1, 1] / table[1].sum()
    assert naive == pytest.approx(TRUTH.doctor_candour)  # all of it is agreement
    orders = np.repeat(np.arange(3), 200_000)
    fit = fit_exchange(orders, *honest.simulate(orders, np.random.default_rng(3)))
    assert fit.model.doctor_retaliation < 2.5 * fit.stderr["doctor_retaliation"]


def test_mutual_rating_is_the_exchange_in_which_the_patient_moves_first():
    mutual = MutualRating(bad_share=0.15, candour=0.6, retaliation=0.35, deterrence=0.5)
    exchange = replace(TRUTH, patient_fear=0.35 * 0.5)
    assert exchange.hidden_share(PATIENT_FIRST) == pytest.approx(float(mutual.hidden_share))
    assert exchange.hidden_share(SEALED) == pytest.approx(float(mutual.blind.hidden_share))
    gain = float(mutual.blind.reported_share / mutual.reported_share - 1)
    assert exchange.sealed_gain == pytest.approx(gain)


def test_weights_undo_silence_that_follows_what_is_known():
    log = synthetic_exchanges(TRUTH, 300_000, np.random.default_rng(12), response_share=0.3)
    orders, patient, doctor = log["order"], log["patient_bad"], log["doctor_bad"]
    answers = ~np.isnan(patient)
    assert answers.mean() == pytest.approx(0.3, abs=0.005)
    # The old meet more bad encounters and rate less often: the raw shares are too kind.
    share = response_shares(log["knowns"], fit_response(log["knowns"], answers).model)
    np.testing.assert_allclose(np.unique(share), [0.15, 0.4], atol=0.006)
    raw = fit_exchange(orders, patient, doctor)
    weighted = fit_exchange(orders, patient, doctor, response_share=share)
    truth = TRUTH.bad_share
    assert abs(weighted.model.bad_share - truth) < 3 * weighted.stderr["bad_share"]
    assert abs(raw.model.bad_share - truth) > 5 * raw.stderr["bad_share"]
    for name in ("doctor_retaliation", "patient_fear", "doctor_reciprocity"):
        assert (
            abs(getattr(weighted.model, name) - getattr(TRUTH, name))
            < 3.5 * (weighted.stderr[name])
        )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: replace(TRUTH, bad_share=1.2), r"bad_share=1\.2"),
        (lambda: replace(TRUTH, patient_fear=1.2), r"patient_fear=1\.2"),
        (lambda: TRUTH.chances(3), "order=3"),
        (lambda: fit_exchange([0, 0], [0, 0], [0, 1]), "2 encounters rated by both, sealed"),
        (
            lambda: synthetic_exchanges(TRUTH, 9, np.random.default_rng(), response_share=0.9),
            r"response_share=0\.9",
        ),
        (lambda: fit_exchange([0], [1, 1], [1]), "must be one each"),
        (lambda: fit_exchange([0], [1], [1], response_share=[0.0]), "response_share=0"),
    ],
)
def test_impossible_exchanges_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()

"""Scalper detection: counts against brute force, error rates against their guarantees."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from o2o_research.models.scalping import (
    DAY,
    FEATURES,
    KINDS,
    Adaptation,
    ArticleRule,
    Detection,
    Registrations,
    Scalper,
    adaptation,
    benjamini_hochberg,
    compare_rules,
    contest,
    cost_threshold,
    count_accounts,
    fit_reference,
    jeffreys,
    score_bookings,
    synthetic_registrations,
)


@pytest.fixture(scope="module")
def honest():
    return count_accounts(synthetic_registrations(20_000, 0.0, np.random.default_rng(1)).log)


@pytest.fixture(scope="module")
def reference(honest):
    return fit_reference(honest.counts[::2], honest.counts[1::2])


def take(log, rows):
    return Registrations(**{name: getattr(log, name)[rows] for name in log.__dataclass_fields__})


def by_hand(log, fast=10.0, pair=60.0, public=50):
    """The same counts, one account at a time, in sets and loops."""
    found = {}
    users = {d: set(log.account[log.device == d].tolist()) for d in set(log.device.tolist())}
    for a in sorted(set(log.account.tolist())):
        rows = np.flatnonzero(log.account == a)
        days = np.floor(log.booked_at[rows] / DAY).tolist()
        pairs = 0
        for i in rows:
            after = [
                j
                for j in range(log.account.size)
                if log.doctor[j] == log.doctor[i]
                and log.visit_at[j] == log.visit_at[i]
                and log.booked_at[j] >= log.cancelled_at[i]
            ]
            if after:
                heir = min(after, key=lambda j: log.booked_at[j])
                pairs += (
                    log.booked_at[heir] - log.cancelled_at[i] <= pair
                    and log.patient[heir] != log.patient[i]
                )
        circle, grew = {a}, True
        while grew:
            met = set().union(
                *(u for u in users.values() if len(u) <= public and u & circle), circle
            )
            grew, circle = met != circle, met
        reached = set(log.patient[np.isin(log.account, list(circle))].tolist())
        own = set(log.patient[rows].tolist())
        found[a] = [
            int((log.booked_at[rows] - log.released_at[rows] <= fast).sum()),
            max(days.count(d) for d in days),
            len(set(days)),
            len(own),
            len(set(log.doctor[rows].tolist())),
            int(pairs),
            len(reached) - len(own),
        ]
    return found


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_counts_equal_those_found_by_hand(seed):
    rng = np.random.default_rng(seed)
    n = 40
    booked = rng.integers(0, 5 * 86_400, n) + rng.random(n)
    log = Registrations(
        account=rng.integers(0, 8, n),
        patient=rng.integers(0, 12, n),
        doctor=rng.integers(0, 3, n),
        device=rng.integers(0, 9, n),
        released_at=booked - rng.exponential(10, n),
        booked_at=booked,
        visit_at=rng.integers(6, 9, n) * DAY,
        cancelled_at=np.where(rng.random(n) < 0.5, booked + rng.random(n) * 9e4, np.nan),
    )
    # A few slots are taken again within the hour of their cancellation.
    freed = np.flatnonzero(~np.isnan(log.cancelled_at[:-1]))[::3]
    for change in (log.doctor, log.visit_at):
        change[freed + 1] = change[freed]
    log.booked_at[freed + 1] = log.cancelled_at[freed] + rng.random(freed.size) * 4000
    log.released_at[freed + 1] = log.booked_at[freed + 1] - 5
    log.cancelled_at[freed + 1] = np.nan
    counted = count_accounts(log, public_accounts=4, pair_seconds=3600)
    expected = by_hand(log, public=4, pair=3600)
    assert counted.account.tolist() == list(expected)
    np.testing.assert_array_equal(counted.counts, np.array(list(expected.values()), float))


def test_alias_booked_cancelled_and_rebooked_for_the_client_is_one_pair():
    log = Registrations(
        account=np.array([5, 5, 7]),
        patient=np.array([1, 2, 3]),
        doctor=np.array([9, 9, 9]),
        device=np.array([0, 0, 1]),
        released_at=np.zeros(3),
        booked_at=np.array([2.0, 1005.0, 5000.0]),
        visit_at=np.array([9e5, 9e5, 9e5]),
        cancelled_at=np.array([1000.0, np.nan, np.nan]),
    )
    seen = count_accounts(log)
    assert seen["rebooked"].tolist() == [1, 0]
    assert seen["fast"].tolist() == [1, 0]
    own_patient = replace(log, patient=np.array([1, 1, 3]))
    assert count_accounts(own_patient)["rebooked"].tolist() == [0, 0]


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000))
def test_counts_do_not_depend_on_row_order_or_on_how_identities_are_numbered(seed):
    rng = np.random.default_rng(seed)
    log = synthetic_registrations(200, 0.1, rng).log
    counted = count_accounts(log)
    np.testing.assert_array_equal(
        count_accounts(take(log, rng.permutation(log.account.size))).counts, counted.counts
    )
    renamed = replace(
        log, patient=log.patient * 7 + 3, doctor=500 - log.doctor, device=log.device + 10**12
    )
    np.testing.assert_array_equal(count_accounts(renamed).counts, counted.counts)


def test_public_device_links_nobody():
    n = 60
    log = Registrations(
        account=np.arange(n),
        patient=np.arange(n),
        doctor=np.zeros(n, int),
        device=np.zeros(n, int),
        released_at=np.zeros(n),
        booked_at=np.full(n, 100.0),
        visit_at=np.arange(n) * 1e5,
        cancelled_at=np.full(n, np.nan),
    )
    assert count_accounts(log)["linked"].max() == 0
    assert (count_accounts(log, public_accounts=60)["linked"] == 59).all()


def test_score_of_a_booking_does_not_depend_on_its_batch(reference):
    made = synthetic_registrations(3000, 0.02, np.random.default_rng(3))
    history = count_accounts(made.log)
    together = score_bookings(made.log.account, history, reference)
    for rows in (slice(0, 1), slice(100, 900), slice(None, None, -1)):
        np.testing.assert_array_equal(
            score_bookings(made.log.account[rows], history, reference), together[rows]
        )
    assert score_bookings([10**9], history, reference) == reference.score(np.zeros(len(FEATURES)))


def test_step_up_rule_matches_benjamini_hochberg_1995():
    # The paper's fifteen p-values: four are rejected at .05.
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459]
    p += [0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0000]
    assert benjamini_hochberg(p, 0.05) == 0.0095
    assert benjamini_hochberg([0.4, 0.9], 0.05) == 0.0


def test_p_values_of_honest_accounts_are_uniform_or_larger(reference):
    fresh = count_accounts(synthetic_registrations(20_000, 0.0, np.random.default_rng(8)).log)
    p = reference.p_value(reference.score(fresh.counts))
    for level in (0.001, 0.01, 0.05, 0.2):
        error = np.sqrt(level * (1 - level) * (1 / 20_000 + 1 / 10_000))
        assert (p <= level).mean() <= level + 3 * error


def test_false_discoveries_stay_below_the_promised_rate(reference):
    shares = []
    for seed in range(12):
        made = synthetic_registrations(4000, 0.02, np.random.default_rng(100 + seed))
        p = reference.p_value(reference.score(count_accounts(made.log).counts))
        flags = p <= benjamini_hochberg(p, 0.2)
        shares.append(1 - Detection.of(flags, made.scalper).precision)
    assert np.mean(shares) <= 0.2 + 3 * np.std(shares) / np.sqrt(12)
    assert np.mean(shares) > 0.02  # and the bound is not idle


@pytest.mark.parametrize("prevalence", [0.005, 0.05])
def test_score_costs_less_than_the_rule_of_the_article(reference, prevalence):
    made = synthetic_registrations(12_000, prevalence, np.random.default_rng(9))
    seen = count_accounts(made.log)
    scores = reference.score(seen.counts)
    threshold = cost_threshold(scores, reference, block_cost=2000, catch_value=3000)
    ours = Detection.of(scores >= threshold, made.scalper)
    rule = Detection.of(ArticleRule().flags(seen), made.scalper)
    assert ours.cost(2000, 3000) < rule.cost(2000, 3000) / 2


def test_comparison_over_prevalence_pools_its_repeats(reference):
    found = compare_rules(
        reference,
        ArticleRule(),
        [0.01, 0.05],
        np.random.default_rng(5),
        block_cost=2000,
        catch_value=3000,
        accounts=2000,
        repeats=4,
    )
    assert found["score"]["cost"].shape == (2, 5)
    for way in ("score", "rule"):
        np.testing.assert_allclose(found[way]["cost"][:, 0], found[way]["cost"][:, 1:].mean(axis=1))
    assert (found["score"]["cost"][:, 0] < found["rule"]["cost"][:, 0]).all()


def test_article_rule_restricts_clinic_assistants_and_misses_rings(honest):
    made = synthetic_registrations(12_000, 0.05, np.random.default_rng(10))
    flags = ArticleRule().flags(count_accounts(made.log))
    assert flags[made.kind == KINDS.index("assistant")].mean() > 0.9
    assert flags[made.kind == KINDS.index("ring")].mean() < 0.2
    assert ArticleRule(per_day=1e9, days=1e9).flags(honest).sum() == 0


def test_cost_threshold_is_the_best_of_all_thresholds(reference):
    rng = np.random.default_rng(4)
    made = synthetic_registrations(3000, 0.03, rng)
    scores = reference.score(count_accounts(made.log).counts)
    chosen = cost_threshold(scores, reference, block_cost=500, catch_value=300)

    def gain(t):
        flagged = (scores >= t).sum()
        honest = scores.size * max(
            (reference.calibration >= t).mean(), 1 / (1 + reference.calibration.size)
        )
        return 300 * (flagged - honest) - 500 * honest

    assert gain(chosen) == pytest.approx(max(gain(t) for t in set(scores.tolist())))
    assert cost_threshold(scores, reference, block_cost=1e12, catch_value=1.0) == np.inf


def test_full_caution_looks_honest_and_sells_hardly_anything(reference):
    thresholds = np.quantile(reference.calibration, [0.99, 0.999])
    seen = adaptation(
        lambda counted: reference.score(counted.counts) >= thresholds[:, None],
        [0.0, 0.5, 1.0],
        np.random.default_rng(11),
        accounts=1500,
    )
    assert (np.diff(seen.volume, axis=1) < 0).all()
    assert seen.detected_share[1, :, 0].min() > 0.8
    assert seen.detected_share[1, :, 2].max() < 0.05
    assert seen.volume[:, 2].max() < 2.5
    assert (seen.detected_share[0] >= seen.detected_share[1]).all()


@settings(max_examples=50, deadline=None)
@given(
    margin=st.floats(10, 1000),
    cost=st.floats(0, 500),
    detected=st.lists(st.floats(0, 1), min_size=4, max_size=4),
)
def test_no_caution_earns_more_than_the_best_reply(margin, cost, detected):
    volume = np.array([20.0, 10.0, 5.0, 1.0])
    scalper = Scalper(margin=margin, account_cost=cost)
    best = int(scalper.best_reply(volume, detected))
    earned = scalper.profit(volume, detected)
    assert best == -1 if earned.max() <= 0 else earned[best] == earned.max()


def test_best_reply_takes_arrays_of_margins():
    scalper = Scalper(margin=np.array([10.0, 1000.0]), account_cost=np.array([100.0, 0.0]))
    assert scalper.best_reply([20.0, 1.0], [0.9, 0.0]).tolist() == [1, 0]


def test_what_is_kept_is_the_volume_that_escapes_in_the_best_way():
    ways = Adaptation(
        volume=np.array([[20.0, 1.0]] * 4), detected_share=np.array([[[0.9, 0.01]] * 4])
    )
    scalper = Scalper(
        margin=np.array([10.0, 1000.0, 0.001]), account_cost=np.array([100.0, 0, 1e6])
    )
    np.testing.assert_allclose(ways.kept_share(scalper), [[0.99 / 20, 2.0 / 20, 0.0]])
    profit = ways.best_profit(scalper)
    assert profit.shape == (1, 2, 3)
    assert profit[0, 0, 0] == pytest.approx(10 * 20 * 0.1 - 100 * 0.9)


def test_a_lower_threshold_leaves_scalpers_less_once_they_adapt(reference):
    limits = np.quantile(reference.calibration, [0.9, 0.99, 0.9999])[:, None]
    press = adaptation(
        lambda counted: reference.score(counted.counts) >= limits,
        np.linspace(0, 1, 6),
        np.random.default_rng(2),
        accounts=1500,
    )
    left = press.kept_share(Scalper(margin=286.0, account_cost=300.0))
    assert left[0] < left[1] < left[2]


@pytest.fixture(scope="module")
def played():
    return contest(
        ArticleRule(),
        np.geomspace(0.0002, 0.03, 8),
        np.linspace(0, 1, 8),
        np.random.default_rng(21),
        worlds=4,
        honest=6000,
        accounts=1200,
    )


STAKES = {"scalper_share": 0.01, "block_cost": 2000.0, "catch_value": 3000.0}


def test_no_level_costs_less_than_the_one_chosen(played):
    margins = np.array([286.0, 100.0, 1500.0])
    end = played.play(Scalper(margin=margins, account_cost=300.0), **STAKES)
    np.testing.assert_array_equal(end.loss, end.loss_by_level.min(axis=0))
    rebuilt = 1000 * (2000 * 0.99 * end.level + 3000 * 0.01 * end.left)
    np.testing.assert_allclose(end.loss, rebuilt)


def test_precision_after_the_reply_counts_the_blocked_of_both_kinds(played):
    """Of 1,000,000 accounts, the scalpers caught over all who are blocked."""
    shares = np.array([0.001, 0.01, 0.05])
    scalper = Scalper(margin=286.0, account_cost=300.0)
    end = played.play(scalper, **STAKES | {"scalper_share": shares}, world=1)
    for precision, recall, level in (
        (end.precision, end.recall, end.level),
        (end.rule_precision, end.rule_recall, played.rule_level),
    ):
        caught, families = 1e6 * shares * recall, 1e6 * (1 - shares) * level
        np.testing.assert_allclose(precision, caught / (caught + families))
        assert ((recall >= 0) & (recall <= 1)).all()
    # The rule knows nothing of prevalence: what it catches does not move, how often it errs does.
    assert np.ptp(end.rule_recall) == 0
    assert (np.diff(end.rule_precision) > 0).all()


def test_dearer_mistakes_and_rarer_scalpers_leave_more_to_resell(played):
    scalper = Scalper(margin=286.0, account_cost=300.0)
    costs = np.geomspace(100, 50_000, 12)
    left = played.play(scalper, **STAKES | {"block_cost": costs}, world=0).left
    assert (np.diff(left) >= 0).all()
    assert left[-1] > left[0]
    shares = np.geomspace(0.001, 0.2, 12)
    left = played.play(scalper, **STAKES | {"scalper_share": shares}, world=0).left
    assert (np.diff(left) <= 0).all()


def test_first_entry_is_played_in_the_pooled_world_and_the_others_in_turn(played):
    scalper = Scalper(margin=np.full(5, 286.0), account_cost=300.0)
    mixed = played.play(scalper, **STAKES).left
    each = [played.play(scalper, **STAKES, world=k).left[0] for k in range(4)]
    assert mixed[1:].tolist() == [each[1], each[2], each[3], each[0]]
    assert min(each) - 0.05 <= mixed[0] <= max(each) + 0.05


def test_verdict_on_what_is_left_does_not_hang_on_the_world(played):
    """Over plausible costs the interval straddles one half in every world."""
    rng = np.random.default_rng(3)
    block = np.exp(rng.uniform(np.log(500), np.log(5000), 60))
    share = np.exp(rng.uniform(np.log(0.002), np.log(0.04), 60))
    for world in range(4):
        left = played.play(
            Scalper(margin=286.0, account_cost=300.0),
            scalper_share=share,
            block_cost=block,
            catch_value=3000.0,
            world=world,
        ).left
        low, high = np.quantile(left, [0.05, 0.95])
        assert low < 0.5 < high


def test_selling_as_much_as_before_takes_as_many_more_accounts(played):
    end = played.play(Scalper(margin=286.0, account_cost=300.0), **STAKES)
    accounts = 1 / end.left[0]
    extra = (accounts - 1) * 300.0 / end.bold_volume
    assert end.evasion_cost(300.0)[0] == pytest.approx(extra)
    # At the limit an account earns its price and no more.
    sold = end.left[0] * end.bold_volume
    assert end.account_cost_limit(286.0)[0] == pytest.approx(286.0 * sold)


def test_generated_share_of_scalpers_is_the_prevalence():
    made = synthetic_registrations(50_000, 0.02, np.random.default_rng(12))
    assert made.scalper.mean() == pytest.approx(0.02, abs=4 * np.sqrt(0.02 * 0.98 / 50_000))


def test_interval_of_a_share_is_symmetric_and_covers():
    low, high = jeffreys([3, 7], 10)
    np.testing.assert_allclose(low, 1 - high[::-1])
    rng = np.random.default_rng(13)
    hits = rng.binomial(50, 0.2, 4000)
    low, high = jeffreys(hits, 50)
    assert ((low < 0.2) & (high > 0.2)).mean() == pytest.approx(0.9, abs=0.04)


def test_precision_and_recall_of_nothing_are_missing():
    empty = Detection(caught=0, blocked=0, missed=0)
    assert np.isnan(empty.precision)
    assert np.isnan(empty.recall)


def _log(**changes):
    rows = {
        "account": np.zeros(2, int),
        "patient": np.zeros(2, int),
        "doctor": np.zeros(2, int),
        "device": np.zeros(2, int),
        "released_at": np.zeros(2),
        "booked_at": np.ones(2),
        "visit_at": np.full(2, 9.0),
        "cancelled_at": np.full(2, np.nan),
    }
    return Registrations(**(rows | changes))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: _log(account=np.array([0, -1])), "row 1: account=-1"),
        (lambda: _log(booked_at=np.array([-1.0, 1.0])), "row 0: booked_at=-1"),
        (lambda: _log(cancelled_at=np.array([np.nan, 0.5])), "row 1: cancelled_at=0.5"),
        (lambda: _log(visit_at=np.array([np.inf, 0.5])), "row 0: visit_at=inf"),
        (lambda: _log(patient=np.zeros(3, int)), "patient has shape"),
        (lambda: fit_reference(np.ones((5, 7)), np.ones((50, 7))), "training has shape"),
        (lambda: benjamini_hochberg([0.1], 1.5), "rate=1.5"),
        (lambda: ArticleRule(per_day=0), "per_day=0"),
        (lambda: Scalper(margin=0, account_cost=1), "margin=0"),
        (lambda: Detection(caught=-1, blocked=0, missed=0), "caught=-1"),
        (lambda: synthetic_registrations(5, 1.5, np.random.default_rng()), "prevalence=1.5"),
        (
            lambda: cost_threshold([1.0], None, block_cost=-1, catch_value=1),
            "block_cost=-1",
        ),
    ],
)
def test_impossible_input_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()

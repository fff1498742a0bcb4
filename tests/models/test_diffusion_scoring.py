"""Forecasts scored: closed forms of the plain ones, a curve that is true, and real series."""

import numpy as np
import pandas as pd
import pytest

from o2o_research.models.diffusion.bass import Bass
from o2o_research.models.diffusion.regression import LEAST_SQUARES, PROPORTIONAL
from o2o_research.models.diffusion.scoring import (
    drift_forecast,
    naive_forecast,
    score_forecasts,
)


def test_the_plain_forecasts_are_the_last_value_and_the_line_through_both_ends():
    y = np.array([1.0, 3.0, 2.0, 6.0, 9.0])
    middle, low, high = naive_forecast(y, 3, 0.9)
    assert middle.tolist() == [9, 9, 9]
    # Steps 2, -1, 4, 3: mean square 7.5; 1.6449 deviations, growing with the root of the time.
    assert high[0] - 9 == pytest.approx(1.644854 * np.sqrt(7.5), rel=1e-6)
    assert (high - low)[2] / (high - low)[0] == pytest.approx(np.sqrt(3))
    middle, low, high = drift_forecast(y, 3, 0.9)
    assert middle.tolist() == [11, 13, 15]
    spread = np.std([2, -1, 4, 3], ddof=1) * np.sqrt(2 * (1 + 2 / 4))
    assert (high - low)[1] / 2 == pytest.approx(1.644854 * spread, rel=1e-6)


def test_a_series_that_is_a_bass_curve_is_forecast_best_by_one():
    rng = np.random.default_rng(1)
    sales = Bass(market=50_000, innovation=0.01, imitation=0.5).simulate(30, rng)
    scores = {s.method: s for s in score_forecasts({"curve": sales}, rng, seen_share=0.4)}
    assert scores["bass"].peak_seen
    assert scores["bass"].against_naive < 0.05
    assert scores["bass"].error < 0.1 * scores["drift"].error
    assert scores["naive"].against_naive == 1.0
    assert [s.seen + s.ahead for s in scores.values()] == [30, 30, 30]


def test_intervals_hold_nine_tenths_of_what_comes_on_a_curve():
    # While sales are many: of a handful that comes last, a count may miss a continuous interval.
    rng = np.random.default_rng(2)
    truth = Bass(market=50_000, innovation=0.01, imitation=0.5)
    curves = {f"curve {k}": truth.simulate(24, rng) for k in range(40)}
    scores = [s for s in score_forecasts(curves, rng, seen_share=0.5) if s.method == "bass"]
    covered = np.array([s.covered_share for s in scores])
    assert abs(covered.mean() - 0.9) < 3 * covered.std(ddof=1) / np.sqrt(covered.size)


def test_a_flat_series_is_not_made_a_curve_to_please():
    rng = np.random.default_rng(2)
    flat = rng.poisson(400, 24).astype(float)
    scores = {s.method: s for s in score_forecasts({"flat": flat}, rng)}
    # The naive forecast is right here: the score must be able to say that the curve is worse.
    assert scores["naive"].error < 0.1
    assert scores["bass"].against_naive > 1


@pytest.mark.parametrize(
    ("series", "share", "message"),
    [
        ({"short": np.ones(5)}, 1 / 3, "short has 5 periods"),
        ({"long": np.ones(9)}, 1.0, "seen_share=1.0"),
    ],
)
def test_what_cannot_be_scored_is_refused_by_name(series, share, message):
    with pytest.raises(ValueError, match=message):
        score_forecasts(series, np.random.default_rng(0), seen_share=share)


def real_series(folder):
    """Units of four Apple products a quarter, and net new mobile subscriptions a year."""
    apple = pd.read_csv(folder / "apple_quarterly_unit_sales_millions.csv")
    series = {name: apple[name].dropna().to_numpy() for name in ("iPhone", "iPad", "iPod", "Mac")}
    mobile = pd.read_csv(folder / "gapminder_cell_phones_total_chn_deu_dnk.csv")
    for place, rows in mobile.groupby("geo"):
        total = rows.sort_values("year").mobile_subscriptions.to_numpy(float)
        net = np.diff(total[total.nonzero()[0][0] :])
        series[f"mobile {place}"] = np.maximum(net, 0.0)
    return series


@pytest.mark.parametrize("errors", [LEAST_SQUARES, PROPORTIONAL], ids=["squares", "proportional"])
def test_real_series_are_scored_as_they_are(shared_data, errors):
    series = real_series(shared_data / "diffusion")
    scores = score_forecasts(series, np.random.default_rng(3), errors=errors, draws=400)
    table = pd.DataFrame([vars(score) for score in scores])
    assert len(table) == 3 * len(series)
    assert np.isfinite(table[["error", "against_naive", "covered_share", "width"]]).all().all()
    # A third of any of these ends before its peak: the fit says so, for every one.
    assert not table[table.method == "bass"].peak_seen.astype(bool).any()
    # No method wins everywhere, and 90 % intervals cover less than they say.
    best = table.loc[table.groupby("series").error.idxmin()].method
    assert best.nunique() > 1
    assert table.covered_share.mean() < 0.9
    again = score_forecasts(series, np.random.default_rng(3), errors=errors, draws=400)
    assert again == scores

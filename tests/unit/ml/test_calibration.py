from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pointsman.ml.base import Floats, Scores, State
from pointsman.ml.calibration import HeldOut, ShareCurve, doubt_of, frontier, price_of_share, sample, without_doubt
from pointsman.ml.decision import Candidates, Setting

COUNT = 400
CANDIDATES = Candidates(["large", "small"], [0.8, 0.5], [0.01, 0.001])
CHANCE = np.random.default_rng(0)
GAPS = np.linspace(-0.05, 0.65, COUNT).astype(np.float32)


def wide(large: Floats | float, small: Floats | float) -> Floats:
    return np.stack([np.broadcast_to(large, COUNT), np.broadcast_to(small, COUNT)], 1).astype(np.float32)


SCORES = Scores(wide(0.8, 0.8 - GAPS), wide(0.0, 0.0), wide(0.01, 0.001))
HELD = HeldOut.of(SCORES, wide(0.8, 0.8 - GAPS), wide(0.01, 0.001))


def test_what_did_not_come_out_is_taken_as_it_was_predicted() -> None:
    quality = np.where(np.arange(COUNT)[:, None] < 3, np.nan, HELD.quality).astype(np.float32)
    held = HeldOut.of(SCORES, quality, np.full_like(quality, np.nan))
    assert np.array_equal(held.quality, HELD.quality)
    assert np.array_equal(held.cost_usd, SCORES.cost_usd)


def test_the_frontier_falls_from_the_best_to_the_cheapest() -> None:
    found = frontier(HELD, CANDIDATES, 0.0)
    assert found.quality[0] == pytest.approx(np.maximum(0.8, 0.8 - GAPS).mean(), abs=1e-4)
    assert found.cost_usd[-1] == pytest.approx(0.001)
    assert found.baseline_quality == pytest.approx(0.8)
    assert all(np.diff(found.cost_usd) <= 1e-9)
    assert 0 < found.price_as_good < found.price[-1]


def test_todays_prices_move_the_frontier() -> None:
    dearer = Candidates(["large", "small"], [0.8, 0.5], [0.01, 0.001], [2.0, 1.0])
    now, then = frontier(HELD, dearer, 0.0), frontier(HELD, CANDIDATES, 0.0)
    at = then.price.index(min(then.price, key=lambda price: abs(price - 20)))
    assert now.cost_usd[0] > 1.9 * then.cost_usd[0]
    assert now.quality[at] < then.quality[at]


def test_without_prompts_that_were_held_out_there_is_no_frontier() -> None:
    with pytest.raises(ValueError, match="held out"):
        frontier(HELD.rows([]), CANDIDATES, 0.0)
    assert doubt_of(HELD.rows([]), CANDIDATES) == 1.0


def test_doubt_is_for_predictions_that_err() -> None:
    noise = CHANCE.normal(0, 0.3, COUNT).astype(np.float32)
    variance = np.where(np.abs(noise) > 0.2, 0.09, 0.0).astype(np.float32)
    wrong = replace(SCORES, quality=wide(0.8, 0.8 - GAPS + noise), variance=wide(0.0, variance))
    assert doubt_of(replace(HELD, scores=wrong), CANDIDATES) > 0
    sure = replace(SCORES, variance=wide(0.0, np.full(COUNT, 0.09)))
    assert doubt_of(replace(HELD, scores=sure), CANDIDATES) < 1.0


def test_a_share_of_calls_has_its_price() -> None:
    for share in (0.1, 0.5, 0.9):
        price = price_of_share(HELD, CANDIDATES, ["large"], share, Setting(doubt=0.0))
        got = (HELD.chosen(CANDIDATES, Setting(price=price, doubt=0.0)) == 0).mean()
        assert got == pytest.approx(share, abs=0.01)
    assert price_of_share(HELD, CANDIDATES, ["large"], 1.0, Setting(doubt=0.0)) == 0.0
    nobody = price_of_share(HELD, CANDIDATES, ["large"], 0.0, Setting(doubt=0.0))
    assert (HELD.chosen(CANDIDATES, Setting(price=nobody, doubt=0.0)) == 0).sum() == 0


def test_the_curve_of_shares_gives_the_price_of_each() -> None:
    curve = ShareCurve.of(HELD, CANDIDATES, Setting(doubt=0.0))
    for share in np.linspace(0.15, 0.85, 29):
        price = curve.price(float(share), ["large"])
        assert (HELD.chosen(CANDIDATES, Setting(price=price, doubt=0.0)) == 0).mean() == pytest.approx(share, abs=0.03)
    assert curve.price(1.0, ["large"]) == 0.0
    assert (HELD.chosen(CANDIDATES, Setting(price=curve.price(0.0, ["large"]), doubt=0.0)) == 1).all()
    assert curve.price(0.5, ["large", "small"]) == 1e6
    assert len(curve.shares) <= 101


def test_where_nothing_was_held_out_any_share_is_of_the_best() -> None:
    assert ShareCurve.of(HELD.rows([]), CANDIDATES, Setting()).price(0.5, ["large"]) == 0.0


def test_a_sample_is_of_so_many_prompts_and_always_the_same_ones() -> None:
    few = sample(HELD, 50)
    assert len(few) == 50
    assert np.array_equal(few.quality, sample(HELD, 50).quality)
    assert sample(HELD, COUNT) is HELD


def test_shares_and_spend_of_a_sample_are_those_of_all() -> None:
    order = np.random.default_rng(1).permutation(COUNT)
    few = sample(HELD.rows(order), 40)
    for price in (0.0, 5.0, 20.0, 50.0, 70.0):
        setting = Setting(price=price, doubt=0.0)
        shares = [float((held.chosen(CANDIDATES, setting) == 0).mean()) for held in (few, HELD)]
        assert shares[0] == pytest.approx(shares[1], abs=0.0251)


def test_shares_are_measured_without_doubt() -> None:
    doubtful = replace(HELD, scores=replace(SCORES, variance=wide(0.0, 0.04)))
    for policy in (Setting(doubt=0.0), Setting(doubt=1.0)):
        assert price_of_share(doubtful, CANDIDATES, ["large"], 0.5, policy) == pytest.approx(33.3, rel=0.02)
        assert ShareCurve.of(doubtful, CANDIDATES, policy).price(0.5, ["large"]) == pytest.approx(33.3, rel=0.05)
    assert without_doubt(Setting(doubt=1.0, price=3.0)) == Setting(doubt=0.0, price=3.0)


def test_columns_are_in_the_order_that_is_asked_for() -> None:
    turned = HELD.columns([1, 0])
    assert np.array_equal(turned.quality, HELD.quality[:, ::-1])
    assert np.array_equal(turned.scores.cost_usd, HELD.scores.cost_usd[:, ::-1])


def test_it_is_kept_to_three_digits() -> None:
    again = HeldOut.from_state(HELD.state(), 2)
    np.testing.assert_allclose(again.quality, HELD.quality, atol=1e-3)
    np.testing.assert_allclose(again.scores.cost_usd, HELD.scores.cost_usd)


@pytest.mark.parametrize("name", ["quality", "cost", "predicted_quality", "predicted_variance", "predicted_cost"])
def test_what_does_not_fit_is_refused(name: str) -> None:
    arrays = dict(HELD.state().arrays)
    cases = [arrays[name][:1], arrays[name][:, :1], np.full_like(arrays[name], np.nan), -1 - arrays[name]]
    for case in cases:
        with pytest.raises(ValueError, match="held out"):
            HeldOut.from_state(State({**arrays, name: case}), 2)
    del arrays[name]
    with pytest.raises(ValueError, match="held out"):
        HeldOut.from_state(State(arrays), 2)

from __future__ import annotations

from dataclasses import replace

import numpy as np
from unit.ml.estimators.check import check_estimator, columns, keeps_the_best, learns
from unit.ml.worlds import world

from pointsman.ml.estimators.elo import Elo, bradley_terry, duels, ratings


def weighted() -> Elo:
    return Elo(is_weighted=True, landmarks=64)


def test_it_keeps_the_protocol() -> None:
    check_estimator(Elo)
    check_estimator(weighted)


def test_weighted_it_learns_who_is_good_at_what() -> None:
    learns(weighted, gain=0.1)


def test_it_keeps_the_best_single_model_where_nothing_can_be_learnt() -> None:
    keeps_the_best(weighted)


def test_by_default_it_is_always_the_same_model() -> None:
    features, table = world()
    quality = Elo().fit(features, table).score(features).quality
    assert (quality == quality[0]).all()
    assert quality[0].argmax() == 0


def test_quality_rises_with_the_rating_also_where_means_do_not() -> None:
    features, table = world(200, is_plain=True)
    # The last one answers half of the prompts, all of them hard, and is better there than anybody.
    quality = table.quality.copy()
    quality[:100], quality[100:, 3], quality[:20, 3] = 0, np.nan, 1
    found = Elo().fit(features, replace(table, quality=quality)).score(features).quality[0]
    strengths = bradley_terry(*duels(quality, np.ones(200, np.float32)))
    assert np.nanmean(quality[:, 3]) < np.nanmean(quality[:, 0])
    assert strengths.argmax() == found.argmax() == 3
    assert np.argsort(found).tolist() == np.argsort(strengths).tolist()


def test_a_tie_is_half_a_win() -> None:
    won, met = duels(np.array([[1, 1, 0], [1, 0, np.nan]], np.float32), np.array([1, 2], np.float32))
    assert met[0].tolist() == [3, 3, 1]
    assert won[0, 1] == 2.5
    assert won[1, 0] == 0.5
    assert won[2, 0] == 0
    assert bradley_terry(*duels(np.ones((50, 3), np.float32), np.ones(50, np.float32))).tolist() == [0, 0, 0]


def test_four_hundred_points_are_ten_to_one() -> None:
    strengths = bradley_terry(np.array([[0, 1e6], [1e5, 0]]), np.array([[0, 1.1e6], [1.1e6, 0]]))
    first, second = ratings(strengths)
    assert abs(first - second - 400) < 0.1
    assert abs(first + second - 2000) < 0.1


def test_who_always_wins_has_a_finite_rating() -> None:
    strengths = bradley_terry(np.array([[0.0, 100.0], [0.0, 0.0]]), np.array([[0.0, 100.0], [100.0, 0.0]]))
    assert np.isfinite(strengths).all()
    assert strengths[0] - strengths[1] > 3


def test_equal_models_are_equal_whatever_their_order() -> None:
    features, table = world(100)
    twins = columns(table, [0, 0, 1])
    quality = Elo().fit(features, replace(twins, models=("b", "a", "c"))).score(features).quality
    np.testing.assert_allclose(quality[:, 0], quality[:, 1], atol=2e-3)

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from unit.ml.estimators.check import check_estimator, keeps_the_best, learns

from pointsman.ml.estimators.hybrid import (
    Hybrid,
    first_enough,
    labels_of,
    most_telling_margin,
    threshold_for_quality,
    threshold_for_share,
)


def small() -> Hybrid:
    return Hybrid(repeats=1, epochs=15, rate=0.01)


def test_it_keeps_the_protocol() -> None:
    check_estimator(lambda: Hybrid(hidden=8, repeats=1, epochs=2))


def test_it_learns_who_is_good_at_what() -> None:
    learns(small, gain=0.1)


def test_it_keeps_the_best_single_model_where_nothing_can_be_learnt() -> None:
    keeps_the_best(small)


GAPS = np.array([[-1.0, -0.4], [-0.2, 0.0], [0.0, np.nan], [1.0, 0.3]], np.float32)


@pytest.mark.parametrize("labels", ["deterministic", "transformed"])
def test_it_learns_from_other_labels_too(labels: Any) -> None:
    learns(lambda: Hybrid(labels=labels, repeats=1, epochs=15, rate=0.01), gain=0.05)


def test_labels_say_whether_a_model_does_about_as_well() -> None:
    found = labels_of(GAPS, "deterministic", 0.1)
    np.testing.assert_array_equal(found, [[0, 0], [0, 1], [1, np.nan], [1, 1]])
    soft = labels_of(GAPS, "probabilistic", 0.5)
    np.testing.assert_allclose(soft[[0, 2, 3], 0], [0.1192, 0.5, 0.8808], atol=1e-4)
    assert np.isnan(soft[2, 1])
    worse = np.array([[-0.9], [-0.7], [-0.5], [-0.3]], np.float32)
    np.testing.assert_array_equal(labels_of(worse, "transformed", 0.1), [[0], [0], [1], [1]])


def test_the_margin_is_where_labels_differ_most_and_the_smallest_of_equals() -> None:
    gaps = np.array([[-0.9, -0.7, -0.5, -0.3], [0.1, 0.0, 0.2, 0.1]], np.float32).T
    np.testing.assert_allclose(most_telling_margin(gaps), [0.5, 0.0], atol=1e-6)


def test_a_threshold_gives_the_small_model_its_share() -> None:
    enough = np.random.default_rng(0).random(1000).astype(np.float32)
    for share in (0.1, 0.5, 0.9):
        assert abs((enough >= threshold_for_share(enough, share)).mean() - share) < 0.01


def test_a_threshold_keeps_a_quality_with_as_few_large_calls_as_can_be() -> None:
    enough = np.array([0.9, 0.8, 0.8, 0.2], np.float32)
    small, large = np.array([1, 1, 0, 0], np.float32), np.ones(4, np.float32)
    assert threshold_for_quality(enough, small, large, 0.75) == np.float32(0.8)
    assert threshold_for_quality(enough, small, large, 1.0) == np.float32(0.9)
    assert threshold_for_quality(enough, small, large, 0.0) == np.float32(0.2)
    assert threshold_for_quality(enough, small, 0 * large, 0.9) == float("inf")


def test_the_first_tier_that_is_enough_is_taken() -> None:
    enough = np.array([[0.9, 0.1], [0.1, 0.9], [0.1, 0.1], [0.9, 0.9]], np.float32)
    assert first_enough(enough, np.array([0.5, 0.5], np.float32)).tolist() == [0, 1, 2, 0]

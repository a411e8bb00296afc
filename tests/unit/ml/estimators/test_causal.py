from __future__ import annotations

import numpy as np
from unit.ml.worlds import world

from pointsman.ml.estimators.causal import BELIEFS, evidence, fit_belief, qualities

MEAN = np.array([0.7, 0.4, 0.4, 0.4], np.float32)


def test_a_long_name_is_not_less_likely() -> None:
    said = evidence(np.array([[-2.0, -8.0]], np.float32), np.array([1, 4], np.float32))
    np.testing.assert_allclose(said, 0)


def test_a_common_name_is_not_more_likely() -> None:
    common = np.array([-1.0, -5.0], np.float32)
    said = evidence(np.array([[-1.0, -5.0], [-2.0, -4.0]], np.float32), np.ones(2, np.float32), common)
    np.testing.assert_allclose(said, [[0, 0], [-1, 1]])


def test_what_is_not_known_says_nothing() -> None:
    said = evidence(np.array([[np.nan, -1.0, -3.0], [np.nan] * 3], np.float32), np.ones(3, np.float32))
    np.testing.assert_allclose(said, [[0, 1, -1], [0, 0, 0]])


def test_evidence_moves_the_odds() -> None:
    said = np.array([[0, 1.0, -1.0, 0]], np.float32)
    found = qualities(said, MEAN, 2.0)
    np.testing.assert_allclose(found[0, [0, 3]], MEAN[[0, 3]], rtol=1e-5)
    odds = found / (1 - found)
    np.testing.assert_allclose(odds[0, 1:3] / (0.4 / 0.6), np.exp([2.0, -2.0]), rtol=1e-4)
    np.testing.assert_allclose(qualities(said, MEAN, 0.0)[0], MEAN, rtol=1e-5)


def test_true_evidence_is_believed_and_noise_is_not() -> None:
    chance = np.random.default_rng(0)
    said = chance.standard_normal((500, 4)).astype(np.float32)
    outcome = (chance.random((500, 4)) < qualities(said, MEAN, 1.0)).astype(np.float32)
    assert fit_belief(said, outcome, MEAN) in {0.5, 1.0, 2.0}
    assert fit_belief(chance.standard_normal((500, 4)).astype(np.float32), outcome, MEAN) == 0
    assert {0.0} < set(BELIEFS)


def test_few_outcomes_are_not_enough_to_believe() -> None:
    _, table = world(40)
    said = table.quality * 4
    assert fit_belief(said, table.quality, MEAN) > 0
    few = np.where(np.arange(40)[:, None] < 20, table.quality, np.nan).astype(np.float32)
    assert fit_belief(said, few, MEAN) == 0

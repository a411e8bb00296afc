from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pointsman.ml.base import Floats
from pointsman.ml.trust import FACTORS, LEAST_SHARE, trust

MEAN = np.array([0.6, 0.5, 0.3], np.float32)


def draws(count: int, size: float = 0.2, seed: int = 0) -> tuple[Floats, Floats]:
    """Deviations and qualities that follow them."""
    chance = np.random.default_rng(seed)
    deviations = chance.uniform(-size, size, (count, 3)).astype(np.float32)
    return deviations, (chance.random((count, 3)) < MEAN + deviations).astype(np.float32)


def against(found: NDArray[np.float64]) -> NDArray[np.float64]:
    """How differences to the first model are scaled, on average."""
    return np.array([found[1, 1] - found[1, 0], found[2, 2] - found[2, 0]])


def test_true_predictions_are_trusted() -> None:
    found = trust(*draws(20_000), MEAN, 0, 1.5)
    np.testing.assert_allclose(found, np.eye(3), atol=0.1)


@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_predictions_of_the_wrong_size_are_scaled(scale: float) -> None:
    deviations, quality = draws(20_000)
    found = trust(np.float32(scale) * deviations, quality, MEAN, 0, 1.5)
    np.testing.assert_allclose(found * scale, np.eye(3), atol=0.1)


def test_noise_is_not_trusted() -> None:
    _, quality = draws(2000, 0)
    deviations, _ = draws(2000, seed=1)
    assert np.abs(trust(deviations, quality, MEAN, 0, 1.5)).max() < 2 * LEAST_SHARE


def test_predictions_the_wrong_way_round_are_not_turned() -> None:
    deviations, quality = draws(5000)
    np.testing.assert_allclose(trust(-deviations, quality, MEAN, 0, 1.5), 0, atol=0.02)


def test_what_all_models_have_in_common_is_trusted_where_their_differences_are_not() -> None:
    chance = np.random.default_rng(0)
    hard = chance.uniform(-0.25, 0.25, (5000, 1))
    quality = (chance.random((5000, 3)) < MEAN + hard).astype(np.float32)
    deviations = (hard + chance.uniform(-0.1, 0.1, (5000, 3))).astype(np.float32)
    found = trust(deviations, quality, MEAN, 0, 1.5)
    assert np.abs(found.sum(0) - 1).max() < 0.15
    assert np.abs(against(found)).max() < 0.2


def test_few_prompts_leave_the_best_single_model_and_an_order_of_the_prompts() -> None:
    deviations, quality = draws(30, 0.05)
    found = trust(deviations, quality, MEAN, 0, 1.5)
    expected = MEAN + deviations @ found
    assert (expected.argmax(1) == 0).mean() > 0.9
    assert np.ptp(expected[:, 0] - expected[:, 1]) > 0


def test_what_is_not_known_does_not_count() -> None:
    deviations, quality = draws(20_000)
    gaps = np.where(np.random.default_rng(1).random(quality.shape) < 0.5, np.nan, quality).astype(np.float32)
    np.testing.assert_allclose(trust(deviations, gaps, MEAN, 0, 1.5), np.eye(3), atol=0.15)
    blank = np.full_like(quality, np.nan)
    assert np.isfinite(trust(deviations, blank, MEAN, 0, 1.5)).all()


def test_without_deviations_there_is_nothing_to_trust() -> None:
    _, quality = draws(100)
    assert np.abs(trust(np.zeros((100, 3), np.float32), quality, MEAN, 0, 1.5)).max() < 0.02
    assert FACTORS[0] > 0

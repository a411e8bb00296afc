from __future__ import annotations

import numpy as np

from pointsman.ml.linear import Linear, ridge


def plane(count: int = 50) -> tuple[np.ndarray, np.ndarray]:
    inputs = np.random.default_rng(0).standard_normal((count, 3)).astype(np.float32)
    return inputs, inputs @ np.array([[1, 0], [2, -1], [0, 3]], np.float32) + np.array([5, -7], np.float32)


def test_what_is_linear_is_found() -> None:
    inputs, targets = plane()
    found = ridge(inputs, targets, 1e-6)
    np.testing.assert_allclose(found(inputs), targets, atol=1e-4)
    np.testing.assert_allclose(found.intercept, [5, -7], atol=1e-4)


def test_targets_that_are_not_known_are_left_out_each_by_itself() -> None:
    inputs, targets = plane()
    gaps = targets.copy()
    gaps[:20, 0], gaps[30:, 1] = np.nan, np.nan
    found = ridge(inputs, gaps, 1.0)
    alone = [ridge(inputs[20:], targets[20:, :1], 1.0), ridge(inputs[:30], targets[:30, 1:], 1.0)]
    np.testing.assert_allclose(found.slopes, np.hstack([each.slopes for each in alone]), rtol=1e-4)


def test_a_target_that_is_known_nowhere_is_0() -> None:
    inputs, targets = plane()
    targets[:, 1] = np.nan
    assert not ridge(inputs, targets, 1.0)(inputs)[:, 1].any()
    assert not ridge(inputs[:0], targets[:0], 1.0)(inputs).any()


def test_a_heavy_penalty_leaves_the_mean() -> None:
    inputs, targets = plane()
    np.testing.assert_allclose(ridge(inputs, targets, 1e9)(inputs), np.tile(targets.mean(0), (50, 1)), atol=1e-3)


def test_a_weight_of_two_is_the_same_row_twice() -> None:
    inputs, targets = plane(10)
    targets = targets**2
    weights = np.ones(10, np.float32)
    weights[:4] = 2
    twice = ridge(np.vstack([inputs, inputs[:4]]), np.vstack([targets, targets[:4]]), 1.0)
    np.testing.assert_allclose(ridge(inputs, targets, 1.0, weights).slopes, twice.slopes, rtol=1e-4, atol=1e-4)


def test_rows_of_no_weight_do_not_count() -> None:
    inputs, targets = plane(10)
    weights = (np.arange(10) < 6).astype(np.float32)
    spoilt = np.where(weights[:, None] > 0, targets, 1e6).astype(np.float32)
    np.testing.assert_allclose(
        ridge(inputs, spoilt, 1.0, weights).slopes, ridge(inputs[:6], targets[:6], 1.0).slopes, rtol=1e-3
    )


def test_no_targets_are_no_columns() -> None:
    assert Linear(np.zeros((3, 0), np.float32), np.zeros(0, np.float32))(np.ones((2, 3), np.float32)).shape == (2, 0)
    assert ridge(np.ones((2, 3), np.float32), np.ones((2, 0), np.float32), 1.0).slopes.shape == (3, 0)

from __future__ import annotations

from typing import Any

import numpy as np
from unit.ml.slopes import expect_gradient, lesson, parameters

from pointsman.ml.descent import Parameters, descend, logit, sigmoid, surprise, surprise_slope
from pointsman.ml.residual import Lesson

PACE: Any = {"rate": 0.05, "decay": 0.0, "epochs": 60}


def loss(at: Parameters, part: Lesson) -> float:
    return surprise(part.inputs @ at["slopes"], part)


def gradient(at: Parameters, part: Lesson) -> Parameters:
    return {"slopes": part.inputs.T @ surprise_slope(part.inputs @ at["slopes"], part)}


def test_the_slope_of_the_surprise_is_its_derivative() -> None:
    expect_gradient(loss, gradient, parameters(slopes=(5, 4)), lesson())


def test_what_is_not_known_does_not_count() -> None:
    part = lesson(missing=0.5)
    other = np.where(np.isnan(part.quality), 7.0, 0.0)
    logits = np.asarray(part.inputs[:, :4])
    assert np.isfinite(surprise(logits, part))
    assert surprise(logits + other, part) == surprise(logits, part)
    assert not surprise_slope(logits, part)[np.isnan(part.quality)].any()


def test_weights_say_how_much_a_prompt_counts() -> None:
    part = lesson(missing=0)
    logits = np.asarray(part.inputs[:, :4])
    heavy = Lesson(part.inputs, part.quality, part.mean, np.eye(12)[3].astype(np.float32), part.groups, 0)
    assert np.isclose(surprise(logits, heavy), surprise(logits[[3]], part.of(np.array([3]))))


def test_descent_finds_what_can_be_learnt() -> None:
    part = lesson(400, missing=0)
    truth = np.array([[3.0, -3.0, 0.0, 1.0]] + [[0.0] * 4] * 4)
    outcome = np.random.default_rng(2).random((400, 4)) < sigmoid(part.inputs @ truth)
    learnable = Lesson(part.inputs, outcome.astype(np.float32), part.mean, part.weights, part.groups, 0)
    start = {"slopes": np.zeros((5, 4), np.float32)}
    found = descend(start, learnable, gradient, loss, np.random.default_rng(0), **PACE)
    assert loss(found, learnable) < 0.8 * loss(start, learnable)
    assert np.abs(found["slopes"] - truth).max() < 1.2
    assert not start["slopes"].any()


def test_where_nothing_can_be_learnt_the_start_is_nearly_kept() -> None:
    part = lesson(200, missing=0, width=50)
    found = descend({"slopes": np.zeros((50, 4), np.float32)}, part, gradient, loss, np.random.default_rng(0), **PACE)
    assert loss(found, lesson(200, missing=0, width=50, seed=5)) < 0.75


def test_equal_chances_give_equal_parameters() -> None:
    part, start = lesson(60), {"slopes": np.zeros((5, 4), np.float32)}
    first, second = (descend(start, part, gradient, loss, np.random.default_rng(3), **PACE) for _ in range(2))
    assert np.array_equal(first["slopes"], second["slopes"])


def test_one_prompt_is_enough_to_go_on() -> None:
    start = {"slopes": np.zeros((5, 4), np.float32)}
    assert np.isfinite(descend(start, lesson(1), gradient, loss, np.random.default_rng(0), **PACE)["slopes"]).all()


def test_logits_are_probabilities_the_other_way_round() -> None:
    shares = np.array([0.02, 0.5, 0.9], np.float32)
    np.testing.assert_allclose(sigmoid(logit(shares)), shares, rtol=1e-4)
    np.testing.assert_allclose(sigmoid(logit(np.array([0.0, 1.0], np.float32))), [0.01, 0.99], rtol=1e-4)
    assert np.isfinite(sigmoid(np.array([-1e9, 1e9], np.float32))).all()

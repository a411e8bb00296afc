from __future__ import annotations

import numpy as np
from unit.ml.slopes import expect_gradient, lesson, parameters

from pointsman.ml.descent import sigmoid, surprise
from pointsman.ml.network import gradient, logits, loss, train
from pointsman.ml.residual import Lesson


def test_the_gradient_is_the_derivative_of_the_loss() -> None:
    at = parameters(first=(5, 6), first_bias=(6,), second=(6, 4), second_bias=(4,))
    expect_gradient(loss, gradient, at, lesson())


def test_a_network_learns_what_no_plane_can() -> None:
    chance = np.random.default_rng(0)
    inputs = chance.uniform(-1, 1, (600, 2)).astype(np.float32)
    quality = (inputs[:, :1] * inputs[:, 1:] > 0).astype(np.float32)
    part = Lesson(inputs, quality, np.array([0.5], np.float32), np.ones(600, np.float32), np.zeros(600, np.intp), 0)
    found = train(part, chance, hidden=32, rate=0.03, decay=0.0, epochs=40)
    assert surprise(logits(found, inputs), part) < 0.4


def test_it_begins_with_the_means() -> None:
    part = lesson(missing=0)
    found = train(part, np.random.default_rng(0), hidden=4, rate=0.01, decay=0.0, epochs=0)
    np.testing.assert_allclose(sigmoid(logits(found, part.inputs)), 0.5)

from __future__ import annotations

import numpy as np
from unit.ml.estimators.check import check_estimator, keeps_the_best, learns
from unit.ml.slopes import expect_gradient, lesson, parameters

from pointsman.ml.descent import Parameters
from pointsman.ml.estimators.mf import Mf, loss, pairs_slope
from pointsman.ml.residual import Lesson


def small() -> Mf:
    return Mf(repeats=1, epochs=15)


def test_it_keeps_the_protocol() -> None:
    check_estimator(lambda: Mf(rank=4, repeats=1, epochs=2))


def test_it_learns_who_is_good_at_what() -> None:
    learns(small, gain=0.1)


def test_it_keeps_the_best_single_model_where_nothing_can_be_learnt() -> None:
    keeps_the_best(small)


def of_pairs(at: Parameters, part: Lesson) -> float:
    logits = part.inputs @ at["projection"] @ at["models"] + at["bias"]
    apart = logits[:, :, None] - logits[:, None, :]
    weights = (part.quality[:, :, None] > part.quality[:, None, :]) * part.weights[:, None, None]
    return float((weights * np.logaddexp(0, -apart)).sum() / weights.sum())


def test_the_gradient_is_the_derivative_of_both_losses() -> None:
    at = parameters(projection=(5, 3), models=(3, 4), bias=(4,))
    expect_gradient(loss, Mf(pairs=0.0).gradient, at, lesson())
    both = Mf(pairs=0.7)
    expect_gradient(lambda at, part: loss(at, part) + 0.7 * of_pairs(at, part), both.gradient, at, lesson())


def test_a_tie_says_nothing_about_the_order_of_two_models() -> None:
    part = lesson(missing=0)
    part.quality[:] = part.quality[:, :1]
    assert not pairs_slope(np.asarray(part.inputs[:, :4]), part).any()

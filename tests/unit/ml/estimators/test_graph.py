from __future__ import annotations

from unit.ml.estimators.check import check_estimator, keeps_the_best, learns
from unit.ml.slopes import expect_gradient, lesson, parameters

from pointsman.ml.estimators.graph import Graph, gradient, loss


def small() -> Graph:
    return Graph(repeats=1, epochs=15)


def test_it_keeps_the_protocol() -> None:
    check_estimator(lambda: Graph(hidden=8, repeats=1, epochs=2))


def test_it_learns_who_is_good_at_what() -> None:
    learns(small, gain=0.1)


def test_it_keeps_the_best_single_model_where_nothing_can_be_learnt() -> None:
    keeps_the_best(small)


def test_the_gradient_is_the_derivative_of_the_loss() -> None:
    square = (6, 6)
    at = parameters(prompt=(5, 6), model=(4, 6), hear=square, keep=square, tell=square, again=square, bias=(4,))
    expect_gradient(loss, gradient, at, lesson())


def test_models_hear_from_prompts_that_they_did_unusually_on() -> None:
    part = lesson(missing=0)
    at = parameters(prompt=(5, 6), model=(4, 6), hear=(6, 6), keep=(6, 6), tell=(6, 6), again=(6, 6), bias=(4,))
    before = loss(at, part)
    part.quality[0] = 1 - part.quality[0]  # lends its edges only
    assert loss(at, part) != before

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from unit.ml.estimators.check import check_estimator, keeps_the_best, learns
from unit.ml.slopes import expect_gradient, lesson, parameters

from pointsman.ml.estimators.routerdc import RouterDC


def small() -> RouterDC:
    return RouterDC(repeats=1, epochs=8)


def test_it_keeps_the_protocol() -> None:
    check_estimator(lambda: RouterDC(size=8, repeats=1, epochs=2))


def test_it_learns_who_is_good_at_what() -> None:
    learns(small, gain=0.1)


def test_it_keeps_the_best_single_model_where_nothing_can_be_learnt() -> None:
    keeps_the_best(small)


def with_groups(part: Any, groups: Any) -> Any:
    return replace(part, groups=groups)


def expect_derivative(router: RouterDC, part: Any) -> None:
    expect_gradient(
        lambda at, part: router.loss_and_gradient(at, part)[0],
        lambda at, part: router.loss_and_gradient(at, part)[1],
        parameters(projection=(5, 6), models=(4, 6)),
        part,
    )


def test_the_gradient_is_the_derivative_of_the_three_losses() -> None:
    part = lesson()
    groups = np.random.default_rng(0).integers(-1, 3, (12, 2))
    expect_derivative(RouterDC(tasks=0, clusters=0), with_groups(part, groups))
    expect_derivative(RouterDC(tasks=1.5, clusters=0.5), with_groups(part, groups))


def test_where_all_models_did_equally_well_there_is_nothing_to_learn() -> None:
    part = lesson(missing=0)
    part.quality[:] = 1
    alone = with_groups(part, np.full((12, 2), -1))
    loss, gradient = RouterDC().loss_and_gradient(parameters(projection=(5, 6), models=(4, 6)), alone)
    assert loss == 0
    assert not any(np.abs(slope).max() for slope in gradient.values())

from __future__ import annotations

import numpy as np
from unit.ml.estimators.check import check_estimator, keeps_the_best, learns
from unit.ml.worlds import world

from pointsman.ml.estimators.ridge import Ridge, _heaviest


def test_it_keeps_the_protocol() -> None:
    check_estimator(Ridge)


def test_it_learns_who_is_good_at_what() -> None:
    learns(Ridge, gain=0.1)


def test_it_keeps_the_best_single_model_where_nothing_can_be_learnt() -> None:
    keeps_the_best(Ridge)


def test_of_penalties_that_predict_about_as_well_the_heaviest_is_taken() -> None:
    chance = np.random.default_rng(0)
    losses = 1 + chance.normal(size=(1, 200)) / 2
    assert _heaviest(np.vstack([losses, losses + chance.normal(size=(3, 200)) / 100])) > 0
    assert _heaviest(np.vstack([losses + 0.2, losses, losses + 0.1, losses + 0.5])) == 1


def test_a_heavier_penalty_says_less() -> None:
    features, table = world(300)
    slopes = [
        Ridge(penalties=(penalty,)).fit(features, table).state().arrays["member00/slopes"] for penalty in (1.0, 1000.0)
    ]
    assert np.abs(slopes[1]).sum() < np.abs(slopes[0]).sum() / 3

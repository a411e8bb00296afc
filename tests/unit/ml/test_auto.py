from __future__ import annotations

import numpy as np
from unit.ml.estimators.check import check_estimator, keeps_the_best, learns
from unit.ml.worlds import world

from pointsman.ml.auto import Auto
from pointsman.ml.estimators.knn import Knn
from pointsman.ml.estimators.ridge import Ridge
from pointsman.ml.residual import Residual


class Quick(Auto):
    MEMBERS = (Ridge, Knn)


def test_it_keeps_the_protocol() -> None:
    check_estimator(Quick)


def test_it_learns_who_is_good_at_what() -> None:
    learns(Auto, gain=0.1)


def test_it_keeps_the_best_single_model_where_nothing_can_be_learnt() -> None:
    keeps_the_best(Quick)


def test_every_member_has_a_weight_for_what_all_models_share_and_one_for_what_tells_them_apart() -> None:
    weights = Auto().fit(*world(200)).state().arrays["weights"]
    assert weights.shape == (2 * len(Auto.MEMBERS),)
    assert (weights >= 0).all()
    assert 0.5 < weights[len(Auto.MEMBERS) :].sum() < 1.5


def test_it_does_at_least_about_as_well_as_each_of_its_members() -> None:
    features, table = world(200, seed=4)
    asked, outcome = world(600, seed=5)
    makers: list[type[Residual]] = [*Auto.MEMBERS, Auto]
    errors = [
        float(((make().fit(features, table).score(asked).quality - outcome.quality) ** 2).mean()) for make in makers
    ]
    assert errors[-1] <= np.mean(errors[:-1])


def test_what_no_member_says_anything_of_gets_no_weight_of_its_own() -> None:
    features, table = world(100)
    blind = type(features)(np.zeros_like(features.embedding), np.zeros_like(features.surface))
    quality = Auto().fit(blind, table).score(blind).quality
    assert np.ptp(quality, axis=0).max() < 0.02

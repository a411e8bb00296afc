from __future__ import annotations

from dataclasses import replace

import numpy as np
from unit.ml.estimators.check import check_estimator, keeps_the_best, learns
from unit.ml.worlds import world

from pointsman.ml.auto import HIGHEST_WEIGHT, Auto, _weights
from pointsman.ml.estimators.knn import Knn
from pointsman.ml.estimators.ridge import Ridge
from pointsman.ml.residual import Lesson, Residual


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
    count = len(Auto.MEMBERS) + len(Auto.BESIDE)
    assert weights.shape == (2 * count,)
    assert (weights >= 0).all()
    assert 0.5 < weights[count:].sum() < 1.5


def test_where_there_are_few_models_one_more_is_asked_and_all_have_nearly_equal_says() -> None:
    features, table = world(100)
    learnt = Auto().fit(features, table).state().arrays
    assert any(name.startswith("member00/svm.") for name in learnt)
    wide = replace(
        table,
        models=tuple(f"{name}-{i}" for i in range(3) for name in table.models),
        quality=np.hstack([table.quality] * 3),
        cost_usd=np.hstack([table.cost_usd] * 3),
    )
    many = Auto().fit(features, wide).state().arrays
    assert not any(name.startswith("member00/svm.") for name in many)
    assert many["weights"].shape == (2 * len(Auto.MEMBERS),)


def test_weights_of_few_labels_make_what_members_say_equally_large() -> None:
    chance = np.random.default_rng(1)
    said = chance.normal(size=(2, 40, 2)).astype(np.float32) * np.array([0.01, 0.1], np.float32)[:, None, None]
    truth = said[0] * 10 + said[1]
    lesson = Lesson(
        inputs=np.zeros((40, 1), np.float32),
        quality=0.5 + truth,
        mean=np.full(2, 0.5, np.float32),
        weights=np.ones(40, np.float32),
        groups=np.full(40, -1),
        baseline=0,
    )
    apart = _weights(said, lesson)[2:]
    assert apart[0] == HIGHEST_WEIGHT  # else about ten times the other
    assert 0.7 < apart[1] < 1.3


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

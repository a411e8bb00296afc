from __future__ import annotations

import numpy as np
from unit.ml.estimators.check import check_estimator, keeps_the_best, learns
from unit.ml.worlds import world

from pointsman.ml.estimators.svm import Svm


def small() -> Svm:
    return Svm(landmarks=64, penalty=3.0)


def test_it_keeps_the_protocol() -> None:
    check_estimator(small)


def test_it_learns_who_is_good_at_what() -> None:
    learns(small, gain=0.1)


def test_it_keeps_the_best_single_model_where_nothing_can_be_learnt() -> None:
    keeps_the_best(small)


def test_landmarks_are_at_most_as_many_as_prompts() -> None:
    assert Svm(landmarks=16).fit(*world(60)).state().arrays["member00/landmarks"].shape[0] == 16
    assert Svm().fit(*world(60)).state().arrays["member00/landmarks"].shape[0] == 60


def test_what_is_far_from_all_landmarks_gets_no_deviation_of_its_own() -> None:
    features, table = world(200, is_told=False)
    fitted = Svm(width=0.3).fit(features, table)
    far = fitted.score(type(features)(-features.embedding, 50 * features.surface)).quality
    assert np.ptp(far, axis=0).max() < 1e-3

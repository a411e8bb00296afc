from __future__ import annotations

import numpy as np
from unit.ml.estimators.check import check_estimator, keeps_the_best, learns
from unit.ml.worlds import CHANCES, world

from pointsman.ml.estimators.clusters import Clusters


def small() -> Clusters:
    return Clusters(clusters=6)


def test_it_keeps_the_protocol() -> None:
    check_estimator(small)


def test_it_learns_who_is_good_at_what() -> None:
    learns(small, gain=0.1)


def test_it_keeps_the_best_single_model_where_nothing_can_be_learnt() -> None:
    keeps_the_best(small)


def test_each_cluster_knows_what_models_are_worth_there() -> None:
    features, table = world(2000, is_told=False)
    clusters = Clusters(clusters=3, prior=1.0).fit(features, table)
    found = np.array([member["means"] for member in clusters._members])[0] + table.quality.mean(0)
    for chances in CHANCES:
        assert np.abs(found - chances).mean(1).min() < 0.12


def test_there_are_no_more_clusters_than_prompts_call_for() -> None:
    features, table = world(100)
    for member in Clusters(clusters=64, least=30).fit(features, table)._members:
        assert len(member["centres"]) <= 4


def test_a_prompt_belongs_to_clusters_as_far_as_it_is_near_them() -> None:
    features, table = world(200)
    clusters = small().fit(features, table)
    member = clusters._members[0]
    inputs = member["centres"][:3] + np.float32(0.1)
    near = -clusters.sharpness / 2 * ((inputs[:, None] - member["centres"]) ** 2).sum(2)
    shares = np.exp(near) / np.exp(near).sum(1, keepdims=True)
    np.testing.assert_allclose(clusters.deviations(clusters._ready[0], inputs), shares @ member["means"], atol=1e-5)

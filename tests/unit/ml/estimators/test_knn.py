from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from unit.ml.estimators.check import check_estimator, keeps_the_best, learns
from unit.ml.worlds import world

from pointsman.ml.base import Features
from pointsman.ml.estimators.knn import Knn


def small() -> Knn:
    return Knn(reach=100, cell=30)


def test_it_keeps_the_protocol() -> None:
    check_estimator(small)


def test_it_learns_who_is_good_at_what() -> None:
    learns(small, gain=0.1)


def test_it_keeps_the_best_single_model_where_nothing_can_be_learnt() -> None:
    keeps_the_best(small)


def test_a_prompt_it_has_seen_gets_what_was_seen_of_it_and_one_like_nothing_gets_the_means() -> None:
    features, table = world(200, is_told=False)
    knn = Knn(width=0.1, prior=0.1)
    quality = np.tile((np.arange(200) % 2).astype(np.float32)[:, None], (1, 4))
    lesson = knn.fit(features, replace(table, quality=quality))
    said = lesson._said(lesson._ready, np.hstack([features.embedding, 0.15 * features.surface]))
    assert said[1].mean() > 0.3
    assert said[0].mean() < -0.3
    far = np.hstack([-features.embedding[:1], -3 * np.ones((1, 3), np.float32)])
    np.testing.assert_allclose(lesson._said(lesson._ready, far), 0, atol=1e-3)


def test_looking_at_fewer_cells_changes_little() -> None:
    features, table = world(300)
    asked, _ = world(50, seed=3)
    near = Knn(reach=150, cell=20).fit(features, table).score(asked).quality
    whole = Knn(reach=1000, cell=20).fit(features, table).score(asked).quality
    assert np.abs(near - whole).mean() < 0.02


def test_what_is_stored_is_small() -> None:
    features, table = world(100)
    arrays = Knn().fit(features, table).state().arrays
    assert arrays["member00/prompts"].dtype == np.int8
    assert arrays["member00/outcomes"].dtype == np.float16
    assert arrays["member00/counts"].shape == (100, 1)


def test_prompts_of_other_lengths_do_not_overflow() -> None:
    features, table = world(100)
    knn = small().fit(features, table)
    far = Features(np.ones((1, features.embedding.shape[1]), np.float32), np.full((1, 3), 3.0, np.float32))
    assert np.isfinite(knn.score(far).quality).all()


def test_a_bell_that_no_number_can_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="width"):
        Knn(width=0.05)


def test_it_says_the_mean_of_all_it_has_seen_by_the_bell_where_it_looks_at_everything() -> None:
    features, table = world(120, is_told=False)
    knn = Knn(reach=1000, cell=20).fit(features, table)
    member = knn._members[0]
    inputs = np.hstack([features.embedding, 0.15 * features.surface])[:10]
    prompts = member["prompts"].astype(np.float64) * float(member["scale"])
    apart = ((inputs[:, None] - prompts) ** 2).sum(2)
    weights = np.exp((1 - apart) / (2 * knn.width**2))
    told, counts = (weights @ member[name].astype(np.float64) for name in ("outcomes", "counts"))
    np.testing.assert_allclose(knn._said(knn._ready, inputs), told / (counts + knn.prior), rtol=1e-4, atol=1e-5)

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from unit.ml.evaluation.tables import permuted, table

from pointsman.ml.evaluation.baselines import best_single, llmrouter_knn, oracle, task_means, zero_router
from pointsman.ml.evaluation.metrics import figures

BEST = 3


def test_the_best_single_model_has_the_highest_mean() -> None:
    assert best_single(table()) == BEST


def test_of_equally_good_models_the_cheaper_one_is_the_best_whatever_their_order() -> None:
    known = table()
    known.quality[:, 1] = known.quality[:, 3]
    for places in ([0, 1, 2, 3], [3, 2, 1, 0]):
        turned = permuted(known, places)
        assert turned.models[best_single(turned)] == "b"


def test_missing_outcomes_do_not_count_against_a_model() -> None:
    known = table()
    known.quality[10:, 3] = np.nan
    assert best_single(known) == BEST


def test_without_outcomes_there_is_no_best_model() -> None:
    known = table()
    known.quality[:] = np.nan
    with pytest.raises(ValueError, match="no outcome"):
        best_single(known)


def test_the_zero_router_is_as_the_reference_has_it() -> None:
    found = figures(zero_router(table(), BEST), table(), BEST)
    assert found.aiq.value == pytest.approx(0.6212962775871312)
    assert found.aiq_log.value == pytest.approx(0.5492378830084919, abs=2e-4)
    assert found.accuracy.value == pytest.approx(table().quality[:, BEST].mean())
    assert found.cost_save.value == pytest.approx(0.0)


def test_the_oracle_takes_the_cheapest_of_the_best() -> None:
    found = figures(oracle(table()), table(), BEST)
    assert found.accuracy.value == pytest.approx(table().quality.max(1).mean())
    assert found.cost_usd.value == pytest.approx(0.0003945238135202089)
    assert found.gap_to_oracle.value == pytest.approx(0.0)


def test_task_means_are_as_the_reference_has_them() -> None:
    found = figures(task_means(table(), table()), table(), BEST)
    assert found.aiq_log.value == pytest.approx(0.5605359905506863, abs=2e-4)


def test_a_task_that_was_never_seen_gets_the_best_single_model() -> None:
    test = replace(table(), tasks=["unheard of"] * 60)
    assert (task_means(table(), test).choices[0] == BEST).all()


def test_llmrouters_knn_falls_for_the_order_of_the_models() -> None:
    embedding = np.eye(60, dtype=np.float32)
    known = table()
    known.quality[:] = 1.0
    assert (llmrouter_knn(known, embedding, embedding).choices == 0).all()


def test_llmrouters_knn_lets_the_nearest_prompts_vote() -> None:
    angles = np.linspace(0, np.pi / 2, 60)
    embedding = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    known = table()
    known.quality[:30] = [0, 0, 1, 0]
    known.quality[30:] = [0, 1, 0, 0]
    choices = llmrouter_knn(known, embedding, embedding).choices[0]
    assert (choices[:27] == 2).all()
    assert (choices[33:] == 1).all()

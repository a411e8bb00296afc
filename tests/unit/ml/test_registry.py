from __future__ import annotations

import pytest

from pointsman.ml.custom import problems_of
from pointsman.ml.estimators.knn import Knn
from pointsman.ml.registry import CUSTOM, ESTIMATORS, PROCEDURES, SIZES, STRATEGIES, estimator_of, strategy_of


def test_all_strategies_of_the_library_they_come_from_are_there() -> None:
    names = (
        "knn svm mlp mf elo routerdc hybrid causallm graph automix r1 gmt knn-multiround llm-multiround "
        "smallest largest custom"
    )
    for name in names.split():
        assert strategy_of(f"llmrouter-{name}") == name
        assert strategy_of(name) == name
    assert strategy_of("auto") == "auto"
    assert strategy_of("simple-shuffle") is None


def test_estimators_go_by_their_own_name_and_keep_the_protocol() -> None:
    for name, estimator in ESTIMATORS.items():
        assert name == estimator.NAME
        assert problems_of(estimator) == []
    assert set(SIZES) <= set(ESTIMATORS)
    assert len(STRATEGIES) == len({*ESTIMATORS, *PROCEDURES, CUSTOM})


def test_who_learns_is_found_by_strategy() -> None:
    assert estimator_of("knn") is Knn
    assert estimator_of("custom", Knn) is Knn
    for name in ("custom", "automix", "nearest"):
        with pytest.raises(ValueError, match="there is no estimator named"):
            estimator_of(name)

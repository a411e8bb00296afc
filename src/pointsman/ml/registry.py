"""The strategies by name. Estimators from elsewhere take the same path, handed over by whoever imports them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pointsman.ml.auto import Auto
from pointsman.ml.base import Estimator
from pointsman.ml.estimators.causal import Causal
from pointsman.ml.estimators.clusters import Clusters
from pointsman.ml.estimators.elo import Elo
from pointsman.ml.estimators.gmt import Gmt
from pointsman.ml.estimators.graph import Graph
from pointsman.ml.estimators.hybrid import Hybrid
from pointsman.ml.estimators.knn import Knn
from pointsman.ml.estimators.mf import Mf
from pointsman.ml.estimators.mlp import Mlp
from pointsman.ml.estimators.ridge import Ridge
from pointsman.ml.estimators.routerdc import RouterDC
from pointsman.ml.estimators.size import Largest, Smallest
from pointsman.ml.estimators.svm import Svm

ESTIMATORS: Mapping[str, type[Any]] = {
    estimator.NAME: estimator
    for estimator in (
        Auto,
        Causal,
        Clusters,
        Elo,
        Gmt,
        Graph,
        Hybrid,
        Knn,
        Largest,
        Mf,
        Mlp,
        Ridge,
        RouterDC,
        Smallest,
        Svm,
    )
}
PROCEDURES = ("automix", "r1", "knn-multiround", "llm-multiround")
"""Strategies that ask models on the way."""
CUSTOM = "custom"
SIZES = ("smallest", "largest")
"""These predict no quality: what they say is an order of preference, at any price."""
STRATEGIES: tuple[str, ...] = (*sorted(ESTIMATORS), *PROCEDURES, CUSTOM)
PREFIX = "llmrouter-"


def strategy_of(name: str) -> str | None:
    """``knn`` of ``llmrouter-knn`` or ``knn``; ``None`` for a name that is none of a strategy."""
    strategy = name.removeprefix(PREFIX)
    return strategy if strategy in STRATEGIES else None


def estimator_of(strategy: str, custom: type[Estimator] | None = None) -> type[Any]:
    """The class that learns and scores for a strategy; ``custom`` is the one of an operator's own.

    :raises ValueError: there is none of this name, or it is one that asks models on the way
    """
    if strategy == CUSTOM and custom is not None:
        return custom
    if strategy in ESTIMATORS:
        return ESTIMATORS[strategy]
    raise ValueError(f"there is no estimator named {strategy!r}; there are {', '.join(sorted(ESTIMATORS))}")

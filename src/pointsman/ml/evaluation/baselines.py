"""What every router has to beat, and what none can.

Runs on a table of test prompts; what they know they learn from a table of other prompts with the same models.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pointsman.ml.base import Floats, Table
from pointsman.ml.evaluation.metrics import Run, sweep

BATCH = 512


def best_single(table: Table) -> int:
    """The place of the model with the highest mean quality. Equals: the cheaper one, then by name.

    :raises ValueError: no outcome is known
    """
    quality, cost = _means(table.quality), _means(table.cost_usd)
    if np.isnan(quality).all():
        raise ValueError("no outcome is known")
    rank = np.argsort(np.argsort(np.array(table.models)))
    return int(np.lexsort((rank, cost, -quality))[0])


def zero_router(table: Table, best: int) -> Run:
    """Every model for all prompts: its hull needs no router (RouterBench). The first setting is the best single one."""
    places = [best, *(place for place in range(len(table.models)) if place != best)]
    return Run("zero router", np.repeat(np.array(places)[:, None], len(table), axis=1))


def oracle(table: Table) -> Run:
    """For each prompt the cheapest of the models that answered it best."""
    is_best = table.quality == table.quality.max(1, keepdims=True)
    return Run("oracle", np.where(is_best, table.cost_usd, np.inf).argmin(1)[None, :])


def task_means(train: Table, test: Table) -> Run:
    """A router that is told the task of each prompt, and takes what is best for that task on average."""
    overall = _means(train.quality)
    tasks = np.array(train.tasks)
    known = {task: _means(train.quality[tasks == task], overall) for task in sorted(set(train.tasks))}
    quality = np.array([known.get(task, overall) for task in test.tasks], np.float64)
    cost = np.broadcast_to(_means(train.cost_usd), quality.shape)
    return Run("task means (told the task)", sweep(quality, cost, test.models))


def llmrouter_knn(train: Table, embedding: Floats, test_embedding: Floats, k: int = 5) -> Run:
    """LLMRouter's ``knn``, as it is: the ``k`` nearest prompts vote for "the best model" of each.

    Of models that answered a prompt equally well that is the first one of the file, which is what makes it bad; here,
    and here only, the order of the models decides.
    """
    is_known = ~np.isnan(train.quality).all(1)
    labels = np.nan_to_num(train.quality[is_known], nan=-np.inf).argmax(1)
    base = embedding[is_known].astype(np.float64)
    lengths = (base**2).sum(1)
    choices = []
    for start in range(0, len(test_embedding), BATCH):
        distance = lengths - 2.0 * (test_embedding[start : start + BATCH] @ base.T)
        nearest = np.argpartition(distance, min(k, len(base)) - 1, axis=1)[:, :k]
        choices += [np.bincount(votes).argmax() for votes in labels[nearest]]
    return Run(f"kNN-{k} as in LLMRouter", np.array([choices], np.intp).reshape(1, -1))


def _means(values: Floats, default: NDArray[np.float64] | float = np.nan) -> NDArray[np.float64]:
    """(m,) of what is known of (n, m)."""
    known = ~np.isnan(values)
    count = known.sum(0)
    total = np.where(known, values, 0.0).sum(0, dtype=np.float64)
    return np.where(count > 0, total / np.maximum(count, 1), default)

"""A strategy measured on prompts whose outcomes are known, beside what needs no strategy."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np

from pointsman.ml import table as tables
from pointsman.ml.base import Scores, Table
from pointsman.ml.decision import choose_many
from pointsman.ml.evaluation.baselines import best_single, llmrouter_knn, oracle, task_means, zero_router
from pointsman.ml.evaluation.metrics import RESAMPLES, Doubles, Places, Run, calibration_error, sweep
from pointsman.ml.evaluation.report import Comparison, compare
from pointsman.ml.knobs import PRICES
from pointsman.ml.learned import Learned

BATCH = 4096
"""Prompts that are scored at a time."""
DECIDED = "with doubt, as it decides"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A strategy on a table."""

    comparison: Comparison
    """Of prompts for which every outcome is known."""
    calibration_errors: Doubles
    """(m,) expected, of the quality; NaN where nothing came out."""
    spend_errors: Doubles
    """(k,) at each price, how much more is predicted to be spent than is, as a part of that."""


def scored(learned: Learned, table: Table) -> Scores:
    """What is expected for all prompts of a table, some at a time."""
    parts = []
    for start in range(0, len(table), BATCH):
        rows = slice(start, start + BATCH)
        parts.append(learned.score(learned.features(list(table.prompts[rows]), list(table.users[rows]))))
    quality, variance, cost = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("quality", "variance", "cost_usd")
    )
    return Scores(quality, variance, cost)


def measure(learned: Learned, test: Table, train: Table | None, title: str, *, resamples: int = RESAMPLES) -> Measured:
    """Measure a strategy whose candidates are the models of the table, in its order.

    Routers that it is compared with learn from ``train``, which has the same models; without it there are fewer.

    :raises ValueError: no prompt has the outcome and the cost of every model
    """
    is_whole = np.isfinite(test.quality).all(1) & np.isfinite(test.cost_usd).all(1)
    if not is_whole.any():
        raise ValueError("no prompt has the score and the cost of every model")
    scores = scored(learned, test)
    whole = tables.rows(test, is_whole)
    known = Scores(scores.quality[is_whole], scores.variance[is_whole], scores.cost_usd[is_whole])
    own = Run(learned.strategy, sweep(known.quality, known.cost_usd, test.models))
    best = best_single(train) if train is not None else _baseline(learned)
    decided = Run(DECIDED, _decided(learned, known))
    rivals = _others(learned, whole, train, best)
    runs = [own, *rivals] if np.array_equal(own.choices, decided.choices) else [own, decided, *rivals]
    return Measured(
        comparison=compare(title, runs, whole, best, resamples=resamples),
        calibration_errors=np.array(
            [calibration_error(*pair) for pair in zip(scores.quality.T, test.quality.T, strict=True)]
        ),
        spend_errors=_spend_errors(own, known, whole),
    )


def _baseline(learned: Learned) -> int:
    return learned.candidates.baseline(0.0, learned.candidates.all)


def _decided(learned: Learned, scores: Scores) -> Places:
    """(k, n) what the decision layer chooses at each price."""
    setting = msgspec.structs.replace(learned.policy, max_cost_usd=None, min_quality=None)
    return np.array(
        [choose_many(learned.candidates, scores, msgspec.structs.replace(setting, price=price)) for price in PRICES]
    )


def _others(learned: Learned, test: Table, train: Table | None, best: int) -> list[Run]:
    runs = [Run("best single model", np.full((1, len(test)), best, np.intp)), zero_router(test, best)]
    if train is not None and len(train):
        known, asked = (learned.features(list(table.prompts), list(table.users)).embedding for table in (train, test))
        runs.append(llmrouter_knn(train, known, asked))
        runs += [task_means(train, test)] if train.tasks and test.tasks else []
    return [*runs, oracle(test)]


def _spend_errors(run: Run, scores: Scores, table: Table) -> Doubles:
    rows = np.arange(len(table))
    spent = table.cost_usd[rows, run.choices].mean(1, dtype=np.float64)
    errors: Doubles = scores.cost_usd[rows, run.choices].mean(1, dtype=np.float64) / np.maximum(spent, 1e-12) - 1.0
    return errors

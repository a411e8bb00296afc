"""Training: from a table of outcomes to a strategy that can decide, with what it is worth on prompts it never saw.

1. The prompts are split by a hash of their text. For each part an embedder and an estimator are fitted to the others,
   and predict it: what was *held out*. An embedder that knows a prompt is surer of it than of one it never saw, even
   without its outcomes; the shares and the spend that knobs come to would be wrong by that.
2. From what was held out come the doubt, the frontier of the knobs, the report, and by how much costs and qualities
   are mistaken.
3. The embedder and the estimator that are kept are fitted to everything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pointsman.ml import table as tables
from pointsman.ml.base import Embedder, Estimator, Features, Floats, Scores, Table
from pointsman.ml.calibration import HeldOut, doubt_of, frontier, sample
from pointsman.ml.checkpoint import About, Data, Model, Packed, pack
from pointsman.ml.decision import Candidates, Setting
from pointsman.ml.embedders.hashed import Hashed
from pointsman.ml.evaluation.baselines import best_single, llmrouter_knn, oracle, task_means, zero_router
from pointsman.ml.evaluation.metrics import RESAMPLES, Run, sweep
from pointsman.ml.evaluation.report import Comparison, compare
from pointsman.ml.features import Featurizer
from pointsman.ml.knobs import PRICES
from pointsman.ml.learned import LOCAL, ONLY_QUALITY, Learned, parts_of
from pointsman.ml.prior import Card
from pointsman.ml.registry import SIZES, estimator_of
from pointsman.ml.residual import Residual, within

Progress = Callable[[str, float], None]
FOLDS = 4
LEAST_PROMPTS = 20
"""With fewer nothing is held out."""
TOLERANCE = 0.003
"""Of quality, by which a strategy may be worse than the best single model where it is measured."""
MISTAKEN_PROMPTS = 500.0
"""As many speak for predictions that are right on average; by fewer it is hardly known how mistaken they are."""
MOST_MISTAKEN = 2.0
LEAST_COST_USD = 1e-12
UNTRAINED = "untrained"


class NothingToLearn(ValueError):
    """A table that no strategy can be trained on: what is missing, and what to do."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(f"{what} ({hint})")
        self.what = what
        self.hint = hint


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A strategy, and what it is worth on prompts that were held out."""

    learned: Learned
    estimator: Estimator
    table: Table
    cards: Mapping[str, Card]
    held_out: HeldOut
    """By all prompts, in the order of the table; what was not held out is not there."""
    report: Comparison | None
    """``None`` where there are too few prompts with an outcome of every model."""
    gain: float
    """Mean quality more than that of the best single model of the other folds, where only quality counts."""

    @property
    def loses(self) -> bool:
        """Whether it did worse than the best single model on prompts it never saw; only who claims quality can."""
        return self.learned.strategy not in SIZES and self.gain < -TOLERANCE

    def about(self, *, created: str, sources: Sequence[str] = (), licence: str = "", data_licence: str = "") -> About:
        """What a manifest says. ``created`` is a time as RFC 3339 has it."""
        learned, names = self.learned, self.table.models
        cost = _means(self.table.cost_usd)
        baseline = learned.candidates.baseline(0.0, learned.candidates.all)
        return About(
            strategy=learned.strategy,
            embedder=learned.featurizer.embedder.id,
            features={"dimension": learned.featurizer.embedder.dimension, "estimator": self.estimator.NAME}
            | _lengths(self.table),
            models=tuple(
                Model(
                    name=name,
                    quality=_known(learned.candidates.quality[i]),
                    cost_usd=_known(cost[i]),
                    input_usd_per_million=self.cards[name].input_usd_per_million if name in self.cards else None,
                    output_usd_per_million=self.cards[name].output_usd_per_million if name in self.cards else None,
                )
                for i, name in enumerate(names)
            ),
            baseline=names[baseline],
            data=Data(
                sha256=tables.digest(self.table),
                prompts=len(self.table),
                labels=int(np.isfinite(self.table.quality).sum()),
                sources=tuple(sources),
                licence=data_licence,
            ),
            metrics=self._metrics(),
            frontier=learned.frontier,
            doubt=learned.policy.doubt,
            licence=licence,
            created=created,
        )

    def _metrics(self) -> dict[str, tuple[float, float, float]]:
        if self.report is None:
            return {}
        own = next(router for router in self.report.routers if router.name == self.learned.strategy)
        found = {"quality": own.accuracy, "aiq": own.aiq, "aiq_log": own.aiq_log, "cost_save": own.cost_save}
        return {name: (f.value, f.low, f.high) for name, f in found.items() if np.isfinite(f).all()}

    def packed(
        self, about: About, *, private_key_pem: bytes | None = None, more: Mapping[str, Any] | None = None
    ) -> Packed:
        """The checkpoint; ``more`` are further parts by name.

        :raises BadCheckpoint: it is too large, or cannot be signed
        """
        parts = parts_of(self.learned, self.estimator) | dict(more or {})
        local = self.learned.local
        if local is not None:
            parts |= parts_of(local, local.scorer, LOCAL)  # type: ignore[arg-type]  # made by :func:`train`
        return pack(about, parts, private_key_pem=private_key_pem)


def train(
    table: Table,
    strategy: str = "auto",
    *,
    cards: Sequence[Card] = (),
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    progress: Progress = lambda _what, _share: None,
    embedder: Embedder | None = None,
    custom: type[Estimator] | None = None,
    resamples: int = RESAMPLES,
) -> Trained:
    """Train a strategy, as the module says.

    ``progress`` is told what is done now and how much of the whole is done, 0..1. Without an ``embedder`` one is
    trained on the prompts of the table.

    :raises NothingToLearn: the table has no prompt or no model
    :raises ValueError: there is no such strategy, or it has no such settings
    """
    if not len(table) or not table.models:
        raise NothingToLearn("the table has no outcomes", "give one with at least a prompt and a model")
    progress("embedding", 0.0)
    prompts = list(table.prompts)
    featurizer = _featurizer(prompts, seed) if embedder is None else Featurizer.trained(embedder, prompts)
    features = featurizer.features(prompts, table.users)
    made = _Maker(strategy, custom, seed, settings or {}, cards)
    trained = _fitted(table, features, featurizer, made, progress, resamples, learns_words=embedder is None)
    if embedder is None or embedder.is_quick:
        return trained
    local = train(
        table, strategy, cards=cards, seed=seed, settings=settings, progress=progress, custom=custom, resamples=0
    )
    return replace(trained, learned=replace(trained.learned, local=local.learned))


@dataclass(frozen=True, slots=True)
class _Maker:
    strategy: str
    custom: type[Estimator] | None
    seed: int
    settings: Mapping[str, Any]
    cards: Sequence[Card]

    def __call__(self) -> Any:
        """An estimator that has learnt nothing."""
        found = estimator_of(self.strategy, self.custom)
        own: dict[str, Any] = dict(self.settings)
        if self.strategy in SIZES:
            sizes = {card.name: f"{card.size_billions:g}b" for card in self.cards if card.size_billions}
            own = {"sizes": sizes} | own
        elif self.strategy != "custom":
            own = {"seed": self.seed} | own
        try:
            return found(**own)
        except TypeError as error:
            raise ValueError(f"{self.strategy} does not have these settings: {', '.join(sorted(own))}") from error


def _fitted(
    table: Table,
    features: Features,
    featurizer: Featurizer,
    make: _Maker,
    progress: Progress,
    resamples: int,
    *,
    learns_words: bool,
) -> Trained:
    """Everything behind the embedder."""
    make()
    parts = tables.folds(table.prompts, FOLDS, seed=make.seed)
    is_split = len(table) >= LEAST_PROMPTS and len(np.unique(parts)) == FOLDS
    scores, singles = _blank(table), np.zeros(len(table), np.intp)
    for fold in range(FOLDS if is_split else 0):
        progress(f"fold {fold + 1} of {FOLDS}", 0.2 + 0.6 * fold / FOLDS)
        is_held = parts == fold
        known = tables.rows(table, ~is_held)
        said = _said(table, known, is_held, None if learns_words else features, make)
        for name in ("quality", "variance", "cost_usd"):
            getattr(scores, name)[is_held] = getattr(said, name)
        singles[is_held] = _best(known)
    progress("everything", 0.8)
    estimator = make().fit(features, table)
    if is_split and isinstance(estimator, Residual):
        scores = _righted(estimator, scores, table)
    held = HeldOut.of(scores, table.quality, table.cost_usd) if is_split else _nothing(len(table.models))
    learned = _learned(table, make.strategy, featurizer, estimator, held)
    progress("measuring", 0.95)
    report = _report(table, features, held, make.strategy, resamples) if is_split and resamples else None
    progress("done", 1.0)
    return Trained(
        learned=learned,
        estimator=estimator,
        table=table,
        cards={card.name: card for card in make.cards},
        held_out=held,
        report=report,
        gain=_gain(table, scores, singles) if is_split else 0.0,
    )


def _featurizer(prompts: list[str], seed: int) -> Featurizer:
    return Featurizer.trained(Hashed.trained(prompts, seed=seed), prompts)


def _said(table: Table, known: Table, is_held: Any, features: Features | None, make: _Maker) -> Scores:
    """What is expected of the prompts that are held, by what is known; without features an embedder is trained too."""
    if features is not None:
        seen, unseen = _rows(features, ~is_held), _rows(features, is_held)
    else:
        own = _featurizer(list(known.prompts), make.seed)
        asked = tables.rows(table, is_held)
        seen, unseen = (own.features(list(part.prompts), part.users) for part in (known, asked))
    said: Scores = make().fit(seen, known).score(unseen)
    return said


def _righted(estimator: Residual, scores: Scores, table: Table) -> Scores:
    """What was held out, and what the estimator says from here on, without the mistakes that all prompts share."""
    factors = mistaken(scores.cost_usd, table.cost_usd)
    estimator.rescale_costs(factors)
    slope, shift = level(scores.quality, table.quality)
    estimator.relevel(slope, shift)
    away = (scores.quality - scores.quality.mean(0)).mean(1, keepdims=True)
    quality = scores.quality + np.float32(slope - 1) * away + np.float32(shift)
    return replace(scores, quality=within(quality), cost_usd=scores.cost_usd * factors)


def mistaken(predicted: Floats, cost: Floats) -> Floats:
    """(m,) by which factor more is spent on each model than is predicted (n, m), as far as the prompts can tell."""
    known = np.isfinite(cost)
    spent, expected = (np.where(known, values, 0).sum(0, dtype=np.float64) for values in (cost, predicted))
    ratio = np.clip(spent / np.maximum(expected, LEAST_COST_USD), 1 / MOST_MISTAKEN, MOST_MISTAKEN)
    count = known.sum(0)
    factors: Floats = np.where(count, ratio ** (count / (count + MISTAKEN_PROMPTS)), 1.0).astype(np.float32)
    return factors


def level(predicted: Floats, quality: Floats) -> tuple[float, float]:
    """How predictions (n, m), of all models together, are to be scaled and shifted, as far as the prompts can tell.

    What tells models apart is left as it is: that is known worse, and has been doubted already. ``quality`` is NaN
    where it is not known.
    """
    known = np.isfinite(quality)
    count, each = known.sum(1), np.maximum(known.sum(0), 1)
    hoped, got = (np.where(known, values, 0).astype(np.float64) for values in (predicted, quality))
    away, out = (
        np.where(known, values - values.sum(0) / each, 0).sum(1) / np.sqrt(np.maximum(count, 1))
        for values in (hoped, got)
    )
    prompts = int((count > 0).sum())
    share = prompts / (prompts + MISTAKEN_PROMPTS)
    size = float(away @ away)
    slope = float(np.clip(away @ out / size, 1 / MOST_MISTAKEN, MOST_MISTAKEN)) if size > 0 else 1.0
    shift = float((got - hoped).sum() / max(int(count.sum()), 1))
    return slope**share, share * shift


def _blank(table: Table) -> Scores:
    return Scores(*(np.zeros(table.quality.shape, np.float32) for _ in range(3)))


def _nothing(models: int) -> HeldOut:
    empty = np.zeros((0, models), np.float32)
    return HeldOut(Scores(empty, empty, empty), empty, empty)


def _rows(features: Features, places: Any) -> Features:
    at = np.arange(len(features))[places]
    return Features(
        features.embedding[at],
        features.surface[at],
        [features.users[i] for i in at] if features.users else (),
        None if features.evidence is None else features.evidence[at],
    )


def _best(table: Table) -> int:
    return best_single(table) if np.isfinite(table.quality).any() else 0


def _learned(table: Table, strategy: str, featurizer: Featurizer, estimator: Any, held: HeldOut) -> Learned:
    kept = sample(held)
    candidates = Candidates(table.models, _means(table.quality), _means(table.cost_usd))
    is_open = strategy in SIZES or not len(held)
    doubt = 0.0 if strategy in SIZES else doubt_of(held, candidates)
    return Learned(
        strategy=strategy,
        version=UNTRAINED,
        candidates=candidates,
        frontier=ONLY_QUALITY if is_open else frontier(held, candidates, doubt),
        policy=Setting(doubt=doubt),
        about=None,
        featurizer=featurizer,
        scorer=estimator,
        held_out=kept,
    )


def _gain(table: Table, scores: Scores, singles: Any) -> float:
    """Mean, over the prompts where both outcomes are known."""
    at = np.arange(len(table))
    choices = sweep(scores.quality, scores.cost_usd, table.models, PRICES[:1])[0]
    gains = table.quality[at, choices] - table.quality[at, singles]
    return float(np.nanmean(gains)) if np.isfinite(gains).any() else 0.0


def _report(table: Table, features: Features, held: HeldOut, strategy: str, resamples: int) -> Comparison | None:
    """Best single model, zero router, oracle, task means, LLMRouter's kNN and this, where every outcome is known."""
    is_whole = np.isfinite(table.quality).all(1) & np.isfinite(table.cost_usd).all(1)
    if is_whole.sum() < LEAST_PROMPTS:
        return None
    whole, scores = tables.rows(table, is_whole), held.rows(is_whole).scores
    own = Run(strategy, sweep(scores.quality, scores.cost_usd, table.models))
    best = best_single(whole)
    runs = [own, Run("best single model", np.full((1, len(whole)), best, np.intp)), zero_router(whole, best)]
    runs += _across(table, features, is_whole)
    return compare(
        f"{len(whole)} prompts, each held out once", [*runs, oracle(whole)], whole, best, resamples=resamples
    )


def _across(table: Table, features: Features, is_whole: Any) -> list[Run]:
    """Routers that learn from other folds, put together."""
    parts = tables.folds(table.prompts, FOLDS)
    found: dict[str, Any] = {}
    for fold in np.unique(parts[is_whole]):
        is_test, is_known = is_whole & (parts == fold), parts != fold
        known, test = tables.rows(table, is_known), tables.rows(table, is_test)
        runs = [llmrouter_knn(known, features.embedding[is_known], features.embedding[is_test])]
        runs += [task_means(known, test)] if table.tasks else []
        for run in runs:
            whole = found.setdefault(run.name, np.zeros((len(run.choices), len(table)), np.intp))
            whole[:, is_test] = run.choices
    return [Run(name, choices[:, is_whole]) for name, choices in sorted(found.items())]


def _means(values: Any) -> Any:
    known = np.isfinite(values)
    return np.where(
        known.any(0), np.where(known, values, 0).sum(0, dtype=np.float64) / np.maximum(known.sum(0), 1), np.nan
    )


def _lengths(table: Table) -> dict[str, Any]:
    """What prices of another day come to is told by mean tokens, of the prompt and of the answer, and what they cost.

    By model, of outcomes of which all three are known.
    """
    if table.prompt_tokens is None or table.completion_tokens is None:
        return {}
    known = np.isfinite(table.prompt_tokens + table.completion_tokens + table.cost_usd)
    columns = (table.prompt_tokens, table.completion_tokens, table.cost_usd)
    means = np.array([_means(np.where(known, values, np.nan)) for values in columns]).T
    found = {name: row.tolist() for name, row in zip(table.models, means, strict=True) if np.isfinite(row).all()}
    return {"tokens": found} if found else {}


def _known(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None

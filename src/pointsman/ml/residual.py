"""What most estimators share: a model's mean, plus a deviation for this prompt as far as deviations can be trusted.

Fitting, in order:

1. Prompts and models are put into an order of their own, so that the order they came in decides nothing.
2. Means of models, drawn towards each other where few labels are known.
3. Inputs: embedding, surface, and guesses of the task (:mod:`pointsman.ml.kinds`).
4. Deviations, by the method of the subclass: once for each of four parts of the prompts that are held out, which tells
   how far to trust them (:mod:`pointsman.ml.trust`); what is kept is their mean, or a fit on everything.
5. Costs: the logarithm by ridge regression, scaled so that the mean cost is right.

The variance of a prediction is that of linear regression on the same inputs, whatever the method: large where a prompt
is unlike those that were seen, or a model was seen seldom.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from pointsman.ml.base import Estimator, Features, Floats, Scores, State, Table
from pointsman.ml.caution import cautious, needed
from pointsman.ml.custom import check_scores
from pointsman.ml.kinds import familiarity_of, fit_kinds, shares_of
from pointsman.ml.linear import Linear, ridge
from pointsman.ml.trust import trust

Arrays = Mapping[str, NDArray[Any]]

FOLDS = 4
LEAST_PROMPTS = 2 * FOLDS
SURFACE_SCALE = 0.15
EDGE = 1e-4
LEAST_TOP = 0.05
"""Lower than this nothing is expected of the best model, or all would be equal at 0."""
SAID = 500
"""Prompts of which it is asked how far what is learnt in the end goes."""
PSEUDO_LABELS = 5.0
"""As many labels as the mean of all models counts for, in the mean of each."""
LARGEST = 1e12
"""Of any number that is learnt."""
SPREAD, SPREAD_PENALTY = 64, 30.0
COST_PENALTY = 10.0
LEAST_COST_USD = 1e-9
ARRAYS = {
    "mean",
    "noise",
    "labels",
    "trust",
    "spread",
    "spread_rest",
    "cost",
    "cost_intercept",
    "kinds",
    "kinds_intercept",
}
UNKNOWN_QUALITY = 0.5
UNKNOWN_VARIANCE = 0.25


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a method learns from. ``n`` prompts, ``m`` models, ``k`` inputs, all in an order of their own."""

    inputs: Floats
    """(n, k)"""
    quality: Floats
    """(n, m), NaN where not known."""
    mean: Floats
    """(m,)"""
    weights: Floats
    """(n,) about 1 on average."""
    groups: NDArray[np.intp]
    """(n,) prompts of one task have the same number; -1 where the task is not known."""
    baseline: int
    """The best single model."""

    def of(self, rows: Any) -> Lesson:
        """The same for some prompts: their places, or which they are."""
        return replace(
            self,
            inputs=self.inputs[rows],
            quality=self.quality[rows],
            weights=self.weights[rows],
            groups=self.groups[rows],
        )

    @property
    def residuals(self) -> Floats:
        """(n, m) by how much each quality differs from its model's mean."""
        return self.quality - self.mean


@dataclass(kw_only=True)
class Residual(Estimator):
    """Base of estimators; its fields are settings."""

    NAME: ClassVar[str]
    IS_ENSEMBLE: ClassVar[bool] = False
    """Whether what the folds have learnt is averaged; else it is learnt once more from everything."""

    seed: int = 0
    doubt: float = 1.5
    """Standard errors that a deviation has to be above 0 to be trusted."""
    repeats: int = 1
    """How often it learns from the same prompts, each time with other chances; what it says is the mean."""

    def __post_init__(self) -> None:
        self._learnt: dict[str, NDArray[Any]] = {}
        self._members: list[Arrays] = []
        self._ready: list[Any] = []

    @abstractmethod
    def learn(self, lesson: Lesson, chance: np.random.Generator) -> Arrays:
        """What :meth:`deviations` needs; there is a label for every prompt, not for every model."""

    def ready(self, learnt: Arrays) -> Any:
        """What was learnt as :meth:`deviations` takes it, where that is not as it is kept."""
        return learnt

    @abstractmethod
    def deviations(self, learnt: Any, inputs: Floats) -> Floats:
        """(n, m) how much better than its mean each model will do, given what is :meth:`ready`."""

    def fit(self, features: Features, table: Table) -> Self:
        """Learn as the module says."""
        chance = np.random.default_rng(self.seed)
        models = np.argsort(np.array(table.models))
        quality, cost = table.quality[:, models], table.cost_usd[:, models]
        rows = np.array(sorted(range(len(table)), key=lambda i: (table.prompts[i], np.nansum(quality[i]))), np.intp)
        quality, cost = quality[rows], cost[rows]
        weights = np.ones(len(rows), np.float32) if table.weights is None else table.weights[rows]
        weights = weights / max(float(weights.mean()) if len(weights) else 1.0, 1e-12)
        folds = chance.permutation(len(rows)) % FOLDS

        plain = _plain(features)[rows]
        tasks = [table.tasks[i] for i in rows] if table.tasks else []
        kinds, guesses = fit_kinds(plain, tasks, folds)
        mean = self.means(quality, weights)
        baseline = _baseline(mean, cost, weights)
        # Of equals one has to lead, or a speck of deviation would choose among them.
        mean = np.where(np.arange(len(mean)) == baseline, mean, np.minimum(mean, mean[baseline] - EDGE))
        lesson = Lesson(
            inputs=np.hstack([plain, guesses]),
            quality=quality,
            mean=mean,
            weights=weights,
            groups=_groups(tasks, len(rows)),
            baseline=baseline,
        )
        self._learnt = _averages(lesson, cost) | {"kinds": kinds.slopes, "kinds_intercept": kinds.intercept}
        self._learn_deviations(lesson, folds, chance)
        self._reorder(np.argsort(models))
        self._settle()
        return self

    def means(self, quality: Floats, weights: Floats) -> Floats:
        """(m,) what each model does on average, out of (n, m) and (n,)."""
        return means(quality, weights)

    def _learn_deviations(self, lesson: Lesson, folds: NDArray[Any], chance: np.random.Generator) -> None:
        count = len(lesson.mean)
        self._members, self._ready, self._learnt["trust"] = [], [], np.zeros((count, count), np.float32)
        is_known = ~np.isnan(lesson.quality).all(1)
        lesson, folds = lesson.of(is_known), folds[is_known]
        if len(lesson.quality) < LEAST_PROMPTS or len(np.unique(folds)) < FOLDS:
            return
        held_out = np.zeros(lesson.quality.shape, np.float32)
        for fold in range(FOLDS):
            learnt = [self.learn(lesson.of(folds != fold), chance) for _ in range(self.repeats)]
            held_out[folds == fold] = self._said([self.ready(each) for each in learnt], lesson.inputs[folds == fold])
            self._members += learnt
        if not self.IS_ENSEMBLE:
            self._members = [self.learn(lesson, chance) for _ in range(self.repeats)]
        self._ready = [self.ready(member) for member in self._members]
        final = self._said(self._ready, lesson.inputs[:SAID])
        found = trust(held_out, lesson.quality, lesson.mean, lesson.baseline, self.doubt, final)
        self._learnt["trust"] = found.astype(np.float32)
        self._learnt["noise"] = noise(lesson.residuals - held_out @ self._learnt["trust"])

    def _settle(self) -> None:
        """What is the same for every prompt."""
        noise, labels = self._learnt["noise"], self._learnt["labels"]
        self._baseline = int(self._learnt["mean"].argmax())
        self._least_variance, self._scarce_variance = noise / (1 + labels), noise * _scarcity(labels)
        costs, spread = self._learnt["cost"], self._learnt["spread"]
        none = np.zeros(spread.shape[1], np.float32)
        # What is linear in the inputs, as one product.
        self._beside = Linear(np.hstack([costs, spread]), np.concatenate([self._learnt["cost_intercept"], none]))

    def _opinions(self, inputs: Floats, baseline: int) -> tuple[Floats, Floats | None]:  # noqa: ARG002  for several
        """(n, m) deviations as they were learnt; how far apart leads over the baseline are, where several are asked."""
        return self._said(self._ready, inputs), None

    def _said(self, members: Sequence[Any], inputs: Floats) -> Floats:
        said: Floats = np.mean([self.deviations(member, inputs) for member in members], axis=0)
        return said

    def rescale_costs(self, factors: Floats) -> None:
        """Expect so much more to be spent on each model, (m,) in the order of the table."""
        self._learnt["cost_intercept"] = (self._learnt["cost_intercept"] + np.log(factors)).astype(np.float32)
        self._settle()

    def relevel(self, slope: float, shift: float) -> None:
        """Expect all models alike to differ by so much less between prompts, and to be so much better on each.

        Which model leads, and by how much, stays as it is.
        """
        trust = self._learnt["trust"]
        self._learnt["trust"] = trust + np.float32(slope - 1) * trust.mean(1, keepdims=True)
        self._learnt["mean"] = self._learnt["mean"] + np.float32(shift)
        self._settle()

    def _reorder(self, places: NDArray[np.intp]) -> None:
        """Columns as in the table: deviations stay in the order they were learnt in, everything behind them follows."""
        for name in ("mean", "noise", "labels", "cost_intercept"):
            self._learnt[name] = self._learnt[name][places]
        for name in ("trust", "cost"):
            self._learnt[name] = np.ascontiguousarray(self._learnt[name][:, places])

    def score(self, features: Features) -> Scores:
        """Means, trusted deviations, variances and costs."""
        learnt, plain = self._learnt, _plain(features)
        kind = Linear(learnt["kinds"], learnt["kinds_intercept"])(plain)
        inputs = np.concatenate([plain, shares_of(kind)], axis=1)
        if self._ready:
            said, disagreement = self._opinions(inputs, self._baseline)
            quality = said.dot(learnt["trust"])
            quality += learnt["mean"]
        else:
            quality, disagreement = np.tile(learnt["mean"], (len(inputs), 1)), None
        quality = cautious(quality, self._baseline, needed(familiarity_of(kind), disagreement))
        beside = self._beside(inputs)
        logs, seen = beside[:, : len(learnt["mean"])], beside[:, len(learnt["mean"]) :]
        leverage = learnt["spread_rest"] * np.vecdot(inputs, inputs) - np.vecdot(seen, seen)
        variance = self._least_variance + np.maximum(leverage, 0)[:, None] * self._scarce_variance
        return Scores(within(quality), variance, np.exp(np.minimum(logs, 10.0)))

    def state(self) -> State:
        """What was learnt, and the settings it was learnt with."""
        arrays = dict(self._learnt)
        for i, member in enumerate(self._members):
            arrays |= {f"member{i:02}/{name}": array for name, array in member.items()}
        return State(arrays, {field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The reverse of :meth:`state`.

        :raises ValueError: the arrays or settings do not fit together
        """
        made: Self = msgspec.convert(dict(state.settings), cls)
        members: dict[str, dict[str, NDArray[Any]]] = {}
        for name, array in state.arrays.items():
            part, _, rest = name.rpartition("/")
            (members.setdefault(part, {}) if part else made._learnt)[rest] = array
        made._members = [members[part] for part in sorted(members)]
        made._expect_whole()
        return made

    def _expect_whole(self) -> None:
        if not self._learnt.keys() >= ARRAYS:
            raise ValueError(f"arrays of the estimator {self.NAME} are missing")
        if not all(_is_sound(array) for arrays in (self._learnt, *self._members) for array in arrays.values()):
            raise ValueError(f"an array of the estimator {self.NAME} holds what nothing can have taught it")
        try:
            self._ready = [self.ready(member) for member in self._members]
            self._settle()
            width, count = len(self._learnt["kinds"]), len(self._learnt["mean"])
            scores = self.score(Features(np.zeros((1, width), np.float32), np.zeros((1, 0), np.float32)))
        except (KeyError, IndexError, TypeError, ArithmeticError) as error:
            raise ValueError(f"the arrays of the estimator {self.NAME} do not fit together") from error
        if (self._learnt["noise"] < 0).any() or (self._learnt["labels"] < 0).any():
            raise ValueError(f"an array of the estimator {self.NAME} holds what nothing can have taught it")
        check_scores(scores, 1, count)


def _is_sound(array: NDArray[Any]) -> bool:
    """Whether whatever is computed with it stays a number."""
    if array.dtype == np.float16:  # which has no number as large
        return bool(np.isfinite(array).all())
    return array.dtype.kind != "f" or bool((np.abs(array) <= LARGEST).all())


def within(quality: Floats) -> Floats:
    """Predictions (n, m) that leave 0..1, brought back: a prompt's all together, so that the best stays the best."""
    top = quality.max(1, keepdims=True, initial=-np.inf)
    inside: Floats = quality + (np.minimum(np.maximum(top, LEAST_TOP), 1) - top)
    return np.minimum(np.maximum(inside, 0, out=inside), 1, out=inside)


def _plain(features: Features) -> Floats:
    return np.concatenate([features.embedding, SURFACE_SCALE * features.surface], axis=1, dtype=np.float32)


def _groups(tasks: list[str], count: int) -> NDArray[np.intp]:
    if not tasks:
        return np.full(count, -1, np.intp)
    names, numbers = np.unique(np.array(tasks), return_inverse=True)
    return np.where(names[numbers] == "", -1, numbers)


def _sums(values: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """(m,) of what is known: the weighted sum, and the weights."""
    known = ~np.isnan(values)
    return weights @ np.where(known, values, 0), weights @ known.astype(np.float32)


def means(quality: Floats, weights: Floats) -> Floats:
    """(m,) means of what is known, drawn towards each other."""
    total, count = _sums(quality, weights)
    overall = (total.sum() + UNKNOWN_QUALITY) / (count.sum() + 1)
    drawn: Floats = (total + PSEUDO_LABELS * overall) / (count + PSEUDO_LABELS)
    return drawn


def _baseline(mean: Floats, cost: Floats, weights: Floats) -> int:
    """The best single model; of equals the cheaper one. They are in the order of their names."""
    total, count = _sums(cost, weights)
    return int(np.lexsort((total / np.maximum(count, 1e-12), -mean))[0])


def noise(errors: Floats) -> Floats:
    """(m,) mean squares; what is usual counts as one label."""
    known = ~np.isnan(errors)
    noise: Floats = (np.where(known, errors * errors, 0).sum(0) + UNKNOWN_VARIANCE) / (known.sum(0) + 1)
    return noise


def _scarcity(labels: Floats) -> Floats:
    """How much rarer labels of a model are than prompts on which any is known; at most 100."""
    scarcity: Floats = np.minimum(labels.max(initial=1.0) / np.maximum(labels, 1e-6), 100.0)
    return scarcity


def _averages(lesson: Lesson, cost: Floats) -> dict[str, NDArray[Any]]:
    with_labels = lesson.inputs[~np.isnan(lesson.quality).all(1)].astype(np.float64)
    spread, rest = _spread(with_labels.T @ with_labels)
    costs = _fit_cost(lesson, cost)
    return {
        "mean": lesson.mean,
        "noise": noise(lesson.residuals),
        "labels": _sums(lesson.quality, lesson.weights)[1],
        "spread": spread,
        "spread_rest": rest,
        "cost": costs.slopes,
        "cost_intercept": costs.intercept,
    }


def _spread(gram: NDArray[np.float64]) -> tuple[Floats, Floats]:
    """How little is known of inputs (k,): ``rest * |inputs|^2 - |inputs @ spread|^2``.

    That is ``inputs / (gram + penalty) / inputs`` with the strongest directions, and the mean of all others.
    """
    strengths, directions = np.linalg.eigh(gram)
    rest = (
        1 / (max(float(strengths[:-SPREAD].mean()), 0.0) + SPREAD_PENALTY) if len(gram) > SPREAD else 1 / SPREAD_PENALTY
    )
    known = rest - 1 / (np.maximum(strengths[-SPREAD:], 0) + SPREAD_PENALTY)
    spread = directions[:, -SPREAD:] * np.sqrt(np.maximum(known, 0))
    return spread.astype(np.float32), np.array([rest], np.float32)


def _fit_cost(lesson: Lesson, cost: Floats) -> Linear:
    logs = np.log(np.maximum(cost, LEAST_COST_USD))
    found = ridge(lesson.inputs, logs, COST_PENALTY, lesson.weights)
    total, count = _sums(cost, lesson.weights)
    expected = np.where(np.isnan(cost), np.nan, np.exp(found(lesson.inputs)))
    ratio = np.maximum(total, LEAST_COST_USD) / np.maximum(_sums(expected, lesson.weights)[0], LEAST_COST_USD)
    usual = float(np.log(max(total.sum() / max(float(count.sum()), 1.0), LEAST_COST_USD)))
    return Linear(found.slopes, np.where(count > 0, found.intercept + np.log(ratio), usual).astype(np.float32))

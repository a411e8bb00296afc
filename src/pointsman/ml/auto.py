"""Several estimators at once, each as far as it is right: what people should use.

Every member predicts prompts that it has not learnt from. By the same prompts it is found how much of each member to
take, never less than nothing of any (stacking: Wolpert, 1992; Breiman, "Stacked regressions", 1996). How well all
models do on a prompt and which of them does better are two questions, and members differ in which they answer well; so
there are two sets of weights.

Weights are known badly where labels are few, which they are above all where there are few models to compare. There
members have nearly equal says, and one more is asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pointsman.ml.base import Floats
from pointsman.ml.estimators.clusters import Clusters
from pointsman.ml.estimators.knn import Knn
from pointsman.ml.estimators.mlp import Mlp
from pointsman.ml.estimators.ridge import Ridge
from pointsman.ml.estimators.svm import Svm
from pointsman.ml.planes import Several
from pointsman.ml.residual import FOLDS, LEAST_PROMPTS, SAID, Arrays, Lesson, Residual, noise
from pointsman.ml.trust import trust

ROUNDS = 200
HIGHEST_WEIGHT = 1.5
DRAW, DRAWING_PROMPTS, DRAWING_LABELS = 0.02, 500.0, 50_000.0
"""How far weights are drawn to where members have equal says; the more, the fewer prompts there are, or labels beside
the first of a prompt, which tell models apart."""
LEAST_SLOPE = 0.05
FEW_MODELS = 10
TINY = 1e-12


@dataclass(kw_only=True)
class Auto(Residual):
    """The stack."""

    NAME: ClassVar[str] = "auto"
    MEMBERS: ClassVar[tuple[type[Residual], ...]] = (Ridge, Knn, Clusters, Mlp)
    BESIDE: ClassVar[tuple[type[Residual], ...]] = (Svm,)
    """Asked too where there are fewer than ``FEW_MODELS`` models; where more are compared every decision is quicker."""

    def learn(self, lesson: Lesson, chance: np.random.Generator) -> Arrays:
        """What every member learns."""
        return {
            f"{member.NAME}.{name}": array
            for member in (*self.MEMBERS, *(self.BESIDE if len(lesson.mean) < FEW_MODELS else ()))
            for name, array in member().learn(lesson, chance).items()
        }

    def ready(self, learnt: Arrays) -> Several:
        """Every member, with what it has learnt."""
        made = []
        for member in (member() for member in (*self.MEMBERS, *self.BESIDE)):
            prefix = f"{member.NAME}."
            own = {name.removeprefix(prefix): array for name, array in learnt.items() if name.startswith(prefix)}
            if own or type(member) in self.MEMBERS:
                made.append((member, member.ready(own)))
        return Several(made)

    def deviations(self, learnt: Several, inputs: Floats) -> Floats:
        """What the members say, weighed: (n, m)."""
        return _stacked(learnt.deviations(inputs), self._learnt["weights"])

    def _opinions(self, inputs: Floats, baseline: int) -> tuple[Floats, Floats | None]:
        """The stack, and the standard deviation of what members say of each model's lead."""
        apart = self._ready[0].deviations(inputs)
        places = self._learnt["places"]
        leads = apart - apart.sum(0) / np.float32(len(apart))
        leads -= leads[:, :, places[baseline], None]
        leads *= leads
        squares = leads.sum(0).take(places, axis=1)
        squares /= len(leads)
        return _stacked(apart, self._learnt["weights"]), np.sqrt(squares, out=squares)

    def _reorder(self, places: NDArray[np.intp]) -> None:
        """The order of the table is needed to compare what members say."""
        super()._reorder(places)
        self._learnt["places"] = places

    def _learn_deviations(self, lesson: Lesson, folds: NDArray[Any], chance: np.random.Generator) -> None:
        count = len(lesson.mean)
        self._members, self._ready, self._learnt["trust"] = [], [], np.zeros((count, count), np.float32)
        is_known = ~np.isnan(lesson.quality).all(1)
        lesson, folds = lesson.of(is_known), folds[is_known]
        if len(lesson.quality) < LEAST_PROMPTS or len(np.unique(folds)) < FOLDS:
            return
        parts = []
        for fold in range(FOLDS):
            learnt = self.ready(self.learn(lesson.of(folds != fold), chance))
            parts.append(learnt.deviations(lesson.inputs[folds == fold]))
        said = np.empty((len(parts[0]), *lesson.quality.shape), np.float32)
        for fold, part in enumerate(parts):
            said[:, folds == fold] = part
        self._members = [self.learn(lesson, chance)]
        self._learnt["weights"] = _weights(said, lesson).astype(np.float32)
        held_out = _stacked(said, self._learnt["weights"])
        self._ready = [self.ready(member) for member in self._members]
        final = self._said(self._ready, lesson.inputs[:SAID])
        found = trust(held_out, lesson.quality, lesson.mean, lesson.baseline, self.doubt, final)
        self._learnt["trust"] = found.astype(np.float32)
        self._learnt["noise"] = noise(lesson.residuals - held_out @ self._learnt["trust"])


def _parts(said: Floats) -> list[Floats]:
    """(n, m) each: what every member says of all models together, then what it says of each beside that."""
    together = [np.broadcast_to(each.mean(1, keepdims=True), each.shape) for each in said]
    return [*together, *(each - mean for each, mean in zip(said, together, strict=True))]


def _stacked(said: Floats, weights: Floats) -> Floats:
    """The sum of the parts (members, n, m), weighed."""
    members, _, models = said.shape
    together, own = weights[:members], weights[members:]
    total: Floats = own.dot(said.reshape(members, -1)).reshape(said.shape[1:])
    total += ((together - own) / np.float32(models)).dot(said.sum(2))[:, None]
    return total


def _weights(said: Floats, lesson: Lesson) -> NDArray[np.float64]:
    """(2 members,) of the parts, none below 0: least squares by coordinate descent."""
    known = ~np.isnan(lesson.residuals)
    roots = np.sqrt(known * lesson.weights[:, None])
    columns = np.array([(roots * part).ravel() for part in _parts(said)], np.float64)
    gram, pull = columns @ columns.T, columns @ (roots * np.nan_to_num(lesson.residuals)).ravel().astype(np.float64)
    members, prompts = len(said), len(known)
    draws = DRAW + np.array([DRAWING_PROMPTS / prompts, DRAWING_LABELS / max(int(known.sum()) - prompts, 1)])
    draw = np.repeat(draws, members) * gram.diagonal()
    halves = slice(members), slice(members, None)
    weights = np.concatenate([_equal(gram[half, half], pull[half]) for half in halves])
    gram[np.diag_indices_from(gram)] += draw
    pull += draw * weights
    for _ in range(ROUNDS):
        for i in np.flatnonzero(gram.diagonal() > TINY):
            weights[i] = np.clip(weights[i] + (pull[i] - gram[i] @ weights) / gram[i, i], 0.0, HIGHEST_WEIGHT)
    return weights


def _equal(gram: NDArray[np.float64], pull: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights by which what each says is of the same size, and the sum of all has the size that fits best."""
    sizes = np.sqrt(gram.diagonal())
    even = np.where(sizes > np.sqrt(TINY), 1 / np.maximum(sizes, TINY), 0.0)
    return even * max(
        float(even @ pull) / max(float(even @ gram @ even), TINY), LEAST_SLOPE / max(float(even.sum()), TINY)
    )

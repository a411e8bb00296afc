"""Several estimators at once, each as far as it is right: what people should use.

Every member predicts prompts that it has not learnt from. By the same prompts it is found how much of each member to
take, never less than nothing of any (stacking: Wolpert, 1992; Breiman, "Stacked regressions", 1996). How well all
models do on a prompt and which of them does better are two questions, and members differ in which they answer well; so
there are two sets of weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pointsman.ml.base import Floats
from pointsman.ml.estimators.clusters import Clusters
from pointsman.ml.estimators.knn import Knn
from pointsman.ml.estimators.mlp import Mlp
from pointsman.ml.estimators.ridge import Ridge
from pointsman.ml.residual import FOLDS, LEAST_PROMPTS, SAID, Arrays, Lesson, Residual, noise
from pointsman.ml.trust import trust

ROUNDS = 200
HIGHEST_WEIGHT = 1.5
DRAW, DRAWING_PROMPTS = 0.02, 500
"""How far weights are drawn to be equal, by the size of what they weigh; the more, the fewer prompts there are."""
TINY = 1e-12


@dataclass(kw_only=True)
class Auto(Residual):
    """The stack."""

    NAME: ClassVar[str] = "auto"
    MEMBERS: ClassVar[tuple[type[Residual], ...]] = (Ridge, Knn, Clusters, Mlp)

    def learn(self, lesson: Lesson, chance: np.random.Generator) -> Arrays:
        """What every member learns."""
        return {
            f"{member.NAME}.{name}": array
            for member in self.MEMBERS
            for name, array in member().learn(lesson, chance).items()
        }

    def ready(self, learnt: Arrays) -> list[tuple[Residual, Any]]:
        """Every member, and what it has learnt."""
        made = []
        for member in (member() for member in self.MEMBERS):
            prefix = f"{member.NAME}."
            own = {name.removeprefix(prefix): array for name, array in learnt.items() if name.startswith(prefix)}
            made.append((member, member.ready(own)))
        return made

    def deviations(self, learnt: list[tuple[Residual, Any]], inputs: Floats) -> Floats:
        """What the members say, weighed: (n, m)."""
        return _stacked(_apart(learnt, inputs), self._learnt["weights"])

    def _opinions(self, inputs: Floats, baseline: int) -> tuple[Floats, Floats | None]:
        """The stack, and the standard deviation of what members say of each model's lead."""
        apart = _apart(self._ready[0], inputs)
        places = self._learnt["places"]
        leads = np.array(apart).take(places, axis=2)
        leads -= leads[:, :, baseline, None]
        leads -= leads.sum(0) / len(leads)
        return _stacked(apart, self._learnt["weights"]), np.sqrt((leads * leads).sum(0) / len(leads))

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
        said = [np.zeros(lesson.quality.shape, np.float32) for _ in self.MEMBERS]
        for fold in range(FOLDS):
            learnt = self.ready(self.learn(lesson.of(folds != fold), chance))
            for whole, part in zip(said, _apart(learnt, lesson.inputs[folds == fold]), strict=True):
                whole[folds == fold] = part
        self._members = [self.learn(lesson, chance)]
        self._learnt["weights"] = _weights(said, lesson).astype(np.float32)
        held_out = _stacked(said, self._learnt["weights"])
        self._ready = [self.ready(member) for member in self._members]
        final = self._said(self._ready, lesson.inputs[:SAID])
        found = trust(held_out, lesson.quality, lesson.mean, lesson.baseline, self.doubt, final)
        self._learnt["trust"] = found.astype(np.float32)
        self._learnt["noise"] = noise(lesson.residuals - held_out @ self._learnt["trust"])


def _apart(learnt: list[tuple[Residual, Any]], inputs: Floats) -> list[Floats]:
    """(n, m) what each member says."""
    return [member.deviations(own, inputs) for member, own in learnt]


def _parts(said: Sequence[Floats]) -> list[Floats]:
    """(n, m) each: what every member says of all models together, then what it says of each beside that."""
    together = [np.broadcast_to(each.mean(1, keepdims=True), each.shape) for each in said]
    return [*together, *(each - mean for each, mean in zip(said, together, strict=True))]


def _stacked(said: Sequence[Floats], weights: Floats) -> Floats:
    """The sum of the parts, weighed."""
    whole, members = np.array(said), len(said)
    together, own = weights[:members].astype(np.float32), weights[members:].astype(np.float32)
    total: Floats = (own @ whole.reshape(members, -1)).reshape(whole.shape[1:])
    total += ((together - own) @ whole.sum(2) / np.float32(whole.shape[2]))[:, None]
    return total


def _weights(said: Sequence[Floats], lesson: Lesson) -> NDArray[np.float64]:
    """(2 members,) of the parts, none below 0: least squares by coordinate descent."""
    counts = ~np.isnan(lesson.residuals) * lesson.weights[:, None]
    columns = np.array([(np.sqrt(counts) * part).ravel() for part in _parts(said)], np.float64)
    gram = columns @ columns.T
    draw = (DRAW + DRAWING_PROMPTS / len(lesson.quality)) * gram.diagonal()
    gram[np.diag_indices_from(gram)] += draw
    pull = columns @ (np.sqrt(counts) * np.nan_to_num(lesson.residuals)).ravel().astype(np.float64)
    pull += draw / len(said)
    weights = np.zeros(len(columns))
    for _ in range(ROUNDS):
        for i in np.flatnonzero(gram.diagonal() > TINY):
            weights[i] = np.clip(weights[i] + (pull[i] - gram[i] @ weights) / gram[i, i], 0.0, HIGHEST_WEIGHT)
    return weights

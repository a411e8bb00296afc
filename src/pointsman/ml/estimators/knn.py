"""Nearest neighbours: a model will do on a prompt what it did on prompts like it.

Kernel regression of all models at once (Nadaraya and Watson, 1964): each stored prompt says its outcomes with a weight
that falls with its distance, and a few imaginary ones say the mean. So a prompt that resembles nothing gets the means,
and near duplicates get what is known of them. Tuned neighbours match trained routers (arXiv 2505.12601).

Prompts are stored by cells, and only those in the nearest cells are looked at.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pointsman.ml.base import Floats
from pointsman.ml.cells import find_cells, squares
from pointsman.ml.linear import Linear
from pointsman.ml.planes import Planar
from pointsman.ml.residual import Arrays, Lesson

STEPS = 127
LEAST = 0.01
TINY = 1e-9
LEAST_WIDTH = 0.1


@dataclass(kw_only=True)
class Knn(Planar):
    """``reach`` prompts are looked at, through a bell of ``width``; ``prior`` is the weight of the mean."""

    NAME: ClassVar[str] = "knn"

    reach: int = 500
    width: float = 0.35
    prior: float = 3.0
    cell: int = 125

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width < LEAST_WIDTH:
            raise ValueError(f"the width of knn is at least {LEAST_WIDTH}")

    def learn(self, lesson: Lesson, chance: np.random.Generator) -> Arrays:
        """The prompts, cell by cell; their inputs in steps of a 127th of the largest."""
        centres, place = find_cells(lesson.inputs, -(-len(lesson.inputs) // self.cell), chance)
        order = np.argsort(place, kind="stable")
        scale = max(float(np.abs(lesson.inputs).max(initial=0.0)), TINY) / STEPS
        outcomes = lesson.residuals[order]
        counts = ~np.isnan(outcomes) * lesson.weights[order, None]
        if (counts == counts[:, :1]).all():
            counts = counts[:, :1]
        return {
            "centres": centres,
            "starts": np.concatenate([[0], np.cumsum(np.bincount(place, minlength=len(centres)))]),
            "prompts": np.round(lesson.inputs[order] / scale).astype(np.int8),
            "scale": np.array(scale, np.float32),
            "outcomes": (np.nan_to_num(outcomes) * counts).astype(np.float16),
            "counts": counts.astype(np.float16),
        }

    def ready(self, learnt: Arrays) -> Cells:
        """Each cell by itself. Its prompts stay in steps: what has to be read of them is most of the time."""
        sharp = np.float32(1 / self.width**2)
        offsets = (1 - squares(learnt["prompts"].astype(np.float32) * learnt["scale"])) * (sharp / 2)
        told = np.hstack([offsets[:, None], learnt["outcomes"], learnt["counts"]]).astype(np.float32)
        parts = [slice(*ends) for ends in itertools.pairwise(learnt["starts"].tolist())]
        centres = learnt["centres"]
        return Cells(
            Linear(-2 * centres.T, squares(centres)),
            [(learnt["prompts"][part], told[part]) for part in parts],
            float(learnt["scale"] * sharp),
            learnt["outcomes"].shape[1],
        )

    def planes(self, learnt: Cells) -> Linear:
        """Of each centre one."""
        return learnt.centres

    def beyond(self, learnt: Cells, inputs: Floats, said: Floats) -> Floats:
        """What prompts nearby told: (n, m)."""
        told = np.empty((len(inputs), learnt.told), np.float32)
        far = squares(inputs) / np.float32(2 * self.width**2)
        for i, order in enumerate(said.argsort(axis=1, kind="stable").tolist()):
            told[i] = self._told(learnt, order, inputs[i], far[i])
        return told[:, : learnt.models] / (told[:, learnt.models :] + np.float32(self.prior))

    def _told(self, learnt: Cells, order: Sequence[int], prompt: Floats, far: np.float32) -> Floats:
        """The sums of what the nearest cells say: as one prompt counts one at a distance of 1, a loose resemblance."""
        seen, products, rows = 0, [], []
        prompt = prompt * learnt.scale
        for place in order:
            prompts, told = learnt.cells[place]
            products.append(prompts.astype(np.float32).dot(prompt))
            rows.append(told)
            seen += len(told)
            if seen >= self.reach:
                break
        near, said = np.concatenate(products), np.concatenate(rows)
        near += said[:, 0]
        near -= far
        total: Floats = np.exp(near, out=near).dot(said[:, 1:])
        return total


@dataclass(frozen=True, slots=True)
class Cells:
    """What was learnt, as it is used."""

    centres: Linear
    """How far they are, but for what is the same for all."""
    cells: Sequence[tuple[NDArray[np.int8], Floats]]
    """Of each: the prompts, and by column what is added to their products, outcomes, and how many."""
    scale: float
    """What products are multiplied by."""
    models: int

    @property
    def told(self) -> int:
        """How many numbers a prompt tells."""
        return int(self.cells[0][1].shape[1]) - 1

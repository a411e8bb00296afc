from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
from unit.ml.slopes import lesson

from pointsman.ml.base import Floats
from pointsman.ml.estimators.clusters import Clusters
from pointsman.ml.estimators.knn import Knn
from pointsman.ml.estimators.mlp import Mlp
from pointsman.ml.estimators.ridge import Ridge
from pointsman.ml.linear import Linear
from pointsman.ml.planes import Several, beside
from pointsman.ml.residual import Arrays, Lesson, Residual


@dataclass(kw_only=True)
class Constant(Residual):
    NAME: ClassVar[str] = "constant"

    def learn(self, lesson: Lesson, chance: np.random.Generator) -> Arrays:
        return {}

    def deviations(self, learnt: Arrays, inputs: Floats) -> Floats:
        return np.full((len(inputs), 4), 0.25, np.float32)


def taught(members: Sequence[Residual]) -> list[tuple[Residual, Any]]:
    chance, seen = np.random.default_rng(0), lesson(60)
    return [(member, member.ready(member.learn(seen, chance))) for member in members]


ALL = (Ridge(), Knn(reach=20, cell=10), Constant(), Clusters(least=10), Mlp(hidden=8, epochs=2))


@pytest.mark.parametrize("members", [ALL, ALL[::-1], ALL[:1], (Constant(),)])
@pytest.mark.parametrize("count", [0, 1, 7])
def test_several_asked_together_say_what_each_says_by_itself(members: Sequence[Residual], count: int) -> None:
    asked = lesson(max(count, 1), seed=3).inputs[:count]
    members_taught = taught(members)
    found = Several(members_taught).deviations(asked)
    assert found.shape == (len(members), count, 4)
    for said, (member, own) in zip(found, members_taught, strict=True):
        np.testing.assert_allclose(said, member.deviations(own, asked), rtol=1e-5, atol=1e-6)


def plane(inputs: int, targets: int) -> Linear:
    return Linear(np.ones((inputs, targets), np.float32), np.arange(targets, dtype=np.float32))


def test_planes_beside_each_other_say_what_each_says() -> None:
    inputs = np.array([[1, 2, 3]], np.float32)
    said = np.hstack([plane(3, 1)(inputs), plane(3, 2)(inputs)])
    np.testing.assert_allclose(beside(plane(3, 1), plane(3, 2))(inputs), said)


def test_planes_over_other_inputs_are_refused() -> None:
    with pytest.raises(ValueError, match="dimension"):
        beside(plane(3, 1), plane(2, 1))

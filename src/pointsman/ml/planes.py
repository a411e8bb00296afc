"""Methods that begin with what is linear in the inputs, and go on from there.

Where several are asked at once, what they begin with is one product: for a single prompt that is most of the time.
"""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pointsman.ml.base import Floats
from pointsman.ml.linear import Linear
from pointsman.ml.residual import Residual


@dataclass(kw_only=True)
class Planar(Residual):
    """Base of such methods."""

    @abstractmethod
    def planes(self, learnt: Any) -> Linear:
        """What it begins with, given what is :meth:`ready`."""

    @abstractmethod
    def beyond(self, learnt: Any, inputs: Floats, said: Floats) -> Floats:
        """:meth:`deviations`, given what the planes say of the inputs."""

    def deviations(self, learnt: Any, inputs: Floats) -> Floats:
        """Both, one after the other."""
        return self.beyond(learnt, inputs, self.planes(learnt)(inputs))


class Several:
    """Methods, and what each has learnt, that are asked together."""

    __slots__ = ("_members", "_planes")

    def __init__(self, members: Sequence[tuple[Residual, Any]]) -> None:
        """``members`` come with what is ready of each.

        :raises ValueError: they are not about the same inputs
        """
        planes = [member.planes(own) for member, own in members if isinstance(member, Planar)]
        self._planes = None if not planes else beside(*planes)
        ends = np.cumsum([0, *(len(each.intercept) for each in planes)]).tolist()
        parts = iter([slice(*pair) for pair in itertools.pairwise(ends)])
        self._members = [(m, own, next(parts) if isinstance(m, Planar) else None) for m, own in members]

    def deviations(self, inputs: Floats) -> Floats:
        """(members, n, m) what each says."""
        planes = inputs if self._planes is None else self._planes(inputs)
        return np.array([_said(*member, inputs, planes) for member in self._members])


def _said(member: Residual, own: Any, part: slice | None, inputs: Floats, planes: Floats) -> Floats:
    """(n, m) what one says; its planes are a ``part`` of the columns of all."""
    if not isinstance(member, Planar) or part is None:
        return member.deviations(own, inputs)
    return member.beyond(own, inputs, planes[:, part])


def beside(*planes: Linear) -> Linear:
    """One whose targets are those of all, in this order.

    :raises ValueError: they are not about the same inputs
    """
    return Linear(np.hstack([each.slopes for each in planes]), np.concatenate([each.intercept for each in planes]))

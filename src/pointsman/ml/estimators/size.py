"""Always the smallest model, or always the largest. No training, nothing of the prompt: what a router has to beat.

Size is what was declared, else what the name says (``70b``, ``8x7b``). If that is not known of every model, price
stands for it: the mean cost of a request in the table. Of equally large models the cheaper one is the smaller; only if
they cost the same does the name decide.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from pointsman.ml.base import Estimator, Features, Floats, Scores, State, Table

_SIZE = re.compile(r"(?<![a-z0-9.])(?:(\d{1,3})x)?(\d{1,5}(?:\.\d{1,3})?)b(?![a-z0-9])", re.IGNORECASE)
UNKNOWN_COST_USD = 0.001


def size_of(text: str) -> float | None:
    """Billions of parameters out of a declared size or a name; the largest that it says, ``None`` if it says none."""
    return max((float(each or 1) * float(size) for each, size in _SIZE.findall(text)), default=None)


@dataclass(kw_only=True)
class Smallest(Estimator):
    """Its quality is an order of preference: 1 for the model to take, falling to 0; it predicts nothing."""

    NAME: ClassVar[str] = "smallest"
    IS_LARGEST: ClassVar[bool] = False

    sizes: Mapping[str, str] = field(default_factory=dict)
    """Declared sizes by model, such as ``7B``."""

    def __post_init__(self) -> None:
        self._learnt: dict[str, Floats] = {}

    def fit(self, features: Features, table: Table) -> Self:  # noqa: ARG002  the prompt plays no part
        """Put the models into their order."""
        cost = _mean_costs(table.cost_usd)
        preference = np.empty(len(table.models), np.float32)
        preference[self._order(table.models, cost)] = np.linspace(1, 0, len(cost), dtype=np.float32)
        self._learnt = {"preference": preference, "cost": np.nan_to_num(cost, nan=UNKNOWN_COST_USD)}
        return self

    def _order(self, models: tuple[str, ...], cost: Floats) -> NDArray[np.intp]:
        said = [size_of(self.sizes.get(model, model)) for model in models]
        price = np.nan_to_num(cost, nan=float(np.nanmean(cost)) if not np.isnan(cost).all() else 0.0)
        size = price if None in said else np.array(said, np.float64)
        up = -1.0 if self.IS_LARGEST else 1.0
        return np.lexsort((np.array(models), up * price, up * size))

    def score(self, features: Features) -> Scores:
        """The same for every prompt."""
        shape = (len(features), len(self._learnt["preference"]))
        quality, cost = (np.broadcast_to(self._learnt[name], shape).copy() for name in ("preference", "cost"))
        return Scores(quality, np.zeros(shape, np.float32), cost)

    def state(self) -> State:
        """The preferences and the mean costs."""
        return State(dict(self._learnt), {"sizes": dict(self.sizes)})

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The reverse of :meth:`state`.

        :raises ValueError: the arrays or settings do not fit together
        """
        made: Self = msgspec.convert(dict(state.settings), cls)
        if set(state.arrays) != {"preference", "cost"}:
            raise ValueError(f"the arrays of the estimator {cls.NAME} are others")
        made._learnt = dict(state.arrays)
        if any(array.ndim != 1 or array.shape != made._learnt["cost"].shape for array in made._learnt.values()):
            raise ValueError(f"the arrays of the estimator {cls.NAME} do not fit together")
        return made


@dataclass(kw_only=True)
class Largest(Smallest):
    """As :class:`Smallest`, the other way round."""

    NAME: ClassVar[str] = "largest"
    IS_LARGEST: ClassVar[bool] = True


def _mean_costs(cost_usd: Floats) -> Floats:
    known = ~np.isnan(cost_usd)
    total = np.where(known, cost_usd, 0).sum(0)
    return np.where(known.any(0), total / np.maximum(known.sum(0), 1), np.nan).astype(np.float32)

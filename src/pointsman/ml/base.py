"""The nouns of learned routing: a table of outcomes, features of prompts, and what an estimator says of them.

Shapes: ``n`` prompts, ``m`` candidate models, ``d`` features. Floats are float32 unless said otherwise, quality is from
0 to 1, cost in US dollars a request. What was not observed is NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Settings = Mapping[str, Any]
"""Of an estimator: JSON, so that a checkpoint can hold it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Outcomes of models on prompts."""

    prompts: Sequence[str]
    models: tuple[str, ...]
    quality: Floats
    """(n, m)"""
    cost_usd: Floats
    """(n, m)"""
    prompt_ids: Sequence[str] = ()
    tasks: Sequence[str] = ()
    """What kind of prompt each is, where that is known; estimators never see it at serving time."""
    users: Sequence[str] = ()
    prompt_tokens: Floats | None = None
    """(n, m)"""
    completion_tokens: Floats | None = None
    """(n, m)"""
    weights: Floats | None = None
    """(n,) how much each prompt counts."""

    def __len__(self) -> int:
        return len(self.prompts)


@dataclass(frozen=True, slots=True)
class Features:
    """Prompts as numbers."""

    embedding: Floats
    """(n, d) rows of length 1, or 0 where nothing is known."""
    surface: Floats
    """(n, s) length, digits, code, maths and the like, each about from -3 to 3."""
    users: Sequence[str] = ()
    evidence: Floats | None = None
    """(n, m) how much a language model finds that each prompt speaks for each candidate, 0 where it said nothing."""

    def __len__(self) -> int:
        return len(self.embedding)


@dataclass(frozen=True, slots=True)
class Scores:
    """What is expected of each model for each prompt."""

    quality: Floats
    """(n, m) mean."""
    variance: Floats
    """(n, m) of the mean: how little is known, not how much answers differ."""
    cost_usd: Floats
    """(n, m) mean."""


@dataclass(frozen=True, slots=True)
class State:
    """An estimator as it is kept: everything that :meth:`Estimator.from_state` needs."""

    arrays: Mapping[str, NDArray[Any]]
    settings: Settings = field(default_factory=dict)


class Estimator(Protocol):
    """Learns from outcomes what each model makes of a prompt.

    The order of models and prompts decides nothing: equal qualities are equal. Missing labels are the rule, not the
    exception; with none at all an estimator says its prior with a large variance.
    """

    NAME: ClassVar[str]

    def fit(self, features: Features, table: Table) -> Self:
        """Learn; gives itself."""

    def score(self, features: Features) -> Scores:
        """What to expect of every model of the table it was fitted on, in its order."""

    def state(self) -> State:
        """What is learnt, as arrays and JSON."""

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The reverse of :meth:`state`.

        :raises ValueError: the arrays or settings do not fit together
        """


class Embedder(Protocol):
    """Texts as vectors."""

    @property
    def id(self) -> str:
        """Name, version and everything that changes what it gives; a checkpoint refuses another one."""

    @property
    def dimension(self) -> int:
        """Length of a vector."""

    @property
    def is_quick(self) -> bool:
        """Whether it is done within a millisecond, so that whoever has others to serve may wait for it."""

    def embed(self, texts: Sequence[str]) -> Floats:
        """(n, dimension) rows of length 1, or 0 for a text with nothing in it."""

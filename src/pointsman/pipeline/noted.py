"""What is remembered of requests that were decided lately: as many as are bounded, and little of each.

It outlasts the config that a request was decided with, so nothing here keeps that alive, nor a checkpoint.

Needs numpy: it is imported only where there is a routed model.
"""

from __future__ import annotations

import hashlib
import math
import weakref
from collections import OrderedDict, deque
from typing import Any

import numpy as np

from pointsman.ml.base import Features, Floats
from pointsman.pipeline.chosen import Chosen
from pointsman.pipeline.learning import Moment, Rating, RoutedLearning

MAX_NOTED = 10_000


class Noted:
    """A decision that may still be rated."""

    __slots__ = (
        "_chosen",
        "_learning",
        "asked",
        "cost_usd",
        "costs",
        "expected",
        "features",
        "is_judged",
        "is_settled",
        "learns",
        "moment",
        "place",
        "rating",
        "score",
        "settings",
        "tenant",
        "time",
        "version",
    )

    def __init__(
        self,
        chosen: Chosen,
        learning: RoutedLearning,
        expected: Floats,
        costs: Floats,
        time: float,
        moment: Moment | None = None,
    ) -> None:
        self._chosen = weakref.ref(chosen)
        chooser, question = chosen.chooser, chosen.question
        self._learning = weakref.ref(learning)
        self.settings = learning.settings
        self.version = "" if chooser.is_stand_in else chooser.version
        """Of the checkpoint that can learn from it."""
        self.place = chooser.lineup.places[chosen.model]
        """Who answered, in the end."""
        self.expected = expected
        """(m,) qualities before anything was learnt while serving."""
        self.costs = costs
        # Half the memory, and as much as can be told apart.
        self.features = Features(
            chosen.features.embedding.astype(np.float16), chosen.features.surface, chosen.features.users
        )
        self.moment = moment
        self.tenant = question.call.tenant
        # With the number of turns: what follows a tool call is the same prompt, and no repetition.
        self.asked = _digest(question.call.tenant, chosen.routed, str(len(question.request.turns)), question.text)
        self.time = time
        self.cost_usd = math.nan
        self.is_settled = False
        """Whether an answer has come."""
        self.is_judged = False
        """Whether it is known if that was troublesome."""
        self.score: float | None = None
        self.rating: Rating | None = None
        """What was learnt from the score."""
        self.learns = True
        """Whether anything can be learnt from it: not where several models had a part in the answer."""

    @property
    def learning(self) -> RoutedLearning | None:
        """Whom it is to teach, whoever decides by now; ``None`` when that has gone with the last that went by it."""
        return self._learning()

    def is_of(self, chosen: Chosen) -> bool:
        """Whether it is this decision, and not another one of a request that was called the same."""
        return self._chosen() is chosen

    @property
    def full_features(self) -> Features:
        """As estimators take them."""
        return Features(self.features.embedding.astype(np.float32), self.features.surface, self.features.users)


class Memory:
    """Of requests that were decided lately, by their ids."""

    def __init__(self) -> None:
        self.noted: OrderedDict[str, Noted] = OrderedDict()
        self.asked: OrderedDict[bytes, str] = OrderedDict()
        """The last request with the same prompt."""
        self.sessions: OrderedDict[tuple[str, str, str], str] = OrderedDict()
        """The last request of each session."""
        self.open: deque[tuple[float, str]] = deque(maxlen=MAX_NOTED)
        """Answers that may still turn out to be troublesome."""

    def put(self, request_id: str, noted: Noted, session: tuple[str, str, str]) -> None:
        """Remember a request as the last one."""
        _keep(self.noted, request_id, noted)
        _keep(self.asked, noted.asked, request_id)
        _keep(self.sessions, session, request_id)


def _keep(kept: OrderedDict[Any, Any], key: Any, value: Any) -> None:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > MAX_NOTED:
        kept.popitem(last=False)


def _digest(*parts: str) -> bytes:
    return hashlib.blake2b("\0".join(parts).encode("utf-8", "replace"), digest_size=16).digest()

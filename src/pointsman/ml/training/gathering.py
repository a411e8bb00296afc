"""Outcomes one by one, in any order, become a table."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

import msgspec
import numpy as np
from numpy.typing import NDArray

from pointsman.ml.base import Floats, Table
from pointsman.ml.table import rows

MAX_PROMPTS = 2_000_000
MAX_MODELS = 4_096
MAX_CELLS = 100_000_000
"""Prompts times models: two such arrays of floats are held."""
MAX_CHARACTERS = 2_000_000_000
"""Of all prompts together."""
CHARACTERS_PER_TOKEN = 4
USUAL_COMPLETION_TOKENS = 200
"""Of an answer whose length is not known."""
TEST = "test"

Mask = NDArray[np.bool_]
Prices = Callable[[str], tuple[float, float] | None]
"""Of a model by its name: dollars for a million tokens of the prompt, and of the answer; ``None`` if not known."""


class BadData(ValueError):
    """Training data that cannot be used: where, and what is wrong."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(f"{where}: {what}")


class Outcome(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a model made of a prompt."""

    prompt: str
    model: str
    score: float | None
    """0..1; ``None`` or NaN where it is not known."""
    prompt_id: str = ""
    task: str = ""
    user: str = ""
    split: str = ""
    cost_usd: float | None = None
    prompt_tokens: float | None = None
    completion_tokens: float | None = None
    total_tokens: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What was read."""

    table: Table
    splits: tuple[str, ...]
    """(n,) as the data has them; empty where it has none."""
    formats: tuple[str, ...]
    sources: tuple[str, ...]
    """Names of files."""
    notes: tuple[str, ...] = ()
    """What whoever reads the results should know."""

    @property
    def is_test(self) -> Mask:
        """(n,) which prompts are kept apart for tests, and are never trained on."""
        return np.array([split == TEST for split in self.splits], np.bool_)

    @property
    def trainable(self) -> Table:
        """All but the test prompts."""
        return rows(self.table, ~self.is_test)

    @property
    def tested(self) -> Table:
        """The test prompts."""
        return rows(self.table, self.is_test)


class Gathering:
    """Takes outcomes, then gives the table. Prompts are in the order in which they came, models in that of their names.

    A prompt is its text, its id and its user together. Of several outcomes of a model for the same prompt it is the
    mean that counts. Where the cost is not given, the prices of its model and the lengths give it.
    """

    def __init__(self, prices: Prices = lambda _model: None) -> None:
        self.options: dict[str, str] = {}
        """Of a question by its text: what a prompt goes on with, where a file of its own says so."""
        self.notes: list[str] = []
        """What readers remark."""
        self._prices = prices
        self._known_prices: dict[str, tuple[float, float] | None] = {}
        self._prompts: dict[tuple[str, str, str], int] = {}
        self._tasks: list[str] = []
        self._splits: list[str] = []
        self._models: dict[str, int] = {}
        self._rows, self._columns = array("l"), array("l")
        self._score, self._cost = array("f"), array("f")
        self._asked, self._answered = array("f"), array("f")
        self._characters = 0
        self._assumed = 0

    def add(self, where: str, outcome: Outcome) -> None:
        """Take one; ``where`` it stands is for messages.

        :raises BadData: it says what cannot be, or there are too many
        """
        if not outcome.prompt.strip():
            raise BadData(where, "the prompt is empty")
        if not outcome.model:
            raise BadData(where, "the model has no name")
        score = _number(where, "score", outcome.score)
        if score < 0.0 or score > 1.0:
            raise BadData(where, f"a score is from 0 to 1, not {score:g}")
        lengths = self._lengths(where, outcome)
        self._rows.append(self._row(where, outcome))
        self._columns.append(self._models.setdefault(outcome.model, len(self._models)))
        self._score.append(score)
        self._cost.append(self._cost_of(where, outcome, lengths))
        self._asked.append(lengths[0])
        self._answered.append(lengths[1])
        if len(self._models) > MAX_MODELS or len(self._models) * len(self._prompts) > MAX_CELLS:
            raise BadData(where, f"more than {MAX_MODELS:,} models, or {MAX_CELLS:,} pairs of prompt and model")

    def reading(self, formats: tuple[str, ...], sources: tuple[str, ...]) -> Reading:
        """Everything that was taken.

        :raises BadData: that is nothing
        """
        if not self._rows:
            raise BadData(", ".join(sources) or "no data", "holds no outcome")
        names = tuple(sorted(self._models))
        place = np.argsort(np.argsort(np.array(list(self._models))))
        shape = len(self._prompts), len(names)
        at = np.asarray(self._rows) * shape[1] + place[np.asarray(self._columns)]
        keys = list(self._prompts)
        answered = _means(shape, at, self._answered)
        has_lengths = not np.isnan(answered).all()
        table = Table(
            prompts=[text for text, _, _ in keys],
            models=names,
            quality=_means(shape, at, self._score),
            cost_usd=_means(shape, at, self._cost),
            prompt_ids=_ids(keys),
            tasks=self._tasks if any(self._tasks) else (),
            users=[user for *_, user in keys] if any(user for *_, user in keys) else (),
            prompt_tokens=_means(shape, at, self._asked) if has_lengths else None,
            completion_tokens=answered if has_lengths else None,
        )
        return Reading(
            table=table,
            splits=tuple(self._splits),
            formats=formats,
            sources=sources,
            notes=(*self.notes, *self._remarks(table)),
        )

    def _row(self, where: str, outcome: Outcome) -> int:
        key = outcome.prompt, outcome.prompt_id, outcome.user
        row = self._prompts.get(key)
        if row is None:
            row = self._prompts[key] = len(self._prompts)
            self._tasks.append(outcome.task)
            self._splits.append(outcome.split)
            self._characters += len(outcome.prompt)
            if len(self._prompts) > MAX_PROMPTS or self._characters > MAX_CHARACTERS:
                raise BadData(where, f"more than {MAX_PROMPTS:,} prompts, or {MAX_CHARACTERS:,} characters of prompts")
        elif outcome.split != self._splits[row]:
            raise BadData(where, f"the prompt is in two splits, {self._splits[row]!r} and {outcome.split!r}")
        return row

    def _lengths(self, where: str, outcome: Outcome) -> tuple[float, float]:
        """Tokens of the prompt, estimated where they are not given, and of the answer, NaN where they are not."""
        asked = _number(where, "prompt_tokens", outcome.prompt_tokens)
        answered = _number(where, "completion_tokens", outcome.completion_tokens)
        both = _number(where, "token count", outcome.total_tokens)
        if math.isnan(asked):
            asked = float(min(math.ceil(len(outcome.prompt) / CHARACTERS_PER_TOKEN), 1e9 if math.isnan(both) else both))
        if math.isnan(answered):
            answered = max(both - asked, 0.0) if both == both else both  # noqa: PLR0124 - whether it is a number
        return asked, answered

    def _cost_of(self, where: str, outcome: Outcome, lengths: tuple[float, float]) -> float:
        cost = _number(where, "cost", outcome.cost_usd)
        if not math.isnan(cost):
            return cost
        if outcome.model not in self._known_prices:
            self._known_prices[outcome.model] = self._prices(outcome.model)
        prices = self._known_prices[outcome.model]
        if prices is None:
            return cost
        asked, answered = lengths
        if math.isnan(answered):
            self._assumed += 1
            answered = USUAL_COMPLETION_TOKENS
        return (asked * prices[0] + answered * prices[1]) / 1e6

    def _remarks(self, table: Table) -> list[str]:
        notes = []
        if self._assumed:
            notes.append(
                f"the costs of {self._assumed:,} outcomes are estimates: their answers are taken to have "
                f"{USUAL_COMPLETION_TOKENS} tokens"
            )
        unknown = [name for name, costs in zip(table.models, table.cost_usd.T, strict=True) if np.isnan(costs).all()]
        if unknown:
            notes.append(f"nothing is known of the costs of {', '.join(unknown)}: give prices with --candidates")
        return notes


def _number(where: str, what: str, value: float | None) -> float:
    """NaN where there is none.

    :raises BadData: it is negative or infinite
    """
    if value is None:
        return math.nan
    if value < 0.0 or math.isinf(value):
        raise BadData(where, f"a {what} is not {value:g}")
    return float(value)


def _means(shape: tuple[int, int], at: NDArray[np.intp], values: array[float]) -> Floats:
    """(n, m) the mean of what is known at each place; NaN where nothing is."""
    given = np.asarray(values, np.float64)
    known = ~np.isnan(given)
    size = shape[0] * shape[1]
    count = np.bincount(at[known], minlength=size)
    total = np.bincount(at[known], given[known], minlength=size)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32).reshape(shape)


def _ids(keys: list[tuple[str, str, str]]) -> list[str]:
    """The ids that prompts have; a hash of the text and the user for those without."""
    return [
        given or sha256(f"{user}\0{text}".encode("utf-8", "replace")).hexdigest()[:16] for text, given, user in keys
    ]

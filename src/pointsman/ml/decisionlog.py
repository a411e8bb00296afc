"""The log of decisions: one JSON object a line, each an event of one request, in the order in which they happened.

``decision`` says what was known and chosen, ``outcome`` what the answer was, ``signal`` what was seen later,
``feedback`` what somebody said. Events of one request have its ``id`` in common, and may stand in different files. A
reader passes over lines that it cannot read and fields that it does not know.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from pointsman.ml.base import Features
from pointsman.ml.evaluation.offpolicy import CannotEstimate, Logged

MAX_LINE_BYTES = 1 << 20
LARGEST = 65_504.0
"""That a float16 can be."""


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """What all lines have."""

    id: str
    """Of the request, as its reply has said in ``x-request-id``."""
    time: float
    """Seconds since 1970."""


class Decided(Event, frozen=True, kw_only=True, tag="decision", omit_defaults=True):
    """A model was chosen. Places are those of ``candidates``, which all lists are as long as."""

    model: str
    """The routed model that was asked for."""
    strategy: str
    version: str
    """Of the checkpoint, or ``prior``."""
    candidates: list[str]
    quality: list[float | None]
    """As expected of each; ``None`` where nothing is."""
    cost_usd: list[float | None]
    chosen: int
    first: int
    """What the decision wanted before anything was tried."""
    baseline: int
    propensity: float
    """With which ``chosen`` was chosen."""
    reason: str
    price: float
    """Quality that a dollar had to buy."""
    usual_price: float | None = None
    """The same for requests that say nothing themselves, of the checkpoint in force: rewards are compared at it."""
    embedder: str = ""
    embedding: bytes = b""
    """float16, little-endian, in base64."""
    surface: bytes = b""
    """The same."""
    shadow: str | None = None
    """What the checkpoint on trial would have chosen; what the one in force would have, where ``is_trial``."""
    is_trial: bool = False
    user: str | None = None
    """A hash."""
    prompt: str | None = None
    """Only where texts are kept."""


class Settled(Event, frozen=True, kw_only=True, tag="outcome", omit_defaults=True):
    """The request has ended."""

    status: int
    served: str = ""
    """The candidate that answered, which is another one than was chosen where that had failed."""
    cost_usd: float | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    seconds: float = 0.0
    signals: list[str] = []
    """What was wrong with the answer: ``truncated``, ``refused``, ``failed``."""


class Signalled(Event, frozen=True, kw_only=True, tag="signal"):
    """What came later: ``regenerated``, the same prompt was sent again; ``tool_failed``, a tool that it called."""

    signal: str


class Rated(Event, frozen=True, kw_only=True, tag="feedback", omit_defaults=True):
    """Somebody said how good the answer was."""

    score: float
    """0..1"""
    text: str | None = None


AnyEvent = Decided | Settled | Signalled | Rated
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(AnyEvent).decode


@dataclass(slots=True)
class Entry:
    """One request, put together."""

    decided: Decided
    settled: Settled | None = None
    signals: list[str] = field(default_factory=list)
    score: float | None = None
    """The last feedback."""

    @property
    def served(self) -> str:
        """Who answered; whoever was chosen where that is not known."""
        return (self.settled.served if self.settled else "") or self.decided.candidates[self.decided.chosen]

    @property
    def in_force(self) -> int:
        """The place where the checkpoint in force would have sent it, had nothing been tried."""
        d = self.decided
        return d.candidates.index(d.shadow) if d.is_trial and d.shadow is not None else d.first

    @property
    def features(self) -> Features:
        """Of the prompt, one row."""
        d = self.decided
        return Features(_floats(d.embedding)[None], _floats(d.surface)[None])

    def reward(self, price: float) -> float | None:
        """The rating less what was paid, at ``price``; ``None`` without a rating."""
        if self.score is None:
            return None
        cost = None if self.settled is None else self.settled.cost_usd
        if cost is None:
            cost = self.decided.cost_usd[self.decided.chosen]
        return self.score - price * (cost or 0.0)


def line(event: Event) -> bytes:
    """An event as it is written, with its line break."""
    return _encode(event) + b"\n"


def read(lines: Iterable[bytes]) -> tuple[list[Entry], int]:
    """The requests of a log in the order of their decisions, and how many lines could not be read or have none."""
    entries: dict[str, Entry] = {}
    lost = 0
    for raw in lines:
        if not raw.strip():
            continue
        try:
            event = _decode(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            lost += 1
            continue
        if isinstance(event, Decided):
            is_sound = _is_sound(event)
            lost += not is_sound
            if is_sound:
                entries[event.id] = Entry(event)
        elif (entry := entries.get(event.id)) is None:
            lost += 1
        else:
            _join(entry, event)
    return list(entries.values()), lost


def logged(
    entries: Sequence[Entry], *, price: float | None = None, model: str | None = None
) -> tuple[Logged, list[Entry]]:
    """What off-policy estimates are made of, and the entries that it was made of, row by row.

    These are the rated ones whose chosen candidate answered, of the routed ``model`` if one is named, with the
    candidates and the embedder that most of them have. All are judged at one ``price``, whatever a request wished for
    itself: the usual one of the last of them if ``None``.

    :raises CannotEstimate: there is none
    """
    rated = [e for e in entries if e.score is not None and e.served == e.decided.candidates[e.decided.chosen]]
    rated = [e for e in rated if model is None or e.decided.model == model]
    if not rated:
        named = "the log" if model is None else f"the model {model!r}"
        raise CannotEstimate(f"no request of {named} was rated: send feedback to POST /router/feedback")
    ((kind, _),) = Counter(_kind(e.decided) for e in reversed(rated)).most_common(1)
    kept = [e for e in rated if _kind(e.decided) == kind]
    last = kept[-1].decided
    if price is None:
        price = last.usual_price
    if price is None:
        price = float(np.median([e.decided.price for e in kept]))
    rewards = [reward for e in kept if (reward := e.reward(price)) is not None]
    inputs = np.vstack([np.hstack([e.features.embedding, e.features.surface]) for e in kept])
    return Logged(
        models=tuple(last.candidates),
        chosen=np.array([e.decided.chosen for e in kept], np.intp),
        propensity=np.array([e.decided.propensity for e in kept]),
        reward=np.array(rewards, np.float64),
        expected=np.array([e.decided.quality for e in kept], np.float64),
        inputs=inputs.astype(np.float64),
    ), kept


def _kind(decided: Decided) -> tuple[Any, ...]:
    return decided.model, tuple(decided.candidates), decided.embedder, len(decided.embedding), len(decided.surface)


def halves(values: NDArray[Any]) -> bytes:
    """Numbers as they are logged."""
    data: bytes = np.clip(np.nan_to_num(values), -LARGEST, LARGEST).astype("<f2").tobytes()
    return data


def numbers(values: NDArray[Any]) -> list[float | None]:
    """The same for a few that people may read."""
    return [round(float(value), 9) if np.isfinite(value) else None for value in values]


def _floats(data: bytes) -> NDArray[np.float32]:
    return np.frombuffer(data[: len(data) // 2 * 2], "<f2").astype(np.float32)


def _is_sound(decided: Decided) -> bool:
    count = len(decided.candidates)
    places = (decided.chosen, decided.first, decided.baseline)
    return (
        len(decided.quality) == len(decided.cost_usd) == count
        and all(0 <= place < count for place in places)
        and 0.0 < decided.propensity <= 1.0
        and math.isfinite(decided.price)
        and (decided.usual_price is None or math.isfinite(decided.usual_price))
        and (decided.shadow is None or decided.shadow in decided.candidates)
        and all(np.isfinite(_floats(data)).all() for data in (decided.embedding, decided.surface))
    )


def _join(entry: Entry, event: Settled | Signalled | Rated) -> None:
    if isinstance(event, Settled):
        entry.settled = event
        entry.signals += event.signals
    elif isinstance(event, Signalled):
        entry.signals.append(event.signal)
    elif 0.0 <= event.score <= 1.0:
        entry.score = event.score


def summary(entries: Sequence[Entry]) -> Mapping[str, int]:
    """How many decisions, answers and ratings there are."""
    return {
        "decisions": len(entries),
        "answers": sum(e.settled is not None and e.settled.status == 200 for e in entries),
        "ratings": sum(e.score is not None for e in entries),
        "explored": sum(e.decided.chosen != e.decided.first for e in entries),
    }

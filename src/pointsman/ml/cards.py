"""Candidates as a file describes them. Two shapes are read.

LLMRouter's is an object by model: ``size`` ("7B"), ``feature``, ``input_price``, ``output_price`` (dollars for a
million tokens). RouteIQ's is ``{"models": [...]}`` with ``model_name``, ``cost_per_1k_tokens``, ``context_window``,
``capabilities``.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from pointsman.ml.estimators.size import size_of
from pointsman.ml.prior import Card

MAX_BYTES = 64 << 20
MAX_CARDS = 4_096

Price = Annotated[float, msgspec.Meta(ge=0)]


class BadCards(ValueError):
    """A file of candidates that cannot be used: what is wrong, and what to do."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(f"{what} ({hint})")
        self.what = what
        self.hint = hint


class _Candidate(msgspec.Struct):
    """Of LLMRouter."""

    size: str | float | None = None
    feature: str | None = None
    input_price: Price | None = None
    output_price: Price | None = None
    context_window: Annotated[int, msgspec.Meta(gt=0)] | None = None


class _Model(msgspec.Struct):
    """Of RouteIQ."""

    model_name: Annotated[str, msgspec.Meta(min_length=1)]
    size: str | float | None = None
    cost_per_1k_tokens: Price | None = None
    input_cost_per_1k_tokens: Price | None = None
    output_cost_per_1k_tokens: Price | None = None
    context_window: Annotated[int, msgspec.Meta(gt=0)] | None = None
    capabilities: list[str] = []
    description: str | None = None


class _Models(msgspec.Struct):
    models: list[_Model]


def read_cards(text: bytes) -> tuple[Card, ...]:
    """The candidates of a file of either shape, in its order.

    :raises BadCards: it has neither, names a model twice, or a price that is none
    """
    if len(text) > MAX_BYTES:
        raise BadCards(f"has more than {MAX_BYTES >> 20} MiB", "leave out embeddings and other data")
    try:
        document = msgspec.json.decode(text)
        if isinstance(document, dict) and isinstance(document.get("models"), list):
            cards = [_of_model(model) for model in msgspec.convert(document, _Models).models]
        else:
            found = msgspec.convert(document, dict[str, _Candidate])
            cards = [_of_candidate(name, candidate) for name, candidate in found.items()]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadCards(
            f"is no list of candidates: {error}",
            'write {"name": {"size": "7B", "input_price": 0.2, "output_price": 0.2}}',
        ) from None
    names = {card.name for card in cards}
    if not 0 < len(cards) <= MAX_CARDS:
        raise BadCards(f"names {len(cards):,} models", f"name 1 to {MAX_CARDS:,}")
    if len(names) != len(cards):
        raise BadCards("names a model twice", "keep one of them")
    return tuple(cards)


def _of_candidate(name: str, candidate: _Candidate) -> Card:
    return Card(
        name=name,
        size_billions=_size(candidate.size),
        input_usd_per_million=candidate.input_price,
        output_usd_per_million=candidate.output_price,
        description=candidate.feature or "",
        context_window=candidate.context_window,
    )


def _of_model(model: _Model) -> Card:
    both = model.cost_per_1k_tokens
    asked = both if model.input_cost_per_1k_tokens is None else model.input_cost_per_1k_tokens
    answered = both if model.output_cost_per_1k_tokens is None else model.output_cost_per_1k_tokens
    return Card(
        name=model.model_name,
        size_billions=_size(model.size),
        input_usd_per_million=None if asked is None else 1000.0 * asked,
        output_usd_per_million=None if answered is None else 1000.0 * answered,
        description=model.description or ", ".join(model.capabilities),
        context_window=model.context_window,
    )


def _size(size: str | float | None) -> float | None:
    """Billions of parameters; a plain number is that already, and ``8x7B`` is 56."""
    return size_of(size) if isinstance(size, str) else size

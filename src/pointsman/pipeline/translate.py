"""Requests for deployments that do not speak the caller's dialect."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from pointsman.errors import Inexpressible
from pointsman.pipeline.defaults import read_defaults, with_defaults
from pointsman.providers.codecs import INBOUND
from pointsman.providers.custom_tools import UndoingReader, undone
from pointsman.providers.dialects import gemini, openai
from pointsman.providers.translation import (
    ADVISORY,
    Inbound,
    OtherOperation,
    Outbound,
    ReplyTerms,
    StreamReader,
    StreamWriter,
    Terms,
)
from pointsman.wire.chat import Answer, ChatRequest
from pointsman.wire.operations import Operation
from pointsman.wire.peek import insert_fields

MOST_NAMED = 8
"""Parameters that one refusal names."""


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """How a deployment takes an operation that does not simply pass through."""

    path: str
    """Of ``other``, what its own paths begin with."""
    chat: Outbound | None = None
    other: OtherOperation | None = None
    adapt: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    """What the vendor changes in the dialect's body."""


class Shaping(msgspec.Struct, frozen=True, kw_only=True):
    """What is wished for about parameters that a deployment cannot take."""

    drops_all: bool = False
    """Whether to leave them out instead of refusing the request (``drop_params``)."""
    drops: frozenset[str] = frozenset()
    """Those that are left out in any case (``additional_drop_params``)."""
    allowed: frozenset[str] = frozenset()
    """Those that are sent whatever is known of the deployment (``allowed_openai_params``)."""
    ours: frozenset[str] = frozenset()
    """Those that the gateway has put there itself: where they have to be left out, that is no loss of the caller's."""

    def and_also(self, other: Shaping) -> Shaping:
        """Both wishes."""
        return Shaping(
            drops_all=self.drops_all or other.drops_all,
            drops=self.drops | other.drops,
            allowed=self.allowed | other.allowed,
            ours=self.ours | other.ours,
        )


AS_IT_IS = Shaping()


class Translation(msgspec.Struct, kw_only=True):
    """One attempt's: with what its answer is read, and written for the caller."""

    outbound: Outbound
    inbound: Inbound
    request: ChatRequest
    merges_reasoning: bool = False
    custom: frozenset[str] = frozenset()
    """Tools that take free text, and that the provider has as functions."""

    def write(self, answer: Answer, terms: ReplyTerms) -> dict[str, Any]:
        """The reply's body."""
        if self.custom:
            answer = undone(answer, self.custom)
        if self.merges_reasoning and self.inbound is openai:
            return openai.write_answer(answer, terms, merges_reasoning=True)
        return self.inbound.write_answer(answer, terms)

    def stream_reader(self) -> StreamReader:
        """What reads the provider's events."""
        reader = self.outbound.stream_reader()
        return UndoingReader(reader, self.custom) if self.custom else reader

    def stream_writer(self, terms: ReplyTerms, *, is_array: bool) -> StreamWriter:
        """What writes the reply's events; ``is_array``: as one JSON array, which only Gemini's clients ask for."""
        if self.merges_reasoning and self.inbound is openai:
            return openai.stream_writer(terms, merges_reasoning=True)
        if is_array:
            return gemini.stream_writer(terms, is_array=True)
        return self.inbound.stream_writer(terms)

    def terms(self, model: str, unique: str, created: int) -> ReplyTerms:
        """What the reply is written with."""
        return ReplyTerms(model=model, unique=unique, created=created, request=self.request)


class Conversation:
    """A conversation that a client has sent, read when it is first needed.

    ``shape`` is the operation whose body it is, and ``operation`` the one that it was sent to: they differ where a
    client sends one dialect to the address of another.
    """

    def __init__(self, body: bytes, operation: Operation, shape: Operation) -> None:
        self._body = body
        self._reader = INBOUND[shape.name]
        self.writer = INBOUND[operation.name]
        self._request: ChatRequest | None = None

    def request(
        self, defaults: Mapping[str, Any], overrides: Mapping[str, Any], model: str, *, is_stream: bool
    ) -> ChatRequest:
        """The request, with ``defaults`` for what the caller has not said and ``overrides`` in the place of it.

        :raises InvalidRequest: it is not valid
        """
        if overrides:
            request = self._read(insert_fields(self._body, {}, overrides), model, is_stream=is_stream)
        else:
            if self._request is None:
                self._request = self._read(self._body, model, is_stream=is_stream)
            request = self._request
        return with_defaults(request, read_defaults(defaults)) if defaults else request

    def _read(self, body: bytes, model: str, *, is_stream: bool) -> ChatRequest:
        request = self._reader.read_request(body)
        request.model = model
        request.stream = is_stream
        return request


def judge(terms: Terms, wish: Shaping, vendor: str) -> tuple[str, ...]:
    """What was left out of a request without harm, or because that is wished for.

    :raises Inexpressible: something was left out that matters
    """
    lost = [name for name in terms.lost or () if not wish.ours or not _is_one_of(name, wish.ours)]
    if not lost:
        return ()
    if not wish.drops_all:
        refused = [name for name in lost if _matters(name, wish.drops)]
        if refused:
            names = ", ".join(repr(name) for name in refused[:MOST_NAMED])
            raise Inexpressible(
                f"{vendor} has nothing like {names}; leave it out, or set drop_params: true to have it left out",
                param=refused[0],
            )
    return tuple(lost)


def without(body: dict[str, Any], paths: Sequence[str]) -> dict[str, Any]:
    """``body`` without what ``paths`` name: ``a``, ``a.b``, ``a[0].b`` or ``a[*].b`` for each of a list."""
    for path in paths:
        body = _without(body, path.replace("[", ".[").split("."))
    return body


def _without(value: Any, steps: Sequence[str]) -> Any:
    step, rest = steps[0], steps[1:]
    if step.startswith("[") and isinstance(value, list):
        index = step.strip("[]")
        if not rest:
            return [one for at, one in enumerate(value) if index not in ("*", str(at))]
        return [_without(one, rest) if index in ("*", str(at)) else one for at, one in enumerate(value)]
    if not isinstance(value, dict) or step not in value:
        return value
    if not rest:
        return {name: one for name, one in value.items() if name != step}
    return {**value, step: _without(value[step], rest)}


def _matters(name: str, drops: frozenset[str]) -> bool:
    """Whether the answer is another one without it."""
    return not _is_one_of(name, ADVISORY) and name not in drops and not _is_one_of(name, drops)


def _is_one_of(name: str, names: frozenset[str]) -> bool:
    """``tools[0].cache_control`` is known by either of its ends."""
    return name.partition("[")[0].partition(".")[0] in names or name.rpartition(".")[2] in names

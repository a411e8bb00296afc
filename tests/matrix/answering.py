"""Decides what becomes of each thing that a model can say, by letting it be said: whole and streamed."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Final

import msgspec
from matrix.answered import ERRORS, SEALED, TAKEN_BACK, UNSEALED, Answered
from matrix.asked import MODELS, PLAIN
from matrix.asking import DROPPED, NONE, SILENT, YES, client_dialect, provider_dialect
from matrix.clients import GIVES_BACK, JOINS, events
from matrix.patterns import holds, merged
from matrix.providers_more import PROVIDERS
from matrix.said import Said
from matrix.tools import DECLARED

from pointsman.pipeline.relays import Messages, TranslatedRelay
from pointsman.providers.translation import ReplyTerms, Terms
from pointsman.wire.eventstream import EventStreamMessages
from pointsman.wire.messages import JsonLines, SseMessages

FRAMINGS: Final[dict[str, Callable[[], Messages]]] = {
    "sse": SseMessages,
    "lines": JsonLines,
    "eventstream": EventStreamMessages,
}
SHOWS_REASONING: Final[dict[str, dict[str, Any]]] = {
    "gemini": {"generationConfig": {"thinkingConfig": {"includeThoughts": True}}},
    "openai": {"stream_options": {"include_usage": True}},
    "completions": {"stream_options": {"include_usage": True}},
}
"""Members of requests whose clients get nothing of the kind otherwise."""


@cache
def terms_for(client: str) -> ReplyTerms:
    """What replies to a plain request are written with."""
    body = merged(PLAIN[client], SHOWS_REASONING.get(client, {}) | DECLARED.get(client, {}))
    request = client_dialect(client).read_request(msgspec.json.encode(body))
    return ReplyTerms(model="public", unique="u1", created=7, request=request)


def whole(said: Said, client: str, provider: str) -> dict[str, Any] | None:
    """The reply to a client; ``None``: the provider does not say such a thing."""
    native = PROVIDERS[provider].answer(said)
    if native is None:
        return None
    answer = provider_dialect(provider).read_answer(msgspec.json.encode(native))
    written = client_dialect(client).write_answer(answer, terms_for(client))
    reply: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(written))
    return reply


def relay_between(client: str, provider: str) -> TranslatedRelay:
    """What a stream goes through."""
    outbound = provider_dialect(provider)
    writer = client_dialect(client).stream_writer(terms_for(client))
    return TranslatedRelay(outbound.stream_reader(), FRAMINGS[outbound.FRAMING](), writer)


def streamed(said: Said, client: str, provider: str) -> dict[str, Any]:
    """The reply that a client makes of its stream."""
    relay = relay_between(client, provider)
    stream = b"".join(map(relay.feed, PROVIDERS[provider].stream(said))) + relay.close()
    assert relay.is_finished
    return JOINS[client](stream)


def answer(feature: Answered, client: str, provider: str) -> str:
    """What a client gets of what a provider has said."""
    reply = whole(feature.said, client, provider)
    if reply is None:
        return NONE
    if client not in feature.shown:
        return DROPPED
    pattern = feature.shown[client]
    is_streamed = holds(streamed(feature.said, client, provider), pattern)
    return YES if holds(reply, pattern) and is_streamed else SILENT


def give_back(client: str, provider: str) -> str:
    """Whether a provider gets its reasoning back, with its seal, from a client that had it in a reply."""
    if client not in GIVES_BACK:
        return NONE
    said = SEALED if PROVIDERS[provider].answer(SEALED) is not None else UNSEALED
    replies = (whole(said, client, provider), streamed(said, client, provider))
    return YES if all(reply is not None and _is_back(reply, client, provider) for reply in replies) else SILENT


def _is_back(reply: dict[str, Any], client: str, provider: str) -> bool:
    members = DECLARED[client] | GIVES_BACK[client](reply)
    request = client_dialect(client).read_request(msgspec.json.encode(merged(PLAIN[client], members)))
    native = provider_dialect(provider).write_request(request, Terms(model=MODELS[provider], lost=[]))
    return holds(msgspec.to_builtins(native), TAKEN_BACK[provider])


def fail(client: str, provider: str) -> str:
    """Whether a client is told of a failure in the middle of a stream."""
    relay = relay_between(client, provider)
    native = PROVIDERS[provider]
    relay.feed(native.stream(Said())[0])
    relay.feed(native.failure)
    if relay.failure is None:
        return SILENT
    ending = client_dialect(client).error_event(relay.failure)
    return YES if any(holds(event, ERRORS[client]) for event in events(ending)) else SILENT

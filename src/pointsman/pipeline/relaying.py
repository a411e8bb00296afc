"""Which relay the stream of an attempt goes through."""

from __future__ import annotations

from collections.abc import Callable

from pointsman.pipeline.attempt import Attempt
from pointsman.pipeline.relays import Messages, Relay, TranslatedRelay, WatchedRelay
from pointsman.providers.codecs import DIALECTS
from pointsman.providers.translation import Outbound, StreamWriter
from pointsman.wire import operations as op
from pointsman.wire.eventstream import EventStreamMessages
from pointsman.wire.messages import JsonLines, SseMessages
from pointsman.wire.operations import Operation
from pointsman.wire.sse import SseRelay

MAX_EVENT_BYTES = 1024 * 1024
MAX_LONG_EVENT_BYTES = 32 * 1024 * 1024
"""Where one event can hold a whole picture, or a whole answer once more."""
HAS_LONG_EVENTS = frozenset({"gemini", "responses"})
FRAMINGS: dict[str, Callable[[int], Messages]] = {
    "sse": SseMessages,
    "lines": JsonLines,
    "eventstream": EventStreamMessages,
}
MESSAGE_STOP = b'"message_stop"'
WATCHED = {op.MESSAGES.name: "anthropic", op.GENERATE_CONTENT.name: "gemini"}
"""Operations whose streams pass as bytes and are read beside, and their dialect."""


def outbound_of(operation: Operation) -> Outbound:
    """The dialect of a conversation that is not on the OpenAI wire."""
    chat = DIALECTS[WATCHED[operation.name]].chat
    assert chat is not None
    return chat


def relay_of(attempt: Attempt, unique: Callable[[], str], wall_clock: Callable[[], float]) -> Relay:
    """A relay for the stream that answers ``attempt``."""
    call, translation = attempt.call, attempt.translation
    if translation is not None:
        terms = translation.terms(attempt.public_model, unique(), int(wall_clock()))
        writer: StreamWriter = translation.stream_writer(terms, is_array=call.is_array)
        outbound = translation.outbound
        longest = MAX_LONG_EVENT_BYTES if outbound.NAME in HAS_LONG_EVENTS else MAX_EVENT_BYTES
        return TranslatedRelay(translation.stream_reader(), FRAMINGS[outbound.FRAMING](longest), writer)
    if call.operation.name in WATCHED:
        relay = SseRelay(attempt.public_model, withhold_errors=True, max_event_bytes=max_event_bytes(call.operation))
        end = MESSAGE_STOP if call.operation is op.MESSAGES else None
        reader = outbound_of(call.operation).stream_reader()
        return WatchedRelay(relay, reader, SseMessages(MAX_LONG_EVENT_BYTES), end)
    peeked = call.peeked
    return SseRelay(
        attempt.public_model,
        strip_usage=peeked is not None and not peeked.include_usage,
        withhold_errors=True,
        max_event_bytes=max_event_bytes(call.operation),
    )


def max_event_bytes(operation: Operation) -> int:
    """How long one event can be that passes through."""
    is_long = operation.mode == "image_generation" or operation in (op.GENERATE_CONTENT, op.RESPONSES)
    return MAX_LONG_EVENT_BYTES if is_long else MAX_EVENT_BYTES

"""Which relay a stream goes through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pointsman.pipeline.relaying import (
    MAX_EVENT_BYTES,
    MAX_LONG_EVENT_BYTES,
    max_event_bytes,
    outbound_of,
    relay_of,
)
from pointsman.pipeline.relays import TranslatedRelay, WatchedRelay
from pointsman.pipeline.translate import Translation
from pointsman.providers.codecs import DIALECTS
from pointsman.providers.dialects import anthropic, gemini, openai
from pointsman.wire import operations as op
from pointsman.wire.chat import ChatRequest
from pointsman.wire.operations import Operation
from pointsman.wire.sse import SseRelay

Make = Callable[..., Any]


def _relay(rig: Any, operation: Operation = op.CHAT, translation: Translation | None = None) -> Any:
    attempt = rig.attempt(rig.call(operation))
    attempt.translation = translation
    return relay_of(attempt, lambda: "u1", lambda: 7.0)


@pytest.mark.parametrize("operation", [op.CHAT, op.RESPONSES, op.IMAGE_GENERATION])
def test_what_is_on_the_openai_wire_passes_as_bytes(rig: Any, operation: Operation) -> None:
    assert isinstance(_relay(rig, operation), SseRelay)


@pytest.mark.parametrize("operation", [op.MESSAGES, op.GENERATE_CONTENT])
def test_other_dialects_that_the_client_speaks_too_are_read_beside(rig: Any, operation: Operation) -> None:
    assert isinstance(_relay(rig, operation), WatchedRelay)


@pytest.mark.parametrize("name", [name for name, dialect in DIALECTS.items() if dialect.chat is not None])
def test_each_dialect_that_is_translated_has_a_framing(rig: Any, name: str) -> None:
    outbound = DIALECTS[name].chat
    assert outbound is not None
    request = ChatRequest(dialect="openai", turns=[])
    translation = Translation(outbound=outbound, inbound=openai, request=request)
    relay = _relay(rig, translation=translation)
    assert isinstance(relay, TranslatedRelay)
    assert relay.feed(b"") == b""


def test_a_picture_or_a_whole_answer_may_come_in_one_event_and_a_text_not() -> None:
    assert max_event_bytes(op.IMAGE_GENERATION) == MAX_LONG_EVENT_BYTES
    assert max_event_bytes(op.GENERATE_CONTENT) == MAX_LONG_EVENT_BYTES
    assert max_event_bytes(op.CHAT) == MAX_EVENT_BYTES


def test_conversations_off_the_openai_wire_have_a_dialect() -> None:
    assert outbound_of(op.MESSAGES) is anthropic
    assert outbound_of(op.GENERATE_CONTENT) is gemini

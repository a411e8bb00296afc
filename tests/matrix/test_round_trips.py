"""Nothing that both sides can express is changed by a translation."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matrix.asked import MODELS
from matrix.asking import client_dialect, provider_dialect
from matrix.conversations import (
    DIALECTS,
    SETTINGS,
    answers,
    as_events,
    meaning_of_answer,
    meaning_of_events,
    meaning_of_turns,
    requests,
    settings_of,
)

from pointsman.providers.translation import ReplyTerms, Terms
from pointsman.wire.chat import Answer, ChatRequest, Event, Reasoning
from pointsman.wire.messages import SseMessages

PAIRS = [(client, provider) for client in DIALECTS for provider in DIALECTS]
REQUEST = ChatRequest(dialect="openai", turns=[], reasoning=Reasoning(is_shown=True), include_usage=True)
TERMS = ReplyTerms(model="public", unique="u1", created=7, request=REQUEST)

BESIDE_THINKING = {"temperature", "top_p", "top_k"}
"""Settings that Claude refuses where it is asked to think."""

thorough = settings(max_examples=8, deadline=None, derandomize=True, database=None)


def written(request: ChatRequest, name: str) -> bytes:
    native: dict[str, Any] = provider_dialect(name).write_request(request, Terms(model=MODELS[name], lost=[]))
    return msgspec.json.encode(native)


def read_back(request: ChatRequest, name: str) -> ChatRequest:
    return client_dialect(name).read_request(written(request, name))


@pytest.mark.requirement("dialects.round-trips")
@pytest.mark.parametrize(("client", "provider"), PAIRS)
@thorough
@given(request=requests())
def test_a_request_says_the_same_in_the_providers_dialect(client: str, provider: str, request: ChatRequest) -> None:
    request.dialect = client
    asked = read_back(request, client)
    got = read_back(asked, provider)
    assert meaning_of_turns(asked) == meaning_of_turns(request)
    assert meaning_of_turns(got) == meaning_of_turns(asked)
    both = SETTINGS[client] & SETTINGS[provider]
    if provider == "anthropic" and client != provider and asked.reasoning is not None:
        both -= BESIDE_THINKING
    assert settings_of(asked, SETTINGS[client]) == settings_of(request, SETTINGS[client])
    assert settings_of(got, both) == settings_of(asked, both)


@pytest.mark.requirement("dialects.round-trips")
@pytest.mark.parametrize(("client", "provider"), PAIRS)
@thorough
@given(answer=answers())
def test_an_answer_says_the_same_in_the_clients_dialect(client: str, provider: str, answer: Answer) -> None:
    native = msgspec.json.encode(client_dialect(provider).write_answer(answer, TERMS))
    given_ = provider_dialect(provider).read_answer(native)
    assert meaning_of_answer(given_) == meaning_of_answer(answer)
    reply = msgspec.json.encode(client_dialect(client).write_answer(given_, TERMS))
    assert meaning_of_answer(provider_dialect(client).read_answer(reply)) == meaning_of_answer(answer)


def streamed(events: list[Event], name: str) -> bytes:
    writer = client_dialect(name).stream_writer(TERMS)
    return b"".join([*map(writer.write, events), writer.close()])


def read_stream(stream: bytes, name: str, size: int) -> list[Event]:
    reader, messages = provider_dialect(name).stream_reader(), SseMessages()
    events: list[Event] = []
    for at in range(0, len(stream), size):
        for message in messages.feed(stream[at : at + size]):
            events += reader.read(*message)
    events += [event for message in messages.close() for event in reader.read(*message)]
    events += reader.close()
    assert reader.is_finished
    return events


@pytest.mark.requirement("dialects.round-trips")
@pytest.mark.parametrize(("client", "provider"), PAIRS)
@thorough
@given(answer=answers(), size=st.integers(1, 9), piece=st.sampled_from([1, 7, 2**20]))
def test_a_stream_says_the_same_in_the_clients_dialect(
    client: str, provider: str, answer: Answer, size: int, piece: int
) -> None:
    native = streamed(list(as_events(answer, size)), provider)
    events = read_stream(native, provider, piece)
    assert meaning_of_events(events) == meaning_of_answer(answer)
    reply = streamed(events, client)
    assert meaning_of_events(read_stream(reply, client, piece)) == meaning_of_answer(answer)

from __future__ import annotations

import base64
import struct

import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types import ModerationMultiModalInputParam
from system.process import Gateway
from system.upstream.answers import TEXT, VECTOR, WORDS
from system.upstream.server import FakeUpstream


@pytest.mark.requirement("completions")
def test_a_legacy_completion_is_whole(client: OpenAI) -> None:
    answer = client.completions.create(model="house-chat", prompt="Once")
    assert (answer.object, answer.model, answer.choices[0].text) == ("text_completion", "house-chat", TEXT)
    assert answer.usage is not None
    assert answer.usage.total_tokens == 17


@pytest.mark.requirement("completions")
def test_a_legacy_completion_streams_text_in_every_chunk(client: OpenAI) -> None:
    with client.completions.create(
        model="house-chat", prompt=[1, 2, 3], stream=True, stream_options={"include_usage": True}
    ) as stream:
        *chunks, last = list(stream)
    assert [chunk.choices[0].text for chunk in chunks] == [*WORDS, ""]
    assert {chunk.model for chunk in chunks} == {"house-chat"}
    assert last.choices == []
    assert last.usage is not None


@pytest.mark.requirement("completions", "chat.stream-usage")
def test_a_legacy_stream_has_no_usage_chunk_unless_asked(client: OpenAI) -> None:
    with client.completions.create(model="house-chat", prompt="Once", stream=True) as stream:
        assert [chunk.choices[0].text for chunk in stream] == [*WORDS, ""]


@pytest.mark.requirement("responses")
def test_a_response_is_whole(client: OpenAI) -> None:
    answer = client.responses.create(model="house-chat", input="Hello", store=False)
    assert (answer.model, answer.output_text, answer.id) == ("house-chat", TEXT, "resp_upstream")
    assert answer.usage is not None
    assert answer.usage.input_tokens_details.cached_tokens == 4


@pytest.mark.requirement("responses")
def test_a_response_streams_its_events_in_order(client: OpenAI) -> None:
    with client.responses.create(model="house-chat", input="Hello", stream=True) as stream:
        events = list(stream)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == TEXT
    first, last = events[0], events[-1]
    assert first.type == "response.created"
    assert first.response.model == "house-chat"
    assert last.type == "response.completed"
    assert last.response.model == "house-chat"
    assert last.response.usage is not None


@pytest.mark.requirement("responses")
async def test_the_sdks_response_stream_helper_understands_the_stream(async_client: AsyncOpenAI) -> None:
    async with async_client.responses.stream(model="house-chat", input="Hello") as stream:
        final = await stream.get_final_response()
    assert final.output_text == TEXT


@pytest.mark.requirement("responses")
def test_event_names_stay_and_no_done_is_added(gateway: Gateway) -> None:
    reply = gateway.post("/v1/responses", {"model": "house-chat", "input": "Hello", "stream": True})
    names = [line[7:] for line in reply.body.decode().splitlines() if line.startswith("event: ")]
    assert names == [event["type"] for event in reply.events]
    assert b"[DONE]" not in reply.body


@pytest.mark.requirement("embeddings")
def test_embeddings_of_one_text_come_as_base64_by_the_sdks_default(client: OpenAI, upstream: FakeUpstream) -> None:
    answer = client.embeddings.create(model="fake/embed-default", input="Hello")
    assert upstream.request("embed-default").json["encoding_format"] == "base64"
    assert answer.data[0].embedding == list(VECTOR)
    assert answer.model == "fake/embed-default"
    assert answer.usage.total_tokens == 5


@pytest.mark.requirement("embeddings")
def test_embeddings_come_as_floats_when_asked(client: OpenAI) -> None:
    answer = client.embeddings.create(model="house-chat", input=["a", "b", "c"], encoding_format="float")
    assert [entry.index for entry in answer.data] == [0, 1, 2]
    assert answer.data[2].embedding == list(VECTOR)


@pytest.mark.requirement("embeddings")
def test_base64_passes_as_the_text_that_the_upstream_sent(gateway: Gateway) -> None:
    body = {"model": "house-chat", "input": "x", "encoding_format": "base64"}
    entry = gateway.post("/v1/embeddings", body).json["data"][0]["embedding"]
    assert base64.b64decode(entry) == struct.pack("<3f", *VECTOR)


@pytest.mark.requirement("embeddings")
@pytest.mark.parametrize("tokens", [[1, 2, 3], [[1, 2], [3]]])
def test_embeddings_take_token_arrays_and_dimensions(
    client: OpenAI, upstream: FakeUpstream, tokens: list[int] | list[list[int]]
) -> None:
    model = f"tokens-{isinstance(tokens[0], list)}"
    answer = client.embeddings.create(model=f"fake/{model}", input=tokens, dimensions=2)
    assert upstream.request(model).json["input"] == tokens
    assert all(entry.embedding == list(VECTOR[:2]) for entry in answer.data)


@pytest.mark.requirement("moderations")
def test_moderations_need_no_model(client: OpenAI, upstream: FakeUpstream) -> None:
    answer = client.moderations.create(input=["a", "b"])
    assert [result.flagged for result in answer.results] == [True, True]
    assert upstream.request("omni-moderation-latest").target == "/v1/moderations"
    assert answer.model == "house-moderation"


@pytest.mark.requirement("moderations")
def test_moderations_take_parts_and_a_model(client: OpenAI) -> None:
    parts: list[ModerationMultiModalInputParam] = [{"type": "text", "text": "a"}]
    answer = client.moderations.create(model="fake/moderator", input=parts)
    assert answer.results[0].category_scores.violence == 0.93
    assert answer.model == "fake/moderator"

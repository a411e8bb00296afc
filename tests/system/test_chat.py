from __future__ import annotations

import json

import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam
from pydantic import BaseModel
from system.process import Gateway
from system.upstream.answers import FINGERPRINT, TEXT, WORDS
from system.upstream.server import FakeUpstream

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello ü ✓"}]
TOOLS: list[ChatCompletionToolParam] = [
    {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
]


@pytest.mark.requirement("chat.whole")
def test_a_whole_chat_has_the_public_model_name_and_the_upstreams_fields(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="house-chat", messages=HELLO)
    assert answer.model == "house-chat"
    assert answer.choices[0].message.content == TEXT
    assert answer.choices[0].message.refusal is None
    assert answer.choices[0].logprobs is None
    assert answer.choices[0].finish_reason == "stop"
    assert answer.system_fingerprint == FINGERPRINT
    assert answer.usage is not None
    assert answer.usage.total_tokens == 17
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 4
    assert answer.model_extra == {"x_vendor_field": {"kept": [1, 2.5, "ü"]}}
    assert answer._request_id


@pytest.mark.requirement("chat.whole")
def test_an_answer_differs_from_the_upstreams_in_the_model_only(gateway: Gateway) -> None:
    reply = gateway.post("/v1/chat/completions", {"model": "house-chat", "messages": HELLO})
    assert reply.header("content-type") == "application/json"
    assert b'"x_vendor_field": {"kept": [1, 2.5, "\\u00fc"]}' in reply.body
    assert b'"model": "house-chat"' in reply.body


@pytest.mark.requirement("chat.whole")
async def test_the_async_client_gets_the_same(async_client: AsyncOpenAI) -> None:
    answer = await async_client.chat.completions.create(model="house-chat", messages=HELLO)
    assert answer.choices[0].message.content == TEXT
    stream = await async_client.chat.completions.create(model="house-chat", messages=HELLO, stream=True)
    assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == TEXT


@pytest.mark.requirement("chat.stream")
def test_a_stream_arrives_chunk_by_chunk_under_one_id_and_model(client: OpenAI) -> None:
    with client.chat.completions.create(model="house-chat", messages=HELLO, stream=True) as stream:
        chunks = list(stream)
    assert {chunk.model for chunk in chunks} == {"house-chat"}
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].delta.content for chunk in chunks[1:-1]] == list(WORDS)
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(WORDS) + 1) + ["stop"]


@pytest.mark.requirement("chat.stream")
def test_a_stream_ends_with_done_and_is_marked_unbuffered(gateway: Gateway) -> None:
    reply = gateway.post("/v1/chat/completions", {"model": "house-chat", "messages": HELLO, "stream": True})
    assert reply.is_whole
    assert reply.body.endswith(b"data: [DONE]\n\n")
    assert (reply.header("content-type") or "").startswith("text/event-stream")
    assert reply.header("x-accel-buffering") == "no"
    assert reply.header("cache-control") == "no-cache"


@pytest.mark.requirement("chat.stream-usage")
def test_include_usage_gives_one_last_chunk_without_choices(client: OpenAI) -> None:
    with client.chat.completions.create(
        model="house-chat", messages=HELLO, stream=True, stream_options={"include_usage": True}
    ) as stream:
        *chunks, last = list(stream)
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.total_tokens == 17
    assert all(chunk.usage is None and "usage" in chunk.model_fields_set for chunk in chunks)


@pytest.mark.requirement("chat.stream-usage")
def test_without_include_usage_the_upstream_is_asked_and_the_client_sees_nothing(
    gateway: Gateway, upstream: FakeUpstream
) -> None:
    body = {"model": "fake/unasked-usage", "messages": HELLO, "stream": True}
    reply = gateway.post("/v1/chat/completions", body)
    assert upstream.request("unasked-usage").json["stream_options"] == {"include_usage": True}
    assert all(chunk == "[DONE]" or chunk["choices"] for chunk in reply.events)
    assert b"total_tokens" not in reply.body


@pytest.mark.requirement("chat.tools")
def test_tool_calls_pass_whole(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="house-chat", messages=HELLO, tools=TOOLS)
    message = answer.choices[0].message
    assert answer.choices[0].finish_reason == "tool_calls"
    assert message.content is None
    assert message.tool_calls is not None
    call = message.tool_calls[0]
    assert call.type == "function"
    assert json.loads(call.function.arguments) == {"city": "Bern"}


@pytest.mark.requirement("chat.tools")
def test_tool_call_deltas_pass_streamed(client: OpenAI) -> None:
    with client.chat.completions.create(model="house-chat", messages=HELLO, tools=TOOLS, stream=True) as stream:
        deltas = [chunk.choices[0].delta.tool_calls for chunk in stream]
    calls = [delta[0] for delta in deltas if delta]
    assert calls[0].id == "call_1"
    assert calls[0].type == "function"
    assert [call.id for call in calls[1:]] == [None] * 3
    assert "".join((call.function and call.function.arguments) or "" for call in calls) == '{"city": "Bern"}'


class Station(BaseModel):
    city: str
    tracks: int


@pytest.mark.requirement("chat.structured-output")
def test_structured_output_is_parsed_by_the_sdk(client: OpenAI) -> None:
    answer = client.chat.completions.parse(model="house-chat", messages=HELLO, response_format=Station)
    assert answer.choices[0].message.parsed == Station(city="Bern", tracks=12)


@pytest.mark.requirement("chat.unknown-fields")
def test_every_byte_but_the_model_reaches_the_upstream(gateway: Gateway, upstream: FakeUpstream) -> None:
    sent = (
        b'{ "zzz_new": {"b":1.50, "a":[1e3,null,"\\u00e9\xc3\xbc"]},\t"model" : "fake/bytes" ,\n'
        b'"messages":[{"role":"user","content":"hi","model":"decoy"}], "seed":12345678901234567890}'
    )
    assert gateway.post("/v1/chat/completions", sent).status == 200
    assert upstream.request("bytes").body == sent.replace(b"fake/bytes", b"bytes")


@pytest.mark.requirement("chat.unknown-fields")
def test_metadata_and_extra_fields_of_the_sdk_reach_the_upstream(client: OpenAI, upstream: FakeUpstream) -> None:
    client.chat.completions.create(
        model="fake/extra", messages=HELLO, metadata={"run": "7"}, extra_body={"top_k": 3, "thinking": {"on": True}}
    )
    body = upstream.request("extra").json
    assert body["metadata"] == {"run": "7"}
    assert body["top_k"] == 3
    assert body["thinking"] == {"on": True}
    assert body["messages"] == HELLO


@pytest.mark.requirement("headers.withheld")
def test_the_callers_headers_and_key_stay_here(gateway: Gateway, upstream: FakeUpstream) -> None:
    headers = {"x-api-key": gateway.key, "cookie": "a=b", "x-forwarded-for": "10.1.2.3", "openai-beta": "x=v1"}
    gateway.post("/v1/chat/completions", {"model": "fake/headers", "messages": HELLO}, headers)
    received = upstream.request("headers")
    assert received.header("authorization") == "Bearer sk-upstream-canary-93ab"
    assert received.header("openai-beta") == "x=v1"
    assert [received.header(name) for name in ("x-api-key", "cookie", "x-forwarded-for")] == [None] * 3

"""Between a client and a provider that speak different dialects: the parts, and the whole pipeline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from pointsman.errors import Inexpressible, UpstreamBroken, UpstreamRejected
from pointsman.pipeline.settings import ServingSettings
from pointsman.pipeline.translate import (
    AS_IT_IS,
    Conversation,
    Shaping,
    Translation,
    judge,
    without,
)
from pointsman.providers.dialects import anthropic, gemini, openai
from pointsman.providers.translation import Terms
from pointsman.routing.settings import RoutingSettings
from pointsman.wire import operations as op
from pointsman.wire.chat import Answer, ChatRequest, Choice, Text, Thinking, Turn

Make = Callable[..., Any]
MESSAGES = [{"role": "user", "content": "hi"}]
CHAT = {"model": "house", "messages": MESSAGES}
EVENTS = b"text/event-stream"
ANSWER = msgspec.json.encode(
    {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "up-1",
        "content": [{"type": "text", "text": "Hello"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 10, "output_tokens": 5},
    }
)
STARTED = (
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant",'
    b'"model":"up-1","content":[],"usage":{"input_tokens":10,"output_tokens":1}}}\n\n'
    b'event: content_block_start\ndata: {"type":"content_block_start","index":0,'
    b'"content_block":{"type":"text","text":""}}\n\n'
)
DELTA = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
    b'"delta":{"type":"text_delta","text":"Hello"}}\n\n'
)
ENDED = (
    b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},'
    b'"usage":{"output_tokens":5}}\n\n'
)
STOPPED = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
BROKEN = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded sk-x"}}\n\n'
GENERATED = msgspec.json.encode(
    {
        "candidates": [{"content": {"role": "model", "parts": [{"text": "Hello"}]}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15},
    }
)


@pytest.fixture
def claude(make_rig: Make, deployment: Make) -> Any:
    rig = make_rig(deployment(vendor="anthropic"))
    rig.upstream.script(ANSWER)
    return rig


def _data(body: bytes) -> list[Any]:
    lines = [line[6:] for line in body.split(b"\n") if line.startswith(b"data: ")]
    return [msgspec.json.decode(line) for line in lines if line != b"[DONE]"]


async def test_a_chat_is_put_to_a_provider_in_its_own_dialect_and_answered_in_the_clients(claude: Any) -> None:
    reply = await claude.ask(CHAT | {"temperature": 0.5})
    assert claude.sent.head.startswith(b"POST /v1/messages HTTP/1.1\r\n")
    assert b"anthropic-version: 2023-06-01\r\n" in claude.sent.head
    assert (claude.sent.json["model"], claude.sent.json["temperature"]) == ("up-1", 0.5)
    answer = msgspec.json.decode(reply.body)
    assert (answer["object"], answer["model"]) == ("chat.completion", "house")
    assert answer["choices"][0]["message"]["content"] == "Hello"
    assert reply.headers["x-litellm-response-cost"] == "0.02"
    assert claude.meter.total_tokens == 15


async def test_a_streamed_chat_is_translated_event_by_event(claude: Any) -> None:
    claude.upstream.script(STARTED, DELTA, ENDED + STOPPED, kind=EVENTS)
    reply = await claude.ask(CHAT | {"stream": True, "stream_options": {"include_usage": True}})
    chunks = _data(reply.body)
    assert "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"]) == "Hello"
    assert chunks[-1]["usage"]["total_tokens"] == 15
    assert reply.body.endswith(b"data: [DONE]\n\n")
    assert claude.meter.output_tokens == 5


async def test_a_stream_that_is_cut_is_an_error_event_in_the_clients_dialect(claude: Any) -> None:
    claude.upstream.script(STARTED, DELTA, kind=EVENTS)
    reply = await claude.ask(CHAT | {"stream": True})
    assert _data(reply.body)[-1]["error"]["code"] == "upstream_broken"
    assert b"[DONE]" not in reply.body


async def test_an_error_event_before_the_first_output_is_a_failure_that_another_attempt_can_follow(claude: Any) -> None:
    claude.upstream.script(STARTED, BROKEN, kind=EVENTS)
    with pytest.raises(UpstreamRejected) as caught:
        await claude.ask(CHAT | {"stream": True})
    assert caught.value.status == 503
    assert not claude.downstream.is_started


async def test_an_error_event_after_it_ends_the_stream_with_one(claude: Any) -> None:
    claude.upstream.script(STARTED, DELTA, BROKEN, kind=EVENTS)
    reply = await claude.ask(CHAT | {"stream": True})
    assert "Overloaded" in _data(reply.body)[-1]["error"]["message"]


async def test_what_cannot_be_said_is_refused_by_name(claude: Any) -> None:
    with pytest.raises(Inexpressible, match="'seed'"):
        await claude.ask(CHAT | {"seed": 1})
    assert claude.upstream.sent == []


@pytest.mark.parametrize("wish", [{"drop_params": True}, {"additional_drop_params": ["seed"]}])
async def test_it_is_left_out_and_told_where_that_is_wished_for(claude: Any, wish: dict[str, Any]) -> None:
    reply = await claude.ask(CHAT | {"seed": 1} | wish)
    assert reply.headers.get("x-pointsman-dropped", "seed") == "seed"
    assert not {"seed", *wish} & claude.sent.json.keys()


async def test_the_operator_may_wish_so_for_all(make_rig: Make, deployment: Make) -> None:
    rig = make_rig(deployment(vendor="anthropic"), serving=ServingSettings(drops_params=True))
    rig.upstream.script(ANSWER)
    assert (await rig.ask(CHAT | {"seed": 1})).headers["x-pointsman-dropped"] == "seed"


async def test_what_one_deployment_has_no_words_for_goes_to_another_of_the_group(
    make_rig: Make, deployment: Make
) -> None:
    rig = make_rig(
        deployment(vendor="anthropic", id="a"), deployment(id="b"), routing=RoutingSettings(num_retries=0), chance=0.0
    )
    for _ in range(3):
        assert (await rig.ask(CHAT | {"seed": 1})).status == 200
    assert rig.asked == {"b": 3}


async def test_members_for_the_provider_alone_can_be_sent(claude: Any) -> None:
    await claude.ask(CHAT | {"extra_body": {"service_tier": "standard_only"}})
    assert "extra_body" not in claude.sent.json


async def test_a_body_of_another_dialect_is_answered_in_that_of_the_address(claude: Any) -> None:
    reply = await claude.ask({"model": "house", "input": "hi"})
    assert claude.upstream.sent[-1].json["messages"][0]["content"][0]["text"] == "hi"
    assert msgspec.json.decode(reply.body)["object"] == "chat.completion"
    reply = await claude.ask({"model": "house", "max_tokens": 5, "system": "be kind", "messages": MESSAGES})
    assert claude.upstream.sent[-1].json["system"][0]["text"] == "be kind"
    assert msgspec.json.decode(reply.body)["object"] == "chat.completion"


async def test_the_same_dialect_on_both_sides_passes_through(claude: Any) -> None:
    asked = {"model": "house", "max_tokens": 5, "messages": MESSAGES, "unknown": [1]}
    headers = {b"anthropic-beta": b"x-1", b"anthropic-version": b"2024-01-01", b"openai-beta": b"no"}
    reply = await claude.ask(asked, op.MESSAGES, headers=headers)
    assert claude.sent.json == asked | {"model": "up-1"}
    assert b"anthropic-beta: x-1\r\n" in claude.sent.head
    assert b"anthropic-version: 2024-01-01\r\n" in claude.sent.head
    assert b"2023-06-01" not in claude.sent.head
    assert b"openai-beta" not in claude.sent.head
    assert reply.body == ANSWER.replace(b'"up-1"', b'"house"')
    assert claude.meter.total_tokens == 15


async def test_a_stream_of_the_same_dialect_passes_through(claude: Any) -> None:
    claude.upstream.script(STARTED, DELTA, ENDED + STOPPED, kind=EVENTS)
    reply = await claude.ask({"model": "house", "max_tokens": 5, "messages": MESSAGES, "stream": True}, op.MESSAGES)
    assert reply.body == STARTED.replace(b'"up-1"', b'"house"') + DELTA + ENDED + STOPPED
    assert (claude.meter.input_tokens, claude.meter.output_tokens) == (10, 5)


async def test_a_stream_of_it_that_is_cut_tells_so_in_its_own_words(claude: Any) -> None:
    claude.upstream.script(STARTED, DELTA, kind=EVENTS)
    reply = await claude.ask({"model": "house", "max_tokens": 5, "messages": MESSAGES, "stream": True}, op.MESSAGES)
    assert reply.body.rpartition(b"event: ")[2].startswith(b"error\n")


async def test_a_stream_of_it_that_only_lacks_its_last_event_is_completed(claude: Any) -> None:
    claude.upstream.script(STARTED, DELTA, ENDED, kind=EVENTS)
    reply = await claude.ask({"model": "house", "max_tokens": 5, "messages": MESSAGES, "stream": True}, op.MESSAGES)
    assert reply.body.endswith(STOPPED)


async def test_tokens_are_counted_by_who_can_and_estimated_otherwise(
    claude: Any, make_rig: Make, deployment: Make
) -> None:
    claude.upstream.script(b'{"input_tokens":7}')
    reply = await claude.ask(CHAT, op.COUNT_TOKENS)
    assert claude.sent.head.startswith(b"POST /v1/messages/count_tokens ")
    assert reply.body == b'{"input_tokens":7}'
    rig = make_rig(deployment())
    reply = await rig.ask(CHAT, op.COUNT_TOKENS)
    assert msgspec.json.decode(reply.body)["input_tokens"] > 0
    assert reply.headers["x-pointsman-estimated"] == "true"
    assert rig.upstream.sent == []


async def test_defaults_of_the_operator_are_not_counted(make_rig: Make, deployment: Make) -> None:
    rig = make_rig(deployment(vendor="anthropic", defaults={"max_tokens": 9}))
    rig.upstream.script(b'{"input_tokens":7}')
    await rig.ask(CHAT, op.COUNT_TOKENS)
    assert rig.sent.json == CHAT | {"model": "up-1"}


async def test_geminis_bodies_pass_on_a_path_that_names_the_model(make_rig: Make, deployment: Make) -> None:
    rig = make_rig(deployment(vendor="gemini"))
    rig.upstream.script(GENERATED)
    asked = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}], "unknown": 1}
    reply = await rig.ask(asked, op.GENERATE_CONTENT, path_model="house")
    assert rig.sent.head.startswith(b"POST /v1beta/models/up-1:generateContent HTTP/1.1\r\n")
    assert rig.sent.json == asked
    assert reply.body == GENERATED
    assert rig.meter.total_tokens == 15


async def test_a_stream_for_geminis_clients_can_be_one_array(make_rig: Make, deployment: Make) -> None:
    rig = make_rig(deployment(vendor="gemini"))
    rig.upstream.script(b"data: " + GENERATED + b"\r\n\r\n", kind=EVENTS)
    call = rig.call(op.GENERATE_CONTENT, path_model="house")
    call.is_stream = call.is_array = True
    await rig.pipeline.serve(call, b'{"contents":"hi"}')
    generated = msgspec.json.decode(rig.downstream.body)
    assert generated[0]["candidates"][0]["content"]["parts"][0]["text"] == "Hello"
    assert rig.downstream.headers["content-type"] == "application/json"
    assert b":streamGenerateContent?alt=sse " in rig.sent.head


async def test_a_wildcards_model_goes_into_the_path_and_nowhere_else(make_rig: Make, deployment: Make) -> None:
    rig = make_rig(deployment("gemini/*", "*", vendor="gemini", id="a"))
    rig.upstream.script(GENERATED)
    await rig.ask(CHAT | {"model": "gemini/x?key=1"})
    assert rig.sent.head.startswith(b"POST /v1beta/models/x%3Fkey%3D1:generateContent HTTP/1.1\r\n")


async def test_azure_has_deployments_and_versions_in_its_paths(make_rig: Make, deployment: Make) -> None:
    rig = make_rig(deployment(vendor="azure"))
    await rig.ask(CHAT)
    assert b"POST /openai/deployments/up-1/chat/completions?api-version=" in rig.sent.head


async def test_a_vendors_quirks_hold_for_what_passes_through(make_rig: Make, deployment: Make) -> None:
    rig = make_rig(deployment(vendor="groq"))
    developer = {"role": "developer", "content": "be kind"}
    await rig.ask(CHAT | {"messages": [developer]})
    assert rig.sent.json["messages"] == [developer | {"role": "system"}]
    with pytest.raises(Inexpressible, match="'logit_bias'"):
        await rig.ask(CHAT | {"logit_bias": {"1": 2}})


async def test_an_operation_that_a_provider_has_not_is_refused(claude: Any) -> None:
    with pytest.raises(Inexpressible, match="has no embeddings"):
        await claude.ask({"model": "house", "input": "x"}, op.EMBEDDINGS)


async def test_an_answer_that_is_none_is_a_failure(claude: Any) -> None:
    claude.upstream.script(b'{"type":"message"}')
    with pytest.raises(UpstreamBroken):
        await claude.ask(CHAT)


RAW = b'{"model":"house","messages":[{"role":"user","content":"hi"}]}'


def _request(body: bytes = RAW, defaults: dict[str, Any] | None = None, **overrides: Any) -> ChatRequest:
    return Conversation(body, op.CHAT, op.CHAT).request(defaults or {}, overrides, "up", is_stream=False)


def _lost(*names: str) -> Terms:
    return Terms(model="up", lost=list(names))


def test_a_conversation_is_read_once_for_all_its_attempts() -> None:
    conversation = Conversation(RAW, op.CHAT, op.CHAT)
    first = conversation.request({}, {}, "up", is_stream=True)
    assert (first.model, first.stream) == ("up", True)
    assert conversation.request({}, {}, "up", is_stream=True) is first


def test_the_operators_defaults_hold_for_what_the_caller_has_not_said() -> None:
    asked = b'{"model":"house","messages":[],"temperature":1}'
    request = _request(asked, {"temperature": 0, "seed": 7})
    assert (request.temperature, request.seed) == (1, 7)


def test_what_a_fallback_sets_stands_in_the_place_of_the_callers_own() -> None:
    assert _request(max_tokens=5).max_tokens == 5


def test_a_body_of_another_dialect_is_read_as_such_and_answered_in_the_one_that_was_called() -> None:
    conversation = Conversation(b'{"input":"hi"}', op.CHAT, op.RESPONSES)
    request = conversation.request({}, {}, "up", is_stream=False)
    assert (request.dialect, request.turns[-1].parts) == ("responses", [Text("hi")])
    assert conversation.writer is openai


def test_what_cannot_be_said_is_refused_by_its_name() -> None:
    with pytest.raises(Inexpressible, match="anthropic has nothing like 'seed', 'n'") as caught:
        judge(_lost("seed", "n", "user"), AS_IT_IS, "anthropic")
    assert (caught.value.param, caught.value.status) == ("seed", 400)


@pytest.mark.parametrize(
    ("wish", "lost"),
    [
        (AS_IT_IS, ("user", "metadata", "parallel_tool_calls")),
        (Shaping(drops_all=True), ("seed", "tools[2]")),
        (Shaping(drops=frozenset({"seed"})), ("seed", "user")),
    ],
)
def test_what_does_no_harm_or_is_not_wanted_is_left_out_and_told(wish: Shaping, lost: tuple[str, ...]) -> None:
    assert judge(_lost(*lost), wish, "x") == lost


def test_nothing_is_told_where_nothing_was_left_out() -> None:
    assert judge(_lost(), AS_IT_IS, "x") == ()


def test_wishes_of_the_operator_and_of_the_caller_hold_together() -> None:
    both = Shaping(drops=frozenset("a")).and_also(Shaping(drops_all=True, drops=frozenset("b"), allowed=frozenset("c")))
    assert both == Shaping(drops_all=True, drops=frozenset("ab"), allowed=frozenset("c"))


@pytest.mark.parametrize(
    ("path", "left"),
    [
        ("a", {"b": {"c": 1, "d": [{"e": 1}, {"e": 2, "f": 3}]}}),
        ("b.c", {"a": 0, "b": {"d": [{"e": 1}, {"e": 2, "f": 3}]}}),
        ("b.d[*].e", {"a": 0, "b": {"c": 1, "d": [{}, {"f": 3}]}}),
        ("b.d[1].e", {"a": 0, "b": {"c": 1, "d": [{"e": 1}, {"f": 3}]}}),
        ("b.d[0]", {"a": 0, "b": {"c": 1, "d": [{"e": 2, "f": 3}]}}),
        ("b.x.y", {"a": 0, "b": {"c": 1, "d": [{"e": 1}, {"e": 2, "f": 3}]}}),
        ("a[0].y", {"a": 0, "b": {"c": 1, "d": [{"e": 1}, {"e": 2, "f": 3}]}}),
    ],
)
def test_members_are_left_out_at_any_depth(path: str, left: Any) -> None:
    body = {"a": 0, "b": {"c": 1, "d": [{"e": 1}, {"e": 2, "f": 3}]}}
    before = msgspec.json.encode(body)
    assert without(body, [path]) == left
    assert msgspec.json.encode(body) == before


def _translation(inbound: Any, *, merges: bool = False) -> Translation:
    request = ChatRequest(dialect="openai", turns=[Turn("user", [Text("hi")])])
    return Translation(outbound=anthropic, inbound=inbound, request=request, merges_reasoning=merges)


def test_an_answer_is_written_in_the_dialect_of_the_caller() -> None:
    translation = _translation(gemini)
    answer = Answer(choices=[Choice(parts=[Text("yes")], finish="stop")], dialect="anthropic")
    written = translation.write(answer, translation.terms("house", "u1", 7))
    assert written["candidates"][0]["content"]["parts"] == [{"text": "yes"}]


def test_reasoning_stands_in_the_text_where_the_operator_wants_that() -> None:
    answer = Answer(choices=[Choice(parts=[Thinking("hm"), Text("yes")], finish="stop")], dialect="anthropic")
    translation = _translation(openai, merges=True)
    terms = translation.terms("house", "u1", 7)
    content = translation.write(answer, terms)["choices"][0]["message"]["content"]
    assert content.startswith("<think>")
    assert content.endswith("yes")
    assert type(translation.stream_writer(terms, is_array=False)) is type(openai.stream_writer(terms))


def test_a_stream_can_be_written_as_one_array() -> None:
    translation = _translation(gemini)
    writer = translation.stream_writer(translation.terms("house", "u1", 7), is_array=True)
    assert writer.close().endswith(b"]")


async def test_an_array_that_is_cut_ends_with_the_error_and_is_still_one(make_rig: Make, deployment: Make) -> None:
    rig = make_rig(deployment(vendor="gemini"))
    rig.upstream.script(b"data: " + GENERATED.replace(b',"finishReason":"STOP"', b"") + b"\n\n", kind=EVENTS)
    call = rig.call(op.GENERATE_CONTENT, path_model="house")
    call.is_stream = call.is_array = True
    await rig.pipeline.serve(call, b'{"contents":"hi"}')
    assert "error" in msgspec.json.decode(rig.downstream.body)[-1]


async def test_a_message_that_is_empty_without_what_was_lost_is_refused_for_the_loss(claude: Any) -> None:
    sound = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
    with pytest.raises(Inexpressible) as caught:
        await claude.ask(CHAT | {"messages": [{"role": "user", "content": [sound]}]})
    assert caught.value.param == "messages[0].content[0]"


RESPONSES = {"model": "house", "input": "hi"}
COMPLETION = msgspec.json.encode(
    {"choices": [{"index": 0, "message": {"role": "assistant", "content": "yo"}, "finish_reason": "stop"}]}
)


async def test_a_responses_body_at_the_address_of_chat_goes_to_the_path_of_chat(
    make_rig: Make, deployment: Make
) -> None:
    rig = make_rig(deployment())
    rig.upstream.script(COMPLETION)
    reply = await rig.ask(RESPONSES)
    assert rig.sent.head.startswith(b"POST /v1/chat/completions ")
    assert msgspec.json.decode(reply.body)["choices"][0]["message"]["content"] == "yo"


async def test_a_callers_drops_leave_the_operators_members_alone(make_rig: Make, deployment: Make) -> None:
    for vendor in ("openai", "anthropic"):
        rig = make_rig(deployment(vendor=vendor, overrides={"guard": 1}, defaults={"max_tokens": 9}))
        rig.upstream.script(ANSWER if vendor == "anthropic" else COMPLETION)
        await rig.ask(CHAT | {"guard": 2, "max_tokens": 5, "additional_drop_params": ["guard", "max_tokens"]})
        assert (rig.sent.json["guard"], rig.sent.json["max_tokens"]) == (1, 9)


async def test_a_stream_that_was_cut_is_charged_for_what_came_through(claude: Any) -> None:
    claude.upstream.script(STARTED, *[DELTA] * 400, kind=EVENTS)
    await claude.ask(CHAT | {"stream": True})
    assert claude.meter.output_tokens > 400
    assert claude.meter.input_tokens == 10


async def test_the_operators_parameters_hold_for_every_dialect(make_rig: Make, deployment: Make) -> None:
    operators = {"temperature": 0.5, "stop": ["x"], "user": "u"}
    rig = make_rig(deployment(vendor="anthropic", defaults=operators))
    rig.upstream.script(ANSWER)
    await rig.ask({"model": "house", "max_tokens": 5, "messages": MESSAGES}, op.MESSAGES)
    sent = rig.sent.json
    assert (sent["temperature"], sent["stop_sequences"], sent["metadata"]) == (0.5, ["x"], {"user_id": "u"})
    assert not {"stop", "user"} & sent.keys()
    rig = make_rig(deployment(defaults={"max_tokens": 9, "reasoning_effort": "low"}))
    await rig.ask(RESPONSES, op.RESPONSES)
    assert rig.sent.json["max_output_tokens"] == 9
    rig = make_rig(deployment(vendor="groq", defaults={"reasoning_effort": "low"}))
    rig.upstream.script(COMPLETION)
    await rig.ask({"model": "house", "max_tokens": 5, "messages": MESSAGES}, op.MESSAGES)
    assert rig.sent.json["reasoning_effort"] == "low"


async def test_the_operators_members_hold_for_geminis_own_clients(make_rig: Make, deployment: Make) -> None:
    safety = [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_LOW_AND_ABOVE"}]
    rig = make_rig(deployment(vendor="gemini", overrides={"safetySettings": safety}, defaults={"max_tokens": 9}))
    rig.upstream.script(GENERATED)
    asked = {"contents": "hi", "safetySettings": [], "generationConfig": {"topK": 2}}
    await rig.ask(asked, op.GENERATE_CONTENT, path_model="house")
    assert rig.sent.json["safetySettings"] == safety
    assert rig.sent.json["generationConfig"] == {"topK": 2, "maxOutputTokens": 9}


async def test_a_body_cannot_make_a_stream_of_what_its_path_says_is_none(make_rig: Make, deployment: Make) -> None:
    rig = make_rig(deployment(vendor="gemini"))
    rig.upstream.script(GENERATED)
    await rig.ask({"contents": "hi", "stream": True}, op.GENERATE_CONTENT, path_model="house")
    assert b":generateContent " in rig.sent.head


async def test_a_count_that_fails_is_estimated(make_rig: Make, deployment: Make) -> None:
    rig = make_rig(deployment(vendor="anthropic", id="a"), deployment(id="b"))
    rig.upstreams["a"].script(b"{}", status=529)
    reply = await rig.ask(CHAT, op.COUNT_TOKENS)
    assert (reply.status, reply.headers["x-pointsman-estimated"]) == (200, "true")
    rig.upstreams["a"].script(b'{"error":{"message":"no"}}', status=400)
    with pytest.raises(UpstreamRejected):
        await rig.ask(CHAT, op.COUNT_TOKENS)


async def test_a_seal_of_another_provider_never_passes_as_it_is(claude: Any) -> None:
    thinking = {"type": "thinking", "thinking": "hm", "signature": "gemini#c2VhbA=="}
    history = [*MESSAGES, {"role": "assistant", "content": [thinking, {"type": "text", "text": "yes"}]}, *MESSAGES]
    await claude.ask({"model": "house", "max_tokens": 5, "messages": history}, op.MESSAGES)
    assert b"gemini#" not in claude.sent.body
    assert claude.sent.json["messages"][1]["content"] == [{"type": "text", "text": "yes"}]


async def test_a_system_that_is_none_makes_no_body_of_anthropics(make_rig: Make, deployment: Make) -> None:
    rig = make_rig(deployment())
    tools = [{"type": "function", "function": {"name": "f"}}]
    for body in ({"system": None, "seed": 1}, {"system": "be kind", "tools": tools}):
        await rig.ask(CHAT | body)
        assert rig.upstream.sent[-1].json == CHAT | body | {"model": "up-1"}


async def test_the_operators_version_goes_before_the_callers_and_the_dialects(make_rig: Make, deployment: Make) -> None:
    rig = make_rig(deployment(vendor="anthropic", headers=(("Anthropic-Version", "2024-01-01"),)))
    rig.upstream.script(ANSWER)
    headers = {b"anthropic-version": b"2023-06-01"}
    await rig.ask({"model": "house", "max_tokens": 5, "messages": MESSAGES}, op.MESSAGES, headers=headers)
    assert rig.sent.head.lower().count(b"anthropic-version: ") == 1
    assert b"2024-01-01" in rig.sent.head


async def test_a_stream_that_ends_properly_and_goes_on_with_garbage_is_told_as_broken(claude: Any) -> None:
    claude.upstream.script(STARTED, DELTA, ENDED + STOPPED + b"data: {", kind=EVENTS, then=UpstreamBroken("reset"))
    reply = await claude.ask(CHAT | {"stream": True})
    assert reply.is_finished
    assert reply.body.endswith(b"\n\n")


async def test_an_operation_by_azure_behind_a_wildcard_names_the_callers_model(
    make_rig: Make, deployment: Make
) -> None:
    rig = make_rig(deployment("az/*", "*", vendor="azure"))
    head = rig.target.upload_head(op.TRANSCRIPTION, {b"content-type": b"multipart/form-data; boundary=x"}, "whisper")
    assert head.startswith(b"POST /openai/deployments/whisper/audio/transcriptions?")

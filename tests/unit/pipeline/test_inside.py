from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from pointsman.errors import ModelNotFound, UpstreamBroken
from pointsman.pipeline.inside import Collector, Spoken, collect
from pointsman.pipeline.wants import NOTHING
from pointsman.wire import operations as op
from pointsman.wire.chat import ChatRequest, Text, Turn
from pointsman.wire.operations import Operation
from pointsman.wire.usage import Usage

Make = Callable[..., Any]
BEFORE = (Usage(input_tokens=100, output_tokens=1, total_tokens=101), Usage(input_tokens=7, total_tokens=7))
CLAUDES = (
    b'{"id":"m","type":"message","role":"assistant","model":"claude","content":[{"type":"text","text":"Hi"}],'
    b'"stop_reason":"end_turn","usage":{"input_tokens":3,"output_tokens":2}}'
)
EVENTS = (
    b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":"Hi"}}]}\n\n'
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}}\n\n'
    b"data: [DONE]\n\n"
)


def request(text: str = "Hello", **more: Any) -> ChatRequest:
    return ChatRequest(dialect="openai", turns=[Turn("user", [Text(text)])], **more)


async def ask(rig: Any, spoken: Spoken, model: str = "house", **call: Any) -> None:
    await rig.pipeline.ask(rig.call(**call), model, spoken, NOTHING, 1e6)


async def test_what_the_gateway_answers_from_inside_is_collected(rig: Any) -> None:
    body = msgspec.json.encode({"model": "house", "messages": [{"role": "user", "content": "Hi"}]})

    answer = await collect(rig.pipeline, op.CHAT, body, now=rig.clock())

    assert msgspec.json.decode(answer)["model"] == "house"
    assert rig.meter.model_id == "house-id"


async def test_a_failure_from_inside_is_raised(rig: Any) -> None:
    with pytest.raises(ModelNotFound):
        await collect(rig.pipeline, op.CHAT, b'{"model":"nobody","messages":[]}', now=rig.clock())


def test_a_reply_that_was_cut_is_none() -> None:
    collector = Collector()
    collector.start(200, b"a: b\r\n")
    collector.write(b"half")
    collector.cut()

    assert (collector.is_started, collector.status, collector.body) == (True, 200, b"")


async def test_a_conversation_is_put_to_a_deployment_and_its_answer_kept(rig: Any) -> None:
    spoken = Spoken(request(max_tokens=9))
    await ask(rig, spoken)

    assert rig.sent.json["messages"] == [{"role": "user", "content": "Hello"}]
    assert rig.sent.json["model"] == "up-1"
    assert spoken.answer.choices[0].parts == [Text("Hi")]
    assert spoken.usages == [Usage(input_tokens=10, output_tokens=5, total_tokens=15)]
    assert spoken.cost == Decimal("0.020")
    assert spoken.attempt is not None
    assert spoken.attempt.public_model == "house"


async def test_whoever_speaks_another_dialect_is_asked_in_it(make_rig: Make, deployment: Make) -> None:
    rig = make_rig(deployment(vendor="anthropic"))
    rig.upstream.script(CLAUDES)
    spoken = Spoken(request())
    await ask(rig, spoken)

    assert rig.sent.head.startswith(b"POST /v1/messages ")
    assert spoken.answer.choices[0].parts == [Text("Hi")]


async def test_what_the_operator_has_set_holds_for_asks_too(make_rig: Make, deployment: Make) -> None:
    rig = make_rig(deployment(defaults={"temperature": 0.5}))
    await ask(rig, Spoken(request()))

    assert rig.sent.json["temperature"] == 0.5


async def test_without_an_answer_there_is_none_to_have(rig: Any) -> None:
    rig.upstream.script(b'{"error":{"message":"no"}}', status=400)
    spoken = Spoken(request())
    with pytest.raises(Exception, match="no"):
        await ask(rig, spoken)

    with pytest.raises(UpstreamBroken):
        _ = spoken.answer
    assert spoken.cost is None
    assert spoken.usages == []
    assert Spoken(request()).attempt is None


async def test_a_second_attempt_gives_the_answer_and_both_are_counted(pair: Any) -> None:
    pair.upstreams["a"].script(b'{"error":{"message":"no"}}', status=500)
    spoken = Spoken(request())
    await ask(pair, spoken)

    assert spoken.attempt is not None
    assert spoken.attempt.target.deployment.id == "b"
    assert spoken.answer.choices[0].parts == [Text("Hi")]


async def test_a_stream_tells_the_usage_of_the_calls_before_it_too(rig: Any) -> None:
    rig.upstream.script(EVENTS, kind=b"text/event-stream")
    call = rig.call()
    call.is_stream = True
    spoken = Spoken(request(include_usage=True), operation=op.CHAT, usage=BEFORE)
    await rig.pipeline.ask(call, "house", spoken, NOTHING, 1e6)

    events = [line[6:] for line in rig.downstream.body.split(b"\n") if line.startswith(b"data: {")]
    usage = msgspec.json.decode(events[-1])["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (117, 6, 123)
    # What is counted for the deployment is its own.
    assert rig.meter.input_tokens == 10


@pytest.mark.parametrize("operation", op.CONVERSATIONS, ids=lambda one: one.name)
async def test_where_the_last_call_says_nothing_of_its_usage_that_of_the_others_is_told(
    rig: Any, operation: Operation
) -> None:
    rig.upstream.script(re.sub(rb'data: {"choices":\[\],[^\n]*\n\n', b"", EVENTS), kind=b"text/event-stream")
    call = rig.call(operation)
    call.is_stream = True
    spoken = Spoken(request(include_usage=True), operation=operation, usage=BEFORE)
    await rig.pipeline.ask(call, "house", spoken, NOTHING, 1e6)

    assert b"107" in rig.downstream.body
    assert rig.downstream.is_finished


def test_its_length_is_that_of_its_text() -> None:
    assert Spoken(request("abc")).text_bytes == 3

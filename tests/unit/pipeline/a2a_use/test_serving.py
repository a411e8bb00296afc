from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from unit.a2a.rig import task
from unit.pipeline.a2a_use.scenes import Scene

from pointsman.a2a.protocol.operations import Operation
from pointsman.access.caller import Caller
from pointsman.access.keys import Key
from pointsman.errors import (
    Forbidden,
    InvalidRequest,
    ModelNotFound,
    RateLimited,
    UpstreamBroken,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from pointsman.wire import operations as op
from pointsman.wire.jsonrpc import RpcError

ARTIFACT = {"artifactId": "a", "parts": [{"text": "Hi"}]}
DONE = {"task": task(state="TASK_STATE_COMPLETED", artifacts=[ARTIFACT])}
WORKING = {"task": task()}


def made(text: str, *, is_more: bool = False) -> dict[str, Any]:
    artifact = {"artifactId": "a", "parts": [{"text": text}]}
    return {"artifactUpdate": {"taskId": "t1", "contextId": "c1", "artifact": artifact, "append": is_more}}


def moved(state: str, text: str = "") -> dict[str, Any]:
    status: dict[str, Any] = {"state": f"TASK_STATE_{state}"}
    if text:
        status["message"] = {"messageId": "m", "role": "ROLE_AGENT", "parts": [{"text": text}]}
    return {"statusUpdate": {"taskId": "t1", "contextId": "c1", "status": status}}


STREAM = [WORKING, moved("WORKING", "thinking"), made("Hel"), made("lo", is_more=True), moved("COMPLETED")]


@pytest.mark.requirement("a2a.chat")
async def test_an_agent_is_asked_as_its_client_would_ask_it() -> None:
    scene = Scene()
    scene.rig.agent.answers[Operation.SEND] = DONE
    found = await scene.ask()
    assert found["choices"][0]["message"]["content"] == "Hi"
    [(operation, version, params)] = scene.rig.agent.asked
    assert (operation, version, params["message"]["parts"]) == (Operation.SEND, "1.0", [{"text": "hello"}])
    assert scene.rig.meter.opened == [("key:me", "a", True)]
    assert scene.call.status == 200


@pytest.mark.requirement("a2a.chat")
@pytest.mark.parametrize("operation", [op.COMPLETION, op.RESPONSES, op.MESSAGES, op.GENERATE_CONTENT])
async def test_every_api_that_is_a_conversation_can_ask_one(operation: op.Operation) -> None:
    scene = Scene()
    scene.rig.agent.answers[Operation.SEND] = DONE
    assert '"Hi"' in json.dumps(await scene.ask(operation))
    scene.rig.agent.events = STREAM
    await scene.begin(operation, stream=True)
    assert b"Hel" in scene.reply.body
    assert scene.reply.is_finished


async def test_a_stream_of_gemini_can_be_one_array() -> None:
    scene = Scene()
    scene.rig.agent.events = STREAM
    await scene.begin(op.GENERATE_CONTENT, is_array=True)
    assert "Hel" in json.dumps(json.loads(scene.reply.body))


@pytest.mark.requirement("a2a.chat")
async def test_a_stream_tells_what_the_agent_says_while_it_says_it() -> None:
    scene = Scene()
    scene.rig.agent.events = STREAM
    await scene.begin(stream=True)
    assert scene.content == "Hello"
    thoughts = [one["choices"][0]["delta"].get("reasoning_content") for one in scene.chunks]
    assert "thinking" in thoughts
    assert scene.chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert scene.reply.body.endswith(b"data: [DONE]\n\n")
    assert len(scene.beats) == 0
    assert scene.rig.agent.passed[0].ends_with_stream


async def test_an_agent_that_does_not_stream_is_asked_for_all_of_it() -> None:
    scene = Scene()
    scene.rig.cards.capabilities = {}
    scene.rig.agent.answers[Operation.SEND] = DONE
    await scene.begin(stream=True)
    assert scene.content == "Hi"


async def test_a_task_that_goes_on_is_waited_for() -> None:
    scene = Scene()
    scene.rig.agent.answers |= {Operation.SEND: WORKING, Operation.GET: DONE["task"]}
    assert (await scene.ask())["choices"][0]["message"]["content"] == "Hi"
    assert scene.slept == [0.2]


async def test_an_agent_that_wants_to_know_more_has_answered() -> None:
    scene = Scene()
    scene.rig.agent.answers[Operation.SEND] = {
        "task": task() | {"status": moved("INPUT_REQUIRED", "Which?")["statusUpdate"]["status"]}
    }
    found = await scene.ask()
    assert (found["choices"][0]["message"]["content"], found["choices"][0]["finish_reason"]) == ("Which?", "stop")
    assert found["metadata"]["a2a_task_id"] == "t1"
    assert found["metadata"]["a2a_state"] == "input-required"


@pytest.mark.parametrize("is_stream", [False, True])
async def test_a_task_that_has_failed_is_a_failure_of_the_upstream(is_stream: bool) -> None:
    scene = Scene()
    failed = moved("FAILED", "No luck")
    scene.rig.agent.answers[Operation.SEND] = {"task": task() | {"status": failed["statusUpdate"]["status"]}}
    scene.rig.agent.events = [WORKING, failed]
    with pytest.raises(UpstreamBroken) as error:
        await scene.begin(stream=is_stream)
    assert (error.value.status, error.value.message) == (502, "The agent has failed in the task: No luck")
    assert not scene.reply.is_started


async def test_what_fails_in_a_stream_that_has_begun_ends_it_with_an_error() -> None:
    scene = Scene()
    for end in (UpstreamUnreachable("gone"), RpcError(-32603, "oops"), moved("FAILED")):
        scene.rig.agent.events = [WORKING, made("Hel"), end]
        await scene.begin(stream=True)
        assert "error" in scene.chunks[-1]
        assert (scene.reply.is_finished, scene.call.status) == (True, 502)


async def test_a_stream_that_ends_too_early_was_cut_off() -> None:
    scene = Scene()
    for events in ([], [WORKING]):
        scene.rig.agent.events = events
        with pytest.raises(UpstreamBroken):
            await scene.begin(stream=True)


@pytest.mark.parametrize(
    ("code", "expected", "status"),
    [
        (-32001, InvalidRequest, 400),
        (-32602, InvalidRequest, 400),
        (-32005, InvalidRequest, 400),
        (-32603, UpstreamBroken, 502),
    ],
)
async def test_what_an_agent_refuses_is_told_as_a_model_would(code: int, expected: type[Any], status: int) -> None:
    scene = Scene()
    scene.rig.agent.answers[Operation.SEND] = RpcError(code, "It says why")
    with pytest.raises(expected) as error:
        await scene.ask()
    assert error.value.status == status


async def test_a_task_of_somebody_else_is_none() -> None:
    scene = Scene()
    await scene.rig.begin("theirs", Caller(name="key:other", role="key"))
    with pytest.raises(InvalidRequest) as error:
        await scene.ask(metadata={"task_id": "theirs"})
    assert error.value.code == "task_not_found"


async def test_limits_are_those_of_agents() -> None:
    scene = Scene()
    scene.rig.meter.refusal = RateLimited("slow down")
    for is_stream in (False, True):
        with pytest.raises(RateLimited):
            await scene.begin(stream=is_stream)


async def test_an_agent_that_may_not_be_asked_is_a_model_that_there_is_not() -> None:
    scene = Scene()
    scene.rig.registry.entries = {}
    with pytest.raises(ModelNotFound):
        await scene.ask()


async def test_keys_for_other_paths_ask_no_agents() -> None:
    scene = Scene()
    narrow = Caller(name="key:me", role="key", key=Key(account="k", allowed_routes=("/v1/chat/completions",)))
    with pytest.raises(Forbidden):
        await scene.begin(who=narrow)


@pytest.mark.parametrize("is_stream", [False, True])
async def test_an_agent_has_so_much_time_to_answer(monkeypatch: pytest.MonkeyPatch, is_stream: bool) -> None:
    scene = Scene()
    scene.time = 60.0
    monkeypatch.setattr(scene.rig.registry, "ready", asyncio.Event().wait)
    with pytest.raises(UpstreamTimeout):
        await scene.begin(stream=is_stream)


async def test_a_failure_of_the_gateway_is_told_in_the_stream() -> None:
    scene = Scene()
    scene.rig.agent.events = [WORKING, made("Hel"), ValueError("a mistake")]
    with pytest.raises(ValueError, match="a mistake"):
        await scene.begin(stream=True)
    assert "error" in scene.chunks[-1]


async def test_a_task_that_never_ends_is_waited_for_as_long_as_there_is_time() -> None:
    scene = Scene()
    scene.time = 59.9
    scene.rig.agent.answers[Operation.SEND] = WORKING
    with pytest.raises(UpstreamTimeout):
        await scene.ask()


async def test_the_stream_of_a_client_that_leaves_is_closed() -> None:
    scene = Scene()
    scene.rig.agent.events = [WORKING, made("Hel"), made("lo", is_more=True), moved("COMPLETED")]
    serving = asyncio.ensure_future(scene.begin(stream=True))
    while not scene.rig.agent.asked or not scene.reply.flow:
        await asyncio.sleep(0)
    scene.reply.flow.pause()
    serving.cancel()
    await asyncio.wait({serving})
    assert scene.rig.agent.streams_closed == 1
    assert len(scene.beats) == 0

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, cast

import pytest

from pointsman.a2a.published.model import Question
from pointsman.access.caller import MASTER, Caller
from pointsman.access.keys import models_of
from pointsman.assembly.a2a_models import Hearing, Models
from pointsman.errors import (
    GatewayError,
    ModelNotFound,
    RateLimited,
    UpstreamBroken,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from pointsman.pipeline.call import Call
from pointsman.pipeline.serve import Pipeline

HEAD = b'data: {"id":"c","choices":[{"index":0,"delta":'
USAGE = b'data: {"id":"c","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}\n\n'


def chunk(**delta: Any) -> bytes:
    return HEAD + json.dumps(delta).encode() + b"}]}\n\n"


class FakePipeline:
    """Replies as the test says."""

    def __init__(self) -> None:
        self.calls: list[tuple[Call, Any]] = []
        self.act: Callable[[Call], Any] = lambda call: call.downstream.reply(200, b"", chunk(content="Hi"))

    def clock(self) -> float:
        return 7.0

    async def serve(self, call: Call, body: bytes) -> None:
        self.calls.append((call, json.loads(body)))
        found = self.act(call)
        if asyncio.iscoroutine(found):
            await found


class World:
    def __init__(self) -> None:
        self.pipeline = FakePipeline()
        self.heard: list[str] = []

    async def ask(self, caller: Caller = MASTER, seconds: float = 60.0) -> Any:
        deadline = asyncio.get_running_loop().time() + seconds
        question = Question(
            caller=caller, model="house", messages=[{"role": "user", "content": "x"}], deadline=deadline
        )
        return await Models(lambda: cast("Pipeline", self.pipeline))(question, self.heard.append)

    def fail(self, error: Exception) -> None:
        def act(_call: Call) -> None:
            raise error

        self.pipeline.act = act


async def test_a_model_is_asked_like_a_client_would_who_reads_a_stream() -> None:
    world = World()

    def act(call: Call) -> None:
        call.downstream.start(200, b"")
        data = chunk(role="assistant", content="") + chunk(content="Hel") + chunk(refusal="lo") + USAGE
        for at in range(0, len(data), 7):
            call.downstream.write(data[at : at + 7])
        call.downstream.flow_to(None)
        call.downstream.finish()

    world.pipeline.act = act
    usage = await world.ask()
    assert (world.heard, usage.total_tokens) == (["Hel", "lo"], 5)
    [(call, body)] = world.pipeline.calls
    assert (call.caller, call.received, call.tenant) == (MASTER, 7.0, "master")
    assert call.is_operators
    assert body == {
        "model": "house",
        "messages": [{"role": "user", "content": "x"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def test_whoever_may_ask_the_agent_may_have_its_model_asked_and_pays_for_it() -> None:
    world, found = World(), models_of(("other",))
    assert found is not None
    await world.ask(Caller(name="key:me", models=(found,)))
    [(call, _)] = world.pipeline.calls
    assert call.caller == Caller(name="key:me")


async def test_what_fails_is_told() -> None:
    world = World()
    world.fail(RateLimited("slow down"))
    with pytest.raises(RateLimited):
        await world.ask()
    world.fail(ModelNotFound())
    with pytest.raises(UpstreamUnreachable) as error:
        await world.ask()
    assert "house" in (error.value.operator_detail or "")


async def test_a_model_has_so_much_time() -> None:
    world = World()
    world.pipeline.act = lambda _: asyncio.Event().wait()
    with pytest.raises(UpstreamTimeout):
        await world.ask(seconds=0.0)


@pytest.mark.parametrize("end", [b'data: {"error":{"message":"oops"}}\n\n', b"data: {\n\n", b""])
async def test_a_stream_that_ends_in_an_error_has_failed(end: bytes) -> None:
    world = World()

    def act(call: Call) -> None:
        call.downstream.start(200, b"")
        call.downstream.write(chunk(content="Hi") + end + chunk(content="more" if end else "!"))
        if not end:
            call.downstream.cut()

    world.pipeline.act = act
    with pytest.raises(GatewayError):
        await world.ask()
    assert world.heard == (["Hi"] if end else ["Hi", "!"])


def test_what_was_cut_after_an_error_has_that_error() -> None:
    hearing = Hearing(lambda _: None)
    hearing.failure = error = UpstreamBroken("first")
    hearing.cut()
    assert hearing.failure is error

from __future__ import annotations

import asyncio
import json
from typing import Any

from unit.pipeline.conftest import Downstream

from pointsman.a2a.protocol.answers import File, Reading, Text, Thought
from pointsman.pipeline.a2a_use.telling import Telling
from pointsman.pipeline.call import Call
from pointsman.providers.translation import ReplyTerms
from pointsman.wire import operations as op
from pointsman.wire.chat import ChatRequest
from pointsman.wire.usage import Usage


class Scene:
    """A reply."""

    def __init__(self, operation: op.Operation = op.CHAT, **request: Any) -> None:
        self.down = Downstream()
        self.call = Call(operation, self.down, {}, b"x-request-id: r1\r\n", 0.0, is_master=False)
        self.call.given_bytes = 36
        asked = ChatRequest(dialect="openai", turns=[], **request)
        self.telling = Telling(self.call, ReplyTerms(model="a2a/a", unique="u1", created=5, request=asked))

    @property
    def json(self) -> Any:
        return json.loads(self.down.body)

    @property
    def chunks(self) -> list[Any]:
        return [json.loads(line[6:]) for line in self.down.body.split(b"\n") if line.startswith(b"data: {")]


def reading(**told: Any) -> Reading:
    found = Reading()
    for name, value in told.items():
        setattr(found, name, value)
    return found


def test_a_whole_answer_is_text_thoughts_and_pictures() -> None:
    scene = Scene()
    picture = File(data="QUJD", media_type="image/png")
    scene.telling.reply(reading(), [Thought("hm"), Text("a"), Text("b"), picture, File(url="https://a/b", name="b")])
    message = scene.json["choices"][0]["message"]
    assert message["content"] == "ab[b](https://a/b)"
    assert message["reasoning_content"] == "hm"
    assert message["images"][0]["image_url"]["url"] == "data:image/png;base64,QUJD"
    assert (scene.call.status, scene.down.status) == (200, 200)


def test_chats_are_told_of_which_task_that_was() -> None:
    scene = Scene()
    usage = Usage(input_tokens=3, output_tokens=4, total_tokens=7)
    scene.telling.reply(reading(task="t/1", context="ü", state="completed", usage=usage), [Text("Hi")])
    assert scene.json["metadata"] == {
        "a2a_task_id": "t/1",
        "a2a_context_id": "ü",
        "a2a_state": "completed",
        "a2a_usage": "agent",
    }
    assert scene.json["usage"]["total_tokens"] == 7
    assert scene.down.headers["x-pointsman-a2a"] == "task_id=t%2F1; context_id=%C3%BC; state=completed"
    assert scene.down.headers["x-request-id"] == "r1"


def test_what_was_used_is_guessed_where_the_agent_does_not_say_it() -> None:
    scene = Scene()
    scene.telling.reply(reading(), [Text("x" * 36)])
    assert scene.json["metadata"] == {"a2a_usage": "estimated"}
    assert (scene.json["usage"]["prompt_tokens"], scene.json["usage"]["completion_tokens"]) == (10, 10)
    assert "x-pointsman-a2a" not in scene.down.headers


def test_a_streamed_chat_is_told_the_same() -> None:
    scene = Scene(include_usage=True)
    read = reading(task="t")
    scene.telling.tell(read, [Text("Hel"), Text("lo"), File(data="QUJD", media_type="image/png"), File(data="QUJD")])
    scene.telling.finish(read)
    deltas = [one["choices"][0]["delta"] for one in scene.chunks if one["choices"]]
    assert "".join(delta.get("content") or "" for delta in deltas) == "Hello[file]"
    assert [delta["images"] for delta in deltas if "images" in delta]
    [metadata] = [one["metadata"] for one in scene.chunks if "metadata" in one]
    assert metadata == {"a2a_task_id": "t", "a2a_usage": "estimated"}
    assert {one["id"] for one in scene.chunks} == {"chatcmpl-u1"}
    assert scene.chunks[-1]["usage"]["completion_tokens"] == 3
    assert scene.down.headers["x-pointsman-a2a"] == "task_id=t"


def test_a_quiet_stream_says_now_and_then_that_it_is_alive() -> None:
    scene = Scene()
    scene.telling.beat()
    assert not scene.down.is_started
    scene.telling.beat()
    assert (scene.down.body, scene.down.flow) == (b":\n\n", scene.telling)
    scene.telling.tell(reading(), [Text("Hi")])
    before = scene.down.body
    scene.telling.beat()
    assert scene.down.body == before
    scene.telling.pause()
    scene.telling.beat()
    assert scene.down.body == before


def test_an_array_has_no_place_for_a_sign_of_life() -> None:
    scene = Scene(op.GENERATE_CONTENT)
    scene.call.is_array = True
    scene.telling.beat()
    scene.telling.beat()
    assert not scene.down.is_started


async def test_a_client_that_does_not_read_is_waited_for() -> None:
    scene = Scene()
    await scene.telling.can_go_on()
    scene.telling.pause()
    waiting = asyncio.ensure_future(scene.telling.can_go_on())
    await asyncio.sleep(0)
    assert not waiting.done()
    scene.telling.resume()
    await waiting

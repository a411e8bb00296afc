"""A stream that is cut at each of its bytes: unseen before the first output, and a well-formed error after it."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import openai
import pytest
from chaos.inloop import HOST, Answering, dechunk, post, serving, upstream

KEY = "sk-chaos"
CONFIG = """
model_list:
  - model_name: pair
    litellm_params: {{model: openai/up, api_base: "http://127.0.0.1:{cut}/v1", api_key: sk-upstream-1, order: 1}}
  - model_name: pair
    litellm_params: {{model: openai/up, api_base: "http://127.0.0.1:{good}/v1", api_key: sk-upstream-1, order: 2}}
  - model_name: single
    litellm_params: {{model: openai/up, api_base: "http://127.0.0.1:{cut}/v1", api_key: sk-upstream-1}}
router_settings:
  # The first one is cut again and again, and shall be asked all the same.
  disable_cooldowns: true
general_settings:
  master_key: {key}
"""
GUARD = 60
DONE = b"data: [DONE]\n\n"
WORDS = ("Züge", " fahren", " 🚂", " ab")
TEXT = "".join(WORDS)
Ending = Literal["close", "reset"]
Framing = Literal["chunked", "close-delimited"]
Outcome = Literal["unseen", "refused", "told", "done"]


def chat(name: str) -> list[bytes]:
    """A streamed chat: role, words, reason, usage, mark."""
    head = {"id": f"chatcmpl-{name}", "object": "chat.completion.chunk", "created": 1, "model": "up"}
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}, *({"content": word} for word in WORDS), {}]
    chunks = [
        head | {"choices": [{"index": 0, "delta": delta, "finish_reason": None if delta else "stop"}]}
        for delta in deltas
    ]
    usage = {"prompt_tokens": 1, "completion_tokens": 4, "total_tokens": 5}
    return [*map(event, [*chunks, head | {"choices": [], "usage": usage}]), DONE]


def completion(name: str) -> list[bytes]:
    """A streamed legacy completion."""
    head = {"id": f"cmpl-{name}", "object": "text_completion", "created": 1, "model": "up"}
    chunks = [
        head | {"choices": [{"index": 0, "text": word, "finish_reason": None if word else "stop"}]}
        for word in (*WORDS, "")
    ]
    return [*map(event, chunks), DONE]


def response(name: str) -> list[bytes]:
    """A streamed response."""
    whole = {"id": f"resp_{name}", "object": "response", "created_at": 1, "model": "up", "output": []}
    part = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed"}
    said = {"type": "output_text", "text": TEXT, "annotations": []}
    usage = {"input_tokens": 1, "output_tokens": 4, "total_tokens": 5}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": whole | {"status": "in_progress"}},
        {"type": "response.output_item.added", "output_index": 0, "item": message | {"content": []}},
        {"type": "response.content_part.added", **part, "part": said | {"text": ""}},
        *({"type": "response.output_text.delta", **part, "delta": word} for word in WORDS),
        {"type": "response.output_text.done", **part, "text": TEXT},
        {
            "type": "response.completed",
            "response": whole | {"status": "completed", "output": [message | {"content": [said]}], "usage": usage},
        },
    ]
    return [event(one | {"sequence_number": n}, one["type"]) for n, one in enumerate(events)]


def event(value: Any, name: str | None = None) -> bytes:
    lead = "" if name is None else f"event: {name}\n"
    return f"{lead}data: {json.dumps(value, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()


@dataclass(frozen=True)
class Api:
    """One streaming API."""

    path: str
    events: Callable[[str], list[bytes]]
    body: dict[str, Any]
    has_output: Callable[[bytes], bool]
    has_finish: Callable[[bytes], bool]

    def request(self, model: str) -> bytes:
        # Where nobody else is left, asking the same one again would only take time.
        more = {"num_retries": 0} if model == "single" else {}
        return json.dumps(self.body | more | {"model": model, "stream": True}).encode()

    def expected(self, name: str, model: str) -> list[bytes]:
        """The events as a client of ``model`` shall get them."""
        return [one.replace(b'"model":"up"', f'"model":"{model}"'.encode()) for one in self.events(name)]


FIRST = WORDS[0].encode()
HELLO = {"messages": [{"role": "user", "content": "Hi"}], "stream_options": {"include_usage": True}}
APIS = {
    "chat": Api("/v1/chat/completions", chat, HELLO, lambda e: b'"content":"' + FIRST in e, lambda e: b'"stop"' in e),
    "completions": Api(
        "/v1/completions",
        completion,
        {"prompt": "Hi", "stream_options": {"include_usage": True}},
        lambda e: b'"text":"' + FIRST in e,
        lambda e: b'"stop"' in e,
    ),
    "responses": Api(
        "/v1/responses",
        response,
        {"input": "Hi"},
        lambda e: b'"delta":"' + FIRST in e,
        lambda e: b'"response.completed"' in e,
    ),
}


@dataclass
class Recording:
    """An answer, as the pieces in which it is written."""

    pieces: list[bytes]
    is_chunked: bool

    @classmethod
    def of(cls, events: list[bytes], framing: Framing) -> Recording:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
        if framing == "chunked":
            chunks = [b"%x\r\n%b\r\n" % (len(one), one) for one in events]
            return cls([head + b"transfer-encoding: chunked\r\n\r\n", *chunks, b"0\r\n\r\n"], is_chunked=True)
        return cls([head + b"\r\n", *events], is_chunked=False)

    def __len__(self) -> int:
        return sum(map(len, self.pieces))

    def cut(self, place: int) -> list[bytes]:
        """What is said when that many bytes are."""
        starts = itertools.accumulate((len(piece) for piece in self.pieces), initial=0)
        cut = [piece[: max(0, place - start)] for piece, start in zip(self.pieces, starts, strict=False)]
        return [piece for piece in cut if piece]

    def arrived(self, place: int) -> tuple[list[bytes], bytes]:
        """The events that are complete by then, and the last one if it lacks its blank line and nothing else."""
        body = b"".join(self.cut(place)).partition(b"\r\n\r\n")[2]
        *events, rest = (dechunk(body)[0] if self.is_chunked else body).split(b"\n\n")
        is_whole = rest.rstrip(b"\n").endswith((b"}", b"[DONE]")) and rest.count(b"{") == rest.count(b"}")
        return [one + b"\n\n" for one in events], rest if is_whole else b""


class Stage:
    """A gateway before an upstream that cuts its answers and one that does not."""

    def __init__(self) -> None:
        self.port = 0
        self.said: list[bytes] = []
        self.good: list[bytes] = []
        self.ending: Ending = "close"
        self._tasks: set[asyncio.Task[None]] = set()

    def cut_answer(self, connection: Answering, _: bytes) -> None:
        task = asyncio.get_running_loop().create_task(self._say(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _say(self, connection: Answering) -> None:
        for piece in self.said:
            connection.transport.write(piece)
            # The gateway's turn: it gets the answer in these pieces, and once in a while two at a time.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        if self.ending == "reset":
            connection.reset()
        else:
            connection.transport.close()

    def good_answer(self, connection: Answering, _: bytes) -> None:
        connection.transport.write(b"".join(self.good))


@asynccontextmanager
async def staged(home: Path) -> AsyncIterator[Stage]:
    stage = Stage()
    async with (
        asyncio.timeout(GUARD),
        upstream(stage.cut_answer) as cut,
        upstream(stage.good_answer) as good,
        serving(CONFIG.format(cut=cut, good=good, key=KEY), home) as stage.port,
    ):
        yield stage


def judge(
    api: Api, model: str, ending: Ending, arrived: tuple[list[bytes], bytes], reply: tuple[int, bytes, bool]
) -> Outcome:
    """What a client has got. Raises ``AssertionError`` where that is not good."""
    status, body, is_whole = reply
    assert is_whole, "the reply is cut"
    if status != 200:
        assert status >= 500
        assert_error(json.loads(body))
        return "refused"
    assert body.endswith(b"\n\n"), "half an event"
    *delivered, last = [one + b"\n\n" for one in body[:-2].split(b"\n\n")]
    if [*delivered, last] == api.expected("good", model):
        return "unseen"
    complete, rest = arrived
    expected = api.expected("cut", model)
    if delivered and b'"response.failed"' in last:
        # The Responses API tells an error twice: some clients heed the one event, some the other.
        assert_error(data(last)["response"])
        last = delivered.pop()
    outcome: Outcome = "told"
    if any(map(api.has_finish, [*complete, rest])) and b'"error"' not in last:
        # The upstream has said why it ended; the mark after that may be the gateway's.
        outcome = "done"
        if DONE in (*complete, rest + b"\n\n", rest + b"\n") or last != DONE:
            delivered.append(last)
    else:
        assert last != DONE, "a fake end"
        assert_error(data(last))
        assert expected[-1] not in delivered, "an error after the end"
    assert delivered == expected[: len(delivered)], "other events than the upstream's"
    assert len(delivered) <= len(complete) + bool(rest), "more events than came"
    assert ending == "reset" or len(delivered) >= len(complete), "fewer events than came"
    return outcome


def data(one: bytes) -> Any:
    lines = [line[6:] for line in one.decode().splitlines() if line.startswith("data: ")]
    return json.loads("\n".join(lines))


def assert_error(value: Any) -> None:
    """An error in OpenAI's shape, or in those of the Responses API."""
    error = value.get("error", value)
    assert isinstance(error["message"], str), "an error without a message"
    assert "code" in error
    assert "finish_reason" not in json.dumps(value)


async def sweep(
    stage: Stage, api: Api, framing: Framing, ending: Ending, step: int = 1
) -> tuple[dict[str, str], Counter[tuple[str, Outcome]]]:
    """Cut at each place; gives what was not good, by model and place, and how often each outcome was."""
    faults: dict[str, str] = {}
    outcomes: Counter[tuple[str, Outcome]] = Counter()
    recording = Recording.of(api.events("cut"), framing)
    stage.good = Recording.of(api.events("good"), "chunked").pieces
    stage.ending = ending
    for place, model in itertools.product(range(0, len(recording), step), ("single", "pair")):
        stage.said = recording.cut(place)
        arrived = recording.arrived(place)
        reply = await post(stage.port, api.path, api.request(model), KEY)
        try:
            outcome = judge(api, model, ending, arrived, reply)
            if model == "pair" and not any(map(api.has_output, [*arrived[0], arrived[1]])):
                assert outcome == "unseen", "the client was told although nothing had been said"
            outcomes[model, outcome] += 1
        except AssertionError as error:
            faults[f"{model} at {place}"] = f"{error}: {reply[0]} {reply[1][-300:]!r}"
    return faults, outcomes


@pytest.mark.requirement("streams.cut-anywhere")
@pytest.mark.parametrize("ending", ["close", "reset"])
@pytest.mark.parametrize("framing", ["chunked", "close-delimited"])
@pytest.mark.parametrize(("name", "step"), [("chat", 1), ("completions", 1), ("responses", 3)])
async def test_a_stream_that_is_cut_anywhere_goes_on_unseen_or_ends_in_an_error(
    name: str, step: int, framing: Framing, ending: Ending, tmp_path: Path
) -> None:
    async with staged(tmp_path) as stage:
        faults, outcomes = await sweep(stage, APIS[name], framing, ending, step)
    assert faults == {}
    # Each of these can happen, so each has to have.
    assert outcomes["pair", "unseen"]
    assert outcomes["pair", "told"]
    assert outcomes["single", "refused"]
    assert outcomes["single", "told"]


ROLE, *REST = chat("cut")
HALF = b'data: {"id":"c","choices":[{"index"\n\n'
USELESS = {
    "half an object": [HALF, ROLE, *REST],
    "half an object after the role": [ROLE, HALF, *REST],
    "a list": [b"data: []\n\n", ROLE, *REST],
    "plain text": [ROLE, b"data: Internal Server Error\n\n", *REST],
    "an error event": [ROLE, b'event: error\ndata: {"error":{"message":"No","type":"server_error"}}\n\n', *REST],
    "a page": [b"<!doctype html>\n<html><body>Bad Gateway</body></html>\n\n"],
    "comments": [b": keep-alive\n\n", b": keep-alive\n\n"],
    "a role": [ROLE],
    "an end": [DONE],
    "nothing": [],
}


@pytest.mark.requirement("streams.cut-anywhere")
@pytest.mark.parametrize("case", USELESS)
async def test_a_stream_that_is_useless_before_its_first_output_is_never_seen(case: str, tmp_path: Path) -> None:
    api = APIS["chat"]
    async with staged(tmp_path) as stage:
        stage.said = Recording.of(USELESS[case], "chunked").pieces
        stage.good = Recording.of(api.events("good"), "chunked").pieces
        status, body, is_whole = await post(stage.port, api.path, api.request("pair"), KEY)
    assert (status, is_whole) == (200, True)
    assert body.decode() == b"".join(api.expected("good", "pair")).decode()


@pytest.mark.requirement("streams.cut-anywhere")
async def test_a_stream_without_words_that_ends_properly_is_an_answer(tmp_path: Path) -> None:
    api = APIS["chat"]
    events = [event for event in api.events("cut") if not any(word.encode() in event for word in WORDS)]
    async with staged(tmp_path) as stage:
        stage.said = Recording.of(events, "chunked").pieces
        status, body, is_whole = await post(stage.port, api.path, api.request("pair"), KEY)
    assert (status, is_whole) == (200, True)
    assert body.replace(b'"pair"', b'"up"') == b"".join(events)


@pytest.mark.requirement("streams.cut-anywhere")
@pytest.mark.parametrize("model", ["single", "pair"])
@pytest.mark.parametrize("ending", ["close", "reset"])
async def test_the_official_client_takes_no_cut_stream_for_a_whole_one(
    ending: Ending, model: str, tmp_path: Path
) -> None:
    api = APIS["chat"]
    recording = Recording.of(api.events("cut"), "chunked")
    async with (
        staged(tmp_path) as stage,
        openai.AsyncOpenAI(base_url=f"http://{HOST}:{stage.port}/v1", api_key=KEY, max_retries=0) as client,
    ):
        stage.good = Recording.of(api.events("good"), "chunked").pieces
        stage.ending = ending
        for place in range(0, len(recording), 29):
            stage.said = recording.cut(place)
            text, reason, error = await talk(client, model)
            complete, rest = recording.arrived(place)
            assert TEXT.startswith(text)
            if error is None:
                assert (text, reason) == (TEXT, "stop")
            else:
                assert reason is None or any(map(api.has_finish, complete))
                assert error.message
            if model == "pair" and not any(map(api.has_output, [*complete, rest])):
                assert error is None
            if model == "single" and not any(map(api.has_finish, [*complete, rest])):
                assert error is not None


async def talk(client: openai.AsyncOpenAI, model: str) -> tuple[str, str | None, openai.APIError | None]:
    """The text of a streamed chat, its reason to end, and the error that it ended in."""
    text, reason = "", None
    more = {"num_retries": 0} if model == "single" else {}
    try:
        async with await client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "Hi"}], stream=True, extra_body=more
        ) as stream:
            async for chunk in stream:
                for choice in chunk.choices:
                    text += choice.delta.content or ""
                    reason = choice.finish_reason or reason
    except openai.APIError as error:
        return text, reason, error
    return text, reason, None

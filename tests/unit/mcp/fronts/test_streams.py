from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest
from msgspec import Raw

from pointsman.access.caller import Caller
from pointsman.access.grants import grants_of
from pointsman.access.keys import Key, ObjectPermission
from pointsman.errors import Forbidden, MethodNotAllowed, Overloaded, RateLimited, Unauthenticated, UpstreamTimeout
from pointsman.mcp.fronts import streams
from pointsman.mcp.fronts.streams import (
    MAX_HELD_BYTES,
    Answer,
    Answering,
    Request,
    accepts,
    event_of,
    refusal,
    respond,
)
from pointsman.upstream.beats import Beats
from pointsman.wire.jsonrpc import Message, RpcError, notification

Make = Callable[..., tuple[Answering, Any]]
STATUS = 200


@pytest.fixture
async def beats() -> AsyncIterator[Beats]:
    beats = Beats(3600)
    yield beats
    beats.close()


@pytest.fixture
def make(beats: Beats, make_reply: Any) -> Make:
    def make(accept: bytes | None = None) -> tuple[Answering, Any]:
        reply = make_reply()
        headers = {} if accept is None else {b"accept": accept}
        return Answering(Request(caller=Caller(name="x"), headers=headers, reply=reply), beats), reply

    return make


def test_a_message_of_several_lines_stays_one_event() -> None:
    assert event_of(b'{"a":1}') == b'event: message\ndata: {"a":1}\n\n'
    assert event_of(b'{\r\n"a":1\n}') == b'event: message\ndata: {\ndata: "a":1\ndata: }\n\n'


@pytest.mark.parametrize(
    ("accept", "takes"),
    [
        (None, (True, True)),
        (b"*/*", (True, True)),
        (b"application/json", (True, False)),
        (b"Application/JSON ;q=1,TEXT/event-stream", (True, True)),
        (b"text/event-stream", (False, True)),
        (b"text/html", (False, False)),
        (b"", (False, False)),
    ],
)
def test_a_client_says_what_it_takes(accept: bytes | None, takes: tuple[bool, bool]) -> None:
    assert accepts({} if accept is None else {b"accept": accept}) == takes


async def test_an_answer_alone_is_json_and_leaves_nothing_behind(make: Make, beats: Beats) -> None:
    answering, reply = make()
    assert len(beats) == 1
    answering.answer(Answer(b"{}", 404, b"x-a: b\r\n"))
    assert (reply.status, reply.body, reply.headers) == (404, b"{}", {"content-type": "application/json", "x-a": "b"})
    assert len(beats) == 0
    answering.answer(Answer(b"{}"))
    answering.end()
    answering.tell(notification("late"))
    answering.send(notification("late"))
    assert reply.body == b"{}"


async def test_a_client_that_does_not_read_misses_notifications_and_nothing_else(make: Make) -> None:
    answering, reply = make()
    answering.tell(notification("a"))
    reply.flow.pause()
    answering.tell(notification("b"))
    answering.tell(notification("b"))
    long = Message(jsonrpc="2.0", method="c", params=Raw(b'"%b"' % (b"x" * MAX_HELD_BYTES)))
    answering.tell(long)
    assert [one["method"] for one in reply.messages] == ["a"]
    answering.send(notification("asked"))
    assert [one["method"] for one in reply.messages] == ["a", "b", "asked"]
    answering.tell(notification("d"))
    reply.flow.resume()
    answering.answer(Answer(b'{"method":"last"}', 400))
    assert [one["method"] for one in reply.messages] == ["a", "b", "asked", "d", "last"]
    assert reply.status == STATUS


async def test_a_quiet_stream_says_something_now_and_then(make: Make, beats: Beats) -> None:
    answering, reply = make()
    beats.beat()
    assert not reply.is_started
    beats.beat()
    assert (reply.is_stream, reply.body) == (True, b":\n\n")
    answering.tell(notification("a"))
    before = reply.body
    beats.beat()
    assert reply.body == before
    beats.beat()
    assert reply.body == before + b":\n\n"
    reply.flow.pause()
    beats.beat()
    beats.beat()
    assert reply.body == before + b":\n\n"


async def test_a_client_that_takes_no_events_waits_for_its_answer(make: Make, beats: Beats) -> None:
    answering, reply = make(b"application/json")
    beats.beat()
    beats.beat()
    answering.send(notification("a"))
    assert not reply.is_started
    answering.answer(Answer(b"{}"))
    assert reply.body == b"{}"


async def test_a_stream_ends_when_somebody_ends_it(make: Make) -> None:
    answering, reply = make()
    answering.open()
    waiting = asyncio.create_task(answering.last())
    await asyncio.sleep(0)
    assert not waiting.done()
    answering.end()
    await waiting
    assert reply.is_finished
    await answering.last()


async def test_a_stream_can_be_released_before_its_last_word(make: Make) -> None:
    answering, reply = make()
    answering.release()
    waiting = asyncio.create_task(answering.last())
    await asyncio.sleep(0)
    answering.release()
    await waiting
    answering.answer(Answer(b"{}"))
    assert reply.body == b"{}"


ADMIN = Caller(name="x", role="admin")
GRANTED = Caller(name="x", grants=grants_of((ObjectPermission(mcp_servers=("a",)),)))
BOUND = Caller(name="x", key=Key(allowed_routes=("/v1/models",)))


@pytest.mark.requirement("mcp.withdrawn")
@pytest.mark.parametrize("now", [Unauthenticated(), Forbidden(), ADMIN, GRANTED, BOUND], ids=str)
async def test_a_stream_ends_where_its_caller_is_not_who_he_was(
    now: Any, beats: Beats, make_reply: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "LOOK_SECONDS", 0)
    left: list[Any] = [now, Overloaded(), Caller(name="x")]

    async def again() -> Caller:
        found = left.pop()
        if isinstance(found, Exception):
            raise found
        return cast("Caller", found)

    request = Request(caller=Caller(name="x"), headers={}, reply=make_reply(), again=again)
    async with asyncio.timeout(5):
        await Answering(request, beats).last()
    assert left == []


async def test_a_stream_that_is_released_while_its_caller_is_looked_for_ends(
    beats: Beats, make_reply: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "LOOK_SECONDS", 0)

    async def again() -> Caller:
        answering.release()
        return Caller(name="x")

    answering = Answering(Request(caller=Caller(name="x"), headers={}, reply=make_reply(), again=again), beats)
    async with asyncio.timeout(5):
        await answering.last()


async def test_the_timer_rests_where_there_is_nobody(make: Make, beats: Beats) -> None:
    answering, _ = make()
    answering.leave()
    beats.beat()
    assert beats._timer is None


@pytest.mark.parametrize(
    ("error", "status", "code", "lines"),
    [
        (RpcError(-5, "x"), 200, -5, b""),
        (Forbidden("x"), 403, 403, b""),
        (UpstreamTimeout(), 200, 504, b""),
        (RateLimited(retry_after=0.2), 429, 429, b"retry-after: 1\r\n"),
        (MethodNotAllowed(headers=(("allow", "POST"),)), 405, 405, b"allow: POST\r\n"),
    ],
)
def test_a_failure_is_an_answer(error: Any, status: int, code: int, lines: bytes) -> None:
    told = refusal("n", error, lambda error: error.status)
    assert (told.status, told.lines) == (status, lines)
    assert b'"id":"n","error":{"code":%d' % code in told.body


async def test_a_request_that_is_given_up_leaves_nothing_behind(beats: Beats, make_reply: Any) -> None:
    request = Request(caller=Caller(name="x"), headers={}, reply=make_reply())

    async def work(_answering: Answering) -> Answer:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await respond(request, beats, 1, work, lambda error: error.status)
    assert len(beats) == 0

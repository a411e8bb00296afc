from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from replies import Reply

from pointsman.a2a.fronts.jsonrpc import RpcForm
from pointsman.a2a.fronts.streams import LOOK_BEATS, Request, Stream, Streams
from pointsman.access.caller import Caller
from pointsman.errors import Forbidden, GatewayError, Overloaded, Unauthenticated
from pointsman.telemetry.tasks import Tasks
from pointsman.upstream.beats import Beats

Make = Callable[..., tuple[Request, Reply]]
Tell = Callable[..., asyncio.Task[None]]
EVENT = b'{"n":1}'
COMMENT = b":\n\n"


@pytest.fixture
async def streams(tasks: Tasks) -> AsyncIterator[Streams]:
    beats = Beats(3600)
    yield Streams(beats, tasks, 3)
    beats.close()


async def none() -> bytes:
    return b""


@pytest.fixture
def tell(streams: Streams, gateway: Any) -> Tell:
    def tell(request: Request, lines: Callable[[], Awaitable[bytes]] = none) -> asyncio.Task[None]:
        call: Any = None
        work = Stream(request, streams).tell(gateway.stream(call), RpcForm(1, "1.0"), lines)
        return asyncio.get_running_loop().create_task(work)

    return tell


async def test_a_stream_ends_with_its_events(streams: Streams, gateway: Any, make_request: Make, tell: Tell) -> None:
    request, reply = make_request()
    gateway.will_tell(EVENT, EVENT, None)
    await tell(request)
    assert [one["result"] for one in reply.messages] == [{"n": 1}] * 2
    assert reply.is_finished
    assert gateway.is_closed
    assert len(streams) == 0


async def test_a_stream_without_events_is_an_empty_one(gateway: Any, make_request: Make, tell: Tell) -> None:
    request, reply = make_request()
    gateway.will_tell(None)
    await tell(request)
    assert (reply.is_stream, reply.is_finished, reply.body) == (True, True, b"")


async def test_nothing_is_sent_before_the_first_event(gateway: Any, make_request: Make, tell: Tell) -> None:
    request, reply = make_request()
    task = tell(request)
    await gateway.wait()
    assert not reply.is_started
    gateway.will_tell(Forbidden())
    with pytest.raises(Forbidden):
        await task
    assert not reply.is_started
    assert gateway.is_closed


async def test_what_is_known_with_the_first_event_goes_into_the_head(
    gateway: Any, make_request: Make, tell: Tell
) -> None:
    async def lines() -> bytes:
        return b"x-more: 1\r\n"

    request, reply = make_request()
    gateway.will_tell(EVENT, EVENT, None)
    await tell(request, lines)
    assert reply.headers["x-more"] == "1"


# -- pings ------------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("a2a.streams")
async def test_a_quiet_stream_says_something_now_and_then(
    streams: Streams, gateway: Any, make_request: Make, tell: Tell
) -> None:
    request, reply = make_request()
    gateway.will_tell(EVENT)
    task = tell(request)
    await reply.until(1)
    length = len(reply.body)
    streams.beats.beat()
    assert len(reply.body) == length
    streams.beats.beat()
    assert reply.body[length:] == COMMENT
    streams.beats.beat()
    assert reply.body[length:] == COMMENT
    streams.beats.beat()
    assert reply.body[length:] == COMMENT * 2
    gateway.will_tell(EVENT)
    await reply.until(2)
    streams.beats.beat()
    assert reply.body.endswith(b"}\n\n")
    gateway.will_tell(None)
    await task


@pytest.mark.requirement("a2a.streams")
async def test_a_stream_begins_without_an_event_before_the_connection_looks_dead(
    streams: Streams, gateway: Any, make_request: Make, tell: Tell
) -> None:
    request, reply = make_request()
    task = tell(request)
    await gateway.wait()
    streams.beats.beat()
    assert not reply.is_started
    streams.beats.beat()
    assert (reply.is_stream, reply.body) == (True, COMMENT)
    gateway.will_tell(Forbidden("no"))
    await task
    assert [one["error"]["code"] for one in reply.messages] == [403]
    assert reply.is_finished


async def test_nothing_is_said_to_who_does_not_read(
    streams: Streams, gateway: Any, make_request: Make, tell: Tell
) -> None:
    request, reply = make_request()
    gateway.will_tell(EVENT)
    task = tell(request)
    await reply.until(1)
    length = len(reply.body)
    assert reply.flow is not None
    reply.flow.pause()
    streams.beats.beat()
    streams.beats.beat()
    assert len(reply.body) == length
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# -- back-pressure and clients that leave ------------------------------------------------------------------------------


@pytest.mark.requirement("a2a.streams")
async def test_the_next_event_is_asked_for_when_the_client_has_read(
    gateway: Any, make_request: Make, tell: Tell
) -> None:
    request, reply = make_request()
    gateway.will_tell(EVENT)
    task = tell(request)
    await reply.until(1)
    assert reply.flow is not None
    reply.flow.pause()
    gateway.will_tell(EVENT, EVENT, None)
    await reply.until(2)
    # What was on its way when the client stopped to read goes out, and no more.
    for _ in range(10):
        await asyncio.sleep(0)
    assert (len(reply.messages), gateway.events.qsize()) == (2, 2)
    reply.flow.resume()
    await task
    assert len(reply.messages) == 3


@pytest.mark.requirement("a2a.streams")
async def test_a_client_that_leaves_ends_the_stream(
    streams: Streams, gateway: Any, make_request: Make, tell: Tell
) -> None:
    request, reply = make_request()
    gateway.will_tell(EVENT)
    task = tell(request)
    await reply.until(1)
    await gateway.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert gateway.is_closed
    assert len(streams) == 0


async def test_a_client_that_leaves_while_it_does_not_read_ends_the_stream(
    gateway: Any, make_request: Make, tell: Tell
) -> None:
    request, reply = make_request()
    gateway.will_tell(EVENT)
    task = tell(request)
    await reply.until(1)
    assert reply.flow is not None
    reply.flow.pause()
    gateway.will_tell(EVENT)
    await reply.until(2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert gateway.is_closed


@pytest.mark.requirement("a2a.streams")
async def test_there_are_only_so_many_streams(streams: Streams, gateway: Any, make_request: Make, tell: Tell) -> None:
    tasks = [tell(make_request()[0]) for _ in range(3)]
    await gateway.wait()
    with pytest.raises(Overloaded):
        await tell(make_request()[0])
    gateway.will_tell(None, None, None)
    await asyncio.gather(*tasks)
    gateway.will_tell(None)
    await tell(make_request()[0])
    assert len(streams) == 0


# -- ends that come from elsewhere -------------------------------------------------------------------------------------


@pytest.mark.requirement("a2a.draining")
async def test_a_quiet_stream_ends_with_a_reason_when_the_gateway_does(
    streams: Streams, gateway: Any, make_request: Make, tell: Tell
) -> None:
    request, reply = make_request()
    gateway.will_tell(EVENT)
    task = tell(request)
    await reply.until(1)
    streams.is_draining = True
    streams.beats.beat()
    streams.beats.beat()
    await task
    error = reply.messages[-1]["error"]
    assert error["code"] == 503
    assert "subscribe" in error["message"]
    assert reply.is_finished
    assert gateway.is_closed


async def test_a_stream_that_has_told_nothing_goes_on_when_the_gateway_ends(
    streams: Streams, gateway: Any, make_request: Make, tell: Tell
) -> None:
    request, reply = make_request()
    task = tell(request)
    await gateway.wait()
    streams.is_draining = True
    for _ in range(3):
        streams.beats.beat()
    gateway.will_tell(EVENT, None)
    await task
    assert [one["result"] for one in reply.messages] == [{"n": 1}]


async def test_the_first_reason_is_told_and_none_after_the_end(
    streams: Streams, gateway: Any, make_request: Make, tell: Tell
) -> None:
    request, reply = make_request()
    gateway.will_tell(EVENT)
    task = tell(request)
    await reply.until(1)
    (stream,) = streams.beats._members
    assert isinstance(stream, Stream)
    stream.end(Forbidden("first"))
    stream.end(Forbidden("second"))
    await task
    stream.end(Forbidden("third"))
    assert [one["error"]["message"] for one in reply.messages[1:]] == ["first"]


async def test_a_reason_that_comes_before_anything_was_sent_is_told_as_if_nothing_had_been_streamed(
    streams: Streams, gateway: Any, make_request: Make, tell: Tell
) -> None:
    request, reply = make_request()
    task = tell(request)
    await gateway.wait()
    (stream,) = streams.beats._members
    assert isinstance(stream, Stream)
    stream.end(Forbidden("gone"))
    with pytest.raises(Forbidden, match="gone"):
        await task
    assert not reply.is_started


async def test_a_timeout_that_is_not_ours_is_not_taken_for_an_end(make_request: Make, streams: Streams) -> None:
    async def events() -> Any:
        yield EVENT
        raise TimeoutError

    request, reply = make_request()
    with pytest.raises(TimeoutError):
        await Stream(request, streams).tell(events(), RpcForm(1, "1.0"), none)
    assert not reply.is_finished


@pytest.mark.requirement("a2a.withdrawn")
@pytest.mark.parametrize(
    ("found", "code"),
    [
        (Caller(name="k"), None),
        (Caller(name="other"), 403),
        (Unauthenticated(), 401),
        (Forbidden(), 403),
        (Overloaded(), None),
    ],
)
async def test_a_caller_that_is_not_one_any_more_hears_no_more(
    streams: Streams,
    gateway: Any,
    make_request: Make,
    tell: Tell,
    tasks: Tasks,
    found: Caller | GatewayError,
    code: int | None,
) -> None:
    asked = asyncio.Event()

    async def again() -> Caller:
        asked.set()
        if isinstance(found, GatewayError):
            raise found
        return found

    request, reply = make_request(again=again)
    gateway.will_tell(EVENT)
    task = tell(request)
    await reply.until(1)
    for _ in range(LOOK_BEATS - 1):
        streams.beats.beat()
    assert not asked.is_set()
    streams.beats.beat()
    async with asyncio.timeout(5):
        await asked.wait()
    while len(tasks):
        await asyncio.sleep(0)
    gateway.will_tell(EVENT, None)
    await task
    assert [one["error"]["code"] for one in reply.messages if "error" in one] == ([] if code is None else [code])
    assert len(reply.messages) == 2

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import pytest

from pointsman.errors import UpstreamBroken, UpstreamTimeout
from pointsman.upstream.response import HELD_BYTES, Response


class Recorded(Protocol):
    calls: list[str]

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def abort(self) -> None: ...


@pytest.fixture
def response(producer: Recorded) -> Response:
    return Response(200, [(b"content-type", b"text/plain"), (b"x", b"1"), (b"x", b"2")], producer)


def test_the_first_value_of_a_header_is_found_by_its_lower_case_name(response: Response) -> None:
    assert response.header(b"x") == b"1"
    assert response.header(b"content-length") is None


async def test_a_body_that_is_already_here_is_read_without_waiting(response: Response) -> None:
    response.feed(b"ab")
    response.feed(b"cd")
    response.finish()
    assert response.is_complete
    assert await response.read(4) == b"abcd"


def test_a_body_that_is_already_here_is_given_without_being_waited_for(response: Response) -> None:
    response.headers.append((b"content-type", b"text/plain"))
    response.feed(b"ab")
    assert response.whole(b"text/plain") is None
    response.feed(b"cd")
    response.finish()
    assert response.whole(b"application/json") is None
    assert response.whole(b"text/plain") == b"abcd"
    assert response.whole(b"text/plain") is None


async def test_a_body_that_comes_later_is_read_whole(response: Response) -> None:
    response.feed(b"a")
    reading = asyncio.ensure_future(response.read(10))
    await asyncio.sleep(0)
    response.feed(b"b")
    response.finish()
    assert await reading == b"ab"


async def test_an_empty_body_is_read_as_nothing(response: Response) -> None:
    response.finish()
    assert await response.read(0) == b""


@pytest.mark.parametrize("is_here_before", [True, False])
async def test_a_body_over_the_limit_is_broken_and_gives_the_connection_up(
    response: Response, producer: Recorded, is_here_before: bool
) -> None:
    if is_here_before:
        response.feed(b"12345")
    reading = asyncio.ensure_future(response.read(4))
    await asyncio.sleep(0)
    if not is_here_before:
        response.feed(b"1234")
        assert producer.calls == []
        response.feed(b"5")
    with pytest.raises(UpstreamBroken):
        await reading
    assert producer.calls == ["abort"]


async def test_a_complete_body_over_the_limit_is_broken_too(response: Response, producer: Recorded) -> None:
    response.feed(b"12345")
    response.finish()
    with pytest.raises(UpstreamBroken):
        await response.read(4)
    assert producer.calls == []


async def test_a_failure_reaches_the_reader_whenever_it_happens(producer: Recorded) -> None:
    early, late = Response(200, [], producer), Response(200, [], producer)
    early.feed(b"a")
    early.fail(UpstreamTimeout())
    with pytest.raises(UpstreamTimeout):
        await early.read(10)
    reading = asyncio.ensure_future(late.read(10))
    await asyncio.sleep(0)
    late.fail(UpstreamBroken())
    with pytest.raises(UpstreamBroken):
        await reading
    assert not late.is_complete


async def test_a_cancelled_read_gives_the_answer_up(response: Response, producer: Recorded) -> None:
    reading = asyncio.ensure_future(response.read(10))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert producer.calls == ["abort"]


async def test_a_body_is_taken_once(response: Response) -> None:
    response.finish()
    await response.read(1)
    with pytest.raises(RuntimeError):
        await response.read(1)
    with pytest.raises(RuntimeError):
        response.relay(print)


async def test_a_relay_gets_what_is_here_first_and_then_each_piece_as_it_comes(response: Response) -> None:
    got: list[bytes] = []
    response.feed(b"a")
    done = response.relay(got.append)
    assert got == [b"a"]
    response.feed(b"b")
    assert got == [b"a", b"b"]
    assert not done.done()
    response.finish()
    await done


async def test_a_relay_of_a_complete_body_is_done_at_once(response: Response) -> None:
    got: list[bytes] = []
    response.feed(b"a")
    response.finish()
    assert response.relay(got.append).done()
    assert got == [b"a"]


async def test_a_relay_of_a_broken_body_gives_what_came_and_then_fails(response: Response) -> None:
    got: list[bytes] = []
    response.feed(b"a")
    response.fail(UpstreamBroken())
    with pytest.raises(UpstreamBroken):
        await response.relay(got.append)
    assert got == [b"a"]


def refuse(error: Exception) -> Callable[[bytes], None]:
    def sink(data: bytes) -> None:
        raise error

    return sink


@pytest.mark.parametrize("is_here_before", [True, False])
async def test_what_the_sink_raises_gives_up_and_is_told_by_the_future(
    response: Response, producer: Recorded, is_here_before: bool
) -> None:
    if is_here_before:
        response.feed(b"a")
        response.feed(b"b")
    done = response.relay(refuse(KeyError("sink")))
    response.feed(b"c")
    response.feed(b"d")
    with pytest.raises(KeyError):
        await done
    assert producer.calls == ["abort"]


async def test_a_sink_that_raises_on_a_complete_body_is_told_too(response: Response, producer: Recorded) -> None:
    response.feed(b"a")
    response.finish()
    with pytest.raises(KeyError):
        await response.relay(refuse(KeyError("sink")))
    assert producer.calls == []


async def test_cancelling_a_relay_gives_the_answer_up(response: Response, producer: Recorded) -> None:
    done = response.relay(lambda data: None)
    done.cancel()
    await asyncio.sleep(0)
    assert producer.calls == ["abort"]


async def test_a_sink_may_abort_from_inside(response: Response, producer: Recorded) -> None:
    done = response.relay(lambda data: response.abort())
    response.feed(b"a")
    response.feed(b"b")
    with pytest.raises(UpstreamBroken):
        await done
    assert producer.calls == ["abort"]


async def test_an_unconsumed_body_pauses_its_producer_and_a_consumer_resumes_it(
    response: Response, producer: Recorded
) -> None:
    response.feed(bytes(HELD_BYTES))
    assert producer.calls == []
    response.feed(b"x")
    response.feed(b"x")
    assert producer.calls == ["pause"]
    reading = asyncio.ensure_future(response.read(HELD_BYTES + 2))
    await asyncio.sleep(0)
    assert producer.calls == ["pause", "resume"]
    response.finish()
    assert len(await reading) == HELD_BYTES + 2


async def test_the_consumers_pause_reaches_the_producer_once(response: Response, producer: Recorded) -> None:
    response.relay(lambda data: None)
    response.resume()
    response.pause()
    response.pause()
    response.resume()
    response.resume()
    assert producer.calls == ["pause", "resume"]


async def test_a_pause_outlasts_the_beginning_of_a_relay(response: Response, producer: Recorded) -> None:
    response.feed(bytes(HELD_BYTES + 1))
    response.relay(lambda data: response.pause())
    assert producer.calls == ["pause"]
    response.resume()
    assert producer.calls == ["pause", "resume"]


async def test_giving_up_is_idempotent_and_free_after_the_end(response: Response, producer: Recorded) -> None:
    response.finish()
    response.abort()
    response.pause()
    response.resume()
    response.fail(UpstreamBroken())
    response.feed(b"late")
    response.finish()
    assert producer.calls == []
    assert await response.read(1) == b""


async def test_after_giving_up_there_is_no_body(response: Response, producer: Recorded) -> None:
    response.feed(b"a")
    response.abort()
    response.abort()
    response.feed(b"b")
    assert producer.calls == ["abort"]
    with pytest.raises(UpstreamBroken):
        await response.read(10)


@pytest.mark.parametrize("is_relayed", [False, True])
async def test_who_waits_for_the_rest_of_an_answer_that_is_given_up_learns_why(
    response: Response, producer: Recorded, is_relayed: bool
) -> None:
    waiting = asyncio.ensure_future(response.relay(lambda _: None) if is_relayed else response.read(10))
    await asyncio.sleep(0)
    response.give_up(UpstreamTimeout(operator_detail="too slow"))
    response.give_up(UpstreamBroken())
    with pytest.raises(UpstreamTimeout, match="in time") as raised:
        await waiting
    assert raised.value.operator_detail == "too slow"
    assert producer.calls == ["abort"]


def test_an_answer_that_has_ended_is_not_given_up(response: Response, producer: Recorded) -> None:
    response.finish()
    response.give_up(UpstreamTimeout())
    assert response.is_complete
    assert producer.calls == []

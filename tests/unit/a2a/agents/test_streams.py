from __future__ import annotations

import asyncio

import pytest
from unit.upstream.peers import Answer

from pointsman.a2a.agents.streams import HELD_BYTES, Budget, Leg, Reader, in_one_line
from pointsman.errors import UpstreamBroken, UpstreamTimeout
from pointsman.wire.events import Event
from pointsman.wire.jsonrpc import RpcError


class Answering(Answer):
    """A stream that goes on by hand."""

    def __init__(self, *pieces: bytes) -> None:
        super().__init__(200, {"content-type": "text/event-stream"}, *pieces, is_open=True)


def budget(max_bytes: int = 1_000_000, max_event_bytes: int = 1_000_000, idle_seconds: float = 60.0) -> Budget:
    return Budget(max_bytes, max_event_bytes, idle_seconds, 60.0)


def given(event: Event) -> bytes | None:
    """What an event brings: an error, nothing, or its data."""
    if event.name == b"error":
        raise RpcError(-32603, event.data.decode())
    return event.data if event.data.startswith(b"{") else None


async def taken(leg: Leg) -> list[bytes]:
    found = []
    while (event := await leg.next()) is not None:
        found.append(event)
    return found


async def test_events_are_given_in_order_to_the_end() -> None:
    answer = Answering(b"data: {1}\n\n: ping\n\ndata: {2}\n")
    leg = Leg(Reader(answer.response, budget()), given)
    assert await leg.next() == b"{1}"
    waiting = asyncio.ensure_future(taken(leg))
    await asyncio.sleep(0)
    answer.response.feed(b"\ndata: {3}\n\n")
    answer.response.finish()
    assert await waiting == [b"{2}", b"{3}"]


async def test_what_is_no_event_of_an_agent_is_left_out() -> None:
    answer = Answering(b"data: hello\n\ndata: {1}\n\n")
    answer.response.finish()
    assert await taken(Leg(Reader(answer.response, budget()), given)) == [b"{1}"]


async def test_the_last_event_may_lack_its_end() -> None:
    answer = Answering(b"data: {1}\n\ndata: {2}")
    answer.response.finish()
    assert await taken(Leg(Reader(answer.response, budget()), given)) == [b"{1}", b"{2}"]


async def test_half_an_event_shows_that_the_stream_was_cut() -> None:
    answer = Answering(b"data: {1}\n\ndata: half")
    answer.response.finish()
    leg = Leg(Reader(answer.response, budget()), given)
    assert await leg.next() == b"{1}"
    with pytest.raises(UpstreamBroken):
        await leg.next()
    assert not leg.is_spent


async def test_a_stream_that_is_cut_gives_what_came_before() -> None:
    answer = Answering(b"data: {1}\n\n")
    leg = Leg(Reader(answer.response, budget()), given)
    answer.response.fail(UpstreamBroken())
    await asyncio.sleep(0)
    assert await leg.next() == b"{1}"
    with pytest.raises(UpstreamBroken):
        await leg.next()
    assert not leg.is_spent


@pytest.mark.parametrize("limits", [budget(max_bytes=20), budget(max_event_bytes=20)], ids=["all", "one"])
async def test_a_stream_has_bounds(limits: Budget) -> None:
    answer = Answering(b"data: {1}\n\n")
    leg = Leg(Reader(answer.response, limits), given)
    answer.response.feed(b"data: {%b}\n\n" % (b"x" * 30))
    assert await leg.next() == b"{1}"
    with pytest.raises(UpstreamBroken, match=r"too long|longer"):
        await leg.next()
    assert leg.is_spent
    assert answer.producer.is_aborted


async def test_all_answers_of_a_stream_have_one_bound() -> None:
    limits = budget(max_bytes=30)
    for _ in range(2):
        answer = Answering(b"data: {1}\n\n")
        answer.response.finish()
        assert await taken(Leg(Reader(answer.response, limits), given)) == [b"{1}"]
    with pytest.raises(UpstreamBroken):
        await taken(Leg(Reader(Answering(b"data: {1}\n\n").response, limits), given))


async def test_comments_alone_are_silence() -> None:
    answer = Answering(b"data: {1}\n\n")
    leg = Leg(Reader(answer.response, budget(idle_seconds=-1.0)), given)
    answer.response.feed(b": ping\n\n")
    assert await leg.next() == b"{1}"
    with pytest.raises(UpstreamTimeout, match="silent"):
        await leg.next()


async def test_nothing_is_read_while_nobody_takes_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    answer = Answering()
    monkeypatch.setattr(answer.producer, "pause_reading", lambda: done.append("pause"))
    monkeypatch.setattr(answer.producer, "resume_reading", lambda: done.append("resume"))
    leg = Leg(Reader(answer.response, budget()), given)
    half = b"data: {%b}\n\n" % (b"x" * (HELD_BYTES // 2))
    answer.response.feed(half)
    assert done == []
    answer.response.feed(half + half)
    assert done == ["pause"]
    await leg.next()
    assert done == ["pause"]
    await leg.next()
    assert done == ["pause", "resume"]


async def test_whoever_leaves_ends_the_answer() -> None:
    answer = Answering(b"data: {1}\n\n")
    leg = Leg(Reader(answer.response, budget()), given)
    left: list[Leg] = []
    leg.on_close = left.append
    leg.close()
    await asyncio.sleep(0)
    assert answer.producer.is_aborted
    assert left == [leg]


async def test_an_answer_can_be_made_to_fail() -> None:
    answer = Answering()
    leg = Leg(Reader(answer.response, budget()), given)
    waiting = asyncio.ensure_future(leg.next())
    await asyncio.sleep(0)
    leg.fail(UpstreamBroken("gone"))
    with pytest.raises(UpstreamBroken, match="gone"):
        await waiting
    assert leg.is_spent
    await asyncio.sleep(0)
    assert answer.producer.is_aborted


async def test_what_has_come_already_is_given_without_waiting_and_errors_when_it_is_their_turn() -> None:
    answer = Answering(b"data: {1}\n\ndata: x\n\ndata: {2}\n\nevent: error\ndata: no\n\n")
    leg = Leg(Reader(answer.response, budget()), given)
    assert leg.buffered() == [b"{1}", b"{2}"]
    with pytest.raises(RpcError, match="no"):
        await leg.next()
    assert leg.buffered() == []


async def test_an_answer_may_be_one_event() -> None:
    leg = Leg(None, given, b'{"a":\n1}')
    leg.translate = lambda data: data.replace(b"a", b"b")
    assert leg.buffered() == []
    assert await taken(leg) == [b'{"b":1}']
    leg.fail(UpstreamBroken())
    leg.close()
    assert not leg.is_spent


async def test_what_was_looked_at_is_given_again_as_it_was() -> None:
    leg = Leg(None, given, b"{a}")
    leg.translate = lambda data: b"{%b}" % data
    first = await leg.next()
    assert first is not None
    leg.unread(first)
    assert await taken(leg) == [b"{{a}}"]


@pytest.mark.parametrize(
    ("data", "line"),
    [(b'{"a": 1}', b'{"a": 1}'), (b'{"a":\r\n [1,\n2]}', b'{"a":[1,2]}'), (b'{"a":"\\n"}', b'{"a":"\\n"}')],
)
def test_an_event_is_one_line(data: bytes, line: bytes) -> None:
    assert in_one_line(data) == line

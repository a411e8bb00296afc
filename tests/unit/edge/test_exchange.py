from __future__ import annotations

import asyncio

import pytest

from pointsman.edge.exchange import Exchange
from pointsman.errors import BodyTimeout, BodyTooLarge


class Wire:
    """Keeps what an exchange asks of its connection."""

    def __init__(self) -> None:
        self.is_write_paused = False
        self.leaves = False
        self.sent: list[bytes] = []
        self.asked: list[str] = []

    def is_leaving(self) -> bool:
        return self.leaves

    def date(self) -> bytes:
        return b"date: today\r\n"

    def send(self, data: bytes) -> None:
        self.sent.append(data)

    def resume_body(self) -> None:
        self.asked.append("resume")

    def send_continue(self) -> None:
        self.asked.append("continue")

    def end_exchange(self, exchange: Exchange) -> None:
        self.asked.append("end")

    def cut(self) -> None:
        self.asked.append("cut")


def make(wire: Wire, *, method: str = "POST", version: str = "1.1", **headers: bytes) -> Exchange:
    lowered = {name.replace("_", "-").encode(): value for name, value in headers.items()}
    return Exchange(
        wire, method=method, path="/", query="", headers=lowered, version=version, keep_alive=True, received=0.0
    )


def test_a_producer_is_not_left_waiting_for_a_client_that_has_gone() -> None:
    wire = Wire()
    wire.is_write_paused = True
    exchange = make(wire)
    asked: list[str] = []

    class Producer:
        def pause(self) -> None:
            asked.append("pause")

        def resume(self) -> None:
            asked.append("resume")

    exchange.start(200, b"")
    exchange.flow_to(Producer())
    exchange.cut()
    exchange.flow_to(Producer())
    assert asked == ["pause", "resume"]


async def test_a_body_that_is_already_there_is_given_without_waiting() -> None:
    wire = Wire()
    exchange = make(wire)
    exchange.feed(b"ab")
    exchange.feed(b"cd")
    exchange.complete()

    assert await exchange.body(10) == b"abcd"
    assert wire.asked == []


async def test_a_body_is_waited_for() -> None:
    wire = Wire()
    exchange = make(wire, expect=b"100-continue", content_length=b"2")
    reading = asyncio.create_task(exchange.body(10))
    await asyncio.sleep(0)
    exchange.feed(b"a")
    await asyncio.sleep(0)
    exchange.feed(b"b")
    exchange.complete()

    assert await reading == b"ab"
    assert wire.asked[:2] == ["continue", "resume"]


async def test_a_body_over_the_limit_is_refused_by_its_length_or_by_its_bytes() -> None:
    with pytest.raises(BodyTooLarge):
        await make(Wire(), content_length=b"11").body(10)
    exchange = make(Wire())
    exchange.feed(b"x" * 11)
    with pytest.raises(BodyTooLarge):
        await exchange.body(10)


async def test_pieces_are_given_as_they_arrive_and_leave_nothing_behind() -> None:
    exchange = make(Wire())
    seen: list[bytes] = []

    async def take() -> None:
        seen.extend([piece async for piece in exchange.pieces(100)])

    taking = asyncio.create_task(take())
    for piece in (b"a", b"b", b"c"):
        assert exchange.feed(piece) == 1
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    exchange.complete()
    await taking

    assert seen == [b"a", b"b", b"c"]


async def test_whoever_is_cancelled_between_two_pieces_can_go_on_and_nothing_is_lost() -> None:
    exchange = make(Wire())
    pieces = exchange.pieces(100)
    exchange.feed(b"a")
    exchange.feed(b"b")
    assert await anext(pieces) == b"a"
    assert await anext(pieces) == b"b"
    waiting = asyncio.ensure_future(anext(pieces))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    exchange.feed(b"c")
    exchange.complete()
    assert [piece async for piece in pieces] == [b"c"]


@pytest.mark.parametrize("length", [b"11", None])
async def test_pieces_over_the_limit_are_refused_by_their_length_or_their_bytes(length: bytes | None) -> None:
    exchange = make(Wire()) if length is None else make(Wire(), content_length=length)
    pieces = exchange.pieces(10)
    exchange.feed(b"x" * 6)
    if length is None:
        assert await anext(pieces) == b"x" * 6
    exchange.feed(b"x" * 5)
    with pytest.raises(BodyTooLarge):
        await anext(pieces)


async def test_pieces_that_stop_arriving_raise_what_went_wrong() -> None:
    exchange = make(Wire())
    exchange.feed(b"a")
    pieces = exchange.pieces(10)
    assert await anext(pieces) == b"a"
    exchange.fail(BodyTimeout())
    with pytest.raises(BodyTimeout):
        await anext(pieces)


async def test_a_body_that_fails_raises_where_it_is_read() -> None:
    exchange = make(Wire())
    reading = asyncio.create_task(exchange.body(10))
    await asyncio.sleep(0)
    exchange.fail(BodyTimeout())

    with pytest.raises(BodyTimeout):
        await reading


def test_an_early_reply_closes_the_connection() -> None:
    wire = Wire()
    make(wire).reply(200, b"", b"x")

    assert b"connection: close" in wire.sent[0]


def test_a_streamed_reply_is_chunked() -> None:
    wire = Wire()
    exchange = make(wire)
    exchange.complete()
    exchange.start(200, b"")
    exchange.write(b"hello")
    exchange.write(b"")
    exchange.finish()

    assert b"transfer-encoding: chunked" in wire.sent[0]
    assert wire.sent[1:] == [b"5\r\nhello\r\n", b"0\r\n\r\n"]
    assert wire.asked == ["end"]


def test_a_reply_of_known_length_is_not_chunked() -> None:
    wire = Wire()
    exchange = make(wire)
    exchange.complete()
    exchange.start(200, b"", 5)
    exchange.write(b"hello")
    exchange.finish()

    assert b"content-length: 5" in wire.sent[0]
    assert wire.sent[1:] == [b"hello"]


def test_an_exchange_is_answered_once() -> None:
    exchange = make(Wire())
    exchange.reply(200, b"", b"")

    with pytest.raises(RuntimeError):
        exchange.reply(200, b"", b"")
    with pytest.raises(RuntimeError):
        exchange.start(200, b"")


def test_a_producer_named_while_the_client_is_slow_is_paused_at_once() -> None:
    calls: list[str] = []

    class Producer:
        def pause(self) -> None:
            calls.append("pause")

        def resume(self) -> None:
            calls.append("resume")

    wire = Wire()
    wire.is_write_paused = True
    exchange = make(wire)
    exchange.flow_to(Producer())
    exchange.resume()

    assert calls == ["pause", "resume"]


@pytest.mark.parametrize("status", [499, 520, 530, 599])
def test_a_status_without_a_phrase_is_sent_as_it_is(status: int) -> None:
    wire = Wire()
    exchange = make(wire)
    exchange.complete()
    exchange.reply(status, b"", b"")

    assert wire.sent[0].startswith(b"HTTP/1.1 %d \r\n" % status)


@pytest.mark.parametrize("is_streamed", [False, True])
def test_a_reply_on_a_connection_that_leaves_says_so(*, is_streamed: bool) -> None:
    wire = Wire()
    exchange = make(wire)
    exchange.complete()
    wire.leaves = True
    if is_streamed:
        exchange.start(200, b"")
    else:
        exchange.reply(200, b"", b"")

    assert b"connection: close\r\n" in wire.sent[0]
    assert not exchange.keep_alive

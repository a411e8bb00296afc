from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pointsman.errors import Overloaded, UpstreamBroken, UpstreamTimeout
from pointsman.upstream.connection import STALE_SECONDS, Connection, StaleConnection
from pointsman.upstream.deadlines import Sweeper
from pointsman.upstream.outbox import Outbox
from pointsman.upstream.response import HELD_BYTES, Response
from pointsman.upstream.settings import Timeouts

HEAD = b"POST /x HTTP/1.1\r\nhost: h\r\n"
OK = b"HTTP/1.1 200 OK\r\n"
HELLO = OK + b"Content-Length: 5\r\n\r\nhello"
TIMEOUTS = Timeouts(connect=1, first_byte=10, idle=5, total=100)


class Straight(Outbox):
    """Writes at once, so that a test sees what was written."""

    def __init__(self) -> None:
        super().__init__(asyncio.get_running_loop())

    def send(self, transport: asyncio.Transport, data: bytes) -> None:
        transport.write(data)


class Exchange:
    """A connection on a fake transport, with the clock in the test's hands."""

    def __init__(self, owner: Any, transport: Any) -> None:
        self.owner = owner
        self.transport = transport
        self.sweeper = Sweeper(asyncio.get_running_loop(), tick=0.1)
        self.sweeper.now = 0.0
        self.answered: list[Any] = []
        self.connection = Connection(
            owner, self.sweeper, Straight(), keepalive=60, max_head_bytes=1000, on_first_answer=self.answered.append
        )
        self.connection.connection_made(transport)

    def begin(self, body: bytes = b"") -> asyncio.Future[Response]:
        return self.connection.begin(HEAD, body, TIMEOUTS, self.sweeper.now + TIMEOUTS.total)

    def begin_upload(self, length: int | None = None) -> asyncio.Future[Response]:
        return self.connection.begin_upload(HEAD, length, TIMEOUTS, self.sweeper.now + TIMEOUTS.total)

    def sweep(self, now: float) -> None:
        self.sweeper.now = now
        self.connection.sweep(now)

    def assert_closed(self) -> None:
        assert self.transport.is_aborted
        assert self.owner.closed == [self.connection]
        assert not self.connection.is_usable


@pytest.fixture
async def exchange(owner: Any, transport: Any) -> Exchange:
    return Exchange(owner, transport)


async def test_a_request_is_written_at_once_and_its_answer_frees_the_connection(exchange: Exchange) -> None:
    waiter = exchange.begin(b"ab")
    assert exchange.transport.written == HEAD + b"content-length: 2\r\n\r\nab"
    assert exchange.owner.free == []
    exchange.connection.data_received(HELLO)
    response = await waiter
    assert await response.read(5) == b"hello"
    assert exchange.owner.free == [exchange.connection]
    assert exchange.connection.is_usable
    assert exchange.connection.has_served


async def test_the_response_is_there_with_its_head_and_the_connection_free_with_its_end(exchange: Exchange) -> None:
    waiter = exchange.begin()
    exchange.connection.data_received(HELLO[:-2])
    response = await waiter
    assert exchange.owner.free == []
    exchange.connection.data_received(HELLO[-2:])
    assert response.is_complete
    assert exchange.owner.free == [exchange.connection]


async def test_the_first_answer_is_reported_once(exchange: Exchange) -> None:
    for _ in range(2):
        exchange.begin()
        exchange.connection.data_received(HELLO)
    assert exchange.answered == [exchange.transport]


async def test_an_answer_that_ends_the_connection_closes_it(exchange: Exchange) -> None:
    waiter = exchange.begin()
    exchange.connection.data_received(OK + b"Connection: close\r\nContent-Length: 0\r\n\r\n")
    assert (await waiter).is_complete
    exchange.assert_closed()
    assert exchange.owner.free == []


@pytest.mark.parametrize("end", ["eof", "lost", "reset"])
async def test_a_fresh_connection_that_ends_before_the_head_is_broken(exchange: Exchange, end: str) -> None:
    waiter = exchange.begin()
    finish(exchange.connection, end)
    with pytest.raises(UpstreamBroken) as caught:
        await waiter
    assert "upstream.test" in str(caught.value.operator_detail)
    assert "upstream.test" not in caught.value.message
    exchange.assert_closed()


def finish(connection: Connection, end: str) -> None:
    if end == "eof":
        connection.eof_received()
    connection.connection_lost(ConnectionResetError() if end == "reset" else None)


@pytest.mark.parametrize("end", ["eof", "lost", "reset"])
async def test_a_reused_connection_that_ends_before_any_byte_is_stale(exchange: Exchange, end: str) -> None:
    exchange.begin()
    exchange.connection.data_received(HELLO)
    waiter = exchange.begin()
    finish(exchange.connection, end)
    with pytest.raises(StaleConnection):
        await waiter
    exchange.assert_closed()


async def test_a_reused_connection_that_ends_long_after_the_request_is_broken(exchange: Exchange) -> None:
    exchange.begin()
    exchange.connection.data_received(HELLO)
    waiter = exchange.begin()
    exchange.sweep(STALE_SECONDS)
    finish(exchange.connection, "lost")
    with pytest.raises(UpstreamBroken):
        await waiter


async def test_a_reused_connection_that_ends_after_a_byte_is_broken(exchange: Exchange) -> None:
    exchange.begin()
    exchange.connection.data_received(HELLO)
    waiter = exchange.begin()
    exchange.connection.data_received(b"H")
    exchange.connection.eof_received()
    with pytest.raises(UpstreamBroken):
        await waiter


@pytest.mark.parametrize("end", ["eof", "lost", "reset"])
async def test_a_body_cut_short_is_broken(exchange: Exchange, end: str) -> None:
    waiter = exchange.begin()
    exchange.connection.data_received(HELLO[:-1])
    finish(exchange.connection, end)
    with pytest.raises(UpstreamBroken):
        await (await waiter).read(10)
    exchange.assert_closed()


async def test_a_body_may_end_with_the_connection_but_not_by_a_reset(exchange: Exchange) -> None:
    waiter = exchange.begin()
    exchange.connection.data_received(OK + b"\r\nhello")
    exchange.connection.eof_received()
    assert await (await waiter).read(10) == b"hello"
    exchange.assert_closed()


async def test_a_body_that_lasts_to_the_end_and_is_reset_is_broken(exchange: Exchange) -> None:
    waiter = exchange.begin()
    exchange.connection.data_received(OK + b"\r\nhello")
    exchange.connection.connection_lost(ConnectionResetError())
    with pytest.raises(UpstreamBroken):
        await (await waiter).read(10)


async def test_what_is_not_an_answer_is_broken(exchange: Exchange) -> None:
    waiter = exchange.begin()
    exchange.connection.data_received(b"SSH-2.0-OpenSSH\r\n")
    with pytest.raises(UpstreamBroken):
        await waiter
    exchange.assert_closed()


@pytest.mark.parametrize("happens", ["data", "eof", "lost"])
async def test_an_idle_connection_ends_with_anything_it_hears(exchange: Exchange, happens: str) -> None:
    exchange.begin()
    exchange.connection.data_received(HELLO)
    if happens == "data":
        exchange.connection.data_received(b"x")
    else:
        finish(exchange.connection, happens)
    exchange.assert_closed()


async def test_the_loss_of_the_socket_is_told_after_the_place_is_free(exchange: Exchange) -> None:
    exchange.connection.abort()
    exchange.assert_closed()
    assert exchange.owner.lost == []
    exchange.connection.data_received(b"late")
    exchange.connection.connection_lost(None)
    assert exchange.owner.lost == [exchange.connection]
    assert len(exchange.owner.closed) == 1


async def test_no_answer_in_time_is_a_timeout(exchange: Exchange) -> None:
    waiter = exchange.begin()
    exchange.sweep(10.0)
    assert not waiter.done()
    exchange.sweep(10.2)
    with pytest.raises(UpstreamTimeout):
        await waiter
    exchange.assert_closed()


async def test_each_piece_begins_the_idle_time_again(exchange: Exchange) -> None:
    waiter = exchange.begin()
    exchange.sweeper.now = 8.0
    exchange.connection.data_received(HELLO[:-2])
    response = await waiter
    exchange.sweep(12.0)
    exchange.connection.data_received(HELLO[-2:-1])
    exchange.sweep(17.0)
    assert exchange.owner.closed == []
    exchange.sweep(17.2)
    with pytest.raises(UpstreamTimeout):
        await response.read(10)


async def test_the_total_deadline_holds_however_steadily_pieces_come(exchange: Exchange) -> None:
    waiter = exchange.begin()
    exchange.connection.data_received(OK + b"\r\n")
    for second in range(1, 101):
        exchange.sweep(float(second))
        exchange.connection.data_received(b"x")
    exchange.sweep(100.2)
    with pytest.raises(UpstreamTimeout):
        await (await waiter).read(1000)


async def test_time_in_which_the_consumer_pauses_is_not_the_upstreams(exchange: Exchange) -> None:
    waiter = exchange.begin()
    exchange.connection.data_received(HELLO[:-1])
    response = await waiter
    response.pause()
    exchange.sweep(50.0)
    response.resume()
    exchange.sweep(54.0)
    assert exchange.owner.closed == []
    assert exchange.transport.calls == ["pause", "resume"]
    exchange.sweep(56.0)
    exchange.assert_closed()


async def test_a_connection_that_ended_paused_reads_again_when_it_is_free(exchange: Exchange) -> None:
    exchange.begin()
    exchange.connection.data_received(OK + b"Content-Length: %d\r\n\r\n" % (HELD_BYTES + 1))
    exchange.connection.data_received(bytes(HELD_BYTES + 1))
    assert exchange.transport.calls == ["pause", "resume"]
    assert exchange.connection.is_usable


async def test_an_idle_connection_expires(exchange: Exchange) -> None:
    exchange.begin()
    exchange.connection.data_received(HELLO)
    exchange.sweep(60.0)
    assert exchange.connection.is_usable
    exchange.sweep(60.2)
    exchange.assert_closed()


async def test_the_peers_shorter_keepalive_is_honoured(exchange: Exchange) -> None:
    exchange.begin()
    exchange.connection.data_received(OK + b"Keep-Alive: timeout=5\r\nContent-Length: 0\r\n\r\n")
    exchange.sweep(3.9)
    assert exchange.connection.is_usable
    exchange.sweep(4.1)
    exchange.assert_closed()


async def test_a_peer_that_does_not_take_the_request_is_timed_out_by_the_idle_time(exchange: Exchange) -> None:
    waiter = exchange.begin(bytes(100_000))
    exchange.transport.unsent = 50_000
    exchange.sweep(4.0)
    exchange.transport.unsent = 40_000
    exchange.sweep(8.0)
    exchange.sweep(13.0)
    assert not waiter.done()
    exchange.sweep(13.2)
    with pytest.raises(UpstreamTimeout):
        await waiter


async def test_the_time_to_the_first_byte_begins_when_the_request_is_sent(exchange: Exchange) -> None:
    waiter = exchange.begin(bytes(100_000))
    for second in range(1, 20):
        exchange.transport.unsent = 100 - second
        exchange.sweep(float(second))
    exchange.transport.unsent = 0
    exchange.sweep(20.0)
    exchange.sweep(30.0)
    assert not waiter.done()
    exchange.sweep(30.2)
    with pytest.raises(UpstreamTimeout):
        await waiter


async def test_a_slow_producer_of_the_request_is_not_the_upstreams_fault(exchange: Exchange) -> None:
    waiter = exchange.begin_upload()
    for second in range(1, 90):
        exchange.sweep(float(second))
    assert not waiter.done()
    exchange.sweep(101.0)
    with pytest.raises(UpstreamTimeout):
        await waiter


async def test_an_upload_waits_while_the_peer_is_behind(exchange: Exchange) -> None:
    exchange.begin_upload()
    await exchange.connection.drain()
    exchange.connection.pause_writing()
    draining = asyncio.ensure_future(exchange.connection.drain())
    await asyncio.sleep(0)
    assert not draining.done()
    exchange.connection.resume_writing()
    await draining


async def test_an_upload_does_not_wait_for_a_closed_connection(exchange: Exchange) -> None:
    exchange.begin_upload().cancel()
    exchange.connection.pause_writing()
    draining = asyncio.ensure_future(exchange.connection.drain())
    await asyncio.sleep(0)
    exchange.connection.abort()
    await draining
    await exchange.connection.drain()


async def test_an_upload_frees_the_connection_when_both_sides_have_ended(exchange: Exchange) -> None:
    waiter = exchange.begin_upload(length=2)
    exchange.connection.write(b"ab")
    exchange.connection.end_upload(b"")
    exchange.connection.data_received(HELLO)
    assert (await waiter).is_complete
    assert exchange.transport.written == HEAD + b"content-length: 2\r\n\r\nab"
    assert exchange.owner.free == [exchange.connection]


async def test_an_answer_before_the_end_of_the_upload_is_given_and_costs_the_connection(exchange: Exchange) -> None:
    waiter = exchange.begin_upload()
    exchange.connection.write(b"1\r\na\r\n")
    exchange.connection.data_received(OK + b"Content-Length: 2\r\n\r\n")
    response = await waiter
    exchange.connection.write(b"ignored")
    exchange.connection.end_upload(b"ignored")
    exchange.connection.data_received(b"no")
    assert await response.read(2) == b"no"
    assert b"ignored" not in exchange.transport.written
    exchange.assert_closed()


async def test_an_answer_before_a_whole_body_was_taken_costs_the_connection(exchange: Exchange) -> None:
    waiter = exchange.begin(bytes(100_000))
    exchange.connection.pause_writing()
    exchange.transport.unsent = 1
    exchange.connection.data_received(HELLO)
    assert await (await waiter).read(5) == b"hello"
    exchange.assert_closed()


async def test_cancelling_concerns_only_the_exchange_it_belongs_to(exchange: Exchange) -> None:
    first = exchange.begin()
    exchange.connection.data_received(HELLO)
    exchange.connection.cancel(first)
    second = exchange.begin()
    exchange.connection.cancel(first)
    assert exchange.owner.closed == []
    second.cancel()
    exchange.connection.data_received(HELLO[:-1])
    exchange.connection.cancel(second)
    exchange.assert_closed()


async def test_failing_reaches_whoever_waits_and_closes(exchange: Exchange) -> None:
    waiter = exchange.begin()
    exchange.connection.fail(Overloaded())
    with pytest.raises(Overloaded):
        await waiter
    exchange.assert_closed()
    exchange.connection.fail(Overloaded())


async def test_giving_up_in_the_middle_of_a_piece_stops_there(exchange: Exchange) -> None:
    waiter = exchange.begin()
    exchange.connection.data_received(OK + b"Transfer-Encoding: chunked\r\n\r\n")
    response = await waiter
    got: list[bytes] = []

    def sink(data: bytes) -> None:
        got.append(data)
        response.abort()

    done = response.relay(sink)
    exchange.connection.data_received(b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n")
    with pytest.raises(UpstreamBroken):
        await done
    assert got == [b"a"]
    exchange.assert_closed()
    assert exchange.owner.free == []


async def test_a_connection_that_was_never_made_ends_quietly(owner: Any) -> None:
    sweeper = Sweeper(asyncio.get_running_loop())
    connection = Connection(owner, sweeper, Straight(), keepalive=60, max_head_bytes=1000)
    assert not connection.is_usable
    connection.connection_lost(None)
    assert owner.closed == []

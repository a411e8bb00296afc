from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from pointsman.errors import Overloaded, UpstreamBroken, UpstreamTimeout, UpstreamUnreachable
from pointsman.routing.failures import may_have_acted
from pointsman.upstream.deadlines import Sweeper
from pointsman.upstream.guard import Guard
from pointsman.upstream.pool import Host, Pool
from pointsman.upstream.response import Response
from pointsman.upstream.routes import parse_origin
from pointsman.upstream.settings import Proxies, Timeouts, UpstreamSettings

MakePool = Callable[..., Pool]
Serve = Callable[..., Awaitable[int]]
TIMEOUTS = Timeouts(connect=5, first_byte=5, idle=5, total=20)
SHORT = Timeouts(connect=5, first_byte=0.05, idle=0.05, total=20)
EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def head_for(host: Host, method: bytes = b"POST") -> bytes:
    return b"%b /v1/x HTTP/1.1\r\nhost: %b\r\n" % (method, host.host_header)


async def ask(host: Host, body: bytes = b"hi", timeouts: Timeouts = TIMEOUTS) -> Response:
    return await host.send(head_for(host), body, timeouts=timeouts)


class Gate:
    """A server's handler that answers when it is told to."""

    def __init__(self) -> None:
        self.arrived = 0
        self._changed = asyncio.Condition()
        self._open = asyncio.Semaphore(0)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            if b"content-length: 2" in head:
                await reader.readexactly(2)
            async with self._changed:
                self.arrived += 1
                self._changed.notify_all()
            await self._open.acquire()
            writer.write(EMPTY)

    async def until(self, arrived: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self.arrived >= arrived)

    def release(self, count: int = 1) -> None:
        for _ in range(count):
            self._open.release()


async def settle(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not is_so():
            await asyncio.sleep(0)


@pytest.fixture
async def gate() -> Gate:
    return Gate()


async def test_a_request_arrives_whole_and_its_answer_comes_back(make_pool: MakePool, serve: Serve, echo: Any) -> None:
    host = make_pool().host(f"http://127.0.0.1:{await serve(echo)}/v1")
    body = b"x" * 300_000
    response = await ask(host, body)
    assert await response.read(400_000) == head_for(host) + b"content-length: 300000\r\n\r\n" + body


async def test_connections_are_used_again_the_last_one_first(make_pool: MakePool, serve: Serve, gate: Gate) -> None:
    host = make_pool().host(f"http://127.0.0.1:{await serve(gate.handle)}")
    both = [asyncio.ensure_future(ask(host)) for _ in range(2)]
    await gate.until(2)
    gate.release(2)
    await asyncio.gather(*both)
    assert (host.connects_total, host.reuses_total, host.idle_connections) == (2, 0, 2)
    gate.release()
    await ask(host)
    assert (host.connects_total, host.reuses_total, host.idle_connections) == (2, 1, 2)


async def test_equal_addresses_share_a_host_whatever_their_path(make_pool: MakePool) -> None:
    pool = make_pool()
    assert pool.host("http://a.test/v1") is pool.host("HTTP://A.test:80/other")
    assert pool.host("http://a.test") is not pool.host("http://a.test:8080")
    assert pool.host("http://a.test") is not pool.host("https://a.test")
    assert len(tuple(pool.hosts())) == 3


async def test_at_the_cap_requests_wait_in_line(make_pool: MakePool, serve: Serve, gate: Gate) -> None:
    host = make_pool(max_connections_per_host=1).host(f"http://127.0.0.1:{await serve(gate.handle)}")
    order: list[int] = []

    async def one(number: int) -> None:
        await ask(host)
        order.append(number)

    tasks = [asyncio.ensure_future(one(number)) for number in range(3)]
    await gate.until(1)
    assert (host.open_connections, host.waiting) == (1, 2)
    gate.release(3)
    await asyncio.gather(*tasks)
    assert order == [0, 1, 2]
    assert (host.connects_total, host.waiting) == (1, 0)


async def test_a_full_line_refuses_at_once(make_pool: MakePool, serve: Serve, gate: Gate) -> None:
    pool = make_pool(max_connections_per_host=1, max_waiting_per_host=1)
    host = pool.host(f"http://127.0.0.1:{await serve(gate.handle)}")
    tasks = [asyncio.ensure_future(ask(host)) for _ in range(2)]
    await gate.until(1)
    with pytest.raises(Overloaded):
        await ask(host)
    gate.release(2)
    await asyncio.gather(*tasks)


async def test_waiting_in_line_ends_with_the_time_to_the_first_byte(
    make_pool: MakePool, serve: Serve, gate: Gate
) -> None:
    host = make_pool(max_connections_per_host=1).host(f"http://127.0.0.1:{await serve(gate.handle)}")
    first = asyncio.ensure_future(ask(host))
    await gate.until(1)
    with pytest.raises(UpstreamTimeout) as raised:
        await ask(host, timeouts=SHORT)
    # Nothing was asked, and so there is nothing to pay for.
    assert not may_have_acted(raised.value)
    assert host.waiting == 0
    gate.release()
    await first


async def test_a_cancelled_waiter_leaves_the_line(make_pool: MakePool, serve: Serve, gate: Gate) -> None:
    host = make_pool(max_connections_per_host=1).host(f"http://127.0.0.1:{await serve(gate.handle)}")
    first = asyncio.ensure_future(ask(host))
    await gate.until(1)
    second = asyncio.ensure_future(ask(host))
    await settle(lambda: host.waiting == 1)
    second.cancel()
    await asyncio.wait([second])
    assert host.waiting == 0
    gate.release()
    await first
    assert host.idle_connections == 1


async def test_a_connection_handed_to_a_cancelled_waiter_is_not_lost(
    make_pool: MakePool, serve: Serve, gate: Gate
) -> None:
    host = make_pool(max_connections_per_host=1).host(f"http://127.0.0.1:{await serve(gate.handle)}")
    first = asyncio.ensure_future(ask(host))
    await gate.until(1)
    second = asyncio.ensure_future(ask(host))
    await settle(lambda: host.waiting == 1)
    third = asyncio.ensure_future(ask(host))
    await settle(lambda: host.waiting == 2)
    free = host.on_free

    def free_and_cancel(connection: Any) -> None:
        host.on_free = free  # type: ignore[method-assign]
        free(connection)
        second.cancel()

    host.on_free = free_and_cancel  # type: ignore[method-assign]
    gate.release(2)
    await asyncio.gather(first, third)
    assert second.cancelled()
    assert (host.open_connections, host.idle_connections, host.connects_total) == (1, 1, 1)


async def test_when_a_connection_dies_the_next_in_line_dials(make_pool: MakePool, serve: Serve, gate: Gate) -> None:
    host = make_pool(max_connections_per_host=1).host(f"http://127.0.0.1:{await serve(gate.handle)}")
    first = asyncio.ensure_future(ask(host))
    await gate.until(1)
    second = asyncio.ensure_future(ask(host))
    await settle(lambda: host.waiting == 1)
    first.cancel()
    await gate.until(2)
    gate.release(2)
    await second
    assert (host.open_connections, host.connects_total) == (1, 2)


async def test_when_dialling_fails_the_next_in_line_dials(make_pool: MakePool, serve: Serve) -> None:
    host = make_pool(max_connections_per_host=1).host("http://127.0.0.1:1")
    failures = await asyncio.gather(*(ask(host) for _ in range(3)), return_exceptions=True)
    assert [type(failure) for failure in failures] == [UpstreamUnreachable] * 3
    assert host.open_connections == 0


@pytest.mark.parametrize("steps", range(16))
async def test_cancelling_at_any_point_leaves_no_place_taken(
    make_pool: MakePool, serve: Serve, sweeper: Sweeper, echo: Any, steps: int
) -> None:
    host = make_pool().host(f"http://localhost:{await serve(echo)}")
    task = asyncio.ensure_future(ask(host))
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    await settle(lambda: host.open_connections == host.idle_connections)
    assert len(sweeper._members) == host.open_connections


async def test_cancelling_during_the_body_closes_the_connection(make_pool: MakePool, serve: Serve) -> None:
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe")
        await reader.read()

    host = make_pool().host(f"http://127.0.0.1:{await serve(half)}")
    response = await ask(host)
    reading = asyncio.ensure_future(response.read(10))
    await asyncio.sleep(0)
    reading.cancel()
    await asyncio.wait([reading])
    assert host.open_connections == 0


async def test_a_stale_connection_is_replaced_by_a_fresh_one(make_pool: MakePool, serve: Serve) -> None:
    served = 0

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal served
        await reader.readuntil(b"\r\n\r\nhi")
        served += 1
        writer.write(EMPTY)
        # The next request on this connection is read and not answered.
        await reader.readuntil(b"\r\n\r\nhi")

    host = make_pool().host(f"http://127.0.0.1:{await serve(once)}")
    for _ in range(3):
        response = await ask(host)
        assert response.is_complete
    assert (served, host.stale_retries_total, host.connects_total) == (3, 2, 3)
    assert host.open_connections == 1


async def test_a_stale_connection_is_replaced_at_the_cap_too(make_pool: MakePool, serve: Serve) -> None:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\nhi")
        writer.write(EMPTY)
        await reader.readuntil(b"\r\n\r\nhi")

    host = make_pool(max_connections_per_host=1).host(f"http://127.0.0.1:{await serve(once)}")
    await ask(host)
    answers = await asyncio.gather(*(ask(host) for _ in range(4)))
    assert [answer.status for answer in answers] == [200] * 4
    assert (host.open_connections, host.waiting) == (1, 0)


async def test_a_request_on_a_fresh_connection_is_not_repeated(make_pool: MakePool, serve: Serve) -> None:
    seen = 0

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        await reader.readuntil(b"\r\n\r\n")
        seen += 1

    host = make_pool().host(f"http://127.0.0.1:{await serve(hang_up)}")
    with pytest.raises(UpstreamBroken):
        await ask(host)
    assert (seen, host.stale_retries_total, host.open_connections) == (1, 0, 0)


@pytest.mark.requirement("mcp.once")
async def test_a_request_that_must_not_be_acted_on_twice_is_not_repeated(make_pool: MakePool, serve: Serve) -> None:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\nhi")
        writer.write(EMPTY)
        await reader.readuntil(b"\r\n\r\nhi")

    host = make_pool().host(f"http://127.0.0.1:{await serve(once)}")
    await ask(host)
    with pytest.raises(UpstreamBroken) as caught:
        await host.send(head_for(host), b"hi", timeouts=TIMEOUTS, is_repeatable=False)
    assert may_have_acted(caught.value)
    assert (host.stale_retries_total, host.open_connections) == (0, 0)


async def test_a_request_in_pieces_is_not_repeated_on_a_stale_connection(make_pool: MakePool, serve: Serve) -> None:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\nhi")
        writer.write(EMPTY)
        await reader.readuntil(b"\r\n\r\n")

    async def pieces() -> AsyncIterator[bytes]:
        yield b"hi"

    host = make_pool().host(f"http://127.0.0.1:{await serve(once)}")
    await ask(host)
    with pytest.raises(UpstreamBroken):
        await host.send(head_for(host), pieces(), length=2, timeouts=TIMEOUTS)
    assert host.stale_retries_total == 0


async def test_an_idle_connection_expires_and_the_next_request_dials(
    make_pool: MakePool, serve: Serve, echo: Any
) -> None:
    host = make_pool(keepalive=0.02).host(f"http://127.0.0.1:{await serve(echo)}")
    await (await ask(host)).read(1000)
    await settle(lambda: host.open_connections == 0)
    await (await ask(host)).read(1000)
    assert host.connects_total == 2


async def test_a_deadline_in_the_past_never_dials(make_pool: MakePool, serve: Serve, gate: Gate) -> None:
    host = make_pool().host(f"http://127.0.0.1:{await serve(gate.handle)}")
    with pytest.raises(UpstreamTimeout) as raised:
        await host.send(head_for(host), b"", timeouts=TIMEOUTS, deadline=asyncio.get_running_loop().time() - 1)
    assert not may_have_acted(raised.value)
    assert (gate.arrived, host.open_connections) == (0, 0)


async def test_the_deadline_of_a_request_holds_for_its_answer(make_pool: MakePool, serve: Serve, gate: Gate) -> None:
    host = make_pool().host(f"http://127.0.0.1:{await serve(gate.handle)}")
    with pytest.raises(UpstreamTimeout):
        await host.send(head_for(host), b"", timeouts=TIMEOUTS, deadline=asyncio.get_running_loop().time() + 0.05)
    assert host.open_connections == 0


async def test_closing_fails_what_is_in_progress_and_in_line_and_refuses_more(
    make_pool: MakePool, serve: Serve, gate: Gate
) -> None:
    pool = make_pool(max_connections_per_host=1)
    host = pool.host(f"http://127.0.0.1:{await serve(gate.handle)}")
    tasks = [asyncio.ensure_future(ask(host)) for _ in range(2)]
    await gate.until(1)
    await pool.close()
    failures = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(failure) for failure in failures] == [Overloaded, Overloaded]
    with pytest.raises(Overloaded):
        await ask(host)
    assert (host.open_connections, host.waiting) == (0, 0)


async def test_a_dial_that_ends_after_closing_is_closed(make_pool: MakePool, serve: Serve, gate: Gate) -> None:
    pool = make_pool()
    host = pool.host(f"http://127.0.0.1:{await serve(gate.handle)}")
    task = asyncio.ensure_future(ask(host))
    await asyncio.sleep(0)
    await pool.close()
    with pytest.raises(Overloaded):
        await task
    assert host.open_connections == 0


async def test_head_gets_the_head_alone(make_pool: MakePool, serve: Serve) -> None:
    async def long(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n")

    host = make_pool().host(f"http://127.0.0.1:{await serve(long)}")
    for _ in range(2):
        response = await host.send(head_for(host, b"HEAD"), b"", timeouts=TIMEOUTS)
        assert response.header(b"content-length") == b"7"
        assert await response.read(0) == b""
    assert host.connects_total == 1


async def test_a_plain_request_by_a_proxy_names_its_whole_target(make_pool: MakePool, serve: Serve, echo: Any) -> None:
    proxy = f"http://user:pa%40ss@127.0.0.1:{await serve(echo)}"
    host = make_pool(proxies=Proxies(http=proxy)).host("http://far.test:8080/v1")
    seen = await (await ask(host)).read(1000)
    assert seen == (
        b"POST http://far.test:8080/v1/x HTTP/1.1\r\nhost: far.test:8080\r\n"
        b"proxy-authorization: Basic dXNlcjpwYUBzcw==\r\ncontent-length: 2\r\n\r\nhi"
    )


async def test_an_address_that_cannot_be_called_is_refused_when_it_is_configured(make_pool: MakePool) -> None:
    for address in ("ftp://a", "a.test", "http://", "http://user:secret@a.test"):
        with pytest.raises(ValueError, match="address"):
            make_pool().host(address)


async def test_many_requests_share_few_connections(make_pool: MakePool, serve: Serve, echo: Any) -> None:
    host = make_pool(max_connections_per_host=4).host(f"http://127.0.0.1:{await serve(echo)}")

    async def one(number: int) -> None:
        body = b"%d" % number * 100
        assert (await (await ask(host, body)).read(10_000)).endswith(b"\r\n\r\n" + body)

    await asyncio.gather(*(one(number) for number in range(200)))
    assert host.connects_total <= 4
    assert host.idle_connections == host.open_connections


async def test_random_cancelling_under_load_loses_nothing(make_pool: MakePool, serve: Serve, echo: Any) -> None:
    host = make_pool(max_connections_per_host=3).host(f"http://127.0.0.1:{await serve(echo)}")

    async def one(number: int) -> None:
        await (await ask(host, b"%d" % number)).read(10_000)

    tasks: list[asyncio.Task[None]] = []
    for number in range(150):
        tasks.append(asyncio.ensure_future(one(number)))
        for _ in range(number % 7):
            await asyncio.sleep(0)
        if number % 3 == 0:
            tasks[(number * 7) % len(tasks)].cancel()
    async with asyncio.timeout(20):
        await asyncio.wait(tasks)
    assert all(task.cancelled() or task.exception() is None for task in tasks)
    assert host.open_connections <= 3
    await settle(lambda: host.open_connections == host.idle_connections)
    assert host.waiting == 0
    await one(1)


async def test_a_host_that_is_given_up_keeps_no_connection_and_finishes_what_it_has(
    make_pool: MakePool, serve: Serve, gate: Gate
) -> None:
    pool = make_pool()
    address = f"http://127.0.0.1:{await serve(gate.handle)}"
    host = pool.host(address)
    both = [asyncio.ensure_future(ask(host)) for _ in range(2)]
    await gate.until(2)
    gate.release()
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    assert (host.open_connections, host.idle_connections) == (2, 1)
    pool.give_up([parse_origin(address)])
    assert (host.open_connections, host.idle_connections) == (1, 0)
    assert list(pool.hosts()) == [host]
    gate.release()
    await asyncio.gather(*both)
    await settle(lambda: host.open_connections == 0)
    assert pool.host(address) is not host
    # Whoever has it still may go on with it.
    gate.release()
    assert (await ask(host)).status == 200
    await settle(lambda: host.open_connections == 0)
    pool.give_up([parse_origin("http://nobody")])


async def test_a_pool_that_is_retired_gives_all_hosts_up(make_pool: MakePool, serve: Serve, echo: Any) -> None:
    async def use(host: Host) -> None:
        await (await ask(host)).read(1000)
        await settle(lambda: host.idle_connections == 1)
        pool.retire()
        assert host.open_connections == 0

    pool = make_pool()
    await use(pool.host(f"http://127.0.0.1:{await serve(echo)}"))
    # Sockets have to be closed, and cycles to be found, before nobody refers to it.
    await settle(lambda: gc.collect() >= 0 and not list(pool.hosts()))


@pytest.mark.requirement("mcp.ssrf")
async def test_a_guarded_pool_connects_to_no_private_address(sweeper: Sweeper, serve: Serve, echo: Any) -> None:
    pool = Pool(UpstreamSettings(), sweeper, guard=Guard())
    with pytest.raises(UpstreamUnreachable) as caught:
        await ask(pool.host(f"http://127.0.0.1:{await serve(echo)}"))
    assert "no public address" in str(caught.value.operator_detail)
    await pool.close()


async def test_a_guarded_pool_lets_no_proxy_resolve_names(sweeper: Sweeper, serve: Serve, echo: Any) -> None:
    proxies = Proxies(http=f"http://127.0.0.1:{await serve(echo)}")
    pool = Pool(UpstreamSettings(proxies=proxies), sweeper, guard=Guard(("127.0.0.0/8",)))
    with pytest.raises(UpstreamUnreachable) as caught:
        await ask(pool.host("http://10.0.0.1"))
    assert "no public address" in str(caught.value.operator_detail)
    await pool.close()


async def test_a_guarded_pool_connects_to_what_the_operator_allows(sweeper: Sweeper, serve: Serve, echo: Any) -> None:
    pool = Pool(UpstreamSettings(), sweeper, guard=Guard(("127.0.0.0/8",)))
    response = await ask(pool.host(f"http://127.0.0.1:{await serve(echo)}"))
    assert response.status == 200
    await response.read(1000)
    await pool.close()

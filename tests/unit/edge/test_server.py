from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from typing import Any

import pytest

from pointsman.edge.exchange import Exchange

Make = Callable[..., Any]
CHAT = b'POST /v1/chat/completions?a=1 HTTP/1.1\r\nHost: gateway:4000\r\nContent-Length: 11\r\n\r\n{"model":1}'


def post(length: int, extra: bytes = b"") -> bytes:
    return b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n%b\r\n" % (length, extra)


async def test_a_request_is_answered_and_the_connection_is_kept(make_edge: Make) -> None:
    edge = make_edge()
    peer = await edge.connect()
    for _ in range(3):
        peer.send(CHAT)

        status, headers, body = await peer.read()

        assert status == 200
        assert headers["x-request-id"].startswith("req-")
        assert headers["date"].endswith("gmt")
        assert json.loads(body) == {"method": "POST", "path": "/v1/chat/completions", "length": 11}
    assert edge.gateway.seen[0].query == "a=1"
    assert edge.gateway.bodies == [b'{"model":1}'] * 3


async def test_a_request_may_arrive_byte_by_byte(make_edge: Make) -> None:
    edge = make_edge()
    peer = await edge.connect()
    for i in range(len(CHAT)):
        peer.send(CHAT[i : i + 1])
        await peer.writer.drain()
        await asyncio.sleep(0)

    status, _, _ = await peer.read()

    assert status == 200
    assert edge.gateway.bodies == [b'{"model":1}']


async def test_pipelined_requests_are_answered_in_order(make_edge: Make) -> None:
    edge = make_edge()
    peer = await edge.connect()
    peer.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % i for i in range(20)))

    paths = [json.loads((await peer.read())[2])["path"] for _ in range(20)]

    assert paths == [f"/{i}" for i in range(20)]


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1"),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", ""),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length : 3\r\n\r\n", "HTTP/1.1"),
        (b"GET / HTTP/1.1\nHost: h\n\n", "HTTP/1.1"),
        (b"GET / HTTP/1.1\r\nHost: a/x?\r\n\r\n", "Host"),
        (b"GET / HTTP/1.1\r\nAccept: */*\r\n\r\n", "Host"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "host"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: x\r\nAuthorization: y\r\n\r\n", "authorization"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "HTTP/1.1"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1"),
    ],
)
async def test_a_head_that_is_not_clean_is_refused_and_the_connection_closed(
    make_edge: Make, head: bytes, words: str
) -> None:
    edge = make_edge()
    peer = await edge.connect()
    peer.send(head)

    status, headers, body = await peer.read()

    assert status == 400
    assert headers["connection"] == "close"
    assert words in json.loads(body)["error"]["message"]
    assert await peer.is_closed()
    assert edge.gateway.seen == []


@pytest.mark.parametrize("start", [b"", b"POST /v1/ch", b"POST / HTTP/1.1\r\nHost: h\r\nX-A: 1\r\n"])
async def test_a_connection_that_never_finishes_a_head_is_closed(make_edge: Make, start: bytes) -> None:
    edge = make_edge(head_timeout=0.05)
    peer = await edge.connect()
    peer.send(start)

    assert await peer.is_closed()
    assert edge.gateway.seen == []


async def test_a_second_head_has_its_own_deadline(make_edge: Make) -> None:
    edge = make_edge(head_timeout=0.05)
    peer = await edge.connect()
    peer.send(CHAT)
    await peer.read()
    peer.send(b"POST /v1")

    assert await peer.is_closed()


async def test_an_idle_connection_is_closed_when_its_time_is_over(make_edge: Make) -> None:
    edge = make_edge(keepalive=0.05)
    peer = await edge.connect()
    peer.send(CHAT)
    await peer.read()

    assert await peer.is_closed()


async def test_a_head_without_end_is_refused_at_its_limit(make_edge: Make) -> None:
    edge = make_edge()
    peer = await edge.connect()
    peer.send(b"GET / HTTP/1.1\r\nHost: h\r\nX-Filler: ")
    for _ in range(80):
        peer.send(b"a" * 1000)

    assert (await peer.read())[0] == 431
    assert await peer.is_closed()


async def test_a_whole_head_over_the_limit_is_refused_too(make_edge: Make) -> None:
    edge = make_edge(max_head_bytes=2000)
    peer = await edge.connect()
    peer.send(b"GET / HTTP/1.1\r\nHost: h\r\nX-Filler: " + b"a" * 3000 + b"\r\n\r\n")

    assert (await peer.read())[0] == 431


async def test_too_many_headers_are_refused(make_edge: Make) -> None:
    edge = make_edge()
    peer = await edge.connect()
    peer.send(b"GET / HTTP/1.1\r\nHost: h\r\n" + b"".join(b"x-%d: 1\r\n" % i for i in range(200)) + b"\r\n")

    assert (await peer.read())[0] == 431


async def test_an_early_reply_reaches_a_client_that_still_sends(make_edge: Make) -> None:
    async def refuse(exchange: Exchange) -> None:
        exchange.reply(401, b"", b"no")

    edge = make_edge()
    edge.gateway.answer = refuse
    peer = await edge.connect()
    peer.send(post(5_000_000) + b"a" * 1_000_000)

    status, headers, body = await peer.read()

    assert (status, body, headers["connection"]) == (401, b"no", "close")
    assert await peer.is_closed()


async def test_a_client_that_goes_on_sending_after_an_early_reply_is_cut(make_edge: Make) -> None:
    async def refuse(exchange: Exchange) -> None:
        exchange.reply(401, b"", b"no")

    edge = make_edge(linger=0.05)
    edge.gateway.answer = refuse
    peer = await edge.connect()
    peer.send(post(5_000_000))
    await peer.read()
    assert await peer.is_closed()

    async with asyncio.timeout(5):
        while edge.state.connections:
            peer.send(b"a")
            await asyncio.sleep(0.01)


async def test_a_body_that_stops_arriving_is_a_408(make_edge: Make) -> None:
    edge = make_edge(body_idle=0.05)
    peer = await edge.connect()
    peer.send(post(10) + b"abc")

    status, _, body = await peer.read()

    assert status == 408
    assert json.loads(body)["error"]["code"] == "request_timeout"


async def test_a_body_larger_than_the_limit_is_a_413_before_it_is_read(make_edge: Make) -> None:
    edge = make_edge()
    peer = await edge.connect()
    peer.send(post(1 << 21, b"Expect: 100-continue\r\n"))

    status, _, body = await peer.read()

    assert status == 413
    assert json.loads(body)["error"]["code"] == "request_too_large"


async def test_a_chunked_body_larger_than_the_limit_is_a_413(make_edge: Make) -> None:
    edge = make_edge()
    peer = await edge.connect()
    peer.send(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(20):
        peer.send(b"10000\r\n" + b"a" * 65536 + b"\r\n")

    assert (await peer.read())[0] == 413


async def test_a_broken_chunk_inside_a_body_is_a_400(make_edge: Make) -> None:
    edge = make_edge()
    peer = await edge.connect()
    peer.send(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    peer.send(b"zz\r\n")

    assert (await peer.read())[0] == 400
    assert await peer.is_closed()


async def test_a_client_that_asks_first_is_told_to_go_on(make_edge: Make) -> None:
    edge = make_edge()
    peer = await edge.connect()
    peer.send(post(3, b"Expect: 100-continue\r\n"))

    assert await peer.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"

    peer.send(b"abc")
    assert (await peer.read())[0] == 200


async def test_a_large_body_arrives_whole(make_edge: Make) -> None:
    edge = make_edge()
    peer = await edge.connect()
    body = bytes(range(256)) * 4000
    peer.send(post(len(body)) + body)

    assert (await peer.read())[0] == 200
    assert edge.gateway.bodies == [body]


async def test_a_client_that_does_not_wait_for_its_answer_cancels_the_work(make_edge: Make) -> None:
    async def work(exchange: Exchange) -> None:
        await asyncio.Event().wait()

    edge = make_edge()
    edge.gateway.answer = work
    peer = await edge.connect()
    peer.send(CHAT)
    async with asyncio.timeout(5):
        while not edge.gateway.seen:
            await asyncio.sleep(0)
        await peer.close()
        await edge.gateway.cancelled.wait()
    assert edge.state.connections == set()


async def test_a_producer_is_paused_while_the_client_does_not_read(make_edge: Make) -> None:
    paused, resumed = asyncio.Event(), asyncio.Event()

    class Producer:
        def pause(self) -> None:
            paused.set()

        def resume(self) -> None:
            resumed.set()

    async def flood(exchange: Exchange) -> None:
        exchange.start(200, b"")
        exchange.flow_to(Producer())
        while not paused.is_set():
            exchange.write(b"x" * 65536)
            await asyncio.sleep(0)
        await resumed.wait()
        exchange.finish()

    edge = make_edge()
    edge.gateway.answer = flood
    peer = await edge.connect()
    peer.send(CHAT)
    await paused.wait()
    assert not resumed.is_set()

    status, _, body = await peer.read()

    assert status == 200
    assert len(body) % 65536 == 0
    assert resumed.is_set()


async def test_a_client_that_never_reads_is_cut(make_edge: Make) -> None:
    class Producer:
        def pause(self) -> None:
            paused.set()

        def resume(self) -> None:
            pass

    async def flood(exchange: Exchange) -> None:
        exchange.start(200, b"")
        exchange.flow_to(Producer())
        while not paused.is_set():
            exchange.write(b"x" * 65536)
            await asyncio.sleep(0)
        await asyncio.Event().wait()

    paused = asyncio.Event()
    edge = make_edge(stall=0.05)
    edge.gateway.answer = flood
    peer = await edge.connect()
    peer.send(CHAT)

    async with asyncio.timeout(5):
        await edge.gateway.cancelled.wait()


async def test_http_1_0_gets_a_body_that_ends_with_the_connection(make_edge: Make) -> None:
    async def stream(exchange: Exchange) -> None:
        exchange.start(200, b"")
        exchange.write(b"one")
        exchange.write(b"two")
        exchange.finish()

    edge = make_edge()
    edge.gateway.answer = stream
    peer = await edge.connect()
    peer.send(b"GET / HTTP/1.0\r\n\r\n")

    async with asyncio.timeout(5):
        raw = await peer.reader.read()

    head, _, body = raw.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head
    assert body == b"onetwo"


async def test_a_head_request_gets_no_body(make_edge: Make) -> None:
    edge = make_edge()
    peer = await edge.connect()
    peer.send(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n")

    head = await peer.reader.readuntil(b"\r\n\r\n")
    assert b"content-length: " in head
    assert json.loads((await peer.read())[2])["path"] == "/2"


UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ\r\n"


@pytest.mark.parametrize("size", [0, 3, 200_000])
@pytest.mark.parametrize("is_chunked", [False, True])
async def test_an_offer_of_another_protocol_is_answered_as_http_1_1_with_its_body(
    make_edge: Make, size: int, is_chunked: bool
) -> None:
    edge = make_edge()
    peer = await edge.connect()
    body = b"a" * size
    framed = b"%x\r\n%b\r\n0\r\n\r\n" % (size, body) if size else b"0\r\n\r\n"
    chunked = b"POST /x HTTP/1.1\r\nHost: h\r\n%bTransfer-Encoding: chunked\r\n\r\n%b" % (UPGRADE, framed)
    peer.send(chunked if is_chunked else post(size, UPGRADE) + body)
    peer.send(b"GET /next HTTP/1.1\r\nHost: h\r\n\r\n")

    assert (await peer.read())[0] == 200
    assert edge.gateway.bodies[0] == body
    assert json.loads((await peer.read())[2])["path"] == "/next"


async def test_trailers_are_ignored_and_bounded(make_edge: Make) -> None:
    edge = make_edge()
    peer = await edge.connect()
    head = b"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n"
    peer.send(head + b"Authorization: Bearer stolen\r\nHost: elsewhere\r\n\r\n")

    assert (await peer.read())[0] == 200
    assert b"authorization" not in edge.gateway.seen[0].headers

    peer.send(head)
    for _ in range(200):
        peer.send(b"a: %b\r\n" % (b"x" * 1000))
    assert (await peer.read())[0] == 431


async def test_the_extension_of_a_chunk_is_bounded(make_edge: Make) -> None:
    edge = make_edge()
    peer = await edge.connect()
    peer.send(b"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;")
    for _ in range(200):
        peer.send(b"x" * 1000)

    assert (await peer.read())[0] == 431


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_a_coding_that_is_not_understood_is_refused(make_edge: Make, version: bytes) -> None:
    coding = b"chunked" if version == b"1.0" else b"gzip, chunked"
    edge = make_edge()
    peer = await edge.connect()
    peer.send(b"POST / HTTP/%b\r\nHost: h\r\nTransfer-Encoding: %b\r\n\r\n0\r\n\r\n" % (version, coding))

    assert (await peer.read())[0] == 400


async def test_half_a_head_behind_a_request_does_not_hurt_its_reply(make_edge: Make) -> None:
    release = asyncio.Event()

    async def wait(exchange: Exchange) -> None:
        await release.wait()
        exchange.reply(200, b"", exchange.path.encode())

    edge = make_edge(head_timeout=0.05)
    edge.gateway.answer = wait
    peer = await edge.connect()
    peer.send(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\nGET /nex")
    asyncio.get_running_loop().call_later(0.3, release.set)

    assert (await peer.read())[2] == b"/slow"
    peer.send(b"t HTTP/1.1\r\nHost: h\r\n\r\n")
    assert (await peer.read())[2] == b"/next"


async def test_a_stray_byte_behind_a_request_does_not_hide_that_the_client_left(make_edge: Make) -> None:
    async def work(exchange: Exchange) -> None:
        await asyncio.Event().wait()

    edge = make_edge()
    edge.gateway.answer = work
    peer = await edge.connect()
    peer.send(CHAT)
    async with asyncio.timeout(5):
        while not edge.gateway.seen:
            await asyncio.sleep(0)
        peer.send(b"\r\n")
        await peer.writer.drain()
        await peer.close()
        await edge.gateway.cancelled.wait()


async def test_a_client_that_reads_slowly_is_not_taken_for_one_that_does_not(make_edge: Make) -> None:
    async def answer(exchange: Exchange) -> None:
        exchange.reply(200, b"", b"x" * 20_000_000)

    edge = make_edge(stall=0.2)
    edge.gateway.answer = answer
    peer = await edge.connect()
    peer.send(CHAT)
    taken = 0
    async with asyncio.timeout(20):
        while taken < 20_000_000:
            taken += len(await peer.reader.read(1_000_000))
            # A pace is what this is about.
            await asyncio.sleep(0.02)
    assert taken >= 20_000_000


async def test_an_absolute_target_is_understood(make_edge: Make) -> None:
    edge = make_edge()
    peer = await edge.connect()
    peer.send(b"GET http://h/v1/models?x=%41 HTTP/1.1\r\nHost: h\r\n\r\n")

    assert json.loads((await peer.read())[2])["path"] == "/v1/models"
    assert edge.gateway.seen[0].query == "x=%41"


async def connected(edge: Any) -> Any:
    """The one connection of an edge."""
    async with asyncio.timeout(5):
        while not edge.state.connections:
            await asyncio.sleep(0)
    (connection,) = edge.state.connections
    return connection


async def seen(edge: Any, count: int) -> None:
    async with asyncio.timeout(5):
        while len(edge.gateway.seen) < count:
            await asyncio.sleep(0)


async def test_while_the_server_drains_the_reply_at_hand_is_the_last(make_edge: Make) -> None:
    release = asyncio.Event()

    async def wait(exchange: Exchange) -> None:
        await release.wait()
        exchange.reply(200, b"", b"done")

    edge = make_edge()
    edge.gateway.answer = wait
    peer = await edge.connect()
    peer.send(CHAT)
    await seen(edge, 1)
    edge.gateway.is_draining = True
    (await connected(edge)).drain(0.0)
    release.set()

    status, headers, body = await peer.read()

    assert (status, headers["connection"], body) == (200, "close", b"done")
    assert await peer.is_closed()


async def test_a_server_that_ends_leaves_room_for_the_end_of_a_reply_and_for_nothing_else(make_edge: Make) -> None:
    release = asyncio.Event()

    async def stream(exchange: Exchange) -> None:
        exchange.start(200, b"")
        await release.wait()
        exchange.finish()

    edge = make_edge()
    edge.gateway.answer = stream
    busy, idle = await edge.connect(), await edge.connect()
    busy.send(CHAT)
    await seen(edge, 1)
    async with asyncio.timeout(5):
        while len(edge.state.connections) < 2:
            await asyncio.sleep(0)
    for connection in list(edge.state.connections):
        connection.shutdown()
    assert await idle.is_closed()
    release.set()

    assert (await busy.read())[0] == 200
    assert await busy.is_closed()


async def test_while_the_server_drains_pipelined_requests_are_all_answered(make_edge: Make) -> None:
    edge = make_edge()
    edge.gateway.is_draining = True
    peer = await edge.connect()
    peer.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % i for i in range(3)))

    replies = [await peer.read() for _ in range(3)]

    assert [json.loads(body)["path"] for _, _, body in replies] == ["/0", "/1", "/2"]
    assert [headers.get("connection") for _, headers, _ in replies] == [None, None, "close"]
    assert await peer.is_closed()


async def test_while_the_server_drains_a_stream_that_promised_nothing_leaves_room_for_one_more_request(
    make_edge: Make,
) -> None:
    release = asyncio.Event()

    async def stream(exchange: Exchange) -> None:
        exchange.start(200, b"")
        await release.wait()
        exchange.finish()

    edge = make_edge()
    edge.gateway.answer = stream
    peer = await edge.connect()
    peer.send(CHAT)
    await seen(edge, 1)
    edge.gateway.is_draining = True
    (await connected(edge)).drain(0.0)
    release.set()
    assert "connection" not in (await peer.read())[1]

    # The client has not been told: its next request is on its way already.
    peer.send(CHAT)
    assert (await peer.read())[1]["connection"] == "close"
    assert await peer.is_closed()


async def test_while_the_server_drains_a_connection_that_rests_is_closed(make_edge: Make) -> None:
    edge = make_edge()
    peer, fresh = await edge.connect(), await edge.connect()
    peer.send(CHAT)
    await peer.read()
    async with asyncio.timeout(5):
        while len(edge.state.connections) < 2:
            await asyncio.sleep(0)
    for connection in edge.state.connections:
        connection.drain(0.0)

    assert await peer.is_closed()
    assert await fresh.is_closed()


async def test_a_connection_is_not_closed_while_a_request_waits_to_be_read(make_edge: Make) -> None:
    edge = make_edge()
    peer = await edge.connect()
    connection = await connected(edge)
    connection.drain(3600.0)
    # Nothing is read between these two: no turn of the loop.
    os.write(peer.writer.get_extra_info("socket").fileno(), CHAT)
    connection._leave()

    assert (await peer.read())[0] == 200


async def test_a_connection_is_not_closed_in_the_middle_of_a_head(make_edge: Make) -> None:
    edge = make_edge()
    peer = await edge.connect()
    connection = await connected(edge)
    connection.drain(3600.0)
    peer.send(CHAT[:10])
    async with asyncio.timeout(5):
        while not connection._is_in_head:
            await asyncio.sleep(0)
    connection._leave()
    peer.send(CHAT[10:])

    assert (await peer.read())[0] == 200


async def test_an_unfinished_head_is_not_waited_for_without_end_while_the_server_drains(make_edge: Make) -> None:
    edge = make_edge(head_timeout=0.05)
    peer = await edge.connect()
    peer.send(CHAT[:10])
    (await connected(edge)).drain(0.0)

    assert await peer.is_closed()


async def test_requests_of_one_packet_are_answered_in_order_however_long_each_takes(make_edge: Make) -> None:
    release = asyncio.Event()

    async def answer(exchange: Exchange) -> None:
        if exchange.path == "/slow":
            await release.wait()
        exchange.reply(200, b"", exchange.path.encode())

    edge = make_edge()
    edge.gateway.answer = answer
    peer = await edge.connect()
    peer.send(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\nGET /quick HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    async with asyncio.timeout(5):
        while not edge.gateway.seen:
            await asyncio.sleep(0)
    assert [exchange.path for exchange in edge.gateway.seen] == ["/slow"]
    release.set()

    assert (await peer.read())[2] == b"/slow"
    assert (await peer.read())[2] == b"/quick"
    assert await peer.is_closed()


async def test_a_broken_request_behind_a_good_one_does_not_spoil_it(make_edge: Make) -> None:
    edge = make_edge()
    peer = await edge.connect()
    peer.send(b"GET /good HTTP/1.1\r\nHost: h\r\n\r\nnonsense\r\n\r\n")

    assert (await peer.read())[0] == 200
    assert (await peer.read())[0] == 400
    assert await peer.is_closed()


async def test_too_many_requests_at_once_are_refused_after_those_that_fit(make_edge: Make) -> None:
    edge = make_edge()
    peer = await edge.connect()
    peer.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n" * 100)

    statuses = [(await peer.read())[0] for _ in range(66)]

    assert statuses == [200] * 65 + [400]
    assert await peer.is_closed()


async def test_the_request_after_a_large_one_on_the_same_connection_is_read(make_edge: Make) -> None:
    edge = make_edge()
    peer = await edge.connect()
    for size in (70_000, 3, 300_000, 3):
        peer.send(post(size) + b"a" * size)
        assert (await peer.read())[0] == 200

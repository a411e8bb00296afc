from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from pointsman.errors import BodyTooLarge, UpstreamBroken
from pointsman.upstream.loopback import MAX_BODY_BYTES, Loopback, Reply
from pointsman.upstream.response import HELD_BYTES
from pointsman.upstream.settings import Timeouts

HEAD = b"POST /v1/x?y HTTP/1.1\r\nhost: demo\r\n"


def answering(*pieces: tuple[float, bytes]) -> Loopback:
    return Loopback(lambda method, target, body: Reply(status=200, headers=[(b"X-A", b"B")], pieces=pieces))


async def test_the_responder_sees_method_target_and_body() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"bo"
        yield b"dy"

    def responder(method: bytes, target: bytes, body: bytes) -> Reply:
        return Reply(status=418, headers=[], pieces=[(0, b"%b|%b|%b" % (method, target, body))])

    upstream = Loopback(responder)
    for body in (b"body", pieces()):
        response = await upstream.send(HEAD, body, timeouts=Timeouts())
        assert response.status == 418
        assert await response.read(100) == b"POST|/v1/x?y|body"


async def test_what_has_no_delay_is_there_at_once() -> None:
    response = await answering((0, b"a"), (0, b"b")).send(HEAD, b"", timeouts=Timeouts())
    assert response.is_complete
    assert response.headers == [(b"x-a", b"B")]
    assert await response.read(10) == b"ab"


async def test_what_has_a_delay_comes_later_and_in_order() -> None:
    response = await answering((0, b"a"), (0.001, b"b"), (0.001, b"c"), (0, b"d")).send(HEAD, b"", timeouts=Timeouts())
    assert not response.is_complete
    got: list[bytes] = []
    done = response.relay(got.append)
    assert got == [b"a"]
    await done
    assert got == [b"a", b"b", b"c", b"d"]


async def test_an_answer_without_pieces_is_empty() -> None:
    response = await answering().send(HEAD, b"", timeouts=Timeouts())
    assert await response.read(0) == b""


async def test_head_has_no_body() -> None:
    response = await answering((0, b"a")).send(b"HEAD / HTTP/1.1\r\n", b"", timeouts=Timeouts())
    assert response.is_complete
    assert await response.read(0) == b""


async def test_a_long_answer_waits_for_its_consumer() -> None:
    response = await answering(*[(0, bytes(HELD_BYTES))] * 5).send(HEAD, b"", timeouts=Timeouts())
    assert not response.is_complete
    assert len(await response.read(5 * HELD_BYTES)) == 5 * HELD_BYTES


async def test_a_pause_holds_the_next_piece_back() -> None:
    response = await answering((0.001, b"a"), (0.001, b"b")).send(HEAD, b"", timeouts=Timeouts())
    got: list[bytes] = []

    def sink(data: bytes) -> None:
        got.append(data)
        response.pause()
        asyncio.get_running_loop().call_soon(response.resume)

    await response.relay(sink)
    assert got == [b"a", b"b"]


async def test_giving_up_plays_no_more() -> None:
    response = await answering((0, b"a"), (0.001, b"b")).send(HEAD, b"", timeouts=Timeouts())
    got: list[bytes] = []
    done = response.relay(got.append)
    response.abort()
    with pytest.raises(UpstreamBroken):
        await done
    response.resume()
    assert got == [b"a"]


async def test_a_body_in_pieces_is_bounded() -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(MAX_BODY_BYTES // 4)

    with pytest.raises(BodyTooLarge):
        await answering().send(HEAD, endless(), timeouts=Timeouts())

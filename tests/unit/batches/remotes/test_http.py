from __future__ import annotations

import asyncio
from typing import Any

import pytest
from batch_wires import Producer, Wire, target_at

from pointsman.batches.remotes import http
from pointsman.batches.remotes.http import HELD, Api
from pointsman.errors import UpstreamBroken, UpstreamRejected
from pointsman.upstream.response import Response


def at(wire: Wire) -> Api:
    return Api(target_at(wire))


async def ask(api: Api) -> Any:
    return await api.ask(b"GET", "/batches/b", None, dict[str, int])


@pytest.mark.parametrize(
    ("status", "is_retryable"),
    [(300, False), (400, False), (404, False), (408, True), (409, True), (429, True), (503, True)],
)
async def test_a_refusal_is_told_with_whether_it_may_pass(status: int, is_retryable: bool) -> None:
    one = at(Wire(lambda *_: (status, b"why")))
    with pytest.raises(UpstreamRejected) as caught:
        await ask(one)
    assert (caught.value.status, caught.value.is_retryable) == (status, is_retryable)
    with pytest.raises(UpstreamRejected) as caught:
        await anext(one.lines("/f"))
    assert caught.value.operator_detail == "why"


async def test_a_refusal_that_repeats_the_key_is_told_without_it() -> None:
    key = next(iter(target_at(Wire(lambda *_: (200, b""))).secrets))
    with pytest.raises(UpstreamRejected) as caught:
        await ask(at(Wire(lambda *_: (401, b"x" * 195 + f"Incorrect API key: {key}".encode()))))
    assert caught.value.operator_detail is not None
    assert key[:6] not in caught.value.operator_detail


@pytest.mark.parametrize("body", [b"<html>", b'{"id":"b"}', b"[]", b"[" * 10_000, b'{"\xff":1}'])
async def test_what_is_no_batch_is_no_answer(body: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        await ask(at(Wire(lambda *_: (200, body))))


@pytest.mark.parametrize("size", [1, 3, 1000])
async def test_lines_come_whole_however_the_file_is_cut(size: int) -> None:
    text = b"one\n\ntwo and more\n" + b"x" * 500 + b"\nlast"
    response = Response(200, [], Producer())
    one = at(Wire(lambda *_: response)).lines("/f")

    async def feed() -> None:
        for place in range(0, len(text), size):
            response.feed(text[place : place + size])
            await asyncio.sleep(0)
        response.finish()

    feeding = asyncio.create_task(feed())
    assert [line async for line in one] == [b"one", b"two and more", b"x" * 500, b"last"]
    await feeding


async def test_a_line_that_is_too_long_is_left_out_and_the_others_are_not(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(http, "MAX_LINE", 10)
    response = Response(200, [], Producer())
    one = at(Wire(lambda *_: response)).lines("/f")

    async def feed() -> None:
        for piece in (b"first\n" + b"x" * 8, b"y" * 8, b"z\n0123456789\n" + b"v" * 11):
            response.feed(piece)
            await asyncio.sleep(0)
        response.finish()

    feeding = asyncio.create_task(feed())
    assert [line async for line in one] == [b"first", b"0123456789"]
    await feeding
    assert "a line of 17 bytes" in caplog.text


async def test_a_file_that_breaks_off_is_told_and_one_that_nobody_reads_on_is_given_up() -> None:
    response = Response(200, [], Producer())
    response.feed(b"one\ntw")
    response.fail(UpstreamBroken())
    lines = at(Wire(lambda *_: response)).lines("/f")
    assert await anext(lines) == b"one"
    with pytest.raises(UpstreamBroken):
        await anext(lines)
    producer = Producer()
    response = Response(200, [], producer)
    response.feed(b"one\n")
    lines = at(Wire(lambda *_: response)).lines("/f")
    assert await anext(lines) == b"one"
    response.feed(b"x" * (HELD + 1))
    assert producer.asked == ["pause"]
    await lines.aclose()
    await asyncio.sleep(0)
    assert producer.asked[-1] == "abort"

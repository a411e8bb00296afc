from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any

import pytest
from batch_providers import KEY, BatchProvider, Dialect
from queued import CHAT

from pointsman.batches import remote
from pointsman.batches.remote import HELD, Remote
from pointsman.errors import UpstreamBroken, UpstreamRejected
from pointsman.pipeline.targets import Target
from pointsman.providers.base import Deployment
from pointsman.providers.registry import load_vendors
from pointsman.telemetry.metrics import Metrics
from pointsman.upstream.response import Response
from pointsman.upstream.settings import Timeouts
from pointsman.wire.secret import Secret

VENDORS = load_vendors()
LINE = b'{"custom_id":"1","method":"POST","url":"/v1/chat/completions","body":{"model":"up-1","messages":[]}}\n'
BASES: dict[Dialect, str] = {"openai": "https://api.openai.com/v1", "azure": "https://ours.openai.azure.com/openai/v1/"}


class Producer:
    """Notes what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def pause_reading(self) -> None:
        self.asked.append("pause")

    def resume_reading(self) -> None:
        self.asked.append("resume")

    def abort(self) -> None:
        self.asked.append("abort")


class Wire:
    """The way to a provider, or to whatever answers in its place."""

    host_header = b"provider.test"

    def __init__(self, answer: Callable[[str, str, dict[str, str], bytes], tuple[int, bytes] | Response]) -> None:
        self._answer = answer

    async def send(self, head: bytes, body: bytes | AsyncIterator[bytes], **_: Any) -> Response:
        whole = body if isinstance(body, bytes) else b"".join([piece async for piece in body])
        first, *lines = head.decode().removesuffix("\r\n").split("\r\n")
        method, target, _version = first.split(" ")
        headers = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
        answer = self._answer(method, target, headers, whole)
        if isinstance(answer, Response):
            return answer
        response = Response(answer[0], [], Producer())
        response.feed(answer[1])
        response.finish()
        return response


def at(wire: Wire, dialect: Dialect = "openai") -> Remote:
    deployment = Deployment(
        id="d1",
        model_name="house",
        vendor=VENDORS[dialect],
        upstream_model="up-1",
        base_url=BASES[dialect],
        credential=Secret(KEY),
    )
    return Remote(Target(deployment, wire, Timeouts(), Metrics("0"), {}))


async def some(*pieces: bytes) -> AsyncGenerator[bytes]:
    for piece in pieces:
        yield piece


@pytest.mark.parametrize("dialect", ["openai", "azure"])
async def test_a_file_is_uploaded_and_a_batch_made_of_it_as_the_provider_documents_it(dialect: Dialect) -> None:
    provider = BatchProvider(dialect)
    one = at(Wire(provider.answer), dialect)
    made = await one.upload(some(LINE, LINE.replace(b'"1"', b'"2"')))
    assert provider.files == {made.id: LINE + LINE.replace(b'"1"', b'"2"')}
    assert made.is_pending == (dialect == "azure")
    provider.processed()
    assert not (await one.file(made.id)).is_pending
    told = await one.make(made.id, CHAT, "batch_7")
    assert (told.is_over, told.files) == (False, [])
    provider.begin()
    assert (await one.cancel(told.id)).status == "cancelling"
    provider.end("cancelled", 1)
    told = await one.batch(told.id)
    assert told.is_over
    assert [len([line async for line in one.lines(file)]) for file in told.files] == [1, 1]


async def test_a_batch_is_found_among_many_by_its_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = BatchProvider()
    one = at(Wire(provider.answer))
    file = (await one.upload(some(LINE))).id
    made = [(await one.make(file, CHAT, f"batch_{number}")).id for number in range(250)]
    found = await one.find("batch_0")
    assert found is not None
    assert found.id == made[0]
    assert await one.find("batch_251") is None
    monkeypatch.setattr(remote, "MAX_PAGES", 2)
    assert await one.find("batch_0") is None


@pytest.mark.parametrize(
    ("status", "is_retryable"),
    [(300, False), (400, False), (404, False), (408, True), (409, True), (429, True), (503, True)],
)
async def test_a_refusal_is_told_with_whether_it_may_pass(status: int, is_retryable: bool) -> None:
    one = at(Wire(lambda *_: (status, b"why")))
    with pytest.raises(UpstreamRejected) as caught:
        await one.batch("b")
    assert (caught.value.status, caught.value.is_retryable) == (status, is_retryable)
    with pytest.raises(UpstreamRejected) as caught:
        await anext(one.lines("f"))
    assert caught.value.operator_detail == "why"


@pytest.mark.parametrize("body", [b"<html>", b"{}", b"[]", b"[" * 10_000])
async def test_what_is_no_batch_is_no_answer(body: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        await at(Wire(lambda *_: (200, body))).batch("b")


async def test_ids_are_put_into_paths_as_text() -> None:
    asked: list[str] = []

    def answer(method: str, target: str, _headers: dict[str, str], _body: bytes) -> tuple[int, bytes]:
        asked.append(f"{method} {target}")
        return 404, b""

    with pytest.raises(UpstreamRejected):
        await at(Wire(answer)).cancel("../a?b c")
    assert asked == ["POST /v1/batches/..%2Fa%3Fb%20c/cancel"]


@pytest.mark.parametrize("size", [1, 3, 1000])
async def test_lines_come_whole_however_the_file_is_cut(size: int) -> None:
    text = b"one\n\ntwo and more\n" + b"x" * 500 + b"\nlast"
    response = Response(200, [], Producer())
    one = at(Wire(lambda *_: response)).lines("f")

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
    monkeypatch.setattr(remote, "MAX_LINE", 10)
    response = Response(200, [], Producer())
    one = at(Wire(lambda *_: response)).lines("f")

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
    lines = at(Wire(lambda *_: response)).lines("f")
    assert await anext(lines) == b"one"
    with pytest.raises(UpstreamBroken):
        await anext(lines)
    producer = Producer()
    response = Response(200, [], producer)
    response.feed(b"one\n")
    lines = at(Wire(lambda *_: response)).lines("f")
    assert await anext(lines) == b"one"
    response.feed(b"x" * (HELD + 1))
    assert producer.asked == ["pause"]
    await lines.aclose()
    await asyncio.sleep(0)
    assert producer.asked[-1] == "abort"

"""An upstream that lets in only who shows a credential of the moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from pointsman.errors import CONNECT_TIMEOUT, UpstreamTimeout, UpstreamUnreachable
from pointsman.routing.failures import may_have_acted
from pointsman.upstream.credentials.signed import Signed
from pointsman.upstream.settings import Timeouts

HEAD = b"POST /model/x/converse HTTP/1.1\r\nhost: up.test\r\n"


class Upstream:
    """Keeps what it is sent."""

    host_header = b"up.test"

    def __init__(self, status: int = 200) -> None:
        self.sent: list[tuple[bytes, Any, dict[str, Any]]] = []
        self._status = status

    async def send(self, head: bytes, body: Any, **how: Any) -> Any:
        self.sent.append((head, body, how))
        return SimpleNamespace(status=self._status)


class Authorizer:
    """Tells in a header what it was asked for."""

    def __init__(self, error: Exception | None = None) -> None:
        self.doubts = 0
        self._error = error

    async def authorize(self, method: bytes, target: bytes, host: bytes, body: bytes) -> bytes:
        if self._error is not None:
            raise self._error
        return b"x-signed: %b %b %b %b\r\n" % (method, target, host, body)

    def doubt(self) -> None:
        self.doubts += 1


class Silence(Authorizer):
    """Never has an answer."""

    async def authorize(self, *_: bytes) -> bytes:
        await asyncio.Event().wait()
        return b""


async def test_each_request_gets_the_lines_that_are_made_for_it() -> None:
    upstream = Upstream()
    signed = Signed(upstream, Authorizer())
    await signed.send(HEAD, b"{}", length=None, timeouts=Timeouts(), deadline=7.0)
    head, body, how = upstream.sent[0]
    assert head == HEAD + b"x-signed: POST /model/x/converse up.test {}\r\n"
    assert (body, how["deadline"], signed.host_header) == (b"{}", 7.0, b"up.test")


async def test_a_body_that_comes_in_pieces_is_not_signed() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"a"

    upstream = Upstream()
    await Signed(upstream, Authorizer()).send(HEAD, pieces(), length=1, timeouts=Timeouts())
    assert upstream.sent[0][0].endswith(b"up.test \r\n")


async def test_without_a_credential_nothing_is_sent() -> None:
    upstream = Upstream()
    with pytest.raises(UpstreamUnreachable):
        await Signed(upstream, Authorizer(UpstreamUnreachable())).send(HEAD, b"", timeouts=Timeouts())
    assert upstream.sent == []


@pytest.mark.parametrize(
    ("timeouts", "left"),
    [
        (Timeouts(first_byte=0.01), None),
        (Timeouts(total=0.01), None),
        (Timeouts(first_byte=0.01), 900.0),
        (Timeouts(), 0.01),
    ],
    ids=["first byte", "total", "first byte before the deadline", "deadline"],
)
@pytest.mark.requirement("credentials.in-time")
async def test_who_waits_for_a_credential_waits_no_longer_than_for_an_answer(
    timeouts: Timeouts, left: float | None
) -> None:
    upstream = Upstream()
    deadline = None if left is None else asyncio.get_running_loop().time() + left
    with pytest.raises(UpstreamTimeout) as caught:
        await Signed(upstream, Silence()).send(HEAD, b"", timeouts=timeouts, deadline=deadline)
    assert caught.value.code == CONNECT_TIMEOUT
    assert not may_have_acted(caught.value)
    assert "up.test" in str(caught.value.operator_detail)
    assert upstream.sent == []


@pytest.mark.requirement("credentials.in-time")
async def test_the_time_for_a_credential_is_part_of_the_whole() -> None:
    upstream, before = Upstream(), asyncio.get_running_loop().time()
    await Signed(upstream, Authorizer()).send(HEAD, b"", timeouts=Timeouts(total=50.0))
    assert before + 50.0 <= upstream.sent[0][2]["deadline"] <= asyncio.get_running_loop().time() + 50.0


@pytest.mark.parametrize(("status", "doubts"), [(200, 0), (400, 0), (401, 1), (403, 1), (429, 0), (500, 0)])
@pytest.mark.requirement("credentials.refused-renewed")
async def test_a_credential_that_is_refused_is_doubted(status: int, doubts: int) -> None:
    authorizer = Authorizer()
    response = await Signed(Upstream(status), authorizer).send(HEAD, b"", timeouts=Timeouts())
    assert (response.status, authorizer.doubts) == (status, doubts)

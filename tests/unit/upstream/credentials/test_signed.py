"""An upstream that lets in only who shows a credential of the moment."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from pointsman.errors import UpstreamUnreachable
from pointsman.upstream.credentials.signed import Signed
from pointsman.upstream.settings import Timeouts

HEAD = b"POST /model/x/converse HTTP/1.1\r\nhost: up.test\r\n"


class Upstream:
    """Keeps what it is sent."""

    host_header = b"up.test"

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, Any, dict[str, Any]]] = []

    async def send(self, head: bytes, body: Any, **how: Any) -> Any:
        self.sent.append((head, body, how))


class Authorizer:
    """Tells in a header what it was asked for."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error

    async def authorize(self, method: bytes, target: bytes, host: bytes, body: bytes) -> bytes:
        if self._error is not None:
            raise self._error
        return b"x-signed: %b %b %b %b\r\n" % (method, target, host, body)


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

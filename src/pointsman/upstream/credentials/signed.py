"""An upstream that lets in only who shows a credential of the moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from pointsman.errors import CONNECT_TIMEOUT, UpstreamTimeout
from pointsman.upstream.base import Upstream
from pointsman.upstream.credentials.base import Authorizer
from pointsman.upstream.response import Response
from pointsman.upstream.settings import Timeouts

REFUSED = frozenset({401, 403})
"""What a credential is refused with before its end; Amazon says 403 of a session that is no longer one."""


class Signed:
    """Another upstream, with an authorizer's header lines on each request."""

    def __init__(self, upstream: Upstream, authorizer: Authorizer) -> None:
        self._upstream = upstream
        self._authorizer = authorizer

    @property
    def host_header(self) -> bytes:
        """The value of the ``Host`` line."""
        return self._upstream.host_header

    async def send(
        self,
        head: bytes,
        body: bytes | AsyncIterator[bytes],
        *,
        length: int | None = None,
        timeouts: Timeouts,
        deadline: float | None = None,
    ) -> Response:
        """Send one request with what it needs to be let in; otherwise as :meth:`Upstream.send`.

        A body that comes in pieces is not part of a signature. The credential may take as long as the head of the
        answer, and its time counts to the whole.
        """
        method, target, _ = head.split(b" ", 2)
        now = asyncio.get_running_loop().time()
        until = now + timeouts.total if deadline is None else deadline
        try:
            async with asyncio.timeout_at(min(now + timeouts.first_byte, until)):
                lines = await self.authorize(method, target, body if isinstance(body, bytes) else b"")
        except TimeoutError as error:
            detail = f"{self.host_header.decode()}: no credential in time"
            raise UpstreamTimeout(code=CONNECT_TIMEOUT, operator_detail=detail) from error
        response = await self._upstream.send(head + lines, body, length=length, timeouts=timeouts, deadline=until)
        if response.status in REFUSED:
            self._authorizer.doubt()
        return response

    async def authorize(self, method: bytes, target: bytes, body: bytes) -> bytes:
        """The header lines alone.

        :raises UpstreamError: there is no credential now
        """
        return await self._authorizer.authorize(method, target, self._upstream.host_header, body)

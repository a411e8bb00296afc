"""HTTP+SSE, the transport of revision 2024-11-05: one stream brings all, and each message is sent by a POST.

The stream begins with an event that names the address for those. A stream that has ended is a session that has ended:
the next one begins with ``initialize``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urljoin

from pointsman.errors import GatewayError, SessionLost, UpstreamBroken, UpstreamTimeout
from pointsman.mcp.base import Sink
from pointsman.mcp.transports.channel import Channel
from pointsman.mcp.transports.http import STREAM, WHO, Stream, is_repeatable
from pointsman.upstream.addresses import EVENTS, MAX_ERROR_BYTES, Address, beginning, kind_of, refusal, target_of
from pointsman.upstream.response import Response
from pointsman.upstream.routes import parse_origin
from pointsman.wire.events import Event
from pointsman.wire.jsonrpc import Message

_GET_LINES: Final = {"accept": "text/event-stream"}
_POST_LINES: Final = {"content-type": "application/json"}


class Sse:
    """A :class:`~pointsman.mcp.base.Transport` to one address."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._channel = Channel()
        self._target: str | None = None
        """Where messages are sent, while there is a stream."""
        self._stream: asyncio.Future[None] | None = None

    @property
    def has_session(self) -> bool:
        """See :class:`~pointsman.mcp.base.Transport`."""
        return True

    async def request(
        self, message: Message, on_message: Sink, *, headers: Mapping[str, str], deadline: float
    ) -> Message:
        """See :class:`~pointsman.mcp.base.Transport`. ``initialize`` opens the stream."""
        try:
            async with asyncio.timeout_at(deadline):
                if message.method == "initialize":
                    await self._open(headers)
                with self._channel.waiting(message, on_message) as answer:
                    await self.post(message, headers=headers, deadline=deadline)
                    return await answer
        except TimeoutError as error:
            raise UpstreamTimeout("The MCP server did not answer in time") from error

    async def post(self, message: Message, *, headers: Mapping[str, str], deadline: float) -> None:
        """See :class:`~pointsman.mcp.base.Transport`."""
        target = self._target
        if target is None:
            raise SessionLost
        lines = {**headers, **_POST_LINES}
        response = await self._address.send(
            b"POST", target, message.encode(), lines, deadline=deadline, is_repeatable=is_repeatable(message)
        )
        if response.status < 300:
            await response.read(MAX_ERROR_BYTES)
        elif response.status == 404:
            response.abort()
            self._end()
            raise SessionLost
        else:
            raise await _refused(response)

    async def listen(
        self,
        on_message: Sink,
        *,
        headers: Mapping[str, str],  # noqa: ARG002  the stream is there
        on_open: Callable[[], None] = lambda: None,
    ) -> None:
        """See :class:`~pointsman.mcp.base.Transport`."""
        stream = self._stream
        if stream is None or stream.done():
            raise SessionLost
        with self._channel.listening(on_message):
            on_open()
            await asyncio.wait((stream,))
        raise SessionLost

    async def close(self) -> None:
        """End the stream, and with it whatever is in progress."""
        self._end()

    # Inside.

    async def _open(self, headers: Mapping[str, str]) -> None:
        """:raises GatewayError: there is no stream, or it does not begin as it has to"""
        self._end()
        lines = {**headers, **_GET_LINES}
        response = await self._address.send(b"GET", self._address.target, b"", lines, timeouts=STREAM)
        if response.status >= 300:
            raise await _refused(response)
        if kind_of(response) != EVENTS:
            response.abort()
            raise UpstreamBroken("The MCP server gave no stream of events")
        named: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def on_named(event: Event) -> None:
            if event.name == b"endpoint" and not named.done():
                named.set_result(event.data.decode(errors="replace"))

        stream = Stream(self._channel.take, self._address.max_bytes, on_named=on_named)
        ending = self._stream = response.relay(stream.feed)
        ending.add_done_callback(self._on_end)
        try:
            await asyncio.wait((named, ending), return_when=asyncio.FIRST_COMPLETED)
            self._target = self._checked(named)
        except BaseException:
            self._end()
            raise

    def _checked(self, named: asyncio.Future[str]) -> str:
        if not named.done():
            raise UpstreamBroken("The MCP server ended its stream before it named an address")
        try:
            url = urljoin(self._address.url, named.result())
            is_there = parse_origin(url) == parse_origin(self._address.url)
        except ValueError as error:
            raise UpstreamBroken("The MCP server named an address that is none") from error
        if not is_there:
            # The credential is for this origin alone.
            raise UpstreamBroken("The MCP server named an address of another origin")
        return target_of(url)

    def _on_end(self, stream: asyncio.Future[None]) -> None:
        error = None if stream.cancelled() else stream.exception()
        if stream is self._stream:
            self._end(error)

    def _end(self, cause: BaseException | None = None) -> None:
        stream, self._stream, self._target = self._stream, None, None
        if stream is not None:
            stream.cancel()
        detail = None if not isinstance(cause, GatewayError) else cause.operator_detail
        self._channel.fail(lambda: UpstreamBroken("The MCP server's stream has ended", operator_detail=detail))


async def _refused(response: Response) -> GatewayError:
    if response.status < 400:
        response.abort()
        return UpstreamBroken("The MCP server redirected the request, which is not followed")
    return refusal(response, await beginning(response), WHO)

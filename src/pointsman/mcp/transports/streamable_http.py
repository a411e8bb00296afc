"""Streamable HTTP, as all revisions from 2025-03-26 on have it.

Each message is a POST, answered by JSON or by a stream of events. Legacy servers have a GET for what belongs to no
request.
A session id, where the server gives one with its answer to ``initialize``, is sent from then on. A stream that is cut
before its answer is asked for again by GET where its events have ids.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from msgspec import UNSET

from pointsman.errors import GatewayError, SessionLost, UpstreamBroken, UpstreamTimeout
from pointsman.mcp.base import Sink
from pointsman.mcp.transports.http import STREAM, WHO, Stream, is_repeatable, messages_of
from pointsman.upstream.addresses import (
    CALL,
    EVENTS,
    JSON,
    MAX_ERROR_BYTES,
    MAX_TOLD,
    Address,
    beginning,
    kind_of,
    refusal,
    whole,
)
from pointsman.upstream.response import Response
from pointsman.wire.jsonrpc import METHOD_NOT_FOUND, Message, error_of

SESSION: Final = "mcp-session-id"
VERSION: Final = "mcp-protocol-version"
CLOSE_SECONDS: Final = 5.0
RETRY_SECONDS: Final = 1.0
"""Before a stream is asked for again, unless the server says something else."""
MAX_RETRY_SECONDS: Final = 60.0
MAX_RESUMPTIONS: Final = 100
"""Of one stream."""
_POST_LINES: Final = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
_GET_LINES: Final = {"accept": "text/event-stream"}


class StreamableHttp:
    """A :class:`~pointsman.mcp.base.Transport` to one address."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._target = address.target
        self._session: str | None = None
        self._version: str | None = None
        """The revision that was last spoken, for the end of the session."""
        self._heard: bytes | None = None
        """The last event of the stream that belongs to no request."""
        self._scopes: set[asyncio.Timeout] = set()
        self._is_closed = False

    @property
    def has_session(self) -> bool:
        """See :class:`~pointsman.mcp.base.Transport`."""
        return self._session is not None

    @property
    def session(self) -> str | None:
        """See :class:`~pointsman.mcp.joining.Resumable`."""
        return self._session

    def resume(self, session: str | None) -> None:
        """See :class:`~pointsman.mcp.joining.Resumable`."""
        self._session, self._heard = session, None

    async def request(
        self, message: Message, on_message: Sink, *, headers: Mapping[str, str], deadline: float
    ) -> Message:
        """See :class:`~pointsman.mcp.base.Transport`."""
        is_first = message.method == "initialize"
        if is_first:
            self._session = self._heard = None
        session = self._session
        scope = asyncio.timeout_at(deadline)
        self._scopes.add(scope)
        try:
            async with scope:
                return await self._ask(message, on_message, headers, deadline, is_first=is_first)
        except TimeoutError as error:
            if self._is_closed:
                raise UpstreamBroken("The connection to the MCP server was closed") from error
            raise UpstreamTimeout("The MCP server did not answer in time") from error
        except SessionLost:
            if session is not None and self._session == session:
                self._session = self._heard = None
            raise
        finally:
            self._scopes.discard(scope)

    async def post(self, message: Message, *, headers: Mapping[str, str], deadline: float) -> None:
        """See :class:`~pointsman.mcp.base.Transport`."""
        session = self._session
        response = await self._send(b"POST", message, _POST_LINES, headers, session, deadline=deadline)
        if response.status >= 300:
            await self._refuse(response, session)
        if kind_of(response) == EVENTS:
            # There is nothing in it to wait for.
            response.abort()
        else:
            await response.read(MAX_ERROR_BYTES)

    async def listen(
        self, on_message: Sink, *, headers: Mapping[str, str], on_open: Callable[[], None] = lambda: None
    ) -> None:
        """See :class:`~pointsman.mcp.base.Transport`. Goes on where the last one was cut, if the server can do that."""
        session = self._session
        stream = Stream(on_message, self._address.max_bytes)
        stream.events.last_id = self._heard
        try:
            for _ in range(MAX_RESUMPTIONS):
                await self._hear(stream, headers, session, on_open)
                if stream.events.last_id is None:
                    return
                await asyncio.sleep(_pause(stream))
        finally:
            if self._session == session:
                self._heard = stream.events.last_id

    async def close(self) -> None:
        """End the session, if there is one, and whatever is in progress."""
        self._is_closed = True
        for scope in self._scopes:
            if not scope.expired():
                scope.reschedule(asyncio.get_running_loop().time())
        session, self._session = self._session, None
        if session is None:
            return
        deadline = asyncio.get_running_loop().time() + CLOSE_SECONDS
        spoken = {} if self._version is None else {VERSION: self._version}
        try:
            response = await self._send(b"DELETE", None, {}, spoken, session, deadline=deadline)
        except GatewayError:
            # A server that cannot be reached will forget the session by itself.
            return
        response.abort()

    # Inside.

    async def _ask(
        self, message: Message, on_message: Sink, headers: Mapping[str, str], deadline: float, *, is_first: bool
    ) -> Message:
        session = self._session
        response = await self._send(b"POST", message, _POST_LINES, headers, session, deadline=deadline)
        if is_first and response.status < 300:
            given = response.header(SESSION.encode())
            self._session = None if given is None else given.decode("latin-1")
        if response.status < 300 and kind_of(response) == EVENTS:
            return await self._follow(response, message, on_message, headers, deadline)
        if response.status >= 300:
            return await self._refuse(response, session, message)
        if kind_of(response) != JSON:
            response.abort()
            raise UpstreamBroken("The MCP server gave no answer to a request")
        return _answer(await whole(response, self._address.max_bytes, WHO), message)

    async def _follow(
        self, response: Response, message: Message, on_message: Sink, headers: Mapping[str, str], deadline: float
    ) -> Message:
        stream = Stream(on_message, self._address.max_bytes, None if message.id is UNSET else message.id)
        failure: GatewayError | None = None
        for _ in range(MAX_RESUMPTIONS):
            try:
                await stream.read(response)
            except GatewayError as error:
                failure = error
            if stream.answer is not None:
                return stream.answer
            if stream.events.last_id is None:
                break
            await asyncio.sleep(_pause(stream))
            response = await self._resume(stream, headers, deadline)
        raise failure or UpstreamBroken("The MCP server ended a stream without an answer")

    async def _resume(self, stream: Stream, headers: Mapping[str, str], deadline: float | None) -> Response:
        lines = dict(_GET_LINES)
        if stream.events.last_id is not None:
            lines["last-event-id"] = stream.events.last_id.decode("latin-1")
        session = self._session
        response = await self._send(b"GET", None, lines, headers, session, deadline=deadline)
        if response.status >= 300:
            await self._refuse(response, session)
        if kind_of(response) != EVENTS:
            response.abort()
            raise UpstreamBroken("The MCP server gave no stream of events")
        return response

    async def _hear(
        self, stream: Stream, headers: Mapping[str, str], session: str | None, on_open: Callable[[], None]
    ) -> None:
        if self._is_closed or self._session != session:
            raise SessionLost
        scope = asyncio.timeout(STREAM.total)
        self._scopes.add(scope)
        try:
            async with scope:
                response = await self._resume(stream, headers, None)
                on_open()
                await stream.read(response)
        except TimeoutError:
            # It has lasted for a day, or this transport was closed.
            return
        finally:
            self._scopes.discard(scope)

    async def _send(
        self,
        method: bytes,
        message: Message | None,
        lines: Mapping[str, str],
        headers: Mapping[str, str],
        session: str | None,
        *,
        deadline: float | None,
    ) -> Response:
        self._version = headers.get(VERSION, self._version)
        every = {**headers, **lines}
        if session is not None:
            every[SESSION] = session
        if message is None:
            timeouts = STREAM if method == b"GET" else CALL
            return await self._address.send(method, self._target, b"", every, deadline=deadline, timeouts=timeouts)
        may_repeat = is_repeatable(message)
        return await self._address.send(
            method, self._target, message.encode(), every, deadline=deadline, is_repeatable=may_repeat
        )

    async def _refuse(self, response: Response, session: str | None, message: Message | None = None) -> Message:
        """The error that a refusal of a request holds as a message.

        :raises GatewayError: what the refusal means, where there is none
        """
        if response.status < 400:
            response.abort()
            raise UpstreamBroken("The MCP server redirected the request, which is not followed")
        body = await beginning(response)
        if response.status in (401, 403):
            raise refusal(response, body, WHO)
        found = _error(body)
        # By the specification it is 404; some servers say 400 and tell it in the text.
        is_lost = response.status == 404 or (response.status == 400 and b"session" in body.lower())
        if session is not None and is_lost and not (found and error_of(found.error).code == METHOD_NOT_FOUND):
            raise SessionLost(operator_detail=body[:MAX_TOLD].decode(errors="replace"))
        if found is None or message is None:
            raise refusal(response, body, WHO)
        return found


def _pause(stream: Stream) -> float:
    retry = stream.events.retry
    return RETRY_SECONDS if retry is None else min(retry, MAX_RETRY_SECONDS)


def _answer(body: bytes, message: Message) -> Message:
    for found in messages_of(body):
        if not found.method and (found.id == message.id or (found.error and found.id is None)):
            return found
    raise UpstreamBroken("The MCP server answered with something that is no answer to the request")


def _error(body: bytes) -> Message | None:
    """The error that a refusal has for a body, if it has one; whoever could not read a request does not know its id."""
    return next((found for found in messages_of(body) if found.error), None)

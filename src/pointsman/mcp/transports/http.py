"""What the transports over HTTP have in common: an address, the credential for it, and what its answers mean."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, Protocol
from urllib.parse import urlsplit

import msgspec

from pointsman import __version__
from pointsman.access.caller import NOBODY, Caller
from pointsman.errors import UpstreamBroken, UpstreamRejected
from pointsman.mcp.base import Credential, Sink
from pointsman.mcp.protocol.events import Event, Events
from pointsman.upstream.h1 import header_lines, request_head
from pointsman.upstream.response import Response
from pointsman.upstream.settings import Timeouts
from pointsman.wire.jsonrpc import Id, Message, RpcError, parse, parse_batch, readable

JSON: Final = b"application/json"
EVENTS: Final = b"text/event-stream"
USER_AGENT: Final = f"pointsman/{__version__}"
"""Some servers refuse who has none."""
MAX_ERROR_BYTES: Final = 65_536
MAX_TOLD: Final = 500
"""Characters of a failure's body that the operator sees."""
MAX_BATCH: Final = 1000
LAST_SECONDS: Final = 1.0
"""That a stream has to end after its answer, so that the connection can be used again."""
CALL: Final = Timeouts(connect=10.0, first_byte=86_400.0, idle=86_400.0, total=86_400.0)
"""How long a call may take is said by its deadline alone: servers are silent while somebody is asked."""
STREAM: Final = Timeouts(connect=10.0, first_byte=30.0, idle=86_400.0, total=86_400.0)
"""A day is a bound and no more: a stream without news is silent."""

REPEATABLE: Final = frozenset(
    {
        "completion/complete",
        "initialize",
        "logging/setLevel",
        "ping",
        "prompts/get",
        "prompts/list",
        "resources/list",
        "resources/read",
        "resources/subscribe",
        "resources/templates/list",
        "resources/unsubscribe",
        "server/discover",
        "subscriptions/listen",
        "tasks/get",
        "tasks/list",
        "tasks/result",
        "tools/list",
    }
)
"""Requests that may be sent again when nobody knows whether they have arrived. A tool must not be run twice."""

Lines = Mapping[str, str]


class Carrier(Protocol):
    """Whoever sends requests there: a host of the pool."""

    @property
    def host_header(self) -> bytes: ...

    async def send(
        self, head: bytes, body: bytes, *, timeouts: Timeouts, deadline: float | None, is_repeatable: bool
    ) -> Response:
        """See :meth:`pointsman.upstream.pool.Host.send`."""


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """Where a server is, and as whom it is called."""

    upstream: Carrier
    url: str
    headers: Lines = {}
    """Sent with every request."""
    credential: Credential | None = None
    caller: Caller = NOBODY
    """For whom the credential is."""
    max_bytes: int = 10_000_000
    """Of one message of the server's."""

    @property
    def target(self) -> str:
        """Path and query."""
        return target_of(self.url)

    async def send(
        self,
        method: bytes,
        target: str,
        body: bytes,
        headers: Lines,
        *,
        deadline: float | None = None,
        timeouts: Timeouts = CALL,
        is_repeatable: bool = True,
    ) -> Response:
        """Send a request and give the answer, whose body is still to be taken.

        When the server does not accept the credential there is one more try with a better one, if there is one.

        :raises GatewayError: it cannot be reached, or there is no credential
        """
        renewed: set[int] = set()
        while True:
            head = await self._head(method, target, headers)
            response = await self.upstream.send(
                head, body, timeouts=timeouts, deadline=deadline, is_repeatable=is_repeatable
            )
            if not await self._renews(response, renewed):
                return response
            renewed.add(response.status)
            response.abort()

    async def _head(self, method: bytes, target: str, headers: Lines) -> bytes:
        lines = {"user-agent": USER_AGENT}
        lines.update((name.lower(), value) for name, value in self.headers.items())
        lines.update((name.lower(), value) for name, value in headers.items())
        if self.credential is not None:
            shown = await self.credential.lines(self.caller)
            lines.update((name.lower(), value) for name, value in shown.items())
        try:
            pairs = [(name.encode("ascii"), value.encode("latin-1")) for name, value in lines.items()]
            return request_head(method, target.encode("ascii"), self.upstream.host_header, header_lines(pairs))
        except (ValueError, UnicodeError) as error:
            raise UpstreamBroken("A header or the address of the MCP server cannot be sent") from error

    async def _renews(self, response: Response, renewed: set[int]) -> bool:
        if self.credential is None or response.status not in (401, 403) or response.status in renewed:
            return False
        challenge = _text(response, b"www-authenticate")
        if response.status == 403 and "insufficient_scope" not in challenge:
            return False
        return await self.credential.renew(self.caller, response.status, challenge)


class Stream:
    """Reads a stream of events, and gives each message to ``on_message`` but the answer to ``awaited``.

    ``events`` keeps what has to be said to go on where it was cut. ``on_named`` takes events that are no messages.
    """

    def __init__(
        self,
        on_message: Sink,
        max_bytes: int,
        awaited: Id = None,
        *,
        on_named: Callable[[Event], None] | None = None,
    ) -> None:
        self.events = Events(max_bytes + 1024)
        self.answer: Message | None = None
        self._on_message = on_message
        self._awaited = awaited
        self._on_named = on_named
        self._done: asyncio.Future[None] | None = None

    async def read(self, response: Response) -> None:
        """Take the stream to the answer, or to its end.

        :raises GatewayError: it was cut
        """
        self.events.restart()
        loop = asyncio.get_running_loop()
        done = self._done = loop.create_future()
        relay = response.relay(self.feed)
        relay.add_done_callback(self._on_end)
        try:
            await done
        except BaseException:
            relay.cancel()
            raise
        if not relay.done():
            # The end comes with the answer, or soon after it: nobody waits for it.
            loop.call_later(LAST_SECONDS, relay.cancel)

    def feed(self, piece: bytes) -> None:
        """Take a piece of the stream.

        :raises UpstreamBroken: an event is too long
        """
        for event in self.events.feed(piece):
            if event.name in (b"", b"message"):
                # What is no message does not end a stream.
                for message in messages_of(event.data):
                    self._take(message)
            elif self._on_named is not None:
                self._on_named(event)

    def _take(self, message: Message) -> None:
        if message.method or self._awaited is None or message.id != self._awaited:
            self._on_message(message)
        elif self.answer is None:
            self.answer = message
            if self._done is not None and not self._done.done():
                self._done.set_result(None)

    def _on_end(self, relay: asyncio.Future[None]) -> None:
        error = None if relay.cancelled() else relay.exception()
        done = self._done
        if done is None or done.done():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)


async def whole(response: Response, limit: int) -> bytes:
    """The body of an answer.

    :raises GatewayError: it is too long, or was cut
    """
    found = response.whole(JSON)
    if found is not None and len(found) <= limit:
        return found
    if found is not None or _length(response) > limit:
        response.abort()
        raise UpstreamBroken(f"The MCP server's answer is longer than the {limit} bytes that are allowed")
    return await response.read(limit)


async def beginning(response: Response) -> bytes:
    """The body of a refusal; empty where it cannot be had."""
    try:
        return await response.read(MAX_ERROR_BYTES)
    except UpstreamBroken:
        return b""


def refusal(response: Response, body: bytes) -> UpstreamRejected:
    """The failure that stands for a refusal."""
    status = response.status
    is_auth = status in (401, 403)
    retry_after = _text(response, b"retry-after")
    told = body[:MAX_TOLD].decode(errors="replace")
    return UpstreamRejected(
        "The MCP server refused the gateway's credential"
        if is_auth
        else f"The MCP server refused the request with status {status}",
        status=status,
        kind="authentication_error" if is_auth else "upstream_error",
        code="upstream_unauthorized" if is_auth else "upstream_rejected",
        is_retryable=status in (408, 429) or status >= 500,
        operator_detail=f"{status} {_text(response, b'www-authenticate')} {told}",
        retry_after=float(retry_after) if retry_after.isdecimal() else None,
    )


def messages_of(data: bytes) -> list[Message]:
    """The messages in a text; none where it is something else. By revision 2025-03-26 there may be several."""
    data = readable(data)
    try:
        return parse_batch(data, MAX_BATCH) if data[:1] == b"[" else [parse(data)]
    except RpcError:
        return []


def is_repeatable(message: Message) -> bool:
    """Whether a message may arrive twice; notifications and responses do nothing the second time."""
    return not message.is_request or message.method in REPEATABLE


def kind_of(response: Response) -> bytes:
    """The media type of an answer, in lower case and without parameters."""
    return (response.header(b"content-type") or b"").partition(b";")[0].strip().lower()


def target_of(url: str) -> str:
    """Path and query of an address."""
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _text(response: Response, name: bytes) -> str:
    return (response.header(name) or b"").decode("latin-1")


def _length(response: Response) -> int:
    found = response.header(b"content-length") or b""
    return int(found) if found.isdigit() else 0

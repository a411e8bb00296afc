"""What the transports over HTTP have in common: what goes over them, and the streams that bring it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from pointsman.mcp.base import Sink
from pointsman.upstream.response import Response
from pointsman.upstream.settings import Timeouts
from pointsman.wire.events import Event, Events
from pointsman.wire.jsonrpc import Id, Message, RpcError, parse, parse_batch, readable

WHO: Final = "the MCP server"
MAX_BATCH: Final = 1000
LAST_SECONDS: Final = 1.0
"""That a stream has to end after its answer, so that the connection can be used again."""
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

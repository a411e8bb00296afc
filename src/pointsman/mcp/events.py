"""Changes that servers tell of, and who wants to hear of them.

However many want to hear of one thing, a server is asked for it once over each connection. Notifications that come
close together are passed on as one: a server that changes its list a hundred times in a moment has changed it once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from pointsman.mcp.base import Interest, Sink, Watch
from pointsman.mcp.connections import Connection
from pointsman.mcp.protocol.listings import KINDS
from pointsman.wire.jsonrpc import Message

PAUSE: Final = 0.05
"""Seconds in which notifications are gathered."""
LISTS: Final = ""
"""What is followed where it is no resource: all lists of a server."""
UPDATED: Final = "notifications/resources/updated"
CHANGES: Final = frozenset(kind.changed for kind in KINDS.values())
Share = Callable[[Connection, Message], None]
_ALL: Final = Interest(tools=True, prompts=True, resources=True)


class _Feed:
    """One thing that is heard of over one connection."""

    __slots__ = ("_flushing", "_pending", "_share", "connection", "key", "sinks", "watch")

    def __init__(self, connection: Connection, topic: str, share: Share) -> None:
        self.key = (connection, topic)
        self.connection = connection
        self.sinks: dict[Following, Sink] = {}
        self._pending: dict[str, Message] = {}
        self._flushing: asyncio.TimerHandle | None = None
        interest = _ALL if topic == LISTS else Interest(uris=frozenset({topic}))
        self._share = share
        self.watch: Watch = connection.server.watch(interest, self._take)

    def hear(self, message: Message) -> None:
        """Pass it on soon."""
        if message.method in CHANGES or message.method == UPDATED:
            self._pending[message.method] = message
            if self._flushing is None:
                self._flushing = asyncio.get_running_loop().call_later(PAUSE, self._flush)

    def _take(self, message: Message) -> None:
        if message.method == UPDATED and self.connection.first is not self.connection:
            # It was told in the session of a client, which may listen to another process.
            self._share(self.connection, message)
        self.hear(message)

    def close(self) -> None:
        if self._flushing is not None:
            self._flushing.cancel()
        self.watch.close()

    def _flush(self) -> None:
        self._flushing = None
        pending, self._pending = self._pending, {}
        for message in pending.values():
            for sink in tuple(self.sinks.values()):
                sink(message)


class Following:
    """Somebody hears of one thing over one connection."""

    __slots__ = ("_feed", "_keeps", "_stop")

    def __init__(self, feed: _Feed, sink: Sink, stop: Callable[[_Feed], None], *, keeps: bool) -> None:
        self._feed = feed
        self._stop = stop
        self._keeps = keeps
        feed.sinks[self] = sink
        feed.connection.watches += keeps

    async def ready(self) -> None:
        """Wait until no change is missed any more, or for some seconds."""
        await self._feed.watch.ready()

    def close(self) -> None:
        """Hear of it no more; once is enough."""
        if self._feed.sinks.pop(self, None) is not None:
            self._feed.connection.watches -= self._keeps
            self._stop(self._feed)


class Events:
    """All that anybody hears of."""

    def __init__(self, share: Share = lambda *_: None) -> None:
        """``share`` is told of what was heard in the session of one client."""
        self._share = share
        self._feeds: dict[tuple[Connection, str], _Feed] = {}

    def follow(self, connection: Connection, topic: str, sink: Sink, *, keeps: bool = True) -> Following:
        """Have ``sink`` told of :data:`LISTS`, or of the resource ``topic``.

        ``keeps``: the connection stays open for it.
        """
        feed = self._feeds.get((connection, topic))
        if feed is None:
            feed = self._feeds[connection, topic] = _Feed(connection, topic, self._share)
        return Following(feed, sink, self._stop, keeps=keeps)

    def _stop(self, feed: _Feed) -> None:
        if not feed.sinks and self._feeds.get(feed.key) is feed:
            del self._feeds[feed.key]
            feed.close()

    def hear(self, connection: Connection, message: Message) -> None:
        """A notification that came on another way, such as within a call."""
        topic = LISTS
        if message.method == UPDATED:
            uri = message.read().get("uri")
            topic = uri if isinstance(uri, str) else LISTS
        feed = self._feeds.get((connection, topic))
        if feed is not None:
            feed.hear(message)

    def leave(self, connection: Connection) -> None:
        """Hear nothing over a connection any more."""
        for key in [key for key in self._feeds if key[0] is connection]:
            feed = self._feeds.pop(key)
            feed.sinks.clear()
            feed.close()
        connection.watches = 0

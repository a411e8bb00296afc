"""What a process knows of legacy sessions beyond what their ids say: little, and nothing of those that rest.

A session is *live* while it has a request or a stream open, or has said something that outlasts a request: from which
level on it wants log messages, and which resources it watches. All others are only in their ids.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import msgspec
from msgspec import Raw

from pointsman.errors import Overloaded
from pointsman.mcp.base import Client, Scope, Watch
from pointsman.mcp.fronts.streams import Answering
from pointsman.wire.jsonrpc import Id, Message, RpcError, error_of, notification

MAX_HELD: Final = 100
"""Changes that are kept for a client whose stream is not open."""
MAX_HELD_BYTES: Final = 16_384
"""Of all of them."""
LONG_BYTES: Final = 2_048
"""A change that is longer is kept without what its server has added."""
MAX_ENDED: Final = 100_000
MAX_TRIES: Final = 1_000
"""Sessions that are looked at to find one that nobody uses."""


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What other processes have to know of a session."""

    session: str
    message: str = ""
    """Of the client, for somebody who is not where it has arrived."""
    level: str | None = None
    uris: tuple[str, ...] | None = None
    is_over: bool = False


class Running:
    """A request that goes on, and can be cancelled by name."""

    def __init__(self, task: asyncio.Task[object]) -> None:
        self._task = task
        self.is_cancelled = False

    def cancel(self) -> None:
        """The client does not want the answer any more."""
        self.is_cancelled = True
        self._task.cancel()

    def uncancel(self) -> bool:
        """Whether it was this that has ended it; then the task goes on."""
        if self.is_cancelled:
            self._task.uncancel()
        return self.is_cancelled


class Live:
    """One session."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.log_level: str | None = None
        self.uris: set[str] = set()
        self.users = 0
        """How many work with it now: a stream may be about to open."""
        self.stream: Answering | None = None
        """The one that was opened by GET."""
        self.party: tuple[Scope, Client] | None = None
        """Whose it is, and of which servers."""
        self.watch: Watch | None = None
        self.is_over = False
        self.running: dict[tuple[str, Id], Running] = {}
        self.asks: dict[Id, asyncio.Future[Raw]] = {}
        self._held: dict[bytes, Message] = {}
        self._held_bytes = 0

    @property
    def is_resting(self) -> bool:
        """Whether there is nothing to be known of it."""
        return not (self.running or self.asks or self.uris or self.log_level or self.stream or self._held)

    def tell(self, message: Message) -> None:
        """Send a notification that belongs to no request, now or when the stream is open."""
        if self.stream is not None:
            self.stream.tell(message)
            return
        text = message.encode()
        if len(text) > LONG_BYTES:
            message = _short(message)
            text = message.encode()
        has_room = len(self._held) < MAX_HELD and self._held_bytes + len(text) <= MAX_HELD_BYTES
        if has_room and text not in self._held:
            self._held[text] = message
            self._held_bytes += len(text)

    def open(self, stream: Answering) -> None:
        """Send what belongs to no request there, from now on."""
        if self.stream is not None:
            self.stream.end()
        self.stream = stream
        held, self._held, self._held_bytes = self._held, {}, 0
        for message in held.values():
            stream.tell(message)

    def take(self, response: Message) -> bool:
        """Hand the answer of the client to whoever has asked. Whether there was somebody here."""
        waiter = None if isinstance(response.id, msgspec.UnsetType) else self.asks.get(response.id)
        if waiter is None or waiter.done():
            return waiter is not None
        if response.error:
            waiter.set_exception(error_of(response.error))
        else:
            waiter.set_result(response.result)
        return True

    def cancel(self, message: Message) -> bool:
        """End the request that the client does not want any more. Whether it was one of those here."""
        name = message.read().get("requestId")
        running = self.running.get(key_of(name)) if isinstance(name, str | int | float) else None
        if running is not None:
            running.cancel()
        return running is not None

    def watch_by(self, watch: Watch | None) -> None:
        """Have another watch in the place of the one that there is."""
        before, self.watch = self.watch, watch
        if before is not None:
            before.close()

    def close(self) -> None:
        """The session is over, and all that goes on in it."""
        self.is_over = True
        for running in list(self.running.values()):
            running.cancel()
        for waiter in self.asks.values():
            waiter.cancel()
        self.watch_by(None)
        stream, self.stream = self.stream, None
        if stream is not None:
            stream.end()


class LiveSessions:
    """Those of this process, up to a number: of those in which nothing goes on, the longest unused is forgotten."""

    def __init__(self, most: Callable[[], int]) -> None:
        self._most = most
        self._live: OrderedDict[str, Live] = OrderedDict()
        self._ended: OrderedDict[str, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._live)

    def has_ended(self, name: str) -> bool:
        """Whether its client has ended it."""
        return name in self._ended

    def level(self, name: str) -> str | None:
        """From which level on it wants log messages."""
        live = self._live.get(name)
        return None if live is None else live.log_level

    @contextmanager
    def using(self, name: str) -> Iterator[Live]:
        """A session, as long as something of it goes on.

        :raises Overloaded: there are too many
        """
        live = self._live.get(name)
        if live is None:
            self._make_room()
            live = self._live[name] = Live(name)
        else:
            self._live.move_to_end(name)
        live.users += 1
        try:
            yield live
        finally:
            live.users -= 1
            if not live.users and live.is_resting and self._live.get(name) is live:
                live.watch_by(None)
                del self._live[name]

    def known(self, name: str) -> Live | None:
        """A session, if anything is known of it."""
        return self._live.get(name)

    def end(self, name: str) -> None:
        """It is over, and is not taken up again."""
        self._ended[name] = None
        if len(self._ended) > MAX_ENDED:
            self._ended.popitem(last=False)
        live = self._live.pop(name, None)
        if live is not None:
            live.close()

    def release(self) -> None:
        """Their streams end."""
        for live in self._live.values():
            if live.stream is not None:
                live.stream.release()

    def close(self) -> None:
        """All that goes on in them ends."""
        while self._live:
            self._live.popitem()[1].close()

    def _make_room(self) -> None:
        busy = 0
        while self._live and len(self._live) >= self._most():
            name, live = self._live.popitem(last=False)
            if not live.users:
                live.close()
                continue
            # What goes on in it is somebody's, so that it is not unused at all.
            self._live[name] = live
            busy += 1
            if busy >= min(MAX_TRIES, len(self._live)):
                raise Overloaded("Too many sessions have something going on; try again", retry_after=1)


def _short(message: Message) -> Message:
    """Which resource has changed, and no more; all else as it is."""
    try:
        uri = message.read().get("uri")
    except RpcError:
        return message
    return notification(message.method, {"uri": uri}) if isinstance(uri, str) else message


def key_of(name: Id) -> tuple[str, Id]:
    """What tells ids apart: 1 and "1" are two."""
    return type(name).__name__, name

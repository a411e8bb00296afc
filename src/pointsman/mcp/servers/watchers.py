"""Who wants to hear of which changes of one server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec

from pointsman.mcp.base import Interest, Sink
from pointsman.wire.jsonrpc import Message, RpcError, notification

TOOLS: Final = "notifications/tools/list_changed"
PROMPTS: Final = "notifications/prompts/list_changed"
RESOURCES: Final = "notifications/resources/list_changed"
UPDATED: Final = "notifications/resources/updated"
CHANGES: Final = frozenset({TOOLS, PROMPTS, RESOURCES, UPDATED})


READY_SECONDS: Final = 2.0
"""That somebody waits for the server to take notice of him."""
ALL: Final = Interest(tools=True, prompts=True, resources=True)


class Watching:
    """One of them; a :class:`~pointsman.mcp.base.Watch`."""

    __slots__ = ("_arrived", "_on_close", "interest", "sink")

    def __init__(self, interest: Interest, sink: Sink, on_close: Callable[[Watching], None]) -> None:
        self.interest = interest
        self.sink = sink
        self._on_close = on_close
        self._arrived = asyncio.Event()

    def arrive(self) -> None:
        """The server has taken notice, or will never."""
        self._arrived.set()

    async def ready(self) -> None:
        """See :class:`~pointsman.mcp.base.Watch`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(READY_SECONDS):
                await self._arrived.wait()

    def close(self) -> None:
        """Hear no more; once is enough."""
        self._arrived.set()
        self._on_close(self)


class Watchers:
    """All of them."""

    def __init__(self) -> None:
        self._all: dict[Watching, None] = {}

    def __len__(self) -> int:
        return len(self._all)

    def add(self, watching: Watching) -> None:
        """One more."""
        self._all[watching] = None

    def discard(self, watching: Watching) -> None:
        """One less, if it was there."""
        self._all.pop(watching, None)

    def arrive(self, heard: Interest | None) -> None:
        """So much is heard from now on; ``None``: all that there ever will be."""
        for one in self._all:
            if heard is None or covers(heard, one.interest):
                one.arrive()

    @property
    def interest(self) -> Interest:
        """What any of them wants."""
        wanted = [one.interest for one in self._all]
        return Interest(
            tools=any(one.tools for one in wanted),
            prompts=any(one.prompts for one in wanted),
            resources=any(one.resources for one in wanted),
            uris=frozenset().union(*(one.uris for one in wanted)),
        )

    def want(self, message: Message) -> bool:
        """Whether there is anybody who wants to hear of a change."""
        return any(is_wanted(message, one.interest) for one in self._all)

    def tell(self, message: Message) -> bool:
        """Tell of a change; whether there is anybody who wants to hear of it."""
        interested = [one for one in self._all if is_wanted(message, one.interest)]
        for one in interested:
            one.sink(message)
        return bool(interested)

    def tell_all(self, message: Message) -> None:
        """Tell everybody of something else."""
        for one in tuple(self._all):
            one.sink(message)

    def tell_stale(self) -> None:
        """Tell of every change that may have happened while nothing was heard."""
        interest = self.interest
        for is_wanted_at_all, method in (
            (interest.tools, TOOLS),
            (interest.prompts, PROMPTS),
            (interest.resources, RESOURCES),
        ):
            if is_wanted_at_all:
                self.tell(notification(method))
        for uri in sorted(interest.uris):
            self.tell(notification(UPDATED, {"uri": uri}))


def is_wanted(message: Message, interest: Interest) -> bool:
    """Whether a notification of a change is among what somebody wants."""
    method = message.method
    if method == TOOLS:
        return interest.tools
    if method == PROMPTS:
        return interest.prompts
    if method == RESOURCES:
        return interest.resources
    return method == UPDATED and _uri(message) in interest.uris


def covers(one: Interest, other: Interest) -> bool:
    """Whether who hears of ``one`` hears of ``other``."""
    flags = ((one.tools, other.tools), (one.prompts, other.prompts), (one.resources, other.resources))
    return all(has or not wants for has, wants in flags) and other.uris <= one.uris


def _uri(message: Message) -> str:
    try:
        found = msgspec.json.decode(message.params, type=_Updated)
    except (msgspec.MsgspecError, UnicodeDecodeError, RpcError):
        return ""
    return found.uri


class _Updated(msgspec.Struct):
    uri: str = ""

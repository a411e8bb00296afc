"""Requests and answers of many calls over one channel: which message is for whom."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from pointsman.mcp.base import Sink
from pointsman.mcp.protocol.revisions import SUBSCRIPTION
from pointsman.wire.jsonrpc import Id, Message

MAX_GIVEN_UP = 1_000


class _Meta(msgspec.Struct):
    subscription: Id = msgspec.field(name=SUBSCRIPTION, default=None)


class _Params(msgspec.Struct):
    progress: Id = msgspec.field(name="progressToken", default=None)
    meta: _Meta = msgspec.field(name="_meta", default_factory=_Meta)


_decode = msgspec.json.Decoder(_Params).decode


class Channel:
    """Who waits for what.

    A notification goes to the request that its progress token or subscription id names, and what names none to
    whoever listens, or without one to the only request that is waiting (one for a subscription takes only what names
    it), unless it may be about one that was given up. All else is dropped.
    """

    __slots__ = ("_calls", "_given_up", "_listeners", "_waiting")

    def __init__(self) -> None:
        self._waiting: dict[Id, tuple[asyncio.Future[Message], Sink]] = {}
        self._calls: dict[Id, Sink] = {}
        """Those of them that take what names nobody."""
        self._given_up: set[Id] = set()
        """Requests that nobody waits for any more, and that have not been answered."""
        self._listeners: list[Sink] = []

    def __len__(self) -> int:
        return len(self._waiting)

    @contextmanager
    def waiting(self, request: Message, on_message: Sink) -> Iterator[asyncio.Future[Message]]:
        """The answer to a request, as long as somebody waits for it."""
        assert request.id is not msgspec.UNSET
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiting[request.id] = (answer, on_message)
        if request.method != "subscriptions/listen":
            self._calls[request.id] = on_message
        try:
            yield answer
        finally:
            del self._waiting[request.id]
            is_call = self._calls.pop(request.id, None) is not None
            if is_call and (not answer.done() or answer.cancelled()) and len(self._given_up) < MAX_GIVEN_UP:
                self._given_up.add(request.id)
            if answer.done() and not answer.cancelled():
                # Nobody may have come to look at a failure.
                answer.exception()

    @contextmanager
    def listening(self, on_message: Sink) -> Iterator[None]:
        """Have what is for no request."""
        self._listeners.append(on_message)
        try:
            yield
        finally:
            self._listeners.remove(on_message)

    def take(self, message: Message) -> None:
        """Give a message that came to whom it is for."""
        if not message.method:
            if message.id is msgspec.UNSET:
                return
            self._given_up.discard(message.id)
            found = self._waiting.get(message.id)
            if found is not None and not found[0].done():
                found[0].set_result(message)
            return
        for sink in self._owners(message):
            sink(message)

    def fail(self, make: Callable[[], Exception]) -> None:
        """Nothing will come any more."""
        for answer, _ in self._waiting.values():
            if not answer.done():
                answer.set_exception(make())

    def _owners(self, message: Message) -> list[Sink]:
        owner = self._waiting.get(_named(message))
        if owner is not None:
            return [owner[1]]
        if not self._listeners and len(self._calls) == 1 and not self._given_up:
            return list(self._calls.values())
        return self._listeners[:]


def _named(message: Message) -> Id:
    """The request that a notification says it belongs to, if it says so; ``None`` is the id of none."""
    params = bytes(message.params)
    if b"progressToken" not in params and SUBSCRIPTION.encode() not in params:
        return None
    try:
        found = _decode(params)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return found.progress if message.method == "notifications/progress" else found.meta.subscription

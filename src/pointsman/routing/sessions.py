"""Which model a session was routed to last, and which one has called a tool: bounded in number and in age."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable

import msgspec

TTL = 3600.0
MAX_SESSIONS = 20_000
MAX_CALLS = 50_000


class Last(msgspec.Struct, frozen=True):
    """Where the last request of a session went."""

    model: str
    tokens: int
    """Of its prompt, at least: what that model's provider may have cached."""
    until: float


class Sessions:
    """The sessions of one routed model. Times are of one clock, in seconds."""

    def __init__(self, ttl: float = TTL, size: int = MAX_SESSIONS) -> None:
        self._ttl = ttl
        self._size = size
        self._last: OrderedDict[Hashable, Last] = OrderedDict()

    def __len__(self) -> int:
        return len(self._last)

    def find(self, key: Hashable, now: float) -> Last | None:
        """The last request of the session ``key``, unless it was too long ago."""
        last = self._last.get(key)
        return last if last is not None and last.until > now else None

    def keep(self, key: Hashable, model: str, tokens: int, now: float) -> None:
        """Note where a request of the session ``key`` has gone."""
        self._last[key] = Last(model, tokens, now + self._ttl)
        self._last.move_to_end(key)
        if len(self._last) > self._size:
            self._last.popitem(last=False)


class ToolCalls:
    """Who has made which tool calls, by their ids. Times are of one clock, in seconds."""

    def __init__(self, ttl: float = TTL, size: int = MAX_CALLS) -> None:
        self._ttl = ttl
        self._size = size
        self._made: OrderedDict[tuple[str, str], tuple[str | None, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._made)

    def keep(self, tenant: str, ids: Iterable[str], model: str, now: float) -> None:
        """Note that ``model`` has made these calls for ``tenant``."""
        for ident in ids:
            key = (tenant, ident)
            there = self._made.get(key)
            # Some upstreams number their calls anew in each answer: such an id tells nothing.
            is_another = there is not None and there[1] > now and there[0] != model
            self._made[key] = (None if is_another else model, now + self._ttl)
            self._made.move_to_end(key)
            if len(self._made) > self._size:
                self._made.popitem(last=False)

    def find(self, tenant: str, ids: Iterable[str], now: float) -> str | None:
        """Who has made the first of these calls of which that is known."""
        for ident in ids:
            model, until = self._made.get((tenant, ident), (None, 0.0))
            if model is not None and until > now:
                return model
        return None

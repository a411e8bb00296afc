"""One timer that lets many quiet streams say something now and then."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

AT_ONCE: Final = 500
"""Streams that speak before the loop turns to other things."""


class Beating(Protocol):
    """A stream."""

    def beat(self) -> None:
        """Say something if it was quiet since the last time; may add and discard members."""


class Beats:
    """Calls ``beat`` of each member every so many seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        """From the next time on."""
        self._members: dict[Beating, None] = {}
        self._timer: asyncio.Handle | None = None

    def __len__(self) -> int:
        return len(self._members)

    def add(self, member: Beating) -> None:
        """Make it a member; no-op when it is one."""
        self._members[member] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self.seconds, self.beat)

    def discard(self, member: Beating) -> None:
        """End its membership, if any."""
        self._members.pop(member, None)

    def beat(self) -> None:
        """Let each say something that was quiet since the last time."""
        if self._timer is not None:
            self._timer.cancel()
        self._go_on(list(self._members))

    def close(self) -> None:
        """No more of it."""
        self._members.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _go_on(self, waiting: list[Beating]) -> None:
        for member in waiting[:AT_ONCE]:
            if member in self._members:
                member.beat()
        loop = asyncio.get_running_loop()
        if len(waiting) > AT_ONCE:
            self._timer = loop.call_soon(self._go_on, waiting[AT_ONCE:])
        elif self._members:
            self._timer = loop.call_later(self.seconds, self.beat)
        else:
            self._timer = None

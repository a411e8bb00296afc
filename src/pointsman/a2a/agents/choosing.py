"""In which way an agent is spoken to.

Cards lie: many say 1.0 and speak 0.3. So after the interfaces of a card come guesses, and what did not work while the
next one did is not tried again as long as the card stays the same.
"""

from __future__ import annotations

from typing import Final

import msgspec

from pointsman.a2a.base import Interface
from pointsman.a2a.protocol.operations import VERSIONS, Binding, Operation, Version
from pointsman.a2a.settings import AgentSettings

BINDINGS: Final[tuple[Binding, ...]] = ("jsonrpc", "rest")
MOST: Final = 4
"""Ways that are tried for one request."""
CORE: Final = frozenset({Operation.SEND, Operation.STREAM, Operation.GET, Operation.CANCEL})
"""Every agent can do that: whoever does not know it speaks something else. The rest may just not be there."""


def ordered(interfaces: tuple[Interface, ...], settings: AgentSettings, wished: Version) -> tuple[Interface, ...]:
    """All ways for a client of one version: of its version before the other, JSON-RPC before REST; guesses last."""
    known = sorted(interfaces, key=lambda one: (one.version != wished, one.binding != "jsonrpc"))
    if not known:
        binding = settings.binding or "jsonrpc"
        known = [Interface(url=settings.url, binding=binding, version=settings.protocol_version or wished)]
    versions = sorted(VERSIONS, key=lambda one: one != wished)
    versions = [one for one in versions if settings.protocol_version in (None, one)]
    bindings = [one for one in BINDINGS if settings.binding in (None, one)]
    bindings.sort(key=lambda binding: all(one.binding != binding for one in known))
    guesses = [
        msgspec.structs.replace(one, version=version, binding=binding, tenant="")
        for binding in bindings
        for version in versions
        for one in ([of for of in known if of.binding == binding] or known[:1])
    ]
    named = {(one.url, one.binding, one.version) for one in known}
    return (*known, *(one for one in guesses if (one.url, one.binding, one.version) not in named))


class Ways:
    """What is known of the ways to one agent."""

    def __init__(self, settings: AgentSettings) -> None:
        self._settings = settings
        self._interfaces: tuple[Interface, ...] | None = None
        self._orders: dict[Version, tuple[Interface, ...]] = {}
        self._wrong: set[Interface] = set()
        self._proven: set[Interface] = set()

    def for_(self, interfaces: tuple[Interface, ...], wished: Version) -> tuple[Interface, ...]:
        """Those that are worth a try, the best first; at least one. ``interfaces`` are those of the card."""
        if interfaces is not self._interfaces:
            if interfaces != self._interfaces:
                self._wrong.clear()
                self._proven.clear()
                self._orders.clear()
            self._interfaces = interfaces
        found = self._orders.get(wished)
        if found is None:
            every = ordered(interfaces, self._settings, wished)
            found = tuple(one for one in every if one not in self._wrong)[:MOST] or every[:MOST]
            self._orders[wished] = found
        return found

    def forget(self) -> None:
        """Nothing works any more: what did not before may do now."""
        self._wrong.clear()
        self._orders.clear()

    def is_proven(self, way: Interface) -> bool:
        """Whether it has worked."""
        return way in self._proven

    def is_firm(self, way: Interface, operation: Operation) -> bool:
        """Whether an agent that does not know an operation just cannot do it, and is spoken to in the right way."""
        return way in self._proven and operation not in CORE

    def has_worked(self, way: Interface, failed: list[Interface], operation: Operation) -> bool:
        """Take note; whether something was learnt: ``failed`` were tried before it in vain."""
        self._proven.add(way)
        learnt = set(failed) - self._wrong
        if not learnt or operation not in CORE:
            return False
        self._wrong |= learnt
        self._wrong.discard(way)
        self._orders.clear()
        return True

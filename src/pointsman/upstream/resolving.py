"""From a name to addresses, once for everybody who asks at the same time.

A burst of requests to a host without connections dials many times at once. Resolvers run in a handful of threads, so
a thousand equal questions would take longer than the time to connect. The first one asks, the others wait for its
answer, and the answer is kept for a few seconds.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from itertools import chain, zip_longest

KEPT_SECONDS = 5.0
"""How long an answer is used; far below what names commonly live, since the loop does not tell how long that is."""

MAX_NAMES = 1024

Address = tuple[socket.AddressFamily, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]]
Name = tuple[str, int]


class Resolver:
    """The loop's resolver, with shared questions and a short memory."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._known: dict[Name, tuple[float, list[Address]]] = {}
        self._asked: dict[Name, asyncio.Future[list[Address] | OSError | None]] = {}

    async def addresses(self, host: str, port: int) -> list[Address]:
        """Return the addresses in the order to try them. Raises ``OSError`` when there is none."""
        name = (host, port)
        while True:
            until, known = self._known.get(name, (0.0, []))
            if self.loop.time() < until:
                return known
            asked = self._asked.get(name)
            if asked is None:
                return await self._ask(name)
            # Not ``await asked``: cancelling one who waits must not cancel it for the others.
            await asyncio.wait((asked,))
            answer = asked.result()
            if isinstance(answer, OSError):
                raise answer
            if answer is not None:
                return answer
            # Who asked was cancelled; the next one asks.

    def forget(self, host: str, port: int) -> None:
        """Ask anew next time: nobody answered at the known addresses."""
        self._known.pop((host, port), None)

    async def _ask(self, name: Name) -> list[Address]:
        asked = self._asked[name] = self.loop.create_future()
        answer: list[Address] | OSError | None = None
        try:
            found = await self.loop.getaddrinfo(name[0], name[1], type=socket.SOCK_STREAM)
            answer = interleaved([(family, address) for family, _, _, _, address in found])
        except OSError as error:
            answer = error
            raise
        finally:
            del self._asked[name]
            asked.set_result(answer)
        self._keep(name, answer)
        return answer

    def _keep(self, name: Name, addresses: list[Address]) -> None:
        if len(self._known) >= MAX_NAMES:
            self._known.clear()
        self._known[name] = (self.loop.time() + KEPT_SECONDS, addresses)


def interleaved(addresses: Sequence[Address]) -> list[Address]:
    """Return the addresses, each once, alternating between the families, the first one's family first."""
    unique = list(dict.fromkeys(addresses))
    first = [address for address in unique if address[0] == unique[0][0]]
    others = [address for address in unique if address[0] != unique[0][0]]
    return [a for a in chain.from_iterable(zip_longest(first, others)) if a is not None]

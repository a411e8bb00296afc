"""One session with a server for one session of a client, whichever of several processes the client meets.

A session over streamable HTTP is only an id. So a process that needs one for a client asks the others first whether
they have it, and goes on with theirs. Two that begin at once do not miss each other: the one whose name comes first
begins, and has the other one wait. What the server says of itself reaches one of them; what is not for that one it
passes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec

from pointsman.wire.jsonrpc import Message, RpcError, parse

LEND: Final = "lend"
STRAY: Final = "stray"
BORROW_SECONDS: Final = 10.0
"""That the others have to say whether they have a session; one of them may just be beginning it."""
Ask = Callable[[Mapping[str, Any]], Awaitable[Sequence[Mapping[str, Any]]]]


class Lent(msgspec.Struct, frozen=True):
    """A session that another process has begun."""

    session: str
    result: str
    """That of ``initialize``."""


class Wanted(msgspec.Struct, frozen=True):
    """Which session a process would go on with."""

    server: str
    client: str
    """The session of the client."""
    rival: str
    """The process that asks."""
    lost: str = ""
    """A session which the server has forgotten."""


class Stray(msgspec.Struct, frozen=True):
    """What a server has said in a session to a process that has no use for it."""

    server: str
    client: str
    message: str


class Resumable(Protocol):
    """A transport whose session can be that of somebody else."""

    @property
    def session(self) -> str | None: ...

    def resume(self, session: str | None) -> None:
        """Go on with this session; ``None``: with none, and without ending the one that there was."""


class Lender(Protocol):
    """The session of a process with a server."""

    async def lend(self, wanted: Wanted) -> Lent | None: ...

    def take_passed(self, message: Message) -> bool:
        """Take what another process has heard; whether it was for this one."""


class Joint:
    """What one process and the others have in common: the session of a client with a server."""

    def __init__(self, ask: Ask, name: str, first_number: int, server: str, client: str, transport: Resumable) -> None:
        """``name`` is that of this process.

        Its requests are numbered from ``first_number`` on: no two in a session may have the same number.
        """
        self.name = name
        self.first_number = first_number
        self._ask = ask
        self._server = server
        self._client = client
        self._transport = transport

    @property
    def session(self) -> str:
        """Its id; empty: there is none."""
        return self._transport.session or ""

    def resume(self, session: str | None) -> None:
        """See :class:`Resumable`."""
        self._transport.resume(session)

    async def borrow(self, lost: str) -> Lent | None:
        """The session that another process has, if it is not the one that is ``lost``."""
        wanted = Wanted(self._server, self._client, self.name, lost)
        try:
            async with asyncio.timeout(BORROW_SECONDS):
                told = await self._ask({LEND: msgspec.to_builtins(wanted)})
        except TimeoutError:
            return None
        return next((msgspec.convert(one[LEND], Lent) for one in told if one.get(LEND)), None)

    async def pass_on(self, message: Message) -> bool:
        """Hand what the server has said to the others; whether it was for one of them."""
        stray = Stray(self._server, self._client, message.encode().decode())
        return any(one.get(STRAY) for one in await self._ask({STRAY: msgspec.to_builtins(stray)}))


async def hear(told: Mapping[str, Any], find: Callable[[str, str], Lender | None]) -> Mapping[str, Any]:
    """What another process asks, and what there is to say; ``find`` gives the session of a client with a server."""
    if LEND in told:
        wanted = msgspec.convert(told[LEND], Wanted)
        lender = find(wanted.server, wanted.client)
        lent = None if lender is None else await lender.lend(wanted)
        return {} if lent is None else {LEND: msgspec.to_builtins(lent)}
    stray = msgspec.convert(told[STRAY], Stray)
    lender = find(stray.server, stray.client)
    try:
        return {} if lender is None else {STRAY: lender.take_passed(parse(stray.message))}
    except RpcError:
        return {}

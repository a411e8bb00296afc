"""Finding out of which era a server is.

The first request is one of the era that is preferred; whoever does not know it is of the other one. Which refusal a
legacy server has for a modern request is not said anywhere, so that only the few errors that modern servers alone know
speak against it (specification 2026-07-28, "Versioning").

A server of both eras may be able to do things in one of them only, such as asking its client, which the newer one does
in another way; so it is best spoken with in the era of the client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from msgspec import Raw

from pointsman.errors import GatewayError, UpstreamError, UpstreamRejected
from pointsman.mcp.base import Asking, Era, Interest, Introduction, Sink, Transport, Watch
from pointsman.mcp.joining import Lent, Wanted
from pointsman.mcp.protocol.revisions import (
    HEADER_MISMATCH,
    LEGACY,
    MISSING_CAPABILITY,
    MODERN,
    UNSUPPORTED_VERSION,
)
from pointsman.mcp.servers.legacy import LegacyServer
from pointsman.mcp.servers.modern import ModernServer
from pointsman.mcp.servers.pauses import Backoff, is_final
from pointsman.mcp.servers.profile import Profile
from pointsman.mcp.servers.watchers import Watching
from pointsman.telemetry.tasks import Tasks
from pointsman.wire.jsonrpc import Message, RpcError

PROBE_SECONDS: Final = 10.0
"""That a server over stdio has to answer the first request, its start included. Older ones may be silent."""


def _forget(_era: Era) -> None:
    """Nobody wants to know."""


class _Relayed(Watching):
    """Watches a server as soon as it is known of which era that is."""

    __slots__ = ("_watch",)

    def __init__(self, interest: Interest, sink: Sink, on_close: Callable[[Watching], None]) -> None:
        super().__init__(interest, sink, on_close)
        self._watch: Watch | None = None

    def relay(self, watch: Watch) -> Watch:
        """Watch by another one."""
        self._watch = watch
        self.arrive()
        return watch

    async def ready(self) -> None:
        """See :class:`~pointsman.mcp.base.Watch`."""
        await super().ready()
        if self._watch is not None:
            await self._watch.ready()


class Probing:
    """A :class:`~pointsman.mcp.base.Server` of whichever era it is.

    ``prefer`` is the era to try first: that of the client, or what is known of the server, which spares a request and
    is not relied on. ``on_era`` is told what was found.
    """

    def __init__(
        self,
        transport: Transport,
        profile: Profile,
        tasks: Tasks,
        *,
        prefer: Era = "modern",
        on_era: Callable[[Era], None] = _forget,
    ) -> None:
        self._transport = transport
        self._profile = profile
        self._tasks = tasks
        self._prefer = prefer
        self._pinned = _pinned(profile.revision)
        self._on_era = on_era
        self._server: LegacyServer | ModernServer | None = None
        self._beginning = asyncio.Lock()
        self._waiting: dict[_Relayed, Watch | None] = {}
        """Who watches, and by what; ``None``: the server was not reached yet."""
        self._reaching: asyncio.Task[None] | None = None
        self._older_one: LegacyServer | None = None
        """While it is found out whether it is one of that era, and if it is."""

    @property
    def introduction(self) -> Introduction | None:
        """See :class:`~pointsman.mcp.base.Server`."""
        return None if self._server is None else self._server.introduction

    async def introduce(self) -> Introduction:
        """See :class:`~pointsman.mcp.base.Server`."""
        return await (await self._reach()).introduce()

    async def call(self, method: str, params: Raw, asking: Asking, deadline: float) -> Raw:
        """See :class:`~pointsman.mcp.base.Server`."""
        server = self._server or await self._reach()
        try:
            return await server.call(method, params, asking, deadline)
        except RpcError as error:
            if error.code != UNSUPPORTED_VERSION:
                raise
            # It was another one when it was probed.
            self._lose(server)
        return await (await self._reach()).call(method, params, asking, deadline)

    async def notify(self, method: str, params: Raw) -> None:
        """See :class:`~pointsman.mcp.base.Server`."""
        if self._server is not None:
            await self._server.notify(method, params)

    def watch(self, interest: Interest, sink: Sink) -> Watch:
        """See :class:`~pointsman.mcp.base.Server`."""
        watching = _Relayed(interest, sink, self._unwatch)
        self._waiting[watching] = None if self._server is None else watching.relay(self._server.watch(interest, sink))
        if self._server is None and (self._reaching is None or self._reaching.done()):
            self._reaching = self._tasks.start(self._reach_at_last(), f"reach: MCP server {self._profile.name}")
        return watching

    async def close(self) -> None:
        """See :class:`~pointsman.mcp.base.Server`."""
        self._waiting.clear()
        if self._reaching is not None:
            self._reaching.cancel()
        await (self._transport if self._server is None else self._server).close()

    async def lend(self, wanted: Wanted) -> Lent | None:
        """See :class:`~pointsman.mcp.joining.Lender`."""
        return None if self._older_one is None else await self._older_one.lend(wanted)

    def take_passed(self, message: Message) -> bool:
        """See :class:`~pointsman.mcp.joining.Lender`."""
        return self._older_one is not None and self._older_one.take_passed(message)

    # Inside.

    async def _reach(self) -> LegacyServer | ModernServer:
        async with self._beginning:
            if self._server is None:
                server = self._server = await self._probe()
                for watching, watch in tuple(self._waiting.items()):
                    if watch is None:
                        self._waiting[watching] = watching.relay(server.watch(watching.interest, watching.sink))
            return self._server

    async def _probe(self) -> LegacyServer | ModernServer:
        legacy = self._older_one = LegacyServer(self._transport, self._profile, self._tasks)
        modern = ModernServer(self._transport, self._profile, self._tasks)
        found: LegacyServer | ModernServer
        if (self._pinned or self._prefer) == "legacy":
            found = legacy if await self._is_legacy(legacy, modern) else modern
        else:
            found = modern if await self._is_modern(modern) else await self._older(legacy, modern)
        self._on_era("legacy" if found is legacy else "modern")
        return found

    async def _is_modern(self, modern: ModernServer) -> bool:
        has_headers = self._profile.has_headers
        try:
            async with asyncio.timeout(None if has_headers or self._pinned else PROBE_SECONDS):
                await modern.introduce()
        except RpcError as error:
            if self._pinned or says_modern(error):
                raise
        except GatewayError as error:
            if self._pinned or not may_be_other(error, has_headers=has_headers):
                raise
        except TimeoutError:
            # An older server may be silent.
            return False
        else:
            return True
        return False

    async def _older(self, legacy: LegacyServer, modern: ModernServer) -> LegacyServer | ModernServer:
        try:
            await legacy.introduce()
        except RpcError as error:
            if error.code != UNSUPPORTED_VERSION:
                raise
            # It was slow with its answer to the first request, and is not of the older era.
            await modern.introduce()
            return modern
        return legacy

    async def _is_legacy(self, legacy: LegacyServer, modern: ModernServer) -> bool:
        try:
            await legacy.introduce()
        except (RpcError, GatewayError) as error:
            if self._pinned:
                raise
            if isinstance(error, GatewayError) and not may_be_other(error, has_headers=self._profile.has_headers):
                raise
            if not await self._is_modern(modern):
                raise
            return False
        return True

    def _lose(self, server: LegacyServer | ModernServer) -> None:
        server.leave()
        if self._server is server:
            self._server = None
            self._waiting = dict.fromkeys(self._waiting)

    def _unwatch(self, watching: Watching) -> None:
        assert isinstance(watching, _Relayed)
        watch = self._waiting.pop(watching, None)
        if watch is not None:
            watch.close()

    async def _reach_at_last(self) -> None:
        """For those who watch a server that was not reached yet."""
        backoff = Backoff()
        while self._waiting:
            try:
                await self._reach()
            except RpcError:
                return
            except GatewayError as error:
                if isinstance(error, UpstreamRejected) and is_final(error.status):
                    return
                backoff.fail(0.0)
            else:
                return
            await asyncio.sleep(backoff.seconds)


def says_modern(error: RpcError) -> bool:
    """Whether only a modern server gives this error, so that it is not spoken with as with a legacy one."""
    if error.code in (HEADER_MISMATCH, MISSING_CAPABILITY):
        return True
    if error.code != UNSUPPORTED_VERSION:
        return False
    supported: Any = error.data.get("supported") if isinstance(error.data, dict) else None
    return isinstance(supported, list) and bool(supported) and not any(one in LEGACY for one in supported)


def may_be_other(error: GatewayError, *, has_headers: bool) -> bool:
    """Whether a server may fail like this at a request of the other era."""
    if isinstance(error, UpstreamRejected):
        return is_final(error.status)
    # Over stdio it may have said nothing at all, or ended.
    return not has_headers and isinstance(error, UpstreamError)


def _pinned(revision: str | None) -> Era | None:
    if revision is None:
        return None
    return "modern" if revision in MODERN else "legacy"

"""The door."""

from __future__ import annotations

from pointsman.a2a.base import Cards, Gateway
from pointsman.a2a.fronts import jsonrpc, rest
from pointsman.a2a.fronts.answering import Answering
from pointsman.a2a.fronts.streams import Request, Streams
from pointsman.a2a.settings import A2aSettings
from pointsman.telemetry.tasks import Tasks
from pointsman.upstream.beats import Beats


class Fronts:
    """All that speak the protocol to clients."""

    def __init__(self, gateway: Gateway, cards: Cards, settings: A2aSettings, tasks: Tasks) -> None:
        self._beats = Beats(settings.ping_seconds / 2)
        self._streams = Streams(self._beats, tasks, settings.max_streams)
        self._answering = Answering(gateway, cards, self._streams)

    def configure(self, settings: A2aSettings) -> None:
        """Go by these settings from now on; what goes on is not touched."""
        # A stream that was quiet between two beats speaks with the second.
        self._beats.seconds = settings.ping_seconds / 2
        self._streams.most = settings.max_streams

    async def post(self, request: Request) -> None:
        """``POST`` to the address of an agent: JSON-RPC."""
        await jsonrpc.answer(self._answering, request)

    async def rest(self, request: Request) -> None:
        """A path below it."""
        await rest.answer(self._answering, request)

    def drain(self) -> None:
        """End the streams in which nothing happens: their clients go elsewhere, and subscribe there."""
        self._streams.is_draining = True

    def close(self) -> None:
        """No more pings."""
        self._beats.close()

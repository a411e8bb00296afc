"""One request of a client, from what was read of it to its reply."""

from __future__ import annotations

from functools import partial

from pointsman.a2a.base import Call, Cards, Gateway
from pointsman.a2a.capabilities import extensions
from pointsman.a2a.fronts.streams import Form, Request, Stream, Streams
from pointsman.a2a.fronts.versions import EXTENSIONS, extensions_of
from pointsman.a2a.protocol.operations import Operation, Version


class Answering:
    """Has the gateway answer."""

    def __init__(self, gateway: Gateway, cards: Cards, streams: Streams) -> None:
        self._gateway = gateway
        self._cards = cards
        self._streams = streams

    async def answer(self, request: Request, operation: Operation, version: Version, params: bytes, form: Form) -> None:
        """Reply to a request.

        :raises RpcError: the agent, or the protocol, refuses, and nothing was sent yet
        :raises GatewayError: the same for other failures
        """
        call = Call(
            caller=request.caller,
            agent=request.agent,
            operation=operation,
            version=version,
            params=params,
            extensions=extensions_of(request.headers),
            headers=request.headers,
            request_id=request.id,
        )
        if operation.is_streamed:
            stream = Stream(request, self._streams)
            await stream.tell(self._gateway.stream(call), form, partial(self._in_force, call))
            return
        lines, body = form.result(await self._gateway.ask(call))
        request.reply.reply(200, lines + request.lines + await self._in_force(call), body)

    async def _in_force(self, call: Call) -> bytes:
        """The header line with the extensions that a client wants and the agent has."""
        if not call.extensions:
            return b""
        uris = extensions((await self._cards.live(call.agent)).card)
        both = ", ".join(uri for uri in call.extensions if uri in uris)
        return b"%b: %b\r\n" % (EXTENSIONS[call.version], both.encode("latin-1")) if both else b""

"""The door: of which era a request is, and whether there is anything for it here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from secrets import token_hex
from typing import Any, Final

import msgspec

from pointsman.errors import GatewayError, MethodNotAllowed, Overloaded, RouteNotFound, UnsupportedMediaType
from pointsman.mcp.base import Scope
from pointsman.mcp.fronts.legacy import LegacyFront, kept_status
from pointsman.mcp.fronts.live import Event
from pointsman.mcp.fronts.modern import ModernFront, servers_of
from pointsman.mcp.fronts.parking import Parking, Visit
from pointsman.mcp.fronts.serving import Gateway
from pointsman.mcp.fronts.sse import SseFront
from pointsman.mcp.fronts.streams import BEAT_SECONDS, JSON, Request, accepts, refusal
from pointsman.mcp.protocol import headers, revisions
from pointsman.mcp.protocol.envelopes import is_modern, status_of
from pointsman.mcp.sessions import Tokens
from pointsman.mcp.settings import McpSettings
from pointsman.telemetry.tasks import Tasks
from pointsman.upstream.beats import Beats
from pointsman.wire.jsonrpc import INVALID_REQUEST, Message, RpcError, parse

EVENTS_ONLY: Final = "This address streams events: send 'Accept: text/event-stream', or POST a JSON-RPC message"


class Fronts:
    """All that speak the protocol to clients."""

    def __init__(self, gateway: Gateway, settings: McpSettings, tokens: Tokens, tasks: Tasks) -> None:
        limits = settings.limits
        self._gateway = gateway
        self._serves_sse = settings.serves_sse
        self._is_draining = False
        self._tasks = tasks
        self._beats = Beats(BEAT_SECONDS)
        self._parking = Parking(tokens, tasks, _new_name, token_hex(4), limits)
        self._legacy = LegacyFront(gateway, tokens, self._beats, _new_name, limits)
        self._modern = ModernFront(gateway, tokens, self._beats, self._parking, limits)
        self._sse = SseFront(self._legacy, self._beats, tasks, limits)

    def configure(self, settings: McpSettings) -> None:
        """Go by these settings from now on; what goes on is not touched."""
        self._serves_sse = settings.serves_sse
        for front in (self._legacy, self._modern, self._sse, self._parking):
            front.limits = settings.limits

    def join(self, ask: Callable[[Mapping[str, Any]], Awaitable[Sequence[Mapping[str, Any]]]]) -> None:
        """Serve together with other processes: ``ask`` has each of them :meth:`hear`, and gives what they say."""

        async def tell(event: Event) -> None:
            await ask({"event": msgspec.to_builtins(event)})

        def share(event: Event) -> None:
            with suppress(Overloaded):
                self._tasks.start(tell(event), "tell other workers of an MCP session")

        async def visit(visit: Visit) -> Sequence[Mapping[str, Any]]:
            return await ask({"visit": msgspec.to_builtins(visit)})

        self._legacy.share, self._parking.ask_others = share, visit

    async def hear(self, told: Mapping[str, Any]) -> Mapping[str, Any]:
        """What another process tells or asks, and what there is to say to it."""
        if "visit" in told:
            return await self._parking.visit(msgspec.convert(told["visit"], Visit))
        self._legacy.hear(msgspec.convert(told["event"], Event))
        return {}

    async def post(self, request: Request) -> None:
        """``POST``: one message, or several of one revision."""
        message: Message | None = None
        try:
            _check_kind(request)
            if request.body.lstrip()[:1] == b"[":
                await self._legacy.post_batch(request, self._scope(request))
                return
            message = _named(parse(request.body))
            if is_modern(message.params) or revision_of(request) in revisions.MODERN:
                await self._modern.post(request, message)
            else:
                await self._legacy.post(request, self._scope(request), message)
        except (RpcError, GatewayError) as error:
            _refuse(request, message, error)

    async def get(self, request: Request) -> None:
        """``GET``: the stream of a session."""
        try:
            self._check_stream(request)
            await self._legacy.get(request, self._scope(request))
        except (RpcError, GatewayError) as error:
            _refuse(request, None, error)

    async def delete(self, request: Request) -> None:
        """``DELETE``: the end of a session."""
        try:
            _check_era(request)
            await self._legacy.delete(request)
        except (RpcError, GatewayError) as error:
            _refuse(request, None, error)

    async def get_sse(self, request: Request) -> None:
        """``GET``: the stream of a client of 2024-11-05."""
        try:
            self._check_sse()
            self._check_stream(request)
            await self._sse.get(request, self._scope(request))
        except (RpcError, GatewayError) as error:
            _refuse(request, None, error)

    async def post_sse(self, request: Request) -> None:
        """``POST``: a message of a client of 2024-11-05."""
        try:
            self._check_sse()
            await self._sse.post(request)
        except (RpcError, GatewayError) as error:
            _refuse(request, None, error)

    def drain(self) -> None:
        """End the streams that would never end, and open none: their clients go elsewhere."""
        self._is_draining = True
        for front in (self._legacy, self._modern, self._sse):
            front.release()

    def close(self) -> None:
        """End all that goes on."""
        self.drain()
        self._parking.close()
        self._legacy.close()
        self._beats.close()

    def _scope(self, request: Request) -> Scope:
        return self._gateway.scope(request.caller, request.server, servers_of(request))

    def _check_sse(self) -> None:
        if not self._serves_sse:
            raise RouteNotFound("The HTTP+SSE transport is switched off here: POST to /mcp")

    def _check_stream(self, request: Request) -> None:
        _check_era(request)
        if b"text/event-stream" not in request.headers.get(b"accept", b"").lower():
            raise RpcError(INVALID_REQUEST, EVENTS_ONLY, status=406)
        if self._is_draining:
            raise Overloaded(retry_after=1)


def _check_kind(request: Request) -> None:
    kind = request.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind != b"application/json":
        raise UnsupportedMediaType("This path takes JSON: send Content-Type: application/json")
    if not any(accepts(request.headers)):
        raise RpcError(INVALID_REQUEST, "Accept has to name application/json and text/event-stream", status=406)


def _named(message: Message) -> Message:
    if message.method and message.id is None:
        raise RpcError(INVALID_REQUEST, "The id of a request must not be null", status=400)
    return message


def _check_era(request: Request) -> None:
    version = revision_of(request)
    if version in revisions.MODERN:
        raise MethodNotAllowed(f"Revision {version} knows POST alone", headers=(("allow", "POST"),))


def revision_of(request: Request) -> str:
    """What the header says; empty: nothing."""
    return request.headers.get(headers.VERSION, b"").strip().decode("latin-1")


def _refuse(request: Request, message: Message | None, error: RpcError | GatewayError) -> None:
    name = None if message is None or isinstance(message.id, msgspec.UnsetType) else message.id
    answer = refusal(name, error, status_of if revision_of(request) in revisions.MODERN else kept_status)
    if message is not None and not message.is_request and answer.status < 400:
        # Nobody waits for an answer, so that the status alone can tell.
        answer = msgspec.structs.replace(answer, status=400)
    request.reply.reply(answer.status, JSON + request.lines + answer.lines, answer.body)


def _new_name() -> str:
    return token_hex(16)

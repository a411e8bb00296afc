"""Clients of the revisions with sessions, up to 2025-11-25.

A session begins with ``initialize`` and is in its id, which the client shows with every request. What a server says on
the way, and what it asks, goes out on the reply to the request that it belongs to; the client answers in a request of
its own. Everything else goes to the stream that the client has opened by GET.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final

import msgspec
from msgspec import Raw

from pointsman.errors import GatewayError, Overloaded
from pointsman.mcp.base import Client, Interest, Scope, Watch
from pointsman.mcp.fronts.live import Event, Live, LiveSessions, Running, key_of
from pointsman.mcp.fronts.parking import is_level
from pointsman.mcp.fronts.serving import Gateway
from pointsman.mcp.fronts.streams import Answer, Answering, Request, event_of, refusal, respond
from pointsman.mcp.protocol import headers, revisions
from pointsman.mcp.protocol.envelopes import initialize_result
from pointsman.mcp.sessions import Tokens, Unknown
from pointsman.mcp.settings import Limits
from pointsman.upstream.beats import Beats
from pointsman.wire.jsonrpc import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    Id,
    Message,
    RpcError,
    notification,
    parse,
    parse_batch,
    success,
)
from pointsman.wire.jsonrpc import request as rpc_request

NOTHING: Final = Raw(b"{}")
NOT_FOUND: Final = 404
MAX_BATCH: Final = 100
MAX_URIS: Final = 1_000
"""Of resources that one session watches."""
NO_SESSION: Final = "Begin with 'initialize' and show the Mcp-Session-Id that its reply has"
ENDED: Final = "Session not found: begin another one with 'initialize'"
TIMED_OUT: Final = 408
CANCELLED: Final = "notifications/cancelled"
GONE: Final = "The client cannot be asked: it takes no events"


class LegacyAsking:
    """A request of a legacy client, while it goes on."""

    def __init__(
        self, client: Client, live: Live, answering: Answering, new_name: Callable[[], str], seconds: float
    ) -> None:
        self.client = client
        self._live = live
        self._answering = answering
        self._new_name = new_name
        self._seconds = seconds

    def tell(self, message: Message) -> None:
        """Pass it on, unless it is a log message that is too low."""
        if message.method != "notifications/message" or is_level(message, self._live.log_level):
            self._answering.tell(message)

    async def ask(self, method: str, params: Raw) -> Raw:
        """Send it a request, on the reply to its own, and wait until it posts the answer.

        :raises RpcError: it says no, cannot, or does not in time
        """
        lacking = revisions.missing(method, Message(params=params).read(), self.client.capabilities)
        if lacking is not None or not self._answering.can_stream:
            raise RpcError(METHOD_NOT_FOUND, GONE if lacking is None else f"The client has not declared {method}")
        name = self._new_name()
        waiter: asyncio.Future[Raw] = asyncio.get_running_loop().create_future()
        self._live.asks[name] = waiter
        self._answering.send(rpc_request(name, method, params))
        try:
            async with asyncio.timeout(self._seconds):
                return await waiter
        except TimeoutError:
            raise RpcError(TIMED_OUT, f"The client has not answered {method} in time") from None
        finally:
            del self._live.asks[name]
            if not waiter.done() or waiter.cancelled():
                self._answering.send(notification(CANCELLED, {"requestId": name}))


class LegacyFront:
    """Answers them."""

    def __init__(
        self,
        gateway: Gateway,
        tokens: Tokens,
        beats: Beats,
        new_name: Callable[[], str],
        limits: Limits,
    ) -> None:
        self._gateway = gateway
        self._tokens = tokens
        self._beats = beats
        self.new_name = new_name
        self.limits = limits
        self.sessions = LiveSessions(lambda: self.limits.max_sessions)
        self.share: Callable[[Event], None] = lambda _: None
        """Tells the other processes that serve the same clients."""
        self._streams = 0

    # -- HTTP -----------------------------------------------------------------------------------------------------

    async def post(self, request: Request, scope: Scope, message: Message) -> None:
        """One message of a client.

        :raises RpcError: there is no session for it
        """
        if message.method == "initialize" and message.is_request:
            await respond(
                request, self._beats, id_of(message), lambda _: self._begin(request, scope, message), kept_status
            )
            return
        client = self.client_of(request)
        with self.sessions.using(client.session) as live:
            if message.is_request:
                work = partial(self.answer, scope, client, live, message)
                await respond(request, self._beats, id_of(message), work, kept_status)
            else:
                await self.take(scope, client, live, message)
                request.reply.reply(202, request.lines, b"")

    async def post_batch(self, request: Request, scope: Scope) -> None:
        """Several messages in an array, which one revision had.

        :raises RpcError: this is not that revision, or no such array
        """
        client = self.client_of(request)
        if client.revision not in revisions.BATCHES:
            raise RpcError(INVALID_REQUEST, f"Revision {client.revision} has no batches", status=400)
        messages = parse_batch(request.body, MAX_BATCH)
        asked = [message for message in messages if message.is_request]
        if any(message.method == "initialize" for message in asked):
            raise RpcError(INVALID_REQUEST, "'initialize' cannot be part of a batch", status=400)
        with self.sessions.using(client.session) as live:
            for message in messages:
                if not message.is_request:
                    await self.take(scope, client, live, message)
            if not asked:
                request.reply.reply(202, request.lines, b"")
                return
            work = partial(self._answer_all, scope, client, live, asked)
            await respond(request, self._beats, None, work, kept_status)

    async def get(self, request: Request, scope: Scope) -> None:
        """Open the stream of a session, until the client leaves or the session ends.

        :raises RpcError: there is no such session
        :raises Overloaded: there are too many streams
        """
        client = self.client_of(request)
        if self._streams >= self.limits.max_streams:
            raise Overloaded("Too many streams are open; try again", retry_after=5)
        with self.sessions.using(client.session) as live:
            stream = Answering(request, self._beats)
            self._streams += 1
            try:
                live.party = (scope, client)
                watch = self.watch(scope, client, live, has_stream=True)
                if watch is not None:
                    await watch.ready()
                stream.open()
                live.open(stream)
                await stream.last()
                stream.end()
            finally:
                stream.leave()
                self._streams -= 1
                if live.stream in {None, stream}:
                    live.stream = None
                    with suppress(Overloaded):
                        self.watch(scope, client, live)

    async def delete(self, request: Request) -> None:
        """End a session.

        :raises RpcError: there is no such session
        """
        client = self.client_of(request)
        await self.end(client)
        request.reply.reply(204, request.lines, b"")

    def release(self) -> None:
        """End all streams."""
        self.sessions.release()

    def close(self) -> None:
        """End all streams and what goes on in sessions; these themselves outlast it."""
        self.sessions.close()

    # -- sessions -------------------------------------------------------------------------------------------------

    def client_of(self, request: Request) -> Client:
        """Who shows a session id, as it has introduced itself.

        :raises RpcError: there is no such session
        """
        token = request.headers.get(headers.SESSION)
        if token is None:
            raise RpcError(INVALID_REQUEST, NO_SESSION, status=400)
        version = request.headers.get(headers.VERSION)
        if version is not None and version.decode("latin-1") not in revisions.LEGACY:
            told = f"MCP-Protocol-Version is one of {', '.join(revisions.LEGACY)} in a session"
            raise RpcError(INVALID_REQUEST, told, status=400)
        try:
            passport = self._tokens.open_session(token.decode("latin-1"), request.caller)
        except Unknown:
            raise RpcError(INVALID_REQUEST, ENDED, status=NOT_FOUND) from None
        if self.sessions.has_ended(passport.session):
            raise RpcError(INVALID_REQUEST, ENDED, status=NOT_FOUND)
        return Client(
            caller=request.caller,
            era="legacy",
            revision=passport.revision,
            info=passport.info,
            capabilities=passport.capabilities,
            session=passport.session,
            log_level=self.sessions.level(passport.session),
            headers=request.headers,
            request_id=request.id,
        )

    async def _begin(self, request: Request, scope: Scope, message: Message) -> Answer:
        client, answer = await self.initialize(request, scope, message)
        line = b"mcp-session-id: %b\r\n" % self._tokens.session(client).encode()
        return Answer(answer.encode(), lines=line)

    async def initialize(self, request: Request, scope: Scope, message: Message) -> tuple[Client, Message]:
        """Who begins a session, and what it is told.

        :raises RpcError: the server cannot be spoken with
        :raises GatewayError: the same
        """
        said = message.read()
        info, capabilities = said.get("clientInfo"), said.get("capabilities")
        client = Client(
            caller=request.caller,
            era="legacy",
            revision=revisions.negotiate(said.get("protocolVersion")),
            info=info if isinstance(info, dict) else {},
            capabilities=capabilities if isinstance(capabilities, dict) else {},
            session=self.new_name(),
            headers=request.headers,
        )
        introduction = await self._gateway.introduce(scope, client)
        return client, success(id_of(message), initialize_result(introduction, client.revision))

    async def end(self, client: Client) -> None:
        """A session is over, and is not taken up again."""
        self.sessions.end(client.session)
        self.share(Event(session=client.session, is_over=True))
        await self._gateway.end(client)

    def watch(self, scope: Scope, client: Client, live: Live, *, has_stream: bool = False) -> Watch | None:
        """Hear what a session wants to hear: all lists where there is a stream, and its resources."""
        is_open = has_stream or live.stream is not None
        if live.is_over or not (is_open or live.uris):
            live.watch_by(None)
        else:
            interest = Interest(tools=is_open, prompts=is_open, resources=is_open, uris=frozenset(live.uris))
            live.watch_by(self._gateway.watch(scope, client, interest, live.tell))
        return live.watch

    def hear(self, event: Event) -> None:
        """What another process tells of a session."""
        if event.is_over:
            self.sessions.end(event.session)
            return
        with self.sessions.using(event.session) as live:
            if event.message:
                message = parse(event.message)
                (live.cancel if message.method else live.take)(message)
            if event.level is not None:
                live.log_level = event.level
            if event.uris is not None:
                live.uris = set(event.uris)
                if live.stream is not None and live.party is not None:
                    with suppress(Overloaded):
                        self.watch(*live.party, live)

    # -- messages -------------------------------------------------------------------------------------------------

    async def take(self, scope: Scope, client: Client, live: Live, message: Message) -> None:
        """What wants no answer: a notification, or the answer to what the client was asked."""
        if message.method in {"", CANCELLED}:
            if not (live.cancel(message) if message.method else live.take(message)):
                # It may be for a request that another process answers.
                self.share(Event(session=live.name, message=message.encode().decode()))
        elif message.method != "notifications/initialized":
            await self._gateway.notify(scope, client, message.method, message.params)

    async def answer(self, scope: Scope, client: Client, live: Live, message: Message, answering: Answering) -> Answer:
        """The answer to a request; that of one which the client has cancelled says so."""
        task = asyncio.current_task()
        assert task is not None
        running, name = Running(task), key_of(id_of(message))
        live.running[name] = running
        try:
            asking = LegacyAsking(client, live, answering, self.new_name, self.limits.parked_seconds)
            return Answer(success(id_of(message), await self._call(scope, client, live, message, asking)).encode())
        except (RpcError, GatewayError) as error:
            return refusal(id_of(message), error, kept_status)
        except asyncio.CancelledError:
            if not running.uncancel():
                raise
            return refusal(id_of(message), RpcError(revisions.CANCELLED, "Request cancelled"), kept_status)
        finally:
            if live.running.get(name) is running:
                del live.running[name]

    async def _answer_all(
        self, scope: Scope, client: Client, live: Live, messages: list[Message], answering: Answering
    ) -> Answer:
        answers = await asyncio.gather(*(self.answer(scope, client, live, one, answering) for one in messages))
        if not answering.is_started:
            return Answer(b"[%b]" % b",".join(one.body for one in answers))
        for one in answers[:-1]:
            answering.say(event_of(one.body))
        return answers[-1]

    async def _call(self, scope: Scope, client: Client, live: Live, message: Message, asking: LegacyAsking) -> Raw:
        method = message.method
        if method == "ping":
            return NOTHING
        if method in revisions.ADDED:
            raise RpcError(METHOD_NOT_FOUND, f"Revision {client.revision} has no {method}")
        if method == "logging/setLevel":
            return await self._set_level(scope, live, message, asking)
        if method in {"resources/subscribe", "resources/unsubscribe"}:
            return await self._subscribe(scope, client, live, message, asking)
        return await self._gateway.call(scope, method, message.params, asking)

    async def _set_level(self, scope: Scope, live: Live, message: Message, asking: LegacyAsking) -> Raw:
        level = message.read().get("level")
        if level not in revisions.LEVELS:
            raise RpcError(INVALID_PARAMS, f"'level' is one of {', '.join(revisions.LEVELS)}")
        result = await self._gateway.call(scope, message.method, message.params, asking)
        live.log_level = level
        self.share(Event(session=live.name, level=level))
        return result

    async def _subscribe(self, scope: Scope, client: Client, live: Live, message: Message, asking: LegacyAsking) -> Raw:
        uri = message.read().get("uri")
        if not isinstance(uri, str):
            raise RpcError(INVALID_PARAMS, "'uri' has to be a string")
        has_begun = message.method == "resources/subscribe"
        if has_begun and len(live.uris) >= MAX_URIS:
            raise RpcError(INVALID_PARAMS, f"A session may watch {MAX_URIS} resources")
        result = await self._gateway.call(scope, message.method, message.params, asking)
        if has_begun:
            live.uris.add(uri)
        else:
            live.uris.discard(uri)
        watch = self.watch(scope, client, live)
        if watch is not None:
            await watch.ready()
        self.share(Event(session=live.name, uris=tuple(live.uris)))
        return result


def id_of(message: Message) -> Id:
    """Of a request."""
    assert not isinstance(message.id, msgspec.UnsetType)
    return message.id


def kept_status(error: RpcError) -> int:
    """Of the HTTP reply to a legacy client: failures of servers are answers like others."""
    return error.status

"""Servers of the revisions with ``initialize`` and sessions.

Theory of operation: the session begins with the first call, and anew when the server has forgotten it; what it was told
(log level, subscriptions) is then told again, and the call that met it is made once more. Beside the calls there is one
task that *hears* what the server says of itself, over the transport's ``listen``. Everything that comes is for a call
if it came in the call's stream, or names its progress token; if not, it is for those who watch, or for the only call
there is, where no other party has ever called: what one has asked for is not to be told to another one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Final

import msgspec
from msgspec import Raw

from pointsman.errors import GatewayError, SessionLost, UpstreamRejected, UpstreamTimeout
from pointsman.mcp.base import Asking, Interest, Introduction, Sink, Transport, Watch
from pointsman.mcp.joining import Joint, Lent, Wanted
from pointsman.mcp.protocol.meta import PROGRESS, with_meta
from pointsman.mcp.protocol.revisions import LEGACY
from pointsman.mcp.servers.calls import MAX_ASKED, Call, Parties, progressed
from pointsman.mcp.servers.errands import POST_SECONDS, Errands
from pointsman.mcp.servers.introductions import of_initialize
from pointsman.mcp.servers.pauses import Backoff, is_final
from pointsman.mcp.servers.profile import Profile
from pointsman.mcp.servers.watchers import ALL, CHANGES, Watchers, Watching
from pointsman.telemetry.tasks import Tasks
from pointsman.wire.jsonrpc import (
    INTERNAL_ERROR,
    METHOD_NOT_FOUND,
    Message,
    RpcError,
    failure,
    notification,
    raw,
    request,
    success,
)

HANDSHAKE_SECONDS: Final = 30.0
MAX_UNWATCHED: Final = 5
"""Failures to hear a server whose changes nobody watches."""
MAX_SUBSCRIBED: Final = 10_000
OPEN_SECONDS: Final = 0.5
"""That the first call of a session waits for the stream of what belongs to no call."""
REST_SECONDS: Final = 20.0
"""After which such a stream that nobody needs is given up, until the next call."""
TAKEN: Final = 409
"""What a server says where somebody listens already."""
TAKEN_SECONDS: Final = 5.0
MANY: Final = ": several share it, and it does not say for which of their calls that is; 'isolation: session' helps"
VERSION_HEADER: Final = "mcp-protocol-version"
log = logging.getLogger(__name__)


class LegacyServer:
    """A :class:`~pointsman.mcp.base.Server` with one session."""

    def __init__(self, transport: Transport, profile: Profile, tasks: Tasks) -> None:
        self._transport = transport
        self._profile = profile
        self._joint = profile.joint
        self._errands = Errands(transport, profile.name, tasks, 0 if self._joint is None else self._joint.first_number)
        self._introduction: Introduction | None = None
        self._beginning = asyncio.Lock()
        self._lines: Mapping[str, str] = {}
        self._calls: dict[int, Call] = {}
        self._parties = Parties()
        self._is_warned = False
        self._watchers = Watchers()
        self._subscribing = asyncio.Lock()
        self._subscribed: set[str] = set()
        self._level: Raw | None = None
        """The parameters of the last ``logging/setLevel``."""
        self._hearing: asyncio.Task[None] | None = None
        self._heard = asyncio.Event()
        """Set while what belongs to no call is heard, or never will be."""
        self._waited: Introduction | None = None
        """The session whose first call has waited for that."""
        self._resting: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._is_guest = False
        """Whether another process has begun the session."""
        self._is_borrowing = False
        self._session = ""
        """That was begun last, or joined."""

    @property
    def introduction(self) -> Introduction | None:
        """See :class:`~pointsman.mcp.base.Server`."""
        return self._introduction

    async def introduce(self) -> Introduction:
        """See :class:`~pointsman.mcp.base.Server`."""
        known = self._introduction
        if known is not None:
            return known
        async with self._beginning:
            if self._introduction is None:
                self._introduction = await self._begin()
                self._hear_on()
            return self._introduction

    async def call(self, method: str, params: Raw, asking: Asking, deadline: float) -> Raw:
        """See :class:`~pointsman.mcp.base.Server`."""
        session = await self.introduce()
        try:
            await self._hear_first(session)
            result = await self._call(method, params, asking, deadline)
        except SessionLost:
            self._forget(session)
            await self._hear_first(await self.introduce())
            result = await self._call(method, params, asking, deadline)
        finally:
            self._rest_later()
        if method == "logging/setLevel":
            self._level = params
        return result

    async def notify(self, method: str, params: Raw) -> None:
        """See :class:`~pointsman.mcp.base.Server`. A server that was not reached yet has nothing to be told."""
        if self._introduction is not None:
            await self._errands.post(notification(method, params or None), self._lines)

    def watch(self, interest: Interest, sink: Sink) -> Watch:
        """See :class:`~pointsman.mcp.base.Server`."""
        watching = Watching(interest, sink, self._unwatch)
        self._watchers.add(watching)
        self._hear_on()
        if interest.uris and self._introduction is not None:
            self._errands.later(self._subscribe(), "subscribe")
        self._arrive()
        return watching

    async def close(self) -> None:
        """See :class:`~pointsman.mcp.base.Server`."""
        self.leave()
        if self._joint is not None and self._is_guest:
            # Whoever has begun the session ends it.
            self._joint.resume(None)
        await self._transport.close()

    async def lend(self, wanted: Wanted) -> Lent | None:
        """The session for another process to go on with, if there is one; one that is just beginning is waited for."""
        if self._joint is None:
            return None
        is_second = self._is_borrowing and wanted.rival < self._joint.name
        if self._introduction is None and self._beginning.locked() and not is_second:
            async with self._beginning:
                pass
        known, session = self._introduction, self._joint.session
        if known is None or session in ("", wanted.lost):
            return None
        return Lent(session, bytes(known.raw).decode())

    def take_passed(self, message: Message) -> bool:
        """Take what another process has heard in the same session; whether it was for this one."""
        call = self._calls.get(_number(message)) or self._only_call()
        if self._is_strange(call, message):
            return False
        self._take(call, message)
        return True

    def leave(self) -> None:
        """Do nothing more, and leave the transport to somebody else."""
        self._is_closed = True
        if self._hearing is not None:
            self._hearing.cancel()
        if self._resting is not None:
            self._resting.cancel()
        for call in self._calls.values():
            call.end()

    # Sessions.

    async def _begin(self) -> Introduction:
        lent = await self._borrow()
        if lent is not None and self._joint is not None:
            self._joint.resume(lent.session)
            self._session, self._is_guest = lent.session, True
            self._subscribed.clear()
            found = of_initialize(Raw(lent.result.encode()), has_session=True)
            self._lines = {VERSION_HEADER: found.revision}
            return found
        loop = asyncio.get_running_loop()
        deadline = loop.time() + HANDSHAKE_SECONDS
        params = {
            "protocolVersion": self._profile.revision or LEGACY[0],
            "capabilities": self._profile.capabilities,
            "clientInfo": self._profile.info,
        }
        first = request(self._errands.number(), "initialize", params)
        answer = await self._transport.request(first, self._take_stray, headers={}, deadline=deadline)
        answer.check()
        found = of_initialize(answer.result, has_session=self._transport.has_session)
        self._lines = {VERSION_HEADER: found.revision}
        self._session, self._is_guest = "" if self._joint is None else self._joint.session, False
        self._subscribed.clear()
        self._parties = Parties(self._calls.values())
        begun = notification("notifications/initialized")
        await self._transport.post(begun, headers=self._lines, deadline=deadline)
        if self._level is not None:
            with suppress(RpcError):
                await self._ask("logging/setLevel", self._level)
        return found

    async def _borrow(self) -> Lent | None:
        """The session that another process has for the same client."""
        if self._joint is None:
            return None
        self._is_borrowing = True
        try:
            return await self._joint.borrow(self._session)
        finally:
            self._is_borrowing = False

    def _forget(self, session: Introduction) -> None:
        if self._introduction is session:
            self._introduction = None

    # Calls.

    async def _call(self, method: str, params: Raw, asking: Asking, deadline: float) -> Raw:
        call = Call(self._errands.number(), asking, params)
        if call.token is not None:
            params = with_meta(params, {PROGRESS: call.number})
        self._calls[call.number] = call
        self._parties.enter(call, method)
        lines = self._lines
        if self._profile.forward:
            lines = {**self._profile.forwarded(asking.client), **lines}
        try:
            answer = await self._transport.request(
                request(call.number, method, params or None),
                partial(self._take, call),
                headers=lines,
                deadline=deadline,
            )
        except (asyncio.CancelledError, UpstreamTimeout):
            told = {"requestId": call.number, "reason": "The client does not wait for it any more"}
            self._errands.post_later(notification("notifications/cancelled", told), self._lines)
            raise
        finally:
            del self._calls[call.number]
            call.end()
        answer.check()
        return answer.result

    async def _ask(self, method: str, params: Raw) -> None:
        """A request of the gateway's own."""
        deadline = asyncio.get_running_loop().time() + POST_SECONDS
        message = request(self._errands.number(), method, params)
        answer = await self._transport.request(message, self._take_stray, headers=self._lines, deadline=deadline)
        answer.check()

    # What the server says.

    def _take_stray(self, message: Message) -> None:
        """What came in no call's stream."""
        call = self._calls.get(_number(message)) or self._only_call()
        if self._joint is not None and self._is_strange(call, message):
            self._errands.later(self._pass_on(self._joint, message), "pass on")
        else:
            self._take(call, message)

    def _is_strange(self, call: Call | None, message: Message) -> bool:
        """Whether nobody here has a use for it."""
        if message.method in CHANGES:
            return not self._watchers.want(message)
        return call is None and message.method != "ping"

    async def _pass_on(self, joint: Joint, message: Message) -> None:
        if not await joint.pass_on(message):
            self._take(self._only_call(), message)

    def _only_call(self) -> Call | None:
        return self._parties.only(self._calls.values())

    def _take(self, call: Call | None, message: Message) -> None:
        if message.is_request:
            self._take_request(call, message)
        elif message.method in CHANGES:
            if not self._watchers.tell(message) and call is not None:
                call.tell(message)
        elif message.method == "notifications/cancelled":
            self._take_cancellation(message)
        elif message.is_notification:
            call = self._calls.get(_number(message)) or call
            if call is not None:
                call.tell(message)
            elif self._profile.is_own:
                self._watchers.tell_all(message)

    def _take_request(self, call: Call | None, message: Message) -> None:
        assert message.id is not msgspec.UNSET
        if message.method == "ping":
            self._errands.post_later(success(message.id, {}), self._lines)
        elif call is None or len(call.asked) >= MAX_ASKED:
            refusal = f"There is no client that could be asked for {message.method[:80]!r}"
            if call is None and self._calls:
                refusal += MANY
                self._warn()
            self._errands.post_later(failure(message.id, RpcError(METHOD_NOT_FOUND, refusal)), self._lines)
        else:
            task = self._errands.later(self._answer(call, message), "ask")
            if task is not None:
                call.asked[message.id] = task

    def _warn(self) -> None:
        """Once: whoever runs it can do something about it."""
        if not self._is_warned:
            self._is_warned = True
            log.warning("the MCP server %s asks its clients for something%s", self._profile.name, MANY)

    def _take_cancellation(self, message: Message) -> None:
        try:
            number = message.read().get("requestId")
        except RpcError:
            return
        for call in self._calls.values():
            task = call.asked.pop(number, None)
            if task is not None:
                task.cancel()

    async def _answer(self, call: Call, message: Message) -> None:
        """Have the client do what the server wants, and tell the server."""
        assert message.id is not msgspec.UNSET
        try:
            reply = success(message.id, await call.asking.ask(message.method, message.params))
        except RpcError as error:
            reply = failure(message.id, error)
        except GatewayError as error:
            reply = failure(message.id, RpcError(INTERNAL_ERROR, error.message))
        finally:
            call.asked.pop(message.id, None)
        await self._errands.post(reply, self._lines)

    # Changes.

    def _unwatch(self, watching: Watching) -> None:
        self._watchers.discard(watching)
        self._rest_later()
        if watching.interest.uris and self._introduction is not None and not self._is_closed:
            self._errands.later(self._subscribe(), "unsubscribe")

    def _hear_on(self) -> None:
        if not self._is_closed and (self._hearing is None or self._hearing.done()):
            self._hearing = self._errands.later(self._hear(), "hear")

    async def _hear_first(self, session: Introduction) -> None:
        """Before the first call of a session of its own: the server may ask something that names no call."""
        if not (self._profile.is_own and session.has_session):
            return
        self._hear_on()
        if self._waited is not session and not self._heard.is_set():
            self._waited = session
            with suppress(TimeoutError):
                async with asyncio.timeout(OPEN_SECONDS):
                    await self._heard.wait()

    def _rest_later(self) -> None:
        """A session of its own that nobody uses or watches needs no stream for a while."""
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None
        if self._profile.is_own and not self._is_closed and not self._watchers and not self._calls:
            self._resting = asyncio.get_running_loop().call_later(REST_SECONDS, self._rest)

    def _rest(self) -> None:
        if self._hearing is not None and not self._watchers and not self._calls:
            self._hearing.cancel()
            self._waited = None

    def _arrive(self) -> None:
        """Let those know who are heard of now."""
        known = self._introduction
        if known is not None and self._heard.is_set():
            heard = msgspec.structs.replace(ALL, uris=frozenset(self._subscribed))
            self._watchers.arrive(heard if _can_subscribe(known) else None)

    def _on_open(self) -> None:
        self._heard.set()
        self._arrive()

    async def _hear(self) -> None:
        """Hear the server, until there is nothing to hear, or nobody who wants to."""
        clock = asyncio.get_running_loop().time
        backoff = Backoff()
        while self._watchers or (self._introduction is not None and backoff.failures < MAX_UNWATCHED):
            backoff.begin(clock())
            session = self._introduction
            try:
                session = await self.introduce()
                if backoff.failures:
                    self._watchers.tell_stale()
                # Beside it: what the server says while it is told of subscriptions must be heard.
                self._errands.later(self._subscribe(), "subscribe")
                await self._transport.listen(self._take_stray, headers=self._lines, on_open=self._on_open)
                backoff.end()
            except (GatewayError, RpcError) as error:
                if isinstance(error, UpstreamRejected) and is_final(error.status):
                    self._on_open()
                    if self._joint is None or error.status != TAKEN:
                        return
                    # Another process hears the server, and passes on what is not for itself, until it rests.
                    await asyncio.sleep(TAKEN_SECONDS)
                    continue
                if isinstance(error, SessionLost) and session is not None:
                    self._forget(session)
                log.info("the MCP server %s cannot be heard: %s", self._profile.name, error)
                backoff.fail(clock())
            except asyncio.CancelledError:
                self._heard.clear()
                raise
            self._heard.clear()
            await asyncio.sleep(backoff.seconds)

    async def _subscribe(self) -> None:
        """Have the server tell of those resources that somebody watches."""
        known = self._introduction
        if known is None or not _can_subscribe(known):
            return
        async with self._subscribing:
            wanted = self._watchers.interest.uris
            try:
                for uri in sorted(wanted - self._subscribed)[:MAX_SUBSCRIBED]:
                    await self._ask_politely("resources/subscribe", uri)
                    self._subscribed.add(uri)
                for uri in sorted(self._subscribed - wanted):
                    await self._ask_politely("resources/unsubscribe", uri)
                    self._subscribed.discard(uri)
            except GatewayError as error:
                # What is missing is told to the server in its next session.
                log.info("the MCP server %s could not be told: %s", self._profile.name, error)
        self._arrive()

    async def _ask_politely(self, method: str, uri: str) -> None:
        try:
            await self._ask(method, raw({"uri": uri}))
        except RpcError as error:
            log.info("the MCP server %s refuses %s: %s", self._profile.name, method, error.message)


def _number(message: Message) -> int:
    found = progressed(message)
    return found if isinstance(found, int) else 0


def _can_subscribe(introduction: Introduction) -> bool:
    resources = introduction.capabilities.get("resources")
    return isinstance(resources, dict) and bool(resources.get("subscribe"))

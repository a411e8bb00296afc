"""Servers of the revisions without sessions, from 2026-07-28 on.

Theory of operation: every request says for itself who asks. What the server wants of the client comes as a result of
type ``input_required``; a modern client gets that, and for a legacy one the gateway asks and makes the request again.
Changes come in the answer to ``subscriptions/listen``, of which one is open for all who watch; when somebody wants more
than it brings, the next one is opened before it is closed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import msgspec
from msgspec import Raw

from pointsman.errors import GatewayError, SessionLost, UpstreamBroken, UpstreamRejected, UpstreamTimeout
from pointsman.mcp.base import Asking, Client, Interest, Introduction, Sink, Transport, Watch
from pointsman.mcp.protocol.meta import PROGRESS, members_of, text_of, with_meta
from pointsman.mcp.protocol.mirrors import ANNOTATION, NAMED_BY, encode_value, mirrors_of, param_headers
from pointsman.mcp.protocol.revisions import (
    CAPABILITIES,
    HEADER_MISMATCH,
    INFO,
    LOG_LEVEL,
    MODERN,
    SUBSCRIPTION,
    UNSUPPORTED_VERSION,
    VERSION,
)
from pointsman.mcp.servers.calls import Call
from pointsman.mcp.servers.errands import Errands
from pointsman.mcp.servers.introductions import of_discover
from pointsman.mcp.servers.pauses import Backoff, is_final
from pointsman.mcp.servers.profile import Profile
from pointsman.mcp.servers.questions import answered, input_required
from pointsman.mcp.servers.watchers import CHANGES, Watchers, Watching, covers
from pointsman.telemetry.tasks import Tasks
from pointsman.wire.jsonrpc import NONE, Message, RpcError, notification, raw, request

HANDSHAKE_SECONDS: Final = 30.0
LISTEN_SECONDS: Final = 86_400.0
MAX_ROUNDS: Final = 20
"""Times that a server may ask for more before one request is done."""
MAX_TOOLS: Final = 10_000
"""Whose headers are remembered."""
MAX_PAGES: Final = 100
LEGACY_LEVEL: Final = "info"
"""Of log messages for clients of an era in which servers send them unasked."""
ACKNOWLEDGED: Final = "notifications/subscriptions/acknowledged"
EMPTY: Final = Raw(b"{}")
log = logging.getLogger(__name__)


class _Tool(msgspec.Struct, rename="camel"):
    name: str = ""
    input_schema: Raw = NONE


class _Tools(msgspec.Struct, rename="camel"):
    tools: list[Raw] = []
    next_cursor: str | None = None


class ModernServer:
    """A :class:`~pointsman.mcp.base.Server` without sessions."""

    def __init__(self, transport: Transport, profile: Profile, tasks: Tasks) -> None:
        self._transport = transport
        self._profile = profile
        self._errands = Errands(transport, profile.name, tasks)
        self._introduction: Introduction | None = None
        self._beginning = asyncio.Lock()
        self._mirrors = profile.mirrors
        self._watchers = Watchers()
        self._attended = Interest()
        self._heard = Interest()
        """What the server has said that it tells of."""
        self._attending: asyncio.Task[None] | None = None
        self._is_closed = False

    @property
    def introduction(self) -> Introduction | None:
        """See :class:`~pointsman.mcp.base.Server`."""
        return self._introduction

    async def introduce(self) -> Introduction:
        """See :class:`~pointsman.mcp.base.Server`.

        :raises RpcError: what makes it look like a legacy server, too
        """
        known = self._introduction
        if known is not None:
            return known
        async with self._beginning:
            if self._introduction is None:
                self._introduction = await self._discover()
            return self._introduction

    async def call(self, method: str, params: Raw, asking: Asking, deadline: float) -> Raw:
        """See :class:`~pointsman.mcp.base.Server`."""
        if method in ("ping", "logging/setLevel"):
            # There is neither; the level goes with each request.
            return EMPTY
        introduction = await self.introduce()
        revision = introduction.revision
        for _ in range(MAX_ROUNDS):
            try:
                result = await self._call(method, params, asking, deadline, revision)
            except SessionLost:
                # Its process has ended without having seen the request. Asking what it is starts another one.
                if self._introduction is introduction:
                    self._introduction = None
                introduction = await self.introduce()
                result = await self._call(method, params, asking, deadline, revision)
            except RpcError as error:
                if error.code != HEADER_MISMATCH or method != "tools/call":
                    raise
                # It has other headers for this tool than those that are known.
                await self._learn(asking.client, deadline, revision)
                result = await self._call(method, params, asking, deadline, revision)
            asked = input_required(result) if asking.client.era == "legacy" else None
            if asked is None:
                return result
            params = await answered(params, asked, asking)
        raise UpstreamBroken("The MCP server asked for more too many times")

    async def notify(self, method: str, params: Raw) -> None:
        """See :class:`~pointsman.mcp.base.Server`. There is nothing that a modern server could be told."""

    def watch(self, interest: Interest, sink: Sink) -> Watch:
        """See :class:`~pointsman.mcp.base.Server`."""
        watching = Watching(interest, sink, self._unwatch)
        self._watchers.add(watching)
        self._attend_all()
        return watching

    async def close(self) -> None:
        """See :class:`~pointsman.mcp.base.Server`."""
        self.leave()
        await self._transport.close()

    def leave(self) -> None:
        """Do nothing more, and leave the transport to somebody else."""
        self._is_closed = True
        if self._attending is not None:
            self._attending.cancel()

    # Requests.

    async def _discover(self) -> Introduction:
        wanted = self._profile.revision or MODERN[0]
        deadline = asyncio.get_running_loop().time() + HANDSHAKE_SECONDS
        meta = {VERSION: wanted, INFO: self._profile.info, CAPABILITIES: self._profile.capabilities}
        message = request(self._errands.number(), "server/discover", with_meta(NONE, meta))
        lines = self._lines("server/discover", NONE, None, wanted)
        answer = await self._transport.request(message, _ignore, headers=lines, deadline=deadline)
        answer.check()
        found = of_discover(answer.result)
        if found is None:
            raise RpcError(UNSUPPORTED_VERSION, "The MCP server speaks no revision without sessions that is known here")
        return found

    async def _call(self, method: str, params: Raw, asking: Asking, deadline: float, revision: str) -> Raw:
        client = asking.client
        call = Call(self._errands.number(), asking, params)
        added = self._meta(client, revision)
        if call.token is not None:
            added[PROGRESS] = call.number
        message = request(call.number, method, with_meta(params, added))
        lines = self._lines(method, params, client, revision)
        try:
            answer = await self._transport.request(message, partial(self._take, call), headers=lines, deadline=deadline)
        except (asyncio.CancelledError, UpstreamTimeout):
            self._cancel(call.number)
            raise
        answer.check()
        if method == "tools/list" and self._profile.has_headers:
            self._note(answer.result)
        return answer.result

    def _meta(self, client: Client, revision: str) -> dict[str, Any]:
        found: dict[str, Any] = {
            VERSION: revision,
            INFO: client.info or self._profile.info,
            CAPABILITIES: client.capabilities,
        }
        level = client.log_level or (LEGACY_LEVEL if client.era == "legacy" else None)
        if level is not None:
            found[LOG_LEVEL] = level
        return found

    def _lines(self, method: str, params: Raw, client: Client | None, revision: str) -> dict[str, str]:
        if not self._profile.has_headers:
            return {}
        lines = {} if client is None or not self._profile.forward else self._profile.forwarded(client)
        lines["mcp-protocol-version"] = revision
        lines["mcp-method"] = method
        named_by = NAMED_BY.get(method)
        if named_by is not None:
            members = members_of(params)
            name = text_of(members, named_by)
            lines["mcp-name"] = encode_value(name)
            mirrors = self._mirrors.get(name) if method == "tools/call" else None
            if mirrors and "arguments" in members:
                lines.update(param_headers(mirrors, msgspec.json.decode(members["arguments"])))
        return lines

    def _take(self, call: Call, message: Message) -> None:
        # A request of the server's would be one of the other era.
        if message.is_notification and not (message.method in CHANGES and self._watchers.tell(message)):
            call.tell(message)

    def _cancel(self, number: int) -> None:
        """Over HTTP the end of the connection has told the server already."""
        if not self._profile.has_headers:
            told = {"requestId": number, "reason": "The client does not wait for it any more"}
            self._errands.post_later(notification("notifications/cancelled", told), {})

    # Headers of tools.

    def _note(self, result: Raw) -> str | None:
        """Remember which headers the listed tools want; gives the cursor of the next page."""
        try:
            listed = msgspec.json.decode(result, type=_Tools)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None
        for one in listed.tools:
            try:
                tool = msgspec.json.decode(one, type=_Tool)
                has_any = ANNOTATION.encode() in bytes(tool.input_schema)
                mirrors = mirrors_of(msgspec.json.decode(tool.input_schema)) if has_any else {}
            except (msgspec.MsgspecError, ValueError):
                # Whoever lists tools leaves this one out.
                continue
            self._mirrors.pop(tool.name, None)
            if mirrors and len(self._mirrors) < MAX_TOOLS:
                self._mirrors[tool.name] = mirrors
        return listed.next_cursor

    async def _learn(self, client: Client, deadline: float, revision: str) -> None:
        params = NONE
        lines = self._lines("tools/list", NONE, client, revision)
        for _ in range(MAX_PAGES):
            message = request(self._errands.number(), "tools/list", with_meta(params, self._meta(client, revision)))
            answer = await self._transport.request(message, _ignore, headers=lines, deadline=deadline)
            answer.check()
            cursor = self._note(answer.result)
            if cursor is None:
                return
            params = raw({"cursor": cursor})

    # Changes.

    def _unwatch(self, watching: Watching) -> None:
        self._watchers.discard(watching)
        if not self._watchers and self._attending is not None:
            self._attending.cancel()
            self._attending, self._attended, self._heard = None, Interest(), Interest()

    def _attend_all(self) -> None:
        """Have a stream that brings what all want."""
        wanted = self._watchers.interest
        is_attending = self._attending is not None and not self._attending.done()
        if self._is_closed or (is_attending and covers(self._attended, wanted)):
            self._watchers.arrive(self._heard)
            return
        self._attended = wanted
        self._attending = self._errands.later(self._attend(wanted, self._attending), "watch")

    async def _attend(self, interest: Interest, previous: asyncio.Task[None] | None) -> None:
        """Bring those changes until nobody wants them, or the server has none; ends ``previous`` when it has begun."""
        clock = asyncio.get_running_loop().time
        backoff = Backoff()

        def begun() -> None:
            if previous is not None:
                previous.cancel()
            self._heard = interest
            self._watchers.arrive(interest)
            if backoff.failures:
                self._watchers.tell_stale()

        try:
            while True:
                backoff.begin(clock())
                try:
                    await self._listen(interest, begun)
                    backoff.end()
                except RpcError as error:
                    log.info("the MCP server %s tells of no changes: %s", self._profile.name, error.message)
                    self._watchers.arrive(None)
                    return
                except GatewayError as error:
                    if isinstance(error, UpstreamRejected) and is_final(error.status):
                        self._watchers.arrive(None)
                        return
                    if isinstance(error, SessionLost):
                        self._introduction = None
                    backoff.fail(clock())
                await asyncio.sleep(backoff.seconds)
        finally:
            if previous is not None:
                previous.cancel()

    async def _listen(self, interest: Interest, begun: Any) -> None:
        introduction = await self.introduce()
        wanted = _filter(interest, introduction.capabilities)
        if not wanted:
            raise RpcError(UNSUPPORTED_VERSION, "it has none")

        def take(message: Message) -> None:
            if message.method == ACKNOWLEDGED:
                begun()
            elif message.is_notification:
                self._watchers.tell(_untagged(message))

        meta = {
            VERSION: introduction.revision,
            INFO: self._profile.info,
            CAPABILITIES: self._profile.capabilities,
        }
        number = self._errands.number()
        message = request(number, "subscriptions/listen", with_meta(raw({"notifications": wanted}), meta))
        lines = self._lines("subscriptions/listen", NONE, None, introduction.revision)
        deadline = asyncio.get_running_loop().time() + LISTEN_SECONDS
        try:
            answer = await self._transport.request(message, take, headers=lines, deadline=deadline)
        except (asyncio.CancelledError, UpstreamTimeout):
            self._cancel(number)
            raise
        answer.check()


def _ignore(_message: Message) -> None:
    """Nobody wants to hear of it."""


def _filter(interest: Interest, capabilities: Mapping[str, Any]) -> dict[str, Any]:
    """What to ask for of that which the server has."""

    def has(name: str, flag: str) -> bool:
        found = capabilities.get(name)
        return isinstance(found, dict) and bool(found.get(flag))

    wanted: dict[str, Any] = {}
    if interest.tools and has("tools", "listChanged"):
        wanted["toolsListChanged"] = True
    if interest.prompts and has("prompts", "listChanged"):
        wanted["promptsListChanged"] = True
    if interest.resources and has("resources", "listChanged"):
        wanted["resourcesListChanged"] = True
    if interest.uris and has("resources", "subscribe"):
        wanted["resourceSubscriptions"] = sorted(interest.uris)
    return wanted


def _untagged(message: Message) -> Message:
    """Without the id of the subscription, which is ours."""
    try:
        params = with_meta(message.params, {}, (SUBSCRIPTION,))
    except RpcError:
        return message
    return notification(message.method, None if bytes(params) == b"{}" else params)

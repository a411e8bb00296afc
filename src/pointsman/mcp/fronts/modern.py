"""Clients of the revisions in which every request stands for itself, from 2026-07-28 on.

There are no sessions and nothing is asked of a client: what a server needs of it is a result like others, after which
the same request comes again (:mod:`pointsman.mcp.fronts.parking`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import msgspec
from msgspec import Raw

from pointsman.errors import Overloaded
from pointsman.mcp.base import Client, Interest, Introduction, Scope
from pointsman.mcp.fronts.parking import UNKNOWN, ModernAsking, Parking
from pointsman.mcp.fronts.serving import Gateway
from pointsman.mcp.fronts.streams import Answer, Answering, Request, respond
from pointsman.mcp.protocol import headers, revisions
from pointsman.mcp.protocol.envelopes import (
    ANSWERS,
    STATE,
    Envelope,
    completed,
    digest,
    discover_result,
    input_state,
    open_envelope,
    packed,
    read_envelope,
    status_of,
    unsupported,
    with_state,
)
from pointsman.mcp.protocol.meta import members_of, with_meta
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
    success,
)

ACKNOWLEDGED: Final = "notifications/subscriptions/acknowledged"
MAX_URIS: Final = 1_000
MAX_EARLY: Final = 100
"""Changes that are kept until the client has been told that it will be told of them."""


class Filter(msgspec.Struct, rename="camel"):
    """What a client wants to hear of."""

    tools_list_changed: bool = False
    prompts_list_changed: bool = False
    resources_list_changed: bool = False
    resource_subscriptions: tuple[str, ...] = ()


class ModernFront:
    """Answers them."""

    def __init__(
        self,
        gateway: Gateway,
        tokens: Tokens,
        beats: Beats,
        parking: Parking,
        limits: Limits,
    ) -> None:
        self._gateway = gateway
        self._tokens = tokens
        self._beats = beats
        self._parking = parking
        self.limits = limits
        self._listening: dict[Answering, None] = {}

    async def post(self, request: Request, message: Message) -> None:
        """One message of a client.

        :raises RpcError: it is none of these that it may send
        """
        if message.is_request:
            name = message.id if not isinstance(message.id, msgspec.UnsetType) else None
            work = partial(self._answer, request, message, name)
            await respond(request, self._beats, name, work, status_of)
            return
        if not message.is_notification:
            raise RpcError(INVALID_REQUEST, "There is nothing that this could be the answer to", status=400)
        version = request.headers.get(headers.VERSION, b"").decode("latin-1")
        if version not in revisions.MODERN:
            raise unsupported(version)
        # No notification of a client means anything here: it cancels a request by leaving.
        request.reply.reply(202, request.lines, b"")

    def release(self) -> None:
        """Tell all that listen that this is the end."""
        for stream in list(self._listening):
            stream.release()

    async def _answer(self, request: Request, message: Message, name: Id, answering: Answering) -> Answer:
        meta, params = open_envelope(message)
        headers.check_standard(message.method, meta[revisions.VERSION], params, request.headers)
        envelope = read_envelope(meta, params)
        if message.method in revisions.REMOVED:
            raise RpcError(METHOD_NOT_FOUND, f"Revision {envelope.revision} has no {message.method}", status=404)
        client = client_of(request, envelope)
        scope = self._gateway.scope(request.caller, request.server, servers_of(request))
        if message.method == "subscriptions/listen":
            result = await self._listen(scope, client, name, params, answering)
        elif message.method == "server/discover":
            result = discover_result(await self._gateway.introduce(scope, client))
        else:
            result = completed(
                message.method, await self._call(scope, client, message.method, envelope, params, answering)
            )
        return Answer(success(name, result).encode())

    async def _call(
        self,
        scope: Scope,
        client: Client,
        method: str,
        envelope: Envelope,
        params: Mapping[str, Raw],
        answering: Answering,
    ) -> Raw:
        asked, caller = envelope.params, client.caller
        # A state is good for the same request, of somebody who may do the same, to the same servers.
        key = partial(digest, method, asked, scope, caller.role, caller.grants)
        if method not in revisions.RESUMABLE:
            return await self._gateway.call(scope, method, asked, ModernAsking(client, answering))
        if STATE in params:
            state, inner = self._open(client, key(), params[STATE])
            if state.call:
                answers = members_of(params.get(ANSWERS, Raw(b"{}")), ANSWERS)
                return await self._parking.resume(client, state, answers, answering)
            asked = with_state(asked, inner)

        async def work(asking: ModernAsking) -> Raw:
            return self._seal(client, key, await self._gateway.call(scope, method, asked, asking))

        if any(name in client.capabilities for name in revisions.ASKED.values()):
            return await self._parking.run(client, key, answering, work)
        return await work(ModernAsking(client, answering))

    def _open(self, client: Client, key: str, given: Raw) -> tuple[Any, str]:
        try:
            return self._tokens.open_state(msgspec.json.decode(given, type=str), client.caller, key)
        except (Unknown, msgspec.MsgspecError):
            raise RpcError(INVALID_PARAMS, UNKNOWN, status=400) from None

    def _seal(self, client: Client, key: Callable[[], str], result: Raw) -> Raw:
        """A result with the state of the server, if there is one, bound to this client and this request."""
        inner = input_state(result)
        if inner is None:
            return result
        state = self._tokens.state(client.caller, key(), self.limits.parked_seconds, inner=inner)
        return with_state(result, state)

    # -- subscriptions --------------------------------------------------------------------------------------------

    async def _listen(
        self, scope: Scope, client: Client, name: Id, params: Mapping[str, Raw], answering: Answering
    ) -> Raw:
        if not answering.can_stream:
            raise RpcError(INVALID_REQUEST, "Accept has to name text/event-stream", status=406)
        if len(self._listening) >= self.limits.max_streams:
            raise Overloaded("Too many streams are open; try again", retry_after=5)
        wanted = _filter(params)
        agreed = _agreed(wanted, await self._gateway.introduce(scope, client))
        tag = {revisions.SUBSCRIPTION: name}
        interest = Interest(
            tools="toolsListChanged" in agreed,
            prompts="promptsListChanged" in agreed,
            resources="resourcesListChanged" in agreed,
            uris=frozenset(agreed.get("resourceSubscriptions", ())),
        )
        listening = _Listening(answering, tag)
        self._listening[answering] = None
        watch = self._gateway.watch(scope, client, interest, listening.hear)
        try:
            await watch.ready()
            listening.agree(agreed)
            await answering.last()
        finally:
            watch.close()
            del self._listening[answering]
        return packed({"resultType": "complete", "_meta": tag})


class _Listening:
    """Tells a client of changes, as soon as it has been told of which."""

    def __init__(self, answering: Answering, tag: Mapping[str, Id]) -> None:
        self._answering = answering
        self._tag = tag
        self._early: dict[bytes, Message] | None = {}

    def hear(self, message: Message) -> None:
        """Something has changed."""
        tagged = notification(message.method, with_meta(message.params, self._tag))
        if self._early is None:
            self._answering.tell(tagged)
        elif len(self._early) < MAX_EARLY:
            self._early[tagged.encode()] = tagged

    def agree(self, agreed: Mapping[str, Any]) -> None:
        """Tell of which, and then of those that have changed already."""
        self._answering.send(notification(ACKNOWLEDGED, {"_meta": self._tag, "notifications": agreed}))
        early, self._early = self._early or {}, None
        for message in early.values():
            self._answering.tell(message)


def client_of(request: Request, envelope: Envelope) -> Client:
    """Who has sent a request."""
    return Client(
        caller=request.caller,
        era="modern",
        revision=envelope.revision,
        info=envelope.info,
        capabilities=envelope.capabilities,
        log_level=envelope.log_level,
        headers=request.headers,
        request_id=request.id,
    )


def servers_of(request: Request) -> str | None:
    """The servers that a header names, where the path names none."""
    named = request.headers.get(headers.SERVERS)
    return None if named is None else named.decode("latin-1")


def _filter(params: Mapping[str, Raw]) -> Filter:
    try:
        wanted = msgspec.json.decode(params.get("notifications", b"{}"), type=Filter)
    except msgspec.MsgspecError as error:
        raise RpcError(INVALID_PARAMS, f"'notifications' is not valid: {error}", status=400) from error
    if len(wanted.resource_subscriptions) > MAX_URIS:
        raise RpcError(INVALID_PARAMS, f"A stream may watch {MAX_URIS} resources", status=400)
    return wanted


def _agreed(wanted: Filter, introduction: Introduction) -> dict[str, Any]:
    """What is wanted and can be had, as it is told."""
    has = introduction.capabilities
    is_wanted = {
        "tools": wanted.tools_list_changed,
        "prompts": wanted.prompts_list_changed,
        "resources": wanted.resources_list_changed,
    }
    agreed: dict[str, Any] = {
        f"{kind}ListChanged": True for kind, is_it in is_wanted.items() if is_it and _can(has, kind, "listChanged")
    }
    if wanted.resource_subscriptions and _can(has, "resources", "subscribe"):
        agreed["resourceSubscriptions"] = list(wanted.resource_subscriptions)
    return agreed


def _can(capabilities: Mapping[str, Any], kind: str, what: str) -> bool:
    found = capabilities.get(kind)
    return isinstance(found, Mapping) and found.get(what) is True

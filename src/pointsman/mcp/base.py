"""The shapes between clients, the gateway and servers.

Theory of operation: a *client* of either era sends a request; its :class:`Asking` stands for it while the request goes
on: it is told what the server says on the way, and answers what the server asks. A *server* of either era is a
:class:`Server`: it is called with a request and an asking. So none of the two sides knows of which era the other one
is. Between a :class:`Server` and its process or address there is a :class:`Transport`, which knows of no era either.

The eras: *legacy* are the revisions with ``initialize`` and sessions, up to 2025-11-25; *modern* are those without,
from 2026-07-28 on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, Protocol

import msgspec

from pointsman.access.caller import Caller
from pointsman.wire.jsonrpc import Message

Era = Literal["legacy", "modern"]
Sink = Callable[[Message], None]
"""Takes a notification; never waits and never raises."""


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, as it has introduced itself."""

    caller: Caller
    era: Era
    revision: str
    info: Mapping[str, Any] = {}
    """``clientInfo``."""
    capabilities: Mapping[str, Any] = {}
    session: str = ""
    """What tells a legacy session from others of this gateway; empty where there is none."""
    log_level: str | None = None
    """From which on log messages are wanted; ``None``: the client has not said."""
    headers: Mapping[bytes, bytes] = {}
    """Of its HTTP request, with lower-cased names: for those that a server is configured to be shown."""
    request_id: str = ""
    """Of its HTTP request, as its reply tells it."""
    has_slot: bool = False
    """Whether its HTTP request is counted already among those that its caller may have at a time."""


class Asking(Protocol):
    """A request of a client, while it goes on."""

    @property
    def client(self) -> Client: ...

    def tell(self, message: Message) -> None:
        """Pass a notification on that belongs to this request: progress, or a log message. Never waits."""

    async def ask(self, method: str, params: msgspec.Raw) -> msgspec.Raw:
        """Have the client do something (sampling, elicitation, roots) and give its result.

        :raises RpcError: it refuses, cannot, or did not in time
        """


class Introduction(msgspec.Struct, frozen=True, kw_only=True):
    """What a server says of itself."""

    era: Era
    revision: str
    """That is spoken with it."""
    capabilities: Mapping[str, Any]
    info: Mapping[str, Any]
    """``serverInfo``, with members that nobody here knows."""
    instructions: str | None = None
    raw: msgspec.Raw
    """The whole result of ``initialize`` or ``server/discover``."""
    has_session: bool = False
    """Whether the server tells clients apart by a session id."""


class Scope(msgspec.Struct, frozen=True):
    """Which servers a request is for."""

    servers: tuple[str, ...] | None
    """Ids; ``None``: all that the caller may see."""
    is_single: bool = False
    """It is for one server, whose names are left as they are."""


class Interest(msgspec.Struct, frozen=True, kw_only=True):
    """Of which changes somebody wants to hear."""

    tools: bool = False
    prompts: bool = False
    resources: bool = False
    """Whether the list of them has changed."""
    uris: frozenset[str] = frozenset()
    """Resources whose content may change."""


class Watch(Protocol):
    """Somebody hears of changes until this is closed."""

    async def ready(self) -> None:
        """Wait until nothing that changes from then on is missed, or for some seconds; never fails."""

    def close(self) -> None: ...


class Server(Protocol):
    """One server as one party sees it: with one credential, and in one session where it has sessions."""

    @property
    def introduction(self) -> Introduction | None:
        """``None``: it has not been reached yet."""

    async def introduce(self) -> Introduction:
        """Reach it, if that was not done yet.

        :raises RpcError: it refuses
        :raises GatewayError: it cannot be reached
        """

    async def call(self, method: str, params: msgspec.Raw, asking: Asking, deadline: float) -> msgspec.Raw:
        """Have a request answered; gives the raw ``result``. When cancelled, the server is told.

        ``params`` are those of the client without what belongs to its era (the ``io.modelcontextprotocol/`` members of
        ``_meta``); the server adds what belongs to its own. ``deadline`` is in ``loop.time()``. To a modern client of a
        modern server a result of type ``input_required`` is passed on as it is; for a legacy client the server asks
        (:meth:`Asking.ask`) and goes on until there is a result that is final.

        :raises RpcError: the server's error, with its code and data
        :raises GatewayError: it cannot be reached, or did not answer in time
        """

    async def notify(self, method: str, params: msgspec.Raw) -> None:
        """Pass on what a client announces, such as that its roots have changed."""

    def watch(self, interest: Interest, sink: Sink) -> Watch:
        """Have ``sink`` told of changes (``notifications/...``), from now on, over broken connections too."""

    async def close(self) -> None:
        """End the session; what is in progress fails."""


class Transport(Protocol):
    """Carries messages to one server and back."""

    @property
    def has_session(self) -> bool:
        """Whether the server tells clients apart by a session id."""

    async def request(
        self, message: Message, on_message: Sink, *, headers: Mapping[str, str], deadline: float
    ) -> Message:
        """Send a request and give its response.

        What the server sends for it before goes to ``on_message``: notifications and, from a legacy server, requests.
        When cancelled, no answer is waited for any more (over HTTP the connection is closed, which tells a modern
        server; a legacy one has to be told by a notification).

        ``headers`` are of this message, beside those of the transport; where there are no headers they are ignored.

        :raises GatewayError: the server cannot be reached, or its answer is none; :class:`SessionLost` is one
        """

    async def post(self, message: Message, *, headers: Mapping[str, str], deadline: float) -> None:
        """Send a notification, or the response to a request of the server."""

    async def listen(self, on_message: Sink, *, headers: Mapping[str, str], on_open: Callable[[], None] = ...) -> None:
        """Hear what belongs to no request, until that ends; ``on_open`` is called as soon as nothing is missed.

        :raises GatewayError: it ended because of a failure, or there is nothing of the kind
        """

    async def close(self) -> None: ...


class Credential(Protocol):
    """What the gateway shows to a server, so that it lets it in."""

    async def lines(self, caller: Caller) -> Mapping[str, str]:
        """Header fields for a request on behalf of ``caller``.

        :raises GatewayError: there is none, and what has to be done (such as opening a link) stands in its message
        """

    async def renew(self, caller: Caller, status: int, challenge: str) -> bool:
        """Try to get a better one after the server has refused the last; whether it is worth another try.

        It has refused with 401, or with 403 because a scope is missing; ``challenge`` is its ``WWW-Authenticate``.
        """


Close = Callable[[bool, bool], Awaitable[None] | None]
"""Is told of the end of a request: whether it succeeded, and whether it has to be paid for."""


class Meter(Protocol):
    """Limits and budgets of what is asked of servers."""

    async def open(
        self, caller: Caller, server: str, tool: str | None, request_id: str = "", *, has_slot: bool = False
    ) -> Close:
        """Reserve a call of a tool, or with ``None`` a request of another kind, which costs nothing.

        ``has_slot``: see :class:`Client`.

        :raises RateLimited: too many were made
        :raises BudgetExceeded: too much was spent
        """

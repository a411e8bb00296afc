"""The shapes between clients, the gateway and agents.

Theory of operation: clients and agents speak one of two versions of the protocol, over one of two bindings. The
bindings differ only in how the same objects are wrapped. So what goes on between is an operation, its parameters as
the one JSON object that JSON-RPC has as ``params``, and results and events bare, as JSON-RPC has them as ``result``;
all of them in the form of a version that is told. Fronts and agents wrap and unwrap, the gateway translates where the
versions of both sides differ. Where they do not, the bytes of a result or an event are passed on as they came.

Failures are :class:`~pointsman.wire.jsonrpc.RpcError` with the codes of ``protocol/faults.py`` where the protocol has
a word for them, and :class:`~pointsman.errors.GatewayError` else.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, Literal, Protocol

import msgspec

from pointsman.a2a.protocol.operations import Binding, Operation, Version
from pointsman.a2a.settings import AgentSettings
from pointsman.access.caller import Caller


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """What a client asks of an agent."""

    caller: Caller
    agent: str
    """Its id."""
    operation: Operation
    version: Version
    """Of ``params``, and of what is to be answered."""
    params: bytes
    """One JSON object."""
    extensions: tuple[str, ...] = ()
    """Which the client wants to be in force, by their URIs."""
    headers: Mapping[bytes, bytes] = {}
    """Of its HTTP request, with lower-cased names: for those that are passed on."""
    request_id: str = ""
    """Of its HTTP request, as its reply tells it."""
    has_slot: bool = False
    """Whether its HTTP request is counted already among those that its caller may have at a time."""
    ends_with_stream: bool = False
    """Whether nobody wants to know any more of what is begun once its stream is closed: see :class:`Passed`."""
    is_own: bool = False
    """Whether the gateway asks how something is that its caller has begun: that uses up no limit of his."""


class Gateway(Protocol):
    """What answers clients, whoever asks for them: fronts, chats, tools.

    An agent that is not there and one that the caller may not use look alike: :class:`~pointsman.errors.Unseen`.
    """

    async def ask(self, call: Call) -> bytes:
        """The result of an operation that is not streamed, as JSON.

        :raises RpcError: the agent, or the protocol, refuses
        :raises GatewayError: it may not be asked, cannot be reached, or did not answer in time
        """

    def stream(self, call: Call) -> AsyncGenerator[bytes, None]:
        """The events of an operation that is streamed, each as JSON; raises as :meth:`ask` does.

        What fails before the first event is raised when that is asked for. Closing it ends the stream, not the task.
        """


class Interface(msgspec.Struct, frozen=True, kw_only=True):
    """One way to speak to an agent."""

    url: str
    binding: Binding
    version: Version
    tenant: str = ""


class LiveCard(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent says of itself."""

    card: Mapping[str, Any]
    """In the form of version 1.0, with members that nobody here knows; its addresses are the agent's own."""
    interfaces: tuple[Interface, ...]
    """Those that may be called: of the registered origin, or of one that is allowed."""
    state: str
    """``live``, ``stale`` or ``declared``: it was never reached, and this is what its registration says."""
    verdict: str = "unsigned"
    """``unsigned``, ``valid``, ``invalid`` or ``unknown``: what has become of its signatures."""


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How an agent was when it was looked at last."""

    state: Literal["unknown", "healthy", "unhealthy"] = "unknown"
    error: str | None = None
    """What is wrong with it or its card; for whoever may see everything, since it can name an address."""
    checked_at: float | None = None
    """In seconds since the epoch."""


class Cards(Protocol):
    """The cards of agents, as they are known at the moment."""

    async def live(self, agent: str) -> LiveCard:
        """That of a registered agent; waits for the network only when nothing at all is known of it yet.

        :raises Unseen: there is none
        """

    def peek(self, agent: str) -> LiveCard | None:
        """The same as far as it is known; waits for nothing."""

    def health(self, agent: str) -> Health:
        """How it was when it was looked at last."""

    async def look(self, settings: AgentSettings) -> LiveCard:
        """That of an agent that need not be registered, as it is now.

        :raises GatewayError: it has none, or cannot be reached
        """

    def changed(self, agent: str) -> None:
        """Look again, in the background: it does not behave as its card says."""


class Passed(msgspec.Struct, frozen=True, kw_only=True):
    """What goes to an agent beside the parameters."""

    caller: Caller
    deadline: float
    """In ``loop.time()``."""
    headers: Mapping[str, str] = {}
    """``a2a-extensions``, ``traceparent`` and what is configured to be passed on; never a client's credential."""
    replica: str = ""
    """At which address the task is that this is about; empty, or one that is not configured any more: anywhere."""
    on_replica: Callable[[str], None] = lambda _: None
    """Is told at which address it is answered, before the result or the first event is given."""
    ends_with_stream: bool = False
    """Whether an agent of this process gives up what it has begun when its stream is closed; others know of tasks only
    that go on."""
    outlasts_pauses: bool = False
    """Whether a stream goes on until its task has ended, also where the agent ends it when the task waits for
    something: version 0.3 says so, and 1.0 does not."""


class Agent(Protocol):
    """One agent, at all of its addresses."""

    async def version(self, wished: Version) -> Version:
        """In which it is spoken to for a client that speaks ``wished``: the same one where it can.

        :raises GatewayError: it is not known, and cannot be found out
        """

    async def ask(self, operation: Operation, version: Version, params: bytes, passed: Passed) -> bytes:
        """The result, bare, in the form of ``version``.

        :raises RpcError: it refuses
        :raises GatewayError: it cannot be reached, or did not answer in time
        """

    def stream(
        self, operation: Operation, version: Version, params: bytes, passed: Passed
    ) -> AsyncGenerator[bytes, None]:
        """The events, bare, each in one line; raises as :meth:`ask` does.

        ``passed.deadline`` is for the beginning of the answer; the rest has the bounds of the agent's settings. A
        stream that is cut goes on where it was, or raises :class:`~pointsman.errors.UpstreamBroken`. Closing it ends
        the stream, not the task.
        """

    async def close(self) -> None:
        """What is in progress fails."""

"""A request on its way: what was asked, for whom, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

from pointsman.access.caller import Caller
from pointsman.errors import GatewayError
from pointsman.pipeline.downstream import Downstream
from pointsman.pipeline.used import Used
from pointsman.telemetry.meters import CLIENT_LEFT
from pointsman.wire.operations import Operation
from pointsman.wire.peek import Peek

if TYPE_CHECKING:
    import asyncio


class Settling(Protocol):
    """Waits for what becomes of a call."""

    chosen: Any
    """A :class:`pointsman.pipeline.routed.Chosen`."""

    def lines(self, attempt: Any) -> bytes:
        """Reply header lines about how the model was chosen, where the answer of ``attempt`` goes downstream."""

    def saw(self, data: bytes) -> None:
        """``data`` of the answer goes downstream."""

    def settle(self, attempt: Any) -> None:
        """The call has ended in ``attempt``, a :class:`pointsman.pipeline.attempt.Attempt`."""


class Bill(Protocol):
    """What a call has used."""

    def add(self, attempt: Any, now: float) -> None:
        """An attempt has ended, a :class:`pointsman.pipeline.attempt.Attempt`."""

    def hold(self, task: asyncio.Task[Any]) -> None:
        """The call goes on in ``task`` although its client has left."""


class Call:
    """One request. The edge makes it from the head; the pipeline fills it in."""

    __slots__ = (
        "asks_cost",
        "bill",
        "caller",
        "downstream",
        "failure",
        "given_bytes",
        "given_text",
        "group",
        "headers",
        "identity",
        "is_abandoned",
        "is_array",
        "is_ask",
        "is_deployments_fault",
        "is_drained",
        "is_master",
        "is_operators",
        "is_stream",
        "operation",
        "path_model",
        "peeked",
        "priority",
        "received",
        "routed",
        "routed_lines",
        "status",
        "tenant",
        "used",
    )

    def __init__(
        self,
        operation: Operation,
        downstream: Downstream,
        headers: Mapping[bytes, bytes],
        identity: bytes,
        received: float,
        is_master: bool,
        tenant: str = "",
        path_model: str | None = None,
    ) -> None:
        self.operation = operation
        self.downstream = downstream
        self.headers = headers
        """Of the request, names in lower case."""
        self.identity = identity
        """Reply header lines that name this request."""
        self.received = received
        """When the head was complete, in seconds of the pipeline's clock, as all times here."""
        self.is_master = is_master
        self.tenant = tenant
        """Whose answers may be shown to this caller again."""
        self.caller: Caller | None = None
        """Who is served; ``None``: the gateway itself."""
        self.bill: Bill | None = None
        """Where it is written down what the call uses; ``None``: nobody pays for it."""
        self.used: Used | None = None
        """Where it is added up as well, for whoever makes the call; ``None``: nobody asks."""
        self.priority = 0
        """0 to 255, lower ones are served first; a caller's wish can only be for a later place."""
        self.path_model = path_model
        """A model that the path names; it goes before the body's."""
        self.peeked: Peek | None = None
        self.is_stream = False
        """Whether the caller has asked for a stream of events."""
        self.is_array = False
        """Whether that stream is to be one JSON array, as Gemini's clients can ask for."""
        self.given_bytes, self.given_text = 0, ""
        """About how much text the request holds, for an estimate when no usage comes; and the text, where it counts."""
        self.group = ""
        """The configured name or pattern that was asked for."""
        self.routed: Settling | None = None
        """Who waits for the outcome of a call to a routed model."""
        self.routed_lines = b""
        """Reply header lines about how the model was chosen."""
        self.is_ask = False
        """Whether it is made on the way to the answer of another call, and so is no client's request by itself."""
        self.is_operators = False
        """Whether the operator has named the model: then it is no alias of the caller's, and never an agent."""
        self.asks_cost: Decimal | None = None
        """US dollars that were spent on the way to whom it goes, as far as they are known."""
        self.is_drained = self.is_abandoned = False
        """Whether the answer is read to its end when the client leaves; and whether the client has left and it is."""
        self.status = CLIENT_LEFT
        """Of the reply; as long as there is none, that of a client that has left."""
        self.failure: str | None = None
        """Class of the error that ended the call."""
        self.is_deployments_fault = False

    def spend(self, cost: Decimal) -> None:
        """US dollars were spent on the way."""
        self.asks_cost = cost + (self.asks_cost or 0)

    def has_left(self) -> bool:
        """Whether there is nobody to answer any more."""
        return self.is_abandoned

    def note(self, error: GatewayError) -> None:
        """The call has ended in ``error``; its status is the reply's, unless that has gone out already."""
        self.failure = type(error).__name__
        self.is_deployments_fault = error.source == "upstream"
        if not self.downstream.is_started:
            self.status = error.status

"""A request on its way: what was asked, whom it goes to, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from pointsman.errors import GatewayError
from pointsman.pipeline.downstream import Downstream
from pointsman.pipeline.targets import Target
from pointsman.telemetry.meters import CLIENT_LEFT
from pointsman.wire.operations import Operation
from pointsman.wire.peek import Peek
from pointsman.wire.usage import Usage


class Call:
    """One request. The edge makes it from the head; the pipeline fills it in."""

    __slots__ = (
        "answered",
        "captured",
        "cost",
        "downstream",
        "failure",
        "given_bytes",
        "given_text",
        "group",
        "headers",
        "identity",
        "is_deployments_fault",
        "is_master",
        "operation",
        "overhead",
        "path_model",
        "peeked",
        "public_model",
        "received",
        "sent",
        "status",
        "ttft",
        "usage",
    )

    def __init__(
        self,
        operation: Operation,
        downstream: Downstream,
        headers: Mapping[bytes, bytes],
        identity: bytes,
        received: float,
        *,
        is_master: bool,
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
        self.path_model = path_model
        """A model that the path names; it goes before the body's."""
        self.peeked: Peek | None = None
        self.public_model = ""
        """What the caller calls the model; the reply calls it so too."""
        self.group = ""
        """The configured name or pattern that it was found by."""
        self.captured: str | None = None
        """What the ``*`` of a pattern stands for."""
        self.given_bytes = 0
        """About how much text the request holds, for an estimate when no usage comes."""
        self.given_text = ""
        self.sent = 0.0
        self.answered: float | None = None
        self.ttft: float | None = None
        self.overhead = 0.0
        self.status = CLIENT_LEFT
        """Of the reply; as long as there is none, that of a client that has left."""
        self.usage: Usage | None = None
        self.cost: Decimal | None = None
        self.failure: str | None = None
        """Class of the error that ended the call."""
        self.is_deployments_fault = False

    def note(self, error: GatewayError) -> None:
        """The call has ended in ``error``; its status is the reply's, unless that has gone out already."""
        self.failure = type(error).__name__
        self.is_deployments_fault = error.source == "upstream"
        if not self.downstream.is_started:
            self.status = error.status


def upstream_model(call: Call, target: Target) -> str:
    """What the upstream calls the model of ``call``."""
    name = target.deployment.upstream_model
    return name if call.captured is None else name.replace("*", call.captured)

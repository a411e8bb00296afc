"""A request on its way: what the edge knows of it, whom it goes to, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from pointsman.pipeline.downstream import Downstream
from pointsman.pipeline.targets import Target
from pointsman.routing.groups import Match
from pointsman.wire.operations import Operation
from pointsman.wire.peek import Peek
from pointsman.wire.usage import Usage


class Inbound(msgspec.Struct, frozen=True, kw_only=True):
    """What the edge knows of a request before its body."""

    operation: Operation
    headers: Mapping[bytes, bytes]
    identity: bytes
    """Reply header lines that name this request."""
    is_master: bool
    received: float
    """When the head was complete, in seconds of the pipeline's clock."""
    path_model: str | None = None
    """A model that the path names; it goes before the body's."""


class Call:
    """A request on its way: what was asked, whom it went to, and what came of it."""

    __slots__ = (
        "answered",
        "body_bytes",
        "cost",
        "downstream",
        "failure",
        "given_text",
        "inbound",
        "match",
        "overhead",
        "peeked",
        "public_model",
        "sent",
        "status",
        "target",
        "ttft",
        "usage",
    )

    def __init__(
        self, inbound: Inbound, downstream: Downstream, match: Match, target: Target, public_model: str
    ) -> None:
        self.inbound = inbound
        self.downstream = downstream
        self.match = match
        self.target = target
        self.public_model = public_model
        """What the caller calls the model; the reply calls it so too."""
        self.peeked: Peek | None = None
        self.status = 499
        """Of the reply; 499 as long as there is none, which it stays when the client leaves."""
        self.body_bytes = 0
        self.given_text = ""
        self.sent = 0.0
        self.answered: float | None = None
        self.ttft: float | None = None
        self.overhead = 0.0
        self.usage: Usage | None = None
        self.failure: str | None = None
        """Class of the error that ended the call."""
        self.cost: Decimal | None = None

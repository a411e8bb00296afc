"""One try at answering a call: whom it asks, when, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec

from pointsman.errors import GatewayError, UpstreamTimeout
from pointsman.pipeline.admission import BATCH_PRIORITY
from pointsman.pipeline.call import Call
from pointsman.pipeline.race import Race
from pointsman.pipeline.targets import Target
from pointsman.pipeline.translate import Translation
from pointsman.providers.costs import cost_usd
from pointsman.providers.translation import OtherOperation
from pointsman.routing.failures import is_upstreams, kind_of
from pointsman.routing.plan import Choice, Plan
from pointsman.routing.settings import FailureKind
from pointsman.telemetry.meters import DeploymentMeter
from pointsman.wire.usage import Usage

NOTHING_ASKED: dict[str, Any] = {}
TICK = 0.25
"""Deadlines are kept to about so many seconds."""


class Attempt:
    """What is known of one try. Times are of the pipeline's clock, in seconds."""

    __slots__ = (
        "answered",
        "asked",
        "call",
        "captured",
        "choice",
        "cost",
        "deadline",
        "dropped",
        "error",
        "expected_cost",
        "is_answered",
        "member",
        "other",
        "overhead",
        "patience",
        "plan",
        "priority",
        "public_model",
        "race",
        "sent",
        "target",
        "timeouts",
        "translation",
        "ttft",
        "upstream_model",
        "usage",
    )

    def __init__(self, call: Call, plan: Plan, choice: Choice, target: Target, now: float) -> None:
        self.call = call
        self.plan = plan
        self.choice = choice
        self.target = target
        self.member = choice.member
        self.public_model = choice.public_model
        """What the reply calls the model."""
        captured = self.captured = choice.match.captured
        """What the ``*`` of a pattern stands for."""
        name = target.deployment.upstream_model
        self.upstream_model = name if captured is None else name.replace("*", captured)
        """What the upstream calls the model."""
        timeouts = self.timeouts = target.stream_timeouts if call.is_stream else target.timeouts
        self.sent = now
        """When it began; a wait for a place before that is not the deployment's."""
        self.deadline = min(now + timeouts.total, plan.deadline)
        self.priority = call.priority
        self.patience: float | None = None
        """Seconds that the caller waits for the first output of a stream."""
        self.answered: float | None = None
        """When the answer, or its first piece, was there."""
        self.ttft: float | None = None
        """Seconds to the first output of a stream."""
        self.overhead = 0.0
        self.usage: Usage | None = None
        self.cost: Decimal | None = None
        self.expected_cost: Decimal | None = None
        """What it costs at least, should it be given up."""
        self.error: GatewayError | None = None
        self.is_answered = False
        """Whether the whole answer has come."""
        self.race: Race | None = None
        """The other attempts that run at the same time, if there are any."""
        self.translation: Translation | None = None
        """How a conversation was put to a deployment that speaks another dialect than the caller."""
        self.other: OtherOperation | None = None
        """The same for an operation that is none."""
        self.asked: dict[str, Any] = NOTHING_ASKED
        """What ``other`` was given."""
        self.dropped: tuple[str, ...] = ()
        """The caller's parameters that were left out."""

    @property
    def meter(self) -> DeploymentMeter:
        """Where it is counted."""
        return self.target.meter(self.call.group, self.call.operation)

    @property
    def failure_name(self) -> str:
        """Class of its error."""
        return type(self.error).__name__

    def start(self, now: float) -> None:
        """Begin now, after a wait."""
        self.sent = now
        self.deadline = min(now + self.timeouts.total, self.plan.deadline)

    def limit_first_byte(self, seconds: float | None) -> None:
        """Give up earlier than the deployment is allowed to take, as the caller wishes."""
        self.patience = seconds
        if seconds is not None and seconds < self.timeouts.first_byte:
            self.timeouts = msgspec.structs.replace(self.timeouts, first_byte=seconds)

    def expect(self, usage: Usage) -> None:
        """Note what is used in any case."""
        self.expected_cost = cost_usd(self.target.price(self.captured), usage)

    def charge(self, usage: Usage | None) -> None:
        """Note what was used, and what it costs."""
        self.usage = usage
        if usage is not None:
            target = self.target
            price = target.deployment.price if self.captured is None else target.price(self.captured)
            self.cost = cost_usd(price, usage)

    def count_failed(self) -> None:
        """Count it as one that another attempt follows."""
        self.meter.fail_attempt(self.failure_name)
        self.meter.charge(self.usage, self.cost)

    def commit(self) -> None:
        """The answer goes downstream from here on: attempts beside this one are given up.

        :raises Outrun: another attempt was quicker
        """
        if self.race is not None:
            self.race.win(self)

    def conclude(self, now: float, chance: Callable[[], float]) -> bool:
        """Tell routing what came of it; gives whether the deployment, or its credential, goes to rest for it."""
        member, error = self.member, self.error
        if error is None:
            if not self.is_answered:
                if self.race is not None and self.race.winner not in (None, self) and self.answered is None:
                    return member.outrun(self.sent, now, chance())
                member.leave(self.sent)
                return False
            tokens = 0 if self.usage is None else self.usage.total_tokens
            latency = self.ttft if self.ttft is not None else (self.answered or now) - self.sent
            member.succeed(self.sent, now, latency, tokens)
            return False
        kind = kind_of(error)
        # A 404 that does not name the model is about the path: this operation is not there, and others may be.
        is_about_path = kind is FailureKind.NOT_FOUND and error.code != "model_not_found"
        # A batch asks for as much as it gets: that it gets no more is no reason for others to wait. Who is there and
        # unavailable may be full as well, if others are asked of him meanwhile.
        is_full = kind is FailureKind.RATE_LIMIT or (kind is FailureKind.UNAVAILABLE and member.in_flight > 1)
        is_batchs = is_full and self.call.priority >= BATCH_PRIORITY
        if is_about_path or is_batchs or not is_upstreams(error) or self._is_haste(error, now):
            member.leave(self.sent)
            return False
        return member.fail(kind, self.sent, now, chance(), error.retry_after)

    def _is_haste(self, error: GatewayError, now: float) -> bool:
        """Whether time ran out that the deployment would have had: the caller's, or that of the whole request."""
        if not isinstance(error, UpstreamTimeout) or now - self.sent >= self._own_seconds():
            return False
        is_over = now >= self.deadline - TICK and self.deadline == self.plan.deadline
        is_impatience = self.patience is not None and self.ttft is None and now - self.sent >= self.patience - TICK
        return is_over or is_impatience

    def _own_seconds(self) -> float:
        own = self.target.stream_timeouts if self.call.is_stream else self.target.timeouts
        return own.total if not self.call.is_stream else own.first_byte

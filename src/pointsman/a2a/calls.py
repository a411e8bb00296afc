"""One call of a client: what it may use, what it has used, and what is written of it."""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, Protocol

from pointsman.a2a.base import Agent, Call
from pointsman.a2a.capabilities import Capabilities
from pointsman.a2a.protocol.faults import METHOD_NOT_FOUND, UNSUPPORTED_OPERATION, VERSION_NOT_SUPPORTED
from pointsman.a2a.protocol.operations import Operation, Version
from pointsman.a2a.protocol.peeking import Asked
from pointsman.a2a.settings import AgentSettings
from pointsman.access.caller import Caller
from pointsman.errors import CONNECT_TIMEOUT, GatewayError, UpstreamBroken, UpstreamTimeout
from pointsman.store.tasks import TaskRow
from pointsman.wire.jsonrpc import RpcError

MESSAGES: Final = frozenset({Operation.SEND, Operation.STREAM})
"""What gives an agent something to do, and costs what it costs."""
UNKNOWN: Final = frozenset({METHOD_NOT_FOUND.code, UNSUPPORTED_OPERATION.code, VERSION_NOT_SUPPORTED.code})
"""What an agent refuses with these it has not begun."""
MAX_TARGET: Final = 200
MAX_DETAIL: Final = 500
log = logging.getLogger("pointsman.a2a.calls")

Close = Callable[[bool, bool], Awaitable[None] | None]
"""Is told of the end of a call: whether it succeeded, and whether it has to be paid for."""


class Meter(Protocol):
    """Limits and budgets of what is asked of agents."""

    async def open(
        self, caller: Caller, agent: str, *, is_message: bool, request_id: str = "", has_slot: bool = False
    ) -> Close:
        """Reserve a call; what is no message costs nothing. ``has_slot``: see :class:`~pointsman.a2a.base.Call`.

        :raises RateLimited: too many were made
        :raises BudgetExceeded: too much was spent
        """


class Counting(Protocol):
    """Counts calls of one kind to one agent."""

    def observe(self, outcome: str, seconds: float) -> None: ...


class Turn:
    """A call while it is answered."""

    __slots__ = (
        "agent",
        "asked",
        "bytes",
        "call",
        "can",
        "deadline",
        "detail",
        "events",
        "is_sent",
        "outcome",
        "owner",
        "replica",
        "settings",
        "task",
        "version",
    )

    def __init__(self, call: Call, settings: AgentSettings, owner: str, agent: Agent, deadline: float) -> None:
        """``deadline`` is in ``loop.time()``, for all that the agent is asked."""
        self.deadline = deadline
        self.call = call
        self.settings = settings
        self.owner = owner
        """Who has what is begun."""
        self.agent = agent
        self.version: Version = call.version
        """In which the agent is spoken to."""
        self.asked = Asked()
        """What its parameters are about."""
        self.can = Capabilities()
        """What the agent can be asked for."""
        self.task: TaskRow | None = None
        """Which it is about, as soon as that is known."""
        self.replica = ""
        """Where it is, as far as that is known."""
        self.is_sent = False
        """Whether the agent may have heard of it."""
        self.events = 0
        self.bytes = 0
        """Of what was answered."""
        self.outcome = "cancelled"
        self.detail: str | None = None
        """Of a failure, for the operator."""

    def count(self, event: bytes) -> bytes:
        """An event that is passed on."""
        self.events += 1
        self.bytes += len(event)
        return event


class Calls:
    """Has calls measured, counted, and written down."""

    def __init__(self, meter: Meter, counting: Callable[[str, str], Counting]) -> None:
        """``counting`` gives what counts calls of an agent's operation."""
        self._meter = meter
        self._counting = counting

    @asynccontextmanager
    async def measured(self, turn: Turn) -> AsyncIterator[None]:
        """Around what answers a call.

        :raises RateLimited: too many were made
        :raises BudgetExceeded: too much was spent
        """
        begun, call = time.monotonic(), turn.call
        close: Close | None = None
        try:
            if not call.is_own:
                close = await self._meter.open(
                    call.caller,
                    call.agent,
                    is_message=call.operation in MESSAGES,
                    request_id=call.request_id,
                    has_slot=call.has_slot,
                )
            yield
            turn.outcome = "success"
        except RpcError as error:
            turn.outcome = f"rpc {error.code}"
            turn.is_sent = turn.is_sent and (error.code not in UNKNOWN or turn.events > 0)
            raise
        except GatewayError as error:
            turn.outcome, turn.detail = error.code or type(error).__name__, error.operator_detail
            # It may have done something only where it was reached.
            is_late = isinstance(error, UpstreamBroken | UpstreamTimeout) and error.code != CONNECT_TIMEOUT
            turn.is_sent = turn.is_sent and (is_late or turn.events > 0)
            raise
        finally:
            seconds = time.monotonic() - begun
            self._counting(call.agent, call.operation.value).observe(turn.outcome, seconds)
            _write(turn, seconds)
            if close is not None:
                closing = close(turn.outcome == "success", turn.is_sent)
                if inspect.isawaitable(closing):
                    await closing


def _write(turn: Turn, seconds: float) -> None:
    if not log.isEnabledFor(logging.INFO):
        return
    call = turn.call
    said: dict[str, object] = {"caller": call.caller.name, "agent": call.agent, "operation": call.operation.value}
    task = turn.asked.task if turn.task is None else turn.task.id
    if task:
        said["task"] = task[:MAX_TARGET]
    if turn.task is not None and turn.task.state:
        said["state"] = turn.task.state
    said["version"] = call.version
    if turn.version != call.version:
        said["agent_version"] = turn.version
    if call.request_id:
        said["request_id"] = call.request_id
    if call.operation.is_streamed:
        said["events"] = turn.events
    if turn.detail:
        said["detail"] = turn.detail[:MAX_DETAIL]
    more = {"outcome": turn.outcome, "seconds": round(seconds, 6), "bytes": turn.bytes}
    log.info("agent call", extra={**said, **more})


def write_denied(call: Call, why: str) -> None:
    """Write down that somebody has asked for what is not there for him."""
    _deny(call.caller, call.agent, call.operation.value, why)


def write_unseen(caller: Caller, agent: str, *, is_there: bool) -> None:
    """The same of whoever wants to know of an agent without asking it for anything."""
    _deny(caller, agent, "", f"the caller may not ask the agent {agent}" if is_there else "there is no such agent")


def _deny(caller: Caller, agent: str, operation: str, why: str) -> None:
    said = {"caller": caller.name, "agent": agent[:MAX_TARGET], "operation": operation}
    log.info("agent call", extra={**said, "outcome": f"denied: {why[:MAX_TARGET]}"})

"""What is asked of agents, by clients of either version: who may, whose tasks those are, and who answers.

A call goes through these steps: may the caller ask this agent for that; is he within his limits; can the agent be
asked for it at all; are the tasks and contexts that it names his own. Then the agent is asked, in the client's version
where it speaks that one. What it begins belongs to the caller, and that is safe before he hears of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Any, Final, Protocol

import msgspec
from msgspec.structs import replace

from pointsman.a2a.base import Call, Cards, Passed
from pointsman.a2a.calls import Calls, Counting, Meter, Turn, write_denied
from pointsman.a2a.capabilities import PUSHING, effective
from pointsman.a2a.fleet import Fleet
from pointsman.a2a.listing import Lists, with_history
from pointsman.a2a.ownership import Ownership
from pointsman.a2a.passing import headers_for
from pointsman.a2a.permissions import may_ask, missing
from pointsman.a2a.protocol import peeking, translation
from pointsman.a2a.protocol.faults import (
    NO_EXTENDED_CARD,
    PARSE_ERROR,
    PUSH_NOT_SUPPORTED,
    UNSUPPORTED_OPERATION,
    refusal,
)
from pointsman.a2a.protocol.operations import Operation, Version
from pointsman.a2a.settings import A2aSettings, AgentSettings
from pointsman.a2a.tasks import TaskLedger, owner_of
from pointsman.store.sealing import Sealer
from pointsman.wire.jsonrpc import RpcError, whole

Extend = Callable[[Call, AgentSettings, bytes], bytes]
"""Makes an agent's extended card one of the gateway's, in the version of the client."""
Forward = Callable[[Operation, bytes], Awaitable[bytes]]
"""Asks the agent of a call, with parameters and a result of the version of the client."""
LATEST: Final[Version] = "1.0"
LONG_BYTES: Final = 200_000
"""Of a result that is not translated while all others wait."""


class Registry(Protocol):
    """The agents that there are."""

    settings: A2aSettings

    @property
    def entries(self) -> Mapping[str, AgentSettings]: ...
    async def ready(self) -> None: ...


class Push(Protocol):
    """Webhooks of clients."""

    async def ask(self, call: Call, settings: AgentSettings, speaks: Version, forward: Forward) -> bytes:
        """Answer what is asked about webhooks of a task that is the caller's; ``speaks`` is the version of the agent.

        :raises RpcError: the webhook may not be called, or the agent refuses
        """

    async def outgoing(self, call: Call, settings: AgentSettings, speaks: Version) -> bytes:
        """The parameters of a message that names a webhook, as the agent may see them.

        :raises RpcError: the webhook may not be called
        """

    async def bound(self, call: Call, settings: AgentSettings, speaks: Version, task_id: str) -> None:
        """The task of such a message is known now."""


class Gateway:
    """All agents, for all clients; see :class:`~pointsman.a2a.base.Gateway`."""

    def __init__(
        self,
        registry: Registry,
        cards: Cards,
        fleet: Fleet,
        ledger: TaskLedger,
        *,
        meter: Meter,
        counting: Callable[[str, str], Counting],
        push: Push,
        extend: Extend,
        sealer: Callable[[], Awaitable[Sealer]],
        now: Callable[[], float],
    ) -> None:
        """``counting`` counts calls of an agent's operation; ``now`` is seconds since 1970.

        ``sealer`` gives the one that all workers have in common.
        """
        self._registry = registry
        self._cards = cards
        self._fleet = fleet
        self._push = push
        self._extend = extend
        self._calls = Calls(meter, counting)
        self._ownership = Ownership(ledger, now)
        self._lists = Lists(ledger, self._ownership, sealer)
        self.key_header = ""
        """One more header that may hold a key of this gateway."""

    async def ask(self, call: Call) -> bytes:
        """See :class:`~pointsman.a2a.base.Gateway`."""
        async with self._turn(call) as turn:
            result = await self._answer(turn)
            turn.bytes = len(result)
            return result

    async def stream(self, call: Call) -> AsyncGenerator[bytes]:
        """See :class:`~pointsman.a2a.base.Gateway`."""
        async with self._turn(call) as turn:
            call = turn.call
            if call.operation is Operation.SUBSCRIBE and turn.version != call.version == LATEST:
                yield turn.count(await self._snapshot(turn))
            params = await self._outgoing(turn)
            sent = translation.params_bytes(call.operation, params, call.version, turn.version)
            turn.is_sent = True
            is_same = turn.version == call.version
            events = turn.agent.stream(call.operation, turn.version, sent, self._passed(turn))
            async with aclosing(events):
                async for event in events:
                    self._look_again(turn)
                    await self._hear(turn, event)
                    yield turn.count(event if is_same else translation.event_bytes(event, turn.version, call.version))

    # -- before the agent is asked --------------------------------------------------------------------------------

    @asynccontextmanager
    async def _turn(self, call: Call) -> AsyncIterator[Turn]:
        settings = await self._settings(call)
        owner = owner_of(call.caller, self._registry.settings.task_owner)
        with self._fleet.using(settings) as agent:
            deadline = asyncio.get_running_loop().time() + settings.timeout
            turn = Turn(call, settings, owner, agent, deadline)
            async with self._calls.measured(turn):
                await self._look(turn)
                yield turn

    async def _settings(self, call: Call) -> AgentSettings:
        await self._registry.ready()
        settings = self._registry.entries.get(call.agent)
        if settings is None:
            write_denied(call, "there is no such agent")
            raise missing(call.agent)
        refused = may_ask(call.caller, settings, call.operation)
        if refused is not None:
            write_denied(call, refused.reason)
            raise missing(call.agent)
        return settings

    def _look_again(self, turn: Turn) -> None:
        """:raises Unseen: the agent is not there any more, or the caller may not ask it any more"""
        call, settings = turn.call, self._registry.entries.get(turn.call.agent)
        if settings is not turn.settings and (
            settings is None or may_ask(call.caller, settings, call.operation) is not None
        ):
            raise missing(call.agent)

    async def _look(self, turn: Turn) -> None:
        call = turn.call = replace(turn.call, params=_plain(turn.call.params))
        turn.asked = peeking.asked(call.operation, call.version, call.params)
        turn.can = effective(turn.settings, await self._cards.live(call.agent))
        error = _beyond(turn)
        if error is not None:
            raise error
        await self._ownership.check(turn)
        turn.version = await turn.agent.version(call.version)

    # -- asking it ------------------------------------------------------------------------------------------------

    async def _answer(self, turn: Turn) -> bytes:
        call = turn.call
        if call.operation is Operation.LIST:
            return await self._lists.answer(turn, partial(self._exchange, turn))
        if call.operation in PUSHING:
            return await self._push.ask(call, turn.settings, turn.version, partial(self._forward, turn))
        params = await self._outgoing(turn)
        result = await self._forward(turn, call.operation, params)
        if call.operation is Operation.EXTENDED_CARD:
            return self._extend(call, turn.settings, result)
        await self._hear(turn, result)
        is_other = turn.version != call.version == LATEST
        return _shortened(result, turn.asked.history_length) if is_other else result

    async def _snapshot(self, turn: Turn) -> bytes:
        """How a task is, as an event: only the latest version begins with one.

        :raises RpcError: nothing comes any more
        """
        params = msgspec.json.encode({"id": turn.asked.task})
        task = await self._exchange(turn, Operation.GET, params, turn.call.version)
        await self._hear(turn, task)
        if turn.task is not None and turn.task.is_over:
            raise refusal(UNSUPPORTED_OPERATION, "The task is over")
        return b'{"task":%b}' % task

    async def _outgoing(self, turn: Turn) -> bytes:
        call = turn.call
        return await self._push.outgoing(call, turn.settings, turn.version) if turn.asked.has_webhook else call.params

    async def _hear(self, turn: Turn, result: bytes) -> None:
        """Write down what an agent has told."""
        told = peeking.told(result)
        if told.is_final:
            # Whoever leaves now has heard all that there is to hear.
            turn.outcome = "success"
        if self._ownership.is_news(turn, told):
            is_first = turn.task is None
            await self._ownership.note(turn, told)
            if is_first and turn.task is not None and turn.asked.has_webhook:
                await self._push.bound(turn.call, turn.settings, turn.version, turn.task.id)

    async def _forward(self, turn: Turn, operation: Operation, params: bytes) -> bytes:
        return await self._exchange(turn, operation, params, turn.call.version)

    async def _exchange(
        self, turn: Turn, operation: Operation, params: bytes, version: Version, replica: str | None = None
    ) -> bytes:
        """Ask the agent, with parameters and a result of ``version``; ``replica`` has what is asked for.

        ``None``: the one that has the task of the call.
        """
        sent = translation.params_bytes(operation, params, version, turn.version)
        passed = self._passed(turn)
        if replica is not None:
            passed = replace(passed, replica=replica)
        turn.is_sent = True
        result = await turn.agent.ask(operation, turn.version, sent, passed)
        translated = partial(translation.result_bytes, operation, result, turn.version, version)
        is_long = turn.version != version and len(result) > LONG_BYTES
        return await asyncio.to_thread(translated) if is_long else translated()

    def _passed(self, turn: Turn) -> Passed:
        def on_replica(address: str) -> None:
            turn.replica = address

        return Passed(
            caller=turn.call.caller,
            deadline=turn.deadline,
            headers=headers_for(turn.call, turn.settings, (self.key_header,)),
            replica=turn.replica,
            on_replica=on_replica,
            ends_with_stream=turn.call.ends_with_stream,
            outlasts_pauses=turn.call.operation is Operation.SUBSCRIBE and turn.call.version == LATEST,
        )


def _plain(params: bytes) -> bytes:
    """The same parameters with no member twice: an agent could read the other one.

    :raises RpcError: they are no JSON
    """
    try:
        try:
            value = msgspec.json.decode(params)
        except msgspec.DecodeError:
            value = msgspec.json.decode(whole(params))
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise refusal(PARSE_ERROR) from error
    return msgspec.json.encode(value)


def _shortened(result: bytes, most: int | None) -> bytes:
    """The same with so much history as was asked for: the older version knows the wish, and few heed it."""
    if most is None:
        return result
    value = msgspec.json.decode(result, type=dict[str, Any])
    task = value.get("task")
    told = {**value, "task": with_history(task, most)} if isinstance(task, dict) else with_history(value, most)
    return msgspec.json.encode(told)


def _beyond(turn: Turn) -> RpcError | None:
    """What a call is refused with that asks for what an agent cannot do; ``None``: it can."""
    operation, can = turn.call.operation, turn.can
    if operation.is_streamed and not can.streaming:
        return refusal(UNSUPPORTED_OPERATION, "The agent does not stream")
    if (operation in PUSHING or turn.asked.has_webhook) and not can.push:
        return refusal(PUSH_NOT_SUPPORTED)
    if operation is Operation.EXTENDED_CARD and not turn.call.caller.name:
        return refusal(NO_EXTENDED_CARD, "Whoever shows no key sees no extended card")
    if operation is Operation.EXTENDED_CARD and not can.extended_card:
        # The older version has one word for both: that there is none, and that there could be one.
        return refusal(UNSUPPORTED_OPERATION if turn.call.version == LATEST else NO_EXTENDED_CARD)
    return None

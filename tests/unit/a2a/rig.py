"""A gateway before agents that do as the test says."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

from pointsman.a2a.base import Call, Health, LiveCard, Passed
from pointsman.a2a.calls import Close
from pointsman.a2a.fleet import Fleet
from pointsman.a2a.gateway import Forward, Gateway
from pointsman.a2a.protocol.operations import Operation, Version
from pointsman.a2a.settings import A2aSettings, AgentSettings
from pointsman.a2a.tasks import TaskLedger
from pointsman.access.caller import Caller
from pointsman.store.base import StoreDown
from pointsman.store.sealing import Sealer
from pointsman.store.tasks import MemoryTasks, TaskRecords
from pointsman.telemetry.tasks import Tasks
from pointsman.wire.secret import Secret

NOW = 1_800_000_000.0
ALL = {"streaming": True, "pushNotifications": True, "extendedAgentCard": True}
Answering = Callable[[Operation, dict[str, Any]], Any]


def caller(name: str = "key:me") -> Caller:
    return Caller(name=name, role="key")


def task(task_id: str = "t1", state: str = "TASK_STATE_WORKING", context: str = "c1", **more: Any) -> dict[str, Any]:
    return {"id": task_id, "contextId": context, "status": {"state": state}, **more}


def message(text: str = "hello", **more: Any) -> dict[str, Any]:
    """The parameters of one, in version 1.0."""
    return {"message": {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": text}], **more}}


class FakeAgent:
    """Answers as the test says, and keeps what it was asked."""

    def __init__(self) -> None:
        self.speaks: tuple[Version, ...] = ("1.0", "0.3")
        self.asked: list[tuple[Operation, Version, dict[str, Any]]] = []
        self.passed: list[Passed] = []
        self.replica = ""
        self.answers: dict[Operation, Any] = {}
        """A value, a failure, or what gives one from the parameters."""
        self.events: list[Any] = []
        """Of a stream; a failure ends it."""
        self.is_closed = False
        self.streams_closed = 0

    async def version(self, wished: Version) -> Version:
        return wished if wished in self.speaks else self.speaks[0]

    async def ask(self, operation: Operation, version: Version, params: bytes, passed: Passed) -> bytes:
        self._note(operation, version, params, passed)
        answer = self.answers.get(operation, {"task": task()})
        if callable(answer):
            answer = answer(json.loads(params))
        if isinstance(answer, Exception):
            raise answer
        return json.dumps(answer).encode()

    async def stream(
        self, operation: Operation, version: Version, params: bytes, passed: Passed
    ) -> AsyncGenerator[bytes, None]:
        self._note(operation, version, params, passed)
        try:
            for event in self.events:
                if isinstance(event, Exception):
                    raise event
                yield json.dumps(event).encode()
        finally:
            self.streams_closed += 1

    async def close(self) -> None:
        self.is_closed = True

    def _note(self, operation: Operation, version: Version, params: bytes, passed: Passed) -> None:
        self.asked.append((operation, version, json.loads(params)))
        self.passed.append(passed)
        if self.replica:
            passed.on_replica(self.replica)


class FakeCards:
    """All agents can do the same."""

    def __init__(self) -> None:
        self.capabilities: dict[str, Any] = dict(ALL)

    async def live(self, agent: str) -> LiveCard:
        return LiveCard(card={"name": agent, "capabilities": self.capabilities}, interfaces=(), state="live")

    def peek(self, agent: str) -> LiveCard | None:
        raise AssertionError(agent)

    def health(self, agent: str) -> Health:
        raise AssertionError(agent)

    async def look(self, settings: AgentSettings) -> LiveCard:
        raise AssertionError(settings)

    def changed(self, agent: str) -> None:
        raise AssertionError(agent)


class FakeRegistry:
    """Those of the test."""

    def __init__(self, agents: Mapping[str, AgentSettings], settings: A2aSettings) -> None:
        self.entries = agents
        self.settings = settings

    async def ready(self) -> None:
        """They are."""


class FakeMeter:
    """Lets pass what the test does."""

    def __init__(self) -> None:
        self.opened: list[tuple[str, str, bool]] = []
        self.closed: list[tuple[bool, bool]] = []
        self.refusal: Exception | None = None

    async def open(
        self, caller: Caller, agent: str, *, is_message: bool, request_id: str = "", has_slot: bool = False
    ) -> Close:
        del request_id, has_slot
        if self.refusal is not None:
            raise self.refusal
        self.opened.append((caller.name, agent, is_message))
        return lambda is_success, is_due: self.closed.append((is_success, is_due))


class FakePush:
    """Keeps what it is asked."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Any]] = []

    async def ask(self, call: Call, settings: AgentSettings, speaks: Version, forward: Forward) -> bytes:
        del speaks
        self.seen.append((call.operation, settings.id))
        return await forward(call.operation, call.params)

    async def outgoing(self, call: Call, settings: AgentSettings, speaks: Version) -> bytes:
        del settings, speaks
        self.seen.append(("outgoing", json.loads(call.params)))
        return call.params

    async def bound(self, call: Call, settings: AgentSettings, speaks: Version, task_id: str) -> None:
        del call, settings, speaks
        self.seen.append(("bound", task_id))


class Counted:
    """Calls that were counted."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str]] = []

    def bind(self, agent: str, operation: str) -> _Counting:
        return _Counting(self, agent, operation)


class _Counting:
    def __init__(self, counted: Counted, agent: str, operation: str) -> None:
        self._counted, self._agent, self._operation = counted, agent, operation

    def observe(self, outcome: str, _seconds: float) -> None:
        self._counted.seen.append((self._agent, self._operation, outcome))


class Rig:
    """All of it; ``a`` is the agent unless the test names others."""

    def __init__(self, *agents: AgentSettings, rule: Any = "key", **settings: Any) -> None:
        every = agents or (AgentSettings(id="a", name="a", allow_all_keys=True, **settings),)
        self.agent = FakeAgent()
        self.cards = FakeCards()
        self.meter = FakeMeter()
        self.push = FakePush()
        self.counted = Counted()
        self.rows = MemoryTasks()
        self.is_down = False
        self.sealer = Sealer(Secret("salt"))
        self.now = NOW
        tasks = Tasks(logging.getLogger("test"), 1000)
        self.ledger = TaskLedger(self._rows, tasks)
        self.fleet = Fleet(lambda _: self.agent, tasks)
        self.registry = FakeRegistry({one.id: one for one in every}, A2aSettings(task_owner=rule))
        self.gateway = Gateway(
            self.registry,
            self.cards,
            self.fleet,
            self.ledger,
            meter=self.meter,
            counting=self.counted.bind,
            push=self.push,
            extend=lambda call, settings, card: json.dumps([call.version, settings.id, json.loads(card)]).encode(),
            sealer=self._sealer,
            now=lambda: self.now,
        )

    async def _rows(self) -> TaskRecords:
        if self.is_down:
            raise StoreDown("it is away")
        return self.rows

    async def _sealer(self) -> Sealer:
        return self.sealer

    def call(
        self, operation: Operation, params: Any = None, who: Caller | None = None, version: Version = "1.0", **more: Any
    ) -> Call:
        return Call(
            caller=who or caller(),
            agent=more.pop("agent", "a"),
            operation=operation,
            version=version,
            params=params if isinstance(params, bytes) else json.dumps(params or {}).encode(),
            **more,
        )

    async def ask(self, operation: Operation, params: Any = None, *args: Any, **more: Any) -> Any:
        """The result, decoded."""
        return json.loads(await self.gateway.ask(self.call(operation, params, *args, **more)))

    async def stream(self, operation: Operation, params: Any = None, *args: Any, **more: Any) -> list[Any]:
        """All events, decoded."""
        return [json.loads(one) async for one in self.gateway.stream(self.call(operation, params, *args, **more))]

    async def begin(self, task_id: str = "t1", who: Caller | None = None, **more: Any) -> None:
        """Have a task that is somebody's."""
        self.agent.answers[Operation.SEND] = {"task": task(task_id, **more)}
        await self.ask(Operation.SEND, message(), who)

    async def settle(self) -> None:
        """Let go on what goes on beside."""
        for _ in range(20):
            await asyncio.sleep(0)

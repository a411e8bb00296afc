"""One agent at addresses of its own: a :class:`~pointsman.a2a.base.Agent`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Final, TypeVar

import msgspec

from pointsman.a2a.agents.choosing import Ways
from pointsman.a2a.agents.exchanges import Exchanges, Misfit, judged
from pointsman.a2a.agents.following import Following
from pointsman.a2a.agents.places import Places, at_replica, replicas_of
from pointsman.a2a.agents.streams import Budget, Leg, in_one_line
from pointsman.a2a.agents.telling import Telling
from pointsman.a2a.base import Cards, Interface, LiveCard, Passed
from pointsman.a2a.protocol import faults, peeking, translation
from pointsman.a2a.protocol.operations import TERMINAL, Operation, Version
from pointsman.a2a.settings import AgentSettings
from pointsman.errors import (
    CONNECT_TIMEOUT,
    GatewayError,
    UpstreamBroken,
    UpstreamError,
    UpstreamUnreachable,
)
from pointsman.upstream.addresses import Carrier, Credential
from pointsman.wire.jsonrpc import RpcError

LOOK_SECONDS: Final = 30.0
"""That an agent may take to tell of a task, or to begin to, where a stream of it was cut."""
OF_TASKS: Final = frozenset({Operation.GET, Operation.CANCEL, Operation.SUBSCRIBE})
"""What is asked at a place of its own for each task: some agents say no more than that there is no such place."""
_LOG = logging.getLogger("pointsman.a2a")
T = TypeVar("T")
Ask = Callable[[Interface, str, bytes], Awaitable[T]]
"""Asks in one way at one address, with parameters of the version of that way."""


class RemoteAgent:
    """Asks the agent of one registration, as long as that stays as it is."""

    def __init__(
        self,
        settings: AgentSettings,
        cards: Cards,
        host: Callable[[str], Carrier],
        credential: Credential | None = None,
    ) -> None:
        """``host`` gives who sends requests to an address.

        :raises ValueError: an address of the agent is none
        """
        self._settings = settings
        self._cards = cards
        self._places = Places(settings, host, credential)
        self._exchanges = Exchanges(settings, self._places)
        self._ways = Ways(settings)
        self._replicas = replicas_of(settings)
        self._next = 0
        self._legs: set[Leg] = set()
        self._is_closed = False

    async def version(self, wished: Version) -> Version:
        """See :class:`~pointsman.a2a.base.Agent`."""
        live = await self._cards.live(self._settings.id)
        return self._ways.for_(live.interfaces, wished)[0].version

    async def ask(self, operation: Operation, version: Version, params: bytes, passed: Passed) -> bytes:
        """See :class:`~pointsman.a2a.base.Agent`."""
        try:
            return await self.fetch(operation, version, params, passed)
        except (RpcError, GatewayError) as error:
            raise self._places.veil.over(error)  # noqa: B904  it is the same one

    async def stream(
        self, operation: Operation, version: Version, params: bytes, passed: Passed
    ) -> AsyncGenerator[bytes, None]:
        """See :class:`~pointsman.a2a.base.Agent`."""
        try:
            live = await self._cards.live(self._settings.id)
            if self._is_unary(live):
                yield in_one_line(await self._single(operation, version, params, passed))
                return
            task = peeking.asked(operation, version, params).task if operation is Operation.SUBSCRIBE else ""
            answers = _Answers(self, operation, version, params, passed)
            telling = Telling(version, task, outlasts_pauses=passed.outlasts_pauses)
            idle = self._settings.stream.idle_seconds
            following = Following(answers, telling, idle, answers.budget.deadline)
            async with aclosing(following.events()) as events:
                async for event in events:
                    yield event
        except (RpcError, GatewayError) as error:
            raise self._places.veil.over(error)  # noqa: B904  it is the same one

    async def close(self) -> None:
        """See :class:`~pointsman.a2a.base.Agent`."""
        self._is_closed = True
        for leg in tuple(self._legs):
            leg.fail(_gone())

    # -- for streams ----------------------------------------------------------------------------------------------

    def keep(self, leg: Leg) -> Leg:
        """Have a leg fail when the agent is left.

        :raises UpstreamBroken: it was left already
        """
        if self._is_closed:
            leg.close()
            raise _gone()
        self._legs.add(leg)
        leg.on_close = self._legs.discard
        return leg

    def budget(self) -> Budget:
        """For one stream."""
        limits = self._settings.stream
        deadline = asyncio.get_running_loop().time() + limits.total_seconds
        return Budget(limits.max_bytes, limits.max_event_bytes, limits.idle_seconds, deadline)

    async def open(
        self, way: Interface, url: str, operation: Operation, params: bytes, passed: Passed, budget: Budget
    ) -> Leg:
        """See :meth:`~pointsman.a2a.agents.exchanges.Exchanges.open`."""
        return self.keep(await self._exchanges.open(way, url, operation, params, passed, budget))

    async def look(self, way: Interface, url: str, params: bytes, passed: Passed) -> bytes:
        """A task as it is, told by who has it."""
        return await self._exchanges.ask(way, url, Operation.GET, params, passed)

    async def fetch(self, operation: Operation, version: Version, params: bytes, passed: Passed) -> bytes:
        """See :meth:`ask`; failures may name addresses."""

        async def ask(way: Interface, url: str, spoken: bytes) -> bytes:
            return await self._exchanges.ask(way, url, operation, spoken, passed)

        way, _, result = await self.reach(operation, version, params, passed, ask)
        return translation.result_bytes(operation, result, way.version, version)

    async def reach(
        self, operation: Operation, version: Version, params: bytes, passed: Passed, ask: Ask[T]
    ) -> tuple[Interface, str, T]:
        """Ask in the ways that may be right, until one is; gives also which that was, and at which address.

        :raises RpcError: the agent refuses
        :raises GatewayError: it cannot be reached, or its answer is none
        """
        live = await self._cards.live(self._settings.id)
        failed: list[Interface] = []
        first: Misfit | None = None
        for way in self._ways.for_(live.interfaces, version):
            spoken = translation.params_bytes(operation, params, version, way.version)
            try:
                url, found = await self._at_some(way, spoken, passed, ask)
            except Misfit as misfit:
                if self._ways.is_proven(way) and misfit.is_absent and operation in OF_TASKS:
                    raise faults.refusal(faults.TASK_NOT_FOUND) from misfit
                if self._ways.is_firm(way, operation):
                    raise misfit.error from misfit
                failed.append(way)
                first = first or misfit
            except RpcError:
                self._learn(way, failed, operation)
                raise
            else:
                self._learn(way, failed, operation)
                return way, url, found
        assert first is not None
        self._ways.forget()
        raise first.error from first

    # -- inside ---------------------------------------------------------------------------------------------------

    async def _single(self, operation: Operation, version: Version, params: bytes, passed: Passed) -> bytes:
        """What an agent without streams tells, which is an event too."""
        if operation is Operation.STREAM:
            return await self.fetch(Operation.SEND, version, params, passed)
        found = await self.fetch(Operation.GET, version, params, passed)
        if peeking.told(found).state in TERMINAL:
            raise faults.refusal(faults.UNSUPPORTED_OPERATION, "The task has ended")
        return b'{"task":%b}' % found if version == "1.0" else found

    def _is_unary(self, live: LiveCard) -> bool:
        capabilities = live.card.get("capabilities")
        streams = isinstance(capabilities, dict) and capabilities.get("streaming") is True
        return not streams and "streaming" in self._settings.adds

    async def _at_some(self, way: Interface, spoken: bytes, passed: Passed, ask: Ask[T]) -> tuple[str, T]:
        """Ask where the task is or, for a new one, at the next replica; at another one if that cannot be reached."""
        unreachable: UpstreamError | None = None
        for replica in self._order(passed.replica):
            url = at_replica(way.url, self._settings.url, replica)
            try:
                found = await ask(way, url, spoken)
            except UpstreamError as error:
                is_unsent = isinstance(error, UpstreamUnreachable) or error.code == CONNECT_TIMEOUT
                if not is_unsent:
                    raise
                unreachable = unreachable or error
            except RpcError as error:
                # Another one does not know what this one would have known.
                if unreachable is not None and error.code == faults.TASK_NOT_FOUND.code:
                    raise unreachable from error
                raise
            else:
                passed.on_replica(replica)
                return url, found
        assert unreachable is not None
        raise unreachable

    def _order(self, known: str) -> tuple[str, ...]:
        replicas = self._replicas
        if len(replicas) == 1:
            return replicas
        if known in replicas:
            return (known, *(one for one in replicas if one != known))
        start = self._next % len(replicas)
        self._next = start + 1
        return replicas[start:] + replicas[:start]

    def _learn(self, way: Interface, failed: list[Interface], operation: Operation) -> None:
        if self._ways.has_worked(way, failed, operation):
            _LOG.warning(
                "agent %s does not speak as its card says: %s of version %s is used",
                self._settings.id,
                way.binding,
                way.version,
            )
            self._cards.changed(self._settings.id)


class _Answers:
    """Those of an agent to one stream of a client: a :class:`~pointsman.a2a.agents.following.Source`."""

    def __init__(
        self, agent: RemoteAgent, operation: Operation, version: Version, params: bytes, passed: Passed
    ) -> None:
        self._agent = agent
        self._operation = operation
        self._version = version
        self._params = params
        self._passed = passed
        self.budget = agent.budget()
        """Of all of them together."""
        self._way: Interface | None = None
        self._url = ""

    async def begin(self) -> Leg:
        """See :class:`~pointsman.a2a.agents.following.Source`."""

        async def ask(way: Interface, url: str, spoken: bytes) -> Leg:
            leg = await self._agent.open(way, url, self._operation, spoken, self._passed, self.budget)
            self._translate(leg, way)
            try:
                # What an agent does not understand it may say in its first event.
                first = await leg.next()
            except RpcError as error:
                leg.close()
                raise judged(error) from error
            except BaseException:
                leg.close()
                raise
            if first is not None:
                leg.unread(first)
            return leg

        found = await self._agent.reach(self._operation, self._version, self._params, self._passed, ask)
        self._way, self._url, leg = found
        return leg

    async def resume(self, task: str) -> Leg:
        """See :class:`~pointsman.a2a.agents.following.Source`."""
        try:
            leg = await self._agent.open(
                self._known, self._url, Operation.SUBSCRIBE, _about(task), self._soon(), self.budget
            )
        except Misfit as misfit:
            raise misfit.error from misfit
        self._translate(leg, self._known)
        return leg

    async def look(self, task: str) -> bytes:
        """See :class:`~pointsman.a2a.agents.following.Source`."""
        way = self._way
        if way is None:
            return await self._agent.fetch(Operation.GET, self._version, _about(task), self._soon())
        try:
            found = await self._agent.look(way, self._url, _about(task), self._soon())
        except Misfit as misfit:
            raise misfit.error from misfit
        return translation.result_bytes(Operation.GET, found, way.version, self._version)

    @property
    def _known(self) -> Interface:
        assert self._way is not None
        return self._way

    def _soon(self) -> Passed:
        deadline = asyncio.get_running_loop().time() + LOOK_SECONDS
        return msgspec.structs.replace(self._passed, deadline=deadline)

    def _translate(self, leg: Leg, way: Interface) -> None:
        if way.version != self._version:
            leg.translate = lambda event: translation.event_bytes(event, way.version, self._version)


def _about(task: str) -> bytes:
    return msgspec.json.encode({"id": task})


def _gone() -> UpstreamBroken:
    return UpstreamBroken("The agent is not registered as it was any more; ask again")

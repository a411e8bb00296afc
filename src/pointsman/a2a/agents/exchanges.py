"""One request to an agent at one address in one way, and what its answer means."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final, Protocol

from pointsman.a2a.agents import jsonrpc, rest
from pointsman.a2a.agents.places import WHO, Places
from pointsman.a2a.agents.streams import Budget, Leg, Reader
from pointsman.a2a.base import Interface, Passed
from pointsman.a2a.protocol import faults, peeking, translation
from pointsman.a2a.protocol.operations import Binding, Operation, Version
from pointsman.a2a.protocol.rest import Outgoing
from pointsman.a2a.settings import AgentSettings
from pointsman.errors import GatewayError, UpstreamBroken
from pointsman.upstream.addresses import CALL, EVENTS, beginning, kind_of, refusal, whole
from pointsman.upstream.response import Response
from pointsman.upstream.settings import Timeouts
from pointsman.wire.events import Event, Events
from pointsman.wire.jsonrpc import METHOD_NOT_FOUND, RpcError

CONNECT_SECONDS: Final = 10.0
ONCE: Final = frozenset({Operation.SEND, Operation.STREAM, Operation.SET_PUSH})
"""What may not arrive twice: an agent would begin two tasks."""
TOLD: Final = frozenset({Operation.SEND, Operation.GET, Operation.CANCEL})
"""Whose results show of which version they are."""
ELSEWHERE: Final = frozenset({404, 405, 406, 415, 501})
"""Statuses of a server that has nothing at a place, or nothing of that kind."""
MISUNDERSTOOD: Final = frozenset({METHOD_NOT_FOUND, faults.VERSION_NOT_SUPPORTED.code})


class Misfit(Exception):
    """Whoever is there speaks something else, and has done nothing."""

    def __init__(self, error: RpcError | GatewayError, *, is_absent: bool = False) -> None:
        super().__init__(str(error))
        self.error = error
        self.is_absent = is_absent
        """Whether there is nothing at the place that was asked at, which is one of its own for each task."""


class Speech(Protocol):
    """A binding."""

    @property
    def ACCEPT(self) -> str: ...  # noqa: N802  a constant of a module

    def write(self, operation: Operation, version: Version, params: bytes, tenant: str) -> Outgoing: ...
    def read(self, operation: Operation, version: Version, body: bytes) -> bytes: ...
    def refused(self, status: int, body: bytes) -> RpcError | None: ...
    def read_event(self, version: Version, name: bytes, data: bytes) -> bytes | None: ...


def speech_of(binding: Binding) -> Speech:
    """The one of this name."""
    return jsonrpc if binding == "jsonrpc" else rest


class Exchanges:
    """Asks one agent."""

    def __init__(self, settings: AgentSettings, places: Places) -> None:
        self._settings = settings
        self._places = places
        self._gets: set[str] = set()
        """Addresses where a task is followed by GET: versions of the specification differ in that."""

    async def ask(self, way: Interface, url: str, operation: Operation, params: bytes, passed: Passed) -> bytes:
        """The result of an operation that is not streamed.

        :raises Misfit: the agent does not speak so
        :raises RpcError: it refuses
        :raises GatewayError: it cannot be reached, or its answer is none
        """
        speech = speech_of(way.binding)
        asked = speech.write(operation, way.version, params, way.tenant)
        response = await self._places.send(
            url,
            asked.method.encode(),
            asked.path,
            asked.body,
            way.version,
            speech.ACCEPT,
            passed,
            timeouts=CALL,
            deadline=passed.deadline,
            is_repeatable=operation not in ONCE,
        )
        if response.status >= 300:
            raise await _failure(speech, response)
        return await self._read(speech, way, operation, response)

    async def open(
        self, way: Interface, url: str, operation: Operation, params: bytes, passed: Passed, budget: Budget
    ) -> Leg:
        """The answer to an operation that is streamed, with nothing of it taken; raises as :meth:`ask` does.

        ``passed.deadline`` is for its head, that of ``budget`` for all of it.
        """
        speech = speech_of(way.binding)
        asked = speech.write(operation, way.version, params, way.tenant)
        patience = max(0.1, passed.deadline - asyncio.get_running_loop().time())
        timeouts = Timeouts(connect=CONNECT_SECONDS, first_byte=patience, idle=budget.idle_seconds, total=patience)
        is_following = way.binding == "rest" and operation is Operation.SUBSCRIBE
        method = "GET" if is_following and url in self._gets else asked.method
        while True:
            response = await self._places.send(
                url,
                method.encode(),
                asked.path,
                b"" if method == "GET" else asked.body,
                way.version,
                f"text/event-stream, {speech.ACCEPT}",
                passed,
                timeouts=timeouts,
                deadline=budget.deadline,
                is_repeatable=operation not in ONCE,
            )
            if response.status != 405 or not is_following or method == "GET":
                break
            await beginning(response)
            method = "GET"
            self._gets.add(url)
        if response.status >= 300:
            raise await _failure(speech, response)
        if kind_of(response) == EVENTS:
            reader = Reader(response, budget)
            return Leg(reader, partial(_event, speech, way.version), gives_snapshot=way.version == "1.0")
        result = await self._read(speech, way, Operation.SEND, response)
        return Leg(None, partial(_event, speech, way.version), result)

    async def _read(self, speech: Speech, way: Interface, operation: Operation, response: Response) -> bytes:
        is_stream = kind_of(response) == EVENTS
        body = await whole(response, self._settings.max_result_bytes, WHO)
        if is_stream:
            body = _last_of(body, self._settings.max_result_bytes)
        try:
            result = speech.read(operation, way.version, body)
        except RpcError as error:
            raise judged(error) from error
        return in_form(operation, way.version, result) if operation in TOLD else result


def judged(error: RpcError) -> RpcError | Misfit:
    """A refusal, or what it says of the way in which the agent was spoken to."""
    return Misfit(error) if error.code in MISUNDERSTOOD else error


def in_form(operation: Operation, version: Version, data: bytes) -> bytes:
    """A result or an event in the form of the version that the agent says it speaks: some speak another one."""
    # What tells the forms apart is seldom in the wrong place, and quickly looked for.
    if (data.find(b'"kind"') >= 0) == (version == "0.3"):
        return data
    try:
        found = peeking.told(data).version
    except RpcError:
        return data
    if found is None or found == version:
        return data
    return translation.result_bytes(operation, data, found, version)


def _event(speech: Speech, version: Version, event: Event) -> bytes | None:
    data = speech.read_event(version, event.name, event.data)
    return None if data is None else in_form(Operation.STREAM, version, data)


async def _failure(speech: Speech, response: Response) -> Misfit | RpcError | GatewayError:
    """What an answer with the status of a failure stands for."""
    body = await beginning(response)
    failure = refusal(response, body, WHO)
    if response.status in (401, 403):
        return failure
    error = speech.refused(response.status, body)
    if error is not None:
        return judged(error)
    if response.status not in ELSEWHERE:
        return failure
    return Misfit(failure, is_absent=response.status == 404 and speech is rest)


def _last_of(body: bytes, limit: int) -> bytes:
    """The last event of an answer that should be none of events."""
    found = Events(limit).feed(body + b"\n\n")
    if not found:
        raise UpstreamBroken("The agent ended a stream without an answer")
    return found[-1].data

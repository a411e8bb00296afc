"""A request to a model ``a2a/<agent>``: the agent is asked, as the client would ask it itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from pointsman.a2a import base
from pointsman.a2a.protocol import faults
from pointsman.a2a.protocol.answers import Piece, Reading
from pointsman.a2a.protocol.operations import Operation
from pointsman.a2a.talking import answered
from pointsman.access.policy import may_speak
from pointsman.errors import (
    Forbidden,
    GatewayError,
    InternalError,
    InvalidRequest,
    ModelNotFound,
    Unseen,
    UpstreamBroken,
    UpstreamTimeout,
)
from pointsman.pipeline.a2a_use.asked import encoded, params_of
from pointsman.pipeline.a2a_use.telling import Telling
from pointsman.pipeline.bill import ID_LINE
from pointsman.pipeline.call import Call
from pointsman.providers.codecs import INBOUND
from pointsman.providers.translation import ReplyTerms
from pointsman.upstream.beats import Beats
from pointsman.wire import operations as op
from pointsman.wire.chat import ChatRequest
from pointsman.wire.jsonrpc import RpcError

LATE: Final = "The agent did not answer in time"
MAX_TEXT: Final = 1000
WORDS: Final[Mapping[str, str]] = {"failed": "failed in", "canceled": "given up", "rejected": "rejected"}
OTHER_ROUTES: Final = "This key was made for other paths than /a2a, so a model cannot be an agent for it either"
CALLERS_FAULTS: Final = frozenset(
    {faults.INVALID_PARAMS.code, faults.UNSUPPORTED_OPERATION.code, faults.CONTENT_TYPE_NOT_SUPPORTED.code}
)


@dataclass(frozen=True, slots=True)
class Request:
    """A request to an agent."""

    call: Call
    body: bytes
    shape: op.Operation
    """The operation whose body it is."""
    agent: str
    """Its id."""
    model: str
    """As the client has called it."""
    deadline: float
    """Of ``clock``: by when there has to be an answer, or the beginning of one."""
    clock: Callable[[], float]

    @property
    def id(self) -> str:
        """What the reply's ``x-request-id`` says."""
        lines = self.call.identity
        return lines[len(ID_LINE) : lines.find(b"\r\n")].decode("latin-1") if lines.startswith(ID_LINE) else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """With what requests are answered."""

    gateway: base.Gateway
    beats: Beats
    unique: Callable[[], str]
    """Makes letters and digits that nothing else has."""
    now: Callable[[], float]
    """Seconds since 1970."""
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep


async def serve_with_agent(request: Request, means: Means) -> None:
    """Answer a request.

    :raises GatewayError: as long as nothing was sent to the client
    """
    call = request.call
    if call.caller is None or not may_speak(call.caller):
        raise Forbidden(OTHER_ROUTES)
    chat: ChatRequest = INBOUND[request.shape.name].read_request(request.body)
    chat.model, chat.stream = request.model, call.is_stream
    terms = ReplyTerms(model=request.model, unique=means.unique(), created=int(means.now()), request=chat)
    telling = Telling(call, terms)
    asking = _Asking(request, means, encoded(params_of(chat, means.unique)))
    try:
        if call.is_stream:
            await asking.stream(telling)
        else:
            telling.reply(*await asking.whole())
    except (RpcError, GatewayError) as error:
        failure = _failure(error)
        if not telling.fail(failure):
            raise failure from error
    except Exception:
        telling.fail(InternalError())
        raise


class _Asking:
    def __init__(self, request: Request, means: Means, params: bytes) -> None:
        self._request = request
        self._means = means
        self._params = params
        self._deadline = asyncio.get_running_loop().time() + max(0.0, request.deadline - request.clock())

    async def whole(self) -> tuple[Reading, list[Piece]]:
        """What the agent has said when it is done, or waits for the client.

        :raises RpcError: it refuses
        :raises GatewayError: it cannot be asked, or has not done it
        """
        means = self._means
        async with _in_time(self._deadline):
            reading, pieces = await answered(means.gateway, self._call(Operation.SEND), self._deadline, means.sleep)
        if reading.goes_on:
            raise UpstreamTimeout(LATE)
        self._check(reading)
        return reading, pieces

    async def stream(self, telling: Telling) -> None:
        """Tell what the agent says while it says it; raises as :meth:`whole` does."""
        beats = self._means.beats
        beats.add(telling)
        try:
            async with aclosing(self._means.gateway.stream(self._call(Operation.STREAM))) as events:
                try:
                    async with _in_time(self._deadline):
                        first = await anext(events, b"")
                except RpcError as error:
                    if error.code != faults.UNSUPPORTED_OPERATION.code:
                        raise
                    # It does not stream.
                    reading, pieces = await self.whole()
                    telling.tell(reading, pieces)
                else:
                    reading = await self._relay(telling, first, events)
            telling.finish(reading)
        finally:
            beats.discard(telling)

    async def _relay(self, telling: Telling, first: bytes, events: AsyncGenerator[bytes, None]) -> Reading:
        reading = Reading()
        telling.tell(reading, reading.read(first) if first else ())
        async for event in events:
            await telling.can_go_on()
            telling.tell(reading, reading.read(event))
        if not first or reading.goes_on:
            raise UpstreamBroken("The agent's stream was cut off")
        self._check(reading)
        return reading

    def _check(self, reading: Reading) -> None:
        """:raises UpstreamBroken: the agent says that there will be no answer"""
        if reading.has_failed:
            why = f": {reading.complaint[:MAX_TEXT]}" if reading.complaint else ""
            raise UpstreamBroken(f"The agent has {WORDS[reading.state or 'failed']} the task{why}", code="agent_failed")

    def _call(self, operation: Operation) -> base.Call:
        request, call = self._request, self._request.call
        assert call.caller is not None
        return base.Call(
            caller=call.caller,
            agent=request.agent,
            operation=operation,
            version="1.0",
            params=self._params,
            headers=call.headers,
            request_id=request.id,
            ends_with_stream=True,
        )


@asynccontextmanager
async def _in_time(deadline: float) -> AsyncIterator[None]:
    """:raises UpstreamTimeout: it takes too long"""
    try:
        async with asyncio.timeout_at(deadline):
            yield
    except TimeoutError as error:
        raise UpstreamTimeout(LATE) from error


def _failure(error: RpcError | GatewayError) -> GatewayError:
    """What a failure is called for a client of a model."""
    if isinstance(error, Unseen):
        return ModelNotFound(param="model")
    if isinstance(error, GatewayError):
        return error
    if error.code == faults.TASK_NOT_FOUND.code:
        return InvalidRequest("The agent has no such task or context", param="metadata", code="task_not_found")
    if error.code in CALLERS_FAULTS:
        return InvalidRequest(f"The agent refuses: {error.message[:MAX_TEXT]}")
    return UpstreamBroken(f"The agent failed: {error.message[:MAX_TEXT]}")

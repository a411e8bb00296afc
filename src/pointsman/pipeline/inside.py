"""Calls that the gateway makes itself on the way to an answer, through its own deployments.

They are calls like any other: planned, attempted, retried, metered. What they have no client for is collected.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from pointsman.errors import UpstreamBroken
from pointsman.pipeline.attempt import Attempt
from pointsman.pipeline.call import Call
from pointsman.pipeline.defaults import read_defaults, with_defaults
from pointsman.pipeline.outgoing import JsonBody, Request
from pointsman.pipeline.translate import AS_IT_IS, Conversation, Shaping, Translation
from pointsman.providers.codecs import INBOUND
from pointsman.providers.custom_tools import undone
from pointsman.providers.translation import ReplyTerms, StreamWriter
from pointsman.routing.procedures.base import text_of
from pointsman.wire import operations as op
from pointsman.wire.chat import Answer, ChatRequest, Event, Started, UsageSeen
from pointsman.wire.operations import Operation
from pointsman.wire.peek import Peek
from pointsman.wire.replies import Flow
from pointsman.wire.usage import Usage, total

if TYPE_CHECKING:
    from pointsman.pipeline.serve import Pipeline


class Collector:
    """A downstream without a client: keeps one whole reply."""

    __slots__ = ("_pieces", "is_settled", "is_started", "lines", "status")

    def __init__(self) -> None:
        self.is_settled = False
        self.is_started = False
        self.status = 0
        self.lines = b""
        self._pieces: list[bytes] = []

    @property
    def body(self) -> bytes:
        """What was replied so far."""
        return b"".join(self._pieces)

    def reply(self, status: int, headers: bytes, body: bytes) -> None:
        """Take a whole reply."""
        self.start(status, headers)
        self.write(body)

    def start(self, status: int, headers: bytes, length: int | None = None) -> None:
        """Take the head of a reply."""
        del length
        self.is_started = True
        self.status, self.lines = status, headers

    def write(self, piece: bytes) -> None:
        """Take a piece of it."""
        self._pieces.append(piece)

    def finish(self) -> None:
        """It is whole."""

    def cut(self) -> None:
        """It will never be whole."""
        self._pieces.clear()

    def flow_to(self, flow: Flow | None) -> None:
        """Nobody here reads too slowly."""


async def collect(pipeline: Pipeline, operation: Operation, body: bytes, *, now: float, tenant: str = "") -> bytes:
    """What the gateway answers to the JSON ``body``, as if a client had sent it; ``now`` is of the pipeline's clock.

    :raises GatewayError: it does not answer
    """
    collector = Collector()
    call = Call(operation, collector, {}, b"", now, is_master=False, tenant=tenant)
    call.is_ask = True
    await pipeline.serve(call, body)
    return collector.body


class Spoken(JsonBody):
    """A conversation that no client has sent as bytes.

    Without ``operation`` its answer is for us and comes to be in :attr:`answer`; with it the answer goes to a client
    of that operation, and ``usage``, of the calls before, is added to what it says was used.
    """

    def __init__(
        self,
        request: ChatRequest,
        wish: Shaping = AS_IT_IS,
        operation: Operation | None = None,
        usage: Sequence[Usage] = (),
    ) -> None:
        super().__init__(Peek(None), b"", op.CHAT, wish)
        self._conversation = _Told(request, operation or op.CHAT)
        self._usage = usage
        self._size = sum(len(text_of(turn.parts)) for turn in request.turns)
        self._is_ours = operation is None
        self._tries: list[tuple[Attempt, Translation]] = []

    @property
    def text_bytes(self) -> int:
        """About how much text it holds."""
        return self._size

    def request(self, attempt: Attempt) -> Request:
        """The body for the deployment of ``attempt``.

        :raises Inexpressible: the deployment cannot take it
        """
        request = super().request(attempt)
        translation = attempt.translation
        assert translation is not None
        members = {name: getattr(translation, name) for name in Translation.__struct_fields__}
        attempt.translation = _Kept(**members) if self._is_ours else _Summed(**members, before=self._usage)
        self._tries.append((attempt, attempt.translation))
        return request

    @property
    def attempt(self) -> Attempt | None:
        """The one that has answered, else the last one."""
        answered = [attempt for attempt, _ in self._tries if attempt.is_answered]
        return answered[0] if answered else self._tries[-1][0] if self._tries else None

    @property
    def answer(self) -> Answer:
        """What was answered.

        :raises UpstreamBroken: nothing was
        """
        for attempt, translation in self._tries:
            if attempt.is_answered and isinstance(translation, _Kept) and translation.answer is not None:
                return translation.answer
        raise UpstreamBroken(operator_detail="there is no answer")

    @property
    def cost(self) -> Decimal | None:
        """What all attempts have cost; ``None``: it is not known."""
        costs = [attempt.cost for attempt, _ in self._tries if attempt.cost is not None]
        return sum(costs, Decimal(0)) if costs else None

    @property
    def usages(self) -> list[Usage]:
        """What all attempts have used."""
        return [attempt.usage for attempt, _ in self._tries if attempt.usage is not None]


class _Told(Conversation):
    """A conversation that was read before."""

    def __init__(self, request: ChatRequest, operation: Operation) -> None:
        self._told = request
        self.writer = INBOUND[operation.name]

    def request(
        self, defaults: Mapping[str, Any], overrides: Mapping[str, Any], model: str, *, is_stream: bool
    ) -> ChatRequest:
        """The request for one deployment; a caller's ``overrides`` are of no concern to it."""
        del overrides
        request = msgspec.structs.replace(self._told, model=model, stream=is_stream)
        return with_defaults(request, read_defaults(defaults)) if defaults else request


class _Kept(Translation, kw_only=True):
    """An answer that stays here."""

    answer: Answer | None = None

    def write(self, answer: Answer, terms: ReplyTerms) -> dict[str, Any]:
        """Nothing: there is no client."""
        del terms
        self.answer = undone(answer, self.custom) if self.custom else answer
        return {}


class _Summed(Translation, kw_only=True):
    """A reply that tells of the calls before it, too."""

    before: Sequence[Usage]

    def stream_writer(self, terms: ReplyTerms, *, is_array: bool) -> StreamWriter:
        """What writes the reply's events."""
        return _Summing(super().stream_writer(terms, is_array=is_array), self.before)


class _Summing:
    """Writes what was used as the sum of all calls."""

    def __init__(self, writer: StreamWriter, before: Sequence[Usage]) -> None:
        self._writer = writer
        self._before = before
        self._has_told = False

    def write(self, event: Event) -> bytes:
        """The event in the client's dialect."""
        if isinstance(event, Started | UsageSeen) and event.usage is not None:
            event = msgspec.structs.replace(event, usage=total((*self._before, event.usage)))
            self._has_told |= isinstance(event, UsageSeen)
        return self._writer.write(event)

    def close(self) -> bytes:
        """What ends the stream; where the last call has not said what it used, that of the others is told."""
        if self._has_told or not self._before:
            return self._writer.close()
        return self._writer.write(UsageSeen(total(self._before))) + self._writer.close()

"""Models as agents that are published have them asked: like a client's chat, without a client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec

from pointsman.a2a.published.model import Question
from pointsman.errors import GatewayError, ModelNotFound, UpstreamBroken, UpstreamTimeout, UpstreamUnreachable
from pointsman.pipeline.call import Call
from pointsman.pipeline.serve import Pipeline
from pointsman.providers.dialects import openai
from pointsman.wire import operations as op
from pointsman.wire.chat import Failed, RefusalDelta, TextDelta, UsageSeen
from pointsman.wire.events import Events
from pointsman.wire.replies import Flow
from pointsman.wire.usage import Usage

MAX_EVENT_BYTES: Final = 10_000_000


class Models:
    """Asks the pipeline of the moment."""

    def __init__(self, pipeline: Callable[[], Pipeline]) -> None:
        self._pipeline = pipeline

    async def __call__(self, question: Question, on_text: Callable[[str], None]) -> Usage | None:
        """See :class:`~pointsman.a2a.published.model.AskModel`."""
        pipeline, hearing = self._pipeline(), Hearing(on_text)
        call = Call(op.CHAT, hearing, {}, b"", pipeline.clock(), is_master=False, tenant=question.caller.name)
        # Whoever may ask the agent, may have its model asked by it: the one that the operator calls so. By an alias of
        # the caller's it could be another one, or the agent itself, without an end.
        call.is_operators, caller = True, question.caller
        call.caller = msgspec.structs.replace(caller, models=()) if caller.models else caller
        body = {
            "model": question.model,
            "messages": question.messages,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        try:
            async with asyncio.timeout_at(question.deadline):
                await pipeline.serve(call, msgspec.json.encode(body))
        except TimeoutError as error:
            raise UpstreamTimeout("The model did not answer in time") from error
        except ModelNotFound as error:
            detail = f"there is no model {question.model[:100]!r}"
            raise UpstreamUnreachable("The agent cannot be reached", operator_detail=detail) from error
        if hearing.failure is not None:
            raise hearing.failure
        return hearing.usage


class Hearing:
    """The downstream of a streamed chat, for somebody who wants the text only."""

    def __init__(self, on_text: Callable[[str], None]) -> None:
        self.is_settled = False
        self.is_started = False
        self.failure: GatewayError | None = None
        self.usage: Usage | None = None
        self._on_text = on_text
        self._events = Events(MAX_EVENT_BYTES)
        self._reader = openai.stream_reader()

    def reply(self, status: int, headers: bytes, body: bytes) -> None:
        """Take a whole stream, one that was kept."""
        self.start(status, headers)
        self.write(body)
        self.finish()

    def start(self, status: int, headers: bytes, length: int | None = None) -> None:
        """Take the head of a stream."""
        del status, headers, length
        self.is_started = True

    def write(self, piece: bytes) -> None:
        """Take a piece of it."""
        for event in self._events.feed(piece):
            if self.failure is not None:
                return
            try:
                self._read(event.name, event.data)
            except UpstreamBroken as error:
                self.failure = error

    def finish(self) -> None:
        """It is whole."""

    def cut(self) -> None:
        """It will never be whole."""
        self.failure = self.failure or UpstreamBroken()

    def flow_to(self, flow: Flow | None) -> None:
        """Nobody here reads too slowly."""

    def _read(self, name: bytes, data: bytes) -> None:
        for event in self._reader.read(name, data):
            if isinstance(event, TextDelta | RefusalDelta):
                self._on_text(event.text)
            elif isinstance(event, UsageSeen):
                self.usage = event.usage
            elif isinstance(event, Failed):
                self.failure = event.error

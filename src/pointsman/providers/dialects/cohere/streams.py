"""A streamed answer of Cohere's chat.

It is complete with ``message-end``; the ``[DONE]`` behind that says nothing more. Events of other types are skipped.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from pointsman.errors import UpstreamBroken
from pointsman.providers.dialects.cohere.answers import failure_in, read_finish, read_logprobs, read_usage
from pointsman.providers.dialects.cohere.citations import read_citation
from pointsman.wire.chat import (
    Event,
    Failed,
    Finished,
    Started,
    TextDelta,
    ThinkingDelta,
    ToolDelta,
    ToolOpened,
    UsageSeen,
)

_DONE: Final = b"[DONE]"


class _Content(msgspec.Struct, gc=False):
    text: str | None = None
    thinking: str | None = None


class _Message(msgspec.Struct, gc=False):
    content: _Content | list[Any] | None = None
    tool_plan: str | None = None
    tool_calls: Any = None
    citations: Any = None


class _Delta(msgspec.Struct, gc=False):
    message: _Message | None = None
    finish_reason: str | None = None
    usage: Any = None
    error: Any = None


class _Event(msgspec.Struct, gc=False):
    type: str | None = None
    index: int | None = None
    delta: _Delta | None = None
    logprobs: Any = None
    id: Any = None


class _Function(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class _Call(msgspec.Struct, gc=False):
    id: str | None = None
    function: _Function | None = None


_EVENTS: Final = msgspec.json.Decoder(_Event)
_NO_FUNCTION: Final = _Function()


class StreamReader:
    """Reads one stream."""

    __slots__ = ("_calls", "_has_started", "is_finished")

    def __init__(self) -> None:
        self.is_finished = False
        """Whether ``message-end`` has come."""
        self._has_started = False
        self._calls: dict[int | None, int] = {}

    def read(self, name: bytes, data: bytes) -> list[Event]:
        """Take one event. Its type is in ``data`` too.

        :raises UpstreamBroken: it is not valid, or Cohere says that the answer is not complete
        """
        if data == _DONE:
            return []
        try:
            event = _EVENTS.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise UpstreamBroken("The provider sent an event that is not valid") from None
        if event.type is None or name == b"error":
            return [Failed(failure_in(data))]
        if not self._has_started:
            self._has_started = True
            started = Started(id=event.id if type(event.id) is str else None)
            return [started, *self._read(event)]
        return self._read(event)

    def close(self) -> list[Event]:
        """The upstream has ended."""
        return []

    def _read(self, event: _Event) -> list[Event]:
        delta = event.delta
        message = delta.message if delta is not None else None
        if delta is not None and event.type == "message-end":
            return self._end(delta)
        if message is None:
            return []
        content = message.content
        if type(content) is _Content:
            if content.text:
                logprobs = None if event.logprobs is None else read_logprobs(event.logprobs)
                return [TextDelta(content.text, 0, logprobs)]
            return [ThinkingDelta(content.thinking)] if content.thinking else []
        return self._read_rare(event, message)

    def _read_rare(self, event: _Event, message: _Message) -> list[Event]:
        if event.type == "tool-plan-delta":
            return [TextDelta(message.tool_plan)] if message.tool_plan else []
        if event.type == "citation-start":
            found = read_citation(message.citations)
            return [TextDelta("", annotations=found)] if found else []
        if event.type in ("tool-call-start", "tool-call-delta"):
            return self._call(event, message.tool_calls)
        return []

    def _call(self, event: _Event, value: Any) -> list[Event]:
        try:
            call = msgspec.convert(value, _Call)
        except msgspec.ValidationError:
            raise UpstreamBroken("The provider sent a tool call that is not valid") from None
        function = call.function or _NO_FUNCTION
        events: list[Event] = []
        if event.type == "tool-call-start":
            if not function.name:
                raise UpstreamBroken("The provider sent a tool call without a name")
            self._calls[event.index] = len(self._calls)
            events.append(ToolOpened(index=self._calls[event.index], id=call.id or "", name=function.name))
        if function.arguments:
            if event.index not in self._calls:
                raise UpstreamBroken("The provider sent more of a tool call that has not begun")
            events.append(ToolDelta(self._calls[event.index], function.arguments))
        return events

    def _end(self, delta: _Delta) -> list[Event]:
        events: list[Event] = []
        usage = read_usage(delta.usage)
        if delta.finish_reason is not None or delta.error:
            finish, detail = read_finish(delta.finish_reason or "ERROR", has_calls=bool(self._calls))
            self.is_finished = True
            events.append(Finished(finish, detail=detail))
        if usage is not None:
            events.append(UsageSeen(usage))
        return events

"""A provider's stream, read.

Events name the item that they belong to by its place in the output. What OpenAI says in pieces others may say only
when an item, or the whole answer, is done: so each ending gives what the pieces before it have not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar, Final

import msgspec
from msgspec import Raw

from pointsman.errors import UpstreamBroken
from pointsman.providers.dialects.responses.answers import finish_of, reason_of
from pointsman.providers.dialects.responses.content import read_annotations
from pointsman.providers.dialects.responses.failing import read_failure
from pointsman.providers.dialects.responses.fields import UNREADABLE, Members
from pointsman.providers.dialects.responses.outputs import dicts, read_item
from pointsman.wire.chat import (
    Event,
    Failed,
    Finished,
    Foreign,
    Image,
    Part,
    Refusal,
    RefusalDelta,
    Started,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ThinkingSealed,
    ToolCall,
    ToolDelta,
    ToolOpened,
    UsageSeen,
    WholePart,
)
from pointsman.wire.logprobs import read_entries
from pointsman.wire.usage import find_usage

_DONE: Final = b"[DONE]"
"""OpenAI does not send it here, but servers that began with chat completions do."""


_NONE: Final = Raw()


class _Message(msgspec.Struct):
    """An event. Members that are not of its type stay at their defaults."""

    type: str = ""
    delta: Any = None
    logprobs: Any = None
    output_index: int = 0
    content_index: int = 0
    summary_index: int = 0
    item: Any = None
    response: Raw = _NONE
    annotation: Any = None
    error: Any = None
    code: Any = None
    message: Any = None
    param: Any = None


class _Response(msgspec.Struct):
    id: Any = None
    model: Any = None
    created_at: Any = None
    status: Any = None
    error: Any = None
    incomplete_details: Any = None
    output: Any = None


_MESSAGE: Final = msgspec.json.Decoder(_Message)
_RESPONSE: Final = msgspec.json.Decoder(_Response)


def stream_reader() -> Reader:
    """A reader for one stream."""
    return Reader()


class Reader:
    """Reads one streamed answer."""

    def __init__(self) -> None:
        self.is_finished = False
        self._has_started = False
        self._has_failed = False
        self._calls: dict[int, int] = {}
        """Counts of tool calls by the place of their items."""
        self._told: set[tuple[str, int]] = set()
        """What was given in pieces already: kind of part, and place of its item."""
        self._kinds: set[type[Part]] = set()
        """Of all parts so far, which decides why the answer has ended."""

    def read(self, name: bytes, data: bytes) -> Iterable[Event]:
        """Take one message of the stream.

        :raises UpstreamBroken: it cannot be understood
        """
        del name  # it only repeats the type, and not every server gives it
        if self._has_failed or self.is_finished or data.startswith(_DONE):
            return ()
        try:
            message = _MESSAGE.decode(data)
        except UNREADABLE as error:
            raise UpstreamBroken(operator_detail=f"not an event of the Responses API: {error}") from None
        if message.error and not message.type.startswith("response."):
            return self._fail(message.error)
        take = self._TAKERS.get(message.type)
        if take is None:
            return ()
        return take(self, message) if self._has_started else self._begin(take, message)

    def close(self) -> Iterable[Event]:
        """Nothing is held back."""
        return ()

    def _begin(self, take: Callable[[Reader, _Message], Iterable[Event]], message: _Message) -> Iterable[Event]:
        """The first event, which with some servers is not that of a beginning."""
        if message.response != _NONE:
            return take(self, message)
        self._has_started = True
        return (Started(), *take(self, message))

    def _take_text(self, message: _Message) -> Iterable[Event]:
        self._told.add(("text", message.output_index))
        self._kinds.add(Text)
        logprobs = read_entries(message.logprobs) if message.logprobs else None
        return (TextDelta(_delta(message), 0, logprobs),)

    def _take_refusal(self, message: _Message) -> Iterable[Event]:
        self._told.add(("refusal", message.output_index))
        self._kinds.add(Refusal)
        return (RefusalDelta(_delta(message)),)

    def _take_thinking(self, message: _Message) -> Iterable[Event]:
        self._told.add(("thinking", message.output_index))
        return (ThinkingDelta(_delta(message)),)

    def _take_next_summary(self, message: _Message) -> Iterable[Event]:
        return (ThinkingDelta("\n\n"),) if message.summary_index else ()

    def _take_arguments(self, message: _Message) -> Iterable[Event]:
        index = self._calls.get(message.output_index)
        if index is None:
            raise UpstreamBroken(operator_detail="arguments of a call that the Responses API has not begun")
        self._told.add(("call", message.output_index))
        return (ToolDelta(index, _delta(message)),)

    def _take_annotation(self, message: _Message) -> Iterable[Event]:
        if not isinstance(message.annotation, dict):
            return ()
        self._told.add(("annotations", message.output_index))
        return (TextDelta("", annotations=read_annotations([message.annotation])),)

    def _take_item(self, message: _Message) -> Iterable[Event]:
        """An item begins: a call says which tool it calls, everything else comes in pieces or at the end."""
        item = _item(message)
        if item is None or item.get("type") not in ("function_call", "custom_tool_call"):
            return ()
        (call,) = read_item(item)
        assert isinstance(call, ToolCall)
        return self._open(call, message.output_index)

    def _take_done_item(self, message: _Message) -> Iterable[Event]:
        item = _item(message)
        return () if item is None else tuple(self._rest(item, message.output_index))

    def _rest(self, item: Members, at: int) -> Iterator[Event]:
        """What the pieces of an item that is done have not said."""
        logprobs: list[Members] = []
        for part in read_item(item, logprobs):
            self._kinds.add(type(part))
            if isinstance(part, Text) and ("text", at) not in self._told:
                yield TextDelta(part.text, 0, logprobs or None, part.annotations or None)
            elif isinstance(part, Text) and part.annotations and ("annotations", at) not in self._told:
                yield TextDelta("", annotations=part.annotations)
            elif isinstance(part, Refusal) and ("refusal", at) not in self._told:
                yield RefusalDelta(part.text)
            elif isinstance(part, Thinking):
                yield from self._rest_of_thinking(part, at)
            elif isinstance(part, ToolCall):
                yield from self._open(part, at)
                if part.arguments and ("call", at) not in self._told:
                    yield ToolDelta(self._calls[at], part.arguments)
            elif isinstance(part, Image | Foreign):
                yield WholePart(part)

    def _rest_of_thinking(self, thinking: Thinking, at: int) -> Iterator[Event]:
        if thinking.text and ("thinking", at) not in self._told:
            yield ThinkingDelta(thinking.text)
        if thinking.seal is not None:
            yield ThinkingSealed(thinking.seal, is_redacted=thinking.is_redacted)

    def _open(self, call: ToolCall, at: int) -> Iterable[Event]:
        self._kinds.add(ToolCall)
        if at in self._calls:
            return ()
        index = self._calls[at] = len(self._calls)
        return (ToolOpened(index=index, id=call.id, name=call.name, kind=call.kind, namespace=call.namespace),)

    def _take_start(self, message: _Message) -> Iterable[Event]:
        if self._has_started:
            return ()
        self._has_started = True
        response = _response(message)
        created = response.created_at
        return (
            Started(
                id=response.id if isinstance(response.id, str) else None,
                model=response.model if isinstance(response.model, str) else None,
                created=int(created) if isinstance(created, int | float) else None,
            ),
        )

    def _take_end(self, message: _Message) -> Iterable[Event]:
        return tuple(self._end(message))

    def _end(self, message: _Message) -> Iterator[Event]:
        response = _response(message)
        yield from self._take_start(message)
        if not self._kinds:
            for at, item in enumerate(dicts(response.output)):
                yield from self._rest(item, at)
        is_cut = message.type == "response.incomplete" or response.status == "incomplete"
        reason = reason_of(response.incomplete_details) if is_cut else None
        self.is_finished = True
        yield Finished(finish_of(reason, self._kinds), detail=reason)
        usage = find_usage(bytes(message.response))
        if usage is not None:
            yield UsageSeen(usage)

    def _take_failure(self, message: _Message) -> Iterable[Event]:
        return self._fail(_response(message).error)

    def _take_error(self, message: _Message) -> Iterable[Event]:
        """The error of an event of its own, whose members may stand in the event itself."""
        return self._fail({"code": message.code, "message": message.message, "param": message.param})

    def _fail(self, error: Any) -> Iterable[Event]:
        self._has_failed = True
        return (Failed(read_failure(error)),)

    _TAKERS: ClassVar[dict[str, Callable[[Reader, _Message], Iterable[Event]]]] = {
        "response.created": _take_start,
        "response.queued": _take_start,
        "response.in_progress": _take_start,
        "response.output_item.added": _take_item,
        "response.output_item.done": _take_done_item,
        "response.output_text.delta": _take_text,
        "response.output_text.annotation.added": _take_annotation,
        "response.refusal.delta": _take_refusal,
        "response.reasoning_summary_part.added": _take_next_summary,
        "response.reasoning_summary_text.delta": _take_thinking,
        "response.reasoning_text.delta": _take_thinking,
        "response.function_call_arguments.delta": _take_arguments,
        "response.custom_tool_call_input.delta": _take_arguments,
        "response.completed": _take_end,
        "response.incomplete": _take_end,
        "response.failed": _take_failure,
        "error": _take_error,
    }


def _delta(message: _Message) -> str:
    if isinstance(message.delta, str):
        return message.delta
    raise UpstreamBroken(operator_detail=f"{message.type} of the Responses API without a text")


def _item(message: _Message) -> Members | None:
    return message.item if isinstance(message.item, dict) else None


def _response(message: _Message) -> _Response:
    try:
        return _RESPONSE.decode(message.response)
    except UNREADABLE as error:
        raise UpstreamBroken(
            operator_detail=f"{message.type} of the Responses API without a response: {error}"
        ) from None

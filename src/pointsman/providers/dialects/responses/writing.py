"""A stream for a client, written.

One item is open at a time, except that calls stay open beside each other, since their arguments may come in turns.
Everything that has been said is said again when its part, its item and the response are done; so it is kept until then.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw

from pointsman.errors import UpstreamBroken
from pointsman.providers.dialects.responses.answers import ending, opening
from pointsman.providers.dialects.responses.content import write_annotations
from pointsman.providers.dialects.responses.fields import Members
from pointsman.providers.dialects.responses.items import write_reasoning
from pointsman.providers.dialects.responses.outputs import (
    call_item,
    image_item,
    message_item,
    refusal_part,
    said_to,
    text_part,
    write_logprobs,
)
from pointsman.providers.dialects.responses.seals import NAME
from pointsman.providers.dialects.responses.tools import Declared, ToolNames
from pointsman.providers.translation import ReplyTerms
from pointsman.wire.chat import (
    Event,
    Finish,
    Finished,
    Foreign,
    Image,
    RefusalDelta,
    Seal,
    Started,
    TextDelta,
    ThinkingDelta,
    ThinkingSealed,
    ToolDelta,
    ToolOpened,
    UsageSeen,
    WholePart,
)
from pointsman.wire.usage import Usage

_HEAVY: Final = ("instructions", "tools", "text", "metadata")
"""Members of the response that are encoded once for the three times that they are sent."""
_CUT: Final = ("length", "content_filter")

_encode: Final = msgspec.json.Encoder().encode


class _Message(msgspec.Struct):
    """A message that is open, with its last part."""

    id: str
    at: int
    content: list[Members] = []
    """The parts that are done."""
    kind: str = ""
    """``text`` or ``refusal`` while a part is open."""
    said: list[str] = []
    annotations: list[Members] = []
    logprobs: list[Members] = []
    head: bytes = b""
    """Of the event of a delta, up to the delta itself."""


class _Thinking(msgspec.Struct):
    """Reasoning that is open."""

    id: str
    at: int
    said: list[str] = []
    head: bytes = b""


class _Call(msgspec.Struct):
    """A call that is open."""

    id: str
    at: int
    call_id: str
    tool: Declared
    kind: str
    said: list[str] = []
    head: bytes = b""
    is_held: bool = False
    """Whether nothing is sent before all of it is there: a function's arguments for a tool that takes free text."""


def stream_writer(terms: ReplyTerms) -> Writer:
    """A writer for one stream."""
    return Writer(terms)


class Writer:
    """Writes one streamed reply."""

    def __init__(self, terms: ReplyTerms) -> None:
        self._terms = terms
        self._names = ToolNames(terms.request.tools)
        self._response: Members = {}
        self._sequence = 0
        self._output: list[Members | None] = []
        """The items that are done, at their places."""
        self._message: _Message | None = None
        self._thinking: _Thinking | None = None
        self._calls: dict[int, _Call] = {}
        self._finish: Finish = "stop"
        self._usage: Usage | None = None
        self._ready: list[bytes] = []

    def write(self, event: Event) -> bytes:
        """The event for the client, possibly nothing.

        :raises UpstreamBroken: there are arguments of a tool call that is over
        """
        if isinstance(event, TextDelta):
            message = self._message
            if message is None or message.kind != "text" or event.logprobs or event.annotations or event.choice:
                self._take_text(event)
            elif event.text:
                message.said.append(event.text)
                return self._delta(message.head, event.text, b',"logprobs":[]')
        elif isinstance(event, ToolDelta):
            self._take_arguments(event)
        elif isinstance(event, Started):
            self._start(event)
        elif isinstance(event, UsageSeen):
            self._usage = event.usage
        elif not getattr(event, "choice", 0):
            self._take(event)
        return self._written()

    def close(self) -> bytes:
        """The end of a complete stream."""
        self._close_items("completed")
        response = self._response | ending(self._finish, [item for item in self._output if item], self._usage)
        self._send(f"response.{response['status']}", {"response": response})
        return self._written()

    def _written(self) -> bytes:
        if not self._ready:
            return b""
        ready, self._ready = self._ready, []
        return b"".join(ready)

    def _take(self, event: Event) -> None:
        if isinstance(event, ThinkingDelta):
            self._take_thinking(event.text)
        elif isinstance(event, ThinkingSealed):
            self._seal(event)
        elif isinstance(event, ToolOpened):
            self._open_call(event)
        elif isinstance(event, RefusalDelta):
            message = self._message_with("refusal")
            message.said.append(event.text)
            self._ready.append(self._delta(message.head, event.text))
        elif isinstance(event, WholePart):
            self._take_whole(event.part)
        elif isinstance(event, Finished):
            self._finish = event.finish
            self._close_items("incomplete" if event.finish in _CUT else "completed")

    def _start(self, event: Started) -> None:
        response = opening(self._terms, event.id)
        if event.created is not None:
            response["created_at"] = event.created
        for name in _HEAVY:
            response[name] = Raw(_encode(response[name]))
        self._response, self._usage = response, event.usage
        self._send("response.created", {"response": response})
        self._send("response.in_progress", {"response": response})

    def _take_text(self, event: TextDelta) -> None:
        if event.choice:
            return
        message = self._message_with("text")
        if event.text or event.logprobs:
            message.said.append(event.text)
            logprobs = write_logprobs(event.logprobs)
            message.logprobs.extend(logprobs)
            self._ready.append(self._delta(message.head, event.text, b',"logprobs":' + _encode(logprobs)))
        for annotation in write_annotations(event.annotations):
            self._send(
                "response.output_text.annotation.added",
                {
                    "item_id": message.id,
                    "output_index": message.at,
                    "content_index": len(message.content),
                    "annotation_index": len(message.annotations),
                    "annotation": annotation,
                },
            )
            message.annotations.append(annotation)

    def _message_with(self, kind: str) -> _Message:
        """The open message, with a part of this kind at its end."""
        message = self._message
        if message is None:
            self._close_items("completed")
            item_id, at = self._place("msg")
            message = self._message = _Message(item_id, at)
            self._send_item("added", at, message_item(item_id, [], "in_progress"))
        elif message.kind == kind:
            return message
        else:
            self._close_part(message)
        message.kind, message.said, message.annotations, message.logprobs = kind, [], [], []
        name = "output_text" if kind == "text" else kind
        message.head = _head(
            f"response.{name}.delta", item_id=message.id, output_index=message.at, content_index=len(message.content)
        )
        self._send_part("added", message, text_part("", [], []) if kind == "text" else refusal_part(""))
        return message

    def _close_part(self, message: _Message) -> None:
        said = "".join(message.said)
        place = {"item_id": message.id, "output_index": message.at, "content_index": len(message.content)}
        if message.kind == "text":
            part = text_part(said, message.annotations, message.logprobs)
            self._send("response.output_text.done", place | {"text": said, "logprobs": message.logprobs})
        else:
            part = refusal_part(said)
            self._send("response.refusal.done", place | {"refusal": said})
        self._send_part("done", message, part)
        message.content.append(part)

    def _take_thinking(self, text: str) -> None:
        thinking = self._thinking or self._open_thinking()
        if not thinking.head:
            place = {"item_id": thinking.id, "output_index": thinking.at, "summary_index": 0}
            thinking.head = _head("response.reasoning_summary_text.delta", **place)
            self._send("response.reasoning_summary_part.added", place | {"part": _summary("")})
        thinking.said.append(text)
        self._ready.append(self._delta(thinking.head, text))

    def _open_thinking(self) -> _Thinking:
        self._close_items("completed")
        item_id, at = self._place("rs")
        self._thinking = _Thinking(item_id, at)
        self._send_item("added", at, write_reasoning("", None, item_id))
        return self._thinking

    def _seal(self, event: ThinkingSealed) -> None:
        thinking = self._thinking or self._open_thinking()
        self._close_thinking(thinking, event.seal, is_redacted=event.is_redacted)

    def _close_thinking(
        self, thinking: _Thinking, seal: Seal | None, *, is_redacted: bool = False, is_of_next: bool = False
    ) -> None:
        said = "".join(thinking.said)
        if thinking.head:
            place = {"item_id": thinking.id, "output_index": thinking.at, "summary_index": 0}
            self._send("response.reasoning_summary_text.done", place | {"text": said})
            self._send("response.reasoning_summary_part.done", place | {"part": _summary(said)})
        item = write_reasoning(said, seal, thinking.id, is_redacted=is_redacted, is_of_next=is_of_next)
        self._thinking = None
        self._done(thinking.at, item)

    def _open_call(self, event: ToolOpened) -> None:
        if event.seal is not None:
            self._close_items("completed")
            self._close_thinking(self._open_thinking(), event.seal, is_of_next=True)
        self._close_said("completed")
        tool = self._names.find(event.name, event.kind)
        item_id, at = self._place("ctc" if tool.is_custom else "fc")
        call_id = event.id or f"call_{self._terms.unique}{at}"
        name = "custom_tool_call_input" if tool.is_custom else "function_call_arguments"
        self._calls[event.index] = _Call(
            item_id,
            at,
            call_id,
            tool,
            event.kind,
            head=_head(f"response.{name}.delta", item_id=item_id, output_index=at),
            is_held=tool.is_custom and event.kind != "custom",
        )
        self._send_item("added", at, call_item(item_id, call_id, tool, "", "in_progress"))

    def _take_arguments(self, event: ToolDelta) -> None:
        if event.choice or not event.arguments:
            return
        call = self._calls.get(event.index)
        if call is None:
            raise UpstreamBroken("The provider sent more of a tool call that is over")
        call.said.append(event.arguments)
        if not call.is_held:
            self._ready.append(self._delta(call.head, event.arguments))

    def _close_call(self, call: _Call, status: str) -> None:
        said = said_to(call.tool, call.kind, "".join(call.said))
        if call.is_held or not call.said:
            self._ready.append(self._delta(call.head, said))
        name, member = "function_call_arguments", "arguments"
        if call.tool.is_custom:
            name, member = "custom_tool_call_input", "input"
        self._send(f"response.{name}.done", {"item_id": call.id, "output_index": call.at, member: said})
        self._done(call.at, call_item(call.id, call.call_id, call.tool, said, status))

    def _take_whole(self, part: Any) -> None:
        if isinstance(part, Image) and part.data is not None:
            self._close_items("completed")
            item_id, at = self._place("ig")
            self._send_item("added", at, image_item(item_id, part) | {"status": "in_progress", "result": None})
            self._done(at, image_item(item_id, part))
        elif isinstance(part, Foreign) and part.dialect == NAME:
            self._close_items("completed")
            _, at = self._place("")
            self._send_item("added", at, part.raw)
            self._done(at, part.raw)

    def _close_items(self, status: str) -> None:
        """Close whatever is open; only the last one can be incomplete."""
        self._close_said(status)
        calls, self._calls = self._calls, {}
        for call in calls.values():
            is_last = call.at == len(self._output) - 1
            self._close_call(call, status if is_last else "completed")

    def _close_said(self, status: str) -> None:
        if self._thinking is not None:
            self._close_thinking(self._thinking, None)
        if self._message is not None:
            message, self._message = self._message, None
            self._close_part(message)
            self._done(message.at, message_item(message.id, message.content, status))

    def _place(self, kind: str) -> tuple[str, int]:
        at = len(self._output)
        self._output.append(None)
        return f"{kind}_{self._terms.unique}{at}", at

    def _done(self, at: int, item: Members) -> None:
        self._output[at] = item
        self._send_item("done", at, item)

    def _send_item(self, what: str, at: int, item: Members) -> None:
        self._send(f"response.output_item.{what}", {"output_index": at, "item": item})

    def _send_part(self, what: str, message: _Message, part: Members) -> None:
        place = {"item_id": message.id, "output_index": message.at, "content_index": len(message.content)}
        self._send(f"response.content_part.{what}", place | {"part": part})

    def _send(self, name: str, data: Members) -> None:
        encoded = _encode({"type": name, "sequence_number": self._sequence, **data})
        self._sequence += 1
        self._ready.append(b"event: %b\ndata: %b\n\n" % (name.encode(), encoded))

    def _delta(self, head: bytes, text: str, more: bytes = b"") -> bytes:
        number = self._sequence
        self._sequence = number + 1
        return b'%b%b%b,"sequence_number":%d}\n\n' % (head, _encode(text), more, number)


def _head(name: str, **place: Any) -> bytes:
    """The event of a delta up to its text: all that stays the same from one to the next."""
    data = _encode({"type": name, **place})
    return b'event: %b\ndata: %b,"delta":' % (name.encode(), data[:-1])


def _summary(text: str) -> Members:
    return {"type": "summary_text", "text": text}

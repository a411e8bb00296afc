"""Reading a provider's stream.

``message_start``, then for each content block ``content_block_start``, deltas and ``content_block_stop``, then
``message_delta`` with the reason and the usage, and ``message_stop``; ``ping`` and ``error`` anywhere. Events and
deltas of other types are skipped. Most events are a piece of text, so that is looked at first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final, TypeVar

import msgspec

from pointsman.errors import UpstreamBroken
from pointsman.providers.dialects.anthropic.citations import read_citations
from pointsman.providers.dialects.anthropic.errors import read_error
from pointsman.providers.dialects.anthropic.facts import NAME
from pointsman.providers.dialects.anthropic.stops import read_refusal, read_stop
from pointsman.providers.dialects.anthropic.usage import read_usage
from pointsman.wire.chat import (
    Event,
    Failed,
    Finished,
    Foreign,
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

MAX_PART_CHARS: Final = 4 * 1024 * 1024
"""Of a part that is handed on in one piece: a server tool's input, a signature, a compaction."""
MAX_BLOCKS: Final = 4096

T = TypeVar("T")


class _Delta(msgspec.Struct, gc=False):
    type: str | None = None
    text: str | None = None
    partial_json: str | None = None
    thinking: str | None = None
    signature: str | None = None
    citation: Any = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: Any = None


class _Message(msgspec.Struct):
    id: str | None = None
    model: str | None = None
    usage: Any = None
    content: list[dict[str, Any]] | None = None


class _Event(msgspec.Struct):
    type: str
    index: int = 0
    delta: _Delta | None = None
    message: _Message | None = None
    content_block: dict[str, Any] | None = None
    usage: Any = None


class _Block(msgspec.Struct):
    """A content block that has begun."""

    raw: dict[str, Any]
    kind: str
    start: int = 0
    """Where its text begins in the text of the whole answer."""
    tool: int = 0
    """Of a tool call, which one it is."""
    has_arguments: bool = False
    citations: list[Any] = []
    pieces: dict[str, list[str]] = {}
    """Texts that are handed on when the block ends, by the member that they belong to."""
    n_chars: int = 0


_STREAMED: Final = frozenset({"text", "thinking", "redacted_thinking", "tool_use"})
"""Blocks of which each piece is handed on as it comes."""

_WITHIN: Final = frozenset(
    {"content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop"}
)
"""Events that come after the beginning. Where that is missing, they begin the answer."""

_EVENT: Final = msgspec.json.Decoder(_Event)
_RAW: Final = msgspec.json.Decoder(dict[str, Any])
_JSON: Final = msgspec.json.Decoder(Any)
_encode: Final = msgspec.json.Encoder().encode


class Reader:
    """Reads one streamed answer."""

    def __init__(self) -> None:
        self.is_finished = False
        self._blocks: dict[int, _Block] = {}
        self._n_blocks = 0
        self._n_tools = 0
        self._n_chars = 0
        self._is_started = False
        self._usage: Usage | None = None

    def read(self, _name: bytes, data: bytes) -> Sequence[Event]:
        """Take one event.

        :raises UpstreamBroken: it cannot be understood
        """
        event = _decode(_EVENT, data)
        if not self._is_started and event.type in _WITHIN:
            self._is_started = True
            return (Started(), *self.read(_name, data))
        delta = event.delta
        if delta is not None and delta.type == "text_delta":
            text = delta.text or ""
            self._n_chars += len(text)
            return (TextDelta(text),)
        reader = self._READERS.get(event.type)
        return () if reader is None else reader(self, event, data)

    def close(self) -> Sequence[Event]:
        """The upstream has ended. Nothing is held back that would be of use without its end."""
        return ()

    def _start(self, event: _Event, _data: bytes) -> Sequence[Event]:
        if self._is_started or event.message is None:
            return ()
        self._is_started = True
        message = event.message
        self._usage = read_usage(message.usage)
        events: list[Event] = [Started(id=message.id, model=message.model, usage=self._usage)]
        for index, block in enumerate(message.content or ()):
            events += self._begin(index, block)
            events += self._finish(index)
        return events

    def _open(self, event: _Event, _data: bytes) -> Sequence[Event]:
        return () if event.content_block is None else self._begin(event.index, event.content_block)

    def _begin(self, index: int, raw: dict[str, Any]) -> Sequence[Event]:
        self._n_blocks += 1
        if self._n_blocks > MAX_BLOCKS:
            raise UpstreamBroken("The provider sent too many content blocks")
        block = _Block(raw, _text_of(raw, "type"), start=self._n_chars)
        if not block.kind:
            raise UpstreamBroken("The provider sent a content block without a type")
        self._blocks[index] = block
        match block.kind:
            case "text":
                if isinstance(raw.get("citations"), list):
                    block.citations += raw["citations"]
                return self._text(_text_of(raw, "text"))
            case "thinking":
                self._keep(block, "signature", _text_of(raw, "signature"))
                text = _text_of(raw, "thinking")
                return (ThinkingDelta(text),) if text else ()
            case "redacted_thinking":
                return (ThinkingSealed(Seal(NAME, _text_of(raw, "data")), is_redacted=True),)
            case "tool_use":
                return self._open_tool(block)
        return ()

    def _text(self, text: str) -> Sequence[Event]:
        self._n_chars += len(text)
        return (TextDelta(text),) if text else ()

    def _open_tool(self, block: _Block) -> Sequence[Event]:
        block.tool = self._n_tools
        self._n_tools += 1
        name = _text_of(block.raw, "name")
        if not name:
            raise UpstreamBroken("The provider sent a tool call without a name")
        return (ToolOpened(index=block.tool, id=_text_of(block.raw, "id"), name=name),)

    def _more(self, event: _Event, data: bytes) -> Sequence[Event]:
        delta = event.delta
        if delta is None:
            return ()
        if delta.type == "thinking_delta":
            return (ThinkingDelta(delta.thinking),) if delta.thinking else ()
        block = self._blocks.get(event.index)
        if block is None:
            raise UpstreamBroken("The provider sent more of a content block that is not there")
        if delta.type == "input_json_delta" and block.kind == "tool_use":
            return self._arguments(block, delta.partial_json)
        self._collect(block, delta, data)
        return ()

    def _arguments(self, block: _Block, piece: str | None) -> Sequence[Event]:
        if not piece:
            return ()
        block.has_arguments = True
        return (ToolDelta(block.tool, piece),)

    def _collect(self, block: _Block, delta: _Delta, data: bytes) -> None:
        if delta.type == "input_json_delta":
            self._keep(block, "input", delta.partial_json or "")
        elif delta.type == "signature_delta":
            self._keep(block, "signature", delta.signature or "")
        elif delta.type == "citations_delta":
            self._measure(block, len(data))
            block.citations.append(delta.citation)
        elif block.kind not in _STREAMED:
            for name, value in _decode(_RAW, data)["delta"].items():
                if name != "type" and isinstance(value, str):
                    self._keep(block, name, value)

    def _keep(self, block: _Block, name: str, text: str) -> None:
        self._measure(block, len(text))
        if text:
            block.pieces.setdefault(name, []).append(text)

    def _measure(self, block: _Block, size: int) -> None:
        block.n_chars += size
        if block.n_chars > MAX_PART_CHARS:
            raise UpstreamBroken("The provider sent a content block that is too long")

    def _close_block(self, event: _Event, _data: bytes) -> Sequence[Event]:
        return self._finish(event.index)

    def _finish(self, index: int) -> Sequence[Event]:
        block = self._blocks.pop(index, None)
        if block is None:
            return ()
        events: list[Event] = []
        match block.kind:
            case "text":
                annotations = read_citations(block.citations, block.start, self._n_chars)
                if annotations:
                    events.append(TextDelta("", annotations=annotations))
            case "thinking":
                events.append(ThinkingSealed(Seal(NAME, "".join(block.pieces.get("signature", ())))))
            case "tool_use" if not block.has_arguments:
                given = block.raw.get("input")
                events.append(ToolDelta(block.tool, _encode(given if isinstance(given, dict) else {}).decode()))
            case kind if kind not in _STREAMED:
                events.append(WholePart(Foreign(NAME, _whole(block))))
        return events

    def _end(self, event: _Event, _data: bytes) -> Sequence[Event]:
        events: list[Event] = []
        delta = event.delta
        self._usage = read_usage(event.usage, self._usage)
        if self._usage is not None:
            events.append(UsageSeen(self._usage))
        if delta is not None and delta.stop_reason is not None and not self.is_finished:
            events += [RefusalDelta(refusal.text) for refusal in read_refusal(delta.stop_details)]
            finish, detail = read_stop(delta.stop_reason, delta.stop_details)
            events.append(Finished(finish, stop_sequence=delta.stop_sequence, detail=detail))
            self.is_finished = True
        return events

    def _stop(self, _event: _Event, _data: bytes) -> Sequence[Event]:
        if self.is_finished:
            return ()
        self.is_finished = True
        return (Finished("stop"),)

    def _fail(self, _event: _Event, data: bytes) -> Sequence[Event]:
        return (Failed(read_error(_decode(_RAW, data))),)

    _READERS: ClassVar[dict[str, Callable[[Any, _Event, bytes], Sequence[Event]]]] = {
        "message_start": _start,
        "content_block_start": _open,
        "content_block_delta": _more,
        "content_block_stop": _close_block,
        "message_delta": _end,
        "message_stop": _stop,
        "error": _fail,
    }
    """Events of other types are skipped."""


def stream_reader() -> Reader:
    """A reader for one stream."""
    return Reader()


def _decode(decoder: msgspec.json.Decoder[T], data: bytes) -> T:
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamBroken("The provider sent an event that cannot be read") from error


def _text_of(raw: dict[str, Any], name: str) -> str:
    value = raw.get(name)
    return value if isinstance(value, str) else ""


def _whole(block: _Block) -> dict[str, Any]:
    """A block with what its deltas have added; ``input`` is JSON, everything else text."""
    whole = dict(block.raw)
    for name, pieces in block.pieces.items():
        text = "".join(pieces)
        is_json = name == "input"
        whole[name] = _decode(_JSON, text.encode()) if is_json else _text_of(block.raw, name) + text
    return whole

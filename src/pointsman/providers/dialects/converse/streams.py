"""Reading ConverseStream.

``messageStart``, then for each content block perhaps ``contentBlockStart``, deltas and ``contentBlockStop``, then
``messageStop`` with the reason and ``metadata`` with the usage; an exception anywhere. Events of other names and deltas
of other kinds are skipped. Most events are a piece of text, so that is looked at first.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final, TypeVar

import msgspec

from pointsman.errors import UpstreamBroken
from pointsman.providers.dialects.converse import wire
from pointsman.providers.dialects.converse.answers import SERVER_TOOL
from pointsman.providers.dialects.converse.citations import read_citation
from pointsman.providers.dialects.converse.failing import read_exception
from pointsman.providers.dialects.converse.media import read_image
from pointsman.providers.dialects.converse.models import NAME
from pointsman.providers.dialects.converse.tools import ANSWER
from pointsman.wire.chat import (
    Event,
    Failed,
    Finished,
    Foreign,
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
from pointsman.wire.eventstream import EXCEPTION

MAX_PART_CHARS: Final = 4 * 1024 * 1024
"""Of a part that is handed on in one piece: encrypted reasoning, a picture, what a tool of Amazon's was asked."""
MAX_BLOCKS: Final = 4096

T = TypeVar("T")

_DELTA: Final = msgspec.json.Decoder(wire.DeltaEvent)
_START: Final = msgspec.json.Decoder(wire.StartEvent)
_STOP: Final = msgspec.json.Decoder(wire.StopEvent)
_MESSAGE_STOP: Final = msgspec.json.Decoder(wire.MessageStop)
_METADATA: Final = msgspec.json.Decoder(wire.Metadata)
_OBJECT: Final = msgspec.json.Decoder(dict[str, Any])


class _Block(msgspec.Struct):
    """A content block that has begun."""

    start: wire.Start = msgspec.field(default_factory=wire.Start)
    tool: int | None = None
    """Which of the client's tool calls it is."""
    is_answer: bool = False
    """Whether it is the call by which a model answers to a schema."""
    text_from: int = 0
    """Where its text begins in the text of the whole answer."""
    has_input: bool = False
    pieces: list[str] = []
    """What is handed on when the block ends: a tool's input, a signature, base64."""
    results: list[dict[str, Any]] = []
    citations: list[dict[str, Any]] = []
    is_redacted: bool = False
    n_chars: int = 0


class Reader:
    """Reads one streamed answer."""

    def __init__(self) -> None:
        self.is_finished = False
        self._is_started = False
        self._blocks: dict[int, _Block] = {}
        self._n_blocks = 0
        self._n_tools = 0
        self._n_chars = 0

    def read(self, name: bytes, data: bytes) -> Sequence[Event]:
        """Take one event.

        :raises UpstreamBroken: it cannot be understood
        """
        if not self._is_started and not name.startswith(EXCEPTION):
            self._is_started = True
            return (Started(), *self.read(name, data))
        if name == b"contentBlockDelta":
            event = _decode(_DELTA, data)
            text = event.delta.text
            if text is None:
                return self._take(event)
            block = self._blocks.get(event.content_block_index)
            if block is None:
                self._open(event.content_block_index)
            self._n_chars += len(text)
            return (TextDelta(text),)
        if name.startswith(EXCEPTION):
            return (Failed(read_exception(name.removeprefix(EXCEPTION), data)),)
        reader = self._READERS.get(name)
        return () if reader is None else reader(self, data)

    def close(self) -> Sequence[Event]:
        """The upstream has ended. Nothing is held back that would be of use without its end."""
        return ()

    def _open(self, index: int) -> _Block:
        self._n_blocks += 1
        if self._n_blocks > MAX_BLOCKS:
            raise UpstreamBroken("The provider sent too many content blocks")
        block = self._blocks[index] = _Block(text_from=self._n_chars)
        return block

    def _begin_block(self, data: bytes) -> Sequence[Event]:
        event = _decode(_START, data)
        block = self._open(event.content_block_index)
        block.start = event.start
        call = event.start.tool_use
        if call is None or call.type == SERVER_TOOL:
            return ()
        if call.name == ANSWER:
            block.is_answer = True
            return ()
        block.tool = self._n_tools
        self._n_tools += 1
        return (ToolOpened(index=block.tool, id=call.tool_use_id, name=call.name),)

    def _take(self, event: wire.DeltaEvent) -> Sequence[Event]:
        """A delta that is no text."""
        delta = event.delta
        block = self._blocks.get(event.content_block_index) or self._open(event.content_block_index)
        if delta.tool_use is not None:
            return self._take_input(block, delta.tool_use.input)
        if delta.reasoning_content is not None:
            return self._take_reasoning(block, delta.reasoning_content)
        if delta.citation is not None:
            block.citations.append(delta.citation)
            self._count(block, len(str(delta.citation)))
        elif delta.tool_result is not None:
            block.results += delta.tool_result
            self._count(block, len(str(delta.tool_result)))
        elif delta.image is not None:
            self._keep(block, _base64_of(delta.image))
        return ()

    def _take_input(self, block: _Block, text: str) -> Sequence[Event]:
        block.has_input = block.has_input or bool(text)
        if block.tool is not None:
            return (ToolDelta(block.tool, text),)
        if block.is_answer:
            self._n_chars += len(text)
            return (TextDelta(text),)
        self._keep(block, text)
        return ()

    def _take_reasoning(self, block: _Block, reasoning: wire.Reasoning) -> Sequence[Event]:
        if reasoning.text is not None:
            return (ThinkingDelta(reasoning.text),)
        if reasoning.redacted_content is not None:
            block.is_redacted = True
        self._keep(block, reasoning.redacted_content or reasoning.signature or "")
        return ()

    def _keep(self, block: _Block, piece: str) -> None:
        block.pieces.append(piece)
        self._count(block, len(piece))

    def _count(self, block: _Block, n_chars: int) -> None:
        block.n_chars += n_chars
        if block.n_chars > MAX_PART_CHARS:
            raise UpstreamBroken("The provider sent a content block that is too long")

    def _end_block(self, data: bytes) -> Sequence[Event]:
        block = self._blocks.pop(_decode(_STOP, data).content_block_index, None)
        if block is None:
            return ()
        if block.tool is not None:
            return () if block.has_input else (ToolDelta(block.tool, "{}"),)
        if block.citations:
            cited = [read_citation(each, block.text_from, self._n_chars) for each in block.citations]
            return (TextDelta("", annotations=cited),)
        event = None if block.is_answer else _whole(block)
        return () if event is None else (event,)

    def _end(self, data: bytes) -> Sequence[Event]:
        event = _decode(_MESSAGE_STOP, data)
        self.is_finished = True
        reason = event.stop_reason
        finish, detail = wire.read_finish(reason, has_calls=self._n_tools > 0)
        stop_sequence = wire.read_stop_sequence(reason, event.additional_model_response_fields)
        return (Finished(finish, stop_sequence=stop_sequence, detail=detail),)

    def _take_metadata(self, data: bytes) -> Sequence[Event]:
        usage = wire.read_usage(_decode(_METADATA, data).usage)
        return () if usage is None else (UsageSeen(usage),)

    _READERS: ClassVar[dict[bytes, Callable[[Reader, bytes], Sequence[Event]]]] = {
        b"contentBlockStart": _begin_block,
        b"contentBlockStop": _end_block,
        b"messageStop": _end,
        b"metadata": _take_metadata,
    }


def stream_reader() -> Reader:
    """A reader for one stream."""
    return Reader()


def _decode(decoder: msgspec.json.Decoder[T], data: bytes) -> T:
    try:
        return decoder.decode(data)
    except wire.UNREADABLE:
        raise UpstreamBroken("The provider sent an event that cannot be understood") from None


def _base64_of(image: Any) -> str:
    source = image.get("source") if isinstance(image, dict) else None
    found = source.get("bytes") if isinstance(source, dict) else None
    return found if isinstance(found, str) else ""


def _joined(pieces: list[str]) -> str:
    """The base64 of what the pieces are the base64 of."""
    if len(pieces) == 1:
        return pieces[0]
    try:
        return b64encode(b"".join(b64decode(piece, validate=True) for piece in pieces)).decode()
    except ValueError:
        raise UpstreamBroken("The provider sent data that is not base64") from None


def _whole(block: _Block) -> Event | None:
    """What is handed on in one piece at the end of a block."""
    start = block.start
    if start.tool_use is not None or start.tool_result is not None:
        return WholePart(Foreign(NAME, _foreign(block)))
    if start.image is not None:
        image = read_image(start.image | {"source": {"bytes": _joined(block.pieces)}})
        return None if image is None else WholePart(image)
    if not block.pieces:
        return None
    seal = _joined(block.pieces) if block.is_redacted else "".join(block.pieces)
    return ThinkingSealed(Seal(NAME, seal), is_redacted=block.is_redacted)


def _foreign(block: _Block) -> dict[str, Any]:
    """What a tool of Amazon's was asked, or has answered, as it stands in a whole answer."""
    start = block.start
    if start.tool_use is None:
        return {"toolResult": {**(start.tool_result or {}), "content": block.results}}
    call = start.tool_use
    try:
        asked = _OBJECT.decode("".join(block.pieces) or "{}")
    except wire.UNREADABLE:
        asked = {}
    return {"toolUse": {"toolUseId": call.tool_use_id, "name": call.name, "input": asked, "type": call.type}}

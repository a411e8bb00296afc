"""Writing a stream for a client.

The SDKs look at the ``event:`` line first, so each event has one. Blocks of content follow each other, since not every
client looks at their numbers; only calls whose arguments are not complete when the next one begins stay open side by
side, as there are providers that give arguments in turns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final

import msgspec

from pointsman.errors import UpstreamBroken
from pointsman.providers.dialects.anthropic.answers import message_id, write_part
from pointsman.providers.dialects.anthropic.citations import write_citations
from pointsman.providers.dialects.anthropic.facts import NAME
from pointsman.providers.dialects.anthropic.seals import write_seal_of_next
from pointsman.providers.dialects.anthropic.stops import write_stop
from pointsman.providers.dialects.anthropic.usage import write_usage
from pointsman.providers.translation import ReplyTerms
from pointsman.wire.chat import (
    Event,
    Finished,
    RefusalDelta,
    Started,
    TextDelta,
    ThinkingDelta,
    ThinkingSealed,
    ToolDelta,
    ToolOpened,
    UsageSeen,
    WholePart,
    shown,
)
from pointsman.wire.usage import Usage

_encode: Final = msgspec.json.Encoder().encode
_EMPTY: Final[dict[str, dict[str, Any]]] = {
    "text": {"type": "text", "text": ""},
    "thinking": {"type": "thinking", "thinking": "", "signature": ""},
}
_DELTAS: Final = {"text": ("text_delta", "text"), "thinking": ("thinking_delta", "thinking")}


class _Call(msgspec.Struct):
    """A call that is open."""

    block: int
    """The number of its block."""
    prefix: bytes
    """What stands before its arguments."""
    has_arguments: bool = False
    depth: int = 0
    """Braces of its arguments that wait for their other half. Those in texts count too: such a call may seem incomplete
    and stay open for longer, which does no harm."""


class Writer:
    """Writes one streamed reply. Only the first choice is written, since a reply here has one."""

    def __init__(self, terms: ReplyTerms) -> None:
        self._terms = terms
        self._n_blocks = 0
        self._kind = ""
        """Of the block of text or thinking that is open."""
        self._prefix = b""
        """Of its deltas: what stands before the text."""
        self._tools: dict[int, _Call] = {}
        """The calls that are open, by their number."""
        self._has_refusal = False
        self._usage: Usage | None = None
        self._end = Finished("stop")

    def write(self, event: Event) -> bytes:
        """The event in this dialect, possibly nothing.

        :raises UpstreamBroken: there are arguments of a tool call that is over
        """
        if getattr(event, "choice", 0):
            return b""
        return self._WRITERS[type(event)](self, event)

    def close(self) -> bytes:
        """What ends a complete stream."""
        ended = self._close_blocks()
        delta = write_stop(self._end, has_refusal=self._has_refusal)
        last = {"type": "message_delta", "delta": delta, "usage": write_usage(self._usage)}
        return ended + _event(last) + _event({"type": "message_stop"})

    def _write_thinking(self, event: ThinkingDelta) -> bytes:
        return self._more("thinking", event.text)

    def _write_refusal(self, event: RefusalDelta) -> bytes:
        self._has_refusal = True
        return self._more("text", event.text)

    def _note_usage(self, event: UsageSeen) -> bytes:
        self._usage = event.usage
        return b""

    def _note_end(self, event: Finished) -> bytes:
        self._end = event
        return b""

    def _start(self, event: Started) -> bytes:
        self._usage = event.usage
        message: dict[str, Any] = {
            "id": message_id(event.id, self._terms),
            "type": "message",
            "role": "assistant",
            "model": self._terms.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": write_usage(event.usage),
        }
        return _event({"type": "message_start", "message": message})

    def _write_text(self, event: TextDelta) -> bytes:
        if event.annotations is None:
            return self._more("text", event.text)
        written = self._more("text", event.text)
        if self._kind != "text":
            written += self._open("text")
        for citation in write_citations(event.annotations):
            written += self._delta(self._n_blocks - 1, {"type": "citations_delta", "citation": citation})
        return written

    def _more(self, kind: str, text: str) -> bytes:
        """More text of the open block, or of a new one if that is of another kind."""
        if not text:
            return b""
        opened = b"" if self._kind == kind else self._open(kind)
        return b"%b%b%b}}\n\n" % (opened, self._prefix, _encode(text))

    def _open(self, kind: str) -> bytes:
        written = self._close_blocks()
        self._kind = kind
        index, opened = self._begin(_EMPTY[kind])
        self._prefix = _prefix(index, *_DELTAS[kind])
        return written + opened

    def _begin(self, block: dict[str, Any]) -> tuple[int, bytes]:
        index = self._n_blocks
        self._n_blocks += 1
        return index, _event({"type": "content_block_start", "index": index, "content_block": block})

    def _close_blocks(self) -> bytes:
        ended = b"".join(_stop(call.block) for call in self._tools.values())
        self._tools.clear()
        return ended + self._close_text()

    def _close_complete_calls(self) -> bytes:
        complete = [index for index, call in self._tools.items() if call.has_arguments and not call.depth]
        return b"".join(_stop(self._tools.pop(index).block) for index in complete)

    def _close_text(self) -> bytes:
        ended = _stop(self._n_blocks - 1) if self._kind else b""
        self._kind = ""
        return ended

    def _seal(self, event: ThinkingSealed) -> bytes:
        seal = shown(event.seal, NAME)
        if event.is_redacted:
            return self._whole({"type": "redacted_thinking", "data": seal})
        opened = b"" if self._kind == "thinking" else self._open("thinking")
        signature = self._delta(self._n_blocks - 1, {"type": "signature_delta", "signature": seal})
        return opened + signature + self._close_blocks()

    def _open_tool(self, event: ToolOpened) -> bytes:
        closed = self._close_complete_calls() + self._close_text()
        if event.seal is not None:
            closed += self._alone(write_seal_of_next(event.seal))
        block = {
            "type": "tool_use",
            "id": event.id or f"toolu_{self._terms.unique}{event.index}",
            "name": event.name,
            "input": {},
        }
        index, opened = self._begin(block)
        self._tools[event.index] = _Call(index, _prefix(index, "input_json_delta", "partial_json"))
        return closed + opened

    def _write_arguments(self, event: ToolDelta) -> bytes:
        if not event.arguments:
            return b""
        call = self._tools.get(event.index)
        if call is None:
            raise UpstreamBroken("The provider sent more of a tool call that is over")
        call.has_arguments = True
        call.depth += event.arguments.count("{") - event.arguments.count("}")
        return b"%b%b}}\n\n" % (call.prefix, _encode(event.arguments))

    def _write_whole(self, event: WholePart) -> bytes:
        block = write_part(event.part, "", "")
        return b"" if block is None else self._whole(block)

    def _whole(self, block: dict[str, Any]) -> bytes:
        if block.get("type") == "text":
            return self._more("text", block["text"])
        return self._close_blocks() + self._alone(block)

    def _alone(self, block: dict[str, Any]) -> bytes:
        """A block that is all there is of it."""
        index, opened = self._begin(block)
        return opened + _stop(index)

    def _delta(self, index: int, delta: dict[str, Any]) -> bytes:
        return _event({"type": "content_block_delta", "index": index, "delta": delta})

    _WRITERS: ClassVar[dict[type, Callable[[Any, Any], bytes]]] = {
        TextDelta: _write_text,
        ToolDelta: _write_arguments,
        ThinkingDelta: _write_thinking,
        ThinkingSealed: _seal,
        ToolOpened: _open_tool,
        RefusalDelta: _write_refusal,
        WholePart: _write_whole,
        Started: _start,
        UsageSeen: _note_usage,
        Finished: _note_end,
    }


def stream_writer(terms: ReplyTerms) -> Writer:
    """A writer for one stream."""
    return Writer(terms)


def _prefix(index: int, delta: str, member: str) -> bytes:
    """An event of more text, up to the text."""
    return b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"%b","%b":' % (
        index,
        delta.encode(),
        member.encode(),
    )


def _stop(index: int) -> bytes:
    return _event({"type": "content_block_stop", "index": index})


def _event(body: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (body["type"].encode(), _encode(body))

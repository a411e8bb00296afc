"""A streamed reply, as clients of the OpenAI wire read it.

A chunk is made of bytes that stay the same for the whole stream, with what is new in between.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec

from pointsman.providers.custom_tools import text_of
from pointsman.providers.dialects.openai.customs import custom_names
from pointsman.providers.dialects.openai.finishes import write_finish
from pointsman.providers.dialects.openai.reasoning import CONTENT, shown_block
from pointsman.providers.dialects.openai.replies import (
    END_THINK,
    THINK,
    knows_functions_only,
    split_annotations,
    write_audio,
    write_foreign,
    write_image,
    write_reason,
    write_seal,
)
from pointsman.providers.dialects.openai.turns import FIELDS
from pointsman.providers.dialects.openai.usage import write_usage
from pointsman.providers.translation import ReplyTerms
from pointsman.wire.chat import (
    Audio,
    Event,
    Finished,
    Image,
    RefusalDelta,
    Started,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ThinkingSealed,
    ToolDelta,
    ToolOpened,
    UsageSeen,
    WholePart,
)
from pointsman.wire.usage import Usage

_DONE: Final = b"data: [DONE]\n\n"
MAX_HELD: Final = 65_536
"""Characters of such arguments that are held; longer ones go on as the JSON that they are."""
BLOCKS: Final = "thinking_blocks"
"""LiteLLM's member for reasoning with its seals."""
_NULL: Final = b"null"
_FIRST: Final = b'{"role":"assistant","content":"","refusal":null}'
_encode: Final = msgspec.json.Encoder().encode


class _Written:
    """What is known of a choice that has begun."""

    __slots__ = ("counts", "custom_calls", "has_block", "has_refusal", "is_thinking", "start", "text_start", "wrapped")

    def __init__(self, start: bytes) -> None:
        self.start = start
        """Up to the delta."""
        self.text_start = start + b'{"content":'
        self.is_thinking = False
        """Whether a ``<think>`` waits for its end."""
        self.has_refusal = False
        self.custom_calls: set[int] = set()
        self.wrapped: dict[int, str] = {}
        """Arguments of functions that stand for custom tools: their text is known at their end only."""
        self.has_block = False
        """Whether a block of reasoning waits for its seal."""
        self.counts: dict[str, int] = {}
        """Entries of each list. OpenAI's SDK puts a list together by an ``index`` in its entries, and fails without."""

    def counted(self, name: str) -> int:
        """The index of the next entry of a list."""
        found = self.counts.get(name, 0)
        self.counts[name] = found + 1
        return found

    def numbered(self, name: str, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """New entries of a list."""
        return [{**entry, "index": self.counted(name)} for entry in entries]


class _Chunks:
    """The chunks of one reply: what each event becomes."""

    def __init__(self, terms: ReplyTerms, *, merges_reasoning: bool = False) -> None:
        self._terms = terms
        self._merges_reasoning = merges_reasoning
        self._customs = custom_names(terms.request)
        self._is_legacy = knows_functions_only(terms.request)
        self._head = b""
        self._tail = b'],"usage":null}\n\n' if terms.request.include_usage else b"]}\n\n"
        self._end = b'},"logprobs":null,"finish_reason":null}' + self._tail
        self._choices: dict[int, _Written] = {}
        self._usage: Usage | None = None

    def _started(self) -> bytes:
        return self._head or self._start(Started())

    def _start(self, event: Started) -> bytes:
        created = self._terms.created if event.created is None else event.created
        members = {
            "id": event.id or f"chatcmpl-{self._terms.unique}",
            "object": "chat.completion.chunk",
            "created": created,
            "model": self._terms.model,
        }
        self._head = b"data: " + _encode(members)[:-1] + b',"choices":['
        self._usage = event.usage or self._usage
        return self._head

    def _begun(self, choice: int) -> tuple[_Written, bytes]:
        """The choice, and the chunk that begins it if this is the first that is heard of it."""
        written = self._choices.get(choice)
        if written is not None:
            return written, b""
        start = b"".join((self._started(), b'{"index":', _encode(choice), b',"delta":'))
        written = self._choices[choice] = _Written(start)
        return written, self._chunk(written, _FIRST)

    def _chunk(self, written: _Written, delta: bytes, *, logprobs: bytes = _NULL) -> bytes:
        return b"".join((written.start, delta, b',"logprobs":', logprobs, b',"finish_reason":null}', self._tail))

    def _say(self, choice: int, delta: dict[str, Any]) -> bytes:
        """Something besides reasoning."""
        written, first = self._begun(choice)
        return first + self._end_thinking(written) + self._chunk(written, _encode(delta))

    def _end_thinking(self, written: _Written) -> bytes:
        if not written.is_thinking:
            return b""
        written.is_thinking = False
        return self._chunk(written, _encode({"content": END_THINK}))

    def started(self, event: Started) -> bytes:
        self._start(event)
        return b""

    def text(self, event: TextDelta) -> bytes:
        delta: dict[str, Any] = {"content": event.text}
        written, first = self._begun(event.choice)
        if event.annotations is not None:
            cited, others = split_annotations(event.annotations)
            if cited or not others:
                delta["annotations"] = written.numbered("annotations", cited)
            if others:
                delta[FIELDS] = {"annotations": written.numbered(FIELDS, others)}
        if event.logprobs is None:
            return first + self._say(event.choice, delta)
        logprobs = _encode({"content": event.logprobs, "refusal": None})
        return first + self._end_thinking(written) + self._chunk(written, _encode(delta), logprobs=logprobs)

    def refusal(self, event: RefusalDelta) -> bytes:
        chunk = self._say(event.choice, {"refusal": event.text})
        self._choices[event.choice].has_refusal = True
        return chunk

    def thinking(self, event: ThinkingDelta) -> bytes:
        written, first = self._begun(event.choice)
        if not self._merges_reasoning:
            written.has_block = True
            block = {"index": written.counts.get(BLOCKS, 0), "type": "thinking", "thinking": event.text}
            return first + self._chunk(written, _encode({CONTENT: event.text, BLOCKS: [block]}))
        text = event.text if written.is_thinking else THINK + event.text
        written.is_thinking = True
        return first + self._chunk(written, _encode({"content": text}))

    def sealed(self, event: ThinkingSealed) -> bytes:
        if self._merges_reasoning:
            return b""
        written, first = self._begun(event.choice)
        block = shown_block(Thinking("", event.seal, is_redacted=event.is_redacted))
        # Reasoning that is its text has to be given back even where that is empty.
        delta: dict[str, Any] = {CONTENT: ""}
        if block is not None:
            delta = {BLOCKS: written.numbered(BLOCKS, [block])}
        elif written.has_block:
            written.counted(BLOCKS)
        written.has_block = False
        return first + self._chunk(written, _encode(delta))

    def opened(self, event: ToolOpened) -> bytes:
        if self._is_legacy and event.index:
            return b""  # such clients know one call
        is_custom = event.kind == "custom" or event.name in self._customs
        kind, text = ("custom", "input") if is_custom else ("function", "arguments")
        inner = {"name": event.name, text: ""}
        call_id = event.id or f"call_{self._terms.unique}{event.choice or ''}{event.index}"
        call = {"index": event.index, "id": call_id, "type": kind, kind: inner} | write_seal(event.seal)
        chunk = self._say(event.choice, {"function_call": inner} if self._is_legacy else {"tool_calls": [call]})
        if is_custom:
            written = self._choices[event.choice]
            written.custom_calls.add(event.index)
            if event.kind == "function":
                written.wrapped[event.index] = ""
        return chunk

    def arguments(self, event: ToolDelta) -> bytes:
        if self._is_legacy:
            said = {"function_call": {"arguments": event.arguments}}
            return b"" if event.index else self._say(event.choice, said)
        written, first = self._begun(event.choice)
        held = written.wrapped.get(event.index)
        if held is None:
            return first + self._more(written, event.index, event.arguments)
        held += event.arguments
        if len(held) > MAX_HELD:
            del written.wrapped[event.index]
            return self._more(written, event.index, held)
        written.wrapped[event.index] = held
        return b""

    def _more(self, written: _Written, index: int, text: str) -> bytes:
        inner = {"custom": {"input": text}} if index in written.custom_calls else {"function": {"arguments": text}}
        return self._chunk(written, _encode({"tool_calls": [{"index": index, **inner}]}))

    def whole(self, event: WholePart) -> bytes:
        part = event.part
        written, first = self._begun(event.choice)
        if isinstance(part, Image):
            return first + self._say(event.choice, {"images": [write_image(part, written.counted("images"))]})
        if isinstance(part, Audio):
            return first + self._say(event.choice, {"audio": write_audio(part)})
        lists = {name: written.numbered(name, parts) for name, parts in write_foreign([part])["parts"].items()}
        return first + self._say(event.choice, {FIELDS: {"parts": lists}})

    def finished(self, event: Finished) -> bytes:
        written, first = self._begun(event.choice)
        end = self._end_thinking(written)
        for index, arguments in written.wrapped.items():
            end += self._more(written, index, text_of(arguments))
        written.wrapped.clear()
        word = write_finish(event.finish, has_refusal=written.has_refusal, is_legacy=self._is_legacy)
        reason = {"logprobs": None, "finish_reason": word} | write_reason(event.stop_sequence, event.detail)
        return b"".join((first, end, written.start, b"{},", _encode(reason)[1:], self._tail))

    def usage(self, event: UsageSeen) -> bytes:
        self._usage = event.usage
        return b""


_WRITERS: Final[Mapping[type, Callable[[_Chunks, Any], bytes]]] = MappingProxyType(
    {
        Started: _Chunks.started,
        TextDelta: _Chunks.text,
        RefusalDelta: _Chunks.refusal,
        ThinkingDelta: _Chunks.thinking,
        ThinkingSealed: _Chunks.sealed,
        ToolOpened: _Chunks.opened,
        ToolDelta: _Chunks.arguments,
        WholePart: _Chunks.whole,
        Finished: _Chunks.finished,
        UsageSeen: _Chunks.usage,
    }
)


class StreamWriter(_Chunks):
    """Writes one streamed reply; ``merges_reasoning``: reasoning goes into the content, in ``<think>`` tags."""

    def write(self, event: Event) -> bytes:
        """The event as chunks, possibly none."""
        if type(event) is TextDelta and event.logprobs is None and event.annotations is None:
            # The usual event, written without a detour.
            written = self._choices.get(event.choice)
            if written is not None and not written.is_thinking:
                return b"".join((written.text_start, _encode(event.text), self._end))
        writer = _WRITERS.get(type(event))
        return b"" if writer is None else writer(self, event)

    def close(self) -> bytes:
        """The usage, if it is wanted and known, and the end mark."""
        if not self._terms.request.include_usage or self._usage is None:
            return _DONE
        usage = _encode(write_usage(self._usage))
        return b"".join((self._started(), b'],"usage":', usage, b"}\n\n", _DONE))

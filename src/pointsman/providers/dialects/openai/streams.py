"""A provider's streamed answer.

Rules
-----
* Reasoning is sealed when something else follows it: only then is it known to be complete.
* A tool call begins when its name has come. Servers differ in how they number calls: a new number is a new call, and so
  is a new id with a name under an old number (Gemini's calls all have number 0); a piece without a number goes on with
  the call before.
* A chunk is what it holds: vendors send chunks without choices (content filters, usage, signs of life) at any time.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from pointsman.errors import UpstreamBroken
from pointsman.providers.dialects.openai.answers import (
    failure_in,
    read_arguments,
    read_audio,
    read_content,
    read_image,
    read_logprobs,
)
from pointsman.providers.dialects.openai.finishes import BROKEN, read_finish
from pointsman.providers.dialects.openai.reasoning import (
    PARTS,
    PLAIN_MEMBERS,
    SIGNED_MEMBERS,
    member_seal,
    merge_signed,
    signed_seal,
    signed_text,
)
from pointsman.providers.dialects.openai.turns import call_seal
from pointsman.wire.chat import (
    Event,
    Failed,
    Finished,
    RefusalDelta,
    Seal,
    Started,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ThinkingSealed,
    ToolDelta,
    ToolOpened,
    UsageSeen,
    WholePart,
)
from pointsman.wire.usage import find_usage

MAX_SIGNED_BYTES: Final = 1024 * 1024
"""What is kept of signed reasoning until it is complete; more of it is shown, but cannot be given back."""
_DONE: Final = b"[DONE]"


class _Function(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: Any = None


class _Custom(msgspec.Struct, gc=False):
    name: str | None = None
    input: str | None = None


class _Call(msgspec.Struct, gc=False):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None
    custom: _Custom | None = None
    provider_specific_fields: Any = None
    extra_content: Any = None


class _Delta(msgspec.Struct, gc=False):
    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    reasoning_details: Any = None
    thinking_blocks: Any = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None
    function_call: _Function | None = None
    annotations: list[dict[str, Any]] | None = None
    audio: dict[str, Any] | None = None
    images: list[Any] | None = None


class _Choice(msgspec.Struct, gc=False):
    delta: _Delta | None = None
    index: int | None = None
    finish_reason: str | None = None
    logprobs: Any = None
    stop_reason: Any = None
    native_finish_reason: Any = None


class _Chunk(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: Any = None
    error: Any = None


class _Head(msgspec.Struct, gc=False):
    id: Any = None
    model: Any = None
    created: Any = None


_CHUNKS: Final = msgspec.json.Decoder(_Chunk)
_HEADS: Final = msgspec.json.Decoder(_Head)


class StreamReader:
    """Reads one streamed answer."""

    __slots__ = ("_choices", "_has_output", "_has_started", "is_finished")

    def __init__(self) -> None:
        self.is_finished = False
        """Whether the provider has said that the answer is complete: by ``[DONE]``, or where it only stops, by a reason
        for every choice."""
        self._has_started = False
        self._has_output = False
        self._choices: dict[int, _Reading] = {}

    def read(self, name: bytes, data: bytes) -> list[Event]:
        """Take one event.

        :raises UpstreamBroken: it is not a chunk, or the provider says that it could not finish
        """
        if data.startswith(_DONE):
            self.is_finished = True
            return []
        try:
            return self._events(name, data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise UpstreamBroken("The provider sent a chunk that is not valid") from None

    def _events(self, name: bytes, data: bytes) -> list[Event]:
        chunk = _CHUNKS.decode(data)
        choices = chunk.choices
        if chunk.error or name == b"error" or (choices is None and b'"object":"error"' in data.replace(b" ", b"")):
            return [Failed(failure_in(data))]
        events: list[Event] = []
        if not self._has_started and (choices or chunk.usage is not None):
            # Azure's first chunk has no choices, and no id.
            events.append(self._start(data))
        n_before = len(events)
        for choice in choices or ():
            index = choice.index or 0
            reading = self._choices.get(index)
            if reading is None:
                reading = self._choices[index] = _Reading(index)
            reading.read(choice, events)
        if len(events) > n_before:
            self._has_output = True
        if chunk.usage is not None and (usage := find_usage(data)) is not None:
            events.append(UsageSeen(usage))
        return events

    def close(self) -> list[Event]:
        """The upstream has ended; gives the reason of choices for which it said ``[DONE]`` and nothing else."""
        unfinished = [reading for reading in self._choices.values() if not reading.is_finished]
        if self._choices and not unfinished:
            self.is_finished = True
        events: list[Event] = []
        if self.is_finished and self._has_output:
            for reading in unfinished:
                reading.finish(_Choice(), "stop", events)
        return events

    def _start(self, data: bytes) -> Started:
        head = _HEADS.decode(data)
        self._has_started = True
        return Started(
            id=head.id if type(head.id) is str and head.id else None,
            model=head.model if type(head.model) is str and head.model else None,
            created=head.created if type(head.created) is int and head.created else None,
        )


class _Reading:
    """What is known of one choice."""

    __slots__ = ("_calls", "_has_refusal", "_index", "_last_call", "_reasoning", "is_finished")

    def __init__(self, index: int) -> None:
        self._index = index
        self._reasoning: _Reasoning | None = None
        self._calls: dict[int, _Opened] = {}
        self._last_call: _Opened | None = None
        self._has_refusal = False
        self.is_finished = False

    def read(self, choice: _Choice, events: list[Event]) -> None:
        delta = choice.delta
        if delta is not None:
            content = delta.content
            if (
                delta.reasoning_content is not None
                or delta.reasoning is not None
                or delta.reasoning_details is not None
                or delta.thinking_blocks is not None
            ):
                self._read_reasoning(delta, events)
            if type(content) is str:
                if content:
                    if self._reasoning is not None:
                        self._seal(events, is_text=True)
                    logprobs = None if choice.logprobs is None else read_logprobs(choice.logprobs)
                    events.append(TextDelta(content, self._index, logprobs))
            elif content is not None:
                self._read_list(content, events)
            if delta.tool_calls is not None or delta.function_call is not None:
                self._read_calls(delta, events)
            if (
                delta.refusal is not None
                or delta.annotations is not None
                or delta.audio is not None
                or delta.images is not None
            ):
                self._read_rest(delta, events)
        if choice.finish_reason:
            self.finish(choice, choice.finish_reason, events)

    def _read_reasoning(self, delta: _Delta, events: list[Event]) -> None:
        reasoning = self._reasoning
        text = ""
        for member in PLAIN_MEMBERS:
            value = getattr(delta, member)
            if type(value) is str:
                if reasoning is None:
                    reasoning = self._reasoning = _Reasoning(member)
                text = value
                break
        for member in SIGNED_MEMBERS:
            entries = getattr(delta, member)
            if type(entries) is list and entries:
                if reasoning is None:
                    reasoning = self._reasoning = _Reasoning(member)
                reasoning.sign(member, entries)
                text = text or "".join(map(signed_text, entries))
        if text and reasoning is not None:
            reasoning.has_text = True
            events.append(ThinkingDelta(text, self._index))

    def _read_list(self, content: Any, events: list[Event]) -> None:
        for value in content if type(content) is list else ():
            for part in read_content(value):
                if isinstance(part, Thinking):
                    if self._reasoning is None:
                        self._reasoning = _Reasoning(PARTS)
                    self._reasoning.has_text = True
                    events.append(ThinkingDelta(part.text, self._index))
                elif isinstance(part, Text):
                    self._seal(events, is_text=True)
                    events.append(TextDelta(part.text, self._index))

    def _seal(self, events: list[Event], *, is_text: bool = False) -> None:
        """End the reasoning before something else; an empty one counts before a tool call only."""
        reasoning = self._reasoning
        if reasoning is None or (is_text and not reasoning.has_text and not reasoning.signed):
            return
        self._reasoning = None
        events.append(ThinkingSealed(reasoning.seal(), self._index, is_redacted=reasoning.is_redacted()))

    def _read_rest(self, delta: _Delta, events: list[Event]) -> None:
        if delta.refusal:
            self._seal(events)
            self._has_refusal = True
            events.append(RefusalDelta(delta.refusal, self._index))
        if delta.annotations:
            annotations = [{k: v for k, v in one.items() if k != "index"} for one in delta.annotations]
            events.append(TextDelta("", self._index, annotations=annotations))
        if delta.audio:
            events.append(WholePart(read_audio(delta.audio), self._index))
        for value in delta.images or ():
            image = read_image(value)
            if image is not None:
                events.append(WholePart(image, self._index))

    def _read_calls(self, delta: _Delta, events: list[Event]) -> None:
        self._seal(events)
        for call in delta.tool_calls or ():
            self._read_call(call, events)
        if delta.function_call is not None and not delta.tool_calls:
            self._read_call(_Call(index=0, function=delta.function_call), events)

    def _read_call(self, call: _Call, events: list[Event]) -> None:
        opened = self._opened(call)
        inner: Any = call.custom or call.function
        if not opened.is_open:
            opened.id = opened.id or call.id or ""
            opened.seal = opened.seal or call_seal(call.provider_specific_fields, call.extra_content)
        if inner is None:
            return
        if not opened.is_open and inner.name:
            opened.is_open = True
            kind = "function" if call.custom is None else "custom"
            events.append(
                ToolOpened(
                    index=opened.index,
                    id=opened.id,
                    name=inner.name,
                    choice=self._index,
                    kind="function" if kind == "function" else "custom",
                    seal=opened.seal,
                )
            )
        arguments = call.custom.input or "" if call.custom is not None else read_arguments(inner.arguments)
        if arguments:
            if not opened.is_open:
                raise UpstreamBroken("The provider sent a tool call without a name")
            events.append(ToolDelta(opened.index, arguments, self._index))

    def _opened(self, call: _Call) -> _Opened:
        opened = self._last_call if call.index is None else self._calls.get(call.index)
        if opened is None or _is_another(call, opened):
            opened = _Opened(self._last_call.index + 1 if self._last_call is not None else 0)
            self._last_call = opened
        if call.index is not None:
            self._calls[call.index] = opened
        return opened

    def finish(self, choice: _Choice, word: str, events: list[Event]) -> None:
        """The choice has ended, for the reason that the provider calls ``word``."""
        if word in BROKEN:
            raise UpstreamBroken(f"The provider did not finish its answer: {word}")
        self._seal(events, is_text=True)
        if self.is_finished:
            return
        self.is_finished = True
        finish, detail = read_finish(word, has_calls=self._last_call is not None, has_refusal=self._has_refusal)
        native = choice.native_finish_reason
        if detail is None and type(native) is str and native != word:
            detail = native
        stop = choice.stop_reason if type(choice.stop_reason) is str else None
        events.append(Finished(finish, self._index, stop, detail))


def _is_another(call: _Call, opened: _Opened) -> bool:
    """Whether a call that has the number of ``opened`` is not that one."""
    inner = call.function or call.custom
    has_name = inner is not None and bool(inner.name)
    if not has_name or not opened.is_open:
        return False
    return (call.id is not None and call.id != opened.id) or (call.index is None and not call.id)


class _Opened(msgspec.Struct):
    """A tool call as far as it is known."""

    index: int
    id: str = ""
    is_open: bool = False
    """Whether its name has come."""
    seal: Seal | None = None


class _Reasoning:
    """Reasoning that is not yet complete."""

    __slots__ = ("_bytes", "_member", "has_text", "signed")

    def __init__(self, member: str) -> None:
        self._member = member
        self._bytes = 0
        self.has_text = False
        self.signed: dict[str, list[Any]] = {}

    def sign(self, member: str, entries: list[Any]) -> None:
        """Keep entries of a signed member."""
        self._bytes += len(msgspec.json.encode(entries))
        if self._bytes <= MAX_SIGNED_BYTES:
            merge_signed(self.signed.setdefault(member, []), entries)

    def is_redacted(self) -> bool:
        return bool(self.signed) and not self.has_text

    def seal(self) -> Seal:
        if self.signed and self._bytes <= MAX_SIGNED_BYTES:
            return signed_seal(self.signed)
        return member_seal(self._member)

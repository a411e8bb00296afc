"""A streamed reply for a client: each event is a response with the parts that are new.

Tool calls come whole, once their choice is complete. The last event has the reasons and the usage, as Google's have.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from pointsman.errors import UpstreamBroken
from pointsman.providers.dialects.gemini.citations import write_citations
from pointsman.providers.dialects.gemini.finishes import MALFORMED, write_finish
from pointsman.providers.dialects.gemini.logprobs import write_logprobs
from pointsman.providers.dialects.gemini.parts import mark_first_call, write_call, write_part
from pointsman.providers.dialects.gemini.seals import NAME, write_seal
from pointsman.providers.dialects.gemini.usages import write_usage
from pointsman.providers.translation import ReplyTerms
from pointsman.wire.chat import (
    Choice,
    Event,
    Finished,
    RefusalDelta,
    Started,
    TextDelta,
    ThinkingDelta,
    ThinkingSealed,
    ToolCall,
    ToolDelta,
    ToolOpened,
    UsageSeen,
    WholePart,
)
from pointsman.wire.usage import Usage

MAX_HELD: Final = 8 * 1024 * 1024
"""Characters of arguments and hidden reasoning that are held back at most, and of text that is kept for its sources."""
_encode: Final = msgspec.json.Encoder().encode
_BEFORE_TEXT: Final = b'{"candidates":[{"content":{"parts":[{"text":'


class _Choice:
    """What is held back of a choice."""

    def __init__(self) -> None:
        self.calls: dict[int, tuple[ToolOpened, list[str]]] = {}
        self.has_called = False
        self.thinking: list[str] = []
        self.is_thinking = False
        self.texts: list[str] = []
        self.annotations: list[dict[str, Any]] = []
        self.end: dict[str, Any] | None = None

    def take_calls(self) -> list[dict[str, Any] | None]:
        """The calls so far; ``None`` for one whose arguments are no object."""
        calls, self.calls = sorted(self.calls.items()), {}
        written = [_written(opened, arguments) for _, (opened, arguments) in calls]
        self.has_called = self.has_called or mark_first_call([part for part in written if part is not None])
        return written


class StreamWriter:
    """Writes one stream, as server-sent events or as the elements of a JSON array."""

    def __init__(self, terms: ReplyTerms, *, is_array: bool = False) -> None:
        reasoning = terms.request.reasoning
        self._is_thinking_shown = reasoning is not None and reasoning.is_shown is True
        self._is_array = is_array
        self._is_begun = False
        self._choices: dict[int, _Choice] = {}
        self._usage: Usage | None = None
        self._n_held = 0
        self._n_kept = 0
        self._model = terms.model
        self._name_reply(terms.unique)

    def _name_reply(self, answer_id: str) -> None:
        self._about = b',"modelVersion":' + _encode(self._model) + b',"responseId":' + _encode(answer_id) + b"}"
        self._after_text = b'}],"role":"model"},"index":0}]' + self._about

    def write(self, event: Event) -> bytes:  # noqa: PLR0911 - one for each kind
        """The event for the client, possibly nothing.

        :raises UpstreamBroken: too much has to be held back
        """
        if isinstance(event, TextDelta):
            return self._write_text(event)
        match event:
            case RefusalDelta():
                return self._part({"text": event.text}, event.choice)
            case ThinkingDelta():
                return self._write_thinking(event)
            case ThinkingSealed():
                return self._write_seal(event)
            case WholePart():
                part = write_part(event.part, is_thinking_shown=True)
                return b"" if part is None else self._part(part, event.choice)
            case Finished():
                return self._write_finish(event)
        self._note(event)
        return b""

    def _note(self, event: Event) -> None:
        match event:
            case Started():
                if event.id:
                    self._name_reply(event.id)
            case ToolOpened():
                self._choice(event.choice).calls[event.index] = (event, [])
            case ToolDelta():
                self._hold(event.arguments)
                call = self._choice(event.choice).calls.get(event.index)
                if call is None:
                    raise UpstreamBroken("The provider sent more of a tool call that is not open")
                call[1].append(event.arguments)
            case UsageSeen():
                self._usage = event.usage

    def close(self) -> bytes:
        """The last event; of an array also its end."""
        candidates = []
        for index, choice in sorted(self._choices.items()):
            if choice.end is not None:
                late = choice.take_calls()
                content = {"parts": list(filter(None, late)) or [{"text": ""}], "role": "model"}
                candidate = {"content": content} | choice.end | {"index": index}
                grounding = write_citations(choice.annotations, "".join(choice.texts))
                candidates.append(candidate if grounding is None else candidate | {"groundingMetadata": grounding})
        body = b'{"candidates":' + _encode(candidates)
        if self._usage is not None:
            body += b',"usageMetadata":' + _encode(write_usage(self._usage))
        return self._frame(body + self._about) + (b"]" if self._is_array else b"")

    def _write_text(self, event: TextDelta) -> bytes:
        choice = self._choices.get(event.choice) or self._choice(event.choice)
        if choice.is_thinking:
            choice.is_thinking = False
            choice.thinking.clear()
        if event.annotations:
            choice.annotations += event.annotations
        text = event.text
        if self._n_kept < MAX_HELD:
            self._n_kept += len(text)
            choice.texts.append(text)
        if event.logprobs:
            return self._candidate({"parts": [{"text": text}]}, event.choice, event.logprobs)
        if not text:
            return b""
        if event.choice == 0 and not self._is_array:
            return b"data: " + _BEFORE_TEXT + _encode(text) + self._after_text + b"\r\n\r\n"
        return self._part({"text": text}, event.choice)

    def _write_thinking(self, event: ThinkingDelta) -> bytes:
        choice = self._choice(event.choice)
        choice.is_thinking = True
        if self._is_thinking_shown:
            return self._part({"text": event.text, "thought": True}, event.choice)
        # It is shown after all if it turns out to be sealed, since it has to come back then.
        self._hold(event.text)
        choice.thinking.append(event.text)
        return b""

    def _write_seal(self, event: ThinkingSealed) -> bytes:
        choice = self._choice(event.choice)
        part: dict[str, Any] = {"text": "".join(choice.thinking)}
        if choice.is_thinking or event.seal.origin != NAME:
            part["thought"] = True
        choice.is_thinking = False
        choice.thinking.clear()
        signature = write_seal(event.seal, is_redacted=event.is_redacted)
        return self._part(part | {"thoughtSignature": signature}, event.choice)

    def _write_finish(self, event: Finished) -> bytes:
        choice = self._choice(event.choice)
        calls = choice.take_calls()
        parts = [call for call in calls if call is not None]
        detail = MALFORMED if len(parts) < len(calls) and event.finish != "length" else event.detail
        choice.end = write_finish(Choice(parts=[], finish=event.finish, detail=detail))
        return self._candidate({"parts": parts}, event.choice, None) if parts else b""

    def _choice(self, index: int) -> _Choice:
        return self._choices.setdefault(index, _Choice())

    def _hold(self, text: str) -> None:
        self._n_held += len(text)
        if self._n_held > MAX_HELD:
            raise UpstreamBroken("The provider's answer has a part that is too long")

    def _part(self, part: dict[str, Any], index: int) -> bytes:
        return self._candidate({"parts": [part]}, index, None)

    def _candidate(self, content: dict[str, Any], index: int, logprobs: list[dict[str, Any]] | None) -> bytes:
        candidate: dict[str, Any] = {"content": content | {"role": "model"}, "index": index}
        if logprobs is not None:
            candidate["logprobsResult"] = write_logprobs(logprobs)
        return self._frame(b'{"candidates":' + _encode([candidate]) + self._about)

    def _frame(self, body: bytes) -> bytes:
        if not self._is_array:
            return b"data: " + body + b"\r\n\r\n"
        is_begun, self._is_begun = self._is_begun, True
        return (b",\r\n" if is_begun else b"[") + body


def _written(opened: ToolOpened, arguments: list[str]) -> dict[str, Any] | None:
    text = "".join(arguments)
    return write_call(ToolCall(id=opened.id, name=opened.name, arguments=text, kind=opened.kind, seal=opened.seal))


def stream_writer(terms: ReplyTerms, *, is_array: bool = False) -> StreamWriter:
    """A writer for one stream. ``is_array``: without ``alt=sse`` Google streams the elements of a JSON array."""
    return StreamWriter(terms, is_array=is_array)

"""A streamed reply, as clients of the Completions API read it."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from pointsman.providers.dialects.completions.answers import write_finish, write_logprobs, write_usage
from pointsman.providers.translation import ReplyTerms
from pointsman.wire.chat import Event, Finished, RefusalDelta, Started, TextDelta, UsageSeen
from pointsman.wire.usage import Usage

_DONE: Final = b"data: [DONE]\n\n"
_encode: Final = msgspec.json.Encoder().encode


class StreamWriter:
    """Writes one streamed reply. Every chunk has a ``text``, which may be empty."""

    def __init__(self, terms: ReplyTerms) -> None:
        self._terms = terms
        self._head = b""
        self._tail = b'],"usage":null}\n\n' if terms.request.include_usage else b"]}\n\n"
        self._lengths: dict[int, int] = {}
        self._usage: Usage | None = None

    def write(self, event: Event) -> bytes:
        """The event as a chunk, possibly none."""
        if isinstance(event, TextDelta | RefusalDelta):
            has_logprobs = isinstance(event, TextDelta) and event.logprobs
            return self._text(event) if event.text or has_logprobs else b""
        if isinstance(event, Finished):
            return self._chunk(event.choice, "", None, write_finish(event.finish))
        if isinstance(event, Started):
            self._start(event)
            self._usage = event.usage
        elif isinstance(event, UsageSeen):
            self._usage = event.usage
        return b""

    def close(self) -> bytes:
        """The usage, if it is wanted and known, and the end mark."""
        if not self._terms.request.include_usage or self._usage is None:
            return _DONE
        return b"".join((self._started(), b'],"usage":', _encode(write_usage(self._usage)), b"}\n\n", _DONE))

    def _text(self, event: TextDelta | RefusalDelta) -> bytes:
        before = self._lengths.get(event.choice, 0)
        self._lengths[event.choice] = before + len(event.text)
        entries = event.logprobs if isinstance(event, TextDelta) else None
        logprobs = None if entries is None else write_logprobs(entries, before)
        return self._chunk(event.choice, event.text, logprobs, None)

    def _chunk(self, choice: int, text: str, logprobs: dict[str, Any] | None, finish: str | None) -> bytes:
        written = {"text": text, "index": choice, "logprobs": logprobs, "finish_reason": finish}
        return b"".join((self._started(), _encode(written), self._tail))

    def _started(self) -> bytes:
        return self._head or self._start(Started())

    def _start(self, event: Started) -> bytes:
        members = {
            "id": event.id or f"cmpl-{self._terms.unique}",
            "object": "text_completion",
            "created": self._terms.created if event.created is None else event.created,
            "model": self._terms.model,
        }
        self._head = b"data: " + _encode(members)[:-1] + b',"choices":['
        return self._head
